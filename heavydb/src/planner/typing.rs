//! Types in a plan as a whole, before DataFusion brings them together: what the planner of operators does not see.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Union};

use super::comparisons::{check_member, compared, typed_list};
use super::guards::check_written;
use super::moments::INSTANT_ORDER;
use super::results::common_type;
use crate::functions::windows::drop_range_of_other_keys;
use crate::refusal::Refusal;

/// Drops frames that HeavyDB does not obey, types long lists, brings the columns of UNION ALL together, and refuses what HeavyDB does not
/// surely answer as DataFusion does.
///
/// # Errors
/// A [`Refusal`].
pub(crate) fn check_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    check_written(&plan)?;
    let checked = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(_) => without_frames(node),
        LogicalPlan::Union(union) => united(union),
        LogicalPlan::Join(_) => {
            check_join(&node)?;
            compared_anew(node)
        }
        _ => compared_anew(node),
    })?;
    Ok(checked.data)
}

fn without_frames(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Window(window) = &node else { return Ok(Transformed::no(node)) };
    let schema = window.input.schema().as_ref().clone();
    let names = NamePreserver::new_for_projection();
    node.map_expressions(|expr| {
        let saved = names.save(&expr);
        let checked = drop_range_of_other_keys(expr, &schema)?;
        Ok(if checked.transformed { checked.update_data(|expr| saved.restore(expr)) } else { checked })
    })?
    .map_data(LogicalPlan::recompute_schema)
}

/// Whether an expression is looked at here.
fn is_open(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::InList(_)
            | Expr::InSubquery(_)
            | Expr::BinaryExpr(BinaryExpr { op: Operator::IsDistinctFrom | Operator::IsNotDistinctFrom, .. })
    )
}

fn compared_anew(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.exists(|part| Ok(is_open(part)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(Transformed::no(node));
    }
    let schema = merge_schema(&node.inputs());
    let names = NamePreserver::new(&node);
    node.map_expressions(|expr| {
        let saved = names.save(&expr);
        let checked =
            expr.transform_up(|part| if is_open(&part) { typed(part, &schema).map(Transformed::yes) } else { Ok(Transformed::no(part)) })?;
        Ok(checked.update_data(|expr| saved.restore(expr)))
    })
}

fn typed(part: Expr, schema: &DFSchema) -> Result<Expr> {
    match part {
        Expr::InList(list) => typed_list(list, schema).map(Expr::InList),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => compared(&left, op, &right, schema),
        Expr::InSubquery(within) => {
            let field = within.expr.to_field(schema)?.1;
            if let Some(column) = within.subquery.subquery.schema().fields().first() {
                check_member((&within.expr, &field), column)?;
            }
            Ok(Expr::InSubquery(within))
        }
        other => Ok(other),
    }
}

/// Refuses joins by timestamps of different precision.
fn check_join(node: &LogicalPlan) -> Result<()> {
    let mut mixed = None;
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::ScalarFunction(call) = part
                && (call.func.name() == INSTANT_ORDER.name || call.func.name().starts_with("cast_timestamp("))
                && call.args.iter().any(|argument| !matches!(argument, Expr::Literal(..)))
            {
                mixed = Some(part.to_string());
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    match mixed {
        None => Ok(()),
        Some(shown) => Err(Refusal::new(shown, "a join by timestamps of different precision is not surely HeavyDB's: cast one").into()),
    }
}

/// Each column of a UNION ALL in HeavyDB's common type.
fn united(union: Union) -> Result<Transformed<LogicalPlan>> {
    let Some(first) = union.inputs.first() else { return Ok(Transformed::no(LogicalPlan::Union(union))) };
    let width = first.schema().fields().len();
    let columns: Vec<Vec<Expr>> =
        union.inputs.iter().map(|input| input.schema().columns().into_iter().map(Expr::Column).collect()).collect();
    if columns.iter().any(|row| row.len() != width) {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let mut converted = columns.clone();
    for place in 0..width {
        let results: Vec<(Expr, &DFSchema)> =
            columns.iter().zip(&union.inputs).map(|(row, input)| (row[place].clone(), input.schema().as_ref())).collect();
        for (row, expr) in converted.iter_mut().zip(common_type(&results)?) {
            row[place] = expr;
        }
    }
    if converted == columns {
        return Ok(Transformed::no(LogicalPlan::Union(union)));
    }
    let names: Vec<String> = union.schema.fields().iter().map(|field| field.name().clone()).collect();
    let inputs = union.inputs.iter().zip(converted).map(|(input, row)| {
        let row = row.into_iter().zip(&names).map(|(expr, name)| expr.alias(name));
        Ok(Arc::new(LogicalPlanBuilder::from(input.as_ref().clone()).project(row)?.build()?))
    });
    Ok(Transformed::yes(LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<Vec<_>>>()?)?)))
}
