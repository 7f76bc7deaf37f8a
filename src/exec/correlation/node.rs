//! The operator in a logical plan, and how it becomes physical.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, internal_err, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::collect::{can_be_period, series};
use super::exec::CorrelationExec;
use super::query::{PairQuery, PeriodTypes};
use crate::config::SqlOptions;

/// Pairs of the series of one relation, or of two.
///
/// Its inputs are aggregations: the strategy, and `series(pnl, date [, slot])` of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CorrelationNode {
    inputs: Vec<LogicalPlan>,
    pub(super) query: PairQuery,
    types: PeriodTypes,
    schema: DFSchemaRef,
}

/// The columns of a relation of series.
#[derive(Debug, Clone)]
pub(super) struct SeriesColumns {
    pub(super) strategy: Expr,
    pub(super) value: Expr,
    pub(super) date: Expr,
    pub(super) slot: Option<Expr>,
}

impl SeriesColumns {
    /// The columns `strategy`, `date`, `slot` (where there is one) and `pnl` of a relation.
    ///
    /// # Errors
    /// Columns that are missing, or of a type that they cannot have: the message names them and the remedy.
    pub(super) fn of(relation: &LogicalPlan, function: &str) -> Result<Self> {
        let schema = relation.schema();
        let find = |name: &str| schema.iter().find(|(_, field)| field.name() == name);
        let missing: Vec<&str> = ["strategy", "date", "pnl"].into_iter().filter(|name| find(name).is_none()).collect();
        if !missing.is_empty() {
            let have: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).take(10).collect();
            return plan_err!(
                "{function} needs a relation with the columns strategy, date and pnl, and this one has no {} (it has {}{})\nhint: name them, {function}((SELECT ticker AS strategy, day AS date, profit AS pnl FROM t))",
                missing.join(", no "),
                have.join(", "),
                if schema.fields().len() > have.len() { ", .." } else { "" }
            );
        }
        let column = |name: &str| find(name).map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))));
        let (Some(strategy), Some(date), Some(value)) = (column("strategy"), column("date"), column("pnl")) else {
            return internal_err!("columns that were there are missing");
        };
        let columns = Self { strategy, value, date, slot: column("slot") };
        columns.check(schema, function)?;
        Ok(columns)
    }

    fn check(&self, schema: &DFSchema, function: &str) -> Result<()> {
        use datafusion::logical_expr::ExprSchemable;
        for period in std::iter::once(&self.date).chain(&self.slot) {
            let data_type = period.get_type(schema)?;
            if !can_be_period(&data_type) {
                let name = period.qualified_name().1;
                let cast = if data_type.is_numeric() { "BIGINT" } else { "DATE" };
                return plan_err!(
                    "{function} cannot take the column {name} of type {data_type} as a period\nhint: cast it, (SELECT strategy, CAST({name} AS {cast}) AS {name}, pnl FROM t)"
                );
            }
        }
        let value = self.value.get_type(schema)?;
        if !value.is_numeric() {
            return plan_err!(
                "{function} cannot take the column pnl of type {value} as a number\nhint: cast it, CAST(pnl AS DOUBLE) AS pnl"
            );
        }
        Ok(())
    }

    fn types(&self, schema: &DFSchema) -> Result<PeriodTypes> {
        use datafusion::logical_expr::ExprSchemable;
        let slot = self.slot.as_ref().map(|slot| slot.get_type(schema)).transpose()?;
        Ok(PeriodTypes { date: self.date.get_type(schema)?, slot })
    }
}

impl CorrelationNode {
    /// A plan of the pairs of the relations' series.
    ///
    /// # Errors
    /// Relations whose periods have different types.
    pub(super) fn plan(relations: Vec<(LogicalPlan, SeriesColumns)>, query: PairQuery) -> Result<LogicalPlan> {
        let mut types: Vec<PeriodTypes> = vec![];
        let mut inputs = vec![];
        for (relation, columns) in relations {
            types.push(columns.types(relation.schema())?);
            let SeriesColumns { strategy, value, date, slot } = columns;
            let arguments = [value, date].into_iter().chain(slot).collect();
            inputs.push(LogicalPlanBuilder::from(relation).aggregate([strategy], [series().call(arguments)])?.build()?);
        }
        let [first, others @ ..] = types.as_slice() else { return internal_err!("pairs of no relation") };
        if others.iter().any(|other| other != first) {
            let shown = |types: &PeriodTypes| match &types.slot {
                Some(slot) => format!("date {} with slot {slot}", types.date),
                None => format!("date {}", types.date),
            };
            let all: Vec<String> = types.iter().map(shown).collect();
            return plan_err!(
                "the periods of the two relations have different types, {}\nhint: cast one in a subquery, (SELECT strategy, CAST(date AS ..) AS date, pnl FROM t), or leave slot out of both",
                all.join(" and ")
            );
        }
        let node = Self::try_new(inputs, query, first.clone())?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    fn try_new(inputs: Vec<LogicalPlan>, query: PairQuery, types: PeriodTypes) -> Result<Self> {
        let name = |input: Option<&LogicalPlan>| input.map_or(DataType::Null, |input| input.schema().field(0).data_type().clone());
        let schema = query.schema([&name(inputs.first()), &name(inputs.last())], &types);
        Ok(Self { schema: Arc::new(DFSchema::try_from(schema)?), inputs, query, types })
    }
}

impl Hash for CorrelationNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.inputs, &self.query, &self.types).hash(state);
    }
}

impl PartialOrd for CorrelationNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let order = (&self.inputs, &self.query).partial_cmp(&(&other.inputs, &other.query))?;
        (order != Ordering::Equal || self == other).then_some(order)
    }
}

impl UserDefinedLogicalNodeCore for CorrelationNode {
    fn name(&self) -> &str {
        "Correlation"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Correlation: measure={}", self.query.measure.name())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(inputs, self.query.clone(), self.types.clone())
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![vec![0, 1]; self.inputs.len()])
    }
}

/// Plans the operators of this crate, and leaves all others to another planner's extensions.
#[derive(Debug, Clone, Copy, Default)]
pub struct CorrelationPlanner;

#[async_trait]
impl ExtensionPlanner for CorrelationPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<CorrelationNode>() else { return Ok(None) };
        let options = session.config().options().extensions.get::<SqlOptions>().cloned().unwrap_or_default();
        Ok(Some(Arc::new(CorrelationExec::new(inputs.to_vec(), node.query.clone(), node.types.clone(), options))))
    }
}
