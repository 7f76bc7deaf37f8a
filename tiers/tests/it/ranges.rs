//! Any ranges of any object, against the plain bytes.

use std::ops::Range;
use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};
use object_store_tiers::{Settings, Tiers, VersionPolicy};
use proptest::prelude::*;

use crate::support::{BLOCK, Combination, Content, bytes, put, store};

fn ranges() -> impl Strategy<Value = (usize, Vec<Vec<Range<u64>>>, usize, u64)> {
    (1..12 * BLOCK as usize).prop_flat_map(|size| {
        let range = (0..size as u64, 1..5 * BLOCK).prop_map(|(start, len)| start..start + len);
        (Just(size), prop::collection::vec(prop::collection::vec(range, 1..6), 1..5), 0..3_usize, 0..4_u64)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_ranges_give_the_bytes_of_the_object((size, reads, combination, read_ahead_blocks) in ranges()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let data = bytes(size as u64, size);
            let inner = Arc::new(InMemory::new());
            put(&*inner, "a", &data).await;
            let folder = tempfile::tempdir().unwrap();
            let combination = [Combination::Memory, Combination::Disk, Combination::Both][combination];
            // Tiers smaller than the object, so that blocks come and go.
            let settings = combination.settings(folder.path());
            let memory_limit_bytes = settings.memory_limit_bytes.min(5 * BLOCK);
            let settings = Settings { memory_limit_bytes, read_ahead_bytes: read_ahead_blocks * BLOCK, request_bytes: 3 * BLOCK, ..settings };
            let tiers = Tiers::open(settings).unwrap();
            let tiered = store(&tiers, "m", inner, VersionPolicy::Immutable);
            for ranges in &reads {
                let read = tiered.get_ranges(&Path::from("a"), ranges).await.unwrap();
                prop_assert_eq!(read.len(), ranges.len());
                for (range, read) in ranges.iter().zip(read) {
                    let expected = data.slice(range.start as usize..range.end.min(size as u64) as usize);
                    prop_assert_eq!(&Content(read), &expected);
                    let options = GetOptions::new().with_range(Some(GetRange::Bounded(range.clone())));
                    let one = tiered.get_opts(&Path::from("a"), options).await.unwrap();
                    prop_assert_eq!(one.range.end - one.range.start, expected.len() as u64);
                    prop_assert_eq!(Content(one.bytes().await.unwrap()), expected);
                }
            }
            Ok(())
        })?;
    }
}
