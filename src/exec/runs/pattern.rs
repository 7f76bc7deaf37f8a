//! What depends on the period alone.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{and, filter_record_batch, prep_null_mask_filter};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::physical_expr::PhysicalExpr;
use futures::TryStreamExt;

use super::file::{FileRuns, RunFile};
use super::keys::Keys;
use super::query::RunQuery;
use super::rows::{Extent, RowReader};

/// The periods of a dense file, which are those of each of its strategies.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Which periods the predicates keep; `None` for all.
    pub(super) keep: Option<BooleanArray>,
    /// Number of each period's group keys.
    pub(super) keys: Vec<u32>,
    /// The kept periods, those of one key together and in time order.
    pub(super) by_key: Vec<u32>,
    /// Number and count of the keys in `by_key`.
    pub(super) stretches: Vec<(u32, usize)>,
    /// Columns of the row layout that repeat for every strategy: position in the layout, values of the periods.
    pub(super) tiles: Vec<(usize, ArrayRef)>,
}

impl Pattern {
    fn new(keep: Option<BooleanArray>, keys: Vec<u32>, tiles: Vec<(usize, ArrayRef)>) -> Self {
        let kept = |period: &u32| keep.as_ref().is_none_or(|keep| keep.value(*period as usize));
        let mut by_key: Vec<u32> = (0..keys.len() as u32).filter(kept).collect();
        by_key.sort_by_key(|&period| keys[period as usize]);
        let same_key = |a: &u32, b: &u32| keys[*a as usize] == keys[*b as usize];
        let stretches = by_key.chunk_by(same_key).map(|periods| (keys[periods[0] as usize], periods.len())).collect();
        Self { keep, keys, by_key, stretches, tiles }
    }

    /// Number of periods.
    pub(super) fn periods(&self) -> usize {
        self.keys.len()
    }

    /// Whether the periods are more than one stretch, or not all are kept.
    pub(super) fn is_broken(&self) -> bool {
        self.stretches.len() > 1 || self.by_key.len() < self.periods()
    }
}

/// The values of a dense file's periods, before expressions are evaluated.
#[derive(Debug)]
pub(super) struct PeriodValues {
    /// In the period layout.
    periods: RecordBatch,
    tiles: Vec<(usize, ArrayRef)>,
}

impl PeriodValues {
    /// Reads the periods of the first strategy; `None` where they do not tell those of the others: in a file that is not dense, or when
    /// a context column is in use that may differ between strategies.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn read(reader: &RowReader, file: &PartitionedFile, runs: &FileRuns, query: &RunQuery) -> Result<Option<Self>> {
        let (Some(claim), Some(run)) = (runs.claim(), file.extension::<RunFile>()) else { return Ok(None) };
        let table = run.shape.table_schema();
        let context = |&index: &usize| run.shape.context().iter().any(|field| field.name() == table.field(index).name());
        let shared = |index: &usize| claim.shared.contains(table.field(*index).name());
        let repeats = |&index: &usize| !matches!(table.field(index).name().as_str(), "strategy" | "pnl");
        let of_rows = query.row_layout.columns.iter().copied().filter(repeats);
        let mut columns = query.period_layout.columns.clone();
        columns.extend(of_rows.filter(|index| !query.period_layout.columns.contains(index)));
        if !columns.iter().filter(|index| context(index)).all(shared) {
            return Ok(None);
        }
        let batch = first_periods(reader, file, runs, &columns).await?;
        let column = |index: &usize| columns.iter().position(|known| known == index).map(|at| Arc::clone(batch.column(at)));
        let positions = query.row_layout.columns.iter().enumerate();
        let tiles = positions.filter(|(_, index)| repeats(index)).filter_map(|(at, index)| Some((at, column(index)?))).collect();
        let periods = batch.project(&(0..query.period_layout.columns.len()).collect::<Vec<_>>())?;
        Ok(Some(Self { periods, tiles }))
    }

    /// Evaluates predicates and keys, once for the file.
    pub(super) fn pattern(self, query: &RunQuery, keys: &mut Keys) -> Result<Pattern> {
        let (keep, keys) = evaluate_periods(query, keys, &self.periods)?;
        Ok(Pattern::new(keep, keys, self.tiles))
    }
}

/// The rows of the first strategy.
async fn first_periods(reader: &RowReader, file: &PartitionedFile, runs: &FileRuns, columns: &[usize]) -> Result<RecordBatch> {
    let periods = runs.claim().map_or(0, |claim| claim.periods);
    let extent = Extent { columns, rows: std::iter::once(0..periods).collect(), total_rows: runs.total_rows(), batch_rows: periods };
    let (batches, source) = reader.read(file, extent)?;
    let batches: Vec<RecordBatch> = batches.try_collect().await?;
    reader.count_bytes(&source);
    let first = batches.first().ok_or_else(|| internal_datafusion_err!("{} gave no rows", file.path()))?;
    Ok(datafusion::arrow::compute::concat_batches(&first.schema(), &batches)?)
}

/// Which rows of a batch in the period layout the predicates keep (`None` for all), and the number of each kept row's keys.
pub(super) fn evaluate_periods(query: &RunQuery, keys: &mut Keys, batch: &RecordBatch) -> Result<(Option<BooleanArray>, Vec<u32>)> {
    let keep = conjunction(&query.period_predicates, batch, None)?;
    // A key need not have a value where a predicate has excluded the row.
    let kept = keep.as_ref().map_or_else(|| Ok(batch.clone()), |keep| filter_record_batch(batch, keep))?;
    let rows = kept.num_rows();
    let columns = query.keys.iter().map(|key| key.evaluate(&kept)?.into_array(rows)).collect::<Result<Vec<_>>>()?;
    let numbers = keys.number(&columns, rows)?;
    let Some(keep) = keep else { return Ok((None, numbers)) };
    let mut kept = numbers.into_iter();
    let scattered = keep.values().iter().map(|kept_here| if kept_here { kept.next().unwrap_or_default() } else { 0 }).collect();
    Ok((Some(keep), scattered))
}

/// Rows of `kept` (`None`: all) for which all predicates are true, each evaluated where those before it are; `None` for all rows.
pub(super) fn conjunction(
    predicates: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    mut kept: Option<BooleanArray>,
) -> Result<Option<BooleanArray>> {
    for predicate in predicates {
        let values = match &kept {
            None => predicate.evaluate(batch)?,
            Some(kept) => predicate.evaluate_selection(batch, kept)?,
        };
        let values = values.into_array(batch.num_rows())?;
        let values = condition(&values)?;
        let values = if values.null_count() > 0 { prep_null_mask_filter(values) } else { values.clone() };
        kept = Some(match kept {
            None => values,
            Some(before) => and(&before, &values)?,
        });
    }
    Ok(kept)
}

/// The values of a condition.
pub(super) fn condition(values: &ArrayRef) -> Result<&BooleanArray> {
    values.as_boolean_opt().ok_or_else(|| internal_datafusion_err!("a condition of type {}", values.data_type()))
}
