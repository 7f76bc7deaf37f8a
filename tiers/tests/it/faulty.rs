//! An origin that counts, waits and fails as it is told.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The server is busy.
    Busy,
    /// The body ends early, without an error.
    Short,
    /// The connection breaks in the middle of the body.
    Broken,
    /// The server falls silent in the middle of the body.
    Silent,
    /// No answer at all.
    Hung,
    /// The answer takes its time, in small pieces.
    Slow,
    /// More bytes than asked for.
    Long,
    /// The object is replaced by these bytes just before the request.
    Replaced(Bytes),
}

/// What goes wrong with one write.
#[derive(Debug, Clone)]
pub(crate) enum WriteFault {
    /// The server does not do it.
    Refused,
    /// The server does it, and its answer is lost.
    AnswerLost,
}

pub(crate) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    /// Faults of the requests to come; none for a request that goes well.
    pub(crate) faults: Mutex<VecDeque<Option<Fault>>>,
    pub(crate) write_faults: Mutex<VecDeque<Option<WriteFault>>>,
    /// A permit for each request that may pass.
    pub(crate) gate: Semaphore,
    pub(crate) gets: AtomicU64,
    pub(crate) heads: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) is_offline: AtomicBool,
    /// Whether answers lack the ETag, as those of some servers.
    pub(crate) hides_e_tags: AtomicBool,
    /// What objects were replaced by.
    pub(crate) replaced: Mutex<Vec<Bytes>>,
    /// The ranges and conditions of the requests, in order.
    pub(crate) asked: Mutex<Vec<GetOptions>>,
}

impl Faulty {
    pub(crate) fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults: Mutex::default(),
            write_faults: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            gets: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_offline: AtomicBool::new(false),
            hides_e_tags: AtomicBool::new(false),
            replaced: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    pub(crate) fn gets(&self) -> u64 {
        self.gets.load(Ordering::SeqCst)
    }

    pub(crate) fn heads(&self) -> u64 {
        self.heads.load(Ordering::SeqCst)
    }

    pub(crate) fn offline(&self, is_offline: bool) {
        self.is_offline.store(is_offline, Ordering::SeqCst);
    }

    /// Holds all requests up until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
    }

    fn break_body(&self, result: GetResult, fault: Option<Fault>, body: Bytes) -> GetResult {
        let half = body.len() / 2;
        let piece = |bytes: Bytes| stream::iter([Ok(bytes)]);
        let stream: BoxStream<'static, Result<Bytes>> = match fault {
            Some(Fault::Short) => piece(body.slice(..half)).boxed(),
            Some(Fault::Broken) => piece(body.slice(..half)).chain(stream::iter([Err(broken("connection reset by peer"))])).boxed(),
            Some(Fault::Silent) => piece(body.slice(..half)).chain(stream::pending()).boxed(),
            Some(Fault::Long) => piece(body).chain(piece(Bytes::from_static(b"more"))).boxed(),
            Some(Fault::Slow) => {
                let pieces: Vec<Bytes> = (0..body.len()).step_by(1000).map(|at| body.slice(at..body.len().min(at + 1000))).collect();
                stream::iter(pieces)
                    .then(|bytes| async move {
                        tokio::time::sleep(Duration::from_micros(200)).await;
                        Ok(bytes)
                    })
                    .boxed()
            }
            _ => {
                self.bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
                piece(body).boxed()
            }
        };
        GetResult { payload: GetResultPayload::Stream(stream), ..result }
    }
}

fn broken(text: &'static str) -> Error {
    Error::Generic { store: "Faulty", source: text.into() }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let is_head = options.head;
        if is_head { &self.heads } else { &self.gets }.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().push(options.clone());
        let fault = self.faults.lock().pop_front().flatten();
        drop(self.gate.acquire().await.unwrap());
        if self.is_offline.load(Ordering::SeqCst) {
            return Err(broken("connection refused"));
        }
        match &fault {
            Some(Fault::Busy) => return Err(broken("503 Slow Down")),
            Some(Fault::Hung) => std::future::pending().await,
            Some(Fault::Replaced(bytes)) => {
                self.replaced.lock().push(bytes.clone());
                drop(self.inner.put_opts(location, bytes.clone().into(), PutOptions::default()).await?);
            }
            _ => {}
        }
        let mut result = self.inner.get_opts(location, options).await?;
        if self.hides_e_tags.load(Ordering::SeqCst) {
            result.meta.e_tag = None;
        }
        if is_head {
            return Ok(result);
        }
        let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let body = result.bytes().await?;
        let empty = GetResult { payload: GetResultPayload::Stream(stream::empty().boxed()), meta, range, attributes };
        Ok(self.break_body(empty, fault, body))
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.write_faults.lock().pop_front().flatten();
        match fault {
            Some(WriteFault::Refused) => Err(broken("503 Slow Down")),
            Some(WriteFault::AnswerLost) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(broken("connection reset by peer"))
            }
            None => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
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
