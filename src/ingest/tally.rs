//! Cells of a column that hold no number, or one that is written in another way than it is stored, counted by kind.

use super::coercion::{CoercionKind, KIND_COUNT};
use super::numbers::{Cell, NumberFormat, notation_remedy};

/// How often something occurs, and where first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Occurrences {
    /// Number of cells.
    pub(crate) count: u64,
    /// Line of the first one; 0 where there is none.
    pub(crate) first_line: u64,
}

impl Occurrences {
    /// Counts `times` more; `line` is that of the first of them.
    pub(crate) fn note(&mut self, line: u64, times: u64) {
        if self.count == 0 {
            self.first_line = line;
        }
        self.count += times;
    }

    /// Counts those of a later part of the file.
    pub(crate) fn append(&mut self, later: Occurrences) {
        if later.count > 0 {
            self.note(later.first_line, later.count);
        }
    }
}

/// What a column holds besides numbers that are stored as they stand. A column of those alone has none of this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Cells that are stored as something else than they say, by kind.
    coerced: [Occurrences; KIND_COUNT],
    /// Cells that are no numbers.
    pub(crate) bad: Occurrences,
    /// Text of the first bad cell.
    pub(crate) bad_text: Box<str>,
    /// Bad cells that would be numbers in another notation.
    pub(crate) other_notation: u64,
}

/// Kinds of cells without a number.
const BLANKS: &[CoercionKind] = &[CoercionKind::EmptyCell, CoercionKind::NullWord];
/// Kinds of infinite cells.
const INFINITIES: &[CoercionKind] = &[CoercionKind::InfinityWord, CoercionKind::Overflow];

impl Tally {
    /// Counts `times` cells of the same text; `line` is that of the first.
    pub(crate) fn note(&mut self, format: NumberFormat, cell: Cell, line: u64, text: &[u8], times: u64) {
        match format.coercion(cell, text) {
            Some(kind) => self.note_coerced(kind, line, times),
            None if cell == Cell::Bad => self.note_bad(line, text, times),
            None => {}
        }
    }

    /// Counts `times` cells of this kind.
    pub(crate) fn note_coerced(&mut self, kind: CoercionKind, line: u64, times: u64) {
        self.coerced[kind as usize].note(line, times);
    }

    /// Takes the cells of a later part of the file.
    pub(crate) fn append(&mut self, later: Tally) {
        self.coerced.iter_mut().zip(later.coerced).for_each(|(mine, theirs)| mine.append(theirs));
        if self.bad.count == 0 {
            self.bad_text = later.bad_text;
        }
        self.bad.append(later.bad);
        self.other_notation += later.other_notation;
    }

    /// All cells with a number are of this kind, whatever they were before: a cell counts once.
    pub(crate) fn replace_numbers_by(&mut self, kind: CoercionKind, seen: Occurrences) {
        const OF_NUMBERS: &[CoercionKind] =
            &[CoercionKind::Underflow, CoercionKind::ThousandsMark, CoercionKind::DecimalComma, CoercionKind::Spaces];
        OF_NUMBERS.iter().for_each(|of_number| self.coerced[*of_number as usize] = Occurrences::default());
        self.coerced[kind as usize] = seen;
    }

    /// Cells of this kind.
    pub(crate) fn coerced(&self, kind: CoercionKind) -> Occurrences {
        self.coerced[kind as usize]
    }

    /// Empty cells and words for NULL.
    pub(crate) fn blanks(&self) -> u64 {
        self.count(BLANKS)
    }

    /// Cells that say NaN.
    pub(crate) fn nans(&self) -> u64 {
        self.count(&[CoercionKind::NanWord])
    }

    /// Infinities, written out or by overflow.
    pub(crate) fn infinities(&self) -> u64 {
        self.count(INFINITIES)
    }

    fn count(&self, kinds: &[CoercionKind]) -> u64 {
        kinds.iter().map(|kind| self.coerced(*kind).count).sum()
    }

    fn note_bad(&mut self, line: u64, text: &[u8], times: u64) {
        let text = String::from_utf8_lossy(text);
        if self.bad.count == 0 {
            self.bad_text = text.as_ref().into();
        }
        self.other_notation += times * u64::from(notation_remedy(&text).is_some());
        self.bad.note(line, times);
    }

    /// Of `rows` cells more are text than number: the column is text, not a numeric column with mistakes in it.
    pub(crate) fn is_text(&self, rows: u64) -> bool {
        let numbers = rows - self.blanks() - self.nans() - self.infinities() - self.bad.count;
        self.bad.count > numbers && self.other_notation * 2 <= self.bad.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(cells: &[&str]) -> Tally {
        let mut tally = Tally::default();
        let format = NumberFormat::default();
        for (row, text) in cells.iter().enumerate() {
            tally.note(format, format.parse(text.as_bytes()), row as u64, text.as_bytes(), 1);
        }
        tally
    }

    #[test]
    fn kinds_are_counted_apart_with_their_first_line() {
        let tally = tally(&["1", "", "NaN", "-inf", "x", "NULL", "inf", "y", "  ", " 2", "1e999", "-1e-999", "0e-999", "3"]);
        for (kind, count, first_line) in [
            (CoercionKind::EmptyCell, 2, 1),
            (CoercionKind::NullWord, 1, 5),
            (CoercionKind::NanWord, 1, 2),
            (CoercionKind::InfinityWord, 2, 3),
            (CoercionKind::Overflow, 1, 10),
            (CoercionKind::Underflow, 1, 11),
            (CoercionKind::Spaces, 1, 9),
        ] {
            assert_eq!(tally.coerced(kind), Occurrences { count, first_line }, "{kind:?}");
        }
        assert_eq!((tally.blanks(), tally.nans(), tally.infinities()), (3, 1, 3));
        assert_eq!(tally.bad, Occurrences { count: 2, first_line: 4 });
        assert_eq!(&*tally.bad_text, "x");
    }

    #[test]
    fn a_column_is_text_when_texts_outnumber_numbers() {
        assert!(tally(&["AAPL", "3", "MSFT"]).is_text(3));
        assert!(!tally(&["1", "abc"]).is_text(2));
        assert!(!tally(&["12%", "13%"]).is_text(2));
        assert!(!tally(&["", "NaN"]).is_text(2));
    }
}
