//! The wide form of a strategy table: one row per period, one column per strategy.
//!
//! ```text
//! WidePivotExec: strategies=3            rows: periods in (date, slot) order
//!   CoalescePartitionsExec
//!     DataSourceExec: date, strategy, pnl    only the rows of the strategies asked for, and of one per dense file for its periods
//! ```
//!
//! The periods of the view do not depend on the columns asked for: a dense file tells them by any one strategy; where a
//! file is not dense, all its strategies are read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Float64Type, Int32Type, Schema, SchemaRef};
use datafusion::catalog::{ScanArgs, Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue, internal_datafusion_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, Partitioning, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use super::StrategyScan;
use crate::error::{Error, Result};

/// Strategies that are looked for in the statistics of row groups and pages.
const MOST_LISTED: usize = 64;

/// The wide view of a strategy table version.
#[derive(Debug)]
pub struct WideView {
    scan: StrategyScan,
    schema: SchemaRef,
    /// Number of key and context columns, which come first.
    period_columns: usize,
}

impl WideView {
    /// A view with these strategies, in this order.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a strategy has the name of a key or context column.
    pub fn try_new(scan: StrategyScan, strategies: &[String]) -> Result<Self> {
        let long = scan.shape().read_schema();
        let own = |name: &str| !matches!(name, "strategy" | "pnl");
        let mut fields: Vec<Field> = long.fields().iter().filter(|f| own(f.name())).map(|f| f.as_ref().clone()).collect();
        let period_columns = fields.len();
        if let Some(clash) = strategies.iter().find(|name| fields.iter().any(|f| f.name() == *name)) {
            return Err(Error::Conflict(format!(
                "the wide view would have two columns '{clash}': a strategy has the name of a context column"
            )));
        }
        fields.extend(strategies.iter().map(|name| Field::new(name, DataType::Float64, true)));
        Ok(Self { scan, schema: Arc::new(Schema::new(fields)), period_columns })
    }

    /// Only filters on the key of a period go below: context may differ from strategy to strategy, and a row that is dropped
    /// below would take its value out of the period.
    fn is_period_filter(filter: &Expr) -> bool {
        filter.column_refs().iter().all(|c| matches!(c.name(), "date" | "slot"))
    }

    /// The strategies asked for and one of each file, in order, where each file can tell its periods by one of its own; `None` where all
    /// are needed.
    fn strategies_to_read<'a>(&self, witnesses: &'a [String], wanted: &[&'a str]) -> Option<Vec<&'a str>> {
        let all = self.schema.fields().len() - self.period_columns;
        let mut names: Vec<&str> = witnesses.iter().map(String::as_str).chain(wanted.iter().copied()).collect();
        names.sort_unstable();
        names.dedup();
        (names.len() < all).then_some(names)
    }
}

/// Where files cannot tell which rows are whose, their statistics leave out parts without these strategies.
fn among(names: &[&str]) -> Expr {
    // Literals in the column's own type: this filter is built after type coercion.
    let names = names.iter().map(|name| lit(ScalarValue::Utf8View(Some((*name).to_owned()))));
    col("strategy").in_list(names.collect(), false)
}

#[async_trait]
impl TableProvider for WideView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        let pushed = |filter: &&Expr| match Self::is_period_filter(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(pushed).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let schema = datafusion::common::project_schema(&self.schema, projection)?;
        let (period, wanted): (Vec<_>, Vec<_>) = schema
            .fields()
            .iter()
            .map(|f| f.name().as_str())
            .partition(|name| self.schema.fields()[..self.period_columns].iter().any(|f| f.name() == name));
        let mut filters = filters.to_vec();
        let witnesses = self.scan.period_witnesses();
        let names = witnesses.as_deref().and_then(|witnesses| self.strategies_to_read(witnesses, &wanted));
        filters.extend(names.as_deref().filter(|names| names.len() <= MOST_LISTED).map(among));
        let long = self.scan.schema();
        let needed = |name: &str| self.scan.shape().key().contains(&name) || name == "pnl" || period.contains(&name);
        let columns: Vec<usize> = (0..long.fields().len()).filter(|&i| needed(long.field(i).name())).collect();
        let args = ScanArgs::default().with_projection(Some(&columns)).with_filters(Some(&filters));
        let rows = self.scan.scan_strategies(state, names.as_deref(), args).await?;
        Ok(Arc::new(WidePivotExec::new(rows, schema, self.period_columns_of(projection))))
    }
}

impl WideView {
    /// For each projected column whether it is a period column.
    fn period_columns_of(&self, projection: Option<&Vec<usize>>) -> Vec<bool> {
        match projection {
            Some(indices) => indices.iter().map(|&i| i < self.period_columns).collect(),
            None => (0..self.schema.fields().len()).map(|i| i < self.period_columns).collect(),
        }
    }
}

/// Turns rows `(period columns, strategy, pnl)` in any order into one row per period.
#[derive(Debug)]
struct WidePivotExec {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    is_period: Vec<bool>,
    properties: Arc<PlanProperties>,
}

impl WidePivotExec {
    fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, is_period: Vec<bool>) -> Self {
        let equivalence = EquivalenceProperties::new(Arc::clone(&schema));
        let properties = PlanProperties::new(equivalence, Partitioning::UnknownPartitioning(1), EmissionType::Final, Boundedness::Bounded);
        Self { input, schema, is_period, properties: Arc::new(properties) }
    }
}

impl DisplayAs for WidePivotExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WidePivotExec: strategies={}", self.is_period.iter().filter(|period| !**period).count())
    }
}

impl ExecutionPlan for WidePivotExec {
    fn name(&self) -> &'static str {
        "WidePivotExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("WidePivotExec needs one input"))?;
        Ok(Arc::new(Self::new(input, Arc::clone(&self.schema), self.is_period.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let mut rows = self.input.execute(partition, Arc::clone(&context))?;
        let (schema, is_period) = (Arc::clone(&self.schema), self.is_period.clone());
        let batch_rows = context.session_config().batch_size();
        let pool = Arc::clone(context.memory_pool());
        let pivoted = async move {
            let reservation = MemoryConsumer::new("WidePivotExec").register(&pool);
            let input = rows.schema();
            let mut batches = Vec::new();
            while let Some(batch) = rows.next().await.transpose()? {
                reservation.try_grow(batch.get_array_memory_size())?;
                batches.push(batch);
            }
            let columns = schema.fields().len() - is_period.iter().filter(|p| **p).count();
            let rows = Pivot::collect(&input, &batches, &|periods| reservation.try_grow(columns * periods * size_of::<Option<f64>>()))?;
            let wide = rows.wide_batch(&schema, &is_period)?;
            let starts = (0..wide.num_rows()).step_by(batch_rows.max(1));
            let parts: Vec<_> = starts.map(|start| Ok(wide.slice(start, batch_rows.min(wide.num_rows() - start)))).collect();
            Ok::<_, DataFusionError>(futures::stream::iter(parts))
        };
        let stream = futures::stream::once(pivoted).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }
}

/// The long rows with the place of each in the wide form.
struct Pivot {
    rows: RecordBatch,
    /// For each period in order: a row that carries its key and context.
    witness: Vec<u32>,
    /// Period number of each row.
    period_of: Vec<u32>,
}

impl Pivot {
    fn collect(schema: &SchemaRef, batches: &[RecordBatch], grow: &dyn Fn(usize) -> DfResult<()>) -> DfResult<Self> {
        let rows = concat_batches(schema, batches)?;
        let dates = column(&rows, "date")?.as_primitive::<Date32Type>().clone();
        let slots = rows.column_by_name("slot").map(|c| c.as_primitive::<Int32Type>().clone());
        let mut periods: BTreeMap<(i32, i32), (u32, u32)> = BTreeMap::new();
        let key = |row: usize| (dates.value(row), slots.as_ref().map_or(0, |s| s.value(row)));
        let names = column(&rows, "strategy")?.as_string_view();
        for row in 0..rows.num_rows() {
            // The context of a period is that of its first strategy by name, whatever order the rows arrive in.
            let witness = periods.entry(key(row)).or_insert((row as u32, 0));
            if names.value(row) < names.value(witness.0 as usize) {
                witness.0 = row as u32;
            }
        }
        grow(periods.len())?;
        for (number, place) in periods.values_mut().enumerate() {
            place.1 = number as u32;
        }
        let period_of = (0..rows.num_rows()).map(|row| periods[&key(row)].1).collect();
        Ok(Self { witness: periods.values().map(|(row, _)| *row).collect(), period_of, rows })
    }

    fn wide_batch(&self, schema: &SchemaRef, is_period: &[bool]) -> DfResult<RecordBatch> {
        let mut values = self.values(schema, is_period)?;
        let witness = UInt32Array::from(self.witness.clone());
        let columns = schema.fields().iter().zip(is_period).map(|(field, period)| {
            if *period {
                return Ok(take(column(&self.rows, field.name())?, &witness, None)?);
            }
            let series = values.remove(field.name().as_str()).unwrap_or_else(|| vec![None; self.witness.len()]);
            Ok(Arc::new(Float64Array::from(series)) as ArrayRef)
        });
        let columns = columns.collect::<DfResult<Vec<_>>>()?;
        let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(self.witness.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// One series per strategy asked for, over all periods.
    fn values<'a>(&self, schema: &'a SchemaRef, is_period: &[bool]) -> DfResult<HashMap<&'a str, Vec<Option<f64>>>> {
        let wanted = schema.fields().iter().zip(is_period).filter(|(_, period)| !**period);
        let mut values: HashMap<&str, Vec<Option<f64>>> =
            wanted.map(|(f, _)| (f.name().as_str(), vec![None; self.witness.len()])).collect();
        let names = column(&self.rows, "strategy")?.as_string_view();
        let pnl = column(&self.rows, "pnl")?.as_primitive::<Float64Type>();
        let mut start = 0;
        while start < names.len() {
            let name = names.value(start);
            let end = (start..names.len()).find(|&row| names.value(row) != name).unwrap_or(names.len());
            if let Some(series) = values.get_mut(name) {
                for row in start..end {
                    series[self.period_of[row] as usize] = pnl.is_valid(row).then(|| pnl.value(row));
                }
            }
            start = end;
        }
        Ok(values)
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> DfResult<&'a ArrayRef> {
    rows.column_by_name(name).ok_or_else(|| internal_datafusion_err!("the wide view misses column {name}"))
}
