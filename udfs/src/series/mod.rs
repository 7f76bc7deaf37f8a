//! Work on whole series without moving their rows between threads.
//!
//! Files are mostly written series by series, whether they say so or not. A *run* is a stretch of rows of one batch with equal keys, a
//! *series* is all the runs of one key. [`SeriesExec`] holds the batches as they come, finds the key of each run instead of each row, and
//! works on one series after the other once all rows are there. In its place DataFusion hashes every row, deals the rows to threads, and
//! finds the group of each again or sorts them all.
//!
//! ```text
//! AggregateExec: mode=SinglePartitioned, gby=[g], aggr=[f(x)]     SeriesExec: by=[g], aggr=[f(x)]
//!   RepartitionExec: partitioning=Hash([g], 2)                ->    DataSourceExec
//!     DataSourceExec
//!
//! SortExec: expr=[p, t], preserve_partitioning=[true]             SeriesExec: by=[p], order=[t]
//!   RepartitionExec: partitioning=Hash([p], 2)                ->    DataSourceExec
//!     DataSourceExec
//! ```
//!
//! Whether this pays shows only while the rows come. Where runs turn out to be short, or memory ends, the operator declines: it hands
//! the batches so far and the rest of the input to the plan in whose place it stands, which can spill. Columns of keys are held once for
//! each run. Series get to the partitions that hashing their rows would send them to, so that partitioning and order are those of that
//! plan. What is left out: input without end, and plans on one thread, which move no rows anyway.

mod aggregation;
mod exec;
mod gather;
mod gathered;
mod handover;
mod layout;
mod ordering;
mod outcome;

pub use exec::SeriesExec;
