//! What one entry of the metric table says: a name, its documentation, its arguments, the state it needs and a formula.
//!
//! Everything else (registration, aliases, signatures, planning checks, help texts, tests) derives from these entries.

use crate::constants::Role;
use crate::states::Compute;

/// A financial SQL aggregate: one row of the table in [`crate::METRICS`].
#[derive(Debug)]
pub struct Metric {
    /// SQL name.
    pub name: &'static str,
    /// Other SQL names of the same function.
    pub aliases: &'static [&'static str],
    /// Which part of the catalogue it belongs to; decides about `ORDER BY` and `DISTINCT`.
    pub family: Family,
    /// One line saying what it measures.
    pub summary: &'static str,
    /// The formula in plain text, with the symbols explained in [`mod@crate::reference`].
    pub formula: &'static str,
    /// Unit and sign of the result.
    pub unit: &'static str,
    /// When the result is undefined, that is NULL.
    pub null_when: &'static str,
    /// Arguments in the order of the call.
    pub arguments: &'static [Argument],
    /// SQL type of the result.
    pub result: ResultKind,
    /// A call with its exact answer; a test runs every one.
    pub example: Example,
    /// The state to keep and the formula over it.
    pub(crate) compute: Compute,
}

/// Part of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// The order of rows does not matter; O(1) state.
    OrderFree,
    /// Needs the rows in time order.
    Path,
    /// Keeps the values.
    Sample,
    /// Two series, row by row.
    Pair,
    /// The replaced system's numbers, order-free.
    Legacy,
    /// The replaced system's numbers that need the rows in time order.
    LegacyPath,
}

impl Family {
    /// The chapter of the reference.
    pub fn chapter(self) -> &'static str {
        match self {
            Self::OrderFree => "Metrics of the values",
            Self::Path => "Path metrics",
            Self::Sample => "Metrics of the distribution",
            Self::Pair => "Metrics of two series",
            Self::Legacy | Self::LegacyPath => "Legacy metrics",
        }
    }
}

/// SQL type of a metric's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultKind {
    /// `DOUBLE`: a NaN among the rows gives NaN.
    Double,
    /// `BIGINT`, a number of rows: a NaN among the rows gives NULL.
    BigInt,
    /// Struct describing the deepest drawdown; never NULL itself, its fields are.
    Drawdown,
    /// Struct of an estimate and its confidence interval; never NULL itself, its fields are.
    Interval,
}

/// One argument of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Name, usable in named notation (`periods_per_year => 53`).
    pub name: &'static str,
    /// What it stands for; decides type and allowed values.
    pub role: Role,
    /// Value when it is left out.
    pub default: Default,
    /// One line of documentation.
    pub doc: &'static str,
}

/// What happens when an argument is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Default {
    /// It must be given.
    Required,
    /// Leaving it out has its own meaning, told in the argument's documentation.
    Absent,
    /// This number.
    Number(f64),
    /// This flag.
    Flag(bool),
    /// This text.
    Text(&'static str),
}

/// A call on a small sample with the exact answer.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The call, over the columns of `over`.
    pub call: &'static str,
    /// Rows it runs on.
    pub over: Sample,
    /// The exact answer.
    pub expected: Expected,
}

/// The answer of an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expected {
    /// A number, rounded once to a double.
    Number(f64),
    /// A struct, as a result table shows it.
    Text(&'static str),
    /// The numbers of all rows of a window call, in the order of days; `None` is NULL.
    Rows(&'static [Option<f64>]),
    /// The same for this field of a struct.
    FieldRows(&'static str, &'static [Option<f64>]),
}

/// Small series on which the examples are computed, one row per day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Columns `day`, `ret` (simple returns) and `benchmark`.
    Returns,
    /// Columns `day` and `ret`: returns with two drawdowns.
    Drawdowns,
    /// Columns `day` and `pnl` (currency).
    Pnl,
    /// Columns `date`, the first day of each of four months, and `ret` (returns of a month).
    Months,
    /// Columns `day`, `high`, `low` and `close`: prices.
    Bars,
    /// No rows: the call has literals only.
    Nothing,
}

impl Sample {
    /// Every sample.
    pub const ALL: &[Self] = &[Self::Returns, Self::Drawdowns, Self::Pnl, Self::Months, Self::Bars, Self::Nothing];

    /// The name of the table in the documentation; `None` without rows.
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Returns => Some("returns"),
            Self::Drawdowns => Some("drawdowns"),
            Self::Pnl => Some("profits"),
            Self::Months => Some("months"),
            Self::Bars => Some("bars"),
            Self::Nothing => None,
        }
    }

    /// The rows as SQL: `(VALUES ...) AS t(day, ...)`; empty without rows.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Returns => {
                "(VALUES (1, 0.01, 0.008), (2, -0.02, -0.015), (3, 0.03, 0.02), (4, -0.01, -0.012), (5, 0.02, 0.01), (6, 0.0, 0.002), \
                 (7, -0.005, -0.004), (8, 0.015, 0.009)) AS t(day, ret, benchmark)"
            }
            Self::Drawdowns => "(VALUES (1, 0.05), (2, -0.10), (3, 0.02), (4, -0.03), (5, 0.12), (6, 0.04), (7, -0.01)) AS t(day, ret)",
            Self::Pnl => "(VALUES (1, -30), (2, 100), (3, -50), (4, 25), (5, 0), (6, -80), (7, 60), (8, 40)) AS t(day, pnl)",
            Self::Months => {
                "(VALUES (DATE '2024-01-01', 0.02), (DATE '2024-02-01', -0.01), (DATE '2024-03-01', 0.03), (DATE '2024-04-01', 0.01)) AS \
                 t(date, ret)"
            }
            Self::Bars => {
                "(VALUES (1, 10.5, 9.5, 10.0), (2, 11.5, 10.25, 11.0), (3, 12.25, 11.5, 12.0), (4, 12.0, 10.5, 11.0), (5, 11.0, 9.5, 10.0), \
                 (6, 12.5, 10.75, 12.0), (7, 13.5, 12.25, 13.0), (8, 13.0, 11.5, 12.0), (9, 14.5, 12.75, 14.0), (10, 15.25, 14.25, 15.0)) \
                 AS t(day, high, low, close)"
            }
            Self::Nothing => "",
        }
    }
}

impl Example {
    /// The example as a whole query; one of a window call has a row for each day.
    pub fn sql(&self) -> String {
        let (call, rows) = (self.call, self.over.sql());
        match (self.expected, self.over) {
            (Expected::Rows(_), _) => format!("SELECT {call} OVER (ORDER BY day) AS value FROM {rows} ORDER BY day"),
            (Expected::FieldRows(field, _), _) => {
                format!("SELECT whole['{field}'] AS value FROM (SELECT day, {call} OVER (ORDER BY day) AS whole FROM {rows}) ORDER BY day")
            }
            (_, Sample::Nothing) => format!("SELECT {call}"),
            _ => format!("SELECT {call} FROM {rows}"),
        }
    }

    /// The same with the name of its table in place of the rows.
    pub fn short_sql(&self) -> String {
        let sql = self.sql();
        self.over.table().map_or_else(|| sql.clone(), |table| sql.replace(self.over.sql(), table))
    }
}

impl Metric {
    /// The call with its arguments and defaults: `sharpe_ratio(x [, risk_free = 0 [, periods_per_year = 252]])`.
    pub fn signature(&self) -> String {
        self.page().signature()
    }

    /// Whether the result depends on the order of rows, so that a time order is required.
    pub fn needs_order(&self) -> bool {
        matches!(self.family, Family::Path | Family::LegacyPath)
    }

    /// Whether `DISTINCT` has a meaning.
    pub fn allows_distinct(&self) -> bool {
        matches!(self.family, Family::OrderFree | Family::Sample | Family::Pair)
    }

    /// What a row whose value is NULL counts as.
    pub(crate) fn null_rows(&self) -> NullRows {
        match self.family {
            Family::Legacy | Family::LegacyPath => NullRows::Zero,
            _ => NullRows::Skipped,
        }
    }
}

/// What a row whose value is NULL counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NullRows {
    /// It is skipped and not counted.
    Skipped,
    /// It counts as a row of value 0 (legacy family: gaps were filled with 0).
    Zero,
}

impl Default {
    /// The default as a signature shows it: ` = 252`; empty where there is none.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Required | Self::Absent => String::new(),
            Self::Number(x) => format!(" = {x}"),
            Self::Flag(x) => format!(" = {x}"),
            Self::Text(x) => format!(" = '{x}'"),
        }
    }
}
