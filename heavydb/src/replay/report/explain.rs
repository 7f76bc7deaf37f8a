//! One query in full: HeavyDB's text, ours, the plan, and both results around the first difference.

use std::io::{self, Write};

use crate::replay::compare::Difference;
use crate::replay::expected::Expectation;
use crate::replay::input::redact;
use crate::replay::render;
use crate::replay::rows::Rows;

/// Rows shown before and behind the first difference.
const AROUND: usize = 5;
/// The widest column shown, in signs.
const WIDEST: usize = 40;

/// A line of the text after the rewrite.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewrittenLine {
    /// The text.
    pub text: String,
    /// The rules that changed it, for the margin.
    pub rules: String,
}

/// What is shown of one query; parts that do not exist are left out.
#[derive(Debug, Clone, Copy)]
pub struct Explanation<'a> {
    /// The query's id.
    pub id: &'a str,
    /// HeavyDB's text.
    pub original: &'a str,
    /// The text after the rewrite.
    pub rewritten: &'a [RewrittenLine],
    /// The plan.
    pub plan: Option<&'a str>,
    /// Our rows.
    pub ours: Option<&'a Rows>,
    /// HeavyDB's.
    pub expectation: Option<&'a Expectation>,
    /// Where they differ.
    pub difference: Option<&'a Difference>,
}

impl Explanation<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// What the writer fails with.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{}\n\nHeavyDB's text\n{}", self.id, indented(&redact(self.original)))?;
        if !self.rewritten.is_empty() {
            let margin = self.rewritten.iter().map(|line| line.rules.chars().count()).max().unwrap_or(0);
            writeln!(to, "\nafter the rewrite")?;
            for line in self.rewritten {
                writeln!(to, "{}", format!("  {:<margin$} | {}", line.rules, redact(&line.text)).trim_end())?;
            }
        }
        if let Some(plan) = self.plan {
            writeln!(to, "\nplan\n{}", indented(&redact(plan)))?;
        }
        if let Some(difference) = self.difference {
            writeln!(to, "\nfirst difference: {difference}")?;
        }
        self.results(to)
    }

    /// Both results, ours on the left.
    fn results(&self, to: &mut dyn Write) -> io::Result<()> {
        let (ours_at, theirs_at) = match self.difference {
            Some(Difference::Value { rows, .. }) => *rows,
            Some(Difference::Rows { ours, theirs }) => (Some(*ours.min(theirs)), Some(*ours.min(theirs))),
            _ => (None, None),
        };
        let left = self.ours.map(|rows| our_table(rows, ours_at.unwrap_or(0)));
        let right = self.expectation.map(|expectation| their_table(expectation, theirs_at.or(ours_at).unwrap_or(0)));
        let (Some(left), right) = (left, right.unwrap_or_default()) else {
            return match self.expectation {
                Some(expectation) => writeln!(to, "\nHeavyDB\n{}", indented(&their_table(expectation, 0).join("\n"))),
                None => Ok(()),
            };
        };
        let width = left.iter().map(|line| line.chars().count()).chain(["ours".len()]).max().unwrap_or(0);
        writeln!(to, "\n  {:<width$}   HeavyDB", "ours")?;
        for at in 0..left.len().max(right.len()) {
            let side = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
            writeln!(to, "{}", format!("  {:<width$} | {}", side(&left), side(&right)).trim_end())?;
        }
        Ok(())
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The rows around one of them, each with its number from 1; the one itself is marked.
fn table(names: &[String], count: usize, at: usize, row: impl Fn(usize) -> Vec<String>) -> Vec<String> {
    let shown = at.saturating_sub(AROUND)..count.min(at.saturating_add(AROUND + 1));
    let mut cells: Vec<Vec<String>> = vec![std::iter::once("row".to_owned()).chain(names.iter().cloned()).collect()];
    for number in shown {
        let mark = if number == at { ">" } else { "" };
        cells.push(std::iter::once(format!("{mark}{}", number + 1)).chain(row(number)).collect());
    }
    let short =
        |text: &str| if text.chars().count() > WIDEST { text.chars().take(WIDEST - 1).chain(['…']).collect() } else { text.to_owned() };
    let cells: Vec<Vec<String>> =
        cells.iter().map(|row| row.iter().map(|text| short(&text.replace(['\n', '\r', '\t'], " "))).collect()).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect::<Vec<_>>().join("  ");
    cells.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

fn our_table(rows: &Rows, at: usize) -> Vec<String> {
    table(rows.names(), rows.len(), at, |row| (0..rows.width()).map(|column| render::cell(&rows.cell(row, column))).collect())
}

fn their_table(expectation: &Expectation, at: usize) -> Vec<String> {
    match expectation {
        Expectation::Error(message) => vec![format!("error: {message}")],
        Expectation::Scalar { value, kind, .. } => vec![format!("value ({kind})"), render::value(value)],
        Expectation::Rows { columns, rows } => {
            let names = columns.clone().unwrap_or_default();
            table(&names, rows.len(), at, |row| rows.get(row).map(|row| row.iter().map(render::value).collect()).unwrap_or_default())
        }
    }
}
