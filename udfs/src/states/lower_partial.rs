//! Partial moments of the excess over a fixed rate.

use std::fmt::Debug;
use std::marker::PhantomData;

use super::{Compensated, Partial, State, Tally};
use crate::constants::Constants;

/// Which two sums over the excess are kept: a metric needs two at most, and there may be a state for each of a million groups.
pub(crate) trait Sides: Clone + Debug + Send + Sync + 'static {
    /// What an excess adds to the sums.
    fn of(excess: f64) -> [f64; 2];
}

/// The excess itself, and the square of a shortfall.
#[derive(Debug, Clone)]
pub(crate) struct Downside;

impl Sides for Downside {
    #[inline]
    fn of(e: f64) -> [f64; 2] {
        [e, if e < 0.0 { e * e } else { 0.0 }]
    }
}

/// The positive part, and the size of the negative one.
#[derive(Debug, Clone)]
pub(crate) struct BothSides;

impl Sides for BothSides {
    #[inline]
    fn of(e: f64) -> [f64; 2] {
        if e < 0.0 { [0.0, -e] } else { [e, 0.0] }
    }
}

/// Two sums over the excess `e = x - f` for a fixed `f` a period.
#[derive(Debug, Clone)]
pub(crate) struct LowerPartial<S> {
    tally: Tally,
    target: f64,
    sums: [Compensated; 2],
    falls_short: bool,
    sides: PhantomData<S>,
}

impl LowerPartial<Downside> {
    /// Mean excess.
    pub(crate) fn mean(&self) -> f64 {
        self.sums[0].value() / self.tally.n()
    }

    /// Root of the mean squared shortfall, over all rows.
    pub(crate) fn downside(&self) -> f64 {
        (self.sums[1].value() / self.tally.n()).sqrt()
    }
}

impl LowerPartial<BothSides> {
    /// Sum of the positive excesses.
    pub(crate) fn above(&self) -> f64 {
        self.sums[0].value()
    }

    /// Sum of the shortfalls, positive.
    pub(crate) fn below(&self) -> f64 {
        self.sums[1].value()
    }
}

impl<S> LowerPartial<S> {
    /// Whether any row falls short of the rate.
    pub(crate) fn falls_short(&self) -> bool {
        self.falls_short
    }
}

impl<S: Sides> State for LowerPartial<S> {
    type Row = f64;

    fn new(constants: &Constants) -> Self {
        let (tally, sums) = Default::default();
        Self { tally, target: constants.period_rate(), sums, falls_short: false, sides: PhantomData }
    }

    fn begins_like(&self, other: &Self) -> bool {
        self.target == other.target
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.tally.admits(x) {
            return;
        }
        let e = x - self.target;
        let [first, second] = S::of(e);
        self.sums[0].add(first);
        self.sums[1].add(second);
        self.falls_short |= e < 0.0;
    }

    fn push_all(&mut self, rows: &[f64]) {
        if !self.tally.admits_all(rows) {
            rows.iter().for_each(|&x| self.push(x));
            return;
        }
        let target = self.target;
        let sums = Compensated::sums(rows, |x| S::of(x - target));
        self.sums.iter_mut().zip(sums).for_each(|(sum, part)| sum.merge(part));
        self.falls_short |= rows.iter().fold(false, |any, x| any | (x - target < 0.0));
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.sums.iter_mut().zip(later.sums).for_each(|(sum, other)| sum.merge(other));
        self.falls_short |= later.falls_short;
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl<S: Sides> Partial for LowerPartial<S> {
    const WIDTH: usize = Tally::WIDTH + 2 * Compensated::WIDTH + 1;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.sums.iter().for_each(|sum| sum.write(out));
        out.push(f64::from(u8::from(self.falls_short)));
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.sums = [Compensated::read(&partial[2..]), Compensated::read(&partial[4..])];
        self.falls_short = partial[6] != 0.0;
    }
}
