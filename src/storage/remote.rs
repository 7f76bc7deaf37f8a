//! Object stores by URL, made when first used: `s3://`, `gs://`, `az://`, `https://`.
//!
//! Credentials come from the environment, profiles or instance roles, as the `object_store` crate reads them; they are
//! never part of a URL, a plan or a log line.

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
use url::Url;

use super::VisibleStore;
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

/// DataFusion's registry of stores, which opens remote ones when they are first asked for.
///
/// Listings of every store that it opens, that of this machine as well, leave out what is hidden.
#[derive(Debug)]
pub struct RemoteStores {
    known: DefaultObjectStoreRegistry,
}

impl RemoteStores {
    /// A registry with the files of this machine.
    ///
    /// # Errors
    /// [`Error::Internal`], if their URL could not be written.
    pub fn new() -> Result<Self> {
        let known = DefaultObjectStoreRegistry::new();
        let files = Url::parse("file:///").map_err(|error| Error::Internal(error.to_string()))?;
        known.register_store(&files, Arc::new(VisibleStore::new(Arc::new(LocalFileSystem::new()))));
        Ok(Self { known })
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
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        let Some(remote) = REMOTE_STORES.iter().find(|remote| remote.schemes.contains(&url.scheme())) else {
            let known = REMOTE_STORES.iter().flat_map(|remote| remote.schemes).copied().collect::<Vec<_>>().join(", ");
            return Err(DataFusionError::Plan(format!("no store for {}://; known are file, {known}", url.scheme())));
        };
        remote.require_credentials(url)?;
        let store = (remote.open)(url)
            .map_err(|e| Error::storage(format!("opening {} with what the environment says ({})", place(url), remote.settings), e))?;
        let store: Arc<dyn ObjectStore> = Arc::new(VisibleStore::new(store));
        self.known.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}
