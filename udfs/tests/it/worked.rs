//! Worked examples: exact results for the decimal inputs, rounded once to a double.

use crate::session::{B, D, Q, R, X, close, number, numbers, register_columns, register_series, rows, session, some};

// Tables of (table, call, expected, tolerance): calls over `x` in the order of `d`.
const T1: f64 = 1e-12;
const T2: f64 = 1e-9;
const EXACT: f64 = 0.0;

const ORDER_FREE: &[(&str, &str, f64, f64)] = &[
    ("r", "total_return(x)", 0.03970268023391, T2),
    ("r", "cagr(x)", 2.4090914489527213, T2),
    ("r", "cagr(x, 53)", 0.29426500429084185, T2),
    ("r", "volatility(x)", 0.2649528259898354, T2),
    ("r", "volatility(x, 1)", 0.016690459207925605, T2),
    ("x", "volatility(x, 53)", 435.91191361165096, T2),
    ("r", "downside_deviation(x)", 0.12859821149611686, T1),
    ("r", "downside_deviation(x, 0.02)", 0.12927319104055465, T2),
    ("r", "sharpe_ratio(x)", 4.755563543407302, T2),
    ("r", "sharpe_ratio(x, 0.02)", 4.680820406374647, T2),
    ("r", "sharpe_ratio(x, 0.02, 53)", 2.017915789426865, T2),
    ("x", "sharpe_ratio(x)", 2.154084998681925, T2),
    ("x", "sharpe_ratio(x, 0, 53)", 0.9878716010125821, T2),
    ("r", "sortino_ratio(x)", 9.797958971132712, T1),
    ("r", "sortino_ratio(x, 0.02)", 9.59361012625415, T2),
    ("x", "sortino_ratio(x, 0, 53)", 1.6900255100115489, T1),
    ("r", "omega_ratio(x)", 2.142857142857143, T1),
    ("r", "omega_ratio(x, 0.05)", 2.074813967312063, T2),
    ("x", "omega_ratio(x)", 1.40625, T1),
    ("x", "skewness(x)", 0.013839411733235316, T2),
    ("x", "skewness(x, true)", 0.011096215101485545, T2),
    ("q", "skewness(x)", 0.48156304844927, T2),
    ("r", "kurtosis(x)", -0.9071005917159763, T2),
    ("x", "kurtosis(x)", -0.8070959622423141, T2),
    ("x", "kurtosis(x, true)", -1.0509980772582448, T2),
    ("q", "kurtosis(x)", -1.699511634587762, T2),
    ("r", "win_rate(x)", 0.5714285714285714, T1),
    ("r", "win_rate(x, true)", 0.5, T1),
    ("x", "win_rate(x)", 0.5714285714285714, T1),
    ("r", "profit_factor(x)", 2.142857142857143, T1),
    ("x", "profit_factor(x)", 1.40625, T1),
    ("x", "profit_factor(x) FILTER (WHERE x > -80)", 2.8125, T1),
    ("r", "payoff_ratio(x)", 1.6071428571428572, T1),
    ("x", "payoff_ratio(x)", 1.0546875, T1),
    ("r", "expectancy(x)", 0.005714285714285714, T1),
    ("r", "expectancy(x, true)", 0.005, T1),
    ("x", "expectancy(x)", 9.285714285714286, T1),
    ("r", "avg_win(x)", 0.01875, T1),
    ("r", "avg_loss(x)", -0.011666666666666667, T1),
    ("x", "avg_win(x)", 56.25, T1),
    ("x", "avg_loss(x)", -53.333333333333336, T1),
    ("r", "kelly_fraction(x)", 0.3047619047619048, T1),
    ("r", "kelly_fraction(x, 0.25)", 0.25, T1),
    ("x", "kelly_fraction(x)", 0.16507936507936508, T1),
    ("x", "roi(x)", 65.0, T1),
    ("x", "roi(x, 1000)", 0.065, T1),
    ("r", "best(x)", 0.03, EXACT),
    ("r", "worst(x)", -0.02, EXACT),
];

const PATH: &[(&str, &str, f64, f64)] = &[
    ("d", "max_drawdown(x ORDER BY d)", -0.10954, T2),
    ("r", "max_drawdown(x ORDER BY d)", -0.02, T2),
    ("d", "calmar_ratio(x ORDER BY d)", 128.04656359509323, T2),
    ("d", "calmar_ratio(x, 53 ORDER BY d)", 7.012244717703993, T2),
    ("r", "calmar_ratio(x ORDER BY d)", 120.45457244763607, T2),
    ("d", "ulcer_index(x ORDER BY d)", 0.06417634160325082, T2),
    ("r", "ulcer_index(x ORDER BY d)", 0.008100925873009826, T2),
    ("d", "recovery_factor(x ORDER BY d)", 0.7136892132189154, T2),
    ("r", "recovery_factor(x ORDER BY d)", 1.9851340116955, T2),
    ("x", "max_drawdown_pnl(x ORDER BY d)", -105.0, T2),
    ("x", "calmar_ratio_pnl(x ORDER BY d)", 19.5, T2),
    ("x", "calmar_ratio_pnl(x, 53 ORDER BY d)", 4.101190476190476, T2),
    ("x", "ulcer_index_pnl(x ORDER BY d)", 47.070425959406826, T2),
    ("x", "recovery_factor_pnl(x ORDER BY d)", 0.6190476190476191, T2),
    ("d", "max_consecutive_wins(x ORDER BY d)", 2.0, EXACT),
    ("d", "max_consecutive_losses(x ORDER BY d)", 1.0, EXACT),
    ("x", "max_consecutive_wins(x ORDER BY d)", 2.0, EXACT),
    ("x", "max_consecutive_losses(x ORDER BY d)", 1.0, EXACT),
    ("streak", "max_consecutive_wins(x ORDER BY d)", 1.0, EXACT),
    ("streak", "max_consecutive_losses(x ORDER BY d)", 3.0, EXACT),
    ("d", "time_under_water(x ORDER BY d)", 4.0, EXACT),
    ("x", "time_under_water_pnl(x ORDER BY d)", 6.0, EXACT),
    ("rounded", "time_under_water(x ORDER BY d)", 1.0, EXACT),
    ("cents", "time_under_water_pnl(x ORDER BY d)", 1.0, EXACT),
    // Backwards in time, as written.
    ("d", "max_consecutive_losses(x ORDER BY d DESC)", 1.0, EXACT),
    ("x", "max_drawdown_pnl(x ORDER BY d DESC)", -105.0, T2),
];

const SAMPLE: &[(&str, &str, f64, f64)] = &[
    ("r", "value_at_risk(x)", -0.0165, T1),
    ("r", "value_at_risk(x, 0.99)", -0.0193, T1),
    ("x", "value_at_risk(x)", -69.5, T1),
    ("r", "expected_shortfall(x)", -0.02, T1),
    ("r", "expected_shortfall(x, 0.99)", -0.02, T1),
    ("x", "cvar(x)", -80.0, T1),
    ("r", "value_at_risk(x, 0.95, 'parametric')", -0.022453362363642034, T2),
    ("r", "value_at_risk(x, 0.99, 'Parametric')", -0.03382781429512311, T2),
    ("x", "value_at_risk(x, 0.95, 'parametric')", -90.3640754453079, T2),
    ("r", "expected_shortfall(x, 0.95, 'parametric')", -0.029427623971368392, T2),
    ("r", "expected_shortfall(x, 0.99, 'parametric')", -0.0394836492250649, T2),
    ("x", "expected_shortfall(x, 0.95, 'parametric')", -115.38427401189074, T2),
    ("r", "value_at_risk(x, 0.95, 'cornish_fisher')", -0.02275889736159604, T2),
    ("r", "value_at_risk(x, 0.99, 'CORNISH_FISHER')", -0.030288285521901038, T2),
    ("x", "value_at_risk(x, 0.95, 'cornish_fisher')", -91.10357259398975, T2),
    ("r", "expected_shortfall(x, 0.95, 'cornish_fisher')", -0.027208334012199638, T2),
    ("r", "expected_shortfall(x, 0.99, 'cornish_fisher')", -0.0320659413144363, T2),
    ("x", "expected_shortfall(x, 0.95, 'cornish_fisher')", -107.82882216954444, T2),
    ("r", "tail_ratio(x)", 1.606060606060606, T1),
    ("r", "tail_ratio(x, 0.9)", 1.7692307692307692, T1),
    ("x", "tail_ratio(x)", 1.2374100719424461, T1),
    ("n21", "value_at_risk(x)", -0.045, EXACT),
    ("n21", "expected_shortfall(x)", -0.0475, T1),
    ("n101", "value_at_risk(x)", -0.045, EXACT),
    ("n101", "expected_shortfall(x)", -0.0475, T1),
    ("n101", "value_at_risk(x, 0.99)", -0.049, EXACT),
    ("n101", "expected_shortfall(x, 0.99)", -0.0495, T1),
    ("ties", "value_at_risk(x)", -0.02, EXACT),
    ("ties", "expected_shortfall(x)", -0.02, T1),
];

const PAIR: &[(&str, &str, f64, f64)] = &[
    ("rb", "beta(x, b)", 1.373930548565677, T2),
    ("rb", "alpha(x, b)", 0.4809813789632612, T2),
    ("rb", "alpha(x, b, 0.02)", 0.4883864772005283, T2),
    ("rb", "alpha(x, b, 0.02, 53)", 0.10856497288940001, T2),
    ("rb", "correlation(x, b)", 0.980689239257765, T2),
    ("rb", "correlation(x, x)", 1.0, EXACT),
    ("rb", "information_ratio(x, b)", 0.4979466032338519, T2),
    ("rb", "information_ratio(x, b, 252)", 7.904657270076739, T2),
    ("rb", "tracking_error(x, b)", 0.00552268050859363, T2),
    ("rb", "tracking_error(x, b, 252)", 0.08766983517721474, T2),
];

fn tables() -> datafusion::prelude::SessionContext {
    let ctx = session();
    let grid = |half: i32, step: f64| (-half..=half).map(|i| Some(f64::from(i) * step / 1000.0)).collect::<Vec<_>>();
    for (name, values) in [
        ("r", some(R)),
        ("x", some(X)),
        ("d", some(D)),
        ("q", some(Q)),
        ("streak", vec![Some(1.0), Some(-1.0), Some(-2.0), None, Some(-3.0), Some(0.0), Some(-1.0)]),
        ("rounded", some(&[0.01, -0.05, 0.05263157894736836])),
        ("cents", some(&[0.1, 0.2, -0.3, 0.3, -0.1])),
        ("n21", grid(10, 5.0)),
        ("n101", grid(50, 1.0)),
        ("ties", some(&[vec![-0.02; 5], vec![0.01; 15]].concat())),
    ] {
        register_series(&ctx, name, &values);
    }
    register_columns(&ctx, "rb", &[("x", some(R)), ("b", some(B))]);
    ctx
}

#[tokio::test]
async fn worked_examples_hold() {
    let ctx = tables();
    for (table, call, expected, tolerance) in [ORDER_FREE, PATH, SAMPLE, PAIR].concat() {
        // The same call with and without groups: a plain and a group accumulator.
        for suffix in ["", " GROUP BY 1 = 1"] {
            let found = numbers(&ctx, &format!("SELECT {call} FROM {table}{suffix}")).await[0];
            assert!(close(found, Some(expected), tolerance), "{call} FROM {table}{suffix}: {found:?}, expected {expected:?}");
        }
    }
}

#[tokio::test]
async fn kelly_is_negative_without_cap_and_zero_with_it() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[0.01, -0.02]));
    assert_eq!(numbers(&ctx, "SELECT kelly_fraction(x), kelly_fraction(x, 0.25) FROM t").await, [Some(-0.5), Some(0.0)]);
}

#[tokio::test]
async fn distinct_counts_equal_rows_once() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[10.0, 10.0, -5.0]));
    for suffix in ["", " GROUP BY 1 = 1"] {
        let sql = format!(
            "SELECT expectancy(DISTINCT x), expectancy(x), roi(x), value_at_risk(DISTINCT x, 0.5), value_at_risk(x, 0.5) FROM t{suffix}"
        );
        assert_eq!(numbers(&ctx, &sql).await, [Some(2.5), Some(5.0), Some(15.0), Some(2.5), Some(10.0)]);
    }
    assert_eq!(numbers(&ctx, "SELECT roi(DISTINCT x) FROM t").await, [Some(5.0)]);
    assert_eq!(numbers(&ctx, "SELECT roi(DISTINCT x, 5) FROM t GROUP BY 1 = 1").await, [Some(1.0)]);
    register_columns(&ctx, "p", &[("x", some(&[1.0, 1.0, 2.0, 4.0])), ("b", some(&[2.0, 2.0, 1.0, 5.0]))]);
    let sql = "SELECT beta(DISTINCT x, b), (SELECT beta(x, b) FROM (SELECT DISTINCT x, b FROM p)) FROM p";
    let found = numbers(&ctx, sql).await;
    assert!(found[0].is_some() && close(found[0], found[1], 1e-12), "{found:?}");
}

#[tokio::test]
async fn numeric_types_are_read_as_double() {
    let ctx = session();
    for cast in ["x::BIGINT", "x::INT", "x::SMALLINT", "x::REAL", "x::DECIMAL(10, 2)", "arrow_cast(x::BIGINT, 'Dictionary(Int32, Int64)')"]
    {
        let sql = format!("SELECT roi({cast}), max_drawdown_pnl({cast} ORDER BY i) FROM (VALUES (1, -30), (2, 100), (3, -50)) AS t(i, x)");
        assert_eq!(numbers(&ctx, &sql).await, [Some(20.0), Some(-50.0)], "{cast}");
    }
}

#[tokio::test]
async fn empty_input_is_null_with_and_without_groups() {
    let ctx = session();
    register_series(&ctx, "t", &[None, None]);
    for metric in datafusion_functions_finance::functions() {
        let doubles = |argument: &datafusion_functions_finance::Argument| argument.role == datafusion_functions_finance::Role::Series;
        let structs = [datafusion_functions_finance::ResultKind::Drawdown, datafusion_functions_finance::ResultKind::Interval];
        if structs.contains(&metric.result) || !metric.arguments.first().is_some_and(doubles) {
            continue;
        }
        let order = if metric.needs_order() { " ORDER BY d" } else { "" };
        let series = if metric.family == datafusion_functions_finance::Family::Pair { "x, x" } else { "x" };
        let call = format!("{}({series}{order})", metric.name);
        let legacy = metric.name.starts_with("legacy_");
        for (from, null) in [("t WHERE false", true), ("t", !legacy)] {
            let found = rows(&ctx, &format!("SELECT {call} FROM {from}")).await;
            assert_eq!(number(&found[0][0]).is_none(), null, "{call} FROM {from}: {found:?}");
        }
        assert!(rows(&ctx, &format!("SELECT {call} FROM t WHERE false GROUP BY d")).await.is_empty());
    }
}
