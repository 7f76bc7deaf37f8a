//! An input file as lines of bytes: compressed or not, whatever its form.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::InputError;

/// The longest line or record that is read, in bytes. A statement of 40 MB is known; a file without line ends must not fill the memory.
pub(super) const LONGEST: usize = 256 << 20;

/// How many bytes at the start of a file decide what it is.
const SNIFFED: usize = 64 << 10;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Records of a HeavyDB server.
    Log,
    /// SQL statements.
    Sql,
    /// A JSON object a line, with `id` and `sql`.
    JsonLines,
}

/// An opened file and what it holds.
pub(super) struct Source {
    pub(super) form: Form,
    pub(super) lines: Lines,
}

impl Source {
    /// Opens a file; gzip is told by its first bytes, SQL and JSON lines by the name, a log by a record among its first lines.
    pub(super) fn open(path: &Path) -> Result<Self, InputError> {
        let mut reader = reader(path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let form = if name.ends_with(".sql") {
            Form::Sql
        } else if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
            Form::JsonLines
        } else {
            let head = reader.fill_to(SNIFFED).map_err(|source| InputError::unreadable(path, source))?;
            if !head.split(|byte| *byte == b'\n').any(super::log::starts_record) {
                return Err(InputError::Unrecognised { file: path.to_owned() });
            }
            Form::Log
        };
        Ok(Self { form, lines: Lines::new(reader) })
    }
}

/// Opens a file for reading, unpacked, behind a byte order mark of UTF-8.
fn reader(path: &Path) -> Result<Peeked, InputError> {
    let unreadable = |source| InputError::unreadable(path, source);
    if path.is_dir() {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::IsADirectory,
            "this is a directory: name the files, e.g. log/heavydb.INFO.*",
        )));
    }
    let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(unreadable)?);
    let packed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let unpacked: Box<dyn Read + Send> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut reader = Peeked { head: Vec::new(), at: 0, rest: BufReader::with_capacity(1 << 16, unpacked) };
    let head = reader.fill_to(3).map_err(unreadable)?;
    match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(InputError::Encoding {
            file: path.to_owned(),
            line: 1,
            what: "the file is UTF-16; convert it to UTF-8, e.g. with `iconv -f UTF-16 -t UTF-8`".to_owned(),
        }),
        [0xef, 0xbb, 0xbf] => {
            reader.at = 3;
            Ok(reader)
        }
        _ => Ok(reader),
    }
}

/// A reader whose first bytes have been looked at.
struct Peeked {
    head: Vec<u8>,
    at: usize,
    rest: BufReader<Box<dyn Read + Send>>,
}

impl Peeked {
    /// The first bytes, `size` of them where the file has so many. A broken archive shows what it can and fails when it is read on.
    fn fill_to(&mut self, size: usize) -> io::Result<&[u8]> {
        if self.head.len() < size {
            let missing = (size - self.head.len()) as u64;
            match (&mut self.rest).take(missing).read_to_end(&mut self.head) {
                Err(error) if self.head.is_empty() => return Err(error),
                _ => {}
            }
        }
        Ok(&self.head[self.at..])
    }
}

impl Read for Peeked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let read = available.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Peeked {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.head.len() { Ok(&self.head[self.at..]) } else { self.rest.fill_buf() }
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.head.len() {
            self.at += amount;
            if self.at >= self.head.len() {
                (self.head, self.at) = (Vec::new(), 0);
            }
        } else {
            self.rest.consume(amount);
        }
    }
}

/// One line: its number from 1, its bytes with the line end.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    /// The line is longer than [`LONGEST`]; `bytes` is its start, the rest was passed over.
    pub(super) cut: bool,
}

/// The lines of a file; lines can be put back.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    again: VecDeque<Line>,
    number: u64,
}

impl Lines {
    pub(super) fn new(reader: impl BufRead + Send + 'static) -> Self {
        Self { reader: Box::new(reader), again: VecDeque::new(), number: 0 }
    }

    /// The number of the line read last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.again.pop_front() {
            self.number = line.number;
            return Ok(Some(line));
        }
        let mut bytes = Vec::new();
        if (&mut self.reader).take(LONGEST as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        let cut = bytes.len() == LONGEST && bytes.last() != Some(&b'\n');
        if cut {
            self.skip_line()?;
        }
        self.number += 1;
        Ok(Some(Line { number: self.number, bytes, cut }))
    }

    /// Passes over what remains of a line.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let amount = end.map_or(available.len(), |end| end + 1);
            self.reader.consume(amount);
            if end.is_some() {
                return Ok(());
            }
        }
    }

    /// Puts lines back in front of the rest, in their order.
    pub(super) fn put_back(&mut self, lines: Vec<Line>) {
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }
}
