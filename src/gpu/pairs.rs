//! Pairs of rows whose product is wanted: the way from panels to the sink.
//!
//! ```text
//! Rectangle → windows of streamed panels → tiles → lanes A and B → Selection → sink
//! ```

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::device::Gpu;
use super::device_lane::{DeviceLane, LaneOver, Side};
use super::error::GpuError;
use super::lane::{Selection, Sink};
use super::panel::DevicePanel;
use super::tiles::{Demand, Keep, LARGEST_TILE, Plan, Precision, Rectangle, SMALLEST_TILE, pieces};
use super::upload::{HostPanel, RowLayout, Uploader, Window};

/// Share of the free memory of the device that one call takes at most, in percent: the rest is for other processes and the driver.
const FREE_SHARE_PERCENT: u64 = 80;

/// Where the rows of one side come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// A panel on the device.
    Resident(&'a DevicePanel),
    /// A panel on the host, larger than the device: its rows are uploaded in windows, some of them more than once.
    Streamed(&'a dyn HostPanel),
}

impl Source<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::Resident(panel) => panel.rows(),
            Self::Streamed(panel) => panel.rows(),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Resident(panel) => panel.columns(),
            Self::Streamed(panel) => panel.columns(),
        }
    }

    /// Rows that must be streamed of a range.
    fn streamed(&self, range: &Range<usize>) -> usize {
        match self {
            Self::Resident(_) => 0,
            Self::Streamed(_) => range.len(),
        }
    }

    fn block_rows(&self) -> usize {
        match self {
            Self::Resident(panel) => panel.block_rows(),
            Self::Streamed(_) => LARGEST_TILE,
        }
    }

    fn check(&self, gpu: &Arc<Gpu>, precision: Precision, range: &Range<usize>) -> Result<(), GpuError> {
        if range.start > range.end || range.end > self.rows() || u32::try_from(range.end).is_err() {
            return Err(GpuError::Shape(format!("there are no rows {range:?} in a panel of {}", self.rows())));
        }
        match self {
            Self::Resident(panel) if !Arc::ptr_eq(panel.gpu(), gpu) => {
                Err(GpuError::Shape(format!("the panel lies on device {}, not {}", panel.gpu().index(), gpu.index())))
            }
            Self::Resident(panel) if panel.precision().element_bytes() != precision.element_bytes() => {
                Err(GpuError::Shape(format!("the panel is stored for {:?}, not {precision:?}", panel.precision())))
            }
            _ => Ok(()),
        }
    }
}

/// What [`pairs`] is asked for.
pub struct PairsRequest<'a> {
    /// The rows.
    pub left: Source<'a>,
    /// The columns, which are rows of this panel; may be the same as `left`.
    pub right: Source<'a>,
    /// Which products.
    pub rectangle: Rectangle,
    /// Which of them come back.
    pub keep: Keep,
    /// In what arithmetic; panels must be stored for it.
    pub precision: Precision,
    /// Memory of the device in bytes to take at most, beside resident panels; `None` takes up to 80 % of what is free.
    pub limit_bytes: Option<u64>,
}

impl PairsRequest<'_> {
    fn check(&self, gpu: &Arc<Gpu>) -> Result<RowLayout, GpuError> {
        self.left.check(gpu, self.precision, &self.rectangle.rows)?;
        self.right.check(gpu, self.precision, &self.rectangle.columns)?;
        let (left, right) = (self.left.columns(), self.right.columns());
        if left != right || left == 0 || u32::try_from(left).is_err() {
            return Err(GpuError::Shape(format!("rows of {left} values cannot be multiplied with rows of {right}")));
        }
        Ok(RowLayout::new(left, self.precision))
    }

    fn demand(&self, layout: &RowLayout) -> Demand {
        Demand {
            precision: self.precision,
            row_bytes: layout.row_bytes(),
            left_streamed: self.left.streamed(&self.rectangle.rows),
            right_streamed: self.right.streamed(&self.rectangle.columns),
        }
    }
}

/// Computes the products of rows and columns and hands over those that are wanted, one tile after another.
///
/// Rows are unit vectors, so that a product is a correlation. In [`Precision::F64`] products agree with the CPU within
/// 1e-12, and identical rows give exactly 1; products that are no numbers are left out. The order of the tiles and of
/// the pairs in each is the same in every run with the same memory; [`Keep::Strongest`] gives the same pairs in any.
///
/// `sink` is called on this thread after every tile, with nothing where nothing survives; when it breaks, the work
/// stops within two tiles and `Ok` is returned. Takes smaller tiles when memory is short.
///
/// # Errors
/// [`GpuError::OutOfMemory`] where not even tiles of 256 rows fit: nothing has been handed over then.
/// [`GpuError::Shape`] for arguments that do not fit together, [`GpuError::Host`] where a streamed panel cannot be
/// read, others where the device fails.
pub fn pairs(gpu: &Arc<Gpu>, request: &PairsRequest<'_>, sink: &mut Sink<'_>) -> Result<(), GpuError> {
    let layout = request.check(gpu)?;
    let mut selection = Selection::new(&request.keep, sink)?;
    let mut buffers = Buffers::fitting(gpu, request, layout)?;
    if buffers.run(request, &mut selection)?.is_continue() {
        drop(buffers);
        selection.finish();
    }
    Ok(())
}

/// Everything that a call takes on the device, allocated before the first tile, so that memory cannot run out later.
struct Buffers<'g> {
    plan: Plan,
    layout: RowLayout,
    lanes: [DeviceLane<'g>; 2],
    streaming: Option<Streaming>,
}

/// What streamed panels need.
struct Streaming {
    uploader: Uploader,
    left: Option<Window>,
    right: Option<Window>,
    /// Loaded while `right` is worked on.
    next: Option<Window>,
}

impl<'g> Buffers<'g> {
    /// The largest tiles that there is room for.
    fn fitting(gpu: &'g Gpu, request: &PairsRequest<'_>, layout: RowLayout) -> Result<Self, GpuError> {
        let block_rows = request.left.block_rows().min(request.right.block_rows());
        let mut tile = Plan::first_tile(&request.rectangle, block_rows);
        loop {
            let free = gpu.free_bytes()? / 100 * FREE_SHARE_PERCENT;
            let budget = request.limit_bytes.map_or(free, |limit| limit.min(free));
            let made = match Plan::new(tile, &request.demand(&layout), budget) {
                Some(plan) => Self::new(gpu, plan, layout),
                None => Err(GpuError::OutOfMemory { what: format!("tiles of {tile} rows in {budget} bytes") }),
            };
            match made {
                Err(error) if error.is_out_of_memory() && tile > SMALLEST_TILE => {
                    tile /= 2;
                    tracing::warn!(device = gpu.name(), tile, "{error}: smaller tiles are taken");
                }
                made => return made,
            }
        }
    }

    fn new(gpu: &'g Gpu, plan: Plan, layout: RowLayout) -> Result<Self, GpuError> {
        let lane = || DeviceLane::new(gpu, plan.tile, layout.precision);
        let lanes = [lane()?, lane()?];
        let window = |rows: usize| (rows > 0).then(|| Window::new(gpu, layout, rows)).transpose();
        let streaming = if plan.left_rows == 0 && plan.right_rows == 0 {
            None
        } else {
            Some(Streaming {
                uploader: Uploader::new(gpu, layout)?,
                left: window(plan.left_rows)?,
                right: window(plan.right_rows)?,
                next: if plan.right_windows > 1 { window(plan.right_rows)? } else { None },
            })
        };
        Ok(Self { plan, layout, lanes, streaming })
    }

    fn run(&mut self, request: &PairsRequest<'_>, selection: &mut Selection<'_, '_>) -> Result<ControlFlow<()>, GpuError> {
        let rectangle = &request.rectangle;
        let (left_rows, right_rows) = (window_rows(self.plan.left_rows), window_rows(self.plan.right_rows));
        let Self { plan, layout, lanes, streaming } = self;
        for rows in pieces(&rectangle.rows, left_rows) {
            // Columns of the triangle begin behind the first of these rows.
            let columns = if rectangle.triangle { rectangle.columns.start.max(rows.start) } else { rectangle.columns.start };
            let rights: Vec<Range<usize>> = pieces(&(columns..rectangle.columns.end), right_rows).collect();
            if rights.is_empty() {
                continue;
            }
            let strip = Strip { request, layout: *layout, tile: plan.tile, rows, rights };
            let flow = match streaming {
                None => strip.resident(lanes, selection)?,
                Some(streaming) => strip.streamed(streaming, lanes, selection)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Rows of a window, or all where nothing is streamed.
fn window_rows(streamed: usize) -> usize {
    if streamed == 0 { usize::MAX } else { streamed }
}

/// The products of one window of the left panel with all of the right.
struct Strip<'r, 'a> {
    request: &'r PairsRequest<'a>,
    layout: RowLayout,
    tile: usize,
    rows: Range<usize>,
    /// The windows of the right panel.
    rights: Vec<Range<usize>>,
}

impl Strip<'_, '_> {
    fn resident(&self, lanes: &mut [DeviceLane<'_>; 2], selection: &mut Selection<'_, '_>) -> Result<ControlFlow<()>, GpuError> {
        let (Source::Resident(left), Source::Resident(right)) = (self.request.left, self.request.right) else {
            return Err(GpuError::Shape("a streamed panel without a window".into()));
        };
        for columns in &self.rights {
            let flow = self.tiles(Side::Resident(left), Side::Resident(right), columns, lanes, selection)?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Loads the left window, then works on the right windows in turn while the next one is loaded by another thread.
    fn streamed(
        &self,
        streaming: &mut Streaming,
        lanes: &mut [DeviceLane<'_>; 2],
        selection: &mut Selection<'_, '_>,
    ) -> Result<ControlFlow<()>, GpuError> {
        let Streaming { uploader, left, right, next } = streaming;
        if let (Source::Streamed(panel), Some(window)) = (self.request.left, left.as_mut()) {
            window.load(panel, self.rows.clone(), uploader)?;
        }
        let left = side(self.request.left, left.as_ref())?;
        if let (Source::Streamed(panel), Some(window), Some(first)) = (self.request.right, right.as_mut(), self.rights.first()) {
            window.load(panel, first.clone(), uploader)?;
        }
        for (turn, columns) in self.rights.iter().enumerate() {
            let following = self.rights.get(turn + 1).cloned();
            let current = side(self.request.right, right.as_ref())?;
            let (ran, loaded) = std::thread::scope(|scope| {
                let loading = match (self.request.right, next.as_mut(), following.clone()) {
                    (Source::Streamed(panel), Some(window), Some(rows)) => {
                        let uploader = &mut *uploader;
                        Some(scope.spawn(move || window.load(panel, rows, uploader)))
                    }
                    _ => None,
                };
                let ran = self.tiles(left, current, columns, lanes, selection);
                (ran, loading.map(|thread| thread.join()))
            });
            match ran {
                Ok(ControlFlow::Continue(())) => {}
                stopped => return stopped,
            }
            match (loaded, self.request.right, following) {
                (Some(loaded), ..) => {
                    loaded.map_err(|_| GpuError::Shape("reading a streamed panel has panicked".into()))??;
                    std::mem::swap(right, next);
                }
                // One window only: it is filled again between two turns.
                (None, Source::Streamed(panel), Some(rows)) => {
                    if let Some(window) = right.as_mut() {
                        window.load(panel, rows, uploader)?;
                    }
                }
                _ => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The tiles of the left window and one right window; nothing is in flight when it returns.
    fn tiles(
        &self,
        left: Side<'_>,
        right: Side<'_>,
        columns: &Range<usize>,
        lanes: &mut [DeviceLane<'_>; 2],
        selection: &mut Selection<'_, '_>,
    ) -> Result<ControlFlow<()>, GpuError> {
        let triangle = self.request.rectangle.triangle;
        let part = Rectangle { rows: self.rows.clone(), columns: columns.clone(), triangle };
        let mut lanes = lanes.each_mut().map(|lane| LaneOver { lane, left, right, layout: self.layout });
        selection.run(&mut lanes, part.tiles(self.tile))
    }
}

fn side<'w>(source: Source<'w>, window: Option<&'w Window>) -> Result<Side<'w>, GpuError> {
    match (source, window) {
        (Source::Resident(panel), _) => Ok(Side::Resident(panel)),
        (Source::Streamed(_), Some(window)) => Ok(Side::Streamed(window)),
        (Source::Streamed(_), None) => Err(GpuError::Shape("a streamed panel without a window".into())),
    }
}
