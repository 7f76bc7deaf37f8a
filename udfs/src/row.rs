//! One row of a metric's input, a value or a pair of values, and how rows are read from Arrow arrays.

use std::fmt::Debug;
use std::ops::Range;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::{Result, exec_datafusion_err};

use crate::metric::NullRows;

/// One row of input.
pub(crate) trait Row: Copy + Default + Debug + Send + Sync + 'static {
    /// Number of series, which is the number of doubles of a row.
    const WIDTH: usize;

    /// Row `i` of the columns.
    fn at(columns: &[&[f64]], i: usize) -> Self;

    /// The rows as they lie in the columns, where a row is a single value.
    fn all<'a>(_: &[&'a [f64]]) -> Option<&'a [Self]> {
        None
    }

    /// Appends the row's doubles.
    fn write(self, out: &mut Vec<f64>);

    /// The row from its doubles.
    fn read(doubles: &[f64]) -> Self;

    /// A total order in which equal rows are neighbours (all NaN are equal, and so are both zeros).
    fn order(&self, other: &Self) -> std::cmp::Ordering;
}

/// The same value for all that compare equal: one NaN, one zero.
pub(crate) fn canonical(x: f64) -> f64 {
    if x.is_nan() { f64::NAN } else { x + 0.0 }
}

impl Row for f64 {
    const WIDTH: usize = 1;

    #[inline]
    fn at(columns: &[&[f64]], i: usize) -> Self {
        columns[0][i]
    }

    fn all<'a>(columns: &[&'a [f64]]) -> Option<&'a [Self]> {
        columns.first().copied()
    }

    fn write(self, out: &mut Vec<f64>) {
        out.push(self);
    }

    fn read(doubles: &[f64]) -> Self {
        doubles[0]
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        canonical(*self).total_cmp(&canonical(*other))
    }
}

impl Row for (f64, f64) {
    const WIDTH: usize = 2;

    #[inline]
    fn at(columns: &[&[f64]], i: usize) -> Self {
        (columns[0][i], columns[1][i])
    }

    fn write(self, out: &mut Vec<f64>) {
        out.extend([self.0, self.1]);
    }

    fn read(doubles: &[f64]) -> Self {
        (doubles[0], doubles[1])
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.0.order(&other.0).then(self.1.order(&other.1))
    }
}

/// The counted rows of a batch.
pub(crate) struct Rows<'a> {
    columns: Vec<&'a [f64]>,
    counted: Option<NullBuffer>,
    len: usize,
}

/// Columns of a batch in which NULLs that count as zero have been replaced.
pub(crate) struct Series(Vec<Float64Array>);

impl Series {
    /// The first `width` arrays as doubles.
    ///
    /// # Errors
    /// Arrays of another type than DOUBLE, which the planner's coercion excludes.
    pub(crate) fn try_new(arrays: &[ArrayRef], width: usize, nulls: NullRows) -> Result<Self> {
        let column = |i: usize| -> Result<Float64Array> {
            let array = arrays.get(i).and_then(|a| a.as_primitive_opt::<Float64Type>());
            let array = array.ok_or_else(|| exec_datafusion_err!("finance function: argument {} is not DOUBLE", i + 1))?;
            Ok(match nulls {
                NullRows::Zero if array.null_count() > 0 => array.iter().map(|x| Some(x.unwrap_or(0.0))).collect(),
                _ => array.clone(),
            })
        };
        (0..width).map(column).collect::<Result<_>>().map(Self)
    }

    /// The rows that count: no side NULL, and the filter true.
    pub(crate) fn rows(&self, filter: Option<&BooleanArray>) -> Rows<'_> {
        let filter = filter.map(|f| {
            let chosen = f.values();
            NullBuffer::new(f.nulls().map_or_else(|| chosen.clone(), |valid| chosen & valid.inner()))
        });
        let counted = self.0.iter().fold(filter, |mask, column| NullBuffer::union(mask.as_ref(), column.nulls()));
        Rows { columns: self.0.iter().map(|c| c.values().as_ref()).collect(), counted, len: self.0.first().map_or(0, Array::len) }
    }
}

impl Rows<'_> {
    /// Visits the counted rows with their position in the batch.
    #[inline]
    pub(crate) fn each<R: Row>(&self, mut visit: impl FnMut(usize, R)) {
        match &self.counted {
            None => (0..self.len).for_each(|i| visit(i, R::at(&self.columns, i))),
            Some(mask) => mask.valid_indices().for_each(|i| visit(i, R::at(&self.columns, i))),
        }
    }

    /// All rows, counted or not, where a row is a single value.
    pub(crate) fn all<R: Row>(&self) -> Option<&[R]> {
        R::all(&self.columns)
    }

    /// Visits the stretches of rows that count, in order.
    pub(crate) fn stretches(&self, mut visit: impl FnMut(Range<usize>)) {
        match &self.counted {
            None => visit(0..self.len),
            Some(mask) => mask.valid_slices().for_each(|(start, end)| visit(start..end)),
        }
    }

    /// Whether row `i` counts.
    pub(crate) fn counts(&self, i: usize) -> bool {
        self.counted.as_ref().is_none_or(|mask| mask.is_valid(i))
    }

    /// Row `i`, counted or not.
    pub(crate) fn row<R: Row>(&self, i: usize) -> R {
        R::at(&self.columns, i)
    }

    /// Rows of the batch, counted or not.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Number of counted rows.
    pub(crate) fn count(&self) -> usize {
        self.len - self.counted.as_ref().map_or(0, NullBuffer::null_count)
    }
}
