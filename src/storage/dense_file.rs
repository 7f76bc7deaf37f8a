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
    shared: Mutex<HashMap<usize, SharedSlot>>,
}

/// Place for shared columns; locked while they are encoded.
type SharedSlot = Arc<Mutex<Option<Arc<SharedColumns>>>>;

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
    Spliced(Box<Splice>),
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
        let sink = BufWriter::new(root.table_store(table), object);
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

/// Strategies of one row group of a dense file with so many periods. A power of two: files with nearly as many periods, such as those of
/// successive years, cut their strategies at the same places, so that a reader of some strategies reads whole row groups of each.
pub fn strategies_per_row_group(periods: usize) -> usize {
    let fitting = ROW_GROUP_ROWS.div_ceil(periods.max(1));
    let above = fitting.next_power_of_two();
    // The nearer one on a logarithmic scale.
    if above / 2 * above > fitting * fitting { above / 2 } else { above }
}

impl DenseLayout {
    /// Strategies of one row group; the last one of a file has fewer.
    pub fn strategies_per_group(&self) -> usize {
        strategies_per_row_group(self.periods.num_rows())
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
            Some(column) => StrategyColumn::Spliced(Box::new(column)),
            None => StrategyColumn::Encoded(Box::new(self.chunk(self.strategy_index(), &self.repeated_names(names)?)?)),
        };
        let pnl = self.chunk(self.strategy_index() + 1, &(Arc::new(pnl) as ArrayRef))?;
        Ok(DenseGroup { names: names.iter().map(|&name| name.to_owned()).collect(), shared, strategy, pnl, values })
    }

    /// Position of the strategy column: after those of the periods.
    fn strategy_index(&self) -> usize {
        self.periods.num_columns()
    }

    /// Encodes what row groups of so many strategies share, so that [`encode`](Self::encode) finds it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn prepare(&self, strategies: usize) -> Result<()> {
        self.shared_columns(strategies).map(|_| ()).map_err(|e| self.failed(e))
    }

    fn shared_columns(&self, strategies: usize) -> ParquetResult<Arc<SharedColumns>> {
        let slot = Arc::clone(self.shared.lock().entry(strategies).or_default());
        // Whoever comes second needs what the first one is encoding: it waits.
        let mut slot = slot.lock();
        if let Some(columns) = slot.as_ref() {
            return Ok(Arc::clone(columns));
        }
        let column = self.descriptors.column(self.strategy_index());
        let columns = Arc::new(SharedColumns {
            periods: period_splices(&self.periods, strategies, self.period_properties.clone())?,
            runs: StrategyRuns::try_new(&column, &self.properties, strategies, self.periods.num_rows())?,
        });
        *slot = Some(Arc::clone(&columns));
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use datafusion::arrow::array::{Array, Date32Array};
    use datafusion::arrow::compute::{cast, concat_batches};
    use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema};
    use datafusion::parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
    use datafusion::parquet::file::metadata::PageIndexPolicy;
    use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
    use object_store::ObjectStoreExt;

    fn shape() -> StrategyShape {
        StrategyShape::new(false, vec![Field::new("zone", DataType::Utf8, true), Field::new("capital", DataType::Float64, true)])
    }

    fn periods(count: i32) -> RecordBatch {
        let zones: DictionaryArray<Int32Type> = (0..count).map(|p| (p % 7 > 0).then_some(["A", "B"][p as usize % 2])).collect();
        let capital: Float64Array = (0..count).map(|p| (p % 5 > 0).then_some(f64::from(p) * 1000.0)).collect();
        let fields = shape().file_schema().fields()[..3].to_vec();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Date32Array::from_iter_values((0..count).map(|p| 18_262 + p))), Arc::new(zones), Arc::new(capital)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn name(strategy: usize) -> String {
        format!("strategy {strategy:06} of a name that is rather long so that many of them fill a dictionary")
    }

    fn value(strategy: usize, period: usize) -> Option<f64> {
        let mixed = (strategy * 7919 + period * 104_729) % 99_991;
        (!mixed.is_multiple_of(11)).then_some(mixed as f64 / 100.0 - 400.0)
    }

    /// Writes so many strategies, encoding groups in this order, and gives the bytes of the file.
    async fn write(strategies: usize, periods: &RecordBatch, backwards: bool) -> (Bytes, FinishedFile) {
        let root = Root::in_memory().unwrap();
        let key = PartitionKey { year: 2020, month: None };
        let mut writer = DenseFileWriter::try_new(&root, "t", &shape(), (key, "year=2020/f.parquet".into()), periods).unwrap();
        let layout = writer.layout();
        let starts: Vec<usize> = (0..strategies).step_by(layout.strategies_per_group()).collect();
        let encode = |&start: &usize| {
            let some = start..(start + layout.strategies_per_group()).min(strategies);
            let names: Vec<String> = some.clone().map(name).collect();
            let pnl: Float64Array = some.flat_map(|s| (0..periods.num_rows()).map(move |p| value(s, p))).collect();
            layout.encode(&names.iter().map(String::as_str).collect::<Vec<_>>(), pnl).unwrap()
        };
        let mut groups: Vec<DenseGroup> =
            if backwards { starts.iter().rev().map(encode).collect() } else { starts.iter().map(encode).collect() };
        if backwards {
            groups.reverse();
        }
        for group in groups {
            writer.append(group).await.unwrap();
        }
        let file = writer.finish().await.unwrap();
        let path = root.table_path("t").join("year=2020").join("f.parquet");
        (root.store().get(&path).await.unwrap().bytes().await.unwrap(), file)
    }

    fn indexed() -> ArrowReaderOptions {
        ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required)
    }

    /// Strategy, day number and value of every row.
    fn rows(bytes: &Bytes, selection: Option<RowSelection>) -> Vec<(String, i32, Option<f64>)> {
        let mut reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), indexed()).unwrap();
        if let Some(selection) = selection {
            reader = reader.with_row_selection(selection);
        }
        let schema = Arc::clone(reader.schema());
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(|b| b.unwrap()).collect();
        let all = concat_batches(&schema, &batches).unwrap();
        let names = cast(all.column_by_name("strategy").unwrap(), &DataType::Utf8).unwrap();
        let (dates, pnl) = (all.column(0).as_primitive::<Date32Type>(), all.column_by_name("pnl").unwrap().as_primitive::<Float64Type>());
        let zones = cast(all.column_by_name("zone").unwrap(), &DataType::Utf8).unwrap();
        for row in 0..all.num_rows() {
            let period = dates.value(row) - 18_262;
            assert_eq!(zones.is_null(row), period % 7 == 0);
            assert!(zones.is_null(row) || zones.as_string::<i32>().value(row) == ["A", "B"][period as usize % 2]);
        }
        (0..all.num_rows())
            .map(|r| (names.as_string::<i32>().value(r).to_owned(), dates.value(r), pnl.is_valid(r).then(|| pnl.value(r))))
            .collect()
    }

    fn expected(strategies: Range<usize>, periods: usize) -> Vec<(String, i32, Option<f64>)> {
        strategies.flat_map(|s| (0..periods).map(move |p| (name(s), 18_262 + p as i32, value(s, p)))).collect()
    }

    #[tokio::test]
    async fn every_row_comes_back_whatever_the_numbers_of_strategies_and_periods() {
        // Few periods make many names in a row group: their dictionary grows too large, and the names are written as they are.
        for (strategies, count) in [(1, 1), (3, 261), (1_010, 261), (15_000, 7), (20_000, 1)] {
            let periods = periods(count);
            let (bytes, file) = write(strategies, &periods, false).await;
            assert!(rows(&bytes, None) == expected(0..strategies, count as usize), "{strategies} x {count}");
            assert_eq!((file.rows, file.dense), ((strategies * count as usize) as u64, Some((strategies as u64, count as usize))));
            assert_eq!((file.size_bytes, file.names.len()), (bytes.len() as u64, strategies));
            assert_eq!(file.dates, (18_262, 18_261 + count));
        }
    }

    #[tokio::test]
    async fn the_bytes_do_not_depend_on_who_encodes_when() {
        let periods = periods(261);
        let (forwards, _) = write(1_010, &periods, false).await;
        let (backwards, _) = write(1_010, &periods, true).await;
        assert!(forwards == backwards);
    }

    #[tokio::test]
    async fn pages_are_found_by_the_names_in_their_index() {
        let periods = periods(261);
        let (bytes, _) = write(1_100, &periods, false).await;
        let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), indexed()).unwrap();
        let metadata = reader.metadata();
        assert_eq!(metadata.num_row_groups(), 2);
        let column = metadata.row_group(0).num_columns() - 2;
        let (index, pages) = (&metadata.column_index().unwrap()[0][column], &metadata.offset_index().unwrap()[0][column].page_locations);
        let ColumnIndexMetaData::BYTE_ARRAY(index) = index else { panic!("no index of names") };
        assert!(pages.len() > 4);
        for (page, location) in pages.iter().enumerate() {
            let end = pages.get(page + 1).map_or(metadata.row_group(0).num_rows(), |next| next.first_row_index);
            let of = |row: i64| name(row as usize / 261).into_bytes();
            assert_eq!(index.min_value(page), Some(of(location.first_row_index).as_slice()));
            assert_eq!(index.max_value(page), Some(of(end - 1).as_slice()));
        }
        let statistics = metadata.row_group(0).column(column).statistics().unwrap();
        // Statistics of a row group hold the beginnings of long texts.
        assert!(statistics.min_bytes_opt().is_some_and(|least| least.len() >= 64 && name(0).as_bytes().starts_with(least)));
        let one = RowSelection::from(vec![RowSelector::skip(1_050 * 261), RowSelector::select(261), RowSelector::skip(49 * 261)]);
        assert!(rows(&bytes, Some(one)) == expected(1_050..1_051, 261));
    }

    #[tokio::test]
    async fn what_breaks_the_layout_is_refused() {
        let root = Root::in_memory().unwrap();
        let open = |periods: &RecordBatch| {
            DenseFileWriter::try_new(&root, "t", &shape(), (PartitionKey { year: 2020, month: None }, "f.parquet".into()), periods)
        };
        let two = periods(2);
        let mut writer = open(&two).unwrap();
        let layout = writer.layout();
        let encode = |names: &[&str], values: &[f64]| layout.encode(names, Float64Array::from(values.to_vec()));
        assert!(matches!(encode(&["a"], &[1.0]), Err(Error::Internal(_))));
        assert!(matches!(encode(&[""], &[1.0, 2.0]), Err(Error::Conflict(_))));
        assert!(matches!(encode(&["a"], &[1.0, f64::NAN]), Err(Error::Conflict(_))));
        assert!(matches!(encode(&["a"], &[f64::INFINITY, 1.0]), Err(Error::Conflict(_))));
        writer.append(encode(&["b"], &[1.0, 2.0]).unwrap()).await.unwrap();
        for names in [&["b"], &["a"]] {
            assert!(matches!(writer.append(encode(names, &[1.0, 2.0]).unwrap()).await, Err(Error::Internal(_))));
        }
        let twice = concat_batches(&two.schema(), [&two.slice(0, 1), &two.slice(0, 1)]).unwrap();
        let error = open(&twice).map(|_| ()).unwrap_err();
        assert!(matches!(&error, Error::Conflict(text) if text.contains("2020-01-01")), "{error}");
        let back = concat_batches(&two.schema(), [&two.slice(1, 1), &two.slice(0, 1)]).unwrap();
        assert!(matches!(open(&back), Err(Error::Internal(_))));
        assert!(matches!(open(&two.project(&[0]).unwrap()), Err(Error::Internal(_))));
    }
}
