//! Clauses that the parser reads and DataFusion's planner passes over. HeavyDB does not have them; to pass over them as well would be to
//! answer another question.

use datafusion::error::Result;
use sqlparser::ast::{Function, FunctionArguments, JoinConstraint, JoinOperator, Query, Select, SelectItem, TableFactor, TableWithJoins};

use crate::refusal::Refusal;

/// A part of a statement that may hold such a clause.
pub(super) enum Node<'a> {
    /// A query or subquery.
    Query(&'a Query),
    /// A `SELECT` of a query.
    Select(&'a Select),
    /// A table in `FROM`.
    Table(&'a TableFactor),
    /// A call of a function.
    Call(&'a Function),
}

/// A clause that is refused.
struct Clause {
    /// As it is written in SQL.
    name: &'static str,
    found: fn(&Node<'_>) -> bool,
    /// A query over the tables `t (a)` and `u (a)` that has it.
    #[cfg_attr(not(test), expect(dead_code, reason = "what the tests run"))]
    example: &'static str,
}

/// Every clause that is refused.
const CLAUSES: &[Clause] = &[
    Clause {
        name: "TABLESAMPLE",
        found: |node| {
            matches!(node, Node::Table(TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. }))
        },
        example: "SELECT COUNT(*) FROM t TABLESAMPLE BERNOULLI (10)",
    },
    Clause {
        name: "WITH ORDINALITY",
        found: |node| {
            matches!(
                node,
                Node::Table(TableFactor::Table { with_ordinality: true, .. } | TableFactor::Function { with_ordinality: true, .. })
            )
        },
        example: "SELECT * FROM generate_series(1, 3) WITH ORDINALITY",
    },
    Clause {
        name: "a hint of a table",
        found: |node| matches!(node, Node::Table(TableFactor::Table { with_hints, index_hints, .. }) if !with_hints.is_empty() || !index_hints.is_empty()),
        example: "SELECT a FROM t WITH (NOLOCK)",
    },
    Clause {
        name: "PARTITION of a table",
        found: |node| matches!(node, Node::Table(TableFactor::Table { partitions, .. }) if !partitions.is_empty()),
        example: "SELECT a FROM t PARTITION (p0)",
    },
    Clause {
        name: "GLOBAL JOIN",
        found: |node| joins(node).is_some_and(|tables| tables.iter().any(|table| table.joins.iter().any(|join| join.global))),
        example: "SELECT t.a FROM t GLOBAL JOIN u ON t.a = u.a",
    },
    Clause {
        name: "JOIN without ON or USING",
        found: |node| joins(node).is_some_and(|tables| tables.iter().any(has_open_join)),
        example: "SELECT COUNT(*) FROM t JOIN u",
    },
    Clause {
        name: "* ILIKE",
        found: |node| {
            let likes = |item: &SelectItem| matches!(item, SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) if options.opt_ilike.is_some());
            matches!(node, Node::Select(select) if select.projection.iter().any(likes))
        },
        example: "SELECT * ILIKE 'b%' FROM t",
    },
    Clause {
        name: "* EXCEPT, EXCLUDE, REPLACE or RENAME",
        found: |node| {
            let changes = |item: &SelectItem| {
                matches!(item, SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options)
                    if options.opt_exclude.is_some() || options.opt_except.is_some() || options.opt_replace.is_some() || options.opt_rename.is_some())
            };
            matches!(node, Node::Select(select) if select.projection.iter().any(changes))
        },
        example: "SELECT * EXCEPT (a) FROM t",
    },
    Clause {
        name: "SEMI, ANTI or ASOF JOIN",
        found: |node| joins(node).is_some_and(|tables| tables.iter().any(has_foreign_join)),
        example: "SELECT t.a FROM t LEFT SEMI JOIN u ON t.a = u.a",
    },
    Clause {
        name: "an alias in single quotes",
        found: |node| {
            let is_text = |item: &SelectItem| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.quote_style == Some('\''));
            matches!(node, Node::Select(select) if select.projection.iter().any(is_text))
        },
        example: "SELECT 'a' 'b' FROM t",
    },
    Clause {
        name: "PREWHERE",
        found: |node| matches!(node, Node::Select(select) if select.prewhere.is_some()),
        example: "SELECT a FROM t PREWHERE a > 1",
    },
    Clause {
        name: "CONNECT BY",
        found: |node| matches!(node, Node::Select(select) if !select.connect_by.is_empty()),
        example: "SELECT a FROM t START WITH a = 1 CONNECT BY a = PRIOR a",
    },
    Clause {
        name: "SELECT INTO",
        found: |node| matches!(node, Node::Select(select) if select.into.is_some()),
        example: "SELECT a INTO x FROM t",
    },
    Clause {
        name: "FOR UPDATE",
        found: |node| matches!(node, Node::Query(query) if !query.locks.is_empty()),
        example: "SELECT a FROM t FOR UPDATE",
    },
    Clause {
        name: "FOR XML or FOR JSON",
        found: |node| matches!(node, Node::Query(query) if query.for_clause.is_some()),
        example: "SELECT a FROM t FOR JSON AUTO",
    },
    Clause {
        name: "SETTINGS",
        found: |node| matches!(node, Node::Query(query) if query.settings.is_some()),
        example: "SELECT a FROM t SETTINGS max_threads = 1",
    },
    Clause {
        name: "FORMAT",
        found: |node| matches!(node, Node::Query(query) if query.format_clause.is_some()),
        example: "SELECT a FROM t FORMAT CSV",
    },
    Clause {
        name: "a call with two lists of arguments",
        found: |node| matches!(node, Node::Call(call) if !matches!(call.parameters, FunctionArguments::None)),
        example: "SELECT ABS(1)(2)",
    },
    Clause {
        name: "a query as the argument of a function",
        found: |node| matches!(node, Node::Call(call) if matches!(call.args, FunctionArguments::Subquery(_))),
        example: "SELECT ARRAY(SELECT 1)",
    },
    Clause {
        name: "ORDER BY and the like inside a call",
        found: |node| matches!(node, Node::Call(Function { args: FunctionArguments::List(list), .. }) if !list.clauses.is_empty()),
        example: "SELECT MAX(a ORDER BY a) FROM t",
    },
];

fn joins<'a>(node: &'a Node<'_>) -> Option<&'a [TableWithJoins]> {
    match node {
        Node::Select(select) => Some(&select.from),
        Node::Table(TableFactor::NestedJoin { table_with_joins, .. }) => Some(std::slice::from_ref(table_with_joins)),
        _ => None,
    }
}

/// A join of the kind that needs a condition, without one.
fn has_open_join(table: &TableWithJoins) -> bool {
    use JoinOperator::{FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    let open = |operator: &JoinOperator| match operator {
        Join(on) | Inner(on) | Left(on) | LeftOuter(on) | Right(on) | RightOuter(on) | FullOuter(on) => *on == JoinConstraint::None,
        _ => false,
    };
    table.joins.iter().any(|join| open(&join.join_operator))
}

/// A join of a kind that HeavyDB does not have.
fn has_foreign_join(table: &TableWithJoins) -> bool {
    use JoinOperator::{CrossJoin, FullOuter, Inner, Join, Left, LeftOuter, Right, RightOuter};
    let known = |operator: &JoinOperator| {
        matches!(operator, Join(_) | Inner(_) | Left(_) | LeftOuter(_) | Right(_) | RightOuter(_) | FullOuter(_) | CrossJoin(_))
    };
    table.joins.iter().any(|join| !known(&join.join_operator))
}

/// Refuses what [`CLAUSES`] names.
///
/// # Errors
/// A [`Refusal`].
pub(super) fn refuse_clauses(node: &Node<'_>) -> Result<()> {
    match CLAUSES.iter().find(|clause| (clause.found)(node)) {
        Some(clause) => Err(Refusal::new(clause.name, "HeavyDB has no such clause").into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::rewrite;
    use crate::options::Options;

    #[test]
    fn every_clause_is_refused() {
        for clause in CLAUSES {
            let error = rewrite(clause.example, &Options::default()).unwrap_err();
            let refusal = Refusal::of(&error).unwrap_or_else(|| panic!("{}: {error}", clause.example));
            assert!(refusal.to_string().starts_with(clause.name), "{}: {refusal}", clause.example);
        }
    }
}
