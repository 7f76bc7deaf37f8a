//! The tables that a policy is about, opened and found to fit it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{Expr, ExprSchemable, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};
use deltalake::DeltaTable;

use super::group_index::GroupIndex;
use super::keys::{KeyEncoder, compared_type, ident};
use super::policy::{DEFAULT_GROUP, DEFAULT_KEY, Direction, DraftPolicy, RetentionPolicy};
use super::staging::Groups;
use crate::error::{Error, Result};
use crate::storage::{Root, StrategyTable, TableFile, load_table, scan_files, table_files};

/// Column of the rank, where the metrics table has it.
pub(super) const RANK: &str = "rank";
/// Column that says why a strategy's details are kept, where the metrics table has it.
pub(super) const TRADES_KEPT: &str = "trades_kept";

/// A table at one version, with its files.
#[derive(Debug)]
pub(super) struct OpenTable {
    pub(super) name: String,
    pub(super) delta: DeltaTable,
    pub(super) schema: SchemaRef,
    pub(super) files: Vec<TableFile>,
}

impl OpenTable {
    async fn open(root: &Root, name: &str) -> Result<Self> {
        let delta = load_table(root, name, None).await?;
        let delta = delta.ok_or_else(|| {
            Error::Usage(format!("'{name}' is no table of this database\nhint: CREATE TABLE {name} ... makes one; SHOW TABLES lists them"))
        })?;
        if StrategyTable::of_delta(root, name, delta.clone())?.is_some() {
            return Err(Error::Usage(format!("'{name}' is a table of strategy P&L: retention is for tables of metrics and their details")));
        }
        let schema = delta.snapshot().map_err(|e| crate::storage::delta_error(name, e))?.snapshot().arrow_schema();
        Ok(Self { files: table_files(name, &delta)?, name: name.to_owned(), delta, schema })
    }

    fn has(&self, column: &str) -> bool {
        self.schema.field_with_name(column).is_ok()
    }

    fn columns(&self) -> String {
        self.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
    }

    fn column_type(&self, column: &str) -> Result<&DataType> {
        self.schema
            .field_with_name(column)
            .map(|field| field.data_type())
            .map_err(|_| Error::Usage(format!("table '{}' has no column '{column}'\nhint: it has {}", self.name, self.columns())))
    }

    /// A reader of some of its files; with `file_column` a column of that name tells the file of each row.
    pub(super) async fn scan(&self, ctx: &SessionContext, files: &[TableFile], file_column: Option<&str>) -> Result<DataFrame> {
        if files.is_empty() {
            // A scan of chosen files passes over the log of all of them: what a new group would pay for nothing.
            let file = file_column.map(|name| Arc::new(Field::new(name, DataType::Utf8, false)));
            let columns = Schema::new(self.schema.fields().iter().cloned().chain(file).collect::<Vec<_>>());
            return Ok(ctx.read_batch(RecordBatch::new_empty(Arc::new(columns)))?);
        }
        Ok(ctx.read_table(scan_files(&self.name, &self.delta, files, file_column).await?)?)
    }
}

/// A metrics table, its tables of details, and the policy over them.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) policy: RetentionPolicy,
    pub(super) metrics: OpenTable,
    pub(super) details: Vec<OpenTable>,
    pub(super) keys: Arc<KeyEncoder>,
    pub(super) group: Arc<KeyEncoder>,
}

impl Subject {
    /// Opens the tables of a policy.
    ///
    /// # Errors
    /// [`Error::Usage`] where a table or a column is not there or is of a type that cannot serve, naming it.
    pub(super) async fn open(ctx: &SessionContext, root: &Root, table: &str, policy: RetentionPolicy) -> Result<Self> {
        let draft = DraftPolicy { per: Some(policy.per.clone()), keys: Some(policy.keys.clone()), rest: policy };
        Self::of_draft(ctx, root, table, draft).await
    }

    /// As [`Self::open`], finding the group and the key that were not said in the tables.
    pub(super) async fn of_draft(ctx: &SessionContext, root: &Root, table: &str, draft: DraftPolicy) -> Result<Self> {
        let mut policy = draft.rest;
        let metrics = OpenTable::open(root, table).await?;
        let mut details = Vec::new();
        for name in &policy.details {
            if name == table {
                return Err(Error::Usage(format!("'{name}' cannot be the metrics table and a table of details")));
            }
            details.push(OpenTable::open(root, name).await?);
        }
        let shared = |names: &[&str]| {
            let everywhere = |name: &&&str| metrics.has(name) && details.iter().all(|table| table.has(name));
            names.iter().filter(everywhere).map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        policy.per = draft.per.unwrap_or_else(|| shared(DEFAULT_GROUP));
        policy.keys = draft.keys.unwrap_or_else(|| shared(DEFAULT_KEY));
        check(&policy, &metrics, &details)?;
        let keys = Arc::new(KeyEncoder::try_new(&metrics.schema, &policy.keys)?);
        let group = Arc::new(KeyEncoder::try_new(&metrics.schema, &policy.per)?);
        let subject = Self { policy, metrics, details, keys, group };
        subject.eligible(ctx)?;
        Ok(subject)
    }

    /// The metric as it ranks: NaN and infinities are NULL.
    pub(super) fn metric(&self) -> Result<Expr> {
        let metric = ident(&self.policy.metric);
        let is_float = self.metrics.column_type(&self.policy.metric)?.is_floating();
        if !is_float {
            return Ok(metric);
        }
        let number = datafusion::logical_expr::cast(metric, DataType::Float64);
        let is_number = number.clone().gt(lit(f64::NEG_INFINITY)).and(number.clone().lt(lit(f64::INFINITY)));
        Ok(when(is_number, number).end()?)
    }

    /// Whether a strategy may be kept.
    pub(super) fn eligible(&self, ctx: &SessionContext) -> Result<Expr> {
        let Some(text) = &self.policy.eligible else { return Ok(lit(true)) };
        let schema = datafusion::common::DFSchema::try_from(self.metrics.schema.as_ref().clone())?;
        let refused = |reason: String| {
            Error::Usage(format!(
                "eligible => '{text}': {reason}\nhint: a condition on the columns of '{}', such as 'n_trades >= 30'",
                self.metrics.name
            ))
        };
        let condition = ctx.state().create_logical_expr(text, &schema).map_err(|e| refused(Error::from(e).to_string()))?;
        match condition.get_type(&schema) {
            Ok(DataType::Boolean) if condition.is_volatile() => Err(refused("it changes from call to call".into())),
            Ok(DataType::Boolean) => Ok(condition.is_true()),
            Ok(other) => Err(refused(format!("it is {other}, not true or false"))),
            Err(e) => Err(refused(Error::from(e).to_string())),
        }
    }

    /// The order of ranks within a group: by the metric, NULL last, then by the rest of the key.
    pub(super) fn rank_order(&self) -> Result<Vec<datafusion::logical_expr::SortExpr>> {
        let ascending = self.policy.direction == Direction::Asc;
        let mut order: Vec<_> = self.policy.per.iter().map(|name| ident(name).sort(true, true)).collect();
        order.push(self.metric()?.sort(ascending, false));
        let rest = self.policy.keys.iter().filter(|name| !self.policy.per.contains(name));
        // The name of a strategy decides before anything else.
        let (names, others): (Vec<_>, Vec<_>) = rest.partition(|name| name.as_str() == "strategy_name");
        order.extend(names.into_iter().chain(others).map(|name| ident(name).sort(true, false)));
        Ok(order)
    }

    /// Files of a table that may hold rows of the groups.
    pub(super) fn files_of(&self, table: &OpenTable, groups: &Groups) -> Vec<TableFile> {
        let index = GroupIndex::new(groups);
        table.files.iter().filter(|file| index.may_be_in(&file.ranges(&self.policy.per))).cloned().collect()
    }
}

fn check(policy: &RetentionPolicy, metrics: &OpenTable, details: &[OpenTable]) -> Result<()> {
    let metric_type = metrics.column_type(&policy.metric)?;
    if !metric_type.is_numeric() {
        return Err(Error::Usage(format!("metric => '{}': the column holds {metric_type}, not numbers", policy.metric)));
    }
    if policy.metric == RANK {
        return Err(Error::Usage(format!("metric => '{RANK}': the rank follows from the metric; name another column")));
    }
    if policy.keys.is_empty() {
        return Err(Error::Usage(format!(
            "the tables share none of the columns {}: say which make the key\nhint: keys => 'strategy, ...'; '{}' has {}",
            DEFAULT_KEY.join(", "),
            metrics.name,
            metrics.columns()
        )));
    }
    for table in [metrics].into_iter().chain(details) {
        for column in &policy.keys {
            let (own, expected) = (table.column_type(column)?, metrics.column_type(column)?);
            if compared_type(own) != compared_type(expected) {
                return Err(Error::Usage(format!(
                    "key column '{column}' is {expected} in '{}' and {own} in '{}': the same strategy would not be found",
                    metrics.name, table.name
                )));
            }
        }
    }
    if let Some(column) = policy.per.iter().find(|column| !policy.keys.contains(column)) {
        return Err(Error::Usage(format!(
            "per => '{column}' is no part of the key ({}): a strategy must be in one group",
            policy.keys.join(", ")
        )));
    }
    match metrics.schema.field_with_name(RANK) {
        Ok(field) if !field.data_type().is_integer() => {
            Err(Error::Usage(format!("column '{RANK}' of '{}' is {}: ranks need whole numbers", metrics.name, field.data_type())))
        }
        _ => check_kept_column(&metrics.schema, &metrics.name),
    }
}

fn check_kept_column(schema: &Schema, table: &str) -> Result<()> {
    match schema.field_with_name(TRADES_KEPT) {
        Ok(field) if compared_type(field.data_type()) != DataType::Utf8 => {
            Err(Error::Usage(format!("column '{TRADES_KEPT}' of '{table}' is {}: it needs text", field.data_type())))
        }
        _ => Ok(()),
    }
}
