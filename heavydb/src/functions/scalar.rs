//! One implementation of DataFusion's interface for functions of one row: a function is a name and three function pointers.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A function of one row, as constant data.
///
/// ```
/// # use datafusion::arrow::datatypes::DataType;
/// # use datafusion_heavydb::functions::scalar::{ScalarFunction, expect_count, of_type};
/// const SECOND: ScalarFunction = ScalarFunction {
///     name: "second_of",
///     arguments: |types| expect_count("second_of", types, 2..=2).map(|()| types.to_vec()),
///     result: |call| of_type(call.arg_fields[1].data_type().clone()),
///     evaluate: |call| Ok(call.args[1].clone()),
/// };
/// assert_eq!(SECOND.udf().name(), "second_of");
/// assert!(SECOND.udf().coerce_types(&[DataType::Int64]).is_err());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct ScalarFunction {
    /// The name in a session: HeavyDB's, in lower case. Two functions of one name are taken to be the same.
    pub name: &'static str,
    /// The types to which the arguments are cast, one for each given type; refuses a wrong count or a wrong type.
    pub arguments: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// Type and metadata of the result from the cast arguments, of which the constant ones are known: where a literal is demanded,
    /// or where it decides the type, it is read here. See [`of_type`].
    pub result: fn(&ReturnFieldArgs<'_>) -> Result<Field>,
    /// The values of a batch. A result of constants alone should be a constant.
    pub evaluate: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>,
}

impl ScalarFunction {
    /// The function as a session registers it.
    pub fn udf(self) -> Arc<ScalarUDF> {
        let signature = Signature::new(TypeSignature::UserDefined, Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Registered { function: self, signature }))
    }
}

/// A result of this type: nullable, without metadata.
///
/// # Errors
/// None; the form fits [`ScalarFunction::result`].
pub fn of_type(data_type: DataType) -> Result<Field> {
    Ok(Field::new("", data_type, true))
}

/// Checks the number of arguments.
///
/// # Errors
/// Another number than `counts` allows.
pub fn expect_count(name: &str, types: &[DataType], counts: RangeInclusive<usize>) -> Result<()> {
    let given = types.len();
    if counts.contains(&given) {
        return Ok(());
    }
    let name = name.to_ascii_uppercase();
    match (counts.start(), counts.end()) {
        (least, most) if least == most => plan_err!("{name} takes {most} arguments, given are {given}"),
        (least, most) => plan_err!("{name} takes {least} to {most} arguments, given are {given}"),
    }
}

/// An entry behind DataFusion's interface.
#[derive(Debug)]
struct Registered {
    function: ScalarFunction,
    signature: Signature,
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Registered {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("{}: the type of the result is known from fields alone", self.function.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new((self.function.result)(&args)?.with_name(self.function.name)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        (self.function.arguments)(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = (self.function.evaluate)(&args)?;
        if let ColumnarValue::Array(array) = &result
            && array.len() != args.number_rows
        {
            return exec_err!("{}: {} values for {} rows", self.function.name, array.len(), args.number_rows);
        }
        Ok(result)
    }
}

/// Numbers without -0, which the kernels of comparison tell from 0.
///
/// # Errors
/// Arrow's.
pub(crate) fn without_negative_zero(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::Float32 => numeric::add(values, &Float32Array::new_scalar(0.0))?,
        DataType::Float64 => numeric::add(values, &Float64Array::new_scalar(0.0))?,
        _ => Arc::clone(values),
    })
}
