//! Names for completion: tables, their columns, functions. Fetched when first needed, forgotten after statements that may change them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::TableReference;
use datafusion::execution::FunctionRegistry;

use crate::catalog::{Command, SYSTEM_SCHEMA, SYSTEM_TABLES, Statement};
use crate::cli::workers::Workers;
use crate::engine::Engine;
use crate::exec::RELATION_FUNCTIONS;

/// Columns of one table that are kept; nobody completes among more.
const MOST_COLUMNS: usize = 2_000;

/// What the database knows by name.
pub(super) struct Names {
    engine: Engine,
    workers: Workers,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tables: Option<Arc<[String]>>,
    columns: BTreeMap<String, Arc<[String]>>,
    functions: Option<Arc<[String]>>,
}

impl Names {
    /// Nothing is fetched yet.
    pub(super) fn new(engine: Engine, workers: Workers) -> Self {
        Self { engine, workers, known: Mutex::default() }
    }

    /// Forgets tables and columns.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        known.tables = None;
        known.columns.clear();
    }

    /// Tables and views, then system tables.
    pub(super) fn tables(&self) -> Arc<[String]> {
        if let Some(tables) = &self.known().tables {
            return Arc::clone(tables);
        }
        let engine = self.engine.clone();
        // A directory that cannot be read has no names to complete; the statement itself will say why.
        let own = self.workers.wait(async move { engine.table_names().await }).and_then(Result::ok).unwrap_or_default();
        let system = SYSTEM_TABLES.iter().map(|table| format!("{SYSTEM_SCHEMA}.{}", table.name));
        let tables: Arc<[String]> = own.into_iter().chain(system).collect();
        self.known().tables = Some(Arc::clone(&tables));
        tables
    }

    /// Columns of a table; none where there is no such table.
    pub(super) fn columns(&self, table: &str) -> Arc<[String]> {
        if let Some(columns) = self.known().columns.get(table) {
            return Arc::clone(columns);
        }
        let (engine, reference) = (self.engine.clone(), TableReference::parse_str(table));
        let provider = self.workers.wait(async move { engine.context().table_provider(reference).await });
        let columns: Arc<[String]> = match provider {
            Some(Ok(provider)) => provider.schema().fields().iter().take(MOST_COLUMNS).map(|field| field.name().clone()).collect(),
            Some(Err(_)) | None => Arc::new([]),
        };
        self.known().columns.insert(table.to_owned(), Arc::clone(&columns));
        columns
    }

    /// Functions of every kind.
    pub(super) fn functions(&self) -> Arc<[String]> {
        if let Some(functions) = &self.known().functions {
            return Arc::clone(functions);
        }
        let state = self.engine.context().state();
        let of_tables = state.table_functions().keys().cloned().chain(RELATION_FUNCTIONS.iter().map(|function| function.name.to_owned()));
        let names: BTreeSet<String> = state.udfs().into_iter().chain(state.udafs()).chain(state.udwfs()).chain(of_tables).collect();
        let functions: Arc<[String]> = names.into_iter().collect();
        self.known().functions = Some(Arc::clone(&functions));
        functions
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a statement may add, change or remove a table.
pub(super) fn may_change_names(statement: &Statement) -> bool {
    use datafusion::sql::parser::Statement as Sql;
    use datafusion::sql::sqlparser::ast::Statement as Ast;
    match &statement.command {
        Command::Sql(sql) => match sql.as_ref() {
            Sql::Statement(ast) => !matches!(ast.as_ref(), Ast::Query(_)),
            Sql::Explain(_) | Sql::CopyTo(_) | Sql::Reset(_) => false,
            Sql::CreateExternalTable(_) => true,
        },
        Command::SetRetention { .. } | Command::DropRetention { .. } | Command::Retain { .. } | Command::Upsert { .. } => false,
        Command::SetTier { .. } | Command::ApplyTierRules { .. } | Command::Refresh { .. } => false,
        Command::Restore { .. } | Command::Vacuum { .. } | Command::Heavy => true,
    }
}
