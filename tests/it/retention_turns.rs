//! Retention with others at work: whose turn it is, what is dropped with what, and what a save writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tranchedb::Engine;

use crate::retention::{METRICS, engine, save, setup, tree};
use crate::support::{error, row, rows};

/// The database's lock, as another process has it.
struct Locked(fs::File);

impl Locked {
    fn take(db: &Path) -> Self {
        let file = fs::OpenOptions::new().create(true).append(true).open(db.join("_tranchedb/joint.lock")).expect("a lock file");
        assert!(fs4::fs_std::FileExt::try_lock_exclusive(&file).expect("a lock"), "somebody has it");
        Self(file)
    }
}

#[tokio::test]
async fn what_must_not_happen_beside_a_save_waits_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&directory.path().to_string_lossy()).await.expect("engine");
    for sql in setup(", top => 2") {
        rows(&engine, &sql).await;
    }
    rows(&engine, &save("u", 5, 1)).await;
    let locked = Locked::take(directory.path());
    for sql in ["VACUUM metrics RETAIN 0 HOURS DRY RUN", "RETAIN metrics DRY RUN", "SELECT * FROM metrics"] {
        tokio::time::timeout(Duration::from_secs(60), rows(&engine, sql)).await.expect("what writes nothing waits for nobody");
    }
    drop(locked);
    for sql in [
        "ALTER TABLE metrics SET RETENTION (top => 3)",
        "RETAIN metrics TOP 1",
        &save("v", 5, 1),
        "VACUUM trades RETAIN 0 HOURS",
        "RESTORE TABLE metrics TO VERSION AS OF 1",
        "ALTER TABLE metrics DROP RETENTION",
        "DROP TABLE trades",
    ] {
        let locked = Locked::take(directory.path());
        let (other, text) = (engine.clone(), sql.to_owned());
        let waiting = tokio::spawn(async move { rows(&other, &text).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished(), "{sql} did not wait");
        drop(locked.0);
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time").expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_of_a_policy_none_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_string_lossy().into_owned();
    let engine = Engine::open(&place).await.expect("engine");
    for sql in setup(", top => 2") {
        rows(&engine, &sql).await;
    }
    for round in 0..8 {
        let changes = [format!("top => {round}"), format!("sample => {round}"), format!("seed => {round}")].map(|option| {
            let place = place.clone();
            tokio::spawn(async move {
                let engine = Engine::open(&place).await.expect("engine");
                rows(&engine, &format!("ALTER TABLE metrics SET RETENTION ({option})")).await
            })
        });
        for change in changes {
            change.await.expect("no panic");
        }
        let policy = fs::read_to_string(directory.path().join("_tranchedb/retention/metrics.json")).expect("a policy");
        let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
        assert_eq!([&policy["top"], &policy["sample"], &policy["seed"]], [round; 3], "{policy}");
    }
}

#[tokio::test]
async fn a_table_under_retention_is_dropped_with_it() {
    let engine = engine(", top => 2").await;
    rows(&engine, &save("u", 5, 1)).await;
    let told = error(&engine, "DROP TABLE trades").await;
    for part in ["'trades' is a table of details of the retention of 'metrics'", "DROP RETENTION", "SET RETENTION (details => '...')"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(row(&engine, "SELECT count(*) FROM trades").await, "6");
    let statement = engine.parse("DROP TABLE metrics").expect("parses").remove(0);
    let done = engine.run_noted(&statement, &Default::default()).await.expect("dropped");
    assert_eq!(done.note.as_deref(), Some("the retention of 'metrics' went with it"));
    assert_eq!(rows(&engine, "SELECT * FROM system.retention_policies").await, [""; 0]);
    rows(&engine, METRICS).await;
    assert!(error(&engine, "RETAIN metrics").await.contains("has no retention"));
    rows(&engine, "DROP TABLE trades").await;
}

#[tokio::test]
async fn a_strategy_that_is_stored_twice_is_named() {
    let engine = engine(", top => 2").await;
    rows(&engine, &save("u", 5, 1)).await;
    rows(&engine, "INSERT INTO metrics SELECT * FROM metrics WHERE strategy_name IN ('S003', 'S001')").await;
    // As many strategies come in as rows are replaced: a count alone would find nothing.
    let told = error(&engine, &save("u", 10, 2)).await;
    assert!(told.contains("table 'metrics' holds two rows for one strategy") && told.contains("strategy_name = S001"), "{told}");
    assert_eq!(row(&engine, "SELECT count(*), max(n_trades) FROM metrics").await, "7|1");
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&directory.path().to_string_lossy()).await.expect("engine");
    for sql in setup(", top => 2") {
        rows(&engine, &sql).await;
    }
    rows(&engine, &save("u", 5, 1)).await;
    let files = || tree(directory.path()).into_iter().filter(|(path, _)| path.is_file()).collect::<BTreeMap<_, _>>();
    let before = files();
    assert_eq!(row(&engine, "RETAIN metrics").await, "D|u|5|2|0|0|6|0|0");
    for none in [
        "UPSERT INTO metrics SELECT * FROM metrics WHERE false",
        "UPSERT INTO metrics (SELECT * FROM metrics WHERE false), trades (SELECT * FROM trades WHERE false)",
    ] {
        assert_eq!(rows(&engine, none).await, [""; 0]);
    }
    assert_eq!(files(), before);
}

#[tokio::test]
async fn a_save_cuts_what_a_bulk_insert_has_left_in_one_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&directory.path().to_string_lossy()).await.expect("engine");
    for sql in setup(", top => 2") {
        rows(&engine, &sql).await;
    }
    let bulk = "INSERT INTO metrics SELECT 'D', 'u' || lpad(CAST(u.value AS VARCHAR), 2, '0'), 'B' || s.value, 0.1, 1, CAST(s.value AS DOUBLE), NULL AS p, NULL AS q \
        FROM generate_series(0, 59) AS u CROSS JOIN generate_series(1, 1000) AS s";
    rows(&engine, bulk).await;
    let mut written = vec![];
    for universe in ["u30", "u31", "u30", "u02"] {
        rows(&engine, &save(universe, 20, 1)).await;
        written.push(rows_added_last(&directory.path().join("metrics")));
    }
    // The first save reads the one file and writes all its rows; the next ones those of a few groups.
    assert_eq!(written[0].iter().sum::<u64>(), 60_020);
    assert!(written[0].len() >= 4 && written[0].contains(&1020), "{written:?}");
    assert!(written[1..].iter().all(|files| files.iter().sum::<u64>() < 18_000), "{written:?}");
    assert_eq!(written[2], [1020], "a group that was saved has a file of its own");
    let ranks = "SELECT universe, count(*), count(DISTINCT strategy_name), count(rank), max(rank) FROM metrics GROUP BY 1 HAVING count(*) <> 1000 ORDER BY 1";
    assert_eq!(rows(&engine, ranks).await, ["u02|1020|1020|1020|1020", "u30|1020|1020|1020|1020", "u31|1020|1020|1020|1020"]);
    assert_eq!(row(&engine, "SELECT count(*), count(rank) FROM metrics").await, "60060|3060");
}

/// Rows of each file that the newest version of a table added.
fn rows_added_last(table: &Path) -> Vec<u64> {
    let commits = fs::read_dir(table.join("_delta_log")).expect("a log").map(|entry| entry.expect("an entry").path());
    let last = commits.filter(|path| path.extension().is_some_and(|extension| extension == "json")).max().expect("a commit");
    let text = fs::read_to_string(last).expect("a commit");
    let actions = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an action"));
    let stats = actions.filter_map(|action| serde_json::from_str::<serde_json::Value>(action["add"]["stats"].as_str()?).ok());
    stats.map(|stats| stats["numRecords"].as_u64().expect("a number of rows")).collect()
}
