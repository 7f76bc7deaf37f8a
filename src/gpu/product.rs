//! Matrix products by cuBLAS.

use std::ffi::c_int;
use std::sync::Arc;

use cudarc::cublas::{result, sys};
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUdeviceptr;

use super::error::GpuError;
use super::memory::DeviceBuffer;
use super::tiles::Precision;

/// Scratch memory of a handle: what cuBLAS recommends for Hopper, enough for older devices. Given explicitly, so that
/// the library allocates nothing by itself later and gives the same bits whatever else runs.
const WORKSPACE_BYTES: usize = 32 << 20;

/// A handle of cuBLAS on its own stream.
pub(super) struct Blas {
    handle: sys::cublasHandle_t,
    stream: Arc<CudaStream>,
    _workspace: DeviceBuffer,
}

// SAFETY: a handle may be used by any thread, one at a time: methods that enqueue work take `&mut self`.
unsafe impl Send for Blas {}
// SAFETY: shared access only reads the stream.
unsafe impl Sync for Blas {}

/// The product of rows and columns, both row-major with `stride` values from one row to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands {
    pub(super) left: CUdeviceptr,
    pub(super) right: CUdeviceptr,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Values of a row with its padding: the padding is 0 and adds nothing.
    pub(super) stride: usize,
}

impl Blas {
    pub(super) fn new(stream: Arc<CudaStream>) -> Result<Self, GpuError> {
        let context = stream.context();
        context.bind_to_thread().map_err(GpuError::driver("binding the context"))?;
        let workspace = DeviceBuffer::zeroed(context, "scratch of cuBLAS", WORKSPACE_BYTES)?;
        let handle = result::create_handle().map_err(GpuError::blas("creating a handle"))?;
        let address = workspace.address(0) as *mut std::ffi::c_void;
        let blas = Self { handle, stream, _workspace: workspace };
        // SAFETY: the handle is alive; the stream lives as long as it. Setting the stream resets the workspace, so that comes after.
        unsafe { result::set_stream(blas.handle, blas.stream.cu_stream().cast()) }.map_err(GpuError::blas("setting the stream"))?;
        // SAFETY: `WORKSPACE_BYTES` bytes of the device, aligned to 256 by the driver, that live as long as the handle.
        unsafe { sys::cublasSetWorkspace_v2(blas.handle, address, WORKSPACE_BYTES) }
            .result()
            .map_err(GpuError::blas("setting the workspace"))?;
        Ok(blas)
    }

    pub(super) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Enqueues `into[i][j] = left[i] · right[j]`, row-major, `columns` values from one row to the next.
    ///
    /// # Safety
    /// The addresses hold as many values of the precision as `operands` says, and live until the stream has come past this.
    pub(super) unsafe fn product(&mut self, operands: &Operands, into: CUdeviceptr, precision: Precision) -> Result<(), GpuError> {
        self.stream.context().bind_to_thread().map_err(GpuError::driver("binding the context"))?;
        // SAFETY: the handle is alive.
        unsafe { sys::cublasSetMathMode(self.handle, math_mode(precision)) }.result().map_err(GpuError::blas("setting the arithmetic"))?;
        let size = |n: usize| c_int::try_from(n).map_err(|_| GpuError::Shape(format!("{n} is too large a dimension of a product")));
        let (rows, columns, stride) = (size(operands.rows)?, size(operands.columns)?, size(operands.stride)?);
        // cuBLAS counts by columns: its matrix of `stride` x `rows` is our rows as they lie, and what it calls the
        // product of `right` transposed and `left` lies in memory as our row-major product of left and right.
        let (turned, plain) = (sys::cublasOperation_t::CUBLAS_OP_T, sys::cublasOperation_t::CUBLAS_OP_N);
        let done = match precision {
            Precision::F64 => {
                let (right, left, into) = (operands.right as *const f64, operands.left as *const f64, into as *mut f64);
                let (one, zero) = (1.0, 0.0);
                // SAFETY: sizes as the caller promises; the scalars are read before the call returns.
                unsafe {
                    result::dgemm(
                        self.handle,
                        turned,
                        plain,
                        columns,
                        rows,
                        stride,
                        &raw const one,
                        right,
                        stride,
                        left,
                        stride,
                        &raw const zero,
                        into,
                        columns,
                    )
                }
            }
            Precision::F32 | Precision::Tf32 => {
                let (right, left, into) = (operands.right as *const f32, operands.left as *const f32, into as *mut f32);
                let (one, zero) = (1.0, 0.0);
                // SAFETY: as above.
                unsafe {
                    result::sgemm(
                        self.handle,
                        turned,
                        plain,
                        columns,
                        rows,
                        stride,
                        &raw const one,
                        right,
                        stride,
                        left,
                        stride,
                        &raw const zero,
                        into,
                        columns,
                    )
                }
            }
        };
        done.map_err(GpuError::blas("a product"))
    }
}

/// The default mode computes in the precision of the call, on tensor cores where the device has them for it. Only an
/// environment variable of cuBLAS lets it emulate that precision by others; the pedantic mode, slower on some devices,
/// does not.
fn math_mode(precision: Precision) -> sys::cublasMath_t {
    let emulated = match precision {
        Precision::F64 => "CUBLAS_EMULATE_DOUBLE_PRECISION",
        Precision::F32 => "CUBLAS_EMULATE_SINGLE_PRECISION",
        Precision::Tf32 => return sys::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
    };
    match std::env::var_os(emulated) {
        Some(value) if value != "0" => sys::cublasMath_t::CUBLAS_PEDANTIC_MATH,
        _ => sys::cublasMath_t::CUBLAS_DEFAULT_MATH,
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        context.record_err(self.stream.synchronize());
        // SAFETY: created by `create_handle`, destroyed once, before its workspace. There is nothing to do about a failure.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}
