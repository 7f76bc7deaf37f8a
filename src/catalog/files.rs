//! Files and folders as tables: by quoted path or URL, or lying in the database directory.
//!
//! A location is a file, a glob or a folder; folders named `column=value` give partition columns. The format comes from
//! the extension, through a compression suffix if there is one.

use std::path::Path as FsPath;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result as DfResult, plan_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::SessionState;
use deltalake::DeltaTableBuilder;
use futures::StreamExt;
use object_store::path::Path;
use url::Url;

/// One readable file format.
pub(super) struct Format {
    /// Extensions without dot, in lower case.
    extensions: &'static [&'static str],
    open: fn(FileCompressionType) -> Arc<dyn FileFormat>,
}

/// Every format that a file may have by its extension.
pub(super) const FORMATS: &[Format] = &[
    Format { extensions: &["parquet"], open: |_| Arc::new(ParquetFormat::default()) },
    Format { extensions: &["csv"], open: |compression| Arc::new(csv().with_file_compression_type(compression)) },
    Format { extensions: &["tsv"], open: |compression| Arc::new(csv().with_delimiter(b'\t').with_file_compression_type(compression)) },
    Format {
        extensions: &["json", "ndjson", "jsonl"],
        open: |compression| Arc::new(JsonFormat::default().with_file_compression_type(compression)),
    },
    Format { extensions: &["arrow"], open: |_| Arc::new(ArrowFormat) },
];

/// Suffixes of compressed text files.
const COMPRESSIONS: &[(&str, FileCompressionType)] = &[
    ("gz", FileCompressionType::GZIP),
    ("zst", FileCompressionType::ZSTD),
    ("bz2", FileCompressionType::BZIP2),
    ("xz", FileCompressionType::XZ),
];

/// Rows from which the types of CSV and JSON columns are inferred; a later row of another type is an error, not NULL.
const INFERENCE_ROWS: usize = 100_000;

fn csv() -> CsvFormat {
    CsvFormat::default().with_has_header(true).with_schema_infer_max_rec(INFERENCE_ROWS)
}

/// Whether a quoted name means a file rather than a table of the schema.
pub(super) fn is_location(name: &str) -> bool {
    name.contains(['/', '\\', '*']) || name.contains("://") || split_extension(name).is_some()
}

/// Splits a file name into its stem and a known extension, compression suffix included.
pub(super) fn split_extension(name: &str) -> Option<(&str, &str)> {
    let compressed = name.rsplit_once('.').filter(|(_, suffix)| COMPRESSIONS.iter().any(|(known, _)| known == suffix));
    let (stem, extension) = compressed.map_or(name, |(before, _)| before).rsplit_once('.')?;
    let known = FORMATS.iter().any(|format| format.extensions.contains(&extension.to_lowercase().as_str()));
    (known && !stem.is_empty()).then(|| (stem, &name[stem.len() + 1..]))
}

/// The table at a location, or `None` when nothing is there.
pub(super) async fn location_table(state: &SessionState, location: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
    let is_local = !location.contains("://");
    let is_glob = location.contains(['*', '[']);
    if is_local && !is_glob && !FsPath::new(location).exists() {
        return Ok(None);
    }
    if is_local && FsPath::new(location).join("_delta_log").is_dir() {
        return delta_folder(location).await.map(Some);
    }
    let is_folder = is_local && FsPath::new(location).is_dir();
    let location = if is_folder && !location.ends_with('/') { format!("{location}/") } else { location.to_owned() };
    listing_table(state, ListingTableUrl::parse(&location)?).await.map(Some)
}

async fn delta_folder(location: &str) -> DfResult<Arc<dyn TableProvider>> {
    let external = |e: deltalake::DeltaTableError| DataFusionError::External(Box::new(e));
    let folder = std::path::absolute(location)?;
    let url = Url::from_directory_path(&folder).map_err(|()| DataFusionError::Plan(format!("'{location}' is not a usable path")))?;
    let table = DeltaTableBuilder::from_url(url).map_err(external)?.load().await.map_err(external)?;
    table.table_provider().await
}

/// A table over the files at a URL, their format taken from the first.
pub(super) async fn listing_table(state: &SessionState, url: ListingTableUrl) -> DfResult<Arc<dyn TableProvider>> {
    let Some(first) = first_file(state, &url).await? else {
        return plan_err!("there is no file with data at {url}: known extensions are {}", known_extensions());
    };
    let Some((format, extension)) = format_of(first.as_ref()) else {
        return plan_err!("the format of {first} is unknown: known extensions are {}", known_extensions());
    };
    let options = ListingOptions::new(format).with_file_extension(extension);
    let partitions = options.infer_partitions(state, &url).await?;
    let partitions = partitions.into_iter().map(|name| (name, datafusion::arrow::datatypes::DataType::Utf8)).collect();
    let options = options.with_table_partition_cols(partitions);
    let config = ListingTableConfig::new(url).with_listing_options(options).infer_schema(state).await?;
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The first file with bytes; hidden files and folders (`_` or `.` first) are passed over.
async fn first_file(state: &SessionState, url: &ListingTableUrl) -> DfResult<Option<Path>> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    while let Some(file) = files.next().await.transpose()? {
        let hidden = file.location.filename().is_some_and(|name| name.starts_with(['_', '.']));
        if file.size > 0 && !hidden && (!url.is_collection() || format_of(file.location.as_ref()).is_some()) {
            return Ok(Some(file.location));
        }
    }
    Ok(None)
}

/// Format and full extension of a file by its name.
fn format_of(path: &str) -> Option<(Arc<dyn FileFormat>, String)> {
    let (_, extension) = split_extension(path)?;
    let (kind, compression) = match extension.split_once('.') {
        Some((kind, suffix)) => (kind, COMPRESSIONS.iter().find(|(known, _)| *known == suffix)?.1),
        None => (extension, FileCompressionType::UNCOMPRESSED),
    };
    let format = FORMATS.iter().find(|format| format.extensions.contains(&kind.to_lowercase().as_str()))?;
    Some(((format.open)(compression), format!(".{extension}")))
}

fn known_extensions() -> String {
    FORMATS.iter().flat_map(|format| format.extensions).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_known_extension_or_a_slash_are_locations() {
        for name in ["x.parquet", "a/b", "s3://bucket/x.csv", "data/*.csv", "x.csv.gz", "X.CSV"] {
            assert!(is_location(name), "{name}");
        }
        for name in ["strategies", "my.table", "v1.2", ".csv"] {
            assert!(!is_location(name), "{name}");
        }
    }

    #[test]
    fn compression_is_part_of_the_extension() {
        assert_eq!(split_extension("a.b.csv.gz"), Some(("a.b", "csv.gz")));
        assert!(format_of("a.csv.gz").is_some_and(|(_, extension)| extension == ".csv.gz"));
    }
}
