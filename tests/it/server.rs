//! An S3 server on this machine whose conditional writes are conditional, and whose requests go wrong as a test says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tranchedb::EngineConfig;
use tranchedb::config::TierConfig;

/// Who may ask, where the server wants to know.
pub(crate) const KEY: &str = "user-of-the-test";
/// The secret that belongs to [`KEY`].
pub(crate) const SECRET: &str = "hidden-in-the-test";

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Head,
    List,
    Put,
    Part,
    Delete,
}

impl Call {
    /// Whether the store is another one afterwards.
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Part | Self::Delete)
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server is busy.
    Busy,
    /// The answer comes late.
    Late(Duration),
    /// The body ends early.
    Short,
    /// The connection breaks in the middle of the body.
    Broken,
    /// It is done, and the answer says that it is not.
    AnswerLost,
    /// The credentials have no right to it.
    Denied,
    /// The credentials were good once.
    Expired,
}

type Rule = Box<dyn FnMut(Call, &str) -> Option<Fault> + Send>;

/// What the server saw, and what is to go wrong.
#[derive(Default)]
struct Desk {
    rule: Mutex<Option<Rule>>,
    seen: Mutex<Vec<(Call, String)>>,
}

impl Desk {
    fn note(&self, call: Call, key: &str) -> Option<Fault> {
        self.seen.lock().push((call, key.to_owned()));
        self.rule.lock().as_mut().and_then(|rule| rule(call, key))
    }
}

/// A server over a folder, each folder below it a bucket, as long as its runtime.
pub(crate) struct Server {
    address: SocketAddr,
    desk: Arc<Desk>,
}

impl Server {
    /// Starts one for anybody, or for who has the key and the secret.
    pub(crate) async fn start(folder: &Path, credentials: Option<(&str, &str)>) -> Self {
        let desk = Arc::new(Desk::default());
        let files = FileSystem::new(folder).expect("a folder");
        let mut service = S3ServiceBuilder::new(Buckets { files, turn: RwLock::default(), desk: Arc::clone(&desk) });
        if let Some((key, secret)) = credentials {
            service.set_auth(SimpleAuth::from_single(key, secret));
        }
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move { Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await });
            }
        });
        Self { address, desk }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// An engine's settings for a database here.
    pub(crate) fn config(&self, location: &str) -> EngineConfig {
        let options = [
            ("aws_endpoint", self.endpoint()),
            ("allow_http", "true".to_owned()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", KEY.to_owned()),
            ("aws_secret_access_key", SECRET.to_owned()),
        ];
        EngineConfig {
            location: Some(location.to_owned()),
            store_options: options.into_iter().collect(),
            tiers: TierConfig { origin_timeout: Some(Duration::from_secs(5)), ..TierConfig::default() },
            ..EngineConfig::default()
        }
    }

    /// From now on requests go wrong as `rule` says.
    pub(crate) fn go_wrong(&self, rule: impl FnMut(Call, &str) -> Option<Fault> + Send + 'static) {
        *self.desk.rule.lock() = Some(Box::new(rule));
    }

    /// From now on all goes well.
    pub(crate) fn go_well(&self) {
        *self.desk.rule.lock() = None;
    }

    /// What was asked since the last time, with the keys.
    pub(crate) fn take_seen(&self) -> Vec<(Call, String)> {
        std::mem::take(&mut self.desk.seen.lock())
    }
}

/// The buckets of a folder. A write is alone, so that what it requires of the object still holds when it is done.
struct Buckets {
    files: FileSystem,
    turn: RwLock<()>,
    desk: Arc<Desk>,
}

impl Buckets {
    /// Notes a request, and ends it if it is to go wrong before anything is done; says what is to go wrong later.
    async fn begin(&self, call: Call, key: &str) -> S3Result<Option<Fault>> {
        let fault = self.desk.note(call, key);
        match fault {
            Some(Fault::Busy) => Err(s3_error!(SlowDown, "reduce your request rate")),
            Some(Fault::Denied) => Err(s3_error!(AccessDenied, "Access Denied")),
            Some(Fault::Expired) => Err(s3_error!(ExpiredToken, "The provided token has expired.")),
            Some(Fault::Late(by)) => {
                tokio::time::sleep(by).await;
                Ok(None)
            }
            later => Ok(later),
        }
    }
}

/// The end of a request that was done.
fn end<T>(fault: Option<Fault>, done: S3Result<T>) -> S3Result<T> {
    if fault == Some(Fault::AnswerLost) { Err(s3_error!(SlowDown, "reduce your request rate")) } else { done }
}

/// Half of a body, and then its end or a failure.
async fn half(body: StreamingBlob, is_broken: bool) -> StreamingBlob {
    let pieces: Vec<Bytes> = body.map(|piece| piece.expect("a file that can be read")).collect().await;
    let whole = pieces.concat();
    let first = Ok(Bytes::copy_from_slice(&whole[..whole.len() / 2]));
    let broken = is_broken.then(|| Err(std::io::Error::other("the connection breaks")));
    StreamingBlob::wrap(stream::iter([first].into_iter().chain(broken).collect::<Vec<_>>()))
}

#[async_trait]
impl S3 for Buckets {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let fault = self.begin(Call::Get, &request.input.key).await?;
        let _turn = self.turn.read().await;
        let wanted = request.input.if_match.clone();
        let mut found = self.files.get_object(request).await?;
        if let (Some(ETagCondition::ETag(wanted)), Some(tag)) = (&wanted, &found.output.e_tag)
            && !tag.strong_cmp(wanted)
        {
            return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
        }
        if matches!(fault, Some(Fault::Short | Fault::Broken))
            && let Some(body) = found.output.body.take()
        {
            found.output.body = Some(half(body, fault == Some(Fault::Broken)).await);
        }
        Ok(found)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.begin(Call::Head, &request.input.key).await?;
        let _turn = self.turn.read().await;
        self.files.head_object(request).await
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.begin(Call::List, request.input.prefix.as_deref().unwrap_or_default()).await?;
        let _turn = self.turn.read().await;
        self.files.list_objects_v2(request).await
    }

    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let fault = self.begin(Call::Put, &request.input.key).await?;
        // The whole body first: others do not wait for a slow sender.
        if let Some(body) = request.input.body.take() {
            let pieces: Vec<Bytes> = body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?;
            request.input.body =
                Some(StreamingBlob::wrap(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>).collect::<Vec<_>>())));
        }
        let _turn = self.turn.write().await;
        end(fault, self.files.put_object(request).await)
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let fault = self.begin(Call::Put, &request.input.key).await?;
        let _turn = self.turn.write().await;
        end(fault, self.files.copy_object(request).await)
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let fault = self.begin(Call::Part, &request.input.key).await?;
        end(fault, self.files.create_multipart_upload(request).await)
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let fault = self.begin(Call::Part, &request.input.key).await?;
        end(fault, self.files.upload_part(request).await)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let fault = self.begin(Call::Part, &request.input.key).await?;
        let _turn = self.turn.write().await;
        end(fault, self.files.complete_multipart_upload(request).await)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.begin(Call::Part, &request.input.key).await?;
        self.files.abort_multipart_upload(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let fault = self.begin(Call::Delete, &request.input.key).await?;
        let _turn = self.turn.write().await;
        end(fault, self.files.delete_object(request).await)
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let key = request.input.delete.objects.first().map(|object| object.key.clone()).unwrap_or_default();
        let fault = self.begin(Call::Delete, &key).await?;
        let _turn = self.turn.write().await;
        end(fault, self.files.delete_objects(request).await)
    }
}
