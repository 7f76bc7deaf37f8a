//! What the line editor asks: is the input complete, how is it coloured, what could follow.

use std::borrow::Cow;
use std::sync::Arc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use super::commands::{self, Argument, COMMANDS};
use super::names::Names;
use crate::catalog::{Lexer, Piece};
use crate::cli::print::FORMATS;
use crate::cli::terminal;
use crate::engine::Engine;

/// Words that are coloured and completed as part of the language. The lexer knows hundreds more, most of them good names for columns.
const KEYWORDS: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTERNAL",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP",
    "GROUPING",
    "HAVING",
    "IF",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "NOT",
    "NULL",
    "NULLS",
    "OF",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "REPLACE",
    "RESTORE",
    "RETAIN",
    "RETENTION",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SELECT",
    "SET",
    "SETS",
    "SHOW",
    "STORED",
    "TABLE",
    "TABLES",
    "THEN",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "UPDATE",
    "UPSERT",
    "USING",
    "VACUUM",
    "VALUES",
    "VERSION",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
];

/// The line editor's counsel.
pub(super) struct Assist {
    lexer: Lexer,
    names: Arc<Names>,
    files: FilenameCompleter,
    colours: bool,
}

impl Assist {
    /// For one database.
    pub(super) fn new(engine: &Engine, names: Arc<Names>) -> Self {
        Self { lexer: Lexer::of(engine.context()), names, files: FilenameCompleter::new(), colours: terminal::colours() }
    }

    fn complete_command(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some(space) = line[..pos].find(' ') else {
            return Ok((0, matching(&line[..pos], COMMANDS.iter().map(|command| format!("\\{}", command.name)))));
        };
        let start = line[..pos].rfind(' ').map_or(0, |at| at + 1);
        let word = &line[start..pos];
        let found = match commands::find(&line[1..space]).map(|command| command.argument) {
            Some(Argument::Table) => matching(word, self.names.tables().iter().cloned()),
            Some(Argument::Function) => matching(word, self.names.functions().iter().cloned()),
            Some(Argument::Format) => matching(word, FORMATS.iter().map(|format| format.name.to_owned())),
            Some(Argument::File) => return self.files.complete(line, pos, ctx),
            Some(Argument::None | Argument::Other) | None => Vec::new(),
        };
        Ok((start, found))
    }

    fn complete_sql(&self, line: &str, pos: usize) -> (usize, Vec<Pair>) {
        let start = line[..pos]
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')))
            .map_or(0, |at| at + line[at..].chars().next().map_or(1, char::len_utf8));
        let word = &line[start..pos];
        if let Some((table, column)) = word.rsplit_once('.') {
            let columns = match self.names.columns(table) {
                none if none.is_empty() => self.aliased(line, table).map_or(none, |table| self.names.columns(&table)),
                columns => columns,
            };
            if !columns.is_empty() {
                return (pos - column.len(), matching(column, columns.iter().map(|name| quoted(name))));
            }
        }
        if word.is_empty() {
            return (start, Vec::new());
        }
        let upper = word.chars().next().is_some_and(char::is_uppercase);
        let keywords = KEYWORDS.iter().map(|keyword| if upper { (*keyword).to_owned() } else { keyword.to_lowercase() });
        let tables = self.names.tables();
        let columns = self.columns_in_sight(line, &tables);
        let functions = self.names.functions();
        let functions = functions.iter().map(|name| format!("{name}("));
        let candidates = columns.into_iter().chain(tables.iter().map(|name| quoted_table(name))).chain(functions).chain(keywords);
        (start, matching(word, candidates))
    }

    /// The table that the statement gives this alias: `FROM strategies s`, `FROM strategies AS s`.
    fn aliased(&self, line: &str, alias: &str) -> Option<String> {
        let pieces = self.lexer.pieces(line);
        let words = pieces.iter().map(|piece| line[piece.range.clone()].trim_matches('"')).filter(|word| !word.eq_ignore_ascii_case("as"));
        let words: Vec<&str> = words.collect();
        let tables = self.names.tables();
        let table = |word: &str| tables.iter().find(|table| table.eq_ignore_ascii_case(word)).cloned();
        words.windows(2).find_map(|pair| pair[1].eq_ignore_ascii_case(alias).then(|| table(pair[0])).flatten())
    }

    /// Columns of the tables that the statement names.
    fn columns_in_sight(&self, line: &str, tables: &[String]) -> Vec<String> {
        let pieces = self.lexer.pieces(line);
        let words: Vec<&str> = pieces.iter().map(|piece| line[piece.range.clone()].trim_matches('"')).collect();
        let named = tables.iter().filter(|table| words.iter().any(|word| word.eq_ignore_ascii_case(table)));
        named.flat_map(|table| self.names.columns(table).iter().map(|name| quoted(name)).collect::<Vec<_>>()).collect()
    }

    /// Whether the cursor stands inside a text, where only a file could be meant.
    fn inside_text(&self, before: &str) -> bool {
        let end = self.lexer.pieces(before).last().map_or(0, |piece| piece.range.end);
        before[end..].trim_start().starts_with('\'')
    }
}

/// Candidates that begin with `word`, whatever the case, each once.
fn matching(word: &str, candidates: impl Iterator<Item = String>) -> Vec<Pair> {
    let wanted = word.to_lowercase();
    let mut seen = std::collections::HashSet::new();
    candidates
        .filter(|name| name.trim_start_matches('"').to_lowercase().starts_with(&wanted) && seen.insert(name.clone()))
        .map(|name| Pair { display: name.clone(), replacement: name })
        .collect()
}

/// The name as it must be written in SQL.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A table name, of which system tables come with their schema.
fn quoted_table(name: &str) -> String {
    match name.split_once('.') {
        Some((schema, table)) if schema == crate::catalog::SYSTEM_SCHEMA => format!("{schema}.{table}"),
        _ => quoted(name),
    }
}

impl Helper for Assist {}

/// What stands on an empty line of a statement that goes on; nothing of it is ever taken into the line.
pub(super) struct GoesOn;

impl Hint for GoesOn {
    fn display(&self) -> &str {
        "... goes on: ; ends it, \\r forgets it"
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Assist {
    type Hint = GoesOn;

    /// The line editor has no prompt for later lines: this stands in its place until something is typed.
    fn hint(&self, line: &str, pos: usize, _ctx: &Context<'_>) -> Option<GoesOn> {
        (pos == line.len() && line.ends_with('\n') && !line.trim().is_empty()).then_some(GoesOn)
    }
}

impl Validator for Assist {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = ctx.input();
        let command = commands::typed(input).is_some() || commands::within(&self.lexer, input).is_some();
        let complete = command || self.lexer.is_complete(input);
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Assist {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if line.starts_with('\\') {
            return self.complete_command(line, pos, ctx);
        }
        if self.inside_text(&line[..pos]) {
            return self.files.complete(line, pos, ctx);
        }
        Ok(self.complete_sql(line, pos))
    }
}

impl Highlighter for Assist {
    fn highlight<'l>(&self, line: &'l str, _pos: usize) -> Cow<'l, str> {
        if !self.colours || line.starts_with('\\') {
            return Cow::Borrowed(line);
        }
        let (mut coloured, mut done) = (String::with_capacity(line.len() * 2), 0);
        for piece in self.lexer.pieces(line) {
            let text = &line[piece.range.clone()];
            coloured.push_str(&line[done..piece.range.start]);
            match colour(piece.piece, text) {
                Some(code) => coloured.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
                None => coloured.push_str(text),
            }
            done = piece.range.end;
        }
        coloured.push_str(&line[done..]);
        Cow::Owned(coloured)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(terminal::Paint { on: self.colours }.dim(hint))
    }

    fn highlight_char(&self, _line: &str, _pos: usize, kind: CmdKind) -> bool {
        self.colours && kind != CmdKind::MoveCursor
    }
}

fn colour(piece: Piece, text: &str) -> Option<&'static str> {
    match piece {
        Piece::Keyword => KEYWORDS.binary_search(&text.to_ascii_uppercase().as_str()).is_ok().then_some("1;34"),
        Piece::Text => Some("32"),
        Piece::Number => Some("35"),
        Piece::Comment => Some("2"),
        Piece::Placeholder => Some("33"),
        Piece::Name | Piece::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::workers::Workers;

    async fn assist() -> Assist {
        let engine = Engine::in_memory().await.unwrap();
        let workers = Workers::new(tokio::runtime::Handle::current());
        engine.sql("CREATE TABLE strategies AS SELECT 'a' AS strategy, 1.5 AS pnl, 2 AS \"Odd Name\"").await.unwrap();
        let names = Arc::new(Names::new(engine.clone(), workers));
        Assist { colours: true, ..Assist::new(&engine, names) }
    }

    fn completions(assist: &Assist, line: &str) -> Vec<String> {
        let history = rustyline::history::MemHistory::new();
        let (_, pairs) = assist.complete(line, line.len(), &Context::new(&history)).unwrap();
        pairs.into_iter().map(|pair| pair.replacement).collect()
    }

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn tables_columns_functions_and_keywords_are_completed() {
        let assist = assist().await;
        assert!(completions(&assist, "select * from strat").contains(&"strategies".to_owned()));
        assert_eq!(completions(&assist, "select pn from strategies where pn"), ["pnl"]);
        assert_eq!(completions(&assist, "select strategies.od"), ["\"Odd Name\""]);
        let behind_alias = |line: &str, cursor: usize| {
            let (_, pairs) = assist.complete(line, cursor, &Context::new(&rustyline::history::MemHistory::new())).unwrap();
            pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>()
        };
        assert_eq!(behind_alias("select s.p from strategies s", 10), ["pnl"]);
        assert_eq!(behind_alias("select S. from strategies AS s where true", 9), ["strategy", "pnl", "\"Odd Name\""]);
        assert!(behind_alias("select x.p from strategies s", 10).is_empty());
        assert!(completions(&assist, "select sharpe").contains(&"sharpe_ratio(".to_owned()));
        assert!(completions(&assist, "select * from correlation_pa").contains(&"correlation_pairs(".to_owned()));
        assert!(completions(&assist, "sel").contains(&"select".to_owned()));
        assert!(completions(&assist, "SEL").contains(&"SELECT".to_owned()));
        assert!(completions(&assist, "").is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_unfinished_statement_shows_that_it_goes_on() {
        let (assist, history) = (assist().await, rustyline::history::MemHistory::new());
        let hint = |line: &str| assist.hint(line, line.len(), &Context::new(&history)).map(|hint| hint.display().to_owned());
        assert!(hint("select 1,\n").is_some_and(|text| text.contains("\\r")));
        for line in ["", "\n", "select 1", "select 1,\n2"] {
            assert_eq!(hint(line), None, "{line}");
        }
        assert_eq!(GoesOn.completion(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn commands_and_their_arguments_are_completed() {
        let assist = assist().await;
        assert_eq!(completions(&assist, "\\ti"), ["\\tiers", "\\timing"]);
        assert_eq!(completions(&assist, "\\d strat"), ["strategies"]);
        assert_eq!(completions(&assist, "\\format nd"), ["ndjson"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn colours_change_nothing_but_colour() {
        let assist = assist().await;
        let line = "SELECT 'é; --', pnl, 1.5 -- x";
        let coloured = assist.highlight(line, 0);
        assert!(coloured.contains("\x1b[1;34mSELECT\x1b[0m"), "{coloured}");
        let mut plain = coloured.into_owned();
        while let (Some(start), Some(length)) = (plain.find('\x1b'), plain.find('\x1b').and_then(|at| plain[at..].find('m'))) {
            plain.replace_range(start..=start + length, "");
        }
        assert_eq!(plain, line);
    }
}
