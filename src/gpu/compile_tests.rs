//! Every kernel through NVRTC, which needs no card.

use std::ffi::c_void;

use super::super::kernels::{BINS, KERNELS, NEAR_ONE};
use super::*;

/// Architectures that every kernel must compile for: A100, H100 and H200, B200.
const ARCHITECTURES: &[c_int] = &[80, 90, 100];

unsafe extern "C" {
    /// Of the C library, which std links.
    fn dlopen(path: *const std::ffi::c_char, flags: c_int) -> *mut c_void;
}

/// Whether NVRTC is there, by the path in `TRANCHEDB_NVRTC` or on the system's search path. A skip must be seen, and is a
/// failure with `TRANCHEDB_REQUIRE_NVRTC=1`.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn nvrtc() -> bool {
    const NOW_AND_FOR_ALL: c_int = 0x2 | 0x100;
    if let Some(path) = std::env::var_os("TRANCHEDB_NVRTC") {
        let name = CString::new(path.as_encoded_bytes()).unwrap();
        // Loaded by its path, the library is found again by its name alone, which is how cudarc asks for it.
        // SAFETY: a string that outlives the call; the library's initialisers are those of NVRTC.
        let loaded = unsafe { dlopen(name.as_ptr(), NOW_AND_FOR_ALL) };
        assert!(!loaded.is_null(), "TRANCHEDB_NVRTC={} cannot be loaded", path.display());
    }
    // SAFETY: opens and closes a library.
    if unsafe { sys::is_culib_present() } {
        return true;
    }
    assert!(std::env::var_os("TRANCHEDB_REQUIRE_NVRTC").is_none_or(|required| required != "1"), "NVRTC is required and was not found");
    eprintln!("SKIPPED: NVRTC is not there; set TRANCHEDB_NVRTC to the path of libnvrtc.so.13 or .12");
    false
}

#[test]
fn every_kernel_compiles_to_machine_code() {
    if !nvrtc() {
        return;
    }
    for source in KERNELS {
        for &capability in ARCHITECTURES {
            let image = compile(source, Target::Machine(capability)).unwrap_or_else(|error| panic!("{error}"));
            let Image::Machine(code) = image else { panic!("{} for sm_{capability} is no machine code", source.file) };
            assert!(code.starts_with(b"\x7fELF"), "{} for sm_{capability} is no machine code", source.file);
        }
    }
}

#[test]
fn every_kernel_of_the_list_is_an_entry_of_its_module() {
    if !nvrtc() {
        return;
    }
    for source in KERNELS {
        let image = compile(source, Target::Intermediate(80)).unwrap_or_else(|error| panic!("{error}"));
        let Image::Intermediate(code) = image else { panic!("{} is no intermediate code", source.file) };
        for kernel in source.kernels {
            assert!(code.contains(&format!(".visible .entry {kernel}(")), "{kernel} is not in {}", source.file);
        }
        assert_eq!(code.matches(".visible .entry").count(), source.kernels.len(), "{} has kernels that no list names", source.file);
        assert!(!code.contains("fma.rn"), "{} multiplies and adds at once: other bits than its twin", source.file);
    }
}

#[test]
fn a_broken_kernel_gives_the_log_of_the_compiler() {
    if !nvrtc() {
        return;
    }
    let broken = Source { file: "broken.cu", text: "extern \"C\" __global__ void k(double* p) { p[0] = missing; }", kernels: &["k"] };
    let refused = |source: &Source, target: Target| compile(source, target).err().map(|error| error.to_string()).unwrap_or_default();
    let text = refused(&broken, Target::Machine(90));
    assert!(text.starts_with("the kernels in broken.cu do not compile for sm_90"), "{text}");
    assert!(text.contains("identifier \"missing\" is undefined") && text.contains("broken.cu(1)"), "{text}");
    let unknown = refused(&KERNELS[0], Target::Machine(1));
    assert!(unknown.contains("sm_1"), "{unknown}");
}

#[test]
fn the_best_target_of_a_device_is_found() {
    if !nvrtc() {
        return;
    }
    assert_eq!(Target::of(90).unwrap(), Some(Target::Machine(90)));
    assert!(matches!(Target::of(9_999).unwrap(), Some(Target::Intermediate(newest)) if newest >= 90));
    assert_eq!(Target::of(10).unwrap(), None);
}

#[test]
fn a_device_newer_than_the_compiler_gets_intermediate_code() {
    assert_eq!(Target::among(&[75, 80, 90], 80), Some(Target::Machine(80)));
    assert_eq!(Target::among(&[75, 80, 90], 89), Some(Target::Intermediate(80)));
    assert_eq!(Target::among(&[75, 80, 90], 70), None);
}

#[test]
fn constants_of_the_kernels_are_those_of_the_host() {
    let text = KERNELS[0].text;
    assert!(text.contains(&format!("#define BINS {BINS}u")) && text.contains(&format!("#define NEAR_ONE {NEAR_ONE}")));
}
