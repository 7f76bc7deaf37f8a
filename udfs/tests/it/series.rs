//! Aggregates and orders by series: the same as the plans they stand for, whatever the rows look like.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::{SeriesExec, SingleStage, StreamIndicators, all_functions, all_indicators};

use crate::session::{error, rows};

/// A session of `partitions`, with or without the rules, and with or without a limit of memory.
fn session(partitions: usize, rules: bool, memory_bytes: Option<usize>) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(256);
    config.options_mut().optimizer.repartition_file_min_size = 1;
    config.options_mut().optimizer.prefer_existing_sort = true;
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(bytes) = memory_bytes {
        config.options_mut().execution.sort_spill_reservation_bytes = 64 << 10;
        runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
    }
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features().with_runtime_env(runtime.build_arc().unwrap());
    if rules {
        builder = builder.with_physical_optimizer_rule(Arc::new(SingleStage)).with_physical_optimizer_rule(Arc::new(StreamIndicators));
    }
    builder.aggregate_functions().get_or_insert_default().extend(all_functions().unwrap());
    builder.window_functions().get_or_insert_default().extend(all_indicators().unwrap());
    SessionContext::new_with_state(builder.build())
}

/// A way in which the rows of so many series of this length lie: (series, time) in the order of the rows.
type Layout = (&'static str, fn(i64, i64) -> Vec<(i64, i64)>);

const LAYOUTS: &[Layout] = &[
    ("one series after the other", |series, length| (0..series).flat_map(|p| (0..length).map(move |t| (p, t))).collect()),
    ("keys descend", |series, length| (0..series).rev().flat_map(|p| (0..length).map(move |t| (p, t))).collect()),
    ("time descends in every third series", |series, length| {
        (0..series).flat_map(|p| (0..length).map(move |t| (p, if p % 3 == 0 { length - 1 - t } else { t }))).collect()
    }),
    ("runs of several series in turn", |series, length| {
        (0..(length + 49) / 50)
            .flat_map(|k| (0..series).flat_map(move |p| (k * 50..length.min(k * 50 + 50)).map(move |t| (p, t))))
            .collect()
    }),
    ("runs in turn, the latest first", |series, length| {
        let runs = (0..(length + 49) / 50).rev();
        runs.flat_map(|k| (0..series).flat_map(move |p| (k * 50..length.min(k * 50 + 50)).map(move |t| (p, t)))).collect()
    }),
    ("all series at every time", |series, length| (0..length).flat_map(|t| (0..series).map(move |p| (p, t))).collect()),
];

/// Rows of `series` x `length`, the keys of some series NULL in part: `p`, `name`, `t`, `x` with gaps.
fn batch(keys: &[(i64, i64)]) -> RecordBatch {
    let x = |&(p, t): &(i64, i64)| ((p * 7 + t) % 13 != 0).then(|| ((p * 31 + t * 17) % 101 - 50) as f64 / 8.0);
    let columns: [(&str, ArrayRef); 4] = [
        ("p", Arc::new(Int64Array::from_iter(keys.iter().map(|k| (k.0 != 5).then_some(k.0))))),
        ("name", Arc::new(StringArray::from_iter_values(keys.iter().map(|k| format!("series {:03}", k.0 / 2))))),
        ("t", Arc::new(Int64Array::from_iter_values(keys.iter().map(|k| k.1)))),
        ("x", Arc::new(Float64Array::from_iter(keys.iter().map(x)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Registers the rows as `t`, cut into batches of 100 and dealt to three partitions of consecutive rows.
fn register(ctx: &SessionContext, keys: &[(i64, i64)]) {
    let whole = batch(keys);
    let part = |keys: &[(i64, i64)]| keys.chunks(100).map(batch).collect::<Vec<_>>();
    let parts = keys.chunks(keys.len().div_ceil(3)).map(part).collect();
    ctx.register_table("t", Arc::new(MemTable::try_new(whole.schema(), parts).unwrap())).unwrap();
}

async fn plan(ctx: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(false).to_string()
}

/// What a metric of the operators of a plan adds up to.
fn counted(plan: &Arc<dyn ExecutionPlan>, metric: &str) -> usize {
    let mut sum = 0;
    let add = |node: &Arc<dyn ExecutionPlan>| {
        sum += node.is::<SeriesExec>().then(|| node.metrics().unwrap().sum_by_name(metric)).flatten().map_or(0, |v| v.as_usize());
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply(add).unwrap();
    sum
}

/// The rows of a plan.
async fn collected(ctx: &SessionContext, plan: &Arc<dyn ExecutionPlan>) -> Vec<Vec<ScalarValue>> {
    let batches = collect(Arc::clone(plan), ctx.task_ctx()).await.unwrap();
    let row = |batch: &RecordBatch, i: usize| batch.columns().iter().map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect();
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|i| row(batch, i)).collect::<Vec<_>>()).collect()
}

const AGGREGATES: &[&str] = &[
    "SELECT p, value_at_risk(x) AS a, count(*), max(t) FROM t GROUP BY p ORDER BY p",
    "SELECT name, value_at_risk(x, 0.9) AS a, expected_shortfall(x) FILTER (WHERE t % 3 = 0) AS b FROM t GROUP BY name ORDER BY name",
    "SELECT name, p, max_drawdown_pnl(x ORDER BY t) AS a, expectancy(DISTINCT x) AS b, value_at_risk(x + p) AS c FROM t GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT p % 4 AS k, p > 3 AS j, drawdown_details_pnl(x, t ORDER BY t)['duration_days'] AS a, value_at_risk(x) AS b FROM t GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT p, value_at_risk(x) AS a FROM t WHERE t < 0 GROUP BY p ORDER BY p",
];

const INDICATORS: &[&str] = &[
    "SELECT p, t, x, sma(x, 5) OVER w AS a, bollinger_bands(x, 4, 2) OVER w AS b FROM t WINDOW w AS (PARTITION BY p ORDER BY t) ORDER BY p, t",
    "SELECT p, t, ema(x, 5) OVER w AS a FROM t WINDOW w AS (PARTITION BY p ORDER BY t DESC) ORDER BY p, t",
    "SELECT name, p, t, rsi(x, 5) OVER w AS a FROM t WINDOW w AS (PARTITION BY p, name ORDER BY t) ORDER BY name, p, t",
    "SELECT p, t, ema(x, 5) OVER w AS a FROM t WINDOW w AS (PARTITION BY name ORDER BY p, t) ORDER BY p, t",
    "SELECT p, t, locf(x) OVER w AS a, t * 2 AS b FROM t WINDOW w AS (PARTITION BY p % 3, name ORDER BY t % 7, t, p) ORDER BY p, t",
    "SELECT p, t, ema(t, 5) OVER w AS a FROM t WINDOW w AS (PARTITION BY p ORDER BY x DESC NULLS LAST, t) ORDER BY p, t",
    "SELECT p, t, x, ema(x, 5) OVER w AS a FROM t WHERE t % 50 = 3 WINDOW w AS (PARTITION BY p ORDER BY x NULLS FIRST) ORDER BY p, x, t",
    "SELECT p, t, ema(x, 5) OVER w AS a FROM t WHERE t < 0 WINDOW w AS (PARTITION BY p ORDER BY t)",
];

#[tokio::test]
async fn every_layout_gives_what_the_plain_plan_gives() {
    for (layout, keys) in LAYOUTS {
        let keys = keys(11, 330);
        let plain = session(1, false, None);
        register(&plain, &keys);
        for sql in AGGREGATES.iter().chain(INDICATORS) {
            let expected = rows(&plain, sql).await;
            for partitions in [2, 3, 5] {
                let ctx = session(partitions, true, None);
                register(&ctx, &keys);
                let plan = plan(&ctx, sql).await;
                assert!(text(&plan).contains("SeriesExec: by=["), "{sql}\n{}", text(&plan));
                assert!(collected(&ctx, &plan).await == expected, "{layout}, {partitions} partitions: {sql}");
                assert_eq!(counted(&plan, "declined"), 0);
            }
        }
    }
}

#[tokio::test]
async fn explain_shows_what_is_done_by_series() {
    let ctx = session(2, true, None);
    register(&ctx, &LAYOUTS[0].1(3, 10));
    let aggregate = text(&plan(&ctx, "SELECT p, value_at_risk(x) AS a FROM t GROUP BY p").await);
    assert!(aggregate.contains("SeriesExec: by=[p@0], aggr=[value_at_risk(t.x)]\n"), "{aggregate}");
    let order = text(&plan(&ctx, "SELECT sma(x, 2) OVER (PARTITION BY p ORDER BY t DESC) AS a FROM t").await);
    assert!(order.contains("SeriesExec: by=[p@0], order=[t@1 DESC]\n"), "{order}");
    for text in [aggregate, order] {
        assert!(!text.contains("RepartitionExec: partitioning=Hash") && !text.contains("SortExec"), "{text}");
    }
    let tree = rows(&ctx, "EXPLAIN FORMAT TREE SELECT p, value_at_risk(x) AS a FROM t GROUP BY p").await;
    assert!(tree.iter().any(|row| row[1].to_string().contains("SeriesExec")));
}

#[tokio::test]
async fn plans_that_gain_nothing_stay() {
    let ctx = session(2, true, None);
    register(&ctx, &LAYOUTS[0].1(3, 10));
    for sql in [
        "SELECT value_at_risk(x) AS a FROM t",
        "SELECT p, sharpe_ratio(x) AS a FROM t GROUP BY p",
        "SELECT ema(x, 2) OVER (ORDER BY t) AS a FROM t",
        "SELECT ema(x, 2) OVER (PARTITION BY x ORDER BY t) AS a FROM t",
        "SELECT sum(x) OVER (PARTITION BY p ORDER BY t) AS a FROM t",
        "SELECT ema(x, 2) OVER (PARTITION BY p ORDER BY named_struct('t', t) ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS a FROM t",
    ] {
        assert!(!text(&plan(&ctx, sql).await).contains("SeriesExec"), "{sql}");
    }
}

#[tokio::test]
async fn rows_that_do_not_come_together_are_left_to_the_plain_plan() {
    let keys = LAYOUTS.iter().find(|layout| layout.0 == "all series at every time").unwrap().1(25, 3000);
    let (plain, ctx) = (session(1, true, None), session(3, true, None));
    register(&plain, &keys);
    register(&ctx, &keys);
    for sql in [AGGREGATES[0], INDICATORS[0]] {
        let plan = plan(&ctx, sql).await;
        let found = collected(&ctx, &plan).await;
        assert_eq!(counted(&plan, "declined"), 1, "{sql}");
        assert!(found == rows(&plain, sql).await, "{sql}");
    }
}

#[tokio::test]
async fn more_rows_than_memory_are_handed_to_the_plain_plan() {
    let keys = LAYOUTS[3].1(25, 8000);
    let (plain, ctx, roomy) = (session(1, true, None), session(3, true, Some(4_000_000)), session(3, true, None));
    [&plain, &ctx, &roomy].iter().for_each(|ctx| register(ctx, &keys));
    for sql in [
        "SELECT count(*), sum(a) FROM (SELECT p, max_drawdown_pnl(x ORDER BY t) AS a FROM t GROUP BY p, t / 50)",
        "SELECT count(*), sum(a) FROM (SELECT equity_pnl(x) OVER (PARTITION BY p ORDER BY t) AS a FROM t)",
    ] {
        let plan = plan(&ctx, sql).await;
        let found = collected(&ctx, &plan).await;
        assert_eq!(counted(&plan, "declined"), 1, "{sql}");
        let with_room = self::plan(&roomy, sql).await;
        collected(&roomy, &with_room).await;
        assert_eq!(counted(&with_room, "declined"), 0, "{sql}");
        // Eighths add up exactly in any order.
        assert!(found == rows(&plain, sql).await, "{sql}");
        assert_eq!(ctx.runtime_env().memory_pool.reserved(), 0, "{sql}");
    }
}

/// Rows with equal keys have no order among each other, but they are all there.
#[tokio::test]
async fn ties_in_time_keep_the_order_of_their_arrival() {
    let ctx = session(2, true, None);
    let keys: Vec<(i64, i64)> = (0..600).map(|i| (i / 200, if i < 300 { 7 - i % 200 / 50 } else { i % 200 / 50 })).collect();
    let whole = batch(&keys);
    ctx.register_table("t", Arc::new(MemTable::try_new(whole.schema(), vec![vec![whole]]).unwrap())).unwrap();
    let found = rows(&ctx, "SELECT p, t, equity_pnl(1) OVER (PARTITION BY p ORDER BY t) AS n FROM t ORDER BY p, n").await;
    assert_eq!(found.len(), 600);
    assert!(found.chunk_by(|a, b| a[0] == b[0]).all(|series| series.len() == 200 && series.is_sorted_by_key(|row| row[1].to_string())));
}

#[tokio::test]
async fn a_plan_runs_again_and_its_errors_are_told() {
    let ctx = session(3, true, None);
    register(&ctx, &LAYOUTS[3].1(11, 330));
    for sql in [AGGREGATES[0], INDICATORS[0]] {
        let plan = plan(&ctx, sql).await;
        let first = collected(&ctx, &plan).await;
        assert!(!first.is_empty() && first == collected(&ctx, &plan).await);
    }
    let message = error(&ctx, "SELECT p, value_at_risk(CAST(name AS DOUBLE)) AS a FROM t GROUP BY p").await;
    assert!(message.contains("series 000"), "{message}");
    let message = error(&ctx, "SELECT p, value_at_risk(x) AS a FROM t WHERE CAST(name AS INT) > 1 GROUP BY p").await;
    assert!(message.contains("series 000"), "{message}");
}

/// Input that gives a batch and then waits for ever, as long as somebody listens.
#[derive(Debug)]
struct Waiting(RecordBatch, SchemaRef, Arc<()>);

impl PartitionStream for Waiting {
    fn schema(&self) -> &SchemaRef {
        &self.1
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (batch, listening) = (self.0.clone(), Arc::clone(&self.2));
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.0.schema(), 1);
        let batches = stream.tx();
        stream.spawn(async move {
            let _ = batches.send(Ok(batch)).await;
            std::future::pending::<()>().await;
            drop(listening);
            Ok(())
        });
        stream.build()
    }
}

#[tokio::test]
async fn a_query_given_up_lets_go_of_its_input() {
    for sql in ["SELECT p, value_at_risk(x) AS a FROM t GROUP BY p", "SELECT p, ema(x, 5) OVER (PARTITION BY p ORDER BY t) AS a FROM t"] {
        let ctx = session(2, true, Some(100_000_000));
        let (whole, listening) = (batch(&LAYOUTS[0].1(3, 100)), Arc::new(()));
        let waiting = || Arc::new(Waiting(whole.clone(), whole.schema(), Arc::clone(&listening))) as Arc<dyn PartitionStream>;
        let table = StreamingTable::try_new(whole.schema(), vec![waiting(), waiting()]).unwrap();
        ctx.register_table("t", Arc::new(table)).unwrap();
        let plan = plan(&ctx, sql).await;
        assert!(text(&plan).contains("SeriesExec"));
        let stream = execute_stream(Arc::clone(&plan), ctx.task_ctx()).unwrap();
        // The table and the two tasks, each once; then the tasks are gone.
        let until = async |condition: &dyn Fn() -> bool| {
            for _ in 0..20_000 {
                if condition() {
                    return;
                }
                tokio::task::yield_now().await;
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            panic!("{sql}: {} listeners, {} bytes", Arc::strong_count(&listening), ctx.runtime_env().memory_pool.reserved());
        };
        until(&|| Arc::strong_count(&listening) == 5 && ctx.runtime_env().memory_pool.reserved() > 0).await;
        drop(stream);
        until(&|| Arc::strong_count(&listening) == 3 && ctx.runtime_env().memory_pool.reserved() == 0).await;
    }
}

#[tokio::test]
async fn sorted_files_are_read_whole() {
    let folder = std::env::temp_dir().join(format!("series-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (plain, ctx) = (session(3, false, None), session(3, true, None));
    register(&plain, &LAYOUTS[0].1(40, 330));
    for (file, part) in [("a", "p < 20"), ("b", "p >= 20")] {
        let file = folder.join(format!("{file}.parquet"));
        let copy = format!("COPY (SELECT * FROM t WHERE {part} ORDER BY p, t) TO '{}' OPTIONS (max_row_group_size 500)", file.display());
        rows(&plain, &copy).await;
    }
    for (source, groups) in [("a.parquet", "1 group:"), ("", "2 groups:")] {
        let location = folder.join(source).display().to_string();
        let sql = "SELECT p, t, ema(x, 5) OVER (PARTITION BY p ORDER BY t) AS a FROM f";
        for ctx in [&plain, &ctx] {
            let create = format!("CREATE OR REPLACE EXTERNAL TABLE f STORED AS PARQUET WITH ORDER (p, t) LOCATION '{location}/'");
            rows(ctx, create.replace(".parquet/", ".parquet").as_str()).await;
        }
        let whole = text(&plan(&ctx, sql).await);
        assert!(whole.contains(groups) && !whole.contains("Sort") && whole.contains("RepartitionExec"), "{whole}");
        assert!(text(&plan(&plain, sql).await).contains("3 groups:"), "{}", text(&plan(&plain, sql).await));
        let ordered = format!("{sql} ORDER BY p, t");
        assert!(rows(&ctx, &ordered).await == rows(&plain, &ordered).await, "{source}");
        let filtered = "SELECT p, t, ema(x * 2, 5) OVER (PARTITION BY p ORDER BY t) AS a FROM f WHERE t % 5 <> 1 ORDER BY p, t";
        assert!(rows(&ctx, filtered).await == rows(&plain, filtered).await, "{source}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
