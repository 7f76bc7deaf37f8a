//! Metrics of two series; rows count where both sides are present.

use super::arguments::{BENCHMARK, PERIODS, PERIODS_ONE, R, RISK_FREE};
use super::ratio;
use crate::metric::{Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::{CoMoments, Compute};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "beta",
        aliases: &[],
        family: Family::Pair,
        summary: "Slope of the series on its benchmark.",
        formula: "C/M2_b, C the sum of products of deviations",
        unit: "ratio",
        null_when: "fewer than two pairs, or a constant benchmark",
        arguments: &[R, BENCHMARK],
        result: ResultKind::Double,
        example: Example { call: "beta(ret, benchmark)", over: Sample::Returns, expected: Expected::Number(1.373930548565677) },
        compute: Compute::CoMoments(|p, _| slope(p)),
    },
    Metric {
        name: "alpha",
        aliases: &[],
        family: Family::Pair,
        summary: "Mean return a year beyond what the benchmark explains, arithmetic.",
        formula: "((m_r - f) - beta*(m_b - f))*P",
        unit: "fraction a year",
        null_when: "fewer than two pairs, or a constant benchmark",
        arguments: &[R, BENCHMARK, RISK_FREE, PERIODS],
        result: ResultKind::Double,
        example: Example { call: "alpha(ret, benchmark)", over: Sample::Returns, expected: Expected::Number(0.4809813789632612) },
        compute: Compute::CoMoments(|p, c| {
            let (f, (mine, theirs)) = (c.period_rate(), p.means());
            Some(((mine - f) - slope(p)? * (theirs - f)) * c.periods_per_year)
        }),
    },
    Metric {
        name: "correlation",
        aliases: &[],
        family: Family::Pair,
        summary: "Pearson correlation of two series.",
        formula: "C/sqrt(M2_a*M2_b), clamped to [-1, 1]",
        unit: "number, -1 to 1",
        null_when: "fewer than two pairs, or a constant side",
        arguments: &[R, BENCHMARK],
        result: ResultKind::Double,
        example: Example { call: "correlation(ret, benchmark)", over: Sample::Returns, expected: Expected::Number(0.980689239257765) },
        compute: Compute::CoMoments(|p, _| correlation(p)),
    },
    Metric {
        name: "information_ratio",
        aliases: &[],
        family: Family::Pair,
        summary: "Mean active return per unit of its deviation.",
        formula: "mean(r-b)/s(r-b)*sqrt(P)",
        unit: "ratio, per period unless P is given",
        null_when: "fewer than two pairs, or a constant active return",
        arguments: &[R, BENCHMARK, PERIODS_ONE],
        result: ResultKind::Double,
        example: Example {
            call: "information_ratio(ret, benchmark)",
            over: Sample::Returns,
            expected: Expected::Number(0.4979466032338519),
        },
        compute: Compute::ActiveReturn(|a, c| ratio(a.mean(), a.deviation()?).map(|x| x * c.periods_per_year.sqrt())),
    },
    Metric {
        name: "tracking_error",
        aliases: &[],
        family: Family::Pair,
        summary: "Deviation of the active return.",
        formula: "s(r-b)*sqrt(P)",
        unit: "unit of r, per period unless P is given; 0 for a constant active return",
        null_when: "fewer than two pairs",
        arguments: &[R, BENCHMARK, PERIODS_ONE],
        result: ResultKind::Double,
        example: Example { call: "tracking_error(ret, benchmark)", over: Sample::Returns, expected: Expected::Number(0.00552268050859363) },
        compute: Compute::ActiveReturn(|a, c| Some(a.deviation()? * c.periods_per_year.sqrt())),
    },
];

fn slope(p: &CoMoments) -> Option<f64> {
    if p.rows() < 2 {
        return None;
    }
    ratio(p.product(), p.squares().1)
}

fn correlation(p: &CoMoments) -> Option<f64> {
    let (a, b) = p.squares();
    if p.rows() < 2 || a == 0.0 || b == 0.0 {
        return None;
    }
    // One root makes a series paired with itself exactly 1; equal sums need none.
    let product = a * b;
    let norm = if a == b {
        a
    } else if product.is_normal() {
        product.sqrt()
    } else {
        a.sqrt() * b.sqrt()
    };
    ratio(p.product(), norm).map(|x| x.clamp(-1.0, 1.0))
}
