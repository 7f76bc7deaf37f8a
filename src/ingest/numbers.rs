//! Numbers in text: exact, strict, and nothing turned into NULL in silence.
//!
//! A decimal text becomes the nearest double, bit for bit. What is no number is one of three counted kinds of NULL or an error; thousands
//! separators, decimal commas, currency signs and percent signs are errors unless the format says so.

use super::coercion::CoercionKind;

/// What one numeric cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    /// A finite number; the sign of zero is kept.
    Number(f64),
    /// Empty, or a word for "no value".
    Blank,
    /// The word NaN.
    NotANumber,
    /// An infinity, written out or by overflow.
    Infinite,
    /// Anything else.
    Bad,
}

/// Words that stand for NULL, in any letter case. The empty field is one too.
const NULL_WORDS: &[&str] = &["null", "n/a", "na", "none"];
/// Words for infinity after an optional sign, in any letter case.
const INFINITY_WORDS: &[&str] = &["inf", "infinity"];
/// Integers up to this bound are exact in a double, so that one correctly rounded division by a power of ten is exact too.
const LARGEST_EXACT: u64 = 1 << 53;
/// Powers of ten that are exact doubles and that a short number can need.
const POWERS_OF_TEN: [f64; 20] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19];
/// Sign, digits and point of a number that is worth trying the short way.
const SHORT_BYTES: usize = 19;

/// How numbers are written in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumberFormat {
    decimal: u8,
    thousands: Option<u8>,
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self { decimal: b'.', thousands: None }
    }
}

impl NumberFormat {
    /// Numbers with this decimal mark and, where given, this mark between groups of digits.
    pub(crate) fn new(decimal: u8, thousands: Option<u8>) -> Self {
        Self { decimal, thousands }
    }

    /// Reads one cell; short decimals take the fast path, everything else the standard parser.
    #[inline]
    pub(crate) fn parse(&self, field: &[u8]) -> Cell {
        match short_decimal(field, self.decimal) {
            Some(number) => Cell::Number(number),
            None => self.parse_long(field),
        }
    }

    /// The number of a cell that is written as numbers are stored, on the fast path; `None` where [`Self::parse`] has to look.
    #[inline]
    pub(crate) fn plain_number(&self, field: &[u8]) -> Option<f64> {
        if self.decimal == b'.' { short_decimal(field, b'.') } else { None }
    }

    /// Whether [`leading_number`] reads numbers of this format.
    pub(crate) fn is_plain(&self) -> bool {
        self.decimal == b'.'
    }

    /// How the text of a cell differs from what is stored for it; `None` for plain numbers and for cells that are none.
    pub(crate) fn coercion(&self, cell: Cell, field: &[u8]) -> Option<CoercionKind> {
        let text = field.trim_ascii();
        match cell {
            Cell::Bad => None,
            Cell::Blank if text.is_empty() => Some(CoercionKind::EmptyCell),
            Cell::Blank => Some(CoercionKind::NullWord),
            Cell::NotANumber => Some(CoercionKind::NanWord),
            Cell::Infinite if text.iter().any(u8::is_ascii_digit) => Some(CoercionKind::Overflow),
            Cell::Infinite => Some(CoercionKind::InfinityWord),
            Cell::Number(0.0) if has_nonzero_digit(text) => Some(CoercionKind::Underflow),
            Cell::Number(_) if self.thousands.is_some_and(|mark| text.contains(&mark)) => Some(CoercionKind::ThousandsMark),
            Cell::Number(_) if self.decimal == b',' && text.contains(&b',') => Some(CoercionKind::DecimalComma),
            Cell::Number(_) => (text.len() < field.len()).then_some(CoercionKind::Spaces),
        }
    }

    fn parse_long(&self, field: &[u8]) -> Cell {
        let text = field.trim_ascii();
        if text.is_empty() || is_word(text, NULL_WORDS) {
            return Cell::Blank;
        }
        if is_word(text, &["nan"]) {
            return Cell::NotANumber;
        }
        if is_word(text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text), INFINITY_WORDS) {
            return Cell::Infinite;
        }
        let plain = match self.to_plain(text) {
            Some(plain) => plain,
            None => return Cell::Bad,
        };
        match plain.parse::<f64>() {
            Ok(number) if number.is_finite() => Cell::Number(number),
            Ok(_) => Cell::Infinite,
            Err(_) => Cell::Bad,
        }
    }

    /// The number with a point and without groups, if it holds nothing but a number's characters in this format.
    fn to_plain(self, text: &[u8]) -> Option<String> {
        let mantissa_end = text.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(text.len());
        let (mantissa, exponent) = text.split_at(mantissa_end);
        let whole_end = mantissa.iter().position(|&b| b == self.decimal).unwrap_or(mantissa.len());
        let (whole, fraction) = mantissa.split_at(whole_end);
        let mut plain = String::with_capacity(text.len());
        self.push_whole(whole, &mut plain)?;
        for (i, &b) in fraction.iter().enumerate() {
            match b {
                _ if i == 0 => plain.push('.'),
                b'0'..=b'9' => plain.push(b as char),
                _ => return None,
            }
        }
        for &b in exponent {
            matches!(b, b'0'..=b'9' | b'e' | b'E' | b'+' | b'-').then(|| plain.push(b as char))?;
        }
        Some(plain)
    }

    /// Appends sign and digits before the decimal mark. Groups after the first have two or three digits, the last one three.
    fn push_whole(self, whole: &[u8], plain: &mut String) -> Option<()> {
        let (sign, digits) = match whole {
            [sign @ (b'-' | b'+'), rest @ ..] => (Some(*sign), rest),
            _ => (None, whole),
        };
        plain.extend(sign.map(char::from));
        let groups: Vec<&[u8]> = match self.thousands {
            Some(mark) => digits.split(|&b| b == mark).collect(),
            None => vec![digits],
        };
        for (i, group) in groups.iter().enumerate() {
            let last = i + 1 == groups.len();
            let fits = groups.len() == 1
                || (i == 0 && (1..=3).contains(&group.len()))
                || (i > 0 && (group.len() == 3 || (group.len() == 2 && !last)));
            if !fits || !group.iter().all(u8::is_ascii_digit) {
                return None;
            }
            plain.extend(group.iter().map(|&b| b as char));
        }
        Some(())
    }
}

/// A number of at most 18 digits without exponent whose digits form an exact integer: one rounding, hence the nearest double
/// (W. D. Clinger, "How to read floating point numbers accurately", 1990, fast path).
#[inline]
fn short_decimal(field: &[u8], decimal: u8) -> Option<f64> {
    let (negative, digits) = match field {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, field),
    };
    if digits.is_empty() || digits.len() > SHORT_BYTES {
        return None;
    }
    let (mut mantissa, mut count, mut fraction) = (0u64, 0usize, None);
    for &b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        } else if b == decimal && fraction.is_none() {
            fraction = Some(count);
        } else {
            return None;
        }
    }
    if count == 0 || count > 18 || mantissa > LARGEST_EXACT {
        return None;
    }
    let magnitude = mantissa as f64 / POWERS_OF_TEN[fraction.map_or(0, |whole| count - whole)];
    Some(if negative { -magnitude } else { magnitude })
}

/// The number at the start of `text` as [`NumberFormat::plain_number`] reads it, with a point, and its length in bytes; `None` where there is no
/// such number. What follows it is the caller's to look at.
#[inline]
pub(crate) fn leading_number(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let (mut mantissa, whole_end) = digits(text, start, 0);
    let (mut end, mut places) = (whole_end, 0);
    if text.get(whole_end) == Some(&b'.') {
        (mantissa, end) = digits(text, whole_end + 1, mantissa);
        places = end - whole_end - 1;
    }
    let count = whole_end - start + places;
    if count == 0 || count > 18 || mantissa > LARGEST_EXACT {
        return None;
    }
    let magnitude = mantissa as f64 / POWERS_OF_TEN[places];
    Some((if negative { -magnitude } else { magnitude }, end))
}

/// Appends the digits from `at` on to a mantissa; where they end.
#[inline]
fn digits(text: &[u8], mut at: usize, mut mantissa: u64) -> (u64, usize) {
    while let Some(&byte) = text.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    (mantissa, at)
}

/// Whether the mantissa of a number has a digit other than 0.
fn has_nonzero_digit(number: &[u8]) -> bool {
    number.iter().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| matches!(b, b'1'..=b'9'))
}

fn is_word(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

/// What to do about a text that would be a number in another notation; `None` where it is a text altogether.
pub(crate) fn notation_remedy(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let is_number = |t: &str, format: NumberFormat| matches!(format.parse(t.as_bytes()), Cell::Number(_));
    let plain = NumberFormat::default();
    if text.strip_suffix('%').is_some_and(|t| is_number(t, plain)) {
        return Some("numbers are written without '%': remove the signs, or drop the column with --exclude");
    }
    let unsigned = text.trim_start_matches(['-', '+']);
    if unsigned.strip_prefix(['$', '€', '£', '₹', '¥']).is_some_and(|t| is_number(t.trim(), NumberFormat::new(b'.', Some(b',')))) {
        return Some("numbers are written without currency signs: remove them, or drop the column with --exclude");
    }
    if is_number(text, NumberFormat::new(b'.', Some(b','))) {
        return Some("say --thousands , if the comma separates thousands, or --decimal , if it is the decimal mark");
    }
    if is_number(text, NumberFormat::new(b',', None)) {
        return Some("say --decimal , if the comma is the decimal mark");
    }
    if is_number(text, NumberFormat::new(b',', Some(b'.'))) {
        return Some("say --decimal , --thousands . if the file writes numbers so");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Cell {
        NumberFormat::default().parse(text.as_bytes())
    }

    #[test]
    fn words_for_no_value_are_told_apart() {
        for blank in ["", " ", "NULL", "null", "N/A", "na", "None", "NONE"] {
            assert_eq!(parse(blank), Cell::Blank, "{blank}");
        }
        for nan in ["nan", "NaN", "NAN"] {
            assert_eq!(parse(nan), Cell::NotANumber, "{nan}");
        }
        for infinite in ["inf", "-inf", "Infinity", "-Infinity", "INF", "1e999", "-1e400"] {
            assert_eq!(parse(infinite), Cell::Infinite, "{infinite}");
        }
    }

    #[test]
    fn other_notations_and_texts_are_bad() {
        for bad in [
            "1,234.5", "12%", "abc", "#N/A", "0x10", "1_000", "1e", "e5", ".", "-", "+", "--1", "1.2.3", "1 2", "$5", "1d", "٣", "nan1",
            "-nan",
        ] {
            assert_eq!(parse(bad), Cell::Bad, "{bad}");
        }
    }

    #[test]
    fn usual_spellings_are_numbers() {
        for (text, value) in [
            ("5", 5.0),
            ("+5", 5.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-.5", -0.5),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            (" 2.5 ", 2.5),
            ("00012", 12.0),
        ] {
            assert_eq!(parse(text), Cell::Number(value), "{text}");
        }
    }

    #[test]
    fn the_sign_of_zero_and_all_seventeen_digits_survive() {
        for text in [
            "-0",
            "-0.0",
            "-57238.88169999998",
            "0.1",
            "118402.60673005816",
            "9007199254740993",
            "4.9e-324",
            "123456789012345678",
            "0.30000000000000004",
        ] {
            let Cell::Number(number) = parse(text) else { panic!("{text} is a number") };
            assert_eq!(number.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
    }

    #[test]
    fn marks_are_read_where_the_format_names_them() {
        let german = NumberFormat::new(b',', Some(b'.'));
        assert_eq!(german.parse(b"1.234,5"), Cell::Number(1234.5));
        assert_eq!(german.parse(b"12,5"), Cell::Number(12.5));
        let english = NumberFormat::new(b'.', Some(b','));
        assert_eq!(english.parse(b"-1,234,567.25"), Cell::Number(-1234567.25));
        assert_eq!(english.parse(b"12,34,567"), Cell::Number(1234567.0));
        for bad in ["1,23", "1234,567", "1,,234", ",123", "1,234.5,6", "1,2345"] {
            assert_eq!(english.parse(bad.as_bytes()), Cell::Bad, "{bad}");
        }
    }

    #[test]
    fn a_remedy_is_offered_for_other_notations_only() {
        assert!(notation_remedy("1,234.5").unwrap().contains("--thousands"));
        assert!(notation_remedy("12,5").unwrap().contains("--decimal"));
        assert!(notation_remedy("12%").unwrap().contains('%'));
        assert!(notation_remedy("₹12").unwrap().contains("currency"));
        assert_eq!(notation_remedy("#N/A"), None);
        assert_eq!(notation_remedy("abc"), None);
    }

    proptest! {
        #[test]
        fn any_double_written_out_comes_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [format!("{value}"), format!("{value:e}")] {
                let Cell::Number(read) = NumberFormat::default().parse(text.as_bytes()) else { panic!("{text}") };
                prop_assert_eq!(read.to_bits(), bits);
            }
        }

        #[test]
        fn a_leading_number_is_the_plain_number_of_its_cell(cell in "-?[0-9]{0,19}(\\.[0-9]{0,19})?[eE ,x.-]?") {
            let whole = leading_number(cell.as_bytes()).filter(|(_, length)| *length == cell.len());
            let plain = NumberFormat::default().plain_number(cell.as_bytes());
            prop_assert_eq!(whole.map(|(number, _)| number.to_bits()), plain.map(f64::to_bits));
        }

        #[test]
        fn short_decimals_equal_the_standard_parser(mantissa in 0u64..=1 << 60, places in 0usize..19, negative in any::<bool>()) {
            let digits = format!("{mantissa:0>20}");
            let (whole, fraction) = digits.split_at(20 - places);
            let text = format!("{}{}.{fraction}", if negative { "-" } else { "" }, whole.trim_start_matches('0'));
            if let Cell::Number(read) = NumberFormat::default().parse(text.as_bytes()) {
                prop_assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits());
            } else {
                prop_assert!(text.parse::<f64>().is_err());
            }
        }
    }
}
