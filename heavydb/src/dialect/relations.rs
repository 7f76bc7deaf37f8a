//! What stands in FROM: VALUES, and table functions.

use datafusion::error::Result;
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, SetExpr, Statement, TableAlias, TableAliasColumnDef, TableFactor, UnaryOperator, Value,
    ValueWithSpan,
};

use super::nodes::arguments;
use super::rewrite::parse;
use super::selects::{alias, unnamed_column};
use crate::refusal::Refusal;

/// Gives the columns of VALUES HeavyDB's names.
pub(super) fn name_values(relation: &mut TableFactor) {
    let TableFactor::Derived { subquery, alias: Some(alias), .. } = relation else { return };
    let SetExpr::Values(values) = subquery.body.as_ref() else { return };
    if alias.columns.is_empty() {
        let count = values.rows.first().map_or(0, |row| row.content.len());
        alias.columns = (0..count).map(unnamed).collect();
    }
}

fn unnamed(place: usize) -> TableAliasColumnDef {
    TableAliasColumnDef { name: Ident::with_quote('"', unnamed_column(place)), data_type: None }
}

/// Table functions about HeavyDB, which an engine may have.
const OURS: &[&str] = &["heavydb_functions", "heavydb_log"];

/// The alias by which DataFusion's table function is told from HeavyDB's, and its series from others: a plan does not show them.
const SERIES: &str = "series@";

/// The arguments; `None` where one has a name.
fn plain_arguments(given: &[FunctionArg]) -> Option<Vec<Expr>> {
    given
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        })
        .collect()
}

/// `TABLE(generate_series(a, b [, step]))` as a derived table with HeavyDB's name of the column.
///
/// # Errors
/// A [`Refusal`] for any other table function, and for LATERAL.
pub(super) fn rewrite_table(relation: &mut TableFactor) -> Result<()> {
    let (name, arguments, given) = match relation {
        TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
            let arguments = arguments(function).map(|arguments| arguments.into_iter().cloned().collect());
            (function.name.to_string(), arguments, alias.take())
        }
        // The one that this function makes.
        TableFactor::Table { args: Some(_), alias: Some(alias), .. } if alias.name.value.starts_with(SERIES) => return Ok(()),
        TableFactor::Table { name, args: Some(args), alias, .. } => (name.to_string(), plain_arguments(&args.args), alias.take()),
        TableFactor::Derived { lateral: true, .. } | TableFactor::Function { lateral: true, .. } => {
            return Err(Refusal::new("LATERAL", "HeavyDB has no LATERAL").into());
        }
        TableFactor::UNNEST { .. } => return Err(Refusal::new("FROM UNNEST", "HeavyDB has UNNEST in the select list alone").into()),
        _ => return Ok(()),
    };
    if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
        restore(relation, given);
        return Ok(());
    }
    if !name.eq_ignore_ascii_case("generate_series") {
        return Err(Refusal::new(name.to_uppercase(), "of HeavyDB's table functions there is GENERATE_SERIES alone").into());
    }
    let bounds: Option<Vec<i64>> = arguments.unwrap_or_default().iter().map(whole_number).collect();
    let bounds = bounds.unwrap_or_default();
    let step = bounds.get(2).copied().unwrap_or(1);
    if !(2..=3).contains(&bounds.len()) || step == 0 {
        return Err(Refusal::new("GENERATE_SERIES", "its bounds and its step are whole constants, the step not 0").into());
    }
    // In the wrong direction there is no row, where DataFusion fails.
    let is_empty = if step > 0 { bounds[0] > bounds[1] } else { bounds[0] < bounds[1] };
    let (first, last) = if is_empty { (0, 0) } else { (bounds[0], bounds[1]) };
    let condition = if is_empty { " WHERE false" } else { "" };
    let step = if is_empty { 1 } else { step };
    let text = format!(
        "SELECT value AS generate_series FROM generate_series({first}, {last}, {step}) AS \"{SERIES}{first}:{last}:{step}\"{condition}"
    );
    let Statement::Query(subquery) = parse(super::tokens::tokens(&text)?.0)? else { return Ok(()) };
    let alias = given.unwrap_or_else(|| alias("generate_series"));
    *relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    Ok(())
}

/// Gives a table its alias back.
fn restore(relation: &mut TableFactor, given: Option<TableAlias>) {
    if let TableFactor::TableFunction { alias, .. } | TableFactor::Table { alias, .. } = relation {
        *alias = given;
    }
}

fn whole_number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => whole_number(expr)?.checked_neg(),
        Expr::Nested(expr) => whole_number(expr),
        _ => None,
    }
}
