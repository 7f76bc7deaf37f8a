//! Sub-commands that are no SQL: `import`, `generate`, `replay` and `heavydb`.

pub(crate) mod generate;
pub(crate) mod heavydb;
pub(crate) mod import;
pub(crate) mod replay;
