//! A change of a Delta table of any columns that is being prepared: files are written, read back, and then committed, alone or together
//! with other tables.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::kernel::{Action, Add, LogicalFileView};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter, RecordBatchWriter};
use deltalake::{DeltaTable, DeltaTableError};
use object_store::path::Path;
use serde_json::Value;

use super::delta::{NOTE_KEY, commit_info, delta_error, delta_write_error, load_newest};
use super::file_statistics::FileStatistics;
use super::{JointMember, Root, location_of};
use crate::error::{Error, Result};

/// Size at which a file is finished even where its rows belong together.
const TARGET_FILE_BYTES: u64 = 128 * 1024 * 1024;
/// Compression of data files.
const ZSTD_LEVEL: i32 = 3;
/// Start of the hashes that a written file is compared by.
const HASH_SEED: u64 = 0x5EED;

/// One data file of a table version, as the log tells it.
#[derive(Clone)]
pub struct TableFile {
    /// Path below the table's folder.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    view: LogicalFileView,
}

impl fmt::Debug for TableFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableFile").field("path", &self.path).field("size_bytes", &self.size_bytes).finish_non_exhaustive()
    }
}

/// What the log tells of a column's values in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnRange {
    /// Nothing: any value may occur.
    Unknown,
    /// One value for all rows, as text.
    Constant(String),
    /// NULL in all rows.
    Null,
    /// Values between two bounds, and perhaps NULL.
    Between {
        /// Not above the smallest value.
        min: Value,
        /// Not below the largest value.
        max: Value,
        /// Whether NULL may occur.
        has_null: bool,
    },
}

impl TableFile {
    fn of_view(view: LogicalFileView) -> Self {
        Self { path: view.path().into_owned(), size_bytes: view.size().unsigned_abs(), view }
    }

    /// The location where the file lies; `None` for the table's own folder.
    pub fn location(&self) -> Option<&str> {
        location_of(&self.path)
    }

    /// Rows, where the log tells.
    pub fn rows(&self) -> Option<u64> {
        self.view.num_records().map(|rows| rows as u64)
    }

    /// What the log tells of the values of some columns, in their order.
    pub fn ranges(&self, columns: &[String]) -> Vec<ColumnRange> {
        let partition = self.view.partition_values_map();
        let of_partition = |column: &String| match partition.get(column)? {
            Some(value) if !value.is_empty() => Some(ColumnRange::Constant(value.clone())),
            // The format writes an empty text as NULL.
            _ => Some(ColumnRange::Null),
        };
        let mut ranges: Vec<_> = columns.iter().map(of_partition).collect();
        if ranges.iter().any(Option::is_none) {
            let text = self.view.stats().unwrap_or_default();
            let stats = FileStatistics::read(&text, columns);
            for (range, column) in ranges.iter_mut().zip(columns).filter(|(range, _)| range.is_none()) {
                *range = Some(stats.range(column));
            }
        }
        ranges.into_iter().flatten().collect()
    }
}

/// A reader of some files of a table version alone; with `file_column` a column of that name tells the file of each row.
///
/// # Errors
/// [`Error::Storage`] when the table cannot be read.
pub async fn scan_files(name: &str, table: &DeltaTable, files: &[TableFile], file_column: Option<&str>) -> Result<Arc<dyn TableProvider>> {
    let snapshot = table.snapshot().map_err(|e| delta_error(name, e))?.snapshot().clone();
    // The names are those of the store, which the reader wants as the log writes them.
    let paths = files.iter().map(|file| Path::from(file.path.as_str()).to_string());
    let mut builder = table.table_provider().with_eager_snapshot(snapshot).with_file_paths(paths);
    if let Some(column) = file_column {
        builder = builder.with_file_column(column);
    }
    Ok(builder.await?)
}

/// Data files of a table version, in order of their paths.
pub fn table_files(name: &str, table: &DeltaTable) -> Result<Vec<TableFile>> {
    let snapshot = table.snapshot().map_err(|e| delta_error(name, e))?;
    let mut files: Vec<_> = snapshot.log_data().iter().map(TableFile::of_view).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Rows by number and content, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Contents {
    rows: u64,
    /// Sum of the rows' hashes.
    hash: u64,
}

impl Contents {
    fn add(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let mut hashes = vec![0; rows];
        create_hashes(columns, &RandomState::with_seed(HASH_SEED), &mut hashes)?;
        self.rows += rows as u64;
        self.hash = hashes.iter().fold(self.hash, |sum, hash| sum.wrapping_add(*hash));
        Ok(())
    }
}

/// A change of a Delta table that is being prepared. Nothing is seen of it before it is committed.
pub struct TableChange {
    root: Root,
    name: String,
    base: DeltaTable,
    /// Columns of the table, as the format's writer takes them.
    schema: SchemaRef,
    added: Vec<Add>,
    removed: Vec<TableFile>,
    written: Contents,
    note: Value,
}

impl TableChange {
    /// A change on top of `base` that keeps its columns.
    ///
    /// # Errors
    /// [`Error::Storage`] for a table that this engine can only read.
    pub fn of(root: &Root, name: &str, base: DeltaTable) -> Result<Self> {
        let schema = RecordBatchWriter::for_table(&base).map_err(|e| delta_error(name, e))?.arrow_schema();
        Ok(Self {
            root: root.clone(),
            name: name.to_owned(),
            base,
            schema,
            added: vec![],
            removed: vec![],
            written: Contents::default(),
            note: Value::Object(Default::default()),
        })
    }

    /// Columns of the table, as files hold them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Opens a writer of new files; what it wrote belongs to the change once [`Self::take`] has it.
    pub fn writer(&self) -> Result<TableWriter> {
        let failed = |e| delta_error(&self.name, e);
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|e| Error::Internal(e.to_string()))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let writer = RecordBatchWriter::for_table(&self.base).map_err(failed)?;
        let snapshot = self.base.snapshot().map_err(failed)?;
        let partition = snapshot.metadata().partition_columns();
        let in_files = self.schema.fields().iter().enumerate().filter(|(_, field)| !partition.contains(field.name()));
        Ok(TableWriter {
            in_files: in_files.map(|(place, _)| place).collect(),
            writer: writer.with_writer_properties(properties).with_target_file_size(TARGET_FILE_BYTES),
            name: self.name.clone(),
            schema: Arc::clone(&self.schema),
            added: vec![],
            written: Contents::default(),
            open_rows: 0,
        })
    }

    /// Takes the files of a writer into the change.
    pub async fn take(&mut self, writer: TableWriter) -> Result<()> {
        let (added, written) = writer.finish().await?;
        self.added.extend(added);
        self.written.rows += written.rows;
        self.written.hash = self.written.hash.wrapping_add(written.hash);
        Ok(())
    }

    /// Takes a file of the base out of the next version.
    pub fn remove(&mut self, file: TableFile) {
        self.removed.push(file);
    }

    /// Keeps facts in the commit's note, beside the joint commit's own.
    pub fn set_note(&mut self, note: Value) {
        self.note = note;
    }

    /// Rows that were written.
    pub fn written_rows(&self) -> u64 {
        self.written.rows
    }

    /// Whether the next version would be as the base.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    /// Reads every written file back and compares its rows with those that were written.
    ///
    /// # Errors
    /// [`Error::Verification`] when they differ.
    pub async fn verify(&self) -> Result<()> {
        let mut found = Contents::default();
        for add in &self.added {
            let path = self.file_path(&add.path)?;
            let bytes = self.root.read(&path).await?;
            let bytes = bytes.ok_or_else(|| Error::Verification(format!("table '{}': the written file {path} is gone", self.name)))?;
            let schema = Arc::clone(&self.schema);
            let read = tokio::task::spawn_blocking(move || contents_of(bytes, &schema)).await;
            let read = read.map_err(|e| Error::Internal(e.to_string()))??;
            found.rows += read.rows;
            found.hash = found.hash.wrapping_add(read.hash);
        }
        if found == self.written {
            return Ok(());
        }
        Err(Error::Verification(format!(
            "table '{}': {} rows were written and {} others were read back; nothing was committed",
            self.name, self.written.rows, found.rows
        )))
    }

    /// The place of a file of the table: the log tells the names as they are in the store.
    fn file_path(&self, file: &str) -> Result<Path> {
        let text = format!("{}/{file}", self.root.table_path(&self.name));
        Path::parse(&text).map_err(|e| Error::Internal(format!("path {file} of table '{}': {e}", self.name)))
    }

    async fn try_commit(&self, note: Value) -> Result<u64, DeltaTableError> {
        let state = self.base.snapshot()?;
        let adds = self.added.iter().cloned().map(Action::Add);
        let removes = self.removed.iter().map(|file| Action::Remove(file.view.remove_action(true)));
        let mode = if self.removed.is_empty() { SaveMode::Append } else { SaveMode::Overwrite };
        let columns = state.metadata().partition_columns().to_vec();
        let partition_by = (!columns.is_empty()).then_some(columns);
        let properties = CommitProperties::default().with_max_retries(0).with_metadata([(NOTE_KEY.to_owned(), note)]);
        let commit = CommitBuilder::from(properties).with_actions(adds.chain(removes).collect()).build(
            Some(state as &dyn TableReference),
            self.base.log_store(),
            DeltaOperation::Write { mode, partition_by, predicate: None },
        );
        Ok(commit.await?.version())
    }

    /// The version of the change, if its commit is there although its answer was an error.
    async fn landed(&self, note: &Value) -> Result<Option<u64>> {
        let next = self.base.version().unwrap_or_default() + 1;
        let Some(table) = load_newest(&self.root, &self.name).await? else { return Ok(None) };
        let info = commit_info(&self.name, &table, next).await?;
        Ok(info.is_some_and(|info| info[NOTE_KEY] == *note).then_some(next))
    }
}

/// Rows of a file, hashed over the columns of `schema` that files hold, in its order.
fn contents_of(bytes: Bytes, schema: &Schema) -> Result<Contents> {
    let failed = |e: String| Error::Verification(format!("a written file cannot be read back: {e}"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build()).map_err(|e| failed(e.to_string()))?;
    let mut contents = Contents::default();
    for batch in reader {
        let batch = batch.map_err(|e| failed(e.to_string()))?;
        let mut columns = Vec::with_capacity(batch.num_columns());
        for field in schema.fields() {
            let Some(column) = batch.column_by_name(field.name()) else { continue };
            columns.push(cast(column, field.data_type()).map_err(|e| failed(e.to_string()))?);
        }
        contents.add(&columns, batch.num_rows())?;
    }
    Ok(contents)
}

#[async_trait]
impl JointMember for TableChange {
    fn name(&self) -> &str {
        &self.name
    }

    fn base(&self) -> Option<&DeltaTable> {
        Some(&self.base)
    }

    async fn commit(&self, joint: &Value) -> Result<u64> {
        let mut note = self.note.clone();
        for (key, value) in joint.as_object().into_iter().flatten() {
            note[key] = value.clone();
        }
        match self.try_commit(note.clone()).await {
            Ok(version) => Ok(version),
            // What follows a commit (a checkpoint) may fail after the version is there.
            Err(error) => match self.landed(&note).await {
                Ok(Some(version)) => Ok(version),
                _ => Err(delta_error(&self.name, error)),
            },
        }
    }

    async fn abandon(&self) -> Result<()> {
        for add in &self.added {
            let path = self.file_path(&add.path)?;
            self.root.remove(&path).await?;
            let parts: Vec<_> = path.parts().collect();
            let folder: Path = parts[..parts.len().saturating_sub(1)].iter().cloned().collect();
            self.root.prune(&folder);
        }
        Ok(())
    }
}

/// Writes rows into new files of a table.
pub struct TableWriter {
    writer: RecordBatchWriter,
    name: String,
    schema: SchemaRef,
    /// Places of the columns that files hold: partition columns are in the log.
    in_files: Vec<usize>,
    added: Vec<Add>,
    written: Contents,
    open_rows: u64,
}

impl TableWriter {
    /// Appends rows that have the columns of the table in its order.
    ///
    /// # Errors
    /// [`Error::Query`] for values that the table cannot hold, [`Error::Storage`] when they cannot be written.
    pub async fn append(&mut self, rows: &RecordBatch) -> Result<()> {
        let misfit = |e: datafusion::arrow::error::ArrowError| {
            Error::from(datafusion::error::DataFusionError::Execution(format!("the rows do not fit table '{}': {e}", self.name)))
        };
        let columns = rows.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<Vec<_>, _>>().map_err(misfit)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(misfit)?;
        let hashed: Vec<ArrayRef> = self.in_files.iter().map(|&place| Arc::clone(batch.column(place))).collect();
        self.written.add(&hashed, batch.num_rows())?;
        self.open_rows += batch.num_rows() as u64;
        self.writer.write(batch).await.map_err(|e| delta_write_error(&self.name, e))
    }

    /// Rows since the last [`Self::cut`].
    pub fn open_rows(&self) -> u64 {
        self.open_rows
    }

    /// Finishes the files that are open: further rows go into others.
    pub async fn cut(&mut self) -> Result<()> {
        self.open_rows = 0;
        self.added.extend(self.writer.flush().await.map_err(|e| delta_error(&self.name, e))?);
        Ok(())
    }

    async fn finish(mut self) -> Result<(Vec<Add>, Contents)> {
        self.cut().await?;
        Ok((self.added, self.written))
    }
}
