//! The runs of files that earlier queries have found.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use datafusion::datasource::listing::PartitionedFile;
use object_store::path::Path;
use parking_lot::Mutex;

use super::file::FileRuns;

/// Bytes of names and offsets that a cache holds at most.
const CAPACITY_BYTES: usize = 64 << 20;

/// Runs by file. A file of a strategy table is never changed under its name; the size is compared all the same.
///
/// Belongs into the extensions of a session's configuration. Holds at most 64 MiB: the files that were opened first leave first.
#[derive(Debug, Default)]
pub struct RunCache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_path: HashMap<Path, (u64, Arc<FileRuns>)>,
    oldest_first: VecDeque<Path>,
    /// Files that were last compared by their strategies, and whether they share none.
    apart: Option<(Vec<Path>, bool)>,
}

impl RunCache {
    /// The runs of a file, if they are known.
    pub(super) fn get(&self, file: &PartitionedFile) -> Option<Arc<FileRuns>> {
        let entries = self.0.lock();
        let (size, runs) = entries.by_path.get(&file.object_meta.location)?;
        (*size == file.object_meta.size).then(|| Arc::clone(runs))
    }

    /// Whether these files, which overlap in time, share no strategy, if that is known.
    pub(super) fn apart(&self, files: &[Path]) -> Option<bool> {
        let entries = self.0.lock();
        entries.apart.as_ref().filter(|(known, _)| known == files).map(|(_, apart)| *apart)
    }

    /// Keeps the answer to [`Self::apart`].
    pub(super) fn keep_apart(&self, files: Vec<Path>, apart: bool) {
        self.0.lock().apart = Some((files, apart));
    }

    /// Keeps the runs of a file.
    pub(super) fn put(&self, file: &PartitionedFile, runs: Arc<FileRuns>) {
        let path = file.object_meta.location.clone();
        let mut entries = self.0.lock();
        if entries.by_path.insert(path.clone(), (file.object_meta.size, runs)).is_none() {
            entries.oldest_first.push_back(path);
        }
        let mut held: usize = entries.by_path.values().map(|(_, runs)| runs.size_bytes()).sum();
        while held > CAPACITY_BYTES && entries.by_path.len() > 1 {
            let Some(oldest) = entries.oldest_first.pop_front() else { break };
            held -= entries.by_path.remove(&oldest).map_or(0, |(_, runs)| runs.size_bytes());
        }
    }
}
