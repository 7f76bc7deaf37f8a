//! Groups that span strategies: the states of all units, put together in the order of the units.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::keys::Keys;
use super::query::{GroupColumn, RunCall, RunQuery};

/// The groups of one unit.
pub(super) struct PartialGroups {
    /// Key columns, one row per group.
    pub(super) keys: Vec<ArrayRef>,
    /// Of each aggregate, its state columns, one row per group.
    pub(super) states: Vec<Vec<ArrayRef>>,
    pub(super) groups: usize,
}

/// All groups of the query.
pub(super) struct Merge<'a> {
    query: &'a RunQuery,
    /// `None` until a group has come.
    keys: Option<Keys>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    memory: MemoryReservation,
}

impl<'a> Merge<'a> {
    pub(super) fn try_new(query: &'a RunQuery, memory: MemoryReservation) -> Result<Self> {
        let accumulators = query.calls.iter().map(|call| call.accumulator()).collect::<Result<_>>()?;
        Ok(Self { query, keys: None, accumulators, memory })
    }

    pub(super) fn add(&mut self, part: &PartialGroups) -> Result<()> {
        if part.groups == 0 {
            return Ok(());
        }
        // Keys of a unit are plain: what was a dictionary in an expression is its values.
        let types: Vec<DataType> = part.keys.iter().map(|column| column.data_type().clone()).collect();
        let keys = match &mut self.keys {
            Some(keys) => keys,
            none => none.insert(Keys::try_new(&types)?),
        };
        let numbers: Vec<usize> = keys.number(&part.keys, part.groups)?.into_iter().map(|number| number as usize).collect();
        for (accumulator, states) in self.accumulators.iter_mut().zip(&part.states) {
            accumulator.merge_batch(states, &numbers, keys.count())?;
        }
        let states: usize = self.accumulators.iter().map(|accumulator| accumulator.size()).sum();
        self.memory.try_resize(states + keys.size_bytes())
    }

    /// One row per group; without grouping exactly one, also of no rows.
    pub(super) fn finish(mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let Some(keys) = &self.keys else { return self.of_no_rows(schema) };
        let groups = keys.count();
        let keys = keys.columns(0..groups as u32)?;
        let mut columns: Vec<ArrayRef> = vec![];
        for column in &self.query.groups {
            if let GroupColumn::Key(key) = column {
                columns.push(ArrayRef::clone(&keys[*key]));
            }
        }
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        result_batch(schema, columns, groups)
    }

    fn of_no_rows(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        if !self.query.groups.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(schema)));
        }
        let value = |call: &RunCall| call.function.create_accumulator()?.evaluate()?.to_array();
        result_batch(schema, self.query.calls.iter().map(value).collect::<Result<_>>()?, 1)
    }
}

/// Columns as the result's schema wants them.
pub(super) fn result_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let fitted = columns.iter().zip(schema.fields()).map(|(column, field)| Ok(cast(column, field.data_type())?));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), fitted.collect::<Result<_>>()?, &options)?)
}
