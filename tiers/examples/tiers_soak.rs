//! Whether the limits hold and memory stays level while readers work through ten times as much as the tiers may hold.
//!
//! ```text
//! cargo run -p object-store-tiers --example tiers_soak [-- SECONDS]
//! ```
//! Prints a line for each tenth of the time and fails at the first moment at which a limit does not hold.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints figures, and may end at the first error")]

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_tiers::{Origin, Settings, TierRow, TieredStore, Tiers, VersionPolicy};

const MIB: u64 = 1 << 20;
const MEMORY_LIMIT: u64 = 16 * MIB;
const DISK_LIMIT: u64 = 32 * MIB;
const OBJECTS: u64 = 80;
const OBJECT_BYTES: u64 = 4 * MIB + 12_345;
const READERS: u64 = 8;

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(60, |text| text.parse().unwrap());
    let (data, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for object in 0..OBJECTS {
        std::fs::write(data.path().join(object.to_string()), (0..OBJECT_BYTES).map(|at| content(object, at)).collect::<Vec<_>>()).unwrap();
    }
    let settings = Settings { block_bytes: MIB / 4, memory_limit_bytes: MEMORY_LIMIT, in_flight_bytes: 8 * MIB, ..Settings::default() };
    let tiers = Tiers::open(settings.with_disk(cache.path(), DISK_LIMIT)).unwrap();
    let origin: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(data.path()).unwrap());
    let store = tiers.store(Origin::new("data", origin).with_policy(|_| VersionPolicy::Immutable));
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..READERS).map(|seed| tokio::spawn(read(store.clone(), seed, Arc::clone(&stop), Arc::clone(&reads)))).collect();
    watch(&tiers, cache.path(), Duration::from_secs(seconds), &reads).await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}

/// The byte of an object at a place.
fn content(object: u64, at: u64) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16) ^ object.wrapping_mul(37)) as u8
}

/// Reads ranges at random places, small and large, and checks every one.
async fn read(store: TieredStore, seed: u64, stop: Arc<AtomicBool>, reads: Arc<AtomicU64>) {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut roll = move |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % sides
    };
    while !stop.load(Ordering::Relaxed) {
        let object = roll(OBJECTS);
        let start = roll(OBJECT_BYTES);
        let len = [1000, 100_000, 2 * MIB][roll(3) as usize];
        let bytes = store.get_range(&Path::from(object.to_string()), start..start + len).await.unwrap();
        assert_eq!(bytes.len() as u64, len.min(OBJECT_BYTES - start));
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(bytes[at], content(object, start + at as u64));
        }
        reads.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn watch(tiers: &Tiers, cache: &FilePath, time: Duration, reads: &AtomicU64) {
    let begins = Instant::now();
    let (mut looks, mut most) = (0_u64, [0_u64; 3]);
    println!(
        "{READERS} readers of {} MiB; limits: memory {}, disk {} MiB",
        OBJECTS * OBJECT_BYTES / MIB,
        MEMORY_LIMIT / MIB,
        DISK_LIMIT / MIB
    );
    for tenth in 1..=10 {
        while begins.elapsed() < time * tenth / 10 {
            let rows = tiers.statistics();
            let within = |row: &TierRow| row.limit_bytes.is_none_or(|limit| row.used_bytes <= limit);
            assert!(rows.iter().all(within), "{rows:?}");
            let files = bytes_in(cache);
            assert!(files <= DISK_LIMIT, "{files} bytes in the directory");
            most = [most[0].max(rows[0].used_bytes), most[1].max(rows[1].used_bytes), most[2].max(files)];
            looks += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let [memory, disk, files] = most.map(|bytes| bytes as f64 / MIB as f64);
        let (seconds, reads) = (begins.elapsed().as_secs(), reads.load(Ordering::Relaxed));
        println!(
            "{seconds:>5} s {reads:>8} reads {looks:>7} looks  highest: memory {memory:.2} disk {disk:.2} files {files:.2} MiB  resident {} MiB",
            resident()
        );
    }
    for row in tiers.statistics() {
        println!("{row:?}");
    }
}

fn bytes_in(cache: &FilePath) -> u64 {
    let files = std::fs::read_dir(cache.join("process-0")).unwrap().flatten();
    files.map(|file| file.metadata().map_or(0, |meta| meta.len())).sum()
}

/// Memory of this process in MiB, where the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    line.unwrap_or(0) / 1024
}
