//! Taking back a joint commit that did not come to its commit point.

use std::collections::BTreeMap;

use chrono::Utc;
use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::protocol::DeltaOperation;
use serde_json::json;

use super::JOINT_NOTE;
use super::hold::Hold;
use super::record::{Base, Pending, Span, StoredRecord};
use crate::error::{Error, Result};
use crate::storage::delta::{CommitRecord, NOTE_KEY, commits_after, load_newest};
use crate::storage::{Root, delta_error};

/// Name of the operation that brings a table back.
const RESTORE: &str = "RESTORE";
/// How long who takes back counts as alive where no lock tells.
const LEASE_MS: i64 = 60_000;

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
    match Hold::try_take(root)? {
        Some(hold) => undo_if_abandoned(root, &hold).await,
        None => Ok(()),
    }
}

/// Refuses to touch the files of a table that a living writer is changing together with others.
///
/// # Errors
/// [`Error::Conflict`], telling to try again.
pub async fn refuse_pending(root: &Root, name: &str) -> Result<()> {
    undo_abandoned(root).await?;
    match StoredRecord::read(root).await?.record.pending {
        Some(pending) if pending.tables.contains_key(name) => {
            Err(Error::Conflict(format!("another writer is changing table '{name}' together with others: run it again")))
        }
        _ => Ok(()),
    }
}

/// As [`undo_abandoned`], by who holds the right to write: a lock that could be taken tells that the writer is dead.
pub(super) async fn undo_if_abandoned(root: &Root, hold: &Hold) -> Result<()> {
    let mut stored = StoredRecord::read(root).await?;
    let Some(pending) = &stored.record.pending else { return Ok(()) };
    if hold.is_lease() && pending.lease_until_ms > Utc::now().timestamp_millis() {
        return Ok(());
    }
    undo(root, &mut stored, hold).await
}

/// Brings the tables of the pending joint commit back to their bases and settles it as undone.
pub(super) async fn undo(root: &Root, stored: &mut StoredRecord, hold: &Hold) -> Result<()> {
    let Some(pending) = stored.record.pending.clone() else { return Ok(()) };
    if hold.is_lease() {
        // From here on the commit point of the writer whose lease ran out fails.
        let mut taken_over = stored.record.clone();
        let lease_until_ms = Utc::now().timestamp_millis() + LEASE_MS;
        taken_over.pending = Some(Pending { lease_until_ms, ..pending.clone() });
        stored.replace(root, taken_over).await?;
    }
    let mut spans = BTreeMap::new();
    for (name, base) in &pending.tables {
        let table = Abandoned { root, name, base, joint: &pending.id };
        if let Some(span) = table.bring_back(hold.is_lease()).await? {
            spans.insert(name.clone(), span);
        }
    }
    let settled = stored.record.settled(true, spans);
    stored.replace(root, settled).await
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
    /// Makes the base the newest version, by one more commit where need be. With `fence` there is a version after the base in any case, so
    /// that a writer that only seems dead cannot commit it any more.
    async fn bring_back(&self, fence: bool) -> Result<Option<Span>> {
        let Some(table) = load_newest(self.root, self.name).await? else { return Ok(None) };
        let table_id = table.snapshot().map_err(|e| delta_error(self.name, e))?.metadata().id().to_owned();
        let newest = table.version().unwrap_or_default();
        let Some(base) = self.base.version else { return self.remove_made(&table).await };
        if self.base.table_id.as_ref() != Some(&table_id) {
            // Dropped and made anew since.
            return Ok(None);
        }
        let since = commits_after(self.name, &table, base).await?;
        let last = if self.is_brought_back(&since, base)? {
            if fence && newest == base { self.fence(&table, base).await? } else { newest }
        } else {
            self.restore(table, base).await?
        };
        Ok(Some(Span { table_id, base: Some(base), last }))
    }

    fn is_ours(&self, commit: &CommitRecord) -> bool {
        commit.note.as_ref().is_some_and(|note| note[JOINT_NOTE] == self.joint)
    }

    /// Whether the newest version holds nothing of the joint commit.
    fn is_brought_back(&self, since: &[CommitRecord], base: u64) -> Result<bool> {
        let restored =
            since.iter().rposition(|commit| commit.operation == RESTORE && commit.restored.is_some_and(|version| version <= base));
        let since = &since[restored.map_or(0, |place| place + 1)..];
        let ours = since.iter().filter(|commit| self.is_ours(commit)).count();
        if ours > 0 && ours < since.len() {
            let foreign = since.iter().find(|commit| !self.is_ours(commit)).map_or(base, |commit| commit.version);
            return Err(Error::Database(format!(
                "version {foreign} of table '{}' was written by another program on top of a change of several tables that was never finished\nhint: let that program restore the table to version {base} and write again",
                self.name
            )));
        }
        Ok(ours == 0)
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
