//! SQL meaning as text: every `tests/slt/*.slt` runs on a database in memory, on one on disk, and on one in an S3 server on this machine.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tranchedb::{Engine, Error};

use crate::server::{KEY, SECRET, Server};

/// An engine as the test runner sees it. NULL is `NULL`, an empty text `(empty)`.
struct Database(Engine);

#[async_trait]
impl AsyncDB for Database {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let frame = self.0.sql(sql).await?;
        let types = vec![DefaultColumnType::Any; frame.schema().fields().len()];
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = Vec::new();
        let options = FormatOptions::default().with_null("NULL");
        for batch in frame.collect().await? {
            let columns = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>();
            let columns = columns.map_err(|e| Error::Internal(e.to_string()))?;
            let shown = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text.replace(' ', "_") };
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| shown(c.value(row).to_string())).collect()));
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let entries = std::fs::read_dir(folder).expect("tests/slt").map(|entry| entry.expect("entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "slt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[tokio::test]
async fn every_text_holds_in_memory() {
    for file in files() {
        let mut runner = Runner::new(|| async { Engine::in_memory().await.map(Database) });
        runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

#[tokio::test]
async fn every_text_holds_on_disk() {
    for file in files() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let place = folder.path().to_string_lossy().into_owned();
        let mut runner = Runner::new(|| {
            let place = place.clone();
            async move { Engine::open(&place).await.map(Database) }
        });
        runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_holds_in_an_object_store() {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(folder.path().join("bucket")).expect("bucket");
    let server = Server::start(folder.path(), Some((KEY, SECRET))).await;
    for file in files() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let config = server.config(&format!("s3://bucket/{name}"));
        let mut runner = Runner::new(|| {
            let config = config.clone();
            async move { Engine::with_config(config).await.map(Database) }
        });
        runner.run_file_async(&file).await.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}
