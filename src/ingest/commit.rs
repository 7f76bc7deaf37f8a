//! How new rows meet a strategy table: written as sorted files, compared with the rows there, committed as one version.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Int32Type, Schema};
use datafusion::common::{Column, JoinType, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::functions::expr_fn::date_part;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, ExprFunctionExt, Operator, binary_expr, cast as cast_to, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;

use super::ImportMode;
use crate::error::{Error, Result};
use crate::exec::StrategyScan;
use crate::storage::{FinishedFile, PartitionKey, StrategyChange, StrategyFile, StrategyShape};

/// Context columns that tell which period of a day a slot is.
const PERIOD_IDENTITY: &[&str] = &["start_time", "end_time", "zone"];

/// What became of the rows of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows that are new or took the place of others.
    pub written: u64,
    /// Rows that were there already with the same values.
    pub unchanged: u64,
    /// Rows of the table that were replaced by others of the same key.
    pub replaced: u64,
    /// Rows of the table that went without another in their place.
    pub deleted: u64,
    /// Strategies of deleted rows that the change does not bring.
    pub deleted_strategies: u64,
    /// Rows of the first period, which have no difference of levels, that were left out because the table has values there.
    pub left_out: u64,
}

/// First period of a source: the one without a level before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FirstPeriod {
    date: i32,
    slot: Option<i32>,
}

impl FirstPeriod {
    /// The first of the periods of a source; none where there are no periods.
    pub(super) fn of(periods: &RecordBatch) -> Option<Self> {
        let date = periods.column_by_name("date")?.as_primitive_opt::<Date32Type>()?;
        let slot = periods.column_by_name("slot").and_then(|slots| slots.as_primitive_opt::<Int32Type>());
        (periods.num_rows() > 0).then(|| Self { date: date.value(0), slot: slot.map(|slots| slots.value(0)) })
    }

    /// True for the rows of the period, and of the slots before it on its date.
    fn ends(self) -> Expr {
        let on_date = ident("date").eq(day(self.date));
        self.slot.map_or(on_date.clone(), |slot| on_date.and(ident("slot").lt_eq(lit(slot))))
    }
}

fn day(days: i32) -> Expr {
    lit(ScalarValue::Date32(Some(days)))
}

/// Sorts rows of any order and writes them, one file per partition. `rows` has at least the key columns and `pnl`; partition
/// columns may be absent or NULL, as they follow from the date.
///
/// # Errors
/// [`Error::Query`] for a year or month that contradicts the date.
pub async fn write_rows(change: &mut StrategyChange, rows: DataFrame) -> Result<u64> {
    let named = |name: &&str| rows.schema().has_column_with_unqualified_name(name);
    let given: Vec<&str> = change.shape().partition_columns().into_iter().filter(named).collect();
    write_sorted(change, rows, (&given, StrategyChange::add)).await
}

/// As [`write_rows`], checking the partition columns given and handing every finished file to `take`.
async fn write_sorted(
    change: &mut StrategyChange,
    rows: DataFrame,
    (given, take): (&[&str], fn(&mut StrategyChange, FinishedFile)),
) -> Result<u64> {
    let shape = change.shape().clone();
    let mut stream = sorted(&shape, rows, given)?.execute_stream().await?;
    let mut open: Option<(PartitionKey, crate::storage::StrategyFileWriter)> = None;
    let mut written = 0;
    while let Some(batch) = stream.next().await.transpose()? {
        written += batch.num_rows() as u64;
        check_partition(&batch, given)?;
        for (key, part) in split_partitions(&batch, shape.has_slot()) {
            if open.as_ref().is_some_and(|(current, _)| *current != key) {
                finish(change, open.take(), take).await?;
            }
            if open.is_none() {
                open = Some((key, change.file(key)?));
            }
            if let Some((_, writer)) = &mut open {
                writer.append(&conform(&shape, &part)?).await?;
            }
        }
    }
    finish(change, open.take(), take).await?;
    Ok(written)
}

async fn finish(
    change: &mut StrategyChange,
    open: Option<(PartitionKey, crate::storage::StrategyFileWriter)>,
    take: fn(&mut StrategyChange, FinishedFile),
) -> Result<()> {
    if let Some((_, writer)) = open {
        take(change, writer.finish().await?);
    }
    Ok(())
}

/// Refuses rows whose year or month is said to be another than that of their date.
fn check_partition(batch: &RecordBatch, given: &[&str]) -> Result<()> {
    for name in given {
        let columns = batch.column_by_name(name).zip(batch.column_by_name(&format!("given_{name}")));
        let numbers = columns.and_then(|(a, b)| a.as_primitive_opt::<Int32Type>().zip(b.as_primitive_opt::<Int32Type>()));
        let Some((computed, said)) = numbers else { continue };
        let differs = |row: &usize| said.is_valid(*row) && said.value(*row) != computed.value(*row);
        let Some(row) = (0..batch.num_rows()).find(differs) else { continue };
        let text = |column: &str| batch.column_by_name(column).map(|cells| cell(cells, row)).unwrap_or_default();
        return Err(DataFusionError::Execution(format!(
            "{name} {} contradicts the date {} of strategy '{}': leave {name} out, it follows from the date",
            said.value(row),
            text("date"),
            text("strategy")
        ))
        .into());
    }
    Ok(())
}

fn cell(column: &ArrayRef, row: usize) -> String {
    datafusion::arrow::util::display::array_value_to_string(column, row).unwrap_or_default()
}

/// Rows with their partition columns computed from the date, in file order within each partition; those `given` follow as `given_...`.
fn sorted(shape: &StrategyShape, rows: DataFrame, given: &[&str]) -> Result<DataFrame> {
    let part = |unit: &str| cast_to(date_part(lit(unit), ident("date")), DataType::Int32);
    let mut columns: Vec<Expr> = vec![part("year").alias("year"), part("month").alias("month")];
    for field in shape.read_schema().fields() {
        columns.push(cast_to(ident(field.name()), field.data_type().clone()).alias(field.name()));
    }
    columns.extend(given.iter().map(|name| cast_to(ident(name), DataType::Int32).alias(format!("given_{name}"))));
    let mut order = vec![col("year")];
    if shape.has_slot() {
        order.push(col("month"));
    }
    order.extend(shape.file_order().into_iter().map(ident));
    Ok(rows.select(columns)?.sort(order.into_iter().map(|e| e.sort(true, true)).collect())?)
}

/// Cuts a batch at changes of its first two columns, year and month.
fn split_partitions(batch: &RecordBatch, by_month: bool) -> Vec<(PartitionKey, RecordBatch)> {
    let years = batch.column(0).as_primitive::<Int32Type>();
    let months = batch.column(1).as_primitive::<Int32Type>();
    let key = |row: usize| PartitionKey { year: years.value(row), month: by_month.then(|| months.value(row)) };
    let mut parts = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let end = (start..batch.num_rows()).find(|&row| key(row) != key(start)).unwrap_or(batch.num_rows());
        parts.push((key(start), batch.slice(start, end - start)));
        start = end;
    }
    parts
}

/// The batch with exactly the columns and types that files have; context columns it lacks are NULL.
fn conform(shape: &StrategyShape, batch: &RecordBatch) -> Result<RecordBatch> {
    conform_to(shape.file_schema(), batch)
}

/// As [`conform`], for rows that are periods: without `strategy` and `pnl`, the last two columns.
pub(super) fn conform_periods(shape: &StrategyShape, periods: &RecordBatch) -> Result<RecordBatch> {
    let schema = shape.file_schema();
    let fields = schema.fields();
    conform_to(Arc::new(Schema::new(fields[..fields.len() - 2].to_vec())), periods)
}

fn conform_to(schema: Arc<Schema>, batch: &RecordBatch) -> Result<RecordBatch> {
    let broken = |e: datafusion::arrow::error::ArrowError| Error::Conflict(format!("the rows do not fit the table: {e}"));
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let Some(found) = batch.column_by_name(field.name()) else {
            return Ok(datafusion::arrow::array::new_null_array(field.data_type(), batch.num_rows()));
        };
        match (found.data_type(), field.data_type()) {
            (from, to) if from == to => Ok(Arc::clone(found)),
            (DataType::Utf8View | DataType::LargeUtf8, to) => cast(&cast(found, &DataType::Utf8).map_err(broken)?, to).map_err(broken),
            (_, to) => cast(found, to).map_err(broken),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, columns).map_err(broken)
}

/// Compares what was written with the rows of the base and leaves in the change what the mode asks for.
///
/// * `Append`: rows with equal key and values are unchanged; other values for an existing key are an error.
/// * `Upsert`: other values replace those there.
/// * `Replace`: everything between the first and the last new date goes first.
///
/// # Errors
/// [`Error::Conflict`] naming the first keys with the old and the new value.
pub async fn merge(ctx: &SessionContext, change: &mut StrategyChange, mode: ImportMode) -> Result<RowCounts> {
    merge_after(ctx, change, mode, None).await
}

/// As [`merge`], for differences of levels: the rows of `first`, which have no level before them, never take the place of a
/// stored row, and `Replace` begins after them.
pub(super) async fn merge_after(
    ctx: &SessionContext,
    change: &mut StrategyChange,
    mode: ImportMode,
    first: Option<FirstPeriod>,
) -> Result<RowCounts> {
    let mut counts = RowCounts::default();
    if let Some(first) = first {
        counts.left_out = leave_out_stored(ctx, change, first).await?;
    }
    counts.written = change.added().iter().map(|f| f.rows).sum();
    let Some(base) = change.base().cloned() else { return Ok(counts) };
    let files = base.files()?;
    if mode == ImportMode::Replace {
        cut_out(ctx, change, first, &mut counts).await?;
        return Ok(counts);
    }
    let keys: BTreeSet<PartitionKey> = change.added().iter().map(|file| file.key).collect();
    for key in keys {
        let (new, old) = meeting(change, &files, key);
        if old.is_empty() {
            continue;
        }
        let met = Meeting::of(ctx, change, &new, &old);
        met.check_slots(base.name()).await?;
        let (same, differing) = met.count().await?;
        counts.unchanged += same;
        counts.written -= same;
        match mode {
            ImportMode::Append if differing > 0 => return Err(met.conflict(base.name(), differing).await?),
            ImportMode::Append if same > 0 => rewrite(change, new, vec![], met.only_new()?).await?,
            ImportMode::Upsert if same + differing > 0 => {
                counts.replaced += differing;
                rewrite(change, new, old, met.upserted()?).await?;
            }
            _ => {}
        }
    }
    Ok(counts)
}

/// Files of the change and of the base that may share keys in a partition.
fn meeting(change: &StrategyChange, files: &[StrategyFile], key: PartitionKey) -> (Vec<FinishedFile>, Vec<StrategyFile>) {
    let new: Vec<_> = change.added().iter().filter(|file| file.key == key).cloned().collect();
    let overlaps = |old: &&StrategyFile| {
        old.key == key && new.iter().any(|n| old.may_hold(n.dates, n.strategies.as_ref().map(|(a, b)| (a.as_str(), b.as_str()))))
    };
    let old = files.iter().filter(overlaps).cloned().collect();
    (new, old)
}

fn scan_written(change: &StrategyChange, files: &[FinishedFile]) -> Arc<StrategyScan> {
    Arc::new(StrategyScan::of_written(change, files))
}

fn scan_old(change: &StrategyChange, files: &[StrategyFile]) -> Arc<StrategyScan> {
    Arc::new(StrategyScan::of_files(change.root(), change.shape(), files))
}

/// Puts `rows` in the place of the new files and the old ones given.
async fn rewrite(change: &mut StrategyChange, new: Vec<FinishedFile>, old: Vec<StrategyFile>, rows: DataFrame) -> Result<()> {
    write_sorted(change, rows, (&[], StrategyChange::add_rewritten)).await?;
    for file in new {
        change.withdraw(&file).await?;
    }
    for file in old {
        change.remove(file);
    }
    Ok(())
}

/// Takes the rows of the first period out of the change whose key the table holds; returns how many.
async fn leave_out_stored(ctx: &SessionContext, change: &mut StrategyChange, first: FirstPeriod) -> Result<u64> {
    let Some(base) = change.base().cloned() else { return Ok(0) };
    let files = base.files()?;
    let may_hold = |file: &&FinishedFile| file.dates.0 <= first.date && first.date <= file.dates.1;
    let keys: BTreeSet<PartitionKey> = change.added().iter().filter(may_hold).map(|file| file.key).collect();
    let mut left_out = 0;
    for key in keys {
        let (new, old) = meeting(change, &files, key);
        if old.is_empty() {
            continue;
        }
        let met = Meeting::of(ctx, change, &new, &old);
        let stored = met.joined(JoinType::LeftSemi)?.filter(first.ends())?.count().await? as u64;
        if stored > 0 {
            let in_time = met.joined(JoinType::LeftSemi)?.filter(first.ends().is_not_true())?;
            let rows = met.only_new()?.union(in_time)?;
            rewrite(change, new, vec![], rows).await?;
            left_out += stored;
        }
    }
    Ok(left_out)
}

/// Takes the dates of the new rows out of the base, from after `first` on, and counts what goes.
async fn cut_out(ctx: &SessionContext, change: &mut StrategyChange, first: Option<FirstPeriod>, counts: &mut RowCounts) -> Result<()> {
    let dates = change.added().iter().map(|file| file.dates).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (Some(dates), Some(base)) = (dates, change.base().cloned()) else { return Ok(()) };
    let outside = ident("date").lt(day(dates.0)).or(ident("date").gt(day(dates.1)));
    let outside = first.map_or(outside.clone(), |first| outside.or(first.ends()));
    let written = change.added().to_vec();
    let brought: HashSet<String> = change.written_strategies().map(str::to_owned).collect();
    let mut lacking: BTreeSet<String> = BTreeSet::new();
    for file in base.files()?.into_iter().filter(|file| file.may_hold(dates, None)) {
        let new: Vec<FinishedFile> = written.iter().filter(|new| new.key == file.key).cloned().collect();
        let met = Meeting::of(ctx, change, &new, std::slice::from_ref(&file));
        let rows = ctx.read_table(Arc::clone(&met.old) as _)?;
        let gone = rows.clone().filter(outside.clone().is_not_true())?;
        let total = gone.clone().count().await? as u64;
        if total == 0 {
            continue;
        }
        let replaced = met.joined(JoinType::Inner)?.filter(outside.clone().is_not_true())?.count().await? as u64;
        counts.replaced += replaced;
        counts.deleted += total - replaced;
        let names = gone.select(vec![ident("strategy")])?.distinct()?.collect().await?;
        let names = names.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| cell(batch.column(0), row)));
        lacking.extend(names.filter(|name| !brought.contains(name)));
        write_sorted(change, rows.filter(outside.clone())?, (&[], StrategyChange::add_rewritten)).await?;
        change.remove(file);
    }
    counts.deleted_strategies = lacking.len() as u64;
    Ok(())
}

/// New and old rows of one partition that may share keys.
struct Meeting<'a> {
    ctx: &'a SessionContext,
    shape: StrategyShape,
    /// Context columns that the new rows bring.
    brought: Vec<Field>,
    new: Arc<StrategyScan>,
    old: Arc<StrategyScan>,
}

impl<'a> Meeting<'a> {
    fn of(ctx: &'a SessionContext, change: &StrategyChange, new: &[FinishedFile], old: &[StrategyFile]) -> Self {
        let (shape, brought) = (change.shape().clone(), change.incoming().to_vec());
        Self { ctx, shape, brought, new: scan_written(change, new), old: scan_old(change, old) }
    }

    /// Rows with a key on both sides: the new columns under their names, the old ones with the prefix `old_`.
    fn joined(&self, kind: JoinType) -> Result<DataFrame> {
        let new = self.ctx.read_table(Arc::clone(&self.new) as _)?;
        let old = self.ctx.read_table(Arc::clone(&self.old) as _)?;
        let renamed =
            self.shape.read_schema().fields().iter().map(|f| ident(f.name()).alias(format!("old_{}", f.name()))).collect::<Vec<_>>();
        let keys = self.shape.key();
        let old_keys: Vec<String> = keys.iter().map(|key| format!("old_{key}")).collect();
        let old_keys: Vec<&str> = old_keys.iter().map(String::as_str).collect();
        Ok(new.join(old.select(renamed)?, kind, &keys, &old_keys, None)?)
    }

    /// True where every value column that the new rows bring is equal; NULL equals NULL.
    fn equal(&self) -> Expr {
        let values = self.brought.iter().map(|f| f.name().as_str()).chain(["pnl"]);
        values
            .map(|name| binary_expr(ident(name), Operator::IsNotDistinctFrom, ident(&format!("old_{name}"))))
            .reduce(Expr::and)
            .unwrap_or_else(|| lit(true))
    }

    /// Refuses rows whose slot is that of another period of the day: slots are numbered per file, so that a second file with
    /// other zones of the same dates would take the place of the first.
    async fn check_slots(&self, table: &str) -> Result<()> {
        let named = self.brought.iter().map(|f| f.name().as_str()).filter(|name| PERIOD_IDENTITY.contains(name));
        let other = named.map(|name| binary_expr(ident(name), Operator::IsDistinctFrom, ident(&format!("old_{name}")))).reduce(Expr::or);
        let (true, Some(other)) = (self.shape.has_slot(), other) else { return Ok(()) };
        let first =
            self.joined(JoinType::Inner)?.filter(other)?.limit(0, Some(1))?.select(vec![ident("date"), ident("slot")])?.collect().await?;
        let Some(batch) = first.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let text = |column: usize| datafusion::arrow::util::display::array_value_to_string(batch.column(column), 0).unwrap_or_default();
        Err(Error::Conflict(format!(
            "slot {} of {} is another period in table '{table}' (other start, end or zone): slots are numbered within a file\nhint: put all rows of a date into one file; --mode replace replaces the dates of the file",
            text(1),
            text(0)
        )))
    }

    /// (equal rows, differing rows) among those with a key on both sides.
    async fn count(&self) -> Result<(u64, u64)> {
        let all = self.joined(JoinType::Inner)?;
        let same = count(lit(1)).filter(self.equal());
        let same = same.build()?.alias("same");
        let counted = all.aggregate(vec![], vec![same, count(lit(1)).alias("both")])?.collect().await?;
        let number = |column: usize| {
            counted.first().map_or(0, |batch| batch.column(column).as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0))
        };
        Ok((number(0) as u64, (number(1) - number(0)) as u64))
    }

    async fn conflict(&self, table: &str, differing: u64) -> Result<Error> {
        let order = self.shape.key().into_iter().map(|key| ident(key).sort(true, true)).collect();
        let shown = ["date", "strategy", "old_pnl", "pnl"].map(ident).to_vec();
        let others = if self.brought.is_empty() { "" } else { " (or another context)" };
        let first = self.joined(JoinType::Inner)?.filter(self.equal().is_not_true())?.sort(order)?.limit(0, Some(3))?.select(shown)?;
        let rows = first.collect().await?;
        let mut examples = Vec::new();
        for batch in &rows {
            let text = |column: usize, row: usize| {
                datafusion::arrow::util::display::array_value_to_string(batch.column(column), row).unwrap_or_default()
            };
            let value = |column: usize, row: usize| if batch.column(column).is_null(row) { "NULL".to_owned() } else { text(column, row) };
            examples.extend(
                (0..batch.num_rows())
                    .map(|row| format!("{} '{}': {} there, {} new", text(0, row), text(1, row), value(2, row), value(3, row))),
            );
        }
        Ok(Error::Conflict(format!(
            "{differing} rows have a key that table '{table}' holds with other values{others}: {}\nhint: an import takes the new values with --mode upsert, or replaces the dates of its file with --mode replace; SQL has UPDATE",
            examples.join("; ")
        )))
    }

    /// New rows whose key is not there.
    fn only_new(&self) -> Result<DataFrame> {
        self.joined(JoinType::LeftAnti)
    }

    /// Old rows whose key is not new, and all new rows; columns that those do not bring keep the old values.
    fn upserted(&self) -> Result<DataFrame> {
        let keys = self.shape.key();
        let new = self.ctx.read_table(Arc::clone(&self.new) as _)?;
        let new_keys = new.select(keys.iter().map(|key| ident(key).alias(format!("new_{key}"))).collect::<Vec<_>>())?;
        let right: Vec<String> = keys.iter().map(|key| format!("new_{key}")).collect();
        let right: Vec<&str> = right.iter().map(String::as_str).collect();
        let kept = self.ctx.read_table(Arc::clone(&self.old) as _)?.join(new_keys, JoinType::LeftAnti, &keys, &right, None)?;
        let is_theirs = |name: &str| name == "pnl" || keys.contains(&name) || self.brought.iter().any(|f| f.name() == name);
        let columns = self.shape.read_schema();
        let names: Vec<&str> = columns.fields().iter().map(|f| f.name().as_str()).collect();
        let value = |name: &&str| if is_theirs(name) { ident(name) } else { ident(&format!("old_{name}")).alias(*name) };
        let replaced = self.joined(JoinType::Left)?.select(names.iter().map(value).collect::<Vec<_>>())?;
        Ok(kept.select(names.iter().map(|name| ident(name)).collect::<Vec<_>>())?.union(replaced)?)
    }
}

/// Extends the register of strategies by those that came new: first in source order, then by name.
pub async fn extend_register(change: &mut StrategyChange, source_order: &[String], import_id: &str) -> Result<()> {
    let base = match change.base() {
        Some(table) => table.register().await?,
        None => None,
    };
    let known: HashSet<&str> = base.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten()).collect();
    let mut seen: HashSet<&str> = HashSet::new();
    let written: BTreeSet<&str> = change.written_strategies().collect();
    let candidates = source_order.iter().map(String::as_str).filter(|name| written.contains(name)).chain(written.iter().copied());
    let fresh: Vec<&str> = candidates.filter(|name| !known.contains(name) && seen.insert(name)).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let added = register_batch(&fresh, import_id)?;
    let register = match &base {
        None => added,
        Some(base) => concat_batches(&added.schema(), [base, &added]).map_err(|e| Error::Internal(e.to_string()))?,
    };
    change.set_register(register);
    Ok(())
}

fn register_batch(names: &[&str], import_id: &str) -> Result<RecordBatch> {
    let schema = Schema::new(vec![Field::new("strategy", DataType::Utf8, false), Field::new("import_id", DataType::Utf8, false)]);
    let ids = StringArray::from_iter_values(std::iter::repeat_n(import_id, names.len()));
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(names)), Arc::new(ids)];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(|e| Error::Internal(e.to_string()))
}

/// A column by its exact name: `col` would fold upper case and split at dots.
fn ident(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{GenerateRequest, GeneratedStrategies, StrategySource, Target, write_source};
    use crate::storage::{Root, StrategyTable};

    /// A change that brings so many generated strategies from this day on.
    async fn change(root: &Root, base: Option<StrategyTable>, strategies: u32, start: (u32, u32)) -> StrategyChange {
        let start = chrono::NaiveDate::from_ymd_opt(2024, start.0, start.1).unwrap();
        let request = GenerateRequest { start, ..GenerateRequest::new(strategies, 5, 1, Target::Table("t".into())) };
        let source = Arc::new(GeneratedStrategies::try_new(&request).unwrap());
        let shape = StrategyShape::of_periods(source.periods().schema_ref());
        let mut change = StrategyChange::begin(root, "t", base, &shape).await.unwrap();
        write_source(&mut change, source, 2).await.unwrap();
        change
    }

    #[tokio::test]
    async fn rows_that_stay_are_not_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let (root, ctx) = (Root::open(&directory.path().to_string_lossy()).await.unwrap(), SessionContext::new());
        for (mode, deleted) in [(ImportMode::Replace, 9), (ImportMode::Upsert, 0)] {
            let mut first = change(&root, None, 4, (1, 1)).await;
            assert_eq!(merge(&ctx, &mut first, ImportMode::Append).await.unwrap().written, 20);
            first.commit(serde_json::json!({})).await.unwrap();
            let base = StrategyTable::open(&root, "t", None).await.unwrap();
            let mut second = change(&root, base, 1, (1, 3)).await;
            let counts = merge(&ctx, &mut second, mode).await.unwrap();
            assert_eq!((counts.written, counts.replaced, counts.deleted), (5, 3, deleted), "{mode:?}");
            assert_eq!(second.written_strategies().count(), 1, "{mode:?}");
            second.abandon().await.unwrap();
            root.remove_folder("t").await.unwrap();
        }
    }
}
