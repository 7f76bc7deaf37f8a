//! One query of a replay in full.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion_heavydb::dialect::{Rewritten, rewrite};
use datafusion_heavydb::replay::expected::Expectation;
use datafusion_heavydb::replay::input::{Entry, Inputs, Query, redact};
use datafusion_heavydb::replay::report::{Explanation, Outcome, RewrittenLine};
use datafusion_heavydb::replay::rows::Rows;
use datafusion_heavydb::tables::Database;

use super::judge::{Given, Judge, unreadable};
use super::place::message_of;
use super::replay::{Course, ReplayOptions, course};
use crate::error::{Error, Result};

/// One query, replayed, with everything that leads to its row of the report.
#[derive(Debug)]
pub struct Explained {
    /// Its row of the report.
    pub outcome: Outcome,
    rewritten: Vec<RewrittenLine>,
    plan: Option<String>,
    ours: Option<Rows>,
    expectation: Option<Expectation>,
}

impl Explained {
    /// Writes it for people.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let outcome = &self.outcome;
        let explanation = Explanation {
            id: &outcome.id,
            original: &outcome.sql,
            rewritten: &self.rewritten,
            plan: self.plan.as_deref(),
            ours: self.ours.as_ref(),
            expectation: self.expectation.as_ref(),
            difference: outcome.first_difference.as_ref(),
        };
        explanation.write(to)?;
        let times = [("HeavyDB", outcome.logged()), ("ours", outcome.ours())];
        let times: Vec<String> = times.iter().filter_map(|(whose, ms)| Some(format!("{whose} {:.1} ms", (*ms)?))).collect();
        writeln!(
            to,
            "\n{} ({}){}",
            outcome.status.name(),
            outcome.origin,
            times.iter().map(|time| format!(", {time}")).collect::<String>()
        )?;
        for line in outcome.reason.iter().chain(&outcome.notes) {
            writeln!(to, "  {}", redact(line))?;
        }
        Ok(())
    }
}

/// Replays up to one query and explains it; the queries before it are passed over, what changes tables is run.
///
/// # Errors
/// As a replay; [`Error::Usage`] where no query has the id.
pub async fn explain(base: SessionState, database: Arc<Database>, options: &ReplayOptions, id: &str) -> Result<Explained> {
    let judge = Judge::open(base, database, options)?;
    let mut inputs = Inputs::open(&options.inputs, options.filters.clone()).map_err(unreadable)?;
    judge.set_up().await?;
    let mut found: Option<Explained> = None;
    let mut near = (0.0, String::new());
    for entry in &mut inputs {
        match entry.map_err(unreadable)? {
            Entry::Query(query) if query.id == id => found = Some(explained(&judge, &query).await?),
            Entry::Query(query) if found.is_none() => {
                if matches!(course(&judge, &query)?, Course::Change(_)) {
                    // What fails here fails in the report; the explanation shows what the query then meets.
                    drop(judge.session(Some(&query)).run(&query.sql).await);
                }
                let likeness = strsim::jaro_winkler(&query.id, id);
                if likeness > near.0 {
                    near = (likeness, query.id);
                }
            }
            Entry::Again { id: again, timing } if again == id => {
                if let Some(found) = &mut found {
                    found.outcome.logged_ms.extend(timing.map(|timing| timing.total_ms));
                }
            }
            _ => {}
        }
    }
    let hint = if near.0 > 0.6 { format!("\nhint: did you mean {}?", near.1) } else { "\nhint: a report lists the ids".to_owned() };
    found.ok_or_else(|| Error::Usage(format!("no query of the inputs has the id '{id}'{hint}")))
}

async fn explained(judge: &Judge, query: &Query) -> Result<Explained> {
    let nothing = |outcome: Outcome| Explained { outcome, rewritten: vec![], plan: None, ours: None, expectation: None };
    let expectation = match course(judge, query)? {
        Course::Left(outcome) => return Ok(nothing(*outcome)),
        Course::Change(_) => return Ok(nothing(Outcome::new(query))),
        Course::Run(expectation) => expectation,
    };
    let session = judge.session(Some(query));
    let rewritten = rewrite(&query.sql, session.options()).map(|rewritten| lines(&query.sql, &rewritten)).unwrap_or_default();
    let plan = match session.plan(&query.sql).await {
        Ok((plan, _)) => Some(session.context().state().optimize(&plan).unwrap_or(plan).display_indent().to_string()),
        Err(error) => (!rewritten.is_empty()).then(|| format!("none: {}", message_of(&error))),
    };
    let judged = judge.judged(query, expectation.as_ref()).await;
    let ours = match judged.given {
        Given::Rows(rows) => Some(rows),
        Given::Unsupported(_) | Given::Failed(_) => None,
    };
    Ok(Explained { outcome: judged.outcome, rewritten, plan, ours, expectation })
}

/// The text after the rewrite, line by line. Lines that HeavyDB's text does not have are marked; the first of them names the rules.
fn lines(original: &str, rewritten: &Rewritten) -> Vec<RewrittenLine> {
    let plain = |text: &str| text.to_lowercase().split_whitespace().collect::<String>();
    let before = plain(original);
    let mut rules = Some(rewritten.rules.join(" "));
    let text = format!("{:#}", rewritten.statement);
    let line = |line: &str| {
        let is_new = !before.contains(plain(line).trim_end_matches(','));
        let margin = if is_new { rules.take().unwrap_or_else(|| "*".to_owned()) } else { String::new() };
        RewrittenLine { text: line.to_owned(), rules: margin }
    };
    text.lines().map(line).collect()
}
