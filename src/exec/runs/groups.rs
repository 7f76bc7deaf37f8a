//! Numbers for the groups of a unit: those of its strategies, those of its keys, or those of both.

use datafusion::common::HashMap;

/// No row of this group has come yet.
const ABSENT: u32 = u32::MAX;

/// Numbers a group when its first row comes.
#[derive(Debug)]
pub(super) struct Groups {
    /// Number of strategies that have groups of their own; 1 where groups span strategies.
    strategies: usize,
    /// Group of key `k` of strategy `s` at `k * strategies + s`, for the keys that whole files have in common.
    numbers: Vec<u32>,
    /// Groups of other keys, of which a strategy has few.
    others: HashMap<(u32, u32), u32>,
    /// Strategy and key of each group.
    members: Vec<(u32, u32)>,
}

impl Groups {
    /// For `keys` keys that whole files have in common, and any others.
    pub(super) fn new(strategies: usize, keys: usize) -> Self {
        Self { strategies, numbers: vec![ABSENT; strategies * keys], others: HashMap::default(), members: vec![] }
    }

    /// Bytes that [`Self::new`] takes.
    pub(super) fn bytes_for(strategies: usize, keys: usize) -> usize {
        strategies * keys * size_of::<u32>()
    }

    /// The group of a strategy and a key.
    #[inline]
    pub(super) fn number(&mut self, strategy: usize, key: u32) -> usize {
        let member = (strategy as u32, key);
        let next = self.members.len() as u32;
        let number = match self.numbers.get_mut(key as usize * self.strategies + strategy) {
            Some(number) => number,
            None => self.others.entry(member).or_insert(ABSENT),
        };
        if *number == ABSENT {
            *number = next;
            self.members.push(member);
        }
        *number as usize
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
        let other = size_of::<((u32, u32), u32)>() + 1;
        self.numbers.capacity() * size_of::<u32>() + self.others.capacity() * other + self.members.capacity() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_as_they_come() {
        let mut groups = Groups::new(2, 2);
        let numbers: Vec<usize> = [(1, 0), (0, 1), (1, 0), (1, 7), (0, 7), (1, 7), (0, 0)].map(|(s, k)| groups.number(s, k)).to_vec();
        assert_eq!(numbers, [0, 1, 0, 2, 3, 2, 4]);
        assert_eq!(groups.members(), [(1, 0), (0, 1), (1, 7), (0, 7), (0, 0)]);
    }
}
