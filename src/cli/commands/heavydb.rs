//! `tranchedb heavydb check`: what scripts in HeavyDB's dialect would meet.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::cli::arguments::CheckArguments;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::heavydb::{Finding, FindingKind};

/// Exit code where something is unsupported or wrong.
const NOT_GIVEN: u8 = 3;

/// Signs of a statement that are shown.
const SHOWN: usize = 100;

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct CheckPlan {
    files: Vec<PathBuf>,
    all: bool,
    json: bool,
}

impl CheckPlan {
    /// The check that was typed.
    pub(crate) fn new(typed: CheckArguments) -> Self {
        Self { files: typed.files, all: typed.all, json: typed.report == "json" }
    }
}

/// Looks at the scripts and prints what was found.
///
/// # Errors
/// Scripts that cannot be read, or a statement that is unsupported or wrong.
pub(crate) async fn run(plan: CheckPlan, engine: Engine, mut output: Output, mut workers: Workers) -> Result<()> {
    let files = plan.files.clone();
    let findings = workers.run(async move { engine.check_heavydb(&files).await }).await??;
    if plan.json {
        write_json(&findings, &mut output)?
    } else {
        write_text(&findings, plan.all, &mut output)?
    }
    output.commit()?;
    let is_bad = |finding: &Finding| matches!(finding.kind, FindingKind::Unsupported | FindingKind::Error);
    if findings.iter().any(is_bad) { Err(Failure::Reported(NOT_GIVEN)) } else { Ok(()) }
}

/// One statement and its lines below each other, the counts at the end.
fn write_text(findings: &[Finding], all: bool, out: &mut Output) -> Result<()> {
    let mut counts = BTreeMap::<FindingKind, usize>::new();
    for finding in findings {
        *counts.entry(finding.kind).or_default() += 1;
        if finding.kind == FindingKind::Same && finding.reason.is_none() && !all {
            continue;
        }
        writeln!(out, "{}:{}: {}: {}", finding.file.display(), finding.place, finding.kind.name(), short(&finding.sql))?;
        if let Some(reason) = &finding.reason {
            writeln!(out, "    {reason}")?;
        }
        if let Some(rewritten) = &finding.rewritten {
            writeln!(out, "    {} -> {}", finding.rules.join(" "), short(rewritten))?;
        }
    }
    write_times(findings, out)?;
    let counts: Vec<String> =
        FindingKind::ALL.iter().filter_map(|kind| counts.get(kind).map(|count| format!("{count} {}", kind.name()))).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    Ok(writeln!(out, "{} statements: {counts}; nothing was run", findings.len())?)
}

/// How long the rewriting took.
fn write_times(findings: &[Finding], out: &mut Output) -> Result<()> {
    let mut times: Vec<Duration> = findings.iter().filter_map(|finding| finding.rewriting).collect();
    times.sort_unstable();
    let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) else { return Ok(()) };
    Ok(writeln!(out, "{} queries rewritten: median {median:.1?}, longest {longest:.1?}", times.len())?)
}

fn write_json(findings: &[Finding], out: &mut Output) -> Result<()> {
    write!(out, "[")?;
    for (at, finding) in findings.iter().enumerate() {
        let record = json!({
            "file": finding.file.display().to_string(), "line": finding.place.line, "column": finding.place.column,
            "status": finding.kind.name(), "rules": finding.rules, "rewritten": finding.rewritten,
            "rewriting_us": finding.rewriting.map(|time| time.as_secs_f64() * 1e6), "reason": finding.reason, "sql": finding.sql,
        });
        write!(out, "{}\n{record}", if at == 0 { "" } else { "," })?;
    }
    Ok(writeln!(out, "\n]")?)
}

/// One line of a statement.
fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > SHOWN { line.chars().take(SHOWN - 1).chain(['…']).collect() } else { line }
}
