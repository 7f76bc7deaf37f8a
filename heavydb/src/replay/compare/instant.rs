//! Dates and times in letters, as expected results have them.

/// Nanoseconds since 1970 of a date, or date and time, `None` for any other text.
///
/// `Y-m-d`, `m/d/Y` and `Y/m/d`, then after a blank or `T` the time of [`time_ns`] or `H:M`; then nothing, `Z` or a zone `±hh[:]mm`, which
/// is subtracted. A day may pass the month's end: `2022-02-30` is 2 March.
pub(super) fn instant_ns(text: &str) -> Option<i128> {
    let mut rest = text.trim();
    let negative = rest.starts_with('-');
    rest = rest.strip_prefix('-').unwrap_or(rest);
    let (first, separator) = (number(&mut rest, 4)?, sign(&mut rest)?);
    let second = number(&mut rest, 2)?;
    (sign(&mut rest)? == separator).then_some(())?;
    let third = number(&mut rest, 4)?;
    let (year, month, day) = match separator {
        '-' => (first, second, third),
        '/' if first <= 12 => (third, first, second),
        '/' => (first, second, third),
        _ => return None,
    };
    let (year, valid) = (if negative { -year } else { year }, (1..=12).contains(&month) && (1..=31).contains(&day));
    let date = chrono::NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, 1).filter(|_| valid)?;
    let days = i128::from(chrono::Datelike::num_days_from_ce(&date) - 719_163) + i128::from(day) - 1;
    let midnight = days * 86_400_000_000_000;
    if let Some(behind) = rest.strip_prefix([' ', 'T']) {
        rest = behind;
        let of_day = clock(&mut rest)?;
        return Some(midnight + of_day - zone(rest)?);
    }
    Some(midnight - zone(rest)?)
}

/// Nanoseconds since midnight of `H:M:S[.f]`, `None` for any other text.
pub(super) fn time_ns(text: &str) -> Option<i128> {
    let mut rest = text.trim();
    let time = clock(&mut rest)?;
    (rest.is_empty() && text.matches(':').count() == 2).then_some(time)
}

/// `H:M`, `H:M:S` or `H:M:S.f`; digits that follow the seconds directly are ignored.
fn clock(rest: &mut &str) -> Option<i128> {
    let hours = number(rest, 2)?;
    (sign(rest)? == ':').then_some(())?;
    let minutes = number(rest, 2)?;
    let mut nanoseconds = 0;
    let mut seconds = 0;
    if let Some(behind) = rest.strip_prefix(':') {
        *rest = behind;
        seconds = number(rest, 2)?;
        *rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(behind) = rest.strip_prefix('.') {
            let digits = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let taken = behind.get(..digits.min(9))?;
            nanoseconds = if taken.is_empty() { 0 } else { format!("{taken:0<9}").parse::<i128>().ok()? };
            *rest = &behind[digits..];
        }
    }
    (hours < 24 && minutes < 60 && seconds < 60)
        .then_some(((i128::from(hours) * 60 + i128::from(minutes)) * 60 + i128::from(seconds)) * 1_000_000_000 + nanoseconds)
}

/// Nothing, `Z`, `±hh:mm` or `±hhmm`, in nanoseconds.
fn zone(rest: &str) -> Option<i128> {
    let rest = rest.trim_start();
    if rest.is_empty() || rest == "Z" {
        return Some(0);
    }
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits: String = rest.get(1..)?.chars().filter(|c| *c != ':').collect();
    let valid = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes) = valid.then(|| digits.split_at(2))?;
    Some(sign * (hours.parse::<i128>().ok()? * 60 + minutes.parse::<i128>().ok()?) * 60_000_000_000)
}

/// Takes up to `most` digits, one at least.
fn number(rest: &mut &str, most: usize) -> Option<i64> {
    let end = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let value = rest.get(..end)?.parse().ok()?;
    *rest = &rest[end..];
    Some(value)
}

/// Takes one sign.
fn sign(rest: &mut &str) -> Option<char> {
    let sign = rest.chars().next()?;
    *rest = &rest[sign.len_utf8()..];
    Some(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn every_form_gives_its_instant() {
        let cases = [
            ("1970-01-01", 0),
            ("1970-01-02 00:00:01", 86_401 * SECOND),
            ("2014-12-13T22:23:15Z", 1_418_509_395 * SECOND),
            ("2014-12-13 22:23:15.5", 1_418_509_395 * SECOND + 500_000_000),
            ("12/13/2014 22:23:15", 1_418_509_395 * SECOND),
            ("2014/12/13 22:23:15", 1_418_509_395 * SECOND),
            ("2014-12-13 23:23:15+01:00", 1_418_509_395 * SECOND),
            ("2014-12-13 22:23:1500", 1_418_509_395 * SECOND),
            ("1969-12-31 23:59:59.999", -1_000_000),
            ("2022-02-30", 1_646_179_200 * SECOND),
        ];
        for (text, instant) in cases {
            assert_eq!(instant_ns(text), Some(instant), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_instants() {
        for text in [
            "",
            "-",
            "2014",
            "2014-13-01",
            "2014-12",
            "2014-12-32",
            "12:00:00",
            "2014-12-13 25:00:00",
            "2014-12-13x",
            "ä-1-1",
            "2014-1/1",
            "2014-12-13 1",
        ] {
            assert_eq!(instant_ns(text), None, "{text}");
        }
        assert_eq!(time_ns("15:13:14.5"), Some((15 * 3600 + 13 * 60 + 14) * SECOND + 500_000_000));
        assert_eq!(time_ns("15:13"), None);
        assert_eq!(time_ns("1 5:13:14"), None);
    }
}
