//! HeavyDB's dialect in an engine: its settings and tables in a session, the replay of its queries, the check of its scripts.
//!
//! The dialect itself (text, functions, types, tables, logs, comparison) is the crate `datafusion-heavydb`, which knows no engine.
//!
//! | part | what |
//! |---|---|
//! | `settings` | `SET heavydb.x = ...` |
//! | `kept` | the session of the dialect from statement to statement |
//! | `overlay` | tables of the dialect, seen by statements of the engine's own |
//! | `place`, `words` | where in a statement's text the trouble is, and what it is in HeavyDB's words |
//! | `replay`, `judge`, `notes` | statements in order, a query's rows compared, what is worth knowing about the whole |
//! | `explain` | one query in full |
//! | `capture` | statements that write HeavyDB's results |
//! | `records` | the replays that a database keeps |
//! | `check` | what a script would meet, without running it |
//! | `table_functions` | logs and the dialect's functions as tables |

mod capture;
mod check;
mod explain;
mod judge;
mod kept;
mod notes;
mod overlay;
mod place;
mod records;
mod replay;
mod settings;
mod table_functions;
mod words;

pub use capture::{Captured, capture};
pub use check::{Finding, FindingKind, check};
pub use explain::{Explained, explain};
pub use kept::KeptSession;
pub use overlay::{WithHeavyTables, refuse_heavy_target};
pub use place::{message_of, place_of};
pub use records::{keep_replay, kept_replays};
pub use replay::{ReplayOptions, Replayed, replay};
pub use settings::HeavySettings;
pub use table_functions::{TABLE_FUNCTIONS, TableFunction, register_table_functions};
