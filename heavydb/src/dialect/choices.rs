//! Which rows a query may give: where ties or a LIMIT leave a choice, its whole result tells whether another choice is legal too.

use datafusion::error::Result;
use sqlparser::ast::{
    Expr, LimitClause, Offset, OrderBy, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, Value, ValueWithSpan, Visit, Visitor,
};

use super::rewrite::rewrite;
use crate::options::Options;
use crate::replay::compare::{BANDS, Band};

/// What a query leaves open.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Whether it has a top-level ORDER BY.
    pub has_order: bool,
    /// The query without LIMIT and OFFSET, its sort keys as last columns; `None` where its form does not allow that.
    pub whole: Option<Statement>,
    /// How many sort keys were added.
    pub keys: usize,
    /// OFFSET.
    pub offset: usize,
    /// LIMIT.
    pub limit: Option<usize>,
    /// Columns, from 0, of aggregates that take any value of their group.
    pub chance: Vec<usize>,
    /// Columns, from 0, of approximate aggregates, with HeavyDB's names of those.
    approximate: Vec<(usize, &'static str)>,
}

impl Choices {
    /// How far approximate columns may lie from the exact value.
    pub fn bands(&self) -> Vec<(usize, Band)> {
        let band = |(place, name): &(usize, &'static str)| BANDS.iter().find(|band| band.function == *name).map(|band| (*place, *band));
        self.approximate.iter().filter_map(band).collect()
    }
}

/// Aggregates that take any value of their group.
const OF_CHANCE: &[&str] = &["SAMPLE", "LAST_SAMPLE", "ANY_VALUE", "MODE"];

/// Looks at a query.
///
/// # Errors
/// As [`rewrite`].
pub fn choices(text: &str, options: &Options) -> Result<Choices> {
    let rewritten = rewrite(text, options)?;
    let (tokens, _) = super::tokens::tokens(text)?;
    let original = super::rewrite::parse(tokens)?;
    let mut choices = Choices { has_order: false, whole: None, keys: 0, offset: 0, limit: None, chance: vec![], approximate: vec![] };
    if let Statement::Query(query) = &original
        && let SetExpr::Select(select) = query.body.as_ref()
    {
        name_columns(select, &mut choices);
    }
    let Statement::Query(mut query) = rewritten.statement else { return Ok(choices) };
    let order = query.order_by.take();
    choices.has_order = order.is_some();
    let (limit, offset) = match query.limit_clause.take() {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => (limit, offset.map(|Offset { value, .. }| value)),
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        None => (None, None),
    };
    choices.limit = limit.as_ref().and_then(whole_number);
    choices.offset = offset.as_ref().and_then(whole_number).unwrap_or(0);
    let is_known = |given: &Option<Expr>| given.as_ref().is_none_or(|value| whole_number(value).is_some());
    if !is_known(&limit) || !is_known(&offset) || query.fetch.is_some() {
        return Ok(choices);
    }
    match order {
        None => choices.whole = Some(Statement::Query(query)),
        Some(order) => {
            if let Some(keys) = with_keys(&mut query, &order) {
                choices.keys = keys;
                query.order_by = Some(order);
                choices.whole = Some(Statement::Query(query));
            }
        }
    }
    Ok(choices)
}

fn whole_number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) => digits.parse().ok(),
        _ => None,
    }
}

/// Adds the sort keys to the columns; how many there are. `None` where that would change the rows.
fn with_keys(query: &mut Query, order: &OrderBy) -> Option<usize> {
    let OrderByKind::Expressions(keys) = &order.kind else { return None };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    if select.distinct.is_some() {
        return None;
    }
    let keys: Vec<Expr> = keys.iter().map(|key| key_of(select, &key.expr)).collect::<Option<_>>()?;
    let count = keys.len();
    for (place, expr) in keys.into_iter().enumerate() {
        select.projection.push(SelectItem::ExprWithAlias { expr, alias: sqlparser::ast::Ident::with_quote('"', format!("key@{place}")) });
    }
    Some(count)
}

/// The expression behind a sort key: an ordinal or an alias means a column.
fn key_of(select: &Select, key: &Expr) -> Option<Expr> {
    let item = match key {
        Expr::Identifier(name) => select
            .projection
            .iter()
            .find(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name.value))),
        _ => match whole_number(key) {
            Some(place) => Some(select.projection.get(place.checked_sub(1)?)?),
            None => None,
        },
    };
    match item {
        None => Some(key.clone()),
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => Some(expr.clone()),
        Some(_) => None,
    }
}

/// Notes the columns of approximate aggregates and of those of chance.
fn name_columns(select: &Select, choices: &mut Choices) {
    for (place, item) in select.projection.iter().enumerate() {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { return };
        let mut names = Names(vec![]);
        let _ = expr.visit(&mut names);
        if names.0.iter().any(|name| OF_CHANCE.contains(&name.as_str())) {
            choices.chance.push(place);
        }
        let band = BANDS.iter().find(|band| names.0.iter().any(|name| name == band.function));
        choices.approximate.extend(band.map(|band| (place, band.function)));
    }
}

/// Names of the functions in an expression.
struct Names(Vec<String>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> std::ops::ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.0.push(function.name.to_string().to_uppercase());
        }
        std::ops::ControlFlow::Continue(())
    }
}
