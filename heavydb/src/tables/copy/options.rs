//! The options of COPY.

use datafusion::common::{DataFusionError, Result, plan_err};
use regex::Regex;

use crate::refusal::Refusal;
use crate::replay::render::CopyOptions;

/// What the files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Delimited,
    Parquet,
    Regex,
}

/// The order in which files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileOrder {
    Path,
    Modified,
    /// By the groups of `file_sort_regex`, as text.
    Regex,
    /// The same, as a number.
    RegexNumber,
}

/// The options of COPY FROM.
#[derive(Debug, Clone)]
pub(super) struct ImportOptions {
    pub(super) delimiter: u8,
    pub(super) nulls: String,
    /// Whether the first line of each file is a header; `None` when it is to be told from the line.
    pub(super) header: Option<bool>,
    pub(super) quoted: bool,
    pub(super) quote: u8,
    pub(super) escape: u8,
    pub(super) line_delimiter: u8,
    pub(super) array_delimiter: u8,
    pub(super) array_marker: [u8; 2],
    pub(super) trim_spaces: bool,
    /// Rejected rows above which nothing is loaded.
    pub(super) max_reject: usize,
    pub(super) source: Source,
    pub(super) line_regex: Option<Regex>,
    pub(super) line_start_regex: Option<Regex>,
    pub(super) path_filter: Option<Regex>,
    pub(super) order: FileOrder,
    pub(super) sort_regex: Option<Regex>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            nulls: "\\N".into(),
            header: None,
            quoted: true,
            quote: b'"',
            escape: b'"',
            line_delimiter: b'\n',
            array_delimiter: b',',
            array_marker: *b"{}",
            trim_spaces: true,
            max_reject: 100_000,
            source: Source::Delimited,
            line_regex: None,
            line_start_regex: None,
            path_filter: None,
            order: FileOrder::Path,
            sort_regex: None,
        }
    }
}

/// What an option's value does.
type Set<T> = fn(&mut T, &str) -> Result<()>;

/// The options of COPY FROM that matter here.
const IMPORT_OPTIONS: &[(&str, Set<ImportOptions>)] = &[
    ("delimiter", |options, value| byte(value).map(|byte| options.delimiter = byte)),
    ("nulls", |options, value| {
        value.clone_into(&mut options.nulls);
        Ok(())
    }),
    ("header", |options, value| flag(value).map(|flag| options.header = Some(flag))),
    ("quoted", |options, value| flag(value).map(|flag| options.quoted = flag)),
    ("quote", |options, value| byte(value).map(|byte| options.quote = byte)),
    ("escape", |options, value| byte(value).map(|byte| options.escape = byte)),
    ("line_delimiter", |options, value| byte(value).map(|byte| options.line_delimiter = byte)),
    ("array_delimiter", |options, value| byte(value).map(|byte| options.array_delimiter = byte)),
    ("array_marker", |options, value| match unescaped(value).as_bytes() {
        [open, close] => {
            options.array_marker = [*open, *close];
            Ok(())
        }
        _ => plan_err!("it is two characters, as {{}}, not '{value}'"),
    }),
    ("trim_spaces", |options, value| flag(value).map(|flag| options.trim_spaces = flag)),
    ("max_reject", |options, value| count(value).map(|count| options.max_reject = count)),
    ("source_type", source_type),
    ("parquet", |options, value| {
        if flag(value)? {
            options.source = Source::Parquet;
        }
        Ok(())
    }),
    ("geo", |_, value| if flag(value)? { Err(refused("geo='true'", "geo files are out of scope")) } else { Ok(()) }),
    ("line_regex", |options, value| whole(value).map(|regex| options.line_regex = Some(regex))),
    ("line_start_regex", |options, value| pattern(&format!("^(?:{value})")).map(|regex| options.line_start_regex = Some(regex))),
    ("regex_path_filter", |options, value| whole(value).map(|regex| options.path_filter = Some(regex))),
    ("file_sort_order_by", file_order),
    ("file_sort_regex", |options, value| pattern(value).map(|regex| options.sort_regex = Some(regex))),
    ("threads", |_, value| count(value).map(drop)),
    ("buffer_size", |_, value| count(value).map(drop)),
    ("max_import_batch_row_count", |_, value| count(value).map(drop)),
    ("plain_text", |_, value| flag(value).map(drop)),
];

/// Options that have no effect on what is read here: geometries, and stores that are set up for the session.
const WITHOUT_EFFECT: &[&str] = &[
    "geo_coords_encoding",
    "geo_coords_srid",
    "geo_coords_type",
    "geo_explode_collections",
    "geo_validate_geometry",
    "lonlat",
    "partitions",
    "s3_access_key",
    "s3_endpoint",
    "s3_max_concurrent_downloads",
    "s3_region",
    "s3_secret_key",
    "s3_session_token",
    "s3_use_virtual_addressing",
    "source_srid",
];

/// Options of sources that are not read here.
const OF_OTHER_SOURCES: &[&str] = &[
    "add_metadata_columns",
    "bounding_box_clip",
    "connection_string",
    "credential_string",
    "data_source_name",
    "geo_layer_name",
    "password",
    "raster_drop_if_all_null",
    "raster_import_bands",
    "raster_import_dimensions",
    "raster_point_transform",
    "raster_point_type",
    "raster_scanlines_per_thread",
    "raster_tile_height",
    "raster_tile_width",
    "sql_order_by",
    "sql_select",
    "username",
];

impl ImportOptions {
    /// Reads the options of COPY FROM.
    ///
    /// # Errors
    /// No such option or value; a [`Refusal`] for sources that are not read here.
    pub(super) fn read(given: &[(String, String)]) -> Result<Self> {
        let mut options = Self::default();
        for (name, value) in given {
            if let Some((_, set)) = IMPORT_OPTIONS.iter().find(|(known, _)| known == name) {
                set(&mut options, value).map_err(|error| of_option(name, error))?;
            } else if OF_OTHER_SOURCES.contains(&name.as_str()) {
                return Err(refused(&format!("option {name} of COPY"), "it belongs to sources that are not read here"));
            } else if !WITHOUT_EFFECT.contains(&name.as_str()) {
                return plan_err!("invalid option for COPY FROM: {name}; there are {}", names(IMPORT_OPTIONS));
            }
        }
        match (options.source, &options.line_regex) {
            (Source::Regex, None) => plan_err!("source_type='regex_parsed_file' needs the option line_regex"),
            (Source::Delimited | Source::Parquet, Some(_)) => plan_err!("the option line_regex needs source_type='regex_parsed_file'"),
            _ => Ok(options),
        }
    }
}

/// How a result is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Compression {
    #[default]
    None,
    Gzip,
}

/// The options of COPY TO.
#[derive(Debug, Clone, Default)]
pub(super) struct ExportOptions {
    pub(super) form: CopyOptions,
    pub(super) compression: Compression,
}

const EXPORT_OPTIONS: &[(&str, Set<ExportOptions>)] = &[
    ("delimiter", |options, value| byte(value).map(|byte| options.form.delimiter = byte.into())),
    ("nulls", |options, value| {
        value.clone_into(&mut options.form.nulls);
        Ok(())
    }),
    ("header", |options, value| flag(value).map(|flag| options.form.header = flag)),
    ("quote", |options, value| byte(value).map(|byte| options.form.quote = byte.into())),
    ("escape", |options, value| byte(value).map(|byte| options.form.escape = byte.into())),
    ("line_delimiter", |options, value| byte(value).map(|byte| options.form.line_delimiter = byte.into())),
    ("quoted", |options, value| flag(value).map(|flag| options.form.quoted = flag)),
    ("file_type", |_, value| match value.to_lowercase().as_str() {
        "csv" => Ok(()),
        "geojson" | "geojsonl" | "shapefile" | "flatgeobuf" => Err(refused(&format!("file_type='{value}'"), "geo files are out of scope")),
        _ => plan_err!("it is CSV, not '{value}'"),
    }),
    ("file_compression", |options, value| {
        options.compression = match value.to_lowercase().as_str() {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "zip" => return Err(refused("file_compression='zip'", "write file_compression='gzip', or pack the file afterwards")),
            _ => return plan_err!("it is none, gzip or zip, not '{value}'"),
        };
        Ok(())
    }),
    ("array_null_handling", |_, value| match value.to_lowercase().as_str() {
        // It tells how geo files show arrays; CSV has NULL for itself.
        "abort" | "raw" | "zero" | "nullfield" => Ok(()),
        _ => plan_err!("it is abort, raw, zero or nullfield, not '{value}'"),
    }),
    ("layer_name", |_, _| Ok(())),
];

impl ExportOptions {
    /// Reads the options of COPY TO.
    ///
    /// # Errors
    /// No such option or value; a [`Refusal`] for what is not written here.
    pub(super) fn read(given: &[(String, String)]) -> Result<Self> {
        let mut options = Self::default();
        for (name, value) in given {
            let Some((_, set)) = EXPORT_OPTIONS.iter().find(|(known, _)| known == name) else {
                return plan_err!("invalid option for COPY TO: {name}; there are {}", names(EXPORT_OPTIONS));
            };
            set(&mut options, value).map_err(|error| of_option(name, error))?;
        }
        Ok(options)
    }
}

fn names<T>(options: &[(&str, Set<T>)]) -> String {
    options.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn of_option(name: &str, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Plan(reason) => DataFusionError::Plan(format!("option {name} of COPY: {reason}")),
        other => other,
    }
}

fn refused(construct: &str, reason: &str) -> DataFusionError {
    Refusal::new(construct, reason).into()
}

fn source_type(options: &mut ImportOptions, value: &str) -> Result<()> {
    options.source = match value.to_lowercase().as_str() {
        "delimited_file" => Source::Delimited,
        "parquet_file" => Source::Parquet,
        "regex_parsed_file" => Source::Regex,
        "geo_file" | "raster_file" | "odbc" => {
            return Err(refused(&format!("source_type='{value}'"), "only delimited_file, parquet_file and regex_parsed_file are read"));
        }
        _ => return plan_err!("it is delimited_file, parquet_file or regex_parsed_file, not '{value}'"),
    };
    Ok(())
}

fn file_order(options: &mut ImportOptions, value: &str) -> Result<()> {
    options.order = match value.to_lowercase().as_str() {
        "pathname" => FileOrder::Path,
        "date_modified" => FileOrder::Modified,
        "regex" => FileOrder::Regex,
        "regex_number" => FileOrder::RegexNumber,
        "regex_date" => return Err(refused("file_sort_order_by='regex_date'", "sort by pathname, date_modified, regex or regex_number")),
        _ => return plan_err!("it is pathname, date_modified, regex or regex_number, not '{value}'"),
    };
    Ok(())
}

/// HeavyDB's words of a boolean option, in any case.
pub(super) fn flag(value: &str) -> Result<bool> {
    match value.to_lowercase().as_str() {
        "t" | "true" => Ok(true),
        "f" | "false" => Ok(false),
        _ => plan_err!("it is true or false, not '{value}'"),
    }
}

fn count(value: &str) -> Result<usize> {
    value.parse().or_else(|_| plan_err!("it is a whole number from 0, not '{value}'"))
}

/// `\t`, `\n`, `\r` and `\\` as what they stand for.
fn unescaped(value: &str) -> String {
    match value {
        "\\t" => "\t".into(),
        "\\n" => "\n".into(),
        "\\r" => "\r".into(),
        "\\\\" => "\\".into(),
        _ => value.into(),
    }
}

fn byte(value: &str) -> Result<u8> {
    match unescaped(value).as_bytes() {
        [byte] => Ok(*byte),
        _ => plan_err!("it is one ASCII character, not '{value}'"),
    }
}

fn pattern(value: &str) -> Result<Regex> {
    // A dot takes line ends too, as HeavyDB's regular expressions have it.
    Regex::new(&format!("(?s){value}")).map_err(|error| refused(&format!("the regular expression '{value}'"), &error.to_string()))
}

fn whole(value: &str) -> Result<Regex> {
    pattern(&format!("^(?:{value})$"))
}
