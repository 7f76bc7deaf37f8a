//! One query at a time: run, timed, compared with HeavyDB's rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion_heavydb::dialect::{Choices, choices, features, split};
use datafusion_heavydb::replay::compare::{Choice, Order, Rules, Verdict, compare, compare_choice};
use datafusion_heavydb::replay::expected::{Expectation, Expectations, TextForm};
use datafusion_heavydb::replay::input::{Query, redact};
use datafusion_heavydb::replay::report::{Outcome, Status};
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::{Database, HeavySession};
use datafusion_heavydb::{Options, Refusal};

use super::notes::ChangeNotes;
use super::place::{message_of, place_of};
use super::replay::ReplayOptions;
use super::settings::HeavySettings;
use crate::error::{Error, QueryError, Result, SourceError};

/// The user of a query whose input names none, as HeavyDB's own tests have it.
const NO_USER: &str = "SESSIONLESS_USER";

/// Timed runs of a query that HeavyDB logged a time for, where the caller chose no number: the median of three.
const RUNS_AGAINST_A_LOG: usize = 3;

/// The session and the judge of a replay.
pub(super) struct Judge {
    pub(super) options: ReplayOptions,
    base: SessionState,
    database: Arc<Database>,
    dialect: Options,
    pub(super) expectations: Option<Expectations>,
}

/// A query's rows.
struct Answer {
    rows: Rows,
    rules: Vec<String>,
}

/// What a query gave.
pub(super) enum Given {
    /// Rows.
    Rows(Rows),
    /// It is declined, for this reason.
    Unsupported(String),
    /// It failed.
    Failed(String),
}

/// A query after it ran: its row of the report, and what it gave.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) given: Given,
}

/// What cannot be read, with its own words about file, line and remedy.
pub(super) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Query(Box::new(QueryError { message: redact(&error.to_string()).into_owned(), hint: None, position: None, source: None }))
}

impl Judge {
    /// Reads the expectations; nothing runs yet.
    ///
    /// # Errors
    /// Options that there are not, expectations that cannot be read.
    pub(super) fn open(base: SessionState, database: Arc<Database>, options: &ReplayOptions) -> Result<Self> {
        let mut dialect = HeavySettings::of(&base);
        if dialect.user == Options::default().user {
            NO_USER.clone_into(&mut dialect.user);
        }
        for (name, value) in &options.settings {
            dialect.set(name.trim_start_matches("heavydb."), value).map_err(Error::Usage)?;
        }
        let expectations = options.expected.as_deref().map(|path| Expectations::open(path, TextForm::default())).transpose();
        Ok(Self { options: options.clone(), base, database, dialect, expectations: expectations.map_err(unreadable)? })
    }

    /// Options of the replay that change what the report says.
    pub(super) fn shown_options(&self) -> Vec<(String, String)> {
        let mut shown = vec![("tolerance".to_owned(), self.options.tolerance.to_string())];
        if self.options.absolute > 0.0 {
            shown.push(("absolute".to_owned(), self.options.absolute.to_string()));
        }
        shown.extend(self.options.settings.iter().cloned());
        shown
    }

    /// Whether plans are looked through for what HeavyDB takes otherwise.
    pub(super) fn has_guards(&self) -> bool {
        self.dialect.guards
    }

    /// The session in which a query runs: with its user, its flags and its time.
    pub(super) fn session(&self, query: Option<&Query>) -> HeavySession {
        let mut dialect = self.dialect.clone();
        if let Some(query) = query {
            dialect.null_div_by_zero |= query.server_flags.iter().any(|flag| flag == "null-div-by-zero");
            dialect.user = query.user.clone().unwrap_or(dialect.user);
            dialect.database = query.database.clone().unwrap_or(dialect.database);
            dialect.now = dialect.now.or_else(|| query.timestamp.map(|at| at.and_utc().timestamp()));
        }
        HeavySession::new(&self.base, &self.database, &dialect)
    }

    /// Runs the statements of the setup files; what they said.
    ///
    /// # Errors
    /// A file that cannot be read, a statement that fails.
    pub(super) async fn set_up(&self) -> Result<ChangeNotes> {
        let session = self.session(None);
        let mut notes = ChangeNotes::default();
        for file in &self.options.setup {
            let shown = file.display().to_string();
            let text = std::fs::read_to_string(file).map_err(|error| Error::storage(format!("reading {shown}"), error))?;
            for piece in split(&text) {
                let done = session.run(piece.text).await.map_err(|error| {
                    let place = place_of(&error, piece.text).map_or(piece.place.line, |place| piece.place.line + place.line - 1);
                    let refused = SourceError::new(&shown, message_of(&error)).at_line(place).with_text(&redact(piece.text));
                    Error::from(
                        refused.with_remedy("a replay needs its schema and rows: correct the statement or take it out of the setup"),
                    )
                })?;
                notes.add(&shown, &format!("{shown}:{}", piece.place.line), done.note.filter(|_| done.is_change));
            }
        }
        Ok(notes)
    }

    /// What HeavyDB answered to a query.
    ///
    /// # Errors
    /// An expectation that cannot be read.
    pub(super) fn expectation(&self, id: &str) -> Result<Option<Expectation>> {
        match &self.expectations {
            Some(expectations) => expectations.find(id).map_err(unreadable),
            None => Ok(None),
        }
    }

    /// Runs a query and compares.
    pub(super) async fn judged(&self, query: &Query, expectation: Option<&Expectation>) -> Judged {
        let session = self.session(Some(query));
        let mut outcome = Outcome { status: Status::Ran, reason: None, ..Outcome::new(query) };
        // What does not parse has no features, and says so below.
        outcome.features = features(&query.sql).unwrap_or_default();
        match self.timed(&session, query, &mut outcome.our_ms).await {
            Ok(answer) => {
                outcome.rules = answer.rules;
                outcome.our_rows = Some(answer.rows.len());
                if let Some(expectation) = expectation {
                    outcome.expected_rows = expectation.rows();
                    let verdict = self.compared(&session, query, &answer.rows, expectation).await;
                    outcome = outcome.with_verdict(verdict);
                }
                if outcome.status == Status::Same && !self.has_guards() {
                    // Best effort proves nothing: it is told, and no part of the pass rate.
                    outcome.status = Status::Ran;
                    outcome.notes.push("the same, without guards".to_owned());
                }
                Judged { outcome, given: Given::Rows(answer.rows) }
            }
            Err(error) => without_rows(outcome, query, &error, expectation),
        }
    }

    /// The rows of a query, and the times of its timed runs in milliseconds, from text to last batch.
    async fn timed(&self, session: &HeavySession, query: &Query, times: &mut Vec<f64>) -> Result<Answer, DataFusionError> {
        for _ in 0..self.options.warmup {
            self.answer(session, &query.sql).await?;
        }
        let runs = self.options.repeat.unwrap_or(if query.timings.is_empty() { 1 } else { RUNS_AGAINST_A_LOG });
        let mut answer = None;
        for _ in 0..runs.max(1) {
            let started = Instant::now();
            answer = Some(self.answer(session, &query.sql).await?);
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
        within(self.options.timeout, work).await
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
        let work = async {
            let plan = session.plan_rewritten(whole).await?;
            let (schema, batches) = collected(session, plan).await?;
            Ok(Rows::try_new(&schema, &batches).ok())
        };
        match within(self.options.timeout, work).await {
            Ok(Some(rows)) => match compare_choice(&rows, Choice { keys, offset, limit }, expectation, &rules) {
                legal @ (Verdict::Same { .. } | Verdict::NotDetermined(_)) => legal,
                Verdict::Differs(_) => verdict,
            },
            _ => verdict,
        }
    }
}

/// Waits for work no longer than the limit.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = Result<T, DataFusionError>>) -> Result<T, DataFusionError> {
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(DataFusionError::Execution(format!("not done within {} s", limit.as_secs_f64())))),
    }
}

async fn collected(session: &HeavySession, plan: LogicalPlan) -> Result<(SchemaRef, Vec<RecordBatch>), DataFusionError> {
    let frame = session.context().execute_logical_plan(plan).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    Ok((schema, frame.collect().await?))
}

/// Why a query is not given, where that is so.
pub(super) fn refusal(error: &DataFusionError) -> Option<String> {
    if let Some(refusal) = Refusal::of(error) {
        return Some(refusal.to_string());
    }
    match error.find_root() {
        DataFusionError::NotImplemented(reason) => Some(reason.clone()),
        _ => None,
    }
}

/// The row of a statement that gave an error.
pub(super) fn failed(mut outcome: Outcome, query: &Query, error: &DataFusionError) -> Outcome {
    outcome.notes.extend(place_of(error, &query.sql).map(|place| format!("at {place} of the text")));
    match refusal(error) {
        Some(reason) => outcome.with_refusal(reason),
        None => outcome.with_error(message_of(error)),
    }
}

/// A query without rows: as demanded where HeavyDB failed too, else declined or failed.
pub(super) fn without_rows(outcome: Outcome, query: &Query, error: &DataFusionError, expectation: Option<&Expectation>) -> Judged {
    let refusal = refusal(error);
    let message = message_of(error);
    let outcome = if matches!(expectation, Some(Expectation::Error(_))) && refusal.is_none() {
        outcome.with_verdict(Verdict::Same { notes: vec![format!("it fails here too: {message}")] })
    } else {
        failed(outcome, query, error)
    };
    Judged { outcome, given: refusal.map_or(Given::Failed(message), Given::Unsupported) }
}
