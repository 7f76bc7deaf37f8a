//! Tests of the dialect's parts against results of HeavyDB's own test suite, and of what it documents.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod aggregates;
mod corpus;
mod examples;
mod forms;
mod fuzz;
mod random;
mod rules;
mod statements;
mod windows;
