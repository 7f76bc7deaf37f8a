//! SQL files, one statement at a time.
//!
//! A statement ends at a `;` outside texts, quoted names and comments: the places where sqlparser's tokenizer sees a semicolon (a test
//! demands it). The tokenizer itself needs the whole file and a token for every sign of it, which for 40 MB of INSERT is ten times
//! the file; this reader holds one statement.

use std::path::Path;

use super::source::Lines;
use super::text::{self, Kind};
use super::{InputError, Origin, Query};

/// A statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The text from the first word to the last sign before the `;`.
    pub(super) sql: String,
    /// Line of the first word, from 1.
    pub(super) line: u64,
    /// From a comment `-- id: NAME` before the statement.
    pub(super) id: Option<String>,
}

/// Where in the text the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Code,
    /// In a text or a quoted name; the sign that ends it.
    Quoted(u8),
    LineComment,
    /// In comments, so many within another as the tokenizer counts them.
    BlockComment(u32),
}

/// Reads the statements of one file.
pub(super) struct Statements {
    lines: Lines,
    place: Place,
    /// The line read last.
    bytes: Vec<u8>,
    /// Where in it what belongs to no statement yet starts: behind a `;`.
    taken: usize,
    line: u64,
    count: usize,
}

impl Statements {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, place: Place::Code, bytes: Vec::new(), taken: 0, line: 0, count: 0 }
    }

    /// The next statement as a query of a replay: its id is the one of the comment, or `<stem>:<n>`, counted from 1.
    pub(super) fn next_query(&mut self, file: &Path) -> Result<Option<Query>, InputError> {
        let Some(statement) = self.next(file)? else { return Ok(None) };
        self.count += 1;
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = stem.strip_suffix(".sql").unwrap_or(&stem);
        Ok(Some(Query {
            id: statement.id.unwrap_or_else(|| format!("{stem}:{}", self.count)),
            kind: Kind::of(&statement.sql),
            skip: text::is_hidden(&statement.sql).then_some(super::Skip::Hidden),
            ..Query::new(statement.sql, Origin::new(file, statement.line))
        }))
    }

    /// The next statement, `None` behind the last one.
    fn next(&mut self, file: &Path) -> Result<Option<Statement>, InputError> {
        let mut draft = Draft::default();
        loop {
            if self.taken >= self.bytes.len() {
                match self.lines.next().map_err(|source| InputError::unreadable(file, source))? {
                    Some(line) if line.cut => return Err(broken(file, line.number, "the line is too long")),
                    Some(line) => (self.line, self.bytes, self.taken) = (line.number, line.bytes, 0),
                    None => break,
                }
            }
            // The line is lent for the time of the scan: a line may hold a million statements.
            let bytes = std::mem::take(&mut self.bytes);
            let end = self.scan(&bytes[self.taken..], &mut draft);
            self.taken = end.map_or(bytes.len(), |end| self.taken + end);
            self.bytes = bytes;
            if end.is_some() {
                match draft.finish(file)? {
                    Some(statement) => return Ok(Some(statement)),
                    None => draft = Draft::default(),
                }
            }
        }
        match self.place {
            Place::Quoted(quote) => Err(broken(file, draft.opened, &format!("a text that starts with {} does not end", char::from(quote)))),
            Place::BlockComment(_) => Err(broken(file, draft.opened, "a comment that starts with /* does not end")),
            _ => draft.finish(file),
        }
    }

    /// Reads a piece of a line into the draft; the place behind the `;` that ends the statement.
    fn scan(&mut self, piece: &[u8], draft: &mut Draft) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            let pair = (piece[at], piece.get(at + 1).copied());
            let mut taken = 1;
            let before = self.place;
            self.place = match (self.place, pair) {
                (Place::Code, (b';', _)) => return Some(at + 1),
                (Place::Code, (quote @ (b'\'' | b'"' | b'`'), _)) => Place::Quoted(quote),
                (Place::Code, (b'-', Some(b'-'))) => Place::LineComment,
                (Place::Code, (b'/', Some(b'*'))) => {
                    taken = 2;
                    Place::BlockComment(1)
                }
                (Place::Quoted(quote), (byte, _)) if byte == quote => Place::Code,
                (Place::LineComment, (b'\n', _)) => Place::Code,
                (Place::BlockComment(depth), (b'/', Some(b'*'))) => {
                    taken = 2;
                    Place::BlockComment(depth.saturating_add(1))
                }
                (Place::BlockComment(depth), (b'*', Some(b'/'))) => {
                    taken = 2;
                    if depth > 1 { Place::BlockComment(depth - 1) } else { Place::Code }
                }
                (place, _) => place,
            };
            if before == Place::Code && self.place != Place::Code {
                draft.opened = self.line;
            }
            let comment = [before, self.place].iter().any(|place| matches!(place, Place::LineComment | Place::BlockComment(_)));
            draft.push(&piece[at..at + taken], comment, self.line);
            at += taken;
        }
        None
    }
}

/// A statement in the making.
#[derive(Debug, Default)]
struct Draft {
    sql: Vec<u8>,
    line: u64,
    /// The comments before the statement.
    comments: Vec<u8>,
    /// Line where the last text or comment began.
    opened: u64,
}

impl Draft {
    /// Adds signs; comments and blanks before the first word are no part of the statement, those after it are.
    fn push(&mut self, bytes: &[u8], comment: bool, line: u64) {
        let started = !self.sql.is_empty();
        if !started && comment {
            self.comments.extend_from_slice(bytes);
        } else if started || !bytes.iter().all(u8::is_ascii_whitespace) {
            if !started {
                self.line = line;
            }
            self.sql.extend_from_slice(bytes);
        }
    }

    /// The statement, `None` where there is none.
    fn finish(self, file: &Path) -> Result<Option<Statement>, InputError> {
        if self.sql.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut sql = String::from_utf8(self.sql).map_err(|error| {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let behind = good.iter().filter(|byte| **byte == b'\n').count() as u64;
            InputError::Encoding {
                file: file.to_owned(),
                line: line + behind,
                what: "the text is not UTF-8; convert the file, e.g. with `iconv -t UTF-8`".to_owned(),
            }
        })?;
        sql.truncate(sql.trim_end().len());
        let comments = String::from_utf8_lossy(&self.comments);
        let id = comments.lines().filter_map(|comment| comment.trim().strip_prefix("--")?.trim().strip_prefix("id:")).next_back();
        Ok(Some(Statement { sql, line, id: id.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()) }))
    }
}

fn broken(file: &Path, line: u64, what: &str) -> InputError {
    InputError::Broken { file: file.to_owned(), line, what: what.to_owned() }
}
