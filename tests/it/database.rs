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

#[tokio::test]
async fn a_table_of_any_letters_lies_in_one_folder() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE \"größe~1\" AS SELECT 1 AS x").await.expect("table");
    engine.sql("INSERT INTO \"größe~1\" VALUES (2)").await.expect("row");
    let visible = std::fs::read_dir(folder.path()).expect("folder").map(|e| e.expect("entry").file_name().to_string_lossy().into_owned());
    assert_eq!(visible.filter(|name| !name.starts_with('_')).collect::<Vec<_>>(), ["größe~1"]);
    assert_eq!(row(&reopened(&folder).await, "SELECT sum(x) FROM \"größe~1\"").await, "3");
    engine.sql("DROP TABLE \"größe~1\"").await.expect("dropped");
    assert!(!folder.path().join("größe~1").exists());
}

#[tokio::test]
async fn a_broken_view_can_be_dropped_and_a_view_of_itself_is_refused() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE TABLE base AS SELECT 1 AS x").await.expect("table");
    engine.sql("CREATE VIEW v AS SELECT x FROM base").await.expect("view");
    assert!(error(&engine, "CREATE OR REPLACE VIEW v AS SELECT x FROM v").await.contains("uses itself"));
    engine.sql("DROP TABLE base").await.expect("dropped");
    assert!(error(&engine, "SELECT * FROM v").await.contains("base"));
    engine.sql("DROP VIEW v").await.expect("dropped");
    assert!(error(&engine, "CREATE VIEW p AS SELECT $a AS x").await.contains("$a"));
}

#[tokio::test]
async fn a_condition_that_changes_from_call_to_call_is_refused() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    assert!(error(&engine, "DELETE FROM t WHERE random() < 0.5").await.contains("changes from call to call"));
    assert!(error(&engine, "VACUUM t RETAIN 0 HOURS DRY").await.contains("DRY RUN"));
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn concurrent_inserts_and_updates_lose_nothing() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 0 AS n, 0 AS touched").await.expect("table");
    let (inserter, updater) = (reopened(&folder).await, reopened(&folder).await);
    let inserts = tokio::spawn(async move {
        let mut done = 0;
        for n in 1..=20 {
            done += usize::from(inserter.sql(&format!("INSERT INTO t VALUES ({n}, 0)")).await.is_ok());
        }
        done
    });
    for _ in 0..20 {
        if let Err(refused) = updater.sql("UPDATE t SET touched = touched + 1 WHERE n >= 0").await {
            assert!(refused.to_string().contains("another writer"), "{refused}");
        }
    }
    let inserted = inserts.await.expect("inserts");
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, (inserted + 1).to_string());
}

#[tokio::test]
async fn vacuum_removes_what_a_killed_writer_left() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    let orphan = folder.path().join("t/part-orphan.parquet");
    std::fs::write(&orphan, "left by a killed writer").expect("file");
    engine.sql("VACUUM t RETAIN 0 HOURS").await.expect("vacuumed").collect().await.expect("rows");
    assert!(!orphan.exists());
    assert_eq!(row(&engine, "SELECT x FROM t").await, "1");
}

#[tokio::test]
async fn a_value_that_cannot_be_cast_is_told_as_in_a_query() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE TABLE t (n INT NOT NULL)").await.expect("table");
    for sql in [
        "CREATE TABLE u AS SELECT CAST(x AS INT) AS n FROM (VALUES ('1'), ('abc')) AS v(x)",
        "INSERT INTO t SELECT CAST(x AS INT) FROM (VALUES ('1'), ('abc')) AS v(x)",
        "INSERT INTO t SELECT x FROM (VALUES ('1'), ('abc')) AS v(x)",
        "INSERT INTO t VALUES ('abc')",
    ] {
        let failed = engine.sql(sql).await.expect_err(sql);
        assert!(matches!(failed, tranchedb::Error::Query(_)), "{sql}: {failed:?}");
        assert_eq!(failed.to_string(), "Cast error: Cannot cast string 'abc' to value of Int32 type", "{sql}");
    }
    assert!(matches!(engine.sql("INSERT INTO t VALUES (NULL)").await, Err(tranchedb::Error::Query(_))));
    assert_eq!(row(&engine, "SELECT count(*) FROM t").await, "0");
    assert_eq!(engine.table_names().await.expect("names"), ["t"]);
}

#[tokio::test]
async fn a_damaged_record_of_a_refusal_is_named() {
    let (folder, engine) = database().await;
    engine.sql("CREATE TABLE t (n INT)").await.expect("table");
    let refused = folder.path().join("_tranchedb").join("refused");
    std::fs::create_dir_all(&refused).expect("folder");
    std::fs::write(refused.join("0123.json"), "{\"import_id\": \"01").expect("file");
    let message = error(&engine, "SELECT * FROM system.imports").await;
    assert!(message.contains("0123.json") && message.contains("damaged") && message.contains("remove the file"), "{message}");
}
