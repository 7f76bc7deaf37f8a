//! When results are the same.
//!
//! | value | rule |
//! |---|---|
//! | columns | same count; names are not compared |
//! | BOOLEAN | `true false t f 1 0` |
//! | integers, DECIMAL without fraction | exactly; an integer against a float as floats |
//! | FLOAT, DOUBLE, DECIMAL | `abs(a - b) <= tolerance * max(abs(a), abs(b))`; equal infinities; NaN equals NaN; no absolute floor unless asked for |
//! | text | bytes; a NULL text equals `''` |
//! | DATE, TIMESTAMP, TIME | the instant, whatever the form of the expected text |
//! | INTERVAL | milliseconds or months, as integers |
//! | arrays | element by element; floats printed with 6 decimals within 5e-7 |
//! | NULL | only NULL; in one asserted value HeavyDB's in-band values |
//!
//! Rows in an order are compared row by row, others as multisets. Where rows in an order differ, ties may be the reason, and with a LIMIT
//! the choice among them: then [`compare_choice`] looks at the result without LIMIT and with its sort keys.

mod column;
mod instant;
mod multiset;
mod scalar;

use std::fmt;
use std::ops::Range;

use super::expected::{Expectation, Value};
use super::input::Query;
use super::render;
use super::rows::{Cell, Rows};
use column::{Comparable, Kind};
use datafusion::arrow::datatypes::DataType;

/// In what order rows are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// As multisets.
    #[default]
    Any,
    /// Row by row.
    Rows,
    /// As multisets, and the values of these columns, from 0, come in the given sequence.
    Ties(Vec<usize>),
}

impl Order {
    /// The order of a query: what its input says, else whether it has a top-level ORDER BY.
    pub fn of(query: &Query, has_order_by: bool) -> Self {
        match query.ordered {
            Some(true) => Self::Rows,
            Some(false) if query.order_columns.is_empty() => Self::Any,
            Some(false) => Self::Ties(query.order_columns.clone()),
            None if has_order_by => Self::Rows,
            None => Self::Any,
        }
    }
}

/// How far HeavyDB's value of an approximate aggregate may lie from the exact one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// HeavyDB's name of the aggregate.
    pub function: &'static str,
    /// Relative difference.
    pub tolerance: f64,
}

/// The approximate aggregates: 7 % are three standard errors of 2^11 registers.
pub const BANDS: &[Band] = &[
    Band { function: "APPROX_COUNT_DISTINCT", tolerance: 0.07 },
    Band { function: "APPROX_MEDIAN", tolerance: 0.01 },
    Band { function: "APPROX_PERCENTILE", tolerance: 0.01 },
    Band { function: "APPROX_QUANTILE", tolerance: 0.01 },
];

/// How one query is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Relative difference of floats that counts as none.
    pub tolerance: f64,
    /// Absolute difference of floats that counts as none.
    pub absolute: f64,
    /// No bands for approximate aggregates.
    pub exact: bool,
    /// The order.
    pub order: Order,
    /// Columns, from 0, with the value of an approximate aggregate.
    pub bands: Vec<(usize, Band)>,
    /// Columns, from 0, whose value is chance: SAMPLE, ANY_VALUE, LAST_SAMPLE, MODE with a tie.
    pub chance: Vec<usize>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { tolerance: 1e-5, absolute: 0.0, exact: false, order: Order::Any, bands: Vec::new(), chance: Vec::new() }
    }
}

/// The first thing that differs.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Counts of columns.
    Columns {
        /// Ours.
        ours: usize,
        /// HeavyDB's.
        theirs: usize,
    },
    /// Counts of rows.
    Rows {
        /// Ours.
        ours: usize,
        /// HeavyDB's.
        theirs: usize,
    },
    /// A value.
    Value {
        /// Row in the compared order, from 1.
        row: usize,
        /// The column's name.
        column: String,
        /// Our value.
        ours: String,
        /// HeavyDB's value.
        theirs: String,
        /// `abs(a - b) / max(abs(a), abs(b))`, of numbers.
        relative_error: Option<f64>,
        /// The rows, from 0, in our result and in HeavyDB's, where there are such.
        rows: (Option<usize>, Option<usize>),
    },
    /// HeavyDB failed with this message, ours gave rows.
    NoError(String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { ours, theirs } => write!(f, "{ours} columns, expected {theirs}"),
            Self::Rows { ours, theirs } => write!(f, "{ours} rows, expected {theirs}"),
            Self::NoError(message) => write!(f, "ours succeeds, HeavyDB failed: {message}"),
            Self::Value { row, column, ours, theirs, relative_error, .. } => {
                write!(f, "row {row}, {column}: {ours}, expected {theirs}")?;
                relative_error.map_or(Ok(()), |error| write!(f, " (relative error {error:.1e})"))
            }
        }
    }
}

/// What comparing found.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The results are the same.
    Same {
        /// Worth knowing: an approximate aggregate that lies within its band.
        notes: Vec<String>,
    },
    /// They are not.
    Differs(Difference),
    /// They differ only in values that are chance in HeavyDB: nobody can say whether ours is right.
    NotDetermined(Difference),
}

/// The greatest difference of two numbers that counts as none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tolerance {
    relative: f64,
    absolute: f64,
    /// Integers too: an approximate count.
    integers: bool,
}

impl Tolerance {
    fn allows(self, a: Option<f64>, b: Option<f64>) -> bool {
        let (Some(a), Some(b)) = (a, b) else { return false };
        if a == b || (a.is_nan() && b.is_nan()) {
            return true;
        }
        a.is_finite() && b.is_finite() && ((a - b).abs() <= self.relative * a.abs().max(b.abs()) || (a - b).abs() <= self.absolute)
    }

    /// No number further away than this is allowed.
    fn reach(self, value: f64) -> f64 {
        let relative = if self.relative < 1.0 { self.relative / (1.0 - self.relative) } else { f64::INFINITY };
        if value == 0.0 { self.absolute } else { relative * value.abs() * (1.0 + 1e-9) + self.absolute + f64::MIN_POSITIVE }
    }
}

/// `abs(a - b) / max(abs(a), abs(b))`.
fn relative_error(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    let (a, b) = (a?, b?);
    (a.is_finite() && b.is_finite() && a != b).then(|| (a - b).abs() / a.abs().max(b.abs()))
}

/// A column that takes part.
#[derive(Debug, Clone)]
struct Column {
    at: usize,
    kind: Kind,
    tolerance: Tolerance,
    /// Values within the tolerance are equal; else only equal ones.
    inexact: bool,
}

/// Two results side by side.
#[derive(Debug)]
struct Pair<'r> {
    rows: &'r Rows,
    expected: &'r [Vec<Value>],
    columns: Vec<Column>,
}

impl<'r> Pair<'r> {
    /// The columns that take part, under the rules; `wide`: with the bands of approximate aggregates.
    fn new(rows: &'r Rows, expected: &'r [Vec<Value>], rules: &Rules, wide: bool) -> Self {
        let columns = (0..rows.width()).map(|at| {
            let kind = Kind::of(rows, at, expected);
            let tolerance = rules.tolerance_of(at, wide);
            Column { inexact: is_inexact(rows, at, expected, &kind) || (tolerance.integers && kind == Kind::Number), at, kind, tolerance }
        });
        Self { columns: columns.collect(), rows, expected }
    }

    fn without(mut self, columns: &[usize]) -> Self {
        self.columns.retain(|column| !columns.contains(&column.at));
        self
    }

    fn column(&self, at: usize) -> Option<&Column> {
        self.columns.iter().find(|column| column.at == at)
    }

    fn tolerance(&self, at: usize) -> Tolerance {
        self.column(at).map_or(Tolerance { relative: 0.0, absolute: 0.0, integers: false }, |column| column.tolerance)
    }

    fn ours(&self, row: usize, at: usize) -> Comparable<'_> {
        self.column(at).map_or(Comparable::Foreign, |column| column.kind.ours(self.rows.cell(row, at)))
    }

    fn theirs(&self, row: usize, at: usize) -> Comparable<'_> {
        match (self.column(at), self.expected.get(row).and_then(|row| row.get(at))) {
            (Some(column), Some(value)) => column.kind.theirs(value),
            _ => Comparable::Foreign,
        }
    }

    fn equal_at(&self, ours: usize, theirs: usize, column: &Column) -> bool {
        let (Some(value), cell) = (self.expected.get(theirs).and_then(|row| row.get(column.at)), self.rows.cell(ours, column.at)) else {
            return false;
        };
        column.kind.ours(cell).equals(&column.kind.theirs(value), column.tolerance)
    }

    fn equal(&self, ours: usize, theirs: usize) -> bool {
        self.columns.iter().all(|column| self.equal_at(ours, theirs, column))
    }

    /// The difference of two rows at the first of their columns that is not equal; `row` is the place to report, from 0.
    fn difference(&self, row: usize, ours: Option<usize>, theirs: Option<usize>) -> Difference {
        let unequal = self.columns.iter().find(|column| match (ours, theirs) {
            (Some(ours), Some(theirs)) => !self.equal_at(ours, theirs, column),
            _ => true,
        });
        let at = unequal.map_or(0, |column| column.at);
        let (mine, their) = (ours.map(|row| self.ours(row, at)), theirs.map(|row| self.theirs(row, at)));
        let number = |value: &Option<Comparable<'_>>| value.as_ref().and_then(Comparable::number);
        let none = || "no such row".to_owned();
        Difference::Value {
            row: row + 1,
            column: self.rows.names().get(at).cloned().unwrap_or_default(),
            ours: ours.map_or_else(none, |row| render::cell(&self.rows.cell(row, at))),
            theirs: theirs.and_then(|row| self.expected.get(row)?.get(at)).map_or_else(none, render::value),
            relative_error: relative_error(number(&mine), number(&their)),
            rows: (ours, theirs),
        }
    }

    /// The first difference row by row.
    fn in_order(&self) -> Option<Difference> {
        (0..self.rows.len()).find(|row| !self.equal(*row, *row)).map(|row| self.difference(row, Some(row), Some(row)))
    }

    /// The first row of ours without a partner, beside the row of theirs that is most like it. `part`: theirs are a part of ours.
    fn as_multiset(&self, ours: Range<usize>, theirs: Range<usize>, part: bool) -> Option<Difference> {
        const LOOKED_AT: usize = 1000;
        let alike = |ours: usize, theirs: usize| self.columns.iter().filter(|column| self.equal_at(ours, theirs, column)).count();
        let rest = multiset::unmatched(self, ours, theirs);
        if part {
            let theirs = *rest.theirs.first()?;
            let nearest = rest.ours.iter().take(LOOKED_AT).rev().max_by_key(|row| alike(**row, theirs)).copied();
            return Some(self.difference(theirs, nearest, Some(theirs)));
        }
        if let Some(row) = rest.ours.first().copied() {
            let nearest = rest.theirs.iter().take(LOOKED_AT).rev().max_by_key(|their| alike(row, **their)).copied();
            return Some(self.difference(row, Some(row), nearest));
        }
        rest.theirs.first().map(|row| self.difference(*row, None, Some(*row)))
    }

    /// The first row whose values of these columns are not in HeavyDB's sequence.
    fn sequence(&self, columns: &[usize]) -> Option<Difference> {
        let keys: Vec<&Column> = columns.iter().filter_map(|at| self.column(*at)).collect();
        let row = (0..self.rows.len()).find(|row| !keys.iter().all(|column| self.equal_at(*row, *row, column)))?;
        Some(self.difference(row, Some(row), Some(row)))
    }
}

/// Whether values of the column may be equal without being identical.
fn is_inexact(rows: &Rows, at: usize, expected: &[Vec<Value>], kind: &Kind) -> bool {
    match kind {
        Kind::Number => {
            let integral = rows.data_type(at).is_integer() || matches!(rows.data_type(at), DataType::Decimal128(_, 0));
            !integral || expected.iter().filter_map(|row| row.get(at)).any(|value| matches!(kind.theirs(value), Comparable::Real(_)))
        }
        Kind::NumberInLetters => true,
        Kind::List(item) => **item == Kind::Number,
        _ => false,
    }
}

impl Rules {
    fn tolerance_of(&self, column: usize, wide: bool) -> Tolerance {
        let band = self.bands.iter().find(|(at, _)| wide && !self.exact && *at == column);
        let relative = band.map_or(self.tolerance, |(_, band)| band.tolerance.max(self.tolerance));
        Tolerance { relative, absolute: self.absolute, integers: band.is_some() }
    }
}

/// Whether our rows are what HeavyDB answered.
///
/// Memory: a reference to every row; rows in an order need none. Time: linear, for multisets n log n.
///
/// ```
/// # use datafusion_heavydb::replay::{compare::{compare, Rules, Verdict}, expected::{Expectation, Value}, rows::Rows};
/// # use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch};
/// let x: ArrayRef = std::sync::Arc::new(Float64Array::from(vec![1.5, 2.5]));
/// let batch = RecordBatch::try_from_iter([("x", x)]).unwrap();
/// let ours = Rows::try_new(&batch.schema(), &[batch]).unwrap();
/// let rows = vec![vec![Value::Real(2.500001)], vec![Value::Real(1.5)]];
/// let expected = Expectation::Rows { columns: None, rows };
/// assert_eq!(compare(&ours, &expected, &Rules::default()), Verdict::Same { notes: vec![] });
/// ```
pub fn compare(ours: &Rows, expectation: &Expectation, rules: &Rules) -> Verdict {
    let strict = |without: &[usize]| first_difference(ours, expectation, rules, false, without);
    judge(
        ours,
        rules,
        strict(&[]),
        |wide, without| if wide { first_difference(ours, expectation, rules, true, without) } else { strict(without) },
    )
}

/// The verdict on a difference: within a band it is none, in a column of chance nobody can say.
fn judge(ours: &Rows, rules: &Rules, difference: Option<Difference>, again: impl Fn(bool, &[usize]) -> Option<Difference>) -> Verdict {
    let Some(difference) = difference else { return Verdict::Same { notes: Vec::new() } };
    let wide = !rules.exact && !rules.bands.is_empty();
    if wide && again(true, &[]).is_none() {
        let name = |at: usize| ours.names().get(at).cloned().unwrap_or_default();
        let note = |(at, band): &(usize, Band)| {
            format!("{}: within {:.0} % of {}'s exact value", name(*at), band.tolerance * 100.0, band.function)
        };
        return Verdict::Same { notes: rules.bands.iter().map(note).collect() };
    }
    if !rules.chance.is_empty()
        && !matches!(difference, Difference::Rows { .. } | Difference::Columns { .. })
        && again(wide, &rules.chance).is_none()
    {
        return Verdict::NotDetermined(difference);
    }
    Verdict::Differs(difference)
}

/// The first difference under the rules, with or without bands, of all columns but these.
fn first_difference(ours: &Rows, expectation: &Expectation, rules: &Rules, wide: bool, without: &[usize]) -> Option<Difference> {
    match expectation {
        Expectation::Error(message) => Some(Difference::NoError(message.clone())),
        Expectation::Scalar { .. } if without.contains(&0) => None,
        Expectation::Scalar { value, kind, tolerance } => {
            scalar::compare(ours, scalar::Asserted { value, kind, absolute: *tolerance }, rules, rules.tolerance_of(0, wide))
        }
        Expectation::Rows { columns, rows } => {
            let width = rows.first().map(Vec::len).or_else(|| columns.as_ref().map(Vec::len));
            if let Some(theirs) = width.filter(|width| *width != ours.width()) {
                return Some(Difference::Columns { ours: ours.width(), theirs });
            }
            if rows.len() != ours.len() {
                return Some(Difference::Rows { ours: ours.len(), theirs: rows.len() });
            }
            let pair = Pair::new(ours, rows, rules, wide).without(without);
            match &rules.order {
                Order::Rows => pair.in_order(),
                Order::Any => pair.as_multiset(0..ours.len(), 0..rows.len(), false),
                Order::Ties(keys) => pair.as_multiset(0..ours.len(), 0..rows.len(), false).or_else(|| pair.sequence(keys)),
            }
        }
    }
}

/// Which rows of the result without LIMIT a query may give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// How many columns at the end are sort keys that the query does not show; 0: no ORDER BY, any rows may be chosen.
    pub keys: usize,
    /// OFFSET.
    pub offset: usize,
    /// LIMIT.
    pub limit: Option<usize>,
}

/// Whether HeavyDB's rows are a legal choice from the whole result, where [`compare`] found the rows themselves different.
///
/// `whole` is the query without LIMIT and OFFSET in its order, with its sort keys as last columns. Rows of equal keys may come in any
/// order, and a LIMIT may cut among them anywhere. Keys that differ by rounding alone count as equal.
pub fn compare_choice(whole: &Rows, choice: Choice, expectation: &Expectation, rules: &Rules) -> Verdict {
    let Expectation::Rows { rows, .. } = expectation else { return compare(whole, expectation, rules) };
    let shown = whole.take_columns(whole.width().saturating_sub(choice.keys));
    let count = whole.len().saturating_sub(choice.offset).min(choice.limit.unwrap_or(usize::MAX));
    if let Some(theirs) = rows.first().map(Vec::len).filter(|width| *width != shown.width()) {
        return Verdict::Differs(Difference::Columns { ours: shown.width(), theirs });
    }
    if rows.len() != count {
        return Verdict::Differs(Difference::Rows { ours: count, theirs: rows.len() });
    }
    let runs = runs(whole, choice.keys);
    let window = choice.offset..choice.offset + count;
    let illegal = |wide: bool, without: &[usize]| {
        let pair = Pair::new(&shown, rows, rules, wide).without(without);
        runs.iter().find_map(|run| {
            let part = run.start.max(window.start)..run.end.min(window.end);
            let theirs = part.start.wrapping_sub(window.start)..part.end.wrapping_sub(window.start);
            if part.is_empty() { None } else { pair.as_multiset(run.clone(), theirs, part.len() < run.len()) }
        })
    };
    judge(&shown, rules, illegal(false, &[]), illegal)
}

/// Runs of rows with equal sort keys.
fn runs(rows: &Rows, keys: usize) -> Vec<Range<usize>> {
    let columns = rows.width().saturating_sub(keys)..rows.width();
    let mut runs: Vec<Range<usize>> = Vec::new();
    for row in 0..rows.len() {
        match runs.last_mut() {
            Some(run) if columns.clone().all(|column| is_same_key(&rows.cell(run.end - 1, column), &rows.cell(row, column))) => {
                run.end = row + 1
            }
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

/// Whether two sort keys are equal, but for the rounding of floats.
fn is_same_key(a: &Cell<'_>, b: &Cell<'_>) -> bool {
    match (a, b) {
        (Cell::Real(a), Cell::Real(b)) => Tolerance { relative: 1e-12, absolute: 0.0, integers: false }.allows(Some(*a), Some(*b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests;
