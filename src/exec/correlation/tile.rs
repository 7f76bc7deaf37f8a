//! One tile of the matrix: the pairs of two blocks of series.

use datafusion::common::Result;
use tranchedb_products::products;

use super::frame::{Block, Frame, MaskedBlock};
use super::select::{Bounds, Pair};
use super::standard::scaled;

/// Which pairs of series are wanted, by their numbers, which are in the order of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// Each pair once, the first name below the second.
    Less,
    /// As `Less`, and each series with itself.
    LessOrEqual,
    /// Each pair in both orders.
    Different,
    /// Every series with every one.
    All,
}

impl Wanted {
    #[inline]
    pub(super) fn includes(self, a: u32, b: u32) -> bool {
        match self {
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Different => a != b,
            Self::All => true,
        }
    }
}

/// Columns that are looked at together.
const TOGETHER: usize = 16;

/// A pair whose common periods have less than this share of a series' squares is computed from its values: too much would cancel.
const LEAST_SHARE: f64 = 0.1;

/// What the pairs of a tile are computed from and chosen by.
pub(super) struct Tile<'a> {
    pub(super) left: &'a Frame,
    pub(super) right: &'a Frame,
    pub(super) wanted: Wanted,
    pub(super) bounds: Bounds,
    /// Whether pairs are those of an inner join: without a common row there is none, and `n` counts common rows, not values.
    pub(super) joined: bool,
}

impl Tile<'_> {
    /// The pairs of complete series that the bounds keep.
    ///
    /// # Errors
    /// Nobody waits any more.
    pub(super) fn of_complete(&self, left: &Block, right: &Block) -> Result<Vec<Pair>> {
        self.left.waiting().check()?;
        let (periods, columns) = (self.left.periods(), right.series.len());
        let measure = self.left.measure;
        if self.joined && periods == 0 {
            return Ok(vec![]);
        }
        let mut products = products((&left.values, left.series.len()), (&right.values, columns), periods);
        self.scale(&mut products, left, right);
        let varies: Vec<bool> = right.series.iter().map(|&b| self.right.facts(b).varies).collect();
        let wide = self.bounds.widened();
        // Only a constant series has undefined correlations here.
        let undefined = self.bounds.undefined && measure.is_correlation() && varies.contains(&false);
        let mut pairs = vec![];
        for (row, &a) in left.series.iter().enumerate() {
            let defined = periods >= 2 && (self.left.facts(a).varies || !measure.is_correlation());
            if !defined && !self.bounds.undefined {
                continue;
            }
            let products = &products[row * columns..(row + 1) * columns];
            for (chunk, some) in products.chunks(TOGETHER).enumerate() {
                if defined && !undefined && !some.iter().fold(false, |any, &value| any | wide.keep(value)) {
                    continue;
                }
                for (column, &value) in some.iter().enumerate().map(|(at, value)| (chunk * TOGETHER + at, value)) {
                    let b = right.series[column];
                    let defined = defined && (varies[column] || !measure.is_correlation());
                    let near = defined && wide.keep(value);
                    let value = near.then(|| measure.of_product(value, left.row(row, periods), right.row(column, periods)));
                    // What is defined and not near is dropped; what is undefined may be wanted.
                    if (near || !defined) && self.bounds.keep_measure(value) && self.wanted.includes(a, b) {
                        pairs.push(Pair { a, b, n: periods as u32, value });
                    }
                }
            }
        }
        Ok(pairs)
    }

    /// Multiplies products by the powers of two that huge and tiny series keep aside.
    fn scale(&self, products: &mut [f64], left: &Block, right: &Block) {
        let exponents = |frame: &Frame, block: &Block| block.series.iter().map(|&one| frame.facts(one).exponent).collect::<Vec<_>>();
        let (left, right) = (exponents(self.left, left), exponents(self.right, right));
        if left.iter().chain(&right).all(|&exponent| exponent == 0) {
            return;
        }
        for (row, left) in products.chunks_mut(right.len().max(1)).zip(&left) {
            row.iter_mut().zip(&right).for_each(|(product, right)| *product = scaled(*product, left + right));
        }
    }

    /// The pairs of any series that the bounds keep, each over the periods that both have.
    ///
    /// # Errors
    /// The scratch file cannot be read; nobody waits any more.
    pub(super) fn of_any(&self, left: &MaskedBlock, right: &MaskedBlock) -> Result<Vec<Pair>> {
        let sums = Sums::of(left, right, self.left)?;
        let mut pairs = vec![];
        for (row, &a) in left.series.iter().enumerate() {
            self.left.waiting().check()?;
            for (column, &b) in right.series.iter().enumerate().filter(|&(_, &b)| self.wanted.includes(a, b)) {
                let n = sums.counts[row * right.series.len() + column] as u32;
                let rows = if self.joined { self.common_rows(a, b) } else { n };
                if self.joined && rows == 0 {
                    continue;
                }
                let value = match self.quickly(&sums, row * right.series.len() + column, (a, b)) {
                    Some(value) => Some(value),
                    None if n < 2 => None,
                    None => self.left.of_values(a, self.right, b)?,
                };
                if self.bounds.keep_measure(value) {
                    pairs.push(Pair { a, b, n: rows, value });
                }
            }
        }
        Ok(pairs)
    }

    /// Periods in which both series have a row.
    fn common_rows(&self, a: u32, b: u32) -> u32 {
        let rows = match (&self.left.facts(a).present, &self.right.facts(b).present) {
            (None, None) => self.left.periods(),
            (Some(present), None) | (None, Some(present)) => present.count(),
            (Some(a), Some(b)) => a.count_common(b),
        };
        rows as u32
    }

    /// The measure from sums over the common periods; `None` where these are not exact enough.
    fn quickly(&self, sums: &Sums, place: usize, (a, b): (u32, u32)) -> Option<f64> {
        if !self.left.measure.has_masked_products() {
            return None;
        }
        if !self.left.panel().is_finite(a as usize) || !self.right.panel().is_finite(b as usize) {
            return None;
        }
        let n = sums.counts[place];
        let left = sums.left_squares[place] - sums.left[place] * sums.left[place] / n;
        let right = sums.right_squares[place] - sums.right[place] * sums.right[place] / n;
        // Each series has squares of 1 in all: a large share of that is exact.
        if n < 2.0 || !(left >= LEAST_SHARE && right >= LEAST_SHARE) {
            return None;
        }
        let product = sums.products[place] - sums.left[place] * sums.right[place] / n;
        let value = product / (left * right).sqrt();
        // Nearly equal series keep their digits only by their difference.
        (value.abs() < 0.999).then_some(value)
    }
}

/// Sums over the periods that both series of each pair have; of measures that are not computed from them, only their counts.
struct Sums {
    counts: Vec<f64>,
    products: Vec<f64>,
    left: Vec<f64>,
    right: Vec<f64>,
    left_squares: Vec<f64>,
    right_squares: Vec<f64>,
}

impl Sums {
    fn of(left: &MaskedBlock, right: &MaskedBlock, frame: &Frame) -> Result<Self> {
        let product = |a: &[f64], b: &[f64]| -> Result<Vec<f64>> {
            frame.waiting().check()?;
            Ok(products((a, left.series.len()), (b, right.series.len()), frame.periods()))
        };
        let counts = product(&left.mask, &right.mask)?;
        let product = |a: &[f64], b: &[f64]| if frame.measure.has_masked_products() { product(a, b) } else { Ok(vec![]) };
        Ok(Self {
            counts,
            products: product(&left.values, &right.values)?,
            left: product(&left.values, &right.mask)?,
            right: product(&left.mask, &right.values)?,
            left_squares: product(&left.squares, &right.mask)?,
            right_squares: product(&left.mask, &right.squares)?,
        })
    }
}
