//! HeavyDB's logs and the dialect's functions as tables.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, ScalarValue, plan_err};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion_heavydb::functions::{Action, Implementation, aggregates, functions, windows};
use datafusion_heavydb::replay::input::{Call, Problem, log_calls, redact};

/// Calls of a log that make one batch.
const BATCH_CALLS: usize = 1_024;

/// Bytes of queries above which a batch ends sooner: one query may have 40 MB.
const BATCH_BYTES: usize = 16 << 20;

/// A table function of the engine.
pub struct TableFunction {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What its rows are, in one line.
    pub summary: &'static str,
    make: fn() -> Arc<dyn TableFunctionImpl>,
}

/// Every one.
pub const TABLE_FUNCTIONS: &[TableFunction] = &[
    TableFunction {
        name: "heavydb_log",
        signature: "heavydb_log('path')",
        summary: "The calls of a HeavyDB server log (also .gz), one row a call that ended: ts, function, database, user, session, client, query, execution_ms, total_ms, ok, and problem where a record cannot be read.",
        make: || Arc::new(LogFunction),
    },
    TableFunction {
        name: "heavydb_functions",
        signature: "heavydb_functions()",
        summary: "The functions of HeavyDB's dialect and what becomes of each: name, arguments, kind, action, detail, example, value.",
        make: || Arc::new(FunctionsFunction),
    },
];

/// Makes the functions known to a session.
pub fn register_table_functions(state: &mut SessionState) {
    for function in TABLE_FUNCTIONS {
        state.register_udtf(function.name, (function.make)());
    }
}

/// `heavydb_log('path')`.
#[derive(Debug)]
struct LogFunction;

impl TableFunctionImpl for LogFunction {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> DfResult<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(path)) | ScalarValue::Utf8View(Some(path)), _)] = arguments.exprs() else {
            return plan_err!("heavydb_log needs the path of a server log: heavydb_log('/var/lib/heavyai/data/log/heavydb.INFO')");
        };
        // What is no log is refused when the query is planned.
        drop(log_calls(path.as_ref()).map_err(|error| DataFusionError::Plan(error.to_string()))?);
        let log = Log { path: path.into(), schema: log_schema() };
        Ok(Arc::new(StreamingTable::try_new(log_schema(), vec![Arc::new(log)])?))
    }
}

/// One log, read as it is asked for.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    schema: SchemaRef,
}

impl PartitionStream for Log {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches: Box<dyn Iterator<Item = DfResult<RecordBatch>> + Send> = match log_calls(&self.path) {
            Err(error) => Box::new(std::iter::once(Err(DataFusionError::Execution(error.to_string())))),
            Ok(calls) => {
                let mut calls = calls.filter(|call| call.as_ref().map_or(true, |call| !call.begin));
                Box::new(std::iter::from_fn(move || {
                    let batch = next_calls(&mut calls);
                    (!batch.is_empty()).then(|| log_batch(&schema, &batch))
                }))
            }
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}

/// The calls of one batch.
fn next_calls(calls: &mut impl Iterator<Item = Result<Call, Problem>>) -> Vec<Result<Call, Problem>> {
    let mut bytes = 0;
    let mut batch = Vec::new();
    while batch.len() < BATCH_CALLS && bytes < BATCH_BYTES {
        let Some(call) = calls.next() else { break };
        bytes += call.as_ref().ok().and_then(|call| call.query.as_ref()).map_or(0, String::len);
        batch.push(call);
    }
    batch
}

fn log_schema() -> SchemaRef {
    let columns = [
        ("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("function", DataType::Utf8),
        ("database", DataType::Utf8),
        ("user", DataType::Utf8),
        ("session", DataType::Utf8),
        ("client", DataType::Utf8),
        ("query", DataType::Utf8),
        ("execution_ms", DataType::Float64),
        ("total_ms", DataType::Float64),
        ("duration_ms", DataType::Float64),
        ("ok", DataType::Boolean),
        ("match_id", DataType::Int64),
        ("pid", DataType::Int64),
        ("line", DataType::UInt64),
        ("problem", DataType::Utf8),
    ];
    Arc::new(Schema::new(columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect::<Vec<_>>()))
}

fn log_batch(schema: &SchemaRef, calls: &[Result<Call, Problem>]) -> DfResult<RecordBatch> {
    fn text(calls: &[Result<Call, Problem>], get: impl Fn(&Call) -> Option<String>) -> ArrayRef {
        let value = |call: &Result<Call, Problem>| call.as_ref().ok().and_then(&get).filter(|text| !text.is_empty());
        Arc::new(calls.iter().map(value).collect::<StringArray>())
    }
    fn number(calls: &[Result<Call, Problem>], get: impl Fn(&Call) -> Option<f64>) -> ArrayRef {
        Arc::new(calls.iter().map(|call| call.as_ref().ok().and_then(&get)).collect::<Float64Array>())
    }
    fn integer(calls: &[Result<Call, Problem>], get: impl Fn(&Call) -> u64) -> ArrayRef {
        Arc::new(calls.iter().map(|call| call.as_ref().ok().and_then(|call| i64::try_from(get(call)).ok())).collect::<Int64Array>())
    }
    let micros = |call: &Result<Call, Problem>| call.as_ref().ok().map(|call| call.timestamp.and_utc().timestamp_micros());
    let line = |call: &Result<Call, Problem>| call.as_ref().map_or_else(|problem| problem.line, |call| call.line);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(calls.iter().map(micros).collect::<TimestampMicrosecondArray>()),
        text(calls, |call| Some(call.function.clone())),
        text(calls, |call| Some(call.database.clone())),
        text(calls, |call| Some(call.user.clone())),
        text(calls, |call| Some(call.session.clone())),
        text(calls, |call| call.client.clone()),
        text(calls, |call| call.query.as_deref().map(|query| redact(query).into_owned())),
        number(calls, |call| call.execution_ms),
        number(calls, |call| call.total_ms),
        number(calls, |call| Some(call.duration_ms)),
        Arc::new(calls.iter().map(|call| call.as_ref().ok().map(Call::is_ok)).collect::<BooleanArray>()),
        integer(calls, |call| call.match_id),
        integer(calls, |call| call.pid),
        Arc::new(calls.iter().map(|call| Some(line(call))).collect::<UInt64Array>()),
        Arc::new(calls.iter().map(|call| call.as_ref().err().map(|problem| problem.what.clone())).collect::<StringArray>()),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// `heavydb_functions()`.
#[derive(Debug)]
struct FunctionsFunction;

/// What a column shows of a function.
type Shown = fn(&datafusion_heavydb::functions::Function) -> Option<String>;

/// The columns of `heavydb_functions()`: name and value of a function.
const FUNCTION_COLUMNS: &[(&str, Shown)] = &[
    ("name", |function| Some(function.name.to_owned())),
    ("arguments", |function| Some(function.arguments.to_owned())),
    ("kind", |function| Some(kind(function).to_owned())),
    ("action", |function| Some(action(&function.action).0.to_owned())),
    ("detail", |function| Some(action(&function.action).1.unwrap_or(function.doc).to_owned())),
    ("example", |function| Some(function.example.sql.to_owned()).filter(|text| !text.is_empty())),
    ("value", |function| Some(function.example.value.to_owned()).filter(|_| !function.example.sql.is_empty())),
];

impl TableFunctionImpl for FunctionsFunction {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> DfResult<Arc<dyn TableProvider>> {
        if !arguments.exprs().is_empty() {
            return plan_err!("heavydb_functions takes no arguments");
        }
        let mut all: Vec<_> = functions().collect();
        all.sort_by_key(|function| function.name);
        let fields: Vec<Field> = FUNCTION_COLUMNS.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = FUNCTION_COLUMNS
            .iter()
            .map(|(_, value)| Arc::new(all.iter().map(|function| value(function)).collect::<StringArray>()) as ArrayRef);
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

fn kind(function: &datafusion_heavydb::functions::Function) -> &'static str {
    let is_in = |list: &[datafusion_heavydb::functions::Function]| list.iter().any(|entry| entry.name == function.name);
    match function.action {
        Action::Same(made) | Action::Renamed(_, made) | Action::Own(made) => match made {
            Implementation::Scalar(_) => "scalar",
            Implementation::Aggregate(_) => "aggregate",
            Implementation::Window(_) => "window",
        },
        Action::Rewritten(_) | Action::Refused(_) if is_in(aggregates::AGGREGATES) => "aggregate",
        Action::Rewritten(_) | Action::Refused(_) if is_in(windows::WINDOWS) => "window",
        Action::Rewritten(_) | Action::Refused(_) => "scalar",
    }
}

/// What becomes of a call, and what says more of it than its doc.
fn action(action: &Action) -> (&'static str, Option<&'static str>) {
    match action {
        Action::Same(_) => ("same", None),
        Action::Renamed(name, _) => ("renamed", Some(name)),
        Action::Own(_) => ("own", None),
        Action::Rewritten(text) => ("rewritten", Some(text)),
        Action::Refused(reason) => ("refused", Some(reason)),
    }
}
