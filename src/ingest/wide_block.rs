//! One block of a wide file: its records as columns of numbers, parsed by one thread without regard to other blocks.
//!
//! Values are collected in strips of a few rows, which are turned into columns while they are in cache.

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::columns::HeaderPlan;
use super::numbers::{NumberFormat, leading_number};
use super::quotes::count_bytes;
use super::tally::{Occurrences, Tally};
use super::text_blocks::TextBlock;
use super::wide::read_cell;

/// Rows of a strip: a column's values of a strip fill a cache line.
const STRIP_ROWS: usize = 8;

/// What a column of the file is to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Number,
    Text,
    LeftOut,
}

/// How the records of a wide file are parsed.
#[derive(Debug)]
pub(crate) struct WideColumns {
    columns: Vec<Column>,
    numbers: usize,
    texts: usize,
    format: NumberFormat,
}

impl WideColumns {
    /// The columns of a plan for a header of this width.
    pub(crate) fn new(plan: &HeaderPlan, format: NumberFormat, width: usize) -> Self {
        let mut columns = vec![Column::LeftOut; width];
        plan.strategies().for_each(|column| columns[column.index] = Column::Number);
        plan.texts().for_each(|column| columns[column.index] = Column::Text);
        let count = |kind| columns.iter().filter(|&&column| column == kind).count();
        Self { numbers: count(Column::Number), texts: count(Column::Text), columns, format }
    }

    /// Parses a block.
    pub(crate) fn parse(&self, block: &TextBlock) -> WideBlock {
        let mut rows = BlockRows::new(self, count_bytes(&block.bytes, b'\n') as usize);
        if block.quoted {
            rows.take_quoted(block)
        } else {
            rows.take_plain(block)
        }
        rows.finish()
    }
}

/// The records of a block that have the header's width, and what was odd in it.
#[derive(Debug, Default)]
pub(crate) struct WideBlock {
    /// Number of rows.
    pub(crate) rows: usize,
    /// Value of number column `c`, row `r` at `values[c * rows + r]`; NaN stands for NULL.
    pub(crate) values: Vec<f64>,
    /// Text columns, row by row.
    pub(crate) texts: Texts,
    /// Line of each row.
    pub(crate) lines: Vec<u64>,
    /// Number columns (by position) with cells that are no plain numbers.
    pub(crate) tallies: Vec<(u32, Tally)>,
    /// Records of another width.
    pub(crate) ragged: RaggedRecords,
    /// Lines without anything on them.
    pub(crate) blank_lines: Occurrences,
}

/// Records of another width than the header.
#[derive(Debug, Default)]
pub(crate) struct RaggedRecords {
    /// Their number.
    pub(crate) count: u64,
    /// Line and number of fields of the first one.
    pub(crate) first: Option<(u64, usize)>,
}

/// Texts one after another.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn truncate(&mut self, texts: usize) {
        self.ends.truncate(texts);
        self.bytes.truncate(self.ends.last().copied().unwrap_or_default());
    }

    /// All texts in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// The rows of a block so far.
struct BlockRows<'a> {
    plan: &'a WideColumns,
    /// Rows that the block has at most.
    height: usize,
    /// Whole strips, column by column, `height` apart.
    columns: Vec<f64>,
    /// Rows of `columns`.
    rows: usize,
    /// Values of the rows after those, row by row.
    strip: Vec<f64>,
    tallies: Vec<Option<Box<Tally>>>,
    block: WideBlock,
}

impl<'a> BlockRows<'a> {
    fn new(plan: &'a WideColumns, height: usize) -> Self {
        Self {
            plan,
            height,
            columns: vec![0.0; plan.numbers * height],
            rows: 0,
            strip: Vec::with_capacity(plan.numbers * STRIP_ROWS),
            tallies: vec![None; plan.numbers],
            block: WideBlock::default(),
        }
    }

    /// Takes the records of a block without quotes: a line each.
    fn take_plain(&mut self, block: &TextBlock) {
        let (mut at, mut line) = (0, block.first_line);
        while at < block.bytes.len() {
            let rest = &block.bytes[at..];
            if rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
                self.block.blank_lines.note(line, 1);
                at += 1 + usize::from(rest[0] == b'\r');
            } else {
                at += self.take_line(rest, line);
            }
            line += 1;
        }
    }

    /// Parses the line at the start of `text`; its length.
    fn take_line(&mut self, text: &[u8], line: u64) -> usize {
        let plain = self.plan.format.is_plain();
        let (mut at, mut number) = (0, 0);
        let columns = &self.plan.columns;
        for (index, column) in columns.iter().enumerate() {
            let start = at;
            match column {
                Column::Number => {
                    let read = if plain { leading_number(&text[start..]) } else { None };
                    let value = match read {
                        Some((value, length)) if matches!(text.get(start + length), Some(b',' | b'\n')) => {
                            at += length;
                            value
                        }
                        _ => {
                            at = field_end(text, start);
                            read_cell(self.plan.format, cell(text, start, at), line, &mut self.tallies[number])
                        }
                    };
                    self.strip.push(value);
                    number += 1;
                }
                Column::Text => {
                    at = field_end(text, start);
                    self.block.texts.push(cell(text, start, at));
                }
                Column::LeftOut => at = field_end(text, start),
            }
            let ends = text.get(at) != Some(&b',');
            if ends != (index + 1 == columns.len()) {
                return self.drop_ragged(text, line);
            }
            at += 1;
        }
        self.end_row(line);
        at
    }

    /// Takes back what a line of another width has left; its length.
    fn drop_ragged(&mut self, text: &[u8], line: u64) -> usize {
        let length = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |at| at + 1);
        self.note_ragged(line, count_bytes(&text[..length], b',') as usize + 1);
        length
    }

    fn note_ragged(&mut self, line: u64, fields: usize) {
        self.block.ragged.count += 1;
        self.block.ragged.first.get_or_insert((line, fields));
        let whole = self.block.lines.len();
        self.strip.truncate((whole - self.rows) * self.plan.numbers);
        self.block.texts.truncate(whole * self.plan.texts);
    }

    fn end_row(&mut self, line: u64) {
        self.block.lines.push(line);
        if self.block.lines.len() - self.rows == STRIP_ROWS {
            self.turn_strip();
        }
    }

    /// Takes the records of a block with quotes by the `csv` crate.
    fn take_quoted(&mut self, block: &TextBlock) {
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).terminator(Terminator::Any(b'\n')).from_reader(block.bytes.as_slice());
        let (mut record, mut next_line) = (ByteRecord::new(), 1);
        // A slice is read without errors, and a flexible reader of bytes has none of its own.
        while matches!(reader.read_byte_record(&mut record), Ok(true)) {
            if record.len() == 1 && matches!(record.as_slice(), b"" | b"\r") {
                continue;
            }
            // Every record ends with a line feed here; those inside it are in its cells.
            let after = reader.position().line();
            let line = after - 1 - count_bytes(record.as_slice(), b'\n');
            self.note_blank(block, next_line, line);
            next_line = after;
            self.take_record(&record, block.first_line + line - 1);
        }
        self.note_blank(block, next_line, reader.position().line());
    }

    /// Counts the lines of the block from `next_line` to before `line`.
    fn note_blank(&mut self, block: &TextBlock, next_line: u64, line: u64) {
        if line > next_line {
            self.block.blank_lines.note(block.first_line + next_line - 1, line - next_line);
        }
    }

    fn take_record(&mut self, record: &ByteRecord, line: u64) {
        if record.len() != self.plan.columns.len() {
            return self.note_ragged(line, record.len());
        }
        let mut number = 0;
        for (index, (column, field)) in self.plan.columns.iter().zip(record).enumerate() {
            let field = if index + 1 == record.len() { field.strip_suffix(b"\r").unwrap_or(field) } else { field };
            match column {
                Column::Number => {
                    let value = self.plan.format.plain_number(field);
                    self.strip.push(value.unwrap_or_else(|| read_cell(self.plan.format, field, line, &mut self.tallies[number])));
                    number += 1;
                }
                Column::Text => self.block.texts.push(field),
                Column::LeftOut => {}
            }
        }
        self.end_row(line);
    }

    /// Turns the rows of the strip into parts of columns.
    fn turn_strip(&mut self) {
        let (width, first) = (self.plan.numbers, self.rows);
        let rows = self.block.lines.len() - first;
        if self.height > 0 {
            for (column, values) in self.columns.chunks_exact_mut(self.height).enumerate() {
                let values = &mut values[first..first + rows];
                values.iter_mut().enumerate().for_each(|(row, value)| *value = self.strip[row * width + column]);
            }
        }
        self.rows += rows;
        self.strip.clear();
    }

    fn finish(mut self) -> WideBlock {
        self.turn_strip();
        let (rows, height) = (self.rows, self.height);
        // Blank lines and ragged records leave room at the end of every column.
        if rows < height {
            (0..self.plan.numbers).for_each(|column| self.columns.copy_within(column * height..column * height + rows, column * rows));
            self.columns.truncate(rows * self.plan.numbers);
        }
        let tallies = (0..).zip(self.tallies).filter_map(|(column, tally)| Some((column, *tally?)));
        WideBlock { rows, values: self.columns, tallies: tallies.collect(), ..self.block }
    }
}

/// Where the field that starts at `start` ends: at a comma or at the line feed.
fn field_end(text: &[u8], start: usize) -> usize {
    text[start..].iter().position(|byte| matches!(byte, b',' | b'\n')).map_or(text.len(), |length| start + length)
}

/// A field without the carriage return that ends a line in some files.
fn cell(text: &[u8], start: usize, end: usize) -> &[u8] {
    let field = &text[start..end];
    if text.get(end) == Some(&b',') { field } else { field.strip_suffix(b"\r").unwrap_or(field) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::Text, Column::Number, Column::LeftOut, Column::Number, Column::Text];

    fn parse(text: &str, quoted: bool) -> WideBlock {
        let columns = WideColumns { columns: COLUMNS.to_vec(), numbers: 2, texts: 2, format: NumberFormat::default() };
        columns.parse(&TextBlock { bytes: text.as_bytes().to_vec(), first_line: 10, quoted })
    }

    /// Everything that a block says, comparable.
    fn facts(block: &WideBlock) -> String {
        let bits: Vec<u64> = block.values.iter().map(|v| v.to_bits()).collect();
        let texts: Vec<_> = block.texts.iter().map(String::from_utf8_lossy).collect();
        let (ragged, blank) = (&block.ragged, block.blank_lines);
        format!("{} {bits:?} {texts:?} {:?} {:?} {ragged:?} {blank:?}", block.rows, block.lines, block.tallies)
    }

    #[test]
    fn both_ways_of_reading_say_the_same() {
        let many: String = (0..30).map(|i| format!("d{i},{i}.25,x,-{i},e\r\n")).collect();
        for text in [
            "a,1,x,2,b\n",
            "a,1.5,x,-2,b\r\n\r\n\nc,,,NaN,d\n",
            "a,1,x,2\na,1,x,2,b,\nc,3,y,4,d\n\n",
            "a, 1,x,1e3,\n,abc,,12345678901234567890,\n",
            "\r\n",
            "one field\n",
            &many,
        ] {
            assert_eq!(facts(&parse(text, false)), facts(&parse(text, true)), "{text:?}");
        }
        assert_eq!(parse(&many, false).values[..3], [0.25, 1.25, 2.25]);
        assert_eq!(parse(&many, false).rows, 30);
    }

    #[test]
    fn blank_lines_and_ragged_records_are_noted_with_their_lines() {
        let block = parse("a,1,x,2\n\na,1,x,2,b,\nc,3,y,4,d\n\r\n", false);
        assert_eq!((block.rows, &block.lines[..]), (1, &[13][..]));
        assert_eq!((block.ragged.count, block.ragged.first), (2, Some((10, 4))));
        assert_eq!(block.blank_lines, Occurrences { count: 2, first_line: 11 });
        assert_eq!(block.values, [3.0, 4.0]);
        assert_eq!(block.texts.iter().collect::<Vec<_>>(), [b"c", b"d"]);
    }

    #[test]
    fn quoted_cells_may_hold_separators_and_lines() {
        let block = parse("\"a,\n\"\"b\",\"1\",x,2,e\n\n\"\",5,,6,\"f\"\r\n", true);
        assert_eq!((&block.lines[..], &block.values[..]), (&[10, 13][..], &[1.0, 5.0, 2.0, 6.0][..]));
        assert_eq!(block.texts.iter().collect::<Vec<_>>(), [b"a,\n\"b".as_slice(), b"e", b"", b"f"]);
        assert_eq!(block.blank_lines, Occurrences { count: 1, first_line: 12 });
    }
}
