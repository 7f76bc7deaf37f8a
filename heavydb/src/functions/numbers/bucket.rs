//! `WIDTH_BUCKET` and the remainder of integers.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, Int32Array, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::operands::{arrays, as_doubles, integer, number, shown};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};
use crate::functions::strings::refuse;

/// `WIDTH_BUCKET(x, low, high, n)`.
pub(super) const WIDTH_BUCKET: ScalarFunction = ScalarFunction {
    name: "width_bucket",
    arguments: |given| {
        expect_count("width_bucket", given, 4..=4)?;
        let bounds = given.iter().take(3).enumerate().map(|(i, given)| number("width_bucket", i + 1, given).map(|_| DataType::Float64));
        bounds.chain([integer("width_bucket", 4, &given[3])]).collect()
    },
    result: |_| of_type(DataType::Int32),
    evaluate: |call| {
        let (given, constant) = arrays(call)?;
        let (values, lows, highs) = (as_doubles(&given[0])?, as_doubles(&given[1])?, as_doubles(&given[2])?);
        let counts = given[3].as_primitive::<Int64Type>();
        let rows = values.iter().zip(&lows).zip(&highs).zip(counts);
        let buckets = rows.map(|(((x, low), high), n)| match (x, low, high, n) {
            (x, Some(low), Some(high), Some(n)) => Buckets::try_new(low, high, n)?.of(x),
            (None, ..) => Ok(None),
            _ => refuse("WIDTH_BUCKET", "a bound or the number of buckets is NULL"),
        });
        shown(Arc::new(buckets.collect::<Result<Int32Array>>()?), constant)
    },
};

/// Buckets of equal width between two bounds.
struct Buckets {
    /// 1 where the bounds ascend, -1 where they descend: then everything is mirrored.
    direction: f64,
    low: f64,
    high: f64,
    per_unit: f64,
    count: i32,
}

impl Buckets {
    /// # Errors
    /// No bucket, more than an INTEGER numbers, bounds that are equal or no numbers.
    fn try_new(low: f64, high: f64, count: i64) -> Result<Self> {
        let Some(buckets) = i32::try_from(count).ok().filter(|count| (1..i32::MAX).contains(count)) else {
            return exec_err!("WIDTH_BUCKET: the number of buckets is {count}; it must lie between 1 and {}", i32::MAX - 1);
        };
        if low == high || !low.is_finite() || !high.is_finite() {
            return exec_err!("WIDTH_BUCKET: the bounds are {low} and {high}; they must be two different finite numbers");
        }
        let direction = if low > high { -1.0 } else { 1.0 };
        let (low, high) = (low * direction, high * direction);
        Ok(Self { direction, low, high, per_unit: f64::from(buckets) / (high - low), count: buckets })
    }

    /// The bucket of a number, from 1; 0 before the first, one more than there are behind the last.
    ///
    /// # Errors
    /// Refuses NaN, and a number so near to a border that HeavyDB's two ways to add 1 differ.
    fn of(&self, x: Option<f64>) -> Result<Option<i32>> {
        let Some(x) = x.map(|x| x * self.direction) else { return Ok(None) };
        if x < self.low {
            return Ok(Some(0));
        }
        if x >= self.high {
            return Ok(Some(self.count + 1));
        }
        let place = (x - self.low) * self.per_unit;
        let bucket = (place + 1.0) as i32;
        if x.is_nan() || bucket != place as i32 + 1 {
            return refuse("WIDTH_BUCKET", format!("{x} has no bucket or lies on the border of two"));
        }
        Ok(Some(bucket))
    }
}

/// `MOD(a, b)` of integers, which fails for b = 0.
pub(super) const MOD: ScalarFunction = ScalarFunction {
    name: "mod",
    arguments: common_integers,
    result: |call| of_type(call.arg_fields[0].data_type().clone()),
    evaluate: |call| remainders(call, false),
};

/// `MOD(a, b)` of integers, which is NULL for b = 0.
pub(super) const MOD_NULL_BY_ZERO: ScalarFunction = ScalarFunction { evaluate: |call| remainders(call, true), ..MOD };

/// The wider type of two integers for both.
fn common_integers(given: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("mod", given, 2..=2)?;
    let bits = |given: &DataType| match given {
        DataType::Null | DataType::Int8 => Ok(8),
        DataType::Int16 => Ok(16),
        DataType::Int32 => Ok(32),
        given if given.is_integer() => Ok(64),
        given => plan_err!("MOD: an argument is {given}; HeavyDB takes the remainder of integers only"),
    };
    let common = match bits(&given[0])?.max(bits(&given[1])?) {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        _ => DataType::Int64,
    };
    Ok(vec![common; 2])
}

fn remainders(call: &ScalarFunctionArgs, null_by_zero: bool) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let divisors = cast(&given[1], given[0].data_type())?;
    let result = match given[0].data_type() {
        DataType::Int8 => remainder::<Int8Type>(&given[0], &divisors, null_by_zero)?,
        DataType::Int16 => remainder::<Int16Type>(&given[0], &divisors, null_by_zero)?,
        DataType::Int32 => remainder::<Int32Type>(&given[0], &divisors, null_by_zero)?,
        DataType::Int64 => remainder::<Int64Type>(&given[0], &divisors, null_by_zero)?,
        other => return internal_err!("MOD of {other}"),
    };
    shown(result, constant)
}

/// The remainder has the sign of the dividend.
fn remainder<T: ArrowPrimitiveType>(dividends: &ArrayRef, divisors: &ArrayRef, null_by_zero: bool) -> Result<ArrayRef> {
    let pairs = dividends.as_primitive::<T>().iter().zip(divisors.as_primitive::<T>());
    let remainders = pairs.map(|pair| match pair {
        (Some(_), Some(b)) if b.is_zero() && null_by_zero => Ok(None),
        (Some(a), Some(b)) if b.is_zero() => exec_err!("MOD({a:?}, 0): division by zero"),
        (Some(a), Some(b)) => Ok(Some(a.mod_wrapping(b))),
        _ => Ok(None),
    });
    Ok(Arc::new(remainders.collect::<Result<PrimitiveArray<T>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::strings::test_call::{columns, constant, integer};
    use datafusion::arrow::array::{Float64Array, Int8Array, Int64Array};
    use datafusion::common::ScalarValue;

    fn bucket(x: f64, low: f64, high: f64, n: i64) -> String {
        constant(WIDTH_BUCKET, &[x.into(), low.into(), high.into(), integer(n)])
    }

    #[test]
    fn buckets_count_from_the_first_bound() {
        assert_eq!(bucket(2.0, 2.0, 3.0, 100), "1");
        assert_eq!(bucket(-0.1, -2.0, 2.0, 100), "48");
        assert_eq!(bucket(-0.1, 2.0, -2.0, 100), "53");
        assert_eq!(bucket(0.9, 1.0, 3.0, 3), "0");
        assert_eq!(bucket(3.0, 1.0, 3.0, 3), "4");
        assert_eq!(bucket(3.1, 3.0, 1.0, 3), "0");
        assert_eq!(bucket(1.0, 3.0, 1.0, 3), "4");
        assert_eq!(bucket(3.0, 3.0, 1.0, 3), "1");
        assert_eq!(bucket(f64::INFINITY, 1.0, 3.0, 3), "4");
        assert_eq!(constant(WIDTH_BUCKET, &[integer(2), integer(1), integer(3), integer(2)]), "2");
    }

    #[test]
    fn bounds_and_counts_are_checked() {
        assert!(bucket(1.0, 1.0, 1.0, 3).contains("different"));
        assert!(bucket(1.0, 1.0, f64::NAN, 3).contains("finite"));
        assert!(bucket(1.0, 1.0, 2.0, 0).contains("number of buckets"));
        assert!(bucket(1.0, 1.0, 2.0, -5).contains("number of buckets"));
        assert!(bucket(1.0, 1.0, 2.0, i64::from(i32::MAX)).contains("number of buckets"));
        assert!(bucket(f64::NAN, 1.0, 2.0, 3).contains("no bucket"));
        assert!(constant(WIDTH_BUCKET, &[1.0.into(), ScalarValue::Null, 2.0.into(), integer(3)]).contains("NULL"));
        assert_eq!(constant(WIDTH_BUCKET, &[ScalarValue::Null, 1.0.into(), 2.0.into(), integer(3)]), "NULL");
        let column = Arc::new(Float64Array::from(vec![Some(1.5), None]));
        assert_eq!(columns(WIDTH_BUCKET, &[column], &[1.0.into(), 2.0.into(), integer(2)]).unwrap(), ["2", "NULL"]);
    }

    #[test]
    fn remainders_have_the_sign_of_the_dividend() {
        for (a, b, wanted) in [(7, 3, "1"), (-7, 3, "-1"), (7, -3, "1"), (i64::MIN, -1, "0"), (0, 5, "0")] {
            assert_eq!(constant(MOD, &[integer(a), integer(b)]), wanted);
        }
        assert!(constant(MOD, &[integer(1), integer(0)]).contains("division by zero"));
        assert_eq!(constant(MOD_NULL_BY_ZERO, &[integer(1), integer(0)]), "NULL");
        assert_eq!(constant(MOD, &[integer(1), ScalarValue::Null]), "NULL");
        assert_eq!(constant(MOD, &[ScalarValue::Null, integer(0)]), "NULL");
        assert!(constant(MOD, &[1.5.into(), integer(2)]).contains("integers only"));
        let narrow = Arc::new(Int8Array::from(vec![Some(100), None]));
        let wide = Arc::new(Int64Array::from(vec![Some(1000), Some(0)]));
        assert_eq!(columns(MOD, &[narrow, wide], &[]).unwrap(), ["100", "NULL"]);
    }
}
