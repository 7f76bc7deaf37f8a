//! Path metrics in O(1) memory, where the plan already brings each group's rows in time order to one accumulator.
//!
//! ```text
//! AggregateExec: mode=Single, gby=[symbol], aggr=[max_drawdown(ret) ORDER BY [date ASC]], ordering_mode=Sorted
//!   DataSourceExec: ..., output_ordering=[symbol ASC, date ASC]
//! ```
//!
//! Left as they are: plans in several stages, whose parts interleave in time and need the rows with their keys; and plans that hash unsorted
//! groups, because these may spill partial results.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::{PhysicalSortRequirement, physical_exprs_contains};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::windows::get_ordered_partition_by_indices;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, InputOrderMode};

use crate::udaf::MetricUdaf;

/// Replaces path metrics by [`MetricUdaf::in_time_order`] in single-stage aggregations over input in the order of groups and time.
///
/// Belongs after DataFusion's own physical rules (`SessionStateBuilder::with_physical_optimizer_rule`). Results are the same without it.
#[derive(Debug, Default, Clone, Copy)]
pub struct StreamTimeOrder;

impl PhysicalOptimizerRule for StreamTimeOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |plan: Arc<dyn ExecutionPlan>| {
            let streamed = match plan.downcast_ref::<AggregateExec>() {
                Some(aggregate) => streamed(aggregate)?,
                None => None,
            };
            Ok(streamed.map_or_else(|| Transformed::no(plan), |aggregate| Transformed::yes(Arc::new(aggregate) as _)))
        };
        plan.transform_up(rewrite).data()
    }

    fn name(&self) -> &str {
        "stream_time_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The aggregation with its path metrics replaced; `None` when nothing can be.
fn streamed(aggregate: &AggregateExec) -> Result<Option<AggregateExec>> {
    let single = matches!(aggregate.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned);
    let in_groups = aggregate.group_expr().is_true_no_grouping() || aggregate.input_order_mode() == &InputOrderMode::Sorted;
    if !single || !in_groups {
        return Ok(None);
    }
    let replaced: Vec<_> = aggregate.aggr_expr().iter().map(|call| in_time_order(aggregate, call)).collect::<Result<_>>()?;
    if replaced.iter().all(Option::is_none) {
        return Ok(None);
    }
    let calls = replaced.into_iter().zip(aggregate.aggr_expr()).map(|(new, old)| new.unwrap_or_else(|| Arc::clone(old)));
    Ok(Some(aggregate.with_new_aggr_exprs(calls.collect::<Vec<_>>())))
}

fn in_time_order(aggregate: &AggregateExec, call: &AggregateFunctionExpr) -> Result<Option<Arc<AggregateFunctionExpr>>> {
    if call.order_bys().is_empty() || !arrives_in_order(aggregate, call)? {
        return Ok(None);
    }
    call_in_time_order(call, aggregate.input_schema())
}

/// The call of a path metric by [`MetricUdaf::in_time_order`], over rows of this schema; `None` for calls that gain nothing.
///
/// For operators that bring each group's rows in the order of the call's keys to one accumulator.
///
/// # Errors
/// A call whose arguments do not fit the schema.
pub fn call_in_time_order(call: &AggregateFunctionExpr, schema: SchemaRef) -> Result<Option<Arc<AggregateFunctionExpr>>> {
    let Some(function) = MetricUdaf::of(call.fun()).and_then(MetricUdaf::in_time_order) else { return Ok(None) };
    // Metadata of the output field cannot be handed to a new call.
    if !call.field().metadata().is_empty() {
        return Ok(None);
    }
    let builder = AggregateExprBuilder::new(Arc::new(AggregateUDF::from(function)), call.expressions())
        .order_by(call.order_bys().to_vec())
        .schema(schema)
        .alias(call.name())
        .human_display(call.human_display().unwrap_or_default())
        .with_ignore_nulls(call.ignore_nulls())
        .with_distinct(call.is_distinct())
        .with_reversed(call.is_reversed());
    Ok(Some(Arc::new(builder.build()?)))
}

/// Whether the input is in the order of the groups, then of the call's keys.
fn arrives_in_order(aggregate: &AggregateExec, call: &AggregateFunctionExpr) -> Result<bool> {
    let groups = aggregate.group_expr().input_exprs();
    let indices = get_ordered_partition_by_indices(&groups, aggregate.input())?;
    let prefix = indices.iter().map(|&i| PhysicalSortRequirement::new(Arc::clone(&groups[i]), None));
    // A key that is also a group is the same in all rows of the group.
    let keys = call.order_bys().iter().filter(|key| !physical_exprs_contains(&groups, &key.expr)).cloned().map(Into::into);
    aggregate.input().equivalence_properties().ordering_satisfy_requirement(prefix.chain(keys).collect::<Vec<_>>())
}
