//! A table of which only some columns are shown.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Result as DfResult, Statistics};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// Some columns of a table, in its order: for queries, not for changes.
#[derive(Debug)]
pub(super) struct NarrowTable {
    table: Arc<dyn TableProvider>,
    /// Places of the columns in the table, ascending.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl NarrowTable {
    /// The columns whose names are `wanted`, and always the first, since rows without columns are a case of their own.
    pub(super) fn of(table: Arc<dyn TableProvider>, wanted: impl Fn(&str) -> bool) -> Self {
        let whole = table.schema();
        let columns: Vec<usize> = (0..whole.fields().len()).filter(|&at| at == 0 || wanted(whole.field(at).name())).collect();
        let fields: Vec<_> = columns.iter().map(|&at| Arc::clone(&whole.fields()[at])).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, whole.metadata().clone()));
        Self { table, columns, schema }
    }
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
        self.table.scan_with_args(state, args.with_projection(Some(&places))).await
    }
}
