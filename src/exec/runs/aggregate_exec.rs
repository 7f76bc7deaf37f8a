//! The operator: aggregation over the runs of a strategy table.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use super::fold::Work;
use super::merge::Merge;
use super::metrics::RunMetrics;
use super::preparation::{Prepared, panicked, prepare};
use super::query::{GroupColumn, RunQuery};
use super::rows::RowReader;
use super::scan_exec::RunScanExec;

/// Aggregation over a strategy table without hashing or sorting: see [the module](super).
///
/// One output partition; where each strategy has groups of its own, in the order of the strategies. Units of strategies run on as many
/// threads as the session has target partitions.
#[derive(Debug, Clone)]
pub(in crate::exec) struct RunAggregateExec {
    query: Arc<RunQuery>,
    scan: Arc<RunScanExec>,
    child: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    title: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl RunAggregateExec {
    /// In the place of the aggregation `last`.
    pub(super) fn new(query: RunQuery, mut scan: RunScanExec, last: &AggregateExec) -> Self {
        scan.details = scan_details(&query, scan.table().table_schema());
        let (scan, schema) = (Arc::new(scan), last.schema());
        let groups: Vec<&str> = last.group_expr().expr().iter().map(|(_, name)| name.as_str()).collect();
        let calls: Vec<&str> = query.calls.iter().map(|call| call.function.name()).collect();
        let title = format!("gby=[{}], aggr=[{}]", groups.join(", "), calls.join(", "));
        let properties = Arc::new(PlanProperties::new(
            equivalences(&query, &schema),
            Partitioning::UnknownPartitioning(1),
            if query.by_strategy() { EmissionType::Incremental } else { EmissionType::Final },
            Boundedness::Bounded,
        ));
        let child = Arc::clone(&scan) as _;
        Self { query: Arc::new(query), scan, child, schema, title, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// What the result is made of, as text: two operators of the same text have the same result, because a file of a strategy table never
    /// changes under its name.
    pub(in crate::exec) fn identity(&self) -> String {
        let files: Vec<String> = self.scan.files().iter().map(|file| file.path().to_string()).collect();
        let query = &self.query;
        let calls: Vec<_> = query.calls.iter().map(|call| (&call.arguments, &call.filter)).collect();
        let computed = format!("{:?} of {:?} where {:?} by {:?}", calls, query.arguments, query.predicates, query.keys);
        format!("{}{}, {computed}, files=[{}]", self.title, self.scan.details, files.join(", "))
    }

    fn work(&self, prepared: Prepared, reader: RowReader) -> Work {
        let count = |name: &'static str, value: usize| MetricBuilder::new(&self.scan.metrics).global_counter(name).add(value);
        count("files_read", prepared.files.len());
        count("files_pruned", self.scan.files().len() - prepared.files.len());
        count("row_groups_read", prepared.row_groups.0);
        count("row_groups_pruned", prepared.row_groups.1);
        count("strategies", prepared.names.len());
        let metrics = RunMetrics::new(&self.scan.metrics, &self.metrics);
        metrics.bytes.add(reader.bytes_read());
        Work {
            query: Arc::clone(&self.query),
            prepared: Arc::new(prepared),
            reader,
            table: Arc::clone(self.scan.table().table_schema()),
            schema: Arc::clone(&self.schema),
            metrics,
        }
    }
}

/// The output is in the order of the strategies where they have groups of their own.
fn equivalences(query: &RunQuery, schema: &SchemaRef) -> EquivalenceProperties {
    let place = query.groups.iter().position(|column| column == &GroupColumn::Strategy);
    let order = place.map(|place| {
        let column = Arc::new(Column::new(schema.field(place).name(), place)) as Arc<dyn PhysicalExpr>;
        [PhysicalSortExpr::new_default(column)]
    });
    EquivalenceProperties::new_with_orderings(Arc::clone(schema), order)
}

/// What is decoded and what is filtered where, as text.
fn scan_details(query: &RunQuery, table: &SchemaRef) -> String {
    let (rows, periods) = (&query.row_layout.columns, &query.period_layout.columns);
    let columns = rows.iter().chain(periods.iter().filter(|column| !rows.contains(column)));
    let names: Vec<&str> = columns.map(|&column| table.field(column).name().as_str()).collect();
    let mut text = format!(", columns=[{}]", names.join(", "));
    for (what, predicates) in
        [("strategies", &query.strategy_predicates), ("periods", &query.period_predicates), ("rows", &query.row_predicates)]
    {
        if !predicates.is_empty() {
            let all: Vec<String> = predicates.iter().map(ToString::to_string).collect();
            text += &format!(", {what}: {}", all.join(" AND "));
        }
    }
    text
}

impl DisplayAs for RunAggregateExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.title),
            _ => write!(f, "RunAggregateExec: {}", self.title),
        }
    }
}

impl ExecutionPlan for RunAggregateExec {
    fn name(&self) -> &'static str {
        "RunAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.child]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in self.query.arguments.iter().chain(&self.query.keys).chain(&self.query.predicates) {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.as_slice() {
            [child] if child.is::<RunScanExec>() => Ok(self),
            _ => Err(internal_datafusion_err!("RunAggregateExec over another operator than RunScanExec")),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(internal_datafusion_err!("RunAggregateExec has no partition {partition}"));
        }
        let operator = self.clone();
        let schema = Arc::clone(&self.schema);
        let started = async move {
            let reader = operator.scan.reader(Arc::clone(&context));
            let prepared = prepare(&operator.query, &operator.scan, &reader).await?;
            let threads = context.session_config().target_partitions().max(1);
            let work = operator.work(prepared, reader);
            let groups = work.metrics.groups.clone();
            let results = if operator.query.by_strategy() {
                finished(work, threads)
            } else {
                let whole = merged(work, &operator, threads).await?;
                futures::stream::once(async { Ok(whole) }).boxed()
            };
            Ok::<_, datafusion::error::DataFusionError>(results.inspect_ok(move |batch| groups.add(batch.num_rows())))
        };
        let stream = futures::stream::once(started).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The groups of each unit, in the order of the units.
fn finished(work: Work, threads: usize) -> futures::stream::BoxStream<'static, Result<RecordBatch>> {
    let units = 0..work.prepared.units.len();
    let start = move |unit: usize| {
        let work = work.clone();
        SpawnedTask::spawn(async move { work.finished(unit).await }).join()
    };
    let batches = futures::stream::iter(units).map(start).buffered(threads).map(|joined| joined.map_err(panicked)?);
    batches.map_ok(|batches| futures::stream::iter(batches).map(Ok)).try_flatten().boxed()
}

/// The groups of all units, merged in the order of the units.
async fn merged(work: Work, operator: &RunAggregateExec, threads: usize) -> Result<RecordBatch> {
    let units = 0..work.prepared.units.len();
    let memory = MemoryConsumer::new("RunAggregateExec").register(work.reader.context().memory_pool());
    let mut merge = Merge::try_new(&operator.query, memory)?;
    let start = |unit: usize| {
        let work = work.clone();
        SpawnedTask::spawn(async move { work.partial(unit).await }).join()
    };
    let mut parts = futures::stream::iter(units).map(start).buffered(threads);
    while let Some(joined) = parts.next().await {
        merge.add(&joined.map_err(panicked)??)?;
    }
    merge.finish(&operator.schema)
}
