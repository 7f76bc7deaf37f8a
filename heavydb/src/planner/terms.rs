//! Long sums of doubles, as portfolios of many strategies write them.
//!
//! `a + b + c + ...` is a tree as deep as it has terms, and at every level DataFusion asks for the type and the name of all below: planning
//! takes a time quadratic in the terms. One call with all of them takes a linear one. The terms are added from left to right, as written.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{BinaryExpr, ColumnarValue, Expr, Operator, ScalarFunctionArgs, binary_expr};

use crate::functions::scalar::{ScalarFunction, of_type};

/// Terms from which a sum is one call.
const MANY_TERMS: usize = 4;

/// The sum of doubles from left to right; NULL where one of them is.
pub(super) const SUM_OF_TERMS: ScalarFunction = ScalarFunction {
    name: "sum_of_terms",
    arguments: |types| Ok(vec![DataType::Float64; types.len()]),
    result: |_| of_type(DataType::Float64),
    evaluate: sum_of_terms,
};

/// Whether an expression is a long sum of doubles: its type is known without a look at its terms.
pub(super) fn is_long_sum(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == SUM_OF_TERMS.name)
}

/// `left + right` of two doubles.
pub(super) fn added(left: Expr, right: Expr) -> Expr {
    match left {
        Expr::ScalarFunction(mut call) if call.name() == SUM_OF_TERMS.name => {
            call.args.push(right);
            Expr::ScalarFunction(call)
        }
        left if is_chain(&left, MANY_TERMS - 1) => {
            let mut terms = vec![right];
            let mut rest = left;
            while let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) = rest {
                terms.push(*right);
                rest = *left;
            }
            terms.push(rest);
            terms.reverse();
            SUM_OF_TERMS.udf().call(terms)
        }
        left => binary_expr(left, Operator::Plus, right),
    }
}

/// Whether an expression is a sum of at least so many terms.
fn is_chain(expr: &Expr, terms: usize) -> bool {
    match expr {
        _ if terms == 1 => true,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, .. }) => is_chain(left, terms - 1),
        _ => false,
    }
}

fn sum_of_terms(call: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let rows = if call.args.iter().all(|term| matches!(term, ColumnarValue::Scalar(_))) { 1 } else { call.number_rows };
    let mut sums: Option<Vec<f64>> = None;
    let mut nulls: Option<NullBuffer> = None;
    for term in &call.args {
        match term {
            ColumnarValue::Array(array) => {
                let terms = array.as_primitive::<Float64Type>();
                nulls = NullBuffer::union(nulls.as_ref(), terms.nulls());
                match &mut sums {
                    Some(sums) => sums.iter_mut().zip(terms.values()).for_each(|(sum, term)| *sum += term),
                    None => sums = Some(terms.values().to_vec()),
                }
            }
            ColumnarValue::Scalar(ScalarValue::Float64(Some(term))) => match &mut sums {
                Some(sums) => sums.iter_mut().for_each(|sum| *sum += term),
                None => sums = Some(vec![*term; rows]),
            },
            ColumnarValue::Scalar(null) if null.is_null() => return Ok(ColumnarValue::Scalar(ScalarValue::Float64(None))),
            ColumnarValue::Scalar(other) => return internal_err!("a term is {}", other.data_type()),
        }
    }
    let array = Float64Array::try_new(sums.unwrap_or_default().into(), nulls)?;
    if rows == 1 && call.number_rows != 1 {
        return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
    }
    Ok(ColumnarValue::Array(Arc::new(array)))
}
