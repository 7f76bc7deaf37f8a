//! The columns of the period rows as arrays in table order: key, known context, and what else was kept.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Date32Array, DictionaryArray, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::arrow::record_batch::RecordBatch;

use super::coercion::CoercionKind;
use super::columns::{KNOWN_COLUMNS, PlannedColumn, Role, Target, target_name};
use super::numbers::Cell;
use super::options::ConfidenceScale;
use super::periods::{PeriodRows, RowKeys, Settled, days_from_epoch, slots};
use super::report::{Issue, IssueCode, Severity};
use super::tally::Occurrences;
use super::text_column::{Numbers, TextColumn};
use crate::error::{Error, Result};

/// Builds the period columns and notes what was done with each.
pub(crate) struct PeriodColumns<'a, 'b> {
    /// The rows as they were read.
    pub(crate) file_rows: &'a PeriodRows<'a>,
    /// Their keys.
    pub(crate) keys: &'b RowKeys,
    /// File row of each period in table order.
    pub(crate) rows: &'b [u32],
    /// Where findings go.
    pub(crate) settled: &'b mut Settled,
}

impl PeriodColumns<'_, '_> {
    /// All columns in table order.
    ///
    /// # Errors
    /// Context numbers outside their range.
    pub(crate) fn build(mut self) -> Result<RecordBatch> {
        let date = |&row: &u32| days_from_epoch(self.keys.dates[row as usize]);
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("date".into(), Arc::new(Date32Array::from_iter_values(self.rows.iter().map(date))))];
        if let Some(slots) = slots(self.keys, self.rows) {
            columns.push(("slot".into(), Arc::new(Int32Array::from(slots))));
        }
        let source = self.file_rows;
        for known in KNOWN_COLUMNS {
            if let Some((column, text)) = source.column(known.target)
                && let Some(array) = self.known_column(known.target, column, text)?
            {
                columns.push((known.name.into(), array));
            }
        }
        for (column, text) in source.plan.texts().zip(source.texts) {
            if let Role::Context(target) | Role::Aggregate(target) = &column.role {
                columns.push((target.clone(), self.context_column(column, target, text)));
            }
        }
        let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), name != "date")).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| Error::Internal(format!("period rows: {e}")))
    }

    /// A known context column; `None` for columns that are no context.
    fn known_column(&mut self, target: Target, column: &PlannedColumn, text: &TextColumn) -> Result<Option<ArrayRef>> {
        match target {
            Target::Date | Target::Strategy | Target::Pnl => Ok(None),
            Target::Slot => {
                self.describe(column, "key", target, "stated by the file");
                Ok(None)
            }
            Target::Year | Target::Month => {
                self.settled.describe(column, "derived", None, "equals the date's; not stored from the file");
                let issue =
                    Issue::new(IssueCode::DerivedDropped, Severity::Info, self.rows.len() as u64, "checked against the date and left out");
                self.settled.issues.push(issue.in_column(&column.name));
                Ok(None)
            }
            Target::Day | Target::Zone | Target::MarketRegime => {
                self.describe(column, "context", target, "text");
                Ok(Some(text_array(text, self.rows)))
            }
            Target::StartTime | Target::EndTime => {
                self.describe(column, "context", target, "time of day on the row's date");
                let times = if target == Target::StartTime { &self.keys.starts } else { &self.keys.ends };
                Ok(Some(time_array(times.as_deref().unwrap_or_default(), self.rows)))
            }
            Target::RegimeConfidence | Target::TransitionThreshold | Target::Capital => self.number_column(target, column, text).map(Some),
        }
    }

    fn describe(&mut self, column: &PlannedColumn, role: &'static str, target: Target, how: &str) {
        self.settled.describe(column, role, Some(target_name(target).to_owned()), &format!("{}; {how}", column.why));
    }

    fn number_column(&mut self, target: Target, column: &PlannedColumn, text: &TextColumn) -> Result<ArrayRef> {
        let mut numbers = text.numbers(self.file_rows.format, self.file_rows.lines);
        let mut how = "number";
        match target {
            Target::RegimeConfidence => how = self.scale_confidence(column, text, &mut numbers)?,
            Target::Capital => {
                let range = Range {
                    good: |v| v >= 0.0,
                    reason: "capital below zero",
                    remedy: "correct it, or leave the column out with --exclude",
                };
                self.check_range(column, text, &numbers, &range)?;
            }
            _ => {}
        }
        self.describe(column, "context", target, how);
        self.settled.note_coerced(&column.name, &numbers.tally);
        Ok(number_array(text, &numbers, self.rows))
    }

    /// Brings the confidence to fractions; says how.
    fn scale_confidence(&self, column: &PlannedColumn, text: &TextColumn, numbers: &mut Numbers) -> Result<&'static str> {
        let asked = self.file_rows.options.confidence;
        let named_percent = column.name.contains('%');
        let (percent, how) = match asked {
            Some(ConfidenceScale::Percent) => (true, "percent as asked for, divided by 100"),
            Some(ConfidenceScale::Fraction) => (false, "fraction as asked for"),
            None if named_percent => (true, "percent by its name, divided by 100"),
            None => (false, "fraction"),
        };
        let remedy = "say --confidence percent or --confidence fraction";
        if asked.is_none() && named_percent && numbers.finite().all(|v| v <= 1.0) && numbers.finite().any(|v| v > 0.0) {
            let id = numbers.cells.iter().position(|c| matches!(c, Cell::Number(v) if *v > 0.0)).unwrap_or_default();
            let error = self.file_rows.error(&column.name, text, id, "the name says percent, but no value is above 1");
            return Err(error.with_remedy(remedy).into());
        }
        if percent {
            numbers.divide_by(100.0);
            self.note_percent(text, numbers);
        }
        let reason = if percent { "a confidence outside 0 to 100 percent" } else { "a confidence outside 0 to 1" };
        self.check_range(column, text, numbers, &Range { good: |v| (0.0..=1.0).contains(&v), reason, remedy })?;
        Ok(how)
    }

    /// Counts the rows whose value was divided, in place of smaller changes of the same cells.
    fn note_percent(&self, text: &TextColumn, numbers: &mut Numbers) {
        let cells = &numbers.cells;
        let is_number = |id: usize| matches!(cells[id], Cell::Number(_));
        let counts = text.counts();
        let count = (0..cells.len()).filter(|&id| is_number(id)).map(|id| counts[id]).sum();
        let first = (0..cells.len()).find(|&id| is_number(id));
        let line = first.map_or(0, |id| self.file_rows.lines[text.first_row(id as u32) as usize]);
        numbers.tally.replace_numbers_by(CoercionKind::Percent, Occurrences { count, first_line: line });
    }

    fn check_range(&self, column: &PlannedColumn, text: &TextColumn, numbers: &Numbers, range: &Range) -> Result<()> {
        let bad = |id: &usize| matches!(numbers.cells[*id], Cell::Number(v) if !(range.good)(v));
        let Some(first) = (0..numbers.cells.len()).find(bad) else { return Ok(()) };
        let counts = text.counts();
        let count = (0..numbers.cells.len()).filter(bad).map(|id| counts[id]).sum();
        let error = self.file_rows.error(&column.name, text, first, range.reason);
        Err(error.counted(count).with_remedy(range.remedy).into())
    }

    /// A column kept on request or for its name: numbers where all its texts are numbers, else text.
    fn context_column(&mut self, column: &PlannedColumn, target: &str, text: &TextColumn) -> ArrayRef {
        let numbers = text.numbers(self.file_rows.format, self.file_rows.lines);
        let aggregate = matches!(column.role, Role::Aggregate(_));
        // A code such as 007 is a name, and a column without any number has nothing to lose as text.
        let is_number = aggregate
            || (numbers.tally.bad.count == 0 && numbers.finite().next().is_some() && !text.values().iter().any(|t| has_leading_zero(t)));
        self.settled.describe(
            column,
            "context",
            Some(target.into()),
            &format!("{}; {}", column.why, if is_number { "number" } else { "text" }),
        );
        if aggregate {
            let action = format!(
                "became the context column {target}: {}; --strategy '{name}' makes it a strategy, --exclude '{name}' leaves it out",
                column.why,
                name = column.name
            );
            let issue = Issue::new(IssueCode::KeptAsContext, Severity::Warning, self.rows.len() as u64, action);
            self.settled.issues.push(issue.in_column(&column.name));
        }
        if !is_number {
            let lines = self.file_rows.lines;
            self.settled.note_coerced(&column.name, &text.tally(lines, |t| t.is_empty().then_some(CoercionKind::EmptyCell)));
            return text_array(text, self.rows);
        }
        self.settled.note_coerced(&column.name, &numbers.tally);
        number_array(text, &numbers, self.rows)
    }
}

/// Values that a column may hold.
struct Range {
    good: fn(f64) -> bool,
    reason: &'static str,
    remedy: &'static str,
}

fn has_leading_zero(text: &str) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+']);
    digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit()
}

/// A text column in period order; only the empty field is NULL.
fn text_array(text: &TextColumn, rows: &[u32]) -> ArrayRef {
    let mut positions: HashMap<u32, i32> = HashMap::new();
    let mut values: Vec<&str> = vec![];
    let mut key = |&row: &u32| {
        let id = text.ids()[row as usize];
        let value: &str = &text.values()[id as usize];
        let next = values.len() as i32;
        (!value.is_empty()).then(|| {
            let key = *positions.entry(id).or_insert(next);
            if key == next {
                values.push(value);
            }
            key
        })
    };
    let keys: Int32Array = rows.iter().map(&mut key).collect();
    Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(values))))
}

fn time_array(times: &[Option<i64>], rows: &[u32]) -> ArrayRef {
    Arc::new(rows.iter().map(|&row| times.get(row as usize).copied().flatten()).collect::<TimestampMicrosecondArray>())
}

fn number_array(text: &TextColumn, numbers: &Numbers, rows: &[u32]) -> ArrayRef {
    Arc::new(rows.iter().map(|&row| numbers.value(text.ids()[row as usize])).collect::<Float64Array>())
}

/// Type of text columns in strategy tables.
pub(crate) fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_with_leading_zeros_are_no_numbers() {
        assert!(has_leading_zero("007") && has_leading_zero("-01"));
        assert!(!has_leading_zero("0.5") && !has_leading_zero("0") && !has_leading_zero("10"));
    }
}
