//! Series as unit vectors: centred, and scaled to length 1, so that a correlation is one dot product.
//!
//! The mean is taken twice: of the values less the first one, and of what is left. A series whose offset is a hundred billion times its
//! spread keeps all the digits that its values have.

/// What standardising has found of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Standard {
    /// Square root of the sum of squared deviations, divided by a power of two; 0 for a constant series.
    pub(super) norm: f64,
    /// The power: 2 to this.
    pub(super) exponent: i32,
}

impl Standard {
    /// Whether all values are equal.
    pub(super) fn is_constant(&self) -> bool {
        self.norm == 0.0
    }
}

/// Centres the values and scales them to length 1, in place; a constant series, or one of fewer than two values, becomes zeros.
///
/// All values are finite.
pub(super) fn standardise(values: &mut [f64]) -> Standard {
    let exponent = centre(values);
    let squares: f64 = sum(values, |value| value * value);
    if squares == 0.0 {
        values.fill(0.0);
        return Standard { norm: 0.0, exponent: 0 };
    }
    let norm = squares.sqrt();
    values.iter_mut().for_each(|value| *value /= norm);
    Standard { norm, exponent }
}

/// Subtracts the mean, and divides by a power of two so that squares neither overflow nor vanish: the exponent of the power by which the
/// values are to be multiplied to be the deviations. A constant series becomes zeros.
pub(super) fn centre(values: &mut [f64]) -> i32 {
    let Some(&first) = values.first() else { return 0 };
    if values.iter().all(|&value| value == first) {
        values.fill(0.0);
        return 0;
    }
    // Differences of the largest values overflow.
    let large = values.iter().any(|value| value.abs() > f64::MAX / 4.0);
    let (before, divided) = if large { (0.25, 2) } else { (1.0, 0) };
    values.iter_mut().for_each(|value| *value = *value * before - first * before);
    let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let power = power_of_two(largest);
    let inverse = 1.0 / power;
    values.iter_mut().for_each(|value| *value *= inverse);
    for _ in 0..2 {
        let mean = sum(values, |value| value) / values.len() as f64;
        values.iter_mut().for_each(|value| *value -= mean);
    }
    exponent_of(power) + divided
}

/// The exponent of a power of two in the range of normal numbers.
fn exponent_of(power: f64) -> i32 {
    (power.to_bits() >> 52) as i32 - 1023
}

/// A number times a power of two, infinite where it is too large for a number.
pub(super) fn scaled(value: f64, exponent: i32) -> f64 {
    // In three steps, each a power that exists.
    let step = exponent / 3;
    [step, step, exponent - 2 * step].into_iter().fold(value, |value, exponent| value * 2f64.powi(exponent))
}

/// The power of two at or below a positive number, at least the smallest normal one.
fn power_of_two(value: f64) -> f64 {
    f64::from_bits(value.max(f64::MIN_POSITIVE).to_bits() & 0x7FF0_0000_0000_0000)
}

/// Sum in eight lanes, which are added pairwise: the same on every machine, and exacter than one chain.
#[inline]
pub(super) fn sum(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&value| of(value)).sum();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += of(value);
        }
    }
    fold_lanes(lanes) + rest
}

/// The lanes of a sum, pairwise.
#[inline]
pub(super) fn fold_lanes(lanes: [f64; 8]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

/// Replaces each value by its rank from 1, equal values by the mean of their ranks.
pub(super) fn rank(values: &mut [f64]) {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    // Negative zero sorts before zero and equals it.
    for tied in order.chunk_by(|&a, &b| values[a as usize] == values[b as usize]) {
        let mean = start as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&place| ranks[place as usize] = mean);
        start += tied.len();
    }
    values.copy_from_slice(&ranks);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standardised(values: &[f64]) -> (Vec<f64>, f64) {
        let mut values = values.to_vec();
        let standard = standardise(&mut values);
        (values, scaled(standard.norm, standard.exponent))
    }

    #[test]
    fn a_series_becomes_a_unit_vector_around_zero() {
        let (unit, norm) = standardised(&[1.0, 2.0, 3.0, 4.0, 10.0]);
        assert!((norm - 50.0_f64.sqrt()).abs() < 1e-15, "{norm}");
        assert!(sum(&unit, |z| z).abs() < 1e-15 && (sum(&unit, |z| z * z) - 1.0).abs() < 1e-15, "{unit:?}");
    }

    #[test]
    fn a_large_offset_costs_no_digit() {
        // Whole numbers times a power of two: the offset leaves the deviations exact.
        let small: Vec<f64> = (0..1000).map(|t| f64::from(t * 7919 % 1009) / 1024.0).collect();
        let offset: Vec<f64> = small.iter().map(|value| value + 1e9).collect();
        let (a, b) = (standardised(&small), standardised(&offset));
        let worst = a.0.iter().zip(&b.0).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-16, "{worst:e}");
    }

    #[test]
    fn huge_and_tiny_values_neither_overflow_nor_vanish() {
        let base = [1.0, -2.0, 3.0, -4.0, 2.5];
        let (expected, _) = standardised(&base);
        for scale in [1e307 / 4.0 * 17.0, 1e300, 1e-200, 1e-300] {
            let (unit, norm) = standardised(&base.map(|value| value * scale));
            let worst = unit.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-14, "{scale:e}: {unit:?}");
            assert!(norm > 0.0);
        }
        let (unit, _) = standardised(&[f64::MAX, -f64::MAX, f64::MAX]);
        assert!(unit.iter().all(|z| z.is_finite()), "{unit:?}");
        let (unit, _) = standardised(&[0.0, 5e-324, 5e-324]);
        assert!((sum(&unit, |z| z * z) - 1.0).abs() < 1e-15, "{unit:?}");
    }

    #[test]
    fn constant_series_become_zeros() {
        for constant in [vec![], vec![3.0], vec![0.1; 7], vec![0.0, -0.0]] {
            let (unit, norm) = standardised(&constant);
            assert!(norm == 0.0 && unit.iter().all(|&z| z == 0.0), "{constant:?}");
        }
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        let mut values = [3.0, -0.0, 1.0, 0.0, 1.0, 1.0];
        rank(&mut values);
        assert_eq!(values, [6.0, 1.5, 4.0, 1.5, 4.0, 4.0]);
    }
}
