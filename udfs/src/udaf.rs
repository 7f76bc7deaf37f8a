//! One implementation of DataFusion's aggregate interface for the whole table of metrics.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use crate::accumulate::{AccumulatorMaker, Call, GroupsMaker, OrderKey, RowsKept, drawdown_type, interval_type, state_fields};
use crate::constants::{Constants, Role};
use crate::metric::{Metric, ResultKind};

/// A metric of the table as a DataFusion aggregate function.
#[derive(Debug, Clone)]
pub struct MetricUdaf {
    name: &'static str,
    metric: &'static Metric,
    signature: Signature,
    documentation: Arc<Documentation>,
    in_time_order: bool,
}

impl MetricUdaf {
    /// The function of a metric.
    ///
    /// # Errors
    /// Argument names that DataFusion does not accept; a test excludes them for the table.
    pub fn try_new(metric: &'static Metric) -> Result<Self> {
        Self::called(metric.name, metric)
    }

    /// The functions of a metric's aliases. Functions of their own, as the columns of calls by a DataFusion alias are named by the arguments
    /// alone: `sharpe(x), sharpe(x) FILTER (WHERE x > 0)` would be two columns of one name.
    ///
    /// # Errors
    /// As [`Self::try_new`].
    pub fn aliases(metric: &'static Metric) -> impl Iterator<Item = Result<Self>> {
        metric.aliases.iter().map(move |alias| Self::called(alias, metric))
    }

    fn called(name: &'static str, metric: &'static Metric) -> Result<Self> {
        let names = metric.arguments.iter().map(|argument| argument.name).collect();
        Ok(Self {
            name,
            metric,
            signature: Signature::new(TypeSignature::UserDefined, Volatility::Immutable).with_parameter_names(names)?,
            documentation: Arc::new(metric.page().documentation()),
            in_time_order: false,
        })
    }

    /// The entry of the table.
    pub fn metric(&self) -> &'static Metric {
        self.metric
    }

    /// The metric behind a DataFusion function, if it is one of ours.
    pub fn of(function: &AggregateUDF) -> Option<&Self> {
        let implementation: &dyn Any = function.inner().as_ref();
        implementation.downcast_ref()
    }

    /// The same function for input in which each group's rows arrive in time order in one accumulator, and whose result is taken from
    /// that accumulator: a path metric then keeps O(1) per group instead of its rows. `None` for metrics that gain nothing.
    ///
    /// For operators that guarantee this order. Its accumulators have no partial result: `state` and `merge_batch` fail.
    pub fn in_time_order(&self) -> Option<Self> {
        let gains = self.metric.needs_order() && self.metric.result != ResultKind::Drawdown;
        gains.then(|| Self { in_time_order: true, ..self.clone() })
    }

    /// Whether this is a function of [`Self::in_time_order`].
    pub(crate) fn is_in_time_order(&self) -> bool {
        self.in_time_order
    }

    /// Whether the state of a call is all its rows; false where the call is not valid.
    pub(crate) fn keeps_rows(&self, args: &[Arc<dyn PhysicalExpr>], distinct: bool) -> bool {
        let constants = Constants::of_physical(&self.metric.page(), args);
        distinct || constants.is_ok_and(|constants| self.metric.compute.make(constants.method, RowsKept(!self.in_time_order)))
    }

    fn call(&self, args: &AccumulatorArgs<'_>) -> Result<Call> {
        if args.is_distinct && !self.metric.allows_distinct() {
            return self.metric.page().no_distinct();
        }
        let time =
            self.metric.arguments.iter().zip(args.expr_fields).find(|(argument, _)| matches!(argument.role, Role::Time | Role::Dates));
        let order = if self.metric.needs_order() { args.order_bys } else { &[] };
        let key = |key: &PhysicalSortExpr| -> Result<OrderKey> {
            Ok(OrderKey { data_type: key.expr.data_type(args.schema)?, options: key.options })
        };
        Ok(Call {
            metric: self.metric,
            constants: Constants::of_physical(&self.metric.page(), args.exprs)?,
            distinct: args.is_distinct,
            arguments: args.exprs.len(),
            order: order.iter().map(key).collect::<Result<_>>()?,
            in_time_order: self.in_time_order,
            time: time.map(|(_, field)| field.data_type().clone()),
        })
    }
}

impl PartialEq for MetricUdaf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.in_time_order == other.in_time_order
    }
}

impl Eq for MetricUdaf {}

impl Hash for MetricUdaf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, self.in_time_order).hash(state);
    }
}

impl AggregateUDFImpl for MetricUdaf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let time = self.metric.arguments.iter().zip(arg_types).find(|(argument, _)| argument.role == Role::Time);
        Ok(match self.metric.result {
            ResultKind::Double => DataType::Float64,
            ResultKind::BigInt => DataType::Int64,
            ResultKind::Drawdown => drawdown_type(time.map(|(_, data_type)| data_type)),
            ResultKind::Interval => interval_type(),
        })
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.metric.page().coerced_types(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = self.call(&args)?;
        call.make(AccumulatorMaker { call: &call, sliding: false })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let call = self.call(&args)?;
        call.make(AccumulatorMaker { call: &call, sliding: true })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let call = self.call(&args)?;
        if self.metric.needs_order() && call.order.is_empty() && !self.in_time_order {
            return plan_err!("{}", crate::time_order::missing(self.metric.name, self.metric.arguments[0].name, false));
        }
        call.make(GroupsMaker(&call))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(state_fields(self.metric, &args))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // Soft: the keys come with the rows, so that the function sorts by itself what does not arrive in order. A hard requirement
        // would sort the whole input, and two of them in one query could contradict each other.
        if self.metric.needs_order() { AggregateOrderSensitivity::SoftRequirement } else { AggregateOrderSensitivity::Insensitive }
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        // Rows that arrive in order are found so when the result is due.
        Ok(self.metric.needs_order().then_some(self as Arc<dyn AggregateUDFImpl>))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        if self.metric.needs_order() { ReversedUDAF::NotSupported } else { ReversedUDAF::Identical }
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        if !matches!(self.metric.result, ResultKind::Drawdown | ResultKind::Interval) {
            return ScalarValue::try_from(data_type);
        }
        // The struct itself is never NULL: reading a field of a NULL struct would not give NULL.
        let DataType::Struct(fields) = data_type else { return not_impl_err!("{} returns a struct, not {data_type}", self.metric.name) };
        let nulls = fields.iter().map(|field| datafusion::arrow::array::new_null_array(field.data_type(), 1)).collect();
        Ok(ScalarValue::Struct(Arc::new(datafusion::arrow::array::StructArray::try_new(fields.clone(), nulls, None)?)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
