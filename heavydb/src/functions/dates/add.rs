//! DATEADD and TIMESTAMPADD: an instant some units later.

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::calendar::Civil;
use super::constant_argument;
use super::instants::{Instants, accepted, finish, timestamp_like};
use super::units::{Unit, Use};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};

/// `dateadd('unit', n, x)`.
pub const DATEADD: ScalarFunction = ScalarFunction { name: "dateadd", arguments, result, evaluate };

fn arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("DATEADD", types, 3..=3)?;
    if matches!(types[2], DataType::Time32(_)) {
        return plan_err!("DATEADD does not take a TIME: cast it to a TIMESTAMP");
    }
    match &types[1] {
        number if number.is_integer() => Ok(vec![types[0].clone(), DataType::Int64, accepted("DATEADD", &types[2])?]),
        DataType::Null => plan_err!("the number of DATEADD must not be NULL"),
        other => plan_err!("the number of DATEADD is an integer, given is {other}: CAST it"),
    }
}

fn result(call: &ReturnFieldArgs<'_>) -> Result<Field> {
    Unit::of_argument(call.scalar_arguments[0], Use::Add)?;
    if call.scalar_arguments[1].is_some_and(|number| number.is_null()) {
        return plan_err!("the number of DATEADD must not be NULL");
    }
    of_type(timestamp_like(call.arg_fields[2].data_type()))
}

fn evaluate(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = Unit::of_argument(constant_argument(&call.args[0]), Use::Add)?;
    let (numbers, one_number) = Numbers::of(&call.args[1])?;
    let instants = Instants::of("DATEADD", &call.args[2])?;
    let constant = one_number && instants.constant;
    let rows = if constant { 1 } else { call.number_rows };
    let sum = |row| match (instants.at(row), numbers.at(row)) {
        (None, _) => Ok(None),
        (Some(instant), Some(number)) => add(unit, number, instant, instants.per_second).map(Some),
        (Some(_), None) => exec_err!("the number of DATEADD is NULL in a row: filter such rows, or use COALESCE"),
    };
    let values = (0..rows).map(sum).collect::<Result<Int64Array>>()?;
    finish(values, &timestamp_like(&instants.data_type), constant)
}

/// Integers of an argument.
pub(super) struct Numbers {
    values: Int64Array,
    constant: bool,
}

impl Numbers {
    /// Reads an argument; the flag tells a constant.
    pub(super) fn of(argument: &ColumnarValue) -> Result<(Self, bool)> {
        let (array, constant) = match argument {
            ColumnarValue::Array(array) => (datafusion::arrow::compute::cast(array, &DataType::Int64)?, false),
            ColumnarValue::Scalar(value) => (value.cast_to(&DataType::Int64)?.to_array()?, true),
        };
        Ok((Self { values: array.as_primitive::<Int64Type>().clone(), constant }, constant))
    }

    /// The value of a row.
    pub(super) fn at(&self, row: usize) -> Option<i64> {
        let row = if self.constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }
}

/// The instant `number` units later, in counts of 1 / `per_second`; units finer than a count add whole counts, rounded down.
///
/// # Errors
/// A result beyond 64 bits.
pub(super) fn add(unit: Unit, number: i64, instant: i64, per_second: i64) -> Result<i64> {
    let counts = match (unit.per_second(), unit.seconds()) {
        (Some(parts), _) if parts > per_second => Some(number.div_euclid(parts / per_second)),
        (Some(parts), _) => number.checked_mul(per_second / parts),
        (None, Some(seconds)) => number.checked_mul(seconds * per_second),
        (None, None) => return add_months(number.checked_mul(unit.months().unwrap_or(1)), instant, per_second),
    };
    counts.and_then(|counts| instant.checked_add(counts)).ok_or_else(|| out_of_range(number, unit))
}

/// The same time of the same day some months later, the day clamped to the month's end.
fn add_months(months: Option<i64>, instant: i64, per_second: i64) -> Result<i64> {
    let per_day = super::calendar::DAY * per_second;
    let (days, of_day) = (instant.div_euclid(per_day), instant.rem_euclid(per_day));
    let later = months.and_then(|months| Civil::of(days).plus_months(months));
    let sum = later.and_then(|date| date.days().checked_mul(per_day)?.checked_add(of_day));
    sum.ok_or_else(|| out_of_range(months.unwrap_or(i64::MAX), Unit::Month))
}

fn out_of_range(number: i64, unit: Unit) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("DATEADD: {number} times {unit:?} leads out of the range of the TIMESTAMP")
}
