//! EXTRACT and DATEPART: a part of an instant as BIGINT.

use datafusion::arrow::datatypes::Field;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::calendar::{Civil, DAY, days_into_week, new_year, week_of_year};
use super::constant_argument;
use super::instants::{Instants, accepted, finish};
use super::units::{Unit, Use};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};

/// `extract('unit', x)`.
pub const EXTRACT: ScalarFunction = ScalarFunction {
    name: "extract",
    arguments: |types| arguments("EXTRACT", types),
    result: |call| result(call, Use::Extract),
    evaluate: |call| evaluate(call, Use::Extract),
};

/// `datepart('unit', x)`.
pub const DATEPART: ScalarFunction = ScalarFunction {
    name: "datepart",
    arguments: |types| arguments("DATEPART", types),
    result: |call| result(call, Use::Part),
    evaluate: |call| evaluate(call, Use::Part),
};

fn arguments(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count(name, types, 2..=2)?;
    Ok(vec![types[0].clone(), accepted(name, &types[1])?])
}

fn result(call: &ReturnFieldArgs<'_>, part: Use) -> Result<Field> {
    Unit::of_argument(call.scalar_arguments[0], part)?.check(call.arg_fields[1].data_type(), part)?;
    of_type(DataType::Int64)
}

fn evaluate(call: &ScalarFunctionArgs, part: Use) -> Result<ColumnarValue> {
    let unit = Unit::of_argument(constant_argument(&call.args[0]), part)?;
    let instants = Instants::of("EXTRACT", &call.args[1])?;
    unit.check(&instants.data_type, part)?;
    let per_second = instants.per_second;
    let values = instants.values.unary::<_, Int64Type>(|instant| extract(unit, instant, per_second));
    finish(values, &DataType::Int64, instants.constant)
}

/// A part of an instant that counts 1 / `per_second`.
fn extract(unit: Unit, instant: i64, per_second: i64) -> i64 {
    let seconds = instant.div_euclid(per_second);
    let (days, of_day) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    match unit {
        Unit::Nanosecond | Unit::Microsecond | Unit::Millisecond => {
            let (of_minute, wanted) = (instant.rem_euclid(60 * per_second), unit.per_second().unwrap_or(1));
            if wanted >= per_second { of_minute * (wanted / per_second) } else { of_minute / (per_second / wanted) }
        }
        Unit::Second => of_day % 60,
        Unit::Minute => of_day / 60 % 60,
        Unit::Hour => of_day / 3_600,
        Unit::QuarterDay => of_day / 21_600 + 1,
        Unit::Day => Civil::of(days).day,
        Unit::Week => week_of_year(days, 0),
        Unit::WeekSaturday => week_of_year(days, 5),
        Unit::WeekSunday => week_of_year(days, 6),
        Unit::Month => Civil::of(days).month,
        Unit::Quarter => (Civil::of(days).month - 1) / 3 + 1,
        Unit::Year => Civil::of(days).year,
        Unit::DayOfWeek => days_into_week(days, 6),
        Unit::IsoDayOfWeek => days_into_week(days, 0) + 1,
        Unit::DayOfYear => days - new_year(Civil::of(days).year) + 1,
        Unit::Epoch => seconds,
        Unit::DateEpoch => days.saturating_mul(DAY),
        // No function extracts these: the table of units has no such row.
        Unit::Decade => Civil::of(days).year.div_euclid(10),
        Unit::Century => (Civil::of(days).year - 1).div_euclid(100) + 1,
        Unit::Millennium => (Civil::of(days).year - 1).div_euclid(1_000) + 1,
    }
}
