//! Calls of indicators that planning must refuse, with a message that names function, argument and allowed values.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use datafusion::logical_expr::col;
use datafusion::prelude::SessionContext;
use datafusion_functions_finance::{find_indicator, register_all};

use crate::indicator_stream::sessions;
use crate::session::{X, batch, column, error, register_columns, rows, some};

async fn refuses(expression: &str, parts: &[&str]) {
    for ctx in sessions(2) {
        register_columns(&ctx, "t", &[("x", some(X)), ("k", some(X))]);
        let sql = format!("SELECT {expression} FROM t");
        let planned = match ctx.sql(&sql).await {
            Ok(frame) => frame.create_physical_plan().await.map(|_| ()),
            Err(e) => Err(e),
        };
        let message = planned.unwrap_err().find_root().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{expression}: {message}");
    }
}

#[tokio::test]
async fn wrong_counts_and_types_are_refused() {
    let usage = "ema(x, n [, seed = 'sma']) OVER (ORDER BY time)";
    refuses("ema() OVER (ORDER BY d)", &["ema takes 2 to 3 arguments, got 0", usage]).await;
    refuses("ema(x) OVER (ORDER BY d)", &["ema takes 2 to 3 arguments, got 1", usage]).await;
    refuses("ema(x, 3, 'sma', 4) OVER (ORDER BY d)", &["ema takes 2 to 3 arguments, got 4"]).await;
    refuses("true_range(x, x) OVER (ORDER BY d)", &["true_range takes 3 arguments, got 2"]).await;
    refuses("sma('x', 3) OVER (ORDER BY d)", &["sma: argument x must be a numeric column, got Utf8"]).await;
    refuses("sma(d, 3) OVER (ORDER BY d)", &["sma: argument x must be a numeric column, got Date32"]).await;
    refuses("sma(x, '3') OVER (ORDER BY d)", &["sma: argument n must be a constant whole number of rows, at least 1, got Utf8"]).await;
}

#[tokio::test]
async fn wrong_constants_are_refused() {
    let n = "sma: argument n must be a constant whole number of rows, at least 1";
    for wrong in ["0", "-3", "2.5", "NULL", "1e300"] {
        refuses(&format!("sma(x, {wrong}) OVER (ORDER BY d)"), &[n, "usage: sma(x, n) OVER (ORDER BY time)"]).await;
    }
    refuses("sma(x, k) OVER (ORDER BY d)", &[n, "known before the query runs"]).await;
    refuses("sma(x, CAST(random() * 9 AS INT) + 1) OVER (ORDER BY d)", &[n]).await;
    refuses("macd(x, 26, 12) OVER (ORDER BY d)", &["macd: argument fast must be", "less than slow", "got fast 26 and slow 12"]).await;
    refuses("macd(x, fast => 12, slow => 12) OVER (ORDER BY d)", &["got fast 12 and slow 12"]).await;
    refuses("rolling_stddev(x, 3, 3) OVER (ORDER BY d)", &["rolling_stddev: argument ddof must be", "got ddof 3 and n 3"]).await;
    refuses("rolling_stddev(x, 1) OVER (ORDER BY d)", &["got ddof 1 and n 1"]).await;
    refuses("rolling_stddev(x, 3, -1) OVER (ORDER BY d)", &["rolling_stddev: argument ddof must be", "got -1"]).await;
    refuses("bollinger_bands(x, 20, -2) OVER (ORDER BY d)", &["bollinger_bands: argument k must be a constant number, not negative"]).await;
    refuses("ema(x, 3, 'wilder') OVER (ORDER BY d)", &["ema: argument seed must be the constant 'sma' or 'first', got wilder"]).await;
    refuses("rsi(x, 3, 'simple') OVER (ORDER BY d)", &["rsi: argument method must be the constant 'wilder' or 'cutler', got simple"]).await;
    refuses("atr(x, x, x, 3, 'cutler') OVER (ORDER BY d)", &["atr: argument method must be the constant 'wilder' or 'simple'"]).await;
    refuses("ema(x, 3, period => 4) OVER (ORDER BY d)", &["period"]).await;
}

#[tokio::test]
async fn clauses_that_would_be_left_out_in_silence_are_refused() {
    refuses("sma(DISTINCT x, 3) OVER (ORDER BY d)", &["sma does not take DISTINCT"]).await;
    // DataFusion's own check.
    refuses("sma(x, 3) FILTER (WHERE x > 0) OVER (ORDER BY d)", &["FILTER clause can only be used with aggregate window functions"]).await;
    refuses("sma(x, 3) IGNORE NULLS OVER (ORDER BY d)", &["sma takes neither IGNORE NULLS nor RESPECT NULLS"]).await;
    refuses("locf(x) RESPECT NULLS OVER (ORDER BY d)", &["locf takes neither", "always carries values over NULLs"]).await;
}

#[tokio::test]
async fn an_order_is_required() {
    refuses("ema(x, 3) OVER ()", &["ema needs a time order: write ema(x, 3) OVER (ORDER BY <time column>) or declare the order"]).await;
    refuses("ema(x + 1, n => 3) OVER (PARTITION BY k)", &["ema needs a time order"]).await;
    refuses("locf(x) OVER ()", &["locf needs a time order"]).await;
    refuses("drawdown(x) OVER ()", &["drawdown needs a time order"]).await;
}

#[tokio::test]
async fn a_declared_order_is_used() {
    for ctx in sessions(2) {
        let whole = batch(&[("x", some(X)), ("g", some(&[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]))]);
        let table = MemTable::try_new(whole.schema(), vec![vec![whole]]).unwrap().with_sort_order(vec![vec![col("d").sort(true, false)]]);
        ctx.register_table("t", Arc::new(table)).unwrap();
        for (over, ordered) in [("", "ORDER BY d"), ("PARTITION BY g", "PARTITION BY g ORDER BY d")] {
            for calls in ["ema(x, 2) OVER (#), 1", "ema(x, 2) OVER (#), count(*) OVER ()"] {
                let sql = |window: &str| format!("SELECT {} FROM t WHERE x < 90 ORDER BY d", calls.replace('#', window));
                let (found, expected) = (rows(&ctx, &sql(over)).await, rows(&ctx, &sql(ordered)).await);
                assert_eq!(column(&found, 0), column(&expected, 0), "{over} {calls}");
                assert_eq!(found.len(), 7);
            }
        }
        assert!(error(&ctx, "SELECT ema(x, 2) OVER () FROM (SELECT x FROM t)").await.contains("needs a time order"));
    }
}

#[tokio::test]
async fn bound_parameters_are_constants() {
    for ctx in sessions(2) {
        register_columns(&ctx, "t", &[("x", some(X))]);
        let bound = ctx.sql("SELECT sma(x, $1) OVER (ORDER BY d) FROM t ORDER BY d").await.unwrap();
        let found = bound.clone().with_param_values(vec![datafusion::common::ScalarValue::Int64(Some(2))]).unwrap();
        let found = found.collect().await.unwrap();
        let expected = rows(&ctx, "SELECT sma(x, 1 + 1) OVER (ORDER BY d) FROM t ORDER BY d").await;
        let first = datafusion::common::ScalarValue::try_from_array(found[0].column(0), 1).unwrap();
        assert_eq!(first, expected[1][0]);
        let wrong = bound.with_param_values(vec![datafusion::common::ScalarValue::Int64(Some(0))]).unwrap().collect().await;
        assert!(wrong.unwrap_err().find_root().to_string().contains("at least 1"));
    }
}

#[tokio::test]
async fn a_bare_registry_has_the_functions_and_the_checks() {
    let mut ctx = SessionContext::new();
    register_all(&mut ctx).unwrap();
    register_columns(&ctx, "t", &[("x", some(X))]);
    let found = column(&rows(&ctx, "SELECT sma(x, 2) OVER (ORDER BY d) FROM t ORDER BY d").await, 0);
    assert_eq!(found[..3], [None, Some(35.0), Some(25.0)]);
    assert!(error(&ctx, "SELECT sma(x, 2) OVER () FROM t").await.contains("sma needs a time order"));
    assert!(error(&ctx, "SELECT sma(x, 0) OVER (ORDER BY d) FROM t").await.contains("at least 1"));
    assert!(error(&ctx, "SELECT sma(x, 2) FILTER (WHERE x > 0) OVER (ORDER BY d) FROM t").await.contains("FILTER"));
    assert_eq!(find_indicator("MACD").unwrap().name, "macd");
    assert!(find_indicator("sharpe_ratio").is_none());
}
