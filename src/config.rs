//! What a caller chooses about an engine, as plain data, and what a session may change by `SET`.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{Result, config_datafusion_err, config_err};

/// Settings of an [`Engine`](crate::Engine). `Default` is an in-memory database on all cores without a memory limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineConfig {
    /// Directory or object-store URL of the database; `None` keeps it in memory for the life of the engine.
    pub location: Option<String>,
    /// Threads that queries use; `None` takes one per core.
    pub threads: Option<usize>,
    /// Bytes that queries and imports may hold before they spill or fail; `None` sets no limit.
    pub memory_limit_bytes: Option<usize>,
}

/// Settings of a session: `SET tranchedb.run_aggregate = false`, `SHOW tranchedb.run_aggregate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlOptions {
    /// Whether aggregations over strategy tables read them run by run. The answers are the same without it.
    pub run_aggregate: bool,
    /// Whether a join of strategy tables that is aggregated to correlations becomes the correlation operator.
    pub correlation_join: bool,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self { run_aggregate: true, correlation_join: true }
    }
}

impl ConfigExtension for SqlOptions {
    const PREFIX: &'static str = "tranchedb";
}

impl ExtensionOptions for SqlOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            let names: Vec<String> = SETTINGS.iter().map(|setting| format!("tranchedb.{}", setting.name)).collect();
            return config_err!("there is no setting tranchedb.{key}: there are {}", names.join(", "));
        };
        (setting.set)(self, value).map_err(|values| config_datafusion_err!("tranchedb.{key} is {values}, not '{value}'"))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |setting: &'static Setting| ConfigEntry {
            key: format!("tranchedb.{}", setting.name),
            value: Some((setting.get)(self)),
            description: setting.description,
        };
        SETTINGS.iter().map(entry).collect()
    }
}

/// One setting of [`SqlOptions`].
struct Setting {
    /// Its name after `tranchedb.`.
    name: &'static str,
    description: &'static str,
    get: fn(&SqlOptions) -> String,
    /// Sets it, or tells the values that it may have.
    set: fn(&mut SqlOptions, &str) -> Result<(), &'static str>,
}

/// Every setting of a session.
const SETTINGS: &[Setting] = &[
    Setting {
        name: "run_aggregate",
        description: "Whether aggregations over strategy tables read them run by run.",
        get: |options| options.run_aggregate.to_string(),
        set: |options, value| flag(value).map(|flag| options.run_aggregate = flag),
    },
    Setting {
        name: "correlation_join",
        description: "Whether a join of strategy tables that is aggregated to correlations becomes the correlation operator.",
        get: |options| options.correlation_join.to_string(),
        set: |options, value| flag(value).map(|flag| options.correlation_join = flag),
    },
];

fn flag(value: &str) -> Result<bool, &'static str> {
    value.to_lowercase().parse().map_err(|_| "true or false")
}
