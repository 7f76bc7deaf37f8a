//! Aggregates.

use datafusion::prelude::SessionContext;
use datafusion_heavydb::functions::Action;
use datafusion_heavydb::functions::aggregates::AGGREGATES;
use datafusion_heavydb::{Options, Refusal};

use super::corpus::{replay, replay_asserted, run, session};

#[tokio::test]
async fn queries_of_the_corpus_have_heavydbs_rows() {
    let aggregates =
        r"(?i)^[^(]*\b(MODE|SAMPLE|ANY_VALUE|LAST_SAMPLE|APPROX_\w+|STDDEV\w*|VAR\w*|COVAR\w*|CORR\w*)\s*\([^()]*\).* FROM test\b";
    let tables = &["test", "test_inner", "test_empty"];
    let Some((ran, differences)) = replay(tables, aggregates, &["core", "extra"]).await else { return };
    assert!(differences.is_empty(), "{ran} ran\n{}", differences.join("\n"));
    assert!(ran >= 20, "only {ran} queries ran");
}

#[tokio::test]
async fn asserted_values_of_the_corpus_are_ours() {
    let calls = r"(?i)\b(MODE|SAMPLE|APPROX_\w+|STDDEV\w*|VAR\w*|COVAR\w*|CORR\w*)\s*\(";
    let Some((ran, differences)) = replay_asserted(&["test", "test_inner"], calls).await else { return };
    assert!(differences.is_empty(), "{ran} ran\n{}", differences.join("\n"));
    assert!(ran >= 15, "only {ran} queries ran");
}

#[tokio::test]
async fn examples_are_true() {
    let session = session();
    for function in AGGREGATES {
        let rows = run(&session, function.example.sql).await.unwrap();
        let values: Vec<String> = rows.into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(values.join(" "), function.example.value, "{}", function.name);
    }
    assert!(AGGREGATES.iter().any(|function| matches!(function.action, Action::Rewritten(_))));
}

async fn one(session: &SessionContext, sql: &str) -> Result<String, String> {
    let batches = session.sql(sql).await.map_err(|error| error.to_string())?.collect().await.map_err(|error| error.to_string())?;
    let column = batches[0].column(0);
    Ok(format!("{} {}", datafusion::arrow::util::display::array_value_to_string(column, 0).unwrap(), column.data_type()))
}

#[tokio::test]
async fn sums_keep_their_type_and_fail_beyond_it() {
    let session = session();
    let sum = |of: &'static str, rows: &'static str| format!("SELECT sum({of}) FROM (VALUES {rows}) AS t(x)");
    assert_eq!(one(&session, &sum("CAST(x AS SMALLINT)", "(1), (2), (NULL)")).await.unwrap(), "3 Int64");
    assert_eq!(one(&session, &sum("CAST(x AS REAL)", "(1.5), (2.25)")).await.unwrap(), "3.75 Float32");
    assert_eq!(one(&session, &sum("CAST(x AS DECIMAL(7, 2))", "(1.25), (0.50)")).await.unwrap(), "1.75 Decimal128(18, 2)");
    assert_eq!(one(&session, &sum("x", "(NULL)")).await.unwrap(), " Int64");
    let large = "(9223372036854775807), (9223372036854775807), (-9223372036854775807)";
    assert_eq!(one(&session, &sum("x", large)).await.unwrap(), "9223372036854775807 Int64");
    assert!(one(&session, &sum("x", "(9223372036854775807), (1)")).await.unwrap_err().contains("beyond BIGINT"));
    let decimals = sum("CAST(x AS DECIMAL(18, 0))", "(999999999999999999), (1)");
    assert!(one(&session, &decimals).await.unwrap_err().contains("18 digits"));
    assert!(one(&session, &sum("x", "('a')")).await.unwrap_err().contains("takes a number"));
}

#[tokio::test]
async fn averages_are_double_and_distinct_is_obeyed() {
    let session = session();
    let of = |call: &str| format!("SELECT {call} FROM (VALUES (1, 0.1), (1, 0.1), (2, 0.3), (NULL, NULL)) AS t(x, y)");
    assert_eq!(one(&session, &of("avg(x)")).await.unwrap(), "1.3333333333333333 Float64");
    assert_eq!(one(&session, &of("avg(CAST(y AS DECIMAL(3, 1)))")).await.unwrap(), "0.16666666666666666 Float64");
    assert_eq!(one(&session, &of("avg(DISTINCT x)")).await.unwrap(), "1.5 Float64");
    assert_eq!(one(&session, &of("sum(DISTINCT x)")).await.unwrap(), "3 Int64");
    assert_eq!(one(&session, &of("sum(DISTINCT x) + count(DISTINCT y) + sum(x)")).await.unwrap(), "9 Int64");
    assert_eq!(one(&session, &of("sum(DISTINCT y) + avg(x) * 0")).await.unwrap(), "0.4 Float64");
    assert_eq!(one(&session, &of("count(*)")).await.unwrap(), "4 Int32");
    let refused = datafusion_heavydb::dialect::rewrite(&of("mode(DISTINCT x)"), &Options::default()).unwrap_err();
    assert!(Refusal::of(&refused).is_some_and(|refusal| refusal.reason.contains("DISTINCT")));
}

/// Values by hand: COVAR_POP = AVG(xy) - AVG(x) AVG(y) = 32/3 - 5/2 · 17/4 with x = 1, 2, 3, 4 and y = 2, NULL, 6, 3, 6 over five rows, of
/// which three are complete.
#[tokio::test]
async fn covariances_take_each_columns_own_values() {
    let session = session();
    let of = |call: &str| format!("SELECT {call} FROM (VALUES (1.0, 2.0), (2.0, NULL), (3.0, 6.0), (4.0, 3.0), (NULL, 6.0)) AS t(x, y)");
    let value = async |call: &str| -> f64 { one(&session, &of(call)).await.unwrap().split(' ').next().unwrap().parse().unwrap() };
    let (sum_xy, mean_x, mean_y): (f64, f64, f64) = (2.0 + 18.0 + 12.0, 2.5, 4.25);
    let population = sum_xy / 3.0 - mean_x * mean_y;
    let deviations = (1.25f64).sqrt() * ((5.0625 + 3.0625 + 1.5625 + 3.0625) / 4.0f64).sqrt();
    assert!((value("covar_pop(x, y)").await - population).abs() < 1e-14);
    assert!((value("covar_samp(x, y)").await - (sum_xy - 10.0 * mean_y) / 3.0).abs() < 1e-13);
    assert!((value("corr(x, y)").await - population / deviations).abs() < 1e-14);
    assert_eq!(one(&session, &of("corr(x, 1)")).await.unwrap(), " Float64");
    assert_eq!(one(&session, &of("corr_float(x, x)")).await.unwrap(), "1.0 Float32");
}

/// Groups, partial results and moving frames end in the same number as one pass.
#[tokio::test]
async fn all_ways_give_the_same_number() {
    let session = session();
    let rows: Vec<String> = (0..200)
        .map(|i| {
            let x = if i % 7 == 0 { "NULL".to_owned() } else { format!("{}", f64::from(i * i % 31) / 4.0 + 1e6) };
            let y = if i % 11 == 0 { "NULL".to_owned() } else { format!("{}", f64::from(i % 13) / 8.0) };
            format!("({}, {x}, {y})", i % 5)
        })
        .collect();
    session.sql(&format!("CREATE TABLE r AS SELECT * FROM (VALUES {}) AS t(g, x, y)", rows.join(", "))).await.unwrap();
    for call in
        ["sum(x)", "avg(x)", "stddev(x)", "var_pop(x)", "covar_pop(x, y)", "covar_samp(x, y)", "corr(x, y)", "mode(x)", "approx_median(y)"]
    {
        let grouped = format!("SELECT v FROM (SELECT g, {call} AS v FROM r GROUP BY g) AS q WHERE g = 3");
        let alone = format!("SELECT {call} FROM r WHERE g = 3");
        let number = |text: String| -> f64 { text.split(' ').next().unwrap().parse().unwrap() };
        let (a, b) = (number(one(&session, &grouped).await.unwrap()), number(one(&session, &alone).await.unwrap()));
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{call}: {a} {b}");
    }
    let id = "row_number() OVER (ORDER BY g, x, y)";
    session.sql(&format!("CREATE TABLE n AS SELECT {id} AS id, x FROM r")).await.unwrap();
    let near: Vec<String> = (-3..=2).map(|shift| format!("coalesce(lead(x, {shift}) OVER (ORDER BY id), 0)")).collect();
    let moving = "sum(x) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING)";
    let difference = format!("SELECT max(abs(coalesce(a, 0) - b)) FROM (SELECT {moving} AS a, {} AS b FROM n) AS q", near.join(" + "));
    assert_eq!(one(&session, &difference).await.unwrap(), "0.0 Float64");
}

#[tokio::test]
async fn a_single_value_is_single() {
    let session = session();
    assert_eq!(one(&session, "SELECT single_value(x) FROM (VALUES ('a'), (NULL), ('a')) AS t(x)").await.unwrap(), "a Utf8");
    let error = one(&session, "SELECT single_value(x) FROM (VALUES (1), (2)) AS t(x)").await.unwrap_err();
    assert!(error.contains("SINGLE_VALUE found"), "{error}");
    let share = one(&session, "SELECT approx_percentile(x, x) FROM (VALUES (1), (2)) AS t(x)").await.unwrap_err();
    assert!(share.contains("constant from 0 to 1"), "{share}");
}
