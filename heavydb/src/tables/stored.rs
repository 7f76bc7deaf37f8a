//! What a column of HeavyDB can hold: rows on their way into a table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use datafusion::arrow::compute::{cast, max, min};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, Field, Float32Type, Float64Type, Int64Type,
};
use datafusion::common::{Result, plan_err};

use crate::types::heavy_type::HeavyType;

/// The texts of small dictionaries so far, by place of the column.
#[derive(Debug, Clone, Default)]
pub(super) struct Dictionaries(HashMap<usize, HashSet<String>>);

/// Bytes of a text in a dictionary.
const LONGEST_TEXT: usize = 32_767;

/// Whether the columns can hold rows.
///
/// # Errors
/// A value out of the range of its encoding or precision, a text too long for a dictionary; NULL in a column that is NOT NULL.
pub(super) fn check(batch: &RecordBatch) -> Result<()> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return plan_err!("column '{}' is NOT NULL", field.name());
        }
        if let Some((_, value)) = unstorable_rows(field, column)?.into_iter().next() {
            let heavy = HeavyType::of(field).map(|heavy| heavy.to_string()).unwrap_or_default();
            return plan_err!("{value} is out of the range of column '{}' ({heavy})", field.name());
        }
    }
    Ok(())
}

/// Rows that have passed [`check`], as the table stores them: empty texts of dictionaries are NULL, and so are texts for which a
/// dictionary has no place. The second is how many of those there are.
///
/// # Errors
/// Arrow's.
pub(super) fn encode(batch: &RecordBatch, dictionaries: &mut Dictionaries) -> Result<(RecordBatch, usize)> {
    let schema = batch.schema();
    let mut dropped = 0;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (place, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
        columns.push(match HeavyType::of(field) {
            Some(heavy) if *column.data_type() == DataType::Utf8View && heavy.empty_is_null() && field.is_nullable() => {
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

/// The rows of a nullable column that hold the value which stands for NULL.
fn equal_rows<T: PartialEq + std::fmt::Display>(values: impl Iterator<Item = Option<T>>, null: T, field: &Field) -> Vec<(usize, String)> {
    let taken = values.enumerate().filter(|(_, value)| field.is_nullable() && value.as_ref() == Some(&null));
    taken.map(|(row, _)| (row, format!("{null}, which stands for NULL in HeavyDB,"))).collect()
}

/// The rows whose values a column cannot hold, and these. The least value of a type stands for NULL in HeavyDB, and an encoding of fewer
/// bits has its own.
///
/// # Errors
/// Arrow's.
pub(super) fn unstorable_rows(field: &Field, column: &ArrayRef) -> Result<Vec<(usize, String)>> {
    let Some(heavy) = HeavyType::of(field) else { return Ok(vec![]) };
    if let DataType::Decimal128(precision, scale) = column.data_type() {
        let limit = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
        let values = column.as_primitive::<Decimal128Type>();
        let beyond = values.iter().enumerate().filter_map(|(row, value)| Some((row, value.filter(|value| value.abs() >= limit)?)));
        return Ok(beyond.map(|(row, value)| (row, Decimal128Type::format_decimal(value, DECIMAL128_MAX_PRECISION, *scale))).collect());
    }
    if heavy.empty_is_null()
        && let Some(texts) = column.as_string_view_opt()
    {
        let long = texts.iter().enumerate().filter_map(|(row, text)| Some((row, text.filter(|text| text.len() > LONGEST_TEXT)?)));
        return Ok(long.map(|(row, text)| (row, format!("a text of {} bytes", text.len()))).collect());
    }
    // The least normal number stands for NULL.
    if let Some(values) = column.as_primitive_opt::<Float32Type>() {
        return Ok(equal_rows(values.iter(), f32::MIN_POSITIVE, field));
    }
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return Ok(equal_rows(values.iter(), f64::MIN_POSITIVE, field));
    }
    let Some((least, most)) = heavy.range() else { return Ok(vec![]) };
    let counts = match column.data_type() {
        data_type if data_type.is_integer() => cast(column, &DataType::Int64)?,
        DataType::Date32 | DataType::Time32(_) => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        DataType::Timestamp(..) => cast(column, &DataType::Int64)?,
        _ => return Ok(vec![]),
    };
    let counts = counts.as_primitive::<Int64Type>();
    // Without NULLs the least value of the bits is one like any other.
    let least = if field.is_nullable() { least } else { least.saturating_sub(1) };
    let fits = |value: i64| (least..=most).contains(&value);
    if [min(counts), max(counts)].into_iter().flatten().all(fits) {
        return Ok(vec![]);
    }
    let beyond = counts.iter().enumerate().filter_map(|(row, value)| Some((row, value.filter(|value| !fits(*value))?.to_string())));
    Ok(beyond.collect())
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
