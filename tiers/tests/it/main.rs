//! One binary for all tests of the tiers as a store.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod contract;
#[expect(dead_code, reason = "used by tests that follow")]
mod support;
