//! Takes in the rows of all input partitions, or declines while they come.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::arrow::array::RecordBatch;
use datafusion::common::runtime::JoinSet;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::layout::{Held, Layout};

/// Rows of an input partition after which it shows whether its runs are long.
const SAMPLE_ROWS: usize = 16_384;

/// Rows that a run must have in the mean, that to work on runs is cheaper than to work on rows.
const LEAST_MEAN_RUN: usize = 32;

/// Bytes to keep track of a run.
const RUN_BYTES: usize = 64;

/// One input partition as far as it was read.
pub(super) struct Part {
    layout: Arc<Layout>,
    pub(super) held: Vec<Held>,
    /// The keys of the runs so far.
    pub(super) series: Box<dyn GroupValues>,
    rows: usize,
    pub(super) runs: usize,
    /// Twice the bytes held: what works on a series copies it, and whoever takes over needs room as well.
    pub(super) memory: MemoryReservation,
    /// A batch that was read and not held.
    pub(super) unread: Option<RecordBatch>,
    pub(super) rest: SendableRecordBatchStream,
}

/// All input partitions.
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    pub(super) taken: Taken,
}

/// How far the rows were taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Whole,
    /// Not all, as their runs are short.
    Declined,
    /// Not all, as there is no more memory.
    Refused,
}

/// What the readers of the parts tell each other.
#[derive(Debug, Default)]
struct Verdict {
    declined: AtomicBool,
    refused: AtomicBool,
}

impl Verdict {
    fn taken(&self) -> Taken {
        match (self.declined.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed)) {
            (false, false) => Taken::Whole,
            (true, false) => Taken::Declined,
            (_, true) => Taken::Refused,
        }
    }
}

/// The next batch of a stream.
pub(super) async fn next(stream: &mut SendableRecordBatchStream) -> Option<Result<RecordBatch>> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// Reads all input partitions at once; every one stops when one declines.
///
/// # Errors
/// Those of the input.
pub(super) async fn gather(layout: Arc<Layout>, inputs: Vec<SendableRecordBatchStream>, context: Arc<TaskContext>) -> Result<Parts> {
    let verdict = Arc::new(Verdict::default());
    let mut tasks = JoinSet::new();
    let count = inputs.len();
    for (i, input) in inputs.into_iter().enumerate() {
        let part = Part::try_new(Arc::clone(&layout), input, i, &context)?;
        let verdict = Arc::clone(&verdict);
        tasks.spawn(async move { Ok::<_, DataFusionError>((i, part.read(&verdict).await?)) });
    }
    let mut parts: Vec<Option<Part>> = (0..count).map(|_| None).collect();
    while let Some(read) = tasks.join_next().await {
        let (i, part) = read.map_err(|error| exec_datafusion_err!("series: reading the input stopped: {error}"))??;
        parts[i] = Some(part);
    }
    Ok(Parts { parts: parts.into_iter().flatten().collect(), taken: verdict.taken() })
}

impl Part {
    fn try_new(layout: Arc<Layout>, rest: SendableRecordBatchStream, partition: usize, context: &TaskContext) -> Result<Self> {
        let series = new_group_values(Arc::clone(layout.key_schema()), &GroupOrdering::None)?;
        // It gives way to other operators, in that it declines.
        let memory = MemoryConsumer::new(format!("SeriesExec[{partition}]")).with_can_spill(true).register(context.memory_pool());
        Ok(Self { layout, held: vec![], series, rows: 0, runs: 0, memory, unread: None, rest })
    }

    async fn read(mut self, verdict: &Verdict) -> Result<Self> {
        let mut series = vec![];
        while verdict.taken() == Taken::Whole {
            let Some(batch) = next(&mut self.rest).await else { break };
            self.unread = self.hold(batch?, &mut series, verdict)?;
        }
        Ok(self)
    }

    /// Takes in a batch; gives it back with a verdict.
    fn hold(&mut self, batch: RecordBatch, series: &mut Vec<usize>, verdict: &Verdict) -> Result<Option<RecordBatch>> {
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let (runs, keys) = self.layout.runs(&batch)?;
        self.rows += batch.num_rows();
        self.runs += runs.len();
        if self.rows >= SAMPLE_ROWS && self.runs * LEAST_MEAN_RUN > self.rows {
            verdict.declined.store(true, Ordering::Relaxed);
            return Ok(Some(batch));
        }
        series.clear();
        self.series.intern(&keys, series)?;
        let held = self.layout.hold(&batch, &runs, series)?;
        if self.memory.try_grow(2 * held.bytes() + RUN_BYTES * held.runs()).is_err() {
            verdict.refused.store(true, Ordering::Relaxed);
            return Ok(Some(batch));
        }
        self.held.push(held);
        Ok(None)
    }
}
