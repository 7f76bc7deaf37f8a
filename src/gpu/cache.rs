//! Panels kept for the next query: bounded in bytes, the least recently used ones out first.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

/// What the cache holds about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelCacheEntry {
    /// Key, as the caller made it: table version, filter, columns.
    pub key: String,
    /// Bytes that the value takes.
    pub bytes: u64,
    /// How often it was found.
    pub hits: u64,
    /// When it was put in.
    pub loaded_at: SystemTime,
    /// When it was last found, or put in.
    pub last_used_at: SystemTime,
}

struct Kept<V> {
    value: Arc<V>,
    entry: PanelCacheEntry,
    /// Larger than that of every entry used before.
    turn: u64,
}

struct State<V> {
    kept: HashMap<String, Kept<V>>,
    limit_bytes: u64,
    turn: u64,
}

/// Values shared by key, of bounded size in sum. An entry thrown out lives on for those who still hold it.
pub struct PanelCache<V> {
    state: Mutex<State<V>>,
}

impl<V> fmt::Debug for PanelCache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanelCache").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

impl<V> PanelCache<V> {
    /// An empty cache for `limit_bytes` in sum; 0 keeps nothing.
    pub fn new(limit_bytes: u64) -> Self {
        Self { state: Mutex::new(State { kept: HashMap::new(), limit_bytes, turn: 0 }) }
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<Arc<V>> {
        let mut state = self.state.lock();
        state.turn += 1;
        let turn = state.turn;
        let kept = state.kept.get_mut(key)?;
        kept.turn = turn;
        kept.entry.hits += 1;
        kept.entry.last_used_at = SystemTime::now();
        Some(Arc::clone(&kept.value))
    }

    /// Puts a value of `bytes` in, in place of one of the same key, and throws out the least recently used until all fit.
    ///
    /// A value larger than the limit is not kept: returns whether it is.
    pub fn insert(&self, key: impl Into<String>, value: Arc<V>, bytes: u64) -> bool {
        let key = key.into();
        // Values are dropped after the lock: freeing device memory waits for the device.
        let dropped;
        let kept = {
            let mut state = self.state.lock();
            let mut out: Vec<Kept<V>> = state.kept.remove(&key).into_iter().collect();
            let fits = bytes <= state.limit_bytes;
            if fits {
                let room = state.limit_bytes - bytes;
                out.extend(state.shrink(room));
                state.turn += 1;
                let (turn, now) = (state.turn, SystemTime::now());
                let entry = PanelCacheEntry { key: key.clone(), bytes, hits: 0, loaded_at: now, last_used_at: now };
                state.kept.insert(key, Kept { value, entry, turn });
            }
            dropped = out;
            fits
        };
        drop(dropped);
        kept
    }

    /// Throws out the least recently used until at most `bytes` are left: room for other work. Returns the bytes thrown out.
    pub fn shrink_to(&self, bytes: u64) -> u64 {
        let dropped = self.state.lock().shrink(bytes);
        dropped.iter().map(|kept| kept.entry.bytes).sum()
    }

    /// Throws out every key for which `stale` holds: a table that was written, say. Returns how many.
    pub fn remove_where(&self, stale: impl Fn(&str) -> bool) -> usize {
        let dropped: Vec<Kept<V>> = {
            let mut state = self.state.lock();
            let keys: Vec<String> = state.kept.keys().filter(|key| stale(key)).cloned().collect();
            keys.iter().filter_map(|key| state.kept.remove(key)).collect()
        };
        dropped.len()
    }

    /// Changes the limit and throws out what no longer fits.
    pub fn set_limit_bytes(&self, limit_bytes: u64) {
        let dropped = {
            let mut state = self.state.lock();
            state.limit_bytes = limit_bytes;
            state.shrink(limit_bytes)
        };
        drop(dropped);
    }

    /// Bytes of all values in the cache.
    pub fn bytes(&self) -> u64 {
        self.state.lock().bytes()
    }

    /// What is there, the most recently used first.
    pub fn entries(&self) -> Vec<PanelCacheEntry> {
        let state = self.state.lock();
        let mut kept: Vec<&Kept<V>> = state.kept.values().collect();
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.turn));
        kept.into_iter().map(|kept| kept.entry.clone()).collect()
    }
}

impl<V> State<V> {
    fn bytes(&self) -> u64 {
        self.kept.values().map(|kept| kept.entry.bytes).sum()
    }

    /// Takes the least recently used out until at most `bytes` are left.
    fn shrink(&mut self, bytes: u64) -> Vec<Kept<V>> {
        let mut out = vec![];
        let mut left = self.bytes();
        while left > bytes {
            let oldest = self.kept.values().min_by_key(|kept| kept.turn).map(|kept| kept.entry.key.clone());
            let Some(kept) = oldest.and_then(|key| self.kept.remove(&key)) else { break };
            left -= kept.entry.bytes;
            out.push(kept);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(cache: &PanelCache<u32>) -> Vec<String> {
        cache.entries().into_iter().map(|entry| entry.key).collect()
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let cache = PanelCache::new(100);
        assert!(cache.insert("a", Arc::new(1), 40) && cache.insert("b", Arc::new(2), 40));
        assert_eq!(cache.get("a").as_deref(), Some(&1));
        assert!(cache.insert("c", Arc::new(3), 40));
        assert_eq!(keys(&cache), ["c", "a"]);
        assert!(cache.get("b").is_none());
        assert_eq!(cache.bytes(), 80);
    }

    #[test]
    fn entries_tell_their_use() {
        let cache = PanelCache::new(100);
        let before = SystemTime::now();
        cache.insert("a", Arc::new(1), 7);
        cache.get("a");
        cache.get("a");
        let entry = cache.entries().remove(0);
        assert_eq!((entry.key.as_str(), entry.bytes, entry.hits), ("a", 7, 2));
        assert!(entry.loaded_at >= before && entry.last_used_at >= entry.loaded_at);
    }

    #[test]
    fn a_value_larger_than_the_limit_is_not_kept_and_throws_nothing_else_out() {
        let cache = PanelCache::new(100);
        cache.insert("a", Arc::new(1), 60);
        assert!(!cache.insert("huge", Arc::new(2), 101));
        assert_eq!(keys(&cache), ["a"]);
        assert!(!PanelCache::new(0).insert("a", Arc::new(1), 1));
    }

    #[test]
    fn a_key_put_in_again_is_replaced() {
        let cache = PanelCache::new(100);
        cache.insert("a", Arc::new(1), 60);
        assert!(cache.insert("a", Arc::new(2), 90));
        assert_eq!((cache.get("a").as_deref(), cache.bytes()), (Some(&2), 90));
    }

    #[test]
    fn what_is_held_elsewhere_outlives_its_entry() {
        let cache = PanelCache::new(100);
        cache.insert("a", Arc::new(1), 60);
        let held = cache.get("a");
        assert_eq!(cache.shrink_to(10), 60);
        assert_eq!((held.as_deref(), cache.bytes()), (Some(&1), 0));
    }

    #[test]
    fn stale_keys_and_a_smaller_limit_empty_the_cache() {
        let cache = PanelCache::new(100);
        for (key, bytes) in [("t@1 x", 20), ("t@1 y", 20), ("u@4", 20)] {
            cache.insert(key, Arc::new(0), bytes);
        }
        assert_eq!(cache.remove_where(|key| key.starts_with("t@1")), 2);
        assert_eq!(keys(&cache), ["u@4"]);
        cache.set_limit_bytes(19);
        assert_eq!(keys(&cache), Vec::<String>::new());
    }
}
