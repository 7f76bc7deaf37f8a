//! Panels that stay on the device: rows in blocks, so that their number need not be known beforehand.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{LaunchConfig, PushKernelArg};

use super::device::Gpu;
use super::error::GpuError;
use super::kernels::BLOCK_THREADS;
use super::memory::{DeviceBuffer, Plain};
use super::metrics::SeriesMetrics;
use super::tiles::{LARGEST_TILE, Precision, SMALLEST_TILE};
use super::upload::{RowLayout, Uploader};

/// Bytes of a block at most, unless a block of the smallest tile takes more.
const BLOCK_BYTES: usize = 1 << 30;

/// What is known of a panel before its rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelShape {
    /// Values of a row: periods.
    pub columns: usize,
    /// Rows expected, so that a small panel takes little; more may come.
    pub expected_rows: Option<usize>,
    /// In what arithmetic products will be computed: it decides how values are stored.
    pub precision: Precision,
}

impl PanelShape {
    /// Rows of a block: a power of two, so that no tile crosses its end.
    fn block_rows(&self) -> usize {
        let most = BLOCK_BYTES / RowLayout::new(self.columns, self.precision).row_bytes();
        let largest = if most == 0 { SMALLEST_TILE } else { 1 << most.ilog2() };
        let expected = self.expected_rows.map_or(LARGEST_TILE, |rows| rows.min(LARGEST_TILE).next_power_of_two());
        largest.min(expected).clamp(SMALLEST_TILE, LARGEST_TILE)
    }
}

/// A panel under construction: rows are uploaded while the caller decodes the next ones.
pub struct PanelUpload {
    // Before the panel: its copies end before the blocks are freed.
    uploader: Uploader,
    panel: DevicePanel,
}

impl fmt::Debug for PanelUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanelUpload").field("panel", &self.panel).finish_non_exhaustive()
    }
}

impl PanelUpload {
    /// An empty panel of `shape` on the device.
    ///
    /// # Errors
    /// [`GpuError::Shape`] for rows without values; [`GpuError::OutOfMemory`] where there is no room for the buffers.
    pub fn new(gpu: &Arc<Gpu>, shape: &PanelShape) -> Result<Self, GpuError> {
        if shape.columns == 0 {
            return Err(GpuError::Shape("a panel needs at least one period".into()));
        }
        let layout = RowLayout::new(shape.columns, shape.precision);
        let panel = DevicePanel { gpu: Arc::clone(gpu), layout, block_rows: shape.block_rows(), rows: 0, blocks: vec![] };
        Ok(Self { uploader: Uploader::new(gpu, layout)?, panel })
    }

    /// Takes whole rows, row-major. Returns when they are copied into page-locked memory; the upload runs beside the caller.
    ///
    /// For products, each row is a unit vector: a complete series, centred and scaled. For metrics, the raw values.
    ///
    /// # Errors
    /// [`GpuError::Shape`] where `rows` is no multiple of the columns; [`GpuError::OutOfMemory`] where a block has no room.
    pub fn push(&mut self, rows: &[f64]) -> Result<(), GpuError> {
        let columns = self.panel.layout.columns;
        if !rows.len().is_multiple_of(columns) {
            return Err(GpuError::Shape(format!("{} values are no whole rows of {columns}", rows.len())));
        }
        let mut rest = rows;
        while !rest.is_empty() {
            let at = self.panel.rows % self.panel.block_rows;
            if self.panel.rows == self.panel.blocks.len() * self.panel.block_rows {
                self.panel.add_block()?;
            }
            let Some(block) = self.panel.blocks.last() else { break };
            let (now, later) = rest.split_at(rest.len().min((self.panel.block_rows - at) * columns));
            self.uploader.send(now, block, at)?;
            self.panel.rows += now.len() / columns;
            rest = later;
        }
        Ok(())
    }

    /// Rows taken so far.
    pub fn rows(&self) -> usize {
        self.panel.rows
    }

    /// Waits for the uploads and hands out the panel.
    ///
    /// # Errors
    /// [`GpuError::Driver`] where an upload has failed.
    pub fn finish(self) -> Result<DevicePanel, GpuError> {
        self.uploader.wait()?;
        Ok(self.panel)
    }
}

/// Rows resident on the device. May be shared by threads; its memory is freed when the last one drops it.
pub struct DevicePanel {
    gpu: Arc<Gpu>,
    layout: RowLayout,
    block_rows: usize,
    rows: usize,
    blocks: Vec<DeviceBuffer>,
}

impl fmt::Debug for DevicePanel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePanel").field("rows", &self.rows).field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl DevicePanel {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of values of a row.
    pub fn columns(&self) -> usize {
        self.layout.columns
    }

    /// How values are stored.
    pub fn precision(&self) -> Precision {
        self.layout.precision
    }

    /// Memory of the device in bytes, with padding and the room left in the last block.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(DeviceBuffer::bytes).sum()
    }

    /// The device it lies on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub(super) fn layout(&self) -> RowLayout {
        self.layout
    }

    pub(super) fn block_rows(&self) -> usize {
        self.block_rows
    }

    fn add_block(&mut self) -> Result<(), GpuError> {
        let bytes = self.block_rows * self.layout.row_bytes();
        self.blocks.push(DeviceBuffer::zeroed(self.gpu.context(), "a block of a panel", bytes)?);
        Ok(())
    }

    /// Address of some rows, which lie in one block.
    pub(super) fn address(&self, rows: &Range<usize>) -> Result<u64, GpuError> {
        let block = rows.start / self.block_rows;
        match self.blocks.get(block) {
            Some(buffer) if rows.end <= self.rows && rows.end <= (block + 1) * self.block_rows => {
                Ok(buffer.address(rows.start % self.block_rows * self.layout.row_bytes()))
            }
            _ => Err(GpuError::Shape(format!("rows {rows:?} of a panel of {} do not lie in one block", self.rows))),
        }
    }

    /// The metrics of each row of raw values, in order. NaN marks a missing value.
    ///
    /// The same bits as [`twin::series_metrics`](super::twin::series_metrics) gives on the CPU.
    ///
    /// # Errors
    /// [`GpuError::Shape`] for a panel that is not stored in double precision; failures of the device.
    pub fn metrics(&self) -> Result<Vec<SeriesMetrics>, GpuError> {
        if self.layout.precision != Precision::F64 {
            return Err(GpuError::Shape("metrics need a panel in double precision".into()));
        }
        let size = size_of::<SeriesMetrics>();
        let results = DeviceBuffer::zeroed(self.gpu.context(), "metrics", self.rows * size)?;
        let stream = self.gpu.new_stream()?;
        let kernel = self.gpu.kernels().get("series_metrics")?;
        let (length, stride) = (self.layout.columns as u32, self.layout.stride as u64);
        for (block, buffer) in self.blocks.iter().enumerate() {
            let first = block * self.block_rows;
            let rows = (self.rows - first).min(self.block_rows) as u32;
            let (values, into) = (buffer.address(0), results.address(first * size));
            let grid = rows.div_ceil(BLOCK_THREADS).max(1);
            let launch = LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (BLOCK_THREADS, 1, 1), shared_mem_bytes: 0 };
            let mut call = stream.launch_builder(kernel);
            call.arg(&values).arg(&rows).arg(&length).arg(&stride).arg(&into);
            // SAFETY: the arguments of series_metrics in their order; it reads `rows` rows of the block and writes as many results.
            unsafe { call.launch(launch) }.map_err(GpuError::driver("computing metrics"))?;
        }
        let mut metrics = vec![SeriesMetrics::default(); self.rows];
        // SAFETY: `metrics` is not touched until the stream is waited for, on every path: the wait comes before `?`.
        let copied = unsafe { results.download(0, &mut metrics, &stream) };
        let waited = stream.synchronize().map_err(GpuError::driver("computing metrics"));
        copied.and(waited)?;
        Ok(metrics)
    }
}

// SAFETY: seven numbers of 8 bytes, laid out as the struct of metrics.cu.
unsafe impl Plain for SeriesMetrics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_powers_of_two_of_bounded_size() {
        let rows = |columns, expected_rows| PanelShape { columns, expected_rows, precision: Precision::F64 }.block_rows();
        assert_eq!(rows(2520, None), 4096);
        assert_eq!(rows(2520, Some(10)), 256);
        assert_eq!(rows(2520, Some(1000)), 1024);
        assert_eq!(rows(2520, Some(usize::MAX)), 4096);
        assert_eq!(rows(100_000, None), 1024);
        assert_eq!(rows(100_000_000, None), 256);
    }
}
