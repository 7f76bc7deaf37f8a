//! The operator.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricValue, MetricsSet, SpillMetrics,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};

use super::aggregation::Aggregation;
use super::gather::{Taken, gather, next};
use super::gathered::Gathered;
use super::handover::handover;
use super::layout::Layout;
use super::ordering::Ordering;
use super::outcome::Outcome;

/// Batches that may wait for the reader.
const BATCHES_AHEAD: usize = 2;

/// The batches of one output partition.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// What is done with the series.
pub(super) trait Work: fmt::Debug + Send + Sync {
    /// As `EXPLAIN` shows it.
    fn describe(&self) -> String;

    /// The results of an output partition, in batches of about so many rows.
    ///
    /// # Errors
    /// Calls that cannot be made.
    fn batches(&self, rows: Arc<Gathered>, partition: usize, batch_size: usize) -> Result<Batches>;

    /// Expressions that need single rows, not only their keys.
    fn by_row(&self) -> Vec<Arc<dyn PhysicalExpr>>;
}

/// Aggregates or sorts series in the place of a plan that repartitions their rows by hash; see the module.
///
/// Schema, partitioning and order are those of that plan. Holds all rows of the input, accounted to the memory pool; declines at run time.
#[derive(Debug)]
pub struct SeriesExec {
    /// What it stands for: an operator over a repartition by hash.
    plain: Arc<dyn ExecutionPlan>,
    input: Arc<dyn ExecutionPlan>,
    layout: Arc<Layout>,
    work: Arc<dyn Work>,
    started: Mutex<Option<Started>>,
    metrics: ExecutionPlanMetricsSet,
    /// The plan that took over, for its metrics.
    declined_to: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

/// A run of the operator of which some output partitions are still to be asked for.
#[derive(Debug)]
struct Started {
    outcome: Arc<Outcome<Rows>>,
    asked: Vec<bool>,
}

/// Who has the rows.
#[derive(Debug)]
enum Rows {
    Gathered(Arc<Gathered>),
    Declined(Arc<dyn ExecutionPlan>),
}

impl SeriesExec {
    /// In the place of an aggregation in one stage behind a repartition by hash; `None` for other plans, and where nothing is gained.
    ///
    /// # Errors
    /// None for plans that DataFusion made.
    pub fn aggregation(aggregate: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        match aggregate.downcast_ref::<AggregateExec>().and_then(Aggregation::of) {
            Some(work) => Self::try_new(aggregate, Arc::new(work)),
            None => Ok(None),
        }
    }

    /// In the place of a sort of each partition behind a repartition by hash of its first keys; `None` for other plans.
    ///
    /// # Errors
    /// None for plans that DataFusion made.
    pub fn ordering(sort: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        match sort.downcast_ref::<SortExec>().and_then(Ordering::of) {
            Some(work) => Self::try_new(sort, Arc::new(work)),
            None => Ok(None),
        }
    }

    fn try_new(plain: &Arc<dyn ExecutionPlan>, work: Arc<dyn Work>) -> Result<Option<Self>> {
        let Some(repartition) = repartitioned(plain) else { return Ok(None) };
        let (Partitioning::Hash(keys, _), input) = (repartition.partitioning(), repartition.input()) else { return Ok(None) };
        if keys.is_empty() || input.boundedness().is_unbounded() {
            return Ok(None);
        }
        Ok(Some(Self {
            layout: Arc::new(Layout::try_new(input.schema(), keys.clone(), work.by_row())?),
            plain: Arc::clone(plain),
            input: Arc::clone(input),
            work,
            started: Mutex::new(None),
            metrics: ExecutionPlanMetricsSet::new(),
            declined_to: Arc::default(),
        }))
    }

    /// The run that an output partition belongs to: one for all partitions, another when a partition is asked for again.
    fn run(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Arc<Outcome<Rows>>> {
        if partition >= self.output_partitions() {
            return internal_err!("SeriesExec has no partition {partition}");
        }
        let mut place = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let mut started = match place.take() {
            Some(started) if !started.asked[partition] => started,
            _ => Started { outcome: Arc::new(self.start(context)?), asked: vec![false; self.output_partitions()] },
        };
        started.asked[partition] = true;
        let outcome = Arc::clone(&started.outcome);
        if started.asked.contains(&false) {
            *place = Some(started);
        }
        Ok(outcome)
    }

    fn output_partitions(&self) -> usize {
        self.properties().output_partitioning().partition_count()
    }

    fn start(&self, context: &Arc<TaskContext>) -> Result<Outcome<Rows>> {
        let partitions = 0..self.input.output_partitioning().partition_count();
        let inputs = partitions.map(|i| self.input.execute(i, Arc::clone(context))).collect::<Result<_>>()?;
        let (layout, plain, outputs) = (Arc::clone(&self.layout), Arc::clone(&self.plain), self.output_partitions());
        let (context, declined_to) = (Arc::clone(context), Arc::clone(&self.declined_to));
        let declined = MetricBuilder::new(&self.metrics).global_counter("declined");
        let spills = SpillManager::new(context.runtime_env(), SpillMetrics::new(&self.metrics, 0), self.input.schema());
        Ok(Outcome::of(async move {
            let parts = gather(Arc::clone(&layout), inputs, Arc::clone(&context)).await?;
            let parts = if parts.taken == Taken::Whole { Gathered::try_new(Arc::clone(&layout), parts, outputs)? } else { Err(parts) };
            Ok(match parts {
                Ok(gathered) => Rows::Gathered(Arc::new(gathered)),
                Err(parts) => {
                    declined.add(1);
                    let plan = over(&plain, handover(&layout, parts, &spills)?)?;
                    *declined_to.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&plan));
                    Rows::Declined(plan)
                }
            })
        }))
    }
}

/// The repartition by hash under a plan.
fn repartitioned(plain: &Arc<dyn ExecutionPlan>) -> Option<&RepartitionExec> {
    plain.children().first().copied()?.downcast_ref()
}

/// The plan with another input under its repartition.
fn over(plain: &Arc<dyn ExecutionPlan>, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(repartition) = plain.children().first().copied().cloned() else { return internal_err!("series: a plan without input") };
    let options = || ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plain).replace_children(vec![repartition.replace_children(vec![input], options())?], options())
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<String> = self.layout.keys().iter().map(ToString::to_string).collect();
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "by={}\n{}", keys.join(", "), self.work.describe()),
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "SeriesExec: by=[{}], {}", keys.join(", "), self.work.describe())
            }
        }
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &'static str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plain.properties()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        self.plain.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else { return internal_err!("SeriesExec has one input") };
        let replaced = Self::try_new(&over(&self.plain, input)?, Arc::clone(&self.work))?;
        Ok(Arc::new(replaced.ok_or_else(|| internal_datafusion_err!("SeriesExec over endless input"))?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let outcome = self.run(partition, &context)?;
        let (work, metrics) = (Arc::clone(&self.work), BaselineMetrics::new(&self.metrics, partition));
        let series: Count = MetricBuilder::new(&self.metrics).counter("series", partition);
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema(), BATCHES_AHEAD);
        let results = stream.tx();
        stream.spawn(async move {
            let gathered = match &*outcome.found().await? {
                Rows::Gathered(gathered) => Arc::clone(gathered),
                Rows::Declined(plan) => {
                    let mut batches = plan.execute(partition, context)?;
                    while let Some(batch) = next(&mut batches).await {
                        let batch = batch.inspect(|batch| metrics.record_output(batch.num_rows()));
                        if results.send(batch).await.is_err() {
                            break;
                        }
                    }
                    return Ok(());
                }
            };
            drop(outcome);
            series.add(gathered.outputs[partition].len());
            let mut batches = work.batches(gathered, partition, context.session_config().batch_size())?;
            let compute = metrics.elapsed_compute().clone();
            loop {
                let timer = compute.timer();
                let Some(batch) = batches.next() else { break };
                drop(timer);
                let batch = batch.inspect(|batch| metrics.record_output(batch.num_rows()));
                if results.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(stream.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut metrics = self.metrics.clone_inner();
        let declined_to = self.declined_to.lock().unwrap_or_else(PoisonError::into_inner);
        let spills =
            |value: &MetricValue| matches!(value, MetricValue::SpillCount(_) | MetricValue::SpilledBytes(_) | MetricValue::SpilledRows(_));
        if let Some(theirs) = declined_to.as_ref().and_then(|plan| plan.metrics()) {
            theirs.iter().filter(|metric| spills(metric.value())).for_each(|metric| metrics.push(Arc::clone(metric)));
        }
        Some(metrics)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.plain.cardinality_effect()
    }
}
