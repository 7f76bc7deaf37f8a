//! The replaced system's numbers.

use datafusion::prelude::{CsvReadOptions, SessionContext};

use crate::session::{X, close, number, numbers, register_series, rows, session, shared, some};

const CALLS: &str = "legacy_max_drawdown(x ORDER BY d), legacy_win_percentage(x), legacy_profit_factor(x), legacy_expectancy(x), \
                     legacy_sharpe(x), legacy_sortino(x), legacy_fitness(x ORDER BY d)";

/// Input, then drawdown, win percentage, profit factor, expectancy, Sharpe, Sortino, fitness.
fn cases() -> Vec<(Vec<Option<f64>>, [f64; 7])> {
    let inf = f64::INFINITY;
    vec![
        (some(X), [105.0, 0.5, 1.40625, 1.4583333333333333, 2.302813727730617, 6.2770139879773375, 0.6190476190476191]),
        (some(&[-30.0, 10.0, 5.0]), [0.0, 0.6666666666666666, 0.5, -5.0, -4.4603516500501685, -inf, -150.0]),
        (vec![None, Some(-30.0), Some(10.0), None, Some(5.0)], [30.0, 0.4, 0.5, -15.0, -3.401680257083045, -inf, -0.5]),
        (some(&[10.0, 20.0, 5.0]), [0.0, 1.0, inf, 11.666666666666666, 29.698484809834994, 0.0, 3500.0]),
        (some(&[-10.0, -20.0, -5.0]), [25.0, 0.0, 0.0, -11.666666666666666, -29.698484809834994, -29.698484809834994, -1.4]),
        (some(&[0.0; 3]), [0.0, 0.0, inf, 0.0, 0.0, 0.0, 0.0]),
        (some(&[2.0; 3]), [0.0, 1.0, inf, 2.0, 0.0, 0.0, 600.0]),
    ]
}

#[tokio::test]
async fn legacy_rules_hold() {
    let ctx = session();
    for (input, expected) in cases() {
        register_series(&ctx, "t", &input);
        for suffix in ["", " GROUP BY 1 = 1"] {
            let found = numbers(&ctx, &format!("SELECT {CALLS} FROM t{suffix}")).await;
            for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                assert!(close(found, Some(expected), 1e-12), "{input:?}, column {i}: {found:?}, expected {expected}");
            }
        }
    }
    register_series(&ctx, "t", &some(X));
    assert!(close(numbers(&ctx, "SELECT legacy_sharpe(x, 53) FROM t").await[0], Some(1.0560791637465508), 1e-12));
    register_series(&ctx, "t", &some(&[-5.0, 5.0]));
    assert_eq!(numbers(&ctx, "SELECT legacy_sortino(x) FROM t").await, [None], "all losses equal and no mean");
}

#[tokio::test]
async fn no_rows_give_null() {
    let ctx = session();
    register_series(&ctx, "t", &some(X));
    assert_eq!(numbers(&ctx, &format!("SELECT {CALLS} FROM t WHERE false")).await, [None; 7]);
}

#[tokio::test]
async fn a_filtered_row_is_no_zero_row() {
    let ctx = session();
    register_series(&ctx, "t", &[Some(1.0), None, Some(-2.0), Some(-4.0)]);
    for suffix in ["", " GROUP BY 1 = 1"] {
        let sql = format!("SELECT legacy_win_percentage(x) FILTER (WHERE x > -3), legacy_win_percentage(x) FROM t{suffix}");
        assert_eq!(numbers(&ctx, &sql).await, [Some(0.5), Some(0.25)]);
    }
}

/// Reads a CSV file into memory once.
async fn read(ctx: &SessionContext, name: &str, path: &std::path::Path) {
    let options = CsvReadOptions::new().schema_infer_max_records(10_000);
    let rows = ctx.read_csv(path.to_string_lossy().into_owned(), options).await.unwrap().cache().await.unwrap();
    ctx.register_table(name, rows.into_view()).unwrap();
}

#[tokio::test]
async fn production_columns_match_the_replaced_system() {
    let (Some(data), Some(expected)) = (shared("production_500.csv"), shared("production_500_legacy_metrics.csv")) else { return };
    let ctx = session();
    read(&ctx, "p", &data).await;
    read(&ctx, "e", &expected).await;
    let known = rows(&ctx, "SELECT strategy, roi, max_drawdown, win_percentage, profit_factor, expectancy FROM e").await;
    let names: Vec<String> = known.iter().map(|row| row[0].to_string()).collect();
    let mut checked = 0;
    for (chunk, known) in names.chunks(50).zip(known.chunks(50)) {
        let calls = |name: &String| {
            let x = format!("\"{}\"", name.replace('"', "\"\""));
            format!(
                "roi({x}), legacy_max_drawdown({x} ORDER BY \"Date\"), legacy_win_percentage({x}), legacy_profit_factor({x}), legacy_expectancy({x}), sum(abs({x})), max_drawdown_pnl({x} ORDER BY \"Date\")"
            )
        };
        let found = numbers(&ctx, &format!("SELECT {} FROM p", chunk.iter().map(calls).collect::<Vec<_>>().join(", "))).await;
        for (found, known) in found.chunks(7).zip(known) {
            let scale = found[5].unwrap();
            for (i, scale) in [scale, scale, 0.0, 0.0, scale / 82.0].into_iter().enumerate() {
                let (ours, theirs) = (found[i].unwrap(), number(&known[i + 1]).unwrap());
                assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(scale), "{} {i}: {ours} {theirs}", known[0]);
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 2500);
}

#[tokio::test]
async fn eight_production_columns_start_with_a_loss_that_only_the_new_drawdown_sees() {
    let Some(data) = shared("production_500.csv") else { return };
    let ctx = session();
    read(&ctx, "p", &data).await;
    let names: Vec<String> = ctx.table("p").await.unwrap().schema().fields().iter().skip(2).map(|f| f.name().clone()).collect();
    let mut differing = vec![];
    for chunk in names.chunks(100) {
        let call =
            |name: &String| format!("legacy_max_drawdown(\"{name}\" ORDER BY \"Date\"), max_drawdown_pnl(\"{name}\" ORDER BY \"Date\")");
        let found = numbers(&ctx, &format!("SELECT {} FROM p", chunk.iter().map(call).collect::<Vec<_>>().join(", "))).await;
        let pairs = chunk.iter().zip(found.chunks(2));
        differing.extend(pairs.filter(|(_, f)| !close(f[0], f[1].map(|x| -x + 0.0), 1e-9)).map(|(name, f)| (name.clone(), f[0], f[1])));
    }
    assert_eq!(differing.len(), 8, "{differing:?}");
    let known = differing.iter().find(|(name, ..)| name == "SENSEX 920-1020 SL137%").unwrap();
    assert!(close(known.1, Some(19380.944749999973), 1e-12) && close(known.2, Some(-19571.74374999997), 1e-12), "{known:?}");
}
