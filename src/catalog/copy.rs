//! `COPY (...) TO target`: the target appears whole or stays as it was.
//!
//! DataFusion's writers close their files even where the query that feeds them has failed. So they write elsewhere, and what
//! they wrote takes its place only after the query has ended well:
//!
//! | target | written to | at the end |
//! |---|---|---|
//! | local file | a file in the folder `.copy-ID.tmp` beside it | synced and renamed over the target |
//! | new local folder | the folder `.copy-ID.tmp` beside it | synced and renamed |
//! | local folder that exists | the same | its files are moved in, one by one, or taken back if one cannot be |
//! | object store | the target, through [`DeferredStore`] | uploads are completed, one by one |
//!
//! A killed process may leave a folder `.copy-ID.tmp`. It is hidden, so that no table reads it, and may be deleted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::dml::CopyTo;
use datafusion::logical_expr::{Analyze, LogicalPlan};
use datafusion::physical_plan::collect;
use datafusion::prelude::{DataFrame, SessionContext};
use url::Url;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::exec::giving_way;
use crate::storage::DeferredStore;

/// Carries out a `COPY`, also one below `EXPLAIN ANALYZE`; `None` for other plans.
///
/// # Errors
/// [`Error::Usage`] for options that contradict each other, [`Error::Storage`] when the target cannot be written, else what the query
/// fails with. The target is then as it was, unless the message tells which files or objects are in it.
pub async fn execute_copy(ctx: &SessionContext, plan: &LogicalPlan) -> Result<Option<DataFrame>> {
    let copy = match plan {
        LogicalPlan::Copy(copy) => copy,
        LogicalPlan::Analyze(analyze) => match analyze.input.as_ref() {
            LogicalPlan::Copy(copy) => copy,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let copy = &with_plain_option(copy)?;
    let staging = Staging::of(ctx, copy)?;
    let copy = LogicalPlan::Copy(staging.redirected(copy));
    let staged = match plan {
        LogicalPlan::Analyze(analyze) => LogicalPlan::Analyze(Analyze { input: Arc::new(copy), ..analyze.clone() }),
        _ => copy,
    };
    let outcome = run(ctx, staged).await;
    match outcome {
        Ok(batches) => {
            staging.commit().await?;
            Ok(Some(ctx.read_batches(batches)?))
        }
        Err(error) => Err(staging.abort(error).await),
    }
}

/// The option that asks for one file or a folder.
const SINGLE_FILE: &str = "single_file_output";

/// The statement with that option where DataFusion reads it: SQL takes it for an option of the format.
fn with_plain_option(copy: &CopyTo) -> Result<CopyTo> {
    let mut copy = copy.clone();
    if let Some(value) = copy.options.remove(&format!("format.{SINGLE_FILE}")) {
        copy.options.insert(SINGLE_FILE.to_owned(), value);
    }
    let refused = |reason: &str| Err(Error::Usage(format!("COPY TO '{}': {reason}", copy.output_url)));
    match copy.options.get(SINGLE_FILE).map(|value| value.trim().to_lowercase()).as_deref() {
        None => {}
        Some("true") if !copy.partition_by.is_empty() => {
            return refused("PARTITIONED BY writes a folder: leave out 'single_file_output' 'true'");
        }
        Some(value @ ("true" | "false")) => drop(copy.options.insert(SINGLE_FILE.to_owned(), value.to_owned())),
        Some(_) => return refused("'single_file_output' is 'true' or 'false'"),
    }
    Ok(copy)
}

async fn run(ctx: &SessionContext, plan: LogicalPlan) -> Result<Vec<RecordBatch>, DataFusionError> {
    let frame = DataFrame::new(ctx.state(), plan);
    let tasks = Arc::new(frame.task_ctx());
    collect(giving_way(frame.create_physical_plan().await?)?, tasks).await
}

/// Where a `COPY` writes until it has ended well.
enum Staging {
    Local(LocalStaging),
    Remote(RemoteStaging),
}

impl Staging {
    fn of(ctx: &SessionContext, copy: &CopyTo) -> Result<Self> {
        match Url::parse(&copy.output_url) {
            Ok(url) if url.scheme() == "file" => {
                let path = url.to_file_path().map_err(|()| Error::Usage(format!("'{url}' is not a path on this machine")))?;
                LocalStaging::new(path, copy).map(Self::Local)
            }
            // One letter is a drive, not a scheme.
            Ok(url) if url.scheme().len() > 1 => RemoteStaging::new(ctx, &copy.output_url).map(Self::Remote),
            _ => LocalStaging::new(PathBuf::from(&copy.output_url), copy).map(Self::Local),
        }
    }

    fn redirected(&self, copy: &CopyTo) -> CopyTo {
        match self {
            Self::Local(local) => local.redirected(copy),
            Self::Remote(remote) => CopyTo { output_url: remote.alias.clone(), ..copy.clone() },
        }
    }

    async fn commit(self) -> Result<()> {
        match self {
            Self::Local(mut local) => {
                local.is_written = true;
                local.commit().await.map_err(|error| local.failed(error))
            }
            Self::Remote(remote) => remote.store.commit().await.map_err(|error| Error::storage(remote.what(), error)),
        }
    }

    async fn abort(self, error: DataFusionError) -> Error {
        if let Self::Remote(remote) = &self {
            remote.store.abort().await;
        }
        let what = match &self {
            Self::Local(local) => local.what(),
            Self::Remote(remote) => remote.what(),
        };
        match writing_failed(&error) {
            Some(cause) => Error::storage(what, cause),
            None => error.into(),
        }
    }
}

/// What the writers say when the target, not the query, is to blame; in words that hold here, where nothing partial is left.
fn writing_failed(error: &DataFusionError) -> Option<String> {
    let message = error.strip_backtrace();
    if message.contains("Error encountered while finalizing writes") {
        return Some("the file could not be written to its end; the target is as it was".to_owned());
    }
    let cause = message.split_once("Error writing to object store: ")?.1;
    Some(format!("{cause}; the target is as it was"))
}

/// Name of the one file in the scratch folder.
const ONE_FILE: &str = "rows";

/// A folder beside the target. Dropped, it is removed with all that is in it, also what the writers left unfinished.
struct LocalStaging {
    target: PathBuf,
    scratch: PathBuf,
    is_file: bool,
    /// Whether the writers have ended: nothing is written any more.
    is_written: bool,
}

impl LocalStaging {
    fn new(typed: PathBuf, copy: &CopyTo) -> Result<Self> {
        let what = || format!("COPY TO '{}'", copy.output_url);
        let target = std::path::absolute(&typed).and_then(|path| if path.is_symlink() { path.canonicalize() } else { Ok(path) });
        let target = target.map_err(|error| Error::storage(what(), error))?;
        let is_file = is_single_file(&typed, copy);
        if !is_file && target.is_file() {
            let reason = "it is a file, and without an extension the target is a folder: add one, or OPTIONS ('single_file_output' 'true')";
            return Err(Error::storage(what(), reason));
        }
        if is_file && target.is_dir() {
            return Err(Error::storage(what(), "it is a folder: name a file in it, or leave out 'single_file_output' 'true'"));
        }
        let Some(folder) = target.parent().filter(|folder| folder.is_dir()) else {
            let folder = target.parent().unwrap_or(&target).display();
            return Err(Error::storage(what(), format!("there is no folder '{folder}': make it first")));
        };
        let scratch = folder.join(format!(".copy-{}.tmp", Uuid::new_v4().simple()));
        let unwritable = |error| Error::storage(format!("{}: cannot write in the folder '{}'", what(), folder.display()), error);
        std::fs::create_dir(&scratch).map_err(unwritable)?;
        // From here on it is removed again.
        let staging = Self { target, scratch, is_file, is_written: false };
        if is_file {
            // A query without rows may write nothing at all.
            std::fs::File::create_new(staging.written()).map_err(|error| staging.failed(error))?;
        }
        Ok(staging)
    }

    /// What the writers are told to write.
    fn written(&self) -> PathBuf {
        if self.is_file { self.scratch.join(ONE_FILE) } else { self.scratch.clone() }
    }

    fn what(&self) -> String {
        format!("COPY TO '{}'", self.target.display())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::storage(self.what(), error)
    }

    fn redirected(&self, copy: &CopyTo) -> CopyTo {
        let written = self.written();
        let url = if self.is_file { Url::from_file_path(&written) } else { Url::from_directory_path(&written) };
        let mut copy = copy.clone();
        copy.output_url = url.map_or_else(|()| written.display().to_string(), String::from);
        // The scratch name says nothing about what it is.
        copy.options.insert(SINGLE_FILE.to_owned(), self.is_file.to_string());
        copy
    }

    async fn commit(&self) -> io::Result<()> {
        if self.is_file {
            sync(&self.written()).await?;
            return std::fs::rename(self.written(), &self.target);
        }
        let mut files = files_below(&self.scratch)?;
        files.sort();
        for file in &files {
            sync(file).await?;
        }
        match (files.is_empty(), self.target.exists()) {
            (true, _) => Ok(()),
            (false, false) => std::fs::rename(&self.scratch, &self.target),
            (false, true) => self.move_all_in(&files),
        }
    }

    /// Moves files into the target, or none of them.
    fn move_all_in(&self, files: &[PathBuf]) -> io::Result<()> {
        let mut made = Vec::new();
        let moved = files.iter().try_for_each(|file| self.move_in(file, &mut made));
        moved.map_err(|error| {
            let left: Vec<String> =
                made.iter().rev().filter(|path| take_back(path).is_err()).map(|path| path.display().to_string()).collect();
            if left.is_empty() {
                return error;
            }
            io::Error::new(error.kind(), format!("{error}; this could not be taken back: {}", left.join(", ")))
        })
    }

    /// Moves a file in and notes it in `made`, as well as folders that it needs.
    fn move_in(&self, file: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
        let target = self.target.join(file.strip_prefix(&self.scratch).map_err(io::Error::other)?);
        let missing: Vec<&Path> = target.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            std::fs::create_dir(folder)?;
            made.push(folder.to_owned());
        }
        // The writers give every file a new name; taking one back must not take what was there before.
        if target.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("'{}' exists", target.display())));
        }
        std::fs::rename(file, &target)?;
        made.push(target);
        Ok(())
    }
}

fn take_back(made: &Path) -> io::Result<()> {
    if made.is_dir() { std::fs::remove_dir(made) } else { std::fs::remove_file(made) }
}

/// How often a temporary folder is removed at most.
const REMOVALS: usize = 100;

/// Looks in a row that must find no folder while a writer may still be at work.
const QUIET_LOOKS: usize = 10;

/// Time between two removals.
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

impl Drop for LocalStaging {
    /// A write that was under way when the query was cancelled may still make a file, and its folders anew: looks again until it stays away.
    fn drop(&mut self) {
        let enough = if self.is_written { 1 } else { QUIET_LOOKS };
        let mut quiet = 0;
        for _ in 0..REMOVALS {
            match std::fs::remove_dir_all(&self.scratch) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => quiet += 1,
                _ => quiet = 0,
            }
            if quiet == enough {
                return;
            }
            std::thread::sleep(REMOVAL_PAUSE);
        }
        tracing::warn!(path = %self.scratch.display(), "a temporary folder of COPY is left");
    }
}

/// Whether DataFusion would write one file: as the option says, else by the extension.
fn is_single_file(typed: &Path, copy: &CopyTo) -> bool {
    if !copy.partition_by.is_empty() {
        return false;
    }
    match copy.options.get(SINGLE_FILE).map(String::as_str) {
        Some("true") => true,
        Some("false") => false,
        _ => {
            let name = typed.file_name().unwrap_or_default().to_string_lossy();
            let has_extension = name.contains('.') && !name.ends_with('.');
            has_extension && !copy.output_url.ends_with(['/', std::path::MAIN_SEPARATOR]) && !typed.is_dir()
        }
    }
}

async fn sync(file: &Path) -> io::Result<()> {
    tokio::fs::File::open(file).await?.sync_all().await
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files_below(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// The target's own store under another name for the time of one statement. Dropped, the name is forgotten, and with it what was
/// not published.
struct RemoteStaging {
    ctx: SessionContext,
    target: String,
    alias: String,
    alias_url: Url,
    store: Arc<DeferredStore>,
}

impl RemoteStaging {
    fn new(ctx: &SessionContext, target: &str) -> Result<Self> {
        let inner = ctx.runtime_env().object_store(ListingTableUrl::parse(target)?.object_store())?;
        let store = Arc::new(DeferredStore::new(inner));
        let behind_scheme = target.split_once(':').map_or(target, |(_, rest)| rest);
        let alias = format!("copy-{}:{behind_scheme}", Uuid::new_v4().simple());
        let alias_url = Url::parse(&alias).map_err(|error| Error::Usage(format!("COPY TO '{target}': {error}")))?;
        ctx.register_object_store(&alias_url, Arc::clone(&store) as _);
        Ok(Self { ctx: ctx.clone(), target: target.to_owned(), alias, alias_url, store })
    }

    fn what(&self) -> String {
        format!("COPY TO '{}'", self.target)
    }
}

impl Drop for RemoteStaging {
    fn drop(&mut self) {
        if let Err(error) = self.ctx.deregister_object_store(&self.alias_url) {
            tracing::warn!(%error, "the name of a COPY's target is left");
        }
    }
}
