//! Views and external tables: their SQL text is the definition, kept as one small file each.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Result as DfResult, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as SqlStatement;
use object_store::path::Path;
use sqlparser::ast::{Ident, ObjectName};

use super::files::expanded;
use super::parser::{Command, parse};
use crate::error::{Error, Result};
use crate::storage::Root;

/// The kinds of definitions and the folder that holds each.
pub(super) const DEFINITION_KINDS: &[DefinitionKind] = &[DefinitionKind::View, DefinitionKind::External];

/// What a definition defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefinitionKind {
    View,
    External,
}

impl DefinitionKind {
    fn folder(self) -> &'static str {
        match self {
            Self::View => "views",
            Self::External => "external",
        }
    }

    fn path(self, root: &Root, name: &str) -> Path {
        root.own_path(&[self.folder(), &format!("{name}.sql")])
    }
}

/// Reads the definition of `name`, if it is one.
pub(super) async fn read_definition(root: &Root, name: &str) -> Result<Option<(DefinitionKind, String)>> {
    for &kind in DEFINITION_KINDS {
        if let Some(bytes) = root.read(&kind.path(root, name)).await? {
            let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::Database(format!("the definition of '{name}' is damaged")))?;
            return Ok(Some((kind, text)));
        }
    }
    Ok(None)
}

/// Keeps a definition, replacing one of the same name.
pub(super) async fn write_definition(root: &Root, kind: DefinitionKind, name: &str, sql: &str) -> Result<()> {
    root.table_url(name)?;
    root.initialise().await?;
    root.write(&kind.path(root, name), sql.as_bytes().to_vec()).await
}

/// Forgets a definition.
pub(super) async fn remove_definition(root: &Root, kind: DefinitionKind, name: &str) -> Result<()> {
    root.remove(&kind.path(root, name)).await
}

/// Names of all definitions with their kinds.
pub(super) async fn list_definitions(root: &Root) -> Result<Vec<(DefinitionKind, String)>> {
    let mut found = Vec::new();
    for &kind in DEFINITION_KINDS {
        let names = root.names_in(&root.own_path(&[kind.folder()])).await?;
        found.extend(names.into_iter().filter_map(|file| Some((kind, file.strip_suffix(".sql")?.to_owned()))));
    }
    Ok(found)
}

/// Plans a definition's text into a provider.
pub(super) async fn plan_definition(state: &SessionState, name: &str, sql: &str) -> DfResult<Arc<dyn TableProvider>> {
    let statements = parse(sql)?;
    let Some(Command::Sql(mut statement)) = statements.into_iter().next().map(|s| s.command) else {
        return plan_err!("the definition of '{name}' holds no statement");
    };
    rename_target(&mut statement);
    match state.statement_to_plan(*statement).await? {
        LogicalPlan::Ddl(DdlStatement::CreateView(view)) => {
            Ok(Arc::new(ViewTable::new(Arc::unwrap_or_clone(view.input), Some(sql.to_owned()))))
        }
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(mut command)) => {
            // As it was typed, under its own name.
            command.definition = Some(sql.to_owned());
            if command.table_partition_cols.is_empty() {
                command.locations = expanded(state, command.locations).await?;
            }
            let kind = command.file_type.to_uppercase();
            let Some(factory) = state.table_factories().get(&kind) else {
                return plan_err!("external table '{name}': no reader for {kind}; known are {}", known_formats(state));
            };
            factory.create(state, &command).await
        }
        _ => plan_err!("the definition of '{name}' is neither a view nor an external table"),
    }
}

/// Gives what is defined another name: planning looks up every name, and the defined one would lead back here.
fn rename_target(statement: &mut SqlStatement) {
    let target = match statement {
        SqlStatement::CreateExternalTable(create) => &mut create.name,
        SqlStatement::Statement(inner) => match inner.as_mut() {
            sqlparser::ast::Statement::CreateView(create) => &mut create.name,
            _ => return,
        },
        _ => return,
    };
    *target = ObjectName::from(vec![Ident::with_quote('"', "@definition")]);
}

fn known_formats(state: &SessionState) -> String {
    let mut names: Vec<&str> = state.table_factories().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(", ")
}
