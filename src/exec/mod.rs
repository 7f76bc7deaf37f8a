//! How strategy tables are read: providers that turn their files into physical plans, and the operators of their own.

mod correlation;
mod giving_way;
mod progress;
mod queries;
mod runs;
mod strategy_scan;
mod wide_correlation;
mod wide_pivot;

pub use correlation::{
    CorrelationJoin, CorrelationPlanner, DevicePanels, RELATION_FUNCTIONS, RelationFunction, RelationFunctions, StrongestPairs,
    takes_relations,
};
pub use giving_way::giving_way;
pub use progress::progress;
pub use queries::{QueryFigures, QueryLog, QueryRecord, QueryStatus, recorded};
pub use runs::{RunAggregate, RunCache};
pub use strategy_scan::{StrategyScan, strategy_time_order};
pub use wide_correlation::WideCorrelation;
pub use wide_pivot::WideView;
