//! Where in the text of a statement the trouble is, as far as the error tells.

use datafusion::error::DataFusionError;
use datafusion_heavydb::Refusal;

use super::words::in_heavydbs_words;
use crate::error::Position;

/// Texts above this length are not searched for a construct.
const SEARCHED: usize = 1 << 20;

/// Signs of a construct that are looked for: more do not tell its place better.
const COMPARED: usize = 200;

/// What DataFusion puts before its messages.
const LABELS: &[&str] = &[
    "External error: ",
    "Error during planning: ",
    "Schema error: ",
    "Execution error: ",
    "Arrow error: ",
    "SQL error: ParserError(\"",
    "SQL error: TokenizerError(\"",
    "sql parser error: ",
];

/// The place of the trouble in a statement's text.
pub fn place_of(error: &DataFusionError, text: &str) -> Option<Position> {
    if let Some(refusal) = Refusal::of(error) {
        return find(text, &in_heavydbs_words(&refusal.construct));
    }
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start).filter(|start| start.line > 0);
    if let Some(start) = span {
        return Some(Position { line: start.line, column: start.column });
    }
    let message = error.strip_backtrace();
    told(&message).or_else(|| message.contains("found: EOF").then(|| end_of(text))).or_else(|| find(text, quoted(&message)?))
}

/// The message of an error in a line, without the names of its wrappers and without a place, which [`place_of`] tells.
pub fn message_of(error: &DataFusionError) -> String {
    if let Some(refusal) = Refusal::of(error) {
        return in_heavydbs_words(&refusal.to_string());
    }
    let message = error.find_root().strip_backtrace();
    let message = message.rsplit("\ncaused by\n").next().unwrap_or_default();
    let line = message.lines().next().unwrap_or_default().split(" at Line: ").next().unwrap_or_default();
    let plain = LABELS.iter().fold(line, |text, label| text.trim_start_matches(label)).trim_end_matches("\")");
    in_heavydbs_words(plain.trim_end_matches(" at "))
}

/// The parser's `... at Line: 1, Column: 8`.
fn told(message: &str) -> Option<Position> {
    let (line, column) = message.split_once(" at Line: ")?.1.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.trim().parse().ok()?, column: column.parse().ok()? })
}

/// Behind the last sign of a text: something is missing there.
fn end_of(text: &str) -> Position {
    let text = text.trim_end();
    let column = text.lines().last().map_or(0, |line| line.chars().count());
    Position { line: text.lines().count().max(1) as u64, column: column as u64 + 1 }
}

/// The first name in quotes.
fn quoted(message: &str) -> Option<&str> {
    let (name, _) = message.split_once('\'')?.1.split_once('\'')?;
    let name = name.rsplit('.').next()?;
    (!name.is_empty()).then_some(name)
}

/// The place of a construct in a text, whatever its case and blanks; of its first word where the whole is not found.
fn find(text: &str, construct: &str) -> Option<Position> {
    if text.len() > SEARCHED {
        return None;
    }
    let signs =
        |text: &str| -> Vec<char> { text.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).take(COMPARED).collect() };
    let whole = signs(construct);
    let word: Vec<char> = signs(construct.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default());
    let places: Vec<(Position, char)> = placed(text);
    [whole, word].iter().filter(|wanted| !wanted.is_empty()).find_map(|wanted| {
        let fits = |from: &usize| {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let before = from.checked_sub(1).is_some_and(|at| touches(&places, at) && is_word(places[at].1) && is_word(wanted[0]));
            let rest = &places[*from..];
            !before && rest.len() >= wanted.len() && rest.iter().zip(wanted).all(|((_, c), w)| c == w)
        };
        (0..places.len()).find(fits).map(|from| places[from].0)
    })
}

/// Whether nothing lies between a sign and the next.
fn touches(places: &[(Position, char)], at: usize) -> bool {
    let (one, other) = (places[at].0, places[at + 1].0);
    one.line == other.line && one.column + 1 == other.column
}

/// The signs of a text without blanks, in lower case, each with its place.
fn placed(text: &str) -> Vec<(Position, char)> {
    let (mut line, mut column) = (1, 0);
    let mut places = Vec::new();
    for c in text.chars() {
        if c == '\n' {
            (line, column) = (line + 1, 0);
            continue;
        }
        column += 1;
        if !c.is_whitespace() {
            places.extend(c.to_lowercase().map(|c| (Position { line, column }, c)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64, column: u64) -> Option<Position> {
        Some(Position { line, column })
    }

    #[test]
    fn a_construct_is_found_in_any_layout() {
        assert_eq!(find("SELECT my_f(1),\n  F( a,b ) FROM t", "f(a, b)"), at(2, 3));
        assert_eq!(find("SELECT array_agg(x) FROM t", "ARRAY_AGG"), at(1, 8));
        assert_eq!(find("SELECT ARRAY_AGG(x + 1) FROM t", "ARRAY_AGG(CAST(x AS INT))"), at(1, 8));
        assert_eq!(find("SELECT 1", "g(x)"), None);
        assert_eq!(find("SELECT g(", "g(x)"), at(1, 8), "its first word");
        let (text, construct) = (format!("SELECT {}", "a".repeat(1000)), format!("{}b", "a".repeat(300)));
        assert_eq!(find(&text, &construct), at(1, 8), "its start is enough");
        assert_eq!(find("", "g"), None);
    }

    #[test]
    fn places_are_taken_from_messages() {
        let error = DataFusionError::Plan("Expected: ), found: EOF at Line: 3, Column: 12".into());
        assert_eq!(place_of(&error, "x"), at(3, 12));
        assert_eq!(message_of(&error), "Expected: ), found: EOF");
        let error = DataFusionError::Plan("Expected: an expression, found: EOF".into());
        assert_eq!(place_of(&error, "SELECT\n 1 + "), at(2, 5));
        let error = DataFusionError::Plan("table 'tranchedb.public.nope' not found".into());
        assert_eq!(place_of(&error, "SELECT *\nFROM nope"), at(2, 6));
        let error: DataFusionError = Refusal::new("STRING_AGG(x, ',')", "HeavyDB has none").into();
        assert_eq!(place_of(&error, "SELECT string_agg(x, ',') FROM t"), at(1, 8));
    }
}
