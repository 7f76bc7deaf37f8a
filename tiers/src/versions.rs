//! Which versions of which objects are known, and how fresh that knowledge is.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use chrono::DateTime;
use object_store::path::Path;
use object_store::{Attributes, ObjectMeta};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::settings::VersionPolicy;
use crate::tier::Tier;

/// Paths known to one origin before those without blocks are forgotten.
const MOST_IDLE_PATHS: usize = 1 << 16;

static NEXT_OBJECT: AtomicU64 = AtomicU64::new(1);

/// One version of one object. Its number stands for it in the keys of blocks.
#[derive(Debug)]
pub(crate) struct ObjectVersion {
    pub(crate) id: u64,
    pub(crate) label: Arc<str>,
    pub(crate) path: Path,
    /// The ETag, else size and time of modification.
    pub(crate) version: String,
    pub(crate) size: u64,
    /// Unknown after a write through the tiers, whose answer has no time of modification, until the next `head`.
    pub(crate) meta: Option<ObjectMeta>,
    pub(crate) attributes: Attributes,
    shared: Arc<Shared>,
}

/// What all descriptions of one version share.
#[derive(Debug, Default)]
struct Shared {
    is_retired: AtomicBool,
    pins: [AtomicBool; 2],
    /// The block after the last read, and how many reads in a row began there: a reader in order.
    next_block: AtomicU64,
    in_order: AtomicU64,
}

impl ObjectVersion {
    fn new(label: &Arc<str>, meta: ObjectMeta, attributes: Attributes) -> Self {
        let version = version_of(&meta);
        let id = NEXT_OBJECT.fetch_add(1, Ordering::Relaxed);
        let (label, path, size) = (Arc::clone(label), meta.location.clone(), meta.size);
        Self { id, label, path, version, size, meta: Some(meta), attributes, shared: Arc::default() }
    }

    /// The version that a write made, of which only ETag and size are known.
    fn written(label: &Arc<str>, path: &Path, e_tag: String, size: u64) -> Self {
        let id = NEXT_OBJECT.fetch_add(1, Ordering::Relaxed);
        let (label, path) = (Arc::clone(label), path.clone());
        Self { id, label, path, version: e_tag, size, meta: None, attributes: Attributes::new(), shared: Arc::default() }
    }

    /// The same version with what an answer told of it.
    fn described(&self, meta: ObjectMeta, attributes: Attributes) -> Self {
        let (label, path, version) = (Arc::clone(&self.label), self.path.clone(), self.version.clone());
        Self { id: self.id, label, path, version, size: self.size, meta: Some(meta), attributes, shared: Arc::clone(&self.shared) }
    }

    /// Whether an answer with this `meta` is of this version.
    pub(crate) fn is_same(&self, meta: &ObjectMeta) -> bool {
        self.size == meta.size && self.version == version_of(meta)
    }

    /// The ETag to send as a condition; none for weak ones, which a server never matches.
    pub(crate) fn strong_e_tag(&self) -> Option<&str> {
        self.meta.as_ref()?.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }

    /// Where it is, for errors: `label/path`.
    pub(crate) fn location(&self) -> String {
        format!("{}/{}", self.label, self.path)
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.shared.is_retired.load(Ordering::Acquire)
    }

    /// No block of it may come into a tier from now on.
    pub(crate) fn retire(&self) {
        self.shared.is_retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_pinned(&self, tier: Tier) -> bool {
        self.shared.pins.get(tier as usize).is_some_and(|pin| pin.load(Ordering::Acquire))
    }

    fn set_pinned(&self, tier: Tier, pinned: bool) {
        if let Some(pin) = self.shared.pins.get(tier as usize) {
            pin.store(pinned, Ordering::Release);
        }
    }

    /// Notes a read of these blocks and says whether it is at least the third in a row that goes on where the last one ended.
    pub(crate) fn is_read_in_order(&self, first: u64, after_last: u64) -> bool {
        let expected = self.shared.next_block.swap(after_last, Ordering::Relaxed);
        let goes_on = expected != 0 && (first == expected || first + 1 == expected) && after_last >= expected;
        if !goes_on {
            self.shared.in_order.store(0, Ordering::Relaxed);
            return false;
        }
        self.shared.in_order.fetch_add(1, Ordering::Relaxed) >= 1
    }

    #[cfg(test)]
    pub(crate) fn for_test(path: &str, size: u64) -> Arc<Self> {
        Arc::new(Self::written(&Arc::from("test"), &Path::from(path), format!("\"{path}\""), size))
    }
}

/// The ETag, else size and time of modification.
fn version_of(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) => tag.clone(),
        None => format!("{}-{}", meta.size, meta.last_modified.timestamp_micros()),
    }
}

/// What is known of one path.
#[derive(Default)]
struct Record {
    current: Option<Known>,
    /// A version that a write through the tiers made, whose blocks they may hold.
    written: Option<Arc<ObjectVersion>>,
    /// Raised by each invalidation, so that an answer to an older request is not taken for the present state.
    epoch: u64,
    gate: Arc<AsyncMutex<()>>,
    pins: [bool; 2],
}

#[derive(Clone)]
struct Known {
    object: Arc<ObjectVersion>,
    /// When the request was sent whose answer confirmed it; none since a restart.
    confirmed: Option<Instant>,
}

impl Record {
    fn objects(&self) -> impl Iterator<Item = &Arc<ObjectVersion>> {
        self.current.iter().map(|known| &known.object).chain(&self.written)
    }

    fn is_idle(&self) -> bool {
        self.pins == [false; 2] && Arc::strong_count(&self.gate) == 1 && self.objects().all(|object| Arc::strong_count(object) == 1)
    }
}

/// The versions known of one origin's objects.
pub(crate) struct Versions {
    pub(crate) label: Arc<str>,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    by_path: HashMap<Path, Record>,
    /// Number of paths at which idle ones are forgotten.
    tidy_at: usize,
    /// Raised when idle paths, and their epochs with them, are forgotten or a prefix is invalidated.
    epoch: u64,
}

impl fmt::Debug for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("label", &self.label).finish_non_exhaustive()
    }
}

/// When a request was sent, and the state of knowledge then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    at: Instant,
    epoch: (u64, u64),
}

/// What an answer changed.
pub(crate) struct Observed {
    pub(crate) object: Arc<ObjectVersion>,
    /// Versions that are no longer the present one: their blocks are to be dropped.
    pub(crate) superseded: Vec<Arc<ObjectVersion>>,
}

impl Versions {
    pub(crate) fn new(label: Arc<str>) -> Self {
        Self { label, records: Mutex::new(Records { tidy_at: MOST_IDLE_PATHS, ..Records::default() }) }
    }

    /// The present version if `policy` allows to use it for a read that began at `started` without asking the origin.
    pub(crate) fn fresh(&self, path: &Path, policy: VersionPolicy, started: Instant) -> Option<Arc<ObjectVersion>> {
        let records = self.records.lock();
        let known = records.by_path.get(path)?.current.as_ref()?;
        let is_fresh = match policy {
            VersionPolicy::Immutable => true,
            VersionPolicy::NoCache => false,
            VersionPolicy::Revalidate => known.confirmed.is_some_and(|at| at >= started),
            VersionPolicy::MaxStaleness(most) => known.confirmed.is_some_and(|at| started.saturating_duration_since(at) <= most),
        };
        is_fresh.then(|| Arc::clone(&known.object))
    }

    /// The last version known, however old.
    pub(crate) fn last_known(&self, path: &Path) -> Option<Arc<ObjectVersion>> {
        self.records.lock().by_path.get(path)?.current.as_ref().map(|known| Arc::clone(&known.object))
    }

    /// Whether any version is known, so that blocks of it may be held.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        self.records.lock().by_path.get(path).is_some_and(|record| record.objects().next().is_some())
    }

    /// The lock that lets one reader at a time ask the origin about a path.
    pub(crate) fn gate(&self, path: &Path) -> Arc<AsyncMutex<()>> {
        Arc::clone(&self.records.lock().record(path).gate)
    }

    /// To be called before a request is sent.
    pub(crate) fn asked(&self, path: &Path) -> Asked {
        let records = self.records.lock();
        let epoch = records.by_path.get(path).map_or(0, |record| record.epoch);
        Asked { at: Instant::now(), epoch: (records.epoch, epoch) }
    }

    /// Takes in an answer of the origin about a path.
    pub(crate) fn observe(&self, asked: Asked, meta: ObjectMeta, attributes: Attributes) -> Observed {
        let mut records = self.records.lock();
        let epoch = records.epoch;
        let record = records.record(&meta.location);
        if asked.epoch != (epoch, record.epoch) {
            // It was invalidated meanwhile: the answer serves this read, and nothing is remembered of it.
            let object = Arc::new(ObjectVersion::new(&self.label, meta, attributes));
            object.retire();
            return Observed { object, superseded: Vec::new() };
        }
        let same = record.objects().find(|object| object.is_same(&meta)).map(Arc::clone);
        let object = match same {
            Some(object) if object.meta.as_ref() == Some(&meta) && object.attributes == attributes => object,
            Some(object) => Arc::new(object.described(meta, attributes)),
            None => Arc::new(ObjectVersion::new(&self.label, meta, attributes)),
        };
        let superseded = record.objects().filter(|old| old.id != object.id).map(Arc::clone).collect::<Vec<_>>();
        for old in &superseded {
            old.retire();
        }
        for tier in [Tier::Memory, Tier::Disk] {
            object.set_pinned(tier, record.pins[tier as usize]);
        }
        record.written = None;
        record.current = Some(Known { object: Arc::clone(&object), confirmed: Some(asked.at) });
        Observed { object, superseded }
    }

    /// Takes in a line of a listing: it confirms what is known, or shows that the origin must be asked.
    ///
    /// It never makes a version: listings of some stores show no ETag or another form of it.
    pub(crate) fn observe_listed(&self, asked_at: Instant, meta: &ObjectMeta) {
        if meta.e_tag.is_none() {
            return;
        }
        if let Some(known) = self.records.lock().by_path.get_mut(&meta.location).and_then(|record| record.current.as_mut()) {
            known.confirmed = known.object.is_same(meta).then(|| known.confirmed.map_or(asked_at, |at| at.max(asked_at)));
        }
    }

    /// Notes the version that a write made. None where a later change makes that doubtful.
    pub(crate) fn note_written(&self, asked: Asked, path: &Path, e_tag: String, size: u64) -> Option<Arc<ObjectVersion>> {
        let mut records = self.records.lock();
        let epoch = records.epoch;
        let record = records.record(path);
        if asked.epoch != (epoch, record.epoch) {
            return None;
        }
        let object = Arc::new(ObjectVersion::written(&self.label, path, e_tag, size));
        for tier in [Tier::Memory, Tier::Disk] {
            object.set_pinned(tier, record.pins[tier as usize]);
        }
        record.written = Some(Arc::clone(&object));
        Some(object)
    }

    /// Takes in a version found on the disk at start; to be called in the order of writing, so that the last one holds. An earlier one of
    /// the same path is retired.
    pub(crate) fn restore(&self, meta: ObjectMeta) -> Arc<ObjectVersion> {
        let mut records = self.records.lock();
        let record = records.record(&meta.location);
        if let Some(known) = record.current.as_ref().filter(|known| known.object.is_same(&meta)) {
            return Arc::clone(&known.object);
        }
        if let Some(tag) = meta.e_tag.as_ref().filter(|_| meta.last_modified == DateTime::UNIX_EPOCH) {
            return record.restore_written(&self.label, &meta, tag);
        }
        let object = Arc::new(ObjectVersion::new(&self.label, meta, Attributes::new()));
        record.objects().for_each(|old| old.retire());
        record.written = None;
        record.current = Some(Known { object: Arc::clone(&object), confirmed: None });
        object
    }

    /// Forgets a path; returns the versions whose blocks are to be dropped.
    pub(crate) fn forget(&self, path: &Path) -> Vec<Arc<ObjectVersion>> {
        self.records.lock().record(path).forget()
    }

    /// Forgets a path and everything below it; with none, all.
    pub(crate) fn forget_prefix(&self, prefix: Option<&Path>) -> Vec<Arc<ObjectVersion>> {
        let mut records = self.records.lock();
        records.epoch += 1;
        let below = |path: &Path| prefix.is_none_or(|prefix| path.prefix_matches(prefix));
        records.by_path.iter_mut().filter(|(path, _)| below(path)).flat_map(|(_, record)| record.forget()).collect()
    }

    /// Makes a version, though immutable, be asked for again: the origin said that it has another one.
    pub(crate) fn doubt(&self, object: &ObjectVersion) -> Vec<Arc<ObjectVersion>> {
        let mut records = self.records.lock();
        let record = records.record(&object.path);
        if record.objects().any(|known| known.id == object.id) { record.forget() } else { Vec::new() }
    }

    /// Pins or unpins a path in a tier; returns the versions that are known.
    pub(crate) fn set_pinned(&self, path: &Path, tier: Tier, pinned: bool) -> Vec<Arc<ObjectVersion>> {
        let mut records = self.records.lock();
        let record = records.record(path);
        if let Some(pin) = record.pins.get_mut(tier as usize) {
            *pin = pinned;
        }
        let objects: Vec<_> = record.objects().map(Arc::clone).collect();
        objects.iter().for_each(|object| object.set_pinned(tier, pinned));
        objects
    }
}

impl Record {
    /// A version on the disk that a write made, and that no answer described before the process ended.
    fn restore_written(&mut self, label: &Arc<str>, meta: &ObjectMeta, tag: &str) -> Arc<ObjectVersion> {
        if let Some(written) = self.written.as_ref().filter(|written| written.is_same(meta)) {
            return Arc::clone(written);
        }
        self.objects().for_each(|old| old.retire());
        let object = Arc::new(ObjectVersion::written(label, &meta.location, tag.to_owned(), meta.size));
        self.current = None;
        self.written = Some(Arc::clone(&object));
        object
    }

    fn forget(&mut self) -> Vec<Arc<ObjectVersion>> {
        self.epoch += 1;
        let objects: Vec<_> = self.objects().map(Arc::clone).collect();
        objects.iter().for_each(|object| object.retire());
        (self.current, self.written) = (None, None);
        objects
    }
}

impl Records {
    fn record(&mut self, path: &Path) -> &mut Record {
        if self.by_path.len() >= self.tidy_at && !self.by_path.contains_key(path) {
            self.by_path.retain(|_, record| !record.is_idle());
            self.tidy_at = MOST_IDLE_PATHS.max(2 * self.by_path.len());
            self.epoch += 1;
        }
        self.by_path.entry(path.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn meta(path: &str, tag: Option<&str>, size: u64) -> ObjectMeta {
        ObjectMeta { location: Path::from(path), last_modified: DateTime::UNIX_EPOCH, size, e_tag: tag.map(String::from), version: None }
    }

    fn versions() -> Versions {
        Versions::new(Arc::from("test"))
    }

    #[test]
    fn freshness_by_policy() {
        let (versions, path) = (versions(), Path::from("a"));
        let before = Instant::now();
        let seen = versions.observe(versions.asked(&path), meta("a", Some("1"), 3), Attributes::new());
        let after = Instant::now() + Duration::from_secs(60);
        let is_fresh = |policy, started| versions.fresh(&path, policy, started).is_some_and(|object| object.id == seen.object.id);
        assert!(is_fresh(VersionPolicy::Immutable, after));
        assert!(is_fresh(VersionPolicy::Revalidate, before));
        assert!(!is_fresh(VersionPolicy::Revalidate, after));
        assert!(is_fresh(VersionPolicy::MaxStaleness(Duration::from_secs(120)), after));
        assert!(!is_fresh(VersionPolicy::MaxStaleness(Duration::from_secs(5)), after));
        assert!(!is_fresh(VersionPolicy::NoCache, before));
    }

    #[test]
    fn a_new_version_supersedes_the_old_one_and_the_same_one_keeps_its_number() {
        let (versions, path) = (versions(), Path::from("a"));
        let see = |tag, size| versions.observe(versions.asked(&path), meta("a", tag, size), Attributes::new());
        let first = see(Some("1"), 3);
        assert_eq!(see(Some("1"), 3).object.id, first.object.id);
        let second = see(Some("1"), 4);
        assert_eq!(second.superseded.iter().map(|o| o.id).collect::<Vec<_>>(), [first.object.id], "same tag, other size");
        assert!(!first.object.is_live() && second.object.is_live());
        assert_ne!(see(None, 4).object.version, "1");
    }

    #[test]
    fn an_answer_to_a_request_before_an_invalidation_is_not_remembered() {
        let (versions, path) = (versions(), Path::from("a/b"));
        let asked = versions.asked(&path);
        versions.forget(&path);
        versions.observe(asked, meta("a/b", Some("1"), 3), Attributes::new());
        assert!(!versions.knows(&path));
        let asked = versions.asked(&path);
        versions.forget_prefix(Some(&Path::from("a")));
        assert!(versions.note_written(asked, &path, "2".into(), 3).is_none());
    }

    #[test]
    fn a_listing_confirms_or_casts_doubt_and_makes_no_version() {
        let (versions, path) = (versions(), Path::from("a"));
        versions.observe_listed(Instant::now(), &meta("a", Some("1"), 3));
        assert!(!versions.knows(&path));
        versions.observe(versions.asked(&path), meta("a", Some("1"), 3), Attributes::new());
        let started = Instant::now();
        versions.observe_listed(Instant::now(), &meta("a", Some("1"), 3));
        assert!(versions.fresh(&path, VersionPolicy::Revalidate, started).is_some());
        versions.observe_listed(Instant::now(), &meta("a", Some("2"), 3));
        assert!(versions.fresh(&path, VersionPolicy::MaxStaleness(Duration::MAX), started).is_none());
    }

    #[test]
    fn a_written_version_is_completed_by_the_next_answer() {
        let (versions, path) = (versions(), Path::from("a"));
        let written = versions.note_written(versions.asked(&path), &path, "7".into(), 3).unwrap();
        assert!(versions.knows(&path) && versions.last_known(&path).is_none());
        let seen = versions.observe(versions.asked(&path), meta("a", Some("7"), 3), Attributes::new());
        assert_eq!(seen.object.id, written.id);
        assert!(seen.object.meta.is_some() && seen.superseded.is_empty());
    }

    #[test]
    fn readers_in_order_are_told_from_others() {
        let object = ObjectVersion::for_test("a", 100);
        let reads = [(0, 1), (1, 2), (2, 3), (2, 4), (9, 10), (10, 11), (3, 4)];
        let found: Vec<bool> = reads.iter().map(|(first, after)| object.is_read_in_order(*first, *after)).collect();
        assert_eq!(found, [false, false, true, true, false, false, false]);
    }
}
