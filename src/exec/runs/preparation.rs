//! What a query needs to know before the first row is decoded: files, strategies, periods, units.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, Statistics, internal_datafusion_err};
use datafusion::common::{HashMap, HashSet};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::{PhysicalExpr, conjunction as all_of};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::file::{FileRuns, GroupRuns, unreadable};
use super::keys::Keys;
use super::overlap::overlapping;
use super::pattern::{Pattern, PeriodValues, conjunction};
use super::query::RunQuery;
use super::rows::RowReader;
use super::scan_exec::RunScanExec;
use super::units::{Run, Unit, cut};
use crate::error::Error;

/// Names in an `IN` list by which row groups are still pruned.
const MOST_LISTED: usize = 1024;

/// Overlapping pairs of files that are compared by name at most.
const MOST_PAIRS: usize = 10_000;

/// Everything that the units share.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Files with rows to read, in time order.
    pub(super) files: Vec<PreparedFile>,
    /// The selected strategies, ascending.
    pub(super) names: StringViewArray,
    /// Keys that the patterns have.
    pub(super) keys: Keys,
    pub(super) units: Vec<Unit>,
    /// Row groups of the files that may hold selected strategies, and those that cannot.
    pub(super) row_groups: (usize, usize),
}

/// A file with rows to read.
#[derive(Debug)]
pub(super) struct PreparedFile {
    pub(super) file: PartitionedFile,
    pub(super) total_rows: usize,
    /// Runs of the selected strategies.
    pub(super) runs: Vec<Run>,
    /// The periods of every run; `None` where each row has its own.
    pub(super) pattern: Option<Pattern>,
}

/// A file whose runs are known.
struct OpenedFile {
    file: PartitionedFile,
    runs: Arc<FileRuns>,
    /// Row groups with selected strategies, and which of them are selected (`None` for all).
    selected: Vec<(Arc<GroupRuns>, Option<Vec<bool>>)>,
    periods: Option<PeriodValues>,
}

/// Opens the files of a scan and finds what the query needs to know of them.
///
/// # Errors
/// A file that cannot be read, or that is not what the log says.
pub(super) async fn prepare(query: &Arc<RunQuery>, scan: &RunScanExec, reader: &RowReader) -> Result<Prepared> {
    let files = pruned(query, scan)?;
    let open = |file: PartitionedFile| {
        let (query, reader, opened) = (Arc::clone(query), reader.clone(), file.clone());
        let task = SpawnedTask::spawn(async move { open(&query, &reader, file).await });
        // A footer with a changed byte may make the Parquet reader panic.
        async move { task.join().await.unwrap_or_else(|panicked| Err(unreadable(&opened, panicked))) }
    };
    let threads = reader.context().session_config().target_partitions();
    let opened: Vec<OpenedFile> = futures::stream::iter(files).map(open).buffered(threads.max(1)).try_collect().await?;
    assemble(query, scan, opened)
}

/// The files that may hold rows for the predicates, by what the log says of them.
fn pruned(query: &RunQuery, scan: &RunScanExec) -> Result<Vec<PartitionedFile>> {
    let schema = scan.table().table_schema();
    let known: Option<Vec<_>> = scan.files().iter().map(|file| file.statistics.clone()).collect();
    let kept = match known {
        Some(known) => may_hold(&query.predicates, Arc::clone(schema), known)?,
        None => vec![true; scan.files().len()],
    };
    Ok(scan.files().iter().zip(kept).filter(|(_, kept)| *kept).map(|(file, _)| file.clone()).collect())
}

async fn open(query: &RunQuery, reader: &RowReader, file: PartitionedFile) -> Result<OpenedFile> {
    let runs = known_file(reader, &file).await?;
    let selective = !query.strategy_predicates.is_empty();
    if selective {
        // A few strategies of many: with the places of the pages only theirs are read.
        reader.metadata(&file, true).await?;
    }
    let wanted = if selective { groups_to_read(query, &runs)? } else { (0..runs.row_group_count()).collect() };
    let groups = groups_of(reader, &file, &runs, &wanted).await?;
    let selected: Vec<_> = groups.into_iter().map(|group| Ok((Arc::clone(&group), selection(query, &group)?))).collect::<Result<_>>()?;
    let any = selected.iter().any(|(_, kept)| kept.as_ref().is_none_or(|kept| kept.contains(&true)));
    let periods = if any { PeriodValues::read(reader, &file, &runs, query).await? } else { None };
    Ok(OpenedFile { file, runs, selected, periods })
}

/// A file with what earlier queries have found of it.
async fn known_file(reader: &RowReader, file: &PartitionedFile) -> Result<Arc<FileRuns>> {
    match reader.cache().get(file) {
        Some(known) => Ok(known),
        None => Ok(Arc::new(FileRuns::open(reader, file).await?)),
    }
}

/// The runs of the row groups `wanted`, which the session keeps.
async fn groups_of(reader: &RowReader, file: &PartitionedFile, runs: &Arc<FileRuns>, wanted: &[usize]) -> Result<Vec<Arc<GroupRuns>>> {
    if runs.find(reader, file, wanted).await? {
        reader.cache().put(file, Arc::clone(runs));
    }
    runs.known(file, wanted)
}

/// Whether files whose dates and names overlap hold different strategies all the same: parts of one import, whose names interleave. Looks
/// into just those files.
///
/// # Errors
/// A file that cannot be read.
pub(in crate::exec) async fn hold_other_strategies(reader: &RowReader, files: &[PartitionedFile]) -> Result<bool> {
    let pairs = overlapping(files);
    let places: BTreeSet<usize> = pairs.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let paths: Vec<Path> = places.iter().map(|&place| files[place].path().clone()).collect();
    if let Some(known) = reader.cache().apart(&paths) {
        return Ok(known);
    }
    let apart = pairs.len() <= MOST_PAIRS && share_no_strategy(reader, files, &pairs).await?;
    reader.cache().keep_apart(paths, apart);
    Ok(apart)
}

async fn share_no_strategy(reader: &RowReader, files: &[PartitionedFile], pairs: &[(usize, usize)]) -> Result<bool> {
    let mut names: HashMap<usize, Vec<Arc<GroupRuns>>> = HashMap::default();
    for &(a, b) in pairs {
        for file in [a, b] {
            if !names.contains_key(&file) {
                let runs = known_file(reader, &files[file]).await?;
                let all: Vec<usize> = (0..runs.row_group_count()).collect();
                names.insert(file, groups_of(reader, &files[file], &runs, &all).await?);
            }
        }
        let of = |file: &usize| names.get(file).into_iter().flatten().flat_map(|group| group.names.iter().flatten());
        let known: HashSet<&str> = of(&a).collect();
        if of(&b).any(|name| known.contains(name)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The rows of some strategies, whose names ascend, in a dense file, and the number of rows that it has; `None` for another file.
///
/// # Errors
/// A file that cannot be read, or that is not what the log says.
pub(in crate::exec) async fn rows_of_strategies(
    reader: &RowReader,
    file: &PartitionedFile,
    names: &[&str],
) -> Result<Option<(Vec<Range<usize>>, usize)>> {
    let runs = known_file(reader, file).await?;
    if runs.claim().is_none() {
        return Ok(None);
    }
    let all: Vec<usize> = (0..runs.row_group_count()).collect();
    let groups = groups_of(reader, file, &runs, &all).await?;
    let rows = groups.iter().flat_map(|group| names.iter().filter_map(|name| group.rows_of(name)));
    Ok(Some((rows.collect(), runs.total_rows())))
}

fn strategy_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("strategy", DataType::Utf8View, false)]))
}

/// Row groups that may hold a selected strategy.
fn groups_to_read(query: &RunQuery, runs: &FileRuns) -> Result<Vec<usize>> {
    let kept = may_hold(&query.strategy_predicates, strategy_schema(), runs.strategy_statistics())?;
    Ok((0..runs.row_group_count()).zip(kept).filter(|(_, kept)| *kept).map(|(group, _)| group).collect())
}

/// Which parts of a table may hold rows for all predicates, by their statistics.
fn may_hold(predicates: &[Arc<dyn PhysicalExpr>], schema: SchemaRef, parts: Vec<Arc<Statistics>>) -> Result<Vec<bool>> {
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(&schema)).with_max_in_list_size(MOST_LISTED);
    match builder.build(all_of(predicates.to_vec())) {
        Some(predicate) => predicate.prune(&PrunableStatistics::new(parts, schema)),
        None => Ok(vec![true; parts.len()]),
    }
}

/// Which strategies of a row group the predicates keep; `None` for all.
fn selection(query: &RunQuery, group: &GroupRuns) -> Result<Option<Vec<bool>>> {
    let names: ArrayRef = Arc::new(group.names.clone());
    let batch = RecordBatch::try_new(strategy_schema(), vec![names])?;
    let kept = conjunction(&query.strategy_predicates, &batch, None)?;
    Ok(kept.map(|kept| kept.values().iter().collect()))
}

fn assemble(query: &RunQuery, scan: &RunScanExec, opened: Vec<OpenedFile>) -> Result<Prepared> {
    let read: usize = opened.iter().map(|file| file.selected.len()).sum();
    let all: usize = opened.iter().map(|file| file.runs.row_group_count()).sum();
    let lists: Vec<Vec<(&str, usize, usize)>> = opened.iter().map(OpenedFile::selected_runs).collect();
    let names = union(&lists);
    let runs: Vec<Vec<Run>> = lists.iter().map(|list| numbered(list, &names)).collect::<Result<_>>()?;
    let names = StringViewArray::from_iter_values(&names);
    let mut keys = Keys::try_new(&key_types(query, scan)?)?;
    let mut files = vec![];
    for (opened, runs) in opened.into_iter().zip(runs) {
        let pattern = opened.periods.map(|values| values.pattern(query, &mut keys)).transpose()?;
        let none = pattern.as_ref().and_then(|pattern| pattern.keep.as_ref()).is_some_and(|keep| keep.true_count() == 0);
        if !none && !runs.is_empty() {
            files.push(PreparedFile { file: opened.file, total_rows: opened.runs.total_rows(), runs, pattern });
        }
    }
    let selected = !query.strategy_predicates.is_empty();
    let units = cut(names.len(), selected, &files.iter().map(|file| file.runs.as_slice()).collect::<Vec<_>>());
    Ok(Prepared { files, names, keys, units, row_groups: (read, all - read) })
}

/// Types of the group keys.
fn key_types(query: &RunQuery, scan: &RunScanExec) -> Result<Vec<DataType>> {
    let schema = query.period_layout.schema(scan.table().table_schema())?;
    query.keys.iter().map(|key| key.data_type(&schema)).collect()
}

impl OpenedFile {
    /// Name, first row and number of rows of each selected run, by name.
    fn selected_runs(&self) -> Vec<(&str, usize, usize)> {
        let mut all = vec![];
        for (group, kept) in &self.selected {
            let kept = |run: usize| kept.as_ref().is_none_or(|kept| kept[run]);
            let run = |run: usize| (group.names.value(run), group.starts[run], group.starts[run + 1] - group.starts[run]);
            all.extend((0..group.names.len()).filter(|&run| kept(run)).map(run));
        }
        all
    }
}

/// All names of the lists, each of which ascends.
fn union<'a>(lists: &[Vec<(&'a str, usize, usize)>]) -> Vec<&'a str> {
    let mut union: Vec<&str> = vec![];
    for list in lists {
        // The files of most tables hold the same strategies.
        if !list.iter().map(|(name, ..)| *name).eq(union.iter().copied()) {
            union.extend(list.iter().map(|(name, ..)| *name));
            union.sort_unstable();
            union.dedup();
        }
    }
    union
}

fn numbered(list: &[(&str, usize, usize)], names: &[&str]) -> Result<Vec<Run>> {
    let mut number = 0;
    let run = |&(name, start, rows): &(&str, usize, usize)| {
        // Nearly always the next one.
        number += names[number..].iter().take_while(|known| **known < name).count();
        let found = names.get(number) == Some(&name);
        found
            .then_some(Run { strategy: number as u32, start, rows: rows as u32 })
            .ok_or_else(|| internal_datafusion_err!("'{name}' is out of order"))
    };
    list.iter().map(run).collect()
}

/// A unit that panicked, as the Parquet reader may on a damaged file.
pub(super) fn panicked(error: tokio::task::JoinError) -> DataFusionError {
    Error::storage("reading the rows of a strategy table", error).into()
}
