//! The operator that streams batches through indicators.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::compute::{SortColumn, concat};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::evaluate_partition_ranges;
use datafusion::common::{Result, Statistics, internal_datafusion_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_expr::{Distribution, OrderingRequirements, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, StatisticsArgs};

use super::IndicatorUdwf;
use super::running::Running;

/// Batches that may wait for the reader.
const BATCHES_AHEAD: usize = 2;

/// Indicators over rows in the order of `PARTITION BY` and `ORDER BY`: whole batches at a time, nothing held but the states of one partition.
///
/// Schema, requirements and properties are those of DataFusion's window operator that it stands for.
#[derive(Debug)]
pub struct IndicatorExec {
    window: Arc<BoundedWindowAggExec>,
    calls: Vec<IndicatorCall>,
    metrics: ExecutionPlanMetricsSet,
}

/// A call of an indicator in a physical plan.
#[derive(Debug, Clone)]
struct IndicatorCall {
    function: IndicatorUdwf,
    args: Vec<Arc<dyn PhysicalExpr>>,
}

impl IndicatorCall {
    fn of(expr: &Arc<dyn WindowExpr>) -> Option<Self> {
        let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
        let call = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
        let function = IndicatorUdwf::of(call.fun())?.clone();
        Some(Self { function, args: call.args().to_vec() })
    }

    fn start(&self) -> Result<RunningCall> {
        let series = self.args.iter().take(self.function.indicator().series()).cloned().collect();
        Ok(RunningCall { series, running: self.function.start(&self.args)? })
    }
}

/// Whether a window expression is a call of an indicator.
pub(super) fn is_indicator(expr: &Arc<dyn WindowExpr>) -> bool {
    IndicatorCall::of(expr).is_some()
}

impl IndicatorExec {
    /// In the place of `window`; `None` when that has other functions too, or its rows are not sorted by partition.
    pub fn of(window: &BoundedWindowAggExec) -> Option<Self> {
        let sorted = window.input_order_mode == InputOrderMode::Sorted && window.state_observer().is_none();
        let calls = window.window_expr().iter().map(IndicatorCall::of).collect::<Option<Vec<_>>>()?;
        sorted.then(|| Self { window: Arc::new(window.clone()), calls, metrics: ExecutionPlanMetricsSet::new() })
    }
}

impl DisplayAs for IndicatorExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<&str> = self.window.window_expr().iter().map(|expr| expr.name()).collect();
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "calls={}", names.join(", ")),
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "IndicatorExec: calls=[{}]", names.join(", ")),
        }
    }
}

impl ExecutionPlan for IndicatorExec {
    fn name(&self) -> &'static str {
        "IndicatorExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.window.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.window.input_distribution_requirements().into_per_child()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.window.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.window.maintains_input_order()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.window.children()
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.window.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = Arc::clone(&self.window).replace_children(children, options)?;
        let replaced = window.downcast_ref::<BoundedWindowAggExec>().and_then(Self::of);
        Ok(Arc::new(replaced.ok_or_else(|| internal_datafusion_err!("IndicatorExec over another operator"))?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut rows = self.window.input().execute(partition, Arc::clone(&context))?;
        let mut work = Work {
            schema: self.window.schema(),
            partition_by: self.window.partition_by_sort_keys()?,
            calls: self.calls.iter().map(IndicatorCall::start).collect::<Result<_>>()?,
            last_keys: vec![],
            memory: MemoryConsumer::new(format!("IndicatorExec[{partition}]")).register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.window.schema(), BATCHES_AHEAD);
        let results = stream.tx();
        stream.spawn(async move {
            while let Some(batch) = poll_fn(|context| rows.as_mut().poll_next(context)).await {
                let result = work.next(&batch?)?;
                if results.send(Ok(result)).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(stream.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.window.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.window.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// A call at work.
struct RunningCall {
    series: Vec<Arc<dyn PhysicalExpr>>,
    running: Box<dyn Running>,
}

/// The states of one stream.
struct Work {
    schema: SchemaRef,
    partition_by: Vec<PhysicalSortExpr>,
    calls: Vec<RunningCall>,
    /// Partition of the last row so far, an array of one row for each key; none before the first row.
    last_keys: Vec<ArrayRef>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Work {
    /// The batch with the values of the calls.
    fn next(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let rows = batch.num_rows();
        if rows == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        let keys: Vec<SortColumn> = self.partition_by.iter().map(|key| key.evaluate_to_sort_column(batch)).collect::<Result<_>>()?;
        if !self.goes_on(&keys)? {
            self.calls.iter_mut().for_each(|call| call.running.restart());
        }
        let partitions = evaluate_partition_ranges(rows, &keys)?;
        let mut columns = batch.columns().to_vec();
        for call in &mut self.calls {
            let series: Vec<ArrayRef> = call.series.iter().map(|x| x.evaluate(batch)?.into_array(rows)).collect::<Result<_>>()?;
            columns.push(call.running.batch(&series, &partitions)?);
        }
        self.last_keys = keys.iter().map(|key| key.values.slice(rows - 1, 1)).collect();
        self.memory.try_resize(self.calls.iter().map(|call| call.running.size()).sum())?;
        self.metrics.record_output(rows);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Whether the first of these rows is of the partition of the last row before.
    fn goes_on(&self, keys: &[SortColumn]) -> Result<bool> {
        let neighbour = |(last, key): (&ArrayRef, &SortColumn)| -> Result<SortColumn> {
            Ok(SortColumn { values: concat(&[last, &key.values.slice(0, 1)])?, options: key.options })
        };
        let neighbours: Vec<SortColumn> = self.last_keys.iter().zip(keys).map(neighbour).collect::<Result<_>>()?;
        Ok(neighbours.len() == keys.len() && evaluate_partition_ranges(2, &neighbours)?.len() == 1)
    }
}
