//! Planner messages in the words of whoever wrote the query: fewer names, and SQL where the planner shows its syntax tree.

use std::ops::ControlFlow;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::parser::{CopyToSource, Statement as SqlStatement};
use sqlparser::ast::{Expr, TableFactor, Visit, Visitor};

use crate::catalog::{Command, Statement};
use crate::error::QueryError;

/// Columns that a message names.
const NAMED_COLUMNS: usize = 10;
/// How the planner begins its list of all columns.
const ALL_COLUMNS: &str = "\nValid fields are ";
/// Signs of a syntax tree printed as it lies in memory.
const TREE_SIGNS: &[&str] = &["Span(Location(", "Ident {", "ObjectName("];
/// Features that the planner refuses and what to write instead, by a part of its message.
const INSTEAD: &[(&str, &str)] = &[
    ("Dot access not supported", "a field of an expression is read with brackets: (expression)['field']"),
    ("Unsupported ast node Pivot", "write one aggregate a column: sum(x) FILTER (WHERE y = 1) AS y1; a strategy table t has t_wide"),
];

/// Shortens the planner's list of all columns to those most like the one that is missing.
pub(super) fn name_few_columns(query: &mut QueryError) {
    let Some(DataFusionError::SchemaError(schema, _)) = query.source.as_ref().map(DataFusionError::find_root) else { return };
    let SchemaError::FieldNotFound { field, valid_fields } = schema.as_ref() else { return };
    let (false, Some(start)) = (valid_fields.len() <= NAMED_COLUMNS, query.message.find(ALL_COLUMNS)) else { return };
    let names = nearest(&field.name, valid_fields).join(", ");
    query.message.truncate(start);
    query.message.push_str(&format!("\nThe nearest of its {} columns are {names}.", valid_fields.len()));
}

/// The columns most like a name, best first; equally good ones in the table's order.
fn nearest(wanted: &str, columns: &[Column]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut ranked: Vec<(f64, &Column)> = columns.iter().map(|c| (strsim::jaro_winkler(&wanted, &c.name.to_lowercase()), c)).collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    ranked.into_iter().take(NAMED_COLUMNS).map(|(_, column)| column.quoted_flat_name()).collect()
}

/// Puts SQL in the place of a syntax tree in a message.
pub(super) fn speak_sql(query: &mut QueryError, statement: &Statement) {
    if !TREE_SIGNS.iter().any(|sign| query.message.contains(sign)) {
        return;
    }
    let instead = INSTEAD.iter().find(|(part, _)| query.message.contains(part)).map(|(_, remedy)| (*remedy).to_owned());
    query.hint = query.hint.take().or(instead);
    let mut search = TreeInMessage { message: &query.message, replaced: None };
    if let Command::Sql(sql) = &statement.command {
        // Broken off or not: what was found is in the search.
        let _ = visit(sql, &mut search);
    }
    query.message = search.replaced.unwrap_or_else(|| without_tree(&query.message));
}

/// The table function that planning did not find, from its message.
pub(super) fn unknown_table_function(message: &str) -> Option<&str> {
    message.split_once("table function '")?.1.split_once("' not found").map(|(name, _)| name)
}

fn visit(statement: &SqlStatement, search: &mut TreeInMessage<'_>) -> ControlFlow<()> {
    match statement {
        SqlStatement::Statement(inner) => inner.visit(search),
        SqlStatement::Explain(explain) => visit(&explain.statement, search),
        SqlStatement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(search),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => ControlFlow::Continue(()),
    }
}

/// The message up to its syntax tree, where the part of the statement that it shows was not found.
fn without_tree(message: &str) -> String {
    let end = message.find(['{', '(']).unwrap_or(message.len());
    let kept = message[..end].trim_end();
    // The word before the brace is the tree's own: `Pivot {`.
    kept.rsplit_once(' ').map_or(kept, |(before, _)| before).trim_end_matches(':').to_owned()
}

/// Looks for the part of a statement whose tree a message shows; outer parts come first.
struct TreeInMessage<'a> {
    message: &'a str,
    replaced: Option<String>,
}

impl TreeInMessage<'_> {
    fn try_replace(&mut self, tree: &str, sql: &dyn std::fmt::Display) -> ControlFlow<()> {
        if !self.message.contains(tree) {
            return ControlFlow::Continue(());
        }
        self.replaced = Some(self.message.replace(tree, &format!("`{sql}`")));
        ControlFlow::Break(())
    }
}

impl Visitor for TreeInMessage<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        self.try_replace(&format!("{expression:?}"), expression)
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.try_replace(&format!("{table:?}"), table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    async fn refused(engine: &Engine, sql: &str) -> String {
        let Err(error) = engine.sql(sql).await else { panic!("{sql} was planned") };
        error.to_string()
    }

    #[tokio::test]
    async fn syntax_trees_are_told_as_sql() {
        let engine = Engine::in_memory().await.unwrap();
        let dot = refused(&engine, "SELECT (named_struct('a', 1)).a").await;
        assert!(dot.contains("`a`") && dot.contains("['field']") && !dot.contains("Ident"), "{dot}");
        let pivot = "SELECT * FROM (VALUES (1, 2)) AS t (x, y) PIVOT (sum(x) FOR y IN (1, 2))";
        for sql in [pivot.to_owned(), format!("EXPLAIN {pivot}")] {
            let message = refused(&engine, &sql).await;
            assert!(message.contains("PIVOT(sum(x) FOR y IN (1, 2))") && message.contains("FILTER"), "{message}");
            assert!(message.len() < 400 && !message.contains("Span"), "{message}");
        }
    }

    #[test]
    fn a_tree_of_no_known_part_is_left_out() {
        let message = "Unsupported ast node Pivot { table: Ident { value: \"a\" } } in create_relation";
        assert_eq!(without_tree(message), "Unsupported ast node");
        assert_eq!(without_tree("Unsupported function argument: Named(x)"), "Unsupported function argument");
    }

    #[tokio::test]
    async fn a_wide_table_names_its_nearest_columns_only() {
        let engine = Engine::in_memory().await.unwrap();
        let columns: Vec<String> = (0..500).map(|i| format!("{i} AS strat_{i}")).collect();
        engine.sql(&format!("CREATE TABLE wide AS SELECT {}", columns.join(", "))).await.unwrap();
        let message = refused(&engine, "SELECT start_77 FROM wide").await;
        assert!(message.contains("nearest of its 500 columns") && message.contains("wide.strat_77"), "{message}");
        assert_eq!(message.matches("wide.strat_").count(), NAMED_COLUMNS + message.matches("mean 'wide.strat_").count(), "{message}");
        let few = refused(&engine, "SELECT z FROM (VALUES (1, 2)) AS t (x, y)").await;
        assert!(few.contains("Valid fields are t.x, t.y."), "{few}");
    }
}
