//! The values of one source file, rows (as in the file) by columns (strategies), in memory or on disk.
//!
//! Rows arrive in file order and go into *panels*, groups of neighbouring columns that threads fill independently, each row-major. When the
//! panels outgrow the budget they are turned into a *block* of a scratch file, column by column: `[column][row of the block]`. Reading takes
//! any columns and any rows from both forms.

use std::ops::Range;

use super::scratch::ScratchFile;
use crate::error::{Error, Result};

/// Columns of one panel at most: a row of a panel then fits the first-level cache.
const PANEL_COLUMNS: usize = 1024;
/// Panels to aim at in narrow files, so that every thread has some.
const PANELS: usize = 16;
/// Columns that are copied together, so that the parts of a row stay in cache between two of them.
const TILE_COLUMNS: usize = 256;

/// Neighbouring columns of the rows that are in memory, row-major.
#[derive(Debug)]
pub(crate) struct Panel {
    /// The columns it holds.
    pub(crate) columns: Range<usize>,
    /// `values[row * columns.len() + column - columns.start]`.
    pub(crate) values: Vec<f64>,
}

/// Rows on disk, column by column.
#[derive(Debug)]
pub(crate) struct Block {
    rows: Range<usize>,
    /// Position of its first value in the scratch file.
    start: u64,
}

/// A matrix under construction: rows go in.
#[derive(Debug)]
pub(crate) struct MatrixBuilder {
    columns: usize,
    panels: Vec<Panel>,
    budget_bytes: usize,
    blocks: Vec<Block>,
    scratch: Option<ScratchFile>,
}

impl MatrixBuilder {
    /// An empty matrix of so many columns that keeps at most about `budget_bytes` of values in memory.
    pub(crate) fn new(columns: usize, budget_bytes: usize) -> Self {
        let width = columns.div_ceil(PANELS).clamp(1, PANEL_COLUMNS);
        let panels = (0..columns).step_by(width).map(|first| Panel { columns: first..(first + width).min(columns), values: vec![] });
        Self { columns, panels: panels.collect(), budget_bytes, blocks: vec![], scratch: None }
    }

    /// The panels, each to be extended by the same rows.
    pub(crate) fn panels_mut(&mut self) -> &mut [Panel] {
        &mut self.panels
    }

    /// Makes room for `rows` more rows, as far as the budget goes, so that growing does not copy.
    pub(crate) fn reserve(&mut self, rows: usize) {
        let affordable = self.budget_bytes / (self.columns * 8).max(1);
        self.panels.iter_mut().for_each(|p| p.values.reserve_exact(rows.min(affordable) * p.columns.len()));
    }

    /// Moves the rows in memory to disk if they are over the budget. To be called between rows.
    ///
    /// # Errors
    /// [`Error::Storage`] when the scratch file cannot be written.
    pub(crate) fn spill_if_large(&mut self) -> Result<()> {
        let rows = self.rows_in_memory();
        if rows * self.columns * 8 < self.budget_bytes || rows == 0 { Ok(()) } else { self.spill() }
    }

    fn rows_in_memory(&self) -> usize {
        self.panels.first().map_or(0, |p| p.values.len() / p.columns.len())
    }

    fn rows_on_disk(&self) -> usize {
        self.blocks.last().map_or(0, |b| b.rows.end)
    }

    fn spill(&mut self) -> Result<()> {
        let (first, rows) = (self.rows_on_disk(), self.rows_in_memory());
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(ScratchFile::try_new()?),
        };
        let start = scratch.len();
        for panel in &mut self.panels {
            scratch.append(&transposed(&panel.values, panel.columns.len()))?;
            panel.values.clear();
        }
        self.blocks.push(Block { rows: first..first + rows, start });
        Ok(())
    }

    /// The whole matrix.
    ///
    /// # Errors
    /// [`Error::Storage`] when the scratch file cannot be written.
    pub(crate) fn finish(mut self) -> Result<Matrix> {
        if self.scratch.is_some() && self.rows_in_memory() > 0 {
            self.spill()?;
        }
        Ok(match self.scratch {
            Some(scratch) => Matrix::OnDisk { blocks: self.blocks, scratch },
            None => Matrix::Panels { panels: self.panels },
        })
    }
}

/// A finished matrix: columns and rows come out.
#[derive(Debug)]
pub(crate) enum Matrix {
    /// All rows in memory, row-major by panel.
    Panels { panels: Vec<Panel> },
    /// All rows in memory, column by column.
    Columns { rows: usize, values: Vec<f64> },
    /// All rows in a scratch file.
    OnDisk { blocks: Vec<Block>, scratch: ScratchFile },
}

impl Matrix {
    /// A matrix on disk whose columns were appended one after another, each with all `rows` rows.
    pub(crate) fn columns_on_disk(rows: usize, scratch: ScratchFile) -> Self {
        Matrix::OnDisk { blocks: vec![Block { rows: 0..rows, start: 0 }], scratch }
    }

    /// Reads `columns` x `rows` column by column into `out`: column `c`, row `r` of the lists at `out[c * rows.len() + r]`.
    ///
    /// # Errors
    /// [`Error::Storage`] when the scratch file cannot be read.
    pub(crate) fn read(&self, columns: &[u32], rows: &[u32], out: &mut [f64]) -> Result<()> {
        if out.len() != columns.len() * rows.len() {
            return Err(Error::Internal("output of another size than the block".into()));
        }
        match self {
            Matrix::Panels { panels } => read_panels(panels, columns, rows, out),
            Matrix::Columns { rows: height, values } => {
                for (&column, out) in columns.iter().zip(out.chunks_exact_mut(rows.len().max(1))) {
                    let column = &values[column as usize * height..][..*height];
                    out.iter_mut().zip(rows).for_each(|(out, &row)| *out = column[row as usize]);
                }
            }
            Matrix::OnDisk { blocks, scratch } => {
                for block in blocks {
                    read_block(block, scratch, columns, rows, out)?;
                }
            }
        }
        Ok(())
    }
}

/// Row by row within a tile of columns: the parts of a row that are needed lie close together, and so do the places they go to.
fn read_panels(panels: &[Panel], columns: &[u32], rows: &[u32], out: &mut [f64]) {
    let Some(width) = panels.first().map(|p| p.columns.len()) else { return };
    if rows.is_empty() {
        return;
    }
    for (columns, out) in columns.chunks(TILE_COLUMNS).zip(out.chunks_mut(TILE_COLUMNS * rows.len())) {
        for (&column, out) in columns.iter().zip(out.chunks_exact_mut(rows.len())) {
            let panel = &panels[column as usize / width];
            let (stride, first) = (panel.columns.len(), column as usize - panel.columns.start);
            out.iter_mut().zip(rows).for_each(|(out, &row)| *out = panel.values[row as usize * stride + first]);
        }
    }
}

/// Copies the rows that lie in one block of the scratch file; columns that follow each other are read in one go.
fn read_block(block: &Block, scratch: &ScratchFile, columns: &[u32], rows: &[u32], out: &mut [f64]) -> Result<()> {
    /// Values read in one go at most.
    const STRETCH_VALUES: usize = 1 << 18;
    let wanted: Vec<(usize, usize)> = rows
        .iter()
        .enumerate()
        .filter(|(_, r)| block.rows.contains(&(**r as usize)))
        .map(|(at, &r)| (at, r as usize - block.rows.start))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let height = block.rows.len();
    let (mut values, mut bytes) = (vec![], vec![]);
    let mut at = 0;
    while at < columns.len() {
        let follow = columns[at..].windows(2).take_while(|pair| pair[0] + 1 == pair[1]).count() + 1;
        let stretch = follow.min((STRETCH_VALUES / height).max(1));
        values.resize(stretch * height, 0.0);
        scratch.read_at(block.start + u64::from(columns[at]) * height as u64, &mut values, &mut bytes)?;
        for (column, out) in values.chunks_exact(height).zip(out[at * rows.len()..].chunks_exact_mut(rows.len())) {
            wanted.iter().for_each(|&(to, from)| out[to] = column[from]);
        }
        at += stretch;
    }
    Ok(())
}

/// Row-major values column by column.
fn transposed(values: &[f64], width: usize) -> Vec<f64> {
    let rows = values.len() / width;
    let mut out = vec![0.0; values.len()];
    for (row, values) in values.chunks_exact(width).enumerate() {
        values.iter().enumerate().for_each(|(column, &value)| out[column * rows + row] = value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(row: usize, column: usize) -> f64 {
        (row * 100_000 + column) as f64 + 0.25
    }

    fn build(rows: usize, columns: usize, budget_bytes: usize) -> Matrix {
        let mut builder = MatrixBuilder::new(columns, budget_bytes);
        for row in 0..rows {
            for panel in builder.panels_mut() {
                panel.values.extend(panel.columns.clone().map(|column| value(row, column)));
            }
            builder.spill_if_large().unwrap();
        }
        builder.finish().unwrap()
    }

    fn check(matrix: &Matrix, rows: &[u32], columns: &[u32]) {
        let mut out = vec![0.0; rows.len() * columns.len()];
        matrix.read(columns, rows, &mut out).unwrap();
        for (c, &column) in columns.iter().enumerate() {
            for (r, &row) in rows.iter().enumerate() {
                assert_eq!(out[c * rows.len() + r], value(row as usize, column as usize), "row {row}, column {column}");
            }
        }
    }

    #[test]
    fn memory_and_disk_give_the_same_values_in_any_order() {
        for (rows, columns) in [(10, 3), (7, 2_500), (100, 1)] {
            for budget_bytes in [usize::MAX, columns * 8 * 3, 1] {
                let matrix = build(rows, columns, budget_bytes);
                assert_eq!(matches!(matrix, Matrix::OnDisk { .. }), budget_bytes != usize::MAX);
                let some: Vec<u32> = (0..columns as u32).rev().step_by(3).chain([0, 0]).collect();
                let all: Vec<u32> = (0..columns as u32).collect();
                check(&matrix, &(0..rows as u32).rev().collect::<Vec<_>>(), &some);
                check(&matrix, &[4, 5, 6], &all);
                check(&matrix, &[], &all);
            }
        }
    }

    #[test]
    fn columns_in_memory_and_on_disk_are_read_alike() {
        let values: Vec<f64> = (0..6).flat_map(|c| (0..4).map(move |r| value(r, c))).collect();
        let mut scratch = ScratchFile::try_new().unwrap();
        scratch.append(&values).unwrap();
        for matrix in [Matrix::columns_on_disk(4, scratch), Matrix::Columns { rows: 4, values }] {
            check(&matrix, &[3, 0, 2], &[5, 1, 2, 3]);
        }
    }
}
