//! `tranchedb replay`: logged queries run here, their rows compared with HeavyDB's, and the report.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use datafusion_heavydb::replay::input::{Filters, InputError};
use datafusion_heavydb::replay::report::{Form, Report, Status};

use crate::cli::arguments::ReplayArguments;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::progress::Spinner;
use crate::cli::session::Printing;
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::error::Error;
use crate::heavydb::{self, ReplayOptions};

/// Exit code where results differ.
const DIFFERENT: u8 = 3;
/// Exit code where an input could be read in part.
const UNREADABLE: u8 = 1;

/// What is to be replayed.
#[derive(Debug)]
pub(crate) struct ReplayPlan {
    options: ReplayOptions,
    results: Option<PathBuf>,
    form: Form,
    allowed: Vec<Status>,
    /// The one query that is shown instead of the report.
    explain: Option<String>,
    /// The file of statements that is written instead of a replay.
    capture: Option<PathBuf>,
}

impl ReplayPlan {
    /// The replay that was typed.
    ///
    /// # Errors
    /// Moments that cannot be read.
    pub(crate) fn new(typed: ReplayArguments, output: Option<&Path>) -> Result<Self> {
        let moment = |text: Option<String>, read: fn(&str) -> std::result::Result<_, InputError>| {
            text.as_deref().map(read).transpose().map_err(|error| Failure::usage(error.to_string()))
        };
        let filters = Filters {
            since: moment(typed.since, Filters::moment)?,
            until: moment(typed.until, Filters::moment_until)?,
            database: typed.database,
            user: typed.user,
            only: typed.only,
        };
        let options = ReplayOptions {
            inputs: typed.inputs,
            setup: typed.setup,
            expected: typed.expected,
            settings: typed.set,
            tolerance: typed.tolerance,
            absolute: typed.absolute,
            exact: typed.exact,
            filters,
            allow_writes: typed.allow_writes,
            repeat: typed.repeat.map(usize::from),
            warmup: usize::from(typed.warmup),
            timeout: typed.timeout.map(Duration::from_secs_f64),
            jobs: usize::from(typed.jobs),
        };
        let allowed = Status::ALL.iter().copied().filter(|status| typed.allow.iter().any(|name| name == status.name())).collect();
        let form = typed.report.as_deref().and_then(Form::named).or_else(|| form_of(output?)).unwrap_or_default();
        Ok(Self { options, results: typed.results, form, allowed, explain: typed.explain, capture: typed.capture })
    }
}

/// The form that the ending of a file means.
fn form_of(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()? {
        "json" => Some(Form::Json),
        "xml" => Some(Form::Junit),
        _ => None,
    }
}

/// Replays and prints the report.
///
/// # Errors
/// Inputs that cannot be read, Ctrl-C, or differences that are not allowed.
pub(crate) async fn run(plan: ReplayPlan, engine: Engine, printing: &Printing, mut output: Output, mut workers: Workers) -> Result<()> {
    if let Some(file) = &plan.capture {
        return capture(&plan.options, file, printing.quiet, output);
    }
    if let Some(id) = plan.explain {
        let options = plan.options;
        let explained = workers.run(async move { engine.explain_replay(&options, &id).await }).await??;
        explained.write(&mut output)?;
        output.commit()?;
        return ended(passes(explained.outcome.status, &plan.allowed));
    }
    let results = plan.results.as_deref().map(results_file).transpose()?;
    let wants_proof = plan.options.expected.is_some();
    let report = replay(plan.options, results, &engine, !printing.quiet, &mut workers).await?;
    report.write(plan.form, &mut output)?;
    output.commit()?;
    if report.inputs.iter().any(|input| input.ends_early) {
        return Err(Failure::Reported(UNREADABLE));
    }
    ended(report.passes(&plan.allowed) && (report.judges() || !wants_proof))
}

/// Whether a query of this status is no reason for an exit code.
fn passes(status: Status, allowed: &[Status]) -> bool {
    !matches!(status, Status::Differs | Status::Error | Status::Unsupported) || allowed.contains(&status)
}

/// How the program ends where all that was to be said is printed.
fn ended(passes: bool) -> Result<()> {
    if passes { Ok(()) } else { Err(Failure::Reported(DIFFERENT)) }
}

fn results_file(path: &Path) -> Result<Box<dyn Write + Send>> {
    let file = File::create(path).map_err(|error| Error::storage(format!("cannot write {}", path.display()), error))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Writes the statements and says what to do with them.
fn capture(options: &ReplayOptions, file: &Path, quiet: bool, mut output: Output) -> Result<()> {
    let mut statements = Output::whole_file(file)?;
    let captured = heavydb::capture(options, &mut statements)?;
    statements.commit()?;
    if !quiet {
        writeln!(output, "{} statements written to {}", captured.statements, file.display())?;
        for (reason, count) in &captured.left_out {
            writeln!(output, "{count} queries are left out: {reason}")?;
        }
        writeln!(output, "run them on the HeavyDB server, fetch its CSV files into a folder, and replay with --expected FOLDER")?;
    }
    output.commit()
}

async fn replay(
    options: ReplayOptions,
    results: Option<Box<dyn Write + Send>>,
    engine: &Engine,
    visible: bool,
    workers: &mut Workers,
) -> Result<Report> {
    let mut spinner = Spinner::start("replaying", visible);
    let done = Arc::new(AtomicU64::new(0));
    let (engine, counted) = (engine.clone(), Arc::clone(&done));
    let work = workers.run(async move {
        let each = move |replayed: heavydb::Replayed<'_>| counted.store(replayed.count as u64, Ordering::Relaxed);
        engine.replay(&options, results, each).await
    });
    tokio::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return Ok(outcome??),
            () = spinner.tick() => spinner.show(done.load(Ordering::Relaxed), None),
        }
    }
}
