//! How strategy tables are read: providers that turn their files into physical plans, and the operators of their own.

mod giving_way;
mod runs;
mod strategy_scan;
mod wide_correlation;
mod wide_pivot;

pub use giving_way::giving_way;
pub use runs::{RunAggregate, RunCache};
pub use strategy_scan::{StrategyScan, strategy_time_order};
pub use wide_correlation::WideCorrelation;
pub use wide_pivot::WideView;
