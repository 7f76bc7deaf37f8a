//! Writing several tables at once.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use deltalake::DeltaTable;
use serde_json::{Value, json};

use super::JOINT_NOTE;
use super::hold::Hold;
use super::record::{Base, Pending, Span, StoredRecord};
use super::undo::{undo, undo_if_abandoned};
use crate::error::{Error, Result};
use crate::storage::delta::load_newest;
use crate::storage::{Root, delta_error};

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a writer counts as alive where no lock tells: its Delta commits take seconds, its files are written before.
const LEASE_MS: i64 = 60_000;

/// A table's part of a joint commit: everything is written but the commit.
#[async_trait]
pub trait JointMember: Send + Sync {
    /// Name of the table.
    fn name(&self) -> &str;

    /// The table that the change is made on; `None` where the commit makes it.
    fn base(&self) -> Option<&DeltaTable>;

    /// Commits the version after the base, or fails; `note` belongs into the commit's note. Returns the version.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer was first.
    async fn commit(&self, note: &Value) -> Result<u64>;
}

/// The right to change several tables of a database, held from reading what is there to the commit.
#[derive(Debug)]
pub struct JointWriter {
    root: Root,
    hold: Hold,
}

impl JointWriter {
    /// Waits until no other writer of several tables is at work and takes back what one that died has left.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer takes longer than a minute.
    pub async fn begin(root: &Root) -> Result<Self> {
        root.initialise().await?;
        let hold = Hold::take(root, PATIENCE).await?;
        undo_if_abandoned(root, &hold).await?;
        Ok(Self { root: root.clone(), hold })
    }

    /// Commits the changes of all tables: readers see all of them or none. Returns the new versions.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer changed one of the tables since its base was opened, [`Error::Storage`] when a commit
    /// cannot be written: then no table has changed.
    pub async fn commit(self, members: &[&dyn JointMember]) -> Result<Vec<u64>> {
        let mut stored = StoredRecord::read(&self.root).await?;
        if stored.record.pending.is_some() {
            return Err(Error::Conflict("another writer is changing several tables; nothing was changed, run it again".into()));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let tables = members.iter().map(|member| Ok((member.name().to_owned(), base_of(*member)?))).collect::<Result<BTreeMap<_, _>>>()?;
        if tables.len() != members.len() {
            return Err(Error::Internal("a table has two parts in one joint commit".into()));
        }
        let pending = Pending { id: id.clone(), lease_until_ms: Utc::now().timestamp_millis() + LEASE_MS, tables };
        let begun = stored.record.begun(pending);
        stored.replace(&self.root, begun).await?;
        match commit_members(&self.root, members, &json!({ JOINT_NOTE: id })).await {
            Ok((versions, spans)) => {
                let settled = stored.record.settled(false, spans);
                match stored.replace(&self.root, settled).await {
                    Ok(()) => Ok(versions),
                    Err(error) => self.after_lost_answer(stored, error).await.map(|()| versions),
                }
            }
            Err(error) => self.take_back(stored, error).await,
        }
    }

    /// The commit point may have been written though its answer is an error: the record tells.
    async fn after_lost_answer(self, written: StoredRecord, error: Error) -> Result<()> {
        let found = StoredRecord::read(&self.root).await?;
        if found.record.recent.iter().any(|settled| settled.sequence == written.record.sequence && !settled.undone) {
            return Ok(());
        }
        self.take_back(found, error).await
    }

    async fn take_back<T>(self, mut stored: StoredRecord, error: Error) -> Result<T> {
        if stored.record.pending.is_some()
            && let Err(left) = undo(&self.root, &mut stored, &self.hold).await
        {
            tracing::warn!(error = %left, "versions of a joint commit that failed are left; readers do not see them, and the next writer takes them back");
        }
        Err(error)
    }
}

fn base_of(member: &dyn JointMember) -> Result<Base> {
    let Some(table) = member.base() else { return Ok(Base { table_id: None, version: None }) };
    Ok(Base { table_id: Some(table_id(member.name(), table)?), version: table.version() })
}

fn table_id(name: &str, table: &DeltaTable) -> Result<String> {
    Ok(table.snapshot().map_err(|e| delta_error(name, e))?.metadata().id().to_owned())
}

async fn commit_members(root: &Root, members: &[&dyn JointMember], note: &Value) -> Result<(Vec<u64>, BTreeMap<String, Span>)> {
    let mut versions = Vec::with_capacity(members.len());
    let mut spans = BTreeMap::new();
    for member in members {
        let version = member.commit(note).await?;
        let name = member.name();
        let (table_id, base) = match member.base() {
            Some(table) => (table_id(name, table)?, table.version()),
            None => {
                let made = load_newest(root, name).await?;
                let made = made.ok_or_else(|| Error::Internal(format!("table '{name}' is not there after it was made")))?;
                (table_id(name, &made)?, None)
            }
        };
        versions.push(version);
        spans.insert(name.to_owned(), Span { table_id, base, last: version });
    }
    Ok((versions, spans))
}
