//! HeavyDB's values of casts.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::casts::cast_to;
use super::heavy_type::HeavyType;
use super::literals;

/// A cast of a value to a type in HeavyDB's spelling, planned and evaluated.
fn cast_value(value: ColumnarValue, to: &str, try_cast: bool) -> Result<ColumnarValue> {
    let udf = cast_to(&HeavyType::parse(to).unwrap(), try_cast);
    let rows = if let ColumnarValue::Array(array) = &value { array.len() } else { 1 };
    let arg_fields = vec![Arc::new(Field::new("x", value.data_type(), true))];
    let return_field = udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &[None] })?;
    let expected = return_field.data_type().clone();
    let config_options = Arc::new(ConfigOptions::default());
    let result =
        udf.invoke_with_args(ScalarFunctionArgs { args: vec![value], arg_fields, number_rows: rows, return_field, config_options })?;
    assert_eq!(result.data_type(), expected);
    Ok(result)
}

/// A constant cast and shown; NULL is empty.
fn shown(value: impl Into<ScalarValue>, to: &str) -> String {
    match cast_value(ColumnarValue::Scalar(value.into()), to, false) {
        Ok(ColumnarValue::Scalar(value)) if value.is_null() => String::new(),
        Ok(ColumnarValue::Scalar(value)) => value.to_string(),
        Ok(ColumnarValue::Array(_)) => panic!("a constant gave a column"),
        Err(error) => error.strip_backtrace(),
    }
}

fn column(values: ArrayRef, to: &str) -> Result<ArrayRef> {
    match cast_value(ColumnarValue::Array(values), to, false)? {
        ColumnarValue::Array(array) => Ok(array),
        ColumnarValue::Scalar(_) => panic!("a column gave a constant"),
    }
}

fn decimal(unscaled: i128, precision: u8, scale: i8) -> ScalarValue {
    ScalarValue::Decimal128(Some(unscaled), precision, scale)
}

#[test]
fn numbers_round_half_away_from_zero_to_integers() {
    for (value, to, expected) in [
        (ScalarValue::Float64(Some(127.5)), "INT", "128"),
        (ScalarValue::Float64(Some(-32_768.499_9)), "SMALLINT", "-32768"),
        (ScalarValue::Float64(Some(-9_223_372_036_854_775_808.0)), "BIGINT", "-9223372036854775808"),
        (ScalarValue::Float64(Some(0.499_999_999_999_999_94)), "INT", "0"),
        (ScalarValue::Float32(Some(-2.5)), "BIGINT", "-3"),
        (decimal(-45_678_956, 10, 5), "BIGINT", "-457"),
        (decimal(23, 2, 1), "INT", "2"),
        (decimal(25, 2, 1), "TINYINT", "3"),
        (ScalarValue::Boolean(Some(true)), "INT", "1"),
        (ScalarValue::Int64(Some(12)), "TINYINT", "12"),
        (ScalarValue::Null, "SMALLINT", ""),
    ] {
        assert_eq!(shown(value, to), expected);
    }
}

#[test]
fn a_value_out_of_range_is_an_error() {
    for (value, to) in [
        (ScalarValue::Float64(Some(127.5)), "TINYINT"),
        (ScalarValue::Float64(Some(9_223_372_036_854_775_808.0)), "BIGINT"),
        (ScalarValue::Float64(Some(f64::NAN)), "BIGINT"),
        (ScalarValue::Int64(Some(128)), "TINYINT"),
        (ScalarValue::Int64(Some(i64::MAX)), "DECIMAL(18,1)"),
        (decimal(1_000_000, 18, 0), "SMALLINT"),
    ] {
        assert!(shown(value, to).contains("out of the range"), "{to}");
    }
    // In a column the least value is HeavyDB's NULL.
    assert!(column(Arc::new(Int32Array::from(vec![-128])), "TINYINT").is_err());
}

#[test]
fn columns_round_as_constants_do() {
    let floats = column(Arc::new(Float64Array::from(vec![Some(127.5), None, Some(-0.5)])), "INT").unwrap();
    assert_eq!(*floats, Int32Array::from(vec![Some(128), None, Some(-1)]));
    let floats = column(Arc::new(Float32Array::from(vec![1.5, -2.4])), "BIGINT").unwrap();
    assert_eq!(*floats, Int64Array::from(vec![2, -2]));
}

#[test]
fn decimals_round_to_their_scale() {
    let values = Decimal128Array::from(vec![45_678_956, -45_678_956, -45_612_340]).with_precision_and_scale(10, 5).unwrap();
    for (to, expected) in [
        ("DECIMAL(10,4)", [4_567_896, -4_567_896, -4_561_234]),
        ("DECIMAL(10,3)", [456_790, -456_790, -456_123]),
        ("DECIMAL(10,0)", [457, -457, -456]),
    ] {
        let HeavyType { kind, .. } = HeavyType::parse(to).unwrap();
        let DataType::Decimal128(precision, scale) = HeavyType::new(kind).data_type() else { panic!("{to}") };
        let expected = Decimal128Array::from(expected.to_vec()).with_precision_and_scale(precision, scale).unwrap();
        assert_eq!(*column(Arc::new(values.clone()), to).unwrap(), expected);
    }
    assert_eq!(shown(decimal(12_345, 5, 2), "DOUBLE"), "123.45");
    assert_eq!(shown(decimal(11, 2, 1), "FLOAT"), "1.1");
    assert!(column(Arc::new(Float64Array::from(vec![1.25])), "DECIMAL(5,2)").is_err());
}

#[test]
fn texts_have_the_forms_of_c() {
    for (value, expected) in [
        (ScalarValue::Int16(Some(-7)), "-7"),
        (ScalarValue::Float64(Some(1.25)), "1.250000"),
        (ScalarValue::Float32(Some(1.1)), "1.100000"),
        (ScalarValue::Float64(Some(f64::INFINITY)), "inf"),
        (decimal(125, 5, 2), " 1.25"),
        (decimal(-5, 3, 1), "-0.5"),
        (ScalarValue::Boolean(Some(false)), "false"),
        (ScalarValue::Date32(Some(-1)), "1969-12-31"),
        (ScalarValue::Time32Second(Some(3_661)), "01:01:01"),
        (ScalarValue::TimestampSecond(Some(-1), None), "1969-12-31 23:59:59"),
        (ScalarValue::TimestampMillisecond(Some(-1), None), "1969-12-31 23:59:59.999"),
        (ScalarValue::TimestampNanosecond(Some(92), None), "1970-01-01 00:00:00.000000092"),
    ] {
        assert_eq!(shown(value, "TEXT"), expected);
    }
}

#[test]
fn datetimes_are_rounded_down_to_coarser_ones() {
    let m_9 = ScalarValue::TimestampNanosecond(Some(-1), None);
    assert_eq!(shown(m_9.clone(), "TIMESTAMP(6)"), "-1");
    assert_eq!(shown(m_9.clone(), "DATE"), "1969-12-31");
    assert_eq!(shown(m_9, "TIME"), "86399");
    assert_eq!(shown(ScalarValue::Date32(Some(1)), "TIMESTAMP(3)"), "86400000");
    assert_eq!(shown(ScalarValue::TimestampSecond(Some(36_910), None), "BIGINT"), "36910");
    assert!(shown(ScalarValue::Date32(Some(200_000)), "TIMESTAMP(9)").contains("out of the range"));
    assert!(shown(ScalarValue::Date32(Some(1)), "TIME").contains("no CAST"));
}

#[test]
fn integers_are_counts_of_the_unit() {
    assert_eq!(shown(92_i64, "TIMESTAMP(9)"), "92");
    assert_eq!(shown(-1_i64, "DATE"), "1969-12-31");
    assert_eq!(shown(61_i32, "TIME"), "61");
}

#[test]
fn constant_texts_are_read_and_columns_refused() {
    for (value, to, expected) in [
        ("7", "INTEGER", "7"),
        ("127.5", "BIGINT", "128"),
        ("1.005", "DECIMAL(5,2)", "1.01"),
        ("f", "BOOLEAN", "false"),
        ("2119-03-12", "DATE", "2119-03-12"),
        ("21/Aug/2015:12:13:14 -0600", "TIMESTAMP", "1440180794"),
        ("1.5", "DOUBLE", "1.5"),
    ] {
        assert_eq!(shown(value, to), expected);
    }
    assert!(shown("128", "TINYINT").contains("'128' is no TINYINT"));
    let texts = || Arc::new(StringArray::from(vec!["1", "x", "", "999"])) as ArrayRef;
    assert!(column(texts(), "INT").unwrap_err().to_string().contains("TRY_CAST"));
    let ColumnarValue::Array(tried) = cast_value(ColumnarValue::Array(texts()), "TINYINT", true).unwrap() else { panic!("a constant") };
    assert_eq!(tried.null_count(), 3);
    assert!(cast_value(ColumnarValue::Scalar(ScalarValue::Int64(Some(1))), "INT", true).is_err());
}

#[test]
fn types_keep_their_encoding_as_metadata() {
    for spelling in [
        "TEXT ENCODING NONE",
        "TEXT ENCODING DICT(8)",
        "DATE ENCODING DAYS(16)",
        "BIGINT ENCODING FIXED(32)",
        "DECIMAL(9,6) ENCODING FIXED(32)",
        "GEOMETRY(POINT, 4326)",
        "INTEGER[]",
        "TEXT[3] ENCODING DICT(32)",
        "TIMESTAMP(9)",
    ] {
        let given = HeavyType::parse(spelling).unwrap();
        assert_eq!(given.to_string(), spelling);
        assert_eq!(HeavyType::of(&given.field("x", true)), Some(given));
    }
    for bad in [
        "TIMESTAMP(1)",
        "TIMESTAMP(3) ENCODING FIXED(32)",
        "DATE ENCODING DAYS(8)",
        "TEXT ENCODING DICT(7)",
        "DECIMAL",
        "UUID",
        "INT[0]",
        "DECIMAL(5,2) ENCODING FIXED(16)",
        "FLOAT ENCODING FIXED(16)",
        "DECIMAL(10,-2)",
        "DECIMAL(10,x)",
        "DECIMAL(10,)",
        "DECIMAL(x)",
        "DECIMAL()",
        "TIMESTAMP(3,x)",
        "TIMESTAMP(x)",
        "TIME(0,x)",
        "VARCHAR(x)",
        "CHAR(-1)",
        "TEXT ENCODING DICT(8, foo)",
        "TEXT ENCODING DICT(foo)",
        "TEXT ENCODING DICT()",
        "TEXT ENCODING DICT(300)",
        "INTEGER ENCODING FIXED(8, x)",
    ] {
        assert!(HeavyType::parse(bad).is_err(), "{bad}");
    }
    let narrow = HeavyType::parse("BIGINT ENCODING FIXED(8)").unwrap();
    assert_eq!((narrow.range(), narrow.null_value()), (Some((-127, 127)), Some(-128)));
    assert_eq!(HeavyType::parse("BIGINT").unwrap().null_value(), Some(i64::MIN));
}

#[test]
fn texts_of_dates_are_read_as_heavydb_reads_them() {
    use datafusion::arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    for (text, unit, expected) in [
        ("2012-01-01 12:00:00 AM", Second, 1_325_376_000),
        ("2012-01-01 12:00:00 p.m.", Second, 1_325_419_200),
        ("2012-01-01 3:00:00 PM", Second, 1_325_430_000),
        ("2012-01-01 7:00:00.3456 AM", Second, 1_325_401_200),
        ("2012-01-01 12:00:00.123456789 a.m.", Nanosecond, 1_325_376_000_123_456_789),
        ("2012-05-22 01:02:03.003046777Z", Millisecond, 1_337_648_523_003),
        ("2012-05-22 01:02:03.000003046777Z", Microsecond, 1_337_648_523_000_003),
        // A form that fails keeps what it has read: the seconds here, the minutes below.
        ("2012-05-22 01:02:03.", Second, 1_337_648_523),
        ("2012-05-22 5 30", Second, 1_337_664_600),
        ("2014-12-13T000000", Second, 1_418_428_800),
        ("21-JUN-15 2.15.16.12345 AM", Second, 1_434_852_916),
        ("09/21/1676 00:12:43", Second, -9_254_908_037),
        ("2018-11-05 01:00:00 +1200", Second, 1_541_336_400),
        ("2014-12-13 nonsense", Second, 1_418_428_800),
        ("1434844800", Second, 1_434_844_800),
    ] {
        assert_eq!(literals::timestamp(text, unit), Some(expected), "{text}");
    }
    for (text, expected) in
        [("2018-11-05 +1200", 17_839), ("-31496400", -365), ("31579200", 365), ("06/21/2015", 16_607), ("1434844800", 16_607)]
    {
        assert_eq!(literals::date(text), Some(expected), "{text}");
    }
    for text in ["", "2014", "2014-13-01", "-", "+5", "99999999999999999999-01-01", "2014-12-13"] {
        assert_eq!(literals::timestamp(text, Second), (text == "2014").then_some(2014), "{text}");
    }
    assert_eq!(literals::timestamp("2300-01-01 00:00:00", Nanosecond), None);
}

#[test]
fn a_type_may_be_an_argument() {
    let udf = super::casts::CASTS[0].udf();
    let call = |to: &str| {
        let args = [ScalarValue::from("2012-05-08 20:15:12"), ScalarValue::from(to)];
        let arg_fields: Vec<_> = args.iter().map(|value| Arc::new(Field::new("x", value.data_type(), true))).collect();
        let return_field =
            udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &[Some(&args[0]), Some(&args[1])] })?;
        let args = args.into_iter().map(ColumnarValue::Scalar).collect();
        let config_options = Arc::new(ConfigOptions::default());
        udf.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options })
    };
    assert!(matches!(call("TIMESTAMP(3)"), Ok(ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(Some(1_336_508_112_000), None)))));
    assert!(call("UUID").unwrap_err().to_string().contains("no type of HeavyDB"));
}
