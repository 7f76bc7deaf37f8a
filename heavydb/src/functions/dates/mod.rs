//! Dates and times: the units, the functions of a unit, the instant of a statement, arithmetic with intervals.
//!
//! An instant is an [`instants::Instants`]: counts since 1970-01-01 of the argument's own precision, so that no value is rounded on
//! its way. Everything before 1970 rounds down. There are no time zones and no leap seconds.

pub mod add;
pub mod calendar;
pub mod difference;
pub mod extract;
pub mod instants;
pub mod intervals;
pub mod now;
#[cfg(test)]
mod tests;
pub mod truncate;
pub mod units;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use self::add::DATEADD;
use self::difference::DATEDIFF;
use self::extract::{DATEPART, EXTRACT};
use self::truncate::DATE_TRUNC;
use super::scalar::ScalarFunction;
use super::{Action, Example, Function, Implementation};

const PG_EXTRACT: ScalarFunction = ScalarFunction { name: "pg_extract", ..EXTRACT };
const PG_DATE_TRUNC: ScalarFunction = ScalarFunction { name: "pg_date_trunc", ..DATE_TRUNC };
const TIMESTAMPADD: ScalarFunction = ScalarFunction { name: "timestampadd", ..DATEADD };
const TIMESTAMPDIFF: ScalarFunction = ScalarFunction { name: "timestampdiff", ..DATEDIFF };

/// The functions of dates and times.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "DATE_TRUNC",
        arguments: "(unit, x)",
        action: Action::Own(Implementation::Scalar(|| DATE_TRUNC.udf())),
        doc: "Start of the unit that holds x, as TIMESTAMP of x's precision (of a DATE or TIME: TIMESTAMP(0)). A TIME takes hour, minute and second.",
        example: Example { sql: "DATE_TRUNC(week_sunday, TIMESTAMP '2012-05-08 20:15:12')", value: "2012-05-06 00:00:00" },
    },
    Function {
        name: "PG_DATE_TRUNC",
        arguments: "(unit, x)",
        action: Action::Own(Implementation::Scalar(|| PG_DATE_TRUNC.udf())),
        doc: "DATE_TRUNC under its name in PostgreSQL's order of arguments.",
        example: Example { sql: "PG_DATE_TRUNC('decade', TIMESTAMP '1903-05-08 20:15:12')", value: "1900-01-01 00:00:00" },
    },
    Function {
        name: "EXTRACT",
        arguments: "(unit FROM x)",
        action: Action::Own(Implementation::Scalar(|| EXTRACT.udf())),
        doc: "A part of x as BIGINT. EPOCH is whole seconds, rounded down; MILLISECOND, MICROSECOND and NANOSECOND hold the seconds of the minute too.",
        example: Example { sql: "EXTRACT(millisecond FROM TIMESTAMP(9) '2006-04-26 03:49:04.607435125')", value: "4607" },
    },
    Function {
        name: "PG_EXTRACT",
        arguments: "(unit, x)",
        action: Action::Own(Implementation::Scalar(|| PG_EXTRACT.udf())),
        doc: "EXTRACT as a plain call.",
        example: Example { sql: "PG_EXTRACT('isodow', DATE '2013-12-01')", value: "7" },
    },
    Function {
        name: "DATEPART",
        arguments: "(unit, x)",
        action: Action::Own(Implementation::Scalar(|| DATEPART.udf())),
        doc: "A part of x as BIGINT, by T-SQL's letters: m is the month, y the day of the year, n the minute, weekday the ISO day.",
        example: Example { sql: "DATEPART('y', TIMESTAMP '2007-10-30 12:15:32')", value: "303" },
    },
    Function {
        name: "DATEADD",
        arguments: "(unit, n, x)",
        action: Action::Own(Implementation::Scalar(|| DATEADD.udf())),
        doc: "x and n units, as TIMESTAMP of x's precision; the day is clamped to the month's end, and n of a finer unit is rounded down to x's.",
        example: Example { sql: "DATEADD('month', 1, TIMESTAMP '2009-01-31 01:02:03')", value: "2009-02-28 01:02:03" },
    },
    Function {
        name: "TIMESTAMPADD",
        arguments: "(unit, n, x)",
        action: Action::Own(Implementation::Scalar(|| TIMESTAMPADD.udf())),
        doc: "DATEADD under its name in ODBC.",
        example: Example { sql: "TIMESTAMPADD(YEAR, 1, TIMESTAMP '2008-02-29 1:11:11')", value: "2009-02-28 01:11:11" },
    },
    Function {
        name: "DATEDIFF",
        arguments: "(unit, a, b)",
        action: Action::Own(Implementation::Scalar(|| DATEDIFF.udf())),
        doc: "Completed units from a to b as BIGINT, cut towards zero; a month counts when its day and time of day are reached.",
        example: Example { sql: "DATEDIFF('day', DATE '1971-03-02', DATE '1970-01-01')", value: "-425" },
    },
    Function {
        name: "TIMESTAMPDIFF",
        arguments: "(unit, a, b)",
        action: Action::Own(Implementation::Scalar(|| TIMESTAMPDIFF.udf())),
        doc: "DATEDIFF under its name in ODBC.",
        example: Example { sql: "TIMESTAMPDIFF(month, TIMESTAMP '2003-05-01 12:05:55', TIMESTAMP '2003-02-01 0:00:00')", value: "-3" },
    },
    now::CURRENT_DATE,
    now::CURRENT_TIME,
    now::CURRENT_TIMESTAMP,
    now::NOW,
    now::DATETIME,
    Function {
        name: "USTIMESTAMP",
        arguments: "(s)",
        action: Action::Rewritten("CAST(s AS TIMESTAMP(6)); s is a literal"),
        doc: "TIMESTAMP(6) of a text literal.",
        example: Example { sql: "usTIMESTAMP('1999-07-11 14:02:53.874533')", value: "1999-07-11 14:02:53.874533" },
    },
    Function {
        name: "NSTIMESTAMP",
        arguments: "(s)",
        action: Action::Rewritten("CAST(s AS TIMESTAMP(9)); s is a literal"),
        doc: "TIMESTAMP(9) of a text literal.",
        example: Example { sql: "nsTIMESTAMP('2006-04-26 03:49:04.607435125')", value: "2006-04-26 03:49:04.607435125" },
    },
];

/// The value of an argument, if it is constant.
fn constant_argument(argument: &ColumnarValue) -> Option<&ScalarValue> {
    match argument {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(_) => None,
    }
}
