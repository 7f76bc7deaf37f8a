//! The tables and views that statements of the dialect made, by name in lower case.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use parking_lot::RwLock;

use super::definition::TableDefinition;
use super::table::HeavyTable;

/// Tables and views in memory.
#[derive(Debug, Default)]
pub struct Database {
    entries: RwLock<BTreeMap<String, Entry>>,
    servers: RwLock<BTreeMap<String, Server>>,
}

/// A server of foreign tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The value of the option `source_type` of `COPY FROM` that reads as it does.
    pub source_type: String,
    /// The folder of its files, if one was named.
    pub base_path: Option<String>,
}

/// The servers that are there from the start, and what they read.
const DEFAULT_SERVERS: &[(&str, &str)] = &[
    ("default_local_delimited", "delimited_file"),
    ("default_local_parquet", "parquet_file"),
    ("default_local_regex_parsed", "regex_parsed_file"),
];

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A table.
    Table(Arc<HeavyTable>),
    /// A view.
    View(Arc<View>),
}

/// A view: its query is planned anew wherever it is used.
#[derive(Debug)]
pub struct View {
    /// The name as `CREATE VIEW` spells it.
    pub spelling: String,
    /// The query in HeavyDB's text.
    pub query: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => f.write_str(&table.definition().spelling),
            Self::View(view) => f.write_str(&view.spelling),
        }
    }
}

impl Database {
    /// What a name in lower case stands for.
    pub fn find(&self, name: &str) -> Option<Entry> {
        self.entries.read().get(name).cloned()
    }

    /// The table of a name.
    ///
    /// # Errors
    /// There is none, or it is a view.
    pub fn table(&self, name: &str) -> Result<Arc<HeavyTable>> {
        match self.find(name) {
            Some(Entry::Table(table)) => Ok(table),
            Some(Entry::View(_)) => plan_err!("'{name}' is a view"),
            None => plan_err!("table '{name}' does not exist"),
        }
    }

    /// Every entry in order of the names.
    pub fn entries(&self) -> Vec<(String, Entry)> {
        self.entries.read().iter().map(|(name, entry)| (name.clone(), entry.clone())).collect()
    }

    /// Adds an entry; whether the name was free.
    pub(super) fn add(&self, name: &str, entry: Entry) -> bool {
        let mut entries = self.entries.write();
        if entries.contains_key(name) {
            return false;
        }
        entries.insert(name.to_owned(), entry);
        true
    }

    /// Puts another table in the place of one.
    pub(super) fn put(&self, table: HeavyTable) {
        self.entries.write().insert(table.definition().name.clone(), Entry::Table(Arc::new(table)));
    }

    /// Puts another entry in the place of one.
    pub(super) fn replace(&self, name: &str, entry: Entry) {
        self.entries.write().insert(name.to_owned(), entry);
    }

    /// Takes tables or views away, all or none.
    pub(super) fn remove(&self, names: &[String], is_view: bool, if_exists: bool) -> Result<()> {
        let mut entries = self.entries.write();
        for name in names {
            match entries.get(name) {
                None if if_exists => {}
                None => return plan_err!("{} '{name}' does not exist", if is_view { "view" } else { "table" }),
                Some(Entry::Table(_)) if is_view => return plan_err!("'{name}' is a table: DROP TABLE {name}"),
                Some(Entry::View(_)) if !is_view => return plan_err!("'{name}' is a view: DROP VIEW {name}"),
                Some(_) => {}
            }
        }
        entries.retain(|name, _| !names.contains(name));
        Ok(())
    }

    /// The server of a name in lower case.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn server(&self, name: &str) -> Result<Server> {
        if let Some((_, source_type)) = DEFAULT_SERVERS.iter().find(|(known, _)| *known == name) {
            return Ok(Server { source_type: (*source_type).to_owned(), base_path: None });
        }
        match self.servers.read().get(name) {
            Some(server) => Ok(server.clone()),
            None => plan_err!("server '{name}' does not exist"),
        }
    }

    /// Adds a server.
    pub(super) fn add_server(&self, name: &str, server: Server, if_not_exists: bool) -> Result<()> {
        if ["default", "system", "internal"].iter().any(|prefix| name.starts_with(prefix)) {
            return plan_err!("names of servers do not start with default, system or internal");
        }
        let mut servers = self.servers.write();
        if servers.contains_key(name) {
            return if if_not_exists { Ok(()) } else { plan_err!("server '{name}' already exists") };
        }
        servers.insert(name.to_owned(), server);
        Ok(())
    }

    /// Takes a server away.
    pub(super) fn remove_server(&self, name: &str, if_exists: bool) -> Result<()> {
        if self.servers.write().remove(name).is_none() && !if_exists {
            return plan_err!("server '{name}' does not exist");
        }
        Ok(())
    }

    /// Gives tables other names, all at once, so that two may swap theirs.
    pub(super) fn rename(&self, pairs: &[(String, String)]) -> Result<()> {
        let mut entries = self.entries.write();
        let mut next = entries.clone();
        let mut moved = Vec::with_capacity(pairs.len());
        for (old, new) in pairs {
            match next.remove(old) {
                Some(Entry::Table(table)) => moved.push((new, table)),
                Some(Entry::View(_)) => return plan_err!("'{old}' is a view"),
                None => return plan_err!("table '{old}' does not exist"),
            }
        }
        for (new, table) in moved {
            let name = new.to_lowercase();
            let definition = TableDefinition { name: name.clone(), spelling: new.clone(), ..table.definition().clone() };
            if next.insert(name, Entry::Table(Arc::new(table.renamed(definition)))).is_some() {
                return plan_err!("'{new}' exists already");
            }
        }
        *entries = next;
        Ok(())
    }
}
