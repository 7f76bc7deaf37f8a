//! A result as one Parquet file, zstd(3), written row group by row group: at most one row group is held in memory.

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::properties::WriterProperties;

use super::{ResultWriter, require_distinct_names};
use crate::cli::failure::{Failure, Result};

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 262_144;

/// Writes a Parquet file; its bytes pass through a buffer that is emptied after every batch.
#[derive(Default)]
pub(crate) struct ParquetWriter {
    writer: Option<ArrowWriter<Vec<u8>>>,
}

impl ResultWriter for ParquetWriter {
    fn begin(&mut self, schema: &SchemaRef, _out: &mut dyn Write) -> Result<()> {
        require_distinct_names(schema, "parquet")?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        self.writer = Some(ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties))?);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch)?;
            out.write_all(&std::mem::take(writer.inner_mut()))?;
        }
        Ok(())
    }

    fn finish(&mut self, _elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            out.write_all(&writer.into_inner()?)?;
        }
        Ok(())
    }
}

impl From<ParquetError> for Failure {
    fn from(error: ParquetError) -> Self {
        Failure::from(DataFusionError::from(error))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::cli::print::testing::sample;

    #[test]
    fn a_written_file_reads_back_the_same() {
        let batch = sample();
        let (mut writer, mut out) = (ParquetWriter::default(), Vec::new());
        writer.begin(&batch.schema(), &mut out).unwrap();
        writer.batch(&batch, &mut out).unwrap();
        writer.batch(&batch, &mut out).unwrap();
        writer.finish(None, &mut out).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &out).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap().build().unwrap();
        let back: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        assert_eq!(back[0].num_rows(), 6);
        assert_eq!(format!("{:?}", back[0].slice(3, 3).columns()), format!("{:?}", batch.columns()));
    }
}
