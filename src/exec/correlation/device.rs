//! Products of complete series on a GPU.
//!
//! The device is a sieve: it multiplies, and gives back the pairs that its bounds keep. What is undefined, in which order names stand, and all other
//! conditions are decided here, as for pairs that the CPU has computed. Series that lack periods, covariances, and parts of a matrix that conditions on names leave
//! stay with the CPU.

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_err};

use super::frame::Frame;
use super::measure::Measure;
use super::query::{PairQuery, Shape};
use super::select::{Bounds, Pair, Rank, Top};
use super::tile::Wanted;
use crate::config::{GpuPrecision, GpuUse, SqlOptions};
use crate::gpu::{
    self, DevicePanel, Gpu, GpuError, HostPanel, Keep, PairsRequest, PanelCache, PanelCacheEntry, PanelShape, PanelUpload, Precision,
    Rectangle, Source, probe,
};

/// Products of two numbers that a thread of the CPU makes in a second, at least: above it the estimate favours the CPU.
const CPU_PRODUCTS_PER_SECOND: f64 = 25e9;

/// The same of a device, at least.
const GPU_PRODUCTS_PER_SECOND: f64 = 2e12;

/// Bytes that are uploaded in a second, at least.
const UPLOAD_BYTES_PER_SECOND: f64 = 4e9;

/// Seconds that the first use of a device takes.
const OPENING_SECONDS: f64 = 2.0;

/// Share of the free memory of a device that a panel may take to be resident, in percent.
const RESIDENT_PERCENT: u64 = 50;

/// Bytes of panels that a session keeps on its device.
const CACHE_BYTES: u64 = 16 << 30;

/// Where the products of a query are computed, as far as can be told before it runs.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    /// On the CPU, and why.
    Cpu(String),
    /// On the device of this name, if the work is large enough.
    Gpu(String),
}

impl Backend {
    /// The backend of a query in a session with these settings.
    pub(super) fn of(query: &PairQuery, options: &SqlOptions) -> Self {
        if options.gpu == GpuUse::Off {
            return Self::Cpu("tranchedb.gpu = off".into());
        }
        if query.measure == Measure::Covariance {
            return Self::Cpu("covariances".into());
        }
        if query.shape != Shape::Pairs {
            return Self::Cpu("summaries".into());
        }
        if query.rolling.is_some() {
            return Self::Cpu("rolling windows".into());
        }
        match probe(options.gpu_device) {
            Ok(name) => Self::Gpu(name),
            Err(reason) => Self::Cpu(reason.to_string()),
        }
    }

    /// As `EXPLAIN` shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Cpu(reason) => format!("backend=cpu ({reason})"),
            Self::Gpu(name) => format!("backend=gpu ({name}; small work on the cpu)"),
        }
    }
}

/// Panels that a session keeps on its device.
#[derive(Debug)]
pub struct DevicePanels(PanelCache<ResidentPanel>);

impl Default for DevicePanels {
    fn default() -> Self {
        Self(PanelCache::new(CACHE_BYTES))
    }
}

impl DevicePanels {
    /// The panels, for a system table.
    pub fn entries(&self) -> Vec<PanelCacheEntry> {
        self.0.entries()
    }

    pub(super) fn get(&self, key: &str) -> Option<Arc<ResidentPanel>> {
        self.0.get(key)
    }
}

/// The complete series of a relation on a device.
#[derive(Debug)]
pub(super) struct ResidentPanel {
    panel: DevicePanel,
    /// Names of all series of the relation.
    pub(super) names: ArrayRef,
    rows: Rows,
}

/// What the rows of a panel are.
#[derive(Debug)]
struct Rows {
    /// Number of the series of each row.
    series: Vec<u32>,
    /// Whether its values differ.
    varies: Vec<bool>,
    periods: usize,
}

impl Rows {
    fn of(frame: &Frame) -> Self {
        let varies = frame.complete.iter().map(|&series| frame.facts(series).varies).collect();
        Self { series: frame.complete.clone(), varies, periods: frame.periods() }
    }
}

/// The rows of a frame as a device reads them.
struct HostRows<'a>(&'a Frame);

impl HostPanel for HostRows<'_> {
    fn rows(&self) -> usize {
        self.0.complete.len()
    }

    fn columns(&self) -> usize {
        self.0.periods()
    }

    fn copy_rows(&self, rows: Range<usize>, into: &mut [f64]) -> io::Result<()> {
        let periods = self.0.periods();
        let of_block = self.0.block_rows();
        let mut filled = 0;
        for block in rows.start / of_block..rows.end.div_ceil(of_block) {
            let first = block * of_block;
            let wanted = rows.start.max(first) - first..rows.end.min(first + of_block) - first;
            let ready = self.0.block(block).map_err(io::Error::other)?;
            let values = &ready.values[wanted.start * periods..wanted.end * periods];
            into[filled..filled + values.len()].copy_from_slice(values);
            filled += values.len();
        }
        Ok(())
    }
}

/// A device for one query.
#[derive(Debug)]
pub(super) struct Device {
    gpu: Arc<Gpu>,
    precision: Precision,
}

/// What a device is asked for.
pub(super) struct Task<'a> {
    pub(super) wanted: Wanted,
    pub(super) bounds: Bounds,
    pub(super) top: Option<Top>,
    /// Takes the pairs of a tile; breaks when nobody waits for them any more.
    pub(super) sink: &'a mut dyn FnMut(Vec<Pair>) -> ControlFlow<()>,
}

/// How much work a matrix is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// Products of two numbers.
    products: f64,
    /// Bytes of the series.
    bytes: f64,
    threads: usize,
}

impl Work {
    /// That of all pairs of complete series of two frames.
    pub(super) fn of(left: &Frame, right: &Frame, wanted: Wanted, threads: usize) -> Self {
        let (rows, columns, periods) = (left.complete.len() as f64, right.complete.len() as f64, left.periods() as f64);
        let share = if matches!(wanted, Wanted::Less | Wanted::LessOrEqual) { 0.5 } else { 1.0 };
        Self { products: rows * columns * periods * share, bytes: (rows + columns) * periods * 8.0, threads }
    }

    /// Whether a device that must be opened first does it in half the time.
    fn pays(&self) -> bool {
        let cpu = self.products / (CPU_PRODUCTS_PER_SECOND * self.threads as f64);
        let gpu = OPENING_SECONDS + self.bytes / UPLOAD_BYTES_PER_SECOND + self.products / GPU_PRODUCTS_PER_SECOND;
        cpu > 2.0 * gpu
    }
}

impl Device {
    /// The device for some work; `None` where it stays on the CPU.
    ///
    /// # Errors
    /// A device is required and there is none: the reason.
    pub(super) fn for_work(query: &PairQuery, options: &SqlOptions, work: &Work) -> Result<Option<Self>> {
        if let (Backend::Cpu(_), Ok(_)) = (Backend::of(query, options), probe(options.gpu_device)) {
            // There is one, and this query has no use for it.
            return Ok(None);
        }
        match options.gpu {
            GpuUse::Off => Ok(None),
            GpuUse::Auto if !work.pays() => Ok(None),
            GpuUse::Auto | GpuUse::Required => Self::open(options),
        }
    }

    /// The device of a session.
    ///
    /// # Errors
    /// A device is required and there is none: the reason.
    pub(super) fn open(options: &SqlOptions) -> Result<Option<Self>> {
        match Gpu::open(options.gpu_device) {
            Ok(gpu) => Ok(Some(Self { gpu, precision: precision(options.gpu_precision) })),
            Err(reason) if options.gpu == GpuUse::Required => exec_err!(
                "tranchedb.gpu is required, and no GPU can be used: {reason}\nhint: SET tranchedb.gpu = auto computes on the CPU then"
            ),
            Err(reason) => {
                tracing::info!(%reason, "no GPU can be used: computing on the CPU");
                Ok(None)
            }
        }
    }

    /// Pairs of the complete series of two frames, which may be one; `None` where the device cannot do it, and nothing has been handed
    /// over. A panel that fits stays on the device, under `key` where it has one.
    ///
    /// # Errors
    /// The device fails after pairs were handed over.
    pub(super) fn in_frames(
        &self,
        [left, right]: [&Frame; 2],
        key: Option<(&DevicePanels, &str)>,
        task: Task<'_>,
    ) -> Result<Option<ControlFlow<()>>> {
        if std::ptr::eq(left, right) {
            let others = key.map(|(panels, _)| panels);
            let uploaded = self.upload(left, others).unwrap_or_else(|error| logged(&error));
            if let Some(panel) = uploaded {
                let resident = Arc::new(ResidentPanel { panel, names: Arc::clone(&left.panel().names), rows: Rows::of(left) });
                if let Some((panels, key)) = key.filter(|_| left.incomplete.is_empty()) {
                    panels.0.insert(key, Arc::clone(&resident), resident.panel.bytes() as u64);
                }
                return self.in_panel(&resident, task);
            }
        }
        let (of_left, of_right) = (HostRows(left), HostRows(right));
        let sources = [Source::Streamed(&of_left), Source::Streamed(&of_right)];
        self.pairs(sources, [&Rows::of(left), &Rows::of(right)], task)
    }

    /// Pairs of the series of a panel that is on the device.
    ///
    /// # Errors
    /// As [`Self::in_frames`].
    pub(super) fn in_panel(&self, resident: &ResidentPanel, task: Task<'_>) -> Result<Option<ControlFlow<()>>> {
        self.pairs([Source::Resident(&resident.panel); 2], [&resident.rows; 2], task)
    }

    /// The series of a frame on the device, where kept panels of `others` give way to them; `None` where they would take too much of it.
    fn upload(&self, frame: &Frame, others: Option<&DevicePanels>) -> Result<Option<DevicePanel>, GpuError> {
        let rows = frame.complete.len();
        let bytes = (rows * frame.periods()) as u64 * 8;
        let fits = || Ok::<_, GpuError>(bytes <= self.gpu.free_bytes()? / 100 * RESIDENT_PERCENT);
        if !fits()?
            && let Some(DevicePanels(panels)) = others
        {
            panels.shrink_to(0);
        }
        if frame.periods() == 0 || !fits()? {
            return Ok(None);
        }
        let shape = PanelShape { columns: frame.periods(), expected_rows: Some(rows), precision: self.precision };
        let mut upload = PanelUpload::new(&self.gpu, &shape)?;
        for block in 0..frame.block_count() {
            let first = block * frame.block_rows();
            let unreadable = |error| GpuError::Host { first, last: first + frame.block_rows(), source: io::Error::other(error) };
            upload.push(&frame.block(block).map_err(unreadable)?.values)?;
        }
        upload.finish().map(Some)
    }

    fn pairs(&self, [left, right]: [Source<'_>; 2], rows: [&Rows; 2], task: Task<'_>) -> Result<Option<ControlFlow<()>>> {
        let constant = rows.iter().any(|rows| rows.varies.contains(&false));
        let Some(keep) = keep(&task, constant) else { return Ok(None) };
        let [of_left, of_right] = rows;
        let rectangle =
            Rectangle { rows: 0..of_left.series.len(), columns: 0..of_right.series.len(), triangle: task.wanted == Wanted::Less };
        let request = PairsRequest { left, right, rectangle, keep, precision: self.precision, limit_bytes: None };
        let decide = |found: gpu::Pair| {
            let (row, column) = (found.row as usize, found.column as usize);
            let value = (of_left.varies[row] && of_right.varies[column]).then_some(found.value);
            Pair { a: of_left.series[row], b: of_right.series[column], n: of_left.periods as u32, value }
        };
        match task.top {
            Some(_) => self.strongest(&request, &decide, task),
            None => self.each(&request, &decide, task),
        }
    }

    /// Hands pairs over as tiles are done.
    fn each(&self, request: &PairsRequest<'_>, decide: &dyn Fn(gpu::Pair) -> Pair, task: Task<'_>) -> Result<Option<ControlFlow<()>>> {
        let (mut handed, mut flow) = (false, ControlFlow::Continue(()));
        let kept = |pair: &Pair| task.bounds.keep_measure(pair.value) && task.wanted.includes(pair.a, pair.b);
        let mut sink = |found: Vec<gpu::Pair>| {
            let some: Vec<Pair> = found.into_iter().map(decide).filter(kept).collect();
            handed |= !some.is_empty();
            flow = (task.sink)(some);
            flow
        };
        match gpu::pairs(&self.gpu, request, &mut sink) {
            Ok(()) => Ok(Some(flow)),
            Err(error) if handed => {
                exec_err!("the GPU failed while it computed correlations: {error}\nhint: SET tranchedb.gpu = off computes on the CPU")
            }
            Err(error) => Ok(logged(&error)),
        }
    }

    /// Hands the strongest pairs over when all tiles are done.
    fn strongest(&self, request: &PairsRequest<'_>, decide: &dyn Fn(gpu::Pair) -> Pair, task: Task<'_>) -> Result<Option<ControlFlow<()>>> {
        let (mut strongest, mut flow) = (vec![], ControlFlow::Continue(()));
        let mut sink = |found: Vec<gpu::Pair>| {
            strongest.extend(found.into_iter().map(decide));
            // Whether anybody still waits.
            flow = (task.sink)(vec![]);
            flow
        };
        if let Err(error) = gpu::pairs(&self.gpu, request, &mut sink) {
            return Ok(logged(&error));
        }
        // The device takes a constant series for one without correlation: one among the strongest has taken another's place.
        let displaced = strongest.iter().any(|pair| pair.value.is_none() || !task.wanted.includes(pair.a, pair.b));
        let too_few = task.bounds.undefined && task.top.is_some_and(|top| strongest.len() < top.count);
        if displaced || too_few {
            return Ok(None);
        }
        strongest.retain(|pair| task.bounds.keep_measure(pair.value));
        Ok(Some(if flow.is_break() { flow } else { (task.sink)(strongest) }))
    }
}

/// What comes back; `None` where the device cannot tell it.
fn keep(task: &Task<'_>, constant: bool) -> Option<Keep> {
    let Bounds { least, most, magnitude, undefined } = task.bounds;
    let outside = if magnitude > 0.0 {
        (least.max(magnitude), most.min(-magnitude))
    } else if least > -1.0 {
        (least, f64::NEG_INFINITY)
    } else if most < 1.0 {
        (f64::INFINITY, most)
    } else {
        (f64::NEG_INFINITY, f64::NEG_INFINITY)
    };
    // Other bounds, which only the host can tell, would leave fewer of the strongest than there are.
    let exact = if magnitude > 0.0 { least <= -1.0 && most >= 1.0 } else { least <= -1.0 || most >= 1.0 };
    // The device would count the diagonal, or the other half, among the strongest.
    let told_apart = matches!(task.wanted, Wanted::Less | Wanted::All);
    match task.top {
        Some(top) if top.ties || !exact || !told_apart || (top.undefined_first && undefined && constant) => None,
        Some(Top { count, rank, .. }) => Some(Keep::Strongest { count, by: by(rank), outside }),
        None if undefined || outside.0 == f64::NEG_INFINITY => Some(Keep::All),
        None => Some(Keep::Outside { above: outside.0, below: outside.1 }),
    }
}

fn by(rank: Rank) -> gpu::Rank {
    match rank {
        Rank::Magnitude => gpu::Rank::Magnitude,
        Rank::Highest => gpu::Rank::Highest,
        Rank::Lowest => gpu::Rank::Lowest,
    }
}

/// A failure that the CPU makes good.
fn logged<T>(error: &GpuError) -> Option<T> {
    tracing::warn!(%error, "the GPU cannot compute these correlations: computing on the CPU");
    None
}

fn precision(precision: GpuPrecision) -> Precision {
    match precision {
        GpuPrecision::F64 => Precision::F64,
        GpuPrecision::F32 => Precision::F32,
        GpuPrecision::Tf32 => Precision::Tf32,
    }
}
