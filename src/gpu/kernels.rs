//! The kernels: one list, from which loading and the compile test are derived.

use std::ffi::c_int;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, DeviceRepr};

use super::compile::{Target, compile};
use super::error::GpuError;
use super::tiles::{Criterion, Tile};

/// A file of CUDA C and the kernels in it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: &'static str,
    pub(super) text: &'static str,
    pub(super) kernels: &'static [&'static str],
}

/// Every kernel there is.
pub(super) const KERNELS: &[Source] = &[
    Source {
        file: "pairs.cu",
        text: include_str!("kernels/pairs.cu"),
        kernels: &["refine_f64", "select_f64", "select_f32", "histogram_f64", "histogram_f32"],
    },
    Source { file: "metrics.cu", text: include_str!("kernels/metrics.cu"), kernels: &["series_metrics"] },
];

/// Threads of a block, a multiple of the warp's 32.
pub(super) const BLOCK_THREADS: u32 = 256;

/// Bins of a histogram of ranks; the constant of the same name in `pairs.cu`.
pub(super) const BINS: usize = 4096;

/// Products above this magnitude are computed again; the constant of the same name in `pairs.cu`.
pub(super) const NEAR_ONE: f64 = 0.999;

/// The kernels of one device, loaded.
#[derive(Debug)]
pub(super) struct Kernels {
    loaded: Vec<(&'static str, CudaFunction)>,
}

impl Kernels {
    /// Compiles and loads every kernel for a device of compute capability `capability` (90 for 9.0).
    pub(super) fn load(context: &Arc<CudaContext>, capability: c_int) -> Result<Self, GpuError> {
        let target = Target::of(capability)?.ok_or_else(|| GpuError::Compile {
            file: "kernels",
            architecture: format!("sm_{capability}"),
            log: "this NVRTC does not know so old a device".into(),
        })?;
        let mut loaded = vec![];
        for source in KERNELS {
            let module = context.load_module(compile(source, target)?.into()).map_err(GpuError::driver("loading kernels"))?;
            for &kernel in source.kernels {
                loaded.push((kernel, module.load_function(kernel).map_err(GpuError::driver("finding a kernel"))?));
            }
        }
        Ok(Self { loaded })
    }

    /// The kernel of this name in [`KERNELS`].
    pub(super) fn get(&self, name: &'static str) -> Result<&CudaFunction, GpuError> {
        let found = self.loaded.iter().find(|(kernel, _)| *kernel == name);
        found.map(|(_, function)| function).ok_or_else(|| GpuError::Shape(format!("there is no kernel {name}")))
    }
}

/// [`Tile`] as the kernels take it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct TileArgument {
    rows: u32,
    columns: u32,
    first_row: u32,
    first_column: u32,
    triangle: u32,
}

// SAFETY: five numbers, laid out as the struct of pairs.cu.
unsafe impl DeviceRepr for TileArgument {}

impl TileArgument {
    pub(super) fn new(tile: &Tile) -> Result<Self, GpuError> {
        let number = |n: usize| u32::try_from(n).map_err(|_| GpuError::Shape(format!("row {n} is above the largest that can be paired")));
        Ok(Self {
            rows: number(tile.rows.len())?,
            columns: number(tile.columns.len())?,
            first_row: number(tile.rows.start)?,
            first_column: number(tile.columns.start)?,
            triangle: u32::from(tile.triangle),
        })
    }
}

/// [`Criterion`] as the kernels take it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct CriterionArgument {
    above: f64,
    below: f64,
    floor: f64,
    rank: u32,
}

// SAFETY: numbers, laid out as the struct of pairs.cu (both compilers pad it to 32 bytes).
unsafe impl DeviceRepr for CriterionArgument {}

impl From<&Criterion> for CriterionArgument {
    fn from(criterion: &Criterion) -> Self {
        Self { above: criterion.above, below: criterion.below, floor: criterion.floor, rank: criterion.by as u32 }
    }
}

// The sizes that the structs have in CUDA C.
const _: () = assert!(size_of::<TileArgument>() == 20);
const _: () = assert!(size_of::<CriterionArgument>() == 32);
const _: () = assert!(size_of::<super::tiles::Pair>() == 16);
const _: () = assert!(size_of::<super::metrics::SeriesMetrics>() == 56);
