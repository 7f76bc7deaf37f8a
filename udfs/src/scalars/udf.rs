//! One implementation of DataFusion's scalar interface for the whole table.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::Scalar;
use crate::constants::check_known;
use crate::metric::Default;

/// An entry of [`super::SCALARS`] as a DataFusion function.
#[derive(Debug, Clone)]
pub struct ScalarFunction {
    scalar: &'static Scalar,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Arc<Documentation>,
}

impl ScalarFunction {
    /// The function of an entry.
    ///
    /// # Errors
    /// Argument names that DataFusion does not accept; a test excludes them for the table.
    pub fn try_new(scalar: &'static Scalar) -> Result<Self> {
        let names = scalar.arguments.iter().map(|argument| argument.name).collect();
        Ok(Self {
            scalar,
            aliases: scalar.aliases.iter().map(ToString::to_string).collect(),
            signature: Signature::new(TypeSignature::UserDefined, Volatility::Immutable).with_parameter_names(names)?,
            documentation: Arc::new(scalar.page().documentation()),
        })
    }

    /// The entry of the table.
    pub fn scalar(&self) -> &'static Scalar {
        self.scalar
    }

    /// The entry behind a DataFusion function, if it is one of ours.
    pub fn of(function: &ScalarUDF) -> Option<&Self> {
        let implementation: &dyn Any = function.inner().as_ref();
        implementation.downcast_ref()
    }
}

impl PartialEq for ScalarFunction {
    fn eq(&self, other: &Self) -> bool {
        self.scalar.name == other.scalar.name
    }
}

impl Eq for ScalarFunction {}

impl Hash for ScalarFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scalar.name.hash(state);
    }
}

/// What one argument holds in a batch.
enum Operand {
    Column(Float64Array),
    Constant(Option<f64>),
}

impl Operand {
    fn try_new(name: &str, value: &ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Float64(x)) => Ok(Self::Constant(*x)),
            ColumnarValue::Array(array) => match array.as_primitive_opt::<Float64Type>() {
                Some(column) => Ok(Self::Column(column.clone())),
                None => exec_err!("{name}: an argument is {}, not DOUBLE", array.data_type()),
            },
            ColumnarValue::Scalar(other) => exec_err!("{name}: an argument is {}, not DOUBLE", other.data_type()),
        }
    }

    fn at(&self, row: usize) -> Option<f64> {
        match self {
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Constant(x) => *x,
        }
    }
}

impl ScalarFunction {
    /// The arguments of a batch, the default of a missing one filled in.
    fn operands(&self, args: &[ColumnarValue]) -> Result<[Operand; 2]> {
        let operand = |i: usize| match (args.get(i), self.scalar.arguments.get(i).map(|argument| argument.default)) {
            (Some(given), _) => Operand::try_new(self.scalar.name, given),
            (None, Some(Default::Number(x))) => Ok(Operand::Constant(Some(x))),
            (None, _) => exec_err!("{}: argument {} is missing", self.scalar.name, i + 1),
        };
        Ok([operand(0)?, operand(1)?])
    }
}

impl ScalarUDFImpl for ScalarFunction {
    fn name(&self) -> &str {
        self.scalar.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_known(&self.scalar.page(), args.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.scalar.name, DataType::Float64, true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.scalar.page().coerced_types(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [first, second] = self.operands(&args.args)?;
        let result = |row: usize| Some((self.scalar.formula_of)(first.at(row)?, second.at(row)?)? + 0.0);
        if let (Operand::Constant(_), Operand::Constant(_)) = (&first, &second) {
            return Ok(ColumnarValue::Scalar(ScalarValue::Float64(result(0))));
        }
        Ok(ColumnarValue::Array(Arc::new((0..args.number_rows).map(result).collect::<Float64Array>())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
