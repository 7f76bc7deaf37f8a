//! The report for programs.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Difference, Outcome, Report, Summary};
use crate::replay::input::{FileSummary, redact};

/// Writes one object; the queries one a line, so that a long report needs no memory of its own.
pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let options: Map<String, Value> =
        report.options.iter().map(|(name, value)| (name.clone(), Value::String(redact(value).into_owned()))).collect();
    let inputs: Vec<Value> = report.inputs.iter().map(input).collect();
    write!(
        to,
        "{{\"tool\":{},\"dialect\":\"heavydb\",\"options\":{},\"inputs\":{}",
        json!(report.tool),
        Value::Object(options),
        json!(inputs)
    )?;
    write!(to, ",\"notes\":{},\"summary\":{},\"queries\":[", json!(report.notes), summary(report, &report.summary()))?;
    for (at, outcome) in report.outcomes().iter().enumerate() {
        write!(to, "{}\n{}", if at == 0 { "" } else { "," }, query(outcome))?;
    }
    writeln!(to, "\n]}}")
}

fn input(input: &FileSummary) -> Value {
    let problems: Vec<Value> = input.problems.iter().map(|problem| json!({"line": problem.line, "what": problem.what})).collect();
    json!({
        "file": input.file.display().to_string(), "statements": input.statements, "filtered": input.filtered, "skipped": input.skipped,
        "again": input.again, "broken": input.broken, "problems": problems, "databases": input.databases,
    })
}

fn summary(report: &Report, summary: &Summary) -> Value {
    let counts: Map<String, Value> = summary.counts.iter().map(|(status, count)| (status.name().to_owned(), json!(count))).collect();
    let reasons: Vec<Value> = summary.reasons.iter().map(|(reason, count)| json!({"reason": redact(reason), "count": count})).collect();
    let features: Vec<Value> =
        summary.features.iter().map(|(name, all, same)| json!({"feature": name, "queries": all, "same": same})).collect();
    json!({
        "queries": report.outcomes().len(), "counts": counts, "pass_rate": summary.pass_rate,
        "logged_ms": summary.total_ms.map(|total| total.0), "our_ms": summary.total_ms.map(|total| total.1),
        "median_logged_ms": summary.median_ms.map(|median| median.0), "median_our_ms": summary.median_ms.map(|median| median.1),
        "speed_up": summary.speed_up, "unsupported": reasons, "features": features,
        "changes": {"count": report.changes.count, "our_ms": report.changes.total_ms},
    })
}

fn query(outcome: &Outcome) -> Value {
    json!({
        "id": outcome.id, "status": outcome.status.name(), "rows": outcome.our_rows, "expected_rows": outcome.expected_rows,
        "first_difference": outcome.first_difference.as_ref().map(difference), "logged_ms": outcome.logged(), "our_ms": outcome.ours(),
        "speed_up": outcome.speed_up(), "occurrences": outcome.logged_ms.len(), "reason": outcome.reason.as_deref().map(redact),
        "rules": outcome.rules, "notes": outcome.notes, "features": outcome.features, "origin": outcome.origin, "sql": redact(&outcome.sql),
    })
}

fn difference(difference: &Difference) -> Value {
    let message = difference.to_string();
    match difference {
        Difference::Value { row, column, ours, theirs, relative_error, .. } => {
            json!({"message": message, "row": row, "column": column, "ours": ours, "expected": theirs, "relative_error": relative_error})
        }
        _ => json!({"message": message}),
    }
}
