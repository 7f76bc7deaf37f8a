//! `ALTER TABLE`: columns that come, go, or change name and type; `COMMENT`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::{concat, concat_batches};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::{Result, plan_err};

use super::definition::{COMMENT, SPELLING, TableDefinition, column_of_clause};
use super::load::default_values;
use super::session::HeavySession;
use super::statement::Alteration;
use super::table::HeavyTable;

/// A column of the table as it will be.
struct Altered {
    field: Field,
    source: Source,
}

/// Where its values come from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The old column at this place.
    Kept(usize),
    /// The same in another type.
    Cast(usize),
    /// Its default.
    Default,
}

/// Changes the columns of a table, whole or not at all; what was dropped, in words.
///
/// # Errors
/// Columns that are not there or are there already, values that do not fit.
pub(super) async fn alter_table(session: &HeavySession, name: &str, change: Alteration) -> Result<Option<String>> {
    let table = session.database().table(name)?;
    table.check_writable()?;
    let mut definition = table.definition().clone();
    let old = Arc::clone(&definition.schema);
    let place_of = |column: &str| match old.index_of(column) {
        Ok(place) => Ok(place),
        Err(_) => plan_err!("table '{name}' has no column '{column}'"),
    };
    let kept = |(place, field): (usize, &Arc<Field>)| Altered { field: field.as_ref().clone(), source: Source::Kept(place) };
    let mut columns: Vec<Altered> = old.fields().iter().enumerate().map(kept).collect();
    match change {
        Alteration::RenameTable(_) => return Ok(None),
        Alteration::Set(options) => {
            session.database().put(table.renamed(definition.with_options(options)?));
            return Ok(None);
        }
        Alteration::RenameColumn(column, new) => {
            let place = place_of(&column)?;
            if new.eq_ignore_ascii_case("rowid") || (new.to_lowercase() != column && old.index_of(&new.to_lowercase()).is_ok()) {
                return plan_err!("table '{name}' has a column '{new}' already");
            }
            columns[place].field = spelled(columns[place].field.clone(), &new).with_name(new.to_lowercase());
            rename_in(&mut definition, &column, &new);
        }
        Alteration::Add(added) => {
            if definition.option("sort_column").is_some() {
                return plan_err!("a table with the option sort_column takes no new columns");
            }
            for field in added {
                if old.index_of(field.name()).is_ok() {
                    return plan_err!("table '{name}' has a column '{}' already", field.name());
                }
                columns.push(Altered { field, source: Source::Default });
            }
        }
        Alteration::Drop(dropped) => {
            dropped.iter().try_for_each(|column| place_of(column).map(drop))?;
            let is_key = |column: &String| definition.clauses.iter().any(|clause| column_of_clause(clause) == *column);
            let is_sorted = |column: &String| definition.option("sort_column").is_some_and(|sorted| sorted.eq_ignore_ascii_case(column));
            if let Some(column) = dropped.iter().find(|column| is_key(column) || is_sorted(column)) {
                return plan_err!("column '{column}' is named by a SHARD KEY, a SHARED DICTIONARY or sort_column and cannot be dropped");
            }
            columns.retain(|column| !dropped.contains(column.field.name()));
            if columns.is_empty() {
                return plan_err!("a table keeps at least one column");
            }
        }
        Alteration::Type(field) => {
            let place = place_of(field.name())?;
            let spelling = old.field(place).metadata().get(SPELLING).cloned().unwrap_or_else(|| field.name().clone());
            columns[place] = Altered { field: spelled(*field, &spelling), source: Source::Cast(place) };
        }
    }
    definition.schema = Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()));
    definition.check_columns()?;
    let (rebuilt, dropped) = rebuilt(session, &table, definition, &columns).await?;
    session.database().put(rebuilt);
    Ok(dropped)
}

fn spelled(field: Field, spelling: &str) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(SPELLING.into(), spelling.to_owned());
    field.with_metadata(metadata)
}

/// A column's new name in options and clauses.
fn rename_in(definition: &mut TableDefinition, old: &str, new: &str) {
    for (name, value) in &mut definition.options {
        if name == "sort_column" && value.eq_ignore_ascii_case(old) {
            new.clone_into(value);
        }
    }
    for clause in &mut definition.clauses {
        if column_of_clause(clause) == old
            && let Some((start, rest)) = clause.split_once('(')
            && let Some((_, end)) = rest.split_once(')')
        {
            *clause = format!("{start}({new}){end}");
        }
    }
}

/// The table with its columns as they will be, and what was dropped.
async fn rebuilt(
    session: &HeavySession,
    table: &HeavyTable,
    definition: TableDefinition,
    columns: &[Altered],
) -> Result<(HeavyTable, Option<String>)> {
    let whole = concat_batches(&table.definition().schema, &table.batches()?)?;
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in columns {
        arrays.push(match column.source {
            Source::Kept(place) => Arc::clone(whole.column(place)),
            Source::Cast(place) => cast(session, table, place, &column.field).await?,
            Source::Default => default_values(&column.field, whole.num_rows())?,
        });
    }
    let altered = HeavyTable::new(TableDefinition { schema: Arc::clone(&definition.schema), ..definition });
    let batch = RecordBatch::try_new(Arc::clone(&altered.definition().schema), arrays)?;
    let dropped = altered.replace(&[batch], !table.keeps_positions())?;
    Ok((altered, dropped))
}

/// A column in another type, by the casts of the dialect.
async fn cast(session: &HeavySession, table: &HeavyTable, place: usize, field: &Field) -> Result<ArrayRef> {
    let in_order = session.in_order();
    let name = table.definition().schema.field(place).name();
    let (plan, _) = in_order.plan(&format!("SELECT \"{name}\" FROM \"{}\"", table.definition().name)).await?;
    let frame = in_order.context().execute_logical_plan(plan).await?;
    let batches = in_order.converted(frame, &Schema::new(vec![field.clone()])).await?;
    if batches.is_empty() {
        return Ok(datafusion::arrow::array::new_empty_array(field.data_type()));
    }
    Ok(concat(&batches.iter().map(|batch| &**batch.column(0)).collect::<Vec<_>>())?)
}

/// Keeps what is said of a table or column.
///
/// # Errors
/// There is none of that name.
pub(super) fn comment(session: &HeavySession, name: &str, column: Option<&str>, text: Option<String>) -> Result<()> {
    let table = session.database().table(name)?;
    let mut definition = table.definition().clone();
    match column {
        None => definition.comment = text,
        Some(column) => {
            if definition.schema.index_of(column).is_err() {
                return plan_err!("table '{name}' has no column '{column}'");
            }
            let fields = definition.schema.fields().iter().map(|field| {
                if field.name() != column {
                    return field.as_ref().clone();
                }
                let mut metadata = field.metadata().clone();
                metadata.remove(COMMENT);
                metadata.extend(text.clone().map(|text| (COMMENT.to_owned(), text)));
                field.as_ref().clone().with_metadata(metadata)
            });
            definition.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
    }
    session.database().put(table.redefined(definition)?);
    Ok(())
}
