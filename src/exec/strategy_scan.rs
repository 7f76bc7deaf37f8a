//! A table provider over the files of a strategy table.
//!
//! Each file is sorted by `(strategy, date, [slot])` and its facts come from the Delta log, so that a filter on date,
//! strategy or partition drops files before any footer is read; row groups and pages are pruned by Parquet statistics.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{ScanArgs, Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result as DfResult, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col as column};
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr, expressions::col};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion_functions_finance::TimeOrder;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::runs::{RowReader, RunFile, hold_other_strategies, overlapping, rows_of_strategies};
use crate::error::Result;
use crate::storage::{FinishedFile, PartitionKey, Root, StrategyChange, StrategyFile, StrategyShape, StrategyTable};

/// The files of a strategy table, or some of them, as a SQL source.
#[derive(Debug)]
pub struct StrategyScan {
    root: Root,
    shape: StrategyShape,
    files: Vec<ScannedFile>,
}

/// One file to read.
#[derive(Debug, Clone)]
struct ScannedFile {
    key: PartitionKey,
    meta: ObjectMeta,
    rows: Option<u64>,
    dates: Option<(i32, i32)>,
    strategies: Option<(String, String)>,
    dense: bool,
    sorted: bool,
}

impl StrategyScan {
    /// Reads a whole table version.
    ///
    /// # Errors
    /// [`crate::Error::Storage`] when the Delta log cannot be read.
    pub fn try_new(table: &StrategyTable) -> Result<Self> {
        Ok(Self::of_files(table.root(), table.shape(), &table.files()?))
    }

    /// Reads just these files.
    pub fn of_files(root: &Root, shape: &StrategyShape, files: &[StrategyFile]) -> Self {
        Self { root: root.clone(), shape: shape.clone(), files: files.iter().map(ScannedFile::from).collect() }
    }

    /// Whether the log says that all files hold the same one strategy.
    fn holds_one_strategy(&self) -> bool {
        let mut names = self.files.iter().map(|file| file.strategies.as_ref().filter(|(first, last)| first == last));
        names.next().flatten().is_some_and(|one| names.all(|name| name == Some(one)))
    }

    /// Reads files that a change has written and not yet committed.
    pub fn of_written(change: &StrategyChange, files: &[FinishedFile]) -> Self {
        let scanned = files.iter().map(|file| ScannedFile {
            key: file.key,
            meta: object_meta(change.added_path(file), file.size_bytes, 0),
            rows: Some(file.rows),
            dates: Some(file.dates),
            strategies: file.strategies.clone(),
            dense: file.dense.is_some(),
            sorted: true,
        });
        Self { root: change.root().clone(), shape: change.shape().clone(), files: scanned.collect() }
    }

    /// Columns of the table.
    pub fn shape(&self) -> &StrategyShape {
        &self.shape
    }

    /// One strategy of each file, when every file is dense: together they have every period of the table.
    pub fn period_witnesses(&self) -> Option<Vec<String>> {
        self.files.iter().map(|file| file.strategies.as_ref().filter(|_| file.dense).map(|(first, _)| first.clone())).collect()
    }

    fn table_schema_for_files(&self) -> DfResult<TableSchema> {
        let schema = self.shape.table_schema();
        let partition = self.shape.partition_columns().into_iter().map(|name| Ok(Arc::new(schema.field_with_name(name)?.clone())));
        Ok(TableSchema::builder(self.shape.read_schema()).with_table_partition_cols(partition.collect::<DfResult<Vec<_>>>()?).build())
    }

    /// The files with what is known of each.
    async fn partitioned_files(&self, reader: &RowReader) -> Vec<PartitionedFile> {
        let shape = Arc::new(self.shape.clone());
        let files: Vec<PartitionedFile> = self.files.iter().map(|file| file.partitioned(&shape, false)).collect();
        if overlapping(&files).is_empty() {
            return files;
        }
        // A file that cannot be read is the business of the query that needs it.
        let apart = hold_other_strategies(reader, &files).await.unwrap_or(false);
        self.files.iter().map(|file| file.partitioned(&shape, apart)).collect()
    }

    /// Scans the table, of dense files only the rows of `strategies`, whose names ascend; other files give more.
    ///
    /// # Errors
    /// A filter that is no expression over the table.
    pub(super) async fn scan_strategies(
        &self,
        state: &dyn Session,
        strategies: Option<&[&str]>,
        args: ScanArgs<'_>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let projection = args.projection().map(<[usize]>::to_vec);
        let files = self.table_schema_for_files()?;
        let table_schema = self.shape.table_schema();
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(datafusion::common::project_schema(&table_schema, projection.as_ref())?)));
        }
        let url = ObjectStoreUrl::parse(&self.root.url()[..url::Position::BeforePath])?;
        // Footers are kept for the next query: a file of a strategy table never changes under its name.
        let runtime = state.runtime_env();
        let footers = CachedParquetFileReaderFactory::new(runtime.object_store(&url)?, runtime.cache_manager.get_file_metadata_cache());
        let table_files = files.clone();
        let mut source = ParquetSource::new(files).with_pushdown_filters(false).with_parquet_file_reader_factory(Arc::new(footers));
        if let Some(filter) = conjunction(args.filters().unwrap_or_default().to_vec()) {
            let schema = DFSchema::try_from(Arc::clone(&table_schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        let reader = RowReader::new(url.clone(), table_files, state.task_ctx());
        let mut files = self.partitioned_files(&reader).await;
        if let Some(strategies) = strategies {
            files = only_rows_of(strategies, &reader, files).await;
        }
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(files.into_iter().map(|file| FileGroup::new(vec![file])).collect())
            .with_output_ordering(self.file_ordering()?.into_iter().collect())
            .with_projection_indices(projection)?
            .with_limit(args.limit())
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Ordering that every file has; none when another program has added files.
    fn file_ordering(&self) -> DfResult<Option<LexOrdering>> {
        if !self.files.iter().all(|file| file.sorted) {
            return Ok(None);
        }
        let schema = self.shape.table_schema();
        let sorted = self.shape.file_order().into_iter();
        let exprs = sorted.map(|name| Ok(PhysicalSortExpr::new_default(col(name, &schema)?))).collect::<DfResult<Vec<_>>>()?;
        Ok(LexOrdering::new(exprs))
    }
}

fn object_meta(location: Path, size: u64, modified_ms: i64) -> ObjectMeta {
    let last_modified = DateTime::from_timestamp_millis(modified_ms).unwrap_or_default();
    ObjectMeta { location, last_modified, size, e_tag: None, version: None }
}

impl From<&StrategyFile> for ScannedFile {
    fn from(file: &StrategyFile) -> Self {
        let meta = object_meta(file.path.clone(), file.size_bytes, file.modified_ms);
        Self {
            key: file.key,
            meta,
            rows: file.rows,
            dates: file.dates,
            strategies: file.strategies.clone(),
            dense: file.dense,
            sorted: file.sorted,
        }
    }
}

impl ScannedFile {
    fn partitioned(&self, shape: &Arc<StrategyShape>, apart: bool) -> PartitionedFile {
        let values = self.key.values().into_iter().map(|(_, value)| ScalarValue::Int32(Some(value))).collect();
        let mut file = PartitionedFile::new_from_meta(self.meta.clone());
        file.partition_values = values;
        let (dates, strategies) = (self.dates, self.strategies.clone());
        let facts = RunFile { shape: Arc::clone(shape), rows: self.rows, dates, strategies, sorted: self.sorted, apart };
        file.with_statistics(Arc::new(self.statistics(&shape.read_schema()))).with_extension(facts)
    }

    /// Facts of the file for its own columns; unknown columns stay unknown.
    fn statistics(&self, schema: &SchemaRef) -> Statistics {
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = self.rows.map_or(Precision::Absent, |rows| Precision::Exact(rows as usize));
        for (field, column) in schema.fields().iter().zip(&mut statistics.column_statistics) {
            match field.name().as_str() {
                "date" => bounded(column, self.dates.map(|(a, b)| (ScalarValue::Date32(Some(a)), ScalarValue::Date32(Some(b))))),
                "strategy" => {
                    let text = |name: &String| ScalarValue::Utf8View(Some(name.clone()));
                    bounded(column, self.strategies.as_ref().map(|(a, b)| (text(a), text(b))));
                }
                _ => {}
            }
        }
        statistics
    }
}

/// Restricts dense files to the rows of some strategies; a file that cannot be read is the business of the query that needs it.
async fn only_rows_of(strategies: &[&str], reader: &RowReader, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
    let mut restricted = Vec::with_capacity(files.len());
    for file in files {
        let found = rows_of_strategies(reader, &file, strategies).await.unwrap_or_default();
        restricted.push(match found {
            Some((rows, total)) => {
                let selection = RowSelection::from_consecutive_ranges(rows.into_iter(), total);
                file.with_extension(ParquetRowSelection::new(selection))
            }
            None => file,
        });
    }
    restricted
}

fn bounded(column: &mut ColumnStatistics, range: Option<(ScalarValue, ScalarValue)>) {
    if let Some((low, high)) = range {
        column.min_value = Precision::Exact(low);
        column.max_value = Precision::Exact(high);
        column.null_count = Precision::Exact(0);
    }
}

#[async_trait]
impl TableProvider for StrategyScan {
    fn schema(&self) -> SchemaRef {
        self.shape.table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.scan_strategies(
            state,
            None,
            ScanArgs::default().with_projection(projection.map(Vec::as_slice)).with_filters(Some(filters)).with_limit(limit),
        )
        .await
    }
}

/// The time order of a strategy table, for path metrics without `ORDER BY`: `date, [slot], strategy`, each strategy a series of its own
/// where the table has more than one.
pub fn strategy_time_order(provider: &dyn TableProvider) -> Option<TimeOrder> {
    let scan = provider.downcast_ref::<StrategyScan>()?;
    let keys = scan.shape.key().into_iter().map(|name| column(name).sort(true, false)).collect();
    let series = (!scan.holds_one_strategy()).then(|| Column::from_name("strategy"));
    Some(TimeOrder { keys, series })
}
