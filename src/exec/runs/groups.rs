//! Numbers for the groups of a unit: those of its strategies, those of its keys, or those of both.

use super::keys::Keys;

/// No row of this group has come yet.
const ABSENT: u32 = u32::MAX;

/// Numbers a group when its first row comes.
#[derive(Debug)]
pub(super) struct Groups {
    /// Number of strategies that have groups of their own; 1 where groups span strategies.
    strategies: usize,
    /// Group of key `k` of strategy `s` at `k * strategies + s`.
    numbers: Vec<u32>,
    /// Strategy and key of each group.
    members: Vec<(u32, u32)>,
}

impl Groups {
    pub(super) fn new(strategies: usize) -> Self {
        Self { strategies, numbers: vec![], members: vec![] }
    }

    /// Makes room for all keys that are known.
    pub(super) fn widen(&mut self, keys: &Keys) {
        let needed = keys.count() * self.strategies;
        if needed > self.numbers.len() {
            self.numbers.resize(needed, ABSENT);
        }
    }

    /// The group of a strategy and a key.
    #[inline]
    pub(super) fn number(&mut self, strategy: usize, key: u32) -> usize {
        let place = key as usize * self.strategies + strategy;
        if self.numbers[place] == ABSENT {
            self.numbers[place] = self.members.len() as u32;
            self.members.push((strategy as u32, key));
        }
        self.numbers[place] as usize
    }

    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    /// Strategy and key of each group, in the order of their numbers.
    pub(super) fn members(&self) -> &[(u32, u32)] {
        &self.members
    }

    /// Bytes held.
    pub(super) fn size_bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>() + self.members.capacity() * size_of::<(u32, u32)>()
    }
}
