//! Calls of functions in tests: results as text, NULL as `NULL`, an error as its message.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::functions::scalar::ScalarFunction;

pub(in crate::functions) fn text(text: &str) -> ScalarValue {
    ScalarValue::from(text)
}

pub(in crate::functions) fn integer(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

/// The value of a call with constants.
pub(in crate::functions) fn constant(function: ScalarFunction, args: &[ScalarValue]) -> String {
    let given = args.iter().cloned().map(ColumnarValue::Scalar).collect();
    call(&function.udf(), given, 1).map_or_else(|error| error.to_string(), |values| values.join(" "))
}

/// The values of a call with a column of texts, and constants behind it.
pub(in crate::functions) fn row(function: ScalarFunction, column: &[Option<&str>], constants: &[ScalarValue]) -> Vec<String> {
    columns(function, &[Arc::new(StringArray::from(column.to_vec()))], constants).unwrap()
}

/// The values of a call with columns, and constants behind them.
pub(in crate::functions) fn columns(function: ScalarFunction, columns: &[ArrayRef], constants: &[ScalarValue]) -> Result<Vec<String>> {
    let rows = columns[0].len();
    let columns = columns.iter().cloned().map(ColumnarValue::Array);
    call(&function.udf(), columns.chain(constants.iter().cloned().map(ColumnarValue::Scalar)).collect(), rows)
}

/// The values of calls with NULLs alone, one for each number of arguments that the function takes.
pub(in crate::functions) fn nulls(udf: &ScalarUDF) -> Vec<String> {
    let counts = (1..8).filter(|count| udf.coerce_types(&vec![DataType::Null; *count]).is_ok());
    counts.flat_map(|count| call(udf, vec![ColumnarValue::Scalar(ScalarValue::Null); count], 1).unwrap()).collect()
}

fn call(udf: &ScalarUDF, given: Vec<ColumnarValue>, number_rows: usize) -> Result<Vec<String>> {
    let types: Vec<DataType> = given.iter().map(ColumnarValue::data_type).collect();
    let casts = udf.coerce_types(&types)?;
    let args: Vec<ColumnarValue> = given.iter().zip(&casts).map(|(value, wanted)| value.cast_to(wanted, None)).collect::<Result<_>>()?;
    let arg_fields: Vec<FieldRef> = casts.iter().map(|wanted| Arc::new(Field::new("x", wanted.clone(), true))).collect();
    let literals: Vec<Option<&ScalarValue>> = args.iter().map(scalar).collect();
    let return_field = udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &literals })?;
    let promised = return_field.data_type().clone();
    let config_options = Arc::new(ConfigOptions::new());
    let result = udf.invoke_with_args(ScalarFunctionArgs { args: args.clone(), arg_fields, number_rows, return_field, config_options })?;
    assert_eq!(result.data_type(), promised, "{} promised another type", udf.name());
    shown(&result.into_array(number_rows)?)
}

fn scalar(value: &ColumnarValue) -> Option<&ScalarValue> {
    match value {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(_) => None,
    }
}

fn shown(array: &ArrayRef) -> Result<Vec<String>> {
    let lists = matches!(array.data_type(), DataType::List(_));
    let texts = if lists { Arc::clone(array) } else { cast(array, &DataType::Utf8)? };
    let shown = |row| match texts.is_null(row) {
        true => Ok("NULL".to_string()),
        false => Ok(ScalarValue::try_from_array(&texts, row)?.to_string()),
    };
    (0..array.len()).map(shown).collect()
}
