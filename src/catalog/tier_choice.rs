//! Which files of a table a condition means, from what the log tells of them.
//!
//! Files move whole, so that a file is chosen only where every row of it is known to match: by its values of partition columns, or by the
//! first and last date that the log tells. A file of which some rows may match and others not is counted and stays.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{Months, NaiveDate, Utc};
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use deltalake::DeltaTable;
use sqlparser::ast::{Expr as SqlExpr, ExprWithAlias};

use crate::config::Age;
use crate::error::{Error, Result};
use crate::storage::{ColumnRange, TableFile, delta_error, table_files};

/// Name of the date column where nothing else is said.
const DATE_COLUMN: &str = "date";
/// The log tells instants to the millisecond: the last one may be that much later.
const UNTOLD_MICROS: i64 = 999;

/// Files of a table that a condition means.
#[derive(Debug, Default)]
pub struct ChosenFiles {
    /// Those of which every row matches.
    pub whole: Vec<TableFile>,
    /// Number of those of which some rows may match and others not.
    pub partly: u64,
}

/// A table's columns that a condition may name: those of its partitions, and dates.
struct Nameable {
    schema: SchemaRef,
    partition: HashSet<String>,
    all: SchemaRef,
}

impl Nameable {
    fn of(name: &str, table: &DeltaTable) -> Result<Self> {
        let snapshot = table.snapshot().map_err(|e| delta_error(name, e))?;
        let all = snapshot.snapshot().arrow_schema();
        let partition: HashSet<String> = snapshot.metadata().partition_columns().iter().cloned().collect();
        let may = |field: &&Arc<Field>| partition.contains(field.name()) || is_date(field.data_type());
        let fields: Vec<_> = all.fields().iter().filter(may).cloned().collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), partition, all })
    }

    fn refuse_others(&self, table: &str, condition: &Expr) -> Result<()> {
        let named = condition.column_refs();
        let other = named.iter().map(|column| column.name()).filter(|column| self.schema.field_with_name(column).is_err()).min();
        let Some(other) = other else { return Ok(()) };
        let names: Vec<_> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let remedy = if names.is_empty() { "leave WHERE out".to_owned() } else { format!("name {} alone", names.join(", ")) };
        Err(Error::Usage(format!(
            "table '{table}': column '{other}' cannot say which files move: they move whole, and the log tells only of partition columns and dates what all rows have in common\nhint: {remedy}"
        )))
    }
}

fn is_date(kind: &DataType) -> bool {
    matches!(kind, DataType::Date32 | DataType::Timestamp(..))
}

/// The condition of a statement as a plan over the columns of a table, whose parameters are yet to be bound.
///
/// # Errors
/// [`Error::Query`] for an expression that cannot be planned, [`Error::Usage`] for columns that cannot say which files move.
pub fn tier_condition(state: &SessionState, name: &str, table: &DeltaTable, condition: &SqlExpr) -> Result<LogicalPlan> {
    let nameable = Nameable::of(name, table)?;
    let schema = DFSchema::try_from_qualified_schema(name, &nameable.all)?;
    let expr = state.create_logical_expr_from_sql_expr(ExprWithAlias { expr: condition.clone(), alias: None }, &schema)?;
    nameable.refuse_others(name, &expr)?;
    let rows = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) });
    Ok(LogicalPlanBuilder::from(rows).filter(expr)?.build()?)
}

/// The condition that rows are older than an age today, in UTC.
///
/// # Errors
/// [`Error::Usage`] for a table without one date column that tells the age, naming the remedy.
pub fn age_condition(name: &str, table: &DeltaTable, age: Age, date_column: Option<&str>) -> Result<Expr> {
    let nameable = Nameable::of(name, table)?;
    let dates: Vec<&Arc<Field>> = nameable.schema.fields().iter().filter(|field| is_date(field.data_type())).collect();
    let wanted = date_column.or_else(|| dates.iter().any(|field| field.name() == DATE_COLUMN).then_some(DATE_COLUMN));
    let field = match (wanted, dates.as_slice()) {
        (Some(wanted), dates) => dates.iter().find(|field| field.name() == wanted),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let field = field.ok_or_else(|| {
        let names: Vec<_> = dates.iter().map(|field| field.name().as_str()).collect();
        let names = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        Error::Usage(format!(
            "table '{name}': no column tells the age of its rows (dates: {names})\nhint: date_column = \"...\" in [tables.{name}] of tranchedb.toml"
        ))
    })?;
    let before =
        cut_off(Utc::now().date_naive(), age).ok_or_else(|| Error::Usage(format!("table '{name}': older_than is too long ago")))?;
    let value = ScalarValue::Date32(Some(Date32Type::from_naive_date(before))).cast_to(field.data_type())?;
    Ok(col(Column::new_unqualified(field.name())).lt(lit(value)))
}

/// The first day that is not older than an age.
fn cut_off(today: NaiveDate, age: Age) -> Option<NaiveDate> {
    today.checked_sub_months(Months::new(age.months))?.checked_sub_days(chrono::Days::new(u64::from(age.days)))
}

/// The files that a condition means; all without one.
///
/// # Errors
/// [`Error::Query`] for a condition that is none.
pub fn chosen_files(state: &SessionState, name: &str, table: &DeltaTable, condition: Option<Expr>) -> Result<ChosenFiles> {
    let files = table_files(name, table)?;
    let Some(condition) = condition else { return Ok(ChosenFiles { whole: files, partly: 0 }) };
    let nameable = Nameable::of(name, table)?;
    nameable.refuse_others(name, &condition)?;
    let named: Vec<String> = condition.column_refs().into_iter().map(|column| column.name().to_owned()).collect();
    let schema = DFSchema::try_from_qualified_schema(name, &nameable.schema)?;
    let fates = match simplified(state, condition.clone(), &schema)? {
        // NULL holds for no row.
        Expr::Literal(value, _) => vec![if value == ScalarValue::Boolean(Some(true)) { Fate::Whole } else { Fate::None }; files.len()],
        _ if named.iter().all(|column| nameable.partition.contains(column)) => by_partition(state, &condition, &schema, &files)?,
        _ => by_bounds(state, &condition, &schema, (&files, &named))?,
    };
    let mut chosen = ChosenFiles::default();
    for (file, fate) in files.into_iter().zip(fates) {
        match fate {
            Fate::Whole => chosen.whole.push(file),
            Fate::Partly => chosen.partly += 1,
            Fate::None => {}
        }
    }
    Ok(chosen)
}

/// How much of a file matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Whole,
    Partly,
    None,
}

/// One value for all rows of a file: the condition itself tells.
fn by_partition(state: &SessionState, condition: &Expr, schema: &DFSchema, files: &[TableFile]) -> Result<Vec<Fate>> {
    let arrow = schema.as_arrow();
    let columns = arrow.fields().iter().map(|field| constants(files, field)).collect::<Result<Vec<_>>>()?;
    let internal = |e: datafusion::arrow::error::ArrowError| Error::Internal(e.to_string());
    let nullable: Vec<_> = arrow.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(nullable)), columns).map_err(internal)?;
    let matches = physical(state, condition.clone(), schema)?.evaluate(&batch)?.into_array(files.len())?;
    let matches = matches.as_boolean_opt().ok_or_else(|| Error::Usage("WHERE needs a condition: true or false for each row".into()))?;
    Ok(matches.iter().map(|is_match| if is_match == Some(true) { Fate::Whole } else { Fate::None }).collect())
}

/// The value that all rows of each file have in a column, where it is one of the partition.
fn constants(files: &[TableFile], field: &Field) -> Result<ArrayRef> {
    let text = |file: &TableFile| match range(file, field.name()) {
        ColumnRange::Constant(text) => Some(text),
        _ => None,
    };
    let texts: ArrayRef = Arc::new(files.iter().map(text).collect::<StringArray>());
    cast(&texts, field.data_type()).map_err(|e| Error::Internal(e.to_string()))
}

/// First and last values tell whether a condition can hold, or fail, for any row.
fn by_bounds(state: &SessionState, condition: &Expr, schema: &DFSchema, (files, named): (&[TableFile], &[String])) -> Result<Vec<Fate>> {
    let bounds = Bounds::of(files, schema.as_arrow())?;
    let arrow: SchemaRef = Arc::new(schema.as_arrow().clone());
    let can_be = |expr: Expr| -> Result<Vec<bool>> {
        let predicate = physical(state, expr, schema)?;
        Ok(PruningPredicateBuilder::new().with_file_schema(Arc::clone(&arrow)).try_build(predicate)?.prune(&bounds)?)
    };
    let (may_match, may_fail) = (can_be(condition.clone())?, can_be(!condition.clone())?);
    let fate = |place: usize, file: &TableFile| match (may_match[place], may_fail[place]) {
        (false, _) => Fate::None,
        // A condition on NULL neither holds nor fails.
        (true, false) if named.iter().all(|column| is_without_null(file, column)) => Fate::Whole,
        _ => Fate::Partly,
    };
    Ok(files.iter().enumerate().map(|(place, file)| fate(place, file)).collect())
}

fn range(file: &TableFile, column: &str) -> ColumnRange {
    file.ranges(&[column.to_owned()]).pop().unwrap_or(ColumnRange::Unknown)
}

fn is_without_null(file: &TableFile, column: &str) -> bool {
    matches!(range(file, column), ColumnRange::Constant(_) | ColumnRange::Between { has_null: false, .. })
}

/// The condition in its simplest form, `now()` being now.
fn simplified(state: &SessionState, condition: Expr, schema: &DFSchema) -> Result<Expr> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(Some(Utc::now()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    Ok(simplifier.simplify(simplifier.coerce(condition, schema)?)?)
}

fn physical(state: &SessionState, condition: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    Ok(state.create_physical_expr(simplified(state, condition, schema)?, schema)?)
}

/// What the log tells of the columns of files, in the form that pruning takes.
struct Bounds {
    files: usize,
    rows: ArrayRef,
    columns: Vec<(String, ColumnBounds)>,
}

struct ColumnBounds {
    min: ArrayRef,
    max: ArrayRef,
    nulls: ArrayRef,
}

impl Bounds {
    fn of(files: &[TableFile], schema: &Schema) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| Ok((field.name().clone(), ColumnBounds::of(files, field)?)));
        let rows = files.iter().map(TableFile::rows).collect::<UInt64Array>();
        Ok(Self { files: files.len(), rows: Arc::new(rows), columns: columns.collect::<Result<_>>()? })
    }

    fn column(&self, column: &Column) -> Option<&ColumnBounds> {
        self.columns.iter().find(|(name, _)| *name == column.name).map(|(_, bounds)| bounds)
    }
}

impl ColumnBounds {
    fn of(files: &[TableFile], field: &Field) -> Result<Self> {
        let (mut low, mut high, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
        for file in files {
            let (min, max, null_count) = match range(file, field.name()) {
                ColumnRange::Constant(text) => (Some(text.clone()), Some(text), Some(0)),
                ColumnRange::Between { min, max, has_null } => {
                    (min.as_str().map(str::to_owned), max.as_str().map(str::to_owned), (!has_null).then_some(0))
                }
                ColumnRange::Null => (None, None, file.rows()),
                ColumnRange::Unknown => (None, None, None),
            };
            low.push(min);
            high.push(max);
            nulls.push(null_count);
        }
        let internal = |e: datafusion::arrow::error::ArrowError| Error::Internal(e.to_string());
        let (min, max) =
            (bound(low, field.data_type(), 0).map_err(internal)?, bound(high, field.data_type(), UNTOLD_MICROS).map_err(internal)?);
        Ok(Self { min, max, nulls: Arc::new(UInt64Array::from(nulls)) })
    }
}

/// Texts as values of a column; instants that much later.
fn bound(texts: Vec<Option<String>>, kind: &DataType, later_micros: i64) -> datafusion::arrow::error::Result<ArrayRef> {
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let DataType::Timestamp(_, zone) = kind else { return cast(&texts, kind) };
    let instants = cast(&texts, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?;
    let later: TimestampMicrosecondArray =
        instants.as_primitive::<TimestampMicrosecondType>().unary(|at: i64| at.saturating_add(later_micros));
    cast(&later.with_timezone_opt(zone.clone()), kind)
}

impl PruningStatistics for Bounds {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|bounds| Arc::clone(&bounds.min))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|bounds| Arc::clone(&bounds.max))
    }

    fn num_containers(&self) -> usize {
        self.files
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column).map(|bounds| Arc::clone(&bounds.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::clone(&self.rows))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Array;

    use super::*;

    #[test]
    fn an_age_ends_at_the_same_day_of_an_earlier_month() {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").expect("a day");
        let before = |today: &str, age: &str| cut_off(day(today), age.parse().expect("an age"));
        assert_eq!(before("2024-02-29", "1 year"), Some(day("2023-02-28")));
        assert_eq!(before("2024-03-31", "18 months"), Some(day("2022-09-30")));
        assert_eq!(before("2024-01-10", "2 weeks"), Some(day("2023-12-27")));
        assert_eq!(before("2024-01-10", "0 days"), Some(day("2024-01-10")));
    }

    #[test]
    fn the_last_instant_of_a_file_may_be_later_than_the_log_tells() {
        let kind = DataType::Timestamp(TimeUnit::Microsecond, None);
        let texts = || vec![Some("2024-01-01T00:00:00.123Z".to_owned()), None, Some("soon".to_owned())];
        let values = |later| bound(texts(), &kind, later).expect("instants").as_primitive::<TimestampMicrosecondType>().clone();
        assert_eq!(values(UNTOLD_MICROS).value(0) - values(0).value(0), 999);
        assert_eq!(values(0).null_count(), 2, "what is no instant is unknown");
    }
}
