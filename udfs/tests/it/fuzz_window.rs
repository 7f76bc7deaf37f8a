//! The part of the fuzz driver that calls indicators, through the interface of the engine's window operators.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, lit};
use datafusion_functions_finance::metric::Default as DefaultValue;
use datafusion_functions_finance::{INDICATORS, Indicator, IndicatorResult, IndicatorUdwf, Role};

use super::{Source, constant, date_types, key_types};

/// One call of an indicator in the engine's own window operators.
pub(super) struct Window {
    indicator: &'static Indicator,
    /// Types of the columns; the constants are no columns.
    columns: Vec<DataType>,
    result: DataType,
    /// `None` where the constants do not fit together.
    evaluator: Option<Box<dyn PartitionEvaluator>>,
}

impl Window {
    /// A call of any indicator with any constants.
    pub(super) fn new(source: &mut Source) -> Result<Self, String> {
        let indicator = &INDICATORS[source.below(INDICATORS.len())];
        let (mut exprs, mut fields): (Vec<Arc<dyn PhysicalExpr>>, Vec<FieldRef>) = (vec![], vec![]);
        for (i, argument) in indicator.arguments.iter().enumerate() {
            if argument.default != DefaultValue::Required && source.once_in(4) {
                break;
            }
            let (expr, data_type): (Arc<dyn PhysicalExpr>, _) = match argument.role {
                Role::Series => (Arc::new(Column::new(argument.name, i)), DataType::Float64),
                Role::AnySeries => (Arc::new(Column::new(argument.name, i)), source.pick(&[key_types(), date_types()].concat())),
                _ => {
                    let value = constant(argument, source);
                    (lit(value.clone()), value.data_type())
                }
            };
            exprs.push(expr);
            fields.push(Arc::new(Field::new(argument.name, data_type, true)));
        }
        let function = WindowUDF::from(IndicatorUdwf::try_new(indicator).map_err(|e| e.to_string())?);
        let result = function.field(WindowUDFFieldArgs::new(&fields, "call")).map_err(|e| e.to_string())?.data_type().clone();
        let evaluator = function.partition_evaluator_factory(PartitionEvaluatorArgs::new(&exprs, &fields, false, false)).ok();
        let columns = indicator.arguments.iter().zip(&fields).filter(|(argument, _)| !argument.role.is_constant());
        Ok(Self { indicator, columns: columns.map(|(_, field)| field.data_type().clone()).collect(), result, evaluator })
    }

    /// Feeds it batches and rows.
    pub(super) fn run(mut self, source: &mut Source) -> Result<(), String> {
        let Some(mut evaluator) = self.evaluator.take() else { return Ok(()) };
        for _ in 0..source.below(6) {
            let rows = source.pick(&[0, 1, 2, 7, 30]);
            let mut columns: Vec<ArrayRef> = self.columns.iter().map(|data_type| source.column(data_type, rows)).collect();
            if source.once_in(20) {
                let at = source.below(columns.len());
                columns[at] = source.column(&DataType::Int64, rows);
            }
            // Errors are fine: only panics, wrong types and lengths are looked for.
            if source.once_in(2) {
                if let Ok(found) = evaluator.evaluate_all(&columns, rows) {
                    self.check(&found, rows)?;
                }
                continue;
            }
            for row in 0..rows {
                if let Ok(found) = evaluator.evaluate(&columns, &(row..row + 1)) {
                    self.check(&found.to_array().map_err(|e| e.to_string())?, 1)?;
                }
            }
        }
        Ok(())
    }

    fn check(&self, found: &ArrayRef, rows: usize) -> Result<(), String> {
        let name = self.indicator.name;
        if found.len() != rows {
            return Err(format!("{name}: {} rows of {rows}", found.len()));
        }
        // The driver may hand an observation of another type than it has promised.
        if self.indicator.result == IndicatorResult::AsGiven {
            return Ok(());
        }
        if found.data_type() != &self.result {
            return Err(format!("{name}: result is {}", found.data_type()));
        }
        let doubles = found.as_struct_opt().map_or_else(|| vec![Arc::clone(found)], |whole| whole.columns().to_vec());
        let negative = |column: &ArrayRef| column.as_primitive::<Float64Type>().iter().flatten().any(|x| x == 0.0 && x.is_sign_negative());
        if doubles.iter().any(negative) { Err(format!("{name}: result is -0.0")) } else { Ok(()) }
    }
}
