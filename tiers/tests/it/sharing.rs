//! One load for many readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::{Error, ObjectStore};
use object_store_tiers::{Figure, Tier, Tiers, VersionPolicy};

use crate::faulty::{Fault, Faulty};
use crate::support::{BLOCK, Combination, bytes, figure, put, range, store, whole};

const CACHED: [Combination; 3] = [Combination::Memory, Combination::Disk, Combination::Both];

async fn origin(size: usize) -> Arc<Faulty> {
    let inner = Arc::new(InMemory::new());
    put(&*inner, "a", &bytes(7, size)).await;
    Faulty::over(inner)
}

fn over(origin: &Arc<Faulty>) -> Arc<dyn ObjectStore> {
    Arc::clone(origin) as Arc<dyn ObjectStore>
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_readers_of_a_cold_object_ask_as_often_as_one() {
    let size = 37 * BLOCK as usize + 11;
    for combination in CACHED {
        let mut alone = 0;
        for readers in [1, 32, 50] {
            let (origin, folder) = (origin(size).await, tempfile::tempdir().unwrap());
            let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
            let tiered = store(&tiers, "m", over(&origin), VersionPolicy::Immutable);
            origin.hold();
            let reads: Vec<_> = (0..readers)
                .map(|_| {
                    let tiered = tiered.clone();
                    tokio::spawn(async move { whole(&tiered, "a").await.unwrap() })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(50)).await;
            origin.release();
            for read in reads {
                assert_eq!(read.await.unwrap(), bytes(7, size));
            }
            if readers == 1 {
                alone = origin.gets();
            }
            assert_eq!((origin.gets(), origin.heads()), (alone, 0), "{combination:?} {readers} {:?}", tiers.statistics());
            let first = if combination == Combination::Disk { Tier::Disk } else { Tier::Memory };
            let get = |f| figure(&tiers, first, f);
            assert_eq!(get(Figure::Hits) + get(Figure::Misses) + get(Figure::Waits), readers * 38, "{combination:?} {readers}");
            assert_eq!(get(Figure::Misses), 38);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_of_a_changing_object_share_the_data_and_few_questions() {
    let size = 8 * BLOCK as usize;
    let (origin, folder) = (origin(size).await, tempfile::tempdir().unwrap());
    let tiers = Tiers::open(Combination::Both.settings(folder.path())).unwrap();
    let tiered = store(&tiers, "m", over(&origin), VersionPolicy::Revalidate);
    origin.hold();
    let begun = Arc::new(AtomicU64::new(0));
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let (tiered, begun) = (tiered.clone(), Arc::clone(&begun));
            tokio::spawn(async move {
                begun.fetch_add(1, Ordering::SeqCst);
                whole(&tiered, "a").await.unwrap()
            })
        })
        .collect();
    while begun.load(Ordering::SeqCst) < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    origin.release();
    for read in reads {
        assert_eq!(read.await.unwrap(), bytes(7, size));
    }
    assert_eq!(origin.gets(), 1);
    assert!(origin.heads() <= 2, "those who came while one asked share the next question: {}", origin.heads());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_goes_away_takes_nobody_along() {
    for combination in CACHED {
        for warm_version in [false, true] {
            let (origin, folder) = (origin(9000).await, tempfile::tempdir().unwrap());
            let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
            let tiered = store(&tiers, "m", over(&origin), VersionPolicy::Immutable);
            if warm_version {
                range(&tiered, "a", 8500..8501).await.unwrap();
            }
            let before = origin.gets();
            origin.hold();
            let spawn = || {
                let tiered = tiered.clone();
                tokio::spawn(async move { range(&tiered, "a", 0..5000).await.unwrap() })
            };
            let leader = spawn();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let followers: Vec<_> = (0..5).map(|_| spawn()).collect();
            tokio::time::sleep(Duration::from_millis(20)).await;
            leader.abort();
            assert!(leader.await.unwrap_err().is_cancelled());
            origin.release();
            for follower in followers {
                assert_eq!(tokio::time::timeout(Duration::from_secs(5), follower).await.unwrap().unwrap(), bytes(7, 9000).slice(0..5000));
            }
            assert_eq!(origin.gets() - before, 1, "{combination:?} {warm_version}");
        }
    }
}

#[test]
fn a_leader_whose_runtime_ends_does_not_hang_its_followers() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (own, other) = (runtime(), runtime());
    let origin = own.block_on(origin(9000));
    let tiers = Tiers::open(Combination::Memory.settings(std::path::Path::new("unused"))).unwrap();
    let tiered = store(&tiers, "m", over(&origin), VersionPolicy::Immutable);
    own.block_on(async { range(&tiered, "a", 8500..8501).await.unwrap() });
    origin.hold();
    let leading = tiered.clone();
    other.spawn(async move { range(&leading, "a", 0..5000).await });
    std::thread::sleep(Duration::from_millis(50));
    let following = own.spawn(async move { range(&tiered, "a", 0..5000).await.unwrap() });
    std::thread::sleep(Duration::from_millis(50));
    other.shutdown_background();
    std::thread::sleep(Duration::from_millis(50));
    origin.release();
    let read = own.block_on(async { tokio::time::timeout(Duration::from_secs(5), following).await.unwrap().unwrap() });
    assert_eq!(read, bytes(7, 9000).slice(0..5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_load_is_an_error_for_all_who_wait_and_is_not_kept() {
    for combination in CACHED {
        for fault in [Fault::Busy, Fault::Short, Fault::Broken] {
            let (origin, folder) = (origin(9000).await, tempfile::tempdir().unwrap());
            let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
            let tiered = store(&tiers, "store-label", over(&origin), VersionPolicy::Immutable);
            range(&tiered, "a", 8500..8501).await.unwrap();
            origin.faults.lock().push_back(Some(fault.clone()));
            origin.hold();
            let reads: Vec<_> = (0..8)
                .map(|_| {
                    let tiered = tiered.clone();
                    tokio::spawn(async move { range(&tiered, "a", 0..5000).await })
                })
                .collect();
            let first = if combination == Combination::Disk { Tier::Disk } else { Tier::Memory };
            while figure(&tiers, first, Figure::Waits) < 7 * 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            origin.release();
            let failed = futures::future::join_all(reads).await.into_iter().map(|read| read.unwrap()).filter(Result::is_err).count();
            assert_eq!(failed, 8, "{combination:?} {fault:?}");
            assert_eq!(figure(&tiers, first, Figure::Waits), 7 * 2, "seven readers wait for two blocks that the eighth has loaded");
            assert_eq!(figure(&tiers, Tier::Origin, Figure::LoadErrors), 1);
            assert_eq!(range(&tiered, "a", 0..5000).await.unwrap(), bytes(7, 9000).slice(0..5000), "{combination:?} {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_names_tier_operation_and_path() {
    let origin = origin(9000).await;
    let tiers = Tiers::open(Combination::Memory.settings(std::path::Path::new("unused"))).unwrap();
    let tiered = store(&tiers, "s3://lake", over(&origin), VersionPolicy::Immutable);
    origin.faults.lock().push_back(Some(Fault::Busy));
    let error = whole(&tiered, "a").await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }));
    let text = error.to_string();
    for part in ["origin tier", "read of 's3://lake/a'", "503 Slow Down", "Check the origin"] {
        assert!(text.contains(part), "{text}");
    }
}
