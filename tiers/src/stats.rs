//! Counters of the tiers, for all reads and for one query, and the rows that show them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use object_store::path::Path;

use crate::tier::{TIERS, Tier};

/// What is counted, for each tier. Blocks are the unit of hits, misses and waits.
///
/// At the first tier that is on, hits, misses and waits add up to the blocks asked for; the next tier is asked for what that one
/// missed. Blocks that are read ahead are asked for by nobody: they show in the origin's figures only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Blocks that this tier served. For the origin: blocks that it sent.
    Hits,
    /// Blocks that this tier was asked for and did not have.
    Misses,
    /// Blocks that a reader got from a load that another reader had started; counted at the first tier that is on.
    Waits,
    /// Requests sent; origin only. A listing counts once however many pages it has, a deletion once for each object.
    Requests,
    /// Bytes served from memory, read from the disk, or received from the origin.
    BytesRead,
    /// Entries that went to make room.
    Evictions,
    /// Entries that were damaged, dropped and loaded again.
    Corrupt,
    /// Reads served with a version that the origin could not be asked about.
    StaleServed,
    /// Loads that failed.
    LoadErrors,
    /// Entries that could not be written.
    WriteErrors,
}

const FIGURES: usize = 10;

/// Counters of all tiers, for one query or for all.
///
/// Give one to [`TieredStore::scoped`](crate::TieredStore::scoped) to count what one query does. Counting is relaxed and costs a few
/// nanoseconds. A load that several queries share is counted for the query that started it, and as a wait for the others.
#[derive(Debug, Default)]
pub struct ReadFigures {
    counts: [[AtomicU64; FIGURES]; TIERS.len()],
}

impl ReadFigures {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// One figure of one tier.
    pub fn get(&self, tier: Tier, figure: Figure) -> u64 {
        self.counts[tier as usize][figure as usize].load(Ordering::Relaxed)
    }

    /// Sets all to zero.
    pub fn reset(&self) {
        self.counts.iter().flatten().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    pub(crate) fn add(&self, tier: Tier, figure: Figure, n: u64) {
        self.counts[tier as usize][figure as usize].fetch_add(n, Ordering::Relaxed);
    }
}

/// Counts for all reads, and for one query where there is one.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    pub(crate) total: Arc<ReadFigures>,
    pub(crate) scope: Option<Arc<ReadFigures>>,
}

impl Counter {
    pub(crate) fn add(&self, tier: Tier, figure: Figure, n: u64) {
        if n == 0 {
            return;
        }
        self.total.add(tier, figure, n);
        if let Some(scope) = &self.scope {
            scope.add(tier, figure, n);
        }
    }
}

/// One tier's statistics, a row of [`Tiers::statistics`](crate::Tiers::statistics).
#[derive(Debug, Clone, PartialEq)]
pub struct TierRow {
    /// Name of the tier, from [`TIERS`].
    pub tier: &'static str,
    /// Whether it is in use.
    pub on: bool,
    /// Byte limit; none for the origin.
    pub limit_bytes: Option<u64>,
    /// Bytes held and reserved for loads or writes in flight; never above the limit. On disk, files count in steps of 4 KiB.
    pub used_bytes: u64,
    /// Bytes of pinned entries, part of `used_bytes`.
    pub pinned_bytes: u64,
    /// Entries held.
    pub entries: u64,
    /// See [`Figure::Hits`].
    pub hits: u64,
    /// See [`Figure::Misses`].
    pub misses: u64,
    /// `hits / (hits + misses)`; none where nothing was asked, and for the origin.
    pub hit_rate: Option<f64>,
    /// See [`Figure::BytesRead`].
    pub bytes_read: u64,
    /// See [`Figure::Requests`].
    pub requests: u64,
    /// See [`Figure::Evictions`].
    pub evictions: u64,
    /// See [`Figure::Corrupt`].
    pub corrupt: u64,
    /// See [`Figure::StaleServed`].
    pub stale_served: u64,
    /// See [`Figure::LoadErrors`].
    pub load_errors: u64,
    /// See [`Figure::Waits`].
    pub waits: u64,
    /// See [`Figure::WriteErrors`].
    pub write_errors: u64,
    /// Why a tier that is on stands aside, e.g. a full disk.
    pub problem: Option<String>,
}

/// What a cache tier holds just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Holdings {
    pub(crate) limit_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) pinned_bytes: u64,
    pub(crate) entries: u64,
}

impl TierRow {
    pub(crate) fn new(tier: Tier, on: bool, holdings: Option<Holdings>, figures: &ReadFigures, problem: Option<String>) -> Self {
        let get = |figure| figures.get(tier, figure);
        let (hits, misses) = (get(Figure::Hits), get(Figure::Misses));
        let asked = hits + misses;
        let held = holdings.unwrap_or_default();
        Self {
            tier: tier.name(),
            on,
            limit_bytes: holdings.map(|h| h.limit_bytes),
            used_bytes: held.used_bytes,
            pinned_bytes: held.pinned_bytes,
            entries: held.entries,
            hits,
            misses,
            hit_rate: (asked > 0 && tier.description().is_cache).then(|| hits as f64 / asked as f64),
            bytes_read: get(Figure::BytesRead),
            requests: get(Figure::Requests),
            evictions: get(Figure::Evictions),
            corrupt: get(Figure::Corrupt),
            stale_served: get(Figure::StaleServed),
            load_errors: get(Figure::LoadErrors),
            waits: get(Figure::Waits),
            write_errors: get(Figure::WriteErrors),
            problem,
        }
    }
}

/// What a cache tier holds of one version of one object, a row of [`Tiers::entries`](crate::Tiers::entries).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Name of the tier, from [`TIERS`].
    pub tier: &'static str,
    /// Label of the origin.
    pub origin: String,
    /// Path of the object.
    pub path: Path,
    /// ETag, else size and time of modification.
    pub version: String,
    /// Bytes held of it.
    pub bytes: u64,
    /// Blocks held of it.
    pub blocks: u64,
    /// Blocks served from here since they were loaded.
    pub hits: u64,
    /// When the first of its blocks came in.
    pub loaded_at: SystemTime,
    /// When one of its blocks was last served or came in.
    pub last_used_at: SystemTime,
    /// Whether it is pinned.
    pub pinned: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_counted_in_the_total_too() {
        let (total, scope) = (Arc::new(ReadFigures::new()), Arc::new(ReadFigures::new()));
        let counter = Counter { total: Arc::clone(&total), scope: Some(Arc::clone(&scope)) };
        counter.add(Tier::Disk, Figure::WriteErrors, 3);
        Counter { total: Arc::clone(&total), scope: None }.add(Tier::Disk, Figure::WriteErrors, 1);
        assert_eq!((total.get(Tier::Disk, Figure::WriteErrors), scope.get(Tier::Disk, Figure::WriteErrors)), (4, 3));
        total.reset();
        assert_eq!(total.get(Tier::Disk, Figure::WriteErrors), 0);
    }

    #[test]
    fn the_hit_rate_is_none_where_nothing_was_asked() {
        let figures = ReadFigures::new();
        let row = |tier| TierRow::new(tier, true, None, &figures, None);
        assert_eq!(row(Tier::Memory).hit_rate, None);
        figures.add(Tier::Memory, Figure::Hits, 3);
        figures.add(Tier::Memory, Figure::Misses, 1);
        figures.add(Tier::Origin, Figure::Hits, 1);
        assert_eq!(row(Tier::Memory).hit_rate, Some(0.75));
        assert_eq!(row(Tier::Origin).hit_rate, None);
    }
}
