//! The panel: strategies x periods, strategies in the order of their names, periods in that of time.

use std::ops::Range;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use super::bits::Bits;
use super::gathered::Gathered;
use super::periods::Period;
use super::store::Store;

/// Series of one relation over a common axis of periods.
#[derive(Debug)]
pub(super) struct Panel {
    /// Names, ascending.
    pub(super) names: ArrayRef,
    /// Periods, ascending.
    pub(super) axis: Vec<Period>,
    store: Store,
    /// Number of each axis period among those of the rows; `None` where they are the same.
    order: Option<Vec<u32>>,
    /// Periods that a row without gaps needs to have all of the axis.
    needed: usize,
}

impl Panel {
    /// Puts gathered series in order, over these periods; `names` is the type of the names.
    ///
    /// # Errors
    /// Names that have no order.
    pub(super) fn try_new(gathered: Gathered, axis: Vec<Period>, names: &DataType) -> Result<Self> {
        let (names, places) = gathered.sorted_names(names)?;
        // A period of the axis that this relation lacks is one beyond its last.
        let beyond = gathered.periods.count() as u32;
        let order: Vec<u32> = axis.iter().map(|&period| gathered.periods.number_of(period).unwrap_or(beyond)).collect();
        let same = order.iter().enumerate().all(|(at, &number)| at == number as usize) && order.len() == beyond as usize;
        let needed = order.iter().max().map_or(0, |&last| last as usize + 1);
        Ok(Self { names, axis, store: gathered.store.reordered(&places), order: (!same).then_some(order), needed })
    }

    /// Number of series.
    pub(super) fn count(&self) -> usize {
        self.store.count()
    }

    /// Bytes that wait in the scratch file.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.store.spilled_bytes()
    }

    /// Whether a series lacks a value, or has one that is not finite.
    pub(super) fn has_gaps(&self) -> bool {
        let all = 0..self.axis.len();
        (0..self.count()).any(|series| !self.is_finite(series) || self.valid(series, &all).is_some())
    }

    /// Whether all values of a series are finite.
    pub(super) fn is_finite(&self, series: usize) -> bool {
        self.store.row(series).finite
    }

    /// The periods of a window in which a series has a value; `None` for all.
    pub(super) fn valid(&self, series: usize, window: &Range<usize>) -> Option<Bits> {
        let row = self.store.row(series);
        match &row.valid {
            None if row.len() >= self.needed => None,
            None => self.windowed(&Bits::first(row.len()), window),
            Some(valid) => self.windowed(valid, window),
        }
    }

    /// The periods of a window in which a series has a row; `None` for all.
    pub(super) fn present(&self, series: usize, window: &Range<usize>) -> Option<Bits> {
        match &self.store.row(series).present {
            Some(present) => self.windowed(present, window),
            None => self.valid(series, window),
        }
    }

    fn windowed(&self, bits: &Bits, window: &Range<usize>) -> Option<Bits> {
        let bits = match &self.order {
            Some(order) => bits.reordered(&order[window.clone()]),
            None => bits.slice(window.clone()),
        };
        (bits.count() < window.len()).then_some(bits)
    }

    /// The values of a series in a window, 0 where it has none.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn read(&self, series: usize, window: &Range<usize>) -> Result<Vec<f64>> {
        let values = self.store.values(series)?;
        Ok(self.in_order(&values, window))
    }

    fn in_order(&self, values: &[f64], window: &Range<usize>) -> Vec<f64> {
        let value = |number: usize| values.get(number).copied().unwrap_or(0.0);
        match &self.order {
            Some(order) => order[window.clone()].iter().map(|&number| value(number as usize)).collect(),
            None => window.clone().map(value).collect(),
        }
    }

    /// As [`Self::read`] for all periods, of a series without gaps in memory, which can be read no more; `None` of others. What it takes stays accounted for.
    pub(super) fn take(&mut self, series: usize) -> Option<Vec<f64>> {
        let values = self.store.give(series, self.axis.len())?;
        Some(if self.order.is_none() && values.len() == self.axis.len() { values } else { self.in_order(&values, &(0..self.axis.len())) })
    }

    /// Whether the values of a series lie in memory.
    pub(super) fn in_memory(&self, series: usize) -> bool {
        self.store.in_memory(series)
    }

    /// Another reservation of the same consumer.
    pub(super) fn reservation(&self) -> MemoryReservation {
        self.store.reservation()
    }

    /// Has a reservation grow, for which series wait in the scratch file where it is refused.
    ///
    /// # Errors
    /// Memory that is refused with all series in the file; a scratch file that cannot be written.
    pub(super) fn reserve_for(&mut self, reservation: &MemoryReservation, bytes: usize) -> Result<()> {
        self.store.reserve_for(reservation, bytes)
    }
}
