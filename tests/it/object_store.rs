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
