//! Averages of one series: the mean of the last `n` and the recursive ones, and what is made of them.

use std::fmt::Debug;

use super::running::Step;
use super::settings::Seed;
use super::window::RollingMean;
use crate::states::Compensated;

/// A running average.
pub(crate) trait Average: Clone + Debug + Send + 'static {
    /// Takes the next value; the average once it is defined.
    fn next(&mut self, x: f64) -> Option<f64>;

    /// Whether the average has decayed to where doubles lose their digits, though in exact arithmetic it never reaches 0.
    fn vanishing(&self) -> bool {
        false
    }

    /// Memory on the heap, in bytes.
    fn size(&self) -> usize {
        0
    }
}

impl Average for RollingMean {
    #[inline]
    fn next(&mut self, x: f64) -> Option<f64> {
        self.push(x)
    }

    fn size(&self) -> usize {
        self.size()
    }
}

/// How a recursive average takes a value.
pub(crate) trait Weight: Copy + Debug + Send + 'static {
    /// For an average over `n` values.
    fn of(n: usize) -> Self;

    /// The average after `x`.
    fn after(self, average: f64, x: f64) -> f64;
}

/// `e += 2/(n+1) * (x - e)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exponential(f64);

impl Weight for Exponential {
    fn of(n: usize) -> Self {
        Self(2.0 / (n as f64 + 1.0))
    }

    #[inline]
    fn after(self, average: f64, x: f64) -> f64 {
        average + self.0 * (x - average)
    }
}

/// `e = (e*(n-1) + x) / n`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wilder(f64);

impl Weight for Wilder {
    fn of(n: usize) -> Self {
        Self(n as f64)
    }

    #[inline]
    fn after(self, average: f64, x: f64) -> f64 {
        (average * (self.0 - 1.0) + x) / self.0
    }
}

/// Below this a decaying average loses digits.
const VANISHING: f64 = f64::MIN_POSITIVE / f64::EPSILON;

/// A recursive average.
#[derive(Debug, Clone)]
pub(crate) struct Recursive<W> {
    weight: W,
    /// Values that the start is the mean of.
    seed_rows: usize,
    /// Values of the start seen so far.
    seen: usize,
    sum: Compensated,
    value: f64,
}

impl<W: Weight> Recursive<W> {
    pub(crate) fn new(n: usize, seed: Seed) -> Self {
        let seed_rows = if seed == Seed::First { 1 } else { n };
        Self { weight: W::of(n), seed_rows, seen: 0, sum: Compensated::default(), value: 0.0 }
    }

    fn start(&mut self, x: f64) -> Option<f64> {
        self.sum.add(x);
        self.seen += 1;
        self.value = self.sum.value() / self.seed_rows as f64;
        (self.seen == self.seed_rows).then_some(self.value)
    }
}

impl<W: Weight> Average for Recursive<W> {
    #[inline]
    fn next(&mut self, x: f64) -> Option<f64> {
        if self.seen < self.seed_rows {
            return self.start(x);
        }
        self.value = self.weight.after(self.value, x);
        Some(self.value)
    }

    #[inline]
    fn vanishing(&self) -> bool {
        self.seen == self.seed_rows && self.value < VANISHING
    }
}

/// The average itself: `sma`, `ema`, `rma`.
#[derive(Debug, Clone)]
pub(crate) struct Plain<A>(pub(crate) A);

impl<A: Average> Step<1, 1> for Plain<A> {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 1]> {
        self.0.next(x).map(|average| [average])
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

/// `rsi(x, n, method)`.
#[derive(Debug, Clone)]
pub(crate) struct RelativeStrength<A> {
    gains: A,
    losses: A,
    previous: Option<f64>,
    /// The index of the row before.
    last: Option<f64>,
}

impl<A: Average> RelativeStrength<A> {
    pub(crate) fn new(average: A) -> Self {
        Self { gains: average.clone(), losses: average, previous: None, last: None }
    }
}

/// Gain and loss of a change; both NaN for NaN.
#[inline]
fn gain_and_loss(change: f64) -> (f64, f64) {
    if change > 0.0 {
        (change, 0.0)
    } else if change <= 0.0 {
        (0.0, -change)
    } else {
        (f64::NAN, f64::NAN)
    }
}

/// `100*G/(G+L)`; `None` for 0/0.
#[inline]
fn index(gain: f64, loss: f64) -> Option<f64> {
    let total = gain + loss;
    if total == 0.0 {
        None
    } else if loss == 0.0 {
        Some(100.0)
    } else {
        Some(100.0 * (gain / total))
    }
}

impl<A: Average> Step<1, 1> for RelativeStrength<A> {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 1]> {
        let change = x - self.previous.replace(x)?;
        // No change leaves the proportion of gains to losses as it is: nothing to compute where the averages would lose their digits.
        let rests = change == 0.0 && self.gains.vanishing() && self.losses.vanishing();
        if !rests {
            let (gain, loss) = gain_and_loss(change);
            let averages = self.gains.next(gain).zip(self.losses.next(loss));
            self.last = averages.and_then(|(gain, loss)| index(gain, loss));
        }
        self.last.map(|index| [index])
    }

    fn size(&self) -> usize {
        self.gains.size() + self.losses.size()
    }
}

/// `macd(x, fast, slow, signal, seed)`: the line, its average and their difference.
#[derive(Debug, Clone)]
pub(crate) struct Convergence {
    fast: Recursive<Exponential>,
    slow: Recursive<Exponential>,
    signal: Recursive<Exponential>,
    /// Rows that the fast average still leaves out, so that both start at the same row.
    left_out: usize,
}

impl Convergence {
    /// `fast` is less than `slow`.
    pub(crate) fn new([fast, slow, signal]: [usize; 3], seed: Seed) -> Self {
        let left_out = if seed == Seed::First { 0 } else { slow.saturating_sub(fast) };
        Self { fast: Recursive::new(fast, seed), slow: Recursive::new(slow, seed), signal: Recursive::new(signal, seed), left_out }
    }
}

impl Step<1, 3> for Convergence {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 3]> {
        let slow = self.slow.next(x);
        if self.left_out > 0 {
            self.left_out -= 1;
            return None;
        }
        let line = self.fast.next(x)? - slow?;
        let signal = self.signal.next(line)?;
        Some([line, signal, line - signal])
    }
}
