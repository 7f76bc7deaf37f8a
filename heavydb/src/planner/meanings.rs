//! Which of HeavyDB's meanings a plan uses, for reports: operators and casts that are not DataFusion's.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// One meaning, and the functions by which the planner gives it.
struct Meaning {
    rule: &'static str,
    functions: &'static [&'static str],
}

/// Every meaning that operators, casts and literals have of their own. Calls of functions are known from the text.
const MEANINGS: &[Meaning] = &[
    Meaning { rule: "CAST", functions: &["cast_as", "try_cast_as"] },
    Meaning { rule: DECIMAL_QUOTIENT, functions: &["divide", "divide_or_null", "divide_where"] },
    Meaning { rule: "D17", functions: &["instant_order"] },
    Meaning { rule: "D18", functions: &["typed_literal"] },
    Meaning {
        rule: "D19",
        functions: &[
            "datetime_plus",
            "datetime_minus",
            "datetime_difference",
            "interval_multiply",
            "interval_divide",
            "interval_add",
            "interval_subtract",
        ],
    },
];

/// The quotient of decimals has the larger scale of its operands; that of other numbers is as everywhere.
const DECIMAL_QUOTIENT: &str = "D2";

/// The meanings that a plan uses, each once, in the order of the list.
pub(crate) fn meanings(plan: &LogicalPlan) -> Result<Vec<&'static str>> {
    let mut used = [false; MEANINGS.len()];
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Some(place) = meaning_of(part, node) {
                    used[place] = true;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(MEANINGS.iter().zip(used).filter(|(_, used)| *used).map(|(meaning, _)| meaning.rule).collect())
}

fn meaning_of(expr: &Expr, node: &LogicalPlan) -> Option<usize> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let place = MEANINGS.iter().position(|meaning| meaning.functions.contains(&call.name()))?;
    let is_decimal = || node.inputs().iter().any(|input| matches!(expr.get_type(input.schema()), Ok(DataType::Decimal128(..))));
    (MEANINGS[place].rule != DECIMAL_QUOTIENT || is_decimal()).then_some(place)
}
