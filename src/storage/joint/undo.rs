//! Taking back a joint commit that did not come to its commit point.

use std::collections::BTreeMap;

use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::protocol::DeltaOperation;
use serde_json::json;

use super::JOINT_NOTE;
use super::hold::Hold;
use super::record::{Base, Span, StoredRecord};
use crate::error::{Error, Result};
use crate::storage::delta::{CommitRecord, NOTE_KEY, commits_after, load_newest};
use crate::storage::{Root, delta_error};

/// Name of the operation that brings a table back.
const RESTORE: &str = "RESTORE";

/// Takes back the joint commit of a writer that died, if there is one; nothing is done while a writer lives.
///
/// To be called before anything is written. Costs one small read where nothing is to be done.
///
/// # Errors
/// [`Error::Database`] when a program that knows nothing of joint commits has written on top of what is to be taken back.
pub async fn undo_abandoned(root: &Root) -> Result<()> {
    if StoredRecord::read(root).await?.record.pending.is_none() {
        return Ok(());
    }
    let Some(hold) = Hold::try_take(root).await? else { return Ok(()) };
    let undone = undo(&hold, true).await;
    hold.release().await;
    undone.map(drop)
}

/// Brings the tables of the pending joint commit back to their bases and settles it as undone. Who holds the right to write knows that no
/// other writer is at work on it.
///
/// With `fence` every table gets a version after its base, so that a commit that is still on its way, or of a writer that only seemed dead,
/// fails. Returns the tables whose commits had come in.
pub(super) async fn undo(hold: &Hold, fence: bool) -> Result<BTreeMap<String, Span>> {
    let Some(pending) = hold.record().await.pending else { return Ok(BTreeMap::new()) };
    let mut spans = BTreeMap::new();
    for (name, base) in &pending.tables {
        let table = Abandoned { root: hold.root(), name, base, joint: &pending.id };
        if let Some(span) = table.bring_back(fence).await? {
            spans.insert(name.clone(), span);
        }
    }
    hold.replace(|record| record.settled(true, spans.clone())).await?;
    Ok(spans)
}

/// A table of a joint commit that is taken back.
struct Abandoned<'a> {
    root: &'a Root,
    name: &'a str,
    base: &'a Base,
    /// Identity of the joint commit.
    joint: &'a str,
}

impl Abandoned<'_> {
    /// Makes the base the newest version, by one more commit where need be. Versions of others are left as they are: `None` where nothing of
    /// the joint commit is in the log.
    async fn bring_back(&self, fence: bool) -> Result<Option<Span>> {
        let Some(table) = load_newest(self.root, self.name).await? else { return Ok(None) };
        let table_id = table.snapshot().map_err(|e| delta_error(self.name, e))?.metadata().id().to_owned();
        let Some(base) = self.base.version else { return self.remove_made(&table).await };
        if self.base.table_id.as_ref() != Some(&table_id) {
            // Dropped and made anew since.
            return Ok(None);
        }
        let since = commits_after(self.name, &table, base).await?;
        let Some(ours) = since.iter().find(|commit| self.is_ours(commit)) else {
            if fence && table.version() == Some(base) {
                self.fence(&table, base).await?;
            }
            return Ok(None);
        };
        let is_back = |commit: &&CommitRecord| {
            commit.version > ours.version && commit.operation == RESTORE && commit.restored.is_some_and(|version| version <= base)
        };
        let last = match since.iter().find(is_back) {
            Some(back) => back.version,
            None if table.version() == Some(ours.version) => self.restore(table, base).await?,
            None => return Err(self.written_upon(ours.version + 1, base)),
        };
        Ok(Some(Span { table_id, base: Some(base), last }))
    }

    fn is_ours(&self, commit: &CommitRecord) -> bool {
        commit.note.as_ref().is_some_and(|note| note[JOINT_NOTE] == self.joint)
    }

    fn written_upon(&self, foreign: u64, base: u64) -> Error {
        Error::Database(format!(
            "version {foreign} of table '{}' was written by another program on top of a change of several tables that was never finished\nhint: let that program restore the table to version {base} and write again",
            self.name
        ))
    }

    async fn remove_made(&self, table: &DeltaTable) -> Result<Option<Span>> {
        let made = commits_after(self.name, table, 0).await?.is_empty()
            && crate::storage::commit_info(self.name, table, 0).await?.is_some_and(|info| info[NOTE_KEY][JOINT_NOTE] == self.joint);
        if made {
            self.root.remove_folder(self.name).await?;
        }
        Ok(None)
    }

    fn properties(&self) -> CommitProperties {
        CommitProperties::default().with_max_retries(0).with_metadata([(NOTE_KEY.to_owned(), json!({ "undone": self.joint }))])
    }

    async fn restore(&self, table: DeltaTable, base: u64) -> Result<u64> {
        let failed = |e| delta_error(self.name, e);
        let restore = table.restore().with_version_to_restore(base).with_commit_properties(self.properties());
        let (restored, _) = restore.await.map_err(failed)?;
        restored.version().ok_or_else(|| Error::Internal(format!("table '{}' has no version after a restore", self.name)))
    }

    /// Takes the version after the base, with nothing in it.
    async fn fence(&self, table: &DeltaTable, base: u64) -> Result<u64> {
        let failed = |e| delta_error(self.name, e);
        let state = table.snapshot().map_err(failed)?;
        let operation = DeltaOperation::Restore { version: Some(base), datetime: None };
        let commit = CommitBuilder::from(self.properties()).build(Some(state as &dyn TableReference), table.log_store(), operation);
        Ok(commit.await.map_err(failed)?.version())
    }
}
