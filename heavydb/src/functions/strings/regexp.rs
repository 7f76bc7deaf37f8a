//! The functions of regular expressions.

use std::borrow::Cow;

use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};

use super::pattern::{Pattern, Problem};
use super::pieces::offset;
use super::text::{Kind, ascii, casts, literal_integer, literal_text, map_number, map_text, map_truth, null_text, refuse};
use crate::functions::scalar::{ScalarFunction, of_type};

/// `s REGEXP p`, `REGEXP_LIKE(s, p [, escape])`.
pub(super) const REGEXP_LIKE: ScalarFunction = ScalarFunction {
    name: "regexp_like",
    arguments: |given| casts("regexp_like", given, &[Kind::Text, Kind::Text, Kind::Text], 2),
    result: |_| of_type(DataType::Boolean),
    evaluate: |call| {
        let Some(given) = literal_text(call, "REGEXP_LIKE", 1)? else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)));
        };
        if call.args.len() == 3 && literal_text(call, "REGEXP_LIKE", 2)? != Some("\\") {
            return exec_err!("REGEXP_LIKE: the escape character must be \\");
        }
        match Pattern::try_new(given, false) {
            Ok(pattern) => map_truth(call, |text| Ok(pattern.whole.is_match(checked("REGEXP_LIKE", &pattern, text)?.as_bytes()))),
            Err(Problem::Broken(_)) => map_truth(call, |_| Ok(false)),
            Err(Problem::Unsure(why)) => unsure("REGEXP_LIKE", given, &why),
        }
    },
};

/// `REGEXP_REPLACE(s, p [, r [, position [, occurrence [, flags]]]])`.
pub(super) const REGEXP_REPLACE: ScalarFunction = ScalarFunction {
    name: "regexp_replace",
    arguments: |given| casts("regexp_replace", given, &[Kind::Text, Kind::Text, Kind::Text, Kind::Integer, Kind::Integer, Kind::Text], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        const NAME: &str = "REGEXP_REPLACE";
        let by = text_or(call, NAME, 2, "")?;
        let (position, occurrence) = (integer_or(call, NAME, 3, 1)?, integer_or(call, NAME, 4, 0)?);
        let (Some(by), Some(position), Some(occurrence)) = (by, position, occurrence) else { return Ok(null_text()) };
        let Some(search) = Search::try_new(call, NAME, position, 5, Submatches::None)? else { return Ok(null_text()) };
        let replacement = Replacement::try_new(by, &search.pattern)?;
        map_text(call, |text| search.replace(text, &replacement, occurrence))
    },
};

/// `REGEXP_SUBSTR(s, p [, position [, occurrence [, flags [, group]]]])`.
pub(super) const REGEXP_SUBSTR: ScalarFunction = ScalarFunction {
    name: "regexp_substr",
    arguments: |given| casts("regexp_substr", given, &[Kind::Text, Kind::Text, Kind::Integer, Kind::Integer, Kind::Text, Kind::Integer], 2),
    result: |_| of_type(DataType::Utf8View),
    evaluate: |call| {
        const NAME: &str = "REGEXP_SUBSTR";
        let (position, occurrence) = (integer_or(call, NAME, 2, 1)?, integer_or(call, NAME, 3, 1)?);
        let group = integer_or(call, NAME, 5, 1)?;
        let (Some(position), Some(occurrence), Some(group)) = (position, occurrence, group) else { return Ok(null_text()) };
        let Some(search) = Search::try_new(call, NAME, position, 4, Submatches::Allowed)? else { return Ok(null_text()) };
        if search.submatch && occurrence < 0 {
            return refuse("REGEXP_SUBSTR", "a group of an occurrence that counts from the end: HeavyDB looks it up in no match");
        }
        let group = search.submatch.then(|| group_of(group, search.pattern.groups));
        map_text(call, |text| search.piece(text, occurrence, group))
    },
};

/// `REGEXP_MATCH`, another name of `REGEXP_SUBSTR`.
pub(super) const REGEXP_MATCH: ScalarFunction = ScalarFunction { name: "regexp_match", ..REGEXP_SUBSTR };

/// `REGEXP_COUNT(s, p [, position [, flags]])`.
pub(super) const REGEXP_COUNT: ScalarFunction = ScalarFunction {
    name: "regexp_count",
    arguments: |given| casts("regexp_count", given, &[Kind::Text, Kind::Text, Kind::Integer, Kind::Text], 2),
    result: |_| of_type(DataType::Int64),
    evaluate: |call| {
        let null = ColumnarValue::Scalar(ScalarValue::Int64(None));
        let Some(position) = integer_or(call, "REGEXP_COUNT", 2, 1)? else { return Ok(null) };
        let Some(search) = Search::try_new(call, "REGEXP_COUNT", position, 3, Submatches::Ignored)? else { return Ok(null) };
        map_number::<Int64Type>(call, |text| Ok(i64::try_from(search.matches(text, Restart::Goes, usize::MAX)?.len()).ok()))
    },
};

fn unsure<T>(name: &str, pattern: &str, why: &str) -> Result<T> {
    refuse(name, format!("what the pattern {pattern:?} means in HeavyDB's POSIX extended syntax is not sure: {why}"))
}

/// A text in which the pattern means the same for bytes and characters.
fn checked<'a>(name: &str, pattern: &Pattern, text: &'a str) -> Result<&'a str> {
    if pattern.counts_bytes { ascii(name, text) } else { Ok(text) }
}

fn text_or<'a>(call: &'a ScalarFunctionArgs, name: &str, index: usize, missing: &'a str) -> Result<Option<&'a str>> {
    if index < call.args.len() { literal_text(call, name, index) } else { Ok(Some(missing)) }
}

fn integer_or(call: &ScalarFunctionArgs, name: &str, index: usize, missing: i64) -> Result<Option<i64>> {
    if index < call.args.len() { literal_integer(call, name, index) } else { Ok(Some(missing)) }
}

/// The number of a group, from 0; `None` for one that the pattern lacks.
fn group_of(given: i64, groups: usize) -> Option<usize> {
    let from_zero = match given {
        1.. => given - 1,
        0 => 0,
        _ => i64::try_from(groups).ok()?.checked_add(given)?,
    };
    usize::try_from(from_zero).ok().filter(|group| *group < groups)
}

/// What the flag `e` is to a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Submatches {
    None,
    Ignored,
    Allowed,
}

/// Whether `^` matches again where the last match ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    Begins,
    Goes,
}

/// A search for matches in the pieces of a text from a position on.
struct Search<'a> {
    name: &'a str,
    pattern: Pattern,
    position: i64,
    submatch: bool,
}

impl<'a> Search<'a> {
    /// Reads pattern (argument 2) and flags.
    ///
    /// # Errors
    /// A pattern that is none, unknown flags. Refused are patterns whose matches are not sure, among them alternatives, and patterns
    /// that match the empty text.
    fn try_new(call: &ScalarFunctionArgs, name: &'a str, position: i64, flags: usize, submatches: Submatches) -> Result<Option<Self>> {
        let (Some(given), Some(flags)) = (literal_text(call, name, 1)?, text_or(call, name, flags, "c")?) else { return Ok(None) };
        let (insensitive, submatch) = read_flags(name, flags, submatches)?;
        let pattern = match Pattern::try_new(given, insensitive) {
            Ok(pattern) => pattern,
            Err(Problem::Broken(why)) => return exec_err!("{name}: {given:?} is no regular expression: {why}"),
            Err(Problem::Unsure(why)) => return unsure(name, given, &why),
        };
        if pattern.alternation {
            return unsure(name, given, "alternatives, of which POSIX takes the longest");
        }
        if pattern.whole.is_match(b"") {
            return unsure(name, given, "it matches the empty text");
        }
        if submatch && pattern.group_repeats {
            return unsure(name, given, "a group repeats, and which repetition it keeps is not sure");
        }
        Ok(Some(Self { name, pattern, position, submatch }))
    }

    /// The text from the position on, with its offset.
    fn rest<'t>(&self, text: &'t str) -> Result<(usize, &'t str)> {
        checked(self.name, &self.pattern, text)?;
        let from = offset(text, self.position).unwrap_or(0);
        let line_ends = (self.pattern.at_start || self.pattern.at_end) && text.contains(['\n', '\r', '\x0c']);
        match text.get(from..) {
            Some(_) if line_ends => refuse(self.name, format!("^ and $ in a text of several lines are refused: {text:?}")),
            Some(rest) => Ok((from, rest)),
            None => refuse(self.name, format!("byte {} of {text:?} lies within a character (rule D31)", from + 1)),
        }
    }

    /// The first matches, at most `most`, as bounds in bytes of the whole text.
    fn matches(&self, text: &str, restart: Restart, most: usize) -> Result<Vec<(usize, usize)>> {
        let (mut from, _) = self.rest(text)?;
        let mut found = Vec::new();
        while found.len() < most {
            let rest = text.as_bytes().get(from..).unwrap_or_default();
            let Some((start, end)) = self.longest(rest) else { break };
            found.push((from + start, from + end));
            from += end;
            if restart == Restart::Goes && self.pattern.at_start {
                break;
            }
        }
        Ok(found)
    }

    /// The longest of the leftmost matches.
    fn longest(&self, text: &[u8]) -> Option<(usize, usize)> {
        let greedy = self.pattern.search.find(text)?;
        if self.pattern.greedy_may_be_short && !self.pattern.at_end {
            let longer = |end: &usize| text.get(greedy.start()..*end).is_some_and(|piece| self.pattern.whole.is_match(piece));
            let end = (greedy.end() + 1..=text.len()).rev().find(longer);
            return Some((greedy.start(), end.unwrap_or(greedy.end())));
        }
        Some((greedy.start(), greedy.end()))
    }

    /// The match of that number: from 1 or, as 0 too, the first; from the end where it is negative.
    fn occurrence(&self, text: &str, number: i64) -> Result<Option<(usize, usize)>> {
        let wanted = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
        if number >= 0 {
            let wanted = wanted.max(1);
            let found = self.matches(text, Restart::Begins, wanted)?;
            return Ok(found.get(wanted - 1).copied());
        }
        let found = self.matches(text, Restart::Begins, usize::MAX)?;
        Ok(found.len().checked_sub(wanted).and_then(|at| found.get(at).copied()))
    }

    fn slice<'t>(&self, text: &'t str, from: usize, to: usize) -> Result<&'t str> {
        match text.get(from..to) {
            Some(piece) => Ok(piece),
            None => refuse(self.name, format!("a match in {text:?} ends within a character (rule D31)")),
        }
    }

    fn piece<'t>(&self, text: &'t str, occurrence: i64, group: Option<Option<usize>>) -> Result<Option<Cow<'t, str>>> {
        let Some((from, to)) = self.occurrence(text, occurrence)? else { return Ok(None) };
        match group {
            None => Ok(Some(self.slice(text, from, to)?.into())),
            Some(None) => Ok(None),
            Some(Some(group)) => {
                let bounds = self.groups(text, from, to)?;
                let Some((start, end)) = bounds.get(group + 1).copied() else { return Ok(None) };
                Ok(Some(self.slice(text, start, end)?.into()))
            }
        }
    }

    /// The bounds of a match and of its groups.
    fn groups(&self, text: &str, from: usize, to: usize) -> Result<Vec<(usize, usize)>> {
        let piece = text.as_bytes().get(from..to).unwrap_or_default();
        let captures = self.pattern.search.captures(piece).filter(|found| found.get(0).is_some_and(|all| all.len() == piece.len()));
        match captures {
            Some(found) => Ok(found.iter().map(|group| group.map_or((from, from), |at| (from + at.start(), from + at.end()))).collect()),
            None => refuse(self.name, format!("the groups of the longest match in {text:?} are not sure")),
        }
    }

    fn replace<'t>(&self, text: &'t str, replacement: &Replacement, occurrence: i64) -> Result<Option<Cow<'t, str>>> {
        let found = match occurrence {
            0 => self.matches(text, Restart::Goes, usize::MAX)?,
            _ => self.occurrence(text, occurrence)?.into_iter().collect(),
        };
        if found.is_empty() {
            return Ok(Some(text.into()));
        }
        let mut replaced = String::with_capacity(text.len());
        let mut kept = 0;
        for (from, to) in found {
            replaced.push_str(self.slice(text, kept, from)?);
            replacement.write(self, text, (from, to), &mut replaced)?;
            kept = to;
        }
        replaced.push_str(self.slice(text, kept, text.len())?);
        Ok(Some(replaced.into()))
    }
}

/// The flags: `c` or `i`, one of them, and `e` where groups are known. Gives "without regard to case", "a group is wanted".
fn read_flags(name: &str, flags: &str, submatches: Submatches) -> Result<(bool, bool)> {
    if let Some(unknown) = flags.chars().find(|flag| !"cie".contains(*flag)) {
        return exec_err!("{name}: unknown flag {unknown:?} in {flags:?}; known are c and i, and e for a group");
    }
    if flags.contains('e') && submatches == Submatches::None {
        return exec_err!("{name} does not know the flag e");
    }
    if flags.contains('c') == flags.contains('i') {
        return exec_err!("{name}: the flags {flags:?} must name one of c (case counts) and i (it does not)");
    }
    Ok((flags.contains('i'), flags.contains('e') && submatches == Submatches::Allowed))
}

/// A replacement: texts and groups.
struct Replacement {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads `$1` to `$9`.
    ///
    /// # Errors
    /// Refuses every other `$`, `\`, and groups that the pattern lacks or repeats.
    fn try_new(text: &str, pattern: &Pattern) -> Result<Self> {
        let refused = || {
            refuse(
                "REGEXP_REPLACE",
                format!(
                    "in the replacement {text:?}, $ and \\ are refused except as $1 to $9 for a group of the pattern that does not repeat"
                ),
            )
        };
        let mut parts = Vec::new();
        let mut pieces = text.split('$');
        parts.extend(pieces.next().map(|piece| Part::Text(piece.to_string())));
        for piece in pieces {
            let mut letters = piece.chars();
            let group = letters.next().and_then(|letter| letter.to_digit(10)).map_or(0, |digit| digit as usize);
            let followed = letters.as_str().starts_with(|letter: char| letter.is_ascii_digit());
            if !(1..=pattern.groups).contains(&group) || followed || pattern.group_repeats {
                return refused();
            }
            parts.extend([Part::Group(group), Part::Text(letters.as_str().to_string())]);
        }
        if text.contains('\\') { refused() } else { Ok(Self { parts }) }
    }

    fn write(&self, search: &Search<'_>, text: &str, found: (usize, usize), into: &mut String) -> Result<()> {
        let groups = match self.parts.iter().any(|part| matches!(part, Part::Group(_))) {
            true => search.groups(text, found.0, found.1)?,
            false => Vec::new(),
        };
        for part in &self.parts {
            match part {
                Part::Text(text) => into.push_str(text),
                Part::Group(group) => {
                    let (from, to) = groups.get(*group).copied().unwrap_or((0, 0));
                    into.push_str(search.slice(text, from, to)?);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_call::{constant, integer, row, text};
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text_or_is_false() {
        let like = |value: &str, pattern: &str| constant(REGEXP_LIKE, &[text(value), text(pattern)]);
        assert_eq!(like("foobar", "foo"), "false");
        assert_eq!(like("foobar", "foo.*"), "true");
        assert_eq!(like("foobar", "(foo|foobar)"), "true");
        assert_eq!(like("foobar", "foo(bar"), "false");
        assert_eq!(like("FOO", "foo"), "false");
        assert_eq!(like("é.x", ".*x"), "true");
        assert!(like("é", ".").contains("D31"));
        assert!(like("a", r"(a)\1").contains("is not given"));
        assert_eq!(constant(REGEXP_LIKE, &[ScalarValue::Null, text("a")]), "NULL");
        assert_eq!(row(REGEXP_LIKE, &[Some("foo"), None, Some("bar")], &[text("f.*")]), ["true", "NULL", "false"]);
    }

    #[test]
    fn replacements_take_all_matches_or_one() {
        let replace = |args: &[ScalarValue]| constant(REGEXP_REPLACE, args);
        assert_eq!(replace(&[text("a1b22"), text("[0-9]+"), text("#")]), "a#b#");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]+")]), "ab");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]+"), text("#"), integer(3)]), "a1b#");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]"), text("#"), integer(1), integer(2)]), "a1b#2");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]"), text("#"), integer(1), integer(-1)]), "a1b2#");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]"), text("#"), integer(-1), integer(0)]), "a1b2#");
        assert_eq!(replace(&[text("a1b22"), text("[0-9]"), text("#"), integer(1), integer(9)]), "a1b22");
        assert_eq!(replace(&[text("aAa"), text("A"), text("x"), integer(1), integer(0), text("i")]), "xxx");
        assert_eq!(replace(&[text("John Smith"), text("([a-zA-Z]+) ([a-zA-Z]+)"), text("$2, $1")]), "Smith, John");
        assert_eq!(replace(&[text("12"), text("[0-9]+")]), "NULL");
        assert_eq!(replace(&[text("aaa"), text("^a"), text("x")]), "xaa");
        assert_eq!(replace(&[text("aaa"), text("a$"), text("x")]), "aax");
        assert_eq!(replace(&[text("aaa"), ScalarValue::Null, text("x")]), "NULL");
    }

    #[test]
    fn pieces_count_from_both_ends() {
        let piece = |args: &[ScalarValue]| constant(REGEXP_SUBSTR, args);
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+")]), "12");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(1), integer(2)]), "345");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(4)]), "2");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(1), integer(-1)]), "345");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(-2), integer(1)]), "45");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(1), integer(3)]), "NULL");
        assert_eq!(piece(&[text("ab12cd345"), text("[0-9]+"), integer(1), integer(-3)]), "NULL");
        assert_eq!(piece(&[text("ab12"), text("([a-z]+)([0-9]+)"), integer(1), integer(1), text("ce"), integer(2)]), "12");
        assert_eq!(piece(&[text("ab12"), text("([a-z]+)([0-9]+)"), integer(1), integer(1), text("ie"), integer(-2)]), "ab");
        assert_eq!(piece(&[text("ab12"), text("([a-z]+)([0-9]+)"), integer(1), integer(1), text("ce"), integer(3)]), "NULL");
        assert_eq!(piece(&[text("aaa"), text("^a"), integer(1), integer(2)]), "a");
        assert!(piece(&[text("ab"), text("(a)"), integer(1), integer(-1), text("ce")]).contains("is not given"));
        assert_eq!(constant(REGEXP_MATCH, &[text("ab12"), text("[0-9]")]), "1");
    }

    #[test]
    fn the_longest_match_is_taken() {
        assert_eq!(constant(REGEXP_SUBSTR, &[text("xabx"), text("a?(ab)?x")]), "x");
        assert_eq!(constant(REGEXP_SUBSTR, &[text("ab-"), text("a?b?[ab]?(ab)?-?[a-]")]), "ab-");
        assert_eq!(constant(REGEXP_SUBSTR, &[text("abcbc"), text("ab?(bc)?(bc)?")]), "abcbc");
        assert_eq!(constant(REGEXP_COUNT, &[text("abab"), text("a?b?(ab)?(ba)?[ab]")]), "1");
    }

    #[test]
    fn counts_are_zero_without_a_match() {
        assert_eq!(constant(REGEXP_COUNT, &[text("a1b22"), text("[0-9]")]), "3");
        assert_eq!(constant(REGEXP_COUNT, &[text("a1b22"), text("[0-9]"), integer(3), text("c")]), "2");
        assert_eq!(constant(REGEXP_COUNT, &[text("aAa"), text("a"), integer(1), text("i")]), "3");
        assert_eq!(constant(REGEXP_COUNT, &[text("aaa"), text("^a")]), "1");
        assert_eq!(constant(REGEXP_COUNT, &[text("abc"), text("x")]), "0");
        assert_eq!(constant(REGEXP_COUNT, &[text(""), text("x")]), "NULL");
        assert_eq!(constant(REGEXP_COUNT, &[text("abc"), text("x"), integer(i64::MIN)]), "0");
    }

    #[test]
    fn what_is_not_sure_is_refused() {
        let replace = |pattern: &str, by: &str| constant(REGEXP_REPLACE, &[text("ab"), text(pattern), text(by)]);
        for (pattern, by) in
            [("a|b", "x"), ("a*", "x"), ("(a)", "$2"), ("(a)", "$11"), ("(a)", "$&"), ("(a)", "\\1"), ("(a)+", "$1"), ("a", "$")]
        {
            assert!(replace(pattern, by).contains("is not given"), "{pattern} {by}: {}", replace(pattern, by));
        }
        assert!(replace("(a", "x").contains("no regular expression"));
        let flags = |flags: &str| constant(REGEXP_COUNT, &[text("ab"), text("a"), integer(1), text(flags)]);
        assert!(flags("x").contains("unknown flag"));
        assert!(flags("").contains("one of c"));
        assert!(flags("ci").contains("one of c"));
        assert_eq!(flags("ce"), "1");
        assert!(constant(REGEXP_SUBSTR, &[text("a\nb"), text("^b")]).contains("several lines"));
        assert!(constant(REGEXP_SUBSTR, &[text("éa"), text("a"), integer(2)]).contains("within a character"));
    }
}
