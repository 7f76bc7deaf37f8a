//! The accumulator of all values of one group, for window frames too: values are kept sorted, so that neither a new row nor a leaving one
//! sorts them again.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;

use super::Input;
use super::partial::{ListsBuilder, bounds, doubles, lists};
use crate::finish::{OfSorted, SampleFinish};
use crate::row::{Series, canonical};

/// Up to this many new values are inserted one by one, more are sorted together.
const FEW: usize = 8;

/// Sorted values.
#[derive(Debug)]
pub(super) struct SampleAccumulator {
    input: Input,
    finish: SampleFinish,
    /// In ascending order, NaN last.
    sorted: Vec<f64>,
    arrived: Vec<f64>,
}

impl SampleAccumulator {
    pub(super) fn new(input: Input, finish: SampleFinish) -> Self {
        Self { input, finish, sorted: Vec::new(), arrived: Vec::new() }
    }

    fn position(&self, x: f64) -> usize {
        self.sorted.partition_point(|y| y.total_cmp(&x).is_lt())
    }

    fn settle(&mut self) {
        if self.arrived.len() > FEW {
            self.sorted.append(&mut self.arrived);
            self.sorted.sort_by(f64::total_cmp);
            return;
        }
        for x in std::mem::take(&mut self.arrived) {
            let at = self.position(x);
            self.sorted.insert(at, x);
        }
    }
}

impl Accumulator for SampleAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let series = Series::try_new(values, 1, self.input.nulls)?;
        series.rows(None).each(|_, x: f64| self.arrived.push(canonical(x)));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.settle();
        let series = Series::try_new(values, 1, self.input.nulls)?;
        series.rows(None).each(|_, x: f64| {
            let at = self.position(canonical(x));
            if at < self.sorted.len() {
                self.sorted.remove(at);
            }
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.settle();
        Ok(self.input.result.scalar(self.finish.of_sorted(&self.sorted)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + (self.sorted.capacity() + self.arrived.capacity()) * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut builder = ListsBuilder::default();
        builder.values.extend(self.sorted.iter().chain(&self.arrived));
        builder.close();
        Ok(vec![ScalarValue::try_from_array(&builder.finish(), 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let parts = lists(states, 0)?;
        let values = doubles(parts)?;
        (0..parts.len()).for_each(|i| self.arrived.extend_from_slice(&values[bounds(parts, i)]));
        Ok(())
    }
}
