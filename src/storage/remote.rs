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
use url::Url;

/// One kind of remote store: its URL schemes and how it is opened.
struct RemoteStore {
    schemes: &'static [&'static str],
    open: fn(&Url) -> object_store::Result<Arc<dyn ObjectStore>>,
}

/// Every kind of remote store.
const REMOTE_STORES: &[RemoteStore] = &[
    RemoteStore { schemes: &["s3", "s3a"], open: |url| Ok(Arc::new(AmazonS3Builder::from_env().with_url(url.as_str()).build()?)) },
    RemoteStore {
        schemes: &["gs", "gcs"],
        open: |url| Ok(Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).build()?)),
    },
    RemoteStore {
        schemes: &["az", "abfs", "abfss", "azure", "adl"],
        open: |url| Ok(Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?)),
    },
    RemoteStore {
        schemes: &["http", "https"],
        open: |url| {
            let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
            Ok(Arc::new(HttpBuilder::new().with_client_options(options).with_url(&url[..url::Position::BeforePath]).build()?))
        },
    },
];

/// DataFusion's registry of stores, which opens remote ones when they are first asked for.
#[derive(Debug, Default)]
pub struct RemoteStores {
    known: DefaultObjectStoreRegistry,
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
        let store = (remote.open)(url).map_err(|e| DataFusionError::ObjectStore(Box::new(e)))?;
        self.known.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}
