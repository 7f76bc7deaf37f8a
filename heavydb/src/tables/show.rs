//! `SHOW` and what it lists.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};

use super::database::{Database, Entry};
use super::definition::{DEFAULT, SPELLING, TableDefinition};
use super::reader::Reader;
use super::table::HeavyTable;
use crate::functions::{Action, functions};
use crate::options::Options;
use crate::types::heavy_type::HeavyType;

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// `SHOW TABLES`.
    Tables,
    /// `SHOW TABLE DETAILS [t, ...]`.
    TableDetails(Vec<String>),
    /// `SHOW CREATE TABLE t`.
    CreateTable(String),
    /// `SHOW DATABASES`.
    Databases,
    /// `SHOW FUNCTIONS [DETAILS]`.
    Functions,
    /// A list that is empty here, with its columns.
    Nothing(&'static [&'static str]),
}

/// Lists of a server that an engine does not have: their words and columns.
const EMPTY_LISTS: &[(&[&str], &[&str])] = &[
    (&["RUNTIME", "FUNCTIONS"], &["Runtime UDF"]),
    (&["RUNTIME", "TABLE", "FUNCTIONS"], &["Runtime UDTF"]),
    (&["TABLE", "FUNCTIONS"], &["Table UDF"]),
    (&["MODELS"], &["model"]),
    (&["SERVERS"], &["server_name", "data_wrapper", "created_at", "options"]),
    (&["ROLES"], &["ROLES"]),
    (
        &["QUERIES"],
        &[
            "query_session_id",
            "current_status",
            "executor_id",
            "submitted",
            "query_str",
            "login_name",
            "client_address",
            "db_name",
            "exec_device_type",
        ],
    ),
    (&["USER", "SESSIONS"], &["session_id", "login_name", "client_address", "db_name"]),
];

impl Show {
    /// Reads what comes after `SHOW`.
    ///
    /// # Errors
    /// A list that HeavyDB does not have.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        if let Some((_, columns)) = EMPTY_LISTS.iter().find(|(words, _)| reader.words(words)) {
            return Ok(Self::Nothing(columns));
        }
        let show = if reader.words(&["TABLES"]) {
            Self::Tables
        } else if reader.words(&["TABLE", "DETAILS"]) {
            let mut names = Vec::new();
            while !reader.is_done() {
                names.push(reader.name()?.to_lowercase());
                reader.takes_sign(',');
            }
            Self::TableDetails(names)
        } else if reader.words(&["CREATE", "TABLE"]) {
            Self::CreateTable(reader.name()?.to_lowercase())
        } else if reader.words(&["DATABASES"]) {
            Self::Databases
        } else if reader.words(&["FUNCTIONS"]) {
            reader.words(&["DETAILS"]);
            Self::Functions
        } else {
            return plan_err!("SHOW lists TABLES, TABLE DETAILS, CREATE TABLE, DATABASES, FUNCTIONS and others that are empty here");
        };
        reader.end()?;
        Ok(show)
    }
}

/// The rows of a list.
pub(super) fn shown(show: &Show, database: &Database, options: &Options) -> Result<RecordBatch> {
    match show {
        Show::Tables => {
            let names = database.entries().into_iter().filter(|(_, entry)| matches!(entry, Entry::Table(_)));
            texts(&["table_name"], names.map(|(_, entry)| vec![entry.to_string()]).collect())
        }
        Show::TableDetails(names) => details(names, database),
        Show::CreateTable(name) => {
            let text = match database.find(name) {
                Some(Entry::View(view)) => format!("CREATE VIEW {} AS {};", view.spelling, view.query),
                _ => create_table_text(database.table(name)?.definition()),
            };
            texts(&["SQL"], vec![vec![text]])
        }
        Show::Databases => texts(&["Database", "Owner"], vec![vec![options.database.clone(), options.user.clone()]]),
        Show::Functions => {
            let names = functions().filter(|function| !matches!(function.action, Action::Refused(_)));
            texts(&["Scalar UDF"], names.map(|function| vec![function.name.to_owned()]).collect())
        }
        Show::Nothing(columns) => texts(columns, vec![]),
    }
}

/// A batch of text columns.
fn texts(columns: &[&str], rows: Vec<Vec<String>>) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = (0..columns.len())
        .map(|place| Arc::new(rows.iter().map(|row| row.get(place).map(String::as_str)).collect::<StringArray>()) as ArrayRef);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())?)
}

fn details(names: &[String], database: &Database) -> Result<RecordBatch> {
    const COUNTS: &[&str] = &[
        "table_id",
        "column_count",
        "shard_count",
        "max_rows",
        "fragment_size",
        "max_rollback_epochs",
        "min_epoch",
        "max_epoch",
        "min_epoch_floor",
        "max_epoch_floor",
        "metadata_file_count",
        "total_metadata_file_size",
        "total_metadata_page_count",
        "total_free_metadata_page_count",
        "data_file_count",
        "total_data_file_size",
        "total_data_page_count",
        "total_free_data_page_count",
    ];
    let mut tables = Vec::new();
    for (place, (name, entry)) in database.entries().into_iter().enumerate() {
        if let Entry::Table(table) = entry
            && (names.is_empty() || names.contains(&name))
        {
            tables.push((place as i64 + 1, table));
        }
    }
    if let Some(missing) = names.iter().find(|name| !tables.iter().any(|(_, table)| table.definition().name == **name)) {
        return plan_err!("table '{missing}' does not exist");
    }
    let option = |table: &HeavyTable, wanted: &str, default: i64| {
        let found = table.definition().options.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    let value = |column: &str, id: i64, table: &HeavyTable| match column {
        "table_id" => id,
        "column_count" => table.definition().schema.fields().len() as i64,
        "max_rows" => option(table, column, 4_611_686_018_427_387_904),
        "fragment_size" => option(table, column, 32_000_000),
        "max_rollback_epochs" => option(table, column, 3),
        "shard_count" => option(table, column, 0),
        _ => 0,
    };
    let mut fields = vec![Field::new("table_name", DataType::Utf8, true)];
    fields.extend(COUNTS.iter().map(|name| Field::new(*name, DataType::Int64, true)));
    let names = tables.iter().map(|(_, table)| Some(table.definition().spelling.as_str())).collect::<StringArray>();
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(names)];
    for column in COUNTS {
        arrays.push(Arc::new(tables.iter().map(|(id, table)| value(column, *id, table)).collect::<Int64Array>()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// The statement that makes a table, as HeavyDB spells it.
fn create_table_text(definition: &TableDefinition) -> String {
    let temporary = if definition.is_temporary { "TEMPORARY " } else { "" };
    let column = |field: &Arc<Field>| {
        let spelling = field.metadata().get(SPELLING).unwrap_or_else(|| field.name());
        let default = field.metadata().get(DEFAULT).map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        let spelled = HeavyType::of(field).map_or_else(|| field.data_type().to_string(), |heavy| heavy.to_string());
        let (name, encoding) = spelled
            .split_once(" ENCODING ")
            .map_or((spelled.as_str(), String::new()), |(name, encoding)| (name, format!(" ENCODING {encoding}")));
        format!("  {spelling} {name}{not_null}{default}{encoding}")
    };
    let columns = definition.schema.fields().iter().map(column).chain(definition.clauses.iter().map(|clause| format!("  {clause}")));
    let columns: Vec<String> = columns.collect();
    let options: Vec<String> = definition
        .options
        .iter()
        .map(|(name, value)| {
            if value.parse::<f64>().is_ok() {
                format!("{}={value}", name.to_uppercase())
            } else {
                format!("{}='{}'", name.to_uppercase(), value.to_uppercase())
            }
        })
        .collect();
    let options = if options.is_empty() { String::new() } else { format!("\nWITH ({})", options.join(", ")) };
    format!("CREATE {temporary}TABLE {} (\n{}){options};", definition.spelling, columns.join(",\n"))
}
