//! `system.tables` and `system.versions`.

use datafusion::arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::names;
use super::records::{JsonColumn, JsonType, json_batch};
use crate::catalog::{DirectorySchema, TableKind};
use crate::error::{Error, Result};
use crate::storage::{StrategyTable, history, load_table};

/// Tables whose logs are read at the same time.
const CONCURRENT_TABLES: usize = 16;
/// Kind of a table that cannot be opened.
const UNREADABLE: &str = "unreadable";

pub(super) const TABLE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("kind", JsonType::Text, &["kind"]),
    JsonColumn("version", JsonType::Integer, &["version"]),
    JsonColumn("rows", JsonType::Integer, &["rows"]),
    JsonColumn("files", JsonType::Integer, &["files"]),
    JsonColumn("bytes", JsonType::Integer, &["bytes"]),
    JsonColumn("unit", JsonType::Text, &["unit"]),
    JsonColumn("problem", JsonType::Text, &["problem"]),
];

pub(super) const VERSION_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("version", JsonType::Integer, &["version"]),
    JsonColumn("committed_at", JsonType::Instant, &["committed_at"]),
    JsonColumn("operation", JsonType::Text, &["operation"]),
    JsonColumn("import_id", JsonType::Text, &["note", "import", "import_id"]),
    JsonColumn("statement", JsonType::Text, &["statement"]),
];

pub(super) async fn tables(schema: &DirectorySchema) -> Result<RecordBatch> {
    let records = futures::stream::iter(names(schema).await?).map(|name| table_record(schema, name));
    let records: Vec<Value> = records.buffered(CONCURRENT_TABLES).try_collect().await?;
    json_batch(TABLE_COLUMNS, &records)
}

/// Kind and size of one table; a table that cannot be read is told as such, so that it does not hide the others.
async fn table_record(schema: &DirectorySchema, name: String) -> Result<Value> {
    let Ok(Some(delta)) = load_table(schema.root(), &name, None).await else {
        let (kind, problem) = match schema.find(&name).await {
            Ok(Some((kind, _))) => (kind.to_string(), None),
            Ok(None) => (UNREADABLE.to_owned(), None),
            Err(error) => (UNREADABLE.to_owned(), Some(Error::from(error).to_string())),
        };
        return Ok(serde_json::json!({ "table_name": name, "kind": kind, "problem": problem }));
    };
    let version = delta.version();
    let Some(table) = StrategyTable::of_delta(schema.root(), &name, delta)? else {
        return Ok(serde_json::json!({ "table_name": name, "kind": TableKind::Delta.to_string(), "version": version }));
    };
    let files = table.files()?;
    Ok(serde_json::json!({
        "table_name": name,
        "kind": TableKind::Strategies.to_string(),
        "version": version,
        "rows": files.iter().filter_map(|file| file.rows).sum::<u64>(),
        "files": files.len(),
        "bytes": files.iter().map(|file| file.size_bytes).sum::<u64>(),
        "unit": table.unit(),
    }))
}

pub(super) async fn versions(schema: &DirectorySchema) -> Result<RecordBatch> {
    let mut records = Vec::new();
    for name in names(schema).await? {
        let Ok(Some(table)) = load_table(schema.root(), &name, None).await else { continue };
        records.extend(history(&name, &table).await?.into_iter().map(|commit| {
            serde_json::json!({
                "table_name": name,
                "version": commit.version,
                "committed_at": commit.timestamp.map(|at| at.to_rfc3339()),
                "operation": commit.operation,
                "statement": commit.note.as_ref().and_then(|note| note.get("sql").or_else(|| note.get("generate")?.get("command"))),
                "note": commit.note,
            })
        }));
    }
    json_batch(VERSION_COLUMNS, &records)
}
