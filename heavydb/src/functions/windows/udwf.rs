//! One implementation of DataFusion's window function interface for the list of own functions.

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{ExpressionArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{ColumnarValue, PartitionEvaluator, Signature, TypeSignature, Volatility, WindowUDF, WindowUDFImpl};
use datafusion::physical_expr::PhysicalExpr;

use super::Place;
use super::evaluators::{ChangeEvents, Fill, FrameValue, PartitionValue, RangeKeys, Ranks, RowNumbers, Shift, Tiles};

/// What a window function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    RowNumber,
    Rank { dense: bool },
    NTile,
    Shift { back: bool },
    Whole(Place),
    Frame(Place),
    Fill { forward: bool },
    ChangeEvent,
}

impl Kind {
    /// Whether the first argument is a column of values; the others are constants.
    fn has_values(self) -> bool {
        !matches!(self, Self::RowNumber | Self::Rank { .. } | Self::NTile)
    }

    /// Whether a constant follows, and whether it may be left out.
    fn constant(self) -> Option<bool> {
        match self {
            Self::Shift { .. } => Some(true),
            Self::NTile | Self::Whole(Place::Nth) | Self::Frame(Place::Nth | Place::Ahead | Place::Behind) => Some(false),
            _ => None,
        }
    }

    /// The arguments of HeavyDB's; one more tells a walk through a frame that the frame is of RANGE.
    fn arguments(self) -> usize {
        usize::from(self.has_values()) + usize::from(self.constant().is_some())
    }

    /// The least value of the constant.
    fn least(self) -> i64 {
        match self {
            Self::Shift { .. } => i64::MIN + 1,
            Self::Frame(Place::Ahead | Place::Behind) => 0,
            _ => 1,
        }
    }

    fn is_count(self) -> bool {
        matches!(self, Self::RowNumber | Self::Rank { .. } | Self::NTile | Self::ChangeEvent)
    }
}

/// The function as one of DataFusion.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OwnWindow {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl OwnWindow {
    pub(super) fn udwf(name: &'static str, kind: Kind) -> Arc<WindowUDF> {
        let form = if kind.has_values() || kind == Kind::NTile { TypeSignature::UserDefined } else { TypeSignature::Nullary };
        let signature = Signature::new(form, Volatility::Immutable);
        Arc::new(WindowUDF::new_from_impl(Self { name, kind, signature }))
    }

    fn upper(&self) -> String {
        self.name.to_uppercase()
    }

    /// The constant of a call; 1 where it is left out.
    fn constant(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<i64> {
        let constant = exprs.get(usize::from(self.kind.has_values())).filter(|_| self.kind.constant().is_some());
        let Some(constant) = constant else { return Ok(1) };
        match scalar(constant, &DataType::Int64)? {
            ScalarValue::Int64(Some(n)) if n >= self.kind.least() => Ok(n),
            _ => plan_err!("{} takes a whole constant of at least {}, not {constant}", self.upper(), self.kind.least()),
        }
    }
}

/// The value of a constant; NULL for what is none.
fn scalar(constant: &Arc<dyn PhysicalExpr>, data_type: &DataType) -> Result<ScalarValue> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    match constant.evaluate(&nothing) {
        Ok(ColumnarValue::Scalar(value)) => value.cast_to(data_type),
        _ => ScalarValue::try_from(data_type),
    }
}

impl OwnWindow {
    /// What a walk through a frame was told of it.
    fn range(&self, exprs: &[Arc<dyn PhysicalExpr>]) -> Result<Option<RangeKeys>> {
        let Some(note) = exprs.get(self.kind.arguments()) else { return Ok(None) };
        Ok(match scalar(note, &DataType::Utf8)? {
            ScalarValue::Utf8(Some(note)) if note == "range" => Some(RangeKeys::Ascending),
            ScalarValue::Utf8(Some(note)) if note == "range descending" => Some(RangeKeys::Descending),
            _ => return plan_err!("{} takes {} arguments", self.upper(), self.kind.arguments()),
        })
    }
}

impl WindowUDFImpl for OwnWindow {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let most = self.kind.arguments();
        let least = most - usize::from(self.kind.constant() == Some(true));
        let noted = usize::from(matches!(self.kind, Kind::Frame(_)));
        if !(least..=most + noted).contains(&arg_types.len()) {
            return plan_err!("{} takes {} arguments, not {}", self.upper(), most, arg_types.len());
        }
        if matches!(self.kind, Kind::Fill { .. })
            && matches!(arg_types.first(), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..)))
        {
            return plan_err!("{} is not given for text, as in HeavyDB", self.upper());
        }
        let wanted = |(i, argument): (usize, &DataType)| match i {
            0 if self.kind.has_values() => argument.clone(),
            i if i >= most => DataType::Utf8,
            _ => DataType::Int64,
        };
        Ok(arg_types.iter().enumerate().map(wanted).collect())
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        // The constants are known, and need not become columns.
        args.input_exprs().iter().take(usize::from(self.kind.has_values())).cloned().collect()
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let given = args.get_input_field(0).map_or(DataType::Null, |field| field.data_type().clone());
        let result = if self.kind.is_count() { DataType::Int64 } else { given };
        Ok(Arc::new(Field::new(args.name(), result, !self.kind.is_count())))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        if args.ignore_nulls() {
            return plan_err!("HeavyDB has no IGNORE NULLS; {} takes none", self.upper());
        }
        let n = self.constant(args.input_exprs())?;
        Ok(match self.kind {
            Kind::RowNumber => Box::new(RowNumbers),
            Kind::Rank { dense } => Box::new(Ranks { dense }),
            Kind::NTile => Box::new(Tiles { tiles: n }),
            Kind::Shift { back } => Box::new(Shift { rows: if back { n } else { -n } }),
            Kind::Whole(place) => Box::new(PartitionValue { place, n }),
            Kind::Frame(place) => Box::new(FrameValue { place, n, row: 0, range: self.range(args.input_exprs())? }),
            Kind::Fill { forward } => Box::new(Fill { forward }),
            Kind::ChangeEvent => Box::new(ChangeEvents),
        })
    }
}
