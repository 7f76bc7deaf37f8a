//! Tables that statements of HeavyDB's dialect made, seen by statements of the engine's own.

use std::fmt;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, TableType};
use datafusion_heavydb::tables::{Database, Entry, HeavySession};
use parking_lot::RwLock;

use super::settings::HeavySettings;
use crate::error::{Error, Result};

/// A schema, and behind it the tables and views of the dialect: a name of the schema goes first.
pub struct WithHeavyTables {
    schema: Arc<dyn SchemaProvider>,
    tables: Arc<Database>,
    /// Held weakly: the session holds this schema.
    state: Weak<RwLock<SessionState>>,
}

impl fmt::Debug for WithHeavyTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithHeavyTables").finish_non_exhaustive()
    }
}

impl WithHeavyTables {
    /// The tables of `schema`, then those of `tables`.
    pub fn new(schema: Arc<dyn SchemaProvider>, tables: Arc<Database>, state: Weak<RwLock<SessionState>>) -> Self {
        Self { schema, tables, state }
    }

    /// The entry of a name. The dialect knows names in any case.
    fn entry(&self, name: &str) -> Option<Entry> {
        self.tables.find(name).or_else(|| self.tables.find(&name.to_lowercase()))
    }
}

#[async_trait]
impl SchemaProvider for WithHeavyTables {
    fn owner_name(&self) -> Option<&str> {
        self.schema.owner_name()
    }

    fn table_names(&self) -> Vec<String> {
        let mut names = self.schema.table_names();
        names.extend(self.tables.entries().into_iter().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        names
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        // A name that the directory cannot open is not looked for elsewhere.
        if let Some(found) = self.schema.table(name).await? {
            return Ok(Some(found));
        }
        match self.entry(name) {
            None => Ok(None),
            Some(Entry::Table(table)) => Ok(Some(table)),
            Some(Entry::View(_)) => {
                // A view is a query in the dialect, planned by a session of it.
                let Some(state) = self.state.upgrade() else { return Ok(None) };
                let state = state.read().clone();
                let session = HeavySession::new(&state, &self.tables, &HeavySettings::of(&state));
                session.context().table_provider(TableReference::bare(name.to_lowercase())).await.map(Some)
            }
        }
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        if let Some(found) = self.schema.table_type(name).await? {
            return Ok(Some(found));
        }
        Ok(self.entry(name).map(|entry| match entry {
            Entry::Table(_) => TableType::Base,
            Entry::View(_) => TableType::View,
        }))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.schema.table_exist(name) || self.entry(name).is_some()
    }
}

/// Refuses a statement of the engine's own dialect that makes, changes or drops what the other dialect made: its rules of types and
/// values are others.
///
/// # Errors
/// [`Error::Conflict`] with the way out.
pub fn refuse_heavy_target(plan: &LogicalPlan, tables: &Database) -> Result<()> {
    let target = match plan {
        LogicalPlan::Dml(dml) => Some(&dml.table_name),
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create)) => Some(&create.name),
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(create)) => Some(&create.name),
        LogicalPlan::Ddl(DdlStatement::CreateView(create)) => Some(&create.name),
        LogicalPlan::Ddl(DdlStatement::DropTable(drop)) => Some(&drop.name),
        LogicalPlan::Ddl(DdlStatement::DropView(drop)) => Some(&drop.name),
        _ => None,
    };
    match target.and_then(|target| tables.find(&target.table().to_lowercase())) {
        Some(entry) => Err(Error::Conflict(format!(
            "'{entry}' was made in HeavyDB's dialect, which alone changes or drops it\nhint: SET tranchedb.dialect = 'heavydb' and write the statement again"
        ))),
        None => Ok(()),
    }
}
