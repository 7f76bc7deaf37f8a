//! Whether the quotes of a CSV file pair up, byte by byte as the file is read: a quote that is never closed would swallow the rest of
//! the file, and text after a closing quote would be joined to the cell.

/// A quoted cell longer than this has lost its closing quote; the limit also bounds the memory that its record takes.
const LONGEST_QUOTED_BYTES: u64 = 16 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a quoted cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuoteFault {
    /// No quote closes it before the end of the file.
    Unclosed,
    /// It is longer than any cell.
    TooLong,
    /// Something follows the quote that closes it.
    TextAfter,
}

impl QuoteFault {
    /// What is wrong, as a sentence without full stop.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            QuoteFault::Unclosed => "the quote that opens this cell is never closed",
            QuoteFault::TooLong => "the quote that opens this cell is not closed within 16 MiB",
            QuoteFault::TextAfter => "text follows the quote that closes this cell",
        }
    }
}

/// A quoted cell that is wrong, and where it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {}: {}", .field + 1, .fault.reason())]
pub(crate) struct BadQuote {
    /// What is wrong with it.
    pub(crate) fault: QuoteFault,
    /// Line (from 1) on which the cell opens.
    pub(crate) line: u64,
    /// Position of the cell in its record, from 0.
    pub(crate) field: usize,
}

/// Where in a record the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted cell: it closes the cell or, before another, stands for itself.
    QuoteInside,
    /// After the carriage return behind a closing quote.
    ReturnAfterQuote,
}

/// Follows the quotes through a file that comes in pieces.
#[derive(Debug)]
pub(crate) struct QuoteCheck {
    place: Place,
    line: u64,
    field: usize,
    opened: (u64, usize),
    quoted_bytes: u64,
    at_start: bool,
}

impl Default for QuoteCheck {
    fn default() -> Self {
        Self { place: Place::CellStart, line: 1, field: 0, opened: (1, 0), quoted_bytes: 0, at_start: true }
    }
}

impl QuoteCheck {
    /// Takes the next piece.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), BadQuote> {
        if std::mem::take(&mut self.at_start) {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        let outside = matches!(self.place, Place::CellStart | Place::Plain);
        if outside && !bytes.contains(&b'"') {
            self.skip(bytes);
            return Ok(());
        }
        bytes.iter().try_for_each(|&byte| self.step(byte))
    }

    /// A check that starts behind a record, not at the start of a file.
    pub(crate) fn within_file() -> Self {
        Self { at_start: false, ..Self::default() }
    }

    /// Takes the next piece, known to be good, and tells where the last record ends in it.
    pub(crate) fn last_record_end(&mut self, piece: &[u8]) -> Option<usize> {
        let outside = matches!(self.place, Place::CellStart | Place::Plain);
        if outside && !piece.contains(&b'"') {
            self.place = if matches!(piece.last(), Some(b',' | b'\n')) { Place::CellStart } else { Place::Plain };
            return piece.iter().rposition(|&b| b == b'\n').map(|at| at + 1);
        }
        let mut end = None;
        for (at, &byte) in piece.iter().enumerate() {
            // What is wrong with a quote has been reported by the check that comes before.
            if self.step(byte).is_err() {
                return end;
            }
            if byte == b'\n' && self.place == Place::CellStart {
                end = Some(at + 1);
            }
        }
        end
    }

    /// The end of the file.
    pub(crate) fn finish(&self) -> Result<(), BadQuote> {
        if self.place == Place::Quoted { Err(self.bad(QuoteFault::Unclosed)) } else { Ok(()) }
    }

    /// Passes over a piece without quotes.
    fn skip(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        let commas = |bytes: &[u8]| count_bytes(bytes, b',') as usize;
        match bytes.iter().rposition(|&b| b == b'\n') {
            Some(newline) => {
                self.line += count_bytes(bytes, b'\n');
                self.field = commas(&bytes[newline..]);
            }
            None => self.field += commas(bytes),
        }
        self.place = if matches!(last, b',' | b'\n') { Place::CellStart } else { Place::Plain };
    }

    fn step(&mut self, byte: u8) -> Result<(), BadQuote> {
        self.line += u64::from(byte == b'\n');
        self.place = match (self.place, byte) {
            (Place::CellStart, b'"') => {
                (self.opened, self.quoted_bytes) = ((self.line, self.field), 0);
                Place::Quoted
            }
            (Place::Quoted, b'"') => Place::QuoteInside,
            (Place::Quoted, _) | (Place::QuoteInside, b'"') => {
                self.quoted_bytes += 1;
                if self.quoted_bytes > LONGEST_QUOTED_BYTES {
                    return Err(self.bad(QuoteFault::TooLong));
                }
                Place::Quoted
            }
            (_, b',') if self.place != Place::ReturnAfterQuote => {
                self.field += 1;
                Place::CellStart
            }
            (_, b'\n') => {
                self.field = 0;
                Place::CellStart
            }
            (Place::QuoteInside, b'\r') => Place::ReturnAfterQuote,
            (Place::QuoteInside | Place::ReturnAfterQuote, _) => return Err(self.bad(QuoteFault::TextAfter)),
            (Place::CellStart | Place::Plain, _) => Place::Plain,
        };
        Ok(())
    }

    fn bad(&self, fault: QuoteFault) -> BadQuote {
        BadQuote { fault, line: self.opened.0, field: self.opened.1 }
    }
}

/// How often a byte occurs; sums of bytes go through vector registers.
pub(crate) fn count_bytes(bytes: &[u8], wanted: u8) -> u64 {
    bytes.chunks(usize::from(u8::MAX)).map(|piece| u64::from(piece.iter().map(|&byte| u8::from(byte == wanted)).sum::<u8>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a text in pieces of every length, which must not matter.
    fn check(text: &str) -> Result<(), BadQuote> {
        let outcomes = (1..=text.len().max(4)).map(|length| {
            let mut check = QuoteCheck::default();
            // The mark of the byte order comes in one piece: files are read in large ones.
            let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
            check.push(&text.as_bytes()[..start])?;
            text.as_bytes()[start..].chunks(length).try_for_each(|piece| check.push(piece))?;
            check.finish()
        });
        let outcomes: Vec<_> = outcomes.collect();
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{text:?}: {outcomes:?}");
        outcomes[0]
    }

    #[test]
    fn quotes_that_pair_up_are_fine() {
        for text in [
            "",
            "a,b\n1,2\n",
            "\"a\",\"b\"\r\n\"1\",\"2\"\r\n",
            "\u{feff}\"a\",b\n1,\"x\ny\"\n\"q\"\"q\",\"\"",
            "a,b\n5\" pipe,it\"s\"\n",
            "\"\"\"\"\n",
            "a\n\"1\"\r",
        ] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn a_cell_whose_quotes_do_not_pair_up_is_named() {
        for (text, fault, line, field) in [
            ("a,b\n1,\"2\n", QuoteFault::Unclosed, 2, 1),
            ("a,\"b\n1,2\n3,4\n", QuoteFault::Unclosed, 1, 1),
            ("\"a\nb\",c\n1,\"2\"\"", QuoteFault::Unclosed, 3, 1),
            ("a,b,c\n\n1,x,\"2\"3\n", QuoteFault::TextAfter, 3, 2),
            ("a,b\n\"1\"\r,2\n", QuoteFault::TextAfter, 2, 0),
        ] {
            assert_eq!(check(text), Err(BadQuote { fault, line, field }), "{text:?}");
        }
    }

    #[test]
    fn a_quoted_cell_has_a_longest_length() {
        let mut check = QuoteCheck::default();
        check.push(b"a\n\"").unwrap();
        let piece = vec![b'x'; 1 << 20];
        let bad = (0..17).find_map(|_| check.push(&piece).err()).unwrap();
        assert_eq!(bad, BadQuote { fault: QuoteFault::TooLong, line: 2, field: 0 });
    }
}
