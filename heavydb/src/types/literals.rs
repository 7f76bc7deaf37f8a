//! The texts of dates, times, booleans and numbers, read as HeavyDB reads them.
//!
//! A text is tried against one form after the other; the first that fits wins, and what follows it is ignored, save for a zone. What
//! a failed form has read stays: the text `5 30` fits no form of hours and minutes, but the last form then finds the hour 5 beside
//! the minutes that an earlier one has read, 05:30. Nothing here allocates.

use datafusion::arrow::datatypes::TimeUnit;

use crate::functions::dates::calendar::{Civil, DAY};
use crate::functions::dates::instants::per_second;

/// One element of a form. White space before every field is skipped.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Any number of digits, with a sign.
    Year,
    /// One or two digits: below 69 in 2000, else in 1900. Leading zeros do not count.
    ShortYear,
    /// 1 to 12.
    Month,
    /// Three letters, or the full name.
    MonthName,
    /// 1 to 31, in every month.
    Day,
    /// 0 to 23.
    Hour,
    /// 1 to 12.
    Hour12,
    /// 0 to 59.
    Minute,
    /// 0 to 61, and a fraction.
    Second,
    /// am, pm, a.m., p.m. or nothing.
    HalfDay,
    /// This character.
    Mark(u8),
    /// White space or nothing.
    Space,
}

use Part::{Day, HalfDay, Hour, Hour12, Mark, Minute, Month, MonthName, Second, ShortYear, Space, Year};

const DATES: &[&[Part]] = &[
    &[Year, Mark(b'-'), Month, Mark(b'-'), Day],
    &[Month, Mark(b'/'), Day, Mark(b'/'), ShortYear],
    &[Month, Mark(b'/'), Day, Mark(b'/'), Year],
    &[Year, Mark(b'/'), Month, Mark(b'/'), Day],
    &[Day, Mark(b'-'), MonthName, Mark(b'-'), ShortYear],
    &[Day, Mark(b'/'), MonthName, Mark(b'/'), Year],
];

const TIMES: &[&[Part]] = &[
    &[Hour12, Mark(b':'), Minute, Mark(b':'), Second, Space, HalfDay],
    &[Hour, Mark(b':'), Minute, Mark(b':'), Second],
    &[Hour12, Mark(b':'), Minute, Space, HalfDay],
    &[Hour, Mark(b':'), Minute],
    &[Hour, Minute, Second],
    &[Hour12, Space, Mark(b'.'), Space, Minute, Space, Mark(b'.'), Space, Second, Space, HalfDay],
    &[Hour12, Space, HalfDay],
];

const MONTHS: [(&[u8; 3], &[u8]); 12] = [
    (b"jan", b"uary"),
    (b"feb", b"ruary"),
    (b"mar", b"ch"),
    (b"apr", b"il"),
    (b"may", b""),
    (b"jun", b"e"),
    (b"jul", b"y"),
    (b"aug", b"ust"),
    (b"sep", b"tember"),
    (b"oct", b"ober"),
    (b"nov", b"ember"),
    (b"dec", b"ember"),
];

/// A DATE, as days since 1970-01-01. A time of day is ignored; a zone directly after the date is subtracted before rounding down.
/// A whole number is an epoch in seconds.
///
/// ```
/// # use datafusion_heavydb::types::literals::date;
/// assert_eq!(date("1970-01-02 23:59:59"), Some(1));
/// assert_eq!(date("2022-02-30"), date("3/2/22"));
/// assert_eq!(date("02-March-22"), date("2022-3-2"));
/// assert_eq!(date("-1"), Some(-1));
/// assert_eq!(date("yesterday"), None);
/// ```
pub fn date(text: &str) -> Option<i32> {
    let mut fields = Fields::default();
    let seconds = match fields.first_of(DATES, text.as_bytes()) {
        Some(rest) => fields.days()?.checked_mul(DAY)?.checked_sub(zone(rest).map_or(0, |(seconds, _)| seconds))?,
        None => epoch(text)?,
    };
    i32::try_from(seconds.div_euclid(DAY)).ok()
}

/// A TIME, as seconds since midnight; a fraction is cut off, a zone is subtracted, nothing else may follow. `None` also where the zone
/// leads out of the day, which no TIME of ours can hold.
///
/// ```
/// # use datafusion_heavydb::types::literals::time;
/// assert_eq!(time("3:04:05 pm"), time("150405"));
/// assert_eq!(time("15:00:00 +1000"), Some(5 * 3_600));
/// assert_eq!(time("01:00:00 +1200"), None);
/// assert_eq!(time("12:00 noon"), None);
/// ```
pub fn time(text: &str) -> Option<i32> {
    let text = text.strip_prefix('T').unwrap_or(text).as_bytes();
    let mut fields = Fields::default();
    let rest = fields.first_of(TIMES, text)?;
    let zone = match rest {
        [] => 0,
        _ => zone(rest).filter(|(_, rest)| rest.is_empty())?.0,
    };
    let seconds = fields.seconds() - zone;
    i32::try_from(seconds).ok().filter(|_| (0..DAY).contains(&seconds))
}

/// A TIMESTAMP, as units since 1970-01-01 00:00:00; finer digits are cut off. The date must not stand alone, but a time that fits
/// no form is midnight. A whole number is the count itself, in the unit. `None` also beyond 64 bits.
///
/// ```
/// # use datafusion::arrow::datatypes::TimeUnit::{Millisecond, Second};
/// # use datafusion_heavydb::types::literals::timestamp;
/// assert_eq!(timestamp("1970-01-01T00:00:01.5", Millisecond), Some(1_500));
/// assert_eq!(timestamp("1/Jan/1970:06:00:00 -0600", Second), Some(12 * 3_600));
/// assert_eq!(timestamp("1970-01-02", Second), None);
/// assert_eq!(timestamp("1434844800", Second), Some(1_434_844_800));
/// ```
pub fn timestamp(text: &str, unit: TimeUnit) -> Option<i64> {
    let text = text.strip_prefix('T').unwrap_or(text);
    let mut fields = Fields::default();
    let Some(rest) = fields.first_of(DATES, text.as_bytes()) else { return epoch(text) };
    let days = fields.days()?;
    let rest = match rest {
        [] => return None,
        [b'T' | b':', rest @ ..] => rest,
        _ => rest,
    };
    let mut fields = Fields::default();
    let (seconds, nanoseconds, rest) = match fields.first_of(TIMES, rest) {
        Some(rest) => (fields.seconds(), fields.nanosecond, rest),
        None => (0, 0, rest),
    };
    let seconds = seconds - zone(rest).map_or(0, |(seconds, _)| seconds);
    count(days, seconds, nanoseconds, unit)
}

/// A TIMESTAMP, or a DATE as its midnight: the texts of results and exports.
///
/// ```
/// # use datafusion::arrow::datatypes::TimeUnit::Second;
/// # use datafusion_heavydb::types::literals::instant;
/// assert_eq!(instant("1970-01-02", Second), Some(86_400));
/// assert_eq!(instant("2014-12-13T22:23:15Z", Second), instant("2014-12-13 22:23:15", Second));
/// ```
pub fn instant(text: &str, unit: TimeUnit) -> Option<i64> {
    timestamp(text, unit).or_else(|| count(date(text)?.into(), 0, 0, unit))
}

/// A BOOLEAN: `t f true false 1 0` in any case.
///
/// ```
/// # use datafusion_heavydb::types::literals::boolean;
/// assert_eq!((boolean("T"), boolean("False"), boolean("yes")), (Some(true), Some(false), None));
/// ```
pub fn boolean(text: &str) -> Option<bool> {
    let is = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(text));
    if is(&["t", "true", "1"]) {
        Some(true)
    } else if is(&["f", "false", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// An integer; a number with a fraction or an exponent rounds half away from zero. `None`: no number, or beyond 64 bits.
///
/// ```
/// # use datafusion_heavydb::types::literals::integer;
/// assert_eq!((integer("127.5"), integer("-1e3"), integer("12a")), (Some(128), Some(-1_000), None));
/// ```
pub fn integer(text: &str) -> Option<i64> {
    match text.parse() {
        Ok(value) if !text.starts_with('+') => Some(value),
        _ => decimal(text, 0).and_then(|value| i64::try_from(value).ok()),
    }
}

/// A decimal, as a count of 10^-scale, rounded half away from zero. `None`: no number, or beyond 64 bits.
///
/// ```
/// # use datafusion_heavydb::types::literals::decimal;
/// assert_eq!((decimal("-0.125", 2), decimal("1e2", 1), decimal(".5", 1)), (Some(-13), Some(1_000), Some(5)));
/// ```
pub fn decimal(text: &str, scale: u8) -> Option<i128> {
    let text = text.trim_ascii_start();
    let (text, negative) = match text.as_bytes().first()? {
        b'-' => (&text[1..], true),
        b'+' => (&text[1..], false),
        _ => (text, false),
    };
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The digits before `kept` count, the one at `kept` rounds.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut place = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        if place < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        } else if place == kept {
            value += i128::from(digit >= b'5');
        }
        place += 1;
    }
    for _ in place..kept {
        value = if value == 0 { break } else { value.checked_mul(10)? };
    }
    (value <= i128::from(i64::MAX) + 1).then_some(if negative { -value } else { value })
}

/// A floating-point number, also `inf` and `nan`.
///
/// ```
/// # use datafusion_heavydb::types::literals::float;
/// assert_eq!((float(" 1.5e0"), float("1.5x")), (Some(1.5), None));
/// ```
pub fn float(text: &str) -> Option<f64> {
    text.trim_ascii_start().parse().ok()
}

/// A FLOAT. A DECIMAL literal goes by way of its digits and a power of ten, both in 32 bits: beyond seven digits that is not the nearest.
///
/// ```
/// # use datafusion_heavydb::types::literals::single;
/// assert_eq!((single("1.5"), single("1.5e0"), single("x")), (Some(1.5), Some(1.5), None));
/// assert!(single("51.046305") < single("51.046307"));
/// ```
#[expect(clippy::cast_precision_loss, reason = "HeavyDB loses it too")]
pub fn single(text: &str) -> Option<f32> {
    let scale = text.trim_ascii().split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = u8::try_from(scale).ok().filter(|scale| *scale <= 18).and_then(|scale| decimal(text, scale));
    match digits {
        Some(digits) if !text.contains(['e', 'E']) && scale > 0 => Some(digits as f32 / 10_f32.powi(i32::try_from(scale).ok()?)),
        _ => text.trim_ascii_start().parse().ok(),
    }
}

/// Units since 1970-01-01.
fn count(days: i64, seconds: i64, nanoseconds: i64, unit: TimeUnit) -> Option<i64> {
    let per_second = per_second(unit);
    let seconds = i128::from(days) * i128::from(DAY) + i128::from(seconds);
    let fraction = i128::from(nanoseconds / (1_000_000_000 / per_second));
    i64::try_from(seconds * i128::from(per_second) + fraction).ok()
}

/// A whole number, optionally with a fraction that is ignored.
fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = !whole.starts_with('+') && fraction.bytes().all(|digit| digit.is_ascii_digit());
    whole.parse().ok().filter(|_| plain)
}

/// A zone `±hh:mm` or `±hhmm` after white space: its seconds, and what follows it.
fn zone(text: &[u8]) -> Option<(i64, &[u8])> {
    let digit = |digit: &u8| digit.is_ascii_digit().then(|| i64::from(digit - b'0'));
    let (sign, hour, minute, rest) = match text.trim_ascii_start() {
        [sign @ (b'+' | b'-'), a, b, b':', c, d, rest @ ..] | [sign @ (b'+' | b'-'), a, b, c, d, rest @ ..] => (sign, [a, b], [c, d], rest),
        _ => return None,
    };
    let number = |[tens, ones]: [&u8; 2]| Some(digit(tens)? * 10 + digit(ones)?);
    let seconds = (number(hour)? * 60 + number(minute)?) * 60;
    Some((if *sign == b'-' { -seconds } else { seconds }, rest))
}

/// What the forms have read.
#[derive(Debug)]
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    /// Afternoon, where it was said.
    afternoon: Option<bool>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, nanosecond: 0, afternoon: None }
    }
}

impl Fields {
    /// Reads the first form that fits, and returns what follows it.
    fn first_of<'a>(&mut self, forms: &[&[Part]], text: &'a [u8]) -> Option<&'a [u8]> {
        forms.iter().find_map(|form| self.read(form, text))
    }

    fn read<'a>(&mut self, form: &[Part], text: &'a [u8]) -> Option<&'a [u8]> {
        form.iter().try_fold(text, |rest, part| match part {
            Part::Mark(mark) => rest.strip_prefix(&[*mark]),
            Part::Space => Some(trim_space(rest)),
            field => self.read_field(*field, trim_space(rest)),
        })
    }

    fn read_field<'a>(&mut self, field: Part, text: &'a [u8]) -> Option<&'a [u8]> {
        let (target, range) = match field {
            Part::Year => return self.read_year(text),
            Part::ShortYear => return self.read_short_year(text),
            Part::MonthName => return self.read_month_name(text),
            Part::HalfDay => return Some(self.read_half_day(text)),
            Part::Month => (&mut self.month, 1..=12),
            Part::Day => (&mut self.day, 1..=31),
            Part::Hour => (&mut self.hour, 0..=23),
            Part::Hour12 => (&mut self.hour, 1..=12),
            Part::Minute => (&mut self.minute, 0..=59),
            Part::Second | Part::Mark(_) | Part::Space => (&mut self.second, 0..=61),
        };
        let (number, rest) = digits(text, 2)?;
        *target = range.contains(&number).then_some(number)?;
        match (field, rest) {
            (Part::Second, [b'.', fraction @ ..]) => {
                let (number, rest) = digits(fraction, 9)?;
                self.nanosecond = (fraction.len() - rest.len()..9).fold(number, |nanosecond, _| nanosecond * 10);
                Some(rest)
            }
            _ => Some(rest),
        }
    }

    fn read_year<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (negative, unsigned) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let (year, rest) = digits(unsigned, usize::MAX)?;
        self.year = if negative { -year } else { year };
        Some(rest)
    }

    fn read_short_year<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (year, rest) = digits(text, usize::MAX)?;
        self.year = match year {
            0..69 => 2000 + year,
            69..100 => 1900 + year,
            _ => return None,
        };
        Some(rest)
    }

    fn read_month_name<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (start, rest) = text.split_at_checked(3)?;
        let month = MONTHS.iter().position(|(prefix, _)| start.eq_ignore_ascii_case(prefix.as_slice()))?;
        self.month = i64::try_from(month).ok()? + 1;
        Some(strip_letters(rest, MONTHS[month].1).unwrap_or(rest))
    }

    fn read_half_day<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let marks: [(&[u8], bool); 4] = [(b"am", false), (b"pm", true), (b"a.m.", false), (b"p.m.", true)];
        let found = marks.iter().find_map(|(mark, afternoon)| Some((strip_letters(text, mark)?, *afternoon)));
        self.afternoon = found.map(|(_, afternoon)| afternoon);
        found.map_or(text, |(rest, _)| rest)
    }

    /// Days since 1970-01-01; `None` for a year beyond all instants.
    fn days(&self) -> Option<i64> {
        (self.year.unsigned_abs() < 1_000_000_000_000).then(|| Civil { year: self.year, month: self.month, day: self.day }.days())
    }

    /// Seconds since midnight, without the fraction.
    fn seconds(&self) -> i64 {
        let shift = match self.afternoon {
            Some(true) if self.hour != 12 => 12,
            Some(false) if self.hour == 12 => -12,
            _ => 0,
        };
        (self.hour + shift) * 3_600 + self.minute * 60 + self.second
    }
}

fn trim_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r')).unwrap_or(text.len());
    &text[start..]
}

/// The rest after these letters in any case.
fn strip_letters<'a>(text: &'a [u8], letters: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(letters.len())?;
    start.eq_ignore_ascii_case(letters).then_some(rest)
}

/// The number of at least one and at most `most` digits, and what follows it.
fn digits(text: &[u8], most: usize) -> Option<(i64, &[u8])> {
    let length = text.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(length);
    let number = digits.iter().try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')))?;
    (length > 0).then_some((number, rest))
}
