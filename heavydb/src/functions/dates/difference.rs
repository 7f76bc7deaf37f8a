//! DATEDIFF and TIMESTAMPDIFF: completed units from one instant to another, cut towards zero.

use std::cmp::Ordering;

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::calendar::{Civil, DAY};
use super::constant_argument;
use super::instants::{Instants, accepted, finish};
use super::units::{Unit, Use};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};

/// `datediff('unit', a, b)`.
pub const DATEDIFF: ScalarFunction = ScalarFunction { name: "datediff", arguments, result, evaluate };

fn arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("DATEDIFF", types, 3..=3)?;
    let times = types[1..].iter().filter(|given| matches!(given, DataType::Time32(_))).count();
    if times == 1 && !types[1..].contains(&DataType::Null) {
        return plan_err!("DATEDIFF compares two TIMEs, or two DATEs or TIMESTAMPs");
    }
    Ok(vec![types[0].clone(), accepted("DATEDIFF", &types[1])?, accepted("DATEDIFF", &types[2])?])
}

fn result(call: &ReturnFieldArgs<'_>) -> Result<Field> {
    Unit::of_argument(call.scalar_arguments[0], Use::Difference)?;
    of_type(DataType::Int64)
}

fn evaluate(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = Unit::of_argument(constant_argument(&call.args[0]), Use::Difference)?;
    let (start, end) = (Instants::of("DATEDIFF", &call.args[1])?, Instants::of("DATEDIFF", &call.args[2])?);
    let constant = start.constant && end.constant;
    let rows = if constant { 1 } else { call.number_rows };
    let out_of_range = || exec_datafusion_err!("DATEDIFF in units of {unit:?} is out of the range of BIGINT");
    let count = |row| match (start.at(row), end.at(row)) {
        (Some(a), Some(b)) => difference(unit, (a, start.per_second), (b, end.per_second)).map(Some).ok_or_else(out_of_range),
        _ => Ok(None),
    };
    finish((0..rows).map(count).collect::<Result<Int64Array>>()?, &DataType::Int64, constant)
}

/// Completed units between two instants, each in its own counts of a second; `None` beyond 64 bits.
pub(super) fn difference(unit: Unit, start: (i64, i64), end: (i64, i64)) -> Option<i64> {
    let finest = start.1.max(end.1);
    let counts = |(instant, per_second): (i64, i64)| i128::from(instant) * i128::from(finest / per_second);
    let (a, b, finest) = (counts(start), counts(end), i128::from(finest));
    if let Some(parts) = unit.per_second() {
        return i64::try_from((b - a) * i128::from(parts) / finest).ok();
    }
    if let Some(seconds) = unit.seconds() {
        return i64::try_from((b - a) / (i128::from(seconds) * finest)).ok();
    }
    let (from, to) = (start.0.div_euclid(start.1), whole_end(start, end));
    let (earlier, later, sign) = if from <= to { (from, to, 1) } else { (to, from, -1) };
    let (first, last) = (Civil::of(earlier.div_euclid(DAY)), Civil::of(later.div_euclid(DAY)));
    let short = (last.day, later.rem_euclid(DAY)) < (first.day, earlier.rem_euclid(DAY));
    let months = last.months() - first.months() - i64::from(short);
    Some(sign * (months / unit.months()?))
}

/// The end in whole seconds, one second nearer to the start where the fraction of a second is not yet complete. Months are counted
/// to this second, as HeavyDB does it, not to the instant: at a month's end the two can differ.
fn whole_end(start: (i64, i64), end: (i64, i64)) -> i64 {
    let finest = start.1.max(end.1);
    let fraction = |(instant, per_second): (i64, i64)| instant.rem_euclid(per_second) * (finest / per_second);
    let (from, to) = (start.0.div_euclid(start.1), end.0.div_euclid(end.1));
    match (to.cmp(&from), fraction(end).cmp(&fraction(start))) {
        (Ordering::Greater, Ordering::Less) => to - 1,
        (Ordering::Less, Ordering::Greater) => to + 1,
        _ => to,
    }
}
