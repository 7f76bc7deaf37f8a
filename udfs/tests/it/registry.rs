//! Registration where only a function registry is at hand.

use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;
use datafusion_functions_finance::{
    INDICATORS, IndicatorUdwf, MetricUdaf, SCALARS, ScalarFunction, find, functions, register_all, register_in,
};

use crate::session::{X, error, number, numbers, register_series, rows, some};

#[tokio::test]
async fn a_bare_registry_gets_functions_and_checks() {
    let mut ctx = SessionContext::new();
    register_all(&mut ctx).unwrap();
    register_series(&ctx, "t", &some(X));
    assert_eq!(numbers(&ctx, "SELECT max_drawdown_pnl(x ORDER BY d), roi(x) FROM t").await, [Some(-105.0), Some(65.0)]);
    let found = rows(&ctx, "SELECT max_drawdown_pnl(x) OVER (ORDER BY d) AS m FROM t ORDER BY m LIMIT 1").await;
    assert_eq!(number(&found[0][0]), Some(-105.0));
    assert!(error(&ctx, "SELECT max_drawdown_pnl(x) FROM t").await.contains("max_drawdown_pnl(x ORDER BY <time column>)"));
    assert!(error(&ctx, "SELECT max_drawdown_pnl(x) OVER () FROM t").await.contains("needs a time order"));
    assert!(error(&ctx, "SELECT sharpe(x, -7) FROM t").await.contains("greater than -1"));
    assert!(error(&ctx, "SELECT max_drawdown(DISTINCT x ORDER BY d) FROM t").await.contains("DISTINCT"));
}

#[test]
fn every_name_and_alias_is_registered_and_nothing_of_the_engine_is_lost() {
    let ctx = SessionContext::new();
    let (before, scalars_before, windows_before) = (ctx.udafs(), ctx.udfs(), ctx.udwfs());
    register_in(&ctx).unwrap();
    let names: Vec<&str> = functions().flat_map(|m| std::iter::once(&m.name).chain(m.aliases).copied()).collect();
    for name in &names {
        assert!(!before.contains(*name), "{name} hides a function of the engine");
        let function = ctx.udaf(name).unwrap();
        assert_eq!(MetricUdaf::of(&function).unwrap().metric().name, find(name).unwrap().name);
    }
    assert_eq!(ctx.udafs().len(), before.len() + names.len());
    assert!(MetricUdaf::of(&ctx.udaf("sum").unwrap()).is_none());
    for scalar in SCALARS {
        for name in scalar.page().names() {
            assert!(!scalars_before.contains(name), "{name} hides a function of the engine");
            assert_eq!(ScalarFunction::of(&ctx.udf(name).unwrap()).unwrap().scalar().name, scalar.name);
        }
    }
    for indicator in INDICATORS {
        for name in indicator.page().names() {
            assert!(!windows_before.contains(name) && !ctx.udafs().contains(name), "{name} hides a function of the engine, or is hidden");
            assert_eq!(IndicatorUdwf::of(&ctx.udwf(name).unwrap()).unwrap().indicator().name, indicator.name);
        }
    }
    assert!(IndicatorUdwf::of(&ctx.udwf("lag").unwrap()).is_none());
    assert!(ScalarFunction::of(&ctx.udf("abs").unwrap()).is_none());
}

#[tokio::test]
async fn calls_by_an_alias_are_columns_of_their_own() {
    let ctx = SessionContext::new();
    register_in(&ctx).unwrap();
    register_series(&ctx, "t", &some(X));
    let sql = "SELECT sharpe(x), sharpe(x) FILTER (WHERE x > 0), sharpe(DISTINCT x), calmar(x / 1000 ORDER BY d), calmar(x / 1000 ORDER BY d DESC), \
               sharpe(x) OVER (ORDER BY d), sharpe(x) OVER (ORDER BY d DESC) FROM t GROUP BY x, d";
    let names = ctx.sql(sql).await.unwrap().schema().field_names();
    assert!(names[0].starts_with("sharpe(") && names[1].contains("FILTER") && names[2].contains("DISTINCT"), "{names:?}");
}
