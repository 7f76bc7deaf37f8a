//! A session with the functions, small tables, and numbers out of queries.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Date32Array, Float64Array, RecordBatch};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};

/// Returns with wins, losses and a zero.
pub(crate) const R: &[f64] = &[0.01, -0.02, 0.03, -0.01, 0.02, 0.0, -0.005, 0.015];
/// Benchmark of [`R`].
pub(crate) const B: &[f64] = &[0.008, -0.015, 0.02, -0.012, 0.01, 0.002, -0.004, 0.009];
/// Returns with two drawdowns.
pub(crate) const D: &[f64] = &[0.05, -0.10, 0.02, -0.03, 0.12, 0.04, -0.01];
/// Currency profits.
pub(crate) const X: &[f64] = &[-30.0, 100.0, -50.0, 25.0, 0.0, -80.0, 60.0, 40.0];
/// Four returns.
pub(crate) const Q: &[f64] = &[0.01, -0.02, 0.03, -0.01];

/// 2024-01-01 in days since the epoch.
pub(crate) const DAY_ONE: i32 = 19_723;

/// A session of two partitions with every function.
pub(crate) fn session() -> SessionContext {
    session_of(2)
}

/// A session with so many partitions.
pub(crate) fn session_of(partitions: usize) -> SessionContext {
    let ctx = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions).with_batch_size(1024));
    datafusion_functions_finance::register_in(&ctx).unwrap();
    ctx
}

/// Values without NULLs.
pub(crate) fn some(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

/// Columns `d` (days from 2024-01-01), `x` and further ones.
pub(crate) fn batch(columns: &[(&str, Vec<Option<f64>>)]) -> RecordBatch {
    let rows = columns[0].1.len() as i32;
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values((0..rows).map(|i| DAY_ONE + i)));
    let named = columns.iter().map(|(name, values)| (*name, Arc::new(Float64Array::from(values.clone())) as ArrayRef, true));
    RecordBatch::try_from_iter_with_nullable(std::iter::once(("d", days, true)).chain(named)).unwrap()
}

/// Registers a table, its rows dealt to partitions as given.
pub(crate) fn register(ctx: &SessionContext, name: &str, partitions: Vec<Vec<RecordBatch>>) {
    let schema = partitions.iter().flatten().next().unwrap().schema();
    let _ = ctx.deregister_table(name);
    ctx.register_table(name, Arc::new(MemTable::try_new(schema, partitions).unwrap())).unwrap();
}

/// Registers one column `x`, its rows dealt in turn to three partitions that interleave in time.
pub(crate) fn register_series(ctx: &SessionContext, name: &str, values: &[Option<f64>]) {
    register_columns(ctx, name, &[("x", values.to_vec())]);
}

/// Registers columns, their rows dealt in turn to three partitions that interleave in time.
pub(crate) fn register_columns(ctx: &SessionContext, name: &str, columns: &[(&str, Vec<Option<f64>>)]) {
    let whole = batch(columns);
    let part = |k: usize| {
        let rows: Vec<usize> = (0..whole.num_rows()).filter(|i| i % 3 == k).rev().collect();
        vec![pick(&whole, &rows)]
    };
    register(ctx, name, (0..3).map(part).collect());
}

/// The given rows of a batch.
pub(crate) fn pick(batch: &RecordBatch, rows: &[usize]) -> RecordBatch {
    let rows: datafusion::arrow::array::UInt64Array = rows.iter().map(|&i| i as u64).collect();
    datafusion::arrow::compute::take_record_batch(batch, &rows).unwrap()
}

/// The rows of a query.
pub(crate) async fn rows(ctx: &SessionContext, sql: &str) -> Vec<Vec<ScalarValue>> {
    try_rows(ctx, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// The rows of a query, or its error.
pub(crate) async fn try_rows(ctx: &SessionContext, sql: &str) -> Result<Vec<Vec<ScalarValue>>> {
    let mut found = vec![];
    for batch in ctx.sql(sql).await?.collect().await? {
        for i in 0..batch.num_rows() {
            found.push(batch.columns().iter().map(|c| ScalarValue::try_from_array(c, i)).collect::<Result<_>>()?);
        }
    }
    Ok(found)
}

/// The message of a query that must fail.
pub(crate) async fn error(ctx: &SessionContext, sql: &str) -> String {
    match try_rows(ctx, sql).await {
        Ok(rows) => panic!("{sql} gave {rows:?}"),
        Err(e) => e.find_root().to_string(),
    }
}

/// The message of a query that planning alone must refuse: no row is read.
pub(crate) async fn refusal(ctx: &SessionContext, sql: &str) -> String {
    let planned = match ctx.sql(sql).await {
        Ok(frame) => frame.create_physical_plan().await.map(|_| ()),
        Err(e) => Err(e),
    };
    match planned {
        Ok(()) => panic!("{sql} was planned"),
        Err(e) => e.find_root().to_string(),
    }
}

/// A number, `None` for NULL.
pub(crate) fn number(value: &ScalarValue) -> Option<f64> {
    match value {
        ScalarValue::Float64(x) => *x,
        ScalarValue::Int64(x) => x.map(|x| x as f64),
        ScalarValue::Null => None,
        other => panic!("not a number: {other:?}"),
    }
}

/// The numbers of a query's first row.
pub(crate) async fn numbers(ctx: &SessionContext, sql: &str) -> Vec<Option<f64>> {
    rows(ctx, sql).await[0].iter().map(number).collect()
}

/// Equal up to `tolerance * max(1e-6, abs(b))`; NULL equals NULL, NaN equals NaN, and zero is +0.0.
pub(crate) fn close(a: Option<f64>, b: Option<f64>, tolerance: f64) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) if b.is_nan() => a.is_nan(),
        (Some(a), Some(b)) if b.is_infinite() => a == b,
        (Some(a), Some(b)) => (a - b).abs() <= tolerance * b.abs().max(1e-6) && !(a == 0.0 && a.is_sign_negative()),
        _ => false,
    }
}

/// The shared test data, if this checkout has it; says so when it does not.
#[expect(clippy::print_stdout, reason = "a skipped test must say so")]
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("TRANCHEDB_SHARED").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join("data").join(file);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there; set TRANCHEDB_SHARED", path.display());
    None
}

/// The values of a column.
pub(crate) fn column(rows: &[Vec<ScalarValue>], i: usize) -> Vec<Option<f64>> {
    rows.iter().map(|row| number(&row[i])).collect()
}
