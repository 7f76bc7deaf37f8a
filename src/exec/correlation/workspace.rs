//! Memory for what is computed with, apart from the series that are held.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use super::measure::Measure;
use super::panel::Panel;
use super::select::Pair;
use super::store::{ROOM, grow_in_part};

/// Series of one block, at most. A tile of two blocks then fits into a core's cache, and one takes milliseconds.
const BLOCK_ROWS: usize = 256;

/// Products of two numbers in a tile, about: fewer series make a block where periods are many, so that a tile still takes milliseconds.
const TILE_PRODUCTS: usize = 1 << 28;

/// Fewest series of a block.
const FEWEST_ROWS: usize = 16;

/// Series of a block over so many periods.
pub(super) fn block_rows(periods: usize) -> usize {
    let rows = (TILE_PRODUCTS / periods.max(1)).isqrt() / FEWEST_ROWS * FEWEST_ROWS;
    rows.clamp(FEWEST_ROWS, BLOCK_ROWS)
}

/// What a piece of work takes, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// A row of a complete series.
    pub(super) row: usize,
    /// A row of a series of which any period may be missing.
    pub(super) masked_row: usize,
    /// The products and pairs of a tile.
    pub(super) tile: usize,
    block_rows: usize,
    periods: usize,
}

impl Sizes {
    /// Those over so many periods.
    pub(super) fn of(periods: usize, measure: Measure) -> Self {
        let block_rows = block_rows(periods);
        // Masks alone, or also values and squares; six products of them.
        let (masks, products) = if measure.has_masked_products() { (3, 6) } else { (1, 1) };
        let pairs = block_rows * block_rows;
        Self { row: periods * 8, masked_row: periods * 8 * masks, tile: pairs * (8 * products + size_of::<Pair>()), block_rows, periods }
    }

    /// So many blocks while they are prepared: their values as they came, and prepared.
    pub(super) fn preparation(&self, blocks: usize) -> usize {
        2 * blocks * self.block_rows * self.row
    }

    /// The least that a search can do with: one block while it is prepared, later one tile of two blocks.
    fn least(&self, gaps: bool) -> usize {
        let row = if gaps { self.masked_row.max(self.row) } else { self.row };
        2 * self.block_rows * row + self.tile
    }
}

/// Memory for blocks that are prepared, or that are not held and are read again; for products, and for pairs on their way.
#[derive(Debug)]
pub(super) struct Workspace {
    reservation: MemoryReservation,
    least: usize,
    pub(super) sizes: Sizes,
}

impl Workspace {
    /// What is needed for windows of so many periods, for which series of the panels wait in their scratch files where memory is refused.
    ///
    /// # Errors
    /// Memory that is refused even so; a scratch file that cannot be written.
    pub(super) fn try_new(pool: &Arc<dyn MemoryPool>, panels: &mut [Panel], periods: usize, measure: Measure) -> Result<Self> {
        let gaps = panels.iter().any(Panel::has_gaps);
        let sizes = Sizes::of(periods, measure);
        let masks: usize = if gaps { panels.iter().map(|panel| panel.count() * periods.div_ceil(64) * 16).sum() } else { 0 };
        let least = sizes.least(gaps) + masks;
        let reservation = MemoryConsumer::new("CorrelationExec: blocks").register(pool);
        let (last, others) = match panels {
            [] => return Ok(Self { reservation, least: 0, sizes }),
            [others @ .., last] => (last, others),
        };
        if others.iter_mut().all(|panel| panel.reserve_for(&reservation, least + ROOM).is_err()) {
            last.reserve_for(&reservation, least + ROOM)?;
        }
        reservation.shrink(ROOM);
        Ok(Self { reservation, least, sizes })
    }

    /// Periods of a window.
    pub(super) fn periods(&self) -> usize {
        self.sizes.periods
    }

    /// How many pieces of work, of at most `most`, can be done at a time: `bytes` tells what so many take.
    pub(super) fn pieces(&self, most: usize, bytes: impl Fn(usize) -> usize) -> usize {
        let mut pieces = most.max(1);
        while pieces > 1 && bytes(pieces) > self.reservation.size() && !grow_in_part(&self.reservation, bytes(pieces)) {
            pieces = pieces.div_ceil(2);
        }
        pieces
    }

    /// Gives back what is not needed for one piece.
    pub(super) fn shrink(&self) {
        self.reservation.shrink(self.reservation.size().saturating_sub(self.least));
    }
}
