//! What is refused although it could be planned: [`GUARDS`] lists the forms whose answer would not surely be HeavyDB's.
//!
//! A plan is looked at twice: as it was written, and after types were brought together. What needs the text, or the arguments of one
//! function, is refused where it is read; the list names these guards too.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Subquery};

use super::kinds::Kind;
use crate::refusal::Refusal;

/// Digits of the largest decimal.
const MOST_DIGITS: u8 = 18;

/// One refusal.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    /// A short name.
    pub id: &'static str,
    /// What is refused, and which wrong number that prevents.
    pub what: &'static str,
    /// A query over the tables `t` and `u` of the tests that is refused by this guard.
    pub example: &'static str,
    /// Where the check is made.
    check: Check,
}

/// Where a guard looks.
#[derive(Debug, Clone, Copy)]
enum Check {
    /// At a node of the plan as it was written, with the columns of its inputs.
    Written(fn(&LogicalPlan, &DFSchema) -> Result<()>),
    /// At an expression of the plan after types were brought together, with the columns of its node's inputs.
    Analyzed(fn(&Expr, &DFSchema) -> Result<()>),
    /// Where the named part reads the construct.
    Inside,
}

macro_rules! guard {
    ($id:literal, $check:expr, $what:literal, $example:literal) => {
        Guard { id: $id, what: $what, example: $example, check: $check }
    };
}

/// Every guard.
pub const GUARDS: &[Guard] = &[
    guard!(
        "implicit cast",
        Check::Analyzed(implicit_cast),
        "A text that DataFusion would read as a number or a date by itself, or the reverse: '007' would equal 7, and 1.5 read '1.5', not '1.500000'.",
        "SELECT COUNT(*) FROM t WHERE x IS DISTINCT FROM 7"
    ),
    guard!(
        "digits",
        Check::Analyzed(too_many_digits),
        "A DECIMAL of more than 18 digits, which HeavyDB does not have: it fails there.",
        "SELECT 1234567890123456789.5 FROM t"
    ),
    guard!(
        "union types",
        Check::Inside,
        "UNION ALL of texts and numbers, or of truths and dates: DataFusion casts, HeavyDB does not.",
        "SELECT x FROM t UNION ALL SELECT i FROM u"
    ),
    guard!(
        "IN types",
        Check::Inside,
        "IN of another family of types than the value before it, or of timestamps of another precision.",
        "SELECT COUNT(*) FROM t WHERE i IN (SELECT x FROM u)"
    ),
    guard!(
        "distinct types",
        Check::Inside,
        "IS [NOT] DISTINCT FROM between timestamps of different precision.",
        "SELECT COUNT(*) FROM t WHERE ts IS DISTINCT FROM ts3"
    ),
    guard!(
        "empty group",
        Check::Written(empty_group),
        "EXISTS and IN over a correlated aggregate without GROUP BY, which has a row also where nothing matches: DataFusion loses it.",
        "SELECT COUNT(*) FROM t WHERE EXISTS (SELECT COUNT(*) FROM u WHERE u.i = t.i)"
    ),
    guard!(
        "case types",
        Check::Inside,
        "CASE and COALESCE of texts and numbers, or of dates and timestamps: HeavyDB has no common type.",
        "SELECT CASE WHEN o THEN i ELSE x END FROM t"
    ),
    guard!(
        "condition",
        Check::Written(conditions),
        "A number as condition: DataFusion takes it as true where it is not 0.",
        "SELECT CASE WHEN i THEN b ELSE 0 END FROM t"
    ),
    guard!(
        "text against number",
        Check::Inside,
        "A text compared with a number: '007' would equal 7.",
        "SELECT COUNT(*) FROM t WHERE x = 7"
    ),
    guard!(
        "empty text",
        Check::Inside,
        "A column of texts compared with '': HeavyDB stores NULL there, so that the comparison is never true.",
        "SELECT COUNT(*) FROM t WHERE x = ''"
    ),
    guard!(
        "precisions",
        Check::Inside,
        "<> between timestamps of different precision: HeavyDB cuts one side or not, by its place.",
        "SELECT COUNT(*) FROM t WHERE ts <> ts3"
    ),
    guard!(
        "quantified subquery",
        Check::Inside,
        "ANY and ALL before a subquery, which HeavyDB has before arrays alone.",
        "SELECT COUNT(*) FROM t WHERE i > ALL (SELECT i FROM u)"
    ),
    guard!(
        "lateral",
        Check::Inside,
        "LATERAL, which HeavyDB does not have.",
        "SELECT t.i FROM t, LATERAL (SELECT MAX(b) FROM u WHERE u.i = t.i) q"
    ),
    guard!(
        "literal",
        Check::Inside,
        "A column where HeavyDB takes a constant: it would read the first row's.",
        "SELECT LAG(i, b) OVER (ORDER BY i) FROM t"
    ),
    guard!(
        "cut",
        Check::Inside,
        "LIMIT inside a query that falls among rows which the keys do not tell apart: which of them stay is an accident.",
        "SELECT SUM(i) FROM (SELECT i FROM u LIMIT 2)"
    ),
    guard!(
        "set with NULL",
        Check::Inside,
        "NOT IN over a set of more than 100 values with NULL: HeavyDB then forgets the NULL, for fewer values it does not.",
        "SELECT COUNT(*) FROM t WHERE i NOT IN (SELECT CASE WHEN generate_series > 1 THEN generate_series END FROM TABLE(generate_series(1, 200)))"
    ),
];

/// Refuses what [`GUARDS`] names in a plan as it was written.
///
/// # Errors
/// A [`Refusal`].
pub(super) fn check_written(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let schema = inputs_of(node);
        for guard in GUARDS {
            if let Check::Written(check) = guard.check {
                check(node, &schema)?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses subqueries that DataFusion cannot plan where they stand.
fn check_places(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        each_part(node, |part| {
            let is_placed = match part {
                Expr::Exists(_) | Expr::InSubquery(_) => matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Join(_)),
                Expr::ScalarSubquery(scalar) => {
                    scalar.outer_ref_columns.is_empty()
                        || matches!(node, LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_))
                }
                _ => true,
            };
            if is_placed {
                return Ok(());
            }
            Err(Refusal::new("a subquery that depends on the outer row", "there is no plan for it in this place: join it").into())
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Brings types together, and refuses what that would make of the plan.
pub(crate) fn check_types(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    check_places(&plan)?;
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    plan.apply_with_subqueries(|node| {
        let schema = inputs_of(node);
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                for guard in GUARDS {
                    if let Check::Analyzed(check) = guard.check {
                        check(part, &schema)?;
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(plan)
}

fn inputs_of(node: &LogicalPlan) -> DFSchema {
    match node {
        // Filters of a scan.
        LogicalPlan::TableScan(scan) => scan.projected_schema.as_ref().clone(),
        _ => merge_schema(&node.inputs()),
    }
}

fn implicit_cast(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let (inner, target) = match expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
        _ => return Ok(()),
    };
    // `1.5e0` is written as the cast of a text by the rewrite.
    if let (Expr::Literal(value, _), DataType::Float64) = (inner.as_ref(), target)
        && value.try_as_str().flatten().is_some_and(|digits| digits.contains(['e', 'E']))
    {
        return Ok(());
    }
    let Ok(source) = inner.get_type(schema) else { return Ok(()) };
    let (from, to) = (Kind::of_type(&source), Kind::of_type(target));
    if from == to || from == Kind::Null || (from != Kind::Text && to != Kind::Text) {
        return Ok(());
    }
    Err(Refusal::new(inner, format!("it would be read as {target} without a CAST, which HeavyDB does not do: write the CAST")).into())
}

fn too_many_digits(expr: &Expr, _: &DFSchema) -> Result<()> {
    let data_type = match expr {
        Expr::Literal(value @ (ScalarValue::Decimal128(..) | ScalarValue::Decimal256(..)), _) => value.data_type(),
        _ => return Ok(()),
    };
    match data_type {
        DataType::Decimal128(digits, _) if digits <= MOST_DIGITS => Ok(()),
        _ => Err(Refusal::new(expr, format!("HeavyDB's DECIMAL has at most {MOST_DIGITS} digits")).into()),
    }
}

fn conditions(node: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    each_part(node, |part| {
        let Expr::Case(Case { expr: None, when_then_expr, .. }) = part else { return Ok(()) };
        for (condition, _) in when_then_expr {
            let Ok(data_type) = condition.get_type(schema) else { continue };
            if !matches!(data_type, DataType::Boolean | DataType::Null) {
                return Err(Refusal::new(condition, format!("a condition is BOOLEAN, not {data_type}")).into());
            }
        }
        Ok(())
    })
}

fn empty_group(node: &LogicalPlan, _: &DFSchema) -> Result<()> {
    each_part(node, |part| {
        let (subquery, name): (&Subquery, _) = match part {
            Expr::Exists(exists) => (&exists.subquery, "EXISTS"),
            Expr::InSubquery(within) => (&within.subquery, "IN"),
            _ => return Ok(()),
        };
        if subquery.outer_ref_columns.is_empty() || !is_one_group(&subquery.subquery) {
            return Ok(());
        }
        Err(Refusal::new(format!("{name} (SELECT ...)"), "an aggregate without GROUP BY has a row also where nothing matches").into())
    })
}

/// Whether a query is an aggregate without GROUP BY.
pub(super) fn is_one_group(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => plan.inputs().first().is_some_and(|input| is_one_group(input)),
        _ => false,
    }
}

/// Shows every part of a node's expressions.
fn each_part(node: &LogicalPlan, mut show: impl FnMut(&Expr) -> Result<()>) -> Result<()> {
    node.apply_expressions(|expr| {
        expr.apply(|part| {
            show(part)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}
