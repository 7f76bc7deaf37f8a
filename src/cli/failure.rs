//! How a run ends when it does not end well: what is printed, and the exit code.

use std::io::{self, Write};

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion_heavydb::replay::input::redact;

use super::terminal::{Paint, error_colours};
use crate::error::{Error, Position};

/// Result inside the command line.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a run stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The command line cannot be read, or only asks for help (exit code 0).
    Arguments(clap::Error),
    /// The engine refused something.
    Engine(Error),
    /// A statement failed; the text it stands in is known.
    Statement(Box<StatementFailure>),
    /// Everything was printed already; only the exit code is left.
    Reported(u8),
    /// Whoever read our output has gone: nothing is left to do.
    OutputClosed,
    /// A bug: the program panicked, and the panic was printed.
    Panicked,
}

/// A failed statement with its place in the text that holds it.
#[derive(Debug)]
pub struct StatementFailure {
    /// What went wrong.
    pub(crate) error: Error,
    /// The file, as the user named it; `None` for text typed at the prompt or after `-c`.
    pub(crate) origin: Option<String>,
    /// The whole text that the position counts in.
    pub(crate) text: String,
    /// Where: of the mistake if it is known, else of the statement.
    pub(crate) position: Position,
    /// Lines of the file before the text.
    pub(crate) lines_before: u64,
}

impl Failure {
    /// A wrong use of options or arguments (exit code 2).
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::Engine(Error::Usage(message.into()))
    }

    /// The exit status of the program.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Arguments(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Failure::Engine(error) => error.exit_code(),
            Failure::Statement(failure) => failure.error.exit_code(),
            Failure::Reported(code) => *code,
            Failure::OutputClosed => 0,
            Failure::Panicked => 70,
        }
    }

    /// Prints the failure on standard error; failures that were printed before print nothing.
    pub fn report(&self) {
        if let Failure::Arguments(error) = self {
            // Help goes to standard output; if that is closed there is nobody to tell.
            drop(error.print());
            return;
        }
        let text = self.describe(Paint { on: error_colours() });
        if !text.is_empty() {
            drop(writeln!(io::stderr().lock(), "{text}"));
        }
    }

    /// The failure as text for people: message, excerpt with a caret, hint. Empty where nothing is left to say.
    pub(crate) fn describe(&self, paint: Paint) -> String {
        match self {
            Failure::Engine(error) => format!("{} {}", paint.red("error:"), message_and_hint(error)),
            Failure::Statement(failure) => failure.describe(paint),
            Failure::Panicked => paint.red("internal error: the program panicked; please report the lines above"),
            Failure::Arguments(error) => error.to_string(),
            Failure::Reported(_) | Failure::OutputClosed => String::new(),
        }
    }
}

impl StatementFailure {
    fn describe(&self, paint: Paint) -> String {
        let place = match &self.origin {
            Some(file) => format!("{file}:{}: ", Position { line: self.lines_before + self.position.line, ..self.position }),
            None => String::new(),
        };
        let (message, hint) = message_and_hint_parts(&self.error);
        let mut text = format!("{}{} {message}", place, paint.red("error:"));
        if let Some(excerpt) = excerpt(&self.text, self.position, self.lines_before, paint) {
            text.push('\n');
            text.push_str(&excerpt);
        }
        if let Some(hint) = hint {
            text.push_str("\nhint: ");
            text.push_str(&hint);
        }
        text
    }
}

/// The line at `position` and a caret under its column; `None` when the text has no such place.
fn excerpt(text: &str, position: Position, lines_before: u64, paint: Paint) -> Option<String> {
    const WINDOW: usize = 100;
    let number = usize::try_from(position.line.checked_sub(1)?).ok()?;
    // A line with a password is not shown.
    let line = redact(text).lines().nth(number).and_then(|redacted| text.lines().nth(number).filter(|line| *line == redacted))?;
    let column = usize::try_from(position.column.checked_sub(1)?).ok()?;
    let from = column.saturating_sub(WINDOW * 2 / 3);
    let shown: String = line.chars().skip(from).take(WINDOW).map(visible).collect();
    let before: String = line.chars().skip(from).take(column - from).map(visible).collect();
    let number = format!("{:>4} | ", lines_before + position.line);
    let indent = " ".repeat(number.len() + super::terminal::display_width(&before));
    Some(format!("{}{shown}\n{indent}{}", paint.dim(&number), paint.red("^")))
}

/// Tabs and control characters would move the caret away from its place.
fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

fn message_and_hint(error: &Error) -> String {
    match message_and_hint_parts(error) {
        (message, Some(hint)) => format!("{message}\nhint: {hint}"),
        (message, None) => message,
    }
}

fn message_and_hint_parts(error: &Error) -> (String, Option<String>) {
    match error {
        Error::Query(query) => (query.message.clone(), query.hint.clone()),
        other => match other.to_string().split_once("\nhint: ") {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (other.to_string(), None),
        },
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Failure::Engine(Error::from(error))
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Failure::from(DataFusionError::from(error))
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Failure::Arguments(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Engine(Error::storage("cannot write the output", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str, line: u64, column: u64) -> Option<String> {
        excerpt(text, Position { line, column }, 0, Paint { on: false })
    }

    #[test]
    fn the_caret_stands_under_the_column() {
        assert_eq!(plain("select 1,\n  selec x", 2, 3).as_deref(), Some("   2 |   selec x\n         ^"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let shown = plain(&text, 1, 501).unwrap();
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.chars().count() < 120);
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('X'));
    }

    #[test]
    fn a_place_outside_the_text_has_no_excerpt() {
        assert_eq!(plain("select 1", 7, 1), None);
        assert_eq!(plain("select 1", 0, 0), None);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit_code(), 0);
        assert!(failure.describe(Paint { on: false }).is_empty());
    }
}
