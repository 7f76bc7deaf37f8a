//! How fast a device multiplies, measured: what [`pairs`](super::pairs) is compared with.

use std::time::{Duration, Instant};

use super::error::GpuError;
use super::memory::DeviceBuffer;
use super::panel::DevicePanel;
use super::product::Operands;
use super::tiles::LARGEST_TILE;

/// The time of products alone, one after another, and their floating-point operations.
#[derive(Debug, Clone, Copy)]
pub struct ProductRate {
    /// From the first product to the end of the last.
    pub elapsed: Duration,
    /// Multiplications and additions that the rows ask for, without padding.
    pub operations: f64,
}

impl ProductRate {
    /// Operations per second.
    pub fn per_second(&self) -> f64 {
        self.operations / self.elapsed.as_secs_f64()
    }
}

/// Multiplies the first block of a panel with itself `repeats` times by cuBLAS, after one product that is not counted.
///
/// # Errors
/// [`GpuError::Shape`] for an empty panel; failures of the device.
pub fn product_rate(panel: &DevicePanel, repeats: usize) -> Result<ProductRate, GpuError> {
    let (gpu, layout) = (panel.gpu(), panel.layout());
    let rows = panel.rows().min(panel.block_rows()).min(LARGEST_TILE);
    if rows == 0 {
        return Err(GpuError::Shape("an empty panel has no products".into()));
    }
    let into = DeviceBuffer::zeroed(gpu.context(), "products", rows * rows * layout.precision.element_bytes())?;
    let block = panel.address(&(0..rows))?;
    let operands = Operands { left: block, right: block, rows, columns: rows, stride: layout.stride };
    let mut channel = gpu.take_channel()?;
    let mut multiply = |count: usize| -> Result<Duration, GpuError> {
        let start = Instant::now();
        for _ in 0..count {
            // SAFETY: the block and the buffer outlive the wait below; the buffer has room for rows x rows products.
            unsafe { channel.blas.product(&operands, into.address(0), layout.precision) }?;
        }
        channel.blas.stream().synchronize().map_err(GpuError::driver("multiplying"))?;
        Ok(start.elapsed())
    };
    multiply(1)?;
    let elapsed = multiply(repeats)?;
    gpu.give_back(channel);
    Ok(ProductRate { elapsed, operations: 2.0 * repeats as f64 * (rows * rows) as f64 * layout.columns as f64 })
}
