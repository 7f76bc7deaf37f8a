//! Queries of a HeavyDB server, run here in their order and compared with its results.

use std::collections::{HashSet, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SessionState;
use datafusion_heavydb::replay::compare::{Difference, Verdict};
use datafusion_heavydb::replay::expected::Expectation;
use datafusion_heavydb::replay::input::{Entry, Filters, Inputs, Kind, Query, Skip};
use datafusion_heavydb::replay::render::Results;
use datafusion_heavydb::replay::report::{Outcome, Report, Status};
use datafusion_heavydb::tables::Database;

use super::judge::{Given, Judge, Judged, failed, unreadable, without_rows};
use super::notes::{self, ChangeNotes};
use crate::error::{Error, Result};

/// Steps that may wait for a query before them: times of queries that came again need a bound too.
const STEPS_AHEAD: usize = 4_096;

/// What is replayed, and how it is judged.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Server logs, SQL files and JSON lines, in order.
    pub inputs: Vec<PathBuf>,
    /// SQL files that are run before: schema and rows.
    pub setup: Vec<PathBuf>,
    /// HeavyDB's results: a file or a folder.
    pub expected: Option<PathBuf>,
    /// Options of the dialect as `name=value`.
    pub settings: Vec<(String, String)>,
    /// Relative difference of numbers that counts as none.
    pub tolerance: f64,
    /// Absolute difference of numbers that counts as none.
    pub absolute: f64,
    /// Whether approximate aggregates are compared like any other number.
    pub exact: bool,
    /// Which statements take part.
    pub filters: Filters,
    /// Whether statements of a log that change data are run.
    pub allow_writes: bool,
    /// Timed runs of every query; `None`: three where HeavyDB's time is known, else one.
    pub repeat: Option<usize>,
    /// Runs before them.
    pub warmup: usize,
    /// How long a query may take.
    pub timeout: Option<Duration>,
    /// Queries that run at the same time; a statement that changes tables waits for those before it.
    pub jobs: usize,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            inputs: vec![],
            setup: vec![],
            expected: None,
            settings: vec![],
            tolerance: 1e-5,
            absolute: 0.0,
            exact: false,
            filters: Filters::default(),
            allow_writes: false,
            repeat: None,
            warmup: 0,
            timeout: None,
            jobs: 1,
        }
    }
}

/// One query, replayed, on its way to the caller.
#[derive(Debug)]
pub struct Replayed<'a> {
    /// Its row of the report.
    pub outcome: &'a Outcome,
    /// Queries so far.
    pub count: usize,
}

/// What becomes of a statement before it runs.
pub(super) enum Course {
    /// It is not run; its row of the report.
    Left(Box<Outcome>),
    /// It changes tables; the message with which HeavyDB failed, where it did.
    Change(Option<String>),
    /// It is run and compared with this.
    Run(Option<Expectation>),
}

/// Decides what becomes of a statement.
///
/// # Errors
/// An expectation that cannot be read.
pub(super) fn course(judge: &Judge, query: &Query) -> Result<Course> {
    let expectation = judge.expectation(&query.id)?;
    let wants_error = matches!(&expectation, Some(Expectation::Error(_)));
    if query.skip.is_some() && !(wants_error && query.skip == Some(Skip::Failed)) {
        return Ok(Course::Left(Box::new(Outcome::new(query))));
    }
    let skipped =
        |reason: &str| Course::Left(Box::new(Outcome { status: Status::Skipped, reason: Some(reason.into()), ..Outcome::new(query) }));
    Ok(match query.kind {
        Kind::Query => Course::Run(expectation),
        Kind::Session | Kind::Administration | Kind::Show | Kind::Export => skipped("it is no query of tables"),
        _ if query.timestamp.is_some() && !judge.options.allow_writes => skipped("it changes data: --allow-writes runs it, in memory"),
        _ => match expectation {
            Some(Expectation::Error(message)) => Course::Change(Some(message)),
            _ => Course::Change(None),
        },
    })
}

/// Replays every statement of the inputs; `each` sees every query, `results` takes our rows, both in the order of the inputs.
///
/// # Errors
/// An input, an expectation or a statement of the setup that cannot be read or run; a query that fails is none.
pub async fn replay(
    base: SessionState,
    database: Arc<Database>,
    options: &ReplayOptions,
    results: Option<Box<dyn Write + Send>>,
    each: impl FnMut(Replayed<'_>) + Send,
) -> Result<Report> {
    let judge = Arc::new(Judge::open(base, database, options)?);
    let mut inputs = Inputs::open(&options.inputs, options.filters.clone()).map_err(unreadable)?;
    let mut report = Report::new(format!("tranchedb {}", env!("CARGO_PKG_VERSION")));
    report.options = judge.shown_options();
    let said = judge.set_up().await?;
    let mut run = Run {
        judge: Arc::clone(&judge),
        report,
        results: results.map(Results::new),
        each,
        steps: VecDeque::new(),
        found: HashSet::new(),
        said,
    };
    for entry in &mut inputs {
        match entry.map_err(unreadable)? {
            Entry::Again { id, timing } => run.steps.extend(timing.map(|timing| Step::Time(id, timing.total_ms))),
            Entry::Query(query) => run.begin(query).await?,
        }
        run.settle(STEPS_AHEAD).await?;
    }
    run.settle(0).await?;
    let Run { mut report, results, found, said, .. } = run;
    report.inputs = inputs.summaries().to_vec();
    if let Some(results) = results {
        results.finish().map_err(|error| Error::storage("writing the results", error))?;
    }
    report.notes = notes::of(&judge, &report, &found);
    report.notes.extend(said.lines());
    Ok(report)
}

/// What is to be done with a query, in the order of the inputs.
enum Step {
    /// It runs.
    Running(Box<Query>, SpawnedTask<Judged>),
    /// It is not run.
    Left(Box<Outcome>),
    /// One more time of HeavyDB.
    Time(String, f64),
}

/// A replay under way.
struct Run<E> {
    judge: Arc<Judge>,
    report: Report,
    results: Option<Results<Box<dyn Write + Send>>>,
    each: E,
    steps: VecDeque<Step>,
    /// Ids of queries that have a result.
    found: HashSet<String>,
    /// What changes of tables had to say.
    said: ChangeNotes,
}

impl<E: FnMut(Replayed<'_>) + Send> Run<E> {
    /// Begins a statement, when there is room.
    async fn begin(&mut self, query: Box<Query>) -> Result<()> {
        match course(&self.judge, &query)? {
            Course::Left(outcome) => self.steps.push_back(Step::Left(outcome)),
            Course::Change(failure) => {
                if failure.is_some() {
                    self.found.insert(query.id.clone());
                }
                self.settle(0).await?;
                self.change(&query, failure).await;
            }
            Course::Run(expectation) => {
                if expectation.is_some() {
                    self.found.insert(query.id.clone());
                }
                while self.running() >= self.judge.options.jobs.max(1) {
                    self.settle_one().await?;
                }
                let (judge, moved) = (Arc::clone(&self.judge), query.clone());
                let task = SpawnedTask::spawn(async move { judge.judged(&moved, expectation.as_ref()).await });
                self.steps.push_back(Step::Running(query, task));
            }
        }
        Ok(())
    }

    fn running(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Running(..))).count()
    }

    /// A statement that is no query. One that fails leaves the tables as they were: what reads them is then likely to differ, so it is told.
    /// Where HeavyDB failed, ours must fail too.
    async fn change(&mut self, query: &Query, failure: Option<String>) {
        let started = Instant::now();
        match (self.judge.session(Some(query)).run(&query.sql).await, failure) {
            (Ok(_), Some(message)) => {
                let verdict = Verdict::Differs(Difference::NoError(message));
                self.tell(Outcome::new(query).with_verdict(verdict));
            }
            (Err(error), Some(message)) => {
                self.tell(without_rows(Outcome::new(query), query, &error, Some(&Expectation::Error(message))).outcome)
            }
            (Ok(done), None) => {
                self.report.changed(started.elapsed().as_secs_f64() * 1000.0);
                let file = query.origin.file.display().to_string();
                self.said.add(&file, &query.origin.to_string(), done.note);
            }
            (Err(error), None) => self.tell(failed(Outcome::new(query), query, &error)),
        }
    }

    /// Finishes steps until so many are left.
    async fn settle(&mut self, left: usize) -> Result<()> {
        while self.steps.len() > left {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<()> {
        match self.steps.pop_front() {
            Some(Step::Time(id, logged_ms)) => self.report.add_time(&id, logged_ms),
            Some(Step::Left(outcome)) => self.tell(*outcome),
            Some(Step::Running(query, task)) => {
                let judged = task.join().await.unwrap_or_else(|_| {
                    let message = "internal error: the query panicked; please report it".to_owned();
                    Judged { outcome: Outcome::new(&query).with_error(message.clone()), given: Given::Failed(message) }
                });
                self.write(&query.id, &judged.given).map_err(|error| Error::storage("writing the results", error))?;
                self.tell(judged.outcome);
            }
            None => {}
        }
        Ok(())
    }

    fn write(&mut self, id: &str, given: &Given) -> std::io::Result<()> {
        let Some(results) = &mut self.results else { return Ok(()) };
        match given {
            Given::Rows(rows) => results.rows(id, rows),
            Given::Unsupported(reason) => results.unsupported(id, reason),
            Given::Failed(message) => results.error(id, message),
        }
    }

    fn tell(&mut self, outcome: Outcome) {
        (self.each)(Replayed { outcome: &outcome, count: self.report.outcomes().len() + 1 });
        self.report.push(outcome);
    }
}
