//! A source with one row per date, for a table that has several: each row is slot 1.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;

use super::StrategySource;
use crate::error::{Error, Result};

/// Wraps a source without slots.
pub(super) struct SingleSlot {
    source: Arc<dyn StrategySource>,
    periods: RecordBatch,
}

impl SingleSlot {
    /// The source with `slot` 1 in every period.
    pub(super) fn try_new(source: Arc<dyn StrategySource>) -> Result<Self> {
        let before = source.periods();
        let mut fields: Vec<Arc<Field>> = before.schema().fields().iter().cloned().collect();
        let mut columns: Vec<ArrayRef> = before.columns().to_vec();
        fields.insert(1, Arc::new(Field::new("slot", DataType::Int32, false)));
        columns.insert(1, Arc::new(Int32Array::from(vec![1; before.num_rows()])));
        let periods = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| Error::Internal(e.to_string()))?;
        Ok(Self { source, periods })
    }
}

impl StrategySource for SingleSlot {
    fn periods(&self) -> &RecordBatch {
        &self.periods
    }

    fn strategies(&self) -> &[String] {
        self.source.strategies()
    }

    fn read_block(&self, ordinals: &[u32], periods: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.source.read_block(ordinals, periods, out)
    }
}
