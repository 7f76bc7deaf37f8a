//! Who may write several tables now, and whether the one who did is alive.

use std::fs::{File, OpenOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fs4::fs_std::FileExt;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use crate::error::{Error, Result};
use crate::storage::Root;

/// Time between two tries for a lock that somebody has.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// How writers of several tables keep out of each other's way.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Coordination {
    /// By a lock on a file beside the record: the system frees it when its process ends.
    LockFile,
    /// By a lock that the clones of one root share.
    InProcess(Arc<Mutex<()>>),
    /// By the lease in the record.
    Lease,
}

impl Coordination {
    /// The way for a place.
    pub(in crate::storage) fn of(url: &Url) -> Self {
        match url.scheme() {
            "file" => Self::LockFile,
            "memory" => Self::InProcess(Arc::default()),
            _ => Self::Lease,
        }
    }
}

/// The right to write several tables, given back when it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "the locks are held, not read")]
pub(super) enum Hold {
    File(File),
    Process(OwnedMutexGuard<()>),
    /// Nothing is held: the record says until when its writer counts as alive.
    Lease,
}

impl Hold {
    /// The right, if nobody has it now.
    pub(super) fn try_take(root: &Root) -> Result<Option<Self>> {
        match &root.coordination {
            Coordination::Lease => Ok(Some(Self::Lease)),
            Coordination::InProcess(lock) => Ok(Arc::clone(lock).try_lock_owned().ok().map(Self::Process)),
            Coordination::LockFile => try_lock_file(root),
        }
    }

    /// Waits for the right.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody keeps it longer than `patience`.
    pub(super) async fn take(root: &Root, patience: Duration) -> Result<Self> {
        let began = Instant::now();
        loop {
            if let Some(hold) = Self::try_take(root)? {
                return Ok(hold);
            }
            if began.elapsed() > patience {
                return Err(Error::Conflict(format!(
                    "another writer has been changing several tables of {} for {} seconds; nothing was written, run it again",
                    root.url(),
                    patience.as_secs()
                )));
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Whether no lock keeps others out.
    pub(super) fn is_lease(&self) -> bool {
        matches!(self, Self::Lease)
    }
}

fn try_lock_file(root: &Root) -> Result<Option<Hold>> {
    let place = root.own_path(&["joint.lock"]);
    let path = root.local(&place).ok_or_else(|| Error::Internal(format!("{place} is no file of {}", root.url())))?;
    let failed = |e| Error::storage(format!("locking {}", path.display()), e);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    Ok(FileExt::try_lock_exclusive(&file).map_err(failed)?.then_some(Hold::File(file)))
}
