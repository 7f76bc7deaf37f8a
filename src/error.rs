//! One error type for the whole engine, grouped by who must act.
//!
//! | variant | who acts | exit code |
//! |---|---|---|
//! | [`Error::Usage`] | whoever typed the options | 2 |
//! | [`Error::Query`] | whoever wrote the SQL | 1 |
//! | [`Error::Source`] | whoever owns the data file | 1 |
//! | [`Error::Conflict`] | whoever writes the same table | 1 |
//! | [`Error::Database`] | whoever owns the database directory | 1 |
//! | [`Error::Storage`] | whoever runs the machine or the object store | 1 |
//! | [`Error::Cancelled`] | nobody: the user stopped the work | 1 |
//! | [`Error::Verification`] | whoever relies on the comparison | 3 |
//! | [`Error::Internal`] | us | 70 |
//!
//! Causes are kept as sources; `Display` is one message for people and never holds a credential.

use std::fmt;

use datafusion::error::DataFusionError;

/// Result of every public call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by who must act on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option or argument cannot be used as given.
    #[error("{0}")]
    Usage(String),

    /// The SQL text cannot be parsed, planned or run.
    #[error("{0}")]
    Query(Box<QueryError>),

    /// A data file was refused: nothing of it was stored.
    #[error("{0}")]
    Source(Box<SourceError>),

    /// The rows or the version to be written meet others already there.
    #[error("{0}")]
    Conflict(String),

    /// The database directory cannot be used: not one, newer than this engine, or damaged.
    #[error("{0}")]
    Database(String),

    /// Disk, network or object store failed.
    #[error("{context}: {source}")]
    Storage {
        /// What was being done, with the path or URL.
        context: String,
        /// The failure below.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The user cancelled the work; nothing was written.
    #[error("cancelled")]
    Cancelled,

    /// A comparison of results found differences.
    #[error("{0}")]
    Verification(String),

    /// A broken promise inside the engine.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

/// A query that failed, with its place in the text when that is known.
#[derive(Debug)]
pub struct QueryError {
    /// What is wrong, without source location.
    pub message: String,
    /// Names or spellings that would work.
    pub hint: Option<String>,
    /// Line and column (from 1) in the text given to the engine.
    pub position: Option<Position>,
    /// The failure below, where there is one.
    pub source: Option<DataFusionError>,
}

/// A place in a text; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl Position {
    /// A place of a part of a text as one of the whole, where the part starts at `start`.
    #[must_use]
    pub fn after(self, start: Self) -> Self {
        if self.line <= 1 {
            return Self { line: start.line, column: start.column + self.column.saturating_sub(1) };
        }
        Self { line: start.line + self.line - 1, column: self.column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// A data file that was refused: where, what stands there and what to do about it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The file as the user named it.
    pub file: String,
    /// Line in the file (from 1), where one line is to blame.
    pub line: Option<u64>,
    /// Column name, where one column is to blame.
    pub column: Option<String>,
    /// The offending text, shortened.
    pub text: Option<String>,
    /// What is wrong, as a sentence without full stop.
    pub reason: String,
    /// How often it occurs, where more than the first place was counted.
    pub count: Option<u64>,
    /// What the user can do.
    pub remedy: Option<String>,
}

impl SourceError {
    /// An error about the whole file.
    pub fn new(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), reason: reason.into(), ..Self::default() }
    }

    /// Names the line (from 1).
    pub fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Names the column.
    pub fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// Quotes the offending text, cut after 60 characters.
    pub fn with_text(mut self, text: &str) -> Self {
        let mut short: String = text.chars().take(60).collect();
        if short.len() < text.len() {
            short.push('…');
        }
        self.text = Some(short);
        self
    }

    /// Says how often it occurs.
    pub fn counted(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Says what the user can do.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column '{column}'")?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(text) = &self.text {
            write!(f, ": '{text}'")?;
        }
        match self.count {
            Some(count) if count > 1 => write!(f, " ({count} in all)")?,
            _ => {}
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\nhint: {remedy}"),
            None => Ok(()),
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::Source(Box::new(error))
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        match unwrap_external(error) {
            Ok(own) => own,
            Err(error) => Error::Query(Box::new(QueryError::from(error))),
        }
    }
}

/// What DataFusion puts before its messages: where in the engine it happened, which helps nobody who wrote the query.
const LABELS: &[&str] = &["External error: ", "Error during planning: ", "Schema error: ", "Execution error: ", "Arrow error: "];

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let message = error.strip_backtrace();
        // "Optimizer rule ... failed, caused by ...": only the last cause is about the query.
        let message = message.rsplit("\ncaused by\n").next().unwrap_or_default();
        let message = LABELS.iter().fold(message, |text, label| text.trim_start_matches(label)).to_owned();
        QueryError { message, hint: None, position: None, source: Some(error) }
    }
}

/// An engine error that travelled through DataFusion comes out as itself.
fn unwrap_external(error: DataFusionError) -> std::result::Result<Error, DataFusionError> {
    match error {
        DataFusionError::External(inner) => inner.downcast::<Error>().map(|own| *own).map_err(DataFusionError::External),
        DataFusionError::Context(text, inner) => unwrap_external(*inner).map_err(|e| DataFusionError::Context(text, Box::new(e))),
        DataFusionError::Diagnostic(place, inner) => unwrap_external(*inner).map_err(|e| DataFusionError::Diagnostic(place, Box::new(e))),
        other => Err(other),
    }
}

impl Error {
    /// A failure of disk, network or object store while doing `context`.
    pub fn storage(context: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Storage { context: context.into(), source: source.into() }
    }

    /// The exit status of the command-line program for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Verification(_) => 3,
            Error::Internal(_) => 70,
            Error::Query(_) | Error::Source(_) | Error::Conflict(_) | Error::Database(_) | Error::Storage { .. } | Error::Cancelled => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_cell_names_its_place_and_the_remedy() {
        let error = SourceError::new("a.csv", "not a number")
            .at_line(3)
            .in_column("S2")
            .with_text("abc")
            .counted(2)
            .with_remedy("--exclude S2 drops it");
        assert_eq!(error.to_string(), "a.csv, line 3, column 'S2': not a number: 'abc' (2 in all)\nhint: --exclude S2 drops it");
    }

    #[test]
    fn an_engine_error_survives_the_way_through_datafusion() {
        let there: DataFusionError = Error::Conflict("version 3 is taken".into()).into();
        assert!(matches!(Error::from(there.context("while writing")), Error::Conflict(text) if text == "version 3 is taken"));
    }
}
