//! The aggregation as the operator needs it: every expression over columns of the table, sorted by what its value depends on.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::GroupsAccumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion_functions_finance::shares_states;

/// What the value of an expression depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The strategy alone.
    Strategy,
    /// The period alone: date, slot, context, or nothing.
    Period,
    /// The row.
    Row,
}

impl Level {
    /// The level of an expression over the columns of a strategy table.
    pub(super) fn of(expr: &Arc<dyn PhysicalExpr>) -> Self {
        let columns = collect_columns(expr);
        let uses = |name: &str| columns.iter().any(|column| column.name() == name);
        match (uses("strategy"), uses("pnl"), columns.len()) {
            (true, _, 1) => Self::Strategy,
            (false, false, _) => Self::Period,
            _ => Self::Row,
        }
    }
}

/// Some columns of the table, in the order in which expressions have asked for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    /// Indices in the table's schema.
    pub(super) columns: Vec<usize>,
}

impl Layout {
    /// The expression over the table's columns as one over this layout's.
    fn place(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let place = |expr: Arc<dyn PhysicalExpr>| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            let placed = Column::new(column.name(), self.index(column.index()));
            Ok(Transformed::yes(Arc::new(placed) as Arc<dyn PhysicalExpr>))
        };
        Arc::clone(expr).transform_up(place).data()
    }

    fn index(&mut self, column: usize) -> usize {
        self.columns.iter().position(|&known| known == column).unwrap_or_else(|| {
            self.columns.push(column);
            self.columns.len() - 1
        })
    }

    /// The schema of a batch in this layout.
    pub(super) fn schema(&self, table: &Schema) -> Result<SchemaRef> {
        Ok(Arc::new(table.project(&self.columns)?))
    }
}

/// One column of the result that is no aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupColumn {
    /// The strategy.
    Strategy,
    /// This one of [`RunQuery::keys`].
    Key(usize),
}

/// One aggregate.
#[derive(Debug)]
pub(super) struct RunCall {
    pub(super) function: Arc<AggregateFunctionExpr>,
    /// Indices in [`RunQuery::arguments`]: its arguments, then the keys it takes its rows in.
    pub(super) arguments: Vec<usize>,
    /// Index in [`RunQuery::arguments`].
    pub(super) filter: Option<usize>,
    /// An earlier call whose states this one is a formula over.
    pub(super) shares: Option<usize>,
}

impl RunCall {
    /// A new accumulator for any number of groups.
    pub(super) fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return self.function.create_groups_accumulator();
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }
}

/// An aggregation over a strategy table.
#[derive(Debug, Default)]
pub(super) struct RunQuery {
    pub(super) groups: Vec<GroupColumn>,
    /// Grouping expressions of [`Level::Period`], over `period_layout`.
    pub(super) keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Conjuncts of the predicate over the one column `strategy`.
    pub(super) strategy_predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// Conjuncts over `period_layout`.
    pub(super) period_predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// Conjuncts over `row_layout`.
    pub(super) row_predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// All conjuncts over the table's columns, by which files are pruned.
    pub(super) predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// What the aggregates take and filter by, each once, over `row_layout`.
    pub(super) arguments: Vec<Arc<dyn PhysicalExpr>>,
    pub(super) calls: Vec<RunCall>,
    pub(super) period_layout: Layout,
    pub(super) row_layout: Layout,
}

impl RunQuery {
    /// Whether each strategy has groups of its own.
    pub(super) fn by_strategy(&self) -> bool {
        self.groups.contains(&GroupColumn::Strategy)
    }

    /// Adds a grouping expression over the table's columns; false when it depends on more than the strategy's name or the period.
    pub(super) fn add_group(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        let plain_strategy = expr.downcast_ref::<Column>().is_some_and(|column| column.name() == "strategy");
        let column = match Level::of(expr) {
            Level::Strategy if plain_strategy => GroupColumn::Strategy,
            Level::Period => {
                self.keys.push(self.period_layout.place(expr)?);
                GroupColumn::Key(self.keys.len() - 1)
            }
            _ => return Ok(false),
        };
        self.groups.push(column);
        Ok(true)
    }

    /// Adds a conjunct over the table's columns.
    pub(super) fn add_predicate(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<()> {
        self.predicates.push(Arc::clone(expr));
        match Level::of(expr) {
            Level::Strategy => self.strategy_predicates.push(Layout::default().place(expr)?),
            Level::Period => self.period_predicates.push(self.period_layout.place(expr)?),
            Level::Row => self.row_predicates.push(self.row_layout.place(expr)?),
        }
        Ok(())
    }

    /// Adds an aggregate with its arguments and filter over the table's columns.
    pub(super) fn add_call(
        &mut self,
        function: Arc<AggregateFunctionExpr>,
        arguments: &[Arc<dyn PhysicalExpr>],
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<()> {
        let arguments = arguments.iter().map(|expr| self.argument(expr)).collect::<Result<_>>()?;
        let filter = filter.map(|expr| self.argument(expr)).transpose()?;
        let mut shares = None;
        if self.by_strategy() {
            for (index, earlier) in
                self.calls.iter().enumerate().filter(|(_, earlier)| earlier.shares.is_none() && earlier.filter == filter)
            {
                if shares_states(&earlier.function, &function)? {
                    shares = Some(index);
                    break;
                }
            }
        }
        self.calls.push(RunCall { function, arguments, filter, shares });
        Ok(())
    }

    fn argument(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<usize> {
        let placed = self.row_layout.place(expr)?;
        if let Some(known) = self.arguments.iter().position(|known| known == &placed) {
            return Ok(known);
        }
        self.arguments.push(placed);
        Ok(self.arguments.len() - 1)
    }
}
