//! The SQL lexer as the prompt and the runner use it: is a statement complete, what is a keyword, which `$names` does it use.
//!
//! It is the lexer of the parser itself, so a `;` inside a text or a comment never ends a statement.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::catalog::Cursor;

/// Messages of the lexer that mean: the text ends inside something that more text could close.
const OPEN_ENDED: &[&str] = &["Unterminated", "before EOF", "Unexpected EOF"];

/// Splits text into tokens in one dialect.
#[derive(Debug, Clone)]
pub(crate) struct Lexer {
    dialect: String,
}

/// What a piece of text is, for colours and for redaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Keyword,
    Name,
    Text,
    Number,
    Comment,
    Placeholder,
    Other,
}

/// One piece of a text with its place in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub(crate) range: Range<usize>,
    pub(crate) piece: Piece,
}

impl Lexer {
    /// The lexer of the dialect that `context` parses.
    pub(crate) fn of(context: &SessionContext) -> Self {
        Self { dialect: context.state().config_options().sql_parser.dialect.to_string() }
    }

    fn dialect(&self) -> Box<dyn Dialect> {
        dialect_from_str(&self.dialect).unwrap_or_else(|| Box::new(GenericDialect))
    }

    /// Tokens up to the first mistake, and that mistake.
    fn tokens(&self, text: &str) -> (Vec<TokenWithSpan>, Option<String>) {
        let dialect = self.dialect();
        let mut tokens = Vec::new();
        let outcome = Tokenizer::new(dialect.as_ref(), text).tokenize_with_location_into_buf(&mut tokens);
        (tokens, outcome.err().map(|error| error.message))
    }

    /// Whether `text` holds whole statements only: its last token is a `;`, or there is none, or it can never become right.
    pub(crate) fn is_complete(&self, text: &str) -> bool {
        let (tokens, mistake) = self.tokens(text);
        if let Some(mistake) = mistake {
            return !is_open_ended(&mistake);
        }
        match tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_))) {
            Some(last) => last.token == Token::SemiColon,
            None => true,
        }
    }

    /// Whether `text` ends inside a text or a comment, where everything belongs to it.
    pub(crate) fn ends_inside_text(&self, text: &str) -> bool {
        self.tokens(text).1.is_some_and(|mistake| is_open_ended(&mistake))
    }

    /// The length of the first lines of `text` that hold whole statements, or what can never become one; all of it if there are none.
    ///
    /// The window of text that is read doubles until it suffices, so that the work is linear in what is found.
    pub(crate) fn first_whole_lines(&self, text: &str) -> usize {
        let mut window = line_end(text, 0);
        loop {
            match self.whole_until(&text[..window]) {
                Some(line) => return end_of_line(text, line),
                None if window == text.len() => return window,
                None => window = line_end(text, 2 * window),
            }
        }
    }

    /// The number of the first line of `text` at whose end [`Lexer::is_complete`] would hold for what was read, unless it is blank.
    fn whole_until(&self, text: &str) -> Option<u64> {
        let dialect = self.dialect();
        let mut tokens = Vec::new();
        let outcome = Tokenizer::new(dialect.as_ref(), text).tokenize_with_location_into_buf(&mut tokens);
        // Whether every statement so far has ended; `None` before the first and its remarks.
        let mut whole = None;
        for token in &tokens {
            match &token.token {
                Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => whole = whole.or(Some(true)),
                Token::Whitespace(_) => {}
                other => whole = Some(*other == Token::SemiColon),
            }
            let ends_line = token.span.end.line > token.span.start.line
                && matches!(token.token, Token::Whitespace(Whitespace::Newline | Whitespace::SingleLineComment { .. }));
            if ends_line && whole == Some(true) {
                return Some(token.span.start.line);
            }
        }
        let mistake = outcome.err().filter(|error| !is_open_ended(&error.message))?;
        Some(mistake.location.line)
    }

    /// The pieces of `text` in order, without blanks; a tail that is no token is left out.
    pub(crate) fn pieces(&self, text: &str) -> Vec<Lexeme> {
        let (tokens, _) = self.tokens(text);
        let mut places = Cursor::new(text);
        tokens
            .iter()
            .filter_map(|token| {
                let piece = piece_of(&token.token)?;
                let start = places.byte(token.span.start);
                Some(Lexeme { range: start..places.byte(token.span.end), piece })
            })
            .collect()
    }

    /// The names of the `$name` placeholders in `text`, without the `$`.
    pub(crate) fn placeholders(&self, text: &str) -> BTreeSet<String> {
        if !text.contains('$') {
            return BTreeSet::new();
        }
        let (tokens, _) = self.tokens(text);
        tokens
            .into_iter()
            .filter_map(|token| match token.token {
                Token::Placeholder(name) => name.strip_prefix('$').map(str::to_owned),
                _ => None,
            })
            .collect()
    }
}

fn is_open_ended(mistake: &str) -> bool {
    OPEN_ENDED.iter().any(|message| mistake.contains(message))
}

/// The byte behind the line that holds byte `from`; the end of the text for a byte behind it.
fn line_end(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(text.len(), |found| from + found + 1)
}

/// The byte behind line `number`, from 1.
fn end_of_line(text: &str, number: u64) -> usize {
    let before = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    text.match_indices('\n').nth(before).map_or(text.len(), |(found, _)| found + 1)
}

fn piece_of(token: &Token) -> Option<Piece> {
    Some(match token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => Piece::Comment,
        Token::Whitespace(_) | Token::EOF => return None,
        Token::Word(word) if word.keyword != Keyword::NoKeyword && word.quote_style.is_none() => Piece::Keyword,
        Token::Word(_) => Piece::Name,
        Token::Number(_, _) => Piece::Number,
        Token::Placeholder(_) => Piece::Placeholder,
        Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::HexStringLiteral(_) => Piece::Text,
        _ => Piece::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexer() -> Lexer {
        Lexer::of(&SessionContext::new())
    }

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_texts_and_comments() {
        for open in ["select 1", "select ';", "select 1 /* ; ", "select 1 -- ;", "select \"a;", "select $$ ;", "select 1; select 2"] {
            assert!(!lexer().is_complete(open), "{open}");
        }
        for whole in ["select 1;", "select ';';", "select 1; -- done", "select 1; /* done */  \n", "", "  ", "-- only a remark"] {
            assert!(lexer().is_complete(whole), "{whole}");
        }
    }

    #[test]
    fn an_open_text_or_comment_takes_what_follows() {
        for open in ["select 'a\n", "select 1 /* b\n", "select \"c\n"] {
            assert!(lexer().ends_inside_text(open), "{open}");
        }
        for closed in ["select 'a'\n", "select 1 -- it's\n", "select\n", ""] {
            assert!(!lexer().ends_inside_text(closed), "{closed}");
        }
    }

    #[test]
    fn lines_of_whole_statements_are_cut_off_one_after_the_other() {
        let cases = [
            ("select 1;\nselect 2;\n", "select 1;\n"),
            ("select 1; select\n2; select 3;\nselect 4", "select 1; select\n2; select 3;\n"),
            ("select ';\n;\n' as é;\n\\d\n", "select ';\n;\n' as é;\n"),
            ("select $$ a;\nb $$;\nx", "select $$ a;\nb $$;\n"),
            ("select 1; /* x\n;\n*/\nselect 2;", "select 1; /* x\n;\n*/\n"),
            ("-- a remark\nselect 1;\n", "-- a remark\n"),
            ("select 1 -- x;\n;\r\nselect 2;\n", "select 1 -- x;\n;\r\n"),
            ("select 1;\r select 2\n;\n", "select 1;\r select 2\n;\n"),
            ("select 'a;\n", "select 'a;\n"),
            ("select 1", "select 1"),
            ("", ""),
        ];
        for (text, first) in cases {
            assert_eq!(&text[..lexer().first_whole_lines(text)], first, "{text:?}");
        }
    }

    #[test]
    fn long_texts_and_many_statements_are_read_in_linear_work() {
        let long = format!("select '{}';\n", "--;\n".repeat(200_000));
        let lexer = lexer();
        assert_eq!(lexer.first_whole_lines(&long), long.len());
        let many = "select 1\n;\n".repeat(20_000);
        let (mut rest, mut count) = (many.as_str(), 0);
        while !rest.is_empty() {
            rest = &rest[lexer.first_whole_lines(rest)..];
            count += 1;
        }
        assert_eq!(count, 20_000);
    }

    #[test]
    fn pieces_lie_where_they_stand_in_the_text() {
        let text = "SELECT 'é', pnl\nFROM \"a b\" -- x\nWHERE n = $n;";
        let found: Vec<(&str, Piece)> = lexer().pieces(text).into_iter().map(|t| (&text[t.range.clone()], t.piece)).collect();
        assert_eq!(found[0], ("SELECT", Piece::Keyword));
        assert_eq!(found[1], ("'é'", Piece::Text));
        assert!(found.contains(&("pnl", Piece::Name)) && found.contains(&("\"a b\"", Piece::Name)));
        assert!(found.iter().any(|(text, piece)| text.starts_with("-- x") && *piece == Piece::Comment));
        assert!(found.contains(&("$n", Piece::Placeholder)));
        assert_eq!(found.last(), Some(&(";", Piece::Other)));
    }

    #[test]
    fn pieces_of_a_long_line_are_found_in_one_walk() {
        let text = format!("SELECT {}", "corr(a, \"é\"), ".repeat(100_000));
        let found = lexer().pieces(&text);
        assert_eq!(found.len(), 1 + 7 * 100_000);
        assert!(
            found
                .iter()
                .filter(|lexeme| lexeme.piece == Piece::Name)
                .all(|lexeme| matches!(&text[lexeme.range.clone()], "corr" | "a" | "\"é\""))
        );
    }

    #[test]
    fn placeholders_in_texts_and_comments_do_not_count() {
        let names = lexer().placeholders("select $a, '$b' /* $c */ from t where x > $a and y < $limit");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "limit"]);
    }
}
