//! What an import found and did, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::coercion::{Coercion, CoercionKind};
use super::fingerprint::{file_sha256, hexadecimal};
use super::options::{ImportOptions, Unit, ValueKind};
use crate::error::Error;

/// Columns named one by one for one kind of issue; more are put together into one entry.
const COLUMNS_NAMED: usize = 20;
/// Groups, columns and issues that the text form shows of each list.
const SHOWN: usize = 8;

/// Report of one import: what was in the file, what was made of every column and why, and what was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportReport {
    /// Identifies this import in `system.imports`: 16 hexadecimal digits, different for every import.
    pub import_id: String,
    /// How far the import came.
    pub status: ImportStatus,
    /// Kind of data: `strategies`.
    pub kind: String,
    /// Format of the file: `legacy`, `legacy with zones`, `enhanced` or `long`.
    pub variant: String,
    /// The file as the user named it.
    pub source: String,
    /// Table that takes the rows.
    pub table: String,
    /// SHA-256 of the file in hexadecimal digits.
    pub sha256: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Data rows in the file.
    pub source_rows: u64,
    /// Periods: distinct (date, slot).
    pub periods: u64,
    /// Strategies.
    pub strategies: u64,
    /// First date of the file.
    #[serde(serialize_with = "as_text")]
    pub first_date: Option<NaiveDate>,
    /// Last date of the file.
    #[serde(serialize_with = "as_text")]
    pub last_date: Option<NaiveDate>,
    /// P&L values that become NULL.
    pub nulls: u64,
    /// P&L values that are zero.
    pub zeros: u64,
    /// Empty cells and words for NULL in P&L columns.
    pub blanks: u64,
    /// Cells that say NaN in P&L columns.
    pub nans: u64,
    /// Infinite cells in P&L columns.
    pub infinities: u64,
    /// Cells that are stored as something else than they say, context columns included, by kind.
    pub coerced: Vec<Coercion>,
    /// Number of those cells; blank lines, which are skipped, do not count.
    pub coerced_values: u64,
    /// Strategy names replaced by the rename file.
    pub renamed: u64,
    /// Unit of the values.
    pub unit: Unit,
    /// What the values of the file are.
    pub values: ValueKind,
    /// Every source column that is no strategy.
    pub columns: Vec<ColumnReport>,
    /// What deserves attention.
    pub issues: Vec<Issue>,
    /// Strategies with identical series, as groups of two and more.
    pub identical: Vec<Vec<String>>,
    /// Strategies whose values are all equal.
    pub constant: Vec<String>,
    /// Strategies without any value.
    pub all_null: Vec<String>,
    /// What the user asked for.
    pub options: ImportOptions,
    /// SHA-256 of the files that the options name (`dates`, `rename`), in hexadecimal digits.
    pub option_files: BTreeMap<&'static str, String>,
    /// Version of the engine.
    pub engine_version: String,
    /// When reading began.
    #[serde(serialize_with = "as_time")]
    pub started_at: DateTime<Utc>,
    /// When the import ended, well or not.
    #[serde(serialize_with = "as_time")]
    pub finished_at: DateTime<Utc>,
    /// Version of the table that holds the rows; none before the commit.
    pub version: Option<i64>,
    /// Rows added to the table.
    pub rows_written: u64,
    /// Rows that were in the table with equal values.
    pub rows_unchanged: u64,
    /// Rows that took the place of others of the same key.
    pub rows_replaced: u64,
    /// Rows of the table that went without another in their place: `--mode replace` takes them out of the file's dates.
    pub rows_deleted: u64,
    /// Strategies among the deleted rows that the file lacks.
    pub strategies_deleted: u64,
}

/// How far an import came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportStatus {
    /// The file was read and is good; nothing is written yet, or nothing was to be written.
    Checked,
    /// The rows are in the table.
    Imported,
    /// The same bytes were in the table already.
    AlreadyImported,
    /// Every row of the file was in the table already, by another file.
    Unchanged,
    /// The file was refused.
    Refused,
}

impl ImportStatus {
    /// Name in `system.imports`.
    pub fn name(self) -> &'static str {
        match self {
            ImportStatus::Checked => "checked",
            ImportStatus::Imported => "imported",
            ImportStatus::AlreadyImported => "already_imported",
            ImportStatus::Unchanged => "unchanged",
            ImportStatus::Refused => "refused",
        }
    }
}

/// What was done with one source column, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnReport {
    /// Name in the source.
    pub name: String,
    /// `key`, `context`, `strategy name`, `value`, `derived` or `excluded`.
    pub role: &'static str,
    /// Column of the table that it feeds.
    pub target: Option<String>,
    /// What decided, and how its values were read.
    pub why: String,
}

/// Kinds of issues, as in `system.import_issues`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueCode {
    /// Empty cells and words for NULL.
    NullToken,
    /// Cells that say NaN.
    NanToken,
    /// Infinite cells.
    InfToken,
    /// Weekday texts that disagree with their dates.
    WeekdayMismatch,
    /// Rows that stood before an earlier one.
    UnsortedRows,
    /// Strategies with identical series.
    DuplicateSeries,
    /// Strategies without any value.
    AllNullColumn,
    /// Strategies whose values are all equal.
    ConstantColumn,
    /// Values whose text was read as something slightly else: without spaces, marks or a time.
    CoercedTextNumber,
    /// Numeric columns that are no strategies.
    KeptAsContext,
    /// Columns left out on request.
    ExcludedColumn,
    /// Nobody said what the values are measured in.
    UnitUnknown,
    /// The table's rows had no unit until this file stated one.
    UnitStated,
    /// Equity levels without a level before them: their difference is unknown.
    FirstLevel,
    /// Columns that repeat what the date says.
    DerivedDropped,
    /// Values that are missing between others.
    Gap,
    /// Names that begin or end with a space, or hold control characters.
    OddName,
    /// The reason why a file was refused.
    Refused,
}

impl IssueCode {
    /// Name in `system.import_issues`.
    pub fn name(self) -> &'static str {
        match self {
            IssueCode::NullToken => "null_token",
            IssueCode::NanToken => "nan_token",
            IssueCode::InfToken => "inf_token",
            IssueCode::WeekdayMismatch => "weekday_mismatch",
            IssueCode::UnsortedRows => "unsorted_rows",
            IssueCode::DuplicateSeries => "duplicate_series",
            IssueCode::AllNullColumn => "all_null_column",
            IssueCode::ConstantColumn => "constant_column",
            IssueCode::CoercedTextNumber => "coerced_text_number",
            IssueCode::KeptAsContext => "kept_as_context",
            IssueCode::ExcludedColumn => "excluded_column",
            IssueCode::UnitUnknown => "unit_unknown",
            IssueCode::UnitStated => "unit_stated",
            IssueCode::FirstLevel => "first_level",
            IssueCode::DerivedDropped => "derived_dropped",
            IssueCode::Gap => "gap",
            IssueCode::OddName => "odd_name",
            IssueCode::Refused => "refused",
        }
    }
}

/// How much an issue matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it.
    Warning,
    /// The file was refused for it.
    Error,
}

impl Severity {
    /// Name in `system.import_issues`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Something an import found and what it did about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// What kind it is.
    pub code: IssueCode,
    /// How much it matters.
    pub severity: Severity,
    /// The column, where it is one.
    pub column_name: Option<String>,
    /// How often: cells, rows or columns, as the code implies.
    pub count: u64,
    /// Line of the first occurrence.
    pub first_line: Option<u64>,
    /// An example.
    pub example: Option<String>,
    /// What was done.
    pub action: String,
}

impl Issue {
    /// An issue of the whole file.
    pub(crate) fn new(code: IssueCode, severity: Severity, count: u64, action: impl Into<String>) -> Self {
        Self { code, severity, column_name: None, count, first_line: None, example: None, action: action.into() }
    }

    /// Names the column.
    pub(crate) fn in_column(mut self, name: impl Into<String>) -> Self {
        self.column_name = Some(name.into());
        self
    }

    /// Names the first line.
    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.first_line = Some(line);
        self
    }

    /// Gives an example.
    pub(crate) fn such_as(mut self, example: impl Into<String>) -> Self {
        self.example = Some(example.into());
        self
    }
}

/// Issues of one kind in several columns: one by one if they are few, else put together with the first column as example.
pub(crate) fn by_column(issues: Vec<Issue>) -> Vec<Issue> {
    if issues.len() <= COLUMNS_NAMED {
        return issues;
    }
    let (columns, count) = (issues.len(), issues.iter().map(|i| i.count).sum());
    let first_line = issues.iter().filter_map(|i| i.first_line).min();
    let together = |first: Issue| {
        let example = format!("{columns} columns, first '{}'", first.column_name.unwrap_or_default());
        Issue { column_name: None, count, first_line, example: Some(example), ..first }
    };
    issues.into_iter().next().map(together).into_iter().collect()
}

impl ImportReport {
    /// A report at the start of reading: everything found is still zero.
    pub(crate) fn begin(source: &Path, options: &ImportOptions) -> Self {
        let now = Utc::now();
        Self {
            import_id: String::new(),
            status: ImportStatus::Checked,
            kind: "strategies".into(),
            variant: String::new(),
            source: source.display().to_string(),
            table: String::new(),
            sha256: String::new(),
            bytes: 0,
            source_rows: 0,
            periods: 0,
            strategies: 0,
            first_date: None,
            last_date: None,
            nulls: 0,
            zeros: 0,
            blanks: 0,
            nans: 0,
            infinities: 0,
            coerced: vec![],
            coerced_values: 0,
            renamed: 0,
            unit: options.unit.clone().unwrap_or_default(),
            values: options.values.unwrap_or_default(),
            columns: vec![],
            issues: vec![],
            identical: vec![],
            constant: vec![],
            all_null: vec![],
            options: options.clone(),
            option_files: BTreeMap::new(),
            engine_version: env!("CARGO_PKG_VERSION").into(),
            started_at: now,
            finished_at: now,
            version: None,
            rows_written: 0,
            rows_unchanged: 0,
            rows_replaced: 0,
            rows_deleted: 0,
            strategies_deleted: 0,
        }
    }

    /// The report of a file that was refused with this error, as it goes into `system.imports`.
    pub fn refused(source: &Path, table: &str, options: &ImportOptions, error: &Error) -> Self {
        let mut report = Self::begin(source, options);
        report.table = table.to_owned();
        report.status = ImportStatus::Refused;
        // A file that cannot be read has no digest; the error says why.
        report.sha256 = file_sha256(source).unwrap_or_default();
        report.bytes = std::fs::metadata(source).map_or(0, |m| m.len());
        let mut issue = Issue::new(IssueCode::Refused, Severity::Error, 1, error.to_string());
        if let Error::Source(error) = error {
            issue = Issue {
                column_name: error.column.clone(),
                first_line: error.line,
                example: error.text.clone(),
                count: error.count.unwrap_or(1),
                ..issue
            };
        }
        report.issues.push(issue);
        report.finish();
        report
    }

    /// Takes what was coerced.
    pub(crate) fn set_coerced(&mut self, coerced: Vec<Coercion>) {
        self.coerced_values = coerced.iter().filter(|c| c.kind != CoercionKind::BlankLine).map(|c| c.count).sum();
        self.coerced = coerced;
    }

    /// Sets the end of the import and, once the bytes are known, its identity.
    pub(crate) fn finish(&mut self) {
        self.finished_at = Utc::now();
        if self.import_id.is_empty() {
            let seed = format!("{}{}{}", self.sha256, self.started_at.timestamp_nanos_opt().unwrap_or_default(), std::process::id());
            self.import_id = hexadecimal(&Sha256::digest(seed.as_bytes())[..8]);
        }
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.format("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

/// A count with a comma between thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    groups.join(",")
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_outcome(f)?;
        let dates = match (self.first_date, self.last_date) {
            (Some(first), Some(last)) => format!("{first} to {last}"),
            _ => String::new(),
        };
        writeln!(f, "  {:<12}{} rows, {} bytes, {} format", "file", grouped(self.source_rows), grouped(self.bytes), self.variant)?;
        writeln!(f, "  {:<12}{} strategies x {} periods, {dates}", "content", grouped(self.strategies), grouped(self.periods))?;
        let of_nulls = [(self.blanks, "blank"), (self.nans, "NaN"), (self.infinities, "infinite")];
        let of_nulls: Vec<_> = of_nulls.iter().filter(|(n, _)| *n > 0).map(|(n, kind)| format!("{} {kind}", grouped(*n))).collect();
        let of = if of_nulls.is_empty() { String::new() } else { format!(" ({})", of_nulls.join(", ")) };
        let levels = if self.values == ValueKind::Levels { ", differences of the levels in the file" } else { "" };
        writeln!(f, "  {:<12}{} zero, {} NULL{of}, unit {}{levels}", "values", grouped(self.zeros), grouped(self.nulls), self.unit)?;
        self.write_coerced(f)?;
        self.write_columns(f)?;
        self.write_issues(f)
    }
}

impl ImportReport {
    fn write_outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.map(|v| format!(" at version {v}")).unwrap_or_default();
        match self.status {
            ImportStatus::Checked if self.table.is_empty() => writeln!(f, "{}: checked, nothing written", self.source),
            ImportStatus::Checked => {
                let new = grouped(self.rows_written.saturating_sub(self.rows_replaced));
                let (unchanged, replaced) = (grouped(self.rows_unchanged), grouped(self.rows_replaced));
                let into = format!("{new} new, {unchanged} unchanged, {replaced} replaced, {}", self.deleted());
                writeln!(f, "{}: checked, nothing written; rows for {}: {into}", self.source, self.table)
            }
            ImportStatus::Unchanged => {
                writeln!(f, "{}: all {} rows are in {} already, nothing written", self.source, grouped(self.rows_unchanged), self.table)
            }
            ImportStatus::Refused => writeln!(f, "{}: refused, nothing written", self.source),
            ImportStatus::AlreadyImported => {
                writeln!(f, "{}: already imported as {} into {}{version}, nothing written", self.source, self.import_id, self.table)
            }
            ImportStatus::Imported => {
                let others = [(self.rows_unchanged, "unchanged"), (self.rows_replaced, "replaced")];
                let mut others: String =
                    others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {} {what}", grouped(*n))).collect();
                if self.rows_deleted > 0 {
                    others = format!("{others}, {}", self.deleted());
                }
                writeln!(f, "{}: {} rows into {}{version}{others}", self.source, grouped(self.rows_written), self.table)
            }
        }
    }

    /// `3 deleted (of 1 strategy that the file lacks)`.
    fn deleted(&self) -> String {
        let strategies = match self.strategies_deleted {
            0 => String::new(),
            1 => " (of 1 strategy that the file lacks)".to_owned(),
            n => format!(" (of {} strategies that the file lacks)", grouped(n)),
        };
        format!("{} deleted{strategies}", grouped(self.rows_deleted))
    }

    fn write_coerced(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.coerced.is_empty() && matches!(self.status, ImportStatus::Checked | ImportStatus::Imported) {
            writeln!(f, "  {:<12}none", "coerced")?;
        }
        for (i, coercion) in self.coerced.iter().enumerate() {
            writeln!(f, "  {:<12}{coercion}", if i == 0 { "coerced" } else { "" })?;
        }
        match self.renamed {
            0 => Ok(()),
            renamed => writeln!(f, "  {:<12}{} strategy names replaced by --rename", "renamed", grouped(renamed)),
        }
    }

    fn write_columns(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name_width = self.columns.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).min(40);
        let target = |c: &ColumnReport| format!("{}{}", c.role, c.target.as_ref().map(|t| format!(" {t}")).unwrap_or_default());
        let target_width = self.columns.iter().map(|c| target(c).chars().count()).max().unwrap_or(0).min(40);
        for (i, column) in self.columns.iter().enumerate() {
            let title = if i == 0 { "columns" } else { "" };
            writeln!(f, "  {title:<12}{:<name_width$}  {:<target_width$}  {}", column.name, target(column), column.why)?;
        }
        Ok(())
    }

    fn write_issues(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, issue) in self.issues.iter().enumerate().take(SHOWN * 3) {
            let title = if i == 0 { "issues" } else { "" };
            let column = issue.column_name.as_ref().map(|c| format!(" in '{c}'")).unwrap_or_default();
            let line = issue.first_line.map(|l| format!(", first line {l}")).unwrap_or_default();
            let example = issue.example.as_ref().map(|e| format!(", {e}")).unwrap_or_default();
            writeln!(f, "  {title:<12}{} {}{column}{line}{example}: {}", grouped(issue.count), issue.code.name(), issue.action)?;
        }
        if self.issues.len() > SHOWN * 3 {
            writeln!(f, "  {:<12}... {} more, all in the JSON report", "", self.issues.len() - SHOWN * 3)?;
        }
        for group in self.identical.iter().take(SHOWN) {
            let quoted: Vec<_> = group.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
            let more = if group.len() > SHOWN { format!(" and {} more", group.len() - SHOWN) } else { String::new() };
            writeln!(f, "  {:<12}{}{more}", "identical", quoted.join(" = "))?;
        }
        if self.identical.len() > SHOWN {
            writeln!(f, "  {:<12}... {} groups more, all in the JSON report", "", self.identical.len() - SHOWN)?;
        }
        Ok(())
    }
}
