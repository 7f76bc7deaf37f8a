//! `x IN (SELECT ...)` where DataFusion has no plan for it: inside CASE, in the select list, in an aggregate.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery, in_list};
use datafusion::prelude::{DataFrame, SessionContext};

/// Values of a subquery above which it is not put into the plan.
const MOST_VALUES: usize = 100_000;

/// Runs subqueries that stand alone and puts their values in their place, as HeavyDB does in a step of its own.
///
/// # Errors
/// Those of running them.
pub(crate) async fn resolve_subqueries(context: &SessionContext, plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found: Vec<Arc<LogicalPlan>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if !keeps_subqueries(node) {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    found.extend(alone(part).map(|subquery| Arc::clone(&subquery.subquery)));
                    Ok(TreeNodeRecursion::Continue)
                })
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if found.is_empty() {
        return Ok(plan);
    }
    let mut values = HashMap::new();
    for subquery in found {
        let key = key(&subquery);
        if !values.contains_key(&key)
            && let Some(list) = values_of(context, &subquery).await?
        {
            values.insert(key, list);
        }
    }
    let replaced = plan.transform_up_with_subqueries(|node| {
        if keeps_subqueries(&node) {
            return Ok(Transformed::no(node));
        }
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let saved = names.save(&expr);
            let replaced = expr.transform_up(|part| match &part {
                Expr::InSubquery(within) => match alone(&part).and_then(|subquery| values.get(&key(&subquery.subquery))) {
                    Some(list) => {
                        let list = list.iter().map(|value| Expr::Literal(value.clone(), None)).collect();
                        Ok(Transformed::yes(in_list(within.expr.as_ref().clone(), list, within.negated)))
                    }
                    None => Ok(Transformed::no(part)),
                },
                _ => Ok(Transformed::no(part)),
            })?;
            Ok(replaced.update_data(|expr| saved.restore(expr)))
        })?;
        node.map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(replaced.data)
}

/// What tells a subquery from others: plans that print alike mean the same.
fn key(plan: &LogicalPlan) -> String {
    plan.display_indent_schema().to_string()
}

/// Whether DataFusion plans subqueries in the expressions of a node.
fn keeps_subqueries(node: &LogicalPlan) -> bool {
    matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_))
}

/// The subquery of an `IN` that depends on nothing outside.
fn alone(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::InSubquery(within) if within.subquery.outer_ref_columns.is_empty() => Some(&within.subquery),
        _ => None,
    }
}

/// The different values of a query of one column; `None` where there are too many.
async fn values_of(context: &SessionContext, query: &LogicalPlan) -> Result<Option<Vec<ScalarValue>>> {
    let frame = DataFrame::new(context.state(), query.clone()).distinct()?.limit(0, Some(MOST_VALUES + 1))?;
    let mut values = Vec::new();
    for batch in frame.collect().await? {
        let column = batch.columns().first().ok_or_else(|| internal_datafusion_err!("a subquery without a column"))?;
        for row in 0..column.len() {
            values.push(ScalarValue::try_from_array(column, row)?);
        }
    }
    Ok((values.len() <= MOST_VALUES).then_some(values))
}
