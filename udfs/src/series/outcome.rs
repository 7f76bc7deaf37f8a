//! A result that one task finds and several streams wait for.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{Result, exec_err};
use datafusion::error::DataFusionError;

/// What a task finds; the task ends when nobody waits any more.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    place: Arc<Place<T>>,
    _task: SpawnedTask<()>,
}

#[derive(Debug)]
struct Place<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    Awaited(Vec<Waker>),
    Found(Result<Arc<T>, Arc<DataFusionError>>),
}

impl<T: Send + Sync + 'static> Outcome<T> {
    /// Starts the task.
    pub(super) fn of(task: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        let place = Arc::new(Place(Mutex::new(State::Awaited(vec![]))));
        let finder = Finder(Arc::clone(&place));
        let task = SpawnedTask::spawn(async move {
            let found = task.await;
            finder.0.fill(found);
        });
        Self { place, _task: task }
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// That of the task.
    pub(super) async fn found(&self) -> Result<Arc<T>> {
        poll_fn(|context| match &mut *self.place.state() {
            State::Awaited(wakers) => {
                wakers.push(context.waker().clone());
                Poll::Pending
            }
            State::Found(found) => Poll::Ready(found.clone().map_err(DataFusionError::Shared)),
        })
        .await
    }
}

impl<T> Place<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the result, once.
    fn fill(&self, found: Result<T>) {
        let mut state = self.state();
        if let State::Awaited(wakers) = &mut *state {
            let wakers = std::mem::take(wakers);
            *state = State::Found(found.map(Arc::new).map_err(Arc::new));
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Sees to it that nobody waits for a task that has ended without a result.
struct Finder<T>(Arc<Place<T>>);

impl<T> Drop for Finder<T> {
    fn drop(&mut self) {
        self.0.fill(exec_err!("series: the task that reads the input stopped"));
    }
}
