//! The accumulator of one group whose rows are kept.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::keep::Keep;

/// The kept rows of one group.
#[derive(Debug)]
pub(super) struct KeptAccumulator<C: Keep> {
    keep: C,
    items: Vec<C::Item>,
    heap: usize,
}

impl<C: Keep> KeptAccumulator<C> {
    pub(super) fn new(keep: C) -> Self {
        Self { keep, items: Vec::new(), heap: 0 }
    }
}

impl<C: Keep> Accumulator for KeptAccumulator<C> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Self { keep, items, heap } = self;
        keep.read(values, None, |_, item| {
            *heap += keep.heap(&item);
            items.push(item);
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let ends = [self.items.len()];
        ScalarValue::try_from_array(&self.keep.evaluate(&mut self.items, &ends)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.items.capacity() * size_of::<C::Item>() + self.heap
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let columns = self.keep.write_partial(&self.items, &[self.items.len()])?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Self { keep, items, heap } = self;
        keep.read_partial(states, |_, item| {
            *heap += keep.heap(&item);
            items.push(item);
        })
    }
}
