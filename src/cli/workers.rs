//! The two sides of the program: worker threads that plan, read and compute, and the front that prints, listens to Ctrl-C and shows progress.
//!
//! The front is a runtime of its own on the main thread. Its clock and its signals are therefore served however busy the workers are, and
//! however long a single batch keeps one of them.

use std::future::Future;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::failure::{Failure, Result};
use crate::error::Error;

/// Tasks between two looks at timers and sockets. Tasks here are long (many batches), so the default of 61 would make timers late.
const TASKS_PER_LOOK: u32 = 4;

/// A runtime of `threads` workers.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn start(threads: usize) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(threads).event_interval(TASKS_PER_LOOK).enable_all().build()?)
}

/// Runs the front on this thread until `work` is done.
///
/// # Errors
/// What `work` fails with, or the system has no event queue left.
pub(crate) fn run_front(work: impl Future<Output = Result<()>>) -> Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The workers, and Ctrl-C, as the front sees them. Clones hear Ctrl-C each for itself.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    handle: Handle,
    interrupts: watch::Receiver<u64>,
}

impl Workers {
    /// Takes Ctrl-C over from the system: it no longer ends the program. To be called on the front.
    pub(crate) fn new(handle: Handle) -> Self {
        let (sender, interrupts) = watch::channel(0);
        tokio::spawn(async move {
            // Where the signal cannot be caught the system's own behaviour stays.
            while tokio::signal::ctrl_c().await.is_ok() {
                sender.send_modify(|count| *count += 1);
            }
        });
        Self { handle, interrupts }
    }

    /// Waits for a Ctrl-C that was not heard here yet.
    pub(crate) async fn interrupted(&mut self) {
        if self.interrupts.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Forgets any Ctrl-C that came before.
    pub(crate) fn forget_interrupts(&mut self) {
        self.interrupts.mark_unchanged();
    }

    /// Starts `work` on a worker; dropped before its end, the work is cancelled at its next await.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work, &self.handle);
        Task(tasks)
    }

    /// Runs `work` on a worker until it is done or Ctrl-C comes.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after Ctrl-C; a panic inside `work` is [`Failure::Panicked`].
    pub(crate) async fn run<T: Send + 'static>(&mut self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        let task = self.spawn(work);
        tokio::select! {
            outcome = task.join() => outcome,
            () = self.interrupted() => Err(Failure::Engine(Error::Cancelled)),
        }
    }

    /// Runs `work` on a worker and blocks this thread until it is done; `None` after a panic. For callers that are not async.
    pub(crate) fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move { sender.send(work.await) });
        receiver.recv().ok()
    }
}

/// Work on its way; dropping it cancels it.
pub(crate) struct Task<T>(JoinSet<T>);

impl<T: 'static> Task<T> {
    /// The result.
    ///
    /// # Errors
    /// [`Failure::Panicked`] if the work panicked.
    pub(crate) async fn join(mut self) -> Result<T> {
        match self.0.join_next().await {
            Some(Ok(result)) => Ok(result),
            Some(Err(_)) | None => Err(Failure::Panicked),
        }
    }
}
