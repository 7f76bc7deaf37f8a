//! Definitions are kept as text and must mean the same from every working directory: relative paths in them become absolute
//! when they are made. All else of the text stays as it was typed.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::ast::{ObjectName, ObjectNamePart, Query, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::files::is_location;
use super::parser::{Cursor, parse_tokens};
use crate::error::{Error, Result};

/// Stands for a path while the statement is parsed, followed by the number of its token: the syntax tree has no places of texts.
const MARK: &str = "@token:";

/// The text of a `CREATE VIEW` or `CREATE EXTERNAL TABLE` with absolute paths in place of relative ones.
///
/// # Errors
/// [`Error::Storage`] when the working directory is gone.
pub(super) fn with_absolute_paths(text: &str) -> Result<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| Error::Internal(format!("a statement was read in two ways: {error}")))?;
    let paths = paths(&tokens)?;
    let (mut absolute, mut done, mut cursor) = (String::with_capacity(text.len()), 0, Cursor::new(text));
    for number in paths {
        let Some((path, quote)) = quoted(&tokens[number].token) else { continue };
        let (start, end) = (cursor.byte(tokens[number].span.start), cursor.byte(tokens[number].span.end));
        absolute.push_str(&text[done..start]);
        absolute.push_str(&format!("{quote}{}{quote}", made_absolute(path)?.replace(quote, &format!("{quote}{quote}"))));
        done = end;
    }
    absolute.push_str(&text[done..]);
    Ok(absolute)
}

fn made_absolute(path: &str) -> Result<String> {
    let absolute = std::path::absolute(path).map_err(|e| Error::storage(format!("finding '{path}'"), e))?;
    let absolute = absolute.display().to_string();
    // A path's final slash says that it is a folder.
    let slash = if path.ends_with('/') && !absolute.ends_with('/') { "/" } else { "" };
    Ok(absolute + slash)
}

/// The text of a token in quotes, and the quote.
fn quoted(token: &Token) -> Option<(&str, char)> {
    match token {
        Token::SingleQuotedString(text) => Some((text, '\'')),
        Token::Word(word) => Some((&word.value, word.quote_style?)),
        _ => None,
    }
}

/// Numbers of the tokens that are relative paths of tables: not every text that looks like one.
fn paths(tokens: &[TokenWithSpan]) -> Result<Vec<usize>> {
    let mut marked = tokens.to_vec();
    for (number, token) in marked.iter_mut().enumerate() {
        if !quoted(&token.token).is_some_and(|(path, _)| is_relative(path)) {
            continue;
        }
        match &mut token.token {
            Token::SingleQuotedString(text) => *text = format!("{MARK}{number}"),
            Token::Word(word) => word.value = format!("{MARK}{number}"),
            _ => {}
        }
    }
    let mut search = Marks::default();
    let parsed = parse_tokens(marked)?;
    let is_external = matches!(parsed, SqlStatement::CreateExternalTable(_));
    match parsed {
        SqlStatement::CreateExternalTable(table) => search.tables.extend(table.locations.iter().filter_map(|text| mark(text))),
        // The search never breaks off.
        SqlStatement::Statement(inner) => drop(inner.visit(&mut search)),
        _ => {}
    }
    let text = |number: &usize| quoted(&tokens[*number].token).map(|(text, _)| text);
    let named: BTreeSet<_> = search.named.iter().map(text).collect();
    let is_path = |number: &usize| is_external || text(number).is_some_and(is_location);
    Ok(search.tables.iter().copied().filter(|number| is_path(number) && !named.contains(&text(number))).collect())
}

fn is_relative(path: &str) -> bool {
    !path.contains("://") && !path.is_empty() && std::path::Path::new(path).is_relative()
}

fn mark(text: &str) -> Option<usize> {
    text.strip_prefix(MARK)?.parse().ok()
}

/// Finds marks where tables are named.
#[derive(Default)]
struct Marks {
    tables: BTreeSet<usize>,
    /// What `WITH` names, which goes before files.
    named: BTreeSet<usize>,
}

impl Visitor for Marks {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.named.extend(with.filter_map(|table| mark(&table.alias.name.value)));
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if let [ObjectNamePart::Identifier(table)] = name.0.as_slice() {
            self.tables.extend(mark(&table.value));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_become_absolute_and_nothing_else_changes() {
        let here = std::env::current_dir().expect("a directory").display().to_string();
        for (typed, kept) in [
            (
                "CREATE VIEW v AS -- 'x.csv'\nSELECT 'y.csv' AS ä FROM 'x.csv' t",
                "CREATE VIEW v AS -- 'x.csv'\nSELECT 'y.csv' AS ä FROM 'HERE/x.csv' t",
            ),
            (
                "CREATE VIEW v AS SELECT * FROM 'a/*.csv' JOIN (SELECT * FROM \"b.csv\") USING (k)",
                "CREATE VIEW v AS SELECT * FROM 'HERE/a/*.csv' JOIN (SELECT * FROM \"HERE/b.csv\") USING (k)",
            ),
            (
                "CREATE VIEW \"v w\" AS SELECT * FROM 's3://b/x.csv', '/a.csv', \"My t\"",
                "CREATE VIEW \"v w\" AS SELECT * FROM 's3://b/x.csv', '/a.csv', \"My t\"",
            ),
            (
                "CREATE VIEW v AS WITH \"x.csv\" AS (SELECT 1) SELECT * FROM \"x.csv\"",
                "CREATE VIEW v AS WITH \"x.csv\" AS (SELECT 1) SELECT * FROM \"x.csv\"",
            ),
            (
                "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 'it''s/' OPTIONS ('format.has_header' 'true')",
                "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 'HERE/it''s/' OPTIONS ('format.has_header' 'true')",
            ),
        ] {
            assert_eq!(with_absolute_paths(typed).expect("a definition"), kept.replace("HERE", &here), "{typed}");
        }
    }
}
