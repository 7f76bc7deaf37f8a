//! A file that was read, as a source of strategies; and levels turned into differences.

use std::ops::Range;

use datafusion::arrow::record_batch::RecordBatch;

use super::matrix::Matrix;
use super::source::{StrategySource, check_block};
use crate::error::Result;

/// Strategies of one file, in memory or in a scratch file.
#[derive(Debug)]
pub(crate) struct FileSource {
    /// Periods in table order.
    pub(crate) periods: RecordBatch,
    /// Names in source order.
    pub(crate) strategies: Vec<String>,
    /// Values by file row and column.
    pub(crate) matrix: Matrix,
    /// File row of each period.
    pub(crate) rows: Vec<u32>,
}

impl StrategySource for FileSource {
    fn periods(&self) -> &RecordBatch {
        &self.periods
    }

    fn strategies(&self) -> &[String] {
        &self.strategies
    }

    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()> {
        check_block(self, ordinals, &periods, out)?;
        self.matrix.read(ordinals, &self.rows[periods], out)
    }
}

/// Equity levels as P&L: each value less the one before.
///
/// The first is NULL, and so is a difference next to a missing level: nothing is carried over a gap.
#[derive(Debug)]
pub(crate) struct LevelDifferences<S> {
    levels: S,
}

impl<S: StrategySource> LevelDifferences<S> {
    /// The differences of these levels.
    pub(crate) fn new(levels: S) -> Self {
        Self { levels }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: StrategySource> StrategySource for LevelDifferences<S> {
    fn periods(&self) -> &RecordBatch {
        self.levels.periods()
    }

    fn strategies(&self) -> &[String] {
        self.levels.strategies()
    }

    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()> {
        check_block(self, ordinals, &periods, out)?;
        if periods.is_empty() {
            return Ok(());
        }
        let before = usize::from(periods.start > 0);
        let height = periods.len() + before;
        let mut levels = vec![0.0; ordinals.len() * height];
        self.levels.read_block(ordinals, periods.start - before..periods.end, &mut levels)?;
        for (levels, out) in levels.chunks_exact(height).zip(out.chunks_exact_mut(periods.len())) {
            // Without a level before the first period its difference is NULL, and NULL is NaN here.
            let first = if before == 0 { f64::NAN } else { levels[1] - levels[0] };
            let rest = levels[before..].windows(2).map(|pair| pair[1] - pair[0]);
            out.iter_mut().zip(std::iter::once(first).chain(rest)).for_each(|(out, difference)| *out = difference);
        }
        Ok(())
    }
}
