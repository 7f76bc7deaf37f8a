//! The constant arguments of a call (rates, periods, confidence, method...): their types, allowed values and defaults.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use crate::metric::{Argument, Default as DefaultValue, Metric};

/// What an argument stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A column of values, of any numeric type, read as DOUBLE.
    Series,
    /// The time of each row, of any type, returned by the drawdown details.
    Time,
    /// An annual rate (risk-free rate, minimal acceptable return, threshold), greater than -1.
    Rate,
    /// Rows a year, greater than 0.
    PeriodsPerYear,
    /// Population form instead of the sample form.
    Population,
    /// Whether zero rows count in the divisor.
    CountZeros,
    /// Currency that the sum is divided by.
    Capital,
    /// Upper limit of a fraction, greater than 0.
    Cap,
    /// Confidence level or quantile, strictly between 0 and 1.
    Confidence,
    /// Name of an estimation method.
    Method,
}

/// Estimation methods of value at risk and expected shortfall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Historical,
    Parametric,
    CornishFisher,
}

/// Names of the estimation methods as written in SQL.
const METHODS: &[(&str, Method)] =
    &[("historical", Method::Historical), ("parametric", Method::Parametric), ("cornish_fisher", Method::CornishFisher)];

/// One billion: confidence levels are integers of this fraction, so that a whole rank is hit exactly.
pub(crate) const BILLION: u64 = 1_000_000_000;

/// The constant arguments of one call, defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Constants {
    /// Annual rate as written.
    pub(crate) annual_rate: f64,
    pub(crate) periods_per_year: f64,
    pub(crate) population: bool,
    pub(crate) count_zeros: bool,
    pub(crate) capital: f64,
    pub(crate) cap: Option<f64>,
    /// `1 - confidence` in billionths, 1 to 999,999,999.
    pub(crate) tail: u64,
    pub(crate) method: Method,
}

impl Constants {
    fn defaults(metric: &Metric) -> Self {
        let mut constants = Self {
            annual_rate: 0.0,
            periods_per_year: 1.0,
            population: false,
            count_zeros: false,
            capital: 1.0,
            cap: None,
            tail: 50_000_000,
            method: Method::Historical,
        };
        for argument in metric.arguments {
            let value = match argument.default {
                DefaultValue::Required | DefaultValue::Absent => continue,
                DefaultValue::Number(x) => ScalarValue::Float64(Some(x)),
                DefaultValue::Flag(x) => ScalarValue::Boolean(Some(x)),
                DefaultValue::Text(x) => ScalarValue::from(x),
            };
            let valid = constants.set(argument.role, &value);
            debug_assert!(valid, "default of {}({})", metric.name, argument.name);
        }
        constants
    }

    /// The rate of one period: `(1 + annual)^(1/P) - 1`, without loss of digits for small rates.
    pub(crate) fn period_rate(&self) -> f64 {
        (self.annual_rate.ln_1p() / self.periods_per_year).exp_m1()
    }

    /// The constants of a call given as logical expressions. `None` when a bound parameter is still open.
    ///
    /// # Errors
    /// A planning error naming function, argument and allowed values.
    pub(crate) fn of_call(metric: &Metric, args: &[Expr]) -> Result<Option<Self>> {
        metric.check_count(args.len())?;
        let mut constants = Self::defaults(metric);
        for (argument, expr) in metric.constant_arguments(args) {
            if expr.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))? {
                return Ok(None);
            }
            let Some(value) = folded(expr)? else {
                return not_constant(metric, argument, &expr.to_string());
            };
            constants.assign(metric, argument, &value)?;
        }
        Ok(Some(constants))
    }

    /// The constants of a call given as physical expressions.
    ///
    /// # Errors
    /// As [`Self::of_call`].
    pub(crate) fn of_physical(metric: &Metric, args: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        metric.check_count(args.len())?;
        let mut constants = Self::defaults(metric);
        for (argument, expr) in metric.constant_arguments(args) {
            if !collect_columns(expr).is_empty() {
                return not_constant(metric, argument, &expr.to_string());
            }
            let one_row = RecordBatchOptions::new().with_row_count(Some(1));
            let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
            let value = match expr.evaluate(&batch)? {
                ColumnarValue::Scalar(value) => value,
                ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
            };
            constants.assign(metric, argument, &value)?;
        }
        Ok(constants)
    }

    fn assign(&mut self, metric: &Metric, argument: &Argument, value: &ScalarValue) -> Result<()> {
        if self.set(argument.role, value) {
            return Ok(());
        }
        plan_err!(
            "{}: argument {} must be {}, got {value}; usage: {}",
            metric.name,
            argument.name,
            argument.role.allowed(),
            metric.signature()
        )
    }

    /// Takes `value` for `role`; false when it is not an allowed one.
    fn set(&mut self, role: Role, value: &ScalarValue) -> bool {
        let number = || number(value).filter(|x| x.is_finite());
        match role {
            Role::Series | Role::Time => return true,
            Role::Rate => number().filter(|&x| x > -1.0).map(|x| self.annual_rate = x),
            Role::PeriodsPerYear => number().filter(|&x| x > 0.0).map(|x| self.periods_per_year = x),
            Role::Capital => number().map(|x| self.capital = x),
            Role::Cap => number().filter(|&x| x > 0.0).map(|x| self.cap = Some(x)),
            Role::Confidence => number().and_then(tail_of).map(|x| self.tail = x),
            Role::Population => flag(value).map(|x| self.population = x),
            Role::CountZeros => flag(value).map(|x| self.count_zeros = x),
            Role::Method => method(value).map(|x| self.method = x),
        }
        .is_some()
    }
}

impl Role {
    /// The values allowed, for messages and help.
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Series => "a numeric column",
            Self::Time => "a date, timestamp or any other column",
            Self::Rate => "a constant annual rate greater than -1",
            Self::PeriodsPerYear => "a constant number of periods a year greater than 0",
            Self::Population | Self::CountZeros => "the constant true or false",
            Self::Capital => "a constant number",
            Self::Cap => "a constant number greater than 0",
            Self::Confidence => "a constant strictly between 0 and 1, of at most 9 decimals",
            Self::Method => "the constant 'historical', 'parametric' or 'cornish_fisher'",
        }
    }

    /// Whether it must be known at planning time.
    pub fn is_constant(self) -> bool {
        !matches!(self, Self::Series | Self::Time)
    }

    /// The type that an argument of type `given` is cast to; `None` when it cannot stand for this role.
    pub(crate) fn coerced(self, given: &DataType) -> Option<DataType> {
        let value_type = match given {
            DataType::Dictionary(_, value) => value.as_ref(),
            DataType::RunEndEncoded(_, value) => value.data_type(),
            other => other,
        };
        let open = value_type == &DataType::Null;
        let target = match self {
            Self::Time => return Some(given.clone()),
            Self::Population | Self::CountZeros => DataType::Boolean,
            Self::Method => DataType::Utf8,
            _ => DataType::Float64,
        };
        let fits = match target {
            DataType::Float64 => value_type.is_numeric(),
            DataType::Utf8 => matches!(value_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
            _ => value_type == &target,
        };
        (fits || open).then_some(target)
    }
}

impl Metric {
    /// # Errors
    /// A planning error when the number of arguments fits no form of the call.
    pub(crate) fn check_count(&self, given: usize) -> Result<()> {
        let least = self.arguments.iter().filter(|a| a.default == DefaultValue::Required).count();
        let most = self.arguments.len();
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        plan_err!("{} takes {expected} arguments, got {given}; usage: {}", self.name, self.signature())
    }

    fn constant_arguments<'a, T>(&'a self, args: &'a [T]) -> impl Iterator<Item = (&'a Argument, &'a T)> {
        self.arguments.iter().zip(args).filter(|(argument, _)| argument.role.is_constant())
    }
}

fn not_constant<T>(metric: &Metric, argument: &Argument, written: &str) -> Result<T> {
    plan_err!(
        "{}: argument {} must be {}, known before the query runs, got the expression {written}; usage: {}",
        metric.name,
        argument.name,
        argument.role.allowed(),
        metric.signature()
    )
}

/// The value of a constant expression; `None` when it is not constant.
fn folded(expr: &Expr) -> Result<Option<ScalarValue>> {
    if let Expr::Literal(value, _) = expr {
        return Ok(Some(value.clone()));
    }
    let needs_rows = |e: &Expr| {
        matches!(
            e,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
        )
    };
    if expr.exists(|e| Ok(needs_rows(e)))? {
        return Ok(None);
    }
    match ExprSimplifier::new(SimplifyContext::default()).simplify(expr.clone())?.unalias_nested().data {
        Expr::Literal(value, _) => Ok(Some(value)),
        _ => Ok(None),
    }
}

fn number(value: &ScalarValue) -> Option<f64> {
    let numeric = value.data_type().is_numeric();
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(x)) if numeric => x,
        _ => None,
    }
}

fn flag(value: &ScalarValue) -> Option<bool> {
    match value {
        ScalarValue::Boolean(x) => *x,
        _ => None,
    }
}

fn method(value: &ScalarValue) -> Option<Method> {
    let name = value.try_as_str().flatten()?;
    METHODS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, method)| method)
}

/// `1 - confidence` in billionths; `None` outside (0, 1).
fn tail_of(confidence: f64) -> Option<u64> {
    let tail = ((1.0 - confidence) * BILLION as f64).round();
    (confidence > 0.0 && confidence < 1.0 && tail >= 1.0 && tail < BILLION as f64).then_some(tail as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_is_an_integer_of_billionths() {
        assert_eq!(tail_of(0.95), Some(50_000_000));
        assert_eq!(tail_of(0.999_999_999), Some(1));
        assert_eq!(tail_of(1.0), None);
        assert_eq!(tail_of(0.0), None);
        assert_eq!(tail_of(f64::NAN), None);
    }

    #[test]
    fn method_names_ignore_case() {
        assert_eq!(method(&ScalarValue::from("Cornish_Fisher")), Some(Method::CornishFisher));
        assert_eq!(method(&ScalarValue::from("monte_carlo")), None);
    }

    #[test]
    fn text_does_not_pass_for_a_number() {
        assert_eq!(number(&ScalarValue::from("0.02")), None);
        assert_eq!(number(&ScalarValue::Int32(Some(3))), Some(3.0));
        assert_eq!(number(&ScalarValue::Float64(None)), None);
    }
}
