//! TrancheDB: an embedded analytical database for trading strategies.
//!
//! SQL over hundreds of thousands of strategy P&L series, in process: [`Engine`] opens a database directory, imports
//! strategy files into Delta tables and answers SQL with financial functions.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> tranchedb::Result<()> {
//! let db = tranchedb::Engine::in_memory().await?;
//! let answer = db.sql("SELECT sharpe_ratio(r) AS sharpe FROM (VALUES (0.01), (-0.02), (0.03)) AS t(r)").await?;
//! assert_eq!(answer.collect().await?[0].num_rows(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # The life of a query
//!
//! 1. The command line becomes an `Invocation` ([`cli`]); a program calls [`Engine::sql`] directly.
//! 2. [`Engine::open`] finds the database: `Root::locate` checks the format marker of the directory, or of the folder in an object store, and
//!    reads nothing else.
//! 3. [`Engine::parse`] turns the whole text into [`Statement`]s, each with its place, by DataFusion's parser in the dialect of
//!    [`catalog::parse`], which adds `VERSION AS OF`, `RESTORE TABLE` and `VACUUM` and refuses clauses that would be passed over.
//! 4. [`Engine::run`] plans one statement: DataFusion asks [`catalog::DirectorySchema`] for every table named.
//!    A statement over a table of very many columns is planned with those that it names ([`catalog::plan_statement`]).
//! 5. `DirectorySchema::find` looks the name up in the directory: a definition, a Delta table, a wide view, files, or a path.
//! 6. A strategy table is opened at one version by [`storage::StrategyTable::open`] and handed out as
//!    [`exec::StrategyScan`], which knows its files and their order; readers see whole versions only.
//! 7. `$name` parameters are bound as typed values ([`Parameters`]).
//! 8. A statement that changes the database is done now, by [`catalog::execute_ddl`] or [`catalog::execute_dml`]; for a strategy
//!    table its rows go through `StrategyFileWriter`, which checks order and keys, and become visible by one
//!    `StrategyChange::commit`, like those of an import. `COPY` is done now too, by [`catalog::execute_copy`].
//! 9. A query is planned further when its rows are asked for: the analyzer rule `RequireTimeOrder` gives path metrics the
//!    table's time order, or refuses them without one.
//! 10. `StrategyScan::scan` gives each file its facts from the log and the filter to the Parquet reader, so that files, row
//!     groups and pages outside the filter are not read.
//! 11. Over a strategy table [`exec::RunAggregate`] puts an aggregation over runs in the place of DataFusion's: the rows of each strategy,
//!     already in time order, go to the accumulators as they are decoded. Many correlations
//!     of columns in one `SELECT` are one pass of the operator that [`exec::WideCorrelation`] places. Elsewhere the finance functions of
//!     `datafusion-functions-finance` run as group accumulators over one state per group; the rule `SingleStage` spares those that keep rows a second stage, `StreamTimeOrder` lets path metrics keep O(1) where rows arrive in
//!     order, and `StreamIndicators` runs window indicators in batches.
//! 12. Under `SET tranchedb.dialect = 'heavydb'` a statement goes another way until it is planned: [`Engine::heavydb`] gives a session of
//!     `datafusion-heavydb`, which rewrites the text, knows that dialect's functions alone and keeps its tables in memory. [`Engine::replay`]
//!     runs the queries of a HeavyDB server in it and compares the rows.
//! 13. Rows stream out of the DataFrame; the command line prints them as they come.
//!
//! # Layers
//!
//! `cli → engine → catalog → ingest → exec → heavydb → {storage, gpu} → {config, error}`: a module imports only from those to its right.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod error;
pub mod exec;
pub mod gpu;
pub mod heavydb;
pub mod ingest;
pub mod storage;

pub use catalog::Statement;
pub use config::EngineConfig;
pub use engine::{Engine, Parameters};
pub use error::{Error, Result};
pub use ingest::{
    GenerateRequest, ImportOptions, ImportReport, ImportRequest, OptionValue, RetentionOptions, RetentionPolicy, RetentionReport,
    SaveRequest,
};
