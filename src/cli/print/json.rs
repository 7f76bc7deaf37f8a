//! JSON: one array of objects, or one object per line; keys in column order.
//!
//! NULL is `null`. JSON has no NaN and no infinities: they are the texts `"NaN"`, `"Infinity"`, `"-Infinity"`, so that they differ from NULL.
//! Integers and decimals keep all their digits, floats read back to the same double. Dates, times and everything else are texts, binary is
//! hexadecimal. Lists are arrays, structs and maps with text keys are objects. A column name that comes twice is an error.

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use super::cell::{Cells, LOSSLESS, is_number};
use super::{ResultWriter, require_distinct_names};
use crate::cli::failure::Result;

/// Writes rows as JSON objects.
pub(crate) struct JsonWriter {
    as_array: bool,
    keys: Vec<String>,
    rows: u64,
    text: String,
}

impl JsonWriter {
    /// All rows as one array.
    pub(crate) fn array() -> Self {
        Self { as_array: true, keys: Vec::new(), rows: 0, text: String::new() }
    }

    /// One object per line.
    pub(crate) fn lines() -> Self {
        Self { as_array: false, ..Self::array() }
    }

    fn separator(&self) -> &'static str {
        match (self.as_array, self.rows) {
            (true, 0) => "\n",
            (true, _) => ",\n",
            (false, 0) => "",
            (false, _) => "\n",
        }
    }
}

impl ResultWriter for JsonWriter {
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        require_distinct_names(schema, "json")?;
        self.keys = schema.fields().iter().map(|field| key_of(field.name())).collect();
        if self.as_array {
            out.write_all(b"[")?;
        }
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let columns = batch.columns().iter().map(|column| Encoder::try_new(column)).collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            self.text.clear();
            self.text.push_str(self.separator());
            self.text.push('{');
            for (i, (key, column)) in self.keys.iter().zip(&columns).enumerate() {
                self.text.push_str(if i == 0 { "" } else { "," });
                self.text.push_str(key);
                column.write(row, &mut self.text)?;
            }
            self.text.push('}');
            out.write_all(self.text.as_bytes())?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(&mut self, _elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()> {
        let end = match (self.as_array, self.rows) {
            (true, 0) => "]\n",
            (true, _) => "\n]\n",
            (false, 0) => "",
            (false, _) => "\n",
        };
        Ok(out.write_all(end.as_bytes())?)
    }
}

/// A JSON key with its colon.
fn key_of(name: &str) -> String {
    let mut text = String::new();
    push_text(name, &mut text);
    text.push(':');
    text
}

/// Appends `text` as a JSON string.
fn push_text(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// One column, classified once per batch.
struct Encoder<'a> {
    nulls: Option<NullBuffer>,
    shape: Shape<'a>,
}

enum Shape<'a> {
    /// The text of the cell is a JSON value as it stands, but for NaN and the infinities.
    Number(Cells<'a>),
    /// The text of the cell becomes a string.
    Text(Cells<'a>),
    /// Each element is written by an encoder of its own.
    List(fn(&dyn Array, usize) -> ArrayRef, &'a dyn Array),
    Struct(Vec<(String, Encoder<'a>)>),
    Map(&'a dyn Array),
}

impl<'a> Encoder<'a> {
    fn try_new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let shape = match array.data_type() {
            DataType::Boolean => Shape::Number(Cells::try_new(array, &LOSSLESS)?),
            other if is_number(other) => Shape::Number(Cells::try_new(array, &LOSSLESS)?),
            DataType::List(_) => Shape::List(|array, row| array.as_list::<i32>().value(row), array),
            DataType::LargeList(_) => Shape::List(|array, row| array.as_list::<i64>().value(row), array),
            DataType::FixedSizeList(_, _) => Shape::List(|array, row| array.as_fixed_size_list().value(row), array),
            DataType::ListView(_) => Shape::List(|array, row| array.as_list_view::<i32>().value(row), array),
            DataType::LargeListView(_) => Shape::List(|array, row| array.as_list_view::<i64>().value(row), array),
            DataType::Struct(_) => Shape::Struct(fields_of(array.as_struct())?),
            DataType::Map(field, _) if has_text_keys(field.data_type()) => Shape::Map(array),
            _ => Shape::Text(Cells::try_new(array, &LOSSLESS)?),
        };
        Ok(Self { nulls: array.logical_nulls(), shape })
    }

    fn write(&self, row: usize, out: &mut String) -> Result<(), ArrowError> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.push_str("null");
            return Ok(());
        }
        match &self.shape {
            Shape::Number(cells) => write_number(cells, row, out),
            Shape::Text(cells) => {
                let mut text = String::new();
                cells.write(row, &mut text)?;
                push_text(&text, out);
                Ok(())
            }
            Shape::List(elements, array) => write_list(&elements(*array, row), out),
            Shape::Struct(fields) => write_struct(fields, row, out),
            Shape::Map(array) => write_map(&array.as_map().value(row), out),
        }
    }
}

fn fields_of(array: &StructArray) -> Result<Vec<(String, Encoder<'_>)>, ArrowError> {
    array.fields().iter().zip(array.columns()).map(|(field, column)| Ok((key_of(field.name()), Encoder::try_new(column)?))).collect()
}

fn has_text_keys(entries: &DataType) -> bool {
    matches!(entries, DataType::Struct(fields) if fields.first().is_some_and(|key| key.data_type().is_string()))
}

fn write_number(cells: &Cells<'_>, row: usize, out: &mut String) -> Result<(), ArrowError> {
    let start = out.len();
    cells.write(row, out)?;
    let special = match &out[start..] {
        "NaN" => "\"NaN\"",
        "inf" => "\"Infinity\"",
        "-inf" => "\"-Infinity\"",
        _ => return Ok(()),
    };
    out.truncate(start);
    out.push_str(special);
    Ok(())
}

fn write_list(elements: &dyn Array, out: &mut String) -> Result<(), ArrowError> {
    let encoder = Encoder::try_new(elements)?;
    out.push('[');
    for i in 0..elements.len() {
        out.push_str(if i == 0 { "" } else { "," });
        encoder.write(i, out)?;
    }
    out.push(']');
    Ok(())
}

fn write_struct(fields: &[(String, Encoder<'_>)], row: usize, out: &mut String) -> Result<(), ArrowError> {
    out.push('{');
    for (i, (key, field)) in fields.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(key);
        field.write(row, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_map(entries: &StructArray, out: &mut String) -> Result<(), ArrowError> {
    let (keys, values) = (Cells::try_new(entries.column(0), &LOSSLESS)?, Encoder::try_new(entries.column(1))?);
    out.push('{');
    for i in 0..entries.len() {
        let mut key = String::new();
        keys.write(i, &mut key)?;
        out.push_str(if i == 0 { "" } else { "," });
        out.push_str(&key_of(&key));
        values.write(i, out)?;
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, ListArray};
    use datafusion::arrow::datatypes::{Field, Float64Type};

    use super::*;
    use crate::cli::print::testing::{PLAIN, printed, sample};

    #[test]
    fn rows_are_objects_in_column_order() {
        let text = printed("json", &[sample()], &PLAIN);
        let expected = "[\n{\"id\":1,\"name\":\"a,\\\"b\\\"\",\"value\":0.30000000000000004},\n{\"id\":20,\"name\":\"\",\"value\":null},\n{\"id\":null,\"name\":null,\"value\":\"NaN\"}\n]\n";
        assert_eq!(text, expected);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn every_line_of_ndjson_is_an_object() {
        let text = printed("ndjson", &[sample(), sample()], &PLAIN);
        assert_eq!(text.lines().count(), 6);
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()));
    }

    #[test]
    fn an_empty_result_is_an_empty_array() {
        let nothing = sample().slice(0, 0);
        assert_eq!(printed("json", std::slice::from_ref(&nothing), &PLAIN), "[]\n");
        assert_eq!(printed("ndjson", &[nothing], &PLAIN), "");
    }

    #[test]
    fn lists_and_structs_nest() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.5), None]), None]));
        let inner: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::INFINITY), Some(2.0)]));
        let structs: ArrayRef = Arc::new(StructArray::from(vec![(Arc::new(Field::new("x", DataType::Float64, true)), inner)]));
        let batch = RecordBatch::try_from_iter([("l", lists), ("s", structs)]).unwrap();
        let expected = "{\"l\":[1.5,null],\"s\":{\"x\":\"Infinity\"}}\n{\"l\":null,\"s\":{\"x\":2}}\n";
        assert_eq!(printed("ndjson", &[batch], &PLAIN), expected);
    }
}
