//! The normal distribution.

/// Density.
pub(super) fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// A rational approximation: numerator and denominator, coefficients from the constant term upwards.
struct Rational([f64; 8], [f64; 8]);

impl Rational {
    fn at(&self, x: f64) -> f64 {
        let horner = |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c);
        horner(&self.0) / horner(&self.1)
    }
}

/// For probabilities within 0.425 of one half.
const CENTRE: Rational = Rational(
    [
        3.387_132_872_796_366_5,
        133.141_667_891_784_38,
        1_971.590_950_306_551_3,
        13_731.693_765_509_46,
        45_921.953_931_549_87,
        67_265.770_927_008_7,
        33_430.575_583_588_13,
        2_509.080_928_730_122_7,
    ],
    [
        1.0,
        42.313_330_701_600_91,
        687.187_007_492_057_9,
        5_394.196_021_424_751,
        21_213.794_301_586_597,
        39_307.895_800_092_71,
        28_729.085_735_721_943,
        5_226.495_278_852_545,
    ],
);

/// For tails down to about 1e-11.
const TAIL: Rational = Rational(
    [
        1.423_437_110_749_683_5,
        4.630_337_846_156_546,
        5.769_497_221_460_691,
        3.647_848_324_763_204_5,
        1.270_458_252_452_368_4,
        0.241_780_725_177_450_6,
        0.022_723_844_989_269_184,
        7.745_450_142_783_414e-4,
    ],
    [
        1.0,
        2.053_191_626_637_759,
        1.676_384_830_183_803_8,
        0.689_767_334_985_1,
        0.148_103_976_427_480_08,
        0.015_198_666_563_616_457,
        5.475_938_084_995_345e-4,
        1.050_750_071_644_416_9e-9,
    ],
);

/// Quantile of the standard normal distribution at `probability` in [1e-11, 1 - 1e-11], to about 1e-16 relative.
///
/// Rational approximation of Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988).
/// Its third range, below 1e-11, is left out: probabilities come in billionths.
pub(super) fn quantile(probability: f64) -> f64 {
    let q = probability - 0.5;
    if q.abs() <= 0.425 {
        return q * CENTRE.at(0.180_625 - q * q);
    }
    let tail = if q < 0.0 { probability } else { 1.0 - probability };
    let r = (-tail.ln()).sqrt();
    TAIL.at(r - 1.6).copysign(q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_hold_to_two_units_in_the_last_place() {
        for (p, z) in [
            (0.05, -1.6448536269514727),
            (0.01, -2.3263478740408408),
            (0.025, -1.9599639845400545),
            (1e-9, -5.9978070150076865),
            (0.5, 0.0),
            (0.95, 1.6448536269514727),
        ] {
            let found = quantile(p);
            assert!((found - z).abs() <= 4.0 * f64::EPSILON * z.abs().max(0.25), "{p}: {found:?} {z:?}");
        }
    }

    #[test]
    fn density_at_zero() {
        assert_eq!(density(0.0), 0.398_942_280_401_432_7);
    }
}
