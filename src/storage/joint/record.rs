//! The record of joint commits: what it says and how it is replaced.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};

use super::hold::Coordination;
use crate::error::{Error, Result};
use crate::storage::Root;

/// Joint commits that the record remembers for statements that began before them.
const REMEMBERED: usize = 32;

/// What is known of joint commits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JointRecord {
    /// Number of the last joint commit that was begun, from 1.
    pub(super) sequence: u64,
    /// The one under way, or left behind by a writer that died: it has the number `sequence`.
    pub(super) pending: Option<Pending>,
    /// The last ones that were settled, oldest first.
    pub(super) recent: Vec<Settled>,
    /// Who may write several tables now, where no lock tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) turn: Option<Turn>,
}

/// The right to write several tables as the record tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// Identity of its holder.
    pub(super) id: String,
    /// Signs of life that the holder has given.
    pub(super) beat: u64,
}

/// A joint commit that is not settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Its identity, as in the notes of its Delta commits.
    pub(super) id: String,
    /// Its tables.
    pub(super) tables: BTreeMap<String, Base>,
}

/// A table before a joint commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    /// Identity of the table; none where it does not exist yet.
    pub(super) table_id: Option<String>,
    /// Version; none where the table does not exist yet.
    pub(super) version: Option<u64>,
}

/// A joint commit that has come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settled {
    pub(super) sequence: u64,
    /// Whether it was taken back.
    pub(super) undone: bool,
    pub(super) tables: BTreeMap<String, Span>,
}

/// Versions of a table that a joint commit made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) table_id: String,
    /// Version before; none where the table was made.
    pub(super) base: Option<u64>,
    /// Version when it was settled.
    pub(super) last: u64,
}

impl JointRecord {
    /// The number of the last joint commit whose versions readers may see.
    pub(super) fn visible_sequence(&self) -> u64 {
        self.sequence - u64::from(self.pending.is_some())
    }

    /// The record with one more joint commit begun.
    pub(super) fn begun(&self, pending: Pending) -> Self {
        Self { sequence: self.sequence + 1, pending: Some(pending), ..self.clone() }
    }

    /// The record with the pending joint commit at its end.
    pub(super) fn settled(&self, undone: bool, tables: BTreeMap<String, Span>) -> Self {
        let mut recent = self.recent.clone();
        recent.push(Settled { sequence: self.sequence, undone, tables });
        recent.drain(..recent.len().saturating_sub(REMEMBERED));
        Self { pending: None, recent, ..self.clone() }
    }

    /// The record with one more sign of life of who has the turn.
    pub(super) fn renewed(&self) -> Self {
        let turn = self.turn.as_ref().map(|turn| Turn { beat: turn.beat + 1, ..turn.clone() });
        Self { turn, ..self.clone() }
    }

    /// Whether a joint commit has come to its commit point.
    pub(super) fn has_settled(&self, sequence: u64) -> bool {
        self.recent.iter().any(|settled| settled.sequence == sequence && !settled.undone)
    }
}

/// The record as it was read, with the state of its object.
#[derive(Debug)]
pub(super) struct StoredRecord {
    pub(super) record: JointRecord,
    /// State of the object to replace; none where there is no object.
    state: Option<UpdateVersion>,
    /// When the store says that the object was written.
    written: Option<DateTime<Utc>>,
}

fn record_path(root: &Root) -> Path {
    root.own_path(&["joint.json"])
}

impl StoredRecord {
    /// Reads the record; a missing one says that nothing was ever begun.
    ///
    /// # Errors
    /// [`Error::Database`] for a damaged record, [`Error::Storage`] when it cannot be read.
    pub(super) async fn read(root: &Root) -> Result<Self> {
        let path = record_path(root);
        let failed = |e| Error::storage(format!("reading {}", root.shown(&path)), e);
        // What others have written a moment ago must be seen, also by a statement that sees one version of every other object.
        let (store, place) = root.origin(&path)?;
        let found = match store.get(&place).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(Self { record: JointRecord::default(), state: None, written: None }),
            Err(e) => return Err(failed(e)),
        };
        let state = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let written = Some(found.meta.last_modified);
        let bytes = found.bytes().await.map_err(failed)?;
        let record = serde_json::from_slice(&bytes).map_err(|e| {
            Error::Database(format!(
                "{} is damaged: {e}\nhint: it says which versions of tables belong together; where all tables are known to be whole, remove it",
                root.shown(&path)
            ))
        })?;
        Ok(Self { record, state: Some(state), written })
    }

    /// When the store says that the record was written, by the store's clock.
    pub(super) fn written(&self) -> Option<DateTime<Utc>> {
        self.written
    }

    /// Replaces the record, unless somebody else has done so since it was read. Where the answer is an error and the record is there all
    /// the same, it is replaced.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else was first, [`Error::Storage`] when it cannot be written.
    pub(super) async fn replace(&mut self, root: &Root, record: JointRecord) -> Result<()> {
        match self.put(root, &record).await {
            Ok(state) => {
                *self = Self { record, state: Some(state), written: None };
                Ok(())
            }
            Err(error) => match Self::read(root).await {
                Ok(found) if found.record == record => {
                    *self = found;
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }

    async fn put(&self, root: &Root, record: &JointRecord) -> Result<UpdateVersion> {
        let path = record_path(root);
        let content = serde_json::to_vec_pretty(record).map_err(|e| Error::Internal(e.to_string()))?;
        let mode = match (&root.coordination, &self.state) {
            // Directories know no conditional replacement; there the lock keeps others out.
            (Coordination::LockFile, _) => PutMode::Overwrite,
            (_, None) => PutMode::Create,
            (_, Some(state)) => PutMode::Update(state.clone()),
        };
        let (store, place) = root.origin(&path)?;
        let put = store.put_opts(&place, content.into(), PutOptions::from(mode)).await;
        let put = put.map_err(|error| match error {
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                Error::Conflict("another writer began to change several tables meanwhile; nothing was changed, run it again".into())
            }
            other => Error::storage(format!("writing {}", root.shown(&path)), other),
        })?;
        Ok(put.into())
    }
}
