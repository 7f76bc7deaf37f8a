//! Plans that give way: a query must notice that it was cancelled or throttled.
//!
//! DataFusion makes the leaves of a plan give way after so many batches *read*. A join can make millions of batches out of one it has
//! read, and would keep its worker all the while. Here every operator with several inputs, and unnesting, also gives way after so many batches
//! *made*.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::unnest::UnnestExec;

/// The plan with a point to give way above every operator that can make many batches out of few.
///
/// # Errors
/// An operator refuses new children.
pub fn giving_way(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let multiplies = |plan: &Arc<dyn ExecutionPlan>| plan.children().len() > 1 || plan.is::<UnnestExec>();
    let wrapped = plan.transform_up(|plan| match multiplies(&plan) {
        true => Ok(Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>)),
        false => Ok(Transformed::no(plan)),
    })?;
    Ok(wrapped.data)
}
