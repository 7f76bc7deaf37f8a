//! Statements that make and drop tables and views, each lasting and each as one step.

use std::sync::Arc;

use chrono::Duration;
use datafusion::common::{TableReference, plan_datafusion_err};
use datafusion::logical_expr::{CreateExternalTable, CreateMemoryTable, CreateView, DdlStatement, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::operations::write::{SchemaMode, WriteBuilder};
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder};

use super::absolute::with_absolute_paths;
use super::definitions::{DefinitionKind, remove_definition, write_definition};
use super::directory::{CATALOG, DirectorySchema, SCHEMA, TableKind};
use crate::config::SECRET_WORDS;
use crate::error::{Error, Result};
use crate::ingest::{policies_with_details, remove_policy, vacuum_hours};
use crate::storage::{
    JointWriter, Root, change_properties, delta_error, delta_write_error, landed_change, load_table, remove_table, restore_table,
    vacuum_table,
};

/// Hours for which `VACUUM` keeps the files of earlier versions where neither it nor a retention says otherwise: one week.
const DEFAULT_RETAIN_HOURS: u32 = 168;

/// The name of a table of this directory, or `None` for another schema's.
pub(super) fn own_name(reference: &TableReference) -> Option<&str> {
    let ours = reference.schema().is_none_or(|s| s == SCHEMA) && reference.catalog().is_none_or(|c| c == CATALOG);
    ours.then(|| reference.table())
}

/// Carries out a DDL statement on the directory; `None` when it concerns something else and DataFusion may do it.
pub async fn execute_ddl(ctx: &SessionContext, schema: &DirectorySchema, ddl: &DdlStatement, text: &str) -> Result<Option<DataFrame>> {
    match ddl {
        DdlStatement::CreateMemoryTable(create) if own_name(&create.name).is_some() && !create.temporary => {
            create_table(ctx, schema, create).await?;
        }
        DdlStatement::CreateExternalTable(create) if own_name(&create.name).is_some() && !create.temporary => {
            create_external(schema, create, text).await?;
        }
        DdlStatement::CreateView(create) if own_name(&create.name).is_some() && !create.temporary => {
            create_view(schema, create, text).await?;
        }
        DdlStatement::DropTable(drop) => match own_name(&drop.name) {
            Some(name) => drop_table(schema, name, drop.if_exists).await?,
            None => return Ok(None),
        },
        DdlStatement::DropView(drop) => match own_name(&drop.name) {
            Some(name) => drop_view(schema, name, drop.if_exists).await?,
            None => return Ok(None),
        },
        _ => return Ok(None),
    }
    schema.refresh().await?;
    Ok(Some(ctx.read_empty()?))
}

/// Says why `name` cannot be created, unless the statement allows that it exists.
async fn taken(schema: &DirectorySchema, name: &str, if_not_exists: bool, or_replace: Option<TableKind>) -> Result<bool> {
    match schema.kind(name).await? {
        None => Ok(false),
        Some(_) if if_not_exists => Ok(true),
        Some(kind) if or_replace == Some(kind) => Ok(false),
        Some(kind) => Err(Error::Conflict(format!("'{name}' exists already ({kind})"))),
    }
}

async fn create_table(ctx: &SessionContext, schema: &DirectorySchema, create: &CreateMemoryTable) -> Result<()> {
    let name = create.name.table();
    let replaceable = create.or_replace.then_some(TableKind::Delta);
    if taken(schema, name, create.if_not_exists, replaceable).await? {
        return Ok(());
    }
    schema.root().initialise().await?;
    let existing = load_table(schema.root(), name, None).await?;
    if existing.is_some() {
        return write_table(ctx, schema.root(), create, existing).await;
    }
    schema.root().claim_folder(name).await?;
    let written = write_table(ctx, schema.root(), create, None).await;
    if written.is_err()
        && let Err(left) = schema.root().release_folder(name).await
    {
        tracing::warn!(table = name, error = %left, "a mark of a table that was not made is left");
    }
    written
}

async fn write_table(ctx: &SessionContext, root: &Root, create: &CreateMemoryTable, existing: Option<DeltaTable>) -> Result<()> {
    let name = create.name.table();
    let is_definition = matches!(create.input.as_ref(), LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row);
    if is_definition && existing.is_none() {
        return create_empty(root, name, &create.input).await;
    }
    let table = match existing {
        Some(table) => table,
        None => new_delta(root, name)?,
    };
    let mode = if create.or_replace { SaveMode::Overwrite } else { SaveMode::ErrorIfExists };
    let write = write_plan(ctx, &table, create.input.as_ref().clone(), mode);
    let write = if create.or_replace { write.with_schema_mode(SchemaMode::Overwrite) } else { write };
    let write = write.with_table_name(name).with_configuration(table_properties());
    commit_write(root, name, table.version(), write).await.map(|_| ())
}

/// Properties of every Delta table made here: its log is never cut, so that every version stays readable.
fn table_properties() -> [(&'static str, Option<&'static str>); 1] {
    [("delta.enableExpiredLogCleanup", Some("false"))]
}

async fn create_empty(root: &Root, name: &str, input: &LogicalPlan) -> Result<()> {
    let failed = |e| delta_error(name, e);
    let schema = deltalake::kernel::schema::cast::normalize_for_delta(&Arc::new(input.schema().as_arrow().clone()));
    let kernel: StructType = schema.as_ref().try_into_kernel().map_err(|e| Error::Usage(format!("table '{name}': {e}")))?;
    new_delta(root, name)?
        .create()
        .with_table_name(name)
        .with_columns(kernel.fields().cloned())
        .with_configuration(table_properties().map(|(key, value)| (key.to_owned(), value.map(str::to_owned))))
        .with_save_mode(SaveMode::ErrorIfExists)
        .await
        .map_err(failed)?;
    Ok(())
}

fn new_delta(root: &Root, name: &str) -> Result<DeltaTable> {
    let failed = |e| delta_error(name, e);
    let url = root.table_url(name)?;
    let builder = DeltaTableBuilder::from_url(url.clone()).map_err(failed)?;
    builder.with_storage_backend(root.table_store(name), url).build().map_err(failed)
}

/// Carries out a write on top of the version `base` and gives the version that it made, also where only what follows the commit has failed.
///
/// # Errors
/// As [`delta_write_error`]; nothing was written, but where the message says that this is not known.
pub(super) async fn commit_write(root: &Root, name: &str, base: Option<u64>, write: WriteBuilder) -> Result<u64> {
    let id = uuid::Uuid::new_v4().to_string();
    let error = match write.with_commit_properties(change_properties(&id)).await {
        Ok(table) => return Ok(table.version().unwrap_or_default()),
        Err(error) => delta_write_error(name, error),
    };
    if matches!(error, Error::Query(_) | Error::Conflict(_)) {
        return Err(error);
    }
    match landed_change(root, name, base, &id).await {
        Ok(Some(version)) => Ok(version),
        _ => Err(error),
    }
}

/// A write of a plan's rows into a Delta table, streaming, failing rather than coercing.
pub(super) fn write_plan(ctx: &SessionContext, table: &DeltaTable, rows: LogicalPlan, mode: SaveMode) -> WriteBuilder {
    let snapshot = table.snapshot().ok().map(|state| state.snapshot().clone());
    WriteBuilder::new(table.log_store(), snapshot)
        .with_input_plan(rows)
        .with_session_state(Arc::new(ctx.state()))
        .with_save_mode(mode)
        .with_cast_safety(false)
}

async fn create_external(schema: &DirectorySchema, create: &CreateExternalTable, text: &str) -> Result<()> {
    let name = create.name.table();
    if taken(schema, name, create.if_not_exists, create.or_replace.then_some(TableKind::External)).await? {
        return Ok(());
    }
    let secret = |key: &&String| SECRET_WORDS.iter().any(|word| key.to_lowercase().contains(word));
    if let Some(key) = create.options.keys().find(secret) {
        return Err(Error::Usage(format!(
            "option '{key}' is a credential: definitions are stored as text, so give credentials by the environment (AWS_..., GOOGLE_..., AZURE_...)"
        )));
    }
    let text = with_absolute_paths(text)?;
    schema.check_definition(name, &text).await?;
    write_definition(schema.root(), DefinitionKind::External, name, &text).await
}

async fn create_view(schema: &DirectorySchema, create: &CreateView, text: &str) -> Result<()> {
    let name = create.name.table();
    if taken(schema, name, false, create.or_replace.then_some(TableKind::View)).await? {
        return Ok(());
    }
    let text = with_absolute_paths(text)?;
    schema.check_definition(name, &text).await?;
    write_definition(schema.root(), DefinitionKind::View, name, &text).await
}

async fn drop_table(schema: &DirectorySchema, name: &str, if_exists: bool) -> Result<()> {
    let kind = match schema.kind(name).await {
        // A managed table whose log is damaged, or half removed, can still be dropped.
        Err(_) if schema.root().is_claimed(name).await? => Some(TableKind::Delta),
        kind => kind?,
    };
    match kind {
        Some(TableKind::Strategies | TableKind::Delta) => in_turn(schema.root(), drop_managed(schema.root(), name)).await,
        Some(TableKind::External) => remove_definition(schema.root(), DefinitionKind::External, name).await,
        Some(TableKind::View) => Err(Error::Usage(format!("'{name}' is a view: DROP VIEW {name}"))),
        Some(kind @ (TableKind::Files | TableKind::Wide | TableKind::Derived)) => {
            Err(Error::Usage(format!("'{name}' ({kind}) is not a table that this database made: remove what it comes from instead")))
        }
        None if if_exists => Ok(()),
        None => Err(plan_datafusion_err!("table '{name}' not found").into()),
    }
}

/// Does what must not happen beside a change of several tables: waits for the turn of a writer, and gives it back.
async fn in_turn<T>(root: &Root, work: impl Future<Output = Result<T>>) -> Result<T> {
    let turn = JointWriter::begin(root).await?;
    let outcome = work.await;
    turn.end().await;
    outcome
}

/// Removes a table with its retention: that first, so that none is left without its table.
async fn drop_managed(root: &Root, name: &str) -> Result<()> {
    if let Some(metrics) = policies_with_details(root, name).await?.first() {
        return Err(Error::Usage(format!(
            "'{name}' is a table of details of the retention of '{metrics}'\nhint: ALTER TABLE {metrics} SET RETENTION (details => '...') without '{name}', or ALTER TABLE {metrics} DROP RETENTION, first"
        )));
    }
    remove_policy(root, name).await?;
    remove_table(root, name).await
}

async fn drop_view(schema: &DirectorySchema, name: &str, if_exists: bool) -> Result<()> {
    match schema.kind(name).await? {
        Some(TableKind::View) => remove_definition(schema.root(), DefinitionKind::View, name).await,
        Some(kind) => Err(Error::Usage(format!("'{name}' is no view but {kind}: DROP TABLE {name}"))),
        None if if_exists => Ok(()),
        None => Err(plan_datafusion_err!("view '{name}' not found").into()),
    }
}

async fn existing_delta(root: &Root, name: &str) -> Result<DeltaTable> {
    load_table(root, name, None).await?.ok_or_else(|| plan_datafusion_err!("'{name}' is not a table with versions").into())
}

/// `RESTORE TABLE name TO VERSION AS OF version`: returns the new version.
pub async fn restore(schema: &DirectorySchema, name: &str, version: u64) -> Result<u64> {
    let root = schema.root();
    existing_delta(root, name).await?;
    let restored = async {
        let table = existing_delta(root, name).await?;
        let newest = table.version().unwrap_or_default();
        if version >= newest {
            return Err(Error::Usage(format!("table '{name}' is at version {newest}: RESTORE goes back to an earlier one")));
        }
        restore_table(name, table, version).await
    };
    in_turn(root, restored).await
}

/// `VACUUM name`: removes files that no version of the last `retain_hours` needs; returns their paths. Without hours those of the retention
/// that names the table hold, else a week. A dry run waits for nobody and writes nothing.
pub async fn vacuum(schema: &DirectorySchema, name: &str, retain_hours: Option<u32>, dry_run: bool) -> Result<Vec<String>> {
    let root = schema.root();
    existing_delta(root, name).await?;
    let vacuumed = async {
        let table = existing_delta(root, name).await?;
        let hours = match retain_hours {
            Some(hours) => hours,
            None => vacuum_hours(root, name).await?.unwrap_or(DEFAULT_RETAIN_HOURS),
        };
        vacuum_table(root, name, table, Duration::hours(i64::from(hours)), dry_run).await
    };
    if dry_run { vacuumed.await } else { in_turn(root, vacuumed).await }
}
