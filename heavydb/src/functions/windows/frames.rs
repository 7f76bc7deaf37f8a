//! Frames that depend on the types of the keys.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ExprSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, WindowFrame, WindowFrameUnits};

use super::IN_FRAME;
use crate::refusal::Refusal;

/// Drops the RANGE frame of a window call whose key, or a column in it, is no integer, FLOAT, DOUBLE, date or time: HeavyDB does not obey
/// it, so that the frame then ends at the current row and its peers.
///
/// To be called on every expression of a plan before types are coerced; the name of the column changes with the frame.
///
/// # Errors
/// A [`Refusal`] for a function that needs a frame; a key without a type.
pub fn drop_range_of_other_keys(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let frame = &call.params.window_frame;
    let [key] = &call.params.order_by[..] else { return Ok(Transformed::no(Expr::WindowFunction(call))) };
    if frame.units != WindowFrameUnits::Range || *frame == WindowFrame::new(Some(false)) || is_ranged(&key.expr, schema)? {
        return Ok(Transformed::no(Expr::WindowFunction(call)));
    }
    if IN_FRAME.contains(&call.fun.name()) {
        let reason = "HeavyDB obeys a RANGE frame only where the key is an integer, FLOAT, DOUBLE, date or time";
        return Err(Refusal::new(&call.params.order_by[0].expr, reason).into());
    }
    call.params.window_frame = WindowFrame::new(Some(false));
    Ok(Transformed::yes(Expr::WindowFunction(call)))
}

/// HeavyDB looks at the types of the columns; a key without columns is looked at itself.
fn is_ranged(key: &Expr, schema: &DFSchema) -> Result<bool> {
    let columns = key.column_refs();
    if columns.is_empty() {
        return Ok(is_ranged_type(&key.get_type(schema)?));
    }
    for column in columns {
        if !is_ranged_type(schema.field_from_column(column)?.data_type()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_ranged_type(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || data_type.is_temporal()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::expr::WindowFunction;
    use datafusion::logical_expr::{ExprFunctionExt, WindowFrameBound, col};
    use datafusion::scalar::ScalarValue;

    use super::*;

    /// Whether the whole partition is still the frame, with a key of this type.
    fn keeps_frame(key: DataType, units: WindowFrameUnits) -> bool {
        let schema = DFSchema::try_from(Schema::new(vec![Field::new("k", key, true)])).unwrap();
        let whole = || WindowFrameBound::Following(ScalarValue::UInt64(None));
        let frame = WindowFrame::new_bounds(units, WindowFrameBound::Preceding(ScalarValue::UInt64(None)), whole());
        let call = Expr::from(WindowFunction::new(datafusion::functions_aggregate::count::count_udaf(), vec![col("k")]));
        let call = call.order_by(vec![col("k").sort(true, false)]).window_frame(frame).build().unwrap();
        let Expr::WindowFunction(call) = drop_range_of_other_keys(call, &schema).unwrap().data else { panic!("no window call") };
        call.params.window_frame.end_bound == whole()
    }

    #[test]
    fn a_range_over_text_or_decimals_ends_at_the_current_row() {
        assert!(!keeps_frame(DataType::Utf8, WindowFrameUnits::Range));
        assert!(!keeps_frame(DataType::Decimal128(10, 2), WindowFrameUnits::Range));
        assert!(keeps_frame(DataType::Utf8, WindowFrameUnits::Rows));
        assert!(keeps_frame(DataType::Date32, WindowFrameUnits::Range));
    }
}
