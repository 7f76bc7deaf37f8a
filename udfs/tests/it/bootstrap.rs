//! Bootstrap intervals against an independent program with the same generator, and what must not change them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch};
use datafusion::common::ScalarValue;

use crate::session::{R, X, close, error, number, numbers, refusal, register, register_series, rows, session, session_of, some};

const FIELDS: &str = "v['estimate'], v['lower'], v['upper'], v['undefined']";

fn fields_of(call: &str) -> String {
    format!("SELECT {FIELDS} FROM (SELECT {call} AS v FROM t)")
}

#[tokio::test]
async fn intervals_agree_with_an_independent_program() {
    let ctx = session();
    #[rustfmt::skip]
    let cases = [
        (R, "'volatility'", [0.2649528259898354, 0.1403121520040228, 0.33119103248729426, 0.0]),
        (R, "'sharpe_ratio'", [4.755563543407304, -8.146871363694308, 22.161083826465624, 0.0]),
        (R, "'Sharpe', 0.9, 500, 7", [4.755563543407304, -5.022430892665531, 15.344687933384664, 0.0]),
        (X, "'profit_factor'", [1.40625, 0.1759737678855326, 9.0, 24.0]),
        (X, "'profit_factor', 0.8, 200, -1", [1.40625, 0.5056034482758621, 4.245, 3.0]),
        (X, "'value_at_risk', 0.9, 1000, 42", [-69.5, -80.0, -19.5, 0.0]),
    ];
    for (values, arguments, expected) in cases {
        register_series(&ctx, "t", &some(values));
        let found = numbers(&ctx, &fields_of(&format!("bootstrap_interval(x, {arguments})"))).await;
        for (found, expected) in found.iter().zip(expected) {
            assert!(close(*found, Some(expected), 1e-12), "{arguments}: {found:?} {expected}");
        }
    }
}

#[tokio::test]
async fn too_many_undefined_resamples_leave_no_interval() {
    let ctx = session();
    register_series(&ctx, "t", &some(&[0.01, 0.02, 0.03, -0.01]));
    let found = numbers(&ctx, &fields_of("bootstrap_interval(x, 'profit_factor')")).await;
    assert!(close(found[0], Some(6.0), 1e-12), "{found:?}");
    assert_eq!(found[1..], [None, None, Some(320.0)]);
}

#[tokio::test]
async fn few_rows_and_nan_are_told_in_the_fields() {
    let ctx = session();
    for values in [vec![None, None], vec![Some(0.01)], vec![]] {
        if values.is_empty() {
            register_series(&ctx, "t", &[None]);
        } else {
            register_series(&ctx, "t", &values);
        }
        assert_eq!(numbers(&ctx, &fields_of("bootstrap_interval(x, 'best')")).await, [None; 4]);
        let whole = rows(&ctx, "SELECT bootstrap_interval(x, 'best') IS NULL FROM t WHERE false").await;
        assert_eq!(whole[0][0], ScalarValue::from(false), "the struct itself is never NULL");
    }
    register_series(&ctx, "t", &[Some(0.01), Some(f64::NAN), Some(0.02)]);
    let found = numbers(&ctx, &fields_of("bootstrap_interval(x, 'best')")).await;
    assert!(found[..3].iter().all(|x| x.is_some_and(f64::is_nan)) && found[3].is_none(), "{found:?}");
    register_series(&ctx, "t", &some(&[f64::INFINITY, f64::NEG_INFINITY, 1.0]));
    assert_eq!(numbers(&ctx, &fields_of("bootstrap_interval(x, 'volatility')")).await.len(), 4);
}

#[tokio::test]
async fn order_partitions_groups_and_frames_do_not_change_a_bit() {
    let expected = {
        let ctx = session_of(1);
        register_series(&ctx, "t", &some(X));
        rows(&ctx, "SELECT bootstrap_interval(x, 'sharpe_ratio', 0.9, 300, 5) FROM t").await[0][0].clone()
    };
    let shown = format!("{expected:?}");
    for partitions in [1, 2, 4] {
        let ctx = session_of(partitions);
        let column = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let slices = X
            .iter()
            .rev()
            .flat_map(|&x| [(x, 0.0), (x, 1.0)])
            .map(|(x, g)| vec![RecordBatch::try_from_iter([("x", column(vec![x])), ("g", column(vec![g]))]).unwrap()]);
        register(&ctx, "t", slices.collect());
        let grouped = rows(&ctx, "SELECT bootstrap_interval(x, 'sharpe', 0.9, 300, 5) FROM t GROUP BY g").await;
        assert_eq!(grouped.len(), 2);
        let filtered = rows(&ctx, "SELECT bootstrap_ci(x, 'sharpe', 0.9, 300, 5) FILTER (WHERE g > 0) FROM t").await;
        let distinct = rows(&ctx, "SELECT bootstrap_ci(DISTINCT x, 'sharpe', 0.9, 300, 5) FROM t").await;
        let sliding =
            "SELECT bootstrap_ci(x, 'sharpe', 0.9, 300, 5) OVER (ORDER BY g, x ROWS 7 PRECEDING) FROM t ORDER BY g DESC, x DESC LIMIT 1";
        for row in grouped.iter().chain(&filtered).chain(&distinct).chain(&rows(&ctx, sliding).await) {
            assert_eq!(format!("{:?}", row[0]), shown, "{partitions} partitions");
        }
    }
}

#[tokio::test]
async fn the_interval_of_a_mean_is_near_the_normal_one() {
    let ctx = session();
    let values: Vec<f64> = (0..400).map(|i| f64::from(i * 7919 % 401) - 200.0).collect();
    register_series(&ctx, "t", &some(&values));
    let sql = "SELECT v['lower'], v['upper'], m, e FROM (SELECT bootstrap_interval(x, 'expectancy', resamples => 1000, confidence => 0.95) AS v, \
               avg(x) AS m, volatility(x, 1) / sqrt(count(x)) AS e FROM t)";
    let found: Vec<f64> = rows(&ctx, sql).await[0].iter().map(|value| number(value).unwrap()).collect();
    let [lower, upper, mean, error] = found[..] else { panic!("{found:?}") };
    assert!(((mean - lower) / error - 1.96).abs() < 0.2 && ((upper - mean) / error - 1.96).abs() < 0.2, "{found:?}");
}

#[tokio::test]
async fn wrong_calls_are_refused_while_planning() {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    let list = "'sharpe_ratio', 'sortino_ratio'";
    for (call, parts) in [
        ("bootstrap_interval(x)", &["bootstrap_interval takes 2 to 5 arguments, got 1"][..]),
        ("bootstrap_interval(x, 'max_drawdown')", &["bootstrap_interval: argument metric", list, "'value_at_risk'", "got max_drawdown"]),
        ("bootstrap_interval(x, 'sharp')", &["argument metric", list, "got sharp"]),
        ("bootstrap_interval(x, 'correlation')", &["argument metric", list]),
        ("bootstrap_interval(x, 'bootstrap_interval')", &["argument metric", list]),
        ("bootstrap_interval(x, 'periods_per_year')", &["argument metric", list]),
        ("bootstrap_interval(x, 5)", &["argument metric", list, "Int64"]),
        ("bootstrap_interval(x, NULL)", &["argument metric", "got NULL"]),
        ("bootstrap_interval(x, 'best', 1)", &["argument confidence", "strictly between 0 and 1", "got 1"]),
        ("bootstrap_interval(x, 'best', 0)", &["argument confidence", "got 0"]),
        ("bootstrap_interval(x, 'best', 0.9, 99)", &["argument resamples", "from 100 to 1000000", "got 99"]),
        ("bootstrap_interval(x, 'best', 0.9, 1000001)", &["argument resamples", "got 1000001"]),
        ("bootstrap_interval(x, 'best', 0.9, 100.5)", &["argument resamples", "got 100.5"]),
        ("bootstrap_interval(x, 'best', 0.9, 100, 0.5)", &["argument seed", "whole number", "got 0.5"]),
        ("bootstrap_interval(x, 'best', 0.9, 100, x)", &["argument seed", "known before the query runs"]),
    ] {
        let message = refusal(&ctx, &format!("SELECT {call} FROM t")).await;
        assert!(parts.iter().all(|part| message.contains(part)), "{call}: {message}");
    }
}

#[tokio::test]
async fn more_draws_than_anyone_waits_for_are_refused() {
    let message = error(&session(), "SELECT bootstrap_interval(value, 'volatility', 0.95, 1000000) FROM generate_series(1, 2001)").await;
    assert!(message.contains("1000000 resamples of 2001 rows") && message.contains("lower resamples"), "{message}");
}
