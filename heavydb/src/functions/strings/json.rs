//! `JSON_VALUE(s, path)`: a scalar in a JSON text; whatever is not found is NULL.

use std::borrow::Cow;
use std::fmt;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::text::{Answer, Kind, casts, literal_text, map_text, null_text, refuse};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `JSON_VALUE(s, path)`.
pub(super) const JSON_VALUE: ScalarFunction = ScalarFunction {
    name: "json_value",
    arguments: |given| casts("json_value", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        let Some(path) = literal_text(call, "JSON_VALUE", 1)? else { return Ok(null_text()) };
        let steps = steps(path)?;
        map_text(call, |text| value(text, &steps))
    },
};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Element(usize),
}

/// Reads `[lax ]$` and then `.key`, `."a key"`, `["a key"]`, `[n]`.
///
/// # Errors
/// Another form, `strict` among them, which HeavyDB refuses.
fn steps(path: &str) -> Result<Vec<Step>> {
    let Some((mode, mut rest)) = path.split_once('$') else {
        return exec_err!("JSON_VALUE: the path {path:?} has no $; a path is for example $.key[0]");
    };
    match mode.to_ascii_lowercase().as_str() {
        "" | "lax " => {}
        "strict " => return exec_err!("JSON_VALUE: strict mode is not known, in HeavyDB neither; use lax"),
        _ => return exec_err!("JSON_VALUE: the path {path:?} begins with {mode:?}; known is lax"),
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let Some((step, behind)) = step(rest) else {
            return exec_err!("JSON_VALUE: the path {path:?} is not understood from {rest:?} on; steps are .key, .\"a key\" and [0]");
        };
        steps.push(step);
        rest = behind;
    }
    match steps.is_empty() {
        true => exec_err!("JSON_VALUE: the path {path:?} names no key"),
        false => Ok(steps),
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    let quoted = rest.strip_prefix(".\"").map(|rest| (rest, "\"")).or_else(|| rest.strip_prefix("[\"").map(|rest| (rest, "\"]")));
    if let Some((rest, end)) = quoted {
        let (key, behind) = rest.split_once(end)?;
        return is_key(key, true).then(|| (Step::Key(key.to_string()), behind));
    }
    if let Some(rest) = rest.strip_prefix('[') {
        let (digits, behind) = rest.split_once(']')?;
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i32>().ok())??;
        return Some((Step::Element(usize::try_from(number).ok()?), behind));
    }
    let rest = rest.strip_prefix('.')?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
    let (key, behind) = rest.split_at_checked(end)?;
    is_key(key, false).then(|| (Step::Key(key.to_string()), behind))
}

/// A key begins with a letter; letters, digits, `_`, `-` and, in quotes, blanks follow.
fn is_key(key: &str, quoted: bool) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || (quoted && c == ' ');
    key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(allowed)
}

/// The scalar at the end of the steps; NULL where a step leads nowhere, and for objects, arrays and what is no JSON.
fn value<'a>(text: &'a str, steps: &[Step]) -> Answer<'a> {
    let document: Json<'_> = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) if error.to_string().contains("recursion limit") => {
            return refuse("JSON_VALUE", format!("a text nested more than 127 deep; it begins {:?}", text.get(..40).unwrap_or("")));
        }
        Err(_) => return Ok(None),
    };
    let mut at = &document;
    for step in steps {
        let next = match (step, at) {
            // The first of equal keys counts.
            (Step::Key(key), Json::Object(members)) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            (Step::Element(index), Json::Array(elements)) => elements.get(*index),
            _ => None,
        };
        let Some(next) = next else { return Ok(None) };
        at = next;
    }
    shown(at)
}

fn shown<'a>(value: &Json<'_>) -> Answer<'a> {
    match value {
        Json::Null | Json::Array(_) | Json::Object(_) => Ok(None),
        Json::Bool(truth) => Ok(Some(truth.to_string().into())),
        Json::Integer(digits) => Ok(Some(digits.clone().into())),
        Json::Float(number) => float(*number),
        Json::Text(text) if text.contains('\0') => refuse("JSON_VALUE", "a text holds \\u0000: HeavyDB's ends there"),
        Json::Text(text) => Ok(Some(text.to_string().into())),
    }
}

/// Six decimals, as `%f`.
///
/// # Errors
/// Refused are numbers whose last shown digit hangs on how their text was read: HeavyDB's reader may be off by some units in the last place
/// where the digits are no integer below 2^53; and a zero with a sign, which may have been an integer.
fn float<'a>(number: f64) -> Answer<'a> {
    let digits: String = format!("{number:e}").split('e').next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
    let exact = digits.parse::<u64>().is_ok_and(|digits| digits < 1 << f64::MANTISSA_DIGITS) && number.abs() < 1e22;
    let neighbours = [number.next_up().next_up().next_up(), number.next_down().next_down().next_down()];
    let text = format!("{number:.6}");
    let settled = neighbours.iter().all(|neighbour| format!("{neighbour:.6}") == text);
    if !exact && !settled || number == 0.0 && number.is_sign_negative() {
        return refuse("JSON_VALUE", format!("the digits that HeavyDB shows of {number:e} are not sure"));
    }
    Ok(Some(text.into()))
}

/// A JSON value that keeps the order of keys and every one of equal keys.
#[derive(Debug)]
enum Json<'a> {
    Null,
    Bool(bool),
    /// Its digits.
    Integer(String),
    Float(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Integer(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Integer(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Json::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_string())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some(element) = elements.next_element()? {
            read.push(element);
        }
        Ok(Json::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some((Key(key), value)) = members.next_entry::<Key<'de>, Json<'de>>()? {
            read.push((key, value));
        }
        Ok(Json::Object(read))
    }
}

/// A key, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Json::deserialize(deserializer)? {
            Json::Text(key) => Ok(Self(key)),
            _ => Err(serde::de::Error::custom("a key is no text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, row, text};
    use super::*;

    const SAMPLE: &str = r#"{"name": "Ann", "age": 41, "pay": 12.5, "big": 18446744073709551615, "on": true, "no": null, "": 1,
        "tags": ["a", "b", {"c d": "e"}], "empty": "", "name": "Bob", "neg": -3, "huge": 1e20, "esc": "a\"\u00e9"}"#;

    fn at(path: &str) -> String {
        constant(JSON_VALUE, &[text(SAMPLE), text(path)])
    }

    #[test]
    fn scalars_are_shown_as_text() {
        for (path, wanted) in [
            ("$.name", "Ann"),
            ("$.age", "41"),
            ("$.pay", "12.500000"),
            ("$.big", "18446744073709551615"),
            ("$.neg", "-3"),
            ("$.huge", "100000000000000000000.000000"),
            ("$.on", "true"),
            ("$.tags[1]", "b"),
            ("lax $.tags[2].\"c d\"", "e"),
            ("LAX $[\"tags\"][0]", "a"),
            ("$.esc", "a\"é"),
        ] {
            assert_eq!(at(path), wanted, "{path}");
        }
    }

    #[test]
    fn what_is_no_scalar_is_null() {
        for path in ["$.no", "$.tags", "$.tags[9]", "$.absent", "$.name.first", "$[0]", "$.empty", "$.tags[2]"] {
            assert_eq!(at(path), "NULL", "{path}");
        }
        for broken in ["", "{", "{\"a\": 1} x", "{\"a\": 1e999}", "{'a': 1}", "nothing"] {
            assert_eq!(constant(JSON_VALUE, &[text(broken), text("$.a")]), "NULL", "{broken}");
        }
        assert_eq!(row(JSON_VALUE, &[Some("{\"a\": 1}"), None], &[text("$.a")]), ["1", "NULL"]);
    }

    #[test]
    fn a_path_that_is_none_is_an_error() {
        for path in ["", "name", "$", "$name", "$.1", "$.", "$[x]", "$[1", "$.a b", "strict $.a", "fast $.a", "$[99999999999]", "$[-1]"] {
            assert!(at(path).contains("JSON_VALUE"), "{path}: {}", at(path));
        }
    }

    #[test]
    fn doubtful_values_are_refused() {
        let of = |json: &str| constant(JSON_VALUE, &[text(json), text("$[0]")]);
        assert!(of("[-0.0]").contains("not sure"));
        assert!(of("[12345678901234567890123.5]").contains("not sure"));
        assert_eq!(of("[0.0078125]"), "0.007812");
        assert_eq!(of("[0.1]"), "0.100000");
        assert_eq!(of("[1234567890.123456]"), "1234567890.123456");
        assert!(of("[\"a\\u0000b\"]").contains("u0000"));
        assert!(of(&"[".repeat(1000)).contains("deep"));
    }
}
