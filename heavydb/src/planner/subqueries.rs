//! `x IN (SELECT ...)` where DataFusion has no plan for it: inside CASE, in the select list, in an aggregate.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery, in_list};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::refusal::Refusal;

/// Values of a subquery above which it is not put into the plan.
const MOST_VALUES: usize = 100_000;

/// Values above which HeavyDB keeps a set as bits, which forget NULL.
const MOST_OF_LIST: usize = 100;

/// Puts in the place of subqueries what DataFusion can plan: values of those that stand alone, as HeavyDB does in a step of its own, and
/// joins for those that depend on the outer row.
///
/// # Errors
/// Those of running them; a [`Refusal`].
pub(crate) async fn resolve_subqueries(context: &SessionContext, plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(_) | LogicalPlan::Join(_) => Ok(Transformed::no(node)),
        other => super::correlated::count_exists(other),
    })?;
    let plan = super::correlated::join_scalars(plan.data)?;
    let mut found: Vec<Arc<LogicalPlan>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        let kept = kept_in(node);
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                found.extend(alone(part).filter(|_| !kept.contains(part)).map(|subquery| Arc::clone(&subquery.subquery)));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if found.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::new();
    for subquery in found {
        if let Entry::Vacant(place) = values.entry(key(&subquery)) {
            place.insert(values_of(context, &subquery).await?);
        }
    }
    replaced(plan, &values)
}

/// Puts the values in the place of the subqueries.
fn replaced(plan: LogicalPlan, values: &HashMap<String, Vec<ScalarValue>>) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|node| {
        let kept = kept_in(&node);
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let saved = names.save(&expr);
            let replaced = expr.transform_up(|part| {
                let (Expr::InSubquery(within), false) = (&part, kept.contains(&part)) else { return Ok(Transformed::no(part)) };
                match alone(&part).and_then(|subquery| values.get(&key(&subquery.subquery))) {
                    Some(list) => {
                        let list = list.iter().map(|value| Expr::Literal(value.clone(), None)).collect();
                        Ok(Transformed::yes(in_list(within.expr.as_ref().clone(), list, within.negated)))
                    }
                    None => Ok(Transformed::no(part)),
                }
            })?;
            Ok(replaced.update_data(|expr| saved.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(replaced.data)
}

/// The `x IN (SELECT ...)` of a node that DataFusion plans as HeavyDB answers them: those that a row must satisfy, where it is the same
/// whether they are false or NULL.
fn kept_in(node: &LogicalPlan) -> Vec<Expr> {
    let condition = match node {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => join.filter.as_ref(),
        _ => None,
    };
    let conjuncts = condition.map(split_conjunction).unwrap_or_default();
    conjuncts.into_iter().filter(|part| matches!(part, Expr::InSubquery(within) if !within.negated)).cloned().collect()
}

/// What tells a subquery from others: plans that print alike mean the same, but for VALUES, which are not printed in full.
fn key(plan: &LogicalPlan) -> String {
    let mut key = plan.display_indent_schema().to_string();
    let _: Result<TreeNodeRecursion> = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Values(values) = node {
            values.values.iter().flatten().for_each(|value| key.push_str(&format!(" {value}")));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    key
}

/// The subquery of an `IN` that depends on nothing outside.
fn alone(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::InSubquery(within) if within.subquery.outer_ref_columns.is_empty() => Some(&within.subquery),
        _ => None,
    }
}

/// The different values of a query of one column.
///
/// # Errors
/// A [`Refusal`] where they are too many, or HeavyDB would forget that one is NULL.
async fn values_of(context: &SessionContext, query: &LogicalPlan) -> Result<Vec<ScalarValue>> {
    let frame = DataFrame::new(context.state(), query.clone()).distinct()?.limit(0, Some(MOST_VALUES + 1))?;
    let mut values = Vec::new();
    for batch in frame.collect().await? {
        let column = batch.columns().first().ok_or_else(|| internal_datafusion_err!("a subquery without a column"))?;
        for row in 0..column.len() {
            values.push(ScalarValue::try_from_array(column, row)?);
        }
    }
    if values.len() > MOST_VALUES {
        let reason = format!("it has more than {MOST_VALUES} values, which is too many for this place: join it");
        return Err(Refusal::new("IN (SELECT ...)", reason).into());
    }
    if values.len() > MOST_OF_LIST && values.iter().any(ScalarValue::is_null) {
        let reason = format!("it has NULL among more than {MOST_OF_LIST} values, which HeavyDB forgets: add WHERE ... IS NOT NULL");
        return Err(Refusal::new("IN (SELECT ...)", reason).into());
    }
    Ok(values)
}
