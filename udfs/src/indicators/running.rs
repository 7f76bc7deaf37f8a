//! From one step per row to whole batches: the loop, the NULL rule and the output arrays, written once for all indicators.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, NullBufferBuilder, StructArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};

/// An indicator at work on the rows of one partition after the other, in their order.
pub(crate) trait Running: Debug + Send {
    /// Takes a batch of rows and returns their values. `partitions` divides the batch: the rows of the first range go on where the rows
    /// before stopped, every further range is a partition of its own.
    ///
    /// # Errors
    /// Columns of other types than planning promised.
    fn batch(&mut self, columns: &[ArrayRef], partitions: &[Range<usize>]) -> Result<ArrayRef>;

    /// Takes one row, as [`Self::batch`] would; slower.
    ///
    /// # Errors
    /// As [`Self::batch`].
    fn row(&mut self, columns: &[ArrayRef], row: usize) -> Result<ScalarValue>;

    /// Starts a new partition.
    fn restart(&mut self);

    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

/// The arithmetic of an indicator of `IN` series with `OUT` results: what one row with all inputs present gives. `None` is NULL.
pub(crate) trait Step<const IN: usize, const OUT: usize>: Clone + Debug + Send + 'static {
    /// The next row.
    fn step(&mut self, row: [f64; IN]) -> Option<[f64; OUT]>;

    /// Memory on the heap, in bytes.
    fn size(&self) -> usize {
        0
    }
}

/// A [`Step`] over Arrow columns. A row with a NULL gives NULL and is not shown to the step.
#[derive(Debug)]
pub(crate) struct Stepping<S, const IN: usize, const OUT: usize> {
    fresh: S,
    state: S,
    /// Names of the results when there is more than one.
    fields: Option<Fields>,
}

impl<S: Step<IN, OUT>, const IN: usize, const OUT: usize> Stepping<S, IN, OUT> {
    /// At the start of a partition. `names` are those of the struct's fields; none for a single result.
    pub(crate) fn boxed(fresh: S, names: &[&str]) -> Box<dyn Running> {
        let fields = (!names.is_empty()).then(|| struct_fields(names));
        Box::new(Self { state: fresh.clone(), fresh, fields })
    }

    fn feed(&mut self, rows: &Rows<'_, IN>, range: Range<usize>, out: &mut Values<OUT>) {
        match &rows.present {
            None => range.for_each(|i| out.push(self.state.step(rows.at(i)))),
            Some(present) => range.for_each(|i| out.push(if present.is_valid(i) { self.state.step(rows.at(i)) } else { None })),
        }
    }
}

/// The fields of a struct of doubles.
pub(crate) fn struct_fields(names: &[&str]) -> Fields {
    names.iter().map(|name| Field::new(*name, DataType::Float64, true)).collect()
}

impl<S: Step<IN, OUT>, const IN: usize, const OUT: usize> Running for Stepping<S, IN, OUT> {
    fn batch(&mut self, columns: &[ArrayRef], partitions: &[Range<usize>]) -> Result<ArrayRef> {
        let rows = Rows::try_new(columns)?;
        let mut out = Values::with_capacity(columns.first().map_or(0, |column| column.len()));
        for (i, partition) in partitions.iter().enumerate() {
            if i > 0 {
                self.restart();
            }
            self.feed(&rows, partition.clone(), &mut out);
        }
        out.finish(self.fields.as_ref())
    }

    fn row(&mut self, columns: &[ArrayRef], row: usize) -> Result<ScalarValue> {
        let mut inputs = [0.0; IN];
        let mut present = true;
        for (i, input) in inputs.iter_mut().enumerate() {
            let column = doubles(columns, i)?;
            *input = column.values()[row];
            present &= column.is_valid(row);
        }
        let values = if present { self.state.step(inputs) } else { None };
        if self.fields.is_none() {
            return Ok(ScalarValue::Float64(values.map(|values| values[0] + 0.0)));
        }
        let mut out = Values::with_capacity(1);
        out.push(values);
        ScalarValue::try_from_array(&out.finish(self.fields.as_ref())?, 0)
    }

    fn restart(&mut self) {
        self.state = self.fresh.clone();
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.state.size()
    }
}

/// Column `i`, which planning has cast to doubles.
fn doubles(columns: &[ArrayRef], i: usize) -> Result<&Float64Array> {
    let column = columns.get(i).and_then(|array| array.as_primitive_opt::<Float64Type>());
    column.ok_or_else(|| exec_datafusion_err!("indicator: argument {} is not DOUBLE", i + 1))
}

/// The columns of a batch.
struct Rows<'a, const IN: usize> {
    columns: [&'a [f64]; IN],
    /// Rows with all inputs present; `None` when all are.
    present: Option<NullBuffer>,
}

impl<'a, const IN: usize> Rows<'a, IN> {
    fn try_new(arrays: &'a [ArrayRef]) -> Result<Self> {
        let mut columns = [[].as_slice(); IN];
        let mut present = None;
        for (i, column) in columns.iter_mut().enumerate() {
            let array = doubles(arrays, i)?;
            *column = array.values();
            present = NullBuffer::union(present.as_ref(), array.nulls());
        }
        Ok(Self { columns, present: present.filter(|mask| mask.null_count() > 0) })
    }

    #[inline]
    fn at(&self, i: usize) -> [f64; IN] {
        self.columns.map(|column| column[i])
    }
}

/// The results of the rows so far.
struct Values<const OUT: usize> {
    /// Room for all rows, 0 where there is no value.
    columns: [Vec<f64>; OUT],
    present: NullBufferBuilder,
    rows: usize,
}

impl<const OUT: usize> Values<OUT> {
    /// For so many rows.
    fn with_capacity(rows: usize) -> Self {
        Self { columns: std::array::from_fn(|_| vec![0.0; rows]), present: NullBufferBuilder::new(rows), rows: 0 }
    }

    #[inline]
    fn push(&mut self, row: Option<[f64; OUT]>) {
        match row {
            Some(values) => {
                for (column, value) in self.columns.iter_mut().zip(values) {
                    // Zero is +0.0.
                    column[self.rows] = value + 0.0;
                }
                self.present.append_non_null();
            }
            None => self.present.append_null(),
        }
        self.rows += 1;
    }

    /// One array of doubles, or a struct that is never NULL itself: reading a field of a NULL struct would not give NULL.
    fn finish(mut self, fields: Option<&Fields>) -> Result<ArrayRef> {
        let nulls = self.present.finish();
        self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
        let mut arrays = self.columns.into_iter().map(|values| Arc::new(Float64Array::new(values.into(), nulls.clone())) as ArrayRef);
        match fields {
            Some(fields) => Ok(Arc::new(StructArray::try_new(fields.clone(), arrays.collect(), None)?)),
            None => arrays.next().ok_or_else(|| exec_datafusion_err!("indicator without a result")),
        }
    }
}
