//! What a query uses, so that a summary can say which constructs the answers depend on.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::error::Result;
use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArguments, GroupByExpr, JoinOperator, LimitClause, OrderByKind, Query,
    Select, SetExpr, SetOperator, SetQuantifier, TableFactor, Visit, Visitor, WindowFrameUnits, WindowType,
};

/// The features of a statement in HeavyDB's text, in order of their names: `fn:CORR`, `window`, `join:left`, `group_by`, …
///
/// ```
/// # use datafusion_heavydb::dialect::features;
/// let found = features("SELECT a, SUM(b) OVER (ORDER BY c) FROM t LEFT JOIN u ON t.x = u.x LIMIT 3")?;
/// assert_eq!(found, ["fn:SUM", "join:left", "limit", "window"]);
/// # Ok::<(), datafusion::error::DataFusionError>(())
/// ```
///
/// # Errors
/// What does not parse.
pub fn features(text: &str) -> Result<Vec<String>> {
    let (tokens, _) = super::tokens::tokens(text)?;
    let statement = super::rewrite::parse(tokens)?;
    let mut found = Features::default();
    let _ = statement.visit(&mut found);
    Ok(found.0.into_iter().collect())
}

#[derive(Default)]
struct Features(BTreeSet<String>);

impl Features {
    fn add(&mut self, name: &str) {
        if !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    fn add_if(&mut self, is_there: bool, name: &str) {
        if is_there {
            self.add(name);
        }
    }

    fn function(&mut self, function: &Function) {
        let name = function.name.0.last().map(|part| part.to_string().to_uppercase()).unwrap_or_default();
        self.add(&format!("fn:{name}"));
        self.add_if(name.starts_with("APPROX_"), "approx");
        if let FunctionArguments::List(list) = &function.args {
            self.add_if(name == "COUNT" && list.duplicate_treatment == Some(DuplicateTreatment::Distinct), "count_distinct");
        }
        if let Some(over) = &function.over {
            self.add("window");
            if let WindowType::WindowSpec(spec) = over
                && let Some(frame) = &spec.window_frame
            {
                self.add("window:frame");
                self.add_if(frame.units == WindowFrameUnits::Range, "window:range");
            }
        }
    }
}

/// The features of forms of expressions; functions and operators tell more than their form.
fn form(expr: &Expr) -> Option<&'static str> {
    Some(match expr {
        Expr::Cast { .. } => "cast",
        Expr::Extract { .. } => "extract",
        Expr::Case { .. } => "case",
        Expr::Between { .. } => "between",
        Expr::InList { .. } => "in_list",
        Expr::InSubquery { .. } => "subquery:in",
        Expr::Exists { .. } => "subquery:exists",
        Expr::Subquery(_) => "subquery:scalar",
        Expr::Like { .. } => "like",
        Expr::ILike { .. } => "ilike",
        Expr::RLike { .. } => "regexp",
        Expr::Interval(_) => "interval",
        Expr::TypedString(_) => "typed_literal",
        Expr::Array(_) => "array",
        Expr::BinaryOp { op: BinaryOperator::Divide, .. } => "division",
        Expr::BinaryOp { op: BinaryOperator::Modulo, .. } => "mod",
        Expr::BinaryOp { op: BinaryOperator::StringConcat, .. } => "concat",
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => "distinct_from",
        _ => return None,
    })
}

impl Visitor for Features {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.add_if(query.with.is_some(), "with");
        if let Some(order) = &query.order_by {
            self.add("order_by");
            let named = matches!(&order.kind, OrderByKind::Expressions(keys) if keys.iter().any(|key| key.options.nulls_first.is_some()));
            self.add_if(named, "nulls_order");
        }
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                self.add_if(limit.is_some(), "limit");
                self.add_if(offset.is_some(), "offset");
            }
            Some(LimitClause::OffsetCommaLimit { .. }) => {
                self.add("limit");
                self.add("offset");
            }
            None => {}
        }
        match query.body.as_ref() {
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, .. } => self.add("union_all"),
            SetExpr::SetOperation { op, .. } => self.add(&op.to_string().to_lowercase()),
            SetExpr::Values(_) => self.add("values"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.add_if(select.distinct.is_some(), "select_distinct");
        self.add_if(select.having.is_some(), "having");
        self.add_if(select.from.len() > 1, "join:comma");
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            self.add_if(!keys.is_empty(), "group_by");
            self.add_if(keys.iter().any(|key| matches!(key, Expr::Value(_))), "group_by_ordinal");
        }
        for join in select.from.iter().flat_map(|table| &table.joins) {
            self.add(match &join.join_operator {
                JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => "join:left",
                JoinOperator::Right(_) | JoinOperator::RightOuter(_) => "join:right",
                JoinOperator::FullOuter(_) => "join:full",
                JoinOperator::CrossJoin(_) => "join:cross",
                _ => "join:inner",
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        match relation {
            TableFactor::Derived { .. } => self.add("subquery:from"),
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } => self.add("table_function"),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.function(function);
        }
        if let Some(name) = form(expr) {
            self.add(name);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_functions_are_named_once() {
        let sql = "WITH w AS (SELECT CAST(x AS INT) AS c FROM t) SELECT COUNT(DISTINCT c), LAST_VALUE(c) OVER (ORDER BY c ROWS UNBOUNDED PRECEDING), \
                   c / 2, EXTRACT(YEAR FROM d), CASE WHEN c IN (1, 2) THEN 1 END FROM w, (SELECT 1) GROUP BY 1 HAVING c LIKE 'a' ORDER BY 1 NULLS FIRST";
        let expected = "case cast count_distinct division extract fn:COUNT fn:LAST_VALUE group_by group_by_ordinal having in_list join:comma like \
                        nulls_order order_by subquery:from window window:frame with";
        assert_eq!(features(sql).unwrap().join(" "), expected);
        assert!(features("SELECT FROM WHERE (").is_err());
    }
}
