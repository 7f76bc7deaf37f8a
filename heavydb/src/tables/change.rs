//! `UPDATE` and `DELETE`: the table's rows are computed anew and take the place of the old ones.

use datafusion::common::{Result, plan_err};
use sqlparser::ast::{AssignmentTarget, FromTable, Statement, TableFactor, TableWithJoins};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::session::HeavySession;

/// Carries out an `UPDATE` or `DELETE`; what was done, in words.
pub(super) async fn change_rows(session: &HeavySession, text: &str) -> Result<String> {
    let parsed = Parser::parse_sql(&GenericDialect {}, text).map_err(|e| datafusion::error::DataFusionError::SQL(Box::new(e), None))?;
    let (name, query, is_delete) = match parsed.as_slice() {
        [Statement::Delete(delete)] => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let [table] = from.as_slice() else { return plan_err!("DELETE takes one table") };
            let (name, alias) = table_name(table)?;
            let kept = delete.selection.as_ref().map_or("FALSE".to_owned(), |condition| format!("({condition}) IS NOT TRUE"));
            (name.clone(), format!("SELECT * FROM {alias} WHERE {kept}"), true)
        }
        [Statement::Update(update)] => {
            let (name, alias) = table_name(&update.table)?;
            let table = session.database().table(&name)?;
            let mut columns: Vec<String> = table.definition().schema.fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
            for assignment in &update.assignments {
                let AssignmentTarget::ColumnName(target) = &assignment.target else { return plan_err!("UPDATE sets one column at a time") };
                let target = target.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase()).unwrap_or_default();
                let Ok(place) = table.definition().schema.index_of(&target) else {
                    return plan_err!("table '{name}' has no column '{target}'");
                };
                columns[place] = match &update.selection {
                    Some(condition) => format!("CASE WHEN {condition} THEN {} ELSE \"{target}\" END AS \"{target}\"", assignment.value),
                    None => format!("{} AS \"{target}\"", assignment.value),
                };
            }
            (name.clone(), format!("SELECT {} FROM {alias}", columns.join(", ")), false)
        }
        _ => return plan_err!("expected UPDATE t SET ... or DELETE FROM t ..."),
    };
    let table = session.database().table(&name)?;
    let before = table.row_count();
    let (plan, _) = session.plan(&query).await?;
    let frame = session.context().execute_logical_plan(plan).await?;
    let batches = session.converted(frame, &table.definition().schema).await?;
    let after: usize = batches.iter().map(datafusion::arrow::array::RecordBatch::num_rows).sum();
    table.replace(&batches, is_delete)?;
    Ok(if is_delete { format!("{} rows deleted", before - after) } else { format!("{after} rows") })
}

/// The table of a statement: its name in lower case, and as it stands in `FROM`.
fn table_name(table: &TableWithJoins) -> Result<(String, String)> {
    match &table.relation {
        TableFactor::Table { name, .. } if table.joins.is_empty() => {
            let plain = name.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase()).unwrap_or_default();
            Ok((plain, table.to_string()))
        }
        _ => plan_err!("one table is changed at a time"),
    }
}
