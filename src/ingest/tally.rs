//! Cells of a numeric column that hold no number, counted by kind.

use super::numbers::{Cell, notation_remedy};

/// How often something occurs, and where first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Occurrences {
    /// Number of cells.
    pub(crate) count: u64,
    /// Line of the first one; 0 where there is none.
    pub(crate) first_line: u64,
}

impl Occurrences {
    fn note(&mut self, line: u64, times: u64) {
        if self.count == 0 {
            self.first_line = line;
        }
        self.count += times;
    }
}

/// What a column holds besides numbers. A column of numbers alone has none of this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Empty cells and words for NULL.
    pub(crate) blank: Occurrences,
    /// Cells that say NaN.
    pub(crate) nan: Occurrences,
    /// Infinities, written out or by overflow.
    pub(crate) infinite: Occurrences,
    /// Anything else.
    pub(crate) bad: Occurrences,
    /// Text of the first bad cell.
    pub(crate) bad_text: Box<str>,
    /// Bad cells that would be numbers in another notation.
    pub(crate) other_notation: u64,
}

impl Tally {
    /// Counts `times` cells that are no number; `line` is that of the first.
    pub(crate) fn note(&mut self, cell: Cell, line: u64, text: &[u8], times: u64) {
        match cell {
            Cell::Number(_) => {}
            Cell::Blank => self.blank.note(line, times),
            Cell::NotANumber => self.nan.note(line, times),
            Cell::Infinite => self.infinite.note(line, times),
            Cell::Bad => self.note_bad(line, text, times),
        }
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
        let numbers = rows - self.blank.count - self.nan.count - self.infinite.count - self.bad.count;
        self.bad.count > numbers && self.other_notation * 2 <= self.bad.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(cells: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for (row, text) in cells.iter().enumerate() {
            tally.note(super::super::numbers::NumberFormat::default().parse(text.as_bytes()), row as u64, text.as_bytes(), 1);
        }
        tally
    }

    #[test]
    fn kinds_are_counted_apart_with_their_first_line() {
        let tally = tally(&["1", "", "NaN", "-inf", "x", "NULL", "inf", "y"]);
        assert_eq!(tally.blank, Occurrences { count: 2, first_line: 1 });
        assert_eq!(tally.nan, Occurrences { count: 1, first_line: 2 });
        assert_eq!(tally.infinite, Occurrences { count: 2, first_line: 3 });
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
