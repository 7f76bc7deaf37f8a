//! Figures against the server's own log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_tiers::{Figure, ReadFigures, Tier, Tiers, VersionPolicy};

use crate::faulty::Faulty;
use crate::support::{BLOCK, COMBINATIONS, Combination, S3, both, bytes, figure, put, range, row, store, whole};

#[tokio::test(flavor = "multi_thread")]
async fn origin_requests_and_bytes_equal_the_servers_log() {
    let server = S3::start().await;
    for combination in COMBINATIONS {
        for policy in [VersionPolicy::Immutable, VersionPolicy::Revalidate, VersionPolicy::NoCache] {
            let folder = tempfile::tempdir().unwrap();
            let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
            let tiered = store(&tiers, "s3://bucket", Arc::new(server.client()), policy);
            server.log.clear();
            for i in 0..6_u64 {
                put(&tiered, &format!("{combination:?}/{policy:?}/{i}"), &bytes(i, 3000 * i as usize + 1)).await;
            }
            for round in 0..3 {
                for i in 0..6_u64 {
                    let path = format!("{combination:?}/{policy:?}/{i}");
                    assert_eq!(whole(&tiered, &path).await.unwrap(), bytes(i, 3000 * i as usize + 1));
                    range(&tiered, &path, 0..1 + round).await.unwrap();
                    tiered.head(&Path::from(path)).await.unwrap();
                }
                tiered.list(Some(&Path::from(format!("{combination:?}/{policy:?}")))).try_collect::<Vec<_>>().await.unwrap();
                tiers.settled().await;
            }
            let what = format!("{combination:?} {policy:?}");
            assert_eq!(figure(&tiers, Tier::Origin, Figure::Requests), server.log.total(), "{what}");
            // Listings have bodies too.
            let listed =
                server.log.lines.lock().iter().filter(|(method, path)| method == "GET" && path.trim_matches('/') == "bucket").count();
            assert_eq!(listed, 3, "{what}");
            assert!(figure(&tiers, Tier::Origin, Figure::BytesRead) <= server.log.body_bytes.load(Ordering::SeqCst), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn received_bytes_equal_the_servers_log_and_blocks_add_up() {
    let server = S3::start().await;
    let origin: Arc<dyn ObjectStore> = Arc::new(server.client());
    let sizes = [1_usize, 5000, 70_000, 300_001];
    for (i, size) in sizes.iter().enumerate() {
        put(&*origin, &format!("o{i}"), &bytes(i as u64, *size)).await;
    }
    for combination in [Combination::Memory, Combination::Disk, Combination::Both] {
        let folder = tempfile::tempdir().unwrap();
        let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
        let tiered = store(&tiers, "s3://bucket", Arc::clone(&origin), VersionPolicy::Immutable);
        server.log.clear();
        let (mut asked_blocks, mut sent) = (0, 0);
        for round in 0..2 {
            for (i, size) in sizes.iter().enumerate() {
                let read = whole(&tiered, &format!("o{i}")).await.unwrap();
                assert_eq!(read, bytes(i as u64, *size));
                asked_blocks += (*size as u64).div_ceil(BLOCK);
                sent += if round == 0 { *size as u64 } else { 0 };
            }
            tiers.settled().await;
        }
        let get = |tier, f| figure(&tiers, tier, f);
        assert_eq!(server.log.body_bytes.load(Ordering::SeqCst), sent, "{combination:?}: the second run reads nothing from the origin");
        assert_eq!(get(Tier::Origin, Figure::BytesRead), sent);
        assert_eq!(get(Tier::Origin, Figure::Requests), server.log.total());
        assert_eq!(server.log.count("HEAD"), 0, "the first bytes tell the version");
        let first = if combination == Combination::Disk { Tier::Disk } else { Tier::Memory };
        assert_eq!(get(first, Figure::Hits) + get(first, Figure::Misses) + get(first, Figure::Waits), asked_blocks, "{combination:?}");
        assert_eq!(get(first, Figure::Hits), asked_blocks / 2, "{combination:?}");
        assert_eq!(get(first, Figure::Misses), get(Tier::Origin, Figure::Hits), "{combination:?}");
        assert_eq!(row(&tiers, first).hit_rate, Some(0.5));
        if combination == Combination::Both {
            assert_eq!(get(Tier::Disk, Figure::Misses), asked_blocks / 2, "what memory missed");
            assert_eq!(get(Tier::Disk, Figure::Hits), 0);
        }
        assert_eq!(row(&tiers, first).used_bytes, tiers.entries().iter().filter(|e| e.tier == first.name()).map(|e| e.bytes).sum::<u64>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_its_own_figures_and_reset_keeps_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let tiers = Tiers::open(both(folder.path())).unwrap();
    let origin = Arc::new(object_store::memory::InMemory::new());
    put(&*origin, "a", &bytes(1, 10 * BLOCK as usize)).await;
    let tiered = store(&tiers, "m", origin, VersionPolicy::Revalidate);
    let (cold, warm) = (Arc::new(ReadFigures::new()), Arc::new(ReadFigures::new()));
    whole(&tiered.scoped(Arc::clone(&cold)), "a").await.unwrap();
    let query = tiered.scoped(Arc::clone(&warm));
    for _ in 0..3 {
        whole(&query, "a").await.unwrap();
    }
    assert_eq!((cold.get(Tier::Memory, Figure::Misses), cold.get(Tier::Origin, Figure::Hits)), (10, 10));
    assert_eq!((warm.get(Tier::Memory, Figure::Hits), warm.get(Tier::Memory, Figure::BytesRead)), (30, 30 * BLOCK));
    assert_eq!(warm.get(Tier::Origin, Figure::Requests), 1, "one question for the version in one query");
    assert_eq!(figure(&tiers, Tier::Memory, Figure::Hits), 30);
    let entry = tiers.entries().into_iter().find(|e| e.tier == "memory").unwrap();
    assert_eq!(
        (entry.path.as_ref(), &*entry.origin, entry.bytes, entry.blocks, entry.hits, entry.pinned),
        ("a", "m", 10 * BLOCK, 10, 30, false)
    );
    assert!(entry.loaded_at <= entry.last_used_at);
    let used = row(&tiers, Tier::Memory).used_bytes;
    tiers.reset();
    assert_eq!((row(&tiers, Tier::Memory).hits, row(&tiers, Tier::Memory).used_bytes), (0, used));
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbouring_blocks_come_by_one_request_and_small_reads_stay_small() {
    let inner = Arc::new(object_store::memory::InMemory::new());
    let size = 40 * BLOCK + 100;
    put(&*inner, "a", &bytes(1, size as usize)).await;
    let origin = Faulty::over(inner);
    let folder = tempfile::tempdir().unwrap();
    let tiers = Tiers::open(both(folder.path())).unwrap();
    let tiered = store(&tiers, "m", Arc::clone(&origin) as Arc<dyn ObjectStore>, VersionPolicy::Immutable);
    range(&tiered, "a", size - 8..size).await.unwrap();
    assert_eq!((origin.gets(), origin.heads(), origin.bytes.load(Ordering::SeqCst)), (1, 0, 100), "only the short last block");
    range(&tiered, "a", BLOCK * 3 + 7..BLOCK * 3 + 8).await.unwrap();
    assert_eq!((origin.gets(), origin.bytes.load(Ordering::SeqCst)), (2, 100 + BLOCK));
    // Blocks 1, 2 and 4 to 6 around block 3, which is here already; and 10, far away.
    let ranges = [BLOCK..7 * BLOCK, 10 * BLOCK..10 * BLOCK + 1];
    tiered.get_ranges(&Path::from("a"), &ranges).await.unwrap();
    assert_eq!((origin.gets(), origin.bytes.load(Ordering::SeqCst)), (5, 100 + 7 * BLOCK));
    let entries = tiers.entries();
    assert_eq!(entries.iter().find(|e| e.tier == "memory").unwrap().blocks, 8);
    let all_conditional = origin.asked.lock().iter().skip(1).all(|options| options.if_match.is_some());
    assert!(all_conditional, "a request for a known version names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_order_is_read_ahead_of() {
    let inner = Arc::new(object_store::memory::InMemory::new());
    let data = bytes(1, 64 * BLOCK as usize);
    put(&*inner, "a", &data).await;
    for read_ahead_blocks in [0, 8] {
        let origin = Faulty::over(Arc::clone(&inner) as Arc<dyn ObjectStore>);
        let mut settings = Combination::Memory.settings(std::path::Path::new("unused"));
        settings.read_ahead_bytes = read_ahead_blocks * BLOCK;
        let tiers = Tiers::open(settings).unwrap();
        let tiered = store(&tiers, "m", Arc::clone(&origin) as Arc<dyn ObjectStore>, VersionPolicy::Immutable);
        for block in 0..64 {
            let at = (block * BLOCK) as usize;
            assert_eq!(range(&tiered, "a", block * BLOCK..(block + 1) * BLOCK).await.unwrap(), data.slice(at..at + BLOCK as usize));
        }
        if read_ahead_blocks == 0 {
            assert_eq!(origin.gets(), 64);
        } else {
            assert!(origin.gets() <= 2 + 62_u64.div_ceil(9) + 1, "{} requests", origin.gets());
        }
        assert_eq!(origin.bytes.load(Ordering::SeqCst), data.len() as u64, "no byte twice");
        let memory = row(&tiers, Tier::Memory);
        assert_eq!(memory.hits + memory.misses + memory.waits, 64, "what was read ahead is not counted as asked for");
    }
}
