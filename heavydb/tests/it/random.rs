//! Random expressions in the dialect: nothing panics, what is rewritten is SQL again, and the threads do not matter.

use std::panic::AssertUnwindSafe;

use datafusion_heavydb::dialect::rewrite;
use datafusion_heavydb::tables::HeavySession;
use futures::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::forms::{answer, session};

/// Columns and constants of the kinds that expressions are made of.
const NUMBERS: &[&str] = &["i", "b", "s", "f", "d", "c", "1", "2.5", "0", "1e1", "-3", "NULL"];
const TEXTS: &[&str] = &["x", "'a'", "'B c'", "''", "NULL"];
const MOMENTS: &[&str] = &["dt", "ts", "ts3", "DATE '2020-02-01'", "TIMESTAMP '2020-01-01 10:00:00'"];
const TRUTHS: &[&str] = &["o", "TRUE", "i > 1", "x IS NULL", "i IN (SELECT i FROM u)", "2 = ANY a"];

fn one_of(list: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(list).prop_map(str::to_owned).boxed()
}

fn numbers(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return one_of(NUMBERS);
    }
    let (n, t, m, p) = (|| numbers(depth - 1), || texts(depth - 1), || moments(depth - 1), || truths(depth - 1));
    let unary = proptest::sample::select(&["ABS", "CEIL", "FLOOR", "SIGN", "ROUND", "-", "EXP", "LN", "SQRT"][..]);
    prop_oneof![
        3 => one_of(NUMBERS),
        2 => (n(), proptest::sample::select(&["+", "-", "*", "/", "%"][..]), n()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        2 => (unary, n()).prop_map(|(f, a)| format!("{f}({a})")),
        2 => (p(), n(), n()).prop_map(|(p, a, b)| format!("CASE WHEN {p} THEN {a} ELSE {b} END")),
        1 => (n(), n()).prop_map(|(a, b)| format!("COALESCE({a}, {b})")),
        1 => (n(), n()).prop_map(|(a, b)| format!("NULLIF({a}, {b})")),
        1 => (n(), n()).prop_map(|(a, b)| format!("GREATEST({a}, {b})")),
        1 => (n(), proptest::sample::select(&["INT", "BIGINT", "DOUBLE", "FLOAT", "DECIMAL(9,2)", "SMALLINT"][..]))
            .prop_map(|(a, to)| format!("CAST({a} AS {to})")),
        1 => t().prop_map(|a| format!("LENGTH({a})")),
        1 => (proptest::sample::select(&["year", "month", "day", "hour", "dow", "epoch"][..]), m())
            .prop_map(|(unit, a)| format!("EXTRACT({unit} FROM {a})")),
        1 => (m(), m()).prop_map(|(a, b)| format!("DATEDIFF('day', {a}, {b})")),
        1 => Just("(SELECT MAX(u.b) FROM u WHERE u.i < t.i)".to_owned()),
    ]
    .boxed()
}

fn texts(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return one_of(TEXTS);
    }
    let (n, t, p) = (|| numbers(depth - 1), || texts(depth - 1), || truths(depth - 1));
    prop_oneof![
        3 => one_of(TEXTS),
        1 => (t(), t()).prop_map(|(a, b)| format!("({a} || {b})")),
        1 => (proptest::sample::select(&["UPPER", "LOWER", "TRIM", "REVERSE", "INITCAP"][..]), t()).prop_map(|(f, a)| format!("{f}({a})")),
        1 => (t(), -3..4_i32, 0..3_i32).prop_map(|(a, from, length)| format!("SUBSTRING({a}, {from}, {length})")),
        1 => (p(), t(), t()).prop_map(|(p, a, b)| format!("CASE WHEN {p} THEN {a} ELSE {b} END")),
        1 => n().prop_map(|a| format!("CAST({a} AS TEXT)")),
    ]
    .boxed()
}

fn moments(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return one_of(MOMENTS);
    }
    let m = || moments(depth - 1);
    prop_oneof![
        3 => one_of(MOMENTS),
        1 => (proptest::sample::select(&["year", "quarter", "week", "day", "hour"][..]), m())
            .prop_map(|(unit, a)| format!("DATE_TRUNC({unit}, {a})")),
        1 => (-50..50_i32, m()).prop_map(|(n, a)| format!("DATEADD('month', {n}, {a})")),
        1 => m().prop_map(|a| format!("({a} + INTERVAL '1' DAY)")),
        1 => m().prop_map(|a| format!("CAST({a} AS DATE)")),
    ]
    .boxed()
}

fn truths(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return one_of(TRUTHS);
    }
    let (n, t, m, p) = (|| numbers(depth - 1), || texts(depth - 1), || moments(depth - 1), || truths(depth - 1));
    let operator = || proptest::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    prop_oneof![
        3 => one_of(TRUTHS),
        2 => (n(), operator(), n()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (t(), operator(), t()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (m(), operator(), m()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (p(), proptest::sample::select(&["AND", "OR"][..]), p()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => p().prop_map(|a| format!("(NOT {a})")),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
        1 => (n(), n(), n()).prop_map(|(a, b, c)| format!("({a} NOT IN ({b}, {c}))")),
        1 => t().prop_map(|a| format!("({a} LIKE '%a_')")),
        1 => n().prop_map(|a| format!("({a} IS NOT NULL)")),
    ]
    .boxed()
}

fn queries() -> impl Strategy<Value = String> {
    let any = || prop_oneof![numbers(3), texts(3), moments(2), truths(3)];
    let aggregate = proptest::sample::select(&["SUM", "AVG", "MIN", "MAX", "COUNT", "STDDEV", "APPROX_MEDIAN", "SAMPLE"][..]);
    prop_oneof![
        3 => (any(), any()).prop_map(|(a, b)| format!("SELECT {a} AS p, {b} AS q FROM t")),
        2 => (any(), truths(3)).prop_map(|(a, p)| format!("SELECT {a} AS p FROM t WHERE {p}")),
        2 => (any(), aggregate, numbers(2), truths(2))
            .prop_map(|(a, f, n, p)| format!("SELECT {a} AS p, {f}({n}) AS q FROM t WHERE {p} GROUP BY p")),
        1 => (numbers(2), numbers(1)).prop_map(|(a, n)| format!("SELECT SUM({a}) OVER (ORDER BY {n}) AS p FROM t")),
        1 => (any(), truths(2)).prop_map(|(a, p)| format!("SELECT {a} AS p FROM t LEFT JOIN k ON k.v > 5 AND t.i = k.i WHERE {p}")
            .replace(" i ", " t.i ")),
        1 => (numbers(2), numbers(2)).prop_map(|(a, b)| format!("SELECT {a} AS p FROM t UNION ALL SELECT {b} FROM t")),
        1 => (numbers(2), numbers(1)).prop_map(|(a, n)| format!("SELECT q.p + {n} FROM (SELECT {a} AS p, i, b, s, f, d, c FROM t) q")),
    ]
}

/// Runs a query, rows in some order; a panic is an answer of its own.
async fn guarded(session: &HeavySession, sql: &str) -> String {
    let found = AssertUnwindSafe(answer(session, sql)).catch_unwind().await;
    let Ok(found) = found else { return "panic".into() };
    if found.starts_with("error: ") {
        // Which row fails first depends on the threads.
        return "error".into();
    }
    let mut rows: Vec<&str> = found.split(" / ").collect();
    rows.sort_unstable();
    rows.join(" / ")
}

/// The rewritten text, rewritten no more, is parsed again; whether DataFusion plans it where it plans the query.
async fn plans_again(session: &HeavySession, sql: &str) -> Result<(), String> {
    let Ok(rewritten) = rewrite(sql, session.options()) else { return Ok(()) };
    let text = rewritten.statement.to_string();
    let first = session.context().state().statement_to_plan(statement(rewritten.statement)).await;
    let again = session.context().state().create_logical_plan(&text).await;
    match (first, again) {
        (Ok(_), Err(error)) => Err(format!("{text}\n{error}")),
        _ => Ok(()),
    }
}

fn statement(statement: sqlparser::ast::Statement) -> datafusion::sql::parser::Statement {
    datafusion::sql::parser::Statement::Statement(Box::new(statement))
}

#[test]
fn random_queries_do_not_panic_and_do_not_depend_on_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (single, several) = runtime.block_on(async { (session(1).await, session(4).await) });
    let cases = std::env::var("RANDOM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 64, ..Config::default() });
    let outcome = runner.run(&queries(), |sql| {
        let (one, four, text) =
            runtime.block_on(async { (guarded(&single, &sql).await, guarded(&several, &sql).await, plans_again(&single, &sql).await) });
        prop_assert!(one != "panic" && four != "panic", "panic: {sql}");
        prop_assert_eq!(&one, &four, "{}", &sql);
        prop_assert!(text.is_ok(), "{}\n{:?}", &sql, text);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
