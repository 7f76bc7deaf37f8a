//! Reading chosen rows and columns of one file of a strategy table.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSource;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use object_store::ObjectStoreExt;

use super::cache::RunCache;
use crate::storage::{DecodedTier, DecodedUse};

/// Reads files of one strategy table by DataFusion's Parquet source, which adapts old files to the table's columns.
#[derive(Debug, Clone)]
pub(in crate::exec) struct RowReader {
    url: ObjectStoreUrl,
    table: TableSchema,
    context: Arc<TaskContext>,
    /// Bytes read before the first unit.
    bytes: Arc<AtomicUsize>,
    /// The columns that the session keeps decoded; `None` for a reader that keeps none.
    decoded: Option<DecodedUse>,
}

/// Which part of a file to read.
pub(super) struct Extent<'a> {
    /// Columns of the table, by their index.
    pub(super) columns: &'a [usize],
    /// Rows of the file, ascending.
    pub(super) rows: Vec<Range<usize>>,
    /// Rows that the file has.
    pub(super) total_rows: usize,
    /// Rows of one batch.
    pub(super) batch_rows: usize,
}

impl RowReader {
    pub(in crate::exec) fn new(url: ObjectStoreUrl, table: TableSchema, context: Arc<TaskContext>) -> Self {
        Self { url, table, context, bytes: Arc::default(), decoded: None }
    }

    /// The reader of a query whose columns the session keeps decoded.
    pub(super) fn keeping_decoded(mut self) -> Self {
        self.decoded = self.context.session_config().get_extension::<DecodedTier>().map(|tier| tier.begin());
        self
    }

    /// The columns that the session keeps decoded.
    pub(super) fn decoded(&self) -> Option<&DecodedUse> {
        self.decoded.as_ref()
    }

    pub(super) fn context(&self) -> &Arc<TaskContext> {
        &self.context
    }

    /// Footer of a file, from the cache of the session where it is known; with the places of the pages if `pages`.
    ///
    /// # Errors
    /// The file cannot be read or is no Parquet file.
    pub(super) async fn metadata(&self, file: &PartitionedFile, pages: bool) -> Result<Arc<ParquetMetaData>> {
        let runtime = self.context.runtime_env();
        let store = runtime.object_store(&self.url)?;
        let policy = if pages { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
        DFParquetMetadata::new(&store, &file.object_meta)
            .with_file_metadata_cache(Some(runtime.cache_manager.get_file_metadata_cache()))
            .with_page_index_policy(Some(policy))
            .fetch_metadata()
            .await
    }

    /// What earlier queries of the session have found.
    pub(super) fn cache(&self) -> Arc<RunCache> {
        self.context.session_config().get_extension::<RunCache>().unwrap_or_default()
    }

    /// Adds what a finished read has taken from the store.
    pub(super) fn count_bytes(&self, source: &FileScanConfig) {
        self.bytes.fetch_add(bytes_scanned(source), Ordering::Relaxed);
    }

    /// Bytes counted so far.
    pub(super) fn bytes_read(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A range of the file's bytes.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) async fn bytes(&self, file: &PartitionedFile, range: Range<u64>) -> Result<Bytes> {
        let store = self.context.runtime_env().object_store(&self.url)?;
        let bytes = store.get_range(&file.object_meta.location, range).await?;
        self.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes)
    }

    /// The rows as a stream, in batches as large as the extent says, and the source that makes it, which has the figures of the read.
    ///
    /// # Errors
    /// The object store is unknown to the session.
    pub(super) fn read(&self, file: &PartitionedFile, extent: Extent<'_>) -> Result<(SendableRecordBatchStream, FileScanConfig)> {
        let runtime = self.context.runtime_env();
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let factory = CachedParquetFileReaderFactory::new(runtime.object_store(&self.url)?, cache);
        let source = ParquetSource::new(self.table.clone()).with_parquet_file_reader_factory(Arc::new(factory));
        let selection = RowSelection::from_consecutive_ranges(extent.rows.into_iter(), extent.total_rows);
        let file = file.clone().with_extension(ParquetRowSelection::new(selection));
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_group(FileGroup::new(vec![file]))
            .with_projection_indices(Some(extent.columns.to_vec()))?
            .with_batch_size(Some(extent.batch_rows))
            .with_preserve_order(true)
            .build();
        // Not as an operator, which would cut the batches to those of the session.
        Ok((config.open(0, Arc::clone(&self.context))?, config))
    }
}

/// Bytes that a finished read has taken from the store.
pub(super) fn bytes_scanned(source: &FileScanConfig) -> usize {
    source.metrics().clone_inner().sum_by_name("bytes_scanned").map_or(0, |bytes| bytes.as_usize())
}
