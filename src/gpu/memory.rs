//! Memory of the device and page-locked memory of the host, owned: freed on every path.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream, result, sys};

use super::error::GpuError;

/// Types that any bits make a valid value of, with the same layout on the device.
///
/// # Safety
/// No padding, no references, no bits that are not a value; at most 16 bytes of alignment.
pub(super) unsafe trait Plain: Copy + 'static {}

// SAFETY: numbers of the same layout on both sides.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}

/// Memory of the device, freed when dropped. Allocated and freed synchronously, so that every stream may use it at once.
pub(super) struct DeviceBuffer {
    address: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl DeviceBuffer {
    /// `bytes` zeros; `what` they are for is named where there is no room.
    pub(super) fn zeroed(context: &Arc<CudaContext>, what: &str, bytes: usize) -> Result<Self, GpuError> {
        let bytes = bytes.max(1);
        context.bind_to_thread().map_err(GpuError::driver("binding the context"))?;
        // SAFETY: the context is current; the memory is written below before anything reads it.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => GpuError::OutOfMemory { what: format!("{bytes} bytes for {what}") },
            _ => GpuError::driver("allocating")(error),
        })?;
        let buffer = Self { address, bytes, context: Arc::clone(context) };
        // SAFETY: `bytes` bytes were allocated at `address`.
        unsafe { result::memset_d8_sync(address, 0, bytes) }.map_err(GpuError::driver("clearing memory"))?;
        // That call may return before the device is done, in the order of a stream that ours do not wait for.
        context.synchronize().map_err(GpuError::driver("clearing memory"))?;
        Ok(buffer)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Address `offset` bytes from the start.
    pub(super) fn address(&self, offset: usize) -> sys::CUdeviceptr {
        debug_assert!(offset <= self.bytes);
        self.address + offset as u64
    }

    /// Copies `from` to `offset` bytes from the start, in the order of `stream`.
    ///
    /// # Safety
    /// `from` lives and stays as it is until the stream has come past this copy.
    pub(super) unsafe fn upload<T: Plain>(&self, offset: usize, from: &[T], stream: &CudaStream) -> Result<(), GpuError> {
        self.fits(offset, size_of_val(from))?;
        self.bind()?;
        // SAFETY: the range lies in the buffer; the caller keeps `from`.
        unsafe { result::memcpy_htod_async(self.address(offset), from, stream.cu_stream()) }.map_err(GpuError::driver("uploading"))
    }

    /// Copies what lies `offset` bytes from the start into `into`, in the order of `stream`.
    ///
    /// # Safety
    /// `into` lives and is not read or written until the stream has come past this copy.
    pub(super) unsafe fn download<T: Plain>(&self, offset: usize, into: &mut [T], stream: &CudaStream) -> Result<(), GpuError> {
        self.fits(offset, size_of_val(into))?;
        self.bind()?;
        // SAFETY: the range lies in the buffer; the caller keeps `into`.
        unsafe { result::memcpy_dtoh_async(into, self.address(offset), stream.cu_stream()) }.map_err(GpuError::driver("downloading"))
    }

    /// Sets all bits to 0 in the order of `stream`.
    pub(super) fn clear(&self, stream: &CudaStream) -> Result<(), GpuError> {
        self.bind()?;
        // SAFETY: the whole buffer, which outlives the work: freeing waits for the device.
        unsafe { result::memset_d8_async(self.address, 0, self.bytes, stream.cu_stream()) }.map_err(GpuError::driver("clearing memory"))
    }

    fn bind(&self) -> Result<(), GpuError> {
        self.context.bind_to_thread().map_err(GpuError::driver("binding the context"))
    }

    fn fits(&self, offset: usize, bytes: usize) -> Result<(), GpuError> {
        if offset.checked_add(bytes).is_some_and(|end| end <= self.bytes) {
            return Ok(());
        }
        Err(GpuError::Shape(format!("a copy of {bytes} bytes at {offset} does not fit a buffer of {}", self.bytes)))
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated by `malloc_sync`, freed once. Freeing waits until the device is done with it.
        self.context.record_err(unsafe { result::free_sync(self.address) });
    }
}

/// Page-locked memory of the host: copies from and to it run beside the program.
pub(super) struct PinnedBuffer {
    start: *mut u8,
    bytes: usize,
    context: Arc<CudaContext>,
}

// SAFETY: owned memory of the host, like a `Vec`.
unsafe impl Send for PinnedBuffer {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for PinnedBuffer {}

impl PinnedBuffer {
    /// `bytes` zeros; `what` they are for is named where there is no room.
    pub(super) fn zeroed(context: &Arc<CudaContext>, what: &str, bytes: usize) -> Result<Self, GpuError> {
        let bytes = bytes.max(1);
        context.bind_to_thread().map_err(GpuError::driver("binding the context"))?;
        // SAFETY: the context is current; the memory is written below before anything reads it. Without flags: the
        // host also reads it, which write-combined memory makes slow.
        let start = unsafe { result::malloc_host(bytes, 0) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                GpuError::OutOfMemory { what: format!("{bytes} bytes of page-locked host memory for {what}") }
            }
            _ => GpuError::driver("allocating page-locked memory")(error),
        })?;
        let start = start.cast::<u8>();
        // SAFETY: `bytes` bytes were allocated.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, context: Arc::clone(context) })
    }

    /// As many values as there is room for.
    pub(super) fn as_slice<T: Plain>(&self) -> &[T] {
        // SAFETY: initialised, owned, aligned to a page, any bits are a value.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes / size_of::<T>()) }
    }

    /// As many values as there is room for.
    pub(super) fn as_mut_slice<T: Plain>(&mut self) -> &mut [T] {
        // SAFETY: initialised, owned and borrowed exclusively, aligned to a page, any bits are a value.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes / size_of::<T>()) }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        self.context.record_err(self.context.bind_to_thread());
        // SAFETY: allocated by `malloc_host`, freed once. Owners wait for their stream before they drop it.
        self.context.record_err(unsafe { result::free_host(self.start.cast()) });
    }
}
