//! What a retention did, or would do.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, new_empty_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use serde_json::{Value, json};

use super::note::{DroppedDetails, RetentionNote};
use super::ranking::GroupFigures;
use super::subject::Subject;
use crate::error::{Error, Result};

/// What became of the strategies of a metrics table and of their details.
#[derive(Debug, Clone)]
pub struct RetentionReport {
    /// The metrics table.
    pub table: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// Strategies that were new.
    pub inserted: u64,
    /// Strategies whose metrics were replaced.
    pub replaced: u64,
    /// Rows of details that have no metrics and were left alone.
    pub left_alone: u64,
    /// NaN and infinities that were stored as NULL, by `table.column`.
    pub non_finite: BTreeMap<String, u64>,
    /// Versions that were made, by table; none where nothing changed.
    pub versions: BTreeMap<String, u64>,
    per: Vec<Field>,
    groups: Vec<GroupFigures>,
}

/// One column of the report's rows: its name and its figure.
type FigureColumn = (&'static str, fn(&GroupFigures) -> u64);

/// Columns of the report beside those of the group.
pub(super) const REPORT_COLUMNS: &[FigureColumn] = &[
    ("strategies", |group| group.strategies),
    ("kept_top", |group| group.kept_top),
    ("kept_sample", |group| group.kept_sample),
    ("without_details", |group| group.without_details),
    ("details_kept", |group| group.details_kept),
    ("details_dropped", |group| group.details_dropped),
    ("strategies_dropped", |group| group.strategies_dropped),
];

impl RetentionReport {
    pub(super) fn new(subject: &Subject, groups: Vec<GroupFigures>, dry_run: bool) -> Self {
        let field = |name: &String| {
            let data_type = subject.metrics.schema.field_with_name(name).map_or(DataType::Utf8, |field| field.data_type().clone());
            Field::new(name, super::keys::compared_type(&data_type), true)
        };
        Self {
            table: subject.metrics.name.clone(),
            dry_run,
            inserted: 0,
            replaced: 0,
            left_alone: 0,
            non_finite: BTreeMap::new(),
            versions: BTreeMap::new(),
            per: subject.policy.per.iter().map(field).collect(),
            groups,
        }
    }

    /// One row per group, in their order: the columns of the group, `strategies`, `kept_top`, `kept_sample` (strategies whose details are
    /// kept), `without_details` (of these, those that have none), `details_kept`, `details_dropped` (rows) and `strategies_dropped`
    /// (strategies that lost details they had).
    ///
    /// # Errors
    /// [`Error::Internal`] only.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let internal = |e: &dyn std::fmt::Display| Error::Internal(e.to_string());
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (place, field) in self.per.iter().enumerate() {
            let values: Vec<ScalarValue> = self.groups.iter().map(|group| group.values[place].clone()).collect();
            columns.push(match values.is_empty() {
                true => new_empty_array(field.data_type()),
                false => ScalarValue::iter_to_array(values).map_err(|e| internal(&e))?,
            });
        }
        let figures = |of: fn(&GroupFigures) -> u64| -> ArrayRef {
            Arc::new(self.groups.iter().map(|group| of(group) as i64).collect::<Int64Array>())
        };
        columns.extend(REPORT_COLUMNS.iter().map(|(_, of)| figures(*of)));
        let names = REPORT_COLUMNS.iter().map(|(name, _)| Field::new(*name, DataType::Int64, false));
        let schema = Schema::new(self.per.iter().cloned().chain(names).collect::<Vec<_>>());
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|e| internal(&e))
    }

    /// Total of a column of [`Self::to_batch`] over all groups; `None` for a name that is none.
    pub fn total(&self, column: &str) -> Option<u64> {
        let (_, of) = REPORT_COLUMNS.iter().find(|(name, _)| *name == column)?;
        Some(self.groups.iter().map(of).sum())
    }

    /// What is to be told beside the rows: values that became NULL, rows that were left alone, kept strategies without details.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.inserted + self.replaced > 0 {
            remarks.push(format!("{} strategies are new, {} replaced", self.inserted, self.replaced));
        }
        remarks.extend(
            self.non_finite.iter().map(|(column, count)| format!("{count} values of {column} are NaN or infinite: stored as NULL")),
        );
        let without = self.total("without_details").unwrap_or_default();
        if without > 0 {
            remarks.push(format!("{without} strategies are to be kept and have no details"));
        }
        if self.left_alone > 0 {
            remarks.push(format!("{} rows of details have no metrics in '{}': they were left alone", self.left_alone, self.table));
        }
        remarks
    }

    /// What the commit says: what was dropped, by group.
    pub(super) fn note(&self, subject: &Subject) -> RetentionNote {
        let named = |group: &GroupFigures| {
            let columns = subject.policy.per.iter().zip(&group.values);
            columns.map(|(name, value)| (name.clone(), told(value))).collect()
        };
        let dropped = self.groups.iter().filter(|group| group.details_dropped > 0).map(|group| DroppedDetails {
            group: named(group),
            rows: group.details_dropped,
            trades: group.trades_dropped,
            bytes: group.bytes_discarded,
        });
        let (metric, top) = (subject.policy.metric.clone(), subject.policy.top);
        RetentionNote { table: self.table.clone(), metric, top, dropped: dropped.collect() }
    }
}

/// A value of a group as JSON tells it.
pub(super) fn told(value: &ScalarValue) -> Value {
    match value {
        value if value.is_null() => Value::Null,
        ScalarValue::Int64(Some(number)) => json!(number),
        other => json!(other.to_string()),
    }
}
