//! A column of ours and one of HeavyDB's, brought to values that can be compared.

use std::borrow::Cow;

use datafusion::arrow::datatypes::DataType;

use super::Tolerance;
use super::instant::{instant_ns, time_ns};
use crate::replay::expected::Value;
use crate::replay::rows::{Cell, Rows};

/// The greatest difference of two floats of which one was printed with 6 decimals.
const SIX_DECIMALS: f64 = 5e-7 * (1.0 + 1e-6);

/// How the values of a column are read, told by our type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// All our values are NULL; a column of arrays stays one.
    Empty,
    Boolean,
    Number,
    Text,
    /// Our texts are numbers in letters, HeavyDB's values are numbers.
    NumberInLetters,
    Instant,
    Time,
    List(Box<Kind>),
}

impl Kind {
    /// The kind of a column; `theirs` are HeavyDB's values of it.
    pub(super) fn of(ours: &Rows, column: usize, theirs: &[Vec<Value>]) -> Self {
        let kind = Self::of_type(ours.data_type(column));
        // An array's NULL is printed in letters: the type is kept.
        if !matches!(kind, Self::List(_)) && (0..ours.len()).all(|row| ours.cell(row, column) == Cell::Null) {
            return Self::Empty;
        }
        if kind != Self::Text {
            return kind;
        }
        let mut values = theirs.iter().filter_map(|row| row.get(column)).filter(|value| **value != Value::Null).peekable();
        let numbers = values.peek().is_some() && values.all(|value| matches!(value, Value::Integer(_) | Value::Real(_)));
        let letters = |row| match ours.cell(row, column) {
            Cell::Text(text) => number(text).is_some(),
            _ => true,
        };
        if numbers && (0..ours.len()).all(letters) { Self::NumberInLetters } else { Self::Text }
    }

    /// The kind of a type.
    pub(super) fn of_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Null => Self::Empty,
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Self::Instant,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::List(item) => Self::List(Box::new(Self::of_type(item.data_type()))),
            _ => Self::Number,
        }
    }

    /// Our value.
    pub(super) fn ours<'a>(&self, cell: Cell<'a>) -> Comparable<'a> {
        match cell {
            Cell::Null => Comparable::Null,
            Cell::Boolean(value) => Comparable::Boolean(value),
            Cell::Integer(value) => Comparable::Integer(value),
            Cell::Real(value) => Comparable::Real(value),
            Cell::Decimal(decimal) if decimal.scale == 0 => Comparable::Integer(decimal.value),
            Cell::Decimal(decimal) => Comparable::Real(decimal.to_f64()),
            Cell::Text("") => Comparable::Null,
            Cell::Text(text) if *self == Self::NumberInLetters => number(text).unwrap_or(Comparable::Text(text.into())),
            Cell::Text(text) => Comparable::Text(text.into()),
            Cell::Instant(instant) => Comparable::Nanoseconds(instant.nanoseconds()),
            Cell::Time(time) => Comparable::Nanoseconds(time.nanoseconds()),
            Cell::List(cells) => {
                let item = if let Self::List(item) = self { item.as_ref() } else { &Self::Text };
                Comparable::List(cells.into_iter().map(|cell| item.ours(cell)).collect())
            }
        }
    }

    /// HeavyDB's value, read as the kind of ours.
    pub(super) fn theirs<'a>(&self, value: &'a Value) -> Comparable<'a> {
        let read = match (self, value) {
            (_, Value::Null) => Some(Comparable::Null),
            (Self::Empty | Self::Text, Value::Text(text) | Value::Printed(text)) if text.is_empty() => Some(Comparable::Null),
            (Self::Empty, _) => None,
            (Self::Boolean, value) => boolean(value).map(Comparable::Boolean),
            (Self::Number | Self::NumberInLetters, value) => numeric(value),
            (Self::Text, Value::Text(text) | Value::Printed(text)) => Some(Comparable::Text(text.as_str().into())),
            // A column of texts and numbers mixed: the number as it is printed.
            (Self::Text, Value::Integer(value)) => Some(Comparable::Text(value.to_string().into())),
            (Self::Text, _) => None,
            (Self::Instant, Value::Instant(nanoseconds)) | (Self::Time, Value::Time(nanoseconds)) => {
                Some(Comparable::Nanoseconds(*nanoseconds))
            }
            (Self::Instant, Value::Text(text) | Value::Printed(text)) => instant_ns(text).map(Comparable::Nanoseconds),
            (Self::Time, Value::Text(text) | Value::Printed(text)) => time_ns(text).map(Comparable::Nanoseconds),
            (Self::Instant | Self::Time, _) => None,
            (Self::List(item), Value::List(values)) => Some(Comparable::List(values.iter().map(|value| item.theirs(value)).collect())),
            // COPY TO prints the NULL of an array as this word, whatever stands for other NULLs.
            (Self::List(_), Value::Printed(text)) if text.is_empty() || text == "NULL" => Some(Comparable::Null),
            (Self::List(item), Value::Text(text) | Value::Printed(text)) => item.printed_list(text),
            (Self::List(_), _) => None,
        };
        read.unwrap_or(Comparable::Foreign)
    }

    /// An array as heavysql (`{1, 2}`) or COPY TO (`{1 | 2}`) prints it; `self` is the kind of its values.
    fn printed_list<'a>(&self, text: &'a str) -> Option<Comparable<'a>> {
        let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        if inside.is_empty() {
            return Some(Comparable::List(Vec::new()));
        }
        let separator = if inside.contains(" | ") { " | " } else { ", " };
        let values = inside.split(separator).map(|item| match item {
            "NULL" => Comparable::Null,
            _ => self.printed(item),
        });
        Some(Comparable::List(values.collect()))
    }

    /// A printed value of an array.
    fn printed<'a>(&self, item: &'a str) -> Comparable<'a> {
        let read = match self {
            Self::Number => match number(item) {
                Some(Comparable::Real(value)) => Some(Comparable::SixDecimals(value)),
                other => other,
            },
            Self::Text | Self::Empty => Some(if item.is_empty() { Comparable::Null } else { Comparable::Text(item.into()) }),
            Self::Boolean => boolean_in_letters(item).map(Comparable::Boolean),
            Self::Instant => instant_ns(item).map(Comparable::Nanoseconds),
            Self::Time => time_ns(item).map(Comparable::Nanoseconds),
            Self::NumberInLetters | Self::List(_) => None,
        };
        read.unwrap_or(Comparable::Foreign)
    }
}

/// A value of either side. Integers of one side meet floats of the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Comparable<'a> {
    Null,
    Boolean(bool),
    Integer(i128),
    Real(f64),
    /// A float that was printed with 6 decimals.
    SixDecimals(f64),
    Text(Cow<'a, str>),
    Nanoseconds(i128),
    List(Vec<Comparable<'a>>),
    /// A value of HeavyDB's that our type cannot hold; equal to nothing.
    Foreign,
}

impl Comparable<'_> {
    /// The number, of a number.
    #[expect(clippy::cast_precision_loss, reason = "an integer meets a float: they are compared as floats")]
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Real(value) | Self::SixDecimals(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether the two are the same.
    pub(super) fn equals(&self, other: &Self, tolerance: Tolerance) -> bool {
        match (self, other) {
            (Self::Foreign, _) | (_, Self::Foreign) => false,
            (Self::Integer(a), Self::Integer(b)) => a == b || (tolerance.integers && tolerance.allows(self.number(), other.number())),
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b, tolerance)),
            (Self::SixDecimals(b), a) | (a, Self::SixDecimals(b)) => {
                a.number().is_some_and(|a| (a - b).abs() <= SIX_DECIMALS) || tolerance.allows(a.number(), Some(*b))
            }
            (Self::Integer(_) | Self::Real(_), Self::Integer(_) | Self::Real(_)) => tolerance.allows(self.number(), other.number()),
            _ => self == other,
        }
    }

    /// Adds what must be equal without any tolerance to a key: values of two rows with different keys are never the same.
    pub(super) fn key(&self, inexact: bool, key: &mut Vec<u8>) {
        match self {
            Self::Null => key.push(0),
            Self::Boolean(value) => key.extend([1, u8::from(*value)]),
            Self::Integer(_) | Self::Real(_) | Self::SixDecimals(_) if inexact => key.push(match self.number() {
                Some(value) if value.is_nan() => 2,
                Some(value) if value.is_infinite() => 3 + u8::from(value > 0.0),
                _ => 5,
            }),
            Self::Integer(value) => {
                key.push(6);
                key.extend(value.to_le_bytes());
            }
            Self::Real(_) | Self::SixDecimals(_) => key.push(5),
            Self::Text(text) => {
                key.push(7);
                key.extend((text.len() as u64).to_le_bytes());
                key.extend(text.as_bytes());
            }
            Self::Nanoseconds(value) => {
                key.push(8);
                key.extend(value.to_le_bytes());
            }
            Self::List(values) => {
                key.push(9);
                key.extend((values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| value.key(inexact, key));
            }
            Self::Foreign => key.push(10),
        }
    }
}

/// A number in letters. What HeavyDB prints behind intervals is passed over.
pub(super) fn number<'a>(text: &str) -> Option<Comparable<'a>> {
    let text = text.trim();
    let text =
        text.strip_suffix(" ms (day-time interval)").or_else(|| text.strip_suffix(" month(s) (year-month interval)")).unwrap_or(text);
    match text.parse::<i128>() {
        Ok(value) => Some(Comparable::Integer(value)),
        Err(_) => text.parse::<f64>().ok().or_else(|| (text == "-nan").then_some(f64::NAN)).map(Comparable::Real),
    }
}

/// A number of HeavyDB's; of texts only the names of numbers that JSON cannot write.
fn numeric(value: &Value) -> Option<Comparable<'_>> {
    match value {
        Value::Integer(value) => Some(Comparable::Integer(*value)),
        Value::Real(value) => Some(Comparable::Real(*value)),
        Value::Boolean(value) => Some(Comparable::Integer(i128::from(*value))),
        Value::Printed(text) => number(text),
        Value::Text(text) => text.trim().parse::<f64>().ok().filter(|value| !value.is_finite()).map(Comparable::Real),
        _ => None,
    }
}

fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(value) => Some(*value),
        Value::Integer(0) => Some(false),
        Value::Integer(1) => Some(true),
        Value::Real(value) if *value == 0.0 => Some(false),
        Value::Real(value) if *value == 1.0 => Some(true),
        Value::Text(text) | Value::Printed(text) => boolean_in_letters(text),
        _ => None,
    }
}

fn boolean_in_letters(text: &str) -> Option<bool> {
    match text {
        "true" | "t" | "T" | "1" => Some(true),
        "false" | "f" | "F" | "0" => Some(false),
        _ => None,
    }
}
