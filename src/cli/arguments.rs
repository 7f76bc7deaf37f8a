//! What can be typed: the command line as clap reads it. What it means is [`super::invocation`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};

use super::print::FORMATS;
use crate::config::{GpuUse, SqlDialect, parse_size, parse_size_or_none};
use crate::ingest::{ConfidenceScale, DateOrder, ImportMode, ImportOptions, TimeUnit, Unit, ValueKind};

/// Heading of the arguments about tiers.
const TIERS_HEADING: &str = "What is kept between queries";

/// SQL over strategy tables: without a sub-command a prompt on a terminal, else statements from standard input.
#[derive(Debug, Parser)]
#[command(name = "tranchedb", version, about = "Embedded analytical database for trading strategies", max_term_width = 120)]
#[command(after_help = "Exit codes: 0 ok, 1 error in a query or in data, 2 wrong usage, 3 verification failed, 70 internal error.")]
pub(crate) struct Arguments {
    /// Run these statements and leave; may be repeated, in order with -f
    #[arg(short = 'c', long = "command", value_name = "SQL", allow_hyphen_values = true)]
    pub(crate) commands: Vec<String>,

    /// Run this SQL file (- is standard input) and leave; may be repeated
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) binding: BindingArguments,

    #[command(flatten)]
    pub(crate) common: CommonArguments,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct CommonArguments {
    /// Directory of the database; without it the database lives in memory until the program ends
    #[arg(long, value_name = "DIR", env = "TRANCHEDB", global = true)]
    pub(crate) db: Option<String>,

    /// Read this configuration file instead of the tranchedb.toml in the directory of the database; what is typed comes first
    #[arg(long = "config", value_name = "FILE", env = "TRANCHEDB_CONFIG", global = true)]
    pub(crate) config_file: Option<PathBuf>,

    /// Format of results; found from the ending of the -o file where it is not given
    #[arg(long, value_name = "FORMAT", global = true, value_parser = formats())]
    pub(crate) format: Option<String>,

    /// Write results to FILE, which appears only when everything is written
    #[arg(short = 'o', long = "output", value_name = "FILE", global = true)]
    pub(crate) output: Option<PathBuf>,

    /// Rows shown of a result in the table format; 0 shows all
    #[arg(long, value_name = "N", global = true, default_value_t = 40)]
    pub(crate) max_rows: usize,

    /// Whether correlations are computed on a GPU
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", value_parser = gpu_uses())]
    pub(crate) gpu: GpuUse,

    /// The SQL that statements are written in; SET tranchedb.dialect changes it
    #[arg(long, value_name = "NAME", global = true, default_value = "tranchedb", value_parser = dialects())]
    pub(crate) dialect: SqlDialect,

    /// Threads that queries use; one per core without it
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Memory for queries and imports: 4GB, 512MiB, 1.5G
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size)]
    pub(crate) memory_limit: Option<usize>,

    /// Memory for files of object stores: 256MiB, 0 for none; SET tranchedb.memory_tier_bytes changes it
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size_or_none, help_heading = TIERS_HEADING)]
    pub(crate) memory_tier: Option<usize>,

    /// Keep files of object stores in this directory too, for this program and later ones
    #[arg(long, value_name = "DIR", env = "TRANCHEDB_CACHE_DIR", global = true, help_heading = TIERS_HEADING)]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Bytes in the cache directory: 10GiB without it; SET tranchedb.disk_tier_bytes changes it
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size_or_none, help_heading = TIERS_HEADING)]
    pub(crate) disk_tier: Option<usize>,

    /// Memory for decoded columns of strategy tables: 512MiB, 0 for none; SET tranchedb.decoded_tier_bytes changes it
    #[arg(long, value_name = "SIZE", global = true, value_parser = parse_size_or_none, help_heading = TIERS_HEADING)]
    pub(crate) decoded_tier: Option<usize>,

    /// Serve the version read last, with a warning, when an object store does not answer
    #[arg(long, global = true, help_heading = TIERS_HEADING)]
    pub(crate) serve_stale_on_error: bool,

    /// Print data only: no counts, no times, no summary, no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,

    /// Write a log per day, and errors to a log of their own, into this directory
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) log_dir: Option<PathBuf>,

    /// Log to standard error: -v statements, -vv more, -vvv everything
    #[arg(short = 'v', long = "verbose", action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

/// Values for `$name` in SQL.
#[derive(Debug, Args)]
pub(crate) struct BindingArguments {
    /// Bind $NAME to VALUE (number, date, timestamp, true, false, null, else text; 'quoted' is always text), or name the table for a script's table parameter
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) parameters: Vec<(String, String)>,
}

/// Sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import strategy files into a table
    Import(Box<ImportArguments>),
    /// Run SQL scripts: files, or built-in ones by name
    Run(RunArguments),
    /// Replay queries of a HeavyDB server and compare the results
    Replay(Box<ReplayArguments>),
    /// Statements in HeavyDB's dialect
    Heavydb {
        #[command(subcommand)]
        kind: HeavydbKind,
    },
    /// Keep the details of a metrics table's best strategies and drop the others', as its retention says
    Retain(RetainArguments),
    /// Generate deterministic test data
    Generate {
        #[command(subcommand)]
        kind: GenerateKind,
    },
}

/// `tranchedb retain`.
#[derive(Debug, Args)]
#[command(
    after_help = "The retention of a table is set by SQL: ALTER TABLE metrics SET RETENTION (metric => 'sharpe_ratio', top => 50, details => 'trades')"
)]
pub(crate) struct RetainArguments {
    /// Metrics table with a retention
    #[arg(value_name = "TABLE")]
    pub(crate) table: String,
    /// Say what would be kept and dropped, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Strategies of each group whose details are kept, from now on
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<u64>,
}

/// `tranchedb heavydb KIND`.
#[derive(Debug, Subcommand)]
pub(crate) enum HeavydbKind {
    /// Say what scripts in HeavyDB's dialect would meet, without running them; exit code 3 where something is unsupported or wrong
    Check(CheckArguments),
}

/// `tranchedb heavydb check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// SQL files, in the order in which they would run
    #[arg(required = true, value_name = "FILE.sql")]
    pub(crate) files: Vec<PathBuf>,
    /// Also list the statements that run as they are
    #[arg(long)]
    pub(crate) all: bool,
    /// How the findings are printed: table or json
    #[arg(long, value_name = "FORM", default_value = "table", value_parser = ["table", "json"])]
    pub(crate) report: String,
}

/// `tranchedb replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// Server logs (also .gz), SQL files, JSON lines with id and sql; run in order
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// HeavyDB's results: JSON lines, or a folder of CSV (COPY TO), heavysql or Parquet files named for the ids
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) expected: Option<PathBuf>,
    /// SQL files to run first: schema and rows
    #[arg(long, value_name = "FILE.sql")]
    pub(crate) setup: Vec<PathBuf>,
    /// Write our rows, one JSON line a query
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) results: Option<PathBuf>,
    /// How the report is printed: table, json or junit; found from the ending of the -o file (.json, .xml) where it is not given
    #[arg(long, value_name = "FORM", value_parser = ["table", "json", "junit"])]
    pub(crate) report: Option<String>,
    /// Instead of the report show one query: HeavyDB's text, the rewritten text, the plan, both results around the first difference
    #[arg(long, value_name = "ID")]
    pub(crate) explain: Option<String>,
    /// Run nothing: write COPY (...) TO statements that make the HeavyDB server write its results
    #[arg(long, value_name = "FILE.sql", conflicts_with_all = ["explain", "results", "expected", "setup"])]
    pub(crate) capture: Option<PathBuf>,
    /// Relative difference of numbers that counts as none
    #[arg(long, value_name = "X", default_value_t = 1e-5, value_parser = difference)]
    pub(crate) tolerance: f64,
    /// Absolute difference of numbers that counts as none
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = difference)]
    pub(crate) absolute: f64,
    /// Compare approximate aggregates like any other number
    #[arg(long)]
    pub(crate) exact: bool,
    /// Option of the dialect: null_div_by_zero, bigint_count, user, database, now, guards
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Only these queries: ids or patterns with * and ?
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only calls that ended then or later
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only calls that ended before
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only calls to this database of the server
    #[arg(long, value_name = "NAME")]
    pub(crate) database: Option<String>,
    /// Only calls of this user
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Also run statements of a log that change data; they change tables in memory alone
    #[arg(long)]
    pub(crate) allow_writes: bool,
    /// Timed runs of every query; the median counts. Without it three for queries with a logged time, else one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) repeat: Option<u16>,
    /// Queries that run at the same time; one alone gives the truest times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Runs of every query before the timed ones
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) warmup: u16,
    /// Seconds after which a query is given up
    #[arg(long, visible_alias = "time-limit", value_name = "S", value_parser = seconds)]
    pub(crate) timeout: Option<f64>,
    /// Exit with 0 in spite of these: unsupported, error, differs
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = ["unsupported", "error", "differs"])]
    pub(crate) allow: Vec<String>,
}

/// A difference of numbers that counts as none.
fn difference(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0).ok_or_else(|| "a number from 0".to_owned())
}

/// A positive number of seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let possible = |seconds: &f64| *seconds > 0.0 && *seconds <= 1e9;
    text.parse().ok().filter(possible).ok_or_else(|| "a number of seconds above 0".to_owned())
}

/// `tranchedb import`: the flags are the keys of a profile file.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Files to import; each is imported whole or not at all
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Table that takes the rows; it is created if missing
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: String,
    /// TOML file with any of the options below as keys; flags go over it
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) profile: Option<PathBuf>,
    /// Read and check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How the report is printed: text or json
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json"])]
    pub(crate) report: String,
    /// Answered by what to do instead
    #[arg(long, hide = true)]
    pub(crate) set: bool,
    #[command(flatten)]
    pub(crate) options: ImportFlags,
}

/// How files are read; every flag is optional.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the file is read")]
pub(crate) struct ImportFlags {
    /// Order of day and month in numeric dates: dmy or mdy
    #[arg(long, value_name = "ORDER", value_parser = named::<DateOrder>)]
    date_order: Option<DateOrder>,
    /// Name of the date column
    #[arg(long, value_name = "COLUMN")]
    date_column: Option<String>,
    /// CSV file of day numbers and their dates, for files whose date column (--date-column) counts days
    #[arg(long, value_name = "FILE")]
    dates: Option<PathBuf>,
    /// Unit of dates written as epoch numbers: s, ms, us or ns
    #[arg(long, value_name = "UNIT", value_parser = named::<TimeUnit>)]
    time_unit: Option<TimeUnit>,
    /// Decimal mark: . or ,
    #[arg(long, value_name = "MARK")]
    decimal: Option<char>,
    /// Mark between groups of digits: one of , . ' _ or a space
    #[arg(long, value_name = "MARK")]
    thousands: Option<char>,
    /// Strategies to take, by name or glob; may be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Columns to leave out, by name or glob; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Columns that are strategies although their name speaks against it; may be repeated
    #[arg(long, value_name = "PATTERN")]
    strategy: Vec<String>,
    /// Columns to keep beside the strategies; may be repeated
    #[arg(long, value_name = "PATTERN")]
    context: Vec<String>,
    /// Role of a column: strategy, context, exclude or a column of the table; may be repeated
    #[arg(long = "role", value_name = "COLUMN=ROLE", value_parser = parse_pair)]
    roles: Vec<(String, String)>,
    /// Column of the table that a source column feeds; may be repeated
    #[arg(long, value_name = "SOURCE=COLUMN", value_parser = parse_pair)]
    map: Vec<(String, String)>,
    /// CSV file of old and new strategy names
    #[arg(long, value_name = "FILE")]
    rename: Option<PathBuf>,
    /// Scale of the regime confidence: percent or fraction
    #[arg(long, value_name = "SCALE", value_parser = named::<ConfidenceScale>)]
    confidence: Option<ConfidenceScale>,
    /// Unit of the values: currency:INR, percent, points or fraction
    #[arg(long, value_name = "UNIT", value_parser = |text: &str| text.parse::<Unit>())]
    unit: Option<Unit>,
    /// What the values are: pnl or levels
    #[arg(long, value_name = "KIND", value_parser = named::<ValueKind>)]
    values: Option<ValueKind>,
    /// What happens to rows that are in the table already: append, upsert or replace
    #[arg(long, value_name = "MODE", value_parser = named::<ImportMode>)]
    mode: Option<ImportMode>,
}

impl ImportFlags {
    /// The flags as the options they stand for.
    pub(crate) fn into_options(self) -> ImportOptions {
        ImportOptions {
            date_order: self.date_order,
            date_column: self.date_column,
            dates: self.dates,
            time_unit: self.time_unit,
            decimal: self.decimal,
            thousands: self.thousands,
            include: self.include,
            exclude: self.exclude,
            strategy: self.strategy,
            context: self.context,
            roles: self.roles.into_iter().collect::<BTreeMap<_, _>>(),
            map: self.map.into_iter().collect::<BTreeMap<_, _>>(),
            rename: self.rename,
            confidence: self.confidence,
            unit: self.unit,
            values: self.values,
            mode: self.mode,
        }
    }
}

/// `tranchedb run`.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// SQL files, or names of built-in scripts such as risk/drawdowns
    #[arg(value_name = "SCRIPT", required_unless_present_any = ["list", "show"])]
    pub(crate) scripts: Vec<String>,
    #[command(flatten)]
    pub(crate) binding: BindingArguments,
    /// List the built-in scripts with purpose and parameters
    #[arg(long, conflicts_with = "scripts")]
    pub(crate) list: bool,
    /// Print the text of a built-in script
    #[arg(long, value_name = "NAME", conflicts_with = "scripts")]
    pub(crate) show: Option<String>,
    /// Go on after a statement that fails
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Scripts that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: u16,
    /// Use at most this share of all cores, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) cpu_limit: Option<u8>,
    /// Seconds to wait between two scripts
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) cooldown: Option<f64>,
    /// Give way to other programs (lower scheduling priority)
    #[arg(long)]
    pub(crate) nice: bool,
}

/// `tranchedb generate KIND`.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerateKind {
    /// P&L of N strategies over T periods
    Strategies(GenerateArguments),
}

/// `tranchedb generate strategies`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["into", "csv", "parquet"]))]
pub(crate) struct GenerateArguments {
    /// Number of strategies
    #[arg(long, value_name = "N")]
    pub(crate) strategies: u32,
    /// Number of trading days
    #[arg(long, value_name = "T")]
    pub(crate) periods: u32,
    /// Same seed, same data
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Share of values that are zero, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) zeros: Option<f64>,
    /// Share of values that are NULL, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(crate) nulls: Option<f64>,
    /// Strategies whose value never changes
    #[arg(long, value_name = "N")]
    pub(crate) constant: Option<u32>,
    /// Strategies that repeat another one
    #[arg(long, value_name = "N")]
    pub(crate) duplicates: Option<u32>,
    /// Groups of correlated strategies
    #[arg(long, value_name = "N")]
    pub(crate) groups: Option<u32>,
    /// Zones per day; 0 for one row per day
    #[arg(long, value_name = "N")]
    pub(crate) zones: Option<u32>,
    /// Add a market regime with confidence and transition threshold to every row
    #[arg(long)]
    pub(crate) regimes: bool,
    /// First day
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_date)]
    pub(crate) start: Option<chrono::NaiveDate>,
    /// Write into this table of the database
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: Option<String>,
    /// Write this CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write this Parquet file
    #[arg(long, value_name = "FILE")]
    pub(crate) parquet: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, conflicts_with = "into")]
    pub(crate) overwrite: bool,
}

fn dialects() -> impl TypedValueParser<Value = SqlDialect> {
    let value =
        |name: String| SqlDialect::ALL.iter().find(|(known, _)| *known == name).map_or_else(SqlDialect::default, |(_, value)| *value);
    PossibleValuesParser::new(SqlDialect::ALL.map(|(name, _)| name)).map(value)
}

fn gpu_uses() -> impl TypedValueParser<Value = GpuUse> {
    let value = |name: String| GpuUse::ALL.iter().find(|(known, _)| *known == name).map_or_else(GpuUse::default, |(_, value)| *value);
    PossibleValuesParser::new(GpuUse::ALL.map(|(name, _)| name)).map(value)
}

fn formats() -> clap::builder::PossibleValuesParser {
    FORMATS.iter().map(|format| PossibleValue::new(format.name).help(format.help)).collect::<Vec<_>>().into()
}

/// A value by the name that profile files use for it, so that flags and files cannot differ.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let name: StrDeserializer<'_, NameError> = text.into_deserializer();
    T::deserialize(name).map_err(|error| error.to_string())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("must be a number of seconds, at most one day".to_owned()),
    }
}

fn parse_date(text: &str) -> Result<chrono::NaiveDate, String> {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "must be a date like 2024-01-31".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_in_both_systems() {
        assert_eq!(parse_size("4GB"), Ok(4_000_000_000));
        assert_eq!(parse_size("512MiB"), Ok(512 << 20));
        assert_eq!(parse_size("1.5g"), Ok(1_500_000_000));
        assert_eq!(parse_size("1000"), Ok(1000));
        for wrong in ["", "GB", "4XB", "-1GB", "0", "1e30GB", "4 000"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn import_flags_are_the_keys_of_a_profile() {
        let line = "tranchedb import a.csv --into t --date-order dmy --time-unit ms --decimal , --thousands . --include A* --exclude B \
                    --strategy C --context D --role E=zone --map x=pnl --rename r.csv --confidence percent --unit currency:INR --values levels \
                    --mode upsert --date-column When";
        let arguments = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let Some(Command::Import(import)) = arguments.command else { panic!("not an import") };
        let given = serde_json::to_value(import.options.into_options()).unwrap();
        let keys: Vec<String> = given.as_object().unwrap().keys().cloned().collect();
        let subcommand = Arguments::command();
        let import = subcommand.find_subcommand("import").unwrap();
        for key in &keys {
            let flag = if key == "roles" { "role" } else { key };
            assert!(import.get_arguments().any(|argument| argument.get_long() == Some(flag)), "no flag for {key}");
        }
        assert_eq!(keys.len(), 16);
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = Arguments::try_parse_from(["tranchedb", "import", "a.csv", "--into", "t", "--mode", "insert"]).unwrap_err();
        assert!(error.to_string().contains("`append`"), "{error}");
    }
}
