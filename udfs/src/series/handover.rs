//! A declined input as the input of another plan: the batches held so far, then those still to be read.
//!
//! Where memory ended, the batches so far wait on disk, so that the plan that takes over has all the memory it would have had.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::gather::{Part, Parts, Taken, next};
use super::layout::{Held, Layout};

/// One input partition; it can be read once.
struct Handover {
    layout: Arc<Layout>,
    part: Mutex<Option<Waiting>>,
}

/// What is left of a part, in the order of reading.
struct Waiting {
    spilled: Option<SendableRecordBatchStream>,
    held: std::vec::IntoIter<Held>,
    /// Accounts for what is held; none when nothing is, as every consumer takes its share of some pools.
    memory: Option<MemoryReservation>,
    unread: Option<RecordBatch>,
    rest: SendableRecordBatchStream,
}

impl Waiting {
    /// The next batch.
    async fn next(&mut self, layout: &Layout) -> Option<Result<RecordBatch>> {
        if let Some(spilled) = &mut self.spilled {
            if let Some(batch) = next(spilled).await {
                return Some(batch);
            }
            self.spilled = None;
        }
        if let Some(held) = self.held.next() {
            let batch = layout.batch(&held);
            if let Some(memory) = &self.memory {
                memory.shrink(held.bytes().min(memory.size()));
            }
            return Some(batch);
        }
        self.memory = None;
        match self.unread.take() {
            Some(unread) => Some(Ok(unread)),
            None => next(&mut self.rest).await,
        }
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// A plan that reads the parts.
///
/// # Errors
/// None for parts of this layout.
pub(super) fn handover(layout: &Arc<Layout>, parts: Parts, spills: &SpillManager) -> Result<Arc<dyn ExecutionPlan>> {
    let to_disk = parts.taken == Taken::Refused;
    let stream = |part: Part| -> Arc<dyn PartitionStream> {
        let Part { held, memory, unread, rest, .. } = part;
        // Half was room to work in, which the plan that takes over needs now.
        memory.shrink(memory.size() / 2);
        // Without a disk the batches stay in memory, and the plan may well fail for want of it, as it would have done before.
        let spilled = if to_disk { spilled(layout, &held, spills).ok().flatten() } else { None };
        let (held, memory) = if spilled.is_some() { (vec![], None) } else { (held, Some(memory)) };
        let waiting = Waiting { spilled, held: held.into_iter(), memory, unread, rest };
        Arc::new(Handover { layout: Arc::clone(layout), part: Mutex::new(Some(waiting)) })
    };
    let streams = parts.parts.into_iter().map(stream).collect();
    Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(layout.schema()), streams, None, vec![], false, None)?))
}

/// Writes batches to disk; `None` without any.
fn spilled(layout: &Layout, held: &[Held], spills: &SpillManager) -> Result<Option<SendableRecordBatchStream>> {
    let mut file = spills.create_in_progress_file("series handed over")?;
    for held in held {
        file.append_batch(&layout.batch(held)?)?;
    }
    file.finish()?.map(|file| spills.read_spill_as_stream(file, None)).transpose()
}

impl PartitionStream for Handover {
    fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let waiting = self.part.lock().unwrap_or_else(PoisonError::into_inner).take();
        let layout = Arc::clone(&self.layout);
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(layout.schema()), 1);
        let batches = stream.tx();
        stream.spawn(async move {
            let Some(mut waiting) = waiting else { return exec_err!("series: the input was handed over already") };
            while let Some(batch) = waiting.next(&layout).await {
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}
