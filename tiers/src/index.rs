//! What a cache tier holds, under a byte limit that holds at every moment: entries, reservations for what is in flight, pins.
//!
//! Both cache tiers use it; they differ in what an entry carries (bytes, or the number of a file). Room is reserved before a load or
//! write starts, so that `held + reserved` never exceeds the limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::blocks::BlockKey;
use crate::eviction::{Order, Seat, Seats};
use crate::stats::{EntryRow, Holdings};
use crate::tier::Tier;
use crate::versions::ObjectVersion;

#[derive(Debug)]
struct Entry<P> {
    payload: P,
    charge: u64,
    hits: u64,
    loaded_at: SystemTime,
    last_used_at: SystemTime,
    /// None for a pinned entry, which never goes.
    seat: Option<Seat>,
}

#[derive(Debug)]
struct Held<P> {
    object: Arc<ObjectVersion>,
    blocks: BTreeMap<u64, Entry<P>>,
}

/// Room for one entry that is on its way in. Given back by [`Index::release`] or used up by [`Index::insert`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    bytes: u64,
    /// Reservations older than the last change of the limit are void.
    era: u64,
}

/// An entry that was there before this process started.
pub(crate) struct Restored<P> {
    pub(crate) payload: P,
    pub(crate) charge: u64,
    pub(crate) loaded_at: SystemTime,
}

/// What became of an entry that came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted<P> {
    /// It is held.
    Held,
    /// It is not held: its room is void, its object was invalidated or the block is there already.
    Refused(P),
}

#[derive(Debug)]
pub(crate) struct Index<P> {
    limit: u64,
    held: u64,
    reserved: u64,
    pinned: u64,
    /// Bytes of entries that went but whose file could not be removed.
    lost: u64,
    era: u64,
    entries: usize,
    objects: HashMap<u64, Held<P>>,
    order: Order,
}

impl<P: Clone> Index<P> {
    pub(crate) fn new(limit: u64) -> Self {
        let (objects, order) = (HashMap::new(), Order::default());
        Self { limit, held: 0, reserved: 0, pinned: 0, lost: 0, era: 0, entries: 0, objects, order }
    }

    pub(crate) fn holdings(&self) -> Holdings {
        let used_bytes = self.held + self.reserved + self.lost;
        Holdings { limit_bytes: self.limit, used_bytes, pinned_bytes: self.pinned, entries: self.entries as u64 }
    }

    /// Makes room for an entry, evicting into `gone`. None, with nothing evicted, if pins and what is in flight leave too little.
    pub(crate) fn reserve(&mut self, bytes: u64, gone: &mut Vec<P>) -> Option<Room> {
        if self.pinned + self.reserved + self.lost + bytes > self.limit {
            return None;
        }
        self.evict_to(self.limit - bytes, gone);
        self.reserved += bytes;
        Some(Room { bytes, era: self.era })
    }

    fn evict_to(&mut self, target: u64, gone: &mut Vec<P>) {
        while self.held + self.reserved + self.lost > target {
            let small_share = self.limit / 10;
            let Some(key) = self.order.pop(small_share, &mut self.objects) else { break };
            gone.extend(self.take(key).map(|entry| entry.payload));
        }
    }

    pub(crate) fn release(&mut self, room: Room) {
        if room.era == self.era {
            self.reserved -= room.bytes;
        }
    }

    /// Puts an entry into the room reserved for it.
    pub(crate) fn insert(&mut self, object: &Arc<ObjectVersion>, block: u64, payload: P, room: Room, pinned: bool) -> Inserted<P> {
        self.release(room);
        let key = BlockKey { object: object.id, block };
        if room.era != self.era || !object.is_live() || self.contains(&key) {
            return Inserted::Refused(payload);
        }
        let now = SystemTime::now();
        self.add(object, block, Entry { payload, charge: room.bytes, hits: 0, loaded_at: now, last_used_at: now, seat: None }, pinned);
        Inserted::Held
    }

    /// Puts in an entry that was there before this process started, evicting older ones into `gone`; false, and nothing done, where it
    /// does not fit or is there already.
    pub(crate) fn restore(&mut self, object: &Arc<ObjectVersion>, block: u64, restored: Restored<P>, gone: &mut Vec<P>) -> bool {
        if self.contains(&BlockKey { object: object.id, block }) {
            return false;
        }
        let Restored { payload, charge, loaded_at } = restored;
        let Some(room) = self.reserve(charge, gone) else { return false };
        self.release(room);
        self.add(object, block, Entry { payload, charge, hits: 0, loaded_at, last_used_at: loaded_at, seat: None }, false);
        true
    }

    /// Removes the blocks of versions that are no longer the present ones.
    pub(crate) fn remove_retired(&mut self) -> Vec<P> {
        let retired: Vec<u64> = self.objects.values().filter(|held| !held.object.is_live()).map(|held| held.object.id).collect();
        retired.into_iter().flat_map(|object| self.remove_object(object)).collect()
    }

    fn add(&mut self, object: &Arc<ObjectVersion>, block: u64, mut entry: Entry<P>, pinned: bool) {
        let key = BlockKey { object: object.id, block };
        self.held += entry.charge;
        self.entries += 1;
        if pinned {
            self.pinned += entry.charge;
        } else {
            entry.seat = Some(self.order.seat(key, entry.charge));
        }
        let held = self.objects.entry(object.id).or_insert_with(|| Held { object: Arc::clone(object), blocks: BTreeMap::new() });
        held.blocks.insert(block, entry);
    }

    /// An entry's payload; counts a hit.
    pub(crate) fn get(&mut self, key: &BlockKey) -> Option<P> {
        let entry = self.objects.get_mut(&key.object)?.blocks.get_mut(&key.block)?;
        entry.hits += 1;
        entry.last_used_at = SystemTime::now();
        if let Some(seat) = &mut entry.seat {
            seat.touch();
        }
        Some(entry.payload.clone())
    }

    /// An entry's payload; counts nothing.
    pub(crate) fn peek(&self, key: &BlockKey) -> Option<&P> {
        Some(&self.objects.get(&key.object)?.blocks.get(&key.block)?.payload)
    }

    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.objects.get(&key.object).is_some_and(|held| held.blocks.contains_key(&key.block))
    }

    /// Removes one entry.
    pub(crate) fn remove(&mut self, key: BlockKey) -> Option<P> {
        let entry = self.take(key)?;
        self.void(&entry);
        Some(entry.payload)
    }

    /// Removes all blocks of an object.
    pub(crate) fn remove_object(&mut self, object: u64) -> Vec<P> {
        let blocks: Vec<u64> = self.objects.get(&object).into_iter().flat_map(|held| held.blocks.keys().copied()).collect();
        blocks.into_iter().filter_map(|block| self.remove(BlockKey { object, block })).collect()
    }

    /// Removes all entries, pinned ones too.
    pub(crate) fn clear(&mut self) -> Vec<P> {
        let objects: Vec<u64> = self.objects.keys().copied().collect();
        objects.into_iter().flat_map(|object| self.remove_object(object)).collect()
    }

    /// Takes an entry out, with the sums but without its seat.
    fn take(&mut self, key: BlockKey) -> Option<Entry<P>> {
        let held = self.objects.get_mut(&key.object)?;
        let entry = held.blocks.remove(&key.block)?;
        if held.blocks.is_empty() {
            self.objects.remove(&key.object);
        }
        self.held -= entry.charge;
        self.entries -= 1;
        Some(entry)
    }

    fn void(&mut self, entry: &Entry<P>) {
        match entry.seat {
            Some(seat) => self.order.leave(seat),
            None => self.pinned -= entry.charge,
        }
        self.order.tidy(self.entries, &mut self.objects);
    }

    /// Changes the limit and evicts at once into `gone`. What is in flight loses its room if it no longer fits.
    ///
    /// Refused, with the pinned bytes, where they alone exceed it.
    pub(crate) fn set_limit(&mut self, limit: u64, gone: &mut Vec<P>) -> Result<(), u64> {
        if self.pinned > limit {
            return Err(self.pinned);
        }
        self.limit = limit;
        if self.pinned + self.reserved + self.lost > limit {
            self.reserved = 0;
            self.era += 1;
        }
        self.evict_to(limit, gone);
        Ok(())
    }

    /// Pins or unpins all held blocks of an object.
    pub(crate) fn set_pinned(&mut self, object: u64, pinned: bool) {
        let Some(held) = self.objects.get_mut(&object) else { return };
        for (&block, entry) in &mut held.blocks {
            match (pinned, entry.seat) {
                (true, Some(seat)) => {
                    self.order.leave(seat);
                    entry.seat = None;
                    self.pinned += entry.charge;
                }
                (false, None) => {
                    entry.seat = Some(self.order.seat(BlockKey { object, block }, entry.charge));
                    self.pinned -= entry.charge;
                }
                _ => {}
            }
        }
    }

    /// Notes bytes that are still taken although their entry went.
    pub(crate) fn lose(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Notes that the bytes that were still taken are free.
    pub(crate) fn regain(&mut self) {
        self.lost = 0;
    }

    /// How many blocks of an object are held.
    pub(crate) fn blocks_of(&self, object: u64) -> u64 {
        self.objects.get(&object).map_or(0, |held| held.blocks.len() as u64)
    }

    /// One row for each object.
    pub(crate) fn rows(&self, tier: Tier) -> Vec<EntryRow> {
        self.objects.values().filter_map(|held| row(tier, held)).collect()
    }
}

impl<P> Seats for HashMap<u64, Held<P>> {
    fn seat(&mut self, key: &BlockKey) -> Option<&mut Seat> {
        self.get_mut(&key.object)?.blocks.get_mut(&key.block)?.seat.as_mut()
    }
}

fn row<P>(tier: Tier, held: &Held<P>) -> Option<EntryRow> {
    let entries = || held.blocks.values();
    Some(EntryRow {
        tier: tier.name(),
        origin: held.object.label.to_string(),
        path: held.object.path.clone(),
        version: held.object.version.clone(),
        bytes: entries().map(|e| e.charge).sum(),
        blocks: held.blocks.len() as u64,
        hits: entries().map(|e| e.hits).sum(),
        loaded_at: entries().map(|e| e.loaded_at).min()?,
        last_used_at: entries().map(|e| e.last_used_at).max()?,
        pinned: entries().all(|e| e.seat.is_none()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Load { object: usize, block: u64, bytes: u64, fails: bool },
        Get { object: usize, block: u64 },
        Pin { object: usize, pinned: bool },
        Drop { object: usize },
        Limit { bytes: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0..4usize, 0..8u64, 1..60u64, any::<bool>()).prop_map(|(object, block, bytes, fails)| Step::Load { object, block, bytes, fails }),
            4 => (0..4usize, 0..8u64).prop_map(|(object, block)| Step::Get { object, block }),
            1 => (0..4usize, any::<bool>()).prop_map(|(object, pinned)| Step::Pin { object, pinned }),
            1 => (0..4usize).prop_map(|object| Step::Drop { object }),
            1 => (20..200u64).prop_map(|bytes| Step::Limit { bytes }),
        ];
        prop::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn the_limit_holds_and_the_sums_agree_after_every_step(steps in steps()) {
            let objects: Vec<_> = (0..4).map(|i| ObjectVersion::for_test(&format!("o{i}"), 1000)).collect();
            let mut index: Index<u64> = Index::new(100);
            let mut in_flight = Vec::new();
            for step in steps {
                let mut gone = Vec::new();
                match step {
                    Step::Load { object, block, bytes, fails } => {
                        if let Some(room) = index.reserve(bytes, &mut gone) {
                            in_flight.push((object, block, room, fails));
                        }
                        if in_flight.len() > 2 {
                            let (object, block, room, fails) = in_flight.remove(0);
                            if fails {
                                index.release(room);
                            } else {
                                index.insert(&objects[object], block, block, room, object == 3);
                            }
                        }
                    }
                    Step::Get { object, block } => {
                        let found = index.get(&BlockKey { object: objects[object].id, block });
                        prop_assert!(found.is_none_or(|payload| payload == block));
                    }
                    Step::Pin { object, pinned } => index.set_pinned(objects[object].id, pinned),
                    Step::Drop { object } => drop(index.remove_object(objects[object].id)),
                    Step::Limit { bytes } => drop(index.set_limit(bytes, &mut gone)),
                }
                let rows = index.rows(Tier::Memory);
                let holdings = index.holdings();
                prop_assert!(holdings.used_bytes <= holdings.limit_bytes);
                prop_assert_eq!(holdings.used_bytes - index.reserved, rows.iter().map(|r| r.bytes).sum::<u64>());
                prop_assert_eq!(holdings.entries, rows.iter().map(|r| r.blocks).sum::<u64>());
                prop_assert!(rows.iter().filter(|r| r.pinned).map(|r| r.bytes).sum::<u64>() <= holdings.pinned_bytes);
            }
        }
    }

    #[test]
    fn pinned_entries_stay_and_what_does_not_fit_evicts_nothing() {
        let (a, b) = (ObjectVersion::for_test("a", 100), ObjectVersion::for_test("b", 100));
        let (mut index, mut gone) = (Index::new(100), Vec::new());
        let room = index.reserve(60, &mut gone).unwrap();
        index.insert(&a, 0, 'a', room, true);
        let room = index.reserve(40, &mut gone).unwrap();
        index.insert(&b, 0, 'b', room, false);
        assert!(index.reserve(41, &mut gone).is_none());
        assert!(gone.is_empty());
        assert!(index.reserve(40, &mut gone).is_some());
        assert_eq!(gone, ['b']);
        assert_eq!(index.set_limit(50, &mut gone), Err(60));
    }

    #[test]
    fn an_invalidated_object_is_not_taken_in_again() {
        let object = ObjectVersion::for_test("a", 100);
        let (mut index, mut gone) = (Index::new(100), Vec::new());
        let room = index.reserve(10, &mut gone).unwrap();
        object.retire();
        assert_eq!(index.insert(&object, 0, 'a', room, false), Inserted::Refused('a'));
        assert_eq!(index.holdings().used_bytes, 0);
    }
}
