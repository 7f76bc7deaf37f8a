//! Indicators in batches: the operator that replaces DataFusion's.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::IndicatorExec;
use super::exec::is_indicator;
use super::whole_files::unmerged;
use crate::series::SeriesExec;

/// Replaces DataFusion's window operators by [`IndicatorExec`], as far as they run indicators over sorted rows.
///
/// ```text
/// before:  BoundedWindowAggExec: wdw=[ema(close, 12), sum(volume), rsi(close, 14)], mode=[Sorted]
///
/// after:   ProjectionExec: ema, sum, rsi in their places
///            IndicatorExec: calls=[ema(close, 12), rsi(close, 14)]
///              BoundedWindowAggExec: wdw=[sum(volume)], mode=[Sorted]
/// ```
///
/// Where the rows must be sorted by series first, [`SeriesExec`] does that; files that are sorted as declared are read whole instead of in
/// parts to be merged.
///
/// Belongs after DataFusion's own physical rules (`SessionStateBuilder::with_physical_optimizer_rule`). Results are the same without it,
/// row by row and slower. Left as they are: endless inputs that are not sorted by partition.
#[derive(Debug, Default, Clone, Copy)]
pub struct StreamIndicators;

impl PhysicalOptimizerRule for StreamIndicators {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewrite = |plan: Arc<dyn ExecutionPlan>| Ok(streamed(&plan)?.map_or_else(|| Transformed::no(plan), Transformed::yes));
        plan.transform_up(rewrite).data()
    }

    fn name(&self) -> &str {
        "stream_indicators"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The operator that replaces `plan`; `None` when it stays.
fn streamed(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
        if let Some(streaming) = IndicatorExec::of(window) {
            return Ok(Some(fed_by_series(Arc::new(streaming))?));
        }
        if window.input_order_mode != InputOrderMode::Sorted || window.state_observer().is_some() {
            return Ok(None);
        }
        let repartition = !window.partition_keys().is_empty();
        return divided(window.window_expr(), window.input(), repartition, |others| {
            let input = Arc::clone(window.input());
            Ok(Arc::new(BoundedWindowAggExec::try_new(others, input, InputOrderMode::Sorted, repartition)?))
        });
    }
    let Some(window) = plan.downcast_ref::<WindowAggExec>() else { return Ok(None) };
    let repartition = !window.partition_keys().is_empty();
    divided(window.window_expr(), window.input(), repartition, |others| {
        Ok(Arc::new(WindowAggExec::try_new(others, Arc::clone(window.input()), repartition)?))
    })
}

/// The indicators of a window operator over the operator of its other functions, which `operator` makes; `None` without indicators.
fn divided(
    calls: &[Arc<dyn WindowExpr>],
    input: &Arc<dyn ExecutionPlan>,
    repartition: bool,
    operator: impl FnOnce(Vec<Arc<dyn WindowExpr>>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (ours, others): (Vec<_>, Vec<_>) = calls.iter().cloned().partition(is_indicator);
    if ours.is_empty() {
        return Ok(None);
    }
    let input_columns = input.schema().fields().len();
    let mut next = [input_columns, input_columns + others.len()];
    let below = if others.is_empty() { Arc::clone(input) } else { operator(others)? };
    let window = BoundedWindowAggExec::try_new(ours, below, InputOrderMode::Sorted, repartition)?;
    let streaming = IndicatorExec::of(&window).ok_or_else(|| internal_datafusion_err!("indicators that are none"))?;
    let places = calls.iter().map(|call| {
        let place = &mut next[usize::from(is_indicator(call))];
        *place += 1;
        *place - 1
    });
    let schema = streaming.schema();
    let column = |place: usize| {
        let name = schema.field(place).name();
        ProjectionExpr::new(Arc::new(Column::new(name, place)), name.clone())
    };
    let in_their_places: Vec<_> = (0..input_columns).chain(places).map(column).collect();
    Ok(Some(Arc::new(ProjectionExec::try_new(in_their_places, fed_by_series(Arc::new(streaming))?)?)))
}

/// The operator, with input that comes by series at less cost where there is a way.
fn fed_by_series(streaming: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(input) = streaming.children().first().copied() else { return Ok(streaming) };
    let series = match SeriesExec::ordering(input)? {
        Some(series) => Some(Arc::new(series) as _),
        None => unmerged(input)?,
    };
    match series {
        Some(series) => streaming.replace_children(vec![series], ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)),
        None => Ok(streaming),
    }
}
