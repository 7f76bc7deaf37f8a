//! Arguments shared by many metrics.

use crate::constants::Role;
use crate::metric::{Argument, Default};

/// Values of any unit.
pub(super) const X: Argument =
    Argument { name: "x", role: Role::Series, default: Default::Required, doc: "Returns or currency profits, one per period." };

/// Simple returns.
pub(super) const R: Argument =
    Argument { name: "r", role: Role::Series, default: Default::Required, doc: "Simple returns of one period (0.01 is +1 %)." };

/// Currency profits.
pub(super) const PNL: Argument =
    Argument { name: "pnl", role: Role::Series, default: Default::Required, doc: "Profit or loss of each period, in currency." };

/// The second series of a pair.
pub(super) const BENCHMARK: Argument =
    Argument { name: "b", role: Role::Series, default: Default::Required, doc: "Returns of the benchmark in the same periods." };

/// Risk-free rate.
pub(super) const RISK_FREE: Argument = Argument {
    name: "risk_free",
    role: Role::Rate,
    default: Default::Number(0.0),
    doc: "Annual risk-free rate, spread geometrically over the periods.",
};

/// Minimal acceptable return.
pub(super) const MAR: Argument = Argument {
    name: "mar",
    role: Role::Rate,
    default: Default::Number(0.0),
    doc: "Annual minimal acceptable return, spread geometrically over the periods.",
};

/// Threshold of gains.
pub(super) const THRESHOLD: Argument = Argument {
    name: "threshold",
    role: Role::Rate,
    default: Default::Number(0.0),
    doc: "Annual return above which a row is a gain, spread geometrically.",
};

const PERIODS_DOC: &str = "Observations a year; 252 for trading days, 525600 for minutes, 1 for no annualisation.";

/// Periods a year.
pub(super) const PERIODS: Argument =
    Argument { name: "periods_per_year", role: Role::PeriodsPerYear, default: Default::Number(252.0), doc: PERIODS_DOC };

/// Periods a year of the measures that are reported per period.
pub(super) const PERIODS_ONE: Argument =
    Argument { name: "periods_per_year", role: Role::PeriodsPerYear, default: Default::Number(1.0), doc: PERIODS_DOC };

/// Population form.
pub(super) const POPULATION: Argument = Argument {
    name: "population",
    role: Role::Population,
    default: Default::Flag(false),
    doc: "Population form instead of the bias-corrected sample form.",
};

/// Zeros in the divisor.
pub(super) const COUNT_ZEROS: Argument = Argument {
    name: "count_zeros",
    role: Role::CountZeros,
    default: Default::Flag(false),
    doc: "Whether rows of value 0 count in the divisor.",
};

/// Confidence level.
pub(super) const CONFIDENCE: Argument = Argument {
    name: "confidence",
    role: Role::Confidence,
    default: Default::Number(0.95),
    doc: "Confidence level; the tail holds 1 - confidence.",
};

/// Quantile of the tail ratio.
pub(super) const QUANTILE: Argument =
    Argument { name: "q", role: Role::Confidence, default: Default::Number(0.95), doc: "Upper quantile; the lower one is 1 - q." };

/// Estimation method.
pub(super) const METHOD: Argument = Argument {
    name: "method",
    role: Role::Method,
    default: Default::Text("historical"),
    doc: "'historical' (quantile of the values), 'parametric' (normal) or 'cornish_fisher' (normal corrected by skewness and kurtosis).",
};

/// Capital of `roi`.
pub(super) const CAPITAL: Argument =
    Argument { name: "capital", role: Role::Capital, default: Default::Number(1.0), doc: "Capital the sum is divided by." };

/// Upper limit of the Kelly fraction.
pub(super) const CAP: Argument = Argument {
    name: "cap",
    role: Role::Cap,
    default: Default::Absent,
    doc: "Upper limit; when given, the result is kept between 0 and it.",
};

/// Time of the rows.
pub(super) const TIME: Argument = Argument {
    name: "t",
    role: Role::Time,
    default: Default::Absent,
    doc: "Time of each row, returned in the date fields; without it they are row numbers from 1.",
};
