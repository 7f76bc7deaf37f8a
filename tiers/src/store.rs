//! The [`ObjectStore`] over the tiers.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, coalesce_ranges,
};
use parking_lot::Mutex;

use crate::error::{ErrorKind, TierError};
use crate::read::{Resolved, range_in};
use crate::settings::{Origin, VersionPolicy};
use crate::stats::{Counter, Figure, ReadFigures};
use crate::tier::Tier;
use crate::tiers::Shared;
use crate::versions::{ObjectVersion, Versions};
use crate::write::TieredUpload;

/// An [`ObjectStore`] that reads through memory and disk tiers and writes through to its origin. Cheap to clone.
///
/// Reads need a tokio runtime with time enabled. The attributes of a [`GetResult`] are those that the origin gave with the last `head` or `get` that reached
/// it; they are empty for a version that only the disk tier has told of.
#[derive(Clone)]
pub struct TieredStore {
    pub(crate) tiers: Arc<Shared>,
    pub(crate) origin: Origin,
    pub(crate) versions: Arc<Versions>,
    pub(crate) counter: Counter,
    pub(crate) scope: Option<Arc<Scope>>,
}

/// One query: it sees one version of each object.
pub(crate) struct Scope {
    pub(crate) began: Instant,
    pub(crate) versions: Mutex<HashMap<Path, Arc<ObjectVersion>>>,
    /// Sizes of the objects that the query has seen in listings.
    pub(crate) listed: Mutex<HashMap<Path, u64>>,
}

impl TieredStore {
    pub(crate) fn new(tiers: Arc<Shared>, origin: Origin, versions: Arc<Versions>) -> Self {
        let counter = Counter { total: Arc::clone(&tiers.figures), scope: None };
        Self { tiers, origin, versions, counter, scope: None }
    }

    /// The same store for one query: what it reads is also counted in `figures`, and it sees one version of each object throughout.
    ///
    /// The version is the one present at the first read or `head`. When such an object is replaced before the query has read all it needs, the
    /// next block that must come from the origin is an error of kind [`ErrorKind::Precondition`]; bytes of two versions are never mixed.
    pub fn scoped(&self, figures: Arc<ReadFigures>) -> Self {
        let counter = Counter { total: Arc::clone(&self.tiers.figures), scope: Some(figures) };
        let scope = Scope { began: Instant::now(), versions: Mutex::default(), listed: Mutex::default() };
        Self { counter, scope: Some(Arc::new(scope)), ..self.clone() }
    }

    /// The same store without a cache tier: what is read and written by it passes the others alone.
    pub fn without(&self, tier: Tier) -> Self {
        Self { origin: self.origin.clone().without(tier), ..self.clone() }
    }

    /// The label of the origin.
    pub fn label(&self) -> &str {
        &self.origin.label
    }

    /// Whether any tier takes blocks of this origin.
    fn is_tiered(&self) -> bool {
        self.tiers.memory_for(&self.origin).is_some() || self.tiers.disk_for(&self.origin).is_some()
    }

    /// A request that goes straight to the origin; its bytes are counted as they come.
    async fn pass_through(&self, path: &Path, options: GetOptions) -> Result<GetResult, TierError> {
        let is_head = options.head;
        let result = self.ask(if is_head { "head" } else { "read" }, path, options).await;
        let result = result.inspect_err(|error| self.count_failure(error))?;
        let GetResult { payload, meta, range, attributes } = result;
        let payload = match payload {
            GetResultPayload::Stream(body) => {
                let (counter, label, failed) = (self.counter.clone(), Arc::clone(&self.origin.label), path.clone());
                let came = Arc::new(AtomicU64::new(0));
                let sum = Arc::clone(&came);
                let counted = body
                    .inspect_ok(move |bytes| {
                        sum.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                        counter.add(Tier::Origin, Figure::BytesRead, bytes.len() as u64);
                    })
                    .map_err(move |error| TierError::of_origin("read", &label, &failed, &error).into());
                // Kept nowhere, it is checked here: a body that ends early must not look like a whole one.
                let wanted = if is_head { 0 } else { range.end - range.start };
                let (store, path) = (self.clone(), path.clone());
                let whole = stream::once(async move {
                    let came = came.load(Ordering::Relaxed);
                    let reason = || format!("the answer ended after {came} of {wanted} bytes");
                    (came != wanted).then(|| Err(store.error(ErrorKind::Unreachable, &path, reason()).into()))
                });
                GetResultPayload::Stream(counted.chain(whole.filter_map(std::future::ready)).boxed())
            }
            file => {
                self.counter.add(Tier::Origin, Figure::BytesRead, if is_head { 0 } else { range.end - range.start });
                file
            }
        };
        Ok(GetResult { payload, meta, range, attributes })
    }

    /// A request that goes straight to the origin since no tier is on: a query sees one version of the object all the same.
    async fn pass_pinned(&self, path: &Path, options: GetOptions) -> Result<GetResult, TierError> {
        let pinned = self.pinned_version(path);
        let options = match &pinned {
            Some(object) if options.if_match.is_none() => options.with_if_match(object.strong_e_tag()),
            _ => options,
        };
        let asked = self.versions.asked(path);
        let result = self.pass_through(path, options).await?;
        let object = match pinned {
            Some(object) => object,
            None => self.pin_version(self.versions.observe(asked, result.meta.clone(), result.attributes.clone()).object),
        };
        if !object.is_same(&result.meta) {
            return Err(self.error(ErrorKind::Precondition, path, "it was replaced while the query read it".into()));
        }
        self.refuse_unlisted(&object)?;
        Ok(result)
    }

    /// Whether requests for an object go straight to the origin and are yet about one version of it.
    fn is_passed_pinned(&self, path: &Path) -> bool {
        self.scope.is_some() && self.policy(path) != VersionPolicy::NoCache
    }

    /// The version that a request with conditions is about, or the error that says that they do not hold.
    async fn resolve_if(&self, path: &Path, options: &GetOptions) -> Result<Resolved, TierError> {
        let object = match self.known(path) {
            Some(object) => object,
            None => {
                let head = GetOptions { range: None, head: true, ..options.clone() };
                self.pin_version(self.head(path, head).await?)
            }
        };
        if let Some(meta) = &object.meta {
            // Asked again here, since not every server heeds conditions.
            options.check_preconditions(meta).map_err(|error| TierError::of_origin("read", &self.origin.label, path, &error))?;
        }
        Ok(object.into())
    }

    /// The version to use without asking the origin, if there is one.
    fn known(&self, path: &Path) -> Option<Arc<ObjectVersion>> {
        let scope = self.scope.as_ref();
        let began = scope.map_or_else(Instant::now, |scope| scope.began);
        let pinned = scope.and_then(|scope| scope.versions.lock().get(path).map(Arc::clone));
        pinned.or_else(|| self.versions.fresh(path, self.policy(path), began))
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult, TierError> {
        let resolved = if is_conditional(&options) {
            self.resolve_if(path, &options).await?
        } else {
            self.resolve(path, self.first_bytes(path, options.range.as_ref())?).await?
        };
        let Some(meta) = resolved.object.meta.clone() else {
            return Err(self.error(ErrorKind::Unreachable, path, "the origin did not describe the object".into()));
        };
        let range = range_in(options.range.as_ref(), meta.size).map_err(|reason| self.error(ErrorKind::InvalidRange, path, reason))?;
        let attributes = resolved.object.attributes.clone();
        let payload = GetResultPayload::Stream(self.body(resolved, range.clone()).await?);
        Ok(GetResult { payload, meta, range, attributes })
    }

    /// Bytes to ask for where no version is known; none where only a `head` can tell which they are.
    pub(crate) fn first_bytes(&self, path: &Path, range: Option<&GetRange>) -> Result<Option<Range<u64>>, TierError> {
        let most = self.tiers.settings.request_bytes;
        match range {
            None => Ok(Some(0..most)),
            Some(GetRange::Offset(start)) => Ok(Some(*start..start.saturating_add(most))),
            Some(GetRange::Bounded(range)) if range.is_empty() => {
                Err(self.error(ErrorKind::InvalidRange, path, format!("the range {range:?} is empty")))
            }
            Some(GetRange::Bounded(range)) => Ok(Some(range.clone())),
            Some(GetRange::Suffix(_)) => Ok(None),
        }
    }

    /// The bytes of a range: at once if it is short, else window by window, one ahead of the reader.
    async fn body(&self, resolved: Resolved, range: Range<u64>) -> Result<BoxStream<'static, object_store::Result<Bytes>>, TierError> {
        let window = self.tiers.settings.request_bytes / self.tiers.blocks.bytes * self.tiers.blocks.bytes;
        if range.end - range.start <= window {
            let bytes = self.ranges(&resolved, std::slice::from_ref(&range)).await?.pop().unwrap_or_default();
            return Ok(stream::once(std::future::ready(Ok(bytes))).boxed());
        }
        let starts = range.start / window..range.end.div_ceil(window);
        let windows = starts.map(move |i| (i * window).max(range.start)..((i + 1) * window).min(range.end));
        let (store, resolved) = (self.clone(), Arc::new(resolved));
        let pieces = stream::iter(windows).map(move |window| {
            let (store, resolved) = (store.clone(), Arc::clone(&resolved));
            async move { store.pieces(&resolved, window).await }
        });
        let pieces = pieces.buffered(2).map_ok(|pieces| stream::iter(pieces.into_iter().map(object_store::Result::Ok)));
        Ok(pieces.map_err(object_store::Error::from).try_flatten().boxed())
    }

    async fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, TierError> {
        for range in ranges {
            self.first_bytes(path, Some(&GetRange::Bounded(range.clone())))?;
        }
        let resolved = self.resolve(path, ranges.first().cloned()).await?;
        let size = resolved.object.size;
        let within = ranges.iter().map(|range| {
            range_in(Some(&GetRange::Bounded(range.clone())), size).map_err(|reason| self.error(ErrorKind::InvalidRange, path, reason))
        });
        let within = within.collect::<Result<Vec<_>, _>>()?;
        self.ranges(&resolved, &within).await
    }

    /// Whether to read once more after an error: the version that was taken for the present one turned out not to be, nothing was handed
    /// out yet, and no query relies on it.
    fn is_worth_another_try(&self, path: &Path, error: &TierError) -> bool {
        let may_change = matches!(self.policy(path), VersionPolicy::Revalidate | VersionPolicy::MaxStaleness(_));
        self.scope.is_none() && may_change && error.kind() == ErrorKind::Precondition
    }

    async fn head_result(&self, path: &Path, options: GetOptions) -> Result<GetResult, TierError> {
        let object = match self.known(path) {
            Some(object) => object,
            None => self.pin_version(self.head(path, options.clone()).await?),
        };
        let Some(meta) = object.meta.clone() else {
            return Err(self.error(ErrorKind::Unreachable, path, "the origin did not describe the object".into()));
        };
        options.check_preconditions(&meta).map_err(|error| TierError::of_origin("head", &self.origin.label, path, &error))?;
        let (range, attributes) = (0..meta.size, object.attributes.clone());
        Ok(GetResult { payload: GetResultPayload::Stream(stream::empty().boxed()), meta, range, attributes })
    }

    pub(crate) fn error(&self, kind: ErrorKind, path: &Path, reason: String) -> TierError {
        TierError::new(Tier::Origin, "read", format!("{}/{path}", self.origin.label), kind, reason)
    }

    /// Listings go to the origin; what they show confirms what is known.
    fn observed(
        &self,
        prefix: Option<&Path>,
        listed: BoxStream<'static, object_store::Result<ObjectMeta>>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.counter.add(Tier::Origin, Figure::Requests, 1);
        let (store, asked_at, label) = (self.clone(), Instant::now(), Arc::clone(&self.origin.label));
        let prefix = prefix.cloned().unwrap_or_default();
        let observed = listed.inspect_ok(move |meta| store.observe_listed(asked_at, meta));
        observed.map_err(move |error| TierError::of_origin("list", &label, &prefix, &error).into()).boxed()
    }

    fn observe_listed(&self, asked_at: Instant, meta: &ObjectMeta) {
        self.versions.observe_listed(asked_at, meta);
        if let Some(scope) = &self.scope {
            scope.listed.lock().insert(meta.location.clone(), meta.size);
        }
    }
}

fn is_conditional(options: &GetOptions) -> bool {
    options.if_match.is_some()
        || options.if_none_match.is_some()
        || options.if_modified_since.is_some()
        || options.if_unmodified_since.is_some()
}

impl fmt::Display for TieredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TieredStore({})", self.origin.label)
    }
}

impl fmt::Debug for TieredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredStore").field("origin", &self.origin).field("is_scoped", &self.scope.is_some()).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for TieredStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> object_store::Result<PutResult> {
        Ok(self.put(location, payload, opts).await?)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        let upload = self.written("write", location, self.origin.store.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(TieredUpload::new(self.clone(), location.clone(), upload)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let goes_straight = options.version.is_some() || !self.is_tiered() || self.policy(location) == VersionPolicy::NoCache;
        if goes_straight && options.version.is_none() && self.is_passed_pinned(location) {
            return Ok(self.pass_pinned(location, options).await?);
        }
        if goes_straight {
            return Ok(self.pass_through(location, options).await?);
        }
        if options.head {
            return Ok(self.head_result(location, options).await?);
        }
        match self.get(location, options.clone()).await {
            Err(error) if !is_conditional(&options) && self.is_worth_another_try(location, &error) => {
                Ok(self.get(location, options).await?)
            }
            result => Ok(result?),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        if !self.is_tiered() && self.is_passed_pinned(location) {
            let read = |range: Range<u64>| async move {
                let options = GetOptions::new().with_range(Some(range));
                self.pass_pinned(location, options).await.map_err(object_store::Error::from)?.bytes().await
            };
            return coalesce_ranges(ranges, read, OBJECT_STORE_COALESCE_DEFAULT).await;
        }
        if !self.is_tiered() || self.policy(location) == VersionPolicy::NoCache {
            self.counter.add(Tier::Origin, Figure::Requests, 1);
            let read = self.origin.store.get_ranges(location, ranges).await;
            let read = read.map_err(|error| TierError::of_origin("read", &self.origin.label, location, &error))?;
            self.counter.add(Tier::Origin, Figure::BytesRead, read.iter().map(|bytes| bytes.len() as u64).sum());
            return Ok(read);
        }
        match self.read_ranges(location, ranges).await {
            Err(error) if self.is_worth_another_try(location, &error) => Ok(self.read_ranges(location, ranges).await?),
            result => Ok(result?),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, object_store::Result<Path>>) -> BoxStream<'static, object_store::Result<Path>> {
        let (before, after) = (self.clone(), self.clone());
        let locations = locations.inspect_ok(move |path| before.forget(path));
        let deleted = self.origin.store.delete_stream(locations.boxed()).map(move |deleted| match deleted {
            Ok(path) => {
                after.counter.add(Tier::Origin, Figure::Requests, 1);
                after.forget(&path);
                Ok(path)
            }
            Err(error) => Err(TierError::of_origin("delete", &after.origin.label, &Path::default(), &error).into()),
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.observed(prefix, self.origin.store.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.observed(prefix, self.origin.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.counter.add(Tier::Origin, Figure::Requests, 1);
        let asked_at = Instant::now();
        let listed = self.origin.store.list_with_delimiter(prefix).await;
        let listed =
            listed.map_err(|error| TierError::of_origin("list", &self.origin.label, prefix.unwrap_or(&Path::default()), &error))?;
        listed.objects.iter().for_each(|meta| self.observe_listed(asked_at, meta));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        Ok(self.written("copy", to, self.origin.store.copy_opts(from, to, options)).await?)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        let renamed = self.written("rename", to, self.origin.store.rename_opts(from, to, options)).await;
        self.forget(from);
        Ok(renamed?)
    }
}
