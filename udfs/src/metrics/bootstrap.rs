//! Confidence intervals by resampling.

use super::arguments::X;
use super::functions;
use crate::constants::Role;
use crate::metric::{Argument, Default, Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::Compute;

const STATISTIC: Argument = Argument {
    name: "metric",
    role: Role::Statistic,
    default: Default::Required,
    doc: "The metric to estimate, with its default arguments. Path metrics are refused: resampling breaks the order of rows.",
};

const CONFIDENCE: Argument = Argument {
    name: "confidence",
    role: Role::Confidence,
    default: Default::Number(0.95),
    doc: "Probability that the interval covers; each tail holds half of the rest.",
};

const RESAMPLES: Argument = Argument {
    name: "resamples",
    role: Role::Resamples,
    default: Default::Number(1000.0),
    doc: "Number of resamples; the time taken is proportional to it and to the rows, of whose product more than 2 billion are refused.",
};

const SEED: Argument = Argument {
    name: "seed",
    role: Role::RandomSeed,
    default: Default::Number(0.0),
    doc: "Seed of the random draws: the same seed and values give the same interval, in any order and on any number of threads.",
};

pub(super) const METRICS: &[Metric] = &[Metric {
    name: "bootstrap_interval",
    aliases: &["bootstrap_ci"],
    family: Family::Sample,
    summary: "Percentile bootstrap confidence interval of a metric: rows are drawn independently and with replacement.",
    formula: "type-7 quantiles at (1 - confidence)/2 and (1 + confidence)/2 of the metric over resamples of n rows",
    unit: "struct: estimate, lower, upper (unit of the metric), undefined (number of resamples left out because the metric is undefined there)",
    null_when: "fields: all with fewer than two rows; lower and upper when more than (1 - confidence)/2 of the resamples are undefined",
    arguments: &[X, STATISTIC, CONFIDENCE, RESAMPLES, SEED],
    result: ResultKind::Interval,
    example: Example {
        call: "bootstrap_interval(ret, 'volatility')",
        over: Sample::Returns,
        expected: Expected::Text("{estimate: 0.2649528259898354, lower: 0.1403121520040228, upper: 0.33119103248729426, undefined: 0}"),
    },
    compute: Compute::Bootstrap,
}];

/// The metrics that can be resampled: a number from one series in which the order of rows does not matter.
pub(crate) fn resampled() -> impl Iterator<Item = &'static Metric> {
    functions().filter(|metric| {
        let series = metric.arguments.iter().filter(|argument| argument.role == Role::Series).count();
        matches!(metric.family, Family::OrderFree | Family::Sample) && metric.result == ResultKind::Double && series == 1
    })
}

/// The metric to resample called `name`, by its own name or an alias, in any case.
pub(crate) fn statistic(name: &str) -> Option<&'static Metric> {
    resampled().find(|metric| metric.page().names().any(|known| known.eq_ignore_ascii_case(name)))
}
