//! Many correlations over a wide table: the same answers as DataFusion's own plan, in one pass, and planned with the columns that are named.

use std::fmt::Write as _;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use tempfile::TempDir;
use tranchedb::Engine;
use tranchedb::catalog::{Command, plan_statement};
use tranchedb::config::EngineConfig;
use tranchedb::ingest::{GenerateRequest, Target};

use crate::support::{assert_alike, error, row, rows};

/// A database with a strategy table `s` of 510 strategies, some values missing, and its rows as wide files and views.
async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    let request = GenerateRequest::new(510, 90, 7, Target::Table("s".into()));
    engine.generate(&GenerateRequest { share_nulls: 0.05, share_zeros: 0.2, constant: 1, ..request }).await.expect("generated");
    let place = folder.path().join("db").to_string_lossy().into_owned();
    for sql in [
        format!("COPY s_wide TO '{place}/flat.parquet'"),
        format!("COPY s_wide TO '{place}/text.csv'"),
        "CREATE TABLE kept AS SELECT * FROM s_wide".into(),
        "CREATE VIEW late AS SELECT * FROM s_wide WHERE date >= '2015-02-01'".into(),
    ] {
        engine.sql(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    (folder, engine)
}

/// The first strategies by name, as SQL identifiers.
async fn names(engine: &Engine, count: usize) -> Vec<String> {
    let sql = format!("SELECT strategy FROM s GROUP BY strategy ORDER BY strategy LIMIT {count}");
    rows(engine, &sql).await.iter().map(|name| format!("\"{name}\"")).collect()
}

/// Correlations of the first column with each other one.
fn terms(names: &[String]) -> String {
    let term = |(number, name): (usize, &String)| format!("corr({}, {name}) AS corr_{number}", names[0]);
    names[1..].iter().enumerate().map(term).collect::<Vec<_>>().join(", ")
}

/// A small table of odd columns, in memory.
async fn odd() -> Engine {
    let engine = Engine::in_memory().await.expect("engine");
    let sql = "CREATE TABLE t AS SELECT * FROM (VALUES
        (1, 1.5, 0.1, NULL, 'NaN'::double, 1.0, 10.5, 1e9 + 0.01),
        (2, -2.5, 0.1, 3.0, 2.0, 'Infinity'::double, NULL, 1e9 + 0.03),
        (3, 0.25, 0.1, NULL, 3.0, 3.0, 7.0, 1e9 + 0.02),
        (4, 8.0, 0.1, 5.0, 9.0, 4.5, NULL, 1e9 + 0.07),
        (NULL, 7.0, 0.1, 1.0, 1.0, 2.0, NULL, NULL)) AS v(i, x, c, n, q, f, g, o)";
    engine.sql(sql).await.expect("table");
    engine
}

/// Every pair of the columns of [`odd`], and both covariances.
fn all_pairs() -> String {
    let columns = ["i", "x", "c", "n", "q", "f", "g", "o"];
    let mut terms = vec![];
    for one in columns {
        for other in columns {
            terms.extend(
                ["corr", "covar_samp", "covar_pop"].map(|function| format!("{function}({one}, {other}) AS {function}_{one}_{other}")),
            );
        }
    }
    terms.join(", ")
}

async fn plan(engine: &Engine, sql: &str) -> String {
    rows(engine, &format!("EXPLAIN {sql}")).await.join("\n")
}

async fn set(engine: &Engine, on: bool) {
    engine.sql(&format!("SET tranchedb.wide_correlation = {on}")).await.expect("set");
}

async fn agrees(engine: &Engine, sql: &str) {
    let plan = plan(engine, sql).await;
    assert!(plan.contains("WideCorrelationExec: terms="), "{sql}\n{plan}");
    let with = rows(engine, sql).await;
    set(engine, false).await;
    let without = rows(engine, sql).await;
    set(engine, true).await;
    assert_alike(with, without, '|', sql);
}

#[tokio::test]
async fn every_way_to_a_wide_table_has_the_answer_of_the_plain_plan() {
    let (_folder, engine) = database().await;
    let names = names(&engine, 60).await;
    let terms = terms(&names);
    for table in ["s_wide", "flat", "text", "kept", "late"] {
        agrees(&engine, &format!("SELECT {terms} FROM {table}")).await;
        agrees(&engine, &format!("SELECT {terms} FROM {table} AS t WHERE t.date < '2015-03-01' AND {} > 0", names[3])).await;
        agrees(&engine, &format!("SELECT count(*), {terms}, avg({0}), stddev({0}) FROM {table}", names[2])).await;
    }
    agrees(&engine, &format!("SELECT {terms} FROM s_wide WHERE date > '2999-01-01'")).await;
    agrees(
        &engine,
        &format!("SELECT {terms} FROM (SELECT *, 1 AS one FROM flat JOIN late USING (date, day) LIMIT 70)")
            .replace(" JOIN late USING (date, day)", ""),
    )
    .await;
    agrees(
        &engine,
        &format!("SELECT max(corr_3) FROM (SELECT {terms} FROM s_wide)")
            .replace("max(corr_3)", "corr_3, corr_4, corr_5, corr_6, corr_7, corr_8, corr_9, corr_10"),
    )
    .await;
}

#[tokio::test]
async fn the_plan_tells_terms_and_columns() {
    let (_folder, engine) = database().await;
    let names = names(&engine, 10).await;
    let found = plan(&engine, &format!("SELECT {}, count(*) FROM s_wide", terms(&names))).await;
    assert!(found.contains("WideCorrelationExec: terms=9, columns=10, aggr=[count(Int64(1))]"), "{found}");
    assert!(found.contains("WidePivotExec: strategies=10") && !found.contains("AggregateExec"), "{found}");
    let swapped =
        format!("SELECT {} FROM s_wide", names[1..9].iter().map(|n| format!("corr({n}, {0})", names[0])).collect::<Vec<_>>().join(", "));
    assert!(plan(&engine, &swapped).await.contains("WideCorrelationExec: terms=8, columns=9"));
}

#[tokio::test]
async fn nulls_constants_and_few_rows_are_as_in_the_plain_plan() {
    let engine = odd().await;
    let pairs = all_pairs();
    for condition in ["", "WHERE x > 100", "WHERE x = 8", "WHERE x > 6", "WHERE i <= 3", "WHERE n IS NULL", "WHERE i > 1 OR i IS NULL"] {
        // NaN spoils the plain plan's answer by its place among the rows, infinities too: those columns have a test of their own.
        // Nor does it keep the digits of a column far from zero.
        let sql = format!("SELECT {pairs} FROM (SELECT i, x, c, n, g, o - 1e9 AS o, i + 1 AS q, x * 2 AS f FROM t {condition})");
        agrees(&engine, &sql).await;
    }
    let terms = "corr(x, x) AS a, corr(x, -x) AS b, corr(x, c) AS c, corr(o, o) AS d, corr(g, n) AS e, covar_samp(c, x) AS f, covar_pop(g, n) AS g, corr(i, 2 * i + 1) AS h";
    assert_eq!(row(&engine, &format!("SELECT {terms} FROM t")).await, "1.0|-1.0||1.0||0.0||1.0");
}

#[tokio::test]
async fn an_offset_costs_no_digits() {
    let engine = odd().await;
    let term = |column: &str| format!("corr(o, {column}) - corr(o - 1e9, {column}), corr({column}, o) - corr({column}, o - 1e9)");
    let terms: Vec<String> = ["x", "i", "n", "g", "-o", "o * o"].into_iter().map(term).collect();
    let found = row(&engine, &format!("SELECT {} FROM t", terms.join(", "))).await;
    for difference in found.split('|').filter(|cell| !cell.is_empty()) {
        assert!(difference.parse::<f64>().expect("a number").abs() < 1e-13, "{found}");
    }
    assert_eq!(found.matches('|').count(), 11);
}

#[tokio::test]
async fn one_side_that_is_not_finite_is_null_and_two_are_nan() {
    let engine = odd().await;
    let terms = "corr(q, x) AS a, corr(x, q) AS b, corr(q, q) AS c, corr(f, x) AS d, corr(f, q) AS e, covar_pop(q, x) AS f, covar_samp(x, f) AS g, corr(n, q) AS h";
    assert_eq!(row(&engine, &format!("SELECT {terms} FROM t")).await, "||NaN||NaN|NaN|NaN|0.917662935482247");
    // The plain plan agrees where no infinity is the last row.
    set(&engine, false).await;
    let plain = row(&engine, &format!("SELECT {terms} FROM t")).await;
    assert!(plain.starts_with("||NaN||NaN|NaN|NaN|0.91766293548224"), "{plain}");
}

#[tokio::test]
async fn what_it_cannot_keep_exact_stays_with_the_plain_plan() {
    let engine = odd().await;
    let terms = |call: &str| (0..9).map(|n| format!("{} AS c{n}", call.replace('#', &n.to_string()))).collect::<Vec<_>>().join(", ");
    for sql in [
        format!("SELECT {} FROM t GROUP BY c", terms("corr(x, o + #)")),
        format!("SELECT {} FROM t", terms("corr(x, o + #) FILTER (WHERE n > 1)")),
        format!("SELECT {} FROM t", terms("corr(x, o + # * random())")),
        format!("SELECT {}, array_agg(x ORDER BY o) FROM t", terms("corr(x, o + #)")),
        format!("SELECT {} FROM t", terms("corr(x, o + #)").split(", ").take(14).collect::<Vec<_>>().join(", ")),
        format!("SELECT {} FROM t", terms("avg(o + #)")),
    ] {
        let found = plan(&engine, &sql).await;
        assert!(!found.contains("WideCorrelationExec"), "{sql}\n{found}");
        rows(&engine, &sql).await;
    }
    assert!(error(&engine, "SET tranchedb.wide_correlation = maybe").await.contains("true or false"));
}

#[tokio::test]
async fn the_bits_do_not_depend_on_threads_or_batches() {
    let folder = tempfile::tempdir().expect("folder");
    let place = folder.path().join("db").to_string_lossy().into_owned();
    let with = async |threads| {
        let config = EngineConfig { location: Some(place.clone()), threads: Some(threads), ..EngineConfig::default() };
        Engine::with_config(config).await.expect("engine")
    };
    let columns: Vec<String> = (0..20).map(|n| format!("CASE WHEN v % 13 <> {n} THEN sin(v * {n} + v) * 1e3 END AS c{n}")).collect();
    let engine = with(2).await;
    std::fs::create_dir_all(folder.path().join("db/wide")).expect("folder");
    for (name, range) in [("a", "0, 30000"), ("b", "30001, 45000")] {
        let sql = format!(
            "COPY (SELECT value AS v, {} FROM generate_series({range}) AS g(v)) TO '{place}/wide/{name}.parquet'",
            columns.join(", ")
        );
        engine.sql(&sql.replace("value AS v", "v")).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
    engine.sql("CREATE TABLE kept AS SELECT * FROM wide").await.expect("table");
    let terms: Vec<String> = (0..19).map(|n| format!("corr(c{n}, c{})", n + 1)).collect();
    for table in ["wide", "kept", "wide WHERE v % 3 <> 1", "(SELECT *, c1 + c2 AS c21 FROM wide WHERE v > 100) AS s"] {
        let sql = format!("SELECT {}, sum(c3) FROM {table}", terms.join(", "));
        let one = rows(&with(1).await, &sql).await;
        for (threads, setting) in [(2, "execution.batch_size = 1000"), (5, "optimizer.repartition_file_min_size = 1000")] {
            let engine = with(threads).await;
            engine.sql(&format!("SET datafusion.{setting}")).await.expect("set");
            assert_eq!(rows(&engine, &sql).await, one, "{threads} threads, {setting}: {sql}\n{}", plan(&engine, &sql).await);
        }
    }
}

/// Numbers of columns that the planner was shown of each table.
async fn columns_shown(engine: &Engine, sql: &str) -> Vec<usize> {
    let statement = engine.parse(sql).expect("parses").remove(0);
    let Command::Sql(parsed) = &statement.command else { panic!("{sql} is not SQL") };
    let plan = plan_statement(&engine.context().state(), parsed, &statement.text).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let mut shown = vec![];
    let note = |node: &LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = node {
            shown.push(scan.source.schema().fields().len());
        }
        Ok(TreeNodeRecursion::Continue)
    };
    plan.apply_with_subqueries(note).map(|_| ()).expect("walked");
    shown
}

#[tokio::test]
async fn statements_are_planned_with_the_columns_that_they_name() {
    let (_folder, engine) = database().await;
    let names = names(&engine, 3).await;
    let [a, b, c] = names.as_slice() else { panic!("three names") };
    let whole = rows(&engine, "DESCRIBE s_wide").await.len();
    assert_eq!(whole, 512);
    for (sql, shown) in [
        // The first column is always there.
        (format!("SELECT {a} FROM s_wide"), vec![2]),
        (format!("SELECT {a} FROM s_wide WHERE {b} > 0 ORDER BY {c}, DATE"), vec![4]),
        (format!("EXPLAIN SELECT corr({a}, {b}) FROM flat"), vec![3]),
        ("SELECT count(*) FROM kept".into(), vec![1]),
        (format!("SELECT x.{a}, y.{b} FROM s_wide AS x JOIN flat AS y USING (date)"), vec![3, 3]),
        (format!("SELECT {a} FROM (SELECT * FROM s_wide WHERE day = 'Monday') AS m"), vec![3]),
        (format!("SELECT {a} FROM late"), vec![2]),
        (format!("SELECT {a} FROM s_wide WHERE {b} > (SELECT avg({c}) FROM text)"), vec![4, 4]),
        (format!("SELECT strategy, {a} FROM s CROSS JOIN flat"), vec![5, 2]),
        (format!("SELECT {a} FROM (SELECT DISTINCT * FROM flat) AS m"), vec![whole]),
    ] {
        let mut found = columns_shown(&engine, &sql).await;
        // A table in a subquery of a condition comes before or after the others.
        found.sort_unstable_by(|x, y| y.cmp(x));
        assert_eq!(found, shown, "{sql}");
        rows(&engine, &sql).await;
    }
}

#[tokio::test]
async fn narrowed_queries_mean_the_same() {
    let (_folder, engine) = database().await;
    let names = names(&engine, 4).await;
    let [a, b, ..] = names.as_slice() else { panic!("names") };
    let mut whole = String::new();
    for (number, name) in names.iter().enumerate() {
        write!(whole, "{}{name}", if number == 0 { "" } else { ", " }).expect("text grows");
    }
    let wide = rows(&engine, &format!("SELECT {whole} FROM flat ORDER BY date")).await;
    assert_eq!(wide, rows(&engine, &format!("SELECT {whole} FROM s_wide ORDER BY date")).await);
    assert_eq!(wide.len(), 90);
    assert_eq!(
        row(&engine, &format!("SELECT count(*), count({a}), max(date) FROM kept")).await,
        row(&engine, &format!("SELECT count(*), count({a}), max(date) FROM text")).await
    );
    let joined = format!("SELECT count(*), sum(x.{a} - y.{a}) FROM s_wide x JOIN flat y ON x.date = y.date AND x.{b} = y.{b}");
    assert!(row(&engine, &joined).await.ends_with("|0.0"), "{}", row(&engine, &joined).await);
}

#[tokio::test]
async fn a_mistake_is_answered_with_the_names_of_the_whole_table() {
    let (_folder, engine) = database().await;
    let name = names(&engine, 1).await.remove(0);
    let mistyped = name.replace("SL", "SK");
    let text = error(&engine, &format!("SELECT corr({mistyped}, date) FROM s_wide")).await;
    assert!(text.contains("nearest of its 512 columns") && text.contains(&name), "{text}");
    let ambiguous = error(&engine, &format!("SELECT {name} FROM s_wide x JOIN flat y ON x.date = y.date")).await;
    assert!(ambiguous.to_lowercase().contains("ambiguous"), "{ambiguous}");
}
