//! Scalar subqueries that depend on the outer row by more than equality of columns.
//!
//! ```text
//! Projection: t.v, (SELECT MAX(u.v) FROM u WHERE u.v < t.v)
//!   t
//! ```
//! becomes, with one row for each different `t.v`,
//! ```text
//! Projection: t.v, __scalar_0.value
//!   Left Join: t.v IS NOT DISTINCT FROM __scalar_0.o0
//!     t
//!     __scalar_0: MAX(u.v) by __outer_0.o0
//!       Filter: u.v < __outer_0.o0
//!         Cross Join: u, __outer_0 = DISTINCT t.v
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, JoinType, Result, ScalarValue, internal_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, binary_expr, col, lit, when,
};

use super::guards::is_one_group;
use crate::refusal::Refusal;

/// Puts joins in the place of scalar subqueries that DataFusion cannot plan.
///
/// # Errors
/// A [`Refusal`] for a subquery of a form that is not known.
pub(super) fn join_scalars(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut count = 0;
    let joined = plan.transform_up_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(node));
        }
        let found = hard_scalars(&node)?;
        if found.is_empty() {
            return Ok(Transformed::no(node));
        }
        join_all(node, &found, &mut count).map(Transformed::yes)
    })?;
    Ok(joined.data)
}

fn hard_scalars(node: &LogicalPlan) -> Result<Vec<Subquery>> {
    let mut found: Vec<Subquery> = Vec::new();
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::ScalarSubquery(subquery) = part
                && !subquery.outer_ref_columns.is_empty()
                && !found.contains(subquery)
            {
                if !is_one_group(&subquery.subquery) {
                    return Err(refused("it is no aggregate without GROUP BY, so that it may have many rows"));
                }
                if matches!(node, LogicalPlan::Aggregate(_)) || !is_easy(subquery)? {
                    found.push(subquery.clone());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

/// Whether outer columns stand in filters alone, each equal to a column of its type.
fn is_easy(subquery: &Subquery) -> Result<bool> {
    let mut easy = true;
    subquery.subquery.apply_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = node else {
            easy &= !names_outer(node)?;
            return Ok(TreeNodeRecursion::Continue);
        };
        for conjunct in datafusion::logical_expr::utils::split_conjunction(&filter.predicate) {
            let is_equality = match conjunct {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(inner), Expr::OuterReferenceColumn(outer, _))
                    | (Expr::OuterReferenceColumn(outer, _), Expr::Column(inner)) => {
                        filter.input.schema().field_from_column(inner).is_ok_and(|inner| inner.data_type() == outer.data_type())
                    }
                    _ => false,
                },
                _ => false,
            };
            easy &= is_equality || !conjunct.contains_outer();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(easy)
}

fn names_outer(node: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.contains_outer();
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn join_all(node: LogicalPlan, scalars: &[Subquery], count: &mut usize) -> Result<LogicalPlan> {
    let [input] = node.inputs()[..] else { return internal_err!("a node of one input") };
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut joined = input.clone();
    let mut values = Vec::new();
    for scalar in scalars {
        let scalar_plan = Scalar::try_new(scalar, input, *count)?;
        *count += 1;
        joined = scalar_plan.joined(joined)?;
        values.push(scalar_plan.value()?);
    }
    let names = NamePreserver::new(&node);
    let replaced = node
        .expressions()
        .into_iter()
        .map(|expr| {
            let saved = names.save(&expr);
            let replaced = expr.transform_up(|part| match &part {
                Expr::ScalarSubquery(subquery) => match scalars.iter().position(|scalar| scalar == subquery) {
                    Some(place) => Ok(Transformed::yes(values[place].clone())),
                    None => Ok(Transformed::no(part)),
                },
                _ => Ok(Transformed::no(part)),
            })?;
            Ok(saved.restore(replaced.data))
        })
        .collect::<Result<Vec<_>>>()?;
    let is_filter = matches!(node, LogicalPlan::Filter(_));
    let rebuilt = match node {
        LogicalPlan::Projection(_) => LogicalPlanBuilder::from(joined).project(replaced)?.build()?,
        LogicalPlan::Aggregate(Aggregate { group_expr, .. }) => {
            let (keys, aggregates) = replaced.split_at(group_expr.len());
            LogicalPlanBuilder::from(joined).aggregate(keys.to_vec(), aggregates.to_vec())?.build()?
        }
        _ => match replaced.into_iter().next() {
            Some(predicate) => LogicalPlanBuilder::from(joined).filter(predicate)?.build()?,
            None => return internal_err!("a filter without a condition"),
        },
    };
    if is_filter { LogicalPlanBuilder::from(rebuilt).project(columns)?.build() } else { Ok(rebuilt) }
}

/// A subquery with one row for each combination of the outer columns.
struct Scalar {
    plan: LogicalPlan,
    name: String,
    /// The outer columns.
    outer: Vec<Column>,
    /// The value where nothing matches.
    empty: ScalarValue,
}

impl Scalar {
    fn try_new(scalar: &Subquery, input: &LogicalPlan, number: usize) -> Result<Self> {
        let mut outer: Vec<Column> = Vec::new();
        for reference in &scalar.outer_ref_columns {
            if let Expr::OuterReferenceColumn(_, column) = reference
                && !outer.contains(column)
            {
                outer.push(column.clone());
            }
        }
        if outer.iter().any(|column| input.schema().field_from_column(column).is_err()) {
            return Err(refused("it names a column of a query further out"));
        }
        let keys = outer.iter().enumerate().map(|(place, column)| Expr::Column(column.clone()).alias(key(place)));
        let keys = LogicalPlanBuilder::from(input.clone()).project(keys.collect::<Vec<_>>())?.distinct()?;
        let outer_name = format!("__outer_{number}");
        let pushed = Pushed { keys: keys.alias(outer_name.as_str())?.build()?, name: outer_name, outer };
        let empty = empty_value(&scalar.subquery)?;
        let plan = pushed.reach(&scalar.subquery)?;
        let [value, ..] = &plan.schema().columns()[..] else { return internal_err!("a subquery without a column") };
        let mut shown = vec![Expr::Column(value.clone()).alias("value"), lit(true).alias("found")];
        shown.extend((0..pushed.outer.len()).map(|place| pushed.column(place)));
        let name = format!("__scalar_{number}");
        let plan = LogicalPlanBuilder::from(plan).project(shown)?.alias(name.as_str())?.build()?;
        Ok(Self { plan, name, outer: pushed.outer, empty })
    }

    fn joined(&self, input: LogicalPlan) -> Result<LogicalPlan> {
        let condition = self.outer.iter().enumerate().map(|(place, column)| {
            let key = Expr::Column(Column::new(Some(self.name.as_str()), key(place)));
            binary_expr(Expr::Column(column.clone()), Operator::IsNotDistinctFrom, key)
        });
        LogicalPlanBuilder::from(input).join_on(self.plan.clone(), JoinType::Left, condition.collect::<Vec<_>>())?.build()
    }

    fn value(&self) -> Result<Expr> {
        let column = |name: &str| Expr::Column(Column::new(Some(self.name.as_str()), name));
        if self.empty.is_null() {
            return Ok(column("value"));
        }
        when(column("found").is_null(), lit(self.empty.clone())).otherwise(column("value"))
    }
}

fn key(place: usize) -> String {
    format!("o{place}")
}

fn refused(reason: &str) -> datafusion::common::DataFusionError {
    Refusal::new("a subquery that depends on the outer row", reason).into()
}

/// The value of a subquery over no rows: of COUNT 0, of other aggregates NULL.
fn empty_value(plan: &LogicalPlan) -> Result<ScalarValue> {
    let (aggregate, expr) = match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => match (input.as_ref(), &expr[..]) {
            (LogicalPlan::Aggregate(aggregate), [expr]) => (aggregate, expr.clone()),
            _ => return Err(refused("it is no aggregate of one row")),
        },
        LogicalPlan::SubqueryAlias(alias) => return empty_value(&alias.input),
        _ => return Err(refused("it is no aggregate of one row")),
    };
    if !aggregate.group_expr.is_empty() {
        return Err(refused("its aggregate has a GROUP BY, so that it may have many rows"));
    }
    let counts: Vec<bool> = aggregate.aggr_expr.iter().map(is_count).collect();
    if !counts.contains(&true) {
        return Ok(ScalarValue::Null);
    }
    // COUNT alone: what else is made of it would be another value.
    match strip_alias(&expr) {
        Expr::Column(column) => {
            let place = aggregate.schema.index_of_column(column)?;
            if counts[place] { ScalarValue::new_zero(aggregate.schema.field(place).data_type()) } else { Ok(ScalarValue::Null) }
        }
        _ => Err(refused("COUNT stands inside an expression")),
    }
}

fn strip_alias(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => strip_alias(&alias.expr),
        other => other,
    }
}

fn is_count(expr: &Expr) -> bool {
    matches!(strip_alias(expr), Expr::AggregateFunction(call) if call.func.name() == "count")
}

/// The different outer rows on their way to the place in a subquery where they are needed.
struct Pushed {
    keys: LogicalPlan,
    name: String,
    outer: Vec<Column>,
}

impl Pushed {
    fn column(&self, place: usize) -> Expr {
        Expr::Column(Column::new(Some(self.name.as_str()), key(place)))
    }

    fn columns(&self) -> impl Iterator<Item = Expr> + '_ {
        (0..self.outer.len()).map(|place| self.column(place))
    }

    fn replaced(&self, expr: Expr) -> Result<Expr> {
        let replaced = expr.transform_up(|part| match &part {
            Expr::OuterReferenceColumn(_, column) => match self.outer.iter().position(|outer| outer == column) {
                Some(place) => Ok(Transformed::yes(self.column(place))),
                None => Err(refused("it names a column of a query further out")),
            },
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => Err(refused("it holds another subquery")),
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(replaced.data)
    }

    fn replaced_named(&self, exprs: &[Expr], node: &LogicalPlan) -> Result<Vec<Expr>> {
        let names = NamePreserver::new(node);
        exprs
            .iter()
            .map(|expr| {
                let saved = names.save(expr);
                Ok(saved.restore(self.replaced(expr.clone())?))
            })
            .collect()
    }

    /// The plan with the outer columns at the end of its own.
    fn reach(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        if !depends(plan)? {
            return LogicalPlanBuilder::from(plan.clone()).cross_join(self.keys.clone())?.build();
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let mut shown = self.replaced_named(&projection.expr, plan)?;
                shown.extend(self.columns());
                LogicalPlanBuilder::from(self.reach(&projection.input)?).project(shown)?.build()
            }
            LogicalPlan::Filter(filter) => {
                let predicate = self.replaced(filter.predicate.clone())?;
                LogicalPlanBuilder::from(self.reach(&filter.input)?).filter(predicate)?.build()
            }
            LogicalPlan::Aggregate(aggregate) => {
                let keys = aggregate.group_expr.iter().cloned().chain(self.columns());
                let aggregates = self.replaced_named(&aggregate.aggr_expr, plan)?;
                LogicalPlanBuilder::from(self.reach(&aggregate.input)?).aggregate(keys.collect::<Vec<_>>(), aggregates)?.build().and_then(
                    |grouped| {
                        // The keys come first; the aggregates are to.
                        let count = aggregate.group_expr.len();
                        let columns = grouped.schema().columns();
                        let (own, rest) = columns.split_at(count);
                        let (outer, values) = rest.split_at(self.outer.len());
                        let ordered = own.iter().chain(values).chain(outer).cloned().map(Expr::Column);
                        LogicalPlanBuilder::from(grouped).project(ordered.collect::<Vec<_>>())?.build()
                    },
                )
            }
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => self.reach_join(join),
            _ => Err(refused("its form is not known")),
        }
    }

    fn reach_join(&self, join: &Join) -> Result<LogicalPlan> {
        let (left, right) = match (depends(&join.left)?, depends(&join.right)?) {
            (true, true) => return Err(refused("both sides of its join depend on the outer row")),
            (_, false) => (self.reach(&join.left)?, join.right.as_ref().clone()),
            (false, true) => (join.left.as_ref().clone(), self.reach(&join.right)?),
        };
        let pairs = join.on.iter().map(|(left, right)| binary_expr(left.clone(), Operator::Eq, right.clone()));
        let conditions = pairs.chain(join.filter.clone()).map(|condition| self.replaced(condition)).collect::<Result<Vec<_>>>()?;
        let joined = LogicalPlanBuilder::from(left);
        if conditions.is_empty() { joined.cross_join(right)?.build() } else { joined.join_on(right, JoinType::Inner, conditions)?.build() }
    }
}

/// Whether a plan names outer columns anywhere.
fn depends(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= names_outer(node)?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Puts counts in the place of EXISTS where DataFusion has no plan for it.
pub(super) fn count_exists(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let saved = names.save(&expr);
        let replaced = expr.transform_up(|part| match part {
            Expr::Exists(exists) => {
                let rows = LogicalPlanBuilder::from(exists.subquery.subquery.as_ref().clone());
                let count = datafusion::functions_aggregate::expr_fn::count(lit(1_i64)).alias("rows");
                let counted = rows.aggregate(Vec::<Expr>::new(), vec![count])?.project(vec![col("rows")])?.build()?;
                let scalar = Expr::ScalarSubquery(Subquery { subquery: Arc::new(counted), ..exists.subquery });
                let operator = if exists.negated { Operator::Eq } else { Operator::Gt };
                Ok(Transformed::yes(binary_expr(scalar, operator, lit(0_i64))))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(replaced.update_data(|expr| saved.restore(expr)))
    })
}
