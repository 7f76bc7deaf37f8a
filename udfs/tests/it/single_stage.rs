//! Metrics that keep their rows are computed in one stage, spilling included.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{SingleStage, all_functions};

use crate::session::rows;

const GROUPS: i64 = 2000;

/// `GROUPS` x `periods` rows by day in four partitions, so that every group is in all of them and none is in order.
fn session(rule: bool, periods: i64, memory_bytes: Option<usize>) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(4).with_batch_size(100);
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = memory_bytes {
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features().with_runtime_env(runtime.build_arc().unwrap());
    builder.aggregate_functions().get_or_insert_default().extend(all_functions().unwrap());
    if rule {
        builder = builder.with_physical_optimizer_rule(Arc::new(SingleStage));
    }
    let ctx = SessionContext::new_with_state(builder.build());
    let part = |part: i64| {
        let keys: Vec<(i64, i64)> = (0..periods / 4).flat_map(|d| (0..GROUPS).map(move |g| (g, d * 4 + 3 - part))).collect();
        let x = |&(g, d): &(i64, i64)| ((g + d) % 11 != 0).then(|| ((g * 31 + d * 17) % 13 - 6) as f64 / 8.0);
        let columns: [(&str, ArrayRef); 3] = [
            ("g", Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k.0)))),
            ("d", Arc::new(Date32Array::from_iter_values(keys.iter().map(|k| k.1 as i32)))),
            ("x", Arc::new(Float64Array::from_iter(keys.iter().map(x)))),
        ];
        let whole = RecordBatch::try_from_iter(columns).unwrap();
        (0..whole.num_rows()).step_by(100).map(|at| whole.slice(at, 100)).collect::<Vec<_>>()
    };
    let parts: Vec<_> = (0..4).map(part).collect();
    ctx.register_table("t", Arc::new(MemTable::try_new(parts[0][0].schema(), parts).unwrap())).unwrap();
    ctx
}

async fn plan(ctx: &SessionContext, sql: &str) -> String {
    displayable(ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap().as_ref()).indent(false).to_string()
}

const CALLS: &str = "max_drawdown_pnl(x ORDER BY d), value_at_risk(x), expected_shortfall(x, 0.8) FILTER (WHERE x < 0.5), expectancy(DISTINCT x), \
                     roi(x), drawdown_details_pnl(x, d ORDER BY d)['duration_days']";

#[tokio::test]
async fn calls_that_keep_rows_need_one_stage() {
    let (plain, ruled) = (session(false, 12, None), session(true, 12, None));
    for (sql, one_stage) in [
        (format!("SELECT g, {CALLS} FROM t GROUP BY g ORDER BY g"), true),
        (format!("SELECT g % 7 AS k, g > 9, {CALLS} FROM t WHERE x <> 2 GROUP BY 1, 2 HAVING count(*) > 3 ORDER BY 1, 2"), true),
        (format!("SELECT {CALLS} FROM t"), true),
        ("SELECT g, win_rate(x) FROM t GROUP BY g ORDER BY g".to_owned(), false),
        ("SELECT g, value_at_risk(x, 0.95, 'parametric') FROM t GROUP BY g ORDER BY g".to_owned(), false),
        ("SELECT g, value_at_risk(x) FROM t GROUP BY ROLLUP(g) ORDER BY g".to_owned(), false),
        ("SELECT g, array_agg(x ORDER BY d)[1], value_at_risk(x) FROM t GROUP BY g ORDER BY g".to_owned(), false),
        ("SELECT last_value(x ORDER BY d, g), nth_value(x, 3 ORDER BY d, g), value_at_risk(x) FROM t".to_owned(), false),
        ("SELECT g, first_value(x ORDER BY d), max_drawdown_pnl(x ORDER BY d) FROM t GROUP BY g ORDER BY g".to_owned(), false),
    ] {
        assert!(plan(&plain, &sql).await.contains("mode=Partial"), "{sql}");
        assert_eq!(!plan(&ruled, &sql).await.contains("mode=Partial"), one_stage, "{sql}");
        assert_eq!(rows(&ruled, &sql).await, rows(&plain, &sql).await, "{sql}");
    }
}

#[tokio::test]
async fn more_rows_than_memory_are_spilled() {
    let sql = "SELECT sum(a), sum(b) FROM (SELECT g, max_drawdown_pnl(x ORDER BY d) AS a, value_at_risk(x) AS b FROM t GROUP BY g)";
    let whole = rows(&session(true, 120, None), sql).await;
    // The rows alone take 240,000 x (15 + 10) bytes.
    let ctx = session(true, 120, Some(5_000_000));
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let found = collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
    let sums: Vec<_> = found[0].columns().iter().map(|column| ScalarValue::try_from_array(column, 0).unwrap()).collect();
    assert_eq!(vec![sums], whole);
    let mut spills = 0;
    let count = |node: &Arc<dyn ExecutionPlan>| {
        let of_node = node.metrics().and_then(|metrics| metrics.spill_count());
        spills += of_node.unwrap_or(0);
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply(count).unwrap();
    assert!(spills > 0, "nothing was spilled");
}
