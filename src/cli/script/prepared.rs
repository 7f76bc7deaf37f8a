//! A script that is ready to run: read, parsed as a whole, parameters bound.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::PathBuf;

use super::builtin;
use super::header::Header;
use super::tables::TableNames;
use crate::catalog::Lexer;
use crate::catalog::{Command, Statement};
use crate::cli::failure::{Failure, Result};
use crate::cli::session::{SourceText, located};
use crate::config::SqlDialect;
use crate::engine::{Engine, Parameters};
use crate::error::Position;

/// Where a script's text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScriptSource {
    /// Typed after `-c`.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// Standard input that was read.
    Input(String),
    /// After `run`: a file, or else a built-in script.
    Named(String),
}

/// A script that can run.
pub(crate) struct Prepared {
    /// Name for titles and the summary.
    pub(crate) name: String,
    /// Its text, for messages.
    pub(crate) source: SourceText,
    /// What it declares.
    pub(crate) header: Header,
    /// Its statements, tables replaced.
    pub(crate) statements: Vec<Statement>,
    /// Values for its `$names`.
    pub(crate) parameters: Parameters,
    /// Table parameters that were given another table, and that table as it was typed.
    pub(crate) replaced_tables: BTreeMap<String, String>,
}

impl ScriptSource {
    /// Reads the text.
    ///
    /// # Errors
    /// The file is missing, a directory, no UTF-8, or there is no built-in script of that name.
    fn load(&self) -> Result<(String, SourceText)> {
        let source =
            |origin: Option<&str>, text: String| SourceText { origin: origin.map(str::to_owned), text: text.into(), lines_before: 0 };
        match self {
            ScriptSource::Text(text) => Ok(("-c".to_owned(), source(None, text.clone()))),
            ScriptSource::Stdin => ScriptSource::Input(read_input()?).load(),
            ScriptSource::Input(text) => Ok(("stdin".to_owned(), source(Some("stdin"), text.clone()))),
            ScriptSource::File(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path).map_err(|error| unreadable(&name, &error))?;
                Ok((name.clone(), source(Some(&name), text)))
            }
            ScriptSource::Named(name) => {
                let path = PathBuf::from(name);
                if path.exists() || name.ends_with(".sql") {
                    return ScriptSource::File(path).load();
                }
                let script = builtin::find(name)?;
                Ok((script.name.to_owned(), source(Some(script.name), script.text.to_owned())))
            }
        }
    }
}

/// The whole of the standard input.
///
/// # Errors
/// It is no UTF-8, or cannot be read.
pub(crate) fn read_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).map_err(|error| unreadable("standard input", &error))?;
    Ok(text)
}

fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    let reason = match error.kind() {
        std::io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory, not a file".to_owned(),
        _ => error.to_string(),
    };
    Failure::usage(format!("cannot read {name}: {reason}"))
}

/// Reads, parses and binds scripts. A script that cannot be parsed is a failure of its own; wrong names after `-p` concern all of them.
///
/// # Errors
/// A script cannot be read, or a parameter is unknown to every script, or one has no value.
pub(crate) fn prepare(sources: &[ScriptSource], bindings: &[(String, String)], engine: &Engine) -> Result<Vec<Result<Prepared>>> {
    let loaded = sources.iter().map(ScriptSource::load).collect::<Result<Vec<_>>>()?;
    let lexer = Lexer::of(engine.context());
    let texts: Vec<(Header, BTreeSet<String>)> =
        loaded.iter().map(|(_, source)| (Header::parse(&source.text), lexer.placeholders(&source.text))).collect();
    refuse_unknown(&texts, bindings)?;
    let mut dialect = engine.dialect();
    loaded
        .into_iter()
        .zip(texts)
        .map(|((name, source), (header, used))| {
            let statements = match parse(engine, &source, &mut dialect) {
                Ok(statements) => statements,
                Err(failure) => return Ok(Err(failure)),
            };
            let prepared = Prepared { name, source, header, statements, parameters: Parameters::new(), replaced_tables: BTreeMap::new() };
            prepared.bind(bindings, &used).map(Ok)
        })
        .collect()
}

/// One script for the prompt; values already bound there serve it too.
///
/// # Errors
/// As [`prepare`], and a script that cannot be parsed.
pub(crate) fn prepare_one(source: &ScriptSource, engine: &Engine, bound: &Parameters) -> Result<Prepared> {
    let (name, source) = source.load()?;
    let statements = parse(engine, &source, &mut engine.dialect())?;
    let header = Header::parse(&source.text);
    let prepared = Prepared { name, source, header, statements, parameters: bound.clone(), replaced_tables: BTreeMap::new() };
    prepared.bind(&[], &BTreeSet::new())
}

fn parse(engine: &Engine, source: &SourceText, dialect: &mut SqlDialect) -> Result<Vec<Statement>> {
    engine.parse_next(&source.text, dialect).map_err(|error| located(error, source, Position { line: 1, column: 1 }))
}

fn is_bound(parameters: &Parameters, name: &str) -> bool {
    parameters.iter().any(|(bound, _)| bound == name)
}

/// A parameter that no script knows is a mistake in the command.
fn refuse_unknown(texts: &[(Header, BTreeSet<String>)], bindings: &[(String, String)]) -> Result<()> {
    let known: BTreeSet<&str> = texts.iter().flat_map(|(header, used)| header.names().chain(used.iter().map(String::as_str))).collect();
    let Some((unknown, _)) = bindings.iter().find(|(name, _)| !known.contains(name.as_str())) else { return Ok(()) };
    let names: Vec<&str> = known.into_iter().collect();
    let hint = if names.is_empty() { "it has none".to_owned() } else { format!("there are: {}", names.join(", ")) };
    Err(Failure::usage(format!("-p {unknown}=...: no script has a parameter of that name\nhint: {hint}")))
}

impl Prepared {
    fn bind(mut self, bindings: &[(String, String)], used: &BTreeSet<String>) -> Result<Self> {
        for item in &self.header.parameters {
            if let Some(default) = &item.default
                && !is_bound(&self.parameters, &item.name)
            {
                self.parameters.set(&item.name, Parameters::parse_value(default));
            }
        }
        let mut tables = TableNames::default();
        for (name, value) in bindings {
            if self.header.tables.iter().any(|table| table.name == *name) {
                tables.replace(name, value);
                self.replaced_tables.insert(name.clone(), value.clone());
            } else {
                self.parameters.set(name, Parameters::parse_value(value));
            }
        }
        if let Some(missing) = used.iter().find(|name| !is_bound(&self.parameters, name)) {
            return Err(Failure::usage(format!("{}: ${missing} has no value\nhint: give it with -p {missing}=VALUE", self.name)));
        }
        self.replace_tables(&tables)?;
        Ok(self)
    }

    fn replace_tables(&mut self, tables: &TableNames) -> Result<()> {
        if tables.is_empty() {
            return Ok(());
        }
        for statement in &mut self.statements {
            if let Command::Sql(sql) = &mut statement.command {
                tables.apply(sql.as_mut())?;
                // Statements that keep their own text (views) must keep what was run.
                statement.text = sql.to_string();
            }
            if let Command::Upsert { parts } = &mut statement.command {
                parts.iter_mut().try_for_each(|(_, query)| tables.apply(query.as_mut()))?;
            }
        }
        Ok(())
    }
}
