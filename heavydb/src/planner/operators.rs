//! Binary operators with HeavyDB's types: what is compared, added or joined with `AND` is decided while the statement is planned, before
//! DataFusion brings both sides to a type of its own choice.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, binary_expr, lit};
use sqlparser::ast::BinaryOperator;

use super::arithmetic::{
    ADD, DIVIDE, DIVIDE_OR_NULL, DIVIDE_WHERE, MODULO, MODULO_OR_NULL, MODULO_WHERE, MULTIPLY, SUBTRACT, is_sure_quotient,
};
use super::casts::cast_call;
use super::comparisons::{as_type, compared, equals_member};
use super::kinds::{Kind, floating};
use super::moments::{Side, planned};
use super::results::typed;
use super::terms::{added, is_long_sum};
use crate::functions::scalar::ScalarFunction;
use crate::functions::strings::concat;
use crate::options::Options;
use crate::refusal::Refusal;

/// Plans binary operators.
#[derive(Debug)]
pub(super) struct Operators {
    pub(super) options: Options,
}

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = raw;
        let planned = match &op {
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => {
                self.arithmetic(&op, &left, &right, schema)?
            }
            BinaryOperator::And => deferred(&left, &right, false)?,
            BinaryOperator::Or => deferred(&left, &right, true)?,
            // What the rewriting of HeavyDB's text leaves of CASE, COALESCE, NULLIF and of IN.
            BinaryOperator::Arrow => Some(typed(left.clone(), schema)?),
            BinaryOperator::Spaceship => Some(equals_member(&left, &right, schema)?),
            BinaryOperator::StringConcat => Some(concat().call(vec![as_text(&left, schema)?, as_text(&right, schema)?])),
            _ => match comparison(&op) {
                Some(operator) => Some(compared(&left, operator, &right, schema)?),
                None => None,
            },
        };
        Ok(planned.map_or(PlannerResult::Original(RawBinaryExpr { op, left, right }), PlannerResult::Planned))
    }
}

fn comparison(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

impl Operators {
    fn arithmetic(&self, op: &BinaryOperator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let (left, right) = (narrow_literal(left), narrow_literal(right));
        let (left_field, right_field) = (field_of(&left, schema)?, field_of(&right, schema)?);
        let kinds = (Kind::of(&left_field), Kind::of(&right_field));
        match kinds {
            (a, b)
                if a == Kind::Interval || b == Kind::Interval || a.is_moment() || b.is_moment() || a == Kind::Time || b == Kind::Time =>
            {
                planned(op, Side { expr: left, field: left_field }, Side { expr: right, field: right_field }).map(Some)
            }
            (Kind::Null, Kind::Null) => Ok(None),
            (a, b) if *op == BinaryOperator::Modulo && [a, b].iter().any(|kind| !matches!(kind, Kind::Whole | Kind::Null)) => {
                Err(Refusal::new(format!("{left} % {right}"), "HeavyDB takes the remainder of whole numbers alone").into())
            }
            (Kind::Decimal, Kind::Decimal | Kind::Whole) | (Kind::Whole, Kind::Decimal)
                if *op == BinaryOperator::Divide && !is_sure_quotient(&left, &right) =>
            {
                Err(Refusal::new(
                    format!("{left} / {right}"),
                    "how many digits a quotient of constants keeps is not sure: write 1e0 for 1.0",
                )
                .into())
            }
            (a, b) if (a.is_number() || a == Kind::Null) && (b.is_number() || b == Kind::Null) => {
                let (left, right) = (Side { expr: left, field: left_field }, Side { expr: right, field: right_field });
                Ok(Some(self.of_numbers(op, left, right, floating(kinds))))
            }
            _ => {
                Err(Refusal::new(format!("{left} {op} {right}"), "only numbers, dates and intervals are added, multiplied and divided")
                    .into())
            }
        }
    }

    fn of_numbers(&self, op: &BinaryOperator, left: Side, right: Side, floating: Option<DataType>) -> Expr {
        if let Some(data_type) = floating {
            // A cast to the type that a side has would stay in the plan, one for every term of a sum.
            let typed = |side: Side| if *side.field.data_type() == data_type { side.expr } else { as_type(side.expr, &data_type) };
            let (left, right) = (typed(left), typed(right));
            match op {
                BinaryOperator::Plus if data_type == DataType::Float64 => return added(left, right),
                BinaryOperator::Plus => return binary_expr(left, Operator::Plus, right),
                BinaryOperator::Minus => return binary_expr(left, Operator::Minus, right),
                BinaryOperator::Multiply => return binary_expr(left, Operator::Multiply, right),
                // A constant that is not zero divides as it is.
                BinaryOperator::Divide if is_nonzero(&right) => return binary_expr(left, Operator::Divide, right),
                _ => return self.function(op).udf().call(vec![left, right]),
            }
        }
        self.function(op).udf().call(vec![left.expr, right.expr])
    }

    fn function(&self, op: &BinaryOperator) -> ScalarFunction {
        match op {
            BinaryOperator::Plus => ADD,
            BinaryOperator::Minus => SUBTRACT,
            BinaryOperator::Multiply => MULTIPLY,
            BinaryOperator::Divide if self.options.null_div_by_zero => DIVIDE_OR_NULL,
            BinaryOperator::Divide => DIVIDE,
            _ if self.options.null_div_by_zero => MODULO_OR_NULL,
            _ => MODULO,
        }
    }
}

fn field_of(expr: &Expr, schema: &DFSchema) -> Result<FieldRef> {
    if is_long_sum(expr) {
        return Ok(Arc::new(Field::new("", DataType::Float64, true)));
    }
    Ok(expr.to_field(schema)?.1)
}

fn is_nonzero(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Float64(Some(value)), _) if *value != 0.0)
}

/// A literal whole number is an INTEGER where it fits.
pub(super) fn narrow_literal(expr: &Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => i32::try_from(*value).map_or_else(|_| expr.clone(), lit),
        _ => expr.clone(),
    }
}

/// The text form of a side of `||`.
fn as_text(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let field = expr.to_field(schema)?.1;
    match Kind::of(&field) {
        Kind::Text | Kind::Null => Ok(expr.clone()),
        _ => cast_call(expr.clone(), "TEXT"),
    }
}

/// `left AND right` where the right side divides: nothing is divided for the rows whose answer the left side alone decides, as in HeavyDB.
/// The division itself knows those rows, so that no rule of the optimizer can separate the two.
fn deferred(left: &Expr, right: &Expr, is_or: bool) -> Result<Option<Expr>> {
    let (first, second) = match (divisions(left), divisions(right)) {
        (before, 1..) if before <= MOST_GUARDED => (left, right),
        (1.., 0) => (right, left),
        _ => return Ok(None),
    };
    let undecided = if is_or { first.clone().is_not_true() } else { first.clone().is_not_false() };
    let guarded = second.clone().transform_down(|part| guarded(part, &undecided))?.data;
    Ok(Some(binary_expr(first.clone(), if is_or { Operator::Or } else { Operator::And }, guarded)))
}

/// Divisions in a condition above which what follows is not guarded by it: a guard repeats all before it.
const MOST_GUARDED: usize = 6;

fn guarded(part: Expr, undecided: &Expr) -> Result<Transformed<Expr>> {
    match part {
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Ok(Transformed::new(part, false, TreeNodeRecursion::Jump)),
        Expr::ScalarFunction(mut call) => {
            let Some(function) = where_function(call.func.name()) else { return Ok(Transformed::no(Expr::ScalarFunction(call))) };
            let inside = |part: Expr| Ok::<_, DataFusionError>(part.transform_down(|part| guarded(part, undecided))?.data);
            call.args = call.args.into_iter().map(inside).collect::<Result<_>>()?;
            let guard = if call.args.len() > 2 { call.args.pop() } else { None };
            call.args.push(guard.map_or_else(|| undecided.clone(), |guard| undecided.clone().and(guard)));
            call.func = function.udf();
            // The guard itself is not guarded.
            Ok(Transformed::new(Expr::ScalarFunction(call), true, TreeNodeRecursion::Jump))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The division under a guard.
fn where_function(name: &str) -> Option<ScalarFunction> {
    [(DIVIDE, DIVIDE_WHERE), (MODULO, MODULO_WHERE), (DIVIDE_WHERE, DIVIDE_WHERE), (MODULO_WHERE, MODULO_WHERE)]
        .into_iter()
        .find(|(plain, _)| plain.name == name)
        .map(|(_, guarded)| guarded)
}

/// How many divisions of an expression may fail.
fn divisions(expr: &Expr) -> usize {
    let mut count = 0;
    let counted = expr.apply(|part| match part {
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Ok(TreeNodeRecursion::Jump),
        Expr::ScalarFunction(call) => {
            count += usize::from(where_function(call.func.name()).is_some());
            Ok(TreeNodeRecursion::Continue)
        }
        _ => Ok(TreeNodeRecursion::Continue),
    });
    if counted.is_ok() { count } else { usize::MAX }
}
