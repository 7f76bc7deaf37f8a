//! Winning and losing rows.

use super::{Compensated, Partial, State, Tally, count};
use crate::constants::Constants;

/// Counts and sums of winning and losing rows; zeros are neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct WinLoss {
    tally: Tally,
    wins: u64,
    losses: u64,
    won: Compensated,
    lost: Compensated,
}

impl WinLoss {
    /// All counted rows, zeros included.
    pub(crate) fn rows(&self) -> f64 {
        self.tally.n()
    }

    /// Rows above zero.
    pub(crate) fn wins(&self) -> f64 {
        self.wins as f64
    }

    /// Rows below zero.
    pub(crate) fn losses(&self) -> f64 {
        self.losses as f64
    }

    /// Sum of the rows above zero.
    pub(crate) fn won(&self) -> f64 {
        self.won.value()
    }

    /// Sum of the rows below zero (≤ 0).
    pub(crate) fn lost(&self) -> f64 {
        self.lost.value()
    }

    /// Mean of the rows above zero; `None` without any.
    pub(crate) fn average_win(&self) -> Option<f64> {
        (self.wins > 0).then(|| self.won() / self.wins())
    }

    /// Mean of the rows below zero (< 0); `None` without any.
    pub(crate) fn average_loss(&self) -> Option<f64> {
        (self.losses > 0).then(|| self.lost() / self.losses())
    }
}

impl State for WinLoss {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        if !self.tally.admits(x) {
            return;
        }
        if x > 0.0 {
            self.wins += 1;
            self.won.add(x);
        } else if x < 0.0 {
            self.losses += 1;
            self.lost.add(x);
        }
    }

    fn push_all(&mut self, rows: &[f64]) {
        if !self.tally.admits_all(rows) {
            rows.iter().for_each(|&x| self.push(x));
            return;
        }
        let [won, lost] = Compensated::sums(rows, |x| [x.max(0.0), x.min(0.0)]);
        self.won.merge(won);
        self.lost.merge(lost);
        self.wins += rows.iter().map(|&x| u64::from(x > 0.0)).sum::<u64>();
        self.losses += rows.iter().map(|&x| u64::from(x < 0.0)).sum::<u64>();
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.wins += later.wins;
        self.losses += later.losses;
        self.won.merge(later.won);
        self.lost.merge(later.lost);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for WinLoss {
    const WIDTH: usize = Tally::WIDTH + 2 + 2 * Compensated::WIDTH;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        out.extend([self.wins(), self.losses()]);
        self.won.write(out);
        self.lost.write(out);
    }

    fn read(&mut self, partial: &[f64]) {
        *self = Self {
            tally: Tally::read(partial),
            wins: count(partial[2]),
            losses: count(partial[3]),
            won: Compensated::read(&partial[4..]),
            lost: Compensated::read(&partial[6..]),
        };
    }
}
