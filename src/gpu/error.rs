//! What can go wrong with a device.

use cudarc::cublas::result::CublasError;
use cudarc::cublas::sys::cublasStatus_t;
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

/// Why no device can be used, as a short clause for `EXPLAIN`: `no CUDA driver found`, `no device 3: there is 1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub(super) String);

/// A failure of work on the device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The device, or the page-locked memory of the host, has too little left.
    #[error("out of memory on the device: {what}")]
    OutOfMemory {
        /// What the memory was for, with its size in bytes.
        what: String,
    },

    /// A call of the CUDA driver failed. After some of these (an illegal address, say) the device stays unusable for this process.
    #[error("the CUDA driver failed at {what}: {code}")]
    Driver {
        /// What was being done.
        what: &'static str,
        /// The driver's own code and text.
        code: String,
    },

    /// A call of cuBLAS failed.
    #[error("cuBLAS failed at {what}: {code}")]
    Blas {
        /// What was being done.
        what: &'static str,
        /// The library's own code.
        code: String,
    },

    /// A kernel was refused by the run-time compiler.
    #[error("the kernels in {file} do not compile for {architecture}: {log}")]
    Compile {
        /// The source file.
        file: &'static str,
        /// What was compiled for, as `sm_90`.
        architecture: String,
        /// The compiler's log.
        log: String,
    },

    /// Rows of a panel on the host cannot be read.
    #[error("rows {first}..{last} of a panel cannot be read: {source}")]
    Host {
        /// First row.
        first: usize,
        /// The row after the last.
        last: usize,
        /// The failure below.
        #[source]
        source: std::io::Error,
    },

    /// The sizes or precisions of the arguments do not fit together: a mistake of the caller.
    #[error("{0}")]
    Shape(String),
}

impl GpuError {
    /// Whether less memory would have served: a smaller tile, or the CPU.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. })
    }

    pub(super) fn driver(what: &'static str) -> impl Fn(DriverError) -> Self {
        move |error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Self::OutOfMemory { what: what.into() },
            code => Self::Driver { what, code: format!("{code:?}") },
        }
    }

    pub(super) fn blas(what: &'static str) -> impl Fn(CublasError) -> Self {
        move |error| match error.0 {
            cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Self::OutOfMemory { what: what.into() },
            code => Self::Blas { what, code: format!("{code:?}") },
        }
    }
}
