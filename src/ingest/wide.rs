//! Files with a column per strategy and a row per period.

use rayon::prelude::*;

use super::columns::HeaderPlan;
use super::matrix::{Matrix, MatrixBuilder, Panel};
use super::numbers::{Cell, NumberFormat};
use super::records::{Chunk, ReadBytes, RecordReader};
use super::tally::Tally;
use super::text_column::TextColumn;
use crate::error::{Result, SourceError};

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

/// Reads a wide file whose columns have been planned, keeping at most about `memory_bytes` of values in memory.
///
/// # Errors
/// Rows with more or fewer fields than the header, no rows, read errors.
pub(crate) fn read_wide(reader: RecordReader, plan: &HeaderPlan, format: NumberFormat, memory_bytes: usize) -> Result<RawTable> {
    let mut rows = WideRows::new(plan, format, memory_bytes, reader.header().len());
    let (file, file_bytes) = (reader.file().to_owned(), reader.file_bytes());
    let read = reader.for_each_chunk(|chunk| {
        rows.reserve_for(chunk, file_bytes);
        rows.take(chunk)
    })?;
    rows.finish(&file, plan, read)
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

/// The columns of one panel: where they stand in the file and what was odd about them.
struct PanelColumns {
    fields: Vec<usize>,
    tallies: Vec<Option<Box<Tally>>>,
}

struct WideRows {
    width: usize,
    format: NumberFormat,
    builder: MatrixBuilder,
    panel_columns: Vec<PanelColumns>,
    text_fields: Vec<usize>,
    texts: Vec<TextColumn>,
    lines: Vec<u64>,
    ragged: RaggedRows,
}

impl WideRows {
    fn new(plan: &HeaderPlan, format: NumberFormat, memory_bytes: usize, width: usize) -> Self {
        let fields: Vec<usize> = plan.strategies().map(|c| c.index).collect();
        let mut builder = MatrixBuilder::new(fields.len(), memory_bytes);
        let columns_of =
            |panel: &mut Panel| PanelColumns { fields: fields[panel.columns.clone()].to_vec(), tallies: vec![None; panel.columns.len()] };
        let panel_columns = builder.panels_mut().iter_mut().map(columns_of).collect();
        let text_fields: Vec<usize> = plan.texts().map(|c| c.index).collect();
        let texts = vec![TextColumn::default(); text_fields.len()];
        Self { width, format, builder, panel_columns, text_fields, texts, lines: vec![], ragged: RaggedRows::default() }
    }

    /// Makes room for as many rows as the file can have, judged by its first chunk.
    fn reserve_for(&mut self, chunk: &Chunk, file_bytes: u64) {
        if self.lines.is_empty() && chunk.len() > 0 {
            let bytes: usize = (0..chunk.len()).map(|r| chunk.bytes(r)).sum();
            let row_bytes = (bytes / chunk.len()).max(1) as u64;
            self.builder.reserve(usize::try_from(file_bytes / row_bytes + file_bytes / row_bytes / 16 + 1).unwrap_or(0));
        }
    }

    fn take(&mut self, chunk: &Chunk) -> Result<()> {
        let sound = self.ragged.sound_rows(chunk, self.width);
        let (first_row, format) = (self.lines.len(), self.format);
        self.builder.panels_mut().par_iter_mut().zip(&mut self.panel_columns).for_each(|(panel, columns)| {
            sound.iter().for_each(|&record| parse_row(chunk, record, format, columns, &mut panel.values));
        });
        for (at, &record) in sound.iter().enumerate() {
            for (text, &field) in self.texts.iter_mut().zip(&self.text_fields) {
                let id = text.encode(chunk.field(record, field), (first_row + at) as u32);
                text.push_id(id);
            }
            self.lines.push(chunk.line(record));
        }
        self.builder.spill_if_large()
    }

    fn finish(self, file: &str, plan: &HeaderPlan, read: ReadBytes) -> Result<RawTable> {
        self.ragged.check(file, self.width, self.lines.len())?;
        let strategies: Vec<String> = plan.strategies().map(|c| c.name.clone()).collect();
        let tallies = self.panel_columns.into_iter().flat_map(|p| p.tallies).zip(&strategies);
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
            read,
        })
    }
}

/// Appends the numbers of one row in one panel's columns; NaN stands for NULL.
fn parse_row(chunk: &Chunk, record: usize, format: NumberFormat, columns: &mut PanelColumns, values: &mut Vec<f64>) {
    for (&field, tally) in columns.fields.iter().zip(&mut columns.tallies) {
        let text = chunk.field(record, field);
        values.push(match format.plain_number(text) {
            Some(value) => value,
            None => read_cell(format, text, chunk.line(record), tally),
        });
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
