//! Financial SQL functions for Apache DataFusion: returns, risk, ratios, drawdowns, tails, pairs of series, window indicators, and the numbers
//! of a replaced legacy system.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! use datafusion::prelude::SessionContext;
//!
//! let ctx = SessionContext::new();
//! datafusion_functions_finance::register_in(&ctx)?;
//! let rows = ctx
//!     .sql("SELECT max_drawdown(ret ORDER BY day) AS worst FROM (VALUES (1, 0.05), (2, -0.10), (3, 0.02)) AS t(day, ret)")
//!     .await?
//!     .collect()
//!     .await?;
//! datafusion::assert_batches_eq!(["+-------+", "| worst |", "+-------+", "| -0.1  |", "+-------+"], &rows);
//! # Ok(())
//! # }
//! ```
//!
//! # Conventions
//!
//! * Numeric arguments of any type are read as DOUBLE. Returns are simple returns of one period, results are fractions, never percents;
//!   currency stays in its currency. A loss is ≤ 0 (the legacy family keeps its own sign).
//! * A row whose value is NULL is skipped. Undefined is NULL: no rows, too few rows, nothing to divide by; never infinity, never 0 as a
//!   guess, never an error. Infinite input, and values that overflow, give what IEEE arithmetic gives. NaN is not NULL: one NaN makes a DOUBLE result NaN and a BIGINT result NULL. The legacy family counts NULL as 0.
//! * Rates are annual and are spread geometrically over `periods_per_year` (252 unless given). Everything after the series must be
//!   constant; a wrong type, count, range or method is a planning error that names the allowed values.
//! * Path metrics need a time order: `f(x ORDER BY t)`, `f(x) OVER (ORDER BY t)`, or a table that declares its order. Otherwise planning
//!   fails. Rows with equal keys have no defined order among each other: give enough keys (`ORDER BY date, start_time`). So that the
//!   answer does not change with the number of threads, an aggregate takes them by value; rows of a declared order and windows as they lie.
//! * Functions whose name ends in `_pnl` add currency, the others compound returns.
//! * Every aggregate works with `GROUP BY` (vectorised), `FILTER`, `OVER` any frame, and in several stages; order-free, sample and pair
//!   metrics with `DISTINCT`.
//! * Window indicators are written `f(x, ...) OVER (PARTITION BY .. ORDER BY t)`; a row with a NULL gives NULL and changes nothing.
//!
//! # Inside
//!
//! [`METRICS`], [`SCALARS`] and [`INDICATORS`] are the tables; one entry is one function, and [`mod@reference`] is made from them. Nearly
//! every metric is a short formula over one of a few mergeable states, and the hard part (NULLs, groups, merging, frames) is written once
//! per kind of state. [`MetricUdaf`], [`ScalarFunction`] and [`IndicatorUdwf`] carry an entry into DataFusion, [`RequireTimeOrder`] checks
//! the calls while planning. Three physical rules are optional: [`SingleStage`] saves memory and time where rows must be kept,
//! [`StreamTimeOrder`] where they come in time order, and [`StreamIndicators`] runs indicators in batches instead of row by row. The first
//! and the last place [`SeriesExec`], which works on series whose rows come together without moving them between threads.

mod accumulate;
mod constants;
mod finish;
pub mod indicators;
pub mod metric;
pub mod metrics;
mod random;
pub mod reference;
mod row;
pub mod scalars;
mod series;
mod sharing;
mod single_stage;
mod states;
mod stream_time_order;
mod time_order;
mod udaf;
mod usage;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, WindowUDF};
use datafusion::prelude::SessionContext;

pub use constants::Role;
pub use indicators::{INDICATORS, Indicator, IndicatorResult, IndicatorUdwf, StreamIndicators, find_indicator};
pub use metric::{Argument, Example, Expected, Family, Metric, ResultKind, Sample};
pub use metrics::{METRICS, find, functions};
pub use reference::{Page, pages};
pub use scalars::{SCALARS, Scalar, ScalarFunction};
pub use series::SeriesExec;
pub use sharing::{results_from, shares_states};
pub use single_stage::{SingleStage, keeps_rows};
pub use stream_time_order::{StreamTimeOrder, call_in_time_order};
pub use time_order::{DeclaredOrder, RequireTimeOrder, TimeOrder};
pub use udaf::MetricUdaf;

/// Every aggregate, ready for a registry.
///
/// # Errors
/// None for the table as it is; see [`MetricUdaf::try_new`].
pub fn all_functions() -> Result<Vec<Arc<AggregateUDF>>> {
    let named = functions().flat_map(|metric| std::iter::once(MetricUdaf::try_new(metric)).chain(MetricUdaf::aliases(metric)));
    named.map(|function| Ok(Arc::new(AggregateUDF::from(function?)))).collect()
}

/// Every window indicator, ready for a registry.
///
/// # Errors
/// None for the table as it is; see [`IndicatorUdwf::try_new`].
pub fn all_indicators() -> Result<Vec<Arc<WindowUDF>>> {
    INDICATORS.iter().map(|indicator| Ok(Arc::new(WindowUDF::from(IndicatorUdwf::try_new(indicator)?)))).collect()
}

/// Registers every function of every table, with its aliases, and no planning checks: for a session assembled by hand, which also takes
/// [`RequireTimeOrder`].
///
/// # Errors
/// A registry that takes no functions.
pub fn register_functions(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in all_functions()? {
        registry.register_udaf(function)?;
    }
    for scalar in SCALARS {
        registry.register_udf(Arc::new(ScalarFunction::try_new(scalar)?.into()))?;
    }
    for function in all_indicators()? {
        registry.register_udwf(function)?;
    }
    Ok(())
}

/// Registers every function and alias, and the planning checks. The one call for a [`SessionContext`].
///
/// # Errors
/// A registry that takes no functions.
pub fn register_in(ctx: &SessionContext) -> Result<()> {
    // A clone shares the session's state.
    register_functions(&mut ctx.clone())?;
    ctx.add_analyzer_rule(Arc::new(RequireTimeOrder::new()));
    Ok(())
}

/// Registers every function and alias in any registry, and the planning checks as far as a registry can hold them: it has no place for
/// [`RequireTimeOrder`], so that path metrics and indicators need an explicit `ORDER BY` even on a table that declares its order.
///
/// A session assembled by hand takes [`register_functions`] and [`RequireTimeOrder`] instead.
///
/// # Errors
/// A registry that takes no functions.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    register_functions(registry)?;
    registry.register_function_rewrite(Arc::new(time_order::RequireExplicitOrder))
}
