//! `COPY (...) TO`: the target appears whole or stays as it was.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{finish, program, run};

/// A query that fails after most of its rows have been handed over.
const FAILS_LATE: &str = "SELECT value, 1 / (value - 900000) AS x FROM generate_series(1, 1000000)";

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn copy(query: &str, target: &Path, more: &str) -> String {
    format!("COPY ({query}) TO '{}' {more}", target.display())
}

#[test]
fn a_query_that_fails_leaves_the_file_of_before_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    for ending in ["parquet", "csv", "json", "arrow"] {
        let target = folder.path().join(format!("r.{ending}"));
        run(&["-c", &copy(FAILS_LATE, &target, "")]).refused(1, &["ivide by zero"]);
        assert!(names(folder.path()).is_empty(), "{ending}: {:?}", names(folder.path()));
        run(&["-c", &copy("SELECT 7 AS x", &target, "")]).good();
        let before = fs::read(&target).expect("the file");
        run(&["-c", &copy(FAILS_LATE, &target, "")]).refused(1, &["ivide by zero"]);
        assert_eq!(fs::read(&target).expect("the file"), before, "{ending}");
        assert_eq!(names(folder.path()), [format!("r.{ending}")]);
        run(&["-c", &copy("SELECT 8 AS x", &target, "")]).good();
        assert_ne!(fs::read(&target).expect("the file"), before, "{ending}");
        fs::remove_file(target).expect("removed");
    }
}

#[test]
fn a_query_that_fails_leaves_the_folder_of_before_or_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("r");
    let stored = "STORED AS PARQUET PARTITIONED BY (part)";
    let failing = FAILS_LATE.replace("SELECT value", "SELECT value, value % 3 AS part");
    run(&["-c", &copy(&failing, &target, stored)]).refused(1, &["ivide by zero"]);
    assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    run(&["-c", &copy("SELECT 1 AS value, 2 AS x, 0 AS part", &target, stored)]).good();
    run(&["-c", &copy(&failing, &target, stored)]).refused(1, &["ivide by zero"]);
    assert_eq!((names(folder.path()), names(&target)), (vec!["r".to_owned()], vec!["part=0".to_owned()]));
    assert_eq!(names(&target.join("part=0")).len(), 1);
    run(&["-c", &copy("SELECT 3 AS value, 2 AS x, 0 AS part", &target, stored)]).good();
    let read = format!("SELECT sum(value) AS s, count(*) AS n FROM '{}'", target.display());
    assert_eq!(run(&["--format", "csv", "-c", &read]).good(), "s,n\n4,2\n");
    run(&["-c", &format!("COPY (SELECT 1 AS x WHERE false) TO '{}/empty' STORED AS CSV", folder.path().display())]).good();
    assert_eq!(names(folder.path()), ["r"]);
}

#[test]
fn several_files_of_one_folder_are_read_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("r");
    run(&["-c", &copy("SELECT value FROM generate_series(1, 100000)", &target, "STORED AS CSV")]).good();
    let read = format!("SELECT count(*) AS n FROM '{}'", target.display());
    assert_eq!(run(&["--format", "csv", "-c", &read]).good(), "n\n100000\n");
    assert_eq!(names(folder.path()), ["r"]);
}

#[test]
fn the_count_is_told_and_explain_analyze_writes_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("ä *[1] %20.csv");
    assert_eq!(run(&["--format", "csv", "-c", &copy("SELECT value FROM generate_series(1, 5)", &target, "")]).good(), "count\n5\n");
    assert_eq!(names(folder.path()), ["ä *[1] %20.csv"]);
    let analysed = folder.path().join("b.csv");
    let plan = run(&["--format", "csv", "-c", &format!("EXPLAIN ANALYZE {}", copy("SELECT 1 AS x", &analysed, ""))]).good();
    assert!(plan.contains("DataSinkExec"), "{plan}");
    assert_eq!(fs::read_to_string(&analysed).expect("the file"), "x\n1\n");
    run(&["-c", &format!("EXPLAIN {}", copy("SELECT 1 AS x", &folder.path().join("c.csv"), ""))]).good();
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_relative_target_and_a_linked_one_lie_where_they_are_said_to() {
    let folder = tempfile::tempdir().expect("a folder");
    finish(program().current_dir(folder.path()).args(["-c", "COPY (SELECT 1 AS x) TO 'r.csv'"])).good();
    assert_eq!(names(folder.path()), ["r.csv"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("r.csv"), folder.path().join("link.csv")).expect("a link");
        finish(program().current_dir(folder.path()).args(["-c", "COPY (SELECT 2 AS x) TO 'link.csv'"])).good();
        assert_eq!(fs::read_to_string(folder.path().join("r.csv")).expect("the file"), "x\n2\n");
        assert!(folder.path().join("link.csv").is_symlink());
    }
}

/// A folder in which nothing can be made, not even by the administrator.
#[cfg(unix)]
fn read_only(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let locked = folder.join("locked");
    fs::create_dir(&locked).expect("a folder");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("locked");
    if fs::write(locked.join("probe"), "").is_ok() { PathBuf::from("/sys") } else { locked }
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_missing_or_read_only_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("no/such");
    let message = run(&["-c", &copy("SELECT 1 AS x", &missing.join("r.csv"), "")]).refused(1, &["there is no folder", "no/such"]);
    assert!(!message.contains("nternal"), "{message}");
    assert!(names(folder.path()).is_empty());
    let locked = read_only(folder.path());
    let message =
        run(&["-c", &copy("SELECT 1 AS x", &locked.join("r.csv"), "")]).refused(1, &[&locked.display().to_string(), "cannot write"]);
    assert!(!message.contains("nternal"), "{message}");
    fs::write(folder.path().join("plain"), "").expect("a file");
    run(&["-c", &copy("SELECT 1 AS x", &folder.path().join("plain"), "STORED AS CSV")]).refused(1, &["plain", "extension"]);
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_file_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    for ending in ["csv", "parquet", "json"] {
        let target = folder.path().join(format!("r.{ending}"));
        fs::write(&target, "before").expect("a file");
        let sql = copy("SELECT value, random() AS x FROM generate_series(1, 200000)", &target, "");
        // A limit on the size of files stands for a disk that fills up.
        let command = format!("trap '' XFSZ; ulimit -f 100; exec '{}' -c \"{sql}\"", env!("CARGO_BIN_EXE_tranchedb"));
        let message = finish(std::process::Command::new("bash").args(["-c", &command])).refused(1, &[&target.display().to_string()]);
        assert!(!message.contains("Partial") && !message.contains("report"), "{message}");
        assert_eq!(fs::read_to_string(&target).expect("the file"), "before", "{ending}");
        assert_eq!(names(folder.path()), [format!("r.{ending}")]);
        fs::remove_file(&target).expect("removed");
    }
}

#[test]
fn the_remedy_of_a_target_without_extension_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("plain");
    fs::write(&target, "before").expect("a file");
    let message = run(&["-c", &copy("SELECT 7 AS x", &target, "STORED AS CSV")]).refused(1, &["it is a file"]);
    let start = message.rfind("OPTIONS").expect("a remedy");
    let remedy = &message[start..=start + message[start..].find(')').expect("its end")];
    run(&["-c", &copy("SELECT 7 AS x", &target, &format!("STORED AS CSV {remedy}"))]).good();
    assert_eq!(fs::read_to_string(&target).expect("the file"), "x\n7\n");
    assert_eq!(names(folder.path()), ["plain"]);
    let many = folder.path().join("many.csv");
    run(&["-c", &copy("SELECT 7 AS x", &many, "OPTIONS ('single_file_output' 'FALSE')")]).good();
    assert!(many.is_dir() && names(&many).len() == 1);
    run(&["-c", &copy("SELECT 7 AS x", &many, "STORED AS CSV OPTIONS ('single_file_output' 'true')")]).refused(1, &["it is a folder"]);
    let partitioned = "STORED AS CSV PARTITIONED BY (y) OPTIONS ('single_file_output' 'true')";
    run(&["-c", &copy("SELECT 7 AS x, 1 AS y", &many, partitioned)]).refused(2, &["PARTITIONED BY"]);
    run(&["-c", &copy("SELECT 7 AS x", &many, "OPTIONS ('single_file_output' 'perhaps')")]).refused(2, &["'true' or 'false'"]);
    assert_eq!((names(folder.path()).len(), names(&many).len()), (2, 1));
}

#[test]
fn a_folder_that_takes_not_all_files_takes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("r");
    fs::create_dir(&target).expect("a folder");
    fs::write(target.join("part=1"), "in the way").expect("a file");
    let sql = copy("SELECT value, value % 3 AS part FROM generate_series(1, 9)", &target, "STORED AS CSV PARTITIONED BY (part)");
    run(&["-c", &sql]).refused(1, &[&target.display().to_string()]);
    assert_eq!((names(folder.path()), names(&target)), (vec!["r".to_owned()], vec!["part=1".to_owned()]));
}

/// Whether a file with rows lies anywhere below.
fn has_data(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| if entry.path().is_dir() { has_data(&entry.path()) } else { entry.metadata().is_ok_and(|file| file.len() > 0) })
    })
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_of_a_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, stored) in [("r.csv", ""), ("r", "STORED AS CSV"), ("p", "STORED AS CSV PARTITIONED BY (part)")] {
        let sql = copy(
            "SELECT repeat('x', 1000) AS x, value % 3 AS part FROM generate_series(1, 10000000000)",
            &folder.path().join(name),
            stored,
        );
        let mut command = program();
        command.args(["-c", &sql]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        while !has_data(folder.path()) {
            assert!(child.try_wait().expect("a child").is_none(), "{name}: ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("a signal");
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).trim()), (Some(1), "error: cancelled"), "{name}");
        assert!(names(folder.path()).is_empty(), "{name}: {:?}", names(folder.path()));
    }
}

#[cfg(unix)]
#[test]
fn rows_of_a_killed_copy_are_no_rows_of_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    run(&["-c", &copy("SELECT 1 AS value", &folder.path().join("a.csv"), "")]).good();
    let sql = copy("SELECT repeat('x', 1000) AS value FROM generate_series(1, 10000000000)", &folder.path().join("b"), "STORED AS CSV");
    let mut child = program().args(["-c", &sql]).spawn().expect("the program starts");
    let left = || fs::read_dir(folder.path()).expect("the folder").flatten().any(|entry| entry.path().is_dir() && has_data(&entry.path()));
    while !left() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    // What was written under a temporary name, as a writer that had got further would have left it.
    let scratch = folder.path().join(names(folder.path()).remove(0));
    fs::write(scratch.join("whole.csv"), "value\n5\n6\n").expect("a file");
    let read = format!("SELECT count(*) AS n FROM '{}/'", folder.path().display());
    assert_eq!(run(&["--format", "csv", "-c", &read]).good(), "n\n1\n");
}

#[cfg(unix)]
#[test]
fn a_killed_copy_leaves_the_file_of_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("r.csv");
    fs::write(&target, "before").expect("a file");
    for wait_ms in [50, 200, 400, 800] {
        let sql = copy("SELECT value, sqrt(value) AS x FROM generate_series(1, 100000000)", &target, "");
        let mut child = program().args(["-c", &sql]).spawn().expect("the program starts");
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(fs::read_to_string(&target).expect("the file"), "before");
    }
}
