//! One read: which version, which blocks, from where.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::blocks::Blocks;
use crate::error::{ErrorKind, Result, TierError};
use crate::flight::{Boarding, Desk, Follow, Lead};
use crate::load::{Load, silence, within};
use crate::settings::{StaleRead, VersionPolicy};
use crate::stats::Figure;
use crate::store::TieredStore;
use crate::tier::Tier;
use crate::versions::ObjectVersion;

/// How often a read starts over when the load that it waits for is abandoned.
const MOST_ABANDONED: usize = 3;

/// A slice of a block that is smaller than its length divided by this is copied out, so that a few bytes do not keep a block alive.
const COPIED_SHARE: usize = 4;

/// The version that a read uses.
pub(crate) struct Resolved {
    pub(crate) object: Arc<ObjectVersion>,
    /// Blocks that the request which found the version brings along: misses of this read, although their load is under way.
    discovered: Mutex<BTreeMap<u64, Follow>>,
}

impl From<Arc<ObjectVersion>> for Resolved {
    fn from(object: Arc<ObjectVersion>) -> Self {
        Self { object, discovered: Mutex::default() }
    }
}

impl TieredStore {
    /// The version of an object that a read is to use.
    ///
    /// `wanted` are bytes that the read will need: where no version is known, they are asked for and tell the version, so that a cold read
    /// is one request and not two.
    pub(crate) async fn resolve(&self, path: &Path, wanted: Option<Range<u64>>) -> Result<Resolved> {
        let policy = self.policy(path);
        let started = self.began();
        if let Some(object) = self.pinned_version(path).or_else(|| self.versions.fresh(path, policy, started)) {
            self.refuse_unlisted(&object)?;
            return Ok(self.pin_version(object).into());
        }
        let gate = self.versions.gate(path).lock_owned().await;
        if let Some(object) = self.versions.fresh(path, policy, started) {
            self.refuse_unlisted(&object)?;
            return Ok(self.pin_version(object).into());
        }
        let resolved = match wanted {
            Some(range) if !self.versions.knows(path) => self.discover(path, range, gate).await?,
            _ => self.revalidated(path).await?.into(),
        };
        let pinned = self.pin_version(Arc::clone(&resolved.object));
        self.refuse_unlisted(&pinned)?;
        // Another read of this query may have settled on a version meanwhile.
        Ok(if pinned.id == resolved.object.id { resolved } else { pinned.into() })
    }

    /// When this read, or the query that it belongs to, began: what the origin said since then is fresh.
    fn began(&self) -> Instant {
        self.scope.as_ref().map_or_else(Instant::now, |scope| scope.began)
    }

    /// Refuses a version of another size than the one that the query has seen in a listing: what was planned by that size would be read
    /// short, or wrong.
    pub(crate) fn refuse_unlisted(&self, object: &ObjectVersion) -> Result<()> {
        let listed = self.scope.as_ref().and_then(|scope| scope.listed.lock().get(&object.path).copied());
        match listed {
            Some(size) if size != object.size => {
                let reason = format!("it was listed with {size} bytes and has {} now: it was replaced", object.size);
                Err(self.error(ErrorKind::Precondition, &object.path, reason))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn pinned_version(&self, path: &Path) -> Option<Arc<ObjectVersion>> {
        self.scope.as_ref()?.versions.lock().get(path).map(Arc::clone)
    }

    /// Keeps a version for the rest of the query, so that one query never sees two.
    pub(crate) fn pin_version(&self, object: Arc<ObjectVersion>) -> Arc<ObjectVersion> {
        match &self.scope {
            Some(scope) => Arc::clone(scope.versions.lock().entry(object.path.clone()).or_insert(object)),
            None => object,
        }
    }

    /// Asks the origin for the present version, or serves the last one known where that is allowed and the origin does not answer.
    async fn revalidated(&self, path: &Path) -> Result<Arc<ObjectVersion>> {
        match self.head(path, GetOptions::new().with_head(true)).await {
            Ok(object) => Ok(object),
            Err(error) => self.stale(path, error),
        }
    }

    fn stale(&self, path: &Path, error: TierError) -> Result<Arc<ObjectVersion>> {
        if !self.tiers.settings.serve_stale_on_error || error.kind() != ErrorKind::Unreachable {
            return Err(error);
        }
        let Some(object) = self.versions.last_known(path) else { return Err(error) };
        self.counter.add(self.tiers.first_tier(&self.origin), Figure::StaleServed, 1);
        tracing::warn!(origin = &*self.origin.label, path = path.as_ref(), version = object.version, "served stale: {error}");
        if let Some(callback) = &self.tiers.settings.on_stale {
            let version = object.version.clone();
            callback(&StaleRead { origin: self.origin.label.to_string(), path: path.clone(), version, error });
        }
        Ok(object)
    }

    /// Asks the origin about an object; `options` ask for no content.
    pub(crate) async fn head(&self, path: &Path, options: GetOptions) -> Result<Arc<ObjectVersion>> {
        let asked = self.versions.asked(path);
        match self.ask("head", path, options).await {
            Ok(result) => {
                let observed = self.versions.observe(asked, result.meta, result.attributes);
                self.tiers.drop_blocks(&observed.superseded);
                Ok(observed.object)
            }
            Err(error) => {
                self.count_failure(&error);
                if error.kind() == ErrorKind::NotFound {
                    self.tiers.drop_blocks(&self.versions.forget(path));
                }
                Err(error)
            }
        }
    }

    /// Counts a request that failed, unless the answer is a sound one, as that there is no such object.
    pub(crate) fn count_failure(&self, error: &TierError) {
        use ErrorKind::{PermissionDenied, Unauthenticated, Unreachable};
        let is_failure = matches!(error.kind(), Unreachable | PermissionDenied | Unauthenticated);
        self.counter.add(Tier::Origin, Figure::LoadErrors, u64::from(is_failure));
    }

    /// One request to the origin, counted, within the time-out.
    pub(crate) async fn ask(&self, operation: &'static str, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.counter.add(Tier::Origin, Figure::Requests, 1);
        let limit = self.tiers.settings.origin_timeout;
        match within(limit, self.origin.store.get_opts(path, options)).await {
            Some(Ok(result)) => Ok(result),
            Some(Err(error)) => Err(TierError::of_origin(operation, &self.origin.label, path, &error)),
            None => {
                let location = format!("{}/{path}", self.origin.label);
                Err(TierError::new(Tier::Origin, operation, location, ErrorKind::Unreachable, silence(limit)))
            }
        }
    }

    /// Asks for bytes of an object of which no version is known; the answer tells the version and fills its blocks.
    ///
    /// Runs in a task of its own and holds the gate until the version is known, so that it goes on when the reader goes away.
    async fn discover(&self, path: &Path, wanted: Range<u64>, gate: OwnedMutexGuard<()>) -> Result<Resolved> {
        let (sender, receiver) = oneshot::channel();
        let (store, path) = (self.clone(), path.clone());
        let location = format!("{}/{path}", self.origin.label);
        self.spawn(&location, async move { store.run_discovery(&path, wanted, gate, sender).await })?;
        receiver.await.unwrap_or_else(|_| Err(abandoned(location)))
    }

    async fn run_discovery(self, path: &Path, wanted: Range<u64>, gate: OwnedMutexGuard<()>, sender: oneshot::Sender<Result<Resolved>>) {
        let blocks = self.tiers.blocks;
        let most = self.tiers.settings.request_bytes / blocks.bytes;
        let touched = blocks.of(&wanted);
        let range = blocks.bytes_of(&(touched.start..touched.end.min(touched.start + most)), u64::MAX);
        let permit = self.tiers.in_flight(range.end - range.start).await;
        let asked = self.versions.asked(path);
        let result = match self.ask("read", path, GetOptions::new().with_range(Some(range.clone()))).await {
            Ok(result) => result,
            Err(error) => {
                let found = self.empty_object(path, &range, error).await.inspect_err(|error| self.count_failure(error));
                drop(gate);
                drop(sender.send(found.map(Resolved::from)));
                return;
            }
        };
        let observed = self.versions.observe(asked, result.meta.clone(), result.attributes.clone());
        self.tiers.drop_blocks(&observed.superseded);
        let load = self.load(&observed.object);
        if result.range != (range.start..range.end.min(result.meta.size)) {
            let reason = format!("asked for bytes {range:?} of {}, the answer holds {:?}", result.meta.size, result.range);
            let error = TierError::new(Tier::Origin, "read", observed.object.location(), ErrorKind::Unreachable, reason);
            self.count_failure(&error);
            drop(sender.send(Err(error)));
            return;
        }
        let boarded = load.board(&result.range, permit);
        let resolved = Resolved { object: observed.object, discovered: Mutex::new(boarded.follow()) };
        drop(gate);
        drop(sender.send(Ok(resolved)));
        load.receive(result, boarded).await;
    }

    /// The version of an empty object, which has no range that could be asked for; else the error.
    async fn empty_object(&self, path: &Path, range: &Range<u64>, error: TierError) -> Result<Arc<ObjectVersion>> {
        let text = error.to_string();
        let is_about_range = error.kind() == ErrorKind::Unreachable && ["416", "range", "Range"].iter().any(|word| text.contains(word));
        if range.start > 0 || !is_about_range {
            return Err(error);
        }
        let object = self.head(path, GetOptions::new().with_head(true)).await?;
        if object.size == 0 { Ok(object) } else { Err(error) }
    }

    pub(crate) fn load(&self, object: &Arc<ObjectVersion>) -> Load {
        Load {
            tiers: Arc::clone(&self.tiers),
            origin: Arc::clone(&self.origin.store),
            versions: Arc::clone(&self.versions),
            object: Arc::clone(object),
            counter: self.counter.clone(),
            memory: self.tiers.memory_for(&self.origin).map(Arc::clone),
            disk: self.tiers.disk_for(&self.origin).map(Arc::clone),
        }
    }

    fn spawn(&self, location: &str, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            TierError::new(Tier::Origin, "read", location, ErrorKind::Invalid, "the tiers need a tokio runtime, and there is none here")
        })?;
        let running = self.tiers.flights.begin();
        drop(runtime.spawn(async move {
            task.await;
            drop(running);
        }));
        Ok(())
    }

    /// Blocks of a version, from wherever they are; `wanted` is in ascending order.
    pub(crate) async fn blocks(&self, resolved: &Resolved, wanted: &[u64]) -> Result<BTreeMap<u64, Bytes>> {
        let mut have = BTreeMap::new();
        for _ in 0..MOST_ABANDONED {
            let open: Vec<u64> = wanted.iter().copied().filter(|block| !have.contains_key(block)).collect();
            for (block, follow) in self.boarded(resolved, &open, &mut have)? {
                if let Some(landed) = follow.landed().await {
                    have.insert(block, landed?);
                }
            }
            if have.len() == wanted.len() {
                return Ok(have);
            }
        }
        Err(abandoned(resolved.object.location()))
    }

    /// Puts what memory holds into `have`, starts a load of what nobody loads yet, and returns what to wait for.
    fn boarded(&self, resolved: &Resolved, wanted: &[u64], have: &mut BTreeMap<u64, Bytes>) -> Result<Vec<(u64, Follow)>> {
        let object = &resolved.object;
        let memory = self.tiers.memory_for(&self.origin);
        let (mut waits, mut absent, mut tally) = (Vec::new(), Vec::new(), Tally::default());
        for &block in wanted {
            if let Some(follow) = resolved.discovered.lock().remove(&block) {
                tally.discovered += 1;
                waits.push((block, follow));
            } else if let Some(bytes) = memory.and_then(|memory| memory.get(&self.tiers.key(object, block))) {
                tally.hit(&bytes);
                have.insert(block, bytes);
            } else {
                absent.push(block);
            }
        }
        let ahead = self.ahead(object, wanted);
        let mut leads = Vec::new();
        if !absent.is_empty() {
            // All at once, so that the runs of two readers that come at the same time do not cut each other up.
            let mut desk = self.tiers.flights.desk(memory.map(|memory| &**memory));
            for block in absent {
                match desk.join(self.tiers.key(object, block)) {
                    Boarding::Present(bytes) => {
                        tally.hit(&bytes);
                        have.insert(block, bytes);
                    }
                    Boarding::Follow(follow) => {
                        tally.waits += 1;
                        waits.push((block, follow));
                    }
                    Boarding::Lead(lead) => {
                        tally.leads += 1;
                        waits.push((block, lead.follow()));
                        leads.push(lead);
                    }
                }
            }
            self.read_ahead(object, ahead, &mut desk, &mut leads);
        }
        self.count(&tally);
        if !leads.is_empty() {
            let load = self.load(object);
            self.spawn(&object.location(), async move { load.run(leads).await })?;
        }
        Ok(waits)
    }

    fn count(&self, tally: &Tally) {
        let memory = u64::from(self.tiers.memory_for(&self.origin).is_some());
        let disk = u64::from(self.tiers.disk_for(&self.origin).is_some());
        self.counter.add(Tier::Memory, Figure::Hits, tally.hits);
        self.counter.add(Tier::Memory, Figure::BytesRead, tally.hit_bytes);
        self.counter.add(Tier::Memory, Figure::Misses, memory * (tally.leads + tally.discovered));
        // The disk counts the others itself when it is asked.
        self.counter.add(Tier::Disk, Figure::Misses, disk * tally.discovered);
        self.counter.add(self.tiers.first_tier(&self.origin), Figure::Waits, tally.waits);
    }

    /// The blocks to read ahead, if the object is being read in order.
    fn ahead(&self, object: &ObjectVersion, wanted: &[u64]) -> Range<u64> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return 0..0 };
        let after = last + 1;
        if !object.is_read_in_order(*first, after) {
            return 0..0;
        }
        let total = object.size.div_ceil(self.tiers.blocks.bytes);
        after..total.min(after + self.most_ahead())
    }

    /// Adds blocks to a load whose last block they follow, up to the first one that is here or on its way.
    fn read_ahead(&self, object: &ObjectVersion, ahead: Range<u64>, desk: &mut Desk<'_>, leads: &mut Vec<Lead>) {
        for block in ahead {
            if leads.last().is_none_or(|lead| lead.key.block + 1 != block) {
                return;
            }
            let Some(mut lead) = desk.lead(self.tiers.key(object, block)) else { return };
            lead.is_asked = false;
            leads.push(lead);
        }
    }

    /// Blocks to read ahead: no more than an eighth of the tier that will hold them.
    fn most_ahead(&self) -> u64 {
        let limit = match (self.tiers.memory_for(&self.origin), self.tiers.disk_for(&self.origin)) {
            (Some(memory), _) => memory.holdings().limit_bytes,
            (None, Some(disk)) => disk.holdings().limit_bytes,
            (None, None) => 0,
        };
        self.tiers.settings.read_ahead_bytes.min(limit / 8) / self.tiers.blocks.bytes
    }

    /// The bytes of ranges that lie in the object.
    pub(crate) async fn ranges(&self, resolved: &Resolved, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let blocks = self.tiers.blocks;
        let mut wanted: Vec<u64> = ranges.iter().flat_map(|range| blocks.of(range)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let have = self.blocks(resolved, &wanted).await?;
        let assembled = ranges.iter().map(|range| assembled(blocks, range, &have).ok_or_else(|| self.short(resolved, range)));
        assembled.collect()
    }

    /// The bytes of one range, one piece for each block, without copying them together.
    pub(crate) async fn pieces(&self, resolved: &Resolved, range: Range<u64>) -> Result<Vec<Bytes>> {
        let blocks = self.tiers.blocks;
        let wanted: Vec<u64> = blocks.of(&range).collect();
        let have = self.blocks(resolved, &wanted).await?;
        let pieces = wanted.iter().map(|block| {
            let within = have.get(block).and_then(|bytes| slice(blocks, &range, *block, bytes));
            within.ok_or_else(|| self.short(resolved, &range))
        });
        pieces.collect()
    }

    fn short(&self, resolved: &Resolved, range: &Range<u64>) -> TierError {
        let reason = format!("a block of bytes {range:?} is shorter than it must be");
        TierError::new(self.tiers.first_tier(&self.origin), "read", resolved.object.location(), ErrorKind::Unreachable, reason)
    }

    pub(crate) fn policy(&self, path: &Path) -> VersionPolicy {
        (self.origin.policy)(path)
    }
}

fn abandoned(location: String) -> TierError {
    TierError::new(Tier::Origin, "read", location, ErrorKind::Unreachable, "the load was given up: its runtime ended")
}

/// What a read found, block by block.
#[derive(Default)]
struct Tally {
    hits: u64,
    hit_bytes: u64,
    waits: u64,
    leads: u64,
    discovered: u64,
}

impl Tally {
    fn hit(&mut self, bytes: &Bytes) {
        self.hits += 1;
        self.hit_bytes += bytes.len() as u64;
    }
}

/// The part of a block that lies in `range`.
fn slice(blocks: Blocks, range: &Range<u64>, block: u64, bytes: &Bytes) -> Option<Bytes> {
    let start = block * blocks.bytes;
    let from = range.start.saturating_sub(start) as usize;
    let to = (range.end - start).min(blocks.bytes) as usize;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}

fn assembled(blocks: Blocks, range: &Range<u64>, have: &BTreeMap<u64, Bytes>) -> Option<Bytes> {
    let touched = blocks.of(range);
    let piece = |block| slice(blocks, range, block, have.get(&block)?);
    if touched.end - touched.start == 1 {
        let piece = piece(touched.start)?;
        let is_small = piece.len() < blocks.bytes as usize / COPIED_SHARE;
        return Some(if is_small { Bytes::copy_from_slice(&piece) } else { piece });
    }
    let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
    for block in touched {
        whole.extend_from_slice(&piece(block)?);
    }
    Some(whole.freeze())
}

/// The bytes of an object that a request means.
///
/// # Errors
/// The reason, for a range that is empty or begins after the end.
pub(crate) fn range_in(range: Option<&GetRange>, size: u64) -> std::result::Result<Range<u64>, String> {
    let outside = |start: u64| Err(format!("the range starts at {start}, and the object has {size} bytes"));
    match range {
        None => Ok(0..size),
        Some(GetRange::Suffix(len)) => Ok(size.saturating_sub(*len)..size),
        Some(GetRange::Offset(start)) if *start >= size => outside(*start),
        Some(GetRange::Offset(start)) => Ok(*start..size),
        Some(GetRange::Bounded(range)) if range.is_empty() => Err(format!("the range {range:?} is empty")),
        Some(GetRange::Bounded(range)) if range.start >= size => outside(range.start),
        Some(GetRange::Bounded(range)) => Ok(range.start..range.end.min(size)),
    }
}
