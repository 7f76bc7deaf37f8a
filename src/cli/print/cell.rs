//! One cell as text. Two rules: [`LOSSLESS`] for machines, [`FOR_PEOPLE`] for the table format.
//!
//! Lossless floats are written with the fewest digits that read back to the same double, in plain notation between 1e-5 and 1e16 and
//! with an exponent outside. Floats for people have at most ten significant digits, but an integer part is never rounded.

use std::fmt::Write;

use datafusion::arrow::array::{Array, ArrayAccessor, AsArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, ArrayFormatterFactory, DisplayIndex, FormatOptions, FormatResult};

/// Significant digits of a float in the table format.
const DIGITS_FOR_PEOPLE: usize = 10;

/// How cells become text.
pub(crate) struct CellRule {
    options: FormatOptions<'static>,
    floats: &'static FloatRule,
}

/// How a float becomes text; arrow's formatter asks it for floats inside lists and structs too.
#[derive(Debug, Clone, Copy)]
enum FloatRule {
    Lossless,
    ForPeople,
}

/// Nothing is lost: what is printed reads back to the same value.
pub(crate) const LOSSLESS: CellRule = CellRule { options: options("NULL", &FloatRule::Lossless), floats: &FloatRule::Lossless };

/// Made to be read: floats are rounded, dates and times are separated by a space.
pub(crate) const FOR_PEOPLE: CellRule = CellRule {
    options: options("NULL", &FloatRule::ForPeople)
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z")),
    floats: &FloatRule::ForPeople,
};

const fn options(null: &'static str, floats: &'static FloatRule) -> FormatOptions<'static> {
    FormatOptions::new().with_display_error(false).with_null(null).with_formatter_factory(Some(floats))
}

/// The cells of one column of one batch, ready to be written as text.
pub(crate) struct Cells<'a> {
    formatter: ArrayFormatter<'a>,
    nulls: Option<NullBuffer>,
}

impl<'a> Cells<'a> {
    /// Prepares a column.
    ///
    /// # Errors
    /// A type that has no text form.
    pub(crate) fn try_new(array: &'a dyn Array, rule: &CellRule) -> Result<Self, ArrowError> {
        let formatter = match rule.floats.create_array_formatter(array, &rule.options, None)? {
            Some(formatter) => formatter,
            None => ArrayFormatter::try_new(array, &rule.options)?,
        };
        Ok(Self { formatter, nulls: array.logical_nulls() })
    }

    /// Whether the cell of `row` is NULL (also where a dictionary's value is).
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the text of `row`, `NULL` for NULL.
    ///
    /// # Errors
    /// A value outside what its type can show (a date beyond the calendar).
    pub(crate) fn write(&self, row: usize, text: &mut String) -> Result<(), ArrowError> {
        self.formatter.value(row).write(text)
    }
}

/// Whether a column of this type is aligned as numbers are.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric(),
    }
}

impl ArrayFormatterFactory for FloatRule {
    fn create_array_formatter<'f>(
        &self,
        array: &'f dyn Array,
        options: &FormatOptions<'f>,
        _field: Option<&'f Field>,
    ) -> Result<Option<ArrayFormatter<'f>>, ArrowError> {
        let (rule, null) = (*self, options.null());
        let cells: Box<dyn DisplayIndex + 'f> = match array.data_type() {
            DataType::Float64 => Box::new(Floats { values: array.as_primitive::<Float64Type>(), rule, null }),
            DataType::Float32 => Box::new(Floats { values: array.as_primitive::<Float32Type>(), rule, null }),
            _ => return Ok(None),
        };
        Ok(Some(ArrayFormatter::new(cells, options.safe())))
    }
}

struct Floats<'a, A> {
    values: A,
    rule: FloatRule,
    null: &'a str,
}

impl<A: ArrayAccessor<Item: FloatText>> DisplayIndex for Floats<'_, A> {
    fn write(&self, row: usize, out: &mut dyn Write) -> FormatResult {
        if self.values.is_null(row) {
            return Ok(out.write_str(self.null)?);
        }
        let value = self.values.value(row);
        match self.rule {
            FloatRule::Lossless => Ok(value.write_lossless(out)?),
            FloatRule::ForPeople => Ok(write_for_people(value.to_double(), out)?),
        }
    }
}

/// A float type that knows its own shortest text: widening a 32-bit float first would print digits it never had.
trait FloatText: Copy {
    /// The double whose text is the shortest of this number.
    fn to_double(self) -> f64;
    fn write_lossless(self, out: &mut dyn Write) -> std::fmt::Result;
}

impl FloatText for f64 {
    fn to_double(self) -> f64 {
        self
    }

    fn write_lossless(self, out: &mut dyn Write) -> std::fmt::Result {
        match plain_notation(self) {
            true => write!(out, "{self}"),
            false => write!(out, "{self:e}"),
        }
    }
}

impl FloatText for f32 {
    fn to_double(self) -> f64 {
        self.to_string().parse().unwrap_or_else(|_| f64::from(self))
    }

    fn write_lossless(self, out: &mut dyn Write) -> std::fmt::Result {
        match plain_notation(f64::from(self)) {
            true => write!(out, "{self}"),
            false => write!(out, "{self:e}"),
        }
    }
}

/// Whether plain notation is short enough; zero, NaN and the infinities have no exponent form either.
fn plain_notation(value: f64) -> bool {
    let size = value.abs();
    !size.is_finite() || size == 0.0 || (1e-5..1e16).contains(&size)
}

fn write_for_people(value: f64, out: &mut dyn Write) -> std::fmt::Result {
    let rounded = round_for_people(value);
    // A negative value that rounds to nothing keeps no sign.
    if rounded == 0.0 { out.write_str("0") } else { rounded.write_lossless(out) }
}

/// The value with at most ten significant digits; the integer part stays whole.
fn round_for_people(value: f64) -> f64 {
    let size = value.abs();
    if !size.is_finite() || size == 0.0 {
        return value;
    }
    let text = if (1.0..1e16).contains(&size) {
        let integer_digits = format!("{:.0}", size.trunc()).len();
        format!("{value:.*}", DIGITS_FOR_PEOPLE.saturating_sub(integer_digits))
    } else {
        format!("{value:.*e}", DIGITS_FOR_PEOPLE - 1)
    };
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, DictionaryArray, Float32Array, Float64Array, ListArray, NullArray, StringArray};
    use datafusion::arrow::datatypes::Int32Type;

    use super::*;

    fn text(array: &dyn Array, row: usize, rule: &CellRule) -> String {
        let mut text = String::new();
        Cells::try_new(array, rule).unwrap().write(row, &mut text).unwrap();
        text
    }

    fn float(value: f64, rule: &CellRule) -> String {
        text(&Float64Array::from(vec![value]), 0, rule)
    }

    #[test]
    fn lossless_floats_read_back_to_the_same_bits() {
        for value in [0.0, -0.0, 0.1 + 0.2, 1.0 / 3.0, 118402.60673005816, 5e-324, f64::MAX, -1e-7, 1e16, 123456789012345.6] {
            let back: f64 = float(value, &LOSSLESS).parse().unwrap();
            assert_eq!(back.to_bits(), value.to_bits());
        }
        assert_eq!(float(1e300, &LOSSLESS), "1e300");
        assert_eq!(float(42.0, &LOSSLESS), "42");
        assert_eq!(text(&Float32Array::from(vec![0.1]), 0, &LOSSLESS), "0.1");
    }

    #[test]
    fn floats_for_people_are_rounded_but_whole_parts_are_kept() {
        assert_eq!(float(0.1 + 0.2, &FOR_PEOPLE), "0.3");
        assert_eq!(float(118402.60673005816, &FOR_PEOPLE), "118402.6067");
        assert_eq!(float(12_345_678_901_234.56, &FOR_PEOPLE), "12345678901235");
        assert_eq!(float(-0.000_123_456_789_012_3, &FOR_PEOPLE), "-0.000123456789");
        assert_eq!(float(1e-300, &FOR_PEOPLE), "1e-300");
        assert_eq!(float(f64::NAN, &FOR_PEOPLE), "NaN");
    }

    #[test]
    fn floats_in_lists_follow_the_rule() {
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(0.1 + 0.2), None])]));
        assert_eq!(text(&lists, 0, &FOR_PEOPLE), "[0.3, NULL]");
        assert_eq!(text(&lists, 0, &LOSSLESS), "[0.30000000000000004, NULL]");
    }

    #[test]
    fn nulls_are_found_in_dictionaries_and_null_columns() {
        let dictionary: DictionaryArray<Int32Type> = [Some("a"), None].into_iter().collect();
        let cells = Cells::try_new(&dictionary, &LOSSLESS).unwrap();
        assert!(!cells.is_null(0) && cells.is_null(1));
        assert!(Cells::try_new(&NullArray::new(1), &LOSSLESS).unwrap().is_null(0));
        assert!(!Cells::try_new(&StringArray::from(vec![""]), &LOSSLESS).unwrap().is_null(0));
    }
}
