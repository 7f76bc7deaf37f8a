//! Order statistics of values sorted in ascending order.

use super::Compensated;
use crate::constants::BILLION;

/// Type-7 quantile at `tail` billionths: linear between the two neighbouring values.
///
/// The rank is split by integer division, so that a whole rank gives the order statistic itself. `None` for no values.
pub(crate) fn quantile(sorted: &[f64], tail: u64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let scaled = last as u128 * u128::from(tail);
    let (rank, rest) = ((scaled / u128::from(BILLION)) as usize, (scaled % u128::from(BILLION)) as f64);
    let below = *sorted.get(rank)?;
    match sorted.get(rank + 1) {
        Some(above) if rest > 0.0 => Some(below + rest / BILLION as f64 * (above - below)),
        _ => Some(below),
    }
}

/// Quantile at `tail` billionths from the top.
pub(crate) fn upper_quantile(sorted: &[f64], tail: u64) -> Option<f64> {
    quantile(sorted, BILLION - tail)
}

/// Mean of the values not above the quantile at `tail`.
pub(crate) fn expected_shortfall(sorted: &[f64], tail: u64) -> Option<f64> {
    let limit = quantile(sorted, tail)?;
    let below = &sorted[..sorted.partition_point(|&x| x <= limit)];
    let mut sum = Compensated::default();
    below.iter().for_each(|&x| sum.add(x));
    (!below.is_empty()).then(|| sum.value() / below.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_PERCENT: u64 = 50_000_000;

    #[test]
    fn whole_ranks_are_order_statistics() {
        let grid: Vec<f64> = (-10..=10).map(|i| f64::from(i) * 0.005).collect();
        assert_eq!(quantile(&grid, FIVE_PERCENT), Some(-0.045));
        assert_eq!(expected_shortfall(&grid, FIVE_PERCENT), Some(-0.0475));
        assert_eq!(upper_quantile(&grid, FIVE_PERCENT), Some(0.045));
    }

    #[test]
    fn equal_values_and_no_values() {
        let ties = [vec![-0.02; 5], vec![0.01; 15]].concat();
        assert_eq!(quantile(&ties, FIVE_PERCENT), Some(-0.02));
        assert_eq!(expected_shortfall(&ties, FIVE_PERCENT), Some(-0.02));
        assert_eq!(quantile(&[], FIVE_PERCENT), None);
        assert_eq!(expected_shortfall(&[7.0], FIVE_PERCENT), Some(7.0));
    }

    #[test]
    fn infinite_neighbours_do_not_spoil_a_whole_rank() {
        assert_eq!(quantile(&[f64::NEG_INFINITY, 1.0, 2.0], 500_000_000), Some(1.0));
    }
}
