//! Queries as JSON lines.

use std::path::Path;

use serde::Deserialize;

use super::source::Lines;
use super::text::{self, Kind};
use super::{InputError, Origin, Query};

/// A line; other fields are passed over.
#[derive(Deserialize)]
struct Entry {
    id: Option<serde_json::Value>,
    sql: Option<String>,
    ordered: Option<bool>,
    #[serde(default)]
    order_ties: bool,
    #[serde(default)]
    order_columns: Vec<usize>,
    #[serde(default)]
    server_flags: Vec<String>,
}

/// The next query of the file, `None` behind the last line.
pub(super) fn next_query(lines: &mut Lines, file: &Path) -> Result<Option<Query>, InputError> {
    loop {
        let Some(line) = lines.next().map_err(|source| InputError::unreadable(file, source))? else { return Ok(None) };
        let broken = |what: String| InputError::Broken { file: file.to_owned(), line: line.number, what };
        if line.cut {
            return Err(broken("the line is too long".to_owned()));
        }
        let text = std::str::from_utf8(&line.bytes).map_err(|_| InputError::Encoding {
            file: file.to_owned(),
            line: line.number,
            what: "the line is not UTF-8".to_owned(),
        })?;
        if text.trim().is_empty() {
            continue;
        }
        let entry: Entry = serde_json::from_str(text).map_err(|error| broken(format!("no JSON object with `id` and `sql`: {error}")))?;
        let sql = entry.sql.ok_or_else(|| broken("the object has no `sql`; name expected results with --expected".to_owned()))?;
        let id = match entry.id {
            Some(serde_json::Value::String(id)) if !id.is_empty() => id,
            Some(serde_json::Value::Number(id)) => id.to_string(),
            _ => return Err(broken("the object has no `id`".to_owned())),
        };
        return Ok(Some(Query {
            id,
            kind: Kind::of(&sql),
            ordered: entry.ordered,
            order_ties: entry.order_ties,
            order_columns: entry.order_columns,
            server_flags: entry.server_flags,
            skip: text::is_hidden(&sql).then_some(super::Skip::Hidden),
            ..Query::new(sql, Origin::new(file, line.number))
        }));
    }
}
