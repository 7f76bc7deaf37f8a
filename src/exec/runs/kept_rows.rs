//! The rows of a unit in one file: columns that an earlier query has decoded, and the others from the file.

use std::ops::Range;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;

use super::rows::{Extent, RowReader};
use crate::storage::{DecodedColumn, DecodedKey};

/// Rows that are handed out batch by batch, and kept for the next query when the last one was.
pub(super) struct KeptRows<'a> {
    reader: &'a RowReader,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// The columns that are decoded; `None` where all are kept already.
    decoding: Option<(SendableRecordBatchStream, FileScanConfig)>,
    /// Rows of a batch, and rows that are still to come where nothing is decoded.
    batch_rows: usize,
    rows: usize,
}

enum Column {
    Kept(Cursor),
    /// Decoded anew; kept for the next query where there is a key and room.
    Decoded {
        key: Option<DecodedKey>,
        bytes: usize,
        batches: Vec<ArrayRef>,
    },
}

/// A place in a kept column.
struct Cursor {
    column: DecodedColumn,
    batch: usize,
    offset: usize,
}

impl RowReader {
    /// The rows of an extent, whose columns the session keeps if its rows are neighbours; `schema` has the columns of the extent.
    ///
    /// # Errors
    /// The object store is unknown to the session.
    pub(super) fn read_kept(&self, file: &PartitionedFile, extent: Extent<'_>, schema: SchemaRef) -> Result<KeptRows<'_>> {
        let neighbours: Option<Range<usize>> = match extent.rows.as_slice() {
            [rows] => Some(rows.clone()),
            _ => None,
        };
        let column = |field: &FieldRef| {
            let key = neighbours.clone().map(|rows| DecodedKey::new(&file.object_meta, field, rows));
            match key.as_ref().zip(self.decoded()).and_then(|(key, tier)| tier.get(key)) {
                Some(column) => Column::Kept(Cursor { column, batch: 0, offset: 0 }),
                None => Column::Decoded { key, bytes: 0, batches: vec![] },
            }
        };
        let columns: Vec<Column> = schema.fields().iter().map(column).collect();
        let rows = extent.rows.iter().map(Range::len).sum();
        let batch_rows = extent.batch_rows;
        let is_decoded = |column: &Column| matches!(column, Column::Decoded { .. });
        let missing: Vec<usize> = extent.columns.iter().zip(&columns).filter(|(_, found)| is_decoded(found)).map(|(at, _)| *at).collect();
        let decoding =
            if missing.is_empty() && !columns.is_empty() { None } else { Some(self.read(file, Extent { columns: &missing, ..extent })?) };
        Ok(KeptRows { reader: self, schema, columns, decoding, batch_rows, rows })
    }
}

impl KeptRows<'_> {
    /// The next rows; `None` behind the last ones.
    ///
    /// # Errors
    /// The file cannot be read or decoded.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let fresh = match &mut self.decoding {
            Some((stream, _)) => match stream.try_next().await? {
                Some(batch) => Some(batch),
                None => {
                    self.keep();
                    return Ok(None);
                }
            },
            None if self.rows == 0 => return Ok(None),
            None => None,
        };
        let rows = fresh.as_ref().map_or_else(|| self.rows.min(self.batch_rows), RecordBatch::num_rows);
        self.rows = self.rows.saturating_sub(rows);
        let mut decoded = fresh.iter().flat_map(|batch| batch.columns());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            arrays.push(match column {
                Column::Kept(cursor) => cursor.take(rows)?,
                Column::Decoded { key, bytes, batches } => {
                    let array = decoded.next().ok_or_else(|| internal_datafusion_err!("a decoded column is missing"))?;
                    *bytes += array.get_array_memory_size();
                    match (&key, self.reader.decoded()) {
                        (Some(_), Some(tier)) if tier.takes(*bytes) => batches.push(ArrayRef::clone(array)),
                        _ => (*key, *batches) = (None, vec![]),
                    }
                    ArrayRef::clone(array)
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), arrays, &options)?))
    }

    /// Keeps what was decoded.
    fn keep(&mut self) {
        for column in &mut self.columns {
            if let Column::Decoded { key, batches, .. } = column
                && let Some((key, tier)) = key.take().zip(self.reader.decoded())
            {
                tier.put(key, std::mem::take(batches));
            }
        }
    }

    /// The source of what was decoded, for its figures.
    pub(super) fn source(&self) -> Option<&FileScanConfig> {
        self.decoding.as_ref().map(|(_, source)| source)
    }
}

impl Cursor {
    /// The next rows of the column.
    fn take(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut parts = Vec::with_capacity(1);
        let mut missing = rows;
        while missing > 0 {
            let batch = self.column.get(self.batch).ok_or_else(|| internal_datafusion_err!("a kept column has too few rows"))?;
            let taken = missing.min(batch.len() - self.offset);
            parts.push(if taken == batch.len() { ArrayRef::clone(batch) } else { batch.slice(self.offset, taken) });
            missing -= taken;
            self.offset += taken;
            if self.offset == batch.len() {
                (self.batch, self.offset) = (self.batch + 1, 0);
            }
        }
        match parts.as_slice() {
            [whole] => Ok(ArrayRef::clone(whole)),
            parts => Ok(concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }
}
