//! The root of a database: one object store and a place in it.

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};
use url::Url;

use super::RemoteStores;
use super::joint::Coordination;
use super::query_stores::{statement_figures, statement_store};
use super::{LocatedStore, Locations};
use crate::error::{Error, Result};

/// Folder beside the tables that holds what is not a table: format marker, views, external tables.
pub const DATABASE_FOLDER: &str = "_tranchedb";

/// The newest database format this engine reads and the one it writes.
const FORMAT: u32 = 1;

/// Object store and place of one database. Clones share the store.
#[derive(Clone)]
pub struct Root {
    store: Arc<dyn ObjectStore>,
    url: Url,
    prefix: Path,
    /// The stores of which this is one; none in a directory and in memory.
    remote: Option<Arc<RemoteStores>>,
    /// Places outside of the database where files of tables may lie.
    locations: Arc<Locations>,
    /// How writers of several tables keep out of each other's way here.
    pub(super) coordination: Coordination,
}

/// Content of the format marker.
#[derive(Serialize, Deserialize)]
struct FormatMarker {
    format: u32,
    engine: String,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("url", &self.url.as_str()).finish()
    }
}

impl Root {
    /// A root that lives in memory as long as the value and its clones.
    pub fn in_memory() -> Result<Self> {
        Self::over(Arc::new(InMemory::new()), "memory:///database/")
    }

    /// The root at a directory or at the URL of a folder in an object store.
    ///
    /// # Errors
    /// [`Error::Usage`] for a URL that no database can have; [`Error::Storage`] when the place cannot be read; [`Error::Database`] when it
    /// is a file, or was written by a newer format.
    pub async fn locate(location: &str, stores: &Arc<RemoteStores>) -> Result<Self> {
        let root = Self::at(location, stores)?;
        if !root.check_format().await? && root.is_remote() {
            root.check_bucket().await?;
        }
        Ok(root)
    }

    /// The root at a place that is not looked at yet.
    fn at(location: &str, stores: &Arc<RemoteStores>) -> Result<Self> {
        match Url::parse(location) {
            Ok(url) if url.scheme() != "file" && url.scheme().len() > 1 => Self::at_remote(url, stores),
            // Not shown: what does not parse may hold a secret.
            Err(error) if location.contains("://") => Err(Error::Usage(format!(
                "the database's URL cannot be read: {error}\nhint: write s3://bucket/folder; credentials belong in the environment"
            ))),
            _ => Self::at_directory(location),
        }
    }

    /// Reads a small file directly in the directory of a database, with its path for messages and the directory where there is one on this
    /// machine; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::locate`], of which nothing else is looked at.
    pub async fn read_beside(location: &str, stores: &Arc<RemoteStores>, file: &str) -> Result<Option<(String, Bytes, Option<PathBuf>)>> {
        let root = Self::at(location, stores)?;
        let path = root.below(&[file]);
        let found = match root.read(&path).await {
            Ok(found) => found,
            Err(error) => {
                // A place that cannot be read at all is told as such.
                root.check_format().await?;
                return Err(error);
            }
        };
        Ok(found.map(|content| (root.shown(&path), content, root.directory())))
    }

    /// The root at a local directory, which is created at the first write if it is missing.
    ///
    /// # Errors
    /// [`Error::Usage`] for a URL; [`Error::Database`] when the place is a file, cannot be read, or was written by a newer format.
    pub async fn open(location: &str) -> Result<Self> {
        let root = Self::at_directory(location)?;
        root.check_format().await?;
        Ok(root)
    }

    fn at_directory(location: &str) -> Result<Self> {
        let directory = match Url::parse(location) {
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| Error::Usage(format!("'{location}' is not a path on this machine")))?
            }
            _ => FsPath::new(location).to_path_buf(),
        };
        if directory.exists() && !directory.is_dir() {
            return Err(Error::Database(format!("'{location}' is a file: a database is a directory")));
        }
        let directory = std::path::absolute(&directory).map_err(|e| Error::storage(format!("finding '{location}'"), e))?;
        let url = Url::from_directory_path(&directory).map_err(|()| Error::Usage(format!("'{location}' is not a usable path")))?;
        Self::over(Arc::new(LocalFileSystem::new().with_automatic_cleanup(true)), url.as_str())
    }

    fn at_remote(mut url: Url, stores: &Arc<RemoteStores>) -> Result<Self> {
        let store = stores.open_database(&url)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self { remote: Some(Arc::clone(stores)), ..Self::over(Arc::new(store), url.as_str())? })
    }

    /// A missing object does not tell whether its bucket is there; a listing does.
    async fn check_bucket(&self) -> Result<()> {
        match self.store.list(Some(&self.prefix)).try_next().await {
            Ok(_) => Ok(()),
            Err(error @ object_store::Error::NotFound { .. }) => {
                let bucket = self.url.host_str().unwrap_or_default();
                Err(Error::storage(format!("opening the database {}: there is no bucket '{bucket}'", self.url), error))
            }
            Err(error) => Err(Error::storage(format!("opening the database {}", self.url), error)),
        }
    }

    fn over(store: Arc<dyn ObjectStore>, url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(|e| Error::Internal(format!("database URL {url}: {e}")))?;
        let prefix = Path::from_url_path(url.path()).map_err(|e| Error::Usage(format!("unusable path in {url}: {e}")))?;
        let coordination = Coordination::of(&url);
        Ok(Self { store, url, prefix, remote: None, locations: Arc::default(), coordination })
    }

    /// The same place, where files of tables may lie in locations.
    #[must_use]
    pub fn with_locations(self, locations: Locations) -> Self {
        Self { locations: Arc::new(locations), ..self }
    }

    /// Places outside of the database where files of tables may lie.
    pub fn locations(&self) -> &Arc<Locations> {
        &self.locations
    }

    /// The store as the statement that runs sees it, with the locations.
    pub fn located(&self) -> LocatedStore {
        let statement = self.remote.as_ref().and_then(|_| statement_store(&self.url));
        let inner = statement.clone().map_or_else(|| Arc::clone(&self.store), |store| Arc::new(store) as Arc<dyn ObjectStore>);
        let tiered = statement.or_else(|| self.remote.as_ref()?.open(&self.url).ok()?);
        let located = LocatedStore::new(inner, self.prefix.clone(), Arc::clone(&self.locations)).with_tiers(tiered);
        match statement_figures() {
            Some(figures) => located.scoped(&figures),
            None => located,
        }
    }

    /// The store without tiers that holds a path, and the path there: what was written is read back from it.
    ///
    /// # Errors
    /// [`Error::Usage`] for a location that is not configured, [`Error::Storage`] for one that cannot be opened.
    pub(super) fn origin(&self, path: &Path) -> Result<(Arc<dyn ObjectStore>, Path)> {
        if let Some(elsewhere) = self.located().origin(path)? {
            return Ok(elsewhere);
        }
        let origin = self.remote.as_ref().and_then(|stores| stores.origin(&self.url));
        Ok((origin.unwrap_or_else(|| Arc::clone(&self.store)), path.clone()))
    }

    /// The same place through another store.
    #[cfg(test)]
    pub(super) fn over_store(&self, store: Arc<dyn ObjectStore>) -> Self {
        Self { store, ..self.clone() }
    }

    /// The object store that holds the database, as the statement that runs sees it.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.located())
    }

    /// The object store through which the files and the log of a table are read and written; paths in it are those of
    /// [`Root::table_path`].
    pub fn table_store(&self, _name: &str) -> Arc<dyn ObjectStore> {
        self.store()
    }

    /// Notes that a table is there: its files never change under their names, and are not asked for anew.
    pub(super) fn note_table(&self, name: &str) {
        if let Some(remote) = &self.remote {
            remote.note_table(&self.url, &self.table_path(name));
        }
    }

    /// Whether the database lies in an object store.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The store that holds the database, whoever reads, without locations.
    pub(super) fn own_store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Path of the database in its store.
    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// URL of the database, ending in `/`.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// URL of a table's folder, ending in `/`.
    ///
    /// # Errors
    /// [`Error::Usage`] when `name` cannot be a folder name.
    pub fn table_url(&self, name: &str) -> Result<Url> {
        check_table_name(name)?;
        let mut url = self.url.clone();
        url.path_segments_mut().map_err(|()| Error::Internal("database URL without path".into()))?.pop_if_empty().push(name).push("");
        Ok(url)
    }

    /// Path of a table's folder in the store.
    pub fn table_path(&self, name: &str) -> Path {
        self.below(&[name])
    }

    /// Path of a file in the database's own folder, `parts` below it.
    pub fn own_path(&self, parts: &[&str]) -> Path {
        self.below(&[&[DATABASE_FOLDER], parts].concat())
    }

    /// A path below the root, its parts as they are: joining would percent-encode letters beyond ASCII, and the Delta log
    /// does not.
    fn below(&self, parts: &[&str]) -> Path {
        let text = parts.iter().fold(self.prefix.to_string(), |path, part| format!("{path}/{part}"));
        Path::parse(&text).unwrap_or_else(|_| parts.iter().fold(self.prefix.clone(), |path, part| path.join(*part)))
    }

    /// A path as messages show it: that of the file, where it is one, or the URL.
    pub(super) fn shown(&self, path: &Path) -> String {
        match self.local(path) {
            Some(file) => file.display().to_string(),
            None if self.is_remote() => format!("{}/{path}", &self.url[..url::Position::BeforePath]),
            None => path.to_string(),
        }
    }

    /// The local file or folder at a path; `None` in memory and in an object store.
    pub(super) fn local(&self, path: &Path) -> Option<PathBuf> {
        let directory = self.directory()?;
        Some(path.prefix_match(&self.prefix)?.fold(directory, |file, part| file.join(part.as_ref())))
    }

    /// The directory of the database, where it lies in one.
    fn directory(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok()).flatten()
    }

    /// Removes the folder and those it lies in up to the root, as far as they are empty: a write that failed has made them.
    pub fn prune(&self, folder: &Path) {
        let (Some(root), Some(folder)) = (self.directory(), self.local(folder)) else { return };
        let below = folder.ancestors().take_while(|folder| *folder != root && folder.starts_with(&root));
        // The first that is not empty, or is gone already, ends it: another writer may be at work there.
        below.map(std::fs::remove_dir).take_while(|removed| removed.is_ok() || is_gone(removed)).for_each(drop);
    }

    /// Names directly below the root: (folders, files with their sizes in bytes). A missing directory is empty.
    pub async fn list(&self) -> Result<(Vec<String>, Vec<(String, u64)>)> {
        let listed =
            self.store().list_with_delimiter(Some(&self.prefix)).await.map_err(|e| Error::storage(format!("listing {}", self.url), e))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let folders = listed.common_prefixes.iter().filter_map(name).collect();
        let files = listed.objects.iter().filter_map(|o| Some((name(&o.location)?, o.size))).collect();
        Ok((folders, files))
    }

    /// Names of the files directly in a folder; none if it is missing.
    pub async fn names_in(&self, folder: &Path) -> Result<Vec<String>> {
        let listed = self
            .store()
            .list_with_delimiter(Some(folder))
            .await
            .map_err(|e| Error::storage(format!("listing {}", self.shown(folder)), e))?;
        Ok(listed.objects.iter().filter_map(|o| o.location.filename().map(str::to_owned)).collect())
    }

    /// Reads a whole small object; `None` if there is none.
    pub async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store().get(path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(|e| Error::storage(format!("reading {}", self.shown(path)), e)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(Error::storage(format!("reading {}", self.shown(path)), e)),
        }
    }

    /// Writes a whole small object, replacing the one before; readers see the old or the new one.
    pub async fn write(&self, path: &Path, content: impl Into<Bytes>) -> Result<()> {
        self.store().put(path, content.into().into()).await.map_err(|e| Error::storage(format!("writing {}", self.shown(path)), e))?;
        Ok(())
    }

    /// Removes an object; a missing one is no error.
    pub async fn remove(&self, path: &Path) -> Result<()> {
        match self.store().delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(Error::storage(format!("removing {}", self.shown(path)), e)),
        }
    }

    /// Marks a folder as that of a managed table before its first file: without a log such a folder is no table, whatever
    /// files a crash left in it.
    ///
    /// # Errors
    /// [`Error::Usage`] when `name` cannot be a folder name, [`Error::Conflict`] when the folder holds somebody's files.
    pub async fn claim_folder(&self, name: &str) -> Result<()> {
        self.table_url(name)?;
        let failed = |e| Error::storage(format!("listing {}", self.shown(&self.table_path(name))), e);
        let occupied = self.store().list(Some(&self.table_path(name))).try_next().await.map_err(failed)?.is_some();
        if occupied && !self.is_claimed(name).await? {
            return Err(Error::Conflict(format!(
                "the folder '{name}' holds files that are no table of this database: choose another name"
            )));
        }
        self.write(&self.claim(name), "a table of TrancheDB: its rows are what _delta_log says\n").await
    }

    /// Takes the mark away again, where nothing came of the table.
    pub async fn release_folder(&self, name: &str) -> Result<()> {
        self.remove(&self.claim(name)).await
    }

    /// Whether the folder is that of a managed table.
    pub async fn is_claimed(&self, name: &str) -> Result<bool> {
        Ok(self.read(&self.claim(name)).await?.is_some())
    }

    fn claim(&self, name: &str) -> Path {
        self.table_path(name).join("_managed")
    }

    /// Removes everything below a table's folder.
    pub async fn remove_folder(&self, name: &str) -> Result<()> {
        self.remove_folder_and(name, &[]).await
    }

    /// As [`Self::remove_folder`], and objects elsewhere that are the table's too.
    pub(super) async fn remove_folder_and(&self, name: &str, elsewhere: &[Path]) -> Result<()> {
        check_table_name(name)?;
        let folder = self.table_path(name);
        let failed = |e| Error::storage(format!("removing {}", self.shown(&folder)), e);
        let objects: Vec<_> = self.store().list(Some(&folder)).try_collect().await.map_err(failed)?;
        // The Delta log goes first, oldest commit first, and the mark last: a crash in between leaves the newest version or
        // a folder that is no table, never an older version and never a table without files.
        let log_folder = folder.clone().join("_delta_log");
        let (mut log, data): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| o.location.prefix_matches(&log_folder));
        log.sort_by(|a, b| a.location.cmp(&b.location));
        let claim = self.claim(name);
        for object in &log {
            self.remove(&object.location).await?;
        }
        let files = data.into_iter().map(|object| object.location).filter(|path| *path != claim);
        self.remove_all(files.chain(elsewhere.iter().cloned()).collect()).await?;
        self.remove(&claim).await
    }

    /// Removes objects in any order, by as few requests as the store needs; missing ones are no error.
    async fn remove_all(&self, paths: Vec<Path>) -> Result<()> {
        let mut removed = self.store().delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(e) => return Err(Error::storage(format!("removing files of {}", self.url), e)),
            }
        }
        Ok(())
    }

    /// Marks the place as a database of this format, once, before its first table.
    pub async fn initialise(&self) -> Result<()> {
        let marker = FormatMarker { format: FORMAT, engine: env!("CARGO_PKG_VERSION").into() };
        let text = serde_json::to_vec_pretty(&marker).map_err(|e| Error::Internal(e.to_string()))?;
        let options = PutOptions::from(PutMode::Create);
        match self.store().put_opts(&self.own_path(&["database.json"]), text.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(e) => Err(Error::storage(format!("making the database {}", self.shown(&self.prefix)), e)),
        }
    }

    /// Checks the format marker, if there is one, and says whether there is.
    async fn check_format(&self) -> Result<bool> {
        let path = self.own_path(&["database.json"]);
        let Some(bytes) = self.read(&path).await? else { return Ok(false) };
        let marker: FormatMarker = serde_json::from_slice(&bytes)
            .map_err(|e| Error::Database(format!("{}: {DATABASE_FOLDER}/database.json is damaged: {e}", self.url)))?;
        if marker.format > FORMAT {
            return Err(Error::Database(format!(
                "{} has format {} (written by tranchedb {}); this program reads up to format {FORMAT}: use a newer tranchedb",
                self.url, marker.format, marker.engine
            )));
        }
        Ok(true)
    }
}

fn is_gone(removed: &std::io::Result<()>) -> bool {
    matches!(removed, Err(e) if e.kind() == std::io::ErrorKind::NotFound)
}

/// Table names become folder names: letters, digits, spaces and most signs, but nothing that leads elsewhere.
fn check_table_name(name: &str) -> Result<()> {
    let forbidden = |c: char| c.is_control() || "/\\#?%*:\"<>|".contains(c);
    let reason = if name.is_empty() {
        "is empty"
    } else if name.starts_with(['_', '.']) {
        "starts with '_' or '.', which is kept for the engine's own folders"
    } else if name.contains(forbidden) {
        "contains a sign that a folder name cannot hold (one of / \\ # ? % * : \" < > |)"
    } else if name.len() > 200 {
        "is longer than 200 bytes"
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!("table name '{name}' {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_names_never_lead_out_of_the_database() {
        for name in ["", "..", "a/b", "_delta_log", ".hidden", "a\\b", "a\0", "50%"] {
            assert!(check_table_name(name).is_err(), "{name:?}");
        }
        for name in ["strategies", "my table", "Größe", "a-b.c"] {
            assert!(check_table_name(name).is_ok(), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_database_of_a_newer_format_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let root = Root::open(&directory.path().to_string_lossy()).await.expect("new root");
        let marker = r#"{"format": 99, "engine": "9.0.0"}"#;
        root.write(&root.own_path(&["database.json"]), marker).await.expect("marker written");
        let refused = Root::open(&directory.path().to_string_lossy()).await.expect_err("newer format");
        assert!(refused.to_string().contains("format 99"), "{refused}");
    }
}
