//! The time order of path metrics and indicators: written by the user, declared by the table, or a planning error.
//!
//! ```text
//! before:  Aggregate: groupBy=[[symbol]], aggr=[[max_drawdown(ret)]]
//!            Filter: ...
//!              TableScan: returns                  (declared WITH ORDER (date))
//!
//! after:   Aggregate: groupBy=[[symbol]], aggr=[[max_drawdown(ret) ORDER BY [date ASC] AS max_drawdown(ret)]]
//! ```
//!
//! A table of several series (a strategy table) declares the order of each series, not one of its rows among each other: a call needs a
//! grouping by series, a filter that leaves one, or an order that names the series. An order written for such a table that stops short
//! of the declared one (`ORDER BY date` where a date has several slots) is completed by the keys that follow.
//!
//! Left out on purpose: orders that a sub-query's own `ORDER BY`, a join or a union might happen to keep. SQL does not promise them.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::catalog::default_table_source::source_as_provider;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::utils::quote_identifier;
use datafusion::common::{Column, DFSchema, Result, TableReference, plan_datafusion_err, plan_err};
use datafusion::datasource::MemTable;
use datafusion::datasource::listing::ListingTable;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::{FunctionRewrite, NamePreserver};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr, Window, WindowFunctionDefinition};
use datafusion::optimizer::AnalyzerRule;

use crate::constants::{Constants, check_foldable};
use crate::indicators::{IndicatorUdwf, check_call};
use crate::metric::Metric;
use crate::reference::{Kind, Page};
use crate::scalars::ScalarFunction;
use crate::udaf::MetricUdaf;

/// The order that a table declares for its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeOrder {
    /// Sort keys, in terms of the table's columns.
    pub keys: Vec<SortExpr>,
    /// The key that tells series apart (`strategy`), where the table holds several: rows of two series have no order among each other.
    pub series: Option<Column>,
}

impl From<Vec<SortExpr>> for TimeOrder {
    fn from(keys: Vec<SortExpr>) -> Self {
        Self { keys, series: None }
    }
}

/// Looks up the order that a table declares for its rows; `None` when it declares none, or is another kind of table.
pub type DeclaredOrder = fn(&dyn TableProvider) -> Option<TimeOrder>;

/// The lookups for DataFusion's own tables.
const DECLARED_ORDERS: &[DeclaredOrder] = &[listing_order, memory_order];

/// `WITH ORDER` of external tables.
fn listing_order(table: &dyn TableProvider) -> Option<TimeOrder> {
    let table = (table as &dyn std::any::Any).downcast_ref::<ListingTable>()?;
    table.options().file_sort_order.first().cloned().map(TimeOrder::from)
}

/// The order given to in-memory tables by `MemTable::with_sort_order`.
fn memory_order(table: &dyn TableProvider) -> Option<TimeOrder> {
    let table = (table as &dyn std::any::Any).downcast_ref::<MemTable>()?;
    table.sort_order.lock().first().cloned().map(TimeOrder::from)
}

/// Checks every call of a function at planning time, and gives path metrics and indicators without `ORDER BY` the order that their source
/// declares.
///
/// # Errors
/// A planning error for a path metric or an indicator without any order, for constants outside their range, for `DISTINCT` where it has no
/// meaning, and for NULL treatment, which DataFusion would leave out of an indicator's call without a word.
#[derive(Debug, Clone)]
pub struct RequireTimeOrder {
    lookups: Vec<DeclaredOrder>,
}

impl Default for RequireTimeOrder {
    fn default() -> Self {
        Self { lookups: DECLARED_ORDERS.to_vec() }
    }
}

impl RequireTimeOrder {
    /// The rule for DataFusion's own tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also asks `lookup`, before the others.
    pub fn with_lookup(mut self, lookup: DeclaredOrder) -> Self {
        self.lookups.insert(0, lookup);
        self
    }

    fn rewrite(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        if !calls_ours(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let declared = plan.inputs().first().and_then(|input| self.order_of(input));
        let names = NamePreserver::new(&plan);
        let groups = match &plan {
            LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.clone(),
            _ => vec![],
        };
        let rewritten = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| with_order(expr, declared.as_ref(), &groups))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        match rewritten {
            Transformed { data: LogicalPlan::Window(window), transformed: true, .. } => by_sort_keys(window).map(Transformed::yes),
            other => Ok(other),
        }
    }

    /// The declared order of a plan's rows, in terms of its output columns.
    fn order_of(&self, plan: &LogicalPlan) -> Option<TimeOrder> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let table = source_as_provider(&scan.source).ok()?;
                let order = self.lookups.iter().find_map(|lookup| lookup(table.as_ref()))?;
                order.renamed(|column| visible(&scan.projected_schema, Some(&scan.table_name), column.name()))
            }
            LogicalPlan::Filter(filter) => {
                let order = self.order_of(&filter.input)?;
                let one_series = order.series.as_ref().is_some_and(|series| chooses_one(&filter.predicate, series));
                Some(TimeOrder { series: order.series.filter(|_| !one_series), ..order })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                self.order_of(&alias.input)?.renamed(|column| visible(&alias.schema, Some(&alias.alias), column.name()))
            }
            LogicalPlan::Projection(projection) => self.order_of(&projection.input)?.renamed(|column| {
                let position = projection.expr.iter().position(|expr| is_column(expr, column))?;
                Some(Column::from(projection.schema.qualified_field(position)))
            }),
            _ => None,
        }
    }
}

impl TimeOrder {
    /// The keys that follow those written, in the direction of these; none where the written order is another one.
    fn rest_after(&self, order: &[SortExpr]) -> Vec<SortExpr> {
        let backwards = order.first().zip(self.keys.first()).is_some_and(|(written, declared)| written.asc != declared.asc);
        let follows =
            |(written, declared): (&SortExpr, &SortExpr)| written.expr == declared.expr && (written.asc != declared.asc) == backwards;
        if order.len() > self.keys.len() || !order.iter().zip(&self.keys).all(follows) {
            return vec![];
        }
        let turned = |key: &SortExpr| SortExpr { asc: key.asc != backwards, nulls_first: key.nulls_first != backwards, ..key.clone() };
        self.keys[order.len()..].iter().map(turned).collect()
    }

    /// The order with every column replaced; `None` when one of them is out of reach.
    fn renamed(self, replacement: impl Fn(&Column) -> Option<Column>) -> Option<Self> {
        let series = match self.series {
            Some(series) => Some(replacement(&series)?),
            None => None,
        };
        Some(Self { keys: renamed(self.keys, replacement)?, series })
    }
}

/// Whether only rows with one value of the column pass: `column = constant` is among what must hold.
fn chooses_one(predicate: &Expr, column: &Column) -> bool {
    split_conjunction(predicate).into_iter().any(|part| match part {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let fixes = |this: &Expr, other: &Expr| is_column(this, column) && other.column_refs().is_empty() && !other.is_volatile();
            fixes(left, right) || fixes(right, left)
        }
        Expr::InList(list) => !list.negated && list.list.len() == 1 && is_column(&list.expr, column),
        _ => false,
    })
}

impl AnalyzerRule for RequireTimeOrder {
    fn name(&self) -> &str {
        "require_time_order"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite(plan)).map(|rewritten| rewritten.data)
    }
}

/// The window calls of one node, in one node for each of their sort keys: the engine sorts once for a node. The columns keep their order.
fn by_sort_keys(window: Window) -> Result<LogicalPlan> {
    let mut nodes: Vec<Vec<Expr>> = vec![];
    for expr in &window.window_expr {
        match nodes.iter_mut().find(|node| sort_keys(&node[0]) == sort_keys(expr)) {
            Some(node) => node.push(expr.clone()),
            None => nodes.push(vec![expr.clone()]),
        }
    }
    if nodes.len() < 2 {
        return Ok(LogicalPlan::Window(window));
    }
    let columns: Vec<Expr> = window.schema.columns().into_iter().map(Expr::Column).collect();
    let input = LogicalPlanBuilder::from(Arc::unwrap_or_clone(window.input));
    nodes.into_iter().try_fold(input, |plan, calls| plan.window(calls))?.project(columns)?.build()
}

/// What a window call sorts its input by.
fn sort_keys(expr: &Expr) -> Option<(&[Expr], &[SortExpr])> {
    match expr {
        Expr::Alias(alias) => sort_keys(&alias.expr),
        Expr::WindowFunction(call) => Some((&call.params.partition_by, &call.params.order_by)),
        _ => None,
    }
}

/// The column of a schema, if it is there.
fn visible(schema: &DFSchema, relation: Option<&TableReference>, name: &str) -> Option<Column> {
    schema.index_of_column_by_name(relation, name).map(|_| Column::new(relation.cloned(), name))
}

/// Whether a projection's expression hands the column on unchanged.
fn is_column(expr: &Expr, column: &Column) -> bool {
    match expr {
        Expr::Alias(alias) => is_column(&alias.expr, column),
        Expr::Column(found) => found == column,
        _ => false,
    }
}

/// The order with every column replaced; `None` when one of them is out of reach.
fn renamed(order: Vec<SortExpr>, replacement: impl Fn(&Column) -> Option<Column>) -> Option<Vec<SortExpr>> {
    let out_of_reach = || plan_datafusion_err!("order column out of reach");
    let rename = |expr: Expr| match expr {
        Expr::Column(column) => replacement(&column).map(|found| Transformed::yes(Expr::Column(found))).ok_or_else(out_of_reach),
        other => Ok(Transformed::no(other)),
    };
    let key = |sort: SortExpr| -> Result<SortExpr> { Ok(SortExpr { expr: sort.expr.transform(rename)?.data, ..sort }) };
    order.into_iter().map(key).collect::<Result<Vec<_>>>().ok().filter(|keys| !keys.is_empty())
}

fn calls_ours(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found = found || expr.exists(|e| Ok(is_ours(e)))?;
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether an expression calls one of the functions.
fn is_ours(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => ScalarFunction::of(&call.func).is_some(),
        Expr::AggregateFunction(call) => MetricUdaf::of(&call.func).is_some(),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => MetricUdaf::of(function).is_some(),
            WindowFunctionDefinition::WindowUDF(function) => IndicatorUdwf::of(function).is_some(),
        },
        _ => false,
    }
}

/// Checks a call and gives it the order, where it needs one and has none.
fn with_order(expr: Expr, declared: Option<&TimeOrder>, groups: &[Expr]) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call) => {
            if let Some(function) = ScalarFunction::of(&call.func) {
                check_foldable(&function.scalar().page(), &call.args)?;
            }
            Ok(Transformed::no(Expr::ScalarFunction(call)))
        }
        Expr::AggregateFunction(mut call) => {
            let Some(metric) = MetricUdaf::of(&call.func).map(MetricUdaf::metric) else {
                return Ok(Transformed::no(Expr::AggregateFunction(call)));
            };
            let page = checked(metric, &call.params.args, call.params.distinct)?;
            let order = Source { declared, groups, over: false }.missing_order(&page, &call.params.args, &call.params.order_by)?;
            let changed = !order.is_empty();
            call.params.order_by.extend(order);
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        Expr::WindowFunction(mut call) => {
            let Some(page) = checked_window(&call)? else { return Ok(Transformed::no(Expr::WindowFunction(call))) };
            let source = Source { declared, groups: &call.params.partition_by, over: true };
            let order = source.missing_order(&page, &call.params.args, &call.params.order_by)?;
            let changed = !order.is_empty();
            call.params.order_by.extend(order);
            Ok(Transformed::new_transformed(Expr::WindowFunction(call), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// The page of a metric whose call is in order.
fn checked(metric: &Metric, args: &[Expr], distinct: bool) -> Result<Page> {
    let page = metric.page();
    Constants::of_call(&page, args)?;
    if distinct && !metric.allows_distinct() { page.no_distinct() } else { Ok(page) }
}

/// The page of the metric or indicator whose window call is in order; `None` when it is another function.
fn checked_window(call: &WindowFunction) -> Result<Option<Page>> {
    match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            let metric = MetricUdaf::of(function).map(MetricUdaf::metric);
            metric.map(|metric| checked(metric, &call.params.args, call.params.distinct)).transpose()
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            let indicator = IndicatorUdwf::of(function).map(IndicatorUdwf::indicator);
            indicator.map(|indicator| check_call(indicator, &call.params)).transpose()
        }
    }
}

/// Where a call takes its rows from.
struct Source<'a> {
    declared: Option<&'a TimeOrder>,
    /// What the rows are grouped or partitioned by.
    groups: &'a [Expr],
    /// In a window call.
    over: bool,
}

impl Source<'_> {
    /// The keys to add to a call: none, the declared ones, or those that a written order lacks of the declared one.
    ///
    /// # Errors
    /// A planning error where there is no order, and where rows of several series would be mixed.
    fn missing_order(&self, page: &Page, args: &[Expr], order: &[SortExpr]) -> Result<Vec<SortExpr>> {
        if !matches!(page.kind, Kind::PathAggregate | Kind::Window) {
            return Ok(vec![]);
        }
        let Some(declared) = self.declared else {
            return if order.is_empty() { plan_err!("{}", missing(page.name, &written(args), self.over)) } else { Ok(vec![]) };
        };
        if let Some(series) = declared.series.as_ref().filter(|series| !self.tells_apart(series, order)) {
            return plan_err!("{}", self.several_series(page, args, &series.name));
        }
        let keys = match order {
            [] => declared.keys.clone(),
            // Rows with equal keys are peers of one window frame: more keys would change the frame.
            _ if self.over => vec![],
            _ => declared.rest_after(order),
        };
        // What is the same in all rows of a group need not be kept with each; but a call without any key would have no order.
        let varies = |key: &SortExpr| !self.groups.contains(&key.expr);
        Ok(if keys.iter().any(varies) { keys.into_iter().filter(varies).collect() } else { keys })
    }

    /// Whether rows of two series never meet, or in an order that the user wrote.
    fn tells_apart(&self, series: &Column, order: &[SortExpr]) -> bool {
        let mentions = |key: &SortExpr| key.expr.column_refs().contains(series);
        self.groups.iter().any(|group| is_column(group, series)) || order.iter().any(mentions)
    }

    /// The message for a call over the mixed rows of several series.
    fn several_series(&self, page: &Page, args: &[Expr], series: &str) -> String {
        let name = page.name;
        let call = format!("{name}({})", written(args));
        let clause = if self.over { "PARTITION BY" } else { "GROUP BY" };
        let mixes = format!("{call} mixes the rows of several series, which have no order among each other: add {clause} {series}");
        if page.kind == Kind::Window {
            // A sum of prices has no meaning.
            return format!("{mixes}, as in {call} OVER (PARTITION BY {series}), or choose one by WHERE {series} = '...'");
        }
        let (series_args, options) = args.split_at(args.len().min(1));
        let (summed, options) = (written(series_args), options.iter().map(|option| format!(", {}", written(std::slice::from_ref(option)))));
        format!(
            "{mixes}, choose one by WHERE {series} = '...', or sum the series of each period first: SELECT {name}(total{} ORDER BY date) \
             FROM (SELECT date, sum({summed}) AS total FROM ... GROUP BY date)",
            options.collect::<String>()
        )
    }
}

/// The message for a function without the time order that it needs. `over`: in a window call.
pub(crate) fn missing(name: &str, args: &str, over: bool) -> String {
    let call =
        if over { format!("{name}({args}) OVER (ORDER BY <time column>)") } else { format!("{name}({args} ORDER BY <time column>)") };
    format!("{name} needs a time order: write {call} or declare the order of the table")
}

/// The arguments as the user wrote them: without the casts and qualifiers that planning added.
fn written(args: &[Expr]) -> String {
    let plain = |expr: &Expr| {
        let mut inner = expr;
        while let Expr::Cast(cast) = inner {
            inner = &cast.expr;
        }
        let unqualified = inner.clone().transform(|e| {
            Ok(match e {
                Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(quote_identifier(&column.name)))),
                other => Transformed::no(other),
            })
        });
        unqualified.map_or_else(|_| inner.to_string(), |found| found.data.human_display().to_string())
    };
    args.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// The same checks where only a function registry is at hand: declared orders cannot be seen there, so that path metrics and indicators need
/// an explicit `ORDER BY`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RequireExplicitOrder;

impl FunctionRewrite for RequireExplicitOrder {
    fn name(&self) -> &str {
        "require_explicit_time_order"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        with_order(expr, None, &[])
    }
}
