//! What the terminal can do, and text that is made for it: widths, colours, readable numbers.

use std::io::IsTerminal;

use unicode_width::UnicodeWidthChar;

/// Columns of the terminal that shows standard output; `None` when it is no terminal.
pub(crate) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Whether standard output may carry colours: a terminal, and `NO_COLOR` is not set.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && allows_colours()
}

/// Whether standard error may carry colours.
pub(crate) fn error_colours() -> bool {
    std::io::stderr().is_terminal() && allows_colours()
}

fn allows_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a progress display on standard error reaches a person.
pub(crate) fn shows_progress() -> bool {
    std::io::stderr().is_terminal()
}

/// Switches for bold, dim and coloured text; all of them do nothing when `on` is false.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    /// Whether escape sequences are written.
    pub(crate) on: bool,
}

impl Paint {
    /// Headings.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// NULLs and side remarks.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// Errors.
    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// Titles of questions and scripts.
    pub(crate) fn title(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns that `text` takes on a terminal: wide characters count two, combining ones none.
pub(crate) fn display_width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// `text` cut to `limit` columns, with `…` as the last of them where something was cut.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    if display_width(text) <= limit {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if used + next + 1 > limit {
            break;
        }
        kept.push(c);
        used += next;
    }
    kept.push('…');
    kept
}

/// A count with thousands separators: `99,960`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`, `99,960 rows`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_from_the_right() {
        assert_eq!([0, 999, 1_000, 99_960, 1_234_567].map(thousands), ["0", "999", "1,000", "99,960", "1,234,567"]);
    }

    #[test]
    fn cutting_respects_wide_characters() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("abcd", 4), "abcd");
    }

    #[test]
    fn one_row_has_no_plural() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(2, "row"), "2 rows");
    }
}
