//! Byte limits that hold at every moment, pins, and limits changed while reading.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store_tiers::{ErrorKind, Figure, Origin, Settings, Tier, TieredStore, Tiers, VersionPolicy};

use crate::faulty::Faulty;
use crate::support::{BLOCK, Combination, both, bytes, figure, put, range, row, store, whole};

/// Bytes of all files below a folder.
fn size_of(folder: &FilePath) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    // Files come and go while this counts.
    entries
        .flatten()
        .map(|entry| if entry.path().is_dir() { size_of(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) })
        .sum()
}

async fn filled(objects: u64, size: usize) -> Arc<InMemory> {
    let inner = Arc::new(InMemory::new());
    for i in 0..objects {
        put(&*inner, &format!("{i}"), &bytes(i, size)).await;
    }
    inner
}

/// Looks at the figures and at the directory until told to stop; returns how often it looked and the highest it saw.
fn watch(tiers: &Tiers, folder: &FilePath, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<(u64, u64, u64, u64)> {
    let (tiers, folder, stop) = (tiers.clone(), folder.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let (mut looks, mut memory, mut disk, mut files) = (0, 0, 0, 0);
        while !stop.load(Ordering::Relaxed) {
            let (m, d) = (row(&tiers, Tier::Memory), row(&tiers, Tier::Disk));
            assert!(m.used_bytes <= m.limit_bytes.unwrap() && d.used_bytes <= d.limit_bytes.unwrap(), "{m:?} {d:?}");
            (looks, memory, disk) = (looks + 1, memory.max(m.used_bytes), disk.max(d.used_bytes));
            files = files.max(size_of(&folder));
        }
        (looks, memory, disk, files)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn the_limits_hold_at_every_moment_under_a_working_set_ten_times_as_large() {
    let (memory_limit, disk_limit) = (64 * BLOCK, 96 * BLOCK);
    let (objects, blocks) = (60_u64, 16);
    let inner = filled(objects, blocks * BLOCK as usize).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { memory_limit_bytes: memory_limit, read_ahead_bytes: 4 * BLOCK, ..both(folder.path()) };
    let tiers = Tiers::open(settings.with_disk(folder.path(), disk_limit)).unwrap();
    let tiered = store(&tiers, "m", inner, VersionPolicy::Immutable);
    let stop = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..2).map(|_| watch(&tiers, folder.path(), &stop)).collect();
    let readers = (0..8_u64).map(|reader| {
        let tiered = tiered.clone();
        tokio::spawn(async move {
            for step in 0..150_u64 {
                let object = (step * 7 + reader * 13 + step * step) % objects;
                let data = bytes(object, blocks * BLOCK as usize);
                if step % 3 == 0 {
                    assert_eq!(whole(&tiered, &object.to_string()).await.unwrap(), data);
                } else {
                    let from = (step * 1237 + reader * 977) % (15 * BLOCK);
                    let read = range(&tiered, &object.to_string(), from..from + BLOCK).await.unwrap();
                    assert_eq!(read, data.slice(from as usize..(from + BLOCK) as usize));
                }
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    tiers.settled().await;
    stop.store(true, Ordering::Relaxed);
    for watcher in watchers {
        let (looks, memory, disk, files) = watcher.join().unwrap();
        assert!(looks > 20, "{looks}");
        assert!(memory > memory_limit / 2 && disk > disk_limit / 2, "the tiers were hardly used: {memory} {disk}");
        assert!(files <= disk_limit, "{files} bytes in the directory");
    }
    let (m, d) = (row(&tiers, Tier::Memory), row(&tiers, Tier::Disk));
    assert!(m.evictions > 100 && d.evictions > 100, "{m:?} {d:?}");
    let held: u64 = tiers.entries().iter().filter(|e| e.tier == "memory").map(|e| e.bytes).sum();
    assert_eq!(m.used_bytes, held, "no room stays reserved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_in_flight_stays_bounded() {
    struct Peak {
        now: AtomicU64,
        most: AtomicU64,
    }
    let peak = Arc::new(Peak { now: AtomicU64::new(0), most: AtomicU64::new(0) });
    let inner = filled(40, 16 * BLOCK as usize).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings { in_flight_bytes: 32 * BLOCK, request_bytes: 16 * BLOCK, ..both(folder.path()) };
    let tiers = Tiers::open(settings).unwrap();
    let slow = slow::Slow {
        inner: inner as Arc<dyn ObjectStore>,
        peak: Arc::new({
            let peak = Arc::clone(&peak);
            move |begins: bool| {
                if begins {
                    let now = peak.now.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.most.fetch_max(now, Ordering::SeqCst);
                } else {
                    peak.now.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }),
    };
    let tiered = store(&tiers, "m", Arc::new(slow), VersionPolicy::Immutable);
    let reads: Vec<_> = (0..40_u64)
        .map(|i| {
            let tiered = tiered.clone();
            tokio::spawn(async move { assert_eq!(whole(&tiered, &i.to_string()).await.unwrap(), bytes(i, 16 * BLOCK as usize)) })
        })
        .collect();
    for read in reads {
        read.await.unwrap();
    }
    assert_eq!(peak.most.load(Ordering::SeqCst), 2, "two requests of 16 blocks fill 32");
}

mod slow {
    use std::fmt;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use object_store::path::Path;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
        PutPayload, PutResult, Result,
    };

    /// A store whose answers take a while, and that tells when one begins and ends.
    pub(super) struct Slow {
        pub(super) inner: Arc<dyn ObjectStore>,
        pub(super) peak: Arc<dyn Fn(bool) + Send + Sync>,
    }

    impl fmt::Display for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Slow")
        }
    }

    impl fmt::Debug for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Slow")
        }
    }

    #[async_trait]
    impl ObjectStore for Slow {
        async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
            (self.peak)(true);
            tokio::time::sleep(Duration::from_millis(5)).await;
            let result = self.inner.get_opts(location, options).await;
            (self.peak)(false);
            result
        }

        async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
            self.inner.put_opts(location, payload, opts).await
        }

        async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(location, opts).await
        }

        fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.inner.delete_stream(locations)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.inner.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }
}

async fn ready(folder: &FilePath) -> (Tiers, TieredStore) {
    let inner = filled(8, 8 * BLOCK as usize).await;
    let settings = Settings { memory_limit_bytes: 20 * BLOCK, ..both(folder) };
    let tiers = Tiers::open(settings.with_disk(folder, 40 * BLOCK)).unwrap();
    let tiered = store(&tiers, "m", inner, VersionPolicy::Immutable);
    (tiers, tiered)
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_objects_stay_while_others_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (tiers, tiered) = ready(folder.path()).await;
    whole(&tiered, "0").await.unwrap();
    assert_eq!(tiered.pin(&Path::from("0")).await.unwrap(), 8 * BLOCK, "pinned on disk although memory has it");
    assert_eq!(tiered.pin_in(Tier::Memory, &Path::from("1")).await.unwrap(), 8 * BLOCK);
    for _ in 0..3 {
        for i in 2..8_u64 {
            assert_eq!(whole(&tiered, &i.to_string()).await.unwrap(), bytes(i, 8 * BLOCK as usize));
            tiers.settled().await;
        }
    }
    let pinned: Vec<_> = tiers.entries().into_iter().filter(|e| e.pinned).map(|e| (e.tier, e.path.to_string(), e.blocks)).collect();
    assert_eq!(pinned, [("memory", "1".into(), 8), ("disk", "0".into(), 8)]);
    assert_eq!(row(&tiers, Tier::Memory).pinned_bytes, 8 * BLOCK);
    assert!(row(&tiers, Tier::Disk).pinned_bytes >= 8 * BLOCK);
    let origin_bytes = figure(&tiers, Tier::Origin, Figure::BytesRead);
    whole(&tiered, "0").await.unwrap();
    whole(&tiered, "1").await.unwrap();
    assert_eq!(figure(&tiers, Tier::Origin, Figure::BytesRead), origin_bytes);
    tiered.unpin(&Path::from("0"));
    tiered.unpin(&Path::from("1"));
    assert_eq!((row(&tiers, Tier::Memory).pinned_bytes, row(&tiers, Tier::Disk).pinned_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_beyond_the_limit_are_refused_and_so_is_a_limit_below_the_pins() {
    let folder = tempfile::tempdir().unwrap();
    let (tiers, tiered) = ready(folder.path()).await;
    for i in 0..2 {
        tiered.pin_in(Tier::Memory, &Path::from(i.to_string())).await.unwrap();
    }
    let error = tiered.pin_in(Tier::Memory, &Path::from("2")).await.unwrap_err();
    assert_eq!((error.kind(), error.tier()), (ErrorKind::BeyondLimit, Tier::Memory));
    assert!(error.to_string().contains("Raise the tier's limit"), "{error}");
    assert_eq!(row(&tiers, Tier::Memory).pinned_bytes, 16 * BLOCK);
    assert_eq!(tiers.set_limit(Tier::Memory, 10 * BLOCK).unwrap_err().kind(), ErrorKind::BeyondLimit);
    // What does not fit beside the pins passes by, and is right.
    assert_eq!(whole(&tiered, "5").await.unwrap(), bytes(5, 8 * BLOCK as usize));
    assert!(row(&tiers, Tier::Memory).used_bytes <= 20 * BLOCK);
    tiers.settled().await;
    tiers.clear(Tier::Memory);
    assert_eq!((row(&tiers, Tier::Memory).used_bytes, row(&tiers, Tier::Memory).pinned_bytes), (0, 0));
    whole(&tiered, "0").await.unwrap();
    assert_eq!(row(&tiers, Tier::Memory).pinned_bytes, 8 * BLOCK, "the pin holds for what comes in later");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_switches_work_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (tiers, tiered) = ready(folder.path()).await;
    tiered.prefetch(&(0..8).map(|i| Path::from(i.to_string())).collect::<Vec<_>>()).await.unwrap();
    tiers.settled().await;
    tiers.set_limit(Tier::Memory, 3 * BLOCK).unwrap();
    tiers.set_limit(Tier::Disk, 7 * BLOCK).unwrap();
    let (m, d) = (row(&tiers, Tier::Memory), row(&tiers, Tier::Disk));
    assert!(m.used_bytes <= 3 * BLOCK && d.used_bytes <= 7 * BLOCK && size_of(folder.path()) <= 7 * BLOCK, "{m:?} {d:?}");
    tiers.set_limit(Tier::Memory, 0).unwrap();
    assert!(!row(&tiers, Tier::Memory).on);
    assert_eq!(tiers.switch(Tier::Memory, true).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(whole(&tiered, "1").await.unwrap(), bytes(1, 8 * BLOCK as usize));
    tiers.settled().await;
    tiers.set_limit(Tier::Memory, 20 * BLOCK).unwrap();
    tiers.switch(Tier::Disk, false).unwrap();
    tiers.clear(Tier::Disk);
    whole(&tiered, "1").await.unwrap();
    tiers.settled().await;
    assert_eq!((row(&tiers, Tier::Memory).entries, row(&tiers, Tier::Disk).entries), (8, 0));
    assert_eq!(tiers.set_limit(Tier::Memory, 5).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(tiers.set_limit(Tier::Origin, 5 * BLOCK).unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_store_over_the_same_tiers_may_decline_some_of_them() {
    let inner: Arc<dyn ObjectStore> = filled(4, 8 * BLOCK as usize).await;
    let folder = tempfile::tempdir().unwrap();
    let tiers = Tiers::open(both(folder.path())).unwrap();
    let origin = || Origin::new("m", Arc::clone(&inner)).with_policy(|_| VersionPolicy::Immutable);
    let none = origin().local().without(Tier::Memory);
    for (object, origin, held) in [
        ("0", origin(), vec!["memory", "disk"]),
        ("1", origin().local(), vec!["memory"]),
        ("2", origin().without(Tier::Memory), vec!["disk"]),
        ("3", none, vec![]),
    ] {
        let tiered = tiers.store(origin);
        let data = bytes(object.parse().unwrap(), 8 * BLOCK as usize);
        for _ in 0..2 {
            assert_eq!(whole(&tiered, object).await.unwrap(), data);
            tiers.settled().await;
        }
        let found: Vec<_> = tiers.entries().into_iter().filter(|e| e.path.as_ref() == object).map(|e| e.tier).collect();
        assert_eq!(found, held, "object {object}");
        put(&tiered, object, &data).await;
        assert_eq!(range(&tiered, object, 5..BLOCK * 2).await.unwrap(), data.slice(5..2 * BLOCK as usize));
        let found: Vec<_> = tiers.entries().into_iter().filter(|e| e.path.as_ref() == object).map(|e| e.tier).collect();
        assert_eq!(found, held, "object {object}, written");
    }
    let origins = (figure(&tiers, Tier::Origin, Figure::Requests), figure(&tiers, Tier::Memory, Figure::Hits));
    assert!(origins.1 > 0 && origins.0 < 20, "{origins:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prefetched_objects_are_read_without_the_origin_and_invalidated_ones_with_it() {
    let inner = Faulty::over(filled(4, 8 * BLOCK as usize).await);
    let tiers = Tiers::open(Combination::Memory.settings(FilePath::new("unused"))).unwrap();
    let tiered = store(&tiers, "m", Arc::clone(&inner) as Arc<dyn ObjectStore>, VersionPolicy::Immutable);
    let paths: Vec<_> = (0..4).map(|i| Path::from(i.to_string())).collect();
    assert_eq!(tiered.prefetch(&paths).await.unwrap(), 32 * BLOCK);
    let read = figure(&tiers, Tier::Origin, Figure::BytesRead);
    assert_eq!((read, inner.gets(), inner.heads()), (32 * BLOCK, 4, 0));
    for i in 0..4_u64 {
        assert_eq!(whole(&tiered, &i.to_string()).await.unwrap(), bytes(i, 8 * BLOCK as usize));
    }
    assert_eq!(figure(&tiers, Tier::Origin, Figure::BytesRead), read);
    assert_eq!(tiered.invalidate(&paths[1]), 8);
    assert_eq!(row(&tiers, Tier::Memory).entries, 24);
    assert_eq!(tiered.invalidate_all(), 24);
    whole(&tiered, "1").await.unwrap();
    assert_eq!(figure(&tiers, Tier::Origin, Figure::BytesRead), read + 8 * BLOCK);
    assert!(tiered.prefetch(&[Path::from("nowhere")]).await.is_err());
}
