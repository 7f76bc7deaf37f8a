//! What a statement of HeavyDB is, told by its first words.

use datafusion::common::{Result, plan_err};

use super::definition::{TableDefinition, read_options};
use super::reader::Reader;
use super::show::Show;
use crate::refusal::Refusal;

/// One statement, read.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Rows are asked for.
    Query(String),
    /// `EXPLAIN [CALCITE|OPTIMIZED|PLAN [DETAILED]] query`.
    Explain(String),
    /// `CREATE TABLE`, also `AS` a query.
    CreateTable(Box<TableDefinition>),
    /// `CREATE VIEW`.
    CreateView {
        /// The name as spelled.
        name: String,
        /// Its query.
        query: String,
        /// Whether a view of that name is left as it is.
        if_not_exists: bool,
    },
    /// `INSERT`, read by its own scanner.
    Insert,
    /// `UPDATE` or `DELETE`.
    Change,
    /// `DROP TABLE`, `DROP VIEW`.
    Drop {
        /// Names in lower case.
        names: Vec<String>,
        /// Whether views are dropped, not tables.
        is_view: bool,
        /// Whether a name that is not there is passed over.
        if_exists: bool,
    },
    /// `TRUNCATE TABLE`.
    Truncate(String),
    /// `RENAME TABLE a TO b, ...`, all at once.
    Rename(Vec<(String, String)>),
    /// `ALTER TABLE`.
    Alter {
        /// The table in lower case.
        table: String,
        /// What changes.
        change: Alteration,
    },
    /// `COPY t FROM 'file'`, `COPY (query) TO 'file'`.
    Copy {
        /// A table's name or a query.
        what: String,
        /// Whether the file is read.
        is_from: bool,
        /// Path or pattern.
        path: String,
        /// Options in order, names in lower case.
        options: Vec<(String, String)>,
    },
    /// `SHOW ...`.
    Show(Show),
    /// Accepted, without effect here.
    Noted(&'static str),
}

/// What `ALTER TABLE` changes.
#[derive(Debug, Clone)]
pub enum Alteration {
    /// The table's name.
    RenameTable(String),
    /// A column's name.
    RenameColumn(String, String),
    /// New columns.
    Add(Vec<datafusion::arrow::datatypes::Field>),
    /// Columns that go.
    Drop(Vec<String>),
    /// A column's type.
    Type(Box<datafusion::arrow::datatypes::Field>),
    /// Options, without effect.
    Set,
}

/// A statement that starts with some words.
struct Form {
    words: &'static [&'static str],
    read: fn(&mut Reader<'_>) -> Result<Statement>,
}

/// Every form, longer ones before their beginnings.
const FORMS: &[Form] = &[
    Form { words: &["SELECT"], read: query },
    Form { words: &["WITH"], read: query },
    Form { words: &["VALUES"], read: query },
    Form { words: &["EXPLAIN"], read: explain },
    Form { words: &["CREATE", "TEMPORARY", "TABLE"], read: |reader| create_table(reader, true) },
    Form { words: &["CREATE", "TABLE"], read: |reader| create_table(reader, false) },
    Form { words: &["CREATE", "VIEW"], read: create_view },
    Form { words: &["CREATE", "INDEX"], read: |_| Err(Refusal::new("CREATE INDEX", "HeavyDB has no indexes").into()) },
    Form { words: &["CREATE", "MODEL"], read: |_| Err(Refusal::new("CREATE MODEL", "machine learning is out of scope").into()) },
    Form { words: &["CREATE"], read: |reader| noted_or_refused(reader, "CREATE") },
    Form { words: &["INSERT"], read: |_| Ok(Statement::Insert) },
    Form { words: &["UPDATE"], read: |_| Ok(Statement::Change) },
    Form { words: &["DELETE"], read: |_| Ok(Statement::Change) },
    Form { words: &["DROP", "TABLE"], read: |reader| drop(reader, false) },
    Form { words: &["DROP", "VIEW"], read: |reader| drop(reader, true) },
    Form { words: &["DROP"], read: |reader| noted_or_refused(reader, "DROP") },
    Form { words: &["TRUNCATE", "TABLE"], read: |reader| Ok(Statement::Truncate(reader.name()?.to_lowercase())) },
    Form { words: &["RENAME", "TABLE"], read: rename },
    Form { words: &["ALTER", "TABLE"], read: alter },
    Form { words: &["ALTER"], read: |_| Ok(Statement::Noted("ALTER of a server's settings has no effect here")) },
    Form { words: &["COPY"], read: copy },
    Form { words: &["SHOW"], read: |reader| Ok(Statement::Show(Show::read(reader)?)) },
    Form { words: &["OPTIMIZE"], read: |_| Ok(Statement::Noted("tables in memory need no OPTIMIZE")) },
    Form { words: &["VALIDATE"], read: |_| Ok(Statement::Noted("tables in memory need no VALIDATE")) },
    Form { words: &["COMMENT"], read: |_| Ok(Statement::Noted("comments are not kept")) },
    Form { words: &["DUMP"], read: archive },
    Form { words: &["RESTORE"], read: archive },
    Form { words: &["GRANT"], read: |_| Ok(Statement::Noted("there are no users and roles here")) },
    Form { words: &["REVOKE"], read: |_| Ok(Statement::Noted("there are no users and roles here")) },
    Form { words: &["REASSIGN"], read: |_| Ok(Statement::Noted("there are no users and roles here")) },
    Form { words: &["KILL"], read: |_| Ok(Statement::Noted("there is no other query to kill")) },
];

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// Words out of place; a [`Refusal`] for statements that are not given.
    pub fn read(text: &str) -> Result<Self> {
        // An `INSERT` may be large: it is told by its first word alone.
        if text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert")) {
            return Ok(Self::Insert);
        }
        let mut reader = Reader::new(text)?;
        if matches!(text.as_bytes().first(), Some(b'(')) {
            return query(&mut reader);
        }
        match FORMS.iter().find(|form| reader.words(form.words)) {
            Some(form) if std::ptr::fn_addr_eq(form.read, query as fn(&mut Reader<'_>) -> Result<Self>) => Ok(Self::Query(text.to_owned())),
            Some(form) => (form.read)(&mut reader),
            None => plan_err!("no statement of HeavyDB starts like this: {}", text.chars().take(40).collect::<String>()),
        }
    }
}

fn query(reader: &mut Reader<'_>) -> Result<Statement> {
    Ok(Statement::Query(reader.rest().to_owned()))
}

fn explain(reader: &mut Reader<'_>) -> Result<Statement> {
    for word in ["CALCITE", "OPTIMIZED", "PLAN", "DETAILED"] {
        reader.words(&[word]);
    }
    Ok(Statement::Explain(reader.rest().to_owned()))
}

fn create_table(reader: &mut Reader<'_>, is_temporary: bool) -> Result<Statement> {
    Ok(Statement::CreateTable(Box::new(TableDefinition::read(reader, is_temporary)?)))
}

fn create_view(reader: &mut Reader<'_>) -> Result<Statement> {
    let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
    let name = reader.name()?;
    reader.expect(&["AS"])?;
    Ok(Statement::CreateView { name, query: reader.query()?, if_not_exists })
}

/// `CREATE` and `DROP` of things that a server has and an engine does not.
fn noted_or_refused(reader: &mut Reader<'_>, verb: &str) -> Result<Statement> {
    const WITHOUT_EFFECT: &[&str] = &["USER", "ROLE", "DATABASE", "POLICY", "MAPPING"];
    let what = reader.name()?.to_uppercase();
    if WITHOUT_EFFECT.contains(&what.as_str()) {
        return Ok(Statement::Noted("users, roles and databases of a server have no meaning here"));
    }
    Err(Refusal::new(format!("{verb} {what}"), "there is no such thing here").into())
}

fn archive(_: &mut Reader<'_>) -> Result<Statement> {
    Err(Refusal::new(
        "DUMP and RESTORE",
        "the archive holds HeavyDB's page files: write COPY (SELECT * FROM t) TO 'file' on the old server",
    )
    .into())
}

fn drop(reader: &mut Reader<'_>, is_view: bool) -> Result<Statement> {
    let if_exists = reader.words(&["IF", "EXISTS"]);
    let names = separated(reader, |reader| Ok(reader.name()?.to_lowercase()))?;
    reader.end()?;
    Ok(Statement::Drop { names, is_view, if_exists })
}

fn rename(reader: &mut Reader<'_>) -> Result<Statement> {
    let pairs = separated(reader, |reader| {
        let old = reader.name()?.to_lowercase();
        reader.expect(&["TO"])?;
        Ok((old, reader.name()?))
    })?;
    reader.end()?;
    Ok(Statement::Rename(pairs))
}

fn separated<T>(reader: &mut Reader<'_>, mut read: impl FnMut(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut found = vec![read(reader)?];
    while reader.takes_sign(',') {
        found.push(read(reader)?);
    }
    Ok(found)
}

fn alter(reader: &mut Reader<'_>) -> Result<Statement> {
    let table = reader.name()?.to_lowercase();
    let change = if reader.words(&["RENAME", "TO"]) {
        Alteration::RenameTable(reader.name()?)
    } else if reader.words(&["RENAME", "COLUMN"]) {
        let old = reader.name()?.to_lowercase();
        reader.expect(&["TO"])?;
        Alteration::RenameColumn(old, reader.name()?)
    } else if reader.words(&["ADD"]) {
        reader.words(&["COLUMN"]);
        let in_parentheses = reader.takes_sign('(');
        let columns = separated(reader, super::definition::read_column)?;
        if in_parentheses {
            reader.sign(')')?;
        }
        Alteration::Add(columns)
    } else if reader.words(&["DROP"]) {
        let columns = separated(reader, |reader| {
            reader.words(&["COLUMN"]);
            Ok(reader.name()?.to_lowercase())
        })?;
        Alteration::Drop(columns)
    } else if reader.words(&["ALTER", "COLUMN"]) || reader.words(&["ALTER"]) {
        Alteration::Type(Box::new(super::definition::read_altered_column(reader)?))
    } else {
        reader.expect(&["SET"])?;
        reader.rest();
        Alteration::Set
    };
    reader.end()?;
    Ok(Statement::Alter { table, change })
}

fn copy(reader: &mut Reader<'_>) -> Result<Statement> {
    let what = if reader.takes_sign('(') {
        reader.back();
        reader.query()?
    } else {
        reader.name()?
    };
    let is_from = reader.words(&["FROM"]);
    if !is_from {
        reader.expect(&["TO"])?;
    }
    let path = reader.value()?;
    let options = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    Ok(Statement::Copy { what, is_from, path, options })
}
