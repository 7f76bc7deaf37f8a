//! One implementation of DataFusion's aggregate interface for the list of own aggregates.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, ReversedUDAF, Signature, TypeSignature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

use super::accumulators::{DistinctRows, Ending, Finish, ManyGroups, MovingFrame, OneGroup};
use super::kept::{Mode, Quantile, SingleValue};
use super::states::{Association, CoMoments, ExactSum, FloatSum, Moments, Number, State};

/// An aggregate of our own.
#[derive(Debug)]
pub(super) struct Definition {
    /// HeavyDB's name in lower case.
    pub(super) name: &'static str,
    /// What it computes.
    pub(super) kind: Kind,
}

/// What an aggregate computes, and the width of its float result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Exact for integers and decimals, in the argument's kind of number.
    Sum,
    /// Always DOUBLE.
    Average,
    /// The variance or its root, by `n - ddof` rows.
    Spread { ddof: u64, root: bool, float: bool },
    /// Covariance or correlation of two columns.
    Association { of: Association, float: bool },
    /// The most frequent value.
    Mode,
    /// The one value of a group.
    SingleValue,
    /// An exact quantile; at 0.5 where no second argument is taken.
    Quantile { share: bool },
}

impl Kind {
    fn arguments(self) -> usize {
        match self {
            Self::Association { .. } | Self::Quantile { share: true } => 2,
            _ => 1,
        }
    }

    /// Whether its states have a fixed width.
    fn is_numeric(self) -> bool {
        matches!(self, Self::Sum | Self::Average | Self::Spread { .. } | Self::Association { .. })
    }
}

/// Makes one form of accumulator for whatever state a call has.
trait Make {
    type Made;

    fn make<S: State>(self, ending: Ending<S>) -> Self::Made;
}

struct Single;
struct Moving;
struct Distinct;
struct Groups;

impl Make for Single {
    type Made = Box<dyn Accumulator>;

    fn make<S: State>(self, ending: Ending<S>) -> Self::Made {
        Box::new(OneGroup::new(ending))
    }
}

impl Make for Moving {
    type Made = Box<dyn Accumulator>;

    fn make<S: State>(self, ending: Ending<S>) -> Self::Made {
        Box::new(MovingFrame::new(ending))
    }
}

impl Make for Distinct {
    type Made = Box<dyn Accumulator>;

    fn make<S: State>(self, ending: Ending<S>) -> Self::Made {
        Box::new(DistinctRows::new(ending))
    }
}

impl Make for Groups {
    type Made = Box<dyn GroupsAccumulator>;

    fn make<S: State>(self, ending: Ending<S>) -> Self::Made {
        Box::new(ManyGroups::new(ending))
    }
}

/// The aggregate as a function of DataFusion.
#[derive(Debug)]
pub(super) struct OwnAggregate {
    definition: &'static Definition,
    signature: Signature,
}

impl OwnAggregate {
    pub(super) fn new(definition: &'static Definition) -> Self {
        Self { definition, signature: Signature::new(TypeSignature::UserDefined, Volatility::Immutable) }
    }

    pub(super) fn udaf(definition: &'static Definition) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::new_from_impl(Self::new(definition)))
    }

    fn upper(&self) -> String {
        self.definition.name.to_uppercase()
    }

    /// The accumulator of a numeric aggregate.
    fn numeric<M: Make>(&self, args: &AccumulatorArgs<'_>, form: M) -> Result<M::Made> {
        let result = args.return_type().clone();
        let argument = args.expr_fields.first().map(|field| field.data_type().clone());
        let decimal = match argument {
            Some(DataType::Decimal128(_, scale)) => Some(scale),
            _ => None,
        };
        let is_float = matches!(argument, Some(DataType::Float32 | DataType::Float64));
        Ok(match (self.definition.kind, decimal) {
            (Kind::Sum, Some(_)) => form.make(exact::<i128>(|state| state.sum(true), result)),
            (Kind::Sum, None) if !is_float => form.make(exact::<i64>(|state| state.sum(false), result)),
            (Kind::Average, Some(scale)) => form.make(exact::<i128>(move |state| Ok(state.mean(scale)), result)),
            (Kind::Average, None) if !is_float => form.make(exact::<i64>(|state| Ok(state.mean(0)), result)),
            (Kind::Sum, None) => form.make(ending(|state: &FloatSum| Ok(state.sum()), result)),
            (Kind::Average, None) => form.make(ending(|state: &FloatSum| Ok(state.mean()), result)),
            (Kind::Spread { ddof, root, .. }, _) => {
                let spread = move |state: &Moments| {
                    let variance = state.variance(ddof);
                    Ok(if root { variance.map(f64::sqrt) } else { variance }.map(Number::Double))
                };
                form.make(ending(spread, result))
            }
            (Kind::Association { of, .. }, _) => {
                form.make(ending(move |state: &CoMoments| Ok(state.result(of).map(Number::Double)), result))
            }
            (Kind::Mode | Kind::SingleValue | Kind::Quantile { .. }, _) => {
                return plan_err!("{} has no numeric state", self.upper());
            }
        })
    }

    fn check_distinct(&self, args: &AccumulatorArgs<'_>) -> Result<()> {
        let allowed = matches!(self.definition.kind, Kind::Sum | Kind::Average | Kind::SingleValue);
        if args.is_distinct && !allowed {
            return plan_err!("{}(DISTINCT ...) is not given: HeavyDB knows DISTINCT in COUNT, SUM, AVG, MIN and MAX", self.upper());
        }
        Ok(())
    }

    /// The accumulator of an aggregate that keeps values.
    fn keeping(&self, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let result = args.return_type();
        Ok(match self.definition.kind {
            Kind::Mode => Box::new(Mode::try_new(result)?),
            Kind::SingleValue => Box::new(SingleValue::try_new(result)?),
            _ => Box::new(Quantile::new(self.share(args.exprs)?)),
        })
    }

    /// The share of a quantile, a constant from 0 to 1.
    fn share(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<f64> {
        let Some(share) = exprs.get(1) else { return Ok(0.5) };
        let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let value = match share.evaluate(&nothing) {
            Ok(ColumnarValue::Scalar(value)) => value.cast_to(&DataType::Float64)?,
            _ => ScalarValue::Float64(None),
        };
        match value {
            ScalarValue::Float64(Some(p)) if (0.0..=1.0).contains(&p) => Ok(p),
            _ => plan_err!("the second argument of {} is a constant from 0 to 1, such as 0.75; {share} is none", self.upper()),
        }
    }

    /// The type in which an argument is summed up.
    fn number(&self, argument: &DataType) -> Result<DataType> {
        let name = self.upper();
        Ok(match argument {
            DataType::Dictionary(_, values) => return self.number(values),
            DataType::Null => DataType::Int64,
            DataType::UInt64 => return plan_err!("{name} of {argument}: cast it to BIGINT"),
            integer if integer.is_integer() => DataType::Int64,
            &(DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s)) => DataType::Decimal128(p, s),
            DataType::Float16 | DataType::Float32 => DataType::Float32,
            DataType::Float64 => DataType::Float64,
            _ => return plan_err!("{name} takes a number, not {argument}; cast the argument to DOUBLE, BIGINT or DECIMAL"),
        })
    }
}

fn ending<S: State>(finish: impl Fn(&S) -> Result<Option<Number>> + Send + Sync + 'static, result: DataType) -> Ending<S> {
    let finish: Finish<S> = Arc::new(finish);
    Ending { finish, result }
}

fn exact<R>(finish: impl Fn(&ExactSum<R>) -> Result<Option<Number>> + Send + Sync + 'static, result: DataType) -> Ending<ExactSum<R>>
where
    ExactSum<R>: State,
{
    ending(finish, result)
}

impl PartialEq for OwnAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for OwnAggregate {}

impl Hash for OwnAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

/// The name and the result of floats.
fn double_or_float(float: bool) -> DataType {
    if float { DataType::Float32 } else { DataType::Float64 }
}

impl AggregateUDFImpl for OwnAggregate {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let (name, wanted) = (self.upper(), self.definition.kind.arguments());
        if arg_types.len() != wanted {
            return plan_err!("{name} takes {wanted} argument{}, not {}", if wanted == 1 { "" } else { "s" }, arg_types.len());
        }
        let numbers = || arg_types.iter().map(|argument| self.number(argument)).collect::<Result<Vec<_>>>();
        match self.definition.kind {
            Kind::Sum | Kind::Average => numbers(),
            Kind::Spread { .. } | Kind::Association { .. } | Kind::Quantile { .. } => Ok(vec![DataType::Float64; numbers()?.len()]),
            Kind::Mode | Kind::SingleValue => Ok(arg_types
                .iter()
                .map(|argument| match argument {
                    DataType::Dictionary(_, values) => values.as_ref().clone(),
                    other => other.clone(),
                })
                .collect()),
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let argument = arg_types.first().cloned().unwrap_or(DataType::Null);
        Ok(match (self.definition.kind, argument) {
            (Kind::Sum, DataType::Decimal128(precision, scale)) => DataType::Decimal128(precision.max(18), scale),
            (Kind::Sum | Kind::Mode | Kind::SingleValue, argument) => argument,
            (Kind::Average | Kind::Quantile { .. }, _) => DataType::Float64,
            (Kind::Spread { float, .. } | Kind::Association { float, .. }, _) => double_or_float(float),
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        match (self.definition.kind.is_numeric(), args.is_distinct) {
            (true, true) => self.numeric(&args, Distinct),
            (true, false) => self.numeric(&args, Single),
            (false, _) => self.keeping(&args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        if self.definition.kind.is_numeric() && !args.is_distinct {
            return self.numeric(&args, Moving);
        }
        plan_err!("{} cannot stand over a moving frame, nor DISTINCT in it: HeavyDB refuses both", self.upper())
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.definition.kind.is_numeric() && !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.numeric(&args, Groups)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| -> FieldRef { Arc::new(Field::new(format_state_name(args.name, name), data_type, true)) };
        let result = || args.return_type().clone();
        Ok(match self.definition.kind {
            Kind::Mode => {
                vec![field("values", DataType::new_list(result(), true)), field("counts", DataType::new_list(DataType::Int64, true))]
            }
            Kind::SingleValue => vec![field("value", result())],
            Kind::Quantile { .. } => vec![field("values", DataType::new_list(DataType::Float64, true))],
            _ => vec![field("state", DataType::Binary)],
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
