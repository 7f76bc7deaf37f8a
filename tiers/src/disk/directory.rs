//! The directory of the disk tier: one sub-directory for each process, held by a lock, with one file for each entry.
//!
//! ```text
//! <directory>/process-0/lock                     held while a process uses this sub-directory
//! <directory>/process-0/0000000000000007.block   an entry, named by a running number
//! <directory>/process-0/0000000000000008.part    an entry that is being written; renamed when whole
//! ```
//! Other names are not ours: they are neither read, counted nor removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use fs4::fs_std::FileExt;

/// Processes that may share a directory.
const MOST_PROCESSES: usize = 64;

/// The sub-directory that this process holds.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    next_number: AtomicU64,
    /// Kept open: closing it gives the sub-directory free.
    _lock: File,
}

/// A whole entry found at start.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) number: u64,
    pub(crate) written_at: SystemTime,
}

impl Directory {
    /// Takes the first free sub-directory, makes what processes that ended left behind in others its own, removes half-written entries and
    /// lists whole ones, oldest first.
    pub(crate) fn open(parent: &FilePath) -> io::Result<(Self, Vec<Found>)> {
        let (path, lock, index) = take_free(parent)?;
        let mut found = list(&path)?;
        let next = found.iter().map(|f| f.number + 1).max().unwrap_or(1);
        let directory = Self { path, next_number: AtomicU64::new(next), _lock: lock };
        for other in (0..MOST_PROCESSES).filter(|other| *other != index) {
            found.extend(directory.adopt(&parent.join(format!("process-{other}")))?);
        }
        found.sort_by_key(|f| (f.written_at, f.number));
        Ok((directory, found))
    }

    /// Moves the entries of a sub-directory that no process holds into this one.
    fn adopt(&self, other: &FilePath) -> io::Result<Vec<Found>> {
        let Some(_lock) = lock(other, false)? else { return Ok(Vec::new()) };
        let mut adopted = Vec::new();
        for entry in list(other)? {
            let number = self.new_number();
            if fs::rename(block_file(other, entry.number), self.file(number)).is_ok() {
                adopted.push(Found { number, ..entry });
            }
        }
        Ok(adopted)
    }

    pub(crate) fn new_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The file of an entry.
    pub(crate) fn file(&self, number: u64) -> PathBuf {
        block_file(&self.path, number)
    }

    /// The file of an entry that is being written.
    pub(crate) fn part(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:016x}.part"))
    }

    /// Whether the sub-directory still exists.
    pub(crate) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    /// Removes an entry's file; whether it is gone.
    pub(crate) fn remove(&self, number: u64) -> bool {
        is_gone(&fs::remove_file(self.file(number)))
    }
}

fn block_file(folder: &FilePath, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.block"))
}

fn is_gone(removed: &io::Result<()>) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    removed.as_ref().err().is_none_or(|error| matches!(error.kind(), NotFound | NotADirectory))
}

fn take_free(parent: &FilePath) -> io::Result<(PathBuf, File, usize)> {
    for index in 0..MOST_PROCESSES {
        let path = parent.join(format!("process-{index}"));
        if let Some(lock) = lock(&path, true)? {
            return Ok((path, lock, index));
        }
    }
    Err(io::Error::other(format!("{MOST_PROCESSES} processes use it already")))
}

/// The lock of a sub-directory; none if a process holds it, or if it is not there and not to be made.
fn lock(folder: &FilePath, make: bool) -> io::Result<Option<File>> {
    if make {
        fs::create_dir_all(folder)?;
    } else if !folder.is_dir() {
        return Ok(None);
    }
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    Ok(file.try_lock_exclusive()?.then_some(file))
}

/// The whole entries of a sub-directory; half-written ones are removed.
fn list(folder: &FilePath) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, kind)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let Some(number) = number_of(number) else { continue };
        match kind {
            "part" => drop(fs::remove_file(entry.path())),
            "block" => {
                let written_at = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Found { number, written_at });
            }
            _ => {}
        }
    }
    Ok(found)
}

fn number_of(text: &str) -> Option<u64> {
    let is_ours = text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    u64::from_str_radix(text, 16).ok().filter(|number| is_ours && *number < u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_get_different_sub_directories_and_the_next_one_adopts_both() {
        let parent = tempfile::tempdir().unwrap();
        let (first, _) = Directory::open(parent.path()).unwrap();
        let (second, _) = Directory::open(parent.path()).unwrap();
        assert_ne!(first.path, second.path);
        for directory in [&first, &second] {
            fs::write(directory.file(directory.new_number()), "x").unwrap();
            fs::write(directory.part(directory.new_number()), "half").unwrap();
        }
        let strange = first.path.join("notes.block");
        fs::write(&strange, "mine").unwrap();
        drop((first, second));
        let (third, found) = Directory::open(parent.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|f| third.file(f.number).is_file()));
        let left: Vec<_> = fs::read_dir(parent.path().join("process-1")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
        assert_eq!(fs::read_dir(&third.path).unwrap().count(), 4, "two entries, the lock, and the strange file");
        assert!(strange.is_file(), "a file that is not ours was removed");
    }
}
