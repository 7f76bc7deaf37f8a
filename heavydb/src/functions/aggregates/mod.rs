//! Functions of many rows.
//!
//! COUNT is INTEGER unless the session says `bigint_count`: register [`bigint_count`] in place of the list's COUNT then. SUM keeps the
//! argument's kind of number and fails where it overflows; AVG is always DOUBLE. Aggregates over `DISTINCT` rows are COUNT, SUM, AVG, MIN
//! and MAX; those that may stand over a window are in [`super::windows`].
//!
//! Left out, as HeavyDB has none: GROUPING SETS, ROLLUP, CUBE, FILTER, STRING_AGG, ARRAY_AGG.

mod accumulators;
mod definition;
mod delegate;
mod kept;
mod row;
mod states;

use std::sync::Arc;

use datafusion::functions_aggregate::{count, min_max};
use datafusion::logical_expr::AggregateUDF;

use super::{Action, Example, Function, Implementation};
use definition::{Definition, Kind, OwnAggregate};
use delegate::Delegate;
use states::Association;

/// COUNT of a session with `bigint_count`.
pub fn bigint_count() -> Arc<AggregateUDF> {
    count::count_udaf()
}

/// An aggregate of our own.
macro_rules! own {
    ($name:literal, $kind:expr) => {
        Action::Own(Implementation::Aggregate(|| {
            static DEFINITION: Definition = Definition { name: $name, kind: $kind };
            OwnAggregate::udaf(&DEFINITION)
        }))
    };
}

/// Any value: the least.
macro_rules! sample {
    ($name:literal) => {
        Action::Own(Implementation::Aggregate(|| Delegate::named($name, min_max::min_udaf())))
    };
}

/// A measure of one column's spread.
macro_rules! spread {
    ($name:literal, $lower:literal, $kind:expr, $doc:literal, $value:literal) => {
        Function {
            name: $name,
            arguments: "(x)",
            action: own!($lower, $kind),
            doc: $doc,
            example: Example { sql: concat!("SELECT ", $name, "(x) FROM (VALUES (1), (2), (3)) AS t(x)"), value: $value },
        }
    };
}

/// A measure of two columns.
macro_rules! pair {
    ($name:literal, $lower:literal, $kind:expr, $doc:literal, $value:literal) => {
        Function {
            name: $name,
            arguments: "(x, y)",
            action: own!($lower, $kind),
            doc: $doc,
            example: Example { sql: concat!("SELECT ", $name, "(x, y) FROM (VALUES (1, 1), (2, 2)) AS t(x, y)"), value: $value },
        }
    };
}

/// The aggregates of the dialect.
pub const AGGREGATES: &[Function] = &[
    Function {
        name: "COUNT",
        arguments: "(*) | ([DISTINCT] x)",
        action: Action::Own(Implementation::Aggregate(|| Delegate::narrowed("count", count::count_udaf()))),
        doc: "Rows, or rows where x is not NULL; INTEGER, BIGINT under bigint_count. More than one argument is refused.",
        example: Example { sql: "SELECT COUNT(x) FROM (VALUES (1), (NULL), (1)) AS t(x)", value: "2" },
    },
    Function {
        name: "SUM",
        arguments: "([DISTINCT] x)",
        action: own!("sum", Kind::Sum),
        doc: "BIGINT for integers, DECIMAL of x's scale, FLOAT, DOUBLE; an error beyond BIGINT or 18 digits. FLOAT is summed up in DOUBLE.",
        example: Example { sql: "SELECT SUM(x) FROM (VALUES (1.25), (NULL), (0.5)) AS t(x)", value: "1.75" },
    },
    Function {
        name: "AVG",
        arguments: "([DISTINCT] x)",
        action: own!("avg", Kind::Average),
        doc: "Mean, always DOUBLE; the sum of integers and decimals is exact.",
        example: Example { sql: "SELECT AVG(x) FROM (VALUES (1), (2)) AS t(x)", value: "1.5" },
    },
    Function {
        name: "MIN",
        arguments: "(x)",
        action: Action::Same(Implementation::Aggregate(min_max::min_udaf)),
        doc: "Least value, in x's type; also of text, where HeavyDB refuses a dictionary's.",
        example: Example { sql: "SELECT MIN(x) FROM (VALUES (3), (NULL), (2)) AS t(x)", value: "2" },
    },
    Function {
        name: "MAX",
        arguments: "(x)",
        action: Action::Same(Implementation::Aggregate(min_max::max_udaf)),
        doc: "Greatest value, in x's type; also of text, where HeavyDB refuses a dictionary's.",
        example: Example { sql: "SELECT MAX(x) FROM (VALUES (3), (NULL), (2)) AS t(x)", value: "3" },
    },
    Function {
        name: "COUNT_IF",
        arguments: "(p)",
        action: Action::Rewritten("COUNT(CASE WHEN p THEN 1 END)"),
        doc: "Rows where p is true; INTEGER.",
        example: Example { sql: "SELECT COUNT_IF(x > 1) FROM (VALUES (1), (NULL), (2)) AS t(x)", value: "1" },
    },
    Function {
        name: "SUM_IF",
        arguments: "(x, p)",
        action: Action::Rewritten("SUM(CASE WHEN p THEN x END)"),
        doc: "SUM of x over the rows where p is true.",
        example: Example { sql: "SELECT SUM_IF(x, x > 1) FROM (VALUES (1), (2), (3)) AS t(x)", value: "5" },
    },
    Function {
        name: "APPROX_COUNT_DISTINCT",
        arguments: "([DISTINCT] x [, error])",
        action: Action::Rewritten("COUNT(DISTINCT x)"),
        doc: "Distinct values; exact, where HeavyDB's sketch is off by up to 7 %.",
        example: Example { sql: "SELECT APPROX_COUNT_DISTINCT(x) FROM (VALUES (1), (2), (2)) AS t(x)", value: "2" },
    },
    Function {
        name: "APPROX_MEDIAN",
        arguments: "(x)",
        action: own!("approx_median", Kind::Quantile { share: false }),
        doc: "Median as DOUBLE; exact.",
        example: Example { sql: "SELECT APPROX_MEDIAN(x) FROM (VALUES (7), (8)) AS t(x)", value: "7.5" },
    },
    Function {
        name: "APPROX_PERCENTILE",
        arguments: "(x, p)",
        action: own!("approx_percentile", Kind::Quantile { share: true }),
        doc: "With k = p · count: the mean of the k-th and the next value for a whole k, else value ⌊k⌋ + 1; DOUBLE, exact; p a constant.",
        example: Example { sql: "SELECT APPROX_PERCENTILE(x, 0.5) FROM (VALUES (1), (2), (3), (4)) AS t(x)", value: "2.5" },
    },
    Function {
        name: "APPROX_QUANTILE",
        arguments: "(x, p)",
        action: own!("approx_quantile", Kind::Quantile { share: true }),
        doc: "APPROX_PERCENTILE under another name.",
        example: Example { sql: "SELECT APPROX_QUANTILE(x, 0.75) FROM (VALUES (1), (2), (3), (4)) AS t(x)", value: "3.5" },
    },
    Function {
        name: "MODE",
        arguments: "(x)",
        action: own!("mode", Kind::Mode),
        doc: "The most frequent value that is not NULL, in x's type; of several the least, where HeavyDB gives any.",
        example: Example { sql: "SELECT MODE(x) FROM (VALUES (1), (2), (2), (NULL)) AS t(x)", value: "2" },
    },
    Function {
        name: "SAMPLE",
        arguments: "(x)",
        action: sample!("sample"),
        doc: "Some value that is not NULL, in x's type: here the least, so that the answer does not depend on the order of the rows.",
        example: Example { sql: "SELECT SAMPLE(x) FROM (VALUES (5), (5)) AS t(x)", value: "5" },
    },
    Function {
        name: "LAST_SAMPLE",
        arguments: "(x)",
        action: sample!("last_sample"),
        doc: "SAMPLE under another name.",
        example: Example { sql: "SELECT LAST_SAMPLE(x) FROM (VALUES (5), (5)) AS t(x)", value: "5" },
    },
    Function {
        name: "ANY_VALUE",
        arguments: "(x)",
        action: sample!("any_value"),
        doc: "SAMPLE under another name.",
        example: Example { sql: "SELECT ANY_VALUE(x) FROM (VALUES (5), (5)) AS t(x)", value: "5" },
    },
    Function {
        name: "SINGLE_VALUE",
        arguments: "(x)",
        action: own!("single_value", Kind::SingleValue),
        doc: "The one value that is not NULL, in x's type; an error where two differ.",
        example: Example { sql: "SELECT SINGLE_VALUE(x) FROM (VALUES (5), (NULL), (5)) AS t(x)", value: "5" },
    },
    spread!(
        "STDDEV",
        "stddev",
        Kind::Spread { ddof: 1, root: true, float: false },
        "Standard deviation by n - 1, DOUBLE; NULL for one row.",
        "1.0"
    ),
    spread!("STDDEV_FLOAT", "stddev_float", Kind::Spread { ddof: 1, root: true, float: true }, "STDDEV as FLOAT.", "1.0"),
    spread!("STDDEV_SAMP", "stddev_samp", Kind::Spread { ddof: 1, root: true, float: false }, "STDDEV under another name.", "1.0"),
    spread!("STDDEV_SAMP_FLOAT", "stddev_samp_float", Kind::Spread { ddof: 1, root: true, float: true }, "STDDEV_SAMP as FLOAT.", "1.0"),
    spread!(
        "STDDEV_POP",
        "stddev_pop",
        Kind::Spread { ddof: 0, root: true, float: false },
        "Standard deviation by n, DOUBLE.",
        "0.816496580927726"
    ),
    spread!("STDDEV_POP_FLOAT", "stddev_pop_float", Kind::Spread { ddof: 0, root: true, float: true }, "STDDEV_POP as FLOAT.", "0.8164966"),
    spread!(
        "VARIANCE",
        "variance",
        Kind::Spread { ddof: 1, root: false, float: false },
        "Variance by n - 1, DOUBLE; NULL for one row.",
        "1.0"
    ),
    spread!("VARIANCE_FLOAT", "variance_float", Kind::Spread { ddof: 1, root: false, float: true }, "VARIANCE as FLOAT.", "1.0"),
    spread!("VAR_SAMP", "var_samp", Kind::Spread { ddof: 1, root: false, float: false }, "VARIANCE under another name.", "1.0"),
    spread!("VAR_SAMP_FLOAT", "var_samp_float", Kind::Spread { ddof: 1, root: false, float: true }, "VAR_SAMP as FLOAT.", "1.0"),
    spread!("VAR_POP", "var_pop", Kind::Spread { ddof: 0, root: false, float: false }, "Variance by n, DOUBLE.", "0.6666666666666666"),
    spread!("VAR_POP_FLOAT", "var_pop_float", Kind::Spread { ddof: 0, root: false, float: true }, "VAR_POP as FLOAT.", "0.6666667"),
    pair!(
        "COVAR_POP",
        "covar_pop",
        Kind::Association { of: Association::Population, float: false },
        "AVG(x · y) - AVG(x) · AVG(y), DOUBLE; each average over its own values, also where the other column is NULL.",
        "0.25"
    ),
    pair!(
        "COVAR_POP_FLOAT",
        "covar_pop_float",
        Kind::Association { of: Association::Population, float: true },
        "COVAR_POP as FLOAT.",
        "0.25"
    ),
    pair!(
        "COVAR_SAMP",
        "covar_samp",
        Kind::Association { of: Association::Sample, float: false },
        "(SUM(x · y) - SUM(x) · AVG(y)) / (COUNT(x) - 1), DOUBLE; each over its own values. NULL for one x.",
        "0.5"
    ),
    pair!(
        "COVAR_SAMP_FLOAT",
        "covar_samp_float",
        Kind::Association { of: Association::Sample, float: true },
        "COVAR_SAMP as FLOAT.",
        "0.5"
    ),
    pair!(
        "CORR",
        "corr",
        Kind::Association { of: Association::Correlation, float: false },
        "COVAR_POP(x, y) / (STDDEV_POP(x) · STDDEV_POP(y)), DOUBLE; NULL where a column is constant.",
        "1.0"
    ),
    pair!("CORR_FLOAT", "corr_float", Kind::Association { of: Association::Correlation, float: true }, "CORR as FLOAT.", "1.0"),
    pair!(
        "CORRELATION",
        "correlation",
        Kind::Association { of: Association::Correlation, float: false },
        "CORR under another name.",
        "1.0"
    ),
    pair!(
        "CORRELATION_FLOAT",
        "correlation_float",
        Kind::Association { of: Association::Correlation, float: true },
        "CORRELATION as FLOAT.",
        "1.0"
    ),
];
