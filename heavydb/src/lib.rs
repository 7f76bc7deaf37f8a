//! HeavyDB's SQL dialect for Apache DataFusion, and the proof that the answers are the same.
//!
//! One rule stands above all others: a number is either HeavyDB's number or it is not given. What is not surely right is *refused* with a
//! reason.
//!
//! | part | what |
//! |---|---|
//! | [`functions`] | every function of the dialect, one entry each, from which registration, docs and tests derive |
//! | [`types`] | HeavyDB's types in Arrow, its date and time literals, its casts |

pub mod functions;
pub mod types;
