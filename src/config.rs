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
    /// Whether many correlations of columns are computed in one pass. The answers are the same within rounding without it.
    pub wide_correlation: bool,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self { run_aggregate: true, wide_correlation: true }
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
        let flag = || value.to_lowercase().parse().map_err(|_| config_datafusion_err!("tranchedb.{key} is true or false, not '{value}'"));
        match key {
            "run_aggregate" => self.run_aggregate = flag()?,
            "wide_correlation" => self.wide_correlation = flag()?,
            _ => {
                return config_err!("there is no setting tranchedb.{key}: there are tranchedb.run_aggregate, tranchedb.wide_correlation");
            }
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let entry = |name: &str, value: bool, description| ConfigEntry {
            key: format!("tranchedb.{name}"),
            value: Some(value.to_string()),
            description,
        };
        vec![
            entry("run_aggregate", self.run_aggregate, "Whether aggregations over strategy tables read them run by run."),
            entry("wide_correlation", self.wide_correlation, "Whether many correlations of columns are computed in one pass."),
        ]
    }
}
