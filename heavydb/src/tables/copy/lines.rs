//! The values of a line, by a regular expression.

use std::io::{self, BufRead, Read};

use regex::Regex;

use super::options::ImportOptions;
use super::records::{LONGEST_RECORD, Record};

/// Records of lines, one or from one that matches `line_start_regex` to the next.
pub(super) struct Lines<'a> {
    input: Box<dyn BufRead + Send>,
    options: &'a ImportOptions,
    regex: &'a Regex,
    /// A line that was read and starts the next record.
    ahead: Option<String>,
    line: u64,
}

/// What came of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFound {
    /// Its groups are the values.
    Values,
    /// It does not match.
    NoMatch,
    /// There is none.
    End,
}

impl<'a> Lines<'a> {
    pub(super) fn new(input: Box<dyn BufRead + Send>, options: &'a ImportOptions, regex: &'a Regex) -> Self {
        Self { input, options, regex, ahead: None, line: 1 }
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// Those of the file; bytes that are no UTF-8.
    pub(super) fn next(&mut self, record: &mut Record) -> io::Result<LineFound> {
        record.clear();
        record.line = self.line;
        let first = match self.ahead.take() {
            Some(line) => Some(line),
            None => self.read()?,
        };
        let Some(mut text) = first else { return Ok(LineFound::End) };
        self.line += 1;
        if let Some(start) = &self.options.line_start_regex {
            while let Some(line) = self.read()? {
                if start.is_match(&line) {
                    self.ahead = Some(line);
                    break;
                }
                text.push(char::from(self.options.line_delimiter));
                text.push_str(&line);
                self.line += 1;
                if text.len() > LONGEST_RECORD {
                    return Err(self.too_long("no line starts with line_start_regex"));
                }
            }
        }
        let Some(captures) = self.regex.captures(&text) else { return Ok(LineFound::NoMatch) };
        captures.iter().skip(1).for_each(|group| record.push(group.map_or(&[], |group| group.as_str().as_bytes())));
        Ok(LineFound::Values)
    }

    /// A line without its end.
    fn read(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        if (&mut self.input).take(LONGEST_RECORD as u64).read_until(self.options.line_delimiter, &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.len() >= LONGEST_RECORD {
            return Err(self.too_long("no line ends"));
        }
        if bytes.last() == Some(&self.options.line_delimiter) {
            bytes.pop();
        }
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidData, format!("line {} is not UTF-8", self.line));
        String::from_utf8(bytes).map(Some).map_err(invalid)
    }

    fn too_long(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {what} within {} MiB", self.line, LONGEST_RECORD >> 20))
    }
}
