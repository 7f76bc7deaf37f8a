//! Metrics that are formulas over one state: an operator that computes several of them keeps the states of one.

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::accumulate::ResultsFrom;
use crate::constants::{Constants, Role};
use crate::udaf::MetricUdaf;

/// Whether [`results_from`] can take the results of `second` from the states that an accumulator of `first` keeps: both are metrics over the same
/// series, by formulas over one state. Filters are the caller's to compare.
///
/// # Errors
/// A call that is not valid.
pub fn shares_states(first: &AggregateFunctionExpr, second: &AggregateFunctionExpr) -> Result<bool> {
    let same_series = matches!((series(first), series(second)), (Some(a), Some(b)) if a == b);
    let plain = !first.is_distinct() && !second.is_distinct() && first.groups_accumulator_supported();
    if !same_series || !plain {
        return Ok(false);
    }
    Ok(results_from(first.create_groups_accumulator()?.as_ref(), second)?.is_some())
}

/// The results of `call` for all groups of another call's accumulator, which keeps its states; `None` where these are not the states that the
/// call needs.
///
/// # Errors
/// A call that is not valid.
pub fn results_from(accumulator: &dyn GroupsAccumulator, call: &AggregateFunctionExpr) -> Result<Option<ArrayRef>> {
    let Some(function) = MetricUdaf::of(call.fun()) else { return Ok(None) };
    let constants = Constants::of_physical(&function.metric().page(), &call.expressions())?;
    let accumulator: &dyn Any = accumulator;
    let from = ResultsFrom { accumulator, metric: function.metric(), constants, in_time_order: function.is_in_time_order() };
    Ok(function.metric().compute.make(constants.method, from))
}

/// The arguments of a metric that are columns of values.
fn series(call: &AggregateFunctionExpr) -> Option<Vec<Arc<dyn datafusion::physical_expr::PhysicalExpr>>> {
    let metric = MetricUdaf::of(call.fun())?.metric();
    let values = metric.arguments.iter().zip(call.expressions()).filter(|(argument, _)| argument.role == Role::Series);
    Some(values.map(|(_, expr)| expr).collect())
}
