//! The accumulator of one group or of a growing window frame.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::Input;
use super::partial::{Codec, ListsBuilder, bounds, doubles, lists, stays_here};
use crate::finish::Finish;
use crate::row::{Row, Series};
use crate::states::State;

/// One state.
#[derive(Debug)]
pub(super) struct StateAccumulator<S> {
    input: Input,
    finish: Finish<S>,
    codec: Option<Codec<S>>,
    state: S,
}

impl<S: State> StateAccumulator<S> {
    pub(super) fn new(input: Input, finish: Finish<S>, codec: Option<Codec<S>>) -> Self {
        let state = finish.empty();
        Self { input, finish, codec, state }
    }
}

impl<S: State> Accumulator for StateAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, S::Row::WIDTH, self.input.nulls)?;
        series.rows(None).each(|_, row| self.state.push(row));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.input.result.scalar(self.finish.of(&self.state)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Some(codec) = &self.codec else { return stays_here() };
        let mut builder = ListsBuilder::default();
        (codec.write)(&self.state, &mut builder.values);
        builder.close();
        Ok(vec![ScalarValue::try_from_array(&builder.finish(), 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(codec) = &self.codec else { return stays_here() };
        let parts = lists(states, 0)?;
        let values = doubles(parts)?;
        for i in 0..parts.len() {
            if let Some(partial) = values.get(bounds(parts, i)).filter(|p| p.len() == codec.width) {
                let mut part = self.finish.empty();
                (codec.read)(&mut part, partial);
                self.state.merge(&part);
            }
        }
        Ok(())
    }
}
