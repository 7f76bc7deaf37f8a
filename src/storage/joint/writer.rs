//! Writing several tables at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use deltalake::DeltaTable;
use serde_json::{Value, json};
use tracing::Instrument;

use super::JOINT_NOTE;
use super::hold::Hold;
use super::record::{Base, JointRecord, Pending, Span, StoredRecord};
use super::undo::undo;
use crate::error::{Error, Result};
use crate::storage::delta::load_newest;
use crate::storage::{Root, commit_info, delta_error};

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// [`Error::Conflict`] when another writer was first: then the commit can never come in. After any other error it may.
    async fn commit(&self, note: &Value) -> Result<u64>;

    /// Removes what was written for a commit that does not come about.
    ///
    /// # Errors
    /// [`Error::Storage`] when something cannot be removed.
    async fn abandon(&self) -> Result<()>;
}

/// The right to change several tables of a database, held from reading what is there to the commit.
///
/// What must not happen beside such a change (dropping, vacuuming or restoring a table, setting a policy) takes it as well.
#[derive(Debug)]
pub struct JointWriter {
    pub(super) hold: Hold,
}

/// A joint commit that did not come about.
struct Failed {
    error: Error,
    /// Tables whose commits may be in their logs: their files are left.
    in_log: BTreeSet<String>,
}

impl Failed {
    fn before_commits(error: Error) -> Self {
        Self { error, in_log: BTreeSet::new() }
    }

    /// Nobody could find out how far it came.
    fn in_doubt(error: Error, members: &[Box<dyn JointMember>]) -> Self {
        Self { error, in_log: members.iter().map(|member| member.name().to_owned()).collect() }
    }
}

impl JointWriter {
    /// Waits until no other writer of several tables is at work and takes back what one that died has left.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer takes longer than a minute.
    pub async fn begin(root: &Root) -> Result<Self> {
        root.initialise().await?;
        let hold = Hold::take(root, PATIENCE).await?;
        match undo(&hold, true).await {
            Ok(_) => Ok(Self { hold }),
            Err(error) => {
                hold.release().await;
                Err(error)
            }
        }
    }

    /// Gives the right back without a commit, and returns when others may have it.
    pub async fn end(self) {
        self.hold.release().await;
    }

    /// Commits the changes of all tables: readers see all of them or none. Returns the new versions.
    ///
    /// A caller that goes away does not stop it: the right to write is held until the last write has come to its end. What was written for
    /// a commit that does not come about is removed, unless it may be in a table's log.
    ///
    /// # Errors
    /// [`Error::Conflict`] when another writer changed one of the tables since its base was opened, [`Error::Storage`] when a commit
    /// cannot be written: then no table has changed, but where the message says that nobody can tell.
    pub async fn commit(self, members: Vec<Box<dyn JointMember>>) -> Result<Vec<u64>> {
        let task = tokio::spawn(self.commit_here(members).in_current_span());
        task.await.map_err(|e| Error::Internal(format!("a change of several tables ended early: {e}")))?
    }

    /// As [`Self::commit`], for a caller that stays.
    pub(super) async fn commit_here(self, members: Vec<Box<dyn JointMember>>) -> Result<Vec<u64>> {
        let outcome = self.try_commit(&members).await;
        if let Err(failed) = &outcome {
            for member in members.iter().filter(|member| !failed.in_log.contains(member.name())) {
                if let Err(left) = member.abandon().await {
                    tracing::warn!(table = member.name(), error = %left, "files of a change that did not come about are left; VACUUM removes them");
                }
            }
            for table in &failed.in_log {
                tracing::warn!(
                    table,
                    "files of a change that did not come about may be in the table's log and are kept; VACUUM removes them when no version needs them"
                );
            }
        }
        self.hold.release().await;
        outcome.map_err(|failed| failed.error)
    }

    async fn try_commit(&self, members: &[Box<dyn JointMember>]) -> Result<Vec<u64>, Failed> {
        let tables = self.bases(members).await.map_err(Failed::before_commits)?;
        let id = uuid::Uuid::new_v4().to_string();
        let pending = Pending { id: id.clone(), tables };
        self.hold.replace(|record| record.begun(pending)).await.map_err(Failed::before_commits)?;
        let (versions, spans) = match commit_members(self.hold.root(), members, &json!({ JOINT_NOTE: id })).await {
            Ok(committed) => committed,
            Err(error) => {
                // What another writer was first with cannot come in any more.
                let fence = !matches!(error, Error::Conflict(_));
                return Err(self.take_back(members, error, fence).await);
            }
        };
        // The turn goes back with the commit point.
        match self.hold.replace(|record| JointRecord { turn: None, ..record.settled(false, spans) }).await {
            Ok(()) => Ok(versions),
            Err(error) => self.after_lost_answer(members, error).await.map(|()| versions),
        }
    }

    /// The tables as they are before the change, and nobody has changed them since the change was prepared.
    async fn bases(&self, members: &[Box<dyn JointMember>]) -> Result<BTreeMap<String, Base>> {
        let mut bases = BTreeMap::new();
        for member in members {
            let name = member.name();
            let base = match member.base() {
                None => Base { table_id: None, version: None },
                Some(table) => {
                    let next = table.version().unwrap_or_default() + 1;
                    if commit_info(name, table, next).await?.is_some() {
                        return Err(Error::Conflict(format!(
                            "another writer changed table '{name}' meanwhile; nothing was written, run it again"
                        )));
                    }
                    Base { table_id: Some(table_id(name, table)?), version: table.version() }
                }
            };
            if bases.insert(name.to_owned(), base).is_some() {
                return Err(Error::Internal(format!("table '{name}' has two parts in one joint commit")));
            }
        }
        Ok(bases)
    }

    /// The commit point may come in though its answer was an error: after this it either has, or never will.
    async fn after_lost_answer(&self, members: &[Box<dyn JointMember>], error: Error) -> Result<(), Failed> {
        let sequence = self.hold.record().await.sequence;
        let renewed = self.hold.renew().await;
        match (StoredRecord::read(self.hold.root()).await, renewed) {
            (Ok(found), _) if found.record.has_settled(sequence) => Ok(()),
            (Ok(_), Ok(())) => Err(self.take_back(members, error, true).await),
            // Who took the turn takes back.
            (Ok(_), Err(Error::Conflict(_))) => Err(Failed::in_doubt(error, members)),
            _ => {
                let names = members.iter().map(|member| member.name()).collect::<Vec<_>>().join(", ");
                let context = format!(
                    "nobody can tell whether the change of {names} in {} came about: look at their rows, and run it again if they are the old ones",
                    self.hold.root().url()
                );
                Err(Failed::in_doubt(Error::storage(context, error), members))
            }
        }
    }

    async fn take_back(&self, members: &[Box<dyn JointMember>], error: Error, fence: bool) -> Failed {
        match undo(&self.hold, fence).await {
            Ok(spans) => Failed { error, in_log: spans.into_keys().collect() },
            Err(left) => {
                tracing::warn!(error = %left, "versions of a joint commit that failed are left; readers do not see them, and the next writer takes them back");
                Failed::in_doubt(error, members)
            }
        }
    }
}

fn table_id(name: &str, table: &DeltaTable) -> Result<String> {
    Ok(table.snapshot().map_err(|e| delta_error(name, e))?.metadata().id().to_owned())
}

async fn commit_members(root: &Root, members: &[Box<dyn JointMember>], note: &Value) -> Result<(Vec<u64>, BTreeMap<String, Span>)> {
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
