//! What readers see of tables that joint commits change.

use std::future::Future;

use deltalake::DeltaTable;
use url::Url;

use super::JOINT_NOTE;
use super::record::{JointRecord, StoredRecord};
use crate::error::{Error, Result};
use crate::storage::delta::NOTE_KEY;
use crate::storage::{Root, commit_info, delta_error};

tokio::task_local! {
    /// The database whose tables a statement reads, and the last joint commit that it sees.
    static SEEN: (Url, u64);
}

/// Runs `work` so that all tables it opens are of one state of the database: of a joint commit that comes about meanwhile it sees none of
/// the tables in their new version.
///
/// # Errors
/// Those of `work`; [`Error::Storage`] when the record of joint commits cannot be read.
pub async fn at_one_state<T, F: Future<Output = Result<T>>>(root: &Root, work: F) -> Result<T> {
    if seen(root).is_some() {
        return work.await;
    }
    let sequence = StoredRecord::read(root).await?.record.visible_sequence();
    SEEN.scope((root.url().clone(), sequence), work).await
}

fn seen(root: &Root) -> Option<u64> {
    SEEN.try_with(|(url, sequence)| (url == root.url()).then_some(*sequence)).ok().flatten()
}

/// The version of a table that a reader may see.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::storage) enum Visible {
    /// The one that was loaded.
    AsLoaded,
    /// An earlier one.
    At(u64),
    /// None: the table is being made.
    Absent,
}

/// What a reader may see of a table that it has loaded; to be asked after the load, so that no pending version goes unseen.
///
/// # Errors
/// [`Error::Conflict`] when a statement sees so old a state that the record has forgotten it.
pub(in crate::storage) async fn visible_version(root: &Root, name: &str, table: &DeltaTable) -> Result<Visible> {
    let mut record = StoredRecord::read(root).await?.record;
    if record == JointRecord::default() {
        return Ok(Visible::AsLoaded);
    }
    pass_over_others(&mut record, name, table).await?;
    let id = table.snapshot().map_err(|e| delta_error(name, e))?.metadata().id().to_owned();
    let loaded = Loaded { name, id, version: table.version().unwrap_or_default() };
    visible(&record, seen(root), &loaded)
}

/// Takes a table out of the pending joint commit where the version after its base is another writer's: nothing of the joint commit can come
/// in any more, and nobody's version is hidden for it.
async fn pass_over_others(record: &mut JointRecord, name: &str, table: &DeltaTable) -> Result<()> {
    let Some(pending) = &mut record.pending else { return Ok(()) };
    let Some(base) = pending.tables.get(name).and_then(|base| base.version) else { return Ok(()) };
    if table.version().is_none_or(|version| version <= base) {
        return Ok(());
    }
    let first = commit_info(name, table, base + 1).await?;
    if first.is_some_and(|info| info[NOTE_KEY][JOINT_NOTE] != pending.id.as_str()) {
        pending.tables.remove(name);
    }
    Ok(())
}

/// A table as it was loaded.
struct Loaded<'a> {
    name: &'a str,
    id: String,
    version: u64,
}

fn visible(record: &JointRecord, seen: Option<u64>, loaded: &Loaded<'_>) -> Result<Visible> {
    let seen = seen.unwrap_or_else(|| record.visible_sequence());
    if record.recent.first().is_some_and(|oldest| seen + 1 < oldest.sequence) {
        return Err(Error::Conflict("several tables changed too often while the statement was planned: run it again".into()));
    }
    let mut limits = Vec::new();
    if let Some(base) = record.pending.as_ref().and_then(|pending| pending.tables.get(loaded.name))
        && base.table_id.as_ref().is_none_or(|id| *id == loaded.id)
    {
        limits.push(base.version);
    }
    for settled in &record.recent {
        let Some(span) = settled.tables.get(loaded.name).filter(|span| span.table_id == loaded.id) else { continue };
        // Loaded before it was taken back.
        let taken_back = settled.undone && span.base.is_some_and(|base| base < loaded.version) && loaded.version < span.last;
        if seen < settled.sequence || taken_back {
            limits.push(span.base);
        }
    }
    Ok(match limits.into_iter().min() {
        // No version at all is less than any.
        Some(None) => Visible::Absent,
        Some(Some(limit)) if loaded.version > limit => Visible::At(limit),
        _ => Visible::AsLoaded,
    })
}
