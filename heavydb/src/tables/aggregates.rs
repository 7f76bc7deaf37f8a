//! Very many aggregates of plain columns of one table, as the batches of correlations that portfolio programs send.
//!
//! The optimizer walks through every term some fifty times, which takes far longer than the rows do. Such a statement has nothing to
//! optimize: it becomes a scan of a table of one row, which computes the aggregates when it is read.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SelectItem, SetExpr, Statement, WildcardAdditionalOptions,
};

use super::narrow::named_alone;
use super::table::HeavyTable;

/// Terms from which it pays.
const MANY_TERMS: usize = 20;

/// Rows above which the work of one thread would take longer than planning for several.
const MOST_ROWS: usize = 100_000;

/// One aggregate of a statement.
struct Term {
    function: String,
    columns: Vec<String>,
    name: String,
}

/// The plan of `SELECT f(a, b) AS x, g(c) AS y, ... FROM t` with many terms over DOUBLE columns; `None` for anything else.
///
/// # Errors
/// A function that cannot be planned.
pub(super) fn many_aggregates(
    statement: &Statement,
    state: &SessionState,
    table: impl Fn(&str) -> Option<Arc<HeavyTable>>,
) -> Result<Option<LogicalPlan>> {
    let Some((name, terms)) = terms(statement) else { return Ok(None) };
    let Some(table) = table(&name).filter(|table| table.row_count() <= MOST_ROWS) else { return Ok(None) };
    let Some(row) = AggregateRow::of(table, &terms, state)? else { return Ok(None) };
    LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(row)), None)?.build().map(Some)
}

/// The table and the terms of a statement that has nothing else.
fn terms(statement: &Statement) -> Option<(String, Vec<Term>)> {
    let Statement::Query(query) = statement else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    if select.projection.len() < MANY_TERMS {
        return None;
    }
    let terms: Vec<Term> = select.projection.iter().map(term).collect::<Option<_>>()?;
    let mut plain = query.clone();
    if let SetExpr::Select(select) = plain.body.as_mut() {
        select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    }
    match named_alone(&Statement::Query(plain))? {
        (name, None) => Some((name, terms)),
        _ => None,
    }
}

fn term(item: &SelectItem) -> Option<Term> {
    let SelectItem::ExprWithAlias { expr: Ast::Function(function), alias } = item else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let columns: Vec<&Ident> = list.args.iter().map(column).collect::<Option<_>>()?;
    // Whatever else a call may have would be shown.
    let shown = format!("{}({})", function.name, columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    (function.to_string() == shown).then(|| Term {
        function: function.name.to_string().to_lowercase(),
        columns: columns.into_iter().map(|column| column.value.to_lowercase()).collect(),
        name: alias.value.clone(),
    })
}

fn column(argument: &FunctionArg) -> Option<&Ident> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Ast::Identifier(name))) => Some(name),
        _ => None,
    }
}

/// The aggregates of all rows of a table, as a table of one row.
#[derive(Debug)]
struct AggregateRow {
    table: Arc<HeavyTable>,
    /// Places of the columns that the aggregates read.
    places: Vec<usize>,
    /// The columns at these places.
    input: SchemaRef,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    schema: SchemaRef,
}

impl AggregateRow {
    /// `None` where a term is no known aggregate of DOUBLE columns, or changes their type.
    fn of(table: Arc<HeavyTable>, terms: &[Term], state: &SessionState) -> Result<Option<Self>> {
        let Some(places) = places(&table.schema(), terms) else { return Ok(None) };
        let input = Arc::new(table.schema().project(&places)?);
        let found: HashMap<&str, usize> = input.fields().iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect();
        let mut functions = Vec::with_capacity(terms.len());
        for term in terms {
            let Some(function) = state.aggregate_functions().get(&term.function) else { return Ok(None) };
            let columns = term.columns.iter().filter_map(|name| Some(Column::new(name, *found.get(name.as_str())?)));
            let arguments: Vec<Arc<dyn PhysicalExpr>> = columns.map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>).collect();
            let fields = arguments.iter().map(|argument| argument.return_field(&input)).collect::<Result<Vec<_>>>()?;
            match fields_with_udf(&fields, function.as_ref()) {
                Ok(wanted) if wanted.iter().zip(&fields).all(|(wanted, field)| wanted.data_type() == field.data_type()) => {}
                _ => return Ok(None),
            }
            let built = AggregateExprBuilder::new(Arc::clone(function), arguments).schema(Arc::clone(&input)).alias(&term.name);
            functions.push(Arc::new(built.build()?));
        }
        let schema = Arc::new(Schema::new(functions.iter().map(|function| function.field()).collect::<Vec<_>>()));
        Ok(Some(Self { table, places, input, functions, schema }))
    }
}

/// Places of the columns of all terms, each once.
fn places(schema: &Schema, terms: &[Term]) -> Option<Vec<usize>> {
    let known: HashMap<&str, usize> = schema.fields().iter().enumerate().map(|(place, field)| (field.name().as_str(), place)).collect();
    let names = terms.iter().flat_map(|term| &term.columns);
    let places: BTreeSet<usize> = names.map(|name| known.get(name.as_str()).copied()).collect::<Option<_>>()?;
    places.iter().all(|place| *schema.field(*place).data_type() == DataType::Float64).then(|| places.into_iter().collect())
}

#[async_trait]
impl TableProvider for AggregateRow {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.table.scan(session, Some(&self.places), &[], None).await?;
        let functions = match projection {
            Some(places) => places.iter().map(|place| Arc::clone(&self.functions[*place])).collect(),
            None => self.functions.clone(),
        };
        let unfiltered = vec![None; functions.len()];
        let keys = PhysicalGroupBy::new_single(vec![]);
        Ok(Arc::new(AggregateExec::try_new(AggregateMode::Single, keys, functions, unfiltered, rows, Arc::clone(&self.input))?))
    }
}
