//! Files by quoted path, glob and URL.

use std::fs;
use std::path::Path;

use tranchedb::Engine;

use crate::program::{Run, finish, program};
use crate::support::{error, row, serve};

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[tokio::test]
async fn globs_match_as_in_a_shell_and_never_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    write(root, "a/1.csv", "n\n1\n");
    write(root, "a/b/2.csv", "n\n2\n");
    write(root, "h/year=2024/month=1/3.csv", "n\n4\n");
    write(root, "h/year=2025/month=1/3.csv", "n\n8\n");
    write(root, "j/1/a.json", "{\"n\": 1}\n");
    write(root, "j/2/a.json", "{\"n\": 2, \"more\": \"x\"}\n");
    let engine = Engine::in_memory().await.expect("engine");
    let sum = |pattern: &str| format!("SELECT sum(n) FROM '{}/{pattern}'", root.display());
    assert_eq!(row(&engine, &sum("a/*.csv")).await, "1");
    assert_eq!(row(&engine, &sum("*/*/*.csv")).await, "2");
    assert_eq!(row(&engine, &sum("*/*/*/*.csv")).await, "12");
    assert_eq!(row(&engine, &sum("h/year=2025/*/?.csv")).await, "8");
    assert_eq!(row(&engine, &sum("**/*.csv")).await, "15");
    assert_eq!(row(&engine, &format!("SELECT count(more) FROM '{}/j/*/*.json'", root.display())).await, "1", "columns of later files");
    for pattern in ["a/*.parquet", "no/*.csv", "a/[x].csv"] {
        let message = error(&engine, &sum(pattern)).await;
        assert!(message.contains("no file") && message.contains(pattern), "{message}");
    }
    assert!(error(&engine, &sum("a/[.csv")).await.contains("not a pattern"));
    write(root, "a/[x].csv", "n\n64\n");
    assert_eq!(row(&engine, &sum("a/[x].csv")).await, "64", "a file of that very name");
    let define = |name: &str, pattern: &str| {
        let location = root.join(pattern).display().to_string();
        format!("CREATE EXTERNAL TABLE {name} (n BIGINT) STORED AS CSV LOCATION '{location}' OPTIONS ('format.has_header' 'true')")
    };
    engine.sql(&define("e", "*/b/*.csv")).await.expect("table");
    assert_eq!(row(&engine, "SELECT sum(n) FROM e").await, "2");
    assert!(error(&engine, &define("f", "z/*.csv")).await.contains("z/*.csv"));
    assert!(error(&engine, &define("f", "none.csv")).await.contains("nothing at"));
}

#[tokio::test]
async fn files_of_two_formats_are_not_read_as_one_table() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "a.csv", "n\n1\n");
    write(folder.path(), "b.ndjson", "{\"n\": 2}\n");
    write(folder.path(), "README.md", "about\n");
    let engine = Engine::in_memory().await.expect("engine");
    for place in ["", "/*"] {
        let message = error(&engine, &format!("SELECT * FROM '{}{place}'", folder.path().display())).await;
        assert!(message.contains(".csv") && message.contains(".ndjson"), "{message}");
    }
    assert_eq!(row(&engine, &format!("SELECT n FROM '{}/*.csv'", folder.path().display())).await, "1");
}

#[tokio::test]
async fn csv_files_with_other_columns_are_never_read_as_one_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    write(root, "y1.csv", "d,a,b\n1,1,2\n");
    write(root, "y2.csv", "d,b,a\n1,200,100\n");
    write(root, "db/plain/1.csv", "d,a,b\n1,1,2\n");
    write(root, "db/plain/2.csv", "d,b,a\n1,200,100\n");
    write(root, "other/1.csv", "d,a\n1,2\n");
    write(root, "other/2.csv", "d,a,b\n1,2,3\n");
    let engine = Engine::open(&root.join("db").display().to_string()).await.expect("engine");
    let here = root.display();
    let both = format!("SELECT sum(a), sum(b) FROM '{here}/y[12].csv'");
    let message = error(&engine, &both).await;
    for part in ["y1.csv", "y2.csv", "column 2 is 'b' here and 'a' there", "another order", "UNION ALL BY NAME"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let remedy = message.split_once("by name: ").expect("a remedy").1;
    assert_eq!(row(&engine, &format!("SELECT sum(a), sum(b) FROM ({remedy})")).await, "101|202");
    assert!(error(&engine, "SELECT sum(a) FROM plain").await.contains("plain/2.csv: its columns differ"), "a folder of the database");
    let message = error(&engine, &format!("SELECT * FROM '{here}/other/'")).await;
    assert!(message.contains("other/2.csv") && message.contains("column 3 is 'b' here and missing there"), "{message}");
    let external = |columns: &str, place: &str| {
        format!("CREATE EXTERNAL TABLE e{columns} STORED AS CSV LOCATION '{here}/{place}' OPTIONS ('format.has_header' 'true')")
    };
    for define in [external(" (d BIGINT, a BIGINT, b BIGINT)", "y*.csv"), external("", "db/plain/")] {
        let message = error(&engine, &define).await;
        assert!(message.contains("column 2 is 'b' here"), "{define}: {message}");
    }
    let message = error(&engine, &external("", "y*.csv")).await;
    assert!(message.contains("y1.csv") && message.contains("y2.csv"), "{message}");
    write(root, "named/1.csv", "day;x\n1;2\n");
    write(root, "named/2.csv", "Tag;wert\n1;3\n");
    let options = "OPTIONS ('format.has_header' 'true', 'format.delimiter' ';')";
    let define = format!("CREATE EXTERNAL TABLE n (d BIGINT, v BIGINT) STORED AS CSV LOCATION '{here}/named/' {options}");
    engine.sql(&define).await.expect("columns that are named by the statement");
    assert_eq!(row(&engine, "SELECT sum(v) FROM n").await, "5");
    write(root, "bare/1.csv", "1,2\n");
    write(root, "bare/2.csv", "3,4\n");
    let define = format!("CREATE EXTERNAL TABLE f STORED AS CSV LOCATION '{here}/bare/' OPTIONS ('format.has_header' 'false')");
    engine.sql(&define).await.expect("files without headers");
    assert_eq!(row(&engine, "SELECT sum(column_1), count(*) FROM f").await, "4|2");
}

#[tokio::test]
async fn headers_of_compressed_and_of_many_files_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path().display();
    let engine = Engine::in_memory().await.expect("engine");
    for (name, columns) in [("1", "1 AS a, 2 AS b"), ("2", "3 AS b, 4 AS a")] {
        engine
            .sql(&format!("COPY (SELECT {columns}) TO '{here}/z{name}.csv.gz' STORED AS CSV OPTIONS ('format.compression' 'gzip')"))
            .await
            .expect("written");
    }
    let message = error(&engine, &format!("SELECT * FROM '{here}/*.csv.gz'")).await;
    assert!(message.contains("z2.csv.gz") && message.contains("column 1 is 'b' here and 'a' there"), "{message}");
    let wide: Vec<String> = (0..1_000).map(|i| format!("strategy_{i}")).collect();
    let text = format!("{}\r\n{}\r\n", wide.join(","), vec!["1"; wide.len()].join(","));
    (0..20).for_each(|i| write(folder.path(), &format!("many/{i:02}.csv"), &text));
    assert_eq!(row(&engine, &format!("SELECT sum(strategy_999) FROM '{here}/many/'")).await, "20");
    write(folder.path(), "many/17.csv", &text.replacen("strategy_998,strategy_999", "strategy_999,strategy_998", 1));
    let message = error(&engine, &format!("SELECT sum(strategy_999) FROM '{here}/many/'")).await;
    assert!(message.contains("many/17.csv") && message.contains("many/00.csv") && message.contains("column 999"), "{message}");
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "w/1.csv", "a\n1\n");
    write(folder.path(), "notes.txt", "a\n1\n");
    let db = folder.path().join("db");
    let at = |sql: &str| finish(program().current_dir(folder.path()).arg("--db").arg(&db).args(["--quiet", "-c", sql]));
    let nope = folder.path().join("nope.csv").display().to_string();
    at("SELECT * FROM 'nope.csv'").refused(1, &["there is no file 'nope.csv': nothing is at ", &nope]);
    at("SELECT * FROM 'w'").refused(1, &["there is no table 'w'", "write 'w/'"]);
    assert!(at("SELECT a FROM 'w/'").good().contains('1'));
    at("SELECT * FROM 'notes.txt'").refused(1, &["the format of the file 'notes.txt' is unknown", "csv"]);
    at("SELECT * FROM nope.csv").refused(1, &["in quotes: 'nope.csv'"]);
    at("SELECT * FROM nope").refused(1, &["there is no table 'nope'"]);
}

#[tokio::test]
async fn hidden_files_and_folders_are_no_rows_of_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("db");
    write(&db, "g/a.csv", "n\n1\n");
    write(&db, "g/b/c.csv", "n\n2\n");
    for (i, name) in
        ["_tmp/z.csv", ".copy-abc.tmp/y.csv", "b/_x/.y/z.csv", "_u.csv", ".v.csv", "b/.copy-1.tmp/w.parquet"].iter().enumerate()
    {
        write(&db, &format!("g/{name}"), &format!("n\n{}\n", 1 << (i + 4)));
    }
    write(&db, "h/_part=1/a.csv", "n\n4\n");
    let engine = Engine::open(&db.display().to_string()).await.expect("engine");
    let location = db.join("g").display().to_string();
    for place in [
        "g".to_owned(),
        format!("'{location}'"),
        format!("'{location}/'"),
        format!("'file://{location}/'"),
        format!("'{location}/**/*.csv'"),
    ] {
        assert_eq!(row(&engine, &format!("SELECT sum(n) FROM {place}")).await, "3", "{place}");
    }
    let define = format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{location}/' OPTIONS ('format.has_header' 'true')");
    engine.sql(&define).await.expect("table");
    assert_eq!(row(&engine, "SELECT sum(n) FROM e").await, "3");
    assert_eq!(row(&engine, "SELECT _part, n FROM h WHERE _part = '1'").await, "1|4", "a partition whose column begins with _");
    assert_eq!(row(&engine, &format!("SELECT n FROM '{location}/_tmp/'")).await, "16", "named itself");
    assert_eq!(row(&engine, &format!("SELECT n FROM '{location}/_u.csv'")).await, "128", "named itself");
}

#[tokio::test]
async fn files_that_are_added_later_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "a/1.csv", "n\n1\n");
    let engine = Engine::in_memory().await.expect("engine");
    let location = folder.path().join("a/").display().to_string();
    let define = format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{location}' OPTIONS ('format.has_header' 'true')");
    engine.sql(&define).await.expect("table");
    let by_path = format!("SELECT count(*) FROM '{location}'");
    assert_eq!((row(&engine, &by_path).await, row(&engine, "SELECT count(*) FROM e").await), ("1".into(), "1".into()));
    write(folder.path(), "a/2.csv", "n\n2\n");
    assert_eq!((row(&engine, &by_path).await, row(&engine, "SELECT count(*) FROM e").await), ("2".into(), "2".into()));
    write(folder.path(), "a/2.csv", "n\n2\n3\n");
    assert_eq!((row(&engine, &by_path).await, row(&engine, "SELECT count(*) FROM e").await), ("3".into(), "3".into()));
    fs::remove_file(folder.path().join("a/1.csv")).expect("removed");
    assert_eq!((row(&engine, &by_path).await, row(&engine, "SELECT count(*) FROM e").await), ("2".into(), "2".into()));
}

/// Variables that would reach a cloud of this machine's own.
const CLOUD_VARIABLES: &[&str] = &["AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_KEY"];

async fn run(db: &Path, variables: &[(&str, &str)], sql: &[&str]) -> Run {
    let mut command = program();
    CLOUD_VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("HOME", db).envs(variables.iter().copied());
    command.arg("--db").arg(db).args(["--format", "csv", "--quiet"]);
    sql.iter().for_each(|statement| {
        command.args(["-c", statement]);
    });
    tokio::task::spawn_blocking(move || finish(&mut command)).await.expect("the program runs")
}

/// A folder with a bucket of a Parquet and a CSV file.
async fn bucket() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "prices/one.csv", "day,price\n2024-01-01,1.5\n2024-01-02,2.5\n");
    let engine = Engine::in_memory().await.expect("engine");
    let target = folder.path().join("prices/many.parquet");
    let copy = format!("COPY (SELECT value, value * 0.5 AS half FROM generate_series(1, 200000)) TO '{}'", target.display());
    engine.sql(&copy).await.expect("written");
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_a_web_server_are_tables() {
    let folder = bucket().await;
    let (db, server) = (folder.path().join("db"), serve(folder.path(), None).await);
    let csv = format!("SELECT sum(price) AS total FROM '{server}/prices/one.csv'");
    let parquet = format!("SELECT sum(half) AS s FROM '{server}/prices/many.parquet' WHERE value <= 4");
    assert_eq!(run(&db, &[], &[&csv, &parquet]).await.good(), "total\n4\ns\n5\n");
    let define = format!("CREATE EXTERNAL TABLE w STORED AS PARQUET LOCATION '{server}/prices/many.parquet'");
    run(&db, &[], &[&define]).await.good();
    assert_eq!(run(&db, &[], &["SELECT count(*) AS n, max(value) AS m FROM w"]).await.good(), "n,m\n200000,200000\n");
    let missing = format!("SELECT * FROM '{server}/prices/none.csv'");
    run(&db, &[], &[&missing]).await.refused(1, &["none.csv"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_and_azure_files_are_tables_with_settings_from_the_environment() {
    let folder = bucket().await;
    let (db, server) = (folder.path().join("db"), serve(folder.path(), None).await);
    let google = [("GOOGLE_BASE_URL", server.as_str()), ("GOOGLE_ALLOW_HTTP", "true"), ("GOOGLE_SKIP_SIGNATURE", "true")];
    let azure = [
        ("AZURE_STORAGE_ENDPOINT", server.as_str()),
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_SKIP_SIGNATURE", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
    ];
    for (scheme, variables) in [("gs", &google[..]), ("az", &azure[..])] {
        let by_url = format!("SELECT sum(price) AS total FROM '{scheme}://prices/one.csv'");
        assert_eq!(run(&db, variables, &[&by_url]).await.good(), "total\n4\n", "{scheme}");
        let define = format!("CREATE EXTERNAL TABLE t_{scheme} STORED AS PARQUET LOCATION '{scheme}://prices/many.parquet'");
        run(&db, variables, &[&define]).await.good();
        let count = format!("SELECT count(*) AS n FROM t_{scheme}");
        assert_eq!(run(&db, variables, &[&count]).await.good(), "n\n200000\n", "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_credentials_are_told_by_name_without_asking_a_network() {
    let folder = tempfile::tempdir().expect("a folder");
    // Every request would go through this proxy, that of a cloud machine's own service as well.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    proxy.set_nonblocking(true).expect("set");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let variables =
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"].map(|name| (name, address.as_str()));
    let no_exceptions = [("NO_PROXY", ""), ("no_proxy", "")];
    let variables = [&variables[..], &no_exceptions[..]].concat();
    for (scheme, variable) in [("s3", "AWS_ACCESS_KEY_ID"), ("gs", "GOOGLE_APPLICATION_CREDENTIALS"), ("az", "AZURE_STORAGE_ACCOUNT_KEY")] {
        let by_url = format!("SELECT * FROM '{scheme}://bucket/x.csv'");
        let define = format!("CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{scheme}://bucket/x.parquet'");
        let copy = format!("COPY (SELECT 1 AS a) TO '{scheme}://bucket/x.parquet'");
        for sql in [by_url, define, copy] {
            run(&folder.path().join("db"), &variables, &[&sql]).await.refused(1, &[variable, &format!("{scheme}://bucket")]);
        }
    }
    let asked = proxy.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock), "the network was asked");
    // The proxy is the way to the network: with leave to ask the service, it is asked there.
    let allowed = [&variables[..], &[("AWS_ALLOW_HTTP", "true"), ("AWS_METADATA_ENDPOINT", "http://metadata.invalid")][..]].concat();
    let asking = tokio::task::spawn_blocking(move || {
        while proxy.accept().is_err() {
            std::thread::yield_now();
        }
    });
    run(&folder.path().join("db"), &allowed, &["SELECT * FROM 's3://bucket/x.csv'"]).await.refused(1, &["s3://bucket"]);
    asking.await.expect("asked");
    let unnamed = run(&folder.path().join("db"), &[("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")], &["SELECT * FROM 'az://bucket/x.csv'"]).await;
    unnamed.refused(1, &["AZURE_STORAGE_ACCOUNT_NAME"]);
    run(&folder.path().join("db"), &[], &["SELECT * FROM 'ftp://bucket/x.csv'"]).await.refused(1, &["ftp", "https"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_to_a_store_appears_whole_or_not_at_all() {
    let folder = bucket().await;
    let (db, server) = (folder.path().join("db"), serve(folder.path(), None).await);
    let aws = [("AWS_ENDPOINT", server.as_str()), ("AWS_ALLOW_HTTP", "true"), ("AWS_SKIP_SIGNATURE", "true"), ("AWS_REGION", "us-east-1")];
    let target = folder.path().join("prices/out.csv");
    let failing = "COPY (SELECT value, 1 / (value - 900000) AS x FROM generate_series(1, 1000000)) TO 's3://prices/out.csv'";
    run(&db, &aws, &[failing]).await.refused(1, &["ivide by zero"]);
    assert!(!target.exists());
    let good = "COPY (SELECT value FROM generate_series(1, 3000000)) TO 's3://prices/out.csv'";
    assert_eq!(run(&db, &aws, &[good]).await.good(), "count\n3000000\n");
    let written = fs::metadata(&target).expect("the object").len();
    assert!(written > 20_000_000, "one upload in parts: {written}");
    run(&db, &aws, &[failing]).await.refused(1, &["ivide by zero"]);
    assert_eq!(fs::metadata(&target).expect("the object").len(), written);
}
