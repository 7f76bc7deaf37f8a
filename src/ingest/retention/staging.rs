//! Rows that come in, read once: made to fit the table, their keys noted, and put where they can be read several times.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext};
use futures::StreamExt;
use tempfile::TempDir;

use super::keys::{KeyEncoder, KeyMap};
use super::subject::{OpenTable, RANK, Subject, TRADES_KEPT};
use crate::error::{Error, Result};

/// Rows of this size are kept in memory; more go to a file in the system's temporary directory.
const IN_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Columns of the metrics table that are computed, whatever comes in.
const COMPUTED: &[&str] = &[RANK, TRADES_KEPT];

/// Groups by their keys, with their values.
pub(super) type Groups = KeyMap<Vec<ScalarValue>>;

/// Rows that came in for one table.
pub(super) struct Staged {
    rows: Option<DataFrame>,
    /// Number of rows.
    pub(super) count: u64,
    /// The strategies, with their rows.
    pub(super) keys: Arc<KeyMap<u64>>,
    /// NaN and infinities that became NULL, by column.
    pub(super) non_finite: BTreeMap<String, u64>,
    /// The file goes with the value.
    _folder: Option<TempDir>,
}

impl Staged {
    /// Nothing.
    pub(super) fn none(ctx: &SessionContext) -> Self {
        Self { rows: None, count: 0, keys: Arc::new(KeyMap::new(ctx)), non_finite: BTreeMap::new(), _folder: None }
    }

    /// Reads the rows for a table and notes their groups. A strategy may have one row only where they are `unique`.
    ///
    /// # Errors
    /// [`Error::Query`] for columns that the table does not have, values that it cannot hold, and two rows of one strategy.
    pub(super) async fn read(
        ctx: &SessionContext,
        subject: &Subject,
        (table, unique): (&OpenTable, bool),
        rows: DataFrame,
        groups: &mut Groups,
    ) -> Result<Self> {
        let computed: &[&str] = if unique { COMPUTED } else { &[] };
        check_columns(table, &rows, &subject.policy.keys)?;
        let mut sink = Sink { schema: Arc::clone(&table.schema), batches: vec![], bytes: 0, file: None };
        let mut keys: KeyMap<u64> = KeyMap::new(ctx);
        let mut non_finite = BTreeMap::new();
        let mut count = 0;
        let mut stream = rows.execute_stream().await?;
        while let Some(batch) = stream.next().await.transpose()? {
            let batch = fitted(table, &batch, computed, &mut non_finite)?;
            count += batch.num_rows() as u64;
            note_keys(subject, &table.name, (&batch, unique), &mut keys, groups)?;
            sink.write(batch)?;
        }
        let (rows, folder) = sink.finish(ctx).await?;
        Ok(Self { rows: Some(rows), count, keys: Arc::new(keys), non_finite, _folder: folder })
    }

    /// The rows, where some came in.
    pub(super) fn frame(&self) -> Option<DataFrame> {
        self.rows.clone().filter(|_| self.count > 0)
    }
}

fn misfit(table: &str, reason: impl std::fmt::Display) -> Error {
    DataFusionError::Execution(format!("the rows do not fit table '{table}': {reason}")).into()
}

fn check_columns(table: &OpenTable, rows: &DataFrame, keys: &[String]) -> Result<()> {
    let given: Vec<&str> = rows.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let known = |name: &str| table.schema.field_with_name(name).is_ok();
    if let Some(unknown) = given.iter().find(|name| !known(name)) {
        let names: Vec<_> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(misfit(&table.name, format!("it has no column '{unknown}', but {}", names.join(", "))));
    }
    if let Some(twice) = given.iter().enumerate().find(|(place, name)| given[..*place].contains(name)) {
        return Err(misfit(&table.name, format!("column '{}' is there twice", twice.1)));
    }
    match keys.iter().find(|key| !given.contains(&key.as_str())) {
        Some(missing) => Err(misfit(&table.name, format!("key column '{missing}' is missing"))),
        None => Ok(()),
    }
}

/// The batch with the columns and types of the table; columns that did not come are NULL, and so are numbers that are none.
fn fitted(table: &OpenTable, batch: &RecordBatch, computed: &[&str], non_finite: &mut BTreeMap<String, u64>) -> Result<RecordBatch> {
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let name = field.name();
        let found = batch.column_by_name(name).filter(|_| !computed.contains(&name.as_str()));
        let Some(found) = found else { return Ok(new_null_array(field.data_type(), batch.num_rows())) };
        let column = exact_cast(found, field.data_type()).map_err(|reason| misfit(&table.name, format!("column '{name}': {reason}")))?;
        let (column, count) = finite(column);
        if count > 0 {
            *non_finite.entry(format!("{}.{name}", table.name)).or_default() += count;
        }
        Ok(column)
    };
    let columns = table.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(&table.schema), columns).map_err(|e| misfit(&table.name, e))
}

/// Casts without loss: a fraction is no whole number, and what does not fit is an error.
fn exact_cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if to.is_integer()
        && column.data_type().is_floating()
        && let Ok(numbers) = cast(column, &DataType::Float64)
        && let Some(fraction) = numbers.as_primitive::<Float64Type>().iter().flatten().find(|x| x.is_finite() && x.fract() != 0.0)
    {
        return Err(format!("{fraction} is no whole number"));
    }
    let column = if to.is_integer() { finite(Arc::clone(column)).0 } else { Arc::clone(column) };
    cast_with_options(&column, to, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|e| e.to_string())
}

/// The column with NULL for NaN and infinities, and how many there were.
fn finite(column: ArrayRef) -> (ArrayRef, u64) {
    let Some(numbers) = column.as_primitive_opt::<Float64Type>() else { return (column, 0) };
    let count = numbers.iter().flatten().filter(|x| !x.is_finite()).count() as u64;
    if count == 0 {
        return (column, 0);
    }
    (Arc::new(numbers.iter().map(|x| x.filter(|x| x.is_finite())).collect::<Float64Array>()), count)
}

fn note_keys(
    subject: &Subject,
    table: &str,
    (batch, unique): (&RecordBatch, bool),
    keys: &mut KeyMap<u64>,
    groups: &mut Groups,
) -> Result<()> {
    for (row, key) in subject.keys.encode(batch)?.into_iter().enumerate() {
        match keys.get_mut(&key) {
            Some(_) if unique => {
                return Err(Error::Conflict(format!(
                    "two rows for one key in what is to be saved into '{table}': {}",
                    subject.keys.shown(batch, row)
                )));
            }
            Some(rows) => *rows += 1,
            None => {
                keys.insert(key, 1)?;
            }
        }
    }
    let columns = subject.group.columns(batch)?;
    for (row, group) in subject.group.encode(batch)?.into_iter().enumerate() {
        if groups.get(&group).is_none() {
            groups.insert(group, KeyEncoder::values(&columns, row)?)?;
        }
    }
    Ok(())
}

/// Where rows go: into memory, or into a file once they are many.
struct Sink {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    bytes: usize,
    file: Option<(ArrowWriter<File>, TempDir)>,
}

impl Sink {
    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
        if self.bytes <= IN_MEMORY_BYTES && self.file.is_none() {
            return Ok(());
        }
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| Error::storage(format!("writing rows to {}", std::env::temp_dir().display()), e);
        if self.file.is_none() {
            let folder = TempDir::new().map_err(|e| failed(e.into()))?;
            let file = File::create(folder.path().join("rows.parquet")).map_err(|e| failed(e.into()))?;
            let writer = ArrowWriter::try_new(file, Arc::clone(&self.schema), None).map_err(|e| failed(e.into()))?;
            self.file = Some((writer, folder));
        }
        if let Some((writer, _)) = &mut self.file {
            for batch in self.batches.drain(..) {
                writer.write(&batch).map_err(|e| failed(e.into()))?;
            }
        }
        Ok(())
    }

    async fn finish(self, ctx: &SessionContext) -> Result<(DataFrame, Option<TempDir>)> {
        let Some((writer, folder)) = self.file else {
            let batches = if self.batches.is_empty() { vec![RecordBatch::new_empty(Arc::clone(&self.schema))] } else { self.batches };
            return Ok((ctx.read_batches(batches)?, None));
        };
        let path = folder.path().join("rows.parquet").display().to_string();
        writer.close().map_err(|e| Error::storage(format!("writing {path}"), e))?;
        Ok((ctx.read_parquet(path, ParquetReadOptions::default()).await?, Some(folder)))
    }
}
