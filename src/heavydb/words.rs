//! DataFusion's messages in HeavyDB's words: types and literals as a user of the dialect writes them.

/// DataFusion's types, and HeavyDB's.
const TYPES: &[(&str, &str)] = &[
    ("Utf8", "TEXT"),
    ("Utf8View", "TEXT"),
    ("LargeUtf8", "TEXT"),
    ("Boolean", "BOOLEAN"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INTEGER"),
    ("Int64", "BIGINT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Decimal128", "DECIMAL"),
    ("Date32", "DATE"),
    ("Time32(s)", "TIME"),
    ("Timestamp(s)", "TIMESTAMP(0)"),
    ("Timestamp(ms)", "TIMESTAMP(3)"),
    ("Timestamp(µs)", "TIMESTAMP(6)"),
    ("Timestamp(ns)", "TIMESTAMP(9)"),
];

/// What says nothing to whoever wrote the query: the text up to the first part gives way to what follows it, that from the second on goes.
const AROUND: (&str, &str) =
    (" user-defined coercion failed with: Error during planning: ", " No function matches the given name and argument types");

/// A message or a construct in HeavyDB's words.
pub(super) fn in_heavydbs_words(message: &str) -> String {
    let message = message.split_once(AROUND.0).map_or(message, |(_, rest)| rest);
    let mut rest = message.split_once(AROUND.1).map_or(message, |(start, _)| start);
    let mut words = String::with_capacity(rest.len());
    while !rest.is_empty() {
        let length = rest.find(|c: char| !is_of_word(c)).unwrap_or(rest.len());
        let (taken, word) = match length {
            0 => {
                let length = rest.chars().next().map_or(rest.len(), char::len_utf8);
                (length, rest[..length].to_owned())
            }
            _ => literal(rest, length).or_else(|| type_name(rest, length)).unwrap_or_else(|| (length, rest[..length].to_owned())),
        };
        words.push_str(&word);
        rest = &rest[taken..];
    }
    words
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `Int32(1)` is `1`, `Utf8("a")` is `'a'`: the bytes taken, and the literal.
fn literal(text: &str, length: usize) -> Option<(usize, String)> {
    TYPES.iter().find(|(name, _)| *name == &text[..length])?;
    let inner = text[length..].strip_prefix('(')?;
    let (value, end) = match inner.strip_prefix('"') {
        Some(quoted) => (format!("'{}'", quoted.split_once("\")")?.0), quoted.find("\")")? + 3),
        None => (inner.split_once(')')?.0.to_owned(), inner.find(')')? + 1),
    };
    let is_plain = inner.starts_with('"') || value.parse::<f64>().is_ok() || matches!(value.as_str(), "NULL" | "true" | "false");
    is_plain.then(|| (length + 1 + end, value))
}

fn type_name(text: &str, length: usize) -> Option<(usize, String)> {
    let named = |(name, heavy): &(&str, &str)| {
        let is_it = text.starts_with(name) && (name.len() == length || name.len() > length && name.ends_with(')'));
        is_it.then(|| (name.len(), (*heavy).to_owned()))
    };
    TYPES.iter().find_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_literals_are_those_of_the_dialect() {
        let cases = [
            ("t.i + Utf8(\"a (b)\") is not given", "t.i + 'a (b)' is not given"),
            ("t.d % Int32(-2), Float64(NULL)", "t.d % -2, NULL"),
            ("a condition is BOOLEAN, not Int32", "a condition is BOOLEAN, not INTEGER"),
            ("not Timestamp(s) or Utf8View; Decimal128(10, 2)", "not TIMESTAMP(0) or TEXT; DECIMAL(10, 2)"),
            ("column Int32x and my_Int32 stay, größer auch", "column Int32x and my_Int32 stay, größer auch"),
            ("Utf8(", "TEXT("),
            (
                "Function 'sum' user-defined coercion failed with: Error during planning: SUM takes a number, not Utf8View. No function matches the given name and argument types 'sum(Utf8View)'. You",
                "SUM takes a number, not TEXT.",
            ),
        ];
        for (given, wanted) in cases {
            assert_eq!(in_heavydbs_words(given), wanted);
        }
    }
}
