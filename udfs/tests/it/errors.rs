//! Calls that planning must refuse, with a message that names function, argument and allowed values.

use datafusion::common::ScalarValue;

use crate::session::{B, R, X, error, numbers, refusal, register_columns, register_series, rows, session, some, try_rows};

async fn refuses(call: &str, parts: &[&str]) {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    let message = refusal(&ctx, &format!("SELECT {call} FROM t")).await;
    assert!(parts.iter().all(|part| message.contains(part)), "{call}: {message}");
}

#[tokio::test]
async fn wrong_counts_are_refused() {
    refuses(
        "sharpe_ratio()",
        &["sharpe_ratio takes 1 to 3 arguments, got 0", "sharpe_ratio(x [, risk_free = 0 [, periods_per_year = 252]])"],
    )
    .await;
    refuses("best(x, 1)", &["best takes 1 arguments, got 2"]).await;
    refuses("beta(x)", &["beta takes 2 arguments, got 1", "beta(r, b)"]).await;
    refuses("value_at_risk(x, 0.95, 'historical', 3)", &["value_at_risk takes 1 to 3 arguments"]).await;
}

#[tokio::test]
async fn wrong_types_are_refused() {
    refuses("sharpe_ratio('text')", &["sharpe_ratio", "argument x", "numeric column", "Utf8"]).await;
    refuses("sharpe_ratio(d)", &["sharpe_ratio", "argument x", "numeric column", "Date32"]).await;
    refuses("sharpe_ratio(x > 0)", &["argument x", "Boolean"]).await;
    refuses("sharpe_ratio(x, '0.02')", &["argument risk_free", "constant annual rate greater than -1"]).await;
    refuses("win_rate(x, 1)", &["win_rate", "argument count_zeros", "true or false"]).await;
    refuses("value_at_risk(x, 0.95, 3)", &["argument method", "'historical', 'parametric' or 'cornish_fisher'"]).await;
}

#[tokio::test]
async fn values_out_of_range_are_refused() {
    refuses("sharpe_ratio(x, -1)", &["sharpe_ratio: argument risk_free", "greater than -1", "got -1"]).await;
    refuses("sharpe_ratio(x, 0, 0)", &["argument periods_per_year", "greater than 0"]).await;
    refuses("cagr(x, -252)", &["cagr: argument periods_per_year", "got -252"]).await;
    refuses("cagr(x, 'NaN'::DOUBLE)", &["cagr: argument periods_per_year", "NaN"]).await;
    refuses("value_at_risk(x, 1)", &["value_at_risk: argument confidence", "strictly between 0 and 1"]).await;
    refuses("value_at_risk(x, 95)", &["argument confidence", "got 95"]).await;
    refuses("tail_ratio(x, 0)", &["tail_ratio: argument q"]).await;
    refuses("kelly(x, 0)", &["kelly_fraction: argument cap", "greater than 0"]).await;
    refuses("cvar(x, 0.9, 'monte_carlo')", &["expected_shortfall: argument method", "'cornish_fisher'", "monte_carlo"]).await;
    refuses("sharpe_ratio(x, NULL)", &["argument risk_free", "got NULL"]).await;
    refuses("value_at_risk(x) OVER (ORDER BY d), value_at_risk(x, 2) OVER (ORDER BY d)", &["argument confidence", "got 2"]).await;
}

#[tokio::test]
async fn constants_must_be_known_before_the_query_runs() {
    refuses("sharpe_ratio(x, x)", &["sharpe_ratio: argument risk_free", "known before the query runs"]).await;
    refuses("sharpe_ratio(x, random())", &["argument risk_free", "known before the query runs"]).await;
    refuses("sharpe_ratio(x, (SELECT max(x) FROM t))", &["argument risk_free", "known before the query runs"]).await;
}

#[tokio::test]
async fn folded_expressions_and_bound_parameters_are_constants() {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    let found = numbers(
        &ctx,
        "SELECT sharpe_ratio(x, 0.04 / 2, 200 + 52), sharpe_ratio(x, 0.02, 252), sharpe_ratio(x, CAST('0.02' AS DOUBLE)) FROM t",
    )
    .await;
    assert!(found[0].is_some() && found[0] == found[1] && found[1] == found[2], "{found:?}");
    let bound = ctx.sql("SELECT sharpe_ratio(x, $rate) FROM t").await.unwrap();
    let bound = bound.with_param_values(vec![("rate", ScalarValue::from(0.02))]).unwrap().collect().await.unwrap();
    assert_eq!(ScalarValue::try_from_array(bound[0].column(0), 0).unwrap(), ScalarValue::Float64(found[0]));
    let bad = ctx.sql("SELECT sharpe_ratio(x, $1) FROM t").await.unwrap().with_param_values(vec![ScalarValue::from(-2.0)]).unwrap();
    assert!(bad.collect().await.unwrap_err().to_string().contains("greater than -1"));
    rows(&ctx, "PREPARE q(DOUBLE) AS SELECT sharpe_ratio(x, $1) FROM t").await;
    assert_eq!(numbers(&ctx, "EXECUTE q(0.02)").await, found[..1]);
    assert!(error(&ctx, "EXECUTE q(-2.0)").await.contains("greater than -1"));
}

#[tokio::test]
async fn arguments_may_be_named() {
    let ctx = session();
    register_columns(&ctx, "t", &[("x", some(R)), ("b", some(B))]);
    for (named, positional) in [
        ("sharpe_ratio(x, risk_free => 0.02)", "sharpe_ratio(x, 0.02)"),
        ("sharpe(x, risk_free => 0.02, periods_per_year => 53)", "sharpe_ratio(x, 0.02, 53)"),
        ("sharpe_ratio(x, 0.02, periods_per_year => 53)", "sharpe_ratio(x, 0.02, 53)"),
        ("sharpe_ratio(periods_per_year => 53, risk_free => 0.02, x => x)", "sharpe_ratio(x, 0.02, 53)"),
        ("sharpe_ratio(x, RISK_FREE => 0.02)", "sharpe_ratio(x, 0.02)"),
        ("sortino_ratio(x, risk_free => 0.02)", "sortino_ratio(x, 0.02)"),
        ("alpha(x, b, risk_free => 0.02)", "alpha(x, b, 0.02)"),
        ("downside_deviation(x, mar => 0.02)", "downside_deviation(x, 0.02)"),
        ("omega_ratio(x, threshold => 0.05)", "omega_ratio(x, 0.05)"),
        ("cagr(x, periods_per_year => 53)", "cagr(x, 53)"),
        ("kelly(x, cap => 0.1)", "kelly_fraction(x, 0.1)"),
        ("value_at_risk(x, method => 'parametric', confidence => 0.99)", "value_at_risk(x, 0.99, 'parametric')"),
        ("calmar_ratio(x, periods_per_year => 53 ORDER BY d)", "calmar_ratio(x, 53 ORDER BY d)"),
        ("sharpe_ratio(x, risk_free => 0.02) OVER (ORDER BY d)", "sharpe_ratio(x, 0.02) OVER (ORDER BY d)"),
    ] {
        let found = rows(&ctx, &format!("SELECT {named} AS named, {positional} AS positional FROM t")).await;
        assert!(found.iter().all(|row| row[0] == row[1]), "{named}: {found:?}");
        assert!(found.iter().any(|row| !row[0].is_null()), "{named}: {found:?}");
    }
}

#[tokio::test]
async fn named_arguments_that_do_not_fit_are_refused() {
    refuses("sharpe_ratio(x, frequency => 53)", &["'frequency'", "[x, risk_free, periods_per_year]"]).await;
    refuses("sharpe_ratio(x, rf => 0.02)", &["'rf'", "[x, risk_free, periods_per_year]"]).await;
    refuses("sharpe_ratio(x, risk_free => 0.02, risk_free => 0.03)", &["'risk_free'", "multiple times"]).await;
    refuses("sharpe_ratio(x, 0.02, risk_free => 0.03)", &["'risk_free'", "multiple times"]).await;
    refuses("sharpe_ratio(x, risk_free => 0.02, 53)", &["positional arguments must come before named"]).await;
    // DataFusion fills arguments from the left: one that is skipped must be given too. It says which.
    refuses("sharpe_ratio(x, periods_per_year => 53)", &["Missing required parameter 'risk_free'"]).await;
    refuses("sharpe_ratio(x, risk_free => -1)", &["sharpe_ratio: argument risk_free", "got -1"]).await;
}

#[tokio::test]
async fn distinct_is_refused_where_every_row_counts() {
    for call in [
        "max_drawdown(DISTINCT x ORDER BY d)",
        "legacy_expectancy(DISTINCT x)",
        "legacy_max_drawdown(DISTINCT x ORDER BY d)",
        "max_drawdown(DISTINCT x) OVER (ORDER BY d)",
    ] {
        refuses(call, &["does not take DISTINCT"]).await;
    }
}

#[tokio::test]
async fn two_orders_in_one_query_do_not_conflict() {
    let ctx = session();
    register_series(&ctx, "t", &some(X));
    let sql = "SELECT max_drawdown_pnl(x ORDER BY d), max_drawdown_pnl(x ORDER BY d DESC), max_drawdown_pnl(x ORDER BY x) FROM t";
    assert_eq!(numbers(&ctx, sql).await, [Some(-105.0), Some(-105.0), Some(-160.0)]);
    assert_eq!(
        numbers(&ctx, "SELECT roi(x ORDER BY d), sharpe_ratio(x ORDER BY d DESC) - sharpe_ratio(x) FROM t").await,
        [Some(65.0), Some(0.0)]
    );
}

#[tokio::test]
async fn unknown_names_stay_unknown() {
    assert!(try_rows(&session(), "SELECT sharp_ratio(1.0)").await.is_err());
}
