//! What an embedder chooses: sizes, limits, directories, freshness.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

use crate::error::{ErrorKind, Result, TierError};
use crate::tier::Tier;

/// Largest block.
pub(crate) const MOST_BLOCK_BYTES: u64 = 64 << 20;

/// Sizes, limits and directories of a set of tiers. All sizes are in bytes.
///
/// ```
/// use object_store_tiers::Settings;
/// let settings = Settings { memory_limit_bytes: 256 << 20, ..Settings::default() }.with_disk("/var/cache/blocks", 10 << 30);
/// assert_eq!(settings.block_bytes, 1 << 20);
/// ```
#[derive(Clone)]
pub struct Settings {
    /// Size of a block, the unit of loading, keeping and eviction. Default 1 MiB; 4 KiB to 64 MiB.
    pub block_bytes: u64,
    /// Byte limit of the memory tier, loads in flight included; 0 switches it off. Default 256 MiB.
    pub memory_limit_bytes: u64,
    /// Directory and byte limit of the disk tier. Default none.
    pub disk: Option<DiskSettings>,
    /// Most bytes that may be on their way from the origin or the disk, or to the disk, at one time. Default 64 MiB.
    pub in_flight_bytes: u64,
    /// Longest range asked of the origin in one request. Default 8 MiB; cut to `in_flight_bytes`.
    pub request_bytes: u64,
    /// Most requests that one read sends at one time. Default 8.
    pub parallel_requests: usize,
    /// How far to read ahead of a reader that reads an object in order; 0 is never. Default 4 MiB.
    pub read_ahead_bytes: u64,
    /// Whole objects up to this size that are put are kept in the tiers too. Default 8 MiB.
    pub write_through_bytes: u64,
    /// How long the origin may be silent, before its answer (its client's own retries included) or in the middle of it. Default 30 s.
    pub origin_timeout: Duration,
    /// Whether a known version is served when the origin cannot be reached to ask for the present one. Default false.
    pub serve_stale_on_error: bool,
    /// Called for each read that is served stale.
    pub on_stale: Option<StaleCallback>,
}

/// The disk tier's place and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// Directory for the entries; created when missing. Several processes may name the same one: each takes a sub-directory of its own.
    pub directory: PathBuf,
    /// Byte limit of this process's entries, writes in flight included.
    pub limit_bytes: u64,
}

/// Called for each read that is served stale.
pub type StaleCallback = Arc<dyn Fn(&StaleRead) + Send + Sync>;

/// A read that got a version which the origin could not be asked about.
#[derive(Debug, Clone)]
pub struct StaleRead {
    /// Label of the origin.
    pub origin: String,
    /// Path of the object.
    pub path: Path,
    /// The version that was served.
    pub version: String,
    /// Why the origin could not be asked.
    pub error: TierError,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            block_bytes: 1 << 20,
            memory_limit_bytes: 256 << 20,
            disk: None,
            in_flight_bytes: 64 << 20,
            request_bytes: 8 << 20,
            parallel_requests: 8,
            read_ahead_bytes: 4 << 20,
            write_through_bytes: 8 << 20,
            origin_timeout: Duration::from_secs(30),
            serve_stale_on_error: false,
            on_stale: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("block_bytes", &self.block_bytes)
            .field("memory_limit_bytes", &self.memory_limit_bytes)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// With a disk tier.
    pub fn with_disk(mut self, directory: impl Into<PathBuf>, limit_bytes: u64) -> Self {
        self.disk = Some(DiskSettings { directory: directory.into(), limit_bytes });
        self
    }

    /// The settings as they will hold, or what is wrong with them.
    ///
    /// A limit below one block is refused unless it is 0: such a tier would never hold anything.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming the setting.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let refused = |tier: Tier, what: String| Err(TierError::new(tier, "open", "settings", ErrorKind::Invalid, what));
        if !(4 << 10..=MOST_BLOCK_BYTES).contains(&self.block_bytes) {
            return refused(Tier::Origin, format!("block_bytes = {} is not between 4 KiB and 64 MiB", self.block_bytes));
        }
        if self.in_flight_bytes < self.block_bytes {
            let (limit, block) = (self.in_flight_bytes, self.block_bytes);
            return refused(Tier::Origin, format!("in_flight_bytes = {limit} is below one block of {block}"));
        }
        self.check_limit(Tier::Memory, self.memory_limit_bytes)?;
        if let Some(disk) = &self.disk {
            self.check_limit(Tier::Disk, disk.limit_bytes)?;
        }
        // One request at least for a block, one at a time at least, and no more than may be in flight.
        self.request_bytes = self.request_bytes.clamp(self.block_bytes, self.in_flight_bytes);
        self.parallel_requests = self.parallel_requests.max(1);
        Ok(self)
    }

    pub(crate) fn check_limit(&self, tier: Tier, limit_bytes: u64) -> Result<()> {
        if limit_bytes == 0 || limit_bytes >= self.block_bytes {
            return Ok(());
        }
        let reason = format!("a limit of {limit_bytes} bytes is below one block of {}; 0 switches the tier off", self.block_bytes);
        Err(TierError::new(tier, "set limit", "settings", ErrorKind::Invalid, reason))
    }
}

/// How long what is known of an object may be used without asking the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The object never changes under its path, as the data files of a Delta table: never asked again.
    Immutable,
    /// Asked for at each read, or once for each [scope](crate::TieredStore::scoped): a replaced object is seen by the next query.
    Revalidate,
    /// As [`Revalidate`](Self::Revalidate), unless the last answer is younger than this.
    MaxStaleness(Duration),
    /// Never kept: every read goes straight to the origin, as for the log of a Delta table.
    NoCache,
}

/// Chooses the [`VersionPolicy`] of a path.
pub type PolicyFn = Arc<dyn Fn(&Path) -> VersionPolicy + Send + Sync>;

/// An origin, as [`Tiers::store`](crate::Tiers::store) takes it.
#[derive(Clone)]
pub struct Origin {
    pub(crate) label: Arc<str>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) policy: PolicyFn,
    /// Cache tiers that take no blocks of it, by their place in [`TIERS`](crate::TIERS).
    declined: [bool; 2],
}

impl Origin {
    /// An origin whose objects are revalidated at each read.
    ///
    /// `label` names it in errors, statistics and the keys of the blocks, e.g. `s3://bucket`: it must be the same for the same store
    /// and must hold no secret. Nothing else of the store's configuration is ever printed.
    pub fn new(label: impl Into<Arc<str>>, store: Arc<dyn ObjectStore>) -> Self {
        Self { label: label.into(), store, policy: Arc::new(|_| VersionPolicy::Revalidate), declined: [false; 2] }
    }

    /// With a policy for each path.
    pub fn with_policy(mut self, policy: impl Fn(&Path) -> VersionPolicy + Send + Sync + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Says that the origin is a local directory: the disk tier then declines it, since a second copy on a disk saves nothing.
    pub fn local(self) -> Self {
        self.without(Tier::Disk)
    }

    /// Without a cache tier. Stores of the same label with different tiers may lie side by side, e.g. one for each table.
    pub fn without(mut self, tier: Tier) -> Self {
        if let Some(declined) = self.declined.get_mut(tier as usize) {
            *declined = true;
        }
        self
    }

    /// Whether a cache tier may take blocks of it.
    pub(crate) fn takes(&self, tier: Tier) -> bool {
        self.declined.get(tier as usize) == Some(&false)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("label", &self.label).field("declined", &self.declined).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_below_one_block_are_refused_with_the_remedy() {
        let settings = Settings { memory_limit_bytes: 1000, ..Settings::default() };
        let text = settings.checked().unwrap_err().to_string();
        assert!(
            text.starts_with("memory tier: set limit of 'settings' failed: a limit of 1000 bytes is below one block of 1048576"),
            "{text}"
        );
        assert!(Settings::default().with_disk("x", 5).checked().unwrap_err().to_string().starts_with("disk tier"));
        assert!(Settings { memory_limit_bytes: 0, ..Settings::default() }.checked().is_ok());
        assert!(Settings { block_bytes: 10, ..Settings::default() }.checked().is_err());
        assert!(Settings { in_flight_bytes: 10, ..Settings::default() }.checked().is_err());
    }
}
