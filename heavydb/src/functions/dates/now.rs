//! The instant of a statement: it is put in as a literal before planning, so that one statement sees one instant and a replay sees
//! that of its log record.

use datafusion::common::ScalarValue;

use super::calendar::DAY;
use super::instants::date_of;
use crate::functions::{Action, Example, Function};

const LITERAL: Action = Action::Rewritten("a literal: the instant of the statement in UTC, in a replay that of the log record");

/// The functions of the instant as values.
///
/// `name` is a name of the list in any case, `epoch_seconds` the instant. DATETIME stands for `DATETIME('NOW')`; the caller refuses
/// other arguments. `None`: no function of the instant, or an instant beyond the DATEs.
///
/// ```
/// # use datafusion::common::ScalarValue;
/// # use datafusion_heavydb::functions::dates::now::value_of;
/// assert_eq!(value_of("current_date", 86_399), Some(ScalarValue::Date32(Some(0))));
/// assert_eq!(value_of("NOW", 86_399), Some(ScalarValue::TimestampSecond(Some(86_399), None)));
/// ```
pub fn value_of(name: &str, epoch_seconds: i64) -> Option<ScalarValue> {
    match name.to_ascii_uppercase().as_str() {
        "NOW" | "CURRENT_TIMESTAMP" | "DATETIME" => Some(ScalarValue::TimestampSecond(Some(epoch_seconds), None)),
        "CURRENT_DATE" => date_of(epoch_seconds).ok().map(|days| ScalarValue::Date32(Some(days))),
        "CURRENT_TIME" => i32::try_from(epoch_seconds.rem_euclid(DAY)).ok().map(|seconds| ScalarValue::Time32Second(Some(seconds))),
        _ => None,
    }
}

/// Today.
pub(super) const CURRENT_DATE: Function = Function {
    name: "CURRENT_DATE",
    arguments: "[()]",
    action: LITERAL,
    doc: "The day of the statement as DATE.",
    example: Example { sql: "DATEDIFF('day', CURRENT_DATE, NOW())", value: "0" },
};

/// The time of day.
pub(super) const CURRENT_TIME: Function = Function {
    name: "CURRENT_TIME",
    arguments: "[()]",
    action: LITERAL,
    doc: "The time of day of the statement as TIME(0).",
    example: Example { sql: "CURRENT_TIME = CAST(NOW() AS TIME)", value: "true" },
};

/// Now.
pub(super) const CURRENT_TIMESTAMP: Function = Function {
    name: "CURRENT_TIMESTAMP",
    arguments: "[()]",
    action: LITERAL,
    doc: "The instant of the statement as TIMESTAMP(0).",
    example: Example { sql: "CURRENT_TIMESTAMP = NOW()", value: "true" },
};

/// Now.
pub(super) const NOW: Function = Function {
    name: "NOW",
    arguments: "()",
    action: LITERAL,
    doc: "The instant of the statement as TIMESTAMP(0).",
    example: Example { sql: "NOW() >= TIMESTAMP '1970-01-01 00:00:00'", value: "true" },
};

/// Now.
pub(super) const DATETIME: Function = Function {
    name: "DATETIME",
    arguments: "('NOW')",
    action: LITERAL,
    doc: "DATETIME('NOW') is NOW(); other arguments are refused.",
    example: Example { sql: "DATETIME('NOW') = NOW()", value: "true" },
};
