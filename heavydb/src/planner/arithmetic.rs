//! `+ - * / %` of numbers: whole numbers and decimals never wrap, and nothing is divided by zero.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, Decimal128Array, Scalar};
use datafusion::arrow::compute::kernels::{cmp, numeric};
use datafusion::arrow::compute::{nullif, try_binary};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field};
use datafusion::arrow::error::ArrowError;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs};

use crate::functions::scalar::{ScalarFunction, of_type, without_negative_zero};
use crate::refusal::Refusal;

/// Digits of the largest decimal.
const MOST_DIGITS: u8 = 18;
/// The first number of more digits.
const TOO_LARGE: i128 = 10_i128.pow(MOST_DIGITS as u32);

pub(super) const ADD: ScalarFunction = operator("add", larger_scale, |args| checked(args, numeric::add, decimal_sum::<1>));
pub(super) const SUBTRACT: ScalarFunction = operator("subtract", larger_scale, |args| checked(args, numeric::sub, decimal_sum::<-1>));
pub(super) const MULTIPLY: ScalarFunction = operator("multiply", sum_of_scales, |args| checked(args, numeric::mul, decimal_product));
pub(super) const DIVIDE: ScalarFunction = operator("divide", larger_scale, |args| divided(args, true, numeric::div));
pub(super) const MODULO: ScalarFunction = operator("modulo", larger_scale, |args| divided(args, true, numeric::rem));
/// As [`DIVIDE`], NULL where the divisor is zero.
pub(super) const DIVIDE_OR_NULL: ScalarFunction = operator("divide_or_null", larger_scale, |args| divided(args, false, numeric::div));
/// As [`MODULO`], NULL where the divisor is zero.
pub(super) const MODULO_OR_NULL: ScalarFunction = operator("modulo_or_null", larger_scale, |args| divided(args, false, numeric::rem));

/// As [`DIVIDE`], for the rows alone where a third argument is true; NULL in the others.
pub(super) const DIVIDE_WHERE: ScalarFunction = guarded("divide_where", |args| divided(args, true, numeric::div));
/// As [`MODULO`], for the rows alone where a third argument is true; NULL in the others.
pub(super) const MODULO_WHERE: ScalarFunction = guarded("modulo_where", |args| divided(args, true, numeric::rem));

/// A checked operation on two columns of one type.
type Native = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;
/// An operation on the unscaled values of two decimals with the scales of both; the result has that of [`larger_scale`] or
/// [`sum_of_scales`].
type Decimal = fn(i128, i128, (i8, i8)) -> Option<i128>;

const fn operator(
    name: &'static str,
    result: fn(&ReturnFieldArgs<'_>) -> Result<Field>,
    evaluate: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
) -> ScalarFunction {
    ScalarFunction { name, arguments: same_type, result, evaluate }
}

const fn guarded(name: &'static str, evaluate: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>) -> ScalarFunction {
    ScalarFunction { name, arguments: same_type_and_guard, result: larger_scale, evaluate }
}

fn same_type_and_guard(types: &[DataType]) -> Result<Vec<DataType>> {
    let [sides @ .., _] = types else { return plan_err!("a guarded division has three arguments") };
    Ok(same_type(sides)?.into_iter().chain([DataType::Boolean]).collect())
}

/// Both sides in one type; decimals keep their scales.
fn same_type(types: &[DataType]) -> Result<Vec<DataType>> {
    let [left, right] = types else { return plan_err!("an operator has two sides, not {}", types.len()) };
    let of_whole = |other: &DataType| match other {
        DataType::Decimal128(..) => other.clone(),
        _ => DataType::Decimal128(19, 0),
    };
    let common = match (left, right) {
        (DataType::Null, DataType::Null) => DataType::Int64,
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Decimal128(..), _) | (_, DataType::Decimal128(..)) => return Ok(vec![of_whole(left), of_whole(right)]),
        (left, right) if left == right => left.clone(),
        (left, right) if left.is_integer() && right.is_integer() => wider(left, right),
        _ => return plan_err!("no common type of {left} and {right}"),
    };
    Ok(vec![common.clone(), common])
}

/// The wider of two types of whole numbers.
pub(super) fn wider(left: &DataType, right: &DataType) -> DataType {
    let bytes = |data_type: &DataType| data_type.primitive_width().unwrap_or(8);
    match bytes(left).max(bytes(right)) {
        1 => DataType::Int8,
        2 => DataType::Int16,
        4 => DataType::Int32,
        _ => DataType::Int64,
    }
}

fn larger_scale(args: &ReturnFieldArgs<'_>) -> Result<Field> {
    decimal_type(args, |left, right| left.max(right))
}

fn sum_of_scales(args: &ReturnFieldArgs<'_>) -> Result<Field> {
    decimal_type(args, |left, right| left + right)
}

fn decimal_type(args: &ReturnFieldArgs<'_>, scale: fn(i8, i8) -> i8) -> Result<Field> {
    match (args.arg_fields[0].data_type(), args.arg_fields[1].data_type()) {
        (DataType::Decimal128(_, left), DataType::Decimal128(_, right)) => {
            let scale = scale(*left, *right);
            if scale > MOST_DIGITS as i8 {
                return Err(Refusal::new(format!("a decimal of {scale} decimals"), "HeavyDB's decimals have at most 18 digits").into());
            }
            of_type(DataType::Decimal128(MOST_DIGITS, scale))
        }
        (other, _) => of_type(other.clone()),
    }
}

/// Arguments as arrow's kernels take them: a constant stays one.
fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(Scalar::new(scalar.to_array()?)),
    })
}

/// The result as a constant where both sides were constants.
fn shaped(args: &ScalarFunctionArgs, result: &ArrayRef) -> Result<ColumnarValue> {
    if args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_))) {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(result, 0)?));
    }
    Ok(ColumnarValue::Array(Arc::clone(result)))
}

fn checked(args: &ScalarFunctionArgs, native: Native, decimal: Decimal) -> Result<ColumnarValue> {
    if matches!(args.return_field.data_type(), DataType::Decimal128(..)) {
        return shaped(args, &decimals(args, decimal)?);
    }
    let result = native(&*datum(&args.args[0])?, &*datum(&args.args[1])?).map_err(overflow)?;
    shaped(args, &result)
}

/// The value of one side is too large for the type.
fn overflow(error: ArrowError) -> datafusion::error::DataFusionError {
    match error {
        ArrowError::ArithmeticOverflow(_) => datafusion::error::DataFusionError::Execution("overflow or underflow".into()),
        other => other.into(),
    }
}

fn decimals(args: &ScalarFunctionArgs, apply: Decimal) -> Result<ArrayRef> {
    let rows = if args.args.iter().any(|value| matches!(value, ColumnarValue::Array(_))) { args.number_rows } else { 1 };
    let left = args.args[0].to_array(rows)?;
    let right = args.args[1].to_array(rows)?;
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let scales = (left.scale(), right.scale());
    let too_large = || ArrowError::ComputeError("overflow or underflow: a DECIMAL of more than 18 digits".into());
    let result: Decimal128Array =
        try_binary(left, right, |left, right| apply(left, right, scales).filter(|value| value.abs() < TOO_LARGE).ok_or_else(too_large))?;
    Ok(Arc::new(result.with_data_type(args.return_field.data_type().clone())))
}

fn power_of_ten(exponent: i8) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn decimal_sum<const SIGN: i128>(left: i128, right: i128, (left_scale, right_scale): (i8, i8)) -> Option<i128> {
    let scale = left_scale.max(right_scale);
    let left = left.checked_mul(power_of_ten(scale - left_scale)?)?;
    let right = right.checked_mul(power_of_ten(scale - right_scale)?)?;
    left.checked_add(right.checked_mul(SIGN)?)
}

fn decimal_product(left: i128, right: i128, _: (i8, i8)) -> Option<i128> {
    left.checked_mul(right)
}

/// The quotient in the larger of both scales, cut off.
fn decimal_quotient(left: i128, right: i128, (left_scale, right_scale): (i8, i8)) -> Option<i128> {
    let exponent = left_scale.max(right_scale) + right_scale - left_scale;
    left.checked_mul(power_of_ten(exponent)?)?.checked_div(right)
}

fn divided(args: &ScalarFunctionArgs, zero_fails: bool, native: Native) -> Result<ColumnarValue> {
    let mut args = args.clone();
    if let Some(guard) = args.args.get(2) {
        // Where the guard is not true there is no divisor.
        let rows = if args.args[1..].iter().any(|value| matches!(value, ColumnarValue::Array(_))) { args.number_rows } else { 1 };
        let skipped: BooleanArray = guard.to_array(rows)?.as_boolean().iter().map(|guard| Some(guard != Some(true))).collect();
        let divisor = nullif(&args.args[1].to_array(rows)?, &skipped)?;
        let is_constant = !matches!(args.args[1], ColumnarValue::Array(_)) && !matches!(guard, ColumnarValue::Array(_));
        args.args[1] = match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&divisor, 0)?),
            false => ColumnarValue::Array(divisor),
        };
        args.args.truncate(2);
    }
    let divisor = args.args[1].to_array(1)?;
    let zero = Scalar::new(ScalarValue::new_zero(divisor.data_type())?.to_array()?);
    let zeros: BooleanArray = cmp::eq(&without_negative_zero(&divisor)?, &zero)?;
    if zeros.true_count() > 0 {
        if zero_fails {
            return exec_err!("division by zero");
        }
        let divisor = nullif(&divisor, &zeros)?;
        args.args[1] = match &args.args[1] {
            ColumnarValue::Array(_) => ColumnarValue::Array(divisor),
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&divisor, 0)?),
        };
    }
    checked(&args, native, decimal_quotient)
}

/// Whether a quotient of decimals is no quotient of constants, or one that comes out even in the larger scale: HeavyDB computes constants
/// before it knows how many digits to keep.
pub(super) fn is_sure_quotient(left: &Expr, right: &Expr) -> bool {
    if !(is_constant(left) && is_constant(right)) {
        return true;
    }
    let (Some((left, left_scale)), Some((right, right_scale))) = (constant(left), constant(right)) else { return false };
    let exponent = left_scale.max(right_scale) + right_scale - left_scale;
    let scaled = power_of_ten(exponent).and_then(|power| left.checked_mul(power));
    // By zero the division itself says so.
    scaled.is_some_and(|scaled| right == 0 || scaled % right == 0)
}

/// Whether an expression has the same value in every row.
fn is_constant(expr: &Expr) -> bool {
    let varies =
        |part: &Expr| Ok(!matches!(part, Expr::Literal(..) | Expr::Negative(_) | Expr::Cast(_) | Expr::ScalarFunction(_) | Expr::Case(_)));
    !expr.exists(varies).unwrap_or(true)
}

/// The value of an exact constant and its scale.
fn constant(expr: &Expr) -> Option<(i128, i8)> {
    match expr {
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some((i128::from(*value), 0)),
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => Some((i128::from(*value), 0)),
        Expr::Literal(ScalarValue::Decimal128(Some(value), _, scale), _) => Some((*value, *scale)),
        Expr::Negative(inner) => constant(inner).map(|(value, scale)| (-value, scale)),
        Expr::ScalarFunction(call) => {
            let [left, right] = call.args.as_slice() else { return None };
            let ((left, left_scale), (right, right_scale)) = (constant(left)?, constant(right)?);
            let (scales, larger) = ((left_scale, right_scale), left_scale.max(right_scale));
            match call.func.name() {
                name if name == ADD.name => Some((decimal_sum::<1>(left, right, scales)?, larger)),
                name if name == SUBTRACT.name => Some((decimal_sum::<-1>(left, right, scales)?, larger)),
                name if name == MULTIPLY.name => Some((left.checked_mul(right)?, left_scale + right_scale)),
                name if name == DIVIDE.name => Some((decimal_quotient(left, right, scales)?, larger)),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_of_decimals_are_cut_to_the_larger_scale() {
        // 111.10 / 3, 7 / 4.0, 1.0 / 3.00, -7.5 / 2
        assert_eq!(decimal_quotient(11110, 3, (2, 0)), Some(3703));
        assert_eq!(decimal_quotient(7, 40, (0, 1)), Some(17));
        assert_eq!(decimal_quotient(10, 300, (1, 2)), Some(33));
        assert_eq!(decimal_quotient(-75, 2, (1, 0)), Some(-37));
    }

    #[test]
    fn sums_of_decimals_have_the_larger_scale() {
        assert_eq!(decimal_sum::<1>(15, 225, (1, 2)), Some(375));
        assert_eq!(decimal_sum::<-1>(15, 225, (1, 2)), Some(-75));
        assert_eq!(decimal_sum::<1>(i128::MAX, 1, (0, 0)), None);
    }
}
