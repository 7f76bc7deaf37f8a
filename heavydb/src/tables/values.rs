//! The rows of an `INSERT ... VALUES`, read straight from its text: 2 million literals make no tree.

use std::borrow::Cow;

/// One value as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal<'a> {
    /// `NULL`.
    Null,
    /// `TRUE`, `FALSE`.
    Boolean(bool),
    /// A number with its sign.
    Number(Cow<'a, str>),
    /// `'text'`, also of `DATE 'text'`, `TIME 'text'` and `TIMESTAMP 'text'`.
    Text(Cow<'a, str>),
    /// `{a, b}`, `ARRAY[a, b]`.
    Array(Vec<Literal<'a>>),
    /// Something else, up to the comma or parenthesis behind it.
    Expression(&'a str),
}

/// What comes before the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InsertHead {
    /// The table in lower case.
    pub(super) table: String,
    /// The columns named, in lower case; none for all in order.
    pub(super) columns: Vec<String>,
    /// The byte after `VALUES`, or where a query starts.
    pub(super) body: usize,
    /// Whether rows of values come, not a query.
    pub(super) is_values: bool,
}

/// A place in the text of a statement.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    in_array: bool,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at, in_array: false }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips blanks and comments.
    fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(byte) = self.byte() {
            match byte {
                byte if byte.is_ascii_whitespace() => self.at += 1,
                b'-' if bytes.get(self.at + 1) == Some(&b'-') => {
                    self.at = bytes[self.at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| self.at + end + 1);
                }
                b'/' if bytes.get(self.at + 1) == Some(&b'*') => {
                    self.at = self.text[self.at + 2..].find("*/").map_or(bytes.len(), |end| self.at + end + 4);
                }
                _ => return,
            }
        }
    }

    fn sign(&mut self, sign: u8) -> bool {
        self.skip();
        let found = self.byte() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn bare_word(&mut self) -> Option<&'a str> {
        self.skip();
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
        let word = &rest[..length];
        if word.is_empty() || word.as_bytes()[0].is_ascii_digit() {
            return None;
        }
        self.at += length;
        Some(word)
    }

    fn keyword(&mut self, expected: &str) -> bool {
        let before = self.at;
        let found = self.bare_word().is_some_and(|word| word.eq_ignore_ascii_case(expected));
        if !found {
            self.at = before;
        }
        found
    }

    /// A name, quoted or not, in lower case.
    fn name(&mut self) -> Option<String> {
        self.skip();
        if self.byte() == Some(b'"') {
            return self.quoted(b'"').map(|name| name.to_lowercase());
        }
        self.bare_word().map(str::to_lowercase)
    }

    /// The text between quotes, which stand doubled inside.
    fn quoted(&mut self, quote: u8) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        let mut doubled = false;
        loop {
            end += bytes.get(end..)?.iter().position(|byte| *byte == quote)?;
            if bytes.get(end + 1) != Some(&quote) {
                break;
            }
            doubled = true;
            end += 2;
        }
        self.at = end + 1;
        let inner = &self.text[start..end];
        let (two, one) = if quote == b'"' { ("\"\"", "\"") } else { ("''", "'") };
        Some(if doubled { Cow::Owned(inner.replace(two, one)) } else { Cow::Borrowed(inner) })
    }

    fn number(&mut self) -> Option<Literal<'a>> {
        let negative = self.sign(b'-');
        if !negative {
            self.sign(b'+');
        }
        self.skip();
        let rest = &self.text.as_bytes()[self.at..];
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            let follows_exponent = length > 0 && matches!(rest[length - 1], b'e' | b'E');
            match byte {
                b'0'..=b'9' | b'.' => {}
                b'e' | b'E' if length > 0 => {}
                b'+' | b'-' if follows_exponent => {}
                _ => break,
            }
            length += 1;
        }
        if length == 0 {
            return None;
        }
        let digits = &self.text[self.at..self.at + length];
        self.at += length;
        Some(Literal::Number(if negative { Cow::Owned(format!("-{digits}")) } else { Cow::Borrowed(digits) }))
    }

    /// One value, which a comma or a closing sign must follow; `None` for an expression.
    fn literal(&mut self) -> Option<Literal<'a>> {
        self.skip();
        let value = match self.byte()? {
            b'\'' => Literal::Text(self.quoted(b'\'')?),
            b'{' => self.array(b'{', b'}')?,
            b'0'..=b'9' | b'.' | b'-' | b'+' => self.number()?,
            _ => self.word_literal()?,
        };
        self.skip();
        matches!(self.byte()?, b',' | b')' | b'}' | b']').then_some(value)
    }

    fn word_literal(&mut self) -> Option<Literal<'a>> {
        let word = self.bare_word()?.to_lowercase();
        Some(match word.as_str() {
            "null" => Literal::Null,
            "true" => Literal::Boolean(true),
            "false" => Literal::Boolean(false),
            "array" => self.array(b'[', b']')?,
            "date" | "time" | "timestamp" => {
                if self.sign(b'(') {
                    self.number()?;
                    self.sign(b')').then_some(())?;
                }
                self.skip();
                (self.byte() == Some(b'\'')).then_some(())?;
                Literal::Text(self.quoted(b'\'')?)
            }
            _ => return None,
        })
    }

    fn array(&mut self, open: u8, close: u8) -> Option<Literal<'a>> {
        // An array holds no arrays.
        if std::mem::replace(&mut self.in_array, true) {
            return None;
        }
        let array = self.elements(open, close);
        self.in_array = false;
        array
    }

    fn elements(&mut self, open: u8, close: u8) -> Option<Literal<'a>> {
        self.sign(open).then_some(())?;
        let mut values = Vec::new();
        if self.sign(close) {
            return Some(Literal::Array(values));
        }
        loop {
            values.push(self.literal()?);
            if !self.sign(b',') {
                break;
            }
        }
        self.sign(close).then_some(Literal::Array(values))
    }

    /// The text of an expression up to the comma or parenthesis behind it; `None` where there is none.
    fn expression(&mut self) -> Option<Literal<'a>> {
        self.skip();
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                quote @ (b'\'' | b'"') => {
                    self.quoted(quote)?;
                    continue;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b',' | b')' if depth == 0 => break,
                b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
        }
        let text = self.text.get(start..self.at)?.trim_end();
        (!text.is_empty()).then_some(Literal::Expression(text))
    }

    /// The next row in parentheses; its values go to `each`. `None` where something is out of place.
    pub(super) fn row(
        &mut self,
        mut each: impl FnMut(usize, Literal<'a>) -> datafusion::common::Result<()>,
    ) -> Option<datafusion::common::Result<usize>> {
        self.sign(b'(').then_some(())?;
        let mut place = 0;
        loop {
            self.skip();
            let start = self.at;
            let value = match self.literal() {
                Some(value) => value,
                None => {
                    self.at = start;
                    self.expression()?
                }
            };
            if let Err(error) = each(place, value) {
                return Some(Err(error));
            }
            place += 1;
            if !self.sign(b',') {
                break;
            }
        }
        self.sign(b')').then_some(Ok(place))
    }

    /// Whether another row follows.
    pub(super) fn more_rows(&mut self) -> bool {
        self.sign(b',')
    }

    /// Whether nothing follows but a semicolon.
    pub(super) fn is_done(&mut self) -> bool {
        while self.sign(b';') {}
        self.at >= self.text.len()
    }
}

/// Reads `INSERT INTO t [(columns)]` up to what is inserted; `None` for something else.
pub(super) fn insert_head(text: &str) -> Option<InsertHead> {
    let mut scan = Scan::new(text, 0);
    (scan.keyword("INSERT") && scan.keyword("INTO")).then_some(())?;
    let table = scan.name()?;
    let mut columns = Vec::new();
    let before = scan.at;
    if scan.sign(b'(') {
        loop {
            match scan.name() {
                // A query in parentheses.
                Some(word) if columns.is_empty() && matches!(word.as_str(), "select" | "with" | "values") => {
                    columns.clear();
                    scan.at = before;
                    break;
                }
                Some(column) => columns.push(column),
                None => return None,
            }
            if !scan.sign(b',') {
                scan.sign(b')').then_some(())?;
                break;
            }
        }
    }
    scan.skip();
    let at_query = scan.at;
    let is_values = scan.keyword("VALUES");
    Some(InsertHead { table, columns, body: if is_values { scan.at } else { at_query }, is_values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Option<Vec<Vec<Literal<'_>>>> {
        let head = insert_head(text)?;
        let mut scan = Scan::new(text, head.body);
        let mut rows = Vec::new();
        loop {
            let mut row = Vec::new();
            scan.row(|_, value| {
                row.push(value);
                Ok(())
            })?
            .ok()?;
            rows.push(row);
            if !scan.more_rows() {
                return scan.is_done().then_some(rows);
            }
        }
    }

    #[test]
    fn literals_of_all_kinds() {
        let found = rows(
            "insert into T values (1, -2.5e-3, 'it''s', NULL, true, {1, 2}, ARRAY['a'], timestamp(3) '2020-01-01 00:00:00'), (+4, .5, '', null, FALSE, {}, {NULL}, DATE '1/1/20');",
        );
        let number = |text: &str| Literal::Number(text.to_owned().into());
        let text = |text: &str| Literal::Text(text.to_owned().into());
        let expected = vec![
            vec![
                number("1"),
                number("-2.5e-3"),
                text("it's"),
                Literal::Null,
                Literal::Boolean(true),
                Literal::Array(vec![number("1"), number("2")]),
                Literal::Array(vec![text("a")]),
                text("2020-01-01 00:00:00"),
            ],
            vec![
                number("4"),
                number(".5"),
                text(""),
                Literal::Null,
                Literal::Boolean(false),
                Literal::Array(vec![]),
                Literal::Array(vec![Literal::Null]),
                text("1/1/20"),
            ],
        ];
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn heads_name_table_and_columns() {
        let head = insert_head("INSERT INTO \"My T\" (\"Date\", b) VALUES (1, 2)").expect("a head");
        assert_eq!((head.table.as_str(), head.columns, head.is_values), ("my t", vec!["date".to_owned(), "b".to_owned()], true));
        for query in ["INSERT INTO t SELECT 1", "INSERT INTO t (SELECT 1)", "INSERT INTO t (a, b) SELECT 1, 2"] {
            let head = insert_head(query).expect("a head");
            assert!(!head.is_values && query[head.body..].trim_start_matches('(').starts_with("SELECT"), "{query}");
        }
    }

    #[test]
    fn expressions_end_at_their_comma_or_parenthesis() {
        let found = rows("insert into t values (1 + (2, ')'), now() , 3, 'a' || ',')").expect("rows");
        let expected = [
            Literal::Expression("1 + (2, ')')"),
            Literal::Expression("now()"),
            Literal::Number("3".into()),
            Literal::Expression("'a' || ','"),
        ];
        assert_eq!(found, [expected]);
        for text in ["insert into t values (1,)", "insert into t values (1", "insert into t values (1 + ]", "insert into t values ('a"] {
            assert_eq!(rows(text), None, "{text}");
        }
    }
}
