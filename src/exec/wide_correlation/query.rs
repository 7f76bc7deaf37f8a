//! What is computed: columns, pairs of them, and the other aggregates.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::correlation::Correlation;
use datafusion::functions_aggregate::covariance::{CovariancePopulation, CovarianceSample};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;

use super::co_moments::CoMoments;

/// A function of the co-moments of two columns.
#[derive(Debug)]
pub(super) struct Measure {
    is: fn(&dyn Any) -> bool,
    pub(super) value: fn(&CoMoments) -> Option<f64>,
}

/// Every function that the operator computes itself.
pub(super) const MEASURES: &[Measure] = &[
    Measure { is: |function| function.is::<Correlation>(), value: CoMoments::correlation },
    Measure { is: |function| function.is::<CovarianceSample>(), value: |moments| moments.covariance(1) },
    Measure { is: |function| function.is::<CovariancePopulation>(), value: |moments| moments.covariance(0) },
];

impl Measure {
    fn of(function: &AggregateUDF) -> Option<&'static Self> {
        let implementation: &dyn Any = function.inner().as_ref();
        MEASURES.iter().find(|measure| (measure.is)(implementation))
    }
}

/// The aggregates of one query, over its input.
#[derive(Debug, Default)]
pub(super) struct CorrelationQuery {
    /// Distinct expressions of the terms.
    pub(super) columns: Vec<Arc<dyn PhysicalExpr>>,
    /// Distinct pairs of columns.
    pub(super) pairs: Vec<(usize, usize)>,
    /// Aggregates that have accumulators of their own.
    pub(super) others: Vec<Arc<AggregateFunctionExpr>>,
    /// What each column of the output is.
    outputs: Vec<Output>,
}

#[derive(Debug)]
enum Output {
    Term(&'static Measure, usize),
    Other(usize),
}

impl CorrelationQuery {
    /// The aggregates `calls`; `None` where one of them needs its rows in another way than all as they come.
    pub(super) fn of(calls: &[Arc<AggregateFunctionExpr>]) -> Option<Self> {
        let mut query = Self::default();
        let (mut columns, mut pairs) = (HashMap::new(), HashMap::new());
        for call in calls {
            let arguments = call.expressions();
            // Each mention of a volatile expression has values of its own.
            if !call.order_bys().is_empty() || arguments.iter().any(is_volatile) {
                return None;
            }
            let output = match (Measure::of(call.fun()), arguments.as_slice()) {
                (Some(measure), [one, other]) if !call.is_distinct() => {
                    let mut place = |expr: &Arc<dyn PhysicalExpr>| {
                        *columns.entry(Arc::clone(expr)).or_insert_with(|| {
                            query.columns.push(Arc::clone(expr));
                            query.columns.len() - 1
                        })
                    };
                    let pair = (place(one), place(other));
                    let place = *pairs.entry(pair).or_insert_with(|| {
                        query.pairs.push(pair);
                        query.pairs.len() - 1
                    });
                    Output::Term(measure, place)
                }
                _ => {
                    query.others.push(Arc::clone(call));
                    Output::Other(query.others.len() - 1)
                }
            };
            query.outputs.push(output);
        }
        Some(query)
    }

    /// Number of results that are terms.
    pub(super) fn terms(&self) -> usize {
        self.outputs.len() - self.others.len()
    }

    /// The row of results.
    pub(super) fn results(&self, moments: &[CoMoments], others: &[ScalarValue]) -> Vec<ScalarValue> {
        let result = |output: &Output| match output {
            Output::Term(measure, pair) => ScalarValue::Float64((measure.value)(&moments[*pair])),
            Output::Other(place) => others[*place].clone(),
        };
        self.outputs.iter().map(result).collect()
    }

    /// Every expression over the input.
    pub(super) fn expressions(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        let others = self.others.iter().flat_map(|call| call.expressions());
        self.columns.iter().cloned().chain(others).collect()
    }
}

/// Values of expressions over some rows.
///
/// # Errors
/// An expression fails.
pub(super) fn arrays(expressions: &[Arc<dyn PhysicalExpr>], rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    expressions.iter().map(|expr| expr.evaluate(rows)?.into_array(rows.num_rows())).collect()
}
