//! Smallest and largest value.

use super::{Partial, State, Tally};
use crate::constants::Constants;

/// Smallest and largest value; empty: `+inf`, `-inf`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Default for Range {
    fn default() -> Self {
        Self { min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Range {
    pub(crate) const WIDTH: usize = 2;

    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        self.min = self.min.min(x);
        self.max = self.max.max(x);
    }

    /// The range of rows, none of them NaN.
    #[inline]
    pub(crate) fn of(rows: &[f64]) -> Self {
        let mut lanes = [Self::default(); 4];
        let (chunks, rest) = rows.as_chunks::<4>();
        chunks.iter().for_each(|chunk| (0..4).for_each(|lane| lanes[lane].add_number(chunk[lane])));
        rest.iter().for_each(|&x| lanes[0].add_number(x));
        let mut whole = Self::default();
        lanes.into_iter().for_each(|lane| whole.merge(lane));
        whole
    }

    /// [`Self::add`] for what is not NaN, which a processor does in one instruction.
    #[inline]
    fn add_number(&mut self, x: f64) {
        self.min = if x < self.min { x } else { self.min };
        self.max = if x > self.max { x } else { self.max };
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Whether all values were the same.
    pub(crate) fn is_one_value(self) -> bool {
        self.min == self.max
    }

    pub(crate) fn write(self, out: &mut Vec<f64>) {
        out.extend([self.min, self.max]);
    }

    pub(crate) fn read(partial: &[f64]) -> Self {
        Self { min: partial[0], max: partial[1] }
    }
}

/// Smallest and largest value of a series.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extremes {
    tally: Tally,
    range: Range,
}

impl Extremes {
    pub(crate) fn min(&self) -> f64 {
        self.range.min
    }

    pub(crate) fn max(&self) -> f64 {
        self.range.max
    }
}

impl State for Extremes {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            self.range.add(x);
        }
    }

    fn push_all(&mut self, rows: &[f64]) {
        if self.tally.admits_all(rows) {
            self.range.merge(Range::of(rows));
        } else {
            rows.iter().for_each(|&x| self.push(x));
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.range.merge(later.range);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for Extremes {
    const WIDTH: usize = Tally::WIDTH + Range::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.range.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.range = Range::read(&partial[2..]);
    }
}
