//! Tables about tables, computed when a query reads them. A table of the directory that cannot be opened is `unreadable` in
//! `system.tables`, with the problem, and absent from the others.
//!
//! | table | one row per |
//! |---|---|
//! | `system.tables` | table of the directory, with kind and size |
//! | `system.versions` | version of a Delta table |
//! | `system.imports` | import, refused ones too |
//! | `system.import_issues` | issue that an import reported |
//! | `system.strategies` | strategy of a strategy table |
//! | `system.devices` | GPU of this machine, or the reason why there is none |
//! | `system.cache_tiers` | tier between queries and object stores, and what it has done |
//! | `system.cache_entries` | file or result that a tier holds |
//! | `system.retention` | group of a metrics table under retention: what is kept, what was dropped, in rows and bytes |
//! | `system.retention_policies` | metrics table under retention: its policy |
//! | `system.replay_results` | query of every replay of HeavyDB's queries that the database keeps |

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::{Column, JoinType, Result as DfResult, internal_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, TableType, lit, when};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::cache::{ENTRY_COLUMNS, TIER_COLUMNS, cache_entries, cache_tiers};
use super::directory::{DirectorySchema, TableKind};
use crate::error::{Error, Result};
use crate::exec::StrategyScan;
use crate::heavydb::kept_replays;
use crate::ingest::{RetentionPolicy, policies, statistics};
use crate::storage::{StrategyTable, at_one_state, history, load_table};

/// Tables whose logs are read at the same time.
const CONCURRENT_TABLES: usize = 16;

/// Kind of a table that cannot be opened.
const UNREADABLE: &str = "unreadable";

/// Name of the schema.
pub const SYSTEM_SCHEMA: &str = "system";

/// One system table: its name and how it is computed.
pub struct SystemTable {
    /// Name in the schema `system`.
    pub name: &'static str,
    schema: fn() -> SchemaRef,
    compute: Compute,
}

/// Computes a table's rows when a query reads them, with the query's own session.
type Compute = for<'a> fn(&'a DirectorySchema, &'a SessionContext) -> BoxFuture<'a, Result<RecordBatch>>;

/// Every system table.
pub const SYSTEM_TABLES: &[SystemTable] = &[
    SystemTable { name: "tables", schema: || json_schema(TABLE_COLUMNS), compute: |schema, _| Box::pin(tables(schema)) },
    SystemTable { name: "versions", schema: || json_schema(VERSION_COLUMNS), compute: |schema, _| Box::pin(versions(schema)) },
    SystemTable { name: "imports", schema: || json_schema(IMPORT_COLUMNS), compute: |schema, _| Box::pin(imports(schema)) },
    SystemTable { name: "import_issues", schema: || json_schema(ISSUE_COLUMNS), compute: |schema, _| Box::pin(import_issues(schema)) },
    SystemTable { name: "strategies", schema: strategies_schema, compute: |schema, ctx| Box::pin(strategies(schema, ctx)) },
    SystemTable { name: "devices", schema: || json_schema(DEVICE_COLUMNS), compute: |_, _| Box::pin(async { devices() }) },
    SystemTable {
        name: "cache_tiers",
        schema: || json_schema(TIER_COLUMNS),
        compute: |_, ctx| Box::pin(async { json_batch(TIER_COLUMNS, &cache_tiers(ctx)) }),
    },
    SystemTable {
        name: "cache_entries",
        schema: || json_schema(ENTRY_COLUMNS),
        compute: |_, ctx| Box::pin(async { json_batch(ENTRY_COLUMNS, &cache_entries(ctx)) }),
    },
    SystemTable { name: "retention", schema: || json_schema(RETENTION_COLUMNS), compute: |schema, ctx| Box::pin(retention(schema, ctx)) },
    SystemTable {
        name: "retention_policies",
        schema: || json_schema(POLICY_COLUMNS),
        compute: |schema, _| Box::pin(retention_policies(schema)),
    },
    SystemTable {
        name: "replay_results",
        schema: || json_schema(REPLAY_COLUMNS),
        compute: |schema, _| Box::pin(async { json_batch(REPLAY_COLUMNS, &kept_replays(schema.root()).await?) }),
    },
];

/// A system table as a provider: planning knows its columns, reading computes its rows.
struct SystemProvider {
    table: &'static SystemTable,
    directory: Arc<DirectorySchema>,
}

impl fmt::Debug for SystemProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemProvider").field("table", &self.table.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SystemProvider {
    fn schema(&self) -> SchemaRef {
        (self.table.schema)()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let state = state.as_any().downcast_ref::<SessionState>();
        let state = state.ok_or_else(|| internal_datafusion_err!("system tables need a session of the engine"))?;
        let rows = (self.table.compute)(&self.directory, &SessionContext::new_with_state(state.clone())).await?;
        MemTable::try_new(self.schema(), vec![vec![rows]])?.scan(state, projection, filters, limit).await
    }
}

/// The schema `system` beside a directory's schema.
pub struct SystemSchema {
    directory: Arc<DirectorySchema>,
}

impl fmt::Debug for SystemSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemSchema").finish_non_exhaustive()
    }
}

impl SystemSchema {
    /// The system tables of a directory.
    pub fn new(directory: Arc<DirectorySchema>) -> Self {
        Self { directory }
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        SYSTEM_TABLES.iter().map(|table| table.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let Some(table) = SYSTEM_TABLES.iter().find(|table| table.name == name) else { return Ok(None) };
        Ok(Some(Arc::new(SystemProvider { table, directory: Arc::clone(&self.directory) })))
    }

    fn table_exist(&self, name: &str) -> bool {
        SYSTEM_TABLES.iter().any(|table| table.name == name)
    }
}

/// A column of a system table that is taken from JSON records: its name, the type it gets, and a path inside the record.
pub(super) struct JsonColumn(pub(super) &'static str, pub(super) JsonType, pub(super) &'static [&'static str]);

#[derive(Clone, Copy)]
pub(super) enum JsonType {
    Text,
    Integer,
    Real,
    Boolean,
    Instant,
}

const IMPORT_COLUMNS: &[JsonColumn] = &[
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

const ISSUE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("import_id", JsonType::Text, &["import_id"]),
    JsonColumn("code", JsonType::Text, &["code"]),
    JsonColumn("severity", JsonType::Text, &["severity"]),
    JsonColumn("column_name", JsonType::Text, &["column_name"]),
    JsonColumn("count", JsonType::Integer, &["count"]),
    JsonColumn("first_line", JsonType::Integer, &["first_line"]),
    JsonColumn("example", JsonType::Text, &["example"]),
    JsonColumn("action", JsonType::Text, &["action"]),
];

const VERSION_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("version", JsonType::Integer, &["version"]),
    JsonColumn("committed_at", JsonType::Instant, &["committed_at"]),
    JsonColumn("operation", JsonType::Text, &["operation"]),
    JsonColumn("import_id", JsonType::Text, &["note", "import", "import_id"]),
    JsonColumn("statement", JsonType::Text, &["statement"]),
];

const TABLE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("table_name", JsonType::Text, &["table_name"]),
    JsonColumn("kind", JsonType::Text, &["kind"]),
    JsonColumn("version", JsonType::Integer, &["version"]),
    JsonColumn("rows", JsonType::Integer, &["rows"]),
    JsonColumn("files", JsonType::Integer, &["files"]),
    JsonColumn("bytes", JsonType::Integer, &["bytes"]),
    JsonColumn("unit", JsonType::Text, &["unit"]),
    JsonColumn("problem", JsonType::Text, &["problem"]),
];

const DEVICE_COLUMNS: &[JsonColumn] = &[
    JsonColumn("device", JsonType::Integer, &["device"]),
    JsonColumn("name", JsonType::Text, &["name"]),
    JsonColumn("compute_capability", JsonType::Text, &["compute_capability"]),
    JsonColumn("memory_bytes", JsonType::Integer, &["memory_bytes"]),
    JsonColumn("free_bytes", JsonType::Integer, &["free_bytes"]),
    JsonColumn("driver_version", JsonType::Text, &["driver_version"]),
    JsonColumn("usable", JsonType::Boolean, &["usable"]),
    JsonColumn("reason", JsonType::Text, &["reason"]),
];

const REPLAY_COLUMNS: &[JsonColumn] = &[
    JsonColumn("replay", JsonType::Integer, &["replay"]),
    JsonColumn("finished_at", JsonType::Instant, &["finished_at"]),
    JsonColumn("id", JsonType::Text, &["id"]),
    JsonColumn("status", JsonType::Text, &["status"]),
    JsonColumn("rows", JsonType::Integer, &["rows"]),
    JsonColumn("expected_rows", JsonType::Integer, &["expected_rows"]),
    JsonColumn("first_difference", JsonType::Text, &["first_difference"]),
    JsonColumn("logged_ms", JsonType::Real, &["logged_ms"]),
    JsonColumn("our_ms", JsonType::Real, &["our_ms"]),
    JsonColumn("speed_up", JsonType::Real, &["speed_up"]),
    JsonColumn("occurrences", JsonType::Integer, &["occurrences"]),
    JsonColumn("reason", JsonType::Text, &["reason"]),
    JsonColumn("rules", JsonType::Text, &["rules"]),
    JsonColumn("notes", JsonType::Text, &["notes"]),
    JsonColumn("features", JsonType::Text, &["features"]),
    JsonColumn("origin", JsonType::Text, &["origin"]),
    JsonColumn("sql", JsonType::Text, &["sql"]),
];

const RETENTION_COLUMNS: &[JsonColumn] = &[
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

const POLICY_COLUMNS: &[JsonColumn] = &[
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

/// Columns as a schema.
fn json_schema(columns: &[JsonColumn]) -> SchemaRef {
    let data_type = |kind| match kind {
        JsonType::Text => DataType::Utf8,
        JsonType::Integer => DataType::Int64,
        JsonType::Real => DataType::Float64,
        JsonType::Boolean => DataType::Boolean,
        JsonType::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Arc::new(Schema::new(columns.iter().map(|JsonColumn(name, kind, _)| Field::new(*name, data_type(*kind), true)).collect::<Vec<_>>()))
}

/// Builds a batch of the columns from JSON records; what is absent or of another type is NULL.
fn json_batch(columns: &[JsonColumn], records: &[Value]) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for JsonColumn(_, kind, path) in columns {
        let found: Vec<&Value> = records.iter().map(|record| path.iter().fold(record, |value, key| &value[*key])).collect();
        let array: ArrayRef = match kind {
            JsonType::Text => Arc::new(found.iter().map(|v| as_text(v)).collect::<StringArray>()),
            JsonType::Integer => Arc::new(found.iter().map(|v| v.as_i64()).collect::<Int64Array>()),
            JsonType::Real => Arc::new(found.iter().map(|v| v.as_f64()).collect::<Float64Array>()),
            JsonType::Boolean => Arc::new(found.iter().map(|v| v.as_bool()).collect::<BooleanArray>()),
            JsonType::Instant => Arc::new(found.iter().map(|v| as_instant(v)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        };
        arrays.push(array);
    }
    RecordBatch::try_new(json_schema(columns), arrays).map_err(|e| Error::Internal(e.to_string()))
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn as_instant(value: &Value) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|at| at.timestamp_micros())
}

async fn names(schema: &DirectorySchema) -> Result<Vec<String>> {
    schema.refresh().await?;
    Ok(SchemaProvider::table_names(schema))
}

async fn tables(schema: &DirectorySchema) -> Result<RecordBatch> {
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

async fn versions(schema: &DirectorySchema) -> Result<RecordBatch> {
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

async fn imports(schema: &DirectorySchema) -> Result<RecordBatch> {
    json_batch(IMPORT_COLUMNS, &import_records(schema).await?)
}

async fn import_issues(schema: &DirectorySchema) -> Result<RecordBatch> {
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

/// `system.retention`: read from the tables and their commits as of one state of the database.
async fn retention(schema: &DirectorySchema, ctx: &SessionContext) -> Result<RecordBatch> {
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

async fn retention_policies(schema: &DirectorySchema) -> Result<RecordBatch> {
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

/// `system.devices`: without a driver one row that says so.
fn devices() -> Result<RecordBatch> {
    let of_device = |device: crate::gpu::DeviceReport| {
        let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
        serde_json::json!({
            "device": device.index,
            "name": device.name,
            "compute_capability": version(device.compute_capability),
            "memory_bytes": device.memory_bytes,
            "free_bytes": device.free_bytes,
            "driver_version": version(device.driver_version),
            "usable": device.usable(),
            "reason": device.reason,
        })
    };
    let records: Vec<Value> = match crate::gpu::devices() {
        Ok(devices) => devices.into_iter().map(of_device).collect(),
        Err(reason) => vec![serde_json::json!({ "usable": false, "reason": reason.to_string() })],
    };
    json_batch(DEVICE_COLUMNS, &records)
}

/// `system.strategies`: one row per strategy, counted from the data, in source order.
async fn strategies(schema: &DirectorySchema, ctx: &SessionContext) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for name in names(schema).await? {
        let Ok(Some(table)) = StrategyTable::open(schema.root(), &name, None).await else { continue };
        batches.extend(strategies_of(ctx, &name, &table).await?.collect().await?);
    }
    let schema = strategies_schema();
    let conform = |batch: RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
    let batches = batches.into_iter().map(conform).collect::<std::result::Result<Vec<_>, _>>();
    let joined = batches.and_then(|batches| datafusion::arrow::compute::concat_batches(&schema, &batches));
    joined.map_err(|e| Error::Internal(e.to_string()))
}

fn strategies_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let number = |name| Field::new(name, DataType::Int64, true);
    let date = |name| Field::new(name, DataType::Date32, true);
    Arc::new(Schema::new(vec![
        text("table_name"),
        text("strategy"),
        number("ordinal"),
        number("n_values"),
        number("n_null"),
        date("first_date"),
        date("last_date"),
        text("import_id"),
    ]))
}

async fn strategies_of(ctx: &SessionContext, name: &str, table: &StrategyTable) -> Result<datafusion::prelude::DataFrame> {
    let c = |name: &str| Expr::Column(Column::new_unqualified(name));
    let is_null = when(c("pnl").is_null(), lit(1_i64)).otherwise(lit(0_i64))?;
    let counted = ctx.read_table(Arc::new(StrategyScan::try_new(table)?))?.aggregate(
        vec![c("strategy")],
        vec![
            count(c("pnl")).alias("n_values"),
            sum(is_null).alias("n_null"),
            min(c("date")).alias("first_date"),
            max(c("date")).alias("last_date"),
        ],
    )?;
    let register = match table.register().await? {
        Some(register) => numbered(&register)?,
        None => numbered(&RecordBatch::new_empty(Arc::new(Schema::new(vec![
            Field::new("strategy", DataType::Utf8, false),
            Field::new("import_id", DataType::Utf8, false),
        ]))))?,
    };
    let joined = counted.join(ctx.read_batch(register)?, JoinType::Left, &["strategy"], &["name"], None)?;
    let text = |e: Expr| datafusion::logical_expr::cast(e, DataType::Utf8);
    let columns = vec![
        lit(name).alias("table_name"),
        text(c("strategy")).alias("strategy"),
        c("ordinal"),
        c("n_values"),
        c("n_null"),
        c("first_date"),
        c("last_date"),
        c("import_id"),
    ];
    Ok(joined.sort(vec![c("ordinal").sort(true, false), c("strategy").sort(true, false)])?.select(columns)?)
}

/// The register with the row number as `ordinal` and the strategy as `name`.
fn numbered(register: &RecordBatch) -> Result<RecordBatch> {
    let ordinals: ArrayRef = Arc::new(Int64Array::from_iter_values(0..register.num_rows() as i64));
    let columns = [("name", Arc::clone(register.column(0))), ("import_id", Arc::clone(register.column(1))), ("ordinal", ordinals)];
    RecordBatch::try_from_iter(columns).map_err(|e| Error::Internal(e.to_string()))
}
