//! Sums that keep their digits (cascaded summation: Knuth's two-sum, the lost parts added up apart).

use super::{Partial, State, Tally};
use crate::constants::Constants;

/// A compensated running sum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Compensated {
    sum: f64,
    lost: f64,
}

/// Sums that run side by side.
const LANES: usize = 4;

impl Compensated {
    pub(crate) const WIDTH: usize = 2;

    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        // Knuth's two-sum: what the addition has lost, without a branch that depends on the values.
        let sum = self.sum + x;
        let added = sum - self.sum;
        self.lost += (self.sum - (sum - added)) + (x - added);
        self.sum = sum;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.add(other.sum);
        self.lost += other.lost;
    }

    /// The sum. Once it has left the finite numbers, the correction means nothing and plain arithmetic decides.
    #[inline]
    pub(crate) fn value(self) -> f64 {
        if self.lost.is_finite() { self.sum + self.lost } else { self.sum }
    }

    /// A sum of one value.
    pub(crate) fn of(x: f64) -> Self {
        Self { sum: x, lost: 0.0 }
    }

    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.merge(other);
        self
    }

    /// The difference, with the digits that both sums have in common removed before rounding.
    #[inline]
    pub(crate) fn minus(self, other: Self) -> f64 {
        let lost = self.lost - other.lost;
        (self.sum - other.sum) + if lost.is_finite() { lost } else { 0.0 }
    }

    /// The larger sum.
    #[inline]
    pub(crate) fn max(self, other: Self) -> Self {
        self.or(other, other.minus(self) > 0.0)
    }

    /// The smaller sum.
    #[inline]
    pub(crate) fn min(self, other: Self) -> Self {
        self.or(other, other.minus(self) < 0.0)
    }

    /// [`Self::value`] where the sum has not overflowed.
    #[inline]
    pub(crate) fn finite_value(self) -> f64 {
        self.sum + self.lost
    }

    /// `other` where `chosen`, part by part: a choice of two numbers needs no branch.
    #[inline]
    pub(crate) fn or(self, other: Self, chosen: bool) -> Self {
        Self { sum: if chosen { other.sum } else { self.sum }, lost: if chosen { other.lost } else { self.lost } }
    }

    /// The sums of what `terms` makes of each row, on lanes that a processor adds up side by side.
    #[inline]
    pub(crate) fn sums<const K: usize>(rows: &[f64], terms: impl Fn(f64) -> [f64; K]) -> [Self; K] {
        let mut lanes = [[Self::default(); LANES]; K];
        let (chunks, rest) = rows.as_chunks::<LANES>();
        for chunk in chunks {
            let terms = chunk.map(&terms);
            for (k, lanes) in lanes.iter_mut().enumerate() {
                (0..LANES).for_each(|lane| lanes[lane].add(terms[lane][k]));
            }
        }
        for (lane, &row) in rest.iter().enumerate() {
            let terms = terms(row);
            (0..K).for_each(|k| lanes[k][lane].add(terms[k]));
        }
        lanes.map(|lanes| lanes.into_iter().reduce(Self::plus).unwrap_or_default())
    }

    pub(crate) fn write(self, out: &mut Vec<f64>) {
        out.extend([self.sum, self.lost]);
    }

    pub(crate) fn read(partial: &[f64]) -> Self {
        Self { sum: partial[0], lost: partial[1] }
    }
}

/// Sum of the values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Total {
    tally: Tally,
    sum: Compensated,
}

impl Total {
    pub(crate) fn sum(&self) -> f64 {
        self.sum.value()
    }
}

impl State for Total {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if self.tally.admits(x) {
            self.sum.add(x);
        }
    }

    fn push_all(&mut self, rows: &[f64]) {
        if self.tally.admits_all(rows) {
            let [sum] = Compensated::sums(rows, |x| [x]);
            self.sum.merge(sum);
        } else {
            rows.iter().for_each(|&x| self.push(x));
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.sum.merge(later.sum);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for Total {
    const WIDTH: usize = Tally::WIDTH + Compensated::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.sum.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.sum = Compensated::read(&partial[2..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(xs: &[f64]) -> f64 {
        let mut total = Compensated::default();
        xs.iter().for_each(|&x| total.add(x));
        total.value()
    }

    #[test]
    fn cancelled_large_values_leave_the_small_ones() {
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
    }

    #[test]
    fn infinity_follows_plain_arithmetic() {
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY, 2.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    }
}
