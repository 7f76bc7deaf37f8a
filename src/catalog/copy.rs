//! `COPY (...) TO target`: the target appears whole or stays as it was.
//!
//! DataFusion's writers close their files even where the query that feeds them has failed. So they write elsewhere, and what
//! they wrote takes its place only after the query has ended well:
//!
//! | target | written to | at the end |
//! |---|---|---|
//! | local file | `.copy-ID.tmp` beside it | synced and renamed over the target |
//! | new local folder | folder `.copy-ID.tmp` beside it | synced and renamed |
//! | local folder that exists | the same | its files are moved in, one by one |
//! | object store | the target, through [`DeferredStore`] | uploads are completed, one by one |
//!
//! A killed process may leave a `.copy-ID.tmp`, which is never looked at again and may be deleted.

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
/// [`Error::Storage`] when the target cannot be written, else what the query fails with; the target is then as it was.
pub async fn execute_copy(ctx: &SessionContext, plan: &LogicalPlan) -> Result<Option<DataFrame>> {
    let copy = match plan {
        LogicalPlan::Copy(copy) => copy,
        LogicalPlan::Analyze(analyze) => match analyze.input.as_ref() {
            LogicalPlan::Copy(copy) => copy,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
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
            Self::Local(local) => local.commit().await.map_err(|error| local.failed(error)),
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

/// A file or folder beside the target. Dropped, it is removed.
struct LocalStaging {
    target: PathBuf,
    scratch: PathBuf,
    is_file: bool,
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
        let Some(folder) = target.parent().filter(|folder| folder.is_dir()) else {
            let folder = target.parent().unwrap_or(&target).display();
            return Err(Error::storage(what(), format!("there is no folder '{folder}': make it first")));
        };
        let scratch = folder.join(format!(".copy-{}.tmp", Uuid::new_v4().simple()));
        let made = if is_file { std::fs::File::create_new(&scratch).map(drop) } else { std::fs::create_dir(&scratch) };
        made.map_err(|error| Error::storage(format!("{}: cannot write in the folder '{}'", what(), folder.display()), error))?;
        Ok(Self { target, scratch, is_file })
    }

    fn what(&self) -> String {
        format!("COPY TO '{}'", self.target.display())
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::storage(self.what(), error)
    }

    fn redirected(&self, copy: &CopyTo) -> CopyTo {
        let url = if self.is_file { Url::from_file_path(&self.scratch) } else { Url::from_directory_path(&self.scratch) };
        let mut copy = copy.clone();
        copy.output_url = url.map_or_else(|()| self.scratch.display().to_string(), String::from);
        // The scratch name says nothing about what it is.
        copy.options.insert("single_file_output".to_owned(), self.is_file.to_string());
        copy
    }

    async fn commit(&self) -> io::Result<()> {
        if self.is_file {
            sync(&self.scratch).await?;
            return std::fs::rename(&self.scratch, &self.target);
        }
        let files = files_below(&self.scratch)?;
        for file in &files {
            sync(file).await?;
        }
        match (files.is_empty(), self.target.exists()) {
            (true, _) => Ok(()),
            (false, false) => std::fs::rename(&self.scratch, &self.target),
            (false, true) => files.iter().try_for_each(|file| self.move_in(file)),
        }
    }

    fn move_in(&self, file: &Path) -> io::Result<()> {
        let target = self.target.join(file.strip_prefix(&self.scratch).map_err(io::Error::other)?);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::rename(file, target)
    }
}

impl Drop for LocalStaging {
    fn drop(&mut self) {
        let removed = if self.is_file { std::fs::remove_file(&self.scratch) } else { std::fs::remove_dir_all(&self.scratch) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.scratch.display(), %error, "a temporary file of COPY is left");
            }
            _ => {}
        }
    }
}

/// Whether DataFusion would write one file: as the option says, else by the extension.
fn is_single_file(typed: &Path, copy: &CopyTo) -> bool {
    if !copy.partition_by.is_empty() {
        return false;
    }
    match copy.options.get("single_file_output").map(|value| value.trim()) {
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

/// The target's own store under another name for the time of one statement. Dropped, the name is forgotten.
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
