//! Groups, partitions, filters and memory.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, Int32Array, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::register_in;

use crate::session::{close, number, register, rows, session_of, try_rows};

const CALLS: &str = "max_drawdown(x / 1000 ORDER BY d), max_drawdown_pnl(x ORDER BY d), sharpe_ratio(x), value_at_risk(x), win_rate(x), \
                     legacy_fitness(x ORDER BY d), max_consecutive_losses(x ORDER BY d), kurtosis(x), beta(x, b), expectancy(DISTINCT x), \
                     ulcer_index_pnl(x ORDER BY d), value_at_risk(x, 0.9, 'cornish_fisher'), roi(x) FILTER (WHERE x > 0)";

/// A value that differs from row to row without any order in it, in hundredths, from -50 to 50.
fn value(seed: u64) -> f64 {
    let mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed >> 40) % 10_001) as f64 / 100.0 - 50.0
}

/// Rows of `groups` strategies over `days` days; `by_day` puts all strategies of one day together.
fn table(groups: i32, days: i32, by_day: bool) -> RecordBatch {
    let order: Vec<(i32, i32)> = if by_day {
        (0..days).flat_map(|d| (0..groups).map(move |g| (g, d))).collect()
    } else {
        (0..groups).flat_map(|g| (0..days).map(move |d| (g, d))).collect()
    };
    let id = |&(g, d): &(i32, i32)| g as u64 * 10_000 + d as u64;
    let missing = |key: &(i32, i32)| id(key).is_multiple_of(17);
    let columns: [(&str, ArrayRef); 4] = [
        ("g", Arc::new(order.iter().map(|k| k.0).collect::<Int32Array>())),
        ("d", Arc::new(order.iter().map(|k| Some(k.1)).collect::<Date32Array>())),
        ("x", Arc::new(order.iter().map(|k| (!missing(k)).then(|| value(id(k)))).collect::<Float64Array>())),
        ("b", Arc::new(order.iter().map(|k| Some(value(id(k) + 7_000_000))).collect::<Float64Array>())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn alike(a: &[Vec<ScalarValue>], b: &[Vec<ScalarValue>]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a[0], b[0]);
        for (i, (x, y)) in a.iter().zip(b).enumerate().skip(1) {
            assert!(close(number(x), number(y), 1e-9), "group {}, column {i}: {x:?} {y:?}", a[0]);
        }
    }
}

#[tokio::test]
async fn the_result_does_not_depend_on_partitions_batches_or_their_order() {
    let whole = table(40, 60, false);
    let sql = format!("SELECT g, {CALLS} FROM t GROUP BY g ORDER BY g");
    let one = session_of(1);
    register(&one, "t", vec![vec![whole.clone()]]);
    let expected = rows(&one, &sql).await;
    assert_eq!(expected.len(), 40);
    let slices = |batch: &RecordBatch, size: usize| -> Vec<RecordBatch> {
        (0..batch.num_rows()).step_by(size).map(|at| batch.slice(at, size.min(batch.num_rows() - at))).collect()
    };
    let days = table(40, 60, true);
    for (partitions, batch, size) in [(1, &days, 7), (2, &whole, 333), (4, &days, 101), (4, &whole, 5)] {
        let ctx = session_of(partitions);
        let mut dealt = vec![vec![]; partitions];
        slices(batch, size).into_iter().enumerate().for_each(|(i, slice)| dealt[(i * 7) % partitions].push(slice));
        dealt.iter_mut().for_each(|slices| slices.reverse());
        register(&ctx, "t", dealt);
        alike(&rows(&ctx, &sql).await, &expected);
    }
}

#[tokio::test]
async fn sorted_input_gives_the_same_in_ordered_plans() {
    let sql = format!("SELECT g, {CALLS} FROM (SELECT * FROM t ORDER BY g, d) GROUP BY g ORDER BY g");
    let plain = format!("SELECT g, {CALLS} FROM t GROUP BY g ORDER BY g");
    for partitions in [1, 3] {
        let ctx = session_of(partitions);
        register(&ctx, "t", vec![vec![table(30, 50, true)]]);
        alike(&rows(&ctx, &sql).await, &rows(&ctx, &plain).await);
    }
}

#[tokio::test]
async fn a_hundred_thousand_groups() {
    let ctx = session_of(2);
    register(&ctx, "t", vec![vec![table(100_000, 1, true)], vec![table(100_000, 2, true).slice(100_000, 100_000)]]);
    let sql = "SELECT count(*), count(m), min(m), sum(n), count(s) FROM (SELECT g, max_drawdown_pnl(x ORDER BY d) m, sharpe_ratio(x) s, \
               max_consecutive_wins(x ORDER BY d) n FROM t GROUP BY g)";
    let found = rows(&ctx, sql).await;
    let numbers: Vec<Option<f64>> = found[0].iter().map(number).collect();
    assert_eq!(numbers[0], Some(100_000.0));
    assert!(numbers[1].is_some_and(|n| n > 99_000.0) && numbers[2].is_some_and(|m| (-100.0..-90.0).contains(&m)), "{numbers:?}");
}

#[tokio::test]
async fn little_memory_spills_and_gives_the_same() {
    let whole = table(3_000, 20, true);
    let sql = "SELECT g, max_drawdown_pnl(x ORDER BY d), value_at_risk(x), sharpe_ratio(x) FROM t GROUP BY g ORDER BY g";
    let rich = session_of(1);
    register(&rich, "t", vec![vec![whole.clone()]]);
    let expected = rows(&rich, sql).await;
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(4_000_000, 1.0).build_arc().unwrap();
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(512);
    let config = config.set_usize("datafusion.execution.sort_spill_reservation_bytes", 100_000);
    let poor = SessionContext::new_with_config_rt(config, runtime);
    register_in(&poor).unwrap();
    let slices = (0..whole.num_rows()).step_by(500).map(|at| whole.slice(at, 500)).collect();
    register(&poor, "t", vec![slices]);
    match try_rows(&poor, sql).await {
        Ok(found) => alike(&found, &expected),
        Err(e) => assert!(e.to_string().contains("Resources exhausted"), "{e}"),
    }
}

#[tokio::test]
async fn grouping_sets_and_many_keys_work() {
    let ctx = session_of(3);
    register(&ctx, "t", vec![vec![table(6, 30, true)]]);
    let total = rows(&ctx, "SELECT 0, max_drawdown_pnl(x ORDER BY d, g), roi(x) FROM t").await;
    let cube = rows(&ctx, "SELECT 0, max_drawdown_pnl(x ORDER BY d, g), roi(x) FROM t GROUP BY ROLLUP(g) HAVING grouping(g) = 1").await;
    alike(&cube, &total);
    let reversed = rows(&ctx, "SELECT 0, max_drawdown_pnl(x ORDER BY d, CAST(g AS VARCHAR)), roi(x) FROM t").await;
    alike(&reversed, &total);
}
