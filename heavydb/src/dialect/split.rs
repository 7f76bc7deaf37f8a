//! Statements of a text, told apart by its quotes and comments. An `INSERT` of 40 MB is found without a token per value.

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Character of the line.
    pub column: u64,
}

/// One statement of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its text without the final semicolon, from its first word on.
    pub text: &'a str,
    /// Where it starts.
    pub place: Place,
}

/// The statements of `text`, in order; what is only blanks and comments is none.
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at < bytes.len() {
        let next = match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => after_quote(bytes, at, quote),
            b'-' if bytes.get(at + 1) == Some(&b'-') => after_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => after_comment(bytes, at),
            b';' => {
                if let Some(start) = start.take() {
                    pieces.push(start..at);
                }
                at += 1;
                continue;
            }
            _ => at + 1,
        };
        let is_blank = bytes[at].is_ascii_whitespace() || (next > at + 1 && matches!(bytes[at], b'-' | b'/'));
        if !is_blank && start.is_none() {
            start = Some(at);
        }
        at = next;
    }
    pieces.extend(start.map(|start| start..bytes.len()));
    placed(text, pieces)
}

/// The byte after a quoted text; a doubled quote is a new quoted text, which comes to the same.
fn after_quote(bytes: &[u8], at: usize, quote: u8) -> usize {
    bytes[at + 1..].iter().position(|byte| *byte == quote).map_or(bytes.len(), |length| at + length + 2)
}

fn after_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length + 1)
}

/// Comments lie in one another, as the tokenizer has them.
fn after_comment(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0_usize, at);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return at + 2,
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    bytes.len()
}

fn placed(text: &str, pieces: Vec<std::ops::Range<usize>>) -> Vec<Piece<'_>> {
    let mut place = Place { line: 1, column: 1 };
    let mut at = 0;
    let found = pieces.into_iter().map(|piece| {
        for character in text[at..piece.start].chars() {
            place = match character {
                '\n' => Place { line: place.line + 1, column: 1 },
                _ => Place { column: place.column + 1, ..place },
            };
        }
        at = piece.start;
        Piece { text: text[piece].trim_end(), place }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        let text = "SELECT ';' ;\n-- no; statement\n  SELECT \"a;b\" /* ; */, 'it''s;'; ; /*+ hint */ SELECT 2";
        let found: Vec<_> = split(text).iter().map(|piece| (piece.text, piece.place.line, piece.place.column)).collect();
        let expected = [("SELECT ';'", 1, 1), ("SELECT \"a;b\" /* ; */, 'it''s;'", 3, 3), ("SELECT 2", 3, 49)];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_does_not_end_is_one_statement() {
        for text in ["SELECT 'a; b", "SELECT \"a; b", "SELECT 1 /* ; b", "SELECT 1 -- ;", "SELECT /* a /* b */ ; */ 1"] {
            assert_eq!(split(text).len(), 1, "{text}");
        }
        assert!(split(" \n-- nothing").is_empty());
    }
}
