//! Retention as the engine offers it: its statements, and the same by calls.

use std::sync::Arc;

use datafusion::prelude::DataFrame;
use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::ast::{ObjectType, Statement as Ast};

use super::parameters::bind;
use super::{Done, Engine, Parameters};
use crate::catalog::{Command, bind_versions, parse_table_name, plan_statement, refuse_passed_over, resolve_relation_arguments};
use crate::error::{Error, Position, Result};
use crate::ingest::{self, OptionValue, RetentionOptions, RetentionPolicy, RetentionReport, SaveRequest, SaveTurn};
use crate::storage::{QueryStores, at_one_state};

impl Engine {
    /// Sets the retention of a metrics table, or changes the options given: of `metric`, `direction`, `top`, `per`, `keys`, `eligible`,
    /// `sample`, `seed`, `details`, `vacuum_hours` ([`ingest::RETENTION_OPTIONS`]).
    ///
    /// # Errors
    /// [`Error::Usage`] where tables or columns are not there or do not fit, naming them.
    pub async fn set_retention(&self, table: &str, options: RetentionOptions) -> Result<RetentionPolicy> {
        ingest::set_policy(&self.ctx, self.directory.root(), table, options).await
    }

    /// Takes the retention of a metrics table away; its rows stay as they are.
    ///
    /// # Errors
    /// [`Error::Usage`] when it has none.
    pub async fn drop_retention(&self, table: &str) -> Result<()> {
        match ingest::drop_policy(self.directory.root(), table).await? {
            true => Ok(()),
            false => Err(Error::Usage(format!("'{table}' has no retention"))),
        }
    }

    /// Ranks the strategies of a metrics table and drops the details of those that its retention does not keep; with `top` that number
    /// becomes the retention's first. A dry run writes nothing.
    ///
    /// # Errors
    /// [`Error::Usage`] without a retention or where the metric has no values, [`Error::Conflict`] when another writer was first.
    pub async fn retain(&self, table: &str, top: Option<u64>, dry_run: bool) -> Result<RetentionReport> {
        ingest::retain(&self.ctx, self.directory.root(), table, top, dry_run).await
    }

    /// Saves metrics and details by their keys and applies the retention of the metrics table to the groups they belong to, all in one commit: readers see all
    /// of it or nothing. Frames come from [`Engine::sql`] or from batches by [`datafusion::prelude::SessionContext::read_batches`].
    ///
    /// # Errors
    /// As [`Engine::retain`]; [`Error::Query`] for rows that do not fit the tables, [`Error::Conflict`] for two rows of one strategy and for
    /// details of a strategy without metrics.
    pub async fn save_metrics(&self, table: &str, request: SaveRequest) -> Result<RetentionReport> {
        let root = self.directory.root();
        SaveTurn::begin(&self.ctx, root, table).await?.save(&self.ctx, root, request).await
    }

    pub(super) async fn run_retention(&self, command: &Command, parameters: &Parameters) -> Result<Done> {
        match command {
            Command::SetRetention { table, options } => {
                let mut said = RetentionOptions::default();
                options.iter().try_for_each(|(name, value): &(String, OptionValue)| said.set(name, value))?;
                self.set_retention(table, said).await?;
                Ok(Done { frame: self.ctx.read_empty()?, note: None })
            }
            Command::DropRetention { table } => {
                self.drop_retention(table).await?;
                Ok(Done { frame: self.ctx.read_empty()?, note: None })
            }
            Command::Retain { table, top, dry_run } => self.told(&self.retain(table, *top, *dry_run).await?),
            Command::Upsert { parts } => {
                let [(table, metrics), details @ ..] = parts.as_slice() else {
                    return Err(Error::Internal("UPSERT without a table".into()));
                };
                let root = self.directory.root();
                let turn = SaveTurn::begin(&self.ctx, root, table).await?;
                match self.request_of(metrics, details, parameters).await {
                    Ok(request) => self.told(&turn.save(&self.ctx, root, request).await?),
                    Err(error) => {
                        turn.end().await;
                        Err(error)
                    }
                }
            }
            _ => Err(Error::Internal("a statement of retention was expected".into())),
        }
    }

    /// What dropping a table takes with it, to be told.
    pub(super) async fn dropped_with(&self, sql: &SqlStatement) -> Option<String> {
        let SqlStatement::Statement(ast) = sql else { return None };
        let Ast::Drop { object_type: ObjectType::Table, names, .. } = ast.as_ref() else { return None };
        let table = parse_table_name(&names.first()?.to_string()).ok()?;
        // A damaged policy goes as well.
        let has_policy = !matches!(ingest::read_policy(self.directory.root(), &table).await, Ok(None));
        has_policy.then(|| format!("the retention of '{table}' went with it"))
    }

    fn told(&self, report: &RetentionReport) -> Result<Done> {
        let remarks = report.remarks();
        Ok(Done { frame: self.ctx.read_batch(report.to_batch()?)?, note: (!remarks.is_empty()).then(|| remarks.join("; ")) })
    }

    /// What the queries of an `UPSERT` give.
    async fn request_of(
        &self,
        metrics: &SqlStatement,
        details: &[(String, Box<SqlStatement>)],
        parameters: &Parameters,
    ) -> Result<SaveRequest> {
        let metrics = Some(self.rows_of(metrics, parameters).await?);
        let mut frames = Vec::new();
        for (table, query) in details {
            frames.push((table.clone(), self.rows_of(query, parameters).await?));
        }
        Ok(SaveRequest { metrics, details: frames })
    }

    /// The rows of a query inside of a statement.
    async fn rows_of(&self, query: &SqlStatement, parameters: &Parameters) -> Result<DataFrame> {
        self.directory.refresh().await?;
        let state = self.ctx.state();
        refuse_passed_over(query, Position { line: 1, column: 1 }, &|name| state.scalar_functions().contains_key(name))?;
        let mut query = query.clone();
        bind_versions(&mut query, |name| parameters.version(name))?;
        resolve_relation_arguments(&mut query, &|name| parameters.value(name))?;
        let text = query.to_string();
        let planned = async { Ok(plan_statement(&state, &query, &text).await?) };
        let reads = Arc::new(QueryStores::new(&self.stores));
        let plan = bind(reads.during(at_one_state(self.directory.root(), planned)).await?, parameters)?;
        Ok(DataFrame::new(self.statement_context(&reads).state(), plan))
    }
}
