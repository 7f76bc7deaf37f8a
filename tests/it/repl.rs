//! The prompt, driven in a pseudo-terminal.

use std::path::Path;

use rexpect::session::{PtySession, spawn_command};

use crate::program::{program, run_on, run_with_input};

/// Longest wait for an answer.
const TIMEOUT_MS: u64 = 30_000;
/// What the line editor sends when it is ready for input (it asks the terminal to mark pasted text).
const READY: &str = "\x1b[?2004h";

/// A prompt with its own history, without colours.
struct Prompt {
    session: PtySession,
    _home: tempfile::TempDir,
}

impl Prompt {
    fn start(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let session = Self::start_at(home.path(), arguments);
        Self { session, _home: home }
    }

    fn start_at(home: &Path, arguments: &[&str]) -> PtySession {
        let mut command = program();
        command.env("XDG_DATA_HOME", home).env("NO_COLOR", "1").env("TERM", "xterm").args(arguments);
        let mut session = spawn_command(command, Some(TIMEOUT_MS)).expect("a pseudo-terminal");
        session.exp_string(READY).expect("the prompt");
        session
    }

    /// Sends a line and gives everything printed up to the next prompt.
    fn ask(&mut self, line: &str) -> String {
        self.session.send_line(line).expect("sent");
        let answer = self.session.exp_string(READY).unwrap_or_else(|error| panic!("{line}: {error}"));
        plain(&answer)
    }

    fn leave(mut self) {
        self.session.send_line("\\q").expect("sent");
        self.session.exp_eof().expect("the end");
    }
}

/// Text without escape sequences and carriage returns. The session hands every byte over as a character of its own.
fn plain(bytes: &str) -> String {
    let bytes: Vec<u8> = bytes.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let (mut plain, mut escaped) = (String::new(), false);
    for c in String::from_utf8_lossy(&bytes).chars() {
        match c {
            '\x1b' => escaped = true,
            _ if escaped => escaped = !(c.is_ascii_alphabetic() || c == '='),
            '\r' => {}
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn a_statement_may_take_several_lines() {
    let mut prompt = Prompt::start(&[]);
    prompt.session.send_line("SELECT 40 + 2 AS answer, ';' AS").expect("sent");
    prompt.session.send_line("semicolon -- ; not yet").expect("sent");
    let answer = prompt.ask(";");
    assert!(answer.contains(" answer │ semicolon\n") && answer.contains("     42 │ ;\n"), "{answer}");
    assert!(answer.contains("1 row, 0."), "{answer}");
    prompt.leave();
}

#[test]
fn errors_point_at_their_place_and_the_prompt_goes_on() {
    let mut prompt = Prompt::start(&[]);
    let answer = prompt.ask("SELECT fo FROM (VALUES (1)) AS t(foo);");
    assert!(answer.contains("   1 | SELECT fo FROM") && answer.contains("\n              ^"), "{answer}");
    let answer = prompt.ask("\\nonsense");
    assert!(answer.contains("there is no command \\nonsense"), "{answer}");
    assert!(prompt.ask("SELECT 1 AS still_here;").contains("still_here"));
    prompt.leave();
}

#[test]
fn tables_columns_and_functions_are_described() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("db");
    run_on(&db, &["generate", "strategies", "--strategies", "5", "--periods", "10", "--into", "mine"]).good();
    let mut prompt = Prompt::start(&["--db", &db.display().to_string()]);
    let answer = prompt.ask("\\d");
    assert!(answer.contains("mine") && answer.contains("50") && answer.contains("system.tables"), "{answer}");
    let answer = prompt.ask("\\d mine");
    assert!(answer.contains("strategy │ VARCHAR") && answer.contains("pnl      │ DOUBLE") && answer.contains("rows 50"), "{answer}");
    assert!(prompt.ask("\\d mien").contains("did you mean 'mine'"));
    let answer = prompt.ask("\\df *drawdown*");
    assert!(answer.contains("max_drawdown_pnl") && answer.contains("max_drawdown ") && answer.contains("aggregate"), "{answer}");
    assert!(answer.contains("drawdown_pnl ") && answer.contains("window"), "{answer}");
    let answer = prompt.ask("\\df drawdown");
    assert!(answer.contains("drawdown(r) OVER (ORDER BY time)"), "{answer}");
    let answer = prompt.ask("\\df sharpe_ratio");
    assert!(answer.contains("sharpe_ratio(") && answer.contains("periods_per_year"), "{answer}");
    let answer = prompt.ask("\\df correlation_summary");
    assert!(answer.contains("correlation_summary(relation") && answer.contains("table function"), "{answer}");
    assert!(prompt.ask("\\df no_such_function").contains("\\df * lists all"));
    prompt.leave();
}

#[test]
fn ctrl_c_cancels_a_query_and_clears_a_line_without_leaving() {
    let mut prompt = Prompt::start(&[]);
    let endless = "SELECT sum(sqrt(a.value * b.value)) FROM generate_series(1, 1000000) AS a(value) CROSS JOIN generate_series(1, 1000000) AS b(value);";
    prompt.session.send_line(endless).expect("sent");
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    prompt.session.send_control('c').expect("sent");
    let answer = plain(&prompt.session.exp_string(READY).expect("the prompt comes back"));
    assert!(answer.contains("cancelled"), "{answer}");
    prompt.session.send("SELECT 'half a line").expect("sent");
    prompt.session.send_control('c').expect("sent");
    prompt.session.exp_string(READY).expect("a new line");
    assert!(prompt.ask("SELECT 7 AS seven;").contains("seven"));
    prompt.leave();
}

#[test]
fn ctrl_d_leaves() {
    let mut prompt = Prompt::start(&[]);
    prompt.session.send_control('d').expect("sent");
    prompt.session.exp_eof().expect("the end");
}

#[test]
fn plain_words_help_and_leave() {
    let mut prompt = Prompt::start(&[]);
    assert!(prompt.ask("help").contains("\\timing"));
    let answer = prompt.ask("SELECT $x AS bound;");
    assert!(answer.contains("$x has no value") && answer.contains("\\set x VALUE") && !answer.contains("-p"), "{answer}");
    prompt.session.send_line("quit").expect("sent");
    prompt.session.exp_eof().expect("the end");
}

#[test]
fn settings_change_what_is_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut prompt = Prompt::start(&[]);
    assert!(prompt.ask("\\timing").contains("timing is off"));
    let answer = prompt.ask("SELECT 1 AS a;");
    assert!(answer.contains("1 row\n") || answer.ends_with("1 row"), "{answer}");
    prompt.ask("\\format csv");
    assert!(prompt.ask("SELECT NULL AS a, '' AS b;").contains("a,b\n,\"\""));
    assert!(prompt.ask("\\format parquet").contains("COPY"));
    prompt.ask("\\format table");
    let file = directory.path().join("r.json").display().to_string();
    prompt.ask(&format!("\\o {file}"));
    assert!(!prompt.ask("SELECT 5 AS five;").contains("│"));
    prompt.ask("\\o");
    assert_eq!(std::fs::read_to_string(&file).expect("the file"), "[\n{\"five\":5}\n]\n");
    assert!(prompt.ask("SELECT 6 AS six;").contains(" six"));
    prompt.leave();
}

#[test]
fn names_are_bound_scripts_included_and_plans_explained() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("s.sql");
    std::fs::write(&file, "-- param more = 1 : what is added\nSELECT $x + $more AS from_file;").expect("the script");
    let mut prompt = Prompt::start(&["-p", "x=1"]);
    assert!(prompt.ask("\\set").contains("$x = 1 (Int64)"));
    prompt.ask("\\set x 41");
    assert!(prompt.ask("SELECT $x AS bound;").contains("41"));
    assert!(prompt.ask(&format!("\\i {}", file.display())).contains("42"));
    assert!(prompt.ask("\\set nothing").contains("$nothing is not bound"));
    prompt.ask("SELECT 1 + 1 AS two;");
    let answer = prompt.ask("\\explain");
    assert!(answer.contains("physical_plan:") && answer.contains("two"), "{answer}");
    prompt.leave();
}

#[test]
fn commands_work_on_a_line_of_an_unfinished_statement() {
    let mut prompt = Prompt::start(&["-p", "x=1"]);
    prompt.session.send_line("SELECT 'half' AS").expect("sent");
    prompt.session.exp_string("goes on").expect("a line that differs from a prompt");
    let answer = prompt.ask("\\r");
    assert!(answer.contains("the statement is forgotten"), "{answer}");
    assert!(prompt.ask("SELECT 'whole' AS again;").contains("whole"));
    prompt.ask("\\unset x");
    assert!(prompt.ask("SELECT $x AS bound;").contains("$x has no value"));
    assert!(prompt.ask("\\unset x").contains("$x is not bound"));
    prompt.session.send_line("SELECT 1,").expect("sent");
    prompt.session.send_line("\\q").expect("sent");
    prompt.session.exp_eof().expect("the end");
}

#[test]
fn commands_within_a_statement_of_the_standard_input() {
    let kept = run_with_input(&["--format", "csv", "--quiet"], "SELECT 1 AS a,\n\\set y 5\n2 AS b;\n").good();
    assert!(kept.contains("a,b\n1,2\n"), "{kept}");
    let forgotten = run_with_input(&["--format", "csv", "--quiet"], "SELECT 1 AS a,\n\\r\nSELECT 3 AS c;\n").good();
    assert!(forgotten.contains("c\n3\n") && !forgotten.contains("a,"), "{forgotten}");
    run_with_input(&["--quiet"], "SELECT 1 AS a,\n\\q\nnonsense").good();
    run_with_input(&["--quiet"], "SELECT 1 AS a,\n\\set y 5\nnonsense FROM;\n").refused(1, &["stdin:3:"]);
    assert!(run_with_input(&["--format", "csv", "--quiet"], "SELECT 'x\n\\q\ny' AS t;\n").good().contains("\\q"));
}

#[cfg(unix)]
#[test]
fn a_statement_can_be_edited_elsewhere() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let editor = directory.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i 's/1 AS before/99 AS edited/' \"$1\"\n").expect("the editor");
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let mut command = program();
    command.env("XDG_DATA_HOME", directory.path()).env("NO_COLOR", "1").env("TERM", "xterm").env("EDITOR", &editor);
    let mut session = spawn_command(command, Some(TIMEOUT_MS)).expect("a pseudo-terminal");
    session.exp_string(READY).expect("the prompt");
    session.send_line("SELECT 1 AS before;").expect("sent");
    session.exp_string(READY).expect("the prompt");
    session.send_line("\\e").expect("sent");
    session.exp_string("99 AS edited;").expect("the edited statement at the prompt");
    session.send_line("").expect("sent");
    let answer = plain(&session.exp_string(READY).expect("the prompt"));
    assert!(answer.contains(" edited\n") && answer.contains("     99\n"), "{answer}");
}

#[test]
fn completion_and_history_help_with_typing() {
    let home = tempfile::tempdir().expect("a directory");
    let mut session = Prompt::start_at(home.path(), &[]);
    session.send("SELECT sharpe_r\t1, 2) AS s FROM (VALUES (1)) AS t(x);").expect("sent");
    session.send_line("").expect("sent");
    let answer = plain(&session.exp_string(READY).expect("the prompt"));
    assert!(answer.contains("sharpe_ratio(") && answer.contains(" s\n"), "{answer}");
    session.send_line("SELECT 123 AS remembered;").expect("sent");
    session.exp_string(READY).expect("the prompt");
    session.send_control('d').expect("sent");
    session.exp_eof().expect("the end");
    let mut again = Prompt::start_at(home.path(), &[]);
    again.send("\x1b[A").expect("sent");
    again.flush().expect("sent");
    again.exp_string("SELECT 123 AS remembered;").expect("the last statement");
}

#[cfg(unix)]
#[test]
fn wide_results_fit_the_terminal() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "stty cols 60 rows 24; exec \"$0\"", env!("CARGO_BIN_EXE_tranchedb")]);
    command.env_remove("TRANCHEDB").env("XDG_DATA_HOME", home.path()).env("NO_COLOR", "1").env("TERM", "xterm");
    let mut session = spawn_command(command, Some(TIMEOUT_MS)).expect("a pseudo-terminal");
    session.exp_string(READY).expect("the prompt");
    let columns: Vec<String> = (0..30).map(|i| format!("value AS c{i}")).collect();
    session.send_line(&format!("SELECT {} FROM generate_series(1, 3);", columns.join(", "))).expect("sent");
    let answer = plain(&session.exp_string(READY).expect("the prompt"));
    let header = answer.lines().find(|line| line.contains('…')).unwrap_or_else(|| panic!("nothing was left out: {answer}"));
    assert!(header.starts_with(" c0 │") && header.ends_with("c29") && header.chars().count() <= 60, "{answer}");
    assert!(answer.contains("columns more\n"), "{answer}");
}
