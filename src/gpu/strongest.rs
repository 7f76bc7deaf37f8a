//! The strongest pairs seen so far, in bounded memory, and the bound that later ones must reach.

use std::cmp::Ordering;

use super::kernels::BINS;
use super::tiles::{Pair, Rank};

/// Pairs beyond the `count` strongest that are let in before the weakest are thrown out.
const SLACK: usize = 1 << 16;

/// The `count` strongest pairs: by rank, ties by the smaller row, then the smaller column.
///
/// The order is total, so that the result does not depend on the order in which pairs come. Holds at most
/// 1.5 `count` + 65,536 pairs and the last that were given.
#[derive(Debug)]
pub(super) struct Strongest {
    count: usize,
    by: Rank,
    best: Vec<Pair>,
    floor: f64,
}

impl Strongest {
    pub(super) fn new(count: usize, by: Rank) -> Self {
        Self { count, by, best: vec![], floor: if count == 0 { f64::INFINITY } else { f64::NEG_INFINITY } }
    }

    /// What the rank of a pair must reach to be among the strongest. A pair at the floor may win by its place.
    pub(super) fn floor(&self) -> f64 {
        self.floor
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn order(&self) -> impl Fn(&Pair, &Pair) -> Ordering + use<> {
        let by = self.by;
        move |a, b| {
            let strength = by.of(b.value).partial_cmp(&by.of(a.value)).unwrap_or(Ordering::Equal);
            strength.then(a.row.cmp(&b.row)).then(a.column.cmp(&b.column))
        }
    }

    pub(super) fn add(&mut self, pairs: Vec<Pair>) {
        let (by, floor) = (self.by, self.floor);
        self.best.extend(pairs.into_iter().filter(|pair| by.of(pair.value) >= floor));
        let first_floor = self.floor == f64::NEG_INFINITY && self.best.len() >= self.count;
        if first_floor || self.best.len() > self.count.saturating_add((self.count / 2).max(SLACK)) {
            self.prune();
        }
    }

    /// Throws out all but the strongest and raises the floor.
    fn prune(&mut self) {
        if self.count == 0 || self.best.len() < self.count {
            self.best.truncate(self.count);
            return;
        }
        let order = self.order();
        let (_, weakest, _) = self.best.select_nth_unstable_by(self.count - 1, order);
        self.floor = self.by.of(weakest.value);
        self.best.truncate(self.count);
    }

    /// The strongest, strongest first.
    pub(super) fn finish(mut self) -> Vec<Pair> {
        self.prune();
        let order = self.order();
        self.best.sort_unstable_by(order);
        self.best
    }
}

/// The ranks that a histogram covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bins {
    pub(super) low: f64,
    /// Bins per unit of rank.
    pub(super) scale: f64,
}

/// Ranks are told apart down to this; below it they tie.
const FINEST: f64 = 1e-15;

impl Bins {
    /// From `low` to `high`.
    pub(super) fn between(low: f64, high: f64) -> Self {
        Self { low, scale: BINS as f64 / (high - low).max(FINEST) }
    }

    /// The bin of a rank: the first one below `low`, the last one above all.
    pub(super) fn of(&self, rank: f64) -> usize {
        let place = (rank - self.low) * self.scale;
        if place >= (BINS - 1) as f64 {
            BINS - 1
        } else if place > 0.0 {
            place as usize
        } else {
            0
        }
    }

    fn start(&self, bin: usize) -> f64 {
        self.low + bin as f64 / self.scale
    }

    /// A floor that at least `count` of the ranks counted in `counts` reach, and how many reach it, and the finer
    /// bins around it; `None` where there are fewer.
    pub(super) fn floor(&self, counts: &[u32], count: usize) -> Option<Floor> {
        let mut reached = 0_u64;
        for bin in (0..counts.len()).rev() {
            reached += u64::from(counts[bin]);
            if reached >= count as u64 {
                // The place of a rank is rounded: one just below the start of the bin may have been counted in it.
                let value = self.start(bin) - FINEST;
                let top = if bin + 1 == counts.len() { 1.0 } else { self.start(bin + 1) + FINEST };
                return Some(Floor { value, reached, finer: Self::between(value, top), last: top - value <= 4.0 * FINEST });
            }
        }
        None
    }
}

/// A bound found in a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    pub(super) value: f64,
    /// Ranks at or above it.
    pub(super) reached: u64,
    /// Bins over the one that holds the rank searched for.
    pub(super) finer: Bins,
    /// Whether finer bins would tell nothing more.
    pub(super) last: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(row: u32, column: u32, value: f64) -> Pair {
        Pair { row, column, value }
    }

    /// The first `count` after sorting all of them.
    fn sorted(pairs: &[Pair], count: usize, by: Rank) -> Vec<Pair> {
        let mut all = pairs.to_vec();
        all.sort_by(|a, b| by.of(b.value).total_cmp(&by.of(a.value)).then((a.row, a.column).cmp(&(b.row, b.column))));
        all.truncate(count);
        all
    }

    #[test]
    fn ties_go_to_the_smaller_row_then_the_smaller_column() {
        let mut strongest = Strongest::new(2, Rank::Magnitude);
        strongest.add(vec![pair(3, 4, 0.5), pair(1, 9, -0.5)]);
        assert_eq!(strongest.floor(), 0.5);
        strongest.add(vec![pair(1, 2, 0.5), pair(0, 1, 0.4)]);
        assert_eq!(strongest.finish(), [pair(1, 2, 0.5), pair(1, 9, -0.5)]);
    }

    #[test]
    fn a_count_beyond_all_pairs_keeps_them_all() {
        let mut strongest = Strongest::new(usize::MAX, Rank::Lowest);
        strongest.add(vec![pair(0, 1, 0.5), pair(0, 2, -0.5)]);
        assert_eq!(strongest.finish(), [pair(0, 2, -0.5), pair(0, 1, 0.5)]);
    }

    #[test]
    fn none_are_kept_of_a_count_of_zero() {
        let mut strongest = Strongest::new(0, Rank::Highest);
        strongest.add(vec![pair(0, 1, 1.0)]);
        assert_eq!(strongest.finish(), []);
    }

    #[test]
    fn memory_stays_bounded() {
        let mut strongest = Strongest::new(10, Rank::Highest);
        for round in 0..50 {
            strongest.add((0..5_000).map(|i| pair(round, i, f64::from(i + round) / 1e4)).collect());
            assert!(strongest.best.len() <= 10 + SLACK + 5_000);
        }
        assert_eq!(strongest.finish().len(), 10);
    }

    #[test]
    fn a_histogram_gives_a_floor_that_enough_ranks_reach() {
        let ranks: Vec<f64> = (0..100_000_u32).map(|i| (f64::from(i) * 0.618_033_988_749_895).fract() * 0.3).collect();
        for count in [1, 10, 1_000, 99_999, 100_000] {
            let mut bins = Bins::between(0.0, 1.0);
            for _ in 0..3 {
                let mut counts = vec![0; BINS];
                ranks.iter().filter(|&&rank| rank >= bins.low).for_each(|&rank| counts[bins.of(rank)] += 1);
                let floor = bins.floor(&counts, count).unwrap();
                let reached = ranks.iter().filter(|&&rank| rank >= floor.value).count();
                assert!(reached >= count, "{reached} of {count} reach {floor:?}");
                assert!(reached as u64 >= floor.reached);
                bins = floor.finer;
            }
            let mut counts = vec![0; BINS];
            ranks.iter().filter(|&&rank| rank >= bins.low).for_each(|&rank| counts[bins.of(rank)] += 1);
            assert_eq!(bins.floor(&counts, count).unwrap().reached, count as u64, "three refinements tell these ranks apart");
        }
        assert!(Bins::between(0.0, 1.0).floor(&vec![0; BINS], 1).is_none());
    }

    #[test]
    fn equal_ranks_end_the_search() {
        let mut bins = Bins::between(0.0, 1.0);
        for round in 0.. {
            let mut counts = vec![0; BINS];
            counts[bins.of(0.7)] = 500;
            let floor = bins.floor(&counts, 3).unwrap();
            assert!(floor.value <= 0.7 && floor.reached == 500);
            if floor.last {
                break;
            }
            assert!(round < 6, "the bins do not become finer: {floor:?}");
            bins = floor.finer;
        }
    }

    proptest! {
        #[test]
        fn the_strongest_are_those_of_a_sort(
            values in prop::collection::vec(-8_i32..9, 0..200), count in 0_usize..30, chunk in 1_usize..50, rank in 0_u8..3
        ) {
            let by = [Rank::Magnitude, Rank::Highest, Rank::Lowest][usize::from(rank)];
            let numbered = values.iter().zip(0_u32..);
            let pairs: Vec<Pair> = numbered.map(|(&value, i)| pair(i % 7, 1_000 - i, f64::from(value) / 8.0 + 0.01)).collect();
            let mut strongest = Strongest::new(count, by);
            for chunk in pairs.chunks(chunk) {
                let floor = strongest.floor();
                strongest.add(chunk.iter().copied().filter(|pair| by.of(pair.value) >= floor).collect());
            }
            prop_assert_eq!(strongest.finish(), sorted(&pairs, count, by));
        }
    }
}
