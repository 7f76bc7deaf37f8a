//! Writing one dense file of a strategy table: every strategy has every period, so that row groups are encoded on any thread and appended in
//! order. The bytes depend on the rows alone, not on the threads.
//!
//! Files whose strategies have different periods are the business of [`StrategyFileWriter`](super::StrategyFileWriter).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, AsArray, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Date32Type, Int32Type, SchemaRef};
use datafusion::parquet::arrow::ArrowSchemaConverter;
use datafusion::parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use datafusion::parquet::arrow::async_writer::AsyncFileWriter;
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::file::writer::SerializedFileWriter;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parking_lot::Mutex;

use super::dense_claim::DenseClaim;
use super::dense_columns::{Splice, StrategyRuns, period_splices};
use super::strategy_file::{PAGE_ROWS, ROW_GROUP_ROWS, ValueFacts, date_text, parquet_error, properties, stats};
use super::{FinishedFile, PartitionKey, Root, StrategyShape};
use crate::error::{Error, Result};

/// Writes row groups of whole strategies, in ascending order of their names, to one Parquet file.
pub struct DenseFileWriter {
    sink: BufWriter,
    writer: SerializedFileWriter<Vec<u8>>,
    layout: Arc<DenseLayout>,
    key: PartitionKey,
    names: Vec<String>,
    values: ValueFacts,
    size_bytes: u64,
}

/// What the row groups of a dense file have in common. Encodes on any thread.
pub struct DenseLayout {
    table: String,
    path: String,
    schema: SchemaRef,
    columns: ArrowRowGroupWriterFactory,
    descriptors: Arc<datafusion::parquet::schema::types::SchemaDescriptor>,
    properties: Arc<WriterProperties>,
    period_properties: WriterProperties,
    periods: RecordBatch,
    /// By number of strategies: all row groups but the last one have the same.
    shared: Mutex<HashMap<usize, Arc<SharedColumns>>>,
}

/// Encoded columns that row groups of as many strategies share.
struct SharedColumns {
    periods: Vec<Splice>,
    runs: Option<StrategyRuns>,
}

/// One encoded row group.
pub struct DenseGroup {
    names: Vec<String>,
    shared: Arc<SharedColumns>,
    strategy: StrategyColumn,
    pnl: ArrowColumnChunk,
    values: ValueFacts,
}

enum StrategyColumn {
    Spliced(Splice),
    Encoded(Box<ArrowColumnChunk>),
}

impl DenseFileWriter {
    /// Opens a new file in a partition; `table` is the table's name, the path lies below its folder. `periods` has a row per period, ascending by
    /// date and slot, and the columns of the shape's file schema up to `strategy`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a period occurs twice, [`Error::Internal`] for other columns or another order.
    pub fn try_new(
        root: &Root,
        table: &str,
        shape: &StrategyShape,
        (key, path): (PartitionKey, String),
        periods: &RecordBatch,
    ) -> Result<Self> {
        check_periods(shape, periods)?;
        let object: Path = path.split('/').fold(root.table_path(table), |folder, part| folder.join(part));
        let schema = shape.file_schema();
        let failed = |e| parquet_error(table, &path, e);
        let descriptors = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
        let file_properties = Arc::new(properties(shape, PAGE_ROWS)?);
        let writer = SerializedFileWriter::new(Vec::new(), descriptors.root_schema_ptr(), Arc::clone(&file_properties)).map_err(failed)?;
        let layout = DenseLayout {
            table: table.to_owned(),
            path: path.clone(),
            columns: ArrowRowGroupWriterFactory::new(&writer, Arc::clone(&schema)),
            schema,
            descriptors: Arc::new(descriptors),
            properties: file_properties,
            // The columns of the periods repeat: one page per row group holds them in next to nothing.
            period_properties: properties(shape, ROW_GROUP_ROWS * 2)?,
            periods: periods.clone(),
            shared: Mutex::default(),
        };
        let sink = BufWriter::new(Arc::clone(root.store()), object);
        Ok(Self { sink, writer, layout: Arc::new(layout), key, names: vec![], values: ValueFacts::default(), size_bytes: 0 })
    }

    /// What encodes the row groups.
    pub fn layout(&self) -> Arc<DenseLayout> {
        Arc::clone(&self.layout)
    }

    /// Appends the next row group.
    ///
    /// # Errors
    /// [`Error::Internal`] when a strategy does not follow those before, [`Error::Storage`].
    pub async fn append(&mut self, group: DenseGroup) -> Result<()> {
        let mut last = self.names.last();
        for name in &group.names {
            if last.is_some_and(|before| before >= name) {
                return Err(Error::Internal(format!("strategy '{name}' arrived twice or out of order")));
            }
            last = Some(name);
        }
        let DenseGroup { names, shared, strategy, pnl, values } = group;
        self.values.merge(&values);
        self.names.extend(names);
        splice(&mut self.writer, &shared, strategy, pnl).map_err(|e| self.layout.failed(e))?;
        self.drain().await
    }

    /// Hands on what has been written.
    async fn drain(&mut self) -> Result<()> {
        self.writer.flush().map_err(|e| self.layout.failed(e.into()))?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        self.size_bytes += bytes.len() as u64;
        self.sink.put(bytes).await.map_err(|e| self.layout.failed(ParquetError::External(Box::new(e))))
    }

    /// Completes the file. It stays invisible until a commit names it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn finish(mut self) -> Result<FinishedFile> {
        let (strategies, periods) = (self.names.len() as u64, self.layout.periods.num_rows());
        let columns = self.layout.periods.schema();
        let context = columns.fields().iter().map(|field| field.name().clone());
        let shared = context.filter(|name| !matches!(name.as_str(), "date" | "slot")).collect();
        self.writer.append_key_value_metadata(DenseClaim { strategies: self.names.len(), periods, shared }.entry());
        self.writer.finish().map_err(|e| self.layout.failed(e))?;
        self.drain().await?;
        self.sink.complete().await.map_err(|e| self.layout.failed(e))?;
        let dates = dates(&self.layout.periods);
        let strategies_ends = self.names.first().cloned().zip(self.names.last().cloned());
        Ok(FinishedFile {
            key: self.key,
            path: self.layout.path.clone(),
            size_bytes: self.size_bytes,
            rows: self.values.rows,
            dates: dates.unwrap_or_default(),
            stats: stats(strategies_ends.as_ref(), dates, slots(&self.layout.periods), &self.values),
            strategies: strategies_ends,
            names: BTreeSet::from_iter(self.names),
            dense: Some((strategies, periods)),
        })
    }
}

/// Writes the columns of a row group in the order of the file: periods, strategy, values.
fn splice(
    writer: &mut SerializedFileWriter<Vec<u8>>,
    shared: &SharedColumns,
    strategy: StrategyColumn,
    pnl: ArrowColumnChunk,
) -> ParquetResult<()> {
    let mut group = writer.next_row_group()?;
    shared.periods.iter().try_for_each(|column| column.append_to(&mut group))?;
    match strategy {
        StrategyColumn::Spliced(column) => column.append_to(&mut group)?,
        StrategyColumn::Encoded(column) => column.append_to_row_group(&mut group)?,
    }
    pnl.append_to_row_group(&mut group)?;
    group.close()?;
    Ok(())
}

/// The power of two that is nearest on a logarithmic scale.
fn nearest_power_of_two(n: usize) -> usize {
    let above = n.next_power_of_two();
    if above / 2 * above > n * n { above / 2 } else { above }
}

impl DenseLayout {
    /// Strategies of one row group; the last one of a file has fewer. A power of two: files with nearly as many periods, such as those of
    /// successive years, cut their strategies at the same places, so that a reader of some strategies reads whole row groups of each.
    pub fn strategies_per_group(&self) -> usize {
        nearest_power_of_two(ROW_GROUP_ROWS.div_ceil(self.periods.num_rows().max(1)))
    }

    /// Encodes a row group: strategies in ascending order, and their values (NULL where there is none), strategy by strategy.
    ///
    /// # Errors
    /// [`Error::Conflict`] for NaN, infinities and empty names; [`Error::Internal`] when the values do not fit strategies and periods.
    pub fn encode(&self, names: &[&str], pnl: Float64Array) -> Result<DenseGroup> {
        if names.is_empty() || pnl.len() != names.len() * self.periods.num_rows() {
            return Err(Error::Internal(format!("{} values for {} strategies", pnl.len(), names.len())));
        }
        if names.iter().any(|name| name.is_empty()) {
            return Err(Error::Conflict("a row has an empty strategy name".into()));
        }
        let mut values = ValueFacts::default();
        values.observe(&pnl)?;
        self.try_encode(names, pnl, values).map_err(|e| self.failed(e))
    }

    fn try_encode(&self, names: &[&str], pnl: Float64Array, values: ValueFacts) -> ParquetResult<DenseGroup> {
        let shared = self.shared_columns(names.len())?;
        let spliced = shared.runs.as_ref().map_or(Ok(None), |runs| runs.splice(names))?;
        let strategy = match spliced {
            Some(column) => StrategyColumn::Spliced(column),
            None => StrategyColumn::Encoded(Box::new(self.chunk(self.strategy_index(), &self.repeated_names(names)?)?)),
        };
        let pnl = self.chunk(self.strategy_index() + 1, &(Arc::new(pnl) as ArrayRef))?;
        Ok(DenseGroup { names: names.iter().map(|&name| name.to_owned()).collect(), shared, strategy, pnl, values })
    }

    /// Position of the strategy column: after those of the periods.
    fn strategy_index(&self) -> usize {
        self.periods.num_columns()
    }

    fn shared_columns(&self, strategies: usize) -> ParquetResult<Arc<SharedColumns>> {
        // Whoever comes second needs what the first one is encoding: it waits.
        let mut shared = self.shared.lock();
        if let Some(columns) = shared.get(&strategies) {
            return Ok(Arc::clone(columns));
        }
        let column = self.descriptors.column(self.strategy_index());
        let columns = Arc::new(SharedColumns {
            periods: period_splices(&self.periods, strategies, self.period_properties.clone())?,
            runs: StrategyRuns::try_new(&column, &self.properties, strategies, self.periods.num_rows())?,
        });
        shared.insert(strategies, Arc::clone(&columns));
        Ok(columns)
    }

    /// Encodes one column of a row group.
    fn chunk(&self, column: usize, array: &ArrayRef) -> ParquetResult<ArrowColumnChunk> {
        let missing = || ParquetError::General(format!("a file without column {column}"));
        let mut writer = self.columns.create_column_writers(0)?.into_iter().nth(column).ok_or_else(missing)?;
        for leaf in compute_leaves(self.schema.field(column), array)? {
            writer.write(&leaf)?;
        }
        writer.close()
    }

    fn repeated_names(&self, names: &[&str]) -> ParquetResult<ArrayRef> {
        let periods = self.periods.num_rows();
        let keys = Int32Array::from_iter_values((0..names.len() as i32).flat_map(|key| std::iter::repeat_n(key, periods)));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from_iter_values(names)))?))
    }

    fn failed(&self, error: ParquetError) -> Error {
        parquet_error(&self.table, &self.path, error)
    }
}

/// Refuses periods that are not those of the shape, or that do not ascend.
fn check_periods(shape: &StrategyShape, periods: &RecordBatch) -> Result<()> {
    let schema = shape.file_schema();
    let (given, wanted) = (periods.schema(), &schema.fields()[..schema.fields().len() - 2]);
    let same = given.fields().len() == wanted.len()
        && given.fields().iter().zip(wanted).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
    if !same {
        return Err(Error::Internal("the columns of the periods are not those of the table".into()));
    }
    let dates = periods.column(0).as_primitive::<Date32Type>().values();
    let slots = periods.column_by_name("slot").map(|slots| slots.as_primitive::<Int32Type>().values());
    let period = |row: usize| (dates[row], slots.map_or(0, |slots| slots[row]));
    for row in 1..periods.num_rows() {
        if period(row - 1) == period(row) {
            let slot = slots.map_or_else(String::new, |slots| format!(", slot {}", slots[row]));
            return Err(Error::Conflict(format!("two rows for every strategy on {}{slot}", date_text(dates[row]))));
        }
        if period(row - 1) > period(row) {
            return Err(Error::Internal("periods arrived out of order".into()));
        }
    }
    Ok(())
}

/// First and last date as days since 1970-01-01.
fn dates(periods: &RecordBatch) -> Option<(i32, i32)> {
    let dates = periods.column_by_name("date")?.as_primitive_opt::<Date32Type>()?.values();
    Some((*dates.first()?, *dates.last()?))
}

/// Least and greatest slot.
fn slots(periods: &RecordBatch) -> Option<(i32, i32)> {
    let slots = periods.column_by_name("slot")?.as_primitive_opt::<Int32Type>()?.values();
    Some((*slots.iter().min()?, *slots.iter().max()?))
}
