//! The rows of one strategy as one value: the aggregate below the operator.
//!
//! Being an aggregate, it is computed by whatever aggregates best over the source at hand: run by run over a strategy table, by hashing
//! elsewhere.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, PrimitiveArray, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, filter};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Fields, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, internal_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

/// Name of the aggregate in plans.
const NAME: &str = "series";

/// The aggregate `series(value, date [, slot])`: a struct of three lists, `values` (DOUBLE), `dates` and `slots` (BIGINT; `slots` is empty
/// without a slot), in the order in which the rows came.
pub(super) fn series() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(SeriesUdaf { signature: Signature::variadic_any(Volatility::Immutable) }))
}

/// Whether periods may have this type: each value is a whole number, so that equal periods are equal numbers.
pub(super) fn can_be_period(data_type: &DataType) -> bool {
    use DataType::{Date32, Date64, Duration, Time32, Time64, Timestamp};
    data_type.is_integer() || matches!(data_type, Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_))
}

/// A period's number as a whole number.
///
/// # Errors
/// A type that is none.
pub(super) fn period_numbers(array: &ArrayRef) -> Result<Int64Array> {
    if let DataType::Date32 = array.data_type() {
        let days: &PrimitiveArray<Date32Type> = array.as_primitive();
        return Ok(days.unary(i64::from));
    }
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// Fields of the struct.
pub(super) fn series_fields() -> Fields {
    let list = |name: &str, item: DataType, nullable: bool| {
        Arc::new(Field::new(name, DataType::List(Arc::new(Field::new_list_field(item, nullable))), false))
    };
    Fields::from(vec![
        list("values", DataType::Float64, true),
        list("dates", DataType::Int64, false),
        list("slots", DataType::Int64, false),
    ])
}

/// The rows of some strategies.
pub(super) struct CollectedSeries<'a> {
    values: (&'a OffsetBuffer<i32>, &'a Float64Array),
    dates: (&'a OffsetBuffer<i32>, &'a Int64Array),
    slots: (&'a OffsetBuffer<i32>, &'a Int64Array),
}

/// The rows of one strategy.
pub(super) struct OneSeries<'a> {
    /// Value of each row.
    pub(super) values: &'a [f64],
    /// Which rows have one; `None` for all.
    pub(super) valid: Option<NullBuffer>,
    /// Date of each row.
    pub(super) dates: &'a [i64],
    /// Slot of each row; empty where dates have none.
    pub(super) slots: &'a [i64],
}

impl<'a> CollectedSeries<'a> {
    /// Reads the aggregate's result.
    ///
    /// # Errors
    /// Another array.
    pub(super) fn try_new(array: &'a ArrayRef) -> Result<Self> {
        let parts = array.as_struct_opt().ok_or_else(|| internal_datafusion_err!("series are structs"))?;
        let (values, dates, slots) = (list(parts, 0)?, list(parts, 1)?, list(parts, 2)?);
        Ok(Self {
            values: (values.offsets(), values.values().as_primitive::<Float64Type>()),
            dates: (dates.offsets(), dates.values().as_primitive::<Int64Type>()),
            slots: (slots.offsets(), slots.values().as_primitive::<Int64Type>()),
        })
    }

    /// The rows of one.
    pub(super) fn get(&self, index: usize) -> OneSeries<'a> {
        let (values, rows) = (self.values.1, extent(self.values.0, index));
        let valid = values.nulls().map(|nulls| nulls.slice(rows.start, rows.len())).filter(|nulls| nulls.null_count() > 0);
        OneSeries {
            values: &values.values()[rows],
            valid,
            dates: &self.dates.1.values()[extent(self.dates.0, index)],
            slots: &self.slots.1.values()[extent(self.slots.0, index)],
        }
    }
}

fn list(parts: &StructArray, index: usize) -> Result<&ListArray> {
    parts.column(index).as_list_opt().ok_or_else(|| internal_datafusion_err!("series are structs of lists"))
}

fn extent(offsets: &OffsetBuffer<i32>, index: usize) -> std::ops::Range<usize> {
    offsets[index] as usize..offsets[index + 1] as usize
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SeriesUdaf {
    signature: Signature,
}

impl AggregateUDFImpl for SeriesUdaf {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, periods @ ..] if value.is_numeric() && matches!(periods.len(), 1 | 2) && periods.iter().all(can_be_period) => {
                Ok(DataType::Struct(series_fields()))
            }
            _ => plan_err!("{NAME}(value, date [, slot]) does not take {arguments:?}"),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup(SeriesOfGroups::default())))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(args.name, DataType::Struct(series_fields()), false))])
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(SeriesOfGroups::default()))
    }
}

/// The rows of one group.
#[derive(Debug, Default)]
struct Rows {
    values: Vec<f64>,
    /// Rows without a value.
    nulls: Vec<u32>,
    dates: Vec<i64>,
    slots: Vec<i64>,
}

impl Rows {
    fn push(&mut self, columns: &Columns, rows: std::ops::Range<usize>) {
        let before = self.values.len() as u32;
        if columns.values.null_count() > 0 {
            let nulls = rows.clone().filter(|&row| columns.values.is_null(row));
            self.nulls.extend(nulls.map(|row| before + (row - rows.start) as u32));
        }
        self.values.extend_from_slice(&columns.values.values()[rows.clone()]);
        self.dates.extend_from_slice(&columns.dates.values()[rows.clone()]);
        if let Some(slots) = &columns.slots {
            self.slots.extend_from_slice(&slots.values()[rows]);
        }
    }

    fn size_bytes(&self) -> usize {
        size_of::<Self>() + (self.values.capacity() + self.dates.capacity() + self.slots.capacity()) * 8 + self.nulls.capacity() * 4
    }
}

/// The columns of a batch in the types that are kept.
struct Columns {
    values: Float64Array,
    dates: Int64Array,
    slots: Option<Int64Array>,
}

impl Columns {
    fn try_new(arguments: &[ArrayRef]) -> Result<Self> {
        let [values, dates, slots @ ..] = arguments else { return Err(internal_datafusion_err!("{NAME} without arguments")) };
        let columns = Self {
            values: cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone(),
            dates: period_numbers(dates)?,
            slots: slots.first().map(period_numbers).transpose()?,
        };
        if columns.dates.null_count() > 0 || columns.slots.as_ref().is_some_and(|slots| slots.null_count() > 0) {
            return Err(exec_datafusion_err!("the date or slot of a row is NULL: leave such rows out, WHERE date IS NOT NULL"));
        }
        Ok(columns)
    }
}

/// The rows of each group, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct SeriesOfGroups {
    groups: Vec<Rows>,
    bytes: usize,
}

impl SeriesOfGroups {
    fn push(&mut self, group: usize, columns: &Columns, rows: std::ops::Range<usize>) {
        let group = &mut self.groups[group];
        let before = group.size_bytes();
        group.push(columns, rows);
        self.bytes += group.size_bytes() - before;
    }

    fn resize(&mut self, groups: usize) {
        if groups > self.groups.len() {
            self.bytes += (groups - self.groups.len()) * size_of::<Rows>();
            self.groups.resize_with(groups, Rows::default);
        }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(Rows::size_bytes).sum();
        let (rows, slots) =
            (offsets(groups.iter().map(|group| group.values.len()))?, offsets(groups.iter().map(|group| group.slots.len()))?);
        let values: Vec<f64> = groups.iter().flat_map(|group| group.values.iter().copied()).collect();
        let valid = groups.iter().any(|group| !group.nulls.is_empty()).then(|| valid_rows(&groups, values.len()));
        let numbers = |column: fn(&Rows) -> &[i64]| -> Int64Array {
            groups.iter().flat_map(|group| column(group).iter().copied()).collect::<Vec<_>>().into()
        };
        let lists: Vec<(ArrayRef, OffsetBuffer<i32>)> = vec![
            (Arc::new(Float64Array::new(values.into(), valid)), rows.clone()),
            (Arc::new(numbers(|group| &group.dates)), rows),
            (Arc::new(numbers(|group| &group.slots)), slots),
        ];
        let fields = series_fields();
        let lists = fields.iter().zip(lists).map(|(field, (items, offsets))| {
            let DataType::List(item) = field.data_type() else { return Err(internal_datafusion_err!("series are lists")) };
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, None)?) as ArrayRef)
        });
        let lists = lists.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), lists, None, groups.len())?))
    }
}

/// Offsets of lists of these lengths.
fn offsets(lengths: impl Iterator<Item = usize>) -> Result<OffsetBuffer<i32>> {
    let mut ends = vec![0];
    let mut end = 0_usize;
    for length in lengths {
        end += length;
        ends.push(i32::try_from(end).map_err(|_| {
            exec_datafusion_err!(
                "a relation has {end} rows or more, and what is no strategy table has 2147483647 at most\nhint: import it as a strategy table, or correlate fewer periods at a time"
            )
        })?);
    }
    Ok(OffsetBuffer::new(ends.into()))
}

fn valid_rows(groups: &[Rows], rows: usize) -> NullBuffer {
    let mut valid = vec![true; rows];
    let mut start = 0;
    for group in groups {
        for &null in &group.nulls {
            valid[start + null as usize] = false;
        }
        start += group.values.len();
    }
    NullBuffer::from(valid)
}

impl GroupsAccumulator for SeriesOfGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.resize(groups);
        let (arguments, kept): (Vec<ArrayRef>, Vec<usize>);
        let (values, group_indices) = match opt_filter {
            None => (values, group_indices),
            Some(mask) => {
                arguments = values.iter().map(|array| Ok(filter(array, mask)?)).collect::<Result<_>>()?;
                kept = group_indices.iter().zip(mask).filter(|(_, keep)| *keep == Some(true)).map(|(group, _)| *group).collect();
                (arguments.as_slice(), kept.as_slice())
            }
        };
        let columns = Columns::try_new(values)?;
        let mut start = 0;
        for stretch in group_indices.chunk_by(|a, b| a == b) {
            self.push(stretch[0], &columns, start..start + stretch.len());
            start += stretch.len();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        let [states] = states else { return Err(internal_datafusion_err!("{NAME} has one state")) };
        let series = CollectedSeries::try_new(states)?;
        for (index, &group) in group_indices.iter().enumerate() {
            let one = series.get(index);
            let rows = one.values.len();
            let columns = Columns {
                values: Float64Array::new(one.values.to_vec().into(), one.valid),
                dates: one.dates.to_vec().into(),
                slots: (!one.slots.is_empty()).then(|| one.slots.to_vec().into()),
            };
            self.push(group, &columns, 0..rows);
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |values| values.len());
        let each: Vec<usize> = (0..rows).collect();
        let mut alone = Self::default();
        alone.update_batch(values, &each, opt_filter, rows)?;
        alone.state(EmitTo::All)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.emit(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)?])
    }

    fn size(&self) -> usize {
        self.bytes
    }
}

/// One group, for plans that ask for it.
#[derive(Debug)]
struct OneGroup(SeriesOfGroups);

impl Accumulator for OneGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, Array::len);
        self.0.update_batch(values, &vec![0; rows], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, Array::len);
        self.0.merge_batch(states, &vec![0; rows], 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        ScalarValue::try_from_array(&self.0.emit(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_than_a_list_can_number_are_an_error() {
        assert_eq!(offsets([2, 0, 3].into_iter()).expect("offsets").to_vec(), [0, 2, 2, 5]);
        let failed = offsets([usize::MAX / 4, 1].into_iter()).expect_err("too many");
        assert!(failed.to_string().contains("strategy table"), "{failed}");
    }
}
