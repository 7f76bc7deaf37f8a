//! One asserted value: the first column of the first row.

use super::column::{Comparable, Kind, number};
use super::{Difference, Order, Rules, Tolerance};
use crate::replay::expected::Value;
use crate::replay::render;
use crate::replay::rows::{Cell, Rows};

/// An expectation `{value, type, tol}`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asserted<'a> {
    pub(super) value: &'a Value,
    pub(super) kind: &'a str,
    /// Above 0: the greatest difference.
    pub(super) absolute: f64,
}

/// What is wrong with the first row; without an order any row may come first.
pub(super) fn compare(ours: &Rows, asserted: Asserted<'_>, rules: &Rules, tolerance: Tolerance) -> Option<Difference> {
    if ours.is_empty() || ours.width() == 0 {
        return Some(Difference::Rows { ours: 0, theirs: 1 });
    }
    let rows = if rules.order == Order::Any { ours.len() } else { 1 };
    let kind = Kind::of_type(ours.data_type(0));
    if (0..rows).any(|row| asserted.equals(&ours.cell(row, 0), &kind, tolerance)) {
        return None;
    }
    let cell = ours.cell(0, 0);
    let relative = super::relative_error(kind.ours(cell.clone()).number(), asserted.value_number());
    Some(Difference::Value {
        row: 1,
        column: ours.names().first().cloned().unwrap_or_default(),
        ours: render::cell(&cell),
        theirs: render::value(asserted.value),
        relative_error: relative,
        rows: (Some(0), Some(0)),
    })
}

impl Asserted<'_> {
    fn value_number(&self) -> Option<f64> {
        match self.value {
            Value::Text(text) => Kind::Number.theirs(&Value::Text(text.clone())).number(),
            value => Kind::Number.theirs(value).number(),
        }
    }

    /// Whether our value is the asserted one, as HeavyDB holds it.
    fn equals(&self, cell: &Cell<'_>, kind: &Kind, tolerance: Tolerance) -> bool {
        match (cell, self.value) {
            (Cell::Null, value) => self.is_null(value),
            (Cell::Instant(instant), Value::Integer(value)) => is_epoch(instant.nanoseconds(), *value),
            (Cell::Time(time), Value::Integer(value)) => is_epoch(time.nanoseconds(), *value),
            (Cell::Integer(ours), Value::Boolean(value)) => *ours == i128::from(*value),
            (Cell::Text(text), Value::Integer(_) | Value::Real(_)) => number(text).is_some_and(|ours| self.number_equals(&ours, tolerance)),
            (Cell::Text(text), Value::Text(value)) => *text == value,
            (Cell::Integer(_) | Cell::Real(_) | Cell::Decimal(_), _) => self.number_equals(&kind.ours(cell.clone()), tolerance),
            (cell, value) => kind.ours(cell.clone()).equals(&kind.theirs(value), tolerance),
        }
    }

    fn number_equals(&self, ours: &Comparable<'_>, tolerance: Tolerance) -> bool {
        let theirs = Kind::Number.theirs(self.value);
        match (ours.number(), theirs.number()) {
            (Some(a), Some(b)) if self.absolute > 0.0 && a.is_finite() && b.is_finite() => (a - b).abs() <= self.absolute + 1e-9,
            _ => ours.equals(&theirs, tolerance),
        }
    }

    /// Whether the value is how HeavyDB writes NULL within the values of the type.
    fn is_null(&self, value: &Value) -> bool {
        const INTEGERS: [i128; 4] = [i8::MIN as i128, i16::MIN as i128, i32::MIN as i128, i64::MIN as i128];
        match (self.kind, value) {
            (_, Value::Null) => true,
            (_, Value::Text(text)) => text.is_empty(),
            ("int", Value::Integer(value)) => INTEGERS.contains(value),
            ("double", Value::Real(value)) => *value == f64::MIN_POSITIVE,
            ("float", Value::Real(value)) => (*value / f64::from(f32::MIN_POSITIVE) - 1.0).abs() < 1e-7,
            _ => false,
        }
    }
}

/// Whether a count of seconds, milli-, micro- or nanoseconds is this instant. The unit is the one of HeavyDB's column; the instant is
/// what counts, so another precision of ours is no difference.
fn is_epoch(nanoseconds: i128, value: i128) -> bool {
    [9, 6, 3, 0].iter().any(|digits| value.checked_mul(10_i128.pow(*digits)) == Some(nanoseconds))
}
