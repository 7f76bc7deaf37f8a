//! Files of tables in other places: the same answers wherever they lie, one commit a movement, nothing lost and nothing left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tranchedb::Engine;
use tranchedb::config::{EngineConfig, TableConfig};
use tranchedb::ingest::{GenerateRequest, Target};

use crate::program::{Run, finish, program};
use crate::support::{error, legacy_csv, row, rows, serve};

/// Queries over the tables of [`fill`], by every way in which files are read.
const QUERIES: &[&str] = &[
    "SELECT strategy, sharpe_ratio(pnl), max_drawdown_pnl(pnl ORDER BY date), count(*) FROM s GROUP BY strategy ORDER BY strategy",
    "SELECT year, count(*), sum(pnl), min(date), max(date) FROM s GROUP BY year ORDER BY year",
    "SELECT strategy_a, strategy_b, correlation, n FROM correlation_pairs(s) ORDER BY strategy_a, strategy_b",
    "SELECT a.strategy AS a, b.strategy AS b, corr(a.pnl, b.pnl) AS c FROM s a JOIN s b USING (date) WHERE a.strategy < b.strategy GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT * FROM s_wide ORDER BY date LIMIT 5",
    "SELECT day, sum(v) AS v, count(*) AS n FROM p GROUP BY day ORDER BY day",
    "SELECT count(*) AS n FROM p VERSION AS OF 1",
    "SELECT p.day, p.v, s.pnl FROM p JOIN s ON p.day = s.date WHERE s.strategy = (SELECT min(strategy) FROM s) ORDER BY p.day, p.v",
];

/// A strategy table over several years and a plain table of four files.
async fn fill(engine: &Engine) {
    let request = GenerateRequest { share_nulls: 0.05, ..GenerateRequest::new(12, 600, 7, Target::Table("s".into())) };
    engine.generate(&request).await.expect("generated");
    for statement in [
        "CREATE TABLE p (day DATE, v DOUBLE, name VARCHAR)",
        "INSERT INTO p VALUES ('2022-01-03', 1.5, 'a')",
        "INSERT INTO p VALUES ('2022-01-04', 2.5, 'b'), ('2022-01-05', 3.5, 'c')",
        "INSERT INTO p VALUES ('2022-02-01', 4.5, 'd'), ('2023-05-02', 5.5, 'e')",
        "INSERT INTO p VALUES ('2023-05-03', 6.5, NULL)",
    ] {
        engine.sql(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

async fn open(db: &Path, locations: &[(&str, &Path)]) -> Engine {
    let locations = locations.iter().map(|(name, path)| ((*name).to_owned(), format!("file://{}", path.display())));
    let config =
        EngineConfig { location: Some(db.display().to_string()), locations: locations.collect::<BTreeMap<_, _>>(), ..Default::default() };
    Engine::with_config(config).await.expect("engine")
}

/// A filled database with the location `cold` beside it.
async fn database() -> (TempDir, PathBuf, PathBuf, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (db, cold) = (folder.path().join("db"), folder.path().join("cold"));
    let engine = open(&db, &[("cold", &cold)]).await;
    fill(&engine).await;
    (folder, db, cold, engine)
}

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("entry").path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = vec![];
    walk(folder, &mut found);
    let mut names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder).expect("below").display().to_string()).collect();
    names.sort();
    names
}

fn parquet(folder: &Path) -> usize {
    files(folder).iter().filter(|file| file.ends_with(".parquet")).count()
}

async fn answers(engine: &Engine) -> Vec<Vec<String>> {
    let mut all = vec![];
    for query in QUERIES {
        all.push(rows(engine, query).await);
    }
    all
}

#[tokio::test]
async fn answers_do_not_depend_on_where_files_lie() {
    let (_folder, _, cold, engine) = database().await;
    let before = answers(&engine).await;
    let years = rows(&engine, "SELECT DISTINCT year FROM s ORDER BY year").await;
    assert!(years.len() > 2, "{years:?}");
    let version = row(&engine, "SELECT max(version) FROM system.versions WHERE table_name = 's'").await;

    let planned = row(&engine, &format!("ALTER TABLE s SET TIER 'cold' WHERE year = {} DRY RUN", years[0])).await;
    assert!(planned.starts_with("cold|1|") && planned.ends_with("|0"), "{planned}");
    assert_eq!(files(&cold).len(), 0, "a dry run copies nothing");
    let moved = row(&engine, &format!("ALTER TABLE s SET TIER 'cold' WHERE year = {}", years[0])).await;
    assert_eq!(moved, planned);
    let p = row(&engine, "ALTER TABLE p SET TIER 'cold' WHERE day < '2022-03-01'").await;
    let places = "SELECT count(*), count(*) FILTER (WHERE tier = 'cold' AND url LIKE '%/cold/p/%'), count(*) FILTER (WHERE tier = 'hot' AND url LIKE '%/db/p/%') FROM system.files WHERE table_name = 'p'";
    let counted: Vec<u32> = row(&engine, places).await.split('|').map(|n| n.parse().expect("number")).collect();
    assert!(counted[1] > 0 && counted[2] > 0 && counted[1] + counted[2] == counted[0], "{counted:?}");
    assert!(p.starts_with("cold|2|") && p.ends_with("|1"), "one file has rows before and after: {p}");
    assert_eq!(parquet(&cold), 3);
    assert_eq!(answers(&engine).await, before);
    assert_eq!(
        row(&engine, &format!("SELECT count(*) FROM s VERSION AS OF {version}")).await,
        row(&engine, "SELECT count(*) FROM s").await
    );
    let statement = "SELECT statement FROM system.versions WHERE table_name = 'p' ORDER BY version DESC LIMIT 1";
    assert_eq!(row(&engine, statement).await, "ALTER TABLE p SET TIER 'cold' WHERE day < '2022-03-01'");

    assert!(row(&engine, "ALTER TABLE s SET TIER 'cold'").await.starts_with(&format!("cold|{}|", years.len() - 1)), "the rest");
    assert!(row(&engine, "ALTER TABLE s SET TIER 'cold'").await.starts_with("cold|0|0|"), "nothing is left to move");
    assert_eq!(answers(&engine).await, before);
    row(&engine, "ALTER TABLE s SET TIER 'hot' WHERE date >= '2016-01-01' AND year > 2015").await;
    row(&engine, "ALTER TABLE p SET TIER 'hot'").await;
    assert_eq!(answers(&engine).await, before);
}

#[tokio::test]
async fn a_moved_table_changes_as_any_other() {
    let (folder, db, cold, engine) = database().await;
    drop(engine);
    let twin = folder.path().join("twin");
    let copied = std::process::Command::new("cp").arg("-r").args([&db, &twin]).status().expect("cp");
    assert!(copied.success());
    let (moved, still) = (open(&db, &[("cold", &cold)]).await, open(&twin, &[]).await);
    row(&moved, "ALTER TABLE s SET TIER 'cold'").await;
    row(&moved, "ALTER TABLE p SET TIER 'cold'").await;
    let csv = legacy_csv(folder.path(), "more.csv", "Date,NEW 1,NEW 2", &["2016-03-02,1,2", "2016-03-03,3,4", "2025-03-03,5,6"]);
    for engine in [&moved, &still] {
        for statement in [
            "INSERT INTO p VALUES ('2024-01-01', 7.5, 'f')",
            "UPDATE p SET v = v + 1 WHERE day < '2022-01-05'",
            "DELETE FROM p WHERE day = '2022-02-01'",
            "DELETE FROM s WHERE date BETWEEN '2016-03-01' AND '2016-03-10'",
            "UPDATE s SET pnl = 0 WHERE strategy = (SELECT max(strategy) FROM s) AND year = 2015",
        ] {
            engine.sql(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}")).collect().await.expect(statement);
        }
        crate::support::import(engine, &csv, "s").await;
    }
    assert_eq!(answers(&moved).await, answers(&still).await);
    assert!(row(&moved, "ALTER TABLE s SET TIER 'cold' WHERE year < 2100").await.starts_with("cold|"), "new files move too");
    assert_eq!(answers(&moved).await, answers(&still).await);

    for (engine, table) in [(&moved, "p"), (&still, "p"), (&moved, "s"), (&still, "s")] {
        engine.sql(&format!("RESTORE TABLE {table} TO VERSION AS OF 1")).await.unwrap_or_else(|e| panic!("{table}: {e}"));
    }
    assert_eq!(rows(&moved, QUERIES[5]).await, rows(&still, QUERIES[5]).await);
    // Version 1 of `s` is the movement here and the first change there.
    assert_eq!(row(&moved, "SELECT count(*) FROM s").await, row(&still, "SELECT count(*) FROM s VERSION AS OF 0").await);
}

#[tokio::test]
async fn what_no_version_needs_goes_from_every_place() {
    let (_folder, db, cold, engine) = database().await;
    let before = answers(&engine).await;
    row(&engine, "ALTER TABLE s SET TIER 'cold'").await;
    let hot = parquet(&db.join("s"));
    assert_eq!(hot, parquet(&cold), "the originals serve older versions");
    assert_eq!(rows(&engine, "VACUUM s RETAIN 0 HOURS DRY RUN").await.len(), hot);
    rows(&engine, "VACUUM s RETAIN 0 HOURS").await;
    assert_eq!((parquet(&db.join("s")), parquet(&cold)), (0, hot));
    assert_eq!(answers(&engine).await, before);

    // What a program left that died before its commit, and a table of the same name of another database.
    let of_table = cold.join("s").join(fs::read_dir(cold.join("s")).expect("folder").next().expect("id").expect("entry").file_name());
    fs::write(of_table.join("part-left.parquet"), "half a file").expect("written");
    let other = cold.join("s/other-table");
    fs::create_dir_all(&other).expect("folder");
    fs::write(other.join("part-other.parquet"), "somebody's").expect("written");
    let swept = rows(&engine, "VACUUM s RETAIN 0 HOURS").await;
    assert!(swept.iter().any(|file| file.ends_with("part-left.parquet")) && !of_table.join("part-left.parquet").exists(), "{swept:?}");
    assert!(other.join("part-other.parquet").exists() && swept.iter().all(|file| !file.contains("other-table")), "{swept:?}");

    row(&engine, "ALTER TABLE s SET TIER 'hot'").await;
    assert_eq!(parquet(&cold), hot + 1, "older versions lie there");
    rows(&engine, "VACUUM s RETAIN 0 HOURS").await;
    assert_eq!(files(&cold), ["s/other-table/part-other.parquet"]);
    assert_eq!(answers(&engine).await, before);

    row(&engine, "ALTER TABLE p SET TIER 'cold'").await;
    engine.sql("DROP TABLE p").await.expect("dropped");
    assert_eq!(files(&cold), ["s/other-table/part-other.parquet"], "a dropped table leaves nothing");
    assert!(!db.join("p").exists() || files(&db.join("p")).is_empty());
}

#[tokio::test]
async fn a_place_that_is_not_configured_is_named_with_the_remedy() {
    let (_folder, db, _, engine) = database().await;
    let years = rows(&engine, "SELECT DISTINCT year FROM s ORDER BY year").await;
    row(&engine, &format!("ALTER TABLE s SET TIER 'cold' WHERE year = {}", years[0])).await;
    row(&engine, "ALTER TABLE p SET TIER 'cold'").await;
    drop(engine);
    let without = open(&db, &[]).await;
    for query in [QUERIES[0], QUERIES[1], QUERIES[2], "SELECT sum(v) FROM p"] {
        let message = error(&without, query).await;
        let table = if query.ends_with('p') { "table 'p'" } else { "table 's'" };
        assert!([table, "location 'cold'", "part-", "[locations.cold]"].iter().all(|part| message.contains(part)), "{query}: {message}");
    }
    let rest = format!("SELECT count(*) FROM s WHERE year = {}", years[1]);
    assert!(row(&without, &rest).await.parse::<u64>().expect("a number") > 0, "files that are there are read");
    for statement in ["VACUUM p RETAIN 0 HOURS", "DROP TABLE p", "ALTER TABLE p SET TIER 'hot'"] {
        let message = error(&without, statement).await;
        assert!(message.contains("location 'cold'") && message.contains("[locations.cold]"), "{statement}: {message}");
    }
    assert_eq!(row(&without, "SELECT count(*) FROM system.tables WHERE table_name = 'p'").await, "1", "nothing was dropped");
}

#[tokio::test]
async fn what_cannot_move_is_refused() {
    let (_folder, _, cold, engine) = database().await;
    for (statement, parts) in [
        ("ALTER TABLE s SET TIER 'tape'", ["no tier 'tape'", "hot, cold"]),
        ("ALTER TABLE s SET TIER 'cold' WHERE pnl > 0", ["column 'pnl'", "date, year"]),
        ("ALTER TABLE p SET TIER 'cold' WHERE name = 'a'", ["column 'name'", "day"]),
        ("ALTER TABLE nothing SET TIER 'cold'", ["'nothing'", "not a table"]),
        ("ALTER TABLE s_wide SET TIER 'cold'", ["'s_wide'", "not a table"]),
        ("ALTER TABLE s SET TIER 'cold' WHERE yaer = 2020", ["yaer", "year"]),
        ("APPLY TIER RULES FOR s", ["'s' has no rule", "older_than"]),
    ] {
        let message = error(&engine, statement).await;
        assert!(parts.iter().all(|part| message.contains(part)), "{statement}: {message}");
    }
    for nothing in ["year < NULL", "day < NULL", "day IS NULL", "day > '2100-01-01'", "false"] {
        let table = if nothing.starts_with("day") { "p" } else { "s" };
        let done = row(&engine, &format!("ALTER TABLE {table} SET TIER 'cold' WHERE {nothing}")).await;
        assert_eq!(done, "cold|0|0|0", "{nothing}");
    }
    for (condition, count) in
        [("day < now() AND day >= '2023-05-03'", 1), ("day IN ('2022-01-03')", 1), ("day IS NOT NULL", 4), ("true", 4)]
    {
        let done = row(&engine, &format!("ALTER TABLE p SET TIER 'cold' WHERE {condition} DRY RUN")).await;
        assert!(done.starts_with(&format!("cold|{count}|")), "{condition}: {done}");
    }
    assert_eq!(files(&cold).len(), 0);
}

#[tokio::test]
async fn rules_move_what_is_older_and_nothing_moves_by_itself() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (db, cold) = (folder.path().join("db"), folder.path().join("cold"));
    let plain = open(&db, &[]).await;
    fill(&plain).await;
    plain.sql("INSERT INTO p SELECT current_date, 8.5, 'now'").await.expect("inserted");
    plain.sql("INSERT INTO p VALUES (current_date - INTERVAL '3 years', 9.5, 'then'), (current_date, 9.5, 'now')").await.expect("inserted");
    drop(plain);
    fs::write(
        db.join("tranchedb.toml"),
        "[locations.cold]\nurl = \"../cold\"\n[tables.p]\nmove_to = \"cold\"\nolder_than = \"2 years\"\n[tables.later]\nmove_to = \"cold\"\nolder_than = \"1 day\"\n",
    )
    .expect("written");
    let engine = Engine::open(&db.display().to_string()).await.expect("engine");
    let before = rows(&engine, "SELECT * FROM p ORDER BY day, v").await;
    assert_eq!(
        rows(&engine, "SELECT table_name FROM system.tables WHERE table_name LIKE 'tranche%'").await,
        [""; 0],
        "no table of its own"
    );
    let planned = row(&engine, "APPLY TIER RULES DRY RUN").await;
    assert!(planned.starts_with("p|cold|4|") && planned.ends_with("|1"), "{planned}");
    assert_eq!(files(&cold).len(), 0);
    assert_eq!(row(&engine, "APPLY TIER RULES FOR p").await, planned);
    assert_eq!(row(&engine, "APPLY TIER RULES").await, "p|cold|0|0|1");
    assert_eq!(parquet(&cold), 4);
    assert_eq!(rows(&engine, "SELECT * FROM p ORDER BY day, v").await, before);
    assert!(error(&engine, "APPLY TIER RULES FOR later").await.contains("'later'"));
}

/// Runs the program on a database with an S3 server's credentials in its environment.
async fn with_s3(endpoint: &str, db: &Path, statements: &[&str]) -> Run {
    let mut command = program();
    command.env("AWS_ENDPOINT", endpoint).env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "hidden-in-the-environment");
    command.arg("--db").arg(db).args(["--format", "csv", "--quiet"]);
    statements.iter().for_each(|statement| {
        command.args(["-c", statement]);
    });
    tokio::task::spawn_blocking(move || finish(&mut command)).await.expect("the program runs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_table_lies_in_a_directory_and_in_s3() {
    let (folder, db, _, engine) = database().await;
    let years = rows(&engine, "SELECT DISTINCT year FROM s ORDER BY year").await;
    drop(engine);
    let bucket = folder.path().join("s3/archive");
    fs::create_dir_all(&bucket).expect("bucket");
    let endpoint = serve(&folder.path().join("s3"), Some(("key", "hidden-in-the-environment"))).await;
    let before = with_s3(&endpoint, &db, QUERIES).await.good();
    fs::write(db.join("tranchedb.toml"), "[locations.cold]\nurl = \"../cold\"\n[locations.far]\nurl = \"s3://archive/tranchedb\"\n")
        .expect("written");

    let far = format!("ALTER TABLE s SET TIER 'far' WHERE year = {}", years[0]);
    let cold = format!("ALTER TABLE s SET TIER 'cold' WHERE year = {}", years[1]);
    with_s3(&endpoint, &db, &[&far, &cold, "ALTER TABLE p SET TIER 'far' WHERE day < '2022-01-31'"]).await.good();
    assert_eq!(parquet(&bucket.join("tranchedb/s")), 1, "{:?}", files(&bucket));
    assert_eq!(with_s3(&endpoint, &db, QUERIES).await.good(), before);
    let analysed =
        with_s3(&endpoint, &db, &[&format!("EXPLAIN ANALYZE {}", QUERIES[1]), &format!("EXPLAIN ANALYZE {}", QUERIES[1])]).await.good();
    let figures: Vec<_> = analysed.lines().filter(|line| line.starts_with("origin: requests=")).collect();
    assert!(figures.len() == 2 && !figures[0].starts_with("origin: requests=0"), "{analysed}");
    assert!(figures[1].starts_with("origin: requests=0"), "what never changes is not asked for again: {analysed}");

    let other = with_s3("http://127.0.0.1:9", &db, &["SELECT count(*) AS n FROM p WHERE day > '2023-01-01'"]).await.good();
    assert_eq!(other, "n\n2\n", "files of the table's own folder do not need the server");
    with_s3(&endpoint, &db, &["DELETE FROM s WHERE strategy = (SELECT min(strategy) FROM s)", "ALTER TABLE p SET TIER 'hot'"]).await.good();
    with_s3(&endpoint, &db, &["VACUUM s RETAIN 0 HOURS", "VACUUM p RETAIN 0 HOURS"]).await.good();
    assert_eq!(parquet(&bucket), 0, "{:?}", files(&bucket));
    let refused = finish(program().arg("--db").arg(&db).args(["-c", "ALTER TABLE p SET TIER 'far'"]));
    let message = refused.refused(1, &["AWS_ACCESS_KEY_ID"]);
    assert!(!message.contains("hidden"), "{message}");
}

/// Settings of an engine that reaches an S3 server.
fn reaching(endpoint: &str) -> EngineConfig {
    let options = [
        ("aws_endpoint", endpoint),
        ("allow_http", "true"),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "hidden-in-the-options"),
    ];
    EngineConfig { store_options: options.into_iter().collect(), ..EngineConfig::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_asked_for_anew_as_often_as_a_session_wants() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let object = folder.path().join("archive/x.csv");
    fs::create_dir_all(folder.path().join("archive")).expect("bucket");
    let write = |value: &str| fs::write(&object, format!("n\n{value}\n")).expect("written");
    write("1");
    let endpoint = serve(folder.path(), Some(("key", "hidden-in-the-options"))).await;
    let engine = Engine::with_config(reaching(&endpoint)).await.expect("engine");
    let total = "SELECT sum(n) FROM 's3://archive/x.csv'";
    assert_eq!(row(&engine, total).await, "1");
    write("22");
    assert_eq!(row(&engine, total).await, "22", "every query asks, if nothing else is said");
    engine.sql("SET tranchedb.max_staleness = '1h'").await.expect("set");
    assert_eq!(row(&engine, "SHOW tranchedb.max_staleness").await, "tranchedb.max_staleness|1h");
    write("333");
    assert_eq!(row(&engine, total).await, "22", "known since less than an hour");
    assert_ne!(row(&engine, "REFRESH TABLE 's3://archive/x.csv'").await, "0");
    assert_eq!(row(&engine, total).await, "333");
    engine
        .sql("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION 's3://archive/x.csv' OPTIONS ('format.has_header' 'true')")
        .await
        .expect("table");
    write("4444");
    assert_eq!(row(&engine, "SELECT sum(n) FROM x").await, "333");
    row(&engine, "REFRESH TABLE x").await;
    assert_eq!(row(&engine, "SELECT sum(n) FROM x").await, "4444");
    write("55555");
    engine.sql("SET tranchedb.max_staleness = '0s'").await.expect("set");
    assert_eq!(row(&engine, total).await, "55555");
    for (statement, part) in [
        ("SET tranchedb.max_staleness = 'soon'", "30s"),
        ("REFRESH TABLE nothing", "no table 'nothing'"),
        ("REFRESH TABLE 'tape://reel/x'", "no store for tape"),
    ] {
        let message = error(&engine, statement).await;
        assert!(message.contains(part), "{statement}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_passes_the_tiers_that_the_configuration_names() {
    let (folder, db, _, engine) = database().await;
    let before = answers(&engine).await;
    drop(engine);
    fs::create_dir_all(folder.path().join("s3/archive")).expect("bucket");
    let endpoint = serve(&folder.path().join("s3"), Some(("key", "hidden-in-the-options"))).await;
    let tables = [("s".to_owned(), TableConfig { tiers: Some(vec![]), ..TableConfig::default() })];
    let config = EngineConfig {
        location: Some(db.display().to_string()),
        locations: BTreeMap::from([("far".to_owned(), "s3://archive/far".to_owned())]),
        tables: BTreeMap::from(tables),
        ..reaching(&endpoint)
    };
    let engine = Engine::with_config(config).await.expect("engine");
    for table in ["s", "p"] {
        row(&engine, &format!("ALTER TABLE {table} SET TIER 'far'")).await;
    }
    assert_eq!(answers(&engine).await, before);
    let held = |table: &str| format!("SELECT count(*) FROM system.cache_entries WHERE path LIKE 's3://archive/far/{table}/%'");
    assert_eq!(row(&engine, &held("s")).await, "0");
    assert_ne!(row(&engine, &held("p")).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_movement_leaves_the_old_or_the_new_version() {
    let (_folder, db, cold, engine) = database().await;
    let before = answers(&engine).await;
    drop(engine);
    fs::write(db.join("tranchedb.toml"), "[locations.cold]\nurl = \"../cold\"\n").expect("written");
    for (round, tier) in ["cold", "hot", "cold", "hot", "cold", "hot", "cold", "hot"].iter().enumerate() {
        let statement = format!("ALTER TABLE s SET TIER '{tier}'");
        let mut child = program().arg("--db").arg(&db).args(["--quiet", "-c", &statement]).spawn().expect("the program starts");
        tokio::time::sleep(Duration::from_millis(60 + 40 * round as u64)).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
        let engine = open(&db, &[("cold", &cold)]).await;
        assert_eq!(answers(&engine).await, before, "round {round}");
    }
    let engine = open(&db, &[("cold", &cold)]).await;
    row(&engine, "ALTER TABLE s SET TIER 'hot'").await;
    rows(&engine, "VACUUM s RETAIN 0 HOURS").await;
    // A directory does not list what was not yet whole when the program died.
    let left: Vec<_> = files(&cold).into_iter().filter(|file| !file.contains('#')).collect();
    assert_eq!(left, [""; 0], "what was left is gone");
    assert_eq!(answers(&engine).await[0], before[0]);
}

#[tokio::test]
async fn the_configuration_file_comes_after_the_command_line() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let db = folder.path().join("db");
    fs::create_dir_all(&db).expect("folder");
    let limits = "SELECT tier, limit_bytes FROM system.cache_tiers WHERE tier = 'memory'";
    fs::write(db.join("tranchedb.toml"), "[tiers]\nmemory = \"64MiB\"\ndecoded = \"3MB\"\n").expect("written");
    let run = |more: &[&str]| finish(program().arg("--db").arg(&db).args(["--format", "csv", "--quiet", "-c", limits]).args(more));
    assert_eq!(run(&[]).good(), "tier,limit_bytes\nmemory,67108864\n");
    assert_eq!(run(&["--memory-tier", "8MiB"]).good(), "tier,limit_bytes\nmemory,8388608\n");
    assert!(run(&["-c", "SHOW tranchedb.decoded_tier_bytes"]).good().contains("3000000"));
    let other = folder.path().join("other.toml");
    fs::write(&other, "[tiers]\nmemory = \"32MiB\"\n").expect("written");
    let named = run(&["--config", &other.display().to_string(), "-c", "SHOW tranchedb.decoded_tier_bytes"]).good();
    assert!(named.contains("memory,33554432") && !named.contains("3000000"), "the file that is named is the one that is read: {named}");
    run(&["--config", "/nowhere/tranchedb.toml"]).refused(2, &["/nowhere/tranchedb.toml", "cannot be read"]);
    for (text, parts) in [
        ("[tiers]\nmemroy = \"1GiB\"\n", &["tranchedb.toml, line 2, column 1", "memroy", "memory"][..]),
        ("[locations.inside]\nurl = \"cold\"\n", &["'inside'", "inside of the database"]),
        ("[locations.x]\nurl = \"ftp://host/x\"\n", &["line 2, column 7", "ftp", "s3"]),
        ("[locations.x]\nurl = \"s3://key:hidden@bucket/x\"\n", &["line 2, column 7", "credential", "environment"]),
        ("[locations.hot]\nurl = \"s3://bucket/x\"\n", &["line 1, column 12", "'hot'"]),
    ] {
        fs::write(db.join("tranchedb.toml"), text).expect("written");
        let message = run(&[]).refused(2, parts);
        assert!(!message.contains("hidden"), "{message}");
    }
}
