//! Columns of files as they were decoded, kept for the next query: what is asked twice is decoded once.
//!
//! A column belongs to a file that never changes under its name, so a table's version pins what its queries see. The tier holds no more
//! than its limit, reserves every byte from the memory pool of the session, and gives way before a query fails for memory
//! ([`YieldingPool`]). Columns used least recently go first, but a query never drives out what itself or the query before it has used: one
//! that reads more than the tier holds keeps a part of it, and finds that part every time it is asked again.

mod pool;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use object_store::ObjectMeta;
use object_store::path::Path;
use parking_lot::Mutex;

pub use pool::YieldingPool;

/// Name of the tier among the consumers of a memory pool.
const CONSUMER: &str = "decoded tier";

/// Bytes that an entry takes beside its values.
const ENTRY_BYTES: usize = 256;

/// Which values of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DecodedKey {
    path: Path,
    size: u64,
    /// Microseconds since 1970-01-01.
    modified: i64,
    column: String,
    /// The table's type of the column.
    data_type: DataType,
    /// Rows of the file.
    rows: Range<usize>,
}

impl DecodedKey {
    /// Rows of a column of the table in one of its files. The place of a column in a table changes with its versions; its name and type
    /// say what is read.
    pub fn new(file: &ObjectMeta, column: &Field, rows: Range<usize>) -> Self {
        Self {
            path: file.location.clone(),
            size: file.size,
            modified: file.last_modified.timestamp_micros(),
            column: column.name().clone(),
            data_type: column.data_type().clone(),
            rows,
        }
    }
}

/// A column, decoded, as the batches in which it came.
pub type DecodedColumn = Arc<[ArrayRef]>;

/// Decoded columns under a limit of bytes.
#[derive(Default)]
pub struct DecodedTier {
    limit: AtomicUsize,
    kept: Mutex<Kept>,
    queries: AtomicU64,
    counters: Counters,
}

#[derive(Default)]
struct Kept {
    columns: HashMap<DecodedKey, Entry>,
    /// The key of every entry, least recently used first.
    by_use: BTreeMap<u64, DecodedKey>,
    bytes: usize,
    /// Uses so far.
    uses: u64,
    reservation: Option<MemoryReservation>,
}

struct Entry {
    column: DecodedColumn,
    bytes: usize,
    /// Its place in `by_use`.
    used: u64,
    /// The query that used it last.
    query: u64,
    hits: u64,
    loaded_at: SystemTime,
    last_used_at: SystemTime,
}

/// What a tier holds of one column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedEntry {
    /// Path of the file in its store.
    pub path: Path,
    /// Name of the column.
    pub column: String,
    /// Bytes held of it.
    pub bytes: usize,
    /// Times that a query found a part of it.
    pub hits: u64,
    /// When the first part came in.
    pub loaded_at: SystemTime,
    /// When a query last used a part.
    pub last_used_at: SystemTime,
}

#[derive(Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
    bytes_read: AtomicU64,
}

/// What a tier holds and has done since its figures were last reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodedFigures {
    /// Bytes that it may hold.
    pub limit_bytes: usize,
    /// Bytes that it holds.
    pub used_bytes: usize,
    /// Columns that it holds.
    pub entries: usize,
    /// Columns that a query found.
    pub hits: u64,
    /// Columns that a query had to decode.
    pub misses: u64,
    /// Bytes that queries found.
    pub bytes_read: u64,
    /// Columns that went for others, or for memory.
    pub evictions: u64,
}

/// One query's use of the tier.
#[derive(Debug, Clone)]
pub struct DecodedUse {
    tier: Arc<DecodedTier>,
    query: u64,
}

impl fmt::Debug for DecodedTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedTier").field("figures", &self.figures()).finish()
    }
}

impl DecodedTier {
    /// A tier that holds at most so many bytes, reserved from `pool`.
    pub fn reserve_from(&self, pool: &Arc<dyn MemoryPool>) {
        self.kept.lock().reservation = Some(MemoryConsumer::new(CONSUMER).register(pool));
    }

    /// Changes the limit of bytes, which holds at once.
    pub fn set_limit(&self, bytes: usize) {
        let mut kept = self.kept.lock();
        self.limit.store(bytes, Ordering::Relaxed);
        let excess = kept.bytes.saturating_sub(bytes);
        self.release(&mut kept, excess);
    }

    /// Begins a query.
    pub fn begin(self: &Arc<Self>) -> DecodedUse {
        DecodedUse { tier: Arc::clone(self), query: self.queries.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Lets go of at least so many bytes, as far as there are any; tells how many.
    pub fn give_way(&self, bytes: usize) -> usize {
        let mut kept = self.kept.lock();
        self.release(&mut kept, bytes)
    }

    /// Lets go of everything.
    pub fn clear(&self) {
        self.give_way(usize::MAX);
    }

    /// What it holds and has done.
    pub fn figures(&self) -> DecodedFigures {
        let (used_bytes, entries) = {
            let kept = self.kept.lock();
            (kept.bytes, kept.columns.len())
        };
        DecodedFigures {
            limit_bytes: self.limit.load(Ordering::Relaxed),
            used_bytes,
            entries,
            hits: self.counters.hits.load(Ordering::Relaxed),
            misses: self.counters.misses.load(Ordering::Relaxed),
            bytes_read: self.counters.bytes_read.load(Ordering::Relaxed),
            evictions: self.counters.evictions.load(Ordering::Relaxed),
        }
    }

    /// What it holds, by file and column.
    pub fn entries(&self) -> Vec<DecodedEntry> {
        let kept = self.kept.lock();
        let mut entries: BTreeMap<(&Path, &str), DecodedEntry> = BTreeMap::new();
        for (key, entry) in &kept.columns {
            let known = entries.entry((&key.path, &key.column)).or_insert_with(|| DecodedEntry {
                path: key.path.clone(),
                column: key.column.clone(),
                bytes: 0,
                hits: 0,
                loaded_at: entry.loaded_at,
                last_used_at: entry.last_used_at,
            });
            known.bytes += entry.bytes;
            known.hits += entry.hits;
            known.loaded_at = known.loaded_at.min(entry.loaded_at);
            known.last_used_at = known.last_used_at.max(entry.last_used_at);
        }
        entries.into_values().collect()
    }

    fn release(&self, kept: &mut Kept, bytes: usize) -> usize {
        let mut released = 0;
        while released < bytes
            && let Some((_, key)) = kept.by_use.pop_first()
        {
            released += kept.columns.remove(&key).map_or(0, |entry| entry.bytes);
            self.counters.evictions.fetch_add(1, Ordering::Relaxed);
        }
        kept.bytes -= released;
        if let Some(reservation) = &kept.reservation {
            reservation.shrink(released);
        }
        released
    }
}

impl DecodedUse {
    /// The column, where it is kept.
    pub fn get(&self, key: &DecodedKey) -> Option<DecodedColumn> {
        let counters = &self.tier.counters;
        let mut kept = self.tier.kept.lock();
        kept.uses += 1;
        let Kept { columns, by_use, uses, .. } = &mut *kept;
        let Some(entry) = columns.get_mut(key) else {
            counters.misses.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        by_use.remove(&entry.used);
        by_use.insert(*uses, key.clone());
        (entry.used, entry.query, entry.last_used_at) = (*uses, self.query, SystemTime::now());
        entry.hits += 1;
        counters.hits.fetch_add(1, Ordering::Relaxed);
        counters.bytes_read.fetch_add(entry.bytes as u64, Ordering::Relaxed);
        Some(Arc::clone(&entry.column))
    }

    /// Whether a column of so many bytes may be kept at all.
    pub fn takes(&self, bytes: usize) -> bool {
        bytes.saturating_add(ENTRY_BYTES) <= self.tier.limit.load(Ordering::Relaxed)
    }

    /// Keeps a column, where there is room for it beside what this query and the one before have used.
    pub fn put(&self, key: DecodedKey, column: Vec<ArrayRef>) {
        let bytes = column.iter().map(|array| array.get_array_memory_size()).sum::<usize>() + ENTRY_BYTES;
        let mut kept = self.tier.kept.lock();
        let limit = self.tier.limit.load(Ordering::Relaxed);
        if bytes > limit || kept.columns.contains_key(&key) {
            return;
        }
        let excess = (kept.bytes + bytes).saturating_sub(limit);
        if excess > self.unused_bytes(&kept, excess) {
            return;
        }
        self.tier.release(&mut kept, excess);
        // The pool does not ask the tier itself to give way: see `YieldingPool`.
        if kept.reservation.as_ref().is_some_and(|reservation| reservation.try_grow(bytes).is_err()) {
            return;
        }
        kept.uses += 1;
        kept.bytes += bytes;
        let used = kept.uses;
        kept.by_use.insert(used, key.clone());
        let now = SystemTime::now();
        let entry = Entry { column: column.into(), bytes, used, query: self.query, hits: 0, loaded_at: now, last_used_at: now };
        kept.columns.insert(key, entry);
    }

    /// Bytes that neither this query nor the one before has used, up to `wanted`, of the entries that would go first.
    fn unused_bytes(&self, kept: &Kept, wanted: usize) -> usize {
        let mut unused = 0;
        for entry in kept.by_use.values().filter_map(|key| kept.columns.get(key)) {
            if unused >= wanted || entry.query + 1 >= self.query {
                break;
            }
            unused += entry.bytes;
        }
        unused
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Float64Array;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    fn key(column: usize) -> DecodedKey {
        let file = ObjectMeta {
            location: Path::from("t/a.parquet"),
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 1,
            e_tag: None,
            version: None,
        };
        DecodedKey::new(&file, &Field::new(column.to_string(), DataType::Float64, true), 0..100)
    }

    fn column() -> Vec<ArrayRef> {
        vec![Arc::new(Float64Array::from(vec![1.0; 100]))]
    }

    fn bytes() -> usize {
        column()[0].get_array_memory_size() + ENTRY_BYTES
    }

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let tier = Arc::new(DecodedTier::default());
        tier.set_limit(3 * bytes());
        let first = tier.begin();
        (0..3).for_each(|number| first.put(key(number), column()));
        let second = tier.begin();
        assert!(second.get(&key(0)).is_some());
        second.put(key(3), column());
        assert!(second.get(&key(3)).is_none(), "in the place of what the query before has used");
        let second = tier.begin();
        second.put(key(3), column());
        let held: Vec<usize> = (0..4).filter(|&number| second.get(&key(number)).is_some()).collect();
        assert_eq!(held, [0, 2, 3]);
        assert_eq!(tier.figures().used_bytes, 3 * bytes());
    }

    #[test]
    fn a_query_keeps_what_itself_has_used() {
        let tier = Arc::new(DecodedTier::default());
        tier.set_limit(2 * bytes());
        for _ in 0..3 {
            let query = tier.begin();
            let mut hits = 0;
            for number in 0..10 {
                match query.get(&key(number)) {
                    Some(_) => hits += 1,
                    None => query.put(key(number), column()),
                }
            }
            assert!(tier.figures().used_bytes <= 2 * bytes());
            assert!(hits == 2 || tier.figures().hits == 0, "{hits} hits");
        }
        assert_eq!(tier.figures().hits, 4);
    }

    #[test]
    fn a_smaller_limit_holds_at_once() {
        let tier = Arc::new(DecodedTier::default());
        tier.set_limit(4 * bytes());
        let query = tier.begin();
        (0..4).for_each(|number| query.put(key(number), column()));
        tier.set_limit(bytes());
        assert_eq!((tier.figures().used_bytes, tier.figures().entries), (bytes(), 1));
        assert_eq!(tier.entries().len(), 1);
        tier.set_limit(0);
        query.put(key(9), column());
        assert_eq!(tier.figures().used_bytes, 0);
    }

    #[test]
    fn a_query_short_of_memory_takes_it_from_the_tier() {
        let tier = Arc::new(DecodedTier::default());
        let room = 10 * bytes();
        let pool: Arc<dyn MemoryPool> = Arc::new(YieldingPool::new(Arc::new(GreedyMemoryPool::new(room)), &tier));
        tier.reserve_from(&pool);
        tier.set_limit(room);
        let query = tier.begin();
        (0..9).for_each(|number| query.put(key(number), column()));
        assert_eq!(pool.reserved(), 9 * bytes());
        let other = MemoryConsumer::new("sort").register(&pool);
        other.try_grow(8 * bytes()).unwrap();
        assert!(pool.reserved() <= room && tier.figures().used_bytes <= 2 * bytes());
        let used = tier.figures().used_bytes;
        assert!(other.try_grow(3 * bytes()).is_err(), "more than there is");
        assert_eq!(tier.figures().used_bytes, used, "which the tier could not have given");
        other.try_grow(2 * bytes()).unwrap();
        assert_eq!(tier.figures().used_bytes, 0);
        other.shrink(2 * bytes());
        query.put(key(20), column());
        query.put(key(21), column());
        query.put(key(22), column());
        assert_eq!(tier.figures().entries, 2, "no more than the pool has left");
    }
}
