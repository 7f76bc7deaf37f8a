//! What every reader of strategy data hands to the writer: a matrix of strategies by periods, in any storage.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};

/// Strategies x periods of one source, in any storage (memory, scratch file, computed).
///
/// Values are f64 and NaN stands for NULL: a source never holds NaN or an infinity as data. Reading is by position, from any
/// thread and in any order, and the same call gives the same bits.
pub trait StrategySource: Send + Sync {
    /// One row per period in table order, that is by (date, slot).
    ///
    /// Columns: `date` Date32, `slot` Int32 where a date has several rows, then the context columns the source has: `day`, `zone`,
    /// `start_time`, `end_time`, `market_regime`, `regime_confidence`, `transition_threshold`, `capital`, then others kept. Text is
    /// Dictionary(Int32, Utf8), a time Timestamp(Microsecond) without zone, a number Float64.
    fn periods(&self) -> &RecordBatch;

    /// Names of the strategies; the position is the ordinal, as in the source.
    fn strategies(&self) -> &[String];

    /// Reads `ordinals` x `periods` into `out`, strategy by strategy: value of strategy `s`, period `p` at `out[s * periods.len() + p]`.
    ///
    /// # Errors
    /// Fails when the storage behind it cannot be read.
    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()>;
}

impl<S: StrategySource + ?Sized> StrategySource for Arc<S> {
    fn periods(&self) -> &RecordBatch {
        (**self).periods()
    }

    fn strategies(&self) -> &[String] {
        (**self).strategies()
    }

    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()> {
        (**self).read_block(ordinals, periods, out)
    }
}

/// Refuses a block whose output or positions do not fit the source: a caller's mistake, never the data's.
pub(crate) fn check_block(source: &dyn StrategySource, ordinals: &[u32], periods: &Range<usize>, out: &[f64]) -> Result<()> {
    let strategies = source.strategies().len();
    let fits = periods.start <= periods.end
        && periods.end <= source.periods().num_rows()
        && out.len() == ordinals.len() * periods.len()
        && ordinals.iter().all(|&o| (o as usize) < strategies);
    if fits {
        Ok(())
    } else {
        Err(Error::Internal(format!("block of {} strategies x periods {periods:?} outside the source", ordinals.len())))
    }
}
