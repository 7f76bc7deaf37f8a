//! What a column of HeavyDB can hold: rows on their way into a table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, plan_err};

use crate::types::heavy_type::HeavyType;

/// The texts of small dictionaries so far, by place of the column.
#[derive(Debug, Clone, Default)]
pub(super) struct Dictionaries(HashMap<usize, HashSet<String>>);

/// The rows as the table stores them: empty texts of dictionaries are NULL, and so are texts for which a dictionary has no place. The
/// second is how many of those there are.
///
/// # Errors
/// A value out of the range of its encoding; NULL in a column that is NOT NULL.
pub(super) fn stored(batch: &RecordBatch, dictionaries: &mut Dictionaries) -> Result<(RecordBatch, usize)> {
    let schema = batch.schema();
    let mut dropped = 0;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (place, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
        if !field.is_nullable() && column.null_count() > 0 {
            return plan_err!("column '{}' is NOT NULL", field.name());
        }
        let Some(heavy) = HeavyType::of(field) else {
            columns.push(Arc::clone(column));
            continue;
        };
        check_range(field, &heavy, column)?;
        columns.push(match column.data_type() {
            DataType::Utf8View if heavy.empty_is_null() && field.is_nullable() => {
                let (texts, without_place) =
                    encoded(column.as_string_view(), heavy.dictionary_capacity(), dictionaries.0.entry(place).or_default());
                dropped += without_place;
                texts
            }
            _ => Arc::clone(column),
        });
    }
    Ok((RecordBatch::try_new(schema, columns)?, dropped))
}

/// The least value stands for NULL in HeavyDB, and an encoding of fewer bits has its own.
fn check_range(field: &Field, heavy: &HeavyType, column: &ArrayRef) -> Result<()> {
    let Some((least, most)) = heavy.range() else { return Ok(()) };
    let counts = match column.data_type() {
        data_type if data_type.is_integer() => cast(column, &DataType::Int64)?,
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Time32(_) => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Timestamp(..) => cast(column, &DataType::Int64)?,
        _ => return Ok(()),
    };
    let counts = counts.as_primitive::<Int64Type>();
    let out_of_range = [min(counts), max(counts)]
        .into_iter()
        .flatten()
        .find(|value| *value > most || (*value < least && field.is_nullable()) || *value < least - 1);
    match out_of_range {
        None => Ok(()),
        Some(value) => plan_err!("{value} is out of the range of column '{}' ({heavy})", field.name()),
    }
}

fn encoded(texts: &StringViewArray, capacity: Option<usize>, known: &mut HashSet<String>) -> (ArrayRef, usize) {
    let has_empty = texts.iter().any(|text| text == Some(""));
    if !has_empty && capacity.is_none() {
        return (Arc::new(texts.clone()), 0);
    }
    let mut dropped = 0;
    let kept = texts.iter().map(|text| {
        let text = text.filter(|text| !text.is_empty())?;
        let Some(capacity) = capacity else { return Some(text) };
        if known.contains(text) || known.len() < capacity {
            known.insert(text.to_owned());
            return Some(text);
        }
        dropped += 1;
        None
    });
    let kept: StringViewArray = kept.collect();
    (Arc::new(kept), dropped)
}
