//! `rowid` and the functions of fragments: a statement that names them sees its tables with their hidden columns.

use std::collections::HashSet;

use sqlparser::ast::{ExcludeSelectItem, Expr, Ident, ObjectName, Query, Select, SelectItem, TableAlias, TableFactor, TableWithJoins};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::nodes::{binary, number};

/// What is added to a table's name so that it shows its hidden columns.
pub const WITH_ROWID: &str = "@rowid";
/// The hidden columns: place of the row in order of insertion, number of its fragment, place in that.
pub const HIDDEN_COLUMNS: [&str; 3] = ["rowid", "@fragment_id", "@fragment_offset"];

/// Words that mean a hidden column.
const WORDS: &[&str] = &["rowid", "fragment_id", "offset_in_fragment", "fragment_id_and_offset"];

/// Whether a statement needs hidden columns.
pub(super) fn are_named(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| matches!(&token.token, Token::Word(word) if WORDS.iter().any(|known| word.value.eq_ignore_ascii_case(known))))
}

/// Names of the common table expressions of a query, in lower case.
pub(super) fn common_names(query: &Query) -> HashSet<String> {
    query.with.iter().flat_map(|with| &with.cte_tables).map(|table| table.alias.name.value.to_lowercase()).collect()
}

/// Makes a table show its hidden columns, under its own name.
pub(super) fn show_hidden(relation: &mut TableFactor, common: &HashSet<String>) {
    let TableFactor::Table { name, alias, args: None, .. } = relation else { return };
    let [part] = name.0.as_slice() else { return };
    let Some(ident) = part.as_ident() else { return };
    let plain = ident.value.to_lowercase();
    if common.contains(&plain) || plain.ends_with(WITH_ROWID) {
        return;
    }
    alias.get_or_insert_with(|| TableAlias { explicit: true, name: Ident::with_quote('"', plain.clone()), columns: vec![], at: None });
    *name = ObjectName::from(vec![Ident::with_quote('"', format!("{plain}{WITH_ROWID}"))]);
}

/// Keeps hidden columns out of `*`.
pub(super) fn hide_in_wildcards(select: &mut Select) {
    let is_table = |relation: &TableFactor| matches!(relation, TableFactor::Table { args: None, .. });
    let has_table = |from: &TableWithJoins| is_table(&from.relation) || from.joins.iter().any(|join| is_table(&join.relation));
    if !select.from.iter().any(has_table) {
        return;
    }
    for item in &mut select.projection {
        if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
            let names = HIDDEN_COLUMNS.iter().map(|name| ObjectName::from(vec![Ident::with_quote('"', *name)]));
            options.opt_exclude.get_or_insert_with(|| ExcludeSelectItem::Multiple(names.collect()));
        }
    }
}

/// The hidden column behind a call with any column of the table.
pub(super) fn of_call(name: &str, argument: Option<&Expr>) -> Expr {
    let column = |hidden: &str| match argument {
        Some(Expr::CompoundIdentifier(parts)) if parts.len() > 1 => {
            let mut parts = parts.clone();
            parts.pop();
            parts.push(Ident::with_quote('"', hidden));
            Expr::CompoundIdentifier(parts)
        }
        _ => Expr::Identifier(Ident::with_quote('"', hidden)),
    };
    let [_, fragment, offset] = HIDDEN_COLUMNS;
    match name {
        "fragment_id" => column(fragment),
        "offset_in_fragment" => column(offset),
        _ => {
            use sqlparser::ast::BinaryOperator::{Multiply, Plus};
            Expr::Nested(Box::new(binary(binary(column(fragment), Multiply, number(1 << 32)), Plus, column(offset))))
        }
    }
}
