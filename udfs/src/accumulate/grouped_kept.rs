//! Many groups whose rows are kept: one flat list of rows with their groups, brought together by a counting sort when results are due.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, resources_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::keep::Keep;

/// The kept rows of all groups, in the order of arrival; no allocation per group.
#[derive(Debug)]
pub(super) struct GroupedKept<C: Keep> {
    keep: C,
    groups: Vec<u32>,
    items: Vec<C::Item>,
    heap: usize,
    total: usize,
}

/// Rows of consecutive groups; group `i` ends before `ends[i]`.
struct Emitted<T> {
    items: Vec<T>,
    ends: Vec<usize>,
}

impl<C: Keep> GroupedKept<C> {
    pub(super) fn new(keep: C) -> Self {
        Self { keep, groups: Vec::new(), items: Vec::new(), heap: 0, total: 0 }
    }

    fn grow(&mut self, total: usize) -> Result<()> {
        if u32::try_from(total).is_err() {
            return resources_err!("finance functions hold at most {} groups, the query has {total}", u32::MAX);
        }
        self.total = total;
        Ok(())
    }

    /// Takes the rows of the groups to emit; the others keep their order and get lower group numbers.
    fn take(&mut self, emit_to: EmitTo) -> Emitted<C::Item> {
        let emitted = match emit_to {
            EmitTo::All => self.total,
            EmitTo::First(n) => n.min(self.total),
        };
        let mut next = vec![0; emitted + 1];
        self.groups.iter().map(|&g| g as usize).filter(|&g| g < emitted).for_each(|g| next[g + 1] += 1);
        (0..emitted).for_each(|g| next[g + 1] += next[g]);
        let ends = next[1..].to_vec();
        let mut items: Vec<C::Item> = Vec::new();
        items.resize_with(next[emitted], Default::default);
        let mut kept = 0;
        for i in 0..self.items.len() {
            let (group, item) = (self.groups[i] as usize, std::mem::take(&mut self.items[i]));
            if group < emitted {
                items[next[group]] = item;
                next[group] += 1;
            } else {
                self.groups[kept] = (group - emitted) as u32;
                self.items[kept] = item;
                kept += 1;
            }
        }
        self.groups.truncate(kept);
        self.items.truncate(kept);
        if kept == 0 {
            (self.groups, self.items) = (Vec::new(), Vec::new());
        }
        self.heap = self.items.iter().map(|item| self.keep.heap(item)).sum();
        self.total -= emitted;
        Emitted { items, ends }
    }
}

impl<C: Keep> GroupsAccumulator for GroupedKept<C> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups)?;
        let Self { keep, groups, items, heap, .. } = self;
        keep.read(values, opt_filter, |i, item| {
            *heap += keep.heap(&item);
            groups.push(group_indices[i] as u32);
            items.push(item);
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut emitted = self.take(emit_to);
        self.keep.evaluate(&mut emitted.items, &emitted.ends)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let emitted = self.take(emit_to);
        self.keep.write_partial(&emitted.items, &emitted.ends)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups)?;
        let Self { keep, groups, items, heap, .. } = self;
        keep.read_partial(values, |i, item| {
            *heap += keep.heap(&item);
            groups.push(group_indices[i] as u32);
            items.push(item);
        })
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |column| column.len());
        let mut items = Vec::with_capacity(rows);
        let mut ends = Vec::with_capacity(rows);
        self.keep.read(values, opt_filter, |i, item| {
            ends.resize(i, items.len());
            items.push(item);
            ends.push(items.len());
        })?;
        ends.resize(rows, items.len());
        self.keep.write_partial(&items, &ends)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<u32>() + self.items.capacity() * size_of::<C::Item>() + self.heap
    }
}
