//! `ALTER TABLE`: columns that come, go, or change name and type.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{Result, plan_err};

use super::definition::{DEFAULT, SPELLING, TableDefinition};
use super::session::HeavySession;
use super::statement::Alteration;
use super::table::HeavyTable;

/// Changes the columns of a table, whole or not at all.
pub(super) async fn alter_table(session: &HeavySession, name: &str, change: Alteration) -> Result<()> {
    let table = session.database().table(name)?;
    let old = &table.definition().schema;
    let known = |column: &str| old.index_of(column).map(|_| ()).or_else(|_| plan_err!("table '{name}' has no column '{column}'"));
    let mut columns: Vec<(String, Field)> =
        old.fields().iter().map(|field| (format!("\"{}\"", field.name()), field.as_ref().clone())).collect();
    match change {
        Alteration::RenameTable(_) | Alteration::Set => return Ok(()),
        Alteration::RenameColumn(column, new) => {
            known(&column)?;
            if new.to_lowercase() != column && old.index_of(&new.to_lowercase()).is_ok() {
                return plan_err!("table '{name}' has a column '{new}' already");
            }
            for (_, field) in &mut columns {
                if field.name() == &column {
                    let mut metadata = field.metadata().clone();
                    metadata.insert(SPELLING.into(), new.clone());
                    *field = field.clone().with_name(new.to_lowercase()).with_metadata(metadata);
                }
            }
        }
        Alteration::Add(added) => {
            for field in added {
                if old.index_of(field.name()).is_ok() {
                    return plan_err!("table '{name}' has a column '{}' already", field.name());
                }
                let default = field.metadata().get(DEFAULT).cloned().unwrap_or_else(|| "NULL".into());
                if default == "NULL" && !field.is_nullable() && table.row_count() > 0 {
                    return plan_err!("column '{}' is NOT NULL and has no DEFAULT", field.name());
                }
                columns.push((default, field));
            }
        }
        Alteration::Drop(dropped) => {
            dropped.iter().try_for_each(|column| known(column))?;
            columns.retain(|(_, field)| !dropped.contains(field.name()));
            if columns.is_empty() {
                return plan_err!("a table keeps at least one column");
            }
        }
        Alteration::Type(field) => {
            known(field.name())?;
            for (_, old) in &mut columns {
                if old.name() == field.name() {
                    *old = (*field).clone();
                }
            }
        }
    }
    rebuilt(session, &table, columns).await
}

/// Puts a table of these columns, each computed by its text over the old one, in the place of the old one.
async fn rebuilt(session: &HeavySession, table: &HeavyTable, columns: Vec<(String, Field)>) -> Result<()> {
    let place = |(place, (text, _)): (usize, &(String, Field))| format!("{text} AS \"c{place}\"");
    let texts: Vec<String> = columns.iter().enumerate().map(place).collect();
    let schema = Arc::new(Schema::new(columns.into_iter().map(|(_, field)| field).collect::<Vec<_>>()));
    let (plan, _) = session.plan(&format!("SELECT {} FROM \"{}\"", texts.join(", "), table.definition().name)).await?;
    let frame = session.context().execute_logical_plan(plan).await?;
    let batches = session.converted(frame, &schema).await?;
    let altered = HeavyTable::new(TableDefinition { schema, ..table.definition().clone() });
    altered.replace(&batches, !table.keeps_positions())?;
    session.database().put(altered);
    Ok(())
}
