//! A block of rows, column by column.

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, NullBufferBuilder};
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

/// Rows that wait until a block is full.
#[derive(Debug)]
pub(super) struct Block {
    columns: Vec<Column>,
    rows: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Column {
    values: Vec<f64>,
    valid: NullBufferBuilder,
    /// Of a whole block: the rows that are not NULL, where some are.
    present: Option<NullBuffer>,
    /// Of a whole block without NULLs.
    centred: Centred,
}

impl Default for Column {
    fn default() -> Self {
        Self { values: Vec::new(), valid: NullBufferBuilder::new(0), present: None, centred: Centred::default() }
    }
}

impl Column {
    /// Centres the values, where all are there.
    fn prepare(&mut self) {
        self.present = self.valid.finish().filter(|present| present.null_count() > 0);
        if self.present.is_none() {
            self.centred.centre(&self.values);
        }
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
        let common = NullBuffer::union(one.present.as_ref(), other.present.as_ref());
        for ((values, centred), column) in self.values.iter_mut().zip(&mut self.centred).zip([one, other]) {
            values.clear();
            match &common {
                Some(common) => common.valid_slices().for_each(|(start, end)| values.extend_from_slice(&column.values[start..end])),
                None => values.extend_from_slice(&column.values),
            }
            centred.centre(values);
        }
        CoMoments::of(&self.centred[0], &self.centred[1], self.values[0].len())
    }
}

impl Block {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: (0..columns).map(|_| Column::default()).collect(), rows: 0, capacity: block_rows(columns) }
    }

    /// Takes the rows `rows` of the arrays, or as many of them as the block has room for; returns how many.
    ///
    /// # Errors
    /// An array is not of doubles.
    pub(super) fn fill(&mut self, arrays: &[ArrayRef], rows: Range<usize>) -> Result<usize> {
        let taken = rows.len().min(self.capacity - self.rows);
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            let Some(array) = array.as_primitive_opt::<Float64Type>() else {
                return internal_err!("WideCorrelationExec: a column of type {}", array.data_type());
            };
            let part = array.slice(rows.start, taken);
            column.values.extend_from_slice(part.values());
            match part.nulls().filter(|nulls| nulls.null_count() > 0) {
                Some(nulls) => column.valid.append_buffer(nulls),
                None => column.valid.append_n_non_nulls(taken),
            }
        }
        self.rows += taken;
        Ok(taken)
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == self.capacity
    }

    /// Adds the block's rows to the moments of each pair of columns, and empties it.
    pub(super) fn drain_into(&mut self, pairs: &[(usize, usize)], moments: &mut [CoMoments]) {
        let rows = self.rows;
        let shared = |count: usize| rows * count >= VALUES_TO_SHARE && rayon::current_num_threads() > 1;
        match shared(self.columns.len()) {
            true => self.columns.par_iter_mut().for_each(Column::prepare),
            false => self.columns.iter_mut().for_each(Column::prepare),
        }
        let columns = &self.columns;
        let add = |common: &mut CommonRows, (&(one, other), moments): (&(usize, usize), &mut CoMoments)| {
            let (one, other) = (&columns[one], &columns[other]);
            if one.is_whole() && other.is_whole() {
                moments.merge(&CoMoments::of(&one.centred, &other.centred, rows));
            } else if !moments.is_settled() {
                moments.merge(&common.moments(one, other));
            }
        };
        match shared(pairs.len()) {
            true => pairs.par_iter().zip(moments).for_each_init(CommonRows::default, add),
            false => {
                let mut common = CommonRows::default();
                pairs.iter().zip(moments).for_each(|pair| add(&mut common, pair));
            }
        }
        self.columns.iter_mut().for_each(|column| column.values.clear());
        self.rows = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::Float64Array;

    use super::*;

    fn moments(one: &Float64Array, other: &Float64Array, batch_rows: usize) -> CoMoments {
        let mut block = Block::new(20_000);
        let (pairs, mut moments) = ([(0, 1)], [CoMoments::default()]);
        for start in (0..one.len()).step_by(batch_rows) {
            let rows = batch_rows.min(one.len() - start);
            let arrays = [one, other].map(|array| Arc::new(array.slice(start, rows)) as ArrayRef);
            let mut done = 0;
            while done < rows {
                done += block.fill(&arrays, done..rows).expect("doubles");
                if block.is_full() {
                    block.drain_into(&pairs, &mut moments);
                }
            }
        }
        block.drain_into(&pairs, &mut moments);
        moments[0]
    }

    #[test]
    fn the_batches_of_the_input_do_not_change_a_bit() {
        let with_gaps = |step: i32| (0..1000).map(|i| (i % step != 0).then(|| f64::from(i * i % 97))).collect::<Float64Array>();
        for (one, other) in [(with_gaps(7), with_gaps(11)), (with_gaps(2000), with_gaps(3)), (with_gaps(1), with_gaps(5))] {
            let whole = moments(&one, &other, 1000);
            for batch_rows in [1, 63, 64, 100] {
                assert_eq!(moments(&one, &other, batch_rows), whole);
            }
        }
    }

    #[test]
    fn only_common_rows_count() {
        let one = Float64Array::from(vec![Some(1.0), None, Some(2.0), Some(f64::NAN), Some(4.0), None]);
        let other = Float64Array::from(vec![Some(3.0), Some(f64::INFINITY), Some(5.0), None, Some(4.0), None]);
        let plain = moments(&Float64Array::from(vec![1.0, 2.0, 4.0]), &Float64Array::from(vec![3.0, 5.0, 4.0]), 3);
        assert_eq!(moments(&one, &other, 6).correlation(), plain.correlation());
    }
}
