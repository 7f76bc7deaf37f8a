//! `x = ANY a`, `x < ALL a`: a value against the elements of an array, in HeavyDB's logic of two values.
//!
//! No comparison with an element that is NULL holds, and no element of a NULL array does. Where HeavyDB would compare the number that
//! stands for NULL, or an array without a length, the call fails.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, UInt64Array};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::lists::{Lists, element, list};
use super::operands::{arrays, shown};
use crate::functions::scalar::{ScalarFunction, expect_count, of_type, without_negative_zero};
use crate::planner::common_of;
use crate::refusal::Refusal;

/// `any_of('=', x, a)`.
pub(crate) const ANY_OF: ScalarFunction =
    ScalarFunction { name: "any_of", arguments: given_types, result: truth, evaluate: |call| compared(call, true) };

/// `all_of('=', x, a)`.
pub(crate) const ALL_OF: ScalarFunction =
    ScalarFunction { name: "all_of", arguments: given_types, result: truth, evaluate: |call| compared(call, false) };

fn given_types(given: &[DataType]) -> Result<Vec<DataType>> {
    expect_count("a comparison with ANY or ALL", given, 3..=3)?;
    let lists = list("ANY", 3, &given[2])?;
    Ok(vec![given[0].clone(), given[1].clone(), lists])
}

fn truth(call: &ReturnFieldArgs<'_>) -> Result<Field> {
    common_of("ANY", call.arg_fields[1].data_type(), &element(call.arg_fields[2].data_type()))?;
    of_type(DataType::Boolean)
}

fn compared(call: &ScalarFunctionArgs, any: bool) -> Result<ColumnarValue> {
    let (given, constant) = arrays(call)?;
    let lists = Lists::try_new(&given[2])?;
    let operator = cast(&given[0], &DataType::Utf8)?;
    let operator = operator.as_string::<i32>().iter().next().flatten().unwrap_or_default().to_owned();
    let common = common_of("ANY", given[1].data_type(), &lists.element)?;
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    for row in 0..given[1].len() {
        let Some((from, to)) = lists.bounds(row) else {
            if any {
                continue;
            }
            return Err(Refusal::new("ALL of a NULL array", "HeavyDB takes it as an array without elements or not, by its type").into());
        };
        if from < to && given[1].is_null(row) && !(any && operator == "=") {
            return Err(Refusal::new("NULL before ANY or ALL", "HeavyDB compares the number that stands for NULL").into());
        }
        rows.extend(std::iter::repeat_n(row as u64, to - from));
        places.extend((from..to).map(|at| at as u64));
    }
    let needles = without_negative_zero(&cast(&take(&given[1], &UInt64Array::from(rows.clone()), None)?, &common)?)?;
    let elements = without_negative_zero(&cast(&take(&lists.values, &UInt64Array::from(places), None)?, &common)?)?;
    let holds = match operator.as_str() {
        "=" => cmp::eq(&needles, &elements)?,
        "<>" => cmp::neq(&needles, &elements)?,
        "<" => cmp::lt(&needles, &elements)?,
        "<=" => cmp::lt_eq(&needles, &elements)?,
        ">" => cmp::gt(&needles, &elements)?,
        ">=" => cmp::gt_eq(&needles, &elements)?,
        other => return plan_err!("{other} is no comparison"),
    };
    let mut results = vec![!any; given[1].len()];
    for (at, row) in rows.into_iter().enumerate() {
        if (holds.is_valid(at) && holds.value(at)) == any {
            results[row as usize] = any;
        }
    }
    shown(Arc::new(BooleanArray::from(results)), constant)
}
