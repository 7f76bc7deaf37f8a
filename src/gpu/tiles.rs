//! Which products are computed, which of them are kept, and how they are cut into tiles.

use std::ops::Range;

use super::error::GpuError;

/// Rows of a tile, and of a block of a resident panel, at most.
pub(super) const LARGEST_TILE: usize = 4096;

/// Rows of a tile at least; below it the work goes to the CPU.
pub(super) const SMALLEST_TILE: usize = 256;

/// In what arithmetic products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Double precision: agrees with the CPU within 1e-12.
    F64,
    /// Single precision throughout, errors of about 1e-6.
    F32,
    /// Single precision, multiplied on tensor cores with 10 bits of mantissa: errors of about 1e-3.
    Tf32,
}

impl Precision {
    /// Bytes of one value of a panel or a product.
    pub(super) fn element_bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::Tf32 => 4,
        }
    }
}

/// A pair of rows and its correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub struct Pair {
    /// Row of the left panel.
    pub row: u32,
    /// Row of the right panel.
    pub column: u32,
    /// Product of the two rows, in [-1, 1].
    pub value: f64,
}

/// By what the strongest pairs are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Rank {
    /// The largest absolute values.
    Magnitude = 0,
    /// The largest values.
    Highest = 1,
    /// The smallest values.
    Lowest = 2,
}

impl Rank {
    /// What is compared: larger is stronger.
    pub(super) fn of(self, value: f64) -> f64 {
        match self {
            Self::Magnitude => value.abs(),
            Self::Highest => value,
            Self::Lowest => -value,
        }
    }
}

/// Which products come back. NaN never does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Keep {
    /// Every one.
    All,
    /// Those at or above `above` and those at or below `below`; an infinity switches a side off.
    Outside {
        /// Kept from here upwards.
        above: f64,
        /// Kept from here downwards.
        below: f64,
    },
    /// The `count` strongest of those outside; ties go to the smaller row, then the smaller column. They come last, strongest first.
    ///
    /// Memory of the host: at most about 40 bytes times `count`, and a tile.
    Strongest {
        /// How many.
        count: usize,
        /// By what.
        by: Rank,
        /// As [`Keep::Outside`]: `(above, below)`; `(-inf, -inf)` takes every pair.
        outside: (f64, f64),
    },
}

/// The test that each product must pass: (`c >= above` or `c <= below`) and `rank(c) >= floor`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Criterion {
    pub(super) above: f64,
    pub(super) below: f64,
    pub(super) floor: f64,
    pub(super) by: Rank,
}

impl Criterion {
    pub(super) fn of(keep: &Keep) -> Result<Self, GpuError> {
        const NEVER: f64 = f64::NEG_INFINITY;
        let (above, below, by) = match *keep {
            Keep::All => (NEVER, NEVER, Rank::Magnitude),
            Keep::Outside { above, below } => (above, below, Rank::Magnitude),
            Keep::Strongest { by, outside: (above, below), .. } => (above, below, by),
        };
        if above.is_nan() || below.is_nan() {
            return Err(GpuError::Shape("a bound of correlations is not a number".into()));
        }
        Ok(Self { above, below, floor: f64::NEG_INFINITY, by })
    }

    /// Whether every product passes that is a number.
    pub(super) fn keeps_all(&self) -> bool {
        self.above <= -1.0 && self.floor <= -1.0
    }

    /// `slack` widens the test.
    pub(super) fn keeps(&self, value: f64, slack: f64) -> bool {
        (value >= self.above - slack || value <= self.below + slack) && self.by.of(value) >= self.floor - slack
    }
}

/// By how much a criterion is widened when it decides which products near 1 are computed again: more than the
/// rounding of a product of unit vectors of so many values.
pub(super) fn refinement_slack(columns: usize) -> f64 {
    (columns as f64 * f64::EPSILON).max(1e-12)
}

/// The products asked for: rows of the left panel times columns, which are rows of the right panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rectangle {
    /// Rows of the left panel.
    pub rows: Range<usize>,
    /// Rows of the right panel.
    pub columns: Range<usize>,
    /// Only pairs whose row is below their column; both panels are the same then.
    pub triangle: bool,
}

impl Rectangle {
    /// The tiles of `size` x `size`, cut at multiples of `size`, row by row. Tiles without a pair are left out.
    pub(super) fn tiles(&self, size: usize) -> impl Iterator<Item = Tile> + use<> {
        let (columns, triangle) = (self.columns.clone(), self.triangle);
        pieces(&self.rows, size).flat_map(move |rows| {
            let tiles = pieces(&columns, size).map(move |columns| Tile { rows: rows.clone(), columns, triangle });
            tiles.filter_map(Tile::with_pairs)
        })
    }
}

/// A range cut at the multiples of `size`.
pub(super) fn pieces(range: &Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let (start, end) = (range.start, range.end);
    let first = start / size;
    let last = if start < end { end.div_ceil(size) } else { first };
    (first..last).map(move |piece| (piece * size).max(start)..((piece + 1) * size).min(end))
}

/// A part of the matrix of products, computed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    /// Whether some of its elements lie below the triangle.
    pub(super) triangle: bool,
}

impl Tile {
    /// The tile, `None` where no row is below a column; the triangle is forgotten where all are.
    fn with_pairs(self) -> Option<Self> {
        if !self.triangle {
            return Some(self);
        }
        let triangle = self.rows.end > self.columns.start;
        (self.rows.start + 1 < self.columns.end).then_some(Self { triangle, ..self })
    }

    pub(super) fn elements(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Whether element (`i`, `j`), counted from the tile's corner, is a pair.
    pub(super) fn has(&self, i: usize, j: usize) -> bool {
        !self.triangle || self.rows.start + i < self.columns.start + j
    }
}

/// Sizes that fit the memory there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Rows and columns of a tile, a power of two.
    pub(super) tile: usize,
    /// Rows of the window of a left panel that is not resident; 0 for a resident one.
    pub(super) left_rows: usize,
    /// Rows of each window of a right panel that is not resident; 0 for a resident one.
    pub(super) right_rows: usize,
    /// Windows of the right panel: a second one is loaded while the first is worked on.
    pub(super) right_windows: usize,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub(super) precision: Precision,
    /// Bytes of one row on the device.
    pub(super) row_bytes: usize,
    /// Rows of the left panel that must be streamed; 0 where it is resident.
    pub(super) left_streamed: usize,
    /// Rows of the right panel that must be streamed; 0 where it is resident.
    pub(super) right_streamed: usize,
}

/// Bytes that the two lanes of tiles of this size take: products, and survivors of a quarter of them.
pub(super) fn lane_bytes(tile: usize, precision: Precision) -> usize {
    tile * tile * precision.element_bytes() + survivor_capacity(tile) * size_of::<Pair>()
}

/// Survivors that a lane has room for. Above a quarter of the products, their values are no larger than the survivors.
pub(super) fn survivor_capacity(tile: usize) -> usize {
    tile * tile / 4
}

impl Plan {
    /// The sizes for tiles of `tile` rows within `budget` bytes; `None` where they do not fit.
    ///
    /// A streamed left panel gets what the windows of the right panel leave: the more of it is there, the less often
    /// the right one is read.
    pub(super) fn new(tile: usize, demand: &Demand, budget: u64) -> Option<Self> {
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        let rest = budget.checked_sub(2 * lane_bytes(tile, demand.precision))?;
        let rows = rest / demand.row_bytes.max(1);
        // The range may start between two multiples of the tile, so that one more piece is needed.
        let needed = |streamed: usize| if streamed == 0 { 0 } else { streamed.next_multiple_of(tile) + tile };
        let (left, right) = (needed(demand.left_streamed), needed(demand.right_streamed));
        let share = if left == 0 { rows } else { rows / 2 };
        let windows = if right <= share { 1 } else { 2 };
        let right_rows = right.min(share / windows / tile * tile);
        let left_rows = left.min((rows - right_rows * windows) / tile * tile);
        if (left > 0 && left_rows == 0) || (right > 0 && right_rows == 0) {
            return None;
        }
        Some(Self { tile, left_rows, right_rows, right_windows: windows })
    }

    /// The largest tile to begin with: no larger than the rectangle needs, nor than the blocks of resident panels.
    pub(super) fn first_tile(rectangle: &Rectangle, block_rows: usize) -> usize {
        let longest = rectangle.rows.len().max(rectangle.columns.len());
        longest.next_power_of_two().clamp(SMALLEST_TILE, LARGEST_TILE).min(block_rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rectangle(rows: Range<usize>, columns: Range<usize>, triangle: bool) -> Rectangle {
        Rectangle { rows, columns, triangle }
    }

    /// How often each pair of a rectangle lies in a tile.
    fn covered(rectangle: &Rectangle, size: usize) -> Vec<(usize, usize)> {
        let mut seen = vec![];
        for tile in rectangle.tiles(size) {
            for i in 0..tile.rows.len() {
                let row = tile.rows.start + i;
                seen.extend((0..tile.columns.len()).filter(|&j| tile.has(i, j)).map(|j| (row, tile.columns.start + j)));
            }
        }
        seen.sort_unstable();
        seen
    }

    #[test]
    fn tiles_hold_each_pair_once() {
        for (rows, columns) in [(0..10, 0..10), (3..9, 2..17), (5..6, 0..30), (12..20, 0..11), (4..4, 0..9)] {
            for triangle in [false, true] {
                let whole = rectangle(rows.clone(), columns.clone(), triangle);
                let mut expected = vec![];
                for row in rows.clone() {
                    expected.extend(columns.clone().filter(|&column| !triangle || row < column).map(|column| (row, column)));
                }
                for size in [1, 4, 16] {
                    assert_eq!(covered(&whole, size), expected, "{whole:?} in tiles of {size}");
                }
            }
        }
    }

    #[test]
    fn tiles_never_cross_a_multiple_of_their_size() {
        for tile in rectangle(3..21, 5..40, false).tiles(8) {
            assert_eq!(tile.rows.start / 8, (tile.rows.end - 1) / 8);
            assert_eq!(tile.columns.start / 8, (tile.columns.end - 1) / 8);
        }
    }

    #[test]
    fn tiles_without_a_pair_are_left_out() {
        assert_eq!(rectangle(0..32, 0..32, true).tiles(8).count(), 10);
        assert_eq!(rectangle(0..9, 0..9, true).tiles(8).count(), 2);
    }

    #[test]
    fn a_criterion_takes_both_tails_and_never_nan() {
        let wanted = Criterion::of(&Keep::Outside { above: 0.8, below: -0.9 }).unwrap();
        let kept: Vec<bool> = [0.8, 0.79, -0.9, -0.89, f64::NAN].iter().map(|&c| wanted.keeps(c, 0.0)).collect();
        assert_eq!(kept, [true, false, true, false, false]);
        assert!(wanted.keeps(0.8 - 1e-13, 1e-12));
        assert!(!Criterion::of(&Keep::All).unwrap().keeps(f64::NAN, 0.0));
        assert!(Criterion::of(&Keep::All).unwrap().keeps_all());
        assert!(!Criterion { floor: 0.1, ..Criterion::of(&Keep::All).unwrap() }.keeps_all());
        assert!(Criterion::of(&Keep::Outside { above: f64::NAN, below: 0.0 }).is_err());
    }

    #[test]
    fn plans_stay_within_their_budget() {
        let demand = |left_streamed, right_streamed| Demand { precision: Precision::F64, row_bytes: 1024, left_streamed, right_streamed };
        let resident = demand(0, 0);
        let lanes = 2 * lane_bytes(256, Precision::F64) as u64;
        assert_eq!(Plan::new(256, &resident, lanes - 1), None);
        assert_eq!(Plan::new(256, &resident, lanes), Some(Plan { tile: 256, left_rows: 0, right_rows: 0, right_windows: 1 }));
        for streamed in [demand(1000, 1000), demand(100_000, 100_000), demand(0, 100_000), demand(100_000, 0)] {
            for rows in [0_u64, 512, 768, 1024, 4096, 20_000, 1_000_000] {
                let budget = lanes + rows * 1024;
                let Some(plan) = Plan::new(256, &streamed, budget) else {
                    assert!(rows <= 768, "{rows} rows are enough for windows of one tile: {streamed:?}");
                    continue;
                };
                let taken = lanes as usize + 1024 * (plan.left_rows + plan.right_windows * plan.right_rows);
                assert!(taken as u64 <= budget, "{plan:?} takes {taken} of {budget}");
                assert!(plan.left_rows.is_multiple_of(256) && plan.right_rows.is_multiple_of(256));
                assert_eq!((plan.left_rows > 0, plan.right_rows > 0), (streamed.left_streamed > 0, streamed.right_streamed > 0));
            }
        }
    }

    #[test]
    fn the_first_tile_is_no_larger_than_needed() {
        assert_eq!(Plan::first_tile(&rectangle(0..10, 0..10, true), 4096), 256);
        assert_eq!(Plan::first_tile(&rectangle(0..1000, 0..10, true), 4096), 1024);
        assert_eq!(Plan::first_tile(&rectangle(0..100_000, 0..100_000, true), 4096), 4096);
        assert_eq!(Plan::first_tile(&rectangle(0..100_000, 0..100_000, true), 512), 512);
    }
}
