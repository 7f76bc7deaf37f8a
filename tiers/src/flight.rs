//! Single flight: one load for each block, however many readers want it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::blocks::BlockKey;
use crate::error::Result;
use crate::memory::MemoryTier;

type Landed = Option<Result<Bytes>>;

/// The blocks that are being loaded, or written to the disk after a load.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    table: Mutex<HashMap<BlockKey, watch::Receiver<Landed>>>,
    /// Tasks that load or write.
    tasks: AtomicUsize,
    ended: Notify,
}

/// How a reader gets a block.
pub(crate) enum Boarding {
    /// It came into memory meanwhile.
    Present(Bytes),
    /// This reader is to have it loaded.
    Lead(Lead),
    /// Another one has it loaded.
    Follow(Follow),
}

impl Flights {
    /// Locks the table for the blocks of one read. Leads must not be dropped before it is unlocked.
    pub(crate) fn desk<'f>(self: &'f Arc<Self>, memory: Option<&'f MemoryTier>) -> Desk<'f> {
        Desk { table: self.table.lock(), flights: self, memory }
    }

    /// Notes a task that loads or writes, until what this returns is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Task {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        Task(Arc::clone(self))
    }

    /// Waits until nothing is being loaded or written.
    pub(crate) async fn settled(&self) {
        loop {
            let ended = self.ended.notified();
            if self.tasks.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// The table of loads while one read finds its place in it.
pub(crate) struct Desk<'f> {
    table: MutexGuard<'f, HashMap<BlockKey, watch::Receiver<Landed>>>,
    flights: &'f Arc<Flights>,
    memory: Option<&'f MemoryTier>,
}

impl Desk<'_> {
    /// Joins the load of a block, or starts one.
    ///
    /// Memory is asked again under the lock: a load puts its block there before it leaves the table, so that no block is loaded twice.
    pub(crate) fn join(&mut self, key: BlockKey) -> Boarding {
        if let Some(receiver) = self.table.get(&key) {
            return Boarding::Follow(Follow(receiver.clone()));
        }
        match self.memory.and_then(|memory| memory.get(&key)) {
            Some(bytes) => Boarding::Present(bytes),
            None => Boarding::Lead(self.begin(key)),
        }
    }

    /// Starts the load of a block that is not here and that nobody loads.
    pub(crate) fn lead(&mut self, key: BlockKey) -> Option<Lead> {
        let is_free = !self.table.contains_key(&key) && !self.memory.is_some_and(|memory| memory.contains(&key));
        is_free.then(|| self.begin(key))
    }

    fn begin(&mut self, key: BlockKey) -> Lead {
        let (sender, receiver) = watch::channel(None);
        self.table.insert(key, receiver);
        Lead { key, is_asked: true, sender, flights: Arc::clone(self.flights) }
    }
}

/// A task that loads or writes, to be dropped when it holds nothing of the tiers any more.
#[derive(Debug)]
pub(crate) struct Task(Arc<Flights>);

impl Drop for Task {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// The duty to load one block. Held until the block is in every tier that takes it; when dropped without a result, as when the runtime
/// ends, those who wait start over.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) key: BlockKey,
    /// False for a block that is read ahead, which nobody asked for.
    pub(crate) is_asked: bool,
    sender: watch::Sender<Landed>,
    flights: Arc<Flights>,
}

impl Lead {
    /// Gives the result to all who wait.
    pub(crate) fn land(&self, result: Result<Bytes>) {
        self.sender.send_replace(Some(result));
    }

    /// The leading reader waits for its own load as all others do: the load goes on when the reader goes away.
    pub(crate) fn follow(&self) -> Follow {
        Follow(self.sender.subscribe())
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.table.lock().remove(&self.key);
    }
}

/// A wait for a block.
#[derive(Debug)]
pub(crate) struct Follow(watch::Receiver<Landed>);

impl Follow {
    /// The block, or the error of its load; none if the load was abandoned.
    pub(crate) async fn landed(mut self) -> Landed {
        match self.0.wait_for(Option::is_some).await {
            Ok(landed) => (*landed).clone(),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_get_the_result_and_an_abandoned_load_wakes_them() {
        let flights = Arc::new(Flights::default());
        let key = BlockKey { object: 1, block: 2 };
        for is_abandoned in [false, true] {
            let Boarding::Lead(lead) = flights.desk(None).join(key) else { panic!("nobody loads it") };
            let Boarding::Follow(follow) = flights.desk(None).join(key) else { panic!("it is being loaded") };
            if !is_abandoned {
                lead.land(Ok(Bytes::from_static(b"x")));
            }
            drop(lead);
            let landed = follow.landed().await;
            assert_eq!(landed.map(|result| result.unwrap()), (!is_abandoned).then(|| Bytes::from_static(b"x")));
        }
        flights.settled().await;
    }
}
