//! Columns that stay decoded for the next query: the same answers, fewer bytes, never more memory than allowed, never an old version.

use tempfile::TempDir;
use tranchedb::Engine;
use tranchedb::config::EngineConfig;
use tranchedb::ingest::{GenerateRequest, Target};

use crate::support::{error, import, legacy_csv, row, rows};

const METRICS: &str =
    "SELECT strategy, sharpe_ratio(pnl), max_drawdown_pnl(pnl ORDER BY date), sum(pnl) FROM s GROUP BY strategy ORDER BY strategy";

/// A table of two years in a folder.
async fn database(strategies: u32, config: EngineConfig) -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let location = Some(folder.path().join("db").to_string_lossy().into_owned());
    let engine = Engine::with_config(EngineConfig { location, ..config }).await.expect("engine");
    let request = GenerateRequest { share_nulls: 0.05, ..GenerateRequest::new(strategies, 400, 7, Target::Table("s".into())) };
    engine.generate(&request).await.expect("generated");
    (folder, engine)
}

/// Bytes that a query takes from the files.
async fn bytes_scanned(engine: &Engine, sql: &str) -> u64 {
    let plan = rows(engine, &format!("EXPLAIN ANALYZE {sql}")).await.join("\n");
    let (_, figure) = plan.split_once("bytes_scanned=").unwrap_or_else(|| panic!("no bytes in {plan}"));
    let figure: String = figure.chars().take_while(|c| !matches!(c, ',' | ']')).collect();
    let (number, unit) = figure.split_once(' ').unwrap_or((&figure, "B"));
    let factor = match unit.trim() {
        "B" | "" => 1.0,
        "K" | "KB" => 1e3,
        "M" | "MB" => 1e6,
        other => panic!("unit {other} of {figure}"),
    };
    (number.parse::<f64>().unwrap_or_else(|_| panic!("{figure}")) * factor) as u64
}

#[tokio::test]
async fn what_is_asked_twice_is_decoded_once() {
    let (_folder, engine) = database(300, EngineConfig::default()).await;
    assert!(bytes_scanned(&engine, METRICS).await > 100_000);
    let plain = rows(&engine, METRICS).await;
    assert_eq!(bytes_scanned(&engine, METRICS).await, 0);
    let other = "SELECT strategy, sortino_ratio(pnl) FROM s GROUP BY strategy";
    assert_eq!(bytes_scanned(&engine, other).await, 0, "another metric over the same values");
    engine.sql("SET tranchedb.decoded_tier_bytes = '0'").await.expect("set");
    assert!(bytes_scanned(&engine, METRICS).await > 100_000);
    assert_eq!(rows(&engine, METRICS).await, plain, "the same bits");
    let refused = error(&engine, "SET tranchedb.decoded_tier_bytes = 'much'").await;
    assert!(refused.contains("a size such as 512MiB"), "{refused}");
}

#[tokio::test]
async fn every_version_has_its_own_values() {
    let (_folder, engine) = database(30, EngineConfig::default()).await;
    let total = "SELECT sum(t) FROM (SELECT strategy, sum(pnl) AS t FROM s GROUP BY strategy)";
    let first = row(&engine, total).await;
    let strategy = row(&engine, "SELECT min(strategy) FROM s").await;
    engine.sql(&format!("DELETE FROM s WHERE strategy = '{strategy}'")).await.expect("deleted");
    let second = row(&engine, total).await;
    assert_ne!(first, second);
    assert_eq!(row(&engine, &total.replace("FROM s", "FROM s VERSION AS OF 0")).await, first);
    engine.sql("RESTORE TABLE s TO VERSION AS OF 0").await.expect("restored");
    assert_eq!(row(&engine, total).await, first);
}

#[tokio::test]
async fn a_column_is_known_by_its_name_when_a_table_gets_more() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    import(&engine, &legacy_csv(folder.path(), "a.csv", "Date,S1,S2", &["2023-01-02,1,2", "2023-01-03,3,4"]), "s").await;
    let total = "SELECT sum(pnl) FROM s GROUP BY strategy ORDER BY strategy";
    assert_eq!(rows(&engine, total).await, ["4.0", "6.0"]);
    let wider = legacy_csv(folder.path(), "b.csv", "Date,portfolio_a,portfolio_b,S1,S2", &["2024-01-02,7,8,1,2"]);
    import(&engine, &wider, "s").await;
    assert_eq!(rows(&engine, "SELECT avg(portfolio_b) FROM s GROUP BY strategy ORDER BY strategy").await, ["8.0", "8.0"]);
    assert_eq!(rows(&engine, "SELECT count(portfolio_a) FROM s GROUP BY strategy ORDER BY strategy").await, ["1", "1"]);
    assert_eq!(rows(&engine, total).await, ["5.0", "8.0"]);
    assert_eq!(rows(&engine, &total.replace("FROM s", "FROM s VERSION AS OF 0")).await, ["4.0", "6.0"]);
}

#[tokio::test]
async fn a_table_larger_than_the_tier_is_kept_in_part() {
    let (_folder, engine) = database(4_000, EngineConfig { decoded_tier_bytes: Some(6 << 20), ..EngineConfig::default() }).await;
    let whole = bytes_scanned(&engine, METRICS).await;
    let again = bytes_scanned(&engine, METRICS).await;
    assert!(again > 0 && again < whole, "{again} of {whole} bytes");
    assert_eq!(bytes_scanned(&engine, METRICS).await, again, "and so every time");
}

#[tokio::test]
async fn queries_have_their_memory_whatever_is_kept() {
    let limited = EngineConfig { memory_limit_bytes: Some(14 << 20), decoded_tier_bytes: Some(14 << 20), ..EngineConfig::default() };
    let (_folder, engine) = database(4_000, limited).await;
    let sorted = "SELECT pnl FROM s ORDER BY pnl, date LIMIT 1 OFFSET 50000";
    let expected = row(&engine, sorted).await;
    for _ in 0..2 {
        rows(&engine, METRICS).await;
        assert_eq!(row(&engine, sorted).await, expected);
    }
}
