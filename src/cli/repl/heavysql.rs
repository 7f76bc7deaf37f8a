//! Commands of HeavyDB's own prompt, so that fingers and scripts that know it find them.

use std::io::Write;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::{filter_record_batch, regexp_is_match_scalar};
use std::sync::Arc;

use super::Repl;
use crate::catalog::{Command, Statement, TableKind};
use crate::cli::failure::{Failure, Result};
use crate::config::SqlDialect;
use crate::engine::Engine;
use crate::error::{Error, Position};

/// Runs a statement of HeavyDB's dialect, whatever the session's is.
pub(super) async fn run(repl: &mut Repl, text: &str) -> Result<()> {
    let statement = Statement { text: text.to_owned(), position: Position { line: 1, column: 1 }, command: Command::Heavy };
    let source = super::SourceText { origin: None, text: text.into(), lines_before: 0 };
    repl.session.run(&statement, &source).await.map(drop)
}

/// `\t [REGEX]` and `\v [REGEX]`: tables or views, by name.
pub(super) async fn list(repl: &mut Repl, pattern: &str, views: bool) -> Result<()> {
    let engine = repl.session.engine.clone();
    let names = repl.session.workers.run(async move { names(&engine, views).await }).await??;
    let column: ArrayRef = Arc::new(StringArray::from(names));
    let mut rows = RecordBatch::try_from_iter([(if views { "view_name" } else { "table_name" }, column)])?;
    if !pattern.is_empty() {
        let wrong = |error| Failure::usage(format!("'{pattern}' is no regular expression: {error}"));
        let fits = regexp_is_match_scalar(rows.column(0).as_string::<i32>(), pattern, Some("i")).map_err(wrong)?;
        rows = filter_record_batch(&rows, &fits)?;
    }
    repl.session.print(&rows)
}

async fn names(engine: &Engine, views: bool) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for name in engine.table_names().await? {
        let is_view = match engine.heavy_tables().find(&name) {
            Some(entry) => matches!(entry, datafusion_heavydb::tables::Entry::View(_)),
            // A table that cannot be opened is one all the same.
            None => matches!(engine.directory().kind(&name).await, Ok(Some(TableKind::View))),
        };
        if is_view == views {
            names.push(name);
        }
    }
    Ok(names)
}

/// `\d TABLE` in HeavyDB's dialect: the statement that makes it. Whether the name is one of the dialect's.
pub(super) async fn describe(repl: &mut Repl, table: &str) -> Result<bool> {
    let engine = &repl.session.engine;
    if engine.dialect() != SqlDialect::HeavyDb || engine.heavy_tables().find(&table.to_lowercase()).is_none() {
        return Ok(false);
    }
    let engine = engine.clone();
    let statement =
        Statement { text: format!("SHOW CREATE TABLE {table}"), position: Position { line: 1, column: 1 }, command: Command::Heavy };
    let work = async move { engine.run(&statement, &crate::engine::Parameters::new()).await?.collect().await.map_err(Error::from) };
    let batches = repl.session.workers.run(work).await??;
    for text in batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten()) {
        writeln!(repl.session.output, "{text}")?;
    }
    Ok(repl.session.output.flush().map(|()| true)?)
}

/// `\copy FILE TABLE`.
pub(super) async fn copy(repl: &mut Repl, argument: &str) -> Result<()> {
    let Some((file, table)) = argument.rsplit_once(char::is_whitespace) else {
        return Err(Failure::usage("\\copy needs a file and a table: \\copy FILE TABLE"));
    };
    let file = file.trim().trim_matches('\'').replace('\'', "''");
    run(repl, &format!("COPY {table} FROM '{file}'")).await
}
