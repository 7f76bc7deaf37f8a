//! A panel over a window of its periods, ready for products: complete series as blocks of prepared rows, the others as they are.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::bits::Bits;
use super::measure::Measure;
use super::panel::Panel;
use super::standard::standardise;

/// Series of one block. A tile of two blocks then fits into a core's cache, and one takes milliseconds, so that a query can be cancelled.
pub(super) const BLOCK_ROWS: usize = 256;

/// The panel in one window.
#[derive(Debug)]
pub(super) struct Frame {
    panel: Arc<Panel>,
    pub(super) window: Range<usize>,
    pub(super) measure: Measure,
    facts: Vec<Facts>,
    /// Series with a value in every period.
    pub(super) complete: Vec<u32>,
    /// The others.
    pub(super) incomplete: Vec<u32>,
    /// The prepared rows of the complete series; `None` where memory was refused, so that they are prepared at each use.
    blocks: Vec<Option<Arc<Block>>>,
    _reservation: MemoryReservation,
}

/// What is known of a series in the window.
#[derive(Debug)]
pub(super) struct Facts {
    /// Periods with a value; `None` for all.
    pub(super) valid: Option<Bits>,
    /// Periods with a row; `None` for all.
    pub(super) present: Option<Bits>,
    /// Whether its values differ; known of complete series.
    pub(super) varies: bool,
}

/// Prepared rows of complete series.
#[derive(Debug)]
pub(super) struct Block {
    /// Numbers of the series, ascending.
    pub(super) series: Vec<u32>,
    /// Their rows, one after another.
    pub(super) values: Vec<f64>,
}

/// Series of which any may lack periods, as factors of products over common periods.
#[derive(Debug)]
pub(super) struct MaskedBlock {
    pub(super) series: Vec<u32>,
    /// Values centred and scaled over the periods that each has, 0 elsewhere.
    pub(super) values: Vec<f64>,
    /// Their squares.
    pub(super) squares: Vec<f64>,
    /// 1 where there is a value.
    pub(super) mask: Vec<f64>,
}

impl Block {
    /// One row.
    pub(super) fn row(&self, row: usize, periods: usize) -> &[f64] {
        &self.values[row * periods..(row + 1) * periods]
    }
}

impl Frame {
    /// A frame over all periods. With `gives` the panel gives the values of series in memory away: only where no series of any frame lacks
    /// periods.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn of_all(mut panel: Panel, measure: Measure, gives: bool) -> Result<Self> {
        let window = 0..panel.axis.len();
        let sorted = Sorted::of(&panel, &window);
        let reservation = panel.reservation.new_empty();
        let read = |series: &[u32]| {
            // All or none: a block that gets no memory is read again.
            let given = gives && series.iter().all(|&one| panel.in_memory(one as usize));
            let rows = series.iter().map(|&one| if given { panel.take(one as usize) } else { panel.read(one as usize, &window) });
            Ok((rows.collect::<Result<Vec<_>>>()?, given))
        };
        let blocks = prepare(&sorted.complete, read, measure, &reservation)?;
        Ok(Self::new(Arc::new(panel), window, measure, (sorted, blocks, reservation)))
    }

    /// A frame over some of the periods.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn of_window(panel: &Arc<Panel>, window: Range<usize>, measure: Measure) -> Result<Self> {
        let sorted = Sorted::of(panel, &window);
        let reservation = panel.reservation.new_empty();
        let read = |series: &[u32]| {
            let rows = series.iter().map(|&one| panel.read(one as usize, &window));
            Ok((rows.collect::<Result<Vec<_>>>()?, false))
        };
        let blocks = prepare(&sorted.complete, read, measure, &reservation)?;
        Ok(Self::new(Arc::clone(panel), window, measure, (sorted, blocks, reservation)))
    }

    fn new(panel: Arc<Panel>, window: Range<usize>, measure: Measure, parts: (Sorted, Prepared, MemoryReservation)) -> Self {
        let (Sorted { mut facts, complete, incomplete }, prepared, reservation) = parts;
        complete.iter().zip(prepared.varies).for_each(|(&series, varies)| facts[series as usize].varies = varies);
        Self { panel, window, measure, facts, complete, incomplete, blocks: prepared.blocks, _reservation: reservation }
    }

    pub(super) fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Number of periods.
    pub(super) fn periods(&self) -> usize {
        self.window.len()
    }

    pub(super) fn facts(&self, series: u32) -> &Facts {
        &self.facts[series as usize]
    }

    /// Blocks of [`Self::complete`].
    pub(super) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The series of a block.
    pub(super) fn block_series(&self, block: usize) -> &[u32] {
        let start = block * BLOCK_ROWS;
        &self.complete[start..self.complete.len().min(start + BLOCK_ROWS)]
    }

    /// A block of [`Self::complete`].
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn block(&self, block: usize) -> Result<Arc<Block>> {
        match &self.blocks[block] {
            Some(block) => Ok(Arc::clone(block)),
            None => Ok(Arc::new(self.gather(self.block_series(block))?)),
        }
    }

    /// The prepared rows of any complete series.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn gather(&self, series: &[u32]) -> Result<Block> {
        let mut values = Vec::with_capacity(series.len() * self.periods());
        for &one in series {
            let place = self.complete.partition_point(|&other| other < one);
            match &self.blocks[place / BLOCK_ROWS] {
                Some(block) => values.extend_from_slice(block.row(place % BLOCK_ROWS, self.periods())),
                None => {
                    let mut row = self.panel.read(one as usize, &self.window)?;
                    self.measure.prepare(&mut row);
                    values.extend_from_slice(&row);
                }
            }
        }
        Ok(Block { series: series.to_vec(), values })
    }

    /// Any series with their masks.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn masked(&self, series: &[u32]) -> Result<MaskedBlock> {
        let periods = self.periods();
        let empty = || vec![0.0; series.len() * periods];
        let (mut values, mut squares, mut mask) = (empty(), empty(), empty());
        for (row, &one) in series.iter().enumerate() {
            let extent = row * periods..(row + 1) * periods;
            let there = |period: usize| self.facts(one).valid.as_ref().is_none_or(|valid| valid.contains(period));
            let raw = self.panel.read(one as usize, &self.window)?;
            let places: Vec<usize> = (0..periods).filter(|&period| there(period)).collect();
            let mut own: Vec<f64> = places.iter().map(|&period| raw[period]).collect();
            if self.panel.is_finite(one as usize) {
                standardise(&mut own);
            } else {
                own.fill(0.0);
            }
            let (values, squares, mask) = (&mut values[extent.clone()], &mut squares[extent.clone()], &mut mask[extent]);
            for (&period, &value) in places.iter().zip(&own) {
                (values[period], squares[period], mask[period]) = (value, value * value, 1.0);
            }
        }
        Ok(MaskedBlock { series: series.to_vec(), values, squares, mask })
    }

    /// The measure of two series, from their values.
    ///
    /// # Errors
    /// The scratch file cannot be read.
    pub(super) fn of_values(&self, a: u32, other: &Self, b: u32) -> Result<Option<f64>> {
        let read = |frame: &Self, series: u32| frame.panel.read(series as usize, &frame.window);
        let bits = |frame: &Self, series: u32| frame.facts(series).valid.clone().unwrap_or_else(|| Bits::first(frame.periods()));
        let (x, y) = (read(self, a)?, read(other, b)?);
        Ok(self.measure.of_values((&x, &bits(self, a)), (&y, &bits(other, b))))
    }
}

/// The series of a window by whether they have all its periods.
struct Sorted {
    facts: Vec<Facts>,
    complete: Vec<u32>,
    incomplete: Vec<u32>,
}

impl Sorted {
    fn of(panel: &Panel, window: &Range<usize>) -> Self {
        let facts = |series| Facts { valid: panel.valid(series, window), present: panel.present(series, window), varies: false };
        let facts: Vec<Facts> = (0..panel.count()).map(facts).collect();
        let (complete, incomplete) =
            (0..panel.count() as u32).partition(|&series| facts[series as usize].valid.is_none() && panel.is_finite(series as usize));
        Self { facts, complete, incomplete }
    }
}

/// Prepared blocks, and which series vary.
struct Prepared {
    blocks: Vec<Option<Arc<Block>>>,
    varies: Vec<bool>,
}

/// Prepares all complete series. `read` gives the values of those of a block, and whether their memory was given back for the block's.
fn prepare(
    complete: &[u32],
    mut read: impl FnMut(&[u32]) -> Result<(Vec<Vec<f64>>, bool)>,
    measure: Measure,
    reservation: &MemoryReservation,
) -> Result<Prepared> {
    let mut prepared = Prepared { blocks: vec![], varies: vec![] };
    let blocks: Vec<&[u32]> = complete.chunks(BLOCK_ROWS).collect();
    for some in blocks.chunks(rayon::current_num_threads() * 2) {
        let raw = some.iter().map(|series| read(series)).collect::<Result<Vec<_>>>()?;
        let done: Vec<(Block, Vec<bool>, bool)> =
            some.par_iter().zip(raw).map(|(series, raw)| prepared_block(series, raw, measure)).collect();
        for (block, varies, given) in done {
            let bytes = block.values.len() * 8;
            if given {
                reservation.grow(bytes);
            }
            let granted = given || reservation.try_grow(bytes).is_ok();
            prepared.blocks.push(granted.then(|| Arc::new(block)));
            prepared.varies.extend(varies);
        }
    }
    Ok(prepared)
}

fn prepared_block(series: &[u32], (rows, given): (Vec<Vec<f64>>, bool), measure: Measure) -> (Block, Vec<bool>, bool) {
    let mut values = Vec::with_capacity(rows.iter().map(Vec::len).sum());
    let mut varies = Vec::with_capacity(rows.len());
    for mut row in rows {
        varies.push(measure.prepare(&mut row));
        values.extend_from_slice(&row);
    }
    (Block { series: series.to_vec(), values }, varies, given)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
    use datafusion::arrow::datatypes::DataType;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
    use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

    use super::*;
    use crate::exec::correlation::collect::SeriesOfGroups;
    use crate::exec::correlation::gathered::{Gathered, Infinities};
    use crate::exec::correlation::search::{Search, Side};
    use crate::exec::correlation::select::{Bounds, Pair};
    use crate::exec::correlation::tile::Wanted;

    const SERIES: usize = 600;
    const PERIODS: usize = 40;

    /// Series whose names and periods come in no order; the last of every `gaps` lacks a period.
    fn batch(gaps: usize) -> RecordBatch {
        let mut groups = SeriesOfGroups::default();
        for series in 0..SERIES {
            let periods = (0..PERIODS).map(|t| (t * 7 + series) % PERIODS).filter(|t| series % gaps != gaps - 1 || *t != 5);
            let dates: Int64Array = periods.clone().map(|t| t as i64).collect::<Vec<_>>().into();
            let values: Float64Array = periods.map(|t| ((t * t * (series + 3)) % 101) as f64).collect::<Vec<_>>().into();
            let rows = vec![series; dates.len()];
            let columns: [ArrayRef; 2] = [Arc::new(values), Arc::new(dates)];
            groups.update_batch(&columns, &rows, None, series + 1).expect("collected");
        }
        let names: ArrayRef = Arc::new((0..SERIES).map(|series| Some(format!("{}", series * 7919 % SERIES))).collect::<StringArray>());
        RecordBatch::try_from_iter([("strategy", names), ("series", groups.evaluate(EmitTo::All).expect("series"))]).expect("batch")
    }

    fn panel(batch: &RecordBatch, memory_bytes: usize) -> Panel {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
        let reservation = MemoryConsumer::new("test").register(&pool);
        let mut gathered = Gathered::new(reservation, Infinities::Refused, DataType::Int64);
        gathered.push(batch).expect("gathered");
        let axis = gathered.periods.in_time_order();
        Panel::try_new(gathered, axis, &DataType::Utf8).expect("panel")
    }

    fn pairs(frame: &Frame) -> Vec<Pair> {
        let side = || Side::new(frame, None);
        let (left, right) = (side(), side());
        let search =
            Search { left, right, wanted: Wanted::Less, joined: false, bounds: Bounds::ALL, strongest: None, complete_done: false };
        let mut found = vec![];
        let mut sink = |pairs: Vec<Pair>| {
            found.extend(pairs);
            ControlFlow::Continue(())
        };
        assert!(search.run(&mut sink).expect("searched").is_continue());
        found
    }

    #[test]
    fn series_in_a_scratch_file_give_the_same_bits() {
        for gaps in [SERIES + 1, 50] {
            let batch = batch(gaps);
            let of = |memory: usize| {
                let panel = panel(&batch, memory);
                let spilled = panel.spilled_bytes();
                let gives = !panel.has_gaps();
                (pairs(&Frame::of_all(panel, Measure::Pearson, gives).expect("frame")), spilled)
            };
            let ((all, nothing), (some, spilled)) = (of(usize::MAX), of(150_000));
            assert_eq!(all.len(), SERIES * (SERIES - 1) / 2);
            assert!(nothing == 0 && spilled > 50_000, "{nothing} {spilled}");
            assert_eq!(all.iter().all(|pair| pair.n as usize == PERIODS), gaps > SERIES);
            assert!(all == some, "{:?}", all.iter().zip(&some).find(|(a, b)| a != b));
        }
    }

    #[test]
    fn a_window_is_a_panel_of_its_own() {
        let panel = Arc::new(panel(&batch(9), usize::MAX));
        let frame = Frame::of_window(&panel, 10..30, Measure::Pearson).expect("frame");
        assert!(frame.complete.len() == SERIES, "period 5 lies outside");
        let found = pairs(&frame)[123];
        let value = frame.of_values(found.a, &frame, found.b).expect("read").expect("defined");
        assert!(found.n == 20 && (found.value.expect("defined") - value).abs() < 1e-15);
    }
}
