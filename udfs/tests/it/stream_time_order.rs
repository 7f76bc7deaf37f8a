//! Path metrics that keep no rows where the plan brings them in order.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::col;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{MetricUdaf, RequireTimeOrder, StreamTimeOrder, all_functions};

use crate::session::{close, number, rows};

const CALLS: &str = "max_drawdown(x / 100), max_drawdown_pnl(x), calmar_ratio_pnl(x), ulcer_index(x / 100), max_consecutive_wins(x), \
                     time_under_water_pnl(x), legacy_fitness(x) FILTER (WHERE x > -4), roi(x), max_drawdown_pnl(x ORDER BY d DESC) AS back";

/// A session with or without the rule, over 20 groups of 30 days, sorted by group and day and declared so.
fn session(partitions: usize, rule: bool) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(64);
    let mut builder =
        SessionStateBuilder::new().with_config(config).with_default_features().with_analyzer_rule(Arc::new(RequireTimeOrder::new()));
    builder.aggregate_functions().get_or_insert_default().extend(all_functions().unwrap());
    if rule {
        builder = builder.with_physical_optimizer_rule(Arc::new(StreamTimeOrder));
    }
    let ctx = SessionContext::new_with_state(builder.build());
    let keys: Vec<(i32, i32)> = (0..20).flat_map(|g| (0..30).map(move |d| (g, d))).collect();
    let x = |&(g, d): &(i32, i32)| ((g + d) % 11 != 0).then(|| f64::from((g * 31 + d * 17) % 13 - 6));
    let columns: [(&str, ArrayRef); 3] = [
        ("g", Arc::new(StringArray::from_iter_values(keys.iter().map(|k| format!("{:02}", k.0))))),
        ("d", Arc::new(Date32Array::from_iter_values(keys.iter().map(|k| k.1)))),
        ("x", Arc::new(Float64Array::from_iter(keys.iter().map(x)))),
    ];
    let whole = RecordBatch::try_from_iter(columns).unwrap();
    let slices = (0..600).step_by(50).map(|at| whole.slice(at, 50)).collect();
    let order = vec![col("g").sort(true, false), col("d").sort(true, false)];
    let table = MemTable::try_new(whole.schema(), vec![slices]).unwrap().with_sort_order(vec![order]);
    ctx.register_table("t", Arc::new(table)).unwrap();
    ctx
}

/// How many calls of the plan keep no rows.
async fn streaming_calls(ctx: &SessionContext, sql: &str) -> usize {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let mut found = 0;
    let count = |node: &Arc<dyn datafusion::physical_plan::ExecutionPlan>| {
        let calls = node.downcast_ref::<AggregateExec>().map(AggregateExec::aggr_expr).unwrap_or_default();
        let ours = calls.iter().filter_map(|call| MetricUdaf::of(call.fun()));
        found += ours.filter(|f| f.in_time_order().is_some_and(|streaming| streaming == **f)).count();
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply(count).unwrap();
    found
}

#[tokio::test]
async fn sorted_single_stage_plans_stream_and_give_the_same() {
    for (sql, streaming) in [
        (format!("SELECT g, {CALLS} FROM t GROUP BY g ORDER BY g"), 7),
        (format!("SELECT 'all', {CALLS} FROM t"), 7),
        (format!("SELECT g, {CALLS} FROM t WHERE x <> 2 GROUP BY g ORDER BY g"), 7),
        ("SELECT d, max_drawdown_pnl(x ORDER BY g), max_drawdown_pnl(x ORDER BY g, d) AS m FROM t GROUP BY d ORDER BY d".to_owned(), 0),
    ] {
        let (plain, ruled) = (session(1, false), session(1, true));
        assert_eq!(streaming_calls(&plain, &sql).await, 0);
        assert_eq!(streaming_calls(&ruled, &sql).await, streaming, "{sql}");
        let (expected, found) = (rows(&plain, &sql).await, rows(&ruled, &sql).await);
        assert_eq!(expected.len(), found.len());
        for (a, b) in found.iter().zip(&expected) {
            assert!(a[1..].iter().zip(&b[1..]).all(|(a, b)| close(number(a), number(b), 1e-12)), "{a:?} {b:?}");
        }
    }
}

#[tokio::test]
async fn plans_of_several_stages_keep_their_rows() {
    let ctx = session(4, true);
    let sql = "SELECT CAST(g AS INT) % 3, max_drawdown_pnl(x ORDER BY g, d) FROM t GROUP BY 1 ORDER BY 1";
    assert_eq!(streaming_calls(&ctx, sql).await, 0);
    let expected = rows(&session(1, false), sql).await;
    assert_eq!(rows(&ctx, sql).await, expected);
}
