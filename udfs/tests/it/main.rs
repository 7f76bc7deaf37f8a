//! Tests of the functions through SQL and through DataFusion's accumulator interfaces.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod algebra;
mod bad_input;
mod bootstrap;
mod dates;
mod degenerate;
mod details;
mod errors;
mod examples;
mod fuzz;
mod golden;
mod groups;
mod indicator_algebra;
mod indicator_errors;
mod indicator_stream;
mod indicators;
mod json;
mod legacy;
mod pairs;
mod registry;
mod scalars;
mod series;
mod session;
mod single_stage;
mod stream_time_order;
mod time_order;
mod windows;
mod worked;
