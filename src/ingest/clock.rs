//! Times of day as text.

use chrono::NaiveDate;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A time of day, with the date where the text holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    /// The date before the time, if any.
    pub(crate) date: Option<NaiveDate>,
    /// Microseconds since midnight.
    pub(crate) micros: i64,
}

/// Reads `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff`, alone or after `YYYY-MM-DD` and a space or `T`.
pub(crate) fn parse_clock(text: &str) -> Option<Clock> {
    let text = text.trim();
    match text.split_once(['T', ' ']) {
        Some((date, time)) => Some(Clock { date: Some(NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?), micros: parse_time(time)? }),
        None => Some(Clock { date: None, micros: parse_time(text)? }),
    }
}

fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let (hour, minute) = (two_digits(parts.next()?)?, two_digits(parts.next()?)?);
    let second = match parts.next() {
        Some(second) => two_digits(second)?,
        None if fraction.is_some() => return None,
        None => 0,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + fraction.map_or(Some(0), fraction_micros)?)
}

fn two_digits(text: &str) -> Option<i64> {
    (matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Digits after the point as microseconds; digits beyond the sixth must be zero, since they could not be kept.
fn fraction_micros(digits: &str) -> Option<i64> {
    let (kept, beyond) = digits.split_at_checked(6).unwrap_or((digits, ""));
    if kept.is_empty() || !kept.bytes().all(|b| b.is_ascii_digit()) || !beyond.bytes().all(|b| b == b'0') {
        return None;
    }
    format!("{kept:0<6}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_date() {
        for (text, micros) in
            [("09:15:00", 33_300_000_000), ("9:15", 33_300_000_000), ("00:00:00.5", 500_000), ("23:59:59.999999000", 86_399_999_999)]
        {
            assert_eq!(parse_clock(text), Some(Clock { date: None, micros }), "{text}");
        }
        let dated = parse_clock("2023-01-02T11:45:00").unwrap();
        assert_eq!((dated.date, dated.micros), (NaiveDate::from_ymd_opt(2023, 1, 2), 42_300_000_000));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "24:00:00",
            "12:60",
            "915",
            "9",
            "12:30 PM",
            "12:30:00.",
            "12:30.5",
            "1:2:3:4",
            "12:30:00.0000001",
            "-1:00",
            "02-01-2023 11:45:00",
        ] {
            assert_eq!(parse_clock(text), None, "{text}");
        }
    }
}
