//! The struct that describes the deepest drawdown.

use datafusion::prelude::SessionContext;

use crate::session::{D, X, error, register_series, rows, session, some};

const FIELDS: [&str; 9] = [
    "max_drawdown",
    "peak_date",
    "start_date",
    "trough_date",
    "recovery_date",
    "duration_days",
    "rows_underwater",
    "rows_peak_to_trough",
    "rows_trough_to_recovery",
];

/// The fields as text, dates without their year and month, depth rounded to nine digits.
async fn fields(ctx: &SessionContext, call: &str, rest: &str) -> String {
    let names = FIELDS.map(|f| format!("q['{f}']")).join(", ");
    let row = rows(ctx, &format!("SELECT {names} FROM (SELECT {call} AS q FROM t{rest})")).await[0].clone();
    let text = |(i, value): (usize, &datafusion::common::ScalarValue)| match value {
        value if value.is_null() => "-".to_owned(),
        datafusion::common::ScalarValue::Float64(Some(x)) if i == 0 => {
            format!("{:.9}", x).trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        value => value.to_string().trim_start_matches("2024-01-").to_owned(),
    };
    row.iter().enumerate().map(text).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn worked_drawdowns_hold() {
    let ctx = session();
    for (values, call, expected) in [
        (D, "drawdown_details(x, d ORDER BY d)", "-0.10954 01 02 04 06 4 4 3 2"),
        (X, "drawdown_details_pnl(x, d ORDER BY d)", "-105 02 03 06 - 5 6 4 -"),
        (&[-0.1, 0.05, 0.10, -0.02], "drawdown_details(x, d ORDER BY d)", "-0.1 - 01 01 03 2 2 1 2"),
        (&[-0.5, 1.0, -0.5, 1.0], "drawdown_details(x, d ORDER BY d)", "-0.5 - 01 01 02 1 1 1 1"),
        (&[0.1, 0.0, 0.0, -0.05, 0.02], "drawdown_details(x, d ORDER BY d)", "-0.05 03 04 04 - 1 2 1 -"),
        (D, "drawdown_details(x ORDER BY d)", "-0.10954 1 2 4 6 - 4 3 2"),
        (&[0.1, 0.2], "drawdown_details(x, d ORDER BY d)", "0 - - - - - 0 - -"),
        (&[0.1, f64::NAN, -0.2], "drawdown_details(x, d ORDER BY d)", "NaN - - - - - - - -"),
    ] {
        register_series(&ctx, "t", &some(values));
        for rest in ["", " GROUP BY 1 = 1"] {
            assert_eq!(fields(&ctx, call, rest).await, expected, "{call} of {values:?}{rest}");
        }
    }
}

#[tokio::test]
async fn no_rows_give_a_struct_of_nulls() {
    let ctx = session();
    register_series(&ctx, "t", &[None]);
    for rest in ["", " WHERE false", " GROUP BY 1 = 1"] {
        assert_eq!(fields(&ctx, "drawdown_details(x, d ORDER BY d)", rest).await, "- - - - - - - - -");
        assert_eq!(rows(&ctx, &format!("SELECT drawdown_details(x, d ORDER BY d) IS NULL FROM t{rest}")).await[0][0].to_string(), "false");
    }
}

#[tokio::test]
async fn nulls_are_not_counted_as_rows() {
    let ctx = session();
    register_series(&ctx, "t", &[Some(0.1), None, Some(-0.5), None, Some(-0.1)]);
    assert_eq!(fields(&ctx, "drawdown_details(x, d ORDER BY d)", "").await, "-0.55 01 03 05 - 2 2 2 -");
    assert_eq!(fields(&ctx, "drawdown_details(x ORDER BY d)", "").await, "-0.55 1 2 3 - - 2 2 -");
}

#[tokio::test]
async fn times_may_be_timestamps_or_text() {
    let ctx = session();
    register_series(&ctx, "t", &some(D));
    let stamp = fields(&ctx, "drawdown_details(x, d::TIMESTAMP ORDER BY d)", "").await;
    assert!(stamp.contains(" 4 4 3 2"), "{stamp}");
    let text = fields(&ctx, "drawdown_details(x, to_char(d, '%d') ORDER BY d)", "").await;
    assert_eq!(text, "-0.10954 01 02 04 06 - 4 3 2");
}

#[tokio::test]
async fn frames_describe_their_own_drawdown() {
    let ctx = session();
    register_series(&ctx, "t", &some(D));
    let sql = |frame: &str| {
        format!(
            "SELECT q['max_drawdown'], q['start_date'], q['duration_days'], q['rows_underwater'] FROM (SELECT d, drawdown_details(x, d) OVER \
             (ORDER BY d {frame}) q FROM t) ORDER BY d"
        )
    };
    let text = |rows: Vec<Vec<datafusion::common::ScalarValue>>| -> Vec<String> {
        rows.iter().map(|r| r[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")).collect()
    };
    let growing = text(rows(&ctx, &sql("")).await);
    assert_eq!(growing[0], "NULL NULL 0");
    assert_eq!(growing[3], "2024-01-02 2 3");
    assert_eq!(growing[6], "2024-01-02 4 4");
    let moving = text(rows(&ctx, &sql("ROWS 2 PRECEDING")).await);
    assert_eq!(moving[3], "2024-01-02 2 3");
    assert_eq!(moving[5], "2024-01-04 1 1");
    let empty = rows(&ctx, "SELECT drawdown_details(x, d) OVER (ORDER BY d ROWS BETWEEN 9 PRECEDING AND 8 PRECEDING) IS NULL FROM t").await;
    assert_eq!(empty[0][0].to_string(), "false");
}

#[tokio::test]
async fn it_needs_a_time_order_too() {
    let ctx = session();
    register_series(&ctx, "t", &some(D));
    let message = error(&ctx, "SELECT drawdown_details(x, d) FROM t").await;
    assert!(message.contains("drawdown_details needs a time order: write drawdown_details(x, d ORDER BY <time column>)"), "{message}");
}
