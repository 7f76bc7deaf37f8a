//! Columns that a script needs and not every table has: a table without one is told as such, not as an unknown name in SQL that the
//! user never wrote.

use super::header::Need;
use super::prepared::Prepared;
use crate::cli::failure::Failure;
use crate::error::{Error, QueryError};

/// How the message about a column that no table has begins (as DataFusion writes it).
const NO_FIELD: &str = "No field named ";

/// The failure of a statement, as a missing need of the script where it is one.
pub(super) fn explained(failure: Failure, script: &Prepared) -> Failure {
    let Failure::Statement(mut statement) = failure else { return failure };
    if let Error::Query(query) = &statement.error
        && let Some(need) = script.header.needs.iter().find(|need| is_missing(&query.message, need))
    {
        let table = script.replaced_tables.get(&need.table).unwrap_or(&need.table);
        let message = format!("{} needs a table with the column {}: {table} has none", script.name, need.column);
        let hint = format!("{}; -p {}=TABLE names {} table", need.help, need.table, if *table == need.table { "the" } else { "another" });
        let source = QueryError { message, hint: Some(hint), position: query.position, source: None };
        statement.error = Error::Query(Box::new(source));
    }
    Failure::Statement(statement)
}

/// Whether a message is about this column of this table.
fn is_missing(message: &str, need: &Need) -> bool {
    let Some(name) = message.split_once(NO_FIELD).map(|(_, rest)| rest) else { return false };
    let name = name.split_whitespace().next().unwrap_or_default().trim_end_matches('.');
    name == need.column || name == format!("{}.{}", need.table, need.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_column_itself_is_missing() {
        let need = Need { table: "strategies".into(), column: "market_regime".into(), help: String::new() };
        for message in ["No field named market_regime.", "No field named strategies.market_regime.\nValid fields are strategies.date."] {
            assert!(is_missing(message, &need), "{message}");
        }
        for message in ["No field named market_regimes.", "No field named x. Did you mean 'market_regime'?", "Cast error"] {
            assert!(!is_missing(message, &need), "{message}");
        }
    }
}
