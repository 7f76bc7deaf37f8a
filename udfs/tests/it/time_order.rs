//! Where the time order of path metrics comes from.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{SortExpr, col};
use datafusion::prelude::SessionContext;
use datafusion_functions_finance::{DeclaredOrder, RequireTimeOrder, TimeOrder, register_functions};

use crate::session::{X, batch, error, number, numbers, pick, register_series, rows, session, some};

/// The profits, stored backwards, in a table that declares `order`.
fn declared(ctx: &SessionContext, name: &str, order: Vec<SortExpr>) {
    let whole = batch(&[("pnl", some(X))]);
    let table = MemTable::try_new(whole.schema(), vec![vec![whole]]).unwrap().with_sort_order(vec![order]);
    ctx.register_table(name, Arc::new(table)).unwrap();
}

fn by_day() -> Vec<SortExpr> {
    vec![col("d").sort(true, false)]
}

async fn drawdown(ctx: &SessionContext, from: &str) -> Option<f64> {
    numbers(ctx, &format!("SELECT max_drawdown_pnl(pnl) FROM {from}")).await[0]
}

#[tokio::test]
async fn without_an_order_planning_says_how_to_write_one() {
    let ctx = session();
    register_series(&ctx, "t", &some(X));
    let message = error(&ctx, "SELECT max_drawdown(t.x) FROM t").await;
    assert!(
        message
            .ends_with("max_drawdown needs a time order: write max_drawdown(x ORDER BY <time column>) or declare the order of the table"),
        "{message}"
    );
    let message = error(&ctx, "SELECT calmar(x * 2, 53) FROM t GROUP BY d").await;
    assert!(message.contains("write calmar_ratio(x * ") && message.contains(", 53 ORDER BY <time column>)"), "{message}");
    let message = error(&ctx, "SELECT x, max_drawdown(x) OVER () FROM t").await;
    assert!(message.contains("write max_drawdown(x) OVER (ORDER BY <time column>) or declare the order of the table"), "{message}");
    let message = error(&ctx, "SELECT * FROM t WHERE x > (SELECT max_drawdown(x) FROM t)").await;
    assert!(message.contains("max_drawdown needs a time order"), "{message}");
    let message = error(&ctx, "SELECT d FROM t GROUP BY d HAVING legacy_fitness(x) > 0").await;
    assert!(message.contains("legacy_fitness needs a time order"), "{message}");
}

#[tokio::test]
async fn a_declared_order_is_used_through_filters_projections_and_names() {
    let ctx = session();
    declared(&ctx, "t", by_day());
    ctx.sql("CREATE VIEW v AS SELECT pnl, d AS day FROM t WHERE pnl > -1000").await.unwrap();
    for from in [
        "t",
        "t AS other",
        "t WHERE pnl < 1000",
        "(SELECT d, pnl FROM t)",
        "(SELECT pnl, d AS renamed FROM t WHERE d > DATE '2000-01-01') AS s WHERE pnl < 1000",
        "v",
        "(SELECT * FROM v) AS w",
    ] {
        assert_eq!(drawdown(&ctx, from).await, Some(-105.0), "{from}");
    }
    let named =
        rows(&ctx, "SELECT max_drawdown_pnl(pnl), max_drawdown_pnl(pnl ORDER BY d DESC) AS back, max_drawdown_pnl(pnl) + 1 FROM t").await;
    assert_eq!(named[0].iter().map(number).collect::<Vec<_>>(), [Some(-105.0), Some(-105.0), Some(-104.0)]);
    let over = rows(&ctx, "SELECT max_drawdown_pnl(pnl) OVER () FROM t LIMIT 1").await;
    assert_eq!(number(&over[0][0]), Some(-105.0));
    let grouped =
        numbers(&ctx, "SELECT max_drawdown_pnl(pnl) FROM t GROUP BY d > DATE '2000-01-01' HAVING max_drawdown_pnl(pnl) < 0").await;
    assert_eq!(grouped, [Some(-105.0)]);
}

#[tokio::test]
async fn a_declared_order_out_of_reach_is_no_order() {
    let ctx = session();
    declared(&ctx, "t", by_day());
    for from in [
        "(SELECT pnl FROM t)",
        "(SELECT pnl, CAST(d AS VARCHAR) AS d FROM t)",
        "(SELECT a.pnl, a.d FROM t a JOIN t b ON a.d = b.d)",
        "(SELECT d, pnl FROM t UNION ALL SELECT d, pnl FROM t)",
        "(SELECT DISTINCT d, pnl FROM t)",
        "(SELECT d, pnl FROM t ORDER BY d LIMIT 100)",
    ] {
        let message = error(&ctx, &format!("SELECT max_drawdown_pnl(pnl) FROM {from}")).await;
        assert!(message.contains("max_drawdown_pnl needs a time order"), "{from}: {message}");
    }
}

#[tokio::test]
async fn a_declared_order_is_taken_literally() {
    let ctx = session();
    declared(&ctx, "t", vec![col("d").sort(false, true)]);
    let found = numbers(&ctx, "SELECT max_drawdown_pnl(pnl), max_drawdown_pnl(pnl ORDER BY d DESC), legacy_max_drawdown(pnl) FROM t").await;
    assert_eq!(found[0], found[1]);
    assert_eq!(found[2], Some(105.0));
}

#[tokio::test]
async fn external_tables_declare_with_order() {
    let ctx = session();
    let folder = std::env::temp_dir().join(format!("finance-functions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("pnl.csv");
    let text = X.iter().enumerate().map(|(i, x)| format!("s,{i},{x}\n")).collect::<String>();
    std::fs::write(&file, format!("strategy,day,pnl\n{text}")).unwrap();
    let create = |name: &str, order: &str| {
        format!(
            "CREATE EXTERNAL TABLE {name} (strategy VARCHAR, day INT, pnl DOUBLE) STORED AS CSV {order} LOCATION '{}' OPTIONS ('format.has_header' 'true')",
            file.display()
        )
    };
    ctx.sql(&create("ordered", "WITH ORDER (strategy, day)")).await.unwrap().collect().await.unwrap();
    ctx.sql(&create("plain", "")).await.unwrap().collect().await.unwrap();
    let found = numbers(&ctx, "SELECT max_drawdown_pnl(pnl), legacy_fitness(pnl) FROM ordered GROUP BY strategy").await;
    assert_eq!(found, [Some(-105.0), Some(65.0 / 105.0)]);
    assert_eq!(drawdown(&ctx, "ordered").await, Some(-105.0));
    assert!(error(&ctx, "SELECT max_drawdown_pnl(pnl) FROM plain").await.contains("needs a time order"));
    // One of the keys alone is not the declared order.
    assert!(error(&ctx, "SELECT max_drawdown_pnl(pnl) FROM (SELECT day, pnl FROM ordered)").await.contains("needs a time order"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Tables with a column `pnl` are in the order of `d`, as another crate may declare it for its own tables.
fn of_profits(table: &dyn TableProvider) -> Option<TimeOrder> {
    table.schema().column_with_name("pnl").map(|_| TimeOrder::from(by_day()))
}

fn session_with(lookup: DeclaredOrder) -> SessionContext {
    let rule = Arc::new(RequireTimeOrder::new().with_lookup(lookup));
    let mut state = SessionStateBuilder::new().with_default_features().with_analyzer_rule(rule).build();
    register_functions(&mut state).unwrap();
    SessionContext::new_with_state(state)
}

#[tokio::test]
async fn another_crate_adds_its_own_lookup() {
    let ctx = session_with(of_profits);
    let whole: RecordBatch = batch(&[("pnl", some(X))]);
    let parts = vec![vec![pick(&whole, &[7, 5, 3, 1])], vec![pick(&whole, &[0, 2, 4, 6])]];
    ctx.register_table("t", Arc::new(MemTable::try_new(whole.schema(), parts).unwrap())).unwrap();
    assert_eq!(drawdown(&ctx, "t").await, Some(-105.0));
    register_series(&ctx, "u", &some(X));
    assert!(error(&ctx, "SELECT max_drawdown_pnl(x) FROM u").await.contains("needs a time order"));
}

/// Tables with a column `s` hold a series for each of its values.
fn of_series(table: &dyn TableProvider) -> Option<TimeOrder> {
    let series = table.schema().column_with_name("s").map(|_| Column::from_name("s"))?;
    Some(TimeOrder { keys: vec![col("d").sort(true, false), col("s").sort(true, false)], series: Some(series) })
}

#[tokio::test]
async fn rows_of_several_series_have_no_order_among_each_other() {
    let ctx = session_with(of_series);
    ctx.sql("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a', 5.0), (1, 'b', -9.0), (2, 'a', -3.0), (2, 'b', 9.0)) AS v(d, s, pnl)")
        .await
        .unwrap();
    for one in [
        "max_drawdown_pnl(pnl) FROM t WHERE s = 'a'",
        "max_drawdown_pnl(pnl) FROM (SELECT pnl, d AS day, s AS name FROM t) WHERE name IN ('a') AND pnl < 100",
        "max_drawdown_pnl(pnl) FROM t GROUP BY s ORDER BY s LIMIT 1",
        "max_drawdown_pnl(pnl) FROM t AS other GROUP BY s, d > 7 ORDER BY s LIMIT 1",
        "max_drawdown_pnl(pnl) OVER (PARTITION BY s) FROM t ORDER BY s LIMIT 1",
        "drawdown_pnl(pnl) OVER (PARTITION BY s) FROM t ORDER BY s, d LIMIT 1 OFFSET 1",
        "drawdown_pnl(pnl) OVER () FROM t WHERE s = 'a' ORDER BY d LIMIT 1 OFFSET 1",
    ] {
        assert_eq!(numbers(&ctx, &format!("SELECT {one}")).await, [Some(-3.0)], "{one}");
    }
    for (mixed, remedy) in [
        ("max_drawdown_pnl(pnl) FROM t", "add GROUP BY s"),
        ("max_drawdown_pnl(pnl) FROM t WHERE s <> 'b'", "choose one by WHERE s = '...'"),
        ("max_drawdown_pnl(pnl) FROM t GROUP BY d", "SELECT max_drawdown_pnl(total ORDER BY date) FROM (SELECT date, sum(pnl) AS total"),
        ("max_drawdown_pnl(pnl) FROM t GROUP BY ROLLUP(s)", "add GROUP BY s"),
        ("max_drawdown_pnl(pnl) OVER () FROM t", "add PARTITION BY s"),
        ("calmar_ratio(pnl, 53) FROM t", "SELECT calmar_ratio(total, 53 ORDER BY date) FROM (SELECT date, sum(pnl) AS total"),
        ("sma(pnl, 3) OVER () FROM t", "add PARTITION BY s, as in sma(pnl, 3) OVER (PARTITION BY s), or choose one by WHERE s = '...'"),
        ("sma(pnl, 3) OVER (PARTITION BY d) FROM t", "add PARTITION BY s"),
    ] {
        let message = error(&ctx, &format!("SELECT {mixed}")).await;
        assert!(message.contains("mixes the rows of several series") && message.contains(remedy), "{mixed}: {message}");
    }
    // An order that the user writes is taken literally.
    assert_eq!(numbers(&ctx, "SELECT max_drawdown_pnl(pnl ORDER BY d, s) FROM t").await, [Some(-12.0)]);
}

#[tokio::test]
async fn rows_with_equal_keys_are_taken_by_value_however_they_arrive() {
    let orders: [&[f64]; 3] = [&[5.0, -3.0, 4.0, -9.0], &[-9.0, 4.0, -3.0, 5.0], &[4.0, 5.0, -9.0, -3.0]];
    for values in orders {
        for partitions in [1, 3] {
            let ctx = crate::session::session_of(partitions);
            register_series(&ctx, "t", &some(values));
            for suffix in ["", " GROUP BY 1 = 1"] {
                let sql = format!(
                    "SELECT max_drawdown_pnl(x ORDER BY d < DATE '2000-01-01'), max_consecutive_wins(x ORDER BY 1 = 1) FROM t{suffix}"
                );
                assert_eq!(numbers(&ctx, &sql).await, [Some(-12.0), Some(2.0)], "{values:?}");
            }
        }
    }
}

/// Tables with a column `slot` hold several rows a day.
fn of_slots(table: &dyn TableProvider) -> Option<TimeOrder> {
    table.schema().column_with_name("slot").map(|_| vec![col("d").sort(true, false), col("slot").sort(true, false)].into())
}

#[tokio::test]
async fn an_order_that_stops_short_of_the_declared_one_is_completed() {
    let ctx = session_with(of_slots);
    let values = "(1, 2, 5.0), (1, 1, -4.0), (2, 2, -6.0), (2, 1, 3.0), (2, 3, 1.0)";
    ctx.sql(&format!("CREATE TABLE t AS SELECT * FROM (VALUES {values}) AS v(d, slot, pnl)")).await.unwrap();
    for (order, expected) in [
        ("", -6.0),
        ("ORDER BY d", -6.0),
        ("ORDER BY d, slot", -6.0),
        // 1, -6, 3, 5, -4.
        ("ORDER BY d DESC", -6.0),
        // Another order than the declared one stays as it is: 3, -6, 1, -4, 5, and by value within a slot -4, 3, -6, 5, 1.
        ("ORDER BY d DESC, slot", -9.0),
        ("ORDER BY slot", -7.0),
    ] {
        let found = numbers(&ctx, &format!("SELECT max_drawdown_pnl(pnl {order}) FROM t")).await;
        assert_eq!(found, [Some(expected)], "{order}");
    }
}
