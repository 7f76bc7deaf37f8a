//! Two series, row by row.

use super::extremes::Range;
use super::{Moments, Partial, State, Tally};
use crate::constants::Constants;

/// Means, centred squares and co-moment of two series, both sides centred.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoMoments {
    tally: Tally,
    means: (f64, f64),
    squares: (f64, f64),
    product: f64,
    first: Range,
    second: Range,
}

impl CoMoments {
    pub(crate) fn rows(&self) -> u64 {
        self.tally.rows
    }

    /// Means of both sides.
    pub(crate) fn means(&self) -> (f64, f64) {
        let pick = |range: Range, mean: f64| if range.is_one_value() { range.min } else { mean };
        (pick(self.first, self.means.0), pick(self.second, self.means.1))
    }

    /// Sums of squared deviations of both sides, exactly 0 for a constant side.
    pub(crate) fn squares(&self) -> (f64, f64) {
        let pick = |range: Range, m2: f64| if range.is_one_value() { 0.0 } else { m2 };
        (pick(self.first, self.squares.0), pick(self.second, self.squares.1))
    }

    /// Sum of the products of deviations, exactly 0 where a side is constant.
    pub(crate) fn product(&self) -> f64 {
        if self.first.is_one_value() || self.second.is_one_value() { 0.0 } else { self.product }
    }
}

impl State for CoMoments {
    type Row = (f64, f64);

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, (a, b): (f64, f64)) {
        if !self.tally.admits(if a.is_nan() { a } else { b }) {
            return;
        }
        let n = self.tally.n();
        let (da, db) = (a - self.means.0, b - self.means.1);
        self.means.0 += da / n;
        self.means.1 += db / n;
        // The same shape of expression for all three, so that a series paired with itself gives three equal sums.
        self.squares.0 += da * (a - self.means.0);
        self.squares.1 += db * (b - self.means.1);
        self.product += da * (b - self.means.1);
        self.first.add(a);
        self.second.add(b);
    }

    fn merge(&mut self, later: &Self) {
        if later.tally.rows == 0 {
            return;
        }
        if self.tally.rows == 0 {
            self.clone_from(later);
            return;
        }
        let (n1, n2) = (self.tally.n(), later.tally.n());
        let n = n1 + n2;
        let (mine, theirs) = (self.means(), later.means());
        let (da, db) = (theirs.0 - mine.0, theirs.1 - mine.1);
        self.squares =
            (self.squares().0 + later.squares().0 + da * da * n1 * n2 / n, self.squares().1 + later.squares().1 + db * db * n1 * n2 / n);
        self.product = self.product() + later.product() + da * db * n1 * n2 / n;
        self.means = (mine.0 + da * n2 / n, mine.1 + db * n2 / n);
        self.first.merge(later.first);
        self.second.merge(later.second);
        self.tally.merge(later.tally);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for CoMoments {
    const WIDTH: usize = Tally::WIDTH + 5 + 2 * Range::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        out.extend([self.means.0, self.means.1, self.squares.0, self.squares.1, self.product]);
        self.first.write(out);
        self.second.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        *self = Self {
            tally: Tally::read(partial),
            means: (partial[2], partial[3]),
            squares: (partial[4], partial[5]),
            product: partial[6],
            first: Range::read(&partial[7..]),
            second: Range::read(&partial[9..]),
        };
    }
}

/// Moments of the active return `r - b` and the scale of the two sides.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActiveReturn {
    tally: Tally,
    difference: Moments,
    scale: f64,
}

impl ActiveReturn {
    /// Mean active return.
    pub(crate) fn mean(&self) -> f64 {
        self.difference.mean()
    }

    /// Deviation of the active return (ddof 1), 0 where it is constant up to the rounding of its two sides; `None` below two rows.
    pub(crate) fn deviation(&self) -> Option<f64> {
        let constant = self.difference.spread() <= 4.0 * f64::EPSILON * self.scale;
        self.difference.deviation().map(|s| if constant { 0.0 } else { s })
    }
}

impl State for ActiveReturn {
    type Row = (f64, f64);

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, (r, b): (f64, f64)) {
        if self.tally.admits(if r.is_nan() { r } else { b }) {
            self.difference.push(r - b);
            self.scale = self.scale.max(r.abs() + b.abs());
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.difference.merge(&later.difference);
        self.scale = self.scale.max(later.scale);
    }

    fn tally(&self) -> Tally {
        // The difference of two equal infinities is NaN although neither side is.
        Tally { rows: self.tally.rows, nan: self.tally.nan | self.difference.tally().nan }
    }
}

impl Partial for ActiveReturn {
    const WIDTH: usize = Tally::WIDTH + Moments::WIDTH + 1;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.difference.write(out);
        out.push(self.scale);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.difference.read(&partial[2..]);
        self.scale = partial[2 + Moments::WIDTH];
    }
}
