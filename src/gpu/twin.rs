//! The arithmetic of the kernels on the CPU, step by step.
//!
//! What a kernel computes has a function here that gives the same bits, and [`pairs`] runs the whole pipeline (tiles,
//! lanes, selection, bounds of the strongest) on it. Tests of the pipeline and of devices compare with these; they are
//! written to be read, not to be fast. Only the order in which cuBLAS adds up a product is its own.

use std::ops::Range;

use super::error::GpuError;
use super::kernels::{BINS, NEAR_ONE};
use super::lane::{Lane, Selection, Sink};
use super::metrics::SeriesMetrics;
use super::strongest::Bins;
use super::tiles::{Criterion, Keep, Pair, Rectangle, Tile, refinement_slack};

/// Threads of a warp: so many partial sums a refinement has.
const WARP: usize = 32;

/// The product of two unit vectors near 1 or -1 (`sign`), from their distance: exact for identical rows, and without
/// the cancellation that 1 - c suffers.
///
/// ```
/// # use tranchedb::gpu::twin::refined;
/// let row = [0.6, 0.8];
/// assert_eq!(refined(0.999_999, &row, &row), 1.0);
/// assert_eq!(refined(-0.999_999, &row, &[-0.6, -0.8]), -1.0);
/// ```
pub fn refined(product: f64, left: &[f64], right: &[f64]) -> f64 {
    let sign = if product < 0.0 { -1.0 } else { 1.0 };
    let mut sums = [0.0; WARP];
    for (k, (x, y)) in left.iter().zip(right).enumerate() {
        let difference = x - sign * y;
        sums[k % WARP] += difference * difference;
    }
    let mut other = WARP / 2;
    while other > 0 {
        sums = std::array::from_fn(|lane| sums[lane] + sums[lane ^ other]);
        other /= 2;
    }
    clamped(sign * (1.0 - 0.5 * sums[0]))
}

/// The value within [-1, 1]; NaN stays.
pub fn clamped(value: f64) -> f64 {
    value.clamp(-1.0, 1.0)
}

/// A sum with the digits lost by its additions kept apart (Knuth's two-sum).
#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        let added = sum - self.sum;
        self.lost += (self.sum - (sum - added)) + (x - added);
        self.sum = sum;
    }

    fn value(self) -> f64 {
        if self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }

    fn minus(self, other: Self) -> f64 {
        let lost = self.lost - other.lost;
        (self.sum - other.sum) + if lost.is_finite() { lost } else { 0.0 }
    }
}

/// The metrics of one series of raw values in time order; NaN marks a missing value.
///
/// ```
/// # use tranchedb::gpu::twin::series_metrics;
/// let metrics = series_metrics(&[1.0, f64::NAN, -3.0, 5.0]);
/// assert_eq!((metrics.count, metrics.sum, metrics.mean, metrics.m2), (3, 3.0, 1.0, 32.0));
/// assert_eq!((metrics.min, metrics.max, metrics.max_drawdown), (-3.0, 5.0, -3.0));
/// ```
pub fn series_metrics(values: &[f64]) -> SeriesMetrics {
    let (mut sum, mut high) = (Compensated::default(), Compensated::default());
    let mut metrics = SeriesMetrics::default();
    let mut deepest = 0.0;
    for &x in values.iter().filter(|x| !x.is_nan()) {
        metrics.min = if metrics.count == 0 || x < metrics.min { x } else { metrics.min };
        metrics.max = if metrics.count == 0 || x > metrics.max { x } else { metrics.max };
        metrics.count += 1;
        sum.add(x);
        if sum.minus(high) > 0.0 {
            high = sum;
        }
        let depth = sum.minus(high);
        deepest = if depth < deepest || depth.is_nan() { depth } else { deepest };
    }
    if metrics.count == 0 {
        return metrics;
    }
    let n = metrics.count as f64;
    let constant = metrics.min == metrics.max;
    metrics.sum = sum.value();
    metrics.mean = if constant { metrics.min } else { metrics.sum / n };
    metrics.max_drawdown = deepest;
    let (mut squares, mut deviations) = (Compensated::default(), 0.0);
    for &x in values.iter().filter(|x| !x.is_nan()) {
        let deviation = x - metrics.mean;
        deviations += deviation;
        squares.add(deviation * deviation);
    }
    let m2 = squares.value() - deviations * deviations / n;
    metrics.m2 = if constant || m2 < 0.0 { 0.0 } else { m2 };
    metrics
}

/// Rows in memory, row-major.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The values of all rows.
    pub values: &'a [f64],
    /// Values of a row.
    pub columns: usize,
}

impl<'a> Rows<'a> {
    fn row(self, row: usize) -> &'a [f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }
}

/// What [`super::pairs`] computes in double precision, on one thread, in tiles of `tile` rows.
///
/// # Errors
/// [`GpuError::Shape`] where the rectangle reaches beyond the rows.
pub fn pairs(panels: [Rows<'_>; 2], rectangle: &Rectangle, keep: &Keep, tile: usize, sink: &mut Sink<'_>) -> Result<(), GpuError> {
    let [left, right] = panels;
    let fits = |rows: &Rows<'_>, range: &Range<usize>| range.end.checked_mul(rows.columns).is_some_and(|end| end <= rows.values.len());
    if left.columns != right.columns || tile == 0 || !fits(&left, &rectangle.rows) || !fits(&right, &rectangle.columns) {
        return Err(GpuError::Shape("the rectangle does not fit the panels".into()));
    }
    let mut lanes = [HostLane::new(left, right, tile), HostLane::new(left, right, tile)];
    let mut selection = Selection::new(keep, sink)?;
    if selection.run(&mut lanes, rectangle.tiles(tile))?.is_continue() {
        selection.finish();
    }
    Ok(())
}

/// A lane whose device is this thread.
struct HostLane<'a> {
    left: Rows<'a>,
    right: Rows<'a>,
    capacity: usize,
    tile: Option<Tile>,
    products: Vec<f64>,
    kept: Vec<Pair>,
    count: u64,
}

impl<'a> HostLane<'a> {
    fn new(left: Rows<'a>, right: Rows<'a>, tile: usize) -> Self {
        let capacity = super::tiles::survivor_capacity(tile);
        Self { left, right, capacity, tile: None, products: vec![], kept: vec![], count: 0 }
    }

    /// Every element of the tile that is a pair, with its product.
    fn elements(&self) -> impl Iterator<Item = Pair> + '_ {
        let tile = self.tile.iter();
        tile.flat_map(|tile| {
            let width = tile.columns.len();
            let places = (0..tile.elements()).map(move |element| (element / width, element % width));
            places.zip(&self.products).filter(|((i, j), _)| tile.has(*i, *j)).map(|((i, j), &value)| Pair {
                row: (tile.rows.start + i) as u32,
                column: (tile.columns.start + j) as u32,
                value,
            })
        })
    }

    fn product(&self, pair: (usize, usize), criterion: &Criterion) -> f64 {
        let (x, y) = (self.left.row(pair.0), self.right.row(pair.1));
        let product: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
        let near = product.abs() > NEAR_ONE && criterion.keeps(product, refinement_slack(x.len()));
        if near { refined(product, x, y) } else { clamped(product) }
    }
}

impl Lane for HostLane<'_> {
    fn start(&mut self, tile: &Tile, criterion: &Criterion) -> Result<(), GpuError> {
        let mut products = Vec::with_capacity(tile.elements());
        for row in tile.rows.clone() {
            products.extend(tile.columns.clone().map(|column| self.product((row, column), criterion)));
        }
        (self.products, self.tile) = (products, Some(tile.clone()));
        self.select_again(criterion).map(|_| ())
    }

    fn survivors(&mut self) -> Result<u64, GpuError> {
        Ok(self.count)
    }

    fn capacity(&self) -> u64 {
        self.capacity as u64
    }

    fn select_again(&mut self, criterion: &Criterion) -> Result<u64, GpuError> {
        let mut all: Vec<Pair> = self.elements().filter(|pair| criterion.keeps(pair.value, 0.0)).collect();
        self.count = all.len() as u64;
        all.truncate(self.capacity);
        // As on a device, in no useful order.
        all.reverse();
        self.kept = all;
        Ok(self.count)
    }

    fn histogram(&mut self, criterion: &Criterion, bins: &Bins) -> Result<Vec<u32>, GpuError> {
        let mut counts = vec![0; BINS];
        for pair in self.elements().filter(|pair| criterion.keeps(pair.value, 0.0)) {
            counts[bins.of(criterion.by.of(pair.value))] += 1;
        }
        Ok(counts)
    }

    fn download(&mut self, count: usize) -> Result<Vec<Pair>, GpuError> {
        Ok(self.kept[..count].to_vec())
    }

    fn rows_at_once(&self, _: &Tile) -> usize {
        3
    }

    fn values(&mut self, rows: Range<usize>) -> Result<Vec<f64>, GpuError> {
        let width = self.tile.as_ref().map_or(0, |tile| tile.columns.len());
        Ok(self.products[rows.start * width..rows.end * width].to_vec())
    }
}

#[cfg(test)]
#[path = "twin_tests.rs"]
mod tests;
