//! The logs of Delta tables in object stores.
//!
//! A commit is one object that must not exist yet (`PutMode::Create`, a conditional put), so that of two writers of a version one is told.
//! The table format knows such a log for directories and memory alone; this one serves the stores that the engine opens, tiers and all.
//!
//! A put whose answer was lost is sent again by the client, which then meets its own object. So an error is not believed before the
//! version was read back: what lies there is this commit, another one, or nothing.

use std::sync::{Arc, Once};

use async_trait::async_trait;
use bytes::Bytes;
use deltalake::DeltaResult;
use deltalake::kernel::transaction::TransactionError;
use deltalake::logstore::{
    CommitOrBytes, LogStore, LogStoreConfig, LogStoreFactory, LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories,
};
use object_store::ObjectStore;
use url::Url;
use uuid::Uuid;

/// Makes the logs known for URLs of these schemes, once in a process.
pub(super) fn register_log_stores(schemes: impl IntoIterator<Item = &'static str>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        for scheme in schemes {
            if let Ok(url) = Url::parse(&format!("{scheme}://")) {
                logstore_factories().insert(url, Arc::new(ConditionalPuts));
            }
        }
    });
}

/// Makes logs of stores that can put an object if there is none.
struct ConditionalPuts;

impl LogStoreFactory for ConditionalPuts {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(Arc::new(ConditionalLog(default_logstore(prefixed_store, root_store, location, options))))
    }
}

/// The log of one table.
struct ConditionalLog(LogStoreRef);

impl ConditionalLog {
    /// What came of a commit that ended with an error.
    async fn outcome(&self, version: u64, ours: &Bytes, error: TransactionError) -> Result<(), TransactionError> {
        match self.0.read_commit_entry(version).await {
            Ok(Some(there)) if there == *ours => Ok(()),
            Ok(Some(_)) => Err(TransactionError::VersionAlreadyExists(version)),
            Ok(None) => Err(error),
            Err(_) => Err(TransactionError::LogStoreError {
                msg: format!("version {version} was sent and no answer came: whether it is there shows once the store answers again"),
                source: Box::new(error),
            }),
        }
    }
}

#[async_trait]
impl LogStore for ConditionalLog {
    fn name(&self) -> String {
        // By the name of the log that it wraps, the table format knows that commits are put and not renamed.
        self.0.name()
    }

    async fn read_commit_entry(&self, version: u64) -> DeltaResult<Option<Bytes>> {
        self.0.read_commit_entry(version).await
    }

    async fn write_commit_entry(&self, version: u64, commit: CommitOrBytes, operation_id: Uuid) -> Result<(), TransactionError> {
        match (self.0.write_commit_entry(version, commit.clone(), operation_id).await, commit) {
            (Err(error), CommitOrBytes::LogBytes(ours)) => self.outcome(version, &ours, error).await,
            (written, _) => written,
        }
    }

    async fn abort_commit_entry(&self, version: u64, commit: CommitOrBytes, operation_id: Uuid) -> Result<(), TransactionError> {
        self.0.abort_commit_entry(version, commit, operation_id).await
    }

    async fn get_latest_version(&self, start_version: u64) -> DeltaResult<u64> {
        self.0.get_latest_version(start_version).await
    }

    fn object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.object_store(operation_id)
    }

    fn root_object_store(&self, operation_id: Option<Uuid>) -> Arc<dyn ObjectStore> {
        self.0.root_object_store(operation_id)
    }

    fn config(&self) -> &LogStoreConfig {
        self.0.config()
    }
}
