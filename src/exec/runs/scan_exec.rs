//! The scan below the operator: which files, and what is known of them.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::file::RunFile;
use super::overlap::in_time_order;
use super::rows::RowReader;

/// A scan of a strategy table that `RunAggregateExec` reads run by run.
///
/// Executed by itself it gives the rows as DataFusion's scan does, in whose place it stands.
#[derive(Debug)]
pub(super) struct RunScanExec {
    source: Arc<dyn ExecutionPlan>,
    url: ObjectStoreUrl,
    table: TableSchema,
    files: Vec<PartitionedFile>,
    slotted: bool,
    /// What the operator above decodes and filters by, as text.
    pub(super) details: String,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl RunScanExec {
    /// In the place of `source`; `None` when its files are not all of a strategy table, in order, and apart in time.
    pub(super) fn try_new(source: &DataSourceExec, config: &FileScanConfig, mut files: Vec<PartitionedFile>) -> Option<Self> {
        files.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let slotted = files.first().and_then(|file| file.extension::<RunFile>()).is_some_and(|run| run.shape.has_slot());
        in_time_order(&files).then(|| Self {
            source: Arc::new(source.clone()),
            url: config.object_store_url.clone(),
            table: config.file_source().table_schema().clone(),
            slotted,
            files,
            details: String::new(),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// Whether dates have several rows per strategy.
    pub(super) fn has_slot(&self) -> bool {
        self.slotted
    }

    /// The files in the order of their first dates.
    pub(super) fn files(&self) -> &[PartitionedFile] {
        &self.files
    }

    pub(super) fn table(&self) -> &TableSchema {
        &self.table
    }

    pub(super) fn reader(&self, context: Arc<TaskContext>) -> RowReader {
        RowReader::new(self.url.clone(), self.table.clone(), context).keeping_decoded()
    }
}

/// First date, then first strategy.
fn order_of(file: &PartitionedFile) -> Option<((i32, i32), &str)> {
    let run = file.extension::<RunFile>()?;
    Some((run.dates?, run.strategies.as_ref()?.0.as_str()))
}

impl DisplayAs for RunScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let rows: u64 = self.files.iter().filter_map(|file| file.extension::<RunFile>()?.rows).sum();
        match format {
            DisplayFormatType::TreeRender => writeln!(f, "files={}\nrows={rows}", self.files.len()),
            _ => write!(f, "RunScanExec: files={}, rows={rows}{}", self.files.len(), self.details),
        }
    }
}

impl ExecutionPlan for RunScanExec {
    fn name(&self) -> &'static str {
        "RunScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.source.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.source.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
