//! Tests of the real program and of the engine as its users see them; one binary, a module per subject.

mod architecture;
mod cli;
mod database;
mod program;
mod scripts;
mod strategy_tables;
mod support;
