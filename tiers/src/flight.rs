//! Single flight: one load for each block, however many readers want it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::blocks::BlockKey;
use crate::error::Result;
use crate::memory::MemoryTier;

type Landed = Option<Result<Bytes>>;

/// The blocks that are being loaded, or written to the disk after a load.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    table: Mutex<HashMap<BlockKey, watch::Receiver<Landed>>>,
    landed: Notify,
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
    /// Joins the load of a block, or starts one.
    ///
    /// Memory is asked again under the lock: a load puts its block there before it leaves the table, so that no block is loaded twice.
    pub(crate) fn join(self: &Arc<Self>, key: BlockKey, memory: &MemoryTier) -> Boarding {
        let mut table = self.table.lock();
        if let Some(receiver) = table.get(&key) {
            return Boarding::Follow(Follow(receiver.clone()));
        }
        if let Some(bytes) = memory.get(&key) {
            return Boarding::Present(bytes);
        }
        let (sender, receiver) = watch::channel(None);
        table.insert(key, receiver);
        Boarding::Lead(Lead { key, is_asked: true, sender, flights: Arc::clone(self) })
    }

    /// Waits until nothing is being loaded or written.
    pub(crate) async fn settled(&self) {
        loop {
            let landed = self.landed.notified();
            if self.table.lock().is_empty() {
                return;
            }
            landed.await;
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
        let mut table = self.flights.table.lock();
        table.remove(&self.key);
        if table.is_empty() {
            self.flights.landed.notify_waiters();
        }
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
    use crate::stats::ReadFigures;

    #[tokio::test]
    async fn followers_get_the_result_and_an_abandoned_load_wakes_them() {
        let (flights, memory) = (Arc::new(Flights::default()), MemoryTier::new(0, Arc::new(ReadFigures::new())));
        let key = BlockKey { object: 1, block: 2 };
        for is_abandoned in [false, true] {
            let Boarding::Lead(lead) = flights.join(key, &memory) else { panic!("nobody loads it") };
            let Boarding::Follow(follow) = flights.join(key, &memory) else { panic!("it is being loaded") };
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
