//! Files with a column per strategy and a row per period.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel, sync_channel};

use super::columns::HeaderPlan;
use super::matrix::{Matrix, MatrixBuilder};
use super::numbers::{Cell, NumberFormat};
use super::records::{Chunk, ReadBytes, RecordReader};
use super::tally::{Occurrences, Tally};
use super::text_blocks::TextBlock;
use super::text_column::TextColumn;
use super::wide_block::{RaggedRecords, WideBlock, WideColumns};
use crate::error::{Error, Result, SourceError};

/// What was read from a file, before anything is judged but its shape.
#[derive(Debug)]
pub(crate) struct RawTable {
    /// Values: period rows in file order x strategies.
    pub(crate) matrix: Matrix,
    /// Names of the strategies in source order.
    pub(crate) strategies: Vec<String>,
    /// Numeric columns (by name) with cells that are no numbers.
    pub(crate) tallies: Vec<(String, Tally)>,
    /// Text columns of the period rows, in the order of [`HeaderPlan::texts`].
    pub(crate) texts: Vec<TextColumn>,
    /// Line on which each period row stands first.
    pub(crate) lines: Vec<u64>,
    /// Data rows of the file.
    pub(crate) source_rows: u64,
    /// Combinations of strategy and period without a row of their own.
    pub(crate) absent: u64,
    /// Strategy names replaced among the rows.
    pub(crate) renamed: u64,
    /// Strategies left out among the rows.
    pub(crate) excluded_strategies: u64,
    /// Identity of the file.
    pub(crate) read: ReadBytes,
}

/// Lines of an average file that a block holds at least: its values of a column then follow each other for some cache lines.
const BLOCK_ROWS: usize = 32;
/// A name in the header is about so many times as long as a value.
const NAME_TO_VALUE: usize = 3;
/// Bytes of text in one block.
const BLOCK_BYTES: Range<usize> = 1 << 20..8 << 20;
/// A block takes that share of the memory for values at most: text, values and columns of several are alive at a time.
const BLOCK_SHARE: usize = 32;
/// Blocks that wait for a thread.
const BLOCKS_WAITING: usize = 1;

/// Reads a wide file whose columns have been planned, keeping at most about `memory_bytes` of values in memory.
///
/// One thread reads and cuts the text into blocks, all threads parse them, and their columns are taken in file order: the result does not depend on
/// the number of threads.
///
/// # Errors
/// Rows with more or fewer fields than the header, no rows, read errors.
pub(crate) fn read_wide(reader: RecordReader, plan: &HeaderPlan, format: NumberFormat, memory_bytes: usize) -> Result<RawTable> {
    let (file, width, blank_lines) = (reader.file().to_owned(), reader.header().len(), reader.blank_lines());
    let columns = WideColumns::new(plan, format, width);
    let mut rows = WideRows::new(plan, memory_bytes, blank_lines);
    let block_bytes = block_bytes(reader.header(), memory_bytes);
    let (blocks, received) = sync_channel(BLOCKS_WAITING);
    let read = std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.into_blocks().send(block_bytes, &blocks));
        let taken = parse_in_order(received, &columns, |block| rows.take(block));
        let read = reading.join().map_err(|_| Error::Internal("the thread that reads the file panicked".into()))?;
        taken.and(read)
    })?;
    rows.finish(&file, plan, read, width)
}

/// Enough text for some rows, within bounds.
fn block_bytes(header: &[String], memory_bytes: usize) -> usize {
    let names: usize = header.iter().map(|name| name.len() + 1).sum();
    let wanted = (names / NAME_TO_VALUE * BLOCK_ROWS).clamp(BLOCK_BYTES.start, BLOCK_BYTES.end);
    wanted.min(memory_bytes / BLOCK_SHARE)
}

/// Parses blocks on all threads of the pool and hands them to `take` in the order in which they were received.
fn parse_in_order(received: Receiver<TextBlock>, columns: &WideColumns, mut take: impl FnMut(WideBlock) -> Result<()>) -> Result<()> {
    if rayon::current_thread_index().is_some() {
        // A thread of the pool must not wait for the pool.
        return received.into_iter().try_for_each(|block| take(columns.parse(&block)));
    }
    let lost = || Error::Internal("a block of the file was not parsed".into());
    // Those that are done wait for the ones before them while others keep the cores busy.
    let at_a_time = rayon::current_num_threads() * 2;
    rayon::in_place_scope(|scope| {
        let mut parsing: VecDeque<Receiver<WideBlock>> = VecDeque::new();
        let mut next = |parsing: &mut VecDeque<Receiver<WideBlock>>| match parsing.pop_front() {
            Some(parsed) => take(parsed.recv().map_err(|_| lost())?),
            None => Ok(()),
        };
        for block in received {
            if parsing.len() == at_a_time {
                next(&mut parsing)?;
            }
            let (parsed, result) = channel();
            // Nobody waits for the block any more after an error.
            scope.spawn(move |_| drop(parsed.send(columns.parse(&block))));
            parsing.push_back(result);
        }
        while !parsing.is_empty() {
            next(&mut parsing)?;
        }
        Ok(())
    })
}

/// Rows of another width than the header.
#[derive(Debug, Default)]
pub(crate) struct RaggedRows {
    count: u64,
    /// Line and number of fields of the first one.
    first: Option<(u64, usize)>,
}

impl RaggedRows {
    /// Positions in the chunk of the rows that have the header's width; the others are noted.
    pub(crate) fn sound_rows(&mut self, chunk: &Chunk, width: usize) -> Vec<usize> {
        let (sound, ragged): (Vec<_>, Vec<_>) = (0..chunk.len()).partition(|&r| chunk.width(r) == width);
        self.count += ragged.len() as u64;
        self.first = self.first.or(ragged.first().map(|&r| (chunk.line(r), chunk.width(r))));
        sound
    }

    /// Notes those of a later part of the file.
    fn append(&mut self, later: RaggedRecords) {
        self.count += later.count;
        self.first = self.first.or(later.first);
    }

    /// Refuses the file if any row was ragged, or if there was no row.
    pub(crate) fn check(&self, file: &str, width: usize, rows: usize) -> Result<()> {
        if let Some((line, fields)) = self.first {
            let error = SourceError::new(file, format!("{fields} fields, header has {width}")).at_line(line).counted(self.count);
            let remedy = "every row needs one field per column: look for a cut line, or for a text with a comma and without quotes";
            return Err(error.with_remedy(remedy).into());
        }
        if rows == 0 {
            return Err(SourceError::new(file, "the file has a header but no rows").with_remedy("at least one row is needed").into());
        }
        if u32::try_from(rows).is_err() {
            return Err(SourceError::new(file, format!("{rows} rows are more than one import can hold"))
                .with_remedy("split the file by date")
                .into());
        }
        Ok(())
    }
}

/// The rows of the blocks so far.
struct WideRows {
    builder: MatrixBuilder,
    texts: Vec<TextColumn>,
    lines: Vec<u64>,
    tallies: Vec<Option<Box<Tally>>>,
    ragged: RaggedRows,
    blank_lines: Occurrences,
}

impl WideRows {
    fn new(plan: &HeaderPlan, memory_bytes: usize, blank_lines: Occurrences) -> Self {
        let strategies = plan.strategies().count();
        Self {
            builder: MatrixBuilder::new(strategies, memory_bytes),
            texts: vec![TextColumn::default(); plan.texts().count()],
            lines: vec![],
            tallies: vec![None; strategies],
            ragged: RaggedRows::default(),
            blank_lines,
        }
    }

    /// Takes the next rows of the file.
    fn take(&mut self, block: WideBlock) -> Result<()> {
        let first_row = self.lines.len() as u32;
        self.ragged.append(block.ragged);
        self.blank_lines.append(block.blank_lines);
        for (column, tally) in block.tallies {
            self.tallies[column as usize].get_or_insert_default().append(tally);
        }
        let width = self.texts.len().max(1);
        for (at, text) in block.texts.iter().enumerate() {
            let column = &mut self.texts[at % width];
            let id = column.encode(text, first_row + (at / width) as u32);
            column.push_id(id);
        }
        self.lines.extend(block.lines);
        self.builder.append(block.rows, block.values)
    }

    fn finish(self, file: &str, plan: &HeaderPlan, (sha256, bytes): (String, u64), width: usize) -> Result<RawTable> {
        self.ragged.check(file, width, self.lines.len())?;
        let strategies: Vec<String> = plan.strategies().map(|c| c.name.clone()).collect();
        let tallies = self.tallies.into_iter().zip(&strategies);
        Ok(RawTable {
            tallies: tallies.filter_map(|(tally, name)| Some((name.clone(), *tally?))).collect(),
            matrix: self.builder.finish()?,
            strategies,
            texts: self.texts,
            source_rows: self.lines.len() as u64,
            lines: self.lines,
            absent: 0,
            renamed: 0,
            excluded_strategies: 0,
            read: ReadBytes { sha256, bytes, blank_lines: self.blank_lines },
        })
    }
}

/// Reads a cell that is no plain number and notes in which way it is none.
pub(crate) fn read_cell(format: NumberFormat, text: &[u8], line: u64, tally: &mut Option<Box<Tally>>) -> f64 {
    let cell = format.parse(text);
    if cell == Cell::Bad || format.coercion(cell, text).is_some() {
        tally.get_or_insert_default().note(format, cell, line, text, 1);
    }
    match cell {
        Cell::Number(value) => value,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use crate::ingest::{CsvSource, ImportOptions, read_csv};

    /// A file of some blocks with cells of every kind, and its values and report.
    fn read(quoted: bool, memory_bytes: usize) -> String {
        let mut text = "Date,Day,a,b,c,d\n".to_owned();
        let days = chrono::NaiveDate::from_ymd_opt(1900, 1, 1).unwrap().iter_days();
        for (i, day) in days.take(30_000).enumerate() {
            let last = ["1e3", "", "NaN", " 5", "-inf", "7"][i * 7 % 6];
            let weekday = if quoted && i % 9_000 == 5_000 { day.format("\"%A\"") } else { day.format("%A") };
            let end = ["\n", "\r\n", "\n\n"][i * 11 % 3];
            write!(text, "{day},{weekday},{}.25,-{i},{},{last}{end}", i % 977, i as f64 / 8.0).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let CsvSource { source, mut report } = read_csv(file.path(), &ImportOptions::default(), memory_bytes).unwrap();
        let mut values = vec![0.0; 4 * 30_000];
        source.read_block(&[2, 0, 3, 1], 0..30_000, &mut values).unwrap();
        let bits = values.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).fold(0u64, |h, b| h.rotate_left(5).wrapping_mul(31) ^ b);
        assert_eq!(values[..2], [0.0, 0.125]);
        (report.import_id, report.source, report.sha256, report.started_at, report.finished_at) = Default::default();
        format!("{bits} {}", serde_json::to_string(&report).unwrap())
    }

    #[test]
    fn neither_blocks_nor_threads_nor_quotes_change_what_is_read() {
        let whole = read(false, usize::MAX);
        assert!(whole.contains("\"source_rows\":30000"), "{whole}");
        // Less memory makes smaller blocks, and values on disk.
        assert_eq!(read(false, 100_000), whole);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(pool.install(|| read(false, usize::MAX)), whole);
        let quoted = read(true, usize::MAX);
        assert_eq!(read(true, 100_000), quoted);
        assert_eq!(quoted.split(' ').next(), whole.split(' ').next());
    }
}
