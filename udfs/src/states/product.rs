//! Product of growth factors that neither overflows nor underflows on long series.

use super::{Partial, State, Tally, Wealth};
use crate::constants::Constants;

/// `prod(1 + r)` as wealth times a power of two.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    tally: Tally,
    wealth: Wealth,
    exponent: i64,
}

/// Wealth stays between `2^-BOUND` and `2^BOUND`, so that a product of two is in range.
const BOUND: i32 = 500;

/// Exponents of partial results are whole numbers of a double.
const LARGEST_EXPONENT: i64 = 1 << f64::MANTISSA_DIGITS;

fn power_of_two(exponent: i32) -> f64 {
    // Exponents used here stay within the normal doubles.
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Splits off a power of two when `x` is very large or very small.
#[inline]
fn normal(x: Wealth) -> (Wealth, i64) {
    let size = x.value().abs();
    if size >= power_of_two(BOUND) && size.is_finite() {
        (x.scaled(power_of_two(-BOUND)), i64::from(BOUND))
    } else if size < power_of_two(-BOUND) && size > 0.0 {
        (x.scaled(power_of_two(BOUND)), -i64::from(BOUND))
    } else {
        (x, 0)
    }
}

impl Product {
    #[inline]
    fn multiply(&mut self, factor: Wealth, exponent: i64) {
        // A factor near the end of the doubles needs a second step.
        let (factor, first) = normal(factor);
        let (factor, second) = normal(factor);
        let (wealth, third) = normal(self.wealth.times(factor));
        self.wealth = wealth;
        self.exponent += exponent + first + second + third;
    }

    /// The product as a double, infinite or zero where it leaves them.
    pub(crate) fn value(&self) -> f64 {
        let mut value = self.wealth.value();
        let mut left = self.exponent.clamp(-10_000, 10_000);
        while left != 0 && value != 0.0 && value.is_finite() {
            let step = left.clamp(-1000, 1000);
            value *= power_of_two(step as i32);
            left -= step;
        }
        value
    }

    /// The product less 1.
    pub(crate) fn gain(&self) -> f64 {
        if self.exponent == 0 { self.wealth.gain() } else { self.value() - 1.0 }
    }

    /// Natural logarithm; `-inf` for a product of zero, NaN for a negative one.
    pub(crate) fn ln(&self) -> f64 {
        self.wealth.ln() + self.exponent as f64 * std::f64::consts::LN_2
    }
}

impl State for Product {
    type Row = f64;

    fn new(_: &Constants) -> Self {
        Self { tally: Tally::default(), wealth: Wealth::ONE, exponent: 0 }
    }

    #[inline]
    fn push(&mut self, r: f64) {
        if self.tally.admits(r) {
            self.multiply(Wealth::of_return(r), 0);
        }
    }

    fn merge(&mut self, later: &Self) {
        self.tally.merge(later.tally);
        self.multiply(later.wealth, later.exponent);
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}

impl Partial for Product {
    const WIDTH: usize = Tally::WIDTH + Wealth::WIDTH + 1;

    fn write(&self, out: &mut Vec<f64>) {
        self.tally.write(out);
        self.wealth.write(out);
        out.push(self.exponent as f64);
    }

    fn read(&mut self, partial: &[f64]) {
        self.tally = Tally::read(partial);
        self.wealth = Wealth::read(&partial[2..]);
        self.exponent = (partial[4] as i64).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(returns: impl IntoIterator<Item = f64>) -> Product {
        let mut product = Product { tally: Tally::default(), wealth: Wealth::ONE, exponent: 0 };
        returns.into_iter().for_each(|r| product.push(r));
        product
    }

    #[test]
    fn ten_thousand_doublings_keep_their_logarithm() {
        let doubled = product(std::iter::repeat_n(1.0, 10_000));
        assert_eq!(doubled.ln(), 10_000.0 * std::f64::consts::LN_2);
        assert_eq!(doubled.value(), f64::INFINITY);
        let halved = product(std::iter::repeat_n(-0.5, 10_000));
        assert_eq!(halved.ln(), -10_000.0 * std::f64::consts::LN_2);
        assert_eq!(halved.value(), 0.0);
    }

    #[test]
    fn huge_factors_come_back() {
        let there_and_back = product([1e300, 1e300, 1e-300 - 1.0, 1e-300 - 1.0]);
        assert!(there_and_back.value().is_finite());
        assert_eq!(product([1.0, 0.5]).value(), 3.0);
    }
}
