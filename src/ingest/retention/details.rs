//! What becomes of the details: a look at the keys of what is stored and what comes in, then the files with rows to drop are written anew.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, SortExpr};
use datafusion::prelude::DataFrame;
use futures::StreamExt;
use object_store::path::Path;

use super::Place;
use super::json_size::add_json_sizes;
use super::keys::{KeyMap, ident};
use super::ranking::{Kept, Ranking};
use super::staging::{Groups, Staged};
use super::subject::{OpenTable, Subject};
use super::writing::{abandon_after, cut_between_groups, written};
use crate::error::{Error, Result};
use crate::storage::{TableChange, TableFile};

/// Column that tells the file of a row.
const FILE: &str = "__file";
/// Rows of details after which a file ends where its group does.
const FILE_ROWS: u64 = 131_072;

/// A strategy that has details and is not kept.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    /// Place of its group, where it has metrics.
    pub(super) group: Option<usize>,
    stored_rows: u64,
    incoming_rows: u64,
    /// Rows of both kinds in the first table of details.
    first_table_rows: u64,
}

/// Rows of one strategy that lie together in a file.
struct Run {
    file: usize,
    key: Box<[u8]>,
    rows: u64,
}

/// What one file of details holds.
#[derive(Debug, Clone, Copy, Default)]
struct FileFigures {
    rows: u64,
    /// Rows that are replaced by what comes in.
    replaced: u64,
}

/// A table of details and what comes in for it.
#[derive(Clone, Copy)]
pub(super) struct Detail<'a> {
    pub(super) table: &'a OpenTable,
    pub(super) incoming: &'a Staged,
}

/// What is found out of the strategies of the groups: who is kept, and who has details and is not.
pub(super) struct Findings<'a> {
    pub(super) ranking: &'a mut Ranking,
    pub(super) unkept: &'a mut KeyMap<Unkept>,
}

/// Who is kept and who is not, when all is found out.
#[derive(Clone, Copy)]
pub(super) struct Decided<'a> {
    pub(super) kept: &'a Arc<KeyMap<Kept>>,
    pub(super) unkept: &'a Arc<KeyMap<Unkept>>,
}

/// The details of one table as they are.
pub(super) struct Survey {
    /// Whether the table is the first of the policy's details.
    is_first: bool,
    files: Vec<TableFile>,
    figures: Vec<FileFigures>,
    unkept: Vec<Run>,
}

/// Looks at the keys of a table of details: notes which of the kept strategies have any, and which have some and are not kept.
pub(super) async fn survey(place: Place<'_>, detail: Detail<'_>, touched: &Groups, findings: &mut Findings<'_>) -> Result<Survey> {
    let files = place.subject.files_of(detail.table, touched);
    let is_first = place.subject.policy.details.first() == Some(&detail.table.name);
    let mut survey = Survey { is_first, figures: vec![FileFigures::default(); files.len()], files, unkept: vec![] };
    if !survey.files.is_empty() {
        survey.read(place, detail, findings).await?;
    }
    let Findings { ranking, unkept } = findings;
    for (key, rows) in detail.incoming.keys.iter() {
        match ranking.kept.get_mut(key) {
            Some(kept) => {
                kept.has_details = true;
                ranking.groups[kept.group].details_kept += rows;
            }
            None => {
                let strategy = entry(unkept, key.into())?;
                strategy.incoming_rows += rows;
                strategy.first_table_rows += if is_first { *rows } else { 0 };
            }
        }
    }
    Ok(survey)
}

fn entry(unkept: &mut KeyMap<Unkept>, key: Box<[u8]>) -> Result<&mut Unkept> {
    if unkept.get(&key).is_none() {
        unkept.insert(key.clone(), Unkept::default())?;
    }
    unkept.get_mut(&key).ok_or_else(|| Error::Internal("a key is gone".into()))
}

impl Survey {
    async fn read(&mut self, place: Place<'_>, detail: Detail<'_>, findings: &mut Findings<'_>) -> Result<()> {
        let Place { ctx, subject, .. } = place;
        let Findings { ranking, unkept } = findings;
        let mut columns: Vec<Expr> = subject.policy.keys.iter().map(|name| ident(name)).collect();
        columns.push(ident(FILE));
        let mut stream = detail.table.scan(ctx, &self.files, Some(FILE)).await?.select(columns)?.execute_stream().await?;
        let mut places = FilePlaces::new(&self.files);
        while let Some(batch) = stream.next().await.transpose()? {
            let keys = subject.keys.encode(&batch)?;
            let groups = subject.group.encode(&batch)?;
            let files = batch.column_by_name(FILE).ok_or_else(|| Error::Internal("no column of files".into()))?;
            let files = cast(files, &DataType::Utf8).map_err(|e| Error::Internal(e.to_string()))?;
            for (row, key) in keys.into_iter().enumerate() {
                let file = places.of(files.as_string::<i32>().value(row))?;
                self.figures[file].rows += 1;
                let Some(&group) = ranking.places.get(&groups[row]) else { continue };
                if detail.incoming.keys.get(&key).is_some() {
                    self.figures[file].replaced += 1;
                } else if let Some(kept) = ranking.kept.get_mut(&key) {
                    kept.has_details = true;
                    ranking.groups[group].details_kept += 1;
                } else {
                    self.note(file, key, unkept)?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, file: usize, key: Box<[u8]>, unkept: &mut KeyMap<Unkept>) -> Result<()> {
        match self.unkept.last_mut() {
            Some(run) if run.file == file && run.key == key => run.rows += 1,
            _ => self.unkept.push(Run { file, key: key.clone(), rows: 1 }),
        }
        let strategy = entry(unkept, key)?;
        strategy.stored_rows += 1;
        strategy.first_table_rows += u64::from(self.is_first);
        Ok(())
    }

    /// The files with rows to go, and the rows of each that stay.
    fn rewritten(&self, unkept: &KeyMap<Unkept>) -> Vec<(TableFile, u64)> {
        let mut gone: Vec<u64> = self.figures.iter().map(|figures| figures.replaced).collect();
        for run in &self.unkept {
            if unkept.get(&run.key).is_some_and(|strategy| strategy.group.is_some()) {
                gone[run.file] += run.rows;
            }
        }
        let files = self.files.iter().zip(&self.figures).zip(gone).filter(|(_, gone)| *gone > 0);
        files.map(|((file, figures), gone)| (file.clone(), figures.rows - gone)).collect()
    }

    /// Writes the files anew that hold rows to go, and what comes in; `None` where nothing changes.
    pub(super) async fn write(
        &self,
        place: Place<'_>,
        detail: Detail<'_>,
        ranking: &mut Ranking,
        decided: Decided<'_>,
    ) -> Result<Option<TableChange>> {
        let Place { root, subject, .. } = place;
        let Detail { table, incoming } = detail;
        let rewritten = self.rewritten(decided.unkept);
        let files: Vec<TableFile> = rewritten.iter().map(|(file, _)| file.clone()).collect();
        let coming: u64 = incoming.keys.iter().filter(|(key, _)| decided.kept.get(key).is_some()).map(|(_, rows)| rows).sum();
        let expected = rewritten.iter().map(|(_, staying)| staying).sum::<u64>() + coming;
        let fates = fates(place, detail, &files, decided).await?;
        for rows in fates.dropped {
            add_json_sizes(subject, rows, ranking).await?;
        }
        if files.is_empty() && coming == 0 {
            return Ok(None);
        }
        let mut change = TableChange::of(root, &table.name, table.delta.clone())?;
        files.into_iter().for_each(|file| change.remove(file));
        let mut rows = fates.staying.into_iter().map(|rows| table.conformed(rows)).collect::<Result<Vec<_>>>()?.into_iter();
        if let Some(first) = rows.next() {
            let all = rows.try_fold(first, |all, more| all.union(more))?;
            let sorted = all.sort(order(subject, table))?;
            let outcome = written(&mut change, async |writer| cut_between_groups(subject, sorted, FILE_ROWS, writer).await).await;
            if let Err(error) = outcome {
                return abandon_after(vec![change], error).await;
            }
        }
        if change.written_rows() != expected {
            let (name, rows) = (&table.name, change.written_rows());
            let message = format!("table '{name}': {rows} rows were written, {expected} were counted; nothing was committed");
            return abandon_after(vec![change], Error::Verification(message)).await;
        }
        Ok(Some(change))
    }
}

/// The rows of `files` and those that come in, by what becomes of them.
async fn fates(place: Place<'_>, detail: Detail<'_>, files: &[TableFile], decided: Decided<'_>) -> Result<Fates> {
    let Detail { table, incoming } = detail;
    let keys = &place.subject.keys;
    let mut fates = Fates::default();
    let is_unkept = keys.is_among("retention_dropped", decided.unkept, |strategy| strategy.group.is_some());
    if !files.is_empty() {
        let is_replaced = keys.is_among("retention_replaced", &incoming.keys, |_| true);
        let stored = table.scan(place.ctx, files, None).await?;
        fates.dropped.push(stored.clone().filter(is_unkept.clone().and(is_replaced.clone().is_not_true()))?);
        fates.staying.push(stored.filter(is_unkept.clone().or(is_replaced).is_not_true())?);
    }
    if let Some(incoming) = incoming.frame() {
        fates.dropped.push(incoming.clone().filter(is_unkept)?);
        fates.staying.push(incoming.filter(keys.is_among("retention_kept", decided.kept, |_| true))?);
    }
    Ok(fates)
}

/// Rows by what becomes of them.
#[derive(Default)]
struct Fates {
    staying: Vec<DataFrame>,
    dropped: Vec<DataFrame>,
}

/// By group, strategy, and the first column that is no part of the key: the number of the trade, the time.
fn order(subject: &Subject, table: &OpenTable) -> Vec<SortExpr> {
    let (per, keys) = (&subject.policy.per, &subject.policy.keys);
    let other = table.schema.fields().iter().map(|field| field.name()).find(|name| !keys.contains(name));
    let names = per.iter().chain(keys.iter().filter(|name| !per.contains(name))).chain(other);
    names.map(|name| ident(name).sort(true, true)).collect()
}

/// Finds out which of the strategies that are not kept have metrics, and so lose their details; the details of others are left alone.
///
/// `metrics` are the rows of the touched groups after what comes in. Returns the rows that are left alone.
///
/// # Errors
/// [`Error::Conflict`] for details that come in and have no metrics.
pub(super) async fn find_metrics(
    subject: &Subject,
    metrics: DataFrame,
    findings: &mut Findings<'_>,
    details: &[Detail<'_>],
) -> Result<u64> {
    let Findings { ranking, unkept } = findings;
    if unkept.is_empty() {
        return Ok(0);
    }
    let columns: Vec<Expr> = subject.policy.keys.iter().map(|name| ident(name)).collect();
    let mut stream = metrics.select(columns)?.execute_stream().await?;
    while let Some(batch) = stream.next().await.transpose()? {
        let groups = subject.group.encode(&batch)?;
        for (row, key) in subject.keys.encode(&batch)?.into_iter().enumerate() {
            if let Some(strategy) = unkept.get_mut(&key) {
                strategy.group = ranking.places.get(&groups[row]).copied();
            }
        }
    }
    let mut left_alone = 0;
    for (key, strategy) in unkept.iter() {
        let Some(group) = strategy.group else {
            if strategy.incoming_rows > 0 {
                return Err(without_metrics(subject, key, details).await?);
            }
            left_alone += strategy.stored_rows;
            continue;
        };
        let group = &mut ranking.groups[group];
        group.details_dropped += strategy.stored_rows + strategy.incoming_rows;
        group.trades_dropped += strategy.first_table_rows;
        group.strategies_dropped += u64::from(strategy.stored_rows > 0);
    }
    Ok(left_alone)
}

async fn without_metrics(subject: &Subject, key: &[u8], details: &[Detail<'_>]) -> Result<Error> {
    for detail in details.iter().filter(|detail| detail.incoming.keys.get(key).is_some()) {
        let Some(rows) = detail.incoming.frame() else { continue };
        for batch in rows.collect().await? {
            let found = subject.keys.encode(&batch)?.iter().position(|found| found.as_ref() == key);
            if let Some(row) = found {
                return Ok(Error::Conflict(format!(
                    "rows for '{}' of a strategy without metrics in '{}': {}\nhint: save its metrics with them",
                    detail.table.name,
                    subject.metrics.name,
                    subject.keys.shown(&batch, row)
                )));
            }
        }
    }
    Err(Error::Internal("a key that came in is gone".into()))
}

/// Places of files by the names that a scan gives them.
pub(super) struct FilePlaces {
    /// Names as the log and as the store has them.
    names: Vec<[String; 2]>,
    known: HashMap<String, usize>,
}

impl FilePlaces {
    pub(super) fn new(files: &[TableFile]) -> Self {
        let names = |file: &TableFile| [Path::from(file.path.as_str()).to_string(), file.path.clone()];
        Self { names: files.iter().map(names).collect(), known: HashMap::new() }
    }

    pub(super) fn of(&mut self, file: &str) -> Result<usize> {
        if let Some(&place) = self.known.get(file) {
            return Ok(place);
        }
        let length = |names: &[String; 2]| names.iter().filter(|name| file.ends_with(*name)).map(String::len).max();
        let found = self.names.iter().enumerate().filter_map(|(place, names)| Some((length(names)?, place))).max();
        let (_, place) = found.ok_or_else(|| Error::Internal(format!("the scan names a file that was not asked for: {file}")))?;
        self.known.insert(file.to_owned(), place);
        Ok(place)
    }
}
