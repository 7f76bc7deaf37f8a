//! Loads of blocks from the disk and from the origin into the tiers and to those who wait.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use crate::blocks::runs;
use crate::disk::DiskTier;
use crate::error::{ErrorKind, Result, TierError};
use crate::flight::{Follow, Lead};
use crate::memory::{MemoryRoom, MemoryTier};
use crate::stats::{Counter, Figure};
use crate::tier::Tier;
use crate::tiers::Shared;
use crate::versions::{ObjectVersion, Versions};

/// A load of blocks of one version.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) tiers: Arc<Shared>,
    pub(crate) origin: Arc<dyn ObjectStore>,
    pub(crate) versions: Arc<Versions>,
    pub(crate) object: Arc<ObjectVersion>,
    pub(crate) counter: Counter,
    /// None where the memory tier is off or declines the origin.
    pub(crate) memory: Option<Arc<MemoryTier>>,
    /// None where the disk tier is off or declines the origin.
    pub(crate) disk: Option<Arc<DiskTier>>,
}

/// A block on its way: who waits for it, and the room that is kept for it.
struct Cargo {
    lead: Lead,
    room: Option<MemoryRoom>,
    /// Its share of the bytes that may be in flight.
    permit: Option<OwnedSemaphorePermit>,
}

impl Load {
    /// Loads blocks in ascending order: from the disk what lies there, the rest from the origin in as few requests as possible.
    pub(crate) async fn run(self, leads: Vec<Lead>) {
        let leads = match &self.disk {
            Some(disk) => self.read_stored(disk, leads).await,
            None => leads,
        };
        let most = self.tiers.settings.request_bytes / self.tiers.blocks.bytes;
        let mut leads = VecDeque::from(leads);
        let runs = runs(leads.iter().map(|lead| lead.key.block).collect::<Vec<_>>(), most);
        let loads =
            runs.into_iter().map(|run| (leads.drain(..(run.end - run.start) as usize).collect::<Vec<_>>(), run)).collect::<Vec<_>>();
        let parallel = self.tiers.settings.parallel_requests;
        stream::iter(loads).for_each_concurrent(parallel, |(leads, run)| self.fetch_run(leads, run)).await;
    }

    /// Reads what lies on the disk; returns the rest.
    async fn read_stored(&self, disk: &Arc<DiskTier>, leads: Vec<Lead>) -> Vec<Lead> {
        let (stored, mut missing): (Vec<_>, Vec<_>) = leads.into_iter().partition(|lead| disk.contains(&lead.key));
        let most = (self.tiers.settings.request_bytes / self.tiers.blocks.bytes) as usize;
        let mut stored = VecDeque::from(stored);
        let mut portions = Vec::new();
        while !stored.is_empty() {
            portions.push(stored.drain(..most.min(stored.len())).collect::<Vec<_>>());
        }
        let parallel = self.tiers.settings.parallel_requests;
        let reads = stream::iter(portions).map(|portion| self.read_stored_portion(disk, portion)).buffer_unordered(parallel);
        missing.extend(reads.collect::<Vec<_>>().await.into_iter().flatten());
        missing.sort_unstable_by_key(|lead| lead.key.block);
        self.counter.add(Tier::Disk, Figure::Misses, missing.iter().filter(|lead| lead.is_asked).count() as u64);
        missing
    }

    async fn read_stored_portion(&self, disk: &Arc<DiskTier>, portion: Vec<Lead>) -> Vec<Lead> {
        let bytes: u64 = portion.iter().map(|lead| self.len(lead.key.block)).sum();
        let permit = self.tiers.in_flight(bytes).await;
        let (load, disk) = (self.clone(), Arc::clone(disk));
        let read = spawn_blocking(move || {
            let _permit = permit;
            portion.into_iter().filter_map(|lead| load.read_stored_block(&disk, lead)).collect()
        });
        // An error means that the runtime ends: the leads were dropped, and those who wait know.
        read.await.unwrap_or_default()
    }

    /// Reads one block from the disk; gives the lead back if it is not there.
    fn read_stored_block(&self, disk: &DiskTier, lead: Lead) -> Option<Lead> {
        let block = lead.key.block;
        let room = self.room(block);
        let Some(bytes) = disk.read(&self.object, block, &self.counter) else { return Some(lead) };
        self.counter.add(Tier::Disk, Figure::Hits, u64::from(lead.is_asked));
        if let Some(room) = room {
            room.fill(&self.object, block, bytes.clone());
        }
        lead.land(Ok(bytes));
        None
    }

    /// Loads a run of neighbouring blocks by one request.
    async fn fetch_run(&self, leads: Vec<Lead>, run: Range<u64>) {
        let range = self.tiers.blocks.bytes_of(&run, self.object.size);
        let permit = self.tiers.in_flight(range.end - range.start).await;
        let cargo = self.stow(leads, permit);
        let options = GetOptions::new().with_range(Some(range.clone())).with_if_match(self.object.strong_e_tag());
        self.counter.add(Tier::Origin, Figure::Requests, 1);
        let answer = within(self.tiers.settings.origin_timeout, self.origin.get_opts(&self.object.path, options)).await;
        let answer = match answer {
            Some(Ok(result)) => self.checked(result, &range),
            Some(Err(error)) => Err(TierError::of_origin("read", &self.object.label, &self.object.path, &error)),
            None => Err(self.silent()),
        };
        match answer {
            Ok(result) => self.unload(result, cargo).await,
            Err(error) => self.fail(cargo, &error),
        }
    }

    /// Takes the answer to a request for blocks that came before the version was known; returns the blocks it will deliver.
    pub(crate) fn board(&self, delivered: &Range<u64>, permit: Option<OwnedSemaphorePermit>) -> Discovered {
        let whole = self.tiers.blocks.whole_in(delivered, self.object.size);
        let mut desk = self.tiers.flights.desk(self.memory.as_deref());
        let leads: Vec<Lead> = whole.filter_map(|block| desk.lead(self.tiers.key(&self.object, block))).collect();
        drop(desk);
        Discovered(self.stow(leads, permit))
    }

    /// Receives the body of an answer that [`board`](Self::board) prepared for.
    pub(crate) async fn receive(&self, result: GetResult, discovered: Discovered) {
        self.unload(result, discovered.0).await;
    }

    fn stow(&self, leads: Vec<Lead>, mut permit: Option<OwnedSemaphorePermit>) -> VecDeque<Cargo> {
        let stowed = leads.into_iter().map(|lead| {
            let len = self.len(lead.key.block);
            let share = permit.as_mut().and_then(|permit| permit.split(permits(len) as usize));
            Cargo { room: self.room(lead.key.block), lead, permit: share }
        });
        stowed.collect()
    }

    /// Room in memory for a block, if it takes one.
    fn room(&self, block: u64) -> Option<MemoryRoom> {
        self.memory.as_ref()?.reserve(self.len(block))
    }

    fn len(&self, block: u64) -> u64 {
        self.tiers.blocks.len(block, self.object.size)
    }

    /// The answer, if it is of the version and range that were asked for.
    fn checked(&self, result: GetResult, range: &Range<u64>) -> Result<GetResult> {
        if !self.object.is_same(&result.meta) {
            let reason = format!("the object was replaced while it was being read: version {} is not there any more", self.object.version);
            return Err(self.error(ErrorKind::Precondition, reason));
        }
        if result.range != *range {
            let reason = format!("asked for bytes {range:?}, the answer holds {:?}", result.range);
            return Err(self.error(ErrorKind::Unreachable, reason));
        }
        Ok(result)
    }

    async fn unload(&self, result: GetResult, mut cargo: VecDeque<Cargo>) {
        let range = result.range.clone();
        let unloaded = match result.payload {
            GetResultPayload::Stream(body) => self.unload_stream(body, range, &mut cargo).await,
            GetResultPayload::File(file, _) => self.unload_file(file, &mut cargo).await,
        };
        if let Err(error) = unloaded {
            self.fail(cargo, &error);
        }
    }

    async fn unload_stream(
        &self,
        mut body: BoxStream<'static, object_store::Result<Bytes>>,
        range: Range<u64>,
        cargo: &mut VecDeque<Cargo>,
    ) -> Result<()> {
        let mut at = range.start;
        let mut block = Vec::new();
        loop {
            let mut chunk = match within(self.tiers.settings.origin_timeout, body.next()).await {
                Some(Some(Ok(chunk))) => chunk,
                Some(Some(Err(error))) => return Err(TierError::of_origin("read", &self.object.label, &self.object.path, &error)),
                Some(None) => break,
                None => return Err(self.silent()),
            };
            self.counter.add(Tier::Origin, Figure::BytesRead, chunk.len() as u64);
            if at + chunk.len() as u64 > range.end {
                return Err(self
                    .error(ErrorKind::Unreachable, format!("the answer is longer than the {} bytes asked for", range.end - range.start)));
            }
            while !chunk.is_empty() {
                at += self.unload_chunk(&mut chunk, at, &mut block, cargo);
            }
        }
        if at == range.end {
            return Ok(());
        }
        let (got, asked) = (at - range.start, range.end - range.start);
        Err(self.error(ErrorKind::Unreachable, format!("the answer broke off after {got} of {asked} bytes")))
    }

    /// Takes the start of a chunk that lies at `at` in the object: into the block being filled, or nowhere. Returns the bytes taken.
    fn unload_chunk(&self, chunk: &mut Bytes, at: u64, block: &mut Vec<u8>, cargo: &mut VecDeque<Cargo>) -> u64 {
        let wanted =
            cargo.front().map(|front| self.tiers.blocks.bytes_of(&(front.lead.key.block..front.lead.key.block + 1), self.object.size));
        let until = match &wanted {
            None => u64::MAX,
            Some(wanted) if at < wanted.start => wanted.start,
            Some(wanted) => wanted.end,
        };
        let taken = (until - at).min(chunk.len() as u64);
        match wanted {
            Some(wanted) if at >= wanted.start => {
                if block.capacity() == 0 {
                    block.reserve_exact((wanted.end - wanted.start) as usize);
                }
                block.extend_from_slice(&chunk[..taken as usize]);
                if at + taken == wanted.end
                    && let Some(front) = cargo.pop_front()
                {
                    self.deliver(front, Bytes::from(std::mem::take(block)));
                }
            }
            _ => {}
        }
        chunk.advance(taken as usize);
        taken
    }

    async fn unload_file(&self, file: File, cargo: &mut VecDeque<Cargo>) -> Result<()> {
        let (load, waiting) = (self.clone(), std::mem::take(cargo));
        let read = spawn_blocking(move || load.read_file(file, waiting)).await;
        let Ok((rest, outcome)) = read else { return Ok(()) };
        *cargo = rest;
        outcome.map_err(|error| self.error(ErrorKind::Unreachable, format!("the file could not be read whole: {error}")))
    }

    fn read_file(&self, mut file: File, mut cargo: VecDeque<Cargo>) -> (VecDeque<Cargo>, std::io::Result<()>) {
        while let Some(front) = cargo.front() {
            let block = front.lead.key.block;
            let range = self.tiers.blocks.bytes_of(&(block..block + 1), self.object.size);
            let mut bytes = vec![0; (range.end - range.start) as usize];
            let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
            if let Err(error) = read {
                return (cargo, Err(error));
            }
            self.counter.add(Tier::Origin, Figure::BytesRead, bytes.len() as u64);
            if let Some(front) = cargo.pop_front() {
                self.deliver(front, Bytes::from(bytes));
            }
        }
        (cargo, Ok(()))
    }

    /// Hands a block to memory, to those who wait, and to the disk behind their back.
    fn deliver(&self, cargo: Cargo, bytes: Bytes) {
        let Cargo { lead, room, permit } = cargo;
        let block = lead.key.block;
        self.counter.add(Tier::Origin, Figure::Hits, 1);
        if let Some(room) = room {
            room.fill(&self.object, block, bytes.clone());
        }
        lead.land(Ok(bytes.clone()));
        if let (Some(disk), Ok(runtime)) = (&self.disk, tokio::runtime::Handle::try_current()) {
            let (disk, object, counter) = (Arc::clone(disk), Arc::clone(&self.object), self.counter.clone());
            let (writers, task) = (Arc::clone(&self.tiers.writers), self.tiers.flights.begin());
            runtime.spawn(async move {
                let writer = writers.acquire_owned().await;
                spawn_blocking(move || {
                    disk.write(&object, block, &bytes, &counter);
                    drop(disk);
                    drop((lead, permit, writer, task));
                });
            });
        }
    }

    /// Gives an error to all who still wait. It is not kept: the next reader tries again.
    fn fail(&self, cargo: VecDeque<Cargo>, error: &TierError) {
        self.counter.add(Tier::Origin, Figure::LoadErrors, 1);
        if error.kind() == ErrorKind::Precondition || error.kind() == ErrorKind::NotFound {
            self.tiers.drop_blocks(&self.versions.doubt(&self.object));
        }
        cargo.iter().for_each(|cargo| cargo.lead.land(Err(error.clone())));
    }

    fn error(&self, kind: ErrorKind, reason: String) -> TierError {
        TierError::new(Tier::Origin, "read", self.object.location(), kind, reason)
    }

    fn silent(&self) -> TierError {
        self.error(ErrorKind::Unreachable, silence(self.tiers.settings.origin_timeout))
    }
}

/// What a future gives, if it does so in time. Without a runtime there is no clock, and it may take as long as it likes.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::time::timeout(limit, future).await.ok(),
        Err(_) => Some(future.await),
    }
}

/// The reason of an error for an origin that did not answer.
pub(crate) fn silence(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

/// The blocks that an answer will deliver.
pub(crate) struct Discovered(VecDeque<Cargo>);

impl Discovered {
    /// The blocks, to wait for.
    pub(crate) fn follow(&self) -> BTreeMap<u64, Follow> {
        self.0.iter().map(|cargo| (cargo.lead.key.block, cargo.lead.follow())).collect()
    }
}

/// Permits of the bytes in flight are given out in KiB.
pub(crate) fn permits(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
