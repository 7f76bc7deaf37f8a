//! The files that a table consists of.

use std::time::SystemTime;

use chrono::{DateTime, SubsecRound};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::prelude::SessionContext;
use deltalake::DeltaTable;
use deltalake::kernel::LogicalFileView;
use futures::TryStreamExt;
use object_store::path::Path;
use url::Url;

use super::DirectorySchema;
use crate::error::{Error, Result};
use crate::storage::{HOT, delta_error, load_table, location_of};

/// A file of a table.
#[derive(Debug)]
pub(super) struct DataFile {
    /// Where it lies.
    pub(super) url: Url,
    /// Its path as queries name it.
    pub(super) path: Path,
    /// The place in which a table keeps it, `hot` or a location; none for files that are a table as they lie.
    pub(super) tier: Option<String>,
    /// Values of the partition columns that all its rows have, as `year=2024/zone=A`; none where the table has none.
    pub(super) partition: Option<String>,
    /// Rows, where the log tells.
    pub(super) rows: Option<u64>,
    /// Size in bytes.
    pub(super) bytes: u64,
    /// When it was written.
    pub(super) modified_at: SystemTime,
}

impl DataFile {
    /// Its place as tiers name it: its store, and its path there.
    pub(super) fn place(&self) -> String {
        let path = Path::from_url_path(self.url.path()).unwrap_or_default();
        format!("{}/{path}", &self.url[..url::Position::BeforePath])
    }
}

/// The files of the newest version of a table, or of files that are a table; none for a view.
///
/// # Errors
/// The table cannot be opened, or its files cannot be listed.
pub(super) async fn data_files(schema: &DirectorySchema, ctx: &SessionContext, name: &str) -> Result<Vec<DataFile>> {
    if schema.root().table_url(name).is_err() {
        return Err(no_table(name));
    }
    match load_table(schema.root(), name, None).await? {
        Some(table) => delta_files(schema, name, &table),
        None => listed_files(schema, ctx, name).await,
    }
}

fn no_table(name: &str) -> Error {
    Error::Usage(format!("there is no table '{name}'\nhint: name a table, or objects by URL, such as s3://bucket/path"))
}

/// As [`data_files`], of those files alone that a query with this filter would read.
///
/// # Errors
/// As [`data_files`]; a filter that does not fit the table.
pub(super) async fn filtered_files(schema: &DirectorySchema, ctx: &SessionContext, (name, filter): (&str, &str)) -> Result<Vec<DataFile>> {
    let table = ctx.table(TableReference::bare(name)).await?;
    let filter = table.parse_sql_expr(filter)?;
    let plan = table.filter(filter)?.create_physical_plan().await?;
    let mut read: Vec<Path> = Vec::new();
    plan.apply(|node| {
        let source = node.downcast_ref::<DataSourceExec>().and_then(|node| node.data_source().downcast_ref::<FileScanConfig>());
        let files = source.iter().flat_map(|source| &source.file_groups).flat_map(|group| group.files());
        read.extend(files.map(|file| file.object_meta.location.clone()));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut files = data_files(schema, ctx, name).await?;
    // Some readers name files by their place in the table.
    files.retain(|file| read.iter().any(|path| file.path == *path || file.path.as_ref().ends_with(&format!("/{path}"))));
    Ok(files)
}

fn delta_files(schema: &DirectorySchema, name: &str, table: &DeltaTable) -> Result<Vec<DataFile>> {
    let snapshot = table.snapshot().map_err(|e| delta_error(name, e))?;
    let folder = schema.root().table_url(name)?;
    let below = schema.root().table_path(name);
    let file = |view: LogicalFileView| {
        let unusable = |reason: String| Error::Database(format!("table '{name}': file '{}' of its log: {reason}", view.path()));
        let path = view.object_store_path();
        let here = || folder.join(&view.path()).map_err(|e| unusable(e.to_string()));
        let values = view.partition_values_map();
        let mut values: Vec<_> =
            values.iter().map(|(column, value)| format!("{column}={}", value.as_deref().unwrap_or_default())).collect();
        values.sort();
        Ok(DataFile {
            url: schema.root().locations().file_url(name, &path).map_or_else(here, Ok)?,
            tier: Some(location_of(path.as_ref()).unwrap_or(HOT).to_owned()),
            path: Path::parse(format!("{below}/{path}")).map_err(|e| unusable(e.to_string()))?,
            partition: (!values.is_empty()).then(|| values.join("/")),
            rows: view.num_records().map(|rows| rows as u64),
            bytes: view.size().unsigned_abs(),
            modified_at: DateTime::from_timestamp_millis(view.modification_time()).unwrap_or_default().into(),
        })
    };
    let mut files = snapshot.log_data().iter().map(file).collect::<Result<Vec<_>>>()?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Files that are a table as they lie, here or in an object store.
async fn listed_files(schema: &DirectorySchema, ctx: &SessionContext, name: &str) -> Result<Vec<DataFile>> {
    let Some((_, table)) = schema.find(name).await? else { return Err(no_table(name)) };
    let Some(table) = table.downcast_ref::<ListingTable>() else { return Ok(vec![]) };
    let mut files = Vec::new();
    for place in table.table_paths() {
        let store = ctx.runtime_env().object_store(place)?;
        let extension = &table.options().file_extension;
        let is_remote = place.scheme() != "file";
        let listed: Vec<_> = place.list_all_files(&ctx.state(), store.as_ref(), extension).await?.try_collect().await?;
        for object in listed {
            let url = format!("{}{}", place.object_store().as_str(), object.location);
            files.push(DataFile {
                url: Url::parse(&url).map_err(|e| Error::Internal(format!("file {url}: {e}")))?,
                path: object.location,
                tier: None,
                partition: None,
                rows: None,
                bytes: object.size,
                // Below seconds, times of remote stores are the engine's own.
                modified_at: if is_remote { object.last_modified.trunc_subsecs(0).into() } else { object.last_modified.into() },
            });
        }
    }
    Ok(files)
}
