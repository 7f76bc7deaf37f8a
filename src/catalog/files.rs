//! Files and folders as tables: by quoted path or URL, or lying in the database directory.
//!
//! A location is a file, a glob or a folder; folders named `column=value` give partition columns where a folder is named. The
//! format comes from the extension, through a compression suffix if there is one. Files of two formats are never read as one table,
//! and hidden files and folders below the one that is named (`.x` and `_x`, but not `_x=value`) are no part of it.

use std::collections::BTreeSet;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
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
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use super::glob::{Glob, is_glob};
use super::headers::{Columns, require_same_headers};
use super::wide_schemas::WideSchemaCache;

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
    let exists = is_local && FsPath::new(location).exists();
    if !exists && is_glob(location) {
        return glob_table(state, location).await.map(Some);
    }
    if is_local && !exists {
        return Ok(None);
    }
    if is_local && FsPath::new(location).join("_delta_log").is_dir() {
        return delta_folder(location).await.map(Some);
    }
    let url = if is_local { local_url(FsPath::new(location))? } else { ListingTableUrl::parse(location)? };
    if let Some(table) = delta_at(state, &url).await? {
        return Ok(Some(table));
    }
    listing_table(state, url).await.map(Some)
}

/// The Delta table at the URL of a folder; `None` where its files have no log. Read as files, it would show rows that were deleted.
async fn delta_at(state: &SessionState, url: &ListingTableUrl) -> DfResult<Option<Arc<dyn TableProvider>>> {
    let place = Url::parse(url.as_str()).map_err(|error| DataFusionError::External(Box::new(error)))?;
    // Web servers list nothing.
    if !url.is_collection() || place.scheme().starts_with("http") {
        return Ok(None);
    }
    let store = state.runtime_env().object_store(url)?;
    let log = Path::parse(format!("{}/_delta_log", url.prefix()))?;
    if store.list(Some(&log)).try_next().await?.is_none() {
        return Ok(None);
    }
    if !place.username().is_empty() {
        // Plans name stores by scheme and host: the table would be looked for in another container.
        return plan_err!(
            "a table with a log is read by scheme, bucket or container, and folder alone: give account and credentials by the environment"
        );
    }
    let external = |e: deltalake::DeltaTableError| DataFusionError::External(Box::new(e));
    let builder = DeltaTableBuilder::from_url(place.clone()).map_err(external)?.with_storage_backend(store, place);
    Ok(Some(builder.load().await.map_err(external)?.table_provider().await?))
}

/// The URL of a file or folder that exists, whatever signs its name has.
fn local_url(location: &FsPath) -> DfResult<ListingTableUrl> {
    let path = std::path::absolute(location)?;
    let url = if path.is_dir() { Url::from_directory_path(&path) } else { Url::from_file_path(&path) };
    ListingTableUrl::try_new(url.map_err(|()| DataFusionError::Plan(format!("'{}' is not a usable path", path.display())))?, None)
}

async fn delta_folder(location: &str) -> DfResult<Arc<dyn TableProvider>> {
    let external = |e: deltalake::DeltaTableError| DataFusionError::External(Box::new(e));
    let folder = std::path::absolute(location)?;
    let url = Url::from_directory_path(&folder).map_err(|()| DataFusionError::Plan(format!("'{location}' is not a usable path")))?;
    let table = DeltaTableBuilder::from_url(url).map_err(external)?.load().await.map_err(external)?;
    table.table_provider().await
}

/// A table over the files that match a glob.
async fn glob_table(state: &SessionState, location: &str) -> DfResult<Arc<dyn TableProvider>> {
    let (store, files) = matching_files(state, location).await?;
    let first = one_format(location, files.iter().map(|(_, file)| file.location.as_ref()))?;
    let Some((format, extension)) = first.as_ref().and_then(|name| format_of(name)) else {
        return plan_err!(
            "the files that match '{location}' have an unknown format: end the pattern with an extension, one of {}",
            known_extensions()
        );
    };
    let (urls, files): (Vec<_>, Vec<_>) = files.into_iter().filter(|(_, file)| format_of(file.location.as_ref()).is_some()).unzip();
    let options = ListingOptions::new(format).with_file_extension(extension);
    require_same_headers(state, &urls, &options, Columns::Inferred).await?;
    let schema = options.format.infer_schema(state, &store, &files).await?;
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The files that match a glob and hold data, in order of their names.
///
/// # Errors
/// None does.
async fn matching_files(state: &SessionState, location: &str) -> DfResult<(Arc<dyn ObjectStore>, Vec<(ListingTableUrl, ObjectMeta)>)> {
    let glob = Glob::of(location);
    let base = ListingTableUrl::parse(glob.base)?;
    let store = state.runtime_env().object_store(&base)?;
    let mut files = glob.files(&store, base.prefix()).await?;
    files.retain(|file| file.size > 0);
    if files.is_empty() {
        return plan_err!("no file with data matches '{location}'");
    }
    files.sort_by(|a, b| a.location.cmp(&b.location));
    let url = |file: ObjectMeta| Ok((file_url(&base, &file.location)?, file));
    Ok((store, files.into_iter().map(url).collect::<DfResult<_>>()?))
}

/// The locations of an external table with the files that match in place of a glob, as URLs.
///
/// # Errors
/// Nothing is there, which would be read as no rows.
pub(super) async fn expanded(state: &SessionState, locations: Vec<String>) -> DfResult<Vec<String>> {
    let mut all = Vec::with_capacity(locations.len());
    for location in locations {
        match local_path(&location) {
            Some(path) if path.exists() => all.push(local_url(&path)?.as_str().to_owned()),
            _ if is_glob(&location) => all.extend(matching_urls(state, &location).await?),
            Some(_) => return plan_err!("there is nothing at '{location}'"),
            None => all.push(location),
        }
    }
    Ok(all)
}

async fn matching_urls(state: &SessionState, location: &str) -> DfResult<Vec<String>> {
    let (_, files) = matching_files(state, location).await?;
    one_format(location, files.iter().map(|(_, file)| file.location.as_ref()))?;
    Ok(files.iter().map(|(url, _)| url.as_str().to_owned()).collect())
}

/// The path of a location on this machine.
fn local_path(location: &str) -> Option<PathBuf> {
    match Url::parse(location) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(url) if location.contains("://") && !url.scheme().is_empty() => None,
        _ => Some(PathBuf::from(location)),
    }
}

/// The URL of a file in the store of another URL.
fn file_url(base: &ListingTableUrl, path: &Path) -> DfResult<ListingTableUrl> {
    let unusable = || DataFusionError::Plan(format!("'{path}' is not a usable path"));
    let mut url = Url::parse(base.object_store().as_str()).map_err(|_| unusable())?;
    url.path_segments_mut().map_err(|()| unusable())?.clear().extend(path.as_ref().split('/'));
    ListingTableUrl::try_new(url, None)
}

/// The first of several names of known formats.
///
/// # Errors
/// The names have two formats: only those of one could be read.
fn one_format<'a>(place: &str, names: impl Iterator<Item = &'a str>) -> DfResult<Option<String>> {
    let extensions: BTreeSet<(String, &str)> = names.filter_map(|name| Some((format_of(name)?.1, name))).collect();
    let (first, last) = (extensions.first(), extensions.last());
    match (first, last) {
        (Some((one, _)), Some((other, _))) if one != other => {
            plan_err!("'{place}' holds files of two kinds, {one} and {other}: name one of them with a glob that ends with its extension")
        }
        _ => Ok(first.map(|(_, name)| (*name).to_owned())),
    }
}

/// A table over the files at a URL.
pub(super) async fn listing_table(state: &SessionState, url: ListingTableUrl) -> DfResult<Arc<dyn TableProvider>> {
    let Some(first) = first_file(state, &url).await? else {
        return plan_err!("there is no file with data at {url}: known extensions are {}", known_extensions());
    };
    let Some((format, extension)) = format_of(first.as_ref()) else {
        return plan_err!("the format of {first} is unknown: known extensions are {}", known_extensions());
    };
    let options = ListingOptions::new(format).with_file_extension(extension);
    require_same_headers(state, std::slice::from_ref(&url), &options, Columns::Inferred).await?;
    let partitions = options.infer_partitions(state, &url).await?;
    let partitions = partitions.into_iter().map(|name| (name, datafusion::arrow::datatypes::DataType::Utf8)).collect();
    let options = options.with_table_partition_cols(partitions);
    let schema = inferred_schema(state, &url, &options).await?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The columns of the files at a URL, as an earlier statement of the session has found them where there are very many.
async fn inferred_schema(state: &SessionState, url: &ListingTableUrl, options: &ListingOptions) -> DfResult<SchemaRef> {
    let store = state.runtime_env().object_store(url)?;
    let listed = url.list_all_files(state, store.as_ref(), &options.file_extension).await?;
    let mut files: Vec<ObjectMeta> = listed.try_filter(|file| std::future::ready(file.size > 0)).try_collect().await?;
    files.sort_by(|a, b| a.location.cmp(&b.location));
    let cache = state.config().get_extension::<WideSchemaCache>();
    if let Some(known) = cache.as_ref().and_then(|cache| cache.get(url, &files)) {
        return Ok(known);
    }
    let schema = options.format.infer_schema(state, &store, &files).await?;
    if let Some(cache) = cache {
        cache.put(url, files, &schema);
    }
    Ok(schema)
}

/// The first file with bytes; the listing leaves out hidden files and folders.
async fn first_file(state: &SessionState, url: &ListingTableUrl) -> DfResult<Option<Path>> {
    let store = state.runtime_env().object_store(url)?;
    let mut files = url.list_all_files(state, store.as_ref(), "").await?;
    let mut first: Option<(Path, Option<String>)> = None;
    while let Some(file) = files.next().await.transpose()? {
        let extension = format_of(file.location.as_ref()).map(|(_, extension)| extension);
        if file.size == 0 || (url.is_collection() && extension.is_none()) {
            continue;
        }
        match &first {
            None => first = Some((file.location, extension)),
            Some((one, known)) if *known != extension => {
                one_format(url.as_str(), [one.as_ref(), file.location.as_ref()].into_iter())?;
            }
            Some(_) => {}
        }
    }
    Ok(first.map(|(path, _)| path))
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

/// The extensions of every format, for messages.
pub(super) fn known_extensions() -> String {
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
