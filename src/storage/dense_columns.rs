//! Columns of the row groups of a dense file, encoded with the work that they have in common done once.
//!
//! In a dense file every strategy has the same periods, so that row groups of as many strategies hold the same bytes in `date`, `slot` and the
//! context columns, and in `strategy` the same runs, which differ in the names alone. Both are encoded once by the `parquet` crate and spliced
//! into every row group; only the dictionary of names and the values themselves are encoded for each.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::basic::{BoundaryOrder, Encoding, PageType, Type};
use datafusion::parquet::column::page::{CompressedPage, PageWriteSpec, PageWriter};
use datafusion::parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use datafusion::parquet::data_type::ByteArray;
use datafusion::parquet::errors::{ParquetError, Result};
use datafusion::parquet::file::metadata::ColumnIndexBuilder;
use datafusion::parquet::file::page_index::column_index::ColumnIndexMetaData;
use datafusion::parquet::file::page_index::offset_index::OffsetIndexMetaData;
use datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use datafusion::parquet::file::writer::{SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use datafusion::parquet::schema::types::ColumnDescPtr;

/// An encoded column of a row group: its bytes, and what the footer says of them.
#[derive(Clone)]
pub(super) struct Splice {
    bytes: Bytes,
    close: ColumnCloseResult,
}

impl Splice {
    /// Puts the column next into a row group.
    pub(super) fn append_to<W: std::io::Write + Send>(&self, group: &mut SerializedRowGroupWriter<'_, W>) -> Result<()> {
        group.append_column(&self.bytes, self.close.clone())
    }
}

/// Encodes the period columns of a row group of so many strategies, each with all periods, column by column.
pub(super) fn period_splices(periods: &RecordBatch, strategies: usize, properties: WriterProperties) -> Result<Vec<Splice>> {
    let once = 0..periods.num_rows() as u32;
    let rows: UInt32Array = (0..strategies).flat_map(|_| once.clone()).collect();
    let columns = periods.columns().iter().map(|column| take(column, &rows, None)).collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
    let repeated = RecordBatch::try_new(periods.schema(), columns)?;
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), periods.schema(), options)?;
    writer.write(&repeated)?;
    let metadata = writer.finish()?;
    let bytes = Bytes::from(std::mem::take(writer.inner_mut()));
    let missing = || ParquetError::General("a row group without page index".into());
    let group = metadata.row_groups().first().ok_or_else(missing)?;
    let column_indexes = metadata.column_index().and_then(|groups| groups.first()).ok_or_else(missing)?;
    let offset_indexes = metadata.offset_index().and_then(|groups| groups.first()).ok_or_else(missing)?;
    let columns = group.columns().iter().zip(column_indexes.iter().zip(offset_indexes));
    Ok(columns
        .map(|(column, (column_index, offset_index))| Splice {
            bytes: bytes.clone(),
            close: ColumnCloseResult {
                bytes_written: column.compressed_size() as u64,
                rows_written: repeated.num_rows() as u64,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: (!matches!(column_index, ColumnIndexMetaData::NONE)).then(|| column_index.clone()),
                offset_index: Some(offset_index.clone()),
            },
        })
        .collect())
}

/// The runs of a `strategy` column: as many strategies as a row group has, each on as many rows as there are periods.
pub(super) struct StrategyRuns {
    column: ColumnDescPtr,
    properties: WriterPropertiesPtr,
    periods: usize,
    pages: CapturedPages,
    close: ColumnCloseResult,
}

impl StrategyRuns {
    /// Encodes the runs; `None` where the dictionary would grow so large that the column is not dictionary encoded.
    pub(super) fn try_new(
        column: &ColumnDescPtr,
        properties: &WriterPropertiesPtr,
        strategies: usize,
        periods: usize,
    ) -> Result<Option<Self>> {
        // Any distinct texts do: the pages hold their numbers alone, in the order in which they appear.
        let texts = (0..strategies as u32).map(|number| ByteArray::from(number.to_be_bytes().to_vec()));
        let (pages, close) = capture(column, properties, texts.map(|text| (text, periods)))?;
        let runs = Self { column: Arc::clone(column), properties: Arc::clone(properties), periods, pages, close };
        Ok(runs.pages.are_numbers().then_some(runs))
    }

    /// The column for these names, which ascend; `None` where their dictionary grows too large.
    pub(super) fn splice(&self, names: &[&str]) -> Result<Option<Splice>> {
        let texts = names.iter().map(|name| (ByteArray::from(name.as_bytes().to_vec()), 1));
        let (named, close) = capture(&self.column, &self.properties, texts)?;
        if !named.are_numbers() {
            return Ok(None);
        }
        let (dictionary, runs) = (named.dictionary.inner(), self.pages.data.inner());
        let mut bytes = Vec::with_capacity(dictionary.len() + runs.len());
        bytes.extend_from_slice(dictionary);
        bytes.extend_from_slice(runs);
        let text_bytes: usize = names.iter().map(|name| name.len() * self.periods).sum();
        let mut metadata = self.close.metadata.clone().into_builder();
        if let Some(statistics) = close.metadata.statistics() {
            metadata = metadata.set_statistics(statistics.clone());
        }
        let metadata = metadata
            .set_dictionary_page_offset(Some(0))
            .set_data_page_offset(dictionary.len() as i64)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size((named.dictionary_uncompressed + self.pages.data_uncompressed) as i64)
            .set_unencoded_byte_array_data_bytes(Some(text_bytes as i64))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.close.rows_written,
            metadata,
            bloom_filter: None,
            column_index: Some(self.column_index(names)?.build()?),
            offset_index: self.offset_index(dictionary.len()),
        };
        Ok(Some(Splice { bytes: bytes.into(), close }))
    }

    /// First and last name of every page.
    fn column_index(&self, names: &[&str]) -> Result<ColumnIndexBuilder> {
        let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        for rows in self.page_rows() {
            let name = |row: usize| names.get(row / self.periods).map(|name| name.as_bytes().to_vec());
            let (first, last) = (name(rows.start), name(rows.end.saturating_sub(1)));
            let (first, last) = first.zip(last).ok_or_else(|| ParquetError::General("more runs than names".into()))?;
            index.append(false, first, last, 0);
        }
        index.set_boundary_order(BoundaryOrder::ASCENDING);
        Ok(index)
    }

    /// Rows of every page.
    fn page_rows(&self) -> Vec<Range<usize>> {
        let pages = self.close.offset_index.iter().flat_map(|index| &index.page_locations);
        let starts: Vec<usize> = pages.map(|page| page.first_row_index as usize).collect();
        let ends = starts.iter().skip(1).copied().chain([self.close.rows_written as usize]);
        starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
    }

    /// The pages behind a dictionary of this length.
    fn offset_index(&self, dictionary_bytes: usize) -> Option<OffsetIndexMetaData> {
        let mut index = self.close.offset_index.clone()?;
        index.page_locations.iter_mut().for_each(|page| page.offset += dictionary_bytes as i64);
        index.unencoded_byte_array_data_bytes = None;
        Some(index)
    }
}

/// Encodes texts, each so often in a row, and keeps the pages.
fn capture(
    column: &ColumnDescPtr,
    properties: &WriterPropertiesPtr,
    texts: impl Iterator<Item = (ByteArray, usize)>,
) -> Result<(CapturedPages, ColumnCloseResult)> {
    let mut pages = CapturedPages::new();
    let close = write_texts(get_column_writer(Arc::clone(column), Arc::clone(properties), Box::new(&mut pages)), properties, texts)?;
    Ok((pages, close))
}

fn write_texts(
    writer: ColumnWriter<'_>,
    properties: &WriterProperties,
    texts: impl Iterator<Item = (ByteArray, usize)>,
) -> Result<ColumnCloseResult> {
    let ColumnWriter::ByteArrayColumnWriter(mut writer) = writer else {
        return Err(ParquetError::General("the strategy column is no text".into()));
    };
    let together = properties.write_batch_size();
    let mut buffer = Vec::with_capacity(together);
    for (text, times) in texts {
        for _ in 0..times {
            buffer.push(text.clone());
            if buffer.len() == together {
                writer.write_batch(&buffer, None, None)?;
                buffer.clear();
            }
        }
    }
    writer.write_batch(&buffer, None, None)?;
    writer.close()
}

/// Pages of one column, the dictionary apart from the data.
struct CapturedPages {
    dictionary: TrackedWrite<Vec<u8>>,
    dictionary_uncompressed: usize,
    data: TrackedWrite<Vec<u8>>,
    data_uncompressed: usize,
    /// Whether a data page holds anything but numbers of the dictionary.
    plain: bool,
}

impl CapturedPages {
    fn new() -> Self {
        let sink = || TrackedWrite::new(Vec::new());
        Self { dictionary: sink(), dictionary_uncompressed: 0, data: sink(), data_uncompressed: 0, plain: false }
    }

    fn are_numbers(&self) -> bool {
        self.dictionary_uncompressed > 0 && !self.plain
    }
}

impl PageWriter for &mut CapturedPages {
    fn write_page(&mut self, page: CompressedPage) -> Result<PageWriteSpec> {
        let is_dictionary = page.page_type() == PageType::DICTIONARY_PAGE;
        self.plain |= !is_dictionary && page.encoding() != Encoding::RLE_DICTIONARY;
        let sink = if is_dictionary { &mut self.dictionary } else { &mut self.data };
        let spec = SerializedPageWriter::new(sink).write_page(page)?;
        let uncompressed = if is_dictionary { &mut self.dictionary_uncompressed } else { &mut self.data_uncompressed };
        *uncompressed += spec.uncompressed_size;
        Ok(spec)
    }

    fn close(&mut self) -> Result<()> {
        use std::io::Write;
        self.dictionary.flush()?;
        self.data.flush()?;
        Ok(())
    }
}
