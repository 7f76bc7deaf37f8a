//! Rows of system tables from JSON records.

use std::sync::Arc;
use std::time::SystemTime;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::Value;

use crate::error::{Error, Result};

/// A column of a system table that is taken from JSON records: its name, the type it gets, and a path inside the record.
pub(super) struct JsonColumn(pub(super) &'static str, pub(super) JsonType, pub(super) &'static [&'static str]);

#[derive(Clone, Copy)]
pub(super) enum JsonType {
    Text,
    Integer,
    Real,
    Boolean,
    Instant,
}

/// Columns as a schema.
pub(super) fn json_schema(columns: &[JsonColumn]) -> SchemaRef {
    let data_type = |kind| match kind {
        JsonType::Text => DataType::Utf8,
        JsonType::Integer => DataType::Int64,
        JsonType::Real => DataType::Float64,
        JsonType::Boolean => DataType::Boolean,
        JsonType::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Arc::new(Schema::new(columns.iter().map(|JsonColumn(name, kind, _)| Field::new(*name, data_type(*kind), true)).collect::<Vec<_>>()))
}

/// Builds a batch of the columns from JSON records; what is absent or of another type is NULL.
pub(super) fn json_batch(columns: &[JsonColumn], records: &[Value]) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for JsonColumn(_, kind, path) in columns {
        let found: Vec<&Value> = records.iter().map(|record| path.iter().fold(record, |value, key| &value[*key])).collect();
        let array: ArrayRef = match kind {
            JsonType::Text => Arc::new(found.iter().map(|v| as_text(v)).collect::<StringArray>()),
            JsonType::Integer => Arc::new(found.iter().map(|v| v.as_i64()).collect::<Int64Array>()),
            JsonType::Real => Arc::new(found.iter().map(|v| v.as_f64()).collect::<Float64Array>()),
            JsonType::Boolean => Arc::new(found.iter().map(|v| v.as_bool()).collect::<BooleanArray>()),
            JsonType::Instant => Arc::new(found.iter().map(|v| as_instant(v)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        };
        arrays.push(array);
    }
    RecordBatch::try_new(json_schema(columns), arrays).map_err(|e| Error::Internal(e.to_string()))
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn as_instant(value: &Value) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|at| at.timestamp_micros())
}

/// An instant as records hold it.
pub(super) fn instant(at: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(at).to_rfc3339()
}
