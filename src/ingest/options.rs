//! What a user can say about an import: flags and profile file are one type, every setting optional.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::numbers::NumberFormat;
use crate::error::{Error, Result};

/// One file to be imported into one table.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    /// The file as the user named it.
    pub source: PathBuf,
    /// Name of the table; it is created if missing.
    pub table: String,
    /// What is to be read how.
    pub options: ImportOptions,
    /// Read and check everything, write nothing.
    pub dry_run: bool,
}

/// How a file is to be read and joined to the table. Everything is optional: what is not said is found from the file, and doubt is an error.
///
/// The same names serve as TOML keys of a profile file (`date-order = "dmy"`) and as long flags (`--date-order dmy`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ImportOptions {
    /// Order of day and month in numeric dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_order: Option<DateOrder>,
    /// Name of the date column, where it is not `Date` or there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_column: Option<String>,
    /// CSV file of day numbers and their dates, for files whose date column counts days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dates: Option<PathBuf>,
    /// Unit of dates written as epoch numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// Decimal mark: `.` (default) or `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// Mark between groups of digits: one of `,` `.` `'` `_` or a space; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thousands: Option<char>,
    /// Strategies to take: names or globs (`*`, `?`, `[...]`, `{a,b}`). Empty takes all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Columns to leave out: names or globs; a context column only by its full name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Columns that are strategies although their name speaks against it: names or globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strategy: Vec<String>,
    /// Columns to keep as context columns: names or globs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// Column name → `strategy`, `context`, `exclude`, or the table's column it feeds (`date`, `zone`, `capital`, ...).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, String>,
    /// Source column → column of the table: `daily_returns = "pnl"`; an unknown target names a context column.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// CSV file of old and new strategy names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rename: Option<PathBuf>,
    /// Scale of the regime confidence in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<ConfidenceScale>,
    /// Unit of the P&L values, stored as table metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether the values are P&L per period (default) or equity levels, of which the differences are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<ValueKind>,
    /// What happens to rows whose key is already in the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ImportMode>,
}

/// Order of day and month in numeric dates such as `02-01-2023`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DateOrder {
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
}

/// Unit of epoch numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeUnit {
    /// Seconds.
    #[serde(rename = "s")]
    Second,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millisecond,
    /// Microseconds.
    #[serde(rename = "us", alias = "µs")]
    Microsecond,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanosecond,
}

/// Scale of the regime confidence in the file; the table holds fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfidenceScale {
    /// 0 to 100.
    Percent,
    /// 0 to 1.
    Fraction,
}

/// What the numbers of a strategy column are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// Profit or loss of the period.
    #[default]
    Pnl,
    /// Equity at the end of the period; differences are stored, the first is NULL.
    Levels,
}

impl ValueKind {
    /// Name in options and table properties.
    pub fn name(self) -> &'static str {
        match self {
            ValueKind::Pnl => "pnl",
            ValueKind::Levels => "levels",
        }
    }
}

/// What happens to rows whose key (date, slot, strategy) is already in the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportMode {
    /// Equal values are unchanged, differing values are a conflict.
    #[default]
    Append,
    /// Differing values replace the old ones.
    Upsert,
    /// The file replaces everything the table holds in the file's date range.
    Replace,
}

/// Unit of P&L values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unit {
    /// Money; the ISO 4217 code.
    Currency(String),
    /// Percent of some base.
    Percent,
    /// Index points.
    Points,
    /// Fraction of some base.
    Fraction,
    /// Nobody said.
    #[default]
    Unknown,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Currency(code) => write!(f, "currency:{code}"),
            Unit::Percent => f.write_str("percent"),
            Unit::Points => f.write_str("points"),
            Unit::Fraction => f.write_str("fraction"),
            Unit::Unknown => f.write_str("unknown"),
        }
    }
}

impl std::str::FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "percent" => Ok(Unit::Percent),
            "points" => Ok(Unit::Points),
            "fraction" => Ok(Unit::Fraction),
            "unknown" => Ok(Unit::Unknown),
            _ => match text.strip_prefix("currency:") {
                Some(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) => Ok(Unit::Currency(code.to_owned())),
                _ => Err(format!("unknown unit '{text}': use currency:INR (any three-letter code), percent, points or fraction")),
            },
        }
    }
}

impl Serialize for Unit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl ImportOptions {
    /// Reads a profile file.
    ///
    /// # Errors
    /// [`Error::Usage`] naming file, line and key where the file is not TOML, has an unknown key or a value outside its set.
    pub fn from_toml_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::Usage(format!("profile {} cannot be read: {e}", path.display())))?;
        let options: Self = toml::from_str(&text).map_err(|e| Error::Usage(profile_error(path, &text, &e)))?;
        options.number_format().map_err(|e| Error::Usage(format!("profile {}: {e}", path.display())))?;
        Ok(options)
    }

    /// These options with everything that `over` says put over them: single values and lists replace, maps replace key by key.
    pub fn merge(self, over: ImportOptions) -> Self {
        fn list(below: Vec<String>, over: Vec<String>) -> Vec<String> {
            if over.is_empty() { below } else { over }
        }
        fn keys(mut below: BTreeMap<String, String>, over: BTreeMap<String, String>) -> BTreeMap<String, String> {
            below.extend(over);
            below
        }
        Self {
            date_order: over.date_order.or(self.date_order),
            date_column: over.date_column.or(self.date_column),
            dates: over.dates.or(self.dates),
            time_unit: over.time_unit.or(self.time_unit),
            decimal: over.decimal.or(self.decimal),
            thousands: over.thousands.or(self.thousands),
            include: list(self.include, over.include),
            exclude: list(self.exclude, over.exclude),
            strategy: list(self.strategy, over.strategy),
            context: list(self.context, over.context),
            roles: keys(self.roles, over.roles),
            map: keys(self.map, over.map),
            rename: over.rename.or(self.rename),
            confidence: over.confidence.or(self.confidence),
            unit: over.unit.or(self.unit),
            values: over.values.or(self.values),
            mode: over.mode.or(self.mode),
        }
    }

    /// How numbers are written in the file.
    pub(crate) fn number_format(&self) -> Result<NumberFormat> {
        let decimal = self.decimal.unwrap_or('.');
        if !matches!(decimal, '.' | ',') {
            return Err(Error::Usage(format!("--decimal '{decimal}' is not a decimal mark: use . or ,")));
        }
        match self.thousands {
            Some(mark) if !matches!(mark, ',' | '.' | '\'' | '_' | ' ') => {
                Err(Error::Usage(format!("--thousands '{mark}' is not a mark between digits: use one of , . ' _ or a space")))
            }
            Some(mark) if mark == decimal => {
                let remedy = if self.decimal.is_some() { "give another mark, or leave --thousands out" } else { "say --decimal too" };
                Err(Error::Usage(format!("'{mark}' cannot be both the decimal mark and the mark between thousands: {remedy}")))
            }
            mark => Ok(NumberFormat::new(decimal as u8, mark.map(|m| m as u8))),
        }
    }
}

/// `profile p.toml, line 3: unknown field ...`, with the key where the line holds one.
fn profile_error(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map(|span| {
        let line = text[..span.start.min(text.len())].matches('\n').count();
        let key = text.lines().nth(line).and_then(|l| l.split_once('=')).map(|(key, _)| format!(", key '{}'", key.trim()));
        format!(", line {}{}", line + 1, key.unwrap_or_default())
    });
    format!("profile {}{}: {}", path.display(), place.unwrap_or_default(), error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Result<ImportOptions> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ImportOptions::from_toml_file(file.path())
    }

    #[test]
    fn a_profile_names_everything_a_flag_can() {
        let options = profile(
            "date-order = \"dmy\"\ndate-column = \"When\"\ntime-unit = \"ms\"\ndecimal = \",\"\nthousands = \".\"\ninclude = [\"SENSEX *\"]\nexclude = [\"x\"]\n\
             strategy = [\"total_1\"]\ncontext = [\"ticker\"]\nrename = \"map.csv\"\nconfidence = \"percent\"\nunit = \"currency:INR\"\nvalues = \"levels\"\nmode = \"upsert\"\n\
             [roles]\nFoo = \"strategy\"\n[map]\ndaily_returns = \"pnl\"\n",
        )
        .unwrap();
        assert_eq!(options.date_order, Some(DateOrder::Dmy));
        assert_eq!(options.unit, Some(Unit::Currency("INR".into())));
        assert_eq!(options.roles["Foo"], "strategy");
        assert_eq!(options.map["daily_returns"], "pnl");
        assert_eq!(options.mode, Some(ImportMode::Upsert));
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<ImportOptions>(&text).unwrap(), options);
    }

    #[test]
    fn a_bad_profile_names_line_and_key() {
        let unknown = profile("date-order = \"dmy\"\ndate-ordr = \"mdy\"\n").unwrap_err();
        assert!(unknown.to_string().contains("line 2") && unknown.to_string().contains("date-ordr"), "{unknown}");
        let value = profile("\nunit = \"rupees\"\n").unwrap_err();
        assert!(
            value.to_string().contains("line 2") && value.to_string().contains("'unit'") && value.to_string().contains("currency:INR"),
            "{value}"
        );
        assert_eq!(value.exit_code(), 2);
        assert!(profile("decimal = \";\"").is_err());
    }

    #[test]
    fn flags_override_the_profile() {
        let below = ImportOptions {
            date_order: Some(DateOrder::Dmy),
            context: vec!["ticker".into()],
            include: vec!["A*".into()],
            map: [("a".to_owned(), "zone".to_owned()), ("b".to_owned(), "day".to_owned())].into(),
            ..Default::default()
        };
        let over = ImportOptions {
            date_order: Some(DateOrder::Mdy),
            include: vec!["B*".into()],
            map: [("a".to_owned(), "pnl".to_owned())].into(),
            ..Default::default()
        };
        let merged = below.merge(over);
        assert_eq!(merged.date_order, Some(DateOrder::Mdy));
        assert_eq!(merged.context, ["ticker"]);
        assert_eq!(merged.include, ["B*"]);
        assert_eq!((merged.map["a"].as_str(), merged.map["b"].as_str()), ("pnl", "day"));
    }

    #[test]
    fn one_mark_cannot_be_both() {
        let refused = |decimal, thousands| {
            let options = ImportOptions { decimal, thousands: Some(thousands), ..Default::default() };
            let error = options.number_format().unwrap_err();
            assert!(matches!(error, Error::Usage(_)));
            error.to_string()
        };
        assert!(refused(Some(','), ',').contains("leave --thousands out"));
        assert!(refused(None, '.').contains("say --decimal too"));
    }
}
