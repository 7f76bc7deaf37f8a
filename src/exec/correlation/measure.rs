//! What is computed of a pair of series.

use super::bits::Bits;
use super::standard::{centre, fold_lanes, rank, scaled, standardise, sum};

/// A measure of two series over the periods in which both have a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Measure {
    /// Pearson's correlation, -1 to 1.
    Pearson,
    /// Spearman's: Pearson's of the ranks, equal values sharing the mean of theirs.
    Spearman,
    /// Sample covariance (divisor n - 1).
    Covariance,
}

/// What preparing a row has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreparedRow {
    /// Whether its values differ.
    pub(super) varies: bool,
    /// Power of two by which the row is to be multiplied.
    pub(super) exponent: i32,
}

/// Powers of two up to which products of values neither overflow nor vanish.
const ORDINARY: i32 = 400;

/// Two unit vectors nearer than this to one line are compared by their difference.
const NEARLY_ONE: f64 = 0.999;

impl Measure {
    /// Name of the result's column.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Pearson | Self::Spearman => "correlation",
            Self::Covariance => "covariance",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Covariance => "covariance",
        }
    }

    /// Whether a constant series has none, and the result lies in -1 to 1.
    pub(super) fn is_correlation(self) -> bool {
        self != Self::Covariance
    }

    /// Whether pairs of series that lack periods are computed from products over the common periods; otherwise value by value.
    pub(super) fn has_masked_products(self) -> bool {
        self == Self::Pearson
    }

    /// Makes a row of a complete series, in place, such that the dot product of two rows, times the powers of two of both, is the measure.
    pub(super) fn prepare(self, values: &mut [f64]) -> PreparedRow {
        if self == Self::Spearman {
            rank(values);
        }
        let standard = standardise(values);
        let varies = !standard.is_constant();
        if self != Self::Covariance {
            return PreparedRow { varies, exponent: 0 };
        }
        let deviation = standard.norm / (values.len().max(2) as f64 - 1.0).sqrt();
        // Values so huge or tiny that their products would overflow or vanish keep their power of two aside.
        let (within, exponent) = if standard.exponent.abs() <= ORDINARY { (standard.exponent, 0) } else { (0, standard.exponent) };
        let deviation = scaled(deviation, within);
        values.iter_mut().for_each(|value| *value *= deviation);
        PreparedRow { varies, exponent }
    }

    /// The measure of two prepared rows from their dot product.
    ///
    /// Near 1 it is taken from the length of the difference, so that equal series give exactly 1 and nearly equal ones keep their digits.
    #[inline]
    pub(super) fn of_product(self, product: f64, a: &[f64], b: &[f64]) -> f64 {
        if !self.is_correlation() || product.abs() <= NEARLY_ONE {
            return product;
        }
        let sign = product.signum();
        (sign * (1.0 - 0.5 * squared_distance(a, b, sign))).clamp(-1.0, 1.0)
    }

    /// The measure of two series over the periods that both have, from their values; `None` where it is undefined.
    pub(super) fn of_values(self, a: (&[f64], &Bits), b: (&[f64], &Bits)) -> Option<f64> {
        let common: Vec<usize> = (0..a.0.len().min(b.0.len())).filter(|&t| a.1.contains(t) && b.1.contains(t)).collect();
        if common.len() < 2 {
            return None;
        }
        let (mut x, mut y): (Vec<f64>, Vec<f64>) = common.iter().map(|&t| (a.0[t], b.0[t])).unzip();
        if let Some(undefined) = self.of_infinite(&x, &y) {
            return undefined;
        }
        if self == Self::Covariance {
            let exponent = centre(&mut x) + centre(&mut y);
            return Some(scaled(dot(&x, &y) / (x.len() as f64 - 1.0), exponent));
        }
        let varies = self.prepare(&mut x).varies & self.prepare(&mut y).varies;
        varies.then(|| self.of_product(dot(&x, &y), &x, &y).clamp(-1.0, 1.0))
    }

    /// What SQL's aggregates give where a value is infinite or NaN: NULL where one side is NaN, else NaN.
    fn of_infinite(self, x: &[f64], y: &[f64]) -> Option<Option<f64>> {
        if x.iter().chain(y).all(|value| value.is_finite()) {
            return None;
        }
        let (x, y) = (sum(x, |value| value), sum(y, |value| value));
        Some((!self.is_correlation() || x.is_nan() == y.is_nan()).then_some(f64::NAN))
    }
}

/// Dot product in eight lanes.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    lanes(a, b, |a, b| a * b)
}

/// Squared length of `a - sign * b`.
fn squared_distance(a: &[f64], b: &[f64], sign: f64) -> f64 {
    lanes(a, b, |a, b| {
        let difference = a - sign * b;
        difference * difference
    })
}

#[inline]
fn lanes(a: &[f64], b: &[f64], of: impl Fn(f64, f64) -> f64) -> f64 {
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(&a, &b)| of(a, b)).sum();
    let mut lanes = [0.0; 8];
    for (a, b) in left.zip(right) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += of(a, b);
        }
    }
    fold_lanes(lanes) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(measure: Measure, a: &[f64], b: &[f64]) -> Option<f64> {
        let all = Bits::first(a.len());
        measure.of_values((a, &all), (b, &all))
    }

    #[test]
    fn worked_examples() {
        let (r, b) = ([0.01, -0.02, 0.03, -0.01, 0.02, 0.0, -0.005, 0.015], [0.008, -0.015, 0.02, -0.012, 0.01, 0.002, -0.004, 0.009]);
        let near = |value: Option<f64>, expected: f64| (value.expect("defined") - expected).abs() < 1e-15;
        assert!(near(of(Measure::Pearson, &r, &b), 0.980689239257765));
        assert!(near(of(Measure::Covariance, &r, &b), 0.001365 / 7.0));
        let shifted = ([1e9 + 1.0, 1e9 + 2.0, 1e9 + 4.0], [1e9 + 2.0, 1e9 + 1.0, 1e9 + 5.0]);
        assert!(near(of(Measure::Pearson, &shifted.0, &shifted.1), 0.8386278693775346));
        assert!(near(of(Measure::Spearman, &[1.0, 2.0, 3.0, 4.0], &[10.0, 30.0, 20.0, 40.0]), 0.8));
    }

    #[test]
    fn a_series_with_itself_is_exactly_one() {
        let series: Vec<f64> = (0..257).map(|t| f64::from(t * 31 % 101).sqrt()).collect();
        let negated: Vec<f64> = series.iter().map(|value| -value).collect();
        assert_eq!(of(Measure::Pearson, &series, &series), Some(1.0));
        assert_eq!(of(Measure::Pearson, &series, &negated), Some(-1.0));
    }

    #[test]
    fn undefined_is_null() {
        assert_eq!(of(Measure::Pearson, &[1.0], &[2.0]), None);
        assert_eq!(of(Measure::Pearson, &[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(of(Measure::Covariance, &[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), Some(0.0));
        assert_eq!(of(Measure::Covariance, &[1.0], &[1.0]), None);
    }

    #[test]
    fn covariances_beyond_the_range_of_numbers_are_infinite_and_others_are_not() {
        let (huge, other, tiny) = ([1e308, -1e308, 0.0], [1e308, -1e307, 0.0], [3e-308, -3e-308, 0.0]);
        for (a, b, expected) in
            [(huge, other, f64::INFINITY), (huge, tiny, 3.0), (tiny, tiny, 0.0), (huge, other.map(|x| -x), f64::NEG_INFINITY)]
        {
            let of_values = of(Measure::Covariance, &a, &b).expect("defined");
            let (mut x, mut y) = (a, b);
            let exponent = Measure::Covariance.prepare(&mut x).exponent + Measure::Covariance.prepare(&mut y).exponent;
            let of_rows = scaled(dot(&x, &y), exponent);
            for found in [of_values, of_rows] {
                assert!(found == expected || (found - expected).abs() < 1e-12, "{a:?} {b:?}: {found}");
            }
        }
    }

    #[test]
    fn only_periods_of_both_count() {
        let (a, b) = ([1.0, 2.0, 1e30, 4.0, 9.0], [2.0, 1.0, 7.0, 5.0, 1e30]);
        let (mut of_a, mut of_b) = (Bits::first(5), Bits::first(5));
        of_a.remove(2);
        of_b.remove(4);
        let both = Measure::Pearson.of_values((&a, &of_a), (&b, &of_b));
        assert_eq!(both, of(Measure::Pearson, &[1.0, 2.0, 4.0], &[2.0, 1.0, 5.0]));
    }

    #[test]
    fn infinities_give_what_the_aggregate_gives() {
        let plain = [1.0, 2.0, 3.0];
        assert!(of(Measure::Pearson, &[1.0, f64::INFINITY, 3.0], &plain).is_some_and(f64::is_nan));
        assert_eq!(of(Measure::Pearson, &[1.0, f64::NAN, 3.0], &plain), None);
        assert!(of(Measure::Pearson, &[f64::NAN; 3], &[f64::NAN; 3]).is_some_and(f64::is_nan));
    }
}
