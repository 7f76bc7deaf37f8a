//! `CREATE TABLE`: columns, encodings and options of a table.

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, plan_err};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::reader::Reader;
use crate::refusal::Refusal;
use crate::types::heavy_type::HeavyType;

/// Metadata of a field: the name as `CREATE TABLE` spells it.
pub const SPELLING: &str = "heavydb.name";
/// Metadata of a field: the SQL text of its default.
pub const DEFAULT: &str = "heavydb.default";

/// Metadata of a field: what `COMMENT ON COLUMN` said.
pub const COMMENT: &str = "heavydb.comment";

/// What the value of an option must be.
#[derive(Debug, Clone, Copy)]
enum Demand {
    /// A whole number in a range.
    Number(i64, i64),
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// The name of a column.
    Column,
    /// Any text.
    Any,
}

/// The options that `CREATE TABLE ... WITH` takes; `sort_column` alone changes the order of rows, the others nothing.
const TABLE_OPTIONS: &[(&str, Demand)] = &[
    ("fragment_size", Demand::Number(1, i32::MAX as i64)),
    ("max_chunk_size", Demand::Number(i64::MIN, i64::MAX)),
    ("page_size", Demand::Number(1, i64::MAX)),
    ("max_rows", Demand::Number(i64::MIN, i64::MAX)),
    ("max_rollback_epochs", Demand::Number(0, i64::MAX)),
    ("partitions", Demand::OneOf(&["SHARDED", "REPLICATED"])),
    ("shard_count", Demand::Number(1, i32::MAX as i64)),
    ("sort_column", Demand::Column),
    ("storage_type", Demand::Any),
    ("vacuum", Demand::OneOf(&["IMMEDIATE", "DELAYED"])),
];
/// Those of `CREATE TABLE ... AS` besides.
const COPY_OPTIONS: &[(&str, Demand)] = &[
    ("use_shared_dictionaries", Demand::OneOf(&["TRUE", "FALSE", "T", "F"])),
    ("force_geo_compression", Demand::OneOf(&["TRUE", "FALSE", "T", "F"])),
];
/// Those that `ALTER TABLE ... SET` changes.
const ALTERABLE: &[&str] = &["max_rollback_epochs", "max_rows"];

/// The files that a foreign table or dataframe shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Path or pattern.
    pub path: String,
    /// How they are read: options of `COPY FROM`.
    pub options: Vec<(String, String)>,
    /// The words after the columns, in HeavyDB's spelling.
    pub clause: String,
}

/// What `CREATE TABLE` says.
#[derive(Debug, Clone)]
pub struct TableDefinition {
    /// The name in lower case.
    pub name: String,
    /// The name as it was spelled.
    pub spelling: String,
    /// Whether the table goes with the session.
    pub is_temporary: bool,
    /// Whether a table of that name is left as it is.
    pub if_not_exists: bool,
    /// Columns in order; names in lower case, spelling and type in the metadata.
    pub schema: SchemaRef,
    /// `SHARD KEY` and `SHARED DICTIONARY` clauses, without effect.
    pub clauses: Vec<String>,
    /// Options in order, without effect but `sort_column`.
    pub options: Vec<(String, String)>,
    /// The query of `CREATE TABLE ... AS`.
    pub query: Option<String>,
    /// The files of a foreign table.
    pub files: Option<Files>,
    /// What `COMMENT ON TABLE` said.
    pub comment: Option<String>,
}

impl TableDefinition {
    /// Reads the statement after `CREATE [TEMPORARY] TABLE`.
    ///
    /// # Errors
    /// Words out of place, types that do not exist, names that come twice, options that HeavyDB refuses.
    pub fn read(reader: &mut Reader<'_>, is_temporary: bool) -> Result<Self> {
        let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
        let spelling = reader.name()?;
        let mut definition = Self::named(spelling, is_temporary, if_not_exists);
        if reader.words(&["AS"]) {
            definition.query = Some(reader.query()?);
        } else {
            definition.read_columns(reader)?;
        }
        if reader.words(&["WITH"]) {
            definition.options = read_options(reader)?;
            definition.check_options()?;
        }
        reader.end()?;
        Ok(definition)
    }

    fn named(spelling: String, is_temporary: bool, if_not_exists: bool) -> Self {
        Self {
            name: spelling.to_lowercase(),
            spelling,
            is_temporary,
            if_not_exists,
            schema: Arc::new(Schema::empty()),
            clauses: vec![],
            options: vec![],
            query: None,
            files: None,
            comment: None,
        }
    }

    fn read_columns(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        reader.sign('(')?;
        let mut fields: Vec<Field> = Vec::new();
        loop {
            if reader.peek_words(&["SHARD", "KEY"]) || reader.peek_words(&["SHARED", "DICTIONARY"]) {
                self.clauses.push(reader.clause()?);
            } else {
                fields.push(read_column(reader)?);
            }
            if !reader.takes_sign(',') {
                break;
            }
        }
        reader.sign(')')?;
        let mut names = HashSet::with_capacity(fields.len());
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().as_str())) {
            return Err(Refusal::new(format!("column '{}'", twice.name()), "it comes twice: names are the same in any case").into());
        }
        self.schema = Arc::new(Schema::new(fields));
        Ok(())
    }

    /// Reads what comes after `CREATE FOREIGN TABLE` or `CREATE DATAFRAME`, up to the columns.
    pub(super) fn read_external(reader: &mut Reader<'_>) -> Result<Self> {
        let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
        let spelling = reader.name()?;
        let mut definition = Self::named(spelling, false, if_not_exists);
        definition.read_columns(reader)?;
        Ok(definition)
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn check_options(&self) -> Result<()> {
        let has_shard_key = self.clauses.iter().any(|clause| clause.to_uppercase().starts_with("SHARD KEY"));
        for (name, value) in &self.options {
            let others: &[_] = if self.query.is_some() { COPY_OPTIONS } else { &[] };
            let Some((_, demand)) = TABLE_OPTIONS.iter().chain(others).find(|(known, _)| known == name) else {
                let known: Vec<&str> = TABLE_OPTIONS.iter().map(|(name, _)| *name).collect();
                return plan_err!("invalid option '{}' of CREATE TABLE: there are {}", name.to_uppercase(), known.join(", "));
            };
            // The columns of a query are not known yet.
            if !(self.query.is_some() && matches!(demand, Demand::Column)) {
                demand.check(name, value, &self.schema)?;
            }
            match name.as_str() {
                "shard_count" if !has_shard_key => return plan_err!("option SHARD_COUNT needs a SHARD KEY"),
                "partitions" if has_shard_key && value.eq_ignore_ascii_case("REPLICATED") => {
                    return plan_err!("a table with a SHARD KEY cannot be REPLICATED");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks what only the columns can tell: the column of `sort_column`, of keys and of dictionaries, the defaults.
    pub(super) fn check_columns(&self) -> Result<()> {
        if let Some(column) = self.option("sort_column") {
            Demand::Column.check("sort_column", column, &self.schema)?;
        }
        for clause in &self.clauses {
            let column = column_of_clause(clause);
            if self.schema.index_of(&column).is_err() {
                return plan_err!("there is no column '{column}' for {clause}");
            }
        }
        if self.clauses.iter().filter(|clause| clause.to_uppercase().starts_with("SHARD KEY")).count() > 1 {
            return plan_err!("a table has one SHARD KEY");
        }
        self.schema.fields().iter().filter(|field| field.metadata().contains_key(DEFAULT)).try_for_each(|field| {
            let values = super::load::default_values(field, 1)?;
            if values.null_count() > 0 && !field.is_nullable() {
                return plan_err!("column '{}' is NOT NULL and has DEFAULT NULL", field.name());
            }
            super::stored::check(&datafusion::arrow::array::RecordBatch::try_new(
                Arc::new(Schema::new(vec![field.as_ref().clone()])),
                vec![values],
            )?)
        })
    }

    /// The same with other values of options that `ALTER TABLE ... SET` changes.
    ///
    /// # Errors
    /// Options that stay as they are, values out of range.
    pub(super) fn with_options(&self, changed: Vec<(String, String)>) -> Result<Self> {
        let mut definition = self.clone();
        for (name, value) in changed {
            if !ALTERABLE.contains(&name.as_str()) {
                return plan_err!("ALTER TABLE ... SET changes {}, not {name}", ALTERABLE.join(" and "));
            }
            definition.options.retain(|(known, _)| *known != name);
            definition.options.push((name, value));
        }
        definition.check_options()?;
        Ok(definition)
    }
}

/// The column of `SHARD KEY (c)` and `SHARED DICTIONARY (c) REFERENCES ...`, in lower case; empty where there is none.
pub(super) fn column_of_clause(clause: &str) -> String {
    let inner = clause.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inner, _)| inner);
    inner.trim().trim_matches('"').to_lowercase()
}

impl Demand {
    fn check(self, name: &str, value: &str, schema: &Schema) -> Result<()> {
        let name = name.to_uppercase();
        match self {
            Self::Number(least, most) => match value.parse::<i64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                Ok(_) => plan_err!("option {name} is a whole number from {least} to {most}, not {value}"),
                Err(_) => plan_err!("option {name} is a whole number, not '{value}'"),
            },
            Self::OneOf(words) if words.iter().any(|word| word.eq_ignore_ascii_case(value)) => Ok(()),
            Self::OneOf(words) => plan_err!("option {name} is {}, not '{value}'", words.join(" or ")),
            Self::Column if schema.index_of(&value.to_lowercase()).is_ok() => Ok(()),
            Self::Column => plan_err!("option {name} names the column '{value}', which the table has not"),
            Self::Any => Ok(()),
        }
    }
}

/// The names of columns as `CREATE TABLE` spells them.
pub(super) fn spelled_names(schema: &Schema) -> Vec<String> {
    let spelled = |field: &Arc<Field>| match field.metadata().get(SPELLING) {
        Some(spelling) if spelling.to_lowercase() == *field.name() => spelling.clone(),
        _ => field.name().clone(),
    };
    schema.fields().iter().map(spelled).collect()
}

/// `name type [NOT NULL] [DEFAULT e] [ENCODING ...]`.
pub(super) fn read_column(reader: &mut Reader<'_>) -> Result<Field> {
    let spelling = reader.name()?;
    column_of(spelling, reader)
}

fn column_of(spelling: String, reader: &mut Reader<'_>) -> Result<Field> {
    let name = spelling.to_lowercase();
    if name == "rowid" {
        return Err(Refusal::new("a column named rowid", "HeavyDB keeps that name for itself").into());
    }
    let mut spelled_type = reader.until_any(&["NOT", "NULL", "DEFAULT", "ENCODING"])?;
    let (mut nullable, mut default) = (true, None);
    loop {
        if reader.words(&["NOT", "NULL"]) {
            nullable = false;
        } else if reader.words(&["NULL"]) {
            nullable = true;
        } else if reader.words(&["DEFAULT"]) {
            default = Some(reader.until_any(&["NOT", "ENCODING"])?);
        } else if reader.words(&["ENCODING"]) {
            spelled_type = format!("{spelled_type} ENCODING {}", reader.until_any(&["NOT", "NULL", "DEFAULT"])?);
        } else {
            break;
        }
    }
    let heavy = HeavyType::parse(&spelled_type).map_err(|error| DataFusionError::Plan(format!("column '{spelling}': {error}")))?;
    let field = heavy.field(&name, nullable);
    let mut metadata: HashMap<String, String> = field.metadata().clone();
    metadata.insert(SPELLING.into(), spelling);
    metadata.extend(default.map(|default| (DEFAULT.to_owned(), default)));
    Ok(field.with_metadata(metadata))
}

/// `name [SET DATA] TYPE type [NOT NULL] ...` of `ALTER COLUMN`.
pub(super) fn read_altered_column(reader: &mut Reader<'_>) -> Result<Field> {
    let spelling = reader.name()?;
    reader.words(&["SET", "DATA"]);
    reader.expect(&["TYPE"])?;
    column_of(spelling, reader)
}

/// `(name = value, ...)`; values are literals.
pub(super) fn read_options(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>> {
    let mut options = Vec::new();
    reader.sign('(')?;
    loop {
        let name = reader.name()?.to_lowercase();
        reader.sign('=')?;
        options.push((name, reader.value()?));
        if !reader.takes_sign(',') {
            break;
        }
    }
    reader.sign(')')?;
    Ok(options)
}
