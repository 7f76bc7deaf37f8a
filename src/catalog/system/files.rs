//! `system.files`.

use std::collections::HashMap;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use object_store_tiers::{Tier, Tiers};
use serde_json::{Value, json};

use super::caches::extension;
use super::names;
use super::records::{JsonColumn, JsonType, instant, json_batch};
use crate::catalog::DirectorySchema;
use crate::catalog::data_files::{DataFile, data_files};
use crate::error::Result;
use crate::storage::DecodedTier;

pub(super) const FILE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("url", JsonType::Text, &["url"]),
    JsonColumn("tier", JsonType::Text, &["tier"]),
    JsonColumn("partition", JsonType::Text, &["partition"]),
    JsonColumn("rows", JsonType::Integer, &["rows"]),
    JsonColumn("bytes", JsonType::Integer, &["bytes"]),
    JsonColumn("modified_at", JsonType::Instant, &["modified_at"]),
    JsonColumn("decoded_bytes", JsonType::Integer, &["decoded_bytes"]),
    JsonColumn("memory_bytes", JsonType::Integer, &["memory_bytes"]),
    JsonColumn("disk_bytes", JsonType::Integer, &["disk_bytes"]),
    JsonColumn("pinned", JsonType::Boolean, &["pinned"]),
];

/// The files of the newest version of every table. What cannot be opened is told of in `system.tables`.
pub(super) async fn files(schema: &DirectorySchema, ctx: &SessionContext) -> Result<RecordBatch> {
    let held = Held::by_tiers(ctx);
    let mut records = Vec::new();
    for name in names(schema).await? {
        let files = data_files(schema, ctx, &name).await.unwrap_or_default();
        records.extend(files.iter().map(|file| held.record(&name, file)));
    }
    json_batch(FILE_COLUMNS, &records)
}

/// What tiers hold of files.
#[derive(Default)]
struct Held {
    /// Bytes of an object, and whether it is pinned, by the tier's name and the object's place.
    blocks: HashMap<(&'static str, String), (u64, bool)>,
    /// Decoded bytes of a file, by its path in its store.
    decoded: HashMap<String, usize>,
}

impl Held {
    fn by_tiers(ctx: &SessionContext) -> Self {
        let mut held = Self::default();
        for row in extension::<Tiers>(ctx).map(|tiers| tiers.entries()).unwrap_or_default() {
            let (bytes, is_pinned) = held.blocks.entry((row.tier, format!("{}/{}", row.origin, row.path))).or_default();
            *bytes += row.bytes;
            *is_pinned |= row.pinned;
        }
        for entry in extension::<DecodedTier>(ctx).map(|tier| tier.entries()).unwrap_or_default() {
            *held.decoded.entry(entry.path.to_string()).or_default() += entry.bytes;
        }
        held
    }

    fn record(&self, table: &str, file: &DataFile) -> Value {
        let place = file.place();
        let blocks = |tier: Tier| self.blocks.get(&(tier.name(), place.clone())).copied();
        let (memory, disk) = (blocks(Tier::Memory), blocks(Tier::Disk));
        json!({
            "table_name": table,
            "url": file.url.as_str(),
            "tier": file.tier,
            "partition": file.partition,
            "rows": file.rows,
            "bytes": file.bytes,
            "modified_at": instant(file.modified_at),
            "decoded_bytes": self.decoded.get(file.path.as_ref()).copied().unwrap_or_default(),
            "memory_bytes": memory.map_or(0, |(bytes, _)| bytes),
            "disk_bytes": disk.map_or(0, |(bytes, _)| bytes),
            "pinned": memory.is_some_and(|(_, pinned)| pinned) || disk.is_some_and(|(_, pinned)| pinned),
        })
    }
}
