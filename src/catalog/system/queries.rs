//! `system.queries`.

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use object_store_tiers::{Figure, ReadFigures, Tier};
use serde_json::{Value, json};

use super::caches::extension;
use super::records::{JsonColumn, JsonType, instant, json_batch};
use crate::catalog::{Lexer, Redacted};
use crate::error::Result;
use crate::exec::{QueryLog, QueryRecord};

pub(super) const QUERY_COLUMNS: &[JsonColumn] = &[
    JsonColumn("query_id", JsonType::Integer, &["query_id"]),
    JsonColumn("started_at", JsonType::Instant, &["started_at"]),
    JsonColumn("status", JsonType::Text, &["status"]),
    JsonColumn("planning_seconds", JsonType::Real, &["planning_seconds"]),
    JsonColumn("seconds", JsonType::Real, &["seconds"]),
    JsonColumn("rows", JsonType::Integer, &["rows"]),
    JsonColumn("memory_bytes", JsonType::Integer, &["memory_bytes"]),
    JsonColumn("disk_bytes", JsonType::Integer, &["disk_bytes"]),
    JsonColumn("origin_bytes", JsonType::Integer, &["origin_bytes"]),
    JsonColumn("origin_requests", JsonType::Integer, &["origin_requests"]),
    JsonColumn("stale_served", JsonType::Integer, &["stale_served"]),
    JsonColumn("error", JsonType::Text, &["error"]),
    JsonColumn("sql", JsonType::Text, &["sql"]),
];

/// The statements of the session, newest first, without what nobody may read.
pub(super) fn queries(ctx: &SessionContext) -> Result<RecordBatch> {
    let lexer = Lexer::of(ctx);
    let records = extension::<QueryLog>(ctx).map(|log| log.records()).unwrap_or_default();
    json_batch(QUERY_COLUMNS, &records.iter().map(|record| query_record(record, &lexer)).collect::<Vec<_>>())
}

fn query_record(record: &QueryRecord, lexer: &Lexer) -> Value {
    let known = record.figures();
    let redacted = Redacted::new(lexer, &record.text);
    let figure = |tier, figure| known.figures.as_deref().map(|figures: &ReadFigures| figures.get(tier, figure));
    let stale = [Tier::Memory, Tier::Disk].into_iter().filter_map(|tier| figure(tier, Figure::StaleServed));
    json!({
        "query_id": record.id,
        "started_at": instant(record.started_at),
        "status": known.status.name(),
        "planning_seconds": known.planning.map(|time| time.as_secs_f64()),
        "seconds": known.total.map(|time| time.as_secs_f64()),
        "rows": known.rows,
        "memory_bytes": figure(Tier::Memory, Figure::BytesRead),
        "disk_bytes": figure(Tier::Disk, Figure::BytesRead),
        "origin_bytes": figure(Tier::Origin, Figure::BytesRead),
        "origin_requests": figure(Tier::Origin, Figure::Requests),
        "stale_served": known.figures.is_some().then(|| stale.sum::<u64>()),
        "error": known.error.as_deref().map(|error| redacted.apply(error)),
        "sql": redacted.text,
    })
}
