//! DataFusion's accumulators over any [`State`]: of one group, of a moving frame, of distinct rows, of many groups.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, not_impl_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::row::Row;
use super::states::{Number, State, bytes};

/// The last step of an aggregate.
pub(super) type Finish<S> = Arc<dyn Fn(&S) -> Result<Option<Number>> + Send + Sync>;

/// How the states of a call end.
pub(super) struct Ending<S> {
    pub(super) finish: Finish<S>,
    pub(super) result: DataType,
}

impl<S> std::fmt::Debug for Ending<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ending").field("result", &self.result).finish_non_exhaustive()
    }
}

impl<S> Ending<S> {
    fn of(&self, state: &S) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.array(std::iter::once((self.finish)(state)))?, 0)
    }

    fn array(&self, results: impl Iterator<Item = Result<Option<Number>>>) -> Result<ArrayRef> {
        let doubles = |result: Option<Number>| {
            result.map(|number| match number {
                Number::Whole(whole) => whole as f64,
                Number::Double(double) => double,
            })
        };
        let wholes = |result: Option<Number>| match result {
            Some(Number::Whole(whole)) => Some(whole),
            _ => None,
        };
        Ok(match &self.result {
            DataType::Int64 => {
                let values = results.map(|result| Ok(wholes(result?).and_then(|whole| i64::try_from(whole).ok())));
                Arc::new(values.collect::<Result<Int64Array>>()?)
            }
            &DataType::Decimal128(precision, scale) => {
                let values = results.map(|result| Ok(wholes(result?))).collect::<Result<Decimal128Array>>()?;
                Arc::new(values.with_precision_and_scale(precision, scale)?)
            }
            DataType::Float32 => {
                Arc::new(results.map(|result| Ok(doubles(result?).map(|double| double as f32))).collect::<Result<Float32Array>>()?)
            }
            DataType::Float64 => Arc::new(results.map(|result| Ok(doubles(result?))).collect::<Result<Float64Array>>()?),
            other => return exec_err!("no numeric aggregate gives {other}"),
        })
    }
}

/// Calls `each` on every row that counts.
fn each<R: Row>(arguments: &[ArrayRef], mut each: impl FnMut(R)) -> Result<()> {
    let (rows, valid) = R::read(arguments)?;
    match valid.filter(|valid| valid.null_count() > 0) {
        None => rows.iter().for_each(|&row| each(row)),
        Some(valid) => rows.iter().zip(valid.iter()).filter(|(_, counts)| *counts).for_each(|(&row, _)| each(row)),
    }
    Ok(())
}

/// The state of one group, or of a frame that only grows.
#[derive(Debug)]
pub(super) struct OneGroup<S> {
    ending: Ending<S>,
    state: S,
}

impl<S: State> OneGroup<S> {
    pub(super) fn new(ending: Ending<S>) -> Self {
        Self { ending, state: S::default() }
    }
}

impl<S: State> Accumulator for OneGroup<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        // A copy stays in registers.
        let mut state = self.state.clone();
        each(values, |row| state.push(row))?;
        self.state = state;
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.ending.of(&self.state)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.state.write()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        bytes(states)?.iter().flatten().for_each(|parts| self.state.merge(&S::read(parts)));
        Ok(())
    }
}

/// The rows of a moving frame. Nothing is ever subtracted: for each older row there is the state of it and the older rows after it, and
/// one state of all newer rows. A row costs one merge on average, an evaluation one merge.
#[derive(Debug)]
pub(super) struct MovingFrame<S: State> {
    ending: Ending<S>,
    rows: VecDeque<S::Row>,
    older: Vec<S>,
    newer: S,
}

impl<S: State> MovingFrame<S> {
    pub(super) fn new(ending: Ending<S>) -> Self {
        Self { ending, rows: VecDeque::new(), older: vec![], newer: S::default() }
    }

    fn drop_oldest(&mut self) {
        if self.older.is_empty() {
            let mut following = S::default();
            for &row in self.rows.iter().rev() {
                let mut state = S::default();
                state.push(row);
                state.merge(&following);
                self.older.push(state.clone());
                following = state;
            }
            self.newer = S::default();
        }
        self.older.pop();
        self.rows.pop_front();
    }
}

impl<S: State> Accumulator for MovingFrame<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |row| {
            self.rows.push_back(row);
            self.newer.push(row);
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |_: S::Row| self.drop_oldest())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut state = self.older.last().cloned().unwrap_or_default();
        state.merge(&self.newer);
        self.ending.of(&state)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<S::Row>() + self.older.capacity() * size_of::<S>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("the accumulator of a moving frame has no partial result")
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        not_impl_err!("the accumulator of a moving frame has no partial result")
    }
}

/// The distinct rows of one group.
#[derive(Debug)]
pub(super) struct DistinctRows<S: State> {
    ending: Ending<S>,
    keys: HashSet<i128>,
}

impl<S: State> DistinctRows<S> {
    pub(super) fn new(ending: Ending<S>) -> Self {
        Self { ending, keys: HashSet::new() }
    }

    fn sorted(&self) -> Vec<i128> {
        let mut keys: Vec<i128> = self.keys.iter().copied().collect();
        keys.sort_unstable();
        keys
    }
}

impl<S: State> Accumulator for DistinctRows<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        each(values, |row: S::Row| {
            self.keys.insert(row.key());
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut state = S::default();
        // In one order, so that sums of floats have the same bits each time.
        self.sorted().into_iter().for_each(|key| state.push(S::Row::of_key(key)));
        self.ending.of(&state)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.keys.capacity() * (size_of::<i128>() + 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.keys.iter().flat_map(|key| key.to_le_bytes()).collect()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for parts in bytes(states)?.iter().flatten() {
            self.keys.extend(parts.as_chunks().0.iter().map(|key| i128::from_le_bytes(*key)));
        }
        Ok(())
    }
}

/// The states of many groups side by side.
#[derive(Debug)]
pub(super) struct ManyGroups<S> {
    ending: Ending<S>,
    states: Vec<S>,
}

impl<S: State> ManyGroups<S> {
    pub(super) fn new(ending: Ending<S>) -> Self {
        Self { ending, states: vec![] }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize_with(groups, S::default);
        }
    }
}

/// The rows that a filter lets through.
fn passed(filter: Option<&BooleanArray>) -> Option<NullBuffer> {
    let filter = filter?;
    let values = NullBuffer::new(filter.values().clone());
    NullBuffer::union(Some(&values), filter.nulls())
}

impl<S: State> GroupsAccumulator for ManyGroups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let (rows, valid) = S::Row::read(values)?;
        match NullBuffer::union(valid.as_ref(), passed(opt_filter).as_ref()).filter(|counts| counts.null_count() > 0) {
            None => group_indices.iter().zip(rows.iter()).for_each(|(&group, &row)| self.states[group].push(row)),
            Some(counts) => {
                for ((&group, &row), counts) in group_indices.iter().zip(rows.iter()).zip(counts.iter()) {
                    if counts {
                        self.states[group].push(row);
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        self.ending.array(states.iter().map(|state| (self.ending.finish)(state)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut parts = BinaryBuilder::new();
        emit_to.take_needed(&mut self.states).iter().for_each(|state| parts.append_value(state.write()));
        Ok(vec![Arc::new(parts.finish())])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        for (&group, parts) in group_indices.iter().zip(bytes(values)?.iter()) {
            if let Some(parts) = parts {
                self.states[group].merge(&S::read(parts));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let (rows, valid) = S::Row::read(values)?;
        let counts = NullBuffer::union(valid.as_ref(), passed(opt_filter).as_ref());
        let mut parts = BinaryBuilder::new();
        for (i, &row) in rows.iter().enumerate() {
            let mut state = S::default();
            if counts.as_ref().is_none_or(|counts| counts.is_valid(i)) {
                state.push(row);
            }
            parts.append_value(state.write());
        }
        Ok(vec![Arc::new(parts.finish())])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.capacity() * size_of::<S>()
    }
}
