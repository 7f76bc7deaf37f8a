//! `SHOW` and what it lists.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};

use super::database::{Database, Entry};
use super::definition::{COMMENT, DEFAULT, SPELLING, TableDefinition, column_of_clause};
use super::reader::Reader;
use super::reserved::quoted_if_needed;
use super::table::HeavyTable;
use crate::functions::{Action, functions};
use crate::options::Options;
use crate::types::heavy_type::{Encoding, HeavyType, Kind};

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
    /// `SHOW FUNCTIONS`.
    Functions,
    /// `SHOW FUNCTIONS DETAILS`; a name limits it.
    FunctionDetails(Option<String>),
    /// A list that is empty here, with its columns.
    Nothing(&'static [&'static str]),
}

/// Lists of a server that an engine does not have: their words and columns. Longer words come before their beginnings.
const EMPTY_LISTS: &[(&[&str], &[&str])] = &[
    (&["RUNTIME", "FUNCTIONS"], &["Runtime Scalar UDF"]),
    (&["RUNTIME", "TABLE", "FUNCTIONS"], &["Runtime Table UDF"]),
    (
        &["TABLE", "FUNCTIONS", "DETAILS"],
        &[
            "name",
            "signature",
            "input_names",
            "input_types",
            "input_arg_defaults",
            "output_names",
            "output_types",
            "CPU",
            "GPU",
            "Runtime",
            "filter_table_transpose",
        ],
    ),
    (&["TABLE", "FUNCTIONS"], &["Table UDF"]),
    (
        &["MODEL", "DETAILS"],
        &[
            "model_name",
            "model_type",
            "predicted",
            "features",
            "training_query",
            "num_logical_features",
            "num_physical_features",
            "num_categorical_features",
            "num_numeric_features",
            "train_fraction",
            "eval_fraction",
        ],
    ),
    (&["MODELS"], &["model_name"]),
    (&["SERVERS"], &["server_name", "data_wrapper", "created_at", "options"]),
    (&["EFFECTIVE", "ROLES"], &["ROLES"]),
    (&["ROLES"], &["ROLES"]),
    (&["DISK", "CACHE", "USAGE"], &["table name", "current cache size"]),
    (&["USER", "DETAILS"], &["NAME", "ID", "DEFAULT_DB"]),
    (&["ALL", "USER", "DETAILS"], &["NAME", "ID", "IS_SUPER", "DEFAULT_DB", "CAN_LOGIN"]),
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
            // What limits an empty list leaves it empty.
            reader.rest();
            return Ok(Self::Nothing(columns));
        }
        let show = if reader.words(&["TABLES"]) {
            Self::Tables
        } else if reader.words(&["TABLE", "DETAILS"]) {
            let mut names = Vec::new();
            while !reader.is_done() {
                names.push(reader.name()?.to_lowercase());
                reader.takes_sign(',');
                reader.takes_sign(';');
            }
            Self::TableDetails(names)
        } else if reader.words(&["CREATE", "TABLE"]) {
            Self::CreateTable(reader.name()?.to_lowercase())
        } else if reader.words(&["DATABASES"]) {
            Self::Databases
        } else if reader.words(&["FUNCTIONS"]) {
            if reader.words(&["DETAILS"]) {
                Self::FunctionDetails(if reader.is_done() { None } else { Some(reader.name()?) })
            } else {
                Self::Functions
            }
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
                Some(Entry::View(view)) => format!("CREATE VIEW {} AS {};", quoted_if_needed(&view.spelling), view.query),
                _ => create_table_text(database.table(name)?.definition()),
            };
            texts(&["SQL"], vec![vec![text]])
        }
        Show::Databases => texts(&["Database", "Owner"], vec![vec![options.database.clone(), options.user.clone()]]),
        Show::Functions => {
            let names = functions().filter(|function| !matches!(function.action, Action::Refused(_)));
            texts(&["Scalar UDF"], names.map(|function| vec![function.name.to_owned()]).collect())
        }
        Show::FunctionDetails(name) => function_details(name.as_deref()),
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

fn function_details(name: Option<&str>) -> Result<RecordBatch> {
    let given: Vec<_> = functions()
        .filter(|function| !matches!(function.action, Action::Refused(_)))
        .filter(|function| name.is_none_or(|name| function.name.eq_ignore_ascii_case(name)))
        .collect();
    let flags = |value: bool| Arc::new(BooleanArray::from(vec![value; given.len()])) as ArrayRef;
    let names: ArrayRef = Arc::new(given.iter().map(|function| Some(function.name)).collect::<StringArray>());
    let signatures: ArrayRef = Arc::new(given.iter().map(|function| Some(function.arguments)).collect::<StringArray>());
    let mut fields = vec![Field::new("name", DataType::Utf8, true), Field::new("signature", DataType::Utf8, true)];
    fields.extend(["CPU", "GPU", "Runtime"].map(|name| Field::new(name, DataType::Boolean, true)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![names, signatures, flags(true), flags(false), flags(false)])?)
}

fn details(names: &[String], database: &Database) -> Result<RecordBatch> {
    const COUNTS: &[&str] = &[
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
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let mut fields = vec![number("table_id"), Field::new("table_name", DataType::Utf8, true), number("column_count")];
    fields.push(Field::new("is_sharded_table", DataType::Boolean, true));
    fields.extend(COUNTS.iter().map(|name| number(name)));
    let names = tables.iter().map(|(_, table)| Some(table.definition().spelling.as_str())).collect::<StringArray>();
    let counts = |column: &str| Arc::new(tables.iter().map(|(id, table)| value(column, *id, table)).collect::<Int64Array>()) as ArrayRef;
    let sharded: BooleanArray = tables.iter().map(|(_, table)| Some(table.definition().option("shard_count").is_some())).collect();
    let mut arrays: Vec<ArrayRef> = vec![counts("table_id"), Arc::new(names), counts("column_count"), Arc::new(sharded)];
    arrays.extend(COUNTS.iter().map(|column| counts(column)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// Options as `SHOW CREATE TABLE` gives them, with the value that is not told.
const SHOWN_OPTIONS: &[(&str, &str)] = &[
    ("fragment_size", "32000000"),
    ("max_chunk_size", "1073741824"),
    ("page_size", "2097152"),
    ("max_rows", "4611686018427387904"),
    ("max_rollback_epochs", "3"),
    ("vacuum", "DELAYED"),
    ("partitions", ""),
    ("shard_count", ""),
    ("sort_column", ""),
];

/// The statement that makes a table, as HeavyDB spells it.
pub(super) fn create_table_text(definition: &TableDefinition) -> String {
    let comment =
        |text: Option<&String>| text.map(|text| format!(" /* {} */", text.replace("/*", "\\/*").replace("*/", "*\\/"))).unwrap_or_default();
    let dictionaries: Vec<String> = definition.clauses.iter().map(|clause| column_of_clause(clause)).collect();
    let column = |field: &Arc<Field>| {
        let spelling = quoted_if_needed(field.metadata().get(SPELLING).unwrap_or_else(|| field.name()));
        let default = field.metadata().get(DEFAULT).map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
        let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
        let (name, mut encoding) =
            HeavyType::of(field).map_or_else(|| (field.data_type().to_string(), String::new()), |heavy| spelled_type(&heavy));
        if definition
            .clauses
            .iter()
            .zip(&dictionaries)
            .any(|(clause, column)| column == field.name() && clause.to_uppercase().starts_with("SHARED"))
        {
            // The column borrows the encoding of the one that it refers to.
            encoding.clear();
        }
        format!("  {spelling} {name}{not_null}{default}{encoding}{}", comment(field.metadata().get(COMMENT)))
    };
    let columns = definition.schema.fields().iter().map(column).chain(definition.clauses.iter().map(|clause| format!("  {clause}")));
    let columns: Vec<String> = columns.collect();
    let name = format!("{}{}", quoted_if_needed(&definition.spelling), comment(definition.comment.as_ref()));
    if let Some(files) = &definition.files {
        let kind = if files.clause.starts_with("SERVER") { "FOREIGN TABLE" } else { "DATAFRAME" };
        return format!("CREATE {kind} {name} (\n{})\n{};", columns.join(",\n"), files.clause);
    }
    let options: Vec<String> = SHOWN_OPTIONS
        .iter()
        .filter_map(|(name, default)| Some((*name, definition.option(name).filter(|value| !value.eq_ignore_ascii_case(default))?)))
        .map(|(name, value)| match (name, value.parse::<i64>()) {
            ("sort_column", _) => format!("SORT_COLUMN='{}'", value.replace('\'', "''")),
            (_, Ok(value)) => format!("{}={value}", name.to_uppercase()),
            (_, Err(_)) => format!("{}='{}'", name.to_uppercase(), value.to_uppercase()),
        })
        .collect();
    let options = if options.is_empty() { String::new() } else { format!("\nWITH ({})", options.join(", ")) };
    let temporary = if definition.is_temporary { "TEMPORARY " } else { "" };
    format!("CREATE {temporary}TABLE {name} (\n{}){options};", columns.join(",\n"))
}

/// A type and its encoding; short decimals are stored in fewer bits, which HeavyDB tells.
fn spelled_type(heavy: &HeavyType) -> (String, String) {
    let spelled = heavy.to_string();
    let (name, encoding) = match spelled.split_once(" ENCODING ") {
        Some((name, encoding)) => (name.to_owned(), format!(" ENCODING {encoding}")),
        None => (spelled, String::new()),
    };
    let encoding = match (&heavy.kind, heavy.encoding) {
        (Kind::Decimal { precision: ..=4, .. }, Encoding::Default) => " ENCODING FIXED(16)".to_owned(),
        (Kind::Decimal { precision: ..=9, .. }, Encoding::Default) => " ENCODING FIXED(32)".to_owned(),
        _ => encoding,
    };
    (name, encoding)
}
