//! The table functions: relations and named arguments.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions::math::expr_fn::abs;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::find_out_reference_exprs;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, TableFactor};

use super::measure::Measure;
use super::node::{CorrelationNode, SeriesColumns};
use super::query::{Origin, PairQuery, Rolling, Shape};
use super::tile::Wanted;

/// A table function over relations.
#[derive(Debug)]
pub struct RelationFunction {
    /// Its name in SQL.
    pub name: &'static str,
    /// How it is called.
    pub signature: &'static str,
    /// What it gives, in a sentence.
    pub summary: &'static str,
    shape: Shape,
    measure: Measure,
    /// How many relations it takes at most.
    relations: usize,
    options: &'static [&'static str],
}

/// Every table function over relations.
pub const RELATION_FUNCTIONS: &[RelationFunction] = &[
    RelationFunction {
        name: "correlation_pairs",
        signature: "correlation_pairs(relation [, relation] [, min_abs => 0.8] [, top => 1000] [, method => 'pearson'|'spearman'] [, window => 60, step => 20])",
        summary: "correlation of every two strategies over the periods that both have: strategy_a, strategy_b, correlation, n; with a second relation, of every strategy of the first with every one of the second",
        shape: Shape::Pairs,
        measure: Measure::Pearson,
        relations: 2,
        options: &["min_abs", "top", "method", "window", "step"],
    },
    RelationFunction {
        name: "correlation_summary",
        signature: "correlation_summary(relation [, method => 'pearson'|'spearman'])",
        summary: "correlations of every strategy with all others: strategy, pairs, average_correlation, min_correlation, max_correlation; the average alone needs no pairs and comes at once",
        shape: Shape::Summary,
        measure: Measure::Pearson,
        relations: 1,
        options: &["method"],
    },
    RelationFunction {
        name: "covariance_pairs",
        signature: "covariance_pairs(relation [, relation] [, min_abs => x] [, top => 1000] [, window => 60, step => 20])",
        summary: "sample covariance of every two strategies over the periods that both have: strategy_a, strategy_b, covariance, n",
        shape: Shape::Pairs,
        measure: Measure::Covariance,
        relations: 2,
        options: &["min_abs", "top", "window", "step"],
    },
];

/// Whether a table function takes relations.
pub fn takes_relations(name: &str) -> bool {
    function(name).is_some()
}

fn function(name: &str) -> Option<&'static RelationFunction> {
    RELATION_FUNCTIONS.iter().find(|function| function.name.eq_ignore_ascii_case(name))
}

/// Plans [`RELATION_FUNCTIONS`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RelationFunctions;

impl RelationPlanner for RelationFunctions {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let called = match &relation {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } if name.0.len() == 1 => {
                name.0.last().and_then(|part| part.as_ident()).and_then(|name| function(&name.value))
            }
            _ => None,
        };
        if let (Some(function), TableFactor::Function { .. }) = (called, &relation) {
            return plan_err!(
                "{} does not take LATERAL: it reads its relations once, not for each row of another\nhint: join its pairs, FROM t JOIN {}(..) AS c ON c.strategy_a = t.strategy",
                function.name,
                function.name
            );
        }
        let (Some(function), TableFactor::Table { args: Some(args), alias, .. }) = (called, relation.clone()) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = Call::read(function, args.args, context)?.plan()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The value of an expression without columns; `None` where it has none before the query runs.
fn constant(expr: Expr) -> Result<Option<ScalarValue>> {
    let schema = DFSchema::empty();
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_current_time().build());
    let expr = simplifier.coerce(expr, &schema)?;
    Ok(match simplifier.simplify(expr)? {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    })
}

/// A call as it was written.
struct Call {
    function: &'static RelationFunction,
    relations: Vec<LogicalPlan>,
    options: Vec<(String, ScalarValue)>,
}

impl Call {
    fn read(function: &'static RelationFunction, arguments: Vec<FunctionArg>, context: &mut dyn RelationPlannerContext) -> Result<Self> {
        let mut call = Self { function, relations: vec![], options: vec![] };
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => call.relations.push(call.relation(expr, context)?),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    call.option(context.normalize_ident(name), expr, context)?
                }
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg: FunctionArgExpr::Expr(expr), .. } => {
                    call.option(context.normalize_ident(name), expr, context)?;
                }
                other => return call.refuse(&format!("does not take {other}")),
            }
        }
        if !(1..=function.relations).contains(&call.relations.len()) {
            let most = if function.relations == 1 { "one relation" } else { "one relation or two" };
            return call.refuse(&format!("takes {most}, not {}", call.relations.len()));
        }
        Ok(call)
    }

    fn refuse<T>(&self, what: &str) -> Result<T> {
        plan_err!("{} {what}\nhint: {}", self.function.name, self.function.signature)
    }

    fn relation(&self, expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        match expr {
            ast::Expr::Nested(inner) => self.relation(*inner, context),
            ast::Expr::Subquery(subquery) => {
                let plan = context.plan(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?;
                self.refuse_outer_references(&plan)?;
                Ok(plan)
            }
            ast::Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)) => plan_err!(
                "{} takes a table by its name, and {value} is a value\nhint: write the name, {}(strategies); a script whose first lines say `-- table strategies : what it is` takes another by -p strategies=TABLE",
                self.function.name,
                self.function.name
            ),
            other => self.refuse(&format!("takes a table, a view or a (subquery), not {other}")),
        }
    }

    fn refuse_outer_references(&self, plan: &LogicalPlan) -> Result<()> {
        let mut outer = None;
        plan.apply(|node| {
            outer = node.expressions().iter().find_map(|expr| find_out_reference_exprs(expr).into_iter().next());
            Ok(if outer.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        match outer {
            Some(Expr::OuterReferenceColumn(_, column)) => plan_err!(
                "{} reads its relation once, and {column} has a value for each row of the query around it\nhint: filter or join the pairs instead",
                self.function.name
            ),
            _ => Ok(()),
        }
    }

    fn option(&mut self, name: String, expr: ast::Expr, context: &mut dyn RelationPlannerContext) -> Result<()> {
        if !self.function.options.contains(&name.as_str()) {
            let near = self.function.options.iter().find(|option| strsim::jaro_winkler(option, &name) > 0.8);
            let near = near.map(|option| format!(": did you mean {option}?")).unwrap_or_default();
            return self.refuse(&format!("has no option {name}{near}"));
        }
        if self.options.iter().any(|(known, _)| known == &name) {
            return self.refuse(&format!("has the option {name} twice"));
        }
        if let ast::Expr::Identifier(word) = &expr {
            return self.refuse(&format!("needs a constant for {name}: a text is written in quotes, {name} => '{}'", word.value));
        }
        let written = expr.to_string();
        let value = match constant(context.sql_to_expr(expr, &DFSchema::empty())?)? {
            Some(value) => value,
            None => return self.refuse(&format!("needs a constant for {name}, not {written}")),
        };
        self.options.push((name, value));
        Ok(())
    }

    fn value(&self, name: &str) -> Option<&ScalarValue> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if value.data_type().is_numeric() => Ok(Some(number)),
            _ => self.refuse(&format!("needs a number for {name}, not {value}")),
        }
    }

    fn count(&self, name: &str, least: usize) -> Result<Option<usize>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let whole = if value.data_type().is_integer() { value.cast_to(&DataType::Int64).ok() } else { None };
        match whole {
            Some(ScalarValue::Int64(Some(count))) if usize::try_from(count).is_ok_and(|count| count >= least) => Ok(Some(count as usize)),
            _ => self.refuse(&format!("needs a whole number from {least} for {name}, not {value}")),
        }
    }

    fn query(&self, slotted: bool) -> Result<PairQuery> {
        let rolling = match (self.count("window", 2)?, self.count("step", 1)?) {
            (None, None) => None,
            (Some(periods), step) => Some(Rolling { periods, step: step.unwrap_or(1) }),
            (None, Some(_)) => return self.refuse("needs a window => for its step =>"),
        };
        let wanted = if self.relations.len() == 2 { Wanted::All } else { Wanted::Less };
        Ok(PairQuery { shape: self.function.shape, measure: self.measure()?, rolling, wanted, origin: Origin::Function, slotted })
    }

    fn measure(&self) -> Result<Measure> {
        let Some(value) = self.value("method") else { return Ok(self.function.measure) };
        let name = value.try_as_str().flatten().unwrap_or_default();
        let known = [Measure::Pearson, Measure::Spearman].into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
        known.map_or_else(|| self.refuse(&format!("knows the methods 'pearson' and 'spearman', not {value}")), Ok)
    }

    /// The pairs; `min_abs` is a filter on them and `top` a filter and a sort with a limit, which the operator takes in as it takes those of a query.
    fn plan(self) -> Result<LogicalPlan> {
        let relations = self.relations.iter().map(|plan| Ok((plan.clone(), SeriesColumns::of(plan, self.function.name)?)));
        let relations = relations.collect::<Result<Vec<_>>>()?;
        let slotted = relations.iter().any(|(_, columns)| columns.slot.is_some());
        let query = self.query(slotted)?;
        let measure = query.measure;
        let mut plan = LogicalPlanBuilder::from(CorrelationNode::plan(relations, query)?);
        let magnitude = || abs(col(measure.column()));
        if let Some(least) = self.number("min_abs")? {
            if !(least >= 0.0 && (least <= 1.0 || !measure.is_correlation())) {
                let most = if measure.is_correlation() { " to 1" } else { "" };
                return self.refuse(&format!("needs a number from 0{most} for min_abs, not {least}"));
            }
            plan = plan.filter(magnitude().gt_eq(lit(least)))?;
        }
        if let Some(count) = self.count("top", 0)? {
            let names = ["strategy_a", "strategy_b"].map(|name| col(name).sort(true, false));
            plan = plan.filter(col(measure.column()).is_not_null())?;
            plan = plan.sort(std::iter::once(magnitude().sort(false, false)).chain(names))?.limit(0, Some(count))?;
        }
        plan.build()
    }
}
