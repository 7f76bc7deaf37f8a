//! One implementation of DataFusion's window function interface for the whole table of indicators.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use super::running::Running;
use super::{Indicator, Settings};
use crate::reference::Page;

/// An indicator of the table as a DataFusion window function.
#[derive(Debug, Clone)]
pub struct IndicatorUdwf {
    indicator: &'static Indicator,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Arc<Documentation>,
}

impl IndicatorUdwf {
    /// The function of an indicator.
    ///
    /// # Errors
    /// Argument names that DataFusion does not accept; a test excludes them for the table.
    pub fn try_new(indicator: &'static Indicator) -> Result<Self> {
        let names = indicator.arguments.iter().map(|argument| argument.name.to_owned()).collect();
        Ok(Self {
            indicator,
            aliases: indicator.aliases.iter().map(ToString::to_string).collect(),
            signature: Signature::new(TypeSignature::UserDefined, Volatility::Immutable).with_parameter_names(names)?,
            documentation: Arc::new(indicator.page().documentation()),
        })
    }

    /// The entry of the table.
    pub fn indicator(&self) -> &'static Indicator {
        self.indicator
    }

    /// The indicator behind a DataFusion function, if it is one of ours.
    pub fn of(function: &WindowUDF) -> Option<&Self> {
        let implementation: &dyn Any = function.inner().as_ref();
        implementation.downcast_ref()
    }

    /// The indicator at the start of a partition, for a call with these arguments.
    ///
    /// # Errors
    /// A planning error for constants outside their range.
    pub(crate) fn start(&self, args: &[Arc<dyn PhysicalExpr>]) -> Result<Box<dyn Running>> {
        Ok((self.indicator.start)(&Settings::of_physical(&self.indicator.page(), args)?))
    }
}

/// The error for `IGNORE NULLS` and `RESPECT NULLS`.
fn no_null_treatment<T>(indicator: &Indicator) -> Result<T> {
    let does = if indicator.name == "locf" { "it always carries values over NULLs" } else { "a NULL row gives NULL and changes nothing" };
    plan_err!("{} takes neither IGNORE NULLS nor RESPECT NULLS: {does}; usage: {}", indicator.name, indicator.signature())
}

/// The page of an indicator whose call is in order: checks the parts that DataFusion hands on but does not look at (`FILTER` it refuses by
/// itself).
///
/// # Errors
/// A planning error for constants outside their range, `DISTINCT`, and NULL treatment.
pub(crate) fn check_call(indicator: &Indicator, call: &WindowFunctionParams) -> Result<Page> {
    let page = indicator.page();
    Settings::check_call(&page, &call.args)?;
    if call.distinct {
        return page.no_distinct();
    }
    if call.null_treatment.is_some() { no_null_treatment(indicator) } else { Ok(page) }
}

impl PartialEq for IndicatorUdwf {
    fn eq(&self, other: &Self) -> bool {
        self.indicator.name == other.indicator.name
    }
}

impl Eq for IndicatorUdwf {}

impl Hash for IndicatorUdwf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.indicator.name.hash(state);
    }
}

impl WindowUDFImpl for IndicatorUdwf {
    fn name(&self) -> &str {
        self.indicator.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.indicator.page().coerced_types(arg_types)
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        // The constants are known, and need not become columns.
        args.input_exprs().iter().take(self.indicator.series()).cloned().collect()
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let given = args.get_input_field(0);
        let result = self.indicator.result_type(given.as_ref().map(|field| field.data_type()));
        Ok(Arc::new(Field::new(args.name(), result, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        if args.ignore_nulls() {
            return no_null_treatment(self.indicator);
        }
        Ok(Box::new(IndicatorEvaluator(self.start(args.input_exprs())?)))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        // No row depends on a later one.
        LimitEffect::None
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// An indicator in DataFusion's own window operators.
#[derive(Debug)]
struct IndicatorEvaluator(Box<dyn Running>);

impl PartitionEvaluator for IndicatorEvaluator {
    fn is_causal(&self) -> bool {
        true
    }

    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        self.0.row(values, range.start)
    }

    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let whole = 0..num_rows;
        self.0.batch(values, std::slice::from_ref(&whole))
    }
}
