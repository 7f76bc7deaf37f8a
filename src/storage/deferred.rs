//! A store whose new objects appear all together at the end, or not at all.

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

/// Objects that were written and are not yet to be seen.
type Pending = Arc<Mutex<Vec<Unfinished>>>;

/// An object without its last step.
enum Unfinished {
    /// A small object that nothing was sent of.
    Object { location: Path, payload: PutPayload, options: PutOptions },
    /// A large one that is sent and not yet completed.
    Upload(Box<dyn MultipartUpload>),
}

/// Decorates a store: what is written waits for [`DeferredStore::commit`]. Everything else goes straight through.
///
/// A writer closes its objects even where the query that feeds it has failed; here closing is not yet publishing. Small objects
/// wait in memory, where the writer held them anyway; large ones wait in the store as uploads that are not completed.
pub struct DeferredStore {
    inner: Arc<dyn ObjectStore>,
    pending: Pending,
}

impl DeferredStore {
    /// Defers what is written to `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, pending: Pending::default() }
    }

    /// Makes everything written so far visible, one object after the other.
    ///
    /// # Errors
    /// The store refuses an object; those before it are there.
    pub async fn commit(&self) -> Result<()> {
        for object in self.take() {
            match object {
                Unfinished::Object { location, payload, options } => self.inner.put_opts(&location, payload, options).await?,
                Unfinished::Upload(mut upload) => upload.complete().await?,
            };
        }
        Ok(())
    }

    /// Drops everything written so far.
    pub async fn abort(&self) {
        for object in self.take() {
            if let Unfinished::Upload(mut upload) = object
                && let Err(error) = upload.abort().await
            {
                tracing::warn!(%error, "the parts of an upload that was given up are left in the store");
            }
        }
    }

    fn take(&self) -> Vec<Unfinished> {
        std::mem::take(&mut *self.pending.lock())
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
        self.pending.lock().push(Unfinished::Object { location: location.clone(), payload, options });
        Ok(unanswered())
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(DeferredUpload { upload: Some(upload), pending: Arc::clone(&self.pending) }))
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

/// An upload whose completion waits; `None` once it does.
#[derive(Debug)]
struct DeferredUpload {
    upload: Option<Box<dyn MultipartUpload>>,
    pending: Pending,
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object { .. } => "Object",
            Self::Upload(_) => "Upload",
        })
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
        self.pending.lock().push(Unfinished::Upload(upload));
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
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

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
}
