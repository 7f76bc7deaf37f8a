//! SQL text to statements: the dialect, the place of each statement, and what the dialect adds to DataFusion's.
//!
//! Added: `FROM t VERSION AS OF n`, `RESTORE TABLE t TO VERSION AS OF n`, `VACUUM t [RETAIN n HOURS] [DRY RUN]`; of retention
//! `ALTER TABLE t SET RETENTION (...)`, `ALTER TABLE t DROP RETENTION`, `RETAIN t [TOP n] [DRY RUN]`, `UPSERT INTO t (SELECT ...), ...`
//! (`retention_commands`); of tiers `ALTER TABLE t SET TIER 'cold' [WHERE ...] [DRY RUN]`, `APPLY TIER RULES [FOR t] [DRY RUN]`,
//! `REFRESH TABLE t` (`tier_commands`).

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement as SqlStatement};
use sqlparser::ast::{Expr, Ident, ObjectName, ObjectNamePart};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::retention_commands::parse_retention;
use super::tier_commands::parse_tiers;
use super::unsupported::passed_over;
use super::versions::resolve_versions;
use crate::error::{Error, Position, QueryError, Result};
use crate::ingest::OptionValue;

/// One statement of a text, parsed.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The statement's own text, without the final semicolon.
    pub text: String,
    /// Where it starts in the whole text.
    pub position: Position,
    /// What it says.
    pub command: Command,
}

/// What a statement says: SQL for DataFusion, or a command of this engine.
#[derive(Debug, Clone)]
pub enum Command {
    /// Anything DataFusion plans.
    Sql(Box<SqlStatement>),
    /// `RESTORE TABLE t TO VERSION AS OF n`.
    Restore {
        /// The table.
        table: String,
        /// Version to go back to.
        version: u64,
    },
    /// `VACUUM t [RETAIN n HOURS] [DRY RUN]`.
    Vacuum {
        /// The table.
        table: String,
        /// Hours for which files of earlier versions are kept, where the statement says it.
        retain_hours: Option<u32>,
        /// Only tell what would go.
        dry_run: bool,
    },
    /// `ALTER TABLE t SET RETENTION (name => value, ...)`.
    SetRetention {
        /// The metrics table.
        table: String,
        /// Options as they were typed.
        options: Vec<(String, OptionValue)>,
    },
    /// `ALTER TABLE t DROP RETENTION`.
    DropRetention {
        /// The metrics table.
        table: String,
    },
    /// `RETAIN t [TOP n] [DRY RUN]`.
    Retain {
        /// The metrics table.
        table: String,
        /// Strategies of each group to be kept from now on, where the statement says it.
        top: Option<u64>,
        /// Only tell what would go.
        dry_run: bool,
    },
    /// `UPSERT INTO t SELECT ...`, or `UPSERT INTO t (SELECT ...), details (SELECT ...), ...`.
    Upsert {
        /// Tables with the queries of their rows, the metrics table first.
        parts: Vec<(String, Box<SqlStatement>)>,
    },
    /// `ALTER TABLE t SET TIER 'cold' [WHERE ...] [DRY RUN]`.
    SetTier {
        /// The table.
        table: String,
        /// Name of a location, or `hot`.
        tier: String,
        /// Which files; all without it.
        condition: Option<Box<Expr>>,
        /// Only tell what would move.
        dry_run: bool,
    },
    /// `APPLY TIER RULES [FOR t] [DRY RUN]`.
    ApplyTierRules {
        /// The table; all that have a rule without it.
        table: Option<String>,
        /// Only tell what would move.
        dry_run: bool,
    },
    /// `REFRESH TABLE t`, or `REFRESH TABLE 's3://bucket/path'`.
    Refresh {
        /// A table, or a URL.
        name: String,
    },
    /// A statement in HeavyDB's dialect, read when it runs.
    Heavy,
}

/// Parses a whole text into its statements.
///
/// # Errors
/// [`Error::Query`] with the position in `text`, also for clauses that the planner would pass over.
pub fn parse(text: &str) -> Result<Vec<Statement>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| at(e.location, e.message))?;
    let mut parser = DFParserBuilder::new(resolve_versions(tokens)).with_dialect(&dialect).build().map_err(|e| parse_error(text, e))?;
    let mut statements = Vec::new();
    let mut cursor = Cursor::new(text);
    loop {
        while parser.parser.consume_token(&Token::SemiColon) {}
        let first = parser.parser.peek_token();
        if first.token == Token::EOF {
            return Ok(statements);
        }
        let command = parse_command(&mut parser).map_err(|e| parse_error(text, e))?;
        for statement in queries_of(&command) {
            refuse_passed_over(statement, position(first.span.start), &|_| false)?;
        }
        let next = parser.parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            let message = format!("expected the end of the statement, found '{}'", next.token);
            return Err(at(next.span.start, message));
        }
        let start = cursor.byte(first.span.start);
        let end = if next.token == Token::EOF { text.len() } else { cursor.byte(next.span.start) };
        let statement = text[start..end].trim_end().to_owned();
        statements.push(Statement { text: statement, position: position(first.span.start), command });
    }
}

/// The statement of a list of tokens.
pub(super) fn parse_tokens(tokens: Vec<TokenWithSpan>) -> Result<SqlStatement, DataFusionError> {
    let dialect = GenericDialect {};
    DFParserBuilder::new(resolve_versions(tokens)).with_dialect(&dialect).build()?.parse_statement()
}

/// The SQL that a command holds.
fn queries_of(command: &Command) -> Vec<&SqlStatement> {
    match command {
        Command::Sql(statement) => vec![statement],
        Command::Upsert { parts } => parts.iter().map(|(_, query)| query.as_ref()).collect(),
        _ => vec![],
    }
}

fn parse_command(parser: &mut DFParser<'_>) -> Result<Command, DataFusionError> {
    if let Some(command) = parse_retention(&mut parser.parser)? {
        return Ok(command);
    }
    if let Some(command) = parse_tiers(&mut parser.parser)? {
        return Ok(command);
    }
    let sql = &mut parser.parser;
    if word(sql, "RESTORE") {
        sql.expect_keyword(Keyword::TABLE)?;
        let table = sql.parse_object_name(false)?;
        sql.expect_keywords(&[Keyword::TO, Keyword::VERSION, Keyword::AS, Keyword::OF])?;
        return Ok(Command::Restore { table: plain_name(&table)?, version: sql.parse_literal_uint()? });
    }
    if sql.parse_keyword(Keyword::VACUUM) {
        return parse_vacuum(parser);
    }
    Ok(Command::Sql(Box::new(parser.parse_statement()?)))
}

fn parse_vacuum(parser: &mut DFParser<'_>) -> Result<Command, DataFusionError> {
    let sql = &mut parser.parser;
    let table = plain_name(&sql.parse_object_name(false)?)?;
    let mut retain_hours = None;
    if word(sql, "RETAIN") {
        retain_hours = Some(u32::try_from(sql.parse_literal_uint()?).map_err(|_| plan_error("RETAIN: too many hours"))?);
        if !word(sql, "HOURS") {
            return Err(plan_error("RETAIN needs a unit: RETAIN 168 HOURS"));
        }
    }
    Ok(Command::Vacuum { table, retain_hours, dry_run: dry_run(sql)? })
}

/// Consumes `DRY RUN`, if it is there.
pub(super) fn dry_run(sql: &mut sqlparser::parser::Parser<'_>) -> Result<bool, DataFusionError> {
    let dry = word(sql, "DRY");
    if dry && !word(sql, "RUN") {
        return Err(plan_error("after DRY comes RUN: DRY RUN"));
    }
    Ok(dry)
}

/// Whether a word comes at a place from here.
pub(super) fn is_word(sql: &sqlparser::parser::Parser<'_>, place: usize, expected: &str) -> bool {
    matches!(sql.peek_nth_token(place).token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected))
}

/// Consumes a word that is no keyword of the parser.
pub(super) fn word(parser: &mut sqlparser::parser::Parser<'_>, expected: &str) -> bool {
    let found = matches!(&parser.peek_token_ref().token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    if found {
        parser.next_token();
    }
    found
}

pub(super) fn plan_error(message: &str) -> DataFusionError {
    DataFusionError::Plan(message.into())
}

/// The table a one-part name means: unquoted names are lower case.
pub(super) fn plain_name(name: &ObjectName) -> Result<String, DataFusionError> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Ok(normal(ident)),
        _ => Err(DataFusionError::Plan(format!("'{name}' is not a table of this database"))),
    }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A table name as typed outside SQL (`--into NAME`): like an identifier, quoted or not.
///
/// # Errors
/// [`Error::Usage`] when it is not one identifier.
pub fn parse_table_name(typed: &str) -> Result<String> {
    let refused = || {
        Error::Usage(format!(
            "'{typed}' is not a table name: other signs than letters, digits and _ need double quotes, in a shell '\"{typed}\"'"
        ))
    };
    let dialect = GenericDialect {};
    let mut parser = sqlparser::parser::Parser::new(&dialect).try_with_sql(typed).map_err(|_| refused())?;
    let name = parser.parse_object_name(false).map_err(|_| refused())?;
    if parser.peek_token().token != Token::EOF {
        return Err(refused());
    }
    plain_name(&name).map_err(|_| refused())
}

fn position(location: Location) -> Position {
    Position { line: location.line, column: location.column }
}

fn at(location: Location, message: String) -> Error {
    Error::Query(Box::new(QueryError { message, hint: None, position: Some(position(location)), source: None }))
}

/// Byte offsets of places in a text, asked for in the order of the text: the whole is walked through once.
pub(crate) struct Cursor<'a> {
    rest: std::str::CharIndices<'a>,
    /// The place of the next character of `rest`.
    place: Location,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.char_indices(), place: Location::new(1, 1) }
    }

    /// The byte at a place not before the last one; the end of the text for places after it.
    pub(crate) fn byte(&mut self, place: Location) -> usize {
        while self.place < place {
            match self.rest.next() {
                Some((_, '\n')) => self.place = Location::new(self.place.line + 1, 1),
                Some(_) => self.place.column += 1,
                None => break,
            }
        }
        self.rest.offset()
    }
}

/// Refuses a statement that says what would not be done; `start` is its place, and `is_scalar` knows the scalar functions by name.
///
/// # Errors
/// [`Error::Query`] with the clause, its place and what to write instead.
pub fn refuse_passed_over(statement: &SqlStatement, start: Position, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    let Some(found) = passed_over(statement, is_scalar) else { return Ok(()) };
    let place = if found.place.line > 0 { position(found.place) } else { start };
    let hint = Some(found.remedy().to_owned());
    Err(Error::Query(Box::new(QueryError { message: found.message(), hint, position: Some(place), source: None })))
}

/// The parser tells places inside its message: `... at Line: 1, Column: 8`.
fn parse_error(text: &str, error: DataFusionError) -> Error {
    let mut query = QueryError::from(error);
    let message = query.message.replace("SQL error: ParserError(\"", "").replace("SQL error: TokenizerError(\"", "");
    let (message, place) = match message.rfind(" at Line: ") {
        Some(found) => (message[..found].to_owned(), read_place(&message[found..])),
        None => (message.trim_end_matches("\")").to_owned(), None),
    };
    query.message = message.replace("sql parser error: ", "");
    query.position = place.or_else(|| end_of(text));
    query.hint = query.hint.or_else(|| super::relation_arguments::parentheses_hint(text, &query.message));
    Error::Query(Box::new(query))
}

fn read_place(message: &str) -> Option<Position> {
    let (line, column) = message.strip_prefix(" at Line: ")?.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.parse().ok()?, column: digits.parse().ok()? })
}

/// An error without a place is at the end of the text: something is missing there.
fn end_of(text: &str) -> Option<Position> {
    let trimmed = text.trim_end();
    let column = trimmed.lines().last().map_or(0, |line| line.chars().count());
    Some(Position { line: trimmed.lines().count().max(1) as u64, column: column as u64 + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_text_and_place() {
        let found = parse("select 1;\n-- a comment; with a semicolon\n  select ';';").expect("two statements");
        let texts: Vec<_> = found.iter().map(|s| (s.text.as_str(), s.position.line, s.position.column)).collect();
        assert_eq!(texts, [("select 1", 1, 1), ("select ';'", 3, 3)]);
    }

    #[test]
    fn fifty_thousand_statements_are_walked_through_once() {
        for separator in [";", ";\n"] {
            let text: String = (0..50_000).map(|n| format!("select 'é', {n}{separator}")).collect();
            let found = parse(&text).expect("statements");
            assert_eq!(found.len(), 50_000);
            assert!(found.iter().enumerate().all(|(n, statement)| statement.text == format!("select 'é', {n}")));
        }
    }

    #[test]
    fn a_syntax_error_tells_line_and_column() {
        let Err(Error::Query(error)) = parse("select 1;\nselect 1 +;") else { panic!("no query error") };
        assert_eq!(error.position.map(|p| p.line), Some(2), "{error:?}");
    }

    #[test]
    fn a_version_becomes_part_of_the_name() {
        let found = parse("select s.pnl from S version as of 3 join s version as of 4 t on true").expect("parses");
        let Command::Sql(statement) = &found[0].command else { panic!("not SQL") };
        let text = statement.to_string();
        assert!(text.contains("\"s@version:3\" AS S JOIN \"s@version:4\" t"), "{text}");
    }

    #[test]
    fn commands_of_the_engine_are_statements() {
        let found = parse("restore table s to version as of 2; vacuum s retain 24 hours dry run").expect("parses");
        assert!(matches!(&found[0].command, Command::Restore { table, version: 2 } if table == "s"));
        assert!(matches!(&found[1].command, Command::Vacuum { retain_hours: Some(24), dry_run: true, .. }));
    }
}
