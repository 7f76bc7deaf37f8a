//! What rows would take as minified JSON, NULLs left out: the measure of what is kept and of what is thrown away.

use std::io;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::prelude::DataFrame;
use futures::StreamExt;

use super::ranking::Ranking;
use super::subject::Subject;
use crate::error::{Error, Result};

/// Counts the bytes of lines and keeps none.
#[derive(Default)]
struct LineLengths {
    lengths: Vec<u64>,
    open: u64,
}

impl io::Write for LineLengths {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.lengths.push(self.open + end.len() as u64);
                    self.open = 0;
                }
                None => self.open += piece.len() as u64,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of each row as one JSON object.
///
/// # Errors
/// [`Error::Query`] for types that JSON cannot say.
pub(super) fn json_sizes(batch: &RecordBatch) -> Result<Vec<u64>> {
    let mut writer = LineDelimitedWriter::new(LineLengths::default());
    let failed = |e: datafusion::arrow::error::ArrowError| Error::from(datafusion::error::DataFusionError::from(e));
    writer.write(batch).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(writer.into_inner().lengths)
}

/// Adds the bytes of rows that are dropped to the figures of their groups.
pub(super) async fn add_json_sizes(subject: &Subject, rows: DataFrame, ranking: &mut Ranking) -> Result<()> {
    let mut stream = rows.execute_stream().await?;
    while let Some(batch) = stream.next().await.transpose()? {
        let sizes = json_sizes(&batch)?;
        for (group, size) in subject.group.encode(&batch)?.iter().zip(sizes) {
            if let Some(&place) = ranking.places.get(group) {
                ranking.groups[place].bytes_discarded += size;
            }
        }
    }
    Ok(())
}
