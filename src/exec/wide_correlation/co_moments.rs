//! What is kept of two columns: counts, means, squares and products of deviations.

/// Lanes of a sum, which a processor adds up side by side.
const LANES: usize = 8;

/// Means, centred squares and co-moment of the rows in which both sides are present.
///
/// Blocks of rows are merged by the formula of Chan, Golub and LeVeque. A mean is kept as a value of the column and the distance from it,
/// so that a large offset of the column costs no digits. Deviations whose squares would overflow or vanish are kept in units of a power of two.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct CoMoments {
    rows: u64,
    sides: [Side; 2],
    product: f64,
}

/// The moments of one side.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    /// A value of the column.
    origin: f64,
    /// Mean minus origin, in units of two to the exponent, as are the deviations.
    mean: f64,
    /// Sum of squared deviations.
    square: f64,
    /// 0 but for huge and tiny deviations; [`ANY`] as long as there are none.
    exponent: i32,
    min: f64,
    max: f64,
    /// Whether a value was NaN or infinite: the moments then mean nothing.
    undefined: bool,
}

impl Default for Side {
    fn default() -> Self {
        Self { origin: 0.0, mean: 0.0, square: 0.0, exponent: ANY, min: f64::INFINITY, max: f64::NEG_INFINITY, undefined: false }
    }
}

impl Side {
    /// Range of the values, without their moments.
    fn of(values: &[f64]) -> Self {
        let mut side = Self { origin: values.first().copied().unwrap_or_default(), ..Self::default() };
        for &value in values {
            side.min = if value < side.min { value } else { side.min };
            side.max = if value > side.max { value } else { side.max };
            side.undefined |= !value.is_finite();
        }
        side
    }

    fn is_constant(&self) -> bool {
        self.min == self.max
    }

    /// In units of two to an exponent that is not below its own.
    fn in_units(&mut self, exponent: i32) {
        if self.exponent != exponent && self.exponent != ANY {
            self.mean = scaled(self.mean, self.exponent - exponent);
            self.square = scaled(self.square, 2 * (self.exponent - exponent));
        }
        self.exponent = exponent;
    }

    /// The square, exactly 0 where all values are equal.
    fn exact_square(&self) -> f64 {
        if self.is_constant() { 0.0 } else { self.square }
    }
}

/// Values centred on their mean as far as rounding allows. Its storage is used again.
#[derive(Debug, Default)]
pub(super) struct Centred {
    side: Side,
    deviations: Vec<f64>,
    /// Sum of the deviations: what rounding has left of the mean.
    residual: f64,
}

impl Centred {
    /// Centres other values.
    pub(super) fn centre(&mut self, values: &[f64]) {
        self.deviations.clear();
        self.residual = 0.0;
        self.side = Side::of(values);
        if self.side.undefined || values.is_empty() {
            return;
        }
        let (n, origin) = (values.len() as f64, self.side.origin);
        self.side.exponent = exponent_of_difference(self.side.max, self.side.min);
        match self.side.exponent {
            0 | ANY => self.deviations.extend(values.iter().map(|value| value - origin)),
            exponent => {
                let origin = scaled(origin, -exponent);
                self.deviations.extend(values.iter().map(|&value| scaled(value, -exponent) - origin));
            }
        }
        let mean = sum(&self.deviations) / n;
        self.deviations.iter_mut().for_each(|deviation| *deviation -= mean);
        self.residual = sum(&self.deviations);
        self.side.mean = mean + self.residual / n;
        self.side.square = product(&self.deviations, &self.deviations) - self.residual * self.residual / n;
    }

    /// Whether a value was NaN or infinite.
    pub(super) fn is_undefined(&self) -> bool {
        self.side.undefined
    }
}

impl CoMoments {
    /// The same `rows` rows of two columns.
    pub(super) fn of(one: &Centred, other: &Centred, rows: usize) -> Self {
        let (n, undefined) = (rows as f64, one.side.undefined || other.side.undefined);
        // The same expression as for a square, so that a column with itself gives three equal sums.
        let co_moment = if undefined { 0.0 } else { product(&one.deviations, &other.deviations) - one.residual * other.residual / n };
        Self { rows: rows as u64, sides: [one.side, other.side], product: co_moment }
    }

    /// Whether both sides are undefined for good, so that further rows change nothing.
    pub(super) fn is_settled(&self) -> bool {
        self.rows > 1 && self.sides.iter().all(|side| side.undefined)
    }

    /// Adds the rows of `later`.
    pub(super) fn merge(&mut self, later: &Self) {
        if later.rows == 0 {
            return;
        }
        if self.rows == 0 {
            *self = *later;
            return;
        }
        let (n1, n2) = (self.rows as f64, later.rows as f64);
        let n = n1 + n2;
        let mut deltas = [0.0; 2];
        let mut later = *later;
        self.in_common_units(&mut later);
        let product = self.exact_product() + later.exact_product();
        for ((mine, theirs), delta) in self.sides.iter_mut().zip(&later.sides).zip(&mut deltas) {
            *delta = difference(theirs.origin, mine.origin, mine.exponent) + (theirs.mean - mine.mean);
            mine.square = mine.exact_square() + theirs.exact_square() + *delta * *delta * n1 * n2 / n;
            mine.mean += *delta * n2 / n;
            mine.min = mine.min.min(theirs.min);
            mine.max = mine.max.max(theirs.max);
            mine.undefined |= theirs.undefined;
        }
        self.product = product + deltas[0] * deltas[1] * n1 * n2 / n;
        self.rows += later.rows;
    }

    /// Has both in the larger units of the two, or in those of the distance between them.
    fn in_common_units(&mut self, later: &mut Self) {
        for (mine, theirs) in self.sides.iter_mut().zip(&mut later.sides) {
            let exponent = mine.exponent.max(theirs.exponent).max(exponent_of_difference(theirs.origin, mine.origin));
            for (side, product) in [(mine, &mut self.product), (theirs, &mut later.product)] {
                if side.exponent != exponent && side.exponent != ANY {
                    *product = scaled(*product, side.exponent - exponent);
                }
                side.in_units(exponent);
            }
        }
    }

    fn exact_product(&self) -> f64 {
        if self.sides.iter().any(Side::is_constant) { 0.0 } else { self.product }
    }

    /// Pearson correlation, in [-1, 1]; `None` below two rows and where a side is constant.
    ///
    /// As with DataFusion's `corr`, NaN where both sides hold a NaN and `None` where one does. Infinities count as NaN.
    pub(super) fn correlation(&self) -> Option<f64> {
        let [one, other] = &self.sides;
        if one.undefined && other.undefined {
            return Some(f64::NAN);
        }
        let (a, b) = (one.exact_square(), other.exact_square());
        if one.undefined || other.undefined || self.rows < 2 || a <= 0.0 || b <= 0.0 {
            return None;
        }
        // A column with itself is exactly 1; a product that leaves the range of f64 has two roots that do not.
        let squares = a * b;
        let norm = if a == b {
            a
        } else if squares.is_normal() {
            squares.sqrt()
        } else {
            a.sqrt() * b.sqrt()
        };
        Some((self.product / norm).clamp(-1.0, 1.0))
    }

    /// Covariance with so many rows subtracted in the denominator (1 for that of a sample); `None` where it is not positive.
    ///
    /// NaN where a value is NaN or infinite.
    pub(super) fn covariance(&self, subtracted: u64) -> Option<f64> {
        let rows = self.rows.checked_sub(subtracted).filter(|rows| *rows > 0)?;
        let undefined = self.sides.iter().any(|side| side.undefined);
        let units = self.sides.iter().map(|side| if side.exponent == ANY { 0 } else { side.exponent }).sum();
        Some(if undefined { f64::NAN } else { scaled(self.exact_product() / rows as f64, units) })
    }
}

/// The exponent of a side without deviations: below every other.
const ANY: i32 = i32::MIN;

/// Powers of two up to which squares of deviations, and their sums, neither overflow nor vanish.
const ORDINARY: i32 = 400;

/// The exponent in whose units a difference is kept.
fn exponent_of_difference(one: f64, other: f64) -> i32 {
    // Of the largest numbers the difference itself overflows.
    let half = (one / 2.0 - other / 2.0).abs().max(f64::MIN_POSITIVE);
    let exponent = (half.to_bits() >> 52) as i32 - 1023 + 1;
    match exponent {
        _ if one == other => ANY,
        ordinary if ordinary.abs() <= ORDINARY => 0,
        beyond => beyond,
    }
}

/// The difference of two values of a column, in units of two to the exponent.
fn difference(one: f64, other: f64, exponent: i32) -> f64 {
    match exponent {
        0 | ANY => one - other,
        exponent => scaled(one, -exponent) - scaled(other, -exponent),
    }
}

/// A number times a power of two, infinite where it is too large for a number.
fn scaled(value: f64, exponent: i32) -> f64 {
    // In steps, each a power that exists.
    let step = exponent / 4;
    [step, step, step, exponent - 3 * step].into_iter().fold(value, |value, exponent| value * 2f64.powi(exponent))
}

/// Sum, lane by lane.
fn sum(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    chunks.iter().for_each(|chunk| (0..LANES).for_each(|lane| lanes[lane] += chunk[lane]));
    rest.iter().enumerate().for_each(|(lane, value)| lanes[lane] += value);
    lanes.into_iter().sum()
}

/// Sum of products, lane by lane.
fn product(one: &[f64], other: &[f64]) -> f64 {
    let ((ones, one), (others, other)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in ones.iter().zip(others) {
        (0..LANES).for_each(|lane| lanes[lane] += a[lane] * b[lane]);
    }
    one.iter().zip(other).enumerate().for_each(|(lane, (a, b))| lanes[lane] += a * b);
    lanes.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(one: &[f64], other: &[f64]) -> CoMoments {
        let mut centred = [Centred::default(), Centred::default()];
        centred.iter_mut().zip([one, other]).for_each(|(centred, values)| centred.centre(values));
        CoMoments::of(&centred[0], &centred[1], one.len())
    }

    /// In blocks of `rows` rows.
    fn in_blocks(one: &[f64], other: &[f64], rows: usize) -> CoMoments {
        let mut whole = CoMoments::default();
        one.chunks(rows).zip(other.chunks(rows)).for_each(|(a, b)| whole.merge(&moments(a, b)));
        whole
    }

    /// Numbers in [0, 1) from a linear congruential generator.
    fn noise(seed: u64, rows: usize) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..rows).map(|_| next()).collect()
    }

    /// The correlation of whole numbers, exact up to its last steps.
    fn exact(one: &[i64], other: &[i64]) -> f64 {
        let n = one.len() as i128;
        let total = |values: &[i64]| values.iter().map(|&v| i128::from(v)).sum::<i128>();
        let products = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum::<i128>();
        let centred = |a: &[i64], b: &[i64]| (n * products(a, b) - total(a) * total(b)) as f64;
        centred(one, other) / (centred(one, one).sqrt() * centred(other, other).sqrt())
    }

    #[test]
    fn a_large_offset_and_near_duplicates_keep_twelve_digits() {
        // In units of 2^-23, the last bit of a double near 1e9: offset 1e9, spread 1e-2.
        let unit = 2f64.powi(-23);
        let steps = |seed, range: f64| noise(seed, 5000).into_iter().map(|x| (x * range) as i64).collect::<Vec<_>>();
        let offset = (1e9 / unit) as i64;
        let one = steps(1, 83_886.0);
        let independent: Vec<i64> = steps(2, 83_886.0).iter().map(|x| -x).collect();
        let duplicate: Vec<i64> = one.iter().zip(steps(3, 2.0)).map(|(x, e)| x + e).collect();
        let doubles = |values: &[i64]| values.iter().map(|&v| (v + offset) as f64 * unit).collect::<Vec<_>>();
        for other in [&independent, &duplicate, &one] {
            for rows in [64, 2048, 5000] {
                let found = in_blocks(&doubles(&one), &doubles(other), rows).correlation().expect("varies");
                assert!((found - exact(&one, other)).abs() < 1e-13, "{rows}: {found} {}", exact(&one, other));
            }
        }
    }

    #[test]
    fn an_outlier_in_one_block_does_not_blur_the_others() {
        let (mut one, other) = (noise(4, 300), noise(5, 300));
        let later = in_blocks(&one[100..], &other[100..], 100);
        one[0] = 1e17;
        let mut again = CoMoments::default();
        one[100..].chunks(100).zip(other[100..].chunks(100)).for_each(|(a, b)| again.merge(&moments(a, b)));
        assert_eq!(later, again);
        assert!(in_blocks(&one, &other, 100).correlation().is_some_and(f64::is_finite));
    }

    #[test]
    fn a_column_with_itself_is_exactly_one() {
        let one = noise(6, 1001);
        let opposite: Vec<f64> = one.iter().map(|x| -x).collect();
        for rows in [7, 500, 1001] {
            assert_eq!(in_blocks(&one, &one, rows).correlation(), Some(1.0));
            assert_eq!(in_blocks(&one, &opposite, rows).correlation(), Some(-1.0));
        }
    }

    #[test]
    fn undefined_results_are_null() {
        assert_eq!(CoMoments::default().correlation(), None);
        assert_eq!(moments(&[1.0], &[2.0]).correlation(), None);
        assert_eq!(in_blocks(&[0.1; 50], &noise(7, 50), 7).correlation(), None);
        assert_eq!(in_blocks(&[0.1; 50], &noise(7, 50), 7).covariance(1), Some(0.0));
        assert_eq!((moments(&[1.0], &[2.0]).covariance(1), moments(&[1.0], &[2.0]).covariance(0)), (None, Some(0.0)));
        assert_eq!(CoMoments::default().covariance(0), None);
    }

    #[test]
    fn one_undefined_side_is_null_and_two_are_nan() {
        let plain = noise(8, 4);
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let spoilt = [1.0, odd, 2.0, 3.0];
            assert_eq!(in_blocks(&spoilt, &plain, 2).correlation(), None);
            assert_eq!(in_blocks(&plain, &spoilt, 2).correlation(), None);
            assert!(in_blocks(&spoilt, &[0.0, 1.0, 2.0, odd], 2).correlation().is_some_and(f64::is_nan));
            assert!(in_blocks(&spoilt, &plain, 2).covariance(1).is_some_and(f64::is_nan));
        }
    }

    #[test]
    fn extreme_magnitudes_neither_overflow_nor_vanish() {
        let plain = noise(9, 60);
        let expected = moments(&plain, &noise(10, 60)).correlation().expect("varies");
        for (scale, other) in [(1e120, 1e150), (1e-120, 1e-150), (1e200, 1e200), (1e300, 1.0), (1e-200, 1e-300), (1.7e308, 1e-300)] {
            let one: Vec<f64> = plain.iter().map(|x| x * scale).collect();
            let two: Vec<f64> = noise(10, 60).iter().map(|x| x * other).collect();
            for rows in [60, 7] {
                let whole = in_blocks(&one, &two, rows);
                let found = whole.correlation().expect("varies");
                assert!((found - expected).abs() < 1e-12, "{scale} {other}: {found} {expected}");
                let covariance = in_blocks(&plain, &noise(10, 60), rows).covariance(1).expect("rows");
                let found = whole.covariance(1).expect("rows");
                let exact = covariance * scale * other;
                assert!(found == exact || (found / exact - 1.0).abs() < 1e-12, "{scale} {other}: {found} {exact}");
            }
        }
    }

    #[test]
    fn blocks_of_different_magnitudes_are_put_together() {
        let (mut one, two) = (noise(11, 40), noise(12, 40));
        // Tiny deviations around 0, a constant stretch, ordinary ones, huge ones.
        one[..10].iter_mut().for_each(|x| *x *= 1e-250);
        one[10..20].fill(0.0);
        let tiny = in_blocks(&one[..20], &two[..20], 10).correlation().expect("varies");
        let scaled_up: Vec<f64> = one[..20].iter().map(|x| x * 1e250).collect();
        assert!((tiny - moments(&scaled_up, &two[..20]).correlation().expect("varies")).abs() < 1e-12);
        let ordinary = in_blocks(&one[..30], &two[..30], 10).correlation().expect("varies");
        assert!((ordinary - moments(&one[..30], &two[..30]).correlation().expect("varies")).abs() < 1e-12);
        one[30..].iter_mut().for_each(|x| *x = (*x - 0.5) * 2.0 * 1.5e308);
        let huge = in_blocks(&one, &two, 10).correlation().expect("varies");
        let scaled_down: Vec<f64> = one.iter().map(|x| x * 1e-300).collect();
        assert!((huge - moments(&scaled_down, &two).correlation().expect("varies")).abs() < 1e-12);
        // A constant far from the tiny ones.
        let apart: Vec<f64> = one[..10].iter().copied().chain([5.0; 10]).collect();
        let steps: Vec<f64> = [0.0; 10].into_iter().chain([5.0; 10]).collect();
        let found = in_blocks(&apart, &two[..20], 10).correlation().expect("varies");
        assert!((found - moments(&steps, &two[..20]).correlation().expect("varies")).abs() < 1e-12);
    }
}
