//! Expectations as Parquet.

use std::fs::File;
use std::path::Path;

use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Expectation, ExpectationError, Value};
use crate::replay::rows::{Cell, Rows};

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Expectation, ExpectationError> {
    let opened = File::open(file).map_err(|source| ExpectationError::unreadable(file, source))?;
    let broken = |what: String| ExpectationError::broken(file, 1, what);
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| broken(format!("no Parquet: {error}")))?;
    let schema = std::sync::Arc::clone(reader.schema());
    let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
    let batches: Result<Vec<_>, _> = reader.build().map_err(|error| broken(format!("no Parquet: {error}")))?.collect();
    let batches = batches.map_err(|error| broken(format!("the rows cannot be read: {error}")))?;
    let table = Rows::try_new(&schema, &batches).map_err(|error| broken(error.to_string()))?;
    let rows = (0..table.len()).map(|row| (0..table.width()).map(|column| value(table.cell(row, column))).collect()).collect();
    Ok(Expectation::Rows { columns: Some(columns), rows })
}

fn value(cell: Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(value) => Value::Boolean(value),
        Cell::Integer(value) => Value::Integer(value),
        Cell::Real(value) => Value::Real(value),
        Cell::Decimal(decimal) => Value::Real(decimal.to_f64()),
        Cell::Text(text) => Value::Text(text.to_owned()),
        Cell::Instant(instant) => Value::Instant(instant.nanoseconds()),
        Cell::Time(time) => Value::Time(time.nanoseconds()),
        Cell::List(cells) => Value::List(cells.into_iter().map(value).collect()),
    }
}
