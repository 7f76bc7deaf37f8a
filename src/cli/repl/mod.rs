//! The prompt: statements over several lines, `\` commands, history, completion, colours.
//!
//! | file | what |
//! |---|---|
//! | `commands` | the list of `\` commands |
//! | `describe` | `\d`: tables and columns |
//! | `functions` | `\df`: functions with their docs |
//! | `heavysql` | commands of HeavyDB's prompt |
//! | `assist` | what the line editor asks: is it complete, how is it coloured, what could follow |
//! | `names` | names for completion, fetched when needed |
//! | `editor` | `\e`: a statement in an editor of the user's choice |

mod assist;
mod commands;
mod describe;
mod editor;
mod functions;
mod heavysql;
mod names;

use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::sql::parser::Statement as Sql;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use datafusion_heavydb::replay::input::redact;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use self::assist::Assist;
use self::names::Names;
use super::failure::{Failure, Result};
use super::output::Output;
use super::print::Format;
use super::session::{Printing, Session, SourceText, located};
use super::terminal;
use super::workers::Workers;
use crate::catalog::Lexer;
use crate::catalog::{Command, Statement};
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
    /// A statement that is not finished, while a command typed on one of its lines runs.
    pending: Option<String>,
    /// The format to return to when `\o` ends.
    format_before_file: Option<&'static Format>,
    /// Whether somebody types.
    on_terminal: bool,
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
    let lexer = Lexer::of(engine.context());
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
                let statement = commands::within(&lexer, &line).map_or(line.as_str(), |(statement, _)| statement);
                remember(&mut editor, statement, history.as_ref());
                repl.enter(&line).await?;
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::Engine(Error::storage("the terminal failed", error))),
        }
    }
    repl.session.output.commit()
}

/// Whether a text holds commands of the prompt.
pub(crate) fn has_commands(text: &str) -> bool {
    text.lines().any(|line| commands::typed(line).is_some())
}

/// Runs a text as if it were typed: statements as they end, commands line by line, up to the first failure or `\q`.
///
/// # Errors
/// The first failure.
pub(crate) async fn run_text(
    engine: Engine,
    printing: Printing,
    output: Output,
    workers: Workers,
    (text, bindings): (&str, &[(String, String)]),
) -> Result<()> {
    let lexer = Lexer::of(engine.context());
    let names = Arc::new(Names::new(engine.clone(), workers.clone()));
    let mut repl = Repl::new(engine, printing, output, workers, names);
    repl.on_terminal = false;
    bindings.iter().for_each(|(name, value)| repl.session.bind(name, Parameters::parse_value(value)));
    let (mut text, mut at, mut lines_before) = (Cow::Borrowed(text), 0, 0);
    while let Some(line) = text[at..].split_inclusive('\n').next()
        && !repl.leaving
    {
        let mut end = at + line.len();
        if let Some(command) = commands::typed(line) {
            commands::run(&mut repl, command).await?;
        } else if !line.trim().is_empty() {
            end = at + lexer.first_whole_lines(&text[at..]);
            if let Some((statement, command, after)) = commands::first_within(&lexer, &text[at..end]) {
                // The command leaves a blank line, so that those after it keep their numbers.
                repl.pending = Some(format!("{statement}\n\n"));
                commands::run(&mut repl, command).await?;
                let lines = text[at..at + after].matches('\n').count() as u64;
                let kept = repl.pending.take().unwrap_or_default();
                lines_before += if kept.is_empty() { lines } else { 0 };
                (text, at) = (Cow::Owned(kept + &text[at + after..]), 0);
                continue;
            }
            repl.run_input(lines_before, &text[at..end]).await?;
        }
        lines_before += text[at..end].matches('\n').count() as u64;
        at = end;
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

/// Adds a line to the history at once, so that a crash loses nothing; passwords and keys are left out. A history that cannot be written is no reason to stop.
fn remember(editor: &mut Editor<Assist, FileHistory>, line: &str, history: Option<&PathBuf>) {
    if line.trim().is_empty() {
        return;
    }
    drop(editor.add_history_entry(redact(line)));
    if let Some(path) = history {
        drop(editor.append_history(path));
    }
}

impl Repl {
    fn new(engine: Engine, printing: Printing, output: Output, workers: Workers, names: Arc<Names>) -> Self {
        let session = Session::new(engine, printing, output, workers);
        Self {
            session,
            names,
            last_statement: None,
            prepared_line: None,
            pending: None,
            format_before_file: None,
            on_terminal: true,
            leaving: false,
        }
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
        let lexer = Lexer::of(self.session.engine.context());
        let outcome = match (commands::typed(line), commands::within(&lexer, line)) {
            (Some(command), _) => commands::run(self, command).await,
            (None, Some((statement, command))) => {
                self.pending = Some(format!("{statement}\n"));
                let outcome = commands::run(self, command).await;
                // What \e gave is the statement's new text.
                let pending = self.pending.take();
                self.prepared_line = self.prepared_line.take().or(pending);
                outcome
            }
            (None, None) => self.run_statements(line).await,
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
        self.run_source(&SourceText { origin: None, text: text.into(), lines_before: 0 }).await
    }

    /// Statements of the standard input, of which so many lines came before.
    async fn run_input(&mut self, lines_before: u64, text: &str) -> Result<()> {
        self.run_source(&SourceText { origin: Some("stdin".to_owned()), text: text.into(), lines_before }).await
    }

    async fn run_source(&mut self, source: &SourceText) -> Result<()> {
        for statement in self.session.parse(source)? {
            self.require_bound(&statement, source)?;
            self.last_statement = Some(statement.text.clone());
            let outcome = self.session.run(&statement, source).await;
            if names::may_change_names(&statement) {
                self.names.forget();
            }
            outcome?;
        }
        Ok(())
    }

    /// Says how an unbound `$name` is bound here.
    fn require_bound(&self, statement: &Statement, source: &SourceText) -> Result<()> {
        let prepares = matches!(&statement.command, Command::Sql(sql) if matches!(sql.as_ref(), Sql::Statement(ast) if matches!(ast.as_ref(), Ast::Prepare { .. })));
        if prepares {
            return Ok(());
        }
        let bound = |name: &String| self.session.parameters.iter().any(|(known, _)| known == name);
        let used = Lexer::of(self.session.engine.context()).placeholders(&statement.text);
        match used.iter().find(|name| !bound(name)) {
            None => Ok(()),
            Some(name) => {
                let error = Error::Usage(format!("${name} has no value\nhint: \\set {name} VALUE binds it"));
                Err(located(error, source, statement.position))
            }
        }
    }
}
