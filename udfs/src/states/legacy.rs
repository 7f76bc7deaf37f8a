//! States that only the legacy family needs.

use super::{Compensated, Moments, Partial, State, Tally};
use crate::constants::Constants;

/// A stretch of profits whose first peak is its first cumulative value, not the start: a first loss is no drawdown.
/// The running sum is plain, as the replaced system had it.
#[derive(Debug, Clone)]
pub(crate) struct LegacySegment {
    tally: Tally,
    sum: f64,
    high: f64,
    low: f64,
    depth: f64,
}

impl LegacySegment {
    /// Sum of the profits.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Worst drawdown in currency, positive.
    pub(crate) fn depth(&self) -> f64 {
        self.depth
    }
}

impl State for LegacySegment {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self { tally: Tally::default(), sum: 0.0, high: f64::NEG_INFINITY, low: f64::INFINITY, depth: 0.0 }
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.tally.admits(x) {
            return;
        }
        self.sum += x;
        self.high = self.high.max(self.sum);
        self.low = self.low.min(self.sum);
        self.depth = self.depth.max(self.high - self.sum);
    }

    fn merge(&mut self, later: &Self) {
        self.depth = self.depth.max(self.high - self.sum - later.low).max(later.depth);
        self.high = self.high.max(self.sum + later.high);
        self.low = self.low.min(self.sum + later.low);
        self.sum += later.sum;
        self.tally.merge(later.tally);
    }

    fn merges(&self) -> bool {
        self.sum.is_finite()
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// Sum of all rows and moments of the losing ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct LegacyLosses {
    tally: Tally,
    sum: Compensated,
    losses: Moments,
}

impl LegacyLosses {
    /// Mean of all rows.
    pub(crate) fn mean(&self) -> f64 {
        self.sum.value() / self.tally.n()
    }

    /// Moments of the rows below zero.
    pub(crate) fn losses(&self) -> &Moments {
        &self.losses
    }
}

impl State for LegacyLosses {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.tally.admits(x) {
            return;
        }
        self.sum.add(x);
        if x < 0.0 {
            self.losses.push(x);
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.sum.merge(later.sum);
        self.losses.merge(&later.losses);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for LegacyLosses {
    const WIDTH: usize = Tally::WIDTH + Compensated::WIDTH + Moments::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.sum.write(out);
        self.losses.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.sum = Compensated::read(&partial[2..]);
        self.losses.read(&partial[4..]);
    }
}
