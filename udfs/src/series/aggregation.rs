//! Aggregates of series.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};

use super::exec::{Batches, Work};
use super::gathered::Gathered;

/// Rows after which results are computed: few enough to stay in the processor's cache.
const BLOCK_ROWS: usize = 16_384;

/// Aggregate calls over series, one result each.
#[derive(Debug, Clone)]
pub(super) struct Aggregation {
    schema: SchemaRef,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Call {
    function: Arc<AggregateFunctionExpr>,
    /// Arguments, then the keys of its order.
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl Aggregation {
    /// The calls of an aggregation; `None` when it is not in one stage by partitions, is limited, or has a call without an accumulator of
    /// many groups.
    pub(super) fn of(aggregate: &AggregateExec) -> Option<Self> {
        let functions = aggregate.aggr_expr();
        let plain = aggregate.mode() == &AggregateMode::SinglePartitioned
            && aggregate.limit_options().is_none()
            && aggregate.group_expr().is_single()
            && functions.iter().all(|function| function.groups_accumulator_supported());
        let args = aggregate_expressions(functions, aggregate.mode(), 0).ok().filter(|_| plain)?;
        let call = |((function, args), filter): ((&Arc<_>, _), &Option<Arc<_>>)| Call {
            function: Arc::clone(function),
            args,
            filter: filter.clone(),
        };
        let calls = functions.iter().zip(args).zip(aggregate.filter_expr()).map(call).collect();
        Some(Self { schema: aggregate.schema(), calls })
    }
}

impl Work for Aggregation {
    fn describe(&self) -> String {
        let names: Vec<&str> = self.calls.iter().map(|call| call.function.name()).collect();
        format!("aggr=[{}]", names.join(", "))
    }

    fn by_row(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.calls.iter().flat_map(|call| call.args.iter().chain(&call.filter)).cloned().collect()
    }

    fn batches(&self, rows: Arc<Gathered>, partition: usize, batch_size: usize) -> Result<Batches> {
        let accumulators = self.calls.iter().map(|call| call.function.create_groups_accumulator()).collect::<Result<_>>()?;
        Ok(Box::new(Results { aggregation: self.clone(), rows, partition, batch_size, done: 0, accumulators }))
    }
}

/// The results of one output partition.
struct Results {
    aggregation: Aggregation,
    rows: Arc<Gathered>,
    partition: usize,
    batch_size: usize,
    /// Series that are done.
    done: usize,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
}

impl Iterator for Results {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = Arc::clone(&self.rows);
        let series = &rows.outputs[self.partition][self.done..];
        (!series.is_empty()).then(|| self.block(series))
    }
}

impl Results {
    /// The results of the next of these series.
    fn block(&mut self, series: &[u32]) -> Result<RecordBatch> {
        let most = series.len().min(self.batch_size);
        let (mut rows, mut groups) = (0, 0);
        while groups < most && rows < BLOCK_ROWS {
            rows += self.add(series[groups], groups, most)?;
            groups += 1;
        }
        self.done += groups;
        let places: UInt32Array = series[..groups].iter().copied().collect();
        let mut columns: Vec<ArrayRef> = self.rows.keys.iter().map(|keys| Ok(take(keys, &places, None)?)).collect::<Result<_>>()?;
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.aggregation.schema), columns)?)
    }

    /// Adds the rows of a series as those of group `group`; returns their number.
    fn add(&mut self, series: u32, group: usize, most: usize) -> Result<usize> {
        let mut rows = 0;
        let mut groups = vec![];
        for &run in self.rows.runs(series) {
            let batch = self.rows.blank_rows(run)?;
            groups.resize(batch.num_rows(), group);
            rows += batch.num_rows();
            for (call, accumulator) in self.aggregation.calls.iter().zip(&mut self.accumulators) {
                let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(batch.num_rows());
                let values = call.args.iter().map(column).collect::<Result<Vec<_>>>()?;
                let filter = call.filter.as_ref().map(column).transpose()?;
                accumulator.update_batch(&values, &groups, filter.as_ref().map(|filter| filter.as_boolean()), group + 1)?;
            }
        }
        debug_assert!(group < most);
        Ok(rows)
    }
}
