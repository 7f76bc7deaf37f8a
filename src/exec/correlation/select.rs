//! Which pairs are kept.

use std::cmp::Ordering as Order;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use parking_lot::Mutex;

/// A pair of series and its measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    /// Number of the first series.
    pub(super) a: u32,
    /// Number of the second.
    pub(super) b: u32,
    /// Periods in which both have a value.
    pub(super) n: u32,
    /// The measure; `None` where it is undefined.
    pub(super) value: Option<f64>,
}

/// Values that are kept: all between `least` and `most` of at least `magnitude`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub(super) least: f64,
    pub(super) most: f64,
    pub(super) magnitude: f64,
    /// Whether undefined and NaN measures are kept too.
    pub(super) undefined: bool,
}

impl Bounds {
    /// Every pair.
    pub(super) const ALL: Self = Self { least: f64::NEG_INFINITY, most: f64::INFINITY, magnitude: 0.0, undefined: true };

    /// Every pair whose measure is defined.
    pub(super) const DEFINED: Self = Self { undefined: false, ..Self::ALL };

    /// Whether a value is kept.
    #[inline]
    pub(super) fn keep(&self, value: f64) -> bool {
        (value >= self.least && value <= self.most && value.abs() >= self.magnitude) || (self.undefined && value.is_nan())
    }

    /// Whether a measure is kept.
    pub(super) fn keep_measure(&self, value: Option<f64>) -> bool {
        value.map_or(self.undefined, |value| self.keep(value))
    }

    /// What both keep.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            least: self.least.max(other.least),
            most: self.most.min(other.most),
            magnitude: self.magnitude.max(other.magnitude),
            undefined: self.undefined && other.undefined,
        }
    }

    /// Wider by the error of a product, for values that are refined before they are compared.
    pub(super) fn widened(self) -> Self {
        Self { least: self.least - SLACK, most: self.most + SLACK, magnitude: self.magnitude - SLACK, ..self }
    }
}

/// More than a product of unit vectors may be off.
const SLACK: f64 = 1e-9;

/// What makes a pair strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Rank {
    /// A large magnitude.
    Magnitude,
    /// A high value.
    Highest,
    /// A low value.
    Lowest,
}

impl Rank {
    /// The larger, the stronger. NaN is above every number, as SQL sorts it.
    #[inline]
    fn key(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => {
                if self == Self::Lowest {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                }
            }
            Self::Magnitude => value.abs(),
            Self::Highest => value,
            Self::Lowest => -value,
        }
    }

    /// Bounds that values of at least this key keep.
    fn bounds(self, key: f64) -> Bounds {
        match self {
            Self::Magnitude => Bounds { magnitude: key.max(0.0), ..Bounds::ALL },
            Self::Highest => Bounds { least: key, ..Bounds::ALL },
            Self::Lowest => Bounds { most: -key, ..Bounds::ALL },
        }
    }
}

/// How many of the strongest pairs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Top {
    pub(super) count: usize,
    pub(super) rank: Rank,
    /// Whether pairs as strong as the last one are wanted too; otherwise the first by name are taken.
    pub(super) ties: bool,
    /// Whether undefined measures come before all others; otherwise they come last.
    pub(super) undefined_first: bool,
}

/// The strongest pairs so far. Which pairs remain does not depend on the order in which they come.
#[derive(Debug)]
pub(super) struct Strongest {
    top: Top,
    not_a_number: bool,
    /// Key that a pair needs, as bits.
    least: AtomicU64,
    kept: Mutex<Kept>,
}

/// The pairs that may still be among them.
#[derive(Debug)]
struct Kept {
    pairs: Vec<Pair>,
    undefined: Vec<Pair>,
    /// How many pairs there may be before the weaker ones are dropped.
    most: usize,
    memory: MemoryReservation,
}

impl Kept {
    /// Accounts for as many pairs as there may be.
    fn reserve(&mut self, most: usize, undefined: usize) -> Result<()> {
        self.memory.try_resize((most + undefined).saturating_mul(size_of::<Pair>())).map_err(|refused| {
            refused.context(format!(
                "the strongest pairs are {most} at once, because as many have the same measure or are wanted, and the memory limit refuses them\nhint: raise --memory-limit, ask for fewer, or leave out what is equal with WHERE"
            ))
        })?;
        self.most = most;
        Ok(())
    }
}

impl Strongest {
    /// Bytes that the strongest pairs take, but for ties.
    pub(super) fn bytes(top: Top) -> usize {
        most_kept(top.count).saturating_mul(2 * size_of::<Pair>())
    }

    /// None yet. With `not_a_number` measures may be NaN, which comes before every number. `memory` is for the pairs.
    ///
    /// # Errors
    /// Memory that is refused.
    pub(super) fn try_new(top: Top, not_a_number: bool, memory: MemoryReservation) -> Result<Self> {
        let least = AtomicU64::new(f64::NEG_INFINITY.to_bits());
        let mut kept = Kept { pairs: vec![], undefined: vec![], most: 0, memory };
        kept.reserve(most_kept(top.count), most_kept(top.count))?;
        Ok(Self { top, not_a_number, least, kept: Mutex::new(kept) })
    }

    /// Bounds that a pair must keep to be among them.
    pub(super) fn bounds(&self) -> Bounds {
        let least = f64::from_bits(self.least.load(Ordering::Relaxed));
        // Undefined measures come last: until there are enough others, they may be wanted.
        let undefined = self.top.undefined_first || self.not_a_number || least == f64::NEG_INFINITY;
        Bounds { undefined, ..self.top.rank.bounds(least) }
    }

    /// Adds pairs.
    ///
    /// # Errors
    /// So many are equally strong that memory for them is refused.
    pub(super) fn add(&self, pairs: &[Pair]) -> Result<()> {
        let kept = &mut *self.kept.lock();
        for pair in pairs {
            match pair.value {
                Some(value) if self.top.rank.key(value) >= f64::from_bits(self.least.load(Ordering::Relaxed)) => kept.pairs.push(*pair),
                Some(_) => {}
                None => kept.undefined.push(*pair),
            }
            if kept.pairs.len() >= kept.most {
                self.prune(&mut kept.pairs);
                // Ties of the last one stay.
                kept.reserve(most_kept(self.top.count).max(2 * kept.pairs.len()), most_kept(self.top.count))?;
            }
            if kept.undefined.len() >= most_kept(self.top.count) {
                kept.undefined.sort_unstable_by_key(|pair| (pair.a, pair.b));
                kept.undefined.truncate(self.top.count);
            }
        }
        Ok(())
    }

    fn key(&self, pair: &Pair) -> f64 {
        pair.value.map_or(f64::NEG_INFINITY, |value| self.top.rank.key(value))
    }

    fn order(&self, a: &Pair, b: &Pair) -> Order {
        self.key(b).total_cmp(&self.key(a)).then_with(|| (a.a, a.b).cmp(&(b.a, b.b)))
    }

    fn prune(&self, pairs: &mut Vec<Pair>) {
        let Some(last) = self.top.count.checked_sub(1) else { return pairs.clear() };
        if last >= pairs.len() {
            return;
        }
        let (_, weakest, _) = pairs.select_nth_unstable_by(last, |a, b| self.order(a, b));
        let least = self.key(weakest);
        self.least.store(least.to_bits(), Ordering::Relaxed);
        match self.top.ties {
            true => pairs.retain(|pair| self.key(pair) >= least),
            false => pairs.truncate(self.top.count),
        }
    }

    /// The strongest pairs, strongest first; undefined ones before them, or behind them where they are too few.
    pub(super) fn finish(&self) -> Vec<Pair> {
        let mut kept = self.kept.lock();
        let (mut pairs, mut undefined) = (std::mem::take(&mut kept.pairs), std::mem::take(&mut kept.undefined));
        self.prune(&mut pairs);
        pairs.sort_unstable_by(|a, b| self.order(a, b));
        undefined.sort_unstable_by_key(|pair| (pair.a, pair.b));
        if self.top.undefined_first {
            undefined.truncate(self.top.count);
            undefined.extend(pairs);
            return undefined;
        }
        undefined.truncate(self.top.count.saturating_sub(pairs.len()));
        pairs.extend(undefined);
        pairs
    }
}

/// Pairs that are gathered before the weaker ones are dropped.
fn most_kept(count: usize) -> usize {
    count.saturating_mul(2).saturating_add(4096)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};

    use super::*;

    fn pair(a: u32, b: u32, value: f64) -> Pair {
        Pair { a, b, n: 9, value: Some(value) }
    }

    fn values(pairs: &[Pair]) -> Vec<f64> {
        pairs.iter().filter_map(|pair| pair.value).collect()
    }

    fn strongest(top: Top, pairs: &[Pair]) -> Vec<Pair> {
        let strongest = within(usize::MAX, top).expect("memory");
        pairs.chunks(3).for_each(|some| strongest.add(some).expect("memory"));
        strongest.finish()
    }

    fn within(bytes: usize, top: Top) -> Result<Strongest> {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        Strongest::try_new(top, true, MemoryConsumer::new("test").register(&pool))
    }

    const THREE: Top = Top { count: 3, rank: Rank::Magnitude, ties: false, undefined_first: false };

    #[test]
    fn the_strongest_come_first() {
        let pairs = [pair(0, 1, 0.5), pair(0, 2, -0.9), pair(1, 2, 0.7), pair(1, 3, -0.1), pair(2, 3, 0.8)];
        assert_eq!(values(&strongest(THREE, &pairs)), [-0.9, 0.8, 0.7]);
        assert_eq!(values(&strongest(Top { rank: Rank::Highest, ..THREE }, &pairs)), [0.8, 0.7, 0.5]);
        assert_eq!(values(&strongest(Top { rank: Rank::Lowest, ..THREE }, &pairs)), [-0.9, -0.1, 0.5]);
        assert_eq!(strongest(Top { count: 0, ..THREE }, &pairs), []);
    }

    #[test]
    fn of_ties_the_first_by_name_are_taken_or_all() {
        let pairs: Vec<Pair> = (0..20_000).rev().map(|b| pair(0, b, if b == 7 { 1.0 } else { 0.5 })).collect();
        assert_eq!(strongest(THREE, &pairs), [pair(0, 7, 1.0), pair(0, 0, 0.5), pair(0, 1, 0.5)]);
        assert_eq!(strongest(Top { ties: true, ..THREE }, &pairs).len(), 20_000);
    }

    #[test]
    fn undefined_measures_come_first_or_last() {
        let pairs = [pair(0, 1, 0.5), Pair { value: None, ..pair(0, 2, 0.0) }, pair(0, 3, f64::NAN)];
        assert_eq!(strongest(THREE, &pairs)[2].value, None);
        assert_eq!(values(&strongest(Top { count: 2, ..THREE }, &pairs)).len(), 2);
        assert_eq!(strongest(Top { undefined_first: true, ..THREE }, &pairs)[0].value, None);
    }

    #[test]
    fn nan_is_among_the_strongest_however_late_it_comes() {
        let strongest = within(usize::MAX, Top { rank: Rank::Highest, ..THREE }).expect("memory");
        strongest.add(&(0..20_000).map(|b| pair(0, b, 0.5)).collect::<Vec<_>>()).expect("memory");
        assert!(strongest.bounds().keep(f64::NAN));
        strongest.add(&[pair(1, 2, f64::NAN)]).expect("memory");
        assert!(strongest.finish()[0].value.is_some_and(f64::is_nan));
    }

    #[test]
    fn ties_beyond_the_memory_are_an_error() {
        let equal: Vec<Pair> = (0..50_000).map(|b| pair(0, b, 0.5)).collect();
        let bytes = 20_000 * size_of::<Pair>();
        assert!(within(bytes, THREE).expect("memory").add(&equal).is_ok());
        let failed = within(bytes, Top { ties: true, ..THREE }).expect("memory").add(&equal).expect_err("more than there is");
        assert!(failed.to_string().contains("raise --memory-limit"), "{failed}");
        assert!(within(1000, THREE).is_err());
    }

    #[test]
    fn bounds_keep_what_both_keep() {
        let both = Bounds { least: -0.5, ..Bounds::ALL }.and(Bounds { magnitude: 0.3, undefined: false, ..Bounds::ALL });
        assert_eq!([-0.6, -0.4, -0.2, 0.2, 0.3, f64::NAN].map(|value| both.keep(value)), [false, true, false, false, true, false]);
        assert!(Bounds::ALL.keep_measure(None) && !Bounds::DEFINED.keep_measure(None));
    }
}
