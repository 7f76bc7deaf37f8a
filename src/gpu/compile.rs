//! The run-time compiler of CUDA C (NVRTC).
//!
//! Code is compiled to machine code of the device where NVRTC knows it, which also runs under a driver older than the
//! compiler; for a device newer than NVRTC to PTX, which the driver then translates.

use std::ffi::{CStr, CString, c_int};

use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::{Ptx, sys};

use super::error::GpuError;
use super::kernels::Source;

/// Options of every compilation. Without fused multiply-add the kernels give the same bits as their twins on the CPU.
const OPTIONS: &[&str] = &["--std=c++17", "--fmad=false"];

/// What a module is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Machine code of a compute capability, 90 for 9.0.
    Machine(c_int),
    /// Intermediate code of a compute capability, for any later one.
    Intermediate(c_int),
}

impl Target {
    /// The best that NVRTC can do for a device of compute capability `capability` (90 for 9.0), where it can do anything.
    pub(super) fn of(capability: c_int) -> Result<Option<Self>, GpuError> {
        let known = known_architectures().map_err(|error| failure("kernels", String::new(), format!("{error:?}")))?;
        Ok(Self::among(&known, capability))
    }

    fn among(known: &[c_int], capability: c_int) -> Option<Self> {
        if known.contains(&capability) {
            return Some(Self::Machine(capability));
        }
        known.iter().copied().filter(|&older| older < capability).max().map(Self::Intermediate)
    }

    fn architecture(self) -> String {
        match self {
            Self::Machine(capability) => format!("sm_{capability}"),
            Self::Intermediate(capability) => format!("compute_{capability}"),
        }
    }
}

fn known_architectures() -> Result<Vec<c_int>, NvrtcError> {
    let mut count: c_int = 0;
    // SAFETY: `count` outlives the call.
    unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }.result()?;
    let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: room for `count` numbers, as the call above has said.
    unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }.result()?;
    Ok(known)
}

fn failure(file: &'static str, architecture: String, log: String) -> GpuError {
    GpuError::Compile { file, architecture, log }
}

/// A program of the compiler, destroyed when dropped.
struct Program(sys::nvrtcProgram);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created by `create_program`, destroyed once. There is nothing to do about a failure.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

impl Program {
    fn log(&self) -> String {
        // SAFETY: the program is alive.
        match unsafe { result::get_program_log(self.0) } {
            Ok(log) => text(&log),
            Err(error) => format!("no log: {error:?}"),
        }
    }

    fn machine_code(&self) -> Result<Vec<u8>, NvrtcError> {
        let mut size = 0;
        // SAFETY: the program is alive, `size` outlives the call.
        unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut size) }.result()?;
        let mut code = vec![0_u8; size];
        // SAFETY: room for `size` bytes, as the call above has said.
        unsafe { sys::nvrtcGetCUBIN(self.0, code.as_mut_ptr().cast()) }.result()?;
        Ok(code)
    }

    fn intermediate_code(&self) -> Result<String, NvrtcError> {
        // SAFETY: the program is alive.
        Ok(text(&unsafe { result::get_ptx(self.0) }?))
    }
}

/// The text before the first NUL of what the library has written.
fn text(raw: &[std::ffi::c_char]) -> String {
    raw.iter().take_while(|&&c| c != 0).map(|&c| char::from(c.to_ne_bytes()[0])).collect()
}

/// A compiled module.
pub(super) enum Image {
    Machine(Vec<u8>),
    Intermediate(String),
}

impl From<Image> for Ptx {
    fn from(image: Image) -> Self {
        match image {
            Image::Machine(code) => Self::from_binary(code),
            Image::Intermediate(code) => Self::from_src(code),
        }
    }
}

/// Compiles a source file.
///
/// # Errors
/// [`GpuError::Compile`] with the compiler's log.
pub(super) fn compile(source: &Source, target: Target) -> Result<Image, GpuError> {
    let architecture = target.architecture();
    let refuse = |log: String| failure(source.file, architecture.clone(), log);
    let code = CString::new(source.text).map_err(|_| refuse("a NUL in the source".into()))?;
    let name = CString::new(source.file).map_err(|_| refuse("a NUL in the name".into()))?;
    let create = |code: &CStr| result::create_program(code, Some(&name)).map(Program);
    let program = create(&code).map_err(|error| refuse(format!("{error:?}")))?;
    let mut options: Vec<String> = OPTIONS.iter().map(|&option| option.to_owned()).collect();
    options.push(format!("--gpu-architecture={architecture}"));
    // SAFETY: the program is alive, and so are `code` and `name`, which it may refer to.
    unsafe { result::compile_program(program.0, &options) }.map_err(|error| refuse(format!("{error:?}: {}", program.log())))?;
    let image = match target {
        Target::Machine(_) => program.machine_code().map(Image::Machine),
        Target::Intermediate(_) => program.intermediate_code().map(Image::Intermediate),
    };
    image.map_err(|error| refuse(format!("{error:?}")))
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
