//! Literals into columns.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeListArray, Float32Builder, Float64Builder, Int8Builder,
    Int16Builder, Int32Builder, Int64Builder, ListArray, RecordBatch, StringViewBuilder, Time32SecondBuilder, TimestampMicrosecondBuilder,
    TimestampMillisecondBuilder, TimestampNanosecondBuilder, TimestampSecondBuilder, new_null_array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::interleave;
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{Result, plan_err};

use super::definition::{DEFAULT, TableDefinition};
use super::values::{InsertHead, Literal, Scan};
use crate::types::literals;

/// The rows of an `INSERT ... VALUES`.
#[derive(Debug)]
pub(super) struct Loaded<'a> {
    /// Places in the table of the columns that are named.
    places: Vec<usize>,
    /// Their values, NULL where an expression stands.
    arrays: Vec<ArrayRef>,
    /// Row, place among the columns named, and text of every expression.
    pub(super) expressions: Vec<(usize, usize, &'a str)>,
}

/// Reads the rows after `VALUES`.
pub(super) fn load_values<'a>(text: &'a str, head: &InsertHead, definition: &TableDefinition) -> Result<Loaded<'a>> {
    let places = target_places(&head.columns, definition)?;
    let fields: Vec<&Field> = places.iter().map(|place| definition.schema.field(*place)).collect();
    let mut columns = fields.iter().map(|field| Column::of(field.data_type())).collect::<Result<Vec<_>>>()?;
    let mut scan = Scan::new(text, head.body);
    let mut expressions = Vec::new();
    let mut number = 0;
    loop {
        let row = scan.row(|place, literal| match (columns.get_mut(place), literal) {
            (Some(column), Literal::Expression(text)) => {
                column.push_null();
                expressions.push((number, place, text));
                Ok(())
            }
            (Some(column), literal) => column.push(&literal, fields[place]),
            (None, _) => plan_err!("more values than the {} columns", fields.len()),
        });
        match row {
            None => return plan_err!("row {} of VALUES does not end, or misses a value", number + 1),
            Some(Err(error)) => return Err(error),
            Some(Ok(count)) if count != fields.len() => return plan_err!("{count} values for {} columns", fields.len()),
            Some(Ok(_)) => number += 1,
        }
        if !scan.more_rows() {
            break;
        }
    }
    if !scan.is_done() {
        return plan_err!("expected ',' or the end of the statement after row {number} of VALUES");
    }
    Ok(Loaded { places, arrays: columns.iter_mut().map(Column::finish).collect(), expressions })
}

impl Loaded<'_> {
    /// The column into which an expression goes.
    pub(super) fn field<'d>(&self, place: usize, definition: &'d TableDefinition) -> &'d Field {
        definition.schema.field(self.places[place])
    }

    /// The rows with the values of the expressions, in their order, one of a row each.
    pub(super) fn finish(self, values: &[ArrayRef], definition: &TableDefinition) -> Result<RecordBatch> {
        let Self { places, mut arrays, expressions } = self;
        let mut by_place: BTreeMap<usize, Vec<(usize, &ArrayRef)>> = BTreeMap::new();
        for ((row, place, _), value) in expressions.iter().zip(values) {
            by_place.entry(*place).or_default().push((*row, value));
        }
        for (place, given) in by_place {
            let array = &mut arrays[place];
            let mut sources: Vec<(usize, usize)> = (0..array.len()).map(|row| (0, row)).collect();
            let mut parts: Vec<&dyn Array> = vec![&**array];
            for (row, value) in given {
                sources[row] = (parts.len(), 0);
                parts.push(&**value);
            }
            let merged = interleave(&parts, &sources)?;
            *array = merged;
        }
        let fields: Vec<Field> = places.iter().map(|place| definition.schema.field(*place).clone()).collect();
        let batch = RecordBatch::try_new(Arc::new(datafusion::arrow::datatypes::Schema::new(fields)), arrays)?;
        with_defaults(&batch, &places, definition)
    }
}

/// Places in the table of the columns that a statement names; all in order when it names none.
pub(super) fn target_places(columns: &[String], definition: &TableDefinition) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..definition.schema.fields().len()).collect());
    }
    // A map, for a statement may name 25,000 columns.
    let known: HashMap<&str, usize> =
        definition.schema.fields().iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect();
    let mut taken = vec![false; known.len()];
    let mut places = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(place) = known.get(column.as_str()) else { return plan_err!("table '{}' has no column '{column}'", definition.spelling) };
        if std::mem::replace(&mut taken[*place], true) {
            return plan_err!("column '{column}' comes twice");
        }
        places.push(*place);
    }
    Ok(places)
}

/// The rows with the columns that were not named: their default, or NULL.
pub(super) fn with_defaults(batch: &RecordBatch, places: &[usize], definition: &TableDefinition) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut columns: Vec<Option<ArrayRef>> = vec![None; definition.schema.fields().len()];
    for (place, column) in places.iter().zip(batch.columns()) {
        columns[*place] = Some(Arc::clone(column));
    }
    let filled = columns.into_iter().zip(definition.schema.fields()).map(|(column, field)| match column {
        Some(column) => Ok(column),
        None => default_values(field, rows),
    });
    Ok(RecordBatch::try_new(Arc::clone(&definition.schema), filled.collect::<Result<_>>()?)?)
}

pub(super) fn default_values(field: &Field, rows: usize) -> Result<ArrayRef> {
    let Some(default) = field.metadata().get(DEFAULT) else { return Ok(new_null_array(field.data_type(), rows)) };
    let text = format!("({default})");
    let mut column = Column::of(field.data_type())?;
    let mut failed = None;
    for _ in 0..rows {
        let read = Scan::new(&text, 0).row(|_, literal| column.push(&literal, field));
        match read {
            Some(Ok(1)) => {}
            Some(Err(error)) => return Err(error),
            _ => failed = Some(()),
        }
    }
    match failed {
        None => Ok(column.finish()),
        Some(()) => plan_err!("the DEFAULT of column '{}' is no literal: {default}", field.name()),
    }
}

/// A column that is being filled.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int8(Int8Builder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, i8),
    Text(StringViewBuilder),
    Date(Date32Builder),
    Time(Time32SecondBuilder),
    Second(TimestampSecondBuilder),
    Millisecond(TimestampMillisecondBuilder),
    Microsecond(TimestampMicrosecondBuilder),
    Nanosecond(TimestampNanosecondBuilder),
    List(Box<ListColumn>),
    /// Columns that exist and cannot be used: their values are read over.
    Unused(usize, DataType),
}

/// A column of arrays: its elements, and where each array ends.
pub(super) struct ListColumn {
    element: Field,
    values: Column,
    /// Elements of every array, where that is fixed.
    length: Option<i32>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

/// Appends a value or NULL, with the value made from the literal.
macro_rules! push {
    ($builder:expr, $value:expr) => {{
        $builder.append_value($value);
        Ok(())
    }};
}

impl Column {
    /// An empty column, without room: a table may have 25,000.
    pub(super) fn of(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(0)),
            DataType::Int8 => Self::Int8(Int8Builder::with_capacity(0)),
            DataType::Int16 => Self::Int16(Int16Builder::with_capacity(0)),
            DataType::Int32 => Self::Int32(Int32Builder::with_capacity(0)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(0)),
            DataType::Float32 => Self::Float32(Float32Builder::with_capacity(0)),
            DataType::Float64 => Self::Float64(Float64Builder::with_capacity(0)),
            DataType::Decimal128(_, scale) => Self::Decimal(Decimal128Builder::with_capacity(0).with_data_type(data_type.clone()), *scale),
            DataType::Utf8View => Self::Text(StringViewBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(0)),
            DataType::Time32(TimeUnit::Second) => Self::Time(Time32SecondBuilder::with_capacity(0)),
            DataType::Timestamp(TimeUnit::Second, None) => Self::Second(TimestampSecondBuilder::with_capacity(0)),
            DataType::Timestamp(TimeUnit::Millisecond, None) => Self::Millisecond(TimestampMillisecondBuilder::with_capacity(0)),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Microsecond(TimestampMicrosecondBuilder::with_capacity(0)),
            DataType::Timestamp(TimeUnit::Nanosecond, None) => Self::Nanosecond(TimestampNanosecondBuilder::with_capacity(0)),
            DataType::List(element) => Self::List(Box::new(ListColumn::of(element, None)?)),
            DataType::FixedSizeList(element, length) => Self::List(Box::new(ListColumn::of(element, Some(*length))?)),
            other => Self::Unused(0, other.clone()),
        })
    }

    pub(super) fn push_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Int8(builder) => builder.append_null(),
            Self::Int16(builder) => builder.append_null(),
            Self::Int32(builder) => builder.append_null(),
            Self::Int64(builder) => builder.append_null(),
            Self::Float32(builder) => builder.append_null(),
            Self::Float64(builder) => builder.append_null(),
            Self::Decimal(builder, _) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Time(builder) => builder.append_null(),
            Self::Second(builder) => builder.append_null(),
            Self::Millisecond(builder) => builder.append_null(),
            Self::Microsecond(builder) => builder.append_null(),
            Self::Nanosecond(builder) => builder.append_null(),
            Self::List(list) => list.push_null(),
            Self::Unused(rows, _) => *rows += 1,
        }
    }

    /// Adds one value, read as the column's type reads it. Where it cannot be read the column is one value short, an array's is NULL.
    pub(super) fn push(&mut self, literal: &Literal<'_>, field: &Field) -> Result<()> {
        let refused = || plan_err!("{} is no value of column '{}' ({})", shown(literal), field.name(), field.data_type());
        let text = match literal {
            Literal::Expression(_) => return refused(),
            Literal::Null => {
                self.push_null();
                return Ok(());
            }
            Literal::Array(values) => {
                let Self::List(list) = self else { return refused() };
                return list.push(values, field.name());
            }
            Literal::Boolean(true) => "true",
            Literal::Boolean(false) => "false",
            Literal::Number(text) | Literal::Text(text) => text,
        };
        self.push_text(text).unwrap_or_else(refused)
    }

    /// `None` where the text is no value of the type.
    pub(super) fn push_text(&mut self, text: &str) -> Option<Result<()>> {
        Some(match self {
            Self::Boolean(builder) => push!(builder, literals::boolean(text)?),
            Self::Int8(builder) => push!(builder, i8::try_from(literals::integer(text)?).ok()?),
            Self::Int16(builder) => push!(builder, i16::try_from(literals::integer(text)?).ok()?),
            Self::Int32(builder) => push!(builder, i32::try_from(literals::integer(text)?).ok()?),
            Self::Int64(builder) => push!(builder, literals::integer(text)?),
            Self::Float32(builder) => push!(builder, literals::single(text)?),
            Self::Float64(builder) => push!(builder, literals::float(text)?),
            Self::Decimal(builder, scale) => push!(builder, literals::decimal(text, scale.unsigned_abs())?),
            Self::Text(builder) => push!(builder, text),
            Self::Date(builder) => push!(builder, literals::date(text)?),
            Self::Time(builder) => push!(builder, literals::time(text)?),
            Self::Second(builder) => push!(builder, literals::timestamp(text, TimeUnit::Second)?),
            Self::Millisecond(builder) => push!(builder, literals::timestamp(text, TimeUnit::Millisecond)?),
            Self::Microsecond(builder) => push!(builder, literals::timestamp(text, TimeUnit::Microsecond)?),
            Self::Nanosecond(builder) => push!(builder, literals::timestamp(text, TimeUnit::Nanosecond)?),
            Self::List(_) => return None,
            Self::Unused(rows, _) => {
                *rows += 1;
                Ok(())
            }
        })
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int8(builder) => Arc::new(builder.finish()),
            Self::Int16(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float32(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder, _) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Second(builder) => Arc::new(builder.finish()),
            Self::Millisecond(builder) => Arc::new(builder.finish()),
            Self::Microsecond(builder) => Arc::new(builder.finish()),
            Self::Nanosecond(builder) => Arc::new(builder.finish()),
            Self::List(list) => list.finish(),
            Self::Unused(rows, data_type) => new_null_array(data_type, *rows),
        }
    }
}

impl ListColumn {
    fn of(element: &Field, length: Option<i32>) -> Result<Self> {
        Ok(Self { element: element.clone(), values: Column::of(element.data_type())?, length, lengths: vec![], valid: vec![] })
    }

    fn push(&mut self, values: &[Literal<'_>], name: &str) -> Result<()> {
        if let Some(length) = self.length.filter(|length| usize::try_from(*length) != Ok(values.len())) {
            return plan_err!("an array of column '{name}' has {length} elements, not {}", values.len());
        }
        for (place, value) in values.iter().enumerate() {
            if let Err(error) = self.values.push(value, &self.element) {
                // The elements so far stay, under a NULL: the caller drops the row.
                (place..values.len()).for_each(|_| self.values.push_null());
                self.lengths.push(values.len());
                self.valid.push(false);
                return Err(error);
            }
        }
        self.lengths.push(values.len());
        self.valid.push(true);
        Ok(())
    }

    /// A NULL array; one of fixed length has its place among the elements all the same.
    fn push_null(&mut self) {
        (0..self.length.unwrap_or(0)).for_each(|_| self.values.push_null());
        self.lengths.push(0);
        self.valid.push(false);
    }

    fn finish(&mut self) -> ArrayRef {
        let nulls = Some(NullBuffer::from(self.valid.clone()));
        let element = Arc::new(self.element.clone());
        match self.length {
            Some(length) => Arc::new(FixedSizeListArray::new(element, length, self.values.finish(), nulls)),
            None => {
                let offsets = OffsetBuffer::from_lengths(self.lengths.iter().copied());
                Arc::new(ListArray::new(element, offsets, self.values.finish(), nulls))
            }
        }
    }
}

/// A literal in a message.
fn shown(literal: &Literal<'_>) -> String {
    match literal {
        Literal::Null => "NULL".into(),
        Literal::Boolean(value) => value.to_string(),
        Literal::Number(text) => text.to_string(),
        Literal::Text(text) => format!("'{text}'"),
        Literal::Expression(text) => (*text).to_owned(),
        Literal::Array(values) => format!("{{{}}}", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}
