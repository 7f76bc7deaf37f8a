//! Records of a CSV file in one pass: bytes are hashed and checked as they come, records are split on a thread of their own and handed over
//! in chunks, so that splitting and parsing run side by side and only a few chunks are ever in memory.
//!
//! Left out on purpose: other separators than the comma, and encodings other than UTF-8 (both are errors that say so).

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use csv::{ByteRecord, ReaderBuilder, Terminator};
use sha2::{Digest, Sha256};

use super::fingerprint::hexadecimal;
use super::quotes::{BadQuote, QuoteCheck, count_bytes};
use super::tally::Occurrences;
use super::text_blocks::TextBlocks;
use crate::error::{Error, Result, SourceError};

/// Bytes of fields in one chunk; a record longer than this makes a chunk of its own.
const CHUNK_BYTES: usize = 1 << 20;
/// Records in one chunk at most.
const CHUNK_RECORDS: usize = 8192;
/// Chunks that wait between the two threads.
const CHUNKS_WAITING: usize = 2;
/// Bytes read from the file at a time.
const BUFFER_BYTES: usize = 256 << 10;
/// A line longer than this is no table any more: the widest header, 100,000 names, is far below.
const LONGEST_LINE_BYTES: u64 = 256 << 20;
/// First bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// Opens a file that is to be imported.
///
/// # Errors
/// [`Error::Source`] where it is missing, a directory or not readable.
pub(crate) fn open_source(path: &Path) -> Result<File> {
    let name = path.display().to_string();
    let refuse = |e: io::Error| {
        Error::from(SourceError::new(&name, format!("cannot be read: {e}")).with_remedy("check the path and its permissions"))
    };
    let file = File::open(path).map_err(refuse)?;
    if file.metadata().map_err(refuse)?.is_dir() {
        return Err(SourceError::new(&name, "is a directory, not a file").with_remedy("name one CSV file inside it").into());
    }
    Ok(file)
}

/// Some consecutive records of a file.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    records: Vec<ByteRecord>,
    lines: Vec<u64>,
}

impl Chunk {
    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Line (from 1) on which the record starts.
    pub(crate) fn line(&self, record: usize) -> u64 {
        self.lines[record]
    }

    /// Number of fields of the record.
    pub(crate) fn width(&self, record: usize) -> usize {
        self.records[record].len()
    }

    /// One field of a record, without the carriage return that ends a line in some files.
    #[inline]
    pub(crate) fn field(&self, record: usize, column: usize) -> &[u8] {
        let record = &self.records[record];
        let field = record.get(column).unwrap_or_default();
        if column + 1 == record.len() { field.strip_suffix(b"\r").unwrap_or(field) } else { field }
    }
}

/// Identity of the bytes that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadBytes {
    /// SHA-256 of the whole file in hexadecimal digits.
    pub(crate) sha256: String,
    /// Length of the file in bytes.
    pub(crate) bytes: u64,
    /// Lines without anything on them, which were skipped.
    pub(crate) blank_lines: Occurrences,
}

/// A CSV file of which the header has been read.
pub(crate) struct RecordReader {
    file: String,
    csv: csv::Reader<CheckedReader>,
    header: Vec<String>,
    /// Line on which the next record starts if no blank line comes before it.
    next_line: u64,
    blank_lines: Occurrences,
}

impl RecordReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`Error::Source`] for a file that is missing, a directory, empty, not UTF-8 or binary.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = open_source(path)?;
        let name = path.display().to_string();
        let csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(CheckedReader::new(file));
        let mut reader = Self { file: name, csv, header: vec![], next_line: 1, blank_lines: Occurrences::default() };
        let mut record = ByteRecord::new();
        if reader.next_record(&mut record)?.is_none() {
            return Err(SourceError::new(&reader.file, "the file is empty").with_remedy("a header and at least one row are needed").into());
        }
        reader.header = header_names(&record);
        reader.check_header()?;
        Ok(reader)
    }

    /// Names of the columns in file order.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    /// The file as the user named it.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Lines without anything on them up to here.
    pub(crate) fn blank_lines(&self) -> Occurrences {
        self.blank_lines
    }

    /// The text after the header in blocks of whole records.
    pub(crate) fn into_blocks(self) -> TextBlocks {
        let header_end = usize::try_from(self.csv.position().byte()).unwrap_or(usize::MAX);
        let mut checked = self.csv.into_inner();
        checked.keep.set(false);
        let mut rest = std::mem::take(&mut checked.kept);
        rest.drain(..header_end.min(rest.len()));
        TextBlocks::new(self.file, self.header, (checked, rest), self.next_line)
    }

    /// Hands all records after the header to `consume`, in file order, while the next ones are being split.
    ///
    /// # Errors
    /// What `consume` returns, a read error, or text that is not UTF-8 (with its byte offset).
    pub(crate) fn for_each_chunk(self, mut consume: impl FnMut(&Chunk) -> Result<()>) -> Result<ReadBytes> {
        self.csv.get_ref().keep.set(false);
        let (chunks, received) = sync_channel(CHUNKS_WAITING);
        let (used, recycled) = channel();
        std::thread::scope(|scope| {
            let splitter = scope.spawn(move || self.split(&chunks, &recycled));
            let consumed = received.iter().try_for_each(|chunk| {
                consume(&chunk)?;
                // The splitter may have ended: then nobody needs the chunk any more.
                drop(used.send(chunk));
                Ok(())
            });
            drop(received);
            let read = splitter.join().map_err(|_| Error::Internal("the thread that reads the file panicked".into()))?;
            consumed.and(read)
        })
    }

    fn split(mut self, chunks: &SyncSender<Chunk>, recycled: &Receiver<Chunk>) -> Result<ReadBytes> {
        loop {
            let mut chunk = recycled.try_recv().unwrap_or_default();
            let more = self.fill(&mut chunk)?;
            // A consumer that gave up has the error to report.
            if chunk.len() > 0 && chunks.send(chunk).is_err() {
                return Ok(ReadBytes { sha256: String::new(), bytes: 0, blank_lines: self.blank_lines });
            }
            if !more {
                let (sha256, bytes) = self.csv.into_inner().finish().map_err(|e| read_error(&self.file, &self.header, &e))?;
                return Ok(ReadBytes { sha256, bytes, blank_lines: self.blank_lines });
            }
        }
    }

    /// Fills a chunk from its start; false at the end of the file.
    fn fill(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.lines.clear();
        let mut bytes = 0;
        while bytes < CHUNK_BYTES && chunk.lines.len() < CHUNK_RECORDS {
            let slot = chunk.lines.len();
            if slot == chunk.records.len() {
                chunk.records.push(ByteRecord::new());
            }
            match self.next_record(&mut chunk.records[slot])? {
                Some(line) => chunk.lines.push(line),
                None => return Ok(false),
            }
            bytes += chunk.records[slot].as_slice().len();
        }
        Ok(true)
    }

    /// Reads the next record that is not a blank line; its first line, or `None` at the end.
    fn next_record(&mut self, record: &mut ByteRecord) -> Result<Option<u64>> {
        loop {
            let more = self.csv.read_byte_record(record).map_err(|e| csv_error(&self.file, &self.header, e))?;
            if !more {
                self.note_blank_lines(self.csv.position().line());
                return Ok(None);
            }
            if record.len() == 1 && matches!(record.as_slice(), b"" | b"\r") {
                continue;
            }
            let (after, checked) = (self.csv.position(), self.csv.get_ref());
            let ended_by_newline = after.byte() < checked.bytes || checked.last_byte == Some(b'\n');
            let inside = if record.as_slice().contains(&b'\n') { count_bytes(record.as_slice(), b'\n') } else { 0 };
            let line = after.line() - u64::from(ended_by_newline) - inside;
            let next_line = after.line();
            self.note_blank_lines(line);
            self.next_line = next_line;
            return Ok(Some(line));
        }
    }

    /// Counts the lines that were skipped before `line`.
    fn note_blank_lines(&mut self, line: u64) {
        if line > self.next_line {
            self.blank_lines.note(self.next_line, line - self.next_line);
            self.next_line = line;
        }
    }

    fn check_header(&self) -> Result<()> {
        let [only] = self.header.as_slice() else { return Ok(()) };
        let refuse =
            |reason: &str, remedy: &str| Err(SourceError::new(&self.file, reason).at_line(1).with_text(only).with_remedy(remedy).into());
        if only.contains('\r') {
            return refuse("lines end with a carriage return alone", "convert the line ends to LF or CRLF");
        }
        if only.contains([';', '\t', '|']) {
            return refuse(
                "the header holds one column only; columns are separated by commas",
                "convert the file to comma-separated values",
            );
        }
        Ok(())
    }
}

fn header_names(record: &ByteRecord) -> Vec<String> {
    let last = record.len().saturating_sub(1);
    let name = |(i, field): (usize, &[u8])| {
        let field = if i == last { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
        String::from_utf8_lossy(field).into_owned()
    };
    record.iter().enumerate().map(name).collect()
}

/// The bytes of a file on their way to the record splitter: hashed, and refused where they are not UTF-8 text.
pub(super) struct CheckedReader {
    file: File,
    /// Whether the bytes that are read are kept: until the header is known.
    keep: Cell<bool>,
    kept: Vec<u8>,
    hasher: Sha256,
    utf8: Utf8Check,
    quotes: QuoteCheck,
    bad_quote: Option<BadQuote>,
    bytes: u64,
    last_byte: Option<u8>,
    bytes_without_newline: u64,
}

/// Why the bytes are no text.
#[derive(Debug, thiserror::Error)]
enum NotText {
    #[error("not UTF-8 text: invalid byte at offset {0}")]
    Encoding(u64),
    #[error("not a text file: a NUL byte at offset {0}")]
    Nul(u64),
    #[error("a gzip file, not CSV text")]
    Gzip,
    #[error("a line is longer than 256 MiB, near byte offset {0}")]
    LineTooLong(u64),
    #[error(transparent)]
    Quote(#[from] BadQuote),
}

impl CheckedReader {
    fn new(file: File) -> Self {
        Self {
            file,
            keep: Cell::new(true),
            kept: vec![],
            hasher: Sha256::new(),
            utf8: Utf8Check::default(),
            quotes: QuoteCheck::default(),
            bad_quote: None,
            bytes: 0,
            last_byte: None,
            bytes_without_newline: 0,
        }
    }

    fn check(&mut self, bytes: &[u8]) -> std::result::Result<(), NotText> {
        if self.bytes == 0 && bytes.starts_with(GZIP_MAGIC) {
            return Err(NotText::Gzip);
        }
        if bytes.contains(&0) {
            let nul = bytes.iter().position(|&b| b == 0).unwrap_or_default();
            return Err(NotText::Nul(self.bytes + nul as u64));
        }
        self.bytes_without_newline = if bytes.contains(&b'\n') { 0 } else { self.bytes_without_newline + bytes.len() as u64 };
        if self.bytes_without_newline > LONGEST_LINE_BYTES {
            return Err(NotText::LineTooLong(self.bytes));
        }
        self.utf8.push(bytes).map_err(NotText::Encoding)?;
        // The records before a bad quote are still to be split: the header among them names the column.
        if let Some(bad) = self.bad_quote.take() {
            return Err(bad.into());
        }
        self.bad_quote = self.quotes.push(bytes).err();
        if bytes.is_empty() { Ok(self.quotes.finish()?) } else { Ok(()) }
    }

    /// SHA-256 and length of all bytes.
    pub(super) fn finish(self) -> io::Result<(String, u64)> {
        self.utf8.finish().map_err(|offset| io::Error::new(io::ErrorKind::InvalidData, NotText::Encoding(offset)))?;
        Ok((hexadecimal(&self.hasher.finalize()), self.bytes))
    }
}

impl Read for CheckedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        let bytes = &buffer[..n];
        self.check(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        self.hasher.update(bytes);
        self.bytes += n as u64;
        self.last_byte = bytes.last().copied().or(self.last_byte);
        if self.keep.get() {
            self.kept.extend_from_slice(bytes);
        }
        Ok(n)
    }
}

/// Checks UTF-8 piece by piece; a character may be cut by the end of a piece.
#[derive(Default)]
struct Utf8Check {
    /// Bytes known to be good.
    good: u64,
    /// Start of a character whose rest is still to come (at most three bytes).
    open: Vec<u8>,
}

impl Utf8Check {
    /// Takes the next piece; the error is the offset of the first byte that is wrong.
    fn push(&mut self, mut bytes: &[u8]) -> std::result::Result<(), u64> {
        while !self.open.is_empty() {
            let Some((&first, rest)) = bytes.split_first() else { return Ok(()) };
            self.open.push(first);
            bytes = rest;
            match std::str::from_utf8(&self.open) {
                Ok(character) => {
                    self.good += character.len() as u64;
                    self.open.clear();
                }
                Err(e) if e.error_len().is_some() => return Err(self.good),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => self.good += bytes.len() as u64,
            Err(e) => {
                self.good += e.valid_up_to() as u64;
                if e.error_len().is_some() {
                    return Err(self.good);
                }
                self.open.extend_from_slice(&bytes[e.valid_up_to()..]);
            }
        }
        Ok(())
    }

    fn finish(&self) -> std::result::Result<(), u64> {
        if self.open.is_empty() { Ok(()) } else { Err(self.good) }
    }
}

fn csv_error(file: &str, header: &[String], error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => read_error(file, header, &error),
        other => SourceError::new(file, format!("not readable as CSV: {other:?}")).into(),
    }
}

pub(super) fn read_error(file: &str, header: &[String], error: &io::Error) -> Error {
    match error.get_ref().and_then(|e| e.downcast_ref::<NotText>()) {
        Some(NotText::Quote(bad)) => quote_error(file, header, bad),
        Some(NotText::Gzip) => {
            let remedy = format!("unpack it first: gunzip --keep '{file}'");
            SourceError::new(file, NotText::Gzip.to_string()).with_remedy(remedy).into()
        }
        Some(not_text) => {
            SourceError::new(file, not_text.to_string()).with_remedy("only UTF-8 text is read: convert the file first").into()
        }
        None => Error::storage(format!("reading {file}"), io::Error::new(error.kind(), error.to_string())),
    }
}

fn quote_error(file: &str, header: &[String], bad: &BadQuote) -> Error {
    let column = header.get(bad.field).cloned().unwrap_or_else(|| format!("{} of the line", bad.field + 1));
    let remedy = "close the quote or remove it; a quote inside a quoted cell is written twice";
    SourceError::new(file, bad.fault.reason()).at_line(bad.line).in_column(column).with_remedy(remedy).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    /// Line and fields of a record.
    type Row = (u64, Vec<String>);

    /// Header, records and identity of a file.
    fn read(content: &[u8]) -> Result<(Vec<String>, Vec<Row>, ReadBytes)> {
        let file = file(content);
        let reader = RecordReader::open(file.path())?;
        let header = reader.header().to_vec();
        let mut rows = vec![];
        let bytes = reader.for_each_chunk(|chunk| {
            for r in 0..chunk.len() {
                let fields = (0..chunk.width(r)).map(|c| String::from_utf8_lossy(chunk.field(r, c)).into_owned()).collect();
                rows.push((chunk.line(r), fields));
            }
            Ok(())
        })?;
        Ok((header, rows, bytes))
    }

    #[test]
    fn line_ends_and_the_last_newline_do_not_matter() {
        for text in [
            "a,b\n1,2\n3,4\n",
            "a,b\n1,2\n3,4",
            "a,b\r\n1,2\r\n3,4\r\n",
            "a,b\r\n1,2\r\n3,4",
            "\u{feff}a,b\n1,2\n3,4\n",
            "a,b\r\n1,2\n3,4\r\n\r\n",
        ] {
            let (header, rows, read) = read(text.as_bytes()).unwrap();
            assert_eq!(header, ["a", "b"], "{text:?}");
            assert_eq!(rows, [(2, vec!["1".into(), "2".into()]), (3, vec!["3".into(), "4".into()])], "{text:?}");
            assert_eq!(read.bytes, text.len() as u64);
        }
    }

    #[test]
    fn blank_lines_are_counted() {
        for (text, count, first_line) in
            [("a,b\n1,2\n", 0, 0), ("\n\na,b\n\n1,2\n\r\n3,4\n\n", 5, 1), ("a,b\r\n1,\"x\r\n\r\ny\"\r\n\r\n3,4", 1, 5)]
        {
            assert_eq!(read(text.as_bytes()).unwrap().2.blank_lines, Occurrences { count, first_line }, "{text:?}");
        }
    }

    #[test]
    fn an_unclosed_quote_names_line_and_column() {
        for (text, says) in [
            ("a,b\n1,2\n3,\"4\n", ["line 3", "'b'", "never closed", "written twice"]),
            ("a,b\n1,\"2\n3,4\n5,6", ["line 2", "'b'", "never closed", "written twice"]),
            ("a,\"b\n1,2\n", ["line 1", "'2 of the line'", "never closed", "written twice"]),
            ("a,b\n\"1\"2,3\n", ["line 2", "'a'", "text follows", "written twice"]),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(matches!(&error, Error::Source(_)) && says.iter().all(|s| error.to_string().contains(s)), "{error}");
        }
    }

    #[test]
    fn lines_are_counted_over_blank_lines_and_quoted_newlines() {
        for newline in ["\n", "\r\n"] {
            let text = "a,b\n\n1,\"x\ny\"\n\n\n3,\"q\"\"q\"\n5,6".replace('\n', newline);
            let (_, rows, _) = read(text.as_bytes()).unwrap();
            assert_eq!(rows.iter().map(|r| r.0).collect::<Vec<_>>(), [3, 7, 8], "{text:?}");
            assert_eq!(rows[0].1[1], format!("x{newline}y"));
            assert_eq!(rows[1].1[1], "q\"q");
        }
    }

    #[test]
    fn other_encodings_are_refused_with_the_byte_offset() {
        for (content, place) in [
            (b"Date,S\xe9\n2024-01-01,1\n".as_slice(), "offset 6"),
            (b"a,b\n1,\xc3".as_slice(), "offset 6"),
            (b"\xff\xfea\0,\0".as_slice(), "offset"),
            (b"a,b\n1,\0\n".as_slice(), "NUL byte at offset 6"),
        ] {
            let error = read(content).unwrap_err();
            assert!(matches!(&error, Error::Source(_)) && error.to_string().contains(place), "{error}");
        }
    }

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "aä€𝄞b".repeat(3);
        for cut in 1..text.len() {
            let mut check = Utf8Check::default();
            for piece in text.as_bytes().chunks(cut) {
                check.push(piece).unwrap();
            }
            check.finish().unwrap();
            assert_eq!(check.good, text.len() as u64);
        }
        let mut check = Utf8Check::default();
        check.push(b"ab\xe2\x82").unwrap();
        assert_eq!(check.push(b"x"), Err(2));
    }

    #[test]
    fn many_records_arrive_in_order() {
        let mut text = "a,b\n".to_owned();
        (0..50_000).for_each(|i| text.push_str(&format!("{i},{}\n", i * 2)));
        let (_, rows, bytes) = read(text.as_bytes()).unwrap();
        assert!(rows.iter().enumerate().all(|(i, (line, f))| *line == i as u64 + 2 && f[0] == i.to_string()));
        assert_eq!(bytes.sha256, crate::ingest::file_sha256(file(text.as_bytes()).path()).unwrap());
    }

    #[test]
    fn an_error_of_the_consumer_ends_the_reading() {
        let mut text = "a,b\n".to_owned();
        (0..50_000).for_each(|i| text.push_str(&format!("{i},2\n")));
        let file = file(text.as_bytes());
        let error = RecordReader::open(file.path()).unwrap().for_each_chunk(|_| Err(Error::Cancelled)).unwrap_err();
        assert!(matches!(error, Error::Cancelled));
    }

    #[test]
    fn an_empty_file_and_other_separators_are_refused() {
        for (content, says) in [("", "empty"), ("\n\n", "empty"), ("Date;S1\n1;2\n", "commas"), ("Date,S1\r2024-01-01,1\r", "")] {
            match read(content.as_bytes()) {
                Err(error) => assert!(matches!(error, Error::Source(_)) && error.to_string().contains(says), "{error}"),
                Ok((_, rows, _)) => assert!(rows.is_empty(), "{content:?}"),
            }
        }
    }
}
