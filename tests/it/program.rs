//! The program under test, run as a user runs it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What one run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// The program with a clean environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tranchedb"));
    command.env_remove("TRANCHEDB").env_remove("EDITOR").env_remove("VISUAL");
    command
}

/// Runs the program with these arguments.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Run {
    finish(program().args(arguments))
}

/// Runs the program on the database `db`.
pub(crate) fn run_on(db: &Path, arguments: &[&str]) -> Run {
    finish(program().arg("--db").arg(db).args(arguments))
}

/// Runs the program with a text as its standard input.
pub(crate) fn run_with_input(arguments: &[&str], input: &str) -> Run {
    let mut child =
        program().args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("the program reads");
    of(child.wait_with_output().expect("the program ends"))
}

/// Waits for a command.
pub(crate) fn finish(command: &mut Command) -> Run {
    of(command.output().expect("the program starts"))
}

fn of(output: std::process::Output) -> Run {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

impl Run {
    /// Checks that all went well and gives what was printed.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Checks the exit code and that the message holds every one of `parts`, and gives the message.
    pub(crate) fn refused(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "'{part}' is not in the message: {self:?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.stderr
    }
}
