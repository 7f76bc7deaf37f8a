//! Object stores by URL, made when first used: `s3://`, `gs://`, `az://`, `https://`.
//!
//! Credentials come from the environment, profiles or instance roles, as the `object_store` crate reads them, or from the options of the
//! engine; they are never part of a URL, a plan or a log line. Every remote store is read through the tiers of the engine.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use object_store_tiers::{Origin, ReadFigures, TieredStore, Tiers, VersionPolicy};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::identified::IdentifiedStore;
use super::log_stores::register_log_stores;
use super::query_stores::{statement_figures, statement_store};
use super::{DATABASE_FOLDER, LocatedStore, Locations, Root, VisibleStore};
use crate::config::StoreOptions;
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
    /// Why no database can lie there; none where one can.
    not_a_database: Option<&'static str>,
    /// The one name that the store's library has for a setting, by any of its names; none for a setting of another store.
    canonical: fn(&str) -> Option<String>,
    open: fn(&Url, &Opening) -> object_store::Result<Arc<dyn ObjectStore>>,
}

/// How stores are opened.
#[derive(Debug, Clone)]
struct Opening {
    options: StoreOptions,
    /// How long requests are sent again.
    retry_for: Duration,
}

impl Opening {
    /// The options that a kind of store knows.
    fn of<K: FromStr>(&self) -> impl Iterator<Item = (K, String)> {
        self.options.iter().filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.to_owned())))
    }

    fn retry(&self) -> RetryConfig {
        RetryConfig { retry_timeout: self.retry_for, ..RetryConfig::default() }
    }
}

/// The library panics at an endpoint that is no URL.
fn check_endpoint(setting: &str, endpoint: Option<String>) -> object_store::Result<()> {
    let is_url = |text: &String| Url::parse(text).is_ok_and(|url| url.has_host() && url.scheme().starts_with("http"));
    if endpoint.as_ref().is_none_or(is_url) {
        return Ok(());
    }
    Err(object_store::Error::Generic {
        store: "S3",
        source: format!("{setting} is no URL: write https://host, or http://host:port").into(),
    })
}

fn canonical<K: FromStr + AsRef<str>>(name: &str) -> Option<String> {
    name.to_ascii_lowercase().parse::<K>().ok().map(|key| key.as_ref().to_owned())
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
        not_a_database: None,
        canonical: canonical::<AmazonS3ConfigKey>,
        open: |url, how| {
            let builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(how.retry());
            let builder = how.of().fold(builder, |builder, (key, value)| builder.with_config(key, value));
            check_endpoint("AWS_ENDPOINT", builder.get_config_value(&AmazonS3ConfigKey::Endpoint))?;
            Ok(Arc::new(builder.build()?))
        },
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
        not_a_database: None,
        canonical: canonical::<GoogleConfigKey>,
        open: |url, how| {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(how.retry());
            Ok(Arc::new(how.of().fold(builder, |builder, (key, value)| builder.with_config(key, value)).build()?))
        },
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
        not_a_database: None,
        canonical: canonical::<AzureConfigKey>,
        open: |url, how| {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(how.retry());
            Ok(Arc::new(how.of().fold(builder, |builder, (key, value)| builder.with_config(key, value)).build()?))
        },
    },
    RemoteStore {
        schemes: &["http", "https"],
        credentials: &[],
        settings: "none",
        not_a_database: Some("web servers list no folders and take no conditional writes"),
        canonical: |_| None,
        open: |url, how| {
            let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
            let builder = HttpBuilder::new().with_client_options(options).with_retry(how.retry());
            Ok(Arc::new(builder.with_url(&url[..url::Position::BeforePath]).build()?))
        },
    },
];

impl RemoteStore {
    fn of(url: &Url) -> Option<&'static Self> {
        REMOTE_STORES.iter().find(|remote| remote.schemes.contains(&url.scheme()))
    }

    fn require_credentials(&self, url: &Url, options: &StoreOptions) -> Result<()> {
        let Some(metadata) = self.credentials.last() else { return Ok(()) };
        let given: HashSet<String> = options.iter().filter_map(|(name, _)| (self.canonical)(name)).collect();
        let is_given = |name: &str| (self.canonical)(name).is_some_and(|name| given.contains(&name));
        let is_set = |name: &&str| is_given(name) || std::env::var_os(name).is_some_and(|value| !value.is_empty());
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

/// Folders of Delta tables in one store: they were opened as such.
type TableFolders = Arc<RwLock<HashSet<String>>>;

/// Logs and marks are read from the store itself. Files of Delta tables have names of their own, and never change under them; whatever
/// else lies there may be replaced at any time.
fn version_policy(path: &Path, tables: &RwLock<HashSet<String>>) -> VersionPolicy {
    if path.parts().any(|part| matches!(part.as_ref(), "_delta_log" | DATABASE_FOLDER)) {
        return VersionPolicy::NoCache;
    }
    let text = path.as_ref();
    let is_of_table = || {
        let tables = tables.read();
        text.match_indices('/').any(|(end, _)| tables.contains(&text[..end]))
    };
    if path.filename().is_some_and(has_uuid) && is_of_table() { VersionPolicy::Immutable } else { VersionPolicy::Revalidate }
}

/// Characters of a UUID with its dashes.
const UUID_LENGTH: usize = 36;

/// Whether a UUID is part of the name, as of every file that writers of Delta tables make.
fn has_uuid(name: &str) -> bool {
    let dashes = name.match_indices('-').filter_map(|(dash, _)| dash.checked_sub(8));
    dashes.filter_map(|start| name.get(start..start + UUID_LENGTH)).any(|text| Uuid::try_parse(text).is_ok())
}

/// What tells one store from another: scheme, host and port; a container, which Azure writes before the host; who asks, where the URL says it.
pub(super) fn store_key(url: &Url) -> String {
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

/// Whether there is a remote store for a URL.
pub(super) fn is_remote(url: &Url) -> bool {
    RemoteStore::of(url).is_some()
}

/// Opens remote stores that are nobody else's, by the options and with the tiers of an engine.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    opening: Opening,
    tiers: Tiers,
}

impl Opener {
    /// The tiers through which stores may be read.
    pub(super) fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// The remote store of a URL, without tiers, and what tells it from others; `None` for a scheme without a store.
    ///
    /// # Errors
    /// [`Error::Storage`] without credentials, or where the environment's settings do not fit.
    pub(super) fn open(&self, url: &Url) -> Result<Option<(String, Arc<dyn ObjectStore>)>> {
        let Some(remote) = RemoteStore::of(url) else { return Ok(None) };
        remote.require_credentials(url, &self.opening.options)?;
        let store = (remote.open)(url, &self.opening)
            .map_err(|e| Error::storage(format!("opening {} with what the environment says ({})", place(url), remote.settings), e))?;
        Ok(Some((store_key(url), store)))
    }
}

/// What registries of stores need to know of the database.
#[derive(Debug)]
struct DatabasePlace {
    url: Url,
    prefix: Path,
    locations: Arc<Locations>,
}

/// A remote store as one of files: what is hidden is left out, and versions are told apart.
pub(super) fn as_files(url: &Url, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    Arc::new(VisibleStore::new(Arc::new(IdentifiedStore::new(store, &store_key(url)))))
}

/// A remote store that was opened.
#[derive(Debug)]
struct OpenedStore {
    store: TieredStore,
    /// The same without tiers.
    origin: Arc<dyn ObjectStore>,
    tables: TableFolders,
}

/// DataFusion's registry of stores, which opens remote ones when they are first asked for.
///
/// Listings of every store that it opens, that of this machine as well, leave out what is hidden. Remote ones are read through tiers.
#[derive(Debug)]
pub struct RemoteStores {
    pub(super) known: DefaultObjectStoreRegistry,
    tiers: Tiers,
    opening: Opening,
    /// The remote stores that were opened, by [`store_key`].
    opened: Mutex<HashMap<String, OpenedStore>>,
    database: OnceLock<DatabasePlace>,
    /// Milliseconds for which what is known of an object is used without asking its store.
    max_staleness_ms: Arc<AtomicU64>,
}

impl RemoteStores {
    /// A registry with the files of this machine. Remote stores are opened with `options`, and requests to them are sent again for
    /// `retry_for`.
    ///
    /// # Errors
    /// [`Error::Usage`] for an option that no store has.
    pub fn new(tiers: Tiers, options: &StoreOptions, retry_for: Duration) -> Result<Self> {
        let is_known = |name: &str| REMOTE_STORES.iter().any(|remote| (remote.canonical)(name).is_some());
        if let Some((name, _)) = options.iter().find(|(name, _)| !is_known(name)) {
            return Err(Error::Usage(format!(
                "no object store has an option '{name}'\nhint: they are named as the environment's variables, in small letters: aws_endpoint, \
                 aws_region, azure_storage_account_name, allow_http, ..."
            )));
        }
        let schemes = REMOTE_STORES.iter().filter(|remote| remote.not_a_database.is_none()).flat_map(|remote| remote.schemes);
        register_log_stores(schemes.copied());
        let known = DefaultObjectStoreRegistry::new();
        let files = Url::parse("file:///").map_err(|error| Error::Internal(error.to_string()))?;
        known.register_store(&files, Arc::new(VisibleStore::new(Arc::new(LocalFileSystem::new()))));
        Ok(Self {
            known,
            tiers,
            opening: Opening { options: options.clone(), retry_for },
            opened: Mutex::default(),
            database: OnceLock::new(),
            max_staleness_ms: Arc::default(),
        })
    }

    /// The tiers through which remote stores are read.
    pub fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Sets how long what is known of an object is used without asking its store; zero asks for every query. Logs of tables are always
    /// asked for.
    pub fn set_max_staleness(&self, most: Duration) {
        self.max_staleness_ms.store(u64::try_from(most.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Opens stores as these are.
    pub(super) fn opener(&self) -> Opener {
        Opener { opening: self.opening.clone(), tiers: self.tiers.clone() }
    }

    /// Makes the database known: its tables are read where their files lie, and who lists them sees no unfinished ones.
    pub fn register_database(&self, root: &Root) {
        if !root.is_remote() {
            self.known.register_store(root.url(), Arc::new(VisibleStore::new(root.own_store())));
        }
        // A second call would be the same database.
        let place = DatabasePlace { url: root.url().clone(), prefix: root.prefix().clone(), locations: Arc::clone(root.locations()) };
        let _ = self.database.set(place);
    }

    /// The store of a URL with the locations of the database, if it is the one that holds the database.
    pub(super) fn located(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
        tiered: Option<TieredStore>,
        figures: Option<&Arc<ReadFigures>>,
    ) -> Arc<dyn ObjectStore> {
        let Some(database) = self.database.get().filter(|database| store_key(&database.url) == store_key(url)) else { return store };
        let located = LocatedStore::new(store, database.prefix.clone(), Arc::clone(&database.locations)).with_tiers(tiered);
        Arc::new(match figures {
            Some(figures) => located.scoped(figures),
            None => located,
        })
    }

    /// A remote store that was opened, without tiers.
    pub(super) fn origin(&self, url: &Url) -> Option<Arc<dyn ObjectStore>> {
        self.opened.lock().get(&store_key(url)).map(|opened| Arc::clone(&opened.origin))
    }

    /// Whether a query may read from a remote store: one was opened, or files of the database lie in one.
    pub fn has_remote(&self) -> bool {
        !self.opened.lock().is_empty() || self.database.get().is_some_and(|database| database.locations.has_remote())
    }

    /// The remote store of a URL, through the tiers.
    ///
    /// # Errors
    /// [`Error::Storage`] without credentials, or where the environment's settings do not fit; `None` for a scheme without a store.
    pub fn open(&self, url: &Url) -> Result<Option<TieredStore>> {
        if let Some(opened) = self.opened.lock().get(&store_key(url)) {
            return Ok(Some(opened.store.clone()));
        }
        let Some((key, origin)) = self.opener().open(url)? else { return Ok(None) };
        let tables = TableFolders::default();
        let (known_tables, staleness) = (Arc::clone(&tables), Arc::clone(&self.max_staleness_ms));
        let tiered = Origin::new(key.as_str(), Arc::clone(&origin)).with_policy(move |path| match version_policy(path, &known_tables) {
            VersionPolicy::Revalidate => match staleness.load(Ordering::Relaxed) {
                0 => VersionPolicy::Revalidate,
                most => VersionPolicy::MaxStaleness(Duration::from_millis(most)),
            },
            policy => policy,
        });
        let store = self.tiers.store(tiered);
        Ok(Some(self.opened.lock().entry(key).or_insert(OpenedStore { store, origin, tables }).store.clone()))
    }

    /// The remote store of a database.
    ///
    /// # Errors
    /// [`Error::Usage`] for a URL that no database can have, else as [`RemoteStores::open`].
    pub(super) fn open_database(&self, url: &Url) -> Result<TieredStore> {
        let refused = |reason: &str| Error::Usage(format!("a database at {}:// is not supported: {reason}", url.scheme()));
        let is_place = |remote: &&RemoteStore| remote.not_a_database.is_none();
        let schemes = REMOTE_STORES.iter().filter(is_place).flat_map(|remote| remote.schemes).copied().collect::<Vec<_>>().join("://, ");
        let Some(remote) = RemoteStore::of(url) else { return Err(refused(&format!("give a directory or a URL of {schemes}://"))) };
        if let Some(reason) = remote.not_a_database {
            return Err(refused(&format!(
                "{reason}\nhint: give a directory or a URL of {schemes}://; files of web servers are tables by their quoted URL"
            )));
        }
        let scheme = url.scheme();
        let wrong = |reason: String| Err(Error::Usage(format!("the URL of a database is scheme, bucket and folder alone: {reason}")));
        if url.host_str().is_none_or(str::is_empty) {
            return wrong(format!("this one names no bucket\nhint: write {scheme}://bucket/folder"));
        }
        // Plans name stores by scheme and host: two containers of one account would be one.
        if scheme.starts_with('a') && !url.username().is_empty() && url.password().is_none() {
            let (container, path) = (url.username(), url.path());
            return wrong(format!(
                "this one names an account\nhint: write {scheme}://{container}{path}, and the account into AZURE_STORAGE_ACCOUNT_NAME"
            ));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return wrong("this one holds more\nhint: credentials belong in the environment".into());
        }
        self.open(url)?.ok_or_else(|| refused("no store was opened"))
    }

    /// Notes that a folder of a store that was opened is that of a Delta table: its files never change under their names.
    pub(super) fn note_table(&self, url: &Url, folder: &Path) {
        if let Some(opened) = self.opened.lock().get(&store_key(url))
            && !opened.tables.read().contains(folder.as_ref())
        {
            opened.tables.write().insert(folder.to_string());
        }
    }

    pub(super) fn missing(url: &Url) -> DataFusionError {
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
        // What a statement is planned by, it sees as it will when it runs.
        let figures = statement_figures();
        // Those of this machine, and what a program has registered itself.
        if let Ok(store) = self.known.get_store(url) {
            return Ok(self.located(url, store, None, figures.as_ref()));
        }
        let store = match statement_store(url) {
            Some(store) => store,
            None => self.open(url)?.ok_or_else(|| Self::missing(url))?,
        };
        Ok(self.located(url, as_files(url, Arc::new(store.clone())), Some(store), figures.as_ref()))
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
        let tables = RwLock::new(HashSet::from(["db/s".to_owned()]));
        let policy = |path: &str| version_policy(&Path::from(path), &tables);
        assert_eq!(policy("db/s/_delta_log/00000000000000000000.json"), VersionPolicy::NoCache);
        assert_eq!(policy("db/_tranchedb/database.json"), VersionPolicy::NoCache);
        assert_eq!(policy("runs/6f3c1d84-9a3b-4b1e-8d3c-0123456789ab.parquet"), VersionPolicy::Revalidate);
        assert_eq!(policy("db/s/year=2024/part-6f3c1d84-9a3b-4b1e-8d3c-0123456789ab.zstd.parquet"), VersionPolicy::Immutable);
        assert_eq!(policy("db/s/_managed"), VersionPolicy::Revalidate);
        assert_eq!(policy("db/s2/part-00000-6f3c1d84-9a3b-4b1e-8d3c-0123456789ab-c000.parquet"), VersionPolicy::Revalidate);
    }

    #[test]
    fn an_option_that_no_store_has_is_refused_and_no_value_is_shown() {
        let tiers = || Tiers::open(object_store_tiers::Settings::default()).unwrap();
        let with = |name: &str| {
            let options: StoreOptions = [(name, "hidden-value")].into_iter().collect();
            assert!(!format!("{options:?}").contains("hidden-value"));
            RemoteStores::new(tiers(), &options, Duration::from_secs(1))
        };
        for endpoint in ["127.0.0.1:9000", "localhost:9000", "minio"] {
            let refused = check_endpoint("AWS_ENDPOINT", Some(endpoint.to_owned())).unwrap_err().to_string();
            assert!(refused.contains("AWS_ENDPOINT is no URL"), "{refused}");
        }
        assert!(check_endpoint("AWS_ENDPOINT", Some("http://127.0.0.1:9000".to_owned())).is_ok());
        for name in ["aws_secret_access_key", "AWS_ENDPOINT", "google_service_account", "azure_storage_account_key", "allow_http"] {
            assert!(with(name).is_ok(), "{name}");
        }
        let refused = with("aws_sekret").unwrap_err().to_string();
        assert!(refused.contains("aws_sekret") && !refused.contains("hidden-value"), "{refused}");
    }

    #[test]
    fn a_database_lies_only_where_it_can_be_written() {
        let options: StoreOptions = [("aws_skip_signature", "true")].into_iter().collect();
        let stores = RemoteStores::new(Tiers::open(object_store_tiers::Settings::default()).unwrap(), &options, Duration::from_secs(1));
        let stores = stores.unwrap();
        let opened = |url: &str| stores.open_database(&Url::parse(url).unwrap()).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(opened("s3://bucket/db"), Ok(()));
        for (url, part) in [
            ("https://host/db", "take no conditional writes"),
            ("tape://reel/db", "give a directory or a URL of s3://"),
            ("s3:///db", "names no bucket"),
            ("abfss://box@account.dfs.core.windows.net/db", "write abfss://box/db, and the account into AZURE_STORAGE_ACCOUNT_NAME"),
            ("s3://user:hidden@bucket/db", "credentials belong in the environment"),
            ("s3://bucket/db?versionId=1", "scheme, bucket and folder alone"),
        ] {
            let refused = opened(url).unwrap_err();
            assert!(refused.contains(part) && !refused.contains("hidden"), "{url}: {refused}");
        }
    }
}
