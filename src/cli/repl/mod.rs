//! The prompt: statements over several lines, `\` commands, history, completion, colours.
//!
//! | file | what |
//! |---|---|
//! | `commands` | the list of `\` commands |
//! | `describe` | `\d`: tables and columns |
//! | `functions` | `\df`: functions with their docs |
//! | `assist` | what the line editor asks: is it complete, how is it coloured, what could follow |
//! | `names` | names for completion, fetched when needed |
//! | `editor` | `\e`: a statement in an editor of the user's choice |

mod assist;
mod commands;
mod describe;
mod editor;
mod functions;
mod names;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use self::assist::Assist;
use self::names::Names;
use super::failure::{Failure, Result};
use super::output::Output;
use super::print::Format;
use super::session::{Printing, Session, SourceText};
use super::terminal;
use super::workers::Workers;
use crate::engine::{Engine, Parameters};
use crate::error::Error;

/// Statements kept in the history file.
const HISTORY_SIZE: usize = 10_000;
const PROMPT: &str = "tranchedb> ";

/// The state of the prompt.
pub(crate) struct Repl {
    /// Runs statements.
    session: Session,
    /// Names for completion.
    names: Arc<Names>,
    /// The last statement typed, for `\e` and `\explain`.
    last_statement: Option<String>,
    /// Text for the next prompt, from `\e`.
    prepared_line: Option<String>,
    /// The format to return to when `\o` ends.
    format_before_file: Option<&'static Format>,
    /// Set by `\q`.
    leaving: bool,
}

/// Reads and runs until `\q` or Ctrl-D.
///
/// # Errors
/// The terminal fails; failed statements are printed and the prompt goes on.
pub(crate) async fn run(
    engine: Engine,
    printing: Printing,
    output: Output,
    workers: Workers,
    bindings: Vec<(String, String)>,
) -> Result<()> {
    let names = Arc::new(Names::new(engine.clone(), workers.clone()));
    let mut editor = line_editor(Assist::new(&engine, Arc::clone(&names)))?;
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first session.
        drop(editor.load_history(path));
    }
    let mut repl = Repl::new(engine, printing, output, workers, names);
    bindings.iter().for_each(|(name, value)| repl.session.bind(name, Parameters::parse_value(value)));
    repl.greet()?;
    while !repl.leaving {
        let prepared = repl.prepared_line.take().unwrap_or_default();
        match editor.readline_with_initial(&prompt(), (&prepared, "")) {
            Ok(line) => {
                remember(&mut editor, &line, history.as_ref());
                repl.enter(&line).await?;
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::Engine(Error::storage("the terminal failed", error))),
        }
    }
    repl.session.output.commit()
}

fn line_editor(assist: Assist) -> Result<Editor<Assist, FileHistory>> {
    let failed = |error| Failure::Engine(Error::storage("cannot use the terminal", error));
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_SIZE).map_err(failed)?.build();
    let mut editor = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(assist));
    Ok(editor)
}

fn prompt() -> (String, String) {
    (PROMPT.to_owned(), terminal::Paint { on: terminal::colours() }.title(PROMPT))
}

/// The history file in the user's data directory; `None` where there is no such place.
fn history_file() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME")
        .filter(|path| !path.is_empty())
        .or_else(|| std::env::var_os("LOCALAPPDATA"))
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))?;
    let directory = data.join("tranchedb");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

/// Adds a line to the history at once, so that a crash loses nothing. A history that cannot be written is no reason to stop.
fn remember(editor: &mut Editor<Assist, FileHistory>, line: &str, history: Option<&PathBuf>) {
    if line.trim().is_empty() {
        return;
    }
    drop(editor.add_history_entry(line));
    if let Some(path) = history {
        drop(editor.append_history(path));
    }
}

impl Repl {
    fn new(engine: Engine, printing: Printing, output: Output, workers: Workers, names: Arc<Names>) -> Self {
        let session = Session::new(engine, printing, output, workers);
        Self { session, names, last_statement: None, prepared_line: None, format_before_file: None, leaving: false }
    }

    fn greet(&mut self) -> Result<()> {
        if self.session.printing.quiet {
            return Ok(());
        }
        let place = self.session.engine.config().location.clone();
        let place = place.map_or_else(|| "in memory".to_owned(), |location| format!("in {location}"));
        let mut out = std::io::stdout().lock();
        writeln!(out, "TrancheDB {}, database {place}. \\? shows the commands, \\q leaves.", env!("CARGO_PKG_VERSION"))?;
        Ok(out.flush()?)
    }

    /// Runs what was typed; what goes wrong is printed, and only a closed output ends the prompt.
    async fn enter(&mut self, line: &str) -> Result<()> {
        self.session.workers.forget_interrupts();
        let outcome = match line.trim_start().strip_prefix('\\') {
            Some(command) => commands::run(self, command).await,
            None => self.run_statements(line).await,
        };
        match outcome {
            Err(Failure::OutputClosed) => Err(Failure::OutputClosed),
            Err(failure) => {
                self.session.output.flush()?;
                failure.report();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn run_statements(&mut self, text: &str) -> Result<()> {
        let source = SourceText { origin: None, text: text.into() };
        for statement in self.session.parse(&source)? {
            self.last_statement = Some(statement.text.clone());
            let outcome = self.session.run(&statement, &source).await;
            if names::may_change_names(&statement) {
                self.names.forget();
            }
            outcome?;
        }
        Ok(())
    }
}
