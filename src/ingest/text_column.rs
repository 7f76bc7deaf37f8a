//! A column of texts that repeat: dates, weekdays, zones. Kept as distinct texts and one number per row.

use std::collections::HashMap;
use std::sync::Arc;

use super::coercion::CoercionKind;
use super::numbers::{Cell, NumberFormat};
use super::tally::Tally;

/// One column of texts, dictionary encoded in the order of first appearance.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextColumn {
    values: Vec<Arc<str>>,
    /// Row of first appearance, by value.
    first_rows: Vec<u32>,
    /// Value of each row.
    ids: Vec<u32>,
    index: HashMap<Arc<str>, u32>,
    last: Option<u32>,
}

impl TextColumn {
    /// The number of this text; `row` is where it stands if it is new.
    pub(crate) fn encode(&mut self, text: &[u8], row: u32) -> u32 {
        // Sorted files repeat the text of the row before.
        if let Some(last) = self.last
            && self.values[last as usize].as_bytes() == text
        {
            return last;
        }
        let text = String::from_utf8_lossy(text);
        let id = match self.index.get(text.as_ref()) {
            Some(&id) => id,
            None => {
                let (value, id): (Arc<str>, u32) = (text.into(), self.values.len() as u32);
                self.values.push(Arc::clone(&value));
                self.first_rows.push(row);
                self.index.insert(value, id);
                id
            }
        };
        self.last = Some(id);
        id
    }

    /// Appends a row with this value.
    pub(crate) fn push_id(&mut self, id: u32) {
        self.ids.push(id);
    }

    /// Distinct texts in order of first appearance.
    pub(crate) fn values(&self) -> &[Arc<str>] {
        &self.values
    }

    /// Row on which a distinct text appears first.
    pub(crate) fn first_row(&self, id: u32) -> u32 {
        self.first_rows[id as usize]
    }

    /// Value numbers, one per row.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Text of a row.
    pub(crate) fn text(&self, row: usize) -> &str {
        &self.values[self.ids[row] as usize]
    }

    /// Rows that hold each distinct text.
    pub(crate) fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.values.len()];
        self.ids.iter().for_each(|&id| counts[id as usize] += 1);
        counts
    }

    /// Counts the rows whose text a rule takes for coerced; `lines` are those of the rows.
    pub(crate) fn tally(&self, lines: &[u64], rule: impl Fn(&str) -> Option<CoercionKind>) -> Tally {
        let mut tally = Tally::default();
        for ((text, count), &row) in self.values.iter().zip(self.counts()).zip(&self.first_rows) {
            if let Some(kind) = rule(text) {
                tally.note_coerced(kind, lines[row as usize], count);
            }
        }
        tally
    }

    /// Every distinct text read as a number; `lines` are those of the rows.
    pub(crate) fn numbers(&self, format: NumberFormat, lines: &[u64]) -> Numbers {
        let mut tally = Tally::default();
        let cells = self.values.iter().zip(self.counts()).zip(&self.first_rows).map(|((text, count), &row)| {
            let cell = format.parse(text.as_bytes());
            tally.note(format, cell, lines[row as usize], text.as_bytes(), count);
            cell
        });
        Numbers { cells: cells.collect(), tally }
    }
}

/// The texts of a column as numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Number of each distinct text.
    pub(crate) cells: Vec<Cell>,
    /// Rows that hold no number.
    pub(crate) tally: Tally,
}

impl Numbers {
    /// The value of a distinct text; `None` is NULL.
    pub(crate) fn value(&self, id: u32) -> Option<f64> {
        match self.cells[id as usize] {
            Cell::Number(value) => Some(value),
            _ => None,
        }
    }

    /// Divides all values.
    pub(crate) fn divide_by(&mut self, divisor: f64) {
        for cell in &mut self.cells {
            if let Cell::Number(value) = cell {
                *value /= divisor;
            }
        }
    }

    /// The finite values of distinct texts.
    pub(crate) fn finite(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.cells.len() as u32).filter_map(|id| self.value(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_a_number() {
        let mut column = TextColumn::default();
        for (row, text) in ["a", "b", "a", "a", "NaN", ""].iter().enumerate() {
            let id = column.encode(text.as_bytes(), row as u32);
            column.push_id(id);
        }
        assert_eq!(column.ids(), [0, 1, 0, 0, 2, 3]);
        assert_eq!(column.counts(), [3, 1, 1, 1]);
        assert_eq!(column.first_row(2), 4);
        assert_eq!(column.text(3), "a");
        let tally = column.numbers(NumberFormat::default(), &[2, 3, 4, 5, 6, 7]).tally;
        let first = |kind| tally.coerced(kind).first_line;
        assert_eq!((tally.bad.count, tally.bad.first_line), (4, 2));
        assert_eq!((first(CoercionKind::NanWord), first(CoercionKind::EmptyCell)), (6, 7));
    }
}
