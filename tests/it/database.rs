//! A database directory: tables that are there by themselves, and statements that last.

use tempfile::TempDir;
use tranchedb::Engine;

use crate::support::{error, row, rows};

async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().to_string_lossy()).await.expect("engine");
    (folder, engine)
}

async fn reopened(folder: &TempDir) -> Engine {
    Engine::open(&folder.path().to_string_lossy()).await.expect("engine")
}

#[tokio::test]
async fn tables_and_views_survive_a_restart() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL").await.expect("table");
    engine.sql("CREATE VIEW v AS SELECT sum(a) AS total FROM t").await.expect("view");
    assert_eq!(row(&engine, "INSERT INTO t VALUES (3, 'y'), (4, 'z')").await, "2");
    assert_eq!(row(&engine, "UPDATE t SET b = 'new' WHERE a > 3").await, "1");
    assert_eq!(row(&engine, "DELETE FROM t WHERE a IN (SELECT min(a) FROM t)").await, "1");
    let engine = reopened(&folder).await;
    assert_eq!(rows(&engine, "SELECT a, b FROM t ORDER BY a").await, ["2|", "3|y", "4|new"]);
    assert_eq!(row(&engine, "SELECT total FROM v").await, "9");
    assert_eq!(engine.table_names().await.expect("names"), ["t", "v"]);
    engine.sql("DROP VIEW v").await.expect("dropped");
    engine.sql("DROP TABLE t").await.expect("dropped");
    assert!(reopened(&folder).await.table_names().await.expect("names").is_empty());
}

#[tokio::test]
async fn an_empty_table_takes_rows_later() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t (d DATE, n BIGINT, x DOUBLE, s VARCHAR)").await.expect("table");
    engine.sql("INSERT INTO t VALUES (DATE '2024-01-31', 1, 1.5, 'a b')").await.expect("row");
    assert_eq!(rows(&reopened(&folder).await, "SELECT * FROM t").await, ["2024-01-31|1|1.5|a b"]);
}

#[tokio::test]
async fn files_in_the_directory_are_tables() {
    let (folder, engine) = database().await;
    std::fs::write(folder.path().join("prices.csv"), "day,price\n2024-01-01,1.5\n2024-01-02,2.5\n").expect("file");
    std::fs::write(folder.path().join("lines.ndjson"), "{\"a\": 1}\n{\"a\": 2}\n").expect("file");
    engine
        .sql(&format!("COPY (SELECT 7 AS x, 2024 AS year) TO '{}/hive' STORED AS PARQUET PARTITIONED BY (year)", folder.path().display()))
        .await
        .expect("plan")
        .collect()
        .await
        .expect("copy");
    assert_eq!(engine.table_names().await.expect("names"), ["hive", "lines", "prices"]);
    assert_eq!(row(&engine, "SELECT sum(price) FROM prices").await, "4.0");
    assert_eq!(row(&engine, "SELECT sum(a) FROM lines").await, "3");
    assert_eq!(row(&engine, "SELECT x, year FROM hive").await, "7|2024");
    assert!(error(&engine, "DROP TABLE prices").await.contains("not a table that this database made"));
}

#[tokio::test]
async fn a_quoted_path_is_a_table() {
    let (folder, engine) = database().await;
    let other = tempfile::tempdir().expect("temporary folder");
    let path = |name: &str| other.path().join(name).display().to_string();
    for part in ["a", "b"] {
        engine
            .sql(&format!("COPY (SELECT '{part}' AS part, 1 AS n) TO '{}' STORED AS PARQUET", path(&format!("{part}.parquet"))))
            .await
            .expect("plan")
            .collect()
            .await
            .expect("copy");
    }
    assert_eq!(row(&engine, &format!("SELECT part FROM '{}'", path("a.parquet"))).await, "a");
    assert_eq!(row(&engine, &format!("SELECT sum(n) FROM '{}'", path("*.parquet"))).await, "2");
    assert_eq!(row(&engine, &format!("SELECT count(*) FROM '{}'", other.path().display())).await, "2");
    assert!(error(&engine, "SELECT * FROM 'no/such.csv'").await.contains("no/such.csv"));
    drop(folder);
}

#[tokio::test]
async fn external_tables_are_kept_and_credentials_are_not() {
    let (folder, engine) = database().await;
    let other = tempfile::tempdir().expect("temporary folder");
    std::fs::write(other.path().join("x.csv"), "a,b\n1,2\n").expect("file");
    let location = other.path().join("x.csv").display().to_string();
    engine
        .sql(&format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{location}' OPTIONS ('format.has_header' 'true')"))
        .await
        .expect("table");
    assert_eq!(row(&reopened(&folder).await, "SELECT a + b FROM e").await, "3");
    let secret = format!("CREATE EXTERNAL TABLE f STORED AS CSV LOCATION '{location}' OPTIONS ('aws.secret_access_key' 'hidden')");
    let refused = error(&engine, &secret).await;
    assert!(refused.contains("environment") && !refused.contains("hidden"), "{refused}");
}

#[tokio::test]
async fn a_view_that_uses_itself_is_an_error_not_a_crash() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE VIEW v AS SELECT 1 AS x").await.expect("view");
    engine.sql("CREATE OR REPLACE VIEW v AS SELECT x FROM v").await.expect("replaced");
    assert!(error(&engine, "SELECT * FROM v").await.contains("uses itself"));
}

#[tokio::test]
async fn names_that_need_quotes_work_and_names_that_lead_away_do_not() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE \"My Table\" AS SELECT 1 AS x").await.expect("table");
    assert_eq!(row(&reopened(&folder).await, "SELECT x FROM \"My Table\"").await, "1");
    assert!(error(&engine, "CREATE TABLE \"../up\" AS SELECT 1 AS x").await.contains("../up"));
    assert!(!folder.path().join("../up").exists());
}

#[tokio::test]
async fn delta_versions_of_plain_tables_can_be_read_and_restored() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    engine.sql("INSERT INTO t VALUES (2)").await.expect("row");
    assert_eq!(row(&engine, "SELECT count(*) FROM t VERSION AS OF 0").await, "1");
    engine.sql("RESTORE TABLE t TO VERSION AS OF 0").await.expect("restored");
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "1");
    engine.sql("VACUUM t RETAIN 0 HOURS").await.expect("vacuumed");
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn an_in_memory_database_does_the_same() {
    let engine = Engine::in_memory().await.expect("engine");
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    engine.sql("INSERT INTO t VALUES (2)").await.expect("row");
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "3");
}

#[tokio::test]
async fn what_a_killed_writer_left_of_a_new_table_is_no_table() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    std::fs::remove_dir_all(folder.path().join("t/_delta_log")).expect("log removed, as if the commit never came");
    assert!(error(&engine, "SELECT * FROM t").await.contains("there is no table 't'"));
    engine.sql("CREATE TABLE t AS SELECT 2 AS x").await.expect("made anew");
    assert_eq!(row(&engine, "SELECT x FROM t").await, "2");
}
