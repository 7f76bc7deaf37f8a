//! Winning and losing streaks.

use super::{State, Tally};
use crate::constants::Constants;

/// Leading, trailing and longest run of rows of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    leading: u64,
    trailing: u64,
    longest: u64,
}

impl Run {
    #[inline]
    fn push(&mut self, hit: bool, rows_before: u64) {
        self.trailing = if hit { self.trailing + 1 } else { 0 };
        self.longest = self.longest.max(self.trailing);
        if hit && self.leading == rows_before {
            self.leading += 1;
        }
    }

    fn merge(&mut self, rows: u64, later: Self, later_rows: u64) {
        self.longest = self.longest.max(later.longest).max(self.trailing + later.leading);
        if self.leading == rows {
            self.leading += later.leading;
        }
        self.trailing = if later.trailing == later_rows { self.trailing + later.trailing } else { later.trailing };
    }
}

/// Streaks of rows above zero and of rows below zero; a zero ends both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    tally: Tally,
    wins: Run,
    losses: Run,
}

impl Runs {
    /// Longest run of rows above zero.
    pub(crate) fn longest_win(&self) -> u64 {
        self.wins.longest
    }

    /// Longest run of rows below zero.
    pub(crate) fn longest_loss(&self) -> u64 {
        self.losses.longest
    }
}

impl State for Runs {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self::default()
    }

    #[inline]
    fn push(&mut self, x: f64) {
        let before = self.tally.rows;
        self.tally.admits(x);
        self.wins.push(x > 0.0, before);
        self.losses.push(x < 0.0, before);
    }

    fn merge(&mut self, later: &Self) {
        let (rows, later_rows) = (self.tally.rows, later.tally.rows);
        self.wins.merge(rows, later.wins, later_rows);
        self.losses.merge(rows, later.losses, later_rows);
        self.tally.merge(later.tally);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
