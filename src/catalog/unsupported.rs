//! Clauses that the parser reads and DataFusion's planner passes over: they are refused, because a query that says one thing
//! and does another is worse than none.
//!
//! Left out: what the dialect does not parse (`FOR SYSTEM_TIME`, `SELECT AS STRUCT`, ...) and what the planner refuses itself (`FETCH FIRST`, `LIMIT BY`, `SORT BY`, `ON CONFLICT`, `RETURNING`, ...).

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, CreateExternalTable, Statement as SqlStatement};
use sqlparser::ast::{
    ColumnDef, ColumnOption, DuplicateTreatment, Expr, Function, FunctionArguments, GroupByExpr, JoinConstraint, JoinOperator, ObjectType,
    Query, Select, SelectItem, Spanned, Statement, TableFactor, TableWithJoins, Visit, Visitor,
};
use sqlparser::tokenizer::Location;

/// A part of a statement that may hold such a clause.
pub(super) enum Node<'a> {
    /// A whole statement.
    Statement(&'a Statement),
    /// `CREATE EXTERNAL TABLE`, which has a tree of its own.
    External(&'a CreateExternalTable),
    /// What stands after `EXPLAIN ANALYZE`.
    Analyzed(&'a SqlStatement),
    /// A query or subquery.
    Query(&'a Query),
    /// A `SELECT` of a query.
    Select(&'a Select),
    /// A table in `FROM`.
    Table(&'a TableFactor),
    /// A call of a function.
    Call(&'a Function),
    /// A call of a scalar function.
    ScalarCall(&'a Function),
}

/// A clause that is refused.
#[derive(Debug)]
pub(super) struct Clause {
    /// As it is written in SQL.
    name: &'static str,
    /// What to write instead.
    remedy: &'static str,
    /// A statement that holds it.
    #[cfg_attr(not(test), expect(dead_code, reason = "what the tests run"))]
    example: &'static str,
    found: fn(&Node<'_>) -> bool,
}

/// Every clause that is refused.
pub(super) const CLAUSES: &[Clause] = &[
    Clause {
        name: "TABLESAMPLE",
        remedy: "sample whole strategies by name, WHERE strategy IN (SELECT DISTINCT strategy FROM t ORDER BY md5(strategy) LIMIT 100), or rows by WHERE random() < 0.1",
        example: "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
        found: |node| {
            matches!(node, Node::Table(TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. }))
        },
    },
    Clause {
        name: "WITH ORDINALITY",
        remedy: "number the rows with row_number() OVER ()",
        example: "SELECT * FROM generate_series(1, 3) WITH ORDINALITY",
        found: |node| {
            matches!(
                node,
                Node::Table(TableFactor::Table { with_ordinality: true, .. } | TableFactor::Function { with_ordinality: true, .. })
            )
        },
    },
    Clause {
        name: "a table hint",
        remedy: "leave it out: readers see one version of each table and never wait for writers",
        example: "SELECT * FROM t WITH (NOLOCK)",
        found: |node| {
            matches!(node, Node::Table(TableFactor::Table { with_hints, index_hints, .. })
                if !with_hints.is_empty() || !index_hints.is_empty())
        },
    },
    Clause {
        name: "PARTITION (...) of a table",
        remedy: "write a condition on the partition's columns, WHERE year = 2024",
        example: "SELECT * FROM t PARTITION (p0)",
        found: |node| matches!(node, Node::Table(TableFactor::Table { partitions, .. }) if !partitions.is_empty()),
    },
    Clause {
        name: "GLOBAL JOIN",
        remedy: "write JOIN",
        example: "SELECT * FROM t GLOBAL JOIN u ON t.a = u.a",
        found: |node| match node {
            Node::Select(select) => select.from.iter().any(has_global_join),
            Node::Table(TableFactor::NestedJoin { table_with_joins, .. }) => has_global_join(table_with_joins),
            _ => false,
        },
    },
    Clause {
        name: "JOIN without ON or USING",
        remedy: "say which rows belong together with ON or USING, or write CROSS JOIN if all do",
        example: "SELECT * FROM t JOIN u",
        found: |node| match node {
            Node::Select(select) => select.from.iter().any(has_open_join),
            Node::Table(TableFactor::NestedJoin { table_with_joins, .. }) => has_open_join(table_with_joins),
            _ => false,
        },
    },
    Clause {
        name: "* ILIKE",
        remedy: "name the columns",
        example: "SELECT * ILIKE 'a%' FROM t",
        found: |node| {
            match node {
            Node::Select(select) => select.projection.iter().any(
                |item| matches!(item, SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) if options.opt_ilike.is_some()),
            ),
            _ => false,
        }
        },
    },
    Clause {
        name: "FOR UPDATE",
        remedy: "leave it out: nothing is locked, and of two writers of one table one is told to run again",
        example: "SELECT * FROM t FOR UPDATE",
        found: |node| matches!(node, Node::Query(query) if !query.locks.is_empty()),
    },
    Clause {
        name: "FOR XML or FOR JSON",
        remedy: "choose the output with --format json, or COPY (...) TO 'x.json'",
        example: "SELECT 1 AS a FOR JSON AUTO",
        found: |node| matches!(node, Node::Query(query) if query.for_clause.is_some()),
    },
    Clause {
        name: "SETTINGS",
        remedy: "set them before the query, SET datafusion.execution.batch_size = 4096",
        example: "SELECT 1 AS a SETTINGS max_threads = 1",
        found: |node| matches!(node, Node::Query(query) if query.settings.is_some()),
    },
    Clause {
        name: "FORMAT",
        remedy: "choose the output with --format or \\format",
        example: "SELECT 1 AS a FORMAT CSV",
        found: |node| matches!(node, Node::Query(query) if query.format_clause.is_some()),
    },
    Clause {
        name: "PREWHERE",
        remedy: "write WHERE: filters are pushed into the scan by themselves",
        example: "SELECT * FROM t PREWHERE a > 1",
        found: |node| matches!(node, Node::Select(select) if select.prewhere.is_some()),
    },
    Clause {
        name: "CONNECT BY",
        remedy: "write WITH RECURSIVE",
        example: "SELECT a FROM t START WITH a = 1 CONNECT BY a = PRIOR b",
        found: |node| matches!(node, Node::Select(select) if !select.connect_by.is_empty()),
    },
    Clause {
        name: "GROUP BY ... WITH",
        remedy: "write GROUP BY ROLLUP (a, b), CUBE (a, b) or GROUPING SETS ((a), (b))",
        example: "SELECT a, count(*) FROM t GROUP BY a WITH ROLLUP",
        found: |node| {
            matches!(node, Node::Select(select)
                if matches!(&select.group_by, GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty()))
        },
    },
    Clause {
        name: "SELECT INTO TEMPORARY",
        remedy: "use WITH name AS (...), or CREATE TABLE and DROP TABLE",
        example: "SELECT 1 AS a INTO TEMPORARY u",
        found: |node| matches!(node, Node::Select(select) if select.into.as_ref().is_some_and(|into| into.temporary || into.unlogged)),
    },
    Clause {
        name: "DISTINCT, ORDER BY, FILTER, OVER or IGNORE NULLS of a scalar function",
        remedy: "only aggregate and window functions take it: write CASE WHEN ... THEN f(x) END for a condition",
        example: "SELECT abs(a) FILTER (WHERE a > 0) FROM t",
        found: |node| matches!(node, Node::ScalarCall(call) if has_aggregate_clause(call)),
    },
    Clause {
        name: "a call with two argument lists",
        remedy: "write one list, f(a, b)",
        example: "SELECT abs(1)(2)",
        found: |node| matches!(node, Node::Call(call) if !matches!(call.parameters, FunctionArguments::None)),
    },
    Clause {
        name: "a query as the argument of a function",
        remedy: "put it into brackets of its own, f((SELECT ...))",
        example: "SELECT array(SELECT 1)",
        found: |node| matches!(node, Node::Call(call) if matches!(call.args, FunctionArguments::Subquery(_))),
    },
    Clause {
        name: "CREATE SCHEMA",
        remedy: "tables lie in the schema main of one directory: put the group into the name, risk_daily, or use another directory with --db",
        example: "CREATE SCHEMA s",
        found: |node| matches!(node, Node::Statement(Statement::CreateSchema { .. })),
    },
    Clause {
        name: "CREATE DATABASE",
        remedy: "a database is a directory: name it with --db DIR, it is made at the first write",
        example: "CREATE DATABASE d",
        found: |node| matches!(node, Node::Statement(Statement::CreateDatabase { .. })),
    },
    Clause {
        name: "DROP SCHEMA",
        remedy: "the schemas main and system are always there; DROP TABLE removes tables",
        example: "DROP SCHEMA main",
        found: |node| matches!(node, Node::Statement(Statement::Drop { object_type: ObjectType::Schema, .. })),
    },
    Clause {
        name: "DROP ... CASCADE, PURGE or TEMPORARY",
        remedy: "drop the views that use it by DROP VIEW; a dropped table is always removed for good",
        example: "DROP TABLE t CASCADE",
        found: |node| matches!(node, Node::Statement(Statement::Drop { cascade, purge, temporary, .. }) if *cascade || *purge || *temporary),
    },
    Clause {
        name: "a constraint other than NOT NULL, a DEFAULT or another option of a column",
        remedy: "nothing would enforce or fill it: give the column's name and type alone, and check the rows with a query",
        example: "CREATE TABLE t (a INT PRIMARY KEY, b INT DEFAULT 3)",
        found: |node| match node {
            Node::Statement(Statement::CreateTable(table)) => !table.constraints.is_empty() || table.columns.iter().any(has_options),
            Node::External(table) => !table.constraints.is_empty() || table.columns.iter().any(has_options),
            _ => false,
        },
    },
    Clause {
        name: "UNBOUNDED",
        remedy: "leave it out: a file is read to its end",
        example: "CREATE UNBOUNDED EXTERNAL TABLE e STORED AS CSV LOCATION 'x.csv'",
        found: |node| matches!(node, Node::External(table) if table.unbounded),
    },
    Clause {
        name: "LIMIT of DELETE",
        remedy: "choose the rows by WHERE, as in WHERE key IN (SELECT key FROM t ORDER BY key LIMIT 10)",
        example: "DELETE FROM t LIMIT 1",
        found: |node| matches!(node, Node::Statement(Statement::Delete(delete)) if delete.limit.is_some()),
    },
    Clause {
        name: "SECURE or OR ALTER of a view",
        remedy: "write CREATE OR REPLACE VIEW",
        example: "CREATE OR ALTER VIEW v AS SELECT 1 AS a",
        found: |node| matches!(node, Node::Statement(Statement::CreateView(view)) if view.secure || view.or_alter || view.params.is_some()),
    },
    Clause {
        name: "PREPARE of a statement that is no query",
        remedy: "bind values to $names instead: -p name=value, or \\set name value at the prompt",
        example: "PREPARE p AS INSERT INTO t VALUES (1)",
        found: |node| matches!(node, Node::Statement(Statement::Prepare { statement, .. }) if !matches!(statement.as_ref(), Statement::Query(_))),
    },
    Clause {
        name: "EXPLAIN ANALYZE of a statement that changes the database",
        remedy: "EXPLAIN alone shows the plan; run the statement by itself to carry it out",
        example: "EXPLAIN ANALYZE DELETE FROM t",
        found: |node| match node {
            Node::Analyzed(SqlStatement::Statement(inner)) => !matches!(inner.as_ref(), Statement::Query(_)),
            Node::Analyzed(SqlStatement::CopyTo(_)) => false,
            Node::Analyzed(_) => true,
            _ => false,
        },
    },
];

fn has_global_join(table: &TableWithJoins) -> bool {
    table.joins.iter().any(|join| join.global)
}

/// A join of the kind that needs a condition, without one.
fn has_open_join(table: &TableWithJoins) -> bool {
    let open = |join: &JoinOperator| {
        matches!(
            join,
            JoinOperator::Join(JoinConstraint::None)
                | JoinOperator::Inner(JoinConstraint::None)
                | JoinOperator::Left(JoinConstraint::None)
                | JoinOperator::LeftOuter(JoinConstraint::None)
                | JoinOperator::Right(JoinConstraint::None)
                | JoinOperator::RightOuter(JoinConstraint::None)
                | JoinOperator::FullOuter(JoinConstraint::None)
        )
    };
    table.joins.iter().any(|join| open(&join.join_operator))
}

fn has_aggregate_clause(call: &Function) -> bool {
    let of_arguments = match &call.args {
        FunctionArguments::List(list) => list.duplicate_treatment == Some(DuplicateTreatment::Distinct) || !list.clauses.is_empty(),
        _ => false,
    };
    of_arguments || call.over.is_some() || call.filter.is_some() || call.null_treatment.is_some() || !call.within_group.is_empty()
}

fn has_options(column: &ColumnDef) -> bool {
    column.options.iter().any(|option| !matches!(option.option, ColumnOption::Null | ColumnOption::NotNull))
}

/// A clause that was found, and where.
pub(super) struct Found {
    clause: &'static Clause,
    /// Line 0 where the tree does not say.
    pub(super) place: Location,
}

impl Found {
    /// What is wrong, as a sentence.
    pub(super) fn message(&self) -> String {
        format!("{} is not supported", self.clause.name)
    }

    /// What to write instead.
    pub(super) fn remedy(&self) -> &'static str {
        self.clause.remedy
    }
}

/// The first clause of a statement that the planner would pass over. `is_scalar` knows the scalar functions by name.
pub(super) fn passed_over(statement: &SqlStatement, is_scalar: IsScalar<'_>) -> Option<Found> {
    let mut search = Search(is_scalar);
    match statement {
        SqlStatement::Statement(inner) => inner.visit(&mut search).break_value(),
        SqlStatement::CreateExternalTable(table) => of_node(&Node::External(table), Location::empty()),
        SqlStatement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(&mut search).break_value(),
            CopyToSource::Relation(_) => None,
        },
        SqlStatement::Explain(explain) => {
            let analyzed = explain.options.analyze.then(|| of_node(&Node::Analyzed(&explain.statement), Location::empty()));
            analyzed.flatten().or_else(|| passed_over(&explain.statement, is_scalar))
        }
        SqlStatement::Reset(_) => None,
    }
}

fn of_node(node: &Node<'_>, place: Location) -> Option<Found> {
    CLAUSES.iter().find(|clause| (clause.found)(node)).map(|clause| Found { clause, place })
}

/// Tells scalar functions by their names.
type IsScalar<'a> = &'a dyn Fn(&str) -> bool;

/// Walks a syntax tree up to the first clause of the list.
struct Search<'a>(IsScalar<'a>);

impl Search<'_> {
    fn look(&self, node: &Node<'_>, place: impl FnOnce() -> Location) -> ControlFlow<Found> {
        match of_node(node, Location::empty()) {
            Some(found) => ControlFlow::Break(Found { place: place(), ..found }),
            None => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Search<'_> {
    type Break = Found;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Found> {
        self.look(&Node::Statement(statement), Location::empty)
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Found> {
        self.look(&Node::Query(query), || query.span().start)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Found> {
        self.look(&Node::Select(select), || select.select_token.0.span.start)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Found> {
        self.look(&Node::Table(table), || table.span().start)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Found> {
        match expr {
            Expr::Function(call) => {
                self.look(&Node::Call(call), || call.name.span().start)?;
                match (self.0)(&call.name.to_string().to_lowercase()) {
                    true => self.look(&Node::ScalarCall(call), || call.name.span().start),
                    false => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::{Command, parse, refuse_passed_over};
    use super::*;

    #[test]
    fn every_clause_is_refused_by_name_with_a_remedy_at_its_place() {
        for clause in CLAUSES {
            assert!(!clause.example.is_empty(), "{} has no example", clause.name);
            let text = format!("SELECT 1;\n{}", clause.example);
            let refused = parse(&text).and_then(|statements| {
                let Command::Sql(statement) = &statements[1].command else { panic!("no SQL") };
                refuse_passed_over(statement, statements[1].position, &|name| name == "abs")
            });
            let Err(crate::error::Error::Query(error)) = refused else { panic!("accepted: {}", clause.example) };
            assert_eq!(error.message, format!("{} is not supported", clause.name), "{}", clause.example);
            assert_eq!(error.hint.as_deref(), Some(clause.remedy));
            assert_eq!(error.position.map(|place| place.line), Some(2), "{}", clause.example);
        }
    }

    #[test]
    fn a_clause_is_found_wherever_it_stands() {
        for sql in [
            "CREATE VIEW v AS SELECT * FROM (SELECT * FROM t TABLESAMPLE (5 ROWS)) AS u",
            "COPY (SELECT * FROM t TABLESAMPLE SYSTEM (1)) TO 'x.csv'",
            "EXPLAIN SELECT * FROM t TABLESAMPLE SYSTEM (1)",
            "EXPLAIN ANALYZE SELECT 1 WHERE EXISTS (SELECT 1 FROM t TABLESAMPLE SYSTEM (1))",
            "INSERT INTO t WITH u AS (SELECT * FROM v TABLESAMPLE SYSTEM (1)) SELECT * FROM u",
            "DELETE FROM t WHERE a IN (SELECT a FROM v JOIN t TABLESAMPLE SYSTEM (1) ON true)",
        ] {
            assert!(parse(sql).is_err_and(|error| error.to_string().contains("TABLESAMPLE")), "{sql}");
        }
    }

    #[test]
    fn what_is_planned_is_not_refused() {
        for sql in [
            "WITH u AS (SELECT 1 AS a) SELECT a FROM u QUALIFY row_number() OVER (ORDER BY a) = 1",
            "CREATE TABLE t (a INT NOT NULL, b DOUBLE NULL)",
            "SELECT a, count(*) FROM t GROUP BY ROLLUP (a)",
            "SELECT f(1) FILTER (WHERE true), (SELECT 1)",
            "SELECT * EXCLUDE (a) FROM t LEFT JOIN LATERAL (SELECT 1) AS u ON true",
            "SELECT 1 AS a INTO u",
            "EXPLAIN ANALYZE COPY (SELECT 1) TO 'x.csv'",
        ] {
            assert!(parse(sql).is_ok(), "{sql}: {:?}", parse(sql).err());
        }
    }
}
