//! The replays of a session: one record a query.

use std::fmt;

use chrono::Utc;
use datafusion_heavydb::replay::input::redact;
use datafusion_heavydb::replay::report::{Outcome, Report};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Every replay of a session, from its first.
#[derive(Default)]
pub struct ReplayResults(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    replays: u64,
    records: Vec<Value>,
}

impl fmt::Debug for ReplayResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayResults").finish_non_exhaustive()
    }
}

impl ReplayResults {
    /// Keeps the rows of a report.
    pub fn add(&self, report: &Report) {
        let mut kept = self.0.lock();
        kept.replays += 1;
        let (replay, at) = (kept.replays, Utc::now().to_rfc3339());
        kept.records.extend(report.outcomes().iter().map(|outcome| record(replay, &at, outcome)));
    }

    /// One record a query, in order of the replays.
    pub fn records(&self) -> Vec<Value> {
        self.0.lock().records.clone()
    }
}

fn record(replay: u64, at: &str, outcome: &Outcome) -> Value {
    json!({
        "replay": replay,
        "finished_at": at,
        "id": outcome.id,
        "status": outcome.status.name(),
        "rows": outcome.our_rows,
        "expected_rows": outcome.expected_rows,
        "first_difference": outcome.first_difference.as_ref().map(ToString::to_string),
        "logged_ms": outcome.logged(),
        "our_ms": outcome.ours(),
        "speed_up": outcome.speed_up(),
        "occurrences": outcome.logged_ms.len(),
        "reason": outcome.reason.as_deref().map(redact),
        "rules": outcome.rules.join(" "),
        "notes": outcome.notes.join("; "),
        "features": outcome.features.join(" "),
        "origin": outcome.origin,
        "sql": redact(&outcome.sql),
    })
}
