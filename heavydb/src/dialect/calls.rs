//! Calls of functions: what becomes of a name.

use datafusion::error::Result;
use sqlparser::ast::{BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident};

use super::clauses::{Node, refuse_clauses};
use super::nodes::{arguments, binary, call, case, null, number, rename, set_arguments, text, text_of};
use super::rewrite::Rewriter;
use crate::functions::{Action, Function as Known, find, refused_family};
use crate::refusal::Refusal;

/// One rewrite of calls.
struct CallRule {
    /// Names in lower case.
    names: &'static [&'static str],
    /// What takes the place of the call; `None` where the call itself was changed or stays.
    apply: fn(&mut Function, &mut Rewriter<'_>) -> Result<Option<Expr>>,
}

/// Every rewrite.
const CALL_RULES: &[CallRule] = &[
    CallRule {
        names: &["date_trunc", "pg_date_trunc", "dateadd", "datediff", "datepart", "timestampadd", "timestampdiff", "pg_extract"],
        apply: quote_unit,
    },
    CallRule { names: &["approx_count_distinct"], apply: count_distinct },
    CallRule { names: &["count_if"], apply: count_if },
    CallRule { names: &["sum_if"], apply: sum_if },
    CallRule { names: &["count"], apply: plain_count },
    CallRule { names: &["greatest"], apply: |function, _| larger(function, BinaryOperator::Gt) },
    CallRule { names: &["least"], apply: |function, _| larger(function, BinaryOperator::Lt) },
    CallRule { names: &["likely", "unlikely"], apply: |function, _| Ok(only_argument(function)) },
    CallRule { names: &["mod"], apply: modulo },
    CallRule { names: &["power"], apply: power_of_doubles },
    CallRule { names: &["space"], apply: |function, _| Ok(only_argument(function).map(|n| call("repeat", vec![text(" "), n]))) },
    CallRule { names: &["contains"], apply: |function, _| needle(function, "%", "%") },
    CallRule { names: &["startswith"], apply: |function, _| needle(function, "", "%") },
    CallRule { names: &["endswith"], apply: |function, _| needle(function, "%", "") },
    CallRule { names: &["pg_ilike"], apply: pattern_call },
    CallRule { names: &["array_at"], apply: array_at },
    CallRule { names: &["now", "current_timestamp"], apply: |_, rewriter| Ok(instant(rewriter, "TIMESTAMP(0)")) },
    CallRule { names: &["current_date"], apply: |_, rewriter| Ok(instant(rewriter, "DATE")) },
    CallRule { names: &["current_time"], apply: |_, rewriter| Ok(instant(rewriter, "TIME(0)")) },
    CallRule { names: &["datetime"], apply: datetime },
    CallRule { names: &["fragment_id", "offset_in_fragment", "fragment_id_and_offset"], apply: fragment },
    CallRule { names: &["current_user"], apply: |_, rewriter| Ok(Some(text(rewriter.options.user.clone()))) },
    CallRule { names: &["ustimestamp"], apply: |function, _| Ok(only_argument(function).map(|x| cast_as(x, "TIMESTAMP(6)"))) },
    CallRule { names: &["nstimestamp"], apply: |function, _| Ok(only_argument(function).map(|x| cast_as(x, "TIMESTAMP(9)"))) },
];

/// Replaces or changes one call.
///
/// # Errors
/// A [`Refusal`] for a function that the dialect does not give.
pub(super) fn rewrite_call(function: &mut Function, rewriter: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let name = function.name.to_string().to_lowercase();
    refuse_clauses(&Node::Call(function))?;
    let known = check_name(&name)?;
    check_clauses(function)?;
    if !matches!(known.action, Action::Same(_)) {
        rewriter.meant(numbered(known.name));
    }
    let Some(rule) = CALL_RULES.iter().find(|rule| rule.names.contains(&name.as_str())) else { return Ok(None) };
    let before = function.clone();
    let replaced = (rule.apply)(function, rewriter)?;
    if replaced.is_some() || *function != before {
        rewriter.fired(known.name);
    }
    Ok(replaced)
}

/// Functions of which one numbered difference tells the meaning.
const NUMBERED: &[(&str, &[&str])] = &[
    ("D9", &["CORR", "CORRELATION", "CORR_FLOAT", "COVAR_POP", "COVAR_SAMP", "CORRELATION_FLOAT"]),
    ("D10", &["NTILE"]),
    ("D11", &["FIRST_VALUE", "LAST_VALUE", "NTH_VALUE"]),
    ("D13", &["EXTRACT", "PG_EXTRACT"]),
    ("D14", &["DATEPART"]),
    ("D20", &["REGEXP_LIKE"]),
    ("D21", &["SUBSTRING", "SUBSTR", "MID"]),
    ("D23", &["GREATEST", "LEAST"]),
    ("D30", &["SUM", "AVG", "COUNT"]),
];

fn numbered(name: &'static str) -> &'static str {
    NUMBERED.iter().find(|(_, names)| names.contains(&name)).map_or(name, |(number, _)| number)
}

fn check_name(name: &str) -> Result<&'static Known> {
    let shown = name.to_uppercase();
    match find(name) {
        Some(function) => match function.action {
            Action::Refused(reason) => Err(Refusal::new(shown, reason).into()),
            _ => Ok(function),
        },
        None => match refused_family(name) {
            Some(reason) => Err(Refusal::new(shown, reason).into()),
            None => Err(Refusal::new(shown, "no such function of HeavyDB is known").into()),
        },
    }
}

fn check_clauses(function: &Function) -> Result<()> {
    let clause = if function.filter.is_some() {
        "FILTER"
    } else if !function.within_group.is_empty() {
        "WITHIN GROUP"
    } else if function.null_treatment.is_some() {
        "IGNORE NULLS"
    } else {
        return Ok(());
    };
    Err(Refusal::new(format!("{clause} of {}", function.name), format!("HeavyDB has no {clause}")).into())
}

fn only_argument(function: &Function) -> Option<Expr> {
    match arguments(function)?.as_slice() {
        [argument] => Some((*argument).clone()),
        _ => None,
    }
}

fn two_arguments(function: &Function) -> Result<(Expr, Expr)> {
    match arguments(function).as_deref() {
        Some([first, second]) => Ok(((*first).clone(), (*second).clone())),
        _ => Err(Refusal::new(function, "it takes two arguments").into()),
    }
}

/// A bare unit as first argument becomes text.
fn quote_unit(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let FunctionArguments::List(list) = &mut function.args else { return Ok(None) };
    if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first_mut()
        && let Expr::Identifier(unit) = first
    {
        *first = text(unit.value.to_lowercase());
    }
    Ok(None)
}

fn distinct(function: &mut Function) {
    if let FunctionArguments::List(list) = &mut function.args {
        list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
        list.args.truncate(1);
    }
}

/// `APPROX_COUNT_DISTINCT(x, error)` is the exact `COUNT(DISTINCT x)`.
fn count_distinct(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    distinct(function);
    rename(function, "count");
    Ok(None)
}

fn count_if(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let Some(condition) = only_argument(function) else { return Err(Refusal::new(&function, "it takes one condition").into()) };
    set_arguments(function, vec![case(vec![(condition, number(1))], None)]);
    rename(function, "count");
    Ok(None)
}

fn sum_if(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let (value, condition) = two_arguments(function)?;
    set_arguments(function, vec![case(vec![(condition, value)], None)]);
    rename(function, "sum");
    Ok(None)
}

fn plain_count(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    match &function.args {
        FunctionArguments::List(list) if list.args.len() > 1 => {
            Err(Refusal::new(&function, "COUNT of several arguments is not given").into())
        }
        _ => Ok(None),
    }
}

/// `CASE WHEN a > b THEN a ELSE b END`, which is not symmetric in NULL.
fn larger(function: &mut Function, op: BinaryOperator) -> Result<Option<Expr>> {
    let (left, right) = two_arguments(function)?;
    Ok(Some(case(vec![(binary(left.clone(), op, right.clone()), left)], Some(right))))
}

fn modulo(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let (left, right) = two_arguments(function)?;
    Ok(Some(Expr::Nested(Box::new(binary(left, BinaryOperator::Modulo, right)))))
}

fn power_of_doubles(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let (base, exponent) = two_arguments(function)?;
    set_arguments(function, vec![cast_as(base, "DOUBLE"), cast_as(exponent, "DOUBLE")]);
    Ok(None)
}

/// `CONTAINS(x, 'needle')` is `x LIKE '%needle%'`, where `%` and `_` of the needle are wildcards.
fn needle(function: &mut Function, before: &str, after: &str) -> Result<Option<Expr>> {
    let (value, needle) = two_arguments(function)?;
    let Some(needle) = text_of(&needle) else {
        return Err(Refusal::new(&function, "the text that is looked for must be a literal").into());
    };
    Ok(Some(call("like_sets", vec![value, text(format!("{before}{needle}{after}"))])))
}

fn pattern_call(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let given = arguments(function).unwrap_or_default();
    Ok(Some(call("ilike_sets", given.into_iter().cloned().collect())))
}

fn array_at(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let (array, place) = two_arguments(function)?;
    Ok(Some(call("array_element", vec![array, place])))
}

/// Whether the rule of a call writes its arguments twice.
pub(super) fn copies_arguments(function: &Function) -> bool {
    matches!(function.name.to_string().to_lowercase().as_str(), "greatest" | "least")
}

/// The instant of the statement.
fn instant(rewriter: &mut Rewriter<'_>, data_type: &str) -> Option<Expr> {
    Some(cast_as(cast_as(number(rewriter.instant()?), "TIMESTAMP(0)"), data_type))
}

fn datetime(function: &mut Function, rewriter: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let is_now = only_argument(function).is_some_and(|argument| text_of(&argument).is_some_and(|text| text.eq_ignore_ascii_case("now")));
    if !is_now {
        return Err(Refusal::new(&function, "DATETIME takes 'NOW' alone").into());
    }
    Ok(instant(rewriter, "TIMESTAMP(0)"))
}

fn fragment(function: &mut Function, _: &mut Rewriter<'_>) -> Result<Option<Expr>> {
    let name = function.name.to_string().to_lowercase();
    Ok(Some(super::rowids::of_call(&name, only_argument(function).as_ref())))
}

fn cast_as(expr: Expr, data_type: &str) -> Expr {
    match expr {
        Expr::Identifier(Ident { value, .. }) if value.eq_ignore_ascii_case("null") => null(),
        expr => call("cast_as", vec![expr, text(data_type)]),
    }
}
