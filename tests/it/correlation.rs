//! Correlation matrices over strategy tables: against a plain computation, against the join, on any number of threads, in little memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::StreamExt;
use tempfile::TempDir;
use tranchedb::Engine;
use tranchedb::config::EngineConfig;
use tranchedb::ingest::{GenerateRequest, Target};

use crate::support::{assert_alike, error, import, legacy_csv, row, rows};

/// A database with the tables of [`TABLES`].
async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    generate(&engine, "dense", (270, 12), 0.0).await;
    generate(&engine, "gaps", (40, 60), 0.1).await;
    engine.sql("DELETE FROM gaps WHERE strategy > 'SENSEX 1' AND pnl BETWEEN -100 AND 100").await.expect("deleted");
    let zoned = GenerateRequest { zones: 4, regimes: true, ..GenerateRequest::new(25, 30, 7, Target::Table("zoned".into())) };
    engine.generate(&zoned).await.expect("generated");
    let lines = |days: std::ops::Range<u32>, step: u32| -> Vec<String> {
        days.map(|day| format!("2022-03-{day:02},Monday,{},{},{}", day * step % 7, day * day % 11, if day % 3 == 0 { 1 } else { 4 }))
            .collect()
    };
    for (name, header, lines) in [("a.csv", "Date,Day,S1,S2,S5", lines(1..10, 3)), ("b.csv", "Date,Day,S2,S3,S4", lines(10..20, 5))] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        import(&engine, &legacy_csv(folder.path(), name, header, &lines), "ragged").await;
    }
    (folder, engine)
}

async fn generate(engine: &Engine, table: &str, (strategies, periods): (u32, u32), share_nulls: f64) {
    let request = GenerateRequest::new(strategies as _, periods as _, 7, Target::Table(table.into()));
    let request = GenerateRequest { share_nulls, share_zeros: 0.2, constant: 2, duplicates: 2, ..request };
    engine.generate(&request).await.expect("generated");
}

const TABLES: &[&str] = &["dense", "gaps", "zoned", "ragged"];

type Pairs = BTreeMap<(String, String), (Option<f64>, i64)>;

async fn batches(engine: &Engine, sql: &str) -> Vec<RecordBatch> {
    engine.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")).collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The result of a query of two names, a measure and a count.
async fn pairs(engine: &Engine, sql: &str) -> Pairs {
    let mut pairs = Pairs::new();
    for batch in batches(engine, sql).await {
        let text = |column: usize| cast(batch.column(column), &DataType::Utf8).expect("names").as_string::<i32>().clone();
        let (a, b) = (text(0), text(1));
        let (value, n) = (batch.column(2).as_primitive::<Float64Type>(), batch.column(3).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let measure = value.is_valid(row).then(|| value.value(row));
            let before = pairs.insert((a.value(row).to_owned(), b.value(row).to_owned()), (measure, n.value(row)));
            assert!(before.is_none(), "{sql}: {} with {} twice", a.value(row), b.value(row));
        }
    }
    pairs
}

/// Every pair by plain sums over the periods that both have.
async fn expected(engine: &Engine, table: &str) -> Pairs {
    let slot = if table == "zoned" { "slot" } else { "0" };
    let mut series: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for line in rows(
        engine,
        &format!("SELECT strategy || '|' || date || '.' || {slot} || '|' || coalesce(CAST(pnl AS VARCHAR), 'NULL') FROM {table}"),
    )
    .await
    {
        let [strategy, period, value] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let values = series.entry(strategy.to_owned()).or_default();
        if value != "NULL" {
            values.insert(period.to_owned(), value.parse().expect("number"));
        }
    }
    let mut pairs = Pairs::new();
    for (a, x) in &series {
        for (b, y) in series.range::<String, _>((std::ops::Bound::Excluded(a), std::ops::Bound::Unbounded)) {
            let common: Vec<(f64, f64)> = x.iter().filter_map(|(period, x)| Some((*x, *y.get(period)?))).collect();
            pairs.insert((a.clone(), b.clone()), (correlation(&common), common.len() as i64));
        }
    }
    pairs
}

fn correlation(values: &[(f64, f64)]) -> Option<f64> {
    let n = values.len() as f64;
    let constant = |of: fn(&(f64, f64)) -> f64| values.iter().all(|pair| of(pair) == of(&values[0]));
    if values.len() < 2 || constant(|pair| pair.0) || constant(|pair| pair.1) {
        return None;
    }
    let (x, y) = values.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0 / n, sums.1 + pair.1 / n));
    let moment = |of: &dyn Fn(f64, f64) -> f64| values.iter().map(|pair| of(pair.0 - x, pair.1 - y)).sum::<f64>();
    Some(moment(&|x, y| x * y) / (moment(&|x, _| x * x) * moment(&|_, y| y * y)).sqrt())
}

fn assert_near(found: &Pairs, expected: &Pairs, what: &str) {
    let other = found.keys().zip(expected.keys()).find(|(found, expected)| found != expected);
    assert!(found.len() == expected.len() && other.is_none(), "{what}: {} pairs of {}, {other:?}", found.len(), expected.len());
    for (pair, (value, n)) in found {
        let (other, count) = &expected[pair];
        assert_eq!(n, count, "{what}: {pair:?}");
        match (value, other) {
            (Some(value), Some(other)) => assert!((value - other).abs() < 1e-12, "{what}: {pair:?} {value} {other}"),
            (value, other) => assert_eq!(value, other, "{what}: {pair:?}"),
        }
    }
}

#[tokio::test]
async fn every_pair_is_what_plain_sums_give() {
    let (_folder, engine) = database().await;
    for table in TABLES {
        let found = pairs(&engine, &format!("SELECT * FROM correlation_pairs({table})")).await;
        assert!(found.values().all(|(value, _)| value.is_none_or(|value| (-1.0..=1.0).contains(&value))));
        assert_near(&found, &expected(&engine, table).await, table);
    }
}

#[tokio::test]
async fn conditions_keep_what_a_filter_of_all_pairs_keeps() {
    let (_folder, engine) = database().await;
    for table in TABLES {
        let name = row(&engine, &format!("SELECT max(strategy) FROM (SELECT DISTINCT strategy FROM {table} ORDER BY 1 LIMIT 3)")).await;
        for condition in [
            "correlation >= 0.1".to_owned(),
            "correlation < -0.1".into(),
            "abs(correlation) > 0.15".into(),
            "correlation BETWEEN 0.05 AND 0.1".into(),
            "correlation <= -0.2 OR correlation >= 0.2".into(),
            "correlation IS NULL".into(),
            "correlation * n > 1".into(),
            format!("strategy_a = '{name}' OR strategy_b = '{name}'"),
            format!("(strategy_a = '{name}' OR strategy_b IN ('{name}', 'S3')) AND correlation > 0"),
            format!("strategy_b > '{name}' AND strategy_a LIKE '%5%'"),
            format!("strategy_a > '{name}' OR strategy_b LIKE '%3%' AND correlation > 0.01"),
        ] {
            // No filter passes a limit.
            let all = format!("SELECT * FROM (SELECT * FROM correlation_pairs({table}) LIMIT 1000000000) WHERE {condition}");
            let taken = format!("SELECT * FROM correlation_pairs({table}) WHERE {condition}");
            // The last bits of a product may depend on how many rows are multiplied together.
            assert_near(&pairs(&engine, &taken).await, &pairs(&engine, &all).await, &format!("{table}: {condition}"));
        }
    }
}

#[tokio::test]
async fn the_strongest_are_those_of_a_sort() {
    let (_folder, engine) = database().await;
    for table in TABLES {
        for order in [
            "abs(correlation) DESC NULLS LAST, strategy_a, strategy_b",
            "correlation DESC NULLS LAST, strategy_b, strategy_a",
            "correlation, strategy_a, strategy_b",
            "correlation DESC, strategy_a, strategy_b",
            "abs(correlation), strategy_a, strategy_b",
        ] {
            let all = format!("SELECT * FROM (SELECT * FROM correlation_pairs({table}) LIMIT 1000000000) ORDER BY {order} LIMIT 20");
            let taken = format!("SELECT * FROM correlation_pairs({table}) ORDER BY {order} LIMIT 20");
            let (taken, all) = (rows(&engine, &taken).await, rows(&engine, &all).await);
            assert!(taken == all && taken.len() <= 20, "{table}: {order}: {:?}", taken.iter().zip(&all).find(|(a, b)| a != b));
        }
        let top = rows(&engine, &format!("SELECT * FROM correlation_pairs({table}, top => 7)")).await;
        let sorted = format!(
            "SELECT * FROM correlation_pairs({table}) WHERE correlation IS NOT NULL ORDER BY abs(correlation) DESC, strategy_a, strategy_b LIMIT 7"
        );
        assert_eq!(top, rows(&engine, &sorted).await, "{table}");
    }
}

#[tokio::test]
async fn a_summary_is_that_of_all_pairs() {
    let (_folder, engine) = database().await;
    for table in TABLES {
        let each = format!(
            "SELECT s.strategy, count(c), avg(c), min(c), max(c) FROM (SELECT DISTINCT strategy FROM {table}) s LEFT JOIN \
             (SELECT strategy_a s, correlation c FROM correlation_pairs({table}) UNION ALL SELECT strategy_b, correlation FROM correlation_pairs({table})) p \
             ON p.s = s.strategy GROUP BY s.strategy"
        );
        let summary = format!("SELECT * FROM correlation_summary({table})");
        assert_alike(rows(&engine, &summary).await, rows(&engine, &each).await, '|', table);
        let averages = format!("SELECT strategy, average_correlation FROM correlation_summary({table})");
        let plan = rows(&engine, &format!("EXPLAIN {averages}")).await.concat();
        assert!(plan.contains("averages") && !plan.contains("summary"), "{plan}");
        let summary = format!(
            "SELECT strategy, average_correlation FROM (SELECT * FROM correlation_summary({table}) ORDER BY max_correlation LIMIT 1000)"
        );
        assert_alike(rows(&engine, &averages).await, rows(&engine, &summary).await, '|', table);
    }
}

#[tokio::test]
async fn a_join_is_taken_over_with_its_meaning() {
    let (_folder, engine) = database().await;
    // The join's own arithmetic takes noise over constant series for correlations.
    let constant = "DELETE FROM gaps WHERE strategy IN (SELECT strategy FROM gaps GROUP BY strategy HAVING min(pnl) = max(pnl))";
    engine.sql(constant).await.expect("deleted");
    for table in &TABLES[1..] {
        let on = if *table == "zoned" { "a.date = b.date AND a.slot = b.slot" } else { "a.date = b.date" };
        for query in [
            "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM {t} a JOIN {t} b ON {on} WHERE a.strategy < b.strategy GROUP BY 1, 2",
            "SELECT a.strategy, b.strategy, corr(b.pnl, a.pnl), count(*) FROM {t} a JOIN {t} b ON {on} AND a.strategy > b.strategy GROUP BY a.strategy, b.strategy",
            "SELECT b.strategy, a.strategy, covar_samp(a.pnl, b.pnl), count(1) AS n FROM {t} a, {t} b WHERE {on} AND a.strategy <= b.strategy GROUP BY b.strategy, a.strategy",
            "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM {t} a JOIN {t} b ON {on} WHERE a.strategy <> b.strategy AND a.date > '2015-01-10' GROUP BY 1, 2",
            "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM {t} a JOIN {t} b ON {on} GROUP BY 1, 2",
            "SELECT a.strategy, b.strategy, correlation(a.pnl, b.pnl), count(*) FROM {t} a JOIN {t} b ON {on} WHERE a.strategy < b.strategy GROUP BY 1, 2",
            "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM {t} a JOIN {t} b ON {on} WHERE a.strategy < b.strategy AND b.strategy LIKE '%5%' GROUP BY 1, 2",
            "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) c, count(*) n FROM {t} a JOIN {t} b ON {on} WHERE a.strategy < b.strategy GROUP BY 1, 2 HAVING abs(corr(a.pnl, b.pnl)) >= 0.1 OR count(*) < 20",
            "WITH some AS (SELECT * FROM {t} WHERE strategy IN (SELECT strategy FROM {t} GROUP BY strategy ORDER BY sum(pnl) DESC LIMIT 9)) SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM some a JOIN some b ON {on} WHERE a.strategy < b.strategy GROUP BY 1, 2",
            "WITH best AS (SELECT strategy FROM {t} GROUP BY strategy ORDER BY sum(pnl) DESC, strategy LIMIT 9), some AS (SELECT p.* FROM {t} p JOIN best ON best.strategy = p.strategy) SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(*) FROM some a JOIN some b ON {on} WHERE a.strategy < b.strategy GROUP BY 1, 2",
        ] {
            let query = query.replace("{t}", table).replace("{on}", on);
            let plan = rows(&engine, &format!("EXPLAIN {query}")).await.concat();
            assert!(plan.contains("in place of a self-join"), "{query}: {plan}");
            let taken = pairs(&engine, &query).await;
            engine.sql("SET tranchedb.correlation_join = false").await.expect("set");
            let plan = rows(&engine, &format!("EXPLAIN {query}")).await.concat();
            assert!(!plan.contains("CorrelationExec"), "{query}: {plan}");
            let joined = pairs(&engine, &query).await;
            engine.sql("SET tranchedb.correlation_join = true").await.expect("set");
            same_join(&taken, &joined, &query);
        }
    }
}

/// The same pairs and counts; measures as near as plain sums of products are exact, and NULL where theirs is noise over a constant series.
fn same_join(taken: &Pairs, joined: &Pairs, query: &str) {
    let keys = |pairs: &Pairs| pairs.keys().cloned().collect::<BTreeSet<_>>();
    assert!(keys(taken) == keys(joined), "{query}: {} pairs, {} by the join", taken.len(), joined.len());
    for (pair, (value, n)) in taken {
        let (other, count) = joined[pair];
        assert_eq!(*n, count, "{query}: {pair:?}");
        if let (Some(value), Some(other)) = (value, other) {
            assert!((value - other).abs() <= 1e-8 * other.abs().max(1.0), "{query}: {pair:?} {value} {other}");
        }
        assert!(value.is_none() || other.is_some(), "{query}: {pair:?} {value:?} {other:?}");
    }
}

#[tokio::test]
async fn a_join_that_means_something_else_stays() {
    let (_folder, engine) = database().await;
    for query in [
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM zoned a JOIN zoned b USING (date) WHERE a.strategy < b.strategy GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM zoned a JOIN zoned b ON a.slot = b.slot GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM dense a LEFT JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) WHERE a.strategy < b.strategy AND a.pnl < b.pnl GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), avg(a.pnl) FROM dense a JOIN dense b USING (date) WHERE a.strategy < b.strategy GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), covar_samp(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FILTER (WHERE a.pnl > 0) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl + 1) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, a.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(b.pnl, b.pnl) FROM dense a JOIN dense b USING (date) WHERE a.strategy < b.strategy GROUP BY 1, 2",
        "SELECT a.strategy, a.strategy || 'x', corr(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl), count(a.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, a.year, corr(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2, 3",
        "SELECT a.strategy, corr(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1",
        "SELECT a.strategy, b.strategy, covar_pop(a.pnl, b.pnl) FROM dense a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM dense a JOIN dense b ON a.year = b.year GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM (SELECT * FROM dense LIMIT 10) a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM (SELECT * FROM dense WHERE random() < 0.5) a JOIN dense b USING (date) GROUP BY 1, 2",
        "SELECT a.strategy, b.strategy, corr(a.pnl, b.pnl) FROM (SELECT * FROM dense UNION ALL SELECT * FROM dense) a JOIN dense b USING (date) GROUP BY 1, 2",
    ] {
        let plan = rows(&engine, &format!("EXPLAIN {query}")).await.concat();
        assert!(!plan.contains("CorrelationExec"), "{query}: {plan}");
    }
}

#[tokio::test]
async fn the_bits_and_their_order_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let location = folder.path().join("db").to_string_lossy().into_owned();
    let open = async |threads: usize| {
        let config = EngineConfig { location: Some(location.clone()), threads: Some(threads), ..EngineConfig::default() };
        Engine::with_config(config).await.expect("engine")
    };
    let engine = open(2).await;
    generate(&engine, "wide", (1200, 300), 0.0).await;
    generate(&engine, "holes", (700, 90), 0.2).await;
    for query in [
        "SELECT * FROM correlation_pairs(wide) WHERE abs(correlation) > 0.2",
        "SELECT * FROM correlation_pairs(wide, top => 100)",
        "SELECT strategy_a, strategy_b, covariance, n FROM covariance_pairs(wide, window => 100, step => 150) WHERE covariance > 500000",
        "SELECT * FROM correlation_pairs(holes) WHERE strategy_a < 'SENSEX 0930'",
    ] {
        let mut found: Vec<Vec<String>> = vec![];
        for threads in [1, 2, 7] {
            found.push(rows(&open(threads).await, query).await);
        }
        assert!(!found[0].is_empty(), "{query}");
        assert!(found.iter().all(|rows| rows == &found[0]), "{query}");
    }
}

#[tokio::test]
async fn a_large_offset_costs_no_digit() {
    let engine = Engine::in_memory().await.expect("engine");
    // Whole numbers of 1/1024 on top of 1e9: exact as they are, so that the correlation is that of the whole numbers.
    let (periods, series) = (1000_i64, 40_i64);
    let digit = |s: i64, t: i64| (t * t * (s + 3) + t * 7 * s) % 23 - 11;
    let nearly = |s: i64, t: i64| if s % 4 == 3 { digit(s - 1, t) + i64::from(t == 500) } else { digit(s, t) };
    let digit_of = |s: &str| format!("(t * t * ({s} + 3) + t * 7 * {s}) % 23 - 11");
    let sql = format!(
        "CREATE TABLE t AS SELECT s AS strategy, t AS date, 1e9 + (CASE WHEN s % 4 = 3 THEN {} + CAST(t = 500 AS INT) ELSE {} END) / 1024.0 AS pnl \
         FROM generate_series(0, {}) AS a(s), generate_series(0, {}) AS b(t)",
        digit_of("(s - 1)"),
        digit_of("s"),
        series - 1,
        periods - 1
    );
    engine.sql(&sql).await.expect("table");
    let found = pairs(&engine, "SELECT * FROM correlation_pairs(t)").await;
    assert_eq!(found.len(), 780);
    for ((a, b), (value, _)) in found {
        let (a, b): (i64, i64) = (a.parse().expect("number"), b.parse().expect("number"));
        let sum = |of: &dyn Fn(i64) -> i64| (0..periods).map(of).map(i128::from).sum::<i128>();
        let moment =
            |a: i64, b: i64| i128::from(periods) * sum(&|t| nearly(a, t) * nearly(b, t)) - sum(&|t| nearly(a, t)) * sum(&|t| nearly(b, t));
        let exact = moment(a, b) as f64 / ((moment(a, a) as f64).sqrt() * (moment(b, b) as f64).sqrt());
        let value = value.expect("defined");
        assert!((value - exact).abs() < 1e-13, "{a} {b}: {value} {exact}");
    }
}

#[tokio::test]
async fn more_pairs_than_memory_stream() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let location = folder.path().join("db").to_string_lossy().into_owned();
    let config =
        EngineConfig { location: Some(location), threads: Some(2), memory_limit_bytes: Some(16_000_000), ..EngineConfig::default() };
    let engine = Engine::with_config(config).await.expect("engine");
    generate(&engine, "many", (1500, 20), 0.0).await;
    // 1.1 million pairs of 40 bytes.
    assert_eq!(row(&engine, "SELECT count(*) FROM correlation_pairs(many)").await, "1124250");
}

#[tokio::test]
async fn parameters_are_bound_before_the_function_is_planned() {
    let (_folder, engine) = database().await;
    let statement = engine.parse("SELECT count(*) FROM correlation_pairs(dense, min_abs => $least)").expect("parses").remove(0);
    let mut parameters = tranchedb::Parameters::new();
    let Err(failed) = engine.run(&statement, &parameters).await else { panic!("ran without its parameter") };
    assert!(failed.to_string().contains("no value for $least"), "{failed}");
    parameters.set("least", tranchedb::Parameters::parse_value("1"));
    let counted = engine.run(&statement, &parameters).await.expect("bound").collect().await.expect("counted");
    assert_eq!(counted[0].column(0).as_primitive::<Int64Type>().value(0), 2);
}

#[tokio::test]
async fn a_view_is_named_when_it_lacks_columns() {
    let (_folder, engine) = database().await;
    engine.sql("CREATE VIEW daily AS SELECT date, sum(pnl) AS total FROM dense GROUP BY date").await.expect("view");
    let text = error(&engine, "SELECT * FROM correlation_pairs(daily)").await;
    assert!(text.contains("no strategy, no pnl (it has date, total)"), "{text}");
}

/// Starts a query, drops its stream when tiles are done, and gives the time until all its memory is free: its threads have ended then.
async fn time_to_end(engine: &Engine, sql: &str) -> Duration {
    let plan = engine.sql(sql).await.expect("planned").create_physical_plan().await.expect("physical plan");
    let context = engine.context().task_ctx();
    let stream = execute_stream(Arc::clone(&plan), Arc::clone(&context)).expect("started");
    let reading = tokio::spawn(async move { stream.for_each(async |_| ()).await });
    while tranchedb::exec::progress(&plan).is_none() {
        assert!(!reading.is_finished(), "{sql} was done before it could be cancelled");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // In the midst of a tile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!reading.is_finished() && context.memory_pool().reserved() > 0, "{sql} was done before it could be cancelled");
    let cancelled = Instant::now();
    reading.abort();
    while context.memory_pool().reserved() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(cancelled.elapsed() < Duration::from_secs(60), "{sql} goes on");
    }
    cancelled.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_search_ends_at_once() {
    // What stays for the next query has its memory still.
    let config = EngineConfig { decoded_tier_bytes: Some(0), ..EngineConfig::default() };
    let engine = Engine::with_config(config).await.expect("engine");
    generate(&engine, "holes", (1500, 400), 0.05).await;
    generate(&engine, "whole", (1500, 400), 0.0).await;
    for query in [
        "SELECT * FROM correlation_pairs(holes, method => 'spearman')",
        "SELECT * FROM correlation_pairs(holes)",
        "SELECT * FROM covariance_pairs(holes, top => 10)",
        "SELECT * FROM correlation_pairs(holes, window => 300, step => 1)",
        "SELECT * FROM correlation_summary(holes, method => 'spearman')",
        "SELECT * FROM correlation_pairs(whole, (SELECT * FROM holes WHERE date > '2015-02-01'), method => 'spearman')",
    ] {
        let time = time_to_end(&engine, query).await;
        // A tenth of a second is the aim; the rest is for code that is not optimised, on a machine that does other work.
        assert!(time < Duration::from_millis(500), "{query} went on for {time:?}");
    }
}

#[tokio::test]
async fn options_are_constants_of_any_kind() {
    let (_folder, engine) = database().await;
    let count = async |call: &str| row(&engine, &format!("SELECT count(*) FROM {call}")).await;
    for top in ["7", "3 + 4", "CAST(7 AS SMALLINT)", "CAST(7 AS BIGINT UNSIGNED)", "-(-7)", "length('sixteen')"] {
        assert_eq!(count(&format!("correlation_pairs(gaps, top => {top})")).await, "7", "{top}");
    }
    assert_eq!(count("correlation_pairs(gaps, TOP => 7, method => 'Spearman')").await, "7");
    assert_eq!(count("correlation_pairs(((SELECT * FROM gaps)), top => 7)").await, "7");
    let windows = count("correlation_pairs(gaps, window => CAST(30 AS INT), step => 5 * 6)").await;
    assert_eq!(windows, count("correlation_pairs(gaps, window => 30, step => 30)").await);
    let statement = engine.parse("SELECT count(*) FROM covariance_pairs(gaps, min_abs => -$least + 2 * $least)").expect("parses").remove(0);
    let mut parameters = tranchedb::Parameters::new();
    parameters.set("least", tranchedb::Parameters::parse_value("-5"));
    let Err(failed) = engine.run(&statement, &parameters).await else { panic!("a negative magnitude") };
    assert!(failed.to_string().contains("not -5"), "{failed}");
}

#[tokio::test]
async fn mistakes_are_told_with_their_remedy() {
    let (_folder, engine) = database().await;
    for (sql, parts) in [
        ("SELECT * FROM correlation_pairs(gaps, method => spearman)", ["written in quotes", "method => 'spearman'"]),
        ("SELECT * FROM correlation_pairs(gaps, method => 'kendall')", ["'pearson' and 'spearman'", "kendall"]),
        ("SELECT * FROM correlation_pairs(gaps, top => random())", ["needs a constant for top", "random()"]),
        ("SELECT * FROM correlation_pairs(gaps, top => 1.5)", ["whole number from 0 for top", "1.5"]),
        ("SELECT * FROM correlation_pairs($t)", ["by its name", "-- table strategies"]),
        ("SELECT * FROM correlation_pairs(SELECT * FROM gaps)", ["parentheses of its own", "correlation_pairs((SELECT"]),
        ("SELECT * FROM correlation_pair(gaps)", ["no table function 'correlation_pair'", "did you mean correlation_pairs?"]),
        ("SELECT * FROM xyz(gaps)", ["no table function 'xyz'", "covariance_pairs"]),
        ("SELECT correlation_pairs(gaps)", ["stands in FROM", "SELECT * FROM correlation_pairs(...)"]),
        ("SELECT * FROM dense d, LATERAL correlation_pairs(gaps, top => 1) c", ["does not take LATERAL", "JOIN correlation_pairs"]),
        (
            "SELECT * FROM dense d, LATERAL (SELECT * FROM correlation_pairs((SELECT * FROM gaps WHERE date = d.date), top => 1)) c",
            ["d.date has a value for each row", "filter or join the pairs"],
        ),
        ("SELECT * FROM correlation_pairs((VALUES ('a', 1, 1.0)))", ["no strategy, no date, no pnl", "column1"]),
        (
            "SELECT * FROM correlation_pairs(gaps, (SELECT strategy, 5 AS date, pnl FROM dense))",
            ["date Date32 and date Int64", "CAST(date AS ..)"],
        ),
        ("SELECT * FROM correlation_pairs((SELECT strategy, '2' AS date, pnl FROM dense))", ["cast it", "CAST(date AS DATE) AS date"]),
        ("SELECT * FROM correlation_pairs((SELECT strategy, 1.5 AS date, pnl FROM dense))", ["cast it", "CAST(date AS BIGINT) AS date"]),
    ] {
        let text = match engine.sql(sql).await {
            Err(tranchedb::Error::Query(query)) => format!("{} {}", query.message, query.hint.unwrap_or_default()),
            Err(other) => other.to_string(),
            Ok(_) => panic!("{sql} was planned"),
        };
        assert!(parts.iter().all(|part| text.contains(part)), "{sql}: {text}");
    }
}

#[tokio::test]
async fn covariances_of_huge_values_are_infinite_and_kept() {
    let engine = Engine::in_memory().await.expect("engine");
    let table = "CREATE TABLE huge AS SELECT * FROM (VALUES ('a', 1, 1e308), ('a', 2, -1e308), ('a', 3, 0.0), ('b', 1, 1e308), \
                 ('b', 2, -1e307), ('b', 3, 0.0), ('c', 1, 3e-308), ('c', 2, -3e-308), ('c', 3, 0.0), ('d', 1, 1.0), ('d', 2, 2.0), ('d', 3, 9.0)) AS t(strategy, date, pnl)";
    engine.sql(table).await.expect("table");
    let found = rows(&engine, "SELECT strategy_a, strategy_b FROM covariance_pairs(huge) WHERE covariance = 'inf'").await;
    assert_eq!(found, ["a|b"]);
    let found = pairs(&engine, "SELECT * FROM covariance_pairs(huge, top => 3)").await;
    assert_eq!(found[&("a".into(), "b".into())].0, Some(f64::INFINITY));
    let found = pairs(&engine, "SELECT * FROM covariance_pairs(huge)").await;
    let near = |a: &str, b: &str, expected: f64| {
        let value = found[&(a.to_owned(), b.to_owned())].0.expect("defined");
        assert!((value / expected - 1.0).abs() < 1e-12, "{a} {b}: {value}");
    };
    near("a", "c", 3.0);
    near("a", "d", -0.5e308);
}

/// What series, blocks and strongest pairs take, within a limit that does not hold them all.
#[tokio::test]
async fn little_memory_gives_the_same_pairs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let location = folder.path().join("db").to_string_lossy().into_owned();
    let open = async |limit: Option<u64>| {
        let config = EngineConfig {
            location: Some(location.clone()),
            threads: Some(2),
            memory_limit_bytes: limit.map(|b| b as _),
            ..EngineConfig::default()
        };
        Engine::with_config(config).await.expect("engine")
    };
    let plenty = open(None).await;
    generate(&plenty, "whole", (2000, 500), 0.0).await;
    generate(&plenty, "holes", (1500, 700), 0.1).await;
    let little = open(Some(23_000_000)).await;
    let collected = async |engine: &Engine, query: &str| {
        let plan = engine.sql(query).await.expect("planned").create_physical_plan().await.expect("physical plan");
        let batches = collect(Arc::clone(&plan), engine.context().task_ctx()).await.unwrap_or_else(|e| panic!("{query}: {e}"));
        (concat_batches(&plan.schema(), &batches).expect("one schema"), spilled_bytes(&plan))
    };
    let mut spilled = 0;
    for query in [
        "SELECT * FROM correlation_pairs(whole, min_abs => 0.12)",
        "SELECT * FROM correlation_pairs(whole, top => 2000)",
        "SELECT * FROM correlation_pairs(holes, min_abs => 0.15)",
        "SELECT * FROM correlation_pairs(whole, window => 300, step => 200) WHERE correlation > 0.2",
    ] {
        let ((all, _), (some, bytes)) = (collected(&plenty, query).await, collected(&little, query).await);
        assert!(all.num_rows() > 0 && all == some, "{query}: {} {}", all.num_rows(), some.num_rows());
        spilled += bytes;
    }
    assert!(spilled > 0, "nothing had to wait in a file");
}

fn spilled_bytes(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.sum_by_name("spilled_bytes")).map_or(0, |value| value.as_usize());
    own + plan.children().into_iter().map(spilled_bytes).sum::<usize>()
}
