//! Rounding and signs: integers, FLOAT and DECIMAL stay what they are.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::operands::{arrays, as_doubles, as_floats, is_float, number_and_places, numbers, shown};
use crate::functions::scalar::{ScalarFunction, of_type};
use crate::functions::strings::refuse;

/// `CEIL(x)`.
pub(super) const CEIL: ScalarFunction = ScalarFunction {
    name: "ceil",
    arguments: |given| numbers("ceil", given, 1..=1),
    result: |call| of_type(whole(call.arg_fields[0].data_type())),
    evaluate: |call| to_whole(call, f32::ceil, f64::ceil, |x, unit| x.div_euclid(unit) + i128::from(x.rem_euclid(unit) != 0)),
};

/// `FLOOR(x)`.
pub(super) const FLOOR: ScalarFunction = ScalarFunction {
    name: "floor",
    arguments: |given| numbers("floor", given, 1..=1),
    result: |call| of_type(whole(call.arg_fields[0].data_type())),
    evaluate: |call| to_whole(call, f32::floor, f64::floor, i128::div_euclid),
};

/// The type of a whole number in a type.
fn whole(given: &DataType) -> DataType {
    match given {
        DataType::Decimal128(precision, _) => DataType::Decimal128(*precision, 0),
        given => given.clone(),
    }
}

fn to_whole(
    call: &ScalarFunctionArgs,
    narrow: fn(f32) -> f32,
    wide: fn(f64) -> f64,
    decimal: fn(i128, i128) -> i128,
) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let given = &given[0];
    let result: ArrayRef = match given.data_type() {
        DataType::Float32 => Arc::new(given.as_primitive::<Float32Type>().unary::<_, Float32Type>(narrow)),
        DataType::Float64 => Arc::new(given.as_primitive::<Float64Type>().unary::<_, Float64Type>(wide)),
        DataType::Decimal128(precision, scale) => {
            let unit = power_of_ten(i64::from(*scale)).unwrap_or(i128::MAX);
            let units = given.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(|x| decimal(x, unit));
            Arc::new(units.with_precision_and_scale(*precision, 0)?)
        }
        _ => Arc::clone(given),
    };
    shown(result, constant)
}

/// 10 to the power of `places`; `None` where it is beyond every number of HeavyDB.
fn power_of_ten(places: i64) -> Option<i128> {
    u32::try_from(places).ok().filter(|places| *places <= 18).map(|places| 10_i128.pow(places))
}

/// `SIGN(x)`.
pub(super) const SIGN: ScalarFunction = ScalarFunction {
    name: "sign",
    arguments: |given| numbers("sign", given, 1..=1),
    result: |call| of_type(sign_type(call.arg_fields[0].data_type())),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        shown(sign(&given[0])?, constant)
    },
};

/// A DECIMAL with a digit before the point.
fn sign_type(given: &DataType) -> DataType {
    match given {
        DataType::Decimal128(precision, scale) => DataType::Decimal128((*precision).max(scale.unsigned_abs() + 1), *scale),
        given => given.clone(),
    }
}

/// -1, 0 or 1 in the type of `given`; NaN has no sign and gives NULL.
fn sign(given: &ArrayRef) -> Result<ArrayRef> {
    Ok(match given.data_type() {
        DataType::Int8 => signs::<Int8Type>(given, 1),
        DataType::Int16 => signs::<Int16Type>(given, 1),
        DataType::Int32 => signs::<Int32Type>(given, 1),
        DataType::Int64 => signs::<Int64Type>(given, 1),
        DataType::Float32 => signs::<Float32Type>(given, 1.0),
        DataType::Float64 => signs::<Float64Type>(given, 1.0),
        DataType::Decimal128(_, scale) => {
            let one = power_of_ten(i64::from(*scale)).unwrap_or(i128::MAX);
            let signs = signs::<Decimal128Type>(given, one);
            Arc::new(signs.as_primitive::<Decimal128Type>().clone().with_data_type(sign_type(given.data_type())))
        }
        other => return internal_err!("SIGN of {other}"),
    })
}

fn signs<T: ArrowPrimitiveType>(given: &ArrayRef, one: T::Native) -> ArrayRef {
    let zero = T::Native::ZERO;
    let sign = |x: T::Native| match x.partial_cmp(&zero)? {
        std::cmp::Ordering::Less => Some(zero.sub_wrapping(one)),
        std::cmp::Ordering::Equal => Some(zero),
        std::cmp::Ordering::Greater => Some(one),
    };
    Arc::new(given.as_primitive::<T>().unary_opt::<_, T>(sign))
}

/// `ABS(x)`.
pub(super) const ABS: ScalarFunction = ScalarFunction {
    name: "abs",
    arguments: |given| numbers("abs", given, 1..=1),
    result: |call| of_type(call.arg_fields[0].data_type().clone()),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        shown(absolute(&given[0])?, constant)
    },
};

fn absolute(given: &ArrayRef) -> Result<ArrayRef> {
    Ok(match given.data_type() {
        DataType::Int8 => magnitudes::<Int8Type>(given)?,
        DataType::Int16 => magnitudes::<Int16Type>(given)?,
        DataType::Int32 => magnitudes::<Int32Type>(given)?,
        DataType::Int64 => magnitudes::<Int64Type>(given)?,
        DataType::Float32 => Arc::new(given.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)),
        DataType::Float64 => Arc::new(given.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
        DataType::Decimal128(..) => magnitudes::<Decimal128Type>(given)?,
        other => return internal_err!("ABS of {other}"),
    })
}

fn magnitudes<T: ArrowPrimitiveType>(given: &ArrayRef) -> Result<ArrayRef> {
    let magnitude = |x: T::Native| match x.is_lt(T::Native::ZERO) {
        true => x.neg_checked(),
        false => Ok(x),
    };
    let magnitudes: PrimitiveArray<T> = given.as_primitive::<T>().try_unary(magnitude)?;
    Ok(Arc::new(magnitudes.with_data_type(given.data_type().clone())))
}

/// `ROUND(x [, n])`.
pub(super) const ROUND: ScalarFunction = ScalarFunction {
    name: "round",
    arguments: |given| number_and_places("round", given, 1..=2),
    result: |call| of_type(round_type(call.arg_fields[0].data_type())),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        shown(round(&given[0], &places(&given))?, constant)
    },
};

/// A DECIMAL with one digit more, as 9.9 rounds to 10.0, where HeavyDB has one more.
fn round_type(given: &DataType) -> DataType {
    match given {
        DataType::Decimal128(precision, scale) if *precision < 18 => DataType::Decimal128(precision + 1, *scale),
        given => given.clone(),
    }
}

/// The second argument, 0 by default.
fn places(given: &[ArrayRef]) -> Int64Array {
    match given.get(1) {
        Some(places) => places.as_primitive::<Int64Type>().clone(),
        None => Int64Array::from_value(0, given.first().map_or(0, |given| given.len())),
    }
}

/// Half away from zero; digits before the point where the places are negative.
fn round(given: &ArrayRef, places: &Int64Array) -> Result<ArrayRef> {
    Ok(match given.data_type() {
        DataType::Int8 => whole_places::<Int8Type>("ROUND", given, places, half_away)?,
        DataType::Int16 => whole_places::<Int16Type>("ROUND", given, places, half_away)?,
        DataType::Int32 => whole_places::<Int32Type>("ROUND", given, places, half_away)?,
        DataType::Int64 => whole_places::<Int64Type>("ROUND", given, places, half_away)?,
        DataType::Float32 => rounded::<Float32Type>(given, places, round_narrow),
        DataType::Float64 => rounded::<Float64Type>(given, places, round_wide),
        DataType::Decimal128(_, scale) => {
            let scale = i64::from(*scale);
            let given_units = given.as_primitive::<Decimal128Type>();
            let units = given_units.iter().zip(places).map(|(x, n)| Some(half_away(x?, n?.saturating_sub(scale).min(0))));
            let units: PrimitiveArray<Decimal128Type> = units.collect();
            Arc::new(units.with_data_type(round_type(given.data_type())))
        }
        other => return internal_err!("ROUND of {other}"),
    })
}

fn rounded<T: ArrowPrimitiveType>(given: &ArrayRef, places: &Int64Array, round: fn(T::Native, i64) -> T::Native) -> ArrayRef {
    let values = given.as_primitive::<T>().iter().zip(places).map(|(x, n)| Some(round(x?, n?)));
    Arc::new(values.collect::<PrimitiveArray<T>>())
}

fn round_wide(x: f64, places: i64) -> f64 {
    if places == 0 {
        return x.round() + 0.0;
    }
    let factor = 10_f64.powf(places as f64);
    (x * factor).round() / factor + 0.0
}

fn round_narrow(x: f32, places: i64) -> f32 {
    if places == 0 {
        return x.round() + 0.0;
    }
    let factor = 10_f32.powf(places as f32);
    (x * factor).round() / factor + 0.0
}

/// An integer with zeros in its last digits, as many as `places` is below zero; a unit beyond every number gives 0.
fn half_away(x: i128, places: i64) -> i128 {
    match power_of_ten(places.saturating_neg()) {
        Some(unit) => (x + x.signum() * (unit / 2)) / unit * unit,
        None => 0,
    }
}

fn cut(x: i128, places: i64) -> i128 {
    power_of_ten(places.saturating_neg()).map_or(0, |unit| x / unit * unit)
}

/// Integers to places; those of zero and more leave them as they are.
fn whole_places<T>(name: &str, given: &ArrayRef, places: &Int64Array, shorten: fn(i128, i64) -> i128) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64> + TryFrom<i128>,
{
    let shortened = |x: T::Native, n: i64| {
        let wide: i64 = x.into();
        let short = shorten(i128::from(wide), n.min(0));
        T::Native::try_from(short)
            .or_else(|_| exec_err!("{name}({wide}, {n}) is {short}, which {} cannot hold; CAST AS BIGINT", T::DATA_TYPE))
    };
    let values = given.as_primitive::<T>().iter().zip(places).map(|pair| match pair {
        (Some(x), Some(n)) => shortened(x, n).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(values.collect::<Result<PrimitiveArray<T>>>()?))
}

/// `TRUNCATE(x, n)`.
pub(super) const TRUNCATE: ScalarFunction = ScalarFunction {
    name: "truncate",
    arguments: |given| number_and_places("truncate", given, 2..=2),
    result: |call| of_type(truncate_type(call.arg_fields[0].data_type())),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let narrow = call.args.first().is_some_and(is_float);
        shown(truncate(&given[0], &places(&given), narrow)?, constant)
    },
};

/// A DECIMAL becomes a DOUBLE, as HeavyDB has no TRUNCATE of decimals.
fn truncate_type(given: &DataType) -> DataType {
    match given {
        DataType::Decimal128(..) => DataType::Float64,
        given => given.clone(),
    }
}

fn truncate(given: &ArrayRef, places: &Int64Array, narrow: bool) -> Result<ArrayRef> {
    let in_bits = |x: Option<f64>, n: Option<i64>| match (x, n) {
        (Some(x), Some(n)) => cut_real(x, n, narrow).map(Some),
        _ => Ok(None),
    };
    Ok(match given.data_type() {
        DataType::Int8 => whole_places::<Int8Type>("TRUNCATE", given, places, cut)?,
        DataType::Int16 => whole_places::<Int16Type>("TRUNCATE", given, places, cut)?,
        DataType::Int32 => whole_places::<Int32Type>("TRUNCATE", given, places, cut)?,
        DataType::Int64 => whole_places::<Int64Type>("TRUNCATE", given, places, cut)?,
        DataType::Float32 => {
            let values = as_floats(given)?;
            let values = values.iter().zip(places).map(|(x, n)| in_bits(x.map(f64::from), n).map(|x| x.map(|x| x as f32)));
            Arc::new(values.collect::<Result<PrimitiveArray<Float32Type>>>()?)
        }
        _ => {
            let values = as_doubles(given)?;
            let values = values.iter().zip(places).map(|(x, n)| in_bits(x, n));
            Arc::new(values.collect::<Result<PrimitiveArray<Float64Type>>>()?)
        }
    })
}

/// The whole part of x · 10^n, over 10^n, as HeavyDB computes it: by way of a BIGINT.
///
/// # Errors
/// Refuses what a BIGINT cannot hold.
fn cut_real(x: f64, places: i64, narrow: bool) -> Result<f64> {
    let product = if narrow { f64::from(x as f32 * 10_f32.powf(places as f32)) } else { x * 10_f64.powf(places as f64) };
    if product.is_nan() || product.abs() >= i64::MAX as f64 {
        return refuse("TRUNCATE", format!("{x} with {places} places has digits that HeavyDB's BIGINT cannot hold"));
    }
    let whole = product as i64;
    Ok(match narrow {
        true => f64::from(whole as f32 / 10_f32.powf(places as f32)),
        false => whole as f64 / 10_f64.powf(places as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::strings::test_call::{columns, constant, integer};
    use datafusion::arrow::array::{Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array};
    use datafusion::common::ScalarValue;

    fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal128(Some(value), precision, scale)
    }

    #[test]
    fn whole_numbers_lie_above_and_below() {
        assert_eq!(constant(CEIL, &[decimal(23, 2, 1)]), "3");
        assert_eq!(constant(CEIL, &[decimal(20, 2, 1)]), "2");
        assert_eq!(constant(CEIL, &[decimal(-23, 2, 1)]), "-2");
        assert_eq!(constant(FLOOR, &[decimal(-23, 2, 1)]), "-3");
        assert_eq!(constant(FLOOR, &[decimal(-20, 2, 1)]), "-2");
        assert_eq!(constant(FLOOR, &[ScalarValue::Float32(Some(2.3))]), "2.0");
        assert_eq!(constant(CEIL, &[integer(i64::MIN)]), i64::MIN.to_string());
        assert_eq!(columns(CEIL, &[Arc::new(Float64Array::from(vec![Some(-0.5), None]))], &[]).unwrap(), ["-0.0", "NULL"]);
        assert!(constant(CEIL, &["a".into()]).contains("not a number"));
    }

    #[test]
    fn signs_keep_their_type() {
        assert_eq!(constant(SIGN, &[integer(-43)]), "-1");
        assert_eq!(constant(SIGN, &[decimal(-5, 3, 2)]), "-1.00");
        assert_eq!(constant(SIGN, &[decimal(5, 2, 2)]), "1.00");
        assert_eq!(constant(SIGN, &[f64::NAN.into()]), "NULL");
        assert_eq!(constant(SIGN, &[(-0.0).into()]), "0.0");
        assert_eq!(columns(SIGN, &[Arc::new(Int8Array::from(vec![Some(-128), None, Some(0)]))], &[]).unwrap(), ["-1", "NULL", "0"]);
    }

    #[test]
    fn magnitudes_that_do_not_exist_are_errors() {
        assert_eq!(constant(ABS, &[integer(-5)]), "5");
        assert_eq!(constant(ABS, &[decimal(-123, 4, 2)]), "1.23");
        assert_eq!(constant(ABS, &[(-1.5).into()]), "1.5");
        assert!(constant(ABS, &[integer(i64::MIN)]).to_lowercase().contains("overflow"));
    }

    #[test]
    fn rounding_keeps_types_and_goes_away_from_zero() {
        let round = |x: ScalarValue, n: i64| constant(ROUND, &[x, integer(n)]);
        assert_eq!(round(integer(-3_456), -1), "-3460");
        assert_eq!(round(integer(3_456), 2), "3456");
        assert_eq!(round(integer(3_456_789_012), -7), "3460000000");
        assert_eq!(round(integer(i64::MAX), -19), "0");
        assert_eq!(round(integer(i64::MAX), i64::MIN), "0");
        assert!(round(integer(i64::MAX), -1).contains("cannot hold"));
        assert_eq!(round((-34_567.234_56).into(), 2), "-34567.23");
        assert_eq!(round((-34_567.234_56).into(), -3), "-35000.0");
        assert_eq!(round(2.5.into(), 0), "3.0");
        assert_eq!(round((-0.2).into(), 0), "0.0");
        assert_eq!(round(ScalarValue::Float32(Some(3_456.345_6)), 1), "3456.3");
        assert_eq!(round(decimal(345_672_346, 9, 4), 2), "34567.2300");
        assert_eq!(round(decimal(99, 2, 1), 0), "10.0");
        assert_eq!(round(decimal(-25, 2, 1), 0), "-3.0");
        assert_eq!(round(decimal(99, 2, 1), -30), "0.0");
        assert_eq!(constant(ROUND, &[decimal(25, 2, 1)]), "3.0");
        assert_eq!(constant(ROUND, &[integer(25), ScalarValue::Null]), "NULL");
        let column = Arc::new(Int16Array::from(vec![Some(3_456), None]));
        assert_eq!(columns(ROUND, &[Arc::clone(&column) as ArrayRef], &[]).unwrap(), ["3456", "NULL"]);
        assert_eq!(columns(ROUND, &[column], &[integer(-7)]).unwrap(), ["0", "NULL"]);
        let places = Arc::new(Int64Array::from(vec![Some(1), None]));
        assert_eq!(columns(ROUND, &[Arc::new(Float64Array::from(vec![1.25, 1.0])), places], &[]).unwrap(), ["1.3", "NULL"]);
        let small = Arc::new(Int8Array::from(vec![127]));
        assert!(columns(ROUND, &[small], &[integer(-1)]).unwrap_err().to_string().contains("130"));
    }

    #[test]
    fn truncation_goes_by_way_of_a_bigint() {
        let truncate = |x: ScalarValue, n: i64| constant(TRUNCATE, &[x, integer(n)]);
        assert_eq!(truncate(integer(1171), -3), "1000");
        assert_eq!(truncate(integer(-1171), -3), "-1000");
        assert_eq!(truncate(integer(1171), 3), "1171");
        assert_eq!(truncate(integer(1171), -99), "0");
        assert_eq!(truncate(1_171.123.into(), -3), "1000.0");
        assert_eq!(truncate(ScalarValue::Float32(Some(1_171.113)), 2), "1171.11");
        assert_eq!(truncate(decimal(29, 3, 2), 2), "0.28", "as HeavyDB, which has no TRUNCATE of decimals");
        assert_eq!(truncate(decimal(-1_171_123, 7, 3), 1), "-1171.1");
        assert!(truncate(1e300.into(), 0).contains("BIGINT"));
        assert!(truncate(f64::NAN.into(), 0).contains("BIGINT"));
        assert_eq!(constant(TRUNCATE, &[ScalarValue::Null, integer(1)]), "NULL");
        let floats = Arc::new(Float32Array::from(vec![Some(1_171.113), None]));
        assert_eq!(columns(TRUNCATE, &[floats], &[integer(2)]).unwrap(), ["1171.11", "NULL"]);
        let decimals = Decimal128Array::from(vec![Some(1_171_123), None]).with_precision_and_scale(7, 3).unwrap();
        assert_eq!(columns(TRUNCATE, &[Arc::new(decimals)], &[integer(-3)]).unwrap(), ["999.9999389648438", "NULL"]);
    }
}
