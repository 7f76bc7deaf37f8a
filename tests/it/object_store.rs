//! Files in an object store, against a real S3 server on this machine: credentials from the environment, never shown.

use std::path::Path;

use crate::program::{Run, finish, program};
use crate::support::serve;

const KEY: &str = "user-of-the-test";
const SECRET: &str = "hidden-in-the-environment";

/// Runs the program with the server's credentials in its environment.
async fn run(endpoint: &str, db: &Path, secret: &str, sql: &[&str]) -> Run {
    let mut command = program();
    command.env("AWS_ENDPOINT", endpoint).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", secret);
    command.arg("--db").arg(db).args(["--format", "csv", "-vv"]);
    sql.iter().for_each(|statement| {
        command.args(["-c", statement]);
    });
    tokio::task::spawn_blocking(move || finish(&mut command)).await.expect("the program runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_in_s3_are_tables_by_url_and_by_definition() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bucket = folder.path().join("s3/prices");
    std::fs::create_dir_all(bucket.join("daily/year=2024")).expect("bucket");
    std::fs::write(bucket.join("one.csv"), "day,price\n2024-01-01,1.5\n2024-01-02,2.5\n").expect("object");
    std::fs::write(bucket.join("daily/year=2024/a.csv"), "price\n10\n").expect("object");
    let endpoint = serve(&folder.path().join("s3"), Some((KEY, SECRET))).await;
    let db = folder.path().join("db");

    let by_url = run(&endpoint, &db, SECRET, &["SELECT sum(price) AS total FROM 's3://prices/one.csv'"]).await.good();
    assert_eq!(by_url, "total\n4\n");
    let partitioned = run(&endpoint, &db, SECRET, &["SELECT price, year FROM 's3://prices/daily/'"]).await.good();
    assert_eq!(partitioned, "price,year\n10,2024\n");

    let define = "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 's3://prices/one.csv' OPTIONS ('format.has_header' 'true')";
    run(&endpoint, &db, SECRET, &[define]).await.good();
    assert_eq!(run(&endpoint, &db, SECRET, &["SELECT count(*) AS n FROM e"]).await.good(), "n\n2\n");

    let refused = run(&endpoint, &db, "wrong", &["SELECT * FROM 's3://prices/one.csv'"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let explained = run(&endpoint, &db, SECRET, &["EXPLAIN SELECT * FROM e"]).await;
    for shown in [&refused.stdout, &refused.stderr, &explained.stdout, &explained.stderr] {
        assert!(!shown.contains(SECRET) && !shown.contains(KEY), "a credential is shown: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_once_comes_from_the_tiers_until_it_changes() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let bucket = folder.path().join("s3/prices");
    std::fs::create_dir_all(&bucket).expect("bucket");
    let (db, cache) = (folder.path().join("db"), folder.path().join("cache"));
    let write = |rows: u32| {
        let target = bucket.join("p.parquet");
        let sql = format!("COPY (SELECT value AS x FROM generate_series(1, {rows})) TO '{}'", target.display());
        finish(program().args(["--quiet", "-c", &sql])).good();
    };
    write(50_000);
    let endpoint = serve(&folder.path().join("s3"), Some((KEY, SECRET))).await;
    let total = "SELECT sum(x) AS total FROM 's3://prices/p.parquet'";
    let tiers = "SELECT tier, hits > 0 AS hit, bytes_read > 0 AS read FROM system.cache_tiers WHERE tier <> 'decoded'";
    let cached = format!("SET tranchedb.disk_tier_bytes = '{}'", 1 << 30);
    let with_cache = async |sql: &[&str]| {
        let mut command = program();
        command.env("AWS_ENDPOINT", &endpoint).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.arg("--db").arg(&db).args(["--format", "csv", "--quiet"]).arg("--cache-dir").arg(&cache);
        sql.iter().for_each(|statement| {
            command.args(["-c", statement]);
        });
        tokio::task::spawn_blocking(move || finish(&mut command)).await.expect("the program runs")
    };
    let first = with_cache(&[&cached, total, total, tiers]).await.good();
    assert!(first.contains("1250025000") && first.contains("memory,true,true") && first.contains("origin,true,true"), "{first}");
    let entries = "SELECT tier, path FROM system.cache_entries ORDER BY tier";
    let second = with_cache(&[&cached, total, tiers, entries]).await.good();
    assert!(second.contains("1250025000") && second.contains("disk,true,true"), "{second}");
    assert!(second.contains("origin,false,false"), "bytes that were there already: {second}");
    assert!(second.contains("disk,s3://prices/p.parquet"), "{second}");

    write(10);
    let changed = with_cache(&[&cached, total]).await.good();
    assert!(changed.contains("55"), "{changed}");
    let analysed = with_cache(&[&cached, &format!("EXPLAIN ANALYZE {total}")]).await.good();
    assert!(analysed.contains("origin: requests=") && analysed.contains("disk: hits="), "{analysed}");

    let requests = "SELECT requests FROM system.cache_tiers WHERE tier = 'origin'";
    let prefetch = "SELECT cache_prefetch('s3://prices/') > 0 AS prefetched";
    let moved = with_cache(&[&cached, "SELECT cache_clear('disk') > 0 AS cleared", prefetch, total, requests]).await.good();
    assert!(moved.contains("cleared\ntrue") && moved.contains("prefetched\ntrue") && moved.contains("55"), "{moved}");
    let pinned = "SELECT pinned FROM system.cache_entries WHERE tier = 'disk'";
    let pin = "SELECT cache_pin('s3://prices/p.parquet') > 0 AS kept";
    let kept = with_cache(&[&cached, pin, pinned, "SELECT cache_invalidate('s3://prices/p.parquet') AS blocks"]).await.good();
    assert!(kept.contains("kept\ntrue") && kept.contains("pinned\ntrue") && !kept.ends_with("blocks\n0\n"), "{kept}");
    let define = "CREATE EXTERNAL TABLE p STORED AS PARQUET LOCATION 's3://prices/p.parquet'";
    let held = "SELECT table_name, url, bytes > 0 AS some, disk_bytes >= bytes AS whole, pinned FROM system.files";
    let by_name =
        with_cache(&[&cached, define, "SELECT cache_clear('disk') >= 0 AS c", "SELECT cache_pin('p', 'x > 3') > 0 AS kept", held])
            .await
            .good();
    assert!(by_name.ends_with("p,s3://prices/p.parquet,true,true,true\n"), "{by_name}");
    let told = "SELECT status, rows, origin_requests > 0 AS asked, disk_bytes > 0 AS read, sql FROM system.queries WHERE sql LIKE 'SELECT sum(x)%' LIMIT 1";
    let told = with_cache(&[&cached, total, told]).await.good();
    assert!(told.contains("done,1,true,true,"), "{told}");
    for (call, parts) in [
        ("cache_clear('origin')", "holds the truth"),
        ("cache_clear('tape')", "no tier 'tape'"),
        ("cache_pin('/a/b')", "there is no table '/a/b'"),
        ("cache_pin('file:///a/b')", "files of this machine are read without these tiers"),
        ("cache_prefetch('p', 'y > 3')", "y"),
        ("cache_prefetch('s3://prices/', 'x > 3')", "a filter needs a table"),
        ("cache_prefetch('s3://prices/none.parquet')", "none.parquet"),
    ] {
        let refused = with_cache(&[&format!("SELECT {call}")]).await;
        assert!(refused.code == Some(1) || refused.code == Some(2), "{refused:?}");
        assert!(refused.stderr.contains(parts) && !refused.stderr.contains(SECRET), "{call}: {refused:?}");
    }

    let refused = with_cache(&["SET tranchedb.memory_tier_bytes = '1000'"]).await;
    assert!(refused.stderr.contains("memory tier: set limit") && refused.stderr.contains("below one block"), "{refused:?}");
    let nowhere = finish(program().args(["-c", "SET tranchedb.disk_tier_bytes = '1GB'"]));
    assert!(nowhere.stderr.contains("--cache-dir DIR"), "{nowhere:?}");
}
