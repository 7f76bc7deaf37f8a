//! Damage to the disk tier: the answer stays right, and the damage is counted.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store_tiers::{Figure, Tier, TieredStore, Tiers, VersionPolicy};

use crate::faulty::Faulty;
use crate::support::{BLOCK, Combination, bytes, figure, put, range, row, store, whole};

const SIZE: usize = 10 * BLOCK as usize + 77;

async fn origin() -> Arc<Faulty> {
    let inner = Arc::new(InMemory::new());
    put(&*inner, "a", &bytes(1, SIZE)).await;
    Faulty::over(inner)
}

fn open(folder: &FilePath, origin: &Arc<Faulty>) -> (Tiers, TieredStore) {
    let tiers = Tiers::open(Combination::Disk.settings(folder)).unwrap();
    let tiered = store(&tiers, "m", Arc::clone(origin) as Arc<dyn ObjectStore>, VersionPolicy::Immutable);
    (tiers, tiered)
}

fn files(folder: &FilePath, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder.join("process-0")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == extension));
    found.sort();
    found
}

/// An entry of a whole block, and the length of its file.
fn long_entry(folder: &FilePath) -> (PathBuf, usize) {
    let with_length = files(folder, "block").into_iter().map(|file| (fs::metadata(&file).unwrap().len() as usize, file));
    let (length, file) = with_length.max().unwrap();
    (file, length)
}

fn flip(file: &FilePath, at: usize) {
    let mut content = fs::read(file).unwrap();
    content[at] ^= 0x10;
    fs::write(file, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_anywhere_in_an_entry_is_a_miss_and_counted() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let (tiers, tiered) = open(folder.path(), &origin);
    whole(&tiered, "a").await.unwrap();
    tiers.settled().await;
    let length = long_entry(folder.path()).1;
    // Magic, header length, payload length, checksum, sizes, texts, header checksum, payload from end to end.
    let places = [0, 9, 13, 21, 26, 34, 45, 53, 60, 70, 80, length - 4096, length - 2000, length - 1];
    for (n, at) in places.into_iter().enumerate() {
        let before = origin.gets();
        flip(&long_entry(folder.path()).0, at);
        assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, SIZE), "byte {at}");
        tiers.settled().await;
        assert_eq!(figure(&tiers, Tier::Disk, Figure::Corrupt), n as u64 + 1, "byte {at}");
        assert_eq!(origin.gets() - before, 1, "one block is loaded again");
        assert_eq!(files(folder.path(), "block").len(), 11, "and kept again");
    }
    let before = origin.gets();
    fs::write(&files(folder.path(), "block")[3], "").unwrap();
    assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, SIZE));
    tiers.settled().await;
    assert_eq!((figure(&tiers, Tier::Disk, Figure::Corrupt), origin.gets() - before), (places.len() as u64 + 1, 1), "an empty file");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_survive_a_restart_and_damaged_half_written_and_foreign_ones_are_told_apart() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let (tiers, tiered) = open(folder.path(), &origin);
    whole(&tiered, "a").await.unwrap();
    tiers.settled().await;
    drop((tiers, tiered));
    let inside = folder.path().join("process-0");
    flip(&files(folder.path(), "block")[2], 30);
    flip(&files(folder.path(), "block")[5], 3000);
    fs::write(inside.join("00000000000000ff.part"), "half").unwrap();
    fs::write(inside.join("00000000000000fe.block"), "OSTIERS1 and then nothing of use").unwrap();
    for foreign in ["notes.txt", "x.block", "00000000000000FF.block", "lock.bak"] {
        fs::write(inside.join(foreign), "mine").unwrap();
    }
    let gets = origin.gets();
    let (tiers, tiered) = open(folder.path(), &origin);
    assert_eq!(figure(&tiers, Tier::Disk, Figure::Corrupt), 2, "a damaged header and a false entry");
    assert!(files(folder.path(), "part").is_empty());
    assert_eq!(row(&tiers, Tier::Disk).entries, 10);
    assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, SIZE));
    assert_eq!(figure(&tiers, Tier::Disk, Figure::Corrupt), 3, "and the damaged payload");
    assert_eq!((origin.gets() - gets, origin.heads()), (2, 0), "two blocks that do not lie side by side");
    for foreign in ["notes.txt", "x.block", "00000000000000FF.block", "lock.bak"] {
        assert!(inside.join(foreign).is_file(), "{foreign} is not ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_changing_object_is_asked_for_and_a_replaced_one_read_anew() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    for (round, seed) in [(0, 1), (1, 1), (2, 5)] {
        if seed != 1 {
            put(&*origin, "a", &bytes(seed, SIZE)).await;
        }
        let (gets, heads) = (origin.gets(), origin.heads());
        let tiers = Tiers::open(Combination::Disk.settings(folder.path())).unwrap();
        let tiered = store(&tiers, "m", Arc::clone(&origin) as Arc<dyn ObjectStore>, VersionPolicy::Revalidate);
        assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(seed, SIZE), "round {round}");
        let expected = [(1, 0), (0, 1), (1, 1)][round];
        assert_eq!((origin.gets() - gets, origin.heads() - heads), expected, "round {round}");
        tiers.settled().await;
        assert_eq!(row(&tiers, Tier::Disk).entries, 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_block_size_drops_what_was_kept() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let (tiers, tiered) = open(folder.path(), &origin);
    whole(&tiered, "a").await.unwrap();
    tiers.settled().await;
    drop((tiers, tiered));
    let mut settings = Combination::Disk.settings(folder.path());
    settings.block_bytes = 2 * BLOCK;
    let tiers = Tiers::open(settings).unwrap();
    assert_eq!((row(&tiers, Tier::Disk).entries, figure(&tiers, Tier::Disk, Figure::Corrupt)), (0, 0));
    assert!(files(folder.path(), "block").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_removed_while_running_makes_the_tier_stand_aside() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let (tiers, tiered) = open(folder.path(), &origin);
    whole(&tiered, "a").await.unwrap();
    tiers.settled().await;
    fs::remove_dir_all(folder.path()).unwrap();
    for _ in 0..3 {
        assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, SIZE));
        tiers.settled().await;
    }
    let disk = row(&tiers, Tier::Disk);
    assert!(disk.write_errors >= 1 && disk.corrupt == 0, "{disk:?}");
    assert_eq!((disk.entries, disk.used_bytes), (0, 0));
    let problem = disk.problem.unwrap();
    assert!(problem.contains("reads go to the origin") && problem.contains(folder.path().to_str().unwrap()), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_the_directory_is_survived_too() {
    let (origin, folder) = (origin().await, tempfile::tempdir().unwrap());
    let (tiers, tiered) = open(folder.path(), &origin);
    range(&tiered, "a", 0..BLOCK * 3).await.unwrap();
    tiers.settled().await;
    fs::remove_dir_all(folder.path().join("process-0")).unwrap();
    fs::write(folder.path().join("process-0"), "no directory").unwrap();
    assert_eq!(whole(&tiered, "a").await.unwrap(), bytes(1, SIZE));
    tiers.settled().await;
    assert!(row(&tiers, Tier::Disk).problem.is_some());
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = Tiers::open(Combination::Disk.settings(&file)).unwrap_err().to_string();
    assert!(error.starts_with("disk tier: open of") && error.contains(file.to_str().unwrap()), "{error}");
}
