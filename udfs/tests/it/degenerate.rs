//! Degenerate input: one row, zeros, a constant, only wins, only losses, a total loss. `None` is NULL.

use crate::session::{close, numbers, register_series, session, some};

type Row = (&'static str, [Option<f64>; 7]);

/// One win; one loss; six zeros; ten times 0.001; only wins; only losses; a total loss.
const INPUTS: [&[f64]; 7] = [
    &[0.01],
    &[-0.01],
    &[0.0; 6],
    &[0.001; 10],
    &[0.01, 0.02, 0.005, 0.03, 0.01],
    &[-0.01, -0.02, -0.005, -0.03, -0.01],
    &[0.01, -1.0, 0.02],
];

#[rustfmt::skip]
const EXPECTED: &[Row] = &[
    ("total_return(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.010045120210252211), Some(0.0770756453), Some(-0.0729753553), Some(-1.0)]),
    ("cagr(x)", [Some(11.274002099240217), Some(-0.9205545483094459), Some(0.0), Some(0.28643404437618775), Some(41.18992678863239), Some(-0.9780517192434808), Some(-1.0)]),
    ("volatility(x)", [None, None, Some(0.0), Some(0.0), Some(0.15874507866387544), Some(0.15874507866387544), Some(9.302967268565444)]),
    ("downside_deviation(x)", [Some(0.0), Some(0.15874507866387544), Some(0.0), Some(0.0), Some(0.0), Some(0.2772363612515501), Some(9.16515138991168)]),
    ("sharpe_ratio(x)", [None, None, None, None, Some(23.811761799581316), Some(-23.811761799581316), Some(-8.75849582695184)]),
    ("sortino_ratio(x)", [None, None, None, None, None, Some(-13.634575143518859), Some(-8.89019684821433)]),
    ("omega_ratio(x)", [None, Some(0.0), None, None, None, Some(0.0), Some(0.03)]),
    ("profit_factor(x)", [None, Some(0.0), None, None, None, Some(0.0), Some(0.03)]),
    ("skewness(x)", [None, None, None, None, Some(0.9375), Some(-0.9375), Some(-1.7314834491133169)]),
    ("kurtosis(x)", [None, None, None, None, Some(-0.1875), Some(-0.1875), None]),
    ("win_rate(x)", [Some(1.0), Some(0.0), None, Some(1.0), Some(1.0), Some(0.0), Some(0.6666666666666666)]),
    ("payoff_ratio(x)", [None, None, None, None, None, None, Some(0.015)]),
    ("expectancy(x)", [Some(0.01), Some(-0.01), None, Some(0.001), Some(0.015), Some(-0.015), Some(-0.3233333333333333)]),
    ("avg_win(x)", [Some(0.01), None, None, Some(0.001), Some(0.015), None, Some(0.015)]),
    ("avg_loss(x)", [None, Some(-0.01), None, None, None, Some(-0.015), Some(-1.0)]),
    ("kelly_fraction(x)", [None, None, None, None, None, None, Some(-21.555555555555557)]),
    ("roi(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.01), Some(0.075), Some(-0.075), Some(-0.97)]),
    ("best(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.001), Some(0.03), Some(-0.005), Some(0.02)]),
    ("worst(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.001), Some(0.005), Some(-0.03), Some(-1.0)]),
    ("max_drawdown(x ORDER BY d)", [Some(0.0), Some(-0.01), Some(0.0), Some(0.0), Some(0.0), Some(-0.0729753553), Some(-1.0)]),
    ("max_drawdown_pnl(x ORDER BY d)", [Some(0.0), Some(-0.01), Some(0.0), Some(0.0), Some(0.0), Some(-0.075), Some(-1.0)]),
    ("calmar_ratio(x ORDER BY d)", [None, Some(-92.0554548309446), None, None, None, Some(-13.402493420179082), Some(-1.0)]),
    ("calmar_ratio_pnl(x ORDER BY d)", [None, Some(-252.0), None, None, None, Some(-50.4), Some(-81.48)]),
    ("ulcer_index(x ORDER BY d)", [Some(0.0), Some(0.01), Some(0.0), Some(0.0), Some(0.0), Some(0.048084412022446815), Some(0.816496580927726)]),
    ("ulcer_index_pnl(x ORDER BY d)", [Some(0.0), Some(0.01), Some(0.0), Some(0.0), Some(0.0), Some(0.049142649501222456), Some(0.8083728512676973)]),
    ("recovery_factor(x ORDER BY d)", [None, Some(-1.0), None, None, None, Some(-1.0), Some(-1.0)]),
    ("recovery_factor_pnl(x ORDER BY d)", [None, Some(-1.0), None, None, None, Some(-1.0), Some(-0.97)]),
    ("max_consecutive_wins(x ORDER BY d)", [Some(1.0), Some(0.0), Some(0.0), Some(10.0), Some(5.0), Some(0.0), Some(1.0)]),
    ("max_consecutive_losses(x ORDER BY d)", [Some(0.0), Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(5.0), Some(1.0)]),
    ("time_under_water(x ORDER BY d)", [Some(0.0), Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(5.0), Some(2.0)]),
    ("value_at_risk(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.001), Some(0.006), Some(-0.028), Some(-0.899)]),
    ("expected_shortfall(x)", [Some(0.01), Some(-0.01), Some(0.0), Some(0.001), Some(0.005), Some(-0.03), Some(-1.0)]),
    ("value_at_risk(x, 0.95, 'parametric')", [None, None, Some(0.0), Some(0.001), Some(-0.0014485362695147272), Some(-0.03144853626951473), Some(-1.287269953095322)]),
    ("expected_shortfall(x, 0.95, 'parametric')", [None, None, Some(0.0), Some(0.001), Some(-0.0056271280750742605), Some(-0.03562712807507426), Some(-1.5321487431844678)]),
    ("value_at_risk(x, 0.95, 'cornish_fisher')", [None, None, None, None, Some(0.0013436189464367285), Some(-0.03398620434761144), None]),
    ("expected_shortfall(x, 0.95, 'cornish_fisher')", [None, None, None, None, Some(0.00217045210043432), Some(-0.0384322374082777), None]),
    ("tail_ratio(x)", [Some(1.0), Some(1.0), None, Some(1.0), Some(4.666666666666667), Some(0.21428571428571427), Some(0.021134593993325918)]),
];

#[tokio::test]
async fn degenerate_input_is_answered_or_null() {
    let ctx = session();
    for (i, input) in INPUTS.iter().enumerate() {
        register_series(&ctx, "t", &some(input));
        let calls: Vec<&str> = EXPECTED.iter().map(|(call, _)| *call).collect();
        for suffix in ["", " GROUP BY 1 = 1"] {
            let found = numbers(&ctx, &format!("SELECT {} FROM t{suffix}", calls.join(", "))).await;
            for ((call, expected), found) in EXPECTED.iter().zip(found) {
                assert!(close(found, expected[i], 1e-9), "{call} of {input:?}: {found:?}, expected {:?}", expected[i]);
            }
        }
    }
}

#[tokio::test]
async fn nulls_are_skipped() {
    let ctx = session();
    register_series(&ctx, "t", &[Some(0.01), None, Some(-0.02), Some(0.03), None, Some(-0.01)]);
    let found = numbers(&ctx, "SELECT cagr(x), sharpe_ratio(x) FROM t").await;
    assert!(close(found[0], Some(0.7916440557018026), 1e-9) && close(found[1], Some(1.7898016176404787), 1e-9), "{found:?}");
}

#[tokio::test]
async fn losing_more_than_everything_is_computed_literally() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[0.01, -1.5, 0.02]));
    let found = numbers(&ctx, "SELECT total_return(x), max_drawdown(x ORDER BY d), cagr(x), calmar_ratio(x ORDER BY d) FROM t").await;
    assert!(close(found[0], Some(-1.5151), 1e-12) && close(found[1], Some(-1.51), 1e-12), "{found:?}");
    assert_eq!(found[2..], [None, None]);
}

#[tokio::test]
async fn large_offsets_keep_their_digits() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[1e9 + 0.01, 1e9 - 0.02, 1e9 + 0.03, 1e9 - 0.01]));
    let found = numbers(&ctx, "SELECT volatility(x, 1) FROM t").await;
    assert!(close(found[0], Some(0.02217353667973085), 1e-9), "{found:?}");
}

#[tokio::test]
async fn a_constant_series_has_no_sharpe_ratio() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[0.0001; 252]));
    assert_eq!(numbers(&ctx, "SELECT sharpe_ratio(x), volatility(x) FROM t").await, [None, Some(0.0)]);
}

#[tokio::test]
async fn one_nan_makes_doubles_nan_and_counts_null() {
    let ctx = session();
    register_series(&ctx, "t", &[Some(0.01), Some(f64::NAN), Some(-0.02), None, Some(0.03)]);
    let calls = EXPECTED.iter().map(|(call, _)| *call).collect::<Vec<_>>();
    for suffix in ["", " GROUP BY 1 = 1"] {
        let found = numbers(&ctx, &format!("SELECT {} FROM t{suffix}", calls.join(", "))).await;
        for (call, found) in calls.iter().zip(found) {
            let counts = call.contains("consecutive") || call.contains("time_under");
            assert!(if counts { found.is_none() } else { found.is_some_and(f64::is_nan) }, "{call}: {found:?}");
        }
    }
}

#[tokio::test]
async fn infinities_and_extremes_neither_panic_nor_fail() {
    let ctx = session();
    let calls = EXPECTED.iter().map(|(call, _)| *call).collect::<Vec<_>>().join(", ");
    let inf = f64::INFINITY;
    for input in [[-inf, 0.1, 0.2], [inf, -0.1, -inf], [1e300, -1e300, 1e300], [1e-300, -1e-300, f64::MIN_POSITIVE]] {
        register_series(&ctx, "t", &some(&input));
        for suffix in ["", " GROUP BY 1 = 1"] {
            assert_eq!(numbers(&ctx, &format!("SELECT {calls} FROM t{suffix}")).await.len(), EXPECTED.len());
        }
    }
}
