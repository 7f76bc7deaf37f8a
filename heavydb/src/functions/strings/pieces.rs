//! Pieces of texts by position and by delimiter: positions count bytes, from 1, and from the end where they are negative.

use std::borrow::Cow;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::text::{Kind, Texts, ascii, build_number, casts, literal_integer, literal_text, map_number, map_text, null_text, refuse, texts};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `SUBSTRING(s, start [, length])`.
pub(super) const SUBSTRING: ScalarFunction = ScalarFunction {
    name: "substring",
    arguments: |given| casts("substring", given, &[Kind::Text, Kind::Integer, Kind::Integer], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let Some(start) = literal_integer(call, "SUBSTRING", 1)? else { return Ok(null_text()) };
        let length = match call.args.len() {
            2 => i64::MAX,
            _ => match literal_integer(call, "SUBSTRING", 2)? {
                Some(length) => length,
                None => return Ok(null_text()),
            },
        };
        map_text(call, |text| Ok(Some(substring(ascii("SUBSTRING", text)?, start, length).into())))
    },
};

/// `LEFT(s, n)`.
pub(super) const LEFT: ScalarFunction = ScalarFunction {
    name: "left",
    arguments: |given| casts("left", given, &[Kind::Text, Kind::Integer], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let Some(length) = literal_integer(call, "LEFT", 1)? else { return Ok(null_text()) };
        map_text(call, |text| Ok(Some(substring(ascii("LEFT", text)?, 0, length).into())))
    },
};

/// `RIGHT(s, n)`.
pub(super) const RIGHT: ScalarFunction = ScalarFunction {
    name: "right",
    arguments: |given| casts("right", given, &[Kind::Text, Kind::Integer], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| match literal_integer(call, "RIGHT", 1)? {
        Some(length @ 1..) => map_text(call, |text| Ok(Some(substring(ascii("RIGHT", text)?, -length, i64::MAX).into()))),
        _ => Ok(null_text()),
    },
};

/// `POSITION(p IN s [FROM start])`, as `position(p, s [, start])`.
pub(super) const POSITION: ScalarFunction = ScalarFunction {
    name: "position",
    arguments: |given| casts("position", given, &[Kind::Text, Kind::Text, Kind::Integer], 2),
    result: |_| of_type(DataType::Int64),
    evaluate: |call| {
        let null = ColumnarValue::Scalar(ScalarValue::Int64(None));
        let Some(sought) = literal_text(call, "POSITION", 0)? else { return Ok(null) };
        let start = match call.args.len() {
            2 => 0,
            _ => match literal_integer(call, "POSITION", 2)? {
                Some(start) => start,
                None => return Ok(null),
            },
        };
        if sought.is_empty() {
            return refuse("POSITION", "HeavyDB does not say where an empty text lies; seek at least one byte");
        }
        let given = texts(call, 1)?;
        build_number::<Int64Type>(call, given.is_constant(), |row| match given.at(row) {
            None | Some("") => Ok(None),
            Some(text) => Ok(Some(position(ascii("POSITION", sought)?, ascii("POSITION", text)?, start))),
        })
    },
};

/// `OVERLAY(s PLACING r FROM start [FOR length])`, as `overlay(s, r, start [, length])`.
pub(super) const OVERLAY: ScalarFunction = ScalarFunction {
    name: "overlay",
    arguments: |given| casts("overlay", given, &[Kind::Text, Kind::Text, Kind::Integer, Kind::Integer], 3),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let (Some(placed), Some(start)) = (literal_text(call, "OVERLAY", 1)?, literal_integer(call, "OVERLAY", 2)?) else {
            return Ok(null_text());
        };
        let length = match call.args.len() {
            3 => i64::try_from(placed.len()).unwrap_or(i64::MAX),
            _ => match literal_integer(call, "OVERLAY", 3)? {
                Some(length) => length,
                None => return Ok(null_text()),
            },
        };
        let placed = ascii("OVERLAY", placed)?;
        map_text(call, |text| Ok(Some(overlay(ascii("OVERLAY", text)?, placed, start, length).into())))
    },
};

/// `SPLIT_PART(s, delimiter, n)`.
pub(super) const SPLIT_PART: ScalarFunction = ScalarFunction {
    name: "split_part",
    arguments: |given| casts("split_part", given, &[Kind::Text, Kind::Text, Kind::Integer], 3),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let (Some(delimiter), Some(n)) = (literal_text(call, "SPLIT_PART", 1)?, literal_integer(call, "SPLIT_PART", 2)?) else {
            return Ok(null_text());
        };
        map_text(call, |text| Ok(split_part(text, delimiter, n)?.map(Cow::Borrowed)))
    },
};

/// `strtok_to_array(s, delimiters)`: each byte of `delimiters` splits, empty pieces are dropped.
pub(super) const STRTOK_TO_ARRAY: ScalarFunction = ScalarFunction {
    name: "strtok_to_array",
    arguments: |given| casts("strtok_to_array", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
    evaluate: |call| {
        lists(call, |text, delimiters| Ok(text.split(|c| ascii_set(delimiters, c)).filter(|piece| !piece.is_empty()).collect()))
    },
};

/// `SPLIT(s, delimiter)`: the whole delimiter splits.
pub(super) const SPLIT: ScalarFunction = ScalarFunction {
    name: "split",
    arguments: |given| casts("split", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))),
    evaluate: |call| lists(call, |text, delimiter| Ok(text.split(delimiter).collect())),
};

fn ascii_set(delimiters: &str, c: char) -> bool {
    c.is_ascii() && delimiters.contains(c)
}

/// Lists of pieces; an empty text and an empty delimiter are NULL.
fn lists<'a>(call: &'a ScalarFunctionArgs, pieces: fn(&'a str, &'a str) -> Result<Vec<&'a str>>) -> Result<ColumnarValue> {
    let (given, delimiters) = (texts(call, 0)?, texts(call, 1)?);
    let constant = given.is_constant() && delimiters.is_constant();
    let mut built = ListBuilder::new(StringBuilder::new());
    for row in 0..if constant { 1 } else { call.number_rows } {
        match (present(&given, row), present(&delimiters, row)) {
            (Some(text), Some(delimiters)) => {
                ascii("SPLIT", delimiters)?;
                pieces(text, delimiters)?.into_iter().for_each(|piece| built.values().append_value(piece));
                built.append(true);
            }
            _ => built.append(false),
        }
    }
    let array: ArrayRef = Arc::new(built.finish());
    match constant {
        true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)),
        false => Ok(ColumnarValue::Array(array)),
    }
}

fn present<'a>(given: &Texts<'a>, row: usize) -> Option<&'a str> {
    given.at(row).filter(|text| !text.is_empty())
}

/// Bytes from the `start`-th on: 0 means 1, a negative one counts from the end; a start before the text is its first byte.
///
/// `text` is ASCII, so that each byte is a place to cut.
fn substring(text: &str, start: i64, length: i64) -> &str {
    let from = offset(text, start).unwrap_or(0);
    let bytes = usize::try_from(length).unwrap_or(if length < 0 { 0 } else { usize::MAX });
    text.get(from..from.saturating_add(bytes).min(text.len())).unwrap_or("")
}

/// The offset of a start that counts from 1, or from the end; capped at the end of the text, `None` where it lies before the text.
pub(super) fn offset(text: &str, start: i64) -> Option<usize> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let from = match start {
        1.. => start - 1,
        0 => 0,
        _ => length.saturating_add(start),
    };
    usize::try_from(from.min(length)).ok()
}

/// Where `sought` begins, from 1; 0 where it does not occur from `start` on.
fn position(sought: &str, text: &str, start: i64) -> i64 {
    let found = offset(text, start).and_then(|from| text.get(from..)?.find(sought).map(|at| from + at + 1));
    found.and_then(|at| i64::try_from(at).ok()).unwrap_or(0)
}

/// `text` with `length` bytes from `start` on replaced by `placed`.
///
/// A start before the text (-5 in a text of three) keeps HeavyDB's arithmetic: what follows is taken from the unsigned sum of start and
/// length.
fn overlay(text: &str, placed: &str, start: i64, length: i64) -> String {
    let bytes = text.len() as i64;
    let from = if start > 0 { start - 1 } else { start };
    let wrapped = if from >= 0 { from } else { bytes.saturating_add(from) };
    let head = usize::try_from(wrapped.clamp(0, bytes)).unwrap_or(0);
    let tail = (wrapped as u64).wrapping_add(length.max(0) as u64).min(bytes as u64) as usize;
    [text.get(..head).unwrap_or(""), placed, text.get(tail..).unwrap_or("")].concat()
}

/// The `n`-th piece between delimiters, from the end where `n` is negative; `None` where there are fewer.
///
/// From the start, HeavyDB seeks the first delimiter behind as many bytes as it has: `SPLIT_PART(',a,b', ',', 1)` is `',a'`.
///
/// # Errors
/// Refuses n = 0, and counting from the end past a delimiter at the start of the text, or over delimiters that overlap: there HeavyDB's
/// search runs in circles.
fn split_part<'a>(text: &'a str, delimiter: &str, n: i64) -> Result<Option<&'a str>> {
    if delimiter.is_empty() {
        return Ok(Some(text));
    }
    let wanted = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX);
    match n {
        0 => refuse("SPLIT_PART", "n is 0; pieces count from 1, or from -1 at the end"),
        1.. => Ok(piece_from_start(text, delimiter, wanted)),
        _ => piece_from_end(text, delimiter, wanted),
    }
}

fn piece_from_start<'a>(text: &'a str, delimiter: &str, wanted: usize) -> Option<&'a str> {
    let (mut start, mut seek) = (0, delimiter.len());
    for piece in 1..=wanted {
        let end = find(text, delimiter, seek);
        match end {
            None if piece == 1 && wanted > 1 => return None,
            None if piece == wanted => return text.get(start..),
            None => return None,
            Some(end) if piece == wanted => return text.get(start..end),
            Some(end) => (start, seek) = (end + delimiter.len(), end + delimiter.len()),
        }
    }
    None
}

fn piece_from_end<'a>(text: &'a str, delimiter: &str, wanted: usize) -> Result<Option<&'a str>> {
    let mut end = text.len();
    for piece in 1..=wanted {
        match find_last(text, delimiter, end) {
            None => return Ok((piece == wanted).then(|| text.get(..end)).flatten()),
            Some(found) if found + delimiter.len() > end => {
                return refuse("SPLIT_PART", format!("from the end: delimiters {delimiter:?} overlap in {text:?}"));
            }
            Some(found) if piece == wanted => return Ok(text.get(found + delimiter.len()..end)),
            Some(0) => {
                return refuse("SPLIT_PART", format!("from the end: {text:?} begins with the delimiter and HeavyDB's search starts anew"));
            }
            Some(found) => end = found,
        }
    }
    Ok(None)
}

/// Where `sought` begins, at byte `from` or later.
fn find(text: &str, sought: &str, from: usize) -> Option<usize> {
    let rest = text.as_bytes().get(from..)?;
    rest.windows(sought.len()).position(|window| window == sought.as_bytes()).map(|at| from + at)
}

/// Where `sought` last begins, before byte `before`.
fn find_last(text: &str, sought: &str, before: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let reach = before.checked_sub(1)?.saturating_add(sought.len()).min(bytes.len());
    bytes.get(..reach)?.windows(sought.len()).rposition(|window| window == sought.as_bytes())
}

/// `LENGTH(s)` in bytes.
pub(super) const LENGTH: ScalarFunction = ScalarFunction {
    name: "length",
    arguments: |given| casts("length", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Int32),
    evaluate: |call| count(call, str::len),
};

/// `CHAR_LENGTH(s)` in characters.
pub(super) const CHAR_LENGTH: ScalarFunction = ScalarFunction {
    name: "char_length",
    arguments: |given| casts("char_length", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Int32),
    evaluate: |call| count(call, |text| text.chars().count()),
};

fn count(call: &ScalarFunctionArgs, size: fn(&str) -> usize) -> Result<ColumnarValue> {
    let given = texts(call, 0)?;
    let counted = |row| Ok(given.at(row).and_then(|text| i32::try_from(size(text)).ok()));
    build_number::<datafusion::arrow::datatypes::Int32Type>(call, given.is_constant(), counted)
}

/// `HASH(s)`: 53 bits of cyrb53 with seed 0 over the bytes, as the web client has it.
pub(super) const HASH: ScalarFunction = ScalarFunction {
    name: "hash",
    arguments: |given| casts("hash", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Int64),
    evaluate: |call| map_number::<Int64Type>(call, |text| Ok(Some(cyrb53(text.as_bytes())))),
};

/// cyrb53 of bryc, public domain, with the seed 0. A byte above 127 is negative, as HeavyDB's `char` is.
fn cyrb53(bytes: &[u8]) -> i64 {
    let (mut low, mut high) = (0xdead_beef_u32, 0x41c6_ce57_u32);
    for byte in bytes {
        let unit = i32::from(*byte as i8) as u32;
        low = (low ^ unit).wrapping_mul(2_654_435_761);
        high = (high ^ unit).wrapping_mul(1_597_334_677);
    }
    low = (low ^ (low >> 16)).wrapping_mul(2_246_822_507);
    low ^= (high ^ (high >> 13)).wrapping_mul(3_266_489_909);
    high = (high ^ (high >> 16)).wrapping_mul(2_246_822_507);
    high ^= (low ^ (low >> 13)).wrapping_mul(3_266_489_909);
    i64::from(high & 0x1f_ffff) << 32 | i64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_count_from_one_or_from_the_end() {
        assert_eq!(substring("hello", -3, 2), "ll");
        assert_eq!(substring("hello", 0, 3), "hel");
        assert_eq!(substring("hello", 1, 3), "hel");
        assert_eq!(substring("hello", 2, i64::MAX), "ello");
        assert_eq!(substring("hello", -9, 2), "he");
        assert_eq!(substring("hello", 9, 2), "");
        assert_eq!(substring("hello", 2, -1), "");
        assert_eq!(substring("", -1, 1), "");
        assert_eq!(substring("hello", i64::MIN, i64::MAX), "hello");
    }

    #[test]
    fn positions_are_zero_where_nothing_is_found() {
        assert_eq!(position("l", "hello", 0), 3);
        assert_eq!(position("l", "hello", 4), 4);
        assert_eq!(position("l", "hello", 5), 0);
        assert_eq!(position("l", "hello", -2), 4);
        assert_eq!(position("l", "hello", -99), 0);
        assert_eq!(position("l", "hello", 99), 0);
        assert_eq!(position("x", "hello", 1), 0);
    }

    #[test]
    fn overlays_replace_insert_and_append() {
        assert_eq!(overlay("abcdef", "XY", 2, 2), "aXYdef");
        assert_eq!(overlay("abcdef", "XY", 2, 0), "aXYbcdef");
        assert_eq!(overlay("abcdef", "XY", 9, 2), "abcdefXY");
        assert_eq!(overlay("abcdef", "XY", -2, 2), "abcdXY");
        assert_eq!(overlay("abcdef", "XY", 2, 99), "aXY");
        assert_eq!(overlay("abc", "XY", -5, 1), "XY");
        assert_eq!(overlay("abc", "XY", -5, 2), "XYabc");
        assert_eq!(overlay("abc", "XY", 0, -7), "XYabc");
        assert_eq!(overlay("abc", "XY", i64::MIN, i64::MAX).len(), 2 + 3 - overlay_tail());
    }

    fn overlay_tail() -> usize {
        (3_i64.saturating_add(i64::MIN) as u64).wrapping_add(i64::MAX as u64).min(3) as usize
    }

    fn part(text: &str, delimiter: &str, n: i64) -> Option<String> {
        split_part(text, delimiter, n).unwrap().map(str::to_string)
    }

    #[test]
    fn parts_count_from_both_ends() {
        assert_eq!(part("a,b,c", ",", 1).as_deref(), Some("a"));
        assert_eq!(part("a,b,c", ",", 2).as_deref(), Some("b"));
        assert_eq!(part("a,b,c", ",", 3).as_deref(), Some("c"));
        assert_eq!(part("a,b,c", ",", 4), None);
        assert_eq!(part("a,b,c", ",", -1).as_deref(), Some("c"));
        assert_eq!(part("a,b,c", ",", -2).as_deref(), Some("b"));
        assert_eq!(part("a,b,c", ",", -3).as_deref(), Some("a"));
        assert_eq!(part("a,b,c", ",", -4), None);
        assert_eq!(part("abc", ",", 1).as_deref(), Some("abc"));
        assert_eq!(part("abc", ",", -1).as_deref(), Some("abc"));
        assert_eq!(part("abc", ",", 2), None);
        assert_eq!(part("abc", ",", -2), None);
        assert_eq!(part("a,,c", ",", 2).as_deref(), Some(""));
        assert_eq!(part("aa::b", "::", 2).as_deref(), Some("b"));
        assert_eq!(part("a::b", "::", -1).as_deref(), Some("b"));
        assert_eq!(part("a,b,", ",", 3).as_deref(), Some(""));
        assert_eq!(part("abc", "", 7).as_deref(), Some("abc"));
        assert_eq!(part("é,ü", ",", 2).as_deref(), Some("ü"));
        assert_eq!(part("", ",", 1).as_deref(), Some(""));
    }

    #[test]
    fn a_delimiter_in_its_own_length_of_the_start_is_not_seen() {
        assert_eq!(part(",a,b", ",", 1).as_deref(), Some(",a"));
        assert_eq!(part(",a,b", ",", 2).as_deref(), Some("b"));
        assert_eq!(part("a::b", "::", 1).as_deref(), Some("a::b"));
        assert_eq!(part("a::b", "::", 2), None);
        assert_eq!(part(",a,b", ",", -2).as_deref(), Some("a"));
        assert!(split_part(",a,b", ",", -3).unwrap_err().to_string().contains("begins with the delimiter"));
        assert!(split_part("a|||b", "||", -3).unwrap_err().to_string().contains("overlap"));
        assert!(split_part("a", ",", 0).is_err());
    }

    #[test]
    fn the_hash_is_that_of_the_web_client() {
        assert_eq!(cyrb53(b"a"), 7_929_297_801_672_961);
        assert_eq!(cyrb53(b"b"), 8_684_336_938_537_663);
        assert_eq!(cyrb53(b"revenge"), 4_051_478_007_546_757);
    }
}
