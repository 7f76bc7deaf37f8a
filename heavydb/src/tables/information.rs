//! `information_schema.tables` and `information_schema.columns`.
//!
//! The columns are those of HeavyDB's tables, without the numbers that a server gives its databases, tables and users.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::MemTable;

use super::database::{Database, Entry};
use super::definition::{COMMENT, DEFAULT, TableDefinition, spelled_names};
use super::show::create_table_text;
use crate::types::heavy_type::HeavyType;

/// The name of the schema.
pub(super) const INFORMATION_SCHEMA: &str = "information_schema";
const TABLES: &[&str] = &["columns", "tables"];
const DATABASE: &str = "heavyai";

/// Lists the tables of a session.
#[derive(Debug)]
pub(super) struct InformationSchema {
    pub(super) database: Arc<Database>,
    /// All tables of the session, those of the database among them.
    pub(super) over: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let batch = match name {
            "tables" => self.tables().await?,
            "columns" => self.columns().await?,
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.contains(&name)
    }
}

/// A table or view in `tables`.
struct Listed {
    name: String,
    kind: &'static str,
    view: Option<String>,
    definition: Option<TableDefinition>,
}

impl InformationSchema {
    fn listed(&self) -> Vec<Listed> {
        let listed = |name: String| match self.database.find(&name) {
            Some(Entry::Table(table)) => {
                let definition = table.definition();
                let kind = match (definition.files.is_some(), definition.is_temporary) {
                    (true, _) => "FOREIGN",
                    (false, true) => "TEMPORARY",
                    (false, false) => "DEFAULT",
                };
                Listed { name: definition.spelling.clone(), kind, view: None, definition: Some(definition.clone()) }
            }
            Some(Entry::View(view)) => {
                Listed { name: view.spelling.clone(), kind: "VIEW", view: Some(view.query.clone()), definition: None }
            }
            None => Listed { name, kind: "DEFAULT", view: None, definition: None },
        };
        self.over.table_names().into_iter().map(listed).collect()
    }

    async fn tables(&self) -> Result<RecordBatch> {
        let tables = self.listed();
        let option = |name: &'static str, default: i64| {
            let value = move |table: &Listed| {
                let definition = table.definition.as_ref()?;
                Some(definition.option(name).and_then(|value| value.parse().ok()).unwrap_or(default))
            };
            Arc::new(tables.iter().map(value).collect::<Int64Array>()) as ArrayRef
        };
        let count = |table: &Listed| i32::try_from(table.definition.as_ref()?.schema.fields().len()).ok();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("database_name", texts(tables.iter().map(|_| Some(DATABASE)))),
            ("table_name", texts(tables.iter().map(|table| Some(table.name.as_str())))),
            ("column_count", Arc::new(tables.iter().map(count).collect::<Int32Array>())),
            ("table_type", texts(tables.iter().map(|table| Some(table.kind)))),
            ("view_sql", texts(tables.iter().map(|table| table.view.as_deref()))),
            ("max_fragment_size", option("fragment_size", 32_000_000)),
            ("max_chunk_size", option("max_chunk_size", 1_073_741_824)),
            ("fragment_page_size", option("page_size", 2_097_152)),
            ("max_rows", option("max_rows", 4_611_686_018_427_387_904)),
            ("max_rollback_epochs", option("max_rollback_epochs", 3)),
            ("shard_count", option("shard_count", 0)),
            ("ddl_statement", texts(tables.iter().map(|table| table.definition.as_ref().map(create_table_text)))),
            ("comment", texts(tables.iter().map(|table| table.definition.as_ref()?.comment.as_deref()))),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
    }

    async fn columns(&self) -> Result<RecordBatch> {
        let mut rows: Vec<(String, usize, String, Arc<datafusion::arrow::datatypes::Field>)> = Vec::new();
        for table in self.listed() {
            let schema = match &table.definition {
                Some(definition) => Arc::clone(&definition.schema),
                // A view that can no longer be planned has no columns to tell.
                None => match self.over.table(&table.name.to_lowercase()).await {
                    Ok(Some(provider)) => provider.schema(),
                    Ok(None) | Err(_) => continue,
                },
            };
            let named = spelled_names(&schema).into_iter().zip(schema.fields()).enumerate();
            rows.extend(named.map(|(place, (name, field))| (table.name.clone(), place, name, Arc::clone(field))));
        }
        let heavy = |field: &datafusion::arrow::datatypes::Field| HeavyType::of(field);
        let metadata = |key: &'static str| texts(rows.iter().map(|(.., field)| field.metadata().get(key).map(String::as_str)));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("database_name", texts(rows.iter().map(|_| Some(DATABASE)))),
            ("table_name", texts(rows.iter().map(|(table, ..)| Some(table.as_str())))),
            ("column_id", Arc::new(rows.iter().map(|(_, place, ..)| i32::try_from(place + 1).ok()).collect::<Int32Array>())),
            ("column_name", texts(rows.iter().map(|(_, _, name, _)| Some(name.as_str())))),
            ("data_type", texts(rows.iter().map(|(.., field)| Some(heavy(field)?.name())))),
            (
                "data_encoding",
                texts(rows.iter().map(|(.., field)| Some(heavy(field)?.encoding.to_string()).filter(|text| !text.is_empty()))),
            ),
            ("is_nullable", Arc::new(rows.iter().map(|(.., field)| Some(field.is_nullable())).collect::<BooleanArray>())),
            ("default_value", metadata(DEFAULT)),
            ("comment", metadata(COMMENT)),
        ];
        Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))?)
    }
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = Option<T>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}
