//! The memory tier: blocks as [`Bytes`] under a byte limit, loads in flight included.
//!
//! Its index is [`Index`] and not foyer's in-memory cache (foyer-memory 0.22): that has no reservation for a load in flight, no pins and
//! no listing; its capacity is cut into shards; and its insert first evicts what it can and then inserts in any case, so that usage
//! exceeds the capacity where an entry is heavier than its shard. A limit that holds at every moment needs all four.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::blocks::BlockKey;
use crate::index::{Index, Room};
use crate::stats::{EntryRow, Figure, Holdings, ReadFigures};
use crate::tier::Tier;
use crate::versions::ObjectVersion;

#[derive(Debug)]
pub(crate) struct MemoryTier {
    on: AtomicBool,
    index: Mutex<Index<Bytes>>,
    figures: Arc<ReadFigures>,
}

impl MemoryTier {
    pub(crate) fn new(limit_bytes: u64, figures: Arc<ReadFigures>) -> Self {
        Self { on: AtomicBool::new(limit_bytes > 0), index: Mutex::new(Index::new(limit_bytes)), figures }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// A block, if the tier is on and has it.
    pub(crate) fn get(&self, key: &BlockKey) -> Option<Bytes> {
        if self.is_on() { self.index.lock().get(key) } else { None }
    }

    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.is_on() && self.index.lock().contains(key)
    }

    /// Room for a block on its way in; none if the tier is off or too little can be freed.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<MemoryRoom> {
        if !self.is_on() {
            return None;
        }
        let mut gone = Vec::new();
        let room = self.index.lock().reserve(bytes, &mut gone)?;
        self.count_evictions(&gone);
        Some(MemoryRoom { tier: Arc::clone(self), room: Some(room) })
    }

    fn count_evictions(&self, gone: &[Bytes]) {
        if !gone.is_empty() {
            self.figures.add(Tier::Memory, Figure::Evictions, gone.len() as u64);
        }
    }

    pub(crate) fn remove_object(&self, object: u64) -> u64 {
        self.index.lock().remove_object(object).len() as u64
    }

    pub(crate) fn clear(&self) {
        drop(self.index.lock().clear());
    }

    /// Changes the limit; the error is the pinned bytes that exceed it.
    pub(crate) fn set_limit(&self, bytes: u64) -> Result<(), u64> {
        let mut gone = Vec::new();
        self.index.lock().set_limit(bytes, &mut gone)?;
        self.count_evictions(&gone);
        self.switch(bytes > 0);
        Ok(())
    }

    pub(crate) fn set_pinned(&self, object: u64, pinned: bool) {
        self.index.lock().set_pinned(object, pinned);
    }

    pub(crate) fn blocks_of(&self, object: u64) -> u64 {
        self.index.lock().blocks_of(object)
    }

    pub(crate) fn holdings(&self) -> Holdings {
        self.index.lock().holdings()
    }

    pub(crate) fn rows(&self) -> Vec<EntryRow> {
        self.index.lock().rows(Tier::Memory)
    }
}

/// Room for one block; given back when dropped.
#[derive(Debug)]
pub(crate) struct MemoryRoom {
    tier: Arc<MemoryTier>,
    room: Option<Room>,
}

impl MemoryRoom {
    /// Puts the block in.
    pub(crate) fn fill(mut self, object: &Arc<ObjectVersion>, block: u64, bytes: Bytes) {
        if let Some(room) = self.room.take() {
            let pinned = object.is_pinned(Tier::Memory);
            self.tier.index.lock().insert(object, block, bytes, room, pinned);
        }
    }
}

impl Drop for MemoryRoom {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.tier.index.lock().release(room);
        }
    }
}
