//! Sorted files read whole.
//!
//! ```text
//! before:  RepartitionExec: partitioning=Hash([p], 2), input_partitions=2, preserve_order=true
//!            DataSourceExec: file_groups={2 groups: [[bars:0..100], [bars:100..200]]}, output_ordering=[p, t]
//!
//! after:   RepartitionExec: partitioning=Hash([p], 2), input_partitions=1, maintains_sort_order=true
//!            DataSourceExec: file_groups={1 group: [[bars:0..200]]}, output_ordering=[p, t]
//! ```
//!
//! DataFusion cuts files into parts for the threads. Parts of one sorted file follow each other, so that their merge, row by row, waits for
//! one part after the other anyway.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// The repartition over files whose parts are joined again; `None` for other plans, and where no part follows another.
pub(super) fn unmerged(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(merge) = plan.downcast_ref::<RepartitionExec>().filter(|repartition| repartition.preserve_order()) else { return Ok(None) };
    let Some(input) = joined(merge.input())? else { return Ok(None) };
    let partitions = input.output_partitioning().partition_count();
    let repartition = RepartitionExec::try_new(input, merge.partitioning().clone())?;
    let repartition = if partitions > 1 { repartition.with_preserve_order() } else { repartition };
    let same_order = repartition.properties().output_ordering() == plan.output_ordering();
    Ok(same_order.then(|| Arc::new(repartition) as _))
}

/// The plan with the parts of its files joined, as far as one follows the other.
fn joined(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if plan.is::<FilterExec>() || plan.is::<ProjectionExec>() {
        let Some(input) = plan.children().first().copied() else { return Ok(None) };
        let Some(input) = joined(input)? else { return Ok(None) };
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        return Ok(Some(Arc::clone(plan).replace_children(vec![input], options)?));
    }
    let Some(scan) = plan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>()) else {
        return Ok(None);
    };
    let groups = joined_groups(&scan.file_groups);
    if groups.len() == scan.file_groups.len() || scan.output_partitioning.is_some() {
        return Ok(None);
    }
    Ok(Some(DataSourceExec::from_data_source(FileScanConfigBuilder::from(scan.clone()).with_file_groups(groups).build())))
}

/// The groups with those joined of which one goes on where the other stops.
fn joined_groups(groups: &[FileGroup]) -> Vec<FileGroup> {
    let mut joined: Vec<Vec<PartitionedFile>> = vec![];
    for group in groups {
        let mut files = group.iter();
        let whole = match (joined.last().and_then(|before| before.last()), group.files().first()) {
            (Some(before), Some(after)) => followed(before, after),
            _ => None,
        };
        match (whole, joined.last_mut()) {
            (Some(whole), Some(before)) => {
                before.pop();
                before.push(whole);
                before.extend(files.skip(1).cloned());
            }
            _ => joined.push(files.by_ref().cloned().collect()),
        }
    }
    joined.into_iter().map(FileGroup::new).collect()
}

/// Two parts of a file as one, if the second starts where the first ends.
fn followed(before: &PartitionedFile, after: &PartitionedFile) -> Option<PartitionedFile> {
    let (first, second) = (before.range.as_ref()?, after.range.as_ref()?);
    let same = before.object_meta.location == after.object_meta.location && before.partition_values == after.partition_values;
    (same && first.end == second.start).then(|| {
        let range = FileRange { start: first.start, end: second.end };
        let whole = range.start == 0 && u64::try_from(range.end) == Ok(before.object_meta.size);
        PartitionedFile { range: (!whole).then_some(range), ..before.clone() }
    })
}
