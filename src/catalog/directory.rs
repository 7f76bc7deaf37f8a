//! The SQL schema over a database directory: a name is looked up when a query uses it, nothing is registered.
//!
//! A name is, in this order: a view or external table that was defined, a Delta table (a strategy table if it is marked
//! as one), `t_wide` for a strategy table `t`, a folder of files, a single file (`prices` for `prices.csv`), the derived
//! table `strategy_params`, or, for quoted names, a path or URL.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock, RwLock, Weak};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result as DfResult, plan_err};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::SessionState;
use datafusion::logical_expr::TableType;

use super::definitions::{DefinitionKind, broken, list_definitions, plan_definition, read_definition};
use super::files::{is_location, listing_table, location_table, split_extension};
use super::narrow::narrowed;
use super::strategy_params::{strategy_names, strategy_params};
use super::versions::split_version;
use crate::error::{Error, Result};
use crate::exec::{StrategyScan, WideView};
use crate::storage::{DATABASE_FOLDER, Root, StrategyTable, load_table};

/// Name of the SQL catalog of a database.
pub const CATALOG: &str = "tranchedb";
/// Name of the SQL schema over the directory.
pub const SCHEMA: &str = "main";
/// Ending of the wide view's name.
const WIDE_SUFFIX: &str = "_wide";
/// Derived table of the parameters that strategy names spell out.
const STRATEGY_PARAMS: &str = "strategy_params";

tokio::task_local! {
    /// Definitions that are being planned, outermost first: a view must not use itself.
    static PLANNING: Vec<String>;
}

/// What a name of the directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// A strategy table.
    Strategies,
    /// Another Delta table.
    Delta,
    /// The wide form of a strategy table.
    Wide,
    /// A folder of files, or a single file.
    Files,
    /// A view.
    View,
    /// Files elsewhere, by `CREATE EXTERNAL TABLE`.
    External,
    /// Computed from other tables.
    Derived,
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strategies => "strategies",
            Self::Delta => "table",
            Self::Wide => "wide view",
            Self::Files => "files",
            Self::View => "view",
            Self::External => "external",
            Self::Derived => "derived",
        })
    }
}

/// The schema `main` of a database.
pub struct DirectorySchema {
    root: Root,
    /// The session that the schema belongs to; set once it exists.
    session: OnceLock<Weak<parking_lot::RwLock<SessionState>>>,
    names: RwLock<BTreeSet<String>>,
}

impl fmt::Debug for DirectorySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorySchema").field("root", &self.root).finish_non_exhaustive()
    }
}

impl DirectorySchema {
    /// The schema over a root.
    pub fn new(root: Root) -> Self {
        Self { root, session: OnceLock::new(), names: RwLock::default() }
    }

    /// The database behind.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Tells the schema its session, which plans views and reads files.
    pub fn attach(&self, session: Weak<parking_lot::RwLock<SessionState>>) {
        // A second call would be the same session.
        let _ = self.session.set(session);
    }

    /// Reads the names anew, for `SHOW TABLES` and completion.
    pub async fn refresh(&self) -> Result<()> {
        let (folders, files) = self.root.list().await?;
        let mut names: BTreeSet<String> = folders.into_iter().filter(|name| is_visible(name)).collect();
        names.extend(files.iter().filter_map(|(file, _)| Some(split_extension(file)?.0.to_owned())).filter(|name| is_visible(name)));
        names.extend(list_definitions(&self.root).await?.into_iter().map(|(_, name)| name));
        names.retain(|name| self.root.table_url(name).is_ok());
        match self.names.write() {
            Ok(mut held) => *held = names,
            Err(poisoned) => *poisoned.into_inner() = names,
        }
        Ok(())
    }

    /// The session that plans views and reads files.
    pub(super) fn state(&self) -> DfResult<SessionState> {
        let gone = || DataFusionError::Internal("the session of this database is gone".into());
        let session = self.session.get().and_then(Weak::upgrade).ok_or_else(gone)?;
        let state = session.read().clone();
        Ok(state)
    }

    /// What `name` is, and its table; `None` when there is no such thing.
    pub async fn find(&self, name: &str) -> DfResult<Option<(TableKind, Arc<dyn TableProvider>)>> {
        let (plain, version) = split_version(name)?;
        if version.is_none() {
            if is_location(plain) {
                return Ok(self.at_location(plain).await?.map(|table| (TableKind::Files, table)));
            }
            if let Some(found) = self.defined(plain).await? {
                return Ok(Some(found));
            }
        }
        if self.root.table_url(plain).is_err() {
            return Ok(None);
        }
        if let Some(found) = self.delta(plain, version).await? {
            return Ok(Some(found));
        }
        if let Some(base) = plain.strip_suffix(WIDE_SUFFIX)
            && let Some(table) = StrategyTable::open(&self.root, base, version).await?
        {
            return Ok(Some((TableKind::Wide, Arc::new(wide_view(&table).await?))));
        }
        if version.is_some() {
            return plan_err!("'{plain}' is not a table with versions");
        }
        if let Some(table) = self.files(plain).await? {
            return Ok(Some((TableKind::Files, table)));
        }
        if plain == STRATEGY_PARAMS {
            return Ok(Some((TableKind::Derived, strategy_params(&self.root).await?)));
        }
        Ok(None)
    }

    /// What `name` is, without planning a view: a broken one can still be dropped or replaced.
    pub async fn kind(&self, name: &str) -> DfResult<Option<TableKind>> {
        match read_definition(&self.root, name).await? {
            Some((DefinitionKind::View, _)) => Ok(Some(TableKind::View)),
            Some((DefinitionKind::External, _)) => Ok(Some(TableKind::External)),
            None => Ok(self.find(name).await?.map(|(kind, _)| kind)),
        }
    }

    /// Plans a definition as it would be planned when used, so that one that cannot work is refused when it is made.
    pub(super) async fn check_definition(&self, name: &str, sql: &str) -> DfResult<()> {
        let state = self.state()?;
        PLANNING.scope(vec![name.to_owned()], Box::pin(plan_definition(&state, name, sql))).await.map(|_| ())
    }

    async fn defined(&self, name: &str) -> DfResult<Option<(TableKind, Arc<dyn TableProvider>)>> {
        let Some((kind, sql)) = read_definition(&self.root, name).await? else { return Ok(None) };
        let mut planning = PLANNING.try_with(Clone::clone).unwrap_or_default();
        if planning.iter().any(|outer| outer == name) {
            return plan_err!("the view '{name}' uses itself: {} -> {name}", planning.join(" -> "));
        }
        planning.push(name.to_owned());
        let state = self.state()?;
        let planned = PLANNING.scope(planning, Box::pin(plan_definition(&state, name, &sql))).await;
        let planned = planned.map_err(|error| broken(kind, name, error))?;
        let kind = if kind == DefinitionKind::View { TableKind::View } else { TableKind::External };
        Ok(Some((kind, planned)))
    }

    async fn delta(&self, name: &str, version: Option<u64>) -> DfResult<Option<(TableKind, Arc<dyn TableProvider>)>> {
        let Some(delta) = load_table(&self.root, name, version).await? else { return Ok(None) };
        if let Some(table) = StrategyTable::of_delta(&self.root, name, delta.clone())? {
            return Ok(Some((TableKind::Strategies, Arc::new(StrategyScan::try_new(&table)?))));
        }
        let snapshot = delta.snapshot().map_err(|e| DataFusionError::External(Box::new(e)))?.snapshot().clone();
        let provider = delta.table_provider().with_eager_snapshot(snapshot).await?;
        Ok(Some((TableKind::Delta, provider)))
    }

    async fn files(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        let (folders, files) = self.root.list().await?;
        let state = self.state()?;
        let url = if folders.iter().any(|folder| folder == name) {
            if self.root.is_claimed(name).await? {
                return Ok(None);
            }
            self.root.table_url(name)?
        } else {
            let Some((file, _)) = files.iter().find(|(file, _)| split_extension(file).is_some_and(|(stem, _)| stem == name)) else {
                return Ok(None);
            };
            self.root.url().join(file).map_err(|e| Error::Internal(format!("file {file}: {e}")))?
        };
        listing_table(&state, ListingTableUrl::try_new(url, None)?).await.map(Some)
    }

    async fn at_location(&self, location: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        location_table(&self.state()?, location).await
    }
}

fn is_visible(name: &str) -> bool {
    !name.starts_with(['_', '.']) && name != DATABASE_FOLDER
}

/// The wide view of a strategy table, its strategies in source order.
async fn wide_view(table: &StrategyTable) -> Result<WideView> {
    let register = table.register().await?;
    let names = register.as_ref().map_or_else(Vec::new, strategy_names);
    WideView::try_new(StrategyScan::try_new(table)?, &names)
}

#[async_trait]
impl SchemaProvider for DirectorySchema {
    fn table_names(&self) -> Vec<String> {
        match self.names.read() {
            Ok(names) => names.iter().cloned().collect(),
            Err(poisoned) => poisoned.into_inner().iter().cloned().collect(),
        }
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name).await?.map(|(_, table)| narrowed(table)))
    }

    /// Tells views from tables without opening any, so that listing a large database stays quick.
    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        if let Some((kind, _)) = read_definition(&self.root, name).await? {
            return Ok(Some(if kind == DefinitionKind::View { TableType::View } else { TableType::Base }));
        }
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.read().is_ok_and(|names| names.contains(name))
    }
}
