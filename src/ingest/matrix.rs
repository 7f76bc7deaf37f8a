//! The values of one source file, rows (as in the file) by columns (strategies), in memory or on disk.
//!
//! Rows arrive in file order in *blocks*, column by column: `[column][row of the block]`. When those in memory outgrow the budget they become
//! one block of a scratch file. Reading takes any columns and any rows from both.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::storage::ScratchFile;

/// Values that are put together before they go to disk.
const SPILL_VALUES: usize = 1 << 18;

/// Rows in memory, column by column.
#[derive(Debug)]
pub(crate) struct MemoryBlock {
    rows: Range<usize>,
    /// Value of column `c`, row `r` of the block at `values[c * rows.len() + r]`.
    values: Vec<f64>,
}

/// Rows on disk, column by column.
#[derive(Debug)]
pub(crate) struct DiskBlock {
    rows: Range<usize>,
    /// Position of its first value in the scratch file.
    start: u64,
}

/// A matrix under construction: rows go in.
#[derive(Debug)]
pub(crate) struct MatrixBuilder {
    columns: usize,
    budget_bytes: usize,
    rows: usize,
    in_memory: Vec<MemoryBlock>,
    on_disk: Vec<DiskBlock>,
    scratch: Option<ScratchFile>,
}

impl MatrixBuilder {
    /// An empty matrix of so many columns that keeps at most about `budget_bytes` of values in memory.
    pub(crate) fn new(columns: usize, budget_bytes: usize) -> Self {
        Self { columns, budget_bytes, rows: 0, in_memory: vec![], on_disk: vec![], scratch: None }
    }

    /// Appends rows, given column by column; moves those in memory to disk if they are over the budget.
    ///
    /// # Errors
    /// [`Error::Internal`] when the values are not whole columns, [`Error::Storage`] when the scratch file cannot be written.
    pub(crate) fn append(&mut self, rows: usize, values: Vec<f64>) -> Result<()> {
        if values.len() != rows * self.columns {
            return Err(Error::Internal(format!("{} values for {rows} rows of {} columns", values.len(), self.columns)));
        }
        if values.is_empty() {
            self.rows += rows;
            return Ok(());
        }
        self.in_memory.push(MemoryBlock { rows: self.rows..self.rows + rows, values });
        self.rows += rows;
        let bytes: usize = self.in_memory.iter().map(|block| block.values.len() * 8).sum();
        if bytes < self.budget_bytes { Ok(()) } else { self.spill() }
    }

    /// Writes the rows in memory as one block: a column of it is read in one go.
    fn spill(&mut self) -> Result<()> {
        let blocks = std::mem::take(&mut self.in_memory);
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        let rows = first.rows.start..last.rows.end;
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(ScratchFile::try_new()?),
        };
        self.on_disk.push(DiskBlock { rows: rows.clone(), start: scratch.len() });
        let together = (SPILL_VALUES / rows.len()).max(1);
        let mut buffer = Vec::with_capacity(together.min(self.columns) * rows.len());
        for column in 0..self.columns {
            blocks.iter().for_each(|block| buffer.extend_from_slice(block.column(column)));
            if (column + 1) % together == 0 || column + 1 == self.columns {
                scratch.append(&buffer)?;
                buffer.clear();
            }
        }
        Ok(())
    }

    /// The whole matrix.
    ///
    /// # Errors
    /// [`Error::Storage`] when the scratch file cannot be written.
    pub(crate) fn finish(mut self) -> Result<Matrix> {
        if self.scratch.is_some() {
            self.spill()?;
        }
        Ok(match self.scratch {
            Some(scratch) => Matrix::OnDisk { blocks: self.on_disk, scratch },
            None => Matrix::InMemory { blocks: self.in_memory },
        })
    }
}

impl MemoryBlock {
    fn column(&self, column: usize) -> &[f64] {
        &self.values[column * self.rows.len()..][..self.rows.len()]
    }
}

/// A finished matrix: columns and rows come out.
#[derive(Debug)]
pub(crate) enum Matrix {
    /// All rows in memory.
    InMemory { blocks: Vec<MemoryBlock> },
    /// All rows in a scratch file.
    OnDisk { blocks: Vec<DiskBlock>, scratch: ScratchFile },
}

impl Matrix {
    /// A matrix in memory, column by column, each with all `rows` rows.
    pub(crate) fn columns(rows: usize, values: Vec<f64>) -> Self {
        Matrix::InMemory { blocks: vec![MemoryBlock { rows: 0..rows, values }] }
    }

    /// A matrix on disk whose columns were appended one after another, each with all `rows` rows.
    pub(crate) fn columns_on_disk(rows: usize, scratch: ScratchFile) -> Self {
        Matrix::OnDisk { blocks: vec![DiskBlock { rows: 0..rows, start: 0 }], scratch }
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
            Matrix::InMemory { blocks } => read_memory(blocks, columns, rows, out),
            Matrix::OnDisk { blocks, scratch } => {
                for block in blocks {
                    read_block(block, scratch, columns, rows, out)?;
                }
            }
        }
        Ok(())
    }
}

/// Rows that follow each other in one block and in what is asked for.
struct Stretch<'a> {
    block: &'a MemoryBlock,
    /// Rows of the block.
    from: Range<usize>,
    /// Position of the first among the rows asked for.
    to: usize,
}

fn read_memory(blocks: &[MemoryBlock], columns: &[u32], rows: &[u32], out: &mut [f64]) {
    let mut stretches: Vec<Stretch<'_>> = vec![];
    for (to, &row) in rows.iter().enumerate() {
        let row = row as usize;
        if let Some(last) = stretches.last_mut()
            && last.block.rows.start + last.from.end == row
            && last.block.rows.contains(&row)
        {
            last.from.end += 1;
            continue;
        }
        let at = blocks.partition_point(|block| block.rows.end <= row);
        stretches.extend(blocks.get(at).map(|block| {
            let from = row - block.rows.start;
            Stretch { block, from: from..from + 1, to }
        }));
    }
    for (&column, out) in columns.iter().zip(out.chunks_exact_mut(rows.len().max(1))) {
        for Stretch { block, from, to } in &stretches {
            out[*to..to + from.len()].copy_from_slice(&block.column(column as usize)[from.clone()]);
        }
    }
}

/// Copies the rows that lie in one block of the scratch file; columns that follow each other are read in one go.
fn read_block(block: &DiskBlock, scratch: &ScratchFile, columns: &[u32], rows: &[u32], out: &mut [f64]) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn value(row: usize, column: usize) -> f64 {
        (row * 100_000 + column) as f64 + 0.25
    }

    fn build(rows: usize, columns: usize, budget_bytes: usize) -> Matrix {
        let mut builder = MatrixBuilder::new(columns, budget_bytes);
        for first in (0..rows).step_by(4) {
            let block = first..(first + 4).min(rows);
            let values = (0..columns).flat_map(|column| block.clone().map(move |row| value(row, column)));
            builder.append(block.len(), values.collect()).unwrap();
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
            for budget_bytes in [usize::MAX, columns * 8 * 6, 1] {
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
        for matrix in [Matrix::columns_on_disk(4, scratch), Matrix::columns(4, values)] {
            check(&matrix, &[3, 0, 2], &[5, 1, 2, 3]);
        }
    }
}
