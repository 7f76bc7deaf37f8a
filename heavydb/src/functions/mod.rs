//! The functions of the dialect: one entry each, in the lists of the parts.
//!
//! A session of the dialect knows these functions and no others: a name that is in no list is refused, also where DataFusion has a
//! function of that name with another meaning.

pub mod aggregates;
pub mod dates;
pub mod numbers;
pub mod scalar;
pub mod session;
pub mod strings;
pub mod windows;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// One function of HeavyDB and what becomes of a call.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// HeavyDB's name, in upper case.
    pub name: &'static str,
    /// The arguments as HeavyDB's manual writes them: `(unit, n, x)`, `(s, chars = ' ')`.
    pub arguments: &'static str,
    /// What becomes of a call.
    pub action: Action,
    /// One line: the result, its type and unit, and where it differs from what one would think.
    pub doc: &'static str,
    /// A call with constant arguments and its value as text, NULL as `NULL`; aggregates and windows read `t`, see [`Example`].
    pub example: Example,
}

/// What becomes of a call in the dialect.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// DataFusion's function of the same name means the same.
    Same(Implementation),
    /// DataFusion has it under another name.
    Renamed(&'static str, Implementation),
    /// A function of this crate.
    Own(Implementation),
    /// Replaced by other SQL before planning; the text says by what.
    Rewritten(&'static str),
    /// Not given, for this reason.
    Refused(&'static str),
}

/// Makes the function that a session registers.
#[derive(Debug, Clone, Copy)]
pub enum Implementation {
    /// A function of one row.
    Scalar(fn() -> Arc<ScalarUDF>),
    /// A function of many rows.
    Aggregate(fn() -> Arc<AggregateUDF>),
    /// A function of a row among others.
    Window(fn() -> Arc<WindowUDF>),
}

/// A tested example: `sql` is one expression, or for aggregates and windows a whole query; `value` is its first column of every row as
/// text, rows separated by a blank, NULL as `NULL`.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// An expression in HeavyDB's dialect, or a query where it starts with `SELECT`.
    pub sql: &'static str,
    /// The value.
    pub value: &'static str,
}

/// Every function, part by part.
const PARTS: &[&[Function]] =
    &[aggregates::AGGREGATES, dates::FUNCTIONS, numbers::FUNCTIONS, session::FUNCTIONS, strings::FUNCTIONS, windows::WINDOWS];

/// Every function of the dialect.
pub fn functions() -> impl Iterator<Item = &'static Function> {
    PARTS.iter().flat_map(|part| part.iter())
}

/// Every function by its name in lower case: every call of a statement is looked up.
static BY_NAME: LazyLock<HashMap<String, &'static Function>> =
    LazyLock::new(|| functions().map(|function| (function.name.to_ascii_lowercase(), function)).collect());

/// The function of a name in any case.
pub fn find(name: &str) -> Option<&'static Function> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}

pub use numbers::refused_family;
