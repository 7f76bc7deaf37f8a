//! Arguments, output formats, exit codes, messages, imports and logs of the program.

use std::fs;
use std::path::Path;

use crate::program::{finish, program, run, run_on, run_with_input};

const MIXED: &str = "SELECT * FROM (VALUES (1, 'a', 0.1), (2, '', NULL), (NULL, NULL, 2.5)) AS t(n, s, x)";

#[test]
fn csv_tells_null_from_empty_text_and_keeps_floats() {
    let out = run(&["--format", "csv", "--quiet", "-c", "SELECT *, x + 0.2 AS y FROM (VALUES (1, 'a', 0.1), (2, '', NULL)) AS t(n, s, x)"])
        .good();
    assert_eq!(out, "n,s,x,y\n1,a,0.1,0.30000000000000004\n2,\"\",,\n");
}

#[test]
fn every_text_format_prints_the_same_rows() {
    assert_eq!(run(&["--format", "tsv", "-c", MIXED]).good(), "n\ts\tx\n1\ta\t0.1\n2\t\"\"\t\n\t\t2.5\n");
    let json: serde_json::Value = serde_json::from_str(&run(&["--format", "json", "-c", MIXED]).good()).expect("JSON");
    assert_eq!(json, serde_json::json!([{"n": 1, "s": "a", "x": 0.1}, {"n": 2, "s": "", "x": null}, {"n": null, "s": null, "x": 2.5}]));
    let lines = run(&["--format", "ndjson", "-c", MIXED]).good();
    assert_eq!(lines.lines().nth(1), Some("{\"n\":2,\"s\":\"\",\"x\":null}"));
    assert!(run(&["--format", "markdown", "-c", MIXED]).good().starts_with("| n | s | x |\n| ---: | --- | ---: |\n| 1 | a | 0.1 |\n"));
    let table = run(&["-c", MIXED]).good();
    assert_eq!(table, "    n │ s    │    x\n──────┼──────┼──────\n    1 │ a    │  0.1\n    2 │      │ NULL\n NULL │ NULL │  2.5\n3 rows\n");
}

#[test]
fn special_floats_are_told_from_null() {
    let sql = "SELECT 'NaN'::double AS a, 'inf'::double AS b, NULL::double AS c";
    assert_eq!(run(&["--format", "csv", "-c", sql]).good(), "a,b,c\nNaN,inf,\n");
    assert_eq!(run(&["--format", "ndjson", "-c", sql]).good(), "{\"a\":\"NaN\",\"b\":\"Infinity\",\"c\":null}\n");
}

#[test]
fn long_results_are_counted_and_cut() {
    let sql = "SELECT value FROM generate_series(1, 100000)";
    let out = run(&["-c", sql]).good();
    assert!(out.contains("... 99,960 rows more\n") && out.lines().count() < 50, "{out}");
    assert_eq!(run(&["--max-rows", "0", "-c", "SELECT value FROM generate_series(1, 100)"]).good().lines().count(), 103);
    assert_eq!(run(&["--format", "csv", "-c", sql]).good().lines().count(), 100_001);
}

#[test]
fn output_files_appear_whole_and_in_the_format_of_their_ending() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    run(&["-c", MIXED, "-o", &path("r.csv")]).good();
    assert_eq!(fs::read_to_string(path("r.csv")).expect("the file").lines().count(), 4);
    run(&["-c", MIXED, "-o", &path("r.parquet")]).good();
    let back = run(&["--format", "csv", "-c", &format!("SELECT * FROM '{}'", path("r.parquet"))]).good();
    assert_eq!(back, "n,s,x\n1,a,0.1\n2,\"\",\n,,2.5\n");
    run(&["-c", "SELECT 1 / (value - 50) FROM generate_series(1, 100)", "-o", &path("bad.csv")]).refused(1, &["ivide by zero"]);
    run(&["-c", "SELECT 1", "-c", "SELECT 2", "-o", &path("two.parquet")]).refused(2, &["one result", "COPY"]);
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).expect("the directory").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["r.csv", "r.parquet"]);
    run(&["-c", "SELECT 1", "-o", &directory.path().display().to_string()]).refused(2, &["is a directory"]);
    run(&["-c", "SELECT 1", "--format", "parquet"]).refused(2, &["-o FILE"]);
}

#[test]
fn names_that_json_would_lose_are_refused() {
    let sql = "SELECT a.x, b.x FROM (SELECT 1 AS x) a, (SELECT 2 AS x) b";
    run(&["--format", "json", "-c", sql]).refused(2, &["two columns are named 'x'", "AS"]);
    assert_eq!(run(&["--format", "csv", "-c", sql]).good(), "x,x\n1,2\n");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let command = format!(
        "set -o pipefail; '{}' --format csv -c 'SELECT value FROM generate_series(1, 1000000)' | head -2",
        env!("CARGO_BIN_EXE_tranchedb")
    );
    let ended = finish(std::process::Command::new("bash").args(["-c", &command]));
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "value\n1\n", ""));
}

#[test]
fn statements_come_from_arguments_files_and_input_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("b.sql");
    fs::write(&file, "SELECT 2 AS b;\nSELECT 3 AS c;").expect("the file");
    let out =
        run(&["--format", "csv", "-c", "SELECT 1 AS a", "-f", &file.display().to_string(), "-c", "SELECT 4 AS d; SELECT 5 AS e"]).good();
    assert_eq!(out, "a\n1\nb\n2\nc\n3\nd\n4\ne\n5\n");
    assert_eq!(run_with_input(&["--format", "csv"], "SELECT $x + 1 AS y;\n").code, Some(2));
    assert_eq!(run_with_input(&["--format", "csv", "-p", "x=41"], "SELECT $x + 1 AS y;\n").good(), "y\n42\n");
    assert_eq!(run_with_input(&["--format", "csv", "-f", "-"], "SELECT 1 AS a;").good(), "a\n1\n");
}

#[test]
fn parameters_are_values_and_never_sql() {
    let select = |parameter: &str| run(&["--format", "csv", "-p", parameter, "-c", "SELECT arrow_typeof($v) AS t, $v AS v"]);
    assert_eq!(select("v=12").good(), "t,v\nInt64,12\n");
    assert_eq!(select("v=1.5").good(), "t,v\nFloat64,1.5\n");
    assert_eq!(select("v=2024-01-31").good(), "t,v\nDate32,2024-01-31\n");
    assert_eq!(select("v='12'").good(), "t,v\nUtf8,12\n");
    assert_eq!(select("v=x'; DROP TABLE t; --").good(), "t,v\nUtf8,x'; DROP TABLE t; --\n");
    select("w=1").refused(2, &["-p w", "there are: v"]);
    run(&["-c", "SELECT $v"]).refused(2, &["$v has no value", "-p v="]);
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    let message = run(&["-c", "SELECT 1;\n  selec 2"]).refused(1, &["error:"]);
    assert!(message.contains("   2 |   selec 2\n         ^"), "{message}");
    run(&["-c", "SELECT * FROM nowhere"]).refused(1, &["nowhere", "^"]);
    let message = run(&["-c", "SELECT\n  1 AS a,\n  fooo AS b\nFROM (VALUES (1)) AS t(foo)"]).refused(1, &["fooo", "foo"]);
    assert!(message.contains("   3 |   fooo AS b\n         ^"), "{message}");
}

#[test]
fn nothing_runs_when_a_later_statement_cannot_be_parsed() {
    let ended = run(&["-c", "SELECT 1; SELECT (2 AS c"]);
    assert_eq!(ended.stdout, "");
    ended.refused(1, &["^"]);
}

#[test]
fn wrong_usage_is_exit_code_two() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().display().to_string();
    run(&["--nonsense"]).refused(2, &["--nonsense"]);
    run(&["--format", "xml", "-c", "SELECT 1"]).refused(2, &["xml", "markdown"]);
    run(&["--memory-limit", "lots", "-c", "SELECT 1"]).refused(2, &["lots", "GiB"]);
    run(&["-f", "no-such-file.sql"]).refused(2, &["no-such-file.sql"]);
    run(&["-f", &folder]).refused(2, &[&folder, "directory"]);
    run(&["-c", "SELECT 1", "run", "tour"]).refused(2, &["sub-command"]);
    run(&["import", "a.csv", "--into", "t"]).refused(2, &["--db"]);
    run(&["import", "a_part1.csv", "a_part2.csv", "--into", "t", "--set"]).refused(2, &["--set", "name all parts"]);
    run(&["generate", "strategies", "--strategies", "1", "--periods", "1"]).refused(2, &["--into"]);
    fs::write(directory.path().join("latin1.sql"), b"SELECT '\xe9'").expect("the file");
    run(&["-f", &format!("{folder}/latin1.sql")]).refused(2, &["UTF-8"]);
}

#[test]
fn help_and_version_are_no_errors() {
    assert!(run(&["--help"]).good().contains("Exit codes"));
    assert!(run(&["--version"]).good().starts_with("tranchedb "));
    assert!(run(&["import", "--help"]).good().contains("--date-order"));
}

#[test]
fn generated_data_is_the_same_for_the_same_seed() {
    let directory = tempfile::tempdir().expect("a directory");
    let csv = |name: &str, seed: &str| {
        let path = directory.path().join(name);
        let target = path.display().to_string();
        run(&[
            "generate",
            "strategies",
            "--strategies",
            "20",
            "--periods",
            "30",
            "--seed",
            seed,
            "--zeros",
            "0.1",
            "--nulls",
            "0.05",
            "--csv",
            &target,
        ])
        .good();
        fs::read(path).expect("the file")
    };
    let first = csv("a.csv", "7");
    assert_eq!(first, csv("b.csv", "7"));
    assert_ne!(first, csv("c.csv", "8"));
    run(&["generate", "strategies", "--strategies", "0", "--periods", "30", "--csv", "x.csv"]).refused(2, &["at least one"]);
}

fn write_csv(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("the file");
    path.display().to_string()
}

#[test]
fn a_refused_file_does_not_keep_the_others_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let good = write_csv(directory.path(), "good.csv", "Date,S1,S2\n2024-01-01,1,2\n2024-01-02,3,4\n");
    let bad = write_csv(directory.path(), "bad.csv", "Date,S1,S2\n2024-01-03,1,2\n2024-01-04,1,abc\n");
    let later = write_csv(directory.path(), "later.csv", "Date,S1,S2\n2024-01-05,5,6\n");
    let ended = run_on(&db, &["import", &good, &bad, &later, "--into", "t"]);
    assert!(ended.stdout.contains("good.csv") && ended.stdout.contains("later.csv"), "{ended:?}");
    ended.refused(1, &["bad.csv", "line 3", "S2", "abc"]);
    assert_eq!(run_on(&db, &["--format", "csv", "-c", "SELECT count(*) AS n, sum(pnl) AS s FROM t"]).good(), "n,s\n6,21\n");
}

#[test]
fn the_json_report_of_a_dry_run_writes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let file = write_csv(directory.path(), "a.csv", "Date,S1,S2\n2024-01-01,1,2\n2024-01-02,,4\n");
    let out = run_on(&db, &["import", &file, "--into", "t", "--dry-run", "--report", "json"]).good();
    let report: serde_json::Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((report["strategies"].as_u64(), report["periods"].as_u64(), report["nulls"].as_u64()), (Some(2), Some(2), Some(1)));
    run_on(&db, &["-c", "SELECT * FROM t"]).refused(1, &["there is no table 't'"]);
}

#[test]
fn the_parts_of_a_set_are_files_of_one_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let part = |n: u32, names: &str| {
        let text = format!("Date,Zone,{names}\n2024-01-01,Zone 1,1,2\n2024-01-01,Zone 2,3,4\n");
        write_csv(directory.path(), &format!("a_part{n}.csv"), &text)
    };
    run_on(&db, &["import", &part(1, "S1,S2"), &part(2, "S3,S4"), "--into", "t"]).good();
    let sql = "SELECT count(*) AS n, count(DISTINCT strategy) AS s, max(slot) AS slots FROM t";
    assert_eq!(run_on(&db, &["--format", "csv", "-c", sql]).good(), "n,s,slots\n8,4,2\n");
}

#[test]
fn flags_go_over_the_profile() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let file = write_csv(directory.path(), "a.csv", "When,S1,S2\n01-02-2024,1,2\n03-02-2024,3,4\n");
    let profile = write_csv(directory.path(), "p.toml", "date-column = \"When\"\ndate-order = \"mdy\"\n");
    run_on(&db, &["import", &file, "--into", "t", "--profile", &profile, "--date-order", "dmy"]).good();
    assert_eq!(run_on(&db, &["--format", "csv", "-c", "SELECT min(date) AS d FROM t"]).good(), "d\n2024-02-01\n");
    let wrong = write_csv(directory.path(), "w.toml", "date-ordre = \"dmy\"\n");
    run_on(&db, &["import", &file, "--into", "t", "--profile", &wrong]).refused(2, &["date-ordre", "line 1"]);
}

#[test]
fn logs_hold_every_statement_and_no_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let logs = directory.path().join("logs");
    let secret = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 's3://bucket/x.csv' OPTIONS ('aws.secret_access_key' 'GEHEIM', 'aws.region' 'eu-1')";
    let log_dir = logs.display().to_string();
    run(&["--log-dir", &log_dir, "-c", "SELECT 42 AS answer"]).good();
    run(&["--log-dir", &log_dir, "-c", "SELECT nothing"]).refused(1, &[]);
    run(&["--log-dir", &log_dir, "-c", secret]);
    let read = |prefix: &str| -> String {
        let files = fs::read_dir(&logs).expect("the logs").map(|entry| entry.expect("an entry").path());
        let wanted = files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        wanted.map(|path| fs::read_to_string(path).expect("a log")).collect()
    };
    let (all, errors) = (read("tranchedb.2"), read("tranchedb-errors."));
    let line = all.lines().find(|line| line.contains("SELECT 42 AS answer")).expect("a line per statement");
    assert!(line.contains("rows=1") && line.contains("duration_ms=") && line.contains("bytes=") && line.contains("id="), "{line}");
    assert!(errors.contains("SELECT nothing") && !errors.contains("SELECT 42"), "{errors}");
    assert!(
        all.contains("CREATE EXTERNAL TABLE") && all.contains("eu-1") && !all.contains("GEHEIM") && !errors.contains("GEHEIM"),
        "{all}"
    );
}

#[test]
fn imports_and_generated_data_are_lines_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let (db, logs) = (directory.path().join("db"), directory.path().join("logs"));
    let log_dir = logs.display().to_string();
    let text = "Date,S1,S2\n2024-01-01,1,2\n2024-01-02,3,4\n";
    let file = write_csv(directory.path(), "good.csv", text);
    run_on(&db, &["--log-dir", &log_dir, "import", &file, "--into", "t"]).good();
    run_on(&db, &["--log-dir", &log_dir, "import", &file, "--into", "t"]).good();
    let generate = ["--log-dir", &log_dir, "generate", "strategies", "--strategies", "3", "--periods", "5", "--into", "g"];
    run_on(&db, &generate).good();
    let files = fs::read_dir(&logs).expect("the logs").map(|entry| entry.expect("an entry").path());
    let all: String = files.map(|path| fs::read_to_string(path).expect("a log")).collect();
    let lines: Vec<&str> = all.lines().filter(|line| line.contains("tranchedb::cli")).collect();
    assert_eq!(lines.len(), 3, "{all}");
    let bytes = format!("bytes={}", text.len());
    for (line, parts) in lines.iter().zip([
        ["id=", "duration_ms=", "rows=4", &bytes, "table=\"t\"", "version=0", "good.csv", "status=\"imported\""],
        ["id=", "duration_ms=", "rows=0", &bytes, "table=\"t\"", "version=0", "good.csv", "status=\"already_imported\""],
        ["id=", "duration_ms=", "rows=15", "generate", "table=\"g\"", "version=0", "strategies=3", "periods=5"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} not all in {line}");
    }
}

#[test]
fn verbose_runs_tell_their_statements() {
    let ended = finish(program().args(["-v", "-c", "SELECT 1 AS a"]));
    assert!(ended.stderr.contains("tranchedb::query") && ended.stderr.contains("SELECT 1 AS a"), "{ended:?}");
    assert_eq!(run(&["-c", "SELECT 1 AS a"]).stderr, "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_query_and_leaves_no_file_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("r.csv").display().to_string();
    let endless = "SELECT sum(sqrt(a.value * b.value)) FROM generate_series(1, 1000000) AS a(value) CROSS JOIN generate_series(1, 1000000) AS b(value)";
    let mut command = program();
    command.args(["-c", endless, "-o", &target]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the program starts");
    std::thread::sleep(std::time::Duration::from_millis(1_000));
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 1, "the unfinished file");
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("a signal");
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).trim()), (Some(1), "error: cancelled"));
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0);
}

#[test]
fn commands_of_the_prompt_work_from_standard_input() {
    let out = run_with_input(
        &["--format", "csv"],
        "-- a remark\nCREATE TABLE t AS\n  SELECT 1 AS a, 'x;\n\\d' AS b;\n\\d t\n\\set x 41\nSELECT $x + 1 AS y;\nexit\nSELECT 2 AS never;\n",
    )
    .good();
    assert!(out.contains("a,BIGINT,") && out.contains("y\n42\n") && !out.contains("never"), "{out}");
    let failed = run_with_input(&["--format", "csv"], "\\timing off\nSELECT 1 AS a;\n\nSELECT\n  oops AS b;\nSELECT 3 AS c;\n");
    assert!(failed.stdout.contains("a\n1\n") && !failed.stdout.contains('c'), "{failed:?}");
    let message = failed.refused(1, &["stdin:5:3: error:", "oops"]);
    assert!(message.contains("   5 |   oops AS b;\n         ^"), "{message}");
    run_with_input(&[], "\\d\nSELECT $x;\n").refused(2, &["$x has no value", "\\set x VALUE"]);
    run_with_input(&[], "\\dg\n").refused(2, &["no command \\dg"]);
    run_with_input(&[], "SELECT 1;\n\\e\n").refused(2, &["terminal"]);
}

#[test]
fn a_version_can_be_a_parameter_of_a_script() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    run_on(&db, &["-c", "CREATE TABLE t AS SELECT 1 AS x; INSERT INTO t VALUES (2)"]).good();
    let count = "SELECT count(*) AS n FROM t VERSION AS OF $v";
    assert_eq!(run_on(&db, &["--format", "csv", "-p", "v=0", "-c", count]).good(), "n\n1\n");
    run_on(&db, &["-c", count]).refused(2, &["$v has no value", "-p v="]);
    run_on(&db, &["-p", "v=x", "-c", count]).refused(2, &["whole number"]);
}
