//! Views and external tables as they are kept, and listings while one of them is broken.

use std::fs;
use std::path::{Path, PathBuf};

use tranchedb::{Engine, Parameters};

use crate::program::{Run, finish, program, run_with_input};
use crate::support::{error, row, rows};

/// A folder with a file, a database and another folder to work in.
fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    fs::create_dir_all(here.join("parts")).expect("a folder");
    fs::create_dir_all(&there).expect("a folder");
    fs::write(here.join("x.csv"), "a,b\n1,2\n").expect("a file");
    fs::write(here.join("parts/1.csv"), "a\n10\n").expect("a file");
    fs::write(there.join("x.csv"), "a,b\n100,200\n").expect("a file");
    (folder, here, there)
}

fn at(place: &Path, db: &Path, sql: &str) -> Run {
    finish(program().current_dir(place).arg("--db").arg(db).args(["--format", "csv", "--quiet", "-c", sql]))
}

#[test]
fn a_definition_means_the_same_from_every_working_directory() {
    let (folder, here, there) = places();
    let db = folder.path().join("db");
    at(&here, &db, "CREATE VIEW v AS SELECT a + b AS s FROM 'x.csv'").good();
    at(&here, &db, "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION 'x.csv' OPTIONS ('format.has_header' 'true')").good();
    at(&here, &db, "CREATE EXTERNAL TABLE p STORED AS CSV LOCATION 'parts/' OPTIONS ('format.has_header' 'true')").good();
    at(&here, &db, "CREATE VIEW g AS SELECT sum(a) AS s FROM 'parts/*.csv'").good();
    assert_eq!(at(&there, &db, "SELECT s FROM v").good(), "s\n3\n");
    assert_eq!(at(&there, &db, "SELECT a + b AS s FROM e").good(), "s\n3\n");
    assert_eq!(at(&there, &db, "SELECT a FROM p").good(), "a\n10\n");
    assert_eq!(at(&there, &db, "SELECT s FROM g").good(), "s\n10\n");
    let file = here.join("x.csv").display().to_string();
    for name in ["v", "e"] {
        assert!(at(&there, &db, &format!("SHOW CREATE TABLE {name}")).good().contains(&file), "{name}");
        let shown = run_with_input(&["--db", &db.display().to_string()], &format!("\\d {name}\n")).good();
        assert!(shown.contains(&file) && shown.contains("CREATE"), "{shown}");
    }
}

#[tokio::test]
async fn a_broken_view_does_not_hide_the_others() {
    let engine = Engine::in_memory().await.expect("engine");
    engine.sql("CREATE TABLE good AS SELECT 1 AS a, 'x' AS b").await.expect("table");
    engine.sql("CREATE TABLE gone AS SELECT 1 AS a").await.expect("table");
    engine.sql("CREATE VIEW broken AS SELECT a FROM gone").await.expect("view");
    engine.sql("DROP TABLE gone").await.expect("dropped");
    let listed = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'main' ORDER BY 1, ordinal_position";
    assert_eq!(rows(&engine, listed).await, ["broken|(unreadable)", "good|a", "good|b"]);
    let columns = rows(&engine, "SHOW COLUMNS FROM good").await;
    assert!(columns.len() == 2 && columns[0].contains("|a|"), "{columns:?}");
    assert!(error(&engine, "SHOW COLUMNS FROM broken").await.contains("gone"));
    let tables = rows(&engine, "SHOW TABLES").await;
    assert!(
        tables.iter().any(|table| table.contains("main|good")) && tables.iter().any(|table| table.contains("main|broken")),
        "{tables:?}"
    );
    assert!(tables.iter().any(|table| table.contains("information_schema|columns")), "{tables:?}");
    let problem = rows(&engine, "SELECT table_name, kind, problem FROM system.tables ORDER BY 1").await;
    assert!(problem[0].starts_with("broken|unreadable|") && problem[0].contains("gone"), "{problem:?}");
    assert_eq!(problem[1], "good|table|");
    assert!(row(&engine, "SHOW datafusion.execution.batch_size").await.contains("8192"));
}

#[tokio::test]
async fn a_broken_view_is_named_with_what_it_lacks() {
    let engine = Engine::in_memory().await.expect("engine");
    engine.sql("CREATE TABLE c1 AS SELECT 1 AS a").await.expect("table");
    engine.sql("CREATE VIEW inner_view AS SELECT a FROM c1").await.expect("view");
    engine.sql("CREATE VIEW outer_view AS SELECT a FROM inner_view").await.expect("view");
    engine.sql("DROP TABLE c1").await.expect("dropped");
    let message = error(&engine, "SELECT * FROM inner_view").await;
    assert!(message.starts_with("the view 'inner_view' cannot be read: there is no table 'c1'\n"), "{message}");
    assert!(message.contains("DROP VIEW inner_view"), "{message}");
    let message = error(&engine, "SELECT * FROM outer_view").await;
    assert!(message.contains("the view 'outer_view' cannot be read: the view 'inner_view' cannot be read: there is no table"), "{message}");
    engine.sql("CREATE TABLE c1 AS SELECT 1 AS other").await.expect("table");
    let message = error(&engine, "SELECT * FROM inner_view").await;
    assert!(message.contains("'inner_view' cannot be read: No field named a"), "{message}");
}

#[tokio::test]
async fn parameters_in_definitions_are_refused() {
    let engine = Engine::in_memory().await.expect("engine");
    engine.sql("CREATE TABLE t AS SELECT 2024 AS year").await.expect("table");
    let statement = engine.parse("CREATE VIEW v AS SELECT * FROM t WHERE year = $y").expect("parses").remove(0);
    let mut parameters = Parameters::new();
    parameters.set("y", Parameters::parse_value("2024"));
    let refused = engine.run(&statement, &parameters).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("a view is kept as text and cannot hold the parameter $y\nhint: write its value"), "{refused}");
    assert!(error(&engine, "SELECT * FROM v").await.contains("there is no table 'v'"), "nothing was kept");
    engine.sql("CREATE VIEW v AS SELECT '$y' AS text FROM t -- $z").await.expect("no parameters");
    assert_eq!(row(&engine, "SELECT text FROM v").await, "$y");
}

#[test]
fn the_prompt_lists_a_broken_view_with_its_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("db").display().to_string();
    let made = "CREATE TABLE good AS SELECT 1 AS a; CREATE TABLE gone AS SELECT 1 AS a; CREATE VIEW broken AS SELECT a FROM gone;\n\\d\n";
    let whole = run_with_input(&["--db", &db], made).good();
    assert!(whole.contains("good") && !whole.contains("problem"), "{whole}");
    let broken = run_with_input(&["--db", &db], "DROP TABLE gone;\n\\d\n").good();
    assert!(broken.contains("good") && broken.contains("unreadable") && broken.contains("problem"), "{broken}");
}

#[tokio::test]
async fn what_would_be_lost_at_the_end_is_refused() {
    let engine = Engine::in_memory().await.expect("engine");
    for (sql, remedy) in [("CREATE SCHEMA s", "--db"), ("CREATE DATABASE d", "--db DIR"), ("DROP SCHEMA main", "DROP TABLE")] {
        let message = error(&engine, sql).await;
        assert!(message.contains("is not supported") && message.contains(remedy), "{message}");
    }
}

#[tokio::test]
async fn clauses_of_aggregates_are_refused_on_scalar_functions() {
    let engine = Engine::in_memory().await.expect("engine");
    for sql in ["SELECT abs(DISTINCT -1)", "SELECT abs(-1) FILTER (WHERE false)", "SELECT ABS(-1 ORDER BY 1)", "SELECT abs(-1) OVER ()"] {
        assert!(error(&engine, sql).await.contains("of a scalar function is not supported"), "{sql}");
    }
    assert_eq!(row(&engine, "SELECT sum(DISTINCT x) FILTER (WHERE x > 1) FROM (VALUES (1), (2), (2)) AS t(x)").await, "2");
}

#[tokio::test]
async fn files_are_not_written_by_insert() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("parts")).expect("a folder");
    fs::write(folder.path().join("parts/1.csv"), "a\n10\n").expect("a file");
    let engine = Engine::in_memory().await.expect("engine");
    let location = folder.path().join("parts/").display().to_string();
    let define = format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{location}' OPTIONS ('format.has_header' 'true')");
    engine.sql(&define).await.expect("table");
    for sql in ["INSERT INTO e VALUES (1)", "DELETE FROM e", "UPDATE e SET a = 1"] {
        let message = error(&engine, sql).await;
        assert!(message.contains("(external)") && message.contains("COPY"), "{message}");
    }
    assert_eq!(row(&engine, "SELECT sum(a) FROM e").await, "10");
}

#[tokio::test]
async fn a_version_can_be_a_parameter() {
    let engine = Engine::in_memory().await.expect("engine");
    engine.sql("CREATE TABLE t AS SELECT 1 AS x").await.expect("table");
    engine.sql("INSERT INTO t VALUES (2)").await.expect("row");
    let statement = engine.parse("SELECT count(*) FROM t VERSION AS OF $v AS old WHERE old.x < $top").expect("parses").remove(0);
    let bound = |text: &str| {
        let mut parameters = Parameters::new();
        parameters.set("v", Parameters::parse_value(text));
        parameters.set("top", Parameters::parse_value("10"));
        parameters
    };
    for (version, count) in [("0", 1), ("1", 2)] {
        let batches = engine.run(&statement, &bound(version)).await.expect("planned").collect().await.expect("rows");
        let found = datafusion::arrow::util::display::array_value_to_string(batches[0].column(0), 0).expect("a value");
        assert_eq!(found, count.to_string());
    }
    for (version, part) in [("-1", "whole number"), ("1.5", "whole number"), ("'x'", "whole number"), ("7", "version")] {
        let refused = engine.run(&statement, &bound(version)).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(part), "{version}: {refused}");
    }
    assert!(error(&engine, "SELECT * FROM t VERSION AS OF $v").await.contains("no value for $v"));
    assert!(error(&engine, "CREATE VIEW w AS SELECT * FROM t VERSION AS OF $v").await.contains("$v"));
}
