//! `\d`: the tables of the database, or the columns of one table.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::prelude::DataFrame;

use super::{Repl, heavysql};
use crate::catalog::{SCHEMA, SYSTEM_SCHEMA, SYSTEM_TABLES, parse};
use crate::cli::failure::Result;
use crate::engine::{Engine, Parameters};
use crate::error::Error;

/// `\d` and `\d TABLE`.
pub(super) async fn run(repl: &mut Repl, table: &str) -> Result<()> {
    if table.is_empty() {
        return list(repl).await;
    }
    if heavysql::describe(repl, table).await? { Ok(()) } else { describe(repl, table).await }
}

async fn list(repl: &mut Repl) -> Result<()> {
    let engine = repl.session.engine.clone();
    let tables = repl.session.workers.run(async move { tables(&engine).await }).await??;
    repl.session.print(&tables)?;
    let system: Vec<String> = SYSTEM_TABLES.iter().map(|table| format!("{SYSTEM_SCHEMA}.{}", table.name)).collect();
    let heavy: Vec<String> = repl.session.engine.heavy_tables().entries().into_iter().map(|(_, entry)| entry.to_string()).collect();
    if !heavy.is_empty() {
        writeln!(repl.session.output, "in memory, made in HeavyDB's dialect: {}", heavy.join(", "))?;
    }
    writeln!(repl.session.output, "system tables: {}", system.join(", "))?;
    Ok(repl.session.output.flush()?)
}

/// `\tiers`.
pub(super) async fn tiers(repl: &mut Repl) -> Result<()> {
    const TIERS: &str = "SELECT tier, limit_bytes, used_bytes, entries, hits, misses, round(hit_rate, 3) AS hit_rate, bytes_read, evictions, \
                         requests, problem FROM system.cache_tiers";
    let engine = repl.session.engine.clone();
    let found = repl.session.workers.run(async move { one_batch(&engine, TIERS).await }).await??;
    repl.session.print(&found)?;
    Ok(repl.session.output.flush()?)
}

/// All rows of a query in the engine's own dialect.
async fn one_batch(engine: &Engine, text: &str) -> Result<RecordBatch, Error> {
    let frame = query(engine, text, &Parameters::new()).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    Ok(concat_batches(&schema, &frame.collect().await?).map_err(datafusion::error::DataFusionError::from)?)
}

/// Plans a query in the engine's own dialect, whatever the session's is.
async fn query(engine: &Engine, text: &str, parameters: &Parameters) -> Result<DataFrame, Error> {
    match parse(text)?.as_slice() {
        [statement] => engine.run(statement, parameters).await,
        statements => Err(Error::Usage(format!("expected one table, found {} statements", statements.len()))),
    }
}

/// The system table of tables with one more column: how many columns each has.
async fn tables(engine: &Engine) -> Result<RecordBatch, Error> {
    let tables = one_batch(engine, &format!("SELECT * FROM {SYSTEM_SCHEMA}.tables ORDER BY table_name")).await?;
    let schema = tables.schema();
    let mut counts = Vec::with_capacity(tables.num_rows());
    for name in tables.column(0).as_string::<i32>().iter().flatten() {
        let provider = engine.context().table_provider(TableReference::partial(SCHEMA, name)).await;
        // A table that cannot be opened is listed without a count; its kind says so.
        counts.push(provider.ok().and_then(|provider| i64::try_from(provider.schema().fields().len()).ok()));
    }
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let mut columns: Vec<ArrayRef> = tables.columns().to_vec();
    fields.insert(2, Arc::new(Field::new("columns", DataType::Int64, true)));
    columns.insert(2, Arc::new(Int64Array::from(counts)));
    let all = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(datafusion::error::DataFusionError::from)?;
    Ok(without_problems(&all)?)
}

/// Without the column of problems where there are none.
fn without_problems(tables: &RecordBatch) -> Result<RecordBatch, datafusion::error::DataFusionError> {
    let kept = |&i: &usize| tables.schema().field(i).name() != "problem" || tables.column(i).null_count() < tables.num_rows();
    Ok(tables.project(&(0..tables.num_columns()).filter(kept).collect::<Vec<_>>())?)
}

async fn describe(repl: &mut Repl, table: &str) -> Result<()> {
    let (engine, name) = (repl.session.engine.clone(), table.to_owned());
    let (columns, facts) = repl.session.workers.run(async move { columns_and_facts(&engine, &name).await }).await??;
    repl.session.print(&columns)?;
    if let Some(facts) = facts {
        writeln!(repl.session.output, "{facts}")?;
    }
    Ok(repl.session.output.flush()?)
}

async fn columns_and_facts(engine: &Engine, typed: &str) -> Result<(RecordBatch, Option<String>), Error> {
    // Planning a query that reads nothing answers for views, versions and files too, and explains a misspelt name.
    let frame = query(engine, &format!("SELECT * FROM {typed} LIMIT 0"), &Parameters::new()).await?;
    let schema = frame.schema().as_arrow();
    let names = StringArray::from_iter_values(schema.fields().iter().map(|field| field.name()));
    let types = StringArray::from_iter_values(schema.fields().iter().map(|field| sql_type(field.data_type())));
    let nullable = StringArray::from_iter_values(schema.fields().iter().map(|field| if field.is_nullable() { "yes" } else { "no" }));
    let columns: Vec<(&str, ArrayRef)> = vec![("column", Arc::new(names)), ("type", Arc::new(types)), ("nullable", Arc::new(nullable))];
    let columns = RecordBatch::try_from_iter(columns).map_err(datafusion::error::DataFusionError::from)?;
    let facts = [facts(engine, typed).await?, definition(engine, typed).await].into_iter().flatten().collect::<Vec<_>>();
    Ok((columns, (!facts.is_empty()).then(|| facts.join("\n"))))
}

/// The statement that made a view or an external table.
async fn definition(engine: &Engine, typed: &str) -> Option<String> {
    let provider = engine.context().table_provider(TableReference::parse_str(typed)).await.ok()?;
    provider.get_table_definition().map(str::to_owned)
}

/// `kind strategies, version 3, rows 100,800`: what the system knows of the table; nothing for files and system tables.
async fn facts(engine: &Engine, typed: &str) -> Result<Option<String>, Error> {
    let reference = TableReference::parse_str(typed);
    let mut parameters = Parameters::new();
    parameters.set("name", ScalarValue::from(reference.table()));
    let found =
        query(engine, &format!("SELECT * FROM {SYSTEM_SCHEMA}.tables WHERE table_name = $name"), &parameters).await?.collect().await?;
    let Some(row) = found.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let mut facts = Vec::new();
    for (field, column) in row.schema().fields().iter().zip(row.columns()).skip(1) {
        let value = ScalarValue::try_from_array(column, 0)?;
        if !value.is_null() {
            facts.push(format!("{} {value}", field.name()));
        }
    }
    Ok(Some(facts.join(", ")))
}

/// The type as it is written in SQL.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("TIMESTAMPTZ ({zone})"),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".to_owned(),
        other => other.to_string(),
    }
}
