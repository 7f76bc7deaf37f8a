//! A database in an object store, against a real S3 server on this machine.

use std::path::Path;

use tempfile::TempDir;
use tranchedb::{Engine, Error};

use crate::server::{Call, Fault, KEY, SECRET, Server};
use crate::support::{error, row, rows};

/// A server with an empty bucket `bucket`.
async fn server() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(folder.path().join("bucket")).expect("bucket");
    let server = Server::start(folder.path(), Some((KEY, SECRET))).await;
    (folder, server)
}

async fn open(server: &Server, location: &str) -> Engine {
    Engine::with_config(server.config(location)).await.unwrap_or_else(|e| panic!("{location}: {e}"))
}

/// Keys of the objects of a bucket.
fn keys(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("below").display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_views_live_in_a_bucket_and_other_engines_see_them() {
    let (_folder, server) = server().await;
    let engine = open(&server, "s3://bucket/a/db").await;
    for sql in [
        "CREATE TABLE t AS SELECT value AS x, value * 2 AS y FROM generate_series(1, 100)",
        "INSERT INTO t VALUES (101, 7)",
        "UPDATE t SET y = 0 WHERE x = 1",
        "DELETE FROM t WHERE x BETWEEN 2 AND 11",
        "CREATE VIEW v AS SELECT sum(y) AS total FROM t",
    ] {
        engine.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    let other = open(&server, "s3://bucket/a/db/").await;
    for engine in [&engine, &other] {
        assert_eq!(row(engine, "SELECT count(*), sum(x) FROM t").await, "91|5086");
        assert_eq!(row(engine, "SELECT total FROM v").await, "9975");
        assert_eq!(row(engine, "SELECT count(*) FROM t VERSION AS OF 0").await, "100");
        assert_eq!(row(engine, "SELECT count(*) FROM 's3://bucket/a/db/t/'").await, "91", "as a table, not as the files that lie there");
    }
    assert_eq!(row(&other, "RESTORE TABLE t TO VERSION AS OF 0").await, "4");
    assert_eq!(row(&engine, "SELECT sum(y) FROM t").await, "10100");
    assert_eq!(rows(&engine, "VACUUM t RETAIN 0 HOURS").await.len(), 3);
    assert_eq!(row(&engine, "SELECT sum(y) FROM t").await, "10100");
    engine.sql("DROP VIEW v").await.expect("dropped");
    engine.sql("DROP TABLE t").await.expect("dropped");
    assert!(error(&other, "SELECT * FROM t").await.contains("there is no table 't'"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_writers_each_is_told_what_became_of_its_rows() {
    let (folder, server) = server().await;
    open(&server, "s3://bucket/db").await.sql("CREATE TABLE t (writer INT, turn INT)").await.expect("made");
    let writer = async |writer: usize| {
        let engine = open(&server, "s3://bucket/db").await;
        let mut written = Vec::new();
        for turn in 0..12 {
            match engine.sql(&format!("INSERT INTO t VALUES ({writer}, {turn})")).await {
                Ok(_) => written.push(format!("{writer}|{turn}")),
                Err(Error::Conflict(message)) => assert!(message.contains("nothing was written"), "{message}"),
                Err(other) => panic!("writer {writer}: {other}"),
            }
        }
        written
    };
    let (one, two, three) = tokio::join!(writer(1), writer(2), writer(3));
    let mut expected = [one, two, three].concat();
    expected.sort();
    let engine = open(&server, "s3://bucket/db").await;
    let mut found = rows(&engine, "SELECT writer, turn FROM t").await;
    found.sort();
    assert_eq!(found, expected);
    assert!(found.len() < 36, "the writers never met: nothing was tested");
    let versions = keys(&folder.path().join("bucket/db/t/_delta_log"));
    assert_eq!(versions.iter().filter(|key| key.ends_with(".json")).count(), found.len() + 1, "{versions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_files_are_fetched_once_and_logs_are_asked_for_anew() {
    let (_folder, server) = server().await;
    open(&server, "s3://bucket/db").await.sql("CREATE TABLE t AS SELECT value AS x FROM generate_series(1, 5000)").await.expect("made");
    let engine = open(&server, "s3://bucket/db").await;
    let is_data = |key: &str| key.ends_with(".parquet");
    server.take_seen();
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502500");
    let cold = server.take_seen();
    assert_eq!(cold.iter().filter(|(_, key)| is_data(key)).map(|(call, _)| *call).collect::<Vec<_>>(), [Call::Get], "{cold:?}");
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502500");
    let warm = server.take_seen();
    assert!(warm.iter().all(|(call, key)| !is_data(key) && matches!(call, Call::Get | Call::List)), "{warm:?}");
    assert!(warm.iter().any(|(_, key)| key.contains("_delta_log")), "{warm:?}");
    // What the statement asked for is what the server saw.
    let told = rows(&engine, "EXPLAIN ANALYZE SELECT sum(x) FROM t").await.join("\n");
    let seen = server.take_seen().len();
    assert!(told.contains(&format!("origin: requests={seen}, ")), "{seen} requests\n{told}");
    assert!(told.contains("memory: hits=1, misses=0"), "{told}");
    // Another view of the store shares the blocks.
    open(&server, "s3://bucket/db").await.sql("INSERT INTO t VALUES (1)").await.expect("inserted");
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502501");
    let data = server.take_seen().into_iter().filter(|(call, key)| *call == Call::Get && is_data(key)).count();
    assert_eq!(data, 1, "the new file alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_there_once() {
    let (_folder, server) = server().await;
    let engine = open(&server, "s3://bucket/db").await;
    engine.sql("CREATE TABLE t (x INT)").await.expect("made");
    let mut lost = 0;
    server.go_wrong(move |call, key| {
        let is_lost = call == Call::Put && key.contains("_delta_log") && lost == 0;
        lost += u32::from(is_lost);
        is_lost.then_some(Fault::AnswerLost)
    });
    engine.sql("INSERT INTO t VALUES (1)").await.expect("the commit is there");
    server.go_well();
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "1");
    engine.sql("INSERT INTO t VALUES (2)").await.expect("the next version");
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "2");
}
