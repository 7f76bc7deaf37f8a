//! `SELECT * FROM t [LIMIT n]` over a table of many columns, planned without the SQL planner.
//!
//! The planner compares every column of a SELECT list with every other by its text, which takes minutes for the wide view of
//! 25,000 strategies. Reading a whole table needs no list.

use datafusion::common::TableReference;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::ast::{Expr, LimitClause, SetExpr, Statement, TableFactor, Value};

use super::narrow::MANY_COLUMNS;
use super::parser::plain_name;

/// Plans the statement if it reads a whole table of many columns; `None` leaves it to the SQL planner.
pub async fn plan_whole_table(ctx: &SessionContext, statement: &SqlStatement) -> Option<LogicalPlan> {
    let (name, limit) = whole_table(statement)?;
    // A table that cannot be opened is left to the planner, which says where it is named.
    let table = ctx.table_provider(TableReference::bare(name.as_str())).await.ok()?;
    if table.schema().fields().len() < MANY_COLUMNS {
        return None;
    }
    let source = datafusion::datasource::provider_as_source(table);
    let scan = LogicalPlanBuilder::scan(TableReference::bare(name), source, None).ok()?;
    limit.map_or_else(|| scan.clone().build(), |rows| scan.clone().limit(0, Some(rows)).and_then(LogicalPlanBuilder::build)).ok()
}

/// Table and limit of a statement that says nothing else: its text is compared with what those alone would say.
fn whole_table(statement: &SqlStatement) -> Option<(String, Option<usize>)> {
    let SqlStatement::Statement(inner) = statement else { return None };
    let Statement::Query(query) = inner.as_ref() else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, .. } = &from.relation else { return None };
    let limit = match &query.limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit: Some(Expr::Value(value)), .. }) => match &value.value {
            Value::Number(number, _) => Some(number.parse().ok()?),
            _ => return None,
        },
        Some(_) => return None,
    };
    let alone = limit.map_or_else(|| format!("SELECT * FROM {name}"), |rows: usize| format!("SELECT * FROM {name} LIMIT {rows}"));
    (inner.to_string() == alone).then_some((plain_name(name).ok()?, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Command, parse};

    fn found(sql: &str) -> Option<(String, Option<usize>)> {
        let Command::Sql(statement) = parse(sql).expect("parses").remove(0).command else { panic!("not SQL") };
        whole_table(&statement)
    }

    #[test]
    fn only_a_whole_table_takes_the_short_way() {
        assert_eq!(found("select * from T"), Some(("t".into(), None)));
        assert_eq!(found("SELECT * FROM \"T w\" LIMIT 3"), Some(("T w".into(), Some(3))));
        for other in [
            "SELECT a FROM t",
            "SELECT * FROM t WHERE x",
            "SELECT * FROM t, u",
            "SELECT * FROM t LIMIT 1 OFFSET 2",
            "SELECT DISTINCT * FROM t",
            "SELECT * FROM t ORDER BY a",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
