//! Arithmetic with intervals. An interval is a BIGINT of milliseconds or months; the metadata of its field tells which
//! ([`IntervalKind`]).
//!
//! | text | call |
//! |---|---|
//! | `INTERVAL '1' DAY`, `INTERVAL '1' YEAR` | `day_time_interval(86400000)`, `year_month_interval(12)` |
//! | CASE whose branches are intervals of whole days | `whole_day_interval(CASE ...)` |
//! | `x + i`, `i + x` of a DATE or TIMESTAMP `x` | `datetime_plus(x, i)` |
//! | `x - i` | `datetime_minus(x, i)` |
//! | `x - y` of two DATEs or TIMESTAMP(0)s | `datetime_difference(x, y)` |
//! | `n * i`, `i * n` | `interval_multiply(i, n)` |
//! | `i / n` | `interval_divide(i, n)` |
//! | `i + j`, `i - j` | `interval_add(i, j)`, `interval_subtract(i, j)` |
//! | `-i` | `interval_multiply(i, -1)` |

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::add::{Numbers, add};
use super::calendar::DAY;
use super::instants::{Instants, accepted, finish, timestamp_like};
use super::units::Unit;
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};
use crate::types::interval::IntervalKind;

/// The functions behind the operators; a session registers them, no text names them.
pub const INTERVAL_FUNCTIONS: &[ScalarFunction] = &[
    ScalarFunction {
        name: "day_time_interval",
        arguments: literal_arguments,
        result: |call| Ok(IntervalKind::DayTime.field_of_days(is_days(call.scalar_arguments[0]))),
        evaluate: |call| Ok(call.args[0].clone()),
    },
    ScalarFunction {
        name: "whole_day_interval",
        arguments: literal_arguments,
        result: |_| Ok(IntervalKind::DayTime.field_of_days(true)),
        evaluate: |call| Ok(call.args[0].clone()),
    },
    ScalarFunction {
        name: "year_month_interval",
        arguments: literal_arguments,
        result: |_| Ok(IntervalKind::YearMonth.field("")),
        evaluate: |call| Ok(call.args[0].clone()),
    },
    ScalarFunction { name: "datetime_plus", arguments: moved_arguments, result: moved_result, evaluate: |call| moved(call, 1) },
    ScalarFunction { name: "datetime_minus", arguments: moved_arguments, result: moved_result, evaluate: |call| moved(call, -1) },
    ScalarFunction {
        name: "datetime_difference",
        arguments: difference_arguments,
        result: |_| Ok(IntervalKind::DayTime.field("")),
        evaluate: datetime_difference,
    },
    ScalarFunction {
        name: "interval_multiply",
        arguments: integer_arguments,
        result: |call| scaled_result(call, true),
        evaluate: |call| integers(call, i64::checked_mul),
    },
    ScalarFunction { name: "interval_divide", arguments: integer_arguments, result: |call| scaled_result(call, false), evaluate: divided },
    ScalarFunction {
        name: "interval_add",
        arguments: integer_arguments,
        result: sum_result,
        evaluate: |call| integers(call, i64::checked_add),
    },
    ScalarFunction {
        name: "interval_subtract",
        arguments: integer_arguments,
        result: sum_result,
        evaluate: |call| integers(call, i64::checked_sub),
    },
];

fn literal_arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("an INTERVAL", types, 1..=1)?;
    Ok(vec![DataType::Int64])
}

/// Whether a constant number of milliseconds is one of whole days.
fn is_days(milliseconds: Option<&ScalarValue>) -> bool {
    matches!(milliseconds, Some(ScalarValue::Int64(Some(count))) if count % (1_000 * DAY) == 0)
}

/// The kind of an argument.
fn kind_of(field: &FieldRef) -> Result<IntervalKind> {
    match IntervalKind::of(field) {
        Some(kind) => Ok(kind),
        None => plan_err!("{} is {}, not an INTERVAL", field.name(), field.data_type()),
    }
}

fn moved_arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("adding an INTERVAL", types, 2..=2)?;
    match (&types[0], &types[1]) {
        (DataType::Time32(_), _) => plan_err!("a TIME and an INTERVAL are not added: cast the TIME to a TIMESTAMP"),
        (_, DataType::Int64 | DataType::Null) => Ok(vec![accepted("adding an INTERVAL", &types[0])?, DataType::Int64]),
        (_, other) => plan_err!("a DATE or TIMESTAMP and {other} are not added: write an INTERVAL"),
    }
}

/// A DATE stays one where the interval surely has whole days; else the result is a TIMESTAMP of the same precision. The metadata
/// decides, not the value: folding constants must not change a type.
fn moved_result(call: &ReturnFieldArgs<'_>) -> Result<Field> {
    let given = call.arg_fields[0].data_type();
    kind_of(&call.arg_fields[1])?;
    let stays = matches!(given, DataType::Date32) && IntervalKind::has_whole_days(&call.arg_fields[1]);
    of_type(if stays { DataType::Date32 } else { timestamp_like(given) })
}

/// `x + sign · i`: months by the calendar, milliseconds cut to whole seconds.
fn moved(call: &ScalarFunctionArgs, sign: i64) -> Result<ColumnarValue> {
    let kind = kind_of(&call.arg_fields[1])?;
    let instants = Instants::of("adding an INTERVAL", &call.args[0])?;
    let (numbers, one_number) = Numbers::of(&call.args[1])?;
    let constant = one_number && instants.constant;
    let (unit, divisor) = match kind {
        IntervalKind::DayTime => (Unit::Second, 1_000),
        IntervalKind::YearMonth => (Unit::Month, 1),
    };
    let sum = |row| match (instants.at(row), numbers.at(row)) {
        (Some(instant), Some(number)) => {
            let number = (number / divisor).checked_mul(sign).ok_or_else(|| out_of_range("the INTERVAL"))?;
            add(unit, number, instant, instants.per_second).map(Some)
        }
        _ => Ok(None),
    };
    let rows = if constant { 1 } else { call.number_rows };
    finish((0..rows).map(sum).collect::<Result<Int64Array>>()?, call.return_field.data_type(), constant)
}

fn out_of_range(what: &str) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("{what} is out of the range of BIGINT")
}

fn difference_arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("the difference of TIMESTAMPs", types, 2..=2)?;
    let coarse = |given: &DataType| match given {
        DataType::Date32 | DataType::Null | DataType::Timestamp(TimeUnit::Second, None) => accepted("the difference", given),
        other => plan_err!("a difference of {other} is refused, as HeavyDB does: use DATEDIFF, or cast to TIMESTAMP(0)"),
    };
    types.iter().map(coarse).collect()
}

/// `x - y` in milliseconds; both count seconds.
fn datetime_difference(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (x, y) = (Instants::of("the difference", &call.args[0])?, Instants::of("the difference", &call.args[1])?);
    let constant = x.constant && y.constant;
    let difference = |row| match (x.at(row), y.at(row)) {
        (Some(x), Some(y)) => {
            x.checked_sub(y).and_then(|seconds| seconds.checked_mul(1_000)).map(Some).ok_or_else(|| out_of_range("the difference"))
        }
        _ => Ok(None),
    };
    let rows = if constant { 1 } else { call.number_rows };
    finish((0..rows).map(difference).collect::<Result<Int64Array>>()?, &DataType::Int64, constant)
}

fn integer_arguments(types: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("arithmetic with INTERVALs", types, 2..=2)?;
    match types.iter().find(|given| !given.is_integer() && !given.is_null()) {
        Some(other) => plan_err!("arithmetic with an INTERVAL takes integers, given is {other}: CAST it"),
        None => Ok(vec![DataType::Int64; 2]),
    }
}

/// `i * n`, `i / n`: the kind of the one interval; a multiple of whole days has whole days.
fn scaled_result(call: &ReturnFieldArgs<'_>, multiple: bool) -> Result<Field> {
    let whole_days = multiple && IntervalKind::has_whole_days(&call.arg_fields[0]);
    match (IntervalKind::of(&call.arg_fields[0]), IntervalKind::of(&call.arg_fields[1])) {
        (Some(kind), None) => Ok(kind.field_of_days(whole_days)),
        _ => plan_err!("an INTERVAL is multiplied or divided by a number, with the INTERVAL first"),
    }
}

/// `i + j`: both of the same kind.
fn sum_result(call: &ReturnFieldArgs<'_>) -> Result<Field> {
    let (one, other) = (kind_of(&call.arg_fields[0])?, kind_of(&call.arg_fields[1])?);
    let whole_days = call.arg_fields.iter().all(|field| IntervalKind::has_whole_days(field));
    if one == other { Ok(one.field_of_days(whole_days)) } else { plan_err!("a {} and a {} are not added", one.name(), other.name()) }
}

fn integers(call: &ScalarFunctionArgs, operation: fn(i64, i64) -> Option<i64>) -> Result<ColumnarValue> {
    let ((a, one), (b, other)) = (Numbers::of(&call.args[0])?, Numbers::of(&call.args[1])?);
    let constant = one && other;
    let value = |row| match (a.at(row), b.at(row)) {
        (Some(a), Some(b)) => operation(a, b).map(Some).ok_or_else(|| out_of_range("the INTERVAL")),
        _ => Ok(None),
    };
    let rows = if constant { 1 } else { call.number_rows };
    finish((0..rows).map(value).collect::<Result<Int64Array>>()?, &DataType::Int64, constant)
}

fn divided(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (divisors, constant) = Numbers::of(&call.args[1])?;
    let rows = if constant { 1 } else { call.number_rows };
    if (0..rows).any(|row| divisors.at(row) == Some(0)) {
        return Err(exec_datafusion_err!("an INTERVAL is divided by zero"));
    }
    integers(call, i64::checked_div)
}
