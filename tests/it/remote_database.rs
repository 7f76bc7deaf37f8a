//! A database in an object store, against a real S3 server on this machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tranchedb::{Engine, Error};

use crate::program::{Run, finish, program};
use crate::server::{Call, Fault, KEY, SECRET, Server};
use crate::support::{error, import, legacy_csv, request, row, rows};

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
    assert!(rows(&engine, "VACUUM t RETAIN 0 HOURS").await.len() >= 3);
    assert_eq!(row(&engine, "SELECT sum(y) FROM t").await, "10100");
    engine.sql("DROP VIEW v").await.expect("dropped");
    engine.sql("DROP TABLE t").await.expect("dropped");
    assert!(error(&other, "SELECT * FROM t").await.contains("there is no table 't'"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_writers_each_is_told_what_became_of_its_rows() {
    let (folder, server) = server().await;
    open(&server, "s3://bucket/db").await.sql("CREATE TABLE t (writer INT, turn INT)").await.expect("made");
    let writers = (1..=3).map(|writer| {
        let config = server.config("s3://bucket/db");
        tokio::spawn(async move {
            let engine = Engine::with_config(config).await.expect("engine");
            let mut written = Vec::new();
            for turn in 0..12 {
                match engine.sql(&format!("INSERT INTO t VALUES ({writer}, {turn})")).await {
                    Ok(_) => written.push(format!("{writer}|{turn}")),
                    Err(Error::Conflict(message)) => assert!(message.contains("nothing was written"), "{message}"),
                    Err(other) => panic!("writer {writer}: {other}"),
                }
            }
            written
        })
    });
    let mut expected = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        expected.extend(writer.await.expect("a writer"));
    }
    expected.sort();
    let engine = open(&server, "s3://bucket/db").await;
    let mut found = rows(&engine, "SELECT writer, turn FROM t").await;
    found.sort();
    assert_eq!(found, expected);
    assert!(found.len() < 36, "the writers never met: nothing was tested");
    let versions = keys(&folder.path().join("bucket/db/t/_delta_log"));
    assert_eq!(versions.iter().filter(|key| key.ends_with(".json")).count(), found.len() + 1, "{versions:?}");
}

/// Requests that pass the tiers: the record of changes of several tables must be seen as it is at each moment.
fn counted(seen: &[(Call, String)]) -> usize {
    seen.iter().filter(|(_, key)| !key.ends_with("joint.json")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_files_are_fetched_once_and_logs_are_asked_for_anew() {
    let (_folder, server) = server().await;
    open(&server, "s3://bucket/db").await.sql("CREATE TABLE t AS SELECT value AS x FROM generate_series(1, 5000)").await.expect("made");
    let engine = open(&server, "s3://bucket/db").await;
    let is_data = |key: &str| key.ends_with(".parquet");
    let data = |seen: &[(Call, String)]| seen.iter().filter(|(_, key)| is_data(key)).cloned().collect::<Vec<_>>();
    let files = |seen: &[(Call, String)]| data(seen).into_iter().map(|(_, key)| key).collect::<BTreeSet<_>>();
    server.take_seen();
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502500");
    let cold = server.take_seen();
    assert!(data(&cold).iter().all(|(call, _)| *call == Call::Get), "nobody asks whether a file is still the same: {cold:?}");
    assert_eq!(data(&cold).len(), files(&cold).len(), "each once: {cold:?}");
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502500");
    let warm = server.take_seen();
    assert!(data(&warm).is_empty() && warm.iter().all(|(call, _)| matches!(call, Call::Get | Call::List)), "{warm:?}");
    assert!(warm.iter().any(|(_, key)| key.contains("_delta_log")), "{warm:?}");
    // What the statement asked for is what the server saw.
    let told = rows(&engine, "EXPLAIN ANALYZE SELECT sum(x) FROM t").await.join("\n");
    let seen = counted(&server.take_seen());
    assert!(told.contains(&format!("origin: requests={seen}, ")), "{seen} requests\n{told}");
    assert!(told.contains("memory: hits=") && told.contains(", misses=0, "), "{told}");
    // Another view of the store shares the blocks.
    open(&server, "s3://bucket/db").await.sql("INSERT INTO t VALUES (1)").await.expect("inserted");
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "12502501");
    let more = server.take_seen().into_iter().filter(|(call, _)| *call == Call::Get).collect::<Vec<_>>();
    assert!(files(&more).is_disjoint(&files(&cold)) && data(&more).len() == 1, "the new file alone: {more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strategy_tables_are_counted_and_kept_as_well() {
    let (folder, server) = server().await;
    let first = legacy_csv(folder.path(), "a.csv", "Date,S1,S2", &["2024-01-01,1,2", "2024-01-02,3,4"]);
    import(&open(&server, "s3://bucket/db").await, &first, "s").await;
    let engine = open(&server, "s3://bucket/db").await;
    let sql = "SELECT strategy, sum(pnl), max_drawdown_pnl(pnl) FROM s GROUP BY strategy ORDER BY strategy";
    for (misses, is_read) in [("misses=1", true), ("misses=0", false)] {
        server.take_seen();
        let told = rows(&engine, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
        let seen = server.take_seen();
        assert!(told.contains("RunAggregateExec") && told.contains(misses), "{told}");
        assert!(told.contains(&format!("origin: requests={}, ", counted(&seen))), "{} requests\n{told}", counted(&seen));
        assert_eq!(seen.iter().any(|(_, key)| key.ends_with(".parquet")), is_read, "{seen:?}");
    }
    assert_eq!(rows(&engine, sql).await.len(), 2);
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

/// Takes what the environment of the test says of S3 away.
fn without_credentials(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
}

/// Runs the program on a database of the server, with what it needs in its environment.
async fn program_on(server: &Server, arguments: &[&str]) -> Run {
    let mut command = program();
    without_credentials(&mut command);
    command.env("AWS_ENDPOINT", server.endpoint()).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
    command.args(["--db", "s3://bucket/db", "--format", "csv", "--quiet"]).args(arguments);
    tokio::task::spawn_blocking(move || finish(&mut command)).await.expect("the program runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_works_on_a_bucket_as_on_a_directory() {
    let (folder, server) = server().await;
    let good = async |statements: &[&str]| {
        let arguments: Vec<&str> = statements.iter().flat_map(|statement| ["-c", statement]).collect();
        program_on(&server, &arguments).await.good()
    };
    let first = legacy_csv(folder.path(), "a.csv", "Date,S1,S2", &["2024-01-01,1,2", "2024-01-02,3,4"]).display().to_string();
    let second = legacy_csv(folder.path(), "b.csv", "Date,S1,S2", &["2024-01-03,5,6"]).display().to_string();
    for source in [&first, &second] {
        program_on(&server, &["import", source, "--into", "s"]).await.good();
    }
    assert_eq!(
        good(&["SELECT strategy, sum(pnl) AS total, max_drawdown_pnl(pnl) IS NULL AS none FROM s GROUP BY strategy ORDER BY 1"])
            .await
            .lines()
            .count(),
        3
    );
    good(&["INSERT INTO s (date, strategy, pnl) VALUES (DATE '2024-01-04', 'S1', 10)", "UPDATE s SET pnl = 0 WHERE pnl = 2"]).await;
    good(&["DELETE FROM s WHERE date = DATE '2024-01-01'", "CREATE VIEW v AS SELECT sum(pnl) AS total FROM s"]).await;
    assert_eq!(good(&["SELECT total FROM v"]).await, "total\n28\n");
    assert_eq!(good(&["SELECT \"S2\" FROM s_wide ORDER BY date"]).await, "S2\n4\n6\n\n");
    good(&["RESTORE TABLE s TO VERSION AS OF 1"]).await;
    assert_eq!(
        good(&["SELECT total FROM v", "SELECT count(*) AS n FROM system.versions WHERE table_name = 's'"]).await,
        "total\n21\nn\n6\n"
    );
    let removed = good(&["VACUUM s RETAIN 0 HOURS"]).await;
    assert!(removed.contains("part-"), "{removed}");
    good(&[
        "CREATE TABLE metrics (dataset VARCHAR NOT NULL, strategy_name VARCHAR NOT NULL, sharpe_ratio DOUBLE, rank INT, trades_kept VARCHAR)",
        "CREATE TABLE trades (dataset VARCHAR NOT NULL, strategy_name VARCHAR NOT NULL, trade_no INT NOT NULL, pnl_usd DOUBLE)",
        "ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', details => 'trades', top => 1)",
    ])
    .await;
    good(&["UPSERT INTO metrics (SELECT 'D' AS dataset, column1 AS strategy_name, column2 AS sharpe_ratio FROM (VALUES ('a', 1.0), ('b', 2.0))), \
            trades (SELECT 'D' AS dataset, column1 AS strategy_name, 1 AS trade_no, column2 AS pnl_usd FROM (VALUES ('a', 3.0), ('b', 4.0)))"])
    .await;
    assert_eq!(
        good(&["SELECT strategy_name, rank FROM metrics ORDER BY rank", "SELECT sum(pnl_usd) AS kept FROM trades"]).await,
        "strategy_name,rank\nb,1\na,2\nkept\n4\n"
    );
    let retained = program_on(&server, &["retain", "metrics", "--top", "0"]).await.good();
    assert!(retained.contains('D'), "{retained}");
    assert_eq!(good(&["SELECT count(*) AS n FROM trades"]).await, "n\n0\n");
    // What one program has read lies on the disk for the next.
    let cache = folder.path().join("cache").display().to_string();
    let cached = ["--cache-dir", &cache, "-c", "SELECT sum(pnl) AS total FROM s"];
    for is_cold in [true, false] {
        server.take_seen();
        assert_eq!(program_on(&server, &cached).await.good(), "total\n21\n");
        assert_eq!(server.take_seen().iter().any(|(_, key)| key.ends_with(".parquet")), is_cold);
    }
    good(&["DROP VIEW v", "DROP TABLE s", "DROP TABLE metrics", "DROP TABLE trades"]).await;
    let left = keys(&folder.path().join("bucket"));
    let own = |key: &String| key.starts_with("db/_tranchedb/");
    assert!(left.iter().all(own), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_cannot_be_a_database_is_refused_with_the_reason() {
    let (_folder, server) = server().await;
    let refused = async |location: &str| match Engine::with_config(server.config(location)).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{location} was opened"),
    };
    for (location, parts) in [
        ("s3://nowhere/db", &["opening the database s3://nowhere/db/", "there is no bucket 'nowhere'"][..]),
        ("https://example.org/db", &["a database at https://", "take no conditional writes", "hint: give a directory or a URL of s3://"]),
        ("tape://reel/db", &["a database at tape:// is not supported", "s3://"]),
        ("s3://user:hidden@bucket/db", &["credentials belong in the environment"]),
    ] {
        let text = refused(location).await;
        parts.iter().for_each(|part| assert!(text.contains(part), "{location}: '{part}' is not in {text}"));
        assert!(!text.contains(SECRET) && !text.contains("hidden@"), "{text}");
    }
    let mut nobody = program();
    without_credentials(&mut nobody);
    finish(nobody.args(["--db", "s3://bucket/db", "-c", "SELECT 1"]))
        .refused(1, &["opening s3://bucket", "the environment holds no credentials: set AWS_ACCESS_KEY_ID"]);
    let mut wrong = server.config("s3://bucket/db");
    wrong.store_options = wrong.store_options.iter().map(|(name, value)| (name, if value == SECRET { "wrong" } else { value })).collect();
    let text = Engine::with_config(wrong).await.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("origin tier: read of 's3://bucket/db/_tranchedb/database.json'"), "{text}");
    assert!(text.contains("Check that credentials are set and have not expired") && !text.contains(KEY), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_expire_or_may_not_write_are_told_and_nothing_is_half_written() {
    let (folder, server) = server().await;
    let engine = open(&server, "s3://bucket/db").await;
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("made");
    let csv = legacy_csv(folder.path(), "a.csv", "Date,S1", &["2024-01-01,1"]);
    let before = keys(&folder.path().join("bucket"));
    server.go_wrong(|call, _| call.is_write().then_some(Fault::Denied));
    for sql in [
        "INSERT INTO t VALUES (2)",
        "UPDATE t SET x = 2",
        "CREATE TABLE u AS SELECT 1 AS x",
        "CREATE VIEW v AS SELECT 1 AS x",
        "DROP TABLE t",
    ] {
        let text = error(&engine, sql).await;
        assert!(text.contains("origin tier: ") && text.contains("s3://bucket/db/"), "{sql}: {text}");
        assert!(text.contains("Check the rights of the credentials on this path"), "{sql}: {text}");
        assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "1", "reading goes on");
    }
    let refused = engine.import(&request(&csv, "s")).await.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("Check the rights of the credentials on this path"), "{refused}");
    assert_eq!(keys(&folder.path().join("bucket")), before);

    server.go_wrong(|_, _| Some(Fault::Expired));
    let text = error(&engine, "SELECT * FROM t").await;
    assert!(text.contains("ExpiredToken") && text.contains("Check that credentials are set and have not expired"), "{text}");
    server.go_well();
    assert_eq!(row(&engine, "SELECT sum(x) FROM t").await, "1");
    engine.sql("INSERT INTO t VALUES (2)").await.expect("all is well again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_file_that_is_replaced_in_mid_query_is_an_error() {
    let (folder, server) = server().await;
    let sql = "CREATE TABLE big AS SELECT value AS x, random() AS r FROM generate_series(1, 400000)";
    open(&server, "s3://bucket/db").await.sql(sql).await.expect("made");
    let table = folder.path().join("bucket/db/big");
    let file = keys(&table).into_iter().find(|key| key.ends_with(".parquet")).expect("a file");
    let (store, file) = (folder.path().to_owned(), table.join(file));
    let mut reads = 0;
    server.go_wrong(move |call, key| {
        reads += u32::from(call == Call::Get && key.ends_with(".parquet"));
        if reads == 2 {
            let mut bytes = std::fs::read(&file).expect("the file");
            bytes[1000] ^= 1;
            std::fs::write(&file, bytes).expect("replaced");
            // The server keeps ETags beside the buckets.
            for entry in std::fs::read_dir(&store).expect("the store").map(|entry| entry.expect("an entry").path()) {
                if entry.to_string_lossy().ends_with(".internal.json") {
                    std::fs::remove_file(entry).expect("removed");
                }
            }
        }
        None
    });
    let text = error(&open(&server, "s3://bucket/db").await, "SELECT sum(x), sum(r) FROM big").await;
    assert!(text.contains("origin tier: read of 's3://bucket/db/big/part-"), "{text}");
    assert!(text.contains("Run the query again: it will read the present version"), "{text}");
}
