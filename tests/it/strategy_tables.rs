//! Strategy tables: import, versions, merging, changes by SQL, the wide view.

use tempfile::TempDir;
use tranchedb::ingest::{ImportMode, ImportOptions, ImportStatus, Unit};
use tranchedb::{Engine, ImportRequest};

use crate::support::{error, import, legacy_csv, request, row, rows, shared_data};

/// A folder with a database and files, and the engine over it.
async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    (folder, engine)
}

const HEADER: &str = "Date,Day,S1,S2";
const FIRST: &[&str] = &["2024-01-01,Monday,1,-2", "2024-01-02,Tuesday,,4"];

#[tokio::test]
async fn an_imported_file_is_there_row_by_row() {
    let (folder, engine) = database().await;
    let report = import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    assert_eq!((report.status, report.version, report.rows_written), (ImportStatus::Imported, Some(0), 4));
    let found = rows(&engine, "SELECT date, day, strategy, pnl, year FROM s ORDER BY strategy, date").await;
    assert_eq!(
        found,
        [
            "2024-01-01|Monday|S1|1.0|2024",
            "2024-01-02|Tuesday|S1||2024",
            "2024-01-01|Monday|S2|-2.0|2024",
            "2024-01-02|Tuesday|S2|4.0|2024"
        ]
    );
}

#[tokio::test]
async fn later_periods_are_appended_and_earlier_versions_stay_readable() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let later = legacy_csv(folder.path(), "b.csv", HEADER, &["2024-01-03,Wednesday,7,8", "2025-01-02,Thursday,9,10"]);
    assert_eq!(import(&engine, &later, "s").await.version, Some(1));
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl) FROM s").await, "8|37.0");
    assert_eq!(row(&engine, "SELECT count(*), sum(s.pnl) FROM s VERSION AS OF 0").await, "4|3.0");
    let both = "SELECT count(*) FROM s a JOIN s VERSION AS OF 0 AS b ON a.date = b.date AND a.strategy = b.strategy";
    assert_eq!(row(&engine, both).await, "4");
    assert!(error(&engine, "SELECT * FROM s VERSION AS OF 9").await.contains("newest is 1"));
}

#[tokio::test]
async fn the_same_bytes_again_change_nothing() {
    let (folder, engine) = database().await;
    let file = legacy_csv(folder.path(), "a.csv", HEADER, FIRST);
    import(&engine, &file, "s").await;
    let renamed = legacy_csv(folder.path(), "renamed.csv", HEADER, FIRST);
    let again = import(&engine, &renamed, "s").await;
    assert_eq!((again.status, again.version, again.rows_written), (ImportStatus::AlreadyImported, Some(0), 0));
    assert_eq!(row(&engine, "SELECT count(*) FROM system.versions WHERE table_name = 's'").await, "1");
}

#[tokio::test]
async fn other_values_for_a_key_are_a_conflict_until_a_mode_is_chosen() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let changed = legacy_csv(folder.path(), "b.csv", HEADER, &["2024-01-02,Tuesday,,5", "2024-01-04,Thursday,1,1"]);
    let refused = engine.import(&request(&changed, "s")).await.expect_err("conflict").to_string();
    assert!(refused.contains("2024-01-02 'S2': 4.0 there, 5.0 new") && refused.contains("--mode upsert"), "{refused}");
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl) FROM s").await, "4|3.0");

    let options = ImportOptions { mode: Some(ImportMode::Upsert), ..ImportOptions::default() };
    let upsert = ImportRequest { options, ..request(&changed, "s") };
    let report = engine.import(&upsert).await.expect("upsert");
    assert_eq!((report.rows_written, report.rows_unchanged, report.rows_replaced), (3, 1, 1));
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl) FROM s").await, "6|6.0");
}

#[tokio::test]
async fn replace_takes_the_place_of_the_files_dates() {
    let (folder, engine) = database().await;
    let whole =
        legacy_csv(folder.path(), "a.csv", HEADER, &["2024-01-01,Monday,1,-1", "2024-01-02,Tuesday,2,2", "2024-01-03,Wednesday,3,3"]);
    import(&engine, &whole, "s").await;
    let part = legacy_csv(folder.path(), "b.csv", "Date,Day,S1", &["2024-01-02,Tuesday,50", "2024-01-03,Wednesday,60"]);
    let options = ImportOptions { mode: Some(ImportMode::Replace), ..ImportOptions::default() };
    let report = engine.import(&ImportRequest { options, ..request(&part, "s") }).await.expect("replace");
    let counts = (report.rows_written, report.rows_replaced, report.rows_deleted, report.strategies_deleted);
    assert_eq!(counts, (2, 2, 2, 1));
    assert!(report.to_string().contains("2 replaced, 2 deleted (of 1 strategy that the file lacks)"), "{report}");
    assert_eq!(rows(&engine, "SELECT strategy, pnl FROM s ORDER BY date, strategy").await, ["S1|1.0", "S2|-1.0", "S1|50.0", "S1|60.0"]);
}

#[tokio::test]
async fn overlapping_rows_with_equal_values_are_counted_and_not_doubled() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let more = legacy_csv(folder.path(), "b.csv", HEADER, &["2024-01-02,Tuesday,,4", "2024-01-03,Wednesday,7,8"]);
    let report = import(&engine, &more, "s").await;
    assert_eq!((report.rows_written, report.rows_unchanged), (2, 2));
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl) FROM s").await, "6|18.0");
}

#[tokio::test]
async fn restore_goes_back_and_lets_the_file_in_again() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let later = legacy_csv(folder.path(), "b.csv", HEADER, &["2024-01-03,Wednesday,7,8"]);
    import(&engine, &later, "s").await;
    assert_eq!(row(&engine, "RESTORE TABLE s TO VERSION AS OF 0").await, "2");
    assert_eq!(row(&engine, "SELECT count(*) FROM s").await, "4");
    assert_eq!(import(&engine, &later, "s").await.status, ImportStatus::Imported);
    assert_eq!(row(&engine, "SELECT count(*) FROM s").await, "6");
}

#[tokio::test]
async fn sql_changes_keep_a_strategy_table_a_strategy_table() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    assert_eq!(
        row(&engine, "INSERT INTO s (date, strategy, pnl) VALUES (DATE '2023-12-31', 'S0', 5), (DATE '2024-01-01', 'S3', 6)").await,
        "2"
    );
    assert_eq!(row(&engine, "UPDATE s SET pnl = pnl * 10 WHERE strategy IN (SELECT strategy FROM s WHERE pnl > 4)").await, "2");
    assert_eq!(row(&engine, "DELETE FROM s WHERE strategy = 'S2'").await, "2");
    let found = rows(&engine, "SELECT date, strategy, pnl, year FROM s ORDER BY date, strategy").await;
    assert_eq!(found, ["2023-12-31|S0|50.0|2023", "2024-01-01|S1|1.0|2024", "2024-01-01|S3|60.0|2024", "2024-01-02|S1||2024"]);
    // Still in file order, still with an order that path metrics find by themselves.
    assert_eq!(row(&engine, "SELECT max_drawdown_pnl(pnl) FROM s WHERE strategy = 'S3'").await, "0.0");
    assert!(error(&engine, "UPDATE s SET strategy = 'X'").await.contains("key column 'strategy'"));
    assert!(error(&engine, "INSERT INTO s (date, strategy, pnl) VALUES (DATE '2024-01-01', 'S1', 2)").await.contains("other values"));
}

#[tokio::test]
async fn the_wide_view_has_the_columns_of_the_source_in_its_order() {
    let (folder, engine) = database().await;
    let file = legacy_csv(folder.path(), "a.csv", "Date,Day,zeta,Alpha 5%,beta", &["2024-01-02,Tuesday,1,2,3", "2024-01-01,Monday,4,,6"]);
    import(&engine, &file, "s").await;
    assert_eq!(rows(&engine, "SELECT * FROM s_wide").await, ["2024-01-01|Monday|4.0||6.0", "2024-01-02|Tuesday|1.0|2.0|3.0"]);
    assert_eq!(rows(&engine, "SELECT beta FROM s_wide WHERE date > DATE '2024-01-01'").await, ["3.0"]);
    assert_eq!(row(&engine, "SELECT count(*) FROM s_wide").await, "2");
    // A strategy without rows in a period leaves the period in the view.
    engine.sql("INSERT INTO s (date, strategy, pnl) VALUES (DATE '2024-01-03', 'late', 9)").await.expect("insert");
    assert_eq!(rows(&engine, "SELECT zeta, late FROM s_wide ORDER BY date").await, ["4.0|", "1.0|", "|9.0"]);
}

#[tokio::test]
async fn path_metrics_need_no_order_on_a_strategy_table() {
    let (folder, engine) = database().await;
    let lines = ["2024-01-03,Wednesday,-5,1", "2024-01-01,Monday,10,-1", "2024-01-02,Tuesday,-20,1", "2025-01-02,Thursday,-1,-9"];
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, &lines), "s").await;
    let implicit = rows(&engine, "SELECT strategy, max_drawdown_pnl(pnl) FROM s GROUP BY strategy ORDER BY strategy").await;
    assert_eq!(implicit, ["S1|-26.0", "S2|-9.0"]);
    assert_eq!(
        implicit,
        rows(&engine, "SELECT strategy, max_drawdown_pnl(pnl ORDER BY date) FROM s GROUP BY strategy ORDER BY strategy").await
    );
    let missing = error(&engine, "SELECT max_drawdown_pnl(x) FROM (VALUES (1.0), (2.0)) AS t(x)").await;
    assert!(missing.contains("needs a time order"), "{missing}");
}

#[tokio::test]
async fn indicators_take_the_order_of_each_strategy() {
    let (folder, engine) = database().await;
    let lines = ["2024-01-03,Wednesday,-5,1", "2024-01-01,Monday,10,-1", "2024-01-02,Tuesday,-20,1", "2025-01-02,Thursday,-1,-9"];
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, &lines), "s").await;
    let averages = |over: &str| format!("SELECT strategy, date, sma(pnl, 3) OVER ({over}) AS m FROM s ORDER BY strategy, date");
    let implicit = rows(&engine, &averages("PARTITION BY strategy")).await;
    assert_eq!(implicit, rows(&engine, &averages("PARTITION BY strategy ORDER BY date")).await);
    assert_eq!(implicit[..3], ["S1|2024-01-01|", "S1|2024-01-02|", "S1|2024-01-03|-5.0"]);
    assert!(implicit[7].starts_with("S2|2025-01-02|-2.33"), "{implicit:?}");
    let one = rows(&engine, "SELECT sma(pnl, 3) OVER () AS m FROM s WHERE strategy = 'S1' ORDER BY date").await;
    assert_eq!(one[2], "-5.0");
    for mixed in ["", "PARTITION BY year"] {
        let message = error(&engine, &averages(mixed)).await;
        assert!(message.contains("sma(pnl, 3) mixes the rows of several series"), "{message}");
        assert!(message.contains("add PARTITION BY strategy, as in sma(pnl, 3) OVER (PARTITION BY strategy)"), "{message}");
    }
}

#[tokio::test]
async fn path_metrics_over_several_strategies_at_once_are_refused() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    for mixed in ["FROM s", "FROM s GROUP BY year", "FROM s WHERE strategy LIKE 'S%'"] {
        let message = error(&engine, &format!("SELECT max_drawdown_pnl(pnl) {mixed}")).await;
        assert!(message.contains("mixes the rows of several series") && message.contains("add GROUP BY strategy"), "{message}");
    }
    let bars = legacy_csv(folder.path(), "b.csv", "Date,Day,Only", &["2024-01-01,Monday,3", "2024-01-02,Tuesday,-5"]);
    import(&engine, &bars, "one").await;
    assert_eq!(row(&engine, "SELECT max_drawdown_pnl(pnl) FROM one").await, "-5.0", "one strategy is one series");
}

#[tokio::test]
async fn a_second_writer_conflicts_cleanly() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let files: Vec<_> =
        (3..9).map(|day| legacy_csv(folder.path(), &format!("{day}.csv"), "Date,S1,S2", &[&format!("2024-02-0{day},1,1")])).collect();
    let engines =
        futures::future::join_all(files.iter().map(|_| Engine::open(engine.config().location.as_deref().expect("directory")))).await;
    let writers =
        engines.into_iter().zip(&files).map(|(engine, file)| async move { engine.expect("engine").import(&request(file, "s")).await });
    let outcomes = futures::future::join_all(writers).await;
    let landed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(refused.to_string().contains("another writer"), "{refused}");
    }
    assert!(landed >= 1);
    assert_eq!(row(&engine, "SELECT count(*) FROM s").await, (4 + 2 * landed).to_string());
}

#[tokio::test]
async fn the_sample_files_come_out_as_known() {
    let (Some(production), Some(options)) = (shared_data("production_500.csv"), shared_data("options_zones_2023.csv")) else { return };
    let (_folder, engine) = database().await;
    let report = import(&engine, &production, "production").await;
    assert_eq!((report.rows_written, report.strategies, report.periods), (41_000, 500, 82));
    let facts = "SELECT count(*), count(DISTINCT strategy), count(DISTINCT date), round(sum(pnl), 6), min(pnl), count(*) FILTER (WHERE pnl = 0), count(*) FILTER (WHERE year = 2024) FROM production";
    assert_eq!(row(&engine, facts).await, "41000|500|82|118402.60673|-57238.88169999998|42|26000");
    import(&engine, &options, "options").await;
    let facts = "SELECT count(*), round(sum(pnl), 6), min(slot), max(slot), min(date), count(*) FILTER (WHERE pnl = 0), min(regime_confidence), max(month) FROM options";
    assert_eq!(row(&engine, facts).await, "1760|447.524638|1|4|2023-01-02|1093|0.56|1");
    assert_eq!(row(&engine, "SELECT count(*), sum(capital) FROM options_wide").await, "88|231600000.0");
    let zones =
        rows(&engine, "SELECT slot, zone FROM options WHERE date = DATE '2023-01-02' AND strategy = 'strategy_1' ORDER BY slot").await;
    assert_eq!(zones, ["1|C", "2|D", "3|B", "4|A"]);
}

#[tokio::test]
async fn system_tables_tell_what_happened() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let bad = legacy_csv(folder.path(), "bad.csv", HEADER, &["2024-02-01,Thursday,1,abc"]);
    engine.import(&request(&bad, "s")).await.expect_err("text in a strategy column");
    let imports = rows(&engine, "SELECT status, rows_written, tables FROM system.imports ORDER BY status").await;
    assert_eq!(imports, ["imported|4|s", "refused|0|s"]);
    let strategies = rows(&engine, "SELECT strategy, ordinal, n_values, n_null, first_date FROM system.strategies ORDER BY ordinal").await;
    assert_eq!(strategies, ["S1|0|1|1|2024-01-01", "S2|1|2|0|2024-01-01"]);
    assert!(!rows(&engine, "SELECT * FROM system.import_issues WHERE code = 'unit_unknown'").await.is_empty());
}

#[tokio::test]
async fn a_dry_run_writes_no_byte() {
    let (folder, engine) = database().await;
    let file = legacy_csv(folder.path(), "a.csv", HEADER, FIRST);
    let report = engine.import(&ImportRequest { dry_run: true, ..request(&file, "s") }).await.expect("dry run");
    assert_eq!((report.status, report.rows_written), (ImportStatus::Checked, 4));
    assert!(!folder.path().join("db").exists());
}

#[tokio::test]
async fn a_file_that_lacks_a_context_column_leaves_it_alone() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    let bare = legacy_csv(folder.path(), "b.csv", "Date,S1,S2", &["2024-01-01,1,-2", "2024-01-02,,4"]);
    assert_eq!(import(&engine, &bare, "s").await.rows_unchanged, 4);
    let changed = legacy_csv(folder.path(), "c.csv", "Date,S1,S2", &["2024-01-02,3,4"]);
    let options = ImportOptions { mode: Some(ImportMode::Upsert), ..ImportOptions::default() };
    engine.import(&ImportRequest { options, ..request(&changed, "s") }).await.expect("upsert");
    let found = rows(&engine, "SELECT date, day, strategy, pnl FROM s WHERE strategy = 'S1' ORDER BY date").await;
    assert_eq!(found, ["2024-01-01|Monday|S1|1.0", "2024-01-02|Tuesday|S1|3.0"]);
}

#[tokio::test]
async fn a_stated_unit_stays_and_another_one_is_refused() {
    let (folder, engine) = database().await;
    let with = |unit| ImportOptions { unit: Some(unit), ..ImportOptions::default() };
    let first = legacy_csv(folder.path(), "a.csv", HEADER, FIRST);
    engine.import(&ImportRequest { options: with(Unit::Percent), ..request(&first, "s") }).await.expect("import");
    import(&engine, &legacy_csv(folder.path(), "b.csv", HEADER, &["2024-02-01,Thursday,1,1"]), "s").await;
    assert_eq!(row(&engine, "SELECT unit FROM system.tables WHERE table_name = 's'").await, "percent");
    let other = legacy_csv(folder.path(), "c.csv", HEADER, &["2024-03-01,Friday,1,1"]);
    let refused = engine.import(&ImportRequest { options: with(Unit::Points), ..request(&other, "s") }).await;
    assert!(refused.expect_err("another unit").to_string().contains("percent"));
}

#[tokio::test]
async fn rows_that_were_deleted_come_in_again_with_their_file() {
    let (folder, engine) = database().await;
    let file = legacy_csv(folder.path(), "a.csv", HEADER, FIRST);
    import(&engine, &file, "s").await;
    assert_eq!(row(&engine, "DELETE FROM s WHERE strategy = 'S1'").await, "2");
    let again = import(&engine, &file, "s").await;
    assert_eq!((again.status, again.rows_written, again.rows_unchanged), (ImportStatus::Imported, 2, 2));
}

#[tokio::test]
async fn a_name_that_is_something_else_is_left_alone() {
    let (folder, engine) = database().await;
    let file = legacy_csv(folder.path(), "a.csv", HEADER, FIRST);
    engine.sql("CREATE VIEW v AS SELECT 1 AS x").await.expect("view");
    std::fs::create_dir_all(folder.path().join("db/prices")).expect("folder");
    std::fs::write(folder.path().join("db/prices/x.csv"), "a\n1\n").expect("file");
    for name in ["v", "prices"] {
        let refused = engine.import(&request(&file, name)).await.expect_err("taken").to_string();
        assert!(refused.contains("exists already"), "{refused}");
    }
    assert_eq!(row(&engine, "SELECT a FROM prices").await, "1");
}

#[tokio::test]
async fn context_that_differs_by_strategy_does_not_lose_values_in_the_wide_view() {
    let (folder, engine) = database().await;
    import(&engine, &legacy_csv(folder.path(), "a.csv", HEADER, FIRST), "s").await;
    engine.sql("UPDATE s SET day = 'X' WHERE strategy = 'S2'").await.expect("update");
    assert_eq!(rows(&engine, "SELECT * FROM s_wide").await, ["2024-01-01|Monday|1.0|-2.0", "2024-01-02|Tuesday||4.0"]);
    assert_eq!(rows(&engine, "SELECT S2 FROM s_wide WHERE day = 'Monday'".replace("S2", "\"S2\"").as_str()).await, ["-2.0"]);
}

#[tokio::test]
async fn a_second_file_of_other_zones_does_not_take_the_place_of_the_first() {
    let (folder, engine) = database().await;
    let header = "Date,Zone,Day,S1";
    let rows_of = |zones: [&str; 2]| zones.map(|zone| format!("2024-01-01,{zone},Monday,{}", zone.len()));
    let file = |name: &str, zones| {
        let lines = rows_of(zones);
        legacy_csv(folder.path(), name, header, &lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    import(&engine, &file("a.csv", ["Zone 1", "Zone 2"]), "s").await;
    let options = ImportOptions { mode: Some(ImportMode::Upsert), ..ImportOptions::default() };
    let other = ImportRequest { options, ..request(&file("b.csv", ["Zone 3", "Zone 4"]), "s") };
    let refused = engine.import(&other).await.expect_err("other zones in the same slots").to_string();
    assert!(refused.contains("another period"), "{refused}");
    assert_eq!(rows(&engine, "SELECT slot, zone FROM s ORDER BY slot").await, ["1|Zone 1", "2|Zone 2"]);
}

#[tokio::test]
async fn a_file_with_one_row_per_date_is_slot_one_of_a_table_with_slots() {
    let (folder, engine) = database().await;
    let header = "Date,Zone,Day,S1";
    let two = ["2024-01-01,Zone 1,Monday,1", "2024-01-01,Zone 2,Monday,2"];
    import(&engine, &legacy_csv(folder.path(), "a.csv", header, &two), "s").await;
    import(&engine, &legacy_csv(folder.path(), "b.csv", header, &["2024-01-02,Zone 1,Tuesday,3"]), "s").await;
    assert_eq!(
        rows(&engine, "SELECT date, slot, pnl FROM s ORDER BY date, slot").await,
        ["2024-01-01|1|1.0", "2024-01-01|2|2.0", "2024-01-02|1|3.0"]
    );
}

#[tokio::test]
async fn a_wide_view_of_many_strategies_is_read_whole() {
    let (folder, engine) = database().await;
    let header = (0..600).fold("Date".to_owned(), |text, n| format!("{text},S{n}"));
    let line = |date: &str, step: i32| (0..600).fold(date.to_owned(), |text, n| format!("{text},{}", n * step));
    let lines = [line("2024-01-02", -1), line("2024-01-01", 1)];
    import(&engine, &legacy_csv(folder.path(), "a.csv", &header, &[&lines[0], &lines[1]]), "s").await;
    let whole = rows(&engine, "SELECT * FROM s_wide").await;
    assert_eq!(whole.len(), 2);
    assert!(whole[0].starts_with("2024-01-01|0.0|1.0|2.0|") && whole[1].ends_with("|-598.0|-599.0"), "{:.60}", whole[0]);
    assert_eq!(rows(&engine, "SELECT * FROM s_wide LIMIT 1").await, whole[..1]);
}
