//! Texts as arguments and results: bytes, constants that must be literals, and an empty result that is NULL.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, StringArray, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use crate::Refusal;
use crate::functions::scalar::expect_count;

/// Refuses a call of the function `name`.
///
/// # Errors
/// Always a [`Refusal`].
pub(in crate::functions) fn refuse<T>(name: &str, reason: impl Into<String>) -> Result<T> {
    Err(Refusal::new(name, reason).into())
}

/// What an argument of a text function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
}

/// Casts for arguments of the given kinds, of which those from `least` on may be missing.
///
/// # Errors
/// A wrong number of arguments; a text where an integer is wanted, a number where a text is wanted: HeavyDB casts neither.
pub(super) fn casts(name: &str, given: &[DataType], kinds: &[Kind], least: usize) -> Result<Vec<DataType>> {
    expect_count(name, given, RangeInclusive::new(least, kinds.len()))?;
    given.iter().zip(kinds).enumerate().map(|(i, (given, kind))| cast_of(name, i + 1, given, *kind)).collect()
}

fn cast_of(name: &str, position: usize, given: &DataType, kind: Kind) -> Result<DataType> {
    match (kind, given) {
        (Kind::Text, DataType::Null) => Ok(DataType::Utf8),
        (Kind::Text, DataType::Utf8 | DataType::Utf8View) => Ok(given.clone()),
        (Kind::Text, given) if is_text(given) => Ok(DataType::Utf8View),
        (Kind::Text, given) => plan_err!("{}: argument {position} is {given}, not a text; CAST it AS TEXT", name.to_ascii_uppercase()),
        (Kind::Integer, given) if given.is_integer() || *given == DataType::Null => Ok(DataType::Int64),
        (Kind::Integer, given) => plan_err!("{}: argument {position} is {given}, not an integer", name.to_ascii_uppercase()),
    }
}

/// True for texts of every form, a dictionary of texts among them.
pub(super) fn is_text(given: &DataType) -> bool {
    match given {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// The texts of one argument.
pub(super) enum Texts<'a> {
    Column(&'a StringArray),
    Views(&'a StringViewArray),
    Constant(Option<&'a str>),
}

impl<'a> Texts<'a> {
    pub(super) fn at(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Views(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Constant(text) => *text,
        }
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }
}

/// The texts of an argument.
///
/// # Errors
/// Another type than [`casts`] gave.
pub(super) fn texts(call: &ScalarFunctionArgs, index: usize) -> Result<Texts<'_>> {
    match call.args.get(index) {
        Some(ColumnarValue::Array(array)) => match (array.as_string_opt::<i32>(), array.as_string_view_opt()) {
            (Some(column), _) => Ok(Texts::Column(column)),
            (_, Some(column)) => Ok(Texts::Views(column)),
            _ => internal_err!("argument {index} is {}, not a text", array.data_type()),
        },
        Some(ColumnarValue::Scalar(ScalarValue::Utf8(text) | ScalarValue::Utf8View(text))) => Ok(Texts::Constant(text.as_deref())),
        Some(ColumnarValue::Scalar(other)) => internal_err!("argument {index} is {}, not a text", other.data_type()),
        None => internal_err!("argument {index} is missing"),
    }
}

/// The value of a text argument that HeavyDB takes as a literal only.
///
/// # Errors
/// Refuses a column.
pub(super) fn literal_text<'a>(call: &'a ScalarFunctionArgs, name: &str, index: usize) -> Result<Option<&'a str>> {
    match texts(call, index)? {
        Texts::Constant(text) => Ok(text),
        _ => no_literal(name, index),
    }
}

/// The value of an integer argument that HeavyDB takes as a literal only.
///
/// # Errors
/// Refuses a column.
pub(super) fn literal_integer(call: &ScalarFunctionArgs, name: &str, index: usize) -> Result<Option<i64>> {
    match call.args.get(index) {
        Some(ColumnarValue::Scalar(ScalarValue::Int64(value))) => Ok(*value),
        Some(ColumnarValue::Scalar(other)) => internal_err!("argument {index} is {}, not BIGINT", other.data_type()),
        Some(ColumnarValue::Array(_)) => no_literal(name, index),
        None => internal_err!("argument {index} is missing"),
    }
}

fn no_literal<T>(name: &str, index: usize) -> Result<T> {
    refuse(name, format!("argument {} must be a literal in HeavyDB; a column is given", index + 1))
}

/// Refuses a text that is not ASCII, for functions that count bytes where we could not show the pieces.
///
/// # Errors
/// A byte above 127.
pub(super) fn ascii<'a>(name: &str, text: &'a str) -> Result<&'a str> {
    if text.is_ascii() {
        return Ok(text);
    }
    refuse(name, format!("HeavyDB counts bytes, not characters (rule D31), and the text {text:?} is not ASCII"))
}

/// A text result: an empty one is NULL.
pub(super) type Answer<'a> = Result<Option<Cow<'a, str>>>;

/// A text for each text of the first argument; NULL and an empty literal give NULL, and so does an empty result. A constant gives a
/// constant.
///
/// # Errors
/// Those of `answer`.
pub(super) fn map_text<'a>(call: &'a ScalarFunctionArgs, mut answer: impl FnMut(&'a str) -> Answer<'a>) -> Result<ColumnarValue> {
    let given = texts(call, 0)?;
    let constant = given.is_constant();
    let at = |row| given.at(row).filter(|text| !constant || !text.is_empty());
    build_text(call, constant, |row| at(row).map_or(Ok(None), &mut answer))
}

/// A text for each row; an empty one is NULL.
///
/// # Errors
/// Those of `answer`.
pub(super) fn build_text<'a>(
    call: &ScalarFunctionArgs,
    constant: bool,
    mut answer: impl FnMut(usize) -> Answer<'a>,
) -> Result<ColumnarValue> {
    let mut answer = |row| answer(row).map(|text| text.filter(|text| !text.is_empty()));
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(answer(0)?.map(Cow::into_owned))));
    }
    let mut built = StringViewBuilder::with_capacity(call.number_rows);
    for row in 0..call.number_rows {
        built.append_option(answer(row)?);
    }
    Ok(ColumnarValue::Array(Arc::new(built.finish())))
}

/// NULL as the text of every row.
pub(super) fn null_text() -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Utf8View(None))
}

/// A number for each row.
///
/// # Errors
/// Those of `answer`.
pub(super) fn build_number<T: ArrowPrimitiveType>(
    call: &ScalarFunctionArgs,
    constant: bool,
    answer: impl FnMut(usize) -> Result<Option<T::Native>>,
) -> Result<ColumnarValue> {
    let rows = if constant { 1 } else { call.number_rows };
    let built: PrimitiveArray<T> = (0..rows).map(answer).collect::<Result<_>>()?;
    shown(Arc::new(built), constant)
}

/// A number for each text of the first argument; NULL and an empty text give NULL.
///
/// # Errors
/// Those of `answer`.
pub(super) fn map_number<'a, T: ArrowPrimitiveType>(
    call: &'a ScalarFunctionArgs,
    mut answer: impl FnMut(&'a str) -> Result<Option<T::Native>>,
) -> Result<ColumnarValue> {
    let given = texts(call, 0)?;
    let at = |row| given.at(row).filter(|text| !text.is_empty());
    build_number::<T>(call, given.is_constant(), |row| at(row).map_or(Ok(None), &mut answer))
}

/// A truth value for each text of the first argument; NULL gives NULL.
///
/// # Errors
/// Those of `answer`.
pub(super) fn map_truth<'a>(call: &'a ScalarFunctionArgs, mut answer: impl FnMut(&'a str) -> Result<bool>) -> Result<ColumnarValue> {
    let given = texts(call, 0)?;
    let rows = if given.is_constant() { 1 } else { call.number_rows };
    let built: BooleanArray = (0..rows).map(|row| given.at(row).map(&mut answer).transpose()).collect::<Result<_>>()?;
    shown(Arc::new(built), given.is_constant())
}

/// An array as a result, of one row as a constant.
fn shown(array: Arc<dyn Array>, constant: bool) -> Result<ColumnarValue> {
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(array))
}

/// The longest text that a function may make: HeavyDB's limit of a dictionary text.
pub(super) const LONGEST: usize = 32_767;

/// Refuses a text before it is made, where it would be too long.
///
/// # Errors
/// More than [`LONGEST`] bytes.
pub(super) fn check_length(name: &str, bytes: usize) -> Result<()> {
    if bytes > LONGEST {
        return refuse(name, format!("would make a text of {bytes} bytes; those of a dictionary have at most {LONGEST}"));
    }
    Ok(())
}
