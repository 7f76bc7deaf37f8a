//! Tables in memory and the statements that make and change them.
//!
//! | part | what |
//! |---|---|
//! | `statement`, `reader` | what a statement is, read word by word where the parser does not know it |
//! | `definition` | `CREATE TABLE`: columns, encodings, options |
//! | `table`, `database` | tables and views in memory, by name |
//! | `narrow` | tables of very many columns, planned with those that a statement names |
//! | `aggregates` | very many aggregates of one table, planned without the optimizer |
//! | `rowid_table` | a table with its hidden columns |
//! | `schema` | the catalog of a session: these over the session's own |
//! | `values`, `load` | the rows of an `INSERT`, straight from its text into columns |
//! | `stored` | what a column can hold |
//! | `session`, `change`, `alter` | runs statements |
//! | `headers` | names of the columns of results |
//! | `copy` | `COPY` |
//! | `foreign` | tables whose rows are those of files |
//! | `show`, `information` | `SHOW`; `information_schema` |

mod aggregates;
mod alter;
mod change;
mod copy;
mod database;
mod definition;
mod foreign;
mod headers;
mod information;
mod load;
mod narrow;
mod reader;
mod reserved;
mod rowid_table;
mod schema;
mod session;
mod show;
mod statement;
mod stored;
mod table;
mod values;

pub use database::{Database, Entry, Server, View};
pub use definition::{COMMENT, DEFAULT, Files, SPELLING, TableDefinition};
pub use reader::Reader;
pub use reserved::quoted_if_needed;
pub use session::{HeavySession, Outcome};
pub use show::Show;
pub use statement::{Alteration, Statement};
pub use table::HeavyTable;
