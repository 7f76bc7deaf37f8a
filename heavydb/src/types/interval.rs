//! Intervals: a BIGINT of milliseconds or of months, told apart by the metadata of the field.

use std::collections::HashMap;

use datafusion::arrow::datatypes::{DataType, Field};

/// Key of the metadata that tells an interval.
pub const TYPE_KEY: &str = "heavydb.type";

/// Key of the metadata that tells a day-time interval of whole days, so that a DATE moved by it stays a DATE.
pub const WHOLE_DAYS_KEY: &str = "heavydb.whole_days";

/// The two types of interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntervalKind {
    /// Days to seconds; the number counts milliseconds.
    DayTime,
    /// Years and months; the number counts months.
    YearMonth,
}

impl IntervalKind {
    /// Value of [`TYPE_KEY`].
    pub fn name(self) -> &'static str {
        match self {
            Self::DayTime => "day-time interval",
            Self::YearMonth => "year-month interval",
        }
    }

    /// The kind of a field; `None` if it is no interval.
    pub fn of(field: &Field) -> Option<Self> {
        let name = field.metadata().get(TYPE_KEY)?;
        [Self::DayTime, Self::YearMonth].into_iter().find(|kind| kind.name() == name)
    }

    /// The metadata of such a field, also of such a literal.
    pub fn metadata(self) -> HashMap<String, String> {
        HashMap::from([(TYPE_KEY.to_owned(), self.name().to_owned())])
    }

    /// A nullable field of this kind.
    pub fn field(self, name: &str) -> Field {
        Field::new(name, DataType::Int64, true).with_metadata(self.metadata())
    }

    /// Whether the intervals of a field surely have whole days.
    pub fn has_whole_days(field: &Field) -> bool {
        match Self::of(field) {
            Some(Self::YearMonth) => true,
            Some(Self::DayTime) => field.metadata().contains_key(WHOLE_DAYS_KEY),
            None => false,
        }
    }

    /// A nullable field of this kind, marked where the intervals surely have whole days.
    pub fn field_of_days(self, whole_days: bool) -> Field {
        let mut metadata = self.metadata();
        if whole_days && self == Self::DayTime {
            metadata.insert(WHOLE_DAYS_KEY.to_owned(), "true".to_owned());
        }
        Field::new("", DataType::Int64, true).with_metadata(metadata)
    }

    /// The interval of one unit: its kind, and how many milliseconds or months it has, as a fraction `(numerator, denominator)`.
    /// Singular or plural, in any case.
    ///
    /// ```
    /// # use datafusion_heavydb::types::interval::IntervalKind;
    /// assert_eq!(IntervalKind::of_unit("DAYS"), Some((IntervalKind::DayTime, 86_400_000, 1)));
    /// assert_eq!(IntervalKind::of_unit("nanosecond"), Some((IntervalKind::DayTime, 1, 1_000_000)));
    /// ```
    pub fn of_unit(unit: &str) -> Option<(Self, i64, i64)> {
        let known = |row: &&(&str, Self, i64, i64)| {
            let singular = unit.strip_suffix(['s', 'S']).unwrap_or(unit);
            row.0.eq_ignore_ascii_case(unit) || row.0.eq_ignore_ascii_case(singular)
        };
        INTERVAL_UNITS.iter().find(known).map(|(_, kind, numerator, denominator)| (*kind, *numerator, *denominator))
    }
}

/// Units of interval literals: name, kind, milliseconds or months as a fraction.
pub const INTERVAL_UNITS: &[(&str, IntervalKind, i64, i64)] = &[
    ("year", IntervalKind::YearMonth, 12, 1),
    ("quarter", IntervalKind::YearMonth, 3, 1),
    ("month", IntervalKind::YearMonth, 1, 1),
    ("week", IntervalKind::DayTime, 604_800_000, 1),
    ("day", IntervalKind::DayTime, 86_400_000, 1),
    ("hour", IntervalKind::DayTime, 3_600_000, 1),
    ("minute", IntervalKind::DayTime, 60_000, 1),
    ("second", IntervalKind::DayTime, 1_000, 1),
    ("millisecond", IntervalKind::DayTime, 1, 1),
    ("microsecond", IntervalKind::DayTime, 1, 1_000),
    ("nanosecond", IntervalKind::DayTime, 1, 1_000_000),
];

/// The number of an interval literal: `INTERVAL '1.5' SECOND` is 1500 milliseconds. What is finer than a millisecond is cut off.
///
/// `None`: no such unit, no number, a fraction of another unit than the second, or beyond 64 bits.
///
/// ```
/// # use datafusion_heavydb::types::interval::{IntervalKind, interval};
/// assert_eq!(interval("-1", "year"), Some((IntervalKind::YearMonth, -12)));
/// assert_eq!(interval("1.5", "second"), Some((IntervalKind::DayTime, 1_500)));
/// assert_eq!(interval("1.5", "day"), None);
/// ```
pub fn interval(text: &str, unit: &str) -> Option<(IntervalKind, i64)> {
    let (kind, numerator, denominator) = IntervalKind::of_unit(unit)?;
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.is_empty() && (numerator, denominator) != (1_000, 1) || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = fraction.bytes().chain(*b"000").take(3).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let negative = whole.starts_with('-');
    let count = whole.parse::<i64>().ok()?.checked_mul(numerator)? / denominator;
    let sum = if negative { count.checked_sub(thousandths)? } else { count.checked_add(thousandths)? };
    Some((kind, sum))
}
