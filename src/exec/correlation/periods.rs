//! The periods of a panel: one column each.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::Result;

/// A period by its date and slot, as whole numbers; slot 0 where dates have none.
pub(super) type Period = (i64, i64);

/// Periods numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Periods {
    dates: Vec<i64>,
    slots: Vec<i64>,
    numbers: HashMap<Period, u32>,
}

impl Periods {
    pub(super) fn count(&self) -> usize {
        self.dates.len()
    }

    /// Whether these are the first periods, in their order.
    pub(super) fn begin_with(&self, dates: &[i64], slots: &[i64]) -> bool {
        self.dates.starts_with(dates) && (slots.is_empty() || self.slots.starts_with(slots))
    }

    /// The number of a period, a new one if it is new; `guess` is the number it likely has.
    pub(super) fn number(&mut self, period: Period, guess: usize) -> usize {
        if self.get(guess) == Some(period) {
            return guess;
        }
        let next = self.dates.len() as u32;
        let number = *self.numbers.entry(period).or_insert(next);
        if number == next {
            self.dates.push(period.0);
            self.slots.push(period.1);
        }
        number as usize
    }

    pub(super) fn number_of(&self, period: Period) -> Option<u32> {
        self.numbers.get(&period).copied()
    }

    fn get(&self, number: usize) -> Option<Period> {
        Some((*self.dates.get(number)?, *self.slots.get(number)?))
    }

    /// All periods in the order of time.
    pub(super) fn in_time_order(&self) -> Vec<Period> {
        let mut all: Vec<Period> = self.dates.iter().copied().zip(self.slots.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.dates.capacity() * 16 + self.numbers.capacity() * (size_of::<(Period, u32)>() + 1)
    }
}

/// Period numbers as values of the type that the column of the relation has.
///
/// # Errors
/// A type that numbers cannot be cast to.
pub(super) fn as_column(numbers: Vec<i64>, data_type: &DataType) -> Result<ArrayRef> {
    if data_type == &DataType::Date32 {
        return Ok(Arc::new(numbers.into_iter().map(|number| Some(number as i32)).collect::<Date32Array>()));
    }
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
    if let DataType::Time32(_) = data_type {
        return Ok(cast(&cast(&numbers, &DataType::Int32)?, data_type)?);
    }
    Ok(cast(&numbers, data_type)?)
}

/// A period number as a message shows it.
pub(super) fn written(number: i64, data_type: &DataType) -> String {
    let shown = as_column(vec![number], data_type).and_then(|column| Ok(array_value_to_string(&column, 0)?));
    shown.unwrap_or_else(|_| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_numbered_once() {
        let mut periods = Periods::default();
        let numbers: Vec<usize> = [30, 10, 30, 20, 10].iter().enumerate().map(|(at, &date)| periods.number((date, 0), at)).collect();
        assert_eq!(numbers, [0, 1, 0, 2, 1]);
        assert!(periods.begin_with(&[30, 10], &[]) && !periods.begin_with(&[10], &[]));
        assert_eq!(periods.in_time_order(), [(10, 0), (20, 0), (30, 0)]);
    }

    #[test]
    fn slots_tell_periods_of_a_day_apart() {
        let mut periods = Periods::default();
        assert_eq!((periods.number((5, 1), 0), periods.number((5, 2), 1)), (0, 1));
        assert!(periods.begin_with(&[5, 5], &[1, 2]) && !periods.begin_with(&[5, 5], &[1, 3]));
    }
}
