//! Statements over tables of very many columns, planned with those that they name.
//!
//! The planner and each of its rules walk through every column of every table, the more often the more expressions a statement has:
//! 500 calls over the wide view of 25,544 strategies take longer to plan than to compute. What a statement does not name cannot change
//! what it means, as long as it has no `*` whose columns are given out, so the planner is shown a [`NarrowTable`] in the place of the
//! wide one. When that plan fails, the statement is planned once more on the whole tables, whose message knows all columns.
//!
//! Left as they are: strategy tables, which are long; tables of fewer columns; statements that change something; calls of table functions,
//! which may need columns that nobody names; `NATURAL JOIN`, `PIVOT` and the like.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::catalog::TableProvider;
use datafusion::common::Result as DfResult;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as SqlStatement;
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::narrow_table::{NarrowTable, narrow_files};
use super::wildcards::{Wildcards, wildcards};
use crate::exec::StrategyScan;

/// Columns from which it pays.
pub(super) const MANY_COLUMNS: usize = 500;

tokio::task_local! {
    /// Names of the statement that is being planned; `None` where tables are to be shown whole.
    static NAMED: Option<Arc<NamedColumns>>;
}

/// The names in a statement: those of its columns are among them.
#[derive(Debug)]
struct NamedColumns {
    names: HashSet<String>,
    /// Whether a table was shown with fewer columns than it has.
    narrowed: AtomicBool,
}

impl NamedColumns {
    /// The names in `text`, which is that of `statement`; `None` where columns may matter that it does not name.
    ///
    /// A view whose rows are all taken over by `*` gives out the columns that the statement above it names.
    fn of(statement: &SqlStatement, text: &str, above: Option<&Self>) -> Option<Self> {
        let mut names = match (wildcards(statement), above) {
            (Wildcards::Inside, _) => HashSet::new(),
            (Wildcards::GivenOut, Some(above)) => above.names.clone(),
            _ => return None,
        };
        let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().ok()?;
        for token in tokens {
            if let Token::Word(word) = token {
                if word.quote_style.is_none() {
                    names.insert(word.value.to_lowercase());
                }
                names.insert(word.value);
            }
        }
        Some(Self { names, narrowed: AtomicBool::new(false) })
    }
}

/// Plans a statement, whose text is `text`, over no more columns of wide tables than it needs.
///
/// # Errors
/// Those of planning it over the whole tables.
pub async fn plan_statement(state: &SessionState, statement: &SqlStatement, text: &str) -> DfResult<LogicalPlan> {
    let above = NAMED.try_with(Clone::clone).ok().flatten();
    if let Some(named) = NamedColumns::of(statement, text, above.as_deref()).map(Arc::new) {
        let planned = NAMED.scope(Some(Arc::clone(&named)), Box::pin(state.statement_to_plan(statement.clone()))).await;
        if planned.is_ok() || !named.narrowed.load(Ordering::Relaxed) {
            return planned;
        }
    }
    NAMED.scope(None, Box::pin(state.statement_to_plan(statement.clone()))).await
}

/// The table as the statement that is being planned needs it.
pub(super) fn narrowed(table: Arc<dyn TableProvider>) -> Arc<dyn TableProvider> {
    let Ok(Some(named)) = NAMED.try_with(Clone::clone) else { return table };
    if table.schema().fields().len() < MANY_COLUMNS || table.is::<StrategyScan>() || table.get_logical_plan().is_some() {
        return table;
    }
    named.narrowed.store(true, Ordering::Relaxed);
    let is_named = |name: &str| named.names.contains(name);
    narrow_files(&table, is_named).unwrap_or_else(|| Arc::new(NarrowTable::of(table, is_named)))
}
