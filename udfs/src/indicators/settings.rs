//! The constant arguments of an indicator call (lengths, seeds, methods): their allowed values and defaults.

use std::sync::Arc;

use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;

use crate::constants::{Role, number, text};
use crate::reference::Page;
use crate::usage::Given;

/// What a recursive average starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seed {
    /// The mean of the first `n` values.
    Mean,
    /// The first value, without warm-up.
    First,
}

/// How changes or ranges are averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Recursively, by Wilder's weights.
    Wilder,
    /// Mean of the last `n`.
    Plain,
}

/// Names of the seeds as written in SQL.
const SEEDS: &[(&str, Seed)] = &[("sma", Seed::Mean), ("first", Seed::First)];

/// Names of the methods of `rsi` as written in SQL.
const RSI_METHODS: &[(&str, Method)] = &[("wilder", Method::Wilder), ("cutler", Method::Plain)];

/// Names of the methods of `atr` as written in SQL.
const ATR_METHODS: &[(&str, Method)] = &[("wilder", Method::Wilder), ("simple", Method::Plain)];

/// Largest length: doubles count exactly so far.
const MOST_ROWS: f64 = 9_007_199_254_740_992.0;

/// The constant arguments of one call, defaults filled in. What the indicator has no argument for keeps a value that nobody reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    pub(crate) n: usize,
    pub(crate) fast: usize,
    pub(crate) slow: usize,
    pub(crate) signal: usize,
    /// Number of deviations.
    pub(crate) deviations: f64,
    /// What is taken from `n` in the divisor of a variance.
    pub(crate) ddof: usize,
    pub(crate) seed: Seed,
    pub(crate) method: Method,
}

impl Settings {
    fn defaults(page: &Page) -> Self {
        let mut settings = Self { n: 1, fast: 1, slow: 2, signal: 1, deviations: 0.0, ddof: 0, seed: Seed::Mean, method: Method::Wilder };
        for (argument, value) in page.defaults() {
            let valid = settings.set(argument.role, &value);
            debug_assert!(valid, "default of {}({})", page.name, argument.name);
        }
        settings
    }

    /// Checks the constants of a call given as logical expressions, but for bound parameters that are still open.
    ///
    /// # Errors
    /// A planning error naming function, argument and allowed values.
    pub(crate) fn check_call(page: &Page, args: &[Expr]) -> Result<()> {
        match page.constants_of_call(args)? {
            Some(given) => Self::assigned(page, given).map(|_| ()),
            None => Ok(()),
        }
    }

    /// The constants of a call given as physical expressions.
    ///
    /// # Errors
    /// A planning error naming function, argument and allowed values.
    pub(crate) fn of_physical(page: &Page, args: &[Arc<dyn PhysicalExpr>]) -> Result<Self> {
        Self::assigned(page, page.constants_of_physical(args)?)
    }

    fn assigned(page: &Page, given: Given) -> Result<Self> {
        let mut settings = Self::defaults(page);
        for (argument, value) in &given {
            if !settings.set(argument.role, value) {
                return page.not_allowed(argument, value);
            }
        }
        for argument in page.arguments {
            let allowed = match argument.role {
                Role::FastLength => settings.fast < settings.slow,
                Role::DegreesOfFreedom => settings.ddof < settings.n,
                _ => true,
            };
            if !allowed {
                return page.not_allowed(argument, &settings.described(argument.role));
            }
        }
        Ok(settings)
    }

    /// The two settings that do not fit together, for a message.
    fn described(&self, role: Role) -> String {
        if role == Role::FastLength {
            format!("fast {} and slow {}", self.fast, self.slow)
        } else {
            format!("ddof {} and n {}", self.ddof, self.n)
        }
    }

    /// Takes `value` for `role`; false when it is not an allowed one.
    fn set(&mut self, role: Role, value: &ScalarValue) -> bool {
        match role {
            Role::Length => whole(value, 1.0).map(|x| self.n = x),
            Role::FastLength => whole(value, 1.0).map(|x| self.fast = x),
            Role::SlowLength => whole(value, 1.0).map(|x| self.slow = x),
            Role::SignalLength => whole(value, 1.0).map(|x| self.signal = x),
            Role::DegreesOfFreedom => whole(value, 0.0).map(|x| self.ddof = x),
            Role::Deviations => number(value).filter(|x| x.is_finite() && *x >= 0.0).map(|x| self.deviations = x),
            Role::Seed => named(value, SEEDS).map(|x| self.seed = x),
            Role::RsiMethod => named(value, RSI_METHODS).map(|x| self.method = x),
            Role::AtrMethod => named(value, ATR_METHODS).map(|x| self.method = x),
            _ => None,
        }
        .is_some()
    }
}

/// A whole number of at least `least`.
fn whole(value: &ScalarValue, least: f64) -> Option<usize> {
    number(value).filter(|x| x.fract() == 0.0 && (least..=MOST_ROWS).contains(x)).map(|x| x as usize)
}

/// What a name stands for, in any case.
fn named<T: Copy>(value: &ScalarValue, names: &[(&str, T)]) -> Option<T> {
    let name = text(value)?;
    names.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_whole_numbers_from_one() {
        let length = |x: f64| whole(&ScalarValue::Float64(Some(x)), 1.0);
        assert_eq!(length(1.0), Some(1));
        assert_eq!(length(1e9), Some(1_000_000_000));
        for wrong in [0.0, -3.0, 2.5, 1e300, f64::INFINITY, f64::NAN] {
            assert_eq!(length(wrong), None, "{wrong}");
        }
        assert_eq!(whole(&ScalarValue::Int64(Some(14)), 1.0), Some(14));
        assert_eq!(whole(&ScalarValue::Float64(None), 1.0), None);
    }

    #[test]
    fn names_ignore_case() {
        assert_eq!(named(&ScalarValue::from("FIRST"), SEEDS), Some(Seed::First));
        assert_eq!(named(&ScalarValue::from("Cutler"), RSI_METHODS), Some(Method::Plain));
        assert_eq!(named(&ScalarValue::from("simple"), RSI_METHODS), None);
    }
}
