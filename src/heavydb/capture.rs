//! Statements that make an old server write its results, for logs that have none.

use std::collections::BTreeMap;
use std::io::Write;

use datafusion_heavydb::replay::input::{Entry, Inputs, Kind, normalise, redact};

use super::judge::unreadable;
use super::replay::ReplayOptions;
use crate::error::{Error, Result};

/// What was written and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// Statements written.
    pub statements: usize,
    /// Queries left out, by reason.
    pub left_out: BTreeMap<&'static str, usize>,
}

/// Writes one `COPY (query) TO '<id>.csv'` a query; runs nothing.
///
/// The folder of CSV files that the server then writes is what a replay takes as its expected results.
///
/// # Errors
/// An input that cannot be read, a writer that fails.
pub fn capture(options: &ReplayOptions, to: &mut dyn Write) -> Result<Captured> {
    let failed = |error| Error::storage("writing the statements", error);
    writeln!(
        to,
        "-- Run these on the HeavyDB server, over the data that the queries are replayed on; its CSV files are the expected results."
    )
    .map_err(failed)?;
    let mut captured = Captured::default();
    for entry in Inputs::open(&options.inputs, options.filters.clone()).map_err(unreadable)? {
        let Entry::Query(query) = entry.map_err(unreadable)? else { continue };
        if query.kind != Kind::Query {
            continue;
        }
        let sql = query.sql.trim_end_matches(|c: char| c.is_whitespace() || c == ';');
        let left_out = if query.skip.is_some() {
            Some("they were not run, or the log hides a part of them")
        } else if redact(sql) != sql {
            Some("they hold what looks like a password or key")
        } else if query.id.contains('#') && query.timestamp.is_some() {
            Some("they came again after the data changed: the server has the data of today alone")
        } else if query.id.contains(['/', '\\', '\n']) {
            Some("their id cannot be the name of a file")
        } else {
            None
        };
        if let Some(reason) = left_out {
            *captured.left_out.entry(reason).or_default() += 1;
            continue;
        }
        // A comment at the end of a query must not swallow what follows; a text without one stays on its line.
        let query_text = if sql.contains("--") { format!("{sql}\n") } else { normalise(sql) };
        let file = query.id.replace('\'', "''");
        writeln!(to, "COPY ({query_text}) TO '{file}.csv' WITH (header='true', quoted='true');").map_err(failed)?;
        captured.statements += 1;
    }
    to.flush().map_err(failed)?;
    Ok(captured)
}
