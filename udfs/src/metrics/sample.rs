//! Metrics of the distribution's tails.

use super::arguments::{CONFIDENCE, METHOD, QUANTILE, X};
use super::normal::{density, quantile as normal_quantile};
use super::order_free::{kurtosis, skewness};
use super::ratio;
use crate::constants::{BILLION, Constants, Method};
use crate::metric::{Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::{Compute, HigherMoments, Moments};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "value_at_risk",
        aliases: &[],
        family: Family::Sample,
        summary: "Result that is undercut with probability 1 - confidence.",
        formula: "historical: type-7 quantile at a; parametric: m + z*s; cornish_fisher: m + s*(z + (z^2-1)G/6 + (z^3-3z)K/24 - (2z^3-5z)G^2/36), \
                  G = skewness, K = kurtosis",
        unit: "unit of x, a loss is negative",
        null_when: "historical: no rows; parametric: fewer than two rows; cornish_fisher: fewer than four rows or a constant series",
        arguments: &[X, CONFIDENCE, METHOD],
        result: ResultKind::Double,
        example: Example {
            call: "value_at_risk(ret, 0.95, 'parametric')",
            over: Sample::Returns,
            expected: Expected::Number(-0.022453362363642034),
        },
        compute: Compute::ByMethod(|method| match method {
            Method::Historical => Compute::Sample(|mut xs, c| xs.quantile(c.tail)),
            Method::Parametric => Compute::Moments(|m, c| Some(m.mean() + Tail::of(c).z * m.deviation()?)),
            Method::CornishFisher => Compute::HigherMoments(cornish_fisher_value_at_risk),
        }),
    },
    Metric {
        name: "expected_shortfall",
        aliases: &["cvar"],
        family: Family::Sample,
        summary: "Mean result in the tail of probability 1 - confidence.",
        formula: "historical: mean of all x <= the type-7 quantile at a; parametric: m - s*phi(z)/a; cornish_fisher: m - s*phi(z)/a*(1 + zG/6 + \
                  (z^2-1)K/24 - (2z^2-1)G^2/36)",
        unit: "unit of x, a loss is negative",
        null_when: "historical: no rows; parametric: fewer than two rows; cornish_fisher: fewer than four rows or a constant series",
        arguments: &[X, CONFIDENCE, METHOD],
        result: ResultKind::Double,
        example: Example { call: "expected_shortfall(ret)", over: Sample::Returns, expected: Expected::Number(-0.02) },
        compute: Compute::ByMethod(|method| match method {
            Method::Historical => Compute::Sample(|mut xs, c| xs.expected_shortfall(c.tail)),
            Method::Parametric => Compute::Moments(parametric_shortfall),
            Method::CornishFisher => Compute::HigherMoments(cornish_fisher_shortfall),
        }),
    },
    Metric {
        name: "tail_ratio",
        aliases: &[],
        family: Family::Sample,
        summary: "Size of the upper tail per unit of the lower one.",
        formula: "abs(quantile q)/abs(quantile 1-q), type 7",
        unit: "ratio, >= 0",
        null_when: "no rows, or the lower quantile is 0",
        arguments: &[X, QUANTILE],
        result: ResultKind::Double,
        example: Example { call: "tail_ratio(ret)", over: Sample::Returns, expected: Expected::Number(1.606060606060606) },
        compute: Compute::Sample(|mut xs, c| ratio(xs.upper_quantile(c.tail)?.abs(), xs.quantile(c.tail)?.abs())),
    },
];

/// The lower tail of the normal distribution at a confidence level.
struct Tail {
    probability: f64,
    z: f64,
}

impl Tail {
    fn of(c: &Constants) -> Self {
        let probability = c.tail as f64 / BILLION as f64;
        Self { probability, z: normal_quantile(probability) }
    }

    /// `phi(z)/a`.
    fn hazard(&self) -> f64 {
        density(self.z) / self.probability
    }
}

fn parametric_shortfall(m: &Moments, c: &Constants) -> Option<f64> {
    Some(m.mean() - m.deviation()? * Tail::of(c).hazard())
}

fn cornish_fisher_value_at_risk(m: &HigherMoments, c: &Constants) -> Option<f64> {
    let (g, k) = (skewness(m, false)?, kurtosis(m, false)?);
    let z = Tail::of(c).z;
    let corrected = z + (z * z - 1.0) * g / 6.0 + (z * z * z - 3.0 * z) * k / 24.0 - (2.0 * z * z * z - 5.0 * z) * g * g / 36.0;
    Some(m.low().mean() + m.low().deviation()? * corrected)
}

fn cornish_fisher_shortfall(m: &HigherMoments, c: &Constants) -> Option<f64> {
    let (g, k) = (skewness(m, false)?, kurtosis(m, false)?);
    let tail = Tail::of(c);
    let z = tail.z;
    let correction = 1.0 + z * g / 6.0 + (z * z - 1.0) * k / 24.0 - (2.0 * z * z - 1.0) * g * g / 36.0;
    Some(m.low().mean() - m.low().deviation()? * tail.hazard() * correction)
}
