//! Writing one file of a strategy table: sorted rows, row groups cut at strategy boundaries, keys checked.
//!
//! The writer is the one place that guarantees the layout other parts rely on, so it checks every row: strategies
//! ascend by their bytes, the periods of a strategy ascend strictly, no NaN or infinity is stored.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::Datelike;
use datafusion::arrow::array::{Array, AsArray, DictionaryArray, Float64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::kernels::aggregate::{max, min};
use datafusion::arrow::datatypes::{Date32Type, Float64Type, Int32Type};
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::arrow::async_writer::AsyncArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::schema::types::ColumnPath;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use serde_json::json;

use super::dense_claim::{CREATED_BY, DenseClaim};
use super::{PartitionKey, Root, StrategyShape};
use crate::error::{Error, Result};

/// Rows after which a row group ends at the next strategy. Small enough that one strategy of many prunes well, large
/// enough that zstd and the column chunks pay.
pub(super) const ROW_GROUP_ROWS: usize = 262_144;

/// Rows of one page: reading one strategy of 25,000 touches about one page of each column, and decodes all of it. With larger pages files are
/// hardly smaller; with half of this, 128 KiB and less, zstd takes parameters that do worse.
pub(super) const PAGE_ROWS: usize = 16_384;

/// With pages of this size level 4 is 5 % smaller than level 3 on amounts in cents (10 % on those of which many are zero), and decodes as fast.
const ZSTD_LEVEL: i32 = 4;

/// A data file that is written and not yet part of any table version.
#[derive(Debug, Clone)]
pub struct FinishedFile {
    /// Partition of all its rows.
    pub key: PartitionKey,
    /// Path below the table's folder.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// First and last date as days since 1970-01-01.
    pub dates: (i32, i32),
    /// First and last strategy.
    pub strategies: Option<(String, String)>,
    /// All strategies.
    pub names: BTreeSet<String>,
    /// (strategies, periods) when every strategy has every period of the file.
    pub dense: Option<(u64, usize)>,
    /// Statistics as Delta keeps them, as JSON.
    pub stats: String,
}

/// Writes sorted batches of one partition to one Parquet file.
pub struct StrategyFileWriter {
    writer: AsyncArrowWriter<BufWriter>,
    key: PartitionKey,
    table: String,
    path: String,
    rows_in_group: usize,
    checks: RunChecks,
    values: ValueFacts,
}

/// What is known of the rows so far: order, density, extremes.
#[derive(Default)]
struct RunChecks {
    first: Option<String>,
    strategy: Option<String>,
    /// Periods of the first strategy; a later one that differs makes the file not dense.
    pattern: Vec<(i32, i32)>,
    position: usize,
    in_first_run: bool,
    irregular: bool,
    strategies: u64,
    names: Vec<String>,
    last_period: Option<(i32, i32)>,
    dates: Option<(i32, i32)>,
    slots: Option<(i32, i32)>,
}

/// Count, NULLs and extremes of `pnl`.
#[derive(Debug, Default)]
pub(super) struct ValueFacts {
    /// Number of values, NULLs among them.
    pub(super) rows: u64,
    nulls: u64,
    range: Option<(f64, f64)>,
}

impl StrategyFileWriter {
    /// Opens a new file in the partition; `table` is the table's name, `path` lies below its folder.
    pub fn try_new(root: &Root, table: &str, shape: &StrategyShape, key: PartitionKey, path: String) -> Result<Self> {
        let object: Path = path.split('/').fold(root.table_path(table), |folder, part| folder.join(part));
        let sink = BufWriter::new(root.table_store(table), object);
        let options = ArrowWriterOptions::new().with_properties(properties(shape, PAGE_ROWS)?).with_skip_arrow_metadata(true);
        let writer =
            AsyncArrowWriter::try_new_with_options(sink, shape.file_schema(), options).map_err(|e| parquet_error(table, &path, e))?;
        Ok(Self {
            writer,
            key,
            table: table.to_owned(),
            path,
            rows_in_group: 0,
            checks: RunChecks::default(),
            values: ValueFacts::default(),
        })
    }

    /// Appends rows in file order; a strategy may continue from the batch before.
    ///
    /// # Errors
    /// [`Error::Conflict`] for two rows with one key, [`Error::Internal`] when rows are out of order, [`Error::Storage`].
    pub async fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let starts = self.checks.check(batch)?;
        self.values.observe(pnl_column(batch)?)?;
        let mut written = 0;
        for start in starts {
            if self.rows_in_group + (start - written) >= ROW_GROUP_ROWS {
                self.write(&batch.slice(written, start - written)).await?;
                self.writer.flush().await.map_err(|e| parquet_error(&self.table, &self.path, e))?;
                self.rows_in_group = 0;
                written = start;
            }
        }
        self.write(&batch.slice(written, batch.num_rows() - written)).await
    }

    async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            self.writer.write(rows).await.map_err(|e| parquet_error(&self.table, &self.path, e))?;
            self.rows_in_group += rows.num_rows();
        }
        Ok(())
    }

    /// Completes the file. It stays invisible until a commit names it.
    pub async fn finish(mut self) -> Result<FinishedFile> {
        let dense = self.checks.dense();
        if let Some((strategies, periods)) = dense {
            // Nobody has compared the context of the strategies.
            let claim = DenseClaim { strategies: usize::try_from(strategies).unwrap_or(usize::MAX), periods, shared: vec![] };
            self.writer.append_key_value_metadata(claim.entry());
        }
        self.writer.finish().await.map_err(|e| parquet_error(&self.table, &self.path, e))?;
        let size_bytes = self.writer.bytes_written() as u64;
        let RunChecks { first, strategy, dates, slots, names, .. } = self.checks;
        let strategies = first.zip(strategy);
        let stats = stats(strategies.as_ref(), dates, slots, &self.values);
        Ok(FinishedFile {
            key: self.key,
            path: self.path,
            size_bytes,
            rows: self.values.rows,
            dates: dates.unwrap_or_default(),
            strategies,
            names: names.into_iter().collect(),
            dense,
            stats,
        })
    }
}

/// Statistics of a file as Delta keeps them: first and last strategy, date and slot, extremes and NULLs of `pnl`.
pub(super) fn stats(
    strategies: Option<&(String, String)>,
    dates: Option<(i32, i32)>,
    slots: Option<(i32, i32)>,
    values: &ValueFacts,
) -> String {
    let (mut low, mut high) = (json!({}), json!({}));
    let mut extremes = |name: &str, least: serde_json::Value, most: serde_json::Value| {
        low[name] = least;
        high[name] = most;
    };
    if let Some((first, last)) = strategies {
        extremes("strategy", json!(first), json!(last));
    }
    if let Some((first, last)) = dates {
        extremes("date", json!(date_text(first)), json!(date_text(last)));
    }
    if let Some((first, last)) = slots {
        extremes("slot", json!(first), json!(last));
    }
    if let Some((least, most)) = values.range {
        extremes("pnl", json!(least), json!(most));
    }
    let nulls = json!({ "date": 0, "strategy": 0, "pnl": values.nulls });
    json!({ "numRecords": values.rows, "minValues": low, "maxValues": high, "nullCount": nulls }).to_string()
}

impl RunChecks {
    /// Checks the order of a batch's rows; returns the rows at which a strategy begins.
    fn check(&mut self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let (strategies, names) = strategy_column(batch)?;
        let dates = batch.column(0).as_primitive::<Date32Type>().values();
        let slots = batch.column_by_name("slot").map(|c| c.as_primitive::<Int32Type>().values());
        let keys = strategies.keys().values();
        let mut starts = Vec::new();
        for row in 0..keys.len() {
            if (row == 0 || keys[row] != keys[row - 1]) && self.enter(names.value(keys[row] as usize))? {
                starts.push(row);
            }
            self.advance((dates[row], slots.map_or(0, |s| s[row])), slots.is_some())?;
        }
        Ok(starts)
    }

    /// Begins a strategy (true), or continues the one before when the name is the same.
    fn enter(&mut self, name: &str) -> Result<bool> {
        if name.is_empty() {
            return Err(Error::Conflict("a row has an empty strategy name".into()));
        }
        match self.strategy.as_deref().map(|before| before.cmp(name)) {
            Some(Ordering::Equal) => return Ok(false),
            Some(Ordering::Greater) => return Err(Error::Internal(format!("strategy '{name}' arrived out of order"))),
            _ => {}
        }
        self.close_run();
        self.in_first_run = self.first.is_none();
        if self.in_first_run {
            self.first = Some(name.to_owned());
        }
        self.strategy = Some(name.to_owned());
        self.names.push(name.to_owned());
        self.strategies += 1;
        self.position = 0;
        self.last_period = None;
        Ok(true)
    }

    fn advance(&mut self, period: (i32, i32), slotted: bool) -> Result<()> {
        match self.last_period.map(|before| before.cmp(&period)) {
            Some(Ordering::Equal) => return Err(self.repeated(period, slotted)),
            Some(Ordering::Greater) => return Err(Error::Internal("periods of a strategy arrived out of order".into())),
            _ => {}
        }
        if self.in_first_run {
            self.pattern.push(period);
        } else if self.pattern.get(self.position) != Some(&period) {
            self.irregular = true;
        }
        self.position += 1;
        self.last_period = Some(period);
        self.dates = widened(self.dates, period.0);
        if slotted {
            self.slots = widened(self.slots, period.1);
        }
        Ok(())
    }

    fn repeated(&self, period: (i32, i32), slotted: bool) -> Error {
        let name = self.strategy.as_deref().unwrap_or_default();
        let slot = if slotted { format!(", slot {}", period.1) } else { String::new() };
        Error::Conflict(format!("two rows for strategy '{name}' on {}{slot}", date_text(period.0)))
    }

    fn close_run(&mut self) {
        self.irregular |= self.strategies > 0 && self.position != self.pattern.len();
    }

    /// (strategies, periods) when every strategy has every period.
    fn dense(&mut self) -> Option<(u64, usize)> {
        self.close_run();
        (self.strategies > 0 && !self.irregular).then_some((self.strategies, self.pattern.len()))
    }
}

impl ValueFacts {
    /// Takes more values.
    ///
    /// # Errors
    /// [`Error::Conflict`] for NaN and infinities.
    pub(super) fn observe(&mut self, pnl: &Float64Array) -> Result<()> {
        self.rows += pnl.len() as u64;
        self.nulls += pnl.null_count() as u64;
        let (Some(least), Some(most)) = (min(pnl), max(pnl)) else { return Ok(()) };
        // NaN is the greatest value in Arrow's total order, so it shows up in one of the extremes.
        if !least.is_finite() || !most.is_finite() {
            return Err(Error::Conflict("column 'pnl' holds NaN or infinity, which a strategy table does not store: use NULL".into()));
        }
        self.widen((least, most));
        Ok(())
    }

    /// Takes the facts of other values.
    pub(super) fn merge(&mut self, other: &ValueFacts) {
        self.rows += other.rows;
        self.nulls += other.nulls;
        other.range.into_iter().for_each(|range| self.widen(range));
    }

    fn widen(&mut self, (least, most): (f64, f64)) {
        self.range = Some(self.range.map_or((least, most), |(a, b)| (a.min(least), b.max(most))));
    }
}

fn widened(range: Option<(i32, i32)>, value: i32) -> Option<(i32, i32)> {
    Some(range.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
}

fn strategy_column(batch: &RecordBatch) -> Result<(&DictionaryArray<Int32Type>, &StringArray)> {
    let column = batch.column_by_name("strategy").ok_or_else(|| Error::Internal("rows without a strategy column".into()))?;
    if column.null_count() > 0 {
        return Err(Error::Conflict("column 'strategy' holds NULL: every row needs a strategy name".into()));
    }
    let dictionary = column.as_dictionary::<Int32Type>();
    Ok((dictionary, dictionary.values().as_string::<i32>()))
}

fn pnl_column(batch: &RecordBatch) -> Result<&Float64Array> {
    let column = batch.column_by_name("pnl").ok_or_else(|| Error::Internal("rows without a pnl column".into()))?;
    Ok(column.as_primitive::<Float64Type>())
}

/// `YYYY-MM-DD` of a day number since 1970-01-01.
pub(super) fn date_text(days: i32) -> String {
    let day = chrono::NaiveDate::from_num_days_from_ce_opt(days.saturating_add(719_163));
    day.map_or_else(|| format!("day {days}"), |d| format!("{:04}-{:02}-{:02}", d.year(), d.month(), d.day()))
}

/// How files are written: pages of so many rows at most.
pub(super) fn properties(shape: &StrategyShape, page_rows: usize) -> Result<WriterProperties> {
    let schema = shape.file_schema();
    let sorting = shape.file_order().into_iter().filter_map(|name| schema.index_of(name).ok());
    let sorting = sorting.map(|index| SortingColumn { column_idx: index as i32, descending: false, nulls_first: false }).collect();
    let zstd = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(WriterProperties::builder()
        .set_created_by(format!("{CREATED_BY} {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(zstd))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows.min(PAGE_ROWS))
        .set_max_row_group_row_count(None)
        .set_sorting_columns(Some(sorting))
        .set_column_dictionary_enabled(ColumnPath::from("pnl"), false)
        .build())
}

pub(super) fn parquet_error(table: &str, path: &str, error: ParquetError) -> Error {
    Error::storage(format!("writing the file {path} of table '{table}'"), error)
}
