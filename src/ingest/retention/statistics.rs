//! What retention keeps and has thrown away, counted from the tables and their commits.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use serde_json::Value;

use super::json_size::json_sizes;
use super::keys::{KeyEncoder, KeyMap};
use super::note::RetentionNote;
use super::policy::RetentionPolicy;
use super::report::told;
use super::subject::{OpenTable, Subject, TRADES_KEPT};
use crate::error::{Error, Result};
use crate::storage::{Root, history, standing_commits};

/// Column that tells the file of a row.
const FILE: &str = "__file";

/// One group of a metrics table under retention.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupStatistics {
    /// Values of the group's columns, by their names.
    pub group: Vec<(String, ScalarValue)>,
    /// Rows of the metrics table.
    pub strategies: u64,
    /// Strategies whose details are kept for their rank; none where the table does not say it.
    pub kept_top: Option<u64>,
    /// Strategies whose details are kept for the sample; none where the table does not say it.
    pub kept_sample: Option<u64>,
    /// Rows of the first table of details.
    pub trades_kept: u64,
    /// Rows of the first table of details that retention has dropped.
    pub trades_dropped: u64,
    /// What all rows that are stored would take as minified JSON.
    pub bytes_source_equivalent: u64,
    /// What they take on disk: their share, by rows, of the files that hold them.
    pub bytes_stored: u64,
    /// What the dropped rows of all details would take as minified JSON.
    pub bytes_discarded: u64,
}

/// Figures of every group of a metrics table. Reads all rows of all its tables.
///
/// # Errors
/// As opening the tables; [`Error::Storage`] when they cannot be read.
pub async fn statistics(ctx: &SessionContext, root: &Root, table: &str, policy: RetentionPolicy) -> Result<Vec<GroupStatistics>> {
    let subject = Subject::open(ctx, root, table, policy).await?;
    let mut groups = Gathered { groups: vec![], places: KeyMap::new(ctx), subject: &subject };
    groups.read(ctx, &subject.metrics, Part::Metrics).await?;
    for (place, detail) in subject.details.iter().enumerate() {
        groups.read(ctx, detail, if place == 0 { Part::Trades } else { Part::Others }).await?;
    }
    groups.add_dropped().await?;
    Ok(groups.groups)
}

/// What a table is to the statistics.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Metrics,
    Trades,
    Others,
}

struct Gathered<'a> {
    groups: Vec<GroupStatistics>,
    places: KeyMap<usize>,
    subject: &'a Subject,
}

impl Gathered<'_> {
    async fn read(&mut self, ctx: &SessionContext, table: &OpenTable, part: Part) -> Result<()> {
        let mut stream = table.scan(ctx, &table.files, Some(FILE)).await?.execute_stream().await?;
        // Rows by file and group.
        let mut rows: HashMap<String, HashMap<usize, u64>> = HashMap::new();
        while let Some(batch) = stream.next().await.transpose()? {
            let places = self.places_of(&batch)?;
            let stored: Vec<usize> = (0..batch.num_columns()).filter(|&column| batch.schema().field(column).name() != FILE).collect();
            let sizes = json_sizes(&batch.project(&stored).map_err(|e| Error::Internal(e.to_string()))?)?;
            let files = text(&batch, FILE)?.ok_or_else(|| Error::Internal("no column of files".into()))?;
            for (row, (&place, size)) in places.iter().zip(sizes).enumerate() {
                let group = &mut self.groups[place];
                group.bytes_source_equivalent += size;
                group.strategies += u64::from(part == Part::Metrics);
                group.trades_kept += u64::from(part == Part::Trades);
                let file = files.as_string::<i32>().value(row);
                match rows.get_mut(file) {
                    Some(counts) => *counts.entry(place).or_default() += 1,
                    None => drop(rows.insert(file.to_owned(), HashMap::from([(place, 1)]))),
                }
            }
            if part == Part::Metrics {
                self.count_kept(&batch, &places)?;
            }
        }
        self.share_files(table, rows)
    }

    fn places_of(&mut self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let columns = self.subject.group.columns(batch)?;
        let mut places = Vec::with_capacity(batch.num_rows());
        for (row, key) in self.subject.group.encode(batch)?.into_iter().enumerate() {
            if let Some(&place) = self.places.get(&key) {
                places.push(place);
                continue;
            }
            let group = self.subject.policy.per.iter().cloned().zip(KeyEncoder::values(&columns, row)?).collect();
            places.push(self.groups.len());
            self.places.insert(key, self.groups.len())?;
            self.groups.push(GroupStatistics { group, ..GroupStatistics::default() });
        }
        Ok(places)
    }

    fn count_kept(&mut self, batch: &RecordBatch, places: &[usize]) -> Result<()> {
        let Some(said) = text(batch, TRADES_KEPT)? else { return Ok(()) };
        let said = said.as_string::<i32>();
        for (row, &place) in places.iter().enumerate() {
            let group = &mut self.groups[place];
            let (top, sample) = (group.kept_top.get_or_insert(0), group.kept_sample.get_or_insert(0));
            match said.is_valid(row).then(|| said.value(row)) {
                Some("top_n") => *top += 1,
                Some("sample") => *sample += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives every group its share of the files, by rows.
    fn share_files(&mut self, table: &OpenTable, rows: HashMap<String, HashMap<usize, u64>>) -> Result<()> {
        let mut places = super::details::FilePlaces::new(&table.files);
        for (file, counts) in rows {
            let size = u128::from(table.files[places.of(&file)?].size_bytes);
            let all: u128 = counts.values().map(|&rows| u128::from(rows)).sum();
            for (place, rows) in counts {
                self.groups[place].bytes_stored += (size * u128::from(rows) / all.max(1)) as u64;
            }
        }
        Ok(())
    }

    /// Adds what the commits of the tables say that was dropped; what a restore has taken back is left out.
    async fn add_dropped(&mut self) -> Result<()> {
        let named: HashMap<String, usize> = self.groups.iter().enumerate().map(|(place, group)| (name_of(&group.group), place)).collect();
        let tables = std::iter::once(&self.subject.metrics).chain(&self.subject.details);
        for table in tables {
            let commits = history(&table.name, &table.delta).await?;
            for commit in standing_commits(&commits) {
                let note = commit.note.as_ref().and_then(RetentionNote::of_note);
                let Some(note) = note.filter(|note| note.table == self.subject.metrics.name) else { continue };
                for dropped in note.dropped {
                    let Some(&place) = named.get(&Value::from(dropped.group).to_string()) else { continue };
                    self.groups[place].trades_dropped += dropped.trades;
                    self.groups[place].bytes_discarded += dropped.bytes;
                }
            }
        }
        Ok(())
    }
}

/// A group as commits name it.
fn name_of(group: &[(String, ScalarValue)]) -> String {
    let values = group.iter().map(|(name, value)| (name.clone(), told(value)));
    Value::from(values.collect::<serde_json::Map<_, _>>()).to_string()
}

/// A column of texts.
fn text(batch: &RecordBatch, name: &str) -> Result<Option<Arc<dyn Array>>> {
    let column = batch.column_by_name(name).map(|column| cast(column, &DataType::Utf8));
    column.transpose().map_err(|e| Error::Internal(e.to_string()))
}
