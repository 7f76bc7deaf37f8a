//! A table of which only some columns are shown.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Result as DfResult, Statistics};
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingTable, ListingTableConfig};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Some columns of a table, in its order: for queries, not for changes.
#[derive(Debug)]
pub(super) struct NarrowTable {
    table: Arc<dyn TableProvider>,
    /// Places of the columns in the table, ascending.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// Whether scans gather the statistics of files.
    gathers_statistics: bool,
}

impl NarrowTable {
    /// The columns whose names are `wanted`, and always the first, since rows without columns are a case of their own.
    pub(super) fn of(table: Arc<dyn TableProvider>, wanted: impl Fn(&str) -> bool) -> Self {
        let whole = table.schema();
        let columns: Vec<usize> = (0..whole.fields().len()).filter(|&at| at == 0 || wanted(whole.field(at).name())).collect();
        let fields: Vec<_> = columns.iter().map(|&at| Arc::clone(&whole.fields()[at])).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, whole.metadata().clone()));
        Self { table, columns, schema, gathers_statistics: true }
    }
}

/// Parquet files with no other columns than these, which the reader finds by their names; `None` for other tables.
///
/// Their statistics are not gathered: finding a column takes as long as there are columns in the file, whichever are read.
pub(super) fn narrow_files(table: &Arc<dyn TableProvider>, wanted: impl Fn(&str) -> bool) -> Option<Arc<dyn TableProvider>> {
    let files = table.downcast_ref::<ListingTable>()?;
    let options = files.options();
    let by_name = options.format.is::<ParquetFormat>();
    if !by_name || !options.file_sort_order.is_empty() || options.output_partitioning.is_some() {
        return None;
    }
    let whole = files.schema();
    let from_path = |name: &str| options.table_partition_cols.iter().any(|(column, _)| column == name);
    let in_files = whole.fields().iter().filter(|field| !from_path(field.name())).enumerate();
    let fields: Vec<_> = in_files.filter(|(at, field)| *at == 0 || wanted(field.name())).map(|(_, field)| Arc::clone(field)).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, whole.metadata().clone()));
    let config =
        ListingTableConfig::new_with_multi_paths(files.table_paths().clone()).with_listing_options(options.clone()).with_schema(schema);
    let narrow = ListingTable::try_new(config).ok()?;
    let schema = narrow.schema();
    let columns = (0..schema.fields().len()).collect();
    Some(Arc::new(NarrowTable { table: Arc::new(narrow), columns, schema, gathers_statistics: false }))
}

#[async_trait]
impl TableProvider for NarrowTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.table.get_table_definition()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.table.get_column_default(column)
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics().map(|whole| whole.project(Some(&self.columns)))
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default().with_projection(projection.map(Vec::as_slice)).with_filters(Some(filters)).with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DfResult<ScanResult> {
        let places: Vec<usize> = match args.projection() {
            Some(projection) => projection.iter().map(|&at| self.columns[at]).collect(),
            None => self.columns.clone(),
        };
        let args = args.with_projection(Some(&places));
        let quiet = if self.gathers_statistics { None } else { without_statistics(state) };
        match quiet {
            Some(state) => self.table.scan_with_args(&state, args).await,
            None => self.table.scan_with_args(state, args).await,
        }
    }
}

/// The session, set to plan without statistics of files.
fn without_statistics(state: &dyn Session) -> Option<SessionState> {
    let mut state = state.as_any().downcast_ref::<SessionState>()?.clone();
    state.config_mut().options_mut().execution.collect_statistics = false;
    Some(state)
}
