//! LIKE and its kin: `%` any bytes, `_` one byte, `[abc]` one byte of a set, any escape character.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::text::{Kind, ascii, casts, literal_text, map_truth, refuse};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `s LIKE p [ESCAPE e]`, as `like_sets(s, p [, e])`.
pub(super) const LIKE: ScalarFunction = ScalarFunction {
    name: "like_sets",
    arguments: |given| casts("like", given, &[Kind::Text, Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Boolean),
    evaluate: |call| like(call, "LIKE", Case::Kept),
};

/// `s ILIKE p [ESCAPE e]`, as `ilike_sets(s, p [, e])`.
pub(super) const ILIKE: ScalarFunction = ScalarFunction {
    name: "ilike_sets",
    arguments: |given| casts("ilike", given, &[Kind::Text, Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Boolean),
    evaluate: |call| like(call, "ILIKE", Case::Folded),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    /// Letters of ASCII are equal in both cases.
    Folded,
}

fn like(call: &ScalarFunctionArgs, name: &str, case: Case) -> Result<ColumnarValue> {
    let escape = match call.args.len() {
        2 => Some("\\"),
        _ => literal_text(call, name, 2)?,
    };
    let (Some(pattern), Some(escape)) = (literal_text(call, name, 1)?, escape) else {
        return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)));
    };
    let pattern = Pattern::try_new(name, pattern, escape_of(name, escape, case)?, case)?;
    map_truth(call, |text| pattern.matches(name, text))
}

/// The escape character.
///
/// # Errors
/// More than one, as in HeavyDB; refused are none, a wildcard, a byte outside ASCII, and a letter for ILIKE, which HeavyDB folds in the
/// pattern but not here.
fn escape_of(name: &str, escape: &str, case: Case) -> Result<u8> {
    match escape.as_bytes() {
        [b'%' | b'_' | b'[' | b']'] | [] => refuse(name, format!("the escape character {escape:?} is refused; take another")),
        [letter] if case == Case::Folded && letter.is_ascii_alphabetic() => {
            refuse(name, format!("the letter {escape:?} as escape character is refused; take another"))
        }
        [one] if one.is_ascii() => Ok(*one),
        _ => exec_err!("{name}: after ESCAPE stands {escape:?}; it must be one character of ASCII"),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Byte(u8),
    AnyByte,
    AnyBytes,
    /// One byte of these.
    Set(Vec<u8>),
}

#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    case: Case,
    /// A set without end: such a pattern matches nothing.
    broken: bool,
    /// `%` and bytes only: nothing counts bytes.
    plain: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It ends with the escape character; refused is an escaped escape character where HeavyDB reads the pattern in a short cut that
    /// loses it, and a byte outside ASCII in a set.
    fn try_new(name: &str, pattern: &str, escape: u8, case: Case) -> Result<Self> {
        let bytes = pattern.as_bytes();
        if bytes.last() == Some(&escape) {
            return exec_err!("{name}: the pattern {pattern:?} must not end with the escape character");
        }
        let mut read = Self { parts: Vec::new(), case, broken: false, plain: true };
        let mut doubled = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                byte if *byte == escape => {
                    doubled |= bytes.get(at) == Some(&escape);
                    read.parts.extend(bytes.get(at).map(|byte| Part::Byte(case.fold(*byte))));
                    at += 1;
                }
                b'%' if read.parts.last() == Some(&Part::AnyBytes) => {}
                b'%' => read.parts.push(Part::AnyBytes),
                b'_' => read.parts.push(Part::AnyByte),
                b'[' => at = read.set(name, pattern, at)?,
                byte => read.parts.push(Part::Byte(case.fold(*byte))),
            }
        }
        let bounded = read.parts.len() > 1 && read.parts.first() == Some(&Part::AnyBytes) && read.parts.last() == Some(&Part::AnyBytes);
        if doubled && bounded {
            return refuse(name, format!("an escaped escape character in {pattern:?}, between two %, is refused: HeavyDB misreads it"));
        }
        read.plain = read.parts.iter().all(|part| matches!(part, Part::Byte(_) | Part::AnyBytes));
        Ok(read)
    }

    /// Reads a set from behind its bracket; the place behind its end.
    fn set(&mut self, name: &str, pattern: &str, from: usize) -> Result<usize> {
        let rest = pattern.as_bytes().get(from..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b']') else {
            self.broken = true;
            return Ok(pattern.len());
        };
        let set = rest.get(..length).unwrap_or_default();
        if !set.is_ascii() {
            return refuse(name, format!("the set in {pattern:?} holds characters outside ASCII, of which HeavyDB takes the bytes (D31)"));
        }
        self.parts.push(Part::Set(set.iter().map(|byte| self.case.fold(*byte)).collect()));
        Ok(from + length + 1)
    }

    fn matches(&self, name: &str, text: &str) -> Result<bool> {
        if self.broken {
            return Ok(false);
        }
        if !self.plain {
            ascii(name, text)?;
        }
        Ok(self.matches_bytes(text.as_bytes()))
    }

    /// Greedy with one way back, to the last `%`: linear in text times pattern at most.
    fn matches_bytes(&self, text: &[u8]) -> bool {
        let (mut at, mut part, mut retry) = (0, 0, None);
        while let Some(byte) = text.get(at) {
            match self.parts.get(part) {
                Some(Part::AnyBytes) => {
                    part += 1;
                    retry = Some((at, part));
                }
                Some(one) if self.fits(one, *byte) => (at, part) = (at + 1, part + 1),
                _ => match retry {
                    None => return false,
                    Some((from, back)) => {
                        retry = Some((from + 1, back));
                        (at, part) = (from + 1, back);
                    }
                },
            }
        }
        self.parts.iter().skip(part).all(|part| *part == Part::AnyBytes)
    }

    fn fits(&self, part: &Part, byte: u8) -> bool {
        let byte = self.case.fold(byte);
        match part {
            Part::Byte(wanted) => *wanted == byte,
            Part::AnyByte => true,
            Part::Set(set) => set.contains(&byte),
            Part::AnyBytes => false,
        }
    }
}

impl Case {
    fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Kept => byte,
            Self::Folded => byte.to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, row, text};
    use super::*;

    fn is_like(value: &str, pattern: &str) -> String {
        constant(LIKE, &[text(value), text(pattern)])
    }

    #[test]
    fn wildcards_stand_for_bytes() {
        for (value, pattern, wanted) in [
            ("foo", "f%", "true"),
            ("foo", "%%%", "true"),
            ("foo", "f__", "true"),
            ("foo", "f_", "false"),
            ("foo", "", "false"),
            ("", "", "true"),
            ("", "%", "true"),
            ("", "%%", "true"),
            ("", "_", "false"),
            ("abcabd", "%ab_", "true"),
            ("abcabd", "a%c%d", "true"),
            ("abcabd", "a%c%e", "false"),
            ("é%", "é%", "true"),
            ("é", "%é", "true"),
        ] {
            assert_eq!(is_like(value, pattern), wanted, "{value} LIKE {pattern}");
        }
        assert!(is_like("é", "_").contains("D31"));
    }

    #[test]
    fn a_bracket_is_a_set() {
        for (value, pattern, wanted) in [
            ("foo", "[fb]oo", "true"),
            ("boo", "[fb]oo", "true"),
            ("zoo", "[fb]oo", "false"),
            ("foo", "%[xo]", "true"),
            ("fo-", "fo[a-z]", "true"),
            ("fob", "fo[a-z]", "false"),
            ("foo", "[foo", "false"),
            ("foo", "[]foo", "false"),
            ("a]", "a]", "true"),
            ("[a", "\\[a", "true"),
        ] {
            assert_eq!(is_like(value, pattern), wanted, "{value} LIKE {pattern}");
        }
        assert!(is_like("e", "[é]").contains("D31"));
    }

    #[test]
    fn any_character_escapes() {
        let escaped = |value, pattern, escape| constant(LIKE, &[text(value), text(pattern), text(escape)]);
        assert_eq!(escaped("foo", "@f%%", "@"), "true");
        assert_eq!(escaped("10%", "10@%", "@"), "true");
        assert_eq!(escaped("10x", "10@%", "@"), "false");
        assert_eq!(escaped("a\\b", "a\\b", "@"), "true");
        assert_eq!(escaped("a@", "a@@_", "@"), "false");
        assert_eq!(escaped("a@b", "a@@_", "@"), "true");
        assert!(escaped("a", "a@", "@").contains("must not end"));
        assert!(escaped("a", "%a@@b%", "@").contains("misreads"));
        assert!(escaped("a", "a", "ab").contains("one character"));
        assert!(escaped("a", "a", "%").contains("refused"));
    }

    #[test]
    fn ilike_folds_letters_of_ascii() {
        assert_eq!(constant(ILIKE, &[text("FOO"), text("f%%")]), "true");
        assert_eq!(constant(ILIKE, &[text("real_bAz"), text("%BaZ%")]), "true");
        assert_eq!(constant(ILIKE, &[text("FOO"), text("[F]oO")]), "true");
        assert_eq!(constant(ILIKE, &[text("É"), text("é")]), "false");
    }

    #[test]
    fn null_matches_nothing() {
        assert_eq!(constant(LIKE, &[ScalarValue::Null, text("baz")]), "NULL");
        assert_eq!(constant(LIKE, &[text("baz"), ScalarValue::Null]), "NULL");
    }

    #[test]
    fn a_column_is_matched_row_by_row() {
        assert_eq!(row(LIKE, &[Some("foo"), None, Some("bar")], &[text("%o")]), ["true", "NULL", "false"]);
    }
}
