//! The rows of an aggregate: its arguments as plain values, and which of them count.

use std::fmt::Debug;
use std::ops::Deref;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::{Result, exec_datafusion_err};

/// One row of the arguments.
pub(super) trait Row: Copy + Debug + Send + Sync + 'static {
    /// All rows of a batch.
    type Values: Deref<Target = [Self]>;

    /// The rows of a batch and which of them count; all do where there is no second part.
    fn read(arguments: &[ArrayRef]) -> Result<(Self::Values, Option<NullBuffer>)>;

    /// A number of 128 bits that is the same for equal rows only, and in their order.
    fn key(self) -> i128;

    /// The row of a key.
    fn of_key(key: i128) -> Self;
}

fn argument(arguments: &[ArrayRef], i: usize) -> Result<&ArrayRef> {
    arguments.get(i).ok_or_else(|| exec_datafusion_err!("argument {} is missing", i + 1))
}

impl Row for i64 {
    type Values = ScalarBuffer<i64>;

    fn read(arguments: &[ArrayRef]) -> Result<(Self::Values, Option<NullBuffer>)> {
        let values = cast(argument(arguments, 0)?, &DataType::Int64)?;
        Ok((values.as_primitive::<Int64Type>().values().clone(), values.nulls().cloned()))
    }

    fn key(self) -> i128 {
        self.into()
    }

    fn of_key(key: i128) -> Self {
        key as Self
    }
}

/// The digits of a DECIMAL, without its point.
impl Row for i128 {
    type Values = ScalarBuffer<i128>;

    fn read(arguments: &[ArrayRef]) -> Result<(Self::Values, Option<NullBuffer>)> {
        let values = argument(arguments, 0)?;
        let digits =
            values.as_primitive_opt::<Decimal128Type>().ok_or_else(|| exec_datafusion_err!("{} is no DECIMAL", values.data_type()))?;
        Ok((digits.values().clone(), values.nulls().cloned()))
    }

    fn key(self) -> i128 {
        self
    }

    fn of_key(key: i128) -> Self {
        key
    }
}

fn doubles(array: &ArrayRef) -> Result<(ScalarBuffer<f64>, Option<NullBuffer>)> {
    let values = cast(array, &DataType::Float64)?;
    Ok((values.as_primitive::<Float64Type>().values().clone(), values.nulls().cloned()))
}

impl Row for f64 {
    type Values = ScalarBuffer<f64>;

    fn read(arguments: &[ArrayRef]) -> Result<(Self::Values, Option<NullBuffer>)> {
        doubles(argument(arguments, 0)?)
    }

    fn key(self) -> i128 {
        // -0 equals 0. The bits of negative numbers run backwards.
        let bits = (self + 0.0).to_bits() as i64;
        (bits ^ (((bits >> 63) as u64) >> 1) as i64).into()
    }

    fn of_key(key: i128) -> Self {
        let bits = key as i64;
        Self::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
    }
}

/// One row of two columns, each of which may be NULL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) x: Option<f64>,
    pub(super) y: Option<f64>,
}

impl Row for Pair {
    type Values = Vec<Self>;

    fn read(arguments: &[ArrayRef]) -> Result<(Self::Values, Option<NullBuffer>)> {
        let ((x, no_x), (y, no_y)) = (doubles(argument(arguments, 0)?)?, doubles(argument(arguments, 1)?)?);
        let side =
            |values: &[f64], nulls: &Option<NullBuffer>, i: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i)).then(|| values[i]);
        let pairs = (0..x.len().min(y.len())).map(|i| Self { x: side(&x, &no_x, i), y: side(&y, &no_y, i) }).collect();
        Ok((pairs, None))
    }

    fn key(self) -> i128 {
        // Pairs are never made distinct.
        0
    }

    fn of_key(_: i128) -> Self {
        Self { x: None, y: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_doubles_and_lead_back() {
        let values = [f64::NEG_INFINITY, -2.5, -0.0, 1e-300, 2.5, f64::INFINITY];
        let keys: Vec<i128> = values.iter().map(|x| x.key()).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().map(|&key| f64::of_key(key)).collect::<Vec<_>>(), values);
        assert_eq!((-0.0).key(), 0.0.key());
    }
}
