//! What is worth knowing about a replay as a whole: nothing is left out, compared or timed in silence.

use std::collections::{BTreeMap, HashSet};

use datafusion_heavydb::replay::input::redact;
use datafusion_heavydb::replay::report::{Report, Status};

use super::judge::Judge;

/// Names shown of a list.
const SHOWN: usize = 5;

/// What changes of tables had to say: the same words of many statements are told once.
#[derive(Debug, Default)]
pub(super) struct ChangeNotes {
    /// File, words, first place, further places.
    said: Vec<(String, String, String, usize)>,
}

impl ChangeNotes {
    /// Takes what a statement at a line of a file said; counts of changed rows are no news.
    pub(super) fn add(&mut self, file: &str, place: &str, note: Option<String>) {
        let Some(note) = note.filter(|note| !note.ends_with(" rows") && !note.ends_with(" rows deleted")) else { return };
        match self.said.iter_mut().find(|(known, words, ..)| known == file && *words == note) {
            Some((.., more)) => *more += 1,
            None => self.said.push((file.to_owned(), note, place.to_owned(), 0)),
        }
    }

    /// One line for the same words.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.said.iter().map(|(_, note, place, more)| {
            let more = if *more > 0 { format!(" and {more} more statements") } else { String::new() };
            redact(&format!("{place}{more}: {note}")).into_owned()
        })
    }
}

/// The notes of a replay; `found` are the ids whose results were compared.
pub(super) fn of(judge: &Judge, report: &Report, found: &HashSet<String>) -> Vec<String> {
    let mut notes = Vec::new();
    let filters = &judge.options.filters;
    let is_whole = filters.only.is_empty()
        && filters.since.is_none()
        && filters.until.is_none()
        && filters.database.is_none()
        && filters.user.is_none();
    if let Some(expectations) = &judge.expectations {
        let mut unused: Vec<&str> = expectations.ids().filter(|id| !found.contains(*id)).collect();
        unused.sort_unstable();
        if is_whole && !unused.is_empty() {
            notes.push(format!("{} of {} results belong to no query that was run: {}", unused.len(), expectations.len(), some(&unused)));
        }
        let ran: Vec<&str> = ids(report, Status::Ran);
        if !ran.is_empty() && judge.has_guards() {
            notes.push(format!("{} queries have no result to compare with: {}", ran.len(), some(&ran)));
        }
    }
    notes.extend(skipped(report));
    for input in &report.inputs {
        if input.filtered > 0 {
            notes.push(format!("{}: {} of {} statements are left out by filters", input.file.display(), input.filtered, input.statements));
        }
        if input.databases.len() > 1 && filters.database.is_none() {
            let names: Vec<&str> = input.databases.iter().map(String::as_str).collect();
            notes.push(format!(
                "{}: calls to {} databases ({}), in which a name may mean another table: --database NAME replays those of one",
                input.file.display(),
                names.len(),
                some(&names)
            ));
        }
    }
    if judge.options.jobs > 1 {
        notes.push(format!("{} queries ran at the same time: our times are longer than those of a query alone", judge.options.jobs));
    }
    if !judge.has_guards() {
        notes.push("guards were off: the answers are best effort, and no part of a pass rate".to_owned());
    }
    notes.iter().map(|note| redact(note).into_owned()).collect()
}

/// Skipped statements by reason.
fn skipped(report: &Report) -> impl Iterator<Item = String> {
    let mut reasons = BTreeMap::<&str, usize>::new();
    for outcome in report.outcomes().iter().filter(|outcome| outcome.status == Status::Skipped) {
        *reasons.entry(outcome.reason.as_deref().unwrap_or_default()).or_default() += 1;
    }
    reasons.into_iter().map(|(reason, count)| format!("{count} skipped: {reason}"))
}

fn ids(report: &Report, status: Status) -> Vec<&str> {
    report.outcomes().iter().filter(|outcome| outcome.status == status).map(|outcome| outcome.id.as_str()).collect()
}

/// The first names of a list.
fn some(names: &[&str]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
