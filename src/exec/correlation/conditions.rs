//! Conditions on the pairs, taken into the operator: those on names choose series before anything is computed, bounds of the measure choose
//! values tile by tile, the rest is evaluated on the pairs that are left.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr, split_conjunction};

use super::select::Bounds;

/// Conditions on either name that split the matrix, at most: each doubles the parts. Others are evaluated on pairs.
const MOST_SPLITS: usize = 3;

/// Index of a name column.
pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

/// Conditions by what they depend on.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// On the first name alone, and on the second alone.
    names: [Vec<Arc<dyn PhysicalExpr>>; 2],
    /// `either[0] OR either[1]`, each on one name alone.
    either: Vec<[Vec<Arc<dyn PhysicalExpr>>; 2]>,
    bounds: Option<Bounds>,
    /// Evaluated on pairs.
    rest: Vec<Arc<dyn PhysicalExpr>>,
}

/// The series that conditions on names choose: as the first and as the second of a pair, `None` for all.
#[derive(Debug, Default, Clone)]
pub(super) struct Chosen {
    pub(super) a: Option<Vec<bool>>,
    pub(super) b: Option<Vec<bool>>,
}

impl Conditions {
    /// Sorts filters over the output, in which the measure is column `measure`. With `not_a_number` the measure may be NaN, which
    /// comparisons take for the largest number: they are then evaluated on the pairs that the bounds leave.
    pub(super) fn of(filters: &[Arc<dyn PhysicalExpr>], measure: usize, not_a_number: bool) -> Self {
        let mut conditions = Self::default();
        for conjunct in filters.iter().flat_map(split_conjunction) {
            conditions.add(conjunct, measure, not_a_number);
        }
        conditions
    }

    fn add(&mut self, conjunct: &Arc<dyn PhysicalExpr>, measure: usize, not_a_number: bool) {
        if let Some(name) = name_column(conjunct) {
            return self.names[name].push(Arc::clone(conjunct));
        }
        if let Some(either) = either_name(conjunct).filter(|_| self.either.len() < MOST_SPLITS) {
            return self.either.push(either);
        }
        let bounds = bounds_of(conjunct, measure);
        if bounds.is_none() || not_a_number {
            self.rest.push(Arc::clone(conjunct));
        }
        if let Some(bounds) = bounds {
            self.bounds = Some(self.bounds().and(Bounds { undefined: not_a_number, ..bounds }));
        }
    }

    /// Bounds that a measure must keep.
    pub(super) fn bounds(&self) -> Bounds {
        self.bounds.unwrap_or(Bounds::ALL)
    }

    /// Whether every condition is on names or bounds.
    pub(super) fn are_exact(&self) -> bool {
        self.rest.is_empty()
    }

    /// The parts of the matrix that conditions on names leave: disjoint, each first names x second names.
    ///
    /// # Errors
    /// A condition that cannot be evaluated.
    pub(super) fn chosen(&self, (a, b): (&ArrayRef, &ArrayRef), schema: &SchemaRef) -> Result<Vec<Chosen>> {
        let all = |names: &ArrayRef, of: usize, on: &[Arc<dyn PhysicalExpr>]| mask(names, of, on, schema);
        let mut parts = vec![Chosen { a: all(a, A, &self.names[A])?, b: all(b, B, &self.names[B])? }];
        for [of_a, of_b] in &self.either {
            let (of_a, of_b) = (any(a, A, of_a, schema)?, any(b, B, of_b, schema)?);
            let split = |part: Chosen| {
                let not_a: Vec<bool> = of_a.iter().map(|chosen| !chosen).collect();
                [
                    Chosen { a: Some(both(part.a.as_deref(), &of_a)), b: part.b.clone() },
                    Chosen { a: Some(both(part.a.as_deref(), &not_a)), b: Some(both(part.b.as_deref(), &of_b)) },
                ]
            };
            parts = parts.into_iter().flat_map(split).collect();
        }
        Ok(parts)
    }

    /// The pairs for which all other conditions hold.
    ///
    /// # Errors
    /// A condition that cannot be evaluated.
    pub(super) fn filter(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut batch = batch;
        for condition in &self.rest {
            let kept = condition.evaluate(&batch)?.into_array(batch.num_rows())?;
            batch = filter_record_batch(&batch, kept.as_boolean())?;
        }
        Ok(batch)
    }
}

/// The name column that is the only one of an expression.
fn name_column(expr: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    let columns = collect_columns(expr);
    let mut indices = columns.iter().map(Column::index);
    let only = indices.next().filter(|&index| index == A || index == B)?;
    indices.all(|index| index == only).then_some(only)
}

/// The parts of a disjunction, by the name that each depends on alone.
fn either_name(expr: &Arc<dyn PhysicalExpr>) -> Option<[Vec<Arc<dyn PhysicalExpr>>; 2]> {
    let mut either: [Vec<Arc<dyn PhysicalExpr>>; 2] = Default::default();
    let mut parts = vec![expr];
    while let Some(part) = parts.pop() {
        match part.downcast_ref::<BinaryExpr>().filter(|binary| binary.op() == &Operator::Or && name_column(part).is_none()) {
            Some(binary) => parts.extend([binary.left(), binary.right()]),
            None => either[name_column(part)?].push(Arc::clone(part)),
        }
    }
    Some(either)
}

fn both(a: Option<&[bool]>, b: &[bool]) -> Vec<bool> {
    a.map_or_else(|| b.to_vec(), |a| a.iter().zip(b).map(|(a, b)| *a && *b).collect())
}

/// The names for which all of the expressions hold; `None` without any.
fn mask(names: &ArrayRef, of: usize, all: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<Option<Vec<bool>>> {
    let mut kept: Option<Vec<bool>> = None;
    for expr in all {
        kept = Some(both(kept.as_deref(), &holds(names, of, expr, schema)?));
    }
    Ok(kept)
}

/// The names for which any of the expressions holds.
fn any(names: &ArrayRef, of: usize, any: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<Vec<bool>> {
    let mut kept = vec![false; names.len()];
    for expr in any {
        kept.iter_mut().zip(holds(names, of, expr, schema)?).for_each(|(kept, holds)| *kept |= holds);
    }
    Ok(kept)
}

/// Evaluates an expression over one name column.
fn holds(names: &ArrayRef, of: usize, expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Result<Vec<bool>> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| match index == of {
        true => Arc::clone(names),
        false => new_null_array(field.data_type(), names.len()),
    });
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(datafusion::arrow::datatypes::Schema::new(fields)), columns.collect())?;
    let kept = expr.evaluate(&batch)?.into_array(names.len())?;
    Ok(kept.as_boolean().iter().map(|kept| kept == Some(true)).collect())
}

/// The values for which a condition on the measure holds, if they are bounds.
fn bounds_of(expr: &Arc<dyn PhysicalExpr>, measure: usize) -> Option<Bounds> {
    if let Some(defined) = expr.downcast_ref::<IsNotNullExpr>() {
        return (column_of(defined.arg(), measure)?.is_plain()).then_some(Bounds::DEFINED);
    }
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    if binary.op() == &Operator::Or {
        let (left, right) = (bounds_of(binary.left(), measure)?, bounds_of(binary.right(), measure)?);
        return outside(left, right).or_else(|| outside(right, left));
    }
    let (left, right) = (column_of(binary.left(), measure), column_of(binary.right(), measure));
    let (side, operator, value) = match (left, right) {
        (Some(side), None) => (side, *binary.op(), number(binary.right())?),
        (None, Some(side)) => (side, binary.op().swap()?, number(binary.left())?),
        _ => return None,
    };
    side.bounds(operator, value)
}

/// The measure itself or its magnitude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Measure,
    Magnitude,
}

impl Compared {
    fn is_plain(self) -> bool {
        self == Self::Measure
    }

    fn bounds(self, operator: Operator, value: f64) -> Option<Bounds> {
        let all = Bounds::DEFINED;
        // Strict comparisons keep the next number on.
        let (value, operator) = match operator {
            Operator::Gt => (value.next_up(), Operator::GtEq),
            Operator::Lt => (value.next_down(), Operator::LtEq),
            other => (value, other),
        };
        match (self, operator) {
            _ if !value.is_finite() => None,
            (Self::Measure, Operator::GtEq) => Some(Bounds { least: value, ..all }),
            (Self::Measure, Operator::LtEq) => Some(Bounds { most: value, ..all }),
            (Self::Measure, Operator::Eq) => Some(Bounds { least: value, most: value, ..all }),
            (Self::Magnitude, Operator::GtEq) => Some(Bounds { magnitude: value.max(0.0), ..all }),
            (Self::Magnitude, Operator::LtEq) => Some(Bounds { least: -value, most: value, ..all }),
            _ => None,
        }
    }
}

/// `measure >= x OR measure <= -x` with equal x, as a magnitude.
fn outside(high: Bounds, low: Bounds) -> Option<Bounds> {
    let plain = |bounds: Bounds| bounds.magnitude == 0.0;
    let symmetric = high.least > 0.0 && high.most == f64::INFINITY && low.most == -high.least && low.least == f64::NEG_INFINITY;
    (plain(high) && plain(low) && symmetric).then_some(Bounds { magnitude: high.least, ..Bounds::DEFINED })
}

fn column_of(expr: &Arc<dyn PhysicalExpr>, measure: usize) -> Option<Compared> {
    let is_measure = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some_and(|column| column.index() == measure);
    if is_measure(expr) {
        return Some(Compared::Measure);
    }
    let call = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "abs")?;
    matches!(call.args(), [argument] if is_measure(argument)).then_some(Compared::Magnitude)
}

/// Whether an expression is the measure (`Some(false)`) or its magnitude (`Some(true)`).
pub(super) fn measured(expr: &Arc<dyn PhysicalExpr>, measure: usize) -> Option<bool> {
    column_of(expr, measure).map(|compared| compared == Compared::Magnitude)
}

fn number(expr: &Arc<dyn PhysicalExpr>) -> Option<f64> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Float64(value) => *value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::{binary, col, in_list, lit};

    use super::*;

    fn schema() -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        Arc::new(Schema::new(vec![text("strategy_a"), text("strategy_b"), Field::new("correlation", DataType::Float64, true)]))
    }

    fn compared(column: &str, operator: Operator, value: impl Into<ScalarValue>) -> Arc<dyn PhysicalExpr> {
        let schema = schema();
        binary(col(column, &schema).expect("column"), operator, lit(value.into()), &schema).expect("comparison")
    }

    fn or(a: Arc<dyn PhysicalExpr>, b: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        binary(a, Operator::Or, b, &schema()).expect("or")
    }

    #[test]
    fn bounds_are_read_from_comparisons() {
        let (low, high) = (compared("correlation", Operator::GtEq, 0.25), compared("correlation", Operator::Lt, 0.5));
        let both = Conditions::of(&[low, high], 2, false);
        assert!(both.are_exact());
        assert_eq!([0.2, 0.25, 0.4999, 0.5].map(|value| both.bounds().keep(value)), [false, true, true, false]);
        assert!(!both.bounds().keep_measure(None));
        let (low, high) = (compared("correlation", Operator::LtEq, -0.9), compared("correlation", Operator::GtEq, 0.9));
        let outside = Conditions::of(&[or(low, high)], 2, false);
        assert_eq!([-0.95, 0.0, 0.9].map(|value| outside.bounds().keep(value)), [true, false, true]);
    }

    #[test]
    fn where_nan_may_come_comparisons_are_evaluated() {
        let conditions = Conditions::of(&[compared("correlation", Operator::GtEq, 0.25)], 2, true);
        assert!(!conditions.are_exact());
        assert_eq!([0.2, 0.3, f64::NAN].map(|value| conditions.bounds().keep(value)), [false, true, true]);
    }

    #[test]
    fn conditions_on_names_choose_disjoint_parts() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let schema = schema();
        let listed = |column: &str| {
            let list = vec![lit(ScalarValue::from("x")), lit(ScalarValue::from("z"))];
            in_list(col(column, &schema).expect("column"), list, &false, &schema).expect("list")
        };
        let conditions = Conditions::of(&[or(listed("strategy_a"), compared("strategy_b", Operator::Eq, "y"))], 2, false);
        let parts = conditions.chosen((&names, &names), &schema).expect("chosen");
        let includes = |part: &Chosen, a: usize, b: usize| {
            part.a.as_ref().is_none_or(|chosen| chosen[a]) && part.b.as_ref().is_none_or(|chosen| chosen[b])
        };
        for a in 0..3 {
            for b in 0..3 {
                let times = parts.iter().filter(|part| includes(part, a, b)).count();
                assert_eq!(times, usize::from(a != 1 || b == 1), "{a} {b}");
            }
        }
    }
}
