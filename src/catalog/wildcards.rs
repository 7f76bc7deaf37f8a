//! Whether a statement means more columns than it names.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins, Value, Visit, Visitor,
};

/// What becomes of the columns that a statement takes without naming them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    /// There are none, or those that the query names are picked from them by a query around: columns without a name in the text do not matter.
    Inside,
    /// The statement gives out all columns of its tables, as they are.
    GivenOut,
    /// All columns of a table matter, or may matter.
    Matter,
}

/// Looks for columns that a query, an `EXPLAIN` or a view means without naming them; any other statement may need all.
pub(super) fn wildcards(statement: &SqlStatement) -> Wildcards {
    let query = match statement {
        SqlStatement::Explain(explain) => return wildcards(&explain.statement),
        SqlStatement::Statement(inner) => match inner.as_ref() {
            Statement::Query(query) => query,
            Statement::CreateView(view) if view.columns.is_empty() => &view.query,
            _ => return Wildcards::Matter,
        },
        _ => return Wildcards::Matter,
    };
    let mut all = Selections::default();
    if query.visit(&mut all).is_break() {
        return Wildcards::Matter;
    }
    let inside = passed_on(query, false);
    // Every `*` is accounted for, or one stands where its columns count: in an expression, a set operation, under DISTINCT.
    match all.wildcards {
        found if found == inside => Wildcards::Inside,
        found if found == passed_on(query, true) => Wildcards::GivenOut,
        _ => Wildcards::Matter,
    }
}

/// Number of selections with `*` whose columns are picked by name further out, or given out where `outermost` says that this is as good.
fn passed_on(query: &Query, outermost: bool) -> usize {
    let tables = query.with.iter().flat_map(|with| &with.cte_tables);
    let named: usize = tables
        .map(|table| if table.alias.columns.is_empty() { passed_on(&table.query, true) } else { passed_on(&table.query, false) })
        .sum();
    let by_all = query.order_by.as_ref().is_some_and(|order| matches!(order.kind, OrderByKind::All(_)));
    named
        + match query.body.as_ref() {
            SetExpr::Select(select) => of_select(select, outermost && !by_all),
            SetExpr::Query(inner) => passed_on(inner, outermost && !by_all),
            _ => 0,
        }
}

fn of_select(select: &Select, outermost: bool) -> usize {
    let ungrouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    let every_row = matches!(select.distinct, None | Some(Distinct::All));
    let own = usize::from(outermost && every_row && ungrouped && has_wildcard(select));
    own + select.from.iter().map(of_tables).sum::<usize>()
}

fn of_tables(tables: &TableWithJoins) -> usize {
    of_table(&tables.relation) + tables.joins.iter().map(|join| of_table(&join.relation)).sum::<usize>()
}

fn of_table(table: &TableFactor) -> usize {
    match table {
        TableFactor::Derived { subquery, alias, .. } => {
            let by_name = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
            passed_on(subquery, by_name)
        }
        TableFactor::NestedJoin { table_with_joins, .. } => of_tables(table_with_joins),
        _ => 0,
    }
}

fn has_wildcard(select: &Select) -> bool {
    select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)))
}

/// Counts the selections with `*`, and breaks off at what takes columns in other ways.
#[derive(Default)]
struct Selections {
    wildcards: usize,
}

impl Visitor for Selections {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if is_table(&query.body) || orders_by_place(query) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.wildcards += usize::from(has_wildcard(select));
        if select.from.iter().any(is_natural) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        let known = match table {
            TableFactor::Table { args, alias, .. } => args.is_none() && !renames(alias.as_ref()),
            TableFactor::NestedJoin { table_with_joins, alias } => !is_natural(table_with_joins) && !renames(alias.as_ref()),
            TableFactor::Derived { .. } => true,
            _ => false,
        };
        if known { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        let takes_all = match expression {
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => true,
            Expr::Function(call) => takes_all(call),
            _ => false,
        };
        if takes_all { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether an alias gives columns other names, by their places.
fn renames(alias: Option<&TableAlias>) -> bool {
    alias.is_some_and(|alias| !alias.columns.is_empty())
}

/// Whether rows are ordered by a column of a `*` that is told by its place.
fn orders_by_place(query: &Query) -> bool {
    let by_name = matches!(query.body.as_ref(), SetExpr::Select(select) if !has_wildcard(select));
    let is_place = |key: &OrderByExpr| matches!(&key.expr, Expr::Value(value) if matches!(value.value, Value::Number(..)));
    !by_name
        && query.order_by.as_ref().is_some_and(|order| match &order.kind {
            OrderByKind::Expressions(keys) => keys.iter().any(is_place),
            OrderByKind::All(_) => true,
        })
}

/// Whether a call takes the columns behind a `*`; `count(*)` counts rows.
fn takes_all(call: &Function) -> bool {
    let FunctionArguments::List(list) = &call.args else { return false };
    let counts_rows = call.name.to_string().eq_ignore_ascii_case("count") && list.duplicate_treatment.is_none();
    list.args.iter().any(|argument| match argument {
        FunctionArg::Unnamed(argument) | FunctionArg::Named { arg: argument, .. } | FunctionArg::ExprNamed { arg: argument, .. } => {
            match argument {
                FunctionArgExpr::Expr(_) => false,
                FunctionArgExpr::Wildcard => !counts_rows,
                _ => true,
            }
        }
    })
}

/// `TABLE t`, on its own or in a set operation.
fn is_table(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => false,
        SetExpr::SetOperation { left, right, .. } => is_table(left) || is_table(right),
        _ => true,
    }
}

fn is_natural(tables: &TableWithJoins) -> bool {
    tables.joins.iter().any(|join| !joins_by_names(&join.join_operator))
}

/// Whether what a join compares stands in the text.
fn joins_by_names(operator: &JoinOperator) -> bool {
    use JoinOperator as Join;
    match operator {
        Join::Join(by)
        | Join::Inner(by)
        | Join::Left(by)
        | Join::LeftOuter(by)
        | Join::Right(by)
        | Join::RightOuter(by)
        | Join::FullOuter(by)
        | Join::CrossJoin(by)
        | Join::Semi(by)
        | Join::LeftSemi(by)
        | Join::RightSemi(by)
        | Join::Anti(by)
        | Join::LeftAnti(by)
        | Join::RightAnti(by) => !matches!(by, JoinConstraint::Natural),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Command, parse};

    fn found(sql: &str) -> Wildcards {
        let Command::Sql(statement) = parse(sql).expect("parses").remove(0).command else { panic!("not SQL") };
        wildcards(&statement)
    }

    #[test]
    fn names_suffice_where_no_columns_are_given_out() {
        for sql in [
            "SELECT corr(a, b) FROM t WHERE c > 1 ORDER BY d",
            "EXPLAIN SELECT count(*), 2 * a FROM t",
            "SELECT a FROM (SELECT * FROM t WHERE b > 1) AS s",
            "SELECT a, b FROM t ORDER BY 2",
            "WITH s AS (SELECT *, a + 1 AS b FROM t JOIN u USING (c) LIMIT 3) SELECT b FROM s ORDER BY b",
            "SELECT a FROM (SELECT x.* EXCLUDE (c) FROM (SELECT * FROM t) AS x) AS s",
            "SELECT a FROM t UNION ALL SELECT b FROM u",
            "CREATE VIEW v AS SELECT a FROM t",
        ] {
            assert_eq!(found(sql), Wildcards::Inside, "{sql}");
        }
    }

    #[test]
    fn a_selection_of_everything_gives_it_out() {
        for sql in ["SELECT * FROM t WHERE a > 1", "CREATE VIEW v AS SELECT * FROM (SELECT * FROM t) AS s", "SELECT s.*, 1 FROM t AS s"] {
            assert_eq!(found(sql), Wildcards::GivenOut, "{sql}");
        }
    }

    #[test]
    fn columns_that_count_without_a_name_matter() {
        for sql in [
            "SELECT a FROM (SELECT DISTINCT * FROM t) AS s",
            "SELECT a FROM (SELECT * FROM t UNION SELECT * FROM u) AS s",
            "SELECT x FROM (SELECT * FROM t) AS s(x, y)",
            "WITH s(x, y) AS (SELECT * FROM t) SELECT x FROM s",
            "SELECT a FROM (SELECT * FROM t ORDER BY 2 LIMIT 3) AS s",
            "CREATE VIEW v AS SELECT * FROM t ORDER BY 2 LIMIT 3",
            "SELECT x FROM t AS s(x, y)",
            "SELECT a FROM t WHERE a IN (SELECT * FROM u)",
            "SELECT a FROM t NATURAL JOIN u",
            "SELECT a FROM (t NATURAL JOIN u)",
            "SELECT a FROM correlation_pairs(t)",
            "SELECT count(t.*) FROM t",
            "SELECT array_agg(*) FROM t",
            "SELECT a FROM (SELECT * FROM t GROUP BY ALL) AS s",
            "CREATE VIEW v (x) AS SELECT a FROM t",
            "INSERT INTO t SELECT a FROM u",
            "DESCRIBE t",
        ] {
            assert_eq!(found(sql), Wildcards::Matter, "{sql}");
        }
    }
}
