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
//! | `system.files` | data file of a table, and what the tiers hold of it |
//! | `system.queries` | statement of this session, the last thousand: how long it took, how many rows it gave, what it read from each tier |
//! | `system.retention` | group of a metrics table under retention: what is kept, what was dropped, in rows and bytes |
//! | `system.retention_policies` | metrics table under retention: its policy |
//! | `system.replay_results` | query of every replay of HeavyDB's queries that the database keeps |

mod caches;
mod devices;
mod files;
mod imports;
mod queries;
mod records;
mod retention;
mod strategies;
mod tables;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::common::{Result as DfResult, internal_datafusion_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use futures::future::BoxFuture;

pub(super) use self::caches::DECODED;
use self::caches::{ENTRY_COLUMNS, TIER_COLUMNS, cache_entries, cache_tiers};
use self::devices::{DEVICE_COLUMNS, devices};
use self::files::{FILE_COLUMNS, files};
use self::imports::{IMPORT_COLUMNS, ISSUE_COLUMNS, import_issues, imports};
use self::queries::{QUERY_COLUMNS, queries};
use self::records::{JsonColumn, JsonType, json_batch, json_schema};
use self::retention::{POLICY_COLUMNS, RETENTION_COLUMNS, retention, retention_policies};
use self::strategies::{strategies, strategies_schema};
use self::tables::{TABLE_COLUMNS, VERSION_COLUMNS, tables, versions};
use super::directory::DirectorySchema;
use crate::error::Result;
use crate::heavydb::kept_replays;

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
    SystemTable { name: "files", schema: || json_schema(FILE_COLUMNS), compute: |schema, ctx| Box::pin(files(schema, ctx)) },
    SystemTable { name: "queries", schema: || json_schema(QUERY_COLUMNS), compute: |_, ctx| Box::pin(async { queries(ctx) }) },
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

async fn names(schema: &DirectorySchema) -> Result<Vec<String>> {
    schema.refresh().await?;
    Ok(SchemaProvider::table_names(schema))
}
