//! A store whose listings pass over what belongs to programs: unfinished files, logs, marks.

use std::fmt;
use std::future::ready;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions, Result,
};

/// Whether a file or folder of this name belongs to programs: `.name` and `_name`, but not `_column=value`, which holds rows.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

/// Decorates a store: listings of all files below a folder leave out those that are hidden themselves or lie in a hidden folder.
///
/// What is asked for by name is there all the same, and so is what lies below a hidden folder that is itself the one listed.
/// [`ObjectStore::list_with_delimiter`] tells everything: who walks folder by folder chooses for himself.
#[derive(Debug)]
pub struct VisibleStore {
    inner: Arc<dyn ObjectStore>,
}

impl VisibleStore {
    /// Hides what is hidden in `inner`.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }
}

/// Whether nothing below `folder` on the way to a file is hidden.
fn is_visible(folder: Option<&Path>, file: &Path) -> bool {
    let root = Path::default();
    file.prefix_match(folder.unwrap_or(&root)).is_none_or(|mut parts| !parts.any(|part| is_hidden(part.as_ref())))
}

fn visible(folder: Option<&Path>, listed: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
    let folder = folder.cloned();
    listed.try_filter(move |file| ready(is_visible(folder.as_ref(), &file.location))).boxed()
}

impl fmt::Display for VisibleStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for VisibleStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
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
        visible(prefix, self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        visible(prefix, self.inner.list_with_offset(prefix, offset))
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

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn hidden_files_and_folders_are_listed_only_below_themselves() {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for name in ["g/a.csv", "g/_b.csv", "g/.c.csv", "g/_tmp/d.csv", "g/e/.copy-1.tmp/f.csv", "g/_day=1/h.csv", "g/_tmp/.x/i.csv"] {
            inner.put(&name.into(), "x".into()).await.expect("written");
        }
        let store = VisibleStore::new(inner);
        let names = async |folder: &str| {
            let files: Vec<ObjectMeta> = store.list(Some(&folder.into())).try_collect().await.expect("listed");
            files.into_iter().map(|file| file.location.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names("g").await, ["g/_day=1/h.csv", "g/a.csv"]);
        assert_eq!(names("").await, ["g/_day=1/h.csv", "g/a.csv"]);
        assert_eq!(names("g/_tmp").await, ["g/_tmp/d.csv"]);
        assert!(store.head(&"g/_b.csv".into()).await.is_ok());
    }
}
