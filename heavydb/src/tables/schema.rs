//! The catalog of a session of the dialect: its own tables and views over those of the session that it speaks in.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::{Column, Result, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use super::database::{Database, Entry};
use super::definition::SPELLING;
use super::information::{INFORMATION_SCHEMA, InformationSchema};
use super::narrow::{NAMED, narrowed};
use super::rowid_table::RowidTable;
use crate::dialect::{Rewritten, WITH_ROWID, rewrite};
use crate::options::Options;
use crate::planner::session_state;
use crate::refusal::Refusal;

/// Views inside views above which one surely uses itself.
const DEEPEST_VIEW: usize = 32;

/// A session of the dialect over the tables of `database` and those of `base`.
pub(super) fn session_over(base: &SessionState, database: &Arc<Database>, options: &Options, depth: usize) -> SessionState {
    let names = &base.config().options().catalog;
    let list = MemoryCatalogProviderList::new();
    for name in base.catalog_list().catalog_names() {
        let Some(catalog) = base.catalog_list().catalog(&name) else { continue };
        let shown: Arc<dyn CatalogProvider> = if name == names.default_catalog {
            Arc::new(OverlayCatalog {
                below: Arc::clone(&catalog),
                schema: names.default_schema.clone(),
                over: Arc::new(OverlaySchema {
                    below: catalog.schema(&names.default_schema),
                    database: Arc::clone(database),
                    base: base.clone(),
                    options: options.clone(),
                    depth,
                }),
            })
        } else {
            catalog
        };
        list.register_catalog(name, shown);
    }
    // DataFusion's own information_schema would stand before that of the dialect.
    let config = base.config().clone().with_information_schema(false).with_create_default_catalog_and_schema(false);
    let state = SessionStateBuilder::new_from_existing(base.clone()).with_config(config).with_catalog_list(Arc::new(list)).build();
    session_state(state, options)
}

/// A catalog whose default schema shows the tables of the dialect first.
#[derive(Debug)]
struct OverlayCatalog {
    below: Arc<dyn CatalogProvider>,
    schema: String,
    over: Arc<OverlaySchema>,
}

impl CatalogProvider for OverlayCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.below.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            INFORMATION_SCHEMA => Some(Arc::new(InformationSchema {
                database: Arc::clone(&self.over.database),
                over: Arc::clone(&self.over) as Arc<dyn SchemaProvider>,
            })),
            name if name == self.schema => Some(Arc::clone(&self.over) as Arc<dyn SchemaProvider>),
            name => self.below.schema(name),
        }
    }
}

/// Tables and views of the dialect, then those below.
struct OverlaySchema {
    below: Option<Arc<dyn SchemaProvider>>,
    database: Arc<Database>,
    base: SessionState,
    options: Options,
    depth: usize,
}

impl fmt::Debug for OverlaySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverlaySchema").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for OverlaySchema {
    fn table_names(&self) -> Vec<String> {
        let below = self.below.as_ref().map(|below| below.table_names()).unwrap_or_default();
        let own = self.database.entries().into_iter().map(|(name, _)| name);
        let mut names: Vec<String> = own.chain(below).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(plain) = name.strip_suffix(WITH_ROWID)
            && let Some(Entry::Table(table)) = self.database.find(plain)
        {
            return Ok(Some(Arc::new(RowidTable::new(table))));
        }
        match self.database.find(name.strip_suffix(WITH_ROWID).unwrap_or(name)) {
            Some(Entry::Table(table)) => Ok(Some(narrowed(table))),
            Some(Entry::View(view)) => {
                if self.depth >= DEEPEST_VIEW {
                    return plan_err!("the view '{name}' uses itself");
                }
                let session = session_over(&self.base, &self.database, &self.options, self.depth + 1);
                let Rewritten { statement, named, .. } = rewrite(&view.query, &self.options)?;
                let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
                let plan = NAMED.scope(named.map(Arc::new), Box::pin(session.statement_to_plan(statement))).await?;
                // Under an alias, names that come twice are told apart.
                let plan = LogicalPlanBuilder::from(plan).alias(name)?.build()?;
                Ok(Some(Arc::new(ViewTable::new(plan, Some(view.query.clone())))))
            }
            None => match (&self.below, self.name_below(name)?) {
                (Some(below), Some(spelled)) => below.table(&spelled).await?.map(|table| in_lower_case(&spelled, table)).transpose(),
                // Tables of the session below have no hidden columns; what lies over another of these sessions may.
                (Some(below), None) => match name.strip_suffix(WITH_ROWID) {
                    Some(plain) => below.table(plain).await,
                    None => Ok(None),
                },
                _ => Ok(None),
            },
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.database.find(name).is_some() || !matches!(self.name_below(name), Ok(None))
    }
}

impl OverlaySchema {
    /// The name of a table below as that is spelled; names are the same in any case.
    fn name_below(&self, name: &str) -> Result<Option<String>> {
        let Some(below) = &self.below else { return Ok(None) };
        let mut same: Vec<String> = below.table_names().into_iter().filter(|known| known.to_lowercase() == name).collect();
        same.dedup();
        match same.len() {
            // A schema need not list all that it finds.
            0 => Ok(below.table_exist(name).then(|| name.to_owned())),
            1 => Ok(same.pop()),
            _ => Err(Refusal::new(name, format!("{} differ in case only", same.join(", "))).into()),
        }
    }
}

/// A table whose columns have names in lower case; how they were spelled is kept beside.
fn in_lower_case(name: &str, table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let schema = table.schema();
    if schema.fields().iter().all(|field| !field.name().chars().any(char::is_uppercase)) {
        return Ok(table);
    }
    let mut taken = HashSet::new();
    if let Some(twice) = schema.fields().iter().find(|field| !taken.insert(field.name().to_lowercase())) {
        return Err(
            Refusal::new(format!("{name}.{}", twice.name()), "columns differ in case only, which HeavyDB does not tell apart").into()
        );
    }
    let scan = LogicalPlanBuilder::scan(name, datafusion::datasource::provider_as_source(table), None)?;
    let columns = scan.schema().iter().map(|(qualifier, field)| {
        let spelling = FieldMetadata::from(BTreeMap::from([(SPELLING.to_owned(), field.name().clone())]));
        let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        column.alias_with_metadata(field.name().to_lowercase(), Some(spelling))
    });
    let columns: Vec<Expr> = columns.collect();
    Ok(Arc::new(ViewTable::new(scan.project(columns)?.build()?, None)))
}
