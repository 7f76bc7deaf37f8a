//! Tests of the real program and of the engine as its users see them; one binary, a module per subject.

mod architecture;
mod cli;
mod copy;
mod correlation;
mod database;
mod decoded_tier;
mod definitions;
#[cfg(unix)]
mod faults;
mod gpu;
mod import_again;
mod locations;
mod object_store;
mod program;
mod remote_database;
mod remote_faults;
mod repl;
mod replay;
mod retention;
mod retention_turns;
mod run_aggregate;
mod scripts;
mod server;
mod slt;
mod strategy_tables;
mod support;
mod tier_moves;
mod wide_correlation;
