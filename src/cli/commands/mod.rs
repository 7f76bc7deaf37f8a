//! Sub-commands that are no SQL: `import`, `generate` and `replay`.

pub(crate) mod generate;
pub(crate) mod import;
pub(crate) mod replay;
