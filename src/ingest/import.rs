//! Importing a file into a strategy table, and generating one: read and check, write, compare, commit once.

use std::sync::Arc;

use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::commit::{RowCounts, extend_register, merge, write_source};
use super::report::{ImportReport, ImportStatus};
use super::single_slot::SingleSlot;
use super::{
    GenerateReport, GenerateRequest, GeneratedStrategies, ImportMode, ImportRequest, StrategySource, Target, read_csv, write_generated,
};
use crate::error::{Error, Result};
use crate::storage::{Root, StrategyChange, StrategyShape, StrategyTable, history, load_table, standing_notes};

/// Key under which an import's report is kept in the table's log.
const IMPORT_NOTE: &str = "import";
/// Bytes that the values of a source may take in memory before they go to a scratch file, without a memory limit.
const DEFAULT_VALUE_BYTES: usize = 512 << 20;
/// Lists of the report that may name every strategy: they are told to the user, not kept in the log.
const LONG_LISTS: &[&str] = &["identical", "constant", "all_null"];

/// What an import needs of the engine.
pub struct ImportContext<'a> {
    /// Session that reads rows already stored.
    pub ctx: &'a SessionContext,
    /// The database.
    pub root: &'a Root,
    /// Bytes the engine may hold; `None` sets no limit.
    pub memory_limit_bytes: Option<usize>,
}

impl ImportContext<'_> {
    /// Bytes for the values of one source: a third of the limit, as writing and sorting need the rest.
    fn value_bytes(&self) -> usize {
        self.memory_limit_bytes.map_or(DEFAULT_VALUE_BYTES, |limit| limit / 3)
    }

    fn threads(&self) -> usize {
        self.ctx.copied_config().target_partitions()
    }
}

/// Imports a file: it becomes visible whole or not at all.
///
/// # Errors
/// [`Error::Source`] when the file is refused, [`Error::Conflict`] when it contradicts the table or another writer was
/// first. Nothing is written then, but a record of the refusal in an existing database.
pub async fn import(context: &ImportContext<'_>, request: &ImportRequest) -> Result<ImportReport> {
    let outcome = try_import(context, request).await;
    if let Err(error @ (Error::Source(_) | Error::Conflict(_))) = &outcome
        && !request.dry_run
    {
        // What is wrong with the file is what the user has to know, even where nothing can be written.
        if let Err(unrecorded) = record_refusal(context.root, request, error).await {
            tracing::warn!(error = %unrecorded, "the refusal is not recorded in system.imports");
        }
    }
    outcome
}

async fn try_import(context: &ImportContext<'_>, request: &ImportRequest) -> Result<ImportReport> {
    context.root.table_url(&request.table)?;
    let (source, mut report) = read(context, request).await?;
    report.table.clone_from(&request.table);
    let base = base_table(context.root, &request.table).await?;
    if let Some(before) = already_imported(base.as_ref(), &report).await? {
        report.status = ImportStatus::AlreadyImported;
        report.version = Some(before.version as i64);
        report.import_id = before.import_id;
        report.rows_unchanged = report.source_rows;
        report.finish();
        return Ok(report);
    }
    let source = fitted(source, base.as_ref())?;
    let shape = StrategyShape::of_periods(source.periods().schema_ref());
    let mode = request.options.mode.unwrap_or_default();
    if request.dry_run && base.is_none() {
        report.rows_written = report.periods * report.strategies;
        report.finish();
        return Ok(report);
    }
    let change = StrategyChange::begin(context.root, &request.table, base, &shape).await?;
    if request.dry_run {
        return dry_run(context, change, source, mode, report).await;
    }
    store(context, change, source, mode, report).await
}

/// The source with slots where the table has them: a file with one row per date then holds slot 1 of its dates.
fn fitted(source: Arc<dyn StrategySource>, base: Option<&StrategyTable>) -> Result<Arc<dyn StrategySource>> {
    let lacks_slot = source.periods().column_by_name("slot").is_none();
    if lacks_slot && base.is_some_and(|table| table.shape().has_slot()) {
        return Ok(Arc::new(SingleSlot::try_new(source)?));
    }
    Ok(source)
}

async fn read(context: &ImportContext<'_>, request: &ImportRequest) -> Result<(Arc<dyn StrategySource>, ImportReport)> {
    let (path, options, bytes) = (request.source.clone(), request.options.clone(), context.value_bytes());
    let read = tokio::task::spawn_blocking(move || read_csv(&path, &options, bytes)).await;
    let read = read.map_err(|e| Error::Internal(format!("reading failed: {e}")))??;
    Ok((Arc::from(read.source), read.report))
}

/// The strategy table of that name, none if the name is free.
async fn base_table(root: &Root, name: &str) -> Result<Option<StrategyTable>> {
    let Some(delta) = load_table(root, name, None).await? else { return Ok(None) };
    let table = StrategyTable::of_delta(root, name, delta)?;
    table.map(Some).ok_or_else(|| Error::Conflict(format!("table '{name}' is not a strategy table: choose another name")))
}

/// An import that brought the same bytes before.
struct EarlierImport {
    version: u64,
    import_id: String,
}

/// The import by which the same bytes came in under the same options, if they still stand: a restore or a later SQL change
/// of the table may have taken rows away.
async fn already_imported(base: Option<&StrategyTable>, report: &ImportReport) -> Result<Option<EarlierImport>> {
    let Some(base) = base else { return Ok(None) };
    let commits = history(base.name(), base.delta()).await?;
    let options = serde_json::to_value(&report.options).map_err(|e| Error::Internal(e.to_string()))?;
    let same = |import: &Value| import["sha256"] == report.sha256.as_str() && import["options"] == options;
    let standing = standing_notes(&commits, IMPORT_NOTE).into_iter().find(|(_, import)| same(import));
    let changed_since =
        |version: u64| commits.iter().any(|c| c.version > version && c.note.as_ref().is_some_and(|note| note.get("sql").is_some()));
    let standing = standing.filter(|(version, _)| !changed_since(*version));
    Ok(standing.map(|(version, import)| EarlierImport { version, import_id: import["import_id"].as_str().unwrap_or_default().to_owned() }))
}

/// Writes, compares and throws away: the same answer as an import, the same errors, no byte left.
async fn dry_run(
    context: &ImportContext<'_>,
    mut change: StrategyChange,
    source: Arc<dyn StrategySource>,
    mode: ImportMode,
    mut report: ImportReport,
) -> Result<ImportReport> {
    let counts = prepare(context, &mut change, source, mode).await;
    change.abandon().await?;
    count(&mut report, counts?);
    report.finish();
    Ok(report)
}

async fn store(
    context: &ImportContext<'_>,
    mut change: StrategyChange,
    source: Arc<dyn StrategySource>,
    mode: ImportMode,
    mut report: ImportReport,
) -> Result<ImportReport> {
    let names = source.strategies().to_vec();
    let prepared = async {
        change.set_unit(&report.unit.to_string())?;
        let counts = prepare(context, &mut change, source, mode).await?;
        extend_register(&mut change, &names, &report.import_id).await?;
        Ok::<_, Error>(counts)
    };
    let counts = match prepared.await {
        Ok(counts) => counts,
        Err(error) => return change.abandon_after(error).await,
    };
    count(&mut report, counts);
    if counts.written == 0 && counts.replaced == 0 {
        report.status = ImportStatus::Unchanged;
        report.version = change.base().map(|base| base.version() as i64);
        report.finish();
        change.abandon().await?;
        return Ok(report);
    }
    report.status = ImportStatus::Imported;
    report.finish();
    report.version = Some(change.commit(json!({ IMPORT_NOTE: note(&report)? })).await? as i64);
    Ok(report)
}

async fn prepare(
    context: &ImportContext<'_>,
    change: &mut StrategyChange,
    source: Arc<dyn StrategySource>,
    mode: ImportMode,
) -> Result<RowCounts> {
    write_source(change, source, context.threads()).await?;
    merge(context.ctx, change, mode).await
}

fn count(report: &mut ImportReport, counts: RowCounts) {
    report.rows_written = counts.written;
    report.rows_unchanged = counts.unchanged;
    report.rows_replaced = counts.replaced;
}

/// The report as it is kept: without the lists that may name every strategy.
fn note(report: &ImportReport) -> Result<Value> {
    let mut note = serde_json::to_value(report).map_err(|e| Error::Internal(e.to_string()))?;
    if let Some(fields) = note.as_object_mut() {
        LONG_LISTS.iter().for_each(|list| {
            fields.remove(*list);
        });
    }
    Ok(note)
}

/// Keeps a record of a refused file, in a database that exists already.
async fn record_refusal(root: &Root, request: &ImportRequest, error: &Error) -> Result<()> {
    let is_database = root.read(&root.own_path(&["database.json"])).await?.is_some();
    if !is_database {
        return Ok(());
    }
    let report = ImportReport::refused(&request.source, &request.table, &request.options, error);
    let text = serde_json::to_vec_pretty(&note(&report)?).map_err(|e| Error::Internal(e.to_string()))?;
    root.write(&root.own_path(&["refused", &format!("{}.json", report.import_id)]), text).await
}

/// Makes deterministic strategies, into a table or a file.
///
/// # Errors
/// [`Error::Usage`] for counts that cannot be, [`Error::Conflict`] when the table holds other rows for the same keys.
pub async fn generate(context: &ImportContext<'_>, request: &GenerateRequest) -> Result<GenerateReport> {
    let started = std::time::Instant::now();
    let source = Arc::new(GeneratedStrategies::try_new(request)?);
    let name = match &request.target {
        Target::Table(name) => name.clone(),
        Target::Csv(_) | Target::Parquet(_) => {
            let (blocks, task) = (Arc::clone(&source), request.clone());
            let written = tokio::task::spawn_blocking(move || write_generated(blocks.as_ref(), &task)).await;
            written.map_err(|e| Error::Internal(format!("generating failed: {e}")))??;
            return Ok(GenerateReport::of(source.as_ref(), request, started.elapsed()));
        }
    };
    let base = base_table(context.root, &name).await?;
    let shape = StrategyShape::of_periods(source.periods().schema_ref());
    let mut change = StrategyChange::begin(context.root, &name, base, &shape).await?;
    let prepared = async {
        change.set_unit("currency:INR")?;
        let counts = prepare(context, &mut change, Arc::clone(&source) as Arc<dyn StrategySource>, ImportMode::Append).await?;
        extend_register(&mut change, source.strategies(), "generated").await?;
        Ok::<_, Error>(counts)
    };
    let version = match prepared.await {
        Ok(counts) if counts.written > 0 => Some(change.commit(json!({ "generate": { "seed": request.seed } })).await? as i64),
        Ok(_) => {
            change.abandon().await?;
            None
        }
        Err(error) => return change.abandon_after(error).await,
    };
    Ok(GenerateReport { version, ..GenerateReport::of(source.as_ref(), request, started.elapsed()) })
}
