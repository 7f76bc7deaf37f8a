//! What a statement of HeavyDB is, told by its first words.

use datafusion::common::{Result, plan_err};

use super::database::Server;
use super::definition::{TableDefinition, read_options};
use super::foreign;
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
        /// Whether a view of that name gives way.
        or_replace: bool,
    },
    /// `CREATE FOREIGN TABLE`, `CREATE DATAFRAME`.
    CreateForeign {
        /// Its columns and files.
        definition: Box<TableDefinition>,
        /// The server, in lower case; none for a dataframe.
        server: Option<String>,
    },
    /// `CREATE SERVER`.
    CreateServer {
        /// The name in lower case.
        name: String,
        /// What it reads.
        server: Server,
        /// Whether a server of that name is left as it is.
        if_not_exists: bool,
    },
    /// `DROP SERVER`.
    DropServer {
        /// The name in lower case.
        name: String,
        /// Whether a name that is not there is passed over.
        if_exists: bool,
    },
    /// `REFRESH FOREIGN TABLES`: names in lower case.
    Refresh(Vec<String>),
    /// `COMMENT ON TABLE t IS ...`, `COMMENT ON COLUMN t.c IS ...`; names in lower case.
    Comment {
        /// The table.
        table: String,
        /// The column.
        column: Option<String>,
        /// What is said; nothing to forget it.
        text: Option<String>,
    },
    /// `OPTIMIZE TABLE t`.
    Optimize(String),
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
    /// Options.
    Set(Vec<(String, String)>),
}

/// A statement that starts with some words.
struct Form {
    words: &'static [&'static str],
    read: Reading,
}

/// How a statement is read.
enum Reading {
    /// It is a query from its first word on.
    Whole,
    /// What comes after the words of the form.
    After(fn(&mut Reader<'_>) -> Result<Statement>),
}

use Reading::{After, Whole};

/// Every form, longer ones before their beginnings.
const FORMS: &[Form] = &[
    Form { words: &["SELECT"], read: Whole },
    Form { words: &["WITH"], read: Whole },
    Form { words: &["VALUES"], read: Whole },
    Form { words: &["EXPLAIN"], read: After(explain) },
    Form { words: &["CREATE", "TEMPORARY", "TABLE"], read: After(|reader| create_table(reader, true)) },
    Form { words: &["CREATE", "TABLE"], read: After(|reader| create_table(reader, false)) },
    Form { words: &["CREATE", "FOREIGN", "TABLE"], read: After(foreign::create_foreign) },
    Form { words: &["CREATE", "DATAFRAME"], read: After(foreign::create_dataframe) },
    Form { words: &["CREATE", "SERVER"], read: After(foreign::create_server) },
    Form { words: &["CREATE", "VIEW"], read: After(|reader| create_view(reader, false)) },
    Form { words: &["CREATE", "OR", "REPLACE", "VIEW"], read: After(|reader| create_view(reader, true)) },
    Form { words: &["CREATE", "INDEX"], read: After(|_| Err(Refusal::new("CREATE INDEX", "HeavyDB has no indexes").into())) },
    Form { words: &["CREATE", "MODEL"], read: After(model) },
    Form { words: &["CREATE", "OR", "REPLACE", "MODEL"], read: After(model) },
    Form { words: &["CREATE"], read: After(|reader| noted_or_refused(reader, "CREATE")) },
    Form { words: &["INSERT"], read: After(|_| Ok(Statement::Insert)) },
    Form { words: &["UPDATE"], read: After(|_| Ok(Statement::Change)) },
    Form { words: &["DELETE"], read: After(|_| Ok(Statement::Change)) },
    Form { words: &["DROP", "TABLE"], read: After(|reader| drop_tables(reader, false)) },
    Form { words: &["DROP", "FOREIGN", "TABLE"], read: After(|reader| drop_tables(reader, false)) },
    Form { words: &["DROP", "VIEW"], read: After(|reader| drop_tables(reader, true)) },
    Form { words: &["DROP", "SERVER"], read: After(foreign::drop_server) },
    Form { words: &["DROP", "MODEL"], read: After(model) },
    Form { words: &["DROP"], read: After(|reader| noted_or_refused(reader, "DROP")) },
    Form { words: &["TRUNCATE", "TABLE"], read: After(|reader| only_name(reader).map(Statement::Truncate)) },
    Form { words: &["RENAME", "TABLE"], read: After(rename) },
    Form { words: &["ALTER", "TABLE"], read: After(alter) },
    Form { words: &["ALTER", "FOREIGN", "TABLE"], read: After(alter_foreign) },
    Form { words: &["ALTER", "SERVER"], read: After(alter_foreign) },
    Form { words: &["ALTER"], read: After(|reader| noted(reader, "ALTER of a server's settings, users and sessions has no effect here")) },
    Form { words: &["COPY"], read: After(copy) },
    Form { words: &["SHOW"], read: After(|reader| Ok(Statement::Show(Show::read(reader)?))) },
    Form { words: &["OPTIMIZE", "TABLE"], read: After(optimize) },
    Form { words: &["VALIDATE"], read: After(|reader| noted(reader, "tables in memory need no VALIDATE")) },
    Form { words: &["REFRESH", "FOREIGN", "TABLES"], read: After(foreign::refresh) },
    Form { words: &["COMMENT", "ON"], read: After(comment) },
    Form { words: &["DUMP"], read: After(archive) },
    Form { words: &["RESTORE"], read: After(archive) },
    Form { words: &["EVALUATE", "MODEL"], read: After(model) },
    Form { words: &["GRANT"], read: After(|reader| noted(reader, "there are no users and roles here")) },
    Form { words: &["REVOKE"], read: After(|reader| noted(reader, "there are no users and roles here")) },
    Form { words: &["REASSIGN"], read: After(|reader| noted(reader, "there are no users and roles here")) },
    Form { words: &["KILL"], read: After(|reader| noted(reader, "there is no other query to kill")) },
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
            return Ok(Self::Query(reader.rest().to_owned()));
        }
        match FORMS.iter().find(|form| reader.words(form.words)).map(|form| &form.read) {
            Some(Whole) => Ok(Self::Query(text.to_owned())),
            Some(After(read)) => read(&mut reader),
            None => plan_err!("no statement of HeavyDB starts like this: {}", text.chars().take(40).collect::<String>()),
        }
    }
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

fn create_view(reader: &mut Reader<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = reader.words(&["IF", "NOT", "EXISTS"]);
    let name = reader.name()?;
    if reader.takes_sign('(') {
        return Err(Refusal::new("a list of columns of a view", "HeavyDB has none: name them in the query with AS").into());
    }
    reader.expect(&["AS"])?;
    let query = reader.query()?;
    reader.end()?;
    Ok(Statement::CreateView { name, query: query.trim_end_matches([';', ' ', '\n', '\t', '\r']).to_owned(), if_not_exists, or_replace })
}

/// `CREATE` and `DROP` of things that a server has and an engine does not.
fn noted_or_refused(reader: &mut Reader<'_>, verb: &str) -> Result<Statement> {
    const WITHOUT_EFFECT: &[&str] = &["USER", "ROLE", "DATABASE", "POLICY", "MAPPING"];
    let what = reader.name()?.to_uppercase();
    if WITHOUT_EFFECT.contains(&what.as_str()) {
        return noted(reader, "users, roles and databases of a server have no meaning here");
    }
    Err(Refusal::new(format!("{verb} {what}"), "there is no such thing here").into())
}

fn noted(reader: &mut Reader<'_>, note: &'static str) -> Result<Statement> {
    reader.rest();
    Ok(Statement::Noted(note))
}

fn model(_: &mut Reader<'_>) -> Result<Statement> {
    Err(Refusal::new("MODEL", "machine learning is out of scope").into())
}

fn alter_foreign(_: &mut Reader<'_>) -> Result<Statement> {
    Err(Refusal::new("ALTER of a foreign table or server", "drop it and create it anew").into())
}

fn only_name(reader: &mut Reader<'_>) -> Result<String> {
    let name = reader.name()?.to_lowercase();
    reader.end()?;
    Ok(name)
}

fn optimize(reader: &mut Reader<'_>) -> Result<Statement> {
    let name = reader.name()?.to_lowercase();
    let options = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    match options.iter().find(|(option, _)| option != "vacuum") {
        None => Ok(Statement::Optimize(name)),
        Some((option, _)) => plan_err!("invalid option '{option}' of OPTIMIZE TABLE: there is vacuum"),
    }
}

fn comment(reader: &mut Reader<'_>) -> Result<Statement> {
    let is_column = !reader.words(&["TABLE"]);
    if is_column {
        reader.expect(&["COLUMN"])?;
    }
    let table = reader.name()?.to_lowercase();
    let column = if is_column {
        reader.sign('.')?;
        Some(reader.name()?.to_lowercase())
    } else {
        None
    };
    reader.expect(&["IS"])?;
    let text = if reader.words(&["NULL"]) { None } else { Some(reader.value()?) };
    reader.end()?;
    Ok(Statement::Comment { table, column, text })
}

fn archive(_: &mut Reader<'_>) -> Result<Statement> {
    Err(Refusal::new(
        "DUMP and RESTORE",
        "the archive holds HeavyDB's page files: write COPY (SELECT * FROM t) TO 'file' on the old server",
    )
    .into())
}

fn drop_tables(reader: &mut Reader<'_>, is_view: bool) -> Result<Statement> {
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

pub(super) fn separated<T>(reader: &mut Reader<'_>, mut read: impl FnMut(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
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
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = columns.iter().find(|column| !names.insert(column.name().as_str())) {
            return plan_err!("column '{}' comes twice", twice.name());
        }
        if in_parentheses {
            reader.sign(')')?;
        }
        Alteration::Add(columns)
    } else if reader.words(&["DROP"]) {
        let columns = separated(reader, |reader| {
            // The words may stand again before each column.
            let _ = reader.words(&["DROP", "COLUMN"]) || reader.words(&["COLUMN"]);
            Ok(reader.name()?.to_lowercase())
        })?;
        Alteration::Drop(columns)
    } else if reader.words(&["ALTER", "COLUMN"]) || reader.words(&["ALTER"]) {
        Alteration::Type(Box::new(super::definition::read_altered_column(reader)?))
    } else {
        reader.expect(&["SET"])?;
        Alteration::Set(separated(reader, |reader| {
            let name = reader.name()?.to_lowercase();
            reader.sign('=')?;
            Ok((name, reader.value()?))
        })?)
    };
    reader.end()?;
    Ok(Statement::Alter { table, change })
}

fn copy(reader: &mut Reader<'_>) -> Result<Statement> {
    let is_query = reader.takes_sign('(');
    let what = if is_query {
        reader.back();
        reader.query()?
    } else {
        reader.name()?
    };
    let is_from = !is_query && reader.words(&["FROM"]);
    if !is_from {
        reader.expect(&["TO"])?;
    }
    let what = if is_query || is_from { what } else { format!("SELECT * FROM \"{}\"", what.replace('"', "\"\"")) };
    let path = reader.value()?;
    let options = if reader.words(&["WITH"]) { read_options(reader)? } else { vec![] };
    reader.end()?;
    Ok(Statement::Copy { what, is_from, path, options })
}
