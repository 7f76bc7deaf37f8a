//! How far a running plan is.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

/// Counters by which an operator tells its progress: pieces of work in all, and those that are done.
pub(super) const WORK: &str = "tiles";
pub(super) const DONE: &str = "tiles_done";

/// Share of the work that is done, 0 to 1, by the operators that know it; `None` while none does.
pub fn progress(plan: &Arc<dyn ExecutionPlan>) -> Option<f64> {
    let (work, done) = counted(plan);
    (work > 0).then(|| (done as f64 / work as f64).min(1.0))
}

fn counted(plan: &Arc<dyn ExecutionPlan>) -> (usize, usize) {
    let metrics = plan.metrics().unwrap_or_default();
    let count = |name: &str| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
    plan.children().into_iter().map(counted).fold((count(WORK), count(DONE)), |sums, one| (sums.0 + one.0, sums.1 + one.1))
}
