//! Walks along the equity curve that need every row in time order: depth at each row, time under water, the deepest drawdown.

use std::fmt::Debug;

use super::{Compensated, State, Tally, Wealth};
use crate::constants::Constants;

/// A row is back at the peak when it misses it by no more than this fraction; exact comparison misjudges rows by rounding.
const AT_PEAK: f64 = 1e-12;

/// An equity curve, row by row.
pub(crate) trait Walk: Clone + Debug + Default + Send + Sync + 'static {
    /// Takes the next row; returns the drawdown there (≤ 0).
    fn step(&mut self, x: f64) -> f64;

    /// Whether the curve is at its high-water mark.
    fn at_peak(&self) -> bool;
}

/// Compounded returns; drawdowns are fractions of the peak.
#[derive(Debug, Clone)]
pub(crate) struct Returns {
    wealth: Wealth,
    high: Wealth,
}

impl Default for Returns {
    fn default() -> Self {
        Self { wealth: Wealth::ONE, high: Wealth::ONE }
    }
}

impl Walk for Returns {
    #[inline]
    fn step(&mut self, r: f64) -> f64 {
        self.wealth = self.wealth.times(Wealth::of_return(r));
        self.high = self.high.max(self.wealth);
        self.wealth.relative_to(self.high)
    }

    #[inline]
    fn at_peak(&self) -> bool {
        self.wealth.value() >= self.high.value() * (1.0 - AT_PEAK)
    }
}

/// Added profits; drawdowns are in currency.
#[derive(Debug, Clone, Default)]
pub(crate) struct Currency {
    sum: Compensated,
    high: Compensated,
    largest: f64,
}

impl Walk for Currency {
    #[inline]
    fn step(&mut self, x: f64) -> f64 {
        self.sum.add(x);
        self.high = self.high.max(self.sum);
        self.largest = self.largest.max(self.sum.value().abs());
        self.sum.minus(self.high)
    }

    #[inline]
    fn at_peak(&self) -> bool {
        self.sum.minus(self.high) >= -AT_PEAK * self.largest
    }
}

/// Squared depths along the walk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Drawdowns<W> {
    tally: Tally,
    walk: W,
    squares: Compensated,
}

impl<W> Drawdowns<W> {
    /// Root of the mean squared depth, over all rows.
    pub(crate) fn root_mean_square(&self) -> f64 {
        (self.squares.value() / self.tally.n()).sqrt()
    }
}

impl<W: Walk> State for Drawdowns<W> {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            let depth = self.walk.step(x);
            self.squares.add(depth * depth);
        }
    }

    /// No: every depth of the later part depends on the earlier one.
    const MERGES: bool = false;

    fn merge(&mut self, _: &Self) {}

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// Longest time under water.
#[derive(Debug, Clone, Default)]
pub(crate) struct Underwater<W> {
    tally: Tally,
    walk: W,
    current: u64,
    longest: u64,
}

impl<W> Underwater<W> {
    /// Longest run of rows below the high-water mark.
    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }
}

impl<W: Walk> State for Underwater<W> {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            self.walk.step(x);
            self.current = if self.walk.at_peak() { 0 } else { self.current + 1 };
            self.longest = self.longest.max(self.current);
        }
    }

    /// No: the high-water mark of the later part depends on the earlier one.
    const MERGES: bool = false;

    fn merge(&mut self, _: &Self) {}

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// The deepest drawdown of a walk, by positions of rows counted from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Deepest {
    /// Depth (≤ 0); NaN when a row is.
    pub(crate) depth: f64,
    /// Where it lies; `None` when no row was under water.
    pub(crate) episode: Option<Episode>,
}

/// One stretch of rows under water.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Episode {
    /// Last row at the high-water mark before; `None` for the starting capital.
    pub(crate) peak: Option<usize>,
    /// First row under water.
    pub(crate) start: usize,
    /// First deepest row.
    pub(crate) trough: usize,
    /// First later row back at the peak.
    pub(crate) recovery: Option<usize>,
}

/// Looks for the deepest drawdown, row by row.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeepestSearch<W> {
    walk: W,
    rows: usize,
    nan: bool,
    depth: f64,
    deepest: Option<Episode>,
    /// Last row at the high-water mark.
    peak: Option<usize>,
    /// First row of the current stretch under water.
    start: Option<usize>,
}

impl<W: Walk> DeepestSearch<W> {
    /// Takes the next row in time order.
    pub(crate) fn push(&mut self, x: f64) {
        let row = self.rows;
        self.rows += 1;
        self.nan |= x.is_nan();
        if self.nan {
            return;
        }
        let depth = self.walk.step(x);
        if self.walk.at_peak() {
            self.recover(row);
        } else {
            let start = *self.start.get_or_insert(row);
            if depth < self.depth || self.deepest.is_none() {
                self.deepest = Some(Episode { peak: self.peak, start, trough: row, recovery: None });
            }
        }
        self.depth = self.depth.min(depth);
    }

    fn recover(&mut self, row: usize) {
        if let Some(episode) = self.deepest.as_mut().filter(|e| Some(e.start) == self.start) {
            episode.recovery = Some(row);
        }
        (self.peak, self.start) = (Some(row), None);
    }

    /// Rows taken.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The deepest drawdown so far; `None` before the first row.
    pub(crate) fn found(&self) -> Option<Deepest> {
        match (self.rows, self.nan) {
            (0, _) => None,
            (_, true) => Some(Deepest { depth: f64::NAN, episode: None }),
            _ => Some(Deepest { depth: self.depth, episode: self.deepest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deepest<W: Walk>(values: &[f64]) -> Option<Deepest> {
        let mut search = DeepestSearch::<W>::default();
        values.iter().for_each(|&x| search.push(x));
        search.found()
    }

    fn episode<W: Walk>(values: &[f64]) -> (Option<usize>, usize, usize, Option<usize>) {
        let e = deepest::<W>(values).unwrap().episode.unwrap();
        (e.peak, e.start, e.trough, e.recovery)
    }

    #[test]
    fn the_first_of_equal_drawdowns_is_taken() {
        assert_eq!(episode::<Returns>(&[-0.5, 1.0, -0.5, 1.0]), (None, 0, 0, Some(1)));
    }

    #[test]
    fn the_peak_is_the_last_row_of_a_plateau() {
        assert_eq!(episode::<Returns>(&[0.1, 0.0, 0.0, -0.05, 0.02]), (Some(2), 3, 3, None));
    }

    #[test]
    fn rounding_does_not_keep_a_recovered_curve_under_water() {
        assert_eq!(episode::<Returns>(&[0.01, -0.05, 0.05263157894736836]), (Some(0), 1, 1, Some(2)));
        assert_eq!(episode::<Currency>(&[0.1, 0.2, -0.3, 0.3, -0.1]), (Some(1), 2, 2, Some(3)));
    }

    #[test]
    fn no_rows_no_drawdown_and_nan_is_kept() {
        assert_eq!(deepest::<Returns>(&[]), None);
        assert_eq!(deepest::<Returns>(&[0.1]), Some(Deepest { depth: 0.0, episode: None }));
        assert!(deepest::<Returns>(&[0.1, f64::NAN, -0.5]).unwrap().depth.is_nan());
    }
}
