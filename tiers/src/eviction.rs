//! The order in which entries go: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! New entries wait in a small queue; those that are read again there move to the main queue, the others go, so that one scan of cold
//! data does not push out what is used. An entry that comes back soon after it went (its key is among the ghosts) enters the main
//! queue at once. Queues hold tickets; the ticket of an entry that was removed or pinned is void and skipped.

use std::collections::{HashSet, VecDeque};

use crate::blocks::BlockKey;

/// Most reads that an entry is remembered for.
const MOST_USES: u8 = 3;

/// An entry's place in the queues, kept in the entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    number: u64,
    uses: u8,
    weight: u64,
    queue: Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Small,
    Main,
}

impl Seat {
    /// Notes a read.
    pub(crate) fn touch(&mut self) {
        self.uses = (self.uses + 1).min(MOST_USES);
    }
}

/// Where the seats are: in the entries.
pub(crate) trait Seats {
    /// The seat of an entry that is there and not pinned.
    fn seat(&mut self, key: &BlockKey) -> Option<&mut Seat>;
}

#[derive(Debug, Default)]
pub(crate) struct Order {
    small: VecDeque<(BlockKey, u64)>,
    main: VecDeque<(BlockKey, u64)>,
    small_bytes: u64,
    ghosts: Ghosts,
    next_number: u64,
}

impl Order {
    /// A seat for a new entry, or one that is no longer pinned.
    pub(crate) fn seat(&mut self, key: BlockKey, weight: u64) -> Seat {
        let queue = if self.ghosts.forget(&key) { Queue::Main } else { Queue::Small };
        self.sit(key, weight, queue)
    }

    fn sit(&mut self, key: BlockKey, weight: u64, queue: Queue) -> Seat {
        self.next_number += 1;
        let seat = Seat { number: self.next_number, uses: 0, weight, queue };
        match queue {
            Queue::Small => {
                self.small_bytes += weight;
                self.small.push_back((key, seat.number));
            }
            Queue::Main => self.main.push_back((key, seat.number)),
        }
        seat
    }

    /// Voids a seat: its entry was removed or pinned.
    pub(crate) fn leave(&mut self, seat: Seat) {
        if seat.queue == Queue::Small {
            self.small_bytes -= seat.weight;
        }
    }

    /// The next entry to go, its seat voided; `small_share` is how many bytes the small queue may hold.
    ///
    /// None when no entry can go.
    pub(crate) fn pop(&mut self, small_share: u64, seats: &mut impl Seats) -> Option<BlockKey> {
        loop {
            let from_small = !self.small.is_empty() && (self.small_bytes > small_share || self.main.is_empty());
            let queue = if from_small { &mut self.small } else { &mut self.main };
            let (key, number) = match queue.pop_front() {
                Some(ticket) => ticket,
                None if self.small.is_empty() => return None,
                None => continue,
            };
            let Some(seat) = seats.seat(&key).filter(|seat| seat.number == number) else { continue };
            if seat.uses == 0 {
                self.leave(*seat);
                if from_small {
                    self.ghosts.remember(key, self.main.len());
                }
                return Some(key);
            }
            let uses = if from_small { 0 } else { seat.uses - 1 };
            self.leave(*seat);
            *seat = Seat { uses, ..self.sit(key, seat.weight, Queue::Main) };
        }
    }

    /// Drops void tickets when they outnumber the entries.
    pub(crate) fn tidy(&mut self, entries: usize, seats: &mut impl Seats) {
        if self.small.len() + self.main.len() <= 2 * entries + 64 {
            return;
        }
        let mut is_valid = |(key, number): &(BlockKey, u64)| seats.seat(key).is_some_and(|seat| seat.number == *number);
        self.small.retain(&mut is_valid);
        self.main.retain(&mut is_valid);
    }
}

/// Keys of entries that went not long ago.
#[derive(Debug, Default)]
struct Ghosts {
    keys: HashSet<BlockKey>,
    order: VecDeque<BlockKey>,
}

impl Ghosts {
    fn remember(&mut self, key: BlockKey, entries: usize) {
        if self.keys.insert(key) {
            self.order.push_back(key);
        }
        while self.order.len() > entries.max(64) {
            if let Some(old) = self.order.pop_front() {
                self.keys.remove(&old);
            }
        }
    }

    fn forget(&mut self, key: &BlockKey) -> bool {
        // Its place in the order stays and is dropped in its turn.
        self.keys.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    impl Seats for HashMap<BlockKey, Seat> {
        fn seat(&mut self, key: &BlockKey) -> Option<&mut Seat> {
            self.get_mut(key)
        }
    }

    fn key(block: u64) -> BlockKey {
        BlockKey { object: 1, block }
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_read_again() {
        let (mut order, mut seats) = (Order::default(), HashMap::new());
        for block in 0..10 {
            seats.insert(key(block), order.seat(key(block), 1));
        }
        (0..5).for_each(|block| seats.get_mut(&key(block)).unwrap().touch());
        for block in 10..1000 {
            seats.insert(key(block), order.seat(key(block), 1));
            let gone = order.pop(1, &mut seats).unwrap();
            seats.remove(&gone);
        }
        assert!((0..5).all(|block| seats.contains_key(&key(block))), "read twice, yet gone");
        assert_eq!(seats.len(), 10);
    }

    #[test]
    fn nothing_can_go_where_all_seats_are_void() {
        let (mut order, mut none) = (Order::default(), HashMap::<BlockKey, Seat>::new());
        for block in 0..200 {
            let seat = order.seat(key(block), 1);
            order.leave(seat);
        }
        order.tidy(0, &mut none);
        assert_eq!((order.small.len(), order.small_bytes), (0, 0));
        assert_eq!(order.pop(10, &mut none), None);
    }
}
