//! What the window functions do with one ordered partition.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Int64Array, UInt64Array, new_null_array};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{shift, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::PartitionEvaluator;

use super::Place;
use crate::functions::scalar::without_negative_zero;
use crate::refusal::Refusal;

fn only(values: &[ArrayRef]) -> Result<&ArrayRef> {
    values.first().ok_or_else(|| exec_datafusion_err!("the argument of a window function is missing"))
}

/// ROW_NUMBER.
#[derive(Debug)]
pub(super) struct RowNumbers;

impl PartitionEvaluator for RowNumbers {
    fn evaluate_all(&mut self, _: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(1..=num_rows as i64)))
    }
}

/// RANK, DENSE_RANK.
#[derive(Debug)]
pub(super) struct Ranks {
    pub(super) dense: bool,
}

impl PartitionEvaluator for Ranks {
    fn include_rank(&self) -> bool {
        true
    }

    fn evaluate_all_with_rank(&self, num_rows: usize, ranks_in_partition: &[Range<usize>]) -> Result<ArrayRef> {
        let mut ranks = Vec::with_capacity(num_rows);
        for (i, peers) in ranks_in_partition.iter().enumerate() {
            let rank = if self.dense { i } else { peers.start } as i64 + 1;
            ranks.extend(std::iter::repeat_n(rank, peers.len()));
        }
        Ok(Arc::new(Int64Array::from(ranks)))
    }
}

/// NTILE: tiles of ⌈rows / n⌉ rows.
#[derive(Debug)]
pub(super) struct Tiles {
    pub(super) tiles: i64,
}

impl PartitionEvaluator for Tiles {
    fn evaluate_all(&mut self, _: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let tile = (num_rows as u64).div_ceil(self.tiles.unsigned_abs().max(1)).max(1);
        Ok(Arc::new(Int64Array::from_iter_values((0..num_rows as u64).map(|row| (row / tile) as i64 + 1))))
    }
}

/// LAG (`rows` above 0) and LEAD (below).
#[derive(Debug)]
pub(super) struct Shift {
    pub(super) rows: i64,
}

impl PartitionEvaluator for Shift {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        Ok(shift(only(values)?.as_ref(), self.rows)?)
    }
}

/// FIRST_VALUE, LAST_VALUE, NTH_VALUE.
#[derive(Debug)]
pub(super) struct PartitionValue {
    pub(super) place: Place,
    pub(super) n: i64,
}

impl PartitionEvaluator for PartitionValue {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let values = only(values)?;
        match target(self.place, self.n, 0, &(0..num_rows)) {
            Some(row) => Ok(take(values, &UInt64Array::from_value(row as u64, num_rows), None)?),
            None => Ok(new_null_array(values.data_type(), num_rows)),
        }
    }
}

/// The row that a place means for the row `at`; `None` where it lies outside the frame.
fn target(place: Place, n: i64, at: usize, frame: &Range<usize>) -> Option<usize> {
    let n = usize::try_from(n).ok()?;
    let row = match place {
        Place::First => Some(frame.start),
        Place::Last => frame.end.checked_sub(1),
        Place::Nth => frame.start.checked_add(n.checked_sub(1)?),
        Place::Ahead => at.checked_add(n),
        Place::Behind => at.checked_sub(n),
    };
    row.filter(|row| frame.contains(row))
}

/// The keys of a RANGE frame that ends before the partition does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeKeys {
    Ascending,
    Descending,
}

/// The forms `..._IN_FRAME`. DataFusion asks for the rows of a partition one after the other, from the first.
#[derive(Debug)]
pub(super) struct FrameValue {
    pub(super) place: Place,
    pub(super) n: i64,
    pub(super) row: usize,
    pub(super) range: Option<RangeKeys>,
}

impl FrameValue {
    fn value(&self, values: &ArrayRef, frame: &Range<usize>) -> Result<ScalarValue> {
        match target(self.place, self.n, self.row, frame).filter(|&row| row < values.len()) {
            Some(row) => ScalarValue::try_from_array(values, row),
            None => ScalarValue::try_from(values.data_type()),
        }
    }

    /// HeavyDB takes the end of a RANGE frame, the first row after it, as its last row, where there is one.
    fn check(&self, values: &ArrayRef, key: Option<&ArrayRef>, frame: &Range<usize>, value: &ScalarValue) -> Result<()> {
        let Some(range) = self.range else { return Ok(()) };
        let longer = frame.start..(frame.end + 1).min(values.len());
        let nulls = key.and_then(|key| key.logical_nulls());
        let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        // A descending key is searched as if it ascended, which finds all rows where all are in the frame.
        let is_whole = frame.len() + nulls.as_ref().map_or(0, |nulls| nulls.null_count()) >= values.len();
        if range == RangeKeys::Descending && !is_null(self.row) && !is_whole || self.value(values, &longer)? != *value {
            let reason = "HeavyDB counts the row after a RANGE frame in, and searches descending keys as if they ascended: \
                          its value is another one here; use a ROWS frame";
            return Err(Refusal::new("a function over a RANGE frame", reason).into());
        }
        Ok(())
    }
}

impl PartitionEvaluator for FrameValue {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let (argument, key) = (only(values)?, values.get(1));
        let value = self.value(argument, range)?;
        self.check(argument, key, range, &value)?;
        self.row += 1;
        Ok(value)
    }

    fn uses_window_frame(&self) -> bool {
        true
    }

    fn supports_bounded_execution(&self) -> bool {
        // Rows that have left the frame would be dropped, and the others renumbered.
        false
    }
}

/// FORWARD_FILL, BACKWARD_FILL.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) forward: bool,
}

impl PartitionEvaluator for Fill {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let values = only(values)?;
        let Some(nulls) = values.logical_nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(Arc::clone(values)) };
        let mut last = None;
        let mut source = |row: usize| {
            if nulls.is_valid(row) {
                last = Some(row as u64);
            }
            last
        };
        let rows: UInt64Array = if self.forward {
            (0..num_rows).map(source).collect()
        } else {
            let mut rows: Vec<Option<u64>> = (0..num_rows).rev().map(&mut source).collect();
            rows.reverse();
            rows.into()
        };
        Ok(take(values, &rows, None)?)
    }
}

/// CONDITIONAL_CHANGE_EVENT.
#[derive(Debug)]
pub(super) struct ChangeEvents;

impl PartitionEvaluator for ChangeEvents {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let values = without_negative_zero(only(values)?)?;
        if num_rows == 0 || values.data_type() == &DataType::Null {
            return Ok(Arc::new(Int64Array::from_value(0, num_rows)));
        }
        let differs = cmp::neq(&values.slice(0, num_rows - 1), &values.slice(1, num_rows - 1))?;
        let changes = differs.iter().scan(0, |changes, differs| {
            *changes += i64::from(differs == Some(true));
            Some(*changes)
        });
        Ok(Arc::new(Int64Array::from_iter_values(std::iter::once(0).chain(changes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(values: &[Option<i64>]) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(values.to_vec()))]
    }

    fn all(evaluator: &mut dyn PartitionEvaluator, values: &[Option<i64>]) -> Vec<Option<i64>> {
        let result = evaluator.evaluate_all(&integers(values), values.len()).unwrap();
        result.as_any().downcast_ref::<Int64Array>().unwrap().iter().collect()
    }

    #[test]
    fn ten_rows_in_four_tiles_are_three_three_three_one() {
        let tiles: Vec<i64> = all(&mut Tiles { tiles: 4 }, &[None; 10]).into_iter().flatten().collect();
        assert_eq!(tiles, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]);
        assert_eq!(all(&mut Tiles { tiles: i64::MAX }, &[None; 2]), [Some(1), Some(2)]);
    }

    #[test]
    fn fills_take_the_nearest_value_on_their_side() {
        let values = [None, Some(1), None, None, Some(2), None];
        assert_eq!(all(&mut Fill { forward: true }, &values), [None, Some(1), Some(1), Some(1), Some(2), Some(2)]);
        assert_eq!(all(&mut Fill { forward: false }, &values), [Some(1), Some(1), Some(2), Some(2), Some(2), None]);
    }

    #[test]
    fn a_step_over_null_is_no_change() {
        let values = [Some(1), Some(1), Some(2), None, Some(3), Some(3), Some(1)];
        assert_eq!(all(&mut ChangeEvents, &values), [0, 0, 1, 1, 1, 1, 2].map(Some));
        assert_eq!(all(&mut ChangeEvents, &[]), []);
    }

    #[test]
    fn a_row_outside_the_frame_is_null() {
        let values = integers(&[Some(1), Some(2), Some(3)]);
        let mut ahead = FrameValue { place: Place::Ahead, n: 1, row: 0, range: None };
        let frames = [0..2, 0..2, 0..3];
        let found: Vec<ScalarValue> = frames.iter().map(|frame| ahead.evaluate(&values, frame).unwrap()).collect();
        assert_eq!(found, [ScalarValue::Int64(Some(2)), ScalarValue::Int64(None), ScalarValue::Int64(None)]);
    }

    #[test]
    fn where_heavydb_takes_the_row_after_a_range_the_call_fails() {
        let values = integers(&[Some(1), Some(2), Some(3)]);
        let over =
            |place, frame: Range<usize>| FrameValue { place, n: 1, row: 0, range: Some(RangeKeys::Ascending) }.evaluate(&values, &frame);
        assert!(Refusal::of(&over(Place::Last, 0..2).unwrap_err()).is_some());
        assert!(over(Place::Ahead, 0..1).is_err());
        assert_eq!(over(Place::Ahead, 0..2).unwrap(), ScalarValue::Int64(Some(2)));
        assert_eq!(over(Place::Last, 0..3).unwrap(), ScalarValue::Int64(Some(3)));
    }

    #[test]
    fn a_shift_beyond_the_partition_is_null() {
        assert_eq!(all(&mut Shift { rows: 5 }, &[Some(1), Some(2)]), [None, None]);
        assert_eq!(all(&mut Shift { rows: -1 }, &[Some(1), Some(2)]), [Some(2), None]);
        assert_eq!(all(&mut Shift { rows: i64::MAX }, &[Some(1)]), [None]);
    }
}
