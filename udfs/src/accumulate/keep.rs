//! Metrics that keep every row until all are there: samples, distinct rows, rows to be put in time order.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeBinaryBuilder};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::{Result, exec_datafusion_err};

use super::key::{Key, KeyEncoder};
use super::partial::{ListsBuilder, bounds, doubles, lists, lists_of};
use super::{Call, Input};
use crate::finish::{Finish, OfSorted};
use crate::metric::NullRows;
use crate::row::{Row, Series};
use crate::states::State;

/// What is kept of each row, and what is made of the rows of one group.
pub(crate) trait Keep: Debug + Send + Sync + 'static {
    /// One kept row.
    type Item: Clone + Default + Debug + Send + Sync;

    /// Reads the counted rows of a batch, with their positions.
    fn read(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, keep: impl FnMut(usize, Self::Item)) -> Result<()>;

    /// Reads a batch of which every row counts, all at once; `None` where rows must be read one by one.
    fn read_all<'a>(&self, _: &'a [ArrayRef], _: Option<&BooleanArray>) -> Option<&'a [Self::Item]> {
        None
    }

    /// Reads the rows of partial results, with the positions of these.
    fn read_partial(&self, partial: &[ArrayRef], keep: impl FnMut(usize, Self::Item)) -> Result<()>;

    /// Writes the rows as partial results, one for each group; `ends` are the ends of the groups.
    fn write_partial(&self, items: &[Self::Item], ends: &[usize]) -> Result<Vec<ArrayRef>>;

    /// The results, one for each group. May reorder the rows within a group.
    fn evaluate(&self, items: &mut [Self::Item], ends: &[usize]) -> Result<ArrayRef>;

    /// Bytes that a row holds on the heap.
    fn heap(&self, _: &Self::Item) -> usize {
        0
    }
}

/// Splits the rows into their groups.
pub(super) fn groups<'a, T>(mut items: &'a mut [T], ends: &'a [usize]) -> impl Iterator<Item = &'a mut [T]> {
    ends.iter().scan(0, move |start, &end| {
        let (group, rest) = std::mem::take(&mut items).split_at_mut(end - std::mem::replace(start, end));
        items = rest;
        Some(group)
    })
}

/// Rows to be sorted by value, all of them or each distinct one once.
#[derive(Debug)]
pub(crate) struct KeepSorted<R, F> {
    input: Input,
    finish: F,
    distinct: bool,
    row: std::marker::PhantomData<R>,
}

impl<R, F> KeepSorted<R, F> {
    pub(super) fn new(input: Input, finish: F, distinct: bool) -> Self {
        Self { input, finish, distinct, row: std::marker::PhantomData }
    }
}

impl<R: Row, F: OfSorted<R>> Keep for KeepSorted<R, F> {
    type Item = R;

    fn read(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, keep: impl FnMut(usize, R)) -> Result<()> {
        Series::try_new(values, R::WIDTH, self.input.nulls)?.rows(filter).each(keep);
        Ok(())
    }

    fn read_all<'a>(&self, values: &'a [ArrayRef], filter: Option<&BooleanArray>) -> Option<&'a [R]> {
        let [column, ..] = values else { return None };
        let column = column.as_primitive_opt::<Float64Type>().filter(|column| column.null_count() == 0)?;
        if filter.is_none() { R::all(&[column.values()]) } else { None }
    }

    fn read_partial(&self, partial: &[ArrayRef], mut keep: impl FnMut(usize, R)) -> Result<()> {
        let parts = lists(partial, 0)?;
        let values = doubles(parts)?;
        for i in 0..parts.len() {
            values[bounds(parts, i)].chunks_exact(R::WIDTH).for_each(|row| keep(i, R::read(row)));
        }
        Ok(())
    }

    fn write_partial(&self, items: &[R], ends: &[usize]) -> Result<Vec<ArrayRef>> {
        let mut builder = ListsBuilder::default();
        let mut start = 0;
        for &end in ends {
            items[start..end].iter().for_each(|row| row.write(&mut builder.values));
            builder.close();
            start = end;
        }
        Ok(vec![builder.finish()])
    }

    fn evaluate(&self, items: &mut [R], ends: &[usize]) -> Result<ArrayRef> {
        Ok(self.input.result.array(groups(items, ends).map(|rows| self.finish.of_rows(rows, self.distinct))))
    }
}

/// A value and its order key, without padding between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keyed<K> {
    key: K,
    value: [u8; 8],
}

impl<K: Key> Keyed<K> {
    fn new(key: K, value: f64) -> Self {
        Self { key, value: value.to_ne_bytes() }
    }

    fn value(&self) -> f64 {
        f64::from_ne_bytes(self.value)
    }
}

/// Rows to be put in time order by their keys.
#[derive(Debug)]
pub(crate) struct KeepOrdered<S, K> {
    input: Input,
    finish: Finish<S>,
    rows: OrderedRows,
    key: std::marker::PhantomData<K>,
}

impl<S, K> KeepOrdered<S, K> {
    pub(super) fn try_new(call: &Call, finish: Finish<S>) -> Result<Self> {
        Ok(Self { input: call.input(), finish, rows: OrderedRows::try_new(call)?, key: std::marker::PhantomData })
    }
}

impl<S: State<Row = f64>, K: Key> Keep for KeepOrdered<S, K> {
    type Item = Keyed<K>;

    fn read(&self, values: &[ArrayRef], filter: Option<&BooleanArray>, mut keep: impl FnMut(usize, Keyed<K>)) -> Result<()> {
        self.rows.read(values, filter, |i, (key, value)| keep(i, Keyed::new(key, value)))
    }

    fn read_partial(&self, partial: &[ArrayRef], mut keep: impl FnMut(usize, Keyed<K>)) -> Result<()> {
        read_keyed(partial, |i, _, key, value| {
            keep(i, Keyed::new(K::of(key)?, value));
            Ok(())
        })
    }

    fn write_partial(&self, items: &[Keyed<K>], ends: &[usize]) -> Result<Vec<ArrayRef>> {
        write_keyed(items.iter().map(|item| (&item.key, item.value())), ends)
    }

    fn evaluate(&self, items: &mut [Keyed<K>], ends: &[usize]) -> Result<ArrayRef> {
        let results = groups(items, ends).map(|rows| {
            in_order(rows, |a, b| a.key.cmp(&b.key).then_with(|| a.value().total_cmp(&b.value())));
            self.finish.fold(rows.iter().map(Keyed::value))
        });
        Ok(self.input.result.array(results))
    }

    fn heap(&self, item: &Keyed<K>) -> usize {
        item.key.heap()
    }
}

/// Sorts rows unless they came in order. Rows with equal keys have no order of their own; `order` goes on to their values, so that the
/// result does not depend on how the rows were dealt to threads.
pub(super) fn in_order<T>(rows: &mut [T], order: impl Fn(&T, &T) -> Ordering) {
    if !rows.is_sorted_by(|a, b| order(a, b).is_le()) {
        rows.sort_by(order);
    }
}

/// Reads values with their keys from batches.
#[derive(Debug)]
pub(super) struct OrderedRows {
    nulls: NullRows,
    arguments: usize,
    encoder: KeyEncoder,
}

impl OrderedRows {
    pub(super) fn try_new(call: &Call) -> Result<Self> {
        Ok(Self { nulls: call.metric.null_rows(), arguments: call.arguments, encoder: KeyEncoder::try_new(&call.order)? })
    }

    pub(super) fn read<K: Key>(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        mut keep: impl FnMut(usize, (K, f64)),
    ) -> Result<()> {
        let series = Series::try_new(values, 1, self.nulls)?;
        let missing = || exec_datafusion_err!("finance function: the order keys are missing from the batch");
        let keys = self.encoder.encode(values.get(self.arguments..).ok_or_else(missing)?)?;
        let mut failed = None;
        series.rows(filter).each(|i, value| match keys.key(i) {
            Ok(key) => keep(i, (key, value)),
            Err(error) => failed = Some(error),
        });
        failed.map_or(Ok(()), Err)
    }
}

/// Visits (list, position in the values, key, value) of a partial result with keys.
pub(super) fn read_keyed(partial: &[ArrayRef], mut visit: impl FnMut(usize, usize, &[u8], f64) -> Result<()>) -> Result<()> {
    let (parts, keys) = (lists(partial, 0)?, lists(partial, 1)?);
    let values = doubles(parts)?;
    let not_binary = || exec_datafusion_err!("finance function: the keys of a partial result are not binary");
    let bytes = keys.values().as_binary_opt::<i64>().ok_or_else(not_binary)?;
    for i in 0..parts.len() {
        for (value, key) in bounds(parts, i).zip(bounds(keys, i)) {
            visit(i, value, bytes.value(key), values[value])?;
        }
    }
    Ok(())
}

/// Writes values and keys as a partial result.
pub(super) fn write_keyed<'a, K: Key>(rows: impl ExactSizeIterator<Item = (&'a K, f64)>, ends: &[usize]) -> Result<Vec<ArrayRef>> {
    let mut values = Vec::with_capacity(rows.len());
    let mut keys = LargeBinaryBuilder::with_capacity(rows.len(), rows.len() * size_of::<K>());
    for (key, value) in rows {
        values.push(value);
        key.bytes(|bytes| keys.append_value(bytes));
    }
    let values: ArrayRef = Arc::new(datafusion::arrow::array::Float64Array::from(values));
    Ok(vec![lists_of(ends, values), lists_of(ends, Arc::new(keys.finish()))])
}
