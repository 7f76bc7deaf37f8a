//! `system.imports` and `system.import_issues`.

use datafusion::arrow::array::RecordBatch;
use serde_json::Value;

use super::names;
use super::records::{JsonColumn, JsonType, json_batch};
use crate::catalog::DirectorySchema;
use crate::error::{Error, Result};
use crate::storage::{history, load_table};

pub(super) const IMPORT_COLUMNS: &[JsonColumn] = &[
    JsonColumn("import_id", JsonType::Text, &["import_id"]),
    JsonColumn("status", JsonType::Text, &["status"]),
    JsonColumn("kind", JsonType::Text, &["kind"]),
    JsonColumn("variant", JsonType::Text, &["variant"]),
    JsonColumn("source", JsonType::Text, &["source"]),
    JsonColumn("sha256", JsonType::Text, &["sha256"]),
    JsonColumn("bytes", JsonType::Integer, &["bytes"]),
    JsonColumn("source_rows", JsonType::Integer, &["source_rows"]),
    JsonColumn("rows_written", JsonType::Integer, &["rows_written"]),
    JsonColumn("rows_unchanged", JsonType::Integer, &["rows_unchanged"]),
    JsonColumn("rows_replaced", JsonType::Integer, &["rows_replaced"]),
    JsonColumn("rows_deleted", JsonType::Integer, &["rows_deleted"]),
    JsonColumn("tables", JsonType::Text, &["table"]),
    JsonColumn("options", JsonType::Text, &["options"]),
    JsonColumn("engine_version", JsonType::Text, &["engine_version"]),
    JsonColumn("started_at", JsonType::Instant, &["started_at"]),
    JsonColumn("finished_at", JsonType::Instant, &["finished_at"]),
];

pub(super) const ISSUE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("import_id", JsonType::Text, &["import_id"]),
    JsonColumn("code", JsonType::Text, &["code"]),
    JsonColumn("severity", JsonType::Text, &["severity"]),
    JsonColumn("column_name", JsonType::Text, &["column_name"]),
    JsonColumn("count", JsonType::Integer, &["count"]),
    JsonColumn("first_line", JsonType::Integer, &["first_line"]),
    JsonColumn("example", JsonType::Text, &["example"]),
    JsonColumn("action", JsonType::Text, &["action"]),
];

async fn import_records(schema: &DirectorySchema) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    for name in names(schema).await? {
        let Ok(Some(table)) = load_table(schema.root(), &name, None).await else { continue };
        let commits = history(&name, &table).await?;
        records.extend(commits.into_iter().filter_map(|commit| commit.note?.get("import").cloned()));
    }
    let refused = schema.root().own_path(&["refused"]);
    for file in schema.root().names_in(&refused).await? {
        let path = schema.root().own_path(&["refused", &file]);
        // It may have been removed since it was listed.
        let Some(bytes) = schema.root().read(&path).await? else { continue };
        let damaged = |e| {
            Error::Database(format!(
                "the record of a refused import, {path}, is damaged: {e}\nhint: remove the file; it holds that record only"
            ))
        };
        records.push(serde_json::from_slice(&bytes).map_err(damaged)?);
    }
    Ok(records)
}

pub(super) async fn imports(schema: &DirectorySchema) -> Result<RecordBatch> {
    json_batch(IMPORT_COLUMNS, &import_records(schema).await?)
}

pub(super) async fn import_issues(schema: &DirectorySchema) -> Result<RecordBatch> {
    let mut issues = Vec::new();
    for record in import_records(schema).await? {
        for issue in record["issues"].as_array().into_iter().flatten() {
            let mut issue = issue.clone();
            issue["import_id"] = record["import_id"].clone();
            issues.push(issue);
        }
    }
    json_batch(ISSUE_COLUMNS, &issues)
}
