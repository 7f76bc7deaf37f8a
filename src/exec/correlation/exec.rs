//! The operator.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::execution_plan::{Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties};

use super::conditions::Conditions;
use super::query::{Origin, PairQuery, PeriodTypes, Rolling};
use super::run::Run;
use super::select::{Rank, Top};

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
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CorrelationExec {
    pub(super) fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, query: PairQuery, types: PeriodTypes) -> Self {
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
        Self { inputs, query, types, schema, filters: vec![], top: None, properties: Arc::new(properties), metrics }
    }

    /// With only the strongest pairs.
    pub(super) fn with_top(&self, top: Top) -> Self {
        Self { top: Some(top), properties: Arc::clone(&self.properties), metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    /// Whether the strongest pairs can be told before the plan above sees them.
    pub(super) fn takes_top(&self) -> bool {
        self.top.is_none() && self.query.rolling.is_none() && self.conditions().are_exact()
    }

    /// Whether no pair without a defined measure comes out.
    pub(super) fn drops_undefined(&self) -> bool {
        !self.conditions().bounds().undefined
    }

    fn conditions(&self) -> Conditions {
        Conditions::of(&self.filters, self.query.measure_column(), self.query.origin == Origin::SelfJoin)
    }

    fn details(&self) -> String {
        let mut text = format!("measure={}", self.query.measure.name());
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
        let new = Self::new(inputs, self.query.clone(), self.types.clone());
        Ok(Arc::new(Self { filters: self.filters.clone(), top: self.top, ..new }))
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
        let open = phase == FilterPushdownPhase::Pre && self.top.is_none();
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
