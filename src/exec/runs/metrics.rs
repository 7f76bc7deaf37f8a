//! The figures that `EXPLAIN ANALYZE` shows.

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

use super::rows::bytes_scanned;

/// Figures of a query.
#[derive(Debug, Clone)]
pub(super) struct RunMetrics {
    pub(super) rows: Count,
    pub(super) decode_time: Time,
    pub(super) fold_time: Time,
    pub(super) bytes: Count,
    pub(super) groups: Count,
}

impl RunMetrics {
    pub(super) fn new(scan: &ExecutionPlanMetricsSet, aggregation: &ExecutionPlanMetricsSet) -> Self {
        Self {
            rows: MetricBuilder::new(scan).output_rows(0),
            decode_time: MetricBuilder::new(scan).subset_time("decode_time", 0),
            fold_time: MetricBuilder::new(aggregation).elapsed_compute(0),
            bytes: MetricBuilder::new(scan).global_counter("bytes_scanned"),
            groups: MetricBuilder::new(aggregation).output_rows(0),
        }
    }

    /// Adds the figures of a finished read.
    pub(super) fn take_over(&self, source: &FileScanConfig) {
        self.bytes.add(bytes_scanned(source));
    }
}
