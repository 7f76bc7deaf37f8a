//! Writes that the machine refuses: a full disk, a directory that cannot be written. The table is as before, and no file is left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{Run, finish, program, run, run_on};

/// Two CSV files of some size with the same strategies and other dates.
fn files(directory: &Path) -> [String; 2] {
    let counts = ["generate", "strategies", "--strategies", "300", "--periods", "400", "--quiet"];
    [("a.csv", "2015-01-01"), ("b.csv", "2020-01-01")].map(|(name, start)| {
        let path = directory.join(name).display().to_string();
        run(&[&counts[..], &["--start", start, "--csv", &path]].concat()).good();
        path
    })
}

/// Runs the program where no file can grow beyond 64 KiB: writes fail as on a full disk, with "File too large".
pub(crate) fn run_on_full_disk(db: &Path, arguments: &[&str]) -> Run {
    let mut command = Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tranchedb")]);
    command.env_remove("TRANCHEDB").env("TMPDIR", db.parent().expect("a directory"));
    finish(command.arg("--db").arg(db).args(arguments))
}

/// Every file and folder below a directory.
pub(crate) fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

fn count(db: &Path, table: &str) -> String {
    run_on(db, &["--format", "csv", "--quiet", "-c", &format!("SELECT count(*) AS n FROM {table}")]).good()
}

#[test]
fn a_full_disk_leaves_an_existing_table_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let [first, second] = files(directory.path());
    run_on(&db, &["import", &first, "--into", "t"]).good();
    let before = entries(directory.path());
    run_on_full_disk(&db, &["import", &second, "--into", "t"])
        .refused(1, &["error: writing the file year=", "of table 't'", "File too large"]);
    assert_eq!(entries(directory.path()), before);
    // Values that outgrow the memory go to a scratch file, which the disk refuses as well.
    run_on_full_disk(&db, &["--memory-limit", "1MiB", "import", &second, "--into", "t"])
        .refused(1, &["error: writing a scratch file in ", "File too large"]);
    assert_eq!(entries(directory.path()), before);
    let made = run_on_full_disk(&db, &["-c", "CREATE TABLE c AS SELECT value, sin(value) AS x FROM generate_series(1, 100000)"]);
    // The table format's own writer prints a panic of its clean-up, which it catches, before the error.
    assert!(made.code == Some(1) && made.stderr.contains("error: table 'c'") && made.stderr.contains("File too large"), "{made:?}");
    assert_eq!(count(&db, "t"), "n\n120000\n");
    run_on(&db, &["-c", "SELECT * FROM c"]).refused(1, &["there is no table 'c'"]);
    run_on(&db, &["import", &second, "--into", "t"]).good();
    assert_eq!(count(&db, "t"), "n\n240000\n");
}

#[test]
fn a_full_disk_leaves_nothing_of_a_new_table_or_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let [first, _] = files(directory.path());
    fs::create_dir(&db).expect("a directory");
    let before = entries(directory.path());
    run_on_full_disk(&db, &["import", &first, "--into", "t"]).refused(1, &["of table 't'", "File too large"]);
    assert_eq!(entries(directory.path()), before);
    for target in ["--csv", "--parquet"] {
        let path = directory.path().join("generated").display().to_string();
        run_on_full_disk(&db, &["generate", "strategies", "--strategies", "300", "--periods", "400", target, &path])
            .refused(1, &["generated", "File too large"]);
        assert_eq!(entries(directory.path()), before, "{target}");
    }
    run_on(&db, &["-c", "SELECT * FROM t"]).refused(1, &["there is no table 't'"]);
}

#[test]
fn a_place_below_a_file_is_no_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.csv");
    fs::write(&file, "Date,S1\n2024-01-01,1\n").expect("the file");
    let source = file.display().to_string();
    run_on(&file, &["import", &source, "--into", "t"]).refused(1, &[&source, "is a file: a database is a directory"]);
    run_on(&file.join("db"), &["import", &source, "--into", "t"]).refused(1, &[&source, "Not a directory"]);
    assert_eq!(entries(directory.path()), BTreeSet::from([file]));
}

/// The program as a user whom permissions stop: this one, or `nobody` in the place of root; `None` where that cannot be.
fn unprivileged() -> Option<Command> {
    let output = Command::new("id").arg("-u").output().ok()?;
    if String::from_utf8_lossy(&output.stdout).trim() != "0" {
        return Some(program());
    }
    // The program may lie where nobody cannot go, so that it is opened first and run by its descriptor.
    let as_nobody = "exec 9<\"$0\"; exec setpriv --reuid 65534 --regid 65534 --clear-groups /proc/self/fd/9 \"$@\"";
    let command = || {
        let mut command = Command::new("bash");
        command.args(["-c", as_nobody, env!("CARGO_BIN_EXE_tranchedb")]).env_remove("TRANCHEDB").current_dir("/");
        command
    };
    let tried = command().arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success()).then(command)
}

/// Sets the permission bits of a directory and all below it: `folders` and `files`.
fn set_modes(directory: &Path, folders: u32, files: u32) {
    use std::os::unix::fs::PermissionsExt;
    let set = |path: &Path| {
        let mode = if path.is_dir() { folders } else { files };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    entries(directory).iter().for_each(|path| set(path));
    set(directory);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
fn a_read_only_directory_is_read_and_not_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the file");
        path.display().to_string()
    };
    let first = write("a.csv", "Date,S1\n2024-01-01,1\n");
    let (second, bad) = (write("b.csv", "Date,S1\n2025-01-02,2\n"), write("bad.csv", "Date,S1\n2024-01-03,1\n2024-01-04,x\n"));
    run_on(&db, &["import", &first, "--into", "t"]).good();
    let Some(_) = unprivileged() else {
        eprintln!("SKIPPED: permissions stop no root, and setpriv is not there to be somebody else");
        return;
    };
    let run = |arguments: &[&str]| finish(unprivileged().expect("as before").arg("--db").arg(&db).args(arguments));
    set_modes(directory.path(), 0o555, 0o444);
    let before = entries(directory.path());
    assert_eq!(run(&["--format", "csv", "--quiet", "-c", "SELECT sum(pnl) AS s FROM t"]).good(), "s\n1\n");
    for arguments in [
        &["import", &second, "--into", "t"][..],
        &["import", &second, "--into", "fresh"],
        &["generate", "strategies", "--strategies", "2", "--periods", "2", "--into", "g"],
        &["-c", "INSERT INTO t (date, strategy, pnl) VALUES (DATE '2024-02-01', 'S1', 1)"],
        &["-c", "CREATE TABLE u AS SELECT 1 AS a"],
    ] {
        run(arguments).refused(1, &[&db.display().to_string(), "Permission denied"]);
        assert_eq!(entries(directory.path()), before, "{arguments:?}");
    }
    // What is wrong with the file is told, though it cannot be recorded.
    run(&["import", &bad, "--into", "t"]).refused(1, &["bad.csv, line 3, column 'S1': not a number", "not recorded"]);
    set_modes(directory.path(), 0o755, 0o644);
    assert_eq!(count(&db, "t"), "n\n1\n");
}
