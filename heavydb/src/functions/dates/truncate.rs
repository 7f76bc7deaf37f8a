//! DATE_TRUNC: the start of the unit in which an instant lies.

use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::calendar::{Civil, DAY, days_into_week, new_year};
use super::constant_argument;
use super::instants::{Instants, accepted, finish, timestamp_like};
use super::units::{Unit, Use};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};

/// `date_trunc('unit', x)`.
pub const DATE_TRUNC: ScalarFunction = ScalarFunction {
    name: "date_trunc",
    arguments: |types| {
        expect_count("DATE_TRUNC", types, 2..=2)?;
        Ok(vec![types[0].clone(), accepted("DATE_TRUNC", &types[1])?])
    },
    result: |call| {
        let given = call.arg_fields[1].data_type();
        Unit::of_argument(call.scalar_arguments[0], Use::Truncate)?.check(given, Use::Truncate)?;
        of_type(timestamp_like(given))
    },
    evaluate,
};

fn evaluate(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = Unit::of_argument(constant_argument(&call.args[0]), Use::Truncate)?;
    let instants = Instants::of("DATE_TRUNC", &call.args[1])?;
    unit.check(&instants.data_type, Use::Truncate)?;
    let per_second = instants.per_second;
    let start = |instant| truncate(unit, instant, per_second).ok_or_else(|| too_early(instant));
    finish(instants.values.try_unary::<_, Int64Type, _>(start)?, &timestamp_like(&instants.data_type), instants.constant)
}

fn too_early(instant: i64) -> DataFusionError {
    exec_datafusion_err!("DATE_TRUNC: the unit of the instant {instant} starts before the first TIMESTAMP of its precision")
}

/// Start of the unit, in the same counts; `None` where 64 bits do not reach it.
fn truncate(unit: Unit, instant: i64, per_second: i64) -> Option<i64> {
    let per_day = DAY * per_second;
    let within = |length: i64| instant.checked_sub(instant.rem_euclid(length));
    if let Some(parts) = unit.per_second() {
        return within((per_second / parts).max(1));
    }
    let days = instant.div_euclid(per_day);
    let start = match (unit, unit.first_day(), unit.seconds()) {
        (_, Some(first), _) => days - days_into_week(days, first),
        (_, _, Some(seconds)) => return within(seconds * per_second),
        (Unit::Month, ..) => days - (Civil::of(days).day - 1),
        (Unit::Quarter, ..) => {
            let date = Civil::of(days);
            Civil { month: date.month - (date.month - 1) % 3, day: 1, ..date }.days()
        }
        _ => new_year(first_year(unit, Civil::of(days).year)),
    };
    start.checked_mul(per_day)
}

/// First year of the unit of years that holds `year`: decades start at 0, centuries and millennia at 1.
fn first_year(unit: Unit, year: i64) -> i64 {
    match unit {
        Unit::Decade => year - year.rem_euclid(10),
        Unit::Century => year - (year - 1).rem_euclid(100),
        Unit::Millennium => year - (year - 1).rem_euclid(1_000),
        _ => year,
    }
}
