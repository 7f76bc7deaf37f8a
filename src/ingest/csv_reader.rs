//! From a CSV file to a source of strategies and a report: plan the header, read the rows, judge them, settle the periods.

use std::collections::BTreeMap;
use std::path::Path;

use super::coercion::{Coercion, CoercionKind, Coercions};
use super::columns::{HeaderPlan, Layout, Role, Target, plan_header};
use super::file_source::{FileSource, LevelDifferences};
use super::fingerprint::file_sha256;
use super::judge::{coercion_issues, judge};
use super::long::{LongRules, read_long};
use super::options::{ImportOptions, Unit, ValueKind};
use super::pairs::{read_dates, read_renames, with_dates};
use super::periods::{PeriodRows, Periods};
use super::records::RecordReader;
use super::report::{ColumnReport, ImportReport, Issue, IssueCode, Severity, by_column};
use super::series::{SeriesFacts, scan};
use super::source::StrategySource;
use super::tally::Tally;
use super::wide::{RawTable, read_wide};
use crate::error::{Result, SourceError};

/// Excluded columns that the report names one by one.
const EXCLUDED_NAMED: usize = 20;

/// A CSV file that was read and found good.
pub struct CsvSource {
    /// Its strategies.
    pub source: Box<dyn StrategySource>,
    /// What was in it; the part about the commit is still empty.
    pub report: ImportReport,
}

/// Reads a strategy CSV file: legacy, enhanced or long format, found from its header.
///
/// One pass over the file on two threads and more. Values stay in memory up to `memory_bytes`, beyond that in a nameless scratch file; besides
/// them only a few megabytes and the texts of the period rows are held. Nothing is written anywhere else.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) for options that do not fit together; [`Error::Source`](crate::error::Error::Source) naming file, line, column, text, count and remedy for everything in the
/// file that is not beyond doubt; [`Error::Storage`](crate::error::Error::Storage) when reading or the scratch file fails. The same file gives the same error every time.
pub fn read_csv(path: &Path, options: &ImportOptions, memory_bytes: usize) -> Result<CsvSource> {
    let mut report = ImportReport::begin(path, options);
    let format = options.number_format()?;
    report.option_files = option_files(options)?;
    let renames = options.rename.as_deref().map(read_renames).transpose()?.unwrap_or_default();
    let reader = RecordReader::open(path)?;
    let file = reader.file().to_owned();
    let plan = plan_header(&file, reader.header(), options, &renames)?;
    let mut raw = match plan.layout {
        Layout::Wide => read_wide(reader, &plan, format, memory_bytes)?,
        Layout::Long => {
            let excluded: Vec<&str> = plan.columns.iter().filter(|c| c.role == Role::Excluded).map(|c| c.name.as_str()).collect();
            let rules = LongRules { renames: &renames, options, excluded_columns: &excluded, format, memory_bytes };
            read_long(reader, &plan, &rules)?
        }
    };
    supply_dates(&file, &plan, &mut raw, options)?;
    judge(&file, &plan, &raw, format)?;
    let periods = PeriodRows { file: &file, plan: &plan, texts: &raw.texts, lines: &raw.lines, options, format }.settle()?;
    describe(&mut report, &plan, &raw);
    let source = assemble(raw, periods, &mut report);
    let facts = scan(source.as_ref())?;
    refuse_levels(&file, options, &facts)?;
    describe_series(&mut report, source.as_ref(), &facts);
    report.finish();
    Ok(CsvSource { source, report })
}

/// Identity of the files that decide, beside the CSV file itself, what is stored.
fn option_files(options: &ImportOptions) -> Result<BTreeMap<&'static str, String>> {
    let named = [("dates", &options.dates), ("rename", &options.rename)];
    named.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?))).map(|(name, path)| Ok((name, file_sha256(path)?))).collect()
}

/// Puts the dates of `--dates` in the place of the day numbers of the date column.
fn supply_dates(file: &str, plan: &HeaderPlan, raw: &mut RawTable, options: &ImportOptions) -> Result<()> {
    let Some(path) = &options.dates else { return Ok(()) };
    let dates = read_dates(path)?;
    let columns = plan.texts().zip(&mut raw.texts).filter(|(column, _)| column.role == Role::Known(Target::Date));
    for (column, days) in columns {
        *days = with_dates(days, &dates, &raw.lines, |reason| SourceError::new(file, reason).in_column(&column.name))?;
    }
    Ok(())
}

/// Fills the parts of the report that the header and the cells determine.
fn describe(report: &mut ImportReport, plan: &HeaderPlan, raw: &RawTable) {
    let total = |kind: fn(&Tally) -> u64| raw.tallies.iter().map(|(_, tally)| kind(tally)).sum();
    report.variant = plan.variant().to_owned();
    report.sha256.clone_from(&raw.read.sha256);
    report.bytes = raw.read.bytes;
    report.source_rows = raw.source_rows;
    report.strategies = raw.strategies.len() as u64;
    report.renamed = plan.renamed + raw.renamed;
    report.blanks = total(Tally::blanks);
    report.nans = total(Tally::nans);
    report.infinities = total(Tally::infinities);
    describe_coerced(report, raw);
    describe_excluded(report, plan);
    if raw.excluded_strategies > 0 {
        report.issues.push(Issue::new(
            IssueCode::ExcludedColumn,
            Severity::Info,
            raw.excluded_strategies,
            "strategies left out on request",
        ));
    }
    describe_names(report, &raw.strategies);
    if raw.absent > 0 {
        let action = "combinations of strategy and period without a row in the file; stored as NULL";
        report.issues.push(Issue::new(IssueCode::Gap, Severity::Warning, raw.absent, action));
    }
    if report.unit == Unit::Unknown {
        let action = "the unit is stored as unknown; --unit currency:INR, percent, points or fraction states it";
        report.issues.push(Issue::new(IssueCode::UnitUnknown, Severity::Info, 1, action));
    }
}

/// Issues for the cells of strategies that are stored as something else than they say, kind by kind.
fn describe_coerced(report: &mut ImportReport, raw: &RawTable) {
    let coerced: Vec<Issue> = raw.tallies.iter().flat_map(|(name, tally)| coercion_issues(name, tally)).collect();
    for kind in CoercionKind::all() {
        let action = kind.action();
        report.issues.extend(by_column(coerced.iter().filter(|issue| issue.action == action).cloned().collect()));
    }
}

/// Everything that was coerced: in strategies, in context columns and between the lines.
fn coercions(raw: &RawTable, mut context: Coercions) -> Vec<Coercion> {
    raw.tallies.iter().for_each(|(name, tally)| context.add_column(name, tally));
    if raw.read.blank_lines.count > 0 {
        context.add(CoercionKind::BlankLine, raw.read.blank_lines, None);
    }
    context.into_list()
}

fn describe_excluded(report: &mut ImportReport, plan: &HeaderPlan) {
    let excluded: Vec<_> = plan.columns.iter().filter(|c| c.role == Role::Excluded).collect();
    let named = |name: String, why: String| ColumnReport { name, role: "excluded", target: None, why };
    report.columns.extend(excluded.iter().take(EXCLUDED_NAMED).map(|c| named(c.name.clone(), c.why.to_string())));
    if excluded.len() > EXCLUDED_NAMED {
        report.columns.push(named(format!("and {} more", excluded.len() - EXCLUDED_NAMED), "left out or not chosen".into()));
    }
    if let Some(first) = excluded.first() {
        let issue = Issue::new(IssueCode::ExcludedColumn, Severity::Info, excluded.len() as u64, "columns left out on request");
        report.issues.push(issue.such_as(format!("first '{}'", first.name)));
    }
    for (target, role) in [(Target::Strategy, "strategy name"), (Target::Pnl, "value")] {
        if let Some(column) = plan.known(target) {
            let target = Some(super::columns::target_name(target).to_owned());
            report.columns.push(ColumnReport { name: column.name.clone(), role, target, why: column.why.to_string() });
        }
    }
}

fn describe_names(report: &mut ImportReport, strategies: &[String]) {
    let odd: Vec<&String> = strategies.iter().filter(|name| name.trim() != name.as_str() || name.chars().any(char::is_control)).collect();
    if let Some(first) = odd.first() {
        let action = "names begin or end with a space or hold control characters; kept byte for byte";
        report.issues.push(Issue::new(IssueCode::OddName, Severity::Warning, odd.len() as u64, action).such_as(format!("{first:?}")));
    }
}

/// The source as it is stored: levels have become differences.
fn assemble(raw: RawTable, mut periods: Periods, report: &mut ImportReport) -> Box<dyn StrategySource> {
    report.periods = periods.rows.len() as u64;
    (report.first_date, report.last_date) = (Some(periods.range.0), Some(periods.range.1));
    report.set_coerced(coercions(&raw, std::mem::take(&mut periods.coerced)));
    let mut columns = periods.columns;
    columns.append(&mut report.columns);
    report.columns = columns;
    report.issues.extend(periods.issues);
    let file = FileSource { periods: periods.batch, strategies: raw.strategies, matrix: raw.matrix, rows: periods.rows };
    match report.values {
        ValueKind::Levels => Box::new(LevelDifferences::new(file)),
        ValueKind::Pnl => Box::new(file),
    }
}

fn describe_series(report: &mut ImportReport, source: &dyn StrategySource, facts: &SeriesFacts) {
    let names = |ordinals: &[u32]| ordinals.iter().map(|&o| source.strategies()[o as usize].clone()).collect::<Vec<_>>();
    (report.nulls, report.zeros) = (facts.nulls, facts.zeros);
    report.constant = names(&facts.constant);
    report.all_null = names(&facts.all_null);
    report.identical = facts.identical.iter().map(|group| names(group)).collect();
    let undefined = facts.nulls.saturating_sub(report.strategies);
    if report.values == ValueKind::Levels && undefined > 0 {
        report.issues.push(Issue::new(IssueCode::Gap, Severity::Warning, undefined, "differences next to a missing level; stored as NULL"));
    }
    let each = |code, severity, columns: &[String], action: &str| {
        by_column(columns.iter().map(|name| Issue::new(code, severity, 1, action).in_column(name)).collect())
    };
    let constant = each(IssueCode::ConstantColumn, Severity::Warning, &report.constant, "all values are equal; imported");
    let all_null = each(IssueCode::AllNullColumn, Severity::Warning, &report.all_null, "no value at all; imported");
    report.issues.extend(constant);
    report.issues.extend(all_null);
    if let Some(first) = report.identical.first() {
        let issue = Issue::new(
            IssueCode::DuplicateSeries,
            Severity::Warning,
            report.identical.len() as u64,
            "groups of identical series; imported",
        );
        report.issues.push(issue.such_as(format!("'{}' = '{}'", first[0], first[1])));
    }
}

/// Values that look like levels are refused until somebody says what they are.
fn refuse_levels(file: &str, options: &ImportOptions, facts: &SeriesFacts) -> Result<()> {
    if options.values.is_some() || !facts.looks_like_levels {
        return Ok(());
    }
    let reason = "the values look like equity levels: every strategy starts with the same value and none is zero or negative";
    Err(SourceError::new(file, reason)
        .with_remedy("say --values levels to store the differences, or --values pnl if they are profit and loss")
        .into())
}
