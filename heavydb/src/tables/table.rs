//! A table in memory, as a HeavyDB server has it: rows in order of insertion.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::RwLock;

use super::definition::TableDefinition;
use super::stored::{Dictionaries, stored};

/// Rows below which batches are put together.
const BATCH_ROWS: usize = 8_192;

/// A table in memory.
pub struct HeavyTable {
    definition: TableDefinition,
    rows: RwLock<Rows>,
}

/// Batches in order of insertion.
#[derive(Debug, Clone, Default)]
struct Rows {
    batches: Vec<RecordBatch>,
    /// Whether rows were deleted: positions no longer tell the order of insertion.
    were_deleted: bool,
    dictionaries: Dictionaries,
}

impl fmt::Debug for HeavyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeavyTable").field("name", &self.definition.name).finish_non_exhaustive()
    }
}

impl HeavyTable {
    /// An empty table.
    pub fn new(definition: TableDefinition) -> Self {
        Self { definition, rows: RwLock::default() }
    }

    /// The same rows under another definition of the same columns.
    pub(super) fn renamed(&self, definition: TableDefinition) -> Self {
        Self { definition, rows: RwLock::new(self.rows.read().clone()) }
    }

    /// What `CREATE TABLE` said.
    pub fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// Adds rows of the table's schema; how many texts found no place in a small dictionary and are NULL.
    ///
    /// # Errors
    /// Values that a column cannot hold.
    pub(super) fn append(&self, batch: &RecordBatch) -> Result<usize> {
        let mut rows = self.rows.write();
        let (batch, dropped) = stored(batch, &mut rows.dictionaries)?;
        if batch.num_rows() > 0 {
            rows.batches.push(batch);
        }
        Ok(dropped)
    }

    /// Puts other rows in the place of all; `were_deleted` when some are missing.
    ///
    /// # Errors
    /// Values that a column cannot hold; the rows are then the old ones.
    pub(super) fn replace(&self, batches: &[RecordBatch], were_deleted: bool) -> Result<()> {
        let mut rows = self.rows.write();
        let mut next = Rows { were_deleted: rows.were_deleted || were_deleted, dictionaries: rows.dictionaries.clone(), ..Rows::default() };
        for batch in batches {
            next.batches.push(stored(batch, &mut next.dictionaries)?.0);
        }
        *rows = next;
        Ok(())
    }

    /// Takes all rows away; what is inserted then starts anew.
    pub(super) fn truncate(&self) {
        *self.rows.write() = Rows::default();
    }

    /// All rows in order of insertion.
    ///
    /// # Errors
    /// Arrow's, when small batches are put together.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let mut rows = self.rows.write();
        let small = rows.batches.iter().rev().take_while(|batch| batch.num_rows() < BATCH_ROWS).count();
        if small > 1 {
            let from = rows.batches.len() - small;
            let together = concat_batches(&self.definition.schema, &rows.batches[from..])?;
            rows.batches.truncate(from);
            rows.batches.push(together);
        }
        Ok(rows.batches.clone())
    }

    /// Whether positions of rows tell the order of insertion.
    pub(super) fn keeps_positions(&self) -> bool {
        !self.rows.read().were_deleted
    }

    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.rows.read().batches.iter().map(RecordBatch::num_rows).sum()
    }
}

#[async_trait]
impl TableProvider for HeavyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.definition.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let partitions = [self.batches()?];
        Ok(MemorySourceConfig::try_new_exec(&partitions, self.schema(), projection.cloned())?)
    }
}
