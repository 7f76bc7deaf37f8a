//! Series in their order, one after the other in the order of their keys.

use std::cmp::Ordering as Compared;
use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::kernels::cmp::{gt, lt};
use datafusion::arrow::compute::{
    LexicographicalComparator, SortColumn, SortOptions, concat, concat_batches, interleave_record_batch, lexsort_to_indices, take,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::physical_expr::{Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;

use super::exec::{Batches, Work};
use super::gathered::{Gathered, Run};

/// A sort of rows by series, then within each.
#[derive(Debug, Clone)]
pub(super) struct Ordering {
    /// The keys in the order of the sort: their places among those of the repartition.
    series: Vec<(usize, SortOptions)>,
    /// The order of the rows of a series.
    rows: Vec<PhysicalSortExpr>,
}

impl Ordering {
    /// Of a sort whose first keys are those of the repartition below it; `None` for other sorts.
    pub(super) fn of(sort: &SortExec) -> Option<Self> {
        let repartition = sort.input().downcast_ref::<RepartitionExec>()?;
        let Partitioning::Hash(keys, _) = repartition.partitioning() else { return None };
        if sort.fetch().is_some() || !sort.preserve_partitioning() || repartition.preserve_order() {
            return None;
        }
        let (first, rows) = sort.expr().split_at_checked(keys.len())?;
        let place = |sorted: &PhysicalSortExpr| Some((keys.iter().position(|key| key.eq(&sorted.expr))?, sorted.options));
        let series: Vec<_> = first.iter().map(place).collect::<Option<_>>()?;
        let all_once = (0..keys.len()).all(|key| series.iter().filter(|(place, _)| *place == key).count() == 1);
        let schema = sort.input().schema();
        let exact_keys = keys.iter().all(|key| key.data_type(&schema).is_ok_and(|data_type| exact(&data_type)));
        // Values of nested types have no operators that compare them.
        let flat = |data_type: DataType| exact(&data_type) || data_type.is_floating();
        let flat_rows = rows.iter().all(|row| row.expr.data_type(&schema).is_ok_and(flat));
        (all_once && exact_keys && flat_rows).then(|| Self { series, rows: rows.to_vec() })
    }

    /// The series in the order of their keys.
    fn in_order(&self, rows: &Gathered, series: &[u32]) -> Result<Vec<u32>> {
        let places: UInt32Array = series.iter().copied().collect();
        let column = |&(key, options): &(usize, SortOptions)| {
            Ok(SortColumn { values: take(&rows.keys[key], &places, None)?, options: Some(options) })
        };
        let columns: Vec<SortColumn> = self.series.iter().map(column).collect::<Result<_>>()?;
        if places.is_empty() {
            return Ok(vec![]);
        }
        Ok(lexsort_to_indices(&columns, None)?.values().iter().map(|&i| series[i as usize]).collect())
    }

    fn columns(&self, rows: &RecordBatch) -> Result<Vec<SortColumn>> {
        self.rows.iter().map(|key| key.evaluate_to_sort_column(rows)).collect()
    }

    /// Batch and row of the rows in order, those with equal keys as they came.
    fn sorted(&self, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>> {
        let columns: Vec<Vec<SortColumn>> = batches.iter().map(|batch| self.columns(batch)).collect::<Result<_>>()?;
        let whole = |key: usize| -> Result<SortColumn> {
            let parts: Vec<&dyn Array> = columns.iter().map(|batch| batch[key].values.as_ref()).collect();
            Ok(SortColumn { values: concat(&parts)?, options: Some(self.rows[key].options) })
        };
        let comparator = LexicographicalComparator::try_new(&(0..self.rows.len()).map(whole).collect::<Result<Vec<_>>>()?)?;
        let place = |(i, batch): (usize, &RecordBatch)| (0..batch.num_rows()).map(move |row| (i, row));
        let places: Vec<(usize, usize)> = batches.iter().enumerate().flat_map(place).collect();
        let mut sorted: Vec<usize> = (0..places.len()).collect();
        sorted.sort_by(|&a, &b| comparator.compare(a, b));
        Ok(sorted.into_iter().map(|row| places[row]).collect())
    }
}

/// Whether values of a type that sort as equal are equal keys and the other way round. Zero has two signs, so floats are none.
fn exact(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => exact(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        other => other.is_integer() || other.is_temporal() && !matches!(other, DataType::Interval(_)) || other.is_decimal(),
    }
}

impl Work for Ordering {
    fn describe(&self) -> String {
        let keys: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        format!("order=[{}]", keys.join(", "))
    }

    fn by_row(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.rows.iter().map(|key| Arc::clone(&key.expr)).collect()
    }

    fn batches(&self, rows: Arc<Gathered>, partition: usize, batch_size: usize) -> Result<Batches> {
        let series = self.in_order(&rows, &rows.outputs[partition])?;
        let present = Present::InOrder(VecDeque::new());
        Ok(Box::new(Ordered {
            ordering: self.clone(),
            rows,
            series: series.into_iter(),
            batch_size,
            present,
            small: vec![],
            small_rows: 0,
        }))
    }
}

/// The rows of one output partition.
struct Ordered {
    ordering: Ordering,
    rows: Arc<Gathered>,
    series: std::vec::IntoIter<u32>,
    batch_size: usize,
    /// What is left of the present series.
    present: Present,
    /// Batches too small to be sent on one by one.
    small: Vec<RecordBatch>,
    small_rows: usize,
}

/// A series on its way out.
enum Present {
    /// Its runs, which came in order.
    InOrder(VecDeque<Run>),
    /// Its runs, which did not, and where its rows are in order: run and row.
    Sorted(Vec<RecordBatch>, std::vec::IntoIter<(usize, usize)>),
}

impl Iterator for Ordered {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.try_next().transpose()
    }
}

impl Ordered {
    /// The next batch: large ones go as they are, small ones are joined.
    fn try_next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(batch) = self.of_present()? else {
                match self.series.next() {
                    Some(series) => self.present = self.brought_in_order(series)?,
                    None => return self.joined(),
                }
                continue;
            };
            if self.small.is_empty() && 2 * batch.num_rows() >= self.batch_size {
                return Ok(Some(batch));
            }
            self.small_rows += batch.num_rows();
            self.small.push(batch);
            if self.small_rows >= self.batch_size {
                return self.joined();
            }
        }
    }

    /// The next rows of the present series.
    fn of_present(&mut self) -> Result<Option<RecordBatch>> {
        match &mut self.present {
            Present::InOrder(runs) => runs.pop_front().map(|run| self.rows.rows(run)).transpose(),
            Present::Sorted(runs, order) => {
                let next: Vec<_> = order.by_ref().take(self.batch_size).collect();
                let runs: Vec<&RecordBatch> = runs.iter().collect();
                if next.is_empty() { Ok(None) } else { Ok(Some(interleave_record_batch(&runs, &next)?)) }
            }
        }
    }

    /// The small batches as one.
    fn joined(&mut self) -> Result<Option<RecordBatch>> {
        self.small_rows = 0;
        let small = std::mem::take(&mut self.small);
        match small.first() {
            Some(first) => Ok(Some(concat_batches(&first.schema(), &small)?)),
            None => Ok(None),
        }
    }

    fn brought_in_order(&self, series: u32) -> Result<Present> {
        let runs = self.rows.runs(series);
        if self.ascends(runs)? {
            return Ok(Present::InOrder(runs.iter().copied().collect()));
        }
        let batches: Vec<RecordBatch> = runs.iter().map(|&run| self.rows.rows(run)).collect::<Result<_>>()?;
        let order = self.ordering.sorted(&batches)?;
        Ok(Present::Sorted(batches, order.into_iter()))
    }

    /// Whether the rows of a series came in order.
    fn ascends(&self, runs: &[Run]) -> Result<bool> {
        let mut last: Vec<SortColumn> = vec![];
        for &run in runs {
            let batch = self.rows.blank_rows(run)?;
            let columns = self.ordering.columns(&batch)?;
            let border = last.iter().zip(&columns).map(|(last, next)| {
                let values = concat(&[&last.values, &next.values.slice(0, 1)])?;
                Ok(SortColumn { values, options: next.options })
            });
            if !ascends(&border.collect::<Result<Vec<_>>>()?)? || !ascends(&columns)? {
                return Ok(false);
            }
            let rows = batch.num_rows();
            last = columns.into_iter().map(|c| SortColumn { values: c.values.slice(rows - 1, 1), options: c.options }).collect();
        }
        Ok(true)
    }
}

/// Whether rows are in the order of these columns.
fn ascends(columns: &[SortColumn]) -> Result<bool> {
    let rows = columns.first().map_or(0, |column| column.values.len());
    if rows < 2 {
        return Ok(true);
    }
    if let [SortColumn { values, options }] = columns
        && values.logical_null_count() == 0
    {
        let (before, after) = (values.slice(0, rows - 1), values.slice(1, rows - 1));
        let descending = options.is_some_and(|options| options.descending);
        let wrong = if descending { lt(&before, &after) } else { gt(&before, &after) };
        return Ok(!wrong?.has_true());
    }
    let comparator = LexicographicalComparator::try_new(columns)?;
    Ok((1..rows).all(|row| comparator.compare(row - 1, row) != Compared::Greater))
}
