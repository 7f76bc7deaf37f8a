//! What the numeric aggregates keep of a group, and how they end.
//!
//! Sums of integers and decimals are kept in 128 bits and are exact. Sums of floats lose nothing that counts (Knuth's two-sum, the lost
//! parts added up apart). Moments are central (Welford's update, the merge of Chan, Golub and LeVeque): HeavyDB adds up squares, and its
//! own last digits can be lost where a mean is large against the deviation.

use std::fmt::Debug;

use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::row::{Pair, Row};

/// A summary of the rows of a group.
pub(super) trait State: Clone + Debug + Default + Send + Sync + 'static {
    /// What it takes.
    type Row: Row;

    /// Adds a row.
    fn push(&mut self, row: Self::Row);

    /// Adds the rows that `other` has summed up.
    fn merge(&mut self, other: &Self);

    /// The parts from which [`State::read`] makes it again.
    fn write(&self) -> Vec<u8>;

    /// The state of such parts; an empty one for parts of another length.
    fn read(parts: &[u8]) -> Self;
}

/// The parts of a state, in 8 or 16 bytes each.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn double(mut self, x: f64) -> Self {
        self.0.extend(x.to_le_bytes());
        self
    }

    fn count(mut self, n: u64) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }

    fn wide(mut self, n: i128) -> Self {
        self.0.extend(n.to_le_bytes());
        self
    }
}

/// Reads what [`Writer`] wrote; zeros after the end.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let Some((bytes, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
        self.0 = rest;
        *bytes
    }

    fn double(&mut self) -> f64 {
        f64::from_le_bytes(self.bytes())
    }

    fn count(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn wide(&mut self) -> i128 {
        i128::from_le_bytes(self.bytes())
    }
}

/// The result of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// The digits of an integer or DECIMAL.
    Whole(i128),
    /// A float.
    Double(f64),
}

/// Sum and count of integers or of the digits of decimals.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExactSum<R> {
    rows: u64,
    sum: i128,
    row: std::marker::PhantomData<R>,
}

impl<R> Default for ExactSum<R> {
    fn default() -> Self {
        Self { rows: 0, sum: 0, row: std::marker::PhantomData }
    }
}

impl<R: Row + Into<i128>> State for ExactSum<R> {
    type Row = R;

    fn push(&mut self, row: R) {
        self.rows += 1;
        // No table has the 2^64 rows that would pass 128 bits.
        self.sum = self.sum.wrapping_add(row.into());
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    fn write(&self) -> Vec<u8> {
        Writer::default().count(self.rows).wide(self.sum).0
    }

    fn read(parts: &[u8]) -> Self {
        let mut reader = Reader(parts);
        Self { rows: reader.count(), sum: reader.wide(), row: std::marker::PhantomData }
    }
}

impl<R> ExactSum<R> {
    /// The sum; an error where it passes BIGINT or the 18 digits of a DECIMAL.
    pub(super) fn sum(&self, decimal: bool) -> Result<Option<Number>> {
        const DIGITS: i128 = 1_000_000_000_000_000_000;
        match (decimal, self.rows) {
            (_, 0) => Ok(None),
            (false, _) if i64::try_from(self.sum).is_err() => {
                exec_err!("the SUM {} is beyond BIGINT; cast the argument to DOUBLE", self.sum)
            }
            (true, _) if self.sum.abs() >= DIGITS => {
                exec_err!("the SUM has more than the 18 digits of a DECIMAL; cast the argument to DOUBLE")
            }
            _ => Ok(Some(Number::Whole(self.sum))),
        }
    }

    /// The mean of digits with `scale` of them after the point.
    pub(super) fn mean(&self, scale: i8) -> Option<Number> {
        (self.rows > 0).then(|| Number::Double(self.sum as f64 / 10f64.powi(scale.into()) / self.rows as f64))
    }
}

/// Sum and count of floats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FloatSum {
    rows: u64,
    sum: f64,
    lost: f64,
}

impl FloatSum {
    fn add(&mut self, x: f64) {
        let sum = self.sum + x;
        let added = sum - self.sum;
        self.lost += (self.sum - (sum - added)) + (x - added);
        self.sum = sum;
    }

    /// The sum. Once it has left the finite numbers, the correction means nothing.
    pub(super) fn sum(&self) -> Option<Number> {
        let sum = if self.lost.is_finite() { self.sum + self.lost } else { self.sum };
        (self.rows > 0).then_some(Number::Double(sum))
    }

    /// The mean.
    pub(super) fn mean(&self) -> Option<Number> {
        match self.sum() {
            Some(Number::Double(sum)) => Some(Number::Double(sum / self.rows as f64)),
            _ => None,
        }
    }
}

impl State for FloatSum {
    type Row = f64;

    fn push(&mut self, x: f64) {
        self.rows += 1;
        self.add(x);
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.add(other.sum);
        self.lost += other.lost;
    }

    fn write(&self) -> Vec<u8> {
        Writer::default().count(self.rows).double(self.sum).double(self.lost).0
    }

    fn read(parts: &[u8]) -> Self {
        let mut reader = Reader(parts);
        Self { rows: reader.count(), sum: reader.double(), lost: reader.double() }
    }
}

/// Count, mean and sum of squared deviations of one column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    rows: u64,
    mean: f64,
    squares: f64,
    least: f64,
    greatest: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { rows: 0, mean: 0.0, squares: 0.0, least: f64::INFINITY, greatest: f64::NEG_INFINITY }
    }
}

impl Moments {
    fn n(&self) -> f64 {
        self.rows as f64
    }

    /// Whether all rows have one value.
    fn is_constant(&self) -> bool {
        self.least == self.greatest
    }

    /// The mean; exactly the value where there is only one.
    fn mean(&self) -> f64 {
        if self.is_constant() { self.least } else { self.mean }
    }

    /// Sum of squared deviations; exactly 0 where there is only one value.
    fn squares(&self) -> f64 {
        if self.is_constant() && self.least.is_finite() { 0.0 } else { self.squares }
    }

    /// The variance by `n - ddof` rows; `None` below one such row.
    pub(super) fn variance(&self, ddof: u64) -> Option<f64> {
        (self.rows > ddof).then(|| self.squares() / (self.rows - ddof) as f64)
    }
}

impl State for Moments {
    type Row = f64;

    fn push(&mut self, x: f64) {
        self.rows += 1;
        let delta = x - self.mean;
        self.mean += delta / self.n();
        self.squares += delta * (x - self.mean);
        self.least = self.least.min(x);
        self.greatest = self.greatest.max(x);
        if x.is_nan() {
            // `min` and `max` pass it over.
            self.squares = f64::NAN;
            self.greatest = f64::INFINITY;
            self.least = f64::NEG_INFINITY;
        }
    }

    fn merge(&mut self, other: &Self) {
        if other.rows == 0 {
            return;
        }
        if self.rows == 0 {
            *self = *other;
            return;
        }
        let (n1, n2) = (self.n(), other.n());
        let (n, delta) = (n1 + n2, other.mean() - self.mean());
        self.squares = self.squares() + other.squares() + delta * delta * n1 * n2 / n;
        self.mean = self.mean() + delta * n2 / n;
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
        self.rows += other.rows;
    }

    fn write(&self) -> Vec<u8> {
        Writer::default().count(self.rows).double(self.mean).double(self.squares).double(self.least).double(self.greatest).0
    }

    fn read(parts: &[u8]) -> Self {
        let mut reader = Reader(parts);
        Self::take(&mut reader)
    }
}

impl Moments {
    const WIDTH: usize = 40;

    fn take(reader: &mut Reader<'_>) -> Self {
        match reader.count() {
            0 => {
                let _: [u8; Self::WIDTH - 8] = reader.bytes();
                Self::default()
            }
            rows => Self { rows, mean: reader.double(), squares: reader.double(), least: reader.double(), greatest: reader.double() },
        }
    }
}

/// Two columns: the moments of each over its own values, and the co-moment over the rows that have both.
///
/// HeavyDB does not leave out incomplete rows from AVG(x) and AVG(y), only from AVG(x · y). The difference is put together from
/// differences of means, so that nothing cancels and the usual centred formula remains where no value is missing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CoMoments {
    x: Moments,
    y: Moments,
    pairs: u64,
    means: (f64, f64),
    product: f64,
}

/// What is asked of two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Association {
    /// COVAR_POP
    Population,
    /// COVAR_SAMP
    Sample,
    /// CORR
    Correlation,
}

impl CoMoments {
    fn is_complete(&self) -> bool {
        self.pairs == self.x.rows && self.pairs == self.y.rows
    }

    /// Sum of the products of deviations over the pairs; exactly 0 where a side is constant.
    fn product(&self) -> f64 {
        if self.x.is_constant() || self.y.is_constant() { 0.0 } else { self.product }
    }

    /// Means over the pairs.
    fn pair_means(&self) -> (f64, f64) {
        let pick = |side: &Moments, mean: f64| if side.is_constant() { side.least } else { mean };
        (pick(&self.x, self.means.0), pick(&self.y, self.means.1))
    }

    /// `AVG(x · y) - AVG(x) · AVG(y)`, each average over its own values.
    fn covariance(&self) -> Option<f64> {
        let n = self.pairs as f64;
        if self.is_complete() {
            return (self.pairs > 0).then(|| self.product() / n);
        }
        (self.pairs > 0).then(|| self.product() / n + self.shift())
    }

    /// The product of the means over the pairs, less that of the columns' own means.
    fn shift(&self) -> f64 {
        let ((px, py), (mx, my)) = (self.pair_means(), (self.x.mean(), self.y.mean()));
        (px - mx) * py + mx * (py - my)
    }

    /// `(SUM(x · y) - SUM(x) · AVG(y)) / (COUNT(x) - 1)`, each over its own values.
    fn sample_covariance(&self) -> Option<f64> {
        if self.pairs == 0 || self.x.rows == 1 {
            return None;
        }
        let (n, rows) = (self.pairs as f64, self.x.n());
        let sum = if self.is_complete() {
            self.product()
        } else {
            self.product() + n * self.shift() + (n - rows) * self.x.mean() * self.y.mean()
        };
        Some(sum / (rows - 1.0))
    }

    fn correlation(&self) -> Option<f64> {
        if self.is_complete() {
            let (x, y) = (self.x.squares(), self.y.squares());
            // One root is exact for a column with itself; two do not overflow.
            let scale = if (x * y).is_normal() { (x * y).sqrt() } else { x.sqrt() * y.sqrt() };
            return (self.pairs > 0 && scale != 0.0).then(|| (self.product() / scale).clamp(-1.0, 1.0));
        }
        let scale = self.x.variance(0)?.sqrt() * self.y.variance(0)?.sqrt();
        if scale == 0.0 { None } else { Some(self.covariance()? / scale) }
    }

    /// The result.
    pub(super) fn result(&self, association: Association) -> Option<f64> {
        match association {
            Association::Population => self.covariance(),
            Association::Sample => self.sample_covariance(),
            Association::Correlation => self.correlation(),
        }
    }
}

impl State for CoMoments {
    type Row = Pair;

    fn push(&mut self, Pair { x, y }: Pair) {
        if let Some(x) = x {
            self.x.push(x);
        }
        if let Some(y) = y {
            self.y.push(y);
        }
        let (Some(x), Some(y)) = (x, y) else { return };
        self.pairs += 1;
        let n = self.pairs as f64;
        let dx = x - self.means.0;
        self.means.0 += dx / n;
        self.means.1 += (y - self.means.1) / n;
        self.product += dx * (y - self.means.1);
    }

    fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (self.pair_means(), other.pair_means());
        let (n1, n2) = (self.pairs as f64, other.pairs as f64);
        if other.pairs > 0 && self.pairs > 0 {
            let (n, dx, dy) = (n1 + n2, theirs.0 - mine.0, theirs.1 - mine.1);
            self.product = self.product() + other.product() + dx * dy * n1 * n2 / n;
            self.means = (mine.0 + dx * n2 / n, mine.1 + dy * n2 / n);
        } else if other.pairs > 0 {
            (self.product, self.means) = (other.product(), theirs);
        }
        self.pairs += other.pairs;
        self.x.merge(&other.x);
        self.y.merge(&other.y);
    }

    fn write(&self) -> Vec<u8> {
        let mut parts = self.x.write();
        parts.extend(self.y.write());
        parts.extend(Writer::default().count(self.pairs).double(self.means.0).double(self.means.1).double(self.product).0);
        parts
    }

    fn read(parts: &[u8]) -> Self {
        let mut reader = Reader(parts);
        Self {
            x: Moments::take(&mut reader),
            y: Moments::take(&mut reader),
            pairs: reader.count(),
            means: (reader.double(), reader.double()),
            product: reader.double(),
        }
    }
}

/// A state in the bytes of a partial result.
///
/// # Errors
/// `states` is no column of states.
pub(super) fn bytes(states: &[datafusion::arrow::array::ArrayRef]) -> Result<&datafusion::arrow::array::BinaryArray> {
    use datafusion::arrow::array::AsArray;
    let states = states.first().and_then(|states| states.as_binary_opt::<i32>());
    states.ok_or_else(|| exec_datafusion_err!("the partial results of an aggregate are missing"))
}
