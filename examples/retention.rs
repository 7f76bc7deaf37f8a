//! Saves metrics and trades, universe by universe, and prints whether a save becomes slower as the tables grow.
//!
//! `cargo run --release --example retention [SAVES] [STRATEGIES per save]`: 1,000 and 1,000 unless given. Then all metrics are saved once more, in one save.

#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::time::Instant;

use tranchedb::{Engine, Error, SaveRequest};

const TABLES: [&str; 3] = [
    "CREATE TABLE metrics (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, n_trades BIGINT,
        sharpe_ratio DOUBLE, total_return DOUBLE, max_drawdown DOUBLE, rank INT, trades_kept VARCHAR)",
    "CREATE TABLE trades (dataset VARCHAR NOT NULL, universe VARCHAR, strategy_name VARCHAR NOT NULL, lot_size DOUBLE, trade_no INT, pnl_usd DOUBLE)",
    "ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', top => 50, sample => 10, seed => 42, details => 'trades')",
];

/// Saves the universes from `first` to `last` in one save.
async fn save(db: &Engine, (first, last): (usize, usize), strategies: usize) -> Result<(), Error> {
    let key = "'EURUSD_2025' AS dataset, 'universe_' || u.value AS universe, 'Strategy_' || s.value AS strategy_name, 0.1 AS lot_size";
    let from = format!("generate_series({first}, {last}) AS u CROSS JOIN generate_series(1, {strategies}) AS s");
    let metrics = format!(
        "SELECT {key}, 10 AS n_trades, sin(u.value * 31 + s.value) AS sharpe_ratio, cos(s.value) AS total_return, 0.1 AS max_drawdown FROM {from}"
    );
    let trades =
        format!("SELECT {key}, t.value AS trade_no, sin(t.value + s.value) AS pnl_usd FROM {from} CROSS JOIN generate_series(1, 10) AS t");
    let details = if first == last { vec![("trades".to_owned(), db.sql(&trades).await?)] } else { vec![] };
    db.save_metrics("metrics", SaveRequest { metrics: Some(db.sql(&metrics).await?), details }).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let number = |place: usize| std::env::args().nth(place).map_or(Ok(1_000), |text| text.parse::<usize>());
    let (saves, strategies) = (number(1)?, number(2)?);
    let directory = tempfile::tempdir()?;
    let db = Engine::open(&directory.path().to_string_lossy()).await?;
    for sql in TABLES {
        db.sql(sql).await?;
    }
    let mut milliseconds = Vec::new();
    for universe in 1..=saves {
        let began = Instant::now();
        save(&db, (universe, universe), strategies).await?;
        milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let median = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    };
    let tenth = (saves / 10).max(1);
    let (first, last) = (median(&milliseconds[..tenth]), median(&milliseconds[saves - tenth..]));
    println!(
        "{saves} saves of {strategies} strategies with 10 trades each: median {first:.0} ms in the first tenth, {last:.0} ms in the last, {:.2} x",
        last / first
    );
    let began = Instant::now();
    save(&db, (1, saves), strategies).await?;
    println!("one save of {} strategies: {:.1} s", saves * strategies, began.elapsed().as_secs_f64());
    let began = Instant::now();
    let rows = db.sql("SELECT sum(strategies), sum(trades_kept), sum(trades_dropped) FROM system.retention").await?.collect().await?;
    println!(
        "system.retention in {:.1} s:\n{}",
        began.elapsed().as_secs_f64(),
        datafusion::arrow::util::pretty::pretty_format_batches(&rows)?
    );
    Ok(())
}
