//! The ways an indicator can run: row by row, in batches, over many partitions, beside other window functions, under a memory limit.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{SortExpr, col};
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{RequireTimeOrder, StreamIndicators, all_functions, all_indicators};

use crate::session::{column, error, number, rows};

fn session_with(config: SessionConfig, rule: bool, memory: Option<usize>) -> SessionContext {
    let mut builder =
        SessionStateBuilder::new().with_config(config).with_default_features().with_analyzer_rule(Arc::new(RequireTimeOrder::new()));
    if rule {
        builder = builder.with_physical_optimizer_rule(Arc::new(StreamIndicators));
    }
    if let Some(bytes) = memory {
        builder = builder.with_runtime_env(RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc().unwrap());
    }
    builder.aggregate_functions().get_or_insert_default().extend(all_functions().unwrap());
    builder.window_functions().get_or_insert_default().extend(all_indicators().unwrap());
    SessionContext::new_with_state(builder.build())
}

/// A session in which indicators run row by row, and one in which they run in batches.
pub(crate) fn sessions(partitions: usize) -> [SessionContext; 2] {
    [false, true].map(|rule| session_with(SessionConfig::new().with_target_partitions(partitions).with_batch_size(64), rule, None))
}

/// Series of several lengths, shuffled: key `g`, day `d`, values `x` with gaps, prices `high`, `low`, `close`.
fn series() -> RecordBatch {
    let lengths = [1, 2, 3, 97, 250, 5, 64, 128, 300];
    let mut keys: Vec<(usize, i32)> = lengths.iter().enumerate().flat_map(|(g, &days)| (0..days).map(move |d| (g, d))).collect();
    keys.sort_by_key(|&(g, d)| (g * 7919 + d as usize * 104_729) % 1009);
    let noise = |g: usize, d: i32| ((g as i64 * 31 + i64::from(d) * 7919) % 211) as f64 / 10.0;
    let close: Vec<f64> = keys.iter().map(|&(g, d)| 100.0 + noise(g, d)).collect();
    let columns: [(&str, ArrayRef); 6] = [
        ("g", Arc::new(StringArray::from_iter_values(keys.iter().map(|k| format!("g{}", k.0))))),
        ("d", Arc::new(Date32Array::from_iter_values(keys.iter().map(|k| k.1)))),
        ("x", Arc::new(Float64Array::from_iter(keys.iter().map(|&(g, d)| (noise(g, d) > 2.0).then(|| noise(d as usize, g as i32)))))),
        ("high", Arc::new(Float64Array::from_iter_values(close.iter().map(|c| c + 2.0)))),
        ("low", Arc::new(Float64Array::from_iter_values(close.iter().map(|c| c - 1.5)))),
        ("close", Arc::new(Float64Array::from_iter_values(close))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn register(ctx: &SessionContext, parts: usize) {
    let whole = series();
    let step = whole.num_rows().div_ceil(parts);
    let slices = (0..whole.num_rows()).step_by(step).map(|at| vec![whole.slice(at, step.min(whole.num_rows() - at))]).collect();
    ctx.register_table("t", Arc::new(MemTable::try_new(whole.schema(), slices).unwrap())).unwrap();
}

const CALLS: &str = "sma(x, 5) OVER w AS c1, ema(x, 5) OVER w AS c2, rma(x, 4, 'first') OVER w AS c3, rsi(x, 3) OVER w AS c4, \
                     rsi(x, 3, 'cutler') OVER w AS c5, macd(x, 3, 6, 2) OVER w AS c6, bollinger_bands(x, 4, 2) OVER w AS c7, \
                     true_range(high, low, close) OVER w AS c8, atr(high, low, x, 4) OVER w AS c9, rolling_stddev(x, 7) OVER w AS c10, \
                     locf(x) OVER w AS c11, locf(CASE WHEN x > 10 THEN g END) OVER w AS c12, equity(x / 1000) OVER w AS c13, \
                     drawdown(x / 1000 - 0.01) OVER w AS c14, drawdown_pnl(x - 10) OVER w AS c15, equity_pnl(x) OVER w AS c16";

async fn result(ctx: &SessionContext, over: &str) -> Vec<Vec<ScalarValue>> {
    rows(ctx, &format!("SELECT g, d, {CALLS} FROM t WINDOW w AS ({over}) ORDER BY g, d")).await
}

#[tokio::test]
async fn batches_rows_and_partitions_give_the_same_bits() {
    for over in ["PARTITION BY g ORDER BY d", "ORDER BY g, d", "PARTITION BY g ORDER BY d DESC", "PARTITION BY x ORDER BY g, d"] {
        let mut reference = None;
        for (partitions, batch_size, rule) in
            [(1, 100_000, true), (1, 7, true), (3, 64, true), (4, 1, true), (1, 8192, false), (3, 33, false)]
        {
            let ctx = session_with(SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_size), rule, None);
            register(&ctx, partitions);
            let found = result(&ctx, over).await;
            let reference = reference.get_or_insert_with(|| found.clone());
            assert_eq!(found.len(), 850);
            assert!(&found == reference, "{over}: {partitions} partitions, batches of {batch_size}, rule {rule}");
        }
    }
}

/// Whole inputs held in memory, where another function of the node needs them.
#[tokio::test]
async fn beside_other_functions_of_the_same_window() {
    let [plain, ruled] = sessions(2);
    for ctx in [&plain, &ruled] {
        register(ctx, 3);
    }
    for other in ["row_number()", "sum(x)", "lead(x)", "ntile(4)", "max_drawdown_pnl(x)"] {
        let sql = format!(
            "SELECT g, d, ema(x, 3) OVER w AS a, {other} OVER w AS b, bollinger_bands(x, 4, 2) OVER w AS c, x FROM t \
             WINDOW w AS (PARTITION BY g ORDER BY d) ORDER BY g, d"
        );
        assert_eq!(rows(&plain, &sql).await, rows(&ruled, &sql).await, "{other}");
        assert!(plan(&ruled, &sql).await.contains("IndicatorExec"), "{other}");
        assert!(!plan(&plain, &sql).await.contains("IndicatorExec"), "{other}");
    }
    let whole = "SELECT g, d, ema(x, 3) OVER (PARTITION BY g ORDER BY d) AS a, \
                 sum(x) OVER (PARTITION BY g ORDER BY d ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS b FROM t ORDER BY g, d";
    assert_eq!(rows(&plain, whole).await, rows(&ruled, whole).await);
    assert!(plan(&plain, whole).await.contains(" WindowAggExec"), "{}", plan(&plain, whole).await);
}

async fn plan(ctx: &SessionContext, sql: &str) -> String {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(false).to_string()
}

#[tokio::test]
async fn the_rule_places_the_operator_and_a_limit_still_works() {
    let [plain, ruled] = sessions(3);
    for ctx in [&plain, &ruled] {
        register(ctx, 3);
    }
    let sql = "SELECT g, d, sma(x, 3) OVER (PARTITION BY g ORDER BY d) AS a, ema(x, 3) OVER (ORDER BY g, d) AS b FROM t";
    assert_eq!(plan(&ruled, sql).await.matches("IndicatorExec").count(), 2, "{}", plan(&ruled, sql).await);
    assert!(!plan(&ruled, sql).await.contains("WindowAggExec"));
    for limit in [1, 5, 200, 849] {
        let sql = format!("{sql} ORDER BY g, d LIMIT {limit}");
        let found = rows(&ruled, &sql).await;
        assert_eq!(found.len(), limit);
        assert_eq!(found, rows(&plain, &sql).await);
    }
    let found = rows(&ruled, &format!("EXPLAIN ANALYZE {sql}")).await;
    let text = found.iter().map(|row| row[1].to_string()).collect::<String>();
    assert!(text.contains("IndicatorExec") && text.contains("output_rows=850"), "{text}");
}

#[tokio::test]
async fn no_rows_no_values() {
    for ctx in sessions(2) {
        register(&ctx, 2);
        let found = rows(&ctx, &format!("SELECT {CALLS} FROM t WHERE d < 0 WINDOW w AS (PARTITION BY g ORDER BY d)")).await;
        assert!(found.is_empty());
    }
}

/// States and one batch are all that is held: a table far larger than the memory limit runs through, and a state larger than it fails.
#[tokio::test]
async fn memory_is_that_of_the_states() {
    let order = |keys: &[&str]| -> Vec<SortExpr> { keys.iter().map(|key| col(*key).sort(true, false)).collect() };
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(0..200_000));
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..200_000).map(|i| f64::from(i % 1009))));
    let whole = RecordBatch::try_from_iter([("d", days), ("x", values)]).unwrap();
    let slices = (0..200_000).step_by(1000).map(|at| whole.slice(at, 1000)).collect();
    let config = || SessionConfig::new().with_target_partitions(1).with_batch_size(1000);
    let ctx = session_with(config(), true, Some(200_000));
    let table = MemTable::try_new(whole.schema(), vec![slices]).unwrap().with_sort_order(vec![order(&["d"])]);
    ctx.register_table("t", Arc::new(table)).unwrap();
    let sql = |n: usize| format!("SELECT count(a), sum(a) FROM (SELECT sma(x, {n}) OVER (ORDER BY d) AS a FROM t)");
    assert_eq!(number(&rows(&ctx, &sql(1000)).await[0][0]), Some(199_001.0));
    let message = error(&ctx, &sql(100_000)).await;
    assert!(message.contains("IndicatorExec"), "{message}");
    // More rows than there are: the state grows with the rows that came, not with n.
    let tiny = "SELECT sma(x, 9007199254740992) OVER (ORDER BY d) FROM t WHERE d < 100";
    assert!(column(&rows(&ctx, tiny).await, 0).iter().all(Option::is_none));
}

#[tokio::test]
async fn a_long_standstill_keeps_the_proportion_of_gains() {
    let values = (0..40).map(|i| f64::from(i % 7)).chain(std::iter::repeat_n(3.0, 30_000));
    let values: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(0..30_040));
    let whole = RecordBatch::try_from_iter([("d", days), ("x", values)]).unwrap();
    for ctx in sessions(1) {
        ctx.register_table("t", Arc::new(MemTable::try_new(whole.schema(), vec![vec![whole.clone()]]).unwrap())).unwrap();
        let found = column(&rows(&ctx, "SELECT rsi(x, 14) OVER (ORDER BY d) FROM t ORDER BY d").await, 0);
        let (before, after) = (found[41].unwrap(), found[30_039].unwrap());
        assert!((before - after).abs() < 1e-9 && before > 1.0 && before < 99.0, "{before} {after}");
    }
}
