//! One binary for all tests of the tiers as a store.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod contract;
mod damage;
mod faults;
mod faulty;
mod figures;
mod freshness;
mod limits;
mod processes;
mod ranges;
mod secrets;
mod sharing;
mod support;
