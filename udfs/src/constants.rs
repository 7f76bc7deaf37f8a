//! The constant arguments of a call (rates, periods, confidence, method...): their types, allowed values and defaults.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::RecordBatchOptions;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;

use crate::metric::{Argument, Default as DefaultValue};
use crate::metrics::{resampled, statistic};
use crate::reference::Page;
use crate::usage::Given;

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
    /// The same where it may differ from row to row.
    PeriodsOfRow,
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
    /// Dates or timestamps.
    Dates,
    /// Name of the metric that a bootstrap resamples.
    Statistic,
    /// Number of resamples of a bootstrap.
    Resamples,
    /// Seed of a random generator.
    RandomSeed,
    /// A column of any type.
    AnySeries,
    /// Number of rows that an indicator looks back over, at least 1.
    Length,
    /// Number of rows of the faster of two averages, below that of the slower.
    FastLength,
    /// Number of rows of the slower of two averages.
    SlowLength,
    /// Number of rows of the average of an average.
    SignalLength,
    /// Number of deviations, not negative.
    Deviations,
    /// What is taken from the number of rows in the divisor of a variance, below that number.
    DegreesOfFreedom,
    /// What a recursive average starts from.
    Seed,
    /// How gains and losses are averaged.
    RsiMethod,
    /// How true ranges are averaged.
    AtrMethod,
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
    /// Name of the metric that is resampled.
    pub(crate) statistic: Option<&'static str>,
    pub(crate) resamples: usize,
    pub(crate) seed: u64,
}

impl Constants {
    /// What a call without optional arguments has.
    pub(crate) fn defaults(page: &Page) -> Self {
        let mut constants = Self {
            annual_rate: 0.0,
            periods_per_year: 1.0,
            population: false,
            count_zeros: false,
            capital: 1.0,
            cap: None,
            tail: 50_000_000,
            method: Method::Historical,
            statistic: None,
            resamples: 1000,
            seed: 0,
        };
        for (argument, value) in page.defaults() {
            let valid = constants.set(argument.role, &value);
            debug_assert!(valid, "default of {}({})", page.name, argument.name);
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
    pub(crate) fn of_call(page: &Page, args: &[Expr]) -> Result<Option<Self>> {
        page.constants_of_call(args)?.map(|given| Self::assigned(page, given)).transpose()
    }

    /// The constants of a call given as physical expressions.
    ///
    /// # Errors
    /// As [`Self::of_call`].
    pub(crate) fn of_physical(page: &Page, args: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        Self::assigned(page, page.constants_of_physical(args)?)
    }

    fn assigned(page: &Page, given: Given) -> Result<Self> {
        let mut constants = Self::defaults(page);
        for (argument, value) in given {
            constants.assign(page, argument, &value)?;
        }
        Ok(constants)
    }

    fn assign(&mut self, page: &Page, argument: &Argument, value: &ScalarValue) -> Result<()> {
        if self.set(argument.role, value) { Ok(()) } else { page.not_allowed(argument, value) }
    }

    /// Takes `value` for `role`; false when it is not an allowed one.
    fn set(&mut self, role: Role, value: &ScalarValue) -> bool {
        let number = || number(value).filter(|x| x.is_finite());
        match role {
            Role::Series | Role::Time | Role::Dates => return true,
            // Arguments of indicators, see `indicators::Settings`.
            Role::AnySeries
            | Role::Length
            | Role::FastLength
            | Role::SlowLength
            | Role::SignalLength
            | Role::Deviations
            | Role::DegreesOfFreedom
            | Role::Seed
            | Role::RsiMethod
            | Role::AtrMethod => return false,
            Role::Rate => number().filter(|&x| x > -1.0).map(|x| self.annual_rate = x),
            Role::PeriodsPerYear | Role::PeriodsOfRow => number().filter(|&x| x > 0.0).map(|x| self.periods_per_year = x),
            Role::Capital => number().map(|x| self.capital = x),
            Role::Cap => number().filter(|&x| x > 0.0).map(|x| self.cap = Some(x)),
            Role::Confidence => number().and_then(tail_of).map(|x| self.tail = x),
            Role::Population => flag(value).map(|x| self.population = x),
            Role::CountZeros => flag(value).map(|x| self.count_zeros = x),
            Role::Method => method(value).map(|x| self.method = x),
            Role::Statistic => text(value).and_then(statistic).map(|x| self.statistic = Some(x.name)),
            Role::Resamples => number().and_then(resamples_of).map(|x| self.resamples = x),
            Role::RandomSeed => number().and_then(seed_of).map(|x| self.seed = x),
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
            Self::PeriodsOfRow => "a number of periods a year greater than 0",
            Self::Population | Self::CountZeros => "the constant true or false",
            Self::Capital => "a constant number",
            Self::Cap => "a constant number greater than 0",
            Self::Confidence => "a constant strictly between 0 and 1, of at most 9 decimals",
            Self::Method => "the constant 'historical', 'parametric' or 'cornish_fisher'",
            Self::Dates => "a column of dates or timestamps (text: CAST(... AS DATE) or AS TIMESTAMP)",
            Self::Statistic => &STATISTICS,
            Self::Resamples => "a constant whole number from 100 to 1000000",
            Self::RandomSeed => "a constant whole number",
            Self::AnySeries => "a column of any type",
            Self::Length | Self::SlowLength | Self::SignalLength => "a constant whole number of rows, at least 1",
            Self::FastLength => "a constant whole number of rows, at least 1 and less than slow",
            Self::Deviations => "a constant number, not negative",
            Self::DegreesOfFreedom => "a constant whole number, not negative and less than n",
            Self::Seed => "the constant 'sma' or 'first'",
            Self::RsiMethod => "the constant 'wilder' or 'cutler'",
            Self::AtrMethod => "the constant 'wilder' or 'simple'",
        }
    }

    /// Whether it must be known at planning time.
    pub fn is_constant(self) -> bool {
        !matches!(self, Self::Series | Self::AnySeries | Self::Time | Self::Dates | Self::PeriodsOfRow)
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
            Self::AnySeries if matches!(given, DataType::RunEndEncoded(..)) => return Some(value_type.clone()),
            Self::AnySeries => return Some(given.clone()),
            Self::Dates if open => return Some(DataType::Date32),
            Self::Dates => return is_instant(value_type).then(|| value_type.clone()),
            Self::Population | Self::CountZeros => DataType::Boolean,
            Self::Method | Self::Statistic | Self::Seed | Self::RsiMethod | Self::AtrMethod => DataType::Utf8,
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

/// Checks the options of a call that need not be constant, where their values are known while planning.
///
/// # Errors
/// A planning error for a value that is not allowed.
pub(crate) fn check_known(page: &Page, values: &[Option<&ScalarValue>]) -> Result<()> {
    for (argument, value) in page.arguments.iter().zip(values) {
        // A NULL among the values gives NULL; one in place of an option is a mistake.
        if let (Some(value), true) = (value, argument.default != DefaultValue::Required) {
            Constants::defaults(page).assign(page, argument, value)?;
        }
    }
    Ok(())
}

/// The same for expressions, folded where they are constant.
///
/// # Errors
/// As [`check_known`].
pub(crate) fn check_foldable(page: &Page, args: &[Expr]) -> Result<()> {
    let values = args.iter().map(folded).collect::<Result<Vec<_>>>()?;
    check_known(page, &values.iter().map(Option::as_ref).collect::<Vec<_>>())
}

/// The value of a constant expression; `None` when it is not constant.
pub(crate) fn folded(expr: &Expr) -> Result<Option<ScalarValue>> {
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

/// The value of a constant physical expression; `None` when it is not constant.
pub(crate) fn folded_physical(expr: &Arc<dyn PhysicalExpr>) -> Result<Option<ScalarValue>> {
    if !collect_columns(expr).is_empty() {
        return Ok(None);
    }
    let one_row = RecordBatchOptions::new().with_row_count(Some(1));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
    match expr.evaluate(&batch)? {
        ColumnarValue::Scalar(value) => Ok(Some(value)),
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map(Some),
    }
}

/// The number that a numeric value stands for; `None` for NULL and other types.
pub(crate) fn number(value: &ScalarValue) -> Option<f64> {
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

/// Whether values of this type are moments in time.
pub(crate) fn is_instant(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

/// The metrics that a bootstrap can resample, as messages list them.
static STATISTICS: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<String> = resampled().map(|metric| format!("'{}'", metric.name)).collect();
    format!("the constant name of a metric of one series in which the order of rows does not matter: {}", names.join(", "))
});

/// A number of resamples that gives quantiles and ends some time.
fn resamples_of(x: f64) -> Option<usize> {
    (x.fract() == 0.0 && (100.0..=1e6).contains(&x)).then_some(x as usize)
}

/// A whole number that a double holds exactly.
fn seed_of(x: f64) -> Option<u64> {
    (x.fract() == 0.0 && x.abs() <= 9_007_199_254_740_992.0).then_some(x as i64 as u64)
}

/// The text of a value; `None` for NULL and other types.
pub(crate) fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn method(value: &ScalarValue) -> Option<Method> {
    let name = text(value)?;
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
