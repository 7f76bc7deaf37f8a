//! Metrics of the dates of observations.

use crate::constants::Role;
use crate::metric::{Argument, Default, Example, Expected, Family, Metric, ResultKind, Sample};
use crate::states::Compute;

const DATE: Argument =
    Argument { name: "date", role: Role::Dates, default: Default::Required, doc: "Time of each observation; equal ones count once." };

pub(super) const METRICS: &[Metric] = &[Metric {
    name: "periods_per_year",
    aliases: &[],
    family: Family::OrderFree,
    summary: "Observations a year, estimated from their dates.",
    formula: "(k - 1)/((last - first)/365.25 days), k distinct dates",
    unit: "observations a year",
    null_when: "fewer than two distinct dates",
    arguments: &[DATE],
    result: ResultKind::Double,
    example: Example { call: "periods_per_year(date)", over: Sample::Months, expected: Expected::Number(12.041208791208792) },
    compute: Compute::Dates,
}];
