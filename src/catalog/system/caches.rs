//! What is kept between queries, as system tables.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use object_store_tiers::{EntryRow, TierRow, Tiers};
use serde_json::{Value, json};

use super::records::{JsonColumn, JsonType, instant};
use crate::exec::DevicePanels;
use crate::gpu::PanelCacheEntry;
use crate::storage::{DecodedEntry, DecodedFigures, DecodedTier};

/// Name of the tier of decoded columns.
pub(in crate::catalog) const DECODED: &str = "decoded";
/// Name of the tier on a GPU.
const GPU: &str = "gpu";

pub(super) const TIER_COLUMNS: &[JsonColumn] = &[
    JsonColumn("tier", JsonType::Text, &["tier"]),
    JsonColumn("limit_bytes", JsonType::Integer, &["limit_bytes"]),
    JsonColumn("used_bytes", JsonType::Integer, &["used_bytes"]),
    JsonColumn("pinned_bytes", JsonType::Integer, &["pinned_bytes"]),
    JsonColumn("entries", JsonType::Integer, &["entries"]),
    JsonColumn("hits", JsonType::Integer, &["hits"]),
    JsonColumn("misses", JsonType::Integer, &["misses"]),
    JsonColumn("hit_rate", JsonType::Real, &["hit_rate"]),
    JsonColumn("bytes_read", JsonType::Integer, &["bytes_read"]),
    JsonColumn("evictions", JsonType::Integer, &["evictions"]),
    JsonColumn("corrupt", JsonType::Integer, &["corrupt"]),
    JsonColumn("stale_served", JsonType::Integer, &["stale_served"]),
    JsonColumn("load_errors", JsonType::Integer, &["load_errors"]),
    JsonColumn("waits", JsonType::Integer, &["waits"]),
    JsonColumn("requests", JsonType::Integer, &["requests"]),
    JsonColumn("write_errors", JsonType::Integer, &["write_errors"]),
    JsonColumn("problem", JsonType::Text, &["problem"]),
];

pub(super) const ENTRY_COLUMNS: &[JsonColumn] = &[
    JsonColumn("tier", JsonType::Text, &["tier"]),
    JsonColumn("path", JsonType::Text, &["path"]),
    JsonColumn("version", JsonType::Text, &["version"]),
    JsonColumn("bytes", JsonType::Integer, &["bytes"]),
    JsonColumn("hits", JsonType::Integer, &["hits"]),
    JsonColumn("loaded_at", JsonType::Instant, &["loaded_at"]),
    JsonColumn("last_used_at", JsonType::Instant, &["last_used_at"]),
    JsonColumn("pinned", JsonType::Boolean, &["pinned"]),
];

/// The rows of `system.cache_tiers`: the tiers in front of object stores, then the decoded columns.
pub(super) fn cache_tiers(ctx: &SessionContext) -> Vec<Value> {
    let stored = extension::<Tiers>(ctx).map(|tiers| tiers.statistics()).unwrap_or_default();
    let decoded = extension::<DecodedTier>(ctx).map(|tier| decoded_record(&tier.figures()));
    stored.iter().map(tier_record).chain(decoded).collect()
}

/// The rows of `system.cache_entries`: blocks of files in the tiers, decoded columns, and panels of series on a GPU.
pub(super) fn cache_entries(ctx: &SessionContext) -> Vec<Value> {
    let stored = extension::<Tiers>(ctx).map(|tiers| tiers.entries()).unwrap_or_default();
    let panels = extension::<DevicePanels>(ctx).map(|panels| panels.entries()).unwrap_or_default();
    let decoded = extension::<DecodedTier>(ctx).map(|tier| tier.entries()).unwrap_or_default();
    stored.iter().map(entry_record).chain(decoded.iter().map(decoded_entry)).chain(panels.iter().map(panel_record)).collect()
}

pub(super) fn extension<T: Send + Sync + 'static>(ctx: &SessionContext) -> Option<Arc<T>> {
    ctx.state_ref().read().config().get_extension::<T>()
}

fn tier_record(row: &TierRow) -> Value {
    json!({
        "tier": row.tier,
        "limit_bytes": row.limit_bytes,
        "used_bytes": row.used_bytes,
        "pinned_bytes": row.pinned_bytes,
        "entries": row.entries,
        "hits": row.hits,
        "misses": row.misses,
        "hit_rate": row.hit_rate,
        "bytes_read": row.bytes_read,
        "evictions": row.evictions,
        "corrupt": row.corrupt,
        "stale_served": row.stale_served,
        "load_errors": row.load_errors,
        "waits": row.waits,
        "requests": row.requests,
        "write_errors": row.write_errors,
        "problem": row.problem,
    })
}

fn decoded_record(figures: &DecodedFigures) -> Value {
    let asked = figures.hits + figures.misses;
    json!({
        "tier": DECODED,
        "limit_bytes": figures.limit_bytes,
        "used_bytes": figures.used_bytes,
        "pinned_bytes": 0,
        "entries": figures.entries,
        "hits": figures.hits,
        "misses": figures.misses,
        "hit_rate": (asked > 0).then(|| figures.hits as f64 / asked as f64),
        "bytes_read": figures.bytes_read,
        "evictions": figures.evictions,
        "corrupt": 0,
        "stale_served": 0,
        "load_errors": 0,
        "waits": 0,
        "requests": 0,
        "write_errors": 0,
    })
}

fn entry_record(row: &EntryRow) -> Value {
    json!({
        "tier": row.tier,
        "path": format!("{}/{}", row.origin, row.path),
        "version": row.version,
        "bytes": row.bytes,
        "hits": row.hits,
        "loaded_at": instant(row.loaded_at),
        "last_used_at": instant(row.last_used_at),
        "pinned": row.pinned,
    })
}

fn decoded_entry(entry: &DecodedEntry) -> Value {
    json!({
        "tier": DECODED,
        "path": format!("{}#{}", entry.path, entry.column),
        "bytes": entry.bytes,
        "hits": entry.hits,
        "loaded_at": instant(entry.loaded_at),
        "last_used_at": instant(entry.last_used_at),
        "pinned": false,
    })
}

fn panel_record(entry: &PanelCacheEntry) -> Value {
    json!({
        "tier": GPU,
        "path": entry.key,
        "bytes": entry.bytes,
        "hits": entry.hits,
        "loaded_at": instant(entry.loaded_at),
        "last_used_at": instant(entry.last_used_at),
        "pinned": false,
    })
}
