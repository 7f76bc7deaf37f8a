//! `tranchedb replay`, `tranchedb heavydb check` and statements in HeavyDB's dialect, with the real program.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Run, program, run, run_on, run_with_input};
use crate::support::shared_data;

/// A folder of inputs.
struct Inputs(tempfile::TempDir);

impl Inputs {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a directory"));
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("readable")
    }

    /// Runs `tranchedb replay` in the folder.
    fn replay(&self, arguments: &[&str]) -> Run {
        crate::program::finish(program().current_dir(self.0.path()).arg("replay").args(arguments))
    }

    /// The report of a replay as JSON, whatever its exit code.
    fn report(&self, arguments: &[&str]) -> Value {
        let run = self.replay(&[arguments, &["--report", "json"]].concat());
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    }
}

/// The row of a query in a report.
fn query<'a>(report: &'a Value, id: &str) -> &'a Value {
    let found = report["queries"].as_array().expect("queries").iter().find(|query| query["id"] == id);
    found.unwrap_or_else(|| panic!("no query {id} in {report}"))
}

fn statuses(report: &Value) -> Vec<String> {
    let row = |query: &Value| format!("{} {}", query["id"].as_str().unwrap_or_default(), query["status"].as_str().unwrap_or_default());
    report["queries"].as_array().expect("queries").iter().map(row).collect()
}

const SETUP: &str = "CREATE TABLE trades (id INTEGER, symbol TEXT ENCODING DICT(8), price DOUBLE, day DATE ENCODING DAYS(32));\n\
    INSERT INTO trades VALUES (1, 'a', 10.5, '2024-01-02'), (2, 'b', 20.25, '2024-01-03'), (3, 'a', NULL, '2024-01-03');\n";

const QUERIES: &str = "-- id: sums\nSELECT symbol, SUM(price) FROM trades GROUP BY symbol;\n\
    -- id: logs\nSELECT id, LOG(price) FROM trades WHERE price IS NOT NULL ORDER BY id;\n\
    -- id: never\nSELECT STRING_AGG(symbol, ',') FROM trades;\n\
    -- id: wrong\nSELECT nothing FROM trades;\n\
    SELECT COUNT(*) FROM trades;\n";

/// What HeavyDB answers, but for the count.
const EXPECTED: &str = "{\"id\":\"sums\",\"rows\":[[\"b\",20.25],[\"a\",10.5]]}\n\
    {\"id\":\"logs\",\"rows\":[[1,2.3513752571634776],[2,3.0081547935525483]]}\n\
    {\"id\":\"q:5\",\"rows\":[[4]]}\n{\"id\":\"gone\",\"rows\":[[1]]}\n";

fn small() -> Inputs {
    Inputs::new(&[("setup.sql", SETUP), ("q.sql", QUERIES), ("e.jsonl", EXPECTED)])
}

#[test]
fn every_status_is_told_with_its_reason_and_the_exit_code_is_3() {
    let inputs = small();
    let run = inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "e.jsonl"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let line = |id: &str| run.stdout.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("no {id}: {}", run.stdout));
    assert!(line("sums").contains("same") && line("logs").contains("LOG"), "{}", run.stdout);
    assert!(line("q:5").contains("differs"), "{}", run.stdout);
    assert!(line("never").contains("unsupported") && line("wrong").contains("error"), "{}", run.stdout);
    assert!(run.stdout.contains("5 queries: 2 same, 1 differs, 1 unsupported, 1 error"), "{}", run.stdout);
    assert!(run.stdout.contains("1 of 4 results belong to no query that was run: gone"), "{}", run.stdout);
    let report = inputs.report(&["q.sql", "--setup", "setup.sql", "--expected", "e.jsonl"]);
    assert_eq!(query(&report, "never")["notes"][0], "at 1:8 of the text", "{report}");
    assert_eq!(query(&report, "wrong")["notes"][0], "at 1:8 of the text", "{report}");
    assert_eq!(query(&report, "sums")["features"], serde_json::json!(["fn:SUM", "group_by"]));
    assert_eq!(report["summary"]["counts"]["same"], 2);
}

#[test]
fn the_exit_code_follows_what_is_allowed() {
    let inputs = small();
    let all = ["q.sql", "--setup", "setup.sql", "--expected", "e.jsonl"];
    let with = |more: &[&str]| inputs.replay(&[all.as_slice(), more].concat()).code;
    assert_eq!(with(&["--allow", "unsupported,error"]), Some(3));
    assert_eq!(with(&["--allow", "unsupported,error,differs"]), Some(0));
    assert_eq!(with(&["--only", "sums,l*"]), Some(0));
    assert_eq!(with(&["--only", "never", "--allow", "unsupported"]), Some(0));
    inputs.replay(&["q.sql", "--only", "sums", "--setup", "setup.sql"]).good();
}

#[test]
fn what_cannot_be_read_is_exit_code_1_and_names_its_place() {
    let inputs = small();
    inputs.write("bad.sql", "CREATE TABLE t (a INTEGER);\nCREATE TABLE t2 (a NOTYPE);\n");
    inputs.write("broken.jsonl", "{\"id\":\"sums\",\"rows\":[[1]]}\n{\"id\":\n");
    inputs.write("open.sql", "SELECT 'never ends");
    inputs.write("notes.txt", "hello\n");
    inputs.replay(&["none.log"]).refused(1, &["none.log"]);
    inputs.replay(&["notes.txt"]).refused(1, &["notes.txt: not recognised"]);
    inputs.replay(&["open.sql"]).refused(1, &["open.sql:1", "does not end"]);
    inputs.replay(&["q.sql", "--setup", "none.sql"]).refused(1, &["none.sql"]);
    inputs.replay(&["q.sql", "--setup", "bad.sql"]).refused(1, &["bad.sql, line 2", "hint:"]);
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "broken.jsonl"]).refused(1, &["broken.jsonl:2"]);
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "nowhere"]).refused(1, &["nowhere"]);
    fs::create_dir(inputs.path("csv")).expect("a directory");
    inputs.write("csv/sums.csv", "symbol,s\n\"a\",\"1\",\"2\"\n");
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "csv"]).refused(1, &["sums.csv"]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let inputs = small();
    for arguments in [
        &["q.sql", "--set", "nothing=1"][..],
        &["q.sql", "--set", "null_div_by_zero=perhaps"],
        &["q.sql", "--since", "yesterday"],
        &["q.sql", "--timeout", "0"],
        &["q.sql", "--tolerance", "-1"],
        &["q.sql", "--jobs", "0"],
        &["q.sql", "--report", "xml"],
        &["q.sql", "--allow", "same"],
        &["q.sql", "--capture", "c.sql", "--expected", "e.jsonl"],
        &["q.sql", "--setup", "setup.sql", "--explain", "sum"],
        &[],
    ] {
        let run = inputs.replay(arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
    }
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--explain", "sum"]).refused(2, &["did you mean sums?"]);
}

#[test]
fn results_may_be_csv_heavysql_or_our_own_rows() {
    let inputs = small();
    fs::create_dir(inputs.path("csv")).expect("a directory");
    inputs.write("csv/sums.csv", "symbol,EXPR$1\n\"a\",\"10.5\"\n\"b\",\"20.25\"\n");
    inputs.write("csv/logs.txt", "id|EXPR$1\n1|2.351375257163478\n2|3.008154793552548\n2 rows returned.\n");
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "csv", "--only", "sums,logs"]).good();
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--results", "ours.jsonl", "--allow", "error,unsupported"]).good();
    let ours = inputs.read("ours.jsonl");
    assert_eq!(ours.lines().count(), 5, "{ours}");
    assert!(ours.contains("{\"id\":\"never\",\"unsupported\":"), "{ours}");
    let report = inputs.report(&["q.sql", "--setup", "setup.sql", "--expected", "ours.jsonl", "--only", "sums,logs,q*"]);
    assert_eq!(statuses(&report), ["sums same", "logs same", "q:5 same"]);
}

#[test]
fn one_cell_of_another_value_differs() {
    let inputs = small();
    for (from, to) in [("20.25", "20.27"), ("[\"b\"", "[\"c\""), ("2.3513", "2.3537"), ("[2,3.0", "[3,3.0")] {
        inputs.write("mutated.jsonl", &EXPECTED.replace(from, to));
        let report = inputs.report(&["q.sql", "--setup", "setup.sql", "--expected", "mutated.jsonl", "--only", "sums,logs"]);
        assert_eq!(report["summary"]["counts"]["differs"], 1, "{from} -> {to}: {report}");
    }
}

#[test]
fn an_explanation_shows_texts_plan_and_both_results() {
    let inputs = small();
    inputs.write("mutated.jsonl", &EXPECTED.replace("3.0081", "3.1081"));
    let run = inputs.replay(&["q.sql", "--setup", "setup.sql", "--expected", "mutated.jsonl", "--explain", "logs"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    for part in [
        "HeavyDB's text\n  SELECT id, LOG(price)",
        "after the rewrite",
        "LOG",
        "\nplan\n",
        "first difference: row 2",
        ">2",
        "3.1081547935525484",
    ] {
        assert!(run.stdout.contains(part), "'{part}' is not in\n{}", run.stdout);
    }
    let run = inputs.replay(&["q.sql", "--setup", "setup.sql", "--explain", "never", "-o", "why.txt"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
    assert!(inputs.read("why.txt").contains("unsupported (q.sql:6)"), "{}", inputs.read("why.txt"));
}

#[test]
fn a_capture_writes_statements_and_runs_nothing() {
    let inputs = Inputs::new(&[(
        "q.sql",
        "CREATE TABLE t (a INTEGER);\n-- id: one\nSELECT 1 -- the end\n;\nSELECT a, 'it''s' FROM nowhere;\n-- id: a/b\nSELECT 2;\n-- id: secret\nSELECT * FROM t WHERE password = 'pw';\n",
    )]);
    let told = inputs.replay(&["q.sql", "--capture", "copy.sql"]).good();
    assert!(told.contains("2 statements written to copy.sql") && told.contains("cannot be the name of a file"), "{told}");
    let text = inputs.read("copy.sql");
    assert!(text.contains("COPY (SELECT 1 -- the end\n) TO 'one.csv' WITH (header='true', quoted='true');"), "{text}");
    assert!(text.contains("COPY (SELECT a, 'it''s' FROM nowhere) TO 'q:3.csv'"), "{text}");
    assert!(!text.contains("pw"), "{text}");
}

/// A record of a server's log.
fn record(at: &str, call: &str, names: &[&str], values: &[&str]) -> String {
    let list = |texts: &[&str]| {
        let quoted: Vec<String> = texts.iter().map(|text| format!("\"{}\"", text.replace('"', "\"\""))).collect();
        format!("{{{}}}", quoted.join(","))
    };
    format!("{at} I 4711 17 3 DBHandler.cpp:1555 stdlog{call} {} {}\n", list(names), list(values))
}

const NAMES: &[&str] = &["query_str", "client", "nonce", "execution_time_ms", "total_time_ms"];

/// A log with every trap: line ends, quotes and braces in texts, failed and open calls, hidden passwords, messages between, other
/// functions, the same query again, a cut-off end.
fn log() -> String {
    let mut log = String::from("2024-03-01T09:29:59.000001 I 4711 0 0 CommandLineOptions.cpp:1 HeavyDB started\nand a line of it\n");
    let mut call = |at: &str, head: &str, sql: &str, ms: Option<&str>| match ms {
        Some(ms) => log.push_str(&record(at, head, NAMES, &[sql, "http:10.0.0.7", "", "1", ms])),
        None => log.push_str(&record(at, head, &NAMES[..3], &[sql, "http:10.0.0.7", ""])),
    };
    call("2024-03-01T09:30:00.000001", "_begin sql_execute 1 0 heavyai admin 507-aBcD", "SELECT 1", None);
    call(
        "2024-03-01T09:30:00.000002",
        " sql_execute 1 12 heavyai admin 507-aBcD",
        "SELECT COUNT(*)\n FROM \"Trades\" WHERE symbol <> '{\",\"}'",
        Some("20"),
    );
    call(
        "2024-03-01T09:30:01.000000",
        " sql_execute 2 12 heavyai admin 507-aBcD",
        "SELECT  COUNT(*) FROM \"Trades\" WHERE symbol <> '{\",\"}';",
        Some("40"),
    );
    call("2024-03-01T09:30:02.000000", " sql_execute 3 12 heavyai admin 507-aBcD", "SELECT nothing FROM nowhere", None);
    call(
        "2024-03-01T09:30:03.000000",
        " sql_execute 4 12 heavyai admin 507-aBcD",
        "INSERT INTO Trades VALUES (4, 'd', 1.0, '2024-01-04')",
        Some("9"),
    );
    call(
        "2024-03-01T09:30:04.000000",
        " sql_execute 5 12 heavyai admin 507-aBcD",
        "SELECT COUNT(*) FROM \"Trades\" WHERE symbol <> '{\",\"}'",
        Some("20"),
    );
    call(
        "2024-03-01T09:30:05.000000",
        " sql_execute 6 12 heavyai admin 507-aBcD",
        "SELECT CURRENT_USER, EXTRACT(EPOCH FROM NOW())",
        Some("3"),
    );
    call("2024-03-01T09:30:06.000000", " sql_execute 7 12 other bob 508-aBcD", "SELECT 2", Some("3"));
    call(
        "2024-03-01T09:30:07.000000",
        " sql_execute 8 12 heavyai admin 507-aBcD",
        "COPY t FROM 's3://b' WITH (s3_secret_key='XXXXXXXX')",
        Some("3"),
    );
    call("2024-03-01T09:30:08.000000", " sql_execute 9 12 heavyai admin 507-aBcD", "CREATE USER eve (password = 'topsecret')", Some("3"));
    call("2024-03-01T09:30:09.000000", " render_vega 10 12 heavyai admin 507-aBcD", "SELECT 1", Some("3"));
    call("2024-03-01T09:30:10.000000", "_begin sql_execute 11 0 heavyai admin 507-aBcD", "SELECT 'never ends'", None);
    log.push_str("2024-03-01T09:30:11.000000 I 4711 17 3 DBHandler.cpp:1 stdlog sql_execute_df 12 77 heavyai admin 507-aBcD {\"query_str\"} {\"SELECT 3\"}\n");
    log.push_str("2024-03-01T09:30:12.000000 I 4711 17 3 DBHandler.cpp:1 stdlog connect 13 1    {} {}\n");
    log.push_str(
        "2024-03-01T09:30:13.000000 I 4711 17 3 DBHandler.cpp:1 stdlog sql_execute 14 1 heavyai admin 5 {\"query_str\"} {\"SELECT 'cut",
    );
    log
}

#[test]
fn a_log_with_every_trap_is_replayed() {
    let inputs = Inputs::new(&[("setup.sql", SETUP), ("heavydb.INFO", &log())]);
    let report = inputs.report(&["heavydb.INFO", "--setup", "setup.sql"]);
    let row = |sql: &str| {
        let queries = report["queries"].as_array().expect("queries");
        let found = queries.iter().find(|query| query["sql"].as_str().is_some_and(|text| text.starts_with(sql)));
        found.unwrap_or_else(|| panic!("no {sql}: {report}"))
    };
    let count = row("SELECT COUNT(*)");
    assert_eq!((&count["status"], &count["logged_ms"], &count["occurrences"]), (&"ran".into(), &30.0.into(), &2.into()), "{report}");
    assert_eq!(row("SELECT nothing")["reason"], "HeavyDB failed it: the log has no times");
    assert_eq!(row("INSERT")["reason"], "it changes data: --allow-writes runs it, in memory");
    assert_eq!(row("SELECT 3")["logged_ms"], 77.0);
    assert_eq!(row("COPY t")["status"], "skipped");
    assert_eq!(row("SELECT 'never ends'")["reason"], "the call never ended in the log");
    assert_eq!(report["inputs"][0]["broken"], 1, "{report}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("calls to 2 databases (heavyai, other)") && notes.contains("skipped: HeavyDB failed it"), "{notes}");
    assert!(!report.to_string().contains("topsecret"), "{report}");
}

#[test]
fn filters_and_writes_choose_what_is_replayed() {
    let inputs = Inputs::new(&[("setup.sql", SETUP), ("heavydb.INFO", &log())]);
    let count = |arguments: &[&str]| {
        let report = inputs.report(&[&["heavydb.INFO", "--setup", "setup.sql"], arguments].concat());
        report["summary"]["counts"]["ran"].as_u64().unwrap_or(0)
    };
    assert_eq!(count(&["--database", "other"]), 1);
    assert_eq!(count(&["--user", "bob"]), 1);
    assert_eq!(count(&["--since", "2024-03-01T09:30:05", "--until", "2024-03-01T09:30:06"]), 1);
    let report = inputs.report(&["heavydb.INFO", "--setup", "setup.sql", "--allow-writes", "--results", "r.jsonl"]);
    let again: Vec<String> = statuses(&report).into_iter().filter(|status| status.contains("#2 ran")).collect();
    assert_eq!(again.len(), 1, "{report}");
    let results = inputs.read("r.jsonl");
    assert!(results.contains("[[3]]") && results.contains("[[4]]"), "{results}");
    assert!(results.contains("[[\"admin\",1709285405]]"), "the record's user and time: {results}");
}

#[test]
fn a_packed_log_and_a_cut_archive_are_read_as_far_as_they_go() {
    use std::io::Write as _;
    let inputs = Inputs::new(&[]);
    let mut packed = flate2_of(&log());
    fs::File::create(inputs.path("heavydb.INFO.gz")).and_then(|mut file| file.write_all(&packed)).expect("written");
    assert!(inputs.report(&["heavydb.INFO.gz"])["queries"].as_array().is_some_and(|queries| queries.len() > 5));
    packed.truncate(packed.len() / 2);
    fs::write(inputs.path("cut.gz"), &packed).expect("written");
    assert_eq!(inputs.replay(&["cut.gz"]).code, Some(1), "what the archive held behind the cut is not replayed");
    let report = inputs.report(&["cut.gz"]);
    assert!(report["inputs"][0]["problems"].to_string().contains("the rest of the file cannot be read"), "{report}");
}

#[test]
fn results_that_fit_no_query_prove_nothing() {
    let inputs = Inputs::new(&[("q.sql", "SELECT 1;\n"), ("e.jsonl", "{\"id\":\"other\",\"rows\":[[1]]}\n")]);
    let run = inputs.replay(&["q.sql", "--expected", "e.jsonl"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stdout.contains("1 of 1 results belong to no query"), "{run:?}");
}

#[test]
fn a_change_that_heavydb_refused_must_fail_here_too() {
    let inputs = Inputs::new(&[
        ("q.sql", "-- id: make\nCREATE TABLE t (i INT);\n-- id: twice\nCREATE TABLE t (i INT);\n-- id: big\nINSERT INTO t VALUES (1);\n"),
        ("e.jsonl", "{\"id\":\"twice\",\"error\":\"exists\"}\n{\"id\":\"big\",\"error\":\"overflow\"}\n"),
    ]);
    let report = inputs.report(&["q.sql", "--expected", "e.jsonl"]);
    assert_eq!(statuses(&report), ["twice same", "big differs"], "{report}");
}

/// A gzip archive without compression: stored blocks.
fn flate2_of(text: &str) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let length = u16::try_from(text.len()).expect("a short text");
    packed.push(1);
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(text.as_bytes());
    let mut crc = !0_u32;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    packed.extend((!crc).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

#[test]
fn jobs_change_nothing_but_the_times() {
    let mut sql = String::new();
    for n in 0..40 {
        writeln!(sql, "-- id: a{n}\nSELECT {n} + COUNT(*) FROM trades;").expect("text grows");
        if n % 10 == 9 {
            writeln!(sql, "INSERT INTO trades VALUES ({n}, 'x', 1.0, '2024-02-01');").expect("text grows");
        }
    }
    let inputs = Inputs::new(&[("setup.sql", SETUP), ("q.sql", &sql)]);
    inputs.replay(&["q.sql", "--setup", "setup.sql", "--results", "one.jsonl"]).good();
    let report = inputs.report(&["q.sql", "--setup", "setup.sql", "--jobs", "4", "--results", "four.jsonl"]);
    assert_eq!(inputs.read("one.jsonl"), inputs.read("four.jsonl"));
    assert!(inputs.read("one.jsonl").ends_with("{\"id\":\"a39\",\"columns\":[\"EXPR$0\"],\"rows\":[[45]]}\n"));
    assert!(report["notes"].to_string().contains("4 queries ran at the same time"), "{report}");
}

#[test]
fn the_report_file_has_the_form_of_its_ending_and_appears_whole() {
    let inputs = small();
    let all = ["q.sql", "--setup", "setup.sql", "--expected", "e.jsonl"];
    for (file, start) in [("r.json", "{\"tool\":"), ("r.xml", "<?xml"), ("r.txt", "id ")] {
        let run = inputs.replay(&[all.as_slice(), &["-o", file]].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{run:?}");
        assert!(inputs.read(file).starts_with(start), "{file}: {}", inputs.read(file));
    }
    inputs.replay(&["none.sql", "-o", "never.json"]).refused(1, &["none.sql"]);
    assert!(!inputs.path("never.json").exists());
}

#[test]
fn what_changes_say_is_told_once() {
    let mut load = "CREATE TABLE small (d TEXT ENCODING DICT(8));\n".to_owned();
    for n in 0..258 {
        writeln!(load, "INSERT INTO small VALUES ('v{n}');").expect("text grows");
    }
    let inputs = Inputs::new(&[("load.sql", &load), ("q.sql", "SELECT COUNT(d) FROM small;")]);
    let report = inputs.report(&["q.sql", "--setup", "load.sql", "--results", "r.jsonl"]);
    let notes = report["notes"].as_array().expect("notes");
    assert!(notes.len() == 1 && notes[0].as_str().is_some_and(|note| note.starts_with("load.sql:257 and 2 more statements: ")), "{report}");
    assert!(inputs.read("r.jsonl").contains("[[255]]"));
}

#[test]
fn without_guards_nothing_is_a_pass() {
    let inputs = small();
    let report = inputs.report(&["q.sql", "--setup", "setup.sql", "--expected", "e.jsonl", "--only", "sums", "--set", "guards=off"]);
    assert_eq!(statuses(&report), ["sums ran"]);
    assert!(report["summary"]["pass_rate"].is_null() && report["notes"].to_string().contains("guards were off"), "{report}");
}

#[test]
fn a_timeout_is_an_error_and_flags_of_a_query_are_its_own() {
    let inputs = Inputs::new(&[(
        "q.jsonl",
        "{\"id\":\"zero\",\"sql\":\"SELECT 1 / 0\",\"server_flags\":[\"null-div-by-zero\"]}\n{\"id\":\"fails\",\"sql\":\"SELECT 1 / 0\"}\n",
    )]);
    let report = inputs.report(&["q.jsonl"]);
    assert_eq!(statuses(&report), ["zero ran", "fails error"]);
    let report = inputs.report(&["q.jsonl", "--set", "null_div_by_zero=true"]);
    assert_eq!(statuses(&report), ["zero ran", "fails ran"]);
    inputs.write("errors.jsonl", "{\"id\":\"fails\",\"error\":\"Division by zero\"}\n{\"id\":\"zero\",\"rows\":[[null]]}\n");
    inputs.replay(&["q.jsonl", "--expected", "errors.jsonl"]).good();
    inputs.write("long.sql", "SELECT COUNT(*) FROM TABLE(generate_series(1, 100000)) a, TABLE(generate_series(1, 100000)) b;");
    let report = inputs.report(&["long.sql", "--timeout", "0.2"]);
    let row = &report["queries"][0];
    assert_eq!((&row["status"], &row["reason"]), (&"error".into(), &"not done within 0.2 s".into()), "{report}");
}

#[test]
fn a_check_says_what_would_change_and_runs_nothing() {
    let inputs = Inputs::new(&[(
        "old.sql",
        "CREATE TABLE t (a INTEGER, b TEXT ENCODING DICT(32));\nINSERT INTO t VALUES (1, 'x');\nSELECT a FROM t;\n  SELECT CAST(a AS TEXT) FROM t;\n\
         SELECT x\n  FROM elsewhere;\nSELECT a,\n  STRING_AGG(b, ',') FROM t;\nSELECT c FROM t;\nGRANT ALL ON TABLE t TO me;\n\
         CREATE USER u (password = 'topsecret');\n",
    )]);
    let check =
        |arguments: &[&str]| crate::program::finish(program().current_dir(inputs.0.path()).args(["heavydb", "check"]).args(arguments));
    let found = check(&["old.sql"]);
    assert_eq!(found.code, Some(3), "{found:?}");
    for part in [
        "old.sql:4:3: changed: SELECT CAST(a AS TEXT) FROM t\n    CAST",
        "table elsewhere is not known here",
        "old.sql:8:3: unsupported: SELECT a, STRING_AGG(b, ',') FROM t\n",
        "old.sql:9:8: error: SELECT c FROM t\n",
        "old.sql:10:1: no effect: GRANT",
        "1 unsupported, 1 error; nothing was run",
    ] {
        assert!(found.stdout.contains(part), "'{part}' is not in\n{}", found.stdout);
    }
    assert!(!found.stdout.contains("topsecret"), "{}", found.stdout);
    let json: Value = serde_json::from_str(&check(&["old.sql", "--report", "json"]).stdout).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(9));
    inputs.write("good.sql", "SELECT 1;");
    let found = check(&["good.sql"]).good();
    assert!(found.ends_with("1 statements: 1 same; nothing was run\n"), "{found}");
    check(&["none.sql"]).refused(1, &["none.sql"]);
    check(&[]).refused(2, &[]);
}

#[test]
fn logs_and_functions_are_tables() {
    let inputs = Inputs::new(&[("heavydb.INFO", &log())]);
    let sql = format!(
        "SELECT count(*), count(DISTINCT \"user\"), count(total_ms), count(CASE WHEN NOT ok THEN 1 END), count(problem) FROM heavydb_log('{}')",
        inputs.path("heavydb.INFO").display()
    );
    assert_eq!(run(&["--format", "csv", "--quiet", "-c", &sql]).good().lines().nth(1), Some("13,2,9,1,1"));
    let sql = format!("SELECT query FROM heavydb_log('{}') WHERE query LIKE '%topsecret%'", inputs.path("heavydb.INFO").display());
    assert_eq!(run(&["--format", "csv", "--quiet", "-c", &sql]).good(), "query\n");
    run(&["-c", "SELECT * FROM heavydb_log('nowhere.log')"]).refused(1, &["nowhere.log: cannot be read"]);
    run(&["-c", "SELECT * FROM heavydb_log()"]).refused(1, &["needs the path"]);
    let sql = "SELECT name, kind, action, detail FROM heavydb_functions() WHERE name IN ('LOG', 'CORR', 'ROW_NUMBER') ORDER BY 1";
    let found = run(&["--format", "csv", "--quiet", "-c", sql]).good();
    assert!(found.contains("CORR,aggregate,own") && found.contains("LOG,scalar,") && found.contains("ROW_NUMBER,window,"), "{found}");
    let listed = run_with_input(&[], "\\df heavydb\n\\df heavydb_log\n").good();
    assert!(listed.contains("heavydb_functions") && listed.contains("heavydb_log('path')"), "{listed}");
}

#[test]
fn settings_of_the_dialect_are_obeyed_and_shown() {
    let heavy = |sql: &str| run(&["--dialect", "heavydb", "--format", "csv", "--quiet", "-c", sql]);
    heavy("SELECT 1 / 0").refused(1, &["ivision by zero"]);
    assert_eq!(heavy("SET heavydb.null_div_by_zero = true; SELECT 1 / 0 AS x").good(), "x\n\n");
    assert_eq!(heavy("SET heavydb.user = 'Bob'; SELECT CURRENT_USER AS x").good(), "x\nBob\n");
    assert_eq!(heavy("SET heavydb.now = '2024-03-01 09:30:00'; SELECT NOW() AS x").good(), "x\n2024-03-01T09:30:00\n");
    assert_eq!(heavy("SET heavydb.database = 'd'; SHOW DATABASES").good(), "Database,Owner\nd,admin\n");
    heavy("SET heavydb.nothing = 1").refused(1, &["null_div_by_zero, bigint_count, user, database, now, guards"]);
    heavy("SET heavydb.guards = 'perhaps'").refused(1, &["true or false"]);
    assert!(run(&["-c", "SHOW heavydb.user"]).good().contains("admin"));
}

#[test]
fn statements_of_the_dialect_say_where_they_fail_and_what_they_note() {
    let heavy = |sql: &str| run(&["--dialect", "heavydb", "-c", sql]);
    heavy("SELECT 1;\nSELECT a,\n  STRING_AGG(b, ',') FROM t").refused(1, &["   3 |   STRING_AGG", "is not given in HeavyDB's dialect"]);
    heavy("SELECT 1 +").refused(1, &["found: EOF\n   1 | SELECT 1 +\n                 ^"]);
    heavy("CREATE TABLE t (a INTEGER);\nSELECT a, nope FROM t").refused(1, &["   2 | SELECT a, nope FROM t\n                 ^"]);
    let noted = heavy("GRANT ALL ON TABLE t TO me");
    assert_eq!((noted.code, noted.stderr.as_str()), (Some(0), "note: there are no users and roles here\n"), "{noted:?}");
    let quiet = run(&["--dialect", "heavydb", "--quiet", "-c", "GRANT ALL ON TABLE t TO me"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""), "{quiet:?}");
}

#[test]
fn tables_of_the_dialect_are_seen_by_both() {
    let made = "SET tranchedb.dialect = 'heavydb'; CREATE TABLE Quotes (a INTEGER, \"Day\" DATE); INSERT INTO quotes VALUES (1, '2024-01-02'), (2, NULL); \
                CREATE VIEW big AS SELECT a, LOG(a) AS l FROM quotes WHERE a > 1; SET tranchedb.dialect = 'tranchedb';";
    let csv = |sql: &str| run(&["--format", "csv", "--quiet", "-c", &format!("{made}{sql}")]);
    assert_eq!(csv("SELECT a, day FROM quotes ORDER BY a").good(), "a,day\n1,2024-01-02\n2,\n");
    assert_eq!(csv("SELECT a, round(l, 4) AS l FROM big").good(), "a,l\n2,0.6931\n");
    assert!(csv("SELECT table_name FROM information_schema.tables").good().contains("quotes"));
    csv("INSERT INTO quotes VALUES (3, NULL)").refused(1, &["was made in HeavyDB's dialect", "hint: SET tranchedb.dialect"]);
    csv("DROP TABLE quotes").refused(1, &["was made in HeavyDB's dialect"]);
    csv("CREATE TABLE quotes AS SELECT 1 AS x").refused(1, &["was made in HeavyDB's dialect"]);
    csv("SELECT * FROM quote").refused(1, &["did you mean 'quotes'?"]);
    let folder = tempfile::tempdir().expect("a directory");
    run_on(folder.path(), &["-c", "CREATE TABLE own AS SELECT 7 AS x"]).good();
    let both = "CREATE TABLE h (a INTEGER); INSERT INTO h VALUES (7); SELECT x FROM own JOIN h ON h.a = own.x";
    assert!(run_on(folder.path(), &["--dialect", "heavydb", "-c", both]).good().contains('7'));
}

#[test]
fn the_prompt_takes_commands_of_heavysql() {
    let input = "CREATE TABLE Trades (a INTEGER, b TEXT ENCODING DICT(32));\nCREATE TABLE other (a INTEGER);\nCREATE VIEW v AS SELECT a FROM trades;\n\
                 \\t tra\n\\v\n\\d trades\n\\l\n\\version\n\\notiming\n\\cpu\n\\gpu\n\\status\n\\db\n\\memory_summary\n\\q\n";
    let told = run_with_input(&["--dialect", "heavydb"], input).good();
    for part in [
        "trades",
        "CREATE TABLE Trades (\n  a INTEGER,\n  b TEXT ENCODING DICT(32));",
        "heavyai",
        "TrancheDB ",
        "timing is off",
        "one process",
    ] {
        assert!(told.contains(part), "'{part}' is not in\n{told}");
    }
    assert!(!told.split("CREATE TABLE Trades").next().unwrap_or_default().contains("other"), "\\t takes a pattern: {told}");
}

#[tokio::test]
async fn replays_are_kept_with_the_database() {
    let inputs = small();
    let directory = tempfile::tempdir().expect("a directory");
    let location = directory.path().to_str().expect("a path").to_owned();
    let options = tranchedb::heavydb::ReplayOptions {
        inputs: vec![inputs.path("q.sql")],
        setup: vec![inputs.path("setup.sql")],
        expected: Some(inputs.path("e.jsonl")),
        ..Default::default()
    };
    for _ in 0..2 {
        let engine = tranchedb::Engine::open(&location).await.expect("an engine");
        let report = engine.replay(&options, None, |_| {}).await.expect("a replay");
        assert!(!report.notes.iter().any(|note| note.contains("not kept")), "{:?}", report.notes);
    }
    let engine = tranchedb::Engine::open(&location).await.expect("an engine");
    let sql = "SELECT replay, status, count(*) FROM system.replay_results WHERE our_ms > 0 OR our_ms IS NULL GROUP BY 1, 2 ORDER BY 1, 2";
    let one = ["1|differs|1", "1|error|1", "1|same|2", "1|unsupported|1"].map(str::to_owned);
    let two = one.clone().map(|line| line.replacen('1', "2", 1));
    assert_eq!(crate::support::rows(&engine, sql).await, [one, two].concat());
    let row = crate::support::row(&engine, "SELECT reason, features FROM system.replay_results WHERE replay = 2 AND id = 'never'").await;
    assert!(row.contains("STRING_AGG") && row.contains("fn:STRING_AGG"), "{row}");
    let kept = directory.path().join("_tranchedb/replays");
    let first = std::fs::read_dir(&kept).expect("a folder").next().expect("a file").expect("a file").path();
    std::fs::write(first, "{\"id\":").expect("a damaged file");
    let damaged = engine.sql("SELECT count(*) FROM system.replay_results").await.expect("a plan").collect().await;
    assert!(damaged.expect_err("a damaged file").to_string().contains("is damaged"));
}

/// The corpus of HeavyDB's own tests: how many of its queries must be the same; the numbers may only rise.
const CORPUS: &[(&str, &[&str], u64)] =
    &[("core", &["core"], 446), ("extra", &["core", "extra"], 270), ("asserted", &["core", "asserted"], 353)];

fn corpus(data: &Path, name: &str, folders: &[&str], more: &[&str]) -> Value {
    let mut command = program();
    command.args(["--memory-limit", "2GB"]).arg("replay").arg(data.join(name).join("queries.jsonl"));
    for folder in folders {
        for file in ["schema.sql", "load.sql"] {
            command.arg("--setup").arg(data.join(folder).join(file));
        }
    }
    command.arg("--expected").arg(data.join(name).join("expected.jsonl")).args(["--report", "json", "--quiet"]).args(more);
    let run = crate::program::finish(&mut command);
    assert!(matches!(run.code, Some(0 | 3)), "{name}: {}", run.stderr);
    serde_json::from_str(&run.stdout).expect("JSON")
}

/// What may not depend on threads.
fn judged(report: &Value) -> Vec<Value> {
    let facts = |query: &Value| {
        serde_json::json!([query["id"], query["status"], query["rows"], query["first_difference"], query["reason"], query["rules"]])
    };
    report["queries"].as_array().expect("queries").iter().map(facts).collect()
}

#[test]
fn the_corpus_of_heavydbs_own_tests_is_the_same_on_any_number_of_threads() {
    let Some(data) = shared_data("heavydb") else { return };
    for (name, folders, least) in CORPUS {
        let one = corpus(&data, name, folders, &["--threads", "1"]);
        let four = corpus(&data, name, folders, &["--threads", "4", "--jobs", "2"]);
        let counts = &one["summary"]["counts"];
        assert!(counts["differs"].as_u64().unwrap_or(0) == 0, "{name}: {counts}");
        assert!(counts["same"].as_u64() >= Some(*least), "{name}: {counts}");
        for (a, b) in judged(&one).iter().zip(judged(&four)) {
            assert_eq!(*a, b, "{name}");
        }
    }
}
