//! The SQL lexer as the prompt and the runner use it: is a statement complete, what is a keyword, which `$names` does it use.
//!
//! It is the lexer of the parser itself, so a `;` inside a text or a comment never ends a statement.

use std::collections::BTreeSet;
use std::ops::Range;

use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

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
            return !OPEN_ENDED.iter().any(|message| mistake.contains(message));
        }
        match tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_))) {
            Some(last) => last.token == Token::SemiColon,
            None => true,
        }
    }

    /// Whether `text` ends inside a text or a comment, where everything belongs to it.
    pub(crate) fn ends_inside_text(&self, text: &str) -> bool {
        self.tokens(text).1.is_some_and(|mistake| OPEN_ENDED.iter().any(|message| mistake.contains(message)))
    }

    /// The pieces of `text` in order, without blanks; a tail that is no token is left out.
    pub(crate) fn pieces(&self, text: &str) -> Vec<Lexeme> {
        let (tokens, _) = self.tokens(text);
        let places = Places::of(text);
        tokens
            .iter()
            .filter_map(|token| {
                let piece = piece_of(&token.token)?;
                Some(Lexeme { range: places.byte(token.span.start)..places.byte(token.span.end), piece })
            })
            .collect()
    }

    /// The names of the `$name` placeholders in `text`, without the `$`.
    pub(crate) fn placeholders(&self, text: &str) -> BTreeSet<String> {
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

/// Byte offsets of the lines of a text.
struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, lines }
    }

    /// The byte at a place; places past the end are the end.
    fn byte(&self, place: Location) -> usize {
        let line = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(start) = self.lines.get(line) else { return self.text.len() };
        let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text[*start..].char_indices().nth(column).map_or(self.text.len(), |(i, _)| start + i)
    }
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
    fn placeholders_in_texts_and_comments_do_not_count() {
        let names = lexer().placeholders("select $a, '$b' /* $c */ from t where x > $a and y < $limit");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "limit"]);
    }
}
