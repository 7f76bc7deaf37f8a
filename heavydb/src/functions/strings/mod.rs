//! Functions of texts.
//!
//! To HeavyDB a text is bytes: positions and lengths count bytes, letters change their case in ASCII only, and an empty result is NULL.
//! Where a function counts bytes and a text is not ASCII, the call is refused while it runs. Arguments that HeavyDB takes as literals
//! only are refused as columns. What is refused is [`DataFusionError::NotImplemented`](datafusion::common::DataFusionError); what is an
//! error in HeavyDB is an error of execution or planning.

mod distance;
mod encoding;
mod json;
mod like;
mod pattern;
mod pieces;
mod regexp;
mod shape;
#[cfg(test)]
pub(in crate::functions) mod test_call;
mod text;

pub(super) use text::refuse;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use super::scalar::ScalarFunction;
use super::{Action, Example, Function, Implementation};

/// The functions of texts.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "LOWER",
        arguments: "(s)",
        action: own(|| shape::LOWER.udf()),
        doc: "The text in small letters; letters of ASCII only.",
        example: Example { sql: "LOWER('ABC')", value: "abc" },
    },
    Function {
        name: "LCASE",
        arguments: "(s)",
        action: own(|| renamed("lcase", shape::LOWER).udf()),
        doc: "LOWER.",
        example: Example { sql: "LCASE('ABC')", value: "abc" },
    },
    Function {
        name: "UPPER",
        arguments: "(s)",
        action: own(|| shape::UPPER.udf()),
        doc: "The text in capitals; letters of ASCII only.",
        example: Example { sql: "UPPER('abc')", value: "ABC" },
    },
    Function {
        name: "UCASE",
        arguments: "(s)",
        action: own(|| renamed("ucase", shape::UPPER).udf()),
        doc: "UPPER.",
        example: Example { sql: "UCASE('abc')", value: "ABC" },
    },
    Function {
        name: "INITCAP",
        arguments: "(s)",
        action: own(|| shape::INITCAP.udf()),
        doc: "Words with a capital; a word starts after white space or punctuation, not after an apostrophe.",
        example: Example { sql: "INITCAP('hello o''neil-x')", value: "Hello O'neil-X" },
    },
    Function {
        name: "REVERSE",
        arguments: "(s)",
        action: own(|| shape::REVERSE.udf()),
        doc: "The bytes from last to first; ASCII only.",
        example: Example { sql: "REVERSE('abc')", value: "cba" },
    },
    Function {
        name: "REPEAT",
        arguments: "(s, n)",
        action: own(|| shape::REPEAT.udf()),
        doc: "The text n times; n a literal, 0 gives NULL.",
        example: Example { sql: "REPEAT('ab', 2)", value: "abab" },
    },
    Function {
        name: "SPACE",
        arguments: "(n)",
        action: Action::Rewritten("repeat(' ', n)"),
        doc: "n blanks; n a literal.",
        example: Example { sql: "'a' || SPACE(2) || 'b'", value: "a  b" },
    },
    Function {
        name: "REPLACE",
        arguments: "(s, p, r = '')",
        action: own(|| shape::REPLACE.udf()),
        doc: "Every p replaced by r.",
        example: Example { sql: "REPLACE('abac', 'a', 'x')", value: "xbxc" },
    },
    Function {
        name: "LPAD",
        arguments: "(s, n, p = ' ')",
        action: own(|| shape::LPAD.udf()),
        doc: "Filled on the left to n bytes; a longer text keeps its first n.",
        example: Example { sql: "LPAD('ab', 5, 'xyz')", value: "xyzab" },
    },
    Function {
        name: "RPAD",
        arguments: "(s, n, p = ' ')",
        action: own(|| shape::RPAD.udf()),
        doc: "Filled on the right to n bytes; a longer text keeps its LAST n.",
        example: Example { sql: "RPAD('abcdef', 3)", value: "def" },
    },
    Function {
        name: "TRIM",
        arguments: "([BOTH | LEADING | TRAILING] c FROM s), (s, c = ' ')",
        action: own(|| shape::TRIM.udf()),
        doc: "Without the characters of c at both ends.",
        example: Example { sql: "TRIM('xy' FROM 'xyaxy')", value: "a" },
    },
    Function {
        name: "LTRIM",
        arguments: "(s, c = ' ')",
        action: own(|| shape::LTRIM.udf()),
        doc: "Without the characters of c at the start.",
        example: Example { sql: "LTRIM('xya', 'yx')", value: "a" },
    },
    Function {
        name: "RTRIM",
        arguments: "(s, c = ' ')",
        action: own(|| shape::RTRIM.udf()),
        doc: "Without the characters of c at the end; of a text of nothing else the first byte stays.",
        example: Example { sql: "RTRIM('xyx', 'yx')", value: "x" },
    },
    Function {
        name: "ENCODE_TEXT",
        arguments: "(s)",
        action: own(|| shape::ENCODE_TEXT.udf()),
        doc: "The text itself: ours have one form.",
        example: Example { sql: "ENCODE_TEXT('abc')", value: "abc" },
    },
    Function {
        name: "LENGTH",
        arguments: "(s)",
        action: own(|| pieces::LENGTH.udf()),
        doc: "The number of BYTES, INT.",
        example: Example { sql: "LENGTH('é')", value: "2" },
    },
    Function {
        name: "LEN",
        arguments: "(s)",
        action: own(|| renamed("len", pieces::LENGTH).udf()),
        doc: "LENGTH.",
        example: Example { sql: "LEN('abc')", value: "3" },
    },
    Function {
        name: "CHAR_LENGTH",
        arguments: "(s)",
        action: own(|| pieces::CHAR_LENGTH.udf()),
        doc: "The number of characters, INT.",
        example: Example { sql: "CHAR_LENGTH('é')", value: "1" },
    },
    Function {
        name: "SUBSTRING",
        arguments: "(s FROM start [FOR n]), (s, start [, n])",
        action: own(|| pieces::SUBSTRING.udf()),
        doc: "n bytes from start on; 0 means 1, a negative start counts from the end; start and n literals.",
        example: Example { sql: "SUBSTRING('hello', -3, 2)", value: "ll" },
    },
    Function {
        name: "SUBSTR",
        arguments: "(s, start [, n])",
        action: own(|| renamed("substr", pieces::SUBSTRING).udf()),
        doc: "SUBSTRING.",
        example: Example { sql: "SUBSTR('hello', 0, 3)", value: "hel" },
    },
    Function {
        name: "MID",
        arguments: "(s, start [, n])",
        action: own(|| renamed("mid", pieces::SUBSTRING).udf()),
        doc: "SUBSTRING.",
        example: Example { sql: "MID('hello', 2, 3)", value: "ell" },
    },
    Function {
        name: "LEFT",
        arguments: "(s, n)",
        action: own(|| pieces::LEFT.udf()),
        doc: "The first n bytes; none for n <= 0, which is NULL.",
        example: Example { sql: "LEFT('hello', 2)", value: "he" },
    },
    Function {
        name: "RIGHT",
        arguments: "(s, n)",
        action: own(|| pieces::RIGHT.udf()),
        doc: "The last n bytes; NULL for n <= 0; n a literal.",
        example: Example { sql: "RIGHT('hello', 2)", value: "lo" },
    },
    Function {
        name: "POSITION",
        arguments: "(p IN s [FROM start])",
        action: own(|| pieces::POSITION.udf()),
        doc: "Where p begins in s, from 1; 0 where it is not; BIGINT.",
        example: Example { sql: "POSITION('l' IN 'hello')", value: "3" },
    },
    Function {
        name: "OVERLAY",
        arguments: "(s PLACING r FROM start [FOR n])",
        action: own(|| pieces::OVERLAY.udf()),
        doc: "s with n bytes (those of r) from start on replaced by r.",
        example: Example { sql: "OVERLAY('abcdef' PLACING 'XY' FROM 2 FOR 3)", value: "aXYef" },
    },
    Function {
        name: "SPLIT_PART",
        arguments: "(s, d, n)",
        action: own(|| pieces::SPLIT_PART.udf()),
        doc: "The n-th piece between delimiters, from the end for n < 0; NULL beyond. From the start, a delimiter that begins within the first bytes, as many as it has, is not seen.",
        example: Example { sql: "SPLIT_PART('a,b,c', ',', -1)", value: "c" },
    },
    Function {
        name: "SPLIT",
        arguments: "(s, d)",
        action: own(|| pieces::SPLIT.udf()),
        doc: "The pieces between delimiters as an array.",
        example: Example { sql: "CARDINALITY(SPLIT('a,b,c', ','))", value: "3" },
    },
    Function {
        name: "STRTOK_TO_ARRAY",
        arguments: "(s, delimiters)",
        action: own(|| pieces::STRTOK_TO_ARRAY.udf()),
        doc: "The pieces between characters of a set as an array, without empty ones.",
        example: Example { sql: "CARDINALITY(STRTOK_TO_ARRAY('user@gmail.com', '.@'))", value: "3" },
    },
    Function {
        name: "HASH",
        arguments: "(s)",
        action: own(|| pieces::HASH.udf()),
        doc: "53 bits of cyrb53, seed 0, BIGINT.",
        example: Example { sql: "HASH('a')", value: "7929297801672961" },
    },
    Function {
        name: "LIKE_SETS",
        arguments: "(s, p, e = '\\')",
        action: own(|| like::LIKE.udf()),
        doc: "s LIKE p ESCAPE e: `[abc]` is a set of bytes, `_` one byte. The operator becomes this call where the pattern has `[`.",
        example: Example { sql: "'foo' LIKE '[fb]oo'", value: "true" },
    },
    Function {
        name: "ILIKE_SETS",
        arguments: "(s, p, e = '\\')",
        action: own(|| like::ILIKE.udf()),
        doc: "s ILIKE p ESCAPE e; letters of ASCII only are equal in both cases.",
        example: Example { sql: "'FOO' ILIKE 'f%'", value: "true" },
    },
    Function {
        name: "PG_ILIKE",
        arguments: "(s, p, e = '\\')",
        action: Action::Rewritten("ilike_sets(s, p, e)"),
        doc: "ILIKE.",
        example: Example { sql: "PG_ILIKE('FOO', 'f%')", value: "true" },
    },
    Function {
        name: "STARTSWITH",
        arguments: "(s, p)",
        action: Action::Rewritten("like_sets(s, p || '%')"),
        doc: "LIKE p || '%'; p is a pattern and a literal.",
        example: Example { sql: "STARTSWITH('foobar', 'f_o')", value: "true" },
    },
    Function {
        name: "ENDSWITH",
        arguments: "(s, p)",
        action: Action::Rewritten("like_sets(s, '%' || p)"),
        doc: "LIKE '%' || p; p is a pattern and a literal.",
        example: Example { sql: "ENDSWITH('foobar', 'b%r')", value: "true" },
    },
    Function {
        name: "CONTAINS",
        arguments: "(s, p)",
        action: Action::Rewritten("like_sets(s, '%' || p || '%')"),
        doc: "LIKE '%' || p || '%'; p is a pattern and a literal.",
        example: Example { sql: "CONTAINS('foobar', 'o_a')", value: "true" },
    },
    Function {
        name: "REGEXP_LIKE",
        arguments: "(s, p)",
        action: own(|| regexp::REGEXP_LIKE.udf()),
        doc: "True where a POSIX extended pattern matches the WHOLE text; false for what is no pattern.",
        example: Example { sql: "REGEXP_LIKE('foobar', 'foo')", value: "false" },
    },
    Function {
        name: "REGEXP_REPLACE",
        arguments: "(s, p, r = '', position = 1, occurrence = 0, flags = 'c')",
        action: own(|| regexp::REGEXP_REPLACE.udf()),
        doc: "All matches, or one, replaced; `$1` to `$9` are groups.",
        example: Example { sql: "REGEXP_REPLACE('a1b22', '[0-9]+', '#')", value: "a#b#" },
    },
    Function {
        name: "REGEXP_SUBSTR",
        arguments: "(s, p, position = 1, occurrence = 1, flags = 'c', group = 1)",
        action: own(|| regexp::REGEXP_SUBSTR.udf()),
        doc: "A match, or with the flag e a group of it; NULL without one. Position and occurrence count from the end where negative.",
        example: Example { sql: "REGEXP_SUBSTR('ab12cd345', '[0-9]+', 1, 2)", value: "345" },
    },
    Function {
        name: "REGEXP_MATCH",
        arguments: "(s, p, position = 1, occurrence = 1, flags = 'c', group = 1)",
        action: own(|| regexp::REGEXP_MATCH.udf()),
        doc: "REGEXP_SUBSTR.",
        example: Example { sql: "REGEXP_MATCH('ab12', '[0-9]')", value: "1" },
    },
    Function {
        name: "REGEXP_COUNT",
        arguments: "(s, p, position = 1, flags = 'c')",
        action: own(|| regexp::REGEXP_COUNT.udf()),
        doc: "The number of matches, BIGINT.",
        example: Example { sql: "REGEXP_COUNT('a1b22', '[0-9]')", value: "3" },
    },
    Function {
        name: "BASE64_ENCODE",
        arguments: "(s)",
        action: own(|| encoding::BASE64_ENCODE.udf()),
        doc: "The bytes in base 64.",
        example: Example { sql: "BASE64_ENCODE('foob')", value: "Zm9vYg==" },
    },
    Function {
        name: "BASE64_DECODE",
        arguments: "(s)",
        action: own(|| encoding::BASE64_DECODE.udf()),
        doc: "The text behind base 64.",
        example: Example { sql: "BASE64_DECODE('Zm9vYg==')", value: "foob" },
    },
    Function {
        name: "URL_ENCODE",
        arguments: "(s)",
        action: own(|| encoding::URL_ENCODE.udf()),
        doc: "Letters, digits and `-._~` stay, a blank is `+`, other bytes `%XX`.",
        example: Example { sql: "URL_ENCODE('a b/c')", value: "a+b%2Fc" },
    },
    Function {
        name: "URL_DECODE",
        arguments: "(s)",
        action: own(|| encoding::URL_DECODE.udf()),
        doc: "The text behind URL_ENCODE.",
        example: Example { sql: "URL_DECODE('a+b%2Fc')", value: "a b/c" },
    },
    Function {
        name: "JSON_VALUE",
        arguments: "(s, path)",
        action: own(|| json::JSON_VALUE.udf()),
        doc: "A scalar in a JSON text as text, numbers with a fraction with 6 decimals; else NULL.",
        example: Example { sql: "JSON_VALUE('{\"a\": [1, 2.5]}', '$.a[1]')", value: "2.500000" },
    },
    Function {
        name: "LEVENSHTEIN_DISTANCE",
        arguments: "(a, b)",
        action: own(|| distance::LEVENSHTEIN_DISTANCE.udf()),
        doc: "Insertions, deletions and exchanges of bytes between two texts, BIGINT.",
        example: Example { sql: "LEVENSHTEIN_DISTANCE('kitten', 'sitting')", value: "3" },
    },
    Function {
        name: "JAROWINKLER_SIMILARITY",
        arguments: "(a, b)",
        action: own(|| distance::JAROWINKLER_SIMILARITY.udf()),
        doc: "Similarity of two texts in rounded percent, BIGINT.",
        example: Example { sql: "JAROWINKLER_SIMILARITY('MARTHA', 'MARHTA')", value: "96" },
    },
    Function {
        name: "KEY_FOR_STRING",
        arguments: "(s)",
        action: Action::Refused("the numbers of HeavyDB's dictionaries follow the order in which its server loaded the texts"),
        doc: "Not given.",
        example: Example { sql: "", value: "" },
    },
    Function {
        name: "LLM_TRANSFORM",
        arguments: "(s, prompt)",
        action: Action::Refused("it asks a service outside the database"),
        doc: "Not given.",
        example: Example { sql: "", value: "" },
    },
];

/// `a || b` of texts, for the expression planner: NULL where one is NULL or the result is empty. Other types must be cast before, by
/// the rules of casts to text.
pub fn concat() -> Arc<ScalarUDF> {
    shape::CONCAT.udf()
}

const fn own(make: fn() -> Arc<ScalarUDF>) -> Action {
    Action::Own(Implementation::Scalar(make))
}

const fn renamed(name: &'static str, function: ScalarFunction) -> ScalarFunction {
    ScalarFunction { name, ..function }
}

#[cfg(test)]
mod tests {
    use super::test_call::nulls;
    use super::*;

    #[test]
    fn every_function_bears_its_name_and_of_nulls_makes_null() {
        for function in FUNCTIONS {
            let Action::Own(Implementation::Scalar(make)) = function.action else { continue };
            assert_eq!(make().name(), function.name.to_ascii_lowercase());
            let values = nulls(&make());
            assert!(!values.is_empty() && values.iter().all(|value| value == "NULL"), "{}: {values:?}", function.name);
        }
    }
}
