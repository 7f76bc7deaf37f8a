//! The statements of retention, read token by token.
//!
//! ```text
//! ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', top => 50, details => 'trades, equity_curves')
//! ALTER TABLE metrics DROP RETENTION
//! RETAIN metrics [TOP 20] [DRY RUN]
//! UPSERT INTO metrics SELECT ...
//! UPSERT INTO metrics (SELECT ...), trades (SELECT ...)
//! ```

use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::ast::{Query, Statement as Ast};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::parser::{Command, dry_run, is_word, plain_name, plan_error, word};
use crate::ingest::OptionValue;

/// Reads a statement of retention; `None` when the next statement is another one, and then no token is consumed.
pub(super) fn parse_retention(sql: &mut Parser<'_>) -> Result<Option<Command>, DataFusionError> {
    if word(sql, "RETAIN") {
        return retain(sql).map(Some);
    }
    if word(sql, "UPSERT") {
        return upsert(sql).map(Some);
    }
    let alters = is_word(sql, 0, "ALTER") && is_word(sql, 1, "TABLE") && is_word(sql, 4, "RETENTION");
    if !alters || !(is_word(sql, 3, "SET") || is_word(sql, 3, "DROP")) {
        return Ok(None);
    }
    sql.expect_keywords(&[Keyword::ALTER, Keyword::TABLE])?;
    let table = plain_name(&sql.parse_object_name(false)?)?;
    let sets = sql.parse_keyword(Keyword::SET);
    // DROP and RETENTION, or RETENTION alone.
    (0..if sets { 1 } else { 2 }).for_each(|_| drop(sql.next_token()));
    Ok(Some(if sets { Command::SetRetention { table, options: options(sql)? } } else { Command::DropRetention { table } }))
}

fn retain(sql: &mut Parser<'_>) -> Result<Command, DataFusionError> {
    let table = plain_name(&sql.parse_object_name(false)?)?;
    let top = if word(sql, "TOP") { Some(sql.parse_literal_uint()?) } else { None };
    Ok(Command::Retain { table, top, dry_run: dry_run(sql)? })
}

/// `(name => value, ...)`
fn options(sql: &mut Parser<'_>) -> Result<Vec<(String, OptionValue)>, DataFusionError> {
    sql.expect_token(&Token::LParen)?;
    let options = sql.parse_comma_separated(option)?;
    sql.expect_token(&Token::RParen)?;
    Ok(options.into_iter().collect())
}

fn option(sql: &mut Parser<'_>) -> Result<(String, OptionValue), sqlparser::parser::ParserError> {
    let name = sql.parse_identifier()?.value.to_lowercase();
    if !sql.consume_token(&Token::RArrow) {
        sql.expect_token(&Token::Eq)?;
    }
    let value = match &sql.peek_token_ref().token {
        Token::SingleQuotedString(text) => OptionValue::Text(text.clone()),
        Token::Word(word) if word.quote_style.is_some() => OptionValue::Text(word.value.clone()),
        Token::Word(word) => OptionValue::Text(word.value.to_lowercase()),
        _ => return Ok((name, OptionValue::Number(sql.parse_literal_uint()?))),
    };
    sql.next_token();
    Ok((name, value))
}

fn upsert(sql: &mut Parser<'_>) -> Result<Command, DataFusionError> {
    sql.expect_keyword(Keyword::INTO)?;
    let table = plain_name(&sql.parse_object_name(false)?)?;
    let query = |query: Box<Query>| Box::new(SqlStatement::Statement(Box::new(Ast::Query(query))));
    if sql.peek_token_ref().token != Token::LParen {
        return Ok(Command::Upsert { parts: vec![(table, query(sql.parse_query()?))] });
    }
    let mut parts = vec![(table, query(in_parentheses(sql)?))];
    while sql.consume_token(&Token::Comma) {
        let table = plain_name(&sql.parse_object_name(false)?)?;
        parts.push((table, query(in_parentheses(sql)?)));
    }
    match sql.peek_token_ref().token {
        Token::EOF | Token::SemiColon => Ok(Command::Upsert { parts }),
        _ => Err(plan_error(
            "UPSERT INTO t SELECT ..., or UPSERT INTO t (SELECT ...), details (SELECT ...): columns are found by their names",
        )),
    }
}

fn in_parentheses(sql: &mut Parser<'_>) -> Result<Box<Query>, DataFusionError> {
    sql.expect_token(&Token::LParen)?;
    let query = sql.parse_query()?;
    sql.expect_token(&Token::RParen)?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::parse;

    fn command(text: &str) -> Command {
        parse(text).expect("parses").remove(0).command
    }

    #[test]
    fn statements_of_retention_are_read() {
        let text = "ALTER TABLE Metrics SET RETENTION (metric => 'sharpe_ratio', top = 50, direction => ASC)";
        let Command::SetRetention { table, options } = command(text) else { panic!("{text}") };
        let text = |text: &str| OptionValue::Text(text.into());
        let expected = [("metric", text("sharpe_ratio")), ("top", OptionValue::Number(50)), ("direction", text("asc"))];
        assert_eq!((table.as_str(), options), ("metrics", expected.map(|(name, value)| (name.to_owned(), value)).to_vec()));
        assert!(matches!(command("alter table \"M\" drop retention"), Command::DropRetention { table } if table == "M"));
        assert!(matches!(command("retain m"), Command::Retain { top: None, dry_run: false, .. }));
        assert!(matches!(command("RETAIN m TOP 20 DRY RUN;"), Command::Retain { top: Some(20), dry_run: true, .. }));
        let Command::Upsert { parts } = command("UPSERT INTO m (SELECT 1 AS a), t (SELECT 2 AS b UNION SELECT 3)") else {
            panic!("no upsert")
        };
        assert_eq!(
            parts.iter().map(|(table, query)| format!("{table}: {query}")).collect::<Vec<_>>(),
            ["m: SELECT 1 AS a", "t: SELECT 2 AS b UNION SELECT 3"]
        );
        assert!(matches!(command("UPSERT INTO m SELECT * FROM n WHERE (a, b) IN ((1, 2))"), Command::Upsert { parts } if parts.len() == 1));
    }

    #[test]
    fn what_is_no_statement_of_retention_is_refused_with_its_place() {
        for text in [
            "RETAIN",
            "RETAIN m TOP x",
            "RETAIN m DRY",
            "UPSERT m SELECT 1",
            "UPSERT INTO m (a) VALUES (1)",
            "ALTER TABLE m SET RETENTION ()",
            "ALTER TABLE m SET RETENTION (top => -1)",
            "ALTER TABLE m SET RETENTION metric => 'a'",
        ] {
            let refused = parse(text).expect_err(text);
            assert!(matches!(&refused, crate::error::Error::Query(query) if query.position.is_some()), "{text}: {refused:?}");
        }
    }
}
