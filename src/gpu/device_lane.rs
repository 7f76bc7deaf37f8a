//! A lane on the device: a stream with its cuBLAS handle, and room for the products and survivors of one tile.

use std::ops::Range;
use std::sync::Arc;

use cudarc::driver::{CudaStream, LaunchConfig, PushKernelArg};

use super::device::{Channel, DOWNLOAD_BYTES, Gpu};
use super::error::GpuError;
use super::kernels::{BINS, BLOCK_THREADS, CriterionArgument, TileArgument};
use super::lane::Lane;
use super::memory::{DeviceBuffer, Plain};
use super::panel::DevicePanel;
use super::product::Operands;
use super::strongest::Bins;
use super::tiles::{Criterion, Pair, Precision, Tile, lane_bytes, refinement_slack, survivor_capacity};
use super::upload::{RowLayout, Window};

/// Threads that count a histogram share one in fast memory: few blocks, so that few are added up.
const HISTOGRAM_SHARE: usize = 16;

// SAFETY: two numbers of 4 bytes and one of 8, laid out as the struct of pairs.cu.
unsafe impl Plain for Pair {}

/// The buffers of a lane, for tiles up to a size.
pub(super) struct DeviceLane<'g> {
    gpu: &'g Gpu,
    /// Always there; given back when the lane is dropped.
    channel: Option<Channel>,
    stream: Arc<CudaStream>,
    precision: Precision,
    product: DeviceBuffer,
    kept: DeviceBuffer,
    capacity: usize,
    /// One number of 64 bits.
    count: DeviceBuffer,
    bins: DeviceBuffer,
    current: Option<Current>,
}

/// The tile that lies in a lane.
struct Current {
    tile: Tile,
    /// Survivors, where they are known without asking the device.
    known: Option<u64>,
}

impl<'g> DeviceLane<'g> {
    /// Room for tiles of `tile` rows and columns.
    pub(super) fn new(gpu: &'g Gpu, tile: usize, precision: Precision) -> Result<Self, GpuError> {
        let context = gpu.context();
        let capacity = survivor_capacity(tile);
        let kept_bytes = capacity * size_of::<Pair>();
        let product = DeviceBuffer::zeroed(context, "the products of a tile", lane_bytes(tile, precision) - kept_bytes)?;
        let kept = DeviceBuffer::zeroed(context, "the survivors of a tile", kept_bytes)?;
        let count = DeviceBuffer::zeroed(context, "a counter", size_of::<u64>())?;
        let bins = DeviceBuffer::zeroed(context, "a histogram", BINS * size_of::<u32>())?;
        let channel = gpu.take_channel()?;
        let stream = Arc::clone(channel.blas.stream());
        Ok(Self { gpu, channel: Some(channel), stream, precision, product, kept, capacity, count, bins, current: None })
    }

    fn tile(&self) -> Result<&Tile, GpuError> {
        self.current.as_ref().map(|current| &current.tile).ok_or_else(|| GpuError::Shape("no tile lies in the lane".into()))
    }

    fn wait(&self) -> Result<(), GpuError> {
        self.stream.synchronize().map_err(GpuError::driver("computing a tile"))
    }

    fn launch_over(&self, elements: usize, share: usize) -> LaunchConfig {
        let grid = self.gpu.grid(elements.div_ceil(share), BLOCK_THREADS);
        LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (BLOCK_THREADS, 1, 1), shared_mem_bytes: 0 }
    }

    /// Enqueues the products of `tile`.
    fn multiply(&mut self, tile: &Tile, operands: &Operands) -> Result<(), GpuError> {
        if tile.elements() * self.precision.element_bytes() > self.product.bytes() {
            return Err(GpuError::Shape(format!("a tile of {} products is larger than its lane", tile.elements())));
        }
        let (into, precision) = (self.product.address(0), self.precision);
        // SAFETY: the operands lie in panels that the caller borrows until the lane has been waited for; the product fits.
        unsafe { opened(&mut self.channel)?.blas.product(operands, into, precision) }
    }

    /// Enqueues the refinement of products near 1 that may be kept; in double precision only.
    fn refine(&self, tile: &Tile, criterion: &Criterion, operands: &Operands, columns: usize) -> Result<(), GpuError> {
        if self.precision != Precision::F64 {
            return Ok(());
        }
        let (product, shape, wanted) = (self.product.address(0), TileArgument::new(tile)?, CriterionArgument::from(criterion));
        let (slack, length, stride) = (refinement_slack(columns), columns as u32, operands.stride as u64);
        let mut call = self.stream.launch_builder(self.gpu.kernels().get("refine_f64")?);
        call.arg(&product).arg(&shape).arg(&wanted).arg(&slack).arg(&operands.left).arg(&operands.right).arg(&length).arg(&stride);
        // SAFETY: the arguments of refine_f64 in their order; it stays within the tile's products and the operands' rows.
        unsafe { call.launch(self.launch_over(tile.elements(), 1)) }.map_err(GpuError::driver("refining products"))?;
        Ok(())
    }

    /// Enqueues the selection and the way back of its count.
    fn select(&mut self, tile: &Tile, criterion: &Criterion) -> Result<(), GpuError> {
        let name = if self.precision == Precision::F64 { "select_f64" } else { "select_f32" };
        self.count.clear(&self.stream)?;
        let (product, shape, wanted) = (self.product.address(0), TileArgument::new(tile)?, CriterionArgument::from(criterion));
        let (kept, capacity, count) = (self.kept.address(0), self.capacity as u32, self.count.address(0));
        let mut call = self.stream.launch_builder(self.gpu.kernels().get(name)?);
        call.arg(&product).arg(&shape).arg(&wanted).arg(&kept).arg(&capacity).arg(&count);
        // SAFETY: the arguments of the kernel in their order; it writes at most `capacity` pairs and the count.
        unsafe { call.launch(self.launch_over(tile.elements(), 1)) }.map_err(GpuError::driver("selecting pairs"))?;
        // SAFETY: the buffer is read only after the stream has been waited for.
        unsafe { self.count.download(0, &mut opened(&mut self.channel)?.count.as_mut_slice::<u64>()[..1], &self.stream) }
    }

    /// The count that has come back; the stream has been waited for.
    fn counted(&mut self) -> Result<u64, GpuError> {
        Ok(opened(&mut self.channel)?.count.as_slice::<u64>()[0])
    }

    /// Downloads `len` values from `first` on, through the page-locked buffer, and gives each piece to `take`.
    fn pieces<T: Plain>(&mut self, kept: bool, first: usize, len: usize, mut take: impl FnMut(&[T])) -> Result<(), GpuError> {
        let piece = DOWNLOAD_BYTES / size_of::<T>();
        for start in (0..len).step_by(piece) {
            let part = piece.min(len - start);
            let from = if kept { &self.kept } else { &self.product };
            let into = &mut opened(&mut self.channel)?.results.as_mut_slice::<T>()[..part];
            // SAFETY: the buffer is read only after the wait below.
            unsafe { from.download((first + start) * size_of::<T>(), into, &self.stream) }?;
            self.wait()?;
            take(&opened(&mut self.channel)?.results.as_slice::<T>()[..part]);
        }
        Ok(())
    }
}

impl Drop for DeviceLane<'_> {
    fn drop(&mut self) {
        // Work in flight, after an error or a break, ends before its buffers are freed.
        let context = self.stream.context();
        context.record_err(self.stream.synchronize());
        if let Some(channel) = self.channel.take() {
            self.gpu.give_back(channel);
        }
    }
}

fn opened(channel: &mut Option<Channel>) -> Result<&mut Channel, GpuError> {
    channel.as_mut().ok_or_else(|| GpuError::Shape("the lane is closed".into()))
}

/// Where the rows of a side of the product lie.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    Resident(&'a DevicePanel),
    Streamed(&'a Window),
}

impl Side<'_> {
    fn address(self, rows: &Range<usize>, layout: &RowLayout) -> Result<u64, GpuError> {
        match self {
            Self::Resident(panel) => panel.address(rows),
            Self::Streamed(window) if window.rows.start <= rows.start && rows.end <= window.rows.end => {
                Ok(window.address(rows.start, layout))
            }
            Self::Streamed(window) => Err(GpuError::Shape(format!("rows {rows:?} are not among those loaded, {:?}", window.rows))),
        }
    }
}

/// A lane with the panels that its tiles are cut from.
pub(super) struct LaneOver<'l, 'g, 'p> {
    pub(super) lane: &'l mut DeviceLane<'g>,
    pub(super) left: Side<'p>,
    pub(super) right: Side<'p>,
    pub(super) layout: RowLayout,
}

impl Lane for LaneOver<'_, '_, '_> {
    fn start(&mut self, tile: &Tile, criterion: &Criterion) -> Result<(), GpuError> {
        let operands = Operands {
            left: self.left.address(&tile.rows, &self.layout)?,
            right: self.right.address(&tile.columns, &self.layout)?,
            rows: tile.rows.len(),
            columns: tile.columns.len(),
            stride: self.layout.stride,
        };
        self.lane.current = None;
        self.lane.multiply(tile, &operands)?;
        self.lane.refine(tile, criterion, &operands, self.layout.columns)?;
        let known = criterion.keeps_all().then_some(tile.elements() as u64);
        if known.is_none() {
            self.lane.select(tile, criterion)?;
        }
        self.lane.current = Some(Current { tile: tile.clone(), known });
        Ok(())
    }

    fn survivors(&mut self) -> Result<u64, GpuError> {
        self.lane.wait()?;
        let known = self.lane.current.as_ref().and_then(|current| current.known);
        known.map_or_else(|| self.lane.counted(), Ok)
    }

    fn capacity(&self) -> u64 {
        // What is known without a selection was not selected: its values are downloaded.
        let selected = self.lane.current.as_ref().is_none_or(|current| current.known.is_none());
        if selected { self.lane.capacity as u64 } else { 0 }
    }

    fn select_again(&mut self, criterion: &Criterion) -> Result<u64, GpuError> {
        let tile = self.lane.tile()?.clone();
        self.lane.select(&tile, criterion)?;
        self.lane.wait()?;
        self.lane.current = Some(Current { tile, known: None });
        self.lane.counted()
    }

    fn histogram(&mut self, criterion: &Criterion, bins: &Bins) -> Result<Vec<u32>, GpuError> {
        let lane = &mut *self.lane;
        let tile = lane.tile()?.clone();
        let name = if lane.precision == Precision::F64 { "histogram_f64" } else { "histogram_f32" };
        lane.bins.clear(&lane.stream)?;
        let (product, shape, wanted) = (lane.product.address(0), TileArgument::new(&tile)?, CriterionArgument::from(criterion));
        let (low, scale, into) = (bins.low, bins.scale, lane.bins.address(0));
        let mut call = lane.stream.launch_builder(lane.gpu.kernels().get(name)?);
        call.arg(&product).arg(&shape).arg(&wanted).arg(&low).arg(&scale).arg(&into);
        // SAFETY: the arguments of the kernel in their order; it adds to `BINS` counters.
        unsafe { call.launch(lane.launch_over(tile.elements(), HISTOGRAM_SHARE)) }.map_err(GpuError::driver("counting ranks"))?;
        let results = &mut opened(&mut lane.channel)?.results;
        // SAFETY: the buffer is read only after the wait below.
        unsafe { lane.bins.download(0, &mut results.as_mut_slice::<u32>()[..BINS], &lane.stream) }?;
        lane.wait()?;
        Ok(opened(&mut lane.channel)?.results.as_slice::<u32>()[..BINS].to_vec())
    }

    fn download(&mut self, count: usize) -> Result<Vec<Pair>, GpuError> {
        let mut pairs = Vec::with_capacity(count);
        self.lane.pieces::<Pair>(true, 0, count, |piece| pairs.extend_from_slice(piece))?;
        Ok(pairs)
    }

    fn rows_at_once(&self, tile: &Tile) -> usize {
        DOWNLOAD_BYTES / (tile.columns.len().max(1) * self.lane.precision.element_bytes())
    }

    fn values(&mut self, rows: Range<usize>) -> Result<Vec<f64>, GpuError> {
        let width = self.lane.tile()?.columns.len();
        let (first, len) = (rows.start * width, rows.len() * width);
        let mut values = Vec::with_capacity(len);
        match self.lane.precision {
            Precision::F64 => self.lane.pieces::<f64>(false, first, len, |piece| values.extend_from_slice(piece))?,
            Precision::F32 | Precision::Tf32 => {
                let widen = |&value: &f32| f64::from(value).clamp(-1.0, 1.0);
                self.lane.pieces::<f32>(false, first, len, |piece| values.extend(piece.iter().map(widen)))?;
            }
        }
        Ok(values)
    }
}
