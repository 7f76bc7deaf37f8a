//! What the tests of the engine share: rows as text, small strategy files, an object store, the real data where it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use tranchedb::{Engine, Error, ImportOptions, ImportReport, ImportRequest};

use crate::server::Server;

/// All rows of a query, cells joined by `|`, NULL empty.
pub(crate) async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    let frame = engine.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches = frame.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut lines = Vec::new();
    for batch in &batches {
        let options = FormatOptions::default();
        let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options).expect("printable column")).collect();
        lines.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|")));
    }
    lines
}

/// The same lines in any order, and numbers that agree to 1e-9.
pub(crate) fn assert_alike(mut one: Vec<String>, mut other: Vec<String>, separator: char, what: &str) {
    one.sort();
    other.sort();
    assert_eq!(one.len(), other.len(), "{what}");
    for (a, b) in one.iter().zip(&other) {
        let alike = |(a, b): (&str, &str)| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => x == y || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0),
            _ => a == b,
        };
        assert!(a.split(separator).zip(b.split(separator)).all(alike), "{what}\none: {a}\nother: {b}");
    }
}

/// The single row of a query.
pub(crate) async fn row(engine: &Engine, sql: &str) -> String {
    let mut found = rows(engine, sql).await;
    assert_eq!(found.len(), 1, "{sql}");
    found.remove(0)
}

/// The error of a statement, planning or running.
pub(crate) async fn error(engine: &Engine, sql: &str) -> String {
    match engine.sql(sql).await {
        Err(error) => error.to_string(),
        Ok(frame) => match frame.collect().await {
            Err(error) => Error::from(error).to_string(),
            Ok(_) => panic!("{sql} succeeded"),
        },
    }
}

/// A legacy CSV: `Date` and strategies `S1..`, one line per (date, values).
pub(crate) fn legacy_csv(folder: &Path, name: &str, header: &str, lines: &[&str]) -> PathBuf {
    let mut text = format!("{header}\n");
    for line in lines {
        writeln!(text, "{line}").expect("text grows");
    }
    let path = folder.join(name);
    std::fs::write(&path, text).expect("file written");
    path
}

pub(crate) fn request(source: &Path, table: &str) -> ImportRequest {
    ImportRequest { source: source.to_owned(), table: table.into(), options: ImportOptions::default(), dry_run: false }
}

pub(crate) async fn import(engine: &Engine, source: &Path, table: &str) -> ImportReport {
    engine.import(&request(source, table)).await.unwrap_or_else(|e| panic!("import of {}: {e}", source.display()))
}

/// Serves the folder as S3 and over plain HTTP with ranges, each folder below it a bucket, to anybody or to who has the key and the
/// secret; returns the address.
pub(crate) async fn serve(folder: &Path, credentials: Option<(&str, &str)>) -> String {
    Server::start(folder, credentials).await.endpoint()
}

/// A file of the real data; `None`, told loudly, where it is not there.
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("TRANCHEDB_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let path = folder.join("data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there; set TRANCHEDB_SHARED to the folder that holds data/", path.display());
    None
}
