//! Compounded wealth with twice the digits of a double, so that neither returns of 1e-12 nor a nearly total loss lose theirs.

use std::cmp::Ordering;

/// Wealth as the unevaluated sum of two doubles (Dekker's and Knuth's error-free sums and products).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wealth {
    high: f64,
    low: f64,
}

/// `a + b` and what rounding dropped.
#[inline]
fn sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let shadow = s - a;
    (s, (a - (s - shadow)) + (b - shadow))
}

/// Halves of the digits of `a`.
#[inline]
fn split(a: f64) -> (f64, f64) {
    let c = 134_217_729.0 * a;
    let high = c - (c - a);
    (high, a - high)
}

/// `a * b` and what rounding dropped.
#[inline]
fn product(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    let ((ah, al), (bh, bl)) = (split(a), split(b));
    (p, ((ah * bh - p) + ah * bl + al * bh) + al * bl)
}

impl Wealth {
    pub(crate) const WIDTH: usize = 2;

    /// The start.
    pub(crate) const ONE: Self = Self { high: 1.0, low: 0.0 };

    /// Above every wealth.
    pub(crate) const INFINITE: Self = Self { high: f64::INFINITY, low: 0.0 };

    /// `1 + r`.
    #[inline]
    pub(crate) fn of_return(r: f64) -> Self {
        let (high, low) = sum(1.0, r);
        Self { high, low: if low.is_finite() { low } else { 0.0 } }
    }

    /// The product. Where it leaves the range in which the low part is known, plain arithmetic decides.
    #[inline]
    pub(crate) fn times(self, other: Self) -> Self {
        let (p, dropped) = product(self.high, other.high);
        let low = dropped + (self.high * other.low + self.low * other.high);
        if !low.is_finite() {
            return Self { high: p, low: 0.0 };
        }
        let high = p + low;
        Self { high, low: low - (high - p) }
    }

    /// The wealth scaled by a power of two, exactly.
    pub(crate) fn scaled(self, power: f64) -> Self {
        Self { high: self.high * power, low: self.low * power }
    }

    /// Wealth as a double.
    pub(crate) fn value(self) -> f64 {
        self.high
    }

    /// Wealth less the start.
    pub(crate) fn gain(self) -> f64 {
        (self.high - 1.0) + self.low
    }

    /// Natural logarithm: `-inf` for nothing left, NaN for less.
    pub(crate) fn ln(self) -> f64 {
        if (0.5..2.0).contains(&self.high) { self.gain().ln_1p() } else { self.high.ln() + self.low / self.high.max(f64::MIN_POSITIVE) }
    }

    /// `self / peak - 1`.
    #[inline]
    pub(crate) fn relative_to(self, peak: Self) -> f64 {
        ((self.high - peak.high) + (self.low - peak.low)) / peak.high
    }

    #[inline]
    pub(crate) fn max(self, other: Self) -> Self {
        if self.order(other) == Some(Ordering::Less) { other } else { self }
    }

    #[inline]
    pub(crate) fn min(self, other: Self) -> Self {
        if self.order(other) == Some(Ordering::Greater) { other } else { self }
    }

    fn order(self, other: Self) -> Option<Ordering> {
        (self.high, self.low).partial_cmp(&(other.high, other.low))
    }

    pub(crate) fn write(self, out: &mut Vec<f64>) {
        out.extend([self.high, self.low]);
    }

    pub(crate) fn read(partial: &[f64]) -> Self {
        Self { high: partial[0], low: partial[1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(returns: &[f64]) -> Wealth {
        returns.iter().fold(Wealth::ONE, |wealth, &r| wealth.times(Wealth::of_return(r)))
    }

    #[test]
    fn tiny_returns_keep_their_digits() {
        let gain = of(&[1e-12, -2e-12, 3e-12, -1e-12]).gain();
        // 1e-12 exactly, up to products of the order of 1e-24.
        assert!((gain - 1e-12).abs() < 1e-23, "{gain:e}");
        assert!((of(&[1e-12; 1000]).ln() - 1e-9).abs() < 1e-20);
    }

    #[test]
    fn total_loss_leaves_exactly_nothing() {
        assert_eq!(of(&[4.75, -1.0, 0.3]).value(), 0.0);
        assert_eq!(of(&[4.75, -1.0]).ln(), f64::NEG_INFINITY);
        assert_eq!(of(&[0.1, -1.0]).gain(), -1.0);
    }

    #[test]
    fn long_losses_keep_their_logarithm() {
        let ln = of(&[-0.01; 2520]).ln();
        assert!((ln / (2520.0 * (-0.01_f64).ln_1p()) - 1.0).abs() < 1e-15, "{ln}");
    }

    #[test]
    fn overflow_is_plain_infinity() {
        let huge = of(&[1e300, 1e300]);
        assert_eq!(huge.value(), f64::INFINITY);
        assert_eq!(Wealth::of_return(f64::INFINITY).value(), f64::INFINITY);
        assert!(of(&[f64::INFINITY, -1.0]).value().is_nan());
    }
}
