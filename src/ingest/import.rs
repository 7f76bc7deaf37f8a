//! Importing a file into a strategy table, and generating one: read and check, write, compare, commit once.

use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::commit::{FirstPeriod, RowCounts, extend_register, merge_after};
use super::report::{ImportReport, ImportStatus, Issue, IssueCode, Severity};
use super::single_slot::SingleSlot;
use super::write_source::write_source;
use super::{
    GenerateReport, GenerateRequest, GeneratedStrategies, ImportMode, ImportRequest, StrategySource, Target, Unit, ValueKind, read_csv,
    write_generated,
};
use crate::error::{Error, Result};
use crate::storage::{CommitRecord, Root, StrategyChange, StrategyShape, StrategyTable, history, load_table, standing_commits};

/// Key under which an import's report is kept in the table's log.
const IMPORT_NOTE: &str = "import";
/// Operations of other programs that leave the rows as they are.
const OPERATIONS_ON_FILES: &[&str] = &["VACUUM START", "VACUUM END", "OPTIMIZE"];
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
    settle_unit(base.as_ref(), &mut report)?;
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
    if request.dry_run && base.is_none() {
        let counts = RowCounts { written: report.periods * report.strategies, ..RowCounts::default() };
        count(&mut report, counts, None);
        report.finish();
        return Ok(report);
    }
    let change = StrategyChange::begin(context.root, &request.table, base, &shape).await?;
    if request.dry_run {
        return dry_run(context, change, source, report).await;
    }
    store(context, change, source, report).await
}

/// The unit under which the rows are stored: that of the file, else that of the table.
fn settle_unit(base: Option<&StrategyTable>, report: &mut ImportReport) -> Result<()> {
    let Some(base) = base else { return Ok(()) };
    let before: Unit = base.unit().parse().unwrap_or_default();
    match (before, &report.unit) {
        (Unit::Unknown, Unit::Unknown) => {}
        (Unit::Unknown, stated) => {
            let rows = base.files()?.iter().filter_map(|file| file.rows).sum();
            let action = format!("rows of the table had no unit; all of them are {stated} from now on");
            report.issues.push(Issue::new(IssueCode::UnitStated, Severity::Warning, rows, action));
        }
        (before, Unit::Unknown) => {
            report.unit = before;
            report.issues.retain(|issue| issue.code != IssueCode::UnitUnknown);
        }
        // Another unit is refused when the change is prepared.
        _ => {}
    }
    Ok(())
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

/// The last import by which the same bytes came in under the same options, if its rows still stand: a restore, another import
/// or an SQL change may have taken them away.
async fn already_imported(base: Option<&StrategyTable>, report: &ImportReport) -> Result<Option<EarlierImport>> {
    let Some(base) = base else { return Ok(None) };
    let commits = history(base.name(), base.delta()).await?;
    let standing = standing_commits(&commits);
    let internal = |e: serde_json::Error| Error::Internal(e.to_string());
    let options = serde_json::to_value(&report.options).map_err(internal)?;
    let (files, no_files) = (serde_json::to_value(&report.option_files).map_err(internal)?, json!({}));
    let same = |import: &Value| {
        // Imports of earlier versions of the engine did not note the files of their options.
        let noted = import.get("option_files").unwrap_or(&no_files);
        import["sha256"] == report.sha256.as_str() && import["options"] == options && *noted == files
    };
    let Some(last) = standing.iter().rposition(|commit| import_note(commit).is_some_and(same)) else { return Ok(None) };
    if standing[last + 1..].iter().any(|later| may_have_changed(later, report)) {
        return Ok(None);
    }
    let import_id = import_note(standing[last]).and_then(|import| import["import_id"].as_str()).unwrap_or_default().to_owned();
    Ok(Some(EarlierImport { version: standing[last].version, import_id }))
}

fn import_note(commit: &CommitRecord) -> Option<&Value> {
    commit.note.as_ref()?.get(IMPORT_NOTE)
}

/// Whether a later commit may have changed what the file of this report stands for: in doubt its rows are compared again.
fn may_have_changed(later: &CommitRecord, report: &ImportReport) -> bool {
    if later.note.is_none() {
        return !OPERATIONS_ON_FILES.contains(&later.operation.as_str());
    }
    let Some(import) = import_note(later) else { return true };
    let some = |count: &str| import[count].as_u64() != Some(0) && !import[count].is_null();
    let date = |of: &str| import[of].as_str().and_then(|text| text.parse::<NaiveDate>().ok());
    let apart = date("first_date").zip(report.last_date).is_some_and(|(theirs, ours)| theirs > ours)
        || date("last_date").zip(report.first_date).is_some_and(|(theirs, ours)| theirs < ours);
    // What a replacing import takes out of its dates includes what others have added there.
    let fills = report.options.mode == Some(ImportMode::Replace) && some("rows_written") && !apart;
    some("rows_replaced") || some("rows_deleted") || fills
}

/// Writes, compares and throws away: the same answer as an import, the same errors, no byte left.
async fn dry_run(
    context: &ImportContext<'_>,
    mut change: StrategyChange,
    source: Arc<dyn StrategySource>,
    mut report: ImportReport,
) -> Result<ImportReport> {
    let counts = prepare(context, &mut change, source, &report).await;
    let base = change.base().cloned();
    change.abandon().await?;
    count(&mut report, counts?, base.as_ref());
    report.finish();
    Ok(report)
}

async fn store(
    context: &ImportContext<'_>,
    mut change: StrategyChange,
    source: Arc<dyn StrategySource>,
    mut report: ImportReport,
) -> Result<ImportReport> {
    let names = source.strategies().to_vec();
    let prepared = async {
        let counts = prepare(context, &mut change, source, &report).await?;
        extend_register(&mut change, &names, &report.import_id).await?;
        Ok::<_, Error>(counts)
    };
    let counts = match prepared.await {
        Ok(counts) => counts,
        Err(error) => return change.abandon_after(error).await,
    };
    count(&mut report, counts, change.base());
    if counts.written == 0 && counts.replaced == 0 && counts.deleted == 0 && !change.gives_unit() {
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
    report: &ImportReport,
) -> Result<RowCounts> {
    change.set_unit(&report.unit.to_string())?;
    change.set_values(report.values.name())?;
    let first = if report.values == ValueKind::Levels { FirstPeriod::of(source.periods()) } else { None };
    write_source(change, source, context.threads()).await?;
    merge_after(context.ctx, change, report.options.mode.unwrap_or_default(), first).await
}

fn count(report: &mut ImportReport, counts: RowCounts, base: Option<&StrategyTable>) {
    report.rows_written = counts.written;
    report.rows_unchanged = counts.unchanged;
    report.rows_replaced = counts.replaced;
    report.rows_deleted = counts.deleted;
    report.strategies_deleted = counts.deleted_strategies;
    if report.values == ValueKind::Levels {
        report_first_levels(report, counts.left_out, base);
    }
}

/// Tells what became of the first row of a levels file, which has no level before it.
fn report_first_levels(report: &mut ImportReport, left_out: u64, base: Option<&StrategyTable>) {
    let undefined = report.strategies.saturating_sub(left_out);
    let first = report.first_date.map(|date| date.to_string()).unwrap_or_default();
    if left_out > 0 {
        let action = "the first row of the file has no difference; the values that the table holds there stay";
        report.issues.push(Issue::new(IssueCode::FirstLevel, Severity::Info, left_out, action).such_as(first.clone()));
    }
    let (severity, action) = match base {
        None => (Severity::Info, "the first row of the file has no difference; stored as NULL".to_owned()),
        Some(base) => {
            let action = format!(
                "the first row of the file has no difference; stored as NULL. Give a file that starts with the last date already in '{}', with --mode upsert where this one is in",
                base.name()
            );
            (Severity::Warning, action)
        }
    };
    if undefined > 0 {
        report.issues.push(Issue::new(IssueCode::FirstLevel, severity, undefined, action).such_as(first));
    }
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
/// [`Error::Usage`] for counts that cannot be, [`Error::Conflict`] when the table exists, or the file does and is not to be overwritten.
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
    if base_table(context.root, &name).await?.is_some() {
        return Err(Error::Conflict(format!(
            "table '{name}' exists already, and generated rows do not go among others\nhint: choose a new name, or DROP TABLE \"{name}\" first"
        )));
    }
    let shape = StrategyShape::of_periods(source.periods().schema_ref());
    let mut change = StrategyChange::begin(context.root, &name, None, &shape).await?;
    let prepared = async {
        change.set_unit("currency:INR")?;
        change.set_values(ValueKind::Pnl.name())?;
        write_source(&mut change, Arc::clone(&source) as Arc<dyn StrategySource>, context.threads()).await?;
        extend_register(&mut change, source.strategies(), "generated").await
    };
    if let Err(error) = prepared.await {
        return change.abandon_after(error).await;
    }
    let command = format!("{} --into {name}", request.command());
    let version = Some(change.commit(json!({ "generate": { "seed": request.seed, "command": command } })).await? as i64);
    Ok(GenerateReport { version, ..GenerateReport::of(source.as_ref(), request, started.elapsed()) })
}
