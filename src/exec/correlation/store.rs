//! The values of series, in memory or, where memory is refused, in a scratch file.

use std::borrow::Cow;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryReservation, human_readable_size};

use super::bits::Bits;
use crate::storage::ScratchFile;

/// Bytes that correlations leave free at least.
pub(super) const ROOM: usize = 2 << 20;

/// Where the values of a series lie.
#[derive(Debug)]
enum Place {
    Memory(Box<[f64]>),
    /// First value in the scratch file, and how many.
    Disk(u64, usize),
    /// Given away.
    Given,
}

/// One series over the periods by their numbers.
#[derive(Debug)]
pub(super) struct Row {
    place: Place,
    /// Periods with a value; `None` for all up to the length.
    pub(super) valid: Option<Bits>,
    /// Periods with a row, where there are others than those with a value.
    pub(super) present: Option<Bits>,
    /// Whether all values are finite.
    pub(super) finite: bool,
}

/// What a series is besides its values.
#[derive(Debug)]
pub(super) struct RowFacts {
    pub(super) valid: Option<Bits>,
    pub(super) present: Option<Bits>,
    pub(super) finite: bool,
}

impl Row {
    /// Periods up to the last with a row.
    pub(super) fn len(&self) -> usize {
        match &self.place {
            Place::Memory(values) => values.len(),
            Place::Disk(_, length) => *length,
            Place::Given => 0,
        }
    }
}

/// Series of one relation. All memory that they take is accounted for.
#[derive(Debug)]
pub(super) struct Store {
    rows: Vec<Row>,
    scratch: Option<ScratchFile>,
    reservation: MemoryReservation,
}

impl Store {
    /// Without series.
    pub(super) fn new(reservation: MemoryReservation) -> Self {
        Self { rows: vec![], scratch: None, reservation }
    }

    /// Number of series.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, series: usize) -> &Row {
        &self.rows[series]
    }

    /// Bytes in the scratch file.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.scratch.as_ref().map_or(0, |scratch| scratch.len() * 8)
    }

    /// Another reservation of the same consumer.
    pub(super) fn reservation(&self) -> MemoryReservation {
        self.reservation.new_empty()
    }

    /// Adds a series.
    ///
    /// # Errors
    /// A scratch file that cannot be written.
    pub(super) fn push(&mut self, values: Vec<f64>, RowFacts { valid, present, finite }: RowFacts) -> Result<()> {
        let bits = [&valid, &present].into_iter().flatten().map(Bits::size_bytes).sum::<usize>();
        self.reserve(bits + size_of::<Row>())?;
        let place = if self.scratch.is_none() && grow_in_part(&self.reservation, self.reservation.size() + values.len() * 8) {
            Place::Memory(values.into_boxed_slice())
        } else {
            self.written(&values)?
        };
        self.rows.push(Row { place, valid, present, finite });
        Ok(())
    }

    /// Accounts for more bytes, for which series in memory are written to the scratch file where they are refused.
    ///
    /// # Errors
    /// Memory that is refused with all series in the file; a scratch file that cannot be written.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<()> {
        self.make_room(bytes, |store| store.reservation.try_grow(bytes))
    }

    /// Has another reservation grow, for which series in memory are written to the scratch file where it is refused.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub(super) fn reserve_for(&mut self, reservation: &MemoryReservation, bytes: usize) -> Result<()> {
        self.make_room(bytes, |_| reservation.try_grow(bytes))
    }

    fn make_room(&mut self, bytes: usize, grow: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let mut last = self.rows.len();
        while let Err(refused) = grow(self) {
            let mut freed = 0;
            while freed < bytes && last > 0 {
                last -= 1;
                freed += self.write_out(last)?;
            }
            if freed == 0 {
                return Err(refused.context(format!(
                    "correlations need {} more to compute with, and the memory limit refuses it\nhint: raise --memory-limit, or correlate fewer periods at a time",
                    human_readable_size(bytes)
                )));
            }
        }
        Ok(())
    }

    /// Moves a series to the scratch file: the bytes that this frees.
    fn write_out(&mut self, series: usize) -> Result<usize> {
        let Place::Memory(values) = &mut self.rows[series].place else { return Ok(0) };
        let values = std::mem::take(values);
        self.rows[series].place = self.written(&values)?;
        self.reservation.shrink(values.len() * 8);
        Ok(values.len() * 8)
    }

    fn written(&mut self, values: &[f64]) -> Result<Place> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(ScratchFile::try_new()?),
        };
        let start = scratch.len();
        scratch.append(values)?;
        Ok(Place::Disk(start, values.len()))
    }

    /// The series in another order: the one that comes first is `places[0]`.
    pub(super) fn reordered(self, places: &[u32]) -> Self {
        let mut rows: Vec<Option<Row>> = self.rows.into_iter().map(Some).collect();
        Self { rows: places.iter().filter_map(|&place| rows[place as usize].take()).collect(), ..self }
    }

    /// The values of a series; none of one that was given away.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn values(&self, series: usize) -> Result<Cow<'_, [f64]>> {
        Ok(match (&self.rows[series].place, &self.scratch) {
            (Place::Memory(values), _) => Cow::Borrowed(values),
            (Place::Disk(start, length), Some(scratch)) => {
                let mut values = vec![0.0; *length];
                scratch.read_at(*start, &mut values, &mut Vec::new())?;
                Cow::Owned(values)
            }
            (Place::Disk(..), None) | (Place::Given, _) => Cow::Borrowed(&[]),
        })
    }

    /// Whether the values of a series lie in memory.
    pub(super) fn in_memory(&self, series: usize) -> bool {
        matches!(self.rows[series].place, Place::Memory(_))
    }

    /// Gives the values of a series away, if they lie in memory. They stay accounted here, but for those above `length`.
    pub(super) fn give(&mut self, series: usize, length: usize) -> Option<Vec<f64>> {
        let place = &mut self.rows[series].place;
        let Place::Memory(values) = place else { return None };
        let values = std::mem::take(values);
        *place = Place::Given;
        self.reservation.shrink(values.len().saturating_sub(length) * 8);
        Some(values.into_vec())
    }
}

/// Has a reservation grow to some bytes in all, if half as many stay free: for what reads the relation, and for what takes the pairs.
pub(super) fn grow_in_part(reservation: &MemoryReservation, bytes: usize) -> bool {
    let more = bytes.saturating_sub(reservation.size());
    let free = ROOM.max(bytes / 2);
    let granted = reservation.try_grow(more + free).is_ok();
    if granted {
        reservation.shrink(free);
    }
    granted
}
