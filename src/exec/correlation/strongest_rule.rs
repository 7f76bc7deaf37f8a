//! The rule that lets the operator keep only the strongest pairs.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::update_expr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::conditions::{A, B, measured};
use super::exec::CorrelationExec;
use super::select::{Rank, Top};

/// Tells `CorrelationExec` how many pairs the sort above it keeps:
///
/// ```text
/// SortExec: TopK(fetch=1000), expr=[abs(correlation) DESC]      SortExec: TopK(fetch=1000), expr=[abs(correlation) DESC]
///   CorrelationExec: measure=pearson                              CorrelationExec: measure=pearson, strongest=1000
/// ```
///
/// The sort stays, over a thousand rows. Declines where conditions are left that only the pairs themselves can tell, where the first
/// sort key is not the measure or its magnitude, and with rolling windows. Belongs after the rule that pushes filters down.
#[derive(Debug, Default, Clone, Copy)]
pub struct StrongestPairs;

impl PhysicalOptimizerRule for StrongestPairs {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |plan: Arc<dyn ExecutionPlan>| {
            let told = plan.downcast_ref::<SortExec>().map_or(Ok(None), told)?;
            Ok(told.map_or_else(|| Transformed::no(Arc::clone(&plan)), Transformed::yes))
        };
        plan.transform_down(rewrite).data()
    }

    fn name(&self) -> &str {
        "strongest_pairs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The sort over an operator that knows of it; `None` where the plan has another shape.
fn told(sort: &SortExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(count) = sort.fetch() else { return Ok(None) };
    let first = sort.expr().first();
    let mut keys: Vec<Arc<dyn PhysicalExpr>> = sort.expr().iter().map(|key| Arc::clone(&key.expr)).collect();
    let mut between: Vec<&Arc<dyn ExecutionPlan>> = vec![];
    let mut below = sort.input();
    while let Some(projection) = below.downcast_ref::<ProjectionExec>() {
        for key in &mut keys {
            let Some(rewritten) = update_expr(key, projection.expr(), true)? else { return Ok(None) };
            *key = rewritten;
        }
        between.push(below);
        below = projection.input();
    }
    let Some(operator) = below.downcast_ref::<CorrelationExec>().filter(|operator| operator.takes_top()) else { return Ok(None) };
    let Some(rank) = rank(&keys[0], operator.query.measure_column(), first.options.descending) else { return Ok(None) };
    let ascending = sort.expr().iter().skip(1).all(|key| !key.options.descending);
    let ties = keys.len() > 1 && !(ascending && are_names(&keys[1..]));
    let top = Top { count, rank, ties, undefined_first: first.options.nulls_first };
    // All undefined pairs are equal: which of them come first, only the other keys tell.
    if top.ties && !operator.drops_undefined() {
        return Ok(None);
    }
    let mut plan: Arc<dyn ExecutionPlan> = Arc::new(operator.with_top(top));
    for above in between.into_iter().rev() {
        plan = replace_children_if_necessary(Arc::clone(above), vec![plan])?;
    }
    let sorted = SortExec::new(sort.expr().clone(), plan).with_fetch(Some(count));
    Ok(Some(Arc::new(sorted.with_preserve_partitioning(sort.preserve_partitioning()))))
}

/// Whether keys are the two names, in whose order the operator takes ties.
fn are_names(keys: &[Arc<dyn PhysicalExpr>]) -> bool {
    let place = |key: &Arc<dyn PhysicalExpr>| key.downcast_ref::<Column>().map(Column::index);
    matches!(keys, [a, b] if place(a) == Some(A) && place(b) == Some(B))
}

fn rank(key: &Arc<dyn PhysicalExpr>, measure: usize, descending: bool) -> Option<Rank> {
    match (measured(key, measure)?, descending) {
        (true, true) => Some(Rank::Magnitude),
        (true, false) => None,
        (false, true) => Some(Rank::Highest),
        (false, false) => Some(Rank::Lowest),
    }
}
