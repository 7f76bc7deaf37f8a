//! Writing the rows of a change, group by group.

use std::ops::AsyncFnOnce;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::DataFrame;
use futures::StreamExt;

use super::subject::Subject;
use crate::error::{Error, Result};
use crate::storage::{JointMember, TableChange, TableWriter};

/// Has `fill` write into new files of a change; what a failure leaves is known to the change all the same.
pub(super) async fn written(change: &mut TableChange, fill: impl AsyncFnOnce(&mut TableWriter) -> Result<()>) -> Result<()> {
    let mut writer = change.writer()?;
    let outcome = fill(&mut writer).await;
    let taken = change.take(writer).await;
    outcome.and(taken)
}

/// Removes what was written for changes that do not come about, and gives the error.
pub(super) async fn abandon_after<T>(changes: Vec<TableChange>, error: Error) -> Result<T> {
    for change in changes {
        if let Err(left) = change.abandon().await {
            tracing::warn!(error = %left, "files of a change that did not come about are left; VACUUM removes them");
        }
    }
    Err(error)
}

/// Pieces of a batch whose rows are of one group each, with the group's key.
pub(super) fn pieces(subject: &Subject, batch: &RecordBatch) -> Result<Vec<(Box<[u8]>, RecordBatch)>> {
    let groups = subject.group.encode(batch)?;
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < groups.len() {
        let end = groups[start..].iter().position(|group| *group != groups[start]).map_or(groups.len(), |length| start + length);
        pieces.push((groups[start].clone(), batch.slice(start, end - start)));
        start = end;
    }
    Ok(pieces)
}

/// Writes rows that are sorted by group into files that end where a group does, once they have `rows` rows: so that few files hold the
/// rows of a group.
pub(super) async fn cut_between_groups(subject: &Subject, sorted: DataFrame, rows: u64, writer: &mut TableWriter) -> Result<()> {
    let mut stream = sorted.execute_stream().await?;
    let mut last: Option<Box<[u8]>> = None;
    while let Some(batch) = stream.next().await.transpose()? {
        if writer.open_rows() + (batch.num_rows() as u64) < rows {
            writer.append(&batch).await?;
            last = pieces(subject, &batch.slice(batch.num_rows().saturating_sub(1), batch.num_rows().min(1)))?
                .pop()
                .map(|piece| piece.0)
                .or(last);
            continue;
        }
        for (group, piece) in pieces(subject, &batch)? {
            if last.as_ref().is_some_and(|last| *last != group) && writer.open_rows() >= rows {
                writer.cut().await?;
            }
            writer.append(&piece).await?;
            last = Some(group);
        }
    }
    Ok(())
}
