//! HeavyDB's dialect in an engine: its session, and the replay of its queries.
//!
//! The dialect itself (text, functions, types, tables, logs, comparison) is the crate `datafusion-heavydb`, which knows no engine.

mod replay;

pub use replay::{ReplayOptions, Replayed, replay};
