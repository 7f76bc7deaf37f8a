//! A store that lets what is remembered of an object be told from what belongs to another version of it.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Timelike;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};

const NANOSECONDS: u64 = 1_000_000_000;

/// Decorates a store: the time of an object is that of its last change to the second, and below that a hash of the store and the ETag.
///
/// DataFusion remembers footers and statistics by path, and takes them for those of an object of the same size and time. Stores tell times
/// in whole seconds, so that an object that was replaced at once, or one of the same path in another bucket, would be taken for the first.
#[derive(Debug)]
pub(super) struct IdentifiedStore {
    inner: Arc<dyn ObjectStore>,
    /// What tells the store from others.
    label: Arc<str>,
}

impl IdentifiedStore {
    /// Identifies the objects of `inner`, which `label` tells from those of other stores.
    pub(super) fn new(inner: Arc<dyn ObjectStore>, label: &str) -> Self {
        Self { inner, label: Arc::from(label) }
    }
}

fn identified(label: &str, meta: &mut ObjectMeta) {
    let Some(tag) = &meta.e_tag else { return };
    let mut hasher = DefaultHasher::new();
    (label, tag).hash(&mut hasher);
    let below_seconds = (hasher.finish() % NANOSECONDS) as u32;
    if let Some(time) = meta.last_modified.with_nanosecond(below_seconds) {
        meta.last_modified = time;
    }
}

fn all_identified(label: &Arc<str>, listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let label = Arc::clone(label);
    listed
        .map_ok(move |mut meta| {
            identified(&label, &mut meta);
            meta
        })
        .boxed()
}

impl fmt::Display for IdentifiedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for IdentifiedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.inner.get_opts(location, options).await?;
        identified(&self.label, &mut result.meta);
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        all_identified(&self.label, self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        all_identified(&self.label, self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.iter_mut().for_each(|meta| identified(&self.label, meta));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn the_same_bytes_long_and_second_are_another_version_or_another_store() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("a");
        let store = |label: &str| IdentifiedStore::new(Arc::clone(&inner), label);
        let time = async |label: &str| store(label).head(&path).await.unwrap().last_modified;
        inner.put(&path, "one".into()).await.unwrap();
        let first = time("s3://x").await;
        assert_eq!(first, time("s3://x").await);
        assert_ne!(first, time("s3://y").await);
        let listed: Vec<ObjectMeta> = store("s3://x").list(None).try_collect().await.unwrap();
        assert_eq!(listed[0].last_modified, first);
        inner.put(&path, "two".into()).await.unwrap();
        assert_ne!(first.nanosecond(), time("s3://x").await.nanosecond());
    }
}
