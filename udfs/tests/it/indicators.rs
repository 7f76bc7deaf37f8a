//! Window indicators on worked examples, on real series with the numbers of independent libraries, and on rows with gaps.

use datafusion::prelude::{CsvReadOptions, SessionContext};
use datafusion_functions_finance::{Expected, INDICATORS};

use crate::indicator_stream::sessions;
use crate::session::{close, column, number, register_columns, rows, shared, some, try_rows};

const CLOSE: &[f64] = &[10.0, 11.0, 12.0, 11.0, 10.0, 12.0, 13.0, 12.0, 14.0, 15.0];
const HIGH: &[f64] = &[10.5, 11.5, 12.25, 12.0, 11.0, 12.5, 13.5, 13.0, 14.5, 15.25];
const LOW: &[f64] = &[9.5, 10.25, 11.5, 10.5, 9.5, 10.75, 12.25, 11.5, 12.75, 14.25];

/// Call, field, row of the first value, values (as many as are known).
type Worked = (&'static str, &'static str, usize, &'static [f64]);

const WORKED: &[Worked] = &[
    ("sma(close, 3)", "", 2, &[11.0, 11.333333333333334, 11.0, 11.0, 11.666666666666666, 12.333333333333334, 13.0, 13.666666666666666]),
    ("ema(close, 3)", "", 2, &[11.0, 11.0, 10.5, 11.25, 12.125, 12.0625, 13.03125, 14.015625]),
    ("ema(close, 3, 'first')", "", 0, &[10.0, 10.5, 11.25, 11.125, 10.5625, 11.28125, 12.140625, 12.0703125, 13.03515625, 14.017578125]),
    ("ema(close, n => 3, seed => 'First')", "", 0, &[10.0, 10.5, 11.25, 11.125]),
    (
        "rma(close, 3)",
        "",
        2,
        &[11.0, 11.0, 10.666666666666666, 11.11111111111111, 11.74074074074074, 11.82716049382716, 12.551440329218106, 13.367626886145406],
    ),
    (
        "rsi(close, 3)",
        "",
        3,
        &[
            66.66666666666667,
            44.44444444444444,
            72.22222222222223,
            79.79797979797979,
            56.630824372759854,
            76.8199233716475,
            82.81860134895278,
        ],
    ),
    ("rsi(close, 3, 'cutler')", "", 3, &[66.66666666666667, 33.333333333333336, 50.0, 75.0, 75.0, 75.0, 75.0]),
    ("macd(close, 3, 5, 2)", "macd", 5, &[0.3, 0.45, 0.25833333333333336, 0.4847222222222222, 0.6460648148148148]),
    ("macd(close, 3, 5, 2)", "signal", 5, &[0.25, 0.38333333333333336, 0.3, 0.42314814814814816, 0.5717592592592593]),
    ("macd(close, 3, 5, 2)", "histogram", 5, &[0.05, 0.06666666666666667, -0.041666666666666664, 0.06157407407407407, 0.07430555555555556]),
    (
        "macd(close, 3, 5, 2, 'first')",
        "macd",
        0,
        &[0.0, 0.16666666666666666, 0.3611111111111111, 0.19907407407407407, -0.05478395061728395, 0.20306069958847736, 0.4218321330589849],
    ),
    (
        "bollinger_bands(close, 5, 2)",
        "upper",
        4,
        &[12.296662954709577, 12.696662954709575, 13.639607805437114, 13.639607805437114, 14.85329983228432, 15.53238075793812],
    ),
    (
        "bollinger_bands(close, 5, 2)",
        "lower",
        4,
        &[9.303337045290425, 9.703337045290423, 9.560392194562885, 9.560392194562885, 9.546700167715679, 10.86761924206188],
    ),
    ("bollinger_bands(close, 5, 2)", "middle", 4, &[10.8, 11.2, 11.6, 11.6, 12.2, 13.2]),
    (
        "bollinger_bands(close, 5, 2, 1)",
        "upper",
        4,
        &[12.473320053068152, 12.87332005306815, 13.880350850198276, 13.880350850198276, 15.166479394838264, 15.80768096208106],
    ),
    ("true_range(high, low, close)", "", 1, &[1.5, 1.25, 1.5, 1.5, 2.5, 1.5, 1.5, 2.5, 1.25]),
    (
        "atr(high, low, close, 3)",
        "",
        3,
        &[
            1.4166666666666667,
            1.4444444444444444,
            1.7962962962962963,
            1.6975308641975309,
            1.631687242798354,
            1.921124828532236,
            1.697416552354824,
        ],
    ),
    (
        "atr(high, low, close, 3, 'simple')",
        "",
        3,
        &[1.4166666666666667, 1.4166666666666667, 1.8333333333333333, 1.8333333333333333, 1.8333333333333333, 1.8333333333333333, 1.75],
    ),
    (
        "rolling_stddev(close, 3)",
        "",
        2,
        &[1.0, 0.5773502691896257, 1.0, 1.0, 1.5275252316519468, 0.5773502691896257, 1.0, 1.5275252316519468],
    ),
];

/// The values of an indicator in the order of `d`.
pub(crate) async fn values(ctx: &SessionContext, call: &str, field: &str, table: &str) -> Vec<Option<f64>> {
    let pick = if field.is_empty() { "whole".into() } else { format!("whole['{field}']") };
    let sql = format!("SELECT {pick} FROM (SELECT d, {call} OVER (ORDER BY d) AS whole FROM {table}) ORDER BY d");
    column(&rows(ctx, &sql).await, 0)
}

fn assert_series(what: &str, found: &[Option<f64>], expected: &[Option<f64>]) {
    let same = found.len() >= expected.len() && found.iter().zip(expected).all(|(a, b)| close(*a, *b, 1e-12));
    assert!(same, "{what}: {found:?} is not {expected:?}");
}

fn with_gap(values: &[f64], gap: bool) -> Vec<Option<f64>> {
    let mut values = some(values);
    if gap {
        values.insert(4, None);
    }
    values
}

#[tokio::test]
async fn worked_examples_with_and_without_a_null_row() {
    for ctx in sessions(2) {
        for gap in [false, true] {
            let bars = [("close", CLOSE), ("high", HIGH), ("low", LOW)].map(|(name, values)| (name, with_gap(values, gap)));
            register_columns(&ctx, "t", &bars);
            for (call, field, first, known) in WORKED {
                let mut expected = vec![None; *first];
                expected.extend(known.iter().copied().map(Some));
                if gap {
                    expected.insert(4.min(expected.len()), None);
                }
                assert_series(&format!("{call} {field} gap {gap}"), &values(&ctx, call, field, "t").await, &expected);
            }
        }
    }
}

/// A NULL in one input is as good as a NULL in all of them.
#[tokio::test]
async fn a_null_in_one_input_is_a_null_row() {
    for ctx in sessions(2) {
        let gap =
            |on: bool, values: &[f64]| if on { with_gap(values, true) } else { some(&[&values[..4], &[99.0], &values[4..]].concat()) };
        for which in 0..3 {
            let bars = [("close", CLOSE), ("high", HIGH), ("low", LOW)];
            let bars: Vec<_> = bars.iter().enumerate().map(|(i, (name, values))| (*name, gap(i == which, values))).collect();
            register_columns(&ctx, "t", &bars);
            let found = values(&ctx, "true_range(high, low, close)", "", "t").await;
            let expected: Vec<_> = [None, Some(1.5), Some(1.25), Some(1.5), None, Some(1.5), Some(2.5)].to_vec();
            assert_series("true_range", &found, &expected);
        }
    }
}

#[tokio::test]
async fn every_example_of_the_table_gives_its_answer() {
    for ctx in sessions(2) {
        for indicator in INDICATORS {
            let sql = indicator.example.sql();
            let (Expected::Rows(expected) | Expected::FieldRows(_, expected)) = indicator.example.expected else {
                panic!("{}: the example shows a row for each day", indicator.name)
            };
            assert_series(&sql, &column(&rows(&ctx, &sql).await, 0), expected);
        }
    }
}

#[tokio::test]
async fn rsi_of_one_sided_and_of_no_changes() {
    for ctx in sessions(2) {
        for (values_of, expected) in [([5.0; 5], None), ([1.0, 2.0, 3.0, 4.0, 5.0], Some(100.0)), ([5.0, 4.0, 3.0, 2.0, 1.0], Some(0.0))] {
            register_columns(&ctx, "t", &[("x", some(&values_of))]);
            for call in ["rsi(x, 3)", "rsi(x, 3, 'cutler')"] {
                assert_series(call, &values(&ctx, call, "", "t").await, &[None, None, None, expected, expected]);
            }
            assert_eq!(values(&ctx, "rsi(x, 5)", "", "t").await, [None; 5]);
        }
    }
}

#[tokio::test]
async fn what_left_the_window_leaves_no_residue() {
    for ctx in sessions(2) {
        register_columns(&ctx, "t", &[("x", some(&[1e15, 1e15, 1e15, 1e15, 1e15, 0.1, 0.2, 0.3, 0.4, 0.1]))]);
        assert_series("sma", &values(&ctx, "sma(x, 5)", "", "t").await[9..], &[Some(0.22)]);
        let quiet = [&[23144.78, 23146.32, 23110.11, 23190.5][..], &[27123.45; 6]].concat();
        register_columns(&ctx, "t", &[("x", some(&quiet))]);
        let expected = [28.52661860000235, 1721.2328845118548, 1986.7758093878508, 1703.017305907004, 0.0, 0.0, 0.0].map(Some);
        let found = values(&ctx, "rolling_stddev(x, 4, 0)", "", "t").await;
        assert_series("rolling_stddev", &found[3..], &expected);
        assert_eq!(found[7..], [Some(0.0); 3]);
        let bands = values(&ctx, "bollinger_bands(x, 4, 2)", "upper", "t").await;
        assert_eq!(bands[7..], [Some(27123.45); 3]);
    }
}

#[tokio::test]
async fn windowed_values_recover_from_nan_and_recursive_ones_do_not() {
    for ctx in sessions(2) {
        let mut x = some(CLOSE);
        x[3] = Some(f64::NAN);
        register_columns(&ctx, "t", &[("x", x)]);
        for (call, recovers_at) in [
            ("sma(x, 3)", Some(6)),
            ("rolling_stddev(x, 3)", Some(6)),
            ("rsi(x, 3, 'cutler')", Some(7)),
            ("ema(x, 3)", None),
            ("rma(x, 3)", None),
            ("rsi(x, 3)", None),
            ("equity(x)", None),
            ("equity_pnl(x)", None),
            ("drawdown(x)", None),
            ("drawdown_pnl(x)", None),
        ] {
            let found = values(&ctx, call, "", "t").await;
            for (i, value) in found.iter().enumerate().skip(3) {
                let tainted = recovers_at.is_none_or(|row| i < row);
                assert_eq!(value.is_some_and(f64::is_nan), tainted, "{call} row {i}: {found:?}");
            }
            assert!(found[..3].iter().all(|value| value.is_none_or(|value| !value.is_nan())), "{call}: {found:?}");
        }
    }
}

#[tokio::test]
async fn locf_carries_any_type() {
    for ctx in sessions(2) {
        let source = "(VALUES (1, NULL, NULL, NULL), (2, 1, 'a', true), (3, NULL, NULL, NULL), (4, NULL, 'b', NULL), (5, 2, NULL, false), \
                      (6, NULL, NULL, NULL)) AS t(d, i, s, b)";
        let over = "OVER (ORDER BY d)";
        let types = [
            ("i", "NULL, 1, 1, 1, 2, 2"),
            ("CAST(i AS DOUBLE)", "NULL, 1.0, 1.0, 1.0, 2.0, 2.0"),
            ("CAST(i AS DECIMAL(8, 2))", "NULL, 1.00, 1.00, 1.00, 2.00, 2.00"),
            ("s", "NULL, a, a, b, b, b"),
            ("arrow_cast(s, 'Dictionary(Int32, Utf8)')", "NULL, a, a, b, b, b"),
            ("arrow_cast(s, 'Utf8View')", "NULL, a, a, b, b, b"),
            ("b", "NULL, true, true, true, false, false"),
            ("DATE '2024-01-01' + i", "NULL, 2024-01-02, 2024-01-02, 2024-01-02, 2024-01-03, 2024-01-03"),
            ("CASE WHEN i > 0 THEN make_array(i, 7) END", "NULL, [1, 7], [1, 7], [1, 7], [2, 7], [2, 7]"),
            ("NULL", "NULL, NULL, NULL, NULL, NULL, NULL"),
        ];
        for (argument, expected) in types {
            let sql = format!("SELECT coalesce(arrow_cast(locf({argument}) {over}, 'Utf8'), 'NULL') FROM {source} ORDER BY d");
            let sql = if argument.contains("make_array") {
                format!("SELECT coalesce(CAST(array_to_string(locf({argument}) {over}, ',') AS VARCHAR), 'NULL') FROM {source} ORDER BY d")
            } else {
                sql
            };
            let found: Vec<String> = rows(&ctx, &sql).await.iter().map(|row| row[0].to_string()).collect();
            let expected = if argument.contains("make_array") { "NULL, 1,7, 1,7, 1,7, 2,7, 2,7".to_owned() } else { expected.to_owned() };
            assert_eq!(found.join(", "), expected, "{argument}");
        }
    }
}

#[tokio::test]
async fn numbers_of_any_type_and_frames_make_no_difference() {
    for ctx in sessions(2) {
        register_columns(&ctx, "t", &[("x", some(CLOSE))]);
        let plain = values(&ctx, "ema(x, 3)", "", "t").await;
        for argument in ["CAST(x AS INT)", "CAST(x AS FLOAT)", "CAST(x AS DECIMAL(10, 2))", "CAST(x AS BIGINT UNSIGNED)"] {
            assert_eq!(values(&ctx, &format!("ema({argument}, 3)"), "", "t").await, plain, "{argument}");
        }
        for frame in
            ["ROWS 1 PRECEDING", "ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING", "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"]
        {
            let found = rows(&ctx, &format!("SELECT ema(x, 3.0) OVER (ORDER BY d {frame}) FROM t ORDER BY d")).await;
            assert_eq!(column(&found, 0), plain, "{frame}");
        }
    }
}

#[tokio::test]
async fn structs_are_never_null() {
    for ctx in sessions(2) {
        register_columns(&ctx, "t", &[("x", with_gap(CLOSE, true))]);
        let sql = "SELECT macd(x, 3, 5, 2) OVER (ORDER BY d) IS NULL, bollinger_bands(x, 5, 2) OVER (ORDER BY d) IS NULL FROM t";
        assert!(rows(&ctx, sql).await.iter().flatten().all(|value| value.to_string() == "false"));
    }
}

#[tokio::test]
async fn curves_end_at_the_path_metrics() {
    for ctx in sessions(2) {
        let returns: Vec<Option<f64>> = (0..400).map(|i| (i % 13 != 5).then(|| f64::from((i * 7919) % 401 - 197) / 5000.0)).collect();
        register_columns(&ctx, "t", &[("x", returns)]);
        let sql = "SELECT min(u), min(v), max_drawdown(x ORDER BY d), max_drawdown_pnl(x ORDER BY d), \
                   last_value(w ORDER BY d) FILTER (WHERE w IS NOT NULL) - 1, total_return(x), \
                   last_value(e ORDER BY d) FILTER (WHERE e IS NOT NULL), roi(x) \
                   FROM (SELECT d, x, drawdown(x) OVER o AS u, drawdown_pnl(x) OVER o AS v, equity(x) OVER o AS w, equity_pnl(x) OVER o AS e \
                   FROM t WINDOW o AS (ORDER BY d))";
        let found: Vec<Option<f64>> = rows(&ctx, sql).await[0].iter().map(number).collect();
        for [ours, metric] in [[0, 2], [1, 3], [4, 5], [6, 7]] {
            assert!(found[ours].is_some() && close(found[ours], found[metric], 1e-12), "{found:?}");
        }
    }
}

/// Row, then sma, ema, rsi, rsi of Cutler, MACD, its signal, the upper band with ddof 0 and 1, atr, plain atr: exact decimals rounded once.
#[rustfmt::skip]
const MONTH: [[f64; 11]; 3] = [
    [33.0, 23187.5195, 23184.24653414329, 59.97537668430654, 56.18124184225247, 13.428132669136131, 15.663718761813286, 23212.202302494854, 23212.843521028513, 17.701135745272026, 18.227857142857143],
    [100.0, 23188.019, 23197.369913303635, 59.443832995101005, 66.42411642411642, 23.888921581570074, 21.497967301868318, 23269.215499407303, 23271.324850656987, 24.211121318231363, 26.169285714285714],
    [30239.0, 28187.6395, 28190.94081416581, 52.42035590040527, 54.31018771642063, 9.964817530102897, 8.353107278538811, 28222.493600174872, 28223.399052260826, 24.572388196804347, 25.847142857142856],
];

#[tokio::test]
async fn minute_bars_of_a_month() {
    let Some(file) = shared("BTCUSD_1m_2023-03.csv") else { return };
    let sql = "SELECT i, a, b, c, e, m['macd'], m['signal'], p['upper'], q['upper'], r, s FROM (SELECT row_number() OVER w - 1 AS i, sma(close, 20) OVER w AS a, \
               ema(close, 20) OVER w AS b, rsi(close, 14) OVER w AS c, rsi(close, 14, 'cutler') OVER w AS e, macd(close) OVER w AS m, \
               bollinger_bands(close, 20, 2) OVER w AS p, bollinger_bands(close, 20, 2, 1) OVER w AS q, \
               atr(high, low, close, 14) OVER w AS r, atr(high, low, close, 14, 'simple') OVER w AS s FROM bars WINDOW w AS (ORDER BY open_time)) \
               WHERE i IN (33, 100, 30239) ORDER BY i";
    for ctx in sessions(2) {
        ctx.register_csv("bars", file.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
        let found = rows(&ctx, sql).await;
        assert_eq!(found.len(), MONTH.len());
        for (row, known) in found.iter().zip(MONTH) {
            assert_eq!(row.len(), known.len());
            for (value, known) in row.iter().zip(known) {
                // Price units, or points of the strength index; both as close as 1e-11 of the price.
                let value = number(&value.cast_to(&datafusion::arrow::datatypes::DataType::Float64).unwrap()).unwrap();
                assert!((value - known).abs() <= 1e-11 * 28_000.0, "{value} is not {known}");
            }
        }
    }
}

/// Golden name, call, field.
const GOLDEN: &[(&str, &str, &str)] = &[
    ("sma_20", "sma(close, 20)", ""),
    ("ema_12", "ema(close, 12)", ""),
    ("ema_26", "ema(close, 26)", ""),
    ("rsi_14", "rsi(close, 14)", ""),
    ("macd", "macd(close)", "macd"),
    ("macd_signal", "macd(close)", "signal"),
    ("macd_hist", "macd(close)", "histogram"),
    ("bb_upper", "bollinger_bands(close, 20, 2)", "upper"),
    ("bb_middle", "bollinger_bands(close, 20, 2)", "middle"),
    ("bb_lower", "bollinger_bands(close, 20, 2)", "lower"),
    ("tr", "true_range(high, low, close)", ""),
    ("atr_14", "atr(high, low, close, 14)", ""),
];

#[tokio::test]
async fn daily_series_of_independent_libraries() {
    let Some(file) = shared("golden/indicators.csv") else { return };
    for ctx in sessions(2) {
        ctx.register_csv("golden", file.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
        let mut compared = 0;
        for (name, call, field) in GOLDEN {
            let pick = if field.is_empty() { "whole".into() } else { format!("whole['{field}']") };
            let ranged = if call.contains("high") { "WHERE high IS NOT NULL" } else { "" };
            let sql = format!(
                "SELECT {pick}, CAST({name} AS DOUBLE) FROM (SELECT {call} OVER (PARTITION BY symbol ORDER BY date) AS whole, * FROM golden) {ranged}"
            );
            for row in try_rows(&ctx, &sql).await.unwrap() {
                let (ours, golden) = (number(&row[0]), number(&row[1]));
                assert!(close(ours, golden, 1e-8), "{name}: {ours:?} is not {golden:?}");
                compared += 1;
            }
        }
        assert!(compared > 8_000, "only {compared} values");
    }
}
