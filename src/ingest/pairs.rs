//! Small CSV files of two columns that an import is told to use: old and new strategy names, day numbers and their dates.

use std::collections::HashMap;
use std::path::Path;

use super::records::RecordReader;
use super::text_column::TextColumn;
use crate::error::{Error, Result, SourceError};

/// Reads old and new names, with or without a header `old,new`.
///
/// # Errors
/// A file that cannot be read, lines of another width, a name that is replaced twice.
pub(crate) fn read_renames(path: &Path) -> Result<HashMap<String, String>> {
    let is_header = |old: &str, new: &str| old.eq_ignore_ascii_case("old") && new.eq_ignore_ascii_case("new");
    read_pairs(path, is_header, "'{}' is renamed twice", "write one old and one new name per line")
}

/// Reads day numbers and their dates; a first line whose second field has no digit is a header.
///
/// # Errors
/// A file that cannot be read, lines of another width, a day that has two dates.
pub(crate) fn read_dates(path: &Path) -> Result<HashMap<String, String>> {
    let is_header = |_: &str, date: &str| !date.contains(|c: char| c.is_ascii_digit());
    read_pairs(path, is_header, "'{}' has two dates", "write one day, as in the file to be imported, and one date per line")
}

fn read_pairs(path: &Path, is_header: fn(&str, &str) -> bool, twice: &str, remedy: &str) -> Result<HashMap<String, String>> {
    let reader = RecordReader::open(path)?;
    let (file, header) = (reader.file().to_owned(), reader.header().to_vec());
    let refuse = |line: u64, reason: String| Error::from(SourceError::new(&file, reason).at_line(line).with_remedy(remedy));
    let mut pairs = HashMap::new();
    let mut add = |line: u64, names: &[String]| match names {
        [key, value] if pairs.insert(key.clone(), value.clone()).is_none() => Ok(()),
        [key, _] => Err(refuse(line, twice.replace("{}", key))),
        _ => Err(refuse(line, format!("{} fields, two are needed", names.len()))),
    };
    if !matches!(header.as_slice(), [key, value] if is_header(key, value)) {
        add(1, &header)?;
    }
    reader.for_each_chunk(|chunk| {
        (0..chunk.len()).try_for_each(|row| {
            let names: Vec<String> = (0..chunk.width(row)).map(|c| String::from_utf8_lossy(chunk.field(row, c)).into_owned()).collect();
            add(chunk.line(row), &names)
        })
    })?;
    Ok(pairs)
}

/// The column with the date that `dates` gives for each of its texts; `lines` are those of the rows.
///
/// # Errors
/// A text without a date, named with its line.
pub(crate) fn with_dates(
    days: &TextColumn,
    dates: &HashMap<String, String>,
    lines: &[u64],
    error: impl Fn(&str) -> SourceError,
) -> Result<TextColumn> {
    let date = |text: &str| dates.get(text).or_else(|| dates.get(text.trim()));
    let counts = days.counts();
    let missing: Vec<usize> = (0..counts.len()).filter(|&id| date(&days.values()[id]).is_none()).collect();
    if let Some(&first) = missing.first() {
        let line = lines[days.first_row(first as u32) as usize];
        let error = error("the file of --dates has no date for this day").at_line(line).with_text(&days.values()[first]);
        return Err(error.counted(missing.iter().map(|&id| counts[id]).sum()).with_remedy("add the day to that file").into());
    }
    let mut settled = TextColumn::default();
    for (row, &id) in days.ids().iter().enumerate() {
        let id = settled.encode(date(&days.values()[id as usize]).map_or("", String::as_str).as_bytes(), row as u32);
        settled.push_id(id);
    }
    Ok(settled)
}
