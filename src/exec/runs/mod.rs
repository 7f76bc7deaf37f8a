//! Metrics of every strategy at the speed of decoding, without hashing or sorting a row.
//!
//! The files of a strategy table are sorted by strategy and time, so that each holds *runs*: the rows of one strategy, in time order.
//! [`RunAggregate`] puts `RunAggregateExec` in the place of DataFusion's aggregation over such a table:
//!
//! ```text
//! before:  AggregateExec: mode=FinalPartitioned, gby=[strategy], aggr=[max_drawdown_pnl(pnl) ORDER BY [date]]
//!            AggregateExec: mode=Partial, gby=[strategy], aggr=[max_drawdown_pnl(pnl) ORDER BY [date]]
//!              FilterExec: zone = 'A'
//!                DataSourceExec: file_groups={4 groups: [[year=2021/..], ..]}, projection=[date, zone, strategy, pnl]
//!
//! after:   RunAggregateExec: gby=[strategy], aggr=[max_drawdown_pnl(pnl) ORDER BY [date]]
//!            RunScanExec: files=4, rows=25000000, columns=[pnl, zone], periods: zone = 'A'
//! ```
//!
//! 1. `rule` recognises the plan and writes its expressions over the table's columns (`query`); it declines what it cannot keep exact.
//! 2. When the plan runs, files that the predicates exclude are dropped by their statistics. `file` finds the runs of the others: where a
//!    *dense* file says that every strategy has every period, from the names in its dictionaries, as many as the rows allow (`dictionary`);
//!    elsewhere from the strategy column. The runs are cached for the next query (`cache`).
//! 3. `pattern`: in a dense file everything that depends on the period alone (predicates on date or context, group keys) is evaluated
//!    once, over the periods of one strategy.
//! 4. `units` cuts the strategies into ranges. A unit reads its rows of one file after another in time order, so that each strategy's rows
//!    arrive in order in one accumulator. The cut depends on the data alone, never on the number of threads.
//! 5. `fold` feeds the decoded rows of a unit to the accumulators, as `groups` numbers them; `merge` puts units together where groups span strategies.

mod aggregate_exec;
mod cache;
mod dictionary;
mod file;
mod fold;
mod groups;
mod kept_rows;
mod keys;
mod merge;
mod metrics;
mod overlap;
mod pattern;
mod preparation;
mod query;
mod rows;
mod rule;
mod scan_exec;
mod units;

pub(in crate::exec) use aggregate_exec::RunAggregateExec;
pub use cache::RunCache;
pub(in crate::exec) use file::RunFile;
pub(in crate::exec) use overlap::overlapping;
pub(in crate::exec) use preparation::{hold_other_strategies, rows_of_strategies};
pub(in crate::exec) use rows::RowReader;
pub use rule::RunAggregate;
