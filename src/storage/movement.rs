//! Data files of a table move to a location and back.
//!
//! ```text
//! 1  each file is copied under a new name, read back and compared     readers see the old version; the copies belong to nobody
//! 2  one Delta commit names the copies in the place of the originals  the commit point
//! 3  VACUUM removes the originals once no version needs them          as any other file that was removed
//! ```
//!
//! Rows do not change, so that the commit says `dataChange = false`. What a program leaves that dies in between are copies that no version
//! names; VACUUM removes them too. A new name for every copy: a path that an older version names is never written again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{Duration, Utc};
use deltalake::DeltaTable;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::kernel::{Action, Add, LogicalFileView, Remove};
use deltalake::protocol::DeltaOperation;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::delta::{NOTE_KEY, commit_info, delta_error, load_newest, load_table};
use super::locations::{folder_in_place, location_folder, location_of, table_id_of};
use super::{HOT, JointWriter, Root};
use crate::error::{Error, Result};

/// Files that are copied at the same time.
const COPIES_TOGETHER: usize = 4;
/// How often a commit is tried anew that another writer has come before.
const ATTEMPTS: usize = 5;
/// Key of a commit's note that identifies the change.
const CHANGE_NOTE: &str = "change";

/// What is to move: files of a table, to a tier.
#[derive(Debug)]
pub struct Movement<'a> {
    /// Name of the table.
    pub table: &'a str,
    /// Paths of its files below its folder, as the log names them.
    pub paths: HashSet<String>,
    /// Name of a location, or [`HOT`].
    pub tier: &'a str,
    /// What the commit's note says.
    pub note: Value,
}

/// What has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file that is to move, and its copy.
struct Copy {
    old: String,
    from: Path,
    to: Path,
    bytes: u64,
    add: Add,
    remove: Remove,
}

/// Moves files of a table, all by one commit. Files that are no longer part of the table when the commit comes about are left out.
///
/// # Errors
/// [`Error::Conflict`] when other writers keep coming first, [`Error::Verification`] when a copy differs from its original,
/// [`Error::Storage`]; then the table is as it was.
pub async fn move_files(root: &Root, mut movement: Movement<'_>) -> Result<Moved> {
    let name = movement.table;
    let table = newest(root, name).await?;
    let mut copies = planned(root, &movement, &table)?;
    if copies.is_empty() {
        return Ok(Moved::default());
    }
    movement.note[CHANGE_NOTE] = Value::from(uuid::Uuid::new_v4().to_string());
    let copying: Vec<BoxFuture<'_, Result<()>>> = copies.iter().map(|copy| copy_file(root, name, copy).boxed()).collect();
    let copied = futures::stream::iter(copying).buffer_unordered(COPIES_TOGETHER).try_collect::<Vec<()>>().await;
    let outcome = match copied {
        Ok(_) => commit_in_turn(root, &movement, table, &mut copies).await,
        Err(error) => Err(NotMoved::Surely(error)),
    };
    match outcome {
        Ok(moved) => Ok(moved),
        Err(NotMoved::Surely(error)) => {
            discard(root, &copies).await;
            Err(error)
        }
        Err(NotMoved::Perhaps(error)) => {
            tracing::warn!(table = name, "copies may be part of the table and are kept; VACUUM removes them when no version needs them");
            Err(error)
        }
    }
}

/// A movement that failed.
enum NotMoved {
    /// No version names the copies, and none ever will.
    Surely(Error),
    /// The commit was sent, and nobody can tell that it will not come in.
    Perhaps(Error),
}

/// Commits the copies while nothing is vacuumed, dropped or restored: a copy that went meanwhile would be missed.
async fn commit_in_turn(
    root: &Root,
    movement: &Movement<'_>,
    table: DeltaTable,
    copies: &mut Vec<Copy>,
) -> std::result::Result<Moved, NotMoved> {
    let turn = JointWriter::begin(root).await.map_err(NotMoved::Surely)?;
    let outcome = match all_there(root, movement.table, copies).await {
        Ok(()) => commit(root, movement, table, copies).await,
        Err(error) => Err(NotMoved::Surely(error)),
    };
    turn.end().await;
    outcome
}

async fn all_there(root: &Root, name: &str, copies: &[Copy]) -> Result<()> {
    let store = root.store();
    for copy in copies {
        let found = store.head(&copy.to).await;
        let found =
            found.map_err(|e| Error::storage(format!("table '{name}': copy {} is gone before it was part of the table", copy.to), e))?;
        if found.size != copy.bytes {
            return Err(Error::Verification(format!("table '{name}': copy {} has {} bytes, not {}", copy.to, found.size, copy.bytes)));
        }
    }
    Ok(())
}

async fn newest(root: &Root, name: &str) -> Result<DeltaTable> {
    load_table(root, name, None).await?.ok_or_else(|| Error::Usage(format!("'{name}' is not a table with versions: its files cannot move")))
}

/// The files of a movement in a version of the table.
fn planned(root: &Root, movement: &Movement<'_>, table: &DeltaTable) -> Result<Vec<Copy>> {
    let snapshot = table.snapshot().map_err(|e| delta_error(movement.table, e))?;
    let id = snapshot.metadata().id();
    let chosen = snapshot.log_data().into_iter().filter(|view| movement.paths.contains(view.path().as_ref()));
    chosen.map(|view| planned_file(root, movement, &view, id)).collect()
}

#[expect(deprecated, reason = "the log offers no other access to all facts of a file")]
fn planned_file(root: &Root, movement: &Movement<'_>, view: &LogicalFileView, table_id: &str) -> Result<Copy> {
    let old = view.object_store_path().to_string();
    let extension = old.rsplit('/').next().and_then(|file| file.split_once('.')).map_or("parquet", |(_, extension)| extension);
    let place = if movement.tier == HOT { String::new() } else { location_folder(movement.tier, table_id) };
    let file = format!("part-{}.{extension}", uuid::Uuid::new_v4());
    let new = [place.as_str(), folder_in_place(&old), &file].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let full = |path: &str| {
        let text = format!("{}/{path}", root.table_path(movement.table));
        Path::parse(&text).map_err(|e| Error::Internal(format!("path {path} of table '{}': {e}", movement.table)))
    };
    let add = Add { path: new.clone(), modification_time: Utc::now().timestamp_millis(), data_change: false, ..view.add_action() };
    let remove = view.remove_action(false);
    Ok(Copy { old: view.path().into_owned(), from: full(&old)?, to: full(&new)?, bytes: view.size().unsigned_abs(), add, remove })
}

/// Length and SHA-256 of bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Contents {
    bytes: u64,
    hash: Sha256State,
}

#[derive(Debug, Default, Clone)]
struct Sha256State(Sha256);

impl PartialEq for Sha256State {
    fn eq(&self, other: &Self) -> bool {
        self.0.clone().finalize() == other.0.clone().finalize()
    }
}

impl Eq for Sha256State {}

impl Contents {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.0.update(bytes);
    }
}

async fn copy_file(root: &Root, name: &str, copy: &Copy) -> Result<()> {
    let failed = |doing: &str, path: &Path, e: object_store::Error| Error::storage(format!("table '{name}': {doing} {path}"), e);
    let (source, from) = root.origin(&copy.from)?;
    let (target, to) = root.origin(&copy.to)?;
    let written = write_copy(source.as_ref(), &from, &target, &to).await;
    let written = written.map_err(|e| failed("copying", &from, e))?;
    if written.bytes != copy.bytes {
        return Err(Error::Database(format!(
            "table '{name}': file {from} has {} bytes and {} in the log: it was replaced or damaged; nothing was moved",
            written.bytes, copy.bytes
        )));
    }
    let read = contents(target.as_ref(), &to).await.map_err(|e| failed("reading back", &to, e))?;
    match read == written {
        true => Ok(()),
        false => Err(Error::Verification(format!("table '{name}': the copy {to} differs from {from}; nothing was moved"))),
    }
}

async fn write_copy(source: &dyn ObjectStore, from: &Path, target: &Arc<dyn ObjectStore>, to: &Path) -> object_store::Result<Contents> {
    let mut chunks = source.get(from).await?.into_stream();
    let mut sink = BufWriter::new(Arc::clone(target), to.clone());
    let mut contents = Contents::default();
    while let Some(chunk) = chunks.next().await {
        let put = match chunk {
            Ok(chunk) => {
                contents.add(&chunk);
                sink.put(chunk).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = put {
            // What is left of an upload costs until it is ended; the failure before it is the one to tell.
            let _ = sink.abort().await;
            return Err(error);
        }
    }
    let ended = |source: std::io::Error| object_store::Error::Generic { store: "upload", source: Box::new(source) };
    sink.shutdown().await.map_err(ended)?;
    Ok(contents)
}

async fn contents(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Contents> {
    let mut chunks = store.get(path).await?.into_stream();
    let mut contents = Contents::default();
    while let Some(chunk) = chunks.try_next().await? {
        contents.add(&chunk);
    }
    Ok(contents)
}

/// Removes copies that no version names; what cannot be removed is left to VACUUM.
async fn discard(root: &Root, copies: &[Copy]) {
    for copy in copies {
        if let Err(error) = root.remove(&copy.to).await {
            tracing::warn!(file = %copy.to, error = %error, "a copy that no version needs is left; VACUUM removes it");
            continue;
        }
        let parts: Vec<_> = copy.to.parts().collect();
        let folder: Path = parts[..parts.len().saturating_sub(1)].iter().cloned().collect();
        root.prune(&folder);
    }
}

/// Commits the copies; after a commit of another writer once more, with those whose originals are still there.
async fn commit(
    root: &Root,
    movement: &Movement<'_>,
    mut table: DeltaTable,
    copies: &mut Vec<Copy>,
) -> std::result::Result<Moved, NotMoved> {
    let name = movement.table;
    for attempt in 1.. {
        let error = match try_commit(movement, &table, copies).await {
            Ok(()) => return Ok(moved(copies)),
            Err(error) => error,
        };
        match landed(root, movement, &table).await {
            Ok(true) => return Ok(moved(copies)),
            // What another writer was first with cannot come in any more.
            Ok(false) if matches!(error, Error::Conflict(_)) => {}
            Ok(false) | Err(_) => return Err(NotMoved::Perhaps(error)),
        }
        if attempt >= ATTEMPTS {
            return Err(NotMoved::Surely(error));
        }
        table = newest(root, name).await.map_err(NotMoved::Surely)?;
        let snapshot = table.snapshot().map_err(|e| NotMoved::Surely(delta_error(name, e)))?;
        let standing: HashSet<String> = snapshot.log_data().iter().map(|view| view.path().into_owned()).collect();
        let (kept, gone): (Vec<_>, Vec<_>) = copies.drain(..).partition(|copy| standing.contains(&copy.old));
        *copies = kept;
        discard(root, &gone).await;
        if copies.is_empty() {
            break;
        }
    }
    Ok(moved(copies))
}

fn moved(copies: &[Copy]) -> Moved {
    Moved { files: copies.len() as u64, bytes: copies.iter().map(|copy| copy.bytes).sum() }
}

async fn try_commit(movement: &Movement<'_>, table: &DeltaTable, copies: &[Copy]) -> Result<()> {
    let failed = |e| delta_error(movement.table, e);
    let state = table.snapshot().map_err(failed)?;
    let actions = copies.iter().flat_map(|copy| [Action::Remove(copy.remove.clone()), Action::Add(copy.add.clone())]);
    let note = [(NOTE_KEY.to_owned(), movement.note.clone())];
    // The format's operation for other files with the same rows.
    let operation = DeltaOperation::Optimize { predicate: None, target_size: 0 };
    let commit = CommitBuilder::from(CommitProperties::default().with_max_retries(0).with_metadata(note))
        .with_actions(actions.collect())
        .build(Some(state as &dyn TableReference), table.log_store(), operation);
    commit.await.map(|_| ()).map_err(failed)
}

/// Whether the commit is there although its answer was an error.
async fn landed(root: &Root, movement: &Movement<'_>, base: &DeltaTable) -> Result<bool> {
    let Some(table) = load_newest(root, movement.table).await? else { return Ok(false) };
    let info = commit_info(movement.table, &table, base.version().unwrap_or_default() + 1).await?;
    Ok(info.is_some_and(|info| info[NOTE_KEY] == movement.note))
}

/// Files of a table in locations, as its log tells them.
struct Elsewhere {
    /// Files of the version.
    standing: HashSet<Path>,
    /// Files that were removed, and when, in milliseconds since 1970; `None` where a log does not tell.
    removed: HashMap<Path, Option<i64>>,
    /// Folders of the locations, below the table's: those of the log, and of the other locations.
    named: HashSet<(String, String)>,
    others: HashSet<(String, String)>,
}

async fn elsewhere(root: &Root, name: &str, table: &DeltaTable) -> Result<Elsewhere> {
    let failed = |e| delta_error(name, e);
    let state = table.snapshot().map_err(failed)?;
    let standing: HashSet<Path> =
        state.log_data().iter().map(|view| view.object_store_path()).filter(|path| location_of(path.as_ref()).is_some()).collect();
    let log_store = table.log_store();
    let tombstones: Vec<_> = state.all_tombstones(log_store.as_ref()).try_collect().await.map_err(failed)?;
    let mut removed: HashMap<Path, Option<i64>> = HashMap::new();
    for tombstone in tombstones.iter().filter(|tombstone| location_of(&tombstone.path()).is_some()) {
        let at = tombstone.deletion_timestamp().filter(|at| *at > 0);
        // A file that came back by a restore may have been removed more than once: the last time counts, and one that is not told is now.
        let known = removed.entry(Path::parse(tombstone.path()).unwrap_or_default()).or_insert(at);
        *known = known.zip(at).map(|(one, other)| one.max(other));
    }
    for location in standing.iter().filter_map(|path| location_of(path.as_ref())) {
        if root.locations().url(location).is_none() {
            return Err(Error::Usage(format!(
                "table '{name}' has files in location '{location}', which is not configured: what is no longer needed there cannot be removed\nhint: name it in tranchedb.toml: [locations.{location}] with its url"
            )));
        }
    }
    let folder = |path: &Path| Some((location_of(path.as_ref())?.to_owned(), table_id_of(path.as_ref())?.to_owned()));
    let named: HashSet<_> = standing.iter().chain(removed.keys()).filter_map(folder).collect();
    let id = state.metadata().id();
    let others = root.locations().names().map(|location| (location.to_owned(), id.to_owned())).filter(|place| !named.contains(place));
    let others = others.collect();
    Ok(Elsewhere { standing, removed, named, others })
}

/// The objects of a table in all locations, by their paths in the database. A location that the log does not name and that does not
/// answer is passed over, with a warning.
async fn objects_elsewhere(root: &Root, name: &str, found: &Elsewhere) -> Result<Vec<ObjectMeta>> {
    let store = root.store();
    let mut objects = Vec::new();
    let mut places: Vec<(&str, &str, bool)> = Vec::new();
    places.extend(found.named.iter().map(|(location, id)| (location.as_str(), id.as_str(), true)));
    places.extend(found.others.iter().map(|(location, id)| (location.as_str(), id.as_str(), false)));
    for (location, id, is_named) in places {
        if root.locations().url(location).is_none() {
            tracing::warn!(table = name, location, "files that were removed from a location that is not configured are left there");
            continue;
        }
        let folder = format!("{}/{}", root.table_path(name), location_folder(location, id));
        let folder = Path::parse(&folder).map_err(|e| Error::Internal(format!("path {folder}: {e}")))?;
        match store.list(Some(&folder)).try_collect::<Vec<_>>().await {
            Ok(listed) => objects.extend(listed),
            Err(error) if is_named => return Err(Error::storage(format!("table '{name}': listing location '{location}'"), error)),
            Err(error) => {
                tracing::warn!(table = name, location, %error, "a location does not answer; copies that nobody needs may be left there")
            }
        }
    }
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(objects)
}

/// All objects of a table in locations, by their paths in the database.
///
/// # Errors
/// [`Error::Usage`] for a location that is not configured, [`Error::Storage`] for one that does not answer.
pub(super) async fn files_elsewhere(root: &Root, name: &str, table: &DeltaTable) -> Result<Vec<Path>> {
    let found = elsewhere(root, name, table).await?;
    Ok(objects_elsewhere(root, name, &found).await?.into_iter().map(|object| object.location).collect())
}

/// Removes files of a table in locations as `VACUUM` does those of its folder: what no version younger than `keep` needs. Returns their
/// paths below the folder; with `dry_run` nothing is removed.
pub(super) async fn sweep(root: &Root, name: &str, table: &DeltaTable, keep: Duration, dry_run: bool) -> Result<Vec<String>> {
    let found = elsewhere(root, name, table).await?;
    let folder = root.table_path(name);
    let before = Utc::now().timestamp_millis() - keep.num_milliseconds();
    let mut swept = Vec::new();
    for object in objects_elsewhere(root, name, &found).await? {
        let Some(path) = object.location.prefix_match(&folder).map(|parts| parts.collect::<Path>()) else { continue };
        let is_old = match found.removed.get(&path) {
            Some(removed) => removed.is_some_and(|at| at < before),
            None => object.last_modified.timestamp_millis() <= before,
        };
        if found.standing.contains(&path) || !is_old {
            continue;
        }
        if !dry_run {
            root.remove(&object.location).await?;
        }
        swept.push(path.to_string());
    }
    Ok(swept)
}
