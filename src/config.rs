//! What a caller chooses about an engine, as plain data, and what a session may change by `SET`.

mod file;

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{Result, config_datafusion_err, config_err};

pub use file::{CONFIG_FILE, ConfigText, LocationChecks};

/// Settings of an [`Engine`](crate::Engine). `Default` is an in-memory database on all cores without a memory limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// Directory or object-store URL of the database; `None` keeps it in memory for the life of the engine.
    pub location: Option<String>,
    /// Threads that queries use; `None` takes one per core.
    pub threads: Option<usize>,
    /// Bytes that queries and imports may hold before they spill or fail; `None` sets no limit.
    pub memory_limit_bytes: Option<usize>,
    /// Whether queries use a GPU; a session may change it.
    pub gpu: GpuUse,
    /// The SQL that statements are written in; a session may change it.
    pub dialect: SqlDialect,
    /// Bytes of decoded columns that are kept for the next query; `None` takes a quarter of the memory limit, 512 MiB without one. A
    /// session may change it.
    pub decoded_tier_bytes: Option<usize>,
    /// The tiers in front of object stores.
    pub tiers: TierConfig,
    /// How object stores are reached, before what the environment says of it.
    pub store_options: StoreOptions,
    /// A configuration file to read instead of the `tranchedb.toml` in the directory of the database. What is said here comes before what
    /// a file says.
    pub config_file: Option<PathBuf>,
    /// Places outside of the database where files of tables may lie: names and URLs.
    pub locations: BTreeMap<String, String>,
    /// What is said of single tables, by their names.
    pub tables: BTreeMap<String, TableConfig>,
}

/// Settings of object stores by the names that the `object_store` crate has for them: `aws_endpoint`, `aws_secret_access_key`,
/// `google_service_account`, `azure_storage_account_key`, `allow_http`, `timeout`, ...
///
/// They come before the variables of the environment that have the same names in capital letters, and each store takes those that are
/// its own. Values are never shown: they may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct StoreOptions(BTreeMap<String, String>);

impl StoreOptions {
    /// Every setting with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for StoreOptions {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(options: I) -> Self {
        Self(options.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What is said of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableConfig {
    /// The tiers through which its files are read, where they lie in an object store; `None` for all.
    pub tiers: Option<Vec<String>>,
    /// The location to which `APPLY TIER RULES` moves files that are old.
    pub move_to: Option<String>,
    /// The age at which all rows of a file are old.
    pub older_than: Option<Age>,
    /// The column that tells the age of rows; `None` takes `date`, or the only date there is.
    pub date_column: Option<String>,
}

impl TableConfig {
    /// Names of the tiers through which a table may be read.
    pub const TIERS: [&'static str; 2] = ["memory", "disk"];
}

/// A span of time by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// Months of it; a year has twelve.
    pub months: u32,
    /// Days beside the months.
    pub days: u32,
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: &[(&str, u32, u32)] = &[("day", 0, 1), ("week", 0, 7), ("month", 1, 0), ("year", 12, 0)];
        let wrong = || format!("'{text}' is no age: write a number of days, weeks, months or years, such as \"2 years\"");
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(wrong)?;
        let unit = unit.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find(|(name, ..)| *name == unit.trim_end_matches('s')).ok_or_else(wrong)?;
        let number = number.parse::<u32>().ok().filter(|number| *number <= 10_000).ok_or_else(wrong)?;
        Ok(Self { months: number * unit.1, days: number * unit.2 })
    }
}

/// Words in names of settings whose values are secrets: they belong to the environment, never into a file or a definition.
pub(crate) const SECRET_WORDS: &[&str] = &["secret", "password", "token", "access_key", "account_key", "sas", "credential"];

/// The tiers through which files of object stores are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TierConfig {
    /// Bytes that the memory tier may hold, 0 for none; `None` takes an eighth of the memory limit, 256 MiB without one. A session may
    /// change it.
    pub memory_bytes: Option<usize>,
    /// Bytes that the disk tier may hold, 0 for none; `None` is 10 GiB. A session may change it.
    pub disk_bytes: Option<usize>,
    /// Directory of the disk tier; without one there is none. Processes may share it.
    pub directory: Option<PathBuf>,
    /// Whether the version that was read last is served, with a warning, when an object store cannot be asked for a newer one.
    pub serve_stale_on_error: bool,
    /// How long an object store may be silent, its client's own retries included, before a read or write fails; `None` is 30 seconds.
    pub origin_timeout: Option<Duration>,
    /// How long what is known of a file of an object store may be used without asking the store; `None` asks it for every query. Logs of
    /// tables are always asked for. A session may change it.
    pub max_staleness: Option<Duration>,
}

/// How long an object store may be silent where nothing else is said.
const ORIGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of the disk tier where nothing else is said.
const DISK_TIER_BYTES: usize = 10 << 30;
/// Bytes of the memory tier where nothing limits memory.
const MEMORY_TIER_BYTES: usize = 256 << 20;
/// Fewer are no tier: a block would not fit.
const LEAST_TIER_BYTES: usize = 1 << 20;

/// Bytes of the decoded tier where nothing limits memory.
const DECODED_TIER_BYTES: usize = 512 << 20;

impl EngineConfig {
    /// Bytes that the memory tier may hold.
    pub fn memory_tier_bytes(&self) -> usize {
        let share = || self.memory_limit_bytes.map_or(MEMORY_TIER_BYTES, |limit| limit / 8);
        self.tiers.memory_bytes.unwrap_or_else(|| Some(share()).filter(|bytes| *bytes >= LEAST_TIER_BYTES).unwrap_or(0))
    }

    /// Bytes that the disk tier may hold: none without a directory.
    pub fn disk_tier_bytes(&self) -> usize {
        if self.tiers.directory.is_none() { 0 } else { self.tiers.disk_bytes.unwrap_or(DISK_TIER_BYTES) }
    }

    /// How long an object store may be silent.
    pub fn origin_timeout(&self) -> Duration {
        self.tiers.origin_timeout.unwrap_or(ORIGIN_TIMEOUT)
    }

    /// Bytes that the decoded tier may hold.
    pub fn decoded_tier_bytes(&self) -> usize {
        self.decoded_tier_bytes.unwrap_or_else(|| self.memory_limit_bytes.map_or(DECODED_TIER_BYTES, |limit| limit / 4))
    }
}

/// Whether queries use a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GpuUse {
    /// Where there is one and the work is large enough to pay.
    #[default]
    Auto,
    /// Never.
    Off,
    /// For all work that it can do; a query that could use one fails where there is none.
    Required,
}

/// Arithmetic of products on a GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GpuPrecision {
    /// Double precision: agrees with the CPU within 1e-12.
    #[default]
    F64,
    /// Single precision: errors of about 1e-6.
    F32,
    /// Single precision on tensor cores with 10 bits of mantissa: errors of about 1e-3.
    Tf32,
}

/// The SQL that statements of a session are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SqlDialect {
    /// TrancheDB's own: DataFusion's SQL with more.
    #[default]
    TrancheDb,
    /// That of a HeavyDB server.
    HeavyDb,
}

impl SqlDialect {
    /// Every value, by its name.
    pub const ALL: [(&'static str, Self); 2] = [("tranchedb", Self::TrancheDb), ("heavydb", Self::HeavyDb)];
}

impl GpuUse {
    /// Every value, by its name.
    pub const ALL: [(&'static str, Self); 3] = [("auto", Self::Auto), ("off", Self::Off), ("required", Self::Required)];
}

impl GpuPrecision {
    /// Every value, by its name.
    pub const ALL: [(&'static str, Self); 3] = [("f64", Self::F64), ("f32", Self::F32), ("tf32", Self::Tf32)];
}

/// Settings of a session: `SET tranchedb.run_aggregate = false`, `SHOW tranchedb.run_aggregate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlOptions {
    /// Whether aggregations over strategy tables read them run by run. The answers are the same without it.
    pub run_aggregate: bool,
    /// Whether a join of strategy tables that is aggregated to correlations becomes the correlation operator.
    pub correlation_join: bool,
    /// Whether queries use a GPU.
    pub gpu: GpuUse,
    /// Arithmetic of products on it.
    pub gpu_precision: GpuPrecision,
    /// Its number, from 0.
    pub gpu_device: usize,
    /// Whether many correlations of columns are computed in one pass. The answers are the same within rounding without it.
    pub wide_correlation: bool,
    /// The SQL that statements are written in.
    pub dialect: SqlDialect,
    /// Bytes of decoded columns that are kept for the next query.
    pub decoded_tier_bytes: usize,
    /// Bytes of files of object stores that are kept in memory.
    pub memory_tier_bytes: usize,
    /// Bytes of files of object stores that are kept on the local disk.
    pub disk_tier_bytes: usize,
    /// How long what is known of files of object stores may be used without asking the store.
    pub max_staleness: Duration,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            run_aggregate: true,
            correlation_join: true,
            wide_correlation: true,
            gpu: GpuUse::Auto,
            gpu_precision: GpuPrecision::F64,
            gpu_device: 0,
            dialect: SqlDialect::TrancheDb,
            decoded_tier_bytes: DECODED_TIER_BYTES,
            memory_tier_bytes: MEMORY_TIER_BYTES,
            disk_tier_bytes: 0,
            max_staleness: Duration::ZERO,
        }
    }
}

impl ConfigExtension for SqlOptions {
    const PREFIX: &'static str = "tranchedb";
}

impl ExtensionOptions for SqlOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            let names: Vec<String> = SETTINGS.iter().map(|setting| format!("tranchedb.{}", setting.name)).collect();
            return config_err!("there is no setting tranchedb.{key}: there are {}", names.join(", "));
        };
        (setting.set)(self, value).map_err(|values| config_datafusion_err!("tranchedb.{key} is {values}, not '{value}'"))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |setting: &'static Setting| ConfigEntry {
            key: format!("tranchedb.{}", setting.name),
            value: Some((setting.get)(self)),
            description: setting.description,
        };
        SETTINGS.iter().map(entry).collect()
    }
}

/// One setting of [`SqlOptions`].
struct Setting {
    /// Its name after `tranchedb.`.
    name: &'static str,
    description: &'static str,
    get: fn(&SqlOptions) -> String,
    /// Sets it, or tells the values that it may have.
    set: fn(&mut SqlOptions, &str) -> Result<(), &'static str>,
}

/// Every setting of a session.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "run_aggregate",
        description: "Whether aggregations over strategy tables read them run by run.",
        get: |options| options.run_aggregate.to_string(),
        set: |options, value| flag(value).map(|flag| options.run_aggregate = flag),
    },
    Setting {
        name: "correlation_join",
        description: "Whether a join of strategy tables that is aggregated to correlations becomes the correlation operator.",
        get: |options| options.correlation_join.to_string(),
        set: |options, value| flag(value).map(|flag| options.correlation_join = flag),
    },
    Setting {
        name: "wide_correlation",
        description: "Whether many correlations of columns are computed in one pass.",
        get: |options| options.wide_correlation.to_string(),
        set: |options, value| flag(value).map(|flag| options.wide_correlation = flag),
    },
    Setting {
        name: "gpu",
        description: "Whether correlations are computed on a GPU: auto (where the work is large enough), off, required.",
        get: |options| name_of(&GpuUse::ALL, options.gpu),
        set: |options, value| named(&GpuUse::ALL, value).map(|choice| options.gpu = choice).ok_or("auto, off or required"),
    },
    Setting {
        name: "gpu_precision",
        description: "Arithmetic of products on a GPU: f64, f32 or tf32.",
        get: |options| name_of(&GpuPrecision::ALL, options.gpu_precision),
        set: |options, value| named(&GpuPrecision::ALL, value).map(|choice| options.gpu_precision = choice).ok_or("f64, f32 or tf32"),
    },
    Setting {
        name: "gpu_device",
        description: "Number of the GPU, from 0; system.devices lists them.",
        get: |options| options.gpu_device.to_string(),
        set: |options, value| value.parse().map(|index| options.gpu_device = index).map_err(|_| "a whole number from 0"),
    },
    Setting {
        name: "dialect",
        description: "The SQL that statements are written in: tranchedb or heavydb.",
        get: |options| name_of(&SqlDialect::ALL, options.dialect),
        set: |options, value| named(&SqlDialect::ALL, value).map(|dialect| options.dialect = dialect).ok_or("tranchedb or heavydb"),
    },
    Setting {
        name: "decoded_tier_bytes",
        description: "Bytes of decoded columns that are kept for the next query, 0 for none: 512MiB, 2GB.",
        get: |options| options.decoded_tier_bytes.to_string(),
        set: |options, value| size(value).map(|bytes| options.decoded_tier_bytes = bytes),
    },
    Setting {
        name: "memory_tier_bytes",
        description: "Bytes of files of object stores that are kept in memory, 0 for none: 256MiB, 2GB.",
        get: |options| options.memory_tier_bytes.to_string(),
        set: |options, value| size(value).map(|bytes| options.memory_tier_bytes = bytes),
    },
    Setting {
        name: "disk_tier_bytes",
        description: "Bytes of files of object stores that are kept in the cache directory, 0 for none: 10GB.",
        get: |options| options.disk_tier_bytes.to_string(),
        set: |options, value| size(value).map(|bytes| options.disk_tier_bytes = bytes),
    },
    Setting {
        name: "max_staleness",
        description: "How long what is known of files of object stores may be used without asking the store: 0s (ask for every query), 30s, 5m.",
        get: |options| show_duration(options.max_staleness),
        set: |options, value| {
            parse_duration(value).map(|time| options.max_staleness = time).map_err(|_| "a time such as 0s, 30s, 5m or 1h")
        },
    },
];

/// Units of time by their names, in milliseconds, the largest first.
const TIME_UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A time from `30s`, `5m`, `1h`, `500ms` or `0`.
///
/// # Errors
/// Any other text, with the units that there are.
pub(crate) fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("'{text}' is no time: write a whole number with ms, s, m or h, such as 30s");
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let (_, millis) = TIME_UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    let number = number.parse::<u64>().map_err(|_| wrong())?;
    number.checked_mul(*millis).map(Duration::from_millis).ok_or_else(wrong)
}

fn show_duration(time: Duration) -> String {
    let millis = time.as_millis() as u64;
    let unit = TIME_UNITS.iter().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
    unit.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Bytes from `4GB` (10^9), `4GiB` (2^30), `1.5G` (as GB) or a plain number.
///
/// # Errors
/// Any other text, with the units that there are.
pub(crate) fn parse_size(text: &str) -> std::result::Result<usize, String> {
    const UNITS: &[(&str, f64)] = &[
        ("b", 1.0),
        ("", 1.0),
        ("kb", 1e3),
        ("k", 1e3),
        ("kib", 1024.0),
        ("mb", 1e6),
        ("m", 1e6),
        ("mib", 1_048_576.0),
        ("gb", 1e9),
        ("g", 1e9),
        ("gib", 1_073_741_824.0),
        ("tb", 1e12),
        ("t", 1e12),
        ("tib", 1_099_511_627_776.0),
    ];
    let wrong =
        || format!("'{text}' is no size: write a number with B, KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor).ok_or_else(wrong)?;
    let bytes = number.trim().parse::<f64>().map_err(|_| wrong())? * factor;
    match bytes {
        bytes if (1.0..1e18).contains(&bytes) => Ok(bytes as usize),
        _ => Err(wrong()),
    }
}

fn name_of<T: Copy + PartialEq>(all: &[(&'static str, T)], value: T) -> String {
    all.iter().find(|(_, known)| *known == value).map_or_else(String::new, |(name, _)| (*name).to_owned())
}

fn named<T: Copy>(all: &[(&'static str, T)], name: &str) -> Option<T> {
    all.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// As [`parse_size`], or 0 for nothing.
///
/// # Errors
/// As [`parse_size`].
pub(crate) fn parse_size_or_none(text: &str) -> std::result::Result<usize, String> {
    if text == "0" { Ok(0) } else { parse_size(text) }
}

fn size(value: &str) -> Result<usize, &'static str> {
    parse_size_or_none(value).map_err(|_| "a size such as 512MiB, 2GB or 0")
}

fn flag(value: &str) -> Result<bool, &'static str> {
    value.to_lowercase().parse().map_err(|_| "true or false")
}
