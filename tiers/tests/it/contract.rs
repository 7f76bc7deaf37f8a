//! The contract of an object store, for every combination of tiers over every kind of origin.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use object_store_tiers::{Tiers, VersionPolicy};

use crate::support::{BLOCK, COMBINATIONS, Combination, Content, bytes, origins, put, range, store, whole};

/// Runs `check` on every combination over every origin, each with a fresh set of tiers and a prefix of its own.
async fn everywhere<F: Future<Output = ()>>(check: impl Fn(Arc<dyn ObjectStore>, String) -> F) {
    for (label, origin, _keep) in origins().await {
        for combination in COMBINATIONS {
            let policies = match combination {
                Combination::None => vec![VersionPolicy::Revalidate],
                Combination::Both => vec![VersionPolicy::Immutable, VersionPolicy::Revalidate, VersionPolicy::NoCache],
                _ => vec![VersionPolicy::Immutable, VersionPolicy::Revalidate],
            };
            for policy in policies {
                let folder = tempfile::tempdir().unwrap();
                let tiers = Tiers::open(combination.settings(folder.path())).unwrap();
                let tiered: Arc<dyn ObjectStore> = Arc::new(store(&tiers, label, Arc::clone(&origin), policy));
                check(tiered, format!("{label}-{combination:?}-{policy:?}")).await;
                tiers.settled().await;
            }
        }
    }
}

fn sizes() -> [usize; 7] {
    let block = BLOCK as usize;
    [0, 1, block - 1, block, block + 1, 3 * block + 17, 40 * block + 5]
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_every_kind_give_the_bytes_of_the_object_cold_and_warm() {
    everywhere(|store, name| async move {
        for size in sizes() {
            let (path, data) = (format!("{name}/object-{size}"), bytes(size as u64, size));
            put(&*store, &path, &data).await;
            for _ in 0..2 {
                assert_eq!(whole(&*store, &path).await.unwrap(), data, "{path}");
                reads_agree(&*store, &path, &data).await;
            }
        }
    })
    .await;
}

async fn reads_agree(store: &dyn ObjectStore, path: &str, data: &Content) {
    let (location, size) = (Path::from(path), data.len() as u64);
    let meta = store.head(&location).await.unwrap();
    assert_eq!((meta.size, &meta.location), (size, &location));
    for (start, end) in
        [(0, 1), (0, size), (size / 2, size), (size / 3, size / 2 + 1), (0, size + 100), (BLOCK - 1, BLOCK + 1), (5, 4), (3, 3)]
    {
        let read = range(store, path, start..end).await;
        if start >= end || start >= size {
            assert!(read.is_err(), "{path} {start}..{end}");
        } else {
            assert_eq!(read.unwrap(), data.slice(start as usize..end.min(size) as usize), "{path} {start}..{end}");
        }
    }
    for (wanted, expected) in [
        (GetRange::Suffix(10), size.saturating_sub(10)..size),
        (GetRange::Suffix(size + 10), 0..size),
        (GetRange::Offset(size / 2), size / 2..size),
    ] {
        // The server of the tests fails on a suffix longer than the object, which the tiers never ask for.
        let is_known_to_fail = path.starts_with("s3") && expected.start == 0 && (path.contains("None") || path.contains("NoCache"));
        if size > 0 && !is_known_to_fail {
            let result = store.get_opts(&location, GetOptions::new().with_range(Some(wanted.clone()))).await.unwrap();
            assert_eq!((result.range.clone(), result.meta.size), (expected.clone(), size), "{path} {wanted:?}");
            let read = Content(result.bytes().await.unwrap());
            assert_eq!(read, data.slice(expected.start as usize..expected.end as usize), "{path} {wanted:?}");
        }
    }
    assert!(store.get_opts(&location, GetOptions::new().with_range(Some(GetRange::Offset(size)))).await.is_err());
    if size > 2 {
        let ranges = [size - 2..size, 0..1, size / 2..size / 2 + 1, 0..size];
        let read: Vec<_> = store.get_ranges(&location, &ranges).await.unwrap().into_iter().map(Content).collect();
        let expected: Vec<_> = ranges.iter().map(|r| data.slice(r.start as usize..r.end as usize)).collect();
        assert_eq!(read, expected, "{path}");
    }
    assert!(store.get_ranges(&location, &[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found_and_what_was_deleted_is_gone() {
    everywhere(|store, name| async move {
        let path = format!("{name}/gone");
        let is_missing = |result: object_store::Result<Content>| matches!(result, Err(Error::NotFound { .. }));
        assert!(is_missing(whole(&*store, &path).await));
        put(&*store, &path, &bytes(1, 9000)).await;
        assert_eq!(whole(&*store, &path).await.unwrap().len(), 9000);
        store.delete(&Path::from(path.clone())).await.unwrap();
        assert!(is_missing(whole(&*store, &path).await), "{path}");
        assert!(is_missing(range(&*store, &path, 0..5).await), "{path}");
        assert!(matches!(store.head(&Path::from(path)).await, Err(Error::NotFound { .. })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overwritten_object_is_read_anew_whichever_way_it_was_written() {
    everywhere(|store, name| async move {
        let (path, other) = (format!("{name}/a"), format!("{name}/b"));
        let (at, other_at) = (Path::from(path.clone()), Path::from(other.clone()));
        for round in 0..3_u64 {
            let data = bytes(100 + round, 10_000 + round as usize);
            put(&*store, &path, &data).await;
            assert_eq!(whole(&*store, &path).await.unwrap(), data);
            let copied = bytes(200 + round, 9_000);
            put(&*store, &other, &copied).await;
            store.copy(&other_at, &at).await.unwrap();
            assert_eq!(whole(&*store, &path).await.unwrap(), copied, "{path} copied");
            let uploaded = bytes(300 + round, 11_000);
            let mut upload = store.put_multipart(&at).await.unwrap();
            upload.put_part(PutPayload::from(uploaded.clone())).await.unwrap();
            upload.complete().await.unwrap();
            assert_eq!(whole(&*store, &path).await.unwrap(), uploaded, "{path} uploaded in parts");
            store.rename(&other_at, &at).await.unwrap();
            assert_eq!(whole(&*store, &path).await.unwrap(), copied, "{path} renamed");
            assert!(whole(&*store, &other).await.is_err());
        }
        let mut upload = store.put_multipart(&at).await.unwrap();
        upload.put_part(PutPayload::from(bytes(9, 50))).await.unwrap();
        upload.abort().await.unwrap();
        assert_eq!(whole(&*store, &path).await.unwrap().len(), 9_000, "an aborted upload changes nothing");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_writes_and_reads_keep_their_meaning() {
    everywhere(|store, name| async move {
        let path = Path::from(format!("{name}/conditional"));
        let create = || PutOptions::from(PutMode::Create);
        let first = store.put_opts(&path, bytes(1, 5000).into(), create()).await.unwrap();
        assert!(matches!(store.put_opts(&path, bytes(2, 5000).into(), create()).await, Err(Error::AlreadyExists { .. })));
        let tag = store.head(&path).await.unwrap().e_tag.unwrap();
        assert_eq!(first.e_tag.as_ref(), Some(&tag));
        assert_eq!(Content(store.get(&path).await.unwrap().bytes().await.unwrap()), bytes(1, 5000));
        for _ in 0..2 {
            let same = GetOptions::new().with_if_match(Some(tag.clone()));
            assert_eq!(Content(store.get_opts(&path, same).await.unwrap().bytes().await.unwrap()), bytes(1, 5000));
            let none_of = GetOptions::new().with_if_none_match(Some("\"other\""));
            assert_eq!(Content(store.get_opts(&path, none_of).await.unwrap().bytes().await.unwrap()), bytes(1, 5000));
            if !name.contains("NoCache") && !name.contains("None") {
                // The server of the tests does not heed conditions of reads; the tiers check them too.
                let other = GetOptions::new().with_if_match(Some("\"other\""));
                assert!(matches!(store.get_opts(&path, other).await, Err(Error::Precondition { .. })), "{name}");
                let unless = GetOptions::new().with_if_none_match(Some(tag.clone())).with_range(Some(0..10));
                assert!(matches!(store.get_opts(&path, unless).await, Err(Error::NotModified { .. })), "{name}");
            }
        }
        if !name.starts_with("local") {
            let update = PutMode::Update(first.into());
            let second = store.put_opts(&path, bytes(3, 5000).into(), update.clone().into()).await.unwrap();
            assert!(matches!(store.put_opts(&path, bytes(4, 5000).into(), update.into()).await, Err(Error::Precondition { .. })));
            assert_ne!(second.e_tag.unwrap(), tag);
            assert_eq!(Content(store.get(&path).await.unwrap().bytes().await.unwrap()), bytes(3, 5000), "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_bulk_deletes_pass() {
    everywhere(|store, name| async move {
        let paths: Vec<Path> = (0..5).map(|i| Path::from(format!("{name}/list/{i}/x"))).collect();
        for path in &paths {
            put(&*store, path.as_ref(), &bytes(1, 100)).await;
        }
        let prefix = Path::from(format!("{name}/list"));
        let listed: Vec<_> = store.list(Some(&prefix)).map_ok(|meta| meta.location).try_collect().await.unwrap();
        let sorted = |mut found: Vec<Path>| {
            found.sort();
            found
        };
        assert_eq!(sorted(listed), paths);
        let after: Vec<_> = store.list_with_offset(Some(&prefix), &paths[2]).map_ok(|meta| meta.location).try_collect().await.unwrap();
        assert_eq!(sorted(after), paths[3..]);
        assert_eq!(store.list_with_delimiter(Some(&prefix)).await.unwrap().common_prefixes.len(), 5);
        let locations = futures::stream::iter(paths.clone().into_iter().map(Ok)).boxed();
        let deleted: Vec<_> = store.delete_stream(locations).try_collect().await.unwrap();
        assert_eq!(sorted(deleted), paths);
        assert!(whole(&*store, paths[0].as_ref()).await.is_err());
    })
    .await;
}
