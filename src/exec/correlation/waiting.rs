//! Whether anybody still waits for a result.

use datafusion::arrow::array::RecordBatch;
use datafusion::common::{Result, exec_err};
use tokio::sync::mpsc::Sender;

/// Those who wait for the batches of one execution.
///
/// Work of more than some milliseconds asks [`Self::check`] as it goes, so that a query that was cancelled stops at once.
#[derive(Debug, Clone)]
pub(super) struct Waiting(Option<Sender<Result<RecordBatch>>>);

impl Waiting {
    /// Somebody who never goes.
    #[cfg(test)]
    pub(super) const FOR_EVER: Self = Self(None);

    /// Those at the other end of a channel.
    pub(super) fn behind(sender: &Sender<Result<RecordBatch>>) -> Self {
        Self(Some(sender.clone()))
    }

    /// # Errors
    /// Nobody waits any more: nobody will see the error either.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(sender) if sender.is_closed() => exec_err!("nobody waits for the correlations any more"),
            _ => Ok(()),
        }
    }
}
