//! Expectations as JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Expectation, ExpectationError, Value};

/// A line that holds a result.
pub(super) struct IndexedLine {
    pub(super) id: String,
    pub(super) number: u64,
    pub(super) start: u64,
    pub(super) length: usize,
}

/// What a line says about itself.
#[derive(Deserialize)]
struct Outline {
    id: Option<serde_json::Value>,
    rows: Option<IgnoredAny>,
    /// Whether there is one: null is a value too.
    #[serde(default, deserialize_with = "present")]
    value: bool,
    error: Option<IgnoredAny>,
    sql: Option<IgnoredAny>,
    unsupported: Option<IgnoredAny>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// A line in full.
#[derive(Deserialize)]
struct Line {
    columns: Option<Vec<serde_json::Value>>,
    rows: Option<Vec<Vec<serde_json::Value>>>,
    value: Option<serde_json::Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
    tol: Option<f64>,
    error: Option<String>,
}

/// The results of a file, each with its place. Every line is checked to be JSON.
pub(super) fn index(file: &Path) -> Result<Vec<IndexedLine>, ExpectationError> {
    let unreadable = |source| ExpectationError::unreadable(file, source);
    let mut reader = BufReader::with_capacity(1 << 18, File::open(file).map_err(unreadable)?);
    let (mut found, mut bytes, mut start, mut number) = (Vec::new(), Vec::new(), 0_u64, 0_u64);
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(unreadable)?;
        if length == 0 {
            return Ok(found);
        }
        number += 1;
        if let Some(id) = outline(file, number, &bytes)? {
            found.push(IndexedLine { id, number, start, length });
        }
        start += length as u64;
    }
}

/// The id of a line that holds a result; `None` for blank lines, queries and refusals.
fn outline(file: &Path, number: u64, bytes: &[u8]) -> Result<Option<String>, ExpectationError> {
    let broken = |what: String| ExpectationError::broken(file, number, what);
    let text = text(file, number, bytes)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let outline: Outline = parse(text).map_err(|error| broken(format!("no JSON object of a result: {error}")))?;
    if outline.rows.is_none() && !outline.value && outline.error.is_none() {
        let other = outline.sql.is_some() || outline.unsupported.is_some();
        let what = "the object has none of `rows`, `value`, `error`";
        return if other { Ok(None) } else { Err(broken(what.to_owned())) };
    }
    match outline.id {
        Some(serde_json::Value::String(id)) => Ok(Some(id)),
        Some(serde_json::Value::Number(id)) => Ok(Some(id.to_string())),
        _ => Err(broken("the object has no `id`".to_owned())),
    }
}

fn text<'a>(file: &Path, number: u64, bytes: &'a [u8]) -> Result<&'a str, ExpectationError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ExpectationError::broken(file, number, "the line is not UTF-8; convert the file"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// JSON, also with the bare NaN and Infinity that Python writes: these are read as texts.
fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| {
        if text.contains("NaN") || text.contains("Infinity") { serde_json::from_str(&quote_names(text)) } else { Err(error) }
    })
}

/// Puts NaN, Infinity and -Infinity outside texts into quotes.
fn quote_names(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    let (mut rest, mut in_text) = (text, false);
    while let Some(c) = rest.chars().next() {
        let name = ["NaN", "Infinity", "-Infinity"].into_iter().find(|name| !in_text && rest.starts_with(name));
        let taken = match name {
            Some(name) => {
                quoted.extend(['"']);
                quoted.push_str(name);
                quoted.push('"');
                name.len()
            }
            None => {
                let taken = if in_text && c == '\\' { rest.chars().take(2).map(char::len_utf8).sum() } else { c.len_utf8() };
                in_text ^= c == '"';
                quoted.push_str(&rest[..taken]);
                taken
            }
        };
        rest = &rest[taken..];
    }
    quoted
}

/// Reads the result of one line.
pub(super) fn read(file: &Path, number: u64, start: u64, length: usize) -> Result<Expectation, ExpectationError> {
    let unreadable = |source| ExpectationError::unreadable(file, source);
    let mut reader = File::open(file).map_err(unreadable)?;
    reader.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).map_err(unreadable)?;
    let line: Line = parse(text(file, number, &bytes)?).map_err(|error| {
        ExpectationError::broken(
            file,
            number,
            format!("the result is not of the form {{id, columns, rows}}, {{id, value, type, tol}} or {{id, error}}: {error}"),
        )
    })?;
    expectation(line).map_err(|what| ExpectationError::broken(file, number, what))
}

fn expectation(line: Line) -> Result<Expectation, String> {
    if let Some(error) = line.error {
        return Ok(Expectation::Error(error));
    }
    let Some(rows) = line.rows else {
        let value = value(line.value.unwrap_or(serde_json::Value::Null))?;
        return Ok(Expectation::Scalar { value, kind: line.kind.unwrap_or_default(), tolerance: line.tol.unwrap_or(0.0).abs() });
    };
    let columns: Option<Vec<String>> =
        line.columns.map(|names| names.into_iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect());
    let width = columns.as_ref().map(Vec::len).or_else(|| rows.first().map(Vec::len));
    let rows: Result<Vec<Vec<Value>>, String> = rows
        .into_iter()
        .enumerate()
        .map(|(at, row)| match width {
            Some(width) if width != row.len() => Err(format!("row {} has {} values, the result {width} columns", at + 1, row.len())),
            _ => row.into_iter().map(value).collect(),
        })
        .collect();
    Ok(Expectation::Rows { columns, rows: rows? })
}

fn value(json: serde_json::Value) -> Result<Value, String> {
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Boolean(value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Integer(value.into()),
            (None, Some(value)) => Value::Integer(value.into()),
            (None, None) => Value::Real(number.as_f64().ok_or_else(|| format!("the number {number} is too large"))?),
        },
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(values) => Value::List(values.into_iter().map(value).collect::<Result<_, _>>()?),
        serde_json::Value::Object(_) => return Err("a value is an object; write it as text or array".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_names_of_numbers_are_read_outside_texts_only() {
        assert_eq!(quote_names(r#"{"a":[NaN,-Infinity,"NaN \" NaN"]}"#), r#"{"a":["NaN","-Infinity","NaN \" NaN"]}"#);
    }
}
