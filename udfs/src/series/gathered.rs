//! The rows of all input partitions by series.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;

use super::gather::{Part, Parts, Taken};
use super::layout::{Held, Layout};

/// All rows by series, those of a series in the order of input partitions and of arrival in each.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) layout: Arc<Layout>,
    parts: Vec<Vec<Held>>,
    /// Runs by series.
    runs: Vec<Run>,
    /// Where the runs of each series end.
    ends: Vec<usize>,
    /// Keys, a row for each series.
    pub(super) keys: Vec<ArrayRef>,
    /// The series of each output partition.
    pub(super) outputs: Vec<Vec<u32>>,
    /// What is held is accounted for as long as it is.
    _memory: Vec<MemoryReservation>,
}

/// Where a run lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    part: u32,
    batch: u32,
    run: u32,
}

impl Gathered {
    /// Of parts that are whole; gives them back when there is no memory for the keys.
    ///
    /// # Errors
    /// More batches or series than 32 bits count.
    pub(super) fn try_new(layout: Arc<Layout>, parts: Parts, outputs: usize) -> Result<Result<Self, Parts>> {
        let mut all = new_group_values(Arc::clone(layout.key_schema()), &GroupOrdering::None)?;
        let mut parts = parts;
        let mut series: Vec<Vec<usize>> = vec![];
        for part in &mut parts.parts {
            // Once as they are, once joined, once as arrays.
            let room = 3 * part.series.size();
            let keys = part.series.emit(EmitTo::All)?;
            let mut of_part = vec![];
            all.intern(&keys, &mut of_part)?;
            series.push(of_part);
            if part.memory.try_grow(room).is_err() {
                return Ok(Err(Parts { taken: Taken::Refused, ..parts }));
            }
        }
        if u32::try_from(all.len().max(parts.parts.iter().map(|part| part.held.len()).max().unwrap_or(0))).is_err() {
            return exec_err!("series: {} series are more than can be counted", all.len());
        }
        let (runs, ends) = runs_by_series(&parts.parts, &series, all.len());
        let keys = keys(all.as_mut(), &layout)?;
        let outputs = distributed(&layout, &keys, ends.len(), outputs)?;
        let (held, memory) = parts.parts.into_iter().map(|part| (part.held, part.memory)).unzip();
        Ok(Ok(Self { layout, parts: held, runs, ends, keys, outputs, _memory: memory }))
    }

    /// The runs of a series, in order.
    pub(super) fn runs(&self, series: u32) -> &[Run] {
        let series = series as usize;
        let start = if series == 0 { 0 } else { self.ends[series - 1] };
        &self.runs[start..self.ends[series]]
    }

    fn held(&self, run: Run) -> &Held {
        &self.parts[run.part as usize][run.batch as usize]
    }

    /// The rows of a run.
    pub(super) fn rows(&self, run: Run) -> Result<RecordBatch> {
        self.layout.rows(self.held(run), run.run as usize)
    }

    /// The rows of a run without the columns of keys, as [`Layout::blank_rows`].
    pub(super) fn blank_rows(&self, run: Run) -> Result<RecordBatch> {
        self.layout.blank_rows(self.held(run), run.run as usize)
    }
}

/// The keys of all series.
fn keys(all: &mut dyn GroupValues, layout: &Layout) -> Result<Vec<ArrayRef>> {
    if all.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(layout.key_schema())).columns().to_vec());
    }
    all.emit(EmitTo::All)
}

/// The runs sorted by series, by counting, and where those of each series end. `series` translates the count of each part.
fn runs_by_series(parts: &[Part], series: &[Vec<usize>], count: usize) -> (Vec<Run>, Vec<usize>) {
    let mut next = vec![0; count + 1];
    for (part, series) in parts.iter().zip(series) {
        part.held.iter().flat_map(|held| &held.series).for_each(|&of_part| next[series[of_part as usize] + 1] += 1);
    }
    (0..count).for_each(|i| next[i + 1] += next[i]);
    let mut runs = vec![Run::default(); next[count]];
    for (p, (part, series)) in parts.iter().zip(series).enumerate() {
        for (b, held) in part.held.iter().enumerate() {
            for (run, &of_part) in held.series.iter().enumerate() {
                let place = &mut next[series[of_part as usize]];
                runs[*place] = Run { part: p as u32, batch: b as u32, run: run as u32 };
                *place += 1;
            }
        }
    }
    next.truncate(count);
    (runs, next)
}

/// The series of each output partition: where a repartition by hash sends their rows.
fn distributed(layout: &Layout, keys: &[ArrayRef], count: usize, outputs: usize) -> Result<Vec<Vec<u32>>> {
    let by: Vec<Arc<dyn PhysicalExpr>> =
        layout.key_schema().fields().iter().enumerate().map(|(i, field)| Arc::new(Column::new(field.name(), i)) as _).collect();
    let mut fields = layout.key_schema().fields().to_vec();
    fields.push(Arc::new(Field::new("series", DataType::UInt32, false)));
    let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..count as u32));
    let columns = keys.iter().cloned().chain(std::iter::once(numbers)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut series = vec![vec![]; outputs];
    BatchPartitioner::new_hash_partitioner(by, outputs, Time::new())?.partition(batch, |output, batch| {
        series[output].extend_from_slice(batch.column(keys.len()).as_primitive::<UInt32Type>().values());
        Ok(())
    })?;
    Ok(series)
}
