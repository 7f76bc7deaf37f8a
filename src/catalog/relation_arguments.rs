//! Arguments of table functions that take relations: `correlation_pairs(t, min_abs => $least)`.
//!
//! DataFusion looks tables up before it plans, wherever a relation may stand; an argument is an expression to it. So the names become
//! queries, and parameters become their values, which must be known when the function is planned:
//!
//! ```text
//! correlation_pairs(t, min_abs => $least)      correlation_pairs((SELECT * FROM t), min_abs => 0.8)
//! ```

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::lit;
use datafusion::sql::parser::{CopyToSource, Statement as SqlStatement};
use datafusion::sql::unparser::expr_to_sql;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SetExpr, TableFactor, Value, VisitMut, VisitorMut};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::error::{Error, Result};
use crate::exec::takes_relations;

/// Makes the relations of table functions queries, and binds the parameters of their other arguments; `value` gives the value of a name.
///
/// # Errors
/// What `value` fails with.
pub fn resolve_relation_arguments(statement: &mut SqlStatement, value: &dyn Fn(&str) -> Result<ScalarValue>) -> Result<()> {
    let mut resolver = Resolver { value };
    let flow = match statement {
        SqlStatement::Statement(inner) => inner.visit(&mut resolver),
        SqlStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut resolver),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        SqlStatement::Explain(explain) => return resolve_relation_arguments(&mut explain.statement, value),
        SqlStatement::CreateExternalTable(_) | SqlStatement::Reset(_) => ControlFlow::Continue(()),
    };
    flow.break_value().map_or(Ok(()), |error| Err(*error))
}

struct Resolver<'a> {
    value: &'a dyn Fn(&str) -> Result<ScalarValue>,
}

impl VisitorMut for Resolver<'_> {
    type Break = Box<Error>;

    fn pre_visit_table_factor(&mut self, relation: &mut TableFactor) -> ControlFlow<Self::Break> {
        let TableFactor::Table { name, args: Some(args), .. } = relation else { return ControlFlow::Continue(()) };
        let Some(function) = name.0.last().and_then(|part| part.as_ident()).filter(|_| name.0.len() == 1) else {
            return ControlFlow::Continue(());
        };
        if !takes_relations(&function.value) {
            return ControlFlow::Continue(());
        }
        for argument in &mut args.args {
            let resolved = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => named_relation(expr),
                FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. }
                | FunctionArg::ExprNamed { arg: FunctionArgExpr::Expr(expr), .. } => self.bind(expr),
                _ => Ok(()),
            };
            if let Err(error) = resolved {
                return ControlFlow::Break(Box::new(error));
            }
        }
        ControlFlow::Continue(())
    }
}

impl Resolver<'_> {
    fn bind(&self, expr: &mut Expr) -> Result<()> {
        let Expr::Value(value) = &*expr else { return Ok(()) };
        let Value::Placeholder(name) = &value.value else { return Ok(()) };
        let bound = (self.value)(name.trim_start_matches('$'))?;
        *expr = expr_to_sql(&lit(bound)).map_err(Error::from)?;
        Ok(())
    }
}

/// A name, or a text that is one, as a query.
fn named_relation(expr: &mut Expr) -> Result<()> {
    let name = match &*expr {
        Expr::Identifier(name) => vec![name.clone()],
        Expr::CompoundIdentifier(names) => names.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(name) => vec![Ident { value: name.clone(), quote_style: Some('"'), span: value.span }],
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    *expr = Expr::Subquery(Box::new(all_of(ObjectName::from(name))?));
    Ok(())
}

/// `SELECT * FROM relation`.
fn all_of(relation: ObjectName) -> Result<Query> {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql("SELECT * FROM t").and_then(|mut parser| parser.parse_query());
    let mut query = *parsed.map_err(|error| Error::Internal(error.to_string()))?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Table { name, .. } = &mut from.relation
    {
        *name = relation;
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Command, parse};

    fn resolved(sql: &str) -> String {
        let Command::Sql(mut statement) = parse(sql).expect("parses").remove(0).command else { panic!("not SQL") };
        let value = |name: &str| match name {
            "least" => Ok(ScalarValue::from(0.8)),
            other => Err(Error::Usage(format!("no {other}"))),
        };
        match resolve_relation_arguments(&mut statement, &value) {
            Ok(()) => statement.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_become_queries_and_parameters_values() {
        for (sql, expected) in [
            ("SELECT * FROM correlation_pairs(t, min_abs => $least)", "SELECT * FROM correlation_pairs((SELECT * FROM t), min_abs => 0.8)"),
            ("SELECT * FROM correlation_pairs(\"T w\", u)", "SELECT * FROM correlation_pairs((SELECT * FROM \"T w\"), (SELECT * FROM u))"),
            ("SELECT * FROM correlation_pairs('a b.csv')", "SELECT * FROM correlation_pairs((SELECT * FROM \"a b.csv\"))"),
            (
                "SELECT 1 IN (SELECT n FROM correlation_pairs(s.t)) AS x",
                "SELECT 1 IN (SELECT n FROM correlation_pairs((SELECT * FROM s.t))) AS x",
            ),
            ("SELECT * FROM correlation_pairs((SELECT 1))", "SELECT * FROM correlation_pairs((SELECT 1))"),
            ("SELECT * FROM other(t)", "SELECT * FROM other(t)"),
        ] {
            assert_eq!(resolved(sql), expected);
        }
        assert_eq!(resolved("SELECT * FROM correlation_pairs(t, top => $k)"), "no k");
    }
}
