//! Rows of a query into a file, as HeavyDB writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::SendableRecordBatchStream;
use flate2::write::GzEncoder;
use futures::StreamExt;

use super::options::{Compression, ExportOptions};
use crate::refusal::Refusal;
use crate::replay::render::{copy_header, copy_rows};
use crate::replay::rows::Rows;
use crate::tables::definition::spelled_names;
use crate::tables::session::HeavySession;

/// Writes the rows of a query; how many, in words. The file is there whole, or as it was before.
///
/// # Errors
/// Those of the query; a file that cannot be written.
pub(in crate::tables) async fn copy_to(session: &HeavySession, query: &str, path: &str, options: &[(String, String)]) -> Result<String> {
    let options = ExportOptions::read(options)?;
    let local = path.strip_prefix("file://").unwrap_or(path);
    if local.contains("://") {
        return Err(
            Refusal::new(format!("COPY TO '{path}'"), "only files of this machine are written: copy the file there afterwards").into()
        );
    }
    let (plan, _) = session.plan(query).await?;
    let frame = session.context().execute_logical_plan(plan).await?;
    let names = spelled_names(frame.schema().as_arrow());
    let rows = frame.execute_stream().await?;
    let target = match options.compression {
        Compression::Gzip if !local.ends_with(".gz") => PathBuf::from(format!("{local}.gz")),
        _ => PathBuf::from(local),
    };
    let failed = |error: io::Error| DataFusionError::Execution(format!("writing {}: {error}", target.display()));
    let partial = Partial::create(&target).map_err(failed)?;
    let file = BufWriter::with_capacity(1 << 18, partial.file.try_clone().map_err(failed)?);
    let count = match options.compression {
        Compression::None => {
            let mut file = file;
            let count = write(&mut file, rows, &names, &options).await?;
            file.flush().map_err(failed)?;
            count
        }
        Compression::Gzip => {
            let mut packed = GzEncoder::new(file, flate2::Compression::default());
            let count = write(&mut packed, rows, &names, &options).await?;
            packed.finish().and_then(|mut file| file.flush()).map_err(failed)?;
            count
        }
    };
    partial.finish(&target).map_err(failed)?;
    Ok(format!("{count} rows written to {}", target.display()))
}

async fn write(
    to: &mut (dyn Write + Send),
    mut batches: SendableRecordBatchStream,
    names: &[String],
    options: &ExportOptions,
) -> Result<usize> {
    let failed = |error: io::Error| DataFusionError::Execution(format!("writing the rows: {error}"));
    if options.form.header {
        copy_header(to, names, &options.form).map_err(failed)?;
    }
    let schema = batches.schema();
    let mut count = 0;
    while let Some(batch) = batches.next().await {
        let rows = Rows::try_new(&schema, &[batch?]).map_err(|error| Refusal::new("the result", error.to_string()))?;
        copy_rows(to, &rows, &options.form).map_err(failed)?;
        count += rows.len();
    }
    Ok(count)
}

/// A file beside the target, which goes unless it is finished.
struct Partial {
    file: File,
    path: PathBuf,
    is_finished: bool,
}

impl Partial {
    fn create(target: &Path) -> io::Result<Self> {
        if target.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder"));
        }
        let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
        let mut attempt = 0_u32;
        loop {
            let path = target.with_file_name(format!(".{}.{}.{attempt}.partial", name.to_string_lossy(), std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path, is_finished: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn finish(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished {
            // There is nobody to tell of it; the file is hidden and takes no other's name.
            let _ = fs::remove_file(&self.path);
        }
    }
}
