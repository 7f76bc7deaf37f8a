//! Scalar functions through SQL: columns and literals, NULL, NaN, types, and calls that planning must refuse.

use datafusion::common::ScalarValue;

use crate::session::{batch, close, column, number, numbers, refusal, register, register_columns, rows, session, some, try_rows};

const PRICES: [Option<f64>; 7] = [Some(100.0), Some(102.0), None, Some(51.0), Some(0.0), Some(-1.0), Some(f64::NAN)];

#[tokio::test]
async fn returns_of_a_column_of_prices() {
    let ctx = session();
    register_columns(&ctx, "t", &[("price", PRICES.to_vec())]);
    let sql =
        "SELECT simple_return(price, lag(price) OVER (ORDER BY d)), log_return(price, lag(price) OVER (ORDER BY d)) FROM t ORDER BY d";
    let found = rows(&ctx, sql).await;
    let simple = column(&found, 0);
    for (found, expected) in simple.iter().zip([None, Some(0.02), None, None, Some(-1.0), None, None]) {
        assert!(close(*found, expected, 1e-15), "{simple:?}");
    }
    let log = column(&found, 1);
    assert!(close(log[1], Some(0.01980262729617973), 1e-15), "{log:?}");
    assert_eq!(log[2..5], [None, None, None]);
    let found = rows(&ctx, "SELECT simple_return(price, 100), log_return(100, price) FROM t ORDER BY d").await;
    assert!(column(&found, 0)[6].is_some_and(f64::is_nan) && column(&found, 1)[6].is_some_and(f64::is_nan), "{found:?}");
    assert_eq!(column(&found, 0)[5], Some(-1.01));
}

#[tokio::test]
async fn columns_literals_and_defaults_agree() {
    let ctx = session();
    register_columns(&ctx, "t", &[("x", some(&[0.01, -0.02, 0.0, -1.0])), ("p", some(&[252.0; 4]))]);
    for name in ["annualise_return", "annualise_volatility", "deannualise_rate"] {
        let sql = format!("SELECT {name}(x), {name}(x, 252), {name}(x, p), {name}(x, periods_per_year => 2 * 126) FROM t ORDER BY d");
        for row in rows(&ctx, &sql).await {
            assert!(!row[0].is_null() && row.iter().all(|value| value == &row[0]), "{name}: {row:?}");
        }
        let first = numbers(&ctx, &format!("SELECT {name}(x), {name}(0.01) FROM t ORDER BY d LIMIT 1")).await;
        assert_eq!(first[0], first[1], "{name}");
    }
    let lost = numbers(&ctx, "SELECT annualise_return(-1), deannualise_rate(-1), annualise_return(-1.5), deannualise_rate(-1.5)").await;
    assert_eq!(lost, [Some(-1.0), Some(-1.0), None, None]);
}

#[tokio::test]
async fn an_annual_rate_taken_apart_and_put_together_is_itself() {
    let found =
        numbers(&session(), "SELECT annualise_return(deannualise_rate(0.02, 53), 53), annualize_return(deannualize_rate(0.02))").await;
    assert!(found.iter().all(|x| close(*x, Some(0.02), 1e-14)), "{found:?}");
}

#[tokio::test]
async fn zero_has_no_sign_and_undefined_periods_are_null() {
    let ctx = session();
    register_columns(&ctx, "t", &[("p", vec![Some(0.0), Some(-3.0), None])]);
    let zeros = "SELECT annualise_return(-0.0), annualise_volatility(-0.0), deannualise_rate(-0.0), simple_return(-0.0, 1) + 1";
    for zero in &rows(&ctx, zeros).await[0][..3] {
        assert!(matches!(zero, ScalarValue::Float64(Some(x)) if x.to_bits() == 0), "{zero:?}");
    }
    let found = rows(&ctx, "SELECT annualise_return(0.01, p), annualise_volatility(0.01, p), deannualise_rate(0.01, p) FROM t").await;
    assert!(found.iter().flatten().all(ScalarValue::is_null), "{found:?}");
}

#[tokio::test]
async fn any_numeric_type_is_read_as_double() {
    let ctx = session();
    register(&ctx, "t", vec![vec![batch(&[("x", some(&[102.0]))])]]);
    for kind in ["DOUBLE", "REAL", "INT", "BIGINT", "SMALLINT UNSIGNED", "DECIMAL(10, 2)"] {
        let found = numbers(&ctx, &format!("SELECT simple_return(CAST(x AS {kind}), CAST(100 AS {kind})) FROM t")).await;
        assert!(close(found[0], Some(0.02), 1e-15), "{kind}: {found:?}");
    }
    assert_eq!(numbers(&ctx, "SELECT simple_return(NULL, 100), simple_return(x, NULL), annualise_return(NULL) FROM t").await, [None; 3]);
}

#[tokio::test]
async fn they_work_wherever_an_expression_does() {
    let ctx = session();
    register_columns(&ctx, "t", &[("x", some(&[0.01, 0.02, -0.01]))]);
    let sql = "SELECT annualise_volatility(volatility(x, 1)) - volatility(x), count(*) FROM t WHERE annualise_return(x, 12) > 0 \
               GROUP BY deannualise_rate(0.01, 12) HAVING annualise_return(max(x)) > 1 ORDER BY simple_return(max(x), 1)";
    let found = rows(&ctx, sql).await;
    assert!(close(number(&found[0][0]), Some(0.0), 1e-12) && number(&found[0][1]) == Some(2.0), "{found:?}");
}

#[tokio::test]
async fn wrong_calls_are_refused_while_planning() {
    let ctx = session();
    register_columns(&ctx, "t", &[("x", some(&[0.01]))]);
    for (call, parts) in [
        ("simple_return(x)", &["simple_return takes 2 arguments, got 1", "simple_return(price, previous_price)"][..]),
        ("annualise_return()", &["annualise_return takes 1 to 2 arguments, got 0"]),
        ("annualise_return(x, 12, 1)", &["annualise_return takes 1 to 2 arguments, got 3"]),
        ("log_return(x, 'text')", &["log_return: argument previous_price must be a numeric column, got Utf8"]),
        ("log_return(d, x)", &["log_return: argument price must be a numeric column, got Date32"]),
        ("annualise_return(x, 0)", &["annualise_return: argument periods_per_year must be a number", "greater than 0, got 0", "usage:"]),
        ("annualize_volatility(x, -252)", &["annualise_volatility: argument periods_per_year", "got -252"]),
        ("deannualise_rate(x, 1 - 1)", &["deannualise_rate: argument periods_per_year", "got 0"]),
        ("deannualise_rate(x, 'NaN'::DOUBLE)", &["deannualise_rate: argument periods_per_year", "got NaN"]),
        ("deannualise_rate(x, NULL)", &["deannualise_rate: argument periods_per_year", "got NULL"]),
        ("deannualise_rate(0.02, periods => 12)", &["'periods'", "[rate, periods_per_year]"]),
    ] {
        let message = refusal(&ctx, &format!("SELECT {call} FROM t")).await;
        assert!(parts.iter().all(|part| message.contains(part)), "{call}: {message}");
    }
    let bound = ctx.sql("SELECT annualise_return(x, $1) FROM t").await.unwrap().with_param_values(vec![ScalarValue::from(-2.0)]);
    assert!(bound.is_err() || bound.unwrap().collect().await.is_err());
    assert!(try_rows(&ctx, "SELECT annualise_return(x, (SELECT 12)) FROM t").await.is_ok());
}
