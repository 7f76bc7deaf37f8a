//! Files become strategy tables: reading, checking and reporting, and the making of test data.
//!
//! The way of a CSV file:
//!
//! 1. `records` reads the header, hashes the bytes, checks them for UTF-8 and for `quotes` that pair up; a thread of its own splits records, or cuts wide files into `text_blocks`;
//! 2. `columns` gives every column of the header a role, and says why;
//! 3. `wide` (block by block on all cores, `wide_block`) or `long` turns cells into numbers (`numbers`) and counts those that say something else (`tally`, `coercion`), a row per period, into a `matrix` in memory or in a scratch file;
//! 4. `judge` refuses text columns, cells that are no numbers and names that do not belong;
//! 5. `periods` settles `dates`, checks the context, numbers the slots and orders the rows;
//! 6. `series` looks for NULLs, constant and identical series and equity levels;
//! 7. `batches` makes the rows of the table, in its order, from any [`StrategySource`], for files outside of a database.
//!
//! 8. `import` has `write_source` write those rows as new files, `commit` compares them with the rows there and makes them one version of the table.
//!
//! `retention` keeps the metrics of all strategies and the details of the best, in tables of any columns.
//!
//! Doubt is an error that names file, line, column and remedy; whatever is dropped or coerced is counted in the
//! [`ImportReport`].

mod batches;
#[cfg(test)]
mod choice_tests;
mod clock;
mod coercion;
mod columns;
mod commit;
mod csv_reader;
mod dates;
mod file_source;
mod fingerprint;
mod generate;
mod import;
mod judge;
mod long;
mod matrix;
mod numbers;
pub mod options;
mod pairs;
mod patterns;
mod period_columns;
mod periods;
mod quotes;
#[cfg(test)]
mod reader_tests;
mod records;
mod report;
mod retention;
#[cfg(test)]
mod sample_tests;
mod series;
mod single_slot;
mod source;
mod strategy_params;
mod tally;
mod text_blocks;
mod text_column;
mod wide;
mod wide_block;
mod write_file;
mod write_source;

pub use batches::{Batches, PeriodPartition, TARGET_ROWS, batches, partitions, strategy_order, table_schema};
pub use coercion::{Coercion, CoercionKind};
pub use commit::{RowCounts, extend_register, merge, write_rows};
pub use csv_reader::{CsvSource, read_csv};
pub use fingerprint::file_sha256;
pub use generate::{GenerateReport, GenerateRequest, GeneratedStrategies, Target};
pub use import::{ImportContext, generate, import};
pub use options::{ConfidenceScale, DateOrder, ImportMode, ImportOptions, ImportRequest, TimeUnit, Unit, ValueKind};
pub use report::{ColumnReport, ImportReport, ImportStatus, Issue, IssueCode, Severity};
pub use retention::{
    Direction, GroupStatistics, OptionValue, RETENTION_OPTIONS, RetentionOption, RetentionOptions, RetentionPolicy, RetentionReport,
    SaveRequest, SaveTurn, drop_policy, policies, policies_with_details, read_policy, remove_policy, retain, set_policy, statistics,
    vacuum_hours,
};
pub use source::StrategySource;
pub use strategy_params::{StrategyParam, parse_strategy_params};
pub use write_file::{write_csv, write_generated, write_parquet};
pub use write_source::write_source;
