//! The script runner and the scripts in the program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{finish, program, run, run_on};
use crate::support::assert_alike;

/// A database with generated strategies, with regimes.
fn database() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let counts = ["generate", "strategies", "--strategies", "30", "--periods", "120", "--seed", "3"];
    let shape = ["--zeros", "0.1", "--nulls", "0.02", "--constant", "1", "--duplicates", "1", "--regimes", "--into", "mine"];
    run_on(&db, &[&counts[..], &shape[..]].concat()).good();
    (directory, db)
}

fn script(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("the script");
    path.display().to_string()
}

/// Every shipped script but the tour.
fn builtin_names() -> Vec<String> {
    let listing = run(&["run", "--list"]).good();
    let names = listing.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.filter(|name| *name != "tour").map(str::to_owned).collect();
    assert!(names.len() >= 7, "{listing}");
    names
}

#[test]
fn the_tour_answers_ten_questions_on_an_empty_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let first = run_on(&db, &["run", "tour"]).good();
    assert!(first.contains("a sample was generated"), "{first}");
    for question in 1..=10 {
        assert!(first.contains(&format!("\n{question}. ")), "question {question}: {first}");
    }
    assert!(!first.contains("\n0 rows") && first.lines().count() > 80, "{first}");
    let second = run_on(&db, &["run", "tour"]).good();
    assert!(!second.contains("generated"), "{second}");
    assert_eq!(first.split_once("\n1. ").map(|parts| parts.1), second.split_once("\n1. ").map(|parts| parts.1));
}

#[test]
fn every_builtin_script_runs_and_has_the_columns_it_declares() {
    let (_directory, db) = database();
    for name in &builtin_names() {
        let text = run(&["run", "--show", name]).good();
        let declared: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("-- result ")?.split(" : ").next()).collect();
        let out = run_on(&db, &["--format", "csv", "--quiet", "run", name, "-p", "strategies=mine"]).good();
        assert_eq!(out.lines().next().map(|header| header.split(',').collect::<Vec<_>>()), Some(declared), "{name}");
        assert!(out.lines().count() > 2, "{name} found nothing: {out}");
    }
}

#[test]
fn every_builtin_script_has_the_same_answer_without_the_run_operator() {
    let (directory, db) = database();
    let off = script(directory.path(), "off.sql", "SET tranchedb.run_aggregate = false;");
    for name in builtin_names() {
        let answer = |scripts: &[&str]| {
            let arguments = [&["--format", "csv", "--quiet", "run"], scripts, &["-p", "strategies=mine"]].concat();
            run_on(&db, &arguments).good().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_alike(answer(&[&name]), answer(&[&off, &name]), ',', &name);
    }
}

#[test]
fn parameters_have_defaults_and_can_be_given() {
    let (_directory, db) = database();
    let rows = |more: &[&str]| {
        let arguments = [&["--format", "csv", "--quiet", "run", "drawdowns", "-p", "strategies=mine"], more].concat();
        run_on(&db, &arguments).good().lines().count() - 1
    };
    assert_eq!(rows(&[]), 20);
    assert_eq!(rows(&["-p", "limit=3"]), 3);
    run_on(&db, &["run", "drawdowns", "-p", "strategies=mine", "-p", "limits=3"])
        .refused(2, &["limits", "limit", "periods_per_year", "strategies"]);
    run_on(&db, &["run", "drawdowns"]).refused(1, &["there is no table 'strategies'", "-p strategies=TABLE", "mine"]);
    run_on(&db, &["run", "drawdowns", "-p", "strategies=mine; DROP TABLE mine"]).refused(1, &["DROP TABLE"]);
    assert_eq!(rows(&["-p", "limit=1"]), 1, "the table is still there");
}

#[test]
fn metrics_of_a_script_are_those_of_plain_sql() {
    let (_directory, db) = database();
    let script =
        run_on(&db, &["--format", "csv", "--quiet", "run", "risk/tail", "-p", "strategies=mine", "-p", "confidence=0.9", "-p", "limit=1"])
            .good();
    let sql = "SELECT strategy, expected_shortfall(pnl, 0.9) AS es FROM mine GROUP BY strategy ORDER BY es NULLS LAST, strategy LIMIT 1";
    let plain = run_on(&db, &["--format", "csv", "--quiet", "-c", sql]).good();
    let field = |text: &str, i: usize| text.lines().nth(1).and_then(|line| line.split(',').nth(i)).map(str::to_owned);
    assert_eq!((field(&script, 0), field(&script, 3)), (field(&plain, 0), field(&plain, 1)));
}

#[test]
fn unknown_scripts_are_answered_with_near_names() {
    run(&["run", "risk/drawdwns"]).refused(2, &["risk/drawdwns", "risk/drawdowns"]);
    run(&["run", "missing.sql"]).refused(2, &["missing.sql"]);
    assert!(run(&["run", "--show", "tail"]).good().starts_with("-- risk/tail:"));
}

#[test]
fn a_table_without_the_column_a_script_needs_is_told_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    run_on(&db, &["generate", "strategies", "--strategies", "3", "--periods", "5", "--into", "plain"]).good();
    for (name, column) in [("regime/by_regime", "market_regime"), ("regime/confident_only", "regime_confidence")] {
        let need = format!("{name} needs a table with the column {column}");
        let message = run_on(&db, &["run", name, "-p", "strategies=plain"])
            .refused(1, &[&need, ": plain has none", "enhanced CSV", "tranchedb import"]);
        assert!(!message.contains("No field named"), "{message}");
    }
}

#[test]
fn identical_series_are_no_good_quality() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let import = |table: &str, text: &str| {
        let file = directory.path().join(format!("{table}.csv"));
        fs::write(&file, text).expect("the file");
        run_on(&db, &["import", &file.display().to_string(), "--into", table]).good();
        let out = run_on(&db, &["--format", "csv", "--quiet", "run", "data/quality", "-p", &format!("strategies={table}")]).good();
        let fields = out.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        fields.map(|fields| format!("{} {} {}", fields[0], fields[1], fields[fields.len() - 1])).collect::<Vec<_>>()
    };
    // B has the values of A, D those of A in another order, E those of A but for one that is missing.
    let daily = import("daily", "Date,A,B,C,D,E\n2024-01-01,1,1,5,2,1\n2024-01-02,2,2,6,1,2\n2024-01-03,1.5,1.5,7,1.5,\n");
    assert_eq!(daily, ["A identical B", "B identical A", "E gaps ", "C ok ", "D ok "]);
    let slots = import("slots", "Date,Zone,A,B,D\n2024-01-01,Z1,1,1,2\n2024-01-01,Z2,2,2,1\n");
    assert_eq!(slots, ["A identical B", "B identical A", "D ok "]);
}

#[test]
fn a_script_stops_at_its_first_error_and_says_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let file =
        script(directory.path(), "s.sql", "SELECT 1 AS a;\n\n-- two\nSELECT 1,\n  oops AS b\nFROM (VALUES (1)) AS t(x);\nSELECT 3 AS c;\n");
    let ended = run(&["--format", "csv", "run", &file]);
    assert_eq!(ended.stdout, "a\n1\n");
    let message = ended.refused(1, &[&format!("{file}:5:3: error:"), "oops", "failed"]);
    assert!(message.contains("   5 |   oops AS b\n         ^"), "{message}");
    let ended = run(&["--format", "csv", "run", "--keep-going", &file]);
    assert_eq!(ended.stdout, "a\n1\nc\n3\n");
    ended.refused(1, &["1 failure"]);
    run(&["--quiet", "-f", &file]).refused(1, &[&format!("{file}:5:3: error:")]);
}

#[test]
fn a_syntax_error_anywhere_keeps_everything_from_running() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = script(directory.path(), "good.sql", "SELECT 1 AS a;");
    let bad = script(directory.path(), "bad.sql", "SELECT 2 AS b;\nSELECT (2 AS c;\n");
    let ended = run(&["--format", "csv", "run", &good, &bad]);
    assert_eq!(ended.stdout, "");
    ended.refused(1, &[&format!("{bad}:2:")]);
    let ended = run(&["--format", "csv", "run", "--keep-going", &good, &bad, &good]);
    assert_eq!(ended.stdout, "a\n1\na\n1\n");
    ended.refused(1, &[&format!("{bad}:2:"), "failed"]);
}

#[test]
fn scripts_side_by_side_print_in_order_and_unmixed() {
    let directory = tempfile::tempdir().expect("a directory");
    let slow = "SELECT count(*) AS slow FROM generate_series(1, 2000000) AS t(v) WHERE v % 7 = 3;\n";
    let files: Vec<String> = (0..6)
        .map(|i| {
            let first = if i == 0 { slow } else { "" };
            script(
                directory.path(),
                &format!("{i}.sql"),
                &format!("{first}SELECT {i} AS a;\nSELECT value AS v{i} FROM generate_series(1, 500);\n"),
            )
        })
        .collect();
    let scripts: Vec<&str> = files.iter().map(String::as_str).collect();
    let one = run(&[&["--format", "csv", "run"], &scripts[..]].concat()).good();
    let many = run(&[&["--format", "csv", "run", "--jobs", "4"], &scripts[..]].concat());
    assert!(many.stderr.contains("0.sql") && many.stderr.matches("  ok").count() == 6, "{}", many.stderr);
    assert_eq!(many.good(), one);
}

#[test]
fn titles_stand_above_results_for_people() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = script(directory.path(), "t.sql", "--! How many?\nSELECT 1 AS a;\n-- title: And then?\nSELECT 2 AS b;\n");
    let out = run(&["run", &file]).good();
    assert!(out.contains("\nHow many?\n a\n") && out.contains("\nAnd then?\n b\n"), "{out}");
    assert_eq!(run(&["--format", "csv", "run", &file]).good(), "a\n1\nb\n2\n");
}

#[test]
fn a_pause_lies_between_scripts() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = script(directory.path(), "t.sql", "SELECT 1 AS a;");
    let started = std::time::Instant::now();
    run(&["--quiet", "run", "--cooldown", "0.4", &file, &file, &file]).good();
    assert!(started.elapsed() >= std::time::Duration::from_millis(800));
}

#[cfg(unix)]
#[test]
fn the_processor_limit_holds() {
    let directory = tempfile::tempdir().expect("a directory");
    let busy = "SELECT sum(sqrt(a.value * b.value)) AS s FROM generate_series(1, 2400) AS a(value) CROSS JOIN generate_series(1, 2400) AS b(value);\n";
    let file = script(directory.path(), "busy.sql", busy);
    let ended = run(&["run", "--cpu-limit", "20", &file]);
    let used = ended.stderr.lines().find(|line| line.starts_with("processor time")).expect("what was used").to_owned();
    ended.good();
    let percent: u32 =
        used.split(", ").nth(1).and_then(|part| part.split(' ').next()).and_then(|text| text.parse().ok()).expect("a percentage");
    assert!(percent <= 25, "{used}");
}

/// Field `number` (from 1) of `/proc/.../stat`; those behind the name in brackets are counted.
#[cfg(target_os = "linux")]
fn stat_field(path: &Path, number: usize) -> Option<i64> {
    let text = fs::read_to_string(path).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(number - 3)?.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn nice_lowers_the_priority_of_every_thread() {
    let directory = tempfile::tempdir().expect("a directory");
    let busy = "SELECT sum(sqrt(a.value * b.value)) AS s FROM generate_series(1, 1000000) AS a(value) CROSS JOIN generate_series(1, 1000000) AS b(value);\n";
    let file = script(directory.path(), "busy.sql", busy);
    let niceness = |arguments: &[&str]| -> Vec<i64> {
        let mut child = program().args(arguments).stderr(std::process::Stdio::null()).spawn().expect("the program starts");
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("a running program");
        let found = threads.filter_map(|thread| stat_field(&thread.ok()?.path().join("stat"), 19)).collect();
        child.kill().expect("killed");
        child.wait().expect("ended");
        found
    };
    let (plain, nice) = (niceness(&["run", &file]), niceness(&["run", "--nice", &file]));
    assert!(plain.len() > 1 && nice.len() > 1, "the workers run: {plain:?} {nice:?}");
    let usual = plain[0];
    assert!(plain.iter().all(|&n| n == usual) && nice.iter().all(|&n| n == (usual + 10).min(19)), "{plain:?} {nice:?}");
}

/// The program's own account of its processor time, held against the system's of the ended process.
#[cfg(unix)]
#[test]
fn the_processor_time_is_that_of_the_system() {
    let directory = tempfile::tempdir().expect("a directory");
    let busy = "SELECT sum(sqrt(a.value * b.value)) AS s FROM generate_series(1, 2400) AS a(value) CROSS JOIN generate_series(1, 2400) AS b(value);\n";
    let file = script(directory.path(), "busy.sql", busy);
    let command = "TIMEFORMAT='system %U %S'; time \"$0\" run --cpu-limit 50 \"$1\"";
    let ended =
        finish(std::process::Command::new("bash").args(["-c", command, env!("CARGO_BIN_EXE_tranchedb"), &file]).env_remove("TRANCHEDB"));
    let numbers = |start: &str| -> Vec<f64> {
        let line = ended.stderr.lines().find(|line| line.starts_with(start)).expect("an account");
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let (own, system) = (numbers("processor time")[0], numbers("system").iter().sum::<f64>());
    // The start of the process is not counted by the program.
    assert!(own > 0.0 && own <= system + 0.05 && own >= 0.5 * system, "{own} of {system}");
    ended.good();
}

#[test]
fn results_can_be_copied_to_files() {
    let directory = tempfile::tempdir().expect("a directory");
    for ending in ["parquet", "csv", "json"] {
        let target = directory.path().join(format!("r.{ending}")).display().to_string();
        run(&["--quiet", "-c", &format!("COPY (SELECT 1 AS a, 'x' AS b) TO '{target}'")]).good();
        assert_eq!(run(&["--format", "csv", "--quiet", "-c", &format!("SELECT * FROM '{target}'")]).good(), "a,b\n1,x\n", "{ending}");
    }
}
