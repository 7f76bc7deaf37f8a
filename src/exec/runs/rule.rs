//! The rule that places the operator.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, update_expr};
use datafusion::physical_expr::split_conjunction;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, aggregate_expressions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion_functions_finance::{MetricUdaf, call_in_time_order, keeps_rows};

use super::aggregate_exec::RunAggregateExec;
use super::query::RunQuery;
use super::scan_exec::RunScanExec;
use crate::config::SqlOptions;

/// Puts `RunAggregateExec` in the place of an aggregation over a strategy table, however many projections and filters lie between.
///
/// Declines, so that DataFusion's own plan stays, with the same answer: files of other programs or files that overlap in time; grouping
/// sets, grouping by values of rows or by expressions of the strategy; volatile expressions; limits; DataFusion's functions in another order than
/// that of time; and, where groups span strategies, functions that need an order, `DISTINCT`, and metrics that keep their rows.
///
/// Belongs before the rules that distribute and sort. Results are the same without it, and `SET tranchedb.run_aggregate = false` leaves it out.
#[derive(Debug, Default, Clone, Copy)]
pub struct RunAggregate;

impl PhysicalOptimizerRule for RunAggregate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.extensions.get::<SqlOptions>().is_none_or(|options| options.run_aggregate) {
            return Ok(plan);
        }
        let rewrite = |plan: Arc<dyn ExecutionPlan>| {
            let placed = plan.downcast_ref::<AggregateExec>().map_or(Ok(None), placed)?;
            Ok(match placed {
                Some(operator) => Transformed::new(Arc::new(operator) as _, true, TreeNodeRecursion::Jump),
                None => Transformed::no(plan),
            })
        };
        plan.transform_down(rewrite).data()
    }

    fn name(&self) -> &str {
        "run_aggregate"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The operator that stands for `last` and all below it; `None` where the plan has another shape.
fn placed(last: &AggregateExec) -> Result<Option<RunAggregateExec>> {
    let Some(first) = first_stage(last) else { return Ok(None) };
    if first.group_expr().has_grouping_set() || first.limit_options().is_some() || last.limit_options().is_some() {
        return Ok(None);
    }
    let mut pulled = PulledDown::of(first)?;
    let Some(source) = pulled.pull_to_scan(first.input())? else { return Ok(None) };
    let Some((config, _)) = source.downcast_to_file_source::<ParquetSource>() else { return Ok(None) };
    let Some(scan) = run_scan(source, config) else { return Ok(None) };
    if pulled.expressions().any(is_volatile) {
        return Ok(None);
    }
    let Some(query) = pulled.query(first, scan.has_slot())? else { return Ok(None) };
    Ok(Some(RunAggregateExec::new(query, scan, last)))
}

/// The stage that reads rows: the aggregation itself or the one right below it.
fn first_stage(last: &AggregateExec) -> Option<&AggregateExec> {
    match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(last),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            last.input().downcast_ref::<AggregateExec>().filter(|first| first.mode() == &AggregateMode::Partial)
        }
        _ => None,
    }
}

/// The scan of a whole strategy table whose rows are in order.
fn run_scan(source: &DataSourceExec, config: &FileScanConfig) -> Option<RunScanExec> {
    if config.limit.is_some() {
        return None;
    }
    let files = config.file_groups.iter().flat_map(|group| group.iter()).cloned().collect();
    RunScanExec::try_new(source, config, files)
}

/// The expressions of an aggregation, on their way down to the columns of the table.
struct PulledDown {
    groups: Vec<Arc<dyn PhysicalExpr>>,
    /// Of each call: its arguments, then its order keys.
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    predicates: Vec<Arc<dyn PhysicalExpr>>,
}

impl PulledDown {
    fn of(first: &AggregateExec) -> Result<Self> {
        Ok(Self {
            groups: first.group_expr().input_exprs(),
            arguments: aggregate_expressions(first.aggr_expr(), &AggregateMode::Partial, 0)?,
            filters: first.filter_expr().to_vec(),
            predicates: vec![],
        })
    }

    fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.groups.iter().chain(self.arguments.iter().flatten()).chain(self.filters.iter().flatten()).chain(&self.predicates)
    }

    /// Rewrites every expression through projections and filters down to a scan of files, and its projection; `None` when there is
    /// anything else in between.
    fn pull_to_scan<'a>(&mut self, plan: &'a Arc<dyn ExecutionPlan>) -> Result<Option<&'a DataSourceExec>> {
        let mut plan = plan;
        loop {
            if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
                self.rewrite(projection.expr())?;
                plan = projection.input();
            } else if let Some(filter) = plan.downcast_ref::<FilterExec>() {
                if datafusion::physical_plan::ExecutionPlan::fetch(filter).is_some() {
                    return Ok(None);
                }
                if let Some(kept) = filter.projection() {
                    self.rewrite(&columns_of(filter.input(), kept))?;
                }
                self.predicates.extend(split_conjunction(filter.predicate()).into_iter().cloned());
                plan = filter.input();
            } else {
                let Some(source) = plan.downcast_ref::<DataSourceExec>() else { return Ok(None) };
                if let Some((config, _)) = source.downcast_to_file_source::<ParquetSource>()
                    && let Some(projection) = config.file_source().projection()
                {
                    self.rewrite(projection.as_ref())?;
                }
                return Ok(Some(source));
            }
        }
    }

    /// Replaces columns of a projection's output by what they are computed from.
    fn rewrite(&mut self, projection: &[ProjectionExpr]) -> Result<()> {
        let all = self.groups.iter_mut().chain(self.arguments.iter_mut().flatten()).chain(self.filters.iter_mut().flatten());
        for expr in all.chain(&mut self.predicates) {
            if let Some(rewritten) = update_expr(expr, projection, true)? {
                *expr = rewritten;
            }
        }
        Ok(())
    }

    fn query(&self, first: &AggregateExec, slotted: bool) -> Result<Option<RunQuery>> {
        let mut query = RunQuery::default();
        for group in &self.groups {
            if !query.add_group(group)? {
                return Ok(None);
            }
        }
        for predicate in &self.predicates {
            query.add_predicate(predicate)?;
        }
        let by_strategy = query.by_strategy();
        for ((call, arguments), filter) in first.aggr_expr().iter().zip(&self.arguments).zip(&self.filters) {
            let Some((call, taken)) = taken(first, call, arguments, (by_strategy, slotted))? else { return Ok(None) };
            query.add_call(call, taken, filter.as_ref())?;
        }
        Ok(Some(query))
    }
}

type Call<'a> = (Arc<AggregateFunctionExpr>, &'a [Arc<dyn PhysicalExpr>]);

/// The call as it runs here, with what it takes; `None` when it needs rows in an order that the runs do not have.
fn taken<'a>(
    first: &AggregateExec,
    call: &Arc<AggregateFunctionExpr>,
    arguments: &'a [Arc<dyn PhysicalExpr>],
    (by_strategy, slotted): (bool, bool),
) -> Result<Option<Call<'a>>> {
    let unchanged = Some((Arc::clone(call), arguments));
    if !by_strategy {
        let merges = call.order_bys().is_empty() && !call.is_distinct() && !keeps_rows(call);
        return Ok(unchanged.filter(|_| merges));
    }
    let (values, keys) = arguments.split_at(call.expressions().len());
    let order = time_order(call.order_bys(), keys, slotted);
    if order == Some(true)
        && let Some(streamed) = call_in_time_order(call, first.input_schema())?
    {
        return Ok(Some((streamed, values)));
    }
    // A metric sorts by itself what comes in another order.
    Ok(unchanged.filter(|_| order.is_some() || MetricUdaf::of(call.fun()).is_some()))
}

/// Whether the rows of a strategy come in the order of these keys, and whether the keys leave no two of them equal.
fn time_order(order: &[PhysicalSortExpr], keys: &[Arc<dyn PhysicalExpr>], slotted: bool) -> Option<bool> {
    let mut time = ["date", "slot"].into_iter().take(1 + usize::from(slotted));
    for (sort, key) in order.iter().zip(keys) {
        let name = key.downcast_ref::<Column>()?.name();
        // The strategy is the same in all rows of a group.
        if name != "strategy" && (sort.options.descending || time.next() != Some(name)) {
            return None;
        }
    }
    Some(time.next().is_none())
}

fn columns_of(plan: &Arc<dyn ExecutionPlan>, indices: &[usize]) -> Vec<ProjectionExpr> {
    let schema = plan.schema();
    let column = |&index: &usize| {
        let name = schema.field(index).name();
        ProjectionExpr { expr: Arc::new(Column::new(name, index)), alias: name.clone() }
    };
    indices.iter().map(column).collect()
}
