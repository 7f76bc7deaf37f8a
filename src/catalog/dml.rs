//! `INSERT`, `UPDATE` and `DELETE` on tables of the directory, each as one commit.
//!
//! The rows that stay are a query of their own, so that any predicate works, subqueries included:
//!
//! ```text
//! DELETE FROM t WHERE p              rows that stay:  SELECT * FROM t WHERE (p) IS NOT TRUE
//! UPDATE t SET c = e WHERE p         rows to be:      SELECT e AS c, ... FROM t WHERE p
//!                                                     UNION ALL SELECT * FROM t WHERE (p) IS NOT TRUE
//! ```
//!
//! A strategy table rewrites only the partitions that hold touched rows, sorted and checked like any import.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference, not_impl_err, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, WriteOp, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use deltalake::DeltaTable;
use deltalake::protocol::SaveMode;
use serde_json::json;

use super::ddl::{commit_write, own_name, write_plan};
use super::directory::DirectorySchema;
use crate::error::{Error, Result};
use crate::ingest::{ImportMode, extend_register, merge, write_rows};
use crate::storage::{PartitionKey, Root, StrategyChange, StrategyTable, commit_info, load_table};

/// Carries out a DML statement on a Delta or strategy table; `None` when the target lies in another schema.
///
/// `base` is the target as it was before the statement was planned: what another writer commits later makes the commit a
/// conflict, never a loss. The result has one column `count`: rows inserted, updated or deleted.
pub async fn execute_dml(
    ctx: &SessionContext,
    schema: &DirectorySchema,
    dml: &DmlStatement,
    (base, text): (Option<DeltaTable>, &str),
) -> Result<Option<DataFrame>> {
    let Some(name) = own_name(&dml.table_name) else { return Ok(None) };
    let Some(delta) = base else {
        // DataFusion would write into somebody's files, and half of them when it fails.
        let kind = schema.kind(name).await?.map_or_else(String::new, |kind| format!(" ({kind})"));
        return Err(Error::Usage(format!(
            "'{name}'{kind} is not a table that this database made, and {} changes only those\nhint: COPY (SELECT ...) TO 'FILE' writes files; CREATE TABLE t AS SELECT * FROM \"{name}\" makes a table of them",
            dml.op
        )));
    };
    let strategies = StrategyTable::of_delta(schema.root(), name, delta.clone())?;
    let rows = match (&dml.op, strategies) {
        (WriteOp::Insert(InsertOp::Append), Some(table)) => insert_strategies(ctx, table, dml, text).await?,
        (WriteOp::Delete | WriteOp::Update, Some(table)) => change_strategies(ctx, table, &Touched::of(dml)?, text).await?,
        (WriteOp::Insert(op), None) => insert_delta(ctx, schema.root(), (name, &delta), dml, *op).await?,
        (WriteOp::Delete | WriteOp::Update, None) => change_delta(ctx, schema.root(), (name, &delta), &Touched::of(dml)?).await?,
        (op, _) => return Ok(not_impl_err!("{op} on table '{name}': use INSERT, UPDATE or DELETE")?),
    };
    Ok(Some(count_frame(ctx, rows)?))
}

/// The target of a DML statement at its newest version; `None` when it is no Delta table of the directory.
pub async fn dml_base(schema: &DirectorySchema, target: &TableReference) -> Result<Option<DeltaTable>> {
    match own_name(target) {
        Some(name) if schema.root().table_url(name).is_ok() => load_table(schema.root(), name, None).await,
        _ => Ok(None),
    }
}

fn count_frame(ctx: &SessionContext, rows: u64) -> Result<DataFrame> {
    let schema = Arc::new(Schema::new(vec![Field::new("count", DataType::UInt64, false)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(UInt64Array::from(vec![rows]))]).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(ctx.read_batch(batch)?)
}

/// The rows an UPDATE or DELETE touches and what they become.
struct Touched {
    table: LogicalPlan,
    predicate: Expr,
    /// New columns for UPDATE; none for DELETE.
    assigned: Option<Vec<Expr>>,
}

impl Touched {
    fn of(dml: &DmlStatement) -> Result<Self> {
        let (input, assigned) = match (dml.input.as_ref(), &dml.op) {
            (LogicalPlan::Projection(projection), WriteOp::Update) => (projection.input.as_ref(), Some(projection.expr.clone())),
            (input, _) => (input, None),
        };
        let (table, predicate) = match input {
            LogicalPlan::Filter(filter) => (filter.input.as_ref(), named_subqueries(filter.predicate.clone())?),
            other => (other, lit(true)),
        };
        if !matches!(table, LogicalPlan::TableScan(_) | LogicalPlan::SubqueryAlias(_)) {
            return Ok(not_impl_err!("{} with several tables: put the other tables into a subquery of WHERE", dml.op)?);
        }
        if predicate.is_volatile() {
            return Ok(plan_err!("{} with a condition that changes from call to call: keep the rows' keys in a table first", dml.op)?);
        }
        Ok(Self { table: table.clone(), predicate, assigned })
    }

    fn touched(&self) -> Result<LogicalPlan> {
        Ok(LogicalPlanBuilder::from(self.table.clone()).filter(self.predicate.clone())?.build()?)
    }

    /// The whole table after the statement.
    fn after(&self) -> Result<LogicalPlan> {
        let untouched = LogicalPlanBuilder::from(self.table.clone()).filter(self.predicate.clone().is_not_true())?;
        let Some(assigned) = &self.assigned else { return Ok(untouched.build()?) };
        let names: Vec<String> = self.table.schema().columns().into_iter().map(|column| column.name).collect();
        let new = assigned.iter().zip(&names).map(|(value, name)| value.clone().unalias_nested().data.alias(name));
        let old = self.table.schema().columns().into_iter().map(|column| Expr::Column(column.clone()).alias(column.name));
        let updated = LogicalPlanBuilder::from(self.touched()?).project(new.collect::<Vec<_>>())?.build()?;
        Ok(untouched.project(old.collect::<Vec<_>>())?.union(updated)?.build()?)
    }

    /// Columns that an UPDATE assigns.
    fn assigned_columns(&self) -> Vec<String> {
        let old = self.table.schema().columns();
        let changed = self
            .assigned
            .iter()
            .flatten()
            .zip(old)
            .filter(|(value, column)| !matches!((*value).clone().unalias_nested().data, Expr::Column(c) if c == *column));
        changed.map(|(_, column)| column.name).collect()
    }
}

/// Gives the column of every `IN (SELECT ...)` a plain name: below `IS NOT TRUE` the optimizer mistakes a computed one for two.
fn named_subqueries(predicate: Expr) -> Result<Expr> {
    let named = predicate.transform(|expr| {
        let Expr::InSubquery(mut within) = expr else { return Ok(Transformed::no(expr)) };
        let plan = within.subquery.subquery.as_ref().clone();
        let column = plan.schema().columns().into_iter().next().map(|column| Expr::Column(column).alias("value"));
        within.subquery.subquery = Arc::new(LogicalPlanBuilder::from(plan).project(column)?.alias("listed")?.build()?);
        Ok(Transformed::yes(Expr::InSubquery(within)))
    });
    Ok(named?.data)
}

async fn count_rows(ctx: &SessionContext, plan: LogicalPlan) -> Result<u64> {
    Ok(DataFrame::new(ctx.state(), plan).count().await? as u64)
}

async fn insert_delta(
    ctx: &SessionContext,
    root: &Root,
    (name, table): (&str, &DeltaTable),
    dml: &DmlStatement,
    op: InsertOp,
) -> Result<u64> {
    let mode = match op {
        InsertOp::Append => SaveMode::Append,
        InsertOp::Overwrite => SaveMode::Overwrite,
        InsertOp::Replace => return Ok(not_impl_err!("REPLACE INTO: use UPDATE, or DELETE and INSERT")?),
    };
    let version = commit_write(root, name, table.version(), write_plan(ctx, table, dml.input.as_ref().clone(), mode)).await?;
    // Another writer may have committed since: the rows are told by the commit that was made here.
    let made = commit_info(name, table, version).await;
    let made =
        made.map_err(|e| Error::storage(format!("the rows are in version {version} of table '{name}', but reading their number"), e))?;
    let made = made.unwrap_or_default();
    let rows = &made["operationMetrics"]["num_added_rows"];
    let rows = rows.as_u64().or_else(|| rows.as_str()?.parse().ok());
    rows.ok_or_else(|| Error::Internal(format!("table '{name}': the commit tells no row count")))
}

async fn change_delta(ctx: &SessionContext, root: &Root, (name, table): (&str, &DeltaTable), touched: &Touched) -> Result<u64> {
    let rows = count_rows(ctx, touched.touched()?).await?;
    if rows > 0 {
        commit_write(root, name, table.version(), write_plan(ctx, table, touched.after()?, SaveMode::Overwrite)).await?;
    }
    Ok(rows)
}

async fn insert_strategies(ctx: &SessionContext, table: StrategyTable, dml: &DmlStatement, text: &str) -> Result<u64> {
    let mut change = StrategyChange::of(table);
    let rows = DataFrame::new(ctx.state(), dml.input.as_ref().clone());
    let outcome = async {
        write_rows(&mut change, rows).await?;
        let counts = merge(ctx, &mut change, ImportMode::Append).await?;
        extend_register(&mut change, &[], "").await?;
        Ok::<_, Error>(counts)
    };
    let outcome = outcome.await;
    settle(change, outcome, text).await.map(|counts| counts.written)
}

/// Commits a change whose preparation went well, abandons it otherwise.
async fn settle<T>(change: StrategyChange, outcome: Result<T>, text: &str) -> Result<T> {
    match outcome {
        Ok(value) => change.commit(json!({ "sql": text })).await.map(|_| value),
        Err(error) => change.abandon_after(error).await,
    }
}

async fn change_strategies(ctx: &SessionContext, table: StrategyTable, touched: &Touched, text: &str) -> Result<u64> {
    let shape = table.shape().clone();
    let key_columns = [shape.key(), shape.partition_columns()].concat();
    if let Some(column) = touched.assigned_columns().iter().find(|name| key_columns.contains(&name.as_str())) {
        return Ok(plan_err!("UPDATE of key column '{column}': delete the rows and insert them anew")?);
    }
    let (keys, rows) = touched_partitions(ctx, touched, &shape.partition_columns()).await?;
    if rows == 0 {
        return Ok(0);
    }
    let files = table.files()?;
    let mut change = StrategyChange::of(table);
    let after = DataFrame::new(ctx.state(), touched.after()?).filter(in_partitions(&keys))?;
    let outcome = write_rows(&mut change, after).await.map(|_| rows);
    for file in files.into_iter().filter(|file| keys.contains(&file.key)) {
        change.remove(file);
    }
    settle(change, outcome, text).await
}

/// Partitions with touched rows, and how many rows those are.
async fn touched_partitions(ctx: &SessionContext, touched: &Touched, columns: &[&str]) -> Result<(BTreeSet<PartitionKey>, u64)> {
    let groups = columns.iter().map(|name| Expr::Column(Column::new_unqualified(*name))).collect();
    let rows = DataFrame::new(ctx.state(), touched.touched()?).aggregate(groups, vec![count(lit(1)).alias("rows")])?;
    let mut keys = BTreeSet::new();
    let mut total = 0;
    for batch in rows.collect().await? {
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int32Type>().value(row);
        let counts = batch.column(columns.len()).as_primitive::<datafusion::arrow::datatypes::Int64Type>();
        for row in 0..batch.num_rows() {
            let month = (columns.len() > 1).then(|| number(1, row));
            keys.insert(PartitionKey { year: number(0, row), month });
            total += counts.value(row) as u64;
        }
    }
    Ok((keys, total))
}

fn in_partitions(keys: &BTreeSet<PartitionKey>) -> Expr {
    let equal = |(name, value): (&str, i32)| Expr::Column(Column::new_unqualified(name)).eq(lit(value));
    let one = |key: &PartitionKey| key.values().into_iter().map(equal).reduce(Expr::and).unwrap_or_else(|| lit(true));
    keys.iter().map(one).reduce(Expr::or).unwrap_or_else(|| lit(false))
}
