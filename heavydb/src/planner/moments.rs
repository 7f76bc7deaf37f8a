//! Dates, times and intervals in operators.

use std::sync::Arc;

use datafusion::arrow::array::Int8Array;
use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, Operator, ScalarFunctionArgs, binary_expr, lit};
use sqlparser::ast::BinaryOperator;

use crate::functions::dates::instants::Instants;
use crate::functions::dates::intervals::INTERVAL_FUNCTIONS;
use crate::functions::scalar::{ScalarFunction, expect_count, of_type};
use crate::refusal::Refusal;
use crate::types::interval::IntervalKind;

/// What the planner's own texts call.
pub(super) fn functions() -> impl Iterator<Item = ScalarFunction> {
    INTERVAL_FUNCTIONS.iter().copied().chain([INSTANT_ORDER])
}

/// A side of an operator.
pub(super) struct Side {
    pub(super) expr: Expr,
    pub(super) field: FieldRef,
}

impl Side {
    fn is_interval(&self) -> bool {
        IntervalKind::of(&self.field).is_some()
    }

    fn is_whole_number(&self) -> bool {
        self.field.data_type().is_integer() && !self.is_interval()
    }

    fn is_moment(&self) -> bool {
        matches!(self.field.data_type(), DataType::Date32 | DataType::Timestamp(..))
    }

    /// The expression, an interval literal as the constant that it is.
    fn constant(self) -> Expr {
        if let (Expr::ScalarFunction(call), Some(kind)) = (&self.expr, IntervalKind::of(&self.field))
            && let [Expr::Literal(value, _)] = call.args.as_slice()
        {
            return Expr::Literal(
                value.clone(),
                Some(FieldMetadata::from(kind.metadata().into_iter().collect::<std::collections::BTreeMap<_, _>>())),
            );
        }
        self.expr
    }
}

/// `op` where one side at least is a date, a time or an interval.
pub(super) fn planned(op: &BinaryOperator, left: Side, right: Side) -> Result<Expr> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    let shown = format!("{} {op} {}", left.expr, right.expr);
    let (name, first, second) = match op {
        Plus if left.is_moment() && right.is_interval() => ("datetime_plus", left, right),
        Plus if left.is_interval() && right.is_moment() => ("datetime_plus", right, left),
        Plus if left.is_interval() && right.is_interval() => ("interval_add", left, right),
        Minus if left.is_moment() && right.is_interval() => ("datetime_minus", left, right),
        Minus if left.is_moment() && right.is_moment() => ("datetime_difference", left, right),
        Minus if left.is_interval() && right.is_interval() => ("interval_subtract", left, right),
        Multiply if left.is_interval() && right.is_whole_number() => ("interval_multiply", left, right),
        Multiply if left.is_whole_number() && right.is_interval() => ("interval_multiply", right, left),
        Divide if left.is_interval() && right.is_whole_number() => ("interval_divide", left, right),
        _ => return Err(Refusal::new(shown, "there is no such operation on dates, times and intervals").into()),
    };
    let function = INTERVAL_FUNCTIONS.iter().find(|function| function.name == name);
    let function = function.ok_or_else(|| DataFusionError::Internal(format!("no function {name}")))?;
    Ok(function.udf().call(vec![first.constant(), second.constant()]))
}

/// A number as an interval of a kind.
pub(super) fn interval_of(kind: IntervalKind, has_whole_days: bool, expr: Expr) -> Result<Expr> {
    let name = match kind {
        IntervalKind::DayTime if has_whole_days => "whole_day_interval",
        IntervalKind::DayTime => "day_time_interval",
        IntervalKind::YearMonth => "year_month_interval",
    };
    let function = INTERVAL_FUNCTIONS.iter().find(|function| function.name == name);
    let function = function.ok_or_else(|| DataFusionError::Internal(format!("no function {name}")))?;
    Ok(function.udf().call(vec![expr]))
}

/// Digits of the seconds.
pub(super) fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// A timestamp cut to a coarser unit, rounded down.
pub(super) fn coarser(expr: Expr, unit: TimeUnit) -> Result<Expr> {
    super::casts::cast_call(expr, &format!("TIMESTAMP({})", digits(unit)))
}

/// Which of two timestamps of different precision is later: -1, 0 or 1. Exact for all of them: the finer unit need not hold the coarser
/// one's range.
pub(super) const INSTANT_ORDER: ScalarFunction = ScalarFunction {
    name: "instant_order",
    arguments: |types| expect_count("a comparison", types, 2..=2).map(|()| types.to_vec()),
    result: |_| of_type(DataType::Int8),
    evaluate: instant_order,
};

fn instant_order(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let (left, right) = (Instants::of("a comparison", &call.args[0])?, Instants::of("a comparison", &call.args[1])?);
    let constant = left.constant && right.constant;
    let order = |row| {
        let scaled = |side: &Instants, other: &Instants| side.at(row).map(|count| i128::from(count) * i128::from(other.per_second));
        Some(scaled(&left, &right)?.cmp(&scaled(&right, &left)?) as i8)
    };
    let rows = if constant { 1 } else { call.number_rows };
    let array: Int8Array = (0..rows).map(order).collect();
    if constant {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(Arc::new(array)))
}

/// A comparison of timestamps of different precision.
pub(super) fn compared(left: Expr, op: Operator, right: Expr) -> Expr {
    binary_expr(INSTANT_ORDER.udf().call(vec![left, right]), op, lit(0_i8))
}
