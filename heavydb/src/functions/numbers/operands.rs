//! Numbers as arguments: their types, their values in 64 and 32 bits.

use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::functions::scalar::expect_count;

/// The digits of a DECIMAL that HeavyDB takes for a FLOAT where a function has a form of 32 bits.
pub(super) const DIGITS_OF_FLOAT: u8 = 7;

/// Checks that all arguments are numbers and keeps their types; NULL becomes DOUBLE.
///
/// # Errors
/// A wrong number of arguments, an argument that is no number.
pub(super) fn numbers(name: &str, given: &[DataType], counts: RangeInclusive<usize>) -> Result<Vec<DataType>> {
    expect_count(name, given, counts)?;
    given.iter().enumerate().map(|(i, given)| number(name, i + 1, given)).collect()
}

/// The type of one argument that is a number.
///
/// # Errors
/// No number.
pub(super) fn number(name: &str, position: usize, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Null => Ok(DataType::Float64),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Ok(DataType::Int64),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => Ok(DataType::Decimal128(*p, *s)),
        given if given.is_signed_integer() => Ok(given.clone()),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => Ok(given.clone()),
        given => plan_err!("{}: argument {position} is {given}, not a number; CAST it", name.to_ascii_uppercase()),
    }
}

/// Checks that all arguments are numbers, which are cast to DOUBLE.
///
/// # Errors
/// As [`numbers`].
pub(super) fn doubles(name: &str, given: &[DataType], count: usize) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Float64; numbers(name, given, count..=count)?.len()])
}

/// A number, then an integer.
///
/// # Errors
/// A wrong number of arguments, other types.
pub(super) fn number_and_places(name: &str, given: &[DataType], counts: RangeInclusive<usize>) -> Result<Vec<DataType>> {
    expect_count(name, given, counts)?;
    let first = given.iter().take(1).map(|given| number(name, 1, given));
    first.chain(given.iter().enumerate().skip(1).map(|(i, given)| integer(name, i + 1, given))).collect()
}

/// The type of one argument that is an integer: BIGINT.
///
/// # Errors
/// No integer.
pub(super) fn integer(name: &str, position: usize, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Null => Ok(DataType::Int64),
        given if given.is_integer() => Ok(DataType::Int64),
        given => plan_err!("{}: argument {position} is {given}, not an integer", name.to_ascii_uppercase()),
    }
}

/// The arguments as arrays, of one row where all are constant.
///
/// # Errors
/// Those of making an array of a constant.
pub(super) fn arrays(call: &ScalarFunctionArgs) -> Result<(Vec<ArrayRef>, bool)> {
    let constant = call.args.iter().all(is_constant);
    let rows = if constant { 1 } else { call.number_rows };
    Ok((call.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<_>>()?, constant))
}

/// An array as a result, of one row as a constant where the arguments were.
///
/// # Errors
/// Those of reading a constant.
pub(super) fn shown(array: ArrayRef, constant: bool) -> Result<ColumnarValue> {
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
        false => Ok(ColumnarValue::Array(array)),
    }
}

pub(super) fn is_constant(argument: &ColumnarValue) -> bool {
    matches!(argument, ColumnarValue::Scalar(_))
}

/// An array as DOUBLE.
///
/// # Errors
/// Those of casts.
pub(super) fn as_doubles(array: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// An array as FLOAT.
///
/// # Errors
/// Those of casts.
pub(super) fn as_floats(array: &ArrayRef) -> Result<Float32Array> {
    Ok(cast(array, &DataType::Float32)?.as_primitive::<Float32Type>().clone())
}

/// Whether HeavyDB takes a function's form of 32 bits for an argument: a FLOAT or a short DECIMAL that is no constant.
pub(super) fn is_float(argument: &ColumnarValue) -> bool {
    let short = match argument.data_type() {
        DataType::Float32 => true,
        DataType::Decimal128(precision, _) => precision <= DIGITS_OF_FLOAT,
        _ => false,
    };
    short && !is_constant(argument)
}

/// A DOUBLE for each row of the only argument.
///
/// # Errors
/// Those of casts.
pub(super) fn map_double(call: &ScalarFunctionArgs, function: fn(f64) -> f64) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let given = as_doubles(&given[0])?;
    shown(Arc::new(given.unary::<_, Float64Type>(function)), constant)
}

/// As [`map_double`], where a FLOAT or short DECIMAL column is computed in 32 bits and then widened.
///
/// # Errors
/// Those of casts.
pub(super) fn map_float_or_double(call: &ScalarFunctionArgs, narrow: fn(f32) -> f32, wide: fn(f64) -> f64) -> Result<ColumnarValue> {
    match call.args.first() {
        Some(argument @ ColumnarValue::Array(array)) if is_float(argument) => {
            let widened = as_floats(array)?.unary::<_, Float64Type>(|x| f64::from(narrow(x)));
            Ok(ColumnarValue::Array(Arc::new(widened)))
        }
        _ => map_double(call, wide),
    }
}

/// A value for each row of two DOUBLE arguments; NULL where one is NULL.
///
/// # Errors
/// Those of casts.
pub(super) fn pair_of_doubles(call: &ScalarFunctionArgs, function: fn(f64, f64) -> f64) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let (left, right) = (as_doubles(&given[0])?, as_doubles(&given[1])?);
    let result: Float64Array = left.iter().zip(&right).map(|(x, y)| Some(function(x?, y?))).collect();
    shown(Arc::new(result), constant)
}
