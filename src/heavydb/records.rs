//! The replays of a database: one file each, one record a query.

use chrono::Utc;
use datafusion_heavydb::replay::input::redact;
use datafusion_heavydb::replay::report::{Outcome, Report};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::storage::Root;

/// The folder of the replays' files.
const FOLDER: &str = "replays";

/// Keeps the rows of a report in a database.
///
/// # Errors
/// A database that cannot be written.
pub async fn keep_replay(root: &Root, report: &Report) -> Result<()> {
    let now = Utc::now();
    let at = now.to_rfc3339();
    let mut lines = Vec::new();
    for outcome in report.outcomes() {
        serde_json::to_writer(&mut lines, &record(&at, outcome)).map_err(|error| Error::Database(error.to_string()))?;
        lines.push(b'\n');
    }
    // Names sort by time; the process keeps two replays of one moment apart.
    let name = format!("{}-{}.jsonl", now.format("%Y%m%dT%H%M%S%.9fZ"), std::process::id());
    root.initialise().await?;
    root.write(&root.own_path(&[FOLDER, &name]), lines).await
}

/// The records of all replays that a database keeps, the first replay first, each with its number.
///
/// # Errors
/// A database that cannot be read, a file that was damaged.
pub async fn kept_replays(root: &Root) -> Result<Vec<Value>> {
    let mut names = root.names_in(&root.own_path(&[FOLDER])).await?;
    names.sort_unstable();
    let mut records = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let path = root.own_path(&[FOLDER, name]);
        // Another process may have removed it.
        let Some(bytes) = root.read(&path).await? else { continue };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut record: Value = serde_json::from_slice(line)
                .map_err(|error| Error::Database(format!("the replay {path} is damaged: {error}; remove the file")))?;
            if let Some(fields) = record.as_object_mut() {
                fields.insert("replay".into(), json!(place + 1));
            }
            records.push(record);
        }
    }
    Ok(records)
}

fn record(at: &str, outcome: &Outcome) -> Value {
    json!({
        "finished_at": at,
        "id": outcome.id,
        "status": outcome.status.name(),
        "rows": outcome.our_rows,
        "expected_rows": outcome.expected_rows,
        "first_difference": outcome.first_difference.as_ref().map(|difference| redact(&difference.to_string()).into_owned()),
        "logged_ms": outcome.logged(),
        "our_ms": outcome.ours(),
        "speed_up": outcome.speed_up(),
        "occurrences": outcome.logged_ms.len(),
        "reason": outcome.reason.as_deref().map(redact),
        "rules": outcome.rules.join(" "),
        "notes": redact(&outcome.notes.join("; ")),
        "features": outcome.features.join(" "),
        "origin": outcome.origin,
        "sql": redact(&outcome.sql),
    })
}
