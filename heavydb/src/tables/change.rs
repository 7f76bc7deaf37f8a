//! `UPDATE` and `DELETE`: a query names the rows and their new values, which then take the place of the old ones.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{concat, filter_record_batch, interleave};
use datafusion::arrow::datatypes::{Int64Type, Schema};
use datafusion::common::{Result, plan_err};
use sqlparser::ast::{AssignmentTarget, Expr, FromTable, Statement, TableFactor, TableWithJoins, Update};

use super::database::{Database, Entry};
use super::session::HeavySession;
use super::table::HeavyTable;
use crate::dialect::parse_plain;
use crate::types::heavy_type::{HeavyType, Kind};

/// The name under which a query gives the rows that change.
const ROW: &str = "changed_row";

/// Carries out an `UPDATE` or `DELETE`; what was done, in words.
///
/// # Errors
/// Statements of more than one table, values that do not fit: the table is then as it was.
pub(super) async fn change_rows(session: &HeavySession, text: &str) -> Result<String> {
    match &parse_plain(text)? {
        Statement::Delete(statement) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &statement.from;
            let [from] = from.as_slice() else { return plan_err!("DELETE takes one table") };
            if statement.using.is_some() || statement.limit.is_some() || statement.returning.is_some() {
                return plan_err!("DELETE has FROM and WHERE alone");
            }
            delete(session, from, statement.selection.as_ref()).await
        }
        Statement::Update(statement) => {
            if statement.from.is_some() || statement.returning.is_some() || statement.limit.is_some() {
                return plan_err!("UPDATE has SET and WHERE alone");
            }
            update(session, statement).await
        }
        _ => plan_err!("expected UPDATE t SET ... or DELETE FROM t ..."),
    }
}

async fn delete(session: &HeavySession, from: &TableWithJoins, selection: Option<&Expr>) -> Result<String> {
    let table = table_of(session, from)?;
    let found =
        found_rows(session, &table, &format!("SELECT rowid AS {ROW} FROM {from}{}", condition(selection)), &Schema::empty()).await?;
    let deleted = found.rows.len();
    let mut is_kept = vec![true; table.row_count()];
    for row in found.rows {
        is_kept[row] = false;
    }
    let mut start = 0;
    let mut kept = Vec::new();
    for batch in found.batches {
        let mask = BooleanArray::from(is_kept[start..start + batch.num_rows()].to_vec());
        start += batch.num_rows();
        kept.push(filter_record_batch(&batch, &mask)?);
    }
    if deleted > 0 {
        table.replace(&kept, true)?;
    }
    Ok(format!("{deleted} rows deleted"))
}

async fn update(session: &HeavySession, statement: &Update) -> Result<String> {
    let table = table_of(session, &statement.table)?;
    let schema = &table.definition().schema;
    let mut places = Vec::new();
    let mut values = Vec::new();
    for assignment in &statement.assignments {
        let AssignmentTarget::ColumnName(target) = &assignment.target else { return plan_err!("UPDATE sets one column at a time") };
        let target = target.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase()).unwrap_or_default();
        let Ok(place) = schema.index_of(&target) else {
            return plan_err!("table '{}' has no column '{target}'", table.definition().spelling);
        };
        if places.contains(&place) {
            return plan_err!("column '{target}' is set twice");
        }
        values.push(match HeavyType::of(schema.field(place)).map(|heavy| (heavy.name(), heavy.kind)) {
            Some((_, Kind::Array { .. } | Kind::Geometry(_))) | None => format!("{} AS \"value{place}\"", assignment.value),
            Some((name, _)) => format!("CAST({} AS {name}) AS \"value{place}\"", assignment.value),
        });
        places.push(place);
    }
    let target = Schema::new(places.iter().map(|place| schema.field(*place).clone().with_nullable(true)).collect::<Vec<_>>());
    let query = format!("SELECT rowid AS {ROW}, {} FROM {}{}", values.join(", "), statement.table, condition(statement.selection.as_ref()));
    let found = found_rows(session, &table, &query, &target).await?;
    let done = format!("{} rows updated", found.rows.len());
    let dropped = if found.rows.is_empty() { None } else { table.replace(&replaced(&found, &places)?, false)? };
    Ok(dropped.map_or_else(|| done.clone(), |dropped| format!("{done}; {dropped}")))
}

fn condition(selection: Option<&Expr>) -> String {
    selection.map(|condition| format!(" WHERE {condition}")).unwrap_or_default()
}

/// The rows of a table and new values for some.
struct Found {
    batches: Vec<RecordBatch>,
    /// Positions, each once.
    rows: Vec<usize>,
    /// Their new values, column by column.
    values: Vec<ArrayRef>,
}

/// Runs a query over the table with positions of its rows, whatever was deleted before.
async fn found_rows(session: &HeavySession, table: &HeavyTable, query: &str, target: &Schema) -> Result<Found> {
    let scratch = Arc::new(Database::default());
    let numbered = table.numbered();
    let batches = numbered.batches()?;
    let count = numbered.row_count();
    scratch.replace(&table.definition().name, Entry::Table(Arc::new(numbered)));
    let over = HeavySession::new(&session.context().state(), &scratch, session.options());
    let (plan, _) = over.plan(query).await?;
    let frame = over.context().execute_logical_plan(plan).await?;
    let row = datafusion::arrow::datatypes::Field::new(ROW, datafusion::arrow::datatypes::DataType::Int64, false);
    let fields: Vec<_> = std::iter::once(Arc::new(row)).chain(target.fields().iter().map(Arc::clone)).collect();
    let found = over.converted(frame, &Schema::new(fields)).await?;
    let mut rows = Vec::new();
    let mut is_found = vec![false; count];
    for batch in &found {
        for position in batch.column(0).as_primitive::<Int64Type>().values() {
            match usize::try_from(*position).ok().filter(|position| *position < count) {
                Some(position) if !std::mem::replace(&mut is_found[position], true) => rows.push(position),
                _ => return plan_err!("a row has two new values"),
            }
        }
    }
    let values = (1..=target.fields().len()).map(|place| {
        let parts: Vec<&dyn Array> = found.iter().map(|batch| &**batch.column(place)).collect();
        if parts.is_empty() { Ok(datafusion::arrow::array::new_empty_array(target.field(place - 1).data_type())) } else { concat(&parts) }
    });
    let values = values.collect::<Result<_, _>>()?;
    Ok(Found { batches, rows, values })
}

/// The batches with the new values at their places.
fn replaced(found: &Found, places: &[usize]) -> Result<Vec<RecordBatch>> {
    let count = found.batches.iter().map(RecordBatch::num_rows).sum();
    let mut new_of: Vec<Option<usize>> = vec![None; count];
    for (number, row) in found.rows.iter().enumerate() {
        new_of[*row] = Some(number);
    }
    let mut start = 0;
    let mut batches = Vec::with_capacity(found.batches.len());
    for batch in &found.batches {
        let sources: Vec<(usize, usize)> =
            (0..batch.num_rows()).map(|row| new_of[start + row].map_or((0, row), |number| (1, number))).collect();
        start += batch.num_rows();
        let mut columns = batch.columns().to_vec();
        for (place, values) in places.iter().zip(&found.values) {
            columns[*place] = interleave(&[&*columns[*place], &**values], &sources)?;
        }
        batches.push(RecordBatch::try_new(batch.schema(), columns)?);
    }
    Ok(batches)
}

/// The table of a statement.
fn table_of(session: &HeavySession, table: &TableWithJoins) -> Result<Arc<HeavyTable>> {
    match &table.relation {
        TableFactor::Table { name, .. } if table.joins.is_empty() => {
            let plain = name.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase()).unwrap_or_default();
            let table = session.database().table(&plain)?;
            table.check_writable()?;
            Ok(table)
        }
        _ => plan_err!("one table is changed at a time"),
    }
}
