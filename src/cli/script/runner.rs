//! Running prepared scripts: in turn or side by side, up to the first error or through all of them.

use std::io::Write;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use super::header::Titles;
use super::needs;
use super::prepared::{Prepared, ScriptSource, prepare};
use super::sample;
use super::summary::{self, Line};
use super::throttle::Throttle;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::progress::{Bar, Bars};
use crate::cli::session::{Printing, Session};
use crate::cli::spool::Spool;
use crate::cli::terminal::{Paint, error_colours};
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::error::Error;

/// What is to be run, and how.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    /// Scripts in order.
    pub(crate) scripts: Vec<ScriptSource>,
    /// `-p name=value`, as typed.
    pub(crate) bindings: Vec<(String, String)>,
    /// Go on after a failed statement.
    pub(crate) keep_going: bool,
    /// Scripts that run at the same time.
    pub(crate) jobs: usize,
    /// Share of all cores, in percent.
    pub(crate) cpu_limit: Option<u8>,
    /// Pause between two scripts.
    pub(crate) cooldown: Duration,
    /// Whether to say at the end what became of each script.
    pub(crate) summary: bool,
}

/// What became of one script.
struct Outcome {
    line: Line,
    failures: Vec<Failure>,
}

/// Runs the scripts of `plan` and prints their results to `output`.
///
/// # Errors
/// The first failure; failures that were printed come back as [`Failure::Reported`].
pub(crate) async fn run(plan: &RunPlan, engine: &Engine, printing: &Printing, output: Output, workers: Workers) -> Result<()> {
    let throttle = plan.cpu_limit.map(|percent| Throttle::start(percent, super::throttle::threads_for(percent), &workers)).transpose()?;
    let prepared = prepare(&plan.scripts, &plan.bindings, engine)?;
    if !plan.keep_going
        && let Some(broken) = prepared.iter().position(Result::is_err)
    {
        // Nothing runs when a later script could not: its mistake is better known now.
        return prepared.into_iter().nth(broken).map_or(Ok(()), |failure| failure.map(|_| ()));
    }
    let runner = Runner { plan, engine, printing, workers };
    let outcomes = match plan.jobs.min(prepared.len()) {
        0 | 1 => runner.in_turn(prepared, output).await?,
        jobs => runner.side_by_side(prepared, output, jobs).await?,
    };
    conclude(plan, printing, outcomes, throttle)
}

/// Runs a script inside a session that goes on afterwards, as `\i` does; it stops at the first error.
///
/// # Errors
/// The first failure.
pub(crate) async fn run_inside(session: &mut Session, script: Prepared) -> Result<()> {
    let parameters = std::mem::replace(&mut session.parameters, script.parameters.clone());
    let outcome = run_script(session, &script, &Bar::none(), false).await;
    session.parameters = parameters;
    outcome.failures.into_iter().next().map_or(Ok(()), Err)
}

struct Runner<'a> {
    plan: &'a RunPlan,
    engine: &'a Engine,
    printing: &'a Printing,
    workers: Workers,
}

impl Runner<'_> {
    fn session(&self, output: Output) -> Session {
        Session::new(self.engine.clone(), self.printing.clone(), output, self.workers.clone())
    }

    /// Results are printed as they come.
    async fn in_turn(&self, scripts: Vec<Result<Prepared>>, output: Output) -> Result<Vec<Outcome>> {
        let several = scripts.len() > 1;
        let mut session = self.session(output);
        let mut outcomes: Vec<Outcome> = Vec::new();
        for script in scripts {
            if !outcomes.is_empty() {
                self.cool_down(&mut session.workers).await?;
            }
            let outcome = match script {
                Ok(script) => {
                    self.announce(&mut session, &script, several)?;
                    session.parameters = script.parameters.clone();
                    run_script(&mut session, &script, &Bar::none(), self.plan.keep_going).await
                }
                Err(failure) => Outcome::unparsed(failure),
            };
            outcome.report(&mut session.output);
            let stop = outcome.ends_everything(self.plan.keep_going);
            outcomes.push(outcome);
            if stop {
                return Ok(outcomes);
            }
        }
        session.output.commit()?;
        Ok(outcomes)
    }

    /// Results are kept until it is their script's turn to be printed.
    async fn side_by_side(&self, scripts: Vec<Result<Prepared>>, mut output: Output, jobs: usize) -> Result<Vec<Outcome>> {
        if self.printing.format.one_result_per_file {
            return Err(Failure::usage(format!(
                "--jobs and --format {} do not go together: its file holds one result",
                self.printing.format.name
            )));
        }
        let bars = Bars::new(!self.printing.quiet);
        let runs = scripts.into_iter().enumerate().map(|(i, script)| self.one_of_many(script, i >= jobs, &bars));
        let mut runs = stream::iter(runs).buffered(jobs);
        let mut outcomes: Vec<Outcome> = Vec::new();
        while let Some((outcome, spool)) = runs.next().await {
            bars.suspend(|| {
                spool.copy_to(&mut output)?;
                output.flush()?;
                outcome.report(&mut output);
                Ok::<(), Failure>(())
            })?;
            let stop = outcome.ends_everything(self.plan.keep_going);
            outcomes.push(outcome);
            if stop {
                return Ok(outcomes);
            }
        }
        drop(runs);
        output.commit()?;
        Ok(outcomes)
    }

    async fn one_of_many(&self, script: Result<Prepared>, after_another: bool, bars: &Bars) -> (Outcome, Spool) {
        let script = match script {
            Ok(script) => script,
            Err(failure) => return (Outcome::unparsed(failure), Spool::default()),
        };
        let mut session = self.session(Output::Spooled(Spool::default()));
        session.label = None;
        session.parameters = script.parameters.clone();
        let bar = bars.add(&script.name, script.statements.len());
        let ready = match after_another {
            true => self.cool_down(&mut session.workers).await,
            false => Ok(()),
        };
        let outcome = match ready.and_then(|()| self.announce(&mut session, &script, true)) {
            Ok(()) => run_script(&mut session, &script, &bar, self.plan.keep_going).await,
            Err(failure) => Outcome::unparsed(failure),
        };
        match session.output {
            Output::Spooled(spool) => (outcome, spool),
            _ => (outcome, Spool::default()),
        }
    }

    /// With several scripts each result set stands under the name of its script.
    fn announce(&self, session: &mut Session, script: &Prepared, several: bool) -> Result<()> {
        if several && self.plan.summary { session.print_title(&format!("== {} ==", script.name)) } else { Ok(()) }
    }

    async fn cool_down(&self, workers: &mut Workers) -> Result<()> {
        if self.plan.cooldown.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(self.plan.cooldown) => Ok(()),
            () = workers.interrupted() => Err(Failure::Engine(Error::Cancelled)),
        }
    }
}

/// Runs the statements of one script.
async fn run_script(session: &mut Session, script: &Prepared, bar: &Bar, keep_going: bool) -> Outcome {
    let started = Instant::now();
    let mut line = Line { name: script.name.clone(), statements: 0, rows: 0, elapsed: Duration::ZERO, failures: 0, stopped: false };
    let mut failures = Vec::new();
    if let Err(failure) = sample::make(session, script).await {
        failures.push(failure);
        line.stopped = true;
    }
    let titles = Titles::of(&script.source.text);
    for statement in &script.statements {
        if line.stopped {
            break;
        }
        let titled = match titles.before(statement.position.line) {
            Some(title) => session.print_title(&title),
            None => Ok(()),
        };
        line.statements += 1;
        let outcome = match titled {
            Ok(()) => session.run(statement, &script.source).await,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(ran) => line.rows += ran.rows,
            Err(failure) => {
                line.stopped = !keep_going || ends_work(&failure);
                failures.push(needs::explained(failure, script));
            }
        }
        bar.advance();
    }
    line.elapsed = started.elapsed();
    line.failures = failures.iter().filter(|failure| !ends_work(failure)).count();
    Outcome { line, failures }
}

/// Whether nothing more can be done after this failure, whatever `--keep-going` says.
fn ends_work(failure: &Failure) -> bool {
    matches!(failure, Failure::OutputClosed | Failure::Engine(Error::Cancelled))
}

impl Outcome {
    /// The outcome of a script that never started.
    fn unparsed(failure: Failure) -> Self {
        let name = match &failure {
            Failure::Statement(statement) => statement.origin.clone().unwrap_or_default(),
            _ => String::new(),
        };
        let line = Line { name, statements: 0, rows: 0, elapsed: Duration::ZERO, failures: 1, stopped: true };
        Self { line, failures: vec![failure] }
    }

    /// Prints the failures after what the script printed before them.
    fn report(&self, output: &mut Output) {
        if !self.failures.is_empty() {
            // A closed output is a failure of its own and was met before.
            drop(output.flush());
        }
        self.failures.iter().for_each(Failure::report);
    }

    fn ends_everything(&self, keep_going: bool) -> bool {
        !self.failures.is_empty() && (!keep_going || self.failures.iter().any(ends_work))
    }
}

fn conclude(plan: &RunPlan, printing: &Printing, outcomes: Vec<Outcome>, throttle: Option<Throttle>) -> Result<()> {
    if plan.summary && !printing.quiet {
        let lines: Vec<Line> = outcomes.iter().map(|outcome| outcome.line.clone()).collect();
        let used = throttle.map(|throttle| format!("\n{}", throttle.used())).unwrap_or_default();
        let text = summary::text(&lines, Paint { on: error_colours() }) + &used;
        // Nothing can be said where nobody listens.
        drop(writeln!(std::io::stderr().lock(), "\n{text}"));
    }
    match outcomes.iter().flat_map(|outcome| &outcome.failures).next() {
        Some(failure) => Err(Failure::Reported(failure.exit_code())),
        None => Ok(()),
    }
}
