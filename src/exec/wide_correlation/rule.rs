//! The rule that places the operator.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::exec::WideCorrelationExec;
use super::ordered::in_one_order;
use super::query::CorrelationQuery;
use crate::config::SqlOptions;

/// Terms from which the operator pays.
const FEWEST_TERMS: usize = 8;

/// Puts `WideCorrelationExec` in the place of an ungrouped aggregation with eight or more `corr`, `covar_samp` or `covar_pop`.
///
/// Declines, so that DataFusion's own plan stays, with the same answer within rounding: fewer terms, `GROUP BY`, `FILTER`, `DISTINCT` terms,
/// aggregates that need an order, volatile arguments, endless input.
///
/// Belongs behind the rules that distribute rows. `SET tranchedb.wide_correlation = false` leaves it out.
#[derive(Debug, Default, Clone, Copy)]
pub struct WideCorrelation;

impl PhysicalOptimizerRule for WideCorrelation {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.extensions.get::<SqlOptions>().is_none_or(|options| options.wide_correlation) {
            return Ok(plan);
        }
        let rewrite = |plan: Arc<dyn ExecutionPlan>| {
            let placed = plan.downcast_ref::<AggregateExec>().map_or(Ok(None), placed)?;
            Ok(match placed {
                Some(operator) => Transformed::new(Arc::new(operator) as _, true, TreeNodeRecursion::Jump),
                None => Transformed::no(plan),
            })
        };
        plan.transform_down(rewrite).data()
    }

    fn name(&self) -> &str {
        "wide_correlation"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The operator that stands for `last` and all below it; `None` where the plan has another shape.
fn placed(last: &AggregateExec) -> Result<Option<WideCorrelationExec>> {
    let Some(first) = first_stage(last) else { return Ok(None) };
    let plain = |stage: &AggregateExec| stage.group_expr().is_true_no_grouping() && stage.limit_options().is_none();
    if !plain(first) || !plain(last) || first.filter_expr().iter().any(Option::is_some) || first.input().boundedness().is_unbounded() {
        return Ok(None);
    }
    let Some(query) = CorrelationQuery::of(first.aggr_expr()).filter(|query| query.terms() >= FEWEST_TERMS) else { return Ok(None) };
    Ok(Some(WideCorrelationExec::new(Arc::new(query), in_one_order(first.input())?, last.schema())))
}

/// The stage that reads rows: the aggregation itself, or the one below it whose partitions it puts together.
fn first_stage(last: &AggregateExec) -> Option<&AggregateExec> {
    match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(last),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let below = last.input();
            let below = below.downcast_ref::<CoalescePartitionsExec>().map_or(below, CoalescePartitionsExec::input);
            below.downcast_ref::<AggregateExec>().filter(|first| first.mode() == &AggregateMode::Partial)
        }
        _ => None,
    }
}
