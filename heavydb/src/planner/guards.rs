//! The last look at a plan, before types are brought together.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::expr_rewriter::NamePreserver;

use crate::functions::windows::drop_range_of_other_keys;

/// Drops frames that HeavyDB does not obey, which the types of their keys tell.
pub(crate) fn check_plan(plan: LogicalPlan) -> Result<LogicalPlan> {
    let checked = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Window(window) = &node else { return Ok(Transformed::no(node)) };
        let schema = window.input.schema().as_ref().clone();
        let names = NamePreserver::new_for_projection();
        node.map_expressions(|expr| {
            let saved = names.save(&expr);
            let checked = drop_range_of_other_keys(expr, &schema)?;
            Ok(if checked.transformed { checked.update_data(|expr| saved.restore(expr)) } else { checked })
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(checked.data)
}
