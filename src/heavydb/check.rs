//! What the statements of a script would meet, without running them.
//!
//! Statements that make tables are carried out in a database of their own, without rows, so that the queries after them are planned with
//! their types. A query over tables that the script does not make is read and rewritten; what its types would say is not known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion_heavydb::dialect::{Rewritten, parse_plain, rewrite, split};
use datafusion_heavydb::replay::input::redact;
use datafusion_heavydb::tables::{Alteration, Database, HeavySession, Statement, quoted_if_needed};
use sqlparser::ast::Statement as Ast;

use super::judge::refusal;
use super::place::{message_of, place_of};
use super::settings::HeavySettings;
use crate::error::{Error, Position, Result};

/// An `INSERT` above this length has values, which are read when it runs.
const LONG_INSERT: usize = 1 << 16;

/// What a statement would meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// It runs as it is.
    Same,
    /// It runs after a rewrite.
    Changed,
    /// It is accepted and does nothing.
    NoEffect,
    /// It is not given in the dialect.
    Unsupported,
    /// It is wrong.
    Error,
}

impl FindingKind {
    /// All, in the order of reports.
    pub const ALL: &[Self] = &[Self::Same, Self::Changed, Self::NoEffect, Self::Unsupported, Self::Error];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::NoEffect => "no effect",
            Self::Unsupported => "unsupported",
            Self::Error => "error",
        }
    }
}

/// One statement of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The script.
    pub file: PathBuf,
    /// The trouble's place in the script where it is known, else the statement's.
    pub place: Position,
    /// What it would meet.
    pub kind: FindingKind,
    /// The rules of the dialect that change the text.
    pub rules: Vec<String>,
    /// The text after them.
    pub rewritten: Option<String>,
    /// How long it took to rewrite its query, where it has one that could be.
    pub rewriting: Option<Duration>,
    /// Why it is not given, what is wrong, or what could not be looked at.
    pub reason: Option<String>,
    /// The statement, without secrets.
    pub sql: String,
}

/// Looks at every statement of the scripts, in order.
///
/// # Errors
/// A script that cannot be read.
pub async fn check(base: &SessionState, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let database = Arc::new(Database::default());
    let session = HeavySession::new(base, &database, &HeavySettings::of(base));
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read(file).map_err(|error| Error::storage(format!("reading {}", file.display()), error))?;
        let text = String::from_utf8(text).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            Error::storage(format!("reading {}", file.display()), format!("line {line} is not UTF-8: convert it with `iconv -t UTF-8`"))
        })?;
        for piece in split(&text) {
            let start = Position { line: piece.place.line, column: piece.place.column };
            findings.push(statement(&session, piece.text, file, start).await);
        }
    }
    Ok(findings)
}

async fn statement(session: &HeavySession, text: &str, file: &Path, start: Position) -> Finding {
    let nothing = Finding {
        file: file.to_owned(),
        place: start,
        kind: FindingKind::Same,
        rules: vec![],
        rewritten: None,
        rewriting: None,
        reason: None,
        sql: redact(text).into_owned(),
    };
    match found(session, text, nothing.clone()).await {
        Ok(finding) => finding,
        Err(error) => {
            let place = place_of(&error, text).map_or(start, |place| place.after(start));
            let (kind, reason) = match refusal(&error) {
                Some(reason) => (FindingKind::Unsupported, reason),
                None => (FindingKind::Error, message_of(&error)),
            };
            Finding { place, kind, reason: Some(redact(&reason).into_owned()), ..nothing }
        }
    }
}

async fn found(session: &HeavySession, text: &str, finding: Finding) -> Result<Finding, DataFusionError> {
    match Statement::read(text)? {
        Statement::Query(query) | Statement::Explain(query) => look_at(session, &query, finding).await,
        Statement::CreateView { name, query, if_not_exists, .. } => {
            let finding = look_at(session, &query, finding).await?;
            if finding.reason.is_none() && !(if_not_exists && session.database().find(&name.to_lowercase()).is_some()) {
                session.run(text).await?;
            }
            Ok(finding)
        }
        Statement::CreateTable(definition) => match &definition.query {
            None => session.run(text).await.map(|_| finding),
            Some(query) => {
                let finding = look_at(session, query, finding).await?;
                if finding.reason.is_none() {
                    // The query may end in a comment: the line ends before the parenthesis.
                    let name = quoted_if_needed(&definition.spelling);
                    session.run(&format!("CREATE TABLE {name} AS (SELECT * FROM ({query}\n) AS q LIMIT 0)")).await?;
                }
                Ok(finding)
            }
        },
        Statement::Insert => match inserted_query(text) {
            Some(query) => look_at(session, &query, finding).await,
            None => Ok(finding),
        },
        Statement::Change => {
            let (rewritten, finding) = timed(text, session, finding)?;
            Ok(changed(rewritten, finding))
        }
        Statement::Drop { names, .. } => known(session, &names, text, finding).await,
        Statement::Rename(pairs) => known(session, &pairs.into_iter().map(|(old, _)| old).collect::<Vec<_>>(), text, finding).await,
        Statement::Alter { change: Alteration::Set(_), .. } => Ok(Finding { kind: FindingKind::NoEffect, ..finding }),
        Statement::Alter { table, .. } => known(session, &[table], text, finding).await,
        Statement::Noted(note) => Ok(Finding { kind: FindingKind::NoEffect, reason: Some(note.to_owned()), ..finding }),
        // What reads or writes files, and what only shows, changes nothing that later statements are checked against.
        _ => Ok(finding),
    }
}

/// Carries out a change of tables that the script made; those of others are not known.
async fn known(session: &HeavySession, names: &[String], text: &str, finding: Finding) -> Result<Finding, DataFusionError> {
    if names.iter().all(|name| session.database().find(name).is_some()) {
        session.run(text).await?;
    }
    Ok(finding)
}

/// Rewrites a query, and plans it where its tables are known.
async fn look_at(session: &HeavySession, query: &str, finding: Finding) -> Result<Finding, DataFusionError> {
    let (rewritten, finding) = timed(query, session, finding)?;
    let planned = session.plan_rewritten(rewritten.statement.clone()).await;
    let finding = changed(rewritten, finding);
    match planned {
        Ok(_) => Ok(finding),
        Err(error) => match unknown_table(&error) {
            Some(name) => Ok(Finding { reason: Some(format!("types are not checked: table {name} is not known here")), ..finding }),
            None => Err(error),
        },
    }
}

fn timed(query: &str, session: &HeavySession, finding: Finding) -> Result<(Rewritten, Finding), DataFusionError> {
    let begin = Instant::now();
    let rewritten = rewrite(query, session.options())?;
    Ok((rewritten, Finding { rewriting: Some(begin.elapsed()), ..finding }))
}

fn changed(rewritten: Rewritten, finding: Finding) -> Finding {
    if rewritten.rules.is_empty() {
        return finding;
    }
    let text = rewritten.statement.to_string();
    Finding {
        kind: FindingKind::Changed,
        rules: rewritten.rules.into_iter().map(str::to_owned).collect(),
        rewritten: Some(redact(&text).into_owned()),
        ..finding
    }
}

/// The query of `INSERT INTO t SELECT ...`.
fn inserted_query(text: &str) -> Option<String> {
    let parsed = (text.len() <= LONG_INSERT).then(|| parse_plain(text).ok()).flatten()?;
    let Ast::Insert(insert) = parsed else { return None };
    let source = insert.source?;
    (!matches!(source.body.as_ref(), sqlparser::ast::SetExpr::Values(_))).then(|| source.to_string())
}

fn unknown_table(error: &DataFusionError) -> Option<String> {
    let message = error.strip_backtrace();
    let (name, _) = message.split_once("table '")?.1.split_once("' not found")?;
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}
