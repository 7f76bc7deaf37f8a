//! The table of metrics. One entry is one SQL function; adding a function is adding an entry.
//!
//! The symbols of the formulas are explained in [`mod@crate::reference`].

mod arguments;
mod bootstrap;
mod calendar;
mod legacy;
mod normal;
mod order_free;
mod pair;
mod path;
mod sample;

use crate::metric::Metric;

/// Every metric, by family.
pub const METRICS: &[&[Metric]] =
    &[order_free::METRICS, calendar::METRICS, path::METRICS, sample::METRICS, bootstrap::METRICS, pair::METRICS, legacy::METRICS];

pub(crate) use bootstrap::{resampled, statistic};

/// Every metric, in the order of the catalogue.
pub fn functions() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().copied().flatten()
}

/// The metric called `name`, by its own name or an alias, in any case.
pub fn find(name: &str) -> Option<&'static Metric> {
    functions().find(|m| std::iter::once(&m.name).chain(m.aliases).any(|known| known.eq_ignore_ascii_case(name)))
}

/// `x / y`, undefined for a zero denominator.
fn ratio(x: f64, y: f64) -> Option<f64> {
    (y != 0.0).then(|| x / y)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::metric::Default;

    #[test]
    fn names_and_aliases_are_unique() {
        let mut seen = HashSet::new();
        for name in functions().flat_map(|m| std::iter::once(&m.name).chain(m.aliases)) {
            assert!(seen.insert(name), "{name} twice");
        }
    }

    #[test]
    fn required_arguments_come_first_and_names_differ() {
        for metric in functions() {
            let required: Vec<bool> = metric.arguments.iter().map(|a| a.default == Default::Required).collect();
            assert!(required.is_sorted_by(|a, b| a >= b), "{}", metric.name);
            let names: HashSet<_> = metric.arguments.iter().map(|a| a.name).collect();
            assert_eq!(names.len(), metric.arguments.len(), "{}", metric.name);
        }
    }

    #[test]
    fn every_entry_is_documented() {
        for metric in functions() {
            for text in [metric.summary, metric.formula, metric.unit, metric.null_when, metric.example.call] {
                assert!(!text.is_empty(), "{}", metric.name);
            }
            assert!(metric.example.call.starts_with(metric.name), "{}", metric.name);
        }
    }

    #[test]
    fn signatures_show_defaults() {
        assert_eq!(find("SHARPE").unwrap().signature(), "sharpe_ratio(x [, risk_free = 0 [, periods_per_year = 252]])");
        assert_eq!(find("max_drawdown").unwrap().signature(), "max_drawdown(r ORDER BY time)");
        assert_eq!(find("kelly").unwrap().signature(), "kelly_fraction(x [, cap])");
    }
}
