//! Metrics that keep their rows, computed in one stage.
//!
//! ```text
//! before:  AggregateExec: mode=FinalPartitioned, gby=[symbol], aggr=[value_at_risk(ret)]
//!            RepartitionExec: partitioning=Hash([symbol], 2)
//!              AggregateExec: mode=Partial, gby=[symbol], aggr=[value_at_risk(ret)]
//!                RepartitionExec: partitioning=RoundRobinBatch(2)
//!                  DataSourceExec
//!
//! after:   SeriesExec: by=[symbol], aggr=[value_at_risk(ret)]
//!            DataSourceExec
//! ```
//!
//! A first stage that keeps every row saves nothing: it holds all rows once more and sends them on in lists. [`SeriesExec`] stands for an
//! `AggregateExec` in one stage behind a repartition by hash, and becomes that while it runs where the rows of a group do not come
//! together.
//!
//! Left as they are: stages over input in the order of the groups, which finish their groups early; grouping sets; and stages in which
//! another function takes its rows in an order (`array_agg(x ORDER BY t)`), as one stage behind a repartition would see them in none.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};

use crate::series::SeriesExec;
use crate::udaf::MetricUdaf;

/// Replaces the two stages of an aggregation that keeps rows by one. Results are the same without it.
///
/// Belongs after DataFusion's own physical rules (`SessionStateBuilder::with_physical_optimizer_rule`).
#[derive(Debug, Default, Clone, Copy)]
pub struct SingleStage;

impl PhysicalOptimizerRule for SingleStage {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |plan: Arc<dyn ExecutionPlan>| {
            let combined = match plan.downcast_ref::<AggregateExec>() {
                Some(last) => combined(last)?,
                None => None,
            };
            let Some(aggregate) = combined else { return Ok(Transformed::no(plan)) };
            let aggregate: Arc<dyn ExecutionPlan> = Arc::new(aggregate);
            let by_series = SeriesExec::aggregation(&aggregate)?;
            Ok(Transformed::yes(by_series.map_or(aggregate, |series| Arc::new(series) as _)))
        };
        plan.transform_up(rewrite).data()
    }

    fn name(&self) -> &str {
        "single_stage"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// One stage in place of `last` and the first one below it; `None` where there are no two, or nothing is gained.
fn combined(last: &AggregateExec) -> Result<Option<AggregateExec>> {
    if !matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned) {
        return Ok(None);
    }
    let Some(first) = first_stage(last.input()) else { return Ok(None) };
    let calls = first.aggr_expr();
    let unsorted = first.input_order_mode() == &InputOrderMode::Linear && !calls.iter().any(|call| relies_on_order(call));
    if !unsorted || first.group_expr().has_grouping_set() || !calls.iter().any(|call| keeps_rows(call)) {
        return Ok(None);
    }
    let rows = undistributed(first.input());
    let partitions = last.input().output_partitioning().partition_count();
    let (mode, rows): (_, Arc<dyn ExecutionPlan>) = if partitions == 1 {
        (AggregateMode::Single, Arc::new(CoalescePartitionsExec::new(rows)))
    } else {
        let by_group = Partitioning::Hash(first.group_expr().input_exprs(), partitions);
        (AggregateMode::SinglePartitioned, Arc::new(RepartitionExec::try_new(rows, by_group)?))
    };
    let (groups, filters) = (first.group_expr().clone(), first.filter_expr().to_vec());
    let aggregate = AggregateExec::try_new(mode, groups, calls.to_vec(), filters, rows, first.input_schema())?;
    Ok(Some(aggregate.with_limit_options(last.limit_options())))
}

/// The first stage under what distributes its results.
fn first_stage(plan: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    let distributes = plan.is::<CoalescePartitionsExec>() || plan.is::<RepartitionExec>();
    let below = if distributes { plan.children().first().copied()? } else { plan };
    below.downcast_ref::<AggregateExec>().filter(|aggregate| aggregate.mode() == &AggregateMode::Partial)
}

/// The plan without the round robin that gave the first stage its share of batches.
fn undistributed(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let input = plan
        .downcast_ref::<RepartitionExec>()
        .filter(|repartition| matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_)))
        .map(RepartitionExec::input);
    Arc::clone(input.unwrap_or(plan))
}

/// Whether the partial result of a call is all its rows.
pub fn keeps_rows(call: &AggregateFunctionExpr) -> bool {
    MetricUdaf::of(call.fun()).is_some_and(|function| function.keeps_rows(&call.expressions(), call.is_distinct()))
}

/// Whether a call needs its rows to arrive in the order that it names. Metrics sort by themselves what does not.
fn relies_on_order(call: &AggregateFunctionExpr) -> bool {
    MetricUdaf::of(call.fun()).is_none() && !call.order_bys().is_empty()
}
