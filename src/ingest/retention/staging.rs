//! Rows that come in, read once: made to fit the table, their keys noted, and put where they can be read several times.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, new_null_array};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{DataFrame, ParquetReadOptions, SessionContext};
use futures::StreamExt;
use tempfile::TempDir;

use super::exact_cast::exact_cast;
use super::keys::{KeyEncoder, KeyMap};
use super::subject::{OpenTable, RANK, Subject, TRADES_KEPT};
use crate::error::{Error, Result};

/// Rows of this size are kept in memory; more go to a file in the system's temporary directory.
const IN_MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// Columns of the metrics table that are computed, whatever comes in.
const COMPUTED: &[&str] = &[RANK, TRADES_KEPT];

/// Groups by their keys, with their values.
pub(super) type Groups = KeyMap<Vec<ScalarValue>>;

/// Where rows are to go.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) subject: &'a Subject,
    pub(super) table: &'a OpenTable,
    /// Whether a strategy has one row there, and columns that are computed.
    pub(super) holds_metrics: bool,
}

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

    /// Reads the rows for a table and notes their groups.
    ///
    /// # Errors
    /// [`Error::Query`] for columns that the table does not have, values that it cannot hold as they are, and two rows of one strategy where
    /// it may have one.
    pub(super) async fn read(ctx: &SessionContext, to: Destination<'_>, rows: DataFrame, groups: &mut Groups) -> Result<Self> {
        check_columns(to.table, &rows, &to.subject.policy.keys)?;
        let mut sink = Sink { schema: Arc::clone(&to.table.schema), batches: vec![], bytes: 0, file: None };
        let mut keys: KeyMap<u64> = KeyMap::new(ctx);
        let mut non_finite = BTreeMap::new();
        let mut count = 0;
        let mut stream = rows.execute_stream().await?;
        while let Some(batch) = stream.next().await.transpose()? {
            let batch = fitted(to, &batch, &mut non_finite)?;
            count += batch.num_rows() as u64;
            note_keys(to, &batch, &mut keys, groups)?;
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
fn fitted(to: Destination<'_>, batch: &RecordBatch, non_finite: &mut BTreeMap<String, u64>) -> Result<RecordBatch> {
    let Destination { table, holds_metrics, .. } = to;
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        let name = field.name();
        let found = batch.column_by_name(name).filter(|_| !(holds_metrics && COMPUTED.contains(&name.as_str())));
        let Some(found) = found else { return Ok(new_null_array(field.data_type(), batch.num_rows())) };
        let fitted = exact_cast(found, field.data_type()).map_err(|reason| misfit(&table.name, format!("column '{name}': {reason}")))?;
        if fitted.non_finite > 0 {
            *non_finite.entry(format!("{}.{name}", table.name)).or_default() += fitted.non_finite;
        }
        Ok(fitted.column)
    };
    let columns = table.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(&table.schema), columns).map_err(|e| misfit(&table.name, e))
}

fn note_keys(to: Destination<'_>, batch: &RecordBatch, keys: &mut KeyMap<u64>, groups: &mut Groups) -> Result<()> {
    let Destination { subject, table, holds_metrics } = to;
    for (row, key) in subject.keys.encode(batch)?.into_iter().enumerate() {
        match keys.get_mut(&key) {
            Some(_) if holds_metrics => {
                return Err(Error::Conflict(format!(
                    "two rows for one key in what is to be saved into '{}': {}",
                    table.name,
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
