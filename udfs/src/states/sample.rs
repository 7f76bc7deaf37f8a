//! Order statistics of values without NaN.

use std::cmp::Ordering;

use super::Compensated;
use crate::constants::BILLION;

/// The order of numbers. Both zeros are equal, which no result shows.
fn ascending(a: &f64, b: &f64) -> Ordering {
    if a < b {
        Ordering::Less
    } else if a > b {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

/// The least value.
fn least(values: &[f64]) -> Option<f64> {
    let lesser = |a: f64, b: f64| if b < a { b } else { a };
    // Lanes that do not wait for each other.
    let mut lanes = [f64::INFINITY; 8];
    let whole = values.chunks_exact(lanes.len());
    let rest = whole.remainder();
    whole.for_each(|values| lanes.iter_mut().zip(values).for_each(|(lane, &x)| *lane = lesser(*lane, x)));
    (!values.is_empty()).then(|| lanes.into_iter().chain(rest.iter().copied()).fold(f64::INFINITY, lesser))
}

/// Values whose order statistics are asked for. The answers are the same bits either way, but for the sign of zero.
#[derive(Debug)]
pub(crate) enum Values<'a> {
    /// In ascending order.
    Sorted(&'a [f64]),
    /// In any order; brought in order only as far as a question needs it.
    Unsorted(&'a mut [f64]),
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Sorted(values) => values.len(),
            Self::Unsorted(values) => values.len(),
        }
    }

    /// The value of rank `rank`, counted from 0 at the smallest, and the next one.
    fn neighbours(&mut self, rank: usize) -> Option<(f64, Option<f64>)> {
        match self {
            Self::Sorted(values) => Some((*values.get(rank)?, values.get(rank + 1).copied())),
            Self::Unsorted(values) if rank >= values.len() => None,
            Self::Unsorted(values) => {
                let (_, at, above) = values.select_nth_unstable_by(rank, ascending);
                Some((*at, least(above)))
            }
        }
    }

    /// The values not above `limit`, in ascending order.
    fn up_to(&mut self, limit: f64) -> &[f64] {
        match self {
            Self::Sorted(values) => &values[..values.partition_point(|&x| x <= limit)],
            Self::Unsorted(values) => {
                let mut below = 0;
                for i in 0..values.len() {
                    if values[i] <= limit {
                        values.swap(below, i);
                        below += 1;
                    }
                }
                values[..below].sort_unstable_by(f64::total_cmp);
                &values[..below]
            }
        }
    }

    /// Type-7 quantile at `tail` billionths: linear between the two neighbouring values.
    ///
    /// The rank is split by integer division, so that a whole rank gives the order statistic itself. `None` for no values.
    pub(crate) fn quantile(&mut self, tail: u64) -> Option<f64> {
        let last = self.len().checked_sub(1)?;
        let scaled = last as u128 * u128::from(tail);
        let (rank, rest) = ((scaled / u128::from(BILLION)) as usize, (scaled % u128::from(BILLION)) as f64);
        match self.neighbours(rank)? {
            (below, Some(above)) if rest > 0.0 => Some(below + rest / BILLION as f64 * (above - below)),
            (below, _) => Some(below),
        }
    }

    /// Quantile at `tail` billionths from the top.
    pub(crate) fn upper_quantile(&mut self, tail: u64) -> Option<f64> {
        self.quantile(BILLION - tail)
    }

    /// Mean of the values not above the quantile at `tail`.
    pub(crate) fn expected_shortfall(&mut self, tail: u64) -> Option<f64> {
        let limit = self.quantile(tail)?;
        let below = self.up_to(limit);
        let mut sum = Compensated::default();
        below.iter().for_each(|&x| sum.add(x));
        (!below.is_empty()).then(|| sum.value() / below.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_PERCENT: u64 = 50_000_000;

    #[test]
    fn whole_ranks_are_order_statistics() {
        let grid: Vec<f64> = (-10..=10).map(|i| f64::from(i) * 0.005).collect();
        assert_eq!(Values::Sorted(&grid).quantile(FIVE_PERCENT), Some(-0.045));
        assert_eq!(Values::Sorted(&grid).expected_shortfall(FIVE_PERCENT), Some(-0.0475));
        assert_eq!(Values::Sorted(&grid).upper_quantile(FIVE_PERCENT), Some(0.045));
    }

    #[test]
    fn equal_values_and_no_values() {
        let ties = [vec![-0.02; 5], vec![0.01; 15]].concat();
        assert_eq!(Values::Sorted(&ties).quantile(FIVE_PERCENT), Some(-0.02));
        assert_eq!(Values::Sorted(&ties).expected_shortfall(FIVE_PERCENT), Some(-0.02));
        assert_eq!(Values::Sorted(&[]).quantile(FIVE_PERCENT), None);
        assert_eq!(Values::Unsorted(&mut []).quantile(FIVE_PERCENT), None);
        assert_eq!(Values::Unsorted(&mut [7.0]).expected_shortfall(FIVE_PERCENT), Some(7.0));
    }

    #[test]
    fn infinite_neighbours_do_not_spoil_a_whole_rank() {
        assert_eq!(Values::Sorted(&[f64::NEG_INFINITY, 1.0, 2.0]).quantile(500_000_000), Some(1.0));
    }

    #[test]
    fn the_least_of_any_number_of_values() {
        let values: Vec<f64> = (0..40_u32).map(|i| f64::from((i * 7 + 3) % 41) - 20.0).collect();
        for end in 0..values.len() {
            assert_eq!(least(&values[..end]), values[..end].iter().copied().reduce(f64::min));
        }
        assert_eq!(least(&[f64::INFINITY; 9]), Some(f64::INFINITY));
    }

    #[test]
    fn sorting_beforehand_changes_nothing() {
        // A full cycle of a linear congruence, with ties, both zeros and infinities among the values.
        let mut values: Vec<f64> = (0..257_u32).map(|i| f64::from((i * 97 + 13) % 64) - 32.0).collect();
        values.extend([-0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY]);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let bits = |x: f64| (x + 0.0).to_bits();
        for tail in [1, 10_000_000, FIVE_PERCENT, 500_000_000, BILLION - 1] {
            let of_sorted = [Values::Sorted(&sorted).quantile(tail), Values::Sorted(&sorted).expected_shortfall(tail)];
            let of_any = [Values::Unsorted(&mut values).quantile(tail), Values::Unsorted(&mut values).expected_shortfall(tail)];
            assert_eq!(of_any.map(|x| x.map(bits)), of_sorted.map(|x| x.map(bits)), "{tail}");
        }
    }
}
