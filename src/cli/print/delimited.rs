//! CSV and TSV: always a header; NULL is the empty field and an empty text is `""`, so that both can be told apart.
//!
//! A result of one column therefore prints NULL as an empty line. Lines end in LF. Floats are lossless (see [`super::cell`]).

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;

use super::ResultWriter;
use super::cell::{Cells, LOSSLESS};
use crate::cli::failure::Result;

/// Writes fields separated by one character.
pub(crate) struct DelimitedWriter {
    delimiter: char,
    line: String,
    field: String,
}

impl DelimitedWriter {
    pub(crate) fn new(delimiter: char) -> Self {
        Self { delimiter, line: String::new(), field: String::new() }
    }

    fn push_field(&mut self, first: bool) {
        if !first {
            self.line.push(self.delimiter);
        }
        let quoted = self.field.is_empty() || self.field.contains([self.delimiter, '"', '\n', '\r']);
        if quoted {
            self.line.push('"');
            self.line.push_str(&self.field.replace('"', "\"\""));
            self.line.push('"');
        } else {
            self.line.push_str(&self.field);
        }
    }

    fn push_null(&mut self, first: bool) {
        if !first {
            self.line.push(self.delimiter);
        }
    }

    fn end_line(&mut self, out: &mut dyn Write) -> std::io::Result<()> {
        self.line.push('\n');
        out.write_all(self.line.as_bytes())?;
        self.line.clear();
        Ok(())
    }
}

impl ResultWriter for DelimitedWriter {
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()> {
        for (i, field) in schema.fields().iter().enumerate() {
            self.field.clear();
            self.field.push_str(field.name());
            self.push_field(i == 0);
        }
        Ok(self.end_line(out)?)
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()> {
        let columns = batch.columns().iter().map(|column| Cells::try_new(column, &LOSSLESS)).collect::<Result<Vec<_>, ArrowError>>()?;
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter().enumerate() {
                if column.is_null(row) {
                    self.push_null(i == 0);
                    continue;
                }
                self.field.clear();
                column.write(row, &mut self.field)?;
                self.push_field(i == 0);
            }
            self.end_line(out)?;
        }
        Ok(())
    }

    fn finish(&mut self, _elapsed: Option<Duration>, _out: &mut dyn Write) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::print::testing::{PLAIN, printed, sample};

    #[test]
    fn null_empty_text_and_quotes_differ() {
        let expected = "id,name,value\n1,\"a,\"\"b\"\"\",0.30000000000000004\n20,\"\",\n,,NaN\n";
        assert_eq!(printed("csv", &[sample()], &PLAIN), expected);
    }

    #[test]
    fn tabs_separate_tsv_and_commas_need_no_quotes() {
        let text = printed("tsv", &[sample()], &PLAIN);
        assert_eq!(text.lines().next(), Some("id\tname\tvalue"));
        assert_eq!(text.lines().nth(2), Some("20\t\"\"\t"));
    }

    #[test]
    fn batches_follow_each_other_under_one_header() {
        assert_eq!(printed("csv", &[sample(), sample()], &PLAIN).lines().count(), 7);
    }
}
