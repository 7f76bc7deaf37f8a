//! DATE, TIME and TIMESTAMP arguments as counts since 1970-01-01 or midnight.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{ArrowTimestampType, DataType, Int64Type, TimeUnit};
use datafusion::arrow::datatypes::{
    Date32Type, Time32SecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

use super::calendar::DAY;

/// The values of an argument, or of a result.
#[derive(Debug, Clone)]
pub struct Instants {
    /// Counts of 1 / `per_second`; a constant has one.
    pub values: Int64Array,
    /// Counts in a second: 1, 10^3, 10^6 or 10^9. A DATE counts seconds.
    pub per_second: i64,
    /// The type from which they were read.
    pub data_type: DataType,
    /// One value stands for all rows.
    pub constant: bool,
}

/// Counts in a second of a timestamp.
pub fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The type to which an argument is cast: DATE, TIME and TIMESTAMP stay, NULL becomes TIMESTAMP(0).
///
/// # Errors
/// Any other type; texts need `TIMESTAMP '…'` or a cast.
pub fn accepted(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        DataType::Date32 | DataType::Time32(TimeUnit::Second) | DataType::Timestamp(_, None) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Timestamp(TimeUnit::Second, None)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            plan_err!("{function} takes a DATE, TIME or TIMESTAMP, given is a text: write TIMESTAMP '…' or CAST it")
        }
        other => plan_err!("{function} takes a DATE, TIME or TIMESTAMP, given is {other}"),
    }
}

/// TIMESTAMP of the precision of a type: (0) for DATE and TIME.
pub fn timestamp_like(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        _ => DataType::Timestamp(TimeUnit::Second, None),
    }
}

impl Instants {
    /// Reads an argument.
    ///
    /// # Errors
    /// A type that [`accepted`] refuses.
    pub fn of(function: &str, argument: &ColumnarValue) -> Result<Self> {
        let (array, constant) = match argument {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        };
        let data_type = accepted(function, array.data_type())?;
        let (values, per_second) = match &data_type {
            DataType::Date32 => (dates(&array)?.unary(|days| i64::from(days) * DAY), 1),
            DataType::Time32(_) => {
                (cast(&array, &DataType::Int32)?.as_primitive::<datafusion::arrow::datatypes::Int32Type>().unary(i64::from), 1)
            }
            DataType::Timestamp(unit, _) => {
                let array = cast(&array, &data_type)?;
                (cast(&array, &DataType::Int64)?.as_primitive::<Int64Type>().clone(), per_second(*unit))
            }
            other => return exec_err!("{function}: an argument is {other}"),
        };
        Ok(Self { values, per_second, data_type, constant })
    }

    /// The value of a row.
    pub fn at(&self, row: usize) -> Option<i64> {
        let row = if self.constant { 0 } else { row };
        self.values.is_valid(row).then(|| self.values.value(row))
    }

    /// Counts in a day.
    pub fn per_day(&self) -> i64 {
        self.per_second * DAY
    }
}

fn dates(array: &ArrayRef) -> Result<PrimitiveArray<Date32Type>> {
    match array.as_primitive_opt::<Date32Type>() {
        Some(dates) => Ok(dates.clone()),
        None => exec_err!("a DATE is {}", array.data_type()),
    }
}

/// Counts as a column of this type, or as its one value.
///
/// # Errors
/// A DATE beyond 32 bits of days, or a TIME beyond its day.
pub fn finish(values: Int64Array, data_type: &DataType, constant: bool) -> Result<ColumnarValue> {
    fn timestamps<T: ArrowTimestampType>(values: &Int64Array) -> ArrayRef {
        Arc::new(values.reinterpret_cast::<T>())
    }
    let array: ArrayRef = match data_type {
        DataType::Int64 => Arc::new(values),
        DataType::Timestamp(TimeUnit::Second, _) => timestamps::<TimestampSecondType>(&values),
        DataType::Timestamp(TimeUnit::Millisecond, _) => timestamps::<TimestampMillisecondType>(&values),
        DataType::Timestamp(TimeUnit::Microsecond, _) => timestamps::<TimestampMicrosecondType>(&values),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => timestamps::<TimestampNanosecondType>(&values),
        DataType::Date32 => Arc::new(values.try_unary::<_, Date32Type, _>(date_of)?),
        DataType::Time32(_) => Arc::new(values.try_unary::<_, Time32SecondType, _>(time_of)?),
        other => return exec_err!("no counts become {other}"),
    };
    if constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)) } else { Ok(ColumnarValue::Array(array)) }
}

/// The day of an instant, rounded down.
///
/// # Errors
/// Beyond 32 bits of days (about 5.8 million years).
pub fn date_of(seconds: i64) -> Result<i32> {
    let days = seconds.div_euclid(DAY);
    i32::try_from(days).or_else(|_| exec_err!("a DATE {days} days from 1970-01-01 is out of range"))
}

/// Checks a time of day.
///
/// # Errors
/// Not within a day.
pub fn time_of(seconds: i64) -> Result<i32> {
    match i32::try_from(seconds) {
        Ok(seconds) if (0..DAY as i32).contains(&seconds) => Ok(seconds),
        _ => exec_err!("a TIME of {seconds} seconds lies outside its day"),
    }
}
