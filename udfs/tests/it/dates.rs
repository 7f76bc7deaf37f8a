//! Observations a year from dates and timestamps of every kind.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_functions_finance::register_in;

use crate::session::{R, close, column, numbers, refusal, register, register_series, rows, session, session_of, some, try_rows};

/// Four months and a repeated one.
const MONTHS: &str = "(VALUES ('2024-01-01'), ('2024-04-01'), ('2024-02-01'), (NULL), ('2024-03-01'), ('2024-03-01')) AS t(s)";
const EXPECTED: Option<f64> = Some(12.041208791208792);

#[tokio::test]
async fn dates_and_timestamps_of_any_unit_and_zone_agree() {
    let ctx = session();
    for kind in [
        "Date32",
        "Date64",
        "Timestamp(Second, None)",
        "Timestamp(Millisecond, None)",
        "Timestamp(Microsecond, None)",
        "Timestamp(Nanosecond, None)",
        "Timestamp(Nanosecond, Some(\"UTC\"))",
        "Timestamp(Microsecond, Some(\"+05:30\"))",
        "Dictionary(Int32, Date32)",
    ] {
        let dates = format!("(SELECT arrow_cast(arrow_cast(s, 'Date32'), '{kind}') AS d FROM {MONTHS})");
        let sql = format!(
            "SELECT periods_per_year(d), periods_per_year(DISTINCT d), periods_per_year(d) FILTER (WHERE d IS NOT NULL) FROM {dates}"
        );
        let found = numbers(&ctx, &sql).await;
        assert!(found.iter().all(|x| close(*x, EXPECTED, 1e-12)), "{kind}: {found:?}");
        let grouped = numbers(&ctx, &format!("SELECT periods_per_year(d) FROM {dates} GROUP BY 1 = 1")).await;
        assert!(close(grouped[0], EXPECTED, 1e-12), "{kind} grouped: {grouped:?}");
    }
}

#[tokio::test]
async fn fewer_than_two_distinct_dates_are_null() {
    let ctx = session();
    let sql = "SELECT periods_per_year(d), periods_per_year(d) FILTER (WHERE false), periods_per_year(NULL) FROM (VALUES (DATE '2024-01-01'), \
               (DATE '2024-01-01'), (NULL)) AS t(d)";
    assert_eq!(numbers(&ctx, sql).await, [None; 3]);
    assert_eq!(numbers(&ctx, &format!("{sql} GROUP BY 1 = 1")).await, [None; 3]);
}

#[tokio::test]
async fn minutes_give_the_minutes_of_a_year() {
    let ctx = session();
    let sql = "SELECT periods_per_year(t) FROM (SELECT arrow_cast(60 * value, 'Timestamp(Second, None)') AS t FROM \
               generate_series(0, 5000))";
    assert!(close(numbers(&ctx, sql).await[0], Some(525_960.0), 1e-12));
}

#[tokio::test]
async fn frames_forget_the_dates_that_have_left() {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    for (from, expected) in [("d", 365.25), ("CAST(d AS TIMESTAMP)", 365.25)] {
        let sql = format!("SELECT periods_per_year({from}) OVER (ORDER BY d ROWS 2 PRECEDING) FROM t ORDER BY d");
        let found = column(&rows(&ctx, &sql).await, 0);
        assert_eq!(found[0], None);
        assert!(found[1..].iter().all(|x| close(*x, Some(expected), 1e-12)), "{found:?}");
    }
    // Two rows a day: a day stays until both have left.
    let twice = "(SELECT d, i FROM t CROSS JOIN (VALUES (0), (1)) AS v(i))";
    let sql = format!("SELECT periods_per_year(d) OVER (ORDER BY d, i ROWS 1 PRECEDING) FROM {twice} ORDER BY d, i");
    let found = column(&rows(&ctx, &sql).await, 0);
    for (i, x) in found.iter().enumerate() {
        assert!(close(*x, (i % 2 == 0 && i > 0).then_some(365.25), 1e-12), "{found:?}");
    }
    let growing = format!("SELECT periods_per_year(d) OVER (ORDER BY d, i) FROM {twice} ORDER BY d, i");
    assert!(close(*column(&rows(&ctx, &growing).await, 0).last().unwrap(), Some(365.25), 1e-12));
}

#[tokio::test]
async fn many_groups_over_partitions_with_repeated_dates() {
    let ctx = session_of(3);
    let part = |offset: i64| {
        let rows = 0..40_000_i64;
        let g: ArrayRef = Arc::new(rows.clone().map(|i| (i + offset) % 100).collect::<Int64Array>());
        let k: ArrayRef = Arc::new(rows.map(|i| (i * 31 + offset) % 50).collect::<Int64Array>());
        vec![RecordBatch::try_from_iter([("g", g), ("k", k)]).unwrap()]
    };
    register(&ctx, "t", vec![part(0), part(1), part(2)]);
    let dates = "(SELECT g, CAST(CAST(19723 + k AS INT) AS DATE) AS d FROM t)";
    let plain = rows(&ctx, &format!("SELECT periods_per_year(d) FROM {dates}")).await;
    assert!(close(column(&plain, 0)[0], Some(365.25), 1e-12));
    let counts = rows(
        &ctx,
        "SELECT p, (n - 1) * 365.25 / s FROM (SELECT periods_per_year(d) AS p, count(DISTINCT d) AS n, \
                                      max(k) - min(k) AS s FROM (SELECT g, k, CAST(CAST(19723 + k AS INT) AS DATE) AS d FROM t) GROUP BY g)",
    )
    .await;
    assert_eq!(counts.len(), 100);
    for (p, expected) in column(&counts, 0).into_iter().zip(column(&counts, 1)) {
        assert!(expected.is_some() && close(p, expected, 1e-12), "{p:?} {expected:?}");
    }
}

#[tokio::test]
async fn memory_is_accounted() {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(200_000, 1.0).build_arc().unwrap();
    let ctx = SessionContext::new_with_config_rt(SessionConfig::new().with_target_partitions(1), runtime);
    register_in(&ctx).unwrap();
    let sql = "SELECT periods_per_year(arrow_cast(60 * value, 'Timestamp(Second, None)')) FROM generate_series(0, 100000)";
    assert!(try_rows(&ctx, sql).await.unwrap_err().to_string().contains("Resources exhausted"));
}

#[tokio::test]
async fn what_is_no_date_is_refused_with_the_remedy() {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    for (call, parts) in [
        ("periods_per_year('2024-01-01')", &["periods_per_year: argument date", "CAST(... AS DATE)", "got Utf8"][..]),
        ("periods_per_year(x)", &["argument date must be a column of dates or timestamps", "got Float64"]),
        ("periods_per_year()", &["periods_per_year takes 1 arguments, got 0"]),
        ("periods_per_year(d, 2)", &["periods_per_year takes 1 arguments, got 2"]),
        // It is not known before the query runs.
        ("sharpe_ratio(x, 0, periods_per_year(d))", &["Aggregate"]),
        ("sharpe_ratio(x, 0, (SELECT periods_per_year(d) FROM t))", &["argument periods_per_year", "known before the query runs"]),
    ] {
        let message = refusal(&ctx, &format!("SELECT {call} FROM t")).await;
        assert!(parts.iter().all(|part| message.contains(part)), "{call}: {message}");
    }
}

#[tokio::test]
async fn estimated_periods_scale_the_metrics_of_one_period() {
    let ctx = session();
    register_series(&ctx, "t", &some(R));
    let sql = "SELECT annualise_volatility(volatility(x, 1), periods_per_year(d)), volatility(x, 365.25), \
               sharpe_ratio(x, 0, 1) * sqrt(periods_per_year(d)), sharpe_ratio(x, 0, 365.25), \
               annualise_return(power(1 + total_return(x), 1.0 / count(x)) - 1, periods_per_year(d)), cagr(x, 365.25) FROM t";
    let found = numbers(&ctx, sql).await;
    for pair in found.chunks(2) {
        assert!(pair[0].is_some() && close(pair[0], pair[1], 1e-10), "{found:?}");
    }
}
