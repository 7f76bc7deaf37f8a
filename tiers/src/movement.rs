//! Moving blocks between the tiers on request: prefetch, pin, invalidate.

use std::ops::Range;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::GetRange;
use object_store::path::Path;

use crate::error::{ErrorKind, Result, TierError};
use crate::read::{Resolved, range_in};
use crate::settings::VersionPolicy;
use crate::store::TieredStore;
use crate::tier::Tier;
use crate::versions::ObjectVersion;

/// Room that an entry's header and the last page of its file take on disk, in bytes, at most.
const DISK_OVERHEAD: u64 = 8192;

impl TieredStore {
    /// Brings whole objects into the tiers; returns the bytes that passed.
    ///
    /// What exceeds a tier's limit pushes out what came before it.
    ///
    /// # Errors
    /// The first error of the origin; what came before it stays.
    pub async fn prefetch(&self, paths: &[Path]) -> Result<u64> {
        let parallel = self.tiers.settings.parallel_requests;
        let loads = stream::iter(paths.to_vec()).map(|path| async move { self.prefetch_ranges(&path, &[GetRange::Offset(0)]).await });
        loads.buffer_unordered(parallel).try_fold(0, |sum, bytes| std::future::ready(Ok(sum + bytes))).await
    }

    /// Brings ranges of an object into the tiers, whole blocks of them; returns the bytes of the ranges.
    ///
    /// # Errors
    /// As [`prefetch`](Self::prefetch), and a range that begins after the end of the object.
    pub async fn prefetch_ranges(&self, path: &Path, ranges: &[GetRange]) -> Result<u64> {
        self.refuse_uncached("prefetch", path)?;
        let Some(first) = ranges.first() else { return Ok(0) };
        let resolved = self.resolve(path, self.first_bytes(path, Some(first))?).await?;
        let mut bytes = 0;
        for range in ranges {
            if resolved.object.size == 0 {
                break;
            }
            let range = range_in(Some(range), resolved.object.size).map_err(|reason| self.error(ErrorKind::InvalidRange, path, reason))?;
            bytes += range.end - range.start;
            self.load_windows(&resolved, range, None).await?;
        }
        Ok(bytes)
    }

    /// Loads a range window by window; `tier` is one that must hold it in the end.
    async fn load_windows(&self, resolved: &Resolved, range: Range<u64>, tier: Option<Tier>) -> Result<()> {
        let most = (self.tiers.settings.request_bytes / self.tiers.blocks.bytes) as usize;
        let wanted: Vec<u64> = self.tiers.blocks.of(&range).collect();
        for window in wanted.chunks(most) {
            for (block, bytes) in self.blocks(resolved, window).await? {
                // A block that another reader's load or another tier had has not passed the tier.
                match tier {
                    Some(Tier::Disk) => self.keep_on_disk(&resolved.object, block, bytes).await,
                    Some(Tier::Memory) => self.keep_in_memory(&resolved.object, block, bytes),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Loads an object and keeps it until it is unpinned, in the disk tier if that takes it, else in memory. Returns its bytes.
    ///
    /// The pin is on the path: when the object is replaced, the blocks of the new version are pinned as they come in. Pins end with the
    /// process.
    ///
    /// # Errors
    /// [`ErrorKind::BeyondLimit`], naming the tier, if the pinned objects together would exceed its limit; then nothing is pinned.
    pub async fn pin(&self, path: &Path) -> Result<u64> {
        let tier = if self.tiers.disk_for(&self.origin).is_some() { Tier::Disk } else { Tier::Memory };
        self.pin_in(tier, path).await
    }

    /// As [`pin`](Self::pin), in a tier of choice.
    ///
    /// # Errors
    /// As [`pin`](Self::pin), and [`ErrorKind::Invalid`] for a tier that is off or declines this origin.
    pub async fn pin_in(&self, tier: Tier, path: &Path) -> Result<u64> {
        self.refuse_uncached("pin", path)?;
        self.refuse_off(tier, path)?;
        let resolved = self.resolve(path, None).await?;
        let object = &resolved.object;
        let blocks = object.size.div_ceil(self.tiers.blocks.bytes);
        self.refuse_beyond(tier, object, blocks)?;
        self.set_pinned(path, tier, object, true);
        let loaded = self.load_windows(&resolved, 0..object.size, Some(tier)).await;
        let held = self.blocks_of(tier, object);
        if loaded.is_ok() && held == blocks {
            return Ok(object.size);
        }
        self.unpin(path);
        loaded?;
        Err(self.beyond(tier, path, format!("only {held} of {blocks} blocks found room beside other pins and loads in flight")))
    }

    /// Lets a pinned object go the way of all others, in every tier.
    pub fn unpin(&self, path: &Path) {
        for tier in [Tier::Memory, Tier::Disk] {
            for object in self.versions.set_pinned(path, tier, false) {
                self.set_pinned_in(tier, &object, false);
            }
        }
    }

    /// Drops what is known and held of an object, or of all objects below a path. Returns the blocks dropped.
    ///
    /// The next read asks the origin, also for objects that never change.
    pub fn invalidate(&self, path: &Path) -> u64 {
        self.tiers.drop_blocks(&self.versions.forget_prefix(Some(path)))
    }

    /// As [`invalidate`](Self::invalidate), for all objects of the origin.
    pub fn invalidate_all(&self) -> u64 {
        self.tiers.drop_blocks(&self.versions.forget_prefix(None))
    }

    fn refuse_uncached(&self, operation: &'static str, path: &Path) -> Result<()> {
        if self.policy(path) != VersionPolicy::NoCache {
            return Ok(());
        }
        let reason = "objects of this path are never kept";
        Err(TierError::new(self.tiers.first_tier(&self.origin), operation, format!("{}/{path}", self.label()), ErrorKind::Invalid, reason))
    }

    fn refuse_off(&self, tier: Tier, path: &Path) -> Result<()> {
        let is_on = match tier {
            Tier::Memory => self.tiers.memory_for(&self.origin).is_some(),
            Tier::Disk => self.tiers.disk_for(&self.origin).is_some(),
            Tier::Origin => false,
        };
        let location = || format!("{}/{path}", self.label());
        if is_on {
            Ok(())
        } else {
            Err(TierError::new(tier, "pin", location(), ErrorKind::Invalid, "the tier is off or declines this origin"))
        }
    }

    fn refuse_beyond(&self, tier: Tier, object: &ObjectVersion, blocks: u64) -> Result<()> {
        let (held, needed) = match (tier, &self.tiers.disk) {
            (Tier::Disk, Some(disk)) => (disk.holdings(), object.size + blocks * DISK_OVERHEAD),
            _ => (self.tiers.memory.holdings(), object.size),
        };
        if held.pinned_bytes + needed <= held.limit_bytes {
            return Ok(());
        }
        let reason = format!("it needs {needed} bytes, {} are pinned already, and the limit is {}", held.pinned_bytes, held.limit_bytes);
        Err(self.beyond(tier, &object.path, reason))
    }

    fn beyond(&self, tier: Tier, path: &Path, reason: String) -> TierError {
        TierError::new(tier, "pin", format!("{}/{path}", self.label()), ErrorKind::BeyondLimit, reason)
    }

    fn set_pinned(&self, path: &Path, tier: Tier, object: &Arc<ObjectVersion>, pinned: bool) {
        self.versions.set_pinned(path, tier, pinned);
        self.set_pinned_in(tier, object, pinned);
    }

    fn set_pinned_in(&self, tier: Tier, object: &ObjectVersion, pinned: bool) {
        match (tier, &self.tiers.disk) {
            (Tier::Memory, _) => self.tiers.memory.set_pinned(object.id, pinned),
            (Tier::Disk, Some(disk)) => disk.set_pinned(object.id, pinned),
            _ => {}
        }
    }

    fn blocks_of(&self, tier: Tier, object: &ObjectVersion) -> u64 {
        match (tier, &self.tiers.disk) {
            (Tier::Disk, Some(disk)) => disk.blocks_of(object.id),
            _ => self.tiers.memory.blocks_of(object.id),
        }
    }
}
