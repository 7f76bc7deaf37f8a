//! The operator.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::execution_plan::{Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties};

use super::conditions::Conditions;
use super::device::Backend;
use super::query::{Origin, PairQuery, PeriodTypes, Rolling, Shape};
use super::run::Run;
use super::select::{Rank, Top};
use crate::config::SqlOptions;
use crate::exec::runs::RunAggregateExec;

/// First column of a summary that needs every pair.
const FIRST_EXTREME: usize = 3;

/// Pairs of the series that its inputs have collected: see [the module](super).
///
/// One output partition; the same rows, in the same order and to the bit, on any number of threads.
#[derive(Debug, Clone)]
pub(super) struct CorrelationExec {
    /// One relation, or two whose series are paired with each other: name, and what the aggregate has collected.
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    pub(super) query: PairQuery,
    types: PeriodTypes,
    schema: SchemaRef,
    /// Conditions on the result.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    /// How many of the strongest pairs are wanted.
    top: Option<Top>,
    options: SqlOptions,
    backend: Backend,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CorrelationExec {
    pub(super) fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, query: PairQuery, types: PeriodTypes, options: SqlOptions) -> Self {
        let names = [inputs.first(), inputs.last()].map(|input| input.map(|input| input.schema().field(0).data_type().clone()));
        let [a, b] = names.map(|name| name.unwrap_or(datafusion::arrow::datatypes::DataType::Null));
        let schema = query.schema([&a, &b], &types);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        let backend = Backend::of(&query, &options);
        Self { inputs, query, types, schema, filters: vec![], top: None, options, backend, properties: Arc::new(properties), metrics }
    }

    /// With only the strongest pairs.
    pub(super) fn with_top(&self, top: Top) -> Self {
        Self { top: Some(top), properties: Arc::clone(&self.properties), metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    /// Whether the strongest pairs can be told before the plan above sees them.
    pub(super) fn takes_top(&self) -> bool {
        self.query.shape == Shape::Pairs && self.top.is_none() && self.query.rolling.is_none() && self.conditions().are_exact()
    }

    /// Whether no pair without a defined measure comes out.
    pub(super) fn drops_undefined(&self) -> bool {
        !self.conditions().bounds().undefined
    }

    fn conditions(&self) -> Conditions {
        Conditions::of(&self.filters, self.query.measure_column(), self.query.origin == Origin::SelfJoin)
    }

    /// What the series are made of, as text; `None` where the same text may mean other series.
    fn identity(&self) -> Option<String> {
        let [input] = self.inputs.as_slice() else { return None };
        let series = input.downcast_ref::<RunAggregateExec>()?.identity();
        Some(format!("{}, {:?}, {series}", self.query.measure.name(), self.options.gpu_precision))
    }

    fn details(&self) -> String {
        let mut text = format!("{}, measure={}", self.backend.shown(), self.query.measure.name());
        match self.query.shape {
            Shape::Pairs => {}
            Shape::Summary => text += ", summary",
            Shape::Averages => text += ", averages",
        }
        if self.query.origin == Origin::SelfJoin {
            text += ", in place of a self-join";
        }
        if let Some(Rolling { periods, step }) = self.query.rolling {
            text += &format!(", window={periods}, step={step}");
        }
        if !self.filters.is_empty() {
            let all: Vec<String> = self.filters.iter().map(ToString::to_string).collect();
            text += &format!(", where: {}", all.join(" AND "));
        }
        if let Some(top) = self.top {
            let rank = match top.rank {
                Rank::Magnitude => "strongest",
                Rank::Highest => "highest",
                Rank::Lowest => "lowest",
            };
            text += &format!(", {rank}={}{}", top.count, if top.ties { " with ties" } else { "" });
        }
        text
    }
}

impl DisplayAs for CorrelationExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.details()),
            _ => write!(f, "CorrelationExec: {}", self.details()),
        }
    }
}

impl ExecutionPlan for CorrelationExec {
    fn name(&self) -> &'static str {
        "CorrelationExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; self.inputs.len()]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false; self.inputs.len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(&self, f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        let mut recursion = TreeNodeRecursion::Continue;
        for expr in &self.filters {
            recursion = recursion.visit_sibling(|| f(expr))?;
        }
        Ok(recursion)
    }

    fn replace_children(self: Arc<Self>, inputs: Vec<Arc<dyn ExecutionPlan>>, _: ReplaceChildrenOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if inputs.len() != self.inputs.len() {
            return Err(internal_datafusion_err!("CorrelationExec over {} inputs", inputs.len()));
        }
        let properties = Arc::clone(&self.properties);
        Ok(Arc::new(Self { inputs, properties, metrics: ExecutionPlanMetricsSet::new(), ..Self::clone(&self) }))
    }

    fn with_new_children(self: Arc<Self>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(inputs, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Which rows are the strongest depends on conditions that came before, never on later ones.
        let open = phase == FilterPushdownPhase::Pre && self.query.shape == Shape::Pairs && self.top.is_none();
        let taken = |filter: &Arc<dyn PhysicalExpr>| open && !is_volatile(filter);
        let filters: Vec<_> = result.parent_filters.iter().map(|parent| Arc::clone(&parent.filter)).collect();
        let answers = filters.iter().map(|filter| if taken(filter) { PushedDown::Yes } else { PushedDown::No }).collect();
        let mut new = self.clone();
        new.filters.extend(filters.into_iter().filter(taken));
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(answers);
        Ok(match new.filters.len() > self.filters.len() {
            true => propagation.with_updated_node(Arc::new(new) as _),
            false => propagation,
        })
    }

    /// A summary of which only averages are read needs no pairs.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let read: Vec<usize> =
            projection.expr().iter().flat_map(|column| collect_columns(&column.expr)).map(|column| column.index()).collect();
        if self.query.shape != Shape::Summary || read.iter().any(|&column| column >= FIRST_EXTREME) {
            return Ok(None);
        }
        let query = PairQuery { shape: Shape::Averages, ..self.query.clone() };
        let averages = Self { query, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() };
        Ok(Some(Arc::new(ProjectionExec::try_new(projection.expr().to_vec(), Arc::new(averages))?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return Err(internal_datafusion_err!("CorrelationExec has no partition {partition}"));
        }
        let inputs = self.inputs.iter().map(|input| input.execute(0, Arc::clone(&context))).collect::<Result<Vec<_>>>()?;
        let run = Run {
            query: self.query.clone(),
            types: self.types.clone(),
            schema: Arc::clone(&self.schema),
            filters: self.filters.clone(),
            top: self.top,
            options: self.options.clone(),
            identity: self.identity(),
            context,
            metrics: self.metrics.clone(),
        };
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        builder.spawn(async move { run.run(inputs, sender).await });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
