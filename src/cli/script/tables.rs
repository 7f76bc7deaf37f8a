//! Table parameters: a table named in a script is replaced in the parsed statement, never in its text.
//!
//! `-p strategies=mine` turns `FROM strategies` into `FROM mine AS strategies`, so that `strategies.pnl` keeps its meaning. A table function's
//! argument (`correlation_pairs(strategies)`) and an earlier version (`strategies VERSION AS OF 3`) are replaced alike.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement as SqlStatement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

use crate::cli::failure::{Failure, Result};

/// Separates a table's name from a version in the name the engine gives an earlier version.
const VERSION_MARK: &str = "@version:";

/// Names of a script's tables and what they are replaced by.
#[derive(Debug, Default)]
pub(crate) struct TableNames(BTreeMap<String, ObjectName>);

impl TableNames {
    /// Whether nothing is replaced.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces `name` by the table that the user typed: an identifier, quoted or not, with a schema or not, or any other text as it is.
    pub(crate) fn replace(&mut self, name: &str, typed: &str) {
        self.0.insert(name.to_owned(), object_name(typed));
    }

    /// Replaces the tables in a parsed statement.
    ///
    /// # Errors
    /// The statement gives a table parameter's name to a query of its own (`WITH strategies AS ...`), which would hide the table.
    pub(crate) fn apply(&self, statement: &mut SqlStatement) -> Result<()> {
        let mut replacement = Replacement(&self.0);
        let flow = match statement {
            SqlStatement::Statement(inner) => inner.visit(&mut replacement),
            SqlStatement::Explain(explain) => return self.apply(&mut explain.statement),
            SqlStatement::CopyTo(copy) => match &mut copy.source {
                CopyToSource::Query(query) => query.visit(&mut replacement),
                CopyToSource::Relation(name) => replacement.pre_visit_relation(name),
            },
            SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => ControlFlow::Continue(()),
        };
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(name) => {
                Err(Failure::usage(format!("the script names a query of its own '{name}', which is its table parameter")))
            }
        }
    }
}

/// The name as the parser reads it; text that is no name is taken whole, as if quoted.
fn object_name(typed: &str) -> ObjectName {
    let parsed = Parser::new(&GenericDialect).try_with_sql(typed).ok().and_then(|mut parser| {
        let name = parser.parse_object_name(false).ok()?;
        (parser.peek_token().token == Token::EOF).then_some(name)
    });
    let name = parsed.unwrap_or_else(|| ObjectName::from(vec![Ident::with_quote('"', typed)]));
    // Places in what was typed mean nothing in the script.
    ObjectName(name.0.into_iter().map(without_place).collect())
}

fn without_place(part: ObjectNamePart) -> ObjectNamePart {
    match part {
        ObjectNamePart::Identifier(ident) => ObjectNamePart::Identifier(Ident { span: Span::empty(), ..ident }),
        function => function,
    }
}

struct Replacement<'a>(&'a BTreeMap<String, ObjectName>);

impl Replacement<'_> {
    /// What stands for `name`, if it is a table parameter or an earlier version of one.
    fn of(&self, name: &ObjectName) -> Option<ObjectName> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return None };
        if let Some(replacement) = self.0.get(&normal(ident)) {
            return Some(replacement.clone());
        }
        let (table, version) = ident.value.split_once(VERSION_MARK)?;
        let mut replacement = self.0.get(table)?.clone();
        let Some(ObjectNamePart::Identifier(last)) = replacement.0.last_mut() else { return None };
        *last = Ident::with_quote('"', format!("{}{VERSION_MARK}{version}", normal(last)));
        Some(replacement)
    }
}

impl VisitorMut for Replacement<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let own = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| normal(&cte.alias.name));
        match own.into_iter().find(|name| self.0.contains_key(name)) {
            Some(name) => ControlFlow::Break(name),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        if let TableFactor::Table { name, alias, args, .. } = factor {
            if let Some(args) = args {
                args.args.iter_mut().for_each(|argument| self.replace_argument(argument));
            } else if self.of(name).is_some()
                && let [ObjectNamePart::Identifier(ident)] = name.0.as_slice()
            {
                alias.get_or_insert_with(|| TableAlias { explicit: true, name: ident.clone(), columns: vec![], at: None });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<String> {
        if let Some(replacement) = self.of(relation) {
            *relation = replacement;
        }
        ControlFlow::Continue(())
    }
}

impl Replacement<'_> {
    fn replace_argument(&self, argument: &mut FunctionArg) {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument else { return };
        let Expr::Identifier(ident) = expression else { return };
        let Some(replacement) = self.0.get(&normal(ident)) else { return };
        let mut idents: Vec<Ident> = replacement.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        *expression = match (idents.len(), idents.pop()) {
            (1, Some(only)) => Expr::Identifier(only),
            (_, last) => Expr::CompoundIdentifier(idents.into_iter().chain(last).collect()),
        };
    }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn replaced(sql: &str, typed: &str) -> Result<String> {
        let mut names = TableNames::default();
        names.replace("strategies", typed);
        let mut statement = DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
        names.apply(&mut statement)?;
        Ok(statement.to_string())
    }

    #[test]
    fn tables_are_replaced_wherever_they_are_read() {
        let sql = "SELECT strategies.pnl, (SELECT max(date) FROM strategies) FROM strategies JOIN Strategies AS s ON true";
        let expected = "SELECT strategies.pnl, (SELECT max(date) FROM mine AS strategies) FROM mine AS strategies JOIN mine AS s ON true";
        assert_eq!(replaced(sql, "mine").unwrap(), expected);
        assert!(replaced("EXPLAIN SELECT * FROM strategies", "a.b").unwrap().ends_with("FROM a.b AS strategies"));
        assert!(replaced("COPY (SELECT * FROM strategies) TO 'x.csv'", "mine").unwrap().contains("FROM mine AS strategies"));
        assert_eq!(replaced("DELETE FROM strategies", "mine").unwrap(), "DELETE FROM mine AS strategies");
        assert_eq!(replaced("SELECT * FROM f(strategies, 1)", "mine").unwrap(), "SELECT * FROM f(mine, 1)");
    }

    #[test]
    fn columns_and_texts_of_that_name_stay() {
        assert_eq!(replaced("SELECT strategies, 'strategies' FROM other", "mine").unwrap(), "SELECT strategies, 'strategies' FROM other");
    }

    #[test]
    fn what_is_typed_is_a_name_and_never_sql() {
        let sql = replaced("SELECT 1 FROM strategies", "x; DROP TABLE y").unwrap();
        assert_eq!(sql, "SELECT 1 FROM \"x; DROP TABLE y\" AS strategies");
        assert_eq!(replaced("SELECT 1 FROM strategies", "\"My Table\"").unwrap(), "SELECT 1 FROM \"My Table\" AS strategies");
        assert_eq!(replaced("SELECT 1 FROM strategies", "'a/b.parquet'").unwrap(), "SELECT 1 FROM 'a/b.parquet' AS strategies");
    }

    #[test]
    fn a_query_that_hides_the_table_is_refused() {
        let failure = replaced("WITH strategies AS (SELECT 1) SELECT * FROM strategies", "mine").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
