//! Writes: to the origin first, then the tiers learn of it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, PutOptions, PutPayload, PutResult, UploadPart};
use tokio::task::spawn_blocking;

use crate::error::TierError;
use crate::settings::VersionPolicy;
use crate::stats::Figure;
use crate::store::TieredStore;
use crate::tier::Tier;
use crate::versions::ObjectVersion;

impl TieredStore {
    /// Does a write of one object. Whatever its outcome, nothing that was known of the object holds any more: a write that reports an
    /// error may have been done.
    pub(crate) async fn written<T>(
        &self,
        operation: &'static str,
        path: &Path,
        write: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, TierError> {
        self.counter.add(Tier::Origin, Figure::Requests, 1);
        // Dropped with the future too: a write that was cancelled may have been done.
        let _forgotten = Forgotten { store: self, path };
        write.await.map_err(|error| TierError::of_origin(operation, &self.origin.label, path, &error))
    }

    /// Drops what is known and held of an object.
    pub(crate) fn forget(&self, path: &Path) {
        self.tiers.drop_blocks(&self.versions.forget(path));
        if let Some(scope) = &self.scope {
            scope.versions.lock().remove(path);
        }
    }

    pub(crate) async fn put(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult, TierError> {
        let size = payload.content_length() as u64;
        let is_kept = (1..=self.tiers.settings.write_through_bytes).contains(&size) && self.policy(path) != VersionPolicy::NoCache;
        let copy = is_kept.then(|| payload.clone());
        let result = self.written("write", path, self.origin.store.put_opts(path, payload, options)).await?;
        if let (Some(payload), Some(e_tag)) = (copy, &result.e_tag) {
            self.fill(path, payload, e_tag).await;
        }
        Ok(result)
    }

    /// Puts the blocks of an object that was written into the tiers, under the ETag that the origin gave it.
    async fn fill(&self, path: &Path, payload: PutPayload, e_tag: &str) {
        let size = payload.content_length() as u64;
        let asked = self.versions.asked(path);
        let Some(object) = self.versions.note_written(asked, path, e_tag.to_owned(), size) else { return };
        let mut whole = BytesMut::with_capacity(size as usize);
        payload.iter().for_each(|part| whole.extend_from_slice(part));
        let whole = whole.freeze();
        for block in self.tiers.blocks.of(&(0..size)) {
            let range = self.tiers.blocks.bytes_of(&(block..block + 1), size);
            // A copy of its own, so that a block that goes gives its bytes back.
            let bytes = Bytes::copy_from_slice(&whole[range.start as usize..range.end as usize]);
            self.fill_block(&object, block, bytes).await;
        }
    }

    async fn fill_block(&self, object: &Arc<ObjectVersion>, block: u64, bytes: Bytes) {
        self.keep_in_memory(object, block, bytes.clone());
        self.keep_on_disk(object, block, bytes).await;
    }

    /// Puts a block into the memory tier, if that takes blocks of this origin and does not have it.
    pub(crate) fn keep_in_memory(&self, object: &Arc<ObjectVersion>, block: u64, bytes: Bytes) {
        let key = self.tiers.key(object, block);
        let memory = self.tiers.memory_for(&self.origin).filter(|memory| !memory.contains(&key));
        if let Some(room) = memory.and_then(|memory| memory.reserve(bytes.len() as u64)) {
            room.fill(object, block, bytes);
        }
    }

    /// Writes a block to the disk tier, if that takes blocks of this origin.
    pub(crate) async fn keep_on_disk(&self, object: &Arc<ObjectVersion>, block: u64, bytes: Bytes) {
        if let Some(disk) = self.tiers.disk_for(&self.origin) {
            let (disk, object, counter) = (Arc::clone(disk), Arc::clone(object), self.counter.clone());
            drop(spawn_blocking(move || disk.write(&object, block, &bytes, &counter)).await);
        }
    }
}

/// Forgets an object when dropped.
struct Forgotten<'s> {
    store: &'s TieredStore,
    path: &'s Path,
}

impl Drop for Forgotten<'_> {
    fn drop(&mut self) {
        self.store.forget(self.path);
    }
}

/// An upload in parts; the tiers learn of the object when it is complete.
#[derive(Debug)]
pub(crate) struct TieredUpload {
    store: TieredStore,
    path: Path,
    upload: Box<dyn MultipartUpload>,
}

impl TieredUpload {
    pub(crate) fn new(store: TieredStore, path: Path, upload: Box<dyn MultipartUpload>) -> Self {
        Self { store, path, upload }
    }
}

#[async_trait]
impl MultipartUpload for TieredUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, label, path) = (self.upload.put_part(data), Arc::clone(&self.store.origin.label), self.path.clone());
        self.store.counter.add(Tier::Origin, Figure::Requests, 1);
        Box::pin(async move { part.await.map_err(|error| TierError::of_origin("write", &label, &path, &error).into()) })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        Ok(self.store.written("write", &self.path, self.upload.complete()).await?)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        Ok(self.store.written("write", &self.path, self.upload.abort()).await?)
    }
}
