//! `locf`: the last observation carried forward, for any type.

use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, new_null_array};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};

use super::running::Running;

/// The last value that was not NULL, as an array of one row; `None` before the first.
#[derive(Debug, Default)]
pub(crate) struct LastObservation(Option<ArrayRef>);

/// The arrays that a result is put together from.
const BEFORE: usize = 0;
const BATCH: usize = 1;
const NULL: usize = 2;

fn only(columns: &[ArrayRef]) -> Result<&ArrayRef> {
    columns.first().ok_or_else(|| exec_datafusion_err!("locf: the argument is missing"))
}

impl Running for LastObservation {
    fn batch(&mut self, columns: &[ArrayRef], partitions: &[Range<usize>]) -> Result<ArrayRef> {
        let values = only(columns)?;
        // Not the physical NULLs: a dictionary may hold NULL as a value.
        let nulls = values.logical_nulls();
        if values.is_empty() || values.data_type() == &DataType::Null {
            return Ok(ArrayRef::clone(values));
        }
        let null = new_null_array(values.data_type(), 1);
        let before = self.0.take().unwrap_or_else(|| ArrayRef::clone(&null));
        let sources: [&dyn Array; 3] = [&before, values, &null];
        let mut chosen = Vec::with_capacity(values.len());
        let mut last = (BEFORE, 0);
        for (i, partition) in partitions.iter().enumerate() {
            if i > 0 {
                last = (NULL, 0);
            }
            for row in partition.clone() {
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    last = (BATCH, row);
                }
                chosen.push(last);
            }
        }
        self.0 = Some(interleave(&sources, &[last])?);
        if nulls.is_none_or(|nulls| nulls.null_count() == 0) { Ok(ArrayRef::clone(values)) } else { Ok(interleave(&sources, &chosen)?) }
    }

    fn row(&mut self, columns: &[ArrayRef], row: usize) -> Result<ScalarValue> {
        let values = only(columns)?;
        if values.logical_nulls().is_none_or(|nulls| nulls.is_valid(row)) {
            self.0 = Some(values.slice(row, 1));
        }
        match &self.0 {
            Some(last) => ScalarValue::try_from_array(last, 0),
            None => ScalarValue::try_from(values.data_type()),
        }
    }

    fn restart(&mut self) {
        self.0 = None;
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.as_ref().map_or(0, |last| last.get_array_memory_size())
    }
}
