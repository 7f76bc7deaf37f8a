//! `system.strategies`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, JoinType};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::SessionContext;

use super::names;
use crate::catalog::DirectorySchema;
use crate::error::{Error, Result};
use crate::exec::StrategyScan;
use crate::storage::StrategyTable;

/// `system.strategies`: one row per strategy, counted from the data, in source order.
pub(super) async fn strategies(schema: &DirectorySchema, ctx: &SessionContext) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for name in names(schema).await? {
        let Ok(Some(table)) = StrategyTable::open(schema.root(), &name, None).await else { continue };
        batches.extend(strategies_of(ctx, &name, &table).await?.collect().await?);
    }
    let schema = strategies_schema();
    let conform = |batch: RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec());
    let batches = batches.into_iter().map(conform).collect::<std::result::Result<Vec<_>, _>>();
    let joined = batches.and_then(|batches| datafusion::arrow::compute::concat_batches(&schema, &batches));
    joined.map_err(|e| Error::Internal(e.to_string()))
}

pub(super) fn strategies_schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let number = |name| Field::new(name, DataType::Int64, true);
    let date = |name| Field::new(name, DataType::Date32, true);
    Arc::new(Schema::new(vec![
        text("table_name"),
        text("strategy"),
        number("ordinal"),
        number("n_values"),
        number("n_null"),
        date("first_date"),
        date("last_date"),
        text("import_id"),
    ]))
}

async fn strategies_of(ctx: &SessionContext, name: &str, table: &StrategyTable) -> Result<datafusion::prelude::DataFrame> {
    let c = |name: &str| Expr::Column(Column::new_unqualified(name));
    let is_null = when(c("pnl").is_null(), lit(1_i64)).otherwise(lit(0_i64))?;
    let counted = ctx.read_table(Arc::new(StrategyScan::try_new(table)?))?.aggregate(
        vec![c("strategy")],
        vec![
            count(c("pnl")).alias("n_values"),
            sum(is_null).alias("n_null"),
            min(c("date")).alias("first_date"),
            max(c("date")).alias("last_date"),
        ],
    )?;
    let register = match table.register().await? {
        Some(register) => numbered(&register)?,
        None => numbered(&RecordBatch::new_empty(Arc::new(Schema::new(vec![
            Field::new("strategy", DataType::Utf8, false),
            Field::new("import_id", DataType::Utf8, false),
        ]))))?,
    };
    let joined = counted.join(ctx.read_batch(register)?, JoinType::Left, &["strategy"], &["name"], None)?;
    let text = |e: Expr| datafusion::logical_expr::cast(e, DataType::Utf8);
    let columns = vec![
        lit(name).alias("table_name"),
        text(c("strategy")).alias("strategy"),
        c("ordinal"),
        c("n_values"),
        c("n_null"),
        c("first_date"),
        c("last_date"),
        c("import_id"),
    ];
    Ok(joined.sort(vec![c("ordinal").sort(true, false), c("strategy").sort(true, false)])?.select(columns)?)
}

/// The register with the row number as `ordinal` and the strategy as `name`.
fn numbered(register: &RecordBatch) -> Result<RecordBatch> {
    let ordinals: ArrayRef = Arc::new(Int64Array::from_iter_values(0..register.num_rows() as i64));
    let columns = [("name", Arc::clone(register.column(0))), ("import_id", Arc::clone(register.column(1))), ("ordinal", ordinals)];
    RecordBatch::try_from_iter(columns).map_err(|e| Error::Internal(e.to_string()))
}
