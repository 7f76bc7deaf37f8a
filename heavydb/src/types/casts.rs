//! CAST and TRY_CAST.
//!
//! | from \ to | integer | FLOAT, DOUBLE | DECIMAL | text | DATE, TIME, TIMESTAMP |
//! |---|---|---|---|---|---|
//! | integer, BOOLEAN | range | nearest | range of 64 bits | plain, `true` | count of the unit, DATE and TIME of seconds |
//! | FLOAT, DOUBLE | half away from zero, range | nearest | constants alone | `%f` | constants to TIMESTAMP |
//! | DECIMAL | half away from zero, range | nearest | half away from zero | `%p.sf`, through a double | as its integer |
//! | text | constants alone, or TRY_CAST: [`literals`] | | | itself | |
//! | DATE, TIMESTAMP | the count | the count | the count | ISO | rounded down |
//!
//! Everything else is refused. A value out of range is an error; in TRY_CAST, of texts alone as in HeavyDB, it is NULL.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast as arrow_cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int64Type, TimeUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::cast_texts::texts;
use super::heavy_type::{HeavyType, Kind};
use super::literals;
use crate::functions::dates::calendar::DAY;
use crate::functions::dates::instants::{finish, per_second};
use crate::functions::scalar::{ScalarFunction, of_type};
use crate::refusal::Refusal;

/// The function that casts its one argument to a type; TRY_CAST with `try_cast`.
///
/// The encoding of the type is not looked at. The argument is taken as it is: a text must arrive as a constant, or for TRY_CAST.
pub fn cast_to(target: &HeavyType, try_cast: bool) -> Arc<ScalarUDF> {
    let prefix = if try_cast { "try_cast_" } else { "cast_" };
    let name = format!("{prefix}{}", target.name().to_ascii_lowercase());
    let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(CastFunction { name, target: target.kind.clone(), try_cast, signature }))
}

/// Casts whose type is a text, as the rewriting of HeavyDB's text leaves them: `cast_as(x, 'TYPE')`, `try_cast_as(x, 'TYPE')` and
/// `typed_literal('text', 'TYPE')`.
pub const CASTS: &[ScalarFunction] = &[
    ScalarFunction {
        name: "cast_as",
        arguments: spelled,
        result: |call| spelled_result(call, false),
        evaluate: |call| spelled_cast(call, false),
    },
    ScalarFunction {
        name: "try_cast_as",
        arguments: spelled,
        result: |call| spelled_result(call, true),
        evaluate: |call| spelled_cast(call, true),
    },
    ScalarFunction {
        name: "typed_literal",
        arguments: spelled,
        result: |call| spelled_result(call, false),
        evaluate: |call| spelled_cast(call, false),
    },
];

fn spelled(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Dictionary(_, values), spelling] => Ok(vec![values.as_ref().clone(), spelling.clone()]),
        [given, spelling] => Ok(vec![given.clone(), spelling.clone()]),
        _ => plan_err!("CAST takes a value and a type, given are {} arguments", types.len()),
    }
}

/// The type in a constant argument.
fn spelled_kind(spelling: Option<&ScalarValue>) -> Result<Kind> {
    match spelling.map(ScalarValue::try_as_str) {
        Some(Some(Some(text))) => HeavyType::parse(text).map(|given| given.kind).or_else(|error| plan_err!("CAST: {error}")),
        _ => plan_err!("the type of a CAST is a literal"),
    }
}

fn spelled_result(call: &ReturnFieldArgs<'_>, try_cast: bool) -> Result<Field> {
    let target = spelled_kind(call.scalar_arguments[1])?;
    let given = call.arg_fields[0].data_type();
    check(given, &target, try_cast)?;
    if class_of(given) == Some(Class::Text) && target != Kind::Text && !try_cast && call.scalar_arguments[0].is_none() {
        let to = HeavyType::new(target).name();
        return Err(Refusal::new(format!("CAST of a TEXT that is no literal to {to}"), format!("write TRY_CAST(... AS {to})")).into());
    }
    of_type(HeavyType::new(target).data_type())
}

fn spelled_cast(call: &ScalarFunctionArgs, try_cast: bool) -> Result<ColumnarValue> {
    match &call.args[..] {
        [value, ColumnarValue::Scalar(spelling)] => cast_columnar(value, &spelled_kind(Some(spelling))?, try_cast),
        _ => exec_err!("the type of a CAST is a literal"),
    }
}

/// Casts a column or a constant.
fn cast_columnar(value: &ColumnarValue, target: &Kind, try_cast: bool) -> Result<ColumnarValue> {
    match value {
        ColumnarValue::Array(array) => Ok(ColumnarValue::Array(cast_array(array, target, Form { constant: false, try_cast })?)),
        ColumnarValue::Scalar(value) => {
            let array = cast_array(&value.to_array()?, target, Form { constant: true, try_cast })?;
            Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
        }
    }
}

/// A cast behind DataFusion's interface.
#[derive(Debug)]
struct CastFunction {
    name: String,
    target: Kind,
    try_cast: bool,
    signature: Signature,
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        (&self.target, self.try_cast) == (&other.target, other.try_cast)
    }
}

impl Eq for CastFunction {}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.target, self.try_cast).hash(state);
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(HeavyType::new(self.target.clone()).data_type())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check(args.arg_fields[0].data_type(), &self.target, self.try_cast)?;
        Ok(Arc::new(Field::new(&self.name, HeavyType::new(self.target.clone()).data_type(), true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [DataType::Dictionary(_, values)] => Ok(vec![values.as_ref().clone()]),
            [given] => Ok(vec![given.clone()]),
            _ => plan_err!("CAST takes one argument, given are {}", arg_types.len()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[..] {
            [value] => cast_columnar(value, &self.target, self.try_cast),
            other => internal_err!("CAST was called with {} arguments", other.len()),
        }
    }
}

/// How a cast was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// The argument is one constant.
    pub(super) constant: bool,
    /// TRY_CAST.
    pub(super) try_cast: bool,
}

/// What a type counts as here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Boolean,
    Integer,
    Real,
    Decimal,
    Text,
    Time,
    DateTime,
    Array,
}

fn class_of(data_type: &DataType) -> Option<Class> {
    Some(match data_type {
        DataType::Null => Class::Null,
        DataType::Boolean => Class::Boolean,
        DataType::Float32 | DataType::Float64 => Class::Real,
        DataType::Decimal128(..) => Class::Decimal,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Class::Text,
        DataType::Time32(TimeUnit::Second) => Class::Time,
        DataType::Date32 | DataType::Timestamp(_, None) => Class::DateTime,
        DataType::List(_) | DataType::FixedSizeList(..) => Class::Array,
        integer if integer.is_integer() => Class::Integer,
        _ => return None,
    })
}

/// Refuses the pairs of types that have no cast.
fn check(given: &DataType, target: &Kind, try_cast: bool) -> Result<()> {
    let to = HeavyType::new(target.clone());
    let from = class_of(given);
    let into = class_of(&to.data_type());
    let number = matches!(from, Some(Class::Integer | Class::Decimal | Class::Real));
    let known = match (from, into) {
        (_, _) if matches!(target, Kind::Geometry(_) | Kind::Interval(_)) => false,
        (Some(Class::Null), _) => true,
        (Some(Class::Array), Some(Class::Array)) => *given == to.data_type(),
        (Some(Class::Array) | None, _) | (_, Some(Class::Array | Class::Null) | None) => false,
        (Some(_), Some(Class::Text)) => true,
        (Some(Class::Text), Some(_)) => true,
        (Some(Class::Boolean), Some(into)) => matches!(into, Class::Boolean | Class::Integer | Class::Real | Class::Decimal),
        (Some(Class::Time), Some(into)) => into == Class::Time,
        (Some(Class::DateTime), Some(into)) => match into {
            Class::Time => !matches!(given, DataType::Date32),
            _ => into != Class::Boolean,
        },
        (Some(Class::Real), Some(Class::DateTime)) => matches!(target, Kind::Timestamp(_)),
        (Some(Class::Real), Some(Class::Time)) => false,
        (Some(_), Some(into)) => number && into != Class::Boolean,
    };
    if !known {
        return plan_err!("there is no CAST from {given} to {}", to.name());
    }
    if try_cast && !matches!(from, Some(Class::Text | Class::Null)) {
        return plan_err!("TRY_CAST takes a text, given is {given}: use CAST");
    }
    Ok(())
}

/// Casts a column.
pub(super) fn cast_array(array: &ArrayRef, target: &Kind, form: Form) -> Result<ArrayRef> {
    check(array.data_type(), target, form.try_cast)?;
    let data_type = HeavyType::new(target.clone()).data_type();
    if *array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    match class_of(array.data_type()) {
        Some(Class::Null) => Ok(new_null_array(&data_type, array.len())),
        _ if *target == Kind::Text => texts(array),
        Some(Class::Text) => from_text(array, target, form),
        Some(Class::Real) => from_real(array, target, form),
        Some(Class::DateTime | Class::Time) if class_of(&data_type).is_some_and(|into| matches!(into, Class::DateTime | Class::Time)) => {
            between_datetimes(array, &data_type)
        }
        _ => from_exact(array, target, form),
    }
}

/// A column as optional values; the error of a value fails the cast, or is NULL in TRY_CAST.
fn collect<A, T, C>(values: impl Iterator<Item = Option<A>>, form: Form, of: impl Fn(A) -> Result<T>) -> Result<C>
where
    C: FromIterator<Option<T>>,
{
    let lenient = |value: Option<A>| match value.map(&of) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) if form.try_cast => Ok(None),
        Some(Err(error)) => Err(error),
    };
    values.map(lenient).collect()
}

fn from_text(array: &ArrayRef, target: &Kind, form: Form) -> Result<ArrayRef> {
    let to = HeavyType::new(target.clone());
    if !form.constant && !form.try_cast {
        return exec_err!("there is no CAST from a TEXT column to {}: use TRY_CAST", to.name());
    }
    let texts = arrow_cast(array, &DataType::Utf8View)?;
    let texts = texts.as_string_view();
    let bad = |text: &str| exec_datafusion_err!("'{text}' is no {}", to.name());
    // An empty text is NULL, which has no number and no date.
    let values = || texts.iter().map(|text| text.filter(|text| !(form.try_cast && text.is_empty())));
    let exact =
        |read: &dyn Fn(&str) -> Option<i64>| collect::<_, _, Int64Array>(values(), form, |text| read(text).ok_or_else(|| bad(text)));
    let counts = match target {
        Kind::Boolean => {
            let read: BooleanArray = collect(values(), form, |text| literals::boolean(text).ok_or_else(|| bad(text)))?;
            return Ok(Arc::new(read));
        }
        Kind::Float | Kind::Double => {
            let read: Float64Array = collect(values(), form, |text| literals::float(text).ok_or_else(|| bad(text)))?;
            return Ok(arrow_cast(&read, &to.data_type())?);
        }
        Kind::Decimal { scale, .. } => exact(&|text| literals::decimal(text, *scale).and_then(|value| i64::try_from(value).ok()))?,
        Kind::Date => exact(&|text| literals::date(text).map(|days| i64::from(days) * DAY))?,
        Kind::Time => exact(&|text| literals::time(text).map(i64::from))?,
        Kind::Timestamp(unit) => exact(&|text| literals::timestamp(text, *unit))?,
        _ => {
            let (least, greatest) = to.range().unwrap_or((i64::MIN, i64::MAX));
            exact(&|text| literals::integer(text).filter(|value| (least..=greatest).contains(value)))?
        }
    };
    from_counts(counts, target)
}

/// Counts in the units of the type: integers, DECIMAL without its point, seconds, units of the TIMESTAMP. All are in range.
fn from_counts(counts: Int64Array, target: &Kind) -> Result<ArrayRef> {
    let to = HeavyType::new(target.clone()).data_type();
    match target {
        Kind::Decimal { precision, scale } => {
            let scale = i8::try_from(*scale).unwrap_or(i8::MAX);
            Ok(Arc::new(counts.unary::<_, Decimal128Type>(i128::from).with_data_type(DataType::Decimal128(*precision, scale))))
        }
        Kind::Date | Kind::Time | Kind::Timestamp(_) => finish(counts, &to, false)?.into_array(0),
        _ => Ok(arrow_cast(&counts, &to)?),
    }
}

/// Integers, BOOLEAN, DECIMAL and the counts of DATE and TIMESTAMP.
fn from_exact(array: &ArrayRef, target: &Kind, form: Form) -> Result<ArrayRef> {
    let (values, scale) = exact_values(array)?;
    let to = HeavyType::new(target.clone());
    match target {
        // As HeavyDB divides: numerator and power of ten in the type of the result.
        Kind::Float if scale > 0 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| value as f32 / 10_f32.powi(scale.into())))),
        Kind::Double if scale > 0 => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64 / 10_f64.powi(scale.into())))),
        Kind::Float => Ok(Arc::new(values.unary::<_, Float32Type>(|value| value as f32))),
        Kind::Double => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64))),
        _ => {
            let wanted = if let Kind::Decimal { scale, .. } = target { *scale } else { 0 };
            let (least, greatest) = bounds(target, form);
            let counts = values.try_unary::<_, Int64Type, _>(|value| {
                let rescaled = rescale(value, scale, wanted).and_then(|value| i64::try_from(value).ok());
                rescaled.filter(|value| (least..=greatest).contains(value)).ok_or_else(|| out_of_range(&to, &value.to_string(), scale))
            })?;
            from_counts(counts, target)
        }
    }
}

fn out_of_range(to: &HeavyType, value: &str, scale: u8) -> datafusion::common::DataFusionError {
    let power = if scale == 0 { String::new() } else { format!("e-{scale}") };
    exec_datafusion_err!("CAST: {value}{power} is out of the range of {}", to.name())
}

/// The values without their point, and the digits behind it.
fn exact_values(array: &ArrayRef) -> Result<(Decimal128Array, u8)> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let scale = u8::try_from(*scale).or_else(|_| exec_err!("CAST of a DECIMAL with scale {scale}"))?;
            Ok((array.as_primitive::<Decimal128Type>().clone(), scale))
        }
        DataType::Date32 => {
            let days = arrow_cast(array, &DataType::Int32)?;
            Ok((integers(&days)?.unary(|days| days * i128::from(DAY)), 0))
        }
        _ => Ok((integers(array)?, 0)),
    }
}

fn integers(array: &ArrayRef) -> Result<Decimal128Array> {
    let values = cast_with_options(array, &DataType::Int64, &CastOptions { safe: false, ..CastOptions::default() })?;
    Ok(values.as_primitive::<Int64Type>().unary::<_, Decimal128Type>(i128::from))
}

/// Least and greatest integer that a cast gives. The least of a type is HeavyDB's NULL, which a constant alone can have.
fn bounds(target: &Kind, form: Form) -> (i64, i64) {
    match (target, HeavyType::new(target.clone()).range()) {
        (Kind::TinyInt | Kind::SmallInt | Kind::Integer | Kind::BigInt, Some((least, greatest))) => {
            (least - i64::from(form.constant), greatest)
        }
        _ => (i64::MIN, i64::MAX),
    }
}

/// A count of 10^-from as a count of 10^-to, rounded half away from zero.
fn rescale(value: i128, from: u8, to: u8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10_i128.checked_pow((to - from).into())?);
    }
    let power = 10_i128.checked_pow((from - to).into())?;
    let half = if value < 0 { -power / 2 } else { power / 2 };
    Some(value.checked_add(half)? / power)
}

/// FLOAT and DOUBLE.
fn from_real(array: &ArrayRef, target: &Kind, form: Form) -> Result<ArrayRef> {
    let to = HeavyType::new(target.clone());
    if matches!(target, Kind::Float | Kind::Double) {
        return Ok(arrow_cast(array, &to.data_type())?);
    }
    if !form.constant && matches!(target, Kind::Decimal { .. } | Kind::Timestamp(_)) {
        return exec_err!("there is no CAST from a column of {} to {}, as in HeavyDB", array.data_type(), to.name());
    }
    let (least, greatest) = bounds(target, form);
    let power = if let Kind::Decimal { scale, .. } = target { 10_f64.powi((*scale).into()) } else { 1.0 };
    let checked = |value: f64, rounded: f64| {
        // 2^63 is not reached: the greatest double below it is 2^63 - 1024.
        let fits = rounded >= least as f64 && rounded <= greatest as f64 && rounded < 9_223_372_036_854_775_808.0;
        if fits { Ok(rounded as i64) } else { Err(out_of_range(&to, &value.to_string(), 0)) }
    };
    let counts = match array.as_primitive_opt::<Float32Type>() {
        // HeavyDB adds a half and cuts: in 32 bits for a FLOAT column, and never for constants.
        Some(floats) if !form.constant => {
            floats.try_unary::<_, Int64Type, _>(|value| checked(value.into(), f64::from(value + 0.5_f32.copysign(value)).trunc()))?
        }
        _ => {
            let doubles = arrow_cast(array, &DataType::Float64)?;
            doubles.as_primitive::<Float64Type>().try_unary::<_, Int64Type, _>(|value| {
                let rounded = if form.constant { (value * power).round() } else { (value + 0.5_f64.copysign(value)).trunc() };
                checked(value, rounded)
            })?
        }
    };
    from_counts(counts, target)
}

/// DATE, TIME and TIMESTAMP among themselves: coarser ones are rounded down.
fn between_datetimes(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let (values, from_second) = match array.data_type() {
        DataType::Timestamp(unit, _) => (arrow_cast(array, &DataType::Int64)?, per_second(*unit)),
        _ => {
            let (seconds, _) = exact_values(array)?;
            (Arc::new(seconds.unary::<_, Int64Type>(|seconds| seconds as i64)) as ArrayRef, 1)
        }
    };
    let values = values.as_primitive::<Int64Type>();
    let counts: Int64Array = match to {
        DataType::Timestamp(unit, _) if per_second(*unit) >= from_second => {
            let factor = per_second(*unit) / from_second;
            let finer =
                |value: i64| value.checked_mul(factor).ok_or_else(|| exec_datafusion_err!("CAST: {value} is out of the range of {to}"));
            values.try_unary(finer)?
        }
        DataType::Timestamp(unit, _) => values.unary(|value| value.div_euclid(from_second / per_second(*unit))),
        DataType::Time32(_) => values.unary(|value| value.div_euclid(from_second).rem_euclid(DAY)),
        _ => values.unary(|value| value.div_euclid(from_second)),
    };
    finish(counts, to, false)?.into_array(array.len())
}
