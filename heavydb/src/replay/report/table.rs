//! The report for people.

use std::io::{self, Write};

use super::{Outcome, Report, Status, Summary, rows_of};
use crate::replay::input::{normalise, redact};

/// Signs of a query's text, and of a reason, in the table.
const SHOWN: usize = 80;

/// Signs of a text in which secrets are looked for before its start is shown.
const SEARCHED: usize = 1 << 14;

const HEADER: &[&str] = &["id", "status", "rows", "logged_ms", "our_ms", "speed_up", "difference or reason", "rules", "sql"];

/// Writes the rows and the summary.
pub(super) fn write(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<Vec<String>> = report.outcomes().iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([HEADER[column].len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let header: Vec<String> = HEADER.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&header).chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| padded(cell, *width, (3..6).contains(&at))).collect();
        writeln!(to, "{}", cells.join("  ").trim_end())?;
    }
    summary(report, &report.summary(), to)
}

fn padded(cell: &str, width: usize, right: bool) -> String {
    if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

fn row(outcome: &Outcome) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
    let difference = outcome.first_difference.as_ref().map(ToString::to_string);
    let why: Vec<String> = outcome.reason.clone().into_iter().chain(difference).chain(outcome.notes.iter().cloned()).collect();
    vec![
        outcome.id.clone(),
        outcome.status.name().to_owned(),
        rows_of(outcome),
        number(outcome.logged()),
        number(outcome.ours()),
        number(outcome.speed_up()),
        short(&why.join("; ")),
        outcome.rules.join(" "),
        short(&outcome.sql),
    ]
}

/// One line of at most 80 signs, without secrets.
pub(super) fn short(text: &str) -> String {
    // Only the start is shown: a statement of 40 MB is not worked through. Secrets are found with far more than what is shown, for
    // the end of one tells it too.
    let start = |text: &str, signs: usize| text.chars().take(signs).collect::<String>();
    let line = normalise(&start(&redact(&start(text, SEARCHED)), SHOWN * 8));
    if line.chars().count() > SHOWN { line.chars().take(SHOWN).collect() } else { line }
}

fn summary(report: &Report, summary: &Summary, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to)?;
    let counts: Vec<String> =
        Status::ALL.iter().filter_map(|status| summary.counts.get(status).map(|count| format!("{count} {}", status.name()))).collect();
    writeln!(to, "{} queries: {}", report.outcomes().len(), if counts.is_empty() { "none".to_owned() } else { counts.join(", ") })?;
    if let Some(rate) = summary.pass_rate {
        // Rounded down: 100.00 % means all.
        writeln!(to, "pass rate {:.2} %", (rate * 10_000.0).floor() / 100.0)?;
    }
    if report.changes.count > 0 {
        writeln!(to, "{} other statements in {:.1} ms", report.changes.count, report.changes.total_ms)?;
    }
    if let (Some(total), Some(median), Some(speed_up)) = (summary.total_ms, summary.median_ms, summary.speed_up) {
        writeln!(to, "HeavyDB {:.1} ms, ours {:.1} ms in all; median {:.1} and {:.1} ms", total.0, total.1, median.0, median.1)?;
        writeln!(to, "speed-up {speed_up:.2} (geometric mean)")?;
        writeln!(to, "A logged time includes HeavyDB's parsing by Calcite and the compilation of its kernel, but no network.")?;
    }
    list(to, "unsupported, by reason:", summary.reasons.iter().map(|(reason, count)| format!("{count:6}  {}", redact(reason))))?;
    let failing = summary.features.iter().filter(|(_, all, same)| same < all);
    list(
        to,
        "features with queries that are not the same:",
        failing.map(|(name, all, same)| format!("{:6} of {all}  {name}", all - same)),
    )?;
    inputs(report, to)?;
    list(to, "notes:", report.notes.iter().map(|note| format!("  {note}")))
}

fn list(to: &mut dyn Write, title: &str, lines: impl Iterator<Item = String>) -> io::Result<()> {
    for (at, line) in lines.enumerate() {
        if at == 0 {
            writeln!(to, "\n{title}")?;
        }
        writeln!(to, "{line}")?;
    }
    Ok(())
}

/// What could not be read, with its line.
fn inputs(report: &Report, to: &mut dyn Write) -> io::Result<()> {
    for input in report.inputs.iter().filter(|input| input.broken > 0) {
        writeln!(to, "\n{}: {} records or lines cannot be read and were passed over:", input.file.display(), input.broken)?;
        for problem in &input.problems {
            writeln!(to, "  line {}: {}", problem.line, problem.what)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_have_no_part_of_a_secret() {
        let secret = "s3cret".repeat(200);
        for text in [
            format!("COPY t FROM 'https://me:{secret}@host/f.csv'"),
            format!("COPY t FROM 'x' WITH (password='{secret}')"),
            format!("COPY t FROM 'x' WITH (password{}='{secret}')", " ".repeat(700)),
        ] {
            let shown = short(&text);
            assert!(!shown.contains("s3cret") && shown.chars().count() <= SHOWN, "{shown}");
        }
        assert_eq!(short(&format!("SELECT{}1", "\n ".repeat(20))), "SELECT 1");
    }
}
