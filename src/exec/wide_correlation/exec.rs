//! The operator.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, internal_datafusion_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::execution_plan::{
    Boundedness, CardinalityEffect, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::block::{PairMoments, block_bytes, block_rows};
use super::co_moments::CoMoments;
use super::query::{CorrelationQuery, arrays};

/// Batches that are read while others are computed with.
const BATCHES_AHEAD: usize = 2;

/// Correlations and covariances of columns over all rows of the input: one row. See [the module](super).
///
/// Holds a block of rows and 136 bytes per pair of columns, accounted to the memory pool, however many rows there are.
#[derive(Debug)]
pub(super) struct WideCorrelationExec {
    query: Arc<CorrelationQuery>,
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WideCorrelationExec {
    /// The results as columns of `schema`.
    pub(super) fn new(query: Arc<CorrelationQuery>, input: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let equivalences = EquivalenceProperties::new(Arc::clone(&schema));
        let properties = PlanProperties::new(equivalences, Partitioning::UnknownPartitioning(1), EmissionType::Final, Boundedness::Bounded);
        Self { query, input, schema, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// What the operator computes, as text.
    fn title(&self) -> String {
        let title = format!("terms={}, columns={}", self.query.terms(), self.query.columns.len());
        let others: Vec<&str> = self.query.others.iter().map(|call| call.name()).collect();
        if others.is_empty() { title } else { format!("{title}, aggr=[{}]", others.join(", ")) }
    }
}

impl DisplayAs for WideCorrelationExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.title()),
            _ => write!(f, "WideCorrelationExec: {}", self.title()),
        }
    }
}

impl ExecutionPlan for WideCorrelationExec {
    fn name(&self) -> &'static str {
        "WideCorrelationExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in &self.query.expressions() {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("WideCorrelationExec needs one input"))?;
        Ok(Arc::new(Self::new(Arc::clone(&self.query), input, Arc::clone(&self.schema))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("WideCorrelationExec has no partition {partition}");
        }
        let mut rows = spawn_buffered(self.input.execute(0, Arc::clone(&context))?, BATCHES_AHEAD);
        let memory = MemoryConsumer::new("WideCorrelationExec").register(context.memory_pool());
        let mut fold = Fold::try_new(Arc::clone(&self.query), self.input.schema(), memory)?;
        let threads = context.session_config().target_partitions().max(1);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = Arc::new(pool.map_err(|error| exec_datafusion_err!("starting {threads} threads: {error}"))?);
        let (schema, metrics) = (Arc::clone(&self.schema), BaselineMetrics::new(&self.metrics, partition));
        let result = async move {
            while let Some(batch) = rows.next().await {
                fold.blocks.push_batch(batch?)?;
                fold = fold.add_blocks(&pool, &metrics).await?;
            }
            fold.blocks.finish_buffered_batch()?;
            let fold = fold.add_blocks(&pool, &metrics).await?;
            let row = fold.finish(schema)?;
            metrics.record_output(row.num_rows());
            Ok(row)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(result))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}

/// The moments of all rows so far.
struct Fold {
    query: Arc<CorrelationQuery>,
    /// Cuts the rows into blocks, whatever batches they come in.
    blocks: BatchCoalescer,
    pairs: PairMoments,
    others: Vec<Box<dyn Accumulator>>,
    fixed_bytes: usize,
    memory: MemoryReservation,
}

impl Fold {
    fn try_new(query: Arc<CorrelationQuery>, input: SchemaRef, memory: MemoryReservation) -> Result<Self> {
        let columns = query.columns.len();
        let fixed_bytes = block_bytes(columns) + query.pairs.len() * size_of::<CoMoments>();
        memory.try_grow(fixed_bytes)?;
        Ok(Self {
            blocks: BatchCoalescer::new(input, block_rows(columns)),
            pairs: PairMoments::new(columns, query.pairs.len()),
            others: query.others.iter().map(|call| call.create_accumulator()).collect::<Result<_>>()?,
            query,
            fixed_bytes,
            memory,
        })
    }

    /// Adds the blocks that are complete, each on the threads of the pool: the one that asks stays free, and a query that is cancelled ends
    /// with the block.
    async fn add_blocks(mut self, pool: &Arc<ThreadPool>, metrics: &BaselineMetrics) -> Result<Self> {
        while let Some(block) = self.blocks.next_completed_batch() {
            let (pool, time) = (Arc::clone(pool), metrics.elapsed_compute().clone());
            let added = SpawnedTask::spawn_blocking(move || {
                let _timer = time.timer();
                pool.install(|| self.add(&block)).map(|()| self)
            });
            self = added.join().await.map_err(|error| DataFusionError::External(Box::new(error)))??;
        }
        Ok(self)
    }

    fn add(&mut self, block: &RecordBatch) -> Result<()> {
        self.pairs.add(&self.query.pairs, &arrays(&self.query.columns, block)?, block.num_rows())?;
        for (call, accumulator) in self.query.others.iter().zip(&mut self.others) {
            accumulator.update_batch(&arrays(&call.expressions(), block)?)?;
        }
        let held: usize = self.others.iter().map(|accumulator| accumulator.size()).sum();
        self.memory.try_resize(self.fixed_bytes + held)
    }

    fn finish(mut self, schema: SchemaRef) -> Result<RecordBatch> {
        let others = self.others.iter_mut().map(|accumulator| accumulator.evaluate()).collect::<Result<Vec<_>>>()?;
        let results = self.query.results(self.pairs.all(), &others);
        let columns = results.iter().map(|value| value.to_array()).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
