//! Comparisons with HeavyDB's types.

use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, binary_expr, cast, lit};

use super::casts::cast_call;
use super::kinds::{Kind, floating};
use super::moments::{coarser, compared as exactly, digits};
use crate::refusal::Refusal;
use crate::types::heavy_type::ENCODING_KEY;

/// `left op right`.
///
/// # Errors
/// A [`Refusal`] for sides that HeavyDB does not compare, or not surely so.
pub(super) fn compared(left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Result<Expr> {
    let (left_field, right_field) = (left.to_field(schema)?.1, right.to_field(schema)?.1);
    let kinds = (Kind::of(&left_field), Kind::of(&right_field));
    let refused = |reason: &str| Err(Refusal::new(format!("{left} {op} {right}"), reason).into());
    let plain = || Ok(binary_expr(left.clone(), op, right.clone()));
    match kinds {
        (Kind::Null, _) | (_, Kind::Null) => plain(),
        (Kind::Interval | Kind::Whole, Kind::Interval | Kind::Whole) => plain(),
        (a, b) if a.is_number() && b.is_number() => match floating(kinds) {
            Some(data_type) if left_field.data_type() != right_field.data_type() => {
                Ok(binary_expr(as_type(left.clone(), &data_type), op, as_type(right.clone(), &data_type)))
            }
            _ => plain(),
        },
        (Kind::Text, Kind::Text) => {
            if compares_with_empty(left, &right_field, right) || compares_with_empty(right, &left_field, left) {
                return refused(NEVER_EMPTY);
            }
            plain()
        }
        (Kind::Text, other) => Ok(binary_expr(literal_as(left, other, right_field.data_type())?, op, right.clone())),
        (other, Kind::Text) => Ok(binary_expr(left.clone(), op, literal_as(right, other, left_field.data_type())?)),
        (Kind::Timestamp(left_unit), Kind::Timestamp(right_unit)) if left_unit != right_unit => match op {
            Operator::Eq if left_unit < right_unit => Ok(binary_expr(left.clone(), op, coarser(right.clone(), left_unit)?)),
            Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => Ok(exactly(left.clone(), op, right.clone())),
            _ => refused(MIXED),
        },
        // A nanosecond's count holds few centuries of the dates.
        (Kind::Date, Kind::Timestamp(TimeUnit::Nanosecond)) | (Kind::Timestamp(TimeUnit::Nanosecond), Kind::Date)
            if !matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom) =>
        {
            Ok(exactly(left.clone(), op, right.clone()))
        }
        (Kind::Date, Kind::Timestamp(_)) => Ok(binary_expr(as_type(left.clone(), right_field.data_type()), op, right.clone())),
        (Kind::Timestamp(_), Kind::Date) => Ok(binary_expr(left.clone(), op, as_type(right.clone(), left_field.data_type()))),
        (Kind::Boolean, Kind::Boolean) | (Kind::Time, Kind::Time) | (Kind::Other, _) | (_, Kind::Other) => plain(),
        (Kind::Date, Kind::Date) | (Kind::Timestamp(_), Kind::Timestamp(_)) => plain(),
        _ => refused("HeavyDB does not compare such types: cast one"),
    }
}

const NEVER_EMPTY: &str = "a text that may be NULL is never '' in HeavyDB: write IS NULL";
const MIXED: &str = "timestamps of different precision are not surely different: cast one";

/// Refuses to look for a timestamp among those of another precision, and for values among those of another family.
///
/// # Errors
/// A [`Refusal`].
pub(super) fn check_member(value: (&Expr, &FieldRef), of: &FieldRef) -> Result<()> {
    let (expr, field) = value;
    let (kind, other) = (Kind::of(field), Kind::of(of));
    let is_mixed = matches!((kind, other), (Kind::Timestamp(a), Kind::Timestamp(b)) if a != b);
    let is_known = kind == other
        || [kind, other].iter().any(|kind| matches!(kind, Kind::Null | Kind::Other))
        || kind.is_number() && other.is_number()
        || kind.is_moment() && other.is_moment()
        || matches!((kind, other), (Kind::Interval, Kind::Whole) | (Kind::Whole, Kind::Interval));
    let reason = match (is_mixed, is_known) {
        (true, _) => MIXED,
        (_, false) => "the values looked through are of another type: cast one",
        _ => return Ok(()),
    };
    Err(Refusal::new(format!("{expr} IN {}", of.name()), reason).into())
}

/// A member of a list of one value, as `=` compares it.
///
/// # Errors
/// As [`compared`] and [`check_member`].
pub(super) fn equals_member(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Expr> {
    let fields = (left.to_field(schema)?.1, right.to_field(schema)?.1);
    if matches!((Kind::of(&fields.0), Kind::of(&fields.1)), (Kind::Timestamp(_), Kind::Timestamp(_))) {
        check_member((left, &fields.0), &fields.1)?;
    }
    compared(left, Operator::Eq, right, schema)
}

/// A long list of literals in the type of what is looked for.
///
/// # Errors
/// As [`compared`].
pub(super) fn typed_list(list: InList, schema: &DFSchema) -> Result<InList> {
    let field = list.expr.to_field(schema)?.1;
    let kind = Kind::of(&field);
    let typed = |item: Expr| -> Result<Expr> {
        let of = item.to_field(schema)?.1;
        match (kind, Kind::of(&of)) {
            (Kind::Null | Kind::Other, _) | (_, Kind::Null | Kind::Other) => Ok(item),
            (Kind::Text, Kind::Text) if compares_with_empty(&item, &field, &list.expr) => {
                Err(Refusal::new(format!("{} IN ('')", list.expr), NEVER_EMPTY).into())
            }
            (Kind::Text, Kind::Text) => Ok(item),
            (kind, Kind::Text) => literal_as(&item, kind, field.data_type()),
            (Kind::Float | Kind::Double, other) if other.is_number() => Ok(as_type(item, field.data_type())),
            (Kind::Timestamp(_), Kind::Timestamp(_)) => check_member((&list.expr, &field), &of).map(|()| item),
            _ => check_member((&list.expr, &field), &of).map(|()| item),
        }
    };
    let items = list.list.into_iter().map(typed).collect::<Result<_>>()?;
    Ok(InList { expr: list.expr, list: items, negated: list.negated })
}

/// A literal in another type at once, anything else by a cast.
pub(super) fn as_type(expr: Expr, data_type: &DataType) -> Expr {
    match &expr {
        Expr::Literal(value, _) => match value.cast_to(data_type) {
            Ok(value) => lit(value),
            Err(_) => cast(expr, data_type.clone()),
        },
        _ => cast(expr, data_type.clone()),
    }
}

/// `''` against a text of a dictionary, which has no empty texts.
fn compares_with_empty(literal: &Expr, other: &FieldRef, expr: &Expr) -> bool {
    let is_empty = matches!(literal, Expr::Literal(value, _) if value.try_as_str().flatten() == Some(""));
    let is_dictionary = other.is_nullable() && !keeps_empty(other);
    is_empty && is_dictionary && !matches!(expr, Expr::Literal(..))
}

/// Whether a text is of a column of ENCODING NONE.
pub(super) fn keeps_empty(field: &FieldRef) -> bool {
    field.metadata().get(ENCODING_KEY).is_some_and(|encoding| encoding == "none")
}

/// A text literal in the type of the other side.
fn literal_as(expr: &Expr, kind: Kind, data_type: &DataType) -> Result<Expr> {
    let spelling = match (kind, data_type) {
        (Kind::Boolean, _) => "BOOLEAN".to_owned(),
        (Kind::Date, _) => "DATE".to_owned(),
        (Kind::Time, _) => "TIME(0)".to_owned(),
        (Kind::Timestamp(unit), _) => format!("TIMESTAMP({})", digits(unit)),
        (Kind::Other, _) => return Ok(expr.clone()),
        _ => return Err(Refusal::new(expr, "texts and numbers are not compared: cast one").into()),
    };
    match expr {
        Expr::Literal(..) => cast_call(expr.clone(), &spelling),
        _ => Err(Refusal::new(
            expr,
            format!("a text that is no literal is not compared with another type: write TRY_CAST(... AS {spelling})"),
        )
        .into()),
    }
}
