//! Degenerate pairs of series.

use crate::session::{close, numbers, register_columns, session, some};

/// Name, both sides, and beta, alpha, correlation, information ratio, tracking error.
type Case = (&'static str, Vec<Option<f64>>, Vec<Option<f64>>, [Option<f64>; 5]);

fn cases() -> Vec<Case> {
    let constant = some(&[0.001; 3]);
    let three = some(&[0.01, -0.02, 0.03]);
    let gaps = |values: [Option<f64>; 5]| values.to_vec();
    vec![
        ("no pair", vec![Some(0.01), None], vec![None, Some(0.02)], [None; 5]),
        ("one pair", some(&[0.01]), some(&[0.02]), [None; 5]),
        ("parallel", some(&[0.01, -0.02]), some(&[0.02, -0.01]), [Some(1.0), Some(-2.52), Some(1.0), None, Some(0.0)]),
        ("constant benchmark", three.clone(), constant.clone(), [None, None, None, Some(0.22517050070105746), Some(0.025166114784235832)]),
        ("constant series", constant, three, [Some(0.0), Some(0.252), None, Some(-0.22517050070105746), Some(0.025166114784235832)]),
        (
            "constant up to rounding",
            some(&[0.011, -0.019, 0.031]),
            some(&[0.01, -0.02, 0.03]),
            [Some(1.0), Some(0.252), Some(1.0), None, Some(0.0)],
        ),
        (
            "gaps",
            gaps([Some(0.01), None, Some(0.03), Some(-0.01), Some(0.02)]),
            gaps([None, Some(0.01), Some(0.01), Some(-0.02), Some(0.005)]),
            [Some(1.2903225806451613), Some(3.9019354838709677), Some(0.9962709627734357), Some(3.0), Some(0.005)],
        ),
        (
            "large offset",
            some(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0]),
            some(&[1e9 + 2.0, 1e9 + 1.0, 1e9 + 5.0]),
            [
                Some(0.6153846153846154),
                Some(96923077097.53847),
                Some(0.8386278693775346),
                Some(-0.28867513459481287),
                Some(1.1547005383792515),
            ],
        ),
    ]
}

#[tokio::test]
async fn degenerate_pairs_are_answered_or_null() {
    let ctx = session();
    for (name, x, b, expected) in cases() {
        register_columns(&ctx, "t", &[("x", x), ("b", b)]);
        for suffix in ["", " GROUP BY 1 = 1"] {
            let sql =
                format!("SELECT beta(x, b), alpha(x, b), correlation(x, b), information_ratio(x, b), tracking_error(x, b) FROM t{suffix}");
            let found = numbers(&ctx, &sql).await;
            for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                assert!(close(found, expected, 1e-9), "{name}, column {i}: {found:?}, expected {expected:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_series_correlates_with_itself_by_exactly_one() {
    let ctx = session();
    for scale in [1.0, 1e-170, 1e-320, 1e160, 0.1] {
        let values: Vec<Option<f64>> = [0.3, -0.7, 0.11, 0.5, -0.9].map(|x| Some(x * scale)).to_vec();
        register_columns(&ctx, "t", &[("x", values.clone()), ("b", values.iter().map(|x| x.map(|x| -x)).collect())]);
        let found = numbers(&ctx, "SELECT correlation(x, x), correlation(x, b) FROM t").await;
        let squares_vanish = scale < 1e-160;
        let squares_overflow = scale > 1e155;
        if !squares_vanish && !squares_overflow {
            assert_eq!(found, [Some(1.0), Some(-1.0)], "{scale}");
        }
    }
}
