//! The report of a replay: a row a query, a summary, and both as table, JSON or JUnit.

mod explain;
mod json;
mod junit;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::compare::{Difference, Verdict};
use super::input::{FileSummary, Query};

pub use explain::{Explanation, RewrittenLine};

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// HeavyDB's rows.
    Same,
    /// Other rows.
    Differs,
    /// Declined, with the reason.
    Unsupported,
    /// Failed, or took too long.
    Error,
    /// Run without an expectation.
    Ran,
    /// Not run.
    Skipped,
}

impl Status {
    /// All, in the order of reports.
    pub const ALL: &[Self] = &[Self::Same, Self::Differs, Self::Unsupported, Self::Error, Self::Ran, Self::Skipped];

    /// The name in reports and in `--allow`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
            Self::Ran => "ran",
            Self::Skipped => "skipped",
        }
    }
}

/// The row of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The query's id.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// Count of our rows.
    pub our_rows: Option<usize>,
    /// Count of HeavyDB's rows.
    pub expected_rows: Option<usize>,
    /// Where the results differ.
    pub first_difference: Option<Difference>,
    /// HeavyDB's times, in milliseconds, one an occurrence.
    pub logged_ms: Vec<f64>,
    /// Ours, from text to last batch, in milliseconds, one a repetition.
    pub our_ms: Vec<f64>,
    /// Why it is unsupported, failed or skipped.
    pub reason: Option<String>,
    /// The rules of the dialect that fired.
    pub rules: Vec<String>,
    /// Worth knowing about a result that is the same.
    pub notes: Vec<String>,
    /// Features for the summary: `window`, `fn:CORR`, …
    pub features: Vec<String>,
    /// Where the query was read.
    pub origin: String,
    /// The text; of a very long one its beginning.
    pub sql: String,
}

impl Outcome {
    /// The row of a query that nothing is known of yet: `ran`, or `skipped` where the input says so.
    pub fn new(query: &Query) -> Self {
        Self {
            id: query.id.clone(),
            status: if query.skip.is_some() { Status::Skipped } else { Status::Ran },
            our_rows: None,
            expected_rows: None,
            first_difference: None,
            logged_ms: query.timings.iter().map(|timing| timing.total_ms).collect(),
            our_ms: Vec::new(),
            reason: query.skip.as_ref().map(ToString::to_string),
            rules: Vec::new(),
            notes: Vec::new(),
            features: Vec::new(),
            origin: query.origin.to_string(),
            sql: kept_text(&query.sql),
        }
    }

    /// The row with what the comparison found.
    #[must_use]
    pub fn with_verdict(mut self, verdict: Verdict) -> Self {
        match verdict {
            Verdict::Same { notes } => {
                self.status = Status::Same;
                self.notes.extend(notes);
            }
            Verdict::Differs(difference) => {
                self.status = Status::Differs;
                self.first_difference = Some(difference);
            }
            Verdict::NotDetermined(difference) => {
                self.status = Status::Unsupported;
                self.reason = Some("not determined: HeavyDB takes any value of the group".to_owned());
                self.first_difference = Some(difference);
            }
        }
        self
    }

    /// The row of a query that was declined.
    #[must_use]
    pub fn with_refusal(self, reason: impl Into<String>) -> Self {
        Self { status: Status::Unsupported, reason: Some(reason.into()), ..self }
    }

    /// The row of a query that failed.
    #[must_use]
    pub fn with_error(self, message: impl Into<String>) -> Self {
        Self { status: Status::Error, reason: Some(message.into()), ..self }
    }

    /// Median of HeavyDB's times.
    pub fn logged(&self) -> Option<f64> {
        median(&self.logged_ms)
    }

    /// Median of ours.
    pub fn ours(&self) -> Option<f64> {
        median(&self.our_ms)
    }

    /// HeavyDB's time by ours; only where the rows are not known to be wrong.
    pub fn speed_up(&self) -> Option<f64> {
        let counts = matches!(self.status, Status::Same | Status::Ran);
        match (self.logged(), self.ours()) {
            (Some(logged), Some(ours)) if counts && ours > 0.0 => Some(logged / ours),
            _ => None,
        }
    }
}

/// Bytes of a statement above which a report keeps its beginning alone: a log has many, and one may have 40 MB.
const LONGEST_TEXT: usize = 16 << 10;

fn kept_text(sql: &str) -> String {
    if sql.len() <= LONGEST_TEXT {
        return sql.to_owned();
    }
    let end = sql.floor_char_boundary(LONGEST_TEXT);
    format!("{} ... [{} bytes in all]", &sql[..end], sql.len())
}

/// The middle value; of two, their mean.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

/// Statements that are no queries.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Changes {
    /// How many ran.
    pub count: u64,
    /// How long they took together, in milliseconds.
    pub total_ms: f64,
}

/// The report.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The program and its version.
    pub tool: String,
    /// Options of the replay, as typed.
    pub options: Vec<(String, String)>,
    /// What was read.
    pub inputs: Vec<FileSummary>,
    /// Worth knowing about the whole: results without a query, several databases in one log, …
    pub notes: Vec<String>,
    /// Statements that are no queries.
    pub changes: Changes,
    outcomes: Vec<Outcome>,
    places: HashMap<String, usize>,
}

/// The figures of a report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Queries by status.
    pub counts: BTreeMap<Status, usize>,
    /// same / (same + differs + unsupported + error); `None` where nothing was compared.
    pub pass_rate: Option<f64>,
    /// Sum of HeavyDB's median times, and of ours, over the queries that have both, in milliseconds.
    pub total_ms: Option<(f64, f64)>,
    /// Median over these queries of HeavyDB's times, and of ours, in milliseconds.
    pub median_ms: Option<(f64, f64)>,
    /// Geometric mean of the speed-ups.
    pub speed_up: Option<f64>,
    /// Reasons of `unsupported`, the most frequent first.
    pub reasons: Vec<(String, usize)>,
    /// Features: how many queries have it, and how many of them are the same; only of queries with an expectation.
    pub features: Vec<(String, usize, usize)>,
}

impl Report {
    /// An empty report of this program.
    pub fn new(tool: impl Into<String>) -> Self {
        Self { tool: tool.into(), ..Self::default() }
    }

    /// Adds the row of a query. A call that was skipped gives way to the same query where it ran.
    pub fn push(&mut self, outcome: Outcome) {
        match self.places.get(&outcome.id).copied().and_then(|at| self.outcomes.get_mut(at)) {
            Some(known) if known.status == Status::Skipped => *known = outcome,
            Some(known) if outcome.status == Status::Skipped => known.logged_ms.extend(outcome.logged_ms),
            _ => {
                self.places.insert(outcome.id.clone(), self.outcomes.len());
                self.outcomes.push(outcome);
            }
        }
    }

    /// Adds one more time of HeavyDB to the row of a query.
    pub fn add_time(&mut self, id: &str, logged_ms: f64) {
        if let Some(outcome) = self.places.get(id).and_then(|at| self.outcomes.get_mut(*at)) {
            outcome.logged_ms.push(logged_ms);
        }
    }

    /// Counts a statement that is no query.
    pub fn changed(&mut self, our_ms: f64) {
        self.changes.count += 1;
        self.changes.total_ms += our_ms;
    }

    /// The rows, in input order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether no query differs, failed or was declined, but for what is allowed.
    pub fn passes(&self, allowed: &[Status]) -> bool {
        let bad = |status| matches!(status, Status::Differs | Status::Error | Status::Unsupported);
        self.outcomes.iter().all(|outcome| !bad(outcome.status) || allowed.contains(&outcome.status))
    }

    /// Whether any statement was held against a result, or could not be.
    pub fn judges(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.expected_rows.is_some() || !matches!(outcome.status, Status::Ran | Status::Skipped))
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let (mut reasons, mut features) = (BTreeMap::<String, usize>::new(), BTreeMap::<&str, (usize, usize)>::new());
        for outcome in &self.outcomes {
            *summary.counts.entry(outcome.status).or_default() += 1;
            if outcome.status == Status::Unsupported {
                *reasons.entry(outcome.reason.clone().unwrap_or_default()).or_default() += 1;
            }
            if !matches!(outcome.status, Status::Ran | Status::Skipped) {
                for feature in &outcome.features {
                    let counts = features.entry(feature).or_default();
                    *counts = (counts.0 + 1, counts.1 + usize::from(outcome.status == Status::Same));
                }
            }
        }
        summary.reasons = reasons.into_iter().collect();
        summary.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.1));
        summary.features = features.into_iter().map(|(name, (all, same))| (name.to_owned(), all, same)).collect();
        let count = |status| summary.counts.get(&status).copied().unwrap_or(0);
        let judged = count(Status::Same) + count(Status::Differs) + count(Status::Unsupported) + count(Status::Error);
        let compared = self.outcomes.iter().any(|outcome| outcome.expected_rows.is_some());
        summary.pass_rate = (compared && judged > 0).then(|| ratio(count(Status::Same), judged));
        self.add_times(&mut summary);
        summary
    }

    fn add_times(&self, summary: &mut Summary) {
        let both = |outcome: &Outcome| Some((outcome.logged()?, outcome.ours()?)).filter(|_| outcome.speed_up().is_some());
        let (logged, ours): (Vec<f64>, Vec<f64>) = self.outcomes.iter().filter_map(both).unzip();
        let logarithms: Vec<f64> =
            self.outcomes.iter().filter_map(Outcome::speed_up).filter(|speed_up| *speed_up > 0.0).map(f64::ln).collect();
        summary.total_ms = (!ours.is_empty()).then(|| (logged.iter().sum(), ours.iter().sum()));
        summary.median_ms = median(&logged).zip(median(&ours));
        summary.speed_up = (!logarithms.is_empty()).then(|| (logarithms.iter().sum::<f64>() * ratio(1, logarithms.len())).exp());
    }

    /// Writes the report.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write(&self, form: Form, to: &mut dyn Write) -> io::Result<()> {
        match form {
            Form::Table => table::write(self, to),
            Form::Json => json::write(self, to),
            Form::Junit => junit::write(self, to),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of queries")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// The form of a written report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For people.
    #[default]
    Table,
    /// One object `{tool, dialect, options, inputs, summary, queries}`.
    Json,
    /// One test case a query.
    Junit,
}

impl Form {
    /// The form of `--report`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "table" => Some(Self::Table),
            "json" => Some(Self::Json),
            "junit" => Some(Self::Junit),
            _ => None,
        }
    }
}

/// Ours and HeavyDB's count of rows: `11 / 12`.
fn rows_of(outcome: &Outcome) -> String {
    match (outcome.our_rows, outcome.expected_rows) {
        (None, None) => String::new(),
        (Some(ours), None) => ours.to_string(),
        (ours, Some(expected)) => format!("{} / {expected}", ours.map_or_else(|| "-".to_owned(), |ours| ours.to_string())),
    }
}

#[cfg(test)]
mod tests;
