//! Cells that are stored as something else than they say, counted by kind: nothing is coerced in silence.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::report::{IssueCode, Severity, grouped};
use super::tally::{Occurrences, Tally};

/// How a cell's text differs from what is stored. A cell is counted once, under the kind that changes it most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CoercionKind {
    /// Nothing, or spaces alone: NULL.
    EmptyCell,
    /// A word for NULL, such as NA: NULL.
    NullWord,
    /// The word NaN: NULL.
    NanWord,
    /// A word for infinity: NULL.
    InfinityWord,
    /// A number too large for a 64-bit float: NULL.
    Overflow,
    /// A number that is not zero and too small for a 64-bit float: zero.
    Underflow,
    /// A number with marks between its thousands, read because it was asked for.
    ThousandsMark,
    /// A number with a decimal comma, read because it was asked for.
    DecimalComma,
    /// A number, date or time with spaces around it.
    Spaces,
    /// A percentage, stored as a fraction.
    Percent,
    /// A date with the time midnight after it: the date alone.
    MidnightTime,
    /// A line without anything on it: skipped.
    BlankLine,
}

/// What the report says about one kind.
pub(crate) struct KindText {
    kind: CoercionKind,
    /// What is counted.
    cells: &'static str,
    /// What it became.
    became: &'static str,
    /// Issue that records it by column.
    pub(crate) issue: IssueCode,
    /// How much that issue matters.
    pub(crate) severity: Severity,
}

/// Every kind, in the order of [`CoercionKind`].
#[rustfmt::skip]
const KINDS: &[KindText] = &[
    KindText { kind: CoercionKind::EmptyCell, cells: "empty", became: "NULL", issue: IssueCode::NullToken, severity: Severity::Info },
    KindText { kind: CoercionKind::NullWord, cells: "words for NULL", became: "NULL", issue: IssueCode::NullToken, severity: Severity::Info },
    KindText { kind: CoercionKind::NanWord, cells: "NaN", became: "NULL", issue: IssueCode::NanToken, severity: Severity::Warning },
    KindText { kind: CoercionKind::InfinityWord, cells: "infinite", became: "NULL", issue: IssueCode::InfToken, severity: Severity::Warning },
    KindText { kind: CoercionKind::Overflow, cells: "too large for a 64-bit float", became: "NULL", issue: IssueCode::InfToken, severity: Severity::Warning },
    KindText { kind: CoercionKind::Underflow, cells: "too small for a 64-bit float", became: "0", issue: IssueCode::CoercedTextNumber, severity: Severity::Warning },
    KindText { kind: CoercionKind::ThousandsMark, cells: "with marks between thousands", became: "the number without them", issue: IssueCode::CoercedTextNumber, severity: Severity::Info },
    KindText { kind: CoercionKind::DecimalComma, cells: "with a decimal comma", became: "the number with a point", issue: IssueCode::CoercedTextNumber, severity: Severity::Info },
    KindText { kind: CoercionKind::Spaces, cells: "with spaces around the value", became: "the value without them", issue: IssueCode::CoercedTextNumber, severity: Severity::Info },
    KindText { kind: CoercionKind::Percent, cells: "percentages", became: "fractions, divided by 100", issue: IssueCode::CoercedTextNumber, severity: Severity::Info },
    KindText { kind: CoercionKind::MidnightTime, cells: "dates with the time 00:00", became: "the date alone", issue: IssueCode::CoercedTextNumber, severity: Severity::Info },
    KindText { kind: CoercionKind::BlankLine, cells: "blank lines", became: "skipped", issue: IssueCode::NullToken, severity: Severity::Info },
];

/// Number of kinds.
pub(crate) const KIND_COUNT: usize = KINDS.len();

impl CoercionKind {
    /// Every kind in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|text| text.kind)
    }

    /// What the report says about this kind.
    pub(crate) fn text(self) -> &'static KindText {
        &KINDS[self as usize]
    }

    /// What was done, as an issue says it.
    pub(crate) fn action(self) -> String {
        let KindText { cells, became, .. } = self.text();
        let verb = if *became == "skipped" { "" } else { "stored as " };
        format!("{cells}: {verb}{became}")
    }
}

/// All cells of one kind in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coercion {
    /// How the text differs from what is stored.
    pub kind: CoercionKind,
    /// Cells; lines for blank lines. Context cells of long files count once per period.
    pub count: u64,
    /// Columns in which they stand; 0 for blank lines.
    pub columns: u64,
    /// Line of the first one, where it is known.
    pub first_line: Option<u64>,
    /// Column of the first one.
    pub first_column: Option<String>,
    /// What is stored instead.
    pub became: &'static str,
}

impl fmt::Display for Coercion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", grouped(self.count), self.kind.text().cells)?;
        match &self.first_column {
            Some(first) if self.columns == 1 => write!(f, " in '{first}'")?,
            Some(first) => write!(f, " in {} columns, first '{first}'", grouped(self.columns))?,
            None => {}
        }
        if let Some(line) = self.first_line {
            write!(f, ", line {line}")?;
        }
        write!(f, " -> {}", self.became)
    }
}

/// Coercions of a file as they are found, column by column.
#[derive(Debug, Default)]
pub(crate) struct Coercions(BTreeMap<CoercionKind, Coercion>);

impl Coercions {
    /// Adds what was counted in one column.
    pub(crate) fn add_column(&mut self, column: &str, tally: &Tally) {
        for kind in CoercionKind::all() {
            let seen = tally.coerced(kind);
            if seen.count > 0 {
                self.add(kind, seen, Some(column));
            }
        }
    }

    /// Adds occurrences of one kind, of a column or of the whole file.
    pub(crate) fn add(&mut self, kind: CoercionKind, seen: Occurrences, column: Option<&str>) {
        let new = Coercion { kind, count: 0, columns: 0, first_line: None, first_column: None, became: kind.text().became };
        let all = self.0.entry(kind).or_insert(new);
        all.count += seen.count;
        all.columns += u64::from(column.is_some());
        let earlier = seen.first_line > 0 && all.first_line.is_none_or(|line| seen.first_line < line);
        if earlier || all.first_column.is_none() {
            all.first_column = column.map(str::to_owned);
            all.first_line = (seen.first_line > 0).then_some(seen.first_line);
        }
    }

    /// One entry per kind that occurred.
    pub(crate) fn into_list(self) -> Vec<Coercion> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_kinds_is_in_the_order_of_the_kinds() {
        assert!(KINDS.iter().enumerate().all(|(at, text)| text.kind as usize == at));
        assert_eq!(CoercionKind::BlankLine as usize + 1, KIND_COUNT);
    }

    #[test]
    fn the_earliest_line_names_the_column() {
        let mut found = Coercions::default();
        found.add(CoercionKind::NullWord, Occurrences { count: 2, first_line: 9 }, Some("a"));
        found.add(CoercionKind::NullWord, Occurrences { count: 1, first_line: 3 }, Some("b"));
        let list = found.into_list();
        assert_eq!(list[0].to_string(), "3 words for NULL in 2 columns, first 'b', line 3 -> NULL");
    }
}
