//! What a caller chooses about an engine, as plain data.

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
