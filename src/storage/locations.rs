//! Data files of a table outside of the database: in a location that the configuration names.
//!
//! The Delta log names such a file by a path below the table's folder, and this store knows where it lies:
//!
//! ```text
//! log            _locations/cold/<table id>/year=2020/part-1.parquet
//! this store     <database>/<table>/_locations/cold/<table id>/year=2020/part-1.parquet
//! where it lies  <url of cold>/<table>/<table id>/year=2020/part-1.parquet
//! ```
//!
//! The id in the path keeps tables apart whose databases share a location. A location is opened when a file of it is first asked for. Its
//! files are written once and never changed, so that tiers never ask the location whether they still are what they were.
//!
//! What this leaves out: listings of a table's folder do not tell what lies in locations; who wants that lists `location_folder`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::ready;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult,
};
use object_store_tiers::{Origin, ReadFigures, TIERS, Tier, TieredStore, VersionPolicy};
use parking_lot::Mutex;
use url::Url;

use super::remote::{Opener, RemoteStores, is_remote};
use crate::error::{Error, Result};

/// Folder below a table's in which the log names files that lie elsewhere.
const LOCATIONS_FOLDER: &str = "_locations";
/// Name of the place where files of a table lie by default: its own folder.
pub const HOT: &str = "hot";
/// Names that no location may have: those of the tiers.
const RESERVED: &[&str] = &[HOT, "memory", "disk", "decoded", "origin", "gpu"];
/// Objects that are removed at the same time.
const DELETES_TOGETHER: usize = 8;

/// The locations of a database, by name.
#[derive(Debug, Default)]
pub struct Locations {
    by_name: BTreeMap<String, Location>,
    /// Tiers that files of a table do not pass, by the table's name.
    declined: BTreeMap<String, Vec<Tier>>,
}

/// A place for files of tables: a directory or a part of an object store.
struct Location {
    url: Url,
    /// Path of the place in its store.
    base: Path,
    opener: Opener,
    opened: Mutex<Option<Opened>>,
}

/// The store of a location.
#[derive(Clone)]
struct Opened {
    origin: Arc<dyn ObjectStore>,
    /// Through the tiers, where it is remote.
    tiered: Option<TieredStore>,
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Locations {
    /// Locations by their names, each with its URL; remote ones are opened as `stores` are. Nothing is opened yet.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name or a URL that cannot be, saying what can.
    pub fn try_new<'a>(urls: impl IntoIterator<Item = (&'a str, &'a str)>, database: &Url, stores: &RemoteStores) -> Result<Self> {
        let mut by_name: BTreeMap<String, Location> = BTreeMap::new();
        for (name, url) in urls {
            check_location_name(name).map_err(Error::Usage)?;
            let url = location_url(url).map_err(|reason| Error::Usage(format!("location '{name}': {reason}")))?;
            if url.as_str().starts_with(database.as_str()) {
                return Err(Error::Usage(format!(
                    "location '{name}' lies inside of the database, where its folders would be tables\nhint: give a place outside of {database}"
                )));
            }
            let overlaps = |other: &(&String, &Location)| {
                let other = other.1.url.as_str();
                url.as_str().starts_with(other) || other.starts_with(url.as_str())
            };
            // What one name does not know of would be removed from the other.
            if let Some((other, _)) = by_name.iter().find(overlaps) {
                return Err(Error::Usage(format!(
                    "locations '{other}' and '{name}' share a place\nhint: give each a folder of its own, none inside of the other"
                )));
            }
            let base = Path::from_url_path(url.path()).map_err(|e| Error::Usage(format!("location '{name}': {e}")))?;
            by_name.insert(name.to_owned(), Location { url, base, opener: stores.opener(), opened: Mutex::default() });
        }
        Ok(Self { by_name, declined: BTreeMap::new() })
    }

    /// Says which tiers alone the files of a table pass, where they lie in an object store.
    pub fn set_tiers(&mut self, table: &str, tiers: &[Tier]) {
        let all = TIERS.iter().map(|described| described.tier).filter(|tier| *tier != Tier::Origin);
        self.declined.insert(table.to_owned(), all.filter(|tier| !tiers.contains(tier)).collect());
    }

    /// A store as files of a table are read and written through it.
    fn passing(&self, table: &str, store: TieredStore) -> TieredStore {
        self.declined.get(table).into_iter().flatten().fold(store, |store, tier| store.without(*tier))
    }

    /// Names of all locations, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The URL of a location.
    pub fn url(&self, name: &str) -> Option<&Url> {
        self.by_name.get(name).map(|location| &location.url)
    }

    /// Where a file of a table lies that its log names by this path; `None` for a file in the table's own folder, and in a location that is
    /// not configured.
    pub fn file_url(&self, table: &str, path: &Path) -> Option<Url> {
        let mut parts = path.parts().skip(1);
        let name = location_of(path.as_ref()).and(parts.next())?;
        let mut url = self.url(name.as_ref())?.clone();
        let rest: Vec<_> = parts.collect();
        url.path_segments_mut().ok()?.pop_if_empty().push(table).extend(rest.iter().map(AsRef::as_ref));
        Some(url)
    }

    /// Whether any lies in an object store.
    pub fn has_remote(&self) -> bool {
        self.by_name.values().any(|location| is_remote(&location.url))
    }
}

/// Says why a location cannot have a name.
///
/// # Errors
/// The reason with the remedy.
pub fn check_location_name(name: &str) -> Result<(), String> {
    let is_plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !is_plain {
        return Err(format!("'{name}' is no name of a location: use letters, digits, _ and -"));
    }
    match RESERVED.iter().find(|reserved| reserved.eq_ignore_ascii_case(name)) {
        Some(reserved) => Err(format!("'{reserved}' is a tier of its own: give the location another name")),
        None => Ok(()),
    }
}

/// The URL of a location as it is used: it ends in `/` and holds no credentials.
///
/// # Errors
/// The reason with the remedy; a URL that holds a credential is not repeated.
pub fn location_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("it is no URL ({e}): write s3://bucket/path, or file:///path"))?;
    let is_azure = url.scheme().starts_with('a');
    if url.password().is_some() || url.query().is_some() || (!url.username().is_empty() && !is_azure) {
        return Err("its URL holds a credential: give credentials by the environment (AWS_..., GOOGLE_..., AZURE_...)".into());
    }
    if url.scheme() != "file" && !is_remote(&url) {
        return Err(format!("there is no store for {}://: write file, s3, gs, az or https", url.scheme()));
    }
    let mut url = url;
    url.set_fragment(None);
    url.path_segments_mut().map_err(|()| format!("'{text}' has no path"))?.pop_if_empty().push("");
    Ok(url)
}

/// The location that a path below a table's folder leads to; `None` for a file of the folder itself.
pub fn location_of(path: &str) -> Option<&str> {
    path.strip_prefix(LOCATIONS_FOLDER)?.strip_prefix('/')?.split('/').next()
}

/// The folder, as the log names it, of a table's files in a location.
pub(super) fn location_folder(location: &str, table_id: &str) -> String {
    format!("{LOCATIONS_FOLDER}/{location}/{table_id}")
}

/// The id in a path of [`location_folder`].
pub(super) fn table_id_of(path: &str) -> Option<&str> {
    path.strip_prefix(LOCATIONS_FOLDER)?.strip_prefix('/')?.split('/').nth(1)
}

/// The folder of a file's rows without what leads to a location: `year=2020` of `_locations/cold/<id>/year=2020/part-1.parquet`.
pub(super) fn folder_in_place(path: &str) -> &str {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    match folder.strip_prefix(LOCATIONS_FOLDER) {
        Some(rest) if rest.starts_with('/') => rest.splitn(4, '/').nth(3).unwrap_or_default(),
        _ => folder,
    }
}

impl Location {
    fn open(&self) -> Result<Opened> {
        let mut opened = self.opened.lock();
        if let Some(opened) = opened.as_ref() {
            return Ok(opened.clone());
        }
        let found = match self.opener.open(&self.url)? {
            Some((label, origin)) => {
                let tiered = self.opener.tiers().store(Origin::new(label, Arc::clone(&origin)).with_policy(|_| VersionPolicy::Immutable));
                Opened { origin, tiered: Some(tiered) }
            }
            None => Opened { origin: Arc::new(LocalFileSystem::new()), tiered: None },
        };
        *opened = Some(found.clone());
        Ok(found)
    }

    /// Where a file of a table lies in the store.
    fn path(&self, table: &str, rest: &str) -> Path {
        let base = self.base.as_ref();
        let text = if base.is_empty() { format!("{table}/{rest}") } else { format!("{base}/{table}/{rest}") };
        let text = text.trim_end_matches('/');
        Path::parse(text).unwrap_or_else(|_| Path::from(text))
    }
}

/// Decorates the store of a database: paths of moved files lead to their locations.
#[derive(Clone)]
pub struct LocatedStore {
    inner: Arc<dyn ObjectStore>,
    /// The same as one whose tiers may be passed by, where it is remote.
    tiered: Option<TieredStore>,
    prefix: Path,
    locations: Arc<Locations>,
    /// What the reads of one statement from remote locations are counted in.
    figures: Option<Arc<ReadFigures>>,
}

/// Where a path leads.
enum Route {
    /// To the database itself.
    Own,
    /// To a location.
    Elsewhere {
        store: Arc<dyn ObjectStore>,
        /// The same without tiers.
        origin: Arc<dyn ObjectStore>,
        path: Path,
        shift: Shift,
    },
}

/// The folder of a table's files in a location: here, and there.
struct Shift {
    here: String,
    there: Path,
}

impl Shift {
    /// The path here of an object there.
    fn back(&self, object: ObjectMeta) -> ObjectMeta {
        ObjectMeta { location: self.path_back(&object.location), ..object }
    }

    fn path_back(&self, path: &Path) -> Path {
        let rest = path.as_ref().strip_prefix(self.there.as_ref()).unwrap_or(path.as_ref());
        let text = format!("{}{rest}", self.here);
        Path::parse(&text).unwrap_or_else(|_| Path::from(text))
    }
}

impl fmt::Debug for LocatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocatedStore").field("inner", &self.inner).field("locations", &self.locations).finish_non_exhaustive()
    }
}

impl fmt::Display for LocatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl LocatedStore {
    /// The store `inner` of a database whose tables lie in folders below `prefix`.
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: Path, locations: Arc<Locations>) -> Self {
        Self { inner, tiered: None, prefix, locations, figures: None }
    }

    /// The same, whose `inner` store is remote and read through tiers.
    pub fn with_tiers(self, tiered: Option<TieredStore>) -> Self {
        Self { tiered, ..self }
    }

    /// The same for one query, whose reads of remote locations are counted in `figures`.
    pub fn scoped(&self, figures: &Arc<ReadFigures>) -> Self {
        Self { figures: Some(Arc::clone(figures)), ..self.clone() }
    }

    /// The locations behind.
    pub fn locations(&self) -> &Arc<Locations> {
        &self.locations
    }

    /// The store without tiers of the location that holds a path, and the path there; `None` for a path of the database itself.
    ///
    /// # Errors
    /// [`Error::Usage`] for a location that is not configured, [`Error::Storage`] for one that cannot be opened.
    pub(super) fn origin(&self, path: &Path) -> Result<Option<(Arc<dyn ObjectStore>, Path)>> {
        match self.route("moving", path)? {
            Route::Own => Ok(None),
            Route::Elsewhere { origin, path, .. } => Ok(Some((origin, path))),
        }
    }

    /// Table, location and the path in it, of a path of the database that leads to one.
    fn parts<'a>(&self, path: &'a Path) -> Option<(&'a str, &'a str, &'a str)> {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref())?;
        let below = if self.prefix.as_ref().is_empty() { below } else { below.strip_prefix('/')? };
        let (table, rest) = below.split_once('/')?;
        let rest = rest.strip_prefix(LOCATIONS_FOLDER)?.strip_prefix('/')?;
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        Some((table, name, rest))
    }

    /// The database's own store as files of a path's table are read and written through it.
    fn own(&self, path: &Path) -> Arc<dyn ObjectStore> {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref()).map(|below| below.trim_start_matches('/'));
        let table = below.and_then(|below| below.split_once('/')).map(|(table, _)| table);
        match (table.filter(|table| self.locations.declined.contains_key(*table)), &self.tiered) {
            (Some(table), Some(tiered)) => Arc::new(self.locations.passing(table, tiered.clone())),
            _ => Arc::clone(&self.inner),
        }
    }

    fn route(&self, operation: &str, path: &Path) -> Result<Route> {
        let Some((table, name, rest)) = self.parts(path) else { return Ok(Route::Own) };
        let location = self.locations.by_name.get(name).ok_or_else(|| unknown_location(operation, table, name, rest))?;
        let opened = location.open()?;
        let tiered = opened.tiered.map(|tiered| self.locations.passing(table, tiered));
        let store: Arc<dyn ObjectStore> = match (tiered, &self.figures) {
            (Some(tiered), Some(figures)) => Arc::new(tiered.scoped(Arc::clone(figures))),
            (Some(tiered), None) => Arc::new(tiered),
            (None, _) => Arc::clone(&opened.origin),
        };
        let here = path.as_ref().strip_suffix(rest).unwrap_or_default().trim_end_matches('/');
        let shift = Shift { here: here.to_owned(), there: location.path(table, "") };
        Ok(Route::Elsewhere { store, origin: opened.origin, path: location.path(table, rest), shift })
    }

    /// As [`Self::route`], its failure as the store's.
    fn lead(&self, operation: &str, path: &Path) -> StoreResult<Route> {
        self.route(operation, path).map_err(store_error)
    }

    async fn remove(&self, path: Path) -> StoreResult<Path> {
        match self.lead("removing", &path)? {
            Route::Own => self.inner.delete(&path).await?,
            Route::Elsewhere { store, path: there, .. } => store.delete(&there).await?,
        }
        Ok(path)
    }

    fn listed(&self, prefix: Option<&Path>, offset: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let route = prefix.map_or(Ok(Route::Own), |prefix| self.lead("listing", prefix));
        match (route, offset) {
            (Err(error), _) => futures::stream::once(ready(Err(error))).boxed(),
            (Ok(Route::Own), None) => self.inner.list(prefix),
            (Ok(Route::Own), Some(offset)) => self.inner.list_with_offset(prefix, offset),
            (Ok(Route::Elsewhere { store, path, shift, .. }), offset) => {
                let offset = offset.cloned();
                let listed = store.list(Some(&path)).map_ok(move |object| shift.back(object));
                listed.try_filter(move |object| ready(offset.as_ref().is_none_or(|offset| object.location > *offset))).boxed()
            }
        }
    }
}

fn unknown_location(operation: &str, table: &str, name: &str, file: &str) -> Error {
    let file = if file.is_empty() { String::new() } else { format!(" of file {file}") };
    Error::Usage(format!(
        "table '{table}': {operation}{file} failed: it lies in location '{name}', which is not configured\nhint: name it in tranchedb.toml: [locations.{name}] with its url"
    ))
}

fn store_error(error: Error) -> object_store::Error {
    object_store::Error::Generic { store: "location", source: Box::new(error) }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocatedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        match self.lead("writing", location)? {
            Route::Own => self.own(location).put_opts(location, payload, options).await,
            Route::Elsewhere { store, path, .. } => store.put_opts(&path, payload, options).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> StoreResult<Box<dyn MultipartUpload>> {
        match self.lead("writing", location)? {
            Route::Own => self.own(location).put_multipart_opts(location, options).await,
            Route::Elsewhere { store, path, .. } => store.put_multipart_opts(&path, options).await,
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        match self.lead("reading", location)? {
            Route::Own => self.own(location).get_opts(location, options).await,
            Route::Elsewhere { store, path, shift, .. } => {
                let found = store.get_opts(&path, options).await?;
                Ok(GetResult { meta: shift.back(found.meta), ..found })
            }
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        match self.lead("reading", location)? {
            Route::Own => self.own(location).get_ranges(location, ranges).await,
            Route::Elsewhere { store, path, .. } => store.get_ranges(&path, ranges).await,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        // Without locations the store may remove many by one request.
        if self.locations.by_name.is_empty() {
            return self.inner.delete_stream(locations);
        }
        let store = self.clone();
        let removed = locations.map(move |path| {
            let store = store.clone();
            async move { store.remove(path?).await }
        });
        removed.buffered(DELETES_TOGETHER).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.listed(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.listed(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        let route = prefix.map_or(Ok(Route::Own), |prefix| self.lead("listing", prefix))?;
        let Route::Elsewhere { store, path, shift, .. } = route else { return self.inner.list_with_delimiter(prefix).await };
        let found = store.list_with_delimiter(Some(&path)).await?;
        Ok(ListResult {
            common_prefixes: found.common_prefixes.iter().map(|path| shift.path_back(path)).collect(),
            objects: found.objects.into_iter().map(|object| shift.back(object)).collect(),
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        match (self.lead("copying", from)?, self.lead("copying", to)?) {
            (Route::Own, Route::Own) => self.inner.copy_opts(from, to, options).await,
            _ => Err(between("copying", from)),
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        match (self.lead("renaming", from)?, self.lead("renaming", to)?) {
            (Route::Own, Route::Own) => self.inner.rename_opts(from, to, options).await,
            _ => Err(between("renaming", from)),
        }
    }
}

fn between(operation: &str, path: &Path) -> object_store::Error {
    let reason = format!("{operation} {path}: files in locations are moved by ALTER TABLE ... SET TIER alone");
    object_store::Error::NotSupported { source: reason.into() }
}
