//! The proleptic Gregorian calendar over days since 1970-01-01, for every year that 64-bit seconds reach.
//!
//! chrono ends at the year 262143; HeavyDB's instants do not.

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A day of the calendar; the year before 1 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// The year, astronomical.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

impl Civil {
    /// The day that lies so many days after 1970-01-01.
    ///
    /// Counted in eras of 400 years from 1 March 0000, so that a leap day ends its year (Hinnant, "chrono-compatible low-level date
    /// algorithms").
    ///
    /// ```
    /// # use datafusion_heavydb::functions::dates::calendar::Civil;
    /// assert_eq!(Civil::of(-1), Civil { year: 1969, month: 12, day: 31 });
    /// ```
    pub fn of(days: i64) -> Self {
        let shifted = days.saturating_add(719_468);
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self { year, month, day: day_of_year - (153 * shifted_month + 2) / 5 + 1 }
    }

    /// Days since 1970-01-01; a day beyond the month's end counts on into the next month. The year is at most 10^15 from 0.
    ///
    /// ```
    /// # use datafusion_heavydb::functions::dates::calendar::Civil;
    /// let days = Civil { year: 2022, month: 2, day: 30 }.days();
    /// assert_eq!(Civil::of(days), Civil { year: 2022, month: 3, day: 2 });
    /// ```
    pub const fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let shifted_month = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// Months since January of the year 0.
    pub fn months(self) -> i64 {
        self.year * 12 + self.month - 1
    }

    /// The same day so many months later; the last day of the month where that month is shorter. `None` beyond the year 10^15.
    pub fn plus_months(self, months: i64) -> Option<Self> {
        let months = self.months().checked_add(months).filter(|months| months.unsigned_abs() < 12_000_000_000_000_000)?;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        Some(Self { year, month, day: self.day.min(days_in_month(year, month)) })
    }
}

/// Days of a month.
fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// First day of the year, in days since 1970-01-01.
pub const fn new_year(year: i64) -> i64 {
    Civil { year, month: 1, day: 1 }.days()
}

/// Days since the last day of the week `first` (Monday 0 … Sunday 6), that day included as 0.
pub const fn days_into_week(days: i64, first: i64) -> i64 {
    // 1970-01-01 is a Thursday.
    (days.rem_euclid(7) + 3 - first).rem_euclid(7)
}

/// Number of the week, 1 to 53: weeks start at `first` (Monday 0 … Sunday 6), and week 1 holds 4 January.
pub fn week_of_year(days: i64, first: i64) -> i64 {
    let start = |year| {
        let fourth = new_year(year) + 3;
        fourth - days_into_week(fourth, first)
    };
    let year = Civil::of(days).year;
    let own = [year + 1, year].into_iter().map(start).find(|start| *start <= days).unwrap_or_else(|| start(year - 1));
    (days - own) / 7 + 1
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn days_and_dates_agree_with_chrono_over_seven_centuries() {
        let mut date = NaiveDate::from_ymd_opt(1580, 1, 1).unwrap();
        let mut days = new_year(1580);
        while date.year() < 2300 {
            let civil = Civil { year: date.year().into(), month: date.month().into(), day: date.day().into() };
            assert_eq!((Civil::of(days), civil.days()), (civil, days));
            assert_eq!(week_of_year(days, 0), i64::from(date.iso_week().week()), "{date}");
            assert_eq!(days_into_week(days, 6), i64::from(date.weekday().num_days_from_sunday()), "{date}");
            (date, days) = (date.succ_opt().unwrap(), days + 1);
        }
    }

    #[test]
    fn years_before_the_first_are_leap_years_every_fourth() {
        assert_eq!(Civil { year: 0, month: 2, day: 29 }.days() + 1, Civil { year: 0, month: 3, day: 1 }.days());
        assert_eq!(Civil::of(Civil { year: -4, month: 2, day: 29 }.days()), Civil { year: -4, month: 2, day: 29 });
    }

    #[test]
    fn a_month_later_is_clamped_to_the_end_of_the_month() {
        let last = Civil { year: 2008, month: 1, day: 31 };
        assert_eq!(last.plus_months(1), Some(Civil { year: 2008, month: 2, day: 29 }));
        assert_eq!(last.plus_months(-2), Some(Civil { year: 2007, month: 11, day: 30 }));
        assert_eq!(last.plus_months(i64::MAX), None);
    }
}
