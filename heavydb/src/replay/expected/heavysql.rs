//! Expectations as heavysql prints them: a header, rows, no quotes at all.
//!
//! NULL is `NULL`; a text `NULL` is printed like it and cannot be told from it. A text with the delimiter or a line end in it breaks the
//! count of fields, and then the file cannot be read. The greeting, the farewell and the lines of `\timing` are passed over; its count
//! of rows is checked.

use std::path::Path;

use super::{Expectation, ExpectationError, TextForm, Value};

const NO_ROWS: &str = "No rows returned.";

/// The delimiters that are tried where the header has no `|`.
const OTHERS: &[char] = &['\t', ';', ','];

/// Reads a file.
pub(super) fn read(file: &Path, form: TextForm) -> Result<Expectation, ExpectationError> {
    let bytes = std::fs::read(file).map_err(|source| ExpectationError::unreadable(file, source))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        ExpectationError::broken(file, line, "the line is not UTF-8; convert the file")
    })?;
    parse(file, text, form)
}

/// A line and its number.
type Line<'a> = (u64, &'a str);

fn parse(file: &Path, text: &str, form: TextForm) -> Result<Expectation, ExpectationError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<Line<'_>> = (1..).zip(text.lines()).collect();
    let counted = trim(&mut lines);
    let Some((header, mut body)) = lines.split_first() else {
        return Err(ExpectationError::broken(file, 1, "the file is empty; heavysql prints a header or `No rows returned.`"));
    };
    if header.1 == NO_ROWS && body.is_empty() {
        return Ok(Expectation::Rows { columns: None, rows: Vec::new() });
    }
    if let [(_, NO_ROWS)] = body {
        body = &[];
    }
    if let Some((line, counted)) = counted.filter(|(_, counted)| *counted != body.len() as u64) {
        let what = format!(
            "the file says {counted} rows, it has {}: a text holds a line end, or the file is cut; use COPY TO with quoted='true'",
            body.len()
        );
        return Err(ExpectationError::broken(file, line, what));
    }
    let delimiter = form.delimiter.unwrap_or_else(|| delimiter(header.1, body));
    let columns: Vec<String> = header.1.split(delimiter).map(str::to_owned).collect();
    let rows: Result<Vec<Vec<Value>>, ExpectationError> = body.iter().map(|line| row(file, line, delimiter, columns.len())).collect();
    Ok(Expectation::Rows { columns: Some(columns), rows: rows? })
}

/// Takes off what is no part of the table; the line and the count of `N rows returned.`.
fn trim(lines: &mut Vec<Line<'_>>) -> Option<(u64, u64)> {
    let mut counted = None;
    while let Some((number, line)) = lines.last().copied() {
        let count =
            line.strip_suffix(" rows returned.").or_else(|| line.strip_suffix(" row returned.")).and_then(|count| count.parse().ok());
        let timing = line.starts_with("Execution time: ") && line.contains(" ms, Total time: ");
        let farewell = line.starts_with("User ") && line.contains(" disconnected from database ");
        counted = count.map(|count| (number, count)).or(counted);
        if count.is_none() && !timing && !farewell && !line.is_empty() {
            break;
        }
        lines.pop();
    }
    let greeting = lines
        .iter()
        .take_while(|(_, line)| line.is_empty() || (line.starts_with("User ") && line.contains(" connected to database ")))
        .count();
    lines.drain(..greeting);
    counted
}

/// `|`, unless the header has none and exactly one other splits all lines alike.
fn delimiter(header: &str, body: &[Line<'_>]) -> char {
    if header.contains('|') {
        return '|';
    }
    let fits = |delimiter: &char| {
        let count = header.matches(*delimiter).count();
        count > 0 && body.iter().all(|(_, line)| line.matches(*delimiter).count() == count)
    };
    let mut fitting = OTHERS.iter().filter(|delimiter| fits(delimiter));
    match (fitting.next(), fitting.next()) {
        (Some(delimiter), None) => *delimiter,
        _ => '|',
    }
}

fn row(file: &Path, (number, line): &Line<'_>, delimiter: char, width: usize) -> Result<Vec<Value>, ExpectationError> {
    let fields: Vec<Value> =
        line.split(delimiter).map(|field| if field == "NULL" { Value::Null } else { Value::Printed(field.to_owned()) }).collect();
    if fields.len() == width {
        return Ok(fields);
    }
    let what = format!(
        "the line has {} fields, the header {width}: a text holds `{delimiter}` or a line end; use COPY TO with quoted='true'",
        fields.len()
    );
    Err(ExpectationError::broken(file, *number, what))
}
