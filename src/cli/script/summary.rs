//! What `run` says at its end: one line per script.

use std::time::Duration;

use crate::cli::terminal::{Paint, display_width, thousands};

/// What became of one script.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// The script.
    pub(crate) name: String,
    /// Statements that ran, with and without success.
    pub(crate) statements: usize,
    /// Rows of all results.
    pub(crate) rows: u64,
    /// Wall-clock time.
    pub(crate) elapsed: Duration,
    /// Statements that failed; a script that could not be parsed counts one.
    pub(crate) failures: usize,
    /// Whether it stopped before its end.
    pub(crate) stopped: bool,
}

impl Line {
    fn state(&self) -> String {
        match (self.failures, self.stopped) {
            (0, false) => "ok".to_owned(),
            (0, true) => "cancelled".to_owned(),
            (_, true) => "failed".to_owned(),
            (1, false) => "1 failure".to_owned(),
            (n, false) => format!("{n} failures"),
        }
    }
}

/// The summary as aligned text.
pub(crate) fn text(lines: &[Line], paint: Paint) -> String {
    let width = lines.iter().map(|line| display_width(&line.name)).max().unwrap_or(0).max("script".len());
    let row = |name: &str, statements: &str, rows: &str, seconds: &str, state: &str| {
        let room = " ".repeat(width - display_width(name));
        format!("{name}{room}  {statements:>10}  {rows:>12}  {seconds:>8}  {state}")
    };
    let mut text = vec![paint.bold(&row("script", "statements", "rows", "seconds", "state"))];
    text.extend(lines.iter().map(|line| {
        let seconds = format!("{:.3}", line.elapsed.as_secs_f64());
        row(&line.name, &line.statements.to_string(), &thousands(line.rows), &seconds, &line.state())
    }));
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_a_line() {
        let line = |name: &str, failures, stopped| Line {
            name: name.into(),
            statements: 3,
            rows: 12_345,
            elapsed: Duration::from_millis(1_250),
            failures,
            stopped,
        };
        let text = text(&[line("tour", 0, false), line("b", 2, false), line("c", 1, true)], Paint { on: false });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "tour             3        12,345     1.250  ok");
        assert!(lines[2].ends_with("2 failures") && lines[3].ends_with("failed"));
    }
}
