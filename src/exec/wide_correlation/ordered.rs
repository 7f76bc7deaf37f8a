//! Rows in an order that does not depend on the number of threads.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Operators that hand on rows as they come without saying so.
const ROW_BY_ROW: &[&str] = &["DeltaScanExec"];

/// The plan with one partition.
///
/// Below operators that keep the order of rows, what spreads rows over threads is taken out, and files are read one after another by name. Where
/// rows come from anything else (a join, a union), they come as they are ready: sums then agree within rounding only.
///
/// # Errors
/// None for plans that DataFusion made.
pub(super) fn in_one_order(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = ordered(plan)?;
    Ok(match plan.output_partitioning().partition_count() {
        1 => plan,
        _ => Arc::new(CoalescePartitionsExec::new(plan)),
    })
}

fn ordered(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(files) = plan.downcast_ref::<DataSourceExec>().and_then(|source| source.data_source().downcast_ref::<FileScanConfig>()) {
        return Ok(one_after_another(files).unwrap_or_else(|| Arc::clone(plan)));
    }
    let [input] = plan.children()[..] else { return Ok(Arc::clone(plan)) };
    if spreads_rows(plan) {
        return ordered(input);
    }
    let partitions = |plan: &Arc<dyn ExecutionPlan>| plan.output_partitioning().partition_count();
    let keeps_order = plan.maintains_input_order() == [true] || ROW_BY_ROW.contains(&plan.name());
    // What lies below an operator that needs an order, or keeps one through a repartition, gives that order.
    let needs_order = plan.is::<RepartitionExec>() || plan.required_input_ordering().iter().any(Option::is_some);
    if needs_order || !keeps_order || partitions(plan) != partitions(input) {
        return Ok(Arc::clone(plan));
    }
    let below = ordered(input)?;
    if Arc::ptr_eq(&below, input) {
        return Ok(Arc::clone(plan));
    }
    Arc::clone(plan).replace_children(vec![below], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}

/// Whether all that an operator does is to spread rows over partitions, or to put partitions together.
fn spreads_rows(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let round_robin = |plan: &RepartitionExec| matches!(plan.partitioning(), Partitioning::RoundRobinBatch(_));
    plan.downcast_ref::<RepartitionExec>().is_some_and(round_robin) || (plan.is::<CoalescePartitionsExec>() && plan.fetch().is_none())
}

/// The scan with its files, or parts of files, in one partition; `None` where that is so, or where a limit takes any rows.
fn one_after_another(scan: &FileScanConfig) -> Option<Arc<dyn ExecutionPlan>> {
    if scan.file_groups.len() < 2 || scan.limit.is_some() {
        return None;
    }
    let mut files: Vec<PartitionedFile> = scan.file_groups.iter().flat_map(|group| group.iter()).cloned().collect();
    let place = |file: &PartitionedFile| file.range.as_ref().map_or(0, |range| range.start);
    files.sort_by(|a, b| a.object_meta.location.cmp(&b.object_meta.location).then(place(a).cmp(&place(b))));
    let scan = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(vec![FileGroup::new(files)])
        .with_output_ordering(vec![])
        .with_output_partitioning(None)
        .with_preserve_order(true)
        .build();
    Some(DataSourceExec::from_data_source(scan))
}
