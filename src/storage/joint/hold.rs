//! Who may write several tables now, and whether the one who did is alive.

use std::fs::{File, OpenOptions};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use fs4::fs_std::FileExt;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::task::JoinHandle;
use url::Url;

use super::record::{JointRecord, StoredRecord, Turn};
use crate::error::{Error, Result};
use crate::storage::Root;

/// Time between two tries for a lock that somebody has.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// How long a holder whose turn does not change counts as alive where no lock tells.
const LEASE: Duration = Duration::from_secs(30);
/// Signs of life that a holder gives within one lease.
const BEATS: u32 = 6;
/// Tries for a turn that somebody has within one lease.
const TRIES: u32 = 60;
/// How often giving a turn back is tried.
const GIVING_BACK: u32 = 3;
/// Age from which a turn is over at first sight: more than two clocks differ by.
const LONG_AGO: chrono::Duration = chrono::Duration::minutes(10);

/// How writers of several tables keep out of each other's way.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Coordination {
    /// By a lock on a file beside the record: the system frees it when its process ends.
    LockFile,
    /// By a lock that the clones of one root share.
    InProcess(Arc<Mutex<()>>),
    /// By the turn in the record, which its holder changes again and again as long as it lives.
    Lease(Arc<LeaseWatch>),
}

impl Coordination {
    /// The way for a place.
    pub(in crate::storage) fn of(url: &Url) -> Self {
        match url.scheme() {
            "file" => Self::LockFile,
            "memory" => Self::InProcess(Arc::default()),
            _ => Self::Lease(Arc::new(LeaseWatch::new(LEASE))),
        }
    }
}

/// What this process has seen of a turn that somebody else has.
///
/// Nobody's clock is compared with another's: a turn is over when it has stayed as it is for a whole lease, by the clock of who looks.
#[derive(Debug)]
pub(in crate::storage) struct LeaseWatch {
    lease: Duration,
    seen: std::sync::Mutex<Option<(Turn, Instant)>>,
}

impl LeaseWatch {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, seen: std::sync::Mutex::new(None) }
    }

    /// Whether the holder of a turn is dead, or as good as dead: who takes over makes all that it still writes fail.
    pub(super) fn is_over(&self, turn: &Turn, written: Option<DateTime<Utc>>) -> bool {
        if written.is_some_and(|written| Utc::now() - written > LONG_AGO) {
            return true;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.as_ref() {
            Some((known, since)) if known == turn => since.elapsed() > self.lease,
            _ => {
                *seen = Some((turn.clone(), Instant::now()));
                false
            }
        }
    }
}

/// The right to write several tables, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Hold {
    root: Root,
    stored: Arc<Mutex<StoredRecord>>,
    keeper: Keeper,
}

/// What keeps others out.
#[derive(Debug)]
enum Keeper {
    #[expect(dead_code, reason = "the lock is held, not read")]
    File(File),
    #[expect(dead_code, reason = "the lock is held, not read")]
    Process(OwnedMutexGuard<()>),
    /// The turn in the record, and the task that renews it. The turn is given back when the sender is gone.
    Lease { end: oneshot::Sender<()>, task: JoinHandle<()> },
}

impl Hold {
    /// The right, if nobody has it now.
    ///
    /// # Errors
    /// [`Error::Storage`] when the record, or the file that is locked, cannot be read or written.
    pub(super) async fn try_take(root: &Root) -> Result<Option<Self>> {
        let keeper = match &root.coordination {
            Coordination::Lease(watch) => return take_turn(root, watch).await,
            Coordination::InProcess(lock) => Arc::clone(lock).try_lock_owned().ok().map(Keeper::Process),
            Coordination::LockFile => try_lock_file(root)?,
        };
        let Some(keeper) = keeper else { return Ok(None) };
        let stored = Arc::new(Mutex::new(StoredRecord::read(root).await?));
        Ok(Some(Self { root: root.clone(), stored, keeper }))
    }

    /// Waits for the right.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody keeps it longer than `patience`.
    pub(super) async fn take(root: &Root, patience: Duration) -> Result<Self> {
        let pause = match &root.coordination {
            Coordination::Lease(watch) => watch.lease / TRIES,
            _ => RETRY_AFTER,
        };
        let began = Instant::now();
        loop {
            if let Some(hold) = Self::try_take(root).await? {
                return Ok(hold);
            }
            if began.elapsed() > patience {
                return Err(Error::Conflict(format!(
                    "another writer has been changing tables of {} for {} seconds; nothing was written, run it again",
                    root.url(),
                    patience.as_secs()
                )));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The database.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The record as it is.
    pub(super) async fn record(&self) -> JointRecord {
        self.stored.lock().await.record.clone()
    }

    /// Replaces the record.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer has taken the turn, [`Error::Storage`] when the record cannot be written.
    pub(super) async fn replace(&self, next: impl FnOnce(&JointRecord) -> JointRecord) -> Result<()> {
        let mut stored = self.stored.lock().await;
        let record = next(&stored.record);
        stored.replace(&self.root, record).await
    }

    /// Makes every replacement of the record fail that was begun before and has not come in yet.
    pub(super) async fn renew(&self) -> Result<()> {
        match &self.keeper {
            Keeper::Lease { .. } => self.replace(JointRecord::renewed).await,
            _ => Ok(()),
        }
    }

    /// Gives the right back, and returns when others see it.
    pub(super) async fn release(self) {
        if let Keeper::Lease { end, task } = self.keeper {
            drop(end);
            // A task that was stopped leaves the turn to run out.
            let _ = task.await;
        }
    }

    /// Stops the signs of life, as of a process that is suspended.
    #[cfg(test)]
    pub(super) fn suspend(&self) {
        if let Keeper::Lease { task, .. } = &self.keeper {
            task.abort();
        }
    }
}

async fn take_turn(root: &Root, watch: &LeaseWatch) -> Result<Option<Hold>> {
    let mut stored = StoredRecord::read(root).await?;
    if stored.record.turn.as_ref().is_some_and(|turn| !watch.is_over(turn, stored.written())) {
        return Ok(None);
    }
    let turn = Turn { id: uuid::Uuid::new_v4().to_string(), beat: 0 };
    let taken = JointRecord { turn: Some(turn.clone()), ..stored.record.clone() };
    match stored.replace(root, taken).await {
        Ok(()) => {}
        Err(Error::Conflict(_)) => return Ok(None),
        Err(other) => return Err(other),
    }
    let stored = Arc::new(Mutex::new(stored));
    let (end, ended) = oneshot::channel();
    let kept = KeptTurn { root: root.clone(), stored: Arc::clone(&stored), id: turn.id };
    let task = tokio::spawn(kept.keep(watch.lease / BEATS, ended));
    Ok(Some(Hold { root: root.clone(), stored, keeper: Keeper::Lease { end, task } }))
}

/// A turn that is renewed as long as its holder lives.
struct KeptTurn {
    root: Root,
    stored: Arc<Mutex<StoredRecord>>,
    id: String,
}

impl KeptTurn {
    async fn keep(self, pause: Duration, mut ended: oneshot::Receiver<()>) {
        while tokio::time::timeout(pause, &mut ended).await.is_err() {
            match self.replace(JointRecord::renewed).await {
                Ok(true) => {}
                // Given back with the commit point.
                Ok(false) => return,
                Err(Error::Conflict(_)) => {
                    tracing::warn!(database = %self.root.url(), "another writer took the turn of this one, which seemed dead");
                    return;
                }
                Err(error) => tracing::warn!(%error, "a sign of life of a writer of several tables could not be given; it is tried again"),
            }
        }
        self.give_back().await;
    }

    async fn give_back(&self) {
        for _ in 0..GIVING_BACK {
            let Err(error) = self.replace(|record| JointRecord { turn: None, ..record.clone() }).await else { return };
            tracing::debug!(%error, "the turn of a writer of several tables could not be given back");
            // A write whose answer was lost may have made the record another one.
            if let Ok(found) = StoredRecord::read(&self.root).await {
                *self.stored.lock().await = found;
            }
        }
        tracing::warn!(database = %self.root.url(), "the turn of a writer of several tables is left to run out: the next writer waits for it");
    }

    /// Replaces the record while it has this turn; whether it has.
    async fn replace(&self, next: impl FnOnce(&JointRecord) -> JointRecord) -> Result<bool> {
        let mut stored = self.stored.lock().await;
        if stored.record.turn.as_ref().is_none_or(|turn| turn.id != self.id) {
            return Ok(false);
        }
        let record = next(&stored.record);
        stored.replace(&self.root, record).await.map(|()| true)
    }
}

fn try_lock_file(root: &Root) -> Result<Option<Keeper>> {
    let place = root.own_path(&["joint.lock"]);
    let path = root.local(&place).ok_or_else(|| Error::Internal(format!("{place} is no file of {}", root.url())))?;
    let failed = |e| Error::storage(format!("locking {}", path.display()), e);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    Ok(FileExt::try_lock_exclusive(&file).map_err(failed)?.then_some(Keeper::File(file)))
}
