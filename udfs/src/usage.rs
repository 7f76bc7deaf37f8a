//! How a function is called: the planning errors for what it does not take, the same for every table of functions.

use std::fmt::Display;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;

use crate::constants::{folded, folded_physical};
use crate::metric::{Argument, Default as DefaultValue};
use crate::reference::Page;

/// The constant arguments of a call, in its order.
pub(crate) type Given = Vec<(&'static Argument, ScalarValue)>;

impl Page {
    /// The arguments that have a default, with its value.
    pub(crate) fn defaults(&self) -> impl Iterator<Item = (&'static Argument, ScalarValue)> + use<> {
        self.arguments.iter().filter_map(|argument| {
            let value = match argument.default {
                DefaultValue::Required | DefaultValue::Absent => return None,
                DefaultValue::Number(x) => ScalarValue::Float64(Some(x)),
                DefaultValue::Flag(x) => ScalarValue::Boolean(Some(x)),
                DefaultValue::Text(x) => ScalarValue::from(x),
            };
            Some((argument, value))
        })
    }

    /// # Errors
    /// A planning error when the number of arguments fits no form of the call.
    fn check_count(&self, given: usize) -> Result<()> {
        let least = self.arguments.iter().filter(|a| a.default == DefaultValue::Required).count();
        let most = self.arguments.len();
        if (least..=most).contains(&given) {
            return Ok(());
        }
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        plan_err!("{} takes {expected} arguments, got {given}; usage: {}", self.name, self.signature())
    }

    /// The error for a value that an argument does not take.
    pub(crate) fn not_allowed<T>(&self, argument: &Argument, got: &dyn Display) -> Result<T> {
        plan_err!("{}: argument {} must be {}, got {got}; usage: {}", self.name, argument.name, argument.role.allowed(), self.signature())
    }

    /// The error for an expression in the place of a constant.
    fn not_constant<T>(&self, argument: &Argument, written: &dyn Display) -> Result<T> {
        plan_err!(
            "{}: argument {} must be {}, known before the query runs, got the expression {written}; usage: {}",
            self.name,
            argument.name,
            argument.role.allowed(),
            self.signature()
        )
    }

    /// The error for `DISTINCT` where it has no meaning.
    pub(crate) fn no_distinct<T>(&self) -> Result<T> {
        plan_err!("{} does not take DISTINCT: every row counts; usage: {}", self.name, self.signature())
    }

    /// The types that arguments of these types are cast to.
    ///
    /// # Errors
    /// A planning error for a wrong number of arguments, or one of a type that cannot stand for its role.
    pub(crate) fn coerced_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        self.check_count(given.len())?;
        let coerced =
            |(argument, given): (&Argument, &DataType)| argument.role.coerced(given).map_or_else(|| self.not_allowed(argument, given), Ok);
        self.arguments.iter().zip(given).map(coerced).collect()
    }

    /// The constants of a call given as logical expressions. `None` when a bound parameter is still open.
    ///
    /// # Errors
    /// A planning error for a wrong number of arguments, and for one that is not constant.
    pub(crate) fn constants_of_call(&self, args: &[Expr]) -> Result<Option<Given>> {
        self.check_count(args.len())?;
        let mut given = vec![];
        for (argument, expr) in self.arguments.iter().zip(args).filter(|(argument, _)| argument.role.is_constant()) {
            if expr.exists(|e| Ok(matches!(e, Expr::Placeholder(_))))? {
                return Ok(None);
            }
            match folded(expr)? {
                Some(value) => given.push((argument, value)),
                None => return self.not_constant(argument, expr),
            }
        }
        Ok(Some(given))
    }

    /// The constants of a call given as physical expressions.
    ///
    /// # Errors
    /// As [`Self::constants_of_call`].
    pub(crate) fn constants_of_physical(&self, args: &[Arc<dyn PhysicalExpr>]) -> Result<Given> {
        self.check_count(args.len())?;
        let constants = self.arguments.iter().zip(args).filter(|(argument, _)| argument.role.is_constant());
        constants
            .map(|(argument, expr)| match folded_physical(expr)? {
                Some(value) => Ok((argument, value)),
                None => self.not_constant(argument, expr),
            })
            .collect()
    }
}
