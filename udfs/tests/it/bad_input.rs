//! Every wrong call of every function: refused while planning, with the function, the argument and what is allowed.

use datafusion::prelude::SessionContext;
use datafusion_functions_finance::metric::Default as DefaultValue;
use datafusion_functions_finance::reference::Kind;
use datafusion_functions_finance::{Argument, Metric, Page, Role, find, pages};

use crate::session::{R, refusal, register_series, rows, session, some};

/// An expression that may stand for an argument.
fn valid(argument: &Argument) -> &'static str {
    match argument.role {
        Role::Series | Role::AnySeries => "x",
        Role::Time | Role::Dates => "d",
        Role::Rate => "0.02",
        Role::PeriodsPerYear | Role::PeriodsOfRow => "252",
        Role::Population | Role::CountZeros => "true",
        Role::Capital | Role::Cap => "1000",
        Role::Confidence => "0.9",
        Role::Method => "'historical'",
        Role::Statistic => "'sharpe_ratio'",
        Role::Resamples => "100",
        Role::RandomSeed | Role::DegreesOfFreedom => "1",
        Role::Length | Role::SignalLength => "3",
        Role::FastLength | Role::Deviations => "2",
        Role::SlowLength => "5",
        Role::Seed => "'sma'",
        Role::RsiMethod => "'cutler'",
        Role::AtrMethod => "'simple'",
    }
}

/// Expressions of a wrong type.
fn wrong_types(role: Role) -> &'static [&'static str] {
    match role {
        Role::Series => &["'text'", "d", "x > 0", "[x]"],
        Role::Dates => &["x", "'2024-01-01'", "1"],
        Role::Time | Role::AnySeries => &[],
        Role::Population | Role::CountZeros => &["1", "'true'", "0.5"],
        Role::Method | Role::Statistic | Role::Seed | Role::RsiMethod | Role::AtrMethod => &["3", "true", "DATE '2024-01-01'"],
        _ => &["'0.02'", "true", "DATE '2024-01-01'"],
    }
}

/// Constants of the right type that are not allowed.
fn wrong_values(role: Role) -> &'static [&'static str] {
    match role {
        Role::Series | Role::AnySeries | Role::Time | Role::Dates => &[],
        Role::Rate => &["-1", "-2.5", "'NaN'::DOUBLE", "'inf'::DOUBLE", "NULL", "1 - 3"],
        Role::PeriodsPerYear | Role::PeriodsOfRow => &["0", "-252", "'NaN'::DOUBLE", "'inf'::DOUBLE", "NULL", "1 - 1"],
        Role::Population | Role::CountZeros => &["NULL"],
        Role::Capital => &["'NaN'::DOUBLE", "'-inf'::DOUBLE", "NULL"],
        Role::Cap => &["0", "-0.25", "'NaN'::DOUBLE", "NULL"],
        Role::Confidence => &["0", "1", "-0.5", "95", "'NaN'::DOUBLE", "NULL", "1e-12"],
        Role::Method => &["'monte_carlo'", "''", "NULL"],
        Role::Statistic => &["'max_drawdown'", "'beta'", "'legacy_sharpe'", "''", "NULL"],
        Role::Resamples => &["0", "99", "-1000", "100.5", "1000001", "NULL"],
        Role::RandomSeed => &["0.5", "'NaN'::DOUBLE", "1e300", "NULL"],
        Role::Length | Role::FastLength | Role::SlowLength | Role::SignalLength => {
            &["0", "-1", "2.5", "1 - 1", "1e300", "'NaN'::DOUBLE", "'inf'::DOUBLE", "NULL"]
        }
        Role::Deviations => &["-1", "-0.5", "'NaN'::DOUBLE", "'inf'::DOUBLE", "NULL"],
        // As many as `n`, which `valid` has as 3, among them.
        Role::DegreesOfFreedom => &["-1", "0.5", "3", "1e300", "'NaN'::DOUBLE", "NULL"],
        Role::Seed => &["'wilder'", "''", "NULL"],
        Role::RsiMethod => &["'simple'", "''", "NULL"],
        Role::AtrMethod => &["'cutler'", "''", "NULL"],
    }
}

/// Expressions of the right type whose value is known only when the query runs.
fn not_constant(role: Role) -> &'static [&'static str] {
    match role {
        Role::Series | Role::AnySeries | Role::Time | Role::Dates | Role::PeriodsOfRow => &[],
        Role::Population | Role::CountZeros => &["x > 0"],
        Role::Method | Role::Statistic | Role::Seed | Role::RsiMethod | Role::AtrMethod => &["CAST(x AS VARCHAR)"],
        _ => &["x", "random()", "(SELECT max(x) FROM t)"],
    }
}

/// The call with `wrong` at position `at`, in a query.
fn call(page: &Page, at: usize, wrong: &'static str) -> String {
    let mut given: Vec<&str> = page.arguments[..at].iter().map(valid).collect();
    given.push(wrong);
    given.extend(page.arguments[at + 1..].iter().filter(|argument| argument.default == DefaultValue::Required).map(valid));
    written(page, &given.join(", "))
}

fn written(page: &Page, arguments: &str) -> String {
    let (order, over) = match page.kind {
        Kind::Scalar | Kind::Aggregate => ("", ""),
        Kind::PathAggregate => (" ORDER BY d", ""),
        Kind::Window => ("", " OVER (ORDER BY d)"),
    };
    format!("SELECT {}({arguments}{order}){over} FROM t", page.name)
}

/// The arguments that must be given.
fn required(page: &Page) -> Vec<&'static str> {
    page.arguments.iter().filter(|argument| argument.default == DefaultValue::Required).map(valid).collect()
}

async fn returns() -> SessionContext {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    ctx
}

async fn is_refused(ctx: &SessionContext, sql: &str, parts: &[&str]) {
    let message = refusal(ctx, sql).await;
    assert!(parts.iter().all(|part| message.contains(part)), "{sql}: {message}, expected {parts:?}");
}

#[tokio::test]
async fn the_right_calls_are_planned() {
    let ctx = returns().await;
    for page in pages() {
        let all: Vec<&str> = page.arguments.iter().map(valid).collect();
        for given in required(&page).len()..=all.len() {
            rows(&ctx, &written(&page, &all[..given].join(", "))).await;
        }
    }
}

#[tokio::test]
async fn wrong_counts_are_refused_by_every_function() {
    let ctx = returns().await;
    for page in pages() {
        let many = vec!["1"; page.arguments.len() + 1].join(", ");
        let (name, usage) = (format!("{} takes", page.name), page.signature());
        let over = if page.kind == Kind::Window { "OVER (ORDER BY d)" } else { "" };
        is_refused(&ctx, &format!("SELECT {}() {over} FROM t", page.name), &[&name, "got 0", &usage]).await;
        is_refused(&ctx, &written(&page, &many), &[&name, &format!("got {}", page.arguments.len() + 1), &usage]).await;
    }
}

#[tokio::test]
async fn wrong_types_are_refused_by_every_argument() {
    let ctx = returns().await;
    for page in pages() {
        for (at, argument) in page.arguments.iter().enumerate() {
            let named = format!("{}: argument {} must be {}", page.name, argument.name, argument.role.allowed());
            for wrong in wrong_types(argument.role) {
                is_refused(&ctx, &call(&page, at, wrong), &[&named, "got ", "usage: ", &page.signature()]).await;
            }
        }
    }
}

#[tokio::test]
async fn values_out_of_range_are_refused_by_every_argument() {
    let ctx = returns().await;
    for page in pages() {
        for (at, argument) in page.arguments.iter().enumerate() {
            let named = format!("{}: argument {} must be {}", page.name, argument.name, argument.role.allowed());
            for wrong in wrong_values(argument.role) {
                is_refused(&ctx, &call(&page, at, wrong), &[&named, "got ", &page.signature()]).await;
            }
        }
    }
}

#[tokio::test]
async fn options_must_be_constant() {
    let ctx = returns().await;
    for page in pages() {
        for (at, argument) in page.arguments.iter().enumerate() {
            let named = format!("{}: argument {} must be {}", page.name, argument.name, argument.role.allowed());
            for wrong in not_constant(argument.role) {
                is_refused(&ctx, &call(&page, at, wrong), &[&named, "known before the query runs", &page.signature()]).await;
            }
        }
    }
}

#[tokio::test]
async fn path_functions_without_a_time_order_are_refused() {
    let ctx = returns().await;
    for page in pages().filter(|page| page.kind == Kind::PathAggregate) {
        let needs = format!("{} needs a time order", page.name);
        let name = page.name;
        is_refused(&ctx, &format!("SELECT {name}(x) FROM t"), &[&needs, &format!("write {name}(x ORDER BY <time column>)")]).await;
        is_refused(&ctx, &format!("SELECT {name}(x) FROM t GROUP BY d"), &[&needs, "or declare the order of the table"]).await;
        let over = format!("write {name}(x) OVER (ORDER BY <time column>)");
        is_refused(&ctx, &format!("SELECT {name}(x) OVER () FROM t"), &[&needs, &over]).await;
        is_refused(&ctx, &format!("SELECT {name}(x) OVER (PARTITION BY d) FROM t"), &[&needs, &over]).await;
    }
}

#[tokio::test]
async fn indicators_without_a_time_order_are_refused() {
    let ctx = returns().await;
    for page in pages().filter(|page| page.kind == Kind::Window) {
        let (needs, call) = (format!("{} needs a time order", page.name), format!("{}({})", page.name, required(&page).join(", ")));
        let remedy = format!("write {call} OVER (ORDER BY <time column>) or declare the order of the table");
        is_refused(&ctx, &format!("SELECT {call} OVER () FROM t"), &[&needs, &remedy]).await;
        is_refused(&ctx, &format!("SELECT {call} OVER (PARTITION BY d) FROM t"), &[&needs, &remedy]).await;
        is_refused(&ctx, &format!("SELECT {call} OVER (ROWS 2 PRECEDING) FROM t"), &[&needs, &remedy]).await;
    }
}

/// The engine's own refusal: it looks for an aggregate of that name, and shows no function to ask.
#[tokio::test]
async fn indicators_without_over_are_refused() {
    let ctx = returns().await;
    for page in pages().filter(|page| page.kind == Kind::Window) {
        let (call, unknown) = (format!("{}({})", page.name, required(&page).join(", ")), format!("Invalid function '{}'", page.name));
        is_refused(&ctx, &format!("SELECT {call} FROM t"), &[&unknown]).await;
        is_refused(&ctx, &format!("SELECT {call} FROM t GROUP BY d"), &[&unknown]).await;
    }
}

#[tokio::test]
async fn distinct_is_refused_where_it_has_no_meaning() {
    let ctx = returns().await;
    for page in pages().filter(|page| page.kind != Kind::Scalar) {
        // Twice the same column after DISTINCT fails in an optimizer rule of the engine, for its own `corr` too.
        let arguments = required(&page).join(", ").replace("x, x", "x, -x");
        let sql = written(&page, &format!("DISTINCT {arguments}"));
        if find(page.name).is_some_and(Metric::allows_distinct) {
            rows(&ctx, &sql).await;
        } else {
            is_refused(&ctx, &sql, &[page.name, "does not take DISTINCT: every row counts", &page.signature()]).await;
        }
    }
}

#[tokio::test]
async fn explain_shows_the_error() {
    let ctx = returns().await;
    let plan = format!("{:?}", rows(&ctx, "EXPLAIN SELECT sharpe_ratio(x, -7) FROM t").await);
    assert!(plan.contains("argument risk_free must be a constant annual rate greater than -1, got -7"), "{plan}");
}
