//! Sub-commands that are no SQL: `import` and `generate`.

pub(crate) mod generate;
pub(crate) mod import;
