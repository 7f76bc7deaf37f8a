//! Byte ranges cut into aligned blocks of one size; the last block of an object is shorter.

use std::ops::Range;

/// Which block of which version of which object. The object's number is given out by [`ObjectVersion`](crate::versions::ObjectVersion).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockKey {
    pub(crate) object: u64,
    pub(crate) block: u64,
}

/// The size of a block, and the arithmetic on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) bytes: u64,
}

impl Blocks {
    /// The blocks that a byte range touches; none for an empty range.
    pub(crate) fn of(self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        range.start / self.bytes..range.end.div_ceil(self.bytes)
    }

    /// The bytes of a run of blocks of an object of `size` bytes.
    pub(crate) fn bytes_of(self, blocks: &Range<u64>, size: u64) -> Range<u64> {
        blocks.start.saturating_mul(self.bytes).min(size)..blocks.end.saturating_mul(self.bytes).min(size)
    }

    /// Length of one block of an object of `size` bytes.
    pub(crate) fn len(self, block: u64, size: u64) -> u64 {
        let range = self.bytes_of(&(block..block + 1), size);
        range.end - range.start
    }

    /// The blocks that lie whole in `range` of an object of `size` bytes; the short last block counts as whole.
    pub(crate) fn whole_in(self, range: &Range<u64>, size: u64) -> Range<u64> {
        let first = range.start.div_ceil(self.bytes);
        let last = if range.end >= size { size.div_ceil(self.bytes) } else { range.end / self.bytes };
        first..last.max(first)
    }
}

/// Ascending block numbers as runs of neighbours, none longer than `most` blocks.
pub(crate) fn runs(blocks: impl IntoIterator<Item = u64>, most: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        match runs.last_mut() {
            Some(run) if run.end == block && run.end - run.start < most => run.end += 1,
            _ => runs.push(block..block + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_blocks_of_a_range_cover_it_and_no_block_more(start in 0u64..5000, len in 1u64..5000, bytes in 1u64..700) {
            let (blocks, size) = (Blocks { bytes }, start + len + 13);
            let range = start..start + len;
            let touched = blocks.of(&range);
            let covered = blocks.bytes_of(&touched, size);
            prop_assert!(covered.start <= range.start && covered.end >= range.end);
            prop_assert!(range.start - covered.start < bytes && covered.end - range.end < bytes);
            let total: u64 = touched.clone().map(|b| blocks.len(b, size)).sum();
            prop_assert_eq!(total, covered.end - covered.start);
            let whole = blocks.whole_in(&covered, size);
            prop_assert_eq!(whole, touched);
        }

        #[test]
        fn runs_keep_every_block_in_order(mut numbers in prop::collection::btree_set(0u64..60, 0..40), most in 1u64..9) {
            let found = runs(numbers.iter().copied(), most);
            prop_assert!(found.iter().all(|r| r.end - r.start <= most));
            for block in found.into_iter().flatten() {
                prop_assert_eq!(numbers.pop_first(), Some(block));
            }
            prop_assert!(numbers.is_empty());
        }
    }

    #[test]
    fn edges() {
        let blocks = Blocks { bytes: 10 };
        assert_eq!(blocks.of(&(5..5)), 0..0);
        assert_eq!(blocks.of(&(9..11)), 0..2);
        assert_eq!(blocks.len(2, 25), 5);
        assert_eq!(blocks.whole_in(&(5..25), 25), 1..3);
        assert_eq!(blocks.whole_in(&(5..24), 25), 1..2);
        assert_eq!(blocks.whole_in(&(1..9), 25), 1..1);
    }
}
