//! A value's text as a column reads it.
//!
//! NULL is the text of the option `nulls`, `NULL`, `\N`, for all but texts the empty value, and for numbers, dates and times any text that
//! starts with neither a digit nor `-` (floats: nor a point). A float is read up to what is no number.

use std::borrow::Cow;

use datafusion::arrow::datatypes::{DataType, Field};

use super::options::ImportOptions;
use super::records::elements;
use crate::tables::load::Column;
use crate::tables::values::Literal;

/// What came of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// It is in the column as it stood.
    Whole,
    /// It is NULL or cut off, as HeavyDB reads it: text that is no number, an array without its marks.
    Coerced,
}

/// Adds a value to a column. Whatever happens, the column is one value longer.
///
/// # Errors
/// Why the row is rejected.
pub(super) fn push(column: &mut Column, field: &Field, text: &str, options: &ImportOptions) -> Result<Read, String> {
    let is_text = matches!(field.data_type(), DataType::Utf8View);
    let text = if options.trim_spaces || is_text { text } else { text.trim_matches([' ', '\t', '\r', '\n']) };
    let is_null = text == options.nulls || text == "NULL" || text == "\\N" || (text.is_empty() && !is_text);
    if is_null || starts_as_null(text, field.data_type()) {
        column.push_null();
        return match (field.is_nullable(), is_null) {
            (false, _) => Err(format!("NULL in column '{}', which is NOT NULL", field.name())),
            (true, true) => Ok(Read::Whole),
            (true, false) => Ok(Read::Coerced),
        };
    }
    let rejected = || format!("'{}' is no value of column '{}' ({})", shown(text), field.name(), field.data_type());
    let pushed = match (field.data_type(), &mut *column) {
        (DataType::List(element) | DataType::FixedSizeList(element, _), column) => {
            return push_array(column, field, element, text, options);
        }
        (_, Column::Float64(builder)) => number_start(text).map(|(number, read)| {
            builder.append_value(number);
            read
        }),
        (_, Column::Float32(builder)) => number_start(text).map(|(number, read)| {
            #[expect(clippy::cast_possible_truncation, reason = "the nearest FLOAT, as HeavyDB has it")]
            builder.append_value(number as f32);
            read
        }),
        (_, column) => match column.push_text(text) {
            Some(Ok(())) => Some(Read::Whole),
            Some(Err(_)) | None => None,
        },
    };
    pushed.ok_or_else(|| {
        column.push_null();
        rejected()
    })
}

fn starts_as_null(text: &str, data_type: &DataType) -> bool {
    let Some(first) = text.bytes().next() else { return false };
    let is_number = first.is_ascii_digit() || first == b'-';
    match data_type {
        DataType::Float32 | DataType::Float64 => !is_number && first != b'.',
        data_type if data_type.is_integer() => !is_number,
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => !is_number,
        _ => false,
    }
}

/// Whether a text that is not NULL can be a value of a type. `None` where every text can.
pub(super) fn fits(text: &str, field: &Field, options: &ImportOptions) -> Option<bool> {
    if matches!(field.data_type(), DataType::Utf8View) || text.is_empty() || text == options.nulls || text == "NULL" || text == "\\N" {
        return None;
    }
    let mut column = Column::of(field.data_type()).ok()?;
    Some(matches!(push(&mut column, field, text, options), Ok(Read::Whole)))
}

/// The number at the start of a text, as C's `atof` reads it: 0 where there is none. `None` for its hexadecimal numbers.
fn number_start(text: &str) -> Option<(f64, Read)> {
    if let Ok(number) = text.parse() {
        return Some((number, Read::Whole));
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.len() > 1 && matches!(unsigned.as_bytes(), [b'0', b'x' | b'X', ..]) {
        return None;
    }
    let numeric = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'))).unwrap_or(text.len());
    let number = (0..=numeric).rev().find_map(|end| text[..end].parse().ok());
    Some((number.unwrap_or(0.0), Read::Coerced))
}

fn push_array(column: &mut Column, field: &Field, element: &Field, text: &str, options: &ImportOptions) -> Result<Read, String> {
    let [open, close] = options.array_marker;
    let is_text = matches!(element.data_type(), DataType::Utf8View);
    let inner = match text.as_bytes() {
        [first, inner @ .., last] if *first == open && *last == close => inner,
        _ if is_text => {
            column.push_null();
            return Err(format!("'{}' is no array of column '{}'", shown(text), field.name()));
        }
        _ => {
            column.push_null();
            return Ok(Read::Coerced);
        }
    };
    let mut read = Read::Whole;
    let record = if inner.is_empty() || (!is_text && inner.iter().all(|byte| matches!(byte, b' ' | b'\r'))) {
        super::records::Record::default()
    } else {
        elements(inner, options)
    };
    let mut literals = Vec::with_capacity(record.len());
    for place in 0..record.len() {
        let value = record.text(place).unwrap_or_default();
        let value = if is_text { value } else { value.trim_matches([' ', '\r']) };
        let is_null = value.is_empty() || value == options.nulls || value == "NULL";
        literals.push(if is_null {
            Literal::Null
        } else if starts_as_null(value, element.data_type()) {
            read = Read::Coerced;
            Literal::Null
        } else if matches!(element.data_type(), DataType::Float32) && !value.contains(['e', 'E']) {
            // The nearest FLOAT: only a number without an exponent is read by its digits.
            Literal::Number(Cow::Owned(format!("{value}e0")))
        } else {
            Literal::Text(Cow::Borrowed(value))
        });
    }
    let wrong_length = matches!(field.data_type(), DataType::FixedSizeList(_, length) if usize::try_from(*length) != Ok(literals.len()));
    if wrong_length {
        column.push_null();
        return Err(format!("'{}' has {} elements, column '{}' another count", shown(text), literals.len(), field.name()));
    }
    column.push(&Literal::Array(literals), field).map(|()| read).map_err(|error| error.strip_backtrace())
}

/// The start of a value, for messages.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
