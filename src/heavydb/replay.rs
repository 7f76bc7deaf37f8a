//! Queries of a HeavyDB server, run here and compared with its results.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion_heavydb::dialect::{Choices, choices};
use datafusion_heavydb::replay::compare::{Choice, Order, Rules, Verdict, compare, compare_choice};
use datafusion_heavydb::replay::expected::{Expectation, Expectations, TextForm};
use datafusion_heavydb::replay::input::{Entry, Filters, Inputs, Kind, Query, Skip};
use datafusion_heavydb::replay::render::Results;
use datafusion_heavydb::replay::report::{Outcome, Report, Status};
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession};
use datafusion_heavydb::{Options, Refusal};

use crate::error::{Error, Result};

/// The user of a query whose input names none, as HeavyDB's own tests have it.
const NO_USER: &str = "SESSIONLESS_USER";

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
    /// Timed runs of every query.
    pub repeat: usize,
    /// Runs before them.
    pub warmup: usize,
    /// How long a query may take.
    pub timeout: Option<Duration>,
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
            repeat: 1,
            warmup: 0,
            timeout: None,
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

/// The session and the judge of a replay.
struct Replay<'a> {
    options: &'a ReplayOptions,
    base: SessionState,
    database: Arc<Database>,
    dialect: Options,
    expectations: Option<Expectations>,
}

/// A query's rows.
struct Answer {
    rows: Rows,
    rules: Vec<String>,
}

/// Replays every statement of the inputs, one after another; `each` sees every query, `results` takes our rows.
///
/// # Errors
/// An input, an expectation or a statement of the setup that cannot be read or run; a query that fails is none.
pub async fn replay(
    base: SessionState,
    database: Arc<Database>,
    options: &ReplayOptions,
    results: Option<Box<dyn Write + Send>>,
    mut each: impl FnMut(Replayed<'_>) + Send,
) -> Result<Report> {
    let dialect = settings(&options.settings)?;
    let expectations = options.expected.as_deref().map(|path| Expectations::open(path, TextForm::default())).transpose();
    let expectations = expectations.map_err(unreadable)?;
    let replay = Replay { options, base, database, dialect, expectations };
    let mut inputs = Inputs::open(&options.inputs, options.filters.clone()).map_err(unreadable)?;
    for file in &options.setup {
        replay.set_up(file).await?;
    }
    let mut report = Report::new(format!("tranchedb {}", env!("CARGO_PKG_VERSION")));
    report.options = replay.shown_options();
    let mut results = results.map(Results::new);
    for entry in &mut inputs {
        match entry.map_err(unreadable)? {
            Entry::Again { id, timing } => timing.iter().for_each(|timing| report.add_time(&id, timing.total_ms)),
            Entry::Query(query) => {
                let Some(outcome) = replay.step(&query, &mut report, results.as_mut()).await? else { continue };
                each(Replayed { outcome: &outcome, count: report.outcomes().len() + 1 });
                report.push(outcome);
            }
        }
    }
    report.inputs = inputs.summaries().to_vec();
    if let Some(results) = results {
        results.finish().map_err(|error| Error::storage("writing the results", error))?;
    }
    Ok(report)
}

/// The options of the dialect that were set.
fn settings(given: &[(String, String)]) -> Result<Options> {
    let mut options = Options { user: NO_USER.into(), ..Options::default() };
    for (name, value) in given {
        options.set(name.trim_start_matches("heavydb."), value).map_err(Error::Usage)?;
    }
    Ok(options)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Query(Box::new(crate::error::QueryError { message: error.to_string(), hint: None, position: None, source: None }))
}

impl Replay<'_> {
    fn session(&self, query: Option<&Query>) -> HeavySession {
        let mut dialect = self.dialect.clone();
        if let Some(query) = query {
            dialect.null_div_by_zero |= query.server_flags.iter().any(|flag| flag == "null-div-by-zero");
            dialect.user = query.user.clone().unwrap_or(dialect.user);
            dialect.now = dialect.now.or_else(|| query.timestamp.map(|at| at.and_utc().timestamp()));
        }
        HeavySession::new(&self.base, &self.database, &dialect)
    }

    fn shown_options(&self) -> Vec<(String, String)> {
        let mut shown = vec![("tolerance".to_owned(), self.options.tolerance.to_string())];
        shown.extend(self.options.settings.iter().cloned());
        shown
    }

    async fn set_up(&self, file: &PathBuf) -> Result<()> {
        let text = std::fs::read_to_string(file).map_err(|error| Error::storage(format!("reading {}", file.display()), error))?;
        let session = self.session(None);
        for piece in datafusion_heavydb::dialect::split(&text) {
            session.run(piece.text).await.map_err(|error| {
                let shown: String = piece.text.chars().take(80).collect();
                Error::Usage(format!("{}:{}: {}\n  {shown}", file.display(), piece.place.line, plain(&error)))
            })?;
        }
        Ok(())
    }

    /// One statement; its row, where it is a query.
    async fn step(
        &self,
        query: &Query,
        report: &mut Report,
        results: Option<&mut Results<Box<dyn Write + Send>>>,
    ) -> Result<Option<Outcome>> {
        let expectation = match &self.expectations {
            Some(expectations) => expectations.find(&query.id).map_err(unreadable)?,
            None => None,
        };
        let wants_error = matches!(&expectation, Some(Expectation::Error(_)));
        if query.skip.is_some() && !(wants_error && query.skip == Some(Skip::Failed)) {
            return Ok(Some(Outcome::new(query)));
        }
        if query.kind != Kind::Query {
            return self.change(query, report).await;
        }
        let session = self.session(Some(query));
        let outcome = Outcome { status: Status::Ran, reason: None, ..Outcome::new(query) };
        Ok(Some(self.judged(&session, query, outcome, expectation.as_ref(), results).await?))
    }

    /// A statement that is no query. One that fails leaves the tables as they were: what reads them is then likely to differ, so it is told.
    async fn change(&self, query: &Query, report: &mut Report) -> Result<Option<Outcome>> {
        let skipped = |reason: &str| Some(Outcome { status: Status::Skipped, reason: Some(reason.into()), ..Outcome::new(query) });
        match query.kind {
            Kind::Session | Kind::Administration | Kind::Show | Kind::Export => return Ok(skipped("it is no query of tables")),
            _ if query.timestamp.is_some() && !self.options.allow_writes => {
                return Ok(skipped("it changes data: --allow-writes runs it, in memory"));
            }
            _ => {}
        }
        let started = Instant::now();
        match self.session(Some(query)).run(&query.sql).await {
            Ok(_) => {
                report.changed(started.elapsed().as_secs_f64() * 1000.0);
                Ok(None)
            }
            Err(error) => Ok(Some(failed(Outcome::new(query), &error))),
        }
    }

    async fn judged(
        &self,
        session: &HeavySession,
        query: &Query,
        outcome: Outcome,
        expectation: Option<&Expectation>,
        results: Option<&mut Results<Box<dyn Write + Send>>>,
    ) -> Result<Outcome> {
        let mut outcome = outcome;
        let written = |done: std::io::Result<()>| done.map_err(|error| Error::storage("writing the results", error));
        match self.timed(session, &query.sql, &mut outcome.our_ms).await {
            Ok(answer) => {
                outcome.rules = answer.rules;
                outcome.our_rows = Some(answer.rows.len());
                if let Some(results) = results {
                    written(results.rows(&query.id, &answer.rows))?;
                }
                let Some(expectation) = expectation else { return Ok(outcome) };
                outcome.expected_rows = expectation.rows();
                let verdict = self.compared(session, query, &answer.rows, expectation).await;
                Ok(outcome.with_verdict(verdict))
            }
            Err(error) => {
                let refusal = refusal(&error);
                if let Some(results) = results {
                    written(match &refusal {
                        Some(reason) => results.unsupported(&query.id, reason),
                        None => results.error(&query.id, &plain(&error)),
                    })?;
                }
                if matches!(expectation, Some(Expectation::Error(_))) && refusal.is_none() {
                    return Ok(outcome.with_verdict(Verdict::Same { notes: vec![format!("it fails here too: {}", plain(&error))] }));
                }
                Ok(failed(outcome, &error))
            }
        }
    }

    /// The rows of a query, and the times of its timed runs in milliseconds, from text to last batch.
    async fn timed(&self, session: &HeavySession, sql: &str, times: &mut Vec<f64>) -> Result<Answer, DataFusionError> {
        for _ in 0..self.options.warmup {
            self.answer(session, sql).await?;
        }
        let mut answer = None;
        for _ in 0..self.options.repeat.max(1) {
            let started = Instant::now();
            answer = Some(self.answer(session, sql).await?);
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        answer.ok_or_else(|| DataFusionError::Internal("a query was never run".into()))
    }

    async fn answer(&self, session: &HeavySession, sql: &str) -> Result<Answer, DataFusionError> {
        let work = async {
            let (plan, rules) = session.plan(sql).await?;
            let (schema, batches) = collected(session, plan).await?;
            let rows = Rows::try_new(&schema, &batches).map_err(|error| Refusal::new("the result", error.to_string()))?;
            Ok(Answer { rows, rules: rules.into_iter().map(str::to_owned).collect() })
        };
        match self.options.timeout {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(DataFusionError::Execution(format!("not done within {} s", limit.as_secs_f64())))),
        }
    }

    /// Compares; where rows differ that ties or a LIMIT may have chosen, with the whole result.
    async fn compared(&self, session: &HeavySession, query: &Query, ours: &Rows, expectation: &Expectation) -> Verdict {
        let choices = choices(&query.sql, session.options()).ok();
        let has_order = choices.as_ref().is_some_and(|choices| choices.has_order);
        let rules = Rules {
            tolerance: self.options.tolerance,
            absolute: self.options.absolute,
            exact: self.options.exact,
            order: Order::of(query, has_order),
            bands: choices.as_ref().map(Choices::bands).unwrap_or_default(),
            chance: choices.as_ref().map(|choices| choices.chance.clone()).unwrap_or_default(),
        };
        let verdict = compare(ours, expectation, &rules);
        let Verdict::Differs(_) = &verdict else { return verdict };
        let Some(Choices { whole: Some(whole), keys, offset, limit, .. }) = choices else { return verdict };
        let choice = Choice { keys, offset, limit };
        let plan = session.plan_rewritten(whole).await;
        let rows = match plan {
            Ok(plan) => collected(session, plan).await.ok().and_then(|(schema, batches)| Rows::try_new(&schema, &batches).ok()),
            Err(_) => None,
        };
        match rows {
            Some(rows) => match compare_choice(&rows, choice, expectation, &rules) {
                legal @ (Verdict::Same { .. } | Verdict::NotDetermined(_)) => legal,
                Verdict::Differs(_) => verdict,
            },
            None => verdict,
        }
    }
}

async fn collected(session: &HeavySession, plan: LogicalPlan) -> Result<(SchemaRef, Vec<RecordBatch>), DataFusionError> {
    let frame = session.context().execute_logical_plan(plan).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    Ok((schema, frame.collect().await?))
}

/// Why a query is not given, where that is so.
fn refusal(error: &DataFusionError) -> Option<String> {
    if let Some(refusal) = Refusal::of(error) {
        return Some(refusal.to_string());
    }
    match error.find_root() {
        DataFusionError::NotImplemented(reason) => Some(reason.clone()),
        _ => None,
    }
}

fn failed(outcome: Outcome, error: &DataFusionError) -> Outcome {
    match refusal(error) {
        Some(reason) => outcome.with_refusal(reason),
        None => outcome.with_error(plain(error)),
    }
}

/// An error in a line, without the names of its wrappers.
fn plain(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("External error: ")
        .trim_start_matches("Error during planning: ")
        .trim_start_matches("Execution error: ")
        .to_owned()
}
