//! The runs of one file: which strategies it holds, and in which rows.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, StringViewArray, StringViewBuilder};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::parquet::file::metadata::ParquetMetaData;
use datafusion::parquet::file::statistics::Statistics as ParquetStatistics;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::dictionary;
use super::rows::{Extent, RowReader};
use crate::error::Error;
use crate::storage::{DenseClaim, StrategyShape, created_here};

/// Rows of a batch of names.
const NAMES_BATCH_ROWS: usize = 8192;

/// What the log of a strategy table says about a file. A scan attaches it to each [`PartitionedFile`] as an extension.
#[derive(Debug, Clone)]
pub(crate) struct RunFile {
    /// Columns of the table.
    pub(crate) shape: Arc<StrategyShape>,
    /// Number of rows.
    pub(crate) rows: Option<u64>,
    /// First and last date as days since 1970-01-01.
    pub(crate) dates: Option<(i32, i32)>,
    /// First and last strategy.
    pub(crate) strategies: Option<(String, String)>,
    /// Whether the rows are in file order.
    pub(crate) sorted: bool,
    /// Whether files that overlap this one in time are known to hold other strategies, whatever the range of their names.
    pub(crate) apart: bool,
}

/// The runs of a file, as far as queries have needed them. Shared by all queries of a session.
#[derive(Debug)]
pub(super) struct FileRuns {
    total_rows: usize,
    /// Periods of every strategy, in a dense file.
    claim: Option<DenseClaim>,
    groups: Vec<RowGroup>,
}

#[derive(Debug)]
struct RowGroup {
    rows: Range<usize>,
    /// Bounds of the strategies, from the footer.
    bounds: Option<(String, String)>,
    /// First and last date, from the footer.
    dates: Option<(i32, i32)>,
    runs: Mutex<Option<Arc<GroupRuns>>>,
}

/// The runs of one row group.
#[derive(Debug)]
pub(super) struct GroupRuns {
    /// Strategies, ascending.
    pub(super) names: StringViewArray,
    /// First row of each run, then the end of the last one, as rows of the file.
    pub(super) starts: Vec<usize>,
}

impl GroupRuns {
    fn first(&self) -> Option<&str> {
        (!self.names.is_empty()).then(|| self.names.value(0))
    }

    /// The rows of a strategy, if it is there.
    pub(super) fn rows_of(&self, name: &str) -> Option<Range<usize>> {
        let (mut low, mut high) = (0, self.names.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.names.value(middle) < name { low = middle + 1 } else { high = middle }
        }
        let found = low < self.names.len() && self.names.value(low) == name;
        found.then(|| self.starts[low]..self.starts[low + 1])
    }

    fn last(&self) -> Option<&str> {
        self.names.len().checked_sub(1).map(|last| self.names.value(last))
    }
}

impl FileRuns {
    /// Reads the footer and checks it against the log.
    ///
    /// # Errors
    /// [`Error::Database`] with the file's name when footer and log disagree.
    pub(super) async fn open(reader: &RowReader, file: &PartitionedFile) -> Result<Self> {
        let metadata = reader.metadata(file, false).await.map_err(|e| unreadable(file, e))?;
        let total_rows = usize::try_from(metadata.file_metadata().num_rows()).unwrap_or_default();
        let logged = file.extension::<RunFile>().and_then(|run| run.rows);
        if logged.is_some_and(|rows| rows != total_rows as u64) || !created_here(&metadata) {
            return Err(damaged(file, "it is not the file that the table's log names: it was written or replaced by another program"));
        }
        let claim = DenseClaim::of_footer(&metadata);
        let groups = row_groups(&metadata);
        let runs = Self { total_rows, claim, groups };
        runs.check_claim(file)?;
        Ok(runs)
    }

    /// The counts of rows must allow what the footer claims.
    fn check_claim(&self, file: &PartitionedFile) -> Result<()> {
        let Some(claim) = &self.claim else { return Ok(()) };
        let whole = |rows: usize| claim.periods > 0 && rows.is_multiple_of(claim.periods);
        let total = claim.strategies.checked_mul(claim.periods);
        let dates = file.extension::<RunFile>().and_then(|run| run.dates);
        if self.groups.iter().any(|group| group.dates.is_some() && dates.is_some() && group.dates != dates) {
            return Err(damaged(file, "its footer claims that every strategy has every period, and the dates of its row groups differ"));
        }
        if total != Some(self.total_rows) || !self.groups.iter().all(|group| whole(group.rows.len())) {
            let (strategies, periods, rows) = (claim.strategies, claim.periods, self.total_rows);
            return Err(damaged(file, &format!("its footer claims {strategies} strategies of {periods} periods each, it has {rows} rows")));
        }
        Ok(())
    }

    pub(super) fn total_rows(&self) -> usize {
        self.total_rows
    }

    /// What the footer of a dense file claims.
    pub(super) fn claim(&self) -> Option<&DenseClaim> {
        self.claim.as_ref()
    }

    pub(super) fn row_group_count(&self) -> usize {
        self.groups.len()
    }

    /// Statistics of each row group, for the one column `strategy`. Bounds of long names are cut; they still are bounds.
    pub(super) fn strategy_statistics(&self) -> Vec<Arc<Statistics>> {
        let text = |name: &String| Precision::Exact(ScalarValue::Utf8View(Some(name.clone())));
        let of_group = |group: &RowGroup| {
            let mut column = ColumnStatistics::new_unknown();
            if let Some((low, high)) = &group.bounds {
                (column.min_value, column.max_value) = (text(low), text(high));
            }
            Arc::new(Statistics {
                num_rows: Precision::Exact(group.rows.len()),
                total_byte_size: Precision::Absent,
                column_statistics: vec![column],
            })
        };
        self.groups.iter().map(of_group).collect()
    }

    /// Bytes that the names and offsets take.
    pub(super) fn size_bytes(&self) -> usize {
        let runs = self.groups.iter().filter_map(|group| group.runs.lock().clone());
        runs.map(|runs| runs.names.get_array_memory_size() + runs.starts.capacity() * size_of::<usize>()).sum()
    }

    /// Finds the runs of the row groups `wanted` that no query has needed before; whether there were any.
    ///
    /// # Errors
    /// [`Error::Database`] with the file's name when the strategies are out of order or a dense file is not dense.
    pub(super) async fn find(&self, reader: &RowReader, file: &PartitionedFile, wanted: &[usize]) -> Result<bool> {
        let missing: Vec<usize> = wanted.iter().copied().filter(|&group| self.groups[group].runs.lock().is_none()).collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let missing = self.load_dictionaries(reader, file, missing).await?;
        if !missing.is_empty() {
            self.load(reader, file, &missing).await?;
        }
        Ok(true)
    }

    /// The runs of the row groups `wanted`, ascending, after [`Self::find`].
    ///
    /// # Errors
    /// [`Error::Database`] with the file's name when row groups are out of order, or strategies are not those that the log names.
    pub(super) fn known(&self, file: &PartitionedFile, wanted: &[usize]) -> Result<Vec<Arc<GroupRuns>>> {
        let known =
            |&group: &usize| self.groups[group].runs.lock().clone().ok_or_else(|| damaged(file, "it has fewer rows than its footer says"));
        let runs: Vec<Arc<GroupRuns>> = wanted.iter().map(known).collect::<Result<_>>()?;
        for pair in runs.windows(2) {
            if let (Some(before), Some(after)) = (pair[0].last(), pair[1].first())
                && (before > after || (before == after && self.claim.is_some()))
            {
                return Err(damaged(file, &format!("strategy '{after}' is out of order")));
            }
        }
        let ends = runs.first().and_then(|group| group.first()).zip(runs.last().and_then(|group| group.last()));
        let logged = file.extension::<RunFile>().and_then(|run| run.strategies.as_ref());
        if let (Some((first, last)), Some(logged)) = (ends, logged)
            && runs.len() == self.groups.len()
            && (first, last) != (logged.0.as_str(), logged.1.as_str())
        {
            return Err(damaged(file, &format!("it holds '{first}' to '{last}', the log says '{}' to '{}'", logged.0, logged.1)));
        }
        Ok(runs)
    }

    /// Takes the runs of a dense file's row groups from their dictionaries; returns the groups for which that is not enough.
    async fn load_dictionaries(&self, reader: &RowReader, file: &PartitionedFile, groups: Vec<usize>) -> Result<Vec<usize>> {
        let Some(claim) = &self.claim else { return Ok(groups) };
        let expected: Vec<_> = groups.iter().map(|&group| (group, self.groups[group].rows.len() / claim.periods)).collect();
        let mut unknown = vec![];
        for (group, names) in groups.into_iter().zip(dictionary::names(reader, file, &expected).await?) {
            let Some(names) = names else {
                unknown.push(group);
                continue;
            };
            let rows = &self.groups[group].rows;
            let starts = (rows.start..=rows.end).step_by(claim.periods).collect();
            *self.groups[group].runs.lock() = Some(Arc::new(GroupRuns { names, starts }));
        }
        Ok(unknown)
    }

    async fn load(&self, reader: &RowReader, file: &PartitionedFile, missing: &[usize]) -> Result<()> {
        let rows = missing.iter().flat_map(|&group| self.telling_rows(group)).collect::<Vec<_>>();
        let columns = [strategy_index(file)?];
        let extent = Extent { columns: &columns, rows: rows.clone(), total_rows: self.total_rows, batch_rows: NAMES_BATCH_ROWS };
        let (mut batches, source) = reader.read(file, extent)?;
        let mut finder = RunFinder { file, owner: self, groups: missing, building: None, last: None };
        let mut rows = rows.into_iter().flatten();
        while let Some(batch) = batches.try_next().await? {
            finder.add(&batch, &mut rows)?;
        }
        finder.close();
        reader.count_bytes(&source);
        if rows.next().is_some() {
            return Err(damaged(file, "it has fewer rows than its footer says"));
        }
        Ok(())
    }

    /// Rows of a group whose strategies tell all its runs: the ends of each where their length is known, else all.
    fn telling_rows(&self, group: usize) -> Vec<Range<usize>> {
        let rows = self.groups[group].rows.clone();
        let Some(claim) = &self.claim else { return vec![rows] };
        let mut ends: Vec<Range<usize>> = Vec::with_capacity(2 * rows.len() / claim.periods);
        for start in rows.step_by(claim.periods) {
            ends.push(start..start + 1);
            if claim.periods > 1 {
                ends.push(start + claim.periods - 1..start + claim.periods);
            }
        }
        ends
    }
}

/// Finds the runs in a column of strategies.
struct RunFinder<'a> {
    file: &'a PartitionedFile,
    owner: &'a FileRuns,
    /// Row groups still to come.
    groups: &'a [usize],
    building: Option<Building>,
    /// The strategy of the row before, over all groups.
    last: Option<String>,
}

struct Building {
    group: usize,
    names: StringViewBuilder,
    starts: Vec<usize>,
}

impl RunFinder<'_> {
    fn add(&mut self, batch: &RecordBatch, rows: &mut impl Iterator<Item = usize>) -> Result<()> {
        let names = batch.column(0).as_string_view();
        for (index, row) in (0..names.len()).zip(rows) {
            self.add_row(row, names.value(index))?;
        }
        Ok(())
    }

    fn add_row(&mut self, row: usize, name: &str) -> Result<()> {
        let begins_group = self.building.as_ref().is_none_or(|building| !self.owner.groups[building.group].rows.contains(&row));
        if begins_group {
            self.next_group();
        }
        let Some(building) = &mut self.building else { return Ok(()) };
        let rows = &self.owner.groups[building.group].rows;
        let begins = begins_group || self.last.as_deref() != Some(name);
        let claimed = self.owner.claim.as_ref().map(|claim| (row - rows.start).is_multiple_of(claim.periods));
        if claimed.is_some_and(|claimed| claimed != begins) {
            return Err(damaged(self.file, &format!("its footer claims that every strategy has every period, and '{name}' has not")));
        }
        if begins {
            if self.last.as_deref().is_some_and(|last| last > name || (last == name && !begins_group)) {
                return Err(damaged(self.file, &format!("strategy '{name}' is out of order")));
            }
            building.names.append_value(name);
            building.starts.push(row);
            self.last = Some(name.to_owned());
        }
        Ok(())
    }

    fn next_group(&mut self) {
        self.close();
        if let Some((&group, rest)) = self.groups.split_first() {
            self.groups = rest;
            self.building = Some(Building { group, names: StringViewBuilder::new(), starts: vec![] });
        }
    }

    /// Hands the runs of the group that was built to the file.
    fn close(&mut self) {
        if let Some(mut building) = self.building.take() {
            let group = &self.owner.groups[building.group];
            building.starts.push(group.rows.end);
            *group.runs.lock() = Some(Arc::new(GroupRuns { names: building.names.finish(), starts: building.starts }));
        }
    }
}

fn row_groups(metadata: &ParquetMetaData) -> Vec<RowGroup> {
    let descriptor = metadata.file_metadata().schema_descr();
    let place = |name: &str| descriptor.columns().iter().position(|column| column.name() == name);
    let (strategy, date) = (place("strategy"), place("date"));
    let mut end = 0;
    let group = |group: &datafusion::parquet::file::metadata::RowGroupMetaData| {
        let start = end;
        end += usize::try_from(group.num_rows()).unwrap_or_default();
        let bounds = strategy.and_then(|index| group.column(index).statistics()).and_then(text_bounds);
        let dates = date.and_then(|index| group.column(index).statistics()).and_then(day_bounds);
        RowGroup { rows: start..end, bounds, dates, runs: Mutex::default() }
    };
    metadata.row_groups().iter().map(group).collect()
}

fn text_bounds(statistics: &ParquetStatistics) -> Option<(String, String)> {
    let ParquetStatistics::ByteArray(bytes) = statistics else { return None };
    let text = |bytes: &datafusion::parquet::data_type::ByteArray| bytes.as_utf8().ok().map(str::to_owned);
    bytes.min_opt().and_then(text).zip(bytes.max_opt().and_then(text))
}

fn day_bounds(statistics: &ParquetStatistics) -> Option<(i32, i32)> {
    let ParquetStatistics::Int32(days) = statistics else { return None };
    days.min_opt().copied().zip(days.max_opt().copied())
}

/// Index of the column `strategy` in the table.
fn strategy_index(file: &PartitionedFile) -> Result<usize> {
    let run = file.extension::<RunFile>().ok_or_else(|| Error::Internal(format!("{} is no file of a strategy table", file.path())))?;
    Ok(run.shape.table_schema().index_of("strategy")?)
}

/// A failure to read a file, with its name.
pub(super) fn unreadable(file: &PartitionedFile, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DataFusionError {
    Error::storage(format!("reading the file {}", file.path()), error).into()
}

fn damaged(file: &PartitionedFile, why: &str) -> DataFusionError {
    Error::Database(format!("the file {} is damaged: {why}\nhint: RESTORE the table to a version before, or import it again", file.path()))
        .into()
}
