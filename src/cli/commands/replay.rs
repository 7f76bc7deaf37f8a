//! `tranchedb replay`: logged queries run here, their rows compared with HeavyDB's, and the report.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
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
use crate::heavydb::ReplayOptions;

/// Exit code where results differ.
const DIFFERENT: u8 = 3;

/// What is to be replayed.
#[derive(Debug)]
pub(crate) struct ReplayPlan {
    options: ReplayOptions,
    results: Option<PathBuf>,
    form: Form,
    allowed: Vec<Status>,
}

impl ReplayPlan {
    /// The replay that was typed.
    ///
    /// # Errors
    /// Moments that cannot be read.
    pub(crate) fn new(typed: ReplayArguments) -> Result<Self> {
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
            repeat: usize::from(typed.repeat),
            warmup: usize::from(typed.warmup),
            timeout: typed.timeout.map(Duration::from_secs_f64),
        };
        let allowed = Status::ALL.iter().copied().filter(|status| typed.allow.iter().any(|name| name == status.name())).collect();
        Ok(Self { options, results: typed.results, form: Form::named(&typed.report).unwrap_or_default(), allowed })
    }
}

/// Replays and prints the report.
///
/// # Errors
/// Inputs that cannot be read, Ctrl-C, or differences that are not allowed.
pub(crate) async fn run(plan: ReplayPlan, engine: Engine, printing: &Printing, mut output: Output, mut workers: Workers) -> Result<()> {
    let results = plan.results.as_deref().map(File::create).transpose()?;
    let results = results.map(|file| Box::new(BufWriter::new(file)) as Box<dyn Write + Send>);
    let report = replay(plan.options, results, &engine, !printing.quiet, &mut workers).await?;
    report.write(plan.form, &mut output)?;
    output.commit()?;
    if report.passes(&plan.allowed) { Ok(()) } else { Err(Failure::Reported(DIFFERENT)) }
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
        let each = move |replayed: crate::heavydb::Replayed<'_>| counted.store(replayed.count as u64, Ordering::Relaxed);
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
