//! Other processes: killed in the middle, sharing a directory, out of space.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path as FilePath, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_tiers::{Figure, Settings, Tier, TieredStore, Tiers, VersionPolicy};

use crate::support::{BLOCK, Content, both, bytes, figure, row, store, whole};

const OBJECTS: u64 = 40;
const SIZE: usize = 16 * BLOCK as usize + 5;
const LIMIT: u64 = 400 * BLOCK;

fn content(i: u64) -> Content {
    bytes(i, SIZE)
}

/// A folder with the objects, and one for the cache.
fn folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, cache) = (folder.path().join("data"), folder.path().join("cache"));
    fs::create_dir(&data).unwrap();
    for i in 0..OBJECTS {
        fs::write(data.join(i.to_string()), content(i).0).unwrap();
    }
    (folder, data, cache)
}

fn open(data: &FilePath, cache: &FilePath) -> (Tiers, TieredStore) {
    let settings = Settings { memory_limit_bytes: 0, ..both(cache) };
    let tiers = Tiers::open(settings.with_disk(cache, LIMIT)).unwrap();
    let origin: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(data).unwrap());
    let tiered = store(&tiers, "data", origin, VersionPolicy::Immutable);
    (tiers, tiered)
}

/// Starts this test binary again to do `task`, below a shell command if one is given.
fn start(task: &str, data: &FilePath, cache: &FilePath, shell: Option<&str>) -> Child {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "processes::child", "--ignored", "--nocapture"];
    let mut command = match shell {
        None => Command::new(program),
        Some(shell) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(program);
            command
        }
    };
    command.args(arguments).env("TIERS_TASK", task).env("TIERS_DATA", data).env("TIERS_CACHE", cache);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Waits until the child says that it is under way.
fn wait_for_line(child: &mut Child, wanted: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(wanted)), "the child ended before it said '{wanted}'");
}

/// Not a test: what other processes of these tests do.
#[test]
#[ignore = "started by other tests"]
#[expect(clippy::print_stdout, reason = "the parent process waits for it")]
fn child() {
    let Ok(task) = std::env::var("TIERS_TASK") else { return };
    let [data, cache] = ["TIERS_DATA", "TIERS_CACHE"].map(|name| PathBuf::from(std::env::var_os(name).unwrap()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (tiers, tiered) = open(&data, &cache);
        println!("begins");
        match task.as_str() {
            "fill" => loop {
                tiers.clear(Tier::Disk);
                read_all(&tiered).await;
            },
            "read" => {
                for _ in 0..5 {
                    // As many as fit, so that they are found again.
                    read_first(&tiered, 10).await;
                    tiers.settled().await;
                    let disk = row(&tiers, Tier::Disk);
                    assert!(disk.used_bytes <= LIMIT && disk.problem.is_none(), "{disk:?}");
                }
                assert!(figure(&tiers, Tier::Disk, Figure::Hits) > 0);
            }
            "scan" => scan(&data).await,
            "no space" => {
                read_all(&tiered).await;
                tiers.settled().await;
                read_all(&tiered).await;
                let disk = row(&tiers, Tier::Disk);
                assert!(disk.write_errors >= 1, "{disk:?}");
                assert!(disk.problem.as_ref().unwrap().contains("reads go to the origin"), "{disk:?}");
                let half: Vec<_> = names(&cache).into_iter().filter(|name| name.ends_with(".part")).collect();
                assert!(half.is_empty(), "{half:?}");
            }
            other => panic!("no task '{other}'"),
        }
        println!("ends well");
    });
}

/// Eight readers of 1 GiB through 64 MiB of memory.
async fn scan(data: &FilePath) {
    const MIB: u64 = 1 << 20;
    let settings = Settings { memory_limit_bytes: 64 * MIB, in_flight_bytes: 32 * MIB, ..Settings::default() };
    let tiers = Tiers::open(settings).unwrap();
    let origin: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(data).unwrap());
    let tiered = store(&tiers, "data", origin, VersionPolicy::Immutable);
    let readers = (0..8_u64).map(|reader| {
        let (tiered, tiers) = (tiered.clone(), tiers.clone());
        tokio::spawn(async move {
            for i in 0..1024 / 2 {
                // All readers of a pair read the same parts at about the same time.
                let at = (i * 2 + reader / 2 * 256) % 1024 * MIB;
                let read = tiered.get_range(&Path::from("large"), at + 5..at + 2 * MIB).await.unwrap();
                assert!(read.len() as u64 == 2 * MIB - 5 && read[0] == 0, "{at}");
                let memory = row(&tiers, Tier::Memory);
                assert!(memory.used_bytes <= 64 * MIB, "{memory:?}");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // 64 in the tier, 32 in flight, up to 4 in each reader's hands, and the program itself.
    assert!(peak.is_none_or(|kib| kib < 220 << 10), "{peak:?} KiB at the peak");
}

async fn read_all(tiered: &TieredStore) {
    read_first(tiered, OBJECTS).await;
}

async fn read_first(tiered: &TieredStore, objects: u64) {
    for i in 0..objects {
        assert_eq!(whole(tiered, &i.to_string()).await.unwrap(), content(i), "object {i}");
    }
}

fn names(cache: &FilePath) -> Vec<String> {
    let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    fs::read_dir(cache).unwrap().flat_map(|entry| inside(entry.unwrap().path())).collect()
}

fn bytes_in(cache: &FilePath) -> u64 {
    let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    fs::read_dir(cache).unwrap().flat_map(|entry| inside(entry.unwrap().path())).sum()
}

/// Writes what a kill in the middle of a write leaves, in case this one met none.
fn leave_half_an_entry(cache: &FilePath) {
    let folder = cache.join("process-0");
    if let Some(name) = names(cache).into_iter().find(|name| name.ends_with(".block")) {
        let whole = fs::read(folder.join(name)).unwrap();
        fs::write(folder.join("00000000ffffffff.part"), &whole[..whole.len() / 2]).unwrap();
    }
}

#[test]
fn a_process_that_is_killed_while_filling_leaves_nothing_damaged() {
    let (_folder, data, cache) = folders();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for round in 0..12_u64 {
        let mut child = start("fill", &data, &cache, None);
        wait_for_line(&mut child, "begins");
        std::thread::sleep(Duration::from_millis(30 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(bytes_in(&cache) <= LIMIT, "round {round}");
        leave_half_an_entry(&cache);
        runtime.block_on(async {
            let (tiers, tiered) = open(&data, &cache);
            assert!(!names(&cache).iter().any(|name| name.ends_with(".part")), "round {round}");
            read_all(&tiered).await;
            tiers.settled().await;
            assert_eq!(figure(&tiers, Tier::Disk, Figure::Corrupt), 0, "round {round}");
            assert!(row(&tiers, Tier::Disk).used_bytes <= LIMIT);
        });
    }
}

#[test]
fn two_processes_share_a_directory_each_in_its_own_part_of_it() {
    let (_folder, data, cache) = folders();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (tiers, tiered) = open(&data, &cache);
        let mut children: Vec<_> = (0..2).map(|_| start("read", &data, &cache, None)).collect();
        for child in &mut children {
            wait_for_line(child, "begins");
        }
        read_first(&tiered, 10).await;
        for child in &mut children {
            wait_for_line(child, "ends well");
            assert!(child.wait().unwrap().success());
        }
        read_first(&tiered, 10).await;
        tiers.settled().await;
        assert_eq!(figure(&tiers, Tier::Disk, Figure::Corrupt), 0);
        // One for each process; a lock that a child inherits for a moment can make one more.
        let parts = fs::read_dir(&cache).unwrap().count();
        assert!((3..=4).contains(&parts), "{parts} sub-directories for 3 processes");
        assert!(bytes_in(&cache) <= parts as u64 * LIMIT);
    });
    // The next process takes over what all of them left, within its limit.
    let (tiers, tiered) = open(&data, &cache);
    assert!(bytes_in(&cache) <= LIMIT);
    runtime.block_on(read_first(&tiered, 10));
    assert!(figure(&tiers, Tier::Disk, Figure::Hits) > 0);
}

#[test]
fn a_scan_of_a_gibibyte_through_a_small_memory_tier_stays_small() {
    let (_folder, data, cache) = folders();
    // A file of zeros that takes no space.
    fs::File::create(data.join("large")).unwrap().set_len(1 << 30).unwrap();
    let mut child = start("scan", &data, &cache, None);
    wait_for_line(&mut child, "ends well");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_write_that_the_system_breaks_off_makes_the_tier_stand_aside() {
    let (_folder, data, cache) = folders();
    // No file may grow beyond 2 KiB or 4 KiB, by the shell's unit: every write breaks off in the middle.
    let mut child = start("no space", &data, &cache, Some("ulimit -f 4; trap '' XFSZ;"));
    wait_for_line(&mut child, "ends well");
    assert!(child.wait().unwrap().success());
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn a_full_disk_makes_the_tier_stand_aside() {
    let (_folder, data, cache) = folders();
    fs::create_dir(&cache).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=300k", "tmpfs"]).arg(&cache).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a small file system cannot be mounted here");
        return;
    }
    let mut child = start("no space", &data, &cache, None);
    let status = child.wait();
    Command::new("umount").arg(&cache).status().unwrap();
    assert!(status.unwrap().success());
}
