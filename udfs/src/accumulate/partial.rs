//! Partial results between the stages of an aggregation: a list of doubles, for path metrics beside a list of order keys.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, LargeListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_datafusion_err, internal_datafusion_err};
use datafusion::logical_expr::function::StateFieldsArgs;
use datafusion::logical_expr::utils::format_state_name;

use crate::constants::Role;
use crate::metric::Metric;
use crate::states::Partial;

/// How a state is written as doubles and read back.
#[derive(Debug)]
pub(crate) struct Codec<S> {
    pub(crate) width: usize,
    pub(crate) write: fn(&S, &mut Vec<f64>),
    pub(crate) read: fn(&mut S, &[f64]),
}

impl<S: Partial> Codec<S> {
    pub(crate) fn of() -> Self {
        Self { width: S::WIDTH, write: S::write, read: S::read }
    }
}

/// The error where a state that cannot leave its accumulator is asked to.
pub(crate) fn stays_here<T>() -> Result<T> {
    Err(internal_datafusion_err!("a path metric computed in time order has no partial result"))
}

/// Columns of the partial result.
pub(crate) fn state_fields(metric: &Metric, args: &StateFieldsArgs<'_>) -> Vec<FieldRef> {
    let field = |name: &str, item: DataType| {
        Arc::new(Field::new(format_state_name(args.name, name), DataType::LargeList(Arc::new(Field::new_list_field(item, true))), true))
    };
    let dates = metric.arguments.iter().any(|argument| argument.role == Role::Dates);
    let mut fields = vec![field("values", if dates { DataType::Int64 } else { DataType::Float64 })];
    if metric.needs_order() {
        fields.push(field("keys", DataType::LargeBinary));
    }
    let mut times = metric.arguments.iter().zip(args.input_fields).filter(|(argument, _)| argument.role == Role::Time);
    if let Some((_, time)) = times.next() {
        fields.push(field("times", time.data_type().clone()));
    }
    fields
}

/// Lists of doubles, one per group.
#[derive(Debug, Default)]
pub(crate) struct ListsBuilder {
    ends: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl ListsBuilder {
    /// Ends the list whose values were appended to `values` since the last call.
    pub(crate) fn close(&mut self) {
        self.ends.push(self.values.len());
    }

    pub(crate) fn finish(self) -> ArrayRef {
        lists_of(&self.ends, Arc::new(Float64Array::from(self.values)))
    }
}

/// A list array over `values` with the given ends of its lists.
pub(crate) fn lists_of(ends: &[usize], values: ArrayRef) -> ArrayRef {
    let lengths = ends.iter().scan(0, |start, &end| Some(end - std::mem::replace(start, end)));
    let offsets = OffsetBuffer::<i64>::from_lengths(lengths);
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Arc::new(LargeListArray::new(item, offsets, values, None))
}

/// The lists of a partial-result column.
pub(crate) fn lists(partial: &[ArrayRef], column: usize) -> Result<&LargeListArray> {
    partial
        .get(column)
        .and_then(|array| array.as_list_opt::<i64>())
        .ok_or_else(|| exec_datafusion_err!("finance function: partial result column {column} is not a list"))
}

/// The bounds of list `i`; empty for NULL.
pub(crate) fn bounds(lists: &LargeListArray, i: usize) -> std::ops::Range<usize> {
    if lists.is_null(i) {
        return 0..0;
    }
    let offsets = lists.value_offsets();
    offsets[i] as usize..offsets[i + 1] as usize
}

/// The doubles under the lists of a column.
pub(crate) fn doubles(lists: &LargeListArray) -> Result<&[f64]> {
    let values = lists.values().as_primitive_opt::<Float64Type>();
    values.map(|v| v.values().as_ref()).ok_or_else(|| exec_datafusion_err!("finance function: partial result is not DOUBLE"))
}
