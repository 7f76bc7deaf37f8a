//! Casts that the planner adds.

use datafusion::arrow::datatypes::Field;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::Expr;

use crate::refusal::Refusal;
use crate::types::casts::cast_to;
use crate::types::heavy_type::HeavyType;

/// The cast to a type by its spelling.
///
/// # Errors
/// No such type.
pub(super) fn cast_call(expr: Expr, spelling: &str) -> Result<Expr> {
    Ok(cast_to(&heavy_type(spelling)?, false).call(vec![expr]))
}

/// The cast to the type of a table's column.
///
/// # Errors
/// A type that HeavyDB does not have.
pub(crate) fn cast_to_field(expr: Expr, field: &Field) -> Result<Expr> {
    let Some(target) = HeavyType::of(field) else {
        return Err(Refusal::new(format!("column {}", field.name()), format!("HeavyDB has no type {}", field.data_type())).into());
    };
    Ok(cast_to(&target, false).call(vec![expr]))
}

fn heavy_type(spelling: &str) -> Result<HeavyType> {
    HeavyType::parse(spelling).map_err(|error| DataFusionError::Plan(error.to_string()))
}
