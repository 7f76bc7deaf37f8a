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
}

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

    /// Takes a table or view away; whether there was one of that kind.
    pub(super) fn remove(&self, name: &str, is_view: bool) -> Result<bool> {
        let mut entries = self.entries.write();
        match entries.get(name) {
            None => Ok(false),
            Some(Entry::Table(_)) if is_view => plan_err!("'{name}' is a table: DROP TABLE {name}"),
            Some(Entry::View(_)) if !is_view => plan_err!("'{name}' is a view: DROP VIEW {name}"),
            Some(_) => Ok(entries.remove(name).is_some()),
        }
    }

    /// Gives tables other names, all at once, so that two may swap theirs.
    pub(super) fn rename(&self, pairs: &[(String, String)]) -> Result<()> {
        let mut entries = self.entries.write();
        let mut next = entries.clone();
        let mut moved = Vec::with_capacity(pairs.len());
        for (old, new) in pairs {
            let Some(Entry::Table(table)) = next.remove(old) else { return plan_err!("table '{old}' does not exist") };
            moved.push((new, table));
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
