//! The statements of a replay, read one at a time from logs, SQL files and JSON lines.
//!
//! | input | recognised by | id of a query |
//! |---|---|---|
//! | HeavyDB server log, also gzip | a record among its first lines | [`id_of`] its text; after a change of the data the same text counts anew: `<id>#2` |
//! | SQL file | `.sql` | the comment `-- id: NAME` before it, else `<file stem>:<n>` |
//! | JSON lines | `.jsonl`, `.ndjson` | `id` |
//!
//! Memory is bounded by the longest statement and the ids of the queries, however long the inputs are.

mod calls;
mod json_lines;
mod log;
mod source;
mod statements;
mod text;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

pub use log::Call;
pub use source::Form;
pub use text::{HIDDEN, Kind, glob, id_of, normalise, redact};

use calls::OpenCalls;
use log::{Record, Records};
use source::{Lines, Source};
use statements::Statements;

/// An input that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is neither a log nor SQL nor JSON lines.
    #[error("{}: not recognised: no record of a HeavyDB log among its first lines, and its name ends neither in .sql nor in .jsonl; give <data>/log/heavydb.INFO.*, not the output of a console", file.display())]
    Unrecognised {
        /// The file.
        file: PathBuf,
    },
    /// The text is in another encoding than UTF-8.
    #[error("{}:{line}: {what}", file.display())]
    Encoding {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What was found and what to do.
        what: String,
    },
    /// A line cannot be read.
    #[error("{}:{line}: {what}", file.display())]
    Broken {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What was found and what to do.
        what: String,
    },
    /// Two queries have one id, so that nobody could say whose result an expectation is.
    #[error("{second}: the id {id} is taken by the query at {first}; give each query its own id")]
    Duplicate {
        /// The id.
        id: String,
        /// Where it was first.
        first: Origin,
        /// Where it is again.
        second: Origin,
    },
    /// A filter cannot be understood.
    #[error("{0:?} is no date or time; write 2024-03-01 or 2024-03-01T09:30:00")]
    Moment(String),
}

impl InputError {
    fn unreadable(file: &Path, source: io::Error) -> Self {
        Self::Unreadable { file: file.to_owned(), source }
    }
}

/// Where a statement was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: Arc<Path>,
    /// Line, from 1.
    pub line: u64,
}

impl Origin {
    fn new(file: &Path, line: u64) -> Self {
        Self { file: Arc::from(file), line }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// How long HeavyDB took for one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// From text to result, in milliseconds: Calcite's parse and the compilation of the kernel included, the network not.
    pub total_ms: f64,
    /// Of this the kernel, in milliseconds, where the log has it.
    pub execution_ms: Option<f64>,
    /// The server's local time at the end of the call.
    pub timestamp: Option<NaiveDateTime>,
}

/// Why a statement is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// HeavyDB failed it. An expectation of an error demands that it fails here too, and only then it is run.
    Failed,
    /// The log has its beginning and no end.
    NeverEnded,
    /// The log hid a password, a key or a literal.
    Hidden,
    /// The named function of the server runs no plain statement.
    NoStatement(String),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("HeavyDB failed it: the log has no times"),
            Self::NeverEnded => f.write_str("the call never ended in the log"),
            Self::Hidden => f.write_str("the log hides a part of the text"),
            Self::NoStatement(function) => write!(f, "{function} has no plain query"),
        }
    }
}

/// A statement to replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Names the query in expectations, reports and results.
    pub id: String,
    /// The text as it was sent. Show it through [`redact`].
    pub sql: String,
    /// Compare row by row (`true`), as a multiset (`false`); `None`: look for a top-level ORDER BY.
    pub ordered: Option<bool>,
    /// There is an ORDER BY that leaves ties.
    pub order_ties: bool,
    /// With ties: the columns, from 0, whose values come in the given sequence.
    pub order_columns: Vec<usize>,
    /// Flags that the server ran with: `null-div-by-zero`.
    pub server_flags: Vec<String>,
    /// HeavyDB's times of this occurrence; later ones come as [`Entry::Again`].
    pub timings: Vec<Timing>,
    /// Who sent it.
    pub user: Option<String>,
    /// The database it was sent to.
    pub database: Option<String>,
    /// The server's local time at the end of the call: what NOW() means in a replay.
    pub timestamp: Option<NaiveDateTime>,
    /// Where it was read.
    pub origin: Origin,
    /// What it does.
    pub kind: Kind,
    /// Why it is not run, if it is not.
    pub skip: Option<Skip>,
}

impl Query {
    fn new(sql: String, origin: Origin) -> Self {
        Self {
            id: String::new(),
            kind: Kind::of(&sql),
            sql,
            ordered: None,
            order_ties: false,
            order_columns: Vec::new(),
            server_flags: Vec::new(),
            timings: Vec::new(),
            user: None,
            database: None,
            timestamp: None,
            origin,
            skip: None,
        }
    }
}

/// What the inputs give, one after another.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A statement for the first time since the data changed.
    Query(Box<Query>),
    /// The same query over the same data again: one more time for its row of the report.
    Again {
        /// The query's id.
        id: String,
        /// HeavyDB's time, `None` where the call failed this time.
        timing: Option<Timing>,
    },
}

/// Which statements of the inputs take part.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Calls that ended then or later. Statements without a time always take part.
    pub since: Option<NaiveDateTime>,
    /// Calls that ended before.
    pub until: Option<NaiveDateTime>,
    /// The database of the call.
    pub database: Option<String>,
    /// The user of the call.
    pub user: Option<String>,
    /// Ids or patterns with `*` and `?` of queries; empty: all. Statements that are no queries always take part, or the data would differ.
    pub only: Vec<String>,
}

impl Filters {
    /// A moment as typed for `since`: `2024-03-01`, `2024-03-01 09:30`, `2024-03-01T09:30:00.5`.
    ///
    /// # Errors
    /// Any other text.
    pub fn moment(text: &str) -> Result<NaiveDateTime, InputError> {
        let text = text.trim();
        let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
        let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(NaiveTime::MIN));
        let moment = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).or_else(date);
        moment.ok_or_else(|| InputError::Moment(text.to_owned()))
    }

    /// A moment as typed for `until`: as [`Filters::moment`], where a date alone takes in the whole day.
    ///
    /// # Errors
    /// Any other text.
    pub fn moment_until(text: &str) -> Result<NaiveDateTime, InputError> {
        let moment = Self::moment(text)?;
        let whole_day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").is_ok();
        Ok(if whole_day { moment.checked_add_days(chrono::Days::new(1)).unwrap_or(moment) } else { moment })
    }

    fn pass(&self, query: &Query) -> bool {
        let equal = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        let in_time =
            query.timestamp.is_none_or(|at| self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until));
        in_time && equal(&self.database, &query.database) && equal(&self.user, &query.user)
    }

    /// Whether a query of this id takes part.
    fn names(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| glob(pattern, id))
    }
}

/// A place of an input that could not be read and was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u64,
    /// What was found.
    pub what: String,
}

/// What was read from one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSummary {
    /// The file.
    pub file: Arc<Path>,
    /// What it holds.
    pub form: Form,
    /// Statements, before filters.
    pub statements: u64,
    /// Of these, how many the filters left out.
    pub filtered: u64,
    /// Of these, how many cannot be run.
    pub skipped: u64,
    /// Of these, how many were the same query again.
    pub again: u64,
    /// Records and lines that could not be read.
    pub broken: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
    /// Whether the rest of the file could not be read, as of an archive that was cut off: what it held is not replayed.
    pub ends_early: bool,
    /// The databases of the statements. A text means different queries in different databases, so more than one is worth a word.
    pub databases: Vec<String>,
}

/// How many problems of a file are kept with their lines.
const PROBLEMS_KEPT: usize = 20;

impl FileSummary {
    fn new(file: &Arc<Path>, form: Form) -> Self {
        let file = Arc::clone(file);
        Self {
            file,
            form,
            statements: 0,
            filtered: 0,
            skipped: 0,
            again: 0,
            broken: 0,
            problems: Vec::new(),
            ends_early: false,
            databases: Vec::new(),
        }
    }

    fn broken(&mut self, line: u64, what: String) {
        self.broken += 1;
        if self.problems.len() < PROBLEMS_KEPT {
            self.problems.push(Problem { line, what });
        }
    }
}

/// The reader of the file in hand.
enum Reader {
    Log(Box<Records>),
    Sql(Box<Statements>),
    JsonLines(Box<Lines>),
}

/// What is known of a query of an id.
struct Seen {
    /// The data's state when it came last.
    state: u64,
    /// How many states of the data it has met.
    count: u32,
    /// It is run, not only skipped.
    runs: bool,
}

/// The statements of all inputs, in their order; see the [module](self).
pub struct Inputs {
    files: VecDeque<Arc<Path>>,
    filters: Filters,
    reader: Option<Reader>,
    summaries: Vec<FileSummary>,
    calls: OpenCalls,
    never_ended: Option<VecDeque<Query>>,
    seen: HashMap<String, Seen>,
    named: HashMap<String, Origin>,
    /// Counts the changes of the data.
    state: u64,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("files", &self.files).field("summaries", &self.summaries).finish_non_exhaustive()
    }
}

impl Inputs {
    /// The inputs in the order given. Every file is opened once to see what it is, before anything runs.
    ///
    /// # Errors
    /// A file that cannot be opened, or is no input.
    pub fn open<P: AsRef<Path>>(files: impl IntoIterator<Item = P>, filters: Filters) -> Result<Self, InputError> {
        let files: VecDeque<Arc<Path>> = files.into_iter().map(|file| Arc::from(file.as_ref())).collect();
        for file in &files {
            Source::open(file)?;
        }
        Ok(Self {
            files,
            filters,
            reader: None,
            summaries: Vec::new(),
            calls: OpenCalls::default(),
            never_ended: None,
            seen: HashMap::new(),
            named: HashMap::new(),
            state: 0,
        })
    }

    /// What has been read so far, by file.
    pub fn summaries(&self) -> &[FileSummary] {
        &self.summaries
    }

    /// The next statement of any file, before filters; `None` at the end of all.
    fn statement(&mut self) -> Result<Option<Query>, InputError> {
        loop {
            let Some(mut reader) = self.reader.take() else {
                let Some(file) = self.files.pop_front() else { return Ok(self.next_never_ended()) };
                let source = Source::open(&file)?;
                self.summaries.push(FileSummary::new(&file, source.form));
                self.reader = Some(match source.form {
                    Form::Log => Reader::Log(Box::new(Records::new(source.lines))),
                    Form::Sql => Reader::Sql(Box::new(Statements::new(source.lines))),
                    Form::JsonLines => Reader::JsonLines(Box::new(source.lines)),
                });
                continue;
            };
            let Some(summary) = self.summaries.last_mut() else { return Ok(None) };
            let query = match &mut reader {
                Reader::Log(records) => next_call(records, &mut self.calls, summary),
                Reader::Sql(statements) => statements.next_query(&summary.file)?,
                Reader::JsonLines(lines) => json_lines::next_query(lines, &summary.file)?,
            };
            if let Some(query) = query {
                self.reader = Some(reader);
                return Ok(Some(query));
            }
        }
    }

    /// The calls without an end come behind all files: the end may lie in a later one.
    fn next_never_ended(&mut self) -> Option<Query> {
        let calls = &mut self.calls;
        self.never_ended.get_or_insert_with(|| calls.never_ended().into()).pop_front()
    }

    /// Counts a statement, and decides whether it takes part and under which id.
    fn entry(&mut self, mut query: Query) -> Result<Option<Entry>, InputError> {
        let file = &query.origin.file;
        let at = self.summaries.iter().rposition(|summary| summary.file == *file);
        let Some(summary) = at.and_then(|at| self.summaries.get_mut(at)) else { return Ok(None) };
        summary.statements += 1;
        if let Some(database) = query.database.as_ref().filter(|database| !summary.databases.contains(database)) {
            summary.databases.push(database.clone());
        }
        if !self.filters.pass(&query) {
            summary.filtered += 1;
            return Ok(None);
        }
        summary.skipped += u64::from(query.skip.is_some());
        if query.skip.is_none() && query.kind == Kind::Change {
            self.state += 1;
        }
        if summary.form == Form::Log && (query.kind == Kind::Query || query.skip.is_some()) {
            let timing = query.timings.first().copied();
            if let Some(id) = repeated(&mut self.seen, &mut query, self.state) {
                summary.again += 1;
                return Ok(self.filters.names(&id).then_some(Entry::Again { id, timing }));
            }
        } else if query.kind == Kind::Query
            && let Some(first) = self.named.insert(query.id.clone(), query.origin.clone())
        {
            return Err(InputError::Duplicate { id: query.id, first, second: query.origin });
        }
        let takes_part = query.kind != Kind::Query || self.filters.names(&query.id);
        summary.filtered += u64::from(!takes_part);
        Ok(takes_part.then(|| Entry::Query(Box::new(query))))
    }
}

/// The next statement of a log. What cannot be read is counted; an archive that ends too early ends the file.
fn next_call(records: &mut Records, calls: &mut OpenCalls, summary: &mut FileSummary) -> Option<Query> {
    loop {
        match records.next() {
            Ok(Some(Record::Call(call))) => {
                let origin = Origin { file: Arc::clone(&summary.file), line: call.line };
                if let Some(query) = calls.take(*call, origin) {
                    return Some(query);
                }
            }
            Ok(Some(Record::Broken(line, what))) => summary.broken(line, what),
            Ok(None) => return None,
            Err(error) => {
                summary.broken(records.line() + 1, format!("the rest of the file cannot be read: {error}"));
                summary.ends_early = true;
                return None;
            }
        }
    }
}

/// The id of a query that came before over the same data. Else the query is noted, with a number behind its id from the second state
/// of the data on.
fn repeated(seen: &mut HashMap<String, Seen>, query: &mut Query, state: u64) -> Option<String> {
    let runs = query.skip.is_none();
    let numbered = |id: &str, count: u32| if count > 1 { format!("{id}#{count}") } else { id.to_owned() };
    match seen.get_mut(&query.id) {
        None => {
            seen.insert(query.id.clone(), Seen { state, count: 1, runs });
            None
        }
        // A failed call is no query of its own; the first that succeeds is, under the same id.
        Some(last) if !runs || (last.runs && last.state == state) => Some(numbered(&query.id, last.count)),
        Some(last) => {
            last.count += u32::from(last.runs);
            (last.state, last.runs) = (state, true);
            query.id = numbered(&query.id, last.count);
            None
        }
    }
}

impl Iterator for Inputs {
    type Item = Result<Entry, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.statement() {
                Ok(Some(query)) => match self.entry(query) {
                    Ok(None) => {}
                    Ok(Some(entry)) => return Some(Ok(entry)),
                    Err(error) => return Some(Err(error)),
                },
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The calls of one log, begun and ended, of all functions; what cannot be read comes as a [`Problem`].
///
/// # Errors
/// A file that cannot be opened or is no log.
pub fn log_calls(file: &Path) -> Result<impl Iterator<Item = Result<Call, Problem>> + Send + use<>, InputError> {
    let source = Source::open(file)?;
    if source.form != Form::Log {
        return Err(InputError::Unrecognised { file: file.to_owned() });
    }
    let mut records = Some(Records::new(source.lines));
    Ok(std::iter::from_fn(move || match records.as_mut()?.next() {
        Ok(Some(Record::Call(call))) => Some(Ok(*call)),
        Ok(Some(Record::Broken(line, what))) => Some(Err(Problem { line, what })),
        Ok(None) => None,
        Err(error) => {
            let line = records.take().map_or(0, |records| records.line() + 1);
            Some(Err(Problem { line, what: format!("the rest of the file cannot be read: {error}") }))
        }
    }))
}

#[cfg(test)]
mod tests;
