//! A declined input as the input of another plan: the batches held so far, then those still to be read.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::gather::{Part, Parts, next};
use super::layout::Layout;

/// One input partition; it can be read once.
struct Handover {
    layout: Arc<Layout>,
    part: Mutex<Option<Part>>,
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
pub(super) fn handover(layout: &Arc<Layout>, parts: Parts) -> Result<Arc<dyn ExecutionPlan>> {
    let stream = |part: Part| -> Arc<dyn PartitionStream> {
        // Half was room to work in, which the plan that takes over needs now.
        part.memory.shrink(part.memory.size() / 2);
        Arc::new(Handover { layout: Arc::clone(layout), part: Mutex::new(Some(part)) })
    };
    let streams = parts.parts.into_iter().map(stream).collect();
    Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(layout.schema()), streams, None, vec![], false, None)?))
}

impl PartitionStream for Handover {
    fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let part = self.part.lock().unwrap_or_else(PoisonError::into_inner).take();
        let layout = Arc::clone(&self.layout);
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(layout.schema()), 1);
        let batches = stream.tx();
        stream.spawn(async move {
            let Some(Part { held, unread, mut rest, memory, .. }) = part else {
                return exec_err!("series: the input was handed over already");
            };
            for held in held {
                let batch = layout.batch(&held);
                memory.shrink(held.bytes().min(memory.size()));
                drop(held);
                if batches.send(batch).await.is_err() {
                    return Ok(());
                }
            }
            memory.free();
            if let Some(unread) = unread
                && batches.send(Ok(unread)).await.is_err()
            {
                return Ok(());
            }
            while let Some(batch) = next(&mut rest).await {
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}
