//! Our rows, cell by cell, whatever Arrow arrays they lie in.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::types::{
    Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt64Type,
};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, IntervalUnit, Schema, TimeUnit};

/// A result whose columns cannot be read as HeavyDB's types.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column:?} cannot be compared or written: {reason}")]
pub struct RowsError {
    /// The column's name.
    pub column: String,
    /// Its type, or what does not fit.
    pub reason: String,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// An integer; also an interval, in milliseconds or months.
    Integer(i128),
    /// FLOAT (widened) or DOUBLE.
    Real(f64),
    /// DECIMAL.
    Decimal(Decimal),
    /// A text.
    Text(&'a str),
    /// A DATE or TIMESTAMP.
    Instant(Instant),
    /// A TIME.
    Time(TimeOfDay),
    /// An array.
    List(Vec<Cell<'a>>),
}

/// `value` · 10^-`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// All digits.
    pub value: i128,
    /// Digits of the type.
    pub precision: u8,
    /// Digits behind the point.
    pub scale: i8,
}

impl Decimal {
    /// The nearest DOUBLE.
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.value.unsigned_abs().to_string();
        let sign = if self.value < 0 { "-" } else { "" };
        match usize::try_from(self.scale) {
            Ok(0) => write!(f, "{sign}{digits}"),
            Ok(scale) => {
                let digits = format!("{digits:0>width$}", width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                write!(f, "{sign}{whole}.{fraction}")
            }
            Err(_) => write!(f, "{sign}{digits}{}", "0".repeat(usize::from(self.scale.unsigned_abs()))),
        }
    }
}

/// The unit of a date or time: 10^-p seconds, or days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// DATE.
    Day,
    /// Seconds, with this many digits behind them: 0, 3, 6 or 9.
    Second(u32),
}

impl Unit {
    fn of(unit: TimeUnit) -> Self {
        Self::Second(match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        })
    }

    /// Nanoseconds in one of the unit.
    fn nanoseconds(self) -> i128 {
        match self {
            Self::Day => 86_400_000_000_000,
            Self::Second(digits) => 10_i128.pow(9_u32.saturating_sub(digits)),
        }
    }
}

/// A point in time, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// How many units.
    pub value: i64,
    /// The unit.
    pub unit: Unit,
}

impl Instant {
    /// Since 1970.
    pub fn nanoseconds(self) -> i128 {
        i128::from(self.value) * self.unit.nanoseconds()
    }
}

/// A time of day, counted from midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// How many units.
    pub value: i64,
    /// The unit.
    pub unit: Unit,
}

impl TimeOfDay {
    /// Since midnight.
    pub fn nanoseconds(self) -> i128 {
        i128::from(self.value) * self.unit.nanoseconds()
    }
}

/// A result: rows by number over all its batches.
#[derive(Debug, Clone)]
pub struct Rows {
    names: Vec<String>,
    types: Vec<DataType>,
    /// By batch, then column.
    batches: Vec<Vec<ArrayRef>>,
    /// The row behind the last one of each batch.
    ends: Vec<usize>,
}

impl Rows {
    /// The rows of a result. Arrays are shared, not copied, unless they are dictionaries or intervals.
    ///
    /// # Errors
    /// A column of a type that HeavyDB has not: binary, struct, map, an interval of months and days at once.
    pub fn try_new(schema: &Schema, batches: &[RecordBatch]) -> Result<Self, RowsError> {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut rows = Self {
            types: schema.fields().iter().map(|field| readable_type(field.data_type())).collect(),
            names,
            batches: Vec::new(),
            ends: Vec::new(),
        };
        if let Some(field) = schema.fields().iter().find(|field| !is_readable(field.data_type())) {
            return Err(RowsError { column: field.name().clone(), reason: format!("it has the type {}", field.data_type()) });
        }
        let mut end = 0;
        for batch in batches {
            let fail = |column: usize, reason: String| RowsError { column: rows.names.get(column).cloned().unwrap_or_default(), reason };
            if batch.num_columns() != rows.names.len() {
                return Err(fail(0, format!("a batch has {} columns, the schema {}", batch.num_columns(), rows.names.len())));
            }
            let columns = batch.columns().iter().enumerate().map(|(at, array)| readable(array).map_err(|reason| fail(at, reason)));
            let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
            end += batch.num_rows();
            rows.batches.push(columns);
            rows.ends.push(end);
        }
        Ok(rows)
    }

    /// Count of rows.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Count of columns.
    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// The names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The type of a column, without dictionary.
    pub fn data_type(&self, column: usize) -> &DataType {
        self.types.get(column).unwrap_or(&DataType::Null)
    }

    /// The first `width` columns alone.
    pub fn take_columns(&self, width: usize) -> Self {
        let mut rows = self.clone();
        rows.names.truncate(width);
        rows.types.truncate(width);
        rows.batches.iter_mut().for_each(|columns| columns.truncate(width));
        rows
    }

    /// A value; NULL outside the result.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        let batch = self.ends.partition_point(|end| *end <= row);
        let start = if batch == 0 { 0 } else { self.ends[batch - 1] };
        match self.batches.get(batch).and_then(|columns| columns.get(column)) {
            Some(array) => cell(array, row - start),
            None => Cell::Null,
        }
    }
}

/// The type in which an array is read: without dictionary, integers and decimals of a size that [`cell`] knows.
fn readable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => readable_type(value),
        DataType::RunEndEncoded(_, value) => readable_type(value.data_type()),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::Interval(_) | DataType::Duration(_) => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) | DataType::Decimal256(precision, scale) => {
            DataType::Decimal128((*precision).min(38), *scale)
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(item.as_ref().clone().with_data_type(readable_type(item.data_type())).with_nullable(true)))
        }
        other => other.clone(),
    }
}

fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            !matches!(item.data_type(), DataType::Interval(_) | DataType::Duration(_)) && is_readable(item.data_type())
        }
        DataType::Dictionary(_, value) => is_readable(value),
        DataType::RunEndEncoded(_, value) => is_readable(value.data_type()),
        DataType::Null | DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Timestamp(..) | DataType::Duration(_) | DataType::Interval(_) => true,
        other => other.is_numeric() || matches!(other, DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_)),
    }
}

/// The array in one of the types that [`cell`] reads.
fn readable(array: &ArrayRef) -> Result<ArrayRef, String> {
    let to = |array: &ArrayRef, target: &DataType| {
        cast_with_options(array, target, &CastOptions { safe: false, ..CastOptions::default() }).map_err(|error| error.to_string())
    };
    let target = readable_type(array.data_type());
    match array.data_type() {
        DataType::Interval(unit) => interval(array, *unit),
        DataType::Duration(_) => to(&to(array, &DataType::Duration(TimeUnit::Millisecond))?, &target),
        same if *same == target => Ok(Arc::clone(array)),
        _ => to(array, &target),
    }
}

/// Intervals as HeavyDB holds them: months, or milliseconds.
fn interval(array: &ArrayRef, unit: IntervalUnit) -> Result<ArrayRef, String> {
    use datafusion::arrow::array::types::{IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType};
    const DAY_MS: i64 = 86_400_000;
    let both = || "an interval of months and days at once".to_owned();
    let values: Result<Int64Array, String> = match unit {
        IntervalUnit::YearMonth => Ok(array.as_primitive::<IntervalYearMonthType>().iter().map(|months| months.map(i64::from)).collect()),
        IntervalUnit::DayTime => {
            let values = array.as_primitive::<IntervalDayTimeType>();
            Ok(values.iter().map(|value| value.map(|value| i64::from(value.days) * DAY_MS + i64::from(value.milliseconds))).collect())
        }
        IntervalUnit::MonthDayNano => {
            let number = |months: i32, days: i32, nanoseconds: i64| match (months, days, nanoseconds) {
                (months, 0, 0) if months != 0 => Ok(i64::from(months)),
                (0, days, nanoseconds) => Ok(i64::from(days) * DAY_MS + nanoseconds.div_euclid(1_000_000)),
                _ => Err(both()),
            };
            let values = array.as_primitive::<IntervalMonthDayNanoType>();
            values.iter().map(|value| value.map(|value| number(value.months, value.days, value.nanoseconds)).transpose()).collect()
        }
    };
    values.map(|values| Arc::new(values) as ArrayRef)
}

/// The value of a row of an array that [`readable`] gave.
fn cell(array: &ArrayRef, row: usize) -> Cell<'_> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Cell::Null;
    }
    let instant = |value: i64, unit: Unit| Cell::Instant(Instant { value, unit });
    let time = |value: i64, unit: TimeUnit| Cell::Time(TimeOfDay { value, unit: Unit::of(unit) });
    match array.data_type() {
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Integer(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row).into()),
        DataType::UInt64 => Cell::Integer(array.as_primitive::<UInt64Type>().value(row).into()),
        DataType::Float32 => Cell::Real(array.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Cell::Real(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(precision, scale) => {
            Cell::Decimal(Decimal { value: array.as_primitive::<Decimal128Type>().value(row), precision: *precision, scale: *scale })
        }
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row)),
        DataType::Date32 => instant(array.as_primitive::<Date32Type>().value(row).into(), Unit::Day),
        DataType::Date64 => instant(array.as_primitive::<Date64Type>().value(row), Unit::Second(3)),
        DataType::Timestamp(unit, _) => instant(timestamp(array, row, *unit), Unit::of(*unit)),
        DataType::Time32(TimeUnit::Second) => time(array.as_primitive::<Time32SecondType>().value(row).into(), TimeUnit::Second),
        DataType::Time32(_) => time(array.as_primitive::<Time32MillisecondType>().value(row).into(), TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond) => time(array.as_primitive::<Time64MicrosecondType>().value(row), TimeUnit::Microsecond),
        DataType::Time64(_) => time(array.as_primitive::<Time64NanosecondType>().value(row), TimeUnit::Nanosecond),
        DataType::List(_) => elements(array, row),
        _ => Cell::Null,
    }
}

fn timestamp(array: &ArrayRef, row: usize, unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
        TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
        TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
    }
}

/// The values of one list.
fn elements(array: &ArrayRef, row: usize) -> Cell<'_> {
    let lists = array.as_list::<i32>();
    let offsets = lists.value_offsets();
    let bounds = (offsets.get(row).copied().unwrap_or(0), offsets.get(row + 1).copied().unwrap_or(0));
    let (Ok(start), Ok(end)) = (usize::try_from(bounds.0), usize::try_from(bounds.1)) else { return Cell::Null };
    Cell::List((start..end).map(|at| cell(lists.values(), at)).collect())
}
