//! Sets of periods as bits, 64 to a word.

use std::ops::Range;

/// Some of the periods of a panel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The first `count` periods.
    pub(super) fn first(count: usize) -> Self {
        let mut words = vec![u64::MAX; count / 64];
        words.extend((!count.is_multiple_of(64)).then_some((1 << (count % 64)) - 1));
        Self(words)
    }

    /// Adds a period.
    pub(super) fn insert(&mut self, period: usize) {
        let word = period / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (period % 64);
    }

    pub(super) fn remove(&mut self, period: usize) {
        if let Some(word) = self.0.get_mut(period / 64) {
            *word &= !(1 << (period % 64));
        }
    }

    #[inline]
    pub(super) fn contains(&self, period: usize) -> bool {
        self.0.get(period / 64).is_some_and(|word| word >> (period % 64) & 1 == 1)
    }

    pub(super) fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many periods both have.
    #[inline]
    pub(super) fn count_common(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).map(|(a, b)| (a & b).count_ones() as usize).sum()
    }

    /// The periods `range`, counted from its start.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let mut slice = Self::default();
        for period in range.clone().filter(|&period| self.contains(period)) {
            slice.insert(period - range.start);
        }
        slice
    }

    /// Bit `t` of the result is bit `order[t]` of this.
    pub(super) fn reordered(&self, order: &[u32]) -> Self {
        let mut reordered = Self::default();
        for (period, &from) in order.iter().enumerate() {
            if self.contains(from as usize) {
                reordered.insert(period);
            }
        }
        reordered
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_periods_are_set() {
        for count in [0, 1, 63, 64, 65, 130] {
            let bits = Bits::first(count);
            assert_eq!(bits.count(), count);
            assert!((0..count).all(|period| bits.contains(period)) && !bits.contains(count));
        }
    }

    #[test]
    fn slices_count_from_their_start() {
        let mut bits = Bits::first(100);
        bits.remove(70);
        let slice = bits.slice(68..72);
        assert_eq!((0..4).map(|period| slice.contains(period)).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(slice.count_common(&Bits::first(2)), 2);
    }

    #[test]
    fn periods_are_put_in_order() {
        let mut bits = Bits::default();
        bits.insert(2);
        assert_eq!(bits.reordered(&[2, 0, 1]), Bits::first(1));
    }
}
