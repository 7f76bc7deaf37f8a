//! A panel over a window of its periods, ready for products: complete series as blocks of prepared rows, the others as they are.

use std::ops::Range;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};

use super::bits::Bits;
use super::measure::{Measure, PreparedRow};
use super::panel::Panel;
use super::standard::standardise;
use super::store::grow_in_part;
use super::waiting::Waiting;
use super::workspace::{Workspace, block_rows};

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
    /// Series of a block, but for the last.
    block_rows: usize,
    /// The prepared rows of the complete series; `None` where memory was refused, so that they are prepared at each use.
    blocks: Vec<Option<Arc<Block>>>,
    _reservation: MemoryReservation,
    waiting: Waiting,
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
    /// Power of two by which a prepared row is to be multiplied; known of complete series, 0 but for huge or tiny covariances.
    pub(super) exponent: i32,
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
    /// Values centred and scaled over the periods that each has, 0 elsewhere; none of measures that are not computed from them.
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
    /// The scratch file cannot be read; nobody waits any more.
    pub(super) fn of_all(mut panel: Panel, gives: bool, scope: &Scope<'_>) -> Result<Self> {
        let window = 0..panel.axis.len();
        let sorted = Sorted::of(&panel, &window, scope.waiting)?;
        let reservation = panel.reservation();
        let read = |series: &[u32]| {
            // All or none: a block that gets no memory is read again.
            let given = gives && series.iter().all(|&one| panel.in_memory(one as usize));
            let row = |&one: &u32| match if given { panel.take(one as usize) } else { None } {
                Some(values) => Ok(values),
                None => panel.read(one as usize, &window),
            };
            Ok((series.iter().map(row).collect::<Result<Vec<_>>>()?, given))
        };
        let blocks = prepare(&sorted.complete, read, scope, &reservation)?;
        Ok(Self::new(Arc::new(panel), window, scope, (sorted, blocks, reservation)))
    }

    /// A frame over some of the periods.
    ///
    /// # Errors
    /// As [`Self::of_all`].
    pub(super) fn of_window(panel: &Arc<Panel>, window: Range<usize>, scope: &Scope<'_>) -> Result<Self> {
        let sorted = Sorted::of(panel, &window, scope.waiting)?;
        let reservation = panel.reservation();
        let read = |series: &[u32]| {
            let rows = series.iter().map(|&one| panel.read(one as usize, &window));
            Ok((rows.collect::<Result<Vec<_>>>()?, false))
        };
        let blocks = prepare(&sorted.complete, read, scope, &reservation)?;
        Ok(Self::new(Arc::clone(panel), window, scope, (sorted, blocks, reservation)))
    }

    fn new(panel: Arc<Panel>, window: Range<usize>, scope: &Scope<'_>, parts: (Sorted, Prepared, MemoryReservation)) -> Self {
        let (Sorted { mut facts, complete, incomplete }, prepared, _reservation) = parts;
        for (&series, row) in complete.iter().zip(prepared.rows) {
            let facts = &mut facts[series as usize];
            (facts.varies, facts.exponent) = (row.varies, row.exponent);
        }
        let (measure, waiting, block_rows) = (scope.measure, scope.waiting.clone(), block_rows(window.len()));
        Self { panel, window, measure, facts, complete, incomplete, block_rows, blocks: prepared.blocks, _reservation, waiting }
    }

    /// Those for whom the frame is made.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Series of a block, but for the last.
    pub(super) fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// Whether the prepared rows of a block are in memory.
    pub(super) fn holds(&self, block: usize) -> bool {
        self.blocks[block].is_some()
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
        let start = block * self.block_rows;
        &self.complete[start..self.complete.len().min(start + self.block_rows)]
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
            match &self.blocks[place / self.block_rows] {
                Some(block) => values.extend_from_slice(block.row(place % self.block_rows, self.periods())),
                None => {
                    self.waiting.check()?;
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
    /// The scratch file cannot be read; nobody waits any more.
    pub(super) fn masked(&self, series: &[u32]) -> Result<MaskedBlock> {
        let periods = self.periods();
        let empty = |wanted: bool| if wanted { vec![0.0; series.len() * periods] } else { vec![] };
        let with_values = self.measure.has_masked_products();
        let mut block = MaskedBlock { series: series.to_vec(), values: empty(with_values), squares: empty(with_values), mask: empty(true) };
        for (row, &one) in series.iter().enumerate() {
            self.waiting.check()?;
            let there = |period: usize| self.facts(one).valid.as_ref().is_none_or(|valid| valid.contains(period));
            let places: Vec<usize> = (0..periods).filter(|&period| there(period)).collect();
            places.iter().for_each(|period| block.mask[row * periods + period] = 1.0);
            if with_values && self.panel.is_finite(one as usize) {
                let raw = self.panel.read(one as usize, &self.window)?;
                let mut own: Vec<f64> = places.iter().map(|&period| raw[period]).collect();
                standardise(&mut own);
                for (&period, &value) in places.iter().zip(&own) {
                    (block.values[row * periods + period], block.squares[row * periods + period]) = (value, value * value);
                }
            }
        }
        Ok(block)
    }

    /// The measure of two series, from their values.
    ///
    /// # Errors
    /// The scratch file cannot be read; nobody waits any more.
    pub(super) fn of_values(&self, a: u32, other: &Self, b: u32) -> Result<Option<f64>> {
        self.waiting.check()?;
        let read = |frame: &Self, series: u32| frame.panel.read(series as usize, &frame.window);
        let bits = |frame: &Self, series: u32| frame.facts(series).valid.clone().unwrap_or_else(|| Bits::first(frame.periods()));
        let (x, y) = (read(self, a)?, read(other, b)?);
        Ok(self.measure.of_values((&x, &bits(self, a)), (&y, &bits(other, b))))
    }
}

/// What frames of one search have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) measure: Measure,
    pub(super) workspace: &'a Workspace,
    pub(super) waiting: &'a Waiting,
}

/// The series of a window by whether they have all its periods.
struct Sorted {
    facts: Vec<Facts>,
    complete: Vec<u32>,
    incomplete: Vec<u32>,
}

impl Sorted {
    fn of(panel: &Panel, window: &Range<usize>, waiting: &Waiting) -> Result<Self> {
        let facts = |series: usize| {
            waiting.check()?;
            Ok(Facts { valid: panel.valid(series, window), present: panel.present(series, window), varies: false, exponent: 0 })
        };
        let facts: Vec<Facts> = (0..panel.count()).into_par_iter().map(facts).collect::<Result<_>>()?;
        let (complete, incomplete) =
            (0..panel.count() as u32).partition(|&series| facts[series as usize].valid.is_none() && panel.is_finite(series as usize));
        Ok(Self { facts, complete, incomplete })
    }
}

/// Prepared blocks, and what was found of each series.
struct Prepared {
    blocks: Vec<Option<Arc<Block>>>,
    rows: Vec<PreparedRow>,
}

/// Prepares all complete series. `read` gives the values of those of a block, and whether their memory becomes the block's.
fn prepare(
    complete: &[u32],
    mut read: impl FnMut(&[u32]) -> Result<(Vec<Vec<f64>>, bool)>,
    scope: &Scope<'_>,
    reservation: &MemoryReservation,
) -> Result<Prepared> {
    let mut prepared = Prepared { blocks: vec![], rows: vec![] };
    let blocks: Vec<&[u32]> = complete.chunks(block_rows(scope.workspace.periods())).collect();
    let bytes = |blocks: usize| scope.workspace.sizes.preparation(blocks);
    let together = scope.workspace.pieces(rayon::current_num_threads() * 2, bytes);
    for some in blocks.chunks(together) {
        scope.waiting.check()?;
        let raw = some.iter().map(|series| read(series)).collect::<Result<Vec<_>>>()?;
        let done = some.par_iter().zip(raw).map(|(series, raw)| prepared_block(series, raw, scope));
        for (block, rows, given) in done.collect::<Result<Vec<_>>>()? {
            let granted = given || grow_in_part(reservation, reservation.size() + block.values.len() * 8);
            prepared.blocks.push(granted.then(|| Arc::new(block)));
            prepared.rows.extend(rows);
        }
    }
    scope.workspace.shrink();
    Ok(prepared)
}

fn prepared_block(series: &[u32], (rows, given): (Vec<Vec<f64>>, bool), scope: &Scope<'_>) -> Result<(Block, Vec<PreparedRow>, bool)> {
    let mut values = Vec::with_capacity(rows.iter().map(Vec::len).sum());
    let mut prepared = Vec::with_capacity(rows.len());
    for mut row in rows {
        scope.waiting.check()?;
        prepared.push(scope.measure.prepare(&mut row));
        values.extend_from_slice(&row);
    }
    Ok((Block { series: series.to_vec(), values }, prepared, given))
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
        gathered.push(batch, &Waiting::FOR_EVER).expect("gathered");
        let axis = gathered.periods.in_time_order();
        Panel::try_new(gathered, axis, &DataType::Utf8).expect("panel")
    }

    fn workspace(panel: Panel, periods: usize) -> (Panel, Workspace) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(usize::MAX));
        let mut panels = [panel];
        let workspace = Workspace::try_new(&pool, &mut panels, periods, Measure::Pearson).expect("memory");
        let [panel] = panels;
        (panel, workspace)
    }

    fn scope(workspace: &Workspace) -> Scope<'_> {
        static WAITING: Waiting = Waiting::FOR_EVER;
        Scope { measure: Measure::Pearson, workspace, waiting: &WAITING }
    }

    fn pairs(frame: &Frame, workspace: &Workspace) -> Vec<Pair> {
        let (left, right) = (Side::new(frame, None), Side::new(frame, None));
        let (wanted, bounds) = (Wanted::Less, Bounds::ALL);
        let search =
            Search { left, right, one_side: true, wanted, joined: false, bounds, strongest: None, complete_done: false, workspace };
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
                let (panel, workspace) = workspace(panel, PERIODS);
                let frame = Frame::of_all(panel, gives, &scope(&workspace)).expect("frame");
                (pairs(&frame, &workspace), spilled)
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
        let (panel, workspace) = workspace(panel(&batch(9), usize::MAX), 20);
        let frame = Frame::of_window(&Arc::new(panel), 10..30, &scope(&workspace)).expect("frame");
        assert!(frame.complete.len() == SERIES, "period 5 lies outside");
        let found = pairs(&frame, &workspace)[123];
        let value = frame.of_values(found.a, &frame, found.b).expect("read").expect("defined");
        assert!(found.n == 20 && (found.value.expect("defined") - value).abs() < 1e-15);
    }
}
