//! `information_schema` over a database in which some table cannot be opened: the others are listed all the same.
//!
//! DataFusion's own listing opens every table and fails with the first that fails, such as a view whose table was dropped. Here it
//! sees the catalogs through decorators: a table that cannot be opened has the one column [`UNREADABLE`] of type `Null`, and
//! `system.tables` says why.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::information_schema::InformationSchemaProvider;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::TableType;

/// Name of the schema.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// The only column of a table that cannot be opened.
const UNREADABLE: &str = "(unreadable)";

/// The information schema of all catalogs of a session.
pub fn information_schema(catalogs: &Arc<dyn CatalogProviderList>) -> Arc<dyn SchemaProvider> {
    // Held weakly: the schema is itself part of one of the catalogs.
    Arc::new(InformationSchemaProvider::new(Arc::new(ListedCatalogs(Arc::downgrade(catalogs)))))
}

#[derive(Debug)]
struct ListedCatalogs(Weak<dyn CatalogProviderList>);

impl CatalogProviderList for ListedCatalogs {
    fn register_catalog(&self, name: String, catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        self.0.upgrade().and_then(|catalogs| catalogs.register_catalog(name, catalog))
    }

    fn catalog_names(&self) -> Vec<String> {
        self.0.upgrade().map_or_else(Vec::new, |catalogs| catalogs.catalog_names())
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(ListedCatalog(self.0.upgrade()?.catalog(name)?)))
    }
}

#[derive(Debug)]
struct ListedCatalog(Arc<dyn CatalogProvider>);

impl CatalogProvider for ListedCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.schema_names()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(ListedSchema(self.0.schema(name)?)))
    }
}

#[derive(Debug)]
struct ListedSchema(Arc<dyn SchemaProvider>);

#[async_trait]
impl SchemaProvider for ListedSchema {
    fn owner_name(&self) -> Option<&str> {
        self.0.owner_name()
    }

    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    async fn table(&self, name: &str) -> DfResult<Option<Arc<dyn TableProvider>>> {
        match self.0.table(name).await {
            Err(error) => {
                tracing::warn!(table = name, error = %error.strip_backtrace(), "a table cannot be opened");
                let schema = Schema::new(vec![Field::new(UNREADABLE, DataType::Null, true)]);
                Ok(Some(Arc::new(EmptyTable::new(Arc::new(schema)))))
            }
            found => found,
        }
    }

    async fn table_type(&self, name: &str) -> DfResult<Option<TableType>> {
        self.0.table_type(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}
