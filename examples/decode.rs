//! How long it takes to decode the values of a strategy table and do nothing with them: the bound for every metric over all of them.
//!
//! `cargo run --release --example decode -- FOLDER [THREADS] [REPEATS]` reads the column `pnl` of all Parquet files below the folder with the
//! parquet crate alone, row group by row group on so many threads, and prints seconds and values of each repeat.

#![expect(clippy::print_stdout, reason = "it reports on the terminal")]

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Rows of one batch.
const BATCH_ROWS: usize = 32_768;

/// One row group of one file.
struct Part<'a> {
    file: &'a Path,
    metadata: &'a ArrowReaderMetadata,
    row_group: usize,
}

fn main() -> Fallible<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: decode FOLDER [THREADS] [REPEATS]")?;
    let mut count = |otherwise: usize| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let (threads, repeats) = (count(2)?.max(1), count(5)?);
    let files = parquet_files(Path::new(&folder))?;
    for _ in 0..repeats {
        let start = Instant::now();
        let values = decode(&files, threads)?;
        println!("{:.4} s, {values} values, {} files, {threads} threads", start.elapsed().as_secs_f64(), files.len());
    }
    Ok(())
}

fn parquet_files(folder: &Path) -> Fallible<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(parquet_files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Number of values that are not NULL.
fn decode(files: &[PathBuf], threads: usize) -> Fallible<usize> {
    let open = |path: &PathBuf| Ok((path.clone(), ArrowReaderMetadata::load(&File::open(path)?, ArrowReaderOptions::new())?));
    let opened = files.iter().map(open).collect::<Fallible<Vec<_>>>()?;
    let mut parts = vec![];
    for (file, metadata) in &opened {
        parts.extend((0..metadata.metadata().num_row_groups()).map(|row_group| Part { file, metadata, row_group }));
    }
    let next = AtomicUsize::new(0);
    let work = || -> Fallible<usize> {
        let mut values = 0;
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            values += part.decode()?;
        }
        Ok(values)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().map_err(|_| "a thread panicked")?).sum()
    })
}

impl Part<'_> {
    fn decode(&self) -> Fallible<usize> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(self.file)?, self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["pnl"]);
        let batches = builder.with_projection(mask).with_row_groups(vec![self.row_group]).with_batch_size(BATCH_ROWS).build()?;
        batches.map(|batch| Ok(batch.map(|batch| batch.num_rows() - batch.column(0).null_count())?)).sum()
    }
}
