//! LIMIT inside a query: which rows stay may depend on the order in which rows are stored.
//!
//! A cut is looked at with the columns that the query needs of it: where it falls among rows that the keys do not tell apart and that
//! differ, HeavyDB's rows are not determined.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, SkipType, Sort, SortExpr, col};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::refusal::Refusal;

/// Rows that are looked at where a cut falls among equal keys.
const MOST_ROWS: usize = 1_000_000;

/// Refuses a query whose inner LIMIT leaves a choice that matters.
///
/// # Errors
/// Those of running the inner queries; a [`Refusal`].
pub(crate) async fn check_cuts(context: &SessionContext, plan: &LogicalPlan) -> Result<()> {
    // A top-level LIMIT is a choice of the user, which a comparison allows for.
    let inside = match plan {
        LogicalPlan::Limit(limit) => limit.input.as_ref(),
        other => other,
    };
    if limits_of(inside)?.is_empty() {
        return Ok(());
    }
    let state = context.state();
    for limit in limits_of(&with_needed_columns(&state, inside)?)? {
        check_cut(context, &limit).await?;
    }
    Ok(())
}

fn limits_of(plan: &LogicalPlan) -> Result<Vec<Limit>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            found.push(limit.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The plan without columns that nothing needs; limits stay where they are.
fn with_needed_columns(state: &SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    let rules = state.optimizer().rules.iter().filter(|rule| rule.name() != "push_down_limit").map(Arc::clone);
    Optimizer::with_rules(rules.collect::<Vec<Arc<dyn OptimizerRule + Send + Sync>>>()).optimize(plan.clone(), state, |_, _| {})
}

async fn check_cut(context: &SessionContext, limit: &Limit) -> Result<()> {
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?) else { return Ok(()) };
    let Some(ordered) = Ordered::of(&limit.input)? else { return Ok(()) };
    for boundary in [Some(skip), fetch.map(|fetch| skip + fetch)].into_iter().flatten().filter(|boundary| *boundary > 0) {
        if fetch == Some(0) {
            return Ok(());
        }
        let Some(key) = ordered.tie_at(context, boundary).await? else { continue };
        if ordered.differ(context, &key).await? {
            let reason = match ordered.keys {
                0 => "without ORDER BY its rows depend on the order in which they are stored",
                _ => "its cut falls among rows with equal keys, so that it depends on the order in which they are stored: add keys",
            };
            return Err(Refusal::new("LIMIT inside the query", reason).into());
        }
    }
    Ok(())
}

/// The rows before a cut: the columns that are needed, then the keys.
struct Ordered {
    plan: LogicalPlan,
    keys: usize,
}

impl Ordered {
    /// `None` where the rows do not differ by a column.
    fn of(input: &LogicalPlan) -> Result<Option<Self>> {
        let own = |plan: &LogicalPlan| plan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let (shown, sort): (Vec<Expr>, Option<&Sort>) = match input {
            LogicalPlan::Sort(sort) => (own(input), Some(sort)),
            LogicalPlan::Projection(projection) => match projection.input.as_ref() {
                LogicalPlan::Sort(sort) => (projection.expr.clone(), Some(sort)),
                _ => (own(input), None),
            },
            other => (own(other), None),
        };
        if shown.is_empty() {
            return Ok(None);
        }
        let below = sort.map_or(input, |sort| sort.input.as_ref());
        let keys = sort.map(|sort| sort.expr.clone()).unwrap_or_default();
        let shown = shown.into_iter().enumerate().map(|(place, expr)| expr.unalias().alias(format!("v{place}")));
        let named = keys.iter().enumerate().map(|(place, key)| key.expr.clone().alias(format!("k{place}")));
        let order = keys.iter().enumerate().map(|(place, key)| SortExpr::new(col(format!("k{place}")), key.asc, key.nulls_first));
        let plan = LogicalPlanBuilder::from(below.clone()).project(shown.chain(named).collect::<Vec<_>>())?;
        let plan = if keys.is_empty() { plan } else { plan.sort(order.collect::<Vec<_>>())? };
        Ok(Some(Self { plan: plan.build()?, keys: keys.len() }))
    }

    async fn rows(&self, context: &SessionContext, skip: usize, fetch: usize) -> Result<Vec<Vec<ScalarValue>>> {
        let frame = DataFrame::new(context.state(), self.plan.clone()).limit(skip, Some(fetch))?;
        let mut rows = Vec::new();
        for batch in frame.collect().await? {
            for row in 0..batch.num_rows() {
                let value = |column: &ArrayRef| ScalarValue::try_from_array(column, row);
                rows.push(batch.columns().iter().map(value).collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(rows)
    }

    fn key_of<'a>(&self, row: &'a [ScalarValue]) -> &'a [ScalarValue] {
        &row[row.len() - self.keys..]
    }

    /// The keys of the rows on both sides of a cut, where they are the same.
    async fn tie_at(&self, context: &SessionContext, boundary: usize) -> Result<Option<Vec<ScalarValue>>> {
        let rows = self.rows(context, boundary - 1, 2).await?;
        let [before, after] = &rows[..] else { return Ok(None) };
        let key = self.key_of(before);
        Ok((key == self.key_of(after)).then(|| key.to_vec()))
    }

    /// Whether rows with these keys differ.
    async fn differ(&self, context: &SessionContext, key: &[ScalarValue]) -> Result<bool> {
        let mut different = HashSet::new();
        let rows = self.rows(context, 0, MOST_ROWS).await?;
        let count = rows.len();
        different.extend(rows.into_iter().filter(|row| self.key_of(row) == key));
        Ok(different.len() > 1 || count == MOST_ROWS)
    }
}
