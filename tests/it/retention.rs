//! Retention: the metrics of all strategies are kept, the details of the best, and a save is there whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tranchedb::{Engine, Error, SaveRequest};

use crate::program::{program, run_on};
use crate::support::{error, row, rows};

pub(crate) const METRICS: &str = "CREATE TABLE metrics (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, \
    n_trades BIGINT, sharpe_ratio DOUBLE, rank INT, trades_kept VARCHAR)";
const TRADES: &str = "CREATE TABLE trades (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, \
    trade_no INT NOT NULL, pnl_usd DOUBLE)";
const EQUITY: &str = "CREATE TABLE equity_curves (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, \
    seq INT NOT NULL, equity DOUBLE)";

/// The tables and a policy; `options` come after metric and details.
pub(crate) fn setup(options: &str) -> [String; 4] {
    let policy = format!("ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', details => 'trades'{options})");
    [METRICS.into(), TRADES.into(), EQUITY.into(), policy]
}

pub(crate) async fn engine(options: &str) -> Engine {
    let engine = Engine::in_memory().await.expect("engine");
    for sql in setup(options) {
        rows(&engine, &sql).await;
    }
    engine
}

/// A save of `strategies` strategies with three trades each: S000 has the lowest metric; every number carries `mark`.
pub(crate) fn save(universe: &str, strategies: usize, mark: usize) -> String {
    let last = strategies - 1;
    let strategy = "'S' || lpad(CAST(s.value AS VARCHAR), 3, '0') AS strategy_name, 0.1 AS lot_size";
    format!(
        "UPSERT INTO metrics (SELECT 'D' AS dataset, '{universe}' AS universe, {strategy}, {mark} AS n_trades, \
         CAST(s.value AS DOUBLE) AS sharpe_ratio FROM generate_series(0, {last}) AS s), \
         trades (SELECT 'D' AS dataset, '{universe}' AS universe, {strategy}, t.value AS trade_no, {mark} AS pnl_usd \
         FROM generate_series(0, {last}) AS s CROSS JOIN generate_series(1, 3) AS t)"
    )
}

const COUNTS: &str = "SELECT (SELECT count(*) FROM metrics) AS metrics, (SELECT count(*) FROM trades) AS trades, \
    (SELECT count(DISTINCT universe || strategy_name) FROM trades) AS sets";

#[tokio::test]
async fn t1_t2_the_trades_of_the_best_are_kept_and_again() {
    let engine = engine(", top => 10").await;
    for round in 0..2 {
        let told = row(&engine, &save("u", 100, round)).await;
        // dataset, universe, strategies, kept_top, kept_sample, without_details, details_kept, details_dropped, strategies_dropped
        assert_eq!(told, "D|u|100|10|0|0|30|270|0", "save {round}");
        assert_eq!(row(&engine, COUNTS).await, "100|30|10");
        let ranks = rows(&engine, "SELECT rank, strategy_name FROM metrics WHERE trades_kept = 'top_n' ORDER BY rank").await;
        assert_eq!(ranks, (1..=10).map(|rank| format!("{rank}|S{:03}", 100 - rank)).collect::<Vec<_>>());
        assert_eq!(row(&engine, "SELECT count(DISTINCT rank), min(rank), max(rank) FROM metrics").await, "100|1|100");
        let kept = "SELECT count(*) FROM trades t JOIN metrics m ON t.strategy_name = m.strategy_name WHERE m.rank <= 10";
        assert_eq!(row(&engine, kept).await, "30");
    }
    // The spec's own question has the same answer.
    let asked = "SELECT count(*) FROM (SELECT universe, strategy_name, lot_size, row_number() OVER (PARTITION BY universe ORDER BY sharpe_ratio DESC \
         NULLS LAST, strategy_name, lot_size) AS rk FROM metrics QUALIFY rk <= 10) q JOIN metrics m USING (universe, strategy_name, lot_size) \
         WHERE m.rank = q.rk AND m.trades_kept = 'top_n'";
    assert_eq!(row(&engine, asked).await, "10");
}

#[tokio::test]
async fn t3_t4_every_universe_has_its_own_best() {
    let engine = engine(", top => 50").await;
    for universe in 0..3 {
        rows(&engine, &save(&format!("u{universe}"), 100, 1)).await;
    }
    assert_eq!(row(&engine, COUNTS).await, "300|450|150");
    for universe in 0..25 {
        rows(&engine, &save(&format!("u{universe}"), 100, 2)).await;
    }
    assert_eq!(row(&engine, COUNTS).await, "2500|3750|1250");
    let worst = "SELECT max(rank), count(*) FROM metrics WHERE trades_kept = 'top_n'";
    assert_eq!(row(&engine, worst).await, "50|1250");
}

#[tokio::test]
async fn t5_what_is_no_number_comes_last_by_name() {
    let engine = engine("").await;
    let values = "(VALUES ('e', 1.0), ('d', CAST('NaN' AS DOUBLE)), ('c', 3.0), ('b', CAST('Infinity' AS DOUBLE)), ('a', 2.0))";
    let statement = engine
        .parse(&format!("UPSERT INTO metrics SELECT 'D' AS dataset, 'u' AS universe, n AS strategy_name, 0.1 AS lot_size, x AS sharpe_ratio FROM {values} AS v(n, x)"))
        .expect("parses")
        .remove(0);
    let done = engine.run_noted(&statement, &Default::default()).await.expect("saved");
    assert!(done.note.expect("a note").contains("2 values of metrics.sharpe_ratio are NaN or infinite: stored as NULL"));
    assert_eq!(
        rows(&engine, "SELECT strategy_name, sharpe_ratio FROM metrics ORDER BY rank").await,
        ["c|3.0", "a|2.0", "e|1.0", "b|", "d|"]
    );
    // What came by another way and is NaN ranks as NULL too.
    rows(
        &engine,
        "INSERT INTO metrics VALUES ('D', 'u', 'f', 0.1, 1, CAST('NaN' AS DOUBLE), NULL, NULL), ('D', 'u', 'a', 0.01, 1, 2.0, NULL, NULL)",
    )
    .await;
    rows(&engine, "RETAIN metrics").await;
    let order = rows(&engine, "SELECT strategy_name || lot_size FROM metrics ORDER BY rank").await;
    assert_eq!(order, ["c0.1", "a0.01", "a0.1", "e0.1", "b0.1", "d0.1", "f0.1"]);
    rows(&engine, "ALTER TABLE metrics SET RETENTION (direction => 'asc')").await;
    rows(&engine, "RETAIN metrics").await;
    let order = rows(&engine, "SELECT strategy_name || lot_size FROM metrics ORDER BY rank").await;
    assert_eq!(order, ["e0.1", "a0.01", "a0.1", "c0.1", "b0.1", "d0.1", "f0.1"]);
}

#[tokio::test]
async fn t6_nothing_none_and_more_than_there_are() {
    let engine = engine(", top => 0").await;
    let nothing = "UPSERT INTO metrics SELECT 'D' AS dataset, 'u' AS universe, 'x' AS strategy_name, 0.1 AS lot_size WHERE false";
    assert_eq!(rows(&engine, nothing).await, [""; 0]);
    assert_eq!(rows(&engine, "RETAIN metrics").await, [""; 0]);
    assert_eq!(row(&engine, "SELECT version FROM system.tables WHERE table_name = 'metrics'").await, "0");
    assert_eq!(row(&engine, &save("u", 5, 1)).await, "D|u|5|0|0|0|0|15|0");
    assert_eq!(row(&engine, COUNTS).await, "5|0|0");
    rows(&engine, "ALTER TABLE metrics SET RETENTION (top => 100)").await;
    assert_eq!(row(&engine, &save("u", 5, 1)).await, "D|u|5|5|0|0|15|0|0");
    assert_eq!(row(&engine, COUNTS).await, "5|15|5");
}

#[tokio::test]
async fn t9_the_sample_is_the_same_on_every_run() {
    let sampled = async |threads: usize, seed: u64| {
        let config = tranchedb::EngineConfig { threads: Some(threads), ..Default::default() };
        let engine = Engine::with_config(config).await.expect("engine");
        for sql in setup(&format!(", top => 2, sample => 4, seed => {seed}")) {
            rows(&engine, &sql).await;
        }
        assert_eq!(row(&engine, &save("u", 100, 1)).await, "D|u|100|2|4|0|18|282|0");
        rows(&engine, "SELECT strategy_name FROM metrics WHERE trades_kept = 'sample' ORDER BY 1").await
    };
    let expected = sampled(1, 42).await;
    assert_eq!(expected.len(), 4);
    // Drawn by SHA-256: known figures, so that no change of a library goes unseen.
    assert_eq!(expected, SAMPLE_OF_42);
    assert_eq!(sampled(4, 42).await, expected);
    assert_ne!(sampled(2, 43).await, expected);
}

/// The sample of [`save`] of 100 strategies with seed 42 outside the top 2.
const SAMPLE_OF_42: [&str; 4] = ["S003", "S016", "S017", "S027"];

#[tokio::test]
async fn a_lower_n_drops_and_a_higher_one_tells_what_is_missing() {
    let engine = engine(", top => 10").await;
    rows(&engine, &save("u", 20, 1)).await;
    assert_eq!(row(&engine, "RETAIN metrics TOP 4").await, "D|u|20|4|0|0|12|18|6");
    assert_eq!(row(&engine, "SELECT count(*), count(DISTINCT strategy_name) FROM trades").await, "12|4");
    assert_eq!(row(&engine, "SELECT count(*) FROM metrics WHERE trades_kept = 'top_n'").await, "4");
    assert_eq!(row(&engine, "SELECT n FROM system.retention_policies").await, "4");
    // Nothing is left to do: no version is made.
    let versions = "SELECT string_agg(table_name || ' ' || version, ', ' ORDER BY table_name) FROM system.tables WHERE table_name IN ('metrics', 'trades')";
    let before = row(&engine, versions).await;
    assert_eq!(row(&engine, "RETAIN metrics").await, "D|u|20|4|0|0|12|0|0");
    assert_eq!(row(&engine, versions).await, before);
    assert_eq!(row(&engine, "RETAIN metrics TOP 6").await, "D|u|20|6|0|2|12|0|0");
    assert_eq!(row(&engine, "SELECT count(*) FROM metrics WHERE trades_kept = 'top_n'").await, "4");
    rows(&engine, &save("u", 20, 2)).await;
    assert_eq!(row(&engine, "SELECT count(*), min(pnl_usd) FROM trades").await, "18|2.0");
}

#[tokio::test]
async fn a_strategy_that_leaves_the_top_loses_its_trades_in_the_same_commit() {
    let engine = engine(", top => 1").await;
    rows(&engine, &save("u", 2, 1)).await;
    assert_eq!(row(&engine, "SELECT DISTINCT strategy_name FROM trades").await, "S001");
    let better =
        "UPSERT INTO metrics SELECT 'D' AS dataset, 'u' AS universe, 'S000' AS strategy_name, 0.1 AS lot_size, 9.0 AS sharpe_ratio";
    assert_eq!(row(&engine, better).await, "D|u|2|1|0|1|0|3|1");
    assert_eq!(row(&engine, "SELECT count(*) FROM trades").await, "0");
    assert_eq!(rows(&engine, "SELECT strategy_name, rank, trades_kept FROM metrics ORDER BY rank").await, ["S000|1|", "S001|2|"]);
}

#[tokio::test]
async fn ineligible_strategies_have_a_rank_and_no_trades() {
    let engine = engine(", top => 2, eligible => 'n_trades >= 30 AND abs(sharpe_ratio) < 1e6', details => 'trades, equity_curves'").await;
    let values = "(VALUES ('a', 40, 1.0), ('b', 10, 5.0), ('c', 50, 2e6), ('d', 30, 3.0), ('e', NULL, 4.0), ('f', 31, 2.0)) AS v(n, t, x)";
    let key = "'D' AS dataset, 'u' AS universe, n AS strategy_name, 0.1 AS lot_size";
    rows(&engine, &format!("UPSERT INTO metrics (SELECT {key}, t AS n_trades, x AS sharpe_ratio FROM {values}), trades (SELECT {key}, 1 AS trade_no FROM {values}), \
        equity_curves (SELECT {key}, 0 AS seq, 100.0 AS equity FROM {values})")).await;
    let ranks = rows(&engine, "SELECT strategy_name, rank, trades_kept FROM metrics ORDER BY rank").await;
    assert_eq!(ranks, ["c|1|", "b|2|", "e|3|", "d|4|top_n", "f|5|top_n", "a|6|"]);
    for table in ["trades", "equity_curves"] {
        assert_eq!(rows(&engine, &format!("SELECT strategy_name FROM {table} ORDER BY 1")).await, ["d", "f"]);
    }
}

#[tokio::test]
async fn system_retention_counts_rows_and_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&directory.path().to_string_lossy()).await.expect("engine");
    for sql in setup(", top => 10") {
        rows(&engine, &sql).await;
    }
    rows(&engine, &save("u1", 100, 1)).await;
    rows(&engine, &save("u2", 50, 1)).await;
    let figures =
        "SELECT universe, metric, n, strategies, kept_top, kept_sample, trades_kept, trades_dropped FROM system.retention ORDER BY 1";
    assert_eq!(rows(&engine, figures).await, ["u1|sharpe_ratio|10|100|10|0|30|270", "u2|sharpe_ratio|10|50|10|0|30|120"]);
    // The bytes are those of the files in use, to the byte but for rounding.
    let stored: i64 = row(&engine, "SELECT sum(bytes_stored) FROM system.retention").await.parse().expect("a number");
    let in_use: u64 = ["metrics", "trades"].iter().flat_map(|table| files_in_use(directory.path(), table)).sum();
    assert!((0..=4).contains(&(in_use as i64 - stored)), "{in_use} {stored}");
    let json = "{\"dataset\":\"D\",\"universe\":\"u1\",\"strategy_name\":\"S000\",\"lot_size\":0.1,\"trade_no\":1,\"pnl_usd\":1.0}".len();
    assert_eq!(row(&engine, "SELECT bytes_discarded FROM system.retention WHERE universe = 'u1'").await, (270 * json).to_string());
    let saved = "SELECT dataset, metric, n, sum(strategies), sum(trades_kept), sum(trades_dropped), 1 - sum(bytes_stored) * 1.0 / sum(bytes_source_equivalent) > 0.3, \
        sum(bytes_discarded) > 0 FROM system.retention GROUP BY dataset, metric, n";
    assert_eq!(row(&engine, saved).await, "D|sharpe_ratio|10|150|60|390|true|true");
    // A second save drops the same rows again: what comes in and is not stored is thrown away.
    rows(&engine, "RESTORE TABLE metrics TO VERSION AS OF 1").await;
    assert_eq!(row(&engine, "SELECT trades_dropped FROM system.retention WHERE universe = 'u1'").await, "270");
}

/// Sizes of the files that the newest version of a table holds, read from its log.
fn files_in_use(db: &Path, table: &str) -> Vec<u64> {
    let mut sizes = BTreeMap::new();
    let log = db.join(table).join("_delta_log");
    let mut commits: Vec<PathBuf> = fs::read_dir(&log).expect("a log").map(|entry| entry.expect("an entry").path()).collect();
    commits.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    commits.sort();
    for line in commits.iter().flat_map(|path| fs::read_to_string(path).expect("a commit").lines().map(str::to_owned).collect::<Vec<_>>()) {
        let action: serde_json::Value = serde_json::from_str(&line).expect("an action");
        if let Some(path) = action["add"]["path"].as_str() {
            sizes.insert(path.to_owned(), fs::metadata(db.join(table).join(path)).expect("a file").len());
        }
        if let Some(path) = action["remove"]["path"].as_str() {
            sizes.remove(path);
        }
    }
    sizes.into_values().collect()
}

#[tokio::test]
async fn a_save_touches_the_files_of_its_groups_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&directory.path().to_string_lossy()).await.expect("engine");
    for sql in setup(", top => 2") {
        rows(&engine, &sql).await;
    }
    for universe in 0..12 {
        rows(&engine, &save(&format!("u{universe:02}"), 20, 1)).await;
    }
    let in_use = || ["metrics", "trades"].map(|table| data_files(directory.path(), table));
    let before = in_use();
    assert_eq!(before.each_ref().map(BTreeSet::len), [12, 12]);
    rows(&engine, &save("u05", 20, 2)).await;
    let after = in_use();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.difference(before).count(), 1, "one file more, the one before left for VACUUM");
    }
    rows(&engine, "VACUUM metrics RETAIN 0 HOURS").await;
    rows(&engine, "VACUUM trades RETAIN 0 HOURS").await;
    assert_eq!(in_use().each_ref().map(BTreeSet::len), [12, 12]);
    assert_eq!(row(&engine, COUNTS).await, "240|72|24");
}

fn data_files(db: &Path, table: &str) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(db.join(table)).expect("a table").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

/// Every file below a directory with its time and content.
pub(crate) fn tree(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let changed = fs::metadata(&path).expect("an entry").modified().expect("a time");
            let content = if path.is_dir() { vec![] } else { fs::read(&path).expect("a file") };
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (changed, content));
        }
    }
    found
}

#[test]
fn a_dry_run_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path();
    for sql in setup(", top => 10, sample => 2, seed => 7") {
        run_on(db, &["-c", &sql]).good();
    }
    run_on(db, &["-c", &save("u", 30, 1)]).good();
    let before = tree(db);
    let would = run_on(db, &["--format", "csv", "--quiet", "retain", "metrics", "--top", "3", "--dry-run"]).good();
    assert_eq!(tree(db), before);
    assert!(
        would.ends_with("D,u,30,3,2,1,12,24,8\n") || would.ends_with("D,u,30,3,2,2,9,27,9\n") || would.ends_with("D,u,30,3,2,0,15,21,7\n"),
        "{would}"
    );
    let did = run_on(db, &["--format", "csv", "--quiet", "retain", "metrics", "--top", "3"]).good();
    assert_eq!(did, would);
    assert_ne!(tree(db), before);
    run_on(db, &["retain", "trades"]).refused(2, &["'trades' has no retention", "SET RETENTION"]);
}

/// One number if metrics and trades are of the same save: the mark of all their rows.
const ONE_SAVE: &str = "SELECT min(n_trades), max(n_trades), count(*) AS n, (SELECT min(pnl_usd) FROM trades) AS low, \
    (SELECT max(pnl_usd) FROM trades) AS high, (SELECT count(*) FROM trades) AS trades FROM metrics";

fn of_one_save(line: &str, strategies: usize, top: usize) -> Option<usize> {
    let cells: Vec<f64> = line.split([',', '|']).map(|cell| cell.parse().ok()).collect::<Option<_>>()?;
    let [low, high, metrics, first, last, trades] = cells[..] else { return None };
    let whole = low == high && first == last && low == first && metrics as usize == strategies && trades as usize == 3 * top;
    whole.then_some(low as usize)
}

#[cfg(unix)]
#[test]
fn t7_killed_at_any_moment_a_save_is_there_whole_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path();
    for sql in setup(", top => 30") {
        run_on(db, &["-c", &sql]).good();
    }
    run_on(db, &["-c", &save("u", 60, 0)]).good();
    let whole = std::time::Instant::now();
    run_on(db, &["-c", &save("u", 60, 1)]).good();
    let whole = whole.elapsed();
    let (mut mark, mut outcomes) = (1, BTreeSet::new());
    for kill in 1..=24_u32 {
        let next = mark + 1;
        let mut child = program()
            .arg("--db")
            .arg(db)
            .args(["--quiet", "-c", &save("u", 60, next)])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(whole * kill / 22);
        child.kill().expect("killed");
        child.wait().expect("ended");
        let seen = run_on(db, &["--format", "csv", "--quiet", "-c", ONE_SAVE]).good();
        let seen = of_one_save(seen.lines().nth(1).expect("a row"), 60, 30).unwrap_or_else(|| panic!("killed after {kill}/22: {seen}"));
        assert!(seen == mark || seen == next, "{seen} is neither {mark} nor {next}");
        outcomes.insert(seen == next);
        mark = seen;
    }
    assert!(outcomes.contains(&false), "no save was stopped");
    run_on(db, &["-c", &save("u", 60, 99)]).good();
    let seen = run_on(db, &["--format", "csv", "--quiet", "-c", ONE_SAVE]).good();
    assert_eq!(of_one_save(seen.lines().nth(1).expect("a row"), 60, 30), Some(99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_save_and_of_two_writers_no_update_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_string_lossy().into_owned();
    let engine = Engine::open(&place).await.expect("engine");
    for sql in setup(", top => 5") {
        rows(&engine, &sql).await;
    }
    rows(&engine, &save("u", 10, 0)).await;
    let writer = |universe: &'static str, marks: std::ops::Range<usize>| {
        let place = place.clone();
        tokio::spawn(async move {
            let engine = Engine::open(&place).await.expect("engine");
            let mut last = None;
            for mark in marks {
                let statement = engine.parse(&save(universe, 10, mark)).expect("parses").remove(0);
                match engine.run(&statement, &Default::default()).await {
                    Ok(_) => last = Some(mark),
                    Err(Error::Conflict(_)) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            last
        })
    };
    let (one, other) = (writer("u", 1..9), writer("v", 1..9));
    let mut seen = Vec::new();
    while !one.is_finished() {
        let told =
            row(&engine, &format!("{ONE_SAVE} WHERE universe = 'u'").replace("FROM trades)", "FROM trades WHERE universe = 'u')")).await;
        seen.push(of_one_save(&told, 10, 5).unwrap_or_else(|| panic!("half a save is seen: {told}")));
    }
    assert!(seen.is_sorted() && seen.len() > 3, "{seen:?}");
    for (universe, writer) in [("u", one), ("v", other)] {
        let last = writer.await.expect("no panic").expect("a save that came through");
        let told = row(&engine, &format!("SELECT min(n_trades), max(n_trades), count(*) FROM metrics WHERE universe = '{universe}'")).await;
        assert_eq!(told, format!("{last}|{last}|10"));
    }
    assert_eq!(row(&engine, COUNTS).await, "20|30|10");
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    for sql in setup(", top => 1000") {
        run_on(&db, &["-c", &sql]).good();
    }
    run_on(&db, &["-c", &save("u", 20, 1)]).good();
    let before = crate::faults::entries(directory.path());
    let many = save("u", 1000, 2)
        .replace("generate_series(1, 3)", "generate_series(1, 100)")
        .replace("2 AS pnl_usd", "sin(s.value * 100 + t.value) AS pnl_usd");
    let refused = crate::faults::run_on_full_disk(&db, &["-c", &many]);
    assert!(refused.code == Some(1) && refused.stderr.contains("File too large") && refused.stderr.contains("trades"), "{refused:?}");
    assert_eq!(crate::faults::entries(directory.path()), before);
    let seen = run_on(&db, &["--format", "csv", "--quiet", "-c", ONE_SAVE]).good();
    assert_eq!(of_one_save(seen.lines().nth(1).expect("a row"), 20, 20), Some(1));
    run_on(&db, &["-c", &many]).good();
}

#[tokio::test]
async fn saves_by_call_and_by_statement_are_the_same() {
    let engine = engine(", top => 1").await;
    let key = "'D' AS dataset, 'u' AS universe, 'A' AS strategy_name, 0.1 AS lot_size";
    let metrics = engine.sql(&format!("SELECT {key}, 1.0 AS sharpe_ratio")).await.expect("rows");
    let trades = engine.sql(&format!("SELECT {key}, 1 AS trade_no, 5.0 AS pnl_usd")).await.expect("rows");
    let request = SaveRequest { metrics: Some(metrics), details: vec![("trades".into(), trades)] };
    let report = engine.save_metrics("metrics", request).await.expect("saved");
    assert_eq!((report.inserted, report.replaced, report.total("details_kept")), (1, 0, Some(1)));
    assert_eq!(report.versions.len(), 2);
    // Trades alone take the place of those that are there.
    let trades = engine.sql(&format!("SELECT {key}, value AS trade_no, 6.0 AS pnl_usd FROM generate_series(1, 4)")).await.expect("rows");
    let report =
        engine.save_metrics("metrics", SaveRequest { metrics: None, details: vec![("trades".into(), trades)] }).await.expect("saved");
    assert_eq!(report.total("details_kept"), Some(4));
    assert_eq!(row(&engine, "SELECT count(*), min(pnl_usd) FROM trades").await, "4|6.0");
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_says_what_can() {
    let engine = engine("").await;
    rows(&engine, &save("u", 3, 1)).await;
    let set = |options: &str| format!("ALTER TABLE metrics SET RETENTION ({options})");
    for (sql, parts) in [
        (set("metric => 'sharp'"), &["no column 'sharp'", "sharpe_ratio"][..]),
        (set("metric => 'strategy_name'"), &["not numbers"]),
        (set("best => 3"), &["no option 'best'", "metric, direction, top"]),
        (set("top => 'many'"), &["a whole number"]),
        (set("direction => 'up'"), &["'desc' or 'asc'"]),
        (set("details => 'nothing'"), &["'nothing' is no table"]),
        (set("details => 'trades, trades'"), &["twice"]),
        (set("per => 'n_trades'"), &["'n_trades' is no part of the key"]),
        (set("keys => 'strategy_name, trade'"), &["no column 'trade'"]),
        (set("eligible => 'n_trades >'"), &["eligible => 'n_trades >'"]),
        (set("eligible => 'n_trades'"), &["not true or false"]),
        (set("eligible => 'random() < 0.5'"), &["changes from call to call"]),
        ("ALTER TABLE trades SET RETENTION (top => 5)".into(), &["names no metric"]),
        ("RETAIN trades".into(), &["'trades' has no retention"]),
        ("UPSERT INTO metrics SELECT 1 AS x".into(), &["no column 'x'"]),
        ("UPSERT INTO metrics SELECT 'D' AS dataset, 'u' AS universe, 'a' AS strategy_name".into(), &["key column 'lot_size' is missing"]),
        (save("u", 3, 1).replace("1 AS n_trades", "1.5 AS n_trades"), &["column 'n_trades'", "1.5 is no whole number"]),
        (save("u", 3, 1).replace("1 AS n_trades", "CAST(1.5 AS DECIMAL(10, 2)) AS n_trades"), &["column 'n_trades'", "1.50 is no whole number"]),
        (
            save("u", 3, 1).replace("CAST(s.value AS DOUBLE) AS sharpe_ratio", "s.value + 9007199254740992 AS sharpe_ratio"),
            &["column 'sharpe_ratio'", "9007199254740993 is not a value of Float64", "round it first"],
        ),
        (save("u", 3, 1).replace("s.value AS VARCHAR", "s.value % 2 AS VARCHAR"), &["two rows for one key", "strategy_name = S000"]),
        (save("u", 3, 1).replace("'u' AS universe, 'S' || lpad(CAST(s.value AS VARCHAR), 3, '0') AS strategy_name, 0.1 AS lot_size, t.value", "'u' AS universe, 'X' AS strategy_name, 0.1 AS lot_size, t.value"), &["without metrics", "strategy_name = X"]),
        (save("u", 3, 1).replace("trades (", "equity_curves ("), &["'equity_curves' is no table of details"]),
        ("UPSERT INTO metrics SELECT 'D' AS dataset, 'w' AS universe, 'a' AS strategy_name, 0.1 AS lot_size, CAST(NULL AS DOUBLE) AS sharpe_ratio".into(), &["metric 'sharpe_ratio' has no value in any of 1 rows"]),
    ] {
        let told = error(&engine, &sql).await;
        assert!(parts.iter().all(|part| told.contains(part)), "{sql}\n{told}");
        assert_eq!(row(&engine, COUNTS).await, "3|9|3", "{sql}");
    }
    rows(&engine, "INSERT INTO metrics SELECT * FROM metrics LIMIT 1").await;
    assert!(error(&engine, "RETAIN metrics").await.contains("two rows for one strategy"));
    rows(&engine, "ALTER TABLE metrics DROP RETENTION").await;
    assert!(error(&engine, "ALTER TABLE metrics DROP RETENTION").await.contains("has no retention"));
}

#[tokio::test]
async fn details_without_metrics_are_left_alone() {
    let engine = engine(", top => 1").await;
    rows(&engine, &save("u", 2, 1)).await;
    rows(&engine, "INSERT INTO trades VALUES ('D', 'u', 'stranger', 0.1, 1, 1.0), ('D', 'elsewhere', 'S000', 0.1, 1, 1.0)").await;
    let statement = engine.parse("RETAIN metrics TOP 1").expect("parses").remove(0);
    let done = engine.run_noted(&statement, &Default::default()).await.expect("retained");
    assert!(done.note.expect("a note").contains("1 rows of details have no metrics"));
    assert_eq!(rows(&engine, "SELECT strategy_name, count(*) FROM trades GROUP BY 1 ORDER BY 1").await, ["S000|1", "S001|3", "stranger|1"]);
}

#[tokio::test]
async fn tables_with_partitions_and_odd_names_are_retained() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_string_lossy().into_owned();
    let engine = Engine::open(&place).await.expect("engine");
    rows(&engine, METRICS).await;
    partitioned_trades(&directory.path().join("trades")).await;
    rows(&engine, &setup(", top => 2")[3]).await;
    for universe in ["a b", "50%", "x/y=z", "Größe"] {
        rows(&engine, &save(universe, 4, 1)).await;
        rows(&engine, &save(universe, 4, 2)).await;
    }
    assert_eq!(row(&engine, COUNTS).await, "16|24|8");
    let nulls = "UPSERT INTO metrics SELECT 'D' AS dataset, CAST(NULL AS VARCHAR) AS universe, 'N' AS strategy_name, CAST(NULL AS DOUBLE) AS lot_size, 1.0 AS sharpe_ratio";
    for _ in 0..2 {
        assert_eq!(row(&engine, nulls).await, "D||1|1|0|1|0|0|0");
    }
    assert_eq!(row(&engine, "SELECT count(*) FROM metrics WHERE universe IS NULL").await, "1");
}

/// A table of trades as other programs make it: a partition for every universe.
async fn partitioned_trades(folder: &Path) {
    use deltalake::kernel::{DataType, StructField};
    fs::create_dir(folder).expect("a folder");
    let url = url::Url::from_directory_path(folder).expect("a URL");
    let text = |name: &str| StructField::nullable(name, DataType::STRING);
    let numbers = [
        StructField::nullable("lot_size", DataType::DOUBLE),
        StructField::nullable("trade_no", DataType::INTEGER),
        StructField::nullable("pnl_usd", DataType::DOUBLE),
    ];
    let table = deltalake::DeltaTableBuilder::from_url(url).expect("a table").build().expect("a table");
    let columns = [text("dataset"), text("universe"), text("strategy_name")].into_iter().chain(numbers);
    table.create().with_columns(columns).with_partition_columns(["dataset", "universe"]).await.expect("made");
}

/// Waits are bounded: a lock that somebody holds is a conflict in the end, and a moment's wait is none.
#[tokio::test]
async fn saves_wait_for_each_other() {
    let engine = engine(", top => 1").await;
    let saves = (0..4).map(|n| {
        let engine = engine.clone();
        tokio::spawn(async move { rows(&engine, &save(&format!("u{n}"), 3, n)).await })
    });
    let all = tokio::time::timeout(Duration::from_secs(120), futures::future::join_all(saves)).await.expect("in time");
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(row(&engine, COUNTS).await, "12|12|4");
}
