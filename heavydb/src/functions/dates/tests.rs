//! HeavyDB's values, through the functions as a session calls them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::intervals::INTERVAL_FUNCTIONS;
use super::*;
use crate::functions::scalar::ScalarFunction;
use crate::types::interval::{IntervalKind, interval};
use crate::types::literals;

const UNITS_OF_PRECISION: [(u32, TimeUnit); 4] =
    [(0, TimeUnit::Second), (3, TimeUnit::Millisecond), (6, TimeUnit::Microsecond), (9, TimeUnit::Nanosecond)];

/// A call with constants, of which some are intervals: planned, coerced and evaluated.
fn call(function: ScalarFunction, arguments: &[(ScalarValue, Option<IntervalKind>)]) -> Result<(FieldRef, ScalarValue)> {
    let with_field = |(value, kind): &(ScalarValue, Option<IntervalKind>)| match (kind, value) {
        (Some(kind), ScalarValue::Int64(Some(count))) => {
            let literal = if *kind == IntervalKind::DayTime { "day_time_interval" } else { "year_month_interval" };
            call_with_fields(interval_function(literal), &[(value.clone(), plain(&ScalarValue::Int64(Some(*count))))])
                .map(|(field, value)| (value, field))
        }
        _ => Ok((value.clone(), plain(value))),
    };
    call_with_fields(function, &arguments.iter().map(with_field).collect::<Result<Vec<_>>>()?)
}

fn interval_function(name: &str) -> ScalarFunction {
    *INTERVAL_FUNCTIONS.iter().find(|function| function.name == name).unwrap()
}

fn plain(value: &ScalarValue) -> FieldRef {
    Arc::new(Field::new("x", value.data_type(), true))
}

fn call_with_fields(function: ScalarFunction, arguments: &[(ScalarValue, FieldRef)]) -> Result<(FieldRef, ScalarValue)> {
    let udf = function.udf();
    let given: Vec<_> = arguments.iter().map(|(value, _)| value.data_type()).collect();
    let coerced = udf.coerce_types(&given)?;
    let values = arguments.iter().zip(&coerced).map(|((value, _), to)| value.cast_to(to)).collect::<Result<Vec<_>>>()?;
    let arg_fields: Vec<FieldRef> = std::iter::zip(&coerced, arguments)
        .map(|(data_type, (_, field))| Arc::new(field.as_ref().clone().with_data_type(data_type.clone())))
        .map(|field| field as FieldRef)
        .collect();
    let constants: Vec<_> = values.iter().map(Some).collect();
    let return_field = udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &constants })?;
    let args = values.into_iter().map(ColumnarValue::Scalar).collect();
    let config_options = Arc::new(ConfigOptions::default());
    let call = ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field: Arc::clone(&return_field), config_options };
    match udf.invoke_with_args(call)? {
        ColumnarValue::Scalar(value) => Ok((return_field, value)),
        ColumnarValue::Array(_) => panic!("constants gave a column"),
    }
}

/// The count inside a value, NULL as `None`; the type of the value is that of the plan.
fn value(function: ScalarFunction, arguments: &[ScalarValue]) -> Option<i64> {
    let arguments: Vec<_> = arguments.iter().map(|value| (value.clone(), None)).collect();
    let (field, value) = call(function, &arguments).unwrap();
    assert_eq!(field.data_type(), &value.data_type());
    count(&value)
}

fn count(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(count)
        | ScalarValue::TimestampSecond(count, None)
        | ScalarValue::TimestampMillisecond(count, None)
        | ScalarValue::TimestampMicrosecond(count, None)
        | ScalarValue::TimestampNanosecond(count, None) => *count,
        ScalarValue::Date32(days) => days.map(|days| i64::from(days) * 86_400),
        other => panic!("{other:?}"),
    }
}

/// TIMESTAMP of the precision of the text.
fn ts(text: &str) -> ScalarValue {
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let unit = UNITS_OF_PRECISION.iter().find(|(precision, _)| *precision as usize == digits).unwrap().1;
    timestamp_of(literals::timestamp(text, unit), unit)
}

fn timestamp_of(count: Option<i64>, unit: TimeUnit) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(count, None),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(count, None),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(count, None),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(count, None),
    }
}

fn date(text: &str) -> ScalarValue {
    ScalarValue::Date32(Some(literals::date(text).unwrap()))
}

fn time(text: &str) -> ScalarValue {
    ScalarValue::Time32Second(Some(literals::time(text).unwrap()))
}

fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

fn trunc(unit: &str, x: &ScalarValue) -> Option<i64> {
    value(DATE_TRUNC, &[text(unit), x.clone()])
}

fn extract(unit: &str, x: &ScalarValue) -> Option<i64> {
    value(EXTRACT, &[text(unit), x.clone()])
}

fn part(unit: &str, x: &ScalarValue) -> Option<i64> {
    value(DATEPART, &[text(unit), x.clone()])
}

fn add(unit: &str, n: i64, x: &ScalarValue) -> Option<i64> {
    value(DATEADD, &[text(unit), ScalarValue::Int64(Some(n)), x.clone()])
}

fn diff(unit: &str, a: &ScalarValue, b: &ScalarValue) -> Option<i64> {
    value(DATEDIFF, &[text(unit), a.clone(), b.clone()])
}

/// The columns of the table `test`.
fn m() -> [ScalarValue; 4] {
    [ts("2014-12-13 22:23:15"), ts("2014-12-13 22:23:15.323"), ts("1999-07-11 14:02:53.874533"), ts("2006-04-26 03:49:04.607435125")]
}

#[test]
fn truncation_gives_the_values_of_the_suite() {
    let (spring, early) = (ts("2012-05-08 20:15:12"), ts("1903-05-08 20:15:12"));
    for (unit, x, expected) in [
        ("second", &spring, 1_336_508_112),
        ("century", &spring, 978_307_200),
        ("decade", &spring, 1_262_304_000),
        ("microsecond", &spring, 1_336_508_112),
        ("week_sunday", &spring, 1_336_262_400),
        ("day", &early, -2_103_408_000),
        ("second", &early, -2_103_335_088),
        ("century", &early, -2_177_452_800),
        ("decade", &early, -2_208_988_800),
        ("week_sunday", &early, -2_103_840_000),
        ("decade", &ts("1972-05-08 20:15:12"), 0),
        ("quarterday", &ts("2015-08-21 08:23:11"), 1_440_136_800),
        ("millennium", &m()[1], 978_307_200_000),
        ("month", &m()[1], 1_417_392_000_000),
        ("week_sunday", &m()[1], 1_417_910_400_000),
        ("microsecond", &m()[1], 1_418_509_395_323),
        ("week", &m()[2], 931_132_800_000_000),
        ("nanosecond", &m()[2], 931_701_773_874_533),
        ("decade", &m()[3], 946_684_800_000_000_000),
        ("nanosecond", &m()[3], 1_146_023_344_607_435_125),
        ("month", &m()[0], 1_417_392_000),
    ] {
        assert_eq!(trunc(unit, x), Some(expected), "{unit} {x}");
    }
}

#[test]
fn truncation_has_the_precision_of_its_argument_and_a_date_is_a_timestamp() {
    for (given, expected) in [
        (date("2017-05-31"), TimeUnit::Second),
        (time("01:02:03"), TimeUnit::Second),
        (m()[1].clone(), TimeUnit::Millisecond),
        (m()[3].clone(), TimeUnit::Nanosecond),
        (ScalarValue::Null, TimeUnit::Second),
    ] {
        let (field, _) = call(DATE_TRUNC, &[(text("hour"), None), (given, None)]).unwrap();
        assert_eq!(field.data_type(), &DataType::Timestamp(expected, None));
    }
    assert_eq!(trunc("hour", &time("15:13:14")), Some(15 * 3_600));
    assert!(call(DATE_TRUNC, &[(text("day"), None), (time("15:13:14"), None)]).is_err());
}

#[test]
fn truncation_is_the_greatest_start_not_after_the_instant() {
    // Every unit against every precision, on both sides of 1970 and of the year 0: the start is not later, truncating it again
    // changes nothing, and the whole unit before it ends at it.
    let names: Vec<_> = units::UNITS.iter().filter(|row| row.uses.contains(&units::Use::Truncate)).map(|row| row.name).collect();
    for seconds in [-70_000_000_000_i64, -62_167_219_201, -1, 0, 1, 951_782_400, 4_102_444_799] {
        for (precision, unit) in UNITS_OF_PRECISION {
            let Some(instant) = 10_i64.pow(precision).checked_mul(seconds) else { continue };
            for name in &names {
                let Ok((_, value)) = call(DATE_TRUNC, &[(text(name), None), (timestamp_of(Some(instant), unit), None)]) else { continue };
                let start = count(&value).unwrap();
                assert!(start <= instant, "{name} {instant}");
                assert_eq!(trunc(name, &value), Some(start), "{name} {instant}");
                // The unit before may start before the first TIMESTAMP.
                let Ok((_, before)) = call(DATE_TRUNC, &[(text(name), None), (timestamp_of(start.checked_sub(1), unit), None)]) else {
                    continue;
                };
                let before = count(&before).unwrap_or(i64::MIN);
                assert!(before < start, "{name} {instant}");
            }
        }
    }
}

#[test]
fn extraction_gives_the_values_of_the_suite() {
    for (unit, x, expected) in [
        ("epoch", ts("1970-01-01 00:00:03.123456789"), 3),
        ("epoch", ts("1969-12-31 23:59:57.123"), -3),
        ("dateepoch", ts("1969-12-31 23:59:57.123"), -86_400),
        ("year", ts("1997-01-01 23:59:59"), 1997),
        ("week", ts("2012-01-01 20:15:12"), 52),
        ("week_sunday", ts("2012-01-01 20:15:12"), 1),
        ("week_saturday", ts("2012-01-01 20:15:12"), 1),
        ("millisecond", m()[0].clone(), 15_000),
        ("microsecond", ts("1999-03-14 23:34:56"), 56_000_000),
        ("nanosecond", ts("1999-03-14 23:34:56"), 56_000_000_000),
        ("nanosecond", m()[3].clone(), 4_607_435_125),
        ("millisecond", m()[3].clone(), 4_607),
        ("second", m()[2].clone(), 53),
        ("week_saturday", m()[2].clone(), 28),
        ("quarterday", m()[2].clone(), 3),
        ("quarterday", ts("2015-08-21 00:00:00"), 1),
        ("doy", ts("2014-12-14 22:23:15"), 348),
        ("hour", ts("1913-12-11 10:09:00"), 10),
        ("quarter", ts("1913-12-11 10:09:00"), 4),
        ("dow", ts("1913-01-01 00:00:00"), 3),
        ("week_saturday", ts("1913-01-01 00:00:00"), 53),
        ("week_saturday", ts("1970-01-01 00:00:00"), 52),
        ("millisecond", ts("2013-12-11 10:09:08"), 8_000),
        ("week_sunday", ts("2013-12-11 00:00:00"), 50),
        ("dow", ts("2013-12-01 00:00:00"), 0),
        ("isodow", ts("2013-12-01 00:00:00"), 7),
        ("week_saturday", ts("2010-01-02 00:00:00"), 1),
        ("week", ts("2005-01-02 23:59:59"), 53),
        ("week_sunday", ts("2005-01-02 00:00:00"), 1),
        ("week_sunday", ts("2011-12-31 23:59:59"), 52),
        ("week_sunday", ts("2012-01-07 23:59:59"), 1),
        ("week_saturday", ts("2011-12-31 00:00:00"), 1),
        ("week_saturday", ts("2012-01-07 00:00:00"), 2),
        ("week_sunday", ts("2008-01-06 00:00:00"), 2),
        ("week", ts("2002-12-29 23:59:59"), 52),
        ("week", ts("2002-12-30 00:00:00"), 1),
        ("isodow", ts("1969-12-18 12:00:00"), 4),
        ("minute", time("15:13:14"), 13),
    ] {
        assert_eq!(extract(unit, &x), Some(expected), "{unit} {x}");
    }
    assert_eq!(extract("quarter", &ScalarValue::TimestampSecond(None, None)), None);
    assert_eq!(extract("EPOCH", &ScalarValue::Null), None);
    assert!(call(EXTRACT, &[(text("epoch"), None), (time("15:13:14"), None)]).is_err());
    assert!(call(EXTRACT, &[(text("mm"), None), (m()[0].clone(), None)]).is_err());
    assert!(call(EXTRACT, &[(ScalarValue::Utf8(None), None), (m()[0].clone(), None)]).is_err());
}

#[test]
fn date_parts_take_the_letters_of_t_sql() {
    let x = ts("2007-10-30 12:15:32");
    for (letters, expected) in [
        ("yyyy yy year sql_tsi_year", 2007),
        ("quarter qq q", 4),
        ("MONTH mm m", 10),
        ("dayofyear dy y", 303),
        ("day dd d", 30),
        ("week ww w", 44),
        ("hour hh", 12),
        ("minute mi n", 15),
        ("second ss s", 32),
        ("millisecond ms", 32_000),
        ("us frac_second", 32_000_000),
        ("ns sql_tsi_frac_second", 32_000_000_000),
        ("weekday dw", 2),
        ("quarterday dq", 3),
    ] {
        for name in letters.split(' ') {
            assert_eq!(part(name, &x), Some(expected), "{name}");
        }
    }
    assert_eq!(part("weekday", &date("2011-12-31")), Some(6));
    assert_eq!(part("second", &date("2617-12-23")), Some(0));
    assert_eq!(part("nanosecond", &m()[2]), Some(53_874_533_000));
    assert!(call(DATEPART, &[(text("epoch"), None), (x, None)]).is_err());
}

#[test]
fn additions_give_the_values_of_the_suite() {
    let o = date("1999-09-09");
    let seconds = |text: &str| literals::timestamp(text, TimeUnit::Second).unwrap();
    for (unit, n, x, expected) in [
        ("hour", -1, &ts("2017-05-31 1:11:11"), seconds("2017-05-31 0:11:11")),
        ("day", -1, &m()[0], seconds("2014-12-12 22:23:15")),
        ("microsecond", 1_000_000, &m()[0], seconds("2014-12-13 22:23:16")),
        ("microsecond", 86_400_000_000, &m()[0], seconds("2014-12-14 22:23:15")),
        ("weekday", -3, &o, seconds("1999-09-06 00:00:00")),
        ("year", 1, &ts("2008-02-29 1:11:11"), seconds("2009-02-28 1:11:11")),
        ("minute", -15, &ts("2009-03-02 1:23:45"), seconds("2009-03-02 1:08:45")),
        ("year", -399, &o, seconds("1600-09-09 00:00:00")),
        ("day", -23_674, &o, seconds("1934-11-15 00:00:00")),
        ("month", 6, &m()[2], 947_599_373_874_533),
        ("microsecond", 145, &m()[2], 931_701_773_874_678),
        ("minute", 11, &m()[1], 1_418_510_055_323),
        ("month", 1, &m()[3], 1_148_615_344_607_435_125),
        ("year", 3, &m()[2], 1_026_396_173_874_533),
        ("year", 10, &m()[1], 1_734_128_595_323),
        ("month", 2, &m()[1], 1_423_866_195_323),
        // A finer unit is rounded down to the precision.
        ("nanosecond", -1, &m()[0], seconds("2014-12-13 22:23:14")),
        ("nanosecond", 1_999_999, &m()[1], 1_418_509_395_324),
        ("dc", 1, &o, seconds("2009-09-09 00:00:00")),
    ] {
        assert_eq!(add(unit, n, x), Some(expected), "{unit} {n} {x}");
    }
    assert_eq!(add("day", 1, &ScalarValue::Null), None);
}

#[test]
fn additions_refuse_null_numbers_times_and_results_out_of_range() {
    let refused = |arguments: &[ScalarValue]| {
        let arguments: Vec<_> = arguments.iter().map(|value| (value.clone(), None)).collect();
        call(DATEADD, &arguments).unwrap_err().to_string()
    };
    let one = ScalarValue::Int64(Some(1));
    assert!(refused(&[text("day"), ScalarValue::Null, m()[0].clone()]).contains("NULL"));
    assert!(refused(&[text("day"), ScalarValue::Int32(None), m()[0].clone()]).contains("NULL"));
    assert!(refused(&[text("day"), one.clone(), time("01:02:03")]).contains("TIME"));
    assert!(refused(&[text("dow"), one.clone(), m()[0].clone()]).contains("takes year"));
    assert!(refused(&[text("day"), ScalarValue::Float64(Some(1.5)), m()[0].clone()]).contains("integer"));
    assert!(refused(&[text("day"), one, text("2014-12-13")]).contains("CAST"));
    for (unit, n) in [("millennium", i64::MAX), ("year", 300), ("second", i64::MAX), ("nanosecond", i64::MAX)] {
        assert!(refused(&[text(unit), ScalarValue::Int64(Some(n)), m()[3].clone()]).contains("out of the range"), "{unit}");
    }
}

#[test]
fn differences_give_the_values_of_the_suite() {
    let [m_0, m_3, m_6, m_9] = m();
    for (unit, a, b, expected) in [
        ("millisecond", &ts("2014-12-13 22:23:16"), &m_0, -1_000),
        ("month", &ts("2003-05-01 12:05:55"), &ts("2003-02-01 0:00:00"), -3),
        ("month", &date("2407-09-01"), &date("1999-09-09"), -4_895),
        ("day", &date("1999-09-09"), &date("1999-09-10"), 1),
        ("microsecond", &m_9, &m_0, 272_486_050_392_564),
        ("millisecond", &m_3, &m_9, -272_486_050_715),
        ("second", &m_9, &m_6, -214_321_570),
        ("minute", &m_9, &m_6, -3_572_026),
        ("hour", &m_3, &m_9, -75_690),
        ("year", &m_9, &m_6, -6),
        ("millisecond", &m_3, &m_6, -486_807_621_448),
        ("millisecond", &m_6, &m_3, 486_807_621_448),
        ("hour", &m_3, &m_6, -135_224),
        ("year", &m_6, &m_0, 15),
        ("month", &m_0, &m_3, 0),
    ] {
        assert_eq!(diff(unit, a, b), Some(expected), "{unit} {a} {b}");
    }
}

#[test]
fn months_count_when_day_and_time_are_reached() {
    for (unit, a, b, expected) in [
        ("month", "2000-02-15 12:00:00.006", "2000-03-15 12:00:00.005", 0),
        ("month", "2000-02-15 12:00:00.006", "2000-03-15 12:00:00.006", 1),
        ("month", "2000-01-31 00:00:00", "2000-02-29 23:59:59", 0),
        ("quarter", "1999-12-31 00:00:00", "2000-03-31 00:00:00", 1),
        ("year", "2000-03-01 00:00:00", "1999-03-01 00:00:01", 0),
        ("decade", "1969-12-31 00:00:00", "1979-12-31 00:00:00", 1),
        ("century", "1899-06-01 00:00:00", "1999-05-31 23:59:59", 0),
        ("millennium", "1000-01-01 00:00:00", "3000-01-01 00:00:00", 2),
        // Counted to the next whole second, which is in March.
        ("month", "2014-03-29 10:00:00.100", "2014-02-28 23:59:59.900", 0),
        ("week", "2014-01-01 00:00:00", "2014-01-14 23:59:59", 1),
        ("week_sunday", "2014-01-15 00:00:00", "2014-01-01 00:00:00", -2),
    ] {
        assert_eq!(diff(unit, &ts(a), &ts(b)), Some(expected), "{unit} {a} {b}");
    }
}

#[test]
fn differences_take_two_times_but_not_a_time_and_a_date() {
    assert_eq!(diff("minute", &time("01:00:00"), &time("00:30:30")), Some(-29));
    let mixed = [(text("minute"), None), (time("01:00:00"), None), (date("1970-01-01"), None)];
    assert!(call(DATEDIFF, &mixed).is_err());
    assert_eq!(diff("day", &ScalarValue::Null, &date("1970-01-01")), None);
}

#[test]
fn intervals_move_datetimes_by_whole_seconds_and_by_the_calendar() {
    let [m_0, m_3, m_6, m_9] = m();
    let (plus, minus) = (interval_function("datetime_plus"), interval_function("datetime_minus"));
    for (function, x, number, unit, expected) in [
        (plus, &m_9, "1", "year", 1_177_559_344_607_435_125),
        (minus, &m_9, "1", "year", 1_114_487_344_607_435_125),
        (plus, &m_6, "1", "minute", 931_701_833_874_533),
        (minus, &m_6, "1", "month", 929_109_773_874_533),
        (minus, &m_3, "1", "day", 1_418_422_995_323),
        (minus, &m_3, "1", "second", 1_418_509_394_323),
        (plus, &m_0, "500", "millisecond", 1_418_509_395),
        (minus, &m_0, "1999", "milliseconds", 1_418_509_394),
        (minus, &date("2008-03-01"), "1", "day", 1_204_243_200),
        (plus, &date("2008-03-01"), "1", "hour", 1_204_333_200),
    ] {
        let (kind, count_of) = interval(number, unit).unwrap();
        let (field, value) = call(function, &[(x.clone(), None), (ScalarValue::Int64(Some(count_of)), Some(kind))]).unwrap();
        assert_eq!(count(&value), Some(expected), "{x} {number} {unit}");
        assert_eq!(field.data_type(), &value.data_type());
        assert_eq!(field.data_type() == &DataType::Date32, x.data_type() == DataType::Date32 && unit == "day");
    }
    let plain = [(m_0, None), (ScalarValue::Int64(Some(1)), None)];
    assert!(call(plus, &plain).unwrap_err().to_string().contains("not an INTERVAL"));
}

#[test]
fn intervals_are_integers_of_their_kind() {
    let named = interval_function;
    let (months, days) = (Some(IntervalKind::YearMonth), Some(IntervalKind::DayTime));
    let number = |n: i64| ScalarValue::Int64(Some(n));
    let (field, value) = call(named("interval_multiply"), &[(number(1), months), (ScalarValue::Int16(Some(1002)), None)]).unwrap();
    assert_eq!((count(&value), IntervalKind::of(&field)), (Some(1002), months));
    let (field, value) = call(named("interval_divide"), &[(number(-86_400_000), days), (number(7), None)]).unwrap();
    assert_eq!((count(&value), IntervalKind::of(&field)), (Some(-12_342_857), days));
    assert!(!IntervalKind::has_whole_days(&field));
    let (field, _) = call(named("interval_multiply"), &[(number(-86_400_000), days), (number(7), None)]).unwrap();
    assert!(IntervalKind::has_whole_days(&field));
    let (_, value) = call(named("interval_subtract"), &[(number(5), days), (number(7), days)]).unwrap();
    assert_eq!(count(&value), Some(-2));
    let (field, value) = call(named("datetime_difference"), &[(date("1970-01-02"), None), (ts("1970-01-01 00:00:01"), None)]).unwrap();
    assert_eq!((count(&value), IntervalKind::of(&field)), (Some(86_399_000), days));
    for (name, one, other) in [
        ("interval_divide", (number(1), days), (number(0), None)),
        ("interval_multiply", (number(i64::MAX), days), (number(2), None)),
        ("interval_multiply", (number(1), days), (ScalarValue::Float64(Some(1.5)), None)),
        ("interval_add", (number(1), days), (number(1), months)),
        ("datetime_difference", (m()[1].clone(), None), (m()[0].clone(), None)),
    ] {
        assert!(call(named(name), &[one, other]).is_err(), "{name}");
    }
}

#[test]
fn columns_and_constants_give_the_same_rows() {
    let column: Vec<_> = ["1969-12-31 23:59:59", "2008-02-29 00:00:00"].map(ts).to_vec();
    let mut rows = column.clone();
    rows.push(ScalarValue::TimestampSecond(None, None));
    let array = ScalarValue::iter_to_array(rows).unwrap();
    let udf = DATEADD.udf();
    let field = |data_type: &DataType| Arc::new(Field::new("x", data_type.clone(), true));
    let args = vec![
        ColumnarValue::Scalar(text("month")),
        ColumnarValue::Scalar(ScalarValue::Int64(Some(12))),
        ColumnarValue::Array(Arc::clone(&array)),
    ];
    let arg_fields = args.iter().map(|value| field(&value.data_type())).collect();
    let return_field = field(array.data_type());
    let config_options = Arc::new(ConfigOptions::default());
    let result = udf.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows: 3, return_field, config_options }).unwrap();
    let ColumnarValue::Array(result) = result else { panic!("a column gave a constant") };
    for (row, x) in column.iter().enumerate() {
        assert_eq!(count(&ScalarValue::try_from_array(&result, row).unwrap()), add("month", 12, x));
    }
    assert!(result.is_null(2));
}

#[test]
fn the_ends_of_64_bits_give_values_or_errors() {
    let functions = [(DATE_TRUNC, units::Use::Truncate), (EXTRACT, units::Use::Extract), (DATEPART, units::Use::Part)];
    let ends = [i64::MIN, i64::MIN + 1, -1, i64::MAX];
    for (_, unit) in UNITS_OF_PRECISION {
        for instant in ends.map(|end| timestamp_of(Some(end), unit)) {
            for (function, wanted) in functions {
                for row in units::UNITS.iter().filter(|row| row.uses.contains(&wanted)) {
                    let _ = call(function, &[(text(row.name), None), (instant.clone(), None)]);
                }
            }
            for row in units::UNITS.iter().filter(|row| row.uses.contains(&units::Use::Difference)) {
                for other in ends {
                    let other_instant = timestamp_of(Some(other), TimeUnit::Second);
                    let number = ScalarValue::Int64(Some(other));
                    let _ = call(DATEDIFF, &[(text(row.name), None), (instant.clone(), None), (other_instant, None)]);
                    let _ = call(DATEADD, &[(text(row.name), None), (number, None), (instant.clone(), None)]);
                }
            }
        }
    }
    assert_eq!(diff("second", &timestamp_of(Some(0), TimeUnit::Second), &timestamp_of(Some(i64::MAX), TimeUnit::Second)), Some(i64::MAX));
}
