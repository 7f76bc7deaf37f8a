//! A block of rows, column by column.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::{Result, internal_err};
use rayon::prelude::*;

use super::co_moments::{Centred, CoMoments};

/// Values of a block: 8 MiB, and as much again centred.
const BLOCK_VALUES: usize = 1 << 20;
/// Rows of a block at least and at most.
const BLOCK_ROWS: (usize, usize) = (64, 8192);
/// Values from which a step is shared out among threads.
const VALUES_TO_SHARE: usize = 1 << 17;

/// Rows of a block of so many columns.
pub(super) fn block_rows(columns: usize) -> usize {
    (BLOCK_VALUES / columns.max(1)).clamp(BLOCK_ROWS.0, BLOCK_ROWS.1)
}

/// Bytes that a block of so many columns takes.
pub(super) fn block_bytes(columns: usize) -> usize {
    columns * block_rows(columns) * 2 * size_of::<f64>()
}

/// A column of a block.
struct Column<'a> {
    values: &'a Float64Array,
    /// The rows that are not NULL, where some are.
    present: Option<&'a NullBuffer>,
    /// Where no row is NULL.
    centred: &'a Centred,
}

impl<'a> Column<'a> {
    /// Centres the values, where all are there.
    fn prepare(array: &'a ArrayRef, centred: &'a mut Centred) -> Result<Self> {
        let Some(values) = array.as_primitive_opt::<Float64Type>() else {
            return internal_err!("WideCorrelationExec: a column of type {}", array.data_type());
        };
        let present = values.nulls().filter(|present| present.null_count() > 0);
        if present.is_none() {
            centred.centre(values.values());
        }
        Ok(Self { values, present, centred })
    }

    /// Whether every row has a finite value.
    fn is_whole(&self) -> bool {
        self.present.is_none() && !self.centred.is_undefined()
    }
}

/// The common rows of two columns.
#[derive(Debug, Default)]
struct CommonRows {
    values: [Vec<f64>; 2],
    centred: [Centred; 2],
}

impl CommonRows {
    fn moments(&mut self, one: &Column, other: &Column) -> CoMoments {
        let common = NullBuffer::union(one.present, other.present);
        for ((values, centred), column) in self.values.iter_mut().zip(&mut self.centred).zip([one, other]) {
            let all = column.values.values();
            values.clear();
            match &common {
                Some(common) => common.valid_slices().for_each(|(start, end)| values.extend_from_slice(&all[start..end])),
                None => values.extend_from_slice(all),
            }
            centred.centre(values);
        }
        CoMoments::of(&self.centred[0], &self.centred[1], self.values[0].len())
    }
}

/// The moments of pairs of columns, block by block.
#[derive(Debug)]
pub(super) struct PairMoments {
    /// What columns become when they are centred; the storage is used by every block.
    centred: Vec<Centred>,
    moments: Vec<CoMoments>,
}

impl PairMoments {
    pub(super) fn new(columns: usize, pairs: usize) -> Self {
        Self { centred: (0..columns).map(|_| Centred::default()).collect(), moments: vec![CoMoments::default(); pairs] }
    }

    /// Adds the `rows` rows of a block; `arrays` are its columns.
    ///
    /// # Errors
    /// An array is not of doubles.
    pub(super) fn add(&mut self, pairs: &[(usize, usize)], arrays: &[ArrayRef], rows: usize) -> Result<()> {
        let shared = |count: usize| rows * count >= VALUES_TO_SHARE && rayon::current_num_threads() > 1;
        let columns: Vec<Column> = match shared(arrays.len()) {
            true => {
                arrays.par_iter().zip(&mut self.centred).map(|(array, centred)| Column::prepare(array, centred)).collect::<Result<_>>()?
            }
            false => arrays.iter().zip(&mut self.centred).map(|(array, centred)| Column::prepare(array, centred)).collect::<Result<_>>()?,
        };
        let add = |common: &mut CommonRows, (&(one, other), moments): (&(usize, usize), &mut CoMoments)| {
            let (one, other) = (&columns[one], &columns[other]);
            if one.is_whole() && other.is_whole() {
                moments.merge(&CoMoments::of(one.centred, other.centred, rows));
            } else if !moments.is_settled() {
                moments.merge(&common.moments(one, other));
            }
        };
        match shared(pairs.len()) {
            true => pairs.par_iter().zip(&mut self.moments).for_each_init(CommonRows::default, add),
            false => {
                let mut common = CommonRows::default();
                pairs.iter().zip(&mut self.moments).for_each(|pair| add(&mut common, pair));
            }
        }
        Ok(())
    }

    /// The moments of each pair.
    pub(super) fn all(&self) -> &[CoMoments] {
        &self.moments
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn moments(one: &Float64Array, other: &Float64Array) -> CoMoments {
        let mut pairs = PairMoments::new(2, 1);
        let arrays = [one, other].map(|array| Arc::new(array.clone()) as ArrayRef);
        pairs.add(&[(0, 1)], &arrays, one.len()).expect("doubles");
        pairs.all()[0]
    }

    #[test]
    fn a_block_leaves_nothing_to_the_next() {
        let with_gaps = |step: i32| (0..1000).map(|i| (i % step != 0).then(|| f64::from(i * i % 97))).collect::<Float64Array>();
        let (gaps, whole) = (with_gaps(7), with_gaps(2000).slice(1, 999));
        let mut pairs = PairMoments::new(2, 1);
        let mut expected = CoMoments::default();
        for (one, other) in [(gaps.slice(1, 999), whole.clone()), (whole.clone(), whole.clone()), (whole.slice(0, 500), gaps.slice(0, 500))]
        {
            let arrays = [one.clone(), other.clone()].map(|array| Arc::new(array) as ArrayRef);
            pairs.add(&[(0, 1)], &arrays, one.len()).expect("doubles");
            expected.merge(&moments(&one, &other));
        }
        assert_eq!(pairs.all(), [expected]);
    }

    #[test]
    fn other_types_are_an_error() {
        let texts = Arc::new(datafusion::arrow::array::StringArray::from(vec!["1"])) as ArrayRef;
        assert!(PairMoments::new(1, 1).add(&[(0, 0)], &[texts], 1).is_err());
    }

    #[test]
    fn only_common_rows_count() {
        let one = Float64Array::from(vec![Some(1.0), None, Some(2.0), Some(f64::NAN), Some(4.0), None]);
        let other = Float64Array::from(vec![Some(3.0), Some(f64::INFINITY), Some(5.0), None, Some(4.0), None]);
        let plain = moments(&Float64Array::from(vec![1.0, 2.0, 4.0]), &Float64Array::from(vec![3.0, 5.0, 4.0]));
        assert_eq!(moments(&one, &other).correlation(), plain.correlation());
    }
}
