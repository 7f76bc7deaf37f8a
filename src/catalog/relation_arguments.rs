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
use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Query, SetExpr, TableFactor, Value, VisitMut, VisitorMut, visit_expressions_mut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::error::{Error, Result};
use crate::exec::{RELATION_FUNCTIONS, RelationFunction, takes_relations};

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
        if let Some(bound) = self.bound(expr)? {
            *expr = bound;
            return Ok(());
        }
        let flow = visit_expressions_mut(expr, |part| match self.bound(part) {
            Ok(None) => ControlFlow::Continue(()),
            // A negative value must not merge with a sign before it.
            Ok(Some(bound)) => {
                *part = Expr::Nested(Box::new(bound));
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        });
        flow.break_value().map_or(Ok(()), Err)
    }

    /// The value of a parameter; `None` of anything else.
    fn bound(&self, expr: &Expr) -> Result<Option<Expr>> {
        let Expr::Value(value) = expr else { return Ok(None) };
        let Value::Placeholder(name) = &value.value else { return Ok(None) };
        let bound = (self.value)(name.trim_start_matches('$'))?;
        Ok(Some(expr_to_sql(&lit(bound)).map_err(Error::from)?))
    }
}

/// What to write where a relation that is no plain name lacks parentheses of its own, in text that cannot be parsed.
pub(super) fn parentheses_hint(text: &str, message: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let called = |function: &&RelationFunction| {
        text.match_indices(function.name).any(|(at, name)| text[at + name.len()..].trim_start().starts_with('('))
    };
    let function = RELATION_FUNCTIONS
        .iter()
        .find(called)
        .filter(|_| message.contains("Expected: )") || message.contains("Expected: an expression"))?;
    let name = function.name;
    Some(format!("what {name} reads is a name, {name}(t), or a query in parentheses of its own, {name}((SELECT * FROM t WHERE ..))"))
}

/// `VALUES (..), (..)` in parentheses, which the parser takes for a call of a function, as a query; `None` of anything else.
fn values_query(expr: &Expr) -> Option<Query> {
    let inner = match expr {
        Expr::Nested(inner) if matches!(inner.as_ref(), Expr::Nested(_) | Expr::Tuple(_)) => return values_query(inner),
        Expr::Nested(inner) => std::slice::from_ref(inner.as_ref()),
        Expr::Tuple(rows) => rows.as_slice(),
        _ => return None,
    };
    let Some(Expr::Function(first)) = inner.first() else { return None };
    if !first.name.to_string().eq_ignore_ascii_case("values") {
        return None;
    }
    let rows: Vec<String> = inner.iter().map(ToString::to_string).collect();
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&rows.join(", ")).ok()?;
    parser.parse_query().ok().map(|query| *query)
}

/// A name, or a text that is one, as a query.
fn named_relation(expr: &mut Expr) -> Result<()> {
    if let Some(query) = values_query(expr) {
        *expr = Expr::Subquery(Box::new(query));
        return Ok(());
    }
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
        assert_eq!(
            resolved("SELECT * FROM covariance_pairs(t, min_abs => -$least * 2)"),
            "SELECT * FROM covariance_pairs((SELECT * FROM t), min_abs => -(0.8) * 2)"
        );
        for values in ["(VALUES ('a', 1, 1.5))", "((VALUES ('a', 1, 1.5), ('b', 1, 2.5)))"] {
            let inner = values.trim_start_matches('(').trim_end_matches(')');
            let found = resolved(&format!("SELECT * FROM correlation_pairs({values})"));
            assert_eq!(found, format!("SELECT * FROM correlation_pairs(({inner})))"));
        }
    }

    #[test]
    fn a_relation_without_parentheses_is_told_where_they_belong() {
        for sql in [
            "correlation_pairs(SELECT * FROM p)",
            "Correlation_Pairs (p WHERE x > 1)",
            "correlation_summary(p a)",
            "correlation_pairs(p VERSION AS OF 0)",
        ] {
            let error = parse(&format!("SELECT * FROM {sql}")).expect_err("no SQL").to_string();
            assert!(error.contains("((SELECT * FROM t WHERE ..))"), "{sql}: {error}");
        }
        let error = parse("SELECT * FROM t WHERE (a = 1").expect_err("no SQL").to_string();
        assert!(!error.contains("correlation"), "{error}");
    }
}
