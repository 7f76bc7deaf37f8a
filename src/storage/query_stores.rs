//! The stores as one statement sees them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store_tiers::{ReadFigures, TieredStore};
use parking_lot::Mutex;
use url::Url;

use super::remote::{RemoteStores, as_files, store_key};

tokio::task_local! {
    /// The stores of the statement that runs.
    static STATEMENT: Arc<QueryStores>;
}

/// The stores as one statement sees them: one version of each object throughout, and figures of its own.
///
/// Files that a plan names are found through the session's registry, whose place this one takes; tables of the database hold the store of
/// their [`Root`](super::Root), which is this one's while [`QueryStores::during`] runs.
#[derive(Debug)]
pub struct QueryStores {
    all: Arc<RemoteStores>,
    figures: Arc<ReadFigures>,
    /// The remote stores that the statement has used, by [`store_key`].
    used: Mutex<HashMap<String, TieredStore>>,
}

impl QueryStores {
    /// The stores of one more statement.
    pub fn new(all: &Arc<RemoteStores>) -> Self {
        Self { all: Arc::clone(all), figures: Arc::default(), used: Mutex::default() }
    }

    /// What the statement has read from the tiers so far.
    pub fn figures(&self) -> &Arc<ReadFigures> {
        &self.figures
    }

    /// Runs `work` so that the tables that it opens are read as part of the statement.
    pub async fn during<T>(self: &Arc<Self>, work: impl Future<Output = T>) -> T {
        STATEMENT.scope(Arc::clone(self), work).await
    }

    fn scoped(&self, url: &Url) -> crate::error::Result<Option<TieredStore>> {
        let key = store_key(url);
        if let Some(store) = self.used.lock().get(&key) {
            return Ok(Some(store.clone()));
        }
        let Some(store) = self.all.open(url)? else { return Ok(None) };
        let scoped = || store.scoped(Arc::clone(&self.figures));
        Ok(Some(self.used.lock().entry(key).or_insert_with(scoped).clone()))
    }
}

/// The remote store of a URL as the statement that runs sees it; none outside of one.
pub(super) fn statement_store(url: &Url) -> Option<TieredStore> {
    STATEMENT.try_with(|stores| stores.scoped(url)).ok()?.ok()?
}

/// What the statement that runs has read from the tiers; none outside of one.
pub(super) fn statement_figures() -> Option<Arc<ReadFigures>> {
    STATEMENT.try_with(|stores| Arc::clone(&stores.figures)).ok()
}

impl ObjectStoreRegistry for QueryStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.all.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.all.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.all.known.get_store(url) {
            return Ok(self.all.located(url, store, None, Some(&self.figures)));
        }
        let store = self.scoped(url)?.ok_or_else(|| RemoteStores::missing(url))?;
        Ok(self.all.located(url, as_files(url, Arc::new(store.clone())), Some(store), Some(&self.figures)))
    }
}
