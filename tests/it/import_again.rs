//! Files that come in again, after others, or beside other files: what counts as the same import, and what a later one may change.

use std::path::Path;

use tempfile::TempDir;
use tranchedb::ingest::{ImportMode, ImportOptions, ImportReport, ImportStatus, IssueCode, Unit, ValueKind};
use tranchedb::{Engine, ImportRequest};

use crate::program::run_on;
use crate::support::{error, import, legacy_csv, request, row, rows};

async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    (folder, engine)
}

async fn import_with(engine: &Engine, file: &Path, options: ImportOptions) -> Result<ImportReport, String> {
    engine.import(&ImportRequest { options, ..request(file, "s") }).await.map_err(|e| e.to_string())
}

fn mode(mode: ImportMode) -> ImportOptions {
    ImportOptions { mode: Some(mode), ..ImportOptions::default() }
}

fn levels(mode: ImportMode) -> ImportOptions {
    ImportOptions { values: Some(ValueKind::Levels), mode: Some(mode), ..ImportOptions::default() }
}

/// Count and severity of the issues of one kind.
fn issues(report: &ImportReport, code: IssueCode) -> Vec<(u64, &'static str)> {
    report.issues.iter().filter(|issue| issue.code == code).map(|issue| (issue.count, issue.severity.name())).collect()
}

const VALUES: &str = "SELECT pnl FROM s ORDER BY strategy, date";

#[tokio::test]
async fn a_file_comes_in_again_after_another_has_replaced_its_values() {
    let (folder, engine) = database().await;
    let first = legacy_csv(folder.path(), "u1.csv", "Date,S1", &["2024-01-01,1", "2024-01-02,2", "2024-01-03,3"]);
    let second = legacy_csv(folder.path(), "u2.csv", "Date,S1", &["2024-01-03,30"]);
    for both in [ImportMode::Upsert, ImportMode::Replace] {
        import_with(&engine, &first, mode(both)).await.expect("first");
        import_with(&engine, &second, mode(both)).await.expect("second");
        assert_eq!(rows(&engine, VALUES).await, ["1.0", "2.0", "30.0"], "{both:?}");
        let again = import_with(&engine, &first, mode(both)).await.expect("again");
        assert_eq!((again.status, again.rows_replaced > 0), (ImportStatus::Imported, true), "{both:?}");
        assert_eq!(rows(&engine, VALUES).await, ["1.0", "2.0", "3.0"], "{both:?}");
        let last = import_with(&engine, &first, mode(both)).await.expect("and again");
        assert_eq!((last.status, last.import_id), (ImportStatus::AlreadyImported, again.import_id), "{both:?}");
        engine.sql("DROP TABLE s").await.expect("drop").collect().await.expect("dropped");
    }
    import(&engine, &first, "s").await;
    import_with(&engine, &second, mode(ImportMode::Upsert)).await.expect("second");
    let refused = import_with(&engine, &first, ImportOptions::default()).await.expect_err("another value for the key");
    assert!(refused.contains("2024-01-03 'S1': 30.0 there, 3.0 new"), "{refused}");
}

#[tokio::test]
async fn rows_beside_a_replacing_file_go_when_it_comes_again() {
    let (folder, engine) = database().await;
    let first = legacy_csv(folder.path(), "a.csv", "Date,S1", &["2024-01-01,1", "2024-01-02,2"]);
    import_with(&engine, &first, mode(ImportMode::Replace)).await.expect("first");
    let later = legacy_csv(folder.path(), "b.csv", "Date,S1", &["2024-01-05,5"]);
    import(&engine, &later, "s").await;
    let again = import_with(&engine, &first, mode(ImportMode::Replace)).await.expect("other dates");
    assert_eq!(again.status, ImportStatus::AlreadyImported);
    import(&engine, &legacy_csv(folder.path(), "c.csv", "Date,S2,S3", &["2024-01-02,7,8"]), "s").await;
    let dry = ImportRequest { options: mode(ImportMode::Replace), dry_run: true, ..request(&first, "s") };
    let dry = engine.import(&dry).await.expect("dry run").to_string();
    assert!(dry.contains("rows for s: 0 new, 0 unchanged, 2 replaced, 2 deleted (of 2 strategies that the file lacks)"), "{dry}");
    let again = import_with(&engine, &first, mode(ImportMode::Replace)).await.expect("again");
    assert_eq!((again.status, again.rows_deleted, again.strategies_deleted), (ImportStatus::Imported, 2, 2));
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl) FROM s").await, "3|8.0");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_become_of_the_rows() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", "Date,S1", &["2024-01-01,1", "2024-01-02,2"]), "s").await;
    let next = legacy_csv(folder.path(), "b.csv", "Date,S1", &["2024-01-01,1", "2024-01-02,20", "2024-01-03,3"]);
    let dry = ImportRequest { options: mode(ImportMode::Upsert), dry_run: true, ..request(&next, "s") };
    let told = engine.import(&dry).await.expect("dry run").to_string();
    assert!(told.contains("nothing written; rows for s: 1 new, 1 unchanged, 1 replaced, 0 deleted\n"), "{told}");
    assert_eq!(rows(&engine, VALUES).await, ["1.0", "2.0"]);
}

#[tokio::test]
async fn corrected_files_of_options_make_another_import() {
    let (folder, engine) = database().await;
    let days = legacy_csv(folder.path(), "a.csv", "day_id,S1", &["1,10", "2,20"]);
    let dates = legacy_csv(folder.path(), "dates.csv", "day,date", &["1,2024-01-01", "2,2024-01-02"]);
    let options = || ImportOptions {
        date_column: Some("day_id".into()),
        dates: Some(dates.clone()),
        mode: Some(ImportMode::Upsert),
        ..ImportOptions::default()
    };
    import_with(&engine, &days, options()).await.expect("first");
    assert_eq!(import_with(&engine, &days, options()).await.expect("again").status, ImportStatus::AlreadyImported);
    legacy_csv(folder.path(), "dates.csv", "day,date", &["1,2024-01-01", "2,2024-01-03"]);
    assert_eq!(import_with(&engine, &days, options()).await.expect("corrected").rows_written, 1);
    assert_eq!(rows(&engine, "SELECT date, pnl FROM s ORDER BY date").await, ["2024-01-01|10.0", "2024-01-02|20.0", "2024-01-03|20.0"]);

    let plain = legacy_csv(folder.path(), "r.csv", "Date,S1", &["2024-01-01,10"]);
    let names = legacy_csv(folder.path(), "names.csv", "old,new", &["S1,T1"]);
    let renamed = || ImportOptions { rename: Some(names.clone()), ..ImportOptions::default() };
    import_with(&engine, &plain, renamed()).await.expect("renamed");
    legacy_csv(folder.path(), "names.csv", "old,new", &["S1,T2"]);
    assert_eq!(import_with(&engine, &plain, renamed()).await.expect("corrected names").status, ImportStatus::Imported);
    assert_eq!(row(&engine, "SELECT count(*) FROM s WHERE strategy IN ('T1', 'T2')").await, "2");
}

#[tokio::test]
async fn the_first_level_of_a_file_never_takes_a_value_away() {
    let (folder, engine) = database().await;
    let header = "Date,S1,S2";
    let first = legacy_csv(folder.path(), "l1.csv", header, &["2024-01-01,100,200", "2024-01-02,110,190", "2024-01-03,105,195"]);
    let report = import_with(&engine, &first, levels(ImportMode::Append)).await.expect("first");
    assert_eq!(issues(&report, IssueCode::FirstLevel), [(2, "info")]);
    let next = ["2024-01-03,105,195", "2024-01-04,125,205", "2024-01-05,120,200"];
    let next = legacy_csv(folder.path(), "l2.csv", header, &next);
    let report = import_with(&engine, &next, levels(ImportMode::Append)).await.expect("a file that overlaps by its first row");
    assert_eq!((report.rows_written, issues(&report, IssueCode::FirstLevel)), (4, vec![(2, "info")]));
    let whole = ["", "10.0", "-5.0", "20.0", "-5.0", "", "-10.0", "5.0", "10.0", "-5.0"];
    assert_eq!(rows(&engine, VALUES).await, whole);
    for again in [ImportMode::Upsert, ImportMode::Replace] {
        let report = import_with(&engine, &next, levels(again)).await.expect("again");
        assert_eq!(issues(&report, IssueCode::FirstLevel), [(2, "info")], "{again:?}");
        assert_eq!(rows(&engine, VALUES).await, whole, "{again:?}");
    }
    // The rest of the dates is replaced, those of strategies that the file lacks included.
    let one = legacy_csv(folder.path(), "l3.csv", "Date,S1", &["2024-01-04,125", "2024-01-05,126"]);
    let report = import_with(&engine, &one, levels(ImportMode::Replace)).await.expect("replace");
    assert_eq!((report.rows_written, report.rows_replaced, report.rows_deleted, report.strategies_deleted), (1, 1, 1, 1));
    assert_eq!(rows(&engine, VALUES).await, ["", "10.0", "-5.0", "20.0", "1.0", "", "-10.0", "5.0", "10.0"]);
}

#[tokio::test]
async fn a_continuation_without_the_last_level_says_what_is_missing() {
    let (folder, engine) = database().await;
    let first = legacy_csv(folder.path(), "l1.csv", "Date,S1", &["2024-01-01,100", "2024-01-02,110"]);
    import_with(&engine, &first, levels(ImportMode::Append)).await.expect("first");
    let gap = legacy_csv(folder.path(), "l2.csv", "Date,S1", &["2024-01-03,105", "2024-01-04,125"]);
    let report = import_with(&engine, &gap, levels(ImportMode::Append)).await.expect("continuation");
    assert_eq!(issues(&report, IssueCode::FirstLevel), [(1, "warning")]);
    assert!(report.to_string().contains("starts with the last date already in 's'"), "{report}");
    assert_eq!(rows(&engine, VALUES).await, ["", "10.0", "", "20.0"]);
    let mended = legacy_csv(folder.path(), "l3.csv", "Date,S1", &["2024-01-02,110", "2024-01-03,105", "2024-01-04,125"]);
    import_with(&engine, &mended, levels(ImportMode::Upsert)).await.expect("remedy");
    assert_eq!(rows(&engine, VALUES).await, ["", "10.0", "-5.0", "20.0"]);
}

#[tokio::test]
async fn a_table_of_differences_takes_levels_alone() {
    let (folder, engine) = database().await;
    let first = legacy_csv(folder.path(), "l1.csv", "Date,S1", &["2024-01-01,100", "2024-01-02,110"]);
    import_with(&engine, &first, levels(ImportMode::Append)).await.expect("first");
    let raw = legacy_csv(folder.path(), "l2.csv", "Date,S1", &["2024-01-03,105"]);
    for dry_run in [true, false] {
        let plain = ImportRequest { dry_run, ..request(&raw, "s") };
        let refused = engine.import(&plain).await.expect_err("levels as profit and loss").to_string();
        assert!(refused.contains("equity levels") && refused.contains("--values levels"), "{refused}");
    }
    import(&engine, &raw, "plain").await;
    let mixed = ImportRequest { options: levels(ImportMode::Append), ..request(&first, "plain") };
    let refused = engine.import(&mixed).await.expect_err("levels into profit and loss").to_string();
    assert!(refused.contains("another table"), "{refused}");
    assert_eq!(row(&engine, "SELECT count(*) FROM plain").await, "1");
}

#[tokio::test]
async fn a_unit_is_given_to_a_table_only_when_told_so_and_reported() {
    let (folder, engine) = database().await;
    let first = legacy_csv(folder.path(), "a.csv", "Date,S1", &["2024-01-01,1", "2024-01-02,2"]);
    import(&engine, &first, "s").await;
    let unit = async || row(&engine, "SELECT unit FROM system.tables WHERE table_name = 's'").await;
    assert_eq!(unit().await, "unknown");
    let stated = || ImportOptions { unit: Some(Unit::Currency("INR".into())), ..ImportOptions::default() };
    let report = import_with(&engine, &first, stated()).await.expect("the unit alone");
    assert_eq!((report.status, report.rows_written, report.rows_unchanged), (ImportStatus::Imported, 0, 2));
    assert_eq!(issues(&report, IssueCode::UnitStated), [(2, "warning")]);
    assert_eq!(unit().await, "currency:INR");
    assert_eq!(import_with(&engine, &first, stated()).await.expect("again").status, ImportStatus::AlreadyImported);
    let silent = import(&engine, &legacy_csv(folder.path(), "b.csv", "Date,S1", &["2024-01-03,3"]), "s").await;
    assert_eq!(silent.unit, Unit::Currency("INR".into()));
    assert!(issues(&silent, IssueCode::UnitUnknown).is_empty() && issues(&silent, IssueCode::UnitStated).is_empty());
}

#[tokio::test]
async fn a_year_that_contradicts_the_date_is_refused() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", "Date,S1", &["2024-01-01,1"]), "s").await;
    let insert = |year: &str| format!("INSERT INTO s (date, strategy, pnl, year) VALUES ('2025-03-02', 'NEW', 1, {year})");
    let refused = error(&engine, &insert("1999")).await;
    assert!(refused.contains("year 1999 contradicts the date 2025-03-02 of strategy 'NEW'"), "{refused}");
    assert_eq!(row(&engine, "SELECT count(*) FROM s").await, "1");
    assert_eq!(row(&engine, &insert("2025")).await, "1");
    assert_eq!(rows(&engine, "SELECT year FROM s ORDER BY date").await, ["2024", "2025"]);
}

#[test]
fn generating_leaves_what_is_there_alone_and_is_told_in_the_history() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let generate = ["generate", "strategies", "--strategies", "2", "--periods", "3", "--seed", "9", "--zeros", "0.5"];
    let file = directory.path().join("mine.csv").display().to_string();
    std::fs::write(&file, "mine").expect("a file");
    let to_file = [&generate[..], &["--csv", &file]].concat();
    run_on(&db, &to_file).refused(1, &["mine.csv", "exists already", "--overwrite"]);
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "mine");
    run_on(&db, &[&to_file[..], &["--overwrite"]].concat()).good();
    let to_table = [&generate[..], &["--into", "g"]].concat();
    run_on(&db, &to_table).good();
    run_on(&db, &to_table).refused(1, &["'g' exists already", "new name"]);
    let told = run_on(&db, &["--format", "csv", "--quiet", "-c", "SELECT version, statement FROM system.versions"]).good();
    assert_eq!(
        told,
        "version,statement\n0,generate strategies --strategies 2 --periods 3 --seed 9 --start 2015-01-01 --zeros 0.5 --into g\n"
    );
    run_on(&db, &[&to_table[..], &["--overwrite"]].concat()).refused(2, &["--overwrite"]);
}

#[test]
fn a_packed_file_and_the_year_zero_are_named_as_such() {
    let directory = tempfile::tempdir().expect("a directory");
    let (db, packed) = (directory.path().join("db"), directory.path().join("a.csv.gz"));
    std::fs::write(&packed, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).expect("a file");
    run_on(&db, &["import", &packed.display().to_string(), "--into", "s"]).refused(1, &["a gzip file", "gunzip --keep"]);
    let zero = legacy_csv(directory.path(), "z.csv", "Date,S1", &["0000-01-01,1"]);
    run_on(&db, &["import", &zero.display().to_string(), "--into", "s"]).refused(1, &["line 2", "0000-01-01"]);
}
