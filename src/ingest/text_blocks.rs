//! The lines of a CSV file after its header in blocks of whole records, so that several threads can parse them at once.
//!
//! One thread reads, hashes and checks the bytes as they come; it cuts them where a record ends, which is at a line end outside quotes.

use std::io::Read;
use std::sync::mpsc::SyncSender;

use super::quotes::{QuoteCheck, count_bytes};
use super::records::{CheckedReader, read_error};
use crate::error::Result;

/// Bytes added to a block at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Some consecutive records, each with the line feed that ends it.
#[derive(Debug, Default)]
pub(crate) struct TextBlock {
    /// Whole lines; the last one ends with a line feed, whether the file has it or not.
    pub(crate) bytes: Vec<u8>,
    /// Line (from 1) on which it starts.
    pub(crate) first_line: u64,
    /// Whether there is a quote in it.
    pub(crate) quoted: bool,
}

/// A file of which the header has been read.
pub(crate) struct TextBlocks {
    file: String,
    header: Vec<String>,
    reader: CheckedReader,
    /// Bytes that have been read and belong to the next block.
    rest: Vec<u8>,
    /// Line on which the next block starts.
    next_line: u64,
    /// Follows the quotes in what has been read, to find out where records end.
    quotes: QuoteCheck,
}

impl TextBlocks {
    /// The bytes behind the header of a file; `rest` are those that were read with it.
    pub(super) fn new(file: String, header: Vec<String>, (reader, rest): (CheckedReader, Vec<u8>), next_line: u64) -> Self {
        Self { file, header, reader, rest, next_line, quotes: QuoteCheck::within_file() }
    }

    /// Sends all blocks of about `block_bytes`, and longer where a record is; SHA-256 and length of the whole file.
    ///
    /// # Errors
    /// A read error, or text that is not UTF-8 (with its byte offset).
    pub(crate) fn send(mut self, block_bytes: usize, blocks: &SyncSender<TextBlock>) -> Result<(String, u64)> {
        // A receiver that gave up has the error to report.
        while let Some(block) = self.next_block(block_bytes)? {
            if blocks.send(block).is_err() {
                return Ok((String::new(), 0));
            }
        }
        self.reader.finish().map_err(|e| read_error(&self.file, &self.header, &e))
    }

    fn next_block(&mut self, block_bytes: usize) -> Result<Option<TextBlock>> {
        let mut bytes = Vec::with_capacity(block_bytes + PIECE_BYTES);
        bytes.append(&mut self.rest);
        let mut end = self.record_end(&bytes, 0);
        while bytes.len() < block_bytes || end.is_none() {
            let from = bytes.len();
            bytes.resize(from + PIECE_BYTES, 0);
            let read = self.reader.read(&mut bytes[from..]).map_err(|e| read_error(&self.file, &self.header, &e))?;
            bytes.truncate(from + read);
            if read == 0 {
                if bytes.last().is_some_and(|&last| last != b'\n') {
                    bytes.push(b'\n');
                }
                end = Some(bytes.len());
                break;
            }
            end = self.record_end(&bytes, from).or(end);
        }
        let end = end.unwrap_or(bytes.len());
        self.rest.extend_from_slice(&bytes[end..]);
        bytes.truncate(end);
        if bytes.is_empty() {
            return Ok(None);
        }
        let block = TextBlock { first_line: self.next_line, quoted: bytes.contains(&b'"'), bytes };
        self.next_line += count_bytes(&block.bytes, b'\n');
        Ok(Some(block))
    }

    /// Where the last record ends in `bytes`, of which those before `from` have been looked at already.
    fn record_end(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        self.quotes.last_record_end(&bytes[from..]).map(|end| from + end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::records::RecordReader;
    use super::*;

    /// Blocks of a file, of this length at least, as (line, text, quoted).
    fn blocks(text: &str, block_bytes: usize) -> Result<Vec<(u64, String, bool)>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let (sender, received) = sync_channel(text.len() + 1);
        let (sha256, bytes) = RecordReader::open(file.path())?.into_blocks().send(block_bytes, &sender)?;
        drop(sender);
        assert_eq!((sha256, bytes), (crate::ingest::file_sha256(file.path())?, text.len() as u64));
        Ok(received.iter().map(|b| (b.first_line, String::from_utf8(b.bytes).unwrap(), b.quoted)).collect())
    }

    #[test]
    fn blocks_are_whole_records_behind_the_header() {
        for text in ["a,b\n1,2\n3,4\n", "\u{feff}a,b\r\n1,2\n3,4", "\n\"a\",b\n\n1,2\n"] {
            let whole: String = blocks(text, 1).unwrap().into_iter().map(|b| b.1).collect();
            let header_end = text.find("b\n").map(|at| at + 2).or(text.find("b\r\n").map(|at| at + 3)).unwrap();
            assert_eq!(whole.trim_end(), text[header_end..].trim_end(), "{text:?}");
        }
        assert_eq!(blocks("a,b\n", 1).unwrap(), []);
    }

    #[test]
    fn a_block_never_ends_inside_a_record() {
        let mut text = "a,b\n".to_owned();
        // Cells with line feeds that lie across the ends of what is read at a time.
        (0..40_000).for_each(|i| text.push_str(&format!("{i},\"x\n{i}\"\n{i},y\n")));
        let blocks = blocks(&text, 1).unwrap();
        assert!(blocks.len() > 2 && blocks.iter().all(|b| b.2));
        let mut line = 2;
        for (first_line, text, _) in &blocks {
            assert_eq!(*first_line, line);
            assert!(text.ends_with("y\n") || text.ends_with("\"\n"));
            assert!(text.matches('"').count().is_multiple_of(2));
            line += text.matches('\n').count() as u64;
        }
        assert_eq!(blocks.iter().map(|b| b.1.as_str()).collect::<String>(), text[4..]);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_an_error_with_its_line() {
        let mut text = "a,b\n".to_owned();
        (0..100_000).for_each(|i| text.push_str(&format!("{i},y\n")));
        text.push_str("1,\"2\n3,4\n");
        let error = blocks(&text, 1 << 16).unwrap_err().to_string();
        assert!(error.contains("line 100002") && error.contains("never closed"), "{error}");
    }
}
