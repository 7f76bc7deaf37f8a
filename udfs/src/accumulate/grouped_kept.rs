//! Many groups whose rows are kept: rows lie in blocks of neighbouring groups, each brought together by a counting sort when its results
//! are due.

use std::collections::VecDeque;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::concat;
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

use super::keep::Keep;

/// Groups that share a block: few enough that a block is sorted in the processor's cache and that a byte tells them apart.
const BLOCK: usize = 128;

/// Rows of the largest chunk of a block; the first is [`FIRST_CHUNK`] long, each following one twice as long.
const LARGEST_CHUNK: usize = 256;
const FIRST_CHUNK: usize = 64;

/// Rows of the largest chunk for rows of one group that come together: it is full at once.
const LARGEST_FULL_CHUNK: usize = 4096;

/// Fewer rows of one group are appended one by one.
const SHORT_RUN: usize = 8;

/// Rows for which the room to sort them in is kept.
const LARGEST_SCRATCH: usize = 32_768;

/// The kept rows of all groups; no allocation per group, and no row is ever moved to make room.
#[derive(Debug)]
pub(super) struct GroupedKept<C: Keep> {
    keep: C,
    rows: Blocks<C::Item>,
    /// Room to sort rows in.
    scratch: Emitted<C::Item>,
    /// Bytes that rows hold on the heap.
    heap: usize,
}

/// Rows by blocks of groups.
#[derive(Debug)]
struct Blocks<T> {
    blocks: VecDeque<Block<T>>,
    /// Groups of the first block that were emitted already.
    skipped: usize,
    /// Groups that are still here.
    groups: usize,
    bytes: usize,
}

/// The rows of [`BLOCK`] neighbouring groups in the order of arrival.
#[derive(Debug)]
struct Block<T> {
    chunks: Vec<Vec<T>>,
    /// Which groups the rows belong to: the group's place in the block, and how many rows in a row are its.
    runs: Vec<(u8, u8)>,
    rows: usize,
}

/// Rows of consecutive groups; group `i` ends before `ends[i]`.
#[derive(Debug)]
struct Emitted<T> {
    items: Vec<T>,
    ends: Vec<usize>,
}

/// How many of the first values are equal; the slice is not empty.
fn run_length(groups: &[usize]) -> usize {
    let same = |group: &&usize| **group == groups[0];
    let near = groups.iter().take(SHORT_RUN).take_while(same).count();
    if near < SHORT_RUN {
        return near;
    }
    // Long runs by chunks, as a loop that may end at every value is slow.
    let chunks = groups.chunks_exact(64).take_while(|chunk| chunk.iter().fold(0, |other, group| other | (group ^ groups[0])) == 0);
    let far = 64 * chunks.count();
    far + groups[far..].iter().take_while(same).count()
}

impl<T: Clone + Default> Blocks<T> {
    fn new() -> Self {
        Self { blocks: VecDeque::new(), skipped: 0, groups: 0, bytes: 0 }
    }

    fn grow(&mut self, groups: usize) {
        self.groups = groups;
        let blocks = (self.skipped + groups).div_ceil(BLOCK);
        self.blocks.resize_with(blocks, Block::new);
    }

    #[inline]
    fn push(&mut self, group: usize, item: T) {
        let group = self.skipped + group;
        self.bytes += self.blocks[group / BLOCK].push((group % BLOCK) as u8, item);
    }

    /// Appends rows, those of consecutive rows of one group together.
    fn extend(&mut self, groups: &[usize], items: &[T]) {
        let (mut groups, mut items) = (groups, items);
        while let Some(&group) = groups.first() {
            let rows = run_length(groups).min(items.len());
            let (of_run, rest) = items.split_at(rows);
            if rows < SHORT_RUN {
                of_run.iter().for_each(|item| self.push(group, item.clone()));
            } else {
                let group = self.skipped + group;
                self.bytes += self.blocks[group / BLOCK].extend((group % BLOCK) as u8, of_run);
            }
            (groups, items) = (&groups[rows..], rest);
        }
    }

    /// Takes the rows of the next groups, at most `limit` and no more than those of one block, into `emitted`.
    fn take(&mut self, limit: usize, emitted: &mut Emitted<T>) {
        let taken = limit.min(BLOCK - self.skipped).min(self.groups);
        let places = self.skipped..self.skipped + taken;
        let ends_block = places.end == BLOCK || taken == self.groups;
        let before = self.blocks.front().map_or(0, Block::bytes);
        let block = if ends_block { self.blocks.pop_front() } else { self.blocks.front_mut().map(|block| block.split(places.end)) };
        let left = if ends_block { 0 } else { self.blocks.front().map_or(0, Block::bytes) };
        self.bytes = self.bytes + left - before;
        self.skipped = if ends_block { 0 } else { places.end };
        self.groups -= taken;
        match block {
            Some(block) => block.sort_into(places, emitted),
            None => {
                emitted.items.clear();
                emitted.ends.clear();
                emitted.ends.resize(taken, 0);
            }
        }
    }
}

impl<T> Emitted<T> {
    fn new() -> Self {
        Self { items: Vec::new(), ends: Vec::new() }
    }

    fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.ends.capacity() * size_of::<usize>()
    }
}

impl<T: Clone + Default> Block<T> {
    fn new() -> Self {
        Self { chunks: Vec::new(), runs: Vec::new(), rows: 0 }
    }

    /// Appends a row; returns the bytes that room was made for.
    #[inline]
    fn push(&mut self, place: u8, item: T) -> usize {
        self.rows += 1;
        let more_runs = match self.runs.last_mut() {
            Some((last, rows)) if *last == place && *rows < u8::MAX => {
                *rows += 1;
                0
            }
            _ => self.start_run(place),
        };
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < chunk.capacity() => {
                chunk.push(item);
                more_runs
            }
            _ => more_runs + self.push_in_new_chunk(item),
        }
    }

    fn push_in_new_chunk(&mut self, item: T) -> usize {
        let room = self.start_chunk(1);
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(item);
        }
        room
    }

    /// Appends rows of one group; returns the bytes that room was made for.
    fn extend(&mut self, place: u8, items: &[T]) -> usize {
        self.rows += items.len();
        let before = self.runs.capacity();
        let runs = items.chunks(usize::from(u8::MAX)).map(|run| (place, run.len() as u8));
        self.runs.extend(runs);
        let mut room = (self.runs.capacity() - before) * size_of::<(u8, u8)>();
        let mut items = items;
        while !items.is_empty() {
            let free = self.chunks.last().map_or(0, |chunk| chunk.capacity() - chunk.len());
            let (fits, rest) = items.split_at(free.min(items.len()));
            if let Some(chunk) = self.chunks.last_mut() {
                chunk.extend_from_slice(fits);
            }
            items = rest;
            if !items.is_empty() {
                room += self.start_chunk(items.len().min(LARGEST_FULL_CHUNK));
            }
        }
        room
    }

    fn start_run(&mut self, place: u8) -> usize {
        let before = self.runs.capacity();
        self.runs.push((place, 1));
        (self.runs.capacity() - before) * size_of::<(u8, u8)>()
    }

    fn start_chunk(&mut self, rows: usize) -> usize {
        let room = self.chunks.last().map_or(FIRST_CHUNK, |full| (2 * full.capacity()).min(LARGEST_CHUNK)).max(rows);
        self.chunks.push(Vec::with_capacity(room));
        room * size_of::<T>()
    }

    /// Takes out the rows of the groups before `end`.
    fn split(&mut self, end: usize) -> Self {
        let whole = std::mem::replace(self, Self::new());
        let mut taken = Self::new();
        let places = whole.runs.iter().flat_map(|&(place, rows)| std::iter::repeat_n(place, usize::from(rows)));
        for (place, item) in places.zip(whole.chunks.into_iter().flatten()) {
            if usize::from(place) < end {
                taken.push(place, item)
            } else {
                self.push(place, item)
            };
        }
        taken
    }

    /// Brings the rows together by group, in the order of arrival within each.
    fn sort_into(self, places: std::ops::Range<usize>, sorted: &mut Emitted<T>) {
        let mut next = [0; BLOCK + 1];
        self.runs.iter().for_each(|&(place, rows)| next[usize::from(place) + 1] += usize::from(rows));
        (0..BLOCK).for_each(|place| next[place + 1] += next[place]);
        sorted.ends.clear();
        sorted.ends.extend_from_slice(&next[1..][places]);
        sorted.items.resize_with(self.rows, T::default);
        let mut runs = self.runs.into_iter();
        let (mut place, mut left) = (0, 0);
        for chunk in self.chunks {
            let mut items = chunk.into_iter();
            while items.len() > 0 {
                if left == 0 {
                    (place, left) = runs.next().map_or((0, items.len()), |(place, rows)| (usize::from(place), usize::from(rows)));
                }
                let rows = left.min(items.len());
                let slots = &mut sorted.items[next[place]..next[place] + rows];
                slots.iter_mut().zip(items.by_ref()).for_each(|(slot, item)| *slot = item);
                next[place] += rows;
                left -= rows;
            }
        }
    }

    /// Bytes that there is room for.
    fn bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<T>() + self.runs.capacity() * size_of::<(u8, u8)>()
    }
}

impl<C: Keep> GroupedKept<C> {
    pub(super) fn new(keep: C) -> Self {
        Self { keep, rows: Blocks::new(), scratch: Emitted::new(), heap: 0 }
    }

    /// What `of` makes of the rows of the groups to emit, block by block, joined.
    fn emit(&mut self, emit_to: EmitTo, of: impl Fn(&C, &mut Emitted<C::Item>) -> Result<Vec<ArrayRef>>) -> Result<Vec<ArrayRef>> {
        let mut due = match emit_to {
            EmitTo::All => self.rows.groups,
            EmitTo::First(n) => n.min(self.rows.groups),
        };
        let mut parts: Vec<Vec<ArrayRef>> = vec![];
        let mut emitted = std::mem::replace(&mut self.scratch, Emitted::new());
        while due > 0 || parts.is_empty() {
            self.rows.take(due, &mut emitted);
            due -= emitted.ends.len();
            self.heap -= emitted.items.iter().map(|item| self.keep.heap(item)).sum::<usize>();
            parts.push(of(&self.keep, &mut emitted)?);
        }
        if emitted.items.capacity() <= LARGEST_SCRATCH {
            if std::mem::needs_drop::<C::Item>() {
                emitted.items.clear();
            }
            self.scratch = emitted;
        }
        let columns = parts[0].len();
        let column = |i: usize| Ok(concat(&parts.iter().map(|part| part[i].as_ref()).collect::<Vec<_>>())?);
        (0..columns).map(column).collect()
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
        self.rows.grow(total_num_groups);
        let Self { keep, rows, heap, .. } = self;
        if let Some(items) = keep.read_all(values, opt_filter) {
            *heap += items.iter().map(|item| keep.heap(item)).sum::<usize>();
            rows.extend(group_indices, items);
            return Ok(());
        }
        keep.read(values, opt_filter, |i, item| {
            *heap += keep.heap(&item);
            rows.push(group_indices[i], item);
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut columns = self.emit(emit_to, |keep, rows| Ok(vec![keep.evaluate(&mut rows.items, &rows.ends)?]))?;
        Ok(columns.swap_remove(0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.emit(emit_to, |keep, rows| keep.write_partial(&rows.items, &rows.ends))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.rows.grow(total_num_groups);
        let Self { keep, rows, heap, .. } = self;
        keep.read_partial(values, |i, item| {
            *heap += keep.heap(&item);
            rows.push(group_indices[i], item);
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
        size_of_val(self) + self.rows.bytes + self.rows.blocks.capacity() * size_of::<Block<C::Item>>() + self.heap + self.scratch.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows `(group, arrival)` of `blocks` taken `step` groups at a time.
    fn taken(mut blocks: Blocks<(usize, usize)>, step: usize) -> Vec<Vec<(usize, usize)>> {
        let mut groups = vec![];
        let mut emitted = Emitted::new();
        while blocks.groups > 0 {
            blocks.take(step, &mut emitted);
            let starts = std::iter::once(0).chain(emitted.ends.iter().copied());
            groups.extend(starts.zip(&emitted.ends).map(|(start, &end)| emitted.items[start..end].to_vec()));
        }
        assert_eq!(blocks.bytes, 0);
        groups
    }

    #[test]
    fn rows_come_out_by_group_in_the_order_of_arrival() {
        for step in [1, 7, BLOCK - 1, BLOCK, usize::MAX] {
            let mut blocks = Blocks::new();
            let (groups, rows) = (2 * BLOCK + 5, 90 * BLOCK);
            for arrival in 0..rows {
                blocks.grow(groups);
                // Group 3 stays empty.
                let group = (arrival * 31) % groups;
                blocks.push(if group == 3 { 4 } else { group }, (group, arrival));
            }
            let out = taken(blocks, step);
            assert_eq!(out.len(), groups);
            assert_eq!(out.iter().map(Vec::len).sum::<usize>(), rows);
            assert!(out[3].is_empty());
            assert!(out.iter().enumerate().all(|(group, rows)| rows.iter().all(|row| row.0 == group || row.0 == 3)));
            assert!(out.iter().all(|rows| rows.is_sorted_by_key(|row| row.1)), "step {step}");
        }
    }

    #[test]
    fn rows_that_come_together_are_appended_together() {
        let groups = 3 * BLOCK + 1;
        // Runs of 0 to 700 rows, some of the same group one after the other, cut into batches anywhere.
        let of_run = |run: usize| std::iter::repeat_n(run * 37 / 2 % groups, run * 97 % 701);
        let rows: Vec<(usize, usize)> = (0..900).flat_map(of_run).enumerate().map(|(arrival, group)| (group, arrival)).collect();
        for batch in [1, 7, 1000, usize::MAX] {
            let mut blocks = Blocks::new();
            for rows in rows.chunks(batch) {
                blocks.grow(groups);
                blocks.extend(&rows.iter().map(|row| row.0).collect::<Vec<_>>(), rows);
            }
            assert_eq!(blocks.bytes, blocks.blocks.iter().map(Block::bytes).sum::<usize>());
            let out = taken(blocks, BLOCK);
            assert_eq!(out.iter().map(Vec::len).sum::<usize>(), rows.len());
            assert!(out.iter().enumerate().all(|(group, rows)| rows.iter().all(|row| row.0 == group)));
            assert!(out.iter().all(|rows| rows.is_sorted_by_key(|row| row.1)), "batches of {batch}");
        }
    }
}
