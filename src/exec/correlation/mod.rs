//! Correlation matrices: every pair of thousands of series, as fast as a matrix product.
//!
//! A correlation of two series is the dot product of two unit vectors. So the series of a relation are collected once, centred and scaled,
//! and the matrix is computed tile by tile; each tile is filtered where it is computed, and dropped. A hundred thousand strategies have five
//! billion pairs, which would be 80 GB; the operator holds the series and a few tiles.
//!
//! ```text
//! SELECT * FROM correlation_pairs(strategies, min_abs => 0.8)
//!
//! CorrelationExec: measure=pearson, where: abs(correlation) >= 0.8
//!   RunAggregateExec: gby=[strategy], aggr=[series(pnl, date)]
//!     RunScanExec: files=4, rows=25000000, columns=[pnl, date]
//! ```
//!
//! 1. `functions` plans the table functions, `self_join` recognises the join that people write instead. Both make a `node` over an
//!    aggregation of the relation, whose aggregate (`collect`) puts the rows of each strategy together: over a strategy table run by run,
//!    elsewhere by hashing.
//! 2. `conditions` takes filters on the result in; `strongest_rule` tells how many of the strongest pairs are wanted.
//! 3. When the plan runs, `gathered` keeps each series over numbered periods (`periods`), in memory or in a scratch file (`store`); `panel` puts them in
//!    the order of names and of time.
//! 4. `frame` prepares the complete series (`standard`, `measure`) as blocks. A series that lacks periods (`bits`) is paired over the periods
//!    that both have.
//! 5. `search` computes the tiles (`tile`) on all threads in a fixed order, `select` keeps what is wanted, `output` writes it. Where there is a GPU and the work pays,
//!    `device` has the products of complete series computed there.

mod bits;
mod collect;
mod conditions;
mod device;
mod exec;
mod frame;
mod functions;
mod gathered;
mod measure;
mod node;
mod output;
mod panel;
mod periods;
mod query;
mod run;
mod search;
mod select;
mod self_join;
mod standard;
mod store;
mod strongest_rule;
mod summary;
mod tile;
mod waiting;
mod workspace;

pub use device::DevicePanels;
pub use functions::{RELATION_FUNCTIONS, RelationFunction, RelationFunctions, takes_relations};
pub use node::CorrelationPlanner;
pub use self_join::CorrelationJoin;
pub use strongest_rule::StrongestPairs;
