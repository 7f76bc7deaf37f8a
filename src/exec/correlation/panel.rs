//! The panel: strategies x periods, strategies in the order of their names, periods in that of time.

use std::ops::Range;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use super::bits::Bits;
use super::gathered::{Gathered, Place, Row};
use super::periods::Period;
use crate::storage::ScratchFile;

/// Series of one relation over a common axis of periods.
#[derive(Debug)]
pub(super) struct Panel {
    /// Names, ascending.
    pub(super) names: ArrayRef,
    /// Periods, ascending.
    pub(super) axis: Vec<Period>,
    rows: Vec<Row>,
    /// Number of each axis period among those of the rows; `None` where they are the same.
    order: Option<Vec<u32>>,
    scratch: Option<ScratchFile>,
    pub(super) reservation: MemoryReservation,
}

impl Panel {
    /// Puts gathered series in order, over these periods; `names` is the type of the names.
    ///
    /// # Errors
    /// Names that have no order.
    pub(super) fn try_new(gathered: Gathered, axis: Vec<Period>, names: &DataType) -> Result<Self> {
        let (names, places) = gathered.sorted_names(names)?;
        let mut rows: Vec<Option<Row>> = gathered.rows.into_iter().map(Some).collect();
        let rows = places.iter().filter_map(|&place| rows[place as usize].take()).collect();
        // A period of the axis that this relation lacks is one beyond its last.
        let beyond = gathered.periods.count() as u32;
        let order: Vec<u32> = axis.iter().map(|&period| gathered.periods.number_of(period).unwrap_or(beyond)).collect();
        let same = order.iter().enumerate().all(|(at, &number)| at == number as usize) && order.len() == beyond as usize;
        let (scratch, reservation) = (gathered.scratch, gathered.reservation);
        Ok(Self { names, axis, rows, order: (!same).then_some(order), scratch, reservation })
    }

    /// Number of series.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Bytes that wait in the scratch file.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.scratch.as_ref().map_or(0, |scratch| scratch.len() * 8)
    }

    /// Whether a series lacks a value, or has one that is not finite.
    pub(super) fn has_gaps(&self) -> bool {
        let all = 0..self.axis.len();
        (0..self.count()).any(|series| !self.is_finite(series) || self.valid(series, &all).is_some())
    }

    /// Whether all values of a series are finite.
    pub(super) fn is_finite(&self, series: usize) -> bool {
        self.rows[series].finite
    }

    /// The periods of a window in which a series has a value; `None` for all.
    pub(super) fn valid(&self, series: usize, window: &Range<usize>) -> Option<Bits> {
        let row = &self.rows[series];
        match &row.valid {
            None if row.len() >= self.axis.len() && self.order.is_none() => None,
            None => self.windowed(&Bits::first(row.len()), window),
            Some(valid) => self.windowed(valid, window),
        }
    }

    /// The periods of a window in which a series has a row; `None` for all.
    pub(super) fn present(&self, series: usize, window: &Range<usize>) -> Option<Bits> {
        match &self.rows[series].present {
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
        let row = &self.rows[series];
        let read;
        let values: &[f64] = match &row.place {
            Place::Memory(values) => values,
            Place::Disk(start, length) => {
                read = self.read_scratch(*start, *length)?;
                &read
            }
        };
        let value = |number: usize| values.get(number).copied().unwrap_or(0.0);
        Ok(match &self.order {
            Some(order) => order[window.clone()].iter().map(|&number| value(number as usize)).collect(),
            None => window.clone().map(value).collect(),
        })
    }

    fn read_scratch(&self, start: u64, length: usize) -> Result<Vec<f64>> {
        let mut values = vec![0.0; length];
        if let Some(scratch) = &self.scratch {
            scratch.read_at(start, &mut values, &mut Vec::new())?;
        }
        Ok(values)
    }

    /// As [`Self::read`] for all periods; a series that lies in memory gives its memory back and can be read no more.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn take(&mut self, series: usize) -> Result<Vec<f64>> {
        let window = 0..self.axis.len();
        let Place::Memory(values) = &mut self.rows[series].place else { return self.read(series, &window) };
        if self.order.is_none() && values.len() == window.len() {
            self.reservation.shrink(values.len() * 8);
            return Ok(std::mem::take(values).into_vec());
        }
        let read = self.read(series, &window)?;
        if let Place::Memory(values) = &mut self.rows[series].place {
            self.reservation.shrink(std::mem::take(values).len() * 8);
        }
        Ok(read)
    }

    /// Whether the values of a series lie in memory.
    pub(super) fn in_memory(&self, series: usize) -> bool {
        matches!(self.rows[series].place, Place::Memory(_))
    }
}
