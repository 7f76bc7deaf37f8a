//! The words of a statement: the names of its columns are among them.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Join, JoinConstraint, JoinOperator, Select, SelectItem, Statement, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Every word of a statement, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedColumns(HashSet<String>);

impl NamedColumns {
    /// Whether a column of this name may be meant.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// The words of a statement.
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        let words = tokens.iter().filter_map(|token| match &token.token {
            Token::Word(word) => Some(word.value.to_lowercase()),
            _ => None,
        });
        Self(words.collect())
    }

    /// The words; `None` where columns may matter that the statement does not name.
    pub(super) fn unless_unnamed(self, statement: &Statement) -> Option<Self> {
        statement.visit(&mut Unnamed).is_continue().then_some(self)
    }
}

/// Breaks where columns are given out or joined without being named.
struct Unnamed;

impl Visitor for Unnamed {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        let joins = select.from.iter().flat_map(|from| &from.joins);
        if select.projection.iter().any(is_wildcard) || joins.into_iter().any(is_natural) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, relation: &TableFactor) -> ControlFlow<()> {
        match relation {
            TableFactor::NestedJoin { table_with_joins, .. } if table_with_joins.joins.iter().any(is_natural) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether a join may be by columns that it does not name.
fn is_natural(join: &Join) -> bool {
    match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => *constraint == JoinConstraint::Natural,
        JoinOperator::CrossJoin(_) => false,
        _ => true,
    }
}
