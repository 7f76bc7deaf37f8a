//! A store whose new objects appear all together at the end, or not at all.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// Objects that were written and are not yet to be seen, in the order of their writing. Dropped, they are given up.
#[derive(Default)]
struct Pending(Mutex<VecDeque<Unfinished>>);

impl Pending {
    fn push(&self, object: Unfinished) {
        self.0.lock().push_back(object);
    }

    fn pop(&self) -> Option<Unfinished> {
        self.0.lock().pop_front()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let uploads = self.0.get_mut().drain(..).filter_map(|object| match object {
            Unfinished::Object { .. } => None,
            Unfinished::Upload { upload, .. } => Some(upload),
        });
        abort_later(uploads.collect());
    }
}

/// Gives uploads up beside what is running now; without a runtime their parts stay in the store.
fn abort_later(uploads: Vec<Box<dyn MultipartUpload>>) {
    if uploads.is_empty() {
        return;
    }
    match Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move {
            for upload in uploads {
                abort_now(upload).await;
            }
        })),
        Err(_) => tracing::warn!(uploads = uploads.len(), "the parts of uploads that were given up are left in the store"),
    }
}

async fn abort_now(mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(%error, "the parts of an upload that was given up are left in the store");
    }
}

/// A commit that stopped on its way.
#[derive(Debug, thiserror::Error)]
#[error("{source}{}", self.extent())]
pub struct PublishError {
    /// What became visible before.
    published: Vec<Path>,
    /// How many objects there were to publish.
    total: usize,
    source: object_store::Error,
}

impl PublishError {
    fn extent(&self) -> String {
        match (self.published.as_slice(), self.total) {
            ([], 1) => String::new(),
            ([], total) => format!("; none of the {total} objects is there"),
            (some, total) => {
                let names: Vec<&str> = some.iter().map(Path::as_ref).collect();
                format!("; {} of {total} objects are there: {}", some.len(), names.join(", "))
            }
        }
    }
}

/// An object without its last step.
enum Unfinished {
    /// A small object that nothing was sent of.
    Object { location: Path, payload: PutPayload, options: PutOptions },
    /// A large one that is sent and not yet completed.
    Upload { location: Path, upload: Box<dyn MultipartUpload> },
}

/// Decorates a store: what is written waits for [`DeferredStore::commit`]. Everything else goes straight through.
///
/// A writer closes its objects even where the query that feeds it has failed; here closing is not yet publishing. Small objects
/// wait in memory, where the writer held them anyway; large ones wait in the store as uploads that are not completed.
pub struct DeferredStore {
    inner: Arc<dyn ObjectStore>,
    pending: Arc<Pending>,
}

impl DeferredStore {
    /// Defers what is written to `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, pending: Arc::default() }
    }

    /// Makes everything written so far visible, one object after the other.
    ///
    /// # Errors
    /// The store refuses an object; those before it are there, and those behind it are dropped.
    pub async fn commit(&self) -> Result<(), PublishError> {
        let total = self.pending.0.lock().len();
        let mut published = Vec::new();
        while let Some(object) = self.pending.pop() {
            match self.publish(object).await {
                Ok(location) => published.push(location),
                Err(source) => {
                    self.abort().await;
                    return Err(PublishError { published, total, source });
                }
            }
        }
        Ok(())
    }

    async fn publish(&self, object: Unfinished) -> Result<Path> {
        match object {
            Unfinished::Object { location, payload, options } => {
                self.inner.put_opts(&location, payload, options).await?;
                Ok(location)
            }
            Unfinished::Upload { location, mut upload } => match upload.complete().await {
                Ok(_) => Ok(location),
                Err(error) => {
                    abort_now(upload).await;
                    Err(error)
                }
            },
        }
    }

    /// Drops everything written so far.
    pub async fn abort(&self) {
        while let Some(object) = self.pending.pop() {
            if let Unfinished::Upload { upload, .. } = object {
                abort_now(upload).await;
            }
        }
    }
}

impl fmt::Debug for DeferredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for DeferredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeferredStore({})", self.inner)
    }
}

/// The answer of the store is not known yet, and nobody asks for it.
fn unanswered() -> PutResult {
    PutResult { e_tag: None, version: None }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for DeferredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.pending.push(Unfinished::Object { location: location.clone(), payload, options });
        Ok(unanswered())
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DeferredUpload { location: location.clone(), upload: Some(upload), pending: Arc::clone(&self.pending) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// An upload whose completion waits. Dropped before it is complete, it is given up.
struct DeferredUpload {
    location: Path,
    /// `None` once it is complete or given up.
    upload: Option<Box<dyn MultipartUpload>>,
    pending: Arc<Pending>,
}

impl Drop for DeferredUpload {
    fn drop(&mut self) {
        abort_later(self.upload.take().into_iter().collect());
    }
}

impl fmt::Debug for DeferredUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeferredUpload").field("location", &self.location).finish_non_exhaustive()
    }
}

fn closed() -> object_store::Error {
    object_store::Error::Generic { store: "DeferredStore", source: "the upload is closed already".into() }
}

#[async_trait]
impl MultipartUpload for DeferredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.upload {
            Some(upload) => upload.put_part(data),
            None => Box::pin(async { Err(closed()) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let upload = self.upload.take().ok_or_else(closed)?;
        self.pending.push(Unfinished::Upload { location: self.location.clone(), upload });
        Ok(unanswered())
    }

    async fn abort(&mut self) -> Result<()> {
        match self.upload.take() {
            Some(mut upload) => upload.abort().await,
            None => Err(closed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};

    use super::*;

    async fn names(store: &dyn ObjectStore) -> Vec<String> {
        let objects: Vec<ObjectMeta> = store.list(None).try_collect().await.expect("listed");
        objects.into_iter().map(|object| object.location.to_string()).collect()
    }

    async fn write_both(store: &DeferredStore) {
        store.put(&"small".into(), "x".into()).await.expect("taken");
        let mut upload = store.put_multipart(&"large".into()).await.expect("begun");
        upload.put_part("y".into()).await.expect("sent");
        upload.complete().await.expect("taken");
    }

    #[tokio::test]
    async fn objects_appear_at_the_commit_and_never_after_an_abort() {
        let inner = Arc::new(InMemory::new());
        let store = DeferredStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        write_both(&store).await;
        assert!(names(inner.as_ref()).await.is_empty());
        store.abort().await;
        store.commit().await.expect("nothing left to do");
        assert!(names(inner.as_ref()).await.is_empty());
        write_both(&store).await;
        store.commit().await.expect("published");
        assert_eq!(names(inner.as_ref()).await, ["large", "small"]);
    }

    /// An upload that counts how often it was given up; the store of the test keeps no parts that could be looked for.
    #[derive(Debug)]
    struct Counted(Arc<AtomicUsize>);

    #[async_trait]
    impl MultipartUpload for Counted {
        fn put_part(&mut self, _: PutPayload) -> UploadPart {
            Box::pin(async { Ok(()) })
        }

        async fn complete(&mut self) -> Result<PutResult> {
            Ok(unanswered())
        }

        async fn abort(&mut self) -> Result<()> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    /// A store that holds `taken`, and a deferred one over it with two uploads of which one is complete.
    async fn with_uploads(aborted: &Arc<AtomicUsize>) -> (Arc<InMemory>, DeferredStore, Box<dyn MultipartUpload>) {
        let inner = Arc::new(InMemory::new());
        inner.put(&"taken".into(), "x".into()).await.expect("written");
        let store = DeferredStore::new(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        let upload = |location: &str| DeferredUpload {
            location: location.into(),
            upload: Some(Box::new(Counted(Arc::clone(aborted)))),
            pending: Arc::clone(&store.pending),
        };
        let (mut complete, open) = (upload("complete"), upload("open"));
        store.put(&"first".into(), "y".into()).await.expect("taken");
        store.put_opts(&"taken".into(), "z".into(), PutMode::Create.into()).await.expect("not asked yet");
        complete.complete().await.expect("taken");
        (inner, store, Box::new(open))
    }

    #[tokio::test]
    async fn a_refused_object_ends_the_uploads_behind_it_and_those_before_are_told() {
        let aborted = Arc::new(AtomicUsize::new(0));
        let (inner, store, _open) = with_uploads(&aborted).await;
        let error = store.commit().await.expect_err("the second object exists");
        assert!(error.to_string().ends_with("; 1 of 3 objects are there: first"), "{error}");
        assert_eq!(aborted.load(Ordering::SeqCst), 1);
        store.commit().await.expect("nothing left to do");
        assert_eq!(names(inner.as_ref()).await, ["first", "taken"]);
    }

    #[tokio::test]
    async fn what_is_dropped_is_given_up() {
        let aborted = Arc::new(AtomicUsize::new(0));
        drop(with_uploads(&aborted).await);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(aborted.load(Ordering::SeqCst), 2, "the complete one and the open one");
    }
}
