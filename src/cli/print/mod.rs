//! Printing of results: one writer per format, all of them fed batch by batch. None holds a whole result; the table format holds the rows it
//! shows, because columns are aligned.
//!
//! [`FORMATS`] is the list of formats, from which `--format`, `\format`, file endings, help and completion derive.

mod cell;
mod delimited;
mod json;
mod markdown;
mod parquet;
mod table;

use std::io::Write;
use std::time::Duration;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use super::failure::{Failure, Result};

/// One output format.
#[derive(Debug)]
pub(crate) struct Format {
    /// Its name after `--format`.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) help: &'static str,
    /// File endings that mean it when no format is named.
    endings: &'static [&'static str],
    /// Whether it holds one result only and needs a file.
    pub(crate) one_result_per_file: bool,
    /// Whether its first line appears only when the result is complete.
    pub(crate) prints_at_the_end: bool,
    open: fn(&Look) -> Box<dyn ResultWriter>,
}

/// Every format; the first one is the default.
pub(crate) const FORMATS: &[Format] = &[
    Format {
        name: "table",
        help: "aligned columns for people; floats to ten significant digits, long and wide results cut",
        endings: &["txt"],
        one_result_per_file: false,
        prints_at_the_end: true,
        open: |look| Box::new(table::TableWriter::new(look)),
    },
    Format {
        name: "csv",
        help: "header and rows; NULL is the empty field, an empty text is \"\", floats read back exactly",
        endings: &["csv"],
        one_result_per_file: false,
        prints_at_the_end: false,
        open: |_| Box::new(delimited::DelimitedWriter::new(',')),
    },
    Format {
        name: "tsv",
        help: "as csv, separated by tabs",
        endings: &["tsv"],
        one_result_per_file: false,
        prints_at_the_end: false,
        open: |_| Box::new(delimited::DelimitedWriter::new('\t')),
    },
    Format {
        name: "json",
        help: "one array of objects; NULL is null, NaN and infinities are the texts \"NaN\", \"Infinity\", \"-Infinity\"",
        endings: &["json"],
        one_result_per_file: false,
        prints_at_the_end: false,
        open: |_| Box::new(json::JsonWriter::array()),
    },
    Format {
        name: "ndjson",
        help: "one JSON object per line",
        endings: &["ndjson", "jsonl"],
        one_result_per_file: false,
        prints_at_the_end: false,
        open: |_| Box::new(json::JsonWriter::lines()),
    },
    Format {
        name: "markdown",
        help: "a Markdown table, floats exact",
        endings: &["md"],
        one_result_per_file: false,
        prints_at_the_end: false,
        open: |_| Box::new(markdown::MarkdownWriter::default()),
    },
    Format {
        name: "parquet",
        help: "one result as a Parquet file; needs an output file",
        endings: &["parquet"],
        one_result_per_file: true,
        prints_at_the_end: false,
        open: |_| Box::new(parquet::ParquetWriter::default()),
    },
];

impl Format {
    /// The format of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Format> {
        FORMATS.iter().find(|format| format.name == name)
    }

    /// The format that a file name means by its ending; `None` where it says nothing.
    pub(crate) fn meant_by(path: &std::path::Path) -> Option<&'static Format> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        FORMATS.iter().find(|format| format.endings.contains(&ending.as_str()))
    }

    /// A writer for one result.
    pub(crate) fn writer(&self, look: &Look) -> Box<dyn ResultWriter> {
        (self.open)(look)
    }
}

/// How the table format looks on its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns of the terminal; `None` where the output is no terminal.
    pub(crate) width: Option<usize>,
    /// Whether to write colours.
    pub(crate) colours: bool,
    /// Rows shown of a result; `None` shows all.
    pub(crate) max_rows: Option<usize>,
    /// Leaves out everything that is not data.
    pub(crate) quiet: bool,
}

/// Writes one result: `begin`, any number of `batch`es, `finish`.
pub(crate) trait ResultWriter: Send {
    /// Writes what stands before the rows.
    fn begin(&mut self, schema: &SchemaRef, out: &mut dyn Write) -> Result<()>;

    /// Writes the rows of one batch.
    fn batch(&mut self, batch: &RecordBatch, out: &mut dyn Write) -> Result<()>;

    /// Writes what stands after the rows; `elapsed` is the time of the query where it is to be shown.
    fn finish(&mut self, elapsed: Option<Duration>, out: &mut dyn Write) -> Result<()>;
}

/// Formats that key values by column name would lose a column whose name comes twice.
fn require_distinct_names(schema: &Schema, format: &str) -> Result<()> {
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(Failure::usage(format!("two columns are named '{}', which {format} cannot hold\nhint: rename one with AS", pair[0])))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    pub(crate) const PLAIN: Look = Look { width: None, colours: false, max_rows: Some(40), quiet: true };

    /// Three rows: numbers, a NULL in each column, an empty text, a quote and a comma.
    pub(crate) fn sample() -> RecordBatch {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![Some(1), Some(20), None]))),
            ("name", Arc::new(StringArray::from(vec![Some("a,\"b\""), Some(""), None]))),
            ("value", Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), None, Some(f64::NAN)]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// What a format prints for `batches`.
    pub(crate) fn printed(name: &str, batches: &[RecordBatch], look: &Look) -> String {
        let mut out = Vec::new();
        let mut writer = Format::named(name).unwrap().writer(look);
        writer.begin(&batches[0].schema(), &mut out).unwrap();
        batches.iter().for_each(|batch| writer.batch(batch, &mut out).unwrap());
        writer.finish(None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_are_distinct() {
        let mut seen = std::collections::HashSet::new();
        for format in FORMATS {
            assert!(seen.insert(format.name), "{} twice", format.name);
        }
        let mut endings = std::collections::HashSet::new();
        assert!(FORMATS.iter().flat_map(|format| format.endings).all(|ending| endings.insert(*ending)));
    }

    #[test]
    fn a_file_ending_means_a_format() {
        let meant = |path: &str| Format::meant_by(path.as_ref()).map(|format| format.name);
        assert_eq!([meant("a/b.PARQUET"), meant("a.jsonl"), meant("result")], [Some("parquet"), Some("ndjson"), None]);
    }
}
