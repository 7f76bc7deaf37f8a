//! `COPY t FROM 'files'` and `COPY (query) TO 'file'`.
//!
//! | part | what |
//! |---|---|
//! | `options` | the options of both, with HeavyDB's defaults |
//! | `files` | which files a path names, in which order; unpacking |
//! | `records` | the values of a line, by quotes, escapes and delimiters |
//! | `lines` | the values of a line, by a regular expression |
//! | `fields` | a value's text as a column reads it; what is NULL |
//! | `import` | rows of files into a table; what is rejected |
//! | `export` | rows of a query into a file, whole or not at all |

mod export;
mod fields;
mod files;
mod import;
mod lines;
mod options;
mod records;

pub(super) use export::copy_to;
pub(super) use import::{copy_from, load_foreign};
