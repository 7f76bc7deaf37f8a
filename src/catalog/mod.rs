//! A database directory as SQL schemas: names become tables, statements become lasting changes.
//!
//! | part | what |
//! |---|---|
//! | `parser` | the dialect, statements with their places, `VERSION AS OF`, `RESTORE TABLE`, `VACUUM` |
//! | `retention_commands` | `SET RETENTION`, `RETAIN`, `UPSERT INTO` |
//! | `tier_commands`, `tier_choice` | `SET TIER`, `APPLY TIER RULES`, `REFRESH TABLE`, and which files of a table a condition means |
//! | `dialects` | texts in more than one dialect |
//! | `directory` | the schema over the directory: which name is which table |
//! | `files`, `glob` | files and folders elsewhere as tables, by quoted path or `CREATE EXTERNAL TABLE` |
//! | `headers` | CSV files that are read as one table must have the same columns in the same order |
//! | `missing` | what to say of a file that is not there |
//! | `definitions`, `absolute` | views and external tables, kept as their own SQL text, with absolute paths |
//! | `narrow`, `narrow_table`, `wildcards`, `wide_schemas` | tables of very many columns, planned with those that a statement names |
//! | `whole_table` | `SELECT *` over such a table, planned without the SQL planner |
//! | `copy` | `COPY (...) TO`, whole or not at all |
//! | `ddl`, `dml` | statements that change the database, each as one commit |
//! | `unsupported` | clauses that would be passed over in silence, refused |
//! | `information` | `information_schema`, whatever cannot be opened |
//! | `cache_functions` | functions that move, pin and drop what is kept between queries |
//! | `data_files` | the files that a table consists of |
//! | `system` | tables about tables, files, queries and what is kept between them |
//! | `lexer`, `redact` | texts in pieces; statements without what nobody may read |

mod absolute;
mod cache_functions;
mod copy;
mod data_files;
mod ddl;
mod definitions;
mod dialects;
mod directory;
mod dml;
mod files;
mod glob;
mod headers;
mod information;
mod lexer;
mod missing;
mod narrow;
mod narrow_table;
mod parser;
mod redact;
mod relation_arguments;
mod retention_commands;
mod strategy_params;
mod system;
mod tier_choice;
mod tier_commands;
mod unsupported;
mod versions;
mod whole_table;
mod wide_schemas;
mod wildcards;

pub use cache_functions::{CACHE_FUNCTIONS, CacheFunction, register_cache_functions};
pub use copy::execute_copy;
pub use ddl::{execute_ddl, restore, vacuum};
pub use definitions::refuse_stored_parameters;
pub use dialects::parse_in;
pub use directory::{CATALOG, DirectorySchema, SCHEMA, TableKind};
pub use dml::{dml_base, execute_dml};
pub use information::{INFORMATION_SCHEMA, information_schema};
pub(crate) use lexer::{Lexer, Piece};
pub use missing::{missing_file, unquoted_file};
pub use narrow::plan_statement;
pub(crate) use parser::Cursor;
pub use parser::{Command, Statement, parse, parse_table_name, refuse_passed_over};
pub(crate) use redact::Redacted;
pub use relation_arguments::resolve_relation_arguments;
pub use system::{SYSTEM_SCHEMA, SYSTEM_TABLES, SystemSchema};
pub use tier_choice::{age_condition, chosen_files, tier_condition};
pub use tier_commands::{TierMove, check_tier, move_chosen, refresh};
pub use versions::bind_versions;
pub use whole_table::plan_whole_table;
pub use wide_schemas::WideSchemaCache;
