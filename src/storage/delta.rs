//! Delta tables below a [`Root`]: opening at a version, reading the history, restoring, vacuuming.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use deltalake::kernel::transaction::{CommitProperties, TransactionError};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use serde_json::Value;

use super::Root;
use crate::error::{Error, Result};

/// One version of a Delta table, as its log tells it.
#[derive(Debug, Clone)]
pub struct CommitRecord {
    /// Version of the table after the commit.
    pub version: u64,
    /// When it was committed.
    pub timestamp: Option<DateTime<Utc>>,
    /// Operation by its Delta name (`WRITE`, `RESTORE`, ...).
    pub operation: String,
    /// Version that a `RESTORE` went back to.
    pub restored: Option<u64>,
    /// What the engine noted beside the commit, under its own key.
    pub note: Option<Value>,
}

/// Key of [`CommitRecord::note`] in the commit's information.
pub(super) const NOTE_KEY: &str = "tranchedb";

/// Opens the Delta table `name`, at `version` or the newest; `None` if there is none.
///
/// # Errors
/// [`Error::Query`] for a version that does not exist, [`Error::Storage`] when the log cannot be read.
pub async fn load_table(root: &Root, name: &str, version: Option<u64>) -> Result<Option<DeltaTable>> {
    let builder = DeltaTableBuilder::from_url(root.table_url(name)?)
        .map_err(|e| delta_error(name, e))?
        .with_storage_backend(Arc::clone(root.store()), root.table_url(name)?);
    let mut table = builder.build().map_err(|e| delta_error(name, e))?;
    if version.is_some() && !table.verify_deltatable_existence().await.map_err(|e| delta_error(name, e))? {
        return Ok(None);
    }
    let loaded = match version {
        None => table.load().await,
        Some(version) => table.load_version(version).await,
    };
    match loaded {
        Ok(()) => Ok(Some(table)),
        Err(DeltaTableError::NotATable(_)) => Ok(None),
        Err(error) if version.is_some() => match table.get_latest_version().await {
            Ok(newest) if version > Some(newest) => {
                Err(Error::Database(format!("table '{name}' has no version {}: its newest is {newest}", version.unwrap_or_default())))
            }
            _ => Err(delta_error(name, error)),
        },
        Err(error) => match table.verify_deltatable_existence().await {
            Ok(false) => Ok(None),
            _ => Err(delta_error(name, error)),
        },
    }
}

/// Every version of a table, oldest first.
pub async fn history(name: &str, table: &DeltaTable) -> Result<Vec<CommitRecord>> {
    let newest = table.version().unwrap_or_default();
    let infos: Vec<_> = table.history(None).try_collect().await.map_err(|e| delta_error(name, e))?;
    let records = infos.into_iter().enumerate().map(|(age, info)| CommitRecord {
        version: newest.saturating_sub(age as u64),
        timestamp: info.timestamp.and_then(DateTime::from_timestamp_millis),
        restored: info.operation_parameters.as_ref().and_then(|p| p.get("version")).and_then(restored_version),
        operation: info.operation.unwrap_or_default(),
        note: info.info.get(NOTE_KEY).cloned(),
    });
    let mut records: Vec<_> = records.collect();
    records.reverse();
    Ok(records)
}

fn restored_version(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Notes under `key` of the commits that still stand: a restore takes back those after its target.
pub fn standing_notes(history: &[CommitRecord], key: &str) -> Vec<(u64, Value)> {
    let mut standing: Vec<(u64, Value)> = Vec::new();
    // How many notes stood at each version, so that a restore can cut back to its target.
    let mut stood_at: Vec<Vec<(u64, Value)>> = Vec::new();
    for commit in history {
        if let Some(target) = commit.restored.filter(|_| commit.operation == "RESTORE") {
            standing = stood_at.get(target as usize).cloned().unwrap_or_default();
        } else if let Some(note) = commit.note.as_ref().and_then(|note| note.get(key)) {
            standing.push((commit.version, note.clone()));
        }
        stood_at.push(standing.clone());
    }
    standing
}

/// Makes an earlier version the newest, as one more commit; returns the new version.
pub async fn restore_table(name: &str, table: DeltaTable, version: u64) -> Result<u64> {
    let properties = CommitProperties::default().with_max_retries(0);
    let (restored, _) =
        table.restore().with_version_to_restore(version).with_commit_properties(properties).await.map_err(|e| delta_error(name, e))?;
    restored.version().ok_or_else(|| Error::Internal(format!("table '{name}' has no version after a restore")))
}

/// Removes data files that no version younger than `keep` needs, those of writers that never committed included; returns
/// their paths. With `dry_run` nothing is removed.
pub async fn vacuum_table(name: &str, table: DeltaTable, keep: Duration, dry_run: bool) -> Result<Vec<String>> {
    let (_, metrics) = table
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(keep)
        .with_enforce_retention_duration(false)
        .with_dry_run(dry_run)
        .await
        .map_err(|e| delta_error(name, e))?;
    Ok(metrics.files_deleted)
}

/// A Delta failure as an engine error: lost races are [`Error::Conflict`], the rest [`Error::Storage`].
pub fn delta_error(name: &str, error: DeltaTableError) -> Error {
    match &error {
        DeltaTableError::Transaction { source } if is_lost_race(source) => {
            Error::Conflict(format!("another writer changed table '{name}' meanwhile; nothing was written, run it again"))
        }
        DeltaTableError::VersionAlreadyExists(_) => {
            Error::Conflict(format!("another writer changed table '{name}' meanwhile; nothing was written, run it again"))
        }
        _ => Error::storage(format!("table '{name}'"), error),
    }
}

fn is_lost_race(error: &TransactionError) -> bool {
    matches!(
        error,
        TransactionError::VersionAlreadyExists(_) | TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(version: u64, operation: &str, restored: Option<u64>, import: Option<&str>) -> CommitRecord {
        let note = import.map(|sha| serde_json::json!({ "import": { "sha256": sha } }));
        CommitRecord { version, timestamp: None, operation: operation.into(), restored, note }
    }

    #[test]
    fn a_restore_takes_back_the_imports_after_its_target() {
        let history = [
            commit(0, "CREATE TABLE", None, Some("a")),
            commit(1, "WRITE", None, Some("b")),
            commit(2, "RESTORE", Some(0), None),
            commit(3, "WRITE", None, Some("c")),
        ];
        let standing: Vec<_> = standing_notes(&history, "import").into_iter().map(|(v, i)| (v, i["sha256"].clone())).collect();
        assert_eq!(standing, [(0, "a".into()), (3, "c".into())]);
    }
}
