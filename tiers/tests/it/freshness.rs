//! Which version a read sees.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStore, ObjectStoreExt};
use object_store_tiers::{Figure, ReadFigures, Settings, Tier, TieredStore, Tiers, VersionPolicy};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::faulty::{Fault, Faulty};
use crate::support::{BLOCK, Content, both, bytes, figure, put, range, row, store, whole};

struct Setup {
    inner: Arc<InMemory>,
    origin: Arc<Faulty>,
    tiers: Tiers,
    tiered: TieredStore,
    _folder: TempDir,
}

async fn setup(policy: VersionPolicy, change: impl FnOnce(Settings) -> Settings) -> Setup {
    let inner = Arc::new(InMemory::new());
    put(&*inner, "a", &bytes(1, 9000)).await;
    let origin = Faulty::over(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    let folder = tempfile::tempdir().unwrap();
    let tiers = Tiers::open(change(both(folder.path()))).unwrap();
    let tiered = store(&tiers, "m", Arc::clone(&origin) as Arc<dyn ObjectStore>, policy);
    Setup { inner, origin, tiers, tiered, _folder: folder }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_is_seen_by_the_next_read_and_its_old_blocks_go() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    for hides_e_tags in [false, true] {
        s.origin.hides_e_tags.store(hides_e_tags, Ordering::SeqCst);
        for round in 2..5 {
            let data = bytes(round, 9000 + round as usize);
            put(&*s.inner, "a", &data).await;
            assert_eq!(whole(&s.tiered, "a").await.unwrap(), data);
            assert_eq!(range(&s.tiered, "a", 5..5000).await.unwrap(), data.slice(5..5000));
            s.tiers.settled().await;
            let held = s.tiers.entries();
            assert_eq!(
                held.iter().map(|e| (e.tier, e.blocks)).collect::<Vec<_>>(),
                [("memory", 3), ("disk", 3)],
                "one version in each tier"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_size_and_time_with_another_tag_is_another_version() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(1, 9000));
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(2, 9000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immutable_object_is_never_asked_for_again_and_an_uncached_one_always() {
    let s = setup(VersionPolicy::Immutable, |s| s).await;
    for _ in 0..5 {
        whole(&s.tiered, "a").await.unwrap();
        s.tiered.head(&Path::from("a")).await.unwrap();
    }
    assert_eq!((s.origin.gets(), s.origin.heads()), (1, 0));
    let s = setup(VersionPolicy::NoCache, |s| s).await;
    for _ in 0..5 {
        whole(&s.tiered, "a").await.unwrap();
        s.tiered.head(&Path::from("a")).await.unwrap();
    }
    assert_eq!((s.origin.gets(), s.origin.heads(), s.tiers.entries().len()), (5, 5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn max_staleness_asks_when_the_time_is_up() {
    let s = setup(VersionPolicy::MaxStaleness(Duration::from_millis(300)), |s| s).await;
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(1, 9000));
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(1, 9000), "within the time");
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(2, 9000));
    // A block that is not here shows the change at once, and the read starts over with the present version.
    put(&*s.inner, "a", &bytes(3, 9000)).await;
    s.tiers.settled().await;
    s.tiers.clear(Tier::Memory);
    s.tiers.clear(Tier::Disk);
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(3, 9000));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_query_sees_one_version_or_an_error() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
    assert_eq!(range(&query, "a", 0..10).await.unwrap(), bytes(1, 9000).slice(0..10));
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    assert_eq!(range(&query, "a", 10..20).await.unwrap(), bytes(1, 9000).slice(10..20), "still the version of this query");
    let error = range(&query, "a", 8500..8600).await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    assert!(error.to_string().contains("Run the query again"), "{error}");
    let next = s.tiered.scoped(Arc::new(ReadFigures::new()));
    assert_eq!(whole(&next, "a").await.unwrap(), bytes(2, 9000));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_query_sees_one_version_also_where_no_tier_is_on() {
    let s = setup(VersionPolicy::Revalidate, |s| Settings { memory_limit_bytes: 0, disk: None, ..s }).await;
    for (seed, hides_e_tags) in [(2, false), (3, true)] {
        s.origin.hides_e_tags.store(hides_e_tags, Ordering::SeqCst);
        let before = whole(&*s.inner, "a").await.unwrap();
        let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
        assert_eq!(range(&query, "a", 0..10).await.unwrap(), before.slice(0..10));
        assert_eq!(query.get_ranges(&Path::from("a"), &[20..30, 8000..8010]).await.unwrap()[1], before.slice(8000..8010).0);
        put(&*s.inner, "a", &bytes(seed, 9000)).await;
        assert!(matches!(range(&query, "a", 10..20).await, Err(Error::Precondition { .. })));
        assert!(matches!(query.get_ranges(&Path::from("a"), &[20..30, 8000..8010]).await, Err(Error::Precondition { .. })));
        assert_eq!(whole(&s.tiered.scoped(Arc::new(ReadFigures::new())), "a").await.unwrap(), bytes(seed, 9000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_was_told_of_an_object_is_what_it_reads() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
    let told = query.head(&Path::from("a")).await.unwrap();
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    assert_eq!(query.head(&Path::from("a")).await.unwrap(), told);
    assert!(matches!(whole(&query, "a").await, Err(Error::Precondition { .. })));
    // Readers of one query that begin at the same time agree, whatever the origin says to each.
    for round in 3..13 {
        let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
        let data = bytes(round, 9000);
        let replace = put(&*s.inner, "a", &data);
        let reads = futures::future::join_all((0..8).map(|_| whole(&query, "a")));
        let (reads, ()) = futures::future::join(reads, replace).await;
        let mut read: Vec<_> = reads.into_iter().filter_map(Result::ok).collect();
        read.dedup();
        assert!(read.len() <= 1, "round {round}: {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_listed_with_another_size_is_refused() {
    use futures::TryStreamExt;
    use object_store::ObjectStore;
    for policy in [VersionPolicy::Revalidate, VersionPolicy::Immutable] {
        let s = setup(policy, |s| s).await;
        let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
        let listed: Vec<_> = query.list(None).try_collect().await.unwrap();
        assert!(listed.iter().any(|meta| meta.location == Path::from("a")));
        put(&*s.inner, "a", &bytes(2, 9500)).await;
        let error = range(&query, "a", 0..10).await.unwrap_err();
        assert!(matches!(error, Error::Precondition { .. }) && error.to_string().contains("was listed with 9000 bytes"), "{error}");
        let next = s.tiered.scoped(Arc::new(ReadFigures::new()));
        let _: Vec<_> = next.list(None).try_collect().await.unwrap();
        assert_eq!(whole(&next, "a").await.unwrap(), bytes(2, 9500));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_in_mid_read_is_an_error_also_where_the_server_heeds_no_condition() {
    for (policy, hides_e_tags) in [(VersionPolicy::Immutable, false), (VersionPolicy::Immutable, true)] {
        let s = setup(policy, |s| s).await;
        s.origin.hides_e_tags.store(hides_e_tags, Ordering::SeqCst);
        range(&s.tiered, "a", 0..10).await.unwrap();
        s.origin.faults.lock().push_back(Some(Fault::Replaced(bytes(2, 9001).0)));
        let error = range(&s.tiered, "a", 5000..9000).await.unwrap_err();
        assert!(matches!(error, Error::Precondition { .. }), "{error}");
        assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(2, 9001), "the next read sees the present version");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_in_the_query_spares_the_questions() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    whole(&s.tiered, "a").await.unwrap();
    let (gets, heads) = (s.origin.gets(), s.origin.heads());
    let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
    query.list(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(whole(&query, "a").await.unwrap(), bytes(1, 9000));
    assert_eq!((s.origin.gets(), s.origin.heads()), (gets, heads));
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    let query = s.tiered.scoped(Arc::new(ReadFigures::new()));
    query.list(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(whole(&query, "a").await.unwrap(), bytes(2, 9000));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_offline_is_an_error_and_never_an_empty_answer() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    whole(&s.tiered, "a").await.unwrap();
    s.origin.offline(true);
    for path in ["a", "unknown"] {
        let error = whole(&s.tiered, path).await.unwrap_err();
        assert!(error.to_string().contains("connection refused"), "{error}");
        assert!(s.tiered.get_ranges(&Path::from(path), &[0..5, 7..9]).await.is_err());
    }
    s.origin.offline(false);
    assert_eq!(whole(&s.tiered, "a").await.unwrap(), bytes(1, 9000));
    assert_eq!(figure(&s.tiers, Tier::Memory, Figure::StaleServed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_reads_are_marked_and_only_on_request() {
    let marks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&marks);
    let s = setup(VersionPolicy::Revalidate, |settings| Settings {
        serve_stale_on_error: true,
        on_stale: Some(Arc::new(move |read| seen.lock().push((read.path.clone(), read.error.to_string())))),
        ..settings
    })
    .await;
    put(&*s.inner, "b", &bytes(5, 9000)).await;
    whole(&s.tiered, "a").await.unwrap();
    range(&s.tiered, "b", 0..10).await.unwrap();
    s.origin.offline(true);
    let figures = Arc::new(ReadFigures::new());
    let query = s.tiered.scoped(Arc::clone(&figures));
    assert_eq!(whole(&query, "a").await.unwrap(), bytes(1, 9000));
    assert_eq!((figures.get(Tier::Memory, Figure::StaleServed), row(&s.tiers, Tier::Memory).stale_served), (1, 1));
    assert_eq!(marks.lock().len(), 1);
    assert!(marks.lock()[0].1.contains("connection refused"));
    assert!(range(&query, "b", 0..9000).await.is_err(), "a block that is not here cannot be served");
    assert!(whole(&query, "unknown").await.is_err());
    s.origin.offline(false);
    s.inner.delete(&Path::from("a")).await.unwrap();
    let error = whole(&s.tiered, "a").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "what was removed is gone, not stale: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_is_served_without_reading_it_back() {
    let s = setup(VersionPolicy::Revalidate, |s| s).await;
    let data = bytes(9, 5 * BLOCK as usize + 3);
    put(&s.tiered, "new", &data).await;
    s.tiers.settled().await;
    assert_eq!(whole(&s.tiered, "new").await.unwrap(), data);
    assert_eq!((s.origin.gets(), s.origin.heads()), (0, 1), "one question for what the write's answer did not tell");
    let expected = s.inner.head(&Path::from("new")).await.unwrap();
    assert_eq!(s.tiered.head(&Path::from("new")).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_asked_for_by_name_goes_straight_to_the_origin() {
    let s = setup(VersionPolicy::Immutable, |s| s).await;
    whole(&s.tiered, "a").await.unwrap();
    put(&*s.inner, "a", &bytes(2, 9000)).await;
    let named = GetOptions::new().with_version(Some("x"));
    assert_eq!(Content(s.tiered.get_opts(&Path::from("a"), named).await.unwrap().bytes().await.unwrap()), bytes(2, 9000));
}
