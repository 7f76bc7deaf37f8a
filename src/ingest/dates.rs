//! Dates as text, settled for a whole file: one format, one order of day and month, and never a guess.
//!
//! Read are year first (`2024-01-04`, `20240104`), day or month first (`04-01-2024`), the month by name (`04-Jan-2024`) and epoch numbers;
//! parts are separated by `-`, `/` or `.`. A time part must be midnight. Two-digit years and spreadsheet serial numbers are errors.

use std::fmt;
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::options::{DateOrder, TimeUnit};
use super::text_column::TextColumn;
use crate::error::{Result, SourceError};

/// English month names, as far as they are needed to tell them apart.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Epoch numbers that are read without being told the unit fall into these years.
const EPOCH_YEARS: std::ops::RangeInclusive<i32> = 1990..=2100;
/// Units of epoch numbers with the number of them in a second.
const TIME_UNITS: &[(TimeUnit, i64, &str)] = &[
    (TimeUnit::Second, 1, "s"),
    (TimeUnit::Millisecond, 1_000, "ms"),
    (TimeUnit::Microsecond, 1_000_000, "us"),
    (TimeUnit::Nanosecond, 1_000_000_000, "ns"),
];
const SECONDS_PER_DAY: i64 = 86_400;

/// A date column together with what is needed to settle and to blame.
pub(crate) struct DateColumn<'a> {
    /// The file as the user named it.
    pub(crate) file: &'a str,
    /// Name of the column.
    pub(crate) name: &'a str,
    /// The texts.
    pub(crate) texts: &'a TextColumn,
    /// Line of each row.
    pub(crate) lines: &'a [u64],
    /// Weekday texts of the same rows, where the file has them.
    pub(crate) weekdays: Option<&'a TextColumn>,
    /// Order the user asked for.
    pub(crate) order: Option<DateOrder>,
    /// Unit of epoch numbers the user asked for.
    pub(crate) time_unit: Option<TimeUnit>,
}

/// Dates of a column.
#[derive(Debug)]
pub(crate) struct Dates {
    /// Date of each distinct text.
    pub(crate) values: Vec<NaiveDate>,
    /// How the file writes dates and what settled it.
    pub(crate) why: String,
}

/// How one date is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    YearFirst(char),
    Compact,
    DayOrMonthFirst(char),
    MonthName(char),
    Epoch,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::YearFirst(s) => write!(f, "YYYY{s}MM{s}DD"),
            Format::Compact => f.write_str("YYYYMMDD"),
            Format::DayOrMonthFirst(s) => write!(f, "DD{s}MM{s}YYYY or MM{s}DD{s}YYYY"),
            Format::MonthName(s) => write!(f, "DD{s}Mon{s}YYYY"),
            Format::Epoch => f.write_str("epoch number"),
        }
    }
}

/// A date taken apart: (year, month, day), or (year, first, second) where the order is open; an epoch number in `number`.
#[derive(Debug, Clone, Copy)]
struct Parts {
    format: Format,
    year: i32,
    first: u32,
    second: u32,
    number: i64,
}

/// Why a text is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Missing,
    NotADate,
    TwoDigitYear,
    SerialNumber,
    TimeOfDay,
}

impl Fault {
    fn reason(self) -> &'static str {
        match self {
            Fault::Missing => "a row without date",
            Fault::NotADate => "not a date",
            Fault::TwoDigitYear => "a year of two digits",
            Fault::SerialNumber => "a spreadsheet serial number or a day number, not a date",
            Fault::TimeOfDay => "a time of day in the date column",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Fault::Missing => "every row needs a date: fill it in or remove the row",
            Fault::NotADate => {
                "write dates as YYYY-MM-DD, name another column with --date-column, or give the dates of day numbers with --dates FILE"
            }
            Fault::TwoDigitYear => "write the year with four digits",
            Fault::SerialNumber => {
                "format the column as text YYYY-MM-DD before exporting it, or give the dates of day numbers with --dates FILE"
            }
            Fault::TimeOfDay => "keep the date alone; times of day go into columns start_time and end_time",
        }
    }
}

impl DateColumn<'_> {
    /// Settles format and order of the whole column and gives the date of every distinct text.
    ///
    /// # Errors
    /// Texts that are no dates, two formats, a day/month order that stays open, a value that contradicts the order, impossible dates.
    pub(crate) fn settle(&self) -> Result<Dates> {
        let parts = self.take_apart()?;
        let format = self.one_format(&parts)?;
        match format {
            Format::DayOrMonthFirst(_) => {
                let (order, why) = self.settle_order(&parts)?;
                Ok(Dates { values: self.build(&parts, order)?, why })
            }
            Format::Epoch => self.epoch_dates(&parts),
            _ => Ok(Dates { values: self.build(&parts, DateOrder::Mdy)?, why: format!("written {format}") }),
        }
    }

    fn error(&self, id: usize, reason: impl Into<String>) -> SourceError {
        SourceError::new(self.file, reason).at_line(self.line(id)).in_column(self.name).with_text(&self.texts.values()[id])
    }

    /// First line that holds a distinct text.
    fn line(&self, id: usize) -> u64 {
        self.lines[self.texts.first_row(id as u32) as usize]
    }

    /// Rows that hold one of the distinct texts.
    fn rows(&self, ids: impl Iterator<Item = usize>) -> u64 {
        let counts = self.texts.counts();
        ids.map(|id| counts[id]).sum()
    }

    fn take_apart(&self) -> Result<Vec<Parts>> {
        let taken: Vec<_> = self.texts.values().iter().map(|text| take_apart(text)).collect();
        let Some((first, fault)) = taken.iter().enumerate().find_map(|(i, t)| t.err().map(|fault| (i, fault))) else {
            return Ok(taken.into_iter().filter_map(std::result::Result::ok).collect());
        };
        let same = taken.iter().enumerate().filter(|(_, t)| t.err() == Some(fault)).map(|(i, _)| i);
        Err(self.error(first, fault.reason()).counted(self.rows(same)).with_remedy(fault.remedy()).into())
    }

    fn one_format(&self, parts: &[Parts]) -> Result<Format> {
        let first = parts.first().map_or(Format::Compact, |p| p.format);
        let Some(other) = parts.iter().position(|p| p.format != first) else { return Ok(first) };
        let reason = format!(
            "two date formats in one column: {first} from line {} on ('{}'), here {}",
            self.line(0),
            self.texts.values()[0],
            parts[other].format
        );
        let differing = parts.iter().enumerate().filter(|(_, p)| p.format != first).map(|(i, _)| i);
        Err(self.error(other, reason).counted(self.rows(differing)).with_remedy("write all dates in one format, best YYYY-MM-DD").into())
    }

    /// Order of day and month for the whole file, and what settled it.
    fn settle_order(&self, parts: &[Parts]) -> Result<(DateOrder, String)> {
        if let Some(order) = self.order {
            return Ok((order, format!("order {} as asked for", order_name(order))));
        }
        let only = |order| parts.iter().enumerate().filter(move |(_, p)| only_order(p) == Some(order)).map(|(i, _)| i);
        let (dmy, mdy) = (only(DateOrder::Dmy).count(), only(DateOrder::Mdy).count());
        if dmy > 0 || mdy > 0 {
            let order = if dmy >= mdy { DateOrder::Dmy } else { DateOrder::Mdy };
            let (n, first) = (dmy.max(mdy), only(order).next().unwrap_or_default());
            let why = format!(
                "order {} settled by {n} of {} dates, first line {} ('{}')",
                order_name(order),
                parts.len(),
                self.line(first),
                self.texts.values()[first]
            );
            return Ok((order, why));
        }
        // Two parts above 12 make no date in any order: that is found when the dates are built.
        if parts.iter().all(|p| p.first == p.second || p.first.min(p.second) > 12) {
            return Ok((DateOrder::Dmy, "day and month are equal in every date".into()));
        }
        self.order_by_weekday(parts)
    }

    /// The one order in which every row's weekday fits its date.
    fn order_by_weekday(&self, parts: &[Parts]) -> Result<(DateOrder, String)> {
        let fits = |order| match self.weekdays {
            Some(days) => self.texts.ids().iter().zip(days.ids()).all(|(&date, &day)| {
                let date = assemble(&parts[date as usize], order);
                date.is_some_and(|date| weekday(&days.values()[day as usize]) == Some(date.weekday()))
            }),
            None => false,
        };
        match (fits(DateOrder::Dmy), fits(DateOrder::Mdy)) {
            (true, false) => Ok((DateOrder::Dmy, "order dmy settled by the weekday column, which fits no other order".into())),
            (false, true) => Ok((DateOrder::Mdy, "order mdy settled by the weekday column, which fits no other order".into())),
            _ => {
                let open = |&(_, p): &(usize, &Parts)| p.first != p.second;
                let n = parts.iter().enumerate().filter(open).count();
                let first = parts.iter().enumerate().find(open).map_or(0, |(i, _)| i);
                let reason = format!("ambiguous day/month order, {n} values fit both");
                Err(self.error(first, reason).with_remedy("use --date-order dmy or --date-order mdy").into())
            }
        }
    }

    fn build(&self, parts: &[Parts], order: DateOrder) -> Result<Vec<NaiveDate>> {
        let dates: Vec<_> = parts.iter().map(|p| assemble(p, order)).collect();
        let Some(first) = dates.iter().position(Option::is_none) else { return Ok(dates.into_iter().flatten().collect()) };
        let contradicts = |p: &Parts| matches!(p.format, Format::DayOrMonthFirst(_)) && only_order(p).is_some_and(|only| only != order);
        let bad = |same: bool| {
            dates.iter().zip(parts).enumerate().filter(move |(_, (d, p))| d.is_none() && contradicts(p) == same).map(|(i, _)| i)
        };
        let error = if contradicts(&parts[first]) {
            let reason = format!("the date contradicts the order {} of the file", order_name(order));
            self.error(first, reason)
                .counted(self.rows(bad(true)))
                .with_remedy("correct the date, or say the order of the whole file with --date-order")
        } else {
            self.error(first, "impossible date")
                .counted(self.rows(bad(false)))
                .with_remedy("correct the date; nothing of the file was stored")
        };
        Err(error.into())
    }

    fn epoch_dates(&self, parts: &[Parts]) -> Result<Dates> {
        let in_range = |per_second: i64| {
            parts.iter().all(|p| epoch_date(p.number.div_euclid(per_second)).is_some_and(|date| EPOCH_YEARS.contains(&date.year())))
        };
        let found: Vec<_> = match self.time_unit {
            Some(asked) => TIME_UNITS.iter().filter(|(unit, ..)| *unit == asked).collect(),
            None => TIME_UNITS.iter().filter(|(_, per_second, _)| in_range(*per_second)).collect(),
        };
        let [(_, per_second, name)] = found.as_slice() else {
            let reason = "epoch numbers whose unit does not show: not all fall into 1990 to 2100 for exactly one unit";
            return Err(self.error(0, reason).with_remedy("use --time-unit s, ms, us or ns").into());
        };
        let per_day = per_second * SECONDS_PER_DAY;
        if let Some(first) = parts.iter().position(|p| p.number.rem_euclid(per_day) != 0) {
            let same = parts.iter().enumerate().filter(|(_, p)| p.number.rem_euclid(per_day) != 0).map(|(i, _)| i);
            return Err(self
                .error(first, Fault::TimeOfDay.reason())
                .counted(self.rows(same))
                .with_remedy(Fault::TimeOfDay.remedy())
                .into());
        }
        let dates: Vec<_> = parts.iter().map(|p| epoch_date(p.number.div_euclid(*per_second))).collect();
        if let Some(first) = dates.iter().position(Option::is_none) {
            return Err(self.error(first, "impossible date").with_remedy("check --time-unit").into());
        }
        let how = if self.time_unit.is_some() { "as asked for" } else { "the only unit that puts all values into 1990 to 2100" };
        Ok(Dates { values: dates.into_iter().flatten().collect(), why: format!("epoch numbers in {name}, {how}") })
    }
}

/// Weekday that a text names in English, whole or by three letters.
pub(crate) fn weekday(text: &str) -> Option<Weekday> {
    // chrono reads exactly these two spellings, in any letter case.
    text.trim().parse().ok()
}

/// Name of an order as the option spells it.
fn order_name(order: DateOrder) -> &'static str {
    match order {
        DateOrder::Dmy => "dmy",
        DateOrder::Mdy => "mdy",
    }
}

/// The only order in which a date of open order can be one.
fn only_order(parts: &Parts) -> Option<DateOrder> {
    match (parts.first > 12, parts.second > 12) {
        (true, false) => Some(DateOrder::Dmy),
        (false, true) => Some(DateOrder::Mdy),
        _ => None,
    }
}

fn assemble(parts: &Parts, order: DateOrder) -> Option<NaiveDate> {
    let (month, day) = match order {
        DateOrder::Dmy => (parts.second, parts.first),
        DateOrder::Mdy => (parts.first, parts.second),
    };
    NaiveDate::from_ymd_opt(parts.year, month, day).filter(|date| date.year() > 0)
}

fn epoch_date(seconds: i64) -> Option<NaiveDate> {
    let days = seconds.div_euclid(SECONDS_PER_DAY);
    match u64::try_from(days) {
        Ok(days) => NaiveDate::default().checked_add_days(Days::new(days)),
        Err(_) => NaiveDate::default().checked_sub_days(Days::new(days.unsigned_abs())),
    }
}

fn take_apart(text: &str) -> std::result::Result<Parts, Fault> {
    let text = text.trim();
    if text.is_empty() || ["null", "n/a", "na", "none", "nan", "nat"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(Fault::Missing);
    }
    let date = match text.split_once(['T', ' ']) {
        Some((date, time)) if is_midnight(time) => date,
        Some((date, time)) if time.starts_with(|c: char| c.is_ascii_digit()) && take_apart(date).is_ok() => return Err(Fault::TimeOfDay),
        Some(_) => return Err(Fault::NotADate),
        None => text,
    };
    match date.find(['-', '/', '.']).filter(|&at| at > 0) {
        Some(at) => three_parts(date, date[at..].chars().next().unwrap_or('-')),
        None => one_number(date),
    }
}

/// `00:00`, `00:00:00` or the same with a fraction of zeros.
fn is_midnight(time: &str) -> bool {
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    matches!(clock, "00:00" | "00:00:00") && !fraction.is_empty() && fraction.bytes().all(|b| b == b'0')
}

fn three_parts(date: &str, separator: char) -> std::result::Result<Parts, Fault> {
    let pieces: Vec<&str> = date.split(separator).collect();
    let [a, b, c] = pieces.as_slice() else {
        // 45000.0 is how a spreadsheet number looks after a detour through floats.
        return Err(if separator == '.' {
            one_number(date.trim_end_matches('0').trim_end_matches('.')).err().unwrap_or(Fault::NotADate)
        } else {
            Fault::NotADate
        });
    };
    let short = |piece: &str| if (1..=2).contains(&piece.len()) { digits(piece) } else { None };
    let year = |piece: &str| if piece.len() == 4 { digits(piece) } else { None };
    let parts = |format, year: u32, first, second| Ok(Parts { format, year: year as i32, first, second, number: 0 });
    if let (Some(y), Some(m), Some(d)) = (year(a), short(b), short(c)) {
        return parts(Format::YearFirst(separator), y, m, d);
    }
    if let (Some(d), Some(m)) = (short(a), month_by_name(b)) {
        return year(c).map_or(Err(Fault::TwoDigitYear), |y| parts(Format::MonthName(separator), y, m, d));
    }
    match (short(a), short(b), year(c)) {
        (Some(first), Some(second), Some(y)) => parts(Format::DayOrMonthFirst(separator), y, first, second),
        (Some(_), Some(_), None) if c.len() == 2 && short(c).is_some() => Err(Fault::TwoDigitYear),
        _ => Err(Fault::NotADate),
    }
}

/// A date without separators: eight digits are year, month and day, long numbers count from the epoch, short ones come from a spreadsheet.
fn one_number(date: &str) -> std::result::Result<Parts, Fault> {
    let negative = date.starts_with('-');
    let number = date.parse::<i64>().map_err(|_| Fault::NotADate)?;
    match date.len() {
        8 if !negative => {
            let (year, first, second) = (number / 10_000, number / 100 % 100, number % 100);
            Ok(Parts { format: Format::Compact, year: year as i32, first: first as u32, second: second as u32, number: 0 })
        }
        9.. => Ok(Parts { format: Format::Epoch, year: 0, first: 0, second: 0, number }),
        4..=7 if !negative => Err(Fault::SerialNumber),
        _ => Err(Fault::NotADate),
    }
}

fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn month_by_name(text: &str) -> Option<u32> {
    let month = text.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|m| *m == month)?;
    text.bytes().all(|b| b.is_ascii_alphabetic()).then_some(at as u32 + 1)
}

/// Number of rows whose weekday text disagrees with the date, and the first such row.
pub(crate) fn weekday_mismatches(dates: &[NaiveDate], date_ids: &[u32], days: &TextColumn) -> (u64, Option<usize>) {
    let stated: Vec<(Option<Weekday>, &Arc<str>)> = days.values().iter().map(|text| (weekday(text), text)).collect();
    let disagrees = |(date, day): (&u32, &u32)| {
        let (stated, text) = stated[*day as usize];
        !text.is_empty() && stated != Some(dates[*date as usize].weekday())
    };
    let rows = date_ids.iter().zip(days.ids()).map(disagrees).enumerate().filter(|(_, wrong)| *wrong);
    let (mut count, mut first) = (0, None);
    rows.for_each(|(row, _)| {
        count += 1;
        first = first.or(Some(row));
    });
    (count, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(texts: &[&str]) -> TextColumn {
        let mut column = TextColumn::default();
        for (row, text) in texts.iter().enumerate() {
            let id = column.encode(text.as_bytes(), row as u32);
            column.push_id(id);
        }
        column
    }

    fn settle_with(texts: &[&str], days: Option<&[&str]>, order: Option<DateOrder>) -> Result<Dates> {
        let (texts, days) = (column(texts), days.map(column));
        let lines: Vec<u64> = (2..).take(texts.ids().len()).collect();
        DateColumn { file: "f.csv", name: "Date", texts: &texts, lines: &lines, weekdays: days.as_ref(), order, time_unit: None }.settle()
    }

    fn settle(texts: &[&str]) -> Result<Dates> {
        settle_with(texts, None, None)
    }

    fn first(texts: &[&str]) -> String {
        settle(texts).unwrap().values[0].to_string()
    }

    #[track_caller]
    fn refused(result: Result<Dates>, words: &[&str]) {
        let message = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }

    #[test]
    fn year_first_needs_no_settling() {
        for text in [
            "2024-01-04",
            "2024/01/04",
            "2024.01.04",
            "20240104",
            "2024-1-4",
            "2024-01-04 00:00:00",
            "2024-01-04T00:00:00.000",
            "04-Jan-2024",
            "4/January/2024",
        ] {
            assert_eq!(first(&[text]), "2024-01-04", "{text}");
        }
    }

    #[test]
    fn a_part_above_twelve_settles_the_whole_file() {
        let dmy = settle(&["02-01-2023", "13-01-2023"]).unwrap();
        assert_eq!(dmy.values[0].to_string(), "2023-01-02");
        assert!(dmy.why.contains("dmy settled by 1 of 2 dates, first line 3"), "{}", dmy.why);
        assert_eq!(first(&["02/01/2023", "01/13/2023"]), "2023-02-01");
        assert_eq!(first(&["02.01.2023", "31.01.2023"]), "2023-01-02");
        assert_eq!(first(&["05-05-2023"]), "2023-05-05");
    }

    #[test]
    fn the_weekday_settles_where_it_fits_one_order_only() {
        // 2 January 2023 is a Monday, 1 February 2023 a Wednesday.
        let monday = settle_with(&["02-01-2023"], Some(&["Monday"]), None).unwrap();
        assert_eq!(monday.values[0].to_string(), "2023-01-02");
        assert!(monday.why.contains("weekday"));
        assert_eq!(settle_with(&["02-01-2023"], Some(&["wed"]), None).unwrap().values[0].to_string(), "2023-02-01");
        refused(settle_with(&["02-01-2023"], Some(&["Sunday"]), None), &["ambiguous"]);
        refused(settle_with(&["02-01-2023", "03-01-2023"], Some(&["Monday", "Friday"]), None), &["ambiguous"]);
    }

    #[test]
    fn an_open_order_is_an_error_that_counts() {
        refused(
            settle(&["01-02-2024", "03-04-2024", "05-05-2024"]),
            &["line 2", "'Date'", "01-02-2024", "ambiguous day/month order, 2 values fit both", "--date-order"],
        );
    }

    #[test]
    fn the_option_wins_and_contradictions_are_named() {
        assert_eq!(settle_with(&["01-02-2024"], None, Some(DateOrder::Mdy)).unwrap().values[0].to_string(), "2024-01-02");
        refused(
            settle_with(&["01-02-2024", "13-02-2024"], None, Some(DateOrder::Mdy)),
            &["line 3", "13-02-2024", "contradicts the order mdy"],
        );
        refused(settle(&["13-01-2024", "14-01-2024", "01-15-2024"]), &["line 4", "contradicts the order dmy"]);
    }

    #[test]
    fn two_formats_name_both_lines() {
        refused(settle(&["01-02-2023", "2023-02-01"]), &["line 3", "line 2", "YYYY-MM-DD", "DD-MM-YYYY", "01-02-2023", "2023-02-01"]);
        refused(settle(&["13-02-2023", "14/02/2023"]), &["two date formats"]);
    }

    #[test]
    fn what_is_no_date_is_refused_by_kind() {
        for (text, says) in [
            ("31-02-2023", "impossible"),
            ("2024-02-31", "impossible"),
            ("2024-13-01", "impossible"),
            ("13-14-2024", "impossible"),
            ("20241301", "impossible"),
            ("01-02-23", "two digits"),
            ("01-Feb-23", "two digits"),
            ("45000", "serial"),
            ("45000.0", "serial"),
            ("2024-01-04 09:15:00", "time of day"),
            ("", "without date"),
            ("NaT", "without date"),
            ("yesterday", "not a date"),
            ("2024-01", "not a date"),
            ("2024-01-04-05", "not a date"),
            ("1.5.x", "not a date"),
            ("-", "not a date"),
        ] {
            refused(settle(&[text]), &[says, text]);
        }
    }

    #[test]
    fn equal_faults_are_counted_by_rows() {
        refused(settle(&["2024-01-01", "x", "x", "y"]), &["line 3", "(3 in all)"]);
    }

    #[test]
    fn epoch_numbers_need_one_fitting_unit() {
        assert_eq!(first(&["1704326400"]), "2024-01-04");
        let millis = settle(&["1704326400000", "1704412800000"]).unwrap();
        assert_eq!(millis.values[1].to_string(), "2024-01-05");
        assert!(millis.why.contains("in ms"), "{}", millis.why);
        refused(settle(&["1704326401"]), &["time of day"]);
        refused(settle(&["1704326400", "1704326400000"]), &["--time-unit"]);
        refused(settle(&["99999999999999999"]), &["--time-unit"]);
    }

    #[test]
    fn disagreeing_weekdays_are_counted() {
        let (texts, days) = (column(&["2024-01-04", "2024-01-05", "2024-01-06"]), column(&["Thursday", "Monday", ""]));
        let dates = settle(&["2024-01-04", "2024-01-05", "2024-01-06"]).unwrap();
        assert_eq!(weekday_mismatches(&dates.values, texts.ids(), &days), (1, Some(1)));
    }
}
