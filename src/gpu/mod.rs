//! Correlations and metrics on a GPU: the only files that import cudarc.
//!
//! A panel of unit vectors is uploaded once ([`PanelUpload`]); [`pairs`] multiplies its rows tile by tile with cuBLAS,
//! and small kernels select on the device what a query wants, so that only surviving pairs come back. Everything of
//! CUDA is loaded at run time: nothing of it is needed to build, and without a card [`Gpu::open`] says why.
//!
//! | step | file |
//! |---|---|
//! | probe, open, streams | `device.rs` |
//! | kernels in CUDA C, compiled for the device | `kernels/`, `kernels.rs`, `compile.rs` |
//! | rows to the device | `upload.rs`, `panel.rs` |
//! | rectangle → tiles, sizes that fit the memory | `tiles.rs` |
//! | product, refinement, selection of a tile | `product.rs`, `device_lane.rs` |
//! | two lanes in turn, the strongest pairs | `lane.rs`, `strongest.rs`, `pairs.rs` |
//! | the same on the CPU, for comparison | `twin.rs` |
//!
//! Left out: several devices for one query, half precision, and products in which rows have missing values (the caller
//! computes those).
//!
//! Libraries are searched for as the system's loader does (`LD_LIBRARY_PATH`): the driver, cuBLAS and NVRTC of CUDA
//! 12 or 13. Only functions that CUDA 12.0 had are called.
#![expect(unsafe_code, reason = "calls of CUDA; each says why it is sound")]

mod cache;
mod compile;
mod device;
mod device_lane;
mod error;
mod kernels;
mod lane;
mod memory;
mod metrics;
mod pairs;
mod panel;
mod product;
mod rate;
mod strongest;
mod tiles;
pub mod twin;
mod upload;

pub use cache::{PanelCache, PanelCacheEntry};
pub use device::{DeviceReport, Gpu, devices, probe};
pub use error::{GpuError, Unavailable};
pub use lane::Sink;
pub use metrics::SeriesMetrics;
pub use pairs::{PairsRequest, Source, pairs};
pub use panel::{DevicePanel, PanelShape, PanelUpload};
pub use rate::{ProductRate, product_rate};
pub use tiles::{Keep, Pair, Precision, Rank, Rectangle};
pub use upload::HostPanel;
