//! Ctrl-C as something that work can wait for.

use std::future::Future;

use datafusion::common::runtime::SpawnedTask;
use tokio::sync::watch;

use super::failure::{Failure, Result};
use crate::error::Error;

/// Hears Ctrl-C from now on; clones hear it too.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts(watch::Receiver<u64>);

impl Interrupts {
    /// Takes Ctrl-C over from the system: it no longer ends the program.
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = watch::channel(0);
        tokio::spawn(async move {
            // Where the signal cannot be caught the system's own behaviour stays.
            while tokio::signal::ctrl_c().await.is_ok() {
                sender.send_modify(|count| *count += 1);
            }
        });
        Self(receiver)
    }

    /// Waits for a Ctrl-C that nobody has heard here yet.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Forgets what came before.
    pub(crate) fn forget(&mut self) {
        self.0.mark_unchanged();
    }

    /// Runs `work` on a worker thread until it is done or Ctrl-C comes; then it is dropped at its next await.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after Ctrl-C; a panic inside `work` is [`Failure::Panicked`].
    pub(crate) async fn cancellable<T, F>(&mut self, work: F) -> Result<T>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let task = SpawnedTask::spawn(work);
        tokio::select! {
            outcome = task => outcome.map_err(|_| Failure::Panicked),
            () = self.next() => Err(Failure::Engine(Error::Cancelled)),
        }
    }
}
