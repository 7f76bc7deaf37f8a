//! Joint commits with a store that fails, or whose writer dies, at every single write.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

use super::*;
use crate::error::{Error, Result};
use crate::storage::Root;
use crate::storage::{TableChange, load_table, table_files};

/// Decorates a store: after a number of writes every call fails, as for a process that was killed; or one write fails, as on a full disk.
#[derive(Debug)]
struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    writes: AtomicU64,
    fails_at: u64,
    /// Whether everything fails from then on.
    dies: bool,
}

impl FailingStore {
    fn refused() -> object_store::Error {
        object_store::Error::Generic { store: "failing", source: "no more".into() }
    }

    fn write(&self) -> object_store::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number == self.fails_at || (self.dies && number > self.fails_at) { Err(Self::refused()) } else { Ok(()) }
    }

    fn read(&self) -> object_store::Result<()> {
        if self.dies && self.writes.load(Ordering::SeqCst) > self.fails_at { Err(Self::refused()) } else { Ok(()) }
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
        self.write()?;
        self.inner.put_opts(location, payload, options).await
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

fn failing(root: &Root, fails_at: u64, dies: bool) -> Root {
    let inner = root.store();
    root.over_store(Arc::new(FailingStore { inner, writes: AtomicU64::new(0), fails_at, dies }))
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
    writer.commit(&[&a, &b]).await
}

async fn value_of(table: DeltaTable) -> Vec<i64> {
    let rows = SessionContext::new().read_table(table.table_provider().await.unwrap()).unwrap().collect().await.unwrap();
    rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

async fn values(root: &Root) -> [Vec<i64>; 2] {
    let [a, b] = [load_table(root, "a", None).await.unwrap().unwrap(), load_table(root, "b", None).await.unwrap().unwrap()];
    [value_of(a).await, value_of(b).await]
}

/// A root in memory, with locks or with leases that have always run out.
async fn root(leases: bool) -> Root {
    let mut root = Root::in_memory().unwrap();
    if leases {
        root.coordination = Coordination::Lease;
    }
    create(&root, "a").await;
    create(&root, "b").await;
    replace_both(&root, 1).await.unwrap();
    root
}

/// Makes the lease of a pending joint commit run out.
async fn expire(root: &Root) {
    let mut stored = record::StoredRecord::read(root).await.unwrap();
    if let Some(pending) = stored.record.pending.clone() {
        let mut expired = stored.record.clone();
        expired.pending = Some(record::Pending { lease_until_ms: 0, ..pending });
        stored.replace(root, expired).await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_that_dies_at_any_write_leaves_all_or_nothing() {
    for leases in [false, true] {
        let mut outcomes = [0, 0];
        for fails_at in 0.. {
            let root = root(leases).await;
            let written = replace_both(&failing(&root, fails_at, true), 2).await;
            let seen = values(&root).await;
            assert!(seen == [[1], [1]] || seen == [[2], [2]], "after write {fails_at}: {seen:?}");
            assert!(written.is_err() || seen == [[2], [2]], "after write {fails_at}");
            outcomes[usize::from(seen[0] == [2])] += 1;
            expire(&root).await;
            undo_abandoned(&root).await.unwrap();
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
    for leases in [false, true] {
        for fails_at in 0.. {
            let root = root(leases).await;
            let written = replace_both(&failing(&root, fails_at, false), 2).await;
            let expected = if written.is_ok() { [[2], [2]] } else { [[1], [1]] };
            assert_eq!(values(&root).await, expected, "write {fails_at}: {written:?}");
            expire(&root).await;
            replace_both(&root, 3).await.unwrap();
            assert_eq!(values(&root).await, [[3], [3]]);
            if written.is_ok() && fails_at > 8 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn who_takes_back_may_die_as_well() {
    for leases in [false, true] {
        for fails_at in 0.. {
            let root = root(leases).await;
            // Dies after the first table's commit: the second's is the write that fails.
            let died = died_between_commits(&root).await;
            assert!(died.is_err());
            expire(&root).await;
            let undone = undo_abandoned(&failing(&root, fails_at, true)).await;
            assert_eq!(values(&root).await, [[1], [1]], "after write {fails_at}");
            expire(&root).await;
            undo_abandoned(&root).await.unwrap();
            assert_eq!(values(&root).await, [[1], [1]], "after write {fails_at}");
            replace_both(&root, 3).await.unwrap();
            assert_eq!(values(&root).await, [[3], [3]]);
            if undone.is_ok() {
                break;
            }
        }
    }
}

/// Commits one of two tables and dies.
async fn died_between_commits(root: &Root) -> Result<Vec<u64>> {
    struct Dying(DeltaTable);
    #[async_trait]
    impl JointMember for Dying {
        fn name(&self) -> &str {
            "b"
        }
        fn base(&self) -> Option<&DeltaTable> {
            Some(&self.0)
        }
        async fn commit(&self, _: &serde_json::Value) -> Result<u64> {
            std::future::pending::<()>().await;
            unreachable!("a pending future has no end")
        }
    }
    let writer = JointWriter::begin(root).await?;
    let a = replacing(root, "a", 2).await?;
    let b = Dying(load_table(root, "b", None).await?.expect("a table"));
    let commit = async { writer.commit(&[&a, &b]).await };
    tokio::time::timeout(std::time::Duration::from_millis(200), commit).await.map_err(|_| Error::Cancelled)?
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
    let mut stale = record::StoredRecord::read(&root).await.unwrap();
    let change = [replacing(&root, "a", 2).await.unwrap(), replacing(&root, "b", 2).await.unwrap()];
    let bases = change.iter().map(|change| {
        let base = change.base().unwrap();
        let id = base.snapshot().unwrap().metadata().id().to_owned();
        (change.name().to_owned(), record::Base { table_id: Some(id), version: base.version() })
    });
    let pending = record::Pending { id: "old".into(), lease_until_ms: 0, tables: bases.collect() };
    let begun = stale.record.begun(pending);
    stale.replace(&root, begun).await.unwrap();
    let note = serde_json::json!({ "joint": "old" });
    change[0].commit(&note).await.unwrap();
    undo_abandoned(&root).await.unwrap();
    // It wakes up: neither its second commit nor its commit point comes about.
    assert!(matches!(change[1].commit(&note).await, Err(Error::Conflict(_))));
    let settled = stale.record.settled(false, Default::default());
    assert!(matches!(stale.replace(&root, settled).await, Err(Error::Conflict(_))));
    assert_eq!(values(&root).await, [[1], [1]]);
}

#[tokio::test]
async fn of_writers_at_once_every_one_comes_through() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(&directory.path().to_string_lossy()).await.unwrap();
    create(&root, "a").await;
    create(&root, "b").await;
    let writers = (0..8).map(|value| {
        let place = directory.path().to_string_lossy().into_owned();
        tokio::spawn(async move { replace_both(&Root::open(&place).await?, value).await })
    });
    for written in futures::future::join_all(writers).await {
        written.unwrap().unwrap();
    }
    let [a, b] = values(&root).await;
    assert!(a == b && a.len() == 1, "{a:?} {b:?}");
    assert_eq!(load_table(&root, "a", None).await.unwrap().unwrap().version(), Some(8));
}

#[tokio::test]
async fn a_change_of_one_table_in_between_is_a_conflict_and_stays() {
    let root = root(false).await;
    let writer = JointWriter::begin(&root).await.unwrap();
    let (a, b) = (replacing(&root, "a", 2).await.unwrap(), replacing(&root, "b", 2).await.unwrap());
    let other = replacing(&root, "b", 9).await.unwrap();
    other.commit(&serde_json::json!({})).await.unwrap();
    assert!(matches!(writer.commit(&[&a, &b]).await, Err(Error::Conflict(_))));
    assert_eq!(values(&root).await, [[1], [9]]);
}

#[tokio::test]
async fn a_version_under_way_is_not_there_by_its_number_either() {
    let root = root(false).await;
    assert!(died_between_commits(&root).await.is_err());
    let refused = load_table(&root, "a", Some(2)).await.unwrap_err().to_string();
    assert!(refused.contains("no version 2: its newest is 1"), "{refused}");
    assert!(refuse_pending(&root, "a").await.is_ok(), "its writer is dead");
    assert_eq!(load_table(&root, "a", None).await.unwrap().unwrap().version(), Some(3));
}
