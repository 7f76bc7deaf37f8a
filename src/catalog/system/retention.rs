//! `system.retention` and `system.retention_policies`.

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use serde_json::Value;

use super::records::{JsonColumn, JsonType, json_batch};
use crate::catalog::DirectorySchema;
use crate::error::{Error, Result};
use crate::ingest::{RetentionPolicy, policies, statistics};
use crate::storage::at_one_state;

pub(super) const RETENTION_COLUMNS: &[JsonColumn] = &[
    JsonColumn("dataset", JsonType::Text, &["group", "dataset"]),
    JsonColumn("universe", JsonType::Text, &["group", "universe"]),
    JsonColumn("metric", JsonType::Text, &["metric"]),
    JsonColumn("n", JsonType::Integer, &["n"]),
    JsonColumn("strategies", JsonType::Integer, &["strategies"]),
    JsonColumn("kept_top", JsonType::Integer, &["kept_top"]),
    JsonColumn("kept_sample", JsonType::Integer, &["kept_sample"]),
    JsonColumn("trades_kept", JsonType::Integer, &["trades_kept"]),
    JsonColumn("trades_dropped", JsonType::Integer, &["trades_dropped"]),
    JsonColumn("bytes_source_equivalent", JsonType::Integer, &["bytes_source_equivalent"]),
    JsonColumn("bytes_stored", JsonType::Integer, &["bytes_stored"]),
    JsonColumn("bytes_discarded", JsonType::Integer, &["bytes_discarded"]),
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("group_values", JsonType::Text, &["group"]),
];

pub(super) const POLICY_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("metric", JsonType::Text, &["metric"]),
    JsonColumn("direction", JsonType::Text, &["direction"]),
    JsonColumn("n", JsonType::Integer, &["top"]),
    JsonColumn("per", JsonType::Text, &["per"]),
    JsonColumn("keys", JsonType::Text, &["keys"]),
    JsonColumn("eligible", JsonType::Text, &["eligible"]),
    JsonColumn("sample", JsonType::Integer, &["sample"]),
    JsonColumn("seed", JsonType::Integer, &["seed"]),
    JsonColumn("details", JsonType::Text, &["details"]),
    JsonColumn("vacuum_hours", JsonType::Integer, &["vacuum_hours"]),
];

/// `system.retention`: read from the tables and their commits as of one state of the database.
pub(super) async fn retention(schema: &DirectorySchema, ctx: &SessionContext) -> Result<RecordBatch> {
    let mut records = Vec::new();
    for (table, policy) in policies(schema.root()).await? {
        let groups = at_one_state(schema.root(), statistics(ctx, schema.root(), &table, policy.clone())).await?;
        records.extend(groups.into_iter().map(|group| {
            let values = group
                .group
                .iter()
                .map(|(name, value)| (name.clone(), if value.is_null() { Value::Null } else { Value::from(value.to_string()) }));
            serde_json::json!({
                "table_name": table,
                "group": values.collect::<serde_json::Map<_, _>>(),
                "metric": policy.metric,
                "n": policy.top,
                "strategies": group.strategies,
                "kept_top": group.kept_top,
                "kept_sample": group.kept_sample,
                "trades_kept": group.trades_kept,
                "trades_dropped": group.trades_dropped,
                "bytes_source_equivalent": group.bytes_source_equivalent,
                "bytes_stored": group.bytes_stored,
                "bytes_discarded": group.bytes_discarded,
            })
        }));
    }
    json_batch(RETENTION_COLUMNS, &records)
}

pub(super) async fn retention_policies(schema: &DirectorySchema) -> Result<RecordBatch> {
    let record = |(table, policy): (String, RetentionPolicy)| {
        let mut record = serde_json::to_value(&policy).map_err(|e| Error::Internal(e.to_string()))?;
        record["table_name"] = Value::from(table);
        for list in ["per", "keys", "details"] {
            let names: Vec<_> = record[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            record[list] = Value::from(names.join(", "));
        }
        Ok(record)
    };
    let records = policies(schema.root()).await?.into_iter().map(record).collect::<Result<Vec<_>>>()?;
    json_batch(POLICY_COLUMNS, &records)
}
