//! A table with its hidden columns.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::table::HeavyTable;
use crate::dialect::HIDDEN_COLUMNS;
use crate::refusal::Refusal;

/// Rows of a fragment, where `CREATE TABLE` does not say.
const FRAGMENT_ROWS: i64 = 32_000_000;

/// The columns of a table, then [`HIDDEN_COLUMNS`].
#[derive(Debug)]
pub(super) struct RowidTable {
    table: Arc<HeavyTable>,
    schema: SchemaRef,
}

impl RowidTable {
    pub(super) fn new(table: Arc<HeavyTable>) -> Self {
        let mut fields: Vec<Arc<Field>> = table.definition().schema.fields().iter().map(Arc::clone).collect();
        fields.extend(HIDDEN_COLUMNS.iter().map(|name| Arc::new(Field::new(*name, DataType::Int64, false))));
        Self { table, schema: Arc::new(Schema::new(fields)) }
    }

    fn fragment_rows(&self) -> i64 {
        let options = &self.table.definition().options;
        let rows = options.iter().find(|(name, _)| name == "fragment_size").and_then(|(_, value)| value.parse().ok());
        rows.filter(|rows| *rows > 0).unwrap_or(FRAGMENT_ROWS)
    }

    fn numbered(&self, batch: &RecordBatch, first: i64) -> Result<RecordBatch> {
        let rows = first..first + batch.num_rows() as i64;
        let size = self.fragment_rows();
        let hidden: [Int64Array; 3] = [
            rows.clone().collect::<Vec<_>>().into(),
            rows.clone().map(|row| row / size).collect::<Vec<_>>().into(),
            rows.map(|row| row % size).collect::<Vec<_>>().into(),
        ];
        let columns = batch.columns().iter().map(Arc::clone).chain(hidden.into_iter().map(|column| Arc::new(column) as ArrayRef));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect())?)
    }
}

#[async_trait]
impl TableProvider for RowidTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(&self, _: &dyn Session, projection: Option<&Vec<usize>>, _: &[Expr], _: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        let first_hidden = self.schema.fields().len() - HIDDEN_COLUMNS.len();
        let are_hidden_read = projection.is_none_or(|places| places.iter().any(|place| *place >= first_hidden));
        if are_hidden_read && !self.table.keeps_positions() {
            let name = &self.table.definition().spelling;
            return Err(Refusal::new(format!("rowid of {name}"), "rows were deleted, so the order of insertion is not known").into());
        }
        self.table.check_readable(projection)?;
        let mut first = 0;
        let mut batches = Vec::new();
        for batch in self.table.batches()? {
            batches.push(self.numbered(&batch, first)?);
            first += batch.num_rows() as i64;
        }
        Ok(MemorySourceConfig::try_new_exec(&[batches], self.schema(), projection.cloned())?)
    }
}
