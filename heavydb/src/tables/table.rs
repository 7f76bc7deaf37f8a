//! A table in memory, as a HeavyDB server has it: rows in order of insertion.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use datafusion::arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parking_lot::RwLock;

use super::definition::TableDefinition;
use super::stored::{Dictionaries, check, encode};
use crate::refusal::Refusal;
use crate::types::heavy_type::{HeavyType, Kind};

/// Rows below which batches are put together.
const BATCH_ROWS: usize = 8_192;

/// Small batches above which they are put together at once: each holds far more memory than its rows.
const MOST_SMALL: usize = 1_024;

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

impl Rows {
    /// How many small batches stand at the end.
    fn small(&self) -> usize {
        self.batches.iter().rev().take_while(|batch| batch.num_rows() < BATCH_ROWS).count()
    }

    /// Makes one batch of the small ones at the end.
    fn put_together(&mut self, schema: &SchemaRef) -> Result<()> {
        let from = self.batches.len() - self.small();
        if self.batches.len() - from > 1 {
            let together = concat_batches(schema, &self.batches[from..])?;
            self.batches.truncate(from);
            self.batches.push(compact(&together)?);
        }
        Ok(())
    }
}

/// Texts without the buffers of the batches that they came from, which may be far larger than they are.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => Arc::clone(column),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns.collect(), &options)?)
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

    /// The same rows under a definition of the same columns with other metadata.
    ///
    /// # Errors
    /// Columns of other types.
    pub(super) fn redefined(&self, definition: TableDefinition) -> Result<Self> {
        let mut rows = self.rows.read().clone();
        for batch in &mut rows.batches {
            *batch = RecordBatch::try_new(Arc::clone(&definition.schema), batch.columns().to_vec())?;
        }
        Ok(Self { definition, rows: RwLock::new(rows) })
    }

    /// The same rows, numbered by their places, whatever was deleted before.
    pub(super) fn numbered(&self) -> Self {
        let rows = Rows { were_deleted: false, ..self.rows.read().clone() };
        Self { definition: TableDefinition { options: vec![], ..self.definition.clone() }, rows: RwLock::new(rows) }
    }

    /// Says that places of rows no longer tell the order of insertion.
    pub(super) fn lose_positions(&self) {
        self.rows.write().were_deleted = true;
    }

    /// What `CREATE TABLE` said.
    pub fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    /// Adds rows of the table's schema, all or none; what was dropped, in words: texts that found no place in a small dictionary and are
    /// NULL.
    ///
    /// # Errors
    /// Values that a column cannot hold.
    pub(super) fn append_all(&self, batches: &[RecordBatch]) -> Result<Option<String>> {
        batches.iter().try_for_each(check)?;
        let sorted = self.sorted(batches)?;
        let batches = sorted.as_deref().unwrap_or(batches);
        let mut rows = self.rows.write();
        let mut dropped = 0;
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let (batch, without_place) = encode(batch, &mut rows.dictionaries)?;
            dropped += without_place;
            rows.batches.push(batch);
        }
        if rows.small() > MOST_SMALL {
            rows.put_together(&self.definition.schema)?;
        }
        Ok(dropped_note(dropped))
    }

    /// Puts other rows in the place of all; `were_deleted` when some are missing or stand in another order. What was dropped is told as by
    /// [`HeavyTable::append_all`].
    ///
    /// # Errors
    /// Values that a column cannot hold; the rows are then the old ones.
    pub(super) fn replace(&self, batches: &[RecordBatch], were_deleted: bool) -> Result<Option<String>> {
        batches.iter().try_for_each(check)?;
        let mut rows = self.rows.write();
        let mut next = Rows { were_deleted: rows.were_deleted || were_deleted, dictionaries: rows.dictionaries.clone(), ..Rows::default() };
        let mut dropped = 0;
        for batch in batches {
            let (batch, without_place) = encode(batch, &mut next.dictionaries)?;
            dropped += without_place;
            next.batches.push(batch);
        }
        *rows = next;
        Ok(dropped_note(dropped))
    }

    /// The rows in the order of the option `sort_column`, NULL first; `None` without that option.
    fn sorted(&self, batches: &[RecordBatch]) -> Result<Option<Vec<RecordBatch>>> {
        let Some(column) = self.definition.option("sort_column") else { return Ok(None) };
        let place = self.definition.schema.index_of(&column.to_lowercase())?;
        let whole = concat_batches(&self.definition.schema, batches)?;
        let keys = [SortColumn { values: Arc::clone(whole.column(place)), options: None }];
        // By position too, so that rows of one key keep their order.
        let positions = SortColumn { values: Arc::new((0..whole.num_rows() as u64).collect::<UInt64Array>()), options: None };
        let order = lexsort_to_indices(&keys.into_iter().chain([positions]).collect::<Vec<_>>(), None)?;
        Ok(Some(vec![take_record_batch(&whole, &order)?]))
    }

    /// Whether statements may change the rows.
    ///
    /// # Errors
    /// The table shows files.
    pub(super) fn check_writable(&self) -> Result<()> {
        match &self.definition.files {
            None => Ok(()),
            Some(_) => plan_err!("'{}' is a foreign table: its files are read, not written", self.definition.spelling),
        }
    }

    /// Whether every column of a projection may be read.
    ///
    /// # Errors
    /// A [`Refusal`](crate::Refusal) for columns of geometries.
    pub(super) fn check_readable(&self, projection: Option<&Vec<usize>>) -> Result<()> {
        let fields = self.definition.schema.fields();
        let places = projection.map_or_else(|| (0..fields.len()).collect(), Clone::clone);
        match places.into_iter().filter_map(|place| fields.get(place)).find(|field| is_geometry(field)) {
            None => Ok(()),
            Some(field) => {
                let column = format!("column {} of {}", field.name(), self.definition.spelling);
                Err(Refusal::new(column, "geometries may be kept in a table, but no query uses them").into())
            }
        }
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
        rows.put_together(&self.definition.schema)?;
        Ok(rows.batches.clone())
    }

    /// Whether positions of rows tell the order of insertion.
    pub(super) fn keeps_positions(&self) -> bool {
        self.definition.option("sort_column").is_none() && !self.rows.read().were_deleted
    }

    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.rows.read().batches.iter().map(RecordBatch::num_rows).sum()
    }
}

fn dropped_note(dropped: usize) -> Option<String> {
    (dropped > 0).then(|| format!("{dropped} texts found no place in a dictionary of 8 or 16 bits and are NULL, as in HeavyDB"))
}

fn is_geometry(field: &Field) -> bool {
    HeavyType::of(field).is_some_and(|heavy| matches!(heavy.kind, Kind::Geometry(_)))
}

impl HeavyTable {
    /// Scans with the columns under other names.
    ///
    /// # Errors
    /// A column that cannot be read.
    pub(super) fn scan_as(&self, schema: &SchemaRef, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        self.check_readable(projection)?;
        let batches = self.batches()?.into_iter().map(|batch| {
            RecordBatch::try_new_with_options(
                Arc::clone(schema),
                batch.columns().to_vec(),
                &RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            )
        });
        let partitions = [batches.collect::<Result<Vec<_>, _>>()?];
        Ok(MemorySourceConfig::try_new_exec(&partitions, Arc::clone(schema), projection.cloned())?)
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
        self.scan_as(&self.schema(), projection)
    }
}
