//! How fast the tiers are on this machine: warm reads against a plain local file, and cold, disk-warm and memory-warm reads of 200
//! objects from an S3 server on loopback.
//!
//! ```text
//! cargo run --release -p object-store-tiers --example tiers_bench [-- REPEATS]
//! ```
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints figures, and may end at the first error")]

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_tiers::{Figure, Origin, Settings, Tier, Tiers, VersionPolicy};
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

const OBJECTS: usize = 200;
/// About what 11,315 bars of one symbol take.
const OBJECT_BYTES: usize = 400_000;
const FILE_BYTES: u64 = 256 << 20;

#[tokio::main]
async fn main() {
    let repeats = std::env::args().nth(1).map_or(5, |text| text.parse().unwrap());
    let processors = std::thread::available_parallelism().unwrap();
    println!("{processors} processors, {repeats} repeats, medians\n");
    local_overhead(repeats).await;
    for block_bytes in [256 << 10, 1 << 20, 4 << 20] {
        from_s3(repeats, block_bytes).await;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Bytes that do not compress, the same on every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Reads of one file, as a scan of a columnar file does them: some ranges in one call, one call after another.
async fn scan(store: &dyn ObjectStore, range_bytes: u64) -> u64 {
    let path = Path::from("file");
    let ranges: Vec<Range<u64>> = (0..FILE_BYTES / range_bytes).map(|i| i * range_bytes..(i + 1) * range_bytes).collect();
    let mut sum = 0;
    for group in ranges.chunks(4) {
        for bytes in store.get_ranges(&path, group).await.unwrap() {
            sum += bytes.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>();
        }
    }
    sum
}

/// The same reads by the system's calls alone: what no store can beat.
async fn scan_by_calls(file: &FilePath, range_bytes: u64) -> u64 {
    let mut sum = 0;
    for group in (0..FILE_BYTES / range_bytes).collect::<Vec<_>>().chunks(4) {
        let (file, group) = (file.to_owned(), group.to_vec());
        let read = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(file).unwrap();
            let read = group.into_iter().map(|i| {
                let mut bytes = vec![0; range_bytes as usize];
                file.seek(SeekFrom::Start(i * range_bytes)).unwrap();
                file.read_exact(&mut bytes).unwrap();
                bytes
            });
            read.collect::<Vec<_>>()
        });
        sum += read.await.unwrap().iter().flat_map(|bytes| bytes.iter().step_by(4096)).map(|byte| u64::from(*byte)).sum::<u64>();
    }
    sum
}

async fn local_overhead(repeats: usize) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), noise(FILE_BYTES as usize)).unwrap();
    let plain = || Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap()) as Arc<dyn ObjectStore>;
    println!("one local file of {} MiB, read in ranges, four to a call, warm:", FILE_BYTES >> 20);
    let memory = Tiers::open(Settings { memory_limit_bytes: 2 * FILE_BYTES, ..Settings::default() }).unwrap();
    let none = Tiers::open(Settings { memory_limit_bytes: 0, ..Settings::default() }).unwrap();
    let small = Tiers::open(Settings { memory_limit_bytes: 16 << 20, ..Settings::default() }).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let disk = Tiers::open(Settings { memory_limit_bytes: 0, ..Settings::default() }.with_disk(cache.path(), 2 * FILE_BYTES)).unwrap();
    let over = |tiers: &Tiers, is_local: bool| {
        let origin = Origin::new("file", plain()).with_policy(|_| VersionPolicy::Immutable);
        Arc::new(tiers.store(if is_local { origin.local() } else { origin })) as Arc<dyn ObjectStore>
    };
    let stores = [
        ("plain", plain()),
        ("no tier on", over(&none, true)),
        ("disk declines", over(&disk, true)),
        ("memory", over(&memory, true)),
        ("memory of a 16th", over(&small, true)),
        ("disk", over(&disk, false)),
    ];
    for range_bytes in [64 << 10, 1 << 20, 8 << 20] {
        let mut times = vec![Vec::new(); stores.len()];
        let mut by_calls = Vec::new();
        for (_, store) in &stores {
            scan(&**store, range_bytes).await;
        }
        disk.settled().await;
        // Turn by turn, so that all meet the same state of the machine.
        for _ in 0..repeats {
            let begins = Instant::now();
            scan_by_calls(&folder.path().join("file"), range_bytes).await;
            by_calls.push(begins.elapsed());
            for (i, (_, store)) in stores.iter().enumerate() {
                let begins = Instant::now();
                scan(&**store, range_bytes).await;
                times[i].push(begins.elapsed());
            }
        }
        println!("  {:>5} KiB  {:<18} {:>8.1} ms", range_bytes >> 10, "system calls", median(by_calls).as_secs_f64() * 1e3);
        let medians: Vec<Duration> = times.into_iter().map(median).collect();
        for ((name, _), time) in stores.iter().zip(&medians) {
            let percent = 100.0 * (time.as_secs_f64() / medians[0].as_secs_f64() - 1.0);
            println!("  {:>5} KiB  {name:<18} {:>8.1} ms  {percent:>+6.1} %", range_bytes >> 10, time.as_secs_f64() * 1e3);
        }
    }
}

async fn serve(folder: &FilePath) -> String {
    let service = S3ServiceBuilder::new(FileSystem::new(folder).unwrap()).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move { Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await });
        }
    });
    format!("http://{address}")
}

/// As a query over all does it: the end of each object, then the whole of it, eight objects at a time.
async fn read_all(store: &dyn ObjectStore) -> Duration {
    let begins = Instant::now();
    let size = OBJECT_BYTES as u64;
    let reads = stream::iter(0..OBJECTS).map(|i| async move {
        let path = Path::from(format!("{i}"));
        store.get_range(&path, size - 8..size).await?;
        store.get_ranges(&path, &[0..size / 2, size / 2..size]).await
    });
    let read: Vec<_> = reads.buffer_unordered(8).try_collect().await.unwrap();
    assert_eq!(read.iter().flatten().map(|bytes| bytes.len()).sum::<usize>(), OBJECTS * OBJECT_BYTES);
    begins.elapsed()
}

async fn from_s3(repeats: usize, block_bytes: u64) {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("bucket")).unwrap();
    let client = AmazonS3Builder::new()
        .with_endpoint(serve(folder.path()).await)
        .with_allow_http(true)
        .with_bucket_name("bucket")
        .with_region("us-east-1")
        .with_skip_signature(true)
        .build()
        .unwrap();
    let client: Arc<dyn ObjectStore> = Arc::new(client);
    for i in 0..OBJECTS {
        client.put(&Path::from(format!("{i}")), noise(OBJECT_BYTES).into()).await.unwrap();
    }
    let settings = Settings { block_bytes, ..Settings::default() }.with_disk(cache.path(), 1 << 30);
    let tiers = Tiers::open(settings.clone()).unwrap();
    let store = tiers.store(Origin::new("s3://bucket", Arc::clone(&client)).with_policy(|_| VersionPolicy::Immutable));
    let [mut direct, mut cold, mut disk, mut memory, mut single] = [const { Vec::new() }; 5];
    let mut requests = 0;
    for _ in 0..repeats {
        direct.push(read_all(&*client).await);
        store.invalidate_all();
        tiers.reset();
        cold.push(read_all(&store).await);
        requests = tiers.figures().get(Tier::Origin, Figure::Requests);
        tiers.settled().await;
        tiers.clear(Tier::Memory);
        disk.push(read_all(&store).await);
        memory.push(read_all(&store).await);
        let begins = Instant::now();
        store.get_range(&Path::from("7"), 0..OBJECT_BYTES as u64).await.unwrap();
        single.push(begins.elapsed());
        assert_eq!(tiers.figures().get(Tier::Origin, Figure::Requests), requests, "warm reads ask nothing");
    }
    println!(
        "\n{OBJECTS} objects of {OBJECT_BYTES} bytes from S3 on loopback, blocks of {} KiB, {requests} requests when cold:",
        block_bytes >> 10
    );
    for (name, times) in [("without tiers", direct), ("cold", cold), ("disk", disk), ("memory", memory), ("one object, memory", single)] {
        println!("  {name:<18} {:>9.3} ms", median(times).as_secs_f64() * 1e3);
    }
    drop((store, tiers));
    let begins = Instant::now();
    let tiers = Tiers::open(settings).unwrap();
    let held: u64 = tiers.entries().iter().map(|entry| entry.blocks).sum();
    println!("  {:<18} {:>9.3} ms for {held} entries", "start", begins.elapsed().as_secs_f64() * 1e3);
}
