//! A source of strategies as a file: CSV with a column per strategy, or Parquet with a row per strategy and period. The file appears whole or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Date32Type, Float64Type, Int32Type, TimestampMicrosecondType};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use rayon::prelude::*;

use super::batches::{Batches, TARGET_ROWS, partitions, strategy_order, table_schema};
use super::generate::{GenerateRequest, Target};
use super::source::StrategySource;
use crate::error::{Error, Result};

/// Values computed before they are written.
const BLOCK_VALUES: usize = 4 << 20;
/// Strategies computed by one thread at a time.
const STRATEGIES_TOGETHER: usize = 1024;
const ZSTD_LEVEL: i32 = 3;

/// Writes a source into the file that the request names.
///
/// # Errors
/// [`Error::Usage`] where it names a table, [`Error::Conflict`] where the file exists and is not to be overwritten, [`Error::Storage`] when the file
/// cannot be written; an existing file stays as it was then.
pub fn write_generated(source: &dyn StrategySource, request: &GenerateRequest) -> Result<()> {
    if let Target::Csv(path) | Target::Parquet(path) = &request.target
        && path.is_file()
        && !request.overwrite
    {
        return Err(Error::Conflict(format!(
            "file '{}' exists already\nhint: --overwrite replaces it; another name leaves it as it is",
            path.display()
        )));
    }
    match &request.target {
        Target::Csv(path) => write_csv(source, path),
        Target::Parquet(path) => write_parquet(source, path),
        Target::Table(name) => Err(Error::Usage(format!("'{name}' is a table, not a file"))),
    }
}

/// Writes a CSV file with a row per period and a column per strategy, in the legacy format or, with zones or regimes, in the enhanced one.
///
/// Streams: a few million values are in memory at a time. Numbers are as short as they can be and still read back to the same bits; NULL is the
/// empty field.
///
/// # Errors
/// [`Error::Storage`] when the file cannot be written; an existing file stays as it was then.
pub fn write_csv(source: &dyn StrategySource, path: &Path) -> Result<()> {
    write_atomically(path, |file| {
        let columns = csv_columns(source);
        let header: Vec<&str> = columns.iter().map(|c| c.name.as_str()).chain(source.strategies().iter().map(String::as_str)).collect();
        let mut line = vec![];
        header.iter().enumerate().for_each(|(i, name)| push_text(&mut line, i, name));
        line.push(b'\n');
        file.write_all(&line).map_err(|e| storage(path, e))?;
        let (strategies, periods) = (source.strategies().len(), source.periods().num_rows());
        let rows = (BLOCK_VALUES / strategies.max(1)).clamp(1, periods.max(1));
        for first in (0..periods).step_by(rows) {
            let block = first..(first + rows).min(periods);
            let values = read_all_strategies(source, block.clone())?;
            let lines: Vec<Vec<u8>> =
                block.clone().into_par_iter().map(|row| csv_line(&columns, row, &values[row - first..], block.len())).collect();
            lines.iter().try_for_each(|line| file.write_all(line)).map_err(|e| storage(path, e))?;
        }
        Ok(())
    })
}

/// Writes a Parquet file with a row per strategy and period in table order: `date`, `slot` if there is one, context, `strategy`, `pnl`.
///
/// # Errors
/// [`Error::Storage`] when the file cannot be written; an existing file stays as it was then.
pub fn write_parquet(source: &dyn StrategySource, path: &Path) -> Result<()> {
    let failed = |e: datafusion::parquet::errors::ParquetError| storage(path, e);
    write_atomically(path, |file| {
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_column_dictionary_enabled("pnl".into(), false)
            .build();
        let mut writer = ArrowWriter::try_new(file, table_schema(source), Some(properties)).map_err(failed)?;
        let order = strategy_order(source);
        for partition in partitions(source)? {
            for batch in Batches::new(source, Arc::clone(&order), partition.periods, TARGET_ROWS) {
                writer.write(&batch?).map_err(failed)?;
            }
        }
        writer.close().map_err(failed)?;
        Ok(())
    })
}

fn storage(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::storage(format!("writing {}", path.display()), error)
}

/// Writes beside the path and renames at the end; a failure leaves nothing behind.
fn write_atomically(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> Result<()>) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::Usage(format!("'{}' is no file name", path.display())))?;
    let temporary: PathBuf = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let finish = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&temporary).map_err(|e| storage(path, e))?);
        write(&mut file)?;
        let file = file.into_inner().map_err(|e| storage(path, e.into_error()))?;
        file.sync_all().map_err(|e| storage(path, e))?;
        std::fs::rename(&temporary, path).map_err(|e| storage(path, e))
    };
    finish().inspect_err(|_| {
        // What failed is reported already; that a file could not be created leaves none to remove.
        drop(std::fs::remove_file(&temporary));
    })
}

fn read_all_strategies(source: &dyn StrategySource, periods: std::ops::Range<usize>) -> Result<Vec<f64>> {
    let ordinals: Vec<u32> = (0..source.strategies().len() as u32).collect();
    let mut values = vec![0.0; ordinals.len() * periods.len()];
    let parts = values.par_chunks_mut(STRATEGIES_TOGETHER * periods.len()).zip(ordinals.par_chunks(STRATEGIES_TOGETHER));
    parts.try_for_each(|(values, ordinals)| source.read_block(ordinals, periods.clone(), values))?;
    Ok(values)
}

/// A period column of a CSV file.
struct CsvColumn {
    name: String,
    array: ArrayRef,
    write: fn(&ArrayRef, usize, &mut Vec<u8>),
}

/// Period columns under the names and in the order of the format; the slot is left out, since readers number it anew.
fn csv_columns(source: &dyn StrategySource) -> Vec<CsvColumn> {
    /// Table column, its name in the enhanced format, and how it is written there.
    type Named = (&'static str, &'static str, fn(&ArrayRef, usize, &mut Vec<u8>));
    const ENHANCED: &[Named] = &[
        ("date", "Date", day_first),
        ("start_time", "start_time", time_of_day),
        ("end_time", "end_time", time_of_day),
        ("day", "day", value),
        ("zone", "zone", value),
        ("market_regime", "market_regime", value),
        ("regime_confidence", "Regime_Confidence_%", percent),
        ("transition_threshold", "Market_regime_transition_threshold", value),
        ("capital", "capital", value),
    ];
    const LEGACY: &[Named] = &[("date", "Date", value), ("zone", "Zone", value), ("day", "Day", value)];
    let periods = source.periods();
    let is_enhanced =
        ENHANCED.iter().any(|(name, ..)| periods.column_by_name(name).is_some() && !LEGACY.iter().any(|(legacy, ..)| legacy == name));
    let names = if is_enhanced { ENHANCED } else { LEGACY };
    let known = names.iter().filter_map(|(name, csv, write)| {
        Some(CsvColumn { name: (*csv).to_owned(), array: Arc::clone(periods.column_by_name(name)?), write: *write })
    });
    let schema = periods.schema();
    let others = schema
        .fields()
        .iter()
        .zip(periods.columns())
        .filter(|(field, _)| field.name() != "slot" && !names.iter().any(|(name, ..)| name == field.name()));
    known.chain(others.map(|(field, array)| CsvColumn { name: field.name().clone(), array: Arc::clone(array), write: value })).collect()
}

/// One line: the period's columns, then the values, which stand `height` apart.
fn csv_line(columns: &[CsvColumn], row: usize, values: &[f64], height: usize) -> Vec<u8> {
    let mut line = Vec::with_capacity(values.len() / height * 9 + columns.len() * 12);
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            line.push(b',');
        }
        if column.array.is_valid(row) {
            (column.write)(&column.array, row, &mut line);
        }
    }
    for &value in values.iter().step_by(height) {
        line.push(b',');
        push_number(&mut line, value);
    }
    line.push(b'\n');
    line
}

fn push_text(line: &mut Vec<u8>, at: usize, text: &str) {
    if at > 0 {
        line.push(b',');
    }
    if text.contains([',', '"', '\n', '\r']) {
        line.extend_from_slice(format!("\"{}\"", text.replace('"', "\"\"")).as_bytes());
    } else {
        line.extend_from_slice(text.as_bytes());
    }
}

/// The shortest text that reads back to the same bits; nothing for NaN, which is NULL.
fn push_number(line: &mut Vec<u8>, number: f64) {
    /// Amounts in cents up to here are written without the general conversion.
    const LARGEST_CENTS: f64 = 1e15;
    if number.is_nan() {
        return;
    }
    let cents = (number * 100.0).round();
    if cents.abs() > LARGEST_CENTS || cents / 100.0 != number || (number == 0.0 && number.is_sign_negative()) {
        // Writing into a vector cannot fail.
        drop(write!(line, "{number}"));
        return;
    }
    let (magnitude, negative) = (cents.abs() as u64, cents < 0.0);
    if negative {
        line.push(b'-');
    }
    push_integer(line, magnitude / 100);
    match (magnitude / 10 % 10, magnitude % 10) {
        (0, 0) => {}
        (tenth, 0) => line.extend([b'.', b'0' + tenth as u8]),
        (tenth, hundredth) => line.extend([b'.', b'0' + tenth as u8, b'0' + hundredth as u8]),
    }
}

fn push_integer(line: &mut Vec<u8>, mut integer: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (integer % 10) as u8;
        integer /= 10;
        if integer == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

fn date_of(array: &ArrayRef, row: usize) -> NaiveDate {
    NaiveDate::default() + TimeDelta::days(array.as_primitive_opt::<Date32Type>().map_or(0, |dates| i64::from(dates.value(row))))
}

fn day_first(array: &ArrayRef, row: usize, line: &mut Vec<u8>) {
    line.extend_from_slice(date_of(array, row).format("%d-%m-%Y").to_string().as_bytes());
}

fn time_of_day(array: &ArrayRef, row: usize, line: &mut Vec<u8>) {
    let micros = array.as_primitive_opt::<TimestampMicrosecondType>().map_or(0, |times| times.value(row));
    let time = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    line.extend_from_slice(time.format("%H:%M:%S%.f").to_string().as_bytes());
}

/// A fraction in percent; hundredths come out as whole numbers.
fn percent(array: &ArrayRef, row: usize, line: &mut Vec<u8>) {
    let fraction = array.as_primitive_opt::<Float64Type>().map_or(f64::NAN, |numbers| numbers.value(row));
    let (scaled, whole) = (fraction * 100.0, (fraction * 100.0).round());
    push_number(line, if whole / 100.0 == fraction { whole } else { scaled });
}

fn value(array: &ArrayRef, row: usize, line: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Float64 => push_number(line, array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => line.extend_from_slice(date_of(array, row).to_string().as_bytes()),
        DataType::Dictionary(..) => {
            let texts = array.as_dictionary_opt::<Int32Type>();
            let text = texts.and_then(|d| Some(d.values().as_string_opt::<i32>()?.value(d.key(row)?)));
            push_text(line, 0, text.unwrap_or_default());
        }
        _ => {
            let text = datafusion::arrow::util::display::array_value_to_string(array, row).unwrap_or_default();
            push_text(line, 0, &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{GeneratedStrategies, ImportOptions, read_csv};

    fn request(target: Target) -> GenerateRequest {
        GenerateRequest { share_zeros: 0.2, share_nulls: 0.1, ..GenerateRequest::new(37, 41, 3, target) }
    }

    fn all(source: &dyn StrategySource) -> Vec<u64> {
        let values = read_all_strategies(source, 0..source.periods().num_rows()).unwrap();
        values.iter().map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() }).collect()
    }

    #[test]
    fn a_generated_file_reads_back_to_the_same_bits() {
        let directory = tempfile::tempdir().unwrap();
        for (zones, regimes) in [(0, false), (0, true), (4, false)] {
            let path = directory.path().join("g.csv");
            let request = GenerateRequest { zones, regimes, overwrite: true, ..request(Target::Csv(path.clone())) };
            let source = GeneratedStrategies::try_new(&request).unwrap();
            write_generated(&source, &request).unwrap();
            let read = read_csv(&path, &ImportOptions::default(), usize::MAX).unwrap();
            assert_eq!(read.source.strategies(), source.strategies());
            assert_eq!(read.source.periods().num_rows(), source.periods().num_rows());
            for field in source.periods().schema().fields() {
                let of = |s: &dyn StrategySource| {
                    let column = Arc::clone(s.periods().column_by_name(field.name()).unwrap());
                    (0..column.len())
                        .map(|r| datafusion::arrow::util::display::array_value_to_string(&column, r).unwrap())
                        .collect::<Vec<_>>()
                };
                assert_eq!(of(read.source.as_ref()), of(&source), "{}", field.name());
            }
            assert_eq!(all(read.source.as_ref()), all(&source));
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "a temporary file was left");
    }

    #[test]
    fn an_existing_file_is_overwritten_only_on_request() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("g.csv");
        std::fs::write(&path, "mine").unwrap();
        let request = request_onto(&path);
        let source = GeneratedStrategies::try_new(&request).unwrap();
        let refused = write_generated(&source, &request).unwrap_err();
        assert!(matches!(refused, Error::Conflict(_)) && refused.to_string().contains("--overwrite"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        write_generated(&source, &GenerateRequest { overwrite: true, ..request }).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("Date,"));
    }

    #[test]
    fn parquet_holds_a_row_per_strategy_and_period() {
        use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("g.parquet");
        let request = request(Target::Parquet(path.clone()));
        let source = GeneratedStrategies::try_new(&request).unwrap();
        write_generated(&source, &request).unwrap();
        let rows: usize = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap())
            .unwrap()
            .build()
            .unwrap()
            .map(|b| b.unwrap().num_rows())
            .sum();
        assert_eq!(rows, 37 * 41);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let request = request(Target::Csv(directory.path().join("none").join("g.csv")));
        let source = GeneratedStrategies::try_new(&request).unwrap();
        assert!(matches!(write_generated(&source, &request), Err(Error::Storage { .. })));
        let onto_a_directory = request_onto(directory.path());
        assert!(matches!(write_generated(&source, &onto_a_directory), Err(Error::Storage { .. })));
    }

    fn request_onto(path: &Path) -> GenerateRequest {
        request(Target::Csv(path.to_owned()))
    }

    #[test]
    fn numbers_are_short_and_exact() {
        let text = |number: f64| {
            let mut line = vec![];
            push_number(&mut line, number);
            String::from_utf8(line).unwrap()
        };
        for (number, written) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (12.5, "12.5"),
            (-0.07, "-0.07"),
            (300.0, "300"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, ""),
            (1e20, "100000000000000000000"),
        ] {
            assert_eq!(text(number), written);
        }
        for number in [123456.78, -99999999999.99, 1e15 + 0.5, 1.005, f64::MIN_POSITIVE, 0.29] {
            assert_eq!(text(number).parse::<f64>().unwrap().to_bits(), f64::to_bits(number));
        }
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        let mut line = vec![];
        ["a", "b,c", "d\"e"].iter().enumerate().for_each(|(i, text)| push_text(&mut line, i, text));
        assert_eq!(String::from_utf8(line).unwrap(), "a,\"b,c\",\"d\"\"e\"");
    }
}
