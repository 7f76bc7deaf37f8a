//! Summaries of the last `n` values, without subtraction: what has left the window leaves no trace.
//!
//! The values are cut into blocks of `n`. A window is then the end of the block before, whose summaries are prepared from its last value
//! backwards when it is complete, merged with the beginning of the present block (van Herk; Gil and Werman).
//!
//! ```text
//! values   a b c d | e f g h | i j          n = 4
//!                      [----------]         window at j = (g h) merged with (i j)
//! ```
//!
//! Two additions and one merge per row, whatever `n` is; `n` values and `n` summaries of memory.

use super::running::Step;
use crate::states::Compensated;

/// A summary of values. The number of values is known to the caller.
pub(crate) trait Summary: Copy + Default + std::fmt::Debug + Send + 'static {
    /// Adds a value, the `count`-th one.
    fn push(&mut self, x: f64, count: f64);

    /// The summary of `n` values together with that of `m` others.
    fn merge(self, n: f64, other: Self, m: f64) -> Self;
}

impl Summary for Compensated {
    #[inline]
    fn push(&mut self, x: f64, _: f64) {
        self.add(x);
    }

    #[inline]
    fn merge(self, _: f64, other: Self, _: f64) -> Self {
        self.plus(other)
    }
}

/// Mean and sum of squared deviations from it (Welford's update, the merge of Chan, Golub and LeVeque).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spread {
    mean: f64,
    squares: f64,
}

impl Summary for Spread {
    #[inline]
    fn push(&mut self, x: f64, count: f64) {
        let delta = x - self.mean;
        // The reciprocal does not wait for the value before, as the quotient would.
        self.mean += delta * (1.0 / count);
        self.squares += delta * (x - self.mean);
    }

    #[inline]
    fn merge(self, n: f64, other: Self, m: f64) -> Self {
        let (delta, share) = (other.mean - self.mean, m / (n + m));
        Self { mean: self.mean + delta * share, squares: self.squares + other.squares + delta * delta * (n * share) }
    }
}

/// The last `n` values.
#[derive(Debug, Clone)]
pub(crate) struct Window<S> {
    n: usize,
    /// Values of the present block.
    block: Vec<f64>,
    present: S,
    /// Summaries of the block before from each position to its end; none while the first block fills.
    ends: Vec<S>,
    last: f64,
    /// How many values up to the last are equal to it.
    equal: usize,
}

impl<S: Summary> Window<S> {
    pub(crate) fn new(n: usize) -> Self {
        Self { n, block: vec![], present: S::default(), ends: vec![], last: f64::NAN, equal: 0 }
    }

    /// Takes the next value; the summary of the last `n` values once there are so many.
    #[inline]
    pub(crate) fn push(&mut self, x: f64) -> Option<S> {
        self.equal = if x == self.last { self.equal + 1 } else { 1 };
        self.last = x;
        self.block.push(x);
        let filled = self.block.len();
        self.present.push(x, filled as f64);
        if filled == self.n {
            let whole = self.present;
            self.start_block();
            return Some(whole);
        }
        self.ends.get(filled).map(|end| end.merge((self.n - filled) as f64, self.present, filled as f64))
    }

    fn start_block(&mut self) {
        self.ends.resize(self.n, S::default());
        let mut summary = S::default();
        for (i, (end, &x)) in self.ends.iter_mut().zip(&self.block).rev().enumerate() {
            summary.push(x, (i + 1) as f64);
            *end = summary;
        }
        self.block.clear();
        self.present = S::default();
    }

    /// The value that all of the last `n` equal.
    #[inline]
    fn only_value(&self) -> Option<f64> {
        (self.equal >= self.n && !self.last.is_nan()).then_some(self.last)
    }

    pub(crate) fn size(&self) -> usize {
        self.block.capacity() * size_of::<f64>() + self.ends.capacity() * size_of::<S>()
    }
}

/// Mean of the last `n` values.
#[derive(Debug, Clone)]
pub(crate) struct RollingMean(Window<Compensated>);

impl RollingMean {
    pub(crate) fn new(n: usize) -> Self {
        Self(Window::new(n))
    }

    /// Takes the next value; exactly the value where all are equal.
    #[inline]
    pub(crate) fn push(&mut self, x: f64) -> Option<f64> {
        let sum = self.0.push(x)?;
        Some(self.0.only_value().unwrap_or_else(|| sum.value() / self.0.n as f64))
    }

    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }
}

/// Mean and deviation of the last `n` values.
#[derive(Debug, Clone)]
pub(crate) struct RollingDeviation {
    window: Window<Spread>,
    divisor: f64,
}

impl RollingDeviation {
    /// `ddof` is less than `n`.
    pub(crate) fn new(n: usize, ddof: usize) -> Self {
        Self { window: Window::new(n), divisor: n.saturating_sub(ddof) as f64 }
    }

    /// Takes the next value; mean and deviation, exactly the value and 0 where all are equal.
    #[inline]
    fn push(&mut self, x: f64) -> Option<(f64, f64)> {
        let spread = self.window.push(x)?;
        Some(match self.window.only_value() {
            Some(value) => (value, 0.0),
            None => (spread.mean, (spread.squares / self.divisor).sqrt()),
        })
    }
}

/// `rolling_stddev(x, n, ddof)`.
impl Step<1, 1> for RollingDeviation {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 1]> {
        self.push(x).map(|(_, deviation)| [deviation])
    }

    fn size(&self) -> usize {
        self.window.size()
    }
}

/// `bollinger_bands(x, n, k, ddof)`.
#[derive(Debug, Clone)]
pub(crate) struct Bands {
    pub(crate) rolling: RollingDeviation,
    /// Half the width of the band in deviations.
    pub(crate) deviations: f64,
}

impl Step<1, 3> for Bands {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 3]> {
        let (middle, deviation) = self.rolling.push(x)?;
        let half = self.deviations * deviation;
        Some([middle, middle + half, middle - half])
    }

    fn size(&self) -> usize {
        self.rolling.window.size()
    }
}
