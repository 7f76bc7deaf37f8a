//! What the statements of a session did: when, how long, how many rows, and how it ended.
//!
//! A statement that gives rows ends when its last row was read, long after it was planned. So its record goes with the session's state into
//! planning, where [`recorded`] puts an operator on top of the plan that only counts.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt};
use object_store_tiers::ReadFigures;
use parking_lot::Mutex;

/// Statements that are remembered.
const REMEMBERED: usize = 1_000;
/// Bytes of a statement that are remembered.
const TEXT_BYTES: usize = 4_096;

/// The last statements of a session.
#[derive(Debug, Default)]
pub struct QueryLog {
    records: Mutex<VecDeque<Arc<QueryRecord>>>,
    last: AtomicU64,
}

/// One statement.
#[derive(Debug)]
pub struct QueryRecord {
    /// Its number in the session, from 1.
    pub id: u64,
    /// Its text, cut where it is very long.
    pub text: String,
    /// When it was begun.
    pub started_at: SystemTime,
    started: Instant,
    rows: AtomicU64,
    state: Mutex<State>,
    /// Whether a plan was made whose rows are counted.
    claimed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    status: QueryStatus,
    planning: Option<Duration>,
    total: Option<Duration>,
    error: Option<String>,
    figures: Option<Arc<ReadFigures>>,
}

/// How far a statement has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueryStatus {
    /// It is being planned, or carried out if it has no rows.
    #[default]
    Begun,
    /// Nobody has asked for its rows yet.
    Planned,
    /// Its rows are being read.
    Running,
    /// It has come to its end.
    Done,
    /// It has come to an error.
    Failed,
    /// Its reader wanted no more rows, or it was cancelled.
    Stopped,
}

impl QueryStatus {
    /// The status as the system table says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What is known of a statement now.
#[derive(Debug, Clone)]
pub struct QueryFigures {
    /// How far it has come.
    pub status: QueryStatus,
    /// Time until it was planned; carried out, where it has no rows.
    pub planning: Option<Duration>,
    /// Time until its end.
    pub total: Option<Duration>,
    /// Rows that it has given.
    pub rows: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// What it has read from each tier, where it reads object stores.
    pub figures: Option<Arc<ReadFigures>>,
}

impl QueryLog {
    /// Remembers one more statement.
    pub fn begin(&self, text: &str) -> Arc<QueryRecord> {
        let end = text.floor_char_boundary(TEXT_BYTES);
        let record = Arc::new(QueryRecord {
            id: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            text: text[..end].to_owned(),
            started_at: SystemTime::now(),
            started: Instant::now(),
            rows: AtomicU64::new(0),
            state: Mutex::default(),
            claimed: AtomicBool::new(false),
        });
        let mut records = self.records.lock();
        records.truncate(REMEMBERED - 1);
        records.push_front(Arc::clone(&record));
        record
    }

    /// The statements that are remembered, newest first.
    pub fn records(&self) -> Vec<Arc<QueryRecord>> {
        self.records.lock().iter().cloned().collect()
    }
}

impl QueryRecord {
    /// Notes that the statement was planned, and what counts its reads from tiers.
    pub fn planned(&self, figures: Option<Arc<ReadFigures>>) {
        let mut state = self.state.lock();
        state.planning = Some(self.started.elapsed());
        state.figures = figures;
        if state.status == QueryStatus::Begun {
            state.status = QueryStatus::Planned;
        }
    }

    /// Notes the end of the statement; the first end counts.
    pub fn ended(&self, status: QueryStatus, error: Option<String>) {
        let mut state = self.state.lock();
        if state.total.is_none() {
            (state.status, state.error, state.total) = (status, error, Some(self.started.elapsed()));
        }
    }

    /// What is known now.
    pub fn figures(&self) -> QueryFigures {
        let state = self.state.lock();
        QueryFigures {
            status: state.status,
            planning: state.planning,
            total: state.total,
            rows: self.rows.load(Ordering::Relaxed),
            error: state.error.clone(),
            figures: state.figures.clone(),
        }
    }

    /// Whether the caller is the first to make a plan for it: only the plan of the statement itself is counted, none that is made to plan it.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    fn running(&self) {
        let mut state = self.state.lock();
        if state.total.is_none() {
            state.status = QueryStatus::Running;
        }
    }
}

/// The plan of a statement, whose rows and end go into its record.
pub fn recorded(plan: Arc<dyn ExecutionPlan>, record: Arc<QueryRecord>) -> Arc<dyn ExecutionPlan> {
    let partitions = plan.properties().partitioning.partition_count();
    Arc::new(RecordedExec { plan, record, unfinished: Arc::new(AtomicUsize::new(partitions)) })
}

/// Passes rows on and counts them.
#[derive(Debug)]
struct RecordedExec {
    plan: Arc<dyn ExecutionPlan>,
    record: Arc<QueryRecord>,
    /// Partitions that have not come to their end.
    unfinished: Arc<AtomicUsize>,
}

impl DisplayAs for RecordedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "RecordedExec")
    }
}

impl ExecutionPlan for RecordedExec {
    fn name(&self) -> &'static str {
        "RecordedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = children.pop().ok_or_else(|| internal_datafusion_err!("RecordedExec without a plan"))?;
        Ok(recorded(plan, Arc::clone(&self.record)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.record.running();
        let rows =
            self.plan.execute(partition, context).inspect_err(|error| self.record.ended(QueryStatus::Failed, Some(error.to_string())))?;
        Ok(Box::pin(RecordedRows { rows, record: Arc::clone(&self.record), unfinished: Arc::clone(&self.unfinished), is_over: false }))
    }
}

/// The rows of one partition.
struct RecordedRows {
    rows: SendableRecordBatchStream,
    record: Arc<QueryRecord>,
    unfinished: Arc<AtomicUsize>,
    is_over: bool,
}

impl Stream for RecordedRows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.rows.poll_next_unpin(cx));
        match &next {
            Some(Ok(batch)) => {
                self.record.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            }
            Some(Err(error)) => {
                self.is_over = true;
                self.record.ended(QueryStatus::Failed, Some(error.to_string()));
            }
            None if self.is_over => {}
            None => {
                self.is_over = true;
                if self.unfinished.fetch_sub(1, Ordering::Relaxed) == 1 {
                    self.record.ended(QueryStatus::Done, None);
                }
            }
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for RecordedRows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Drop for RecordedRows {
    fn drop(&mut self) {
        if !self.is_over {
            self.record.ended(QueryStatus::Stopped, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::{collect, execute_stream};
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn plan(ctx: &SessionContext, log: &QueryLog, sql: &str) -> (Arc<QueryRecord>, Arc<dyn ExecutionPlan>) {
        let record = log.begin(sql);
        let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        record.planned(None);
        (Arc::clone(&record), recorded(plan, record))
    }

    #[tokio::test]
    async fn a_record_tells_how_its_statement_ended() {
        let (ctx, log) = (SessionContext::new(), QueryLog::default());
        let series = "SELECT value FROM generate_series(1, 100000)";
        let (done, rows) = plan(&ctx, &log, series).await;
        assert_eq!(done.figures().status, QueryStatus::Planned);
        collect(rows, ctx.task_ctx()).await.unwrap();
        assert_eq!((done.figures().status, done.figures().rows), (QueryStatus::Done, 100_000));

        let (stopped, rows) = plan(&ctx, &log, series).await;
        let mut stream = execute_stream(rows, ctx.task_ctx()).unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        assert_eq!(stopped.figures().status, QueryStatus::Stopped);

        let (failed, rows) = plan(&ctx, &log, "SELECT CAST(CAST(value AS TEXT) || 'x' AS INT) FROM generate_series(1, 3)").await;
        collect(rows, ctx.task_ctx()).await.unwrap_err();
        let figures = failed.figures();
        assert_eq!(figures.status, QueryStatus::Failed);
        assert!(figures.error.unwrap().contains("Cannot cast"));
        assert_eq!(log.records().iter().map(|record| record.id).collect::<Vec<_>>(), [3, 2, 1]);
    }

    #[test]
    fn old_statements_are_forgotten_and_long_ones_cut() {
        let log = QueryLog::default();
        (0..REMEMBERED + 5).for_each(|_| drop(log.begin("SELECT 1")));
        assert_eq!(log.records().len(), REMEMBERED);
        assert_eq!(log.begin(&"é".repeat(TEXT_BYTES)).text.len(), TEXT_BYTES);
    }
}
