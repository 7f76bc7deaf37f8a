//! Expectations as `COPY (query) TO 'file' WITH (header='true', quoted='true')` writes them.
//!
//! NULL is `\N`, in quotes or not; an array is `{a | b}` or `NULL`. A text `\N` is printed like NULL and cannot be told from it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{Expectation, ExpectationError, Value};

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Expectation, ExpectationError> {
    let unreadable = |source| ExpectationError::unreadable(file, source);
    let mut plain = BufReader::new(File::open(file).map_err(unreadable)?);
    let packed = plain.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
    parse(file, reader)
}

fn parse(file: &Path, reader: impl Read) -> Result<Expectation, ExpectationError> {
    let mut csv = ::csv::ReaderBuilder::new().has_headers(true).flexible(false).from_reader(reader);
    let columns: Vec<String> = csv.headers().map_err(|error| broken(file, &error))?.iter().map(str::to_owned).collect();
    if columns.is_empty() {
        return Err(ExpectationError::broken(file, 1, "the file is empty; COPY TO writes a header with header='true'"));
    }
    let mut rows = Vec::new();
    for record in csv.records() {
        let record = record.map_err(|error| broken(file, &error))?;
        rows.push(record.iter().map(|field| if field == "\\N" { Value::Null } else { Value::Printed(field.to_owned()) }).collect());
    }
    Ok(Expectation::Rows { columns: Some(columns), rows })
}

fn broken(file: &Path, error: &::csv::Error) -> ExpectationError {
    let line = error.position().map_or(1, ::csv::Position::line);
    let what = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "the line has {len} fields, the header {expected_len}; write it with COPY (query) TO 'file' WITH (header='true', quoted='true')"
            )
        }
        ::csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8; convert the file".to_owned(),
        _ => format!("no CSV as COPY TO writes it: {error}"),
    };
    ExpectationError::broken(file, line, what)
}
