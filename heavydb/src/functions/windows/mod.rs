//! Functions of a row among others.
//!
//! Ranks are BIGINT. FIRST_VALUE, LAST_VALUE and NTH_VALUE look at the whole ordered partition, whatever the frame; the forms `..._IN_FRAME`
//! obey it. What HeavyDB makes of an `OVER` clause before, which frames it drops and which keys it adds, happens on the text.
//!
//! Besides these, [`WINDOW_AGGREGATES`] may stand over a window.

mod evaluators;
mod frames;
mod udwf;

use datafusion::functions_window::{cume_dist, rank};

use super::{Action, Example, Function, Implementation};
use udwf::{Kind, OwnWindow};

pub use frames::drop_range_of_other_keys;

/// The aggregates that HeavyDB takes with an `OVER` clause, in lower case; any other is an error there.
pub const WINDOW_AGGREGATES: &[&str] = &["count", "sum", "min", "max", "avg", "count_if", "sum_if"];

/// Functions whose frame counts, besides [`WINDOW_AGGREGATES`], in lower case; all others ignore it.
pub const IN_FRAME: &[&str] = &["first_value_in_frame", "last_value_in_frame", "nth_value_in_frame", "lead_in_frame", "lag_in_frame"];

/// A window function of our own.
macro_rules! own {
    ($name:literal, $kind:expr) => {
        Action::Own(Implementation::Window(|| OwnWindow::udwf($name, $kind)))
    };
}

/// A list entry whose example reads five rows `x` = 10, 20, NULL, 40, 50 in the order of `o` = 1 to 5.
macro_rules! entry {
    ($name:literal, $arguments:literal, $action:expr, $doc:literal, $call:literal, $value:literal) => {
        Function {
            name: $name,
            arguments: $arguments,
            action: $action,
            doc: $doc,
            example: Example {
                sql: concat!(
                    "SELECT w FROM (SELECT o, ",
                    $call,
                    " AS w FROM (VALUES (1, 10), (2, 20), (3, NULL), (4, 40), (5, 50)) AS t(o, x)) AS q ORDER BY o"
                ),
                value: $value,
            },
        }
    };
}

/// The window functions of the dialect.
pub const WINDOWS: &[Function] = &[
    entry!(
        "ROW_NUMBER",
        "() OVER ([PARTITION BY ...] [ORDER BY ...])",
        own!("row_number", Kind::RowNumber),
        "Place in the ordered partition, from 1; BIGINT.",
        "ROW_NUMBER() OVER (ORDER BY o DESC)",
        "5 4 3 2 1"
    ),
    entry!(
        "RANK",
        "() OVER (... ORDER BY ...)",
        own!("rank", Kind::Rank { dense: false }),
        "Place of the first row with the same keys, from 1; BIGINT.",
        "RANK() OVER (ORDER BY o / 2)",
        "1 2 2 4 4"
    ),
    entry!(
        "DENSE_RANK",
        "() OVER (... ORDER BY ...)",
        own!("dense_rank", Kind::Rank { dense: true }),
        "How many different keys come up to this row's; BIGINT.",
        "DENSE_RANK() OVER (ORDER BY o / 2)",
        "1 2 2 3 3"
    ),
    entry!(
        "PERCENT_RANK",
        "() OVER (... ORDER BY ...)",
        Action::Same(Implementation::Window(rank::percent_rank_udwf)),
        "(rank - 1) / (rows - 1), DOUBLE; 0 for one row.",
        "PERCENT_RANK() OVER (ORDER BY o)",
        "0.0 0.25 0.5 0.75 1.0"
    ),
    entry!(
        "CUME_DIST",
        "() OVER (... ORDER BY ...)",
        Action::Same(Implementation::Window(cume_dist::cume_dist_udwf)),
        "Share of the rows up to this one and its peers, DOUBLE.",
        "CUME_DIST() OVER (ORDER BY o)",
        "0.2 0.4 0.6 0.8 1.0"
    ),
    entry!(
        "NTILE",
        "(n) OVER (... ORDER BY ...)",
        own!("ntile", Kind::NTile),
        "Number of the row's tile, from 1, of tiles of ⌈rows / n⌉ rows; BIGINT; n a constant above 0.",
        "NTILE(4) OVER (ORDER BY o)",
        "1 1 2 2 3"
    ),
    entry!(
        "LAG",
        "(x [, n = 1]) OVER (... ORDER BY ...)",
        own!("lag", Kind::Shift { back: true }),
        "x of the n-th row before in the partition; n a constant, negative for rows after. A default value is refused, as in HeavyDB.",
        "LAG(x) OVER (ORDER BY o)",
        "NULL 10 20 NULL 40"
    ),
    entry!(
        "LEAD",
        "(x [, n = 1]) OVER (... ORDER BY ...)",
        own!("lead", Kind::Shift { back: false }),
        "x of the n-th row after in the partition; n a constant, negative for rows before. A default value is refused, as in HeavyDB.",
        "LEAD(x, 2) OVER (ORDER BY o)",
        "NULL 40 50 NULL NULL"
    ),
    entry!(
        "FIRST_VALUE",
        "(x) OVER (... ORDER BY ...)",
        own!("first_value", Kind::Whole(Place::First)),
        "x of the partition's first row, whatever the frame.",
        "FIRST_VALUE(x) OVER (ORDER BY o)",
        "10 10 10 10 10"
    ),
    entry!(
        "LAST_VALUE",
        "(x) OVER (... ORDER BY ...)",
        own!("last_value", Kind::Whole(Place::Last)),
        "x of the partition's last row, whatever the frame.",
        "LAST_VALUE(x) OVER (ORDER BY o)",
        "50 50 50 50 50"
    ),
    entry!(
        "NTH_VALUE",
        "(x, n) OVER (... ORDER BY ...)",
        own!("nth_value", Kind::Whole(Place::Nth)),
        "x of the partition's n-th row, from 1, whatever the frame; NULL where there is none; n a constant above 0.",
        "NTH_VALUE(x, 2) OVER (ORDER BY o)",
        "20 20 20 20 20"
    ),
    entry!(
        "FIRST_VALUE_IN_FRAME",
        "(x) OVER (... ORDER BY ... ROWS | RANGE ...)",
        own!("first_value_in_frame", Kind::Frame(Place::First)),
        "x of the frame's first row.",
        "FIRST_VALUE_IN_FRAME(x) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "10 10 20 NULL 40"
    ),
    entry!(
        "LAST_VALUE_IN_FRAME",
        "(x) OVER (... ORDER BY ... ROWS | RANGE ...)",
        own!("last_value_in_frame", Kind::Frame(Place::Last)),
        "x of the frame's last row.",
        "LAST_VALUE_IN_FRAME(x) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "20 NULL 40 50 50"
    ),
    entry!(
        "NTH_VALUE_IN_FRAME",
        "(x, n) OVER (... ORDER BY ... ROWS | RANGE ...)",
        own!("nth_value_in_frame", Kind::Frame(Place::Nth)),
        "x of the frame's n-th row, from 1; NULL where there is none; n a constant above 0.",
        "NTH_VALUE_IN_FRAME(x, 2) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "20 20 NULL 40 50"
    ),
    entry!(
        "LEAD_IN_FRAME",
        "(x, n) OVER (... ORDER BY ... ROWS | RANGE ...)",
        own!("lead_in_frame", Kind::Frame(Place::Ahead)),
        "x of the n-th row after; NULL where it lies outside the frame; n a constant from 0.",
        "LEAD_IN_FRAME(x, 1) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "20 NULL 40 50 NULL"
    ),
    entry!(
        "LAG_IN_FRAME",
        "(x, n) OVER (... ORDER BY ... ROWS | RANGE ...)",
        own!("lag_in_frame", Kind::Frame(Place::Behind)),
        "x of the n-th row before; NULL where it lies outside the frame; n a constant from 0.",
        "LAG_IN_FRAME(x, 2) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
        "NULL NULL NULL NULL NULL"
    ),
    entry!(
        "FORWARD_FILL",
        "(x) OVER (... ORDER BY ...)",
        own!("forward_fill", Kind::Fill { forward: true }),
        "x, or the last x before that is not NULL; x is the last sort key (NULLS LAST) where it is none. Not on text.",
        "FORWARD_FILL(x) OVER (ORDER BY o)",
        "10 20 20 40 50"
    ),
    entry!(
        "BACKWARD_FILL",
        "(x) OVER (... ORDER BY ...)",
        own!("backward_fill", Kind::Fill { forward: false }),
        "x, or the next x after that is not NULL; x is the last sort key (NULLS FIRST) where it is none. Not on text.",
        "BACKWARD_FILL(x) OVER (ORDER BY o)",
        "10 20 40 40 50"
    ),
    entry!(
        "CONDITIONAL_CHANGE_EVENT",
        "(x) OVER (... ORDER BY ...)",
        own!("conditional_change_event", Kind::ChangeEvent),
        "How often x has differed from the row before so far; a step from or to NULL does not count; BIGINT.",
        "CONDITIONAL_CHANGE_EVENT(x > 15) OVER (ORDER BY o)",
        "0 1 1 1 1"
    ),
];

/// Which row a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    First,
    Last,
    Nth,
    Ahead,
    Behind,
}
