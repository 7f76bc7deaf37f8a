//! Accumulators of moving window frames. Rows leave in the order they came; nothing is ever subtracted.

use std::collections::VecDeque;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::Accumulator;

use super::Input;
use super::keep::Keep;
use crate::finish::{Finish, OfSorted, sort};
use crate::row::{Row, Series};
use crate::states::State;

/// The rows of the frame and two stacks of states over them: for each older row the state of it and the older rows after it, and one
/// state of all newer rows. A row costs one merge on average, an evaluation one merge. Where merging does not hold, the frame is
/// computed anew.
#[derive(Debug)]
pub(super) struct SlidingAccumulator<S: State> {
    input: Input,
    finish: Finish<S>,
    rows: VecDeque<S::Row>,
    older: Vec<S>,
    newer: S,
}

impl<S: State> SlidingAccumulator<S> {
    pub(super) fn new(input: Input, finish: Finish<S>) -> Self {
        let newer = finish.empty();
        Self { input, finish, rows: VecDeque::new(), older: Vec::new(), newer }
    }

    fn drop_oldest(&mut self) {
        if S::MERGES {
            if self.older.is_empty() {
                self.restack();
            }
            self.older.pop();
        }
        self.rows.pop_front();
    }

    /// Moves all rows to the stack of older ones.
    fn restack(&mut self) {
        let mut following = self.finish.empty();
        for &row in self.rows.iter().rev() {
            let mut state = self.finish.empty();
            state.push(row);
            state.merge(&following);
            self.older.push(state.clone());
            following = state;
        }
        self.newer = self.finish.empty();
    }

    fn merged(&self) -> Option<S> {
        if !S::MERGES {
            return None;
        }
        let mut state = self.older.last().cloned().unwrap_or_else(|| self.finish.empty());
        state.merge(&self.newer);
        state.merges().then_some(state)
    }
}

impl<S: State> Accumulator for SlidingAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, S::Row::WIDTH, self.input.nulls)?;
        series.rows(None).each(|_, row: S::Row| {
            self.rows.push_back(row);
            if S::MERGES {
                self.newer.push(row);
            }
        });
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, S::Row::WIDTH, self.input.nulls)?;
        (0..series.rows(None).count()).for_each(|_| self.drop_oldest());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let result = match self.merged() {
            Some(state) => self.finish.of(&state),
            None => self.finish.fold(self.rows.iter().copied()),
        };
        Ok(self.input.result.scalar(result))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<S::Row>() + self.older.capacity() * size_of::<S>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        no_partial()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        no_partial()
    }
}

/// `DISTINCT` in a moving frame: the frame is computed anew from its distinct rows.
#[derive(Debug)]
pub(super) struct SlidingDistinct<R, F> {
    input: Input,
    finish: F,
    rows: VecDeque<R>,
}

impl<R: Row, F: OfSorted<R>> SlidingDistinct<R, F> {
    pub(super) fn new(input: Input, finish: F) -> Self {
        Self { input, finish, rows: VecDeque::new() }
    }
}

impl<R: Row, F: OfSorted<R>> Accumulator for SlidingDistinct<R, F> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, R::WIDTH, self.input.nulls)?;
        series.rows(None).each(|_, row| self.rows.push_back(row));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, R::WIDTH, self.input.nulls)?;
        let leaving = series.rows(None).count().min(self.rows.len());
        self.rows.drain(..leaving);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut rows: Vec<R> = self.rows.iter().copied().collect();
        let kept = sort(&mut rows, true);
        Ok(self.input.result.scalar(self.finish.of_sorted(&rows[..kept])))
    }

    fn size(&self) -> usize {
        size_of_val(self) + 2 * self.rows.capacity() * size_of::<R>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        no_partial()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        no_partial()
    }
}

/// Kept rows of a moving frame, from which the result is computed anew.
#[derive(Debug)]
pub(super) struct SlidingKept<C: Keep> {
    keep: C,
    rows: VecDeque<C::Item>,
}

impl<C: Keep> SlidingKept<C> {
    pub(super) fn new(keep: C) -> Self {
        Self { keep, rows: VecDeque::new() }
    }
}

impl<C: Keep<Item: Copy>> Accumulator for SlidingKept<C> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { keep, rows } = self;
        keep.read(values, None, |_, row| rows.push_back(row))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { keep, rows } = self;
        keep.read(values, None, |_, _| {
            rows.pop_front();
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut rows: Vec<C::Item> = self.rows.iter().copied().collect();
        let ends = [rows.len()];
        ScalarValue::try_from_array(&self.keep.evaluate(&mut rows, &ends)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + 2 * self.rows.capacity() * size_of::<C::Item>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        no_partial()
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        no_partial()
    }
}

fn no_partial<T>() -> Result<T> {
    not_impl_err!("the accumulator of a moving window frame has no partial result")
}
