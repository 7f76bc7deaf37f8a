//! HeavyDB's SQL dialect for Apache DataFusion, and the proof that the answers are the same.
//!
//! One rule stands above all others: a number is either HeavyDB's number or it is not given. What is not surely right is *refused* with a
//! reason.
//!
//! | part | what |
//! |---|---|
//! | [`dialect`] | HeavyDB's text becomes SQL that DataFusion plans |
//! | [`planner`] | operators, comparisons and casts with HeavyDB's types; the session of the dialect |
//! | [`tables`] | `CREATE TABLE`, `INSERT` and other statements of HeavyDB; tables in memory |
//! | [`functions`] | every function of the dialect, one entry each, from which registration, docs and tests derive |
//! | [`replay`] | the statements of logs, expected results, the comparison, the report |
//! | [`types`] | HeavyDB's types in Arrow, its date and time literals, its casts |

pub mod dialect;
pub mod functions;
mod options;
pub mod planner;
mod refusal;
pub mod replay;
pub mod tables;
pub mod types;

pub use options::{Options, SETTINGS, Setting};
pub use refusal::Refusal;
