//! The values of a line, by quotes, escapes and delimiters.
//!
//! The rules are those of HeavyDB's reader, not those of RFC 4180: an escape before a quote counts wherever it stands, also outside quotes,
//! so that `""""` is an empty value; within an array of an array's column a delimiter does not count; lines of nothing are passed over.

use std::io::{self, BufRead, Read};

use super::options::ImportOptions;

/// Bytes of one record above which a quote is taken as not closed.
pub(super) const LONGEST_RECORD: usize = 64 << 20;
const CHUNK_BYTES: usize = 1 << 18;

/// The values of one record, in order.
#[derive(Debug, Default)]
pub(super) struct Record {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The line where it starts, from 1.
    pub(super) line: u64,
    /// Why it cannot be read.
    pub(super) broken: Option<&'static str>,
}

impl Record {
    /// Count of values.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text of a value; `None` if it is no UTF-8.
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        let start = if place == 0 { 0 } else { *self.ends.get(place - 1)? };
        std::str::from_utf8(self.bytes.get(start..*self.ends.get(place)?)?).ok()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.broken = None;
    }

    /// Adds a value.
    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }
}

/// Where a record ends.
enum Found {
    /// After so many bytes.
    End(usize),
    /// Not in these bytes.
    More,
}

/// The records of a file.
pub(super) struct Records<'a> {
    input: Box<dyn BufRead + Send>,
    options: &'a ImportOptions,
    buffer: Vec<u8>,
    start: usize,
    is_end: bool,
    line: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(input: Box<dyn BufRead + Send>, options: &'a ImportOptions) -> Self {
        Self { input, options, buffer: Vec::new(), start: 0, is_end: false, line: 1 }
    }

    /// Reads the next record; whether there is one. `is_array` tells by place which values are arrays.
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn next(&mut self, is_array: &[bool], record: &mut Record) -> io::Result<bool> {
        if !self.skip_line_ends()? {
            return Ok(false);
        }
        record.line = self.line;
        loop {
            record.clear();
            let bytes = &self.buffer[self.start..];
            match split(bytes, self.is_end, self.options, is_array, record) {
                Found::End(length) => {
                    self.line += bytes[..length].iter().filter(|byte| self.ends_line(**byte)).count() as u64;
                    self.start += length;
                    return Ok(true);
                }
                Found::More if bytes.len() > LONGEST_RECORD => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("line {}: a quote is not closed within {} MiB", record.line, LONGEST_RECORD >> 20),
                    ));
                }
                Found::More => self.fill()?,
            }
        }
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == self.options.line_delimiter || byte == b'\n'
    }

    /// Passes over lines of nothing; whether something follows.
    fn skip_line_ends(&mut self) -> io::Result<bool> {
        loop {
            match self.buffer.get(self.start) {
                Some(byte) if self.ends_line(*byte) || *byte == b'\r' => {
                    self.line += u64::from(self.ends_line(*byte));
                    self.start += 1;
                }
                Some(_) => return Ok(true),
                None if self.is_end => return Ok(false),
                None => self.fill()?,
            }
        }
    }

    /// Reads on: as much again as is there, so that a long record is looked at few times.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = self.buffer.len().max(CHUNK_BYTES) as u64;
        let read = (&mut self.input).take(wanted).read_to_end(&mut self.buffer)?;
        self.is_end = read == 0;
        Ok(())
    }
}

/// Puts the values of the first record of `bytes` into `record`.
fn split(bytes: &[u8], is_end: bool, options: &ImportOptions, is_array: &[bool], record: &mut Record) -> Found {
    let [open, close] = options.array_marker;
    let ends_line = |byte: u8| byte == options.line_delimiter || byte == b'\n' || byte == b'\r';
    let mut field = Span::default();
    let mut in_quote = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        if byte == options.escape && next.is_none() && !is_end {
            return Found::More;
        }
        if byte == options.escape && next == Some(&options.quote) {
            field.has_escape = true;
            at += 1;
        } else if options.quoted && byte == options.quote {
            in_quote = !in_quote;
            field.has_quote |= in_quote;
        } else if !in_quote && byte == open && is_array.get(record.len()) == Some(&true) {
            match bytes[at..].iter().position(|byte| *byte == close || ends_line(*byte)) {
                Some(length) if bytes[at + length] == close => at += length,
                Some(length) => {
                    record.broken = Some("an array is not closed");
                    at += length - 1;
                }
                None if is_end => record.broken = Some("an array is not closed"),
                None => return Found::More,
            }
        } else if !in_quote && (byte == options.delimiter || ends_line(byte)) {
            field.finish(&bytes[field.start..at], options, record);
            field = Span { start: at + 1, ..Span::default() };
            if ends_line(byte) && byte != options.delimiter {
                return Found::End(at + 1);
            }
        }
        at += 1;
    }
    if !is_end {
        return Found::More;
    }
    field.finish(&bytes[field.start.min(bytes.len())..], options, record);
    if in_quote {
        record.broken = Some("a quote is not closed");
    }
    Found::End(bytes.len())
}

/// A value that is being read.
#[derive(Debug, Default)]
struct Span {
    start: usize,
    has_escape: bool,
    has_quote: bool,
}

impl Span {
    fn finish(&self, raw: &[u8], options: &ImportOptions, record: &mut Record) {
        if !self.has_escape && !self.has_quote {
            record.push(if options.trim_spaces { trimmed(raw) } else { raw });
            return;
        }
        let mut plain = Vec::with_capacity(raw.len());
        let mut at = 0;
        while let Some(&byte) = raw.get(at) {
            if self.has_escape && byte == options.escape && raw.get(at + 1) == Some(&options.quote) {
                plain.push(options.quote);
                at += 1;
            } else {
                plain.push(byte);
            }
            at += 1;
        }
        let mut value = plain.as_slice();
        if options.quoted {
            match trimmed(value) {
                [] => {}
                [only] if *only == options.quote => value = &[],
                [first, inner @ .., last] if *first == options.quote && *last == options.quote => value = inner,
                _ => record.broken = Some("a quote stands within a value"),
            }
        }
        record.push(if options.trim_spaces { trimmed(value) } else { value });
    }
}

fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\r'] = value {
        value = rest;
    }
    value
}

/// The elements of an array's text without its marks, split as a record is.
pub(super) fn elements(inner: &[u8], options: &ImportOptions) -> Record {
    let rules = ImportOptions { delimiter: options.array_delimiter, ..options.clone() };
    let mut record = Record::default();
    split(inner, true, &rules, &[], &mut record);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, options: &ImportOptions) -> Vec<(u64, Vec<String>, Option<&'static str>)> {
        let mut records = Records::new(Box::new(io::Cursor::new(text.as_bytes().to_vec())), options);
        let mut record = Record::default();
        let mut found = Vec::new();
        while records.next(&[false, true], &mut record).expect("bytes") {
            let values = (0..record.len()).map(|place| record.text(place).expect("UTF-8").to_owned()).collect();
            found.push((record.line, values, record.broken));
        }
        found
    }

    fn values(text: &str) -> Vec<Vec<String>> {
        read(text, &ImportOptions::default()).into_iter().map(|(_, values, _)| values).collect()
    }

    #[test]
    fn quotes_escapes_and_spaces() {
        assert_eq!(values(" a , b \n"), [["a", "b"]]);
        assert_eq!(values("\"a,b\",\"say \"\"hi\"\"\"\n"), [["a,b", "say \"hi\""]]);
        assert_eq!(values("\"two\nlines\",x"), [["two\nlines", "x"]]);
        assert_eq!(values("\"\",\"\"\"\",x"), [["", "", "x"]]);
        assert_eq!(values("a,"), [["a", ""]]);
    }

    #[test]
    fn lines_of_nothing_and_carriage_returns() {
        let found = read("\n\na,b\r\n\r\n\nc,d\r\n", &ImportOptions::default());
        let lines: Vec<u64> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!((lines, found[1].1.clone()), (vec![3, 6], vec!["c".to_owned(), "d".to_owned()]));
    }

    #[test]
    fn delimiters_within_arrays_do_not_count() {
        assert_eq!(values("x,{1,2},3\n"), [["x", "{1,2}", "3"]]);
        assert_eq!(read("x,{1,2\ny,{3}\n", &ImportOptions::default())[0].2, Some("an array is not closed"));
    }

    #[test]
    fn what_is_broken_is_told_and_the_next_line_is_read() {
        let found = read("a\"b\"c,x\nd,e\n\"open", &ImportOptions::default());
        assert_eq!(found[0].2, Some("a quote stands within a value"));
        assert_eq!(found[1].1, ["d", "e"]);
        assert_eq!(found[2].2, Some("a quote is not closed"));
    }

    #[test]
    fn without_quotes_they_are_characters() {
        let options = ImportOptions { quoted: false, delimiter: b'\t', trim_spaces: false, ..ImportOptions::default() };
        assert_eq!(read("\"a\t b \n", &options)[0].1, ["\"a", " b "]);
    }
}
