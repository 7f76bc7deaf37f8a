//! How one statement runs: as a command of the engine, as SQL, or in HeavyDB's dialect.

use std::sync::Arc;

use datafusion::arrow::array::{StringArray, UInt64Array};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement as SqlStatement;
use object_store_tiers::ReadFigures;
use sqlparser::ast::Statement as Ast;

use super::parameters::bind;
use super::{Done, Engine, Parameters, nothing, tiers};
use crate::catalog::{
    Command, Statement, bind_versions, dml_base, execute_copy, execute_ddl, execute_dml, plan_statement, plan_whole_table, refresh,
    refuse_passed_over, refuse_stored_parameters, resolve_relation_arguments, restore, vacuum,
};
use crate::error::{Error, Result};
use crate::exec::QueryRecord;
use crate::heavydb::{message_of, place_of, refuse_heavy_target};
use crate::storage::{QueryStores, at_one_state, undo_abandoned};

/// Whether the statement has not yet run when it was planned.
pub(super) fn gives_rows_later(command: &Command) -> bool {
    match command {
        Command::Heavy => true,
        Command::Sql(sql) => match sql.as_ref() {
            SqlStatement::Explain(_) => true,
            SqlStatement::Statement(ast) => matches!(ast.as_ref(), Ast::Query(_)),
            _ => false,
        },
        _ => false,
    }
}

impl Done {
    /// The same, with the reading of its rows going into a record.
    pub(super) fn recorded(self, record: &Arc<QueryRecord>) -> Self {
        let (mut state, plan) = self.frame.into_parts();
        record.planned(state.config().get_extension::<ReadFigures>());
        state.config_mut().set_extension(Arc::clone(record));
        Self { frame: DataFrame::new(state, plan), ..self }
    }
}

impl Engine {
    pub(super) async fn run_command(&self, statement: &Statement, parameters: &Parameters) -> Result<Done> {
        let frame = match &statement.command {
            Command::Restore { table, version } => {
                undo_abandoned(self.directory.root()).await?;
                let version = restore(&self.directory, table, *version).await?;
                self.one_column("version", Arc::new(UInt64Array::from(vec![version])))
            }
            Command::SetRetention { .. } | Command::DropRetention { .. } | Command::Retain { .. } | Command::Upsert { .. } => {
                return self.run_retention(&statement.command, parameters).await;
            }
            Command::SetTier { .. } | Command::ApplyTierRules { .. } => {
                return self.run_tiers(&statement.command, &statement.text, parameters).await;
            }
            Command::Refresh { name } => {
                let dropped = refresh(&self.directory, &self.stores, name).await?;
                self.one_column("dropped_blocks", Arc::new(UInt64Array::from(vec![dropped])))
            }
            Command::Vacuum { table, retain_hours, dry_run } => {
                let removed = vacuum(&self.directory, table, *retain_hours, *dry_run).await?;
                self.one_column("removed", Arc::new(StringArray::from(removed)))
            }
            Command::Heavy => {
                let reads = Arc::new(QueryStores::new(&self.stores));
                return reads.during(self.run_heavy(statement, &reads)).await;
            }
            Command::Sql(sql) => {
                refuse_stored_parameters(statement)?;
                let state = self.ctx.state();
                refuse_passed_over(sql, statement.position, &|name| state.scalar_functions().contains_key(name))?;
                let note = self.dropped_with(sql).await;
                return Ok(Done { frame: self.run_sql(sql, &statement.text, parameters).await?, note });
            }
        };
        Ok(Done { frame: frame?, note: None })
    }

    async fn run_heavy(&self, statement: &Statement, reads: &Arc<QueryStores>) -> Result<Done> {
        self.directory.refresh().await?;
        let session = self.heavy_session.over(&self.ctx.state_ref().read(), &self.heavy_tables);
        let outcome = session.run(&statement.text).await.map_err(|error| {
            let place = place_of(&error, &statement.text).map(|place| place.after(statement.position));
            match Error::from(error) {
                Error::Query(mut query) => {
                    query.position = place.or(Some(statement.position));
                    if let Some(source) = &query.source {
                        query.message = message_of(source);
                    }
                    Error::Query(query)
                }
                other => other,
            }
        })?;
        let frame = match outcome.rows {
            Some(rows) if self.stores.has_remote() => {
                let (state, plan) = rows.into_parts();
                DataFrame::new(tiers::for_statement(state, reads), plan)
            }
            Some(rows) => rows,
            None => nothing()?,
        };
        Ok(Done { frame, note: outcome.note })
    }

    async fn run_sql(&self, sql: &SqlStatement, text: &str, parameters: &Parameters) -> Result<DataFrame> {
        let reads = Arc::new(QueryStores::new(&self.stores));
        reads.during(self.run_reading(sql, text, parameters, &reads)).await
    }

    async fn run_reading(&self, sql: &SqlStatement, text: &str, parameters: &Parameters, reads: &Arc<QueryStores>) -> Result<DataFrame> {
        self.directory.refresh().await?;
        let root = self.directory.root();
        if !matches!(sql, SqlStatement::Statement(ast) if matches!(ast.as_ref(), Ast::Query(_))) {
            undo_abandoned(root).await?;
        }
        at_one_state(root, Box::pin(self.run_at_one_state(sql, text, parameters, reads))).await
    }

    async fn run_at_one_state(
        &self,
        sql: &SqlStatement,
        text: &str,
        parameters: &Parameters,
        reads: &Arc<QueryStores>,
    ) -> Result<DataFrame> {
        let mut sql = sql.clone();
        bind_versions(&mut sql, |name| parameters.version(name))?;
        resolve_relation_arguments(&mut sql, &|name| parameters.value(name))?;
        let sql = &sql;
        let plan = match plan_whole_table(&self.ctx, sql).await {
            Some(plan) => plan,
            None => bind(plan_statement(&self.ctx.state(), sql, text).await?, parameters)?,
        };
        refuse_heavy_target(&plan, &self.heavy_tables)?;
        let ctx = self.statement_context(reads);
        let done = match &plan {
            LogicalPlan::Ddl(ddl) => execute_ddl(&ctx, &self.directory, ddl, text).await?,
            LogicalPlan::Dml(dml) => {
                // Planned again on top of a known version: the plan then reads that version or a later one, and a later one
                // makes the commit a conflict.
                let base = dml_base(&self.directory, &dml.table_name).await?;
                let plan = bind(ctx.state().statement_to_plan(sql.clone()).await?, parameters)?;
                let LogicalPlan::Dml(dml) = &plan else { return Err(Error::Internal("a statement was planned in two ways".into())) };
                execute_dml(&ctx, &self.directory, dml, (base, text)).await?
            }
            _ => execute_copy(&ctx, &plan).await?,
        };
        match done {
            Some(result) => Ok(result),
            None => self.execute(plan, reads).await,
        }
    }

    /// The session as one statement sees it: one version of each object of remote stores.
    pub(super) fn statement_context(&self, reads: &Arc<QueryStores>) -> SessionContext {
        if !self.stores.has_remote() {
            return self.ctx.clone();
        }
        SessionContext::new_with_state(tiers::for_statement(self.ctx.state(), reads))
    }

    /// A query that is yet to run, or a statement of the session that has.
    async fn execute(&self, plan: LogicalPlan, reads: &Arc<QueryStores>) -> Result<DataFrame> {
        if matches!(plan, LogicalPlan::Statement(_)) {
            let before = self.options();
            let frame = self.ctx.execute_logical_plan(plan).await?;
            let has_directory = self.config.tiers.directory.is_some();
            let limited = tiers::Limited { stores: &self.stores, decoded: self.extension(), has_directory };
            if let Err(error) = tiers::apply(&limited, &before, &self.options()) {
                self.ctx.state_ref().write().config_mut().options_mut().extensions.insert(before);
                return Err(error);
            }
            return Ok(frame);
        }
        if !self.stores.has_remote() || matches!(plan, LogicalPlan::Ddl(_)) {
            return Ok(self.ctx.execute_logical_plan(plan).await?);
        }
        let state = tiers::for_statement(self.ctx.state(), reads);
        let is_analyze = matches!(plan, LogicalPlan::Analyze(_));
        let frame = DataFrame::new(state, plan);
        if !is_analyze {
            return Ok(frame);
        }
        let mut batches = frame.collect().await?;
        if let Some(first) = batches.first() {
            batches.push(tiers::explained(reads.figures(), first)?);
        }
        Ok(self.ctx.read_batches(batches)?)
    }
}
