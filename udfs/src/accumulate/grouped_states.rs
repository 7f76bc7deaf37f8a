//! Many groups, one small state each.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::Input;
use super::partial::{Codec, ListsBuilder, bounds, doubles, lists, stays_here};
use crate::finish::Finish;
use crate::row::{Row, Series};
use crate::states::State;

/// The states of all groups side by side; no allocation per group.
#[derive(Debug)]
pub(super) struct GroupedStates<S> {
    input: Input,
    finish: Finish<S>,
    codec: Option<Codec<S>>,
    states: Vec<S>,
}

impl<S: State> GroupedStates<S> {
    pub(super) fn new(input: Input, finish: Finish<S>, codec: Option<Codec<S>>) -> Self {
        Self { input, finish, codec, states: Vec::new() }
    }

    fn grow(&mut self, groups: usize) {
        if groups > self.states.len() {
            self.states.resize(groups, self.finish.empty());
        }
    }
}

impl<S: State> GroupedStates<S> {
    /// Adds rows, those of one group that follow each other together.
    fn push_runs(&mut self, mut rows: &[S::Row], mut groups: &[usize]) {
        while let Some(&group) = groups.first() {
            let run = groups.iter().position(|&other| other != group).unwrap_or(groups.len());
            let (these, others) = rows.split_at(run);
            match these {
                [row] => self.states[group].push(*row),
                // A copy of the state stays in registers.
                _ => {
                    let mut state = self.states[group].clone();
                    state.push_all(these);
                    self.states[group] = state;
                }
            }
            (rows, groups) = (others, &groups[run..]);
        }
    }
}

impl<S: State> GroupedStates<S> {
    /// The results of another formula over the same states; `None` where its states begin otherwise or take NULL for something else.
    pub(super) fn results(&self, finish: &Finish<S>, input: Input) -> Option<ArrayRef> {
        let alike = input.nulls == self.input.nulls && finish.empty().begins_like(&self.finish.empty());
        alike.then(|| input.result.array(self.states.iter().map(|state| finish.of(state))))
    }
}

impl<S: State> GroupsAccumulator for GroupedStates<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let series = Series::try_new(values, S::Row::WIDTH, self.input.nulls)?;
        let rows = series.rows(opt_filter);
        match rows.all() {
            Some(all) => rows.stretches(|stretch| self.push_runs(&all[stretch.clone()], &group_indices[stretch])),
            None => rows.each(|i, row| self.states[group_indices[i]].push(row)),
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = emit_to.take_needed(&mut self.states);
        Ok(self.input.result.array(states.iter().map(|state| self.finish.of(state))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let Some(codec) = &self.codec else { return stays_here() };
        let mut builder = ListsBuilder::default();
        for state in emit_to.take_needed(&mut self.states) {
            (codec.write)(&state, &mut builder.values);
            builder.close();
        }
        Ok(vec![builder.finish()])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        let Some(codec) = &self.codec else { return stays_here() };
        let parts = lists(values, 0)?;
        let values = doubles(parts)?;
        for (i, &group) in group_indices.iter().enumerate() {
            if let Some(partial) = values.get(bounds(parts, i)).filter(|p| p.len() == codec.width) {
                let mut part = self.finish.empty();
                (codec.read)(&mut part, partial);
                self.states[group].merge(&part);
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Some(codec) = &self.codec else { return stays_here() };
        let series = Series::try_new(values, S::Row::WIDTH, self.input.nulls)?;
        let rows = series.rows(opt_filter);
        let mut builder = ListsBuilder::default();
        for i in 0..rows.len() {
            if rows.counts(i) {
                let mut state = self.finish.empty();
                state.push(rows.row(i));
                (codec.write)(&state, &mut builder.values);
            }
            builder.close();
        }
        Ok(vec![builder.finish()])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.states.capacity() * size_of::<S>()
    }
}
