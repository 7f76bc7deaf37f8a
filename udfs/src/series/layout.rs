//! How batches are held: columns of keys once for each run, the others as they came.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, NullArray, RecordBatch, RecordBatchOptions, UInt32Array};
use datafusion::arrow::compute::{partition, take};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;

/// The input's columns by the way they are held.
#[derive(Debug)]
pub(super) struct Layout {
    schema: SchemaRef,
    /// The input's schema, with the columns that are held once for each run replaced by NULLs.
    blank_schema: SchemaRef,
    /// What tells the series apart.
    keys: Vec<Arc<dyn PhysicalExpr>>,
    key_schema: SchemaRef,
    /// Whether a column is held once for each run.
    once: Vec<bool>,
}

/// A batch of input.
#[derive(Debug)]
pub(super) struct Held {
    /// All columns of the input: one value for each run, or one for each row.
    columns: Vec<ArrayRef>,
    /// Where the runs end.
    ends: Vec<u32>,
    /// The series of each run, as its input partition counts them.
    pub(super) series: Vec<u32>,
}

impl Layout {
    /// For input of `schema`; `others` are the expressions that need single rows.
    pub(super) fn try_new(
        schema: SchemaRef,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        others: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let by_row: HashSet<usize> = others.into_iter().flat_map(|expr| collect_columns(&expr)).map(|column| column.index()).collect();
        let mut once = vec![false; schema.fields().len()];
        for column in keys.iter().filter_map(|key| key.downcast_ref::<Column>()) {
            once[column.index()] = !by_row.contains(&column.index());
        }
        let blank = |(field, &once): (&Arc<Field>, &bool)| match once {
            true => Arc::new(Field::new(field.name(), DataType::Null, true)),
            false => Arc::clone(field),
        };
        let blank_schema = Arc::new(Schema::new(schema.fields().iter().zip(&once).map(blank).collect::<Vec<_>>()));
        let field = |key: &Arc<dyn PhysicalExpr>| Ok(Field::new(key.to_string(), key.data_type(&schema)?, key.nullable(&schema)?));
        let key_schema = Arc::new(Schema::new(keys.iter().map(field).collect::<Result<Vec<_>>>()?));
        Ok(Self { schema, blank_schema, keys, key_schema, once })
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(super) fn keys(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.keys
    }

    /// Types of the keys.
    pub(super) fn key_schema(&self) -> &SchemaRef {
        &self.key_schema
    }

    /// The runs of a batch and the keys of each, a row for each run.
    pub(super) fn runs(&self, batch: &RecordBatch) -> Result<(Vec<Range<usize>>, Vec<ArrayRef>)> {
        let columns: Vec<ArrayRef> =
            self.keys.iter().map(|key| key.evaluate(batch)?.into_array(batch.num_rows())).collect::<Result<_>>()?;
        let runs = partition(&columns)?.ranges();
        let starts = starts(&runs);
        let keys = columns.iter().map(|column| Ok(take(column, &starts, None)?)).collect::<Result<_>>()?;
        Ok((runs, keys))
    }

    /// Holds a batch with these runs.
    pub(super) fn hold(&self, batch: &RecordBatch, runs: &[Range<usize>], series: &[usize]) -> Result<Held> {
        let starts = starts(runs);
        let column = |(column, &once): (&ArrayRef, &bool)| {
            if once { Ok(compact(take(column, &starts, None)?)) } else { Ok(Arc::clone(column)) }
        };
        Ok(Held {
            columns: batch.columns().iter().zip(&self.once).map(column).collect::<Result<_>>()?,
            ends: runs.iter().map(|run| run.end as u32).collect(),
            series: series.iter().map(|&series| series as u32).collect(),
        })
    }

    /// The batch as it came.
    pub(super) fn batch(&self, held: &Held) -> Result<RecordBatch> {
        let run_of_row: UInt32Array = (0..held.runs()).flat_map(|run| std::iter::repeat_n(run as u32, held.rows(run).len())).collect();
        let column = |(column, &once): (&ArrayRef, &bool)| {
            if once { Ok(take(column, &run_of_row, None)?) } else { Ok(Arc::clone(column)) }
        };
        let columns = held.columns.iter().zip(&self.once).map(column).collect::<Result<_>>()?;
        record_batch(&self.schema, columns, run_of_row.len())
    }

    /// The rows of a run.
    pub(super) fn rows(&self, held: &Held, run: usize) -> Result<RecordBatch> {
        let rows = held.rows(run);
        let same = UInt32Array::from_value(run as u32, rows.len());
        let column = |(column, &once): (&ArrayRef, &bool)| {
            if once { Ok(take(column, &same, None)?) } else { Ok(column.slice(rows.start, rows.len())) }
        };
        let columns = held.columns.iter().zip(&self.once).map(column).collect::<Result<_>>()?;
        record_batch(&self.schema, columns, rows.len())
    }

    /// The rows of a run, NULL where columns are held once for each run: for the expressions that need single rows.
    pub(super) fn blank_rows(&self, held: &Held, run: usize) -> Result<RecordBatch> {
        let rows = held.rows(run);
        let column = |(column, &once): (&ArrayRef, &bool)| -> ArrayRef {
            if once { Arc::new(NullArray::new(rows.len())) } else { column.slice(rows.start, rows.len()) }
        };
        record_batch(&self.blank_schema, held.columns.iter().zip(&self.once).map(column).collect(), rows.len())
    }
}

impl Held {
    pub(super) fn runs(&self) -> usize {
        self.ends.len()
    }

    /// Where the rows of a run lie.
    fn rows(&self, run: usize) -> Range<usize> {
        let start = if run == 0 { 0 } else { self.ends[run - 1] };
        start as usize..self.ends[run] as usize
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        columns + size_of::<Self>() + (self.ends.capacity() + self.series.capacity()) * size_of::<u32>()
    }
}

fn starts(runs: &[Range<usize>]) -> UInt32Array {
    runs.iter().map(|run| run.start as u32).collect()
}

/// The array without the text of rows that it does not hold.
fn compact(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => array,
    }
}

fn record_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
