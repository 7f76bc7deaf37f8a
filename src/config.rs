//! What a caller chooses about an engine, as plain data, and what a session may change by `SET`.

use datafusion::common::config::ConfigExtension;
use datafusion::common::extensions_options;

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

extensions_options! {
    /// Settings of a session: `SET tranchedb.run_aggregate = false`.
    pub struct SqlOptions {
        /// Whether aggregations over strategy tables read them run by run. The answers are the same without it.
        pub run_aggregate: bool, default = true
    }
}

impl ConfigExtension for SqlOptions {
    const PREFIX: &'static str = "tranchedb";
}
