//! Which devices there are, and one of them opened: context, kernels, streams with their cuBLAS handles.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{CudaContext, CudaStream, result, sys};
use parking_lot::Mutex;

use super::error::{GpuError, Unavailable};
use super::kernels::Kernels;
use super::memory::PinnedBuffer;
use super::product::Blas;

/// The oldest compute capability whose warps the kernels can rely on (70 for 7.0).
const OLDEST_CAPABILITY: c_int = 70;

/// One device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceReport {
    /// Number by which it is chosen, from 0.
    pub index: usize,
    /// Name as the driver gives it.
    pub name: String,
    /// Major and minor number: (9, 0) for Hopper.
    pub compute_capability: (u32, u32),
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Memory in bytes that no process has taken; `None` where the device refuses to be opened.
    pub free_bytes: Option<u64>,
    /// Newest CUDA version that the driver supports: (13, 0).
    pub driver_version: (u32, u32),
    /// Why it cannot be used; `None` where it can.
    pub reason: Option<String>,
}

impl DeviceReport {
    /// Whether [`Gpu::open`] can be expected to open it.
    pub fn usable(&self) -> bool {
        self.reason.is_none()
    }
}

/// The devices of this machine, in the order of their numbers.
///
/// Asks each for its free memory, for which the driver makes a context: a few tenths of a second per device at the first call.
///
/// # Errors
/// [`Unavailable`] where there is no CUDA driver, or it does not answer.
pub fn devices() -> Result<Vec<DeviceReport>, Unavailable> {
    guarded(|| {
        let count = device_count()?;
        let missing = missing_library();
        (0..count).map(|index| report(index, missing.as_deref())).collect()
    })
}

fn report(index: usize, missing: Option<&str>) -> Result<DeviceReport, Unavailable> {
    let device = device(index)?;
    let name = result::device::get_name(device).map_err(refused("the name of a device"))?;
    // SAFETY: `device` comes from the driver.
    let memory = unsafe { result::device::total_mem(device) }.map_err(refused("the memory of a device"))?;
    let capability = capability(device)?;
    let free = CudaContext::new(index).and_then(|context| context.mem_get_info());
    let reason = if capability < OLDEST_CAPABILITY {
        Some(format!("compute capability {}.{} is below 7.0", capability / 10, capability % 10))
    } else if let Some(missing) = missing {
        Some(missing.to_owned())
    } else {
        free.err().map(|error| format!("the driver refuses to open it ({:?})", error.0))
    };
    Ok(DeviceReport {
        index,
        name,
        compute_capability: (capability.unsigned_abs() / 10, capability.unsigned_abs() % 10),
        memory_bytes: memory as u64,
        free_bytes: free.ok().map(|(free, _)| free as u64),
        driver_version: driver_version()?,
        reason,
    })
}

/// A failure of the driver as a reason.
fn refused(what: &'static str) -> impl Fn(result::DriverError) -> Unavailable {
    move |error| Unavailable(format!("the CUDA driver does not tell {what} ({:?})", error.0))
}

/// cudarc panics where a library lacks a function: an older driver is a reason, not a crash.
fn guarded<T>(work: impl FnOnce() -> Result<T, Unavailable>) -> Result<T, Unavailable> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&text| text.into()));
        Err(Unavailable(format!("a CUDA library cannot be used: {}", text.unwrap_or_default())))
    })
}

/// Initialises the driver and counts its devices.
fn device_count() -> Result<usize, Unavailable> {
    // A driver is not installed while a process runs; searching for it takes some thirty attempts.
    static DRIVER: OnceLock<bool> = OnceLock::new();
    // SAFETY: opens and closes libraries; their initialisers are those of the CUDA driver.
    if !DRIVER.get_or_init(|| unsafe { sys::is_culib_present() }) {
        return Err(Unavailable("no CUDA driver found".into()));
    }
    let count = CudaContext::device_count().map_err(|error| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Unavailable("the CUDA driver sees no device".into()),
        code => Unavailable(format!("the CUDA driver cannot be started ({code:?})")),
    })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn device(index: usize) -> Result<sys::CUdevice, Unavailable> {
    let ordinal = c_int::try_from(index).map_err(|_| Unavailable(format!("no device {index}")))?;
    result::device::get(ordinal).map_err(refused("about a device"))
}

/// Compute capability, 90 for 9.0.
fn capability(device: sys::CUdevice) -> Result<c_int, Unavailable> {
    let attribute = |which| {
        // SAFETY: `device` comes from the driver.
        unsafe { result::device::get_attribute(device, which) }.map_err(refused("the compute capability of a device"))
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    Ok(10 * major + attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?)
}

fn driver_version() -> Result<(u32, u32), Unavailable> {
    let mut version: c_int = 0;
    // SAFETY: `version` outlives the call.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(refused("its version"))?;
    let version = version.unsigned_abs();
    Ok((version / 1000, version % 1000 / 10))
}

/// Which of the libraries beside the driver is missing.
fn missing_library() -> Option<String> {
    // SAFETY: opens and closes libraries; their initialisers are those of the CUDA toolkit.
    let (blas, compiler) = unsafe { (cudarc::cublas::sys::is_culib_present(), cudarc::nvrtc::sys::is_culib_present()) };
    let clause = |name: &str| format!("{name} was not found (lib{}.so.13 or .12)", name.to_lowercase());
    match (blas, compiler) {
        (true, true) => None,
        (false, _) => Some(clause("cuBLAS")),
        (true, false) => Some(clause("NVRTC")),
    }
}

/// Page-locked bytes through which results come back, piece by piece.
pub(super) const DOWNLOAD_BYTES: usize = 16 << 20;

/// A stream with its cuBLAS handle and page-locked memory for results: all of it takes long to make, and is kept for the next query.
pub(super) struct Channel {
    pub(super) blas: Blas,
    /// One number of 64 bits.
    pub(super) count: PinnedBuffer,
    /// [`DOWNLOAD_BYTES`] bytes.
    pub(super) results: PinnedBuffer,
}

/// A device, opened: its context, its kernels and its streams. Lives as long as the process; shared by all queries.
pub struct Gpu {
    context: Arc<CudaContext>,
    kernels: Kernels,
    index: usize,
    name: String,
    multiprocessors: u32,
    /// Those that no work uses now.
    idle: Mutex<Vec<Channel>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("index", &self.index).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Name of device `index`, if [`Gpu::open`] can be expected to open it. Asks the driver alone, which takes milliseconds once it is started.
///
/// # Errors
/// [`Unavailable`] says why it cannot be used.
pub fn probe(index: usize) -> Result<String, Unavailable> {
    guarded(|| {
        check(index)?;
        result::device::get_name(device(index)?).map_err(refused("the name of a device"))
    })
}

/// The compute capability of a device that can be used, as far as can be told without opening it.
fn check(index: usize) -> Result<c_int, Unavailable> {
    let count = device_count()?;
    if index >= count {
        let are = if count == 1 { "is" } else { "are" };
        return Err(Unavailable(format!("no device {index}: there {are} {count}")));
    }
    let capability = capability(device(index)?)?;
    if capability < OLDEST_CAPABILITY {
        return Err(Unavailable(format!("compute capability {}.{} is below 7.0", capability / 10, capability % 10)));
    }
    missing_library().map_or(Ok(capability), |missing| Err(Unavailable(missing)))
}

impl Gpu {
    /// Opens device `index`, or returns it if this process has opened it already.
    ///
    /// Costs a second or two the first time: the driver's context, cuBLAS, and the kernels, which are compiled for the device.
    ///
    /// # Errors
    /// [`Unavailable`] says why it cannot be used: no driver, no such device, too old, a library missing, no memory left.
    pub fn open(index: usize) -> Result<Arc<Self>, Unavailable> {
        static OPENED: Mutex<BTreeMap<usize, Arc<Gpu>>> = Mutex::new(BTreeMap::new());
        // Held while a device is opened, so that two queries do not open it twice.
        let mut opened = OPENED.lock();
        if let Some(gpu) = opened.get(&index) {
            return Ok(Arc::clone(gpu));
        }
        let gpu = Arc::new(guarded(|| Self::open_anew(index))?);
        opened.insert(index, Arc::clone(&gpu));
        Ok(gpu)
    }

    fn open_anew(index: usize) -> Result<Self, Unavailable> {
        let capability = check(index)?;
        let context =
            CudaContext::new(index).map_err(|error| Unavailable(format!("the driver refuses to open device {index} ({:?})", error.0)))?;
        let name = context.name().map_err(refused("the name of a device"))?;
        let multiprocessors = context
            .attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(refused("the multiprocessors of a device"))?;
        let unusable = |error: GpuError| Unavailable(error.to_string());
        let kernels = Kernels::load(&context, capability).map_err(unusable)?;
        let multiprocessors = multiprocessors.unsigned_abs().max(1);
        let gpu = Self { context, kernels, index, name, multiprocessors, idle: Mutex::new(vec![]) };
        // cuBLAS may be too new for the driver: that shows when a handle is made.
        let channel = gpu.take_channel().map_err(unusable)?;
        gpu.give_back(channel);
        Ok(gpu)
    }

    /// Number of the device.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory in bytes that no process has taken.
    ///
    /// # Errors
    /// [`GpuError::Driver`] where the device does not answer.
    pub fn free_bytes(&self) -> Result<u64, GpuError> {
        let (free, _) = self.context.mem_get_info().map_err(GpuError::driver("asking for free memory"))?;
        Ok(free as u64)
    }

    pub(super) fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Blocks of a grid over `elements`, each thread taking its share: enough to fill the device.
    pub(super) fn grid(&self, elements: usize, block_threads: u32) -> u32 {
        let needed = u32::try_from(elements.div_ceil(block_threads as usize)).unwrap_or(u32::MAX);
        needed.clamp(1, self.multiprocessors * 16)
    }

    pub(super) fn new_stream(&self) -> Result<Arc<CudaStream>, GpuError> {
        self.context.new_stream().map_err(GpuError::driver("making a stream"))
    }

    /// A stream with what belongs to it, for one user at a time.
    pub(super) fn take_channel(&self) -> Result<Channel, GpuError> {
        if let Some(idle) = self.idle.lock().pop() {
            return Ok(idle);
        }
        let count = PinnedBuffer::zeroed(&self.context, "a counter", size_of::<u64>())?;
        let results = PinnedBuffer::zeroed(&self.context, "results", DOWNLOAD_BYTES)?;
        Ok(Channel { blas: Blas::new(self.new_stream()?)?, count, results })
    }

    /// Takes a channel back on which no work is left.
    pub(super) fn give_back(&self, channel: Channel) {
        self.idle.lock().push(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_library_becomes_a_reason() {
        let reason = guarded::<()>(|| std::panic::panic_any("Missing symbol cuNew".to_owned()));
        assert_eq!(reason, Err(Unavailable("a CUDA library cannot be used: Missing symbol cuNew".into())));
    }

    #[test]
    fn a_device_that_is_not_there_is_refused_with_a_reason() {
        let refused = Gpu::open(4_000_000_000).unwrap_err().to_string();
        let expected = ["no CUDA driver found", "no device 4000000000: there ", "the CUDA driver "];
        assert!(expected.iter().any(|start| refused.starts_with(start)), "{refused}");
    }
}
