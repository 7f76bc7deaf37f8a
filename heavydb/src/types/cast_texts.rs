//! The texts that casts give.

use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit};
use datafusion::common::{Result, exec_err};

use super::heavy_type::precision_of;
use crate::functions::dates::calendar::{Civil, DAY};
use crate::functions::dates::instants::per_second;

/// A column as texts: integers plain, FLOAT and DOUBLE as `%f`, DECIMAL(p, s) as `%p.sf` through a double, BOOLEAN `true` or `false`,
/// DATE, TIME and TIMESTAMP in ISO form with a blank and all digits of their precision.
///
/// # Errors
/// A type without such a text.
pub(super) fn texts(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ok(arrow_cast(array, &DataType::Utf8View)?),
        DataType::Boolean => {
            let values = array.as_boolean();
            build(array, |row, text| write!(text, "{}", values.value(row)))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            build(array, |row, text| real(f64::from(values.value(row)), 0, 6, text))
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            build(array, |row, text| real(values.value(row), 0, 6, text))
        }
        DataType::Decimal128(precision, scale) => {
            let (width, digits) = (usize::from(*precision), usize::from(scale.unsigned_abs()));
            let (values, power) = (array.as_primitive::<Decimal128Type>(), 10_f64.powi(i32::from(*scale)));
            build(array, |row, text| real(values.value(row) as f64 / power, width, digits, text))
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            build(array, |row, text| date(values.value(row).into(), text))
        }
        DataType::Time32(TimeUnit::Second) => {
            let values = arrow_cast(&arrow_cast(array, &DataType::Int32)?, &DataType::Int64)?;
            build(array, |row, text| time(values.as_primitive::<Int64Type>().value(row), text))
        }
        DataType::Timestamp(unit, None) => {
            let values = arrow_cast(array, &DataType::Int64)?;
            build(array, |row, text| timestamp(values.as_primitive::<Int64Type>().value(row), *unit, text))
        }
        integer if integer.is_integer() => {
            let values = arrow_cast(array, &DataType::Int64)?;
            build(array, |row, text| write!(text, "{}", values.as_primitive::<Int64Type>().value(row)))
        }
        other => exec_err!("there is no CAST from {other} to TEXT"),
    }
}

fn build(array: &ArrayRef, write: impl Fn(usize, &mut String) -> std::fmt::Result) -> Result<ArrayRef> {
    let mut texts = StringViewBuilder::with_capacity(array.len());
    let mut text = String::new();
    for row in 0..array.len() {
        text.clear();
        if array.is_null(row) {
            texts.append_null();
        } else if write(row, &mut text).is_ok() {
            texts.append_value(&text);
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// C's `%<width>.<digits>f`.
fn real(value: f64, width: usize, digits: usize, text: &mut String) -> std::fmt::Result {
    match value {
        _ if value.is_nan() => write!(text, "{:>width$}", if value.is_sign_negative() { "-nan" } else { "nan" }),
        _ => write!(text, "{value:>width$.digits$}"),
    }
}

fn date(days: i64, text: &mut String) -> std::fmt::Result {
    let Civil { year, month, day } = Civil::of(days);
    let sign = if year < 0 { "-" } else { "" };
    write!(text, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

fn time(seconds: i64, text: &mut String) -> std::fmt::Result {
    write!(text, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn timestamp(count: i64, unit: TimeUnit, text: &mut String) -> std::fmt::Result {
    let (per_second, digits) = (per_second(unit), usize::from(precision_of(unit)));
    let seconds = count.div_euclid(per_second);
    date(seconds.div_euclid(DAY), text)?;
    text.push(' ');
    time(seconds.rem_euclid(DAY), text)?;
    if digits > 0 { write!(text, ".{:0digits$}", count.rem_euclid(per_second)) } else { Ok(()) }
}
