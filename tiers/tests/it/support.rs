//! Origins, tiers over them, and a store that counts and breaks requests.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutOptions, PutPayload, Result, RetryConfig};
use object_store_tiers::{Figure, Origin, Settings, Tier, TierRow, TieredStore, Tiers, VersionPolicy};
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// A small block, so that small objects have several.
pub(crate) const BLOCK: u64 = 4096;

/// Bytes that are shown by their length and checksum where they differ.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Bytes);

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.slice(range))
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes with checksum {:08x}", self.0.len(), crc32fast::hash(&self.0))
    }
}

impl From<Content> for PutPayload {
    fn from(content: Content) -> Self {
        content.0.into()
    }
}

/// Bytes that depend on the seed and are unlike each other from place to place.
pub(crate) fn bytes(seed: u64, len: usize) -> Content {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    Content((0..len).map(|_| next()).collect())
}

pub(crate) async fn put(store: &dyn ObjectStore, path: &str, bytes: &Content) {
    store.put_opts(&Path::from(path), bytes.clone().into(), PutOptions::default()).await.unwrap();
}

pub(crate) async fn whole(store: &dyn ObjectStore, path: &str) -> Result<Content> {
    store.get_opts(&Path::from(path), GetOptions::default()).await?.bytes().await.map(Content)
}

pub(crate) async fn range(store: &dyn ObjectStore, path: &str, range: Range<u64>) -> Result<Content> {
    store.get_range(&Path::from(path), range).await.map(Content)
}

/// What the server saw.
#[derive(Debug, Default)]
pub(crate) struct ServerLog {
    pub(crate) lines: Mutex<Vec<(String, String)>>,
    pub(crate) body_bytes: AtomicU64,
}

impl ServerLog {
    pub(crate) fn count(&self, method: &str) -> u64 {
        self.lines.lock().iter().filter(|(m, _)| m == method).count() as u64
    }

    pub(crate) fn total(&self) -> u64 {
        self.lines.lock().len() as u64
    }

    pub(crate) fn clear(&self) {
        self.lines.lock().clear();
        self.body_bytes.store(0, Ordering::SeqCst);
    }
}

/// An S3 server on loopback over a folder, with a log of its own.
pub(crate) struct S3 {
    pub(crate) log: Arc<ServerLog>,
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
    connections: Arc<Mutex<Vec<tokio::task::AbortHandle>>>,
    _folder: TempDir,
}

pub(crate) const SECRET: &str = "wJalrXUtnFEMIVERYSECRET";

impl S3 {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single("key", SECRET));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(ServerLog::default());
        let seen = Arc::clone(&log);
        let connections = Arc::new(Mutex::new(Vec::new()));
        let open = Arc::clone(&connections);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, log) = (service.clone(), Arc::clone(&seen));
                let logged = service_fn(move |request: Request<Incoming>| {
                    let (service, log) = (service.clone(), Arc::clone(&log));
                    async move {
                        log.lines.lock().push((request.method().to_string(), request.uri().path().to_owned()));
                        let is_get = request.method() == "GET";
                        let response = Service::call(&service, request).await?;
                        if is_get {
                            let length = response.headers().get("content-length").map_or("0", |text| text.to_str().unwrap());
                            log.body_bytes.fetch_add(length.parse::<u64>().unwrap(), Ordering::SeqCst);
                        }
                        Ok::<_, s3s::HttpError>(response)
                    }
                });
                let serving =
                    tokio::spawn(
                        async move { drop(Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), logged).await) },
                    );
                open.lock().push(serving.abort_handle());
            }
        });
        Self { log, address, server, connections, _folder: folder }
    }

    pub(crate) fn client(&self) -> AmazonS3 {
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        AmazonS3Builder::new()
            .with_endpoint(self.endpoint())
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_bucket_name("bucket")
            .with_access_key_id("key")
            .with_secret_access_key(SECRET)
            .with_retry(retry)
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .build()
            .unwrap()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the server and its connections.
    pub(crate) async fn stop(&self) {
        self.server.abort();
        self.connections.lock().drain(..).for_each(|connection| connection.abort());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Which tiers are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combination {
    None,
    Memory,
    Disk,
    Both,
}

pub(crate) const COMBINATIONS: [Combination; 4] = [Combination::None, Combination::Memory, Combination::Disk, Combination::Both];

impl Combination {
    /// Settings with small blocks; the disk tier lies in `folder`.
    pub(crate) fn settings(self, folder: &FilePath) -> Settings {
        let (memory, disk) = (matches!(self, Self::Memory | Self::Both), matches!(self, Self::Disk | Self::Both));
        let settings = Settings {
            block_bytes: BLOCK,
            memory_limit_bytes: if memory { 4 << 20 } else { 0 },
            in_flight_bytes: 1 << 20,
            request_bytes: 16 * BLOCK,
            read_ahead_bytes: 0,
            ..Settings::default()
        };
        if disk { settings.with_disk(folder, 8 << 20) } else { settings }
    }
}

/// Settings with both tiers and small blocks.
pub(crate) fn both(folder: &FilePath) -> Settings {
    Combination::Both.settings(folder)
}

/// A store with one policy for all paths.
pub(crate) fn store(tiers: &Tiers, label: &str, origin: Arc<dyn ObjectStore>, policy: VersionPolicy) -> TieredStore {
    tiers.store(Origin::new(label, origin).with_policy(move |_| policy))
}

pub(crate) fn row(tiers: &Tiers, tier: Tier) -> TierRow {
    tiers.statistics().into_iter().find(|row| row.tier == tier.name()).unwrap()
}

pub(crate) fn figure(tiers: &Tiers, tier: Tier, figure: Figure) -> u64 {
    tiers.figures().get(tier, figure)
}

/// An origin of each kind. The folder or server lives as long as what is returned beside it.
pub(crate) async fn origins() -> Vec<(&'static str, Arc<dyn ObjectStore>, Box<dyn std::any::Any>)> {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let server = S3::start().await;
    let s3 = server.client();
    vec![
        ("memory", Arc::new(InMemory::new()) as Arc<dyn ObjectStore>, Box::new(())),
        ("local", Arc::new(local), Box::new(folder)),
        ("s3", Arc::new(s3), Box::new(server)),
    ]
}
