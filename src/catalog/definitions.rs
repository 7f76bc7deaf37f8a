//! Views and external tables: their SQL text is the definition, kept as one small file each.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result as DfResult, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::datasource::listing::ListingTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement as SqlStatement;
use object_store::path::Path;
use sqlparser::ast::{Ident, ObjectName, Statement as Ast};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::directory::{CATALOG, SCHEMA};
use super::files::expanded;
use super::headers::{Columns, require_same_headers};
use super::narrow::plan_statement;
use super::parser::{Command, Statement, parse};
use crate::error::{Error, QueryError, Result};
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
    let unbound =
        |parameter: &str| Err(Error::Usage(format!("the definition of '{name}' holds the parameter ${parameter}: write its value")));
    super::resolve_relation_arguments(&mut statement, &unbound)?;
    match plan_statement(state, &statement, sql).await? {
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
            let columns = if command.schema.fields().is_empty() { Columns::Inferred } else { Columns::Declared };
            let table = factory.create(state, &command).await?;
            if let Some(files) = table.downcast_ref::<ListingTable>() {
                require_same_headers(state, files.table_paths(), files.options(), columns).await?;
            }
            Ok(table)
        }
        _ => plan_err!("the definition of '{name}' is neither a view nor an external table"),
    }
}

/// Refuses a parameter in a view or an external table: kept as text, it would have no value when it is used.
///
/// # Errors
/// [`Error::Usage`] naming the parameter and the remedy.
pub fn refuse_stored_parameters(statement: &Statement) -> Result<()> {
    let Command::Sql(sql) = &statement.command else { return Ok(()) };
    let kind = match sql.as_ref() {
        SqlStatement::Statement(inner) if matches!(inner.as_ref(), Ast::CreateView { .. }) => "a view",
        SqlStatement::CreateExternalTable(_) => "an external table",
        _ => return Ok(()),
    };
    // A text that was parsed has tokens.
    let tokens = Tokenizer::new(&GenericDialect {}, &statement.text).tokenize().unwrap_or_default();
    let parameter = tokens.into_iter().find_map(|token| if let Token::Placeholder(name) = token { Some(name) } else { None });
    match parameter {
        Some(name) => Err(Error::Usage(format!(
            "{kind} is kept as text and cannot hold the parameter {name}\nhint: write its value, or leave the condition out and give it in \
             the query that reads {kind}"
        ))),
        None => Ok(()),
    }
}

/// The failure to plan what is defined under `name`, told as such: whoever reads a view need not know what it is made of.
pub(super) fn broken(kind: DefinitionKind, name: &str, error: DataFusionError) -> DataFusionError {
    let query = match Error::from(error) {
        Error::Query(query) => query,
        other => return other.into(),
    };
    let (what, sql) = match kind {
        DefinitionKind::View => ("view", "VIEW"),
        DefinitionKind::External => ("external table", "EXTERNAL TABLE"),
    };
    let cause = query.message.replace(&format!("{CATALOG}.{SCHEMA}."), "");
    let missing = cause.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
    let cause = missing.map_or_else(|| cause.clone(), |table| format!("there is no table '{table}'"));
    let remedy = match kind {
        DefinitionKind::View => format!("DROP VIEW {name} removes it"),
        DefinitionKind::External => format!("DROP TABLE {name} removes it"),
    };
    let hint = query.hint.unwrap_or_else(|| format!("{remedy}, CREATE OR REPLACE {sql} {name} makes it anew"));
    // The place in the definition means nothing in the text that was typed.
    let message = format!("the {what} '{name}' cannot be read: {cause}");
    Error::Query(Box::new(QueryError { message, hint: Some(hint), position: None, source: None })).into()
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
