//! A stretch of time summarised so that neighbouring stretches join: level at the end, highest and lowest level, worst drawdown.

use super::{Compensated, State, Tally, Wealth};
use crate::constants::Constants;

/// A stretch of compounded returns, relative to the wealth at its start.
#[derive(Debug, Clone)]
pub(crate) struct ReturnSegment {
    tally: Tally,
    wealth: Wealth,
    high: Wealth,
    low: Wealth,
    depth: f64,
    /// A return below -1 was seen: wealth turned negative and the join of two stretches does not hold.
    beyond_ruin: bool,
}

impl ReturnSegment {
    pub(crate) fn n(&self) -> f64 {
        self.tally.n()
    }

    /// `prod(1 + r)`.
    pub(crate) fn wealth(&self) -> Wealth {
        self.wealth
    }

    /// Worst drawdown (≤ 0) as a fraction of the peak, the start counted as a peak.
    pub(crate) fn depth(&self) -> f64 {
        self.depth
    }
}

impl State for ReturnSegment {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self { tally: Tally::default(), wealth: Wealth::ONE, high: Wealth::ONE, low: Wealth::INFINITE, depth: 0.0, beyond_ruin: false }
    }

    #[inline]
    fn push(&mut self, r: f64) {
        if !self.tally.admits(r) {
            return;
        }
        self.wealth = self.wealth.times(Wealth::of_return(r));
        self.high = self.high.max(self.wealth);
        self.low = self.low.min(self.wealth);
        self.depth = self.depth.min(self.wealth.relative_to(self.high));
        self.beyond_ruin |= r < -1.0;
    }

    fn merge(&mut self, later: &Self) {
        self.depth = self.depth.min(self.wealth.times(later.low).relative_to(self.high)).min(later.depth);
        self.high = self.high.max(self.wealth.times(later.high));
        self.low = self.low.min(self.wealth.times(later.low));
        self.wealth = self.wealth.times(later.wealth);
        self.beyond_ruin |= later.beyond_ruin;
        self.tally.merge(later.tally);
    }

    fn merges(&self) -> bool {
        !self.beyond_ruin && self.wealth.value().is_finite()
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

/// A stretch of currency profits, relative to the equity at its start.
#[derive(Debug, Clone)]
pub(crate) struct CurrencySegment {
    tally: Tally,
    sum: Compensated,
    high: Compensated,
    low: Compensated,
    depth: f64,
}

impl CurrencySegment {
    pub(crate) fn n(&self) -> f64 {
        self.tally.n()
    }

    /// Sum of the profits.
    pub(crate) fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// Worst drawdown in currency (≤ 0), the start counted as a peak.
    pub(crate) fn depth(&self) -> f64 {
        self.depth
    }
}

/// Highest and lowest level, rounded: they mostly tell at once whether a level is a new one.
struct Extent {
    high: f64,
    low: f64,
}

impl CurrencySegment {
    /// Adds a row. Choices of numbers, not branches: which way a curve goes cannot be foreseen.
    #[inline(always)]
    fn step(&mut self, x: f64, extent: &mut Extent, value: impl Fn(Compensated) -> f64) {
        self.sum.add(x);
        let level = value(self.sum);
        if level == extent.high || level == extent.low {
            self.by_all_digits();
        }
        self.high = self.high.or(self.sum, level > extent.high);
        extent.high = if level > extent.high { level } else { extent.high };
        self.low = self.low.or(self.sum, level < extent.low);
        extent.low = if level < extent.low { level } else { extent.low };
        let depth = self.sum.minus(self.high);
        self.depth = if depth < self.depth { depth } else { self.depth };
    }

    /// Compares a level with the highest and the lowest one where rounding hides the difference.
    fn by_all_digits(&mut self) {
        self.high = self.high.max(self.sum);
        self.low = self.low.min(self.sum);
    }
}

impl State for CurrencySegment {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self {
            tally: Tally::default(),
            sum: Compensated::default(),
            high: Compensated::default(),
            low: Compensated::of(f64::INFINITY),
            depth: 0.0,
        }
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            self.step(x, &mut Extent { high: self.high.value(), low: self.low.value() }, Compensated::value);
        }
    }

    fn push_all(&mut self, rows: &[f64]) {
        if !self.sum.value().is_finite() || !self.tally.admits_all(rows) {
            rows.iter().for_each(|&x| self.push(x));
            return;
        }
        let mut extent = Extent { high: self.high.value(), low: self.low.value() };
        rows.iter().for_each(|&x| self.step(x, &mut extent, Compensated::finite_value));
    }

    fn merge(&mut self, later: &Self) {
        self.depth = self.depth.min(self.sum.plus(later.low).minus(self.high)).min(later.depth);
        self.high = self.high.max(self.sum.plus(later.high));
        self.low = self.low.min(self.sum.plus(later.low));
        self.sum.merge(later.sum);
        self.tally.merge(later.tally);
    }

    fn merges(&self) -> bool {
        self.sum.value().is_finite()
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    const D: [f64; 7] = [0.05, -0.10, 0.02, -0.03, 0.12, 0.04, -0.01];

    fn segment(returns: &[f64]) -> ReturnSegment {
        let mut segment = ReturnSegment::new(
            &Constants::of_call(&metrics::find("max_drawdown").unwrap().page(), &[datafusion::logical_expr::lit(0.0)]).unwrap().unwrap(),
        );
        returns.iter().for_each(|&r| segment.push(r));
        segment
    }

    fn figures(s: &ReturnSegment) -> [f64; 5] {
        [s.n(), s.wealth.value(), s.high.value(), s.low.value(), s.depth]
    }

    fn assert_close(found: [f64; 5], known: [f64; 5]) {
        assert!(found.iter().zip(known).all(|(a, b)| (a - b).abs() <= 1e-15), "{found:?} {known:?}");
    }

    #[test]
    fn neighbouring_stretches_join_to_the_whole() {
        let (mut a, b) = (segment(&D[..3]), segment(&D[3..]));
        assert_close(figures(&a), [3.0, 0.9639, 1.05, 0.945, -0.1]);
        assert_close(figures(&b), [4.0, 1.11855744, 1.129856, 0.97, -0.03]);
        a.merge(&b);
        assert_close(figures(&a), [7.0, 1.078177516416, 1.0890681984, 0.934983, -0.10954]);
        assert_close(figures(&a), figures(&segment(&D)));
    }

    #[test]
    fn a_return_below_minus_one_forbids_the_join() {
        assert!(!segment(&[0.01, -1.5, 0.02]).merges());
        assert!(segment(&[0.01, -1.0, 0.02]).merges());
    }
}
