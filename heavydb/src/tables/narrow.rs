//! Tables of very many columns, planned with those that a statement names.
//!
//! The planner walks through every column of every table, the more often the more expressions a statement has. A column that a statement
//! does not name cannot change what it means, as long as no `*` gives it out.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use sqlparser::ast::{LimitClause, Query, SetExpr, Statement, TableFactor};

use super::headers::SpelledTable;
use super::table::HeavyTable;
use crate::dialect::NamedColumns;

/// Columns from which it pays.
const MANY_COLUMNS: usize = 500;

tokio::task_local! {
    /// What the statement that is being planned names; `None` where tables are to be shown whole.
    pub(super) static NAMED: Option<Arc<NamedColumns>>;
}

/// The table as the statement that is being planned needs it.
pub(super) fn narrowed(table: Arc<HeavyTable>) -> Arc<dyn TableProvider> {
    let Ok(Some(named)) = NAMED.try_with(Clone::clone) else { return table };
    let schema = table.schema();
    if schema.fields().len() < MANY_COLUMNS {
        return table;
    }
    let columns: Vec<usize> = (0..schema.fields().len()).filter(|place| named.contains(schema.field(*place).name())).collect();
    // Without a column, rows could not be counted.
    let columns = if columns.is_empty() { vec![0] } else { columns };
    let fields: Vec<_> = columns.iter().map(|place| Arc::clone(&schema.fields()[*place])).collect();
    Arc::new(NarrowTable { table, columns, schema: Arc::new(Schema::new(fields)) })
}

/// Some columns of a table.
#[derive(Debug)]
struct NarrowTable {
    table: Arc<HeavyTable>,
    /// Places of the columns in the table.
    columns: Vec<usize>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for NarrowTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let places = match projection {
            Some(places) => places.iter().map(|place| self.columns[*place]).collect(),
            None => self.columns.clone(),
        };
        self.table.scan(session, Some(&places), filters, limit).await
    }
}

/// The plan of `SELECT * FROM t [LIMIT n]` over a table of many columns, which needs no list of columns, under their headers; `None` for anything else.
pub(super) fn whole_table(statement: &Statement, table: impl Fn(&str) -> Option<Arc<HeavyTable>>) -> Result<Option<LogicalPlan>> {
    let Some((name, rows)) = named_alone(statement) else { return Ok(None) };
    let Some(table) = table(&name).filter(|table| table.schema().fields().len() >= MANY_COLUMNS) else { return Ok(None) };
    let scan = LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(Arc::new(SpelledTable::new(table))), None)?;
    let limited = match rows {
        Some(rows) => scan.limit(0, Some(rows))?,
        None => scan,
    };
    limited.build().map(Some)
}

/// Table and limit of a statement that says nothing else: its text is compared with what those alone would say.
pub(super) fn named_alone(statement: &Statement) -> Option<(String, Option<usize>)> {
    let Statement::Query(query) = statement else { return None };
    let Query { body, limit_clause, .. } = query.as_ref();
    let SetExpr::Select(select) = body.as_ref() else { return None };
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::Table { name, .. } = &from.relation else { return None };
    let limit = match limit_clause {
        None => None,
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, .. }) => Some(limit.to_string().parse::<usize>().ok()?),
        Some(_) => return None,
    };
    let alone = limit.map_or_else(|| format!("SELECT * FROM {name}"), |rows| format!("SELECT * FROM {name} LIMIT {rows}"));
    (statement.to_string() == alone).then(|| (name.to_string().trim_matches('"').to_lowercase(), limit))
}
