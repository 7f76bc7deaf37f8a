//! Texts of another shape: case, pads, trims, repetition, replacement, reversal, and texts put together.

use std::borrow::Cow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::text::{Kind, ascii, build_text, casts, check_length, literal_integer, literal_text, map_text, null_text, refuse, texts};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `LOWER(s)`, letters of ASCII only.
pub(super) const LOWER: ScalarFunction = ScalarFunction {
    name: "lower",
    arguments: |given| casts("lower", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(text.to_ascii_lowercase().into()))),
};

/// `UPPER(s)`, letters of ASCII only.
pub(super) const UPPER: ScalarFunction = ScalarFunction {
    name: "upper",
    arguments: |given| casts("upper", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(text.to_ascii_uppercase().into()))),
};

/// `INITCAP(s)`.
pub(super) const INITCAP: ScalarFunction = ScalarFunction {
    name: "initcap",
    arguments: |given| casts("initcap", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(initcap(text).into()))),
};

/// `REVERSE(s)`.
pub(super) const REVERSE: ScalarFunction = ScalarFunction {
    name: "reverse",
    arguments: |given| casts("reverse", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(ascii("REVERSE", text)?.chars().rev().collect::<String>().into()))),
};

/// `ENCODE_TEXT(s)`: the text.
pub(super) const ENCODE_TEXT: ScalarFunction = ScalarFunction {
    name: "encode_text",
    arguments: |given| casts("encode_text", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(Cow::Borrowed(text)))),
};

/// `REPEAT(s, n)`.
pub(super) const REPEAT: ScalarFunction = ScalarFunction {
    name: "repeat",
    arguments: |given| casts("repeat", given, &[Kind::Text, Kind::Integer], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| match literal_integer(call, "REPEAT", 1)? {
        None => Ok(null_text()),
        Some(times) => {
            let times = count_of("REPEAT", times)?;
            map_text(call, |text| repeat("REPEAT", text, times))
        }
    },
};

/// `REPLACE(s, p [, r])`.
pub(super) const REPLACE: ScalarFunction = ScalarFunction {
    name: "replace",
    arguments: |given| casts("replace", given, &[Kind::Text, Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let by = match call.args.len() {
            2 => Some(""),
            _ => literal_text(call, "REPLACE", 2)?,
        };
        let (Some(sought), Some(by)) = (literal_text(call, "REPLACE", 1)?, by) else { return Ok(null_text()) };
        if sought.is_empty() {
            return refuse("REPLACE", "the pattern is empty, with which HeavyDB never ends");
        }
        map_text(call, |text| Ok(Some(text.replace(sought, by).into())))
    },
};

/// `LPAD(s, n [, p])`.
pub(super) const LPAD: ScalarFunction = ScalarFunction {
    name: "lpad",
    arguments: |given| casts("lpad", given, &[Kind::Text, Kind::Integer, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        pad(call, "LPAD", |text, length, filling| match text.get(..length) {
            Some(head) => head.to_string(),
            None => filling + text,
        })
    },
};

/// `RPAD(s, n [, p])`: a longer text keeps its **last** n bytes.
pub(super) const RPAD: ScalarFunction = ScalarFunction {
    name: "rpad",
    arguments: |given| casts("rpad", given, &[Kind::Text, Kind::Integer, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        pad(call, "RPAD", |text, length, filling| match text.len().checked_sub(length).and_then(|from| text.get(from..)) {
            Some(tail) => tail.to_string(),
            None => text.to_string() + &filling,
        })
    },
};

/// `TRIM([BOTH] c FROM s)`, as `trim(s [, c])`.
pub(super) const TRIM: ScalarFunction = ScalarFunction {
    name: "trim",
    arguments: |given| casts("trim", given, &[Kind::Text, Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| trim(call, "TRIM", |text, set| text.trim_matches(|c| set.contains(c))),
};

/// `LTRIM(s [, c])`.
pub(super) const LTRIM: ScalarFunction = ScalarFunction {
    name: "ltrim",
    arguments: |given| casts("ltrim", given, &[Kind::Text, Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| trim(call, "LTRIM", |text, set| text.trim_start_matches(|c| set.contains(c))),
};

/// `RTRIM(s [, c])`.
pub(super) const RTRIM: ScalarFunction = ScalarFunction {
    name: "rtrim",
    arguments: |given| casts("rtrim", given, &[Kind::Text, Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| trim(call, "RTRIM", rtrim),
};

/// `a || b` of texts: the expression planner's function for the operator.
pub(super) const CONCAT: ScalarFunction = ScalarFunction {
    name: "hv_concat",
    arguments: |given| casts("||", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let (left, right) = (texts(call, 0)?, texts(call, 1)?);
        build_text(call, left.is_constant() && right.is_constant(), |row| match (left.at(row), right.at(row)) {
            (Some(left), Some(right)) => Ok(Some([left, right].concat().into())),
            _ => Ok(None),
        })
    },
};

fn count_of(name: &str, times: i64) -> Result<usize> {
    match usize::try_from(times) {
        Ok(times) => Ok(times),
        Err(_) => exec_err!("{name}: the number of repeats is {times}; it must be 0 or more"),
    }
}

fn repeat(name: &str, text: &str, times: usize) -> Result<Option<Cow<'static, str>>> {
    check_length(name, text.len().saturating_mul(times))?;
    Ok(Some(text.repeat(times).into()))
}

/// A word starts after white space or one of HeavyDB's delimiters; an apostrophe is none.
fn initcap(text: &str) -> String {
    let mut between = true;
    let cased = |c: char| {
        let delimiter = matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r') || r#"!?@"^#$&~_,.:;+-*%/|\[](){}<>"#.contains(c);
        let first = std::mem::replace(&mut between, delimiter);
        if first { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
    };
    text.chars().map(cased).collect()
}

/// Pads with the bytes of the third argument; `fit` gets the text, the wanted length and the filling that is missing.
fn pad(call: &ScalarFunctionArgs, name: &str, fit: fn(&str, usize, String) -> String) -> Result<ColumnarValue> {
    let filling = match call.args.len() {
        2 => Some(" "),
        _ => literal_text(call, name, 2)?,
    };
    let (Some(length), Some(filling)) = (literal_integer(call, name, 1)?, filling) else { return Ok(null_text()) };
    let Ok(length) = usize::try_from(length) else {
        return exec_err!("{name}: the length is {length}; it must be 0 or more");
    };
    check_length(name, length)?;
    let filling = ascii(name, filling)?;
    map_text(call, |text| {
        let missing = length.saturating_sub(ascii(name, text)?.len());
        if missing > 0 && filling.is_empty() {
            return refuse(name, "HeavyDB cannot pad with an empty text");
        }
        Ok(Some(fit(text, length, filling.chars().cycle().take(missing).collect()).into()))
    })
}

/// Trims the characters of the second argument, blanks by default and for an empty one.
fn trim(call: &ScalarFunctionArgs, name: &str, cut: for<'a> fn(&'a str, &str) -> &'a str) -> Result<ColumnarValue> {
    let set = match call.args.len() {
        1 => Some(" "),
        _ => literal_text(call, name, 1)?,
    };
    let Some(set) = set else { return Ok(null_text()) };
    let set = ascii(name, if set.is_empty() { " " } else { set })?;
    map_text(call, |text| Ok(Some(cut(text, set).into())))
}

/// A text of trim characters only keeps its first byte.
fn rtrim<'a>(text: &'a str, set: &str) -> &'a str {
    let kept = text.trim_end_matches(|c| set.contains(c));
    if kept.is_empty() { text.get(..text.len().min(1)).unwrap_or("") } else { kept }
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, integer, row, text};
    use super::*;

    #[test]
    fn words_start_after_delimiters_but_not_after_an_apostrophe() {
        assert_eq!(initcap("hello wORLD-of o'neil_x 1st"), "Hello World-Of O'neil_X 1st");
        assert_eq!(initcap("éa bé"), "éa Bé");
        assert_eq!(initcap(""), "");
    }

    #[test]
    fn pads_fill_and_cut() {
        assert_eq!(constant(LPAD, &[text("ab"), integer(5), text("xyz")]), "xyzab");
        assert_eq!(constant(LPAD, &[text("abcdef"), integer(3)]), "abc");
        assert_eq!(constant(RPAD, &[text("ab"), integer(5), text("xyz")]), "abxyz");
        assert_eq!(constant(RPAD, &[text("abcdef"), integer(3)]), "def");
        assert_eq!(constant(RPAD, &[text("ab"), integer(4)]), "ab  ");
        assert_eq!(constant(RPAD, &[text("ab"), integer(0)]), "NULL");
        assert!(constant(LPAD, &[text("ab"), integer(-1)]).contains("must be 0 or more"));
        assert!(constant(LPAD, &[text("ab"), integer(3), text("")]).contains("empty"));
        assert!(constant(LPAD, &[text("é"), integer(3)]).contains("D31"));
    }

    #[test]
    fn trims_take_a_set_of_characters() {
        assert_eq!(constant(TRIM, &[text("  a b ")]), "a b");
        assert_eq!(constant(TRIM, &[text("xyaxy"), text("yx")]), "a");
        assert_eq!(constant(TRIM, &[text("xyé"), text("yx")]), "é");
        assert_eq!(constant(LTRIM, &[text("xya"), text("yx")]), "a");
        assert_eq!(constant(LTRIM, &[text("xyx"), text("yx")]), "NULL");
        assert_eq!(constant(RTRIM, &[text("axy"), text("yx")]), "a");
        assert_eq!(constant(RTRIM, &[text("xyx"), text("yx")]), "x");
        assert_eq!(constant(RTRIM, &[text(" a "), text("")]), " a");
    }

    #[test]
    fn an_empty_result_is_null() {
        assert_eq!(constant(REPEAT, &[text("ab"), integer(0)]), "NULL");
        assert_eq!(constant(REPEAT, &[text("ab"), integer(2)]), "abab");
        assert!(constant(REPEAT, &[text("ab"), integer(-1)]).contains("0 or more"));
        assert!(constant(REPEAT, &[text("ab"), integer(i64::MAX)]).contains("32767"));
        assert_eq!(constant(REPLACE, &[text("abab"), text("ab")]), "NULL");
        assert_eq!(constant(REPLACE, &[text("abac"), text("a"), text("xa")]), "xabxac");
        assert!(constant(REPLACE, &[text("a"), text(""), text("b")]).contains("empty"));
        assert_eq!(constant(CONCAT, &[text(""), text("")]), "NULL");
        assert_eq!(constant(CONCAT, &[text("a"), text("")]), "a");
        assert_eq!(constant(ENCODE_TEXT, &[text("a")]), "a");
    }

    #[test]
    fn letters_outside_ascii_keep_their_case() {
        assert_eq!(constant(LOWER, &[text("ÀBc")]), "Àbc");
        assert_eq!(constant(UPPER, &[text("àBc")]), "àBC");
        assert_eq!(constant(REVERSE, &[text("abc")]), "cba");
        assert!(constant(REVERSE, &[text("é")]).contains("D31"));
    }

    #[test]
    fn columns_keep_their_nulls() {
        assert_eq!(row(LOWER, &[Some("AB"), None, Some("")], &[]), ["ab", "NULL", "NULL"]);
        assert_eq!(row(LPAD, &[Some("AB"), None, Some("")], &[integer(3)]), [" AB", "NULL", "   "]);
    }
}
