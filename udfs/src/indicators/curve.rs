//! Equity and drawdown curves, the steps that the path metrics summarise.

use super::running::Step;
use crate::states::{Compensated, Walk, Wealth};

/// `equity(r)`: compounded wealth, from 1.
#[derive(Debug, Clone)]
pub(crate) struct Equity(Wealth);

impl Default for Equity {
    fn default() -> Self {
        Self(Wealth::ONE)
    }
}

impl Step<1, 1> for Equity {
    #[inline]
    fn step(&mut self, [r]: [f64; 1]) -> Option<[f64; 1]> {
        self.0 = self.0.times(Wealth::of_return(r));
        Some([self.0.value()])
    }
}

/// `equity_pnl(pnl)`: the running sum, from 0.
#[derive(Debug, Clone, Default)]
pub(crate) struct CurrencyEquity(Compensated);

impl Step<1, 1> for CurrencyEquity {
    #[inline]
    fn step(&mut self, [pnl]: [f64; 1]) -> Option<[f64; 1]> {
        self.0.add(pnl);
        Some([self.0.value()])
    }
}

/// `drawdown(r)` and `drawdown_pnl(pnl)`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Depth<W>(W);

impl<W: Walk> Step<1, 1> for Depth<W> {
    #[inline]
    fn step(&mut self, [x]: [f64; 1]) -> Option<[f64; 1]> {
        Some([self.0.step(x)])
    }
}
