//! What the pipeline asks of the device, tile by tile, and how it runs tiles on two lanes.
//!
//! ```text
//! lane A   product 0 | select 0 | download 0 |           product 2 | select 2 | ...
//! lane B               product 1 | select 1 | download 1 |           product 3 | ...
//! host                                sort, hand over 0 |   sort, hand over 1 | ...
//! ```

use std::ops::{ControlFlow, Range};

use super::error::GpuError;
use super::strongest::{Bins, Strongest};
use super::tiles::{Criterion, Keep, Pair, Rank, Tile};

/// Takes the pairs of a tile, or of a part of it, sorted by (row, column); breaks to stop the work.
///
/// Called at least once per tile, with nothing where nothing survives, so that a caller can stop and show progress.
pub type Sink<'a> = dyn FnMut(Vec<Pair>) -> ControlFlow<()> + 'a;

/// Pairs handed over at once at the end, when only the strongest are kept.
const HANDED_OVER: usize = 1 << 16;

/// Survivors of a tile above which a tighter bound is searched for before they are downloaded.
const MANY_SURVIVORS: u64 = 1 << 16;

/// One of two places where a tile is computed: a stream with its buffers.
pub(super) trait Lane {
    /// Starts the product of a tile and the selection of what the criterion keeps. Does not wait.
    fn start(&mut self, tile: &Tile, criterion: &Criterion) -> Result<(), GpuError>;

    /// Waits for the selection. How many pairs the criterion keeps: more than [`Self::capacity`] are counted, but not all are there.
    fn survivors(&mut self) -> Result<u64, GpuError>;

    /// Survivors that there is room for.
    fn capacity(&self) -> u64;

    /// Selects from the same products by a tighter criterion; waits and counts as [`Self::survivors`].
    fn select_again(&mut self, criterion: &Criterion) -> Result<u64, GpuError>;

    /// Counts what the criterion keeps by the bins of its rank.
    fn histogram(&mut self, criterion: &Criterion, bins: &Bins) -> Result<Vec<u32>, GpuError>;

    /// The first `count` survivors, in no particular order.
    fn download(&mut self, count: usize) -> Result<Vec<Pair>, GpuError>;

    /// Rows of the tile whose values can be downloaded at once, at least 1.
    fn rows_at_once(&self, tile: &Tile) -> usize;

    /// The products of some rows of the tile (counted from its corner), row-major, clamped and near 1 refined.
    fn values(&mut self, rows: Range<usize>) -> Result<Vec<f64>, GpuError>;
}

/// What has been asked for and found so far, over all tiles.
pub(super) struct Selection<'s, 'f> {
    criterion: Criterion,
    strongest: Option<Strongest>,
    sink: &'s mut Sink<'f>,
}

impl<'s, 'f> Selection<'s, 'f> {
    pub(super) fn new(keep: &Keep, sink: &'s mut Sink<'f>) -> Result<Self, GpuError> {
        let strongest = match *keep {
            Keep::Strongest { count, by, .. } => Some(Strongest::new(count, by)),
            Keep::All | Keep::Outside { .. } => None,
        };
        let mut criterion = Criterion::of(keep)?;
        criterion.floor = strongest.as_ref().map_or(criterion.floor, Strongest::floor);
        Ok(Self { criterion, strongest, sink })
    }

    /// Runs tiles on two lanes, in turn. Breaks where the sink did; no lane has work in flight then that is waited for.
    pub(super) fn run<L: Lane>(&mut self, lanes: &mut [L; 2], tiles: impl Iterator<Item = Tile>) -> Result<ControlFlow<()>, GpuError> {
        let mut running: [Option<Tile>; 2] = [None, None];
        let mut tiles = tiles.fuse();
        for turn in 0.. {
            let place = turn % 2;
            let lane = &mut lanes[place];
            let found = match running[place].take() {
                Some(tile) => Some(self.collect(lane, tile)?),
                None => None,
            };
            // The lane works on its next tile while the host sorts what the last one has given.
            if let Some(next) = found.as_ref().is_none_or(Found::is_downloaded).then(|| tiles.next()).flatten() {
                lane.start(&next, &self.criterion)?;
                running[place] = Some(next);
            }
            let flow = match found {
                Some(found) => self.hand_over(lane, found)?,
                None => ControlFlow::Continue(()),
            };
            if flow.is_break() {
                return Ok(flow);
            }
            if running[place].is_none() {
                // After a tile whose values were read from its lane.
                if let Some(next) = tiles.next() {
                    lane.start(&next, &self.criterion)?;
                    running[place] = Some(next);
                }
            }
            if running.iter().all(Option::is_none) {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Waits for a tile; downloads its survivors where they fit.
    fn collect<L: Lane>(&mut self, lane: &mut L, tile: Tile) -> Result<Found, GpuError> {
        let mut count = lane.survivors()?;
        let mut criterion = self.criterion;
        if let Some(strongest) = &self.strongest
            && (count > lane.capacity() || count > MANY_SURVIVORS.max(twice(strongest.count())))
        {
            criterion = tighten(lane, criterion, strongest.count())?;
            count = lane.select_again(&criterion)?;
        }
        if count > lane.capacity() {
            return Ok(Found::Products(tile, criterion));
        }
        Ok(Found::Pairs(lane.download(usize::try_from(count).unwrap_or(usize::MAX))?))
    }

    fn hand_over<L: Lane>(&mut self, lane: &mut L, found: Found) -> Result<ControlFlow<()>, GpuError> {
        let (tile, mut criterion) = match found {
            Found::Pairs(mut pairs) => {
                if self.strongest.is_none() {
                    pairs.sort_unstable_by_key(|pair| (pair.row, pair.column));
                }
                return Ok(self.give(pairs));
            }
            Found::Products(tile, criterion) => (tile, criterion),
        };
        let step = lane.rows_at_once(&tile).max(1);
        for start in (0..tile.rows.len()).step_by(step) {
            let rows = start..(start + step).min(tile.rows.len());
            let values = lane.values(rows.clone())?;
            criterion.floor = criterion.floor.max(self.criterion.floor);
            let pairs = kept(&values, &tile, rows, &criterion);
            if self.give(pairs).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn give(&mut self, pairs: Vec<Pair>) -> ControlFlow<()> {
        let Some(strongest) = &mut self.strongest else {
            return (self.sink)(pairs);
        };
        strongest.add(pairs);
        self.criterion.floor = strongest.floor();
        (self.sink)(vec![])
    }

    /// Hands over the strongest, if it was they that were asked for.
    pub(super) fn finish(self) {
        let best = self.strongest.map(Strongest::finish).unwrap_or_default();
        for pairs in best.chunks(HANDED_OVER) {
            if (self.sink)(pairs.to_vec()).is_break() {
                return;
            }
        }
    }
}

/// What a tile has given.
enum Found {
    /// Its survivors, unsorted.
    Pairs(Vec<Pair>),
    /// Too many survivors of the criterion: the products still lie in the lane.
    Products(Tile, Criterion),
}

impl Found {
    fn is_downloaded(&self) -> bool {
        matches!(self, Self::Pairs(_))
    }
}

/// Raises the floor as far as a tile alone allows: at least `count` of its pairs reach it, and, unless ranks tie, at
/// most about twice as many.
fn tighten<L: Lane>(lane: &mut L, wanted: Criterion, count: usize) -> Result<Criterion, GpuError> {
    const ROUNDS: usize = 6;
    let lowest = if wanted.by == Rank::Magnitude { 0.0 } else { -1.0 };
    let mut bins = Bins::between(wanted.floor.max(lowest), 1.0);
    let mut tight = wanted;
    for _ in 0..ROUNDS {
        let counts = lane.histogram(&tight, &bins)?;
        let Some(floor) = bins.floor(&counts, count.max(1)) else { break };
        // Never below what all tiles together have reached.
        tight.floor = tight.floor.max(floor.value);
        if floor.reached <= twice(count) || floor.last {
            break;
        }
        bins = floor.finer;
    }
    Ok(tight)
}

fn twice(count: usize) -> u64 {
    (count as u64).saturating_mul(2)
}

/// The pairs that the criterion keeps of the values of some rows of a tile, in order.
pub(super) fn kept(values: &[f64], tile: &Tile, rows: Range<usize>, criterion: &Criterion) -> Vec<Pair> {
    let mut pairs = vec![];
    for (i, row) in rows.zip(values.chunks_exact(tile.columns.len().max(1))) {
        for (j, &value) in row.iter().enumerate() {
            if tile.has(i, j) && criterion.keeps(value, 0.0) {
                pairs.push(Pair { row: (tile.rows.start + i) as u32, column: (tile.columns.start + j) as u32, value });
            }
        }
    }
    pairs
}
