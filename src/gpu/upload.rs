//! Rows on their way to the device: copied into one of two page-locked buffers, while the other one is uploaded.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaEvent, CudaStream};

use super::device::Gpu;
use super::error::GpuError;
use super::memory::{DeviceBuffer, PinnedBuffer};
use super::tiles::Precision;

/// Bytes of each of the two buffers, at least one row.
const STAGING_BYTES: usize = 16 << 20;

/// Rows on the device begin at multiples of this many values, which fast kernels of cuBLAS ask for; padding is 0.
const ROW_ALIGNMENT: usize = 8;

/// How rows lie on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowLayout {
    /// Values of a row.
    pub(super) columns: usize,
    /// Values from one row to the next.
    pub(super) stride: usize,
    pub(super) precision: Precision,
}

impl RowLayout {
    pub(super) fn new(columns: usize, precision: Precision) -> Self {
        Self { columns, stride: columns.next_multiple_of(ROW_ALIGNMENT).max(ROW_ALIGNMENT), precision }
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.stride * self.precision.element_bytes()
    }
}

/// A panel on the host: where rows come from when they are not resident, because the panel is larger than the device.
pub trait HostPanel: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Number of values of a row.
    fn columns(&self) -> usize;

    /// Copies some rows, unit vectors like those of a resident panel, row-major into `into`, whose length is rows times columns.
    ///
    /// Called from another thread than the one that asked for pairs, and more than once for the same rows.
    ///
    /// # Errors
    /// Whatever reading them from disk gives; it ends the work.
    fn copy_rows(&self, rows: Range<usize>, into: &mut [f64]) -> std::io::Result<()>;
}

struct Staging {
    buffer: PinnedBuffer,
    /// Recorded behind the last upload from the buffer.
    uploaded: CudaEvent,
}

/// Two buffers in turn, on a stream of their own.
pub(super) struct Uploader {
    layout: RowLayout,
    staging: [Staging; 2],
    turn: usize,
    /// Rows that a buffer holds.
    capacity: usize,
    stream: Arc<CudaStream>,
}

impl Uploader {
    pub(super) fn new(gpu: &Gpu, layout: RowLayout) -> Result<Self, GpuError> {
        let capacity = (STAGING_BYTES / layout.row_bytes()).max(1);
        let staging = || -> Result<Staging, GpuError> {
            let buffer = PinnedBuffer::zeroed(gpu.context(), "rows to be uploaded", capacity * layout.row_bytes())?;
            let uploaded = gpu.context().new_event(None).map_err(GpuError::driver("making an event"))?;
            Ok(Staging { buffer, uploaded })
        };
        Ok(Self { layout, staging: [staging()?, staging()?], turn: 0, capacity, stream: gpu.new_stream()? })
    }

    pub(super) fn layout(&self) -> RowLayout {
        self.layout
    }

    /// Rows that one buffer holds: as many are uploaded at once.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sends whole rows, row-major, to row `at` of `target`. Returns when they are copied, not when they have arrived.
    pub(super) fn send(&mut self, rows: &[f64], target: &DeviceBuffer, at: usize) -> Result<(), GpuError> {
        let columns = self.layout.columns;
        for (chunk, part) in rows.chunks(self.capacity * columns).enumerate() {
            let Staging { buffer, uploaded } = &mut self.staging[self.turn];
            self.turn = 1 - self.turn;
            uploaded.synchronize().map_err(GpuError::driver("waiting for an upload"))?;
            let offset = (at + chunk * self.capacity) * self.layout.row_bytes();
            let values = part.len() / columns * self.layout.stride;
            match self.layout.precision {
                Precision::F64 => {
                    fill(buffer.as_mut_slice::<f64>(), part, &self.layout, |x| x);
                    // SAFETY: the buffer is left alone until the event behind this copy.
                    unsafe { target.upload(offset, &buffer.as_slice::<f64>()[..values], &self.stream) }?;
                }
                Precision::F32 | Precision::Tf32 => {
                    fill(buffer.as_mut_slice::<f32>(), part, &self.layout, |x| x as f32);
                    // SAFETY: as above.
                    unsafe { target.upload(offset, &buffer.as_slice::<f32>()[..values], &self.stream) }?;
                }
            }
            uploaded.record(&self.stream).map_err(GpuError::driver("recording an upload"))?;
        }
        Ok(())
    }

    /// Waits until everything sent has arrived.
    pub(super) fn wait(&self) -> Result<(), GpuError> {
        self.stream.synchronize().map_err(GpuError::driver("waiting for uploads"))
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        // The buffers must outlive their copies, and so must the target, which the caller drops later.
        let context = self.stream.context();
        context.record_err(self.stream.synchronize());
    }
}

/// Copies rows to where they lie padded; the padding stays 0, as the buffer was made.
fn fill<T>(into: &mut [T], rows: &[f64], layout: &RowLayout, convert: impl Fn(f64) -> T) {
    for (to, from) in into.chunks_exact_mut(layout.stride).zip(rows.chunks_exact(layout.columns)) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = convert(from);
        }
    }
}

/// Room on the device for some rows of a host panel, filled again and again.
pub(super) struct Window {
    buffer: DeviceBuffer,
    /// The rows that lie there now.
    pub(super) rows: Range<usize>,
}

impl Window {
    pub(super) fn new(gpu: &Gpu, layout: RowLayout, rows: usize) -> Result<Self, GpuError> {
        let buffer = DeviceBuffer::zeroed(gpu.context(), "rows of a streamed panel", rows * layout.row_bytes())?;
        Ok(Self { buffer, rows: 0..0 })
    }

    /// Loads rows of a panel in place of those there; returns when they have arrived. No work may use the window.
    pub(super) fn load(&mut self, panel: &dyn HostPanel, rows: Range<usize>, uploader: &mut Uploader) -> Result<(), GpuError> {
        self.rows = 0..0;
        let columns = uploader.layout().columns;
        let mut scratch = vec![0.0; uploader.capacity().min(rows.len()) * columns];
        for first in rows.clone().step_by(uploader.capacity()) {
            let last = (first + uploader.capacity()).min(rows.end);
            let part = &mut scratch[..(last - first) * columns];
            panel.copy_rows(first..last, part).map_err(|source| GpuError::Host { first, last, source })?;
            uploader.send(part, &self.buffer, first - rows.start)?;
        }
        uploader.wait()?;
        self.rows = rows;
        Ok(())
    }

    pub(super) fn address(&self, row: usize, layout: &RowLayout) -> u64 {
        self.buffer.address((row - self.rows.start) * layout.row_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_with_zeros_to_whole_vectors() {
        let layout = RowLayout::new(3, Precision::F32);
        assert_eq!((layout.stride, layout.row_bytes()), (8, 32));
        assert_eq!(RowLayout::new(16, Precision::F64).stride, 16);
        let mut into = [0.0_f32; 16];
        fill(&mut into, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &layout, |x| x as f32);
        assert_eq!(into, [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
