//! The tiers themselves: what all stores over them share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blocks::{BlockKey, Blocks};
use crate::disk::DiskTier;
use crate::error::{ErrorKind, Result, TierError};
use crate::flight::Flights;
use crate::load::permits;
use crate::memory::MemoryTier;
use crate::settings::{Origin, Settings};
use crate::stats::{EntryRow, Holdings, ReadFigures, TierRow};
use crate::store::TieredStore;
use crate::tier::{TIERS, Tier};
use crate::versions::{ObjectVersion, Versions};

/// Blocks that are written to the disk at one time.
const DISK_WRITERS: usize = 4;

/// What is known of the objects of each origin, by its label.
type Origins = HashMap<Arc<str>, Arc<Versions>>;

/// A memory tier and a disk tier, shared by any number of stores over them. Cheap to clone.
#[derive(Clone)]
pub struct Tiers(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) blocks: Blocks,
    pub(crate) memory: Arc<MemoryTier>,
    pub(crate) disk: Option<Arc<DiskTier>>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) writers: Arc<Semaphore>,
    pub(crate) figures: Arc<ReadFigures>,
    in_flight: Arc<Semaphore>,
    in_flight_permits: u32,
    origins: Arc<Mutex<Origins>>,
}

impl Tiers {
    /// Opens the tiers. The disk tier takes in what earlier processes left in its directory.
    ///
    /// Blocks the thread while it lists the directory. The entries are read behind it, less than 0.1 ms for each, and the first store
    /// waits for that.
    ///
    /// # Errors
    /// A setting that cannot be used, a cache directory that cannot be made or locked, or no thread to read it.
    pub fn open(settings: Settings) -> Result<Self> {
        let settings = settings.checked()?;
        let blocks = Blocks { bytes: settings.block_bytes };
        let figures = Arc::new(ReadFigures::new());
        let memory = Arc::new(MemoryTier::new(settings.memory_limit_bytes, Arc::clone(&figures)));
        let origins: Arc<Mutex<Origins>> = Arc::default();
        let disk = match &settings.disk {
            Some(disk) => {
                let (tier, found) = DiskTier::open(disk, settings.block_bytes, Arc::clone(&figures))?;
                let tier = Arc::new(tier);
                let (taking, origins) = (Arc::clone(&tier), Arc::clone(&origins));
                let take_in = move || taking.take_in(found, |label, meta| versions_of(&mut origins.lock(), label).restore(meta));
                let started = thread::Builder::new().name("disk-tier".into()).spawn(take_in);
                started.map_err(|e| TierError::new(Tier::Disk, "open", disk.directory.display().to_string(), ErrorKind::Invalid, e))?;
                Some(tier)
            }
            None => None,
        };
        let in_flight_permits = permits(settings.in_flight_bytes);
        Ok(Self(Arc::new(Shared {
            blocks,
            memory,
            disk,
            flights: Arc::default(),
            writers: Arc::new(Semaphore::new(DISK_WRITERS)),
            figures,
            in_flight: Arc::new(Semaphore::new(in_flight_permits as usize)),
            in_flight_permits,
            origins,
            settings,
        })))
    }

    /// A store over `origin` that reads through these tiers. Stores of the same label share what is known of its objects.
    ///
    /// Waits until the disk tier knows what earlier processes left: a version that they kept must not come after one that was just read.
    pub fn store(&self, origin: Origin) -> TieredStore {
        self.0.disk.iter().for_each(|disk| disk.wait_until_taken_in());
        let versions = Arc::clone(versions_of(&mut self.0.origins.lock(), &origin.label));
        TieredStore::new(Arc::clone(&self.0), origin, versions)
    }

    /// One row for each tier, in the order of [`TIERS`].
    pub fn statistics(&self) -> Vec<TierRow> {
        TIERS.iter().map(|t| self.0.row(t.tier)).collect()
    }

    /// One row for each object that a tier holds blocks of, by tier, origin and path.
    pub fn entries(&self) -> Vec<EntryRow> {
        let mut rows = self.0.memory.rows();
        rows.sort_by(|a, b| (&a.origin, &a.path).cmp(&(&b.origin, &b.path)));
        let mut stored: Vec<_> = self.0.disk.iter().flat_map(|disk| disk.rows()).collect();
        stored.sort_by(|a, b| (&a.origin, &a.path).cmp(&(&b.origin, &b.path)));
        rows.append(&mut stored);
        rows
    }

    /// The counters behind [`statistics`](Self::statistics).
    pub fn figures(&self) -> &Arc<ReadFigures> {
        &self.0.figures
    }

    /// Sets all counters to zero; what the tiers hold stays.
    pub fn reset(&self) {
        self.0.figures.reset();
    }

    /// Drops everything that a tier holds, pinned blocks too; pins stay, for the blocks that come in later. The origin holds nothing.
    pub fn clear(&self, tier: Tier) {
        match tier {
            Tier::Memory => self.0.memory.clear(),
            Tier::Disk => self.0.disk.iter().for_each(|disk| disk.clear()),
            Tier::Origin => {}
        }
    }

    /// Changes a tier's byte limit and evicts at once; 0 switches the tier off, any other limit switches it on.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a limit below one block, a disk tier without a directory, or the origin;
    /// [`ErrorKind::BeyondLimit`] if pinned blocks alone exceed the limit.
    pub fn set_limit(&self, tier: Tier, limit_bytes: u64) -> Result<()> {
        self.0.settings.check_limit(tier, limit_bytes)?;
        let pinned = match tier {
            Tier::Memory => self.0.memory.set_limit(limit_bytes),
            Tier::Disk => self.disk("set limit")?.set_limit(limit_bytes),
            Tier::Origin => return Err(refused(tier, "set limit", "it has no limit")),
        };
        pinned.map_err(|pinned| {
            let reason = format!("{pinned} bytes are pinned, more than a limit of {limit_bytes}");
            TierError::new(tier, "set limit", "settings", ErrorKind::BeyondLimit, reason)
        })
    }

    /// Switches a tier on or off. A tier that is off keeps what it holds, serves nothing and takes nothing in.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a disk tier without a directory, a limit of 0, or the origin.
    pub fn switch(&self, tier: Tier, on: bool) -> Result<()> {
        let limit = self.0.row(tier).limit_bytes;
        match tier {
            Tier::Origin => return Err(refused(tier, "switch", "it is always on")),
            Tier::Disk => drop(self.disk("switch")?),
            Tier::Memory => {}
        }
        if on && limit == Some(0) {
            return Err(refused(tier, "switch", "its limit is 0: set a limit"));
        }
        match tier {
            Tier::Memory => self.0.memory.switch(on),
            _ => self.disk("switch")?.switch(on),
        }
        Ok(())
    }

    /// Waits until no load and no write to the disk is under way.
    pub async fn settled(&self) {
        self.0.flights.settled().await;
    }

    fn disk(&self, operation: &'static str) -> Result<&Arc<DiskTier>> {
        self.0.disk.as_ref().ok_or_else(|| refused(Tier::Disk, operation, "no directory was given for it when the tiers were opened"))
    }
}

fn refused(tier: Tier, operation: &'static str, reason: &str) -> TierError {
    TierError::new(tier, operation, "settings", ErrorKind::Invalid, reason)
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

fn versions_of<'o>(origins: &'o mut Origins, label: &str) -> &'o Arc<Versions> {
    let label: Arc<str> = Arc::from(label);
    origins.entry(Arc::clone(&label)).or_insert_with(|| Arc::new(Versions::new(label)))
}

impl Shared {
    pub(crate) fn key(&self, object: &ObjectVersion, block: u64) -> BlockKey {
        BlockKey { object: object.id, block }
    }

    /// Waits until so many bytes may be in flight; the share of one that is larger than all is all.
    pub(crate) async fn in_flight(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let wanted = permits(bytes).min(self.in_flight_permits);
        Arc::clone(&self.in_flight).acquire_many_owned(wanted).await.ok()
    }

    /// The disk tier, if it is on and takes blocks of such an origin.
    pub(crate) fn disk_for(&self, origin: &Origin) -> Option<&Arc<DiskTier>> {
        self.disk.as_ref().filter(|disk| disk.is_on() && origin.takes(Tier::Disk))
    }

    /// The memory tier, if it is on and takes blocks of such an origin.
    pub(crate) fn memory_for(&self, origin: &Origin) -> Option<&Arc<MemoryTier>> {
        Some(&self.memory).filter(|memory| memory.is_on() && origin.takes(Tier::Memory))
    }

    pub(crate) fn drop_blocks(&self, objects: &[Arc<ObjectVersion>]) -> u64 {
        let removed = objects
            .iter()
            .map(|object| self.memory.remove_object(object.id) + self.disk.as_ref().map_or(0, |disk| disk.remove_object(object.id)));
        removed.sum()
    }

    /// The tier that readers ask first: it counts what cannot be told to belong to one tier.
    pub(crate) fn first_tier(&self, origin: &Origin) -> Tier {
        match (self.memory_for(origin), self.disk_for(origin)) {
            (Some(_), _) => Tier::Memory,
            (None, Some(_)) => Tier::Disk,
            (None, None) => Tier::Origin,
        }
    }

    fn row(&self, tier: Tier) -> TierRow {
        let (on, holdings, problem) = match (tier, &self.disk) {
            (Tier::Memory, _) => (self.memory.is_on(), Some(self.memory.holdings()), None),
            (Tier::Disk, Some(disk)) => (disk.is_on(), Some(disk.holdings()), disk.problem()),
            (Tier::Disk, None) => (false, Some(Holdings::default()), None),
            (Tier::Origin, _) => (true, None, None),
        };
        TierRow::new(tier, on, holdings, &self.figures, problem)
    }
}
