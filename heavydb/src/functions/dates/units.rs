//! The units of time: their names, and which function takes which.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};

/// What a unit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 10^-9 s.
    Nanosecond,
    /// 10^-6 s.
    Microsecond,
    /// 10^-3 s.
    Millisecond,
    /// The SI second; there are no leap seconds.
    Second,
    /// 60 s.
    Minute,
    /// 60 minutes.
    Hour,
    /// 6 hours from midnight, numbered 1 to 4.
    QuarterDay,
    /// 24 hours.
    Day,
    /// From Monday; week 1 holds 4 January, as in all three.
    Week,
    /// From Sunday.
    WeekSunday,
    /// From Saturday.
    WeekSaturday,
    /// A calendar month.
    Month,
    /// Three months from January.
    Quarter,
    /// A calendar year.
    Year,
    /// 2000 to 2009.
    Decade,
    /// 2001 to 2100.
    Century,
    /// 2001 to 3000.
    Millennium,
    /// Day of the week, Sunday 0 … Saturday 6.
    DayOfWeek,
    /// Day of the week, Monday 1 … Sunday 7.
    IsoDayOfWeek,
    /// Day of the year from 1.
    DayOfYear,
    /// Seconds since 1970-01-01, rounded down.
    Epoch,
    /// Seconds since 1970-01-01 of the day's midnight.
    DateEpoch,
}

/// The functions that take a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// DATE_TRUNC.
    Truncate,
    /// EXTRACT.
    Extract,
    /// DATEPART.
    Part,
    /// DATEADD.
    Add,
    /// DATEDIFF.
    Difference,
}

impl Use {
    /// Name of the function, for messages.
    fn function(self) -> &'static str {
        match self {
            Self::Truncate => "DATE_TRUNC",
            Self::Extract => "EXTRACT",
            Self::Part => "DATEPART",
            Self::Add => "DATEADD",
            Self::Difference => "DATEDIFF",
        }
    }

    /// EXTRACT and DATE_TRUNC take the names alone, the T-SQL functions their letters too.
    fn takes_letters(self) -> bool {
        matches!(self, Self::Part | Self::Add | Self::Difference)
    }
}

/// One name of a unit and where it is allowed.
#[derive(Debug, Clone, Copy)]
pub struct NamedUnit {
    /// The name.
    pub name: &'static str,
    /// T-SQL's and ODBC's names.
    pub letters: &'static [&'static str],
    /// What it means.
    pub unit: Unit,
    /// Who takes it.
    pub uses: &'static [Use],
}

/// All units. A name may stand twice where two functions mean different units by it.
pub const UNITS: &[NamedUnit] = {
    use Unit::*;
    use Use::*;
    const EVERYWHERE: &[Use] = &[Truncate, Extract, Part, Add, Difference];
    const NOT_ADDED: &[Use] = &[Truncate, Extract, Part, Difference];
    const LONG: &[Use] = &[Truncate, Add, Difference];
    const PARTS: &[Use] = &[Extract];
    const fn row(name: &'static str, letters: &'static [&'static str], unit: Unit, uses: &'static [Use]) -> NamedUnit {
        NamedUnit { name, letters, unit, uses }
    }
    &[
        row("year", &["yy", "yyyy", "sql_tsi_year"], Year, EVERYWHERE),
        row("quarter", &["qq", "q", "sql_tsi_quarter"], Quarter, EVERYWHERE),
        row("month", &["mm", "m", "sql_tsi_month"], Month, EVERYWHERE),
        row("day", &["dd", "d", "sql_tsi_day"], Day, EVERYWHERE),
        row("hour", &["hh", "sql_tsi_hour"], Hour, EVERYWHERE),
        row("minute", &["mi", "n", "sql_tsi_minute"], Minute, EVERYWHERE),
        row("second", &["ss", "s", "sql_tsi_second"], Second, EVERYWHERE),
        row("millisecond", &["ms", "sql_tsi_millisecond"], Millisecond, EVERYWHERE),
        row("microsecond", &["us", "frac_second", "sql_tsi_microsecond"], Microsecond, EVERYWHERE),
        row("nanosecond", &["ns", "sql_tsi_frac_second", "sql_tsi_nanosecond"], Nanosecond, EVERYWHERE),
        row("week", &["ww", "w", "sql_tsi_week"], Week, EVERYWHERE),
        row("week_sunday", &[], WeekSunday, NOT_ADDED),
        row("week_saturday", &[], WeekSaturday, NOT_ADDED),
        row("quarterday", &["dq"], QuarterDay, NOT_ADDED),
        row("decade", &["dc"], Decade, LONG),
        row("century", &[], Century, LONG),
        row("millennium", &[], Millennium, LONG),
        row("dow", &[], DayOfWeek, PARTS),
        row("isodow", &[], IsoDayOfWeek, PARTS),
        row("doy", &[], DayOfYear, PARTS),
        row("epoch", &[], Epoch, PARTS),
        row("dateepoch", &[], DateEpoch, PARTS),
        row("weekday", &["dw"], IsoDayOfWeek, &[Part]),
        row("weekday", &["dw"], Day, &[Add]),
        row("dayofyear", &["dy", "y"], DayOfYear, &[Part]),
    ]
};

impl Unit {
    /// Unit of a name, in any case, as a function understands it.
    ///
    /// ```
    /// # use datafusion_heavydb::functions::dates::units::{Unit, Use};
    /// assert_eq!(Unit::of("m", Use::Part).unwrap(), Unit::Month);
    /// assert_eq!(Unit::of("Weekday", Use::Add).unwrap(), Unit::Day);
    /// assert!(Unit::of("m", Use::Extract).is_err());
    /// ```
    ///
    /// # Errors
    /// A name that the function does not take; the message lists those that it takes.
    pub fn of(name: &str, wanted: Use) -> Result<Self> {
        let known = |row: &&NamedUnit| {
            row.name.eq_ignore_ascii_case(name)
                || wanted.takes_letters() && row.letters.iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        match UNITS.iter().filter(|row| row.uses.contains(&wanted)).find(known) {
            Some(row) => Ok(row.unit),
            None => {
                let names: Vec<_> = UNITS.iter().filter(|row| row.uses.contains(&wanted)).map(|row| row.name).collect();
                plan_err!("{} has no unit '{name}'; it takes {}", wanted.function(), names.join(", "))
            }
        }
    }

    /// The unit in a constant argument.
    ///
    /// # Errors
    /// No text literal, NULL, or a name that the function does not take.
    pub fn of_argument(argument: Option<&ScalarValue>, wanted: Use) -> Result<Self> {
        match argument.map(|value| value.try_as_str()) {
            Some(Some(Some(name))) => Self::of(name, wanted),
            _ => plan_err!("the unit of {} must be a literal, such as 'month'", wanted.function()),
        }
    }

    /// Fails for a unit that a TIME does not have.
    ///
    /// # Errors
    /// A TIME with a unit other than hour, minute and second.
    pub fn check(self, data_type: &DataType, wanted: Use) -> Result<()> {
        match data_type {
            DataType::Time32(_) if !matches!(self, Self::Hour | Self::Minute | Self::Second) => {
                plan_err!("{} of a TIME takes hour, minute and second alone", wanted.function())
            }
            _ => Ok(()),
        }
    }

    /// Units of a second, for the second and its parts.
    pub fn per_second(self) -> Option<i64> {
        match self {
            Self::Second => Some(1),
            Self::Millisecond => Some(1_000),
            Self::Microsecond => Some(1_000_000),
            Self::Nanosecond => Some(1_000_000_000),
            _ => None,
        }
    }

    /// Length in seconds of the units from the minute to the week.
    pub fn seconds(self) -> Option<i64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(60),
            Self::Hour => Some(3_600),
            Self::QuarterDay => Some(21_600),
            Self::Day => Some(86_400),
            Self::Week | Self::WeekSunday | Self::WeekSaturday => Some(604_800),
            _ => None,
        }
    }

    /// Length in months of the units from the month on.
    pub fn months(self) -> Option<i64> {
        match self {
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
            Self::Decade => Some(120),
            Self::Century => Some(1_200),
            Self::Millennium => Some(12_000),
            _ => None,
        }
    }

    /// The day on which the weeks start: Monday 0 … Sunday 6.
    pub fn first_day(self) -> Option<i64> {
        match self {
            Self::Week => Some(0),
            Self::WeekSaturday => Some(5),
            Self::WeekSunday => Some(6),
            _ => None,
        }
    }
}
