//! From a state to the SQL result: NULL without rows, NaN where a row was, never -0.0.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};
use datafusion::common::ScalarValue;

use crate::constants::Constants;
use crate::metric::ResultKind;
use crate::row::Row;
use crate::states::{Formula, SampleFormula, State, Values};

/// A formula with its constants.
#[derive(Debug)]
pub(crate) struct Finish<S> {
    pub(crate) formula: Formula<S>,
    pub(crate) constants: Constants,
}

impl<S> Clone for Finish<S> {
    fn clone(&self) -> Self {
        Self { formula: self.formula, constants: self.constants }
    }
}

impl<S: State> Finish<S> {
    /// The result over a state.
    pub(crate) fn of(&self, state: &S) -> Option<f64> {
        let tally = state.tally();
        match (tally.rows, tally.nan) {
            (0, _) => None,
            (_, true) => Some(f64::NAN),
            _ => (self.formula)(state, &self.constants).map(|x| x + 0.0),
        }
    }

    /// The state of no rows.
    pub(crate) fn empty(&self) -> S {
        S::new(&self.constants)
    }

    /// The result over rows in their order.
    pub(crate) fn fold(&self, rows: impl IntoIterator<Item = S::Row>) -> Option<f64> {
        let mut state = self.empty();
        rows.into_iter().for_each(|row| state.push(row));
        self.of(&state)
    }
}

/// A formula over sorted values with its constants.
#[derive(Debug, Clone)]
pub(crate) struct SampleFinish {
    pub(crate) formula: SampleFormula,
    pub(crate) constants: Constants,
}

/// The result over rows whose order does not matter.
pub(crate) trait OfSorted<R: Row>: Debug + Send + Sync + 'static {
    /// Over rows sorted by [`Row::order`] (NaN last).
    fn of_sorted(&self, rows: &[R]) -> Option<f64>;

    /// Over rows in any order, which it may change; with `distinct` equal rows count once.
    fn of_rows(&self, rows: &mut [R], distinct: bool) -> Option<f64> {
        let kept = sort(rows, distinct);
        self.of_sorted(&rows[..kept])
    }
}

impl<S: State> OfSorted<S::Row> for Finish<S> {
    fn of_sorted(&self, rows: &[S::Row]) -> Option<f64> {
        self.fold(rows.iter().copied())
    }
}

impl OfSorted<f64> for SampleFinish {
    fn of_sorted(&self, values: &[f64]) -> Option<f64> {
        let last = values.last()?;
        if last.is_nan() {
            return Some(f64::NAN);
        }
        (self.formula)(Values::Sorted(values), &self.constants).map(|x| x + 0.0)
    }

    fn of_rows(&self, values: &mut [f64], distinct: bool) -> Option<f64> {
        if distinct {
            let kept = sort(values, true);
            return self.of_sorted(&values[..kept]);
        }
        // By chunks, as a loop that may end at every value is slow.
        match values.chunks(64).any(|values| values.iter().fold(false, |nan, x| nan | x.is_nan())) {
            _ if values.is_empty() => None,
            true => Some(f64::NAN),
            false => (self.formula)(Values::Unsorted(values), &self.constants).map(|x| x + 0.0),
        }
    }
}

impl ResultKind {
    /// The SQL value of one result.
    pub(crate) fn scalar(self, result: Option<f64>) -> ScalarValue {
        match self {
            Self::BigInt => ScalarValue::Int64(whole(result)),
            _ => ScalarValue::Float64(result),
        }
    }

    /// The SQL column of many results.
    pub(crate) fn array(self, results: impl Iterator<Item = Option<f64>>) -> ArrayRef {
        match self {
            Self::BigInt => Arc::new(results.map(whole).collect::<Int64Array>()),
            _ => Arc::new(results.collect::<Float64Array>()),
        }
    }
}

/// A number of rows; NaN has none.
fn whole(result: Option<f64>) -> Option<i64> {
    result.filter(|x| !x.is_nan()).map(|x| x as i64)
}

/// Sorts rows, and drops all but one of equal rows when `distinct`; returns how many are left at the front.
pub(crate) fn sort<R: Row>(rows: &mut [R], distinct: bool) -> usize {
    if !rows.is_sorted_by(|a, b| a.order(b).is_le()) {
        // Stable: it merges the sorted rows of an earlier call with the few that came since, in linear time.
        rows.sort_by(Row::order);
    }
    if !distinct {
        return rows.len();
    }
    let mut kept = 0;
    for i in 0..rows.len() {
        if kept == 0 || rows[kept - 1].order(&rows[i]).is_ne() {
            rows[kept] = rows[i];
            kept += 1;
        }
    }
    kept
}
