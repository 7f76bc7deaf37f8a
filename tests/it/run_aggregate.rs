//! Aggregation run by run: the same answers as DataFusion's own plan, placed where it should be and nowhere else.

use datafusion::arrow::array::{RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::file::properties::WriterProperties;
use tempfile::TempDir;
use tranchedb::Engine;
use tranchedb::config::EngineConfig;
use tranchedb::ingest::{GenerateRequest, Target};

use crate::support::{assert_alike, error, import, legacy_csv, row, rows};

/// A database with the tables of [`TABLES`].
async fn database() -> (TempDir, Engine) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    let generate = async |strategies, periods, table: &str, zones| {
        let request = GenerateRequest::new(strategies, periods, 7, Target::Table(table.into()));
        let request = GenerateRequest { share_nulls: 0.05, share_zeros: 0.2, zones, regimes: zones > 0, constant: 1, ..request };
        engine.generate(&request).await.expect("generated");
    };
    generate(40, 600, "daily", 0).await;
    generate(25, 60, "zoned", 4).await;
    generate(12, 40, "changed", 4).await;
    change(&engine).await;
    ragged(&folder, &engine).await;
    (folder, engine)
}

/// Context that differs between strategies, rows that are missing, names that are long and odd: nothing is dense or shared any more.
async fn change(engine: &Engine) {
    let first = row(engine, "SELECT min(strategy) FROM changed").await;
    let odd = "chr(196) || 'rger ''".to_owned() + &"x".repeat(90) + "'";
    for sql in [
        format!("UPDATE changed SET capital = capital * 2, zone = 'Zone 9' WHERE strategy = '{first}' AND slot = 2"),
        format!("DELETE FROM changed WHERE strategy > '{first}' AND pnl < -2000"),
        format!("INSERT INTO changed SELECT * REPLACE ({odd} AS strategy) FROM changed WHERE strategy = '{first}' AND date > '2015-01-20'"),
    ] {
        engine.sql(&sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    }
}

/// Strategies that begin late, end early or are missing in a year; a year in two files.
async fn ragged(folder: &TempDir, engine: &Engine) {
    let lines = |first: u32, last: u32, year: u32, strategies: u32| -> Vec<String> {
        let value = |day: u32, s: u32| {
            if (day + s).is_multiple_of(7) { String::new() } else { format!("{}", f64::from(day * 3 + s * 5 % 11) - 40.0) }
        };
        let line = |day: u32| {
            let values: Vec<String> = (0..strategies).map(|s| value(day, s)).collect();
            format!("{year}-03-{day:02},Monday,{}", values.join(","))
        };
        (first..=last).map(line).collect()
    };
    let parts = [
        ("a.csv", "Date,Day,S1,S2,S5", lines(1, 9, 2022, 3)),
        ("b.csv", "Date,Day,S2,S3,S4,S5", lines(10, 20, 2022, 4)),
        ("c.csv", "Date,Day,S1,S3,S9", lines(1, 12, 2023, 3)),
    ];
    for (name, header, lines) in parts {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        import(engine, &legacy_csv(folder.path(), name, header, &lines), "ragged").await;
    }
}

const TABLES: &[&str] = &["daily", "zoned", "ragged", "changed"];

/// Queries over any strategy table that the operator takes over.
const TAKEN: &[&str] = &[
    "SELECT strategy, sharpe_ratio(pnl), sortino_ratio(pnl), max_drawdown_pnl(pnl), count(*), count(pnl) FROM {t} GROUP BY strategy",
    "SELECT strategy, value_at_risk(pnl, 0.9), kelly_fraction(pnl), win_rate(pnl), profit_factor(pnl) FROM {t} GROUP BY strategy",
    "SELECT strategy, year, max_drawdown_pnl(pnl), sum(pnl), avg(pnl) FROM {t} GROUP BY strategy, year",
    "SELECT date_trunc('month', date) m, strategy, min(pnl), max(pnl), stddev(pnl) FROM {t} GROUP BY m, strategy",
    "SELECT sum(pnl), count(*), avg(pnl), sharpe_ratio(pnl) FROM {t}",
    "SELECT sum(pnl), count(*), sharpe_ratio(pnl) FROM {t} WHERE pnl > 1e18",
    "SELECT date, sum(pnl), count(pnl), avg(pnl) FROM {t} GROUP BY date",
    "SELECT year, count(*), sum(pnl) FROM {t} GROUP BY year",
    "SELECT strategy, max_drawdown_pnl(pnl) FROM {t} WHERE date >= '2022-03-05' AND date < '2022-03-17' GROUP BY strategy",
    "SELECT strategy, max_drawdown_pnl(pnl), sum(pnl) FROM {t} WHERE pnl > -20 AND year = 2022 GROUP BY strategy",
    "SELECT strategy, sum(pnl) FILTER (WHERE pnl > 0), count(*) FILTER (WHERE date > '2022-03-10') FROM {t} GROUP BY strategy",
    "SELECT strategy, sum(pnl) FROM {t} WHERE strategy IN ('S1', 'S3', 'S00004', 'none') GROUP BY strategy",
    "SELECT strategy, sum(pnl) FROM {t} WHERE strategy > 'S2' AND strategy LIKE 'S%' GROUP BY strategy HAVING sum(pnl) > 0",
    "SELECT strategy, sum(pnl) FROM {t} WHERE strategy = 'S1' OR date = '2022-03-08' GROUP BY strategy",
    "SELECT strategy, sharpe_ratio(r), sum(r) FROM (SELECT strategy, date, pnl / 2 + 1 AS r FROM {t} WHERE pnl < 100) GROUP BY strategy",
    "SELECT strategy, count(DISTINCT pnl), max_drawdown_pnl(-pnl), min(date), max(date) FROM {t} GROUP BY strategy",
    "SELECT strategy, drawdown_details_pnl(pnl, date) FROM {t} GROUP BY strategy",
    "SELECT strategy, array_agg(pnl ORDER BY date) FROM {t} WHERE date < '2022-03-04' GROUP BY strategy",
    "SELECT max(d) FROM (SELECT strategy, max_drawdown_pnl(pnl) d FROM {t} GROUP BY strategy)",
    "SELECT count(DISTINCT strategy) c, date FROM (SELECT strategy, date, sum(pnl) FROM {t} GROUP BY 1, 2) GROUP BY date",
];

/// More of them, over the table with slots and context.
const ZONED: &[&str] = &[
    "SELECT strategy, zone, sum(pnl), max_drawdown_pnl(pnl), sharpe_ratio(pnl / capital) FROM zoned GROUP BY strategy, zone",
    "SELECT strategy, market_regime, count(*), max_drawdown_pnl(pnl) FROM zoned WHERE regime_confidence >= 0.6 GROUP BY strategy, market_regime",
    "SELECT zone, sum(pnl), min(capital) FROM zoned GROUP BY zone",
    "SELECT market_regime, zone, avg(pnl) FROM zoned WHERE zone <> 'A' GROUP BY 1, 2",
    // -0.0 and 0.0 are one group.
    "SELECT round(regime_confidence - 0.75) k, count(*) FROM zoned GROUP BY k",
    "SELECT strategy, capital * -0.0 k, count(*) FROM zoned GROUP BY strategy, k",
    "SELECT arrow_cast(zone, 'Dictionary(Int32, Utf8)') z, sum(pnl) FROM zoned GROUP BY z",
    "SELECT strategy, capital, count(*) FROM zoned GROUP BY strategy, capital",
    // What a predicate excludes need not have a value.
    "SELECT strategy, CAST(CASE WHEN zone = 'Zone 1' THEN 'x' ELSE '7' END AS INT) k, count(*) FROM zoned WHERE zone <> 'Zone 1' GROUP BY 1, 2",
    "SELECT count(*) FROM zoned WHERE strategy LIKE '%SL128%TP77%' AND CAST(split_part(split_part(strategy, 'TP', 2), '%', 1) AS INT) > 20",
    "SELECT strategy, count(*) FROM zoned WHERE strategy LIKE 'S%' AND strategy <> 'x' AND strategy >= 'A' GROUP BY strategy",
    "SELECT strategy, zone, count(*) FROM zoned WHERE zone <> 'A' GROUP BY strategy, zone",
    "SELECT strategy, count(*) FROM zoned WHERE slot = 2 GROUP BY strategy",
    "SELECT zone, strategy, first_value(pnl ORDER BY date, slot), last_value(pnl ORDER BY date, slot) FROM zoned GROUP BY 1, 2",
    "SELECT strategy, zone, max_drawdown_pnl(pnl), win_rate(pnl), profit_factor(pnl), kelly_fraction(pnl), expectancy(pnl) FILTER (WHERE pnl > 0), \
     calmar_ratio_pnl(pnl), roi(pnl, 1000), sum(capital) FROM zoned GROUP BY strategy, zone",
    "SELECT strategy, max_drawdown_pnl(pnl ORDER BY date, slot) FROM zoned GROUP BY strategy",
    "SELECT date, slot, sum(pnl) FROM zoned GROUP BY date, slot",
    "SELECT strategy, max_drawdown_pnl(r) FROM (SELECT strategy, date, slot, pnl / 2 AS r FROM zoned WHERE pnl < 9) GROUP BY strategy",
];

async fn plan(engine: &Engine, sql: &str) -> String {
    rows(engine, &format!("EXPLAIN {sql}")).await.join("\n")
}

async fn agrees(engine: &Engine, sql: &str) {
    let plan = plan(engine, sql).await;
    assert!(plan.contains("RunAggregateExec") && plan.contains("RunScanExec"), "{sql}\n{plan}");
    let with = rows(engine, sql).await;
    // Once more, with what the first run has cached.
    assert_alike(rows(engine, sql).await, with.clone(), '|', sql);
    engine.sql("SET tranchedb.run_aggregate = false").await.expect("off");
    let without = rows(engine, sql).await;
    engine.sql("SET tranchedb.run_aggregate = true").await.expect("on");
    assert_alike(with, without, '|', sql);
}

#[tokio::test]
async fn every_query_has_the_answer_of_the_plain_plan() {
    let (_folder, engine) = database().await;
    for table in TABLES {
        for query in TAKEN {
            let sql = query.replace("{t}", table);
            if matches!(*table, "zoned" | "changed") && sql.contains("array_agg") {
                continue; // Dates repeat: any order among the slots of a date is right.
            }
            agrees(&engine, &sql).await;
        }
    }
    for sql in ZONED {
        agrees(&engine, sql).await;
        agrees(&engine, &sql.replace("zoned", "changed")).await;
    }
}

#[tokio::test]
async fn the_bits_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().expect("folder");
    let location = folder.path().join("db").to_string_lossy().into_owned();
    let with = async |threads| {
        let config = EngineConfig { location: Some(location.clone()), threads: Some(threads), ..EngineConfig::default() };
        Engine::with_config(config).await.expect("engine")
    };
    // More than two units, so that their order of completion could matter.
    let request = GenerateRequest::new(2_500, 260, 7, Target::Table("many".into()));
    with(2).await.generate(&request).await.expect("generated");
    for sql in [
        "SELECT sum(pnl), sharpe_ratio(pnl), skewness(pnl), stddev(pnl) FROM many",
        "SELECT date, sum(pnl), sharpe_ratio(pnl) FROM many GROUP BY date",
        "SELECT strategy, sharpe_ratio(pnl), max_drawdown_pnl(pnl) FROM many GROUP BY strategy",
    ] {
        let one = rows(&with(1).await, sql).await;
        for threads in [2, 5] {
            assert!(rows(&with(threads).await, sql).await == one, "{threads} threads: {sql}");
        }
    }
}

#[tokio::test]
async fn a_session_reads_a_footer_and_the_names_of_a_file_once() {
    let folder = tempfile::tempdir().expect("folder");
    let location = folder.path().join("db").to_string_lossy().into_owned();
    let engine = Engine::open(&location).await.expect("engine");
    import(&engine, &legacy_csv(folder.path(), "a.csv", "Date,Day,S1,S2", &["2024-01-01,Monday,1,2"]), "s").await;
    let sql = "SELECT strategy, sum(pnl) FROM s GROUP BY strategy";
    let first = rows(&engine, sql).await;
    // Whoever reads the end of the file again now finds no Parquet file.
    let file = std::fs::read_dir(folder.path().join("db/s/year=2024")).expect("folder").next().expect("file").expect("entry").path();
    let mut bytes = std::fs::read(&file).expect("file");
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    std::fs::write(&file, bytes).expect("damaged");
    assert_eq!(rows(&engine, sql).await, first);
    assert_eq!(row(&engine, "SELECT count(*) FROM s WHERE pnl > 1").await, "1");
    let fresh = Engine::open(&location).await.expect("engine");
    assert!(error(&fresh, sql).await.contains("year=2024/part-"));
}

#[tokio::test]
async fn a_context_column_that_a_year_lacks_is_null_there() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    let plain = legacy_csv(folder.path(), "a.csv", "Date,S1,S2", &["2023-01-02,1,2", "2023-01-03,3,4"]);
    let named = legacy_csv(folder.path(), "b.csv", "Date,Day,S1,S2", &["2024-01-01,Monday,5,6", "2024-01-02,Tuesday,7,8"]);
    import(&engine, &plain, "s").await;
    import(&engine, &named, "s").await;
    agrees(&engine, "SELECT strategy, day, sum(pnl), max_drawdown_pnl(pnl) FROM s GROUP BY strategy, day").await;
    let found = rows(&engine, "SELECT day, sum(pnl) FROM s GROUP BY day ORDER BY day NULLS FIRST").await;
    assert_eq!(found, ["|10.0", "Monday|11.0", "Tuesday|15.0"]);
    agrees(&engine, "SELECT strategy, count(*) FROM s WHERE day IS NULL OR day = 'Monday' GROUP BY strategy").await;
}

#[tokio::test]
async fn what_it_cannot_keep_exact_stays_with_the_plain_plan() {
    let (_folder, engine) = database().await;
    for sql in [
        "SELECT strategy, sum(pnl) FROM daily GROUP BY ROLLUP (strategy)",
        "SELECT pnl > 0, count(*) FROM daily GROUP BY 1",
        "SELECT upper(strategy), sum(pnl) FROM daily GROUP BY 1",
        "SELECT strategy, array_agg(pnl ORDER BY pnl) FROM daily GROUP BY strategy",
        "SELECT strategy, sum(pnl) FROM daily WHERE random() < 2 GROUP BY strategy",
        "SELECT a.strategy, sum(a.pnl) FROM daily a JOIN daily b USING (date, strategy) GROUP BY 1",
        "SELECT strategy, sum(pnl) FROM (SELECT * FROM daily LIMIT 10) GROUP BY strategy",
    ] {
        let plan = plan(&engine, sql).await;
        assert!(!plan.contains("RunAggregateExec"), "{sql}\n{plan}");
        rows(&engine, sql).await;
    }
}

#[tokio::test]
async fn files_that_the_dates_exclude_are_not_opened() {
    let (_folder, engine) = database().await;
    let sql = "EXPLAIN ANALYZE SELECT strategy, sum(pnl) FROM ragged WHERE date >= '2023-01-01' GROUP BY strategy";
    let analysed = rows(&engine, sql).await.join("\n");
    assert!(analysed.contains("files_read=1") && analysed.contains("files_pruned=2"), "{analysed}");
    let sql = "EXPLAIN ANALYZE SELECT strategy, sum(pnl) FROM ragged WHERE strategy = 'S9' GROUP BY strategy";
    let analysed = rows(&engine, sql).await.join("\n");
    assert!(analysed.contains("row_groups_read=1") && analysed.contains("output_rows=1,"), "{analysed}");
}

#[tokio::test]
async fn parts_of_a_table_whose_names_interleave_are_read_run_by_run() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    let lines = ["2024-01-01,Monday,1,2", "2024-01-02,Tuesday,4,5"];
    for (name, header) in [("a.csv", "Date,Day,S1,S3"), ("b.csv", "Date,Day,S2,S4")] {
        import(&engine, &legacy_csv(folder.path(), name, header, &lines), "parts").await;
    }
    agrees(&engine, "SELECT strategy, max_drawdown_pnl(pnl), sum(pnl) FROM parts GROUP BY strategy").await;
    // A row of a strategy that is there, in a file of its own among the dates of another.
    engine.sql("INSERT INTO parts VALUES ('2024-01-03', 'Wednesday', 'S1', 7.0, 2024)").await.expect("inserted");
    engine.sql("INSERT INTO parts VALUES ('2024-01-01', 'Monday', 'S5', 7.0, 2024)").await.expect("inserted");
    let found = rows(&engine, "SELECT strategy, count(*), sum(pnl) FROM parts GROUP BY strategy ORDER BY strategy").await;
    assert_eq!(found, ["S1|3|12.0", "S2|2|5.0", "S3|2|7.0", "S4|2|7.0", "S5|1|7.0"]);
}

#[tokio::test]
async fn groups_of_many_strategies_are_finished_as_their_rows_end() {
    let folder = tempfile::tempdir().expect("folder");
    let engine = Engine::open(&folder.path().join("db").to_string_lossy()).await.expect("engine");
    let request = GenerateRequest::new(6000, 6, 7, Target::Table("many".into()));
    engine.generate(&GenerateRequest { share_nulls: 0.1, zones: 2, ..request }).await.expect("generated");
    agrees(
        &engine,
        "SELECT strategy, zone, count(*), sum(pnl), max_drawdown_pnl(pnl), value_at_risk(pnl) FROM many GROUP BY strategy, zone",
    )
    .await;
    agrees(&engine, "SELECT strategy, count(*), win_rate(pnl), profit_factor(pnl) FROM many WHERE slot = 1 GROUP BY strategy").await;
}

#[tokio::test]
async fn strategies_come_in_order_without_a_sort() {
    let (_folder, engine) = database().await;
    let plan = plan(&engine, "SELECT strategy, sum(pnl) FROM ragged GROUP BY strategy ORDER BY strategy").await;
    assert!(plan.contains("RunAggregateExec") && !plan.contains("SortExec"), "{plan}");
    let found = rows(&engine, "SELECT strategy, count(*) FROM ragged GROUP BY strategy ORDER BY strategy").await;
    assert_eq!(found, ["S1|21", "S2|20", "S3|23", "S4|11", "S5|20", "S9|12"]);
}

#[tokio::test]
async fn an_empty_selection_has_its_groups() {
    let (_folder, engine) = database().await;
    assert_eq!(row(&engine, "SELECT count(*), sum(pnl), sharpe_ratio(pnl) FROM daily WHERE strategy = 'none'").await, "0||");
    assert!(rows(&engine, "SELECT strategy, sum(pnl) FROM daily WHERE year = 1900 GROUP BY strategy").await.is_empty());
}

/// What is done to the rows of a file.
type Change = fn(RecordBatch) -> RecordBatch;

/// Writes the rows of a data file anew with `change`, as our writer would sign them, and has the log agree in size and rows.
fn forge(table: &std::path::Path, file: &std::path::Path, change: Change) {
    let opened = std::fs::File::open(file).expect("file");
    let size = opened.metadata().expect("size").len();
    let reader = ParquetRecordBatchReaderBuilder::try_new(opened).expect("Parquet");
    let claim = reader.metadata().file_metadata().key_value_metadata().cloned();
    let batches: Vec<RecordBatch> = reader.build().expect("reader").collect::<Result<_, _>>().expect("rows");
    let whole = concat_batches(&batches[0].schema(), &batches).expect("one batch");
    let changed = change(whole.clone());
    let properties = WriterProperties::builder().set_created_by("tranchedb 0.1.0".into()).set_key_value_metadata(claim).build();
    let sink = std::fs::File::create(file).expect("file");
    let mut writer = ArrowWriter::try_new(sink, changed.schema(), Some(properties)).expect("writer");
    writer.write(&changed).expect("written");
    writer.close().expect("closed");
    let now = file.metadata().expect("size").len();
    for entry in std::fs::read_dir(table.join("_delta_log")).expect("log") {
        let path = entry.expect("entry").path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let rows = |batch: &RecordBatch| format!("\\\"numRecords\\\":{}", batch.num_rows());
        let text = text.replace(&format!("\"size\":{size},"), &format!("\"size\":{now},")).replace(&rows(&whole), &rows(&changed));
        std::fs::write(&path, text).expect("log");
    }
}

#[tokio::test]
async fn claims_that_a_file_does_not_keep_are_refused_by_its_name() {
    let reversed: Change = |batch| {
        let rows = UInt32Array::from_iter_values((0..batch.num_rows() as u32).rev());
        take_record_batch(&batch, &rows).expect("taken")
    };
    let shorter: Change = |batch| batch.slice(0, batch.num_rows() - 1);
    let cases: [(&str, Change, &str); 2] =
        [("the footer's counts", shorter, "its footer claims 3 strategies"), ("the order", reversed, "out of order")];
    for (what, change, answer) in cases {
        let folder = tempfile::tempdir().expect("temporary folder");
        let location = folder.path().join("db").to_string_lossy().into_owned();
        let lines = ["2024-01-01,Monday,1,2,3", "2024-01-02,Tuesday,4,5,6"];
        let engine = Engine::open(&location).await.expect("engine");
        import(&engine, &legacy_csv(folder.path(), "a.csv", "Date,Day,S1,S2,S3", &lines), "s").await;
        drop(engine);
        let table = folder.path().join("db/s");
        let file = std::fs::read_dir(table.join("year=2024")).expect("folder").next().expect("file").expect("entry").path();
        forge(&table, &file, change);
        let engine = Engine::open(&location).await.expect("engine");
        let text = error(&engine, "SELECT strategy, sum(pnl) FROM s GROUP BY strategy").await;
        assert!(text.contains(answer) && text.contains("year=2024/part-"), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_is_refused_by_name() {
    let (folder, engine) = database().await;
    let part = std::fs::read_dir(folder.path().join("db/ragged/year=2023")).expect("folder").next().expect("file").expect("entry").path();
    let other = std::fs::read_dir(folder.path().join("db/ragged/year=2022")).expect("folder").next().expect("file").expect("entry").path();
    std::fs::copy(&other, &part).expect("replaced");
    let text = error(&engine, "SELECT strategy, sum(pnl) FROM ragged GROUP BY strategy").await;
    assert!(text.contains("year=2023/part-"), "{text}");
}
