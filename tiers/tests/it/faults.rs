//! A thousand reads and writes of an origin that fails at random: the right answer or an error, never a short one, never a hang.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use object_store_tiers::{Settings, TieredStore, Tiers, VersionPolicy};

use crate::faulty::{Fault, Faulty, WriteFault};
use crate::support::{BLOCK, Combination, Content, bytes, put, store, whole};

/// Small numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    right: u64,
    errors: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_random_faults_give_right_answers_or_errors() {
    let folder = tempfile::tempdir().unwrap();
    let runs = stream::iter(0..1000_u64).map(|seed| {
        let folder = folder.path().join((seed % 16).to_string());
        tokio::spawn(async move {
            tokio::time::timeout(Duration::from_secs(60), run(seed, &folder)).await.unwrap_or_else(|_| panic!("seed {seed} hangs"))
        })
    });
    let outcomes: Vec<Outcome> = runs.buffer_unordered(12).map(|run| run.unwrap()).collect().await;
    let (right, errors) = outcomes.iter().fold((0, 0), |(r, e), outcome| (r + outcome.right, e + outcome.errors));
    assert!(right > 2000 && errors > 500, "both must have been met: {right} right answers, {errors} errors");
}

async fn run(seed: u64, folder: &FilePath) -> Outcome {
    let mut dice = Dice(seed);
    let size = 1 + dice.roll(20 * BLOCK) as usize;
    let inner = Arc::new(InMemory::new());
    put(&*inner, "a", &bytes(seed, size)).await;
    let origin = Faulty::over(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    let combination = [Combination::Memory, Combination::Disk, Combination::Both][dice.roll(3) as usize];
    let settings =
        Settings { origin_timeout: Duration::from_millis(60), read_ahead_bytes: dice.roll(3) * 2 * BLOCK, ..combination.settings(folder) };
    let tiers = Tiers::open(settings).unwrap();
    let policy = if dice.roll(2) == 0 { VersionPolicy::Immutable } else { VersionPolicy::Revalidate };
    // The tag of the in-memory origin is a running number: the label keeps the seeds apart on disk.
    let tiered = store(&tiers, &format!("seed-{seed}"), Arc::clone(&origin) as Arc<dyn ObjectStore>, policy);
    let mut history = vec![bytes(seed, size)];
    let mut outcome = Outcome::default();
    for step in 0..6 {
        let faults = (0..4).map(|_| fault(&mut dice, seed * 100 + step)).collect();
        *origin.faults.lock() = faults;
        origin.replaced.lock().clear();
        let before = whole(&*inner, "a").await.unwrap();
        let read = act(&tiered, &origin, &mut dice, seed * 1000 + step).await;
        let after = whole(&*inner, "a").await.unwrap();
        let mut seen: Vec<_> = origin.replaced.lock().iter().cloned().map(Content).collect();
        seen.extend([before, after]);
        history.extend(seen.iter().cloned());
        let allowed = if policy == VersionPolicy::Immutable { history.clone() } else { seen };
        match read {
            Some(Ok(read)) => {
                assert!(read.is_in(&allowed), "seed {seed} step {step} {combination:?} {policy:?}: {read:?}, allowed {allowed:?}");
                outcome.right += 1;
            }
            Some(Err(error)) => {
                assert!(error.to_string().contains("tier: "), "seed {seed}: {error}");
                outcome.errors += 1;
            }
            None => {}
        }
    }
    // Loads of readers that went away may still be about to fail.
    tiers.settled().await;
    origin.faults.lock().clear();
    history.push(whole(&*inner, "a").await.unwrap());
    let read = whole(&tiered, "a").await;
    let read = match read {
        // An immutable object that was replaced is an error once, and then read anew.
        Err(object_store::Error::Precondition { .. }) => whole(&tiered, "a").await,
        read => read,
    };
    let read = read.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let is_right = if policy == VersionPolicy::Immutable { history.contains(&read) } else { history.last() == Some(&read) };
    assert!(is_right, "seed {seed} in the end: {read:?}, history {history:?}");
    tiers.settled().await;
    outcome
}

fn fault(dice: &mut Dice, seed: u64) -> Option<Fault> {
    match dice.roll(14) {
        0 => Some(Fault::Busy),
        1 => Some(Fault::Short),
        2 => Some(Fault::Broken),
        3 => Some(Fault::Silent),
        4 => Some(Fault::Hung),
        5 => Some(Fault::Slow),
        6 => Some(Fault::Long),
        7 => Some(Fault::Replaced(bytes(seed, 1 + dice.roll(12 * BLOCK) as usize).0)),
        _ => None,
    }
}

/// Parts of one version: where each begins, where it was to end, and what came.
#[derive(Debug)]
struct Parts(Vec<(u64, u64, Content)>);

impl Parts {
    /// Whether all parts are of one and the same of these contents, and none is short.
    fn is_in(&self, contents: &[Content]) -> bool {
        let is_of = |content: &Content| {
            self.0.iter().all(|(start, end, part)| {
                let end = (*end).min(content.len() as u64);
                *start <= end && *part == content.slice(*start as usize..end as usize)
            })
        };
        contents.iter().any(is_of)
    }
}

/// One random read, or a write, which has nothing to compare.
async fn act(tiered: &TieredStore, origin: &Faulty, dice: &mut Dice, seed: u64) -> Option<object_store::Result<Parts>> {
    let path = Path::from("a");
    let start = dice.roll(8 * BLOCK);
    let end = start + 1 + dice.roll(8 * BLOCK);
    match dice.roll(6) {
        0 | 1 => Some(whole(tiered, "a").await.map(|read| Parts(vec![(0, u64::MAX, read)]))),
        2 => Some(tiered.get_range(&path, start..end).await.map(|read| Parts(vec![(start, end, Content(read))]))),
        3 => {
            let ranges = [start..end, start / 2..start / 2 + 5, end..end + 1];
            let read = tiered.get_ranges(&path, &ranges).await;
            Some(read.map(|read| Parts(ranges.iter().zip(read).map(|(range, read)| (range.start, range.end, Content(read))).collect())))
        }
        4 => {
            let lone = tiered.clone();
            let reading = tokio::spawn(async move { whole(&lone, "a").await.map(|read| Parts(vec![(0, u64::MAX, read)])) });
            if dice.roll(2) == 0 {
                // A reader that goes away.
                tokio::time::sleep(Duration::from_micros(dice.roll(2000))).await;
                reading.abort();
            }
            reading.await.ok()
        }
        _ => {
            let fault = [None, Some(WriteFault::Refused), Some(WriteFault::AnswerLost)][dice.roll(3) as usize].clone();
            *origin.write_faults.lock() = [fault].into();
            let content = bytes(seed, 1 + dice.roll(12 * BLOCK) as usize);
            drop(tiered.put(&path, content.into()).await);
            None
        }
    }
}
