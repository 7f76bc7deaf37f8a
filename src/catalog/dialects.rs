//! Texts in more than one dialect: `SET tranchedb.dialect = 'heavydb'` changes that of the statements after it.

use datafusion::sql::parser::Statement as SqlStatement;
use datafusion_heavydb::dialect::split;
use sqlparser::ast::{Expr, Set, Statement as Ast, Value, ValueWithSpan};

use super::parser::{Command, Statement, parse};
use crate::config::SqlDialect;
use crate::error::{Error, Position, Result};

/// The setting that changes the dialect.
const SETTING: &str = "tranchedb.dialect";

/// Parses a whole text into its statements, of which the first is in `dialect`; `dialect` is then that of what comes after the text.
///
/// # Errors
/// [`Error::Query`] with the position in `text`. Statements of HeavyDB are read when they run.
pub fn parse_in(text: &str, dialect: &mut SqlDialect) -> Result<Vec<Statement>> {
    if *dialect == SqlDialect::TrancheDb && !text.to_lowercase().contains(SETTING) {
        return parse(text);
    }
    let mut statements = Vec::new();
    for piece in split(text) {
        let position = Position { line: piece.place.line, column: piece.place.column };
        if *dialect == SqlDialect::HeavyDb && !starts_with_set(piece.text) {
            statements.push(Statement { text: piece.text.to_owned(), position, command: Command::Heavy });
            continue;
        }
        for mut statement in parse(piece.text).map_err(|error| moved(error, position))? {
            statement.position = statement.position.after(position);
            *dialect = chosen(&statement).unwrap_or(*dialect);
            statements.push(statement);
        }
    }
    Ok(statements)
}

/// Settings are this engine's in every dialect.
fn starts_with_set(text: &str) -> bool {
    ["set", "reset"].iter().any(|word| text.split_whitespace().next().is_some_and(|first| first.eq_ignore_ascii_case(word)))
}

/// The dialect that a statement sets.
fn chosen(statement: &Statement) -> Option<SqlDialect> {
    let Command::Sql(sql) = &statement.command else { return None };
    let SqlStatement::Statement(inner) = sql.as_ref() else { return None };
    let Ast::Set(Set::SingleAssignment { variable, values, .. }) = inner.as_ref() else { return None };
    let [Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(name), .. })] = values.as_slice() else { return None };
    if !variable.to_string().eq_ignore_ascii_case(SETTING) {
        return None;
    }
    SqlDialect::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, dialect)| *dialect)
}

fn moved(error: Error, piece: Position) -> Error {
    match error {
        Error::Query(mut query) => {
            query.position = query.position.map(|place| place.after(piece));
            Error::Query(query)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_changes_the_dialect_of_what_follows() {
        let text = "SELECT 1;\nSET tranchedb.dialect = 'heavydb';\nCREATE TABLE t (a TEXT ENCODING DICT(8));\n SET tranchedb.dialect = 'tranchedb'; SELECT 2";
        let found = parse_in(text, &mut SqlDialect::default()).expect("statements");
        let kinds: Vec<_> = found.iter().map(|s| (matches!(s.command, Command::Heavy), s.position.line, s.position.column)).collect();
        assert_eq!(kinds, [(false, 1, 1), (false, 2, 1), (true, 3, 1), (false, 4, 2), (false, 4, 39)]);
    }

    #[test]
    fn errors_tell_their_place_in_the_whole_text() {
        let text = "SET tranchedb.dialect = 'tranchedb';\n\nSELECT 1 +";
        let Err(Error::Query(error)) = parse_in(text, &mut SqlDialect::default()) else { panic!("no query error") };
        assert_eq!(error.position.map(|place| place.line), Some(3), "{error:?}");
    }
}
