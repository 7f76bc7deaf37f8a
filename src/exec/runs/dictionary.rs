//! The strategies of a row group from the dictionary of its strategy column, which is one small page.
//!
//! Our files write each strategy of a row group once into the dictionary, in the order of the rows. Where the column has outgrown its
//! dictionary the page holds fewer names than there are runs, and the caller must look at the rows.

use std::sync::Arc;

use bytes::Buf;
use bytes::Bytes;
use bytes::buf::Reader;
use datafusion::arrow::array::{Array, StringViewArray, StringViewBuilder};
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::parquet::column::page::{Page, PageReader};
use datafusion::parquet::errors::{ParquetError, Result as ParquetResult};
use datafusion::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use datafusion::parquet::file::reader::{ChunkReader, Length};
use datafusion::parquet::file::serialized_reader::SerializedPageReader;
use futures::{StreamExt, TryStreamExt};

use super::file::unreadable;
use super::rows::RowReader;

/// Pages fetched at a time.
const FETCHES: usize = 16;

/// The names in the dictionaries of these row groups; `None` where a group has none, or they are not `expected` ascending names.
///
/// # Errors
/// The file cannot be read.
pub(super) async fn names(reader: &RowReader, file: &PartitionedFile, groups: &[(usize, usize)]) -> Result<Vec<Option<StringViewArray>>> {
    let metadata = reader.metadata(file, false).await?;
    let names = groups.iter().copied().map(|(group, expected)| {
        let metadata = Arc::clone(&metadata);
        async move {
            let Some(chunk) = strategy_chunk(&metadata, group) else { return Ok(None) };
            let Some(start) = chunk.dictionary_page_offset().and_then(|offset| u64::try_from(offset).ok()) else { return Ok(None) };
            let end = u64::try_from(chunk.data_page_offset()).unwrap_or_default();
            if end <= start {
                return Ok(None);
            }
            let bytes = reader.bytes(file, start..end).await?;
            let names = parse(Part { start, bytes }, chunk, expected).map_err(|e| unreadable(file, e))?;
            Ok(names.filter(|names| names.len() == expected && ascends(names)))
        }
    });
    futures::stream::iter(names).buffered(FETCHES).try_collect().await
}

fn strategy_chunk(metadata: &ParquetMetaData, group: usize) -> Option<&ColumnChunkMetaData> {
    metadata.row_group(group).columns().iter().find(|column| column.column_path().string() == "strategy")
}

fn parse(part: Part, chunk: &ColumnChunkMetaData, expected: usize) -> ParquetResult<Option<StringViewArray>> {
    let rows = usize::try_from(chunk.num_values()).unwrap_or_default();
    let mut pages = SerializedPageReader::new(Arc::new(part), chunk, rows, None)?;
    let Some(Page::DictionaryPage { mut buf, num_values, .. }) = pages.get_next_page()? else { return Ok(None) };
    if num_values as usize != expected {
        return Ok(None);
    }
    let mut names = StringViewBuilder::with_capacity(expected);
    while buf.remaining() >= size_of::<u32>() {
        let length = buf.get_u32_le() as usize;
        if length > buf.remaining() {
            return Ok(None);
        }
        let name = buf.split_to(length);
        names.append_value(std::str::from_utf8(&name).map_err(|e| ParquetError::General(e.to_string()))?);
    }
    Ok(Some(names.finish()))
}

fn ascends(names: &StringViewArray) -> bool {
    (1..names.len()).all(|at| names.value(at - 1) < names.value(at))
}

/// A part of a file that is read as if it were the whole.
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Part {
    fn from(&self, start: u64) -> ParquetResult<Bytes> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok()).filter(|&at| at <= self.bytes.len());
        let at = at.ok_or_else(|| ParquetError::EOF(format!("byte {start} lies outside of what was read")))?;
        Ok(self.bytes.slice(at..))
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on end outside of what was read")));
        }
        Ok(bytes.slice(..length))
    }
}
