//! Running statements and printing their results: the one place where the command line does it.
//!
//! A query runs on worker threads and hands its batches over one by one; printing, Ctrl-C and the sign of life are served here meanwhile.
//! Every statement leaves one log line.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use tokio::sync::mpsc;

use super::failure::{Failure, Result, StatementFailure};
use super::logging::QUERY_TARGET;
use super::output::Output;
use super::print::{Format, Look, ResultWriter};
use super::progress::Spinner;
use super::workers::Workers;
use crate::catalog::{Lexer, Redacted, Statement};
use crate::engine::{Done, Engine, Parameters};
use crate::error::{Error, Position};
use crate::exec::{giving_way, progress};

/// Batches that may wait for the printer.
const BATCHES_AHEAD: usize = 2;

/// How results are printed.
#[derive(Debug, Clone)]
pub(crate) struct Printing {
    /// The format.
    pub(crate) format: &'static Format,
    /// Rows shown by the table format; `None` shows all.
    pub(crate) max_rows: Option<usize>,
    /// Data only.
    pub(crate) quiet: bool,
    /// Print the time after each result.
    pub(crate) timing: bool,
}

/// The text that statements come from, for messages.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    /// The file; `None` for text typed at the prompt or after `-c`.
    pub(crate) origin: Option<String>,
    /// The text that is run.
    pub(crate) text: Arc<str>,
    /// Lines of the origin before this text, when it is a part.
    pub(crate) lines_before: u64,
}

/// What one statement did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Rows of the result.
    pub(crate) rows: u64,
    /// Bytes of the result in memory.
    pub(crate) bytes: u64,
}

/// Everything statements share: engine, parameters, printing and output.
pub(crate) struct Session {
    /// The engine.
    pub(crate) engine: Engine,
    /// Values for `$name`.
    pub(crate) parameters: Parameters,
    /// How results are printed.
    pub(crate) printing: Printing,
    /// Where they go.
    pub(crate) output: Output,
    /// Threads that do the work, and Ctrl-C.
    pub(crate) workers: Workers,
    /// What the spinner says while a statement runs; `None` for no spinner.
    pub(crate) label: Option<String>,
    /// Results written to the output so far.
    results: u64,
}

/// A statement's result on its way from the workers.
enum Part {
    Note(String),
    Plan(Arc<dyn ExecutionPlan>),
    Rows(RecordBatch),
}

impl Session {
    /// A session that prints to `output`.
    pub(crate) fn new(engine: Engine, printing: Printing, output: Output, workers: Workers) -> Self {
        let label = Some("running".to_owned());
        Self { engine, parameters: Parameters::new(), printing, output, workers, label, results: 0 }
    }

    /// Binds `$name`.
    pub(crate) fn bind(&mut self, name: &str, value: ScalarValue) {
        self.parameters.set(name, value);
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// The text cannot be parsed; nothing of it was run.
    pub(crate) fn parse(&self, source: &SourceText) -> Result<Vec<Statement>> {
        self.engine.parse(&source.text).map_err(|error| located(error, source, Position { line: 1, column: 1 }))
    }

    /// Runs one statement and prints its result.
    ///
    /// # Errors
    /// The statement fails, the output cannot be written, or Ctrl-C came.
    pub(crate) async fn run(&mut self, statement: &Statement, source: &SourceText) -> Result<Ran> {
        let started = Instant::now();
        let outcome = self.run_and_print(statement, started).await;
        log(&self.engine, statement, started.elapsed(), &outcome);
        outcome.map_err(|failure| match failure {
            Failure::Engine(Error::Cancelled) => Failure::Engine(Error::Cancelled),
            Failure::Engine(error) => located(error, source, statement.position),
            other => other,
        })
    }

    async fn run_and_print(&mut self, statement: &Statement, started: Instant) -> Result<Ran> {
        let (sender, mut parts) = mpsc::channel(BATCHES_AHEAD);
        let work = produce(self.engine.clone(), statement.clone(), self.parameters.clone(), sender);
        let task = self.workers.spawn(work);
        let mut spinner = Spinner::start(self.label.clone().unwrap_or_default(), self.label.is_some() && !self.printing.quiet);
        let (mut ran, mut printer, mut plan) = (Ran::default(), None, None);
        loop {
            let part = tokio::select! {
                () = self.workers.interrupted() => return Err(Failure::Engine(Error::Cancelled)),
                () = spinner.tick() => {
                    spinner.show(ran.rows, plan.as_ref().and_then(progress));
                    continue;
                }
                part = parts.recv() => part,
            };
            match part {
                Some(Part::Note(note)) => self.tell(&note, &mut spinner),
                Some(Part::Plan(begun)) => {
                    printer = self.begin(&begun.schema(), &mut spinner)?;
                    plan = Some(begun);
                }
                Some(Part::Rows(batch)) => {
                    ran.rows += batch.num_rows() as u64;
                    ran.bytes += batch.get_array_memory_size() as u64;
                    if let Some(printer) = &mut printer {
                        printer.batch(&batch, &mut self.output)?;
                    }
                }
                None => break,
            }
        }
        task.join().await??;
        spinner.clear();
        self.finish(printer, started.elapsed())?;
        Ok(ran)
    }

    /// Says what a statement has to say beside its rows, where the data does not go.
    fn tell(&self, note: &str, spinner: &mut Spinner) {
        if !self.printing.quiet {
            spinner.clear();
            // A closed standard error leaves nobody to tell.
            drop(writeln!(std::io::stderr().lock(), "note: {note}"));
        }
    }

    /// A writer for a result with columns; a statement without a result prints no data.
    fn begin(&mut self, schema: &SchemaRef, spinner: &mut Spinner) -> Result<Option<Box<dyn ResultWriter>>> {
        if schema.fields().is_empty() {
            return Ok(None);
        }
        if self.printing.format.one_result_per_file {
            self.require_own_file()?;
        }
        if self.output.is_seen_at_once() && !self.printing.format.prints_at_the_end {
            spinner.clear();
        }
        let mut writer = self.printing.format.writer(&self.look());
        writer.begin(schema, &mut self.output)?;
        self.results += 1;
        Ok(Some(writer))
    }

    fn require_own_file(&self) -> Result<()> {
        let name = self.printing.format.name;
        if !matches!(self.output, Output::Whole(_)) {
            return Err(Failure::usage(format!("a {name} result needs a file: -o FILE")));
        }
        if self.results > 0 {
            return Err(Failure::usage(format!("a {name} file holds one result only\nhint: write each result with COPY (...) TO 'FILE'")));
        }
        Ok(())
    }

    fn finish(&mut self, printer: Option<Box<dyn ResultWriter>>, elapsed: Duration) -> Result<()> {
        match printer {
            Some(mut printer) => printer.finish(self.printing.timing.then_some(elapsed), &mut self.output)?,
            None if self.printing.format.prints_at_the_end && self.printing.timing && !self.printing.quiet => {
                writeln!(self.output, "done, {:.3} s", elapsed.as_secs_f64())?;
            }
            None => {}
        }
        Ok(self.output.flush()?)
    }

    /// Prints rows that are no result of a statement, in the chosen format.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn print(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut writer = self.printing.format.writer(&Look { quiet: true, ..self.look() });
        writer.begin(&rows.schema(), &mut self.output)?;
        writer.batch(rows, &mut self.output)?;
        writer.finish(None, &mut self.output)?;
        Ok(self.output.flush()?)
    }

    /// How the table format looks on this output.
    fn look(&self) -> Look {
        let (width, colours) = self.output.terminal();
        Look { width, colours, max_rows: self.printing.max_rows, quiet: self.printing.quiet }
    }

    /// Prints a title above the next result where the format has room for one.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) fn print_title(&mut self, title: &str) -> Result<()> {
        let paint = super::terminal::Paint { on: self.output.terminal().1 };
        match self.printing.format.name {
            _ if self.printing.quiet => Ok(()),
            "table" => Ok(writeln!(self.output, "\n{}", paint.title(title))?),
            "markdown" => Ok(writeln!(self.output, "## {title}\n")?),
            _ => Ok(()),
        }
    }
}

/// Plans and runs the statement on the workers, handing over its schema and then its batches.
async fn produce(engine: Engine, statement: Statement, parameters: Parameters, parts: mpsc::Sender<Part>) -> Result<(), Error> {
    let Done { frame, note } = engine.run_noted(&statement, &parameters).await?;
    if let Some(note) = note
        && parts.send(Part::Note(note)).await.is_err()
    {
        return Ok(());
    }
    let context = Arc::new(frame.task_ctx());
    let plan = match frame.logical_plan() {
        // A statement without a result needs no planner.
        LogicalPlan::EmptyRelation(none) if none.schema.fields().is_empty() && !none.produce_one_row => {
            Arc::new(EmptyExec::new(Arc::clone(none.schema.inner())))
        }
        _ => giving_way(frame.create_physical_plan().await?)?,
    };
    let mut stream = execute_stream(Arc::clone(&plan), context)?;
    // A closed channel means that nobody wants the result any more.
    if parts.send(Part::Plan(plan)).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = stream.next().await {
        if parts.send(Part::Rows(batch?)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The error with its place: that of the mistake if the engine knows it, else that of the statement.
pub(crate) fn located(error: Error, source: &SourceText, start: Position) -> Failure {
    let position = match &error {
        Error::Query(query) => query.position.unwrap_or(start),
        _ => start,
    };
    let (origin, text) = (source.origin.clone(), source.text.to_string());
    Failure::Statement(Box::new(StatementFailure { error, origin, text, position, lines_before: source.lines_before }))
}

/// One line per statement.
fn log(engine: &Engine, statement: &Statement, elapsed: Duration, outcome: &Result<Ran>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if !tracing::enabled!(target: QUERY_TARGET, tracing::Level::ERROR) {
        return;
    }
    let duration_ms = elapsed.as_secs_f64() * 1e3;
    match outcome {
        Ok(_) if !tracing::enabled!(target: QUERY_TARGET, tracing::Level::INFO) => {}
        Ok(ran) => {
            let lexer = Lexer::of(engine.context());
            let redacted = Redacted::new(&lexer, beginning(&statement.text));
            tracing::info!(target: QUERY_TARGET, id, duration_ms, rows = ran.rows, bytes = ran.bytes, statement = redacted.text, "ok");
        }
        Err(failure) => {
            let lexer = Lexer::of(engine.context());
            let redacted = Redacted::new(&lexer, &statement.text);
            let error = redacted.apply(&failure.describe(super::terminal::Paint { on: false }));
            tracing::error!(target: QUERY_TARGET, id, duration_ms, statement = redacted.text, error, "failed");
        }
    }
}

/// As much of a statement as a log line can come to show: an `INSERT` may have 40 MB.
fn beginning(text: &str) -> &str {
    const MOST_BYTES: usize = 1 << 16;
    text.get(..text.floor_char_boundary(MOST_BYTES)).unwrap_or(text)
}
