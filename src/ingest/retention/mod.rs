//! Keeping the metrics of all strategies and the details (trades, equity curves) of the best.
//!
//! A policy names a metrics table, the metric that ranks its rows within each group, and the tables of details. The way of a save:
//!
//! 1. `staging` reads what comes in once: fitted to the tables, NaN and infinities as NULL, one row per strategy; it notes the groups that are touched;
//! 2. `subject` finds the files that may hold rows of these groups, by what the Delta log tells of them: no other file is read or written;
//! 3. `ranking` passes once over the strategies of these groups, stored and new, in the order of their ranks, and decides who is kept: the
//!    top by the metric, a sample by a hash of seed and key;
//! 4. `details` looks at the keys of the stored details: who of the kept has any, who has some and is not kept;
//! 5. `metrics` and `details` write the files anew that change, end files between groups, and read them back;
//! 6. one joint commit makes the new versions of all tables visible at once. The files of dropped rows stay for `VACUUM`.
//!
//! `RETAIN` is the same without anything that comes in, over all groups; what is as it should be is not written again.
//!
//! In memory are the keys of what comes in and of what is kept; rows stream, and sorts spill.

mod details;
mod exact_cast;
mod group_index;
mod json_size;
mod keys;
mod metrics;
mod note;
mod policy;
mod ranking;
mod report;
mod staging;
mod statistics;
mod subject;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::prelude::{DataFrame, SessionContext};

use crate::error::{Error, Result};
use crate::storage::{JointMember, JointWriter, Root, TableChange, at_one_state};
use details::{Decided, Detail, Findings, Survey, Unkept, find_metrics, survey};
use keys::KeyMap;
use metrics::{MetricsAfter, Ranked};
use policy::write_policy;
pub use policy::{Direction, OptionValue, RETENTION_OPTIONS, RetentionOption, RetentionOptions, RetentionPolicy};
pub use policy::{drop_policy, policies, policies_with_details, read_policy, remove_policy, vacuum_hours};
use ranking::{Ranking, Reason, rank};
pub use report::RetentionReport;
use staging::{Destination, Groups, Staged};
pub use statistics::{GroupStatistics, statistics};
use subject::Subject;
use writing::abandon_after;

/// Rows to be saved: metrics, and details of any of the tables that the policy names.
#[derive(Debug, Clone)]
pub struct SaveRequest {
    /// Rows of the metrics table, one per strategy; columns by their names, those that are absent are NULL. A strategy that is stored already is replaced.
    pub metrics: Option<DataFrame>,
    /// Tables of details with their rows: all rows that a strategy has there take the place of those that are stored.
    pub details: Vec<(String, DataFrame)>,
}

/// Where a save is at work: the session, the database, and the tables with their policy.
#[derive(Clone, Copy)]
struct Place<'a> {
    ctx: &'a SessionContext,
    root: &'a Root,
    subject: &'a Subject,
}

/// Sets the policy of a metrics table, or changes what is said of it. It is read and written in the turn of a writer, so that of two
/// changes at the same time both hold.
///
/// # Errors
/// [`Error::Usage`] where tables or columns do not fit, naming them; [`Error::Conflict`] when another writer takes longer than a minute.
pub async fn set_policy(ctx: &SessionContext, root: &Root, table: &str, options: RetentionOptions) -> Result<RetentionPolicy> {
    // What cannot be is refused before anything is made.
    said_policy(ctx, root, table, options.clone()).await?;
    let turn = JointWriter::begin(root).await?;
    let outcome = change_policy(ctx, root, table, options).await;
    turn.end().await;
    outcome
}

/// As [`set_policy`], by who has the turn.
async fn change_policy(ctx: &SessionContext, root: &Root, table: &str, options: RetentionOptions) -> Result<RetentionPolicy> {
    let policy = said_policy(ctx, root, table, options).await?;
    write_policy(root, table, &policy).await?;
    Ok(policy)
}

/// The policy there is with what is said of it, found to fit the tables.
async fn said_policy(ctx: &SessionContext, root: &Root, table: &str, options: RetentionOptions) -> Result<RetentionPolicy> {
    let before = read_policy(root, table).await?;
    let draft = options.over(table, before.as_ref())?;
    Ok(at_one_state(root, Subject::of_draft(ctx, root, table, draft)).await?.policy)
}

/// Ranks all strategies of a metrics table and drops the details of those that the policy does not keep; with `top` that number becomes
/// the policy's first. A dry run writes nothing, the policy included.
///
/// # Errors
/// [`Error::Usage`] without a policy, or where the metric has no values; [`Error::Conflict`] when another writer was first.
pub async fn retain(ctx: &SessionContext, root: &Root, table: &str, top: Option<u64>, dry_run: bool) -> Result<RetentionReport> {
    let mut policy = known_policy(root, table).await?;
    if dry_run {
        policy.top = top.unwrap_or(policy.top);
        let planned = async {
            let subject = Subject::open(ctx, root, table, policy).await?;
            Work::of_all(Place { ctx, root, subject: &subject }).plan().await?.report(true)
        };
        return at_one_state(root, planned).await;
    }
    let writer = JointWriter::begin(root).await?;
    let prepared = async {
        let policy = match top {
            Some(top) => change_policy(ctx, root, table, RetentionOptions::top(top)).await?,
            None => known_policy(root, table).await?,
        };
        let subject = Subject::open(ctx, root, table, policy).await?;
        Work::of_all(Place { ctx, root, subject: &subject }).plan().await?.prepare().await
    };
    committed(writer, prepared.await).await
}

/// Commits what was prepared, or gives the turn back.
async fn committed(writer: JointWriter, prepared: Result<Prepared>) -> Result<RetentionReport> {
    match prepared {
        Ok(Prepared { changes, mut report }) if !changes.is_empty() => {
            let names: Vec<String> = changes.iter().map(|change| change.name().to_owned()).collect();
            let members = changes.into_iter().map(|change| Box::new(change) as Box<dyn JointMember>).collect();
            report.versions = names.into_iter().zip(writer.commit(members).await?).collect();
            Ok(report)
        }
        nothing => {
            writer.end().await;
            nothing.map(|prepared| prepared.report)
        }
    }
}

/// The turn of one save: no other writer of several tables is at work until it is over.
pub struct SaveTurn {
    writer: JointWriter,
    /// The tables as they were when the turn began: what another writer changes later is a conflict.
    subject: Subject,
}

impl SaveTurn {
    /// Waits for the turn and opens the tables. Rows that are computed from the tables themselves are to be planned after it, so that no
    /// update is lost.
    ///
    /// # Errors
    /// [`Error::Usage`] without a policy, [`Error::Conflict`] when another writer takes longer than a minute.
    pub async fn begin(ctx: &SessionContext, root: &Root, table: &str) -> Result<Self> {
        // Without a policy nothing is made, not even a database.
        known_policy(root, table).await?;
        let writer = JointWriter::begin(root).await?;
        let subject = async { Subject::open(ctx, root, table, known_policy(root, table).await?).await };
        match subject.await {
            Ok(subject) => Ok(Self { writer, subject }),
            Err(error) => {
                writer.end().await;
                Err(error)
            }
        }
    }

    /// Gives the turn back without a save, and returns when others may have it.
    pub async fn end(self) {
        self.writer.end().await;
    }

    /// Saves metrics and details by their keys and applies the policy to the groups they belong to, all in one commit.
    ///
    /// # Errors
    /// As [`retain`]; [`Error::Query`] for rows that do not fit the tables, [`Error::Conflict`] for two rows of one strategy, for details of
    /// a strategy without metrics, and when another writer changed a table since the turn began.
    pub async fn save(self, ctx: &SessionContext, root: &Root, request: SaveRequest) -> Result<RetentionReport> {
        let place = Place { ctx, root, subject: &self.subject };
        let prepared = async {
            check_details(place.subject, &request)?;
            Work::of_request(place, request).await?.plan().await?.prepare().await
        };
        committed(self.writer, prepared.await).await
    }
}

/// Details go to tables that the policy names, to each once.
fn check_details(subject: &Subject, request: &SaveRequest) -> Result<()> {
    let policy = &subject.policy;
    for (place, (name, _)) in request.details.iter().enumerate() {
        if !policy.details.contains(name) {
            let (table, known) = (&subject.metrics.name, policy.details.join(", "));
            return Err(Error::Usage(format!(
                "'{name}' is no table of details of '{table}': there are {known}\nhint: ALTER TABLE {table} SET RETENTION (details => '...')"
            )));
        }
        if request.details[..place].iter().any(|(other, _)| other == name) {
            return Err(Error::Usage(format!("rows for '{name}' are given twice")));
        }
    }
    Ok(())
}

async fn known_policy(root: &Root, table: &str) -> Result<RetentionPolicy> {
    read_policy(root, table).await?.ok_or_else(|| {
        Error::Usage(format!(
            "'{table}' has no retention\nhint: ALTER TABLE {table} SET RETENTION (metric => 'sharpe_ratio', top => 50, details => 'trades')"
        ))
    })
}

/// What is to be done: what comes in, and the groups it touches; without any, all groups.
struct Work<'a> {
    place: Place<'a>,
    metrics: Staged,
    details: Vec<Staged>,
    touched: Option<Groups>,
}

impl<'a> Work<'a> {
    fn of_all(place: Place<'a>) -> Self {
        let details = place.subject.details.iter().map(|_| Staged::none(place.ctx)).collect();
        Self { place, metrics: Staged::none(place.ctx), details, touched: None }
    }

    async fn of_request(place: Place<'a>, request: SaveRequest) -> Result<Self> {
        let Place { ctx, subject, .. } = place;
        let mut touched = KeyMap::new(ctx);
        let metrics = match request.metrics {
            Some(rows) => {
                let destination = Destination { subject, table: &subject.metrics, holds_metrics: true };
                Staged::read(ctx, destination, rows, &mut touched).await?
            }
            None => Staged::none(ctx),
        };
        let mut given: BTreeMap<String, DataFrame> = request.details.into_iter().collect();
        let mut details = Vec::new();
        for table in &subject.details {
            details.push(match given.remove(&table.name) {
                Some(rows) => Staged::read(ctx, Destination { subject, table, holds_metrics: false }, rows, &mut touched).await?,
                None => Staged::none(ctx),
            });
        }
        Ok(Self { place, metrics, details, touched: Some(touched) })
    }

    /// Ranks the strategies and finds out what becomes of their details.
    async fn plan(self) -> Result<Plan<'a>> {
        let Self { place, metrics, details, touched } = self;
        let Place { ctx, subject, .. } = place;
        let (touched, mut ranking, replaced) = match touched {
            Some(touched) => {
                let touched = Arc::new(touched);
                let after = MetricsAfter::new(subject, &metrics, &touched);
                let replaced = after.count_replaced(ctx).await?;
                let ranking = rank(ctx, subject, after.of_groups(ctx, &touched).await?).await?;
                (touched, ranking, replaced)
            }
            None => {
                let rows = subject.metrics.scan(ctx, &subject.metrics.files, None).await?;
                let ranking = rank(ctx, subject, subject.metrics.conformed(rows)?).await?;
                (Arc::new(groups_of(ctx, &ranking, |_| true)?), ranking, 0)
            }
        };
        let mut unkept: KeyMap<Unkept> = KeyMap::new(ctx);
        let mut surveys = Vec::new();
        let tables: Vec<Detail<'_>> = subject.details.iter().zip(&details).map(|(table, incoming)| Detail { table, incoming }).collect();
        let mut findings = Findings { ranking: &mut ranking, unkept: &mut unkept };
        for detail in &tables {
            surveys.push(survey(place, *detail, &touched, &mut findings).await?);
        }
        let left_alone = match findings.unkept.is_empty() {
            true => 0,
            false => {
                let after = MetricsAfter::new(subject, &metrics, &touched).of_groups(ctx, &touched).await?;
                find_metrics(subject, after, &mut findings, &tables).await?
            }
        };
        count_kept(subject, &mut ranking);
        Ok(Plan { place, metrics, details, touched, ranking, unkept, surveys, left_alone, replaced })
    }
}

/// Counts who is kept and notes the groups whose metrics must say so anew.
fn count_kept(subject: &Subject, ranking: &mut Ranking) {
    let says_kept = subject.metrics.schema.field_with_name(subject::TRADES_KEPT).is_ok();
    for kept in ranking.kept.values() {
        let group = &mut ranking.groups[kept.group];
        match kept.reason {
            Reason::Top => group.kept_top += 1,
            Reason::Sample => group.kept_sample += 1,
        }
        group.without_details += u64::from(!kept.has_details && !subject.details.is_empty());
        group.changed |= says_kept && kept.is_stale();
    }
}

/// The groups of a ranking that `wanted` takes.
fn groups_of(ctx: &SessionContext, ranking: &Ranking, wanted: impl Fn(usize) -> bool) -> Result<Groups> {
    let mut groups = KeyMap::new(ctx);
    for (key, &place) in ranking.places.iter().filter(|(_, place)| wanted(**place)) {
        groups.insert(key.into(), ranking.groups[place].values.clone())?;
    }
    Ok(groups)
}

/// Changes whose files are written; none where nothing changes.
struct Prepared {
    changes: Vec<TableChange>,
    report: RetentionReport,
}

/// What will become of metrics and details.
struct Plan<'a> {
    place: Place<'a>,
    metrics: Staged,
    details: Vec<Staged>,
    touched: Arc<Groups>,
    ranking: Ranking,
    unkept: KeyMap<Unkept>,
    surveys: Vec<Survey>,
    left_alone: u64,
    /// Strategies that come in and are stored already.
    replaced: u64,
}

impl Plan<'_> {
    fn report(&self, dry_run: bool) -> Result<RetentionReport> {
        let mut report = RetentionReport::new(self.place.subject, self.ranking.groups.clone(), dry_run);
        report.left_alone = self.left_alone;
        report.replaced = self.replaced;
        let inserted = self.metrics.count.checked_sub(self.replaced);
        report.inserted = inserted.ok_or_else(|| Error::Internal("more strategies are replaced than came in".into()))?;
        for staged in std::iter::once(&self.metrics).chain(&self.details) {
            report.non_finite.extend(staged.non_finite.clone());
        }
        Ok(report)
    }

    /// Writes the new files of all tables and reads them back.
    async fn prepare(mut self) -> Result<Prepared> {
        let mut changes = Vec::new();
        let report = match self.try_prepare(&mut changes).await {
            Ok(report) => report,
            Err(error) => return abandon_after(changes, error).await,
        };
        Ok(Prepared { changes, report })
    }

    async fn try_prepare(&mut self, changes: &mut Vec<TableChange>) -> Result<RetentionReport> {
        self.write(changes).await?;
        let report = self.report(false)?;
        if let Some(first) = changes.first_mut() {
            first.set_note(report.note(self.place.subject).to_note()?);
        }
        for change in changes.iter() {
            change.verify().await?;
        }
        Ok(report)
    }

    /// The metrics first, so that the change that holds the note is theirs where they change.
    async fn write(&mut self, changes: &mut Vec<TableChange>) -> Result<()> {
        let Place { ctx, subject, .. } = self.place;
        let kept = Arc::new(std::mem::replace(&mut self.ranking.kept, KeyMap::new(ctx)));
        let unkept = Arc::new(std::mem::replace(&mut self.unkept, KeyMap::new(ctx)));
        let changed = if self.metrics.count > 0 {
            Arc::clone(&self.touched)
        } else {
            Arc::new(groups_of(ctx, &self.ranking, |place| self.ranking.groups[place].changed)?)
        };
        if !changed.is_empty() {
            let after = MetricsAfter::new(subject, &self.metrics, &changed);
            let ranked = Ranked { groups: &changed, ranking: &self.ranking, kept: &kept };
            changes.push(after.write(self.place, ranked, self.replaced).await?);
        }
        let decided = Decided { kept: &kept, unkept: &unkept };
        for ((table, incoming), survey) in subject.details.iter().zip(&self.details).zip(&self.surveys) {
            let change = survey.write(self.place, Detail { table, incoming }, &mut self.ranking, decided).await?;
            changes.extend(change);
        }
        Ok(())
    }
}
