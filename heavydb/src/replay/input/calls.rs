//! Statements from the calls of a log: which of them can be replayed, and how long HeavyDB took.

use std::collections::HashMap;

use super::log::Call;
use super::text::{self, Kind};
use super::{Origin, Query, Skip, Timing};

/// How much of a statement is kept while its call has not ended, in bytes.
const KEPT: usize = 4096;

/// The calls that began and have not ended, over all logs of a replay.
#[derive(Debug, Default)]
pub(super) struct OpenCalls {
    open: HashMap<(u64, u64), Query>,
    abandoned: Vec<Query>,
}

impl OpenCalls {
    /// Takes a call: the statement of one that ended, `None` for a beginning and for functions without statements.
    pub(super) fn take(&mut self, call: Call, origin: Origin) -> Option<Query> {
        let key = (call.pid, call.match_id);
        if call.begin {
            if runs_sql(&call.function) {
                let mut query = query(call, origin)?;
                query.skip = Some(Skip::NeverEnded);
                query.timings.clear();
                shorten(&mut query.sql);
                // The server was started again under the same process number: what was open never ended.
                self.abandoned.extend(self.open.insert(key, query));
            }
            return None;
        }
        self.open.remove(&key);
        query(call, origin)
    }

    /// The calls without an end, in the order of their beginnings. For the end of the last log.
    pub(super) fn never_ended(&mut self) -> Vec<Query> {
        let mut queries = std::mem::take(&mut self.abandoned);
        queries.extend(self.open.drain().map(|(_, query)| query));
        queries.sort_by_key(|query| (query.timestamp, query.origin.line));
        queries
    }
}

/// Whether the function takes a statement.
fn runs_sql(function: &str) -> bool {
    matches!(function, "sql_execute" | "sql_execute_df" | "sql_execute_gdf" | "sql_validate" | "render_vega")
}

/// The statement of a call, and the reason where it cannot be run.
fn query(call: Call, origin: Origin) -> Option<Query> {
    if !runs_sql(&call.function) {
        return None;
    }
    let ok = call.is_ok();
    let logged = if call.function == "sql_execute" { call.total_ms } else { None };
    let timing = Timing { total_ms: logged.unwrap_or(call.duration_ms), execution_ms: call.execution_ms, timestamp: Some(call.timestamp) };
    let skip = match call.function.as_str() {
        "sql_validate" | "render_vega" => Some(Skip::NoStatement(call.function.clone())),
        _ if call.query.is_none() => Some(Skip::NoStatement(call.function.clone())),
        _ if !ok => Some(Skip::Failed),
        _ => None,
    };
    let sql = call.query.unwrap_or_else(|| call.function.clone());
    let skip = skip.or_else(|| text::is_hidden(&sql).then_some(Skip::Hidden));
    let some = |text: String| (!text.is_empty()).then_some(text);
    Some(Query {
        id: text::id_of(&sql),
        kind: Kind::of(&sql),
        sql,
        ordered: None,
        order_ties: false,
        order_columns: Vec::new(),
        server_flags: Vec::new(),
        timings: if skip.is_none() { vec![timing] } else { Vec::new() },
        user: some(call.user),
        database: some(call.database),
        timestamp: Some(call.timestamp),
        origin,
        skip,
    })
}

/// Cuts a text that is only shown.
fn shorten(sql: &mut String) {
    if sql.len() > KEPT {
        let end = (0..=KEPT).rev().find(|end| sql.is_char_boundary(*end)).unwrap_or(0);
        sql.truncate(end);
        sql.push('…');
        sql.shrink_to_fit();
    }
}
