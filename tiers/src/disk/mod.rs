//! The disk tier: blocks in files of a local directory, under a byte limit that holds with writes in flight.
//!
//! Each entry is a file that appears by rename, with a checksum over every byte of it; a damaged one is a miss, counted, removed and
//! loaded again, so nothing needs to be synchronised to the disk. foyer's block engine (foyer-storage 0.22) is not used, since it
//! writes entries into large shared blocks without rename and has no listing, no pins and no count of damaged entries.
//!
//! When the disk is full or the directory gone or read-only, the tier stands aside: it serves what it still can read, writes nothing
//! for a while, and says so in [`TierRow::problem`](crate::TierRow::problem). Reads go to the origin meanwhile.

mod directory;
mod entry;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::ObjectMeta;
use parking_lot::{Mutex, MutexGuard, RwLock};

use self::directory::{Directory, Found};
use self::entry::{Header, Unreadable};
use crate::blocks::BlockKey;
use crate::error::{ErrorKind, Result, TierError};
use crate::index::{Index, Inserted, Restored, Room};
use crate::settings::DiskSettings;
use crate::stats::{Counter, EntryRow, Figure, Holdings, ReadFigures};
use crate::tier::Tier;
use crate::versions::ObjectVersion;

/// How long a tier that stands aside waits before it tries to write again.
const ASIDE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct DiskTier {
    on: AtomicBool,
    parent: PathBuf,
    block_bytes: u64,
    /// How long to stand aside.
    aside: Duration,
    directory: RwLock<Arc<Directory>>,
    index: Mutex<Index<Stored>>,
    /// Set when the entries of earlier processes are in the index.
    taken_in: OnceLock<()>,
    problem: Mutex<Option<Problem>>,
    figures: Arc<ReadFigures>,
}

/// An entry's file.
#[derive(Debug, Clone, Copy)]
struct Stored {
    number: u64,
    charge: u64,
}

#[derive(Debug)]
struct Problem {
    text: String,
    since: Instant,
}

/// Says that a tier has taken in what there was, when it goes.
struct Over<'a>(&'a OnceLock<()>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.get_or_init(|| ());
    }
}

impl DiskTier {
    /// Opens the directory; what earlier processes left there waits for [`take_in`](Self::take_in), and every use of the tier waits for that.
    pub(crate) fn open(settings: &DiskSettings, block_bytes: u64, figures: Arc<ReadFigures>) -> Result<(Self, Vec<Found>)> {
        let (directory, found) = Directory::open(&settings.directory)
            .map_err(|error| TierError::new(Tier::Disk, "open", settings.directory.display().to_string(), ErrorKind::Invalid, error))?;
        let tier = Self {
            on: AtomicBool::new(settings.limit_bytes > 0),
            parent: settings.directory.clone(),
            block_bytes,
            aside: ASIDE,
            directory: RwLock::new(Arc::new(directory)),
            index: Mutex::new(Index::new(settings.limit_bytes)),
            taken_in: OnceLock::new(),
            problem: Mutex::new(None),
            figures,
        };
        Ok((tier, found))
    }

    /// Takes entries in, oldest first, so that the newest stay where not all fit; `restore` gives the version of an origin's object.
    ///
    /// Reads the header of each entry: less than 0.1 ms for each on a warm disk.
    pub(crate) fn take_in(&self, found: Vec<Found>, mut restore: impl FnMut(&str, ObjectMeta) -> Arc<ObjectVersion>) {
        // Whatever happens here, nobody waits for ever.
        let _over = Over(&self.taken_in);
        let directory = self.directory();
        for Found { number, written_at } in found {
            let header = entry::read_header(&directory.file(number));
            if matches!(header, Err(Unreadable::Corrupt)) {
                self.figures.add(Tier::Disk, Figure::Corrupt, 1);
            }
            let mut gone = Vec::new();
            let mut index = self.index.lock();
            let is_held = header.ok().filter(|header| header.block_bytes == self.block_bytes).is_some_and(|header| {
                let object = restore(&header.origin, header.meta.clone());
                let charge = header.charge();
                let restored = Restored { payload: Stored { number, charge }, charge, loaded_at: written_at };
                index.restore(&object, header.block, restored, &mut gone)
            });
            self.remove_files(&mut index, &gone);
            if !is_held {
                directory.remove(number);
            }
        }
        let mut index = self.index.lock();
        let retired = index.remove_retired();
        self.remove_files(&mut index, &retired);
    }

    /// Blocks the thread until [`take_in`](Self::take_in) is over.
    pub(crate) fn wait_until_taken_in(&self) {
        self.taken_in.wait();
    }

    /// What the tier holds, once it has taken in what was there.
    fn index(&self) -> MutexGuard<'_, Index<Stored>> {
        self.wait_until_taken_in();
        self.index.lock()
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read())
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    pub(crate) fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    pub(crate) fn contains(&self, key: &BlockKey) -> bool {
        self.is_on() && self.index().contains(key)
    }

    /// Reads a block and checks it; none if it is not here. Blocks the thread.
    pub(crate) fn read(&self, object: &ObjectVersion, block: u64, counter: &Counter) -> Option<Bytes> {
        let key = BlockKey { object: object.id, block };
        let stored = self.index().get(&key)?;
        match entry::read(&self.directory().file(stored.number), object, block) {
            Ok(bytes) => {
                counter.add(Tier::Disk, Figure::BytesRead, bytes.len() as u64);
                return Some(bytes);
            }
            Err(Unreadable::Missing) => {}
            Err(Unreadable::Corrupt) => counter.add(Tier::Disk, Figure::Corrupt, 1),
            Err(Unreadable::Io(error)) => {
                counter.add(Tier::Disk, Figure::LoadErrors, 1);
                self.stand_aside("read", &error);
            }
        }
        self.drop_entry(key, stored);
        None
    }

    /// Removes an entry that could not be read, unless it went meanwhile, or went and was written anew.
    fn drop_entry(&self, key: BlockKey, stored: Stored) {
        let mut index = self.index();
        if index.peek(&key).is_some_and(|present| present.number == stored.number) {
            index.remove(key);
            self.remove_files(&mut index, &[stored]);
        }
    }

    /// Removes the files of entries that went, while the index is locked: the bytes are free only when the files are gone.
    fn remove_files(&self, index: &mut Index<Stored>, gone: &[Stored]) {
        let directory = self.directory();
        for stored in gone {
            if !directory.remove(stored.number) {
                index.lose(stored.charge);
            }
        }
    }

    /// Writes a block, if the tier is on, is not standing aside, and has or can make room. Blocks the thread.
    pub(crate) fn write(&self, object: &Arc<ObjectVersion>, block: u64, payload: &Bytes, counter: &Counter) {
        let key = BlockKey { object: object.id, block };
        if !self.is_writable() || !object.is_live() || self.contains(&key) {
            return;
        }
        let Some(header) = Header::new(object, self.block_bytes, block, payload) else { return };
        let charge = header.charge();
        let Some(room) = self.make_room(charge) else { return };
        let directory = self.directory();
        let number = directory.new_number();
        let written = entry::write(&directory.part(number), &header, payload)
            .and_then(|()| std::fs::rename(directory.part(number), directory.file(number)));
        let mut index = self.index();
        if let Err(error) = written {
            drop(std::fs::remove_file(directory.part(number)));
            index.release(room);
            drop(index);
            counter.add(Tier::Disk, Figure::WriteErrors, 1);
            self.stand_aside("write", &error);
            return;
        }
        *self.problem.lock() = None;
        let stored = Stored { number, charge };
        if let Inserted::Refused(stored) = index.insert(object, block, stored, room, object.is_pinned(Tier::Disk)) {
            self.remove_files(&mut index, &[stored]);
        }
    }

    fn make_room(&self, charge: u64) -> Option<Room> {
        let mut gone = Vec::new();
        let mut index = self.index();
        let room = index.reserve(charge, &mut gone);
        self.remove_files(&mut index, &gone);
        self.figures.add(Tier::Disk, Figure::Evictions, gone.len() as u64);
        room
    }

    /// Whether to write. A tier that stands aside tries again after a while, in a new sub-directory if its own is gone.
    fn is_writable(&self) -> bool {
        if !self.is_on() {
            return false;
        }
        let mut problem = self.problem.lock();
        let Some(found) = problem.as_mut() else { return true };
        if found.since.elapsed() < self.aside {
            return false;
        }
        // One thread tries; the others see a problem that has just begun.
        found.since = Instant::now();
        drop(problem);
        self.try_again()
    }

    fn try_again(&self) -> bool {
        if self.directory().is_there() {
            return true;
        }
        let Ok((directory, found)) = Directory::open(&self.parent) else { return false };
        for entry in found {
            directory.remove(entry.number);
        }
        let mut index = self.index();
        drop(index.clear());
        index.regain();
        *self.directory.write() = Arc::new(directory);
        true
    }

    fn stand_aside(&self, operation: &'static str, error: &io::Error) {
        let text = format!("{operation} in '{}' failed: {error}; reads go to the origin", self.parent.display());
        let mut problem = self.problem.lock();
        if problem.is_none() {
            tracing::warn!(tier = Tier::Disk.name(), "{text}");
        }
        *problem = Some(Problem { text, since: Instant::now() });
    }

    /// Why the tier stands aside, if it does.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().as_ref().map(|problem| problem.text.clone())
    }

    pub(crate) fn remove_object(&self, object: u64) -> u64 {
        let mut index = self.index();
        let gone = index.remove_object(object);
        self.remove_files(&mut index, &gone);
        gone.len() as u64
    }

    pub(crate) fn clear(&self) {
        let mut index = self.index();
        let gone = index.clear();
        self.remove_files(&mut index, &gone);
    }

    /// Changes the limit; the error is the pinned bytes that exceed it.
    pub(crate) fn set_limit(&self, bytes: u64) -> std::result::Result<(), u64> {
        let mut gone = Vec::new();
        let mut index = self.index();
        index.set_limit(bytes, &mut gone)?;
        self.remove_files(&mut index, &gone);
        drop(index);
        self.figures.add(Tier::Disk, Figure::Evictions, gone.len() as u64);
        self.switch(bytes > 0);
        Ok(())
    }

    pub(crate) fn set_pinned(&self, object: u64, pinned: bool) {
        self.index().set_pinned(object, pinned);
    }

    pub(crate) fn blocks_of(&self, object: u64) -> u64 {
        self.index().blocks_of(object)
    }

    pub(crate) fn holdings(&self) -> Holdings {
        self.index().holdings()
    }

    pub(crate) fn rows(&self) -> Vec<EntryRow> {
        self.index().rows(Tier::Disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_whose_directory_was_removed_stands_aside_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let settings = DiskSettings { directory: folder.path().join("cache"), limit_bytes: 1 << 20 };
        let figures = Arc::new(ReadFigures::new());
        let (mut tier, found) = DiskTier::open(&settings, 4096, Arc::clone(&figures)).unwrap();
        tier.take_in(found, |_, _| ObjectVersion::for_test("a", 9000));
        let counter = Counter { total: Arc::clone(&figures), scope: None };
        let (object, bytes) = (ObjectVersion::for_test("a", 9000), Bytes::from(vec![7; 4096]));
        let write = |tier: &DiskTier, block| {
            tier.write(&object, block, &bytes, &counter);
            tier.read(&object, block, &counter)
        };
        assert_eq!(write(&tier, 0).as_ref(), Some(&bytes));
        std::fs::remove_dir_all(&settings.directory).unwrap();
        assert_eq!(write(&tier, 1), None);
        assert!(tier.problem().is_some());
        assert_eq!(write(&tier, 1), None, "not yet");
        assert_eq!(figures.get(Tier::Disk, Figure::WriteErrors), 1, "it did not even try");
        tier.aside = Duration::ZERO;
        assert_eq!(write(&tier, 1).as_ref(), Some(&bytes));
        assert_eq!((tier.problem(), tier.holdings().entries), (None, 1));
    }
}
