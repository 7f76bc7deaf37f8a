//! Binary operators with HeavyDB's types: what is compared, added or joined with `AND` is decided while the statement is planned, before
//! DataFusion brings both sides to a type of its own choice.

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, binary_expr, cast, lit, when};
use sqlparser::ast::BinaryOperator;

use super::arithmetic::{ADD, DIVIDE, DIVIDE_OR_NULL, MODULO, MODULO_OR_NULL, MULTIPLY, SUBTRACT};
use super::casts::cast_call;
use super::moments::{Side, coarser, compared as exactly, digits, planned};
use crate::functions::strings::concat;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::types::interval::IntervalKind;

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
            BinaryOperator::And => deferred(left.clone(), right.clone(), false)?,
            BinaryOperator::Or => deferred(left.clone(), right.clone(), true)?,
            BinaryOperator::StringConcat => Some(concat().call(vec![as_text(&left, schema)?, as_text(&right, schema)?])),
            _ => match comparison(&op) {
                Some(operator) => compared(operator, &left, &right, schema)?,
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

/// What an operator sees of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Whole,
    Decimal,
    Float,
    Double,
    Text,
    Date,
    Time,
    Timestamp(TimeUnit),
    Interval,
    Other,
}

impl Kind {
    fn of(field: &FieldRef) -> Self {
        if IntervalKind::of(field).is_some() {
            return Self::Interval;
        }
        match field.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Decimal128(..) | DataType::Decimal256(..) => Self::Decimal,
            DataType::Float32 => Self::Float,
            DataType::Float64 => Self::Double,
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => Self::Text,
            DataType::Date32 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(unit, _) => Self::Timestamp(*unit),
            whole if whole.is_integer() => Self::Whole,
            _ => Self::Other,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Whole | Self::Decimal | Self::Float | Self::Double)
    }

    fn is_moment(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp(_))
    }
}

impl Operators {
    fn arithmetic(&self, op: &BinaryOperator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let (left, right) = (narrow_literal(left), narrow_literal(right));
        let (left_field, right_field) = (left.to_field(schema)?.1, right.to_field(schema)?.1);
        let kinds = (Kind::of(&left_field), Kind::of(&right_field));
        match kinds {
            (a, b)
                if a == Kind::Interval || b == Kind::Interval || a.is_moment() || b.is_moment() || a == Kind::Time || b == Kind::Time =>
            {
                planned(op, Side { expr: left, field: left_field }, Side { expr: right, field: right_field }).map(Some)
            }
            (Kind::Null, Kind::Null) => Ok(None),
            (a, b) if *op == BinaryOperator::Modulo && ![a, b].iter().all(|kind| matches!(kind, Kind::Whole | Kind::Null)) => {
                Err(Refusal::new(format!("{left} {op} {right}"), "HeavyDB takes the remainder of whole numbers alone").into())
            }
            (a, b) if (a.is_number() || a == Kind::Null) && (b.is_number() || b == Kind::Null) => {
                Ok(Some(self.of_numbers(op, left, right, floating(kinds))))
            }
            _ => {
                Err(Refusal::new(format!("{left} {op} {right}"), "only numbers, dates and intervals are added, multiplied and divided")
                    .into())
            }
        }
    }

    fn of_numbers(&self, op: &BinaryOperator, left: Expr, right: Expr, floating: Option<DataType>) -> Expr {
        if let Some(data_type) = floating {
            let (left, right) = (as_type(left, &data_type), as_type(right, &data_type));
            match op {
                BinaryOperator::Plus => return binary_expr(left, Operator::Plus, right),
                BinaryOperator::Minus => return binary_expr(left, Operator::Minus, right),
                BinaryOperator::Multiply => return binary_expr(left, Operator::Multiply, right),
                // A constant that is not zero divides as it is.
                BinaryOperator::Divide if is_nonzero(&right) => return binary_expr(left, Operator::Divide, right),
                _ => return self.function(op).udf().call(vec![left, right]),
            }
        }
        self.function(op).udf().call(vec![left, right])
    }

    fn function(&self, op: &BinaryOperator) -> crate::functions::scalar::ScalarFunction {
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

/// The floating type in which two numbers meet: DOUBLE with anything is DOUBLE, FLOAT with anything else is FLOAT.
fn floating(kinds: (Kind, Kind)) -> Option<DataType> {
    match kinds {
        (Kind::Double, _) | (_, Kind::Double) => Some(DataType::Float64),
        (Kind::Float, _) | (_, Kind::Float) => Some(DataType::Float32),
        _ => None,
    }
}

fn as_type(expr: Expr, data_type: &DataType) -> Expr {
    match &expr {
        Expr::Literal(value, _) => match value.cast_to(data_type) {
            Ok(value) => lit(value),
            Err(_) => cast(expr, data_type.clone()),
        },
        _ => cast(expr, data_type.clone()),
    }
}

fn is_nonzero(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Float64(Some(value)), _) if *value != 0.0)
}

/// A literal whole number is an INTEGER where it fits.
fn narrow_literal(expr: &Expr) -> Expr {
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

fn compared(op: Operator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (left_field, right_field) = (left.to_field(schema)?.1, right.to_field(schema)?.1);
    let kinds = (Kind::of(&left_field), Kind::of(&right_field));
    let refused = |reason: &str| Err(Refusal::new(format!("{left} {op} {right}"), reason).into());
    match kinds {
        (Kind::Null, _) | (_, Kind::Null) => Ok(None),
        (Kind::Interval | Kind::Whole, Kind::Interval | Kind::Whole) => Ok(None),
        (a, b) if a.is_number() && b.is_number() => Ok(floating(kinds)
            .filter(|_| left_field.data_type() != right_field.data_type())
            .map(|data_type| binary_expr(as_type(left.clone(), &data_type), op, as_type(right.clone(), &data_type)))),
        (Kind::Text, Kind::Text) => {
            if compares_with_empty(left, &right_field, right) || compares_with_empty(right, &left_field, left) {
                return refused("a text that may be NULL is never '' in HeavyDB: write IS NULL");
            }
            Ok(None)
        }
        (Kind::Text, other) => Ok(literal_as(left, other, right_field.data_type())?.map(|left| binary_expr(left, op, right.clone()))),
        (other, Kind::Text) => Ok(literal_as(right, other, left_field.data_type())?.map(|right| binary_expr(left.clone(), op, right))),
        (Kind::Timestamp(left_unit), Kind::Timestamp(right_unit)) if left_unit != right_unit => match op {
            Operator::Eq if left_unit < right_unit => Ok(Some(binary_expr(left.clone(), op, coarser(right.clone(), left_unit)?))),
            Operator::NotEq => refused("timestamps of different precision are not surely different: cast one"),
            _ => Ok(Some(exactly(left.clone(), op, right.clone()))),
        },
        _ => Ok(None),
    }
}

/// `''` against a text of a dictionary, which has no empty texts.
fn compares_with_empty(literal: &Expr, other: &FieldRef, expr: &Expr) -> bool {
    let is_empty = matches!(literal, Expr::Literal(value, _) if value.try_as_str().flatten() == Some(""));
    let is_dictionary = other.is_nullable() && !other.metadata().contains_key("heavydb.encoding");
    is_empty && is_dictionary && matches!(expr, Expr::Column(_))
}

/// A text literal in the type of the other side.
fn literal_as(expr: &Expr, kind: Kind, data_type: &DataType) -> Result<Option<Expr>> {
    let spelling = match (kind, data_type) {
        (Kind::Boolean, _) => "BOOLEAN".to_owned(),
        (Kind::Date, _) => "DATE".to_owned(),
        (Kind::Time, _) => "TIME(0)".to_owned(),
        (Kind::Timestamp(unit), _) => format!("TIMESTAMP({})", digits(unit)),
        _ => return Err(Refusal::new(expr, "texts and numbers are not compared: cast one").into()),
    };
    match expr {
        Expr::Literal(..) => cast_call(expr.clone(), &spelling).map(Some),
        _ => plan_err!("{expr} is a text: cast it, CAST({expr} AS {spelling})"),
    }
}

/// `left AND right` where the right side may fail is looked at for the rows alone whose answer it decides, as HeavyDB does.
fn deferred(left: Expr, right: Expr, is_or: bool) -> Result<Option<Expr>> {
    let (first, second) = match (may_fail(&left), may_fail(&right)) {
        (_, true) => (left, right),
        (true, false) => (right, left),
        (false, false) => return Ok(None),
    };
    let operator = if is_or { Operator::Or } else { Operator::And };
    let decided = if is_or { first.clone().is_true() } else { first.clone().is_false() };
    when(decided, lit(is_or)).otherwise(binary_expr(first, operator, second)).map(Some)
}

/// Whether an expression divides.
fn may_fail(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let divides =
        |part: &Expr| Ok(matches!(part, Expr::ScalarFunction(call) if call.func.name() == DIVIDE.name || call.func.name() == MODULO.name));
    expr.exists(divides).unwrap_or(true)
}
