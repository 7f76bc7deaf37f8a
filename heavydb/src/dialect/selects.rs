//! Queries as a whole: clauses that HeavyDB does not have, and the names of their columns.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::error::Result;
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, LimitClause, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableAlias,
    visit_expressions, visit_expressions_mut,
};

use super::nodes::number;
use super::rewrite::Rewriter;
use crate::functions::aggregates::AGGREGATES;
use crate::refusal::Refusal;

/// Refuses what HeavyDB does not have around a query.
pub(super) fn check_query(query: &Query) -> Result<()> {
    if query.with.as_ref().is_some_and(|with| with.recursive) {
        return Err(Refusal::new("WITH RECURSIVE", "HeavyDB has no recursive queries").into());
    }
    check_set_operation(&query.body)
}

fn check_set_operation(body: &SetExpr) -> Result<()> {
    let SetExpr::SetOperation { left, op, set_quantifier, right } = body else { return Ok(()) };
    if *op != SetOperator::Union || *set_quantifier != SetQuantifier::All {
        let quantifier = if *set_quantifier == SetQuantifier::None { String::new() } else { format!(" {set_quantifier}") };
        return Err(Refusal::new(format!("{op}{quantifier}"), "HeavyDB has UNION ALL alone").into());
    }
    check_set_operation(left)?;
    check_set_operation(right)
}

/// Refuses clauses that HeavyDB does not have.
pub(super) fn check_select(select: &Select) -> Result<()> {
    let refused: Option<(&str, &str)> = match select {
        Select { qualify: Some(_), .. } => Some(("QUALIFY", "HeavyDB has no QUALIFY")),
        Select { distinct: Some(Distinct::On(_)), .. } => Some(("DISTINCT ON", "HeavyDB has no DISTINCT ON")),
        Select { top: Some(_), .. } => Some(("TOP", "HeavyDB writes LIMIT")),
        _ => None,
    };
    if let Some((construct, reason)) = refused {
        return Err(Refusal::new(construct, reason).into());
    }
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else {
        return Err(Refusal::new("GROUP BY ALL", "HeavyDB has no GROUP BY ALL").into());
    };
    let is_set = |key: &Expr| matches!(key, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_));
    if !modifiers.is_empty() || keys.iter().any(is_set) {
        return Err(Refusal::new("GROUPING SETS", "HeavyDB groups by one set of keys").into());
    }
    Ok(())
}

/// In a HAVING without aggregates, an alias of the select list goes before a column of that name; DataFusion looks for the column first.
pub(super) fn aliases_of_having(select: &mut Select) {
    let Some(having) = select.having.as_mut() else { return };
    let aggregates = |expr: &Expr| match expr {
        Expr::Function(function) if is_aggregate(&function.name.to_string()) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    if visit_expressions(having, aggregates).is_break() {
        return;
    }
    let meanings: HashMap<String, &Expr> = select
        .projection
        .iter()
        .filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } => Some((alias.value.to_lowercase(), expr)),
            _ => None,
        })
        .collect();
    let _: ControlFlow<()> = visit_expressions_mut(having, |expr| {
        if let Expr::Identifier(name) = expr
            && let Some(meaning) = meanings.get(&name.value.to_lowercase())
            && *expr != **meaning
        {
            *expr = Expr::Nested(Box::new((*meaning).clone()));
        }
        ControlFlow::Continue(())
    });
}

fn is_aggregate(name: &str) -> bool {
    AGGREGATES.iter().any(|aggregate| aggregate.name.eq_ignore_ascii_case(name))
}

/// `FETCH` is `LIMIT`.
pub(super) fn fetch_to_limit(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties || fetch.percent {
        return Err(Refusal::new(fetch, "HeavyDB takes a number of rows").into());
    }
    let limit = Some(fetch.quantity.unwrap_or_else(|| number(1)));
    match &mut query.limit_clause {
        None => query.limit_clause = Some(LimitClause::LimitOffset { limit, offset: None, limit_by: vec![] }),
        Some(LimitClause::LimitOffset { limit: empty @ None, .. }) => *empty = limit,
        Some(_) => return Err(Refusal::new("FETCH", "there is a LIMIT already").into()),
    }
    Ok(())
}

/// An alias without columns.
pub(super) fn alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::new(name), columns: vec![], at: None }
}

/// What HeavyDB calls a column without a name, in lower case as all names; the header of a result shows it in capitals.
pub(crate) fn unnamed_column(place: usize) -> String {
    format!("{UNNAMED}{place}")
}

/// `EXPR$0` of `expr$0`; `None` for the name that somebody gave.
pub(crate) fn header_of_unnamed(name: &str) -> Option<String> {
    let number = name.strip_prefix(UNNAMED)?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.to_uppercase())
}

const UNNAMED: &str = "expr$";

/// Gives every computed column HeavyDB's name `EXPR$n`, and names that come twice a number.
pub(super) fn name_columns(select: &mut Select, rewriter: &mut Rewriter<'_>) {
    let mut taken: HashSet<String> = HashSet::new();
    for (place, item) in select.projection.iter_mut().enumerate() {
        let (name, is_named) = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => (name.value.to_lowercase(), true),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                (parts.last().map_or_else(String::new, |name| name.value.to_lowercase()), true)
            }
            SelectItem::UnnamedExpr(_) => (unnamed_column(place), false),
            SelectItem::ExprWithAlias { alias, .. } => (alias.value.to_lowercase(), true),
            _ => continue,
        };
        let free = free_name(&name, &taken);
        if free != name {
            rewriter.fired("D25");
        }
        if free != name || !is_named {
            alias_as(item, &free);
        }
        taken.insert(free);
    }
}

/// Aliases of the outermost query with capital letters, by their form in lower case.
pub(super) fn aliases(statement: &Statement, text: &str) -> HashMap<String, String> {
    let Statement::Query(query) = statement else { return HashMap::new() };
    let Some(select) = first_select(&query.body) else { return HashMap::new() };
    let mut quoted = None;
    let mut found = HashMap::new();
    for item in &select.projection {
        let SelectItem::ExprWithAlias { alias, .. } = item else { continue };
        let lower = alias.value.to_lowercase();
        let spelled = match alias.quote_style {
            None => Some(alias.value.clone()),
            Some(_) => quoted.get_or_insert_with(|| super::tokens::spellings(text)).get(&lower).cloned(),
        };
        found.extend(spelled.filter(|spelled| *spelled != lower).map(|spelled| (lower, spelled)));
    }
    found
}

/// The query that names the columns.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn free_name(name: &str, taken: &HashSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    (0..).map(|number| format!("{name}{number}")).find(|free| !taken.contains(free)).unwrap_or_default()
}

fn alias_as(item: &mut SelectItem, name: &str) {
    let alias = Ident::with_quote('"', name);
    match item {
        SelectItem::UnnamedExpr(expr) => *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias },
        SelectItem::ExprWithAlias { alias: old, .. } => *old = alias,
        _ => {}
    }
}
