//! Many correlations of columns in one pass: `SELECT corr(c1, c2), corr(c1, c3), ... FROM wide_table`.
//!
//! ```text
//! before:  AggregateExec: mode=Final, gby=[], aggr=[corr(t.c1,t.c2), corr(t.c1,t.c3), ..]
//!            CoalescePartitionsExec
//!              AggregateExec: mode=Partial, gby=[], aggr=[corr(t.c1,t.c2), corr(t.c1,t.c3), ..]
//!                FilterExec: date >= 2024-01-01
//!                  RepartitionExec: RoundRobinBatch(2)
//!                    WidePivotExec: strategies=501
//!
//! after:   WideCorrelationExec: terms=500, columns=501
//!            FilterExec: date >= 2024-01-01
//!              WidePivotExec: strategies=501
//! ```
//!
//! 1. `rule` recognises the aggregation; `ordered` gives its input one partition, whose rows come in the same order on any number of threads.
//! 2. `exec` cuts the rows into blocks whose size depends on the number of columns alone, so that the arithmetic is the same whatever the
//!    batches of the input are; a few numbers are kept per pair of columns, never the rows.
//! 3. `block` centres each column of a block once, for all pairs that it is part of.
//! 4. `co_moments` takes the product of two centred columns, or of their common rows where one has NULLs, and merges blocks.
//!
//! The other aggregates of the same `SELECT` (`count(*)`, `avg(c1)`) run beside, each with its own accumulator.

mod block;
mod co_moments;
mod exec;
mod ordered;
mod query;
mod rule;

pub use rule::WideCorrelation;
