//! Functions of the reals: their results are DOUBLE.

use std::f64::consts::PI as CIRCLE;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::operands::{
    DIGITS_OF_FLOAT, arrays, as_doubles, as_floats, doubles, is_float, map_double, map_float_or_double, numbers, pair_of_doubles, shown,
};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};
use crate::functions::strings::refuse;

/// A function of one DOUBLE.
macro_rules! of_double {
    ($(#[$doc:meta])* $const:ident, $name:literal, $function:expr) => {
        $(#[$doc])*
        pub(super) const $const: ScalarFunction = ScalarFunction {
            name: $name,
            arguments: |given| doubles($name, given, 1),
            result: |_| of_type(DataType::Float64),
            evaluate: |call| map_double(call, $function),
        };
    };
}

/// A function that is computed in 32 bits for FLOAT columns.
macro_rules! of_float_or_double {
    ($(#[$doc:meta])* $const:ident, $name:literal, $narrow:expr, $wide:expr) => {
        $(#[$doc])*
        pub(super) const $const: ScalarFunction = ScalarFunction {
            name: $name,
            arguments: |given| numbers($name, given, 1..=1),
            result: |_| of_type(DataType::Float64),
            evaluate: |call| map_float_or_double(call, $narrow, $wide),
        };
    };
}

of_double!(
    /// `EXP(x)`.
    EXP, "exp", f64::exp);
of_double!(
    /// `SQRT(x)`.
    SQRT, "sqrt", f64::sqrt);
of_double!(
    /// `DEGREES(x)`.
    DEGREES, "degrees", |x| x * (180.0 / CIRCLE));
of_double!(
    /// `RADIANS(x)`.
    RADIANS, "radians", |x| x * (CIRCLE / 180.0));
of_double!(
    /// `SIN(x)`.
    SIN, "sin", f64::sin);
of_double!(
    /// `COS(x)`.
    COS, "cos", f64::cos);
of_double!(
    /// `COT(x)`.
    COT, "cot", |x| 1.0 / x.tan());
of_double!(
    /// `ASIN(x)`.
    ASIN, "asin", f64::asin);
of_double!(
    /// `ACOS(x)`.
    ACOS, "acos", f64::acos);
of_double!(
    /// `ATAN(x)`.
    ATAN, "atan", f64::atan);
of_double!(
    /// `SINH(x)`.
    SINH, "sinh", f64::sinh);
of_double!(
    /// `COSH(x)`.
    COSH, "cosh", f64::cosh);
of_double!(
    /// `TANH(x)`.
    TANH, "tanh", f64::tanh);
of_double!(
    /// `ATANH(x)`.
    ATANH, "atanh", f64::atanh);

of_float_or_double!(
    /// `LN(x)`.
    LN, "ln", f32::ln, f64::ln);
of_float_or_double!(
    /// `LOG(x)`, the natural logarithm.
    LOG, "log", f32::ln, f64::ln);
of_float_or_double!(
    /// `LOG10(x)`.
    LOG10, "log10", f32::log10, f64::log10);
of_float_or_double!(
    /// `TAN(x)`.
    TAN, "tan", f32::tan, f64::tan);

/// `PI()`.
pub(super) const PI: ScalarFunction = ScalarFunction {
    name: "pi",
    arguments: |given| expect_count("pi", given, 0..=0).map(|()| Vec::new()),
    result: |_| of_type(DataType::Float64),
    evaluate: |_| Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(CIRCLE)))),
};

/// `POWER(x, y)`.
pub(super) const POWER: ScalarFunction = ScalarFunction {
    name: "power",
    arguments: |given| doubles("power", given, 2),
    result: |_| of_type(DataType::Float64),
    evaluate: |call| pair_of_doubles(call, f64::powf),
};

/// `ATAN2(y, x)`.
pub(super) const ATAN2: ScalarFunction = ScalarFunction {
    name: "atan2",
    arguments: |given| doubles("atan2", given, 2),
    result: |_| of_type(DataType::Float64),
    evaluate: |call| pair_of_doubles(call, f64::atan2),
};

/// `is_nan(x)`.
pub(super) const IS_NAN: ScalarFunction = ScalarFunction {
    name: "is_nan",
    arguments: |given| doubles("is_nan", given, 1),
    result: |_| of_type(DataType::Boolean),
    evaluate: |call| is_such(call, f64::is_nan),
};

/// `is_inf(x)`.
pub(super) const IS_INF: ScalarFunction = ScalarFunction {
    name: "is_inf",
    arguments: |given| doubles("is_inf", given, 1),
    result: |_| of_type(DataType::Boolean),
    evaluate: |call| is_such(call, f64::is_infinite),
};

fn is_such(call: &ScalarFunctionArgs, holds: fn(f64) -> bool) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let given = as_doubles(&given[0])?;
    shown(Arc::new(given.iter().map(|x| x.map(holds)).collect::<BooleanArray>()), constant)
}

/// `DISTANCE_IN_METERS(from_lon, from_lat, to_lon, to_lat)`.
pub(super) const DISTANCE_IN_METERS: ScalarFunction = ScalarFunction {
    name: "distance_in_meters",
    arguments: |given| numbers("distance_in_meters", given, 4..=4),
    result: |_| of_type(DataType::Float64),
    evaluate: distance_in_meters,
};

/// Four FLOAT columns are computed in 32 bits, as soon as one argument is wide all in 64.
///
/// # Errors
/// Refuses FLOAT columns beside short constants or integers, where HeavyDB's choice of width hangs on costs of casts.
fn distance_in_meters(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let wide = |argument: &ColumnarValue| match argument.data_type() {
        DataType::Float64 | DataType::Int64 => true,
        DataType::Decimal128(precision, _) => precision > DIGITS_OF_FLOAT,
        _ => false,
    };
    let floats = call.args.iter().filter(|argument| is_float(argument)).count();
    let (given, constant) = arrays(call)?;
    match floats {
        4 => {
            let columns: Vec<_> = given.iter().map(as_floats).collect::<Result<_>>()?;
            let at = |column: usize, row: usize| columns[column].is_valid(row).then(|| columns[column].value(row));
            let distance = |row| Some(distance_narrow(at(0, row)?, at(1, row)?, at(2, row)?, at(3, row)?));
            shown(Arc::new((0..call.number_rows).map(distance).collect::<Float64Array>()), false)
        }
        0 => in_doubles(&given, constant),
        _ if call.args.iter().any(wide) => in_doubles(&given, constant),
        _ => refuse("DISTANCE_IN_METERS", "FLOAT columns stand beside short numbers; CAST one of them AS DOUBLE"),
    }
}

fn in_doubles(given: &[ArrayRef], constant: bool) -> Result<ColumnarValue> {
    let columns: Vec<_> = given.iter().map(as_doubles).collect::<Result<_>>()?;
    let at = |column: usize, row: usize| columns[column].is_valid(row).then(|| columns[column].value(row));
    let distance = |row| Some(distance_wide(at(0, row)?, at(1, row)?, at(2, row)?, at(3, row)?));
    shown(Arc::new((0..given[0].len()).map(distance).collect::<Float64Array>()), constant)
}

/// The radius of the earth in metres that HeavyDB takes.
const EARTH: f64 = 6_372_797.560_856;
const RADIANS_PER_DEGREE: f64 = CIRCLE / 180.0;

/// Haversine formula (Sinnott 1984), in metres; longitudes and latitudes in degrees.
fn distance_wide(from_longitude: f64, from_latitude: f64, to_longitude: f64, to_latitude: f64) -> f64 {
    let haversine = |arc: f64| (arc * 0.5).sin() * (arc * 0.5).sin();
    let latitude = haversine((from_latitude - to_latitude) * RADIANS_PER_DEGREE);
    let longitude = haversine((from_longitude - to_longitude) * RADIANS_PER_DEGREE);
    let scale = (from_latitude * RADIANS_PER_DEGREE).cos() * (to_latitude * RADIANS_PER_DEGREE).cos();
    EARTH * (2.0 * (latitude + scale * longitude).sqrt().asin())
}

/// As [`distance_wide`], cut to 32 bits after each step.
fn distance_narrow(from_longitude: f32, from_latitude: f32, to_longitude: f32, to_latitude: f32) -> f64 {
    let radians = |degrees: f32| (f64::from(degrees) * RADIANS_PER_DEGREE) as f32;
    let haversine = |arc: f32| ((f64::from(arc) * 0.5) as f32).sin().powi(2);
    let latitude = haversine(radians(from_latitude - to_latitude));
    let longitude = haversine(radians(from_longitude - to_longitude));
    let scale = radians(from_latitude).cos() * radians(to_latitude).cos();
    EARTH * (2.0 * f64::from((latitude + scale * longitude).sqrt().asin()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::strings::test_call::{columns, constant, integer};
    use datafusion::arrow::array::{Decimal128Array, Float32Array};

    fn near(shown: &str, wanted: f64) {
        let shown: f64 = shown.parse().unwrap();
        assert!((shown - wanted).abs() <= 1e-15 * wanted.abs(), "{shown} {wanted}");
    }

    #[test]
    fn columns_of_float_are_computed_in_32_bits_and_constants_in_64() {
        let narrow = f64::from(10_f32.ln());
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![Some(10.0), None]));
        assert_eq!(columns(LOG, &[Arc::clone(&floats)], &[]).unwrap(), [narrow.to_string(), "NULL".to_string()]);
        assert!((narrow - 2.302_585_124_969_482).abs() < 1e-15);
        let short = Decimal128Array::from(vec![100]).with_precision_and_scale(7, 1).unwrap();
        assert_eq!(columns(LOG, &[Arc::new(short)], &[]).unwrap(), [narrow.to_string()]);
        let long = Decimal128Array::from(vec![100]).with_precision_and_scale(8, 1).unwrap();
        near(&columns(LOG, &[Arc::new(long)], &[]).unwrap()[0], std::f64::consts::LN_10);
        near(&constant(LOG, &[ScalarValue::Float32(Some(10.0))]), std::f64::consts::LN_10);
        near(&constant(LN, &[integer(10)]), std::f64::consts::LN_10);
        assert_eq!(columns(TAN, &[Arc::clone(&floats)], &[]).unwrap()[0], f64::from(10_f32.tan()).to_string());
        near(&columns(SIN, &[floats], &[]).unwrap()[0], 10_f64.sin());
    }

    #[test]
    fn values_outside_a_domain_are_those_of_the_ieee() {
        assert_eq!(constant(LOG, &[integer(0)]), "-inf");
        assert_eq!(constant(LOG, &[integer(-1)]), "NaN");
        assert_eq!(constant(SQRT, &[integer(-1)]), "NaN");
        assert_eq!(constant(ASIN, &[integer(2)]), "NaN");
        assert_eq!(constant(EXP, &[integer(1000)]), "inf");
        assert_eq!(constant(POWER, &[integer(0), integer(-1)]), "inf");
        assert_eq!(constant(COT, &[integer(0)]), "inf");
        assert!(constant(SIN, &["1".into()]).contains("not a number"));
    }

    #[test]
    fn angles_powers_and_pi() {
        assert_eq!(constant(PI, &[]), "3.141592653589793");
        assert_eq!(constant(DEGREES, &[CIRCLE.into()]), "180.0");
        assert_eq!(constant(RADIANS, &[integer(180)]), "3.141592653589793");
        assert_eq!(constant(POWER, &[integer(2), integer(10)]), "1024.0");
        near(&constant(ATAN2, &[integer(1), integer(-1)]), 0.75 * CIRCLE);
        assert_eq!(constant(ATANH, &[integer(1)]), "inf");
    }

    #[test]
    fn nan_and_infinities_are_told() {
        assert_eq!(constant(IS_NAN, &[f64::NAN.into()]), "true");
        assert_eq!(constant(IS_NAN, &[integer(1)]), "false");
        assert_eq!(constant(IS_INF, &[f64::NEG_INFINITY.into()]), "true");
        assert_eq!(columns(IS_INF, &[Arc::new(Float32Array::from(vec![Some(f32::INFINITY), None]))], &[]).unwrap(), ["true", "NULL"]);
    }

    #[test]
    fn distances_are_those_of_a_sphere() {
        let given = [-74.0059, 40.7217, -122.416_667, 37.783_333].map(ScalarValue::from);
        let shown: f64 = constant(DISTANCE_IN_METERS, &given).parse().unwrap();
        assert!((shown - 4_129_511.25).abs() < 1.0, "{shown}");
        let column = |x: f32| Arc::new(Float32Array::from(vec![Some(x), None])) as ArrayRef;
        let floats = [column(-74.0059), column(40.7217), column(-122.416_667), column(37.783_333)];
        let narrow = columns(DISTANCE_IN_METERS, &floats, &[]).unwrap();
        assert!((narrow[0].parse::<f64>().unwrap() - 4_129_511.25).abs() < 50.0, "{narrow:?}");
        assert_eq!(narrow[1], "NULL");
        let mixed = columns(DISTANCE_IN_METERS, &floats[..2], &[1.5.into(), 2.5.into()]).unwrap();
        assert!(mixed[0].parse::<f64>().is_ok());
        let short = [ScalarValue::Decimal128(Some(15), 2, 1), ScalarValue::Decimal128(Some(25), 2, 1)];
        assert!(columns(DISTANCE_IN_METERS, &floats[..2], &short).unwrap_err().to_string().contains("DOUBLE"));
    }
}
