//! The names of a result's columns as HeavyDB shows them: columns in the spelling of `CREATE TABLE`, aliases as they were typed.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Projection, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::definition::SPELLING;
use super::table::HeavyTable;
use crate::dialect::header_of_unnamed;

/// Gives the columns of a query their names.
pub(super) fn with_headers(plan: LogicalPlan, aliases: &HashMap<String, String>) -> Result<LogicalPlan> {
    let names: Vec<String> = plan.schema().fields().iter().map(|field| header(field, aliases)).collect();
    if plan.schema().fields().iter().zip(&names).all(|(field, name)| field.name() == name) {
        return Ok(plan);
    }
    renamed(plan, names)
}

fn renamed(plan: LogicalPlan, names: Vec<String>) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(Limit { skip, fetch, input }) => {
            Ok(LogicalPlan::Limit(Limit { skip, fetch, input: Arc::new(renamed(Arc::unwrap_or_clone(input), names)?) }))
        }
        LogicalPlan::Projection(Projection { expr, input, .. }) if expr.len() == names.len() => {
            let expr = expr.into_iter().zip(names).map(|(expr, name)| named(expr, name)).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(expr, input)?))
        }
        other => {
            let columns: Vec<Expr> = other.schema().columns().into_iter().map(Expr::Column).collect();
            let expr = columns.into_iter().zip(names).map(|(expr, name)| named(expr, name));
            LogicalPlanBuilder::from(other).project(expr)?.build()
        }
    }
}

fn named(expr: Expr, name: String) -> Expr {
    if expr.qualified_name().1 == name { expr } else { expr.unalias().alias(name) }
}

/// The name of a column; a number that tells it from others of its name stays.
fn header(field: &Field, aliases: &HashMap<String, String>) -> String {
    let name = field.name();
    if let Some(alias) = aliases.get(name) {
        return alias.clone();
    }
    let numbered = |lower: &str| name.strip_prefix(lower).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    match field.metadata().get(SPELLING) {
        Some(spelling) if numbered(&spelling.to_lowercase()) => format!("{spelling}{}", &name[spelling.to_lowercase().len()..]),
        _ => header_of_unnamed(name).unwrap_or_else(|| name.clone()),
    }
}

/// A table whose columns have their headers as names. To rename many columns by a projection takes a time quadratic in their number.
#[derive(Debug)]
pub(super) struct SpelledTable {
    table: Arc<HeavyTable>,
    schema: SchemaRef,
}

impl SpelledTable {
    pub(super) fn new(table: Arc<HeavyTable>) -> Self {
        let aliases = HashMap::new();
        let given = table.schema();
        let spelled = |field: &Arc<Field>| field.as_ref().clone().with_name(header(field, &aliases));
        let schema = Schema::new_with_metadata(given.fields().iter().map(spelled).collect::<Vec<_>>(), given.metadata().clone());
        Self { table, schema: Arc::new(schema) }
    }
}

#[async_trait]
impl TableProvider for SpelledTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(&self, _: &dyn Session, projection: Option<&Vec<usize>>, _: &[Expr], _: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        self.table.scan_as(&self.schema, projection)
    }
}
