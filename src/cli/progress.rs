//! Signs of life on the terminal: a spinner for a long query, a bar per script. All of it goes to standard error.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::{counted, shows_progress};

/// A query that takes longer shows that it runs.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// Time between two looks.
const TICK: Duration = Duration::from_millis(100);

/// The spinner of one piece of work; nothing is shown before half a second, nor where nobody watches.
pub(crate) struct Spinner {
    started: Instant,
    allowed: bool,
    label: String,
    bar: Option<ProgressBar>,
}

impl Spinner {
    /// Starts to wait; `wanted` is false where other output would get in its way.
    pub(crate) fn start(label: impl Into<String>, wanted: bool) -> Self {
        Self { started: Instant::now(), allowed: wanted && shows_progress(), label: label.into(), bar: None }
    }

    /// Completes when it is time to look at the spinner again; never where none is allowed.
    pub(crate) async fn tick(&self) {
        match self.allowed {
            true => tokio::time::sleep(TICK).await,
            false => std::future::pending().await,
        }
    }

    /// Shows how far the work is.
    pub(crate) fn show(&mut self, rows: u64, done: Option<f64>) {
        if !self.allowed || self.started.elapsed() < SHOWN_AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| ProgressBar::new_spinner().with_style(style("{spinner} {msg}")));
        let rows = if rows > 0 { format!(", {}", counted(rows, "row")) } else { String::new() };
        let done = done.map(|share| format!(", {:.0} %", share * 100.0)).unwrap_or_default();
        bar.set_message(format!("{} {:.1} s{done}{rows} (Ctrl-C cancels)", self.label, self.started.elapsed().as_secs_f64()));
        bar.tick();
    }

    /// Takes the spinner away for good, so that results can be printed.
    pub(crate) fn clear(&mut self) {
        self.allowed = false;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One bar per script.
#[derive(Clone)]
pub(crate) struct Bars(Option<MultiProgress>);

impl Bars {
    /// Bars where `wanted` and somebody watches.
    pub(crate) fn new(wanted: bool) -> Self {
        Self((wanted && shows_progress()).then(MultiProgress::new))
    }

    /// A bar that counts the statements of one script.
    pub(crate) fn add(&self, name: &str, statements: usize) -> Bar {
        let Some(bars) = &self.0 else { return Bar(None) };
        let bar = bars.add(ProgressBar::new(statements as u64).with_style(style("{prefix:<28} {bar:30} {pos}/{len} {elapsed}")));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(TICK);
        Bar(Some(bar))
    }

    /// Runs `print` while the bars are out of the way.
    pub(crate) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }
}

/// The bar of one script.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// No bar.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Counts one statement.
    pub(crate) fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
