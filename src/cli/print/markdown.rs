//! Markdown tables: one line per row as it comes, numbers aligned right by the rule under the header.

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use super::ResultWriter;
use super::cell::{Cells, LOSSLESS, is_number};
use crate::cli::failure::Result;

/// Writes a pipe table.
#[derive(Default)]
pub(crate) struct MarkdownWriter {
    cell: String,
}

impl ResultWriter for MarkdownWriter {
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        let names: Vec<String> = schema.fields().iter().map(|field| escaped(field.name())).collect();
        let rules: Vec<&str> = schema.fields().iter().map(|field| if is_number(field.data_type()) { "---:" } else { "---" }).collect();
        writeln!(out, "| {} |", names.join(" | "))?;
        writeln!(out, "| {} |", rules.join(" | "))?;
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let columns = batch.columns().iter().map(|column| Cells::try_new(column, &LOSSLESS)).collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            out.write_all(b"|")?;
            for column in &columns {
                self.cell.clear();
                column.write(row, &mut self.cell)?;
                write!(out, " {} |", escaped(&self.cell))?;
            }
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(&mut self, _elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()> {
        // Two tables in one document need a line between them.
        Ok(out.write_all(b"\n")?)
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::print::testing::{PLAIN, printed, sample};

    #[test]
    fn numbers_are_aligned_right() {
        let text = printed("markdown", &[sample()], &PLAIN);
        assert_eq!(text.lines().nth(1), Some("| ---: | --- | ---: |"));
        assert_eq!(text.lines().nth(4), Some("| NULL | NULL | NaN |"));
    }

    #[test]
    fn pipes_and_line_ends_stay_in_their_cell() {
        assert_eq!(escaped("a|b\nc"), "a\\|b<br>c");
    }
}
