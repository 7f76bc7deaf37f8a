//! Object stores by URL, made when first used: `s3://`, `gs://`, `az://`, `https://`.
//!
//! Credentials come from the environment, profiles or instance roles, as the `object_store` crate reads them; they are
//! never part of a URL, a plan or a log line. Every remote store is read through the tiers of the engine.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ClientOptions;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store_tiers::{Origin, ReadFigures, TieredStore, Tiers, VersionPolicy};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use url::Url;

use super::{DATABASE_FOLDER, VisibleStore};
use crate::error::{Error, Result};

/// One kind of remote store: its URL schemes and how it is opened.
struct RemoteStore {
    schemes: &'static [&'static str],
    /// Environment variables of which one must say who asks; the first few are named when none is set. Empty where nobody needs to.
    ///
    /// Without any, the store's library would ask the metadata service of a cloud machine and wait minutes for it; the last variable
    /// of each list names that service and so allows it.
    credentials: &'static [&'static str],
    /// What else the environment may have to say, for messages.
    settings: &'static str,
    open: fn(&Url) -> object_store::Result<Arc<dyn ObjectStore>>,
}

/// Every kind of remote store.
const REMOTE_STORES: &[RemoteStore] = &[
    RemoteStore {
        schemes: &["s3", "s3a"],
        credentials: &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SKIP_SIGNATURE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_METADATA_ENDPOINT",
        ],
        settings: "AWS_REGION, AWS_ENDPOINT",
        open: |url| Ok(Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?)),
    },
    RemoteStore {
        schemes: &["gs"],
        credentials: &[
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SKIP_SIGNATURE",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "SERVICE_ACCOUNT",
            "GCE_METADATA_HOST",
        ],
        settings: "GOOGLE_SERVICE_ACCOUNT",
        open: |url| Ok(Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?)),
    },
    RemoteStore {
        schemes: &["az", "abfs", "abfss", "azure", "adl"],
        credentials: &[
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_SKIP_SIGNATURE",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_TOKEN",
            "AZURE_CLIENT_ID",
            "AZURE_STORAGE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_USE_AZURE_CLI",
            "AZURE_STORAGE_USE_EMULATOR",
            "AZURE_USE_FABRIC_ENDPOINT",
            "IDENTITY_ENDPOINT",
            "AZURE_MSI_ENDPOINT",
        ],
        settings: "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ENDPOINT",
        open: |url| Ok(Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)),
    },
    RemoteStore {
        schemes: &["http", "https"],
        credentials: &[],
        settings: "none",
        open: |url| {
            let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
            Ok(Arc::new(HttpBuilder::new().with_client_options(options).with_url(&url[..url::Position::BeforePath]).build()?))
        },
    },
];

impl RemoteStore {
    fn require_credentials(&self, url: &Url) -> Result<()> {
        let Some(metadata) = self.credentials.last() else { return Ok(()) };
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if self.credentials.iter().any(is_set) || (self.schemes.contains(&"gs") && has_gcloud_login()) {
            return Ok(());
        }
        let [usual, public, ..] = self.credentials else { return Ok(()) };
        let reason = format!(
            "the environment holds no credentials: set {usual}, or {public}=true for public files, or {metadata} to ask a cloud machine's own service"
        );
        Err(Error::storage(format!("opening {}", place(url)), reason))
    }
}

/// Whether `gcloud auth application-default login` left its file, which the library reads.
fn has_gcloud_login() -> bool {
    std::env::home_dir().is_some_and(|home| home.join(".config/gcloud/application_default_credentials.json").exists())
}

/// Scheme and host of a URL, without what could be a password.
fn place(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Logs and marks are read from the store itself; whatever else lies there may be replaced at any time.
fn version_policy(path: &Path) -> VersionPolicy {
    let in_log = path.parts().any(|part| matches!(part.as_ref(), "_delta_log" | DATABASE_FOLDER));
    if in_log { VersionPolicy::NoCache } else { VersionPolicy::Revalidate }
}

/// What tells one store from another: scheme, host and port; a container, which Azure writes before the host; who asks, where the URL says it.
fn store_key(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let place = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
    match (url.username(), url.password()) {
        ("", None) => place,
        (container, None) if url.scheme().starts_with("a") => {
            format!("{}://{container}@{}{port}", url.scheme(), url.host_str().unwrap_or_default())
        }
        (user, password) => {
            let digest = Sha256::digest(format!("{user}:{}", password.unwrap_or_default()));
            format!("{place}#{}", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

/// DataFusion's registry of stores, which opens remote ones when they are first asked for.
///
/// Listings of every store that it opens, that of this machine as well, leave out what is hidden. Remote ones are read through tiers.
#[derive(Debug)]
pub struct RemoteStores {
    known: DefaultObjectStoreRegistry,
    tiers: Tiers,
    /// The remote stores that were opened, by [`store_key`].
    tiered: Mutex<HashMap<String, TieredStore>>,
}

impl RemoteStores {
    /// A registry with the files of this machine.
    ///
    /// # Errors
    /// [`Error::Internal`], if their URL could not be written.
    pub fn new(tiers: Tiers) -> Result<Self> {
        let known = DefaultObjectStoreRegistry::new();
        let files = Url::parse("file:///").map_err(|error| Error::Internal(error.to_string()))?;
        known.register_store(&files, Arc::new(VisibleStore::new(Arc::new(LocalFileSystem::new()))));
        Ok(Self { known, tiers, tiered: Mutex::default() })
    }

    /// The tiers through which remote stores are read.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Whether any remote store was opened.
    pub fn has_remote(&self) -> bool {
        !self.tiered.lock().is_empty()
    }

    /// The remote store of a URL, through the tiers.
    ///
    /// # Errors
    /// [`Error::Storage`] without credentials, or where the environment's settings do not fit; `None` for a scheme without a store.
    pub fn open(&self, url: &Url) -> Result<Option<TieredStore>> {
        let Some(remote) = REMOTE_STORES.iter().find(|remote| remote.schemes.contains(&url.scheme())) else { return Ok(None) };
        let key = store_key(url);
        if let Some(store) = self.tiered.lock().get(&key) {
            return Ok(Some(store.clone()));
        }
        remote.require_credentials(url)?;
        let store = (remote.open)(url)
            .map_err(|e| Error::storage(format!("opening {} with what the environment says ({})", place(url), remote.settings), e))?;
        let store = self.tiers.store(Origin::new(key.as_str(), store).with_policy(version_policy));
        Ok(Some(self.tiered.lock().entry(key).or_insert(store).clone()))
    }

    fn missing(url: &Url) -> DataFusionError {
        let known = REMOTE_STORES.iter().flat_map(|remote| remote.schemes).copied().collect::<Vec<_>>().join(", ");
        DataFusionError::Plan(format!("no store for {}://; known are file, {known}", url.scheme()))
    }
}

impl ObjectStoreRegistry for RemoteStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.known.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        // Those of this machine, and what a program has registered itself.
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        let store = self.open(url)?.ok_or_else(|| Self::missing(url))?;
        Ok(Arc::new(VisibleStore::new(Arc::new(store))))
    }
}

/// The stores as one query sees them: one version of each object throughout, and figures of its own.
#[derive(Debug)]
pub struct QueryStores {
    all: Arc<RemoteStores>,
    figures: Arc<ReadFigures>,
    /// The remote stores that the query has opened, by [`store_key`].
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl QueryStores {
    /// The stores of one more query, and what it will have read from the tiers.
    pub fn new(all: &Arc<RemoteStores>) -> (Self, Arc<ReadFigures>) {
        let figures = Arc::new(ReadFigures::new());
        (Self { all: Arc::clone(all), figures: Arc::clone(&figures), opened: Mutex::default() }, figures)
    }
}

impl ObjectStoreRegistry for QueryStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.all.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        self.all.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> datafusion::common::Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.all.known.get_store(url) {
            return Ok(store);
        }
        let store = self.all.open(url)?.ok_or_else(|| RemoteStores::missing(url))?;
        let scoped = || Arc::new(VisibleStore::new(Arc::new(store.scoped(Arc::clone(&self.figures))))) as Arc<dyn ObjectStore>;
        Ok(Arc::clone(self.opened.lock().entry(store_key(url)).or_insert_with(scoped)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_told_apart_by_all_that_leads_to_other_files() {
        let key = |url: &str| store_key(&Url::parse(url).unwrap());
        assert_eq!(key("s3://bucket/a/b"), key("s3://bucket/c"));
        assert_ne!(key("http://127.0.0.1:8001/a"), key("http://127.0.0.1:8002/a"));
        assert_ne!(key("abfss://one@host.net/a"), key("abfss://two@host.net/a"));
        assert_ne!(key("http://alice:x@host/a"), key("http://bob:x@host/a"));
        assert!(!key("http://alice:secret@host/a").contains("secret"));
    }

    #[test]
    fn logs_and_marks_are_never_kept() {
        let policy = |path: &str| version_policy(&Path::from(path));
        assert_eq!(policy("db/s/_delta_log/00000000000000000000.json"), VersionPolicy::NoCache);
        assert_eq!(policy("db/_tranchedb/database.json"), VersionPolicy::NoCache);
        assert_eq!(policy("runs/6f3c1d84-9a3b-4b1e-8d3c-0123456789ab.parquet"), VersionPolicy::Revalidate);
    }
}
