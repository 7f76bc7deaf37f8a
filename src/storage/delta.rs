//! Delta tables below a [`Root`]: opening at a version, reading the history, restoring, vacuuming.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use deltalake::kernel::transaction::{CommitProperties, TransactionError};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::Root;
use super::joint::{Visible, visible_version};
use super::movement::{files_elsewhere, sweep};
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

/// Versions of a log that are read at the same time.
const COMMITS_TOGETHER: usize = 16;
/// Key of the line of a log file that tells about the commit.
const COMMIT_INFO: &str = "\"commitInfo\"";
/// Bytes into which the key falls: the brace before it and white space.
const COMMIT_INFO_WITHIN: usize = 16;

/// Key of [`CommitRecord::note`] in the commit's information.
pub(super) const NOTE_KEY: &str = "tranchedb";

/// Opens the Delta table `name`, at `version` or the newest that readers may see; `None` if there is none.
///
/// Of a change of several tables that is under way, or was left by a writer that died, nothing is seen.
///
/// # Errors
/// [`Error::Query`] for a version that does not exist, [`Error::Storage`] when the log cannot be read.
pub async fn load_table(root: &Root, name: &str, version: Option<u64>) -> Result<Option<DeltaTable>> {
    let Some(mut table) = (match version {
        None => load_newest(root, name).await?,
        Some(version) => load_version(root, name, version).await?,
    }) else {
        return Ok(None);
    };
    match (visible_version(root, name, &table).await?, version) {
        (Visible::AsLoaded, _) => Ok(Some(table)),
        (Visible::Absent, _) => Ok(None),
        (Visible::At(newest), Some(version)) => Err(no_version(name, version, newest)),
        (Visible::At(newest), None) => {
            table.load_version(newest).await.map_err(|e| delta_error(name, e))?;
            Ok(Some(table))
        }
    }
}

fn unloaded(root: &Root, name: &str) -> Result<DeltaTable> {
    let builder = DeltaTableBuilder::from_url(root.table_url(name)?).map_err(|e| delta_error(name, e))?;
    builder.with_storage_backend(root.table_store(name), root.table_url(name)?).build().map_err(|e| delta_error(name, e))
}

/// The newest version in the log, whether readers may see it or not.
pub(super) async fn load_newest(root: &Root, name: &str) -> Result<Option<DeltaTable>> {
    let mut table = unloaded(root, name)?;
    match table.load().await {
        Ok(()) => Ok(Some(noted(root, name, table))),
        Err(DeltaTableError::NotATable(_)) => Ok(None),
        Err(error) => match table.verify_deltatable_existence().await {
            Ok(false) => Ok(None),
            _ => Err(delta_error(name, error)),
        },
    }
}

/// A table that was found to be one.
fn noted(root: &Root, name: &str, table: DeltaTable) -> DeltaTable {
    root.note_table(name);
    table
}

async fn load_version(root: &Root, name: &str, version: u64) -> Result<Option<DeltaTable>> {
    let mut table = unloaded(root, name)?;
    if !table.verify_deltatable_existence().await.map_err(|e| delta_error(name, e))? {
        return Ok(None);
    }
    match table.load_version(version).await {
        Ok(()) => Ok(Some(noted(root, name, table))),
        Err(DeltaTableError::NotATable(_)) => Ok(None),
        Err(error) => match table.get_latest_version().await {
            Ok(newest) if version > newest => Err(no_version(name, version, newest)),
            _ => Err(delta_error(name, error)),
        },
    }
}

fn no_version(name: &str, version: u64, newest: u64) -> Error {
    Error::Database(format!("table '{name}' has no version {version}: its newest is {newest}"))
}

/// Every version up to the one the table was opened at, oldest first. What other writers have committed since is left out, and
/// so are versions whose log has been removed.
pub async fn history(name: &str, table: &DeltaTable) -> Result<Vec<CommitRecord>> {
    commits_from(name, table, 0).await
}

/// As [`history`], of the versions after `version`.
pub(super) async fn commits_after(name: &str, table: &DeltaTable, version: u64) -> Result<Vec<CommitRecord>> {
    commits_from(name, table, version + 1).await
}

async fn commits_from(name: &str, table: &DeltaTable, first: u64) -> Result<Vec<CommitRecord>> {
    let newest = table.version().unwrap_or_default();
    let commits = futures::stream::iter(first..=newest)
        .map(|version| async move { commit_info(name, table, version).await.map(|info| (version, info)) });
    let commits: Vec<(u64, Option<Value>)> = commits.buffered(COMMITS_TOGETHER).try_collect().await?;
    let record = |(version, info): (u64, Option<Value>)| {
        let info = info?;
        Some(CommitRecord {
            version,
            timestamp: info["timestamp"].as_i64().and_then(DateTime::from_timestamp_millis),
            restored: restored_version(&info["operationParameters"]["version"]),
            operation: info["operation"].as_str().unwrap_or_default().to_owned(),
            note: info.get(NOTE_KEY).cloned(),
        })
    };
    Ok(commits.into_iter().filter_map(record).collect())
}

/// What the log says about the commit of one version: an object, empty where the writer said nothing; `None` where the log of
/// that version has been removed.
///
/// # Errors
/// [`Error::Storage`] when the log cannot be read.
pub async fn commit_info(name: &str, table: &DeltaTable, version: u64) -> Result<Option<Value>> {
    let entry = table.log_store().read_commit_entry(version).await.map_err(|e| delta_error(name, e))?;
    let Some(bytes) = entry else { return Ok(None) };
    // A commit may list very many files; the line looked for is one object with this key first.
    let is_info = |line: &&[u8]| line.windows(COMMIT_INFO.len()).take(COMMIT_INFO_WITHIN).any(|found| found == COMMIT_INFO.as_bytes());
    let Some(line) = bytes.split(|&b| b == b'\n').find(is_info) else { return Ok(Some(Value::Object(Default::default()))) };
    let damaged = |e| Error::storage(format!("table '{name}': version {version} of its log"), e);
    let mut action: Value = serde_json::from_slice(line).map_err(damaged)?;
    Ok(Some(action["commitInfo"].take()))
}

fn restored_version(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The commits that made the newest version what it is, oldest first: a restore takes back those after its target. A restore
/// to a version whose log has been removed leaves none that are known.
pub fn standing_commits(history: &[CommitRecord]) -> Vec<&CommitRecord> {
    let mut before: Vec<Option<usize>> = Vec::with_capacity(history.len());
    let mut last_of_version: HashMap<u64, Option<usize>> = HashMap::with_capacity(history.len());
    let mut last = None;
    for (position, commit) in history.iter().enumerate() {
        before.push(last);
        last = match commit.restored.filter(|_| commit.operation == "RESTORE") {
            Some(target) => last_of_version.get(&target).copied().flatten(),
            None => Some(position),
        };
        last_of_version.insert(commit.version, last);
    }
    let mut standing: Vec<_> = std::iter::successors(last, |&position| before[position]).map(|position| &history[position]).collect();
    standing.reverse();
    standing
}

/// Key of a commit's note that identifies the change.
pub(super) const CHANGE_NOTE: &str = "change";

/// How the commit of a change is made: known again by `id`, and told apart from that of another writer.
pub fn change_properties(id: &str) -> CommitProperties {
    let note = serde_json::json!({ CHANGE_NOTE: id });
    CommitProperties::default().with_max_retries(0).with_metadata([(NOTE_KEY.to_owned(), note)])
}

/// The version after `base` that the change `id` became, if it became one: a commit may be there although what follows it has failed.
///
/// # Errors
/// [`Error::Storage`] when the log cannot be read.
pub async fn landed_change(root: &Root, name: &str, base: Option<u64>, id: &str) -> Result<Option<u64>> {
    let Some(table) = load_newest(root, name).await? else { return Ok(None) };
    let commits = commits_from(name, &table, base.map_or(0, |version| version + 1)).await?;
    let is_ours = |commit: &&CommitRecord| commit.note.as_ref().is_some_and(|note| note[CHANGE_NOTE] == id);
    Ok(commits.iter().find(is_ours).map(|commit| commit.version))
}

/// Makes an earlier version the newest, as one more commit; returns the new version.
pub async fn restore_table(name: &str, table: DeltaTable, version: u64) -> Result<u64> {
    let properties = CommitProperties::default().with_max_retries(0);
    let (restored, _) =
        table.restore().with_version_to_restore(version).with_commit_properties(properties).await.map_err(|e| delta_error(name, e))?;
    restored.version().ok_or_else(|| Error::Internal(format!("table '{name}' has no version after a restore")))
}

/// Removes data files that no version younger than `keep` needs, those of writers that never committed included, in the table's folder
/// and in locations; returns their paths. With `dry_run` nothing is removed.
pub async fn vacuum_table(root: &Root, name: &str, table: DeltaTable, keep: Duration, dry_run: bool) -> Result<Vec<String>> {
    // First, for it is refused where a location is not known.
    let elsewhere = sweep(root, name, &table, keep, dry_run).await?;
    let (_, metrics) = table
        .vacuum()
        .with_mode(VacuumMode::Full)
        .with_retention_period(keep)
        .with_enforce_retention_duration(false)
        .with_dry_run(dry_run)
        .await
        .map_err(|e| delta_error(name, e))?;
    Ok(metrics.files_deleted.into_iter().chain(elsewhere).collect())
}

/// Removes a table with all its files, in its folder and in locations.
///
/// # Errors
/// [`Error::Usage`] for a location that is not configured, [`Error::Storage`] for one that does not answer: then nothing was removed.
pub async fn remove_table(root: &Root, name: &str) -> Result<()> {
    // A table whose log is damaged, or half removed, does not tell what it has elsewhere.
    let elsewhere = match load_newest(root, name).await {
        Ok(Some(table)) => files_elsewhere(root, name, &table).await?,
        Ok(None) | Err(_) => vec![],
    };
    root.remove_folder_and(name, &elsewhere).await
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
        _ => match without_backtrace(&error.to_string()) {
            Some(text) => Error::storage(format!("table '{name}'"), text),
            None => Error::storage(format!("table '{name}'"), error),
        },
    }
}

/// A message that carries a backtrace (as the table format's do under `RUST_BACKTRACE`), up to the first frame.
fn without_backtrace(text: &str) -> Option<String> {
    text.find("\n   0: ").map(|frames| text[..frames].trim_end().to_owned())
}

/// The failure of a write whose rows a query computes: what is wrong with the query or with its values is [`Error::Query`], the
/// rest as in [`delta_error`].
pub fn delta_write_error(name: &str, error: DeltaTableError) -> Error {
    match error {
        DeltaTableError::Arrow { source } if is_of_values(&source) => DataFusionError::ArrowError(Box::new(source), None).into(),
        // The table format keeps of a query's failure its text alone.
        DeltaTableError::Generic(text) if QUERY_FAILURES.iter().any(|start| text.starts_with(start)) => {
            DataFusionError::Execution(text).into()
        }
        DeltaTableError::InvalidData { message } | DeltaTableError::SchemaMismatch { msg: message } => {
            DataFusionError::Execution(format!("the rows do not fit table '{name}': {message}")).into()
        }
        other => delta_error(name, other),
    }
}

/// How the texts of failures begin that a query or its values cause (as DataFusion writes them).
const QUERY_FAILURES: &[&str] = &[
    "Optimizer rule '",
    "Arrow error: ",
    "Execution error: ",
    "Error during planning: ",
    "Schema error: ",
    "Resources exhausted: ",
    "This feature is not implemented: ",
];

/// A computation on values failed, not the reading or writing of them.
fn is_of_values(error: &ArrowError) -> bool {
    matches!(
        error,
        ArrowError::CastError(_)
            | ArrowError::ParseError(_)
            | ArrowError::ComputeError(_)
            | ArrowError::DivideByZero
            | ArrowError::ArithmeticOverflow(_)
            | ArrowError::InvalidArgumentError(_)
    )
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
        assert_eq!(standing(&history), [0, 3]);
    }

    fn standing(history: &[CommitRecord]) -> Vec<u64> {
        standing_commits(history).into_iter().map(|commit| commit.version).collect()
    }

    #[test]
    fn a_restore_goes_by_versions_where_older_logs_have_been_removed() {
        let history = [
            commit(7, "WRITE", None, Some("a")),
            commit(8, "WRITE", None, Some("b")),
            commit(9, "RESTORE", Some(7), None),
            commit(10, "WRITE", None, Some("c")),
            commit(11, "RESTORE", Some(9), None),
        ];
        assert_eq!(standing(&history), [7]);
        assert_eq!(standing(&history[..4]), [7, 10]);
        assert_eq!(standing(&[commit(7, "WRITE", None, Some("a")), commit(8, "RESTORE", Some(2), None)]), [0; 0]);
    }

    #[test]
    fn a_message_keeps_no_backtrace() {
        let error = DeltaTableError::Generic("no such checkpoint\n   0: std::backtrace::Backtrace::create\n   1: main".into());
        let text = delta_error("t", error).to_string();
        assert!(text.contains("no such checkpoint") && !text.contains("backtrace"), "{text}");
    }

    fn new_table(root: &Root) -> DeltaTable {
        let url = root.table_url("t").unwrap();
        DeltaTableBuilder::from_url(url.clone()).unwrap().with_storage_backend(root.table_store("t"), url).build().unwrap()
    }

    #[tokio::test]
    async fn versions_stay_with_their_commits_when_others_have_committed_since() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(&directory.path().to_string_lossy()).await.unwrap();
        let field = deltalake::kernel::StructField::nullable("x", deltalake::kernel::DataType::LONG);
        let first = new_table(&root).create().with_columns([field]).await.unwrap();
        let values = std::sync::Arc::new(datafusion::arrow::array::Int64Array::from(vec![1, 2]));
        let rows = datafusion::arrow::record_batch::RecordBatch::try_from_iter([("x", values as _)]).unwrap();
        let second = first.clone().write([rows]).await.unwrap();
        let told = |records: Vec<CommitRecord>| records.into_iter().map(|r| (r.version, r.operation, r.restored)).collect::<Vec<_>>();
        let created = (0, "CREATE TABLE".to_owned(), None);
        assert_eq!(told(history("t", &first).await.unwrap()), std::slice::from_ref(&created));
        assert_eq!(told(history("t", &second).await.unwrap()), [created, (1, "WRITE".to_owned(), None)]);
        assert_eq!(commit_info("t", &second, 1).await.unwrap().unwrap()["operationMetrics"]["num_added_rows"], 2);
        assert!(commit_info("t", &second, 2).await.unwrap().is_none());
    }

    #[test]
    fn a_value_that_cannot_be_cast_is_the_fault_of_the_query() {
        let cast = || ArrowError::CastError("Cannot cast string 'abc' to value of Int32 type".into());
        for error in [
            DeltaTableError::Arrow { source: cast() },
            DeltaTableError::Generic(DataFusionError::ArrowError(Box::new(cast()), None).to_string()),
            DeltaTableError::Generic(
                DataFusionError::Context("Optimizer rule 'x' failed".into(), Box::new(DataFusionError::ArrowError(Box::new(cast()), None)))
                    .to_string(),
            ),
        ] {
            let error = delta_write_error("t", error);
            assert!(matches!(error, Error::Query(_)), "{error:?}");
            assert_eq!(error.to_string(), "Cast error: Cannot cast string 'abc' to value of Int32 type");
        }
        let disk = DeltaTableError::Io { source: std::io::Error::other("disk full") };
        assert!(matches!(delta_write_error("t", disk), Error::Storage { .. }));
    }
}
