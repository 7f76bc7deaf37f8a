//! Where the bytes of a database lie and how they change: object stores, Delta tables, strategy-table files.
//!
//! Everything goes through one [`Root`]: an object store and a place in it, be it a local directory, memory or a bucket. A table
//! changes only by one Delta commit, so that readers see whole versions and a crash leaves the version before; several tables change together
//! by a joint commit. This module knows no SQL: it takes and gives Arrow batches and plain facts.

mod decoded;
mod deferred;
mod delta;
mod dense_claim;
mod dense_columns;
mod dense_file;
mod file_statistics;
mod identified;
mod joint;
mod locations;
mod log_stores;
mod movement;
mod query_stores;
mod remote;
mod root;
mod scratch;
mod strategy_file;
mod strategy_shape;
mod strategy_table;
mod table_change;
mod visible;

pub use decoded::{DecodedColumn, DecodedEntry, DecodedFigures, DecodedKey, DecodedTier, DecodedUse, YieldingPool};
pub use deferred::{DeferredStore, PublishError};
pub use delta::{
    CommitRecord, change_properties, commit_info, delta_error, delta_write_error, history, landed_change, load_table, remove_table,
    restore_table, standing_commits, vacuum_table,
};
pub use dense_claim::{DenseClaim, created_here};
pub use dense_file::{DenseFileWriter, DenseGroup, DenseLayout, strategies_per_row_group};
pub use joint::{JointMember, JointWriter, at_one_state, undo_abandoned};
pub use locations::{HOT, LocatedStore, Locations, check_location_name, location_of, location_url};
pub use movement::{Moved, Movement, move_files};
pub use query_stores::QueryStores;
pub use remote::RemoteStores;
pub use root::{DATABASE_FOLDER, Root};
pub(crate) use scratch::ScratchFile;
pub use strategy_file::{FinishedFile, StrategyFileWriter};
pub use strategy_shape::{PartitionKey, StrategyShape};
pub use strategy_table::{StrategyChange, StrategyFile, StrategyTable};
pub use table_change::{ColumnRange, TableChange, TableFile, TableWriter, scan_files, table_files};
pub use visible::{VisibleStore, is_hidden};
