//! Pairs as batches of the result.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;

use super::conditions::Conditions;
use super::periods::{Period, as_column};
use super::query::PeriodTypes;
use super::select::Pair;

/// How pairs are written.
pub(super) struct Output {
    pub(super) schema: SchemaRef,
    /// Names of the first and second series.
    pub(super) names: [ArrayRef; 2],
    pub(super) types: PeriodTypes,
    pub(super) conditions: Conditions,
    pub(super) batch_rows: usize,
}

impl Output {
    /// The pairs of one window (which ends at `end`, where the result says so) for which the conditions hold.
    ///
    /// # Errors
    /// A condition that cannot be evaluated.
    pub(super) fn batches(&self, pairs: &[Pair], end: Option<Period>) -> Result<Vec<RecordBatch>> {
        let batch = |pairs: &[Pair]| self.conditions.filter(self.batch(pairs, end)?);
        let batches = pairs.chunks(self.batch_rows.max(1)).map(batch).collect::<Result<Vec<_>>>()?;
        Ok(batches.into_iter().filter(|batch| batch.num_rows() > 0).collect())
    }

    fn batch(&self, pairs: &[Pair], end: Option<Period>) -> Result<RecordBatch> {
        let name = |names: &ArrayRef, of: fn(&Pair) -> u32| take(names, &UInt32Array::from_iter_values(pairs.iter().map(of)), None);
        let mut columns = vec![name(&self.names[0], |pair| pair.a)?, name(&self.names[1], |pair| pair.b)?];
        if let Some((date, slot)) = end {
            columns.push(as_column(vec![date; pairs.len()], &self.types.date)?);
            if let Some(data_type) = &self.types.slot {
                columns.push(as_column(vec![slot; pairs.len()], data_type)?);
            }
        }
        columns.push(Arc::new(pairs.iter().map(|pair| pair.value).collect::<Float64Array>()));
        columns.push(Arc::new(pairs.iter().map(|pair| i64::from(pair.n)).collect::<Int64Array>()));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
