//! Ranges of prices: `true_range` and `atr`.

use super::average::Average;
use super::running::Step;

/// `true_range(high, low, close)`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrueRange {
    previous_close: Option<f64>,
}

impl TrueRange {
    #[inline]
    fn next(&mut self, [high, low, close]: [f64; 3]) -> Option<f64> {
        let previous = self.previous_close.replace(close)?;
        // The maximum of floating point numbers leaves NaN out, a range must not.
        if high.is_nan() || low.is_nan() || previous.is_nan() {
            return Some(f64::NAN);
        }
        Some((high - low).max((high - previous).abs()).max((low - previous).abs()))
    }
}

impl Step<3, 1> for TrueRange {
    #[inline]
    fn step(&mut self, row: [f64; 3]) -> Option<[f64; 1]> {
        self.next(row).map(|range| [range])
    }
}

/// `atr(high, low, close, n, method)`.
#[derive(Debug, Clone)]
pub(crate) struct AverageTrueRange<A> {
    range: TrueRange,
    average: A,
}

impl<A> AverageTrueRange<A> {
    pub(crate) fn new(average: A) -> Self {
        Self { range: TrueRange::default(), average }
    }
}

impl<A: Average> Step<3, 1> for AverageTrueRange<A> {
    #[inline]
    fn step(&mut self, row: [f64; 3]) -> Option<[f64; 1]> {
        let range = self.range.next(row)?;
        self.average.next(range).map(|average| [average])
    }

    fn size(&self) -> usize {
        self.average.size()
    }
}
