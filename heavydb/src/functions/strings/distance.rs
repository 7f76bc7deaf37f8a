//! How far two texts are apart, in bytes.

use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::text::{Kind, build_number, casts, refuse, texts};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `LEVENSHTEIN_DISTANCE(a, b)`.
pub(super) const LEVENSHTEIN_DISTANCE: ScalarFunction = ScalarFunction {
    name: "levenshtein_distance",
    arguments: |given| casts("levenshtein_distance", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Int64),
    evaluate: |call| pairs(call, "LEVENSHTEIN_DISTANCE", levenshtein),
};

/// `JAROWINKLER_SIMILARITY(a, b)`.
pub(super) const JAROWINKLER_SIMILARITY: ScalarFunction = ScalarFunction {
    name: "jarowinkler_similarity",
    arguments: |given| casts("jarowinkler_similarity", given, &[Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Int64),
    evaluate: |call| pairs(call, "JAROWINKLER_SIMILARITY", |a, b| (100.0 * jaro_winkler(a, b)).round() as i64),
};

/// A number for each pair; NULL and an empty text give NULL.
///
/// # Errors
/// Refuses an empty literal beside a column or another text: HeavyDB takes it for a text there.
fn pairs(call: &ScalarFunctionArgs, name: &str, distance: fn(&[u8], &[u8]) -> i64) -> Result<ColumnarValue> {
    let (left, right) = (texts(call, 0)?, texts(call, 1)?);
    let empty_literal = |side: &super::text::Texts<'_>| side.is_constant() && side.at(0) == Some("");
    if empty_literal(&right) && left.at(0) != Some("") || empty_literal(&left) && !right.is_constant() {
        return refuse(name, "an argument is an empty literal");
    }
    build_number::<Int64Type>(call, left.is_constant() && right.is_constant(), |row| match (left.at(row), right.at(row)) {
        (Some(a), Some(b)) if !a.is_empty() && !b.is_empty() => Ok(Some(distance(a.as_bytes(), b.as_bytes()))),
        _ => Ok(None),
    })
}

/// Insertions, deletions and exchanges that make one text the other (Levenshtein 1966); two rows of the table in memory.
fn levenshtein(a: &[u8], b: &[u8]) -> i64 {
    let mut above: Vec<i64> = (0..).take(b.len() + 1).collect();
    for (row, x) in (1..).zip(a) {
        let mut diagonal = std::mem::replace(&mut above[0], row);
        let mut left = row;
        for (cell, y) in above.iter_mut().skip(1).zip(b) {
            let value = (diagonal + i64::from(x != y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, value);
            left = value;
        }
    }
    above.last().copied().unwrap_or(0)
}

/// Jaro's similarity, raised for a common start (Winkler 1990): 0.1 a byte, at most four.
fn jaro_winkler(a: &[u8], b: &[u8]) -> f64 {
    let jaro = jaro(a, b);
    let prefix = a.iter().zip(b).take(4).take_while(|(x, y)| x == y).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

fn jaro(a: &[u8], b: &[u8]) -> f64 {
    // One less than half the longer text; with one byte each it is -1, and nothing matches.
    let reach = a.len().max(b.len()) / 2;
    let mut taken = vec![false; b.len()];
    let mut matched = Vec::new();
    for (i, x) in a.iter().enumerate() {
        let window = (i + 1).saturating_sub(reach)..(i + reach).min(b.len());
        let found = b.iter().zip(&taken).enumerate().take(window.end).skip(window.start).find(|(_, (y, taken))| *y == x && !**taken);
        if let Some(j) = found.map(|(j, _)| j) {
            taken[j] = true;
            matched.push(*x);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let counterparts = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(y, _)| y);
    let transposed = matched.iter().zip(counterparts).filter(|(x, y)| x != y).count() as f64;
    let matches = matched.len() as f64;
    (matches / a.len() as f64 + matches / b.len() as f64 + (matches - transposed / 2.0) / matches) / 3.0
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, row, text};
    use super::*;
    use datafusion::common::ScalarValue;

    #[test]
    fn levenshtein_counts_changes() {
        for (a, b, wanted) in [("kitten", "sitting", "3"), ("a", "a", "0"), ("abc", "b", "2"), ("é", "e", "2"), ("flaw", "lawn", "2")] {
            assert_eq!(constant(LEVENSHTEIN_DISTANCE, &[text(a), text(b)]), wanted);
            assert_eq!(constant(LEVENSHTEIN_DISTANCE, &[text(b), text(a)]), wanted);
        }
    }

    #[test]
    fn jaro_winkler_is_a_rounded_percentage() {
        // Winkler's examples.
        for (a, b, wanted) in
            [("MARTHA", "MARHTA", "96"), ("DIXON", "DICKSONX", "81"), ("DWAYNE", "DUANE", "84"), ("abc", "xyz", "0"), ("abc", "abc", "100")]
        {
            assert_eq!(constant(JAROWINKLER_SIMILARITY, &[text(a), text(b)]), wanted, "{a} {b}");
        }
        assert_eq!(constant(JAROWINKLER_SIMILARITY, &[text("a"), text("a")]), "10", "one byte has no reach in HeavyDB, only a prefix");
    }

    #[test]
    fn empty_texts_and_nulls_are_null() {
        for function in [LEVENSHTEIN_DISTANCE, JAROWINKLER_SIMILARITY] {
            assert_eq!(constant(function, &[text(""), text("a")]), "NULL");
            assert_eq!(constant(function, &[text(""), text("")]), "NULL");
            assert_eq!(constant(function, &[ScalarValue::Null, text("a")]), "NULL");
            assert!(constant(function, &[text("a"), text("")]).contains("is not given"));
            assert_eq!(row(function, &[None, Some("")], &[text("a")]), ["NULL", "NULL"]);
        }
    }
}
