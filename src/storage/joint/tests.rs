//! Joint commits with a store that fails, or whose writer dies, at every single write.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use deltalake::kernel::{DataType, StructField};
use deltalake::{DeltaTable, DeltaTableBuilder};
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, RenameOptions,
};
use tokio::sync::Notify;

use super::hold::{Hold, LeaseWatch};
use super::record::{JointRecord, StoredRecord, Turn};
use super::*;
use crate::error::{Error, Result};
use crate::storage::Root;
use crate::storage::{TableChange, load_table, table_files};

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It and every call after it fail, as for a process that was killed.
    Dies,
    /// It fails, as on a full disk.
    Refuses,
    /// It is done, and the answer is an error.
    LosesAnswer,
    /// The answer is an error, and it is done later.
    AnswersEarly,
}

/// Decorates a store: something happens to one write.
#[derive(Debug)]
struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    writes: AtomicU64,
    fails_at: u64,
    fault: Fault,
}

impl FailingStore {
    fn refused() -> object_store::Error {
        object_store::Error::Generic { store: "failing", source: "no more".into() }
    }

    /// What happens to the next write.
    fn next(&self) -> Option<Fault> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        (number == self.fails_at || (self.fault == Fault::Dies && number > self.fails_at)).then_some(self.fault)
    }

    fn write(&self) -> object_store::Result<()> {
        self.next().map_or(Ok(()), |_| Err(Self::refused()))
    }

    fn read(&self) -> object_store::Result<()> {
        let is_dead = self.fault == Fault::Dies && self.writes.load(Ordering::SeqCst) > self.fails_at;
        if is_dead { Err(Self::refused()) } else { Ok(()) }
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        match self.next() {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Dies | Fault::Refuses) => Err(Self::refused()),
            Some(Fault::LosesAnswer) => self.inner.put_opts(location, payload, options).await.and(Err(Self::refused())),
            Some(Fault::AnswersEarly) => {
                let (inner, location) = (Arc::clone(&self.inner), location.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    inner.put_opts(&location, payload, options).await
                });
                Err(Self::refused())
            }
        }
    }

    async fn put_multipart_opts(&self, location: &Path, options: PutMultipartOptions) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.write()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.read()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.read()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, object_store::Result<Path>>) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.write()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> object_store::Result<()> {
        self.write()?;
        self.inner.rename_opts(from, to, options).await
    }
}

fn failing(root: &Root, fails_at: u64, fault: Fault) -> Root {
    let inner = root.store();
    root.over_store(Arc::new(FailingStore { inner, writes: AtomicU64::new(0), fails_at, fault }))
}

async fn create(root: &Root, name: &str) {
    root.initialise().await.unwrap();
    let url = root.table_url(name).unwrap();
    let table = DeltaTableBuilder::from_url(url.clone()).unwrap().with_storage_backend(root.store(), url).build().unwrap();
    table.create().with_columns([StructField::nullable("x", DataType::LONG)]).await.unwrap();
}

fn one_row(value: i64) -> RecordBatch {
    RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![value])) as _)]).unwrap()
}

/// A change that puts `value` in the place of all rows.
async fn replacing(root: &Root, name: &str, value: i64) -> Result<TableChange> {
    let base = load_table(root, name, None).await?.expect("a table");
    let files = table_files(name, &base)?;
    let mut change = TableChange::of(root, name, base)?;
    let mut writer = change.writer()?;
    writer.append(&one_row(value)).await?;
    change.take(writer).await?;
    files.into_iter().for_each(|file| change.remove(file));
    change.verify().await?;
    Ok(change)
}

async fn replace_both(root: &Root, value: i64) -> Result<Vec<u64>> {
    let writer = JointWriter::begin(root).await?;
    let (a, b) = (replacing(root, "a", value).await?, replacing(root, "b", value).await?);
    writer.commit(vec![Box::new(a), Box::new(b)]).await
}

async fn value_of(table: DeltaTable) -> Vec<i64> {
    let rows = SessionContext::new().read_table(table.table_provider().await.unwrap()).unwrap().collect().await.unwrap();
    rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

async fn values(root: &Root) -> [Vec<i64>; 2] {
    let [a, b] = [load_table(root, "a", None).await.unwrap().unwrap(), load_table(root, "b", None).await.unwrap().unwrap()];
    [value_of(a).await, value_of(b).await]
}

/// How long a writer counts as alive in most of these tests.
const LEASE: Duration = Duration::from_millis(40);

/// A root in memory, with locks or with leases.
async fn root(leases: bool) -> Root {
    let root = if leases { leased(&Root::in_memory().unwrap(), LEASE) } else { Root::in_memory().unwrap() };
    create(&root, "a").await;
    create(&root, "b").await;
    replace_both(&root, 1).await.unwrap();
    root
}

/// The same place as another process sees it that goes by leases.
fn leased(root: &Root, lease: Duration) -> Root {
    let mut root = root.clone();
    root.coordination = Coordination::Lease(Arc::new(LeaseWatch::new(lease)));
    root
}

async fn record(root: &Root) -> JointRecord {
    StoredRecord::read(root).await.unwrap().record
}

/// Takes back what a writer that died has left, once it is seen to be dead.
async fn settle(root: &Root) -> Result<()> {
    for _ in 0..1000 {
        undo_abandoned(root).await?;
        if StoredRecord::read(root).await?.record.pending.is_none() {
            return Ok(());
        }
        tokio::time::sleep(LEASE / 8).await;
    }
    panic!("a dead writer is not taken for dead")
}

#[tokio::test]
async fn a_writer_that_dies_at_any_write_leaves_all_or_nothing() {
    for leases in [false, true] {
        let mut outcomes = [0, 0];
        for fails_at in 0.. {
            let root = root(leases).await;
            let written = replace_both(&failing(&root, fails_at, Fault::Dies), 2).await;
            let seen = values(&root).await;
            assert!(seen == [[1], [1]] || seen == [[2], [2]], "after write {fails_at}: {seen:?}");
            assert!(written.is_err() || seen == [[2], [2]], "after write {fails_at}");
            outcomes[usize::from(seen[0] == [2])] += 1;
            settle(&root).await.unwrap();
            assert_eq!(values(&root).await, seen, "taken back after write {fails_at}");
            // What was taken back stands in nobody's way.
            replace_both(&root, 3).await.unwrap();
            assert_eq!(values(&root).await, [[3], [3]]);
            if written.is_ok() {
                break;
            }
        }
        assert!(outcomes[0] >= 6 && outcomes[1] >= 1, "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_write_that_fails_leaves_all_or_nothing() {
    let (memory, leases) = (false, true);
    for (leases, fault) in [
        (memory, Fault::Refuses),
        (leases, Fault::Refuses),
        (memory, Fault::LosesAnswer),
        (leases, Fault::LosesAnswer),
        (leases, Fault::AnswersEarly),
    ] {
        for fails_at in 0.. {
            let root = root(leases).await;
            let written = replace_both(&failing(&root, fails_at, fault), 2).await;
            let expected = if written.is_ok() { [[2], [2]] } else { [[1], [1]] };
            let case = format!("{fault:?} at write {fails_at}: {written:?}");
            assert_eq!(values(&root).await, expected, "{case}");
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert_eq!(values(&root).await, expected, "later, {case}");
            settle(&root).await.unwrap();
            assert_eq!(values(&root).await, expected, "taken back, {case}");
            replace_both(&root, 3).await.unwrap();
            assert_eq!(values(&root).await, [[3], [3]], "{case}");
            assert_eq!(missing_files(&root).await, [""; 0], "{case}");
            if written.is_ok() && fails_at > 8 {
                break;
            }
        }
    }
}

/// Files that a version of a table names and that are not there.
async fn missing_files(root: &Root) -> Vec<String> {
    let mut missing = vec![];
    for name in ["a", "b"] {
        let newest = load_table(root, name, None).await.unwrap().unwrap();
        for version in 0..=newest.version().unwrap() {
            let entry = newest.log_store().read_commit_entry(version).await.unwrap().unwrap();
            for line in entry.split(|&byte| byte == b'\n') {
                let action: serde_json::Value = serde_json::from_slice(line).unwrap();
                let Some(path) = action["add"]["path"].as_str() else { continue };
                let path = Path::parse(format!("{}/{path}", root.table_path(name))).unwrap();
                if root.read(&path).await.unwrap().is_none() {
                    missing.push(format!("{path} of version {version}"));
                }
            }
        }
    }
    missing
}

#[tokio::test]
async fn who_takes_back_may_die_as_well() {
    for leases in [false, true] {
        for fails_at in 0.. {
            let root = root(leases).await;
            // Dies after the first table's commit: the second's is the write that fails.
            let died = died_between_commits(&root).await;
            assert!(died.is_err());
            let undone = settle(&failing(&root, fails_at, Fault::Dies)).await;
            assert_eq!(values(&root).await, [[1], [1]], "after write {fails_at}");
            settle(&root).await.unwrap();
            assert_eq!(values(&root).await, [[1], [1]], "after write {fails_at}");
            replace_both(&root, 3).await.unwrap();
            assert_eq!(values(&root).await, [[3], [3]]);
            if undone.is_ok() {
                break;
            }
        }
    }
}

/// A change that says when its commit is due, and commits when it is told to.
struct Gated {
    change: TableChange,
    due: Arc<Notify>,
    go: Arc<Notify>,
}

impl Gated {
    async fn replacing(root: &Root, name: &str, value: i64) -> Self {
        Self { change: replacing(root, name, value).await.unwrap(), due: Arc::default(), go: Arc::default() }
    }
}

#[async_trait]
impl JointMember for Gated {
    fn name(&self) -> &str {
        self.change.name()
    }
    fn base(&self) -> Option<&DeltaTable> {
        self.change.base()
    }
    async fn commit(&self, note: &serde_json::Value) -> Result<u64> {
        self.due.notify_one();
        self.go.notified().await;
        self.change.commit(note).await
    }
    async fn abandon(&self) -> Result<()> {
        self.change.abandon().await
    }
}

/// Commits one of two tables and dies.
async fn died_between_commits(root: &Root) -> Result<Vec<u64>> {
    let writer = JointWriter::begin(root).await?;
    writer.hold.suspend();
    let a = replacing(root, "a", 2).await?;
    let b = Gated::replacing(root, "b", 2).await;
    let commit = writer.commit_here(vec![Box::new(a), Box::new(b)]);
    tokio::time::timeout(Duration::from_millis(200), commit).await.map_err(|_| Error::Cancelled)?
}

#[tokio::test]
async fn a_statement_sees_all_tables_as_they_were_when_it_began() {
    let root = root(false).await;
    let seen = at_one_state(&root, async {
        let a = load_table(&root, "a", None).await?.expect("a table");
        // Another task is another statement.
        let other = root.clone();
        let written = async move { Ok::<_, Error>((replace_both(&other, 2).await?, replace_both(&other, 3).await?)) };
        tokio::spawn(written).await.unwrap()?;
        let b = load_table(&root, "b", None).await?.expect("a table");
        Ok([value_of(a).await, value_of(b).await])
    });
    assert_eq!(seen.await.unwrap(), [[1], [1]]);
    assert_eq!(values(&root).await, [[3], [3]]);
}

#[tokio::test]
async fn a_writer_that_outlives_its_lease_fails() {
    let root = root(true).await;
    let writer = JointWriter::begin(&root).await.unwrap();
    let (a, b) = (replacing(&root, "a", 2).await.unwrap(), Gated::replacing(&root, "b", 2).await);
    let (due, go) = (Arc::clone(&b.due), Arc::clone(&b.go));
    writer.hold.suspend();
    let old = tokio::spawn(writer.commit_here(vec![Box::new(a), Box::new(b)]));
    due.notified().await;
    // Another takes its turn, takes its first table back and writes both.
    replace_both(&root, 3).await.unwrap();
    assert_eq!(values(&root).await, [[3], [3]]);
    // It wakes up: neither its second commit nor its commit point comes about.
    go.notify_one();
    assert!(matches!(old.await.unwrap(), Err(Error::Conflict(_))));
    assert_eq!(values(&root).await, [[3], [3]]);
    replace_both(&root, 4).await.unwrap();
    assert_eq!((values(&root).await, missing_files(&root).await), ([vec![4], vec![4]], vec![]));
}

#[tokio::test]
async fn a_writer_that_lost_its_turn_begins_nothing() {
    let root = root(true).await;
    let old = JointWriter::begin(&root).await.unwrap();
    let (a, b) = (replacing(&root, "a", 2).await.unwrap(), replacing(&root, "b", 2).await.unwrap());
    old.hold.suspend();
    JointWriter::begin(&root).await.unwrap().end().await;
    let before = record(&root).await;
    assert!(matches!(old.commit(vec![Box::new(a), Box::new(b)]).await, Err(Error::Conflict(_))));
    assert_eq!((record(&root).await, values(&root).await), (before, [vec![1], vec![1]]));
}

#[tokio::test]
async fn a_living_writer_keeps_its_turn_and_gives_it_back() {
    // Long enough for a machine that is busy.
    let lease = Duration::from_millis(900);
    let root = leased(&root(false).await, lease);
    let other = leased(&root, lease);
    let writer = JointWriter::begin(&root).await.unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < 2 * lease {
        assert!(Hold::try_take(&other).await.unwrap().is_none());
        tokio::time::sleep(lease / 50).await;
    }
    writer.end().await;
    assert_eq!(record(&root).await.turn, None);
    let next = Hold::try_take(&other).await.unwrap().expect("the turn is free");
    next.release().await;
}

#[tokio::test]
async fn a_turn_is_over_by_the_clock_of_who_looks() {
    let watch = LeaseWatch::new(Duration::from_millis(30));
    let turn = |beat| Turn { id: "holder".into(), beat };
    // Clocks that differ by minutes say nothing.
    let ago = |minutes| Some(chrono::Utc::now() - chrono::Duration::minutes(minutes));
    assert!(!watch.is_over(&turn(0), ago(5)) && !watch.is_over(&turn(0), ago(-600)));
    std::thread::sleep(Duration::from_millis(40));
    assert!(!watch.is_over(&turn(1), ago(0)), "a sign of life");
    std::thread::sleep(Duration::from_millis(40));
    assert!(watch.is_over(&turn(1), ago(0)) && !watch.is_over(&turn(2), None));
    assert!(watch.is_over(&turn(3), ago(60)), "left behind an hour ago");
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_change_whole_and_locked() {
    for leases in [false, true] {
        let in_memory = root(false).await;
        let root = if leases { leased(&in_memory, Duration::from_secs(5)) } else { in_memory };
        let writer = JointWriter::begin(&root).await.unwrap();
        let (a, b) = (replacing(&root, "a", 2).await.unwrap(), Gated::replacing(&root, "b", 2).await);
        let (due, go) = (Arc::clone(&b.due), Arc::clone(&b.go));
        let commit = tokio::spawn(writer.commit(vec![Box::new(a), Box::new(b)]));
        due.notified().await;
        commit.abort();
        assert!(commit.await.unwrap_err().is_cancelled());
        assert!(Hold::try_take(&root).await.unwrap().is_none(), "its last write is still to come");
        assert_eq!(values(&root).await, [[1], [1]]);
        go.notify_one();
        Hold::take(&root, Duration::from_secs(20)).await.unwrap().release().await;
        assert_eq!(values(&root).await, [[2], [2]]);
    }
}

#[tokio::test]
async fn of_writers_at_once_every_one_comes_through() {
    let directory = tempfile::tempdir().unwrap();
    let on_disk = Root::open(&directory.path().to_string_lossy()).await.unwrap();
    let in_store = leased(&Root::in_memory().unwrap(), Duration::from_secs(5));
    for (root, writers) in [(on_disk, 8), (in_store, 4)] {
        create(&root, "a").await;
        create(&root, "b").await;
        let writers: Vec<_> = (0..writers)
            .map(|value| {
                let other = match &root.coordination {
                    // Every one with eyes of its own, as in processes of their own.
                    Coordination::Lease(_) => leased(&root, Duration::from_secs(5)),
                    _ => root.clone(),
                };
                tokio::spawn(async move { replace_both(&other, value).await })
            })
            .collect();
        let expected = writers.len() as u64;
        for written in futures::future::join_all(writers).await {
            written.unwrap().unwrap();
        }
        let [a, b] = values(&root).await;
        assert!(a == b && a.len() == 1, "{a:?} {b:?}");
        assert_eq!(load_table(&root, "a", None).await.unwrap().unwrap().version(), Some(expected));
    }
}

#[tokio::test]
async fn a_change_of_one_table_in_between_is_a_conflict_and_stays() {
    for leases in [false, true] {
        let root = root(leases).await;
        let before = record(&root).await;
        let writer = JointWriter::begin(&root).await.unwrap();
        let (a, b) = (replacing(&root, "a", 2).await.unwrap(), replacing(&root, "b", 2).await.unwrap());
        let other = replacing(&root, "b", 9).await.unwrap();
        other.commit(&serde_json::json!({})).await.unwrap();
        assert!(matches!(writer.commit(vec![Box::new(a), Box::new(b)]).await, Err(Error::Conflict(_))));
        assert_eq!(values(&root).await, [[1], [9]]);
        // The bases were compared before anything was begun.
        assert_eq!(record(&root).await, before);
    }
}

#[tokio::test]
async fn versions_of_others_are_neither_hidden_nor_taken_back() {
    for leases in [false, true] {
        let root = root(leases).await;
        let writer = JointWriter::begin(&root).await.unwrap();
        writer.hold.suspend();
        let (a, b) = (Gated::replacing(&root, "a", 2).await, replacing(&root, "b", 2).await.unwrap());
        let due = Arc::clone(&a.due);
        let commit = tokio::spawn(writer.commit_here(vec![Box::new(a), Box::new(b)]));
        due.notified().await;
        // It dies: the record is pending, and nothing of it is committed.
        commit.abort();
        assert!(commit.await.is_err() && record(&root).await.pending.is_some());
        for value in [8, 9] {
            replacing(&root, "a", value).await.unwrap().commit(&serde_json::json!({})).await.unwrap();
            assert_eq!(values(&root).await, [[value], [1]]);
        }
        settle(&root).await.unwrap();
        assert_eq!(values(&root).await, [[9], [1]]);
        let by_number = load_table(&root, "a", Some(2)).await.unwrap().unwrap();
        assert_eq!(value_of(by_number).await, [8]);
        let settled = record(&root).await.recent.pop().expect("a joint commit that was taken back");
        assert!(settled.undone && settled.tables.is_empty(), "{settled:?}");
    }
}

#[tokio::test]
async fn a_version_under_way_is_not_there_by_its_number_either() {
    let root = root(false).await;
    assert!(died_between_commits(&root).await.is_err());
    let refused = load_table(&root, "a", Some(2)).await.unwrap_err().to_string();
    assert!(refused.contains("no version 2: its newest is 1"), "{refused}");
    undo_abandoned(&root).await.unwrap();
    assert_eq!(load_table(&root, "a", None).await.unwrap().unwrap().version(), Some(3));
}
