//! Expected results: what HeavyDB answered.
//!
//! | form | recognised by | id |
//! |---|---|---|
//! | JSON lines: `{id, columns, rows}`, `{id, value, type, tol}`, `{id, error}` | `.jsonl`, `.ndjson` | `id` |
//! | CSV as `COPY (…) TO … WITH (header='true', quoted='true')` writes it, also gzip | `<id>.csv`, `<id>.csv.gz` | file stem |
//! | text as heavysql prints it | `<id>.txt` | file stem |
//! | Parquet | `<id>.parquet` | file stem |
//!
//! Results are found by id and read when they are asked for: memory is bounded by the largest one. JSON lines are checked when they are
//! opened. A result that cannot be read is an error that names file, line and remedy, never a guess.

mod csv;
mod heavysql;
mod json;
mod parquet;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// An expectation that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectationError {
    /// The file or folder cannot be opened or read.
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's name says nothing about its form.
    #[error("{}: not recognised; expected results are .jsonl, .csv, .txt (heavysql) or .parquet files, or a folder of them", file.display())]
    Unrecognised {
        /// The file.
        file: PathBuf,
    },
    /// A line is not what the form demands.
    #[error("{}:{line}: {what}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What was found and what to do.
        what: String,
    },
    /// Two results for one id.
    #[error("two results for the id {id}: {first} and {second}; keep one")]
    Duplicate {
        /// The id.
        id: String,
        /// Where the first is.
        first: String,
        /// Where the second is.
        second: String,
    },
}

impl ExpectationError {
    fn unreadable(file: &Path, source: io::Error) -> Self {
        Self::Unreadable { file: file.to_owned(), source }
    }

    fn broken(file: &Path, line: u64, what: impl Into<String>) -> Self {
        Self::Broken { file: file.to_owned(), line, what: what.into() }
    }
}

/// A value of an expected result.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or exponent.
    Real(f64),
    /// A text that is known to be one, or a date or time in letters.
    Text(String),
    /// A value as CSV or heavysql prints it: the type of our column says what it is.
    Printed(String),
    /// Nanoseconds since 1970 of a date or timestamp.
    Instant(i128),
    /// Nanoseconds since midnight.
    Time(i128),
    /// An array.
    List(Vec<Value>),
}

/// What HeavyDB answered to one query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// A table.
    Rows {
        /// Names, where the form has them; they are reported, never compared.
        columns: Option<Vec<String>>,
        /// The rows.
        rows: Vec<Vec<Value>>,
    },
    /// The first column of the first row, as HeavyDB holds it: dates as epochs in the column's unit, NULL as its in-band value.
    Scalar {
        /// The value.
        value: Value,
        /// `int`, `float`, `double`, `bool`, `string`.
        kind: String,
        /// Above 0: the greatest difference allowed; 0: the tolerance of the comparison.
        tolerance: f64,
    },
    /// HeavyDB failed with this message: ours must fail too.
    Error(String),
}

impl Expectation {
    /// Count of rows, `None` for an error.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Self::Rows { rows, .. } => Some(rows.len()),
            Self::Scalar { .. } => Some(1),
            Self::Error(_) => None,
        }
    }
}

/// How heavysql printed its results.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextForm {
    /// The delimiter of `-d`; `None`: `|`, or where the header has none, the one of tab, `;` and `,` that fits every line.
    pub delimiter: Option<char>,
}

/// Where a result lies.
#[derive(Debug, Clone)]
enum Place {
    /// A line of a file of JSON lines: where it starts and how long it is, in bytes.
    Line { file: usize, number: u64, start: u64, length: usize },
    /// A file of its own.
    File(usize),
}

/// Expected results by the id of their query.
#[derive(Debug)]
pub struct Expectations {
    files: Vec<PathBuf>,
    places: HashMap<String, Place>,
    text: TextForm,
}

impl Expectations {
    /// The results of a file, or of all files of a folder. Files of a folder that are no results, and lines of queries, are passed over.
    ///
    /// # Errors
    /// A file that cannot be read, a line of JSON that is no result, two results for one id.
    pub fn open(path: &Path, text: TextForm) -> Result<Self, ExpectationError> {
        let mut all = Self { files: Vec::new(), places: HashMap::new(), text };
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|source| ExpectationError::unreadable(path, source))?;
            let files: Result<Vec<PathBuf>, io::Error> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
            let mut files = files.map_err(|source| ExpectationError::unreadable(path, source))?;
            files.sort();
            for file in files.iter().filter(|file| file.is_file()) {
                all.add(file)?;
            }
        } else {
            std::fs::metadata(path).map_err(|source| ExpectationError::unreadable(path, source))?;
            if !all.add(path)? {
                return Err(ExpectationError::Unrecognised { file: path.to_owned() });
            }
        }
        Ok(all)
    }

    /// The ids with a result, in no order: those without a query are worth a word.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Count of results.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no result.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The result of a query, `None` where there is none.
    ///
    /// # Errors
    /// A result that cannot be read.
    pub fn find(&self, id: &str) -> Result<Option<Expectation>, ExpectationError> {
        match self.places.get(id) {
            None => Ok(None),
            Some(Place::Line { file, number, start, length }) => json::read(&self.files[*file], *number, *start, *length).map(Some),
            Some(Place::File(file)) => self.read(&self.files[*file]).map(Some),
        }
    }

    /// Reads a file that is one result.
    fn read(&self, file: &Path) -> Result<Expectation, ExpectationError> {
        match form(file) {
            Some((_, Form::Csv)) => csv::read(file),
            Some((_, Form::Heavysql)) => heavysql::read(file, self.text),
            Some((_, Form::Parquet)) => parquet::read(file),
            _ => Err(ExpectationError::Unrecognised { file: file.to_owned() }),
        }
    }

    /// Notes the results of a file; `false` when its name is of no known form.
    fn add(&mut self, file: &Path) -> Result<bool, ExpectationError> {
        let Some((stem, form)) = form(file) else { return Ok(false) };
        let at = self.files.len();
        self.files.push(file.to_owned());
        if form == Form::JsonLines {
            for line in json::index(file)? {
                self.place(line.id, Place::Line { file: at, number: line.number, start: line.start, length: line.length })?;
            }
        } else {
            self.place(stem, Place::File(at))?;
        }
        Ok(true)
    }

    fn place(&mut self, id: String, place: Place) -> Result<(), ExpectationError> {
        let name = |place: &Place| match place {
            Place::Line { file, number, .. } => format!("{}:{number}", self.files[*file].display()),
            Place::File(file) => self.files[*file].display().to_string(),
        };
        if let Some(first) = self.places.get(&id) {
            return Err(ExpectationError::Duplicate { first: name(first), second: name(&place), id });
        }
        self.places.insert(id, place);
        Ok(())
    }
}

/// The form of a file of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    JsonLines,
    Csv,
    Heavysql,
    Parquet,
}

const FORMS: &[(&str, Form)] = &[
    (".jsonl", Form::JsonLines),
    (".ndjson", Form::JsonLines),
    (".csv", Form::Csv),
    (".csv.gz", Form::Csv),
    (".txt", Form::Heavysql),
    (".parquet", Form::Parquet),
];

/// A file's stem and form, told by its name.
fn form(file: &Path) -> Option<(String, Form)> {
    let name = file.file_name()?.to_str()?;
    FORMS.iter().find_map(|(ending, form)| Some((name.strip_suffix(ending).filter(|stem| !stem.is_empty())?.to_owned(), *form)))
}

#[cfg(test)]
mod tests;
