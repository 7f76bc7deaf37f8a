//! The table of scalar functions: returns of prices, and rates and deviations a year. One entry is one SQL function.
//!
//! Every one is a formula of two doubles, each a column or a literal; the second may have a default. It works row by row: NULL in either gives NULL, what
//! is undefined is NULL, NaN stays NaN, and zero is +0.0.

mod udf;

use crate::constants::Role;
use crate::metric::{Argument, Default, Example, Expected, Sample};
use crate::reference::{Kind, Page};

pub use udf::ScalarFunction;

/// A financial SQL function of one row: an entry of [`SCALARS`].
#[derive(Debug)]
pub struct Scalar {
    /// SQL name.
    pub name: &'static str,
    /// Other SQL names of the same function.
    pub aliases: &'static [&'static str],
    /// One line saying what it computes.
    pub summary: &'static str,
    /// The formula in plain text.
    pub formula: &'static str,
    /// Unit and sign of the result.
    pub unit: &'static str,
    /// When the result is undefined, that is NULL.
    pub null_when: &'static str,
    /// Its two arguments.
    pub arguments: &'static [Argument],
    /// A call with its exact answer; a test runs every one.
    pub example: Example,
    /// The formula over the two arguments; `None` is undefined, that is NULL.
    pub(crate) formula_of: fn(f64, f64) -> Option<f64>,
}

impl Scalar {
    /// What is documented of it.
    pub fn page(&self) -> Page {
        let Self { name, aliases, summary, formula, unit, null_when, arguments, example, .. } = *self;
        Page { name, aliases, chapter: "Scalar functions", kind: Kind::Scalar, summary, formula, unit, null_when, arguments, example }
    }
}

const fn column(name: &'static str, doc: &'static str) -> Argument {
    Argument { name, role: Role::Series, default: Default::Required, doc }
}

const PRICES: &[Argument] = &[
    column("price", "Price at the end of the period."),
    column("previous_price", "Price at its start, for a column of prices `lag(price) OVER (ORDER BY time)`."),
];

/// Unlike the metrics', it may be a column or the result of `periods_per_year(date)`.
const PERIODS: Argument = Argument {
    name: "periods_per_year",
    role: Role::PeriodsOfRow,
    default: Default::Number(DAYS),
    doc: "Periods a year: 12 for months, 252 for trading days, 525600 for minutes.",
};

/// Trading days a year.
const DAYS: f64 = 252.0;

/// Every scalar function.
pub const SCALARS: &[Scalar] = &[
    Scalar {
        name: "simple_return",
        aliases: &[],
        summary: "Simple return from one price to the next.",
        formula: "price/previous_price - 1",
        unit: "fraction",
        null_when: "a price is NULL, or the previous one is not positive: a return on nothing or on a debt has no meaning",
        arguments: PRICES,
        example: Example { call: "simple_return(102, 100)", over: Sample::Nothing, expected: Expected::Number(0.02) },
        formula_of: simple_return,
    },
    Scalar {
        name: "log_return",
        aliases: &[],
        summary: "Logarithmic return from one price to the next; such returns add up over time.",
        formula: "ln(price/previous_price)",
        unit: "natural logarithm of the growth factor",
        null_when: "a price is NULL or not positive",
        arguments: PRICES,
        example: Example { call: "log_return(102, 100)", over: Sample::Nothing, expected: Expected::Number(0.01980262729617973) },
        formula_of: log_return,
    },
    Scalar {
        name: "annualise_return",
        aliases: &["annualize_return"],
        summary: "Return a year of a return of one period that repeats and compounds.",
        formula: "(1 + r)^P - 1",
        unit: "fraction a year",
        null_when: "an argument is NULL, r is below -1 (more than everything was lost), or P is not positive",
        arguments: &[column("r", "Simple return of one period (0.01 is +1 %)."), PERIODS],
        example: Example { call: "annualise_return(0.01, 12)", over: Sample::Nothing, expected: Expected::Number(0.12682503013196972) },
        formula_of: |r, p| unless(r < -1.0 || p <= 0.0, || (r.ln_1p() * p).exp_m1()),
    },
    Scalar {
        name: "annualise_volatility",
        aliases: &["annualize_volatility"],
        summary: "Standard deviation a year from that of one period, for periods that are independent.",
        formula: "v * sqrt(P)",
        unit: "unit of v a year",
        null_when: "an argument is NULL, or P is not positive",
        arguments: &[column("v", "Standard deviation of one period."), PERIODS],
        example: Example { call: "annualise_volatility(0.01)", over: Sample::Nothing, expected: Expected::Number(0.15874507866387544) },
        formula_of: |v, p| unless(p <= 0.0, || v * p.sqrt()),
    },
    Scalar {
        name: "deannualise_rate",
        aliases: &["deannualize_rate"],
        summary: "Rate of one period that compounds to an annual rate: what the metrics make of their annual rates.",
        formula: "(1 + rate)^(1/P) - 1",
        unit: "fraction a period",
        null_when: "an argument is NULL, rate is below -1 (more than everything is lost), or P is not positive",
        arguments: &[column("rate", "Annual rate (0.02 is 2 % a year)."), PERIODS],
        example: Example { call: "deannualise_rate(0.02)", over: Sample::Nothing, expected: Expected::Number(7.858494198471285e-5) },
        formula_of: |rate, p| unless(rate < -1.0 || p <= 0.0, || (rate.ln_1p() / p).exp_m1()),
    },
];

/// The value unless it is undefined. A comparison with NaN is false, so that NaN is computed with and stays NaN.
fn unless(undefined: bool, value: impl FnOnce() -> f64) -> Option<f64> {
    (!undefined).then(value)
}

fn simple_return(price: f64, previous: f64) -> Option<f64> {
    // The difference first: it keeps the digits that price/previous - 1 would lose.
    unless(previous <= 0.0, || (price - previous) / previous)
}

fn log_return(price: f64, previous: f64) -> Option<f64> {
    if price <= 0.0 || previous <= 0.0 {
        return None;
    }
    let growth = price / previous;
    Some(if (0.5..=2.0).contains(&growth) {
        ((price - previous) / previous).ln_1p()
    } else if growth.is_normal() {
        growth.ln()
    } else {
        price.ln() - previous.ln()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_keep_the_digits_of_small_moves() {
        let (price, previous) = (1e9 + 0.25, 1e9);
        assert_eq!(simple_return(price, previous), Some(2.5e-10));
        assert_eq!(log_return(price, previous), Some(2.5e-10_f64.ln_1p()));
    }

    #[test]
    fn a_return_on_nothing_or_on_a_debt_is_undefined() {
        assert_eq!(simple_return(1.0, 0.0), None);
        assert_eq!(simple_return(1.0, -2.0), None);
        assert_eq!(simple_return(-2.0, 1.0), Some(-3.0));
        assert_eq!(log_return(0.0, 1.0), None);
        assert_eq!(log_return(1.0, -1.0), None);
    }

    #[test]
    fn extreme_prices_neither_overflow_nor_vanish() {
        let ends = log_return(f64::MAX, f64::MIN_POSITIVE).unwrap();
        assert!((ends - (f64::MAX.ln() - f64::MIN_POSITIVE.ln())).abs() < 1e-9);
        assert!(log_return(f64::MIN_POSITIVE, f64::MAX).unwrap() < -1400.0);
        assert!(log_return(f64::NAN, 1.0).unwrap().is_nan() && simple_return(1.0, f64::NAN).unwrap().is_nan());
    }
}
