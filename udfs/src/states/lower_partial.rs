//! Partial moments of the excess over a fixed rate.

use super::{Compensated, Partial, State, Tally, count};
use crate::constants::Constants;

/// Sums over the excess `e = x - f` for a fixed `f` a period.
#[derive(Debug, Clone, Default)]
pub(crate) struct LowerPartial {
    tally: Tally,
    target: f64,
    excess: Compensated,
    squares_below: Compensated,
    above: Compensated,
    below: Compensated,
    rows_below: u64,
}

impl LowerPartial {
    /// Mean excess.
    pub(crate) fn mean(&self) -> f64 {
        self.excess.value() / self.tally.n()
    }

    /// Root of the mean squared shortfall, over all rows.
    pub(crate) fn downside(&self) -> f64 {
        (self.squares_below.value() / self.tally.n()).sqrt()
    }

    /// Sum of the positive excesses.
    pub(crate) fn above(&self) -> f64 {
        self.above.value()
    }

    /// Sum of the shortfalls, positive.
    pub(crate) fn below(&self) -> f64 {
        self.below.value()
    }

    /// Number of rows with a shortfall.
    pub(crate) fn rows_below(&self) -> u64 {
        self.rows_below
    }
}

impl State for LowerPartial {
    type Row = f64;

    fn new(constants: &Constants) -> Self {
        Self { target: constants.period_rate(), ..Self::default() }
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.tally.admits(x) {
            return;
        }
        let e = x - self.target;
        self.excess.add(e);
        if e < 0.0 {
            self.squares_below.add(e * e);
            self.below.add(-e);
            self.rows_below += 1;
        } else {
            self.above.add(e);
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.excess.merge(later.excess);
        self.squares_below.merge(later.squares_below);
        self.above.merge(later.above);
        self.below.merge(later.below);
        self.rows_below += later.rows_below;
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for LowerPartial {
    const WIDTH: usize = Tally::WIDTH + 4 * Compensated::WIDTH + 1;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        [self.excess, self.squares_below, self.above, self.below].into_iter().for_each(|sum| sum.write(out));
        out.push(self.rows_below as f64);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.excess = Compensated::read(&partial[2..]);
        self.squares_below = Compensated::read(&partial[4..]);
        self.above = Compensated::read(&partial[6..]);
        self.below = Compensated::read(&partial[8..]);
        self.rows_below = count(partial[10]);
    }
}
