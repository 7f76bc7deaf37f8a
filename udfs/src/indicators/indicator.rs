//! What one entry of the indicator table says: a name, its documentation, its arguments and the arithmetic it runs.

use datafusion::arrow::datatypes::DataType;

use super::running::{Running, struct_fields};
use super::settings::Settings;
use crate::metric::{Argument, Example};
use crate::reference::{Kind, Page};

/// A SQL window function over a price or return series: one row of the table in [`crate::INDICATORS`].
#[derive(Debug)]
pub struct Indicator {
    /// SQL name.
    pub name: &'static str,
    /// Other SQL names of the same function.
    pub aliases: &'static [&'static str],
    /// One line saying what it shows.
    pub summary: &'static str,
    /// The formula in plain text, with the symbols explained in [`mod@crate::reference`].
    pub formula: &'static str,
    /// Unit of the result.
    pub unit: &'static str,
    /// When the result is undefined, that is NULL, apart from rows with a NULL in an input.
    pub null_when: &'static str,
    /// Arguments in the order of the call.
    pub arguments: &'static [Argument],
    /// SQL type of the result.
    pub result: IndicatorResult,
    /// A call with its exact answers; a test runs every one.
    pub example: Example,
    /// The arithmetic at the start of a partition.
    pub(crate) start: fn(&Settings) -> Box<dyn Running>,
}

/// SQL type of an indicator's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndicatorResult {
    /// `DOUBLE`.
    Double,
    /// Struct of doubles with these fields; never NULL itself, its fields are.
    Fields(&'static [&'static str]),
    /// The type of the first argument.
    AsGiven,
}

impl Indicator {
    /// What is documented of it.
    pub fn page(&self) -> Page {
        let Self { name, aliases, summary, formula, unit, null_when, arguments, example, .. } = *self;
        Page { name, aliases, chapter: "Window indicators", kind: Kind::Window, summary, formula, unit, null_when, arguments, example }
    }

    /// The call with its arguments and defaults: `ema(x, n [, seed = 'sma']) OVER (ORDER BY time)`.
    pub fn signature(&self) -> String {
        self.page().signature()
    }

    /// Number of arguments that are columns; they come first.
    pub(crate) fn series(&self) -> usize {
        self.arguments.iter().filter(|argument| !argument.role.is_constant()).count()
    }

    /// The type of the result for arguments of these types.
    pub(crate) fn result_type(&self, given: Option<&DataType>) -> DataType {
        match (self.result, given) {
            (IndicatorResult::Fields(names), _) => DataType::Struct(struct_fields(names)),
            (IndicatorResult::AsGiven, Some(given)) => given.clone(),
            (IndicatorResult::Double | IndicatorResult::AsGiven, _) => DataType::Float64,
        }
    }
}
