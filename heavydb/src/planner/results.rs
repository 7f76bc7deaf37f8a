//! CASE, COALESCE and NULLIF: the one type of several results.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, lit, when};

use super::arithmetic::wider;
use super::comparisons::{as_type, compared, keeps_empty};
use super::kinds::Kind;
use super::moments::interval_of;
use super::operators::narrow_literal;
use crate::refusal::Refusal;
use crate::types::interval::IntervalKind;

/// A CASE, COALESCE or NULLIF whose results are of HeavyDB's common type.
///
/// # Errors
/// A [`Refusal`] where there is none.
pub(super) fn typed(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Case(case) => typed_case(case, schema),
        Expr::ScalarFunction(mut call) if call.func.name() == "coalesce" => {
            check_size(&call.args)?;
            let last = call.args.pop().map(Box::new);
            let branch = |result: Expr| (Box::new(result.clone().is_not_null()), Box::new(result));
            typed_case(Case { expr: None, when_then_expr: call.args.into_iter().map(branch).collect(), else_expr: last }, schema)
        }
        Expr::ScalarFunction(call) if call.func.name() == "nullif" => match <[Expr; 2]>::try_from(call.args) {
            Ok([value, other]) => {
                check_size(std::slice::from_ref(&value))?;
                let equal = compared(&value, Operator::Eq, &other, schema)?;
                typed(when(equal, lit(ScalarValue::Null)).otherwise(value)?, schema)
            }
            Err(args) => Err(Refusal::new(format!("NULLIF of {} arguments", args.len()), "it takes two").into()),
        },
        other => Ok(other),
    }
}

/// Parts of an argument of COALESCE or NULLIF, which is written twice: calls in one another double each time.
const MOST_PARTS: usize = 10_000;

fn check_size(arguments: &[Expr]) -> Result<()> {
    let mut parts = 0;
    for argument in arguments {
        argument.apply(|_| {
            parts += 1;
            Ok(if parts > MOST_PARTS { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
    }
    if parts > MOST_PARTS {
        let reason = "COALESCE or NULLIF stand in one another too often: give a part a name in a WITH";
        return Err(Refusal::new("so long an expression", reason).into());
    }
    Ok(())
}

fn typed_case(mut case: Case, schema: &DFSchema) -> Result<Expr> {
    let results: Vec<Expr> =
        case.when_then_expr.iter().map(|(_, result)| result).chain(&case.else_expr).map(|result| result.as_ref().clone()).collect();
    let target = Target::of(&results, schema)?;
    for (_, result) in &mut case.when_then_expr {
        **result = target.convert(std::mem::take(result.as_mut()), schema)?;
    }
    if let Some(result) = &mut case.else_expr {
        **result = target.convert(std::mem::take(result.as_mut()), schema)?;
    }
    target.mark(Expr::Case(case))
}

/// Columns of different inputs in their common type.
///
/// # Errors
/// A [`Refusal`] where there is none.
pub(super) fn common_type(results: &[(Expr, &DFSchema)]) -> Result<Vec<Expr>> {
    let fields: Vec<FieldRef> = results.iter().map(|(result, schema)| Ok(result.to_field(*schema)?.1)).collect::<Result<_>>()?;
    let shown: Vec<Expr> = results.iter().map(|(result, _)| result.clone()).collect();
    match Target::of_fields(&fields, &shown)? {
        // Both are kept as they are stored.
        Target::Text | Target::Interval(_) => Ok(shown),
        target => results.iter().map(|(result, schema)| target.convert(result.clone(), schema)).collect(),
    }
}

/// The common type.
enum Target {
    /// That of every result.
    Given,
    Text,
    Number(DataType),
    Interval(IntervalResult),
}

/// An interval as the result of a choice.
struct IntervalResult {
    kind: IntervalKind,
    /// Whether every result is of whole days.
    has_whole_days: bool,
}

impl Target {
    fn of(results: &[Expr], schema: &DFSchema) -> Result<Self> {
        let fields: Vec<FieldRef> = results.iter().map(|result| Ok(narrow_literal(result).to_field(schema)?.1)).collect::<Result<_>>()?;
        Self::of_fields(&fields, results)
    }

    fn of_fields(fields: &[FieldRef], results: &[Expr]) -> Result<Self> {
        let given: Vec<&FieldRef> = fields.iter().filter(|field| Kind::of(field) != Kind::Null).collect();
        let kinds: Vec<Kind> = given.iter().map(|field| Kind::of(field)).collect();
        let all = |test: &dyn Fn(Kind) -> bool| kinds.iter().all(|kind| test(*kind));
        let Some(first) = given.first() else { return Ok(Self::Given) };
        if all(&|kind| kind == Kind::Text) {
            return Ok(Self::Text);
        }
        if all(&|kind| kind == Kind::Interval) {
            let kind = IntervalKind::of(first).filter(|kind| given.iter().all(|field| IntervalKind::of(field) == Some(*kind)));
            let has_whole_days = given.iter().all(|field| IntervalKind::has_whole_days(field));
            return kind.map(|kind| Self::Interval(IntervalResult { kind, has_whole_days })).ok_or_else(|| refused(results));
        }
        if all(&Kind::is_number) {
            return Ok(Self::Number(number(&given)));
        }
        if given.iter().all(|field| field.data_type() == first.data_type()) && !kinds.contains(&Kind::Interval) {
            return Ok(Self::Given);
        }
        if kinds.contains(&Kind::Other) { Ok(Self::Given) } else { Err(refused(results)) }
    }

    fn convert(&self, result: Expr, schema: &DFSchema) -> Result<Expr> {
        let field = result.to_field(schema)?.1;
        match self {
            _ if Kind::of(&field) == Kind::Null => Ok(result),
            Self::Given | Self::Interval(_) => Ok(result),
            // An empty text has no place in the dictionary of the results.
            Self::Text => match &result {
                Expr::Literal(value, _) if value.try_as_str().flatten() == Some("") => Ok(lit(ScalarValue::Utf8(None))),
                _ if keeps_empty(&field) => {
                    let empty = result.clone().eq(lit(""));
                    Ok(when(empty, lit(ScalarValue::Null)).otherwise(result)?)
                }
                _ => Ok(result),
            },
            Self::Number(data_type) if field.data_type() == data_type => Ok(result),
            Self::Number(data_type) => Ok(as_type(result, data_type)),
        }
    }

    /// The results, told to be an interval where they are.
    fn mark(&self, expr: Expr) -> Result<Expr> {
        match self {
            Self::Interval(interval) => interval_of(interval.kind, interval.has_whole_days, expr),
            _ => Ok(expr),
        }
    }
}

fn refused(results: &[Expr]) -> datafusion::common::DataFusionError {
    let shown: Vec<String> = results.iter().map(ToString::to_string).collect();
    Refusal::new(shown.join(", "), "results of one CASE are of one type in HeavyDB: cast them").into()
}

/// The type in which two sides of a comparison meet.
///
/// # Errors
/// A [`Refusal`] where there is none.
pub(crate) fn common_of(construct: &str, left: &DataType, right: &DataType) -> Result<DataType> {
    let fields = [left, right].map(|data_type| FieldRef::new(Field::new("", data_type.clone(), true)));
    match (Kind::of_type(left), Kind::of_type(right)) {
        (Kind::Null, _) => Ok(right.clone()),
        (_, Kind::Null) => Ok(left.clone()),
        (Kind::Text, Kind::Text) => Ok(DataType::Utf8View),
        (a, b) if a.is_number() && b.is_number() => Ok(number(&fields.iter().collect::<Vec<_>>())),
        _ if left == right => Ok(left.clone()),
        _ => {
            Err(Refusal::new(construct, format!("its sides are {left} and {right}, between which HeavyDB does not cast: cast one")).into())
        }
    }
}

/// The type in which numbers meet.
fn number(fields: &[&FieldRef]) -> DataType {
    let has = |kind: Kind| fields.iter().any(|field| Kind::of(field) == kind);
    if has(Kind::Double) {
        return DataType::Float64;
    }
    if has(Kind::Float) {
        return DataType::Float32;
    }
    let types = || fields.iter().map(|field| field.data_type());
    if !has(Kind::Decimal) {
        return types().cloned().reduce(|left, right| wider(&left, &right)).unwrap_or(DataType::Int64);
    }
    let parts = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), *scale)
        }
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        _ => (19, 0),
    };
    let whole = types().map(|data_type| parts(data_type).0).max().unwrap_or(0);
    let scale = types().map(|data_type| parts(data_type).1).max().unwrap_or(0);
    DataType::Decimal128(u8::try_from(whole + i16::from(scale)).unwrap_or(18).min(18), scale)
}
