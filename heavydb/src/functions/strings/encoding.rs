//! Texts in base 64 and in URLs.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::text::{Kind, casts, map_text, refuse};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `BASE64_ENCODE(s)`.
pub(super) const BASE64_ENCODE: ScalarFunction = ScalarFunction {
    name: "base64_encode",
    arguments: |given| casts("base64_encode", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(base64(text.as_bytes()).into()))),
};

/// `BASE64_DECODE(s)`.
pub(super) const BASE64_DECODE: ScalarFunction = ScalarFunction {
    name: "base64_decode",
    arguments: |given| casts("base64_decode", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(from_base64(text)?.into()))),
};

/// `URL_ENCODE(s)`.
pub(super) const URL_ENCODE: ScalarFunction = ScalarFunction {
    name: "url_encode",
    arguments: |given| casts("url_encode", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(url(text).into()))),
};

/// `URL_DECODE(s)`.
pub(super) const URL_DECODE: ScalarFunction = ScalarFunction {
    name: "url_decode",
    arguments: |given| casts("url_decode", given, &[Kind::Text], 1),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| map_text(call, |text| Ok(Some(from_url(text)?.into()))),
};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4, padded with `=`.
fn base64(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let joined = three.iter().chain([&0, &0]).take(3).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = (joined >> (18 - 6 * place)) & 63;
            let shown = DIGITS.get(digit as usize).filter(|_| place <= three.len());
            encoded.push(shown.map_or('=', |digit| char::from(*digit)));
        }
    }
    encoded
}

/// The text behind base 64. As in HeavyDB, zero bytes at the end are dropped.
///
/// # Errors
/// Refused is what RFC 4648 does not write: other characters, another length, bits that are left over; and bytes that are no UTF-8.
fn from_base64(text: &str) -> Result<String> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let values: Option<Vec<u32>> = digits.bytes().map(|byte| DIGITS.iter().position(|digit| *digit == byte)?.try_into().ok()).collect();
    let Some(values) = values.filter(|_| text.len().is_multiple_of(4) && padding <= 2) else {
        return refuse("BASE64_DECODE", format!("{text:?} is not in base 64 with its padding"));
    };
    let mut bytes = Vec::with_capacity(values.len());
    for four in values.chunks(4) {
        let joined = four.iter().chain([&0, &0]).take(4).fold(0_u32, |sum, digit| sum << 6 | digit);
        let kept = four.len().saturating_sub(1);
        let [_, three @ ..] = joined.to_be_bytes();
        bytes.extend(three.iter().take(kept));
        if three.iter().skip(kept).any(|byte| *byte != 0) {
            return refuse("BASE64_DECODE", format!("{text:?} leaves bits over"));
        }
    }
    utf8("BASE64_DECODE", text, trim_zeros(&bytes))
}

fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..kept).unwrap_or_default()
}

fn utf8(name: &str, text: &str, bytes: &[u8]) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(decoded) => Ok(decoded.to_string()),
        Err(_) => refuse(name, format!("behind {text:?} are bytes that are no UTF-8 text (rule D31)")),
    }
}

/// Letters, digits and `-._~` stay, a blank becomes `+`, every other byte `%XX`.
fn url(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `+` becomes a blank, `%XX` a byte; a `%` among the last two bytes stays.
///
/// # Errors
/// Refused are a `%` before what are no two hexadecimal digits, and bytes that are no UTF-8.
fn from_url(text: &str) -> Result<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match (byte, digits) {
            (_, Some(digits)) => {
                let value = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let Some(value) = value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    return refuse("URL_DECODE", format!("% in {text:?} stands before what are no two hexadecimal digits"));
                };
                decoded.push(value);
                at += 2;
            }
            (b'+', None) => decoded.push(b' '),
            (byte, None) => decoded.push(*byte),
        }
        at += 1;
    }
    utf8("URL_DECODE", text, &decoded)
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, row, text};
    use super::*;

    #[test]
    fn base64_goes_there_and_back() {
        // RFC 4648, section 10.
        for (plain, encoded) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("é", "w6k=")]
        {
            assert_eq!(constant(BASE64_ENCODE, &[text(plain)]), encoded);
            assert_eq!(constant(BASE64_DECODE, &[text(encoded)]), plain);
        }
        assert_eq!(constant(BASE64_ENCODE, &[text("")]), "NULL");
        assert_eq!(constant(BASE64_DECODE, &[text("YQAA")]), "a");
        for wrong in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zg==Zg==", "Z!==", "gA=="] {
            assert!(constant(BASE64_DECODE, &[text(wrong)]).contains("BASE64_DECODE"), "{wrong}");
        }
        assert_eq!(row(BASE64_ENCODE, &[Some("f"), None], &[]), ["Zg==", "NULL"]);
    }

    #[test]
    fn urls_go_there_and_back() {
        for (plain, encoded) in [("a b", "a+b"), ("a+b/c?d=é", "a%2Bb%2Fc%3Fd%3D%C3%A9"), ("a-b._~1", "a-b._~1")] {
            assert_eq!(constant(URL_ENCODE, &[text(plain)]), encoded);
            assert_eq!(constant(URL_DECODE, &[text(encoded)]), plain);
        }
        assert_eq!(constant(URL_DECODE, &[text("%2f%")]), "/%");
        assert_eq!(constant(URL_DECODE, &[text("%2")]), "%2");
        assert!(constant(URL_DECODE, &[text("%zz")]).contains("hexadecimal"));
        assert!(constant(URL_DECODE, &[text("%+1")]).contains("hexadecimal"));
        assert!(constant(URL_DECODE, &[text("%FF")]).contains("UTF-8"));
    }
}
