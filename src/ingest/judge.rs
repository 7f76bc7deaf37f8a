//! Verdict on what was read: which columns are text, which cells are no numbers, which names do not belong.

use std::collections::HashMap;

use super::coercion::CoercionKind;
use super::columns::{HeaderPlan, Role, Target, three_options, two_options};
use super::numbers::{NumberFormat, notation_remedy};
use super::report::Issue;
use super::tally::{Occurrences, Tally};
use super::wide::RawTable;
use crate::error::{Result, SourceError};

/// Share of the strategy columns that one shape of names must exceed for others to be odd.
const USUAL_SHARE: f64 = 0.5;
/// Share of the strategy columns below which another shape is odd.
const ODD_SHARE: f64 = 0.01;
/// Number of strategy columns from which on a single column of its own shape is odd.
const ODD_SINGLE_FROM: usize = 10;

/// Refuses a file with text where numbers belong, or with columns of which it is not clear that they are strategies.
///
/// # Errors
/// In this order: text columns, cells that are no numbers (all are counted), columns whose name has another shape.
pub(crate) fn judge(file: &str, plan: &HeaderPlan, raw: &RawTable, format: NumberFormat) -> Result<()> {
    let context = context_tallies(plan, raw, format);
    let strategies = raw.tallies.iter().map(|(name, tally)| JudgedColumn { name, tally, rows: raw.source_rows, may_be_text: true });
    let context =
        context.iter().map(|c| JudgedColumn { name: c.name, tally: &c.tally, rows: raw.lines.len() as u64, may_be_text: c.aggregate });
    let columns: Vec<JudgedColumn<'_>> = strategies.chain(context).collect();
    check_text_columns(file, &columns)?;
    check_cells(file, &columns)?;
    check_shapes(file, plan)
}

/// A column that has to be numeric, with what was found in it.
struct JudgedColumn<'a> {
    name: &'a str,
    tally: &'a Tally,
    /// Cells that were read.
    rows: u64,
    /// The column was taken for numeric only because nobody said otherwise.
    may_be_text: bool,
}

/// A context column that has to be numeric.
struct NumericContext<'a> {
    name: &'a str,
    aggregate: bool,
    tally: Tally,
}

fn context_tallies<'a>(plan: &'a HeaderPlan, raw: &RawTable, format: NumberFormat) -> Vec<NumericContext<'a>> {
    let numeric = |role: &Role| {
        matches!(role, Role::Aggregate(_) | Role::Known(Target::RegimeConfidence | Target::TransitionThreshold | Target::Capital))
    };
    let columns = plan.texts().zip(&raw.texts).filter(|(column, _)| numeric(&column.role));
    columns
        .map(|(column, text)| NumericContext {
            name: &column.name,
            aggregate: matches!(column.role, Role::Aggregate(_)),
            tally: text.numbers(format, &raw.lines).tally,
        })
        .collect()
}

fn check_text_columns(file: &str, columns: &[JudgedColumn<'_>]) -> Result<()> {
    let text: Vec<_> = columns.iter().filter(|c| c.may_be_text && c.tally.is_text(c.rows)).collect();
    let Some(JudgedColumn { name, tally, rows, .. }) = text.first() else { return Ok(()) };
    let others: Vec<_> = text.iter().skip(1).take(5).map(|other| format!("'{}'", other.name)).collect();
    let others = match others.len() {
        0 => String::new(),
        1 => format!(" (so is {})", others[0]),
        _ => format!(" (so are {})", others.join(", ")),
    };
    let reason = format!("is text{others}: {} of its {rows} cells are no numbers", tally.bad.count);
    let error = SourceError::new(file, reason).in_column(*name).at_line(tally.bad.first_line).with_text(&tally.bad_text);
    Err(error.counted(text.len() as u64).with_remedy(format!("{}; --strategy fits numeric columns only", two_options(name))).into())
}

fn check_cells(file: &str, columns: &[JudgedColumn<'_>]) -> Result<()> {
    let bad = columns.iter().enumerate().filter(|(_, c)| c.tally.bad.count > 0);
    let Some((_, JudgedColumn { name, tally, .. })) = bad.min_by_key(|(at, c)| (c.tally.bad.first_line, *at)) else { return Ok(()) };
    let count = columns.iter().map(|c| c.tally.bad.count).sum();
    let remedy = match notation_remedy(&tally.bad_text) {
        Some(remedy) => remedy.to_owned(),
        None => format!("correct the cell or leave it empty for NULL; --exclude '{name}' leaves the column out"),
    };
    let error = SourceError::new(file, "not a number").at_line(tally.bad.first_line).in_column(*name).with_text(&tally.bad_text);
    Err(error.counted(count).with_remedy(remedy).into())
}

/// Names with digit runs replaced by `#` show a shape; a few columns of another shape than the many are hardly strategies.
fn check_shapes(file: &str, plan: &HeaderPlan) -> Result<()> {
    let mut shapes: HashMap<String, (usize, bool)> = HashMap::new();
    let mut total = 0;
    for column in plan.strategies() {
        let (count, named) = shapes.entry(shape(&column.name)).or_default();
        *count += 1;
        *named |= column.role == Role::Strategy { named: true };
        total += 1;
    }
    let most = shapes.values().map(|(count, _)| *count).max().unwrap_or(0);
    if (most as f64) <= USUAL_SHARE * total as f64 {
        return Ok(());
    }
    let is_odd = |name: &str| {
        let (count, named) = shapes.get(&shape(name)).copied().unwrap_or_default();
        !named && count < most && ((count as f64) < ODD_SHARE * total as f64 || (count == 1 && total >= ODD_SINGLE_FROM))
    };
    let odd: Vec<&str> = plan.strategies().map(|c| c.name.as_str()).filter(|name| is_odd(name)).collect();
    let Some(first) = odd.first() else { return Ok(()) };
    let names: Vec<_> = odd.iter().take(5).map(|name| format!("'{name}'")).collect();
    let reason = format!(
        "{} of {total} names are shaped unlike the others, so that it is not clear whether they are strategies: {}",
        odd.len(),
        names.join(", ")
    );
    Err(SourceError::new(file, reason).at_line(1).in_column(*first).with_remedy(three_options(first)).into())
}

fn shape(name: &str) -> String {
    let mut shape = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            _ => shape.push(c),
        }
    }
    shape
}

/// Issues for the cells of one column that are stored as something else than they say.
pub(crate) fn coercion_issues(column: &str, tally: &Tally) -> Vec<Issue> {
    let found = CoercionKind::all().map(|kind| (kind, tally.coerced(kind))).filter(|(_, seen)| seen.count > 0);
    let issue = |(kind, seen): (CoercionKind, Occurrences)| {
        let text = kind.text();
        Issue::new(text.issue, text.severity, seen.count, kind.action()).in_column(column).at_line(seen.first_line)
    };
    found.map(issue).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_the_name_without_its_numbers() {
        assert_eq!(shape("SENSEX 930-1030 SL38%TP27%"), "SENSEX #-# SL#%TP#%");
        assert_eq!(shape("S1"), shape("S20"));
    }
}
