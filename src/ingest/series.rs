//! Facts about the series of a source: NULLs, zeros, constant and identical series, and whether they look like equity levels.

use std::collections::HashMap;

use rayon::prelude::*;

use super::source::StrategySource;
use crate::error::{Error, Result};

/// Values looked at together by one thread.
const BLOCK_VALUES: usize = 1 << 18;

/// What the values of a source are like.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct SeriesFacts {
    /// Values that are NULL.
    pub(crate) nulls: u64,
    /// Values that are zero.
    pub(crate) zeros: u64,
    /// Strategies (ordinals) without any value.
    pub(crate) all_null: Vec<u32>,
    /// Strategies (ordinals) with two values and more, all equal.
    pub(crate) constant: Vec<u32>,
    /// Strategies (ordinals) with identical series, two and more together, in source order.
    pub(crate) identical: Vec<Vec<u32>>,
    /// All values are positive and every strategy starts with the same one.
    pub(crate) looks_like_levels: bool,
}

/// One strategy's share of the facts.
struct Series {
    hash: u64,
    nulls: u64,
    zeros: u64,
    constant: bool,
    positive: bool,
    first: f64,
}

impl Series {
    fn scan(values: &[f64]) -> Self {
        let mut series =
            Series { hash: 0, nulls: 0, zeros: 0, constant: true, positive: true, first: values.first().copied().unwrap_or(f64::NAN) };
        let mut first_value = None;
        for &value in values {
            series.hash = mix(series.hash, canonical_bits(value));
            if value.is_nan() {
                series.nulls += 1;
                continue;
            }
            series.zeros += u64::from(value == 0.0);
            series.positive &= value > 0.0;
            series.constant &= *first_value.get_or_insert(value) == value;
        }
        series.constant &= values.len() as u64 - series.nulls > 1;
        series
    }
}

/// Looks at every value of a source once, in parallel, with constant memory per thread.
///
/// # Errors
/// When the source cannot be read.
pub(crate) fn scan(source: &dyn StrategySource) -> Result<SeriesFacts> {
    let (strategies, periods) = (source.strategies().len() as u32, source.periods().num_rows());
    let together = (BLOCK_VALUES / periods.max(1)).max(1) as u32;
    let blocks: Vec<u32> = (0..strategies).step_by(together as usize).collect();
    let scanned: Vec<Vec<Series>> = blocks
        .into_par_iter()
        .map(|first| {
            let ordinals: Vec<u32> = (first..(first + together).min(strategies)).collect();
            let mut values = vec![0.0; ordinals.len() * periods];
            source.read_block(&ordinals, 0..periods, &mut values)?;
            Ok::<_, Error>(values.chunks_exact(periods.max(1)).map(Series::scan).collect())
        })
        .collect::<Result<_>>()?;
    let series: Vec<Series> = scanned.into_iter().flatten().collect();
    let having = |has: &dyn Fn(&Series) -> bool| (0u32..).zip(&series).filter(|(_, s)| has(s)).map(|(o, _)| o).collect::<Vec<_>>();
    Ok(SeriesFacts {
        nulls: series.iter().map(|s| s.nulls).sum(),
        zeros: series.iter().map(|s| s.zeros).sum(),
        all_null: having(&|s| s.nulls == periods as u64),
        constant: having(&|s| s.constant),
        identical: identical(source, &series)?,
        looks_like_levels: looks_like_levels(&series, periods),
    })
}

/// A single strategy or a single period cannot show that its values share a start.
fn looks_like_levels(series: &[Series], periods: usize) -> bool {
    let Some(first) = series.first().map(|s| s.first) else { return false };
    periods > 1 && series.len() > 1 && series.iter().all(|s| s.first == first && s.positive && s.nulls < periods as u64)
}

/// Groups of equal series: equal hashes first, then the values themselves.
fn identical(source: &dyn StrategySource, series: &[Series]) -> Result<Vec<Vec<u32>>> {
    let periods = source.periods().num_rows();
    let mut by_hash: HashMap<u64, Vec<u32>> = HashMap::with_capacity(series.len());
    (0u32..).zip(series).filter(|(_, s)| s.nulls < periods as u64).for_each(|(o, s)| by_hash.entry(s.hash).or_default().push(o));
    let mut groups: Vec<Vec<u32>> = by_hash.into_values().filter(|group| group.len() > 1).collect();
    groups.sort();
    let (mut first, mut other) = (vec![0.0; periods], vec![0.0; periods]);
    for group in &mut groups {
        source.read_block(&group[..1], 0..periods, &mut first)?;
        let mut equal = vec![group[0]];
        for &ordinal in &group[1..] {
            source.read_block(&[ordinal], 0..periods, &mut other)?;
            if first.iter().zip(&other).all(|(a, b)| canonical_bits(*a) == canonical_bits(*b)) {
                equal.push(ordinal);
            }
        }
        *group = equal;
    }
    groups.retain(|group| group.len() > 1);
    Ok(groups)
}

/// The bits of a value; all NaN are one NULL.
fn canonical_bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// Folds one more word into a hash (multiply and shift, after the finaliser of SplitMix64).
fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 32)
}
