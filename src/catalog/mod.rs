//! A database directory as SQL schemas: names become tables, statements become lasting changes.
//!
//! | part | what |
//! |---|---|
//! | `parser` | the dialect, statements with their places, `VERSION AS OF`, `RESTORE TABLE`, `VACUUM` |
//! | `directory` | the schema over the directory: which name is which table |
//! | `files` | files and folders elsewhere as tables, by quoted path or `CREATE EXTERNAL TABLE` |
//! | `definitions` | views and external tables, kept as their own SQL text |
//! | `copy` | `COPY (...) TO`, whole or not at all |
//! | `ddl`, `dml` | statements that change the database, each as one commit |
//! | `system` | tables about tables: imports, issues, strategies, versions |

mod copy;
mod ddl;
mod definitions;
mod directory;
mod dml;
mod files;
mod parser;
mod strategy_params;
mod system;
mod versions;
mod whole_table;

pub use copy::execute_copy;
pub use ddl::{execute_ddl, restore, vacuum};
pub use directory::{CATALOG, DirectorySchema, SCHEMA, TableKind};
pub use dml::{dml_base, execute_dml};
pub use parser::{Command, Statement, parse, parse_table_name};
pub use system::{SYSTEM_SCHEMA, SYSTEM_TABLES, SystemSchema};
pub use whole_table::plan_whole_table;
