//! Statements of HeavyDB that the parser does not know, read word by word.

use std::ops::Range;

use datafusion::common::{DataFusionError, Result};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// The tokens of a statement and a place among them.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    at: usize,
    /// The bytes of each token in the text.
    ranges: Vec<Range<usize>>,
}

impl<'a> Reader<'a> {
    /// Reads a statement from its first word.
    ///
    /// # Errors
    /// A quoted text that does not end.
    pub fn new(text: &'a str) -> Result<Self> {
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
        let mut tokens = tokens.map_err(|e| DataFusionError::Plan(e.to_string()))?;
        tokens.retain(|token| {
            !matches!(
                token.token,
                Token::Whitespace(
                    Whitespace::Space
                        | Whitespace::Newline
                        | Whitespace::Tab
                        | Whitespace::SingleLineComment { .. }
                        | Whitespace::MultiLineComment(_)
                )
            )
        });
        let ranges = ranges(text, &tokens);
        Ok(Self { text, tokens, at: 0, ranges })
    }

    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|token| &token.token)
    }

    fn is_word(token: Option<&Token>, expected: &str) -> bool {
        matches!(token, Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected))
    }

    /// Whether these words come next.
    pub fn peek_words(&self, expected: &[&str]) -> bool {
        expected.iter().enumerate().all(|(ahead, word)| Self::is_word(self.peek(ahead), word))
    }

    /// Takes these words if they come next.
    pub fn words(&mut self, expected: &[&str]) -> bool {
        let found = self.peek_words(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Takes these words.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn expect(&mut self, expected: &[&str]) -> Result<()> {
        if self.words(expected) { Ok(()) } else { Err(self.unexpected(&expected.join(" "))) }
    }

    /// A name, quoted or not, as it is spelled.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn name(&mut self) -> Result<String> {
        match self.peek(0) {
            Some(Token::Word(word)) => {
                let name = word.value.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// Takes a sign if it comes next.
    pub fn takes_sign(&mut self, sign: char) -> bool {
        let found = self.peek(0).is_some_and(|token| token.to_string().chars().eq([sign]));
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes a sign.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn sign(&mut self, sign: char) -> Result<()> {
        if self.takes_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("'{sign}'"))) }
    }

    /// The value of an option: a literal or a word.
    ///
    /// # Errors
    /// Something else comes next.
    pub fn value(&mut self) -> Result<String> {
        let negative = self.takes_sign('-');
        let value = match self.peek(0) {
            Some(Token::SingleQuotedString(text)) => text.clone(),
            Some(Token::Number(number, _)) if negative => format!("-{number}"),
            Some(Token::Number(number, _)) => number.clone(),
            Some(Token::Word(word)) => word.value.clone(),
            _ => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        Ok(value)
    }

    /// The text up to one of these words, a comma or a closing parenthesis, outside parentheses.
    ///
    /// # Errors
    /// Nothing comes before.
    pub fn until_any(&mut self, words: &[&str]) -> Result<String> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(token) = self.peek(0) {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth > 0 => depth -= 1,
                Token::RParen | Token::Comma if depth == 0 => break,
                token if depth == 0 && self.at > start && words.iter().any(|word| Self::is_word(Some(token), word)) => break,
                _ => {}
            }
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a type or a value"));
        }
        Ok(self.joined(start..self.at))
    }

    /// A clause up to the comma or parenthesis after it.
    ///
    /// # Errors
    /// Nothing comes before.
    pub fn clause(&mut self) -> Result<String> {
        self.until_any(&[])
    }

    /// A query in parentheses, without them, or the rest of the statement.
    ///
    /// # Errors
    /// Parentheses that do not close.
    pub fn query(&mut self) -> Result<String> {
        if !matches!(self.peek(0), Some(Token::LParen)) {
            return Ok(self.rest().to_owned());
        }
        let start = self.at + 1;
        let mut depth = 0_usize;
        while let Some(token) = self.peek(0) {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(self.between(start, self.at - 1).to_owned());
            }
        }
        Err(self.unexpected("')'"))
    }

    /// Gives the last sign back.
    pub fn back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }

    /// What is left of the statement, taken.
    pub fn rest(&mut self) -> &'a str {
        let start = self.ranges.get(self.at).map_or(self.text.len(), |range| range.start);
        self.at = self.tokens.len();
        self.text[start..].trim_end()
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The end of the statement.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&mut self) -> Result<()> {
        while self.takes_sign(';') {}
        if self.is_done() { Ok(()) } else { Err(self.unexpected("the end of the statement")) }
    }

    /// An error at this place.
    pub fn unexpected(&self, expected: &str) -> DataFusionError {
        let found = self
            .tokens
            .get(self.at)
            .map_or_else(|| "the end of the statement".to_owned(), |token| format!("'{}' at {}", token.token, place(token)));
        DataFusionError::Plan(format!("expected {expected}, found {found}"))
    }

    fn between(&self, start: usize, end: usize) -> &'a str {
        let Some(first) = self.ranges.get(start) else { return "" };
        let last = self.ranges.get(end).map_or(self.text.len(), |range| range.start);
        self.text.get(first.start..last).unwrap_or_default().trim_end()
    }

    /// Tokens as they are spelled, quotes within texts too, with a blank between words alone.
    fn joined(&self, tokens: Range<usize>) -> String {
        let is_word = |at: usize| matches!(self.tokens[at].token, Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_));
        let mut text = String::new();
        for at in tokens.clone() {
            if at > tokens.start && is_word(at) && is_word(at - 1) {
                text.push(' ');
            }
            text.push_str(self.text.get(self.ranges[at].clone()).unwrap_or_default());
        }
        text
    }
}

/// The bytes of each token. The tokenizer tells lines and columns, counted from 1 in signs; one walk finds them all.
fn ranges(text: &str, tokens: &[TokenWithSpan]) -> Vec<Range<usize>> {
    let mut signs = text.chars();
    let (mut line, mut column) = (1, 1);
    let mut byte = |place: Location| {
        while (line, column) < (place.line, place.column) {
            match signs.next() {
                Some('\n') => (line, column) = (line + 1, 1),
                Some(_) => column += 1,
                None => break,
            }
        }
        text.len() - signs.as_str().len()
    };
    tokens.iter().map(|token| byte(token.span.start)..byte(token.span.end)).collect()
}

fn place(token: &TokenWithSpan) -> String {
    format!("line {}, column {}", token.span.start.line, token.span.start.column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_names_and_rests() {
        let mut reader = Reader::new("CREATE  table \"My T\" (a int -- x\n, b text encoding dict(8))").expect("tokens");
        reader.expect(&["CREATE", "TABLE"]).expect("words");
        assert_eq!(reader.name().expect("name"), "My T");
        reader.sign('(').expect("sign");
        assert_eq!(reader.name().expect("name"), "a");
        assert_eq!(reader.until_any(&["ENCODING"]).expect("type"), "int");
        assert!(reader.takes_sign(','));
        assert_eq!(reader.name().expect("name"), "b");
        assert_eq!(reader.until_any(&["ENCODING"]).expect("type"), "text");
        assert_eq!(reader.rest(), "encoding dict(8))");
        assert!(reader.is_done());
    }

    #[test]
    fn pieces_are_spelled_as_in_the_text() {
        for (given, wanted) in [
            ("'it''s', b", "'it''s'"),
            ("'é\r\n''😀' /* c, */ NOT NULL", "'é\r\n''😀'"),
            ("decimal ( 10 , -- digits, scale\n 2 )", "decimal(10,2)"),
            ("\"a\"\"b\" double   precision)", "\"a\"\"b\" double precision"),
            ("- 1.50e3", "-1.50e3"),
        ] {
            let mut reader = Reader::new(given).expect("tokens");
            assert_eq!(reader.until_any(&["NOT"]).expect("piece"), wanted);
        }
    }
}
