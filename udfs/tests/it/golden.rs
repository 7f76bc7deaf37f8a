//! Numbers of independent libraries on real series, where the shared data are there.

use std::collections::HashMap;

use datafusion::prelude::{CsvReadOptions, SessionContext};

use crate::json::Json;
use crate::session::{close, number, numbers, register_columns, rows, session, shared};

/// Golden name and our call over a series `x` (benchmark `b`) in the order of `d`.
const CALLS: &[(&str, &str)] = &[
    ("total_return", "total_return(x)"),
    ("cagr", "cagr(x)"),
    ("volatility", "volatility(x)"),
    ("volatility_period", "volatility(x, 1)"),
    ("std_pnl", "volatility(x, 1)"),
    ("downside_deviation", "downside_deviation(x)"),
    ("downside_deviation_mar2pct", "downside_deviation(x, 0.02)"),
    ("max_drawdown", "max_drawdown(x ORDER BY d)"),
    ("max_drawdown_pnl", "max_drawdown_pnl(x ORDER BY d)"),
    ("max_drawdown_uncompounded", "max_drawdown_pnl(x ORDER BY d)"),
    ("ulcer_index", "ulcer_index(x ORDER BY d)"),
    ("ulcer_index_pnl", "ulcer_index_pnl(x ORDER BY d)"),
    ("sharpe", "sharpe_ratio(x)"),
    ("sharpe_period", "sharpe_ratio(x, 0, 1)"),
    ("sharpe_rf2", "sharpe_ratio(x, 0.02)"),
    ("sortino", "sortino_ratio(x)"),
    ("sortino_rf2", "sortino_ratio(x, 0.02)"),
    ("calmar", "calmar_ratio(x ORDER BY d)"),
    ("calmar_pnl", "calmar_ratio_pnl(x ORDER BY d)"),
    ("omega", "omega_ratio(x)"),
    ("omega_req5", "omega_ratio(x, 0.05)"),
    ("win_rate", "win_rate(x)"),
    ("profit_factor", "profit_factor(x)"),
    ("payoff_ratio", "payoff_ratio(x)"),
    ("expectancy", "expectancy(x)"),
    ("avg_win", "avg_win(x)"),
    ("avg_loss", "avg_loss(x)"),
    ("kelly", "kelly_fraction(x)"),
    ("tail_ratio", "tail_ratio(x)"),
    ("skew", "skewness(x)"),
    ("kurtosis", "kurtosis(x)"),
    ("recovery_factor", "recovery_factor(x ORDER BY d)"),
    ("recovery_factor_pnl", "recovery_factor_pnl(x ORDER BY d)"),
    ("best", "best(x)"),
    ("worst", "worst(x)"),
    ("best_day", "best(x)"),
    ("worst_day", "worst(x)"),
    ("total_pnl", "roi(x)"),
    ("sum_return", "roi(x)"),
    ("roi", "roi(x, 100000)"),
    ("consecutive_wins", "max_consecutive_wins(x ORDER BY d)"),
    ("consecutive_losses", "max_consecutive_losses(x ORDER BY d)"),
    ("var_hist_95", "value_at_risk(x, 0.95, 'historical')"),
    ("var_hist_99", "value_at_risk(x, 0.99, 'historical')"),
    ("var_param_95", "value_at_risk(x, 0.95, 'parametric')"),
    ("var_param_99", "value_at_risk(x, 0.99, 'parametric')"),
    ("var_cf_95", "value_at_risk(x, 0.95, 'cornish_fisher')"),
    ("var_cf_99", "value_at_risk(x, 0.99, 'cornish_fisher')"),
    ("cvar_hist_95", "expected_shortfall(x, 0.95, 'historical')"),
    ("cvar_hist_99", "expected_shortfall(x, 0.99, 'historical')"),
    ("cvar_param_95", "expected_shortfall(x, 0.95, 'parametric')"),
    ("cvar_param_99", "expected_shortfall(x, 0.99, 'parametric')"),
    ("cvar_cf_95", "expected_shortfall(x, 0.95, 'cornish_fisher')"),
    ("cvar_cf_99", "expected_shortfall(x, 0.99, 'cornish_fisher')"),
    ("beta", "beta(x, b)"),
    ("alpha", "alpha(x, b)"),
    ("alpha_rf2", "alpha(x, b, 0.02)"),
    ("correlation", "correlation(x, b)"),
    ("information_ratio", "information_ratio(x, b)"),
    ("information_ratio_annual", "information_ratio(x, b, 252)"),
    ("tracking_error", "tracking_error(x, b)"),
];

const WINDOWS: &[(&str, &str)] = &[
    ("full", "true"),
    ("2008-2009", "d BETWEEN DATE '2008-01-01' AND DATE '2009-12-31'"),
    ("2020", "d BETWEEN DATE '2020-01-01' AND DATE '2020-12-31'"),
    ("2022Q4", "d >= DATE '2022-10-01'"),
];

fn call(name: &str) -> Option<&'static str> {
    CALLS.iter().find(|(golden, _)| *golden == name).map(|(_, call)| *call)
}

async fn csv(ctx: &SessionContext, name: &str, file: &str) -> Option<()> {
    let path = shared(file)?;
    ctx.register_csv(name, path.to_string_lossy(), CsvReadOptions::new().schema_infer_max_records(100_000)).await.unwrap();
    Some(())
}

/// Compares all rows of the table `golden` with our results on `series` (columns d, s, x[, b]).
async fn compare(ctx: &SessionContext, series: &str, least: usize) {
    let golden = rows(ctx, "SELECT symbol, sample, metric, value FROM golden").await;
    let text = |value: &datafusion::common::ScalarValue| value.to_string();
    let mut names: Vec<String> = golden.iter().map(|row| text(&row[2])).filter(|name| call(name).is_some()).collect();
    names.sort();
    names.dedup();
    let calls: Vec<&str> = names.iter().filter_map(|name| call(name)).collect();
    let mut ours = HashMap::new();
    for (window, condition) in WINDOWS {
        let sql = format!("SELECT s, {} FROM {series} WHERE {condition} GROUP BY s", calls.join(", "));
        for row in rows(ctx, &sql).await {
            for (name, value) in names.iter().zip(&row[1..]) {
                ours.insert((text(&row[0]), (*window).to_owned(), name.clone()), number(value));
            }
        }
    }
    let mut checked = 0;
    for row in &golden {
        if let Some(found) = ours.get(&(text(&row[0]), text(&row[1]), text(&row[2]))) {
            assert!(close(*found, number(&row[3]), 1e-9), "{row:?}: {found:?}");
            checked += 1;
        }
    }
    assert!(checked >= least, "only {checked} golden values were compared");
}

#[tokio::test]
async fn returns_agree_with_the_golden_numbers() {
    let ctx = session();
    if csv(&ctx, "raw", "golden/returns.csv").await.is_none() || csv(&ctx, "golden", "golden/metrics.csv").await.is_none() {
        return;
    }
    let view = "CREATE VIEW r AS SELECT CAST(a.date AS DATE) d, a.symbol s, a.ret x, m.ret b FROM raw a \
                LEFT JOIN raw m ON m.date = a.date AND m.symbol = 'SP500'";
    ctx.sql(view).await.unwrap().collect().await.unwrap();
    compare(&ctx, "r", 700).await;
}

#[tokio::test]
async fn profits_agree_with_the_golden_numbers() {
    let ctx = session();
    if csv(&ctx, "raw", "golden/pnl.csv").await.is_none() || csv(&ctx, "golden", "golden/pnl_metrics.csv").await.is_none() {
        return;
    }
    let names: Vec<String> = ctx.table("raw").await.unwrap().schema().fields().iter().skip(1).map(|f| f.name().clone()).collect();
    let part = |name: &String| format!("SELECT CAST(date AS DATE) d, '{name}' s, \"{name}\" x FROM raw");
    let view = format!("CREATE VIEW p AS {}", names.iter().map(part).collect::<Vec<_>>().join(" UNION ALL "));
    ctx.sql(&view).await.unwrap().collect().await.unwrap();
    compare(&ctx, "p", 250).await;
}

#[tokio::test]
async fn drawdowns_agree_with_the_golden_dates() {
    let ctx = session();
    for (name, file) in [("raw", "golden/returns.csv"), ("wide", "golden/pnl.csv"), ("golden", "golden/drawdowns.csv")] {
        if csv(&ctx, name, file).await.is_none() {
            return;
        }
    }
    let names: Vec<String> = ctx.table("wide").await.unwrap().schema().fields().iter().skip(1).map(|f| f.name().clone()).collect();
    let parts = names.iter().map(|name| format!("SELECT date d, 'pnl' k, '{name}' s, \"{name}\" x FROM wide"));
    let view = std::iter::once("SELECT date d, 'returns' k, symbol s, ret x FROM raw".to_owned())
        .chain(parts)
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    ctx.sql(&format!("CREATE VIEW v AS {view}")).await.unwrap().collect().await.unwrap();
    let dates = ["peak_date", "start_date", "trough_date", "recovery_date"];
    let counts = ["duration_days", "rows_underwater", "rows_peak_to_trough", "rows_trough_to_recovery"];
    let golden_counts = ["duration", "rows_underwater", "rows_peak_to_trough", "rows_trough_to_recovery"];
    let mut checked = 0;
    for (kind, function) in [("returns", "drawdown_details"), ("pnl", "drawdown_details_pnl")] {
        for (window, condition) in WINDOWS {
            let fields = |names: &[&str]| names.iter().map(|f| format!("q['{f}']")).collect::<Vec<_>>().join(", ");
            let mine = format!(
                "SELECT s, q['max_drawdown'], {}, {} FROM (SELECT s, {function}(x, d ORDER BY d) q FROM v WHERE k = '{kind}' AND {condition} GROUP BY s) ORDER BY s",
                fields(&counts),
                fields(&dates)
            );
            let golden = format!(
                "SELECT symbol, max_drawdown, {}, {} FROM golden WHERE kind = '{kind}' AND sample = '{window}' ORDER BY symbol",
                golden_counts.join(", "),
                dates.join(", ")
            );
            let mine: HashMap<String, Vec<_>> = rows(&ctx, &mine).await.into_iter().map(|r| (r[0].to_string(), r)).collect();
            for golden in rows(&ctx, &golden).await {
                let Some(mine) = mine.get(&golden[0].to_string()) else { continue };
                assert!(close(number(&mine[1]), number(&golden[1]), 1e-9), "{kind} {window} {golden:?} {mine:?}");
                assert_eq!(
                    mine[2..6].iter().map(number).collect::<Vec<_>>(),
                    golden[2..6].iter().map(number).collect::<Vec<_>>(),
                    "{kind} {window} {golden:?}"
                );
                assert_eq!(format!("{:?}", &mine[6..]), format!("{:?}", &golden[6..]), "{kind} {window} {golden:?}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "only {checked} drawdowns were compared");
}

#[tokio::test]
async fn degenerate_inputs_agree_with_the_golden_answers() {
    let Some(path) = shared("golden/edge_cases.json") else { return };
    let json = Json::parse(&std::fs::read_to_string(path).unwrap());
    let ctx = session();
    let (mut checked, mut wrong) = (0, vec![]);
    for (group, first, second) in [("returns_cases", "input", ""), ("pnl_cases", "input", ""), ("pair_cases", "returns", "benchmark")] {
        for case in json.get(group).list() {
            let mut x: Vec<Option<f64>> = case.get(first).list().iter().map(Json::number).collect();
            let mut b: Vec<Option<f64>> = case.get(second).list().iter().map(Json::number).collect();
            b.resize(x.len(), None);
            if x.is_empty() {
                (x, b) = (vec![None], vec![None]);
            }
            register_columns(&ctx, "t", &[("x", x), ("b", b)]);
            let wanted: Vec<_> =
                case.get("recommended").fields().filter_map(|(name, value)| Some((name, call(name)?, value.number()))).collect();
            if wanted.is_empty() {
                continue;
            }
            let calls: Vec<&str> = wanted.iter().map(|w| w.1).collect();
            let tolerance = if case.get("name") == &Json::Text("big_offset".to_owned()) { 1e-6 } else { 1e-9 };
            let found = numbers(&ctx, &format!("SELECT {} FROM t", calls.join(", "))).await;
            for ((name, _, expected), found) in wanted.into_iter().zip(found) {
                if !close(found, expected, tolerance) {
                    wrong.push(format!("{name} of {:?}: {found:?}, expected {expected:?}", case.get("name")));
                }
                checked += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 1000, "only {checked} answers were compared");
}
