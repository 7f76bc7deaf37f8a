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

/// The options that `CREATE TABLE ... WITH` takes; none changes an answer.
const TABLE_OPTIONS: &[&str] = &[
    "fragment_size",
    "max_chunk_size",
    "page_size",
    "max_rows",
    "max_rollback_epochs",
    "partitions",
    "shard_count",
    "sort_column",
    "storage_type",
    "vacuum",
];
/// Those of `CREATE TABLE ... AS` besides.
const COPY_OPTIONS: &[&str] = &["use_shared_dictionaries", "force_geo_compression"];

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
}

impl TableDefinition {
    /// Reads the statement after `CREATE [TEMPORARY] TABLE`.
    ///
    /// # Errors
    /// Words out of place, types that do not exist, names that come twice, options that HeavyDB refuses.
    pub fn read(reader: &mut Reader<'_>, is_temporary: bool) -> Result<Self> {
        let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
        let spelling = reader.name()?;
        let mut definition = Self {
            name: spelling.to_lowercase(),
            spelling,
            is_temporary,
            if_not_exists,
            schema: Arc::new(Schema::empty()),
            clauses: vec![],
            options: vec![],
            query: None,
        };
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

    fn check_options(&self) -> Result<()> {
        let is_known = |name: &str| TABLE_OPTIONS.contains(&name) || (self.query.is_some() && COPY_OPTIONS.contains(&name));
        match self.options.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                plan_err!("invalid option '{}' of CREATE TABLE: there are {}", name.to_uppercase(), TABLE_OPTIONS.join(", "))
            }
        }
    }
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
