//! The rule that recognises a correlation matrix written as a join.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Dependency, JoinType, NullEquality, Result};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder, Operator, col, expr::AggregateFunction, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::measure::Measure;
use super::node::{CorrelationNode, SeriesColumns};
use super::query::{Origin, PairQuery, Shape};
use super::tile::Wanted;
use crate::config::SqlOptions;
use crate::exec::StrategyScan;

/// Puts the correlation operator in the place of a join of strategy tables that is aggregated by both strategies:
///
/// ```text
/// Aggregate: groupBy=[[a.strategy, b.strategy]], aggr=[[corr(a.pnl, b.pnl), count(*)]]
///   Inner Join: a.date = b.date Filter: a.strategy < b.strategy
///     SubqueryAlias: a
///       TableScan: s
///     SubqueryAlias: b
///       TableScan: s
///
/// Projection: strategy_a AS a.strategy, strategy_b AS b.strategy, correlation AS corr(a.pnl,b.pnl), n AS count(*)
///   Correlation: measure=pearson
///     Aggregate: groupBy=[[strategy]], aggr=[[series(pnl, date)]]
///       TableScan: s
/// ```
///
/// Two sides that select differently are read one by one. Declines, so that the join stays: sides that are not rows of a strategy table by
/// filters, plain columns and semi-joins (only there a strategy has one row per period); joins on anything but all keys of a period, or with other conditions
/// than a comparison of the two strategies; other aggregates than one of `corr`, `correlation` and `covar_samp`, with `count(*)`; `DISTINCT` and `FILTER`.
///
/// `SET tranchedb.correlation_join = false` leaves it out. The answers are the same, but for the last digits: DataFusion's grouped `corr` adds
/// plain products, and takes noise for a correlation where a series is constant.
#[derive(Debug, Default, Clone, Copy)]
pub struct CorrelationJoin;

impl OptimizerRule for CorrelationJoin {
    fn name(&self) -> &str {
        "correlation_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !is_wanted(&config.options()) {
            return Ok(Transformed::no(plan));
        }
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        Ok(match Matched::of(aggregate)? {
            Some(matched) => Transformed::yes(matched.plan(aggregate)?),
            None => Transformed::no(plan),
        })
    }
}

fn is_wanted(config: &ConfigOptions) -> bool {
    config.extensions.get::<SqlOptions>().is_none_or(|options| options.correlation_join)
}

/// One side of the join.
struct Relation {
    plan: LogicalPlan,
    columns: SeriesColumns,
}

/// The parts of a join that is a correlation matrix.
struct Matched {
    left: Relation,
    right: Relation,
    measure: Measure,
    /// How the strategies of the two sides are compared.
    comparison: Option<Operator>,
    /// Whether the first grouping column is that of the left side.
    left_first: bool,
    slotted: bool,
    /// Whether both sides take their values from one column.
    same_values: bool,
}

impl Matched {
    fn of(aggregate: &Aggregate) -> Result<Option<Self>> {
        let Some((input, join)) = joined(&aggregate.input) else { return Ok(None) };
        let [Expr::Column(first), Expr::Column(second)] = aggregate.group_expr.as_slice() else { return Ok(None) };
        let Some(values) = values(&aggregate.aggr_expr) else { return Ok(None) };
        // A projection between the two drops columns at most.
        let through = |column: &Column| passed(input, column);
        let (Some(first), Some(second)) = (through(first), through(second)) else { return Ok(None) };
        let left_first = join.left.schema().has_column(&first);
        let (left_name, right_name) = if left_first { (first, second) } else { (second, first) };
        if !join.left.schema().has_column(&left_name) || !join.right.schema().has_column(&right_name) {
            return Ok(None);
        }
        let (Some(one), Some(other)) = (through(&values.arguments.0), through(&values.arguments.1)) else { return Ok(None) };
        let (left_value, right_value) = if join.left.schema().has_column(&one) { (one, other) } else { (other, one) };
        if !join.left.schema().has_column(&left_value) || !join.right.schema().has_column(&right_value) {
            return Ok(None);
        }
        let Some(keys) = keys(join) else { return Ok(None) };
        // A date with a date, a slot with a slot.
        if keys.iter().any(|(left, right)| base_column(&join.left, left) != base_column(&join.right, right)) {
            return Ok(None);
        }
        let same_values = base_column(&join.left, &left_value) == base_column(&join.right, &right_value);
        let left = Relation::of(&join.left, (&left_name, &left_value), keys.iter().map(|(left, _)| left))?;
        let right = Relation::of(&join.right, (&right_name, &right_value), keys.iter().map(|(_, right)| right))?;
        let (Some(left), Some(right), Some(comparison)) = (left, right, comparison(join, (&left_name, &right_name))) else {
            return Ok(None);
        };
        let slotted = left.columns.slot.is_some();
        let same = slotted == right.columns.slot.is_some();
        Ok(same.then_some(Self { left, right, measure: values.measure, comparison, left_first, slotted, same_values }))
    }

    /// The plan that takes the place of the aggregate.
    fn plan(self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let one = self.same_values && stripped(&self.left.plan) == stripped(&self.right.plan);
        // The node gives the lower name first.
        let (wanted, swapped) = match self.comparison {
            _ if !one => (Wanted::All, false),
            Some(Operator::Lt) => (Wanted::Less, false),
            Some(Operator::Gt) => (Wanted::Less, true),
            Some(Operator::LtEq) => (Wanted::LessOrEqual, false),
            Some(Operator::GtEq) => (Wanted::LessOrEqual, true),
            Some(_) => (Wanted::Different, false),
            None => (Wanted::All, false),
        };
        let query = PairQuery {
            shape: Shape::Pairs,
            measure: self.measure,
            rolling: None,
            wanted,
            origin: Origin::SelfJoin,
            slotted: self.slotted,
        };
        let mut relations = vec![(self.left.plan, self.left.columns)];
        if !one {
            relations.push((self.right.plan, self.right.columns));
        }
        let mut plan = LogicalPlanBuilder::from(CorrelationNode::plan(relations, query)?);
        if let (false, Some(operator)) = (one, self.comparison) {
            let comparison = BinaryExpr::new(Box::new(col("strategy_a")), operator, Box::new(col("strategy_b")));
            plan = plan.filter(Expr::BinaryExpr(comparison))?;
        }
        let (left, right) = if swapped { ("strategy_b", "strategy_a") } else { ("strategy_a", "strategy_b") };
        let names = if self.left_first { [left, right] } else { [right, left] };
        let outputs = aggregate.schema.iter().enumerate().map(|(index, (qualifier, field))| {
            let column = match index {
                0 | 1 => names[index],
                _ if is_count(&aggregate.aggr_expr[index - 2]) => "n",
                _ => self.measure.column(),
            };
            col(column).alias_qualified(qualifier.cloned(), field.name())
        });
        plan.project(outputs.collect::<Vec<_>>())?.build()
    }
}

/// The inner join below an aggregation, and what lies on it.
fn joined(input: &Arc<LogicalPlan>) -> Option<(&LogicalPlan, &Join)> {
    let mut below = input.as_ref();
    while let LogicalPlan::Projection(projection) = below {
        below = &projection.input;
    }
    let LogicalPlan::Join(join) = below else { return None };
    (join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing).then_some((input, join))
}

/// The column of the join that a column above its projections is.
fn passed(plan: &LogicalPlan, column: &Column) -> Option<Column> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let index = projection.schema.maybe_index_of_column(column)?;
            match projection.expr[index].clone().unalias() {
                Expr::Column(below) => passed(&projection.input, &below),
                _ => None,
            }
        }
        _ => Some(column.clone()),
    }
}

/// What is aggregated of two columns.
struct Values {
    measure: Measure,
    arguments: (Column, Column),
}

/// The one measure among the aggregates, which may stand with `count(*)`.
fn values(aggregates: &[Expr]) -> Option<Values> {
    let mut found = None;
    for aggregate in aggregates.iter().filter(|aggregate| !is_count(aggregate)) {
        let call = plain(aggregate)?;
        let measure = match call.func.name() {
            "corr" | "correlation" => Measure::Pearson,
            "covar_samp" => Measure::Covariance,
            _ => return None,
        };
        let [Expr::Column(one), Expr::Column(other)] = call.params.args.as_slice() else { return None };
        if found.is_some() {
            return None;
        }
        found = Some(Values { measure, arguments: (one.clone(), other.clone()) });
    }
    found
}

/// An aggregate without `DISTINCT`, `FILTER` and `ORDER BY`.
fn plain(aggregate: &Expr) -> Option<&AggregateFunction> {
    let Expr::AggregateFunction(call) = unaliased(aggregate) else { return None };
    let params = &call.params;
    (!params.distinct && params.filter.is_none() && params.order_by.is_empty()).then_some(call)
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Whether an aggregate counts the joined rows.
fn is_count(aggregate: &Expr) -> bool {
    plain(aggregate).is_some_and(|call| {
        call.func.name() == "count" && matches!(call.params.args.as_slice(), [Expr::Literal(value, _)] if !value.is_null())
    })
}

/// The columns that the join equates, left and right.
fn keys(join: &Join) -> Option<Vec<(Column, Column)>> {
    let pair = |(left, right): &(Expr, Expr)| match (left, right) {
        (Expr::Column(left), Expr::Column(right)) => Some((left.clone(), right.clone())),
        _ => None,
    };
    join.on.iter().map(pair).collect()
}

/// How the join compares the names: `Some(None)` not at all, `None` where it has another condition.
fn comparison(join: &Join, (left, right): (&Column, &Column)) -> Option<Option<Operator>> {
    let Some(filter) = &join.filter else { return Some(None) };
    let [Expr::BinaryExpr(binary)] = split_conjunction(filter).as_slice() else { return None };
    let (Expr::Column(one), Expr::Column(other)) = (binary.left.as_ref(), binary.right.as_ref()) else { return None };
    let operator = match (one == left && other == right, one == right && other == left) {
        (true, _) => binary.op,
        (_, true) => binary.op.swap()?,
        _ => return None,
    };
    matches!(operator, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::NotEq).then_some(Some(operator))
}

impl Relation {
    /// A side whose rows are rows of a strategy table, joined on all keys of a period.
    fn of<'a>(plan: &Arc<LogicalPlan>, (name, value): (&Column, &Column), keys: impl Iterator<Item = &'a Column>) -> Result<Option<Self>> {
        let mut columns =
            SeriesColumns { strategy: Expr::Column(name.clone()), value: Expr::Column(value.clone()), date: lit(0), slot: None };
        let mut dates = 0;
        for key in keys {
            match base_column(plan, key).as_deref() {
                Some("date") => {
                    columns.date = Expr::Column(key.clone());
                    dates += 1;
                }
                Some("slot") if columns.slot.is_none() => columns.slot = Some(Expr::Column(key.clone())),
                _ => return Ok(None),
            }
        }
        let is_double = columns.value.get_type(plan.schema())? == datafusion::arrow::datatypes::DataType::Float64;
        let whole_key = has_slot(plan) == Some(columns.slot.is_some());
        let is_series = base_column(plan, name).as_deref() == Some("strategy") && base_column(plan, value).is_some();
        let matches = dates == 1 && is_double && whole_key && is_series && !is_volatile(plan)?;
        Ok(matches.then(|| Self { plan: plan.as_ref().clone(), columns }))
    }
}

/// The column of a strategy table that a column of a plan is, where every row of the plan is a row of the table.
fn base_column(plan: &LogicalPlan, column: &Column) -> Option<String> {
    let index = plan.schema().maybe_index_of_column(column)?;
    let below = |input: &LogicalPlan, index: usize| base_column(input, &Column::from(input.schema().qualified_field(index)));
    match plan {
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input, index),
        LogicalPlan::Filter(filter) => below(&filter.input, index),
        LogicalPlan::Projection(projection) => match projection.expr[index].clone().unalias() {
            Expr::Column(column) => base_column(&projection.input, &column),
            _ => None,
        },
        LogicalPlan::Join(join) => match side_of_rows(join)? {
            JoinSide::Left if index < join.left.schema().fields().len() => below(&join.left, index),
            JoinSide::Right => {
                let first = join.schema.fields().len() - join.right.schema().fields().len();
                below(&join.right, index.checked_sub(first)?)
            }
            JoinSide::Left => None,
        },
        LogicalPlan::TableScan(_) => has_slot(plan).map(|_| column.name.clone()),
        _ => None,
    }
}

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JoinSide {
    Left,
    Right,
}

/// The side whose rows a join keeps or drops, but does not repeat.
fn side_of_rows(join: &Join) -> Option<JoinSide> {
    let unique = |side: &DFSchema, keys: Vec<&Expr>| {
        let indices: Vec<usize> = keys.iter().filter_map(|key| side.maybe_index_of_column(key.try_as_col()?)).collect();
        let mut dependencies = side.functional_dependencies().iter();
        dependencies.any(|known| known.mode == Dependency::Single && known.source_indices.iter().all(|index| indices.contains(index)))
    };
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => Some(JoinSide::Left),
        JoinType::RightSemi | JoinType::RightAnti => Some(JoinSide::Right),
        JoinType::Inner if unique(join.right.schema(), join.on.iter().map(|(_, right)| right).collect()) => Some(JoinSide::Left),
        JoinType::Inner if unique(join.left.schema(), join.on.iter().map(|(left, _)| left).collect()) => Some(JoinSide::Right),
        _ => None,
    }
}

/// The strategy table whose rows the rows of a plan are: whether its dates have slots.
fn has_slot(plan: &LogicalPlan) -> Option<bool> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => has_slot(&alias.input),
        LogicalPlan::Filter(filter) => has_slot(&filter.input),
        LogicalPlan::Projection(projection) => has_slot(&projection.input),
        LogicalPlan::Join(join) => match side_of_rows(join)? {
            JoinSide::Left => has_slot(&join.left),
            JoinSide::Right => has_slot(&join.right),
        },
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source).ok()?;
            Some(provider.downcast_ref::<StrategyScan>()?.shape().has_slot())
        }
        _ => None,
    }
}

/// Whether a plan gives other rows each time.
fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut volatile = false;
    plan.apply(|node| {
        volatile |= node.expressions().iter().any(Expr::is_volatile);
        Ok(if volatile { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(volatile)
}

/// A plan without the names that it was given.
fn stripped(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => stripped(&alias.input),
        other => other,
    }
}
